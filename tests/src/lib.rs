//! The end-to-end harness: real `bonfire` processes in rooms of network namespaces.
//!
//! Owns namespaces, links, child processes, made-up games and the hostile strangers of the scenarios. Knows the program
//! only by its contract (arguments, JSON lines, exit codes, the wire), never by its code. Linux only; elsewhere, and
//! without root, rooms are skipped with a loud line, except in CI.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test harness may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "a skipped room and a seed have to be seen")]

pub mod aftermath;
pub mod child;
pub mod events;
pub mod games;
pub mod link;
pub mod namespace;
pub mod packages;
pub mod peer;
pub mod program;
pub mod random;
pub mod room;
pub mod save_aftermath;
pub mod save_stage;
pub mod saves;
pub mod screen;
pub mod stranger;
pub mod terminal;
pub mod tree;

pub use peer::{CliOutcome, Peer};
pub use random::Random;
pub use room::Room;
