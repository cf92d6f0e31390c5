//! When a game's folder is read again.
//!
//! Owns which scans run and which wait. One scan reads a folder at a time, so a slow full scan can never overwrite what
//! a newer look at one game has found. Knows neither the watcher nor the folder.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::GameId;

/// A scan to start now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartScan {
    /// Of one game.
    Game(GameId),
    /// Of the whole games folder.
    Full,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Full {
    /// Not running, not wanted.
    #[default]
    No,
    /// Wanted; starts when the scans of single games have ended.
    Waiting,
    Running,
    /// Running, and something changed that it may have passed already.
    RunningAndAgain,
}

/// Which scans run and which wait.
#[derive(Debug, Default, Clone)]
pub struct ScanGate {
    /// Games being read, and whether each has to be read once more.
    running: BTreeMap<GameId, bool>,
    /// Games that changed while the full scan runs.
    after_full: BTreeSet<GameId>,
    full: Full,
}

impl ScanGate {
    /// Nothing runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A game's folder changed. With an operation active on the game the event is dropped: the operation reads the folder
    /// when it settles.
    pub fn changed(&mut self, game: &GameId, op_active: bool) -> Option<StartScan> {
        if op_active {
            return None;
        }
        if let Some(again) = self.running.get_mut(game) {
            *again = true;
            return None;
        }
        match self.full {
            Full::No => {
                self.running.insert(game.clone(), false);
                Some(StartScan::Game(game.clone()))
            }
            // It reads every game when it starts.
            Full::Waiting | Full::RunningAndAgain => None,
            Full::Running => {
                self.after_full.insert(game.clone());
                None
            }
        }
    }

    /// The scan of a game ended. Returns what to start because of it: the same game once more, or the full scan that
    /// waited.
    pub fn finished(&mut self, game: &GameId) -> Option<StartScan> {
        let again = self.running.remove(game)?;
        if self.full == Full::Waiting {
            if !self.running.is_empty() {
                return None;
            }
            self.full = Full::Running;
            return Some(StartScan::Full);
        }
        if again {
            self.running.insert(game.clone(), false);
            return Some(StartScan::Game(game.clone()));
        }
        None
    }

    /// Anything may have changed.
    pub fn full_changed(&mut self) -> Option<StartScan> {
        match self.full {
            Full::No if self.running.is_empty() => {
                self.full = Full::Running;
                Some(StartScan::Full)
            }
            Full::No => {
                self.full = Full::Waiting;
                None
            }
            Full::Running => {
                self.full = Full::RunningAndAgain;
                self.after_full.clear();
                None
            }
            Full::Waiting | Full::RunningAndAgain => None,
        }
    }

    /// The full scan ended. Returns what to start because of it, in order.
    pub fn full_finished(&mut self) -> Vec<StartScan> {
        match self.full {
            Full::No | Full::Waiting => Vec::new(),
            Full::RunningAndAgain => {
                self.full = Full::Running;
                vec![StartScan::Full]
            }
            Full::Running => {
                self.full = Full::No;
                let games = std::mem::take(&mut self.after_full);
                self.running.extend(games.iter().map(|g| (g.clone(), false)));
                games.into_iter().map(StartScan::Game).collect()
            }
        }
    }

    /// Whether a scan that covers this game runs or waits: what was last found may be out of date.
    #[must_use]
    pub fn is_waiting_for(&self, game: &GameId) -> bool {
        self.full != Full::No || self.running.contains_key(game)
    }

    /// Whether the full scan runs or waits.
    #[must_use]
    pub fn is_full_waiting(&self) -> bool {
        self.full != Full::No
    }
}

#[cfg(test)]
mod tests;
