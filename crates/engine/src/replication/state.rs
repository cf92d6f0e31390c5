//! Device-owned state: what each device says of itself, as far as this device has heard.
//!
//! Owns the records of all owners of one player, and how completely each owner is known. The owner counts its changes, so
//! a record's newest version is the one with the highest count; there is nothing to merge.
//!
//! **A lost database.** The owner begins a new life and counts from 1 again, which by itself would lose against what others
//! still hold. Lives are therefore numbered (`generation`). Whenever a device hears a record of its own that it did not
//! write in this life, it takes the next generation and says everything anew; all that others hold of an earlier
//! generation falls away. No clock is asked, and it is enough that one device that holds the old state is met, at
//! whatever time. A device asks what others hold of it before it says anything after a start; what it says before, on
//! top of a database that was put back, others may take for what they hold already.
//!
//! **Relays.** A copy from another device is taken when it is newer than what is held. One that claims more than the owner
//! ever said does not last: it reaches the owner like every other, and the owner goes beyond it.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::limits::{PAGE_LEN_MAX, RECORDS_PER_PAGE};
use bonfire_proto::message_sync::{RecordData, StateMark, StateRecord, check_data, check_model_type};
use bonfire_proto::{DeviceEpoch, PeerId};
use uuid::Uuid;

use super::model::{self, Model};
use crate::report::ErrorClass;
use crate::time::UnixMillis;

/// Most records of one owner: a slot of each of thousands of games.
pub const RECORDS_PER_OWNER_MAX: usize = 20_000;

/// Why a record is not taken. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// A field is out of bounds.
    #[error("state of {owner}: {field} is out of bounds")]
    Bounds {
        /// Whose.
        owner: PeerId,
        /// The field.
        field: &'static str,
    },
    /// The owner is no device of the player, or is one no more.
    #[error("{owner} is no device of this player")]
    NotADevice {
        /// Whose.
        owner: PeerId,
    },
    /// The owner has `RECORDS_PER_OWNER_MAX` records.
    #[error("{owner} has too many records")]
    TooMany {
        /// Whose.
        owner: PeerId,
    },
    /// Another record is held under the same life and count: someone is lying.
    #[error("version {version} of {owner} differs from the one that is held")]
    Conflicting {
        /// Whose.
        owner: PeerId,
        /// Which.
        version: u64,
    },
}

impl StateError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Bounds { .. } | Self::TooMany { .. } => ErrorClass::Remote,
            Self::NotADevice { .. } => ErrorClass::Refused,
            Self::Conflicting { .. } => ErrorClass::Corruption,
        }
    }

    /// Whether the same may succeed later by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Names a record: its owner, its kind, its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateKey {
    /// The owner.
    pub device: PeerId,
    /// Kind of the record.
    pub model_type: String,
    /// The record.
    pub record_uuid: Uuid,
}

impl StateKey {
    /// The record that this is a version of.
    #[must_use]
    pub fn of(record: &StateRecord) -> Self {
        Self { device: record.device_id, model_type: record.model_type.clone(), record_uuid: record.record_uuid }
    }
}

/// What has to be durable, together, before anything is sent or shown because of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateReceipt {
    /// Records to put in or replace. Those of this device have to be told to all others.
    pub put: Vec<StateRecord>,
    /// Records that fell away with an earlier life of their owner.
    pub gone: Vec<StateKey>,
    /// What is held completely and was not before.
    pub marks: Vec<StateMark>,
    /// Records of this device as others held them from an earlier life, for what only they still know (`is_untracked`).
    pub former: Vec<StateRecord>,
    /// What was not taken, and why.
    pub refused: Vec<StateError>,
}

/// One page of what an asker does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatePage {
    /// Records, those of one owner in the order of `version`.
    pub records: Vec<StateRecord>,
    /// What the asker holds completely with this page.
    pub up_to: Vec<StateMark>,
    /// Whether there is more.
    pub has_more: bool,
}

/// What an asker wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateQuery<'a> {
    /// Who asks. It is told what is held of its own earlier lives.
    pub asker: PeerId,
    /// Kinds of records; all when empty.
    pub model_types: &'a [String],
    /// The one owner; all when `None`.
    pub device: Option<PeerId>,
    /// What it holds completely.
    pub since: &'a [StateMark],
    /// Most records of the page; at least one is given.
    pub limit: usize,
}

/// The device-owned state of one player's devices, as this device holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateBoard {
    /// This device's own position: its life and its last change.
    me: StateMark,
    records: BTreeMap<StateKey, StateRecord>,
    /// How completely each other owner is known, in the newest of its lives.
    marks: BTreeMap<PeerId, StateMark>,
}

