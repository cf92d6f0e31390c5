//! The engine through its public API: inputs in, effects out, time as a number. Every batch is also checked for what has
//! to hold always (see `desk`).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test may stop at the first surprise"
)]

mod catalog;
mod desk;
mod duels;
mod hashing;
mod installs;
mod library;
mod peers;
mod random;
mod statics;
mod transfers;
