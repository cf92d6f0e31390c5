//! Drives one engine and holds every batch against the rules that always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bonfire_engine::command::{
    CatalogEntry, Command, InstallCommand, LibraryCommand, NodeCommand, Reply, TransferCommand,
};
use bonfire_engine::engine::{Engine, Setup};
use bonfire_engine::input::{
    CommandId, ConnId, ConnInput, DialId, Discovered, Effect, GameFacts, Input, LibraryAnswer, OpId, OpInput,
    OpOutcome, OpPlan, Persist, Resumable, Scanned, Watched,
};
use bonfire_engine::library::{LibraryRow, StoredLibrary};
use bonfire_engine::offers::Target;
use bonfire_engine::remote::Assembly;
use bonfire_engine::snapshot::{NodeView, OperationView, Snapshot};
use bonfire_engine::{ErrorClass, Instant, PeerEvent, Report, UnixMillis};
use bonfire_proto::game::library_digest;
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{
    Control, Hello, LibraryDelta, LibrarySnapshot, LibrarySnapshotMsg, LibrarySummaryMsg, Request,
};
use bonfire_proto::{
    Availability, CloseCode, ContentHash, Digest, GameId, GameSummary, LibraryEpoch, LibrarySummary, ManifestHash,
    PeerId,
};
use uuid::Uuid;

pub const ME: u128 = 0x50;

pub fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

pub fn epoch(n: u128) -> LibraryEpoch {
    LibraryEpoch(Uuid::from_u128(n))
}

