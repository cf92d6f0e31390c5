//! The renames that put an install in place, and what is left to do once it is there.

use std::sync::atomic::Ordering;

use bonfire_engine::recovery::Intent;

use super::carry::Ready;
use super::tree::{self, Tree};
use super::{InstallError, Staging};
use crate::error::DiskError;
use crate::fs::FsPath;
use crate::intent;

impl Staging {
    /// Puts the staging folder in the place of the install. On an error it is not there, or a start takes it back.
    pub(super) fn swap(&self, ready: &Ready, is_free: &dyn Fn() -> bool) -> Result<(), InstallError> {
        let inner = &*self.inner;
        tree::unmark(inner, &self.folder())?;
        if let Some(before) = &ready.before {
            self.set_aside(before, is_free)?;
        }
        Ok(self.rename(&self.folder(), &self.local())?)
    }

    /// Renames the install to the backup, if it is `before` until then and nobody uses it. On an error a start takes it back.
    pub(super) fn set_aside(&self, before: &Tree, is_free: &dyn Fn() -> bool) -> Result<(), InstallError> {
        let inner = &*self.inner;
        if tree::read(inner, &self.local())? != *before {
            return Err(self.changed());
        }
        self.rename(&self.local(), &self.backup())?;
        // From here on nothing that looks for the install finds it: who is in it now, and what is there, was there when it was
        // moved.
        if !is_free() {
            return Err(InstallError::InUse { path: inner.shown(&self.local()) });
        }
        if tree::read(inner, &self.backup())? != *before {
            return Err(self.changed());
        }
        Ok(())
    }

    /// Has a start finish what is set aside as an uninstall, and not bring it back.
    pub(super) fn doom(&self) -> Result<(), InstallError> {
        let (inner, game) = (&*self.inner, &self.game);
        let recorded =
            intent::read(inner, game).and_then(|log| intent::set_install(inner, game, log, Intent::Uninstalling));
        recorded.map_err(|error| {
            // Where the intent before is still there to read, the new one never got its name, and undoing is safe.
            if !intent::read(inner, game).is_ok_and(|log| log.intent == Intent::Updating) {
                self.is_unsound.store(true, Ordering::Relaxed);
            }
            error.into()
        })
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

    pub(super) fn backup(&self) -> FsPath {
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
