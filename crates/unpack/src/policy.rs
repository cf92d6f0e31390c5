//! The one loop through which every format writes: what may be made of an entry, and how much.
//!
//! Owns the rules that are the same for all formats: names, kinds, doubles, bounds counted on what comes out, sizes that
//! were promised, progress and cancelling. A reader says what it found (`Archive::admit`), then hands over bytes
//! (`EntryWriter`). Opens no archive and knows no format.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_engine::installs::Known;
use bonfire_proto::{Digest, RelPath};

use crate::error::{UnpackError, Why};
use crate::limits::{Limits, STEP};
use crate::names::{Tree, path_of};
use crate::place::{Place, Sink};

/// Who hears of progress and says when to stop. Called from several threads.
pub trait Control: Send + Sync {
    /// Whether to stop; asked at least every `STEP` bytes of output.
    fn is_cancelled(&self) -> bool;

    /// So many bytes and files came out in all.
    fn progress(&self, bytes: u64, files: u64);

    /// An archive is next.
    fn begins(&self, archive: &str) {
        let _ = archive;
    }
}

/// Never stops, tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unattended;

impl Control for Unattended {
    fn is_cancelled(&self) -> bool {
        false
    }

    fn progress(&self, _: u64, _: u64) {}
}

/// What an entry says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    /// Which kind of link.
    Link(&'static str),
    /// What else.
    Special(&'static str),
}

/// An entry as its header tells of it, separators and code page already made ours.
#[derive(Debug, Clone)]
pub(crate) struct Header<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: Kind,
    /// Its length, where the format says it before.
    pub(crate) size: Option<u64>,
    pub(crate) executable: bool,
}

/// What a header has become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The root of the archive; nothing to do.
    Root,
    Folder(RelPath),
    File(FileSlot),
}

/// A file that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSlot {
    pub(crate) path: RelPath,
    pub(crate) size: Option<u64>,
    pub(crate) executable: bool,
}

/// One game being unpacked: everything that its archives share.
pub(crate) struct Game {
    pub(crate) limits: Limits,
    place: Arc<dyn Place>,
    control: Arc<dyn Control>,
    tree: Mutex<Tree>,
    /// Folders that were made.
    made: Mutex<BTreeSet<RelPath>>,
    /// Files that are complete.
    came: Mutex<BTreeMap<RelPath, Known>>,
    entries: AtomicU64,
    /// Bytes of their names.
    names: AtomicU64,
    bytes: AtomicU64,
    files: AtomicU64,
}

impl Game {
    pub(crate) fn new(limits: Limits, place: Arc<dyn Place>, control: Arc<dyn Control>) -> Arc<Self> {
        Arc::new(Self {
            limits,
            place,
            control,
            tree: Mutex::default(),
            made: Mutex::default(),
            came: Mutex::default(),
            entries: AtomicU64::new(0),
            names: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            files: AtomicU64::new(0),
        })
    }

    /// Bytes and files that came out.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.bytes.load(Ordering::Relaxed), self.files.load(Ordering::Relaxed))
    }

    /// Every file that is complete, with its content. They are taken.
    pub(crate) fn take_files(&self) -> BTreeMap<RelPath, Known> {
        std::mem::take(&mut *lock(&self.came))
    }

    fn told(&self) {
        let (bytes, files) = self.totals();
        self.control.progress(bytes, files);
    }
}

/// One archive of a game.
#[derive(Clone)]
pub(crate) struct Archive(Arc<Inner>);

