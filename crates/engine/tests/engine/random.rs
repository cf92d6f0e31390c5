//! Random inputs, legal and not: nothing panics, the rules of `desk` hold after each, and nothing is left over.

use std::collections::BTreeSet;
use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, InstallCommand, LibraryCommand, NodeCommand, Reply, TransferCommand};
use bonfire_engine::input::{
    CommandId, ConnId, ConnInput, DialId, Discovered, Effect, GameFacts, Hashed, Input, InstallReport, OpId, OpInput,
    OpOutcome, OpPlan, PreparedEntry, Watched,
};
use bonfire_engine::snapshot::Phase;
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, Goodbye, LibraryDeltaMsg, Ping, Pong};
use bonfire_proto::{Availability, GameId};

use crate::desk::{
    Batch, Desk, Other, addr, content, downloaded, entry, epoch, facts, game, line, manifest, peer, ready, report,
    swept, target, unhashed,
};

const GAMES: [&str; 5] = ["doom", "quake", "heretic", "hexen", "descent"];

/// splitmix64.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    fn small(&mut self, n: u8) -> u8 {
        u8::try_from(self.below(usize::from(n))).unwrap()
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn take<T>(&mut self, from: &mut Vec<T>) -> Option<T> {
        if from.is_empty() { None } else { Some(from.swap_remove(self.below(from.len()))) }
    }

    fn game(&mut self) -> GameId {
        game(GAMES[self.below(GAMES.len())])
    }
}

/// What the engine has asked for and not got.
#[derive(Debug, Default)]
struct Owed {
    scans: Vec<Option<GameId>>,
    loads: usize,
    saves: usize,
    prepares: Vec<CommandId>,
    hashes: Vec<GameId>,
    probes: Vec<CommandId>,
    dials: Vec<(DialId, Option<bonfire_proto::PeerId>)>,
    fetches: Vec<ConnId>,
    ops: Vec<(OpId, &'static str, bool)>,
}

struct Run {
    desk: Desk,
    dice: Dice,
    owed: Owed,
    others: Vec<Other>,
    conns: Vec<(ConnId, usize)>,
    began: BTreeSet<OpId>,
    ended: usize,
    /// Operations whose worker may put the game in place.
    granted: BTreeSet<OpId>,
    /// Operations of which a person was told that they are cancelled.
    promised: BTreeSet<OpId>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let found = if dice.chance(30) { vec![("doom", target("doom", dice.small(3)))] } else { Vec::new() };
        let resumable =
            found.into_iter().map(|(g, t)| (game(g), bonfire_engine::input::Resumable { target: t })).collect();
        let statics = if dice.chance(50) { vec![addr(2), addr(3)] } else { Vec::new() };
        let desk = Desk::raw(0x50, resumable, statics);
        let others = [0x10, 0x40, 0x60, 0x90].map(Other::new).to_vec();
        Self {
            desk,
            dice,
            owed: Owed::default(),
            others,
            conns: Vec::new(),
            began: BTreeSet::new(),
            ended: 0,
            granted: BTreeSet::new(),
            promised: BTreeSet::new(),
        }
    }

    fn give(&mut self, input: Input) {
        let batch = self.desk.give(input);
        self.note(batch);
    }

