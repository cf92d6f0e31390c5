//! One slot at a time, and whole players whose devices edit, part, crash and meet again.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::digest::FieldHasher;
use bonfire_proto::save::SnapshotKind;
use bonfire_proto::{PeerId, SnapshotId};

use super::super::tests::{content, device, id, ids, node};
use super::*;

const MEASURE: Measure = Measure { files: 1, size: 100 };

/// The owner's version, its head, and what it holds.
type Told = (u64, Option<SnapshotId>, BTreeSet<SnapshotId>);

/// A device: what survives a crash (disk, record, store), and its slot.
struct Device {
    id: PeerId,
    /// Content number; 0 is nothing.
    disk: u8,
    store: BTreeMap<SnapshotId, Node>,
    record: SlotRecord,
    slot: Slot,
    captures: BTreeMap<u64, u8>,
    /// What every device said of itself as last heard, with the owner's version of it.
    told: BTreeMap<PeerId, Told>,
    next: u64,
    /// The next work is cut off by a crash, before (false) or after (true) its effect.
    crash: Option<bool>,
}

impl Device {
    fn new(n: u64) -> Self {
        let record = SlotRecord::default();
        let slot = Slot::restore(device(n), record.clone(), []);
        Self {
            id: device(n),
            disk: 0,
            store: BTreeMap::new(),
            record,
            slot,
            captures: BTreeMap::new(),
            told: BTreeMap::new(),
            next: n * 1_000_000,
            crash: None,
        }
    }

    fn restart(&mut self) {
        self.slot = Slot::restore(self.id, self.record.clone(), self.store.values().map(|n| (n.clone(), true)));
        for (device, (_, head, have)) in &self.told {
            if *device != self.id {
                self.slot.told(*device, *head, have.iter().copied());
            }
        }
        self.captures.clear();
        self.crash = None;
    }

    /// Makes durable what has to be, and says what the others hear of it.
    fn settle(&mut self) {
        if self.record != *self.slot.record() {
            self.record = self.slot.record().clone();
        }
        let now = (self.record.base, self.slot.have());
        let version = self.told.get(&self.id).map_or(0, |(version, ..)| *version);
        if self.told.get(&self.id).is_none_or(|(_, head, have)| (*head, have) != (now.0, &now.1)) {
            self.told.insert(self.id, (version + 1, now.0, now.1));
        }
    }

    fn hear(&mut self, told: &BTreeMap<PeerId, Told>) {
        for (device, (version, head, have)) in told {
            if *device == self.id || self.told.get(device).is_some_and(|(known, ..)| known >= version) {
                continue;
            }
            self.told.insert(*device, (*version, *head, have.clone()));
            self.slot.told(*device, *head, have.iter().copied());
        }
    }

    fn number(&self, hash: SaveHash) -> u8 {
        (0..=255).find(|n| content(*n) == hash).unwrap()
    }

    fn node(&mut self, make: &Make) -> Node {
        self.next += 1;
        let of = |id: &SnapshotId| self.store[id].clone();
        let (kind, parents, from, own) = match make {
            Make::Version { capture, parents } => (SnapshotKind::Save, parents, self.captures[capture], true),
            Make::Tombstone { parents } => (SnapshotKind::Tombstone, parents, 0, true),
            Make::Join { parents } => {
                let edit = parents.iter().map(of).find(|n| !n.is_deletion());
                (SnapshotKind::Merge, parents, edit.map_or(0, |n| self.number(n.content)), false)
            }
            Make::Resolve { parents, content } => {
                (SnapshotKind::Merge, parents, self.number(of(content).content), true)
            }
            Make::Rollback { parents, to } => (SnapshotKind::Rollback, parents, self.number(of(to).content), true),
        };
        let mut hasher = FieldHasher::new();
        for parent in parents {
            hasher.field(&parent.0.0);
        }
        hasher.field(&[from, u8::from(own)]);
        if own {
            hasher.number(self.next);
        }
        let files = u64::from(from != 0);
        Node {
            id: SnapshotId(hasher.finish()),
            parents: parents.iter().copied().collect(),
            content: content(from),
            kind,
            hlc: bonfire_proto::hlc::Hlc { ms: self.next, count: 0, device: self.id },
            device: self.id,
            created_at: self.next,
            files,
            size: files * MEASURE.size,
            played_ms: 0,
        }
    }

