//! Where unpacked files go: a trait for a folder that takes new files and nothing else, and the one on a disk.
//!
//! Owns that nothing is ever written over, and that all of it is durable when `Place::finish` returns. Files are synced on
//! a thread of their own while the next are unpacked; once many wait, everything is synced at once at the end, which costs
//! a thousandth for small files. Decides nothing about names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bonfire_disk::fs::{EntryName, Fs, FsFile, FsPath, Kind, OpenMode, write_all_at};
use bonfire_proto::RelPath;

/// Files waiting to be synced one by one, beyond which everything is synced at once at the end. It is also the number of
/// files kept open.
pub const BULK_SYNC_FROM: usize = 64;
/// Bytes put together before they are written.
const WRITE_BUFFER: usize = 256 << 10;

/// A folder that takes new files.
pub trait Place: Send + Sync {
    /// Makes a folder; those above it are there.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the disk reports.
    fn make_folder(&self, path: &RelPath) -> io::Result<()>;

    /// Makes a file and opens it to write.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the disk reports.
    fn create(&self, path: &RelPath, executable: bool) -> io::Result<Box<dyn Sink>>;

    /// Makes durable whatever was made. Nothing is made after it.
    ///
    /// # Errors
    /// Whatever the disk reports, here or while an earlier file was synced. Final.
    fn finish(&self) -> io::Result<()>;
}

/// A file being written from its beginning.
pub trait Sink: Send {
    /// Writes all of it.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Hands over what is not yet written. Durable it is after `Place::finish`.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// A folder within a tree of `bonfire_disk`.
pub struct Staging {
    fs: Arc<dyn Fs>,
    base: FsPath,
    syncer: Arc<Syncer>,
    thread: Mutex<Option<JoinHandle<()>>>,
    folders: Mutex<BTreeSet<FsPath>>,
}

impl Staging {
    /// The folder `base`, which exists. Files are synced on a thread.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn new(fs: Arc<dyn Fs>, base: FsPath) -> io::Result<Self> {
        let staging = Self::without_thread(fs, base);
        let syncer = Arc::clone(&staging.syncer);
        *lock(&staging.thread) =
            Some(std::thread::Builder::new().name("unpack-sync".into()).spawn(move || syncer.run())?);
        Ok(staging)
    }

    /// As `new`, with all syncs in `finish` on the caller's thread: the same steps in the same order every time.
    #[must_use]
    pub fn without_thread(fs: Arc<dyn Fs>, base: FsPath) -> Self {
        Self {
            fs,
            base,
            syncer: Arc::new(Syncer::default()),
            thread: Mutex::new(None),
            folders: Mutex::new(BTreeSet::new()),
        }
    }
}

impl fmt::Debug for Staging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Staging").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Place for Staging {
    fn make_folder(&self, path: &RelPath) -> io::Result<()> {
        let at = self.base.beneath(path);
        self.fs.create_dir(&at)?;
        lock(&self.folders).insert(at);
        Ok(())
    }

    fn create(&self, path: &RelPath, executable: bool) -> io::Result<Box<dyn Sink>> {
        let file = self.fs.open_write(&self.base.beneath(path), OpenMode::New)?;
        if executable {
            file.set_executable()?;
        }
        Ok(Box::new(StagedFile { file, at: 0, buffer: Vec::new(), syncer: Arc::clone(&self.syncer) }))
    }

    fn finish(&self) -> io::Result<()> {
        self.syncer.close();
        let all_at_once = match lock(&self.thread).take() {
            Some(thread) => {
                thread.join().map_err(|_| io::Error::other("the thread that syncs ended"))?;
                self.syncer.outcome()?
            }
            None => {
                self.syncer.run();
                self.syncer.outcome()?
            }
        };
        if all_at_once {
            if self.fs.sync_everything(&self.base)? {
                return Ok(());
            }
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the system cannot sync everything at once"));
        }
        for folder in lock(&self.folders).iter().rev() {
            self.fs.sync_dir(folder)?;
        }
        self.fs.sync_dir(&self.base)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        self.syncer.close();
        if let Some(thread) = lock(&self.thread).take() {
            // An unfinished place promises nothing: how its last syncs went is nobody's concern.
            drop(thread.join());
        }
    }
}

/// Takes some files of a tree, each as far as a bound, and drops what else is written.
#[derive(Debug)]
pub struct Only {
    place: Staging,
    /// With the most bytes of each that are written.
    wanted: BTreeMap<RelPath, u64>,
    /// The folders above what is wanted.
    folders: BTreeSet<RelPath>,
}

