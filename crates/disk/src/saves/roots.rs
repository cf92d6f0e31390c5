//! Where a save set lives on this device: its roots, what belongs to them, and a look at it all.
//!
//! A look lists and reads nothing else. What cannot be part of a save is left out and named, never merged or guessed at.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bonfire_engine::places::Spelled;
use bonfire_engine::places::pattern::{Pattern, PatternError};
use bonfire_proto::RelPath;
use bonfire_proto::limits::SAVE_FILES_MAX;
use bonfire_proto::rel_path::fold;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{SaveError, io_error, shown};
use crate::error::DiskError;
use crate::fs::{EntryName, Fs, FsPath, Kind};
use crate::hash::FileStamp;

/// Longest label of a root in bytes.
pub const LABEL_LEN_MAX: usize = 32;
/// Beginning of every name that Bonfire makes in a folder for a while.
pub(super) const SCRATCH: &str = ".bonfire.";
/// What the name of a copy of the other side of a conflict contains.
pub(super) const CONFLICT: &str = ".conflict-";

/// Why a text is no label or no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// A label is one legal name of at most 32 bytes that does not begin with a dot.
    #[error("not a label: one legal name of at most {LABEL_LEN_MAX} bytes")]
    Label,
    /// Not a pattern.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// The first part of the paths of a root's files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RootLabel(String);

impl RootLabel {
    /// The checked label.
    ///
    /// # Errors
    /// `RootError::Label`.
    pub fn new(label: impl Into<String>) -> Result<Self, RootError> {
        let label = label.into();
        let is_name = RelPath::new(label.as_str()).is_ok_and(|p| p.parts().count() == 1);
        if !is_name || label.len() > LABEL_LEN_MAX || label.starts_with('.') {
            return Err(RootError::Label);
        }
        Ok(Self(label))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for RootLabel {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// A root of a save set on this device.
#[derive(Clone)]
pub struct SaveRoot {
    /// First part of its files' paths.
    pub label: RootLabel,
    /// Its folder as people see it, and as `Fs` implementations find it again after a start.
    pub folder: PathBuf,
    /// The folder.
    pub fs: Arc<dyn Fs>,
    /// What belongs to it; everything when empty. A single file is a root of its folder that includes that name.
    pub include: Vec<Pattern>,
    /// What does not, all the same. A pattern of one part matches at any depth.
    pub ignore: Vec<Pattern>,
    /// What a manifest says of it besides.
    pub extent: Extent,
}

/// What a manifest says of a root that it placed. All of it is empty for one that a person declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extent {
    /// What does not belong to the root, from its folder on: files of another root, or no save.
    pub exclude: Vec<Pattern>,
    /// Whether names that differ in case are one for the game, so that what includes and excludes them does not count case.
    pub folds_names: bool,
    /// The name of the one file that the root is, in snapshots and here.
    pub spelled: Option<Spelled>,
}

impl Extent {
    fn is_same(&self, a: &str, b: &str) -> bool {
        a == b || self.folds_names && fold(a) == fold(b)
    }

    /// What a path beneath the root is called in snapshots.
    fn to_snapshot(&self, at: &FsPath) -> String {
        match &self.spelled {
            Some(spelled) if self.is_same(&at.to_string(), &spelled.here) => spelled.snapshot.clone(),
            _ => at.to_string(),
        }
    }

    /// Where beneath the root a path of a snapshot is. None for one that is another root's.
    fn to_disk<'a>(&'a self, path: &'a str) -> Option<&'a str> {
        match &self.spelled {
            Some(spelled) => (path == spelled.snapshot).then_some(spelled.here.as_str()),
            None => Some(path),
        }
    }
}

impl fmt::Debug for SaveRoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaveRoot({} at {})", self.label.0, self.folder.display())
    }
}

