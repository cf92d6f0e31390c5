//! All sources of one download at once: keeps each one's slots full, writes what was checked, and lets go of who fails.
//!
//! Which chunk is asked of whom is `engine::swarm`'s decision. Ends when every chunk is written and marked, when it is
//! cancelled, or when the disk fails; without sources it waits.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bonfire_disk::{DiskError, Download, Writer};
use bonfire_engine::input::OpInput;
use bonfire_engine::snapshot::Phase;
use bonfire_engine::swarm::{Accepted, Fault, Schedule, SpanId, SwarmLimits, Verdict};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::{ChunkRef, Digest, ErrorCode, GameId, Manifest, PeerId, chunk_count, chunk_span};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::manifest::FileKey;
use super::span::{SpanEvent, SpanTask};
use super::{SharedDigests, Stop, Work};
use crate::errors;

/// Chunks of one download in memory: 32 × 4 MiB is 128 MiB, enough for every slot of five sources.
const CHUNKS_IN_MEMORY: usize = 32;
/// Events of span tasks that wait. Progress is small and frequent; a full queue only slows the network for a moment.
const EVENTS: usize = 256;
/// How often verified chunks become durable. A kill loses none of them (they are hashed again at resume); a power cut
/// loses at most this much time.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);

/// First and longest time that a source which failed again and again is left alone. A cut that heals must not leave a
/// download standing beside a peer that could go on.
const REST_MIN: Duration = Duration::from_secs(10);
const REST_MAX: Duration = Duration::from_secs(160);

/// A source that was given up for a while, over this connection.
struct Rest {
    connection: usize,
    until: Option<Instant>,
    wait: Duration,
}

/// A write that ended.
type Written = (ChunkRef, Digest, u64, Result<(), Report>);

/// A checkpoint under way: it brings the transaction back.
type Away = Pin<Box<dyn Future<Output = Result<(Download, Result<(), DiskError>), Report>> + Send>>;

struct Transfer<'a> {
    work: &'a mut Work,
    manifest: Arc<Manifest>,
    schedule: Schedule,
    started: Instant,
    sources: BTreeMap<PeerId, Connection>,
    banned: BTreeSet<PeerId>,
    resting: BTreeMap<PeerId, Rest>,
    spans: JoinSet<()>,
    running: BTreeMap<SpanId, (PeerId, AbortHandle)>,
    writes: JoinSet<Written>,
    events: mpsc::Sender<SpanEvent>,
    memory: Arc<Semaphore>,
    digests: SharedDigests,
    writer: Writer,
    fetched: u64,
    starving: bool,
    /// The one connection that a list without hashes is fetched over.
    pinned: Option<usize>,
    /// The transaction, while it is away for a checkpoint; what is verified meanwhile waits.
    away: Option<Away>,
    waiting: Vec<(ChunkRef, Digest)>,
    next_checkpoint: Instant,
    since_checkpoint: u64,
}

/// Fetches what is missing. Returns the bytes that came over the network and were used.
pub(super) async fn run(work: &mut Work) -> Result<u64, Stop> {
    let (queue, mut events) = mpsc::channel(EVENTS);
    let download = work.begun()?;
    let schedule = Schedule::new(download.layout(), download.verified(), SwarmLimits::default());
    let writer = download.writer();
    let manifest = Arc::new(download.manifest().clone());
    let digests = (0u32..)
        .zip(&manifest.files)
        .filter_map(|(i, _)| download.hashes(i).map(|d| (i, Arc::new(d.to_vec()))))
        .collect();
    let mut transfer = Transfer {
        schedule,
        started: Instant::now(),
        sources: BTreeMap::new(),
        banned: BTreeSet::new(),
        resting: BTreeMap::new(),
        spans: JoinSet::new(),
        running: BTreeMap::new(),
        writes: JoinSet::new(),
        events: queue,
        memory: Arc::new(Semaphore::new(CHUNKS_IN_MEMORY)),
        digests,
        manifest,
        writer,
        fetched: 0,
        starving: false,
        pinned: None,
        away: None,
        waiting: Vec::new(),
        next_checkpoint: Instant::now() + CHECKPOINT_EVERY,
        since_checkpoint: 0,
        work,
    };
    let ended = transfer.run(&mut events).await;
    transfer.spans.shutdown().await;
    // Writes under way end before the transaction does: none may come after a sweep.
    while transfer.writes.join_next().await.is_some() {}
    let back = transfer.come_back().await;
    // Why it ended comes before what the last checkpoint met.
    ended.and(back).map(|()| transfer.fetched)
}

