//! Making the live files of a save set equal a snapshot, as one unit.
//!
//! New content is staged in a scratch folder of each root and durable; a journal names what is about to change; then files
//! are renamed into place one by one, folders are synced, and the journal goes last. Nothing is touched unless every live
//! file is what the caller's base says, looked at again immediately before. What can be recovered from the journal is
//! `recover.rs`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bonfire_proto::save::content_hash;
use bonfire_proto::{RelPath, SaveEntry, SlotName, SnapshotId};

use super::capture::{Capture, Captured, Listed, Listing, YOUNG_MS};
use super::error::SaveError;
use super::journal::{Change, Journal, Phase, RootRecord};
use super::recover::Settled;
use super::roots::{SaveRoot, locate, look};
use super::set::SaveSet;
use super::snapshots::SaveStore;
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::hash::FileStamp;

/// What is to be applied, to where.
#[derive(Debug, Clone, Copy)]
pub struct Apply<'a> {
    /// Whose save of which game.
    pub set: &'a SaveSet,
    /// Which line of it; noted for recovery.
    pub slot: &'a SlotName,
    /// What the live files have to be; `None` when there must be none.
    pub base: Option<SnapshotId>,
    /// What they are to become.
    pub target: SnapshotId,
    /// Where they live.
    pub roots: &'a [SaveRoot],
    /// What is known of them.
    pub listing: &'a Listing,
    /// Wall clock in milliseconds since 1970, as for `capture`.
    pub now_ms: i64,
}

/// What applying did. The live files are the target, durably.
#[derive(Debug)]
pub struct Applied {
    /// What is now known of the live files.
    pub listing: Listing,
    /// Files written.
    pub written: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files removed.
    pub removed: u64,
}

/// Which side of a change the live files are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Old,
    New,
}

impl Change {
    pub(super) fn side(&self, side: Side) -> Option<&SaveEntry> {
        match side {
            Side::Old => self.old.as_ref(),
            Side::New => self.new.as_ref(),
        }
    }
}

impl SaveStore {
    /// Makes the live files the target, or leaves them as they are.
    ///
    /// # Errors
    /// `Dirty` when a live file is not what base says, also when that happened at the last moment; `Changing` while files
    /// change; `NotCovered` for a file that no root here takes; `InTheWay`; `Busy` while an earlier apply to the save set
    /// waits for recovery; the store's and the disk's. After each the live files are as they were, or what the user
    /// wrote; only after `Unfinished` recovery has to see to that.
    pub fn apply(&self, what: &Apply<'_>) -> Result<Applied, SaveError> {
        self.check_no_journal(what.set)?;
        let target = self.entries(&self.snapshot(&what.target)?)?;
        let live = self.capture_base(what)?;
        let changes = changes(&live.entries, &target);
        let job = Job { store: self, roots: what.roots };
        job.check(what.target, &changes, &live)?;
        if changes.is_empty() {
            return Ok(Applied { listing: live.listing, written: 0, bytes: 0, removed: 0 });
        }
        let mut journal = Journal::new(what, changes);
        journal.new_folders = job.new_folders(&journal.changes)?;
        let all: Vec<usize> = (0..journal.changes.len()).collect();
        let staged = journal
            .write(self)
            .and_then(|()| job.stage(&journal, &all, Side::New))
            .and_then(|()| job.check_unchanged(&live.listing));
        if let Err(e) = staged {
            // Nothing was touched yet, and the journal says so.
            return Err(match job.clear_scratch(&journal).and_then(|()| journal.remove(self)) {
                Ok(()) => e,
                Err(left) => SaveError::Unfinished { cause: Box::new(e), left: Box::new(left) },
            });
        }
        journal.phase = Phase::Committing;
        let moved = journal
            .write(self)
            .and_then(|()| job.move_to(&journal, &all, Side::New, &live.listing))
            .and_then(|()| job.finish(&journal));
        if let Err(e) = moved {
            return Err(match self.settle(&journal, what.roots, what.now_ms, Side::Old) {
                Ok(Settled { wrote, .. }) if !wrote.is_empty() => SaveError::Dirty { paths: wrote },
                Ok(_) => e,
                Err(left) => SaveError::Unfinished { cause: Box::new(e), left: Box::new(left) },
            });
        }
        if let Err(cause) = journal.remove(self) {
            let left = SaveError::Unsound { path: self.inner.shown(&FsPath::root()) };
            return Err(SaveError::Unfinished { cause: Box::new(cause), left: Box::new(left) });
        }
        Ok(job.applied(&journal, live.listing, what.now_ms))
    }

