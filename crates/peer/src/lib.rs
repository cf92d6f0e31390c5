//! The headless peer: commands in, events out, a snapshot to draw from. Runs what `bonfire-engine` decides.
//!
//! Owns tasks, workers and their cancellation. Holds no policy: which peer to dial, what to fetch, what to refuse is the
//! engine's. Does not print, prompt, or choose folders.

mod blocking;
mod catalog;
mod conns;
mod download;
mod errors;
mod handle;
mod hash;
mod index;
mod installs;
mod library;
mod machine;
mod pairing;
mod players_file;
pub mod playing;
mod probe;
mod progress;
mod running;
mod saves;
mod serve;
mod sidecars;
mod start;
mod task;
mod verify;
mod world;

pub use blocking::Blocking;
pub use bonfire_net::fetch;
pub use bonfire_unpack::Unpacker;
pub use handle::{PeerConfig, PeerHandle};
pub use machine::Machine;
pub use saves::LiveSaves;
pub use start::{Claimed, Platform, start, start_on};
pub use world::{Clock, Random, SystemClock, SystemRandom};