    /// Carries one step out. `false` when it crashed in the middle.
    fn carry_out(&mut self, step: Step, reachable: &BTreeMap<SnapshotId, Node>) -> bool {
        self.settle();
        if let (Some(after), true) = (self.crash, !matches!(step, Step::Fetch(_))) {
            if after && self.effect(&step) {
                // The journal of an apply outlives it until the record is durable.
                if let Step::Apply { to, .. } = step {
                    self.record.base = Some(to);
                }
            }
            self.restart();
            return false;
        }
        match &step {
            Step::Look => {
                let capture = self.next;
                self.next += 1;
                self.captures.insert(capture, self.disk);
                self.slot.looked(match self.disk {
                    0 => Look::Nothing,
                    n => Look::Files { capture, content: content(n), measure: MEASURE },
                });
            }
            Step::Make(make) => {
                let node = self.node(make);
                self.store.insert(node.id, node.clone());
                self.slot.made(Done::Well(node));
            }
            Step::Apply { .. } => {
                let done = if self.effect(&step) { Done::Well(()) } else { Done::Changed };
                self.slot.applied(done);
            }
            Step::Copies { .. } => self.slot.copied(Done::Well(())),
            Step::Keep(base) => {
                let node = self.slot.lineage().get(base).cloned();
                let node = node.expect("a base is known");
                assert_eq!(node.content, content(self.disk), "the disk holds what is to be kept");
                self.store.insert(*base, node.clone());
                self.slot.fetched(&BTreeSet::from([*base]), [(node, true)], []);
            }
            Step::Fetch(ids) => {
                let (mut brought, mut nobody) = (Vec::new(), Vec::new());
                let mut due: Vec<SnapshotId> = ids.iter().copied().collect();
                let mut seen = BTreeSet::new();
                while let Some(id) = due.pop() {
                    if !seen.insert(id) || self.store.contains_key(&id) {
                        continue;
                    }
                    match reachable.get(&id) {
                        Some(node) => {
                            due.extend(&node.parents);
                            brought.push(node.clone());
                        }
                        None => nobody.push(id),
                    }
                }
                for node in &brought {
                    self.store.insert(node.id, node.clone());
                }
                self.slot.fetched(ids, brought.into_iter().map(|n| (n, true)), nobody);
            }
        }
        self.settle();
        true
    }

    /// What a step does to disk and store, with the looks that it takes immediately before.
    fn effect(&mut self, step: &Step) -> bool {
        match step {
            Step::Apply { from, to } => {
                let expected = from.map_or(0, |id| self.number(self.store[&id].content));
                if self.disk != expected {
                    return false;
                }
                let kept = self.disk == 0 || self.store.values().any(|n| n.content == content(self.disk));
                assert!(kept, "content {} is written over and in no history", self.disk);
                self.disk = self.number(self.store[to].content);
                true
            }
            Step::Make(make) => {
                let node = self.node(make);
                self.store.insert(node.id, node);
                true
            }
            _ => true,
        }
    }
}

/// The devices of one player.
struct Player {
    devices: Vec<Device>,
    /// Which part of the network each is in.
    part: Vec<usize>,
    written: u8,
}

impl Player {
    fn new(count: u64) -> Self {
        Self {
            devices: (1..=count).map(Device::new).collect(),
            part: vec![0; usize::try_from(count).unwrap()],
            written: 0,
        }
    }

    fn edit(&mut self, at: usize) {
        self.written = self.written.checked_add(1).expect("a run has at most 255 edits");
        self.write(at, self.written);
    }

