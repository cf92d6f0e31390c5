//! Pictures of snapshots in the data folder: `sidecars/SNAPSHOT/HASH.EXTENSION`.
//!
//! A name says which snapshot a picture belongs to and what its bytes are, so the names alone are the list of what is here. A
//! picture is there whole or not at all, and read only after a comparison with its hash. Decides nothing: which are kept is
//! the caller's. No save reads or needs anything in here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_engine::ErrorClass;
use bonfire_engine::sidecars::work::Sidecar;
use bonfire_proto::limits::PICTURE_LEN_MAX;
use bonfire_proto::picture::PictureError;
use bonfire_proto::{PictureRef, SnapshotId};

use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, Fs, FsPath, Kind};

const FOLDER: &str = "sidecars";
/// A picture that has no name yet, in the folder of its snapshot.
const NEW: &str = ".new";
/// A picture that is handed to a person, while it is written, in the folder that it goes to.
const HANDED: &str = ".bonfire.picture";

/// Something with a picture that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What lies there, or was given, is not the picture that it should be.
    #[error("{path} is not the picture that its name says", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file of a person's that cannot be attached.
    #[error("{path} cannot be attached: {why}", path = .path.display())]
    NoPicture {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: PictureError,
    },
    /// Something lies already where a picture is to be handed out.
    #[error("{path} is there already", path = .path.display())]
    There {
        /// The file.
        path: PathBuf,
    },
    /// A sync failed earlier, so nothing more is promised until the next start.
    #[error("the disk failed to keep a picture in {path} earlier", path = .path.display())]
    Unsound {
        /// The data folder.
        path: PathBuf,
    },
}

impl SidecarError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Disk(e) => e.class(),
            Self::Damaged { .. } => ErrorClass::Corruption,
            Self::NoPicture { .. } | Self::There { .. } => ErrorClass::Refused,
            Self::Unsound { .. } => ErrorClass::Environment,
        }
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Disk(e) if e.is_retryable())
    }

    /// Stable word for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disk(e) => e.code(),
            Self::Damaged { .. } => "damaged",
            Self::NoPicture { why: PictureError::Format, .. } => "no_picture_format",
            Self::NoPicture { why: PictureError::TooLong, .. } => "picture_too_large",
            Self::There { .. } => "already_here",
            Self::Unsound { .. } => "unsound",
        }
    }
}

/// The pictures in a data folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct Sidecars(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    /// Held for every change, so that none of two gives the other's folder away. Whether a sync failed.
    unsound: Mutex<bool>,
}

impl Sidecars {
    /// Those in a data folder, which `root` is for people. Looks at nothing yet.
    #[must_use]
    pub fn new(fs: Arc<dyn Fs>, root: PathBuf) -> Self {
        Self(Arc::new(Inner { fs, root, unsound: Mutex::new(false) }))
    }

    /// Sweeps what a killed process left half-done, and says what is here, sorted. To be called at start.
    ///
    /// # Errors
    /// The disk's: never an incomplete list.
    pub fn sweep(&self) -> Result<Vec<Sidecar>, SidecarError> {
        self.0.sweep()
    }

    /// Bytes that may still be written where pictures lie.
    ///
    /// # Errors
    /// The disk's.
    pub fn free_space(&self) -> Result<u64, SidecarError> {
        self.0.fs.free_space().map_err(|e| self.0.io("looking for room in", &FsPath::root(), e))
    }

