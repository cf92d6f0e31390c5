//! Holding an install against its record, and putting back what is missing or damaged, one file at a time.
//!
//! A repair is recorded as an install that found one there: whatever cuts it off, its staging folder goes and what is in
//! `local/` stays. Each file is the old one or the new one at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::AtomicBool;

use bonfire_engine::installs::{Fault, Known, fault, set_aside};
use bonfire_engine::recovery::Intent;
use bonfire_proto::{GameId, RelPath};

use super::record::{self, InstalledFile};
use super::stamp::ExactStamp;
use super::{InstallError, Staging, begin, carry, tree};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held, Inner};
use crate::sweep::sync_dirs;

/// What an install is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInstall {
    /// The version that was installed.
    pub version: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// The files that are not as they were installed.
    pub faults: BTreeMap<RelPath, Finding>,
}

/// A file that is not as it was installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong with it.
    pub fault: Fault,
    /// Bytes that it was installed with.
    pub size: u64,
    /// What lay there when that was found; `None` when nothing did. Only this is ever replaced.
    pub seen: Option<ExactStamp>,
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Files that were put back.
    pub files: u64,
    /// Where what lay there before is now.
    pub kept: Vec<RelPath>,
}

impl GamesFolder {
    /// Reads an install and holds it against what was installed. `None` when nobody recorded what. `keep_going` is asked as in
    /// a commit.
    ///
    /// # Errors
    /// `NotInstalled`, never where that cannot be told; `Changed` for a file that is written to meanwhile; `Cancelled`; `Busy`; the disk's.
    pub fn check_install(
        &self,
        game: &GameId,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Option<CheckedInstall>, InstallError> {
        let inner = &self.inner;
        let _held = Held::take(inner, game)?;
        let local = FsPath::game(game).child(tree::LOCAL);
        match inner.kind(&local)? {
            Some(Kind::Dir) => {}
            // Where it leads nobody recorded anything.
            Some(Kind::Link) => return Ok(None),
            None | Some(_) => return Err(InstallError::NotInstalled { path: inner.shown(&local) }),
        }
        let Some(record) = record::read(inner, &local)? else { return Ok(None) };
        let live = tree::read(inner, &local)?;
        let mut out = CheckedInstall { version: record.version, bytes: 0, faults: BTreeMap::new() };
        for (path, was) in &record.files {
            if was.mtime_ns.is_none() {
                // The player's own from the beginning.
                continue;
            }
            let stamp = live.files.get(path);
            let now = match stamp {
                Some(stamp) => {
                    out.bytes += stamp.size;
                    Some(carry::hash(inner, &local.beneath(path), stamp, keep_going)?)
                }
                None => None,
            };
            let is_untouched = stamp.is_some_and(|stamp| was.is_dated_as(stamp));
            if let Some(fault) = fault(&was.known(), now.as_ref(), is_untouched) {
                out.faults.insert(path.clone(), Finding { fault, size: was.size, seen: stamp.copied() });
            }
        }
        Ok(Some(out))
    }

    /// Begins to put files of an install back: an empty folder to unpack them into.
    ///
    /// # Errors
    /// As `begin_install`; `NotInstalled`.
    pub fn begin_mend(&self, game: &GameId) -> Result<Staging, InstallError> {
        let (inner, held, log, is_here) = self.clear_way(game)?;
        begin::is_downloaded(&inner, game)?;
        let root = FsPath::game(game);
        if !is_here {
            return Err(InstallError::NotInstalled { path: inner.shown(&root.child(tree::LOCAL)) });
        }
        let is_unsound = AtomicBool::new(false);
        let staging = Staging { inner, _held: held, game: game.clone(), is_update: false, is_unsound };
        staging.begin(log, Intent::Installing)?;
        Ok(staging)
    }
}

impl Staging {
    /// Puts files that were unpacked into the places of those that are missing, damaged or changed, and ends the transaction.
    /// Whatever lies there is kept beside.
    ///
    /// # Errors
    /// `NotAsUnpacked` for one that is not what was installed; `InTheWay` for anything but a file in its place; `Changed`,
    /// which is retryable, for a file that is another than was found, or came since; the disk's. What was put back before
    /// stays, and the rest is as it was.
    pub fn mend(
        self,
        unpacked: &BTreeMap<RelPath, Known>,
        faults: &BTreeMap<RelPath, Finding>,
    ) -> Result<Mended, InstallError> {
        match self.put_back(unpacked, faults) {
            Ok(mended) => {
                self.undo()?;
                Ok(mended)
            }
            Err(error) => Err(self.given_up(error)),
        }
    }

