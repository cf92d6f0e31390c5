//! The tables, one file each: the only places that hold their SQL.

pub(crate) mod audit;
pub(crate) mod clock_mark;
pub(crate) mod device_epoch;
pub(crate) mod file_chunks;
pub(crate) mod game_file;
pub(crate) mod game_index;
pub(crate) mod library;
pub(crate) mod library_game;
pub(crate) mod library_tombstone;
pub(crate) mod pair_token;
pub(crate) mod peer;
pub(crate) mod player;
pub(crate) mod save_listing;
pub(crate) mod save_set;
pub(crate) mod save_slot;
pub(crate) mod setting;
pub(crate) mod shared_ack;
pub(crate) mod shared_entry;
pub(crate) mod shared_floor;
pub(crate) mod snapshot_node;
pub(crate) mod snapshot_text;
pub(crate) mod state_mark;
pub(crate) mod state_record;
