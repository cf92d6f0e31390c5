//! From where a save set is said to live to its roots on this machine, opened.
//!
//! Links on the way to a root are resolved first, so that a root is the folder it is and stays that one; from there on no
//! link is followed. What is not there is named apart from what cannot be looked at: only the former may be taken for an
//! empty root. Refuses places in which a capture would read itself or a file would belong to two roots.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonfire_proto::RelPath;
use bonfire_proto::rel_path::fold;

use super::conflict_copy::CopyPlace;
use super::error::{SaveError, io_error};
use super::resolve::{Resolved, resolve};
use super::roots::{Pattern, RootLabel, SaveRoot, is_conflict_copy, is_ours};
use crate::error::DiskError;
use crate::fs::{self, Fs, FsPath};
use crate::platform::NAMES_ARE_FOLDED;

/// Where a root of a save set is said to be on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredRoot {
    /// First part of its files' paths.
    pub label: RootLabel,
    /// Absolute path of its folder, or of its one file.
    pub path: PathBuf,
    /// Whether it is one file, which need not be there yet. A file that is there is one file all the same.
    pub is_file: bool,
    /// What belongs to a folder; everything when empty. A file is taken whatever is said here.
    pub include: Vec<Pattern>,
    /// What does not, all the same.
    pub ignore: Vec<Pattern>,
}

/// Why a place is none for a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The path is not absolute.
    NotAbsolute,
    /// It is the top of a file system, which has no name to lay a copy beside.
    Top,
    /// The file's name is not legal on every platform, or is one of Bonfire's own.
    Name,
    /// It is in Bonfire's data folder.
    InData,
    /// Bonfire's data folder is in it.
    HoldsData,
    /// It is in another root of the set, or is the same.
    Within(RootLabel),
    /// Another root of the set has its label.
    SameLabel,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "its path is not absolute",
            Self::Top => "it is the top of a file system",
            Self::Name => "its name is not legal on every platform",
            Self::InData => "it is in Bonfire's data folder",
            Self::HoldsData => "Bonfire's data folder is in it",
            Self::Within(other) => return write!(f, "it is in the root {}, or is the same", other.as_str()),
            Self::SameLabel => "another root has its label",
        })
    }
}

/// The roots of a save set that are there, and those that are not.
#[derive(Debug, Default)]
pub struct Opened {
    /// What is there, in the order in which it was declared. The file of a root that is one file need not be there.
    pub roots: Vec<SaveRoot>,
    /// Roots whose folder is not there. No file of theirs is, either.
    pub absent: Vec<RootLabel>,
}

/// The declared roots of a save set, as they stood when they were looked at.
#[derive(Debug)]
pub struct SavePlaces {
    places: Vec<Place>,
}

/// A root, looked at.
#[derive(Debug)]
struct Place {
    label: RootLabel,
    folder: Resolved,
    /// Name of the one file in the folder that the root is.
    file: Option<String>,
    include: Vec<Pattern>,
    ignore: Vec<Pattern>,
}

impl SavePlaces {
    /// Looks where the roots of a set are. `data` is Bonfire's data folder.
    ///
    /// # Errors
    /// `Unfit` for a place that is none for a root; `InTheWay` when something else is there; the disk's.
    pub fn look(declared: &[DeclaredRoot], data: &Path) -> Result<Self, SaveError> {
        let data = resolve(data).map_err(|e| io_error(data, "looking at", &FsPath::root(), e))?.whole();
        let mut places: Vec<Place> = Vec::new();
        for root in declared {
            let place = Place::look(root)?;
            if let Some(why) = place.clash_with_data(&data).or_else(|| place.clash_with(&places)) {
                return Err(root.unfit(why));
            }
            places.push(place);
        }
        Ok(Self { places })
    }

    /// Opens what is there. Nothing is made.
    ///
    /// # Errors
    /// The disk's: a root that is there and does not open is never taken for absent.
    pub fn open(&self) -> Result<Opened, SaveError> {
        let mut out = Opened::default();
        for place in &self.places {
            match place.open()? {
                Some(root) => out.roots.push(root),
                None => out.absent.push(place.label.clone()),
            }
        }
        Ok(out)
    }

