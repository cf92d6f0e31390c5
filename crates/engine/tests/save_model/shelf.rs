//! Every snapshot that was made in any of the explored rooms, under a small number: a room is a few numbers and not its
//! snapshots. They are made by the engine's own builders.
//!
//! Beside each stands which operations of the player went into it, as its parents say. A room knows for itself what each
//! operation was made on top of; the two are compared, and neither is made from the other.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::saves::Node;
use bonfire_engine::saves::join::{self, Content, Line, Parents, Stamp};
use bonfire_engine::saves::slot::Make;
use bonfire_proto::save::{SnapshotKind, snapshot_id};
use bonfire_proto::{
    Digest, GameId, Hlc, PeerId, PlayerId, RelPath, SaveEntry, SaveHash, SlotName, Snapshot, SnapshotId,
};
use uuid::Uuid;

use crate::device::{Join, Resolve, Rules};

/// Number of a snapshot.
pub type Key = u16;

/// A set of operations, one bit each.
pub type Ops = u16;

/// Most operations of one device.
pub const OPS_EACH: u8 = 4;

/// What lies on a disk; 0 is nothing.
pub type Value = u8;

/// The value that any device may write.
pub const COMMON: Value = 1;

const SKEW_MS: u64 = 3 * 24 * 60 * 60 * 1000;

/// The value that only this operation writes.
pub fn fresh(op: u8) -> Value {
    10 + op
}

pub fn bit(op: u8) -> Ops {
    1 << op
}

pub fn peer(d: usize) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(d as u128 + 1))
}

#[derive(Debug)]
pub struct Made {
    pub node: Node,
    snapshot: Snapshot,
    pub parents: BTreeSet<Key>,
    /// What went into it, as its parents say.
    pub ops: Ops,
    pub value: Value,
}

#[derive(Debug)]
pub struct Shelf {
    made: Vec<Made>,
    keys: BTreeMap<SnapshotId, Key>,
    contents: BTreeMap<SaveHash, (Value, Content)>,
}

impl Shelf {
    pub fn new() -> Self {
        let values = (0..fresh(3 * OPS_EACH)).map(|value| (content(value), value));
        let contents = values.map(|(content, value)| (content.content_hash, (value, content))).collect();
        Self { made: Vec::new(), keys: BTreeMap::new(), contents }
    }

    pub fn get(&self, key: Key) -> &Made {
        &self.made[usize::from(key)]
    }

    pub fn key(&self, id: SnapshotId) -> Key {
        self.keys[&id]
    }

    pub fn keys(&self, ids: impl IntoIterator<Item = SnapshotId>) -> BTreeSet<Key> {
        ids.into_iter().map(|id| self.key(id)).collect()
    }

    pub fn ids(&self, keys: impl IntoIterator<Item = Key>) -> BTreeSet<SnapshotId> {
        keys.into_iter().map(|key| self.get(key).node.id).collect()
    }

    /// All that went into any of these.
    pub fn ops(&self, keys: impl IntoIterator<Item = Key>) -> Ops {
        keys.into_iter().fold(0, |ops, key| ops | self.get(key).ops)
    }

    /// Whether `new` is `old` or has it above itself.
    pub fn is_made_from(&self, new: Key, old: Key) -> bool {
        let (mut seen, mut due) = (BTreeSet::new(), vec![new]);
        while let Some(key) = due.pop() {
            if key == old {
                return true;
            }
            if seen.insert(key) {
                due.extend(&self.get(key).parents);
            }
        }
        false
    }

    /// What a join keeps although one of its parents is a deletion.
    pub fn survivor(&self, key: Key) -> Option<Value> {
        let made = self.get(key);
        let is_join = made.node.kind == SnapshotKind::Merge && made.value != 0;
        let is_deletion = |key: &Key| self.get(*key).value == 0;
        (is_join && made.parents.iter().any(is_deletion)).then_some(made.value)
    }

    pub fn value(&self, hash: SaveHash) -> Value {
        self.contents[&hash].0
    }

    pub fn content(&self, value: Value) -> &Content {
        self.contents.values().find(|(v, _)| *v == value).map(|(_, content)| content).unwrap()
    }

    /// Makes what device `d` wants made, with the player's operation `op` in it, if one is; `seen` is the look.
    pub fn make(&mut self, d: usize, make: &Make, seen: Value, op: Option<u8>, rules: Rules) -> Key {
        let parents_of = |ids: &BTreeSet<SnapshotId>| -> Vec<Key> { ids.iter().map(|id| self.key(*id)).collect() };
        let with = |keys: &[Key]| -> Parents<'_> {
            keys.iter().map(|key| (self.get(*key).node.id, &self.get(*key).snapshot)).collect()
        };
        let snapshot = match make {
            Make::Version { parents, .. } => {
                join::version(&line(), &with(&parents_of(parents)), self.content(seen).clone(), stamp(d, op))
            }
            Make::Tombstone { parents } => join::tombstone(&with(&parents_of(parents)), stamp(d, op)),
            Make::Join { parents } => join::join(&with(&parents_of(parents))).map(|joined| match rules.join {
                Join::OfItsParents => joined,
                Join::Signed => Snapshot { device: peer(d), ..joined },
            }),
            Make::Resolve { parents, content } => {
                let chosen = self.key(*content);
                let parents = match rules.resolve {
                    Resolve::AllHeads => parents_of(parents),
                    Resolve::OneParent => vec![chosen],
                };
                join::resolve(&with(&parents), &self.get(chosen).snapshot, stamp(d, op))
            }
            Make::Rollback { .. } => unreachable!("nobody goes back in this model"),
        };
        self.keep(snapshot.unwrap(), op)
    }

    fn keep(&mut self, snapshot: Snapshot, op: Option<u8>) -> Key {
        let id = snapshot_id(&snapshot.to_bytes().unwrap());
        if let Some(key) = self.keys.get(&id) {
            return *key;
        }
        let parents: BTreeSet<Key> = self.keys(snapshot.parents.iter().copied());
        let ops = self.ops(parents.iter().copied()) | op.map_or(0, bit);
        let value = self.value(snapshot.content_hash);
        let key = Key::try_from(self.made.len()).unwrap();
        self.made.push(Made { node: Node::of(id, &snapshot), snapshot, parents, ops, value });
        self.keys.insert(id, key);
        key
    }
}

/// The clock of each device is days ahead of that of the one before.
fn stamp(d: usize, op: Option<u8>) -> Stamp {
    let number = u64::from(op.unwrap_or(u8::MAX));
    let ms = number + SKEW_MS * d as u64;
    Stamp { device: peer(d), hlc: Hlc { ms, count: 0, device: peer(d) }, created_at: ms, note: None }
}

fn content(value: Value) -> Content {
    if value == 0 {
        return Content::none();
    }
    let entries = vec![SaveEntry {
        path: RelPath::new("save/world").unwrap(),
        size: 100,
        mtime: 0,
        blake3: Digest([value; 32]),
        archive: None,
        pieces: Vec::new(),
    }];
    let content_hash = bonfire_proto::save::content_hash(&entries);
    Content { content_hash, files: 1, size: 100, played_ms: 0, entries, list: Vec::new() }
}

fn line() -> Line {
    Line { player: PlayerId(Uuid::from_u128(1)), game_id: GameId::new("nethack").unwrap(), slot: SlotName::main() }
}
