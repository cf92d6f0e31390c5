//! Making the files of a recorded download ready to be written: parking the sentinel, creating, resizing, removing what
//! only the old version had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_engine::recovery::JournalState;
use bonfire_proto::chunk::chunk_hash;
use bonfire_proto::game::SENTINEL;
use bonfire_proto::{Digest, Manifest, RelPath};

use super::Download;
use super::handles::Place;
use super::writer::Shared;
use crate::error::DiskError;
use crate::fs::{FsPath, Kind, OpenMode};
use crate::games::{Held, Inner};
use crate::hash::FileStamp;
use crate::journal::record::{Record, runs};
use crate::journal::{Journal, JournalWriter};
use crate::version;
use crate::walk::{Sentinel, sentinel};

/// Index of the sentinel in a checked manifest.
pub(super) fn index_of_sentinel(manifest: &Manifest) -> u32 {
    let at = manifest.files.iter().position(|f| f.path.as_str() == SENTINEL);
    at.and_then(|i| u32::try_from(i).ok()).unwrap_or(u32::MAX)
}

/// Digest of the only chunk of an empty file.
pub(super) fn empty() -> Digest {
    chunk_hash(0, 0, &[])
}

/// What is at the path of a payload file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    Missing,
    /// A regular file.
    Present(FileStamp),
    /// Something that only the old version has, and that goes first.
    Blocked,
}

/// Looks at paths beneath a game root through real folders only.
pub(super) struct Survey<'a> {
    inner: &'a Inner,
    root: &'a FsPath,
    previous_only: &'a BTreeSet<RelPath>,
    folders: BTreeMap<RelPath, Option<Kind>>,
}

impl<'a> Survey<'a> {
    pub(super) fn new(inner: &'a Inner, root: &'a FsPath, previous_only: &'a BTreeSet<RelPath>) -> Self {
        Self { inner, root, previous_only, folders: BTreeMap::new() }
    }

    /// Whether every folder above the path is one, and no link.
    pub(super) fn folders_are_real(&mut self, path: &RelPath) -> bool {
        ancestors(path).iter().all(|dir| matches!(self.folder(dir), Ok(Some(Kind::Dir))))
    }

    /// What is at the path.
    pub(super) fn look(&mut self, path: &RelPath) -> Result<Slot, DiskError> {
        for dir in ancestors(path) {
            match self.folder(&dir)? {
                Some(Kind::Dir) => {}
                None => return Ok(Slot::Missing),
                Some(Kind::File) if self.previous_only.contains(&dir) => return Ok(Slot::Blocked),
                Some(kind) => return Err(self.in_the_way(&dir, kind)),
            }
        }
        let at = self.root.beneath(path);
        let meta = self.inner.fs.stat(&at).map_err(|e| self.inner.io("reading", &at, e))?;
        Ok(match meta {
            None => Slot::Missing,
            Some(m) if m.kind == Kind::File => Slot::Present(FileStamp::of(&m)),
            Some(m) if m.kind == Kind::Dir && self.old_version_had_folder(path) => Slot::Blocked,
            Some(m) => return Err(self.in_the_way(path, m.kind)),
        })
    }

    fn folder(&mut self, dir: &RelPath) -> Result<Option<Kind>, DiskError> {
        if let Some(kind) = self.folders.get(dir) {
            return Ok(*kind);
        }
        let kind = self.inner.kind(&self.root.beneath(dir))?;
        self.folders.insert(dir.clone(), kind);
        Ok(kind)
    }

    fn old_version_had_folder(&self, path: &RelPath) -> bool {
        let prefix = format!("{path}/");
        self.previous_only.iter().any(|p| p.as_str().starts_with(&prefix))
    }

    fn in_the_way(&self, path: &RelPath, kind: Kind) -> DiskError {
        let what = match kind {
            Kind::File => "a file",
            Kind::Dir => "a folder",
            Kind::Link => "a link",
            Kind::Other => "a device, pipe or socket",
        };
        DiskError::InTheWay { path: self.inner.shown(&self.root.beneath(path)), what }
    }
}

/// The folders above a path, from the top down.
pub(crate) fn ancestors(path: &RelPath) -> Vec<RelPath> {
    let mut out = Vec::new();
    let mut at = path.parent();
    while let Some(dir) = at {
        at = dir.parent();
        out.push(dir);
    }
    out.reverse();
    out
}

