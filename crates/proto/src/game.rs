//! Games as peers tell each other about them: the line in a list, the file list, and their hashes.

use serde::{Deserialize, Serialize};

use crate::chunk::chunk_count;
use crate::digest::FieldHasher;
use crate::ids::{ContentHash, Digest, GameId, LibraryEpoch, ManifestHash};
use crate::limits::{MANIFEST_FILES_MAX, MANIFEST_SIZE_MAX, SENTINEL_LEN_MAX};
use crate::rel_path::{Collision, RelPath, check_collisions};

/// Whether a game can be had from the peer that lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Availability {
    /// Complete, in the catalog, no operation active.
    Ready,
    /// Being downloaded there.
    Downloading,
    /// There, but not to be had: not in the catalog, not downloaded, or busy.
    LocalOnly,
}

/// One game in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameSummary {
    /// Folder name and identity.
    pub id: GameId,
    /// Name for people; cleaned before it is shown.
    pub name: String,
    /// Version as `version.ini` states it; empty when it states none.
    pub eti_version: String,
    /// Bytes of all files of the manifest.
    pub size: u64,
    /// Whether the sentinel is a regular file.
    pub downloaded: bool,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Hash of the file list.
    pub manifest_hash: ManifestHash,
    /// Hash of the content, once every file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<ContentHash>,
    /// Whether it can be had.
    pub availability: Availability,
}

/// One file of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Path beneath the game root.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// The file's BLAKE3 hash (what `b3sum` prints), once it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<Digest>,
}

/// The file list of a game, sorted by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The game.
    pub game_id: GameId,
    /// Version as `version.ini` states it.
    pub eti_version: String,
    /// Hash over (path, size).
    pub manifest_hash: ManifestHash,
    /// Hash over (path, size, BLAKE3) when every file's hash is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<ContentHash>,
    /// The files, sorted by path, without duplicates or collisions.
    pub files: Vec<ManifestFile>,
}

