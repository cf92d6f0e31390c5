//! Texts of snapshots that are not in the store of snapshots. Believed only when they hash to their id.

use bonfire_proto::limits::SNAPSHOT_LEN_MAX;
use bonfire_proto::save::snapshot_id;
use bonfire_proto::{PlayerId, SnapshotId};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Fault;

const TABLE: &str = "snapshot_text";

pub(crate) fn get(conn: &Connection, player: PlayerId, id: SnapshotId) -> Result<Option<String>, Fault> {
    let found: Option<String> = conn
        .prepare_cached("SELECT text FROM snapshot_text WHERE player = ?1 AND id = ?2")?
        .query_row(params![player.to_string(), id.0.0], |r| r.get(0))
        .optional()?;
    if let Some(text) = &found
        && snapshot_id(text.as_bytes()) != id
    {
        return Err(Fault::row(TABLE, format!("a text that is not snapshot {id}")));
    }
    Ok(found)
}

pub(crate) fn put(conn: &Connection, player: PlayerId, id: SnapshotId, text: &str) -> Result<(), Fault> {
    if text.len() > SNAPSHOT_LEN_MAX || snapshot_id(text.as_bytes()) != id {
        return Err(Fault::BadValue(format!("a text that is not snapshot {id}")));
    }
    conn.prepare_cached("INSERT OR REPLACE INTO snapshot_text (player, id, text) VALUES (?1, ?2, ?3)")?
        .execute(params![player.to_string(), id.0.0, text])?;
    Ok(())
}
