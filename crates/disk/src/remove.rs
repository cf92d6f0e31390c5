//! Removing the downloaded files of a game: a sweep that is recorded like a cancel, so that a crash finishes it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bonfire_engine::recovery::Intent;
use bonfire_proto::game::SENTINEL;
use bonfire_proto::{GameId, Manifest, ManifestFile, RelPath};

use crate::error::{DiskError, RemoveError};
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held};
use crate::journal::{self, Header, JournalWriter};
use crate::recover::Recovered;
use crate::walk::{Problem, Sentinel};
use crate::{intent, note, recover, sweep};

/// What a removal did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoveReport {
    /// Files removed.
    pub removed: u64,
    /// Files left, by path beneath the root: what was not downloaded, links, special files, names that Bonfire cannot
    /// hold.
    pub kept: Vec<String>,
    /// What a walk found amiss before.
    pub problems: Vec<Problem>,
    /// Whether the root was empty then and was removed.
    pub root_removed: bool,
}

impl GamesFolder {
    /// Removes the downloaded files of a game: what the note in its root says of the version that is there, or else what a
    /// walk lists as its manifest; nothing else. Other tools' markers stay. A removal that failed half way is finished.
    ///
    /// # Errors
    /// `UnknownFormat` when there is a note that is not understood: then nobody knows what is whose. `NotHere`;
    /// `NotDownloaded` without a regular root `version.ini`; `Installed` with `local/`, `.local.installing/` or
    /// `.local.backup/`; `Busy` when a transaction is recorded there; the disk's.
    pub fn remove_downloaded(&self, game: &GameId) -> Result<RemoveReport, RemoveError> {
        self.remove_downloaded_as(game, None)
    }

    /// As [`Self::remove_downloaded`], of a game that was downloaded as `only`, whatever its note says: what else lies in
    /// its root stays, too, and is reported.
    ///
    /// # Errors
    /// As [`Self::remove_downloaded`].
    pub fn remove_downloaded_as(&self, game: &GameId, only: Option<&Manifest>) -> Result<RemoveReport, RemoveError> {
        let inner = &self.inner;
        let held = Held::take(inner, game)?;
        let root = FsPath::game(game);
        match inner.kind(&root)? {
            Some(Kind::Dir) => {}
            Some(_) | None => return Err(RemoveError::NotHere { path: inner.shown(&root) }),
        }
        if let Some(Recovered::Swept { report, .. }) = recover::settle(inner, game)?
            && inner.kind(&root.child(SENTINEL))?.is_none()
        {
            // A removal that failed half way was on record, and is over now.
            return Ok(RemoveReport {
                removed: report.removed,
                kept: report.kept_unproven,
                problems: Vec::new(),
                root_removed: report.root_removed,
            });
        }
        let busy = |reason| RemoveError::Disk(DiskError::Busy { path: inner.shown(&root), reason });
        match intent::read(inner, game)?.intent {
            Intent::None => {}
            _ => return Err(busy("another transaction is recorded there")),
        }
        if inner.kind(&root.child(journal::NAME))?.is_some() {
            return Err(busy("a download is recorded there"));
        }
        for name in ["local", ".local.installing", ".local.backup"] {
            let path = root.child(name);
            if inner.kind(&path)?.is_some() {
                return Err(RemoveError::Installed { path: inner.shown(&path) });
            }
        }
        if inner.kind(&root)? == Some(Kind::Dir) && crate::walk::sentinel(inner, &root)? != Sentinel::Regular {
            return Err(RemoveError::NotDownloaded { path: inner.shown(&root) });
        }
        let walked = self.walk(game)?;
        if walked.sentinel != Sentinel::Regular {
            return Err(RemoveError::NotDownloaded { path: inner.shown(&root) });
        }
        let noted = match only {
            Some(_) => None,
            None => note::read(inner, game)?.filter(|n| n.version == walked.eti_version).map(|n| n.manifest(game)),
        };
        let only = only.or(noted.as_ref());
        let files: Vec<ManifestFile> = walked
            .files
            .into_iter()
            .filter(|f| only.is_none_or(|m| m.file(&f.path).is_some()))
            .map(|f| ManifestFile { path: f.path, size: f.size, blake3: None })
            .collect();
        let owned: Vec<RelPath> = files.iter().map(|f| f.path.clone()).collect();
        let manifest = Manifest::new(game.clone(), walked.eti_version, files);
        manifest.check().map_err(DiskError::Manifest)?;
        let header =
            Header { manifest: Arc::new(manifest), previous_only: Vec::new(), found: BTreeSet::new(), removal: true };
        let mut log = match JournalWriter::create(inner, header) {
            Ok((log, _)) => Some(log),
            Err(e) => {
                // Its name may exist without being durable: a start would carry out what is about to be called failed.
                if let Err(undo) = sweep::drop_records(inner, game) {
                    tracing::warn!(%game, error = %undo, "the record of a removal that did not begin remains");
                }
                return Err(e.into());
            }
        };
        let swept = sweep::sweep(inner, game, &owned, &mut || journal::finish(inner, log.take()))?;
        drop(held);
        Ok(RemoveReport {
            removed: swept.removed,
            kept: swept.kept_unproven,
            problems: walked.problems,
            root_removed: swept.root_removed,
        })
    }
}