    fn note(&mut self, batch: Batch) {
        for effect in batch.0 {
            match effect {
                Effect::Scan(scope) => {
                    assert!(!self.owed.scans.contains(&scope), "two scans of {scope:?} at a time");
                    self.owed.scans.push(scope);
                }
                Effect::LoadCatalog => self.owed.loads += 1,
                Effect::SaveCatalog(_) => {
                    self.owed.saves += 1;
                    assert_eq!(self.owed.saves, 1, "two saves of the catalog at a time");
                }
                Effect::PrepareEntry { command, .. } => self.owed.prepares.push(command),
                Effect::Hash(games) => {
                    assert!(self.owed.hashes.is_empty(), "more games to hash before the last ones ended");
                    self.owed.hashes = games;
                }
                Effect::Probe(id, _) => self.owed.probes.push(id),
                Effect::Dial { dial, expect, .. } => self.owed.dials.push((dial, expect)),
                Effect::FetchLibrary(conn, _) => self.owed.fetches.push(conn),
                Effect::Close(conn, _) => {
                    self.conns.retain(|(c, _)| *c != conn);
                    self.owed.fetches.retain(|c| *c != conn);
                }
                Effect::Start(op, plan) => {
                    self.began.insert(op);
                    let kind = match plan {
                        OpPlan::Download { .. } => "download",
                        OpPlan::Discard { .. } => "discard",
                        OpPlan::Remove { .. } => "remove",
                        OpPlan::Verify { .. } => "verify",
                        OpPlan::Install { .. } => "install",
                        OpPlan::Uninstall { .. } => "uninstall",
                    };
                    self.owed.ops.push((op, kind, false));
                }
                Effect::Commit(op) => {
                    let of = self.owed.ops.iter().find(|(o, ..)| *o == op);
                    assert!(
                        matches!(of, Some((_, _, false))),
                        "{op:?} may commit although it was cancelled or is over"
                    );
                    self.granted.insert(op);
                }
                Effect::Cancel(op) => {
                    assert!(!self.granted.contains(&op), "{op:?} is cancelled after it was told to commit");
                    self.owed.ops.iter_mut().filter(|(o, ..)| *o == op).for_each(|(_, _, cancelled)| *cancelled = true);
                }
                Effect::Emit(PeerEvent::DownloadFinished { op, .. } | PeerEvent::InstallFinished { op, .. }) => {
                    assert!(!self.promised.contains(&OpId(op)), "{op} was cancelled, and finished all the same");
                    self.ended += 1;
                }
                Effect::Emit(
                    PeerEvent::DownloadFailed { .. }
                    | PeerEvent::DownloadCancelled { .. }
                    | PeerEvent::GameRemoved { .. }
                    | PeerEvent::RemoveFailed { .. }
                    | PeerEvent::VerifyFinished { .. }
                    | PeerEvent::VerifyFailed { .. }
                    | PeerEvent::InstallFailed { .. }
                    | PeerEvent::InstallCancelled { .. }
                    | PeerEvent::GameUninstalled { .. }
                    | PeerEvent::UninstallFailed { .. },
                ) => self.ended += 1,
                _ => {}
            }
        }
    }

    fn answer_scan(&mut self) {
        let Some(scope) = self.dice.take(&mut self.owed.scans) else { return };
        let scope = scope.as_ref().map(GameId::as_str);
        let batch = if self.dice.chance(10) {
            self.desk.scanned(scope, Err(report("games_folder")))
        } else {
            self.desk.scan(scope)
        };
        self.note(batch);
    }

    fn answer_op(&mut self) {
        if self.owed.ops.is_empty() {
            return;
        }
        let at = self.dice.below(self.owed.ops.len());
        let (op, kind, cancelled) = self.owed.ops[at];
        if self.dice.chance(50) {
            let input = match self.dice.below(4) {
                0 => OpInput::Starved(report("no_source")),
                1 => OpInput::SourceDropped(peer(0x40), report("bad_bytes")),
                2 => OpInput::Phase(Phase::Transferring),
                _ => OpInput::Phase(Phase::Checking),
            };
            return self.give(Input::Op(op, input));
        }
        if matches!(kind, "download" | "install") && !cancelled && !self.granted.contains(&op) && self.dice.chance(70) {
            return self.give(Input::Op(op, OpInput::Ready));
        }
        self.owed.ops.swap_remove(at);
        let failed = |resumable| OpOutcome::Failed { error: report("made_up"), resumable };
        let outcome = match (kind, self.dice.below(3)) {
            (_, 0) => failed(kind == "download" && self.dice.chance(50)),
            ("discard", _) => swept(),
            ("remove", _) => OpOutcome::Removed,
            ("verify", _) => OpOutcome::Verified { checked: 1, bad: vec![], repaired: 0, install: None },
            ("uninstall", _) => OpOutcome::Uninstalled { files: 1 },
            ("install", _) if cancelled => OpOutcome::Undone,
            ("install", _) if self.granted.contains(&op) => {
                OpOutcome::Installed(InstallReport { version: "1".to_owned(), files: 1, bytes: 1, carried: Vec::new() })
            }
            ("install", _) => failed(false),
            _ if cancelled => swept(),
            _ if self.granted.contains(&op) => downloaded(),
            _ => failed(self.dice.chance(50)),
        };
        self.give(Input::Op(op, OpInput::Finished(outcome)));
    }

