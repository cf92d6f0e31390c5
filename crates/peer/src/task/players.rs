//! What the task does for players and saves: records, pieces of work with a save, pairings, the audit log.

use std::sync::PoisonError;

use bonfire_engine::command::{AuditFilter, Reply};
use bonfire_engine::input::{CommandId, Input, PairCall, PairId, PairInput};
use bonfire_engine::record::Record;
use bonfire_engine::saves::work::{SaveInput, SaveJob, SaveWork};
use bonfire_engine::sidecars::work::SidecarJob;
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::pairing::End;
use tokio::sync::mpsc;

use super::{Event, Task, resolve};
use crate::conns;
use crate::errors;
use crate::pairing::Pairing;
use crate::world::World;

impl Task {
    /// Makes records durable in one transaction, and the players among them in their file too.
    pub(super) async fn record(&mut self, records: Vec<Record>) -> Result<(), Report> {
        let (database, players) = (self.world.database.clone(), self.players.clone());
        let work = move || {
            let mut players = players.lock().unwrap_or_else(PoisonError::into_inner);
            players.before(&records)?;
            database.with(|s| s.record(&records)).map_err(|e| errors::store(&e))?;
            players.after(&records)
        };
        self.world.blocking.run(work).await?
    }

    pub(super) fn save(&mut self, job: SaveJob) {
        let sources = match &job.work {
            SaveWork::Fetch { sources, .. } => resolve(&self.conns, sources),
            _ => Vec::new(),
        };
        let work = self.saves.clone().run(job.clone(), sources, self.events.clone());
        let worker = self.state.workers.spawn(work);
        self.state.saving.insert(worker.id(), job);
    }

    pub(super) fn picture(&mut self, job: SidecarJob) {
        let source = match &job {
            SidecarJob::Fetch { from, .. } => self.conns.get(from.1).cloned(),
            _ => None,
        };
        let worker = self.state.workers.spawn(self.pictures.clone().run(job.clone(), source, self.events.clone()));
        self.state.picturing.insert(worker.id(), job);
    }

    pub(super) fn pair(&mut self, id: PairId, call: PairCall) {
        let Some(connection) = self.conns.get(call.conn).cloned() else {
            let error = Report::new(ErrorClass::Remote, "connection_lost", "the other device is gone").retryable();
            let (events, failed) = (self.events.clone(), PairInput::Failed { error, refused: None });
            // Whoever waits for this pairing waits for its end.
            let told = async move { conns::send(&events, Event::Input(Input::Pairing(id, failed))).await };
            self.state.workers.spawn(told);
            return;
        };
        let ours = End { peer_id: self.endpoint.peer_id(), key_hash: self.endpoint.key_hash() };
        let pairing = Pairing::new(id, ours, &connection, self.world.random.clone(), self.events.clone());
        self.state.workers.spawn(pairing.call(connection, call));
    }
}

/// Reads the audit log and answers who asked.
pub(super) async fn audit(world: World, command: CommandId, filter: AuditFilter, events: mpsc::Sender<Event>) {
    let database = world.database.clone();
    let read = world.blocking.run(move || database.with(|s| s.audit(&filter)).map_err(|e| errors::store(&e)));
    let reply = read.await.and_then(|r| r).map(|entries| Reply::Audit { entries });
    conns::send(&events, Event::Input(Input::Save(SaveInput::Answered(command, reply)))).await;
}
