//! Saves as devices tell each other about them: the snapshot, its list of files, and their hashes.
//!
//! A snapshot is a text: one JSON object, and its id is the BLAKE3 hash of exactly those bytes. What a later version adds
//! to it survives a relay that does not know it, because nobody ever writes a snapshot anew.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::FieldHasher;
use crate::hlc::Hlc;
use crate::ids::{Digest, GameId, IdError, PeerId, PlayerId, SaveHash, SnapshotId};
use crate::limits::{
    NOTE_LEN_MAX, OBJECT_LEN_MAX, PARENTS_MAX, PLAYED_MS_MAX, SAVE_FILES_MAX, SAVE_SIZE_MAX, SLOT_LEN_MAX,
    SNAPSHOT_LEN_MAX,
};
use crate::rel_path::{Collision, RelPath, check_collisions};
use crate::text::is_deceptive;

/// Format that this build writes and reads.
pub const SNAPSHOT_FORMAT: u32 = 1;

/// Longest file list, in bytes of JSON lines, that stands in the snapshot itself. A longer one is kept as objects, in
/// which versions that differ little share most.
pub const INLINE_LIST_MAX: usize = 16 * 1024;

/// Name of a slot: 1 to `SLOT_LEN_MAX` bytes of visible text without control or deceptive characters, and without white
/// space at its ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SlotName(String);

impl SlotName {
    /// The slot of a game whose player names none.
    #[must_use]
    pub fn main() -> Self {
        Self("main".to_owned())
    }

    /// The checked name.
    ///
    /// # Errors
    /// `IdError::Slot`.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        let visible = name.chars().all(|c| !c.is_control() && !is_deceptive(c));
        if name.is_empty() || name.len() > SLOT_LEN_MAX || !visible || name.trim() != name {
            return Err(IdError::Slot);
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for SlotName {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for SlotName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// Why a snapshot was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// The game, or a person, changed the save.
    Save,
    /// The player deleted the save. It has no files; history stays.
    Tombstone,
    /// It joins or resolves what had diverged; its parents are all the heads there were.
    Merge,
    /// The player went back to an earlier content.
    Rollback,
}

/// A piece of content in the store: `objects/` keeps it under its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// BLAKE3 of the piece.
    pub hash: Digest,
    /// Its bytes, from 1 to 1 MiB.
    pub len: u32,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveEntry {
    /// `ROOT/PATH`: the label of the save set's root, then the path beneath it.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// Time of last change in milliseconds since 1970-01-01 UTC, which may be before it. Set again when the file is
    /// written; decides nothing.
    pub mtime: i64,
    /// The file's BLAKE3 hash (what `b3sum` prints).
    pub blake3: Digest,
    /// For a zip archive, the hash of what is in it: see `archive_hash`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<Digest>,
    /// The pieces that make up the file, in order. Absent for an empty file, and for one that is a single piece, which
    /// then has the file's hash and size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<ObjectRef>,
}

impl SaveEntry {
    /// The objects that make up the file, in order.
    #[must_use]
    pub fn objects(&self) -> Vec<ObjectRef> {
        match u32::try_from(self.size) {
            Ok(0) => Vec::new(),
            Ok(len) if self.pieces.is_empty() => vec![ObjectRef { hash: self.blake3, len }],
            _ => self.pieces.clone(),
        }
    }
}

/// One immutable version of a save set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `SNAPSHOT_FORMAT`.
    pub format: u32,
    /// Whose save.
    pub player: PlayerId,
    /// Of which game.
    pub game_id: GameId,
    /// Of which line.
    pub slot: SlotName,
    /// What it was made from, sorted, without duplicates, at most 32. Ancestry alone decides what replaces what.
    pub parents: Vec<SnapshotId>,
    /// Where it was made.
    pub device: PeerId,
    /// When, for order in lists.
    pub hlc: Hlc,
    /// When, in milliseconds since 1970-01-01 UTC by that device's clock, for people.
    pub created_at: u64,
    /// Why.
    pub kind: SnapshotKind,
    /// What the player wrote about it, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How long the game was seen to run on the way to this content, in milliseconds, at most `PLAYED_MS_MAX`; 0 when
    /// nobody saw it run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub played_ms: u64,
    /// Hash of the content: see `content_hash`.
    pub content_hash: SaveHash,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
    /// The files, sorted by path, unless `list` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<SaveEntry>,
    /// The objects that, one after the other, are the list of files: a `SaveEntry` a line, each ended by a line feed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<ObjectRef>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Why a snapshot or its list is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Over `SNAPSHOT_LEN_MAX`.
    #[error("longer than {SNAPSHOT_LEN_MAX} bytes")]
    TooLong,
    /// Not the JSON of a snapshot.
    #[error("no snapshot: {0}")]
    Json(String),
    /// Of a later format.
    #[error("format {0} is unknown")]
    Format(u32),
    /// A field beyond its bound or against its rule.
    #[error("{0} is out of bounds")]
    Field(&'static str),
    /// Entries not sorted by path, or a path twice.
    #[error("files not sorted by path, or a path twice, at {0}")]
    Unsorted(RelPath),
    /// Two paths that are one on some file system.
    #[error(transparent)]
    Collision(#[from] Collision),
    /// The entries are not those that the snapshot counts and hashes.
    #[error("the list of files does not match {0}")]
    Mismatch(&'static str),
}

impl Snapshot {
    /// The bytes that are kept and sent, and whose hash is the id.
    ///
    /// # Errors
    /// `Json` when it cannot be written, `TooLong`.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SnapshotError> {
        let bytes = serde_json::to_vec(self).map_err(|e| SnapshotError::Json(e.to_string()))?;
        if bytes.len() > SNAPSHOT_LEN_MAX { Err(SnapshotError::TooLong) } else { Ok(bytes) }
    }

    /// Reads what `to_bytes` of this or a later version wrote. Believes nothing: every bound and rule holds of what it
    /// returns.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > SNAPSHOT_LEN_MAX {
            return Err(SnapshotError::TooLong);
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|e| SnapshotError::Json(e.to_string()))?;
        read.check()?;
        Ok(read)
    }

    fn check(&self) -> Result<(), SnapshotError> {
        if self.format != SNAPSHOT_FORMAT {
            return Err(SnapshotError::Format(self.format));
        }
        let field = |holds: bool, name| if holds { Ok(()) } else { Err(SnapshotError::Field(name)) };
        let parents = &self.parents;
        field(parents.len() <= PARENTS_MAX && parents.is_sorted_by(|a, b| a < b), "parents")?;
        field(self.note.as_ref().is_none_or(|n| n.len() <= NOTE_LEN_MAX), "note")?;
        field(self.played_ms <= PLAYED_MS_MAX, "played_ms")?;
        field(self.files <= SAVE_FILES_MAX as u64, "files")?;
        field(self.size <= SAVE_SIZE_MAX, "size")?;
        field(self.list.iter().all(ObjectRef::is_bounded), "list")?;
        field(self.list.is_empty() || self.entries.is_empty(), "entries")?;
        field(self.kind != SnapshotKind::Tombstone || self.files == 0, "kind")?;
        if self.list.is_empty() { self.check_entries(&self.entries) } else { Ok(()) }
    }

    /// Whether these are the files that the snapshot speaks of.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check_entries(&self, entries: &[SaveEntry]) -> Result<(), SnapshotError> {
        if let Some(pair) = entries.windows(2).find(|p| p[0].path >= p[1].path) {
            return Err(SnapshotError::Unsorted(pair[1].path.clone()));
        }
        check_collisions(entries.iter().map(|e| &e.path))?;
        let mut size = 0u64;
        for entry in entries {
            if entry.path.parts().nth(1).is_none() {
                return Err(SnapshotError::Field("path"));
            }
            let is_canonical = entry.pieces.is_empty() || (entry.size > 0 && entry.pieces.len() > 1);
            let objects = entry.objects();
            let sum: u64 = objects.iter().map(|o| u64::from(o.len)).sum();
            if !is_canonical || sum != entry.size || !objects.iter().all(ObjectRef::is_bounded) {
                return Err(SnapshotError::Field("pieces"));
            }
            size = size.checked_add(entry.size).ok_or(SnapshotError::Field("size"))?;
        }
        if entries.len() as u64 != self.files {
            return Err(SnapshotError::Mismatch("files"));
        }
        if size != self.size {
            return Err(SnapshotError::Mismatch("size"));
        }
        if content_hash(entries) != self.content_hash {
            return Err(SnapshotError::Mismatch("content_hash"));
        }
        Ok(())
    }
}

