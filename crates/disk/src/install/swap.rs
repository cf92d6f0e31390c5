//! The renames that put an install in place, and what is left to do once it is there.

use std::sync::atomic::Ordering;

use bonfire_engine::recovery::Intent;

use super::carry::Ready;
use super::{InstallError, Staging, tree};
use crate::error::DiskError;
use crate::fs::FsPath;
use crate::intent;

impl Staging {
    /// Puts the staging folder in the place of the install. On an error it is not there, or a start takes it back.
    pub(super) fn swap(&self, ready: &Ready) -> Result<(), InstallError> {
        let inner = &*self.inner;
        tree::unmark(inner, &self.folder())?;
        let Some(before) = &ready.before else { return Ok(self.rename(&self.folder(), &self.local())?) };
        if tree::read(inner, &self.local())? != *before {
            return Err(self.changed());
        }
        self.rename(&self.local(), &self.backup())?;
        // From here on nothing that looks for the install finds it: what is there now is what was there when it was moved.
        if tree::read(inner, &self.backup())? != *before {
            return Err(self.changed());
        }
        Ok(self.rename(&self.folder(), &self.local())?)
    }

    /// The install before goes, then the record of the transaction.
    pub(super) fn clean_up(&self) -> Result<(), DiskError> {
        let inner = &*self.inner;
        if self.is_update {
            tree::sweep(inner, &self.backup())?;
        }
        inner.sync_dir(&FsPath::game(&self.game))?;
        let intent = if self.is_update { Intent::Updating } else { Intent::Installing };
        intent::clear_install(inner, &self.game, intent)
    }

    fn backup(&self) -> FsPath {
        FsPath::game(&self.game).child(tree::BACKUP)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> Result<(), DiskError> {
        let inner = &*self.inner;
        inner.fs.rename(from, to).map_err(|e| inner.io("putting in place", to, e))?;
        inner.sync_dir(&FsPath::game(&self.game)).inspect_err(|_| self.is_unsound.store(true, Ordering::Relaxed))
    }

    fn changed(&self) -> InstallError {
        DiskError::Changed { path: self.inner.shown(&self.local()) }.into()
    }
}
