//! Where each line of a save stands on this device.

use bonfire_engine::record::KnownSlot;
use bonfire_engine::saves::slot::SlotRecord;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{digest, from_db, line, packed, snapshots, to_db};

const TABLE: &str = "save_slot";

/// All of them, sorted by line.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KnownSlot>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT player, game, slot, base, is_untracked, copies, last_synced_at FROM save_slot
         ORDER BY player, game, slot",
    )?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let base: Option<Vec<u8>> = row.get(3)?;
        let record = SlotRecord {
            base: base.map(|b| digest(TABLE, &b).map(bonfire_proto::SnapshotId)).transpose()?,
            is_untracked: row.get(4)?,
            copies: snapshots(TABLE, &row.get::<_, Vec<u8>>(5)?)?.into_iter().collect(),
        };
        out.push(KnownSlot {
            line: line(TABLE, row)?,
            record,
            last_synced_at: row.get::<_, Option<i64>>(6)?.map(|ms| from_db(TABLE, ms)).transpose()?,
        });
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, known: &KnownSlot) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO save_slot (player, game, slot, base, is_untracked, copies, last_synced_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        known.line.player.to_string(),
        known.line.game_id.as_str(),
        known.line.slot.as_str(),
        known.record.base.map(|id| id.0.0),
        known.record.is_untracked,
        packed(&known.record.copies),
        known.last_synced_at.map(|ms| to_db("time", ms)).transpose()?,
    ])?;
    Ok(())
}
