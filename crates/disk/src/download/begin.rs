//! Beginning and resuming: what has to be true before anything is changed, and the records that make it provable.

use std::collections::BTreeSet;
use std::sync::Arc;

use bonfire_engine::recovery::{Intent, JournalState};
use bonfire_proto::game::{SENTINEL, is_reserved};
use bonfire_proto::limits::SENTINEL_LEN_MAX;
use bonfire_proto::{GameId, Manifest, RelPath};

use super::Download;
use super::open::{Slot, Survey, index_of_sentinel};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held, Inner};
use crate::intent;
use crate::journal::{self, Found, Header, JournalWriter};
use crate::recover::Recovered;
use crate::sweep::SweepReport;
use crate::walk::{Sentinel, sentinel};

impl GamesFolder {
    /// Bytes that a download of this manifest would still have to find on the disk, given what is there. Read it before
    /// `begin_download`, which reserves them.
    ///
    /// # Errors
    /// Whatever the disk reports; `InTheWay`.
    pub fn space_for(&self, manifest: &Manifest) -> Result<u64, DiskError> {
        let inner = &*self.inner;
        let root = FsPath::game(&manifest.game_id);
        if inner.kind(&root)? != Some(Kind::Dir) {
            return Ok(manifest.size());
        }
        let none = BTreeSet::new();
        let mut survey = Survey::new(inner, &root, &none);
        let mut need = 0u64;
        for f in &manifest.files {
            let have = match inner.fs.stat(&root.beneath(&f.path)) {
                Ok(Some(m)) if m.kind == Kind::File && survey.folders_are_real(&f.path) => m.len,
                _ => 0,
            };
            need = need.saturating_add(f.size.saturating_sub(have));
        }
        Ok(need)
    }

    /// Begins the download of a manifest: records it durably, parks the sentinel of the version that is here, makes all
    /// files at full length and removes the files of `previous` that the new version does not have.
    ///
    /// `previous` are files that a download of ours committed and that are as it left them; nothing else that lies in
    /// the root is ever removed. A file at a path of the new version that is not in `previous` is taken as found: it may
    /// be reused, becomes ours when first written to, and is refused as `Occupied` when its size differs.
    ///
    /// # Errors
    /// `Manifest`; `Busy` when a transaction is recorded here; `InTheWay` (a sentinel that is no file, links, special
    /// files); `Occupied`; `UnknownFormat`; the disk's, `no_space` among them. As long as no file of the old version
    /// was changed, everything is put back; afterwards the download stays on record, to be resumed or cancelled.
    pub fn begin_download(&self, manifest: &Manifest, previous: &[RelPath]) -> Result<Download, DiskError> {
        self.begin_download_over(manifest, previous, &[])
    }