    /// Makes the folders of all roots that are not there, durably, and opens all. For when files are to be put there.
    ///
    /// # Errors
    /// The disk's; some folders may have been made.
    pub fn create(&self) -> Result<Vec<SaveRoot>, SaveError> {
        self.places
            .iter()
            .map(|place| {
                make_folders(&place.folder)?;
                place.open()?.ok_or_else(|| place.gone())
            })
            .collect()
    }

    /// Where copies of the other side of a conflict go. A root with no folder around it has no place for one.
    ///
    /// # Errors
    /// The disk's.
    pub fn copy_places(&self) -> Result<Vec<CopyPlace>, SaveError> {
        self.places.iter().filter_map(|place| place.copy_place().transpose()).collect()
    }

    /// The folders of all roots, to be watched, whether they are there or not.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        self.places.iter().map(|place| place.folder.whole()).collect()
    }
}

impl DeclaredRoot {
    fn unfit(&self, why: Unfit) -> SaveError {
        SaveError::Unfit { label: self.label.clone(), path: self.path.clone(), why }
    }

    fn in_the_way(&self, path: &Path, what: &'static str) -> SaveError {
        DiskError::InTheWay { path: path.to_owned(), what }.into()
    }

    /// As far as the path exists, when nothing is in its way.
    fn resolve(&self, path: &Path) -> Result<Resolved, SaveError> {
        let resolved = resolve(path).map_err(|e| io_error(path, "looking at", &FsPath::root(), e))?;
        // Whatever it names may be back tomorrow: a disk that is not mounted. That is no empty folder.
        if let Some(link) = &resolved.dangling {
            return Err(self.in_the_way(link, "a link that leads nowhere"));
        }
        if !resolved.is_folder && !resolved.missing.is_empty() {
            return Err(self.in_the_way(&resolved.there, "a file"));
        }
        Ok(resolved)
    }

    /// Whether the root is one file.
    fn is_one_file(&self) -> Result<bool, SaveError> {
        // What a link in the place of the file leads to is not the save's, and is left out by a look.
        match std::fs::symlink_metadata(&self.path) {
            Ok(meta) if meta.is_symlink() => {
                Ok(self.is_file || std::fs::metadata(&self.path).is_ok_and(|m| m.is_file()))
            }
            Ok(meta) if self.is_file && meta.is_dir() => Err(self.in_the_way(&self.path, "a folder")),
            Ok(meta) => Ok(self.is_file || meta.is_file()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(self.is_file),
            // The folders above are looked at next, and say what is in the way.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Ok(self.is_file),
            Err(e) => Err(io_error(&self.path, "looking at", &FsPath::root(), e)),
        }
    }
}

impl Place {
    fn look(root: &DeclaredRoot) -> Result<Self, SaveError> {
        if !root.path.is_absolute() {
            return Err(root.unfit(Unfit::NotAbsolute));
        }
        let (label, ignore) = (root.label.clone(), root.ignore.clone());
        if root.is_one_file()? {
            let parts = (root.path.parent(), root.path.file_name().and_then(OsStr::to_str));
            let (Some(folder), Some(name)) = parts else { return Err(root.unfit(Unfit::Name)) };
            // No such name has a character that stands for others in a pattern.
            let is_legal = RelPath::new(name).is_ok() && !is_ours(name) && !is_conflict_copy(name);
            let Some(pattern) = Pattern::new(name).ok().filter(|_| is_legal) else {
                return Err(root.unfit(Unfit::Name));
            };
            let folder = root.resolve(folder)?;
            if !folder.is_folder {
                return Err(root.in_the_way(&folder.there, "a file"));
            }
            return Ok(Self { label, folder, file: Some(name.to_owned()), include: vec![pattern], ignore });
        }
        let folder = root.resolve(&root.path)?;
        if !folder.is_folder {
            return Err(root.in_the_way(&folder.there, "something that is neither file nor folder"));
        }
        let whole = folder.whole();
        if whole.parent().is_none() || whole.file_name().is_none() {
            return Err(root.unfit(Unfit::Top));
        }
        Ok(Self { label, folder, file: None, include: root.include.clone(), ignore })
    }