/// Why a manifest from elsewhere is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// More than `MANIFEST_FILES_MAX` files.
    #[error("more than {MANIFEST_FILES_MAX} files")]
    TooManyFiles,
    /// More than `MANIFEST_SIZE_MAX` bytes in all.
    #[error("more than {MANIFEST_SIZE_MAX} bytes")]
    TooLarge,
    /// Not sorted by path, or a path twice.
    #[error("files not sorted by path, or a path twice, at {0}")]
    Unsorted(RelPath),
    /// Two paths that are one on some file system.
    #[error(transparent)]
    Collision(#[from] Collision),
    /// A path that no peer may offer (see `is_reserved`).
    #[error("reserved path {0}")]
    Reserved(RelPath),
    /// A hash that is not the hash of the list.
    #[error("{0} does not match the file list")]
    HashMismatch(&'static str),
    /// No `version.ini` in the root: such a game could never be marked complete.
    #[error("no version.ini in the root of the game")]
    NoSentinel,
    /// A `version.ini` over `SENTINEL_LEN_MAX`, which could not be held in memory until the commit.
    #[error("version.ini of {0} bytes is over the limit of {SENTINEL_LEN_MAX}")]
    SentinelTooLarge(u64),
}

/// Name of the sentinel file in a game root.
pub const SENTINEL: &str = "version.ini";

/// First path components that are never transferred: state of this machine, scratch, and other tools' markers.
pub const RESERVED_ROOT_NAMES: &[&str] = &[
    "local",
    ".local.installing",
    ".local.backup",
    ".version.ini.tmp",
    ".version.ini.discarded",
    ".lanspread.json",
    ".lanspread.json.tmp",
    ".lanspread_owned",
    ".bonfire.part",
    ".bonfire.part.tmp",
    ".bonfire.download",
    ".bonfire.download.tmp",
    ".softlan_game_installed",
    ".sync",
];

/// Whether a path beneath a game root is never part of a manifest and never served, in any spelling that a file system
/// would take for the same name.
#[must_use]
pub fn is_reserved(path: &RelPath) -> bool {
    let folded = path.folded();
    let first = folded.split('/').next().unwrap_or("");
    RESERVED_ROOT_NAMES.iter().any(|name| first == *name || is_short_name_of(first, name))
        || (folded == SENTINEL && path.as_str() != SENTINEL)
        || (first == SENTINEL && folded != SENTINEL)
}

/// Whether `folded` may be the 8.3 name that Windows keeps beside the long name `reserved` (`LOCAL~1.INS` opens
/// `.local.installing`). From the fifth such name in a folder on, the stem is two letters and a hash.
fn is_short_name_of(folded: &str, reserved: &str) -> bool {
    let Some((head, tail)) = folded.split_once('~') else { return false };
    let (number, extension) = tail.split_once('.').unwrap_or((tail, ""));
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let (long_stem, long_extension) = reserved.rsplit_once('.').unwrap_or((reserved, ""));
    let letters: String = long_stem.chars().filter(|c| *c != '.').collect();
    // A name whose only dot leads has no extension: its letters are what follows the dot.
    let (letters, long_extension) =
        if letters.is_empty() { (long_extension.to_owned(), "") } else { (letters, long_extension) };
    let has_extension = extension == long_extension.get(..3).unwrap_or(long_extension);
    let is_head = !head.is_empty() && letters.starts_with(head);
    let is_hashed =
        head.len() == 6 && head.get(..2) == letters.get(..2) && head.bytes().skip(2).all(|b| b.is_ascii_hexdigit());
    has_extension && (is_head || is_hashed)
}

impl Manifest {
    /// A manifest over these files, sorted, with its hashes computed. `content_hash` is set when every file has one.
    #[must_use]
    pub fn new(game_id: GameId, eti_version: String, mut files: Vec<ManifestFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let manifest_hash = manifest_hash(&files);
        let content_hash = content_hash(&files);
        Self { game_id, eti_version, manifest_hash, content_hash, files }
    }

    /// Bytes of all files; saturates, because a list that was not checked may claim any size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().fold(0, |sum, f| sum.saturating_add(f.size))
    }

    /// Chunks of all files.
    #[must_use]
    pub fn chunk_total(&self) -> u64 {
        self.files.iter().map(|f| u64::from(chunk_count(f.size))).sum()
    }

    /// The file with this path.
    #[must_use]
    pub fn file(&self, path: &RelPath) -> Option<&ManifestFile> {
        self.files.binary_search_by(|f| f.path.cmp(path)).ok().and_then(|i| self.files.get(i))
    }

    /// Checks a manifest that came from elsewhere: bounds, order, collisions, reserved paths, and that its hashes are
    /// the hashes of its list.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.files.len() > MANIFEST_FILES_MAX {
            return Err(ManifestError::TooManyFiles);
        }
        let mut size = 0u64;
        for f in &self.files {
            size = size.checked_add(f.size).filter(|s| *s <= MANIFEST_SIZE_MAX).ok_or(ManifestError::TooLarge)?;
            if is_reserved(&f.path) {
                return Err(ManifestError::Reserved(f.path.clone()));
            }
        }
        if let Some(pair) = self.files.windows(2).find(|w| w[0].path >= w[1].path) {
            return Err(ManifestError::Unsorted(pair[1].path.clone()));
        }
        check_collisions(self.files.iter().map(|f| &f.path))?;
        match self.files.iter().find(|f| f.path.as_str() == SENTINEL) {
            None => return Err(ManifestError::NoSentinel),
            Some(f) if f.size > SENTINEL_LEN_MAX => return Err(ManifestError::SentinelTooLarge(f.size)),
            Some(_) => {}
        }
        if manifest_hash(&self.files) != self.manifest_hash {
            return Err(ManifestError::HashMismatch("manifest_hash"));
        }
        if self.content_hash.is_some() && content_hash(&self.files) != self.content_hash {
            return Err(ManifestError::HashMismatch("content_hash"));
        }
        Ok(())
    }
}

/// SHA-256 over (path, size) of files sorted by path.
#[must_use]
pub fn manifest_hash(files: &[ManifestFile]) -> ManifestHash {
    let mut h = FieldHasher::new();
    for f in files {
        h.field(f.path.as_str().as_bytes()).number(f.size);
    }
    ManifestHash(h.finish())
}

/// SHA-256 over (path, size, BLAKE3) of files sorted by path; `None` while a file's hash is unknown.
#[must_use]
pub fn content_hash(files: &[ManifestFile]) -> Option<ContentHash> {
    let mut h = FieldHasher::new();
    for f in files {
        h.field(f.path.as_str().as_bytes()).number(f.size).field(&f.blake3?.0);
    }
    Some(ContentHash(h.finish()))
}

/// SHA-256 over the games of a library, which must be sorted by id.
#[must_use]
pub fn library_digest<'a>(games: impl IntoIterator<Item = &'a GameSummary>) -> Digest {
    let mut h = FieldHasher::new();
    for g in games {
        h.field(g.id.as_str().as_bytes())
            .field(g.name.as_bytes())
            .field(g.eti_version.as_bytes())
            .number(g.size)
            .field(&[u8::from(g.downloaded)])
            .field(&[u8::from(g.installed)])
            .field(&g.manifest_hash.0.0)
            .option(g.content_hash.as_ref().map(|c| c.0.0.as_slice()))
            .field(match g.availability {
                Availability::Ready => b"ready",
                Availability::Downloading => b"downloading",
                Availability::LocalOnly => b"local_only",
            });
    }
    h.finish()
}

/// Where a library stands, without its games.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySummary {
    /// Life of the database that counts the revisions.
    pub library_epoch: LibraryEpoch,
    /// Monotonic within the epoch.
    pub library_rev: u64,
    /// Digest over the games.
    pub library_digest: Digest,
    /// Number of games.
    pub game_count: u32,
}
