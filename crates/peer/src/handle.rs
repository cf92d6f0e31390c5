//! The way in: start a peer, send it commands, watch its snapshot and events.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::{ErrorClass, EventRecord, Report, Snapshot};
use bonfire_unpack::Unpacker;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// What a peer needs to start.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Holds one folder for each game, and `catalog.json`.
    pub games_dir: PathBuf,
    /// Holds identity and state; the caller holds its lock.
    pub data_dir: PathBuf,
    /// Where to listen for QUIC.
    pub listen: SocketAddr,
    /// Name of this machine for people.
    pub name: String,
    /// Peers to reach without discovery.
    pub static_peers: Vec<SocketAddr>,
    /// Whether to announce and browse over mDNS.
    pub mdns: bool,
    /// What reads archives for installs; without it they are refused.
    pub unpacker: Option<Unpacker>,
}

/// A command on its way to the peer's task, with the way back.
#[derive(Debug)]
pub(crate) struct PeerCommand {
    pub(crate) command: Command,
    pub(crate) reply: oneshot::Sender<Result<Reply, Report>>,
}

/// A running peer. Cheap to clone; the peer stops on `NodeCommand::ShutDown` or when every handle is gone.
#[derive(Debug, Clone)]
pub struct PeerHandle {
    pub(crate) commands: mpsc::Sender<PeerCommand>,
    pub(crate) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(crate) events: broadcast::Sender<EventRecord>,
    /// A receiver from before the first event, for the first who asks.
    pub(crate) first: Arc<Mutex<Option<broadcast::Receiver<EventRecord>>>>,
    pub(crate) stopped: watch::Receiver<Option<Result<(), Report>>>,
}

impl PeerHandle {
    /// Sends a command and waits for its reply. Long work replies at once; its outcome is an event.
    ///
    /// # Errors
    /// The refusal, or class `Unreachable` when the peer has stopped.
    pub async fn send(&self, command: Command) -> Result<Reply, Report> {
        let (reply, answer) = oneshot::channel();
        let gone = || Report::new(ErrorClass::Unreachable, "stopped", "the peer has stopped");
        self.commands.send(PeerCommand { command, reply }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// The newest snapshot and how to wait for the next.
    #[must_use]
    pub fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Events: for the first who asks, from the very first one; for others from here on. A receiver that lags misses
    /// some, sees the gap in `seq`, and re-reads the snapshot.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<EventRecord> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        first.unwrap_or_else(|| self.events.subscribe())
    }

    /// Resolves when the peer has stopped and released everything.
    ///
    /// # Errors
    /// Why it stopped, when nobody asked for it: its state could not be made durable, or a bug.
    pub async fn stopped(&self) -> Result<(), Report> {
        let mut stopped = self.stopped.clone();
        // The sender goes with the task alone; without a last word it panicked.
        let broke = || Report::new(ErrorClass::Bug, "bug", "the peer broke off; the log says where");
        let last = stopped.wait_for(Option::is_some).await.map_err(|_| broke())?;
        last.clone().unwrap_or(Ok(()))
    }
}
