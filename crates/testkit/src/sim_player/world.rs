//! The simulated devices in virtual time: carries out what each engine wants, in order, and gives back what came of it.
//! Owns time and the order of all that happens; what people do is `person`'s, what a worker does with disk and store is
//! `jobs`', what must hold is `oracle`'s.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::input::{CommandId, ConnId, ConnInput, Effect, Input};
use bonfire_engine::record::Record;
use bonfire_engine::saves::work::{SaveInput, SetKey};
use bonfire_engine::saves_view::PlayerView;
use bonfire_engine::snapshot::NodeView;
use bonfire_engine::{ErrorClass, Instant, PeerEvent, Report, UnixMillis};
use bonfire_proto::message::Control;
use bonfire_proto::{Digest, LibraryEpoch};

use super::machine::{Crash, Machine};
use super::oracle::Truth;
use super::planted::Planted;
use super::trace::{Listed, Trace, brief};
use super::wires::{Parcel, Wire};
use crate::sim_room::Dice;

/// What the wall clocks show at the beginning: 2026-01-01.
const WALL: u64 = 1_767_225_600_000;
/// More inputs than any run takes.
const INPUTS_MAX: u64 = 12_000;

/// What is likely to go wrong, in percent of the occasions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) asked_twice: u64,
    pub(super) unanswered: u64,
    pub(super) lies: u64,
    pub(super) slow: u64,
    pub(super) is_timed: bool,
}

/// What is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    Parcel { wire: u64, end: usize, parcel: Parcel },
    Closed { machine: usize, boot: u64, conn: ConnId },
    Connect(usize, usize),
    Job { machine: usize, boot: u64, run: u64 },
    Stirred { machine: usize, set: SetKey },
    Boot(usize),
}

/// Everything.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) queue: BTreeMap<(u64, u64), Event>,
    pub(super) queued: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) wires: BTreeMap<u64, Wire>,
    pub(super) next_wire: u64,
    pub(super) next_run: u64,
    /// Pairs that cannot reach each other.
    pub(super) parted: BTreeSet<(usize, usize)>,
    pub(super) delays: Dice,
    pub(super) chance: Dice,
    pub(super) ids: Dice,
    pub(super) faults: Faults,
    pub(super) planted: Option<Planted>,
    pub(super) trace: Trace,
    pub(super) tally: BTreeMap<&'static str, u64>,
    pub(super) violations: Vec<String>,
    pub(super) truth: Truth,
    /// When something other than the passing of time happened last.
    pub(super) stirred_at: u64,
    /// Effects other than looks, pings and what is only shown, since it was last set to 0.
    pub(super) acts: u64,
    pub(super) inputs: u64,
}

impl World {
    pub(super) fn new(seed: u64, count: usize, is_loud: bool) -> Self {
        let mut ids = Dice::new(seed, "ids");
        let machines = (0..count).map(|n| Machine::new(n, &mut ids)).collect();
        Self {
            now: 1_000,
            queue: BTreeMap::new(),
            queued: 0,
            machines,
            wires: BTreeMap::new(),
            next_wire: 1,
            next_run: 1,
            parted: BTreeSet::new(),
            delays: Dice::new(seed, "delays"),
            chance: Dice::new(seed, "chance"),
            ids,
            faults: Faults::default(),
            planted: None,
            trace: Trace::new(is_loud),
            tally: BTreeMap::new(),
            violations: Vec::new(),
            truth: Truth::default(),
            stirred_at: 0,
            acts: 0,
            inputs: 0,
        }
    }

    pub(super) fn fired(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.note(format_args!("WRONG {what}"));
        self.violations.push(format!("at {}: {what}", self.now));
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        percent > 0 && self.chance.chance(percent)
    }

    /// A time that something takes.
    pub(super) fn takes(&mut self, shortest: u64, longest: u64) -> u64 {
        if self.faults.is_timed {
            return shortest;
        }
        let slow = if self.delays.chance(self.faults.slow) { 20 } else { 1 };
        shortest + self.delays.below((longest - shortest) * slow + 1)
    }

