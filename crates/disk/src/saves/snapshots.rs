//! The store of a data folder, and its snapshots: exactly their bytes, under their id.
//!
//! A snapshot file is renamed into place last, after every object it needs is durable. So whatever is listed is complete,
//! and the whole history can be read from here when every database is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bonfire_proto::limits::SNAPSHOT_LEN_MAX;
use bonfire_proto::save::snapshot_id;
use bonfire_proto::{Digest, ObjectRef, SaveEntry, Snapshot, SnapshotId};

use super::error::{SaveError, Why, io_error, shown};
use super::list;
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, Fs, FsPath, Kind};

const SNAPSHOTS: &str = "snapshots";
const SUFFIX: &str = ".json";
const SCRATCH: &str = ".tmp";

/// What may be turned for tests and odd disks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    /// From how many files on everything is synced at once where the platform can; also the most handles kept open.
    pub(super) bulk_sync_from: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { bulk_sync_from: 64 }
    }
}

/// The store of saves in a data folder. Clones share it. One process at a time: the data folder's lock sees to that.
#[derive(Debug, Clone)]
pub struct SaveStore {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) fs: Arc<dyn Fs>,
    root: PathBuf,
    pub(super) tuning: Tuning,
    state: Mutex<State>,
    /// Held while objects get their names and these become durable.
    pub(super) naming: Mutex<()>,
    /// Shared while a snapshot is put, alone while objects are removed.
    pub(super) gate: RwLock<()>,
    scratch: AtomicU64,
}

/// What this process knows of the disk beyond what it sees.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) leased: BTreeMap<Digest, u64>,
    pub(super) durable_shards: BTreeSet<u8>,
    pub(super) made_shards: BTreeSet<u8>,
    pub(super) shard_names_durable: bool,
    snapshots_durable: bool,
    unsound: bool,
}

/// A snapshot found in the store, for building a database anew.
#[derive(Debug)]
pub struct Found {
    /// Its id, from its name.
    pub id: SnapshotId,
    /// The snapshot, or why it cannot be read.
    pub snapshot: Result<Snapshot, SaveError>,
}

