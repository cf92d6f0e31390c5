//! Devices of one player that follow the rules and nothing else: a disk of one value each, a store, a network that loses
//! and withholds. No time passes and nothing is drawn: the same steps give the same end.
//!
//! Beside the snapshots runs a model that knows nothing of them: which change was made on top of which. It says at the end
//! what is in conflict and what lies on every disk.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::LazyLock;

use bonfire_engine::saves::decide::Side;
use bonfire_engine::saves::join::{self, Content, Line, Parents, Stamp};
use bonfire_engine::saves::retention::{Holdings, retain};
use bonfire_engine::saves::{Action, Decision, Disk, Lineage, Node, Other, Situation, decide};
use bonfire_proto::save::{content_hash, snapshot_id};
use bonfire_proto::{Digest, GameId, Hlc, PeerId, PlayerId, RelPath, SaveEntry, SlotName, Snapshot, SnapshotId};
use uuid::Uuid;

/// Most decisions that one device makes without news before that counts as a loop.
const DECISIONS_MAX: usize = 30;

/// What lies in a folder; nothing without file.
pub type Value = Option<u32>;

/// A rule under test, or a planted wrong one.
#[derive(Clone, Copy)]
pub struct Rules {
    pub decide: fn(&Situation) -> Decision,
    /// Whether the disk is looked at again immediately before it is written.
    pub looks_again: bool,
}

pub const RULES: Rules = Rules { decide, looks_again: true };

/// How much of what one device has reaches another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every snapshot and its objects.
    Whole,
    /// The id of the head alone.
    Name,
    /// Every snapshot without objects.
    Snapshots,
    /// The newest snapshots, without what they were made from.
    Newest,
}

#[derive(Debug, Clone)]
pub enum Step {
    /// The game writes: a value that nobody had before, or one of a few that others may write as well.
    Edit(usize, Option<u8>),
    /// The game writes in the moment between the last look and the rename.
    Race(usize),
    /// The player deletes the save through us.
    Delete(usize),
    /// The files vanish.
    Vanish(usize),
    /// The player says that the vanished save was meant to go, or not.
    Answer(usize, bool),
    /// Back to an earlier content.
    Rollback(usize, usize),
    /// The player resolves what is shown.
    Resolve(usize, usize),
    Send(usize, usize, Reach),
    Work(usize),
    Play(usize, bool),
    Track(usize, bool),
    /// The folder cannot be read, or can again.
    Settle(usize, bool),
    /// The state database is lost; the store is rebuilt from its files.
    LoseDatabase(usize),
    /// All but so many of the newest versions may go.
    Prune(usize, usize),
}

pub struct Device {
    pub disk: Value,
    /// Every change that the content on the disk was made from: the model's side of it.
    made_from: BTreeSet<usize>,
    pub base: Option<SnapshotId>,
    pub store: BTreeMap<SnapshotId, Rc<Snapshot>>,
    fetched: BTreeSet<SnapshotId>,
    pub lineage: Lineage,
    announced: BTreeMap<usize, SnapshotId>,
    is_deleting: bool,
    is_tracked: bool,
    is_running: bool,
    is_settling: bool,
    /// Whether anything changed since its last decision, which would be the same otherwise.
    is_stirred: bool,
    race: Value,
    pub last: Option<Decision>,
}

/// A change in the model.
struct Change {
    value: Value,
    made_from: BTreeSet<usize>,
}

pub struct World {
    pub devices: Vec<Device>,
    rules: Rules,
    /// Milliseconds that each device's clock is off.
    skews: Vec<i64>,
    now: u64,
    fresh: u32,
    changes: Vec<Change>,
    /// For each snapshot the changes that it was made from.
    known: BTreeMap<SnapshotId, BTreeSet<usize>>,
    /// Values that some decision was made over.
    pub seen: BTreeSet<u32>,
    pub rows: BTreeMap<usize, usize>,
    /// Every decision: whose, which row, what lay on its disk.
    pub trace: Vec<(usize, usize, Value)>,
    /// Snapshots that were pruned.
    pub pruned: usize,
}

