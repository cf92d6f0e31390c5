//! One peer for each games folder: a lock file in it, held for the life of whoever claimed it.
//!
//! The system lets go of the lock when the process ends, however it ends; the file stays. Two peers in one folder would
//! take up and sweep each other's downloads.

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::error::DiskError;
use crate::fs::{FsFile, FsPath, OpenMode, write_all_at};
use crate::games::GamesFolder;
use crate::{atomic, platform};

/// Name of the lock file.
pub(crate) const LOCK: &str = ".bonfire.lock";

/// Longest holder note that is believed, in bytes.
const NOTE_LEN_MAX: u64 = 1024;

/// Who holds a games folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Its name and version.
    pub program: String,
}

/// A games folder that nobody else has claimed.
#[derive(Debug)]
pub struct Claim {
    _lock: Box<dyn FsFile>,
}

impl GamesFolder {
    /// Claims the folder for as long as the result lives.
    ///
    /// # Errors
    /// `Claimed`, naming the holder as far as it left a note; otherwise why the folder cannot be written, which whoever
    /// only reads games in it may live with: a folder that nobody can write to needs no lock.
    pub fn claim(&self, holder: &Holder) -> Result<Claim, DiskError> {
        let inner = &*self.inner;
        let (path, note) = (FsPath::root().child(LOCK), FsPath::root().child(platform::HOLDER_NOTE));
        drop(inner.fs.open_write(&path, OpenMode::Either).map_err(|e| inner.io("opening", &path, e))?);
        // Held open for reading alone: a file open for writing keeps its owner from making the file system read-only.
        let lock = inner.fs.open_read(&path).map_err(|e| inner.io("opening", &path, e))?;
        match lock.try_lock() {
            Ok(true) => {}
            Ok(false) => {
                return Err(DiskError::Claimed { path: inner.shown(&FsPath::root()), holder: self.note(&note) });
            }
            // A file system without locks: then nothing guards it, as before there was this file.
            Err(e) if e.kind() == ErrorKind::Unsupported => {
                tracing::warn!(path = %inner.shown(&path).display(), "the file system has no locks");
            }
            Err(e) => return Err(inner.io("locking", &path, e)),
        }
        let text = serde_json::to_vec(holder).expect("BUG: a holder always serialises");
        // Not synced: it is for whoever looks while the holder lives.
        let write = |file: &dyn FsFile| file.set_len(0).and_then(|()| write_all_at(file, &text, 0));
        let written: io::Result<()> = inner.fs.open_write(&note, OpenMode::Either).and_then(|file| write(&*file));
        if let Err(e) = written {
            tracing::warn!(path = %inner.shown(&note).display(), error = %e, "cannot note who holds the games folder");
        }
        Ok(Claim { _lock: lock })
    }

    fn note(&self, path: &FsPath) -> Option<Holder> {
        let bytes = atomic::read_small(&*self.inner.fs, path, NOTE_LEN_MAX).ok()??;
        serde_json::from_slice(&bytes).ok()
    }
}
