//! Taking an install away.
//!
//! It is set aside as by an update, so that whatever ends it before it is known to be what was looked at has it brought back.
//! Only then is it recorded that it goes.

use bonfire_engine::installs::{Known, Origin, origin};
use bonfire_engine::recovery::Intent;
use bonfire_proto::{GameId, RelPath};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use super::error::NAMED_MAX;
use super::tree::{self, Tree};
use super::{InstallError, Staging, carry, record};
use crate::error::DiskError;
use crate::fs::FsPath;
use crate::games::GamesFolder;
use crate::intent;

/// What an uninstall did.
#[derive(Debug)]
pub struct Uninstalled {
    /// Files that went.
    pub files: u64,
    /// Why something of them is still there; it goes at the next start.
    pub left: Option<DiskError>,
}

/// An install that was looked at and may go. Nothing is recorded yet, and the game is held.
#[derive(Debug)]
pub struct Leaving {
    staging: Staging,
    log: intent::IntentLog,
    seen: Tree,
}

impl GamesFolder {
    /// Looks at an install that is to be taken away; what was downloaded stays. Files of the player go only with `force`.
    /// `keep_going` is asked as in a commit. Nothing is changed.
    ///
    /// # Errors
    /// `NotInstalled`; `PlayersFiles`, also for everything in an install that nobody recorded; `CannotDelete`;
    /// `UnknownFormat` for what is not understood; `Busy`; the disk's.
    pub fn begin_uninstall(
        &self,
        game: &GameId,
        force: bool,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Leaving, InstallError> {
        let (inner, held, log, is_here) = self.clear_way(game)?;
        let local = FsPath::game(game).child(tree::LOCAL);
        if !is_here {
            return Err(InstallError::NotInstalled { path: inner.shown(&local) });
        }
        let seen = tree::read(&inner, &local)?;
        if !force {
            let was = record::read(&inner, &local)?.map(|r| r.files);
            let live = carry::whose(&inner, &local, &seen, was.as_ref(), &|_, _| None, keep_going)?;
            let was: Option<BTreeMap<RelPath, Known>> =
                was.map(|files| files.iter().map(|(path, file)| (path.clone(), file.known())).collect());
            let players = live.iter().filter(|(path, now)| origin(was.as_ref(), path, now) != Origin::Installed);
            let players: Vec<RelPath> = players.map(|(path, _)| path.clone()).collect();
            let count = (players.len() + seen.odd.len()) as u64;
            if count > 0 {
                let files = players.into_iter().take(NAMED_MAX).collect();
                return Err(InstallError::PlayersFiles { path: inner.shown(&local), count, files });
            }
        }
        tree::can_go(&inner, &local)?;
        let is_unsound = AtomicBool::new(false);
        let staging = Staging { inner, _held: held, game: game.clone(), is_update: true, is_unsound };
        Ok(Leaving { staging, log, seen })
    }

    /// Both steps of an uninstall at once.
    ///
    /// # Errors
    /// As `begin_uninstall` and `Leaving::finish`.
    pub fn uninstall(
        &self,
        game: &GameId,
        force: bool,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Uninstalled, InstallError> {
        self.begin_uninstall(game, force, keep_going)?.finish(&|| true)
    }
}

impl Leaving {
    /// A file that was written to, or came, in a later millisecond than the first and none later than the second, both since
    /// 1970, as far as their times tell.
    #[must_use]
    pub fn written_between(&self, after_ms: u64, until_ms: u64) -> Option<&RelPath> {
        let ms = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let is_between = |ns: i64| (ms(after_ms)..ms(until_ms)).contains(&(ns.div_euclid(1_000_000) - 1));
        let mut files = self.seen.files.iter();
        files.find(|(_, stamp)| is_between(stamp.mtime_ns) || is_between(stamp.ctime_ns)).map(|(path, _)| path)
    }

    /// Takes the install away, if it still is what was looked at. `is_free` is asked once it is set aside.
    ///
    /// # Errors
    /// `Changed` when it is not, and `InUse` when it is not free, which are retryable; the disk's. The install is in its place
    /// then. `NotUndone` where a start has to bring it back, or to finish.
    pub fn finish(self, is_free: &dyn Fn() -> bool) -> Result<Uninstalled, InstallError> {
        let Self { staging, log, seen } = self;
        staging.begin(log, Intent::Updating)?;
        let gone = staging.set_aside(&seen, is_free).and_then(|()| staging.drop_folder()).and_then(|()| staging.doom());
        if let Err(error) = gone {
            return Err(staging.given_up(error));
        }
        let left = staging.sweep_all().err();
        if let Some(error) = &left {
            tracing::warn!(game = %staging.game, %error, "something of an uninstalled game is left");
        }
        Ok(Uninstalled { files: seen.files.len() as u64, left })
    }
}

impl Staging {
    /// Nothing was unpacked. An uninstall that is cut off would not know whose an unmarked folder is, an update does.
    fn drop_folder(&self) -> Result<(), InstallError> {
        tree::sweep(&self.inner, &self.folder())?;
        Ok(self.inner.sync_dir(&FsPath::game(&self.game))?)
    }

    fn sweep_all(&self) -> Result<(), DiskError> {
        let inner = &*self.inner;
        tree::sweep(inner, &self.backup())?;
        inner.sync_dir(&FsPath::game(&self.game))?;
        intent::clear_install(inner, &self.game, Intent::Uninstalling)
    }
}
