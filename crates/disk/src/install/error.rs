//! What keeps an install, update or uninstall from being done. After each error the game root is as it was, or a recorded
//! transaction says what is left to do.

use std::path::PathBuf;

use bonfire_engine::ErrorClass;
use bonfire_proto::RelPath;

use crate::error::{DiskError, HashError};

/// Most paths that an error names.
pub(super) const NAMED_MAX: usize = 1_000;

/// Why an install transaction did not happen.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// `version.ini` is absent or no regular file, so there is nothing to install from.
    #[error("{path} is not downloaded: version.ini is not a regular file", path = .path.display())]
    NotDownloaded {
        /// The game root.
        path: PathBuf,
    },
    /// There is no `local/`.
    #[error("{path} is not installed", path = .path.display())]
    NotInstalled {
        /// The game root.
        path: PathBuf,
    },
    /// What was unpacked is not what lies in the staging folder.
    #[error("{path} is not what was unpacked there: {reason}", path = .path.display())]
    NotAsUnpacked {
        /// The first that differs.
        path: PathBuf,
        /// How.
        reason: &'static str,
    },
    /// The install holds things that cannot be carried to another: links, special files, names that are not legal
    /// everywhere.
    #[error("{path} holds {count} things that no update can carry over, first {first}", path = .path.display())]
    CannotCarry {
        /// `local/`.
        path: PathBuf,
        /// How many.
        count: u64,
        /// The first, beneath it.
        first: String,
    },
    /// The install holds things that could not be deleted, so nothing of it was begun to be.
    #[error("{path} cannot be deleted: {reason}; {count} such things are there", path = .path.display())]
    CannotDelete {
        /// The first.
        path: PathBuf,
        /// How many.
        count: u64,
        /// Why not that one.
        reason: &'static str,
    },
    /// Files of the player would go with the install.
    #[error("{path} holds {count} files that were not installed, or changed since", path = .path.display())]
    PlayersFiles {
        /// `local/`.
        path: PathBuf,
        /// How many.
        count: u64,
        /// They, beneath it; at most 1,000.
        files: Vec<RelPath>,
    },
    /// Somebody began to use the install while it was set aside.
    #[error("a program runs out of {path}, or writes there", path = .path.display())]
    InUse {
        /// `local/`.
        path: PathBuf,
    },
    /// It failed, and what it had begun is recorded still: a start undoes or finishes it. Until then what is installed is
    /// not known.
    #[error("{cause}; what was begun could not be undone ({left}), and the next start sees to it")]
    NotUndone {
        /// Why it failed.
        cause: Box<InstallError>,
        /// Why it is not undone.
        left: DiskError,
    },
    /// The caller asked to stop. Nothing was changed.
    #[error("cancelled")]
    Cancelled,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl From<HashError> for InstallError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Changed { path } => Self::Disk(DiskError::Changed { path }),
            HashError::Cancelled => Self::Cancelled,
            HashError::Disk(error) => Self::Disk(error),
        }
    }
}

impl InstallError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotDownloaded { .. } | Self::NotInstalled { .. } | Self::PlayersFiles { .. } | Self::InUse { .. } => {
                ErrorClass::Refused
            }
            Self::NotAsUnpacked { .. }
            | Self::CannotCarry { .. }
            | Self::CannotDelete { .. }
            | Self::NotUndone { .. } => ErrorClass::Environment,
            Self::Cancelled => ErrorClass::Cancelled,
            Self::Disk(error) => error.class(),
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::InUse { .. } => true,
            Self::Disk(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotDownloaded { .. } => "not_downloaded",
            Self::NotInstalled { .. } => "not_installed",
            Self::NotAsUnpacked { .. } => "not_as_unpacked",
            Self::CannotCarry { .. } => "cannot_carry",
            Self::CannotDelete { .. } => "cannot_delete",
            Self::PlayersFiles { .. } => "players_files",
            Self::InUse { .. } => "game_running",
            Self::NotUndone { .. } => "not_undone",
            Self::Cancelled => "cancelled",
            Self::Disk(error) => error.code(),
        }
    }
}
