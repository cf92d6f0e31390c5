//! Files of a payload that is no archive, put into a staging folder as they are.
//!
//! They are shared with the room from where they lie, so what a player does to an installed one must never reach them: they
//! share their bytes copy-on-write where the file system can, and are copied elsewhere. Never another name of one of them. Of
//! an update, a file that the install before has already gets another name there: it goes from the old one with the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bonfire_engine::installs::Known;
use bonfire_proto::{Digest, RelPath};

use super::carry::{PIECE, hash};
use super::record::{self, InstalledFile};
use super::stamp::ExactStamp;
use super::{InstallError, Staging};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind, OpenMode, read_full_at, write_all_at};
use crate::games::Inner;
use crate::hash::FileStamp;
use crate::sweep::sync_dirs;

/// A file of the payload that is to lie in the install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placing {
    /// Its path beneath the game root, and beneath the install.
    pub path: RelPath,
    /// What it was when it was listed: it must be that still.
    pub stamp: FileStamp,
    /// Its content, when that is known of a file with this stamp.
    pub blake3: Option<Digest>,
}

impl Staging {
    /// Puts files of the payload into the staging folder, durably. `keep_going` is asked with the bytes placed since it was
    /// last asked. What it returns is what lies there.
    ///
    /// # Errors
    /// `Changed` for a file that is no longer what was listed; `Cancelled`; the disk's.
    pub fn place(
        &self,
        files: &[Placing],
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<BTreeMap<RelPath, Known>, InstallError> {
        let inner = &*self.inner;
        let (mut out, mut dirty, mut same) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        let before = if self.is_update { record::read(inner, &self.local())?.map(|r| r.files) } else { None };
        let all_at_once = files.len() >= inner.tuning.bulk_sync_from;
        for file in files {
            if let Some(folder) = file.path.parent() {
                self.make_folder(&folder, &mut dirty)?;
            }
            let to = self.folder().beneath(&file.path);
            dirty.insert(to.parent().unwrap_or_else(FsPath::root));
            let was = before.as_ref().and_then(|files| files.get(&file.path));
            let known = match self.take_over(file, was, &to, !all_at_once, keep_going)? {
                Some(known) => {
                    same.insert(&file.path);
                    known
                }
                None => self.place_one(file, &to, !all_at_once, keep_going)?,
            };
            out.insert(file.path.clone(), known);
        }
        let folder = self.folder();
        if all_at_once && inner.fs.sync_everything(&folder).map_err(|e| inner.io("syncing", &folder, e))? {
            return Ok(out);
        }
        if all_at_once {
            for file in files {
                let at = folder.beneath(&file.path);
                // What is the install's still is not opened to be written.
                let synced = match same.contains(&file.path) {
                    true => inner.fs.open_read(&at).and_then(|file| file.sync()),
                    false => inner.fs.open_write(&at, OpenMode::Existing).and_then(|file| file.sync()),
                };
                synced.map_err(|e| inner.io("syncing", &at, e))?;
            }
        }
        sync_dirs(inner, &dirty)?;
        Ok(out)
    }

    /// Gives a file of the install before another name in the staging folder, when it is what the payload has. `None` when it
    /// is not, or has to be placed for another reason.
    fn take_over(
        &self,
        file: &Placing,
        was: Option<&InstalledFile>,
        to: &FsPath,
        syncs: bool,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Option<Known>, InstallError> {
        let inner = &*self.inner;
        let wanted = file.blake3.map(|blake3| Known { size: file.stamp.size, blake3 });
        let Some((was, wanted)) = was.zip(wanted).filter(|(was, wanted)| was.known() == *wanted) else {
            return Ok(None);
        };
        let (payload, from) = (FsPath::game(&self.game).beneath(&file.path), self.local().beneath(&file.path));
        let look = |at: &FsPath| {
            let found = inner.fs.stat(at).map_err(|e| inner.io("looking at", at, e))?;
            Ok::<_, DiskError>(found.filter(|meta| meta.kind == Kind::File))
        };
        let is_listed = look(&payload)?.is_some_and(|meta| FileStamp::of(&meta) == file.stamp);
        let Some(stamp) = look(&from)?.map(|meta| ExactStamp::of(&meta)).filter(|s| is_listed && s.size == wanted.size)
        else {
            return Ok(None);
        };
        if !was.is(&stamp) {
            match hash(inner, &from, &stamp, keep_going) {
                Ok(known) if known == wanted => {}
                // It is the player's, or becomes so at this moment.
                Ok(_) | Err(InstallError::Disk(DiskError::Changed { .. })) => return Ok(None),
                Err(error) => return Err(error),
            }
        } else if !keep_going(wanted.size) {
            return Err(InstallError::Cancelled);
        }
        if inner.fs.hard_link(&from, to).is_err() {
            // No hard links here, or not of this file. What else is wrong meets the copy, too.
            return Ok(None);
        }
        if !look(to)?.is_some_and(|meta| stamp.is_but_for_names(&ExactStamp::of(&meta))) {
            inner.fs.remove_file(to).map_err(|e| inner.io("making room at", to, e))?;
            return Ok(None);
        }
        if syncs {
            let synced = inner.fs.open_read(to).and_then(|file| file.sync());
            synced.map_err(|e| inner.io("syncing", to, e))?;
        }
        Ok(Some(wanted))
    }

    fn place_one(
        &self,
        file: &Placing,
        to: &FsPath,
        syncs: bool,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<Known, InstallError> {
        let inner = &*self.inner;
        let from = FsPath::game(&self.game).beneath(&file.path);
        let changed = || InstallError::Disk(DiskError::Changed { path: inner.shown(&from) });
        let source = inner.fs.open_read(&from).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput => changed(),
            _ => inner.io("opening", &from, e).into(),
        })?;
        let is_same = || {
            Ok::<_, DiskError>(
                FileStamp::of(&source.stat().map_err(|e| inner.io("looking at", &from, e))?) == file.stamp,
            )
        };
        if !is_same()? {
            return Err(changed());
        }
        let is_cloned = match inner.fs.clone_file(&from, to) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::Unsupported => false,
            Err(e) => return Err(inner.io("placing", to, e).into()),
        };
        let mode = if is_cloned { OpenMode::Existing } else { OpenMode::New };
        let target = inner.fs.open_write(to, mode).map_err(|e| inner.io("making", to, e))?;
        let mut known = file.blake3.filter(|_| is_cloned).map(|blake3| Known { size: file.stamp.size, blake3 });
        let mut head = vec![0; HEAD.min(usize::try_from(file.stamp.size).unwrap_or(HEAD))];
        let len = read_full_at(&*source, &mut head, 0).map_err(|e| inner.io("reading", &from, e))?;
        if known.is_none() {
            let (mut hasher, mut buf, mut at) = (blake3::Hasher::new(), vec![0; PIECE], 0u64);
            loop {
                let n = read_full_at(&*source, &mut buf, at).map_err(|e| inner.io("reading", &from, e))?;
                if n == 0 {
                    break;
                }
                hasher.update(&buf[..n]);
                if !is_cloned {
                    write_all_at(&*target, &buf[..n], at).map_err(|e| inner.io("writing", to, e))?;
                }
                at += n as u64;
                if !keep_going(n as u64) {
                    return Err(InstallError::Cancelled);
                }
            }
            known = Some(Known { size: at, blake3: Digest(*hasher.finalize().as_bytes()) });
        } else if !keep_going(file.stamp.size) {
            return Err(InstallError::Cancelled);
        }
        if source.is_executable().map_err(|e| inner.io("looking at", &from, e))? || is_program(&head[..len]) {
            target.set_executable().map_err(|e| inner.io("writing", to, e))?;
        }
        if syncs {
            target.sync().map_err(|e| inner.io("syncing", to, e))?;
        }
        match known {
            // What was read is one version only if it was not written to meanwhile.
            Some(known) if known.size == file.stamp.size && is_same()? => Ok(known),
            _ => Err(changed()),
        }
    }