pub fn game(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

pub fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

pub fn manifest(n: u8) -> ManifestHash {
    ManifestHash(Digest([n; 32]))
}

pub fn content(n: u8) -> ContentHash {
    ContentHash(Digest([n; 32]))
}

pub fn report(code: &str) -> Report {
    Report::new(ErrorClass::Environment, code, format!("made up: {code}"))
}

/// A complete game whose content is known.
pub fn facts(n: u8) -> GameFacts {
    GameFacts {
        version: "1".to_owned(),
        size: 100,
        files: 2,
        downloaded: true,
        installed: false,
        installed_version: None,
        manifest_hash: manifest(n),
        content_hash: Some(content(n)),
        expected: None,
        problems: Vec::new(),
    }
}

pub fn unhashed(n: u8) -> GameFacts {
    GameFacts { content_hash: None, ..facts(n) }
}

pub fn entry(id: &str) -> CatalogEntry {
    CatalogEntry { id: game(id), name: id.to_uppercase(), saves: Vec::new(), start: BTreeMap::new() }
}

/// A line of another peer's library.
pub fn line(id: &str, n: u8, availability: Availability) -> GameSummary {
    GameSummary {
        id: game(id),
        name: id.to_uppercase(),
        eti_version: "1".to_owned(),
        size: 100,
        downloaded: true,
        installed: false,
        manifest_hash: manifest(n),
        content_hash: Some(content(n)),
        availability,
    }
}

pub fn ready(id: &str, n: u8) -> GameSummary {
    line(id, n, Availability::Ready)
}

pub fn target(id: &str, n: u8) -> Target {
    Target {
        game: game(id),
        name: id.to_uppercase(),
        version: "1".to_owned(),
        manifest_hash: manifest(n),
        content_hash: Some(content(n)),
    }
}

pub fn downloaded() -> OpOutcome {
    OpOutcome::Downloaded { version: "1".to_owned(), fetched: 100, reused: 0 }
}

pub fn swept() -> OpOutcome {
    OpOutcome::Swept { removed: 2, kept: Vec::new() }
}

/// Another peer as a test plays it.
#[derive(Debug, Clone)]
pub struct Other {
    pub id: PeerId,
    pub addr: SocketAddr,
    pub epoch: LibraryEpoch,
    pub rev: u64,
    pub games: Vec<GameSummary>,
}

impl Other {
    pub fn new(n: u8) -> Self {
        Self { id: peer(u128::from(n)), addr: addr(n), epoch: epoch(1_000 + u128::from(n)), rev: 0, games: Vec::new() }
    }

    pub fn with(mut self, games: &[GameSummary]) -> Self {
        self.games = games.to_vec();
        self.games.sort_by(|a, b| a.id.cmp(&b.id));
        self.rev += 1;
        self
    }

    pub fn digest(&self) -> Digest {
        library_digest(&self.games)
    }

    pub fn hello(&self) -> Hello {
        Hello {
            peer_id: self.id,
            proto_ver: PROTO_VERSION,
            listen_addr: self.addr.to_string(),
            library_epoch: self.epoch,
            library_rev: self.rev,
            library_digest: self.digest(),
            features: BTreeSet::new(),
            name: format!("seat {}", self.id.short()),
        }
    }

    pub fn summary(&self) -> Control {
        Control::LibrarySummary(LibrarySummaryMsg {
            peer_id: self.id,
            summary: LibrarySummary {
                library_epoch: self.epoch,
                library_rev: self.rev,
                library_digest: self.digest(),
                game_count: u32::try_from(self.games.len()).unwrap(),
            },
        })
    }

    pub fn snapshot(&self) -> LibraryAnswer {
        let mut assembly = Assembly::new(self.id);
        let page = LibrarySnapshotMsg {
            peer_id: self.id,
            snapshot: LibrarySnapshot { library_epoch: self.epoch, library_rev: self.rev, games: self.games.clone() },
            page: 0,
            pages: 1,
        };
        LibraryAnswer::Snapshot(assembly.page(page).unwrap().unwrap())
    }

    pub fn delta_from(&self, from_rev: u64, added: &[GameSummary], updated: &[GameSummary]) -> LibraryDelta {
        LibraryDelta {
            library_epoch: self.epoch,
            from_rev,
            to_rev: self.rev,
            added: added.to_vec(),
            updated: updated.to_vec(),
            removed: Vec::new(),
        }
    }
}

/// One batch of effects.
#[derive(Debug)]
pub struct Batch(pub Vec<Effect>);

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn events(&self) -> Vec<&PeerEvent> {
        self.0.iter().filter_map(|e| if let Effect::Emit(e) = e { Some(e) } else { None }).collect()
    }

    pub fn has_event(&self, fits: impl Fn(&PeerEvent) -> bool) -> bool {
        self.events().into_iter().any(fits)
    }

    pub fn sent(&self) -> Vec<(ConnId, &Control)> {
        self.0.iter().filter_map(|e| if let Effect::Send(c, m) = e { Some((*c, m)) } else { None }).collect()
    }

    pub fn closed(&self) -> Vec<(ConnId, CloseCode)> {
        self.0.iter().filter_map(|e| if let Effect::Close(c, code) = e { Some((*c, *code)) } else { None }).collect()
    }

    pub fn accepted(&self) -> Vec<ConnId> {
        self.0.iter().filter_map(|e| if let Effect::Accept(c, _) = e { Some(*c) } else { None }).collect()
    }

    pub fn dials(&self) -> Vec<(DialId, Vec<SocketAddr>, Option<PeerId>)> {
        self.0
            .iter()
            .filter_map(|e| match e {
                Effect::Dial { dial, addrs, expect, .. } => Some((*dial, addrs.clone(), *expect)),
                _ => None,
            })
            .collect()
    }

    pub fn scans(&self) -> Vec<Option<GameId>> {
        self.0.iter().filter_map(|e| if let Effect::Scan(s) = e { Some(s.clone()) } else { None }).collect()
    }

    pub fn hashes(&self) -> Vec<GameId> {
        self.0.iter().filter_map(|e| if let Effect::Hash(g) = e { Some(g.clone()) } else { None }).flatten().collect()
    }

    pub fn holds(&self) -> Vec<bool> {
        self.0.iter().filter_map(|e| if let Effect::HoldHashing(h) = e { Some(*h) } else { None }).collect()
    }

    pub fn saves(&self) -> Vec<Vec<CatalogEntry>> {
        self.0.iter().filter_map(|e| if let Effect::SaveCatalog(c) = e { Some(c.clone()) } else { None }).collect()
    }

    pub fn persists(&self) -> Vec<&Persist> {
        self.0.iter().filter_map(|e| if let Effect::Persist(p) = e { Some(p) } else { None }).collect()
    }

    pub fn asked(&self) -> Vec<(ConnId, &Request)> {
        self.0.iter().filter_map(|e| if let Effect::FetchLibrary(c, r) = e { Some((*c, r)) } else { None }).collect()
    }

    pub fn started(&self) -> Vec<(OpId, &OpPlan)> {
        self.0.iter().filter_map(|e| if let Effect::Start(o, p) = e { Some((*o, p)) } else { None }).collect()
    }

    pub fn sources(&self) -> Vec<(OpId, Vec<(PeerId, ConnId)>)> {
        self.0
            .iter()
            .filter_map(|e| if let Effect::SetSources(o, s) = e { Some((*o, s.clone())) } else { None })
            .collect()
    }

    pub fn cancels(&self) -> Vec<OpId> {
        self.0.iter().filter_map(|e| if let Effect::Cancel(o) = e { Some(*o) } else { None }).collect()
    }

    pub fn announces(&self) -> usize {
        self.0.iter().filter(|e| matches!(e, Effect::Announce)).count()
    }
}

