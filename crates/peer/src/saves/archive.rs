//! Archives that people hand on: where one is read from, and where one is written.
//!
//! Refuses to write over anything. What is in an archive is `bonfire_disk`'s.

use std::io;
use std::path::Path;

use bonfire_disk::DiskError;
use bonfire_disk::fs::{FsFile, FsPath};
use bonfire_disk::saves::{SaveError, SaveStore};
use bonfire_engine::command::Reply;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::SnapshotId;

use super::Inner;
use super::live::LiveSaves;
use crate::errors;

/// Opens an archive to read.
pub(super) fn open(live: &dyn LiveSaves, file: &Path) -> Result<Box<dyn FsFile>, Report> {
    let failed = |e: &io::Error| {
        let class = if e.kind() == io::ErrorKind::NotFound { ErrorClass::NotFound } else { ErrorClass::Environment };
        Report::new(class, "cannot_read", format!("{} cannot be opened: {e}", file.display()))
    };
    let (Some(folder), Some(name)) = (file.parent(), file.file_name().and_then(|n| n.to_str())) else {
        return Err(failed(&io::ErrorKind::NotFound.into()));
    };
    let fs = live.open(folder).map_err(|e| failed(&e))?;
    fs.open_read(&FsPath::root().child(name)).map_err(|e| failed(&e))
}

impl Inner {
    /// Writes a snapshot as an archive into a folder. To be called where blocking is allowed.
    pub(super) fn export(&self, id: &SnapshotId, folder: &Path) -> Result<Reply, Report> {
        let snapshot = self.store.snapshot(id).map_err(|e| errors::save(&e))?;
        let name = SaveStore::export_name(&snapshot);
        let fs = self.live.open(folder).map_err(|e| {
            let class =
                if e.kind() == io::ErrorKind::NotFound { ErrorClass::NotFound } else { ErrorClass::Environment };
            Report::new(class, "cannot_write", format!("{} cannot be opened: {e}", folder.display()))
                .hint("name a folder that is there")
        })?;
        let path = folder.join(&name);
        match self.store.export(id, &*fs, folder, &name) {
            Ok(()) => Ok(Reply::Exported { path: path.display().to_string() }),
            Err(SaveError::Disk(DiskError::Io { source, .. })) if source.kind() == io::ErrorKind::AlreadyExists => {
                let what = format!("{} is there already", path.display());
                Err(Report::new(ErrorClass::Refused, "already_here", what).hint("move it away, or name another folder"))
            }
            Err(error) => Err(errors::save(&error)),
        }
    }
}
