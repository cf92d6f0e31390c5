//! Whole engines of the devices of one player, sometimes of two who share one device, on one thread in virtual time: all
//! that a shell does is a model here, and everything goes wrong that the seed says. The same seed gives the same trace.
//!
//! Owns how a run goes (`scenario`, and `lost` for one in which all databases are lost), what must hold (`oracle`), and the
//! wrong rules that it must catch (`planted`). The decisions under test are all `bonfire-engine`'s.
//!
//! **Not checked here:** what is beneath a shell's promises. An apply, a put into the store and a record are each whole or
//! not at all (the crash sweeps of `tests/crash_saves.rs` try what is between). A connection carries its control messages
//! in order or ends, as QUIC does: what is dropped goes with the connection; only requests, each a stream of its own,
//! stay unanswered, are repeated or overtake each other. Import, export and comparison of versions are refused, and
//! verification finds all well. Bad peers, names, archives and sidecars (properties 14 and 19 to 21) have tests of their own.

mod durable;
mod jobs;
mod lost;
mod machine;
mod oracle;
mod pairing;
mod person;
mod planted;
mod scenario;
mod trace;
mod vault;
mod wires;
mod world;

pub use lost::run_with_all_databases_lost;
pub use planted::Planted;
pub use scenario::{Outcome, run, run_planted};
