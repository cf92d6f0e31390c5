//! Bugs planted in front of the model disk.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, read_full_at, write_all_at};

use super::bug::Bug;

/// What a path is to the saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    ObjectScratch,
    Object,
    Shard,
    Objects,
    SnapshotScratch,
    Snapshot,
    Snapshots,
    JournalScratch,
    Journal,
    Journals,
    Staged,
    Live,
    CopyScratch,
    Copy,
    CopyRecords,
    ExportScratch,
    Export,
    Other,
}

pub(super) fn place(path: &FsPath) -> Place {
    let parts: Vec<&str> = path.parts().collect();
    match parts[..] {
        ["data", "objects"] => Place::Objects,
        ["data", "objects", ".new"] => Place::Other,
        ["data", "objects", ".new", _] => Place::ObjectScratch,
        ["data", "objects", _] => Place::Shard,
        ["data", "objects", _, _] => Place::Object,
        ["data", "snapshots"] => Place::Snapshots,
        ["data", "snapshots", name] if name.ends_with(".tmp") => Place::SnapshotScratch,
        ["data", "snapshots", _] => Place::Snapshot,
        ["data", "applying"] => Place::Journals,
        ["data", "applying", name] if name.ends_with(".tmp") => Place::JournalScratch,
        ["data", "applying", _] => Place::Journal,
        ["data", "copies"] => Place::CopyRecords,
        ["live", name, ..] | [name, ..] if name.starts_with(".bonfire.copy-") => Place::CopyScratch,
        ["live", name, ..] | [name, ..] if name.contains(".conflict-") => Place::Copy,
        ["elsewhere", name] if name.starts_with(".bonfire.") => Place::ExportScratch,
        ["elsewhere", name] if name.ends_with(".zip") => Place::Export,
        ["live", name, ..] if name.starts_with(".bonfire.") => Place::Staged,
        ["live", ..] => Place::Live,
        _ => Place::Other,
    }
}

/// A file system with a bug in front of it.
#[derive(Debug, Clone)]
pub(super) struct Sabotage {
    inner: Arc<dyn Fs>,
    ctx: Arc<Context>,
}

#[derive(Debug)]
struct Context {
    bug: Bug,
    fired: Arc<AtomicU64>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    late_files: Vec<Arc<dyn FsFile>>,
    late_folders: Vec<FsPath>,
    stats: BTreeMap<FsPath, Option<Meta>>,
    snapshots: Option<Vec<Entry>>,
    /// A snapshot was removed since the process began.
    has_removed: bool,
}

impl Sabotage {
    /// The file system with this bug; `fired` counts how often it did harm.
    pub(super) fn new(inner: Arc<dyn Fs>, bug: Bug, fired: Arc<AtomicU64>) -> Self {
        Self { inner, ctx: Arc::new(Context { bug, fired, memory: Mutex::default() }) }
    }

    fn is(&self, bug: Bug) -> bool {
        self.ctx.bug == bug
    }

    fn fire(&self) {
        self.ctx.fired.fetch_add(1, Ordering::Relaxed);
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.ctx.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, path: &FsPath, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        Ok(Box::new(SabotagedFile { fs: self.clone(), path: path.clone(), file: Arc::from(file?) }))
    }

    fn copy_in_place(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let source = self.inner.open_read(from)?;
        let mut bytes = vec![0; usize::try_from(source.stat()?.len).unwrap_or(0)];
        read_full_at(&*source, &mut bytes, 0)?;
        let target = self.inner.open_write(to, OpenMode::Either)?;
        target.set_len(0)?;
        write_all_at(&*target, &bytes, 0)?;
        target.sync()?;
        self.inner.remove_file(from)
    }

    fn drop_journal(&self) -> io::Result<()> {
        self.drop_files(&FsPath::root().child("data").child("applying"))
    }

    fn drop_files(&self, folder: &FsPath) -> io::Result<()> {
        for entry in self.inner.list(folder)? {
            if let bonfire_disk::fs::EntryName::Utf8(name) = entry.name {
                self.inner.remove_file(&folder.child(&name))?;
            }
        }
        self.inner.sync_dir(folder)
    }

    fn drop_copies(&self) -> io::Result<()> {
        let copy = FsPath::root().child(super::scenario::COPY);
        for entry in self.inner.list(&copy).unwrap_or_default() {
            if let bonfire_disk::fs::EntryName::Utf8(name) = entry.name
                && entry.kind == bonfire_disk::fs::Kind::File
            {
                self.inner.remove_file(&copy.child(&name))?;
                self.fire();
            }
        }
        Ok(())
    }
}

