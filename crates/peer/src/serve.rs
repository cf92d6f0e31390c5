//! Answers the requests of other peers: file lists, chunk digests, chunks; pairings begin here too.
//!
//! Owns the bounds on what one peer may cost here. Who may ask what is `engine::trust::gate`'s rule, whether a game may be
//! served at all `engine::serving`'s.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bonfire_disk::{ServeError, ServedFile};
use bonfire_engine::Report;
use bonfire_engine::budget::{BudgetLimits, TokenBucket};
use bonfire_engine::input::{ConnId, ConnInput, Input, PairId, Watched};
use bonfire_engine::serving::{self, ServingView};
use bonfire_engine::trust::roster::Roster;
use bonfire_net::pairing::{End, IncomingPairing};
use bonfire_net::{Connection, Endpoint, IncomingStream, NetError, Opened, Reply};
use bonfire_proto::chunk::chunk_hash;
use bonfire_proto::limits::HASHES_PER_PAGE;
use bonfire_proto::message::{
    Chunk, ChunkHashes, ErrorMsg, GetChunkHashes, GetChunks, GetGame, Request, Response, Unchanged,
};
use bonfire_proto::{Digest, ErrorCode, GameId, RelPath, chunk_span};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::conns;
use crate::errors::chain;
use crate::index::Index;
use crate::pairing::Pairing;
use crate::probe;
use crate::saves::Saves;
use crate::sidecars::Pictures;
use crate::task::Event;
use crate::world::World;

mod asker;
mod lists;
mod pictures;
mod saves;

use asker::Asker;
use lists::Lists;

/// Chunks held in memory for all peers together: 48 × 4 MiB is 192 MiB, which keeps eight receivers fed.
const CHUNKS_IN_MEMORY: usize = 48;
/// Chunks held in memory for one connection: one that reads slowly, or not at all, must not hold the others up.
const CHUNKS_PER_CONNECTION: usize = 8;
/// Signs of life from requests are told to the engine no more often than this.
const ACTIVE_EVERY: Duration = Duration::from_secs(5);
/// A chunk that is being read.
type Reading = Pin<Box<dyn Future<Output = Result<Result<(Bytes, Digest, Leave), ServeError>, Report>> + Send>>;

/// Answers requests; cheap to clone.
#[derive(Clone)]
pub(crate) struct Server {
    world: World,
    index: Index,
    endpoint: Endpoint,
    view: watch::Receiver<Arc<ServingView>>,
    events: mpsc::Sender<Event>,
    memory: Arc<Semaphore>,
    lists: Lists,
    roster: watch::Receiver<Arc<Roster>>,
    saves: Saves,
    pictures: Pictures,
    /// Pairings that others began.
    pairings: Arc<AtomicU64>,
}

/// Leave to hold one chunk in memory: of all connections together, and of this one.
struct Leave {
    _all: OwnedSemaphorePermit,
    _own: OwnedSemaphorePermit,
}

impl Server {
    pub(crate) fn new(
        world: World,
        index: Index,
        endpoint: Endpoint,
        view: watch::Receiver<Arc<ServingView>>,
        roster: watch::Receiver<Arc<Roster>>,
        (saves, pictures): (Saves, Pictures),
        events: mpsc::Sender<Event>,
    ) -> Self {
        let memory = Arc::new(Semaphore::new(CHUNKS_IN_MEMORY));
        let lists = Lists::new(world.clone(), index.clone());
        Self { world, index, endpoint, view, events, memory, lists, roster, saves, pictures, pairings: Arc::default() }
    }

