//! Finishing what a crash cut off: an apply is rolled forward when nobody else wrote meanwhile, and else back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_proto::{Digest, RelPath, SlotName, SnapshotId};

use super::apply::{Job, Side, order};
use super::capture::{Capture, Captured, Listing};
use super::error::SaveError;
use super::journal::{Journal, Phase, RootRecord};
use super::roots::SaveRoot;
use super::set::SaveSet;
use super::snapshots::SaveStore;
use crate::fs::{Fs, FsPath};

/// What became of an apply that was cut off.
#[derive(Debug)]
pub enum Outcome {
    /// No live file had been touched. They are to be compared with the base.
    NotBegun,
    /// The live files are the target now, but for what somebody wrote since; their base is the target.
    Forward {
        /// What is known of the live files.
        listing: Listing,
        /// Files that somebody wrote since: the save is dirty against the target.
        wrote: Vec<RelPath>,
    },
    /// What had been changed is as it was before; their base is still the old one.
    Back {
        /// Files that somebody wrote meanwhile: the save is dirty against its base.
        wrote: Vec<RelPath>,
    },
    /// It could be neither finished nor undone yet. The journal stays, and nothing is to be captured or applied.
    Waiting(SaveError),
}

/// An apply that was found cut off.
#[derive(Debug)]
pub struct Recovered {
    /// To which save set.
    pub set: SaveSet,
    /// Of which line.
    pub slot: SlotName,
    /// From what.
    pub base: Option<SnapshotId>,
    /// To what.
    pub target: SnapshotId,
    /// What became of it.
    pub outcome: Outcome,
}

/// How a settled apply ended.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) side: Side,
    pub(super) wrote: Vec<RelPath>,
    pub(super) listing: Listing,
}

impl SaveStore {
    /// Finishes or undoes every apply that was cut off. To be called after `open` and before anything else touches live
    /// files, and again for what waits. Twice is as once. `open` opens a folder as the journal names it.
    ///
    /// # Errors
    /// When journals cannot be listed or read.
    pub fn recover_applies(
        &self,
        open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>,
        now_ms: i64,
    ) -> Result<Vec<Recovered>, SaveError> {
        let mut out = Vec::new();
        let journals = self.inner.journals()?;
        if !journals.is_empty() {
            // What a killed process left is seen, and perhaps not durable: a power cut must not bring back an earlier phase.
            self.inner.make_journals_durable()?;
        }
        for journal in journals {
            let outcome = self.recover(&journal, open, now_ms).unwrap_or_else(Outcome::Waiting);
            let Journal { set, slot, base, target, .. } = journal;
            out.push(Recovered { set, slot, base, target, outcome });
        }
        Ok(out)
    }

    fn recover(
        &self,
        journal: &Journal,
        open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>,
        now_ms: i64,
    ) -> Result<Outcome, SaveError> {
        let roots = journal.roots.iter().map(|r| r.open(open)).collect::<Result<Vec<_>, _>>()?;
        if journal.phase == Phase::Staging {
            Job { store: self, roots: &roots }.clear_scratch(journal)?;
            journal.remove(self)?;
            return Ok(Outcome::NotBegun);
        }
        let Settled { side, wrote, listing } = self.settle(journal, &roots, now_ms, Side::New)?;
        Ok(match side {
            Side::New => Outcome::Forward { listing, wrote },
            Side::Old => Outcome::Back { wrote },
        })
    }

