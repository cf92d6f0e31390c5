//! The content of one side of an apply, under scratch names and durable, before any live file is touched.
//!
//! Owns how it becomes durable: a few files one by one, many of them at once where the file system can do that, which costs
//! a thousandth. Renames nothing.

use std::collections::BTreeSet;
use std::io;

use bonfire_proto::SaveEntry;

use super::apply::{Job, Side};
use super::error::SaveError;
use super::journal::Journal;
use super::roots::SaveRoot;
use crate::error::DiskError;
use crate::fs::{FsFile, FsPath, OpenMode, write_all_at};

/// What is written and not durable yet.
#[derive(Debug, Default)]
struct Staged {
    /// By root, each kept open until it is synced: another handle might not hear of a write that failed.
    open: Vec<(usize, FsPath, Box<dyn FsFile>)>,
    /// Roots that have a scratch folder.
    roots: BTreeSet<usize>,
    /// Roots on whose disk everything can be synced at once, and is at the end; each may lie on another.
    bulk: BTreeSet<usize>,
}

impl Job<'_> {
    /// Writes the content of one side under scratch names, durably.
    pub(super) fn stage(&self, journal: &Journal, which: &[usize], side: Side) -> Result<(), SaveError> {
        let mut staged = Staged::default();
        let folder = journal.scratch();
        for &number in which {
            let change = &journal.changes[number];
            let Some(entry) = change.side(side) else { continue };
            let (root_number, _) = self.locate(&change.path)?;
            let root = &self.roots[root_number];
            if staged.roots.insert(root_number) {
                match root.fs.create_dir(&folder) {
                    Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(root.io("making", &folder, e)),
                    _ => {}
                }
            }
            let at = journal.staged(number, side);
            let file = self.stage_file(root, &at, entry)?;
            if !staged.bulk.contains(&root_number) {
                staged.open.push((root_number, at, file));
            }
            if staged.open.len() >= self.store.inner.tuning.bulk_sync_from {
                self.sync_staged(&mut staged, &folder)?;
            }
        }
        self.sync_staged(&mut staged, &folder)?;
        for number in staged.roots {
            let root = &self.roots[number];
            root.fs.sync_dir(&folder).map_err(|e| root.io("syncing", &folder, e))?;
        }
        Ok(())
    }

    /// Makes durable what is staged. Open handles are scarce: from some number on, everything is synced at once where that
    /// can be done, and from then on only at the end.
    fn sync_staged(&self, staged: &mut Staged, folder: &FsPath) -> Result<(), SaveError> {
        let is_many = staged.open.len() >= self.store.inner.tuning.bulk_sync_from;
        for &number in &staged.roots {
            let (root, was_bulk) = (&self.roots[number], staged.bulk.contains(&number));
            if !is_many && !was_bulk {
                continue;
            }
            if root.fs.sync_everything(folder).map_err(|e| root.io("syncing", folder, e))? {
                staged.bulk.insert(number);
            } else if was_bulk {
                // Its files were not kept open, on its word.
                return Err(root.io("syncing", folder, io::ErrorKind::Unsupported.into()));
            }
        }
        for (number, at, file) in staged.open.drain(..) {
            if !staged.bulk.contains(&number) {
                file.sync().map_err(|e| self.roots[number].io("syncing", &at, e))?;
            }
        }
        Ok(())
    }

    fn stage_file(&self, root: &SaveRoot, at: &FsPath, entry: &SaveEntry) -> Result<Box<dyn FsFile>, SaveError> {
        let io = |doing: &'static str| move |e| root.io(doing, at, e);
        let file = root.fs.open_write(at, OpenMode::Either).map_err(io("making"))?;
        file.set_len(0).map_err(io("writing"))?;
        let (mut offset, mut whole) = (0u64, blake3::Hasher::new());
        for object in entry.objects() {
            let bytes = self.store.read_object(&object)?;
            write_all_at(&*file, &bytes, offset).map_err(io("writing"))?;
            whole.update(&bytes);
            offset += bytes.len() as u64;
        }
        if *whole.finalize().as_bytes() != entry.blake3.0 {
            return Err(DiskError::Mismatch { path: root.shown(at), reason: "its pieces are another file" }.into());
        }
        file.set_mtime(entry.mtime).map_err(io("writing"))?;
        Ok(file)
    }
}
