//! The roots of one game's save set on one machine, and the way between a path in a snapshot and a path on the disk.
//!
//! Every file belongs to at most one root. What has no place here is refused with the reason: a file is never put where
//! nobody said that it belongs. Capturing and writing files is not done here.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::rel_path::fold;
use bonfire_proto::{PathError, RelPath};
use serde::{Deserialize, Serialize};

use super::facts::{Environment, Existing, FactError, Family, Listing};
use super::pattern::Pattern;
use super::placeholders::Placeholder;
use super::rule_path::PathRejected;

/// What a root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A folder with everything beneath it.
    Folder,
    /// What matches a pattern in a folder.
    Pattern,
    /// A single file of a folder.
    File,
}

/// A folder of a save set on this machine. Of a path at which nothing lies yet nobody knows whether it will be a folder or
/// a file: it has a root of each shape, and they have no file in common. Whoever looks at the disk again places again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Root {
    /// What its files are called in snapshots, before the first `/`. The same on every machine.
    pub label: String,
    /// Absolute path of the folder here. It may be absent.
    pub folder: String,
    /// What it is.
    pub shape: Shape,
    /// Which files beneath it belong to the save: all, when it is empty. From the folder on, as in `exclude`.
    pub include: Vec<Pattern>,
    /// Which of them do not, as they are another root's or no save.
    pub exclude: Vec<Pattern>,
    /// The name of a single file, in snapshots and here.
    pub spelled: Option<Spelled>,
    /// The path that the manifest has for it.
    pub rule: String,
    /// Whether the game's own folder said so, and not the manifest that the player imported.
    pub from_game_folder: bool,
    /// Whether names that differ in case are one, as for games built for Windows.
    pub folds_names: bool,
    /// The label that the path has when it is of the other shape: a file, a folder.
    pub other_label: Option<String>,
    /// Whether the label has places on other systems too, so that the save can move there.
    pub moves_to_other_systems: bool,
}

/// One name in two spellings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spelled {
    /// In snapshots.
    pub snapshot: String,
    /// On this machine.
    pub here: String,
}

/// A path of the manifest that has no root here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{rule}: {why}")]
pub struct Skipped {
    /// The path.
    pub rule: String,
    /// The labels that it has where it is placed; none when no machine uses it.
    pub labels: Vec<String>,
    /// The reason.
    pub why: Why,
}