impl SaveRoot {
    /// Whether a path beneath the root belongs to it.
    pub(super) fn covers(&self, path: &[&str]) -> bool {
        let folded = self.extent.folds_names;
        let any = |of: &[Pattern]| of.iter().any(|p| p.reach(path, folded).covers);
        let belongs = (self.include.is_empty() || any(&self.include)) && !self.excludes(path);
        belongs && !self.ignores(path) && !path.iter().any(|name| is_ours(name) || is_conflict_copy(name))
    }

    fn excludes(&self, path: &[&str]) -> bool {
        self.extent.exclude.iter().any(|p| p.reach(path, self.extent.folds_names).covers)
    }

    fn ignores(&self, path: &[&str]) -> bool {
        let anywhere = |p: &Pattern| (0..path.len()).any(|from| p.reach(&path[from..=from], false).covers);
        self.ignore.iter().any(|p| p.reach(path, false).covers || (p.segments().len() == 1 && anywhere(p)))
    }

    fn leads_through(&self, folder: &[&str]) -> bool {
        self.include.is_empty() || self.include.iter().any(|p| p.reach(folder, self.extent.folds_names).leads_through)
    }

    pub(super) fn io(&self, doing: &'static str, at: &FsPath, e: std::io::Error) -> SaveError {
        io_error(&self.folder, doing, at, e)
    }

    pub(super) fn shown(&self, at: &FsPath) -> PathBuf {
        shown(&self.folder, at)
    }
}

pub(super) fn is_ours(name: &str) -> bool {
    name.starts_with(SCRATCH)
}

/// `NAME.conflict-DEVICE`, with both.
pub(super) fn is_conflict_copy(name: &str) -> bool {
    name.split_once(CONFLICT).is_some_and(|(name, device)| !name.is_empty() && !device.is_empty())
}

/// Why something in a root's folder is no part of the save.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOutWhy {
    /// A link: what it points to is not the save's.
    Link,
    /// A device, a pipe, a socket.
    Special,
    /// Its name is not text.
    NotText,
    /// Its path is not legal on every platform.
    IllegalPath,
    /// Another name beside it is the same on some file system; neither is taken.
    Collides,
    /// A copy of the other side of a conflict.
    ConflictCopy,
}

/// Something that was seen and is no part of the save.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// Where, for people: the label, then the path.
    pub path: String,
    /// Why.
    pub why: LeftOutWhy,
}

/// A file that belongs to the save, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) root: usize,
    pub(super) at: FsPath,
    pub(super) stamp: FileStamp,
}

/// A look at all roots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) files: BTreeMap<RelPath, Seen>,
    pub(super) left_out: BTreeSet<LeftOut>,
}

/// Looks at all roots. A folder that cannot be listed is an error, never an empty folder.
pub(super) fn look(roots: &[SaveRoot]) -> Result<Look, SaveError> {
    let mut look = Look::default();
    for (number, root) in roots.iter().enumerate() {
        if roots[..number].iter().any(|r| r.label == root.label) {
            return Err(DiskError::InTheWay { path: root.folder.clone(), what: "another root of that label" }.into());
        }
        Walk { root, number, look: &mut look }.folder(&FsPath::root())?;
    }
    look.leave_out_collisions();
    Ok(look)
}

/// The root that a path of a snapshot belongs to, and the path beneath it.
pub(super) fn locate(roots: &[SaveRoot], path: &RelPath) -> Option<(usize, FsPath)> {
    let (label, rest) = path.as_str().split_once('/')?;
    let number = roots.iter().position(|r| r.label.0 == label)?;
    let here = roots[number].extent.to_disk(rest)?;
    let parts: Vec<&str> = here.split('/').collect();
    roots[number].covers(&parts).then(|| (number, FsPath::root().child(here)))
}

