//! The peer's one task: hears everything, asks the engine, carries out what it says, in order.
//!
//! Decides nothing. A batch stops at a `Persist` that fails, and so does the peer: to go on would tell others of a state
//! that the disk does not have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bonfire_engine::command::Reply;
use bonfire_engine::engine::Engine;
use bonfire_engine::input::{CommandId, ConnId, Effect, Input, OpId, OpPlan, PairAnswer, PairId, PairInput};
use bonfire_engine::saves::work::SaveJob;
use bonfire_engine::serving::ServingView;
use bonfire_engine::sidecars::work::{Sidecar, SidecarJob};
use bonfire_engine::trust::roster::{Proven, Roster};
use bonfire_engine::{ErrorClass, EventRecord, PeerEvent, Report, Snapshot, UnixMillis};
use bonfire_net::{Connection, Discovery, Endpoint};
use bonfire_proto::PeerId;
use bonfire_proto::message::{Control, ErrorMsg, Request, Response};
use bonfire_proto::message_sidecar::GetSidecar;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::conns::{self, Arrival, Conns};
use crate::download;
use crate::handle::PeerCommand;
use crate::hash::Hasher;
use crate::index::Index;
use crate::installs::Installer;
use crate::library;
use crate::pairing::Pairings;
use crate::players_file::PlayersFile;
use crate::probe;
use crate::running::{Run, Running};
use crate::saves::{Saves, Watching};
use crate::serve::Server;
use crate::sidecars::Pictures;
use crate::verify;
use crate::world::World;

/// How often progress is put into the snapshot while something is active.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);
mod ending;
mod players;
mod telling;

/// What wakes the task.
pub(crate) enum Event {
    /// For the engine as it is.
    Input(Input),
    /// A connection that exchanged hellos.
    Arrived(Box<Arrival>),
    /// A request that only the engine's library can answer.
    Library(Request, oneshot::Sender<Arc<Vec<Response>>>),
    /// A question about a player's devices.
    Asked(Proven, Box<Request>, oneshot::Sender<Box<Response>>),
    /// Which picture a request is for, if it may be had.
    Picture(Proven, GetSidecar, oneshot::Sender<Result<Sidecar, ErrorMsg>>),
    /// A pairing has something to say, and where its answer goes.
    Pairing(PairId, Box<PairInput>, mpsc::Sender<PairAnswer>),
}

/// Everything that the task owns.
pub(crate) struct Task {
    pub(crate) engine: Engine,
    pub(crate) world: World,
    pub(crate) endpoint: Endpoint,
    pub(crate) discovery: Option<Arc<dyn Discovery>>,
    pub(crate) index: Index,
    pub(crate) server: Server,
    pub(crate) hasher: Hasher,
    pub(crate) conns: Conns,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) serving: watch::Sender<Arc<ServingView>>,
    pub(crate) roster: watch::Sender<Arc<Roster>>,
    pub(crate) saves: Saves,
    pub(crate) pictures: Pictures,
    pub(crate) installer: Installer,
    pub(crate) watching: Watching,
    /// Behind a lock, since it is written where blocking is allowed.
    pub(crate) players: Arc<Mutex<PlayersFile>>,
    pub(crate) snapshot: watch::Sender<Arc<Snapshot>>,
    pub(crate) told: broadcast::Sender<EventRecord>,
    pub(crate) about: library::About,
    pub(crate) started: Instant,
    pub(crate) state: State,
}

/// What is the task's alone.
#[derive(Default)]
pub(crate) struct State {
    seq: u64,
    /// Something was taken in that the snapshot may not show yet.
    stale: bool,
    next_command: u64,
    replies: BTreeMap<CommandId, oneshot::Sender<Result<Reply, Report>>>,
    running: Running,
    pairings: Pairings,
    workers: JoinSet<()>,
    /// Jobs of saves that are under way, by worker.
    saving: BTreeMap<tokio::task::Id, SaveJob>,
    /// Jobs of pictures that are under way, by worker.
    picturing: BTreeMap<tokio::task::Id, SidecarJob>,
    problems: Vec<PeerEvent>,
    pages: library::Pages,
    stop: bool,
    /// Why it stops, when nobody asked for it.
    fault: Option<Report>,
}