impl ObjectRef {
    fn is_bounded(&self) -> bool {
        (1..=OBJECT_LEN_MAX).contains(&self.len)
    }
}

/// The id of a snapshot: BLAKE3 of its bytes.
#[must_use]
pub fn snapshot_id(bytes: &[u8]) -> SnapshotId {
    SnapshotId(Digest(*blake3::hash(bytes).as_bytes()))
}

/// The content of a save: SHA-256 over its files sorted by path, each as path, then 0, size and BLAKE3, or for a zip
/// archive 1 and its `archive_hash`. Times are no part of it. A file and an archive of that file differ.
#[must_use]
pub fn content_hash(entries: &[SaveEntry]) -> SaveHash {
    let mut hasher = FieldHasher::new();
    for entry in entries {
        hasher.field(entry.path.as_str().as_bytes());
        match &entry.archive {
            None => hasher.field(&[0]).number(entry.size).field(&entry.blake3.0),
            Some(inner) => hasher.field(&[1]).field(&inner.0),
        };
    }
    SaveHash(hasher.finish())
}

/// What is in an archive: SHA-256 over its files as (name, size, BLAKE3), sorted by the bytes of the name. Order, times,
/// compression and folders are no part of it.
#[must_use]
pub fn archive_hash(mut files: Vec<(Vec<u8>, u64, Digest)>) -> Digest {
    files.sort();
    let mut hasher = FieldHasher::new();
    for (name, size, blake3) in &files {
        hasher.field(name).number(*size).field(&blake3.0);
    }
    hasher.finish()
}