    /// As [`Self::begin_download`], over a version that somebody put here by hand: a file of `replaceable` at a path of
    /// the new version is overwritten also when its size differs. None of them is removed.
    ///
    /// # Errors
    /// As [`Self::begin_download`].
    pub fn begin_download_over(
        &self,
        manifest: &Manifest,
        previous: &[RelPath],
        replaceable: &[RelPath],
    ) -> Result<Download, DiskError> {
        let inner = &self.inner;
        manifest.check()?;
        let game = &manifest.game_id;
        let root = FsPath::game(game);
        let file = index_of_sentinel(manifest);
        let len = manifest.files.get(file as usize).map_or(0, |f| f.size);
        if len > SENTINEL_LEN_MAX {
            let path = inner.shown(&root.child(SENTINEL));
            return Err(DiskError::TooMuch { path, what: "bytes", limit: SENTINEL_LEN_MAX });
        }
        if let Some(f) =
            manifest.files.iter().find(|f| f.size == 0 && f.blake3.is_some_and(|b| b != super::open::empty()))
        {
            let path = inner.shown(&root.beneath(&f.path));
            return Err(DiskError::Mismatch { path, reason: "an empty file with the hash of another" });
        }
        let held = Held::take(inner, game)?;
        match inner.kind(&root)? {
            // Where nothing but scratch was left, this removes the root with it.
            Some(Kind::Dir) => crate::recover::settle(inner, game).map(|_| ())?,
            None => {}
            Some(_) => return Err(DiskError::InTheWay { path: inner.shown(&root), what: "a file or link" }),
        }
        let is_new = inner.kind(&root)?.is_none();
        let previous_only: BTreeSet<RelPath> = previous
            .iter()
            .filter(|p| !is_reserved(p) && p.as_str() != SENTINEL && manifest.file(p).is_none())
            .cloned()
            .collect();
        let found = if is_new {
            BTreeSet::new()
        } else {
            check_idle(inner, game, &root)?;
            find(inner, &root, manifest, (previous, replaceable), &previous_only)?
        };
        let header = Header {
            manifest: Arc::new(manifest.clone()),
            previous_only: previous_only.into_iter().collect(),
            found,
            removal: false,
        };
        match prepare(inner, game, header, is_new) {
            Ok((log, journal)) => Download::open(inner, held, journal, log, true),
            Err(e) => {
                if inner.kind(&root)?.is_none() {
                    return Err(e);
                }
                // Nothing was changed yet; what remains of the records says so, and the next start reads them alike.
                if let Err(undo) = crate::sweep::drop_records(inner, game).and_then(|()| match is_new {
                    true => crate::sweep::remove_root_if_empty(inner, game).map(|_| ()),
                    false => Ok(()),
                }) {
                    tracing::warn!(%game, error = %undo, "records of a download that did not begin remain");
                }
                Err(e)
            }
        }
    }

    /// Takes up the download that is recorded in a game root, from its verified chunks.
    ///
    /// # Errors
    /// `NotFound` when none is recorded; `Completed` when nothing but its last steps was missing, which were taken; `Busy`
    /// while this process has it open, or when it was cancelled or belongs to an install; `UnknownFormat`; `InTheWay`; `Occupied`; the disk's.
    pub fn resume_download(&self, game: &GameId) -> Result<Download, DiskError> {
        let inner = &self.inner;
        let held = Held::take(inner, game)?;
        let Recorded::Open(journal) = recorded(inner, game)? else {
            return Err(DiskError::NotFound { what: "download", path: inner.shown(&FsPath::game(game)) });
        };
        let log = intent::read(inner, game)?;
        if log.intent == Intent::None {
            let owned: Vec<RelPath> = journal.owned().cloned().collect();
            intent::set_downloading(inner, game, log, &owned)?;
        }
        let log = JournalWriter::reopen(inner, &journal)?;
        Download::open(inner, held, *journal, log, false)
    }
}

/// What is recorded in a game root, once what needs no decision is settled.
pub(super) enum Recorded {
    /// A download that can go on.
    Open(Box<journal::Journal>),
    /// A cancel that was cut short, and is finished now.
    Swept(SweepReport),
}

pub(super) fn recorded(inner: &Arc<Inner>, game: &GameId) -> Result<Recorded, DiskError> {
    let root = FsPath::game(game);
    if inner.kind(&root)? != Some(Kind::Dir) {
        return Err(DiskError::NotFound { what: "download", path: inner.shown(&root) });
    }
    match crate::recover::settle(inner, game)? {
        Some(Recovered::Completed { .. }) => return Err(DiskError::Completed { path: inner.shown(&root) }),
        Some(Recovered::Swept { report, .. }) => return Ok(Recorded::Swept(report)),
        _ => {}
    }
    check_intent(inner, &root, intent::read(inner, game)?.intent)?;
    match journal::read(inner, game)? {
        Found::Usable(j) if !matches!(j.state, JournalState::Cancelled | JournalState::Done) => Ok(Recorded::Open(j)),
        Found::Usable(_) => Err(DiskError::Busy { path: inner.shown(&root), reason: "its download was cancelled" }),
        other => Err(unusable(inner, &root, &other)),
    }
}

