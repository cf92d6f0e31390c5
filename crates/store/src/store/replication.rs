//! What keeps a player's devices in step, as it was made durable: the log, the acks, the clock, device-owned state.

use bonfire_engine::replication::Life;
use bonfire_engine::replication::clock::ClockMark;
use bonfire_engine::replication::log::SharedLog;
use bonfire_engine::replication::state::StateBoard;
use bonfire_proto::{DeviceEpoch, PeerId, PlayerId};
use rusqlite::Connection;

use super::Store;
use crate::error::{Fault, StoreResult};
use crate::table::{clock_mark, device_epoch, shared_ack, shared_entry, shared_floor, state_mark, state_record};

impl Store {
    /// The life of this device. It began with the database.
    ///
    /// # Errors
    /// When it cannot be read or the row is damaged.
    pub fn device_epoch(&self) -> StoreResult<DeviceEpoch> {
        self.read("reading the life of this device", device_epoch::read)
    }

    /// What the clock goes beyond after a start; 0 before the first time.
    ///
    /// # Errors
    /// When it cannot be read or the row is damaged.
    pub fn clock_mark(&self) -> StoreResult<ClockMark> {
        self.read("reading the clock", clock_mark::read)
    }

    /// The log of a player as it was last made durable, of this device in its present life.
    ///
    /// # Errors
    /// When it cannot be read, a row is damaged, or an entry is missing between others: it would be counted twice.
    pub fn shared_log(&self, player: PlayerId, device: PeerId) -> StoreResult<SharedLog> {
        self.read("reading the shared log", |tx| read_log(tx, player, device))
    }

    /// The device-owned state of a player's devices as it was last made durable, of this device in its present life.
    ///
    /// # Errors
    /// When it cannot be read or a row is damaged.
    pub fn state_board(&self, player: PlayerId, device: PeerId) -> StoreResult<StateBoard> {
        self.read("reading device-owned state", |tx| read_board(tx, player, device))
    }
}

pub(super) fn read_log(tx: &Connection, player: PlayerId, device: PeerId) -> Result<SharedLog, Fault> {
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

pub(super) fn read_board(tx: &Connection, player: PlayerId, device: PeerId) -> Result<StateBoard, Fault> {
    let epoch = device_epoch::read(tx)?;
    let (records, marks) = (state_record::all(tx, player)?, state_mark::all(tx, player)?);
    Ok(StateBoard::restore(device, epoch, records, marks))
}
