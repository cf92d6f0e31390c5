//! Open handles of a download's files, and which of them may be written where they lie.
//!
//! A file that has another name (a hard link), that may not be written, or that is being executed belongs to more than
//! this download: its first write replaces it by a copy. Refuses to write any of its bytes in place.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::{Arc, Mutex};

use bonfire_proto::{ChunkBitmap, ChunkLayout, chunk_span};

use super::writer::{Shared, lock};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{FsFile, FsPath, OpenMode, read_full_at, write_all_at};

/// A file that is about to take the place of one that may not be written.
pub(crate) const COPY: &str = ".bonfire.copy";

/// Most handles kept open. A download works on few files at a time.
const HANDLES_MAX: usize = 64;

/// Where the bytes of a file go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Into the file that is there.
    There,
    /// Into a copy that replaces it first.
    Copy,
}

/// Handles, and what is known of the files behind them. A file is judged once: one that is ours alone is not judged
/// again while other threads write to it.
#[derive(Debug)]
pub(super) struct Handles {
    /// Most recently used last.
    open: Mutex<Vec<(u32, Arc<dyn FsFile>)>>,
    places: Mutex<BTreeMap<u32, Place>>,
    /// Chunks that a copy takes over.
    worth: Mutex<ChunkBitmap>,
}

impl Handles {
    pub(super) fn new(layout: &ChunkLayout) -> Self {
        Self { open: Mutex::default(), places: Mutex::default(), worth: Mutex::new(ChunkBitmap::new(layout.total())) }
    }

    /// Notes a chunk that lies on disk as it should.
    pub(super) fn keep(&self, chunk: u32) {
        lock(&self.worth).set(chunk);
    }

    /// Notes that a file was just made by us.
    pub(super) fn made(&self, file: u32) {
        lock(&self.places).insert(file, Place::There);
    }

    /// Closes what is open of a file, or everything.
    pub(super) fn close(&self, file: Option<u32>) {
        lock(&self.open).retain(|(f, _)| file.is_some_and(|file| file != *f));
    }

    fn cached(&self, file: u32) -> Option<Arc<dyn FsFile>> {
        let mut open = lock(&self.open);
        let i = open.iter().position(|(f, _)| *f == file)?;
        let entry = open.remove(i);
        let handle = entry.1.clone();
        open.push(entry);
        Some(handle)
    }

    fn cache(&self, file: u32, handle: &Arc<dyn FsFile>) {
        let mut open = lock(&self.open);
        open.retain(|(f, _)| *f != file);
        if open.len() >= HANDLES_MAX {
            open.remove(0);
        }
        open.push((file, handle.clone()));
    }
}

impl Shared {
    /// Where the bytes of a file that is there go.
    pub(super) fn place(&self, file: u32) -> Result<Place, DiskError> {
        let mut places = lock(&self.handles.places);
        self.judge(&mut places, file)
    }

