//! Watching the live folders of save sets: which set may have changed. Never what changed: that a look finds out.
//!
//! Reading is no change, and neither are Bonfire's own scratch and copies of the other side of a conflict. A folder that is
//! not there yet is waited for. Watching is a help and no promise: events get lost, watches run out, a folder far above is
//! moved or a disk unmounted without a word. Whoever needs to know looks from time to time all the same, and names the
//! folders again then, which has them watched anew. Where watches are placed is `placing`'s.

mod placing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use notify::EventKind;
use notify::event::{AccessKind, AccessMode, ModifyKind};

use self::placing::Placing;
use super::error::SaveError;
use super::set::SaveSet;
use crate::error::DiskError;
use crate::platform::WATCHES_ARE_PER_FOLDER;

/// Most events of the system that are looked at before what they mean is told.
const BATCH_MAX: usize = 1_024;

/// Something in the folders of save sets may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SaveWatchEvent {
    /// Beneath a folder of this set, or the folder itself.
    Stirred(SaveSet),
    /// Any set: events were lost.
    Everything,
    /// A folder cannot be watched, or the system has no more watches; the text says why. Each is said once.
    Failed(String),
}

/// Watches until it is dropped. Not to be dropped by its own callback.
pub struct SaveWatcher {
    /// Taken by `drop`, which ends the thread's input.
    placing: Option<Arc<Mutex<Placing>>>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread of the watcher is told.
enum News {
    Seen(notify::Result<notify::Event>),
    Failed(String),
}

impl SaveWatcher {
    /// Starts with nothing to watch. The callback runs on a thread of the watcher, one event at a time; it must not block
    /// for long.
    ///
    /// # Errors
    /// When the system does not let us watch at all.
    pub fn start(callback: impl Fn(SaveWatchEvent) + Send + 'static) -> Result<Self, SaveError> {
        Self::start_on(callback, std::env::home_dir(), |seen| {
            notify::recommended_watcher(seen).map(|watcher| Box::new(watcher) as Box<_>)
        })
    }

    /// As `start`, with a watcher of the system that `make` makes around what is to be told. `home` is a folder that is
    /// not watched with all that is beneath it, and neither is one above it.
    fn start_on(
        callback: impl Fn(SaveWatchEvent) + Send + 'static,
        home: Option<PathBuf>,
        make: impl FnOnce(Tell) -> notify::Result<Box<dyn notify::Watcher + Send>>,
    ) -> Result<Self, SaveError> {
        let failed = |source| DiskError::Io { doing: "starting to watch saves", path: PathBuf::new(), source };
        let (send, news) = channel();
        let notify = make(Tell(send.clone())).map_err(|e| {
            failed(match e.kind {
                notify::ErrorKind::Io(io) => io,
                other => std::io::Error::other(notify::Error::new(other)),
            })
        })?;
        let placing = Arc::new(Mutex::new(Placing::new(notify, home, send)));
        let mut worker = Worker { placing: Arc::downgrade(&placing), callback: Box::new(callback) };
        let thread = std::thread::Builder::new()
            .name("bonfire-saves".to_owned())
            .spawn(move || worker.run(&news))
            .map_err(failed)?;
        Ok(Self { placing: Some(placing), thread: Some(thread) })
    }

    /// Watches these folders for a set, in place of those that were named before; no folder ends it. A root that is one
    /// file is named by the folder it is in. Each change after this returns is told. Naming the same folders again has
    /// them placed anew. Blocks for as long as it takes to list the folders beneath them.
    pub fn set_places(&self, set: SaveSet, folders: Vec<PathBuf>) {
        if let Some(placing) = &self.placing {
            lock(placing).set_places(set, folders);
        }
    }
}

impl Drop for SaveWatcher {
    fn drop(&mut self) {
        self.placing = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that watches saves panicked");
        }
    }
}

/// Takes what the system's watcher has to say.
struct Tell(Sender<News>);

impl notify::EventHandler for Tell {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        // The receiver is gone only when the watcher is being dropped.
        let _ = self.0.send(News::Seen(event));
    }
}

fn lock(placing: &Mutex<Placing>) -> std::sync::MutexGuard<'_, Placing> {
    placing.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    /// Gone when the watcher is being dropped.
    placing: Weak<Mutex<Placing>>,
    callback: Box<dyn Fn(SaveWatchEvent) + Send>,
}

/// What several events come to.
#[derive(Default)]
struct Batch {
    /// Paths at or in which something happened, with what.
    paths: BTreeMap<PathBuf, Happened>,
    is_overflow: bool,
    failed: Vec<String>,
}

/// What events say of one path.
#[derive(Debug, Clone, Copy, Default)]
struct Happened {
    came: bool,
    went: bool,
}

impl Worker {
    fn run(&mut self, news: &Receiver<News>) {
        while let Ok(first) = news.recv() {
            // A file that is written is an event for each write: told once for all that came meanwhile, so that they do not
            // pile up while the listener is busy.
            let more = std::iter::from_fn(|| news.try_recv().ok()).take(BATCH_MAX);
            let mut batch = Batch::default();
            for news in std::iter::once(first).chain(more) {
                match news {
                    News::Seen(Ok(event)) => batch.add(event),
                    News::Seen(Err(e)) => batch.failed.push(e.to_string()),
                    News::Failed(text) => batch.failed.push(text),
                }
            }
            let Some(placing) = self.placing.upgrade() else { return };
            let stirred = batch.settle(&mut lock(&placing));
            // New folders are watched by now, so what is told here covers what was written to them before they were.
            drop(placing);
            for text in batch.failed {
                (self.callback)(SaveWatchEvent::Failed(text));
            }
            if batch.is_overflow {
                (self.callback)(SaveWatchEvent::Everything);
            }
            for set in stirred {
                (self.callback)(SaveWatchEvent::Stirred(set));
            }
        }
    }
}

impl Batch {
    fn add(&mut self, event: notify::Event) {
        if event.need_rescan() {
            self.is_overflow = true;
            return;
        }
        let happened = match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Data(_)) => {
                Happened::default()
            }
            EventKind::Access(_) => return,
            EventKind::Remove(_) => Happened { came: false, went: true },
            EventKind::Modify(ModifyKind::Name(_)) => Happened { came: true, went: true },
            _ => Happened { came: true, went: false },
        };
        for path in event.paths {
            // Where a whole tree has one watch, a folder is said to change with each name in it, ours included; the names
            // are told as well.
            if !WATCHES_ARE_PER_FOLDER && matches!(event.kind, EventKind::Modify(ModifyKind::Any)) && path.is_dir() {
                continue;
            }
            let entry = self.paths.entry(path).or_default();
            entry.came |= happened.came;
            entry.went |= happened.went;
        }
    }

    /// Places watches where folders came or went, and says which sets may have changed.
    fn settle(&self, placing: &mut Placing) -> BTreeSet<SaveSet> {
        let mut stirred = BTreeSet::new();
        if self.is_overflow {
            placing.place_all();
            return stirred;
        }
        for path in self.paths.keys() {
            placing.sets_at(path, &mut stirred);
        }
        // What went first: a watch goes with its folder to the folder's new name, and is given back under its old one.
        for (path, _) in self.paths.iter().filter(|(_, happened)| happened.went) {
            placing.went(path, &mut stirred);
        }
        for (path, _) in self.paths.iter().filter(|(_, happened)| happened.came || happened.went) {
            placing.came(path, &mut stirred);
        }
        stirred
    }
}

#[cfg(test)]
mod tests;