impl SaveStore {
    /// Opens the store in a data folder, makes its folders, and removes what a killed process left half-written. `root`
    /// is the data folder as people see it.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(fs: Arc<dyn Fs>, root: PathBuf) -> Result<Self, SaveError> {
        Self::tuned(fs, root, Tuning::default().bulk_sync_from)
    }

    /// As `open`, with the number of files from which on everything is synced at once.
    ///
    /// # Errors
    /// The disk's.
    pub fn tuned(fs: Arc<dyn Fs>, root: PathBuf, bulk_sync_from: usize) -> Result<Self, SaveError> {
        let inner = Inner {
            fs,
            root,
            tuning: Tuning { bulk_sync_from: bulk_sync_from.max(1) },
            state: Mutex::default(),
            naming: Mutex::default(),
            gate: RwLock::default(),
            scratch: AtomicU64::new(0),
        };
        inner.open_objects()?;
        inner.open_snapshots()?;
        inner.open_journals()?;
        let top = FsPath::root();
        inner.fs.sync_dir(&top).map_err(|e| inner.failed_sync(&top, e))?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Puts a snapshot, given as the bytes that are its identity. Putting it again changes nothing.
    ///
    /// # Errors
    /// `Snapshot` when it breaks a rule; `MissingObjects` when it is not complete, and then nothing was done; `Damaged`
    /// when an object of its file list is; the disk's.
    pub fn put_snapshot(&self, bytes: &[u8]) -> Result<SnapshotId, SaveError> {
        let inner = &*self.inner;
        let id = snapshot_id(bytes);
        let snapshot = Snapshot::from_bytes(bytes)?;
        let sweeps_wait = inner.gate.read().unwrap_or_else(PoisonError::into_inner);
        inner.check_sound()?;
        let path = snapshot_path(&id);
        if inner.fs.stat(&path).map_err(|e| inner.io("looking for", &path, e))?.is_none() {
            let needed = inner.needed_by(&id, &snapshot)?;
            let missing = inner.missing(needed.iter().copied())?;
            if !missing.is_empty() {
                return Err(SaveError::MissingObjects { id, missing });
            }
            inner.make_shards_durable(&needed.iter().map(|o| o.hash.0[0]).collect())?;
            let scratch = FsPath::root().child(SNAPSHOTS).child(&format!(".{}{SCRATCH}", inner.scratch_name()));
            let written = atomic::write_synced(&*inner.fs, &scratch, bytes);
            let named = written.and_then(|()| inner.change_snapshots(|| inner.fs.rename(&scratch, &path)));
            if let Err(e) = named {
                let _ = atomic::remove_if_there(&*inner.fs, &scratch);
                return Err(inner.io("writing", &path, e));
            }
        }
        inner.make_snapshots_durable()?;
        drop(sweeps_wait);
        Ok(id)
    }

    /// Whether the snapshot is here, and so all that it needs.
    ///
    /// # Errors
    /// The disk's.
    pub fn has_snapshot(&self, id: &SnapshotId) -> Result<bool, SaveError> {
        let path = snapshot_path(id);
        let meta = self.inner.fs.stat(&path).map_err(|e| self.inner.io("looking for", &path, e))?;
        Ok(meta.is_some_and(|m| m.kind == Kind::File))
    }

    /// The bytes of a snapshot, checked against its id.
    ///
    /// # Errors
    /// `NoSnapshot`, `Damaged`, the disk's.
    pub fn snapshot_bytes(&self, id: &SnapshotId) -> Result<Vec<u8>, SaveError> {
        let inner = &*self.inner;
        let path = snapshot_path(id);
        let damaged = |why| SaveError::Damaged { path: inner.shown(&path), why };
        let bytes = match atomic::read_small(&*inner.fs, &path, SNAPSHOT_LEN_MAX as u64) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(SaveError::NoSnapshot(*id)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(damaged(Why::Length)),
            Err(e) => return Err(inner.io("reading", &path, e)),
        };
        if snapshot_id(&bytes) == *id { Ok(bytes) } else { Err(damaged(Why::Hash)) }
    }

    /// A snapshot.
    ///
    /// # Errors
    /// As `snapshot_bytes`; `Snapshot` when it is of a form that this version does not know.
    pub fn snapshot(&self, id: &SnapshotId) -> Result<Snapshot, SaveError> {
        Ok(Snapshot::from_bytes(&self.snapshot_bytes(id)?)?)
    }

    /// The files of a snapshot, wherever its list is kept, checked against what the snapshot says of them.
    ///
    /// # Errors
    /// `Damaged` or `Snapshot` for the list; the disk's.
    pub fn entries(&self, snapshot: &Snapshot) -> Result<Vec<SaveEntry>, SaveError> {
        self.inner.entries(snapshot)
    }

    /// All snapshots, by id.
    ///
    /// # Errors
    /// The disk's: never an incomplete list.
    pub fn snapshot_ids(&self) -> Result<Vec<SnapshotId>, SaveError> {
        self.inner.snapshot_ids()
    }

    /// Reads every snapshot, to build a database anew. What cannot be read is named, and ends nothing.
    ///
    /// # Errors
    /// When the snapshots cannot be listed.
    pub fn rebuild(&self) -> Result<impl Iterator<Item = Found> + '_, SaveError> {
        let ids = self.snapshot_ids()?;
        Ok(ids.into_iter().map(|id| Found { id, snapshot: self.snapshot(&id) }))
    }

    /// What is missing for a snapshot that came from elsewhere, each once: first of its list of files, and once that is
    /// here, of the files.
    ///
    /// # Errors
    /// `Snapshot` when it breaks a rule; the disk's.
    pub fn missing_for(&self, snapshot: &Snapshot) -> Result<Vec<ObjectRef>, SaveError> {
        let missing = self.inner.missing(snapshot.list.iter().copied())?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        let entries = self.inner.entries(snapshot)?;
        self.inner.missing(entries.iter().flat_map(SaveEntry::objects))
    }

    /// Removes snapshots, durably; those that are not here are none. Their objects stay until a sweep. Returns how many
    /// were here.
    ///
    /// # Errors
    /// The disk's; some may be gone then.
    pub fn remove_snapshots(&self, ids: &[SnapshotId]) -> Result<usize, SaveError> {
        let inner = &*self.inner;
        inner.check_sound()?;
        let mut removed = 0;
        for id in ids {
            let path = snapshot_path(id);
            let gone = inner.change_snapshots(|| atomic::remove_if_there(&*inner.fs, &path));
            removed += usize::from(gone.map_err(|e| inner.io("removing", &path, e))?);
        }
        inner.make_snapshots_durable()?;
        Ok(removed)
    }
}

