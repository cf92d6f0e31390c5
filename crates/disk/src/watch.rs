//! Watching the games folder: which game may have changed. Never what changed: that a scan finds out.
//!
//! What is inside `local/` and our own scratch is not reported. Where the system counts watches per folder, each folder
//! but `local/` gets one; when they run out, that is reported once, and the regular scan finds what is missed.

use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use bonfire_proto::{GameId, RelPath};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use crate::error::DiskError;
use crate::games::CATALOG;
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
    notify: Option<Arc<Mutex<RecommendedWatcher>>>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts watching. The callback runs on a thread of the watcher, one event at a time; it must not block for long.
    ///
    /// # Errors
    /// When the folder cannot be watched at all.
    pub fn start(path: &Path, callback: impl Fn(WatchEvent) + Send + 'static) -> Result<Self, DiskError> {
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
        let mut notify = notify::recommended_watcher(move |event| {
            // The receiver is gone only when the watcher is being dropped.
            let _ = send.send(event);
        })
        .map_err(|e| failed("watching", e))?;
        let mode = if WATCHES_ARE_PER_FOLDER { RecursiveMode::NonRecursive } else { RecursiveMode::Recursive };
        notify.watch(&root, mode).map_err(|e| failed("watching", e))?;
        let notify = Arc::new(Mutex::new(notify));
        let mut worker = Worker {
            root,
            notify: Arc::downgrade(&notify),
            callback: Box::new(callback),
            untold: Vec::new(),
            exhausted: false,
        };
        let thread = std::thread::Builder::new()
            .name("bonfire-watch".to_owned())
            .spawn(move || worker.run(&receive))
            .map_err(|source| DiskError::Io { doing: "starting to watch", path: path.to_owned(), source })?;
        Ok(Self { notify: Some(notify), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.notify = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watching thread panicked");
        }
    }
}

struct Worker {
    root: PathBuf,
    notify: Weak<Mutex<RecommendedWatcher>>,
    callback: Box<dyn Fn(WatchEvent) + Send>,
    /// Seen and not told yet, each once.
    untold: Vec<WatchEvent>,
    /// The system has no more watches; said once.
    exhausted: bool,
}

impl Worker {
    fn run(&mut self, events: &Receiver<notify::Result<notify::Event>>) {
        if WATCHES_ARE_PER_FOLDER {
            self.watch_games();
        }
        for event in std::mem::take(&mut self.untold) {
            (self.callback)(event);
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
                self.watch_games();
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

    /// Watches all games: first every root, then what is beneath, so that scarce watches go where they tell most.
    fn watch_games(&mut self) {
        let games: Vec<PathBuf> = folders_in(&self.root).into_iter().filter(|p| is_watched(&self.root, p)).collect();
        for game in &games {
            self.watch_one(game);
        }
        for game in &games {
            for folder in folders_in(game) {
                self.watch_tree(&folder);
            }
        }
    }

    fn watch_new(&mut self, path: &Path) {
        // A watch follows the folder, not its name; one on a folder that has one already changes nothing.
        if path != self.root && path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            self.watch_tree(path);
        }
    }

    fn watch_tree(&mut self, top: &Path) {
        let mut folders = vec![top.to_owned()];
        while let Some(folder) = folders.pop() {
            if self.exhausted || !is_watched(&self.root, &folder) {
                continue;
            }
            self.watch_one(&folder);
            folders.extend(folders_in(&folder));
        }
    }

    fn watch_one(&mut self, folder: &Path) {
        let Some(notify) = self.notify.upgrade() else { return };
        if self.exhausted {
            return;
        }
        let result = notify.lock().unwrap_or_else(PoisonError::into_inner).watch(folder, RecursiveMode::NonRecursive);
        match result.map_err(|e| e.kind) {
            // Gone since it was seen.
            Ok(()) | Err(notify::ErrorKind::PathNotFound) => {}
            Err(notify::ErrorKind::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(kind) => {
                self.exhausted = matches!(kind, notify::ErrorKind::MaxFilesWatch);
                let error = notify::Error::new(kind);
                self.tell(WatchEvent::Failed(format!("cannot watch {}: {error}", folder.display())));
            }
        }
    }
}

/// Real folders in a folder. One that cannot be read is left to the scan, which reports it.
fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
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