    /// Serves one connection until it closes.
    pub(crate) async fn serve(self, conn: ConnId, connection: Connection) {
        let limits = BudgetLimits::default();
        let mut requests = TokenBucket::new(bonfire_engine::Instant(0), limits.requests_per_second, limits.burst);
        let started = Instant::now();
        let mut told: Option<Instant> = None;
        let memory = Arc::new(Semaphore::new(CHUNKS_PER_CONNECTION));
        let asker = Asker::new(connection.clone(), memory);
        let mut tasks = JoinSet::new();
        loop {
            while let Some(done) = tasks.try_join_next() {
                if let Err(error) = done
                    && error.is_panic()
                {
                    tracing::error!("answering a request failed: {error}");
                }
            }
            // The connection's own watcher tells the engine that it closed.
            let Ok(stream) = connection.accept_stream().await else { break };
            let now = bonfire_engine::Instant(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
            if let Err(wait) = requests.take(now) {
                // Slowing the asker down by not accepting is fair to one in a hurry and enough against one in anger: its
                // streams are bounded by the transport, so what it asks in vain waits on its own side.
                tokio::time::sleep(wait).await;
            }
            if told.is_none_or(|at| at.elapsed() >= ACTIVE_EVERY) {
                told = Some(Instant::now());
                conns::send(&self.events, Event::Input(Input::Conn(ConnInput::Active(conn)))).await;
            }
            let (server, asker) = (self.clone(), asker.clone());
            tasks.spawn(async move { server.answer(asker, stream).await });
        }
        tasks.shutdown().await;
    }

    async fn answer(self, asker: Asker, stream: IncomingStream) {
        let from = asker.connection.remote_addr();
        match stream.open().await {
            Ok(Opened::Pairing(incoming)) => self.pair(&asker, incoming).await,
            Ok(Opened::Request(served)) => {
                let mut reply = served.reply;
                let outcome = match served.request {
                    Err(error) => refuse(&mut reply, ErrorMsg::new(error.code(), error.to_string())).await,
                    Ok(request) => self.request(&asker, &request, &mut reply).await,
                };
                match outcome {
                    Ok(()) => {
                        if let Some(code) = reply.deliver().await {
                            tracing::debug!("{from} gave up on an answer: {}", code.text());
                        }
                    }
                    Err(error) => tracing::debug!("answering {from} ended: {error}"),
                }
            }
            Err(error) => tracing::debug!("request from {from} broke: {error}"),
        }
    }

    async fn request(&self, asker: &Asker, request: &Request, reply: &mut Reply) -> Result<(), NetError> {
        if let Err(refusal) = self.may_ask(asker, request) {
            return refuse(reply, refusal).await;
        }
        let view = self.view.borrow().clone();
        if let Err(refusal) = serving::may_serve(&view, request) {
            return refuse(reply, refusal).await;
        }
        match request {
            Request::GetLibraryDelta(_) | Request::GetLibrarySnapshot(_) => {
                let (ask, answer) = oneshot::channel();
                conns::send(&self.events, Event::Library(request.clone(), ask)).await;
                match answer.await {
                    Ok(frames) => send_all(reply, &frames).await,
                    Err(_) => refuse(reply, ErrorMsg::new(ErrorCode::Busy, "shutting down")).await,
                }
            }
            Request::GetGame(r) => self.manifest(&view, asker, r, reply).await,
            Request::GetChunkHashes(r) => self.hashes(&view, r, reply).await,
            Request::GetChunks(r) => {
                // Waiting for memory or the disk must not outlast an asker that gave up.
                let stopped = reply.stopped();
                tokio::select! {
                    biased;
                    _ = stopped => Ok(()),
                    answered = self.chunks(&view, asker, r, reply) => answered,
                }
            }
            Request::StateRequest(_) | Request::SharedChangeRequest(_) | Request::SidecarQuery(_) => {
                let (ask, answer) = oneshot::channel();
                conns::send(&self.events, Event::Asked(asker.proven, Box::new(request.clone()), ask)).await;
                match answer.await {
                    Ok(answer) => reply.send(&answer).await,
                    Err(_) => refuse(reply, ErrorMsg::new(ErrorCode::Busy, "shutting down")).await,
                }
            }
            Request::GetSnapshots(r) => self.snapshots(r, reply).await,
            Request::GetObjects(r) => {
                let stopped = reply.stopped();
                tokio::select! {
                    biased;
                    _ = stopped => Ok(()),
                    answered = self.objects(asker, request, r, reply) => answered,
                }
            }
            Request::GetSidecar(r) => {
                let stopped = reply.stopped();
                tokio::select! {
                    biased;
                    _ = stopped => Ok(()),
                    answered = self.picture(asker, request, r, reply) => answered,
                }
            }
            Request::ProbeBack(r) => {
                let unix_ms = self.world.clock.unix_ms();
                let result = probe::back(&self.endpoint, &asker.connection, r.port, unix_ms).await;
                reply.send(&Response::ProbeResult(result)).await
            }
        }
    }

    /// Somebody typed a code. Whether one is shown is the engine's to say.
    async fn pair(&self, asker: &Asker, incoming: IncomingPairing) {
        let ours = End { peer_id: self.endpoint.peer_id(), key_hash: self.endpoint.key_hash() };
        let id = PairId::Theirs(self.pairings.fetch_add(1, Ordering::Relaxed) + 1);
        let (random, events) = (self.world.random.clone(), self.events.clone());
        Pairing::new(id, ours, &asker.connection, random, events).incoming(incoming).await;
    }

    async fn manifest(
        &self,
        view: &ServingView,
        asker: &Asker,
        r: &GetGame,
        reply: &mut Reply,
    ) -> Result<(), NetError> {
        let generation = self.index.generation(&r.game_id);
        let listed = match self.lists.of(view, &r.game_id).await {
            Ok(listed) => listed,
            Err(refusal) => return refuse(reply, refusal).await,
        };
        let m = &listed.manifest;
        asker.note_given(&r.game_id, m.content_hash.is_none().then_some(generation));
        if r.known_manifest_hash == Some(m.manifest_hash) {
            return reply.send(&Response::Unchanged(Unchanged { manifest_hash: m.manifest_hash })).await;
        }
        send_all(reply, &lists::pages(m)).await
    }

    async fn hashes(&self, view: &ServingView, r: &GetChunkHashes, reply: &mut Reply) -> Result<(), NetError> {
        let listed = match self.lists.of(view, &r.game_id).await {
            Ok(listed) => listed,
            Err(refusal) => return refuse(reply, refusal).await,
        };
        let Some((index, _)) = listed.position(&r.path) else {
            return refuse(reply, no_such_file(&r.path)).await;
        };
        match self.lists.hashes(&listed, &r.game_id, index).await {
            Ok(Some(hashes)) => {
                let pages = u32::try_from(hashes.len().div_ceil(HASHES_PER_PAGE)).unwrap_or(u32::MAX).max(1);
                for (page, part) in (0u32..).zip(hashes.chunks(HASHES_PER_PAGE)) {
                    let frame = ChunkHashes { hashes: part.to_vec(), page, pages };
                    reply.send(&Response::ChunkHashes(frame)).await?;
                }
                Ok(())
            }
            Ok(None) => {
                if view.servable(&r.game_id).is_ok_and(|s| s.content_hash.is_some()) {
                    self.hash_again(&r.game_id, &r.path).await;
                }
                refuse(reply, ErrorMsg::new(ErrorCode::NotReady, format!("{} was not hashed yet", r.path))).await
            }
            Err(error) => refuse(reply, ErrorMsg::new(ErrorCode::Internal, error)).await,
        }
    }

    async fn chunks(
        &self,
        view: &ServingView,
        asker: &Asker,
        r: &GetChunks,
        reply: &mut Reply,
    ) -> Result<(), NetError> {
        let listed = match self.lists.of(view, &r.game_id).await {
            Ok(listed) => listed,
            Err(refusal) => return refuse(reply, refusal).await,
        };
        let is_read = listed.manifest.content_hash.is_some();
        if !asker.may_go_on(&r.game_id, self.index.generation(&r.game_id), is_read) {
            let what = format!("{} was read anew since its list was given", r.game_id);
            return refuse(reply, ErrorMsg::new(ErrorCode::Conflict, what)).await;
        }
        let Some((index, file)) = listed.position(&r.path) else {
            return refuse(reply, no_such_file(&r.path)).await;
        };
        let last = r.first.checked_add(r.count - 1).filter(|last| chunk_span(file.size, *last).is_some());
        let Some(last) = last else {
            let what = format!("{} has no chunks {}..{}", r.path, r.first, u64::from(r.first) + u64::from(r.count));
            return refuse(reply, ErrorMsg::new(ErrorCode::NotFound, what)).await;
        };
        let known = match self.lists.hashes(&listed, &r.game_id, index).await {
            Ok(known) => known,
            Err(error) => return refuse(reply, ErrorMsg::new(ErrorCode::Internal, error)).await,
        };
        let stamp = listed.stamps[index as usize];
        let (folder, game, path) = (self.world.folder.clone(), r.game_id.clone(), r.path.clone());
        let opened = self.world.blocking.run(move || folder.open_serving(&game, &path, &stamp)).await;
        let opened = match opened {
            Ok(Ok(file)) => Arc::new(file),
            Ok(Err(error)) => return self.unservable(&r.game_id, &error, reply).await,
            Err(error) => return refuse(reply, ErrorMsg::new(ErrorCode::Internal, error.message)).await,
        };
        let size = file.size;
        let mut ahead = None;
        for at in r.first..=last {
            let reading = match ahead.take() {
                Some(reading) => reading,
                None => self.read(&opened, size, at, known.clone(), self.leave(asker).await),
            };
            let read = reading.await;
            // One chunk ahead while there is room. To wait for room while holding a chunk could never end: all the
            // others might do the same.
            if at < last
                && let Some(leave) = self.leave_now(asker)
            {
                ahead = Some(self.read(&opened, size, at + 1, known.clone(), leave));
            }
            match read {
                Ok(Ok((bytes, hash, leave))) => {
                    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    reply.send(&Response::Chunk(Chunk { index: at, len, hash })).await?;
                    reply.send_bytes(bytes).await?;
                    drop(leave);
                }
                Ok(Err(error)) => return self.unservable(&r.game_id, &error, reply).await,
                Err(error) => return refuse(reply, ErrorMsg::new(ErrorCode::Internal, error.message)).await,
            }
        }
        Ok(())
    }

    async fn leave(&self, asker: &Asker) -> Leave {
        let closed = "BUG: the semaphore is never closed";
        let own = asker.memory.clone().acquire_owned().await.expect(closed);
        Leave { _own: own, _all: self.memory.clone().acquire_owned().await.expect(closed) }
    }

    fn leave_now(&self, asker: &Asker) -> Option<Leave> {
        let own = asker.memory.clone().try_acquire_owned().ok()?;
        Some(Leave { _own: own, _all: self.memory.clone().try_acquire_owned().ok()? })
    }

    /// Starts to read a chunk, so that it is ready when the one before it has left.
    fn read(
        &self,
        file: &Arc<ServedFile>,
        size: u64,
        index: u32,
        known: Option<Arc<Vec<Digest>>>,
        leave: Leave,
    ) -> Reading {
        let file = file.clone();
        self.world.blocking.spawn(move || {
            let mut buffer = Vec::new();
            file.read_chunk(index, &mut buffer)?;
            // The file's stamp is the one it was hashed at, so its digests stand; the receiver checks the bytes anyway.
            let hash =
                known.and_then(|k| k.get(index as usize).copied()).unwrap_or_else(|| chunk_hash(size, index, &buffer));
            Ok((Bytes::from(buffer), hash, leave))
        })
    }

    /// A file that is not what the list says: the asker is told, and the game is read again.
    /// The content counts as known and the digests that prove it are not there: without this nobody could ever have it.
    async fn hash_again(&self, game: &GameId, path: &RelPath) {
        tracing::warn!("the chunk digests of {path} of {game} are lost; it is read again");
        let (index, id, path) = (self.index.clone(), game.clone(), path.clone());
        let forgotten = self.world.blocking.run(move || index.forget_hash(&id, &path)).await.and_then(|r| r);
        if let Err(error) = forgotten {
            tracing::warn!("{game}: {error}");
            return;
        }
        conns::send(&self.events, Event::Input(Input::Watched(Watched::Game(game.clone())))).await;
    }

    async fn unservable(&self, game: &GameId, error: &ServeError, reply: &mut Reply) -> Result<(), NetError> {
        tracing::info!("{game} cannot be served: {}", chain(error));
        self.index.distrust(game);
        conns::send(&self.events, Event::Input(Input::Watched(Watched::Game(game.clone())))).await;
        let code = match error {
            ServeError::Changed { .. } => ErrorCode::Conflict,
            _ => ErrorCode::Internal,
        };
        refuse(reply, ErrorMsg::new(code, format!("{game} changed or cannot be read"))).await
    }
}

fn no_such_file(path: &RelPath) -> ErrorMsg {
    ErrorMsg::new(ErrorCode::NotFound, format!("no file {path} in the game"))
}

async fn refuse(reply: &mut Reply, refusal: ErrorMsg) -> Result<(), NetError> {
    reply.send(&Response::Error(refusal)).await
}

async fn send_all(reply: &mut Reply, frames: &[Response]) -> Result<(), NetError> {
    for frame in frames {
        reply.send(frame).await?;
    }
    Ok(())
}