    fn write(&mut self, at: usize, number: u8) {
        self.devices[at].disk = number;
        self.devices[at].slot.stirred();
    }

    fn exchange(&mut self) {
        for a in 0..self.devices.len() {
            for b in 0..self.devices.len() {
                if a != b && self.part[a] == self.part[b] {
                    let told = self.devices[b].told.clone();
                    self.devices[a].hear(&told);
                }
            }
        }
    }

    /// Lets one device do one step. `false` when it wanted none.
    fn step(&mut self, at: usize) -> bool {
        let Some(step) = self.devices[at].slot.next_step() else {
            self.devices[at].settle();
            return false;
        };
        let others = (0..self.devices.len()).filter(|o| *o != at && self.part[*o] == self.part[at]);
        let reachable = others.flat_map(|o| self.devices[o].store.clone()).collect();
        self.devices[at].carry_out(step, &reachable);
        true
    }

    /// Until nobody wants anything.
    ///
    /// # Panics
    /// When that does not come.
    fn rest(&mut self) {
        for _ in 0..60 {
            let mut moved = false;
            for at in 0..self.devices.len() {
                let mut steps = 0;
                while self.step(at) {
                    moved = true;
                    steps += 1;
                    assert!(steps < 60, "device {at} does not come to rest: {:?}", self.devices[at].slot);
                }
            }
            let before: Vec<_> = self.devices.iter().map(|d| d.told.clone()).collect();
            self.exchange();
            if !moved && before == self.devices.iter().map(|d| d.told.clone()).collect::<Vec<_>>() {
                return;
            }
        }
        panic!("the devices do not come to rest");
    }

    fn heal(&mut self) {
        self.part.fill(0);
        for device in &mut self.devices {
            device.crash = None;
            device.slot.running(false);
            device.slot.track(true);
            device.slot.retry();
        }
        self.rest();
        for device in &mut self.devices {
            if device.slot.standing() == Standing::Held {
                device.slot.restore_disk().unwrap();
            }
        }
        self.rest();
    }

    fn standings(&self) -> BTreeSet<Standing> {
        self.devices.iter().map(|d| d.slot.standing()).collect()
    }

    fn disks(&self) -> Vec<u8> {
        self.devices.iter().map(|d| d.disk).collect()
    }

    fn is_in_step(&self) -> bool {
        self.standings() == BTreeSet::from([Standing::Current]) && self.disks().windows(2).all(|w| w[0] == w[1])
    }

    /// Every content that any device ever took in is in somebody's history.
    fn history(&self) -> BTreeSet<u8> {
        let all = self.devices.iter().flat_map(|d| d.store.values().map(|n| d.number(n.content)));
        all.collect()
    }
}

fn two_in_conflict() -> Player {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    player.part = vec![0, 1];
    player.edit(0);
    player.edit(1);
    player.rest();
    player.part = vec![0, 0];
    player.rest();
    player
}

#[test]
fn a_first_save_reaches_every_device_and_edits_in_turn_never_conflict() {
    let mut player = Player::new(4);
    for turn in 0..12 {
        player.edit(turn % 4);
        player.rest();
        assert!(player.is_in_step(), "turn {turn}: {:?} {:?}", player.standings(), player.disks());
    }
    assert_eq!(player.history(), (1..=12).collect());
}

#[test]
fn two_edits_apart_are_a_conflict_on_both_and_each_keeps_its_files() {
    let player = two_in_conflict();
    assert_eq!(player.disks(), [2, 3]);
    for device in &player.devices {
        assert_eq!(device.slot.standing(), Standing::Conflict);
        assert_eq!(device.record.copies.len(), 1, "the other side lies beside the live files");
        assert_eq!(device.slot.heads().len(), 2);
    }
}

