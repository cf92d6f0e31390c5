//! What the desk answers, and what it tries again, with a whole engine and no other device.

use bonfire_proto::{Digest, GameId, LibraryEpoch, ManifestHash};
use uuid::Uuid;

use super::*;
use crate::command::{Command, DevicesCommand, InstallCommand, Reply, ResolveWith, RootSpec, SaveRef, SavesCommand};
use crate::engine::{Engine, Setup};
use crate::event::PeerEvent;
use crate::input::{Effect, GameFacts, Input, OpId, OpInput, OpOutcome, OpPlan, Scanned};
use crate::library::StoredLibrary;
use crate::players::About;
use crate::report::Report;
use crate::saves::decide::Measure;
use crate::saves::lineage::Node;
use crate::saves::slot::{Done, Look, Make};
use crate::saves::tests::{content, id, ids, node};
use crate::saves::work::{Placed, SaveInput, SaveWork};
use crate::time::UnixMillis;

/// A device with one save set, whose version 1 is on the disk.
struct Bench {
    engine: Engine,
    now: Instant,
    line: Line,
    commands: u64,
    replies: BTreeMap<CommandId, Result<Reply, Report>>,
    work: Vec<(Line, SaveWork)>,
    started: Vec<OpPlan>,
    others: Vec<Effect>,
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self::added();
        bench.settle();
        bench.look(1);
        bench.make(1, &[]);
        bench
    }

    /// Where the disk was not looked at yet.
    fn added() -> Self {
        let me = PeerId::from_uuid(Uuid::from_u128(1));
        let epoch = LibraryEpoch(*me.as_uuid());
        let setup = Setup {
            me,
            name: "here".to_owned(),
            library: StoredLibrary { epoch, rev: 0, floor_rev: 0, rows: Vec::new(), removed: Vec::new() },
            resumable: BTreeMap::new(),
            static_peers: Vec::new(),
            key_hash: Digest([1; 32]),
            seed: [7; 32],
            about: About::default(),
            stored: Stored::default(),
        };
        let mut engine = Engine::new(Instant(0), setup);
        engine.tell_time(UnixMillis(1_767_225_600_000));
        let game = GameId::new("doom").unwrap();
        let line = Line { player: PlayerId(Uuid::nil()), game_id: game, slot: SlotName::main() };
        let (replies, work, started, others) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        let mut bench = Self { engine, now: Instant(1_000), line, commands: 0, replies, work, started, others };
        bench.give(Input::Listening("10.0.0.1:4000".parse().unwrap()));
        let made = bench.command(Command::Devices(DevicesCommand::CreatePlayer { name: "a player".to_owned() }));
        let Some(Ok(Reply::Player { player })) = bench.replies.get(&made) else { panic!("no player is made") };
        bench.line.player = *player;
        let root = RootSpec {
            label: None,
            path: "/saves".to_owned(),
            is_file: None,
            include: Vec::new(),
            placed: Placed::default(),
        };
        let (at, ignore, programs) = (bench.at(), Vec::new(), Vec::new());
        bench.saves(SavesCommand::Add { at, roots: vec![root], ignore, programs });
        bench
    }

    fn at(&self) -> SaveRef {
        SaveRef { game: self.line.game_id.clone(), slot: None, player: Some(self.line.player) }
    }

    fn give(&mut self, input: Input) {
        for effect in self.engine.handle(self.now, input) {
            match effect {
                Effect::Reply(id, reply) => {
                    self.replies.insert(id, reply);
                }
                Effect::Save(job) => self.work.push((job.line, job.work)),
                Effect::Start(_, plan) => self.started.push(plan),
                other => self.others.push(other),
            }
        }
    }

    fn command(&mut self, command: Command) -> CommandId {
        self.commands += 1;
        let id = CommandId(self.commands);
        self.give(Input::Command(id, command));
        id
    }

    fn saves(&mut self, command: SavesCommand) -> CommandId {
        self.command(Command::Saves(command))
    }

    /// The game of the save set is downloaded and installed.
    fn installed(&mut self, scope: Option<GameId>) {
        let facts = GameFacts {
            version: "1".to_owned(),
            size: 100,
            files: 1,
            downloaded: true,
            installed: true,
            installed_version: None,
            manifest_hash: ManifestHash(Digest([1; 32])),
            content_hash: None,
            expected: None,
            problems: Vec::new(),
        };
        let games = Ok(BTreeMap::from([(self.line.game_id.clone(), Some(facts))]));
        self.give(Input::Scanned(Scanned { scope, games, walked: BTreeSet::new(), problems: Vec::new() }));
    }

    /// Lets time pass until a save that stirred is looked at.
    fn settle(&mut self) {
        self.now = self.now + std::time::Duration::from_secs(20);
        self.give(Input::Deadline);
    }

    /// The next piece of work, which has to be there.
    fn next_work(&mut self) -> SaveWork {
        assert!(!self.work.is_empty(), "nothing is to be done");
        self.work.remove(0).1
    }

    fn looked(&mut self, look: Look) {
        assert!(matches!(self.next_work(), SaveWork::Look { .. }));
        let line = self.line.clone();
        self.give(Input::Save(SaveInput::Looked { line, look, is_running: false, problems: Vec::new() }));
    }

    fn look(&mut self, n: u8) {
        let measure = Measure { files: 1, size: 100 };
        self.looked(Look::Files { capture: u64::from(n), content: content(n), measure });
    }

    fn make(&mut self, n: u8, parents: &[u64]) {
        assert!(matches!(self.next_work(), SaveWork::Make { make: Make::Version { .. }, .. }));
        self.give(Input::Save(SaveInput::Made(self.line.clone(), Done::Well(version(n, parents)))));
    }

    fn answer(&self, id: CommandId) -> Result<(), &str> {
        let reply = self.replies.get(&id).expect("it is not answered");
        reply.as_ref().map(|_| ()).map_err(|e| e.code.as_str())
    }
}

