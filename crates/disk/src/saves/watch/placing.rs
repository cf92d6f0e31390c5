//! Which folders have a watch of the system, and for which save sets.
//!
//! Every path here is free of links, so that a folder that several sets lead to has one watch and one name. Where the
//! system counts watches per folder, each folder beneath a root gets one; elsewhere a root gets one for all. The home
//! folder and those above it are never watched with what is beneath them.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::Sender;

use notify::{ErrorKind, EventKind, RecursiveMode};

use super::News;
use crate::platform::{WATCHES_ARE_PER_FOLDER, identity};
use crate::saves::resolve::{Resolved, resolve};
use crate::saves::roots::{is_conflict_copy, is_ours};
use crate::saves::set::SaveSet;

/// Most folders beneath one root that are watched. Saves have some hundreds; a large folder that was declared by mistake
/// must not take the watches of all other sets.
const FOLDERS_MAX: usize = 10_000;

/// How often a folder is looked for again that comes and goes while a watch is placed.
const TRIES: usize = 100;

/// A folder as it was named, and for which set.
type Wanted = (SaveSet, PathBuf);

/// Where a wanted folder stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It is this one.
    There(PathBuf),
    /// It is not there; once it is, there is this name in this folder.
    Awaited { within: PathBuf, name: OsString },
    /// It could not be looked at.
    Unknown,
}

/// A watch of the system.
#[derive(Debug, Clone, Copy)]
struct Watch {
    mode: RecursiveMode,
    /// Of the folder, where the platform tells.
    identity: Option<(u64, u64)>,
}

/// The system's watcher and what was placed there.
pub(super) struct Placing {
    notify: Box<dyn notify::Watcher + Send>,
    home: Option<PathBuf>,
    news: Sender<News>,
    wanted: BTreeMap<Wanted, Standing>,
    /// Wanted folders that are there, by what they are without links.
    roots: BTreeMap<PathBuf, BTreeSet<Wanted>>,
    /// Wanted folders that are not, by the folder in which a name is awaited.
    awaited: BTreeMap<PathBuf, BTreeSet<(OsString, Wanted)>>,
    watched: BTreeMap<PathBuf, Watch>,
    /// Watched folders by what they are. The system has one watch for a folder, under however many names it came to be
    /// watched while it was moved.
    names: BTreeMap<(u64, u64), BTreeSet<PathBuf>>,
    /// The system had no more watches; said once.
    is_exhausted: bool,
    /// Folders of which it was said that they cannot be watched.
    failed: BTreeSet<PathBuf>,
}

impl Placing {
    pub(super) fn new(notify: Box<dyn notify::Watcher + Send>, home: Option<PathBuf>, news: Sender<News>) -> Self {
        Self {
            notify,
            // A home that is not there holds nothing that could be watched by mistake.
            home: home.and_then(|home| std::fs::canonicalize(home).ok()),
            news,
            wanted: BTreeMap::new(),
            roots: BTreeMap::new(),
            awaited: BTreeMap::new(),
            watched: BTreeMap::new(),
            names: BTreeMap::new(),
            is_exhausted: false,
            failed: BTreeSet::new(),
        }
    }

    pub(super) fn set_places(&mut self, set: SaveSet, folders: Vec<PathBuf>) {
        let first = (set.clone(), PathBuf::new());
        let old: Vec<Wanted> = self.wanted.range(first..).map(|(w, _)| w.clone()).take_while(|w| w.0 == set).collect();
        let left: Vec<Standing> = old.iter().filter_map(|wanted| self.forget(wanted)).collect();
        for folder in folders {
            self.place((set.clone(), folder));
        }
        for standing in left {
            self.give_back(&standing);
        }
    }

    /// Places every watch anew.
    pub(super) fn place_all(&mut self) {
        let all: Vec<Wanted> = self.wanted.keys().cloned().collect();
        for wanted in all {
            self.place_again(wanted);
        }
    }

    /// Adds the sets for which something at this path is a change.
    pub(super) fn sets_at(&self, path: &Path, sets: &mut BTreeSet<SaveSet>) {
        for root in path.ancestors() {
            if let Some(wanted) = self.roots.get(root)
                && (root == path || path.parent() == Some(root) || self.is_deep(root))
                && is_told(root, path)
            {
                sets.extend(wanted.iter().map(|(set, _)| set.clone()));
            }
        }
    }

    /// Something of this name is there that was not, or may not have been.
    pub(super) fn came(&mut self, path: &Path, stirred: &mut BTreeSet<SaveSet>) {
        if WATCHES_ARE_PER_FOLDER
            && path.ancestors().any(|root| self.roots.contains_key(root) && self.is_deep(root) && is_told(root, path))
            && std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
        {
            self.watch_tree(path);
        }
        let (Some(within), Some(name)) = (path.parent(), path.file_name()) else { return };
        // Elsewhere a name may be spelled in several ways.
        let is_it = |awaited: &OsStr| !WATCHES_ARE_PER_FOLDER || awaited == name;
        let Some(awaited) = self.awaited.get(within) else { return };
        let again: Vec<Wanted> = awaited.iter().filter(|(name, _)| is_it(name)).map(|(_, w)| w.clone()).collect();
        for wanted in again {
            let set = wanted.0.clone();
            if self.place_again(wanted) {
                stirred.insert(set);
            }
        }
    }