#[test]
fn a_resolution_settles_it_everywhere_and_the_copies_go() {
    for theirs in [false, true] {
        let mut player = two_in_conflict();
        let slot = &mut player.devices[0].slot;
        let choice = if theirs { *slot.sides().first().unwrap() } else { slot.record().base.unwrap() };
        slot.wish(Wish::Resolve(choice)).unwrap();
        player.rest();
        assert!(player.is_in_step(), "{:?}", player.standings());
        assert_eq!(player.disks(), if theirs { [3, 3] } else { [2, 2] });
        assert!(player.devices.iter().all(|d| d.record.copies.is_empty()));
        assert_eq!(player.history(), BTreeSet::from([1, 2, 3]), "the loser stays in history");
    }
}

#[test]
fn a_head_that_is_here_and_not_understood_waits_for_what_is_above_it_and_is_not_fetched_again() {
    // Ours is 2, made from 1. Theirs is 4, which is here; 3, which it was made from, is not.
    let record = SlotRecord { base: Some(id(2)), ..SlotRecord::default() };
    let theirs = Node { content: content(4), ..node(4, &[3]) };
    let ours = Node { content: content(2), ..node(2, &[1]) };
    let mut slot = Slot::restore(device(1), record, [(node(1, &[]), true), (ours.clone(), true), (theirs, true)]);
    slot.told(device(2), Some(id(4)), [id(4)]);
    assert_eq!(slot.next_step(), Some(Step::Look));
    slot.looked(Look::Files { capture: 1, content: ours.content, measure: MEASURE });
    assert_eq!(slot.next_step(), Some(Step::Fetch(ids([3]))));
    assert_eq!(slot.next_step(), None);
    slot.fetched(&ids([3]), [(Node { content: content(3), ..node(3, &[2]) }, true)], []);
    assert_eq!(slot.next_step(), Some(Step::Apply { from: Some(id(2)), to: id(4) }));
}

#[test]
fn what_the_disk_holds_and_the_store_does_not_is_stored_before_it_is_replaced() {
    let version =
        |n: u8, parents: &[u64]| Node { content: content(n), device: device(2), ..node(u64::from(n), parents) };
    // The first is known by name only, and lies on the disk.
    let known = [(version(1, &[]), false), (version(2, &[1]), true)];
    let record = SlotRecord { base: Some(id(1)), ..SlotRecord::default() };
    let mut slot = Slot::restore(device(1), record, known);
    assert_eq!(slot.next_step(), Some(Step::Look));
    slot.looked(Look::Files { capture: 1, content: content(1), measure: MEASURE });
    assert_eq!(slot.next_step(), Some(Step::Keep(id(1))));
    assert_eq!(slot.next_step(), None, "nothing is replaced meanwhile");
    slot.fetched(&ids([1]), [(version(1, &[]), true)], []);
    assert_eq!(slot.next_step(), Some(Step::Apply { from: Some(id(1)), to: id(2) }));
}

#[test]
fn a_base_that_cannot_be_stored_is_tried_once_until_there_is_another_attempt() {
    let record = SlotRecord { base: Some(id(1)), ..SlotRecord::default() };
    let mut slot = Slot::restore(device(1), record, [(node(1, &[]), false)]);
    slot.next_step();
    slot.looked(Look::Files { capture: 1, content: content(1), measure: MEASURE });
    assert_eq!(slot.next_step(), Some(Step::Keep(id(1))));
    slot.fetched(&ids([1]), [], [id(1)]);
    assert_eq!(slot.next_step(), None);
    slot.ask_again();
    assert_eq!(slot.next_step(), Some(Step::Keep(id(1))));
}