fn version(n: u8, parents: &[u64]) -> Node {
    Node { content: content(n), ..node(u64::from(n), parents) }
}

#[test]
fn a_slot_left_alone_is_at_rest_though_its_disk_was_to_be_looked_at_again() {
    let mut bench = Bench::new();
    let at = bench.at();
    bench.saves(SavesCommand::Confirm { at: at.clone() });
    bench.looked(Look::Settling);
    let asked = bench.saves(SavesCommand::Track { at, tracked: false });
    assert_eq!(bench.answer(asked), Ok(()));
}

#[test]
fn a_switch_is_refused_while_a_wish_waits_for_what_nobody_connected_has() {
    let mut bench = Bench::new();
    let (at, line) = (bench.at(), bench.line.clone());
    // Version 2 was made from 1, is known, and is held by nobody.
    let brought = vec![(version(2, &[1]), false)];
    bench.give(Input::Save(SaveInput::Fetched { line, asked: BTreeSet::new(), brought, is_cut: false }));
    let back = bench.saves(SavesCommand::Rollback { at: at.clone(), to: id(2) });
    bench.look(1);
    assert_eq!(bench.answer(back), Err("not_fetched"));
    let slot = Some(SlotName::new("second").unwrap());
    let switch = bench.saves(SavesCommand::Switch { at: SaveRef { slot, ..at } });
    bench.look(1);
    assert_eq!(bench.answer(switch), Err("not_fetched"));
}

