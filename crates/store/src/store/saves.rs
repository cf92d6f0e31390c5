//! Players and saves as they are made durable: what the engine says of one batch is one transaction, in its order.

use bonfire_engine::command::AuditFilter;
use bonfire_engine::record::{Record, Stored, StoredPlayer};
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::saves_view::AuditEntry;
use bonfire_proto::{PeerId, PlayerId, SnapshotId};
use rusqlite::Connection;

use super::Store;
use super::replication::{read_board, read_log};
use crate::error::{Fault, StoreResult};
use crate::table::{
    audit, clock_mark, device_epoch, pair_token, player, save_listing, save_set, save_slot, shared_ack, shared_entry,
    shared_floor, snapshot_node, snapshot_text, state_mark, state_record,
};

impl Store {
    /// Makes changes durable, all of them together and in this order. The clock, floors and acks never go back, and an
    /// entry of the log that is there already is nothing new. Of what was done, the newest `AUDIT_MAX` are kept.
    ///
    /// # Errors
    /// `BadValue` for a value that is out of bounds, and for an entry of the log in whose place another is held; otherwise
    /// as the disk says. Nothing is changed then.
    pub fn record(&mut self, records: &[Record]) -> StoreResult<()> {
        self.write("writing players and saves", |tx| {
            records.iter().try_for_each(|record| write(tx, record))?;
            if records.iter().any(|record| matches!(record, Record::Audit(_))) {
                audit::trim(tx)?;
            }
            Ok(())
        })
    }

    /// All that `record` made durable, on this device in its present life.
    ///
    /// # Errors
    /// When it cannot be read, a row is damaged, or an entry of a log is missing between others.
    pub fn stored(&self, me: PeerId) -> StoreResult<Stored> {
        self.read("reading players and saves", |tx| {
            let players = player::all(tx)?.into_iter().map(|known| {
                let (log, board) = (read_log(tx, known.player, me)?, read_board(tx, known.player, me)?);
                Ok(StoredPlayer { known, log, board })
            });
            Ok(Stored {
                clock: clock_mark::read(tx)?,
                epoch: Some(device_epoch::read(tx)?),
                players: players.collect::<Result<_, Fault>>()?,
                tokens: pair_token::all(tx)?,
                sets: save_set::all(tx)?,
                slots: save_slot::all(tx)?,
                nodes: snapshot_node::all(tx)?,
                // The data folder says what is there.
                sidecars: Vec::new(),
            })
        })
    }

    /// Who did what, newest first: 100 entries when the filter names no limit, at most 10,000.
    ///
    /// # Errors
    /// When it cannot be read or a row is damaged.
    pub fn audit(&self, filter: &AuditFilter) -> StoreResult<Vec<AuditEntry>> {
        self.read("reading the audit log", |tx| audit::some(tx, filter))
    }

    /// Keeps the text of a snapshot that is not in the store of snapshots: because objects of it are not here, or because
    /// it was pruned. It stays until the player is gone.
    ///
    /// # Errors
    /// `BadValue` for a text that is not this snapshot's; otherwise as the disk says.
    pub fn keep_snapshot_text(&mut self, player: PlayerId, id: SnapshotId, text: &str) -> StoreResult<()> {
        self.write("keeping a snapshot's text", |tx| snapshot_text::put(tx, player, id, text))
    }

    /// The text of a snapshot, when it was kept.
    ///
    /// # Errors
    /// When it cannot be read or is another snapshot's.
    pub fn snapshot_text(&self, player: PlayerId, id: SnapshotId) -> StoreResult<Option<String>> {
        self.read("reading a snapshot's text", |tx| snapshot_text::get(tx, player, id))
    }

    /// What was noted of a save set's disk with `put_listing`.
    ///
    /// # Errors
    /// As the disk says.
    pub fn listing(&self, set: &SetKey) -> StoreResult<Option<Vec<u8>>> {
        self.read("reading a listing", |tx| save_listing::get(tx, set))
    }

    /// Notes what a look at a save set's disk found, in the caller's own form; `None` forgets it.
    ///
    /// # Errors
    /// As the disk says.
    pub fn put_listing(&mut self, set: &SetKey, listing: Option<&[u8]>) -> StoreResult<()> {
        self.write("writing a listing", |tx| save_listing::set(tx, set, listing))
    }
}

fn write(tx: &Connection, record: &Record) -> Result<(), Fault> {
    match record {
        Record::Clock(mark) => clock_mark::raise(tx, *mark),
        Record::Epoch(epoch) => device_epoch::set(tx, *epoch),
        Record::Player(known) => player::put(tx, known),
        Record::PlayerGone(gone) => player::forget(tx, *gone),
        Record::Token(known) => pair_token::put(tx, known),
        Record::TokenGone(name) => pair_token::remove(tx, name),
        Record::Shared { player, entries, floors, acks } => {
            entries.iter().try_for_each(|e| shared_entry::add(tx, *player, e))?;
            floors.iter().try_for_each(|f| shared_floor::raise(tx, *player, f))?;
            acks.iter().try_for_each(|(from, mark)| shared_ack::raise(tx, *player, *from, mark))
        }
        Record::State { player, gone, put, marks, removed } => {
            gone.iter().try_for_each(|key| state_record::remove(tx, *player, key))?;
            removed.iter().try_for_each(|device| state_mark::remove(tx, *player, *device))?;
            put.iter().try_for_each(|record| state_record::put(tx, *player, record))?;
            marks.iter().try_for_each(|mark| state_mark::put(tx, *player, mark))
        }
        Record::Set(known) => save_set::put(tx, known),
        Record::SetGone(set) => {
            save_set::remove(tx, set)?;
            save_listing::set(tx, set, None)
        }
        Record::Slot(known) => save_slot::put(tx, known),
        Record::Nodes(line, nodes) => nodes.iter().try_for_each(|node| snapshot_node::put(tx, line, node)),
        Record::Audit(entry) => audit::add(tx, entry),
    }
}
