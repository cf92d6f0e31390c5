//! Entries of the shared log, as their authors wrote them.

use bonfire_proto::PlayerId;
use bonfire_proto::message_sync::{ChangeType, SharedEntry};
use rusqlite::{Connection, Row, params};

use crate::error::Fault;
use crate::value::{from_db, object, object_text, parsed, to_db};

const TABLE: &str = "shared_entry";

/// All entries of a player, those of one life in order.
pub(crate) fn all(conn: &Connection, player: PlayerId) -> Result<Vec<SharedEntry>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT device, epoch, seq, hlc, model_type, record_uuid, change_type, data FROM shared_entry
         WHERE player = ?1 ORDER BY device, epoch, seq",
    )?;
    let mut rows = query.query([player.to_string()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<SharedEntry, Fault> {
    let entry = SharedEntry {
        device_id: parsed(TABLE, &row.get::<_, String>(0)?)?,
        device_epoch: parsed(TABLE, &row.get::<_, String>(1)?)?,
        seq: from_db(TABLE, row.get(2)?)?,
        hlc: parsed(TABLE, &row.get::<_, String>(3)?)?,
        model_type: row.get(4)?,
        record_uuid: parsed(TABLE, &row.get::<_, String>(5)?)?,
        change_type: change_type(&row.get::<_, String>(6)?)?,
        data: object(TABLE, &row.get::<_, String>(7)?)?,
    };
    entry.check().map_err(|field| Fault::row(TABLE, format!("{field} out of bounds")))?;
    Ok(entry)
}

/// Adds an entry; the same one again is nothing new, another in its place an error.
pub(crate) fn add(conn: &Connection, player: PlayerId, e: &SharedEntry) -> Result<(), Fault> {
    e.check().map_err(|field| Fault::BadValue(format!("an entry whose {field} is out of bounds")))?;
    let added = conn
        .prepare_cached(
            "INSERT OR IGNORE INTO shared_entry
                 (player, device, epoch, seq, hlc, model_type, record_uuid, change_type, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            player.to_string(),
            e.device_id.to_string(),
            e.device_epoch.to_string(),
            to_db("position", e.seq)?,
            e.hlc.to_string(),
            e.model_type,
            e.record_uuid.to_string(),
            word(e.change_type),
            object_text(&e.data)?,
        ])?;
    if added == 1 || one(conn, player, e)? == *e {
        return Ok(());
    }
    Err(Fault::BadValue(format!("entry {} of {}, in whose place another is held,", e.seq, e.device_id)))
}

fn one(conn: &Connection, player: PlayerId, e: &SharedEntry) -> Result<SharedEntry, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT device, epoch, seq, hlc, model_type, record_uuid, change_type, data FROM shared_entry
         WHERE player = ?1 AND device = ?2 AND epoch = ?3 AND seq = ?4",
    )?;
    let key =
        params![player.to_string(), e.device_id.to_string(), e.device_epoch.to_string(), to_db("position", e.seq)?,];
    let mut rows = query.query(key)?;
    rows.next()?.map_or_else(|| Err(Fault::row(TABLE, "an entry that is not there")), read)
}

const fn word(change_type: ChangeType) -> &'static str {
    match change_type {
        ChangeType::Insert => "insert",
        ChangeType::Update => "update",
        ChangeType::Delete => "delete",
    }
}

fn change_type(word: &str) -> Result<ChangeType, Fault> {
    match word {
        "insert" => Ok(ChangeType::Insert),
        "update" => Ok(ChangeType::Update),
        "delete" => Ok(ChangeType::Delete),
        other => Err(Fault::row(TABLE, format!("change {other:?}"))),
    }
}