impl Download {
    /// Opens a recorded download. With `undo`, a failure puts everything back as long as nothing old was changed.
    pub(super) fn open(
        inner: &Arc<Inner>,
        held: Held,
        journal: Journal,
        log: JournalWriter,
        undo: bool,
    ) -> Result<Self, DiskError> {
        let manifest = journal.header.manifest.clone();
        let root = FsPath::game(&manifest.game_id);
        let unadopted = (0u32..)
            .zip(&manifest.files)
            .filter(|(i, f)| journal.header.found.contains(&f.path) && !journal.adopted.contains(i))
            .map(|(i, _)| i)
            .collect();
        let sentinel = index_of_sentinel(&manifest);
        let shared = Shared::new(inner.clone(), root.clone(), manifest, sentinel, unadopted, log);
        let mut download = Self {
            inner: inner.clone(),
            _held: held,
            root,
            journal,
            shared: Arc::new(shared),
            pending: Vec::new(),
            pending_records: Vec::new(),
            pending_digests: Vec::new(),
            dirty_dirs: BTreeSet::new(),
            blank: BTreeSet::new(),
            misfits: BTreeSet::new(),
            resumed: !undo,
            unsound: false,
            unreserved: 0,
        };
        if !undo {
            // After a kill, names that an earlier run made may be in the cache only.
            let dirs = download.manifest().files.iter().flat_map(|f| ancestors(&f.path)).collect::<BTreeSet<_>>();
            download.dirty_dirs = dirs.iter().map(|d| download.root.beneath(d)).collect();
            download.dirty_dirs.insert(download.root.clone());
        }
        let mut made = Made::default();
        match download.make_ready(&mut made) {
            Ok(()) => Ok(download),
            Err(e) => {
                if undo
                    && !made.old_changed
                    && let Err(again) = download.put_back(&made)
                {
                    let game = &download.manifest().game_id;
                    tracing::warn!(%game, error = %again, "a download that did not begin stays on record");
                }
                Err(e)
            }
        }
    }

    fn make_ready(&mut self, made: &mut Made) -> Result<(), DiskError> {
        let inner = self.inner.clone();
        let manifest = self.journal.header.manifest.clone();
        let previous_only: BTreeSet<RelPath> = self.journal.header.previous_only.iter().cloned().collect();
        let old = sentinel(&inner, &self.root)?;
        if old == Sentinel::NotRegular {
            let path = inner.shown(&self.root.child(SENTINEL));
            return Err(DiskError::InTheWay { path, what: "a folder, link or special file" });
        }
        let mut survey = Survey::new(&inner, &self.root, &previous_only);
        let mut slots = Vec::with_capacity(manifest.files.len());
        for f in &manifest.files {
            slots.push(if f.path.as_str() == SENTINEL { Slot::Missing } else { survey.look(&f.path)? });
        }
        let lost = self.lost_chunks(&slots)?;
        self.check_permissions(&slots)?;

        // The journal knows before the disk changes: a chunk that is gone must not count again once its file is remade.
        let mut records = Vec::new();
        if self.journal.state != JournalState::Active {
            records.push(Record::State(JournalState::Active));
        }
        if !lost.is_empty() {
            for n in &lost {
                self.journal.verified.clear(*n);
                self.journal.digests.remove(n);
            }
            records.push(Record::Unverified(runs(lost)));
        }
        for n in self.journal.verified.ones() {
            self.shared.handles.keep(n);
        }
        if !records.is_empty() {
            self.shared.append(&records)?;
            self.journal.state = JournalState::Active;
        }

        if old == Sentinel::Regular {
            let (from, to) = (self.root.child(SENTINEL), self.root.child(version::DISCARDED));
            inner.fs.rename(&from, &to).map_err(|e| inner.io("setting aside", &from, e))?;
            made.parked = true;
            inner.sync_dir(&self.root)?;
        }
        for (i, slot) in (0u32..).zip(&slots) {
            if *slot == Slot::Missing && i != self.shared.sentinel {
                self.create(i, made)?;
            }
        }
        // From here on the old version cannot be put back.
        made.old_changed = true;
        self.remove_old(&previous_only)?;
        for (i, slot) in (0u32..).zip(&slots) {
            match slot {
                Slot::Blocked => self.create(i, made)?,
                Slot::Present(stamp) => self.fit(i, stamp.size)?,
                Slot::Missing => {}
            }
        }
        self.sync_dirs()?;
        self.verify_empty_files();
        Ok(())
    }

