//! The machine: one input in, ordered effects out. Routes to `peers`, `games`, `ops` and `library`, and joins what one
//! of them changes to what the others must then do.
//!
//! Holds no rule that one of those could hold alone.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bonfire_proto::limits::{PAGE_LEN_MAX, PROTO_VERSION};
use bonfire_proto::message::{Control, Goodbye, Hello, LibraryDeltaMsg, LibrarySummaryMsg};
use bonfire_proto::{Digest, GameId, GameSummary, PeerId};

use crate::command::{CatalogEntry, Command, LibraryCommand, NodeCommand, Reply};
use crate::event::PeerEvent;
use crate::games::{Games, Standing};
use crate::gate::{ScanGate, StartScan};
use crate::input::{
    CommandId, Discovered, Effect, GameFacts, Input, OpId, Persist, ProbeTarget, Resumable, Scanned, Watched,
};
use crate::library::{LibraryChange, LocalLibrary, StoredLibrary};
use crate::ops::Ops;
use crate::peers::{Peers, PeersChange};
use crate::players::{About, Players};
use crate::quiet::Quiet;
use crate::record::{self, Stored};
use crate::report::{ErrorClass, Report};
use crate::saves::desk::Desk;
use crate::time::{Instant, UnixMillis};
use crate::transfers;
use crate::trust::{Proven, Roster};
use crate::view::Shown;

