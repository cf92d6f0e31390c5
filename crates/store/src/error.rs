//! What can go wrong with the database, and who can do something about it.

use std::path::PathBuf;

use bonfire_engine::report::ErrorClass;
use rusqlite::ErrorCode as Code;

/// Result of everything here.
pub type StoreResult<T> = Result<T, StoreError>;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite or the disk beneath it refused.
    #[error("{doing} in {}", path.display())]
    Sqlite {
        /// The database file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// SQLite's word.
        source: rusqlite::Error,
    },
    /// The file could not be looked at.
    #[error("reading {}", path.display())]
    Io {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is a database, but of another program.
    #[error("{} is not a database of Bonfire", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer Bonfire. It was not touched.
    #[error("{} has schema {found}, written by a newer Bonfire; this one knows schemas up to {known}", path.display())]
    Future {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest schema known here.
        known: i64,
    },
    /// The file is damaged.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite finds.
        detail: String,
    },
    /// A row says something that was never written.
    #[error("{} is damaged: {what} in table {table}", path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// What is wrong with the row.
        what: String,
    },
    /// A value that cannot be stored: a number over 2^63 - 1, or hashes that do not belong together.
    #[error("{what} cannot be stored in {}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// The value.
        what: String,
    },
    /// A library change that does not follow the revision in the database: someone else has written it.
    #[error("{} stands at library revision {found}, so revision {wanted} cannot be written", path.display())]
    Revision {
        /// The file.
        path: PathBuf,
        /// The revision in the database.
        found: u64,
        /// The revision that was to be written.
        wanted: u64,
    },
}

impl StoreError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Io { .. } | Self::NotOurs { .. } | Self::Future { .. } => ErrorClass::Environment,
            Self::Damaged { .. } | Self::BadRow { .. } => ErrorClass::Corruption,
            Self::BadValue { .. } | Self::Revision { .. } => ErrorClass::Bug,
            Self::Sqlite { source, .. } => match source.sqlite_error_code() {
                Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorClass::Corruption,
                Some(
                    Code::DatabaseBusy
                    | Code::DatabaseLocked
                    | Code::DiskFull
                    | Code::SystemIoFailure
                    | Code::CannotOpen
                    | Code::PermissionDenied
                    | Code::ReadOnly
                    | Code::FileLockingProtocolFailed
                    | Code::NoLargeFileSupport
                    | Code::OutOfMemory,
                ) => ErrorClass::Environment,
                _ => ErrorClass::Bug,
            },
        }
    }

    /// Whether the same call may succeed later by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::DiskFull | Code::FileLockingProtocolFailed)
            ),
            _ => false,
        }
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        match self {
            Self::Sqlite { path, .. }
            | Self::Io { path, .. }
            | Self::NotOurs { path }
            | Self::Future { path, .. }
            | Self::Damaged { path, .. }
            | Self::BadRow { path, .. }
            | Self::BadValue { path, .. }
            | Self::Revision { path, .. } => path,
        }
    }
}

/// An error within a table, before the file's name is known to it.
#[derive(Debug)]
pub(crate) enum Fault {
    Sqlite(rusqlite::Error),
    BadRow { table: &'static str, what: String },
    BadValue(String),
    Revision { found: u64, wanted: u64 },
}

impl Fault {
    pub(crate) fn row(table: &'static str, what: impl std::fmt::Display) -> Self {
        Self::BadRow { table, what: what.to_string() }
    }

    /// The error with the file's name and what was being done.
    pub(crate) fn at(self, path: &std::path::Path, doing: &'static str) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Sqlite(source) => StoreError::Sqlite { path, doing, source },
            Self::BadRow { table, what } => StoreError::BadRow { path, table, what },
            Self::BadValue(what) => StoreError::BadValue { path, what },
            Self::Revision { found, wanted } => StoreError::Revision { path, found, wanted },
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(e: rusqlite::Error) -> Self {
        Self::Sqlite(e)
    }
}
