//! Taking an install away.

use bonfire_engine::installs::{Known, Origin, origin};
use bonfire_engine::recovery::Intent;
use bonfire_proto::{GameId, RelPath};
use std::collections::BTreeMap;

use super::error::NAMED_MAX;
use super::{InstallError, carry, record, recover, tree};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held};
use crate::{intent, journal};

/// What an uninstall did.
#[derive(Debug)]
pub struct Uninstalled {
    /// Files that went.
    pub files: u64,
    /// Why something of them is still there; it goes at the next start.
    pub left: Option<DiskError>,
}

impl GamesFolder {
    /// Takes an install away; what was downloaded stays. Files of the player go only with `force`. `keep_going` is asked
    /// as in a commit.
    ///
    /// # Errors
    /// `NotInstalled`; `PlayersFiles`, also for everything in an install that nobody recorded; `UnknownFormat` for what is not understood; `Busy`; the
    /// disk's. Nothing was changed then.
    pub fn uninstall(
        &self,
        game: &GameId,
        force: bool,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Uninstalled, InstallError> {
        let inner = &self.inner;
        let _held = Held::take(inner, game)?;
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
        let (local, backup) = (root.child(tree::LOCAL), root.child(tree::BACKUP));
        if inner.kind(&local)? != Some(Kind::Dir) {
            return Err(InstallError::NotInstalled { path: inner.shown(&local) });
        }
        if inner.kind(&backup)?.is_some() {
            let what = "something that Bonfire did not put there";
            return Err(DiskError::InTheWay { path: inner.shown(&backup), what }.into());
        }
        let seen = tree::read(inner, &local)?;
        if !force {
            let was = record::read(inner, &local)?.map(|r| r.files);
            let live = carry::whose(inner, &local, &seen, was.as_ref(), keep_going)?;
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
        intent::set_install(inner, game, log, Intent::Uninstalling)?;
        let moved = inner.fs.rename(&local, &backup).map_err(|e| inner.io("setting aside", &local, e));
        if let Err(error) = moved.and_then(|()| inner.sync_dir(&root)) {
            if let Err(left) = recover(inner, game) {
                tracing::warn!(%game, error = %left, "an uninstall that failed is not undone yet");
            }
            return Err(error.into());
        }
        let swept = tree::sweep(inner, &backup)
            .and_then(|()| inner.sync_dir(&root))
            .and_then(|()| intent::clear_install(inner, game, Intent::Uninstalling));
        let left = swept.err();
        if let Some(error) = &left {
            tracing::warn!(%game, %error, "something of an uninstalled game is left");
        }
        Ok(Uninstalled { files: seen.files.len() as u64, left })
    }
}
