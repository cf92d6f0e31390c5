//! Saves on disk: content-addressed pieces, snapshots made of them, and the live files of a save set as one unit.
//!
//! Owns `objects/`, `snapshots/` and the records of unfinished work in the data folder, and every step by which live files
//! of a save become a snapshot or a snapshot becomes live files. A snapshot exists when its file exists; its objects are
//! durable before. Decides nothing: which snapshot is applied, kept or removed is the caller's. What is on disk and why is
//! in `docs/formats/saves.md`.

mod apply;
mod archive;
mod capture;
mod chunking;
mod conflict_copy;
mod error;
mod exchange;
mod journal;
mod list;
mod objects;
mod places;
mod recover;
mod resolve;
mod roots;
mod set;
mod snapshots;
mod stage;
mod sweep;
mod verify;
mod watch;

pub use apply::{Applied, Apply};
pub use capture::{Capture, Captured, Lineage, Listed, Listing};
pub use chunking::{CONTENT, Cutter, LISTS, Sizes};
pub use conflict_copy::{ConflictCopy, CopiesRemoved, CopyPlace};
pub use error::{SaveError, Why};
pub use exchange::ImportError;
pub use objects::{Batch, Lease};
pub use places::{DeclaredRoot, Opened, SavePlaces, Unfit};
pub use recover::{Outcome, Recovered};
pub use roots::{Extent, LABEL_LEN_MAX, LeftOut, LeftOutWhy, RootError, RootLabel, SaveRoot};
pub use set::SaveSet;
pub use snapshots::{Found, SaveStore};
pub use sweep::{Marked, SweepReport};
pub use verify::{BadFile, VerifyReport};
pub use watch::{SaveWatchEvent, SaveWatcher};

#[cfg(test)]
mod tests;