/// Refuses a root where something else is going on.
fn check_idle(inner: &Inner, game: &GameId, root: &FsPath) -> Result<(), DiskError> {
    let log = intent::read(inner, game)?;
    check_intent(inner, root, log.intent)?;
    if inner.kind(&root.child(journal::NAME))?.is_some() || log.intent == Intent::Downloading {
        return Err(match journal::read(inner, game)? {
            Found::Usable(_) => {
                DiskError::Busy { path: inner.shown(root), reason: "a download is recorded there already" }
            }
            other => unusable(inner, root, &other),
        });
    }
    if sentinel(inner, root)? == Sentinel::NotRegular {
        let path = inner.shown(&root.child(SENTINEL));
        return Err(DiskError::InTheWay { path, what: "a folder, link or special file" });
    }
    Ok(())
}

fn check_intent(inner: &Inner, root: &FsPath, intent: Intent) -> Result<(), DiskError> {
    match intent {
        Intent::None | Intent::Downloading => Ok(()),
        Intent::Installing | Intent::Updating | Intent::Uninstalling => {
            Err(DiskError::Busy { path: inner.shown(root), reason: "an install is recorded there" })
        }
        Intent::Unreadable => Err(DiskError::UnknownFormat {
            path: inner.shown(&root.child(intent::NAME)),
            reason: "not an intent log".to_owned(),
        }),
    }
}

fn unusable(inner: &Inner, root: &FsPath, found: &Found) -> DiskError {
    let path = inner.shown(&root.child(journal::NAME));
    match found {
        Found::Absent | Found::Usable(_) => DiskError::NotFound { what: "download journal", path },
        Found::Damaged => DiskError::UnknownFormat { path, reason: "its header is damaged".to_owned() },
        Found::Unknown(reason) => DiskError::UnknownFormat { path, reason: (*reason).to_owned() },
    }
}

/// Files at paths of the manifest that no version known put there.
fn find(
    inner: &Inner,
    root: &FsPath,
    manifest: &Manifest,
    (previous, replaceable): (&[RelPath], &[RelPath]),
    previous_only: &BTreeSet<RelPath>,
) -> Result<BTreeSet<RelPath>, DiskError> {
    let previous: BTreeSet<&RelPath> = previous.iter().collect();
    let replaceable: BTreeSet<&RelPath> = replaceable.iter().collect();
    let mut survey = Survey::new(inner, root, previous_only);
    let (mut found, mut occupied) = (BTreeSet::new(), Vec::new());
    for f in manifest.files.iter().filter(|f| f.path.as_str() != SENTINEL) {
        if let Slot::Present(stamp) = survey.look(&f.path)?
            && !previous.contains(&f.path)
        {
            if stamp.size == f.size {
                found.insert(f.path.clone());
            } else if !replaceable.contains(&f.path) {
                occupied.push(&f.path);
            }
        }
    }
    match occupied.first() {
        Some(first) => Err(DiskError::Occupied { path: inner.shown(&root.beneath(first)), count: occupied.len() }),
        None => Ok(found),
    }
}

/// Makes the root, the journal and the intent, each durable before the next.
fn prepare(
    inner: &Inner,
    game: &GameId,
    header: Header,
    is_new: bool,
) -> Result<(JournalWriter, journal::Journal), DiskError> {
    let root = FsPath::game(game);
    if is_new {
        inner.fs.create_dir(&root).map_err(|e| inner.io("creating", &root, e))?;
    }
    // Also for a folder that was there: whoever made it may not have synced it.
    inner.sync_dir(&FsPath::root())?;
    for stale in [journal::TMP, intent::TMP] {
        let path = root.child(stale);
        atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
    }
    let (log, journal) = JournalWriter::create(inner, header)?;
    let owned: Vec<RelPath> = journal.owned().cloned().collect();
    intent::set_downloading(inner, game, intent::read(inner, game)?, &owned)?;
    Ok((log, journal))
}
