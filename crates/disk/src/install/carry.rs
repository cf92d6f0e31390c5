//! The last of what has to be in the staging folder before it takes its place: the player's files, and the record.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bonfire_engine::installs::{Carried, Known, carry};
use bonfire_proto::RelPath;

use super::record::{self, InstallRecord, InstalledFile};
use super::stamp::ExactStamp;
use super::tree::{self, Tree};
use super::{InstallError, Staging};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{FsPath, OpenMode, read_full_at, write_all_at};
use crate::games::Inner;
use crate::sweep::sync_dirs;

/// Bytes read at once.
pub(super) const PIECE: usize = 1 << 20;

/// A staging folder that can take its place.
#[derive(Debug)]
pub struct Ready {
    /// What the install before was when the player's files were carried from it.
    pub(super) before: Option<Tree>,
    pub(super) carried: Vec<Carried>,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Staging {
    /// Brings the player's files and the record into the staging folder, all of it durable. `unpacked` is what it has to
    /// hold: every file durable by now, and in folders that are. `keep_going` is asked with the bytes read since it was last
    /// asked. What it returns `put` takes; whoever gives up instead aborts.
    ///
    /// # Errors
    /// `NotAsUnpacked`; `CannotCarry`; `CannotDelete`; `Changed`; `Cancelled`; the disk's.
    pub fn prepare(
        &self,
        version: &str,
        unpacked: &BTreeMap<RelPath, Known>,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Ready, InstallError> {
        let inner = &*self.inner;
        let staged = tree::read(inner, &self.folder())?;
        self.check_unpacked(&staged, unpacked)?;
        let mut before = self.is_update.then(|| tree::read(inner, &self.local())).transpose()?;
        let (mut dirty, mut carried) = (BTreeSet::new(), Vec::new());
        if let Some(before) = &mut before {
            if let Some(first) = before.odd.first() {
                let (path, count) = (inner.shown(&self.local()), before.odd.len() as u64);
                return Err(InstallError::CannotCarry { path, count, first: first.clone() });
            }
            // It is deleted once the new one is in place.
            tree::can_go(inner, &self.local())?;
            let was = record::read(inner, &self.local())?.map(|r| r.files);
            // A file that was taken over as it is has another name in the staging folder, which its stamp tells of.
            let is_same = |path: &RelPath, stamp: &ExactStamp| {
                let staged = staged.files.get(path).filter(|s| s.inode != 0 && *s == stamp);
                staged.and_then(|_| unpacked.get(path).copied())
            };
            let live = whose(inner, &self.local(), before, was.as_ref(), &is_same, keep_going)?;
            let was = was.map(|files| files.iter().map(|(path, file)| (path.clone(), file.known())).collect());
            carried = carry(was.as_ref(), &live, unpacked).files;
            let mut linked = Vec::new();
            for one in &carried {
                if !keep_going(0) {
                    return Err(InstallError::Cancelled);
                }
                if self.bring(one, &mut dirty)? {
                    linked.push(&one.from);
                }
            }
            for folder in &before.folders {
                self.make_folder(folder, &mut dirty)?;
            }
            self.note_linked(before, linked)?;
        }
        let players: BTreeSet<&RelPath> = carried.iter().map(|c| &c.to).collect();
        let installed = |(path, known): (&RelPath, &Known)| {
            let stamp = staged.files.get(path).filter(|_| !players.contains(path));
            (path.clone(), InstalledFile::new(known, stamp))
        };
        let files = unpacked.iter().map(installed).collect();
        sync_dirs(inner, &dirty)?;
        record::write(inner, &self.folder(), &InstallRecord::new(version.to_owned(), files))?;
        let bytes = unpacked.values().map(|k| k.size).sum();
        Ok(Ready { before, carried, files: unpacked.len() as u64, bytes })
    }

    /// Another name of a file is told as a change of it: these were given one just now.
    fn note_linked(&self, before: &mut Tree, linked: Vec<&RelPath>) -> Result<(), DiskError> {
        let inner = &*self.inner;
        for path in linked {
            let at = self.local().beneath(path);
            let now = inner.fs.stat(&at).map_err(|e| inner.io("looking at", &at, e))?;
            let (Some(was), Some(now)) = (before.files.get_mut(path), now) else { continue };
            let now = ExactStamp::of(&now);
            if was.is_but_for_names(&now) {
                *was = now;
            }
        }
        Ok(())
    }

    pub(super) fn local(&self) -> FsPath {
        FsPath::game(&self.game).child(tree::LOCAL)
    }

    /// Whether the staging folder holds what was unpacked, as far as a look can tell.
    fn check_unpacked(&self, staged: &Tree, unpacked: &BTreeMap<RelPath, Known>) -> Result<(), InstallError> {
        let inner = &*self.inner;
        let differs = |path: &str, reason| {
            let path = inner.shown(&self.folder().child(path));
            Err(InstallError::NotAsUnpacked { path, reason })
        };
        if let Some(odd) = staged.odd.first() {
            return differs(odd, "no file or folder with a name that is legal everywhere");
        }
        for (path, known) in unpacked {
            match staged.files.get(path) {
                Some(stamp) if stamp.size == known.size => {}
                Some(_) => return differs(path.as_str(), "it has another length"),
                None => return differs(path.as_str(), "it is not there"),
            }
        }
        match staged.files.keys().find(|path| !unpacked.contains_key(*path)) {
            Some(path) => differs(path.as_str(), "nobody unpacked it"),
            None => Ok(()),
        }
    }

    /// Brings one of the player's files into the staging folder, by another name of the same file where that can be, and
    /// as a durable copy elsewhere. Returns whether it is the same file.
    fn bring(&self, one: &Carried, dirty: &mut BTreeSet<FsPath>) -> Result<bool, InstallError> {
        let inner = &*self.inner;
        let (from, to) = (self.local().beneath(&one.from), self.folder().beneath(&one.to));
        if let Some(folder) = one.to.parent() {
            self.make_folder(&folder, dirty)?;
        }
        atomic::remove_if_there(&*inner.fs, &to).map_err(|e| inner.io("making room at", &to, e))?;
        self.bring_within(&from, &to, dirty)
    }

    /// The same of two places in the games folder, of which the second is free.
    pub(super) fn bring_within(
        &self,
        from: &FsPath,
        to: &FsPath,
        dirty: &mut BTreeSet<FsPath>,
    ) -> Result<bool, InstallError> {
        let inner = &*self.inner;
        dirty.insert(to.parent().unwrap_or_else(FsPath::root));
        match inner.fs.hard_link(from, to) {
            Ok(()) => {
                // What the player wrote a moment ago may be in the cache only, and this name is to be kept.
                let file = inner.fs.open_read(to).map_err(|e| inner.io("opening", to, e))?;
                file.sync().map_err(|e| inner.io("syncing", to, e))?;
                Ok(true)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(DiskError::Changed { path: inner.shown(from) }.into()),
            Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Err(inner.io("carrying over", from, e).into())
            }
            // No hard links here, or not of this file.
            Err(_) => {
                copy(inner, from, to)?;
                Ok(false)
            }
        }
    }
}

/// The content of a tree: of files that are as they were recorded from the record, of others as `known` tells, or by reading
/// them.
pub(super) fn whose(
    inner: &Inner,
    top: &FsPath,
    tree: &Tree,
    record: Option<&BTreeMap<RelPath, InstalledFile>>,
    known: &dyn Fn(&RelPath, &ExactStamp) -> Option<Known>,
    keep_going: &dyn Fn(u64) -> bool,
) -> Result<BTreeMap<RelPath, Known>, InstallError> {
    let mut out = BTreeMap::new();
    for (path, stamp) in &tree.files {
        let recorded = record.and_then(|r| r.get(path)).filter(|file| file.is(stamp));
        let known = match recorded.map(InstalledFile::known).or_else(|| known(path, stamp)) {
            Some(known) => known,
            None => hash(inner, &top.beneath(path), stamp, keep_going)?,
        };
        out.insert(path.clone(), known);
    }
    Ok(out)
}

pub(super) fn hash(
    inner: &Inner,
    at: &FsPath,
    stamp: &ExactStamp,
    keep_going: &dyn Fn(u64) -> bool,
) -> Result<Known, InstallError> {
    let changed = || InstallError::Disk(DiskError::Changed { path: inner.shown(at) });
    let file = inner.fs.open_read(at).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => changed(),
        _ => inner.io("opening", at, e).into(),
    })?;
    let (mut hasher, mut buf, mut size) = (blake3::Hasher::new(), vec![0; PIECE], 0u64);
    loop {
        let n = read_full_at(&*file, &mut buf, size).map_err(|e| inner.io("reading", at, e))?;
        if n == 0 {
            break;
        }
        hasher.update(&buf[..n]);
        size += n as u64;
        if !keep_going(n as u64) {
            return Err(InstallError::Cancelled);
        }
    }
    let is_same = ExactStamp::of(&file.stat().map_err(|e| inner.io("looking at", at, e))?) == *stamp;
    if size != stamp.size || !is_same {
        return Err(changed());
    }
    Ok(Known { size, blake3: bonfire_proto::Digest(*hasher.finalize().as_bytes()) })
}