    /// Chunks that the journal counts as verified and that are gone, or in a file that changed since.
    fn lost_chunks(&self, slots: &[Slot]) -> Result<Vec<u32>, DiskError> {
        let mut lost = Vec::new();
        for (i, (slot, f)) in (0u32..).zip(slots.iter().zip(&self.journal.header.manifest.files)) {
            let Some(range) = self.layout().range(i) else { continue };
            let verified = range.filter(|n| self.verified().get(*n));
            if i == self.shared.sentinel {
                let chunks: Vec<u32> = verified.collect();
                if !chunks.is_empty() && self.reload_sentinel(i)? {
                    continue;
                }
                lost.extend(chunks);
                continue;
            }
            match slot {
                Slot::Present(stamp) if stamp.size != f.size && self.shared.is_unadopted(i) => {
                    let path = self.inner.shown(&self.shared.path(i));
                    return Err(DiskError::Occupied { path, count: 1 });
                }
                Slot::Present(stamp) if stamp.size == f.size && self.journal.stamps.get(&i) == Some(stamp) => {
                    self.shared.stamps.set(i, *stamp);
                }
                // Gone, or not what it was when its chunks were verified: what is right of it is found by hashing.
                _ => lost.extend(verified),
            }
        }
        Ok(lost)
    }

