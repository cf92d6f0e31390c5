//! The scenarios of `PEER_CLI_SCENARIOS.md`, each a test of the same name: real processes in a room of network
//! namespaces. `tests/scenario_list.rs` holds the list and these tests together.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

#[path = "rooms/cancel.rs"]
mod cancel;
#[path = "rooms/conflicts.rs"]
mod conflicts;
#[path = "rooms/discovery.rs"]
mod discovery;
#[path = "rooms/doctor.rs"]
mod doctor;
#[path = "rooms/faults.rs"]
mod faults;
#[path = "rooms/fetch.rs"]
mod fetch;
#[path = "rooms/installs.rs"]
mod installs;
#[path = "rooms/kill.rs"]
mod kill;
#[path = "rooms/library.rs"]
mod library;
#[path = "rooms/own_files.rs"]
mod own_files;
#[path = "rooms/pairing.rs"]
mod pairing;
#[path = "rooms/pictures.rs"]
mod pictures;
#[path = "rooms/play.rs"]
mod play;
#[path = "rooms/real_games.rs"]
mod real_games;
#[path = "rooms/refusals.rs"]
mod refusals;
#[path = "rooms/saves.rs"]
mod saves;
#[path = "rooms/strangers.rs"]
mod strangers;