fn snapshot_path(id: &SnapshotId) -> FsPath {
    FsPath::root().child(SNAPSHOTS).child(&format!("{id}{SUFFIX}"))
}

impl Inner {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown(&self, at: &FsPath) -> PathBuf {
        shown(&self.root, at)
    }

    pub(super) fn io(&self, doing: &'static str, at: &FsPath, source: io::Error) -> SaveError {
        io_error(&self.root, doing, at, source)
    }

    /// A sync that failed is final: nothing that this process knows of the disk holds any more.
    pub(super) fn failed_sync(&self, at: &FsPath, source: io::Error) -> SaveError {
        self.state().unsound = true;
        self.io("syncing", at, source)
    }

    pub(super) fn check_sound(&self) -> Result<(), SaveError> {
        if self.state().unsound { Err(SaveError::Unsound { path: self.root.clone() }) } else { Ok(()) }
    }

    pub(super) fn scratch_name(&self) -> String {
        format!("{:08x}", self.scratch.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn make_dir(&self, path: &FsPath) -> Result<(), SaveError> {
        match self.fs.create_dir(path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let kind = self.fs.stat(path).map_err(|e| self.io("looking at", path, e))?.map(|m| m.kind);
                if kind == Some(Kind::Dir) {
                    return Ok(());
                }
                Err(DiskError::InTheWay { path: self.shown(path), what: "something that is no folder" }.into())
            }
            Err(e) => Err(self.io("making", path, e)),
        }
    }

    /// Changes a name among the snapshots. Whoever sees it waits in `make_snapshots_durable` until it is durable.
    fn change_snapshots<T>(&self, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        self.state().snapshots_durable = false;
        let changed = change();
        drop(naming);
        changed
    }

    pub(super) fn make_snapshots_durable(&self) -> Result<(), SaveError> {
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_sound()?;
        if !self.state().snapshots_durable {
            let path = FsPath::root().child(SNAPSHOTS);
            self.fs.sync_dir(&path).map_err(|e| self.failed_sync(&path, e))?;
            self.state().snapshots_durable = true;
        }
        drop(naming);
        Ok(())
    }

    pub(super) fn entries(&self, snapshot: &Snapshot) -> Result<Vec<SaveEntry>, SaveError> {
        if snapshot.list.is_empty() {
            return Ok(snapshot.entries.clone());
        }
        let entries = list::read(&snapshot.list, |object| self.read(object))?;
        snapshot.check_entries(&entries)?;
        Ok(entries)
    }

    /// Every object that a snapshot needs, those of its list of files too.
    pub(super) fn needed_by(&self, id: &SnapshotId, snapshot: &Snapshot) -> Result<BTreeSet<ObjectRef>, SaveError> {
        let missing = self.missing(snapshot.list.iter().copied())?;
        if !missing.is_empty() {
            return Err(SaveError::MissingObjects { id: *id, missing });
        }
        let mut needed: BTreeSet<ObjectRef> = snapshot.list.iter().copied().collect();
        needed.extend(self.entries(snapshot)?.iter().flat_map(SaveEntry::objects));
        Ok(needed)
    }

    pub(super) fn snapshot_ids(&self) -> Result<Vec<SnapshotId>, SaveError> {
        let folder = FsPath::root().child(SNAPSHOTS);
        let entries = self.fs.list(&folder).map_err(|e| self.io("listing", &folder, e))?;
        let id = |name: EntryName| match name {
            EntryName::Utf8(name) => name.strip_suffix(SUFFIX)?.parse().ok(),
            EntryName::Unrepresentable(_) => None,
        };
        let mut ids: Vec<SnapshotId> = entries.into_iter().filter_map(|e| id(e.name)).collect();
        ids.sort();
        Ok(ids)
    }

    fn open_snapshots(&self) -> Result<(), SaveError> {
        let folder = FsPath::root().child(SNAPSHOTS);
        self.make_dir(&folder)?;
        for entry in self.fs.list(&folder).map_err(|e| self.io("listing", &folder, e))? {
            let EntryName::Utf8(name) = entry.name else { continue };
            if name.starts_with('.') && name.ends_with(SCRATCH) && entry.kind == Kind::File {
                let at = folder.child(&name);
                atomic::remove_if_there(&*self.fs, &at).map_err(|e| self.io("removing", &at, e))?;
            }
        }
        Ok(())
    }
}
