//! The model disk behind the product's `Fs` trait, recording the disk after every step and failing on demand.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_disk::fs::{Entry, EntryName, Fs, FsFile, FsPath, Kind, Meta, OpenMode};

use super::content::Content;
use super::scenario::Ack;
use super::state::{Disk, Ino, Node, Step};

/// An error to inject.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// Which operation fails, counted from 0 over all operations that can fail.
    pub at: u64,
    /// Whether every changing operation after it fails, too, until the process ends.
    pub sticky: bool,
    /// With what.
    pub kind: io::ErrorKind,
}

/// A disk at the end of a step, with what had been promised by then.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) disk: Disk,
    pub(super) acks: usize,
}

#[derive(Debug)]
struct Inner {
    disk: Disk,
    ops: u64,
    failure: Option<Failure>,
    fired: u64,
    recording: bool,
    moments: Vec<Moment>,
    acks: Vec<Ack>,
    changes: u64,
    bulk: bool,
}

/// The model disk as a file system. Clones share it.
#[derive(Debug, Clone)]
pub struct ModelFs {
    inner: Arc<Mutex<Inner>>,
}

impl ModelFs {
    /// A file system over a disk as it is, pending steps and all. `bulk` says whether everything can be synced at once.
    #[must_use]
    pub fn over(disk: Disk, bulk: bool) -> Self {
        let inner = Inner {
            disk,
            ops: 0,
            failure: None,
            fired: 0,
            recording: false,
            moments: Vec::new(),
            acks: Vec::new(),
            changes: 0,
            bulk,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Keeps the disk after every changing step from now on; the first moment is now.
    pub fn record(&self) {
        let mut i = self.lock();
        i.recording = true;
        i.keep();
    }

    /// Makes an operation fail.
    pub fn fail(&self, failure: Option<Failure>) {
        self.lock().failure = failure;
    }

    /// How many operations failed on demand.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.lock().fired
    }

    /// How many operations that can fail were tried.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    /// How many operations changed the disk.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.lock().changes
    }

    /// Notes that something was promised or begun: it holds for every crash from now on.
    pub fn ack(&self, ack: Ack) {
        let mut i = self.lock();
        i.acks.push(ack);
        i.keep();
    }

    /// The disk as it is.
    #[must_use]
    pub fn disk(&self) -> Disk {
        self.lock().disk.clone()
    }

    pub(super) fn take_moments(&self) -> (Vec<Moment>, Vec<Ack>) {
        let mut i = self.lock();
        (std::mem::take(&mut i.moments), i.acks.clone())
    }

    pub(super) fn acks(&self) -> Vec<Ack> {
        self.lock().acks.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        let i = self.lock();
        let ino = i.disk.seen.find(path.as_str()).ok_or(io::ErrorKind::NotFound)?;
        match i.node(ino) {
            Some(Node::File(..)) => Ok(Box::new(ModelFile { inner: self.inner.clone(), ino })),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }
}

impl Inner {
    fn keep(&mut self) {
        if self.recording {
            self.moments.push(Moment { disk: self.disk.clone(), acks: self.acks.len() });
        }
    }

    fn node(&self, ino: Ino) -> Option<&Node> {
        self.disk.seen.nodes.get(&ino).map(|n| &**n)
    }

    /// Counts an operation and fails it when asked to. A sticky failure spares operations that change nothing.
    fn gate(&mut self, changes: bool) -> io::Result<()> {
        let n = self.ops;
        self.ops += 1;
        match self.failure {
            Some(f) if n == f.at || (f.sticky && changes && n > f.at) => {
                self.fired += 1;
                Err(f.kind.into())
            }
            _ => Ok(()),
        }
    }

    fn changed(&mut self) {
        self.changes += 1;
        self.keep();
    }

