//! The journal of an apply: what is about to change, durable before the first change and until after the last.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use bonfire_engine::places::pattern::Pattern;
use bonfire_proto::{RelPath, SaveEntry, SlotName, SnapshotId};
use serde::{Deserialize, Serialize};

use super::apply::{Apply, Side};
use super::error::SaveError;
use super::roots::{Extent, RootLabel, SCRATCH};
use super::set::SaveSet;
use super::snapshots::{Inner, SaveStore};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, FsPath, Kind};

const FOLDER: &str = "applying";
/// Records of copies of the other side of a conflict.
pub(super) const COPIES: &str = "copies";
pub(super) const SUFFIX: &str = ".json";
pub(super) const TMP: &str = ".tmp";
const FORMAT: u32 = 1;
/// Longest journal read: 200,000 files with their pieces fit.
const LEN_MAX: u64 = 512 << 20;

/// How far an apply is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Scratch is being written; no live file was touched.
    Staging,
    /// Live files change.
    Committing,
}

/// A root as it was then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootRecord {
    pub(super) label: RootLabel,
    pub(super) folder: PathBuf,
    #[serde(default)]
    pub(super) include: Vec<Pattern>,
    #[serde(default)]
    pub(super) ignore: Vec<Pattern>,
    #[serde(default)]
    pub(super) extent: Extent,
}

/// A file that changes, and what it holds before and after; `None` when it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) path: RelPath,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) old: Option<SaveEntry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) new: Option<SaveEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Journal {
    format: u32,
    pub(super) set: SaveSet,
    pub(super) slot: SlotName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<SnapshotId>,
    pub(super) target: SnapshotId,
    pub(super) phase: Phase,
    pub(super) roots: Vec<RootRecord>,
    pub(super) changes: Vec<Change>,
    /// Folders that are made on the way.
    pub(super) new_folders: BTreeSet<RelPath>,
}

impl Journal {
    pub(super) fn new(what: &Apply<'_>, changes: Vec<Change>) -> Self {
        Self {
            format: FORMAT,
            set: what.set.clone(),
            slot: what.slot.clone(),
            base: what.base,
            target: what.target,
            phase: Phase::Staging,
            roots: what.roots.iter().map(RootRecord::of).collect(),
            changes,
            new_folders: BTreeSet::new(),
        }
    }

    /// The scratch folder in each root.
    pub(super) fn scratch(&self) -> FsPath {
        FsPath::root().child(&format!("{SCRATCH}save-{}", self.set.token()))
    }

    /// Where one side of a change is staged.
    pub(super) fn staged(&self, number: usize, side: Side) -> FsPath {
        self.scratch().child(&format!("{number}{}", if side == Side::New { "" } else { ".old" }))
    }

    /// Writes it, durably.
    pub(super) fn write(&self, store: &SaveStore) -> Result<(), SaveError> {
        let inner = &*store.inner;
        inner.check_sound()?;
        let (to, tmp) = (path_of(&self.set), tmp_of(&self.set));
        let bytes = serde_json::to_vec(self)
            .map_err(|e| inner.io("writing", &to, io::Error::new(io::ErrorKind::InvalidData, e)))?;
        atomic::replace(&*inner.fs, &tmp, &to, &bytes).map_err(|e| inner.io("writing", &to, e))
    }

    /// Removes it, durably: one that came back after a power cut would undo what was written since.
    pub(super) fn remove(&self, store: &SaveStore) -> Result<(), SaveError> {
        let inner = &*store.inner;
        let path = path_of(&self.set);
        atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
        atomic::remove_if_there(&*inner.fs, &tmp_of(&self.set)).map_err(|e| inner.io("removing", &path, e))?;
        inner.make_journals_durable()
    }
}

impl SaveStore {
    /// Whether an apply to this save set was begun and neither done nor undone. Its live files may be a mix: nothing is
    /// to be captured from them before `recover_applies`.
    ///
    /// # Errors
    /// The disk's.
    pub fn is_unfinished(&self, set: &SaveSet) -> Result<bool, SaveError> {
        let path = path_of(set);
        Ok(self.inner.fs.stat(&path).map_err(|e| self.inner.io("looking for", &path, e))?.is_some())
    }

    pub(super) fn check_no_journal(&self, set: &SaveSet) -> Result<(), SaveError> {
        if !self.is_unfinished(set)? {
            return Ok(());
        }
        let path = self.inner.shown(&path_of(set));
        Err(DiskError::Busy { path, reason: "an earlier change to these files waits to be finished" }.into())
    }
}

fn path_of(set: &SaveSet) -> FsPath {
    FsPath::root().child(FOLDER).child(&format!("{}{SUFFIX}", set.token()))
}

fn tmp_of(set: &SaveSet) -> FsPath {
    FsPath::root().child(FOLDER).child(&format!("{}{SUFFIX}{TMP}", set.token()))
}

impl Inner {
    /// Makes the folders of journals and records, and removes those that were never begun.
    pub(super) fn open_journals(&self) -> Result<(), SaveError> {
        self.open_records(&FsPath::root().child(FOLDER))?;
        self.open_records(&FsPath::root().child(COPIES))
    }

    fn open_records(&self, folder: &FsPath) -> Result<(), SaveError> {
        self.make_dir(folder)?;
        for entry in self.fs.list(folder).map_err(|e| self.io("listing", folder, e))? {
            let EntryName::Utf8(name) = entry.name else { continue };
            if name.ends_with(TMP) && entry.kind == Kind::File {
                let at = folder.child(&name);
                atomic::remove_if_there(&*self.fs, &at).map_err(|e| self.io("removing", &at, e))?;
            }
        }
        Ok(())
    }

    pub(super) fn make_journals_durable(&self) -> Result<(), SaveError> {
        let folder = FsPath::root().child(FOLDER);
        self.fs.sync_dir(&folder).map_err(|e| self.failed_sync(&folder, e))
    }

    /// Every journal. One that cannot be read is an error: what it names is not known.
    pub(super) fn journals(&self) -> Result<Vec<Journal>, SaveError> {
        let folder = FsPath::root().child(FOLDER);
        let mut out = Vec::new();
        for entry in self.fs.list(&folder).map_err(|e| self.io("listing", &folder, e))? {
            let EntryName::Utf8(name) = entry.name else { continue };
            if !name.ends_with(SUFFIX) {
                continue;
            }
            let at = folder.child(&name);
            let Some(bytes) = atomic::read_small(&*self.fs, &at, LEN_MAX).map_err(|e| self.io("reading", &at, e))?
            else {
                continue;
            };
            let unknown = |reason: String| DiskError::UnknownFormat { path: self.shown(&at), reason };
            let journal: Journal = serde_json::from_slice(&bytes).map_err(|e| unknown(e.to_string()))?;
            if journal.format != FORMAT || path_of(&journal.set) != at {
                return Err(unknown("another format or name".to_owned()).into());
            }
            out.push(journal);
        }
        Ok(out)
    }
}