struct Walk<'a> {
    root: &'a SaveRoot,
    number: usize,
    look: &'a mut Look,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &FsPath) -> Result<(), SaveError> {
        let entries = match self.root.fs.list(dir) {
            Ok(entries) => entries,
            // Gone since its name was listed; the second look sees it the same way.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !dir.is_root() && self.is_gone(dir)? => return Ok(()),
            Err(e) => return Err(self.root.io("listing", dir, e)),
        };
        for entry in entries {
            match entry.name {
                EntryName::Utf8(name) if is_ours(&name) => {}
                EntryName::Utf8(name) => self.name(&dir.child(&name), entry.kind)?,
                EntryName::Unrepresentable(name) => {
                    let at = dir.child(&name);
                    let parts: Vec<&str> = at.parts().collect();
                    if self.root.covers(&parts) || self.root.leads_through(&parts) {
                        self.leave_out(&at, LeftOutWhy::NotText);
                    }
                }
            }
        }
        Ok(())
    }

    fn is_gone(&self, dir: &FsPath) -> Result<bool, SaveError> {
        Ok(self.root.fs.stat(dir).map_err(|e| self.root.io("looking at", dir, e))?.is_none())
    }

    fn name(&mut self, at: &FsPath, kind: Kind) -> Result<(), SaveError> {
        let parts: Vec<&str> = at.parts().collect();
        if parts.last().is_some_and(|name| is_conflict_copy(name)) {
            if self.root.leads_through(&parts) {
                self.leave_out(at, LeftOutWhy::ConflictCopy);
            }
            return Ok(());
        }
        if kind == Kind::Dir {
            if !self.root.leads_through(&parts) || self.root.ignores(&parts) || self.root.excludes(&parts) {
                return Ok(());
            }
            // Deeper than a path may be nothing of it could be taken, and a walk has to end.
            if RelPath::new(format!("{}/{at}", self.root.label.0)).is_err() {
                self.leave_out(at, LeftOutWhy::IllegalPath);
                return Ok(());
            }
            return self.folder(at);
        }
        if !self.root.covers(&parts) {
            return Ok(());
        }
        match kind {
            Kind::Link => self.leave_out(at, LeftOutWhy::Link),
            Kind::Other => self.leave_out(at, LeftOutWhy::Special),
            Kind::File | Kind::Dir => self.file(at)?,
        }
        Ok(())
    }

    fn file(&mut self, at: &FsPath) -> Result<(), SaveError> {
        let Ok(path) = RelPath::new(format!("{}/{}", self.root.label.0, self.root.extent.to_snapshot(at))) else {
            self.leave_out(at, LeftOutWhy::IllegalPath);
            return Ok(());
        };
        let Some(meta) = self.root.fs.stat(at).map_err(|e| self.root.io("looking at", at, e))? else { return Ok(()) };
        if meta.kind == Kind::File {
            let seen = Seen { root: self.number, at: at.clone(), stamp: FileStamp::of(&meta) };
            self.look.files.insert(path, seen);
            if self.look.files.len() > SAVE_FILES_MAX {
                let (path, limit) = (self.root.folder.clone(), SAVE_FILES_MAX as u64);
                return Err(DiskError::TooMuch { path, what: "files in a save", limit }.into());
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, at: &FsPath, why: LeftOutWhy) {
        self.look.left_out.insert(LeftOut { path: format!("{}/{at}", self.root.label.0), why });
    }
}

impl Look {
    /// Takes out every file that some file system could not keep apart from another.
    fn leave_out_collisions(&mut self) {
        let mut spellings: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for path in self.files.keys() {
            for prefix in prefixes(path) {
                spellings.entry(prefix.folded()).or_default().insert(prefix.as_str().to_owned());
            }
        }
        spellings.retain(|_, spelled| spelled.len() > 1);
        if spellings.is_empty() {
            return;
        }
        let collides = |path: &RelPath| prefixes(path).iter().any(|p| spellings.contains_key(&p.folded()));
        let out: Vec<RelPath> = self.files.keys().filter(|p| collides(p)).cloned().collect();
        for path in out {
            self.files.remove(&path);
            self.left_out.insert(LeftOut { path: path.as_str().to_owned(), why: LeftOutWhy::Collides });
        }
    }
}

/// A path and all folders above it.
fn prefixes(path: &RelPath) -> Vec<RelPath> {
    std::iter::successors(Some(path.clone()), RelPath::parent).collect()
}
