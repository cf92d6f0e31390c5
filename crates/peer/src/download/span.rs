//! One request for consecutive chunks of one file: reads them, hashes them beside the receive path, and hands on whole
//! chunks that were checked. Writes nothing: a chunk that another source brought first must not be written over.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bonfire_engine::swarm::{Fault, Span, SpanId};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::{Answer, Connection, NetError};
use bonfire_proto::chunk::ChunkHasher;
use bonfire_proto::message::{GetChunks, Request, Response};
use bonfire_proto::{Digest, GameId, chunk_span};
use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::manifest::FileKey;
use crate::blocking::Blocking;
use crate::errors;

/// Bytes hashed in one job and written in one call: large enough to be worth a thread's wake-up, small enough to stay in a
/// core's cache.
const PIECE: usize = 512 * 1024;

/// Bytes after which progress is told: on the slowest link worth using this is well within the stall time.
const PROGRESS: usize = 64 * 1024;

/// How often a span that waits for memory says so; well within the stall time.
const WAITING_EVERY: Duration = Duration::from_secs(1);

/// What a span task tells.
#[derive(Debug)]
pub(super) enum SpanEvent {
    /// It waits for this side's memory.
    Waiting(SpanId),
    /// Bytes came.
    Progress(SpanId, u64),
    /// A whole chunk, checked where its digest was known.
    Chunk { span: SpanId, file: u32, chunk: u32, digest: Digest, bytes: Vec<Bytes>, permit: OwnedSemaphorePermit },
    /// The answer ended as it should.
    Finished(SpanId),
    /// It did not.
    Failed(SpanId, Fault, Report),
}

/// What a span task needs.
pub(super) struct SpanTask {
    pub(super) id: SpanId,
    pub(super) span: Span,
    pub(super) game: GameId,
    pub(super) file: FileKey,
    /// Digests of the whole file's chunks, when they are known.
    pub(super) digests: Option<Arc<Vec<Digest>>>,
    pub(super) connection: Connection,
    pub(super) blocking: Blocking,
    /// Bounds the chunks in memory of the whole download.
    pub(super) memory: Arc<Semaphore>,
    pub(super) events: mpsc::Sender<SpanEvent>,
}

impl SpanTask {
    pub(super) async fn run(self) {
        let end = match self.fetch().await {
            Ok(()) => SpanEvent::Finished(self.id),
            Err((fault, error)) => SpanEvent::Failed(self.id, fault, error),
        };
        // The transfer may be over already; then the answer is of no use.
        if self.events.send(end).await.is_err() {
            tracing::trace!("a span ended after its transfer");
        }
    }

    async fn fetch(&self) -> Result<(), (Fault, Report)> {
        let request = Request::GetChunks(GetChunks {
            game_id: self.game.clone(),
            manifest_hash: self.file.manifest_hash,
            path: self.file.path.clone(),
            first: self.span.first,
            count: self.span.count,
        });
        let mut answer = self.connection.request(&request).await.map_err(|e| net_fault(&e))?;
        for chunk in self.span.first..self.span.first + self.span.count {
            self.chunk(&mut answer, chunk).await?;
        }
        Ok(())
    }

    async fn chunk(&self, answer: &mut Answer, chunk: u32) -> Result<(), (Fault, Report)> {
        let permit = self.room().await;
        let (_, len) = chunk_span(self.file.size, chunk)
            .ok_or_else(|| (Fault::Protocol, crate::task::bug("a span beyond its file")))?;
        let announced = match answer.next().await.map_err(|e| net_fault(&e))? {
            Some(Response::Chunk(c)) => c,
            Some(Response::Error(e)) => {
                return Err((Fault::Refused(e.code), errors::remote(self.connection.remote_addr(), &e)));
            }
            Some(_) => return Err(self.protocol("unexpected message")),
            None => return Err(self.protocol("the answer ended early")),
        };
        if announced.index != chunk || u64::from(announced.len) != len {
            return Err(self.protocol("another chunk than was asked for"));
        }
        let known = self.digests.as_ref().and_then(|d| d.get(chunk as usize)).copied();
        if known.is_some_and(|k| k != announced.hash) {
            return Err(self.lie(chunk));
        }
        let (bytes, digest) = self.read(answer, chunk, len).await?;
        if digest != announced.hash || known.is_some_and(|k| k != digest) {
            return Err(self.lie(chunk));
        }
        let event = SpanEvent::Chunk { span: self.id, file: self.span.file, chunk, digest, bytes, permit };
        if self.events.send(event).await.is_err() {
            tracing::trace!("a chunk came after its transfer");
        }
        Ok(())
    }

