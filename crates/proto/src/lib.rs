//! Wire types, ids, relative paths, the frame codec and every limit that bounds what the network can make us do.
//!
//! This crate knows neither sockets nor files nor time: it turns bytes into checked values and back. What a value
//! *means* is decided in `bonfire-engine`.

pub mod chunk;
pub mod close;
pub mod digest;
pub mod error_code;
pub mod frame;
pub mod game;
pub mod hlc;
pub mod ids;
pub mod layout;
pub mod limits;
pub mod message;
pub mod message_pair;
pub mod message_save;
pub mod message_sidecar;
pub mod message_sync;
pub mod picture;
pub mod rel_path;
pub mod save;
pub mod text;

pub use chunk::{CHUNK_LEN, chunk_count, chunk_span};
pub use close::CloseCode;
pub use error_code::ErrorCode;
pub use game::{Availability, GameSummary, LibrarySummary, Manifest, ManifestFile};
pub use hlc::Hlc;
pub use ids::{
    ContentHash, DeviceEpoch, Digest, GameId, LibraryEpoch, ManifestHash, PeerId, PlayerId, SaveHash, SnapshotId,
};
pub use layout::{ChunkBitmap, ChunkLayout, ChunkRef};
pub use message::{Control, Hello, Request, Response};
pub use picture::{PictureFormat, PictureRef};
pub use rel_path::{PathError, RelPath};
pub use save::{ObjectRef, SaveEntry, SlotName, Snapshot, SnapshotKind};
