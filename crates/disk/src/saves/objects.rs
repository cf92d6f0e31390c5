//! Objects: pieces of content under the BLAKE3 hash of their bytes, each a zstd frame of its own.
//!
//! Written many at a time: all under scratch names, then made durable, then given their names, then the folders of these
//! names are made durable. An object that is there is never written again. A process that was killed may have left names
//! that are seen and not durable, so a folder of names counts as durable only once this process has synced it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_proto::limits::OBJECT_LEN_MAX;
use bonfire_proto::{Digest, ObjectRef};

use super::error::{SaveError, Why};
use super::snapshots::{Inner, SaveStore};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, FsFile, FsPath, Kind, OpenMode, write_all_at};

pub(super) const OBJECTS: &str = "objects";
/// Scratch of objects that have no name yet.
const NEW: &str = ".new";
/// zstd's own default: three times smaller than text, and faster than a disk.
const LEVEL: i32 = 3;

/// Keeps objects from a sweep that no snapshot needs yet: those that were put, or found already there, under it. Ends
/// when it is dropped. Clones are one lease.
#[derive(Debug, Clone)]
pub struct Lease {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    inner: Arc<Inner>,
    objects: Mutex<BTreeSet<Digest>>,
}

impl Lease {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.held.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, hash: Digest) {
        if self.lock().insert(hash) {
            *self.held.inner.state().leased.entry(hash).or_default() += 1;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mine = std::mem::take(self.objects.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut state = self.inner.state();
        for hash in mine {
            if let Some(n) = state.leased.get_mut(&hash) {
                *n -= 1;
                if *n == 0 {
                    state.leased.remove(&hash);
                }
            }
        }
    }
}

/// Objects that become durable together. Dropped without `commit`, it leaves nothing behind.
#[derive(Debug)]
pub struct Batch {
    inner: Arc<Inner>,
    lease: Lease,
    /// Written under a scratch name: object and that name.
    written: BTreeMap<Digest, Written>,
    /// Folders of names that have to be durable.
    shards: BTreeSet<u8>,
    bytes: u64,
    /// Handles kept open, to be synced one by one.
    open: usize,
    /// Everything can be synced at once, and is at the end.
    bulk: bool,
}

#[derive(Debug)]
struct Written {
    scratch: FsPath,
    /// Kept open until it is synced: another handle might not hear of a write that failed.
    file: Option<Box<dyn FsFile>>,
}

impl SaveStore {
    /// A lease on nothing yet.
    #[must_use]
    pub fn lease(&self) -> Lease {
        Lease { held: Arc::new(Held { inner: self.inner.clone(), objects: Mutex::default() }) }
    }

    /// A batch whose objects are held by `lease`.
    #[must_use]
    pub fn batch(&self, lease: &Lease) -> Batch {
        Batch {
            inner: self.inner.clone(),
            lease: lease.clone(),
            written: BTreeMap::new(),
            shards: BTreeSet::new(),
            bytes: 0,
            open: 0,
            bulk: false,
        }
    }

    /// Whether the object is in the store. Its bytes are not looked at.
    ///
    /// # Errors
    /// The disk's.
    pub fn has_object(&self, hash: &Digest) -> Result<bool, SaveError> {
        self.inner.has(hash)
    }

    /// Those that are not in the store, each once, sorted.
    ///
    /// # Errors
    /// The disk's.
    pub fn missing_objects(&self, of: impl IntoIterator<Item = ObjectRef>) -> Result<Vec<ObjectRef>, SaveError> {
        self.inner.missing(of)
    }

    /// The bytes of an object, at most `object.len` of them, checked against its hash.
    ///
    /// # Errors
    /// `Damaged`, also when it is not there; the disk's.
    pub fn read_object(&self, object: &ObjectRef) -> Result<Vec<u8>, SaveError> {
        self.inner.read(object)
    }
}

impl Batch {
    /// Puts an object. Until `commit` it is not there.
    ///
    /// # Errors
    /// The disk's. `TooMuch` beyond the longest object, and `Mismatch` for no bytes at all.
    pub fn put(&mut self, bytes: &[u8]) -> Result<ObjectRef, SaveError> {
        self.put_hashed(Digest(*blake3::hash(bytes).as_bytes()), bytes)
    }

    /// Puts an object that somebody else sent.
    ///
    /// # Errors
    /// `WrongBytes` when they are not what was asked for; as `put`.
    pub fn put_expected(&mut self, object: &ObjectRef, bytes: &[u8]) -> Result<(), SaveError> {
        let hash = Digest(*blake3::hash(bytes).as_bytes());
        if hash != object.hash || bytes.len() as u64 != u64::from(object.len) {
            return Err(SaveError::WrongBytes(*object));
        }
        self.put_hashed(hash, bytes).map(|_| ())
    }

