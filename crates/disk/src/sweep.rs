//! Removing what is ours, and nothing else: owned files, then scratch and the note of them, then the records that proved
//! them ours.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bonfire_proto::game::{SENTINEL, is_reserved};
use bonfire_proto::{GameId, RelPath};

use crate::atomic;
use crate::download::{COPY, ancestors};
use crate::error::DiskError;
use crate::fs::{EntryName, FsPath, Kind};
use crate::games::Inner;
use crate::{intent, journal, note, version};

/// Most files left behind that are named.
const KEPT_MAX: usize = 1_000;

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Files removed, scratch not counted.
    pub removed: u64,
    /// Files left in the root because nothing proves that they are ours, by path beneath the root, lossily where it is
    /// not UTF-8; at most 1,000. `local/`, intents and other tools' markers are not named.
    pub kept_unproven: Vec<String>,
    /// Whether the root was empty then and was removed.
    pub root_removed: bool,
}

/// What a removal of files touched.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) files: u64,
    /// Folders whose names changed, now or in a run before that was killed, and that are still there.
    pub(crate) dirs: BTreeSet<FsPath>,
}

/// Removes a transaction's files, makes that durable, says so through `done`, then removes the records and, if empty,
/// the root. Idempotent.
pub(crate) fn sweep(
    inner: &Inner,
    game: &GameId,
    owned: &[RelPath],
    done: &mut dyn FnMut() -> Result<(), DiskError>,
) -> Result<SweepReport, DiskError> {
    let root = FsPath::game(game);
    let mut report = SweepReport::default();
    // The sentinel first and durably: payload must never go missing beneath it.
    let sentinel = root.child(SENTINEL);
    if owned.iter().any(|p| p.as_str() == SENTINEL) && inner.kind(&sentinel)? == Some(Kind::File) {
        inner.fs.remove_file(&sentinel).map_err(|e| inner.io("removing", &sentinel, e))?;
        inner.sync_dir(&root)?;
        report.removed += 1;
    }
    let removed = remove_files(inner, &root, owned.iter().filter(|p| p.as_str() != SENTINEL))?;
    report.removed += removed.files;
    let mut dirs = removed.dirs;
    remove_scratch(inner, &root)?;
    // Without a sentinel there is nothing downloaded that it could speak of.
    note::remove(inner, &root)?;
    dirs.insert(root.clone());
    sync_dirs(inner, &dirs)?;
    if let Err(e) = done() {
        // Then a crash from here on sweeps once more, which finds nothing.
        tracing::debug!(%game, error = %e, "cannot record that the sweep is done");
    }
    drop_records(inner, game)?;
    report.root_removed = remove_root_if_empty(inner, game)?;
    if !report.root_removed {
        report.kept_unproven = unproven(inner, &root)?;
    }
    Ok(report)
}

