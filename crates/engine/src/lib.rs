//! Every decision of Bonfire, pure and synchronous: what to dial, what to send, what to fetch from whom, what to refuse.
//!
//! `Engine::handle(now, input)` returns ordered effects; the shell (`bonfire-peer`) carries them out and feeds back what
//! came of them. Bytes never pass through here: an effect starts operation 17, and later the engine hears that operation
//! 17 finished. No runtime, no disk, no clock, no global randomness: the same inputs give the same effects.

pub mod budget;
mod catalog;
pub mod catalog_file;
pub mod command;
mod devices;
pub mod engine;
pub mod entropy;
pub mod event;
pub mod games;
pub mod gate;
pub mod input;
pub mod installs;
pub mod library;
pub mod offers;
pub mod ops;
pub mod peers;
pub mod places;
pub mod players;
pub mod quiet;
pub mod record;
pub mod recovery;
pub mod remote;
pub mod replication;
pub mod report;
pub mod saves;
pub mod saves_view;
pub mod serving;
pub mod sidecars;
pub mod snapshot;
pub mod swarm;
pub mod time;
mod transfers;
pub mod trust;
mod view;

pub use command::Command;
pub use engine::Engine;
pub use event::{EventRecord, PeerEvent};
pub use report::{ErrorClass, Report};
pub use snapshot::Snapshot;
pub use time::{Instant, UnixMillis};
