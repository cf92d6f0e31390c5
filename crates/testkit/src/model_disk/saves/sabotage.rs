//! Bugs planted in front of the model disk, each of a kind that code for saves has had, and the player who writes at a bad
//! moment.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, read_full_at, write_all_at};

use super::Promise;
use super::scenario::play_on;
use crate::model_disk::fs::ModelFs;
use crate::model_disk::scenario::Ack;

/// A planted bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Objects get their names before their bytes are durable.
    ObjectsNotSynced,
    /// The names of objects are not made durable.
    ShardFoldersNotSynced,
    /// The folders that hold the names are not.
    ShardNamesNotSynced,
    /// A snapshot is durable before its objects are.
    SnapshotBeforeObjects,
    /// Objects are written under their names.
    ObjectsInPlace,
    /// A snapshot gets its name before its bytes are durable.
    SnapshotNotSynced,
    /// The name of a snapshot, or its removal, is not made durable.
    SnapshotFolderNotSynced,
    /// A snapshot is written under its name.
    SnapshotInPlace,
    /// Staged files are not made durable.
    StagedNotSynced,
    /// There is no journal.
    NoJournal,
    /// The journal's bytes are not made durable.
    JournalNotSynced,
    /// The journal's name, or its removal, is not made durable.
    JournalFolderNotSynced,
    /// The journal is gone before the last file is in place.
    JournalClearedEarly,
    /// The live folders are not made durable before the journal goes.
    LiveFoldersNotSynced,
    /// Live files are written in place.
    LiveInPlace,
    /// Live files are not looked at again before they are replaced.
    AppliedWithoutLooking,
    /// A sweep does not look at what was put since it marked.
    SweptWithoutSecondLook,
    /// Scratch of a killed process is not swept.
    ScratchNotSwept,
    /// A folder that cannot be listed counts as empty.
    ListErrorSwallowed,
    /// A sync that failed is taken as done.
    FailedSyncIgnored,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::ObjectsNotSynced,
        Self::ShardFoldersNotSynced,
        Self::ShardNamesNotSynced,
        Self::SnapshotBeforeObjects,
        Self::ObjectsInPlace,
        Self::SnapshotNotSynced,
        Self::SnapshotFolderNotSynced,
        Self::SnapshotInPlace,
        Self::StagedNotSynced,
        Self::NoJournal,
        Self::JournalNotSynced,
        Self::JournalFolderNotSynced,
        Self::JournalClearedEarly,
        Self::LiveFoldersNotSynced,
        Self::LiveInPlace,
        Self::AppliedWithoutLooking,
        Self::SweptWithoutSecondLook,
        Self::ScratchNotSwept,
        Self::ListErrorSwallowed,
        Self::FailedSyncIgnored,
    ];

    /// The scenario in which it is likely to show first, to save time: all are tried when it does not.
    #[must_use]
    pub fn shows_in(self) -> &'static str {
        match self {
            Self::StagedNotSynced
            | Self::NoJournal
            | Self::JournalNotSynced
            | Self::JournalClearedEarly
            | Self::LiveFoldersNotSynced
            | Self::LiveInPlace => "apply",
            Self::JournalFolderNotSynced => "apply_then_play",
            Self::AppliedWithoutLooking => "apply_while_playing",
            Self::SweptWithoutSecondLook => "prune_while_putting",
            _ => "put",
        }
    }

    /// Whether it shows only when the disk reports errors.
    #[must_use]
    pub fn needs_errors(self) -> bool {
        matches!(self, Self::ListErrorSwallowed | Self::FailedSyncIgnored)
    }
}

/// What a path is to the saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
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
    Other,
}

fn place(path: &FsPath) -> Place {
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
        let folder = FsPath::root().child("data").child("applying");
        for entry in self.inner.list(&folder)? {
            if let bonfire_disk::fs::EntryName::Utf8(name) = entry.name {
                self.inner.remove_file(&folder.child(&name))?;
            }
        }
        self.inner.sync_dir(&folder)
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
            Place::Journal if self.is(Bug::NoJournal) => {
                self.fire();
                return self.inner.remove_file(from);
            }
            _ => false,
        };
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

/// The player, who writes to a live file as soon as new content is being staged.
#[derive(Debug)]
pub(super) struct Intruder {
    inner: Arc<dyn Fs>,
    disk: ModelFs,
    done: AtomicBool,
}

impl Intruder {
    pub(super) fn new(inner: Arc<dyn Fs>, disk: ModelFs) -> Self {
        Self { inner, disk, done: AtomicBool::new(false) }
    }
}

impl Fs for Intruder {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.inner.stat(path)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.inner.open_read(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        if place(path) == Place::Staged && !self.done.swap(true, Ordering::Relaxed) {
            self.disk.ack(Ack::Save(Promise::PlayStarted));
            play_on(&self.disk)?;
            self.disk.ack(Ack::Save(Promise::Played));
        }
        self.inner.open_write(path, mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.inner.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.inner.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}
