//! The machine: one input in, ordered effects out. Routes to `peers`, `games`, `ops` and `library`, and joins what one
//! of them changes to what the others must then do: looks at the games folder in `looks`, other peers in `telling`.
//!
//! Holds no rule that one of those could hold alone.

mod looks;
mod problems;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, Goodbye, Hello};
use bonfire_proto::{Digest, GameId, PeerId};

use crate::command::{CatalogEntry, Command, LibraryCommand, NodeCommand, Reply};
use crate::event::PeerEvent;
use crate::games::Games;
use crate::gate::ScanGate;
use crate::input::{CommandId, Discovered, Effect, Input, ProbeTarget, Resumable};
use crate::installs::Plays;
use crate::library::{LocalLibrary, StoredLibrary};
use crate::ops::Ops;
use crate::peers::{Peers, PeersChange};
use crate::players::{About, Players};
use crate::quiet::Quiet;
use crate::record::{self, Stored};
use crate::report::Report;
use crate::saves::desk::Desk;
use crate::sidecars::Sidecars;
use crate::time::{Instant, UnixMillis};
use crate::trust::{Proven, Roster};
use crate::view::Shown;

/// Between full scans: catches what the watcher missed.
pub const FULL_SCAN_EVERY: Duration = Duration::from_secs(300);

/// What the engine is told once, at start.
#[derive(Debug)]
pub struct Setup {
    /// Who this is.
    pub me: PeerId,
    /// Name for people.
    pub name: String,
    /// The library as stored.
    pub library: StoredLibrary,
    /// Downloads found on the disk.
    pub resumable: BTreeMap<GameId, Resumable>,
    /// Addresses to keep trying.
    pub static_peers: Vec<SocketAddr>,
    /// The whole hash of this peer's key.
    pub key_hash: Digest,
    /// Fresh from the system; what has to be unpredictable follows from it.
    pub seed: [u8; 32],
    /// What this machine says of itself to its players' other devices.
    pub about: About,
    /// Players and saves as stored.
    pub stored: Stored,
}

/// Every decision of one peer.
#[derive(Debug)]
pub struct Engine {
    pub(crate) me: PeerId,
    pub(crate) name: String,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) library: LocalLibrary,
    pub(crate) games: Games,
    pub(crate) peers: Peers,
    pub(crate) ops: Ops,
    /// Entries whose folder is being looked at, by the command that asked.
    pub(crate) adding: BTreeMap<CommandId, CatalogEntry>,
    gate: ScanGate,
    /// Games whose folder is being changed.
    quiet: Quiet,
    /// What is wrong at present, by game and code.
    pub(crate) problems: BTreeMap<(Option<GameId>, String), Report>,
    push_at: Option<Instant>,
    full_scan_at: Option<Instant>,
    hashing_held: bool,
    started: bool,
    scanned_once: bool,
    pub(crate) shown: Shown,
    pub(crate) players: Players,
    pub(crate) desk: Desk,
    pub(crate) plays: Plays,
    pub(crate) sidecars: Sidecars,
    /// The wall clock as it was last told.
    pub(crate) wall: UnixMillis,
    /// The time of the input that is taken in.
    pub(crate) now: Instant,
}

impl Engine {
    /// The engine at start, before anything was heard.
    #[must_use]
    pub fn new(now: Instant, setup: Setup) -> Self {
        let mut peers = Peers::new(setup.me);
        let mut problems = BTreeMap::new();
        for addr in setup.static_peers {
            if let Err(error) = peers.add_static(now, addr) {
                problems.insert((None, error.code.clone()), error);
            }
        }
        let me = Proven { peer: setup.me, key_hash: setup.key_hash };
        let mut stored = setup.stored;
        let players = Players::restore(now, me, &setup.name, setup.about, setup.seed, &mut stored);
        let desk = Desk::restore(setup.me, &mut stored);
        let sidecars = Sidecars::restore(std::mem::take(&mut stored.sidecars));
        let mut engine = Self {
            me: setup.me,
            name: setup.name,
            listen: None,
            library: LocalLibrary::restore(setup.library),
            games: Games::default(),
            peers,
            ops: Ops::new(setup.resumable),
            adding: BTreeMap::new(),
            gate: ScanGate::new(),
            quiet: Quiet::default(),
            problems,
            push_at: None,
            full_scan_at: None,
            hashing_held: false,
            started: false,
            scanned_once: false,
            shown: Shown::default(),
            players,
            desk,
            plays: Plays::default(),
            sidecars,
            wall: UnixMillis(0),
            now,
        };
        // What lies there unfinished is shown from the first.
        engine.show();
        engine
    }