/// Why a path of the manifest has no root here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// No machine uses it.
    #[error(transparent)]
    Rejected(#[from] PathRejected),
    /// It is for another system, and no path of this one is its counterpart.
    #[error("it is for {}, and the manifest has no counterpart for this system", listed(.0))]
    OtherSystem(BTreeSet<Family>),
    /// It is for the game from another store.
    #[error("it is for the game from another store")]
    OtherStore,
    /// What a placeholder stands for is not known here.
    #[error("what {0} stands for is not known on this machine")]
    Unresolved(Placeholder),
    /// What a placeholder stands for cannot be used.
    #[error(transparent)]
    Fact(#[from] FactError),
    /// With its placeholders filled in, a name is not legal everywhere.
    #[error("{name:?} cannot be a name on every machine: {error}")]
    Name {
        /// The name.
        name: String,
        /// The broken rule.
        error: PathError,
    },
    /// Several folders could be meant, and not exactly one of them is there.
    #[error("one of {} could be meant in {folder}, and not exactly one is there", .names.join(", "))]
    Several {
        /// The folder that they would be in.
        folder: String,
        /// Their names.
        names: Vec<String>,
    },
    /// Names that are one for the game lie beside each other.
    #[error("{} in {folder} are one name for the game", .names.join(" and "))]
    SpelledTwice {
        /// The folder.
        folder: String,
        /// The names.
        names: Vec<String>,
    },
    /// A folder cannot be listed.
    #[error("listing {folder}: {message}")]
    Unreadable {
        /// Which.
        folder: String,
        /// What the system says.
        message: String,
    },
    /// It has settings only, and they were not asked for.
    #[error("it has settings and no saves")]
    Settings,
    /// Its tags are not known.
    #[error("it is tagged as something that is no save")]
    UnknownTags,
    /// Another path with the label leads elsewhere.
    #[error("another spelling of the path leads to {0}")]
    LabelTaken(String),
}

fn listed(families: &BTreeSet<Family>) -> String {
    if families.is_empty() {
        return "another system".to_owned();
    }
    families.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// Why a path is not brought from a snapshot to the disk, or back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Its label has no root here.
    #[error("{path}: {}", .why.as_ref().map_or_else(|| "its label is unknown here".to_owned(), ToString::to_string))]
    NoRoot {
        /// The path in the snapshot.
        path: RelPath,
        /// Why the label has none, when that is known.
        why: Option<Box<Skipped>>,
    },
    /// One of the two is a file and the other a folder.
    #[error("{path}: {rule} is a file in one of the save and this machine, and a folder in the other")]
    OtherShape {
        /// The path in the snapshot.
        path: RelPath,
        /// The path in the manifest.
        rule: String,
    },
    /// The root does not take it.
    #[error("{path} is not among the files of {rule}")]
    NotCovered {
        /// The path in the snapshot.
        path: RelPath,
        /// The root's path in the manifest.
        rule: String,
    },
    /// It lies in no root.
    #[error("{0} belongs to no root of the save")]
    Outside(String),
    /// It cannot be a path of a snapshot.
    #[error("{path} cannot be in a snapshot: {error}")]
    Illegal {
        /// The path on the disk.
        path: String,
        /// The broken rule.
        error: PathError,
    },
    /// Where it goes cannot be told from what lies there.
    #[error("{path}: {why}")]
    Disk {
        /// The path in the snapshot.
        path: RelPath,
        /// What lies there.
        why: Why,
    },
}

/// The roots of one game's save set on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SaveRoots {
    /// The environment that they were placed in.
    pub environment: Environment,
    /// The roots, sorted by label.
    pub roots: Vec<Root>,
    /// The manifest's other paths for the game, with the reasons.
    pub skipped: Vec<Skipped>,
    /// Registry keys in which the game keeps something too: that is not synced.
    pub registry: BTreeSet<String>,
    /// Stores that sync the game's saves themselves, which may work against us.
    pub cloud: BTreeSet<String>,
}

impl SaveRoots {
    /// Where on this disk a file of a snapshot goes. Beneath a prefix, what lies there in another case is what is meant.
    ///
    /// # Errors
    /// `MapError` when its label or the file has no place here, or when one cannot tell which.
    pub fn to_disk(&self, path: &RelPath, existing: &dyn Existing) -> Result<String, MapError> {
        let Some(root) = self.roots.iter().find(|r| r.label == path.first()) else {
            if let Some(other) = self.roots.iter().find(|r| r.other_label.as_deref() == Some(path.first())) {
                return Err(MapError::OtherShape { path: path.clone(), rule: other.rule.clone() });
            }
            let why = self.skipped.iter().find(|s| s.labels.iter().any(|l| l == path.first()));
            return Err(MapError::NoRoot { path: path.clone(), why: why.cloned().map(Box::new) });
        };
        let not_covered = || MapError::NotCovered { path: path.clone(), rule: root.rule.clone() };
        let local = root.local_path(path).filter(|l| root.covers(l)).ok_or_else(not_covered)?;
        let mut at = root.folder.clone();
        for name in local.parts() {
            let here = spelling(self.environment, &at, name, existing)
                .map_err(|why| MapError::Disk { path: path.clone(), why })?;
            at = join(self.environment, &at, &here);
        }
        Ok(at)
    }

    /// What a file at this absolute path is called in snapshots.
    ///
    /// # Errors
    /// `MapError` when it belongs to no root, or cannot be in a snapshot.
    pub fn to_snapshot(&self, path: &str) -> Result<RelPath, MapError> {
        for root in &self.roots {
            let Some(rest) = beneath(self.environment, &root.folder, path) else { continue };
            let illegal = |error| MapError::Illegal { path: path.to_owned(), error };
            let local = RelPath::new(rest).map_err(illegal)?;
            if root.covers(&local) {
                return root.snapshot_path(&local).map_err(illegal);
            }
        }
        Err(MapError::Outside(path.to_owned()))
    }
}

