//! Messages that keep a player's devices in step: device-owned state, and the log of shared changes.
//!
//! They are told apart by who may change a thing. *State* has one owner, and the owner's newest word is all there is:
//! which snapshot a device has of a slot. A *shared* thing may be changed by every device of the player: names, pins,
//! what a save set consists of. Shared changes are entries of a log in which each device counts its own without a gap.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::hlc::{HLC_MS_MAX, Hlc};
use crate::ids::{DeviceEpoch, PeerId, PlayerId};
use crate::limits::{MODEL_TYPE_LEN_MAX, RECORD_DATA_LEN_MAX, RECORD_DEPTH_MAX, RECORDS_PER_PAGE, WATERMARKS_MAX};

/// Content of a record: a JSON object, at most 16 KiB of text and 8 levels deep. Its numbers are integers of 64 bits,
/// because a fraction may change when it is written again, and what is relayed must stay as it was.
pub type RecordData = Map<String, Value>;

/// What an entry does to its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeType {
    /// The record is new; `data` says all of its fields.
    Insert,
    /// The fields in `data` change.
    Update,
    /// The record is deleted.
    Delete,
}

/// One change of a shared record, as its author wrote it. Never changed by a relay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedEntry {
    /// The device that made the change.
    pub device_id: PeerId,
    /// The life of that device's database.
    pub device_epoch: DeviceEpoch,
    /// Position among the entries of that device and life, from 1, without gaps. It alone decides what is missing.
    pub seq: u64,
    /// When, by the author's hybrid clock; its device is `device_id`. It decides which of two changes of a field holds.
    pub hlc: Hlc,
    /// Kind of the record: 1 to 64 bytes of lower-case letters, digits and underscores. Unknown kinds are kept and
    /// relayed.
    pub model_type: String,
    /// The record.
    pub record_uuid: Uuid,
    /// What is done to it.
    pub change_type: ChangeType,
    /// The fields, each under its name; `null` clears one. Unknown fields are kept and relayed.
    pub data: RecordData,
}

/// How far the entries of one device and life are held without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watermark {
    /// The author.
    pub device_id: PeerId,
    /// The life of its database.
    pub device_epoch: DeviceEpoch,
    /// All of its entries up to this one; 0 for none.
    pub seq: u64,
}

/// Tells of one shared change when it happens. Idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedChange {
    /// Whose log.
    pub player_id: PlayerId,
    /// The change.
    #[serde(flatten)]
    pub entry: SharedEntry,
}

/// Tells of several shared changes. Idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedChangeBatch {
    /// Whose log.
    pub player_id: PlayerId,
    /// The changes, those of one author in the order of `seq`; at most 1,024.
    pub entries: Vec<SharedEntry>,
}

/// Asks for the entries that the asker does not hold. Answered by `shared_change_response`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedChangeRequest {
    /// Whose log.
    pub player_id: PlayerId,
    /// What the asker holds, at most 1,024; nothing of an author that is not named.
    pub since: Vec<Watermark>,
    /// The newest time that the asker knows. For people; decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_hlc: Option<Hlc>,
    /// Most entries of the answer, from 1 to 1,024.
    pub limit: u32,
}

/// One page of what the asker does not hold. Answers `shared_change_request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedChangeResponse {
    /// Whose log.
    pub player_id: PlayerId,
    /// The entries, those of one author in the order of `seq`; at most 1,024.
    pub entries: Vec<SharedEntry>,
    /// For an asker that is too far behind: up to here the page leaves out entries of that author, because later ones
    /// replaced them. With this page all that still matters up to there is held.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub floors: Vec<Watermark>,
    /// Whether there is more; the asker asks again from what it holds then.
    pub has_more: bool,
}

/// States what a device holds of an author's entries, so that they may be dropped once every device of the player has
/// said so. `up_to_seq` alone decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckSharedChanges {
    /// Whose log.
    pub player_id: PlayerId,
    /// Who holds them; must be the sender.
    pub from_device: PeerId,
    /// The life of its database: what an earlier life held is gone.
    pub from_epoch: DeviceEpoch,
    /// The author of the entries.
    pub device_id: PeerId,
    /// The life of the author's database.
    pub device_epoch: DeviceEpoch,
    /// All entries up to this one are held and durable. Never goes back within a life.
    pub up_to_seq: u64,
    /// Time of that entry. For people; decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to_hlc: Option<Hlc>,
}

/// One record that a single device owns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The owner.
    pub device_id: PeerId,
    /// The life of the owner's database.
    pub device_epoch: DeviceEpoch,
    /// Which life that is. A device whose database was lost goes beyond what others hold of it, and its records of
    /// earlier lives fall away.
    pub generation: u64,
    /// Position among the owner's changes of this life, from 1. A record keeps that of its last change.
    pub version: u64,
    /// Kind of the record: 1 to 64 bytes of lower-case letters, digits and underscores. Unknown kinds are kept and
    /// relayed.
    pub model_type: String,
    /// The record.
    pub record_uuid: Uuid,
    /// The fields; absent when the record is no more. Unknown fields are kept and relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<RecordData>,
    /// When the owner said so, in milliseconds since 1970-01-01 UTC by its clock. For people; decides nothing.
    pub timestamp: u64,
}

/// How far the state of one owner is held completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StateMark {
    /// The owner.
    pub device_id: PeerId,
    /// Which life of its database.
    pub generation: u64,
    /// That life.
    pub device_epoch: DeviceEpoch,
    /// Nothing is missing that the owner said up to this change of its and has not said anew since.
    pub version: u64,
}

