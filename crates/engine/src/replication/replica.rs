//! One player's shared things on this device: log, registry and records, kept in step with each other.
//!
//! Owns all three and the rules between them: whose entries are taken in, which take effect, what an own change looks
//! like. What `Written` and `Receipt` name has to be durable, together, before anything is sent or shown because of it.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::message_sync::{ChangeType, RecordData, SharedEntry, Watermark};
use bonfire_proto::{DeviceEpoch, PeerId, PlayerId};
use uuid::Uuid;

use super::clock::{Clock, ClockError, ClockMark};
use super::log::{Gap, LogError, Page, SharedLog, Taken};
use super::model::{self, Device, Model};
use super::records::{RecordKey, Records};
use super::registry::{self, DEVICE, Registry};
use super::{Life, Stamp};
use crate::report::ErrorClass;
use crate::time::UnixMillis;

/// Why nothing was written or taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    /// The sender is no device of the player, or is one no more.
    #[error("{0} is no device of this player")]
    NotADevice(PeerId),
    /// The first entry of a life has to be the device's own record: others believe no life that they have not heard of.
    #[error("this device has not introduced itself in its present life")]
    NotIntroduced,
    /// The clock gives no time.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// The log refuses it.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl ReplicaError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotADevice(_) => ErrorClass::Refused,
            Self::NotIntroduced => ErrorClass::Bug,
            Self::Clock(e) => e.class(),
            Self::Log(e) => e.class(),
        }
    }

    /// Whether the same may succeed later by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotADevice(_) | Self::NotIntroduced => false,
            Self::Clock(e) => e.is_retryable(),
            Self::Log(e) => e.is_retryable(),
        }
    }
}

/// An own change, taken in here already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// To be made durable, then sent to every device.
    pub entry: SharedEntry,
    /// To be made durable with it.
    pub mark: Option<ClockMark>,
}

/// Why one entry was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its author was never registered. It is asked for again, and taken once that is heard of.
    #[error("its author is not registered")]
    Unregistered,
    /// Its time is too far ahead. It is asked for again, and taken once our clock has caught up.
    #[error(transparent)]
    Clock(ClockError),
    /// It is not believed.
    #[error(transparent)]
    Log(LogError),
}

/// What came of a page or a batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Entries that are held now and were not: to be made durable, then told on.
    pub entries: Vec<SharedEntry>,
    /// Floors that moved: to be made durable with them.
    pub floors: Vec<Watermark>,
    /// To be made durable with them.
    pub mark: Option<ClockMark>,
    /// Records that are others than before.
    pub changed: BTreeSet<RecordKey>,
    /// Entries that were not taken in.
    pub refused: Vec<(Life, u64, Refusal)>,
}

impl Receipt {
    /// Whether others hold what this device has yet to write: `Replica::renew` has to come before the next own change.
    #[must_use]
    pub fn is_put_back(&self) -> bool {
        self.refused.iter().any(|(_, _, why)| matches!(why, Refusal::Log(LogError::PutBack { .. })))
    }
}

/// The shared things of one player as this device holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    player: PlayerId,
    log: SharedLog,
    registry: Registry,
    records: Records,
}

impl Replica {
    /// Nothing yet, on a device in this life.
    #[must_use]
    pub fn new(player: PlayerId, me: Life) -> Self {
        Self { player, log: SharedLog::new(me), registry: Registry::default(), records: Records::default() }
    }

    /// What a durable log adds up to.
    #[must_use]
    pub fn restore(player: PlayerId, log: SharedLog) -> Self {
        let mut registry = Registry::default();
        for entry in log.entries() {
            registry.apply(entry);
        }
        let mut replica = Self { player, log, registry, records: Records::default() };
        replica.records = replica.add_up();
        replica
    }

    /// Goes on in a new life; the next own change has to be `introduce`.
    pub fn renew(&mut self, epoch: DeviceEpoch) {
        self.log.renew(Life { device: self.log.me().device, epoch });
    }

    /// Believes in a device because of a pairing whose entry is yet to come. Not durable: said again after a start.
    pub fn vouch(&mut self, life: Life) {
        self.registry.vouch(life);
    }

    /// Writes the record of this device and opens its life; also for what changes in it later.
    ///
    /// # Errors
    /// As `write`.
    pub fn introduce(&mut self, device: &Device, clock: &mut Clock, wall: UnixMillis) -> Result<Written, ReplicaError> {
        let me = self.log.me();
        let mut data = model::write(device);
        registry::open_itself(&mut data, me.epoch);
        self.write(DEVICE, *me.device.as_uuid(), ChangeType::Insert, data, clock, wall)
    }

