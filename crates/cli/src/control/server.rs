//! The peer's side of the control channel: answers clients, pushes events and the newest snapshot to those that follow.
//!
//! Owns the bounds: clients, line length, requests in work, bytes waiting for a client. A client that does not read is
//! dropped; the peer never waits for one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::{ErrorClass, EventRecord, PeerEvent, Report, Snapshot};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::protocol::{self, Answer, Ask, Body, REQUEST_LEN_MAX, Topic, to_line};
use crate::lines::{Line, LineSplitter};
use crate::platform::Listener;

/// Most clients at a time: a person, a front end and some scripts.
const CLIENTS_MAX: usize = 64;
/// Most requests of one client in work; more wait unread.
const REQUESTS_MAX: usize = 16;
/// Most lines waiting for one client.
const WAITING_LINES_MAX: usize = 1024;
/// Most bytes waiting for one client.
const WAITING_BYTES_MAX: usize = 16 << 20;
/// How long a client may leave its end unread before it is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Shortest time between two snapshots pushed to one client.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(100);
/// How long a stopping peer lets its clients read what is left.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What the channel needs of a peer.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// Sends a command and waits for its reply.
    fn send(&self, command: Command) -> impl Future<Output = Result<Reply, Report>> + Send;
    /// The newest snapshot and how to wait for the next.
    fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>>;
    /// Events from here on.
    fn events(&self) -> broadcast::Receiver<EventRecord>;
}

impl Peer for bonfire_peer::PeerHandle {
    fn send(&self, command: Command) -> impl Future<Output = Result<Reply, Report>> + Send {
        Self::send(self, command)
    }
    fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        Self::snapshot(self)
    }
    fn events(&self) -> broadcast::Receiver<EventRecord> {
        Self::events(self)
    }
}

/// Serves clients until `stop`, then lets them read what is left for a moment.
pub(crate) async fn serve<P: Peer>(mut listener: Listener, peer: P, stop: CancellationToken) {
    let clients = TaskTracker::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a control client could not be accepted");
                    // Out of descriptors, most likely: taking the next at once would spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
        };
        if clients.len() >= CLIENTS_MAX {
            clients.spawn(turn_away(stream));
        } else {
            clients.spawn(connection(stream, peer.clone(), stop.clone()));
        }
    }
    clients.close();
    if timeout(DRAIN_TIMEOUT, clients.wait()).await.is_err() {
        tracing::debug!("control clients were still reading when the peer stopped");
    }
}

async fn turn_away<S: AsyncWrite + Unpin>(mut stream: S) {
    let busy = Report::new(ErrorClass::Refused, "busy", format!("{CLIENTS_MAX} clients are connected already"));
    let line = Answer { id: None, body: Body::Error(busy.retryable()) }.to_line();
    // It is turned away either way.
    if timeout(Duration::from_secs(1), stream.write_all(&line)).await.is_err() {}
}

/// What waits to be written. Snapshots are made when they are written, so that one that waits costs nothing.
enum Outgoing {
    Line(Vec<u8>),
    Snapshot { id: Option<u64> },
    Follow(bool),
    Resync,
}

/// The bounded way to the writer of one client.
struct Queue {
    lines: mpsc::Sender<Outgoing>,
    bytes: Arc<AtomicUsize>,
    gone: CancellationToken,
}

impl Queue {
    /// Puts something in line, or gives the client up when too much waits.
    fn push(&self, outgoing: Outgoing) {
        let len = if let Outgoing::Line(line) = &outgoing { line.len() } else { 0 };
        let waiting = self.bytes.fetch_add(len, Ordering::Relaxed) + len;
        if waiting > WAITING_BYTES_MAX || self.lines.try_send(outgoing).is_err() {
            tracing::info!(waiting, "a control client does not read and is dropped");
            self.gone.cancel();
        }
    }
}

