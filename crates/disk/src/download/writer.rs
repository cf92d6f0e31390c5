//! Writing bytes of a download from many threads: what is dirty, what is ours, and the door that a commit or a cancel
//! closes behind the last write.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bonfire_proto::{ChunkLayout, Manifest};

use super::handles::Handles;
use super::stamps::Stamps;
use crate::error::DiskError;
use crate::fs::{FsPath, write_all_at};
use crate::games::Inner;
use crate::journal::JournalWriter;
use crate::journal::record::Record;

/// Writes into the files of a download. Clones may be used from many threads at once, each for bytes of its own.
#[derive(Debug, Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes bytes of a file of the manifest. They are durable after the next checkpoint.
    ///
    /// # Errors
    /// `Mismatch` beyond the file's end; `Busy` after the download ended; whatever the disk reports.
    pub fn write_at(&self, file: u32, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let s = &*self.shared;
        // Held while writing, so that a closed door means that no byte comes later.
        let open = s.open.read().unwrap_or_else(PoisonError::into_inner);
        if !*open {
            return Err(DiskError::Busy { path: s.inner.shown(&s.root), reason: "the download has ended" });
        }
        let size = s.manifest.files.get(file as usize).map_or(0, |f| f.size);
        if offset.checked_add(bytes.len() as u64).is_none_or(|end| end > size) {
            let reason = "bytes beyond the end of the file";
            return Err(DiskError::Mismatch { path: s.inner.shown(&s.path(file)), reason });
        }
        if file == s.sentinel {
            // Bounded by `SENTINEL_LEN_MAX` when the download began.
            let mut buf = lock(&s.sentinel_bytes);
            let start = usize::try_from(offset).unwrap_or(0);
            buf[start..start + bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        s.adopt(file)?;
        let _writing = s.stamps.writing(file);
        let handle = s.writable(file)?;
        write_all_at(&*handle, bytes, offset).map_err(|e| s.inner.io("writing", &s.path(file), e))?;
        // After the write: a checkpoint that takes the mark then syncs these bytes, too.
        s.mark_dirty(file);
        Ok(())
    }
}

/// State that writers and the download share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) inner: Arc<Inner>,
    pub(super) root: FsPath,
    pub(super) manifest: Arc<Manifest>,
    pub(super) layout: ChunkLayout,
    /// Index of `version.ini` in the manifest.
    pub(super) sentinel: u32,
    sentinel_bytes: Mutex<Vec<u8>>,
    pub(super) handles: Handles,
    pub(super) stamps: Stamps,
    dirty: Mutex<BTreeSet<u32>>,
    /// Found files that we did not write to yet.
    unadopted: Mutex<BTreeSet<u32>>,
    /// Closed before the journal is removed: a file that is open cannot be removed everywhere.
    log: Mutex<Option<JournalWriter>>,
    open: RwLock<bool>,
}

impl Shared {
    pub(super) fn new(
        inner: Arc<Inner>,
        root: FsPath,
        manifest: Arc<Manifest>,
        sentinel: u32,
        unadopted: BTreeSet<u32>,
        log: JournalWriter,
    ) -> Self {
        let len = manifest.files.get(sentinel as usize).map_or(0, |f| f.size);
        let layout = ChunkLayout::new(&manifest.files);
        Self {
            inner,
            root,
            manifest,
            sentinel,
            sentinel_bytes: Mutex::new(vec![0; usize::try_from(len).unwrap_or(0)]),
            handles: Handles::new(&layout),
            stamps: Stamps::default(),
            layout,
            dirty: Mutex::default(),
            unadopted: Mutex::new(unadopted),
            log: Mutex::new(Some(log)),
            open: RwLock::new(true),
        }
    }

    /// Path of a file of the manifest.
    pub(super) fn path(&self, file: u32) -> FsPath {
        self.manifest.files.get(file as usize).map_or_else(|| self.root.clone(), |f| self.root.beneath(&f.path))
    }

    pub(super) fn mark_dirty(&self, file: u32) {
        lock(&self.dirty).insert(file);
    }

    pub(super) fn take_dirty(&self) -> BTreeSet<u32> {
        std::mem::take(&mut *lock(&self.dirty))
    }

    pub(super) fn set_sentinel(&self, bytes: Vec<u8>) {
        *lock(&self.sentinel_bytes) = bytes;
    }

    pub(super) fn sentinel_bytes(&self) -> Vec<u8> {
        lock(&self.sentinel_bytes).clone()
    }

    /// Appends to the journal, durably.
    pub(super) fn append(&self, records: &[Record]) -> Result<(), DiskError> {
        match &mut *lock(&self.log) {
            Some(log) => log.append(&self.inner, records),
            None => Err(DiskError::Unsound { path: self.inner.shown(&self.root) }),
        }
    }

    /// Closes the journal. Nothing more is appended.
    pub(super) fn close_log(&self) {
        *lock(&self.log) = None;
    }

    /// Makes a found file ours, on record, before its first byte changes.
    pub(super) fn adopt(&self, file: u32) -> Result<(), DiskError> {
        let mut unadopted = lock(&self.unadopted);
        if unadopted.contains(&file) {
            self.append(&[Record::Adopted(file)])?;
            unadopted.remove(&file);
        }
        Ok(())
    }

    /// Whether a file was found and never written to.
    pub(super) fn is_unadopted(&self, file: u32) -> bool {
        lock(&self.unadopted).contains(&file)
    }

    /// Lets no further write begin and waits for those that are under way.
    pub(super) fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = false;
        self.handles.close(None);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