impl StateBoard {
    /// Nothing yet, on a device in this life.
    #[must_use]
    pub fn new(device: PeerId, epoch: DeviceEpoch) -> Self {
        let me = StateMark { device_id: device, generation: 1, device_epoch: epoch, version: 0 };
        Self { me, records: BTreeMap::new(), marks: BTreeMap::new() }
    }

    /// The board that was made durable; the mark of this device among `marks` is its own position.
    #[must_use]
    pub fn restore(
        device: PeerId,
        epoch: DeviceEpoch,
        records: impl IntoIterator<Item = StateRecord>,
        marks: impl IntoIterator<Item = StateMark>,
    ) -> Self {
        let mut board = Self::new(device, epoch);
        board.records = records.into_iter().map(|r| (StateKey::of(&r), r)).collect();
        board.marks = marks.into_iter().map(|m| (m.device_id, m)).collect();
        match board.marks.remove(&device) {
            Some(mine) if mine.device_epoch == epoch => board.me = mine,
            // The device goes on in a new life: what it said in the one before must not stand beside it, or above it.
            Some(former) => board.me.generation = former.generation.saturating_add(1),
            None => {}
        }
        let mine = life(&board.me);
        board.records.retain(|key, record| key.device != device || life(&record.mark()) == mine);
        board
    }

    /// Says something of this device; `None` for `data` says that a record is no more. Returns the record with its new
    /// version and this device's own position, both to be made durable, or `None` when that was said already.
    ///
    /// # Errors
    /// `Bounds` and `TooMany`.
    pub fn publish(
        &mut self,
        model_type: &str,
        record_uuid: Uuid,
        data: Option<RecordData>,
        now: UnixMillis,
    ) -> Result<Option<StateReceipt>, StateError> {
        let owner = self.me.device_id;
        let bounds = |field| StateError::Bounds { owner, field };
        check_model_type(model_type).map_err(bounds)?;
        data.as_ref().map_or(Ok(()), check_data).map_err(bounds)?;
        let key = StateKey { device: owner, model_type: model_type.to_owned(), record_uuid };
        let said = self.records.get(&key);
        if said.and_then(|r| r.data.as_ref()) == data.as_ref() {
            return Ok(None);
        }
        if said.is_none() && self.of_owner(owner).count() >= RECORDS_PER_OWNER_MAX {
            return Err(StateError::TooMany { owner });
        }
        let (me, version) = (self.me, self.me.version + 1);
        self.me.version = version;
        let record = StateRecord {
            device_id: owner,
            device_epoch: me.device_epoch,
            generation: me.generation,
            version,
            model_type: key.model_type.clone(),
            record_uuid,
            data,
            timestamp: now.0,
        };
        self.records.insert(key, record.clone());
        Ok(Some(StateReceipt { put: vec![record], marks: vec![self.me], ..StateReceipt::default() }))
    }

    /// As `publish`, of a kind that this version knows.
    ///
    /// # Errors
    /// As `publish`.
    pub fn publish_model<M: Model>(
        &mut self,
        record_uuid: Uuid,
        record: &M,
        now: UnixMillis,
    ) -> Result<Option<StateReceipt>, StateError> {
        self.publish(M::TYPE, record_uuid, Some(model::write(record)), now)
    }

    /// Takes in records, of whichever owner and from whichever device, and for the answer to a request what is complete
    /// with it. `devices` are those of the player.
    ///
    /// When one of them is this device's own and not of this life, everything of this device is said anew.
    pub fn receive(
        &mut self,
        records: Vec<StateRecord>,
        up_to: &[StateMark],
        devices: &BTreeSet<PeerId>,
        now: UnixMillis,
    ) -> StateReceipt {
        let mut receipt = StateReceipt::default();
        let mut beyond = self.me.generation;
        for record in records {
            let owner = record.device_id;
            if let Err(field) = record.check() {
                receipt.refused.push(StateError::Bounds { owner, field });
            } else if owner == self.me.device_id {
                if !self.is_mine(&record) {
                    beyond = beyond.max(record.generation.saturating_add(1));
                    receipt.former.push(record);
                }
            } else if devices.contains(&owner) {
                self.take(record, &mut receipt);
            } else {
                receipt.refused.push(StateError::NotADevice { owner });
            }
        }
        for mark in up_to {
            if mark.device_id == self.me.device_id {
                // An earlier life of which nothing is left but the count.
                if life(mark) > life(&self.me) || (life(mark) == life(&self.me) && mark.version > self.me.version) {
                    beyond = beyond.max(mark.generation.saturating_add(1));
                }
            } else if devices.contains(&mark.device_id) {
                self.complete(*mark, &mut receipt);
            }
        }
        if beyond > self.me.generation {
            self.go_beyond(beyond, now, &mut receipt);
        }
        receipt
    }

