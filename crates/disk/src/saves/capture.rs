//! Reading the live files of a save set into the store.
//!
//! All of it is looked at before and after it is read, and only if nothing changed in between is there a result: half of a
//! save that a game is writing is no save. What cannot be read is an error, never an absence. Whether the result becomes
//! a snapshot, and with which parents, is the caller's.

use std::collections::BTreeMap;
use std::io;

use bonfire_proto::limits::SAVE_SIZE_MAX;
use bonfire_proto::save::{INLINE_LIST_MAX, SNAPSHOT_FORMAT, content_hash};
use bonfire_proto::{
    Digest, GameId, Hlc, ObjectRef, PeerId, PlayerId, RelPath, SaveEntry, SlotName, Snapshot, SnapshotId, SnapshotKind,
};
use serde::{Deserialize, Serialize};

use super::chunking::{CONTENT, Cutter};
use super::error::SaveError;
use super::objects::{Batch, Lease};
use super::roots::{LeftOut, Look, SaveRoot, Seen, look};
use super::snapshots::SaveStore;
use super::{archive, list};
use crate::error::DiskError;
use crate::fs::{FsFile, Kind, read_full_at};
use crate::hash::FileStamp;

/// A file this young when it is read may change again without its time showing it: exFAT counts in 2 s.
pub(super) const YOUNG_MS: i64 = 2_000;
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What is known of a live file from an earlier reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What it was when it was read.
    pub stamp: FileStamp,
    /// Whether it was old enough then that an equal stamp means equal bytes.
    pub settled: bool,
    /// What it held.
    pub entry: SaveEntry,
}

/// What is known of the live files of a save set, by path in the snapshot. Kept between captures it saves reading again
/// what did not change; lost, everything is read once more.
pub type Listing = BTreeMap<RelPath, Listed>;

/// What reading a save set led to.
#[derive(Debug)]
pub enum Capture {
    /// All of it, from one moment.
    Whole(Box<Captured>),
    /// It changed while it was read. Nothing was kept.
    Changing {
        /// What changed, for people: the first thing seen.
        path: String,
    },
}

/// A save set as it was at one moment, with its content in the store. The lease keeps that content there; it has to live
/// until the snapshot is put.
#[derive(Debug)]
pub struct Captured {
    /// The files, sorted by path.
    pub entries: Vec<SaveEntry>,
    /// Where the list of files is kept, when it is too long to stand in the snapshot.
    pub list: Vec<ObjectRef>,
    /// Bytes of all files.
    pub size: u64,
    /// What is now known of the live files.
    pub listing: Listing,
    /// What was seen and is no part of the save.
    pub left_out: Vec<LeftOut>,
    /// Bytes of live files that were read.
    pub bytes_read: u64,
    /// Objects that were not in the store before, and their bytes there.
    pub new_objects: (u64, u64),
    /// Keeps the content.
    pub lease: Lease,
}

/// What a snapshot says beside its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lineage {
    /// Whose save.
    pub player: PlayerId,
    /// Of which game.
    pub game_id: GameId,
    /// Of which line.
    pub slot: SlotName,
    /// What it was made from, sorted.
    pub parents: Vec<SnapshotId>,
    /// Where.
    pub device: PeerId,
    /// When, for order.
    pub hlc: Hlc,
    /// When, in milliseconds since 1970, for people.
    pub created_at: u64,
    /// Why.
    pub kind: SnapshotKind,
    /// What the player wrote about it.
    pub note: Option<String>,
}

impl Captured {
    /// The snapshot of this content.
    #[must_use]
    pub fn snapshot(&self, lineage: Lineage) -> Snapshot {
        Snapshot {
            format: SNAPSHOT_FORMAT,
            player: lineage.player,
            game_id: lineage.game_id,
            slot: lineage.slot,
            parents: lineage.parents,
            device: lineage.device,
            hlc: lineage.hlc,
            created_at: lineage.created_at,
            kind: lineage.kind,
            note: lineage.note,
            played_ms: 0,
            content_hash: content_hash(&self.entries),
            files: self.entries.len() as u64,
            size: self.size,
            entries: if self.list.is_empty() { self.entries.clone() } else { Vec::new() },
            list: self.list.clone(),
        }
    }
}