    /// Keeps a picture, durably.
    ///
    /// # Errors
    /// `Damaged` when the bytes are not that picture; the disk's. It is not here then, or whole as it was.
    pub fn put(&self, sidecar: &Sidecar, bytes: &[u8]) -> Result<(), SidecarError> {
        let inner = &*self.0;
        let (folder, to) = (folder_of(&sidecar.snapshot), path_of(sidecar));
        if !sidecar.picture.is(bytes) {
            return Err(SidecarError::Damaged { path: inner.shown(&to) });
        }
        let mut unsound = inner.change()?;
        let all = FsPath::root().child(FOLDER);
        inner.make_dir(&all)?;
        inner.make_dir(&folder)?;
        let scratch = folder.child(NEW);
        let written = atomic::write_synced(&*inner.fs, &scratch, bytes).map_err(|e| inner.io("writing", &scratch, e));
        let named = written.and_then(|()| inner.fs.rename(&scratch, &to).map_err(|e| inner.io("naming", &to, e)));
        if let Err(error) = named {
            // What cannot be removed now is swept at the next start.
            let _ = atomic::remove_if_there(&*inner.fs, &scratch);
            let _ = inner.fs.remove_dir(&folder);
            return Err(error);
        }
        for dir in [&folder, &all, &FsPath::root()] {
            inner.sync(dir, &mut unsound)?;
        }
        Ok(())
    }

    /// The bytes of a picture, checked; `None` when it is not here.
    ///
    /// # Errors
    /// `Damaged`; the disk's.
    pub fn read(&self, sidecar: &Sidecar) -> Result<Option<Vec<u8>>, SidecarError> {
        let (inner, path) = (&*self.0, path_of(sidecar));
        match atomic::read_small(&*inner.fs, &path, u64::from(PICTURE_LEN_MAX)) {
            Ok(Some(bytes)) if sidecar.picture.is(&bytes) => Ok(Some(bytes)),
            Ok(None) => Ok(None),
            Ok(Some(_)) => Err(SidecarError::Damaged { path: inner.shown(&path) }),
            // Longer than any picture, or something that is no file.
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                Err(SidecarError::Damaged { path: inner.shown(&path) })
            }
            Err(e) => Err(inner.io("reading", &path, e)),
        }
    }

    /// Lets go of a picture, durably. Returns whether it was here.
    ///
    /// # Errors
    /// The disk's.
    pub fn remove(&self, sidecar: &Sidecar) -> Result<bool, SidecarError> {
        let (inner, path) = (&*self.0, path_of(sidecar));
        let mut unsound = inner.change()?;
        let was_here = atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
        if was_here {
            let folder = folder_of(&sidecar.snapshot);
            inner.sync(&folder, &mut unsound)?;
            inner.remove_empty(&folder, &mut unsound)?;
        }
        Ok(was_here)
    }
}

/// Reads a file of a person's that is to be attached: its name in a folder, and the folder for people.
///
/// # Errors
/// `NoPicture`; the disk's, with `NotFound` when it is not there.
pub fn read_given(fs: &dyn Fs, folder: &Path, name: &str) -> Result<(PictureRef, Vec<u8>), SidecarError> {
    let (at, path) = (FsPath::root().child(name), folder.join(name));
    let refused = |why| SidecarError::NoPicture { path: path.clone(), why };
    match atomic::read_small(fs, &at, u64::from(PICTURE_LEN_MAX)) {
        Ok(Some(bytes)) => Ok((PictureRef::of(&bytes).map_err(refused)?, bytes)),
        Ok(None) => Err(DiskError::NotFound { what: "a picture", path: path.clone() }.into()),
        Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(refused(PictureError::TooLong)),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => Err(refused(PictureError::Format)),
        Err(source) => Err(DiskError::Io { doing: "reading", path: path.clone(), source }.into()),
    }
}

/// Writes a picture to a name in a person's folder that is not there yet. It is there whole or not at all.
///
/// # Errors
/// `There`; the disk's.
pub fn hand_out(fs: &dyn Fs, folder: &Path, name: &str, bytes: &[u8]) -> Result<(), SidecarError> {
    let (to, scratch, path) = (FsPath::root().child(name), FsPath::root().child(HANDED), folder.join(name));
    let io = |doing| {
        let path = path.clone();
        move |source| SidecarError::from(DiskError::Io { doing, path, source })
    };
    if fs.stat(&to).map_err(io("looking at"))?.is_some() {
        return Err(SidecarError::There { path: path.clone() });
    }
    let written = atomic::replace(fs, &scratch, &to, bytes).map_err(io("writing"));
    if written.is_err() {
        let _ = atomic::remove_if_there(fs, &scratch);
    }
    written
}