#[test]
fn a_version_that_nobody_has_any_more_is_no_side_though_what_followed_it_is_forgotten() {
    // 3 is on the disk. 1 was pruned everywhere, and 2, which was made from it and 3 was made from, is known to nobody.
    let version = |n: u8, parents: &[u64]| Node { content: content(n), ..node(u64::from(n), parents) };
    let record = SlotRecord { base: Some(id(3)), ..SlotRecord::default() };
    let mut slot = Slot::restore(device(1), record, [(version(1, &[]), false), (version(3, &[2]), true)]);
    slot.next_step();
    slot.looked(Look::Files { capture: 1, content: content(3), measure: MEASURE });
    while let Some(step) = slot.next_step() {
        let Step::Fetch(asked) = step else { panic!("nothing is to be done: {step:?}") };
        slot.fetched(&asked, [], asked.clone());
    }
    assert_eq!((slot.standing(), slot.heads()), (Standing::Current, ids([3])));
    slot.told(device(2), None, [id(1)]);
    assert_eq!(slot.heads(), ids([1, 3]), "a device has it: it counts");
}

#[test]
fn copies_beside_the_files_of_another_slot_are_removed_and_those_of_a_slot_left_alone_stay() {
    let record = SlotRecord { copies: ids([2]), is_untracked: true, ..SlotRecord::default() };
    let mut slot = Slot::restore(device(1), record, [(node(2, &[]), true)]);
    assert_eq!(slot.next_step(), None);
    slot.on_disk(false);
    assert_eq!(slot.next_step(), Some(Step::Copies { write: BTreeSet::new(), remove: ids([2]) }));
    slot.copied(Done::Well(()));
    assert_eq!((slot.next_step(), slot.record().copies.len()), (None, 0));
}

#[test]
fn a_disk_without_a_base_that_holds_an_older_version_is_behind_and_no_other_side() {
    let version = |n: u8, parents: &[u64]| Node { content: content(n), ..node(u64::from(n), parents) };
    let known = [(version(1, &[]), true), (version(2, &[1]), true), (version(3, &[2]), true)];
    let mut slot = Slot::restore(device(1), SlotRecord::default(), known);
    slot.told(device(2), Some(id(3)), [id(3)]);
    assert_eq!(slot.next_step(), Some(Step::Look));
    slot.looked(Look::Files { capture: 1, content: content(2), measure: MEASURE });
    assert_eq!(slot.next_step(), Some(Step::Apply { from: Some(id(2)), to: id(3) }));
    assert!(slot.sides().is_empty());
}

#[test]
fn a_device_that_never_had_the_save_settles_a_conflict_too() {
    let mut player = Player::new(3);
    player.part = vec![0, 1, 2];
    player.edit(0);
    player.edit(1);
    player.rest();
    player.part.fill(0);
    player.rest();
    assert_eq!(player.standings(), BTreeSet::from([Standing::Conflict]));
    let slot = &mut player.devices[2].slot;
    assert_eq!((slot.record().base, slot.sides().len()), (None, 2));
    let choice = *slot.sides().first().unwrap();
    slot.wish(Wish::Resolve(choice)).unwrap();
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!(player.history(), BTreeSet::from([1, 2]));
}

#[test]
fn two_resolutions_at_once_conflict_again_when_they_differ_and_join_when_they_agree() {
    for differ in [true, false] {
        let mut player = two_in_conflict();
        player.part = vec![0, 1];
        let first = player.devices[0].slot.record().base.unwrap();
        let second = if differ { player.devices[1].slot.record().base.unwrap() } else { first };
        player.devices[0].slot.wish(Wish::Resolve(first)).unwrap();
        player.devices[1].slot.wish(Wish::Resolve(second)).unwrap();
        player.rest();
        player.part = vec![0, 0];
        player.rest();
        if differ {
            assert_eq!(player.standings(), BTreeSet::from([Standing::Conflict]));
            let slot = &mut player.devices[1].slot;
            let choice = slot.record().base.unwrap();
            slot.wish(Wish::Resolve(choice)).unwrap();
            player.rest();
        }
        assert!(player.is_in_step(), "{differ}: {:?}", player.standings());
    }
}

#[test]
fn the_same_edit_on_two_devices_is_no_conflict() {
    let mut player = Player::new(3);
    player.edit(0);
    player.rest();
    player.part = vec![0, 1, 2];
    for at in 0..3 {
        player.write(at, 9);
    }
    player.rest();
    player.part.fill(0);
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
}