    pub(super) fn later(&mut self, after: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + after, self.queued), event);
    }

    /// Lets time pass up to a moment.
    pub(super) fn run_until(&mut self, until: u64) {
        loop {
            let next = self.queue.keys().next().map(|(at, _)| *at);
            let due = (0..self.machines.len()).filter_map(|m| Some((self.machines[m].deadline?, m))).min();
            match (next, due) {
                (Some(at), _) if at <= until && due.is_none_or(|(d, _)| at <= d) => {
                    self.now = self.now.max(at);
                    if let Some((_, event)) = self.queue.pop_first() {
                        self.happen(event);
                    }
                }
                (_, Some((at, m))) if at <= until => {
                    self.now = self.now.max(at);
                    self.give(m, Input::Deadline);
                    if self.machines[m].deadline.is_some_and(|d| d <= self.now) {
                        // A deadline that stands in the past would be asked for again at once, for ever.
                        self.machines[m].deadline = Some(self.now + 1);
                        self.tally.entry("deadlines in the past").and_modify(|n| *n += 1).or_insert(1);
                    }
                }
                _ => break,
            }
            self.inputs += 1;
            if self.inputs > INPUTS_MAX && self.violations.is_empty() {
                self.wrong(format!("P17: {INPUTS_MAX} inputs and no end"));
            }
            if self.violations.len() > 20 || self.inputs > INPUTS_MAX {
                break;
            }
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Parcel { wire, end, parcel } => self.arrive(wire, end, parcel),
            Event::Closed { machine, boot, conn } => {
                if self.machines[machine].boot == boot {
                    self.give(machine, Input::Conn(ConnInput::Closed(conn, "gone".to_owned())));
                }
            }
            Event::Connect(a, b) => self.connect(a, b),
            Event::Job { machine, boot, run } => {
                if self.machines[machine].boot == boot && self.machines[machine].engine.is_some() {
                    self.go_on(machine, run);
                }
            }
            Event::Stirred { machine, set } => self.give(machine, Input::Save(SaveInput::Stirred(set))),
            Event::Boot(machine) => self.boot(machine),
        }
    }

    /// Gives an engine one input and carries out what it wants.
    pub(super) fn give(&mut self, m: usize, input: Input) {
        let now = self.now;
        let machine = &mut self.machines[m];
        let Some(engine) = &mut machine.engine else { return };
        let wall = UnixMillis((WALL + now).saturating_add_signed(machine.skew));
        engine.tell_time(wall);
        if !matches!(input, Input::Deadline | Input::Conn(ConnInput::Message(_, Control::Ping(_) | Control::Pong(_)))) {
            let what = brief(&input);
            self.note(format_args!("{m} <- {what}"));
        }
        let machine = &mut self.machines[m];
        let Some(engine) = &mut machine.engine else { return };
        let at = Instant(now - machine.started);
        let effects = engine.handle(at, input);
        if let Some(roster) = engine.take_roster() {
            machine.roster = roster;
        }
        machine.deadline = engine.next_deadline().map(|(at, _)| at.0.saturating_add(machine.started));
        self.carry_out(m, effects);
    }

    fn carry_out(&mut self, m: usize, effects: Vec<Effect>) {
        let boot = self.machines[m].boot;
        for effect in effects {
            if self.machines[m].boot != boot {
                return;
            }
            match effect {
                Effect::Record(records) => {
                    self.stirred_at = self.now;
                    self.acts += u64::from(!records.iter().all(|r| matches!(r, Record::Audit(_))));
                    if self.crashes(m, Crash::BeforeRecord) {
                        return;
                    }
                    self.note(format_args!("{m} record {}", Listed(&records)));
                    self.record(m, &records);
                    if self.crashes(m, Crash::AfterRecord) {
                        return;
                    }
                }
                Effect::Send(conn, message) => self.send(m, conn, message),
                Effect::Ask(conn, request) => self.ask(m, conn, request),
                Effect::Accept(conn, hello) => self.post(m, conn, Parcel::HelloBack(Box::new(hello)), true),
                Effect::Close(conn, _) => self.close(conn.0 / 2, Some(m)),
                Effect::Save(job) => self.begin(m, *job),
                Effect::Pair(id, call) => self.pair(m, id, &call),
                Effect::PairAnswer(id, answer) => self.pair_answered(m, id, *answer),
                Effect::FetchLibrary(conn, _) => self.library(m, conn),
                Effect::Reply(id, reply) => self.replied(m, id, reply),
                Effect::Emit(event) => self.emitted(m, &event),
                Effect::Audit(id, _) => {
                    let reply = Ok(Reply::Audit { entries: Vec::new() });
                    self.give(m, Input::Save(SaveInput::Answered(id, reply)));
                }
                Effect::Dial { dial, .. } => {
                    let error = Report::new(ErrorClass::Unreachable, "nobody", "nobody is there");
                    self.give(m, Input::Conn(ConnInput::DialFailed(dial, error)));
                }
                _ => {}
            }
        }
    }

    pub(super) fn command(&mut self, m: usize, command: Command) -> CommandId {
        self.truth.commands += 1;
        let id = CommandId(self.truth.commands);
        if self.machines[m].engine.is_some() {
            self.note(format_args!("{m} COMMAND {id:?} {command:?}"));
            self.machines[m].waiting.insert(id, command.clone());
            self.give(m, Input::Command(id, command));
        }
        id
    }

    /// The person, or a game, wrote.
    pub(super) fn wrote(&mut self, m: usize, set: &SetKey) {
        self.stirred_at = self.now;
        let after = self.takes(1, 400);
        let set = set.clone();
        self.later(after, Event::Stirred { machine: m, set });
    }

    pub(super) fn job_later(&mut self, machine: usize, run: u64, after: u64) {
        let boot = self.machines[machine].boot;
        self.later(after, Event::Job { machine, boot, run });
    }

    fn emitted(&mut self, m: usize, event: &PeerEvent) {
        match event {
            PeerEvent::SaveConflict { .. } => self.fired("conflict seen"),
            PeerEvent::SaveHeld { .. } => self.fired("save held"),
            PeerEvent::SaveDeferred { .. } => self.fired("newer came while the game ran"),
            PeerEvent::SaveEditSurvived { .. } => self.fired("an edit survived"),
            PeerEvent::ProblemFound { error, .. } => {
                self.fired("problems shown");
                let (class, text) = (error.class, error.message.clone());
                if class == ErrorClass::Bug {
                    self.wrong(format!("{m} says of itself that it is wrong: {text}"));
                }
                self.note(format_args!("{m} problem {text}"));
            }
            _ => {}
        }
    }

    /// What a device shows.
    pub(super) fn views(&self, m: usize) -> Vec<PlayerView> {
        let machine = &self.machines[m];
        let Some(engine) = &machine.engine else { return Vec::new() };
        let me = NodeView {
            peer: machine.id,
            name: machine.name.clone(),
            version: String::new(),
            pid: 1,
            listen_addr: String::new(),
            games_dir: String::new(),
            library_epoch: LibraryEpoch(machine.id.as_uuid().to_owned()),
            library_rev: 0,
            library_digest: Digest([0; 32]),
            started_at: UnixMillis(0),
            mdns: false,
        };
        engine.snapshot(Instant(self.now - machine.started), 0, me).players
    }
}
