//! The beginning of an install or update, and undoing one that was not put in place.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bonfire_engine::recovery::Intent;
use bonfire_engine::recovery::installs::{LocalState, ScratchState};
use bonfire_proto::GameId;

use super::{InstallError, Staging, recover, tree};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held, Inner};
use crate::intent::IntentLog;
use crate::walk::{Sentinel, sentinel};
use crate::{intent, journal};

impl GamesFolder {
    /// Begins to install a game that is downloaded, or to update one that is installed. What an earlier transaction left is
    /// recovered first.
    ///
    /// # Errors
    /// `NotDownloaded`; `InTheWay` for anything in the place of a folder of ours; `UnknownFormat` for what is not understood; `Busy` while another
    /// transaction is recorded or runs; the disk's. Nothing was changed then but for that recovery.
    pub fn begin_install(&self, game: &GameId) -> Result<Staging, InstallError> {
        let (inner, held, log, is_update) = self.clear_way(game)?;
        is_downloaded(&inner, game)?;
        let is_unsound = AtomicBool::new(false);
        let staging = Staging { inner, _held: held, game: game.clone(), is_update, is_unsound };
        staging.begin(log, if is_update { Intent::Updating } else { Intent::Installing })?;
        Ok(staging)
    }

    /// Holds a game of which nothing is in the way of an install transaction, and says whether an install is there.
    pub(super) fn clear_way(&self, game: &GameId) -> Result<(Arc<Inner>, Held, IntentLog, bool), InstallError> {
        let inner = &self.inner;
        let held = Held::take(inner, game)?;
        let root = FsPath::game(game);
        if inner.kind(&root)? != Some(Kind::Dir) {
            return Err(DiskError::NotFound { what: "game folder", path: inner.shown(&root) }.into());
        }
        recover(inner, game)?;
        let log = intent::read(inner, game)?;
        let busy = |reason| InstallError::Disk(DiskError::Busy { path: inner.shown(&root), reason });
        if log.intent != Intent::None {
            return Err(busy("another transaction is recorded there"));
        }
        if inner.kind(&root.child(journal::NAME))?.is_some() {
            return Err(busy("a download is recorded there"));
        }
        let seen = tree::observe(inner, game)?;
        let in_the_way = |name| {
            let what = "something that Bonfire did not put there";
            InstallError::Disk(DiskError::InTheWay { path: inner.shown(&root.child(name)), what })
        };
        if seen.local == LocalState::Other {
            return Err(in_the_way(tree::LOCAL));
        }
        for (name, state) in [(tree::STAGING, seen.staging), (tree::BACKUP, seen.backup)] {
            if state != ScratchState::Absent {
                return Err(in_the_way(name));
            }
        }
        Ok((inner.clone(), held, log, seen.local == LocalState::Folder))
    }
}

/// Refuses where there is nothing to install from.
pub(super) fn is_downloaded(inner: &Inner, game: &GameId) -> Result<(), InstallError> {
    let root = FsPath::game(game);
    if sentinel(inner, &root)? != Sentinel::Regular {
        return Err(InstallError::NotDownloaded { path: inner.shown(&root) });
    }
    Ok(())
}

impl Staging {
    /// Records the transaction and makes its folder.
    pub(super) fn begin(&self, log: IntentLog, intent: Intent) -> Result<(), InstallError> {
        let (inner, game) = (&self.inner, &self.game);
        let begun = (|| {
            intent::set_install(inner, game, log, intent)?;
            tree::make_marked(inner, &self.folder())?;
            inner.sync_dir(&FsPath::game(game))
        })();
        begun.map_err(|error: DiskError| self.given_up(error.into()))
    }

    /// Back to what was before it, as a start would do it.
    pub(super) fn undo(&self) -> Result<(), DiskError> {
        if self.is_unsound.load(Ordering::Relaxed) {
            // What is durable is not known any more, and nothing may be deleted on a guess.
            return Err(DiskError::Unsound { path: self.inner.shown(&FsPath::game(&self.game)) });
        }
        recover(&self.inner, &self.game)?;
        if self.inner.kind(&self.folder())?.is_some() {
            // Nothing is done about what is not understood.
            let path = self.inner.shown(&FsPath::game(&self.game).child(intent::NAME));
            let reason = "the record of what was begun cannot be understood any more".to_owned();
            return Err(DiskError::UnknownFormat { path, reason });
        }
        Ok(())
    }
}