struct Inner {
    game: Arc<Game>,
    name: String,
    /// Most bytes that may come out of this one.
    allowed: u64,
    out: AtomicU64,
    /// Announced by headers, for formats that say sizes before.
    promised: AtomicU64,
}

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Archive {
    /// An archive of `len` bytes.
    pub(crate) fn new(game: &Arc<Game>, name: &str, len: u64) -> Self {
        game.control.begins(name);
        Self(Arc::new(Inner {
            game: Arc::clone(game),
            name: name.to_owned(),
            allowed: game.limits.output_of(len),
            out: AtomicU64::new(0),
            promised: AtomicU64::new(0),
        }))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.0.game.limits
    }

    /// An error about the archive as a whole.
    pub(crate) fn error(&self, why: Why) -> UnpackError {
        UnpackError::new(&self.0.name, why)
    }

    /// An error about an entry.
    pub(crate) fn entry_error(&self, entry: &str, why: Why) -> UnpackError {
        UnpackError::entry(&self.0.name, entry, why)
    }

    /// # Errors
    /// `Cancelled`.
    pub(crate) fn check_cancelled(&self) -> Result<(), UnpackError> {
        if self.0.game.control.is_cancelled() { Err(self.error(Why::Cancelled)) } else { Ok(()) }
    }

    /// Checks an entry by everything that its header says. Makes nothing.
    ///
    /// # Errors
    /// What is wrong with it, naming it.
    pub(crate) fn admit(&self, header: &Header<'_>) -> Result<Admitted, UnpackError> {
        self.judge(header).map_err(|why| self.entry_error(header.name, why))
    }

    fn judge(&self, header: &Header<'_>) -> Result<Admitted, Why> {
        let (game, limits) = (&self.0.game, self.limits());
        if game.entries.fetch_add(1, Ordering::Relaxed) >= limits.entries {
            return Err(Why::limit("number of entries", limits.entries));
        }
        let len = header.name.len() as u64;
        if game.names.fetch_add(len, Ordering::Relaxed).saturating_add(len) > limits.names_bytes {
            return Err(Why::limit("bytes of names", limits.names_bytes));
        }
        if game.control.is_cancelled() {
            return Err(Why::Cancelled);
        }
        let named = path_of(header.name)?;
        match header.kind {
            Kind::Link(what) => return Err(Why::Link(what.to_owned())),
            Kind::Special(what) => return Err(Why::Special(what.to_owned())),
            Kind::File | Kind::Folder => {}
        }
        let Some((path, says_folder)) = named else {
            return if header.kind == Kind::Folder { Ok(Admitted::Root) } else { Err(Why::Name("no name".to_owned())) };
        };
        if header.kind == Kind::Folder {
            if header.size.is_some_and(|size| size > 0) {
                return Err(Why::Contradiction("a folder with bytes".to_owned()));
            }
            lock(&game.tree).folder(&path)?;
            return Ok(Admitted::Folder(path));
        }
        if says_folder {
            return Err(Why::Contradiction("a file with the name of a folder".to_owned()));
        }
        if let Some(size) = header.size {
            let promised = self.0.promised.fetch_add(size, Ordering::Relaxed).saturating_add(size);
            if size > limits.file_bytes {
                return Err(Why::limit("bytes of one file", limits.file_bytes));
            }
            if promised > limits.total_bytes {
                return Err(Why::limit("bytes of all files", limits.total_bytes));
            }
            if promised > self.0.allowed {
                return Err(Why::limit("bytes out of an archive of this size", self.0.allowed));
            }
        }
        lock(&game.tree).file(&path)?;
        Ok(Admitted::File(FileSlot { path, size: header.size, executable: header.executable }))
    }

    /// Makes a folder and those above it, once.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn make_folder(&self, path: &RelPath) -> Result<(), UnpackError> {
        let mut made = lock(&self.0.game.made);
        if made.contains(path) {
            return Ok(());
        }
        let mut missing = vec![path.clone()];
        let mut above = path.parent();
        while let Some(folder) = above.filter(|folder| !made.contains(folder)) {
            above = folder.parent();
            missing.push(folder);
        }
        for folder in missing.into_iter().rev() {
            self.0
                .game
                .place
                .make_folder(&folder)
                .map_err(|e| self.entry_error(folder.as_str(), Why::io("making the folder", &e)))?;
            made.insert(folder);
        }
        Ok(())
    }

    /// Makes a file, to be written.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) fn create(&self, slot: FileSlot) -> Result<EntryWriter, UnpackError> {
        if let Some(parent) = slot.path.parent() {
            self.make_folder(&parent)?;
        }
        let sink = self
            .0
            .game
            .place
            .create(&slot.path, slot.executable)
            .map_err(|e| self.entry_error(slot.path.as_str(), Why::io("making the file", &e)))?;
        Ok(EntryWriter { archive: self.clone(), sink, slot, written: 0, hasher: blake3::Hasher::new() })
    }

    /// Counts bytes that come out of a decoder and are written nowhere.
    ///
    /// # Errors
    /// `Limit`, `Cancelled`.
    pub(crate) fn count(&self, len: u64) -> Result<(), UnpackError> {
        self.check_cancelled()?;
        let out = self.0.out.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        if out > self.0.allowed {
            return Err(self.error(Why::limit("bytes out of an archive of this size", self.0.allowed)));
        }
        Ok(())
    }
}