/// Tells of one changed record of device-owned state when it changes. Idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// Whose devices.
    pub player_id: PlayerId,
    /// The record.
    #[serde(flatten)]
    pub record: StateRecord,
}

/// Tells of several records of device-owned state. Idempotent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateBatch {
    /// Whose devices.
    pub player_id: PlayerId,
    /// The records, those of one owner in the order of `version`; at most 1,024.
    pub records: Vec<StateRecord>,
}

/// Asks for device-owned state, of any owner. Answered by `state_response`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRequest {
    /// Whose devices.
    pub player_id: PlayerId,
    /// Kinds of records that are asked for, at most 1,024; all of them when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub model_types: Vec<String>,
    /// The one owner that is asked for; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<PeerId>,
    /// What the asker holds, at most 1,024; nothing of an owner that is not named.
    pub since: Vec<StateMark>,
    /// Most records of the answer, from 1 to 1,024.
    pub limit: u32,
}

/// One page of device-owned state. Answers `state_request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateResponse {
    /// Whose devices.
    pub player_id: PlayerId,
    /// The records, those of one owner in the order of `version`; at most 1,024.
    pub records: Vec<StateRecord>,
    /// What the asker holds completely with this page; at most 1,024. Empty when kinds were asked for by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub up_to: Vec<StateMark>,
    /// Whether there is more; the asker asks again from what it holds then.
    pub has_more: bool,
}

impl SharedEntry {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.seq >= 1 && i64::try_from(self.seq).is_ok(), "seq")?;
        bound(self.hlc.device == self.device_id && self.hlc.ms <= HLC_MS_MAX, "hlc")?;
        check_model_type(&self.model_type)?;
        check_data(&self.data)
    }

    /// Bytes of the entry as JSON.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }
}

impl StateRecord {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.generation >= 1 && i64::try_from(self.generation).is_ok(), "generation")?;
        bound(self.version >= 1 && i64::try_from(self.version).is_ok(), "version")?;
        bound(self.timestamp <= HLC_MS_MAX, "timestamp")?;
        check_model_type(&self.model_type)?;
        self.data.as_ref().map_or(Ok(()), check_data)
    }

    /// Bytes of the record as JSON.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        encoded_len(self)
    }

    /// The owner's life, and the position within it.
    #[must_use]
    pub fn mark(&self) -> StateMark {
        StateMark {
            device_id: self.device_id,
            generation: self.generation,
            device_epoch: self.device_epoch,
            version: self.version,
        }
    }
}

impl SharedChangeBatch {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        check_entries(&self.entries)
    }
}

impl SharedChangeRequest {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.since.len() <= WATERMARKS_MAX, "since")?;
        check_limit(self.limit)
    }
}

impl SharedChangeResponse {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.floors.len() <= WATERMARKS_MAX, "floors")?;
        bound(self.floors.iter().all(|f| i64::try_from(f.seq).is_ok()), "floors")?;
        check_entries(&self.entries)
    }
}

impl AckSharedChanges {
    /// The position that the ack states.
    #[must_use]
    pub fn watermark(&self) -> Watermark {
        Watermark { device_id: self.device_id, device_epoch: self.device_epoch, seq: self.up_to_seq }
    }
}

impl StateBatch {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        check_records(&self.records)
    }
}

impl StateRequest {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.model_types.len() <= RECORDS_PER_PAGE, "model_types")?;
        self.model_types.iter().try_for_each(|m| check_model_type(m))?;
        bound(self.since.len() <= WATERMARKS_MAX, "since")?;
        check_limit(self.limit)
    }
}

impl StateResponse {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.up_to.len() <= WATERMARKS_MAX, "up_to")?;
        bound(self.up_to.iter().all(|m| i64::try_from(m.generation.max(m.version)).is_ok()), "up_to")?;
        check_records(&self.records)
    }
}

fn check_entries(entries: &[SharedEntry]) -> Result<(), &'static str> {
    bound(entries.len() <= RECORDS_PER_PAGE, "entries")?;
    entries.iter().try_for_each(SharedEntry::check)
}

fn check_records(records: &[StateRecord]) -> Result<(), &'static str> {
    bound(records.len() <= RECORDS_PER_PAGE, "records")?;
    records.iter().try_for_each(StateRecord::check)
}

fn check_limit(limit: u32) -> Result<(), &'static str> {
    bound((1..=RECORDS_PER_PAGE).contains(&(limit as usize)), "limit")
}

/// Whether a text names a kind of record.
///
/// # Errors
/// `model_type` when it does not.
pub fn check_model_type(model_type: &str) -> Result<(), &'static str> {
    let legal = model_type.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    bound((1..=MODEL_TYPE_LEN_MAX).contains(&model_type.len()) && legal, "model_type")
}

/// Whether content of a record is within its bounds.
///
/// # Errors
/// `data` when it is not.
pub fn check_data(data: &RecordData) -> Result<(), &'static str> {
    bound(data.values().all(|v| is_plain(v, RECORD_DEPTH_MAX - 1)), "data")?;
    bound(encoded_len(data) <= RECORD_DATA_LEN_MAX, "data")
}

/// Whether a value nests no deeper than `depth` levels and has no fractions.
fn is_plain(value: &Value, depth: usize) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(n) => !n.is_f64(),
        Value::Array(list) => depth > 0 && list.iter().all(|v| is_plain(v, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|v| is_plain(v, depth - 1)),
    }
}

fn encoded_len(value: &impl Serialize) -> usize {
    // What cannot be written fits nowhere.
    serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len())
}

fn bound(holds: bool, field: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(field) }
}

#[cfg(test)]
mod tests;