    /// What an asker does not hold. Of an owner that the asker knows in a later life it is nothing.
    #[must_use]
    pub fn page(&self, query: &StateQuery<'_>) -> StatePage {
        let mut page = StatePage::default();
        let mut room = Room { records: query.limit.clamp(1, RECORDS_PER_PAGE), bytes: PAGE_LEN_MAX };
        let mut beyond = Vec::new();
        for mark in self.marks().into_iter().filter(|m| query.device.is_none_or(|d| d == m.device_id)) {
            let known = query.since.iter().find(|m| m.device_id == mark.device_id);
            let goes_beyond = mark.device_id == query.asker && known.is_some_and(|k| k.generation == mark.generation);
            if known.is_some_and(|k| life(k) > life(&mark)) && !goes_beyond {
                continue;
            }
            let is_new = known.is_none_or(|k| life(k) != life(&mark));
            let from = known.filter(|_| !is_new).map_or(0, |k| k.version);
            let wanted = |r: &&StateRecord| query.model_types.is_empty() || query.model_types.contains(&r.model_type);
            let mut records: Vec<_> = self.of_owner(mark.device_id).filter(wanted).collect();
            records.retain(|r| r.version > from);
            records.sort_by_key(|r| r.version);
            let whole = records.partition_point(|r| r.version <= mark.version);
            beyond.extend(records.split_off(whole));
            let mut to = mark.version;
            for (at, record) in records.iter().enumerate() {
                if !room.takes(record, &mut page) {
                    page.has_more = true;
                    to = at.checked_sub(1).map_or(from, |last| records[last].version);
                    break;
                }
            }
            let ends_a_life = is_new && mark.generation > 1 && !page.has_more;
            if query.model_types.is_empty() && (to > from || ends_a_life) {
                page.up_to.push(StateMark { version: to, ..mark });
            }
            if page.has_more {
                return page;
            }
        }
        // Where something is missing here as well, what came after it goes along as far as there is room.
        for record in beyond {
            if !room.takes(record, &mut page) {
                break;
            }
        }
        page
    }

    /// How completely each owner is known, this device included: for a request.
    #[must_use]
    pub fn marks(&self) -> Vec<StateMark> {
        // A later life without a record has to be told of, too: it ends what was said in the one before.
        let mine = Some(self.me).filter(|m| m.version > 0 || m.generation > 1);
        let mut all: Vec<StateMark> = self.marks.values().copied().chain(mine).collect();
        all.sort_unstable();
        all
    }

    /// Forgets what devices said that are the player's no more. Returns the records, to be removed from the store too.
    pub fn retain(&mut self, devices: &BTreeSet<PeerId>) -> Vec<StateKey> {
        let me = self.me.device_id;
        let stays = |device: &PeerId| *device == me || devices.contains(device);
        self.marks.retain(|device, _| stays(device));
        let gone: Vec<StateKey> = self.records.keys().filter(|k| !stays(&k.device)).cloned().collect();
        self.records.retain(|k, _| stays(&k.device));
        gone
    }

    /// What an owner says of a record, as far as this version can read it.
    #[must_use]
    pub fn get<M: Model>(&self, device: PeerId, record_uuid: Uuid) -> Option<M> {
        let key = StateKey { device, model_type: M::TYPE.to_owned(), record_uuid };
        model::read(self.records.get(&key)?.data.as_ref()?)
    }

    /// What every owner says of its records of a kind, as far as this version can read them.
    pub fn all<M: Model>(&self) -> impl Iterator<Item = (PeerId, Uuid, M)> {
        self.records.values().filter(|r| r.model_type == M::TYPE).filter_map(|r| {
            let read = model::read(r.data.as_ref()?)?;
            Some((r.device_id, r.record_uuid, read))
        })
    }

    /// Whether something that the owner said before this record, which is held, is not.
    #[must_use]
    pub fn misses_before(&self, record: &StateRecord) -> bool {
        let is_mine = record.device_id == self.me.device_id;
        !is_mine && self.marks.get(&record.device_id).is_none_or(|mark| mark.version < record.version)
    }

    /// Every record that is held.
    pub fn records(&self) -> impl Iterator<Item = &StateRecord> {
        self.records.values()
    }