    fn answer_dial(&mut self) {
        let Some((dial, expect)) = self.dice.take(&mut self.owed.dials) else { return };
        if self.dice.chance(40) {
            return self.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
        }
        let who = match expect {
            Some(id) => self.others.iter().position(|o| o.id == id).unwrap(),
            None => self.dice.below(self.others.len()),
        };
        self.arrive(who, Some(dial));
    }

    fn arrive(&mut self, who: usize, dial: Option<DialId>) {
        let other = self.others[who].clone();
        let mut hello = other.hello();
        let mut proven = other.id;
        match self.dice.below(12) {
            0 => hello.proto_ver = 2,
            1 => proven = peer(0x77),
            2 if dial.is_none() => (proven, hello.peer_id) = (self.desk.me, self.desk.me),
            _ => {}
        }
        let conn = self.desk.conn();
        self.conns.push((conn, who));
        self.give(Input::Conn(ConnInput::Arrived {
            conn,
            proven,
            key_hash: bonfire_proto::Digest([2; 32]),
            dial,
            hello,
            remote: other.addr,
        }));
    }

    fn answer_fetch(&mut self) {
        let Some(conn) = self.dice.take(&mut self.owed.fetches) else { return };
        let Some((_, who)) = self.conns.iter().find(|(c, _)| *c == conn).copied() else { return };
        let answer =
            if self.dice.chance(15) { Err(report("stalled").retryable()) } else { Ok(self.others[who].snapshot()) };
        self.give(Input::Conn(ConnInput::Library(conn, answer)));
    }

    fn answer(&mut self) {
        match self.dice.below(8) {
            0 | 1 => self.answer_scan(),
            2 => self.answer_op(),
            3 => self.answer_dial(),
            4 => self.answer_fetch(),
            5 => {
                if self.owed.loads > 0 {
                    self.owed.loads -= 1;
                    let loaded = match self.dice.below(4) {
                        0 => Err(report("catalog")),
                        1 => Ok(None),
                        _ => Ok(Some(GAMES[..self.dice.below(5)].iter().map(|g| entry(g)).collect())),
                    };
                    self.give(Input::CatalogLoaded(loaded));
                } else if self.owed.saves > 0 {
                    self.owed.saves -= 1;
                    let saved = if self.dice.chance(20) { Err(report("no_space")) } else { Ok(()) };
                    self.give(Input::CatalogSaved(saved));
                }
            }
            6 => {
                if let Some(id) = self.dice.take(&mut self.owed.prepares) {
                    let prepared = if self.dice.chance(30) {
                        Err(report("empty_game"))
                    } else {
                        Ok(PreparedEntry { version: "1".to_owned(), sentinel_written: false })
                    };
                    self.give(Input::CatalogPrepared(id, prepared));
                } else if let Some(id) = self.dice.take(&mut self.owed.probes) {
                    self.give(Input::Probed(id, Vec::new()));
                }
            }
            _ => {
                if let Some(g) = self.dice.take(&mut self.owed.hashes) {
                    let n = self.desk.disk.get(&g).map_or(0, |f| f.manifest_hash.0.0[0]);
                    let hashed = match self.dice.below(5) {
                        0 => Hashed::Changed,
                        1 => Hashed::Stopped,
                        2 => Hashed::Failed(report("unreadable")),
                        _ => {
                            if let Some(f) = self.desk.disk.get_mut(&g) {
                                f.content_hash = Some(content(n));
                            }
                            Hashed::Done { manifest_hash: manifest(n), content_hash: content(n) }
                        }
                    };
                    self.give(Input::Hashed(vec![(g, hashed)]));
                }
            }
        }
    }

