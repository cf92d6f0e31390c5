//! From where a save set is said to live to its roots on this machine, opened.
//!
//! Links on the way to a root are resolved first, so that a root is the folder it is and stays that one; from there on no
//! link is followed. What is not there is named apart from what cannot be looked at: only the former may be taken for an
//! empty root. Refuses places in which a capture would read itself or a file would belong to two roots.

mod apart;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonfire_engine::places::Spelled;
use bonfire_engine::places::pattern::Pattern;
use bonfire_proto::RelPath;

use super::conflict_copy::CopyPlace;
use super::error::{SaveError, io_error};
use super::resolve::{Resolved, resolve};
use super::roots::{Extent, RootLabel, SaveRoot, is_conflict_copy, is_ours};
use crate::error::DiskError;
use crate::fs::{self, Fs, FsPath};

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
    /// What does not since it is another root's or no save, from the folder on.
    pub exclude: Vec<Pattern>,
    /// Whether names that differ in case are one for the game.
    pub folds_names: bool,
    /// The name of its one file in snapshots, where that is another than on this machine.
    pub name: Option<String>,
    /// Whether it counts only while what lies at the path is of its kind, or nothing does: another root has the other kind.
    pub only_as_such: bool,
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
    /// It is in another root of the set, or is the same, and they could have a file in common.
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
    extent: Extent,
    /// Something of another kind lies at its path, so that it has no file and gets none.
    is_other: bool,
    only_as_such: bool,
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

    /// Opens what is there, once the folders of the named roots are, durably. For when files are to be put there.
    ///
    /// # Errors
    /// The disk's; some folders may have been made. `InTheWay` for a named root at whose path something of another kind is.
    pub fn create(&self, needed: &BTreeSet<&str>) -> Result<Vec<SaveRoot>, SaveError> {
        let mut roots = Vec::new();
        for place in &self.places {
            let is_needed = needed.contains(place.label.as_str());
            if is_needed && place.is_other {
                let what = if place.file.is_some() { "a folder" } else { "a file" };
                return Err(DiskError::InTheWay { path: place.whole(), what }.into());
            }
            if is_needed {
                make_folders(&place.folder)?;
            }
            match place.open()? {
                Some(root) => roots.push(root),
                None if is_needed => return Err(place.gone()),
                None => {}
            }
        }
        Ok(roots)
    }

    /// Where copies of the other side of a conflict go. A root with no folder around it has no place for one.
    ///
    /// # Errors
    /// The disk's.
    pub fn copy_places(&self) -> Result<Vec<CopyPlace>, SaveError> {
        self.places.iter().filter(|p| !p.is_other).filter_map(|place| place.copy_place().transpose()).collect()
    }

    /// The folders of all roots, to be watched, whether they are there or not.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        // Of two roots at one path where nothing lies, one is enough to hear of what comes: what is around a file that is
        // not there may be a folder of many programs.
        let is_watched =
            |place: &&Place| !place.is_other && (place.file.is_none() || !place.only_as_such || place.is_there());
        self.places.iter().filter(is_watched).map(|place| place.folder.whole()).collect()
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

    /// Whether something of another kind lies at the path of a root that counts only as what it is.
    fn is_other(&self) -> Result<bool, SaveError> {
        if !self.only_as_such {
            return Ok(false);
        }
        match std::fs::metadata(&self.path) {
            Ok(meta) => Ok(meta.is_dir() == self.is_file),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
            Err(e) => Err(io_error(&self.path, "looking at", &FsPath::root(), e)),
        }
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
        let extent = Extent { exclude: root.exclude.clone(), folds_names: root.folds_names, spelled: None };
        let is_other = root.is_other()?;
        if is_other && !root.is_file {
            // A file is here, and a folder is meant.
            let folder = root.resolve(root.path.parent().unwrap_or(&root.path))?;
            return Ok(Self {
                label,
                folder,
                file: None,
                include: Vec::new(),
                ignore,
                extent,
                is_other,
                only_as_such: true,
            });
        }
        if is_other || root.is_one_file()? {
            let parts = (root.path.parent(), root.path.file_name().and_then(OsStr::to_str));
            let (Some(folder), Some(name)) = parts else { return Err(root.unfit(Unfit::Name)) };
            let legal = |name: &str| RelPath::new(name).ok().filter(|_| !is_ours(name) && !is_conflict_copy(name));
            let in_snapshots = root.name.as_deref().unwrap_or(name);
            let (Some(own), Some(_)) = (legal(name), legal(in_snapshots)) else { return Err(root.unfit(Unfit::Name)) };
            let spelled = Spelled { snapshot: in_snapshots.to_owned(), here: name.to_owned() };
            let extent = Extent { spelled: root.name.is_some().then_some(spelled), ..extent };
            let folder = root.resolve(folder)?;
            if !folder.is_folder {
                return Err(root.in_the_way(&folder.there, "a file"));
            }
            let (file, include) = (Some(name.to_owned()), vec![Pattern::literal(&own)]);
            return Ok(Self {
                label,
                folder,
                file,
                include,
                ignore,
                extent,
                is_other,
                only_as_such: root.only_as_such,
            });
        }
        let folder = root.resolve(&root.path)?;
        if !folder.is_folder {
            return Err(root.in_the_way(&folder.there, "something that is neither file nor folder"));
        }
        let whole = folder.whole();
        if whole.parent().is_none() || whole.file_name().is_none() {
            return Err(root.unfit(Unfit::Top));
        }
        let include = root.include.clone();
        Ok(Self { label, folder, file: None, include, ignore, extent, is_other, only_as_such: root.only_as_such })
    }

    /// The folder, or the one file.
    fn whole(&self) -> PathBuf {
        let folder = self.folder.whole();
        match &self.file {
            Some(name) => folder.join(name),
            None => folder,
        }
    }

    fn is_there(&self) -> bool {
        self.file.as_ref().is_some_and(|_| std::fs::symlink_metadata(self.whole()).is_ok())
    }

    fn open(&self) -> Result<Option<SaveRoot>, SaveError> {
        if self.is_other {
            return Ok(None);
        }
        let folder = self.folder.whole();
        Ok(open_folder(&folder)?.map(|fs| SaveRoot {
            label: self.label.clone(),
            folder,
            fs,
            include: self.include.clone(),
            ignore: self.ignore.clone(),
            extent: self.extent.clone(),
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
            snapshot_name: self.extent.spelled.as_ref().map_or(name, |s| s.snapshot.as_str()).to_owned(),
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

#[cfg(test)]
mod tests;
