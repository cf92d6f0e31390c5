//! What of players and saves is made durable, as the engine says it: the changes of a batch go into one transaction, before
//! any later effect runs. Types, and that rule.

use bonfire_proto::message_pair::{DeviceRole, TokenName};
use bonfire_proto::message_sync::{SharedEntry, StateMark, StateRecord, Watermark};
use bonfire_proto::{DeviceEpoch, Digest, PeerId, PlayerId};
use serde::{Deserialize, Serialize};

use crate::input::Effect;
use crate::replication::Life;
use crate::replication::clock::ClockMark;
use crate::replication::state::StateKey;
use crate::saves::join::Line;
use crate::saves::lineage::Node;
use crate::saves::slot::SlotRecord;
use crate::saves::work::{Placement, SetKey};
use crate::saves_view::AuditEntry;
use crate::sidecars::work::Sidecar;

/// A batch with all that it records in one transaction, at the place of the first: a commit costs a sync of the disk, and what
/// is decided may be durable sooner than it has to be.
pub(crate) fn together(effects: Vec<Effect>) -> Vec<Effect> {
    let (mut out, mut first) = (Vec::with_capacity(effects.len()), None);
    for effect in effects {
        match (effect, first) {
            (Effect::Record(records), None) => {
                first = Some(out.len());
                out.push(Effect::Record(records));
            }
            (Effect::Record(more), Some(at)) => {
                if let Some(Effect::Record(records)) = out.get_mut(at) {
                    records.extend(more);
                }
            }
            (other, _) => out.push(other),
        }
    }
    out
}

/// One change.
#[derive(Debug, Clone)]
pub enum Record {
    /// What the clock goes beyond after a start.
    Clock(ClockMark),
    /// A new life of this device.
    Epoch(DeviceEpoch),
    /// A player is held here.
    Player(KnownPlayer),
    /// A player is held here no more.
    PlayerGone(PlayerId),
    /// A token by which devices join.
    Token(KnownToken),
    /// A token is used no more.
    TokenGone(TokenName),
    /// The shared log grew.
    Shared {
        /// Whose.
        player: PlayerId,
        /// Entries that are held now.
        entries: Vec<SharedEntry>,
        /// Up to where entries may be missing.
        floors: Vec<Watermark>,
        /// Who said to hold what.
        acks: Vec<(Life, Watermark)>,
    },
    /// Device-owned state changed.
    State {
        /// Whose.
        player: PlayerId,
        /// Records that fell away, removed before `put` is written.
        gone: Vec<StateKey>,
        /// Records to put in or replace.
        put: Vec<StateRecord>,
        /// How completely owners are held.
        marks: Vec<StateMark>,
        /// Owners that are no devices of the player any more.
        removed: Vec<PeerId>,
    },
    /// Where a save set lies here.
    Set(KnownSet),
    /// A save set does not lie here any more.
    SetGone(SetKey),
    /// Where a line stands here.
    Slot(KnownSlot),
    /// Snapshots that are known here.
    Nodes(Line, Vec<KnownNode>),
    /// What was done.
    Audit(AuditEntry),
}

/// A player of this device, as far as nothing but this device knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPlayer {
    /// The player.
    pub player: PlayerId,
    /// Its name, until the log has one.
    pub name: String,
    /// As what this device was paired.
    pub role: DeviceRole,
    /// Devices that are believed because of a pairing whose entry is yet to come, or, when the log was lost, because they
    /// were the player's.
    pub vouched: Vec<Vouched>,
}

/// A device that is believed in without an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// The device.
    pub device: PeerId,
    /// Its life at that time.
    pub epoch: DeviceEpoch,
    /// The whole hash of its key.
    pub key_hash: Digest,
    /// As what it counts.
    pub role: DeviceRole,
    /// Its name for people.
    pub name: String,
}

/// A token by which devices join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownToken {
    /// The token, as it was shown.
    pub token: String,
    /// The player that a device joins by it.
    pub player: PlayerId,
    /// As what.
    pub role: DeviceRole,
}

/// Where a save set lies here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSet {
    /// Which.
    pub set: SetKey,
    /// Where.
    pub place: Placement,
    /// The line whose files are on the disk.
    pub slot: bonfire_proto::SlotName,
}

/// Where a line stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSlot {
    /// Which.
    pub line: Line,
    /// Base and conflict copies; `is_untracked` is what the player said.
    pub record: SlotRecord,
    /// When the disk was last brought to a head, in milliseconds since 1970-01-01 UTC.
    pub last_synced_at: Option<u64>,
}

/// What is known of a snapshot here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNode {
    /// The snapshot.
    pub node: Node,
    /// Whether all of it is stored.
    pub holding: Holding,
}

/// Whether a snapshot is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holding {
    /// With all of its objects.
    Whole,
    /// It is known only; the rest is wanted.
    Named,
    /// It was pruned here, and is not fetched again by itself.
    Pruned,
}

/// All of it, as it was last made durable, for a start.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The clock.
    pub clock: ClockMark,
    /// This device's life.
    pub epoch: Option<DeviceEpoch>,
    /// Players.
    pub players: Vec<StoredPlayer>,
    /// Tokens.
    pub tokens: Vec<KnownToken>,
    /// Save sets.
    pub sets: Vec<KnownSet>,
    /// Lines.
    pub slots: Vec<KnownSlot>,
    /// Snapshots by line. What of it is whole, the store of snapshots has decided.
    pub nodes: Vec<(Line, Vec<KnownNode>)>,
    /// Pictures of snapshots that lie in the data folder.
    pub sidecars: Vec<Sidecar>,
}

/// A player with its log and state.
#[derive(Debug, Clone)]
pub struct StoredPlayer {
    /// What this device knows of it.
    pub known: KnownPlayer,
    /// The log.
    pub log: crate::replication::log::SharedLog,
    /// Device-owned state.
    pub board: crate::replication::state::StateBoard,
}

#[cfg(test)]
mod tests {
    use bonfire_proto::{GameId, PlayerId};
    use uuid::Uuid;

    use super::*;

    fn gone(n: u128) -> Record {
        Record::PlayerGone(PlayerId(Uuid::from_u128(n)))
    }

    #[test]
    fn what_a_batch_records_is_one_transaction_before_anything_that_followed_the_first_of_it() {
        let scan = |id: &str| Effect::Scan(Some(GameId::new(id).unwrap()));
        let batch = vec![scan("a"), Effect::Record(vec![gone(1)]), scan("b"), Effect::Record(vec![gone(2), gone(3)])];
        let shown: Vec<String> = together(batch).iter().map(|e| format!("{e:?}")).collect();
        let expected = [scan("a"), Effect::Record(vec![gone(1), gone(2), gone(3)]), scan("b")];
        assert_eq!(shown, expected.map(|e| format!("{e:?}")));
        assert!(together(Vec::new()).is_empty());
    }
}
