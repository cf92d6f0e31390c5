//! What to do at start with what an interrupted install, update or uninstall left in a game root: recorded intent and
//! observed folders in, steps out.
//!
//! Pure and total, as its parent is for downloads, and decided before it: afterwards the root is one of no install
//! transaction, or one that is left alone. Every step is idempotent, and a crash between two leads back to a row that
//! gives the rest.

use super::Intent;

/// What `local/` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LocalState {
    /// Nothing: the game is not installed.
    Absent,
    /// A folder: the game is installed.
    Folder,
    /// A folder whose marker says that Bonfire is deleting it: it may be a part of what it was.
    Doomed,
    /// A file, a link, something else.
    Other,
}

impl LocalState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 4] = [Self::Absent, Self::Folder, Self::Doomed, Self::Other];
}

/// What `.local.installing/` or `.local.backup/` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScratchState {
    /// Nothing.
    Absent,
    /// A folder without `.lanspread_owned`.
    Unmarked,
    /// A folder with it: made by a launcher, this one or another.
    Marked,
    /// A folder whose marker says that Bonfire is deleting it: it may be a part of what it was.
    Doomed,
    /// A file, a link, something else.
    Other,
}

impl ScratchState {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::Absent, Self::Unmarked, Self::Marked, Self::Doomed, Self::Other];

    /// Whether it is a folder that says whose it is.
    const fn is_marked(self) -> bool {
        matches!(self, Self::Marked | Self::Doomed)
    }

    const fn is_folder(self) -> bool {
        matches!(self, Self::Unmarked | Self::Marked | Self::Doomed)
    }
}

/// What lies in a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Observed {
    /// `local/`.
    pub local: LocalState,
    /// `.local.installing/`.
    pub staging: ScratchState,
    /// `.local.backup/`.
    pub backup: ScratchState,
}

impl Observed {
    /// Every combination.
    pub fn all() -> impl Iterator<Item = Self> {
        LocalState::ALL.into_iter().flat_map(|local| {
            ScratchState::ALL.into_iter().flat_map(move |staging| {
                ScratchState::ALL.into_iter().map(move |backup| Self { local, staging, backup })
            })
        })
    }
}

/// What to do with the root, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Steps {
    /// Rename `.local.backup/` back to `local/`.
    pub restores_backup: bool,
    /// Delete `.local.installing/`.
    pub sweeps_staging: bool,
    /// Delete `.local.backup/`.
    pub sweeps_backup: bool,
    /// Take the intent back.
    pub drops_intent: bool,
}

impl Steps {
    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}

/// Why a root is left for a person to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Riddle {
    /// A file, link or something else stands where an install transaction has a folder.
    NoFolder,
    /// `local/`, the previous install and a staged one are all there: none of ours ends so, so one is somebody else's.
    ThreeInstalls,
    /// What stands where an install does may be a part of one only: it says that it is being deleted. A disk that keeps the
    /// order of what it was told to keep never ends so.
    DoomedInstall,
    /// The install is gone, and what is left of the one before it may be a part only.
    PartOfInstall,
}

/// The steps for a game root.
///
/// # Errors
/// Why nothing in it may be touched.
pub fn decide(intent: Intent, seen: Observed) -> Result<Steps, Riddle> {
    use ScratchState as S;
    let Observed { local, staging, backup } = seen;
    let is_here = local == LocalState::Folder;
    match intent {
        Intent::Unreadable => Ok(Steps::default()),
        _ if local == LocalState::Doomed => Err(Riddle::DoomedInstall),
        Intent::None | Intent::Downloading => {
            // Only a marker proves that these are a launcher's and not a person's.
            let sweeps_staging = staging.is_marked();
            match (backup.is_marked(), local) {
                (false, _) => Ok(Steps { sweeps_staging, ..Steps::default() }),
                (true, LocalState::Folder) => Ok(Steps { sweeps_staging, sweeps_backup: true, ..Steps::default() }),
                (true, LocalState::Absent | LocalState::Doomed | LocalState::Other) => Err(Riddle::PartOfInstall),
            }
        }
        _ if local == LocalState::Other || staging == S::Other || backup == S::Other => Err(Riddle::NoFolder),
        Intent::Installing if !is_here && backup.is_marked() => Err(Riddle::PartOfInstall),
        // With `local/` the rename was done; without, the game was not installed before and is not now.
        Intent::Installing => Ok(Steps {
            sweeps_staging: staging.is_folder(),
            sweeps_backup: backup.is_marked(),
            drops_intent: true,
            ..Steps::default()
        }),
        Intent::Updating => {
            let steps = Steps { sweeps_staging: staging.is_folder(), drops_intent: true, ..Steps::default() };
            match (local, backup) {
                (LocalState::Folder, S::Unmarked | S::Marked) if staging.is_folder() => Err(Riddle::ThreeInstalls),
                // Not swapped yet, or all over.
                (_, S::Absent | S::Other) => Ok(steps),
                // The new one is in place, or something of an update before this is left.
                (LocalState::Folder, _) => Ok(Steps { sweeps_backup: true, ..steps }),
                (_, S::Doomed) => Err(Riddle::PartOfInstall),
                (_, S::Unmarked | S::Marked) => Ok(Steps { restores_backup: true, ..steps }),
            }
        }
        // What was set aside is what is being uninstalled, whatever came to `local/` since.
        Intent::Uninstalling => Ok(Steps {
            sweeps_staging: staging.is_marked(),
            sweeps_backup: backup.is_folder(),
            drops_intent: true,
            ..Steps::default()
        }),
    }
}

#[cfg(test)]
mod tests;