    /// The folder, or the one file.
    fn whole(&self) -> PathBuf {
        let folder = self.folder.whole();
        match &self.file {
            Some(name) => folder.join(name),
            None => folder,
        }
    }

    fn clash_with_data(&self, data: &Path) -> Option<Unfit> {
        let (place, data) = (comparable(&self.whole()), comparable(data));
        if place.starts_with(&data) {
            Some(Unfit::InData)
        } else if data.starts_with(&place) {
            Some(Unfit::HoldsData)
        } else {
            None
        }
    }

    fn clash_with(&self, others: &[Self]) -> Option<Unfit> {
        let mine = comparable(&self.whole());
        others.iter().find_map(|other| {
            let theirs = comparable(&other.whole());
            if other.label == self.label {
                Some(Unfit::SameLabel)
            } else if mine.starts_with(&theirs) || theirs.starts_with(&mine) {
                Some(Unfit::Within(other.label.clone()))
            } else {
                None
            }
        })
    }

    fn open(&self) -> Result<Option<SaveRoot>, SaveError> {
        let folder = self.folder.whole();
        Ok(open_folder(&folder)?.map(|fs| SaveRoot {
            label: self.label.clone(),
            folder,
            fs,
            include: self.include.clone(),
            ignore: self.ignore.clone(),
        }))
    }

    fn copy_place(&self) -> Result<Option<CopyPlace>, SaveError> {
        let whole = self.whole();
        let (Some(beside), Some(name)) = (whole.parent(), whole.file_name().and_then(OsStr::to_str)) else {
            return Err(io_error(&whole, "naming a copy of", &FsPath::root(), io::ErrorKind::InvalidFilename.into()));
        };
        Ok(open_folder(beside)?.map(|fs| CopyPlace {
            label: self.label.clone(),
            beside: beside.to_owned(),
            fs,
            name: name.to_owned(),
            is_file: self.file.is_some(),
        }))
    }

    /// Somebody removed the folder that was just made.
    fn gone(&self) -> SaveError {
        io_error(&self.folder.whole(), "opening", &FsPath::root(), io::ErrorKind::NotFound.into())
    }
}

/// The folder, opened; `None` when it is not there.
fn open_folder(folder: &Path) -> Result<Option<Arc<dyn Fs>>, SaveError> {
    match fs::real(folder) {
        Ok(fs) => Ok(Some(fs)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(io_error(folder, "opening", &FsPath::root(), e)),
    }
}

/// Makes the folders that are missing, each durable before the next.
fn make_folders(folder: &Resolved) -> Result<(), SaveError> {
    if folder.missing.is_empty() {
        return Ok(());
    }
    let failed = |doing: &'static str, at: &FsPath, e| io_error(&folder.there, doing, at, e);
    let fs = fs::real(&folder.there).map_err(|e| failed("opening", &FsPath::root(), e))?;
    let mut at = FsPath::root();
    for name in &folder.missing {
        let not_text = || failed("making a folder in", &at, io::ErrorKind::InvalidFilename.into());
        let next = at.child(name.to_str().ok_or_else(not_text)?);
        match fs.create_dir(&next) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed("making", &next, e)),
            _ => fs.sync_dir(&at).map_err(|e| failed("syncing", &at, e))?,
        }
        at = next;
    }
    Ok(())
}

/// A path as the file systems that are usual on this platform tell paths apart.
fn comparable(path: &Path) -> PathBuf {
    if NAMES_ARE_FOLDED { PathBuf::from(fold(&path.to_string_lossy())) } else { path.to_owned() }
}

#[cfg(test)]
mod tests;
