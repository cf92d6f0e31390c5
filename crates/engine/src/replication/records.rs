//! What the entries of the shared log add up to: records and their fields, each with the last word on it.
//!
//! Owns the merged records and nothing durable: they are made from the log at every start. The result is a function of
//! the set of entries, whatever the order in which they came.
//!
//! - *A field has its last writer.* A player who renames a slot here and changes its retention there gets both. What
//!   belongs together is one field (`retention`).
//! - *A pin, a note, a picture and a resolution are one act* and have the last writer of the whole record: a text of one device
//!   under the name of another would be nobody's.
//! - *A record lives when the last write is later than the last deletion*, and then with all of its fields. A change on
//!   one device that is later than a deletion on another brings the record back whole, because what was edited must not be
//!   lost to a deletion that had not seen it; half a record would be worse than either.
//! - *A device is never brought back by a write*: whether it is one of the player's is for `Registry` to say.

use std::collections::BTreeMap;

use bonfire_proto::message_sync::{ChangeType, RecordData, SharedEntry};
use serde_json::Value;
use uuid::Uuid;

use super::Stamp;
use super::model::{self, Model};

/// Names a record: its kind, and its id among those.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// Kind of the record.
    pub model_type: String,
    /// The record.
    pub record_uuid: Uuid,
}

impl RecordKey {
    /// The record that an entry is about.
    #[must_use]
    pub fn of(entry: &SharedEntry) -> Self {
        Self { model_type: entry.model_type.clone(), record_uuid: entry.record_uuid }
    }
}

/// One record and who said what of it last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Record {
    fields: BTreeMap<String, (Stamp, Value)>,
    written: Option<Stamp>,
    deleted: Option<Stamp>,
}

/// The merged records of a player.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Records {
    records: BTreeMap<RecordKey, Record>,
}

impl Records {
    /// What these entries add up to.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a SharedEntry>) -> Self {
        let mut records = Self::default();
        for entry in entries {
            records.apply(entry);
        }
        records
    }

    /// Takes in an entry. Returns whether its record is another one for it.
    pub fn apply(&mut self, entry: &SharedEntry) -> bool {
        let record = self.records.entry(RecordKey::of(entry)).or_default();
        let before = record.data();
        record.apply(entry);
        record.data() != before
    }

    /// The fields of a record, unknown ones too; `None` when there is none, or it is deleted.
    #[must_use]
    pub fn data(&self, key: &RecordKey) -> Option<RecordData> {
        self.records.get(key)?.data()
    }

    /// Every record that is not deleted, by kind and id.
    pub fn iter(&self) -> impl Iterator<Item = (&RecordKey, RecordData)> {
        self.records.iter().filter_map(|(key, record)| Some((key, record.data()?)))
    }

    /// A record as this version understands it; `None` when there is none, or when only a later version can read it.
    #[must_use]
    pub fn get<M: Model>(&self, record_uuid: Uuid) -> Option<M> {
        model::read(&self.data(&RecordKey { model_type: M::TYPE.to_owned(), record_uuid })?)
    }

    /// Whether an entry was ever about such a record, deleted or not.
    #[must_use]
    pub fn knows<M: Model>(&self, record_uuid: Uuid) -> bool {
        self.records.contains_key(&RecordKey { model_type: M::TYPE.to_owned(), record_uuid })
    }

    /// All records of a kind that this version can read, by id.
    pub fn all<M: Model>(&self) -> impl Iterator<Item = (Uuid, M)> {
        let first = RecordKey { model_type: M::TYPE.to_owned(), record_uuid: Uuid::nil() };
        self.records
            .range(first..)
            .take_while(|(key, _)| key.model_type == M::TYPE)
            .filter_map(|(key, record)| Some((key.record_uuid, model::read(&record.data()?)?)))
    }

    /// The change that makes a record say this, or `None` when it says so already: all fields when there is no such
    /// record, else those that differ. What only a later version knows of it stays as it is.
    #[must_use]
    pub fn change<M: Model>(&self, record_uuid: Uuid, wanted: &M) -> Option<(ChangeType, RecordData)> {
        let wanted = model::write(wanted);
        let key = RecordKey { model_type: M::TYPE.to_owned(), record_uuid };
        let Some(held) = self.data(&key) else { return Some((ChangeType::Insert, wanted)) };
        let says = |data: &RecordData, name: &str| data.get(name).filter(|v| !v.is_null()).cloned();
        let differs: Vec<_> = wanted.iter().filter(|(name, _)| says(&held, name) != says(&wanted, name)).collect();
        if differs.is_empty() {
            return None;
        }
        let whole = model::is_one_act(M::TYPE);
        let changed = wanted.iter().filter(|(name, _)| whole || says(&held, name) != says(&wanted, name));
        Some((ChangeType::Update, changed.map(|(name, value)| (name.clone(), value.clone())).collect()))
    }
}

impl Record {
    fn apply(&mut self, entry: &SharedEntry) {
        let stamp = Stamp::of(entry);
        if entry.change_type == ChangeType::Delete {
            self.deleted = self.deleted.max(Some(stamp));
            return;
        }
        if model::is_one_act(&entry.model_type) {
            if self.written >= Some(stamp) {
                return;
            }
            self.fields.clear();
        }
        self.written = self.written.max(Some(stamp));
        for (name, value) in &entry.data {
            match self.fields.get(name) {
                Some((at, _)) if *at >= stamp => {}
                _ => {
                    self.fields.insert(name.clone(), (stamp, value.clone()));
                }
            }
        }
    }

    fn data(&self) -> Option<RecordData> {
        // `written` is `None` before the first write, which no deletion is later than.
        let lives = self.written.is_some() && self.written > self.deleted;
        lives.then(|| self.fields.iter().map(|(name, (_, value))| (name.clone(), value.clone())).collect())
    }
}

#[cfg(test)]
mod tests;
