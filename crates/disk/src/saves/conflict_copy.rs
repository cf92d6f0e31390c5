//! The other side of a conflict, laid beside the live files so that a person sees it: `NAME.conflict-DEVICE`.
//!
//! What is written is recorded durably before, with its hashes, and only exactly that is removed again: a copy that
//! somebody changed or added to stays and is named. Copies are never captured.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonfire_proto::text::clean_to;
use bonfire_proto::{Digest, RelPath, SaveEntry, SlotName, SnapshotId};
use serde::{Deserialize, Serialize};

use super::error::{SaveError, io_error, shown};
use super::journal::{COPIES, SUFFIX, TMP};
use super::roots::{CONFLICT, RootLabel, SCRATCH};
use super::set::SaveSet;
use super::snapshots::SaveStore;
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, Fs, FsFile, FsPath, Kind, OpenMode, read_full_at, write_all_at};

const FORMAT: u32 = 1;
/// Longest record read.
const LEN_MAX: u64 = 256 << 20;
/// Longest name of a device in the name of a copy, in bytes.
const DEVICE_LEN_MAX: usize = 40;
/// How many copies with one name are told apart by a number.
const NUMBERS: u32 = 100;
/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// Where the copy of a root goes.
#[derive(Debug, Clone)]
pub struct CopyPlace {
    /// The root.
    pub label: RootLabel,
    /// The folder that the root's folder is in; for a root that is one file, the folder of that file.
    pub beside: PathBuf,
    /// That folder.
    pub fs: Arc<dyn Fs>,
    /// Name of the root's folder, or of its one file.
    pub name: String,
    /// The name of the one file in snapshots.
    pub snapshot_name: String,
    /// Whether the root is that one file.
    pub is_file: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    format: u32,
    set: SaveSet,
    slot: SlotName,
    snapshot: SnapshotId,
    /// Whether all of it is there. What a crash cut off while it was written or removed is removed at the next start, and
    /// written anew when it is asked for.
    is_done: bool,
    places: Vec<PlaceRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PlaceRecord {
    beside: PathBuf,
    /// The copy's name there.
    name: String,
    /// Files of the copy, by path beneath that name; a copy of one file has the empty path.
    files: Vec<FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    path: String,
    size: u64,
    blake3: Digest,
}

impl FileRecord {
    fn at(&self, copy: &FsPath) -> FsPath {
        if self.path.is_empty() { copy.clone() } else { copy.child(&self.path) }
    }
}

/// A copy of the other side of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictCopy {
    /// Of which save set.
    pub set: SaveSet,
    /// Of which line.
    pub slot: SlotName,
    /// What it is a copy of.
    pub snapshot: SnapshotId,
    /// Where it lies: a folder or file for each root.
    pub at: Vec<PathBuf>,
}

/// What came of removing copies.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CopiesRemoved {
    /// Files removed.
    pub removed: u64,
    /// What stays, since it is not, or not any more, what was written; for people.
    pub left: Vec<PathBuf>,
}

impl SaveStore {
    /// Writes the files of a snapshot beside the live ones. A root whose files it does not have gets no copy. `device` is
    /// the name of the device it came from. Writing the same snapshot again changes nothing that is still there. Returns
    /// the copies.
    ///
    /// # Errors
    /// `TooMuch` when too many copies of that name are there; the store's and the disk's.
    pub fn write_conflict_copy(
        &self,
        set: &SaveSet,
        slot: &SlotName,
        snapshot: &SnapshotId,
        device: &str,
        places: &[CopyPlace],
    ) -> Result<Vec<PathBuf>, SaveError> {
        let entries = self.entries(&self.snapshot(snapshot)?)?;
        let path = record_path(set, slot, snapshot);
        let folder = |at: &Path| {
            let place = places.iter().find(|p| p.beside == at);
            place.map(|p| p.fs.clone()).ok_or_else(|| io::Error::other("no folder that copies go to any more"))
        };
        match self.read_record(&path)? {
            Some(record) if record.is_done => {
                return Ok(record.places.iter().map(|p| p.beside.join(&p.name)).collect());
            }
            // Neither written nor taken away to the end: what is left of it is no copy.
            Some(record) => self.discard(&path, &record, &folder).map(|_| ())?,
            None => {}
        }
        let mut record = Record {
            format: FORMAT,
            set: set.clone(),
            slot: slot.clone(),
            snapshot: *snapshot,
            is_done: false,
            places: Vec::new(),
        };
        let mut jobs = Vec::new();
        for place in places {
            let files: Vec<(&SaveEntry, FileRecord)> =
                entries.iter().filter_map(|e| Some((e, place.file_of(e)?))).collect();
            if files.is_empty() {
                continue;
            }
            let name = place.free_name(device)?;
            record.places.push(PlaceRecord {
                beside: place.beside.clone(),
                name: name.clone(),
                files: files.iter().map(|(_, f)| f.clone()).collect(),
            });
            jobs.push((place, FsPath::root().child(&name), files));
        }
        self.write_record(&path, &record)?;
        let written = jobs.iter().enumerate().try_for_each(|(number, (place, copy, files))| {
            let scratch = FsPath::root().child(&scratch_name(&path, number));
            self.write_copy(place, &scratch, copy, files)
        });
        record.is_done = true;
        if let Err(e) = written.and_then(|()| self.write_record(&path, &record)) {
            record.is_done = false;
            // What cannot be taken back now is at the next start.
            let _ = self.write_record(&path, &record).and_then(|()| self.discard(&path, &record, &folder));
            return Err(e);
        }
        Ok(record.places.iter().map(|p| p.beside.join(&p.name)).collect())
    }