fn folder_of(snapshot: &SnapshotId) -> FsPath {
    FsPath::root().child(FOLDER).child(&snapshot.to_string())
}

fn path_of(sidecar: &Sidecar) -> FsPath {
    folder_of(&sidecar.snapshot).child(&sidecar.picture.file_name())
}

impl Inner {
    fn shown(&self, path: &FsPath) -> PathBuf {
        path.parts().fold(self.root.clone(), |at, part| at.join(part))
    }

    fn io(&self, doing: &'static str, path: &FsPath, source: io::Error) -> SidecarError {
        DiskError::Io { doing, path: self.shown(path), source }.into()
    }

    fn change(&self) -> Result<MutexGuard<'_, bool>, SidecarError> {
        let unsound = self.unsound.lock().unwrap_or_else(PoisonError::into_inner);
        if *unsound { Err(SidecarError::Unsound { path: self.root.clone() }) } else { Ok(unsound) }
    }

    /// A sync that failed is final: nothing that this process knows of the disk holds any more.
    fn sync(&self, dir: &FsPath, unsound: &mut bool) -> Result<(), SidecarError> {
        self.fs.sync_dir(dir).map_err(|e| {
            *unsound = true;
            self.io("syncing", dir, e)
        })
    }

    fn make_dir(&self, path: &FsPath) -> Result<(), SidecarError> {
        match self.fs.create_dir(path) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let kind = self.fs.stat(path).map_err(|e| self.io("looking at", path, e))?.map(|m| m.kind);
                if kind == Some(Kind::Dir) {
                    return Ok(());
                }
                Err(DiskError::InTheWay { path: self.shown(path), what: "something that is no folder" }.into())
            }
            Err(e) => Err(self.io("making", path, e)),
        }
    }

    /// Removes the folder of a snapshot that has no picture any more.
    fn remove_empty(&self, folder: &FsPath, unsound: &mut bool) -> Result<(), SidecarError> {
        match self.fs.remove_dir(folder) {
            Ok(()) => self.sync(&FsPath::root().child(FOLDER), unsound),
            Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(()),
            Err(e) => Err(self.io("removing", folder, e)),
        }
    }

    /// What is here, without scratch and without what cannot be a picture under a picture's name. Names that are none of ours
    /// stay as they are.
    fn sweep(&self) -> Result<Vec<Sidecar>, SidecarError> {
        let mut unsound = self.change()?;
        let all = FsPath::root().child(FOLDER);
        let mut here = Vec::new();
        if self.fs.stat(&all).map_err(|e| self.io("looking at", &all, e))?.is_none() {
            return Ok(here);
        }
        for entry in self.fs.list(&all).map_err(|e| self.io("listing", &all, e))? {
            let (EntryName::Utf8(name), Kind::Dir) = (entry.name, entry.kind) else { continue };
            let Ok(snapshot) = name.parse::<SnapshotId>() else { continue };
            let folder = folder_of(&snapshot);
            let (mut is_changed, mut is_empty) = (false, true);
            for entry in self.fs.list(&folder).map_err(|e| self.io("listing", &folder, e))? {
                is_empty = false;
                let (EntryName::Utf8(name), Kind::File) = (entry.name, entry.kind) else { continue };
                let at = folder.child(&name);
                let len = self.fs.stat(&at).map_err(|e| self.io("looking at", &at, e))?.map_or(0, |m| m.len);
                if let Some(picture) = PictureRef::of_file(&name, len) {
                    here.push(Sidecar { snapshot, picture });
                } else if name == NEW || PictureRef::of_file(&name, 1).is_some() {
                    atomic::remove_if_there(&*self.fs, &at).map_err(|e| self.io("removing", &at, e))?;
                    is_changed = true;
                }
            }
            if is_changed {
                self.sync(&folder, &mut unsound)?;
            }
            if is_changed || is_empty {
                self.remove_empty(&folder, &mut unsound)?;
            }
        }
        here.sort_unstable();
        Ok(here)
    }
}

#[cfg(test)]
mod tests;
