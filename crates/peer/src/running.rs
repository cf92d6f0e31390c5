//! The operations that run: how each is steered, how far each is, which worker is whose.
//!
//! Starts no worker and decides nothing: the task does the one, the engine the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use bonfire_engine::input::OpId;
use bonfire_engine::snapshot::OperationView;
use bonfire_net::Connection;
use bonfire_proto::{GameId, PeerId};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::download::Steer;
use crate::progress::{Progress, Speed};

/// One operation, as the task sees it.
pub(crate) struct Run {
    game: GameId,
    cancel: CancellationToken,
    stop: CancellationToken,
    commit: CancellationToken,
    sources: watch::Sender<Vec<(PeerId, Connection)>>,
    progress: Arc<Progress>,
    speed: Speed,
}

impl Run {
    /// An operation that is about to begin, and what its worker is steered by.
    pub(crate) fn new(op: OpId, game: GameId, sources: Vec<(PeerId, Connection)>) -> (Self, Steer) {
        let (cancel, commit) = (CancellationToken::new(), CancellationToken::new());
        let progress = Arc::new(Progress::default());
        let (tell, sources) = watch::channel(sources);
        let stop = CancellationToken::new();
        let steer = Steer {
            op,
            cancel: cancel.clone(),
            stop: stop.clone(),
            commit: commit.clone(),
            sources,
            progress: progress.clone(),
        };
        (Self { game, cancel, stop, commit, sources: tell, progress, speed: Speed::default() }, steer)
    }
}

/// Every operation that runs.
#[derive(Default)]
pub(crate) struct Running(BTreeMap<OpId, (Run, AbortHandle)>);

impl Running {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn began(&mut self, op: OpId, run: Run, worker: AbortHandle) {
        self.0.insert(op, (run, worker));
    }

    pub(crate) fn ended(&mut self, op: OpId) {
        self.0.remove(&op);
    }

    /// Tells a worker which sources there are; one that has ended needs none.
    pub(crate) fn set_sources(&self, op: OpId, sources: Vec<(PeerId, Connection)>) {
        if let Some((run, _)) = self.0.get(&op) {
            run.sources.send_replace(sources);
        }
    }

    /// Stops a worker at once; it sweeps and then reports.
    pub(crate) fn cancel(&self, op: OpId) {
        if let Some((run, _)) = self.0.get(&op) {
            run.cancel.cancel();
        }
    }

    /// Lets a worker put the game in place; it is not cancelled after that.
    pub(crate) fn commit(&self, op: OpId) {
        if let Some((run, _)) = self.0.get(&op) {
            run.commit.cancel();
        }
    }

    /// The operation that a worker works on.
    pub(crate) fn of_worker(&self, id: tokio::task::Id) -> Option<(OpId, GameId)> {
        let (op, (run, _)) = self.0.iter().find(|(_, (_, worker))| worker.id() == id)?;
        Some((*op, run.game.clone()))
    }

    /// Puts bytes, speed and time left into what is shown.
    pub(crate) fn show(&mut self, views: &mut [OperationView]) {
        let now = Instant::now();
        for view in views {
            let Some((run, _)) = self.0.get_mut(&OpId(view.op)) else { continue };
            let (done, total) = run.progress.read();
            let speed = run.speed.sample(now, done);
            view.done_bytes = done;
            view.total_bytes = total;
            (view.done_files, view.total_files) = run.progress.files();
            view.bytes_per_second = speed;
            view.eta_ms = total.saturating_sub(done).saturating_mul(1000).checked_div(speed);
        }
    }

    /// Tells every worker that the peer stops: what it has verified is made durable, and it ends.
    pub(crate) fn stop(&self) {
        for (run, _) in self.0.values() {
            run.stop.cancel();
        }
    }

    /// Whether every worker has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.0.values().all(|(_, worker)| worker.is_finished())
    }

    /// Ends every worker where it stands.
    pub(crate) fn abort(&self) {
        for (_, worker) in self.0.values() {
            worker.abort();
        }
    }
}