    /// The live files, once they are found to be what base says.
    fn capture_base(&self, what: &Apply<'_>) -> Result<Captured, SaveError> {
        let base = match what.base {
            Some(id) => self.entries(&self.snapshot(&id)?)?,
            None => Vec::new(),
        };
        let live = match self.capture(what.roots, what.listing, what.now_ms)? {
            Capture::Whole(live) => *live,
            Capture::Changing { path } => return Err(SaveError::Changing { path }),
        };
        if content_hash(&live.entries) == content_hash(&base) {
            return Ok(live);
        }
        let side = |list: &[SaveEntry]| list.iter().map(|e| (e.path.clone(), content(e))).collect::<BTreeMap<_, _>>();
        let (was, is) = (side(&base), side(&live.entries));
        let paths: BTreeSet<&RelPath> = was.keys().chain(is.keys()).collect();
        let paths = paths.into_iter().filter(|p| was.get(*p) != is.get(*p)).cloned().collect();
        Err(SaveError::Dirty { paths })
    }
}

/// What makes two files the same content.
pub(super) fn content(entry: &SaveEntry) -> (bool, bonfire_proto::Digest) {
    entry.archive.map_or((false, entry.blake3), |inner| (true, inner))
}

/// Files that differ in bytes between two lists, sorted by path.
pub(super) fn changes(old: &[SaveEntry], new: &[SaveEntry]) -> Vec<Change> {
    let mut by_path: BTreeMap<&RelPath, (Option<&SaveEntry>, Option<&SaveEntry>)> = BTreeMap::new();
    for entry in old {
        by_path.entry(&entry.path).or_default().0 = Some(entry);
    }
    for entry in new {
        by_path.entry(&entry.path).or_default().1 = Some(entry);
    }
    let differs = |a: Option<&SaveEntry>, b: Option<&SaveEntry>| a.map(|e| e.blake3) != b.map(|e| e.blake3);
    by_path
        .into_iter()
        .filter(|(_, (old, new))| differs(*old, *new))
        .map(|(path, (old, new))| Change { path: path.clone(), old: old.cloned(), new: new.cloned() })
        .collect()
}

/// The order in which changes are made: files that are where that side needs a folder, or the other way round, are
/// removed first; then files are put in place; then the others are removed.
pub(super) fn order(journal: &Journal, which: &[usize], side: Side) -> Vec<usize> {
    let wanted: BTreeSet<&str> =
        which.iter().filter_map(|n| journal.changes[*n].side(side).map(|e| e.path.as_str())).collect();
    let blocks = |path: &RelPath| {
        let above = std::iter::successors(path.parent(), RelPath::parent).any(|p| wanted.contains(p.as_str()));
        let beneath = format!("{path}/");
        above || wanted.range(beneath.as_str()..).next().is_some_and(|p| p.starts_with(&beneath))
    };
    let mut out: Vec<usize> = which.to_vec();
    out.sort_by_key(|n| {
        let change = &journal.changes[*n];
        let step = match change.side(side) {
            Some(_) => 1,
            None if blocks(&change.path) => 0,
            None => 2,
        };
        (step, *n)
    });
    out
}

/// Work on the live files in these roots.
pub(super) struct Job<'a> {
    pub(super) store: &'a SaveStore,
    pub(super) roots: &'a [SaveRoot],
}