impl Only {
    /// Those of the files that are wanted, with the most bytes of each.
    #[must_use]
    pub fn new(place: Staging, wanted: BTreeMap<RelPath, u64>) -> Self {
        let above = |path: &RelPath| std::iter::successors(path.parent(), RelPath::parent).collect::<Vec<_>>();
        let folders = wanted.keys().flat_map(above).collect();
        Self { place, wanted, folders }
    }
}

impl Place for Only {
    fn make_folder(&self, path: &RelPath) -> io::Result<()> {
        if self.folders.contains(path) { self.place.make_folder(path) } else { Ok(()) }
    }

    fn create(&self, path: &RelPath, executable: bool) -> io::Result<Box<dyn Sink>> {
        let Some(left) = self.wanted.get(path).copied() else { return Ok(Box::new(Dropped)) };
        Ok(Box::new(Bounded { sink: self.place.create(path, executable)?, left }))
    }

    fn finish(&self) -> io::Result<()> {
        self.place.finish()
    }
}

/// Takes the beginning of a file. One that is longer is not the one that is wanted, which its length tells.
struct Bounded {
    sink: Box<dyn Sink>,
    left: u64,
}

impl Sink for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        self.left -= taken as u64;
        if taken == 0 { Ok(()) } else { self.sink.write(&bytes[..taken]) }
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sink.finish()
    }
}

struct Dropped;

impl Sink for Dropped {
    fn write(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

/// Removes everything beneath a folder, links as links.
///
/// # Errors
/// The first thing that cannot be removed; what came before it is gone.
pub fn empty(fs: &dyn Fs, folder: &FsPath) -> io::Result<()> {
    let mut open = vec![folder.clone()];
    while let Some(at) = open.last().cloned() {
        let mut has_folders = false;
        for entry in fs.list(&at)? {
            let EntryName::Utf8(name) = entry.name else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a name that is not UTF-8"));
            };
            if entry.kind == Kind::Dir {
                has_folders = true;
                open.push(at.child(&name));
            } else {
                fs.remove_file(&at.child(&name))?;
            }
        }
        if !has_folders {
            open.pop();
            if at != *folder {
                fs.remove_dir(&at)?;
            }
        }
    }
    Ok(())
}

struct StagedFile {
    file: Box<dyn FsFile>,
    at: u64,
    buffer: Vec<u8>,
    syncer: Arc<Syncer>,
}

impl StagedFile {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all_at(&*self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        self.put(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for StagedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > WRITE_BUFFER {
            self.flush()?;
        }
        if bytes.len() >= WRITE_BUFFER / 2 && self.buffer.is_empty() {
            return self.put(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()?;
        self.syncer.push(self.file)
    }
}

/// Files that are written and not durable yet.
#[derive(Default)]
struct Syncer {
    state: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    files: VecDeque<Box<dyn FsFile>>,
    /// Too many waited: none is kept, and everything is synced at the end.
    all_at_once: bool,
    is_closed: bool,
    failed: Option<io::Error>,
}

impl Syncer {
    fn push(&self, file: Box<dyn FsFile>) -> io::Result<()> {
        let mut state = lock(&self.state);
        if let Some(e) = &state.failed {
            return Err(io::Error::new(e.kind(), e.to_string()));
        }
        if state.all_at_once {
            return Ok(());
        }
        state.files.push_back(file);
        // Elsewhere there is no such thing as syncing everything, and waiting costs what it costs.
        if cfg!(target_os = "linux") && state.files.len() >= BULK_SYNC_FROM {
            state.all_at_once = true;
            let files = std::mem::take(&mut state.files);
            drop(state);
            drop(files);
            return Ok(());
        }
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    fn close(&self) {
        lock(&self.state).is_closed = true;
        self.more.notify_one();
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            if let Some(file) = state.files.pop_front() {
                drop(state);
                let done = file.sync();
                drop(file);
                state = lock(&self.state);
                if let Err(e) = done {
                    state.failed.get_or_insert(e);
                }
            } else if state.is_closed {
                return;
            } else {
                state = self.more.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Whether everything is still to be synced at once.
    fn outcome(&self) -> io::Result<bool> {
        let mut state = lock(&self.state);
        match state.failed.take() {
            Some(e) => Err(e),
            None => Ok(state.all_at_once),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing of ours panics with it held, and what it guards is whole between two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
