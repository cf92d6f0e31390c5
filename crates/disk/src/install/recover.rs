//! What an interrupted install transaction left: read, decided by `bonfire_engine::recovery::installs`, and carried out.

use bonfire_engine::recovery::Intent;
use bonfire_engine::recovery::installs::{Riddle, decide};
use bonfire_proto::GameId;

use super::{record, tree};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::Inner;
use crate::intent;

/// What recovery made of an install transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallRecovery {
    /// The install before is in its place again.
    BroughtBack,
    /// What was under way is as if it had not begun.
    Undone,
    /// What was under way was done but for its last steps, which were taken.
    Finished,
    /// Scratch that no transaction was recorded for is gone.
    Swept,
}

/// Recovers the install transaction of a game that the caller holds; `None` when there was none. Idempotent.
pub(crate) fn recover(inner: &Inner, game: &GameId) -> Result<Option<InstallRecovery>, DiskError> {
    let root = FsPath::game(game);
    if inner.kind(&root)? != Some(Kind::Dir) {
        return Ok(None);
    }
    let log = intent::read(inner, game)?;
    let seen = tree::observe(inner, game)?;
    let steps = decide(log.intent, seen).map_err(|riddle| {
        let reason = match riddle {
            Riddle::NoFolder => "something else stands where an install has a folder",
            Riddle::ThreeInstalls => "an install, the one before it and a third one are all there",
            Riddle::DoomedInstall => "local says that it is being deleted, so it may hold a part of an install only",
            Riddle::PartOfInstall => "the install is gone, and .local.backup may hold a part of it only",
        };
        DiskError::UnknownFormat { path: inner.shown(&root), reason: reason.to_owned() }
    })?;
    if steps.is_nothing() {
        return Ok(None);
    }
    // After a kill, what was read may be in the cache only; what goes next relies on it.
    inner.sync_dir(&root)?;
    let (local, staging, backup) = (root.child(tree::LOCAL), root.child(tree::STAGING), root.child(tree::BACKUP));
    if steps.restores_backup {
        inner.fs.rename(&backup, &local).map_err(|e| inner.io("bringing back", &local, e))?;
        inner.sync_dir(&root)?;
        // A launcher's own mark would have it taken for scratch.
        tree::unmark(inner, &local)?;
    }
    if steps.sweeps_staging {
        tree::sweep(inner, &staging)?;
    }
    if steps.sweeps_backup {
        tree::sweep(inner, &backup)?;
    }
    inner.sync_dir(&root)?;
    let is_here = inner.kind(&local)? == Some(Kind::Dir);
    if log.intent == Intent::Installing && is_here {
        // A repair that was cut off while it wrote the record.
        let tmp = local.child(record::TMP);
        if atomic::remove_if_there(&*inner.fs, &tmp).map_err(|e| inner.io("removing", &tmp, e))? {
            inner.sync_dir(&local)?;
        }
    }
    if steps.drops_intent {
        intent::clear_install(inner, game, log.intent)?;
    }
    Ok(Some(match log.intent {
        _ if steps.restores_backup => InstallRecovery::BroughtBack,
        Intent::Installing if is_here => InstallRecovery::Finished,
        Intent::Updating if steps.sweeps_backup => InstallRecovery::Finished,
        Intent::Uninstalling if !is_here => InstallRecovery::Finished,
        Intent::Installing | Intent::Updating | Intent::Uninstalling => InstallRecovery::Undone,
        Intent::None | Intent::Downloading | Intent::Unreadable => InstallRecovery::Swept,
    }))
}
