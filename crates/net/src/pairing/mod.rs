//! Pairing: two devices prove to each other that they know the same code, over a connection whose ends each has proven
//! already, and then tell each other what the pairing is about.
//!
//! `exchange` is the protocol, without input or output: messages and randomness in, messages out. `driver` runs it on a
//! stream. How long a code lives, how often one may try, and who may invite whom is `bonfire_engine::trust`'s.

mod driver;
mod error;
mod exchange;

pub(crate) use driver::PairStream;
pub use driver::{Accepted, IncomingPairing, Invitation, Paired, type_code};
pub use error::PairError;
pub use exchange::{Binding, Broken, Confirmed, End, Shower, Typer, TyperWaiting};
