//! Reading the whole file list of a game.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use bonfire_proto::game::{SENTINEL, is_reserved};
use bonfire_proto::limits::{MANIFEST_FILES_MAX, PATH_DEPTH_MAX};
use bonfire_proto::{GameId, RelPath};

use crate::error::DiskError;
use crate::fs::{EntryName, FsPath, Kind};
use crate::games::{GamesFolder, Inner};
use crate::hash::FileStamp;

/// Most problems that a walk names; more are counted in the last one.
const PROBLEMS_MAX: usize = 1_000;

/// A file of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedFile {
    /// Path beneath the game root.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// Time of last change in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl WalkedFile {
    /// The stamp by which later reads see whether the file is still the same.
    #[must_use]
    pub fn stamp(&self) -> FileStamp {
        FileStamp { size: self.size, mtime_ns: self.mtime_ns }
    }
}

/// What `version.ini` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentinel {
    /// A regular file: the game is downloaded.
    Regular,
    /// Not there.
    Absent,
    /// A folder, a link, something else: not downloaded, and no download can begin.
    NotRegular,
}

/// Something that was left out of a list, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path beneath the folder that was read, lossily where it is not UTF-8. Clean it before showing it.
    pub path: String,
    /// Why.
    pub kind: ProblemKind,
}

impl Problem {
    pub(crate) fn new(path: String, kind: ProblemKind) -> Self {
        Self { path, kind }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = bonfire_proto::text::clean_to(&self.path, 1024);
        match &self.kind {
            ProblemKind::Link => write!(f, "{path} is a link, which is never followed"),
            ProblemKind::Special => write!(f, "{path} is a device, pipe or socket"),
            ProblemKind::NotUtf8 => write!(f, "{path} has a name that is not UTF-8"),
            ProblemKind::IllegalName(why) => write!(f, "{path} has a name that is not legal everywhere: {why}"),
            ProblemKind::Collides(with) => {
                let with = bonfire_proto::text::clean_to(with, 1024);
                write!(f, "{path} and {with} are one name on some file systems")
            }
            ProblemKind::More(n) => write!(f, "{n} more"),
        }
    }
}

/// Why something was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemKind {
    /// A link.
    Link,
    /// A device, a pipe, a socket.
    Special,
    /// A name that is not UTF-8.
    NotUtf8,
    /// A name that some platform forbids, or a path too long or deep.
    IllegalName(String),
    /// A name that is the same as another (named) by case or normalisation.
    Collides(String),
    /// This many further problems are not listed.
    More(u64),
}

/// A game root as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Walked {
    /// The files that make the manifest, sorted by path; reserved names and `local/` are not among them.
    pub files: Vec<WalkedFile>,
    /// Version as `version.ini` states it, empty without one.
    pub eti_version: String,
    /// What `version.ini` is.
    pub sentinel: Sentinel,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// What was left out.
    pub problems: Vec<Problem>,
}

impl GamesFolder {
    /// Reads the file list of a game.
    ///
    /// # Errors
    /// `NotFound` without such a folder; `Changed` when something vanished or changed its kind meanwhile (walk again);
    /// `TooMuch` beyond `MANIFEST_FILES_MAX` files; whatever the disk reports. Never an incomplete list.
    pub fn walk(&self, game: &GameId) -> Result<Walked, DiskError> {
        self.walk_telling(game, &mut |_| {})
    }

    /// As `walk`, and names each folder within the game root before it is listed: a watch that is placed then sees all
    /// that the list does not.
    ///
    /// # Errors
    /// As `walk`.
    pub fn walk_telling(&self, game: &GameId, folder: &mut dyn FnMut(&RelPath)) -> Result<Walked, DiskError> {
        let inner = &*self.inner;
        let root = FsPath::game(game);
        match inner.kind(&root)? {
            Some(Kind::Dir) => {}
            Some(Kind::Link) => return Err(DiskError::InTheWay { path: inner.shown(&root), what: "a link" }),
            Some(_) | None => return Err(DiskError::NotFound { what: "game folder", path: inner.shown(&root) }),
        }
        let mut walk = Walk { inner, root: root.clone(), files: Vec::new(), problems: Vec::new(), more: 0 };
        walk.read(folder)?;
        let (mut files, mut problems, more) = (walk.files, walk.problems, walk.more);
        if more > 0 {
            problems.push(Problem::new(String::new(), ProblemKind::More(more)));
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let sentinel = sentinel(inner, &root)?;
        let eti_version = match sentinel {
            Sentinel::Regular => self.read_version(game)?.unwrap_or_default(),
            _ => String::new(),
        };
        let installed = inner.kind(&root.child("local"))? == Some(Kind::Dir);
        Ok(Walked { files, eti_version, sentinel, installed, problems })
    }
}

pub(crate) fn sentinel(inner: &Inner, root: &FsPath) -> Result<Sentinel, DiskError> {
    Ok(match inner.kind(&root.child(SENTINEL))? {
        Some(Kind::File) => Sentinel::Regular,
        None => Sentinel::Absent,
        Some(_) => Sentinel::NotRegular,
    })
}

struct Walk<'a> {
    inner: &'a Inner,
    root: FsPath,
    files: Vec<WalkedFile>,
    problems: Vec<Problem>,
    more: u64,
}

