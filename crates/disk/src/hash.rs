//! Hashing the files of a game where they lie.

use bonfire_proto::chunk::{ChunkHasher, merge_chunk_hashes};
use bonfire_proto::{Digest, GameId, RelPath, chunk_count, chunk_span};
use serde::{Deserialize, Serialize};

use crate::error::{DiskError, HashError};
use crate::fs::{FsPath, Kind, Meta};
use crate::games::GamesFolder;

/// What a file was when it was looked at. As long as it is the same, its content is taken to be, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileStamp {
    /// Bytes.
    pub size: u64,
    /// Time of last change in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl FileStamp {
    pub(crate) fn of(meta: &Meta) -> Self {
        Self { size: meta.len, mtime_ns: meta.mtime_ns }
    }
}

/// The hashes of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashedFile {
    /// Digest of each chunk.
    pub chunks: Vec<Digest>,
    /// The file's BLAKE3 hash, to which the chunks merge.
    pub blake3: Digest,
}

/// Bytes read at once.
const PIECE: usize = 1 << 20;

impl GamesFolder {
    /// The first bytes of a file of a game, `len` of them or as many as it has.
    ///
    /// # Errors
    /// `NotFound` and the like as the disk says them.
    pub fn head(&self, game: &GameId, path: &RelPath, len: usize) -> Result<Vec<u8>, DiskError> {
        let inner = &*self.inner;
        let at = FsPath::game(game).beneath(path);
        let mut head = vec![0; len];
        let read = inner.fs.open_read(&at).and_then(|file| crate::fs::read_full_at(&*file, &mut head, 0));
        head.truncate(read.map_err(|e| inner.io("reading", &at, e))?);
        Ok(head)
    }

    /// Hashes a file, asking `keep_going` with the number of bytes read since it was last asked, every MiB or so.
    ///
    /// # Errors
    /// `Changed` when the file is not what `expected` says before or after reading; `Cancelled`; the disk's.
    pub fn hash_file(
        &self,
        game: &GameId,
        path: &RelPath,
        expected: &FileStamp,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<HashedFile, HashError> {
        let inner = &*self.inner;
        let at = FsPath::game(game).beneath(path);
        let changed = || HashError::Changed { path: inner.shown(&at) };
        let io = |doing: &'static str| {
            let at = &at;
            move |e| HashError::Disk(inner.io(doing, at, e))
        };
        let file = match inner.fs.open_read(&at) {
            Ok(f) => f,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidInput) => {
                return Err(changed());
            }
            Err(e) => return Err(io("opening")(e)),
        };
        let same = |meta: Meta| meta.kind == Kind::File && FileStamp::of(&meta) == *expected;
        if !same(file.stat().map_err(io("reading"))?) {
            return Err(changed());
        }
        let count = chunk_count(expected.size);
        let mut chunks = Vec::with_capacity(count as usize);
        let mut buf = vec![0u8; PIECE.min(usize::try_from(expected.size).unwrap_or(PIECE)).max(1)];
        for index in 0..count {
            let (start, len) = chunk_span(expected.size, index).ok_or_else(changed)?;
            let mut hasher = ChunkHasher::new(expected.size, index);
            let (mut pos, end) = (start, start + len);
            while pos < end {
                let want = buf.len().min(usize::try_from(end - pos).unwrap_or(usize::MAX));
                let n = crate::fs::read_full_at(&*file, &mut buf[..want], pos).map_err(io("reading"))?;
                if n < want {
                    return Err(changed());
                }
                hasher.update(&buf[..n]);
                pos += n as u64;
                if !keep_going(n as u64) {
                    return Err(HashError::Cancelled);
                }
            }
            chunks.push(hasher.finish());
        }
        if !same(file.stat().map_err(io("reading"))?) {
            return Err(changed());
        }
        // A file replaced by rename leaves the open one as it was.
        let now = inner.fs.stat(&at).map_err(io("reading"))?;
        if !now.is_some_and(same) {
            return Err(changed());
        }
        let blake3 = merge_chunk_hashes(&chunks).ok_or_else(changed)?;
        Ok(HashedFile { chunks, blake3 })
    }
}
