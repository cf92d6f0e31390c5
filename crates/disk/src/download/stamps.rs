//! What each file was when its verified chunks were last known to be right.
//!
//! A file that is something else now, without a write of ours, was changed by somebody: its chunks no longer count. A
//! change by somebody else between two writes of ours is not seen here.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::Download;
use super::writer::{Shared, lock};
use crate::error::DiskError;
use crate::fs::Kind;
use crate::hash::FileStamp;

/// Stamps, and which files we wrote to since they were taken.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    known: Mutex<BTreeMap<u32, FileStamp>>,
    touched: Mutex<BTreeMap<u32, Touch>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Touch {
    /// Writes under way.
    writers: u32,
    /// Whether one ended since the last stamp.
    ended: bool,
}

/// A write that is under way.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    stamps: &'a Stamps,
    file: u32,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut touched = lock(&self.stamps.touched);
        let touch = touched.entry(self.file).or_default();
        touch.writers = touch.writers.saturating_sub(1);
        touch.ended = true;
    }
}

impl Stamps {
    /// Notes a write from before its first byte to after its last.
    pub(super) fn writing(&self, file: u32) -> Writing<'_> {
        lock(&self.touched).entry(file).or_default().writers += 1;
        Writing { stamps: self, file }
    }

    /// Whether we may have written to the file since this was last asked.
    fn take_touched(&self, file: u32) -> bool {
        lock(&self.touched).get_mut(&file).is_some_and(|t| std::mem::take(&mut t.ended) || t.writers > 0)
    }

    /// Notes what a file is whose chunks count.
    pub(super) fn set(&self, file: u32, stamp: FileStamp) {
        lock(&self.known).insert(file, stamp);
    }

    /// What a file was when its chunks were last known to be right.
    pub(super) fn get(&self, file: u32) -> Option<FileStamp> {
        lock(&self.known).get(&file).copied()
    }
}

impl Shared {
    /// What a file of the manifest is now.
    pub(super) fn stamp_now(&self, file: u32) -> Result<FileStamp, DiskError> {
        let path = self.path(file);
        match self.inner.fs.stat(&path).map_err(|e| self.inner.io("reading", &path, e))? {
            Some(m) if m.kind == Kind::File => Ok(FileStamp::of(&m)),
            _ => Err(DiskError::Changed { path: self.inner.shown(&path) }),
        }
    }
}

impl Download {
    /// The files among these that we wrote to since their last stamp. To be asked before they are synced: a write that
    /// comes later leaves another stamp behind, to be taken with the next checkpoint.
    pub(super) fn touched(&self, files: impl Iterator<Item = u32>) -> Vec<(u32, bool)> {
        files.map(|file| (file, self.shared.stamps.take_touched(file))).collect()
    }

    /// Stamps synced files, and returns what is not on record yet.
    pub(super) fn stamp(&mut self, files: Vec<(u32, bool)>) -> Result<Vec<(u32, FileStamp)>, DiskError> {
        let mut out = Vec::new();
        for (file, touched) in files {
            // Some systems tell the time of a write only when the handle that wrote is closed.
            self.shared.handles.close(Some(file));
            let now = self.shared.stamp_now(file)?;
            if !touched && self.shared.stamps.get(file).is_some_and(|known| known != now) {
                return Err(DiskError::Changed { path: self.inner.shown(&self.shared.path(file)) });
            }
            self.shared.stamps.set(file, now);
            if self.journal.stamps.insert(file, now) != Some(now) {
                out.push((file, now));
            }
        }
        Ok(out)
    }
}
