//! Watching the games folder: which game may have changed. Never what changed: that a scan finds out.
//!
//! What is inside `local/` and our own scratch is not reported. Where the system counts watches per folder, each folder
//! but `local/` gets one, and none is looked for: whoever knows a game's folders names them, at the start and while
//! walking (`Watches`), and only a folder that is made meanwhile is read here. When watches run out, that is reported
//! once, and the regular scan finds what is missed.

use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use bonfire_proto::{GameId, RelPath};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::DiskError;
use crate::fs::{EntryName, FsPath, Kind};
use crate::games::{CATALOG, GamesFolder};
use crate::platform::WATCHES_ARE_PER_FOLDER;

/// Most events of the system that are looked at before what they mean is told.
const BATCH_MAX: usize = 1_024;

/// Something in the games folder may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// In this game's root, or the root itself.
    Game(GameId),
    /// The catalog.
    Catalog,
    /// Anything: events were lost, or the folder itself went.
    Everything,
    /// Watching works no more, or not for all folders; the text says why.
    Failed(String),
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    /// Taken by `drop`, which ends the thread's input.
    placing: Option<Arc<Placing>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts watching. `known` names folders within games, as they were when the games were last read; what is watched
    /// at once is those and every game's root. The callback runs on a thread of the watcher, one event at a time; it
    /// must not block for long.
    ///
    /// # Errors
    /// When the folder cannot be watched at all.
    pub fn start(
        folder: &GamesFolder,
        known: Vec<(GameId, Vec<RelPath>)>,
        callback: impl Fn(WatchEvent) + Send + 'static,
    ) -> Result<Self, DiskError> {
        let path = folder.path();
        let failed = |doing, e: notify::Error| DiskError::Io {
            doing,
            path: path.to_owned(),
            source: match e.kind {
                notify::ErrorKind::Io(io) => io,
                other => std::io::Error::other(notify::Error::new(other)),
            },
        };
        let root = std::fs::canonicalize(path).map_err(|source| DiskError::Io {
            doing: "watching",
            path: path.to_owned(),
            source,
        })?;
        let (send, receive) = channel();
        let seen = send.clone();
        let mut notify = notify::recommended_watcher(move |event| {
            // The receiver is gone only when the watcher is being dropped.
            let _ = seen.send(event);
        })
        .map_err(|e| failed("watching", e))?;
        let mode = if WATCHES_ARE_PER_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        notify.watch(&root, mode).map_err(|e| failed("watching", e))?;
        let placing = Arc::new(Placing {
            root: root.clone(),
            notify: Mutex::new(notify),
            exhausted: AtomicBool::new(false),
            roots: OnceLock::new(),
            failures: send,
        });
        let mut worker = Worker {
            root,
            folder: folder.clone(),
            watches: Watches(Arc::downgrade(&placing)),
            callback: Box::new(callback),
            untold: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("bonfire-watch".to_owned())
            .spawn(move || worker.run(known, &receive))
            .map_err(|source| DiskError::Io { doing: "starting to watch", path: path.to_owned(), source })?;
        Ok(Self { placing: Some(placing), thread: Some(thread) })
    }

    /// The way to have more folders watched.
    #[must_use]
    pub fn watches(&self) -> Watches {
        Watches(self.placing.as_ref().map(Arc::downgrade).unwrap_or_default())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.placing = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watching thread panicked");
        }
    }
}

/// Has folders watched, for as long as the watcher lives; does nothing afterwards, and nothing where the system watches
/// whole trees. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watches(Weak<Placing>);

impl Watches {
    /// Watches a folder of a game. Who is about to list the folder calls this first: then no change goes by between the
    /// two. Blocks until every game's root is watched, so that scarce watches go where they tell most.
    pub fn add(&self, game: &GameId, folder: &RelPath) {
        if !WATCHES_ARE_PER_FOLDER {
            return;
        }
        let Some(placing) = self.0.upgrade() else { return };
        placing.roots.wait();
        placing.watch(&FsPath::game(game).beneath(folder));
    }
}

/// The system's watcher and what was placed there.
#[derive(Debug)]
struct Placing {
    root: PathBuf,
    notify: Mutex<RecommendedWatcher>,
    /// The system has no more watches; said once.
    exhausted: AtomicBool,
    /// Set once every game's root is watched.
    roots: OnceLock<()>,
    failures: Sender<notify::Result<notify::Event>>,
}

impl Placing {
    fn watch(&self, folder: &FsPath) {
        let path = self.root.join(folder.as_str());
        if self.exhausted.load(Ordering::Relaxed) || !is_watched(&self.root, &path) {
            return;
        }
        let result =
            self.notify.lock().unwrap_or_else(PoisonError::into_inner).watch(&path, RecursiveMode::NonRecursive);
        match result.map_err(|e| e.kind) {
            // Gone since it was seen.
            Ok(()) | Err(notify::ErrorKind::PathNotFound) => {}
            Err(notify::ErrorKind::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(kind) => {
                if matches!(kind, notify::ErrorKind::MaxFilesWatch) && self.exhausted.swap(true, Ordering::Relaxed) {
                    return;
                }
                let error = notify::Error::new(kind);
                let text = format!("cannot watch {}: {error}", path.display());
                // The worker, which tells of it, is gone only when the watcher is being dropped.
                let _ = self.failures.send(Err(notify::Error::generic(&text)));
            }
        }
    }
}

struct Worker {
    root: PathBuf,
    folder: GamesFolder,
    watches: Watches,
    callback: Box<dyn Fn(WatchEvent) + Send>,
    /// Seen and not told yet, each once.
    untold: Vec<WatchEvent>,
}

impl Worker {
    fn run(&mut self, known: Vec<(GameId, Vec<RelPath>)>, events: &Receiver<notify::Result<notify::Event>>) {
        if WATCHES_ARE_PER_FOLDER {
            self.watch_roots();
            self.watch_known(known);
        }
        while let Ok(first) = events.recv() {
            // A file that is written is an event for each write: told once for all that came meanwhile, so that they
            // do not pile up while the listener is busy.
            let more = std::iter::from_fn(|| events.try_recv().ok()).take(BATCH_MAX);
            for event in std::iter::once(first).chain(more) {
                match event {
                    Ok(event) => self.event(&event),
                    Err(e) => self.tell(WatchEvent::Failed(e.to_string())),
                }
            }
            for event in std::mem::take(&mut self.untold) {
                (self.callback)(event);
            }
        }
    }