    fn judge(&self, places: &mut BTreeMap<u32, Place>, file: u32) -> Result<Place, DiskError> {
        if let Some(place) = places.get(&file) {
            return Ok(*place);
        }
        let path = self.path(file);
        let place = match self.inner.fs.open_write(&path, OpenMode::Existing) {
            Ok(handle) if handle.links().map_err(|e| self.inner.io("reading", &path, e))? > 1 => Place::Copy,
            Ok(handle) => {
                self.handles.cache(file, &handle.into());
                Place::There
            }
            Err(e) if matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::ExecutableFileBusy) => Place::Copy,
            Err(e) => return Err(self.cannot_open(&path, e)),
        };
        places.insert(file, place);
        Ok(place)
    }

    /// An open handle of a file, to read and to sync.
    pub(super) fn handle(&self, file: u32) -> Result<Arc<dyn FsFile>, DiskError> {
        let mut places = lock(&self.handles.places);
        let place = self.judge(&mut places, file)?;
        self.opened(file, place)
    }

    /// An open handle of a file, to write to. Where another name leads to the file, or it may not be written, it is
    /// replaced by a copy first, and durably so.
    pub(super) fn writable(&self, file: u32) -> Result<Arc<dyn FsFile>, DiskError> {
        // Held throughout: no other thread may take the file that is about to be replaced for the one to write to.
        let mut places = lock(&self.handles.places);
        if self.judge(&mut places, file)? == Place::Copy {
            self.replace(file)?;
            places.insert(file, Place::There);
        }
        self.opened(file, Place::There)
    }

    fn opened(&self, file: u32, place: Place) -> Result<Arc<dyn FsFile>, DiskError> {
        if let Some(handle) = self.handles.cached(file) {
            return Ok(handle);
        }
        let path = self.path(file);
        let opened = match place {
            Place::There => self.inner.fs.open_write(&path, OpenMode::Existing),
            Place::Copy => self.inner.fs.open_read(&path),
        };
        let handle: Arc<dyn FsFile> = opened.map_err(|e| self.cannot_open(&path, e))?.into();
        self.handles.cache(file, &handle);
        Ok(handle)
    }

    fn cannot_open(&self, path: &FsPath, e: std::io::Error) -> DiskError {
        match e.kind() {
            ErrorKind::NotFound => DiskError::Changed { path: self.inner.shown(path) },
            _ => self.inner.io("opening", path, e),
        }
    }

    /// Puts a file of full length with the chunks that are worth it in the place of one that may not be written.
    fn replace(&self, file: u32) -> Result<(), DiskError> {
        let inner = &*self.inner;
        let (path, copy) = (self.path(file), self.root.child(COPY));
        let size = self.manifest.files.get(file as usize).map_or(0, |f| f.size);
        let io = |e| inner.io("replacing", &path, e);
        atomic::remove_if_there(&*inner.fs, &copy).map_err(|e| inner.io("removing", &copy, e))?;
        let target = inner.fs.open_write(&copy, OpenMode::New).map_err(|e| inner.io("creating", &copy, e))?;
        if size > 0 {
            target.allocate(size).map_err(|e| inner.io("reserving room for", &copy, e))?;
        }
        let range = self.layout.range(file).unwrap_or(0..0);
        let worth: Vec<u32> = {
            let bits = lock(&self.handles.worth);
            range.clone().filter(|n| bits.get(*n)).map(|n| n - range.start).collect()
        };
        let copied = !worth.is_empty();
        if copied {
            let source = inner.fs.open_read(&path).map_err(|e| self.cannot_open(&path, e))?;
            let mut buf = vec![0u8; 1 << 20];
            for (mut pos, len) in worth.into_iter().filter_map(|chunk| chunk_span(size, chunk)) {
                let end = pos + len;
                while pos < end {
                    let want = buf.len().min(usize::try_from(end - pos).unwrap_or(usize::MAX));
                    let n = read_full_at(&*source, &mut buf[..want], pos).map_err(io)?;
                    if n < want {
                        return Err(DiskError::Changed { path: inner.shown(&path) });
                    }
                    write_all_at(&*target, &buf[..n], pos).map_err(|e| inner.io("writing", &copy, e))?;
                    pos += n as u64;
                }
            }
        }
        // A copy of what somebody changed meanwhile would count as what was hashed.
        if let Some(known) = self.stamps.get(file).filter(|_| copied)
            && self.stamp_now(file)? != known
        {
            return Err(DiskError::Changed { path: inner.shown(&path) });
        }
        // Durable before it has the name: chunks that are on record as verified must not be lost with it.
        target.sync().map_err(|e| inner.io("syncing", &copy, e))?;
        drop(target);
        let _writing = self.stamps.writing(file);
        self.handles.close(Some(file));
        inner.fs.rename(&copy, &path).map_err(io)?;
        self.mark_dirty(file);
        let dirs = [path.parent().unwrap_or_else(|| self.root.clone()), self.root.clone()];
        crate::sweep::sync_dirs(inner, &BTreeSet::from(dirs))
    }
}
