//! Removing objects that no snapshot needs.
//!
//! In two looks: the first, beside all other work, finds what no snapshot needs. The second, while no snapshot can be put,
//! looks for snapshots and leases that came since, and removes the rest. A snapshot is gone durably before its objects go,
//! and one that cannot be read stops the sweep: it might need anything.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use bonfire_proto::{Digest, SaveEntry, SnapshotId};

use super::error::SaveError;
use super::objects::{OBJECTS, object_path};
use super::snapshots::{Inner, SaveStore};
use crate::atomic;
use crate::fs::{EntryName, FsPath, Kind};

/// How many objects are removed before others are let in again.
const SLICE: usize = 256;

/// What the first look found. As long as it is kept, it stands for work not done.
#[derive(Debug, Clone)]
pub struct Marked {
    unneeded: Vec<Digest>,
    looked_at: BTreeSet<SnapshotId>,
}

impl Marked {
    /// How many objects no snapshot needed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.unneeded.len()
    }

    /// Whether there is nothing to remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unneeded.is_empty()
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Objects removed.
    pub removed: u64,
    /// Their bytes on disk.
    pub bytes: u64,
    /// Objects that somebody came to need between the two looks.
    pub spared: u64,
}

impl SaveStore {
    /// The first look: which objects no snapshot needs and nobody holds.
    ///
    /// # Errors
    /// The disk's; `Damaged`, `Snapshot` or `MissingObjects` for a snapshot of which it is not known what it needs.
    pub fn mark(&self) -> Result<Marked, SaveError> {
        let inner = &*self.inner;
        // A removal that a power cut takes back would leave a snapshot without its objects.
        inner.make_snapshots_durable()?;
        let mut needed = BTreeSet::new();
        self.add_needed_by_applies(&mut needed)?;
        let mut looked_at = BTreeSet::new();
        for id in inner.snapshot_ids()? {
            self.add_needed(&id, &mut needed)?;
            looked_at.insert(id);
        }
        let unneeded = inner.stored()?.into_iter().filter(|hash| !needed.contains(hash)).collect();
        Ok(Marked { unneeded, looked_at })
    }

    /// The second look, and the removal of what still nobody needs.
    ///
    /// # Errors
    /// As `mark`. What was removed until then was needed by nobody.
    pub fn sweep(&self, marked: Marked) -> Result<SweepReport, SaveError> {
        let inner = &*self.inner;
        let Marked { unneeded, mut looked_at } = marked;
        let mut needed = BTreeSet::new();
        let mut report = SweepReport::default();
        for slice in unneeded.chunks(SLICE) {
            let alone = inner.gate.write().unwrap_or_else(PoisonError::into_inner);
            inner.check_sound()?;
            self.add_needed_by_applies(&mut needed)?;
            for id in inner.snapshot_ids()? {
                if !looked_at.contains(&id) {
                    self.add_needed(&id, &mut needed)?;
                    looked_at.insert(id);
                }
            }
            for hash in slice {
                // Whoever finds an object holds it first, so what is not held here is not counted on.
                let state = inner.state();
                if needed.contains(hash) || state.leased.contains_key(hash) {
                    report.spared += 1;
                    continue;
                }
                let path = object_path(hash);
                let meta = inner.fs.stat(&path).map_err(|e| inner.io("looking at", &path, e))?;
                if atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))? {
                    report.removed += 1;
                    report.bytes += meta.map_or(0, |m| m.len);
                }
                drop(state);
            }
            drop(alone);
        }
        Ok(report)
    }

    /// An apply that was cut off needs what it had begun to write, and what it may have to write back.
    fn add_needed_by_applies(&self, needed: &mut BTreeSet<Digest>) -> Result<(), SaveError> {
        for journal in self.inner.journals()? {
            let entries = journal.changes.iter().flat_map(|c| [&c.old, &c.new]).flatten();
            needed.extend(entries.flat_map(SaveEntry::objects).map(|o| o.hash));
        }
        Ok(())
    }

    fn add_needed(&self, id: &SnapshotId, needed: &mut BTreeSet<Digest>) -> Result<(), SaveError> {
        let snapshot = match self.snapshot(id) {
            Ok(snapshot) => snapshot,
            // Removed since it was listed.
            Err(SaveError::NoSnapshot(_)) => return Ok(()),
            Err(e) => return Err(e),
        };
        needed.extend(self.inner.needed_by(id, &snapshot)?.into_iter().map(|o| o.hash));
        Ok(())
    }
}

impl Inner {
    /// Every object in the store.
    fn stored(&self) -> Result<Vec<Digest>, SaveError> {
        let objects = FsPath::root().child(OBJECTS);
        let mut out = Vec::new();
        for shard in self.fs.list(&objects).map_err(|e| self.io("listing", &objects, e))? {
            let (EntryName::Utf8(shard), Kind::Dir) = (shard.name, shard.kind) else { continue };
            if shard.len() != 2 || !shard.bytes().all(|b| b.is_ascii_hexdigit()) {
                continue;
            }
            let folder = objects.child(&shard);
            for entry in self.fs.list(&folder).map_err(|e| self.io("listing", &folder, e))? {
                let (EntryName::Utf8(name), Kind::File) = (entry.name, entry.kind) else { continue };
                if let Ok(hash) = name.parse()
                    && name.starts_with(&shard)
                {
                    out.push(hash);
                }
            }
        }
        Ok(out)
    }
}
