//! One simulated device: what survives a crash, what does not, how it crashes, loses its database and starts again as its
//! shell would start it. Owns no time and no connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use bonfire_engine::command::Command;
use bonfire_engine::engine::Setup;
use bonfire_engine::input::{CommandId, Input};
use bonfire_engine::library::StoredLibrary;
use bonfire_engine::players::About;
use bonfire_engine::record::{Holding, KnownNode, KnownPlayer, KnownSlot, Record};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::slot::SlotRecord;
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::trust::Roster;
use bonfire_engine::{Engine, Instant};
use bonfire_proto::{DeviceEpoch, Digest, LibraryEpoch, PeerId, PlayerId, SaveHash, SnapshotId};
use uuid::Uuid;

use super::durable::Durable;
use super::jobs::Run;
use super::planted::Planted;
use super::vault::{Files, Vault, hash_of};
use super::world::{Event, World};
use crate::sim_room::Dice;

/// Where a device crashes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Crash {
    BeforeRecord,
    AfterRecord,
    BetweenStoreAndRecord,
    BetweenApplyAndRecord,
    InFetch,
    InLook,
}

/// The live files of a save set on one device.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) files: Files,
    /// Counts writes.
    pub(super) writes: u64,
    /// Conflict copies beside the live files.
    pub(super) copies: BTreeSet<SnapshotId>,
    /// A game that runs, and whether it can be seen to.
    pub(super) game: Option<Game>,
    /// Every content that was ever here.
    pub(super) had: BTreeSet<SaveHash>,
    /// The line and snapshot that an apply put here, until somebody else writes.
    pub(super) applied: Option<(Line, SnapshotId)>,
    /// Whether a play session was promised that nothing is applied.
    pub(super) is_promised: bool,
    /// Whether the person said, since it was last whole, that what is missing is meant to be.
    pub(super) may_shrink: bool,
}

/// A game that runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Game {
    pub(super) is_seen: bool,
}

impl Disk {
    /// Somebody other than us writes.
    pub(super) fn write(&mut self, files: Files) {
        self.had.insert(hash_of(&files));
        self.files = files;
        self.writes += 1;
        self.applied = None;
    }
}

/// One device.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) id: PeerId,
    pub(super) key_hash: Digest,
    pub(super) name: String,
    pub(super) engine: Option<Engine>,
    pub(super) boot: u64,
    pub(super) started: u64,
    /// How far its wall clock is off.
    pub(super) skew: i64,
    pub(super) db: Durable,
    /// `players.json`.
    pub(super) players_file: BTreeMap<PlayerId, KnownPlayer>,
    pub(super) vault: Vault,
    pub(super) disks: BTreeMap<SetKey, Disk>,
    pub(super) runs: BTreeMap<u64, Run>,
    pub(super) captures: BTreeMap<u64, Files>,
    /// Applies whose end is not recorded.
    pub(super) journal: BTreeMap<SetKey, (Line, SnapshotId)>,
    pub(super) roster: Roster,
    pub(super) deadline: Option<u64>,
    pub(super) waiting: BTreeMap<CommandId, Command>,
    pub(super) crash: Option<Crash>,
    pub(super) is_full: bool,
    pub(super) is_off: bool,
    pub(super) untracked: BTreeSet<Line>,
    pub(super) pairs: u64,
}

impl World {
    pub(super) fn record(&mut self, m: usize, records: &[Record]) {
        let machine = &mut self.machines[m];
        if let Err(why) = machine.db.write(records) {
            self.wrong(format!("{m} records what no store takes: {why}"));
            return;
        }
        for record in records {
            match record {
                Record::Player(known) => {
                    machine.players_file.insert(known.player, known.clone());
                }
                Record::PlayerGone(player) => {
                    machine.players_file.remove(player);
                }
                Record::Slot(known) => {
                    let set = SetKey::of(&known.line);
                    let is_it = |(line, to): &(Line, SnapshotId)| *line == known.line && Some(*to) == known.record.base;
                    if machine.journal.get(&set).is_some_and(is_it) {
                        machine.journal.remove(&set);
                    }
                }
                _ => {}
            }
        }
    }

    /// Crashes a device when it is to crash here.
    pub(super) fn crashes(&mut self, m: usize, at: Crash) -> bool {
        if self.machines[m].crash != Some(at) {
            return false;
        }
        self.machines[m].crash = None;
        self.fired(match at {
            Crash::BeforeRecord => "crash before a record",
            Crash::AfterRecord => "crash after a record",
            Crash::BetweenStoreAndRecord => "crash between a store's put and the record",
            Crash::BetweenApplyAndRecord => "crash after an apply before its record",
            Crash::InFetch => "crash in a fetch",
            Crash::InLook => "crash in a look",
        });
        let back = self.takes(200, 20_000);
        self.crash(m, back);
        true
    }