impl Fs for Sabotage {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        let now = self.inner.stat(path)?;
        if !self.is(Bug::AppliedWithoutLooking) || place(path) != Place::Live {
            return Ok(now);
        }
        let first = *self.memory().stats.entry(path.clone()).or_insert(now);
        if first != now {
            self.fire();
        }
        Ok(first)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        let listed = match self.inner.list(dir) {
            Err(_) if self.is(Bug::ListErrorSwallowed) => {
                self.fire();
                Ok(Vec::new())
            }
            other => other,
        }?;
        if self.is(Bug::ScratchNotSwept) && matches!(dir.name(), ".new" | "snapshots" | "applying") {
            let is_scratch = |e: &Entry| match &e.name {
                bonfire_disk::fs::EntryName::Utf8(name) => place(&dir.child(name)),
                bonfire_disk::fs::EntryName::Unrepresentable(_) => Place::Other,
            };
            let scratch = [Place::ObjectScratch, Place::SnapshotScratch, Place::JournalScratch];
            let kept: Vec<Entry> = listed.iter().filter(|e| !scratch.contains(&is_scratch(e))).cloned().collect();
            if kept.len() != listed.len() {
                self.fire();
            }
            return Ok(kept);
        }
        if self.is(Bug::SweptWithoutSecondLook) && place(dir) == Place::Snapshots {
            // The listing of the start comes first, and that of the mark is the one that is kept.
            let mut memory = self.memory();
            if let Some(kept) = &memory.snapshots {
                if *kept != listed {
                    self.fire();
                }
                return Ok(kept.clone());
            }
            if listed.is_empty() {
                memory.snapshots = Some(listed.clone());
            }
        }
        if self.is(Bug::SweptWithPartOfTheList) && place(dir) == Place::Snapshots && self.memory().has_removed {
            self.fire();
            return Ok(listed.into_iter().skip(1).collect());
        }
        Ok(listed)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.file(path, self.inner.open_read(path))
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.file(path, self.inner.open_write(path, mode))
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let in_place = match place(to) {
            Place::Object => self.is(Bug::ObjectsInPlace),
            Place::Snapshot => self.is(Bug::SnapshotInPlace),
            Place::Live => self.is(Bug::LiveInPlace),
            Place::Export => self.is(Bug::ExportInPlace),
            Place::Journal if self.is(Bug::NoJournal) => {
                self.fire();
                return self.inner.remove_file(from);
            }
            _ => false,
        };
        if self.is(Bug::CopyRemovedBeforeChoice) && place(to) == Place::Snapshot {
            self.drop_copies()?;
        }
        if self.is(Bug::JournalClearedEarly) && place(to) == Place::Live {
            self.fire();
            self.drop_journal()?;
        }
        if in_place {
            self.fire();
            return self.copy_in_place(from, to);
        }
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        match place(path) {
            Place::Snapshot => self.memory().has_removed = true,
            Place::Object if self.is(Bug::ObjectsNeverRemoved) => {
                self.fire();
                return Ok(());
            }
            Place::Copy if self.is(Bug::CopyRecordRemovedFirst) => {
                self.fire();
                self.drop_files(&FsPath::root().child("data").child("copies"))?;
            }
            _ => {}
        }
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.inner.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        let at = place(path);
        let is_top = path.parts().eq(["live"]);
        let skip = match self.ctx.bug {
            Bug::ShardFoldersNotSynced => at == Place::Shard,
            Bug::ShardNamesNotSynced => at == Place::Objects,
            Bug::SnapshotFolderNotSynced => at == Place::Snapshots,
            Bug::JournalFolderNotSynced => at == Place::Journals,
            Bug::LiveFoldersNotSynced => at == Place::Live || is_top,
            Bug::CopyNameNotSynced => path.is_root(),
            Bug::CopyRecordNotSynced => at == Place::CopyRecords,
            Bug::ObjectsBeforeRemoval => at == Place::Snapshots && self.memory().has_removed,
            _ => false,
        };
        if skip {
            self.fire();
            return Ok(());
        }
        if self.is(Bug::SnapshotBeforeObjects) {
            if matches!(at, Place::Shard | Place::Objects) {
                self.fire();
                self.memory().late_folders.push(path.clone());
                return Ok(());
            }
            if at == Place::Snapshots {
                self.inner.sync_dir(path)?;
                let (files, folders) = {
                    let mut memory = self.memory();
                    (std::mem::take(&mut memory.late_files), std::mem::take(&mut memory.late_folders))
                };
                files.iter().try_for_each(|f| f.sync())?;
                return folders.iter().try_for_each(|f| self.inner.sync_dir(f));
            }
        }
        match self.inner.sync_dir(path) {
            Err(_) if self.is(Bug::FailedSyncIgnored) => {
                self.fire();
                Ok(())
            }
            other => other,
        }
    }

    fn sync_everything(&self, _: &FsPath) -> io::Result<bool> {
        // A bug in single syncs would hide behind it.
        Ok(false)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}

#[derive(Debug)]
struct SabotagedFile {
    fs: Sabotage,
    path: FsPath,
    file: Arc<dyn FsFile>,
}

impl FsFile for SabotagedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        let at = place(&self.path);
        let skip = match self.fs.ctx.bug {
            Bug::ObjectsNotSynced => at == Place::ObjectScratch,
            Bug::SnapshotNotSynced => at == Place::SnapshotScratch,
            Bug::StagedNotSynced => at == Place::Staged,
            Bug::JournalNotSynced => at == Place::JournalScratch,
            Bug::CopyNotSynced => at == Place::CopyScratch,
            Bug::ExportNotSynced => at == Place::ExportScratch,
            _ => false,
        };
        if skip {
            self.fs.fire();
            return Ok(());
        }
        if self.fs.is(Bug::SnapshotBeforeObjects) && at == Place::ObjectScratch {
            self.fs.fire();
            self.fs.memory().late_files.push(self.file.clone());
            return Ok(());
        }
        match self.file.sync() {
            Err(_) if self.fs.is(Bug::FailedSyncIgnored) => {
                self.fs.fire();
                Ok(())
            }
            other => other,
        }
    }

    fn links(&self) -> io::Result<u64> {
        self.file.links()
    }

    fn stat(&self) -> io::Result<Meta> {
        self.file.stat()
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.file.set_mtime(ms)
    }
}