    /// Removes the copies of a slot, all of them or that of one snapshot, as far as they are still what was written.
    /// `open` opens a folder as the record names it.
    ///
    /// # Errors
    /// The disk's; the record stays, and it can be tried again.
    pub fn remove_conflict_copies(
        &self,
        set: &SaveSet,
        slot: &SlotName,
        only: Option<&SnapshotId>,
        open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>,
    ) -> Result<CopiesRemoved, SaveError> {
        let mut out = CopiesRemoved::default();
        for (path, mut record) in self.records()? {
            if record.set != *set || record.slot != *slot || only.is_some_and(|id| *id != record.snapshot) {
                continue;
            }
            // Half a copy is none: a crash in the middle leaves the rest to the next start.
            record.is_done = false;
            self.write_record(&path, &record)?;
            let CopiesRemoved { removed, left } = self.discard(&path, &record, open)?;
            out.removed += removed;
            out.left.extend(left);
        }
        Ok(out)
    }

    /// Removes what a crash left of copies that were being written. To be called after `SaveStore::open`.
    ///
    /// # Errors
    /// When the records cannot be listed or read; the disk's.
    pub fn recover_conflict_copies(&self, open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>) -> Result<(), SaveError> {
        let undone: Vec<_> = self.records()?.into_iter().filter(|(_, record)| !record.is_done).collect();
        if !undone.is_empty() {
            // What a killed process left is seen, and perhaps not durable: a power cut must not bring back a record that
            // calls done what is half removed.
            let folder = FsPath::root().child(COPIES);
            self.inner.fs.sync_dir(&folder).map_err(|e| self.inner.failed_sync(&folder, e))?;
        }
        for (path, record) in undone {
            self.discard(&path, &record, open)?;
        }
        Ok(())
    }

    /// Removes the copies of a record, and the record last.
    fn discard(
        &self,
        path: &FsPath,
        record: &Record,
        open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>,
    ) -> Result<CopiesRemoved, SaveError> {
        let mut out = CopiesRemoved::default();
        for (number, place) in record.places.iter().enumerate() {
            match open(&place.beside) {
                Ok(fs) => {
                    remove_tree(place, &*fs, &FsPath::root().child(&scratch_name(path, number)))?;
                    place.remove(&*fs, &mut out)?;
                }
                // With the folder the copy is gone.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(io_error(&place.beside, "opening", &FsPath::root(), e)),
            }
        }
        let inner = &*self.inner;
        atomic::remove_if_there(&*inner.fs, path).map_err(|e| inner.io("removing", path, e))?;
        let folder = FsPath::root().child(COPIES);
        inner.fs.sync_dir(&folder).map_err(|e| inner.failed_sync(&folder, e))?;
        Ok(out)
    }

    /// The copies that are on record.
    ///
    /// # Errors
    /// When the records cannot be listed or read.
    pub fn conflict_copies(&self) -> Result<Vec<ConflictCopy>, SaveError> {
        let copy = |r: Record| {
            let at = r.places.iter().map(|p| p.beside.join(&p.name)).collect();
            ConflictCopy { set: r.set, slot: r.slot, snapshot: r.snapshot, at }
        };
        Ok(self.records()?.into_iter().map(|(_, record)| copy(record)).collect())
    }

