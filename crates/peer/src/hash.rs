//! Background hashing: reads games whose content is not known yet, one after another, and stands still while bytes move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bonfire_disk::{FileStamp, HashError};
use bonfire_engine::Report;
use bonfire_engine::input::{Hashed, Input};
use bonfire_proto::{GameId, Manifest, ManifestFile};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::conns;
use crate::errors;
use crate::index::{HashedGame, Index, KnownFile};
use crate::task::Event;
use crate::world::World;

/// Longest that a game which was read waits for others, so that all are stored and told together.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Hashes games; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    world: World,
    index: Index,
    held: watch::Sender<bool>,
    stopped: Arc<AtomicBool>,
}

/// Games that have ended and were not told yet.
struct Ended {
    read: Vec<HashedGame>,
    others: Vec<(GameId, Hashed)>,
    since: Instant,
}

/// How far a game was read.
enum Read {
    Whole(HashedGame),
    Not(Hashed),
}

enum Step {
    Hashed(KnownFile),
    Stopped,
    Changed,
    Failed(Report),
}

impl Hasher {
    pub(crate) fn new(world: World, index: Index) -> Self {
        Self { world, index, held: watch::channel(false).0, stopped: Arc::default() }
    }

    /// Holds hashing still, or lets it go on.
    pub(crate) fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }

    /// Ends hashing for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.held.send_replace(false);
    }

    /// Hashes games file by file and tells the engine: of all of them together, or of those that are done when a while
    /// has passed, so that what a kill costs is bounded in time as the engine bounds it in games and bytes.
    pub(crate) async fn hash(self, games: Vec<GameId>, events: mpsc::Sender<Event>) {
        let mut ended = Ended { read: Vec::new(), others: Vec::new(), since: Instant::now() };
        for game in games {
            match self.hash_all(&game, &mut ended, &events).await {
                Ok(Read::Whole(read)) => ended.read.push(read),
                Ok(Read::Not(why)) => ended.others.push((game, why)),
                Err(error) => ended.others.push((game, Hashed::Failed(error))),
            }
            if ended.since.elapsed() >= TELL_EVERY {
                self.tell(&mut ended, &events).await;
            }
        }
        self.tell(&mut ended, &events).await;
    }

    /// Stores what was read and tells the engine of everything that has ended.
    async fn tell(&self, ended: &mut Ended, events: &mpsc::Sender<Event>) {
        let read = std::mem::take(&mut ended.read);
        let mut told = std::mem::take(&mut ended.others);
        ended.since = Instant::now();
        if !read.is_empty() {
            let lists: Vec<_> = read.iter().map(|g| (g.game.clone(), g.manifest_hash)).collect();
            let index = self.index.clone();
            match self.world.blocking.run(move || index.note_hashed(read)).await.and_then(|r| r) {
                Ok(contents) => {
                    let hashed = |((game, manifest_hash), content): (_, Option<_>)| {
                        let done = |content_hash| Hashed::Done { manifest_hash, content_hash };
                        (game, content.map_or(Hashed::Changed, done))
                    };
                    told.extend(lists.into_iter().zip(contents).map(hashed));
                }
                Err(error) => told.extend(lists.into_iter().map(|(game, _)| (game, Hashed::Failed(error.clone())))),
            }
        }
        for (game, _) in told.iter().filter(|(_, h)| matches!(h, Hashed::Changed)) {
            self.index.distrust(game);
        }
        if !told.is_empty() {
            conns::send(events, Event::Input(Input::Hashed(told))).await;
        }
    }

    async fn hash_all(&self, game: &GameId, ended: &mut Ended, events: &mpsc::Sender<Event>) -> Result<Read, Report> {
        let (index, id) = (self.index.clone(), game.clone());
        let rows = self.world.blocking.run(move || index.files(&id)).await??;
        let list = rows.iter().map(|r| ManifestFile { path: r.path.clone(), size: r.size, blake3: None }).collect();
        let manifest_hash = Manifest::new(game.clone(), String::new(), list).manifest_hash;
        let mut known = Vec::new();
        for row in rows.into_iter().filter(|r| r.blake3.is_none()) {
            loop {
                let mut held = self.held.subscribe();
                if *held.borrow() {
                    // Bytes may move for hours; what is known need not wait for their end.
                    self.tell(ended, events).await;
                }
                if held.wait_for(|h| !*h).await.is_err() || self.stopped.load(Ordering::Relaxed) {
                    return Ok(Read::Not(Hashed::Stopped));
                }
                match self.hash_file(game, &row.path, FileStamp { size: row.size, mtime_ns: row.mtime_ns }).await? {
                    Step::Hashed(file) => {
                        known.push(file);
                        break;
                    }
                    // Held in the middle of a file: the file is begun again once bytes have stopped moving.
                    Step::Stopped => {}
                    Step::Changed => return Ok(Read::Not(Hashed::Changed)),
                    Step::Failed(error) => return Ok(Read::Not(Hashed::Failed(error))),
                }
            }
        }
        Ok(Read::Whole(HashedGame { game: game.clone(), manifest_hash, files: known }))
    }

    async fn hash_file(&self, game: &GameId, path: &bonfire_proto::RelPath, stamp: FileStamp) -> Result<Step, Report> {
        let (folder, held, stopped) = (self.world.folder.clone(), self.held.subscribe(), self.stopped.clone());
        let (game, path) = (game.clone(), path.clone());
        self.world
            .blocking
            .run(move || {
                let keep_going = |_: u64| !*held.borrow() && !stopped.load(Ordering::Relaxed);
                match folder.hash_file(&game, &path, &stamp, &keep_going) {
                    Ok(h) => Step::Hashed(KnownFile { path, stamp, blake3: h.blake3, chunks: h.chunks }),
                    Err(HashError::Cancelled) => Step::Stopped,
                    Err(HashError::Changed { .. }) => Step::Changed,
                    Err(HashError::Disk(e)) => Step::Failed(errors::disk(&e)),
                }
            })
            .await
    }
}