#[test]
fn a_third_device_relays_between_two_that_are_never_on_together() {
    let mut player = Player::new(3);
    player.part = vec![0, 0, 1];
    player.edit(0);
    player.rest();
    player.part = vec![2, 1, 1];
    player.rest();
    assert_eq!(player.disks(), [1, 1, 1]);
    player.edit(2);
    player.rest();
    player.part = vec![0, 0, 3];
    player.rest();
    assert_eq!(player.disks(), [2, 2, 2]);
}

#[test]
fn an_emptied_folder_is_held_and_spreads_nowhere() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.write(1, 0);
    player.rest();
    assert_eq!(player.devices[1].slot.standing(), Standing::Held);
    assert_eq!(player.disks(), [1, 0]);
    player.devices[1].slot.restore_disk().unwrap();
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!(player.disks(), [1, 1]);

    player.write(1, 0);
    player.rest();
    player.devices[1].slot.release().unwrap();
    player.rest();
    assert_eq!(player.disks(), [0, 0], "the player says that it is deleted");
    assert!(player.history().contains(&1));
}

#[test]
fn a_deletion_reaches_every_device_and_an_edit_survives_it() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.part = vec![0, 1];
    player.devices[0].slot.wish(Wish::Delete).unwrap();
    player.edit(1);
    player.rest();
    assert_eq!(player.disks(), [0, 2]);
    player.part = vec![0, 0];
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!(player.disks(), [2, 2]);
    player.devices[0].slot.wish(Wish::Delete).unwrap();
    player.rest();
    assert_eq!(player.disks(), [0, 0]);
}

#[test]
fn a_rollback_is_a_new_version_that_reaches_the_others_and_what_was_not_in_history_is_first() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    let first = player.devices[0].slot.record().base.unwrap();
    player.edit(0);
    player.rest();
    player.edit(0);
    player.devices[0].slot.wish(Wish::Rollback(first)).unwrap();
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!(player.disks(), [1, 1]);
    assert_eq!(player.history(), BTreeSet::from([1, 2, 3]));
    assert_eq!(player.devices[1].slot.lineage().len(), 4, "1, 2, 3, and 1 again");
}

#[test]
fn nothing_is_written_while_the_game_runs_and_it_comes_after() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.devices[1].slot.running(true);
    player.edit(0);
    player.rest();
    assert_eq!(player.devices[1].slot.standing(), Standing::Deferred);
    assert_eq!(player.disks(), [2, 1]);
    player.devices[1].slot.running(false);
    player.rest();
    assert_eq!(player.disks(), [2, 2]);
}

#[test]
fn a_slot_that_is_left_alone_is_not_looked_at_and_catches_up_when_it_takes_part_again() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.devices[1].slot.track(false);
    player.rest();
    player.edit(0);
    player.write(1, 77);
    player.rest();
    assert_eq!(player.disks(), [2, 77]);
    assert_eq!(player.devices[1].slot.standing(), Standing::Untracked);
    assert!(player.devices[1].slot.wish(Wish::Delete).is_err());
    player.devices[1].slot.track(true);
    player.rest();
    assert_eq!(player.standings(), BTreeSet::from([Standing::Conflict]), "both were written to");
}

#[test]
fn a_crash_between_storing_a_version_and_recording_it_makes_no_conflict() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.edit(0);
    assert!(player.step(0), "it looks");
    player.devices[0].crash = Some(true);
    assert!(player.step(0), "it makes a version");
    assert_eq!(player.history().len(), 2, "the version is stored");
    player.edit(0);
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!((player.disks(), player.history()), (vec![3, 3], BTreeSet::from([1, 2, 3])));
}