    /// Makes the live files one side or the other: `prefer`, unless somebody wrote to them meanwhile.
    pub(super) fn settle(
        &self,
        journal: &Journal,
        roots: &[SaveRoot],
        now_ms: i64,
        prefer: Side,
    ) -> Result<Settled, SaveError> {
        let job = Job { store: self, roots };
        // What is seen is to be what a power cut leaves, before it is decided by.
        job.sync_folders(journal)?;
        let live = match self.capture(roots, &Listing::new(), now_ms)? {
            Capture::Whole(live) => *live,
            Capture::Changing { path } => return Err(SaveError::Changing { path }),
        };
        let found = self.compare(journal, &live)?;
        // Changes are made in order: when the last was made and none is left, what somebody wrote is on top of them.
        let all: Vec<usize> = (0..journal.changes.len()).collect();
        let was_done =
            found.old.is_empty() && order(journal, &all, Side::New).last().is_some_and(|last| found.new.contains(last));
        let side = match (found.wrote.is_empty(), prefer) {
            (true, prefer) => prefer,
            (false, Side::New) if was_done => Side::New,
            (false, _) => Side::Old,
        };
        let todo = if side == Side::New { &found.old } else { &found.new };
        job.stage(journal, todo, side)?;
        job.move_to(journal, todo, side, &live.listing)?;
        if side == Side::Old {
            job.remove_new_folders(journal)?;
        }
        job.finish(journal)?;
        journal.remove(self)?;
        let mut listing = live.listing;
        for number in todo {
            // Read again the next time.
            listing.remove(&journal.changes[*number].path);
        }
        Ok(Settled { side, wrote: found.wrote, listing })
    }

    /// Which changes are as before, which as after, and what is neither.
    fn compare(&self, journal: &Journal, live: &Captured) -> Result<Compared, SaveError> {
        let is: BTreeMap<&RelPath, Digest> = live.entries.iter().map(|e| (&e.path, e.blake3)).collect();
        let odd: BTreeSet<&str> = live.left_out.iter().map(|l| l.path.as_str()).collect();
        let mut out = Compared::default();
        for (number, change) in journal.changes.iter().enumerate() {
            let now = is.get(&change.path).copied();
            let side = |side| change.side(side).map(|e| e.blake3);
            if odd.contains(change.path.as_str()) {
                out.wrote.push(change.path.clone());
            } else if now == side(Side::Old) {
                out.old.push(number);
            } else if now == side(Side::New) {
                out.new.push(number);
            } else {
                out.wrote.push(change.path.clone());
            }
        }
        // What both sides have in common is part of the unit, too.
        let changed: BTreeSet<&RelPath> = journal.changes.iter().map(|c| &c.path).collect();
        let target = self.entries(&self.snapshot(&journal.target)?)?;
        let mut common: BTreeMap<&RelPath, Digest> =
            target.iter().filter(|e| !changed.contains(&e.path)).map(|e| (&e.path, e.blake3)).collect();
        for (path, hash) in is.iter().filter(|(p, _)| !changed.contains(**p)) {
            if common.remove(path) != Some(*hash) {
                out.wrote.push((*path).clone());
            }
        }
        out.wrote.extend(common.into_keys().cloned());
        out.wrote.sort();
        Ok(out)
    }
}

#[derive(Debug, Default)]
struct Compared {
    old: Vec<usize>,
    new: Vec<usize>,
    wrote: Vec<RelPath>,
}

impl Job<'_> {
    /// Removes the folders that were made on the way, as far as they are empty, deepest first.
    fn remove_new_folders(&self, journal: &Journal) -> Result<(), SaveError> {
        for path in journal.new_folders.iter().rev() {
            let Some((label, rest)) = path.as_str().split_once('/') else { continue };
            let Some(root) = self.roots.iter().find(|r| r.label.as_str() == label) else { continue };
            let at = FsPath::root().child(rest);
            match root.fs.remove_dir(&at) {
                Ok(()) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory
                    ) => {}
                Err(e) => return Err(root.io("removing", &at, e)),
            }
        }
        Ok(())
    }
}

impl RootRecord {
    fn open(&self, open: &dyn Fn(&Path) -> io::Result<Arc<dyn Fs>>) -> Result<SaveRoot, SaveError> {
        let fs = open(&self.folder).map_err(|e| super::error::io_error(&self.folder, "opening", &FsPath::root(), e))?;
        Ok(SaveRoot {
            label: self.label.clone(),
            folder: self.folder.clone(),
            fs,
            include: self.include.clone(),
            ignore: self.ignore.clone(),
            extent: self.extent.clone(),
        })
    }
}