    fn happen(&mut self) {
        match self.dice.below(12) {
            0..=2 => self.person(),
            3 => {
                let g = self.dice.game();
                let n = self.dice.small(3);
                match self.dice.below(4) {
                    0 => drop(self.desk.disk.remove(&g)),
                    1 => drop(self.desk.disk.insert(g.clone(), unhashed(n))),
                    2 => drop(self.desk.disk.insert(g.clone(), GameFacts { downloaded: false, ..unhashed(n) })),
                    3 => {
                        let installed = GameFacts { installed: true, ..facts(n) };
                        self.desk.disk.insert(g.clone(), installed);
                    }
                    _ => drop(self.desk.disk.insert(g.clone(), facts(n))),
                }
                let seen = match self.dice.below(5) {
                    0 => Watched::Everything,
                    1 => Watched::Catalog,
                    2 => Watched::Failed(report("watch_failed")),
                    _ => Watched::Game(g),
                };
                self.give(Input::Watched(seen));
            }
            4 => {
                let who = self.dice.below(self.others.len());
                let other = &mut self.others[who];
                if self.dice.chance(20) {
                    other.addr = addr(self.dice.small(9) + 1);
                }
                let (id, at, library) = (other.id, other.addr, (other.epoch, other.rev));
                let seen = if self.dice.chance(25) {
                    Discovered::Lost { peer: id }
                } else {
                    Discovered::Found { peer: id, addrs: vec![at], proto_ver: PROTO_VERSION, library }
                };
                self.give(Input::Discovery(seen));
            }
            5 => {
                let who = self.dice.below(self.others.len());
                self.arrive(who, None);
            }
            6 | 7 => self.message(),
            8 => {
                if let Some((conn, _)) = self.dice.take(&mut self.conns) {
                    self.owed.fetches.retain(|c| *c != conn);
                    self.give(Input::Conn(ConnInput::Closed(conn, "cut".to_owned())));
                }
            }
            9 => {
                // What nobody asked for.
                let conn = ConnId(self.dice.next() % 50);
                let op = OpId(self.dice.next() % 20 + 1_000);
                match self.dice.below(6) {
                    0 => self.give(Input::Conn(ConnInput::Closed(ConnId(9_999), "stray".to_owned()))),
                    1 => self.give(Input::Conn(ConnInput::Active(conn))),
                    2 => self.give(Input::Op(op, OpInput::Finished(swept()))),
                    3 => self.give(Input::Conn(ConnInput::DialFailed(DialId(9_999), report("stray")))),
                    4 => self.give(Input::CatalogPrepared(CommandId(9_999), Err(report("stray")))),
                    _ => self.give(Input::Deadline),
                }
            }
            _ => {
                let ms = [1, 200, 1_500, 31_000, 76_000, 301_000][self.dice.below(6)];
                let batch = self.desk.pass(Duration::from_millis(ms));
                self.note(batch);
            }
        }
    }