    /// Ends a device's peer without a word; it is back after a while.
    pub(super) fn crash(&mut self, m: usize, back: u64) {
        self.note(format_args!("{m} CRASH"));
        let machine = &mut self.machines[m];
        machine.engine = None;
        machine.boot += 1;
        machine.runs.clear();
        machine.captures.clear();
        machine.waiting.clear();
        machine.deadline = None;
        for disk in machine.disks.values_mut() {
            disk.is_promised = false;
        }
        let wires: Vec<u64> =
            self.wires.iter().filter(|(_, w)| !w.is_dead && w.ends.contains(&m)).map(|(id, _)| *id).collect();
        for wire in wires {
            self.close(wire, Some(m));
        }
        self.later(back, Event::Boot(m));
    }

    /// Loses the database; the players file and the snapshots stay.
    pub(super) fn lose_database(&mut self, m: usize) {
        let epoch = self.epoch();
        self.note(format_args!("{m} DATABASE LOST"));
        let machine = &mut self.machines[m];
        machine.db = Durable::new(epoch);
        machine.vault.texts.clear();
        machine.untracked.clear();
        for known in machine.players_file.values() {
            machine.db.players.insert(known.player, known.clone());
        }
    }

    fn epoch(&mut self) -> DeviceEpoch {
        DeviceEpoch(self.uuid())
    }

    fn uuid(&mut self) -> Uuid {
        let bytes = self.ids.bytes();
        let mut half = [0u8; 16];
        half.copy_from_slice(&bytes[..16]);
        Uuid::new_v8(half)
    }

    /// Starts a device's peer as its shell does: what was cut off is finished, what is stored is looked through.
    pub(super) fn boot(&mut self, m: usize) {
        if self.machines[m].engine.is_some() || self.machines[m].is_off {
            return;
        }
        self.note(format_args!("{m} BOOT"));
        self.stirred_at = self.now;
        let (seed, planted) = (self.ids.bytes(), self.planted);
        let machine = &mut self.machines[m];
        for (set, (line, to)) in std::mem::take(&mut machine.journal) {
            let fresh = || KnownSlot { line: line.clone(), record: SlotRecord::default(), last_synced_at: None };
            machine.db.slots.entry(line.clone()).or_insert_with(fresh).record.base = Some(to);
            if let Some(known) = machine.db.sets.get_mut(&set) {
                known.slot = line.slot.clone();
            }
        }
        for nodes in machine.db.nodes.values_mut() {
            for known in nodes.values_mut() {
                known.holding = match known.holding {
                    _ if machine.vault.whole.contains_key(&known.node.id) => Holding::Whole,
                    Holding::Whole => Holding::Named,
                    other => other,
                };
            }
        }
        for (line, node) in machine.vault.nodes() {
            if planted != Some(Planted::ForgottenAtCrash) && machine.vault.whole.contains_key(&node.id) {
                let known = KnownNode { node, holding: Holding::Whole };
                machine.db.nodes.entry(line).or_default().entry(known.node.id).or_insert(known);
            }
        }
        for disk in machine.disks.values() {
            for id in &disk.copies {
                // The store knows the copies that it wrote.
                if let Some(line) = machine.vault.snapshot(id).map(|s| Line::of(&s)) {
                    let fresh =
                        || KnownSlot { line: line.clone(), record: SlotRecord::default(), last_synced_at: None };
                    machine.db.slots.entry(line.clone()).or_insert_with(fresh).record.copies.insert(*id);
                }
            }
        }
        let stored = match machine.db.stored(machine.id) {
            Ok(stored) => stored,
            Err(why) => return self.wrong(format!("{m} cannot start: {why}")),
        };
        let epoch = LibraryEpoch(machine.id.as_uuid().to_owned());
        let setup = Setup {
            me: machine.id,
            name: machine.name.clone(),
            library: StoredLibrary { epoch, rev: 0, floor_rev: 0, rows: Vec::new(), removed: Vec::new() },
            resumable: BTreeMap::new(),
            static_peers: Vec::new(),
            key_hash: machine.key_hash,
            seed,
            about: About { platform: "linux".to_owned(), client: "bonfire".to_owned(), ..About::default() },
            stored,
        };
        machine.started = self.now;
        machine.engine = Some(Engine::new(Instant(0), setup));
        self.give(m, Input::Listening(SocketAddr::from(([10, 0, 0, 1], 4_000))));
        for other in 0..self.machines.len() {
            self.connect_soon(m, other);
        }
    }
}

impl Machine {
    pub(super) fn new(n: usize, ids: &mut Dice) -> Self {
        let bytes = ids.bytes();
        let mut half = [0u8; 16];
        half.copy_from_slice(&bytes[..16]);
        let epoch = DeviceEpoch(Uuid::new_v8(half));
        half.copy_from_slice(&bytes[16..]);
        Self {
            id: PeerId::from_uuid(Uuid::new_v8(half)),
            key_hash: Digest(ids.bytes()),
            name: format!("device {n}"),
            engine: None,
            boot: 0,
            started: 0,
            skew: 0,
            db: Durable::new(epoch),
            players_file: BTreeMap::new(),
            vault: Vault::default(),
            disks: BTreeMap::new(),
            runs: BTreeMap::new(),
            captures: BTreeMap::new(),
            journal: BTreeMap::new(),
            roster: Roster::default(),
            deadline: None,
            waiting: BTreeMap::new(),
            crash: None,
            is_full: false,
            is_off: false,
            untracked: BTreeSet::new(),
            pairs: 0,
        }
    }
}