impl State {
    /// A task that has not begun; what recovery has to say is told before anything else.
    pub(crate) fn telling(problems: Vec<PeerEvent>) -> Self {
        Self { problems, ..Self::default() }
    }
}

impl Task {
    /// Runs until told to stop; the fault when it stopped because of one. `Listening` is the first input.
    pub(crate) async fn run(
        mut self,
        mut commands: mpsc::Receiver<PeerCommand>,
        mut events: mpsc::Receiver<Event>,
    ) -> Option<Report> {
        let accepting = tokio::spawn(conns::accept(self.endpoint.clone(), self.events.clone()));
        for problem in std::mem::take(&mut self.state.problems) {
            self.tell(problem);
        }
        self.feed(Input::Listening(self.about.listen)).await;
        let mut next_progress = Instant::now() + PROGRESS_EVERY;
        while !self.state.stop {
            let deadline = self.engine.next_deadline().map(|(at, _)| self.started + Duration::from_millis(at.0));
            let never = Instant::now() + Duration::from_secs(3600);
            tokio::select! {
                // Events come last: what others send must not keep a person, or a deadline, waiting.
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    // Every handle is gone: nobody can ever ask for anything again.
                    None => self.feed(shut_down()).await,
                },
                () = sleep_until(deadline.unwrap_or(never)) => self.feed(Input::Deadline).await,
                () = sleep_until(next_progress), if self.state.stale || !self.state.running.is_empty() => {
                    next_progress = Instant::now() + PROGRESS_EVERY;
                    self.publish();
                }
                Some(ended) = self.state.workers.join_next_with_id() => self.reap(ended.map(|(id, ())| id)).await,
                event = events.recv() => match event {
                    Some(event) => self.event(event).await,
                    None => break,
                },
            }
        }
        // Nobody takes in any more what workers have to say; they must not wait for it.
        drop(events);
        let fault = self.state.fault.take();
        self.shut_down(accepting).await;
        fault
    }

    async fn event(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.feed(input).await,
            Event::Arrived(arrival) => {
                let dialed = arrival.dial.is_some();
                let input = self.conns.register(*arrival);
                let Input::Conn(bonfire_engine::input::ConnInput::Arrived { conn, .. }) = &input else { return };
                let conn = *conn;
                // Live before the engine speaks on it; what it turns away is closed in the same batch.
                if dialed {
                    self.conns.open(conn, None, &self.server);
                }
                self.feed(input).await;
            }
            Event::Library(request, reply) => {
                // The asker may have gone meanwhile; then there is nobody to answer.
                if reply.send(library::answer(&self.engine, &mut self.state.pages, &request)).is_err() {
                    tracing::debug!("a library request was given up");
                }
            }
            Event::Asked(who, request, reply) => {
                if reply.send(Box::new(self.engine.answer(who, &request))).is_err() {
                    tracing::debug!("a question was given up");
                }
            }
            Event::Picture(who, request, reply) => {
                if reply.send(self.engine.give_picture(who, &request)).is_err() {
                    tracing::debug!("a request for a picture was given up");
                }
            }
            Event::Pairing(id, input, answers) => {
                self.state.pairings.said(id, &input, answers);
                self.feed(Input::Pairing(id, *input)).await;
            }
        }
    }

    async fn command(&mut self, command: PeerCommand) {
        self.state.next_command += 1;
        let id = CommandId(self.state.next_command);
        self.state.replies.insert(id, command.reply);
        self.feed(Input::Command(id, command.command)).await;
    }

    async fn feed(&mut self, input: Input) {
        // Not all that is shown has an event: a revision that changed nothing for us, the sign of life of a peer.
        self.state.stale = true;
        if let Input::Conn(bonfire_engine::input::ConnInput::Closed(conn, _)) = &input {
            self.conns.forget(*conn);
        }
        if let Input::Op(op, bonfire_engine::input::OpInput::Finished(_)) = &input {
            self.state.running.ended(*op);
        }
        // A scan changes what is shown (a folder that nobody shares, a problem) also where it changes no library.
        let shows = matches!(&input, Input::Scanned(..) | Input::CatalogLoaded(_));
        let now = self.now();
        self.engine.tell_time(UnixMillis(self.world.clock.unix_ms()));
        let effects = self.engine.handle(now, input);
        // Before anything else is answered: trust that ends, ends at once.
        if let Some(roster) = self.engine.take_roster() {
            self.roster.send_replace(Arc::new(roster));
        }
        let changes = self.engine.take_serving_changes();
        if !changes.is_empty() {
            // Copied only where a request is being answered from the view as it was.
            self.serving.send_modify(|view| Arc::make_mut(view).apply(changes));
        }
        // The snapshot holds the whole batch before anyone hears of a part of it.
        let emits = effects.iter().filter(|e| matches!(e, Effect::Emit(_))).count() as u64;
        let mut published = false;
        for effect in effects {
            if !published && matches!(effect, Effect::Reply(..) | Effect::Emit(_)) {
                self.publish_up_to(self.state.seq + emits);
                published = true;
            }
            if let Err(error) = self.carry_out(effect).await {
                tracing::error!("state cannot be made durable, stopping: {error}");
                self.tell(PeerEvent::ProblemFound { game: None, error: error.clone() });
                self.state.fault = Some(error);
                self.state.stop = true;
                return;
            }
        }
        if shows && !published {
            self.publish();
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<(), Report> {
        match effect {
            Effect::Persist(persist) => self.index.persist(persist).await?,
            Effect::Record(records) => self.record(records).await?,
            Effect::Dial { dial, addrs, expect, hello } => {
                self.state.workers.spawn(conns::dial(
                    self.endpoint.clone(),
                    dial,
                    addrs,
                    expect,
                    hello,
                    self.events.clone(),
                ));
            }
            Effect::Accept(conn, hello) => {
                if self.conns.is_waiting(conn) {
                    self.conns.open(conn, Some(Control::HelloAck(hello)), &self.server);
                }
            }
            Effect::Send(conn, message) => self.conns.send(conn, message),
            Effect::Close(conn, code) => self.conns.close(conn, code),
            Effect::FetchLibrary(conn, request) => match self.conns.get(conn) {
                Some(connection) => {
                    let work = library::fetch(conn, connection.clone(), request, self.events.clone());
                    self.state.workers.spawn(work);
                }
                None => self.defer(Input::Conn(bonfire_engine::input::ConnInput::Closed(conn, "closed".to_owned()))),
            },
            Effect::Ask(conn, request) => {
                let connection = self.conns.get(conn).cloned();
                self.state.workers.spawn(conns::ask(conn, connection, request, self.events.clone()));
            }
            Effect::Save(job) => self.save(*job),
            Effect::Sidecar(job) => self.picture(*job),
            Effect::Audit(command, filter) => {
                self.state.workers.spawn(players::audit(self.world.clone(), command, filter, self.events.clone()));
            }
            Effect::WatchSave(set, place) => self.watching.watch(set, place),
            Effect::Pair(id, call) => self.pair(id, *call),
            Effect::PairAnswer(id, answer) => self.state.pairings.answer(id, *answer),
            Effect::Announce => self.announce(),
            Effect::Scan(scope) => {
                self.state.workers.spawn(self.index.clone().scan(scope, self.events.clone()));
            }
            Effect::LoadCatalog => {
                self.state.workers.spawn(crate::catalog::load(self.world.clone(), self.events.clone()));
            }
            Effect::SaveCatalog(entries) => {
                self.state.workers.spawn(crate::catalog::save(self.world.clone(), entries, self.events.clone()));
            }
            Effect::PrepareEntry { command, game, version } => {
                let (world, index, events) = (self.world.clone(), self.index.clone(), self.events.clone());
                self.state.workers.spawn(crate::catalog::prepare(world, index, command, game, version, events));
            }
            Effect::Hash(games) => {
                self.state.workers.spawn(self.hasher.clone().hash(games, self.events.clone()));
            }
            Effect::HoldHashing(hold) => self.hasher.hold(hold),
            Effect::Start(op, plan) => self.start(op, plan),
            Effect::SetSources(op, sources) => self.state.running.set_sources(op, resolve(&self.conns, &sources)),
            Effect::Cancel(op) => self.state.running.cancel(op),
            Effect::Commit(op) => self.state.running.commit(op),
            Effect::Probe(command, targets) => {
                let targets = targets.into_iter().filter_map(|t| Some((self.conns.get(t.conn)?.clone(), t))).collect();
                let endpoint = self.endpoint.clone();
                let unix_ms = self.world.clock.unix_ms();
                self.state.workers.spawn(probe::all(
                    endpoint,
                    self.about.listen.port(),
                    command,
                    targets,
                    unix_ms,
                    self.events.clone(),
                ));
            }
            Effect::Reply(command, reply) => {
                if let Some(waiting) = self.state.replies.remove(&command)
                    && waiting.send(reply).is_err()
                {
                    tracing::debug!("the front end that asked has gone");
                }
            }
            Effect::Emit(event) => self.emit(event),
            Effect::Stop => self.state.stop = true,
        }
        Ok(())
    }

    /// A worker ended. One that panicked still ends its operation, which would else block its game for ever.
    async fn reap(&mut self, ended: Result<tokio::task::Id, tokio::task::JoinError>) {
        let error = match ended {
            Ok(id) => {
                self.state.saving.remove(&id);
                self.state.picturing.remove(&id);
                return;
            }
            Err(error) => error,
        };
        tracing::error!("a worker failed: {error}");
        if let Some(job) = self.state.saving.remove(&error.id()) {
            let input = crate::saves::failure(job, bug(&format!("a worker of saves failed: {error}")));
            return self.feed(Input::Save(input)).await;
        }
        if let Some(job) = self.state.picturing.remove(&error.id()) {
            let error = bug(&format!("a worker of pictures failed: {error}"));
            if let Some(input) = crate::sidecars::failure(job, error) {
                self.feed(Input::Sidecar(input)).await;
            }
            return;
        }
        let Some((op, game)) = self.state.running.of_worker(error.id()) else { return };
        let work = download::broke(self.world.clone(), op, game, self.events.clone());
        self.state.workers.spawn(work);
    }

    fn start(&mut self, op: OpId, plan: OpPlan) {
        let game = plan.game().clone();
        let sources = match &plan {
            OpPlan::Download { sources, .. } | OpPlan::Verify { sources, .. } => resolve(&self.conns, sources),
            OpPlan::Discard { .. } | OpPlan::Remove { .. } | OpPlan::Install { .. } | OpPlan::Uninstall { .. } => {
                Vec::new()
            }
        };
        let (run, steer) = Run::new(op, game, sources);
        let (world, index, events) = (self.world.clone(), self.index.clone(), self.events.clone());
        let workers = &mut self.state.workers;
        let worker = match plan {
            OpPlan::Download { target, resume, .. } => {
                workers.spawn(download::run(world, index, steer, target, resume, events))
            }
            OpPlan::Discard { game } => workers.spawn(download::discard(world, op, game, events)),
            OpPlan::Remove { game } => workers.spawn(download::remove(world, index, op, game, events)),
            OpPlan::Verify { game, restore, players, .. } => {
                let installer = self.installer.clone().sparing(players);
                workers.spawn(verify::run(installer, steer, game, restore, events))
            }
            OpPlan::Install { game, version, players } => {
                workers.spawn(self.installer.clone().sparing(players).install(steer, game, version, events))
            }
            OpPlan::Uninstall { game, force, saved_at, players } => {
                let installer = self.installer.clone().sparing(players);
                workers.spawn(installer.uninstall(op, game, force, saved_at, events))
            }
        };
        self.state.running.began(op, run, worker);
    }

    /// Feeds an input after the batch under way. The queue is never full of these: one for each lost connection.
    fn defer(&self, input: Input) {
        if self.events.try_send(Event::Input(input)).is_err() {
            tracing::debug!("the event queue is full; the connection's own watcher tells the same");
        }
    }

    fn now(&self) -> bonfire_engine::Instant {
        bonfire_engine::Instant(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

fn resolve(conns: &Conns, sources: &[(PeerId, ConnId)]) -> Vec<(PeerId, Connection)> {
    sources.iter().filter_map(|(peer, conn)| conns.get(*conn).map(|c| (*peer, c.clone()))).collect()
}

fn shut_down() -> Input {
    use bonfire_engine::command::{Command, NodeCommand};
    Input::Command(CommandId(0), Command::Peer(NodeCommand::ShutDown))
}

/// The report of a worker that could not even begin.
pub(crate) fn bug(what: &str) -> Report {
    Report::new(ErrorClass::Bug, "bug", format!("internal error: {what}"))
}