/// An engine, the clock it is told, and the world that a test gives it.
#[derive(Debug)]
pub struct Desk {
    pub engine: Engine,
    pub now: u64,
    pub me: PeerId,
    pub disk: BTreeMap<GameId, GameFacts>,
    pub asked: BTreeSet<CommandId>,
    pub answered: BTreeMap<CommandId, Result<Reply, Report>>,
    durable_rev: u64,
    operations: Vec<OperationView>,
    running: BTreeSet<OpId>,
    /// Whether the folder was read whole: before, nothing is said of it.
    read_once: bool,
    next_command: u64,
    next_conn: u64,
}

impl Desk {
    pub fn raw(me: u128, resumable: BTreeMap<GameId, Resumable>, statics: Vec<SocketAddr>) -> Self {
        Self::stored(me, Vec::new(), resumable, statics)
    }

    pub fn stored(
        me: u128,
        rows: Vec<LibraryRow>,
        resumable: BTreeMap<GameId, Resumable>,
        static_peers: Vec<SocketAddr>,
    ) -> Self {
        let me = peer(me);
        let rev = rows.iter().map(|r| r.changed_rev).max().unwrap_or(0);
        let library = StoredLibrary { epoch: epoch(1), rev, floor_rev: 0, rows, removed: Vec::new() };
        let setup = Setup {
            me,
            name: "here".to_owned(),
            library,
            resumable,
            static_peers,
            key_hash: bonfire_proto::Digest([1; 32]),
            seed: [7; 32],
            about: bonfire_engine::players::About::default(),
            stored: bonfire_engine::record::Stored::default(),
        };
        Self {
            engine: Engine::new(Instant(0), setup),
            now: 0,
            me,
            disk: BTreeMap::new(),
            asked: BTreeSet::new(),
            answered: BTreeMap::new(),
            durable_rev: rev,
            operations: Vec::new(),
            running: BTreeSet::new(),
            read_once: false,
            next_command: 0,
            next_conn: 0,
        }
    }

    /// Listening, catalog read, folder read, started.
    pub fn started(catalog: &[&str], disk: &[(&str, GameFacts)]) -> Self {
        let mut desk = Self::raw(ME, BTreeMap::new(), Vec::new());
        desk.start(catalog, disk);
        desk
    }

    pub fn resuming(found: &[Target]) -> Self {
        let resumable = found.iter().map(|t| (t.game.clone(), Resumable { target: t.clone() })).collect();
        let mut desk = Self::raw(ME, resumable, Vec::new());
        desk.start(&["doom"], &[]);
        desk
    }

    pub fn start(&mut self, catalog: &[&str], disk: &[(&str, GameFacts)]) -> Batch {
        self.disk = disk.iter().map(|(id, f)| (game(id), f.clone())).collect();
        let batch = self.give(Input::Listening(addr(200)));
        assert!(matches!(batch.0.as_slice(), [Effect::LoadCatalog]) || !batch.dials().is_empty(), "{batch:?}");
        let batch = self.give(Input::CatalogLoaded(Ok(Some(catalog.iter().map(|id| entry(id)).collect()))));
        assert_eq!(batch.scans(), [None]);
        let batch = self.scan(None);
        assert!(batch.has_event(|e| matches!(e, PeerEvent::Started { .. })), "{batch:?}");
        batch
    }

    /// Feeds an input and checks the batch.
    pub fn give(&mut self, input: Input) -> Batch {
        let what = format!("{input:?}");
        if let Input::Command(id, _) = &input {
            self.asked.insert(*id);
        }
        if let Input::Op(op, OpInput::Finished(_)) = &input {
            self.running.remove(op);
        }
        if let Input::Scanned(Scanned { scope: None, games: Ok(_), .. }) = &input {
            self.read_once = true;
        }
        let unreadable = matches!(&input, Input::Scanned(Scanned { games: Err(_), .. }));
        let effects = self.engine.handle(Instant(self.now), input);
        self.check(&what, unreadable, &effects);
        Batch(effects)
    }

