//! State database of Bonfire: SQLite, one file a table, numbered migrations.
//!
//! Owns `state.db` and what is durable in it: the library and its revision, the index of the games folder, known peers,
//! settings, players with their shared log and device-owned state, where saves lie and stand, the audit log. Decides
//! nothing. Every call is synchronous and blocks on the disk; a call that changes something returns when the change is
//! durable.

mod error;
mod migrate;
mod store;
mod table;
mod value;

pub use error::{StoreError, StoreResult};
pub use migrate::{APPLICATION_ID, SCHEMA_VERSION};
pub use store::{LibraryCommit, Store};
pub use table::audit::AUDIT_MAX;
pub use table::file_chunks::FileHashes;
pub use table::game_file::FileRow;
pub use table::game_index::IndexRow;
pub use table::peer::{KNOWN_PEERS_MAX, KnownPeer};
