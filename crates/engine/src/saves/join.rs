//! The snapshots that the rules make: a version, a join, a resolution, a rollback, a tombstone, a branch.
//!
//! Owns what stands in each: parents, kind, and whose content. A join is a function of its parents alone, so that two
//! devices that join the same heads write the same bytes and no third head comes of it. Storing it, and its objects first,
//! is the shell's; no content is read or hashed here.

use std::collections::BTreeMap;

use bonfire_proto::hlc::Hlc;
use bonfire_proto::limits::{NOTE_LEN_MAX, PARENTS_MAX, PLAYED_MS_MAX};
use bonfire_proto::save::{ObjectRef, SNAPSHOT_FORMAT, SaveEntry, SlotName, Snapshot, SnapshotKind, content_hash};
use bonfire_proto::{GameId, PeerId, PlayerId, SaveHash, SnapshotId};

use crate::report::ErrorClass;

/// Snapshots by id, as parents of a new one.
pub type Parents<'a> = BTreeMap<SnapshotId, &'a Snapshot>;

/// Whose line of which game.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The player.
    pub player: PlayerId,
    /// The game.
    pub game_id: GameId,
    /// The line.
    pub slot: SlotName,
}

impl Line {
    /// The line that a snapshot belongs to.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        Self { player: snapshot.player, game_id: snapshot.game_id.clone(), slot: snapshot.slot.clone() }
    }
}

/// Who makes a snapshot, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Where it is made.
    pub device: PeerId,
    /// When, for order in lists.
    pub hlc: Hlc,
    /// When, in milliseconds since 1970-01-01 UTC, for people.
    pub created_at: u64,
    /// What the player wrote about it, at most `NOTE_LEN_MAX` bytes.
    pub note: Option<String>,
}

/// The files of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Hash of it.
    pub content_hash: SaveHash,
    /// Files.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
    /// How long the game ran for it, in milliseconds: of a version that is new, since the ones that it was made from.
    pub played_ms: u64,
    /// The files, sorted by path, unless `list` has them.
    pub entries: Vec<SaveEntry>,
    /// The objects that are the list of files.
    pub list: Vec<ObjectRef>,
}

impl Content {
    /// The files of a snapshot that is there already.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        Self {
            content_hash: snapshot.content_hash,
            files: snapshot.files,
            size: snapshot.size,
            played_ms: snapshot.played_ms,
            entries: snapshot.entries.clone(),
            list: snapshot.list.clone(),
        }
    }

    /// No files.
    #[must_use]
    pub fn none() -> Self {
        let (entries, list) = (Vec::new(), Vec::new());
        Self { content_hash: content_hash(&[]), files: 0, size: 0, played_ms: 0, entries, list }
    }
}

/// Why a snapshot cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// It needs more parents.
    #[error("making the snapshot: it needs {0} parents at least")]
    TooFew(usize),
    /// It would have more parents than one may have.
    #[error("making the snapshot: {0} heads are more than the {PARENTS_MAX} it may have")]
    TooMany(usize),
    /// Two parents are of different players, games or slots.
    #[error("making the snapshot: {0} is not of the same line as the others")]
    OtherLine(SnapshotId),
    /// A join of different contents would choose one.
    #[error("joining: {0} has another content than the others")]
    OtherContent(SnapshotId),
    /// A note over `NOTE_LEN_MAX`.
    #[error("making the snapshot: the note has {0} bytes, over {NOTE_LEN_MAX}")]
    Note(usize),
}

impl BuildError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TooMany(_) | Self::Note(_) => ErrorClass::Refused,
            Self::TooFew(_) | Self::OtherLine(_) | Self::OtherContent(_) => ErrorClass::Bug,
        }
    }

    /// Never: the same parents give the same error.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// A new version of the save, made from `parents`; none for the first one of a line. It was played for as long as the
/// longest of them, and for what its content says besides.
///
/// # Errors
/// `TooMany`, `OtherLine`, `Note`.
pub fn version(line: &Line, parents: &Parents, content: Content, stamp: Stamp) -> Result<Snapshot, BuildError> {
    let before = played(parents);
    let content = Content { played_ms: before.saturating_add(content.played_ms), ..content };
    build(line, parents, SnapshotKind::Save, content, stamp)
}