impl Walk<'_> {
    fn read(&mut self, tell: &mut dyn FnMut(&RelPath)) -> Result<(), DiskError> {
        let mut folders = vec![(None::<RelPath>, self.root.clone())];
        while let Some((rel, at)) = folders.pop() {
            if let Some(folder) = &rel {
                tell(folder);
            }
            let entries = self.inner.fs.list(&at).map_err(|e| self.gone("listing", &at, e))?;
            // Folded names of this folder: a collision needs two names in one folder.
            let mut folded: BTreeMap<String, String> = BTreeMap::new();
            for entry in entries {
                let name = match entry.name {
                    EntryName::Utf8(n) => n,
                    EntryName::Unrepresentable(n) => {
                        self.problem(rel.as_ref(), &n, ProblemKind::NotUtf8);
                        continue;
                    }
                };
                let path = match &rel {
                    None => RelPath::new(name.as_str()),
                    Some(dir) => dir.join(&name),
                };
                let path = match path {
                    Ok(p) => p,
                    Err(e) => {
                        self.problem(rel.as_ref(), &name, ProblemKind::IllegalName(e.to_string()));
                        continue;
                    }
                };
                if rel.is_none() && is_reserved(&path) {
                    continue;
                }
                if let Some(first) = folded.get(&path.folded()) {
                    let first = first.clone();
                    self.problem(rel.as_ref(), &name, ProblemKind::Collides(first));
                    continue;
                }
                match entry.kind {
                    Kind::Link => self.problem(rel.as_ref(), &name, ProblemKind::Link),
                    Kind::Other => self.problem(rel.as_ref(), &name, ProblemKind::Special),
                    Kind::Dir if path.parts().count() >= PATH_DEPTH_MAX => {
                        self.problem(rel.as_ref(), &name, ProblemKind::IllegalName("path too deep".to_owned()));
                    }
                    // A folder in the place of the sentinel is told by `Sentinel::NotRegular`, not walked.
                    Kind::Dir if path.as_str() == SENTINEL => {}
                    Kind::Dir => {
                        folded.insert(path.folded(), path.to_string());
                        folders.push((Some(path), at.child(&name)));
                    }
                    Kind::File => {
                        folded.insert(path.folded(), path.to_string());
                        self.file(path, &at.child(&name))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, path: RelPath, at: &FsPath) -> Result<(), DiskError> {
        if self.files.len() >= MANIFEST_FILES_MAX {
            return Err(DiskError::TooMuch {
                path: self.inner.shown(&self.root),
                what: "files",
                limit: MANIFEST_FILES_MAX as u64,
            });
        }
        let meta = self.inner.fs.stat(at).map_err(|e| self.gone("reading", at, e))?;
        let Some(meta) = meta.filter(|m| m.kind == Kind::File) else {
            return Err(DiskError::Changed { path: self.inner.shown(at) });
        };
        self.files.push(WalkedFile { path, size: meta.len, mtime_ns: meta.mtime_ns });
        Ok(())
    }

    /// A folder that was listed a moment ago and is not there means that someone is at work here.
    fn gone(&self, doing: &'static str, at: &FsPath, e: io::Error) -> DiskError {
        match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => DiskError::Changed { path: self.inner.shown(at) },
            _ => self.inner.io(doing, at, e),
        }
    }

    fn problem(&mut self, dir: Option<&RelPath>, name: &str, kind: ProblemKind) {
        if self.problems.len() >= PROBLEMS_MAX {
            self.more += 1;
            return;
        }
        let path = dir.map_or_else(|| name.to_owned(), |d| format!("{d}/{name}"));
        self.problems.push(Problem::new(path, kind));
    }
}
