//! `run --json`: requests on stdin, answers and events on stdout, one JSON object a line, as on the control channel.
//! A reader that falls behind gets the newest snapshot in place of the events that it missed.

use std::io::Read;

use bonfire_engine::command::{Command, NodeCommand};
use bonfire_engine::{EventRecord, PeerEvent};
use bonfire_peer::PeerHandle;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::people::next_line;
use crate::control::protocol::{Answer, Ask, Body, REQUEST_LEN_MAX, Topic, parse, to_line, too_long};
use crate::control::server::answer;
use crate::lines::{Line, LineSplitter};
use crate::render::Out;

/// Lines waiting between a thread that blocks and the tasks.
const WAITING_LINES_MAX: usize = 64;
/// Most commands from stdin in work; more wait unread.
const REQUESTS_MAX: usize = 16;

/// Reads stdin on a thread of its own, for a read of stdin cannot be cancelled. The channel closes at its end.
pub(super) fn read_stdin() -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(WAITING_LINES_MAX);
    std::thread::spawn(move || {
        let mut lines = LineSplitter::new(REQUEST_LEN_MAX);
        let mut buffer = vec![0; 16 * 1024];
        let mut stdin = std::io::stdin().lock();
        loop {
            let n = match stdin.read(&mut buffer) {
                Ok(n) => n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!(%error, "stdin cannot be read");
                    0
                }
            };
            if n == 0 {
                lines.finish();
            } else {
                lines.feed(&buffer[..n]);
            }
            while let Some(line) = lines.pop() {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
            if n == 0 {
                return;
            }
        }
    });
    receiver
}

/// Speaks until the peer has stopped and every line is written.
pub(super) async fn speak(
    peer: PeerHandle,
    events: broadcast::Receiver<EventRecord>,
    stdin: Option<mpsc::Receiver<Line>>,
    until_eof: bool,
    stop: CancellationToken,
) {
    let (lines, waiting) = mpsc::channel::<Vec<u8>>(WAITING_LINES_MAX);
    let writer = tokio::task::spawn_blocking(move || write_stdout(waiting));
    let events = tokio::spawn(pass_events(peer.clone(), events, lines.clone(), stop.clone()));
    take_requests(&peer, stdin, until_eof, &lines, &stop).await;
    match events.await {
        // After every answer, for it is the last line.
        Ok(Some(stopped)) => {
            if lines.send(stopped).await.is_err() {
                tracing::debug!("nobody writes any more");
            }
        }
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "passing on events failed"),
    }
    drop(lines);
    if let Err(error) = writer.await {
        tracing::error!(%error, "writing to stdout failed");
    }
}

/// Writes lines until nobody sends any more. When nobody reads stdout the peer goes on: it serves the room too.
fn write_stdout(mut waiting: mpsc::Receiver<Vec<u8>>) {
    let mut is_open = true;
    while let Some(line) = waiting.blocking_recv() {
        if is_open && Out::raw(&line).is_err() {
            tracing::warn!("nobody reads stdout any more; the peer goes on");
            is_open = false;
        }
    }
}

/// Passes on all events but the last one, `stopped`, which it returns.
async fn pass_events(
    peer: PeerHandle,
    mut events: broadcast::Receiver<EventRecord>,
    lines: mpsc::Sender<Vec<u8>>,
    stop: CancellationToken,
) -> Option<Vec<u8>> {
    loop {
        let line = tokio::select! {
            biased;
            event = events.recv() => match event {
                Ok(record) if record.event == PeerEvent::Stopped => return Some(to_line(&record)),
                Ok(record) => to_line(&record),
                Err(RecvError::Lagged(_)) => snapshot_line(&peer, None),
                Err(RecvError::Closed) => return None,
            },
            () = stop.cancelled() => return None,
        };
        if lines.send(line).await.is_err() {
            return None;
        }
    }
}

fn snapshot_line(peer: &PeerHandle, id: Option<u64>) -> Vec<u8> {
    let snapshot = peer.snapshot().borrow().clone();
    Answer { id, body: Body::Snapshot(snapshot) }.to_line()
}

async fn take_requests(
    peer: &PeerHandle,
    mut stdin: Option<mpsc::Receiver<Line>>,
    until_eof: bool,
    lines: &mpsc::Sender<Vec<u8>>,
    stop: &CancellationToken,
) {
    let requests = TaskTracker::new();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX));
    loop {
        let line = tokio::select! {
            line = next_line(&mut stdin) => line,
            () = stop.cancelled() => break,
        };
        let request = match line {
            None => {
                stdin = None;
                if until_eof && let Err(error) = peer.send(Command::Peer(NodeCommand::ShutDown)).await {
                    tracing::debug!(%error, "the peer had stopped before stdin closed");
                }
                continue;
            }
            Some(Line::TooLong) => Err(too_long()),
            Some(Line::Whole(line)) => parse(&line),
        };
        let reply = match request {
            Err(refusal) => refusal.to_line(),
            Ok(request) => match request.ask {
                Ask::Get(Topic::Snapshot) => snapshot_line(peer, request.id),
                Ask::Follow(_) => {
                    Answer { id: request.id, body: Body::Reply(bonfire_engine::command::Reply::Done) }.to_line()
                }
                Ask::Command(command) => {
                    let Ok(permit) = permits.clone().acquire_owned().await else { break };
                    let (peer, lines) = (peer.clone(), lines.clone());
                    requests.spawn(async move {
                        let line = answer(&peer, request.id, command).await.to_line();
                        if lines.send(line).await.is_err() {
                            tracing::debug!("an answer found no reader");
                        }
                        drop(permit);
                    });
                    continue;
                }
            },
        };
        if lines.send(reply).await.is_err() {
            break;
        }
    }
    requests.close();
    requests.wait().await;
}
