//! What a simulated machine has besides its network, disk and clock: randomness that its seed decides, and no games that run.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::{CopyPlace, SaveRoot};
use bonfire_engine::Report;
use bonfire_engine::saves::work::Placement;
use bonfire_peer::{LiveSaves, Machine, Random};

use super::Dice;

/// The folders of the real machine, on which no game runs.
#[derive(Debug)]
pub(super) struct NoGames(pub(super) Machine);

impl LiveSaves for NoGames {
    fn roots(&self, place: &Placement) -> Result<Vec<SaveRoot>, Report> {
        self.0.roots(place)
    }

    fn create(&self, place: &Placement, needed: &BTreeSet<&str>) -> Result<Vec<SaveRoot>, Report> {
        self.0.create(place, needed)
    }

    fn copy_places(&self, place: &Placement) -> Result<Vec<CopyPlace>, Report> {
        self.0.copy_places(place)
    }

    fn folders(&self, place: &Placement) -> Result<Vec<PathBuf>, Report> {
        self.0.folders(place)
    }

    fn open(&self, folder: &Path) -> io::Result<Arc<dyn Fs>> {
        self.0.open(folder)
    }

    fn is_running(&self, _place: &Placement, _pids: &[u32]) -> Result<bool, Report> {
        Ok(false)
    }

    fn is_used(&self, _root: &Path, _installs: &[PathBuf], _pids: &[u32]) -> Result<bool, Report> {
        Ok(false)
    }
}

/// Randomness that the same seed gives again.
pub(super) struct DiceOf(Mutex<Dice>);

impl DiceOf {
    pub(super) fn new(dice: Dice) -> Self {
        Self(Mutex::new(dice))
    }
}

impl std::fmt::Debug for DiceOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiceOf")
    }
}

impl Random for DiceOf {
    fn bytes(&self) -> Result<[u8; 32], Report> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).bytes())
    }
}