impl Root {
    /// Whether the file at this path beneath the folder belongs to the root.
    #[must_use]
    pub fn covers(&self, local: &RelPath) -> bool {
        let any = |of: &[Pattern]| of.iter().any(|p| p.covers(local, self.folds_names));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// What the file at this path beneath the folder is called in snapshots.
    ///
    /// # Errors
    /// When that is too long or too deep for a snapshot.
    pub fn snapshot_path(&self, local: &RelPath) -> Result<RelPath, PathError> {
        let mut names: Vec<&str> = local.parts().collect();
        if let (Some(spelled), Some(first)) = (&self.spelled, names.first_mut())
            && self.is_same(first, &spelled.here)
        {
            *first = &spelled.snapshot;
        }
        RelPath::new(format!("{}/{}", self.label, names.join("/")))
    }

    /// Where beneath the folder a file of a snapshot goes, by the name that this machine has for it. `None` when the path
    /// is another root's.
    #[must_use]
    pub fn local_path(&self, path: &RelPath) -> Option<RelPath> {
        let rest = path.as_str().strip_prefix(self.label.as_str())?.strip_prefix('/')?;
        let mut names: Vec<&str> = rest.split('/').collect();
        if let (Some(spelled), Some(first)) = (&self.spelled, names.first_mut()) {
            if *first != spelled.snapshot {
                return None;
            }
            *first = &spelled.here;
        }
        RelPath::new(names.join("/")).ok()
    }

    fn is_same(&self, a: &str, b: &str) -> bool {
        a == b || self.folds_names && fold(a) == fold(b)
    }
}

/// How the snapshot that lies on the disk spells its paths. A game built for Windows may write `Slot1` over `slot1`, and a
/// disk may keep either: that changes no save.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spellings(BTreeMap<String, RelPath>);

impl Spellings {
    /// Those of a snapshot with these files.
    #[must_use]
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Self {
        Self(paths.into_iter().map(|p| (p.folded(), p.clone())).collect())
    }

    /// The path as the snapshot spells it, or as it is when that has no such file.
    #[must_use]
    pub fn apply(&self, path: RelPath) -> RelPath {
        self.0.get(&path.folded()).cloned().unwrap_or(path)
    }
}

/// The name as it is spelled on the disk, where the game does not care and the disk does.
pub(crate) fn spelling(
    environment: Environment,
    folder: &str,
    name: &str,
    existing: &dyn Existing,
) -> Result<String, Why> {
    if environment != Environment::Prefix {
        return Ok(name.to_owned());
    }
    let mut names = match existing.list(folder) {
        Listing::Names(names) => names,
        Listing::Absent => return Ok(name.to_owned()),
        Listing::Unreadable(message) => return Err(Why::Unreadable { folder: folder.to_owned(), message }),
    };
    names.retain(|n| fold(n) == fold(name));
    names.sort();
    if names.len() > 1 {
        // Even the exact spelling may not be the one that the game opens.
        return Err(Why::SpelledTwice { folder: folder.to_owned(), names });
    }
    Ok(names.pop().unwrap_or_else(|| name.to_owned()))
}

pub(crate) fn join(environment: Environment, folder: &str, name: &str) -> String {
    format!("{folder}{}{name}", environment.separator())
}

/// What is left of a path beneath a folder, with `/` between its names.
pub(crate) fn beneath(environment: Environment, folder: &str, path: &str) -> Option<String> {
    let separators: &[char] = if environment == Environment::Windows { &['\\', '/'] } else { &['/'] };
    let mut names = path.split(separators);
    let is_same = |a: &str, b: &str| a == b || environment.folds_names() && fold(a) == fold(b);
    folder.split(separators).all(|own| names.next().is_some_and(|n| is_same(n, own))).then_some(())?;
    let rest: Vec<&str> = names.collect();
    (!rest.is_empty()).then(|| rest.join("/"))
}