    /// What was at this path is not there any more, or is another.
    pub(super) fn went(&mut self, path: &Path, stirred: &mut BTreeSet<SaveSet>) {
        let gone: Vec<PathBuf> = beneath(&self.watched, path).map(|(folder, _)| folder.clone()).collect();
        for folder in gone {
            self.unwatch(&folder);
        }
        let roots = beneath(&self.roots, path).flat_map(|(_, wanted)| wanted);
        let awaited = beneath(&self.awaited, path).flat_map(|(_, wanted)| wanted).map(|(_, wanted)| wanted);
        let again: BTreeSet<Wanted> = roots.chain(awaited).cloned().collect();
        for wanted in again {
            let set = wanted.0.clone();
            let was_there = matches!(self.wanted.get(&wanted), Some(Standing::There(_)));
            if self.place_again(wanted) || was_there {
                stirred.insert(set);
            }
        }
    }

    /// Returns whether the folder is there.
    fn place_again(&mut self, wanted: Wanted) -> bool {
        let old = self.forget(&wanted);
        let is_there = self.place(wanted);
        if let Some(old) = old {
            self.give_back(&old);
        }
        is_there
    }

    fn forget(&mut self, wanted: &Wanted) -> Option<Standing> {
        let standing = self.wanted.remove(wanted)?;
        match &standing {
            Standing::There(root) => remove(&mut self.roots, root, wanted),
            Standing::Awaited { within, name } => remove(&mut self.awaited, within, &(name.clone(), wanted.clone())),
            Standing::Unknown => {}
        }
        Some(standing)
    }

    fn place(&mut self, wanted: Wanted) -> bool {
        let mut standing = self.standing(&wanted.1);
        for _ in 0..TRIES {
            match &standing {
                Standing::There(root) => self.watch_tree(root),
                Standing::Awaited { within, .. } => {
                    self.watch(within, RecursiveMode::NonRecursive);
                }
                Standing::Unknown => {}
            }
            // What came or went before the watch was there would be told by nobody.
            match self.standing(&wanted.1) {
                same if same == standing => break,
                other => standing = other,
            }
        }
        let is_there = match &standing {
            Standing::There(root) => self.roots.entry(root.clone()).or_default().insert(wanted.clone()),
            Standing::Awaited { within, name } => {
                self.awaited.entry(within.clone()).or_default().insert((name.clone(), wanted.clone()));
                false
            }
            Standing::Unknown => false,
        };
        self.wanted.insert(wanted, standing);
        is_there
    }

    fn standing(&mut self, folder: &Path) -> Standing {
        let resolved = match resolve(folder) {
            Ok(resolved) => resolved,
            Err(e) => {
                self.say_failed(folder, &e);
                return Standing::Unknown;
            }
        };
        let Resolved { there, is_folder, missing, .. } = resolved;
        match missing.into_iter().next() {
            None if is_folder => Standing::There(there),
            Some(name) if is_folder => Standing::Awaited { within: there, name },
            // A file in the place of a folder; it may go.
            _ => match (there.parent(), there.file_name()) {
                (Some(within), Some(name)) => Standing::Awaited { within: within.to_owned(), name: name.to_owned() },
                _ => Standing::Unknown,
            },
        }
    }

