//! Recovery at start: every game root is brought into a state that some transaction begins or ends in.
//!
//! What to do is decided by the table in `bonfire_engine::recovery`; here the state is read and the action carried out.

use std::sync::Arc;

use bonfire_engine::recovery::{Action, Intent, JournalState, SentinelState, decide};
use bonfire_proto::chunk::chunk_hash;
use bonfire_proto::game::SENTINEL;
use bonfire_proto::{Digest, GameId, Manifest, RelPath, chunk_span};

use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held, Inner};
use crate::install::{self, InstallRecovery};
use crate::journal::{self, Found, Journal, JournalWriter};
use crate::sweep::{self, SweepReport};
use crate::walk::{Sentinel, sentinel};
use crate::{intent, version};

/// What recovery found or did in one game root. A root in which nothing was amiss is not mentioned.
#[derive(Debug)]
pub enum Recovered {
    /// A download can go on: resume or cancel it.
    Resumable {
        /// The game.
        game: GameId,
        /// What was being downloaded.
        manifest: Arc<Manifest>,
        /// Bytes of the chunks that are here and right.
        verified_bytes: u64,
    },
    /// A download was complete but for its last steps, which were taken.
    Completed {
        /// The game.
        game: GameId,
    },
    /// The sweep of a cancel or removal was finished.
    Swept {
        /// The game.
        game: GameId,
        /// What was removed and what was left.
        report: SweepReport,
    },
    /// Scratch, or the records of a download that had not begun, were removed.
    Discarded {
        /// The game.
        game: GameId,
    },
    /// Files lie in a root that is neither downloaded nor installed, and nothing proves that they are ours. They stay.
    Unproven {
        /// The game.
        game: GameId,
        /// Paths beneath the root, at most 1,000.
        paths: Vec<String>,
    },
    /// An install, update or uninstall was cut off; it is undone or finished.
    Install {
        /// The game.
        game: GameId,
        /// Which of these.
        recovery: InstallRecovery,
    },
    /// The root could not be recovered, or is not understood; it was left as it is.
    Failed {
        /// The game.
        game: GameId,
        /// Why.
        error: DiskError,
    },
}

impl GamesFolder {
    /// Recovers every game root. Idempotent; one bad root never stops the others. To be called at start, before any
    /// transaction.
    ///
    /// # Errors
    /// Only when the games folder itself cannot be read.
    pub fn recover(&self) -> Result<Vec<Recovered>, DiskError> {
        self.sweep_top();
        let mut out = Vec::new();
        for game in self.games()?.games {
            match self.recover_game(&game) {
                Ok(found) => out.extend(found),
                Err(error) => out.push(Recovered::Failed { game, error }),
            }
        }
        Ok(out)
    }

    /// Recovers one game root: `None` when nothing is amiss.
    ///
    /// # Errors
    /// `Busy` while a transaction of this process holds it; `UnknownFormat` for what is not understood; the disk's.
    pub fn recover_game(&self, game: &GameId) -> Result<Option<Recovered>, DiskError> {
        let _held = Held::take(&self.inner, game)?;
        if let Some(found) = settle(&self.inner, game)? {
            return Ok(Some(found));
        }
        let root = FsPath::game(game);
        let idle = self.inner.kind(&root)? == Some(Kind::Dir)
            && sentinel(&self.inner, &root)? == Sentinel::Absent
            && self.inner.kind(&root.child("local"))?.is_none();
        let paths = if idle { sweep::unproven(&self.inner, &root)? } else { Vec::new() };
        Ok((!paths.is_empty()).then(|| Recovered::Unproven { game: game.clone(), paths }))
    }
}

/// Carries out what the table says about a root that the caller holds.
pub(crate) fn settle(inner: &Arc<Inner>, game: &GameId) -> Result<Option<Recovered>, DiskError> {
    let root = FsPath::game(game);
    if inner.kind(&root)? != Some(Kind::Dir) {
        return Ok(None);
    }
    let install = install::recover(inner, game)?;
    let settled = settle_download(inner, game)?;
    Ok(settled.or_else(|| install.map(|recovery| Recovered::Install { game: game.clone(), recovery })))
}