    /// Says what time it is, before `handle`: for people, and for the clock of shared changes. It decides no conflict.
    pub fn tell_time(&mut self, wall: UnixMillis) {
        self.wall = wall;
    }

    /// Who belongs to which player, when that is another than when this was last asked: what the gate decides by.
    pub fn take_roster(&mut self) -> Option<Roster> {
        self.players.take_roster()
    }

    /// Takes in one input. The effects are to be carried out in order; `Persist` is durable before any later one runs.
    pub fn handle(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut fx = Vec::new();
        self.now = now;
        match input {
            Input::Command(id, command) => self.command(now, id, command, &mut fx),
            Input::Listening(addr) => {
                self.listen = Some(addr);
                self.read_catalog(&mut fx);
                self.begin_saves(now, &mut fx);
                self.begin_sidecars();
            }
            Input::Discovery(Discovered::Works) => self.problem_solved("discovery_failed"),
            Input::Discovery(seen) => {
                if let Some(error) = self.peers.discovered(now, seen) {
                    self.problem(None, error, &mut fx);
                }
            }
            Input::Conn(input) => {
                let mine = self.hello();
                let changes = self.peers.conn(now, input, &mine, &mut fx);
                self.peers_changed(&changes, &mut fx);
            }
            Input::Scanned(scanned) => self.scanned(now, scanned, &mut fx),
            Input::Watched(seen) => self.watched(now, seen, &mut fx),
            Input::CatalogLoaded(loaded) => self.catalog_loaded(now, loaded, &mut fx),
            Input::CatalogSaved(saved) => self.catalog_saved(now, saved, &mut fx),
            Input::CatalogPrepared(id, prepared) => self.catalog_prepared(id, prepared, &mut fx),
            Input::Hashed(ended) => self.hashed(now, ended, &mut fx),
            Input::Op(op, input) => self.op(now, op, input, &mut fx),
            Input::Save(input) => self.save(now, input, &mut fx),
            Input::Sidecar(input) => self.sidecar(input, &mut fx),
            Input::Pairing(id, input) => self.pairing(now, id, input, &mut fx),
            Input::Probed(id, results) => fx.push(Effect::Reply(id, Ok(Reply::Probed { results }))),
            Input::Deadline => {}
        }
        self.due(now, &mut fx);
        self.show();
        record::together(fx)
    }

    /// When `Input::Deadline` is wanted next, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        [
            self.push_at.map(|at| (at, "push library")),
            self.full_scan_at.map(|at| (at, "full scan")),
            self.quiet.next_deadline(|g| !self.gate.is_waiting_for(g)).map(|at| (at, "a folder at rest")),
            self.peers.next_deadline(),
            self.desk.next_deadline(),
            self.sidecars.next_deadline(),
            self.players.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What this peer says of itself at present.
    #[must_use]
    pub fn hello(&self) -> Hello {
        let summary = self.library.summary();
        Hello {
            peer_id: self.me,
            proto_ver: PROTO_VERSION,
            listen_addr: self.listen.map(|a| a.to_string()).unwrap_or_default(),
            library_epoch: summary.library_epoch,
            library_rev: summary.library_rev,
            library_digest: summary.library_digest,
            features: BTreeSet::new(),
            name: self.name.clone(),
        }
    }

    /// The library, for answering requests.
    #[must_use]
    pub fn library(&self) -> &LocalLibrary {
        &self.library
    }

