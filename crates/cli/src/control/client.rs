//! A command's side of the control channel. Keeps what is pushed while it waits for an answer.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::{ErrorClass, EventRecord, Report, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::protocol::{Ask, PeerLine, Request, Topic, to_line};
use crate::lines::{Line, LineSplitter};
use crate::platform;

/// Longest line that a client takes from its own peer, in bytes: a snapshot of a very large room.
const LINE_LEN_MAX: usize = 1 << 30;

/// How long a peer may take to answer. Long work answers at once; a probe of the room takes a few seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What a peer pushes to a client that follows it.
#[derive(Debug)]
pub(crate) enum Pushed {
    /// Something happened.
    Event(EventRecord),
    /// The state as it is.
    Snapshot(Box<Snapshot>),
}

/// A connection to the running peer.
pub(crate) struct Client {
    stream: platform::ClientStream,
    lines: LineSplitter,
    pushed: VecDeque<Pushed>,
    next_id: u64,
}

impl Client {
    /// Connects to the peer that serves this data folder.
    ///
    /// # Errors
    /// `Unreachable` when none does.
    pub(crate) async fn connect(data_dir: &Path) -> Result<Self, Report> {
        let stream = platform::connect(data_dir).await.map_err(|e| no_peer(data_dir, &e))?;
        Ok(Self { stream, lines: LineSplitter::new(LINE_LEN_MAX), pushed: VecDeque::new(), next_id: 1 })
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// The refusal, or `Unreachable`.
    pub(crate) async fn command(&mut self, command: Command) -> Result<Reply, Report> {
        let line = self.ask_soon(Ask::Command(command)).await?;
        line.reply.ok_or_else(|| garbled("an answer without a reply"))
    }

    /// Sends a command that is answered when it is done, however long that takes, and waits for its reply. May be dropped
    /// while it waits: the peer goes on with the command, and its answer is skipped.
    ///
    /// # Errors
    /// The refusal, or `Unreachable`.
    pub(crate) async fn long_command(&mut self, command: Command) -> Result<Reply, Report> {
        let line = self.ask(Ask::Command(command)).await?;
        line.reply.ok_or_else(|| garbled("an answer without a reply"))
    }

    /// The whole state.
    ///
    /// # Errors
    /// `Unreachable` when the peer is gone.
    pub(crate) async fn snapshot(&mut self) -> Result<Snapshot, Report> {
        let line = self.ask_soon(Ask::Get(Topic::Snapshot)).await?;
        line.snapshot.map(|s| *s).ok_or_else(|| garbled("an answer without a snapshot"))
    }

    /// Asks for events and snapshots and returns the first snapshot; the rest comes from `next`.
    ///
    /// # Errors
    /// `Unreachable` when the peer is gone.
    pub(crate) async fn follow(&mut self) -> Result<Snapshot, Report> {
        self.ask_soon(Ask::Follow(true)).await?;
        let mut events = VecDeque::new();
        loop {
            match self.next().await? {
                Pushed::Snapshot(snapshot) => {
                    events.append(&mut self.pushed);
                    self.pushed = events;
                    return Ok(*snapshot);
                }
                event @ Pushed::Event(_) => events.push_back(event),
            }
        }
    }

    /// The next thing that was pushed. May be dropped while it waits without losing anything.
    ///
    /// # Errors
    /// `Unreachable` when the peer is gone.
    pub(crate) async fn next(&mut self) -> Result<Pushed, Report> {
        loop {
            if let Some(pushed) = self.pushed.pop_front() {
                return Ok(pushed);
            }
            let line = self.read_line().await?;
            self.keep(line);
        }
    }

    async fn ask_soon(&mut self, ask: Ask) -> Result<PeerLine, Report> {
        let late = |_| {
            let seconds = ANSWER_TIMEOUT.as_secs();
            Report::new(ErrorClass::Unreachable, "no_answer", format!("the peer did not answer within {seconds} s"))
                .hint("see what it logs; stop it and start it again if it hangs")
        };
        timeout(ANSWER_TIMEOUT, self.ask(ask)).await.map_err(late)?
    }

    async fn ask(&mut self, ask: Ask) -> Result<PeerLine, Report> {
        let id = self.next_id;
        self.next_id += 1;
        self.stream.write_all(&to_line(&Request { id: Some(id), ask })).await.map_err(|e| lost(&e))?;
        loop {
            let line = self.read_line().await?;
            let is_for_us = line.id == Some(id) || (line.id.is_none() && line.error.is_some());
            if !is_for_us {
                self.keep(line);
                continue;
            }
            return match line.error {
                Some(report) => Err(report),
                None => Ok(line),
            };
        }
    }

    fn keep(&mut self, line: PeerLine) {
        if let (Some(seq), Some(event)) = (line.seq, line.event) {
            self.pushed.push_back(Pushed::Event(EventRecord { seq, event }));
        } else if let (None, Some(snapshot)) = (line.id, line.snapshot) {
            // Only the newest state matters; what happened in between is in the events.
            self.pushed.retain(|p| matches!(p, Pushed::Event(_)));
            self.pushed.push_back(Pushed::Snapshot(snapshot));
        }
    }

    async fn read_line(&mut self) -> Result<PeerLine, Report> {
        loop {
            match self.lines.pop() {
                Some(Line::Whole(line)) => {
                    return serde_json::from_slice(&line).map_err(|e| garbled(&format!("a line it cannot have: {e}")));
                }
                Some(Line::TooLong) => return Err(garbled("a line that is too long")),
                None => {}
            }
            let mut buffer = vec![0; 64 * 1024];
            let n = self.stream.read(&mut buffer).await.map_err(|e| lost(&e))?;
            if n == 0 {
                return Err(lost(&io::Error::new(io::ErrorKind::UnexpectedEof, "it has stopped")));
            }
            self.lines.feed(&buffer[..n]);
        }
    }
}

fn no_peer(data_dir: &Path, error: &io::Error) -> Report {
    let report = |code, message| Report::new(ErrorClass::Unreachable, code, message);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            report("no_peer_running", format!("no peer is running for {}", data_dir.display()))
                .hint("start one with: bonfire run (or name its folder with --data-dir)")
        }
        io::ErrorKind::PermissionDenied => {
            report("no_permission", format!("the peer of {} belongs to another user", data_dir.display()))
                .hint("run this command as the user that runs the peer")
        }
        _ => report("no_peer_running", format!("cannot reach the peer of {}: {error}", data_dir.display())),
    }
}

fn lost(error: &io::Error) -> Report {
    Report::new(ErrorClass::Unreachable, "peer_stopped", format!("the connection to the peer was lost: {error}"))
        .hint("start it again with: bonfire run")
}

fn garbled(what: &str) -> Report {
    Report::new(ErrorClass::Bug, "bad_answer", format!("the peer sent {what}"))
        .hint("the peer and this command may be of different versions: restart the peer")
}