fn settle_download(inner: &Arc<Inner>, game: &GameId) -> Result<Option<Recovered>, DiskError> {
    let root = FsPath::game(game);
    let log = intent::read(inner, game)?;
    let found = journal::read(inner, game)?;
    let state = match sentinel(inner, &root)? {
        Sentinel::Regular => SentinelState::Regular,
        Sentinel::Absent => SentinelState::Absent,
        Sentinel::NotRegular => SentinelState::NotRegular,
    };
    let game = game.clone();
    let action = decide(log.intent, found.state(), state);
    // After a kill, what was read may be in the cache only; what is removed next relies on it.
    let mut log_open = match (&found, action) {
        (Found::Usable(j), Action::DropRecords | Action::FinishCommit | Action::FinishCancel) => {
            Some(JournalWriter::reopen(inner, j)?)
        }
        (_, Action::DropRecords | Action::SweepByIntent) => {
            inner.sync_dir(&root)?;
            inner.sync_dir(&FsPath::root())?;
            None
        }
        _ => None,
    }
    .filter(|_| action == Action::FinishCancel);
    match action {
        Action::SweepScratch => {
            if !sweep::remove_scratch(inner, &root)? {
                return Ok(None);
            }
            inner.sync_dir(&root)?;
            sweep::remove_root_if_empty(inner, &game)?;
            Ok(Some(Recovered::Discarded { game }))
        }
        Action::DropRecords => {
            sweep::drop_records(inner, &game)?;
            sweep::remove_root_if_empty(inner, &game)?;
            let completed = state == SentinelState::Regular && found.state() == JournalState::Committing;
            Ok(Some(if completed { Recovered::Completed { game } } else { Recovered::Discarded { game } }))
        }
        Action::Resume => Ok(resumable(game, found)),
        Action::FinishCommit => match found {
            Found::Usable(j) if staged_sentinel_is_sound(inner, &root, &j)? => finish_commit(inner, &root, game),
            found => Ok(resumable(game, found)),
        },
        Action::FinishCancel => match found {
            Found::Usable(j) => {
                let owned: Vec<RelPath> = j.owned().cloned().collect();
                let report = sweep::sweep(inner, &game, &owned, &mut || journal::finish(inner, log_open.take()))?;
                Ok(Some(Recovered::Swept { game, report }))
            }
            _ => Ok(None),
        },
        Action::SweepByIntent => {
            let report = sweep::sweep(inner, &game, &log.owned, &mut || Ok(()))?;
            Ok(Some(Recovered::Swept { game, report }))
        }
        // Recovered above, or not understood, which is an error.
        Action::LeaveToInstaller => Ok(None),
        Action::TouchNothing => {
            let (name, reason) = match (&found, log.intent, state) {
                (_, Intent::Unreadable, _) => (intent::NAME, "not an intent log"),
                (Found::Unknown(reason), ..) => (journal::NAME, *reason),
                (Found::Damaged, ..) => (journal::NAME, "its header is damaged"),
                _ => (SENTINEL, "a folder, link or special file in the place of the sentinel"),
            };
            Err(DiskError::UnknownFormat { path: inner.shown(&root.child(name)), reason: reason.to_owned() })
        }
    }
}

fn resumable(game: GameId, found: Found) -> Option<Recovered> {
    let Found::Usable(j) = found else { return None };
    let len = |n| {
        let at = j.layout.locate(n)?;
        Some(chunk_span(j.header.manifest.files.get(at.file as usize)?.size, at.chunk)?.1)
    };
    let verified_bytes = j.verified.ones().filter_map(len).sum();
    Some(Recovered::Resumable { game, manifest: j.header.manifest.clone(), verified_bytes })
}

/// Whether the staged sentinel is there with the bytes that were verified.
fn staged_sentinel_is_sound(inner: &Inner, root: &FsPath, j: &Journal) -> Result<bool, DiskError> {
    let m = &j.header.manifest;
    let Some((i, f)) = (0u32..).zip(&m.files).find(|(_, f)| f.path.as_str() == SENTINEL) else { return Ok(false) };
    let listed = || j.hashes.get(&i).and_then(|l| l.first().copied());
    let came = || j.layout.range(i).and_then(|r| j.digests.get(&r.start).copied());
    let expected: Option<Digest> = f.blake3.or_else(listed).or_else(came);
    let path = root.child(version::TMP);
    if inner.kind(&path)? != Some(Kind::File) {
        return Ok(false);
    }
    let bytes = crate::atomic::read_small(&*inner.fs, &path, bonfire_proto::limits::SENTINEL_LEN_MAX)
        .map_err(|e| inner.io("reading", &path, e))?;
    Ok(bytes.is_some_and(|b| b.len() as u64 == f.size && expected == Some(chunk_hash(f.size, 0, &b))))
}

fn finish_commit(inner: &Inner, root: &FsPath, game: GameId) -> Result<Option<Recovered>, DiskError> {
    let (from, to) = (root.child(version::TMP), root.child(SENTINEL));
    inner.fs.rename(&from, &to).map_err(|e| inner.io("putting in place", &to, e))?;
    inner.sync_dir(root)?;
    sweep::drop_records(inner, &game)?;
    Ok(Some(Recovered::Completed { game }))
}