impl Job<'_> {
    /// Whether the changes can be made, as far as that can be told beforehand.
    fn check(&self, id: SnapshotId, changes: &[Change], live: &Captured) -> Result<(), SaveError> {
        let mut needed: BTreeMap<usize, u64> = BTreeMap::new();
        let odd: BTreeSet<String> = live.left_out.iter().map(|l| l.path.clone()).collect();
        for change in changes {
            let (number, at) = self.locate(&change.path)?;
            let root = &self.roots[number];
            if let Some(new) = &change.new {
                *needed.entry(number).or_default() += new.size;
                let missing = self.store.missing_objects(new.objects())?;
                if !missing.is_empty() {
                    return Err(SaveError::MissingObjects { id, missing });
                }
                // Something the save does not know lies where a file of it is to be: a link, a name in another case.
                let there = root.fs.stat(&at);
                let there = there.or_else(|e| if is_no_folder(&e) { Ok(None) } else { Err(e) });
                let there = there.map_err(|e| root.io("looking at", &at, e))?;
                let is_unknown = change.old.is_none() && there.is_some_and(|m| m.kind != Kind::Dir);
                if is_unknown || odd.contains(change.path.as_str()) {
                    return Err(DiskError::InTheWay { path: root.shown(&at), what: "a file of no save" }.into());
                }
            }
            let mut folder = at.parent().unwrap_or_else(FsPath::root);
            while !folder.is_root() && !self.is_folder(number, &folder)? {
                folder = folder.parent().unwrap_or_else(FsPath::root);
            }
            root.fs.names_may_change(&folder).map_err(|e| root.io("changing", &folder, e))?;
        }
        for (number, bytes) in needed {
            let root = &self.roots[number];
            let free = root.fs.free_space().map_err(|e| root.io("looking for space on", &FsPath::root(), e))?;
            if free < bytes {
                return Err(root.io("making room on", &FsPath::root(), io::ErrorKind::StorageFull.into()));
            }
        }
        Ok(())
    }

    pub(super) fn locate(&self, path: &RelPath) -> Result<(usize, FsPath), SaveError> {
        locate(self.roots, path).ok_or_else(|| SaveError::NotCovered { path: path.clone() })
    }

    fn is_folder(&self, number: usize, at: &FsPath) -> Result<bool, SaveError> {
        let root = &self.roots[number];
        match root.fs.stat(at) {
            Ok(meta) => Ok(meta.is_some_and(|m| m.kind == Kind::Dir)),
            Err(e) if is_no_folder(&e) => Ok(false),
            Err(e) => Err(root.io("looking at", at, e)),
        }
    }

    /// Folders that the new files need and that are not there, shortest first, as paths of the snapshot.
    fn new_folders(&self, changes: &[Change]) -> Result<BTreeSet<RelPath>, SaveError> {
        let mut out = BTreeSet::new();
        for change in changes.iter().filter(|c| c.new.is_some()) {
            let mut folder = change.path.parent();
            while let Some(path) = folder.filter(|p| p.parent().is_some()) {
                let (_, rest) = path.as_str().split_once('/').unwrap_or_default();
                let (number, _) = self.locate(&change.path)?;
                if out.contains(&path) || self.is_folder(number, &FsPath::root().child(rest))? {
                    break;
                }
                folder = path.parent();
                out.insert(path);
            }
        }
        Ok(out)
    }

    /// Whether every live file is still what it was when it was captured, and no other came.
    fn check_unchanged(&self, listing: &Listing) -> Result<(), SaveError> {
        let now = look(self.roots)?;
        let changed = |(path, listed): (&RelPath, &Listed)| {
            (now.files.get(path).map(|s| s.stamp) != Some(listed.stamp)).then(|| path.clone())
        };
        let mut paths: Vec<RelPath> = listing.iter().filter_map(changed).collect();
        paths.extend(now.files.keys().filter(|p| !listing.contains_key(*p)).cloned());
        if paths.is_empty() { Ok(()) } else { Err(SaveError::Dirty { paths }) }
    }

    /// Puts staged files in place and removes what that side does not have. `live` says what each file has to be just
    /// before. Stops at the first that is not.
    pub(super) fn move_to(
        &self,
        journal: &Journal,
        which: &[usize],
        side: Side,
        live: &Listing,
    ) -> Result<(), SaveError> {
        for number in order(journal, which, side) {
            let change = &journal.changes[number];
            let (root_number, at) = self.locate(&change.path)?;
            let root = &self.roots[root_number];
            if change.side(side).is_some() {
                self.make_folders(root, &at)?;
                self.clear_empty_folder(root, &at)?;
                self.check_just_before(root, &at, &change.path, live)?;
                root.fs.rename(&journal.staged(number, side), &at).map_err(|e| root.io("replacing", &at, e))?;
            } else {
                self.check_just_before(root, &at, &change.path, live)?;
                crate::atomic::remove_if_there(&*root.fs, &at).map_err(|e| root.io("removing", &at, e))?;
            }
        }
        Ok(())
    }

    fn check_just_before(&self, root: &SaveRoot, at: &FsPath, path: &RelPath, live: &Listing) -> Result<(), SaveError> {
        let now = root.fs.stat(at).map_err(|e| root.io("looking at", at, e))?;
        let stamp = now.map(|m| (m.kind == Kind::File).then(|| FileStamp::of(&m)));
        if stamp == live.get(path).map(|l| Some(l.stamp)) {
            return Ok(());
        }
        Err(SaveError::Dirty { paths: vec![path.clone()] })
    }

    fn make_folders(&self, root: &SaveRoot, at: &FsPath) -> Result<(), SaveError> {
        let mut folder = FsPath::root();
        let parent = at.parent().unwrap_or_else(FsPath::root);
        for part in parent.parts() {
            folder = folder.child(part);
            match root.fs.create_dir(&folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(root.io("making", &folder, e)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes a folder, and those in it, where a file is to be; only when no file is left in any of them.
    fn clear_empty_folder(&self, root: &SaveRoot, at: &FsPath) -> Result<(), SaveError> {
        let is_folder =
            root.fs.stat(at).map_err(|e| root.io("looking at", at, e))?.is_some_and(|m| m.kind == Kind::Dir);
        if !is_folder {
            return Ok(());
        }
        for entry in root.fs.list(at).map_err(|e| root.io("listing", at, e))? {
            match (entry.name, entry.kind) {
                (crate::fs::EntryName::Utf8(name), Kind::Dir) => self.clear_empty_folder(root, &at.child(&name))?,
                _ => return Err(DiskError::InTheWay { path: root.shown(at), what: "a folder with other files" }.into()),
            }
        }
        root.fs.remove_dir(at).map_err(|e| root.io("removing", at, e))
    }

    /// Removes the scratch, and makes the names durable that changed.
    pub(super) fn finish(&self, journal: &Journal) -> Result<(), SaveError> {
        self.clear_scratch(journal)?;
        self.sync_folders(journal)
    }

    /// Makes the names durable in all folders that the changes touch.
    pub(super) fn sync_folders(&self, journal: &Journal) -> Result<(), SaveError> {
        let mut folders: BTreeSet<(usize, FsPath)> = BTreeSet::new();
        for change in &journal.changes {
            let (number, at) = self.locate(&change.path)?;
            folders.extend(std::iter::successors(at.parent(), FsPath::parent).map(|folder| (number, folder)));
        }
        for (number, folder) in folders {
            let root = &self.roots[number];
            match root.fs.sync_dir(&folder) {
                Err(e) if e.kind() != io::ErrorKind::NotFound && !is_no_folder(&e) => {
                    return Err(root.io("syncing", &folder, e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes the scratch folders, durably.
    pub(super) fn clear_scratch(&self, journal: &Journal) -> Result<(), SaveError> {
        let folder = journal.scratch();
        for root in self.roots {
            let (entries, is_there) = match root.fs.list(&folder) {
                Ok(entries) => (entries, true),
                Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), false),
                Err(e) => return Err(root.io("listing", &folder, e)),
            };
            for entry in entries {
                if let (crate::fs::EntryName::Utf8(name), Kind::File) = (entry.name, entry.kind) {
                    let at = folder.child(&name);
                    crate::atomic::remove_if_there(&*root.fs, &at).map_err(|e| root.io("removing", &at, e))?;
                }
            }
            if is_there {
                root.fs.remove_dir(&folder).map_err(|e| root.io("removing", &folder, e))?;
            }
            // Also when it is gone already: a killed process may have removed it, and not durably.
            let top = FsPath::root();
            root.fs.sync_dir(&top).map_err(|e| root.io("syncing", &top, e))?;
        }
        Ok(())
    }

    /// What is known of the live files now that they are the target.
    fn applied(&self, journal: &Journal, mut listing: Listing, now_ms: i64) -> Applied {
        let mut out = Applied { listing: Listing::new(), written: 0, bytes: 0, removed: 0 };
        for change in &journal.changes {
            listing.remove(&change.path);
            let Some(new) = &change.new else {
                out.removed += 1;
                continue;
            };
            out.written += 1;
            out.bytes += new.size;
            let Some((number, at)) = locate(self.roots, &change.path) else { continue };
            // Gone or other again already, or not to be seen: then it is not known, and read the next time.
            if let Ok(Some(meta)) = self.roots[number].fs.stat(&at) {
                let stamp = FileStamp::of(&meta);
                let ms = stamp.mtime_ns.div_euclid(1_000_000);
                let settled = ms == new.mtime && now_ms.saturating_sub(ms) > YOUNG_MS && stamp.size == new.size;
                listing.insert(change.path.clone(), Listed { stamp, settled, entry: new.clone() });
            }
        }
        out.listing = listing;
        out
    }
}

fn is_no_folder(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::NotADirectory
}

impl RootRecord {
    pub(super) fn of(root: &SaveRoot) -> Self {
        Self {
            label: root.label.clone(),
            folder: root.folder.clone(),
            include: root.include.clone(),
            ignore: root.ignore.clone(),
            extent: root.extent.clone(),
        }
    }
}