    fn person(&mut self) {
        let g = self.dice.game();
        let from = if self.dice.chance(20) { Some(self.others[self.dice.below(4)].id) } else { None };
        let command = match self.dice.below(14) {
            0..=2 => Command::Transfers(TransferCommand::Get { game: g, from }),
            3 | 4 => Command::Transfers(TransferCommand::Cancel { game: g }),
            5 => Command::Transfers(TransferCommand::Remove { game: g }),
            6 => Command::Transfers(TransferCommand::Verify { game: g, restore: false }),
            7 => Command::Library(LibraryCommand::CatalogAdd {
                game: g,
                name: None,
                version: None,
                saves: None,
                start: std::collections::BTreeMap::new(),
            }),
            8 => Command::Library(LibraryCommand::CatalogRemove { game: g }),
            9 => Command::Library(LibraryCommand::Rescan { games: vec![g] }),
            10 => Command::Installs(InstallCommand::Install { game: g }),
            11 => Command::Installs(InstallCommand::Update { game: g }),
            12 => Command::Installs(InstallCommand::Uninstall { game: g, force: true }),
            _ => Command::Peer(NodeCommand::Probe),
        };
        let is_cancel = matches!(command, Command::Transfers(TransferCommand::Cancel { .. }));
        let (id, batch) = self.desk.command(command);
        self.note(batch);
        if let (true, Some(Ok(Reply::Started { op }))) = (is_cancel, self.desk.answered.get(&id)) {
            self.promised.insert(OpId(*op));
        }
    }

    fn message(&mut self) {
        if self.conns.is_empty() {
            return;
        }
        let (conn, who) = self.conns[self.dice.below(self.conns.len())];
        let other = &mut self.others[who];
        let before = other.rev;
        if self.dice.chance(60) {
            let n = self.dice.small(3);
            let mut games = vec![ready("doom", n), ready("quake", 1)];
            if self.dice.chance(50) {
                games.push(line("heretic", n, Availability::Downloading));
            }
            *other = other.clone().with(&games);
        } else if self.dice.chance(10) {
            other.epoch = epoch(u128::from(self.dice.next()));
        }
        let message = match self.dice.below(8) {
            0 => Control::Ping(Ping {}),
            1 => Control::Pong(Pong {}),
            2 => Control::Goodbye(Goodbye { peer_id: other.id }),
            3 => Control::Hello(other.hello()),
            4 | 5 => Control::LibraryDelta(LibraryDeltaMsg {
                peer_id: other.id,
                delta: other.delta_from(before, &[ready("doom", 1)], &[]),
            }),
            _ => other.summary(),
        };
        self.give(Input::Conn(ConnInput::Message(conn, message)));
    }

    /// Answers everything until nothing is owed.
    fn drain(&mut self) {
        for _ in 0..20_000 {
            let o = &self.owed;
            let quiet = o.scans.is_empty()
                && o.loads == 0
                && o.saves == 0
                && o.prepares.is_empty()
                && o.probes.is_empty()
                && o.ops.is_empty();
            if quiet {
                return;
            }
            self.answer();
        }
        panic!("still owed: {:?}", self.owed);
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    let mut run = Run::new(seed);
    run.give(Input::Listening(addr(200)));
    for _ in 0..400 {
        if run.dice.chance(55) { run.answer() } else { run.happen() }
    }
    run.drain();
    assert!(run.desk.asked.is_empty(), "never answered: {:?}", run.desk.asked);
    assert_eq!(run.began.len(), run.ended, "every operation that began ended with one outcome");
    let left = run.desk.view().operations;
    assert!(left.iter().all(|o| o.phase == Phase::Waiting), "stuck: {left:?}");
}

#[test]
fn random_inputs_break_no_rule_and_leave_nothing_over() {
    for seed in 0..300 {
        run(seed);
    }
}

#[test]
fn the_same_inputs_give_the_same_effects() {
    let trace = |seed| {
        let mut run = Run::new(seed);
        run.give(Input::Listening(addr(200)));
        for _ in 0..300 {
            if run.dice.chance(55) { run.answer() } else { run.happen() }
        }
        format!("{:?}", run.desk.engine)
    };
    for seed in 0..5 {
        assert_eq!(trace(seed), trace(seed), "seed {seed}");
    }
}
