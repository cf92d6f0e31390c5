//! A tree of installed files: what lies in it, and taking it away.
//!
//! Owns the marker that says whose a tree beside `local/` is, and that one which is being deleted may be a part only.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use bonfire_engine::recovery::installs::{LocalState, Observed, ScratchState};
use bonfire_proto::limits::{MANIFEST_FILES_MAX, PATH_DEPTH_MAX};
use bonfire_proto::{GameId, RelPath};

use super::stamp::ExactStamp;
use super::{InstallError, record};
use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, FsPath, Kind};
use crate::games::Inner;

/// The install.
pub(crate) const LOCAL: &str = "local";
/// The install that is being unpacked.
pub(super) const STAGING: &str = ".local.installing";
/// The install before, while another takes its place or it is deleted.
pub(super) const BACKUP: &str = ".local.backup";
/// Says that a folder beside `local/` is a launcher's.
pub(super) const MARKER: &str = ".lanspread_owned";

const MARKED: &[u8] = b"bonfire\n";
const DOOMED: &[u8] = b"bonfire: this folder is being deleted\n";
/// A marker is a line; a longer one is somebody else's, and a marker all the same.
const MARKER_LEN_MAX: u64 = 4096;

/// What lies in a tree, but for its record and marker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) files: BTreeMap<RelPath, ExactStamp>,
    pub(super) folders: BTreeSet<RelPath>,
    /// Links, special files, names that no `RelPath` can hold, as they are shown.
    pub(super) odd: BTreeSet<String>,
}

/// Reads a tree.
pub(super) fn read(inner: &Inner, top: &FsPath) -> Result<Tree, DiskError> {
    let mut tree = Tree::default();
    let mut todo = vec![(None::<RelPath>, top.clone())];
    while let Some((rel, at)) = todo.pop() {
        let gone = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DiskError::Changed { path: inner.shown(&at) },
            _ => inner.io("listing", &at, e),
        };
        for entry in inner.fs.list(&at).map_err(gone)? {
            let shown = |name: &str| rel.as_ref().map_or_else(|| name.to_owned(), |dir| format!("{dir}/{name}"));
            let name = match entry.name {
                EntryName::Utf8(name) => name,
                EntryName::Unrepresentable(name) => {
                    tree.odd.insert(shown(&name));
                    continue;
                }
            };
            if rel.is_none() && matches!(&name[..], MARKER | record::NAME | record::TMP) {
                continue;
            }
            let path = rel.as_ref().map_or_else(|| RelPath::new(name.as_str()), |dir| dir.join(&name));
            match (path, entry.kind) {
                (Ok(path), Kind::File) => {
                    let at = at.child(&name);
                    let meta = inner.fs.stat(&at).map_err(|e| inner.io("reading", &at, e))?;
                    let Some(meta) = meta.filter(|m| m.kind == Kind::File) else {
                        return Err(DiskError::Changed { path: inner.shown(&at) });
                    };
                    tree.files.insert(path, ExactStamp::of(&meta));
                    if tree.files.len() > MANIFEST_FILES_MAX {
                        let limit = MANIFEST_FILES_MAX as u64;
                        return Err(DiskError::TooMuch { path: inner.shown(top), what: "files", limit });
                    }
                }
                (Ok(path), Kind::Dir) if path.parts().count() < PATH_DEPTH_MAX => {
                    todo.push((Some(path.clone()), at.child(&name)));
                    tree.folders.insert(path);
                }
                (_, Kind::File | Kind::Dir | Kind::Link | Kind::Other) => {
                    tree.odd.insert(shown(&name));
                }
            }
        }
    }
    Ok(tree)
}

/// Whether everything in a tree can be deleted, as far as a look tells: half of one would be left otherwise, and nothing
/// else could be done with its game.
///
/// # Errors
/// `CannotDelete` with the first that cannot; the disk's.
pub(super) fn can_go(inner: &Inner, top: &FsPath) -> Result<(), InstallError> {
    let stat = |at: &FsPath| inner.fs.stat(at).map_err(|e| inner.io("looking at", at, e));
    let device = stat(top)?.map(|meta| meta.device);
    let (mut first, mut count) = (None, 0u64);
    let mut cannot = |path: PathBuf, reason| {
        count += 1;
        first.get_or_insert((path, reason));
    };
    let mut todo = vec![top.clone()];
    while let Some(at) = todo.pop() {
        match inner.fs.names_may_change(&at) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                cannot(inner.shown(&at), "what is in this folder may not be removed");
            }
            Err(e) => return Err(inner.io("looking at", &at, e).into()),
        }
        for entry in inner.fs.list(&at).map_err(|e| inner.io("listing", &at, e))? {
            match entry.name {
                EntryName::Unrepresentable(name) => cannot(inner.shown(&at).join(name), "its name is not text"),
                EntryName::Utf8(name) if entry.kind == Kind::Dir => {
                    let child = at.child(&name);
                    if stat(&child)?.map(|meta| meta.device) == device {
                        todo.push(child);
                    } else {
                        cannot(inner.shown(&child), "another file system is mounted there");
                    }
                }
                EntryName::Utf8(_) => {}
            }
        }
    }
    match first {
        Some((path, reason)) => Err(InstallError::CannotDelete { path, count, reason }),
        None => Ok(()),
    }
}

