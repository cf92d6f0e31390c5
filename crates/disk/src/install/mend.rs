//! Holding an install against its record, and putting back what is missing or damaged, one file at a time.
//!
//! A repair is recorded as an install that found one there: whatever cuts it off, its staging folder goes and what is in
//! `local/` stays. Each file is the old one or the new one at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicBool;

use bonfire_engine::installs::{Fault, Known, fault, set_aside};
use bonfire_engine::recovery::Intent;
use bonfire_proto::{GameId, RelPath};

use super::record::{self, InstalledFile};
use super::{InstallError, Staging, begin, carry, tree};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held};
use crate::hash::FileStamp;
use crate::sweep::sync_dirs;

/// What an install is found to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedInstall {
    /// The version that was installed.
    pub version: String,
    /// Bytes that were read.
    pub bytes: u64,
    /// The files that are not as they were installed.
    pub faults: BTreeMap<RelPath, Fault>,
}

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Files that were put back.
    pub files: u64,
    /// Where the changed ones among them are now.
    pub kept: Vec<RelPath>,
}

impl GamesFolder {
    /// Reads an install and holds it against what was installed. `None` when nothing is installed, or nobody recorded what.
    /// `keep_going` is asked as in a commit.
    ///
    /// # Errors
    /// `Changed` for a file that is written to meanwhile; `Cancelled`; `Busy`; the disk's.
    pub fn check_install(
        &self,
        game: &GameId,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Option<CheckedInstall>, InstallError> {
        let inner = &self.inner;
        let _held = Held::take(inner, game)?;
        let local = FsPath::game(game).child(tree::LOCAL);
        if inner.kind(&local)? != Some(Kind::Dir) {
            return Ok(None);
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
            let is_untouched = stamp.is_some_and(|stamp| was.is(stamp));
            if let Some(fault) = fault(&was.known(), now.as_ref(), is_untouched) {
                out.faults.insert(path.clone(), fault);
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
    /// Changed ones are kept beside.
    ///
    /// # Errors
    /// `NotAsUnpacked` for one that is not what was installed; `InTheWay` for anything but a file in its place; the disk's.
    /// What was put back before stays, and the rest is as it was.
    pub fn mend(
        self,
        unpacked: &BTreeMap<RelPath, Known>,
        faults: &BTreeMap<RelPath, Fault>,
    ) -> Result<Mended, InstallError> {
        let mended = self.put_back(unpacked, faults);
        let ended = self.undo();
        let mended = mended?;
        ended?;
        Ok(mended)
    }

    fn put_back(
        &self,
        unpacked: &BTreeMap<RelPath, Known>,
        faults: &BTreeMap<RelPath, Fault>,
    ) -> Result<Mended, InstallError> {
        let inner = &*self.inner;
        let local = self.local();
        let staged = tree::read(inner, &self.folder())?;
        let live = tree::read(inner, &local)?;
        let Some(mut record) = record::read(inner, &local)? else {
            return Err(DiskError::Changed { path: inner.shown(&local) }.into());
        };
        let mut stamps = Vec::new();
        for path in faults.keys() {
            let differs =
                |reason| InstallError::NotAsUnpacked { path: inner.shown(&self.folder().beneath(path)), reason };
            let stamp = staged.files.get(path).ok_or_else(|| differs("it is not in what is downloaded now"))?;
            let was = record.files.get(path).map(InstalledFile::known);
            if unpacked.get(path).copied() != was || was.is_none_or(|was| was.size != stamp.size) {
                return Err(differs("another version is downloaded than the one that is installed"));
            }
            stamps.push((path.clone(), *stamp));
            match inner.kind(&local.beneath(path))? {
                None | Some(Kind::File) => {}
                Some(_) => {
                    let what = "something that is no file";
                    return Err(DiskError::InTheWay { path: inner.shown(&local.beneath(path)), what }.into());
                }
            }
        }
        let changed = faults.iter().filter(|(_, fault)| **fault == Fault::Changed).map(|(path, _)| path);
        let aside = set_aside(changed, live.files.keys().chain(record.files.keys()));
        let mut dirty = BTreeSet::new();
        for (path, to) in &aside {
            // A second name, so that at no moment there is none.
            self.bring_within(&local.beneath(path), &local.beneath(to), &mut dirty)?;
        }
        sync_dirs(inner, &dirty)?;
        let mut dirty = BTreeSet::new();
        for (path, stamp) in &stamps {
            if let Some(folder) = path.parent() {
                super::place::make_folder(inner, &local, &folder, &mut dirty)?;
            }
            let to = local.beneath(path);
            inner.fs.rename(&self.folder().beneath(path), &to).map_err(|e| inner.io("putting back", &to, e))?;
            dirty.insert(to.parent().unwrap_or_else(FsPath::root));
            note(&mut record.files, path, stamp);
        }
        sync_dirs(inner, &dirty)?;
        record::write(inner, &local, &record)?;
        Ok(Mended { files: stamps.len() as u64, kept: aside.into_values().collect() })
    }
}

fn note(files: &mut BTreeMap<RelPath, InstalledFile>, path: &RelPath, stamp: &FileStamp) {
    if let Some(file) = files.get_mut(path) {
        file.mtime_ns = Some(stamp.mtime_ns);
    }
}