/// Between full scans: catches what the watcher missed.
pub const FULL_SCAN_EVERY: Duration = Duration::from_secs(300);
/// How long changes of the library are gathered before they are pushed: a folder copied in touches many games at once.
const PUSH_AFTER: Duration = Duration::from_millis(200);

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

    /// A newcomer gets a summary; what it told in its hello it need not be told again.
    fn summarise_to(&mut self, peer: &PeerId, fx: &mut Vec<Effect>) {
        if let Some(link) = self.peers.get(peer).and_then(|p| p.link) {
            let summary = self.library.summary();
            self.peers.told(peer, summary.library_rev);
            let message = LibrarySummaryMsg { peer_id: self.me, summary };
            fx.push(Effect::Send(link.conn, Control::LibrarySummary(message)));
        }
    }

    fn watched(&mut self, now: Instant, seen: Watched, fx: &mut Vec<Effect>) {
        match seen {
            Watched::Game(game) => {
                if self.stir(now, &game) {
                    self.refresh(now, BTreeSet::from([game]), false, fx);
                }
            }
            Watched::Catalog => self.read_catalog(fx),
            Watched::Everything => {
                self.start_full_scan(fx);
                self.read_catalog(fx);
            }
            Watched::Failed(error) => self.problem(None, error, fx),
        }
    }

    /// Has a game's folder read once it is quiet. The changes that an operation makes are read when it settles.
    /// Returns whether the game is not offered from here on, which it was.
    pub(crate) fn stir(&mut self, now: Instant, game: &GameId) -> bool {
        let op = self.ops.of_game(game);
        if op.is_some_and(|op| op.outcome.is_none()) {
            return false;
        }
        let was_held = self.quiet.is_held(game);
        // What was read whole is another game only when a look says so; of anything else nobody knows whether it is
        // all there. What an operation leaves behind is whole, or not downloaded.
        let hold = op.is_none() && self.games.facts(game).is_none_or(|f| !f.downloaded || f.content_hash.is_none());
        self.quiet.changed(now, game, hold);
        hold && !was_held
    }

    pub(crate) fn start_scan(&mut self, game: &GameId, fx: &mut Vec<Effect>) {
        // An operation whose work is over waits for just such a scan.
        let active = self.ops.of_game(game).is_some_and(|op| op.outcome.is_none());
        self.quiet.read(game);
        let start = self.gate.changed(game, active);
        push_scans(start, fx);
    }

    pub(crate) fn start_full_scan(&mut self, fx: &mut Vec<Effect>) {
        self.quiet.read_all();
        let start = self.gate.full_changed();
        push_scans(start, fx);
    }

    fn scanned(&mut self, now: Instant, scanned: Scanned, fx: &mut Vec<Effect>) {
        match &scanned.scope {
            None => push_scans(self.gate.full_finished(), fx),
            Some(game) => push_scans(self.gate.finished(game), fx),
        }
        // What this scan settles: operations whose work is over, unless a newer look at their folder is under way.
        let settled: Vec<(OpId, GameId)> = self
            .ops
            .iter()
            .filter(|(_, op)| op.outcome.is_some())
            .filter(|(_, op)| scanned.scope.as_ref().is_none_or(|g| *g == op.game))
            .filter(|(_, op)| !self.gate.is_waiting_for(&op.game))
            .map(|(id, op)| (id, op.game.clone()))
            .collect();
        let mut touched = BTreeSet::new();
        let readable = scanned.games.is_ok();
        match scanned.games {
            // Not an empty library: what was known stands until the folder can be read again. An operation is let go all
            // the same; of what it left nobody knows that it is whole, so it counts as not downloaded until then.
            Err(error) => {
                self.problem(scanned.scope.clone(), error, fx);
                for (_, game) in &settled {
                    self.games.doubt(game);
                }
            }
            Ok(mut found) => {
                self.keep_active(scanned.scope.as_ref(), &settled, &mut found);
                if scanned.scope.is_none() {
                    self.problem_solved("games_folder");
                    self.folder_problems(&scanned.problems, fx);
                }
                // A game under way is stored by the scan that settles it.
                touched = scanned.walked.into_iter().filter(|g| found.contains_key(g)).collect();
                touched.retain(|g| self.ops.of_game(g).is_none());
                let read: Vec<GameId> = found.keys().cloned().collect();
                let others = self.games.scanned(scanned.scope.as_ref(), found);
                for game in others.iter().filter(|g| self.ops.of_game(g).is_none()) {
                    self.quiet.found_other(game);
                }
                touched.extend(others);
                for game in read {
                    self.game_is_sound(&game);
                }
                if scanned.scope.is_none() {
                    // What is wrong with them stays shown until a hash succeeds.
                    self.games.retry_given_up();
                }
            }
        }
        if scanned.scope.is_none() {
            // After a failure too: the folder may be there again by then.
            self.full_scan_at = Some(now + FULL_SCAN_EVERY);
        }
        let first = !self.started && scanned.scope.is_none();
        if readable && scanned.scope.is_none() && !self.scanned_once {
            // What vanished while this peer did not run is in the stored library and nowhere else.
            touched.extend(self.library.games().map(|g| g.id.clone()));
            self.scanned_once = true;
        }
        let ended: Vec<_> = settled.iter().filter_map(|(id, _)| self.ops.end(*id).map(|op| (*id, op))).collect();
        touched.extend(ended.iter().map(|(_, op)| op.game.clone()));
        // What could not be read is not gone: the index keeps what it knows.
        self.refresh(now, touched, readable, fx);
        if !ended.is_empty() {
            self.ops_changed(fx);
        }
        for (id, op) in ended {
            fx.extend(transfers::outcome_event(id, op).map(Effect::Emit));
        }
        if first {
            self.started = true;
            let listen_addr = self.listen.map(|a| a.to_string()).unwrap_or_default();
            fx.push(Effect::Emit(PeerEvent::Started { peer: self.me, listen_addr }));
            fx.push(Effect::Announce);
            self.resume_all(now, fx);
        }
    }

    /// Leaves games under way as they were known: a scan reads them as they happen to be, and their own settling scan
    /// tells.
    fn keep_active(
        &self,
        scope: Option<&GameId>,
        settled: &[(OpId, GameId)],
        found: &mut BTreeMap<GameId, Option<GameFacts>>,
    ) {
        for (_, op) in self.ops.iter().filter(|(id, _)| settled.iter().all(|(s, _)| s != id)) {
            found.remove(&op.game);
            // Without scope a game that is not named counts as gone.
            if scope.is_none()
                && let Some(facts) = self.games.facts(&op.game)
            {
                found.insert(op.game.clone(), Some(facts.clone()));
            }
        }
    }

    /// What keeps a game from being offered, whatever its folder says.
    pub(crate) fn standing(&self, game: &GameId) -> Standing {
        match self.ops.kind_of(game) {
            Some(kind) => Standing::Active(kind),
            None if self.quiet.is_held(game) => Standing::Stirred,
            None => Standing::Free,
        }
    }

    /// Makes the library say what the games are: persists, announces and pushes when something differs. With
    /// `reindex` the index entries of these games are stored too.
    pub(crate) fn refresh(&mut self, now: Instant, games: BTreeSet<GameId>, reindex: bool, fx: &mut Vec<Effect>) {
        self.touched(&games);
        // Before the first scan nothing is known of the folder, and what is not known has not changed.
        if games.is_empty() || !self.scanned_once {
            return;
        }
        let seen: BTreeMap<GameId, Option<GameSummary>> =
            games.iter().map(|g| (g.clone(), self.games.summary(g, self.standing(g)))).collect();
        let change = self.library.propose(&seen);
        let (index, gone) = if reindex {
            games.into_iter().partition(|g| self.games.facts(g).is_some())
        } else {
            (Vec::new(), Vec::new())
        };
        if change.is_none() && index.is_empty() && gone.is_empty() {
            return;
        }
        fx.push(Effect::Persist(Persist { change: change.clone(), index, gone }));
        if let Some(change) = change {
            self.library_changed(now, &change, fx);
        }
    }

    fn library_changed(&mut self, now: Instant, change: &LibraryChange, fx: &mut Vec<Effect>) {
        self.library.apply(change);
        let ids = |games: &[GameSummary]| games.iter().map(|g| g.id.clone()).collect();
        fx.push(Effect::Emit(PeerEvent::LocalLibraryChanged {
            library_rev: change.to_rev,
            added: ids(&change.added),
            updated: ids(&change.updated),
            removed: change.removed.clone(),
        }));
        if self.push_at.is_none() {
            self.push_at = Some(now + PUSH_AFTER);
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
        self.due_saves(now, fx);
    }

    fn push_library(&mut self, fx: &mut Vec<Effect>) {
        let summary = self.library.summary();
        let behind: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(id, p)| {
                p.link.filter(|_| p.told_rev < summary.library_rev).map(|l| (*id, l.conn, p.told_rev))
            })
            .collect();
        for (peer, conn, told) in behind {
            let delta = self.library.delta_since(summary.library_epoch, told).filter(|d| {
                // About 500 bytes a game: beyond a page the other side asks for what it needs in pages.
                (d.added.len() + d.updated.len() + d.removed.len()) * 512 < PAGE_LEN_MAX
            });
            let message = match delta {
                Some(delta) => Control::LibraryDelta(LibraryDeltaMsg { peer_id: self.me, delta }),
                None => Control::LibrarySummary(LibrarySummaryMsg { peer_id: self.me, summary: summary.clone() }),
            };
            fx.push(Effect::Send(conn, message));
            self.peers.told(&peer, summary.library_rev);
        }
    }

    /// Gives the next games to the background hasher, and holds it still while bytes move.
    pub(crate) fn hash_next(&mut self, fx: &mut Vec<Effect>) {
        let hold = self.ops.is_transferring();
        if hold != self.hashing_held {
            self.hashing_held = hold;
            fx.push(Effect::HoldHashing(hold));
        }
        if !hold && self.started {
            let (ops, quiet) = (&self.ops, &self.quiet);
            let games = self.games.next_to_hash(|g| ops.of_game(g).is_some() || quiet.is_held(g));
            if !games.is_empty() {
                fx.push(Effect::Hash(games));
            }
        }
    }

    pub(crate) fn problem_solved(&mut self, code: &str) {
        self.problems.remove(&(None, code.to_owned()));
    }

    /// Drops what was wrong with a game, unless it still cannot be hashed as it is.
    pub(crate) fn game_is_sound(&mut self, game: &GameId) {
        if !self.problems.is_empty() && !self.games.is_given_up(game) {
            self.problems.retain(|(of, _), _| of.as_ref() != Some(game));
        }
    }

    pub(crate) fn problem(&mut self, game: Option<GameId>, error: Report, fx: &mut Vec<Effect>) {
        let key = (game.clone(), error.code.clone());
        if self.problems.get(&key) != Some(&error) {
            self.problems.insert(key, error.clone());
            fx.push(Effect::Emit(PeerEvent::ProblemFound { game, error }));
        }
    }

    fn folder_problems(&mut self, found: &[String], fx: &mut Vec<Effect>) {
        const CODE: &str = "unusable_folders";
        if found.is_empty() {
            self.problem_solved(CODE);
            return;
        }
        let shown = found.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        let error = Report::new(
            ErrorClass::Environment,
            CODE,
            format!("{} entries of the games folder cannot be used: {shown}", found.len()),
        )
        .hint("a game's folder needs a plain name that every system can store, and has to be readable");
        self.problem(None, error, fx);
    }
}

fn push_scans(starts: impl IntoIterator<Item = StartScan>, fx: &mut Vec<Effect>) {
    fx.extend(starts.into_iter().map(|start| match start {
        StartScan::Full => Effect::Scan(None),
        StartScan::Game(game) => Effect::Scan(Some(game)),
    }));
}