    fn of_owner(&self, device: PeerId) -> impl Iterator<Item = &StateRecord> {
        let first = StateKey { device, model_type: String::new(), record_uuid: Uuid::nil() };
        self.records.range(first..).map(|(_, r)| r).take_while(move |r| r.device_id == device)
    }

    /// Whether this device said so, in this life or an earlier one that it went beyond.
    fn is_mine(&self, record: &StateRecord) -> bool {
        let (theirs, mine) = (record.mark(), self.me);
        if theirs.generation != mine.generation {
            return theirs.generation < mine.generation;
        }
        // The same number for another life, or a count that was never reached: the database was lost or put back.
        let held = self.records.get(&StateKey::of(record)).filter(|h| h.version == record.version);
        life(&theirs) == life(&mine) && theirs.version <= mine.version && held.is_none_or(|h| h == record)
    }

    fn take(&mut self, record: StateRecord, receipt: &mut StateReceipt) {
        let (owner, theirs) = (record.device_id, record.mark());
        let known = self.marks.get(&owner).map(life);
        if known > Some(life(&theirs)) {
            return;
        }
        let key = StateKey::of(&record);
        let held = self.records.get(&key);
        match held {
            Some(held) if held.mark() == theirs && *held != record => {
                receipt.refused.push(StateError::Conflicting { owner, version: record.version });
                return;
            }
            Some(held) if held.mark() >= theirs => return,
            None if known == Some(life(&theirs)) && self.of_owner(owner).count() >= RECORDS_PER_OWNER_MAX => {
                receipt.refused.push(StateError::TooMany { owner });
                return;
            }
            _ => {}
        }
        if known != Some(life(&theirs)) {
            self.forget_before(&theirs, receipt);
        }
        let complete = self.marks.get(&owner).map_or(0, |m| m.version);
        self.records.insert(key, record.clone());
        receipt.put.push(record);
        if theirs.version == complete + 1 {
            self.complete(theirs, receipt);
        }
    }

    /// Drops what is held of lives before this one, of which nothing is complete yet.
    fn forget_before(&mut self, newest: &StateMark, receipt: &mut StateReceipt) {
        let owner = newest.device_id;
        let old: Vec<StateKey> = self.of_owner(owner).map(StateKey::of).collect();
        for key in old {
            self.records.remove(&key);
            receipt.put.retain(|r| StateKey::of(r) != key);
            receipt.gone.push(key);
        }
        let mark = StateMark { version: 0, ..*newest };
        self.marks.insert(owner, mark);
        receipt.marks.retain(|m| m.device_id != owner);
        receipt.marks.push(mark);
    }

    fn complete(&mut self, mark: StateMark, receipt: &mut StateReceipt) {
        if self.marks.get(&mark.device_id).is_some_and(|held| *held >= mark) {
            return;
        }
        if self.marks.get(&mark.device_id).map(life) != Some(life(&mark)) {
            self.forget_before(&mark, receipt);
        }
        self.marks.insert(mark.device_id, mark);
        receipt.marks.retain(|m| m.device_id != mark.device_id);
        receipt.marks.push(mark);
    }

    /// Says everything of this device anew in a later generation.
    fn go_beyond(&mut self, generation: u64, now: UnixMillis, receipt: &mut StateReceipt) {
        self.me = StateMark { generation, version: 0, ..self.me };
        let mine: Vec<StateKey> = self.of_owner(self.me.device_id).map(StateKey::of).collect();
        for key in mine {
            let Some(record) = self.records.get_mut(&key) else { continue };
            if record.data.is_none() {
                // Nobody holds it any more.
                self.records.remove(&key);
                receipt.gone.push(key);
                continue;
            }
            self.me.version += 1;
            (record.generation, record.version, record.timestamp) = (generation, self.me.version, now.0);
            record.device_epoch = self.me.device_epoch;
            receipt.put.push(record.clone());
        }
        receipt.marks.push(self.me);
    }
}

/// What still fits a page.
struct Room {
    records: usize,
    bytes: usize,
}

impl Room {
    /// Puts a record into a page when it fits; the first always does.
    fn takes(&mut self, record: &StateRecord, page: &mut StatePage) -> bool {
        let len = record.encoded_len().saturating_add(1);
        if !page.records.is_empty() && (self.records == 0 || len > self.bytes) {
            return false;
        }
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(len);
        page.records.push(record.clone());
        true
    }
}

/// Lives of one owner in their order.
fn life(mark: &StateMark) -> (u64, DeviceEpoch) {
    (mark.generation, mark.device_epoch)
}

#[cfg(test)]
mod tests;