    fn names(&self, dir: Ino) -> io::Result<&BTreeMap<String, Ino>> {
        match self.node(dir) {
            Some(Node::Dir(names)) => Ok(names),
            Some(_) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The folder that holds a path. A link or file on the way is an error.
    fn parent(&self, path: &FsPath) -> io::Result<Ino> {
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = super::state::ROOT;
        for name in parent.parts() {
            at = *self.names(at)?.get(name).ok_or(io::ErrorKind::NotFound)?;
        }
        self.names(at)?;
        Ok(at)
    }

    fn lookup(&self, path: &FsPath) -> io::Result<Option<Ino>> {
        if path.is_root() {
            return Ok(Some(super::state::ROOT));
        }
        match self.parent(path) {
            Ok(dir) => Ok(self.names(dir)?.get(path.name()).copied()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn kind(&self, ino: Ino) -> Kind {
        match self.node(ino) {
            Some(Node::File(..)) => Kind::File,
            Some(Node::Dir(_)) => Kind::Dir,
            _ => Kind::Link,
        }
    }

    fn meta(&self, ino: Ino) -> Meta {
        let (device, inode) = (self.disk.device(ino), u64::from(ino));
        match self.node(ino) {
            Some(Node::File(c, t)) => Meta { kind: Kind::File, len: c.len(), mtime_ns: *t, device, inode, ctime_ns: 0 },
            _ => Meta { kind: self.kind(ino), len: 0, mtime_ns: 0, device, inode, ctime_ns: 0 },
        }
    }
}

impl Fs for ModelFs {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        let mut i = self.lock();
        i.gate(false)?;
        Ok(i.lookup(path)?.map(|ino| i.meta(ino)))
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        let mut i = self.lock();
        i.gate(false)?;
        let ino = i.lookup(dir)?.ok_or(io::ErrorKind::NotFound)?;
        let entry = |(name, ino): (&String, &Ino)| Entry { name: EntryName::Utf8(name.clone()), kind: i.kind(*ino) };
        Ok(i.names(ino)?.iter().map(entry).collect())
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let dir = i.parent(path)?;
        if i.names(dir)?.contains_key(path.name()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let ino = i.disk.create(dir, Node::Dir(BTreeMap::new()));
        i.disk.step(Step::Names(vec![(dir, path.name().to_owned(), Some(ino))]));
        i.changed();
        Ok(())
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.lock().gate(false)?;
        self.open(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let mut i = self.lock();
        i.gate(mode != OpenMode::Existing)?;
        let known = i.lookup(path)?;
        match (known, mode) {
            (Some(_), OpenMode::New) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, OpenMode::Existing) => return Err(io::ErrorKind::NotFound.into()),
            (Some(ino), _) if i.disk.is_protected(ino) => return Err(io::ErrorKind::PermissionDenied.into()),
            (None, _) => {
                let dir = i.parent(path)?;
                let time = i.disk.tick();
                let ino = i.disk.create(dir, Node::File(Content::default(), time));
                i.disk.step(Step::Names(vec![(dir, path.name().to_owned(), Some(ino))]));
                i.changed();
            }
            (Some(_), _) => {}
        }
        drop(i);
        self.open(path)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let (a, b) = (i.parent(from)?, i.parent(to)?);
        let ino = *i.names(a)?.get(from.name()).ok_or(io::ErrorKind::NotFound)?;
        if i.names(b)?.get(to.name()).is_some_and(|t| i.kind(*t) == Kind::Dir) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if i.disk.device(a) != i.disk.device(b) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let changes = vec![(a, from.name().to_owned(), None), (b, to.name().to_owned(), Some(ino))];
        i.disk.step(Step::Names(changes));
        i.changed();
        Ok(())
    }

    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let (a, b) = (i.parent(from)?, i.parent(to)?);
        let ino = *i.names(a)?.get(from.name()).ok_or(io::ErrorKind::NotFound)?;
        if i.names(b)?.contains_key(to.name()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if i.kind(ino) != Kind::File {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if i.disk.device(a) != i.disk.device(b) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        i.disk.step(Step::Names(vec![(b, to.name().to_owned(), Some(ino))]));
        i.changed();
        Ok(())
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let dir = i.parent(path)?;
        let ino = *i.names(dir)?.get(path.name()).ok_or(io::ErrorKind::NotFound)?;
        if i.kind(ino) == Kind::Dir {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        i.disk.step(Step::Names(vec![(dir, path.name().to_owned(), None)]));
        i.changed();
        Ok(())
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let dir = i.parent(path)?;
        let ino = *i.names(dir)?.get(path.name()).ok_or(io::ErrorKind::NotFound)?;
        if !i.names(ino)?.is_empty() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        if i.disk.device(ino) != i.disk.device(dir) {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        i.disk.step(Step::Names(vec![(dir, path.name().to_owned(), None)]));
        i.changed();
        Ok(())
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(false)?;
        let ino = i.lookup(dir)?.ok_or(io::ErrorKind::NotFound)?;
        i.names(ino).map(|_| ())
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        let ino = i.lookup(path)?.ok_or(io::ErrorKind::NotFound)?;
        i.names(ino)?;
        i.disk.sync_dir(ino);
        i.keep();
        Ok(())
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        let mut i = self.lock();
        if !i.bulk {
            return Ok(false);
        }
        let ino = i.lookup(path)?.ok_or(io::ErrorKind::NotFound)?;
        let device = i.disk.device(ino);
        if let Err(e) = i.gate(true) {
            i.disk.lose_device(device);
            i.keep();
            return Err(e);
        }
        i.disk.sync_device(device);
        i.keep();
        Ok(true)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.lock().gate(false)?;
        Ok(1 << 40)
    }
}

#[derive(Debug)]
struct ModelFile {
    inner: Arc<Mutex<Inner>>,
    ino: Ino,
}

impl ModelFile {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FsFile for ModelFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut i = self.lock();
        i.gate(false)?;
        match i.node(self.ino) {
            Some(Node::File(c, _)) => Ok(c.read(offset, buf)),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut i = self.lock();
        let time = i.disk.tick();
        if let Err(e) = i.gate(true) {
            // A write that fails may have been done in part.
            let half: Arc<[u8]> = bytes[..bytes.len() / 2].into();
            i.disk.step(Step::Write { ino: self.ino, offset, bytes: half, time });
            i.changed();
            return Err(e);
        }
        i.disk.step(Step::Write { ino: self.ino, offset, bytes: bytes.into(), time });
        i.changed();
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        if i.meta(self.ino).len != len {
            let time = i.disk.tick();
            i.disk.step(Step::SetLen { ino: self.ino, len, time });
            i.changed();
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        if self.lock().meta(self.ino).len < len {
            self.set_len(len)?;
        } else {
            self.lock().gate(true)?;
        }
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        let mut i = self.lock();
        if let Err(e) = i.gate(true) {
            i.disk.lose_file(self.ino);
            i.keep();
            return Err(e);
        }
        i.disk.sync_file(self.ino);
        i.keep();
        Ok(())
    }

    fn links(&self) -> io::Result<u64> {
        let mut i = self.lock();
        i.gate(false)?;
        Ok(i.disk.seen.names_of(self.ino))
    }

    fn stat(&self) -> io::Result<Meta> {
        let mut i = self.lock();
        i.gate(false)?;
        Ok(i.meta(self.ino))
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        let mut i = self.lock();
        i.gate(true)?;
        i.disk.step(Step::SetTime { ino: self.ino, time: ms.saturating_mul(1_000_000) });
        i.changed();
        Ok(())
    }
}
