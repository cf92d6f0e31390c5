//! What can go wrong with a save on disk.

use std::io;
use std::path::{Path, PathBuf};

use bonfire_engine::ErrorClass;
use bonfire_proto::save::SnapshotError;
use bonfire_proto::{ObjectRef, RelPath, SnapshotId};

use super::exchange::ImportError;
use super::places::Unfit;
use super::roots::RootLabel;
use crate::error::DiskError;
use crate::fs::FsPath;

/// Why an object or a snapshot in the store is not what its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is not there.
    Absent,
    /// It does not unpack to the announced length.
    Length,
    /// Its bytes have another hash.
    Hash,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Absent => "not there",
            Self::Length => "does not unpack to its length",
            Self::Hash => "its bytes have another hash",
        })
    }
}

/// Something with a save that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Objects that a snapshot needs are not in the store.
    #[error("{} objects of snapshot {} are missing", missing.len(), id.0.short())]
    MissingObjects {
        /// The snapshot.
        id: SnapshotId,
        /// Each of them once, sorted.
        missing: Vec<ObjectRef>,
    },
    /// An object or snapshot in the store is damaged. It is left as it is.
    #[error("{path} is damaged: {why}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// In what way.
        why: Why,
    },
    /// Bytes of somebody else that are not what was asked for.
    #[error("received bytes are not object {}", .0.hash.short())]
    WrongBytes(ObjectRef),
    /// There is no such snapshot.
    #[error("no snapshot {}", .0.0.short())]
    NoSnapshot(SnapshotId),
    /// A snapshot, or its list of files, that breaks a rule.
    #[error("snapshot refused")]
    Snapshot(#[from] SnapshotError),
    /// An archive that is no save.
    #[error("the archive was refused")]
    Import(#[from] ImportError),
    /// Live files are not what the base says. They were left as they are.
    #[error("{} live files are not what was last applied or captured{}", paths.len(),
        paths.first().map(|p| format!(", first {p}")).unwrap_or_default())]
    Dirty {
        /// Which, sorted.
        paths: Vec<RelPath>,
    },
    /// Live files changed while they were read.
    #[error("{path} changes while it is read")]
    Changing {
        /// The first that was seen to, as a path of the snapshot.
        path: String,
    },
    /// A file of the snapshot that no root of this device takes: its label or name is in none of them.
    #[error("no folder of this device takes {path}")]
    NotCovered {
        /// The path in the snapshot.
        path: RelPath,
    },
    /// A place that can be no root of this save set.
    #[error("{path} cannot be the root {label}: {why}", path = .path.display(), label = .label.as_str())]
    Unfit {
        /// The root.
        label: RootLabel,
        /// Where it was said to be.
        path: PathBuf,
        /// What does not fit.
        why: Unfit,
    },
    /// Live files were changed in part, and could not be changed back. Nothing is lost: the journal knows both sides, and
    /// recovery finishes it.
    #[error("the live files were changed in part; this is finished at the next start ({left})")]
    Unfinished {
        /// What stopped the change.
        #[source]
        cause: Box<SaveError>,
        /// What stopped the way back.
        left: Box<SaveError>,
    },
    /// A sync failed since the store was opened, so nothing more is promised until it is opened anew.
    #[error("{path}: the disk failed to keep data", path = .path.display())]
    Unsound {
        /// The data folder.
        path: PathBuf,
    },
}

impl SaveError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Disk(e) => e.class(),
            Self::MissingObjects { .. } | Self::NoSnapshot(_) => ErrorClass::NotFound,
            Self::Damaged { .. } => ErrorClass::Corruption,
            Self::WrongBytes(_) | Self::Snapshot(_) | Self::Import(_) => ErrorClass::Remote,
            Self::Dirty { .. } | Self::NotCovered { .. } | Self::Unfit { .. } => ErrorClass::Refused,
            Self::Changing { .. } | Self::Unsound { .. } => ErrorClass::Environment,
            Self::Unfinished { cause, .. } => cause.class(),
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Disk(e) => e.is_retryable(),
            Self::MissingObjects { .. } | Self::WrongBytes(_) | Self::Changing { .. } => true,
            Self::Damaged { .. } | Self::NoSnapshot(_) | Self::Snapshot(_) | Self::Unsound { .. } => false,
            Self::Unfit { .. } => false,
            Self::Dirty { .. } | Self::NotCovered { .. } | Self::Unfinished { .. } | Self::Import(_) => false,
        }
    }

    /// Whether the disk has no room left.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Disk(e) => e.is_no_space(),
            Self::Unfinished { cause, .. } => cause.is_no_space(),
            _ => false,
        }
    }

    /// Stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disk(e) => e.code(),
            Self::MissingObjects { .. } => "missing_objects",
            Self::Damaged { .. } => "damaged",
            Self::WrongBytes(_) => "wrong_bytes",
            Self::NoSnapshot(_) => "not_found",
            Self::Snapshot(_) => "bad_snapshot",
            Self::Import(_) => "bad_archive",
            Self::Dirty { .. } => "dirty",
            Self::Changing { .. } => "changing",
            Self::NotCovered { .. } => "not_covered",
            Self::Unfit { .. } => "unfit_root",
            Self::Unfinished { .. } => "unfinished",
            Self::Unsound { .. } => "disk_unsound",
        }
    }
}

/// A path of a tree as people see it, for errors.
pub(super) fn shown(root: &Path, at: &FsPath) -> PathBuf {
    at.parts().fold(root.to_path_buf(), |path, part| path.join(part))
}

/// An error of the system, with what was being done to what.
pub(super) fn io_error(root: &Path, doing: &'static str, at: &FsPath, source: io::Error) -> SaveError {
    DiskError::Io { doing, path: shown(root, at), source }.into()
}
