//! What was downloaded into a game root, noted in the root itself: so that a person's own files beside it are told from the
//! game's when the state database is lost, or when the folder is given to another machine.
//!
//! Says what a download left, not what is there now. A note that cannot be understood is never taken for none: it says that
//! something was downloaded, and nobody knows what.

use std::collections::BTreeMap;

use bonfire_proto::limits::MANIFEST_FILES_MAX;
use bonfire_proto::{Digest, GameId, Manifest, ManifestFile, RelPath};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::DiskError;
use crate::fs::FsPath;
use crate::games::{GamesFolder, Inner};
use crate::hash::FileStamp;

/// Its name in a game root.
pub(crate) const NAME: &str = ".bonfire.download";
/// Its next version while it is written.
pub(crate) const TMP: &str = ".bonfire.download.tmp";
const FORMAT: u32 = 1;
/// 200,000 files of 1 KiB of path each, and room.
const LEN_MAX: u64 = 512 << 20;

/// A downloaded file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotedFile {
    /// Bytes.
    pub size: u64,
    /// Time of last change when the download ended, in nanoseconds since 1970: as long as it and the size are the same, the
    /// content is taken to be.
    pub mtime_ns: i64,
    /// BLAKE3 of its content.
    pub blake3: Digest,
}

/// What was downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadNote {
    format: u32,
    /// The version as `version.ini` stated it.
    pub version: String,
    /// The files, `version.ini` among them.
    pub files: BTreeMap<RelPath, NotedFile>,
}

/// What every format begins with.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

impl DownloadNote {
    /// Of a complete manifest and what its files are on disk, in its order; `None` when a hash or a stamp is missing.
    #[must_use]
    pub fn new(manifest: &Manifest, stamps: &[FileStamp]) -> Option<Self> {
        if manifest.files.len() != stamps.len() {
            return None;
        }
        let noted = |(f, s): (&ManifestFile, &FileStamp)| {
            Some((f.path.clone(), NotedFile { size: f.size, mtime_ns: s.mtime_ns, blake3: f.blake3? }))
        };
        let files = manifest.files.iter().zip(stamps).map(noted).collect::<Option<_>>()?;
        Some(Self { format: FORMAT, version: manifest.eti_version.clone(), files })
    }

    /// The file list that was downloaded, with every hash.
    #[must_use]
    pub fn manifest(&self, game: &GameId) -> Manifest {
        let file = |(path, f): (&RelPath, &NotedFile)| ManifestFile {
            path: path.clone(),
            size: f.size,
            blake3: Some(f.blake3),
        };
        Manifest::new(game.clone(), self.version.clone(), self.files.iter().map(file).collect())
    }

    /// Whether a file that is this now is as the download left it.
    #[must_use]
    pub fn is_as_left(&self, path: &RelPath, stamp: &FileStamp) -> bool {
        self.files.get(path).is_some_and(|f| f.size == stamp.size && f.mtime_ns == stamp.mtime_ns)
    }

    /// One line of JSON and one with its BLAKE3.
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("BUG: a note always serialises");
        let check = blake3::hash(&bytes).to_hex();
        bytes.push(b'\n');
        bytes.extend_from_slice(check.as_bytes());
        bytes.push(b'\n');
        bytes
    }

    /// Why it is none, where it is none.
    fn parse(bytes: &[u8], game: &GameId) -> Result<Self, String> {
        let damaged = || "it is damaged".to_owned();
        let mut lines = bytes.split(|b| *b == b'\n');
        let (Some(body), Some(check), Some([]), None) = (lines.next(), lines.next(), lines.next(), lines.next()) else {
            return Err(damaged());
        };
        if blake3::hash(body).to_hex().as_bytes() != check {
            return Err(damaged());
        }
        // Asked first, so that a later format is told from one that makes no sense.
        let Format { format } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        if format != FORMAT {
            return Err(format!("format {format}"));
        }
        let note: Self = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        if note.files.len() > MANIFEST_FILES_MAX {
            return Err(format!("over {MANIFEST_FILES_MAX} files"));
        }
        // Paths that no download of ours leaves are no list of what one left.
        note.manifest(game).check().map_err(|e| e.to_string())?;
        Ok(note)
    }
}

impl GamesFolder {
    /// What was downloaded into a game's root, whatever lies there now; `None` without a note.
    ///
    /// # Errors
    /// `UnknownFormat` when there is one that is damaged or of a later format; the disk's.
    pub fn download_note(&self, game: &GameId) -> Result<Option<DownloadNote>, DiskError> {
        read(&self.inner, game)
    }
}

/// As [`GamesFolder::download_note`].
pub(crate) fn read(inner: &Inner, game: &GameId) -> Result<Option<DownloadNote>, DiskError> {
    let path = FsPath::game(game).child(NAME);
    let unknown = |reason: String| Err(DiskError::UnknownFormat { path: inner.shown(&path), reason });
    match atomic::read_small(&*inner.fs, &path, LEN_MAX) {
        Ok(None) => Ok(None),
        Ok(Some(bytes)) => DownloadNote::parse(&bytes, game).map(Some).or_else(unknown),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => {
            unknown(e.to_string())
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotADirectory => Ok(None),
        Err(e) => Err(inner.io("reading", &path, e)),
    }
}

/// Writes the note, durably.
pub(crate) fn write(inner: &Inner, root: &FsPath, note: &DownloadNote) -> Result<(), DiskError> {
    let to = root.child(NAME);
    atomic::replace(&*inner.fs, &root.child(TMP), &to, &note.to_bytes()).map_err(|e| inner.io("writing", &to, e))
}

/// Removes the note of a game whose files went. Not durable.
pub(crate) fn remove(inner: &Inner, root: &FsPath) -> Result<(), DiskError> {
    let path = root.child(NAME);
    // Whatever else lies under that name is not ours.
    if inner.kind(&path)? == Some(crate::fs::Kind::File) {
        atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