#[test]
fn a_save_that_was_copied_by_hand_is_known_again() {
    let mut player = Player::new(2);
    player.edit(0);
    player.rest();
    player.devices[1].slot.running(true);
    player.edit(0);
    player.rest();
    player.write(1, 2);
    player.devices[1].slot.running(false);
    player.rest();
    assert!(player.is_in_step(), "{:?}", player.standings());
    assert_eq!(player.devices[1].slot.lineage().len(), 2, "nobody made a third version");
}

#[test]
fn what_nobody_has_is_not_asked_for_again_until_somebody_says_more() {
    let mut slot = Slot::restore(device(1), SlotRecord::default(), []);
    assert_eq!(slot.next_step(), Some(Step::Look));
    slot.looked(Look::Nothing);
    let far = super::super::tests::id(9);
    slot.told(device(2), Some(far), []);
    let asked = BTreeSet::from([far]);
    assert_eq!(slot.next_step(), Some(Step::Fetch(asked.clone())));
    assert_eq!(slot.next_step(), None, "it is on its way");
    slot.fetched(&asked, [], [far]);
    assert_eq!(slot.next_step(), None);
    slot.told(device(3), Some(far), []);
    assert_eq!(slot.next_step(), Some(Step::Fetch(asked)));
}

#[test]
fn a_failure_stands_until_it_is_tried_again() {
    let mut slot = Slot::restore(device(1), SlotRecord::default(), []);
    slot.next_step();
    slot.looked(Look::Files { capture: 1, content: content(1), measure: MEASURE });
    assert!(matches!(slot.next_step(), Some(Step::Make(Make::Version { .. }))));
    slot.made(Done::Failed(Report::new(ErrorClass::Environment, "no_space", "full")));
    assert_eq!((slot.next_step(), slot.standing()), (None, Standing::Waiting));
    assert_eq!(slot.failure().unwrap().code, "no_space");
    slot.retry();
    assert_eq!(slot.next_step(), Some(Step::Look));
}

#[test]
fn refusals_say_why() {
    let mut player = two_in_conflict();
    let slot = &mut player.devices[0].slot;
    let base = slot.record().base.unwrap();
    let code = |result: Result<(), Report>| result.unwrap_err().code;
    assert_eq!(code(slot.wish(Wish::Rollback(base))), "in_conflict");
    assert_eq!(code(slot.wish(Wish::Delete)), "in_conflict");
    assert_eq!(code(slot.wish(Wish::Resolve(super::super::tests::id(1)))), "unknown_snapshot");
    assert_eq!(code(slot.release()), "not_held");
    let mut fresh = Slot::restore(device(1), SlotRecord::default(), []);
    assert_eq!(code(fresh.wish(Wish::Resolve(base))), "no_conflict");
    assert_eq!(code(fresh.wish(Wish::Delete)), "no_save");
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }
}