#[test]
fn a_switch_goes_by_the_versions_that_somebody_has() {
    let to = SlotName::new("second").unwrap();
    // Each case: versions of the slot known here with their parents and whether they are whole, what another device says
    // that it has, and what comes of it.
    type Case<'a> = (&'a [(u8, &'a [u64], bool)], &'a [u64], Result<Option<u64>, &'a str>);
    let cases: [Case<'_>; 7] = [
        (&[], &[], Ok(None)),
        (&[], &[5], Err("not_fetched")),
        (&[(5, &[], true)], &[], Ok(Some(5))),
        (&[(5, &[], true), (6, &[5], false)], &[5], Ok(Some(5))),
        (&[(5, &[], true), (6, &[5], false)], &[6], Err("not_fetched")),
        (&[(5, &[], true)], &[5, 6], Err("not_fetched")),
        (&[(5, &[], true), (6, &[], true)], &[5], Err("in_conflict")),
    ];
    for (known, told, expected) in cases {
        let mut bench = Bench::new();
        let at = bench.at();
        let line = Line { slot: to.clone(), ..bench.line.clone() };
        let device = PeerId::from_uuid(Uuid::from_u128(2));
        bench.engine.desk.entry(&line).slot.told(device, told.last().map(|n| id(*n)), told.iter().map(|n| id(*n)));
        let brought = known.iter().map(|(n, parents, is_whole)| (version(*n, parents), *is_whole)).collect();
        bench.give(Input::Save(SaveInput::Fetched {
            line: line.clone(),
            asked: BTreeSet::new(),
            brought,
            is_cut: false,
        }));
        let switch = bench.saves(SavesCommand::Switch { at: SaveRef { slot: Some(to.clone()), ..at } });
        bench.look(1);
        let case = format!("known {known:?}, told {told:?}");
        match expected {
            Err(code) => assert_eq!(bench.answer(switch), Err(code), "{case}"),
            Ok(head) => match (bench.next_work(), head) {
                (SaveWork::Branch { from, .. }, None) => assert_eq!(from, id(1), "{case}"),
                (SaveWork::Apply { to, .. }, Some(head)) => assert_eq!(to, id(head), "{case}"),
                (work, _) => panic!("{case}: {work:?}"),
            },
        }
    }
}

#[test]
fn a_fetch_that_broke_off_is_tried_again_whatever_else_is_done_meanwhile() {
    let mut bench = Bench::new();
    let line = bench.line.clone();
    let again = |bench: &Bench| bench.engine.desk.next_deadline().filter(|(_, why)| why.contains("a version"));
    assert_eq!(again(&bench), None);
    let cut = SaveInput::Fetched { line, asked: ids([9]), brought: Vec::new(), is_cut: true };
    bench.give(Input::Save(cut));
    let due = again(&bench).expect("it is not asked for again");
    bench.saves(SavesCommand::Confirm { at: bench.at() });
    bench.look(2);
    bench.make(2, &[1]);
    assert_eq!(again(&bench), Some(due));
}

#[test]
fn a_conflict_is_settled_though_the_disk_was_not_looked_at_yet_when_that_was_asked() {
    let mut bench = Bench::added();
    let (at, line) = (bench.at(), bench.line.clone());
    let brought = vec![(version(5, &[]), true)];
    bench.give(Input::Save(SaveInput::Fetched { line: line.clone(), asked: BTreeSet::new(), brought, is_cut: false }));
    let asked = bench.saves(SavesCommand::Resolve { at, with: ResolveWith::Mine });
    assert!(!bench.replies.contains_key(&asked), "{:?}", bench.replies.get(&asked));
    bench.look(1);
    bench.make(1, &[]);
    assert!(matches!(bench.next_work(), SaveWork::Copies { .. }));
    bench.give(Input::Save(SaveInput::Copied(line, Done::Well(()))));
    bench.look(1);
    let made = bench.next_work();
    assert!(matches!(made, SaveWork::Make { make: Make::Resolve { content, .. }, .. } if content == id(1)), "{made:?}");
}

#[test]
fn a_conflict_that_is_none_is_said_to_be_none_once_the_disk_was_looked_at() {
    let mut bench = Bench::added();
    let at = bench.at();
    let asked = bench.saves(SavesCommand::Resolve { at, with: ResolveWith::Mine });
    assert!(!bench.replies.contains_key(&asked));
    bench.look(1);
    bench.make(1, &[]);
    assert_eq!(bench.answer(asked), Err("no_conflict"));
}

#[test]
fn a_forced_uninstall_says_since_when_what_is_written_may_be_in_no_version() {
    let mut bench = Bench::new();
    bench.installed(None);
    let game = bench.line.game_id.clone();
    let asked_at = UnixMillis(1_767_225_700_000);
    bench.engine.tell_time(asked_at);
    let asked = bench.command(Command::Installs(InstallCommand::Uninstall { game, force: true }));
    assert_eq!(bench.answer(asked), Ok(()));
    assert!(bench.started.is_empty(), "its save is looked at first: {:?}", bench.started);
    bench.engine.tell_time(UnixMillis(asked_at.0 + 60_000));
    bench.look(1);
    assert!(
        matches!(bench.started[..], [OpPlan::Uninstall { force: true, saved_at, .. }] if saved_at == Some(asked_at)),
        "{:?}",
        bench.started
    );
}

#[test]
fn an_update_is_not_put_in_place_beneath_a_game_that_was_started_while_it_was_unpacked() {
    let mut bench = Bench::new();
    bench.installed(None);
    let game = bench.line.game_id.clone();
    let asked = bench.command(Command::Installs(InstallCommand::Update { game: game.clone() }));
    let Some(Ok(Reply::Started { op })) = bench.replies.get(&asked) else { panic!("it does not begin") };
    let op = OpId(*op);
    let (at, pid) = (bench.at(), 7);
    let begins = bench.saves(SavesCommand::PlayBegins { at, pid });
    assert_eq!(bench.answer(begins), Err("busy"), "who asks is told to wait");
    // Who does not ask is seen.
    let line = bench.line.clone();
    bench.give(Input::Save(SaveInput::Running(line, true)));
    bench.others.clear();
    bench.give(Input::Op(op, OpInput::Ready));
    let steers = |effect: &&Effect| matches!(effect, Effect::Commit(_) | Effect::Cancel(_));
    let steered: Vec<&Effect> = bench.others.iter().filter(steers).collect();
    assert!(matches!(steered[..], [Effect::Cancel(of)] if *of == op), "{steered:?}");
    bench.give(Input::Op(op, OpInput::Finished(OpOutcome::Undone)));
    bench.installed(Some(game));
    let told = bench.others.iter().find_map(|effect| match effect {
        Effect::Emit(PeerEvent::InstallFailed { is_update: true, error, .. }) => Some(error.code.as_str()),
        _ => None,
    });
    assert_eq!(told, Some("game_running"), "{:?}", bench.others);
}