    /// Writes that a device is one of the player's in this life, because it was paired with.
    ///
    /// # Errors
    /// As `write`.
    pub fn pair(
        &mut self,
        other: Life,
        device: &Device,
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Written, ReplicaError> {
        let mut data = model::write(device);
        registry::open_paired(&mut data, other.epoch);
        self.write(DEVICE, *other.device.as_uuid(), ChangeType::Insert, data, clock, wall)
    }

    /// Writes that a device is one of the player's no more. What it wrote and is not held here loses its effect
    /// everywhere.
    ///
    /// # Errors
    /// As `write`.
    pub fn remove_device(
        &mut self,
        device: PeerId,
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Written, ReplicaError> {
        let data = self.registry.removal(device, &self.log.watermarks());
        self.write(DEVICE, *device.as_uuid(), ChangeType::Delete, data, clock, wall)
    }

    /// Writes what changed in a record; `None` when nothing did.
    ///
    /// # Errors
    /// As `write`.
    pub fn put<M: Model>(
        &mut self,
        record_uuid: Uuid,
        wanted: &M,
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Option<Written>, ReplicaError> {
        let Some((change, data)) = self.records.change(record_uuid, wanted) else { return Ok(None) };
        self.write(M::TYPE, record_uuid, change, data, clock, wall).map(Some)
    }

    /// Writes that a record is deleted; `None` when there is none.
    ///
    /// # Errors
    /// As `write`.
    pub fn delete<M: Model>(
        &mut self,
        record_uuid: Uuid,
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Option<Written>, ReplicaError> {
        let key = RecordKey { model_type: M::TYPE.to_owned(), record_uuid };
        if self.records.data(&key).is_none() {
            return Ok(None);
        }
        self.write(M::TYPE, record_uuid, ChangeType::Delete, RecordData::new(), clock, wall).map(Some)
    }

    /// Writes an entry of this device: the next position, a time later than any that is held.
    ///
    /// # Errors
    /// `NotIntroduced` before `introduce`, or as clock and log say; nothing is changed then.
    pub fn write(
        &mut self,
        model_type: &str,
        record_uuid: Uuid,
        change_type: ChangeType,
        data: RecordData,
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Written, ReplicaError> {
        let me = self.log.me();
        let mut ticked = clock.clone();
        let tick = ticked.tick(wall)?;
        let entry = SharedEntry {
            device_id: me.device,
            device_epoch: me.epoch,
            seq: self.log.next_seq(),
            hlc: tick.hlc,
            model_type: model_type.to_owned(),
            record_uuid,
            change_type,
            data,
        };
        if entry.seq == 1 && registry::opens(&entry).is_none() {
            return Err(ReplicaError::NotIntroduced);
        }
        self.log.append(entry.clone())?;
        *clock = ticked;
        self.take_effect(std::slice::from_ref(&entry));
        Ok(Written { entry, mark: tick.mark })
    }

    /// Takes in what a device sent, its own entries or those of others. `from` is the device that the connection proves.
    ///
    /// # Errors
    /// `NotADevice`. What is wrong with single entries is in the receipt, and does not keep the others out.
    pub fn receive(
        &mut self,
        from: PeerId,
        entries: Vec<SharedEntry>,
        floors: &[Watermark],
        clock: &mut Clock,
        wall: UnixMillis,
    ) -> Result<Receipt, ReplicaError> {
        if !self.registry.is_device(from) {
            return Err(ReplicaError::NotADevice(from));
        }
        let mut receipt = Receipt::default();
        let before: BTreeMap<Life, u64> = self.log.watermarks().iter().map(|m| (Life::from(*m), m.seq)).collect();
        let timely = |e: &SharedEntry| clock.clone().observe(e.hlc, wall).map(|_| ());
        if !floors.is_empty() {
            self.settle(floors, &entries, timely, &mut receipt);
        }
        for entry in entries {
            let (life, seq) = (Life::of(&entry), entry.seq);
            // What is held in its place is compared before anything else is asked of it.
            let refusal = if !self.registry.is_known(life) && (registry::opens(&entry) != Some(life) || seq != 1) {
                Refusal::Unregistered
            } else if let (true, Err(e)) = (seq > self.log.whole(life), timely(&entry)) {
                Refusal::Clock(e)
            } else {
                let held = self.log.whole(life);
                match self.log.offer(entry) {
                    Ok(Taken::Now(_)) => {
                        for entry in self.log.entries_after(life, held) {
                            // An author may be registered by the entry before its own.
                            self.registry.apply(entry);
                        }
                        continue;
                    }
                    Ok(Taken::Later | Taken::Known) => continue,
                    Err(e) => Refusal::Log(e),
                }
            };
            receipt.refused.push((life, seq, refusal));
        }
        let lives: Vec<Life> = self.log.watermarks().into_iter().map(Life::from).collect();
        for life in lives {
            receipt.entries.extend(self.log.entries_after(life, before.get(&life).copied().unwrap_or(0)).cloned());
        }
        receipt.entries.sort_by_key(Stamp::of);
        for entry in &receipt.entries {
            // It was found timely above.
            receipt.mark = clock.observe(entry.hlc, wall).unwrap_or_default().or(receipt.mark);
        }
        receipt.changed = self.take_effect(&receipt.entries);
        Ok(receipt)
    }

    /// Notes what a device says it holds, in the life it says it in: for pruning, and for what is missing here. Returns
    /// whether there is a new ack to make durable.
    ///
    /// # Errors
    /// `NotADevice`, or `PutBack` when it holds what this device has yet to write.
    pub fn heard_ack(&mut self, from: Life, mark: Watermark) -> Result<bool, ReplicaError> {
        if !self.registry.is_open(from) {
            return Err(ReplicaError::NotADevice(from.device));
        }
        self.log.heard_of(&[mark])?;
        Ok(self.log.ack(from, mark)?)
    }

    /// What an asker does not hold; see `SharedLog::page`.
    ///
    /// # Errors
    /// `NotADevice`.
    pub fn page(&self, to: PeerId, since: &[Watermark], limit: usize) -> Result<Page, ReplicaError> {
        if !self.registry.is_device(to) {
            return Err(ReplicaError::NotADevice(to));
        }
        Ok(self.log.page(since, limit))
    }

    /// What is held, for a request and for acks.
    #[must_use]
    pub fn watermarks(&self) -> Vec<Watermark> {
        self.log.watermarks()
    }

    /// What is known to be missing.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        self.log.gaps()
    }

    /// Up to where replaced entries could be dropped: what every device of the player holds. Whoever drops them has to
    /// keep those about devices, and any whose replacement lies beyond these positions: a removal may void that one.
    #[must_use]
    pub fn prunable(&self) -> Vec<Watermark> {
        let mut devices = self.registry.devices();
        devices.insert(self.log.me());
        self.log.prunable(&devices)
    }

    /// The player's devices in their present lives, with their records as far as they can be read.
    pub fn devices(&self) -> impl Iterator<Item = (Life, Device)> {
        let record = |life: &Life| self.records.get(*life.device.as_uuid()).unwrap_or_default();
        self.registry.devices().into_iter().map(move |life| (life, record(&life)))
    }

    /// Whose it is.
    #[must_use]
    pub fn player(&self) -> PlayerId {
        self.player
    }

    /// Which lives are the player's.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The merged records.
    #[must_use]
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// The entries.
    #[must_use]
    pub fn log(&self) -> &SharedLog {
        &self.log
    }

    fn settle(
        &mut self,
        floors: &[Watermark],
        entries: &[SharedEntry],
        timely: impl Fn(&SharedEntry) -> Result<(), ClockError>,
        receipt: &mut Receipt,
    ) {
        let known = |life| self.registry.is_known(life) || entries.iter().any(|e| registry::opens(e) == Some(life));
        let below = |e: &&SharedEntry| floors.iter().any(|f| Life::from(*f) == Life::of(e) && e.seq <= f.seq);
        // A floor stands for all that is below it: when one entry has to wait, so has the floor.
        let refusal = floors
            .iter()
            .find(|f| !known(Life::from(**f)))
            .map(|f| (Life::from(*f), f.seq, Refusal::Unregistered))
            .or_else(|| {
                let late = entries.iter().filter(below).find_map(|e| Some((e, timely(e).err()?)));
                late.map(|(e, why)| (Life::of(e), e.seq, Refusal::Clock(why)))
            });
        if let Some(refusal) = refusal {
            receipt.refused.push(refusal);
            return;
        }
        match self.log.settle(floors, entries) {
            Ok(moved) => {
                for entry in entries.iter().filter(below) {
                    self.registry.apply(entry);
                }
                receipt.floors = moved;
            }
            Err(e) => receipt.refused.push((Life::from(floors[0]), floors[0].seq, Refusal::Log(e))),
        }
    }

    /// Lets entries that are in the log have their effect, and names the records that changed.
    fn take_effect(&mut self, fresh: &[SharedEntry]) -> BTreeSet<RecordKey> {
        for entry in fresh {
            self.registry.apply(entry);
        }
        if fresh.iter().any(|e| e.model_type == DEVICE) {
            // A removal may void what had its effect, and a pairing may give it back.
            let before = std::mem::take(&mut self.records);
            self.records = self.add_up();
            return differing(&before, &self.records);
        }
        let effective = fresh.iter().filter(|e| !self.registry.is_void(e));
        effective.filter(|e| self.records.apply(e)).map(RecordKey::of).collect()
    }

    fn add_up(&self) -> Records {
        Records::of(self.log.entries().filter(|e| !self.registry.is_void(e)))
    }
}

fn differing(before: &Records, after: &Records) -> BTreeSet<RecordKey> {
    let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) = (before.iter().collect(), after.iter().collect());
    old.keys().chain(new.keys()).filter(|key| old.get(*key) != new.get(*key)).map(|key| (*key).clone()).collect()
}

#[cfg(test)]
mod tests;