/// A file that is being written.
pub(crate) struct EntryWriter {
    archive: Archive,
    sink: Box<dyn Sink>,
    slot: FileSlot,
    written: u64,
    hasher: blake3::Hasher,
}

impl EntryWriter {
    /// Writes bytes of the entry.
    ///
    /// # Errors
    /// A bound, more than the header said, the disk's, or `Cancelled`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), UnpackError> {
        for piece in bytes.chunks(STEP) {
            self.write_piece(piece).map_err(|why| self.error(why))?;
        }
        Ok(())
    }

    fn write_piece(&mut self, piece: &[u8]) -> Result<(), Why> {
        let (archive, len) = (&self.archive.0, piece.len() as u64);
        let limits = &archive.game.limits;
        self.archive.count(len).map_err(|e| e.why)?;
        self.written += len;
        if let Some(said) = self.slot.size.filter(|said| self.written > *said) {
            return Err(Why::Size { said, came: self.written });
        }
        if self.written > limits.file_bytes {
            return Err(Why::limit("bytes of one file", limits.file_bytes));
        }
        if archive.game.bytes.fetch_add(len, Ordering::Relaxed).saturating_add(len) > limits.total_bytes {
            return Err(Why::limit("bytes of all files", limits.total_bytes));
        }
        self.hasher.update(piece);
        self.sink.write(piece).map_err(|e| Why::io("writing", &e))?;
        archive.game.told();
        Ok(())
    }

    /// The file is complete and its checksum right.
    ///
    /// # Errors
    /// Less than the header said; the disk's.
    pub(crate) fn finish(self) -> Result<(), UnpackError> {
        let Self { archive, sink, slot, written, hasher } = self;
        let path = slot.path.as_str();
        if let Some(said) = slot.size.filter(|said| *said != written) {
            return Err(archive.entry_error(path, Why::Size { said, came: written }));
        }
        sink.finish().map_err(|e| archive.entry_error(path, Why::io("writing", &e)))?;
        let known = Known { size: written, blake3: Digest(*hasher.finalize().as_bytes()) };
        archive.0.game.files.fetch_add(1, Ordering::Relaxed);
        lock(&archive.0.game.came).insert(slot.path, known);
        archive.0.game.told();
        Ok(())
    }

    /// Reads to the end and writes it.
    ///
    /// # Errors
    /// As `write`, and what the decoder says.
    pub(crate) fn copy_from(&mut self, from: &mut dyn io::Read, buffer: &mut [u8]) -> Result<(), UnpackError> {
        loop {
            match from.read(buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => self.write(&buffer[..n])?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(Why::of_decoder(&e))),
            }
        }
    }

    /// An error about this entry.
    pub(crate) fn error(&self, why: Why) -> UnpackError {
        self.archive.entry_error(self.slot.path.as_str(), why)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing of ours panics with it held, and what it guards is whole between two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