    fn check(&mut self, what: &str, unreadable: bool, effects: &[Effect]) {
        let mut indexed = BTreeSet::new();
        let mut shown = None;
        for effect in effects {
            let told = match effect {
                Effect::Persist(p) => {
                    assert!(
                        p.change.is_some() || !p.index.is_empty() || !p.gone.is_empty(),
                        "an empty persist after {what}"
                    );
                    if let Some(change) = &p.change {
                        assert_eq!(change.to_rev, self.durable_rev + 1, "a revision was skipped after {what}");
                        self.durable_rev = change.to_rev;
                    }
                    indexed.extend(p.index.iter().cloned());
                    indexed.extend(p.gone.iter().cloned());
                    None
                }
                Effect::Dial { hello, .. } | Effect::Accept(_, hello) => Some(hello.library_rev),
                Effect::Send(_, Control::LibrarySummary(m)) => Some(m.summary.library_rev),
                Effect::Send(_, Control::LibraryDelta(m)) => Some(m.delta.to_rev),
                Effect::Emit(PeerEvent::LocalLibraryChanged { library_rev, added, updated, removed }) => {
                    assert!(!added.is_empty() || !updated.is_empty() || !removed.is_empty(), "no real change: {what}");
                    Some(*library_rev)
                }
                Effect::Emit(PeerEvent::DownloadFinished { game, .. } | PeerEvent::GameRemoved { game, .. }) => {
                    // Of a folder that could not be read there is nothing to store.
                    assert!(
                        !self.read_once || unreadable || indexed.contains(game),
                        "{game} was told before it was durable, after {what}"
                    );
                    None
                }
                Effect::Emit(PeerEvent::ActiveOperationsChanged { operations }) => {
                    shown = Some(operations.clone());
                    None
                }
                Effect::Reply(id, reply) => {
                    assert!(self.asked.remove(id), "{id:?} was answered twice or never asked, after {what}");
                    self.answered.insert(*id, reply.clone());
                    None
                }
                Effect::Start(op, _) => {
                    assert!(self.running.insert(*op), "{op:?} was started twice, after {what}");
                    None
                }
                Effect::SetSources(op, _) | Effect::Cancel(op) => {
                    assert!(self.running.contains(op), "{op:?} does not run, after {what}: {effect:?}");
                    None
                }
                _ => None,
            };
            if let Some(rev) = told {
                assert!(rev <= self.durable_rev, "revision {rev} was told before it was durable, after {what}");
            }
        }
        let now = self.view().operations;
        if now != self.operations {
            assert_eq!(shown.as_ref(), Some(&now), "operations changed and nobody was told, after {what}");
        }
        let mut games: Vec<_> = now.iter().map(|o| o.game.clone()).collect();
        games.dedup();
        let all = games.len();
        games.sort();
        games.dedup();
        assert_eq!(games.len(), all, "two operations on one game, after {what}");
        self.operations = now;
        if let Some((at, why)) = self.engine.next_deadline() {
            assert!(at > Instant(self.now), "{why} is due at {at:?}, now is {}, after {what}: a busy loop", self.now);
        }
    }

    pub fn view(&self) -> Snapshot {
        let me = NodeView {
            peer: self.me,
            name: String::new(),
            version: String::new(),
            pid: 0,
            listen_addr: String::new(),
            games_dir: String::new(),
            library_epoch: epoch(1),
            library_rev: 0,
            library_digest: Digest([0; 32]),
            started_at: UnixMillis(0),
            mdns: false,
        };
        self.engine.snapshot(Instant(self.now), 0, me)
    }

    /// Runs every deadline up to `now + d`, then stands there.
    pub fn pass(&mut self, d: Duration) -> Batch {
        let until = self.now + u64::try_from(d.as_millis()).unwrap();
        let mut all = Vec::new();
        let mut turns = 0;
        while let Some((at, why)) = self.engine.next_deadline().filter(|(at, _)| at.0 <= until) {
            turns += 1;
            assert!(turns < 20_000, "{why} comes again and again");
            self.now = self.now.max(at.0);
            all.extend(self.give(Input::Deadline).0);
        }
        self.now = until;
        Batch(all)
    }

    pub fn command(&mut self, command: Command) -> (CommandId, Batch) {
        self.next_command += 1;
        let id = CommandId(self.next_command);
        let batch = self.give(Input::Command(id, command));
        (id, batch)
    }

    /// Sends a command that is answered at once.
    pub fn ask(&mut self, command: Command) -> (Result<Reply, Report>, Batch) {
        let (id, batch) = self.command(command);
        (self.answered.get(&id).cloned().expect("an answer at once"), batch)
    }

    pub fn transfer(&mut self, command: TransferCommand) -> (Result<OpId, Report>, Batch) {
        self.begin(Command::Transfers(command))
    }

    pub fn installs(&mut self, command: InstallCommand) -> (Result<OpId, Report>, Batch) {
        self.begin(Command::Installs(command))
    }

