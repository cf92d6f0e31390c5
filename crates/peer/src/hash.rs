//! Background hashing: reads games whose content is not known yet, one at a time, and stands still while bytes move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bonfire_disk::{FileStamp, HashError};
use bonfire_engine::Report;
use bonfire_engine::input::{Hashed, Input};
use bonfire_proto::{GameId, Manifest, ManifestFile};
use tokio::sync::{mpsc, watch};

use crate::conns;
use crate::errors;
use crate::index::{Index, KnownFile};
use crate::task::Event;
use crate::world::World;

/// Hashes games; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    world: World,
    index: Index,
    held: watch::Sender<bool>,
    stopped: Arc<AtomicBool>,
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

    /// Hashes a game file by file and tells the engine.
    pub(crate) async fn hash(self, game: GameId, events: mpsc::Sender<Event>) {
        let hashed = match self.hash_all(&game).await {
            Ok(hashed) => hashed,
            Err(error) => Hashed::Failed(error),
        };
        if matches!(hashed, Hashed::Changed) {
            self.index.distrust(&game);
        }
        conns::send(&events, Event::Input(Input::Hashed(game, hashed))).await;
    }

    async fn hash_all(&self, game: &GameId) -> Result<Hashed, Report> {
        let (index, id) = (self.index.clone(), game.clone());
        let rows = self.world.blocking.run(move || index.files(&id)).await??;
        let list = rows.iter().map(|r| ManifestFile { path: r.path.clone(), size: r.size, blake3: None }).collect();
        let manifest_hash = Manifest::new(game.clone(), String::new(), list).manifest_hash;
        let mut known = Vec::new();
        for row in rows.into_iter().filter(|r| r.blake3.is_none()) {
            loop {
                let mut held = self.held.subscribe();
                if held.wait_for(|h| !*h).await.is_err() || self.stopped.load(Ordering::Relaxed) {
                    return Ok(Hashed::Stopped);
                }
                match self.hash_file(game, &row.path, FileStamp { size: row.size, mtime_ns: row.mtime_ns }).await? {
                    Step::Hashed(file) => {
                        known.push(file);
                        break;
                    }
                    // Held in the middle of a file: the file is begun again once bytes have stopped moving.
                    Step::Stopped => {}
                    Step::Changed => return Ok(Hashed::Changed),
                    Step::Failed(error) => return Ok(Hashed::Failed(error)),
                }
            }
        }
        let (index, id) = (self.index.clone(), game.clone());
        let content = self.world.blocking.run(move || index.note_hashed(&id, manifest_hash, known)).await??;
        Ok(content.map_or(Hashed::Changed, |content_hash| Hashed::Done { manifest_hash, content_hash }))
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
