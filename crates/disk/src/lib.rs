//! File transactions of Bonfire: everything that touches a games folder.
//!
//! All disk work goes through the small [`fs::Fs`] trait, beneath one folder and never following links, so that a model
//! disk can stand in for the real one and lose, reorder and tear whatever was not synced. What is on disk and why is in
//! `docs/formats/disk.md`. Everything here blocks; the peer runs it on worker threads. No policy: which game to fetch,
//! when to scan and whom to tell is decided elsewhere.

pub mod claim;
pub mod download;
pub mod error;
pub mod fs;
pub mod games;
pub mod hash;
pub mod install;
pub mod note;
pub mod recover;
pub mod remove;
pub mod saves;
pub mod serve;
pub mod sidecars;
pub mod version;
pub mod walk;
pub mod watch;

mod atomic;
mod intent;
mod journal;
mod platform;
mod sweep;

pub use atomic::{read_small, replace};
pub use claim::{Claim, Holder};
pub use download::{Committed, Download, Writer};
pub use error::{DiskError, HashError, RemoveError, ServeError};
pub use games::{Fingerprint, GamesFolder, Listing, Tuning};
pub use hash::{FileStamp, HashedFile};
pub use note::{DownloadNote, NotedFile};
pub use recover::Recovered;
pub use remove::RemoveReport;
pub use serve::ServedFile;
pub use sidecars::{SidecarError, Sidecars};
pub use sweep::SweepReport;
pub use walk::{Problem, ProblemKind, Sentinel, Walked, WalkedFile};
pub use watch::{WatchEvent, Watcher, Watches};

#[cfg(test)]
mod tests;