    /// Holds an object that is to be there already. Returns whether it is; `commit` makes it durable with the others.
    ///
    /// # Errors
    /// The disk's.
    pub fn keep(&mut self, object: &ObjectRef) -> Result<bool, SaveError> {
        // Held before it is looked for: a sweep that has not removed it by now will not.
        self.lease.hold(object.hash);
        self.shards.insert(object.hash.0[0]);
        Ok(self.written.contains_key(&object.hash) || self.inner.has(&object.hash)?)
    }

    /// Objects that were not there before, and their bytes as stored.
    #[must_use]
    pub fn new_objects(&self) -> (u64, u64) {
        (self.written.len() as u64, self.bytes)
    }

    fn put_hashed(&mut self, hash: Digest, bytes: &[u8]) -> Result<ObjectRef, SaveError> {
        let inner = self.inner.clone();
        let len = match u32::try_from(bytes.len()) {
            Ok(len) if (1..=OBJECT_LEN_MAX).contains(&len) => len,
            _ => {
                let (path, limit) = (inner.shown(&object_path(&hash)), u64::from(OBJECT_LEN_MAX));
                return Err(DiskError::TooMuch { path, what: "bytes of an object", limit }.into());
            }
        };
        let object = ObjectRef { hash, len };
        if self.keep(&object)? {
            return Ok(object);
        }
        let packed = zstd::bulk::compress(bytes, LEVEL).map_err(|e| inner.io("packing", &object_path(&hash), e))?;
        let scratch = FsPath::root().child(OBJECTS).child(NEW).child(&inner.scratch_name());
        // Known before it is made, so that a failure half-way leaves nothing behind either.
        let slot = self.written.entry(hash).or_insert(Written { scratch: scratch.clone(), file: None });
        let wrote = (|| {
            let file = inner.fs.open_write(&scratch, OpenMode::New)?;
            write_all_at(&*file, &packed, 0)?;
            Ok(file)
        })();
        match wrote {
            Ok(file) if !self.bulk => {
                slot.file = Some(file);
                self.open += 1;
            }
            Ok(_) => {}
            Err(e) => {
                let _ = atomic::remove_if_there(&*inner.fs, &scratch);
                self.written.remove(&hash);
                return Err(inner.io("writing", &scratch, e));
            }
        }
        self.bytes += packed.len() as u64;
        if self.open >= inner.tuning.bulk_sync_from {
            self.sync_written()?;
        }
        Ok(object)
    }

    /// Makes durable what is written. Open handles are scarce: from some number on, everything is synced at once where
    /// that can be done, and from then on only at the end.
    fn sync_written(&mut self) -> Result<(), SaveError> {
        let inner = self.inner.clone();
        if self.bulk || self.open >= inner.tuning.bulk_sync_from {
            let objects = FsPath::root().child(OBJECTS);
            self.bulk = inner.fs.sync_everything(&objects).map_err(|e| inner.failed_sync(&objects, e))?;
        }
        for written in self.written.values_mut() {
            if let Some(file) = written.file.take()
                && !self.bulk
            {
                file.sync().map_err(|e| inner.failed_sync(&written.scratch, e))?;
            }
        }
        self.open = 0;
        Ok(())
    }

    /// Gives the objects their names and makes all of it durable, also what was found already there.
    ///
    /// # Errors
    /// The disk's; then none of it is promised, and what got its name so far is a whole object all the same.
    pub fn commit(mut self) -> Result<(), SaveError> {
        let inner = self.inner.clone();
        inner.check_sound()?;
        self.sync_written()?;
        // Whoever finds one of these names waits here until it is durable.
        let naming = inner.naming.lock().unwrap_or_else(PoisonError::into_inner);
        for (hash, written) in &self.written {
            inner.make_shard(hash.0[0])?;
            let to = object_path(hash);
            inner.state().durable_shards.remove(&hash.0[0]);
            inner.fs.rename(&written.scratch, &to).map_err(|e| inner.io("naming", &to, e))?;
        }
        self.written.clear();
        inner.sync_shards(&self.shards)?;
        drop(naming);
        Ok(())
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for written in self.written.values() {
            // What cannot be removed now is swept at the next start.
            let _ = atomic::remove_if_there(&*self.inner.fs, &written.scratch);
        }
    }
}

pub(super) fn object_path(hash: &Digest) -> FsPath {
    let name = hash.to_string();
    FsPath::root().child(OBJECTS).child(&name[..2]).child(&name)
}

fn shard_path(shard: u8) -> FsPath {
    FsPath::root().child(OBJECTS).child(&format!("{shard:02x}"))
}

impl Inner {
    pub(super) fn has(&self, hash: &Digest) -> Result<bool, SaveError> {
        let path = object_path(hash);
        match self.fs.stat(&path).map_err(|e| self.io("looking for", &path, e))? {
            Some(meta) if meta.kind == Kind::File => Ok(meta.len > 0),
            Some(_) => Err(DiskError::InTheWay { path: self.shown(&path), what: "something that is no file" }.into()),
            None => Ok(false),
        }
    }