/// One random history. Returns what happened in it, by name.
fn history(seed: u64) -> (BTreeMap<&'static str, u32>, Vec<u8>) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let count = 2 + random.below(4);
    let mut player = Player::new(count as u64);
    let mut fired: BTreeMap<&'static str, u32> = BTreeMap::new();
    for _ in 0..120 {
        let at = random.below(count);
        let mut fire = |name| *fired.entry(name).or_default() += 1;
        match random.below(26) {
            0..=3 if player.written < 200 => {
                fire("edit");
                player.edit(at);
            }
            4 => {
                fire("the same edit twice");
                let number = player.devices[(at + 1) % count].disk;
                if number != 0 {
                    player.write(at, number);
                }
            }
            5 => {
                fire("emptied");
                player.write(at, 0);
            }
            6 => {
                fire("partition");
                player.part[at] = random.below(3);
            }
            7 => {
                fire("crash before");
                player.devices[at].crash = Some(false);
            }
            8 => {
                fire("crash after");
                player.devices[at].crash = Some(true);
            }
            9 => {
                fire("game runs");
                player.devices[at].slot.running(true);
            }
            10 => player.devices[at].slot.running(false),
            11 => {
                fire("left alone");
                player.devices[at].slot.track(false);
            }
            12 => player.devices[at].slot.track(true),
            13 | 14 => {
                let slot = &mut player.devices[at].slot;
                let sides: Vec<SnapshotId> = slot.sides().into_iter().chain(slot.record().base).collect();
                if slot.standing() == Standing::Conflict && !sides.is_empty() {
                    fire("resolve");
                    slot.wish(Wish::Resolve(sides[random.below(sides.len())])).unwrap();
                }
            }
            15 => {
                let slot = &mut player.devices[at].slot;
                let known: Vec<SnapshotId> = slot.lineage().nodes().map(|n| n.id).collect();
                if !known.is_empty() && slot.wish(Wish::Rollback(known[random.below(known.len())])).is_ok() {
                    fire("rollback");
                }
            }
            16 => {
                if player.devices[at].slot.wish(Wish::Delete).is_ok() {
                    fire("delete");
                }
            }
            17 => {
                let slot = &mut player.devices[at].slot;
                if slot.standing() == Standing::Held {
                    fire("held");
                    if random.below(2) == 0 { slot.release().unwrap() } else { slot.restore_disk().unwrap() }
                }
            }
            18..=20 => player.exchange(),
            _ => {
                for _ in 0..=random.below(4) {
                    player.step(at);
                }
            }
        }
    }
    let on_disk: BTreeSet<u8> = player.disks().into_iter().filter(|n| *n != 0).collect();
    player.heal();
    let history = player.history();
    assert!(on_disk.is_subset(&history), "seed {seed}: {on_disk:?} was on a disk and is in no history {history:?}");
    // Every side is seen everywhere, and one choice anywhere settles it.
    for round in 0..6 {
        let heads: BTreeSet<_> = player.devices.iter().map(|d| d.slot.heads()).collect();
        assert_eq!(heads.len(), 1, "seed {seed}: the devices see different heads");
        if player.is_in_step() || player.devices.iter().all(|d| d.record.base.is_none()) {
            break;
        }
        assert!(round < 5, "seed {seed}: no end of conflicts: {:?}", player.standings());
        assert_eq!(player.standings(), BTreeSet::from([Standing::Conflict]), "seed {seed}: {:?}", player.disks());
        *fired.entry("conflict in the end").or_default() += 1;
        let slot = &mut player.devices[random.below(count)].slot;
        let sides: Vec<SnapshotId> = slot.sides().into_iter().chain(slot.record().base).collect();
        slot.wish(Wish::Resolve(sides[random.below(sides.len())])).unwrap();
        player.rest();
    }
    assert!(player.devices.iter().all(|d| d.record.copies.is_empty()), "seed {seed}: a conflict copy is left");
    assert!(history.is_subset(&player.history()), "seed {seed}");
    for at in 0..count {
        assert!(!player.step(at), "seed {seed}: a player at rest wants something");
    }
    (fired, player.disks())
}

/// `BONFIRE_SAVE_SEEDS=1000000` soaks; `BONFIRE_SAVE_SEED=17` runs one.
#[test]
fn devices_that_edit_part_crash_and_meet_lose_nothing_and_agree() {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let seeds = match number("BONFIRE_SAVE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BONFIRE_SAVE_SEEDS").unwrap_or(1_000),
    };
    let alone = seeds.end - seeds.start == 1;
    let mut fired: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in seeds {
        let (once, disks) = history(seed);
        if seed % 50 == 0 {
            assert_eq!((once.clone(), disks), history(seed), "seed {seed} does not replay");
        }
        for (name, times) in once {
            *fired.entry(name).or_default() += times;
        }
    }
    println!("{fired:?}");
    let all = [
        "edit",
        "the same edit twice",
        "emptied",
        "partition",
        "crash before",
        "crash after",
        "game runs",
        "left alone",
        "resolve",
        "rollback",
        "delete",
        "held",
        "conflict in the end",
    ];
    assert!(alone || all.iter().all(|name| fired.contains_key(name)), "never fired: {fired:?}");
}