impl Transfer<'_> {
    async fn run(&mut self, events: &mut mpsc::Receiver<SpanEvent>) -> Result<(), Stop> {
        let cancel = self.work.steer.cancel.clone();
        let mut sources = self.work.steer.sources.clone();
        let now_sources = sources.borrow_and_update().clone();
        self.set_sources(now_sources);
        self.check_pin()?;
        loop {
            if self.schedule.is_done() && self.writes.is_empty() {
                self.come_back().await?;
                if self.work.begun()?.verified().is_full() {
                    return Ok(());
                }
            }
            self.ask_more();
            self.tell_starving().await;
            let wake = self.wake_at();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Stop::Cancelled),
                changed = sources.changed() => {
                    if changed.is_err() {
                        return Err(Stop::Failed(super::unsteered()));
                    }
                    let new = sources.borrow_and_update().clone();
                    self.set_sources(new);
                    self.check_pin()?;
                }
                Some(written) = self.writes.join_next() => self.written(written)?,
                Some(event) = events.recv() => self.event(event).await?,
                back = come_back(&mut self.away), if self.away.is_some() => {
                    self.away = None;
                    self.returned(back)?;
                }
                () = sleep_until(wake) => self.woken().await,
            }
        }
    }

    fn now(&self) -> bonfire_engine::Instant {
        bonfire_engine::Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    fn wake_at(&self) -> Instant {
        let deadline = self.schedule.next_deadline().map(|(at, _)| self.started + Duration::from_millis(at.0));
        let rested = self.resting.values().filter_map(|r| r.until).min();
        let next = deadline.into_iter().chain(rested).chain([self.next_checkpoint]).min();
        let next = next.unwrap_or(self.next_checkpoint);
        // A deadline in the past is looked at once, not in a busy loop.
        next.max(Instant::now() + Duration::from_millis(10))
    }

    fn set_sources(&mut self, new: Vec<(PeerId, Connection)>) {
        let now = self.now();
        self.resting.retain(|p, r| new.iter().any(|(n, c)| n == p && c.stable_id() == r.connection));
        let rests = |p: &PeerId| self.resting.get(p).is_some_and(|r| r.until.is_some());
        let new: BTreeMap<_, _> = new.into_iter().filter(|(p, _)| !self.banned.contains(p) && !rests(p)).collect();
        let gone: Vec<_> = self
            .sources
            .iter()
            .filter(|(p, c)| new.get(*p).is_none_or(|n| n.stable_id() != c.stable_id()))
            .map(|(p, _)| *p)
            .collect();
        for peer in gone {
            self.abort_of(peer);
            self.schedule.remove_source(now, peer);
        }
        for peer in new.keys() {
            if !self.schedule.sources().any(|p| p == *peer) {
                self.schedule.add_source(now, *peer);
            }
        }
        self.sources = new;
    }

    /// Holds a download whose list came without hashes to one connection: over another, the same source may serve other
    /// bytes under the same names and sizes, and nothing would tell.
    fn check_pin(&mut self) -> Result<(), Stop> {
        if self.manifest.content_hash.is_some() {
            return Ok(());
        }
        let Some(connection) = self.sources.values().next() else { return Ok(()) };
        let pinned = *self.pinned.get_or_insert(connection.stable_id());
        if self.sources.values().any(|c| c.stable_id() != pinned) {
            return Err(Stop::Anew(super::manifest::changed(&self.work.game, connection)));
        }
        Ok(())
    }

    fn abort_of(&mut self, peer: PeerId) {
        self.running.retain(|_, (of, task)| {
            if *of == peer {
                task.abort();
            }
            *of != peer
        });
    }

    fn ask_more(&mut self) {
        let now = self.now();
        let sources: Vec<_> = self.sources.iter().map(|(p, c)| (*p, c.clone())).collect();
        for (peer, connection) in sources {
            while let Some((id, span)) = self.schedule.next(now, peer) {
                let Some(file) = self.file(span.file) else { continue };
                let task = SpanTask {
                    id,
                    span,
                    game: self.work.game.clone(),
                    digests: self.digests_of(span.file),
                    file,
                    connection: connection.clone(),
                    blocking: self.work.world.blocking,
                    memory: self.memory.clone(),
                    events: self.events.clone(),
                };
                let handle = self.spans.spawn(task.run());
                self.running.insert(id, (peer, handle));
            }
        }
        while self.spans.try_join_next().is_some() {}
    }

    fn file(&self, file: u32) -> Option<FileKey> {
        let entry = self.manifest.files.get(file as usize)?;
        Some(FileKey { manifest_hash: self.manifest.manifest_hash, path: entry.path.clone(), size: entry.size })
    }

    async fn event(&mut self, event: SpanEvent) -> Result<(), Stop> {
        let now = self.now();
        match event {
            SpanEvent::Waiting(span) => self.schedule.waits(now, span),
            SpanEvent::Progress(span, bytes) => self.schedule.progress(now, span, bytes),
            SpanEvent::Chunk { span, file, chunk, digest, bytes, permit } => {
                if let Some((peer, _)) = self.running.get(&span) {
                    // It delivers again, so its next stumble counts as the first.
                    self.resting.remove(peer);
                }
                if self.schedule.verified(now, span, chunk) == Accepted::New {
                    self.write(ChunkRef { file, chunk }, digest, bytes, permit)?;
                }
            }
            SpanEvent::Finished(span) => {
                if let Some((peer, _)) = self.running.remove(&span) {
                    let verdict = self.schedule.finished(now, span);
                    let error = || {
                        Report::new(ErrorClass::Remote, "protocol", "an answer ended without the chunks it promised")
                    };
                    self.judge(peer, verdict, error).await;
                }
            }
            SpanEvent::Failed(span, fault, error) => {
                if let Some((peer, _)) = self.running.remove(&span) {
                    tracing::debug!("span {span:?} from {peer:?} failed: {error}");
                    let is_other = matches!(fault, Fault::Refused(ErrorCode::Conflict | ErrorCode::NotFound));
                    if is_other && self.manifest.content_hash.is_none() {
                        return Err(Stop::Anew(error));
                    }
                    let verdict = self.schedule.failed(now, span, fault);
                    self.judge(peer, verdict, || error).await;
                }
            }
        }
        Ok(())
    }

    async fn judge(&mut self, peer: PeerId, verdict: Verdict, error: impl FnOnce() -> Report) {
        match verdict {
            Verdict::Keep | Verdict::RetryLater(_) => {}
            Verdict::Drop => {
                self.abort_of(peer);
                let now = self.now();
                let liar = self.schedule.is_liar(peer);
                self.schedule.remove_source(now, peer);
                let connection = self.sources.remove(&peer).map(|c| c.stable_id());
                if liar {
                    self.banned.insert(peer);
                } else if let Some(connection) = connection {
                    let wait = self.resting.get(&peer).map_or(REST_MIN, |r| (r.wait * 2).min(REST_MAX));
                    self.resting.insert(peer, Rest { connection, until: Some(Instant::now() + wait), wait });
                }
                self.work.tell(OpInput::SourceDropped(peer, error())).await;
            }
        }
    }

    fn write(
        &mut self,
        at: ChunkRef,
        digest: Digest,
        bytes: Vec<Bytes>,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Stop> {
        let size = self.manifest.files.get(at.file as usize).map_or(0, |f| f.size);
        let Some((start, len)) = chunk_span(size, at.chunk) else {
            return Err(Stop::Failed(crate::task::bug("a chunk beyond its file")));
        };
        let writer = self.writer.clone();
        let job = self.work.world.blocking.spawn(move || {
            let mut offset = start;
            for piece in &bytes {
                writer.write_at(at.file, offset, piece)?;
                offset += piece.len() as u64;
            }
            drop(permit);
            Ok::<(), DiskError>(())
        });
        self.writes.spawn(async move {
            let written = job.await.and_then(|r| r.map_err(|e| errors::disk(&e)));
            (at, digest, len, written)
        });
        Ok(())
    }

    fn written(&mut self, done: Result<Written, tokio::task::JoinError>) -> Result<(), Stop> {
        let (at, digest, len, written) = done.map_err(|e| Stop::Failed(crate::task::bug(&e.to_string())))?;
        written.map_err(Stop::Failed)?;
        self.fetched += len;
        self.since_checkpoint += len;
        self.work.steer.progress.add(len);
        if self.away.is_some() {
            self.waiting.push((at, digest));
        } else {
            self.mark(at, digest)?;
        }
        for (peer, span) in self.schedule.superseded() {
            let _ = peer;
            if let Some((_, task)) = self.running.remove(&span) {
                task.abort();
            }
            let now = self.now();
            self.schedule.finished(now, span);
        }
        Ok(())
    }

    fn mark(&mut self, at: ChunkRef, digest: Digest) -> Result<(), Stop> {
        let marked = self.work.begun_mut()?.mark_verified_with(at, digest);
        marked.map(|_| ()).map_err(|e| Stop::Failed(errors::disk(&e)))
    }

    async fn woken(&mut self) {
        let now = self.now();
        for (peer, span) in self.schedule.stalled(now) {
            if let Some((_, task)) = self.running.remove(&span) {
                task.abort();
            }
            let verdict = self.schedule.failed(now, span, Fault::Stalled);
            let error = || {
                Report::new(ErrorClass::Remote, "stalled", format!("{} sends nothing any more", peer.short()))
                    .retryable()
            };
            self.judge(peer, verdict, error).await;
        }
        let rested = |r: &Rest| r.until.is_some_and(|at| at <= Instant::now());
        if self.resting.values().any(rested) {
            for rest in self.resting.values_mut().filter(|r| rested(r)) {
                rest.until = None;
            }
            let sources = self.work.steer.sources.borrow().clone();
            self.set_sources(sources);
        }
        if Instant::now() >= self.next_checkpoint {
            self.next_checkpoint = Instant::now() + CHECKPOINT_EVERY;
            if self.since_checkpoint > 0
                && self.away.is_none()
                && let Some(mut download) = self.work.download.take()
            {
                self.since_checkpoint = 0;
                self.away = Some(self.work.world.blocking.spawn(move || {
                    let done = download.checkpoint();
                    (download, done)
                }));
            }
        }
    }

    fn returned(&mut self, back: Result<(Download, Result<(), DiskError>), Report>) -> Result<(), Stop> {
        let (download, done) = back?;
        self.work.download = Some(download);
        done.map_err(|e| Stop::Failed(errors::disk(&e)))?;
        for (at, digest) in std::mem::take(&mut self.waiting) {
            self.mark(at, digest)?;
        }
        Ok(())
    }

    /// Waits for the transaction, if it is away.
    async fn come_back(&mut self) -> Result<(), Stop> {
        if self.away.is_some() {
            let back = come_back(&mut self.away).await;
            self.away = None;
            self.returned(back)?;
        }
        Ok(())
    }

    /// Says once that no source is left, and again when bytes move.
    async fn tell_starving(&mut self) {
        let idle = self.running.is_empty() && self.writes.is_empty() && !self.schedule.is_done();
        let starving = idle && self.schedule.sources().next().is_none();
        if starving && !self.starving {
            self.work.tell(OpInput::Starved(starved(&self.work.game))).await;
        } else if !starving && self.starving && !idle {
            self.work.tell(OpInput::Phase(Phase::Transferring)).await;
        }
        if starving || !idle {
            self.starving = starving;
        }
    }

    fn digests_of(&self, file: u32) -> Option<Arc<Vec<Digest>>> {
        if let Some(known) = self.digests.get(&file) {
            return Some(known.clone());
        }
        let entry = self.manifest.files.get(file as usize)?;
        (chunk_count(entry.size) == 1).then_some(entry.blake3).flatten().map(|d| Arc::new(vec![d]))
    }
}

async fn come_back(away: &mut Option<Away>) -> Result<(Download, Result<(), DiskError>), Report> {
    match away {
        Some(checkpoint) => checkpoint.await,
        // Awaited only while a checkpoint is under way.
        None => std::future::pending().await,
    }
}

/// The report of a download that has nobody to fetch from.
pub(super) fn starved(game: &GameId) -> Report {
    Report::new(ErrorClass::Unreachable, "no_source", format!("nobody connected can give {game} at present"))
        .hint(format!("it goes on by itself as soon as somebody can; to give it up: `bonfire cancel {game}`"))
        .retryable()
}