    /// Loads the staged sentinel when it is what its digest says.
    fn reload_sentinel(&self, file: u32) -> Result<bool, DiskError> {
        let path = self.root.child(version::TMP);
        let size = self.manifest().files.get(file as usize).map_or(0, |f| f.size);
        let bytes = match crate::atomic::read_small(&*self.inner.fs, &path, size) {
            Ok(b) => b,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => None,
            Err(e) => return Err(self.inner.io("reading", &path, e)),
        };
        let expected = self.expected(bonfire_proto::ChunkRef { file, chunk: 0 });
        match bytes {
            Some(b) if b.len() as u64 == size && expected == Some(chunk_hash(size, 0, &b)) => {
                self.shared.set_sentinel(b);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Creates a file of the manifest at its full length.
    fn create(&mut self, file: u32, made: &mut Made) -> Result<(), DiskError> {
        let manifest = self.journal.header.manifest.clone();
        let Some(entry) = manifest.files.get(file as usize) else { return Ok(()) };
        let mut parent = self.root.clone();
        for dir in ancestors(&entry.path) {
            let at = self.root.beneath(&dir);
            if made.known_dirs.insert(at.clone()) {
                match self.inner.fs.create_dir(&at) {
                    Ok(()) => {
                        made.dirs.push(at.clone());
                        self.dirty_dirs.insert(parent);
                        self.dirty_dirs.insert(at.clone());
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                    Err(e) => return Err(self.inner.io("creating", &at, e)),
                }
            }
            parent = at;
        }
        let path = self.root.beneath(&entry.path);
        self.dirty_dirs.insert(parent);
        let handle = self.inner.fs.open_write(&path, OpenMode::New).map_err(|e| self.inner.io("creating", &path, e))?;
        made.files.push(path.clone());
        self.shared.handles.made(file);
        self.blank.insert(file);
        if entry.size > 0 && !handle.allocate(entry.size).map_err(|e| self.inner.io("reserving room for", &path, e))? {
            self.unreserved = self.unreserved.saturating_add(entry.size);
        }
        Ok(())
    }

    /// Refuses before anything is changed what would fail in the middle: a folder in which no file can be replaced or
    /// removed, a file that can be opened in no way.
    fn check_permissions(&self, slots: &[Slot]) -> Result<(), DiskError> {
        let (inner, root) = (&self.inner, &self.root);
        let mut dirs = BTreeSet::from([root.clone()]);
        let parent = |p: &FsPath| p.parent().unwrap_or_else(|| root.clone());
        for (i, slot) in (0u32..).zip(slots) {
            if matches!(slot, Slot::Present(_)) && !self.is_complete(i) && self.shared.place(i)? == Place::Copy {
                dirs.insert(parent(&self.shared.path(i)));
            }
        }
        for path in self.journal.header.previous_only.iter().map(|p| root.beneath(p)) {
            // A folder on the way that is none hides nothing that would be removed.
            if matches!(inner.kind(&path), Ok(Some(Kind::File))) {
                dirs.insert(parent(&path));
            }
        }
        for dir in dirs {
            inner.fs.names_may_change(&dir).map_err(|e| inner.io("writing in", &dir, e))?;
        }
        Ok(())
    }

    fn is_complete(&self, file: u32) -> bool {
        self.layout().range(file).is_none_or(|mut r| r.all(|n| self.verified().get(n)))
    }

    /// Gives a file that is there its length.
    fn fit(&mut self, file: u32, len: u64) -> Result<(), DiskError> {
        let size = self.manifest().files.get(file as usize).map_or(0, |f| f.size);
        if self.shared.is_unadopted(file) || (len == size && self.is_complete(file)) {
            return Ok(());
        }
        let path = self.shared.path(file);
        let io = |e| self.inner.io("resizing", &path, e);
        if self.shared.place(file)? == Place::Copy {
            if len != size {
                self.misfits.insert(file);
            }
            return Ok(());
        }
        let _writing = self.shared.stamps.writing(file);
        let handle = self.shared.writable(file)?;
        if len > size {
            handle.set_len(size).map_err(io)?;
        } else if !handle.allocate(size).map_err(io)? {
            self.unreserved = self.unreserved.saturating_add(size);
        }
        // A new length is durable only with the file's next sync.
        self.shared.mark_dirty(file);
        Ok(())
    }

    /// Removes the files that only the old version had. First of all, because on some file systems one of them and a new
    /// one are the same name.
    fn remove_old(&mut self, previous_only: &BTreeSet<RelPath>) -> Result<(), DiskError> {
        let swept = crate::sweep::remove_files(&self.inner, &self.root, previous_only.iter())?;
        self.dirty_dirs.extend(swept.dirs);
        Ok(())
    }

    /// Makes the names of created and removed files durable.
    pub(super) fn sync_dirs(&mut self) -> Result<(), DiskError> {
        let dirs = std::mem::take(&mut self.dirty_dirs);
        crate::sweep::sync_dirs(&self.inner, &dirs).inspect_err(|_| self.unsound = true)
    }

    fn verify_empty_files(&mut self) {
        let manifest = self.journal.header.manifest.clone();
        for (i, _) in (0u32..).zip(&manifest.files).filter(|(_, f)| f.size == 0) {
            if let Some(n) = self.layout().range(i).map(|r| r.start)
                && self.journal.verified.set(n)
            {
                self.journal.digests.insert(n, empty());
                self.pending_digests.push((n, empty()));
                self.pending.push(n);
            }
            self.shared.mark_dirty(i);
        }
    }

    /// Takes back what `make_ready` did, newest first.
    fn put_back(&mut self, made: &Made) -> Result<(), DiskError> {
        let inner = self.inner.clone();
        self.shared.close();
        for path in made.files.iter().rev() {
            inner.fs.remove_file(path).map_err(|e| inner.io("removing", path, e))?;
        }
        for path in made.dirs.iter().rev() {
            inner.fs.remove_dir(path).map_err(|e| inner.io("removing", path, e))?;
        }
        let gone: BTreeSet<&FsPath> = made.dirs.iter().collect();
        let dirs = std::mem::take(&mut self.dirty_dirs).into_iter().filter(|d| !gone.contains(d)).collect();
        crate::sweep::sync_dirs(&inner, &dirs)?;
        if made.parked {
            let (from, to) = (self.root.child(version::DISCARDED), self.root.child(SENTINEL));
            inner.fs.rename(&from, &to).map_err(|e| inner.io("putting back", &to, e))?;
            inner.sync_dir(&self.root)?;
        }
        self.record_state(JournalState::Done)?;
        self.shared.close_log();
        let game = self.manifest().game_id.clone();
        crate::sweep::drop_records(&inner, &game)?;
        crate::sweep::remove_root_if_empty(&inner, &game).map(|_| ())
    }
}

/// What was made since the records were written.
#[derive(Debug, Default)]
struct Made {
    files: Vec<FsPath>,
    dirs: Vec<FsPath>,
    known_dirs: BTreeSet<FsPath>,
    parked: bool,
    old_changed: bool,
}