/// Joins snapshots of equal content, or deletions with edits of equal content: the edit survives. Everything in it is a
/// function of the parents: device and files are those of the edit with the smallest id (of the smallest id when all are
/// deletions), both times and the time played the largest of any parent. Of more than `PARENTS_MAX` it joins the smallest; the next join has
/// the rest.
///
/// # Errors
/// `TooFew` under two parents, `OtherLine`, `OtherContent`.
pub fn join(heads: &Parents) -> Result<Snapshot, BuildError> {
    let parents: Parents = heads.iter().take(PARENTS_MAX).map(|(id, s)| (*id, *s)).collect();
    let edits = || parents.iter().filter(|(_, s)| s.files > 0);
    let (Some((_, from)), 2..) = (edits().chain(&parents).next(), parents.len()) else {
        return Err(BuildError::TooFew(2));
    };
    if let Some((id, _)) = edits().find(|(_, s)| s.content_hash != from.content_hash) {
        return Err(BuildError::OtherContent(*id));
    }
    let hlc = parents.values().map(|s| s.hlc).max().unwrap_or(from.hlc);
    let created_at = parents.values().map(|s| s.created_at).max().unwrap_or(from.created_at);
    let stamp = Stamp { device: from.device, hlc, created_at, note: None };
    let content = Content { played_ms: played(&parents), ..Content::of(from) };
    build(&Line::of(from), &parents, SnapshotKind::Merge, content, stamp)
}

/// Resolves what had diverged: `heads` are all the heads there are, `content` is what the player chose, one of them or
/// anything else of the line's history.
///
/// # Errors
/// `TooFew` without heads, `TooMany`, `OtherLine`, `Note`.
pub fn resolve(heads: &Parents, content: &Snapshot, stamp: Stamp) -> Result<Snapshot, BuildError> {
    on_top(heads, SnapshotKind::Merge, Content::of(content), stamp)
}

/// Goes back to the content of `to` in a new version on top of `heads`. What was not in history yet has to be made a
/// version before, and be the head.
///
/// # Errors
/// `TooFew` without heads, `TooMany`, `OtherLine`, `Note`.
pub fn rollback(heads: &Parents, to: &Snapshot, stamp: Stamp) -> Result<Snapshot, BuildError> {
    on_top(heads, SnapshotKind::Rollback, Content::of(to), stamp)
}

/// Says that the player deleted the save that `heads` are.
///
/// # Errors
/// `TooFew` without heads, `TooMany`, `OtherLine`, `Note`.
pub fn tombstone(heads: &Parents, stamp: Stamp) -> Result<Snapshot, BuildError> {
    on_top(heads, SnapshotKind::Tombstone, Content::none(), stamp)
}

/// The first version of a new slot, with the content of a snapshot of another. It has no parents: lines are compared
/// within a slot only.
///
/// # Errors
/// `Note`.
pub fn branch(from: &Snapshot, slot: SlotName, stamp: Stamp) -> Result<Snapshot, BuildError> {
    version(&Line { slot, ..Line::of(from) }, &Parents::new(), Content::of(from), stamp)
}

fn played(parents: &Parents) -> u64 {
    parents.values().map(|s| s.played_ms).max().unwrap_or(0)
}

fn on_top(heads: &Parents, kind: SnapshotKind, content: Content, stamp: Stamp) -> Result<Snapshot, BuildError> {
    let line = heads.values().next().map(|s| Line::of(s)).ok_or(BuildError::TooFew(1))?;
    build(&line, heads, kind, content, stamp)
}

fn build(
    line: &Line,
    parents: &Parents,
    kind: SnapshotKind,
    content: Content,
    stamp: Stamp,
) -> Result<Snapshot, BuildError> {
    if parents.len() > PARENTS_MAX {
        return Err(BuildError::TooMany(parents.len()));
    }
    if let Some((id, _)) = parents.iter().find(|(_, s)| Line::of(s) != *line) {
        return Err(BuildError::OtherLine(*id));
    }
    if let Some(len) = stamp.note.as_ref().map(String::len).filter(|len| *len > NOTE_LEN_MAX) {
        return Err(BuildError::Note(len));
    }
    let Line { player, game_id, slot } = line.clone();
    Ok(Snapshot {
        format: SNAPSHOT_FORMAT,
        player,
        game_id,
        slot,
        parents: parents.keys().copied().collect(),
        device: stamp.device,
        hlc: stamp.hlc,
        created_at: stamp.created_at,
        kind,
        note: stamp.note,
        played_ms: content.played_ms.min(PLAYED_MS_MAX),
        content_hash: content.content_hash,
        files: content.files,
        size: content.size,
        entries: content.entries,
        list: content.list,
    })
}

#[cfg(test)]
mod tests;
