//! What of one simulated device's database survives a crash: every `Record` as the store keeps it, and a start's `Stored`
//! made of it. Owns the rule that no entry of a log is ever replaced by another; the snapshots themselves are `vault`'s.

use std::collections::BTreeMap;

use bonfire_engine::record::{KnownNode, KnownPlayer, KnownSet, KnownSlot, Record, Stored, StoredPlayer};
use bonfire_engine::replication::Life;
use bonfire_engine::replication::clock::ClockMark;
use bonfire_engine::replication::log::SharedLog;
use bonfire_engine::replication::state::{StateBoard, StateKey};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::work::SetKey;
use bonfire_proto::message_sync::{SharedEntry, StateMark, StateRecord, Watermark};
use bonfire_proto::{DeviceEpoch, PeerId, PlayerId, SnapshotId};

/// A database.
#[derive(Debug, Clone)]
pub(super) struct Durable {
    clock: ClockMark,
    epoch: DeviceEpoch,
    pub(super) players: BTreeMap<PlayerId, KnownPlayer>,
    logs: BTreeMap<PlayerId, Log>,
    boards: BTreeMap<PlayerId, Board>,
    pub(super) sets: BTreeMap<SetKey, KnownSet>,
    pub(super) slots: BTreeMap<Line, KnownSlot>,
    pub(super) nodes: BTreeMap<Line, BTreeMap<SnapshotId, KnownNode>>,
}

#[derive(Debug, Clone, Default)]
struct Log {
    entries: BTreeMap<(Life, u64), SharedEntry>,
    floors: BTreeMap<Life, Watermark>,
    acks: BTreeMap<(Life, Life), Watermark>,
}

#[derive(Debug, Clone, Default)]
struct Board {
    records: BTreeMap<StateKey, StateRecord>,
    marks: BTreeMap<PeerId, StateMark>,
}

impl Durable {
    /// A new database, which begins a life of its device.
    pub(super) fn new(epoch: DeviceEpoch) -> Self {
        Self {
            clock: ClockMark(0),
            epoch,
            players: BTreeMap::new(),
            logs: BTreeMap::new(),
            boards: BTreeMap::new(),
            sets: BTreeMap::new(),
            slots: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// Makes changes durable. Says what a real store would refuse.
    pub(super) fn write(&mut self, records: &[Record]) -> Result<(), String> {
        records.iter().try_for_each(|record| self.write_one(record))
    }

    fn write_one(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Clock(mark) => self.clock.0 = self.clock.0.max(mark.0),
            Record::Epoch(epoch) => self.epoch = *epoch,
            Record::Player(known) => {
                self.players.insert(known.player, known.clone());
            }
            Record::PlayerGone(player) => {
                self.players.remove(player);
                self.logs.remove(player);
                self.boards.remove(player);
            }
            Record::Token(_) | Record::TokenGone(_) | Record::Audit(_) => {}
            Record::Shared { player, entries, floors, acks } => {
                let log = self.logs.entry(*player).or_default();
                for entry in entries {
                    let held = log.entries.entry((Life::of(entry), entry.seq)).or_insert_with(|| entry.clone());
                    if held != entry {
                        return Err(format!("entry {} of {} replaces another", entry.seq, entry.device_id));
                    }
                }
                for floor in floors {
                    let held = log.floors.entry(Life::from(*floor)).or_insert(*floor);
                    held.seq = held.seq.max(floor.seq);
                }
                for (from, mark) in acks {
                    let held = log.acks.entry((*from, Life::from(*mark))).or_insert(*mark);
                    held.seq = held.seq.max(mark.seq);
                }
            }
            Record::State { player, gone, put, marks, removed } => {
                let board = self.boards.entry(*player).or_default();
                board.records.retain(|key, _| !gone.contains(key));
                board.marks.retain(|device, _| !removed.contains(device));
                board.records.extend(put.iter().map(|r| (StateKey::of(r), r.clone())));
                board.marks.extend(marks.iter().map(|m| (m.device_id, *m)));
            }
            Record::Set(known) => {
                self.sets.insert(known.set.clone(), known.clone());
            }
            Record::SetGone(set) => {
                self.sets.remove(set);
            }
            Record::Slot(known) => {
                self.slots.insert(known.line.clone(), known.clone());
            }
            Record::Nodes(line, nodes) => {
                self.nodes.entry(line.clone()).or_default().extend(nodes.iter().map(|n| (n.node.id, n.clone())));
            }
        }
        Ok(())
    }

    /// All of it, for a start of the device `me`.
    pub(super) fn stored(&self, me: PeerId) -> Result<Stored, String> {
        let life = Life { device: me, epoch: self.epoch };
        let mut players = Vec::new();
        for known in self.players.values() {
            let log = self.logs.get(&known.player).cloned().unwrap_or_default();
            let floors: Vec<Watermark> = log.floors.values().copied().collect();
            let acks = log.acks.iter().map(|((from, _), mark)| (*from, *mark));
            let count = log.entries.len();
            let log = SharedLog::restore(life, log.entries.values().cloned(), &floors, acks);
            let log = log.map_err(|e| format!("the log does not go together: {e}"))?;
            if log.entries().count() < count {
                return Err("an entry is missing before others of its author".to_owned());
            }
            let board = self.boards.get(&known.player).cloned().unwrap_or_default();
            let board = StateBoard::restore(me, self.epoch, board.records.into_values(), board.marks.into_values());
            players.push(StoredPlayer { known: known.clone(), log, board });
        }
        Ok(Stored {
            clock: self.clock,
            epoch: Some(self.epoch),
            players,
            tokens: Vec::new(),
            sets: self.sets.values().cloned().collect(),
            slots: self.slots.values().cloned().collect(),
            nodes: self.nodes.iter().map(|(line, nodes)| (line.clone(), nodes.values().cloned().collect())).collect(),
            sidecars: Vec::new(),
        })
    }
}