    fn tell(&mut self, event: WatchEvent) {
        if !self.untold.contains(&event) {
            self.untold.push(event);
        }
    }

    fn event(&mut self, event: &notify::Event) {
        if event.need_rescan() {
            self.tell(WatchEvent::Everything);
            if WATCHES_ARE_PER_FOLDER {
                // What lies in the games is watched again by whoever reads them all again.
                self.watch_roots();
            }
            return;
        }
        use notify::event::{AccessKind, AccessMode};
        if matches!(event.kind, EventKind::Access(k) if k != AccessKind::Close(AccessMode::Write)) {
            return;
        }
        for path in &event.paths {
            if WATCHES_ARE_PER_FOLDER && !matches!(event.kind, EventKind::Remove(_) | EventKind::Access(_)) {
                self.watch_new(path);
            }
            if let Some(event) = meaning(&self.root, path) {
                self.tell(event);
            }
        }
    }

    fn watch_roots(&mut self) {
        for game in self.folders_in(&FsPath::root()) {
            let Some(placing) = self.watches.0.upgrade() else { return };
            placing.watch(&game);
        }
        if let Some(placing) = self.watches.0.upgrade() {
            placing.roots.get_or_init(|| ());
        }
    }

    fn watch_known(&mut self, known: Vec<(GameId, Vec<RelPath>)>) {
        for (game, folders) in known {
            for folder in folders {
                let path = FsPath::game(&game).beneath(&folder);
                let Some(placing) = self.watches.0.upgrade() else { return };
                // What came in its place since, a link above all, is not to be followed.
                if self.is_folder(&path) {
                    placing.watch(&path);
                }
            }
        }
    }

    fn watch_new(&mut self, path: &Path) {
        // A watch follows the folder, not its name; one on a folder that has one already changes nothing.
        let Some(names) = names(&self.root, path).filter(|n| !n.is_empty()) else { return };
        let top = names.iter().fold(FsPath::root(), |at, name| at.child(name));
        if !self.is_folder(&top) {
            return;
        }
        let mut folders = vec![top];
        while let Some(folder) = folders.pop() {
            if !is_watched(&self.root, &self.root.join(folder.as_str())) {
                continue;
            }
            let Some(placing) = self.watches.0.upgrade() else { return };
            placing.watch(&folder);
            folders.extend(self.folders_in(&folder));
        }
    }

    fn is_folder(&self, path: &FsPath) -> bool {
        self.folder.inner.fs.stat(path).is_ok_and(|m| m.is_some_and(|m| m.kind == Kind::Dir))
    }

    /// Real folders in a folder. One that cannot be read is left to the scan, which reports it.
    fn folders_in(&self, folder: &FsPath) -> Vec<FsPath> {
        let Ok(entries) = self.folder.inner.fs.list(folder) else { return Vec::new() };
        let name = |entry: crate::fs::Entry| match entry.name {
            EntryName::Utf8(name) if entry.kind == Kind::Dir => Some(folder.child(&name)),
            _ => None,
        };
        entries.into_iter().filter_map(name).collect()
    }
}

/// Whether a folder beneath the games folder gets a watch: a game's root or what its manifest may hold.
fn is_watched(root: &Path, folder: &Path) -> bool {
    let Some(names) = names(root, folder) else { return false };
    match names.as_slice() {
        [game] => GameId::new(game.as_str()).is_ok(),
        [game, first, ..] => GameId::new(game.as_str()).is_ok() && !is_ours_or_private(first),
        [] => false,
    }
}

/// What a change of this path means; `None` when nothing.
pub(crate) fn meaning(root: &Path, path: &Path) -> Option<WatchEvent> {
    let names = names(root, path)?;
    match names.as_slice() {
        [] => Some(WatchEvent::Everything),
        [one] if one == CATALOG => Some(WatchEvent::Catalog),
        [game] => GameId::new(game.as_str()).ok().map(WatchEvent::Game),
        // `local` coming or going is whether the game is installed.
        [game, local] if local == "local" => GameId::new(game.as_str()).ok().map(WatchEvent::Game),
        [_, first, ..] if is_ours_or_private(first) => None,
        [game, ..] => GameId::new(game.as_str()).ok().map(WatchEvent::Game),
    }
}

/// Names in a game root whose content is no part of what is shared: `local/`, scratch, markers.
fn is_ours_or_private(name: &str) -> bool {
    RelPath::new(name).is_ok_and(|p| bonfire_proto::game::is_reserved(&p))
}

fn names(root: &Path, path: &Path) -> Option<Vec<String>> {
    let rest = path.strip_prefix(root).ok()?;
    let name = |c: Component<'_>| match c {
        Component::Normal(n) => Some(n.to_string_lossy().into_owned()),
        _ => None,
    };
    rest.components().map(name).collect()
}

#[cfg(test)]
mod tests;
