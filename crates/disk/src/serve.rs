//! Reading chunks of a complete game for another peer.

use std::sync::Arc;

use bonfire_proto::game::is_reserved;
use bonfire_proto::{GameId, RelPath, chunk_span};

use crate::error::ServeError;
use crate::fs::{FsFile, FsPath, Kind};
use crate::games::{GamesFolder, Inner};
use crate::hash::FileStamp;

/// A file open for serving. Every read checks before and after that the file is still what it was.
#[derive(Debug)]
pub struct ServedFile {
    inner: Arc<Inner>,
    at: FsPath,
    file: Box<dyn FsFile>,
    stamp: FileStamp,
}

impl GamesFolder {
    /// Opens a file of a game to serve it.
    ///
    /// # Errors
    /// `OutOfRange` for a path that is never served (`local/`, scratch, markers); `Changed` when the file is not what
    /// the stamp says; the disk's.
    pub fn open_serving(&self, game: &GameId, path: &RelPath, stamp: &FileStamp) -> Result<ServedFile, ServeError> {
        let at = FsPath::game(game).beneath(path);
        let inner = &self.inner;
        if is_reserved(path) {
            return Err(ServeError::OutOfRange { path: inner.shown(&at) });
        }
        let file = match inner.fs.open_read(&at) {
            Ok(f) => f,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => {
                return Err(ServeError::Changed { path: inner.shown(&at) });
            }
            Err(e) => return Err(ServeError::Disk(inner.io("opening", &at, e))),
        };
        let served = ServedFile { inner: inner.clone(), at, file, stamp: *stamp };
        served.check()?;
        Ok(served)
    }
}

impl ServedFile {
    /// The stamp that the file had and has.
    #[must_use]
    pub fn stamp(&self) -> FileStamp {
        self.stamp
    }

    /// Reads a whole chunk into the buffer, whose content is replaced. On error the buffer's content means nothing.
    ///
    /// # Errors
    /// `OutOfRange` when the file has no such chunk; `Changed`; the disk's.
    pub fn read_chunk(&self, index: u32, buf: &mut Vec<u8>) -> Result<(), ServeError> {
        let (start, len) = chunk_span(self.stamp.size, index)
            .ok_or_else(|| ServeError::OutOfRange { path: self.inner.shown(&self.at) })?;
        // A chunk is at most 4 MiB.
        buf.resize(usize::try_from(len).unwrap_or(0), 0);
        let n = crate::fs::read_full_at(&*self.file, buf, start)
            .map_err(|e| ServeError::Disk(self.inner.io("reading", &self.at, e)))?;
        if n < buf.len() {
            return Err(self.changed());
        }
        self.check()
    }

    fn check(&self) -> Result<(), ServeError> {
        let meta = self.file.stat().map_err(|e| ServeError::Disk(self.inner.io("reading", &self.at, e)))?;
        if meta.kind != Kind::File || FileStamp::of(&meta) != self.stamp {
            return Err(self.changed());
        }
        Ok(())
    }

    fn changed(&self) -> ServeError {
        ServeError::Changed { path: self.inner.shown(&self.at) }
    }
}