impl World {
    pub fn new(devices: usize, rules: Rules) -> Self {
        let device = || Device {
            disk: None,
            made_from: BTreeSet::new(),
            base: None,
            store: BTreeMap::new(),
            fetched: BTreeSet::new(),
            lineage: Lineage::default(),
            announced: BTreeMap::new(),
            is_deleting: false,
            is_tracked: true,
            is_running: false,
            is_settling: false,
            is_stirred: true,
            race: None,
            last: None,
        };
        Self {
            devices: (0..devices).map(|_| device()).collect(),
            rules,
            skews: vec![0; devices],
            now: 1_000_000_000,
            fresh: 100,
            changes: Vec::new(),
            known: BTreeMap::new(),
            seen: BTreeSet::new(),
            rows: BTreeMap::new(),
            trace: Vec::new(),
            pruned: 0,
        }
    }

    pub fn with_skews(self, skews: &[i64]) -> Self {
        Self { skews: skews.iter().copied().cycle().take(self.devices.len()).collect(), ..self }
    }

    pub fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        steps.iter().try_for_each(|s| self.step(s))
    }

    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let n = self.devices.len();
        let (Step::Edit(d, _)
        | Step::Race(d)
        | Step::Delete(d)
        | Step::Vanish(d)
        | Step::Answer(d, _)
        | Step::Rollback(d, _)
        | Step::Resolve(d, _)
        | Step::Send(_, d, _)
        | Step::Work(d)
        | Step::Play(d, _)
        | Step::Track(d, _)
        | Step::Settle(d, _)
        | Step::LoseDatabase(d)
        | Step::Prune(d, _)) = *step;
        self.devices[d % n].is_stirred = true;
        match *step {
            Step::Edit(d, value) => self.edit(d % n, value.map(u32::from)),
            Step::Race(d) => self.devices[d % n].race = Some(self.fresh_value()),
            Step::Delete(d) => return self.delete(d % n),
            Step::Vanish(d) => self.devices[d % n].disk = None,
            Step::Answer(d, is_meant) => drop(self.answer(d % n, is_meant)),
            Step::Rollback(d, to) => return self.rollback(d % n, to).map(drop),
            Step::Resolve(d, choice) => return self.resolve(d % n, choice).map(drop),
            Step::Send(from, to, reach) => self.send(from % n, to % n, reach),
            Step::Work(d) => return self.work(d % n),
            Step::Play(d, is) => self.devices[d % n].is_running = is,
            Step::Track(d, is) => self.devices[d % n].is_tracked = is,
            Step::Settle(d, is) => self.devices[d % n].is_settling = is,
            Step::Prune(d, keep) => self.prune(d % n, keep),
            Step::LoseDatabase(d) => {
                let device = &mut self.devices[d % n];
                (device.base, device.is_deleting) = (None, false);
                device.made_from.clear();
                device.announced.clear();
            }
        }
        Ok(())
    }

    pub fn edit(&mut self, d: usize, value: Value) {
        let value = value.unwrap_or_else(|| self.fresh_value());
        let device = &mut self.devices[d];
        (device.disk, device.is_deleting, device.is_stirred) = (Some(value), false, true);
    }

    /// One device decides and acts until there is nothing more to do without others.
    pub fn work(&mut self, d: usize) -> Result<(), String> {
        if !self.devices[d].is_stirred {
            return Ok(());
        }
        for _ in 0..DECISIONS_MAX {
            self.recognise(d);
            let s = self.situation(d);
            if let (Some(value), true) = (self.devices[d].disk, s.is_tracked && s.disk != Disk::Settling) {
                self.seen.insert(value);
            }
            let decision = (self.rules.decide)(&s);
            *self.rows.entry(decision.row.number()).or_insert(0) += 1;
            self.trace.push((d, decision.row.number(), self.devices[d].disk));
            self.check_may_write(d, &decision.action)?;
            let goes_on = self.carry_out(d, &decision.action)?;
            self.devices[d].last = Some(decision);
            if !goes_on {
                self.devices[d].is_stirred = false;
                return self.check_alarm(d);
            }
        }
        Err(format!("device {d} decides for ever, at last {:?}", self.devices[d].last))
    }

    /// Games end and disks can be read: everybody does what can be done without others.
    pub fn rest(&mut self) -> Result<(), String> {
        self.calm();
        for d in 0..self.devices.len() {
            self.work(d)?;
            if self.answer(d, false) {
                self.work(d)?;
            }
        }
        Ok(())
    }

    fn calm(&mut self) {
        for device in &mut self.devices {
            (device.is_running, device.is_settling, device.is_tracked, device.race) = (false, false, true, None);
            device.is_stirred = true;
        }
    }

    /// Everything reaches everybody, questions are answered, games end, until a round changes nothing. Returns the rounds
    /// that changed something.
    pub fn heal(&mut self) -> Result<usize, String> {
        let n = self.devices.len();
        self.calm();
        for round in 0..=4 * n {
            let before = self.digest();
            for (from, to) in (0..n).flat_map(|a| (0..n).map(move |b| (a, b))).filter(|(a, b)| a != b) {
                self.send(from, to, Reach::Whole);
            }
            for d in 0..n {
                self.work(d)?;
                if self.answer(d, false) {
                    self.work(d)?;
                }
            }
            if before == self.digest() {
                return Ok(round);
            }
        }
        Err(format!("still not at rest after {} rounds", 4 * n))
    }

    pub fn delete(&mut self, d: usize) -> Result<(), String> {
        self.work(d)?;
        let device = &mut self.devices[d];
        if device.is_tracked && device.base.is_some() && device.disk.is_some() && !device.is_settling {
            (device.disk, device.is_deleting, device.is_stirred) = (None, true, true);
        }
        Ok(())
    }

    /// One device works, and everybody else hears of it and works.
    pub fn spread(&mut self, from: usize) -> Result<(), String> {
        self.work(from)?;
        for to in (0..self.devices.len()).filter(|to| *to != from) {
            self.send(from, to, Reach::Whole);
            self.work(to)?;
        }
        Ok(())
    }

    /// What the player answers when asked about a save that vanished. Whether there was a question.
    fn answer(&mut self, d: usize, is_meant: bool) -> bool {
        let device = &mut self.devices[d];
        if device.last.as_ref().is_none_or(|l| l.action != Action::HoldAndAsk) || device.disk.is_some() {
            return false;
        }
        device.is_stirred = true;
        if is_meant {
            device.is_deleting = true;
        } else {
            device.disk = device.base.and_then(|base| value_of(&device.store[&base]));
        }
        true
    }

    /// Goes back to the `to`th of all contents, where there is a head to do it from.
    pub fn rollback(&mut self, d: usize, to: usize) -> Result<bool, String> {
        self.work(d)?;
        let device = &self.devices[d];
        let Some(base) = device.base.filter(|b| value_of(&device.store[b]) == device.disk && device.is_tracked) else {
            return Ok(false);
        };
        let by_value: BTreeMap<u32, Rc<Snapshot>> = device
            .store
            .iter()
            .filter(|(id, _)| device.fetched.contains(id))
            .filter_map(|(_, s)| Some((value_of(s)?, s.clone())))
            .collect();
        let Some(target) = by_value.values().nth(to % by_value.len().max(1)).cloned() else { return Ok(false) };
        let head = device.store[&base].clone();
        let made = join::rollback(&Parents::from([(base, &*head)]), &target, self.stamp(d)).unwrap();
        let made_from = self.known[&base].clone();
        self.keep_change(d, made, made_from);
        self.work(d).map(|()| true)
    }

    /// Resolves the conflict that is shown, in favour of the `choice`th content.
    pub fn resolve(&mut self, d: usize, choice: usize) -> Result<bool, String> {
        self.work(d)?;
        let device = &self.devices[d];
        let Some(sides) = device.sides() else { return Ok(false) };
        if !sides.iter().all(|id| device.fetched.contains(id)) {
            return Ok(false);
        }
        let heads: BTreeMap<SnapshotId, Rc<Snapshot>> =
            sides.iter().map(|id| (*id, device.store[id].clone())).collect();
        let by_value: BTreeMap<u32, &Rc<Snapshot>> = heads.values().filter_map(|s| Some((value_of(s)?, s))).collect();
        let Some(chosen) = by_value.values().nth(choice % by_value.len().max(1)).copied() else { return Ok(false) };
        let parents: Parents = heads.iter().map(|(id, s)| (*id, &**s)).collect();
        let made = join::resolve(&parents, chosen, self.stamp(d)).unwrap();
        let made_from = heads.keys().flat_map(|id| self.known[id].iter().copied()).collect();
        self.keep_change(d, made, made_from);
        self.work(d).map(|()| true)
    }

    pub fn send(&mut self, from: usize, to: usize, reach: Reach) {
        if from == to {
            return;
        }
        let [source, target] = self.devices.get_disjoint_mut([from, to]).unwrap();
        if reach != Reach::Name {
            let tips = if reach == Reach::Newest { source.lineage.tips() } else { BTreeSet::new() };
            for (id, snapshot) in &source.store {
                if target.fetched.contains(id) {
                    continue;
                }
                if reach != Reach::Newest || tips.contains(id) {
                    target.take(*id, snapshot, reach != Reach::Snapshots && source.fetched.contains(id));
                }
            }
        }
        if let Some(head) = source.base {
            target.is_stirred |= target.announced.insert(from, head) != Some(head);
        }
    }

    fn prune(&mut self, d: usize, keep: usize) {
        let others = self.devices.len() - 1;
        let device = &mut self.devices[d];
        let stored = device.store.keys().copied().collect();
        let heads: BTreeSet<SnapshotId> = device.announced.values().copied().chain(device.base).collect();
        let retained = retain(&Holdings {
            lineage: &device.lineage,
            stored: &stored,
            heads: &heads,
            is_every_device_known: device.announced.len() == others,
            bases: &heads,
            sides: &BTreeSet::new(),
            pins: &BTreeSet::new(),
            keep,
        });
        for id in &retained.prune {
            device.store.remove(id);
            device.fetched.remove(id);
        }
        self.pruned += retained.prune.len();
    }

    /// What the model says every device has to come to: the contents that nothing was made on top of. More than one is a
    /// conflict; none means that there is no save.
    pub fn expected(&self) -> BTreeSet<u32> {
        let replaced: BTreeSet<usize> = self.changes.iter().flat_map(|c| c.made_from.iter().copied()).collect();
        let newest = self.changes.iter().enumerate().filter(|(at, _)| !replaced.contains(at));
        newest.filter_map(|(_, c)| c.value).collect()
    }

    /// What a device shows: one content on its disk, or all sides of a conflict.
    pub fn shows(&self, d: usize) -> BTreeSet<u32> {
        let device = &self.devices[d];
        match device.sides() {
            Some(sides) => sides.iter().filter_map(|id| value_of(device.store.get(id)?)).collect(),
            None => device.disk.into_iter().collect(),
        }
    }

    /// After `heal`: that all devices came to what the model says, all alike.
    pub fn check_outcome(&self) -> Result<(), String> {
        let expected = self.expected();
        for (d, device) in self.devices.iter().enumerate() {
            let shown = self.shows(d);
            if shown != expected || device.sides().is_some() != (expected.len() > 1) {
                return Err(format!("device {d} shows {shown:?}, not {expected:?}; {:?}", device.last));
            }
        }
        self.check_alike()
    }

    /// After `heal`: that all devices show the same, have the same heads, and the same base unless there is a conflict.
    pub fn check_alike(&self) -> Result<(), String> {
        let first = &self.devices[0];
        for (d, device) in self.devices.iter().enumerate().skip(1) {
            if self.shows(d) != self.shows(0) || device.sides().is_some() != first.sides().is_some() {
                return Err(format!("device {d} shows {:?}, device 0 {:?}", self.shows(d), self.shows(0)));
            }
            if device.lineage.tips() != first.lineage.tips() {
                return Err(format!("device {d} has other heads than device 0"));
            }
            if first.sides().is_none() && (device.base, device.disk) != (first.base, first.disk) {
                return Err(format!("device {d} has another base or disk than device 0"));
            }
        }
        Ok(())
    }

    /// Whether some version has an earlier time than one that it was made from.
    pub fn has_time_going_backwards(&self) -> bool {
        self.devices.iter().any(|d| {
            let is_later = |parent: &SnapshotId, s: &Snapshot| d.store.get(parent).is_some_and(|p| p.hlc > s.hlc);
            d.store.values().any(|s| s.parents.iter().any(|parent| is_later(parent, s)))
        })
    }

    /// Nothing is put on a disk that is left alone, or while the game runs there.
    fn check_may_write(&self, d: usize, action: &Action) -> Result<(), String> {
        let device = &self.devices[d];
        if action.writes_files() && (device.is_running || !device.is_tracked) {
            return Err(format!("device {d} may not write now: {action:?}"));
        }
        if action.makes_snapshot() && !device.is_tracked {
            return Err(format!("device {d} leaves the slot alone and makes a version: {action:?}"));
        }
        Ok(())
    }

    /// After `heal`: that what was ever decided over is in every store.
    pub fn check_nothing_lost(&self) -> Result<(), String> {
        for (d, device) in self.devices.iter().enumerate() {
            let kept: BTreeSet<u32> = device.store.values().filter_map(|s| value_of(s)).collect();
            if let Some(lost) = self.seen.difference(&kept).next() {
                return Err(format!("{lost} was seen and is not in the store of device {d}"));
            }
        }
        Ok(())
    }

    /// An alarm without two contents to choose between is a false one, also when it passes.
    fn check_alarm(&self, d: usize) -> Result<(), String> {
        let device = &self.devices[d];
        let Some(sides) = device.sides() else { return Ok(()) };
        let contents: BTreeSet<Value> =
            sides.iter().filter_map(|id| device.store.get(id)).map(|s| value_of(s)).collect();
        if contents.iter().flatten().count() > 1 { Ok(()) } else { Err(format!("device {d} warns of {contents:?}")) }
    }

    fn carry_out(&mut self, d: usize, action: &Action) -> Result<bool, String> {
        match action {
            Action::SnapshotFirst | Action::SnapshotAndAnnounce => {
                let value = self.devices[d].disk;
                let made_from = self.devices[d].made_from.clone();
                let base = self.parents_of_disk(d);
                let parents: Parents = base.iter().map(|(id, s)| (*id, &**s)).collect();
                let made = join::version(&line(), &parents, content(value), self.stamp(d)).unwrap();
                self.move_to_change(d, made, made_from);
            }
            Action::Tombstone => {
                if !self.devices[d].is_deleting {
                    return Err(format!("device {d} announces a deletion that nobody made"));
                }
                let base = self.parents_of_disk(d);
                let parents: Parents = base.iter().map(|(id, s)| (*id, &**s)).collect();
                let made = join::tombstone(&parents, self.stamp(d)).unwrap();
                let made_from = self.devices[d].made_from.clone();
                self.move_to_change(d, made, made_from);
                self.devices[d].is_deleting = false;
            }
            Action::FastForward { to } | Action::ApplyNew { to } => {
                let device = &mut self.devices[d];
                if let Some(value) = device.race.take() {
                    device.disk = Some(value);
                    self.seen.insert(value);
                }
                let held = device.base.and_then(|b| value_of(&device.store[&b]));
                if self.rules.looks_again && device.disk != held {
                    return Ok(true);
                }
                device.disk = value_of(&device.store[to]);
                self.move_to(d, *to);
            }
            Action::Adopt { to } => self.move_to(d, *to),
            Action::Join { heads } | Action::EditSurvives { heads, .. } => {
                let stored: Vec<(SnapshotId, Rc<Snapshot>)> =
                    heads.iter().map(|id| (*id, self.devices[d].store[id].clone())).collect();
                let made =
                    join::join(&stored.iter().map(|(id, s)| (*id, &**s)).collect()).map_err(|e| e.to_string())?;
                let made_from = heads.iter().flat_map(|id| self.known[id].iter().copied()).collect();
                self.keep_join(d, made, made_from);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// A device without a base takes its disk for the newest known version that has its content, as a slot does.
    fn recognise(&mut self, d: usize) {
        let device = &self.devices[d];
        if let (None, Some(value), false) = (device.base, device.disk, device.is_settling) {
            let same = device.lineage.with_content(content(Some(value)).content_hash).map(|n| n.id);
            let same = same.filter(|id| device.store.contains_key(id)).collect();
            if let Some(to) = device.lineage.likeliest(&same, device_id(d)) {
                self.move_to(d, to);
            }
        }
    }

    fn situation(&self, d: usize) -> Situation {
        let device = &self.devices[d];
        let heard: BTreeSet<SnapshotId> =
            device.lineage.tips().into_iter().chain(device.announced.values().copied()).collect();
        let heard = heard.into_iter().filter(|id| Some(*id) != device.base).collect();
        let others = device.lineage.maximal(&heard).into_iter().map(|id| device.other(id)).collect();
        Situation { disk: device.read(), others, is_tracked: device.is_tracked, is_running: device.is_running }
    }

    fn parents_of_disk(&self, d: usize) -> Option<(SnapshotId, Rc<Snapshot>)> {
        self.devices[d].base.map(|b| (b, self.devices[d].store[&b].clone()))
    }

    /// A change that somebody made: the model counts it.
    fn keep_change(&mut self, d: usize, made: Snapshot, made_from: BTreeSet<usize>) -> SnapshotId {
        self.changes.push(Change { value: value_of(&made), made_from: made_from.clone() });
        let with_itself = made_from.into_iter().chain([self.changes.len() - 1]).collect();
        self.keep(d, made, with_itself)
    }

    /// A join is a change of its own, and one however many devices make it: who deletes or edits one of its parents
    /// without knowing of it did not mean it.
    fn keep_join(&mut self, d: usize, made: Snapshot, made_from: BTreeSet<usize>) {
        let id = id_of(&made);
        match self.known.get(&id).cloned() {
            Some(known) => self.keep(d, made, known),
            None => self.keep_change(d, made, made_from),
        };
    }

    fn move_to_change(&mut self, d: usize, made: Snapshot, made_from: BTreeSet<usize>) {
        let id = self.keep_change(d, made, made_from);
        self.move_to(d, id);
    }

    fn keep(&mut self, d: usize, made: Snapshot, known: BTreeSet<usize>) -> SnapshotId {
        let id = id_of(&made);
        self.known.insert(id, known);
        self.devices[d].take(id, &Rc::new(made), true);
        id
    }

    fn move_to(&mut self, d: usize, to: SnapshotId) {
        self.devices[d].base = Some(to);
        self.devices[d].made_from = self.known[&to].clone();
    }

    fn stamp(&mut self, d: usize) -> Stamp {
        self.now += 10;
        let ms = self.now.saturating_add_signed(self.skews[d]);
        let device = device_id(d);
        Stamp { device, hlc: Hlc { ms, count: 0, device }, created_at: ms, note: None }
    }

    fn fresh_value(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    /// What tells one state of all disks and stores from another.
    pub fn digest(&self) -> Vec<(Value, Option<SnapshotId>, usize, usize)> {
        self.devices.iter().map(|d| (d.disk, d.base, d.store.len(), d.fetched.len())).collect()
    }
}

impl Device {
    /// The sides of the conflict that is shown.
    pub fn sides(&self) -> Option<BTreeSet<SnapshotId>> {
        let Some(Decision { action: Action::Conflict { with, .. }, .. }) = &self.last else { return None };
        Some(self.lineage.maximal(&with.iter().copied().chain(self.base).collect()))
    }

    fn read(&self) -> Disk {
        let Some(base) = self.base.map(|id| (id, &self.store[&id])) else {
            return match self.disk {
                _ if self.is_settling => Disk::Settling,
                None => Disk::Absent,
                some => Disk::Present(content(some).content_hash),
            };
        };
        match (self.disk, value_of(base.1)) {
            _ if self.is_settling => Disk::Settling,
            (on_disk, held) if on_disk == held => {
                Disk::Clean(Side { id: base.0, content: base.1.content_hash, is_deletion: held.is_none() })
            }
            (None, _) if self.is_deleting => Disk::Deleted,
            (None, _) => Disk::Shrunk,
            _ => Disk::Dirty,
        }
    }

    fn other(&self, id: SnapshotId) -> Other {
        let snapshot = self.store.get(&id);
        Other {
            id,
            relation: self.base.map_or(bonfire_engine::saves::Relation::Unknown, |b| self.lineage.relation(b, id)),
            content: snapshot.map(|s| s.content_hash),
            is_deletion: snapshot.is_some_and(|s| s.files == 0),
            is_fetched: self.fetched.contains(&id),
        }
    }

    fn take(&mut self, id: SnapshotId, snapshot: &Rc<Snapshot>, has_objects: bool) {
        // What is in the lineage and not in the store was pruned here, and stays away.
        if self.lineage.insert(Node::of(id, snapshot)) {
            self.is_stirred = true;
            self.store.insert(id, snapshot.clone());
        }
        if has_objects && self.store.contains_key(&id) {
            self.is_stirred |= self.fetched.insert(id);
        }
    }
}

/// The hash of what tells one snapshot here from another. That of all of its bytes would take most of the time.
fn id_of(snapshot: &Snapshot) -> SnapshotId {
    let mut bytes: Vec<u8> = snapshot.parents.iter().flat_map(|p| p.0.0).collect();
    bytes.extend(snapshot.content_hash.0.0);
    bytes.extend(snapshot.device.as_uuid().as_bytes());
    bytes.extend(snapshot.hlc.ms.to_be_bytes());
    bytes.push(snapshot.kind as u8);
    snapshot_id(&bytes)
}

pub fn value_of(snapshot: &Snapshot) -> Value {
    snapshot.entries.first().map(|e| u32::from_be_bytes([e.blake3.0[0], e.blake3.0[1], e.blake3.0[2], e.blake3.0[3]]))
}

static PATH: LazyLock<RelPath> = LazyLock::new(|| RelPath::new("save/world").unwrap());

fn device_id(d: usize) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(d as u128 + 1))
}

fn content(value: Value) -> Content {
    let Some(value) = value else { return Content::none() };
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&value.to_be_bytes());
    let entries = vec![SaveEntry {
        path: PATH.clone(),
        size: 100,
        mtime: 0,
        blake3: Digest(hash),
        archive: None,
        pieces: Vec::new(),
    }];
    Content { content_hash: content_hash(&entries), files: 1, size: 100, played_ms: 0, entries, list: Vec::new() }
}

fn line() -> Line {
    Line { player: PlayerId(Uuid::from_u128(1)), game_id: GameId::new("nethack").unwrap(), slot: SlotName::main() }
}