    fn write_copy(
        &self,
        place: &CopyPlace,
        scratch: &FsPath,
        copy: &FsPath,
        files: &[(&SaveEntry, FileRecord)],
    ) -> Result<(), SaveError> {
        let io = |doing: &'static str, at: &FsPath| {
            let at = at.clone();
            move |e| io_error(&place.beside, doing, &at, e)
        };
        let mut folders: BTreeSet<FsPath> = BTreeSet::new();
        for (entry, file) in files {
            let at = file.at(scratch);
            for folder in above(&at) {
                if folders.insert(folder.clone()) {
                    make_folder(&*place.fs, &folder).map_err(io("making", &folder))?;
                }
            }
            let out = place.fs.open_write(&at, OpenMode::Either).map_err(io("making", &at))?;
            out.set_len(0).map_err(io("writing", &at))?;
            let mut offset = 0;
            for object in entry.objects() {
                let bytes = self.read_object(&object)?;
                write_all_at(&*out, &bytes, offset).map_err(io("writing", &at))?;
                offset += bytes.len() as u64;
            }
            out.set_mtime(entry.mtime).map_err(io("writing", &at))?;
            out.sync().map_err(io("syncing", &at))?;
        }
        for folder in folders {
            place.fs.sync_dir(&folder).map_err(io("syncing", &folder))?;
        }
        place.fs.rename(scratch, copy).map_err(io("naming", copy))?;
        let top = FsPath::root();
        place.fs.sync_dir(&top).map_err(io("syncing", &top))
    }

    fn write_record(&self, path: &FsPath, record: &Record) -> Result<(), SaveError> {
        let inner = &*self.inner;
        inner.check_sound()?;
        let tmp = path.parent().unwrap_or_else(FsPath::root).child(&format!("{}{TMP}", path.name()));
        let invalid = |e| inner.io("writing", path, io::Error::new(io::ErrorKind::InvalidData, e));
        let bytes = serde_json::to_vec(record).map_err(invalid)?;
        atomic::replace(&*inner.fs, &tmp, path, &bytes).map_err(|e| inner.io("writing", path, e))
    }

    fn read_record(&self, path: &FsPath) -> Result<Option<Record>, SaveError> {
        let inner = &*self.inner;
        let read = atomic::read_small(&*inner.fs, path, LEN_MAX).map_err(|e| inner.io("reading", path, e))?;
        let Some(bytes) = read else { return Ok(None) };
        let unknown = |reason: String| DiskError::UnknownFormat { path: inner.shown(path), reason };
        let record: Record = serde_json::from_slice(&bytes).map_err(|e| unknown(e.to_string()))?;
        if record.format == FORMAT { Ok(Some(record)) } else { Err(unknown("another format".to_owned()).into()) }
    }

    fn records(&self) -> Result<Vec<(FsPath, Record)>, SaveError> {
        let inner = &*self.inner;
        let folder = FsPath::root().child(COPIES);
        let mut out = Vec::new();
        for entry in inner.fs.list(&folder).map_err(|e| inner.io("listing", &folder, e))? {
            let EntryName::Utf8(name) = entry.name else { continue };
            let path = folder.child(&name);
            if name.ends_with(SUFFIX)
                && let Some(record) = self.read_record(&path)?
            {
                out.push((path, record));
            }
        }
        Ok(out)
    }
}

impl CopyPlace {
    /// The file as the record names it, if it is of this root.
    fn file_of(&self, entry: &SaveEntry) -> Option<FileRecord> {
        let (label, rest) = entry.path.as_str().split_once('/')?;
        if label != self.label.as_str() || (self.is_file && rest != self.snapshot_name) {
            return None;
        }
        let path = if self.is_file { String::new() } else { rest.to_owned() };
        Some(FileRecord { path, size: entry.size, blake3: entry.blake3 })
    }

    /// A name that nothing has.
    fn free_name(&self, device: &str) -> Result<String, SaveError> {
        let legal = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_' | ' ') { c } else { '_' };
        let device: String = clean_to(device, DEVICE_LEN_MAX).chars().map(legal).collect();
        let device = match device.trim() {
            "" => "device",
            name => name,
        };
        for number in 1..=NUMBERS {
            let again = if number == 1 { String::new() } else { format!("-{number}") };
            let name = format!("{}{CONFLICT}{device}{again}", self.name);
            let at = FsPath::root().child(&name);
            if RelPath::new(name.as_str()).is_err() {
                return Err(DiskError::InTheWay { path: shown(&self.beside, &at), what: "a name too long" }.into());
            }
            let there = self.fs.stat(&at).map_err(|e| io_error(&self.beside, "looking for", &at, e))?;
            if there.is_none() {
                return Ok(name);
            }
        }
        let path = shown(&self.beside, &FsPath::root().child(&self.name));
        Err(DiskError::TooMuch { path, what: "copies beside it", limit: u64::from(NUMBERS) }.into())
    }
}

