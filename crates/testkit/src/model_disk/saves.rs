//! Crash layer A for saves: the store and the live files of a save set over the model disk.
//!
//! The data folder is `data`, the live folder `live`, on one disk, so that every order in which their steps reach the
//! platter is tried. Scenarios drive the product's own code; bugs are planted in front of the disk.

mod beneath;
mod bug;
mod explore;
mod intruder;
mod judge;
mod operations;
mod sabotage;
mod scenario;
mod sidecars;

pub use beneath::Beneath;
pub use bug::Bug;
pub use explore::explore;
pub use scenario::{SCENARIOS, Scenario};
pub use sidecars::{Pictured, explore_pictures};

/// Something that was begun or promised about a save, and holds for every crash after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The snapshot of this version is here for good.
    Put(u8),
    /// Its removal was asked for.
    RemovalStarted(u8),
    /// It is removed for good.
    Removed(u8),
    /// Live files were asked to become this version.
    ApplyStarted(u8),
    /// They are this version for good.
    Applied(u8),
    /// Copies of the other side of a conflict are there for good.
    Copied,
    /// They were asked to go.
    CopyRemovalStarted,
    /// They are gone for good.
    CopyRemoved,
    /// An archive is there for good.
    Exported,
    /// The user began to write to a live file.
    PlayStarted,
    /// What the user wrote is on the disk for good.
    Played,
}
