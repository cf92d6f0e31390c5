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
mod library;
pub mod playing;
mod probe;
mod progress;
mod running;
mod serve;
mod start;
mod task;
mod verify;
mod world;

pub use blocking::Blocking;
pub use handle::{PeerConfig, PeerHandle};
pub use start::{Claimed, Platform, start, start_on};
pub use world::{Clock, SystemClock};