impl PlaceRecord {
    /// Removes what is still as it was written, then the folders that are empty.
    fn remove(&self, fs: &dyn Fs, out: &mut CopiesRemoved) -> Result<(), SaveError> {
        let copy = FsPath::root().child(&self.name);
        let mut folders: BTreeSet<FsPath> = BTreeSet::new();
        for file in &self.files {
            let at = file.at(&copy);
            folders.extend(above(&at));
            match self.is_ours(fs, &at, file)? {
                Some(true) => {
                    let gone = atomic::remove_if_there(fs, &at);
                    out.removed += u64::from(gone.map_err(|e| io_error(&self.beside, "removing", &at, e))?);
                }
                Some(false) => out.left.push(shown(&self.beside, &at)),
                None => {}
            }
        }
        for folder in folders.iter().rev() {
            match fs.remove_dir(folder) {
                Ok(()) => {}
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => out.left.push(shown(&self.beside, folder)),
                Err(e) => return Err(io_error(&self.beside, "removing", folder, e)),
            }
        }
        let top = FsPath::root();
        fs.sync_dir(&top).map_err(|e| io_error(&self.beside, "syncing", &top, e))
    }

    /// Whether a file is what was written; `None` when it is gone.
    fn is_ours(&self, fs: &dyn Fs, at: &FsPath, file: &FileRecord) -> Result<Option<bool>, SaveError> {
        let io = |doing: &'static str| move |e| io_error(&self.beside, doing, at, e);
        let there = match fs.stat(at) {
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => None,
            other => other.map_err(io("looking at"))?,
        };
        let Some(meta) = there else { return Ok(None) };
        if meta.kind != Kind::File || meta.len != file.size {
            return Ok(Some(false));
        }
        let open = fs.open_read(at).map_err(io("opening"))?;
        Ok(Some(hash(&*open).map_err(io("reading"))? == file.blake3))
    }
}

fn hash(file: &dyn FsFile) -> io::Result<Digest> {
    let (mut hasher, mut buf, mut at) = (blake3::Hasher::new(), vec![0; PIECE], 0u64);
    loop {
        let n = read_full_at(file, &mut buf, at)?;
        if n == 0 {
            return Ok(Digest(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buf[..n]);
        at += n as u64;
    }
}

/// The folders above a path, the root left out, longest last.
fn above(at: &FsPath) -> Vec<FsPath> {
    let mut out: Vec<FsPath> =
        std::iter::successors(at.parent(), FsPath::parent).filter(|folder| !folder.is_root()).collect();
    out.reverse();
    out
}

fn make_folder(fs: &dyn Fs, at: &FsPath) -> io::Result<()> {
    match fs.create_dir(at) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Removes scratch of ours, which its name proves.
fn remove_tree(place: &PlaceRecord, fs: &dyn Fs, at: &FsPath) -> Result<(), SaveError> {
    let io = |doing: &'static str| move |e| io_error(&place.beside, doing, at, e);
    let kind = fs.stat(at).map_err(io("looking at"))?.map(|m| m.kind);
    match kind {
        None => Ok(()),
        Some(Kind::Dir) => {
            for entry in fs.list(at).map_err(io("listing"))? {
                if let EntryName::Utf8(name) = entry.name {
                    remove_tree(place, fs, &at.child(&name))?;
                }
            }
            fs.remove_dir(at).map_err(io("removing"))
        }
        Some(_) => fs.remove_file(at).map_err(io("removing")),
    }
}

fn scratch_name(record: &FsPath, number: usize) -> String {
    format!("{SCRATCH}copy-{}-{number}", record.name().trim_end_matches(SUFFIX))
}

fn record_path(set: &SaveSet, slot: &SlotName, snapshot: &SnapshotId) -> FsPath {
    let slot = blake3::hash(slot.as_str().as_bytes()).to_hex();
    let name = format!("{}-{}-{}{SUFFIX}", set.token(), &slot[..8], &snapshot.to_string()[..16]);
    FsPath::root().child(COPIES).child(&name)
}
