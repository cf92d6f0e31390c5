//! Where saves lie on this machine and whether their games run, as a simulation replaces it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::{CopyPlace, SaveRoot};
use bonfire_engine::Report;
use bonfire_engine::saves::work::Placement;

/// The live folders of saves, and the games that write to them. Every call may block.
pub trait LiveSaves: Send + Sync + std::fmt::Debug {
    /// The roots that are there. One whose folder is not there holds no file and is left out.
    ///
    /// # Errors
    /// For a placement that cannot be, and for what cannot be looked at: that is never an empty root.
    fn roots(&self, place: &Placement) -> Result<Vec<SaveRoot>, Report>;

    /// The roots that are there, once the folders of the named ones are, durably.
    ///
    /// # Errors
    /// As `roots`, and when a folder cannot be made.
    fn create(&self, place: &Placement, needed: &BTreeSet<&str>) -> Result<Vec<SaveRoot>, Report>;

    /// Where copies of the other side of a conflict go.
    ///
    /// # Errors
    /// As `roots`.
    fn copy_places(&self, place: &Placement) -> Result<Vec<CopyPlace>, Report>;

    /// The folders to watch, whether they are there or not.
    ///
    /// # Errors
    /// As `roots`.
    fn folders(&self, place: &Placement) -> Result<Vec<PathBuf>, Report>;

    /// Opens a folder.
    ///
    /// # Errors
    /// `NotFound` when it is not there; whatever the disk reports.
    fn open(&self, folder: &Path) -> io::Result<Arc<dyn Fs>>;

    /// Whether the game runs: one of the processes lives, or something is seen of the placement's programs and folders.
    ///
    /// # Errors
    /// When that cannot be told, which is never "no".
    fn is_running(&self, place: &Placement, pids: &[u32]) -> Result<bool, Report>;

    /// Whether one of the processes lives, a program runs out of a game's folder or works in it, or has something beneath one
    /// of its installs open to write.
    ///
    /// # Errors
    /// When that cannot be told, which is never "no".
    fn is_used(&self, root: &Path, installs: &[PathBuf], pids: &[u32]) -> Result<bool, Report>;
}
