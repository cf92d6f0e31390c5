//! The file lists of the games that are being fetched, kept ready between requests, and the digests of their chunks.
//!
//! Owns how many are kept, until when one holds, and how many requests read the database at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bonfire_disk::FileStamp;
use bonfire_engine::serving::{Servable, ServingView};
use bonfire_proto::limits::PAGE_LEN_MAX;
use bonfire_proto::message::{ErrorMsg, ManifestMsg, ManifestPage, Response};
use bonfire_proto::{ContentHash, Digest, ErrorCode, GameId, Manifest, ManifestFile, ManifestHash, RelPath};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::errors::chain;
use crate::index::Index;
use crate::world::World;

/// Requests that read the database at one time; the rest wait here and not where the peer's own writes wait.
const READS_AT_ONCE: usize = 2;
/// File lists kept ready. A room fetches one game at a time, at most a few.
const LISTS_KEPT: usize = 8;

/// A game ready to be served.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) manifest: Manifest,
    pub(super) stamps: Vec<FileStamp>,
    /// Chunk digests by file, read once.
    hashes: Mutex<BTreeMap<u32, Arc<Vec<Digest>>>>,
}

impl Listed {
    /// A file and its place in the list.
    pub(super) fn position(&self, path: &RelPath) -> Option<(u32, &ManifestFile)> {
        let at = self.manifest.files.binary_search_by(|f| f.path.cmp(path)).ok()?;
        Some((u32::try_from(at).ok()?, &self.manifest.files[at]))
    }
}

/// What a list was read as; with equal hashes its files may still have other stamps.
type Key = (ManifestHash, Option<ContentHash>, u64);

type Kept = BTreeMap<GameId, (Key, Arc<Listed>)>;

/// The lists that are kept; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lists {
    world: World,
    index: Index,
    reads: Arc<Semaphore>,
    kept: Arc<Mutex<Kept>>,
}

impl Lists {
    pub(super) fn new(world: World, index: Index) -> Self {
        Self { world, index, reads: Arc::new(Semaphore::new(READS_AT_ONCE)), kept: Arc::default() }
    }

    /// A game's file list, or the refusal to send.
    pub(super) async fn of(&self, view: &ServingView, game: &GameId) -> Result<Arc<Listed>, ErrorMsg> {
        let servable = view.servable(game)?;
        if let Some(listed) = self.kept(game, servable) {
            return Ok(listed);
        }
        let _turn = self.turn().await;
        // Whoever was before may have read it.
        match self.kept(game, servable) {
            Some(listed) => Ok(listed),
            None => self.read(game, servable).await,
        }
    }

    async fn read(&self, game: &GameId, servable: &Servable) -> Result<Arc<Listed>, ErrorMsg> {
        // Read before the rows are: a list that is stored meanwhile makes this one out of date.
        let key = self.key(game, servable);
        let (database, id, version) = (self.world.database.clone(), game.clone(), servable.version.clone());
        let loaded = self.world.blocking.run(move || load(&database, &id, version)).await.and_then(|r| r);
        match loaded {
            Ok(listed) if listed.manifest.manifest_hash == key.0 => {
                let listed = Arc::new(listed);
                let mut kept = self.lock();
                if kept.len() >= LISTS_KEPT
                    && !kept.contains_key(game)
                    && let Some(first) = kept.keys().next().cloned()
                {
                    kept.remove(&first);
                }
                kept.insert(game.clone(), (key, listed.clone()));
                Ok(listed)
            }
            Ok(_) => Err(ErrorMsg::new(ErrorCode::NotReady, format!("{game} is being read again"))),
            Err(error) => {
                tracing::warn!("the file list of {game} cannot be read: {error}");
                Err(ErrorMsg::new(ErrorCode::Internal, format!("the list of {game} cannot be read")))
            }
        }
    }

    fn kept(&self, game: &GameId, servable: &Servable) -> Option<Arc<Listed>> {
        let key = self.key(game, servable);
        self.lock().get(game).filter(|(k, _)| *k == key).map(|(_, l)| l.clone())
    }

    fn key(&self, game: &GameId, servable: &Servable) -> Key {
        (servable.manifest_hash, servable.content_hash, self.index.generation(game))
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn turn(&self) -> OwnedSemaphorePermit {
        self.reads.clone().acquire_owned().await.expect("BUG: the semaphore is never closed")
    }

    /// The chunk digests of a file, as far as it was hashed; why they cannot be read.
    pub(super) async fn hashes(
        &self,
        listed: &Listed,
        game: &GameId,
        index: u32,
    ) -> Result<Option<Arc<Vec<Digest>>>, String> {
        let file = &listed.manifest.files[index as usize];
        let Some(whole) = file.blake3 else { return Ok(None) };
        if bonfire_proto::chunk_count(file.size) == 1 {
            return Ok(Some(Arc::new(vec![whole])));
        }
        {
            let kept = listed.hashes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = kept.get(&index) {
                return Ok(Some(known.clone()));
            }
        }
        let _turn = self.turn().await;
        let (database, game, path) = (self.world.database.clone(), game.clone(), file.path.clone());
        let read = self.world.blocking.run(move || database.with(|s| s.chunk_hashes(&game, &path))).await;
        let known = read.map_err(|e| e.message)?.map_err(|e| chain(&e))?.map(Arc::new);
        if let Some(known) = &known {
            listed.hashes.lock().unwrap_or_else(PoisonError::into_inner).insert(index, known.clone());
        }
        Ok(known)
    }
}

fn load(
    database: &crate::blocking::Database,
    game: &GameId,
    version: String,
) -> Result<Listed, bonfire_engine::Report> {
    let rows = database.with(|s| s.files(game)).map_err(|e| crate::errors::store(&e))?;
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    let stamps = rows.iter().map(|r| FileStamp { size: r.size, mtime_ns: r.mtime_ns }).collect();
    let files = rows.into_iter().map(|r| ManifestFile { path: r.path, size: r.size, blake3: r.blake3 }).collect();
    Ok(Listed { manifest: Manifest::new(game.clone(), version, files), stamps, hashes: Mutex::default() })
}

/// A manifest in frames, each under the page bound.
pub(super) fn pages(m: &Manifest) -> Vec<Response> {
    // Path, size and digest with their JSON keys: at most this much beside the path itself.
    const FILE_OVERHEAD: usize = 140;
    let mut parts: Vec<Vec<ManifestFile>> = vec![Vec::new()];
    let mut len = 0;
    for file in &m.files {
        // A character of a path takes at most six bytes in JSON.
        let cost = file.path.as_str().len() * 2 + FILE_OVERHEAD;
        if len + cost > PAGE_LEN_MAX {
            parts.push(Vec::new());
            len = 0;
        }
        len += cost;
        if let Some(part) = parts.last_mut() {
            part.push(file.clone());
        }
    }
    let pages = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    (0u32..)
        .zip(parts)
        .map(|(page, files)| {
            let manifest = ManifestPage {
                game_id: m.game_id.clone(),
                eti_version: m.eti_version.clone(),
                manifest_hash: m.manifest_hash,
                content_hash: m.content_hash,
                files,
            };
            Response::Manifest(ManifestMsg { manifest, page, pages })
        })
        .collect()
}