    pub(super) fn missing(&self, of: impl IntoIterator<Item = ObjectRef>) -> Result<Vec<ObjectRef>, SaveError> {
        let wanted: BTreeSet<ObjectRef> = of.into_iter().collect();
        let mut missing = Vec::new();
        for object in wanted {
            if !self.has(&object.hash)? {
                missing.push(object);
            }
        }
        Ok(missing)
    }

    pub(super) fn read(&self, object: &ObjectRef) -> Result<Vec<u8>, SaveError> {
        let path = object_path(&object.hash);
        let damaged = |why| SaveError::Damaged { path: self.shown(&path), why };
        if !(1..=OBJECT_LEN_MAX).contains(&object.len) {
            return Err(damaged(Why::Length));
        }
        let len = object.len as usize;
        // What zstd makes of bytes that do not pack, with room for its frame.
        let packed_max = (OBJECT_LEN_MAX as u64) + 64 * 1024;
        let packed = match atomic::read_small(&*self.fs, &path, packed_max) {
            Ok(Some(packed)) => packed,
            Ok(None) => return Err(damaged(Why::Absent)),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => return Err(damaged(Why::Length)),
            Err(e) => return Err(self.io("reading", &path, e)),
        };
        // The target's capacity bounds what is unpacked, whatever the frame says.
        let mut bytes = Vec::with_capacity(len);
        let unpacked = zstd::bulk::Decompressor::new().and_then(|mut d| d.decompress_to_buffer(&packed, &mut bytes));
        if unpacked.is_err() || bytes.len() != len {
            return Err(damaged(Why::Length));
        }
        if *blake3::hash(&bytes).as_bytes() != object.hash.0 {
            return Err(damaged(Why::Hash));
        }
        Ok(bytes)
    }

    /// Makes the names in these folders durable, as far as this process has not done so since they last changed.
    pub(super) fn make_shards_durable(&self, shards: &BTreeSet<u8>) -> Result<(), SaveError> {
        let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_shards(shards)?;
        drop(naming);
        Ok(())
    }

    fn sync_shards(&self, shards: &BTreeSet<u8>) -> Result<(), SaveError> {
        self.check_sound()?;
        let known = self.state().durable_shards.clone();
        let left: Vec<u8> = shards.iter().copied().filter(|shard| !known.contains(shard)).collect();
        if left.len() >= self.tuning.bulk_sync_from {
            let objects = FsPath::root().child(OBJECTS);
            if self.fs.sync_everything(&objects).map_err(|e| self.failed_sync(&objects, e))? {
                let mut state = self.state();
                state.durable_shards.extend(left);
                state.shard_names_durable = true;
                return Ok(());
            }
        }
        for shard in &left {
            let path = shard_path(*shard);
            match self.fs.sync_dir(&path) {
                Ok(()) => {}
                // None of its objects was there.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(self.failed_sync(&path, e)),
            }
            self.state().durable_shards.insert(*shard);
        }
        if !self.state().shard_names_durable {
            let objects = FsPath::root().child(OBJECTS);
            self.fs.sync_dir(&objects).map_err(|e| self.failed_sync(&objects, e))?;
            self.state().shard_names_durable = true;
        }
        Ok(())
    }

    fn make_shard(&self, shard: u8) -> Result<(), SaveError> {
        if self.state().made_shards.contains(&shard) {
            return Ok(());
        }
        let path = shard_path(shard);
        match self.fs.create_dir(&path) {
            Ok(()) => self.state().shard_names_durable = false,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(self.io("making", &path, e)),
        }
        self.state().made_shards.insert(shard);
        Ok(())
    }

    /// Makes the folders of the objects, and removes what a killed process left half-written.
    pub(super) fn open_objects(&self) -> Result<(), SaveError> {
        let objects = FsPath::root().child(OBJECTS);
        self.make_dir(&objects)?;
        let scratch = objects.child(NEW);
        self.make_dir(&scratch)?;
        for entry in self.fs.list(&scratch).map_err(|e| self.io("listing", &scratch, e))? {
            if let (EntryName::Utf8(name), Kind::File) = (entry.name, entry.kind) {
                let at = scratch.child(&name);
                atomic::remove_if_there(&*self.fs, &at).map_err(|e| self.io("removing", &at, e))?;
            }
        }
        Ok(())
    }
}
