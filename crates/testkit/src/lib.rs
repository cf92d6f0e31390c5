//! Simulated room for the tests of Bonfire: network, disk, clock, invariants

pub mod model_disk;
pub mod sim_net;
pub mod sim_player;
pub mod sim_room;