/// Removes regular files beneath a root and the folders that this empties. What is not there, not a regular file, or
/// reached through anything but folders is left. All are tried; the first failure is returned.
pub(crate) fn remove_files<'a>(
    inner: &Inner,
    root: &FsPath,
    paths: impl Iterator<Item = &'a RelPath>,
) -> Result<Removed, DiskError> {
    let mut out = Removed::default();
    let mut real: BTreeMap<RelPath, bool> = BTreeMap::new();
    let mut above: BTreeSet<RelPath> = BTreeSet::new();
    let mut failed = None;
    for path in paths.filter(|p| !is_reserved(p)) {
        let dirs = ancestors(path);
        let mut reachable = true;
        let mut nearest = root.clone();
        for dir in &dirs {
            let is_dir = match real.get(dir) {
                Some(known) => *known,
                None => {
                    let is_dir = inner.kind(&root.beneath(dir))? == Some(Kind::Dir);
                    real.insert(dir.clone(), is_dir);
                    is_dir
                }
            };
            if !is_dir {
                reachable = false;
                break;
            }
            nearest = root.beneath(dir);
        }
        // Also when nothing is there: that may be so in the cache only.
        out.dirs.insert(nearest);
        if !reachable {
            continue;
        }
        above.extend(dirs);
        let at = root.beneath(path);
        if inner.kind(&at)? != Some(Kind::File) {
            continue;
        }
        match atomic::remove_if_there(&*inner.fs, &at) {
            Ok(was_there) => {
                out.files += u64::from(was_there);
            }
            Err(e) => {
                failed.get_or_insert_with(|| inner.io("removing", &at, e));
            }
        }
    }
    // Longer paths are deeper or unrelated: from the longest on, a folder comes after all that is in it.
    let mut above: Vec<RelPath> = above.into_iter().collect();
    above.sort_by_key(|p| std::cmp::Reverse(p.parts().count()));
    for dir in above {
        let at = root.beneath(&dir);
        match inner.fs.remove_dir(&at) {
            Ok(()) => {
                out.dirs.remove(&at);
                out.dirs.insert(at.parent().unwrap_or_else(|| root.clone()));
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {}
            Err(e) => {
                failed.get_or_insert_with(|| inner.io("removing", &at, e));
            }
        }
    }
    failed.map_or(Ok(out), Err)
}

/// Whether all of these lie on the file system that holds `at`, so that one sync of it reaches them.
pub(crate) fn on_one_device(
    inner: &Inner,
    at: &FsPath,
    paths: impl Iterator<Item = FsPath>,
) -> Result<bool, DiskError> {
    let device = |path: &FsPath| {
        let meta = inner.fs.stat(path).map_err(|e| inner.io("reading", path, e))?;
        Ok::<_, DiskError>(meta.map(|m| m.device))
    };
    let Some(here) = device(at)? else { return Ok(false) };
    for path in paths {
        if device(&path)? != Some(here) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the names in these folders durable.
pub(crate) fn sync_dirs(inner: &Inner, dirs: &BTreeSet<FsPath>) -> Result<(), DiskError> {
    if dirs.len() >= inner.tuning.bulk_sync_from
        && let Some(first) = dirs.first()
        && on_one_device(inner, first, dirs.iter().cloned())?
        && inner.fs.sync_everything(first).map_err(|e| inner.io("syncing", first, e))?
    {
        return Ok(());
    }
    // Deepest first, so that a name is durable only with what is beneath it.
    for dir in dirs.iter().rev() {
        inner.sync_dir(dir)?;
    }
    Ok(())
}

/// Removes the staged and the parked sentinel and half-written records. Not durable. Returns whether there were any.
pub(crate) fn remove_scratch(inner: &Inner, root: &FsPath) -> Result<bool, DiskError> {
    let mut any = false;
    for name in [version::TMP, version::DISCARDED, journal::TMP, intent::TMP, note::TMP, COPY] {
        let path = root.child(name);
        // Scratch of ours is a file; anything else under its name is not ours.
        if inner.kind(&path)? == Some(Kind::File) {
            any |= atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
        }
    }
    Ok(any)
}

/// Ends a transaction whose effects are durable: scratch, then the intent, then the journal.
pub(crate) fn drop_records(inner: &Inner, game: &GameId) -> Result<(), DiskError> {
    let root = FsPath::game(game);
    remove_scratch(inner, &root)?;
    intent::clear_downloading(inner, game)?;
    let path = root.child(journal::NAME);
    atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
    inner.sync_dir(&root)
}

/// Removes the root of a game when nothing is in it and that is possible. Returns whether it is gone.
pub(crate) fn remove_root_if_empty(inner: &Inner, game: &GameId) -> Result<bool, DiskError> {
    let root = FsPath::game(game);
    match inner.fs.remove_dir(&root) {
        Ok(()) => {
            inner.sync_dir(&FsPath::root())?;
            Ok(true)
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
        // Nothing of ours is in it any more: a mount, or a games folder whose names may not change, is no failure.
        Err(e) => {
            tracing::warn!(path = %inner.shown(&root).display(), error = %e, "an empty game folder stays");
            Ok(false)
        }
    }
}

/// The files in a root that no record proves to be ours and that are no known marker.
pub(crate) fn unproven(inner: &Inner, root: &FsPath) -> Result<Vec<String>, DiskError> {
    let mut out = Vec::new();
    let mut folders = vec![(String::new(), root.clone())];
    while let Some((prefix, at)) = folders.pop() {
        let entries = match inner.fs.list(&at) {
            Ok(e) => e,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(inner.io("listing", &at, e)),
        };
        for entry in entries {
            if out.len() >= KEPT_MAX {
                return Ok(out);
            }
            match entry.name {
                EntryName::Unrepresentable(n) => out.push(format!("{prefix}{n}")),
                EntryName::Utf8(n) => {
                    if prefix.is_empty() && RelPath::new(n.as_str()).is_ok_and(|p| is_reserved(&p)) {
                        continue;
                    }
                    match entry.kind {
                        Kind::Dir => folders.push((format!("{prefix}{n}/"), at.child(&n))),
                        Kind::File | Kind::Link | Kind::Other => out.push(format!("{prefix}{n}")),
                    }
                }
            }
        }
    }
    out.sort();
    Ok(out)
}