    fn put_back(
        &self,
        unpacked: &BTreeMap<RelPath, Known>,
        faults: &BTreeMap<RelPath, Finding>,
    ) -> Result<Mended, InstallError> {
        let inner = &*self.inner;
        let local = self.local();
        let staged = tree::read(inner, &self.folder())?;
        let live = tree::read(inner, &local)?;
        let Some(mut record) = record::read(inner, &local)? else {
            return Err(DiskError::Changed { path: inner.shown(&local) }.into());
        };
        let changed =
            |path: &RelPath| InstallError::from(DiskError::Changed { path: inner.shown(&local.beneath(path)) });
        for (path, found) in faults {
            let differs =
                |reason| InstallError::NotAsUnpacked { path: inner.shown(&self.folder().beneath(path)), reason };
            let stamp = staged.files.get(path).ok_or_else(|| differs("it is not in what is downloaded now"))?;
            let was = record.files.get(path).map(InstalledFile::known);
            if unpacked.get(path).copied() != was || was.is_none_or(|was| was.size != stamp.size) {
                return Err(differs("another version is downloaded than the one that is installed"));
            }
            match inner.kind(&local.beneath(path))? {
                None | Some(Kind::File) => {}
                Some(_) => {
                    let what = "something that is no file";
                    return Err(DiskError::InTheWay { path: inner.shown(&local.beneath(path)), what }.into());
                }
            }
            // It was unpacked for minutes, and what came meanwhile nobody looked at.
            if live.files.get(path) != found.seen.as_ref() {
                return Err(changed(path));
            }
        }
        let there = faults.iter().filter_map(|(path, found)| Some((path, found.seen?)));
        let aside = set_aside(there.clone().map(|(path, _)| path), live.files.keys().chain(record.files.keys()));
        let (mut dirty, mut linked) = (BTreeSet::new(), BTreeSet::new());
        for (path, to) in &aside {
            // A second name, so that at no moment there is none.
            if self.bring_within(&local.beneath(path), &local.beneath(to), &mut dirty)? {
                linked.insert(path);
            }
        }
        sync_dirs(inner, &dirty)?;
        let mut dirty = BTreeSet::new();
        for (path, found) in faults {
            if let Some(folder) = path.parent() {
                super::place::make_folder(inner, &local, &folder, &mut dirty)?;
            }
            let (from, to) = (self.folder().beneath(path), local.beneath(path));
            match found.seen {
                None if !self.put_where_nothing_is(&from, &to)? => return Err(changed(path)),
                None => {}
                Some(seen) => {
                    let is_it = |now: &ExactStamp| {
                        if linked.contains(path) { now.is_but_for_names(&seen) } else { *now == seen }
                    };
                    if !look(inner, &to)?.is_some_and(|now| is_it(&now)) {
                        return Err(changed(path));
                    }
                    inner.fs.rename(&from, &to).map_err(|e| inner.io("putting back", &to, e))?;
                }
            }
            dirty.insert(to.parent().unwrap_or_else(FsPath::root));
            // Its names changed, and with them what tells that nobody touched it.
            let (put, staged) = (look(inner, &to)?, staged.files.get(path));
            if let (Some(put), Some(staged), Some(file)) = (put, staged, record.files.get_mut(path))
                && put.is_but_for_names(staged)
            {
                *file = InstalledFile::new(&file.known(), Some(&put));
            }
        }
        sync_dirs(inner, &dirty)?;
        record::write(inner, &local, &record)?;
        Ok(Mended { files: faults.len() as u64, kept: aside.into_values().collect() })
    }

    /// Moves a file to a place where nothing may be; false when something is there by now.
    fn put_where_nothing_is(&self, from: &FsPath, to: &FsPath) -> Result<bool, DiskError> {
        let inner = &*self.inner;
        match inner.fs.hard_link(from, to) {
            // Unlike a rename this never takes the place of what came a moment ago.
            Ok(()) => inner.fs.remove_file(from).map_err(|e| inner.io("putting back", to, e))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(_) if inner.kind(to)?.is_some() => return Ok(false),
            Err(_) => inner.fs.rename(from, to).map_err(|e| inner.io("putting back", to, e))?,
        }
        Ok(true)
    }
}

fn look(inner: &Inner, at: &FsPath) -> Result<Option<ExactStamp>, DiskError> {
    let meta = inner.fs.stat(at).map_err(|e| inner.io("looking at", at, e))?;
    Ok(meta.filter(|meta| meta.kind == Kind::File).map(|meta| ExactStamp::of(&meta)))
}