/// Copies a file with its time of last change, its content durable.
fn copy(inner: &Inner, from: &FsPath, to: &FsPath) -> Result<(), DiskError> {
    let source = inner.fs.open_read(from).map_err(|e| inner.io("opening", from, e))?;
    // Nobody counted these bytes before: where hard links can be, they take none.
    let len = source.stat().map_err(|e| inner.io("looking at", from, e))?.len;
    if inner.fs.free_space().map_err(|e| inner.io("looking at", to, e))? < len {
        return Err(inner.io("carrying over", from, io::ErrorKind::StorageFull.into()));
    }
    let target = inner.fs.open_write(to, OpenMode::New).map_err(|e| inner.io("making", to, e))?;
    let (mut buf, mut at) = (vec![0; PIECE], 0u64);
    loop {
        let n = read_full_at(&*source, &mut buf, at).map_err(|e| inner.io("reading", from, e))?;
        if n == 0 {
            break;
        }
        write_all_at(&*target, &buf[..n], at).map_err(|e| inner.io("writing", to, e))?;
        at += n as u64;
    }
    let meta = source.stat().map_err(|e| inner.io("looking at", from, e))?;
    target.set_mtime(meta.mtime_ns.div_euclid(1_000_000)).map_err(|e| inner.io("writing", to, e))?;
    if source.is_executable().map_err(|e| inner.io("looking at", from, e))? {
        target.set_executable().map_err(|e| inner.io("writing", to, e))?;
    }
    target.sync().map_err(|e| inner.io("syncing", to, e))
}