    fn command(&mut self, now: Instant, id: CommandId, command: Command, fx: &mut Vec<Effect>) {
        match command {
            Command::Library(LibraryCommand::Rescan { games }) => {
                if games.is_empty() {
                    self.start_full_scan(fx);
                    self.read_catalog(fx);
                }
                for game in games {
                    self.start_scan(&game, fx);
                }
                fx.push(Effect::Reply(id, Ok(Reply::Done)));
            }
            Command::Library(command) => self.catalog_command(id, command, fx),
            Command::Transfers(command) => self.transfer_command(now, id, command, fx),
            Command::Installs(command) => self.install_command(now, id, command, fx),
            Command::Plays(command) => self.play_command(id, command, fx),
            Command::Saves(command) => self.saves_command(id, command, fx),
            Command::Devices(command) => self.devices_command(now, id, command, fx),
            Command::Peer(NodeCommand::AddPeer { addr }) => {
                let added = self.peers.add_static(now, addr).map(|()| Reply::Done);
                fx.push(Effect::Reply(id, added));
            }
            Command::Peer(NodeCommand::Probe) => {
                let targets = self
                    .peers
                    .iter()
                    .filter_map(|(peer, p)| {
                        let link = p.link?;
                        Some(ProbeTarget { peer: *peer, name: p.name.clone(), conn: link.conn, addr: p.addr? })
                    })
                    .collect();
                fx.push(Effect::Probe(id, targets));
            }
            Command::Peer(NodeCommand::ShutDown) => {
                for (_, conn) in self.peers.connected() {
                    fx.push(Effect::Send(conn, Control::Goodbye(Goodbye { peer_id: self.me })));
                }
                fx.push(Effect::Reply(id, Ok(Reply::Done)));
                fx.push(Effect::Stop);
            }
        }
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    fn peers_changed(&mut self, changes: &[PeersChange], fx: &mut Vec<Effect>) {
        let mut offers_changed = false;
        for change in changes {
            self.players_hear(change, fx);
            match change {
                PeersChange::Appeared(peer) => {
                    offers_changed = true;
                    if let Some(p) = self.peers.get(peer) {
                        fx.push(Effect::Emit(PeerEvent::PeerAppeared {
                            peer: *peer,
                            name: p.name.clone(),
                            addr: p.addr.map(|a| a.to_string()).unwrap_or_default(),
                        }));
                    }
                    self.summarise_to(peer, fx);
                }
                PeersChange::Rewired(peer) => {
                    offers_changed = true;
                    self.summarise_to(peer, fx);
                }
                PeersChange::Said(..) | PeersChange::Answered(..) => {}
                PeersChange::Moved(peer) => {
                    let addr = self.peers.get(peer).and_then(|p| p.addr).map(|a| a.to_string()).unwrap_or_default();
                    fx.push(Effect::Emit(PeerEvent::PeerMoved { peer: *peer, addr }));
                }
                PeersChange::Lost(peer, reason) => {
                    offers_changed = true;
                    fx.push(Effect::Emit(PeerEvent::PeerLost { peer: *peer, reason: reason.clone() }));
                }
                PeersChange::Refused(addr, error) => {
                    fx.push(Effect::Emit(PeerEvent::PeerRefused { addr: addr.clone(), error: error.clone() }));
                }
                PeersChange::Library { peer, by, changed, removed } => {
                    if changed.is_empty() && removed.is_empty() {
                        continue;
                    }
                    offers_changed = true;
                    let library_rev = self.peers.get(peer).map_or(0, |p| p.library.rev());
                    fx.push(Effect::Emit(PeerEvent::RemoteLibraryChanged {
                        peer: *peer,
                        library_rev,
                        by: (*by).to_owned(),
                        changed: changed.clone(),
                        removed: removed.clone(),
                    }));
                }
            }
        }
        if offers_changed {
            self.offers_changed(fx);
        }
    }

    fn due(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        if self.push_at.is_some_and(|at| at <= now) {
            self.push_at = None;
            self.push_library(fx);
            if self.started {
                fx.push(Effect::Announce);
            }
        }
        if self.full_scan_at.is_some_and(|at| at <= now) {
            self.full_scan_at = Some(now + FULL_SCAN_EVERY);
            self.start_full_scan(fx);
            self.read_catalog(fx);
        }
        for game in self.quiet.to_read(now) {
            self.start_scan(&game, fx);
        }
        let gate = &self.gate;
        let settled = self.quiet.settle(now, |g| !gate.is_waiting_for(g));
        self.refresh(now, settled.into_iter().collect(), false, fx);
        let mine = self.hello();
        let changes = self.peers.due(now, &mine, fx);
        self.peers_changed(&changes, fx);
        self.hash_next(fx);
        self.players.due(now, fx);
        self.due_sidecars(now, fx);
        self.due_saves(now, fx);
    }
}
