//! Reading a stored snapshot again, every byte of it, and saying which files are no longer what they were.

use std::collections::BTreeMap;

use bonfire_proto::{Digest, ObjectRef, RelPath, SaveEntry, SnapshotId};

use super::error::{SaveError, Why};
use super::objects::object_path;
use super::snapshots::SaveStore;
use crate::atomic;

/// A file of a snapshot that cannot be had from the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// Its path in the snapshot.
    pub path: RelPath,
    /// Its first object that is damaged; `None` when all are whole and do not make up the file.
    pub object: Option<ObjectRef>,
    /// In what way.
    pub why: Why,
}

/// What verifying a snapshot found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Files in the snapshot.
    pub files: u64,
    /// Objects read, each once.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that cannot be had, in order of path.
    pub bad: Vec<BadFile>,
}

impl SaveStore {
    /// Reads every object of a snapshot again and checks it, asking `keep_going` after each; when that says no, the
    /// report is of what was read so far.
    ///
    /// # Errors
    /// `NoSnapshot`; `Damaged` or `Snapshot` when the snapshot itself or its list of files is; the disk's.
    pub fn verify(&self, id: &SnapshotId, keep_going: &dyn Fn() -> bool) -> Result<VerifyReport, SaveError> {
        let snapshot = self.snapshot(id)?;
        let entries = self.entries(&snapshot)?;
        let mut report = VerifyReport { files: entries.len() as u64, ..VerifyReport::default() };
        let mut known: BTreeMap<ObjectRef, Option<Why>> = BTreeMap::new();
        for entry in &entries {
            match self.verify_file(entry, &mut known, &mut report, keep_going)? {
                Verdict::Whole => {}
                Verdict::Bad(object, why) => report.bad.push(BadFile { path: entry.path.clone(), object, why }),
                Verdict::Stopped => break,
            }
        }
        Ok(report)
    }

    /// Removes an object whose bytes are not what its name says, so that it can be put again. Returns whether it was
    /// damaged.
    ///
    /// # Errors
    /// The disk's.
    pub fn forget_damaged(&self, object: &ObjectRef) -> Result<bool, SaveError> {
        match self.read_object(object) {
            Ok(_) => Ok(false),
            Err(SaveError::Damaged { why: Why::Absent, .. }) => Ok(true),
            Err(SaveError::Damaged { .. }) => {
                let path = object_path(&object.hash);
                atomic::remove_if_there(&*self.inner.fs, &path).map_err(|e| self.inner.io("removing", &path, e))?;
                Ok(true)
            }
            Err(e) => Err(e),
        }
    }

    fn verify_file(
        &self,
        entry: &SaveEntry,
        known: &mut BTreeMap<ObjectRef, Option<Why>>,
        report: &mut VerifyReport,
        keep_going: &dyn Fn() -> bool,
    ) -> Result<Verdict, SaveError> {
        let objects = entry.objects();
        let mut whole = blake3::Hasher::new();
        for object in &objects {
            // One object is its own proof; several have to make up the file as well.
            if objects.len() == 1
                && let Some(seen) = known.get(object)
            {
                return Ok(seen.map_or(Verdict::Whole, |why| Verdict::Bad(Some(*object), why)));
            }
            let read = match self.read_object(object) {
                Ok(bytes) => Ok(bytes),
                Err(SaveError::Damaged { why, .. }) => Err(why),
                Err(e) => return Err(e),
            };
            if known.insert(*object, read.as_ref().err().copied()).is_none() {
                report.objects += 1;
                report.bytes += u64::from(object.len);
            }
            match read {
                Ok(bytes) => whole.update(&bytes),
                Err(why) => return Ok(Verdict::Bad(Some(*object), why)),
            };
            if !keep_going() {
                return Ok(Verdict::Stopped);
            }
        }
        if Digest(*whole.finalize().as_bytes()) == entry.blake3 {
            return Ok(Verdict::Whole);
        }
        Ok(Verdict::Bad(None, Why::Hash))
    }
}

enum Verdict {
    Whole,
    Bad(Option<ObjectRef>, Why),
    Stopped,
}
