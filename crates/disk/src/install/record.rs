//! What was installed: a list of files with their content, in the install itself, so that it is renamed with it.
//!
//! Lost or damaged, nobody knows which files are the player's, and all of them are taken to be.

use std::collections::BTreeMap;

use bonfire_engine::installs::Known;
use bonfire_proto::{Digest, GameId, RelPath};
use serde::{Deserialize, Serialize};

use super::{stamp::ExactStamp, tree};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Inner};

/// Its name in the install.
pub(super) const NAME: &str = ".bonfire.install";
/// Its next version while it is written.
pub(super) const TMP: &str = ".bonfire.install.tmp";
const FORMAT: u32 = 1;
/// What the list of files begins with.
const FILES: &[u8] = b",\"files\":";
/// 200,000 files of 1 KiB of path each, and room.
const LEN_MAX: u64 = 512 << 20;

/// An installed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// Bytes.
    pub size: u64,
    /// Time of last change when it was installed, in nanoseconds since 1970. `None` when something else lay there from the
    /// beginning.
    pub mtime_ns: Option<i64>,
    /// Its number when it was installed; 0 where the platform does not tell.
    #[serde(default)]
    pub inode: u64,
    /// When anything of it had changed last; 0 where the platform does not tell. As long as all of this is the same, the
    /// content is taken to be.
    #[serde(default)]
    pub ctime_ns: i64,
    /// BLAKE3 of its content.
    pub blake3: Digest,
}

impl InstalledFile {
    pub(super) fn known(&self) -> Known {
        Known { size: self.size, blake3: self.blake3 }
    }

    /// A file with this content; of `None`, something else lies there.
    pub(super) fn new(known: &Known, stamp: Option<&ExactStamp>) -> Self {
        Self {
            size: known.size,
            mtime_ns: stamp.map(|s| s.mtime_ns),
            inode: stamp.map_or(0, |s| s.inode),
            ctime_ns: stamp.map_or(0, |s| s.ctime_ns),
            blake3: known.blake3,
        }
    }

    /// Whether nobody touched it since.
    pub(super) fn is(&self, stamp: &ExactStamp) -> bool {
        self.is_dated_as(stamp) && (self.inode, self.ctime_ns) == (stamp.inode, stamp.ctime_ns)
    }

    /// Whether it has the length and the time that it was installed with.
    pub(super) fn is_dated_as(&self, stamp: &ExactStamp) -> bool {
        self.size == stamp.size && self.mtime_ns == Some(stamp.mtime_ns)
    }
}

/// What was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallRecord {
    format: u32,
    /// The version as `version.ini` stated it.
    pub version: String,
    /// The files.
    pub files: BTreeMap<RelPath, InstalledFile>,
}

impl InstallRecord {
    /// Of these files.
    #[must_use]
    pub fn new(version: String, files: BTreeMap<RelPath, InstalledFile>) -> Self {
        Self { format: FORMAT, version, files }
    }
}

/// What stands before the files: the whole record takes megabytes.
const HEAD_LEN: usize = 1024;

#[derive(Deserialize)]
struct Head {
    format: u32,
    version: String,
}

impl GamesFolder {
    /// Version of what is installed, as its record begins with it; `None` without an install, or where that is not known.
    ///
    /// # Errors
    /// The disk's.
    pub fn installed_version(&self, game: &GameId) -> Result<Option<String>, DiskError> {
        let (inner, path) = (&*self.inner, FsPath::game(game).child(tree::LOCAL).child(NAME));
        let failed = |e| inner.io("reading", &path, e);
        let file = match inner.fs.open_read(&path) {
            Ok(file) => file,
            // No record, or something else of that name: a folder, or a link.
            Err(_) if !matches!(inner.kind(&path)?, Some(Kind::File)) => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let (mut head, mut len) = ([0; HEAD_LEN], 0);
        while len < HEAD_LEN {
            match file.read_at(&mut head[len..], len as u64) {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(e)),
            }
        }
        // In a text the quotes would not stand alone.
        let begun = head[..len].windows(FILES.len()).position(|at| at == FILES).map(|at| &head[..at]);
        let head = begun.and_then(|begun| serde_json::from_slice::<Head>(&[begun, b"}"].concat()).ok());
        Ok(head.filter(|head| head.format == FORMAT).map(|head| head.version))
    }
}

/// The record of an install; `None` when there is none that can be understood.
pub(super) fn read(inner: &Inner, install: &FsPath) -> Result<Option<InstallRecord>, DiskError> {
    let path = install.child(NAME);
    let bytes = match atomic::read_small(&*inner.fs, &path, LEN_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => {
            return Ok(None);
        }
        Err(e) => return Err(inner.io("reading", &path, e)),
    };
    let record: Option<InstallRecord> =
        serde_json::from_slice(&bytes).ok().filter(|r: &InstallRecord| r.format == FORMAT);
    if record.is_none() {
        tracing::warn!(path = %inner.shown(&path).display(), "the record of an install is not understood");
    }
    Ok(record)
}

/// Writes the record, durably.
pub(super) fn write(inner: &Inner, install: &FsPath, record: &InstallRecord) -> Result<(), DiskError> {
    let path = install.child(NAME);
    let bytes = serde_json::to_vec(record).expect("BUG: a record always serialises");
    atomic::replace(&*inner.fs, &install.child(TMP), &path, &bytes).map_err(|e| inner.io("writing", &path, e))
}