/// Makes a folder that says whose it is, durably but for its own name.
pub(super) fn make_marked(inner: &Inner, top: &FsPath) -> Result<(), DiskError> {
    inner.fs.create_dir(top).map_err(|e| inner.io("making", top, e))?;
    mark(inner, top, MARKED)
}

/// Takes the marker away, durably: the folder is about to become the install.
pub(super) fn unmark(inner: &Inner, top: &FsPath) -> Result<(), DiskError> {
    let marker = top.child(MARKER);
    atomic::remove_if_there(&*inner.fs, &marker).map_err(|e| inner.io("removing", &marker, e))?;
    inner.sync_dir(top)
}

fn mark(inner: &Inner, top: &FsPath, text: &[u8]) -> Result<(), DiskError> {
    let marker = top.child(MARKER);
    atomic::write_synced(&*inner.fs, &marker, text).map_err(|e| inner.io("writing", &marker, e))?;
    inner.sync_dir(top)
}

/// Deletes a tree, of which it is durable that it may be a part only before the first file goes. Durable on return but for
/// the tree's own name. What is not there is gone already.
pub(super) fn sweep(inner: &Inner, top: &FsPath) -> Result<(), DiskError> {
    if inner.kind(top)?.is_none() {
        return Ok(());
    }
    if state(inner, top)? != ScratchState::Doomed {
        mark(inner, top, DOOMED)?;
    }
    let mut todo = vec![(top.clone(), false)];
    while let Some((at, is_listed)) = todo.pop() {
        let removing = |path: &FsPath, e| inner.io("removing", path, e);
        if is_listed {
            // Beneath what is doomed nothing has to be durable: a crash has it swept again.
            inner.fs.remove_dir(&at).map_err(|e| removing(&at, e))?;
            continue;
        }
        if at != *top {
            todo.push((at.clone(), true));
        }
        for entry in inner.fs.list(&at).map_err(|e| inner.io("listing", &at, e))? {
            let EntryName::Utf8(name) = entry.name else {
                let what = "a name that is not text";
                return Err(DiskError::InTheWay { path: inner.shown(&at), what });
            };
            let child = at.child(&name);
            match entry.kind {
                Kind::Dir => todo.push((child, false)),
                _ if at == *top && name == MARKER => {}
                _ => {
                    atomic::remove_if_there(&*inner.fs, &child).map_err(|e| removing(&child, e))?;
                }
            }
        }
    }
    // The marker last: a part without it would pass for a whole. Everything else is gone durably before it is.
    inner.sync_dir(top)?;
    let marker = top.child(MARKER);
    atomic::remove_if_there(&*inner.fs, &marker).map_err(|e| inner.io("removing", &marker, e))?;
    inner.fs.remove_dir(top).map_err(|e| inner.io("removing", top, e))
}

/// What a folder beside `local/` is.
pub(super) fn state(inner: &Inner, top: &FsPath) -> Result<ScratchState, DiskError> {
    match inner.kind(top)? {
        None => return Ok(ScratchState::Absent),
        Some(Kind::Dir) => {}
        Some(_) => return Ok(ScratchState::Other),
    }
    let marker = top.child(MARKER);
    match inner.kind(&marker)? {
        None => Ok(ScratchState::Unmarked),
        Some(Kind::File) => match atomic::read_small(&*inner.fs, &marker, MARKER_LEN_MAX) {
            Ok(Some(text)) if text == DOOMED => Ok(ScratchState::Doomed),
            Ok(_) => Ok(ScratchState::Marked),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(ScratchState::Marked),
            Err(e) => Err(inner.io("reading", &marker, e)),
        },
        Some(_) => Ok(ScratchState::Other),
    }
}

/// What an install transaction finds in a game root.
pub(super) fn observe(inner: &Inner, game: &GameId) -> Result<Observed, DiskError> {
    let root = FsPath::game(game);
    let local = match inner.kind(&root.child(LOCAL))? {
        None => LocalState::Absent,
        // Another launcher's mark does not matter here, and neither does one that is no file.
        Some(Kind::Dir) if state(inner, &root.child(LOCAL))? == ScratchState::Doomed => LocalState::Doomed,
        Some(Kind::Dir) => LocalState::Folder,
        Some(_) => LocalState::Other,
    };
    Ok(Observed { local, staging: state(inner, &root.child(STAGING))?, backup: state(inner, &root.child(BACKUP))? })
}
