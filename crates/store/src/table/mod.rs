//! The tables, one file each: the only places that hold their SQL.

pub(crate) mod file_chunks;
pub(crate) mod game_file;
pub(crate) mod game_index;
pub(crate) mod library;
pub(crate) mod library_game;
pub(crate) mod library_tombstone;
pub(crate) mod peer;
pub(crate) mod setting;