    /// Waits for room for one chunk. That the room is all taken is not the source's doing, so it is not held for stalled.
    async fn room(&self) -> OwnedSemaphorePermit {
        let mut room = pin!(self.memory.clone().acquire_owned());
        loop {
            tokio::select! {
                biased;
                permit = &mut room => return permit.expect("BUG: the semaphore is never closed"),
                () = tokio::time::sleep(WAITING_EVERY) => {
                    if self.events.send(SpanEvent::Waiting(self.id)).await.is_err() {
                        tracing::trace!("a span waited beyond its transfer");
                    }
                }
            }
        }
    }

    /// Reads `len` bytes. One piece is hashed while the next one comes.
    async fn read(&self, answer: &mut Answer, chunk: u32, len: u64) -> Result<(Vec<Bytes>, Digest), (Fault, Report)> {
        let mut hasher = ChunkHasher::new(self.file.size, chunk);
        let mut hashing = None;
        let mut all = Vec::new();
        let mut rest = usize::try_from(len).unwrap_or(usize::MAX);
        while rest > 0 {
            let piece = self.piece(answer, rest.min(PIECE)).await?;
            rest -= piece.len();
            if let Some(job) = hashing.take() {
                hasher = join(job).await?;
            }
            let (mut own, part) = (hasher.clone(), piece.clone());
            hashing = Some(self.blocking.spawn(move || {
                own.update(&part);
                own
            }));
            all.push(piece);
        }
        if let Some(job) = hashing {
            hasher = join(job).await?;
        }
        Ok((all, hasher.finish()))
    }

    /// Exactly `len` bytes in one buffer. The transport hands out a packet's worth at a time; hashing and writing those
    /// one by one would cost a system call for every packet.
    async fn piece(&self, answer: &mut Answer, len: usize) -> Result<Bytes, (Fault, Report)> {
        let mut piece = BytesMut::with_capacity(len);
        let mut told = 0;
        while piece.len() < len {
            match answer.read_raw(len - piece.len()).await.map_err(|e| net_fault(&e))? {
                Some(bytes) => piece.extend_from_slice(&bytes),
                None => return Err(self.protocol("the answer ended inside a chunk")),
            }
            if piece.len() - told >= PROGRESS || piece.len() == len {
                let new = (piece.len() - told) as u64;
                told = piece.len();
                if self.events.send(SpanEvent::Progress(self.id, new)).await.is_err() {
                    tracing::trace!("bytes came after their transfer");
                }
            }
        }
        Ok(piece.freeze())
    }

    fn protocol(&self, why: &str) -> (Fault, Report) {
        let error = Report::new(
            ErrorClass::Remote,
            "protocol",
            format!("{} answered wrongly for {}: {why}", self.connection.remote_addr(), self.file.path),
        );
        (Fault::Protocol, error)
    }

    fn lie(&self, chunk: u32) -> (Fault, Report) {
        let error = Report::new(
            ErrorClass::Remote,
            "bad_bytes",
            format!(
                "chunk {chunk} of {} from {} is not what it should be",
                self.file.path,
                self.connection.remote_addr()
            ),
        );
        (Fault::BadBytes, error)
    }
}

async fn join(job: impl Future<Output = Result<ChunkHasher, Report>>) -> Result<ChunkHasher, (Fault, Report)> {
    job.await.map_err(|e| (Fault::Protocol, e))
}

fn net_fault(error: &NetError) -> (Fault, Report) {
    let fault = match error {
        NetError::Stalled { .. } => Fault::Stalled,
        NetError::Frame { .. } => Fault::Protocol,
        _ => Fault::Disconnected,
    };
    (fault, errors::net(error))
}