    fn begin(&mut self, command: Command) -> (Result<OpId, Report>, Batch) {
        let (reply, batch) = self.ask(command);
        let op = reply.map(|r| match r {
            Reply::Started { op } => OpId(op),
            other => panic!("{other:?}"),
        });
        (op, batch)
    }

    pub fn get(&mut self, id: &str) -> (Result<OpId, Report>, Batch) {
        self.transfer(TransferCommand::Get { game: game(id), from: None })
    }

    pub fn cancel(&mut self, id: &str) -> (Result<OpId, Report>, Batch) {
        self.transfer(TransferCommand::Cancel { game: game(id) })
    }

    pub fn add_peer(&mut self, addr: SocketAddr) -> Batch {
        let (reply, batch) = self.ask(Command::Peer(NodeCommand::AddPeer { addr }));
        assert_eq!(reply, Ok(Reply::Done));
        batch
    }

    pub fn catalog(&mut self, command: LibraryCommand) -> (CommandId, Batch) {
        self.command(Command::Library(command))
    }

    /// Something in a game's folder changes, and then nothing for long enough.
    pub fn stirred(&mut self, id: &str) -> Batch {
        let mut batch = self.give(Input::Watched(Watched::Game(game(id))));
        batch.0.extend(self.pass(Duration::from_millis(500)).0);
        batch
    }

    /// Ends a scan with what lies on the disk.
    pub fn scan(&mut self, scope: Option<&str>) -> Batch {
        let games = match scope {
            None => self.disk.iter().map(|(g, f)| (g.clone(), Some(f.clone()))).collect(),
            Some(id) => BTreeMap::from([(game(id), self.disk.get(&game(id)).cloned())]),
        };
        self.scanned(scope, Ok(games))
    }

    pub fn scanned(
        &mut self,
        scope: Option<&str>,
        games: Result<BTreeMap<GameId, Option<GameFacts>>, Report>,
    ) -> Batch {
        self.give(Input::Scanned(Scanned {
            scope: scope.map(game),
            games,
            walked: BTreeSet::new(),
            problems: Vec::new(),
        }))
    }

    pub fn op(&mut self, op: OpId, input: OpInput) -> Batch {
        self.give(Input::Op(op, input))
    }

    pub fn finish(&mut self, op: OpId, outcome: OpOutcome) -> Batch {
        self.op(op, OpInput::Finished(outcome))
    }

    pub fn found(&mut self, other: &Other) -> Batch {
        self.found_at(other, vec![other.addr])
    }

    pub fn found_at(&mut self, other: &Other, addrs: Vec<SocketAddr>) -> Batch {
        self.give(Input::Discovery(Discovered::Found {
            peer: other.id,
            addrs,
            proto_ver: PROTO_VERSION,
            library: (other.epoch, other.rev),
        }))
    }

    pub fn lost(&mut self, other: &Other) -> Batch {
        self.give(Input::Discovery(Discovered::Lost { peer: other.id }))
    }

    pub fn conn(&mut self) -> ConnId {
        self.next_conn += 1;
        ConnId(self.next_conn)
    }

    pub fn arrive(&mut self, other: &Other, dial: Option<DialId>) -> (ConnId, Batch) {
        self.arrive_as(other.id, other.hello(), other.addr, dial)
    }

    pub fn arrive_as(
        &mut self,
        proven: PeerId,
        hello: Hello,
        remote: SocketAddr,
        dial: Option<DialId>,
    ) -> (ConnId, Batch) {
        let conn = self.conn();
        let batch = self.give(Input::Conn(ConnInput::Arrived {
            conn,
            proven,
            key_hash: bonfire_proto::Digest([2; 32]),
            dial,
            hello,
            remote,
        }));
        (conn, batch)
    }

    pub fn hears(&mut self, conn: ConnId, message: Control) -> Batch {
        self.give(Input::Conn(ConnInput::Message(conn, message)))
    }

    pub fn closes(&mut self, conn: ConnId, why: &str) -> Batch {
        self.give(Input::Conn(ConnInput::Closed(conn, why.to_owned())))
    }

    pub fn answers(&mut self, conn: ConnId, answer: LibraryAnswer) -> Batch {
        self.give(Input::Conn(ConnInput::Library(conn, Ok(answer))))
    }

    /// An incoming connection whose library is known.
    pub fn meet(&mut self, other: &Other) -> ConnId {
        let (conn, batch) = self.arrive(other, None);
        if !batch.asked().is_empty() {
            self.answers(conn, other.snapshot());
        }
        conn
    }

    pub fn link(&self, other: &Other) -> Option<ConnId> {
        self.engine.link_of(&other.id)
    }
}