    /// Watches a folder beneath a root and all that is beneath it, as far as the root is watched so.
    fn watch_tree(&mut self, top: &Path) {
        if !WATCHES_ARE_PER_FOLDER {
            let mode = if self.is_deep(top) { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
            self.watch(top, mode);
            return;
        }
        let (mut folders, mut count) = (vec![top.to_owned()], 0);
        while let Some(folder) = folders.pop() {
            count += 1;
            if count > FOLDERS_MAX {
                self.say_failed(top, &format_args!("more than {FOLDERS_MAX} folders, of which not all are watched"));
                return;
            }
            // Listed after it is watched, so that what is made meanwhile is either listed or told.
            if self.watch(&folder, RecursiveMode::NonRecursive) && self.is_deep(&folder) {
                match folders_in(&folder) {
                    Ok(more) => folders.extend(more),
                    Err(e) => self.say_failed(&folder, &e),
                }
            }
        }
    }

    /// Returns whether it is watched.
    fn watch(&mut self, folder: &Path, mode: RecursiveMode) -> bool {
        let placed = self.watched.get(folder).map(|watch| watch.mode);
        let mode = if placed == Some(RecursiveMode::Recursive) { RecursiveMode::Recursive } else { mode };
        if placed.is_some() && !WATCHES_ARE_PER_FOLDER {
            self.unwatch(folder);
        }
        // On one that is watched already this changes nothing, unless it is another folder by now.
        match self.notify.watch(folder, mode).map_err(|e| e.kind) {
            Ok(()) => {
                self.failed.remove(folder);
                let identity = if WATCHES_ARE_PER_FOLDER { identity(folder) } else { None };
                self.forget_watch(folder);
                self.watched.insert(folder.to_owned(), Watch { mode, identity });
                if let Some(identity) = identity {
                    self.names.entry(identity).or_default().insert(folder.to_owned());
                }
                return true;
            }
            // Gone since it was seen.
            Err(ErrorKind::PathNotFound) => {}
            Err(ErrorKind::Io(e)) if e.kind() == io::ErrorKind::NotFound => {}
            Err(kind @ ErrorKind::MaxFilesWatch) => {
                if !std::mem::replace(&mut self.is_exhausted, true) {
                    self.say(format!("cannot watch {}: {}", folder.display(), notify::Error::new(kind)));
                }
            }
            Err(kind) => self.say_failed(folder, &notify::Error::new(kind)),
        }
        false
    }

    fn unwatch(&mut self, folder: &Path) {
        let identity = self.forget_watch(folder).and_then(|watch| watch.identity);
        match self.notify.unwatch(folder).map_err(|e| e.kind) {
            Ok(()) => {}
            // It went with its folder.
            Err(ErrorKind::WatchNotFound) => return,
            Err(kind) => self.say_failed(folder, &notify::Error::new(kind)),
        }
        // The folder may be watched under another name by now, and its one watch is gone.
        let names = identity.and_then(|identity| self.names.get(&identity)).cloned().unwrap_or_default();
        for name in names {
            self.watch(&name, RecursiveMode::NonRecursive);
            self.tell(News::Seen(Ok(notify::Event::new(EventKind::Any).add_path(name))));
        }
    }

    fn forget_watch(&mut self, folder: &Path) -> Option<Watch> {
        let watch = self.watched.remove(folder)?;
        if let Some(identity) = watch.identity {
            remove(&mut self.names, &identity, folder);
        }
        Some(watch)
    }

    /// Ends watches that nobody needs since something stands elsewhere.
    fn give_back(&mut self, old: &Standing) {
        let folders: Vec<PathBuf> = match old {
            Standing::There(root) => beneath(&self.watched, root).map(|(folder, _)| folder.clone()).collect(),
            Standing::Awaited { within, .. } => vec![within.clone()],
            Standing::Unknown => Vec::new(),
        };
        for folder in folders {
            if self.watched.contains_key(&folder) && !self.is_needed(&folder) {
                self.unwatch(&folder);
            }
        }
    }

    fn is_needed(&self, folder: &Path) -> bool {
        let by_root = |root: &Path| {
            self.roots.contains_key(root) && (root == folder || (self.is_deep(root) && is_told(root, folder)))
        };
        self.awaited.contains_key(folder) || folder.ancestors().any(by_root)
    }

    /// Whether what is beneath a root is watched with it.
    fn is_deep(&self, root: &Path) -> bool {
        root.parent().is_some() && !self.home.as_ref().is_some_and(|home| home.starts_with(root))
    }

    fn say_failed(&mut self, folder: &Path, why: &dyn std::fmt::Display) {
        if self.failed.insert(folder.to_owned()) {
            self.say(format!("cannot watch {}: {why}", folder.display()));
        }
    }

    fn say(&self, text: String) {
        self.tell(News::Failed(text));
    }

    fn tell(&self, news: News) {
        // The receiver is gone only when the watcher is being dropped.
        let _ = self.news.send(news);
    }
}

/// Whether something beneath a root is told at all.
fn is_told(root: &Path, path: &Path) -> bool {
    let Ok(rest) = path.strip_prefix(root) else { return false };
    rest.components().all(|part| match part {
        Component::Normal(name) => is_told_name(name),
        _ => false,
    })
}

fn is_told_name(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    !is_ours(&name) && !is_conflict_copy(&name)
}

/// Real folders in a folder whose content is told. None when it is gone.
fn folders_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut out = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_told_name(&entry.file_name()) && entry.file_type()?.is_dir() {
            out.push(entry.path());
        }
    }
    Ok(out)
}

/// What a map has of a folder and of all beneath it.
fn beneath<'a, V>(map: &'a BTreeMap<PathBuf, V>, folder: &Path) -> impl Iterator<Item = (&'a PathBuf, &'a V)> {
    map.range(folder.to_owned()..).take_while(move |(path, _)| path.starts_with(folder))
}

fn remove<K: Ord, V: Ord + Borrow<T>, T: Ord + ?Sized>(map: &mut BTreeMap<K, BTreeSet<V>>, at: &K, value: &T) {
    if let Some(values) = map.get_mut(at) {
        values.remove(value);
        if values.is_empty() {
            map.remove(at);
        }
    }
}