async fn connection<S, P>(stream: S, peer: P, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
    P: Peer,
{
    let (read, write) = tokio::io::split(stream);
    let (lines, waiting) = mpsc::channel(WAITING_LINES_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let gone = CancellationToken::new();
    let writer = Writer { write, waiting, bytes: bytes.clone(), snapshot: peer.snapshot(), gone: gone.clone() };
    let writer = tokio::spawn(writer.run());
    let queue = Queue { lines, bytes, gone: gone.clone() };
    Session { queue: &queue, peer, events: None, requests: JoinSet::new(), last: None }.run(read, stop).await;
    drop(queue);
    // The writer ends by itself: its queue is closed and every write has a deadline.
    if let Err(error) = writer.await {
        tracing::error!(%error, "the writer of a control client failed");
    }
}

struct Session<'a, P> {
    queue: &'a Queue,
    peer: P,
    events: Option<broadcast::Receiver<EventRecord>>,
    requests: JoinSet<Answer>,
    /// The line that says that the peer has stopped: kept back until everything else is written.
    last: Option<Vec<u8>>,
}

impl<P: Peer> Session<'_, P> {
    async fn run<R: AsyncRead + Unpin>(mut self, mut read: R, stop: CancellationToken) {
        let mut lines = LineSplitter::new(REQUEST_LEN_MAX);
        let mut buffer = vec![0; 16 * 1024];
        'reading: loop {
            while self.requests.len() < REQUESTS_MAX {
                match lines.pop() {
                    Some(Line::Whole(line)) => self.handle(&line),
                    Some(Line::TooLong) => {
                        self.queue.push(Outgoing::Line(protocol::too_long().to_line()));
                        break 'reading;
                    }
                    None => break,
                }
            }
            tokio::select! {
                () = self.queue.gone.cancelled() => return,
                () = stop.cancelled() => break,
                record = next_event(&mut self.events) => self.push_event(record),
                Some(answer) = self.requests.join_next(), if !self.requests.is_empty() => self.push_answer(answer),
                n = read.read(&mut buffer), if self.requests.len() < REQUESTS_MAX => match n {
                    Ok(0) => break,
                    Ok(n) => lines.feed(&buffer[..n]),
                    Err(error) => {
                        tracing::debug!(%error, "a control client is gone");
                        return;
                    }
                },
            }
        }
        self.finish().await;
    }

    /// Answers what is in work and passes on the events that are there already.
    async fn finish(&mut self) {
        while let Ok(Some(answer)) = timeout(DRAIN_TIMEOUT, self.requests.join_next()).await {
            self.push_answer(answer);
        }
        while let Some(record) = self.events.as_mut().and_then(|events| events.try_recv().ok()) {
            self.push_event(Ok(record));
        }
        if let Some(line) = self.last.take() {
            self.queue.push(Outgoing::Line(line));
        }
    }

    fn handle(&mut self, line: &[u8]) {
        match protocol::parse(line) {
            Err(answer) => self.queue.push(Outgoing::Line(answer.to_line())),
            Ok(request) => match request.ask {
                Ask::Get(Topic::Snapshot) => self.queue.push(Outgoing::Snapshot { id: request.id }),
                Ask::Follow(on) => {
                    if on != self.events.is_some() {
                        self.events = on.then(|| self.peer.events());
                    }
                    let done = Answer { id: request.id, body: Body::Reply(Reply::Done) };
                    self.queue.push(Outgoing::Line(done.to_line()));
                    self.queue.push(Outgoing::Follow(on));
                }
                Ask::Command(command) => {
                    let peer = self.peer.clone();
                    self.requests.spawn(async move { answer(&peer, request.id, command).await });
                }
            },
        }
    }

    fn push_answer(&self, answer: Result<Answer, tokio::task::JoinError>) {
        match answer {
            Ok(answer) => self.queue.push(Outgoing::Line(answer.to_line())),
            // The client still waits, and this is the only way to tell it.
            Err(error) => {
                tracing::error!(%error, "a control request failed");
                self.queue.gone.cancel();
            }
        }
    }

    fn push_event(&mut self, record: Result<EventRecord, broadcast::error::RecvError>) {
        match record {
            Ok(record) if record.event == PeerEvent::Stopped => {
                self.last = Some(to_line(&record));
                self.events = None;
            }
            Ok(record) => self.queue.push(Outgoing::Line(to_line(&record))),
            Err(broadcast::error::RecvError::Lagged(_)) => self.queue.push(Outgoing::Resync),
            Err(broadcast::error::RecvError::Closed) => self.events = None,
        }
    }
}

/// Sends a command and shapes the answer.
pub(crate) async fn answer<P: Peer>(peer: &P, id: Option<u64>, command: Command) -> Answer {
    let body = match peer.send(command).await {
        Ok(reply) => Body::Reply(reply),
        Err(report) => Body::Error(report),
    };
    Answer { id, body }
}

async fn next_event(
    events: &mut Option<broadcast::Receiver<EventRecord>>,
) -> Result<EventRecord, broadcast::error::RecvError> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

struct Writer<W> {
    write: W,
    waiting: mpsc::Receiver<Outgoing>,
    bytes: Arc<AtomicUsize>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    gone: CancellationToken,
}

impl<W: AsyncWrite + Unpin> Writer<W> {
    async fn run(mut self) {
        let mut follows = false;
        let mut next_at = Instant::now();
        loop {
            let outgoing = tokio::select! {
                biased;
                () = self.gone.cancelled() => return,
                outgoing = self.waiting.recv() => match outgoing {
                    Some(outgoing) => outgoing,
                    None => break,
                },
                () = due(&mut self.snapshot, next_at), if follows => {
                    next_at = Instant::now() + SNAPSHOT_INTERVAL;
                    Outgoing::Snapshot { id: None }
                }
            };
            let line = match outgoing {
                Outgoing::Line(line) => {
                    self.bytes.fetch_sub(line.len(), Ordering::Relaxed);
                    line
                }
                Outgoing::Snapshot { id } => {
                    let snapshot = if id.is_none() {
                        self.snapshot.borrow_and_update().clone()
                    } else {
                        self.snapshot.borrow().clone()
                    };
                    Answer { id, body: Body::Snapshot(snapshot) }.to_line()
                }
                Outgoing::Follow(on) => {
                    follows = on;
                    self.snapshot.mark_changed();
                    continue;
                }
                Outgoing::Resync => {
                    self.snapshot.mark_changed();
                    continue;
                }
            };
            if !self.write(&line).await {
                self.gone.cancel();
                return;
            }
        }
        // The client may be gone already; then there is nothing to close.
        if timeout(Duration::from_secs(1), self.write.shutdown()).await.is_err() {}
    }

    async fn write(&mut self, line: &[u8]) -> bool {
        match timeout(WRITE_TIMEOUT, self.write.write_all(line)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a control client is gone");
                false
            }
            Err(_) => {
                tracing::info!("a control client does not read and is dropped");
                false
            }
        }
    }
}

/// Resolves when a newer snapshot may be pushed. The wait for the change comes last, so that dropping this loses none.
async fn due(snapshot: &mut watch::Receiver<Arc<Snapshot>>, next_at: Instant) {
    sleep_until(next_at).await;
    if snapshot.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