impl SaveStore {
    /// Reads the save set that lives in these roots. A file whose size and time are those of `previous` is not read
    /// again, provided it was old enough then and its content is in the store. `now_ms` is the wall clock in milliseconds
    /// since 1970; a wrong one only costs reading.
    ///
    /// # Errors
    /// Whatever the disk reports of any folder or file; `TooMuch`. Nothing was kept then.
    pub fn capture(&self, roots: &[SaveRoot], previous: &Listing, now_ms: i64) -> Result<Capture, SaveError> {
        let before = look(roots)?;
        let lease = self.lease();
        let mut reading = Reading { roots, batch: self.batch(&lease), now_ms, bytes_read: 0 };
        let mut listing = Listing::new();
        let mut size = 0u64;
        for (path, seen) in &before.files {
            let listed = match reading.known(path, seen, previous)? {
                Some(known) => known,
                None => match reading.read(path, seen)? {
                    Some(read) => read,
                    None => return Ok(Capture::Changing { path: path.as_str().to_owned() }),
                },
            };
            size = size.saturating_add(listed.entry.size);
            listing.insert(path.clone(), listed);
        }
        let after = look(roots)?;
        if let Some(path) = difference(&before, &after) {
            return Ok(Capture::Changing { path });
        }
        if let Some(root) = roots.first()
            && size > SAVE_SIZE_MAX
        {
            let path = root.folder.clone();
            return Err(DiskError::TooMuch { path, what: "bytes in a save", limit: SAVE_SIZE_MAX }.into());
        }
        let entries: Vec<SaveEntry> = listing.values().map(|l| l.entry.clone()).collect();
        let Reading { mut batch, bytes_read, .. } = reading;
        let list = put_list(&mut batch, &entries)?;
        let new_objects = batch.new_objects();
        batch.commit()?;
        let left_out = before.left_out.into_iter().collect();
        Ok(Capture::Whole(Box::new(Captured {
            entries,
            list,
            size,
            listing,
            left_out,
            bytes_read,
            new_objects,
            lease,
        })))
    }
}

/// Puts a list of files as objects when it is too long to stand in the snapshot.
pub(super) fn put_list(batch: &mut Batch, entries: &[SaveEntry]) -> Result<Vec<ObjectRef>, SaveError> {
    let text = list::lines(entries)?;
    if text.len() <= INLINE_LIST_MAX { Ok(Vec::new()) } else { list::cut(&text, |piece| batch.put(piece)) }
}

/// The first thing that is not as it was.
fn difference(before: &Look, after: &Look) -> Option<String> {
    let changed = before.files.iter().find(|(p, seen)| after.files.get(*p) != Some(*seen));
    let new = || after.files.keys().find(|p| !before.files.contains_key(*p));
    let odd = || before.left_out.symmetric_difference(&after.left_out).next();
    changed.map(|(p, _)| p).or_else(new).map(|p| p.as_str().to_owned()).or_else(|| odd().map(|o| o.path.clone()))
}

struct Reading<'a> {
    roots: &'a [SaveRoot],
    batch: Batch,
    now_ms: i64,
    bytes_read: u64,
}

impl Reading<'_> {
    /// What is known of a file that need not be read again.
    fn known(&mut self, path: &RelPath, seen: &Seen, previous: &Listing) -> Result<Option<Listed>, SaveError> {
        let Some(known) = previous.get(path) else { return Ok(None) };
        if !known.settled || known.stamp != seen.stamp || known.entry.path != *path {
            return Ok(None);
        }
        for object in known.entry.objects() {
            if !self.batch.keep(&object)? {
                return Ok(None);
            }
        }
        Ok(Some(known.clone()))
    }

    /// Reads a file into the store; `None` when it is not, or no longer, what was seen.
    fn read(&mut self, path: &RelPath, seen: &Seen) -> Result<Option<Listed>, SaveError> {
        let root = &self.roots[seen.root];
        let file = match root.fs.open_read(&seen.at) {
            Ok(file) => file,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidInput) => return Ok(None),
            Err(e) => return Err(root.io("opening", &seen.at, e)),
        };
        let same = |file: &dyn FsFile| {
            let meta = file.stat().map_err(|e| root.io("looking at", &seen.at, e))?;
            Ok::<bool, SaveError>(meta.kind == Kind::File && FileStamp::of(&meta) == seen.stamp)
        };
        if !same(&*file)? {
            return Ok(None);
        }
        let mut pieces = Vec::new();
        let batch = &mut self.batch;
        let mut put = |piece: &[u8]| {
            pieces.push(batch.put(piece)?);
            Ok::<(), SaveError>(())
        };
        let (mut hasher, mut cutter) = (blake3::Hasher::new(), Cutter::new(CONTENT));
        let mut buf = vec![0; PIECE.min(usize::try_from(seen.stamp.size).unwrap_or(PIECE)).max(1)];
        let (mut at, mut is_archive) = (0u64, false);
        while at < seen.stamp.size {
            let n = read_full_at(&*file, &mut buf, at).map_err(|e| root.io("reading", &seen.at, e))?;
            if n == 0 {
                return Ok(None);
            }
            is_archive |= at == 0 && archive::may_be(&buf[..n]);
            hasher.update(&buf[..n]);
            cutter.push(&buf[..n], &mut put)?;
            at += n as u64;
        }
        cutter.finish(&mut put)?;
        let archive =
            if is_archive { archive::hash(&*file, at).map_err(|e| root.io("reading", &seen.at, e))? } else { None };
        if at != seen.stamp.size || !same(&*file)? {
            return Ok(None);
        }
        self.bytes_read += at;
        if pieces.len() == 1 {
            pieces.clear();
        }
        let mtime = seen.stamp.mtime_ns.div_euclid(1_000_000);
        let blake3 = Digest(*hasher.finalize().as_bytes());
        let entry = SaveEntry { path: path.clone(), size: at, mtime, blake3, archive, pieces };
        let settled = self.now_ms.saturating_sub(mtime) > YOUNG_MS;
        Ok(Some(Listed { stamp: seen.stamp, settled, entry }))
    }
}
