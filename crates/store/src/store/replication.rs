//! What keeps a player's devices in step, as it is made durable: the log, the acks, the clock, device-owned state.
//!
//! Each change is one transaction: an entry is never durable without the mark of the clock that gave it its time.

use bonfire_engine::replication::Life;
use bonfire_engine::replication::clock::ClockMark;
use bonfire_engine::replication::log::SharedLog;
use bonfire_engine::replication::state::{StateBoard, StateKey};
use bonfire_proto::message_sync::{SharedEntry, StateMark, StateRecord, Watermark};
use bonfire_proto::{DeviceEpoch, PeerId, PlayerId};
use rusqlite::Connection;

use super::Store;
use crate::error::{Fault, StoreResult};
use crate::table::{clock_mark, device_epoch, shared_ack, shared_entry, shared_floor, state_mark, state_record};

/// What `Store::commit_shared` makes durable together.
#[derive(Debug, Clone, Copy, Default)]
pub struct SharedCommit<'a> {
    /// What the clock goes beyond after a start.
    pub mark: Option<ClockMark>,
    /// Entries that are held now.
    pub entries: &'a [SharedEntry],
    /// Up to where entries may be missing.
    pub floors: &'a [Watermark],
    /// Who said to hold what.
    pub acks: &'a [(Life, Watermark)],
}

/// What `Store::commit_state` makes durable together.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateCommit<'a> {
    /// Records that fell away, removed before `put` is written.
    pub gone: &'a [StateKey],
    /// Records to put in or replace.
    pub put: &'a [StateRecord],
    /// How completely owners are held.
    pub marks: &'a [StateMark],
    /// Owners that are no devices of the player any more, and of which nothing stays.
    pub removed: &'a [PeerId],
}

impl Store {
    /// The life of this device. It began with the database.
    ///
    /// # Errors
    /// When it cannot be read or the row is damaged.
    pub fn device_epoch(&self) -> StoreResult<DeviceEpoch> {
        self.read("reading the life of this device", device_epoch::read)
    }

    /// Begins a new life of this device, because others hold entries of the present one that are not here.
    ///
    /// # Errors
    /// As the disk says.
    pub fn renew_device_epoch(&mut self, epoch: DeviceEpoch) -> StoreResult<()> {
        self.write("renewing the life of this device", |tx| device_epoch::set(tx, epoch))
    }

    /// What the clock goes beyond after a start; 0 before the first time.
    ///
    /// # Errors
    /// When it cannot be read or the row is damaged.
    pub fn clock_mark(&self) -> StoreResult<ClockMark> {
        self.read("reading the clock", clock_mark::read)
    }

    /// Makes the clock's mark durable by itself, for times of which nothing else is kept here. It never goes back.
    ///
    /// # Errors
    /// As the disk says.
    pub fn raise_clock(&mut self, mark: ClockMark) -> StoreResult<()> {
        self.write("writing the clock", |tx| clock_mark::raise(tx, mark))
    }

    /// Makes a change of a player's log durable. Marks, floors and acks never go back, and an entry that is there already
    /// is nothing new.
    ///
    /// # Errors
    /// `BadValue` for an entry that is out of bounds or in whose place another is held; otherwise as the disk says.
    /// Nothing is changed then.
    pub fn commit_shared(&mut self, player: PlayerId, commit: &SharedCommit<'_>) -> StoreResult<()> {
        self.write("writing the shared log", |tx| {
            if let Some(mark) = commit.mark {
                clock_mark::raise(tx, mark)?;
            }
            commit.entries.iter().try_for_each(|e| shared_entry::add(tx, player, e))?;
            commit.floors.iter().try_for_each(|f| shared_floor::raise(tx, player, f))?;
            commit.acks.iter().try_for_each(|(from, mark)| shared_ack::raise(tx, player, *from, mark))
        })
    }

    /// The log of a player as it was last made durable, of this device in its present life.
    ///
    /// # Errors
    /// When it cannot be read, a row is damaged, or an entry is missing between others: it would be counted twice.
    pub fn shared_log(&self, player: PlayerId, device: PeerId) -> StoreResult<SharedLog> {
        self.read("reading the shared log", |tx| read_log(tx, player, device))
    }

    /// Makes a change of device-owned state durable.
    ///
    /// # Errors
    /// `BadValue` for a record that is out of bounds; otherwise as the disk says. Nothing is changed then.
    pub fn commit_state(&mut self, player: PlayerId, commit: &StateCommit<'_>) -> StoreResult<()> {
        self.write("writing device-owned state", |tx| {
            commit.gone.iter().try_for_each(|key| state_record::remove(tx, player, key))?;
            commit.removed.iter().try_for_each(|device| state_mark::remove(tx, player, *device))?;
            commit.put.iter().try_for_each(|record| state_record::put(tx, player, record))?;
            commit.marks.iter().try_for_each(|mark| state_mark::put(tx, player, mark))
        })
    }

    /// The device-owned state of a player's devices as it was last made durable, of this device in its present life.
    ///
    /// # Errors
    /// When it cannot be read or a row is damaged.
    pub fn state_board(&self, player: PlayerId, device: PeerId) -> StoreResult<StateBoard> {
        self.read("reading device-owned state", |tx| {
            let epoch = device_epoch::read(tx)?;
            let (records, marks) = (state_record::all(tx, player)?, state_mark::all(tx, player)?);
            Ok(StateBoard::restore(device, epoch, records, marks))
        })
    }
}

fn read_log(tx: &Connection, player: PlayerId, device: PeerId) -> Result<SharedLog, Fault> {
    let me = Life { device, epoch: device_epoch::read(tx)? };
    let (entries, floors) = (shared_entry::all(tx, player)?, shared_floor::all(tx, player)?);
    let count = entries.len();
    let log = SharedLog::restore(me, entries, &floors, shared_ack::all(tx, player)?)
        .map_err(|e| Fault::row("shared_entry", e))?;
    if log.entries().count() < count {
        return Err(Fault::row("shared_entry", "an entry is missing before others of its author"));
    }
    Ok(log)
}