    /// Makes a folder of the staging folder, and those above it.
    pub(super) fn make_folder(&self, folder: &RelPath, dirty: &mut BTreeSet<FsPath>) -> Result<(), DiskError> {
        make_folder(&self.inner, &self.folder(), folder, dirty)
    }
}

/// Makes a folder beneath `top`, and those above it.
pub(super) fn make_folder(
    inner: &Inner,
    top: &FsPath,
    folder: &RelPath,
    dirty: &mut BTreeSet<FsPath>,
) -> Result<(), DiskError> {
    let mut above: Vec<RelPath> = std::iter::successors(Some(folder.clone()), RelPath::parent).collect();
    above.reverse();
    for folder in above {
        let at = top.beneath(&folder);
        match inner.kind(&at)? {
            Some(Kind::Dir) => continue,
            // The new version has a file where only an empty folder was.
            Some(_) => return Ok(()),
            None => inner.fs.create_dir(&at).map_err(|e| inner.io("making", &at, e))?,
        }
        dirty.insert(at.parent().unwrap_or_else(FsPath::root));
        dirty.insert(at);
    }
    Ok(())
}

/// Bytes by which a program is known.
const HEAD: usize = 8;

/// Whether a file that begins so is a program of Windows, Linux or macOS, or a script that names what runs it.
#[must_use]
pub fn is_program(head: &[u8]) -> bool {
    const MAGICS: &[&[u8]] =
        &[b"MZ", b"\x7fELF", b"#!", b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"];
    MAGICS.iter().any(|magic| head.starts_with(magic))
}
