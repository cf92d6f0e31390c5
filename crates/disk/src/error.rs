//! What can go wrong on disk, with the path and what was being done.

use std::io;
use std::path::PathBuf;

use bonfire_engine::ErrorClass;

use crate::claim::Holder;
use bonfire_proto::game::ManifestError;

/// A disk operation that did not happen, or not as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system refused.
    #[error("{doing} {path}", path = .path.display())]
    Io {
        /// What was being done, as a present participle: "opening".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, link or special file is where a file should be, or a file where a folder should be.
    #[error("{what} is in the way at {path}", path = .path.display())]
    InTheWay {
        /// Where.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Files at paths of the new version that nobody can prove to be ours and whose size differs.
    #[error("{count} files that are not Bonfire's are in the way, first {path}", path = .path.display())]
    Occupied {
        /// The first.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
    /// Another operation of this peer, or a recorded one, holds the game.
    #[error("{path} is busy: {reason}", path = .path.display())]
    Busy {
        /// The game root.
        path: PathBuf,
        /// With what.
        reason: &'static str,
    },
    /// Another peer has claimed the games folder.
    #[error("{who} the games folder {path}", path = .path.display(), who = holder.as_ref().map_or_else(
        || "another process holds".to_owned(),
        |h| format!("process {} ({}) holds", h.pid, bonfire_proto::text::clean_to(&h.program, 60)),
    ))]
    Claimed {
        /// The games folder.
        path: PathBuf,
        /// Who, when it left a note.
        holder: Option<Holder>,
    },
    /// The download was complete but for its last steps, and those were taken: there is nothing left to cancel.
    #[error("too late: the download to {path} was completed", path = .path.display())]
    Completed {
        /// The game root.
        path: PathBuf,
    },
    /// A file that is not in a form this version knows. It was not touched.
    #[error("{path} is in no form that this version knows ({reason}); it was left untouched", path = .path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// A file changed, shrank or vanished while it was used.
    #[error("{path} changed while it was in use", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Bytes or hashes that do not fit what the manifest says.
    #[error("{path} does not match the manifest: {reason}", path = .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        reason: &'static str,
    },
    /// Nothing here to work on.
    #[error("{what} not found at {path}", path = .path.display())]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// More of something than is accepted.
    #[error("{path}: {what} beyond the limit of {limit}", path = .path.display())]
    TooMuch {
        /// Where.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A manifest that breaks a rule.
    #[error("manifest refused")]
    Manifest(#[from] ManifestError),
    /// A commit with chunks missing.
    #[error("{path}: {missing} chunks are not verified", path = .path.display())]
    Incomplete {
        /// The game root.
        path: PathBuf,
        /// How many.
        missing: u32,
    },
    /// A sync failed earlier in this transaction, so nothing more can be promised. It can be resumed from what was
    /// durable before, or discarded.
    #[error("{path}: the disk failed to keep data earlier in this download", path = .path.display())]
    Unsound {
        /// The game root.
        path: PathBuf,
    },
}

impl DiskError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => ErrorClass::NotFound,
            Self::Io { .. } | Self::InTheWay { .. } | Self::Occupied { .. } | Self::Changed { .. } => {
                ErrorClass::Environment
            }
            Self::TooMuch { .. } | Self::Unsound { .. } => ErrorClass::Environment,
            Self::Busy { .. } | Self::Claimed { .. } | Self::Completed { .. } => ErrorClass::Refused,
            Self::NotFound { .. } => ErrorClass::NotFound,
            Self::UnknownFormat { .. } | Self::Mismatch { .. } => ErrorClass::Corruption,
            Self::Manifest(_) => ErrorClass::Remote,
            Self::Incomplete { .. } => ErrorClass::Bug,
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Changed { .. } | Self::Busy { .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::Interrupted
                    | io::ErrorKind::ResourceBusy
                    | io::ErrorKind::TimedOut
                    | io::ErrorKind::WouldBlock
            ),
            _ => false,
        }
    }

    /// Whether the disk has no room left.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }

    /// Stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } if self.is_no_space() => "no_space",
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "not_found",
                io::ErrorKind::PermissionDenied => "permission_denied",
                io::ErrorKind::ReadOnlyFilesystem => "read_only",
                _ => "disk",
            },
            Self::InTheWay { .. } => "in_the_way",
            Self::Occupied { .. } => "occupied",
            Self::Busy { .. } => "busy",
            Self::Claimed { .. } => "games_folder_in_use",
            Self::Completed { .. } => "too_late",
            Self::UnknownFormat { .. } => "unknown_format",
            Self::Changed { .. } => "changed",
            Self::Mismatch { .. } => "mismatch",
            Self::NotFound { .. } => "not_found",
            Self::TooMuch { .. } => "too_much",
            Self::Manifest(_) => "bad_manifest",
            Self::Incomplete { .. } => "incomplete",
            Self::Unsound { .. } => "disk_unsound",
        }
    }
}

/// Why a file was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// It is not, or no longer, what the stamp says.
    #[error("{path} changed while it was read", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// `keep_going` said no.
    #[error("cancelled")]
    Cancelled,
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl HashError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Changed { .. } => ErrorClass::Environment,
            Self::Cancelled => ErrorClass::Cancelled,
            Self::Disk(e) => e.class(),
        }
    }

    /// Whether the same call may succeed later; a changed file needs a new walk first.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Changed { .. } => true,
            Self::Cancelled => false,
            Self::Disk(e) => e.is_retryable(),
        }
    }
}

/// Why a chunk was not served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The file is not, or no longer, what the stamp says.
    #[error("{path} changed while it was served", path = .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// No such chunk in the file, or a path that is never served.
    #[error("{path}: no such chunk", path = .path.display())]
    OutOfRange {
        /// The file.
        path: PathBuf,
    },
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl ServeError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Changed { .. } => ErrorClass::Environment,
            Self::OutOfRange { .. } => ErrorClass::Refused,
            Self::Disk(e) => e.class(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Changed { .. } => true,
            Self::OutOfRange { .. } => false,
            Self::Disk(e) => e.is_retryable(),
        }
    }
}

/// Why the downloaded files of a game were not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is no such game root.
    #[error("no game at {path}", path = .path.display())]
    NotHere {
        /// The game root.
        path: PathBuf,
    },
    /// `version.ini` is absent or no regular file, so the game is not downloaded.
    #[error("{path} is not downloaded: version.ini is not a regular file", path = .path.display())]
    NotDownloaded {
        /// The game root.
        path: PathBuf,
    },
    /// The game is installed, or an install is under way.
    #[error("{path} exists: uninstall the game first", path = .path.display())]
    Installed {
        /// What was found: `local`, `.local.installing` or `.local.backup`.
        path: PathBuf,
    },
    /// The disk. What was begun is finished at the next start.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl RemoveError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotHere { .. } => ErrorClass::NotFound,
            Self::NotDownloaded { .. } | Self::Installed { .. } => ErrorClass::Refused,
            Self::Disk(e) => e.class(),
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Disk(e) if e.is_retryable())
    }
}
