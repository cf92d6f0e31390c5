//! Device-owned state: the newest word of each owner on each of its records.

use bonfire_engine::replication::state::StateKey;
use bonfire_proto::PlayerId;
use bonfire_proto::message_sync::StateRecord;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, object, object_text, parsed, to_db};

const TABLE: &str = "state_record";

pub(crate) fn all(conn: &Connection, player: PlayerId) -> Result<Vec<StateRecord>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT device, model_type, record_uuid, epoch, generation, version, data, timestamp FROM state_record
         WHERE player = ?1 ORDER BY device, model_type, record_uuid",
    )?;
    let mut rows = query.query([player.to_string()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let record = StateRecord {
            device_id: parsed(TABLE, &row.get::<_, String>(0)?)?,
            model_type: row.get(1)?,
            record_uuid: parsed(TABLE, &row.get::<_, String>(2)?)?,
            device_epoch: parsed(TABLE, &row.get::<_, String>(3)?)?,
            generation: from_db(TABLE, row.get(4)?)?,
            version: from_db(TABLE, row.get(5)?)?,
            data: row.get::<_, Option<String>>(6)?.map(|text| object(TABLE, &text)).transpose()?,
            timestamp: from_db(TABLE, row.get(7)?)?,
        };
        record.check().map_err(|field| Fault::row(TABLE, format!("{field} out of bounds")))?;
        out.push(record);
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, player: PlayerId, r: &StateRecord) -> Result<(), Fault> {
    r.check().map_err(|field| Fault::BadValue(format!("a record whose {field} is out of bounds")))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO state_record
             (player, device, model_type, record_uuid, epoch, generation, version, data, timestamp)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        player.to_string(),
        r.device_id.to_string(),
        r.model_type,
        r.record_uuid.to_string(),
        r.device_epoch.to_string(),
        to_db("generation", r.generation)?,
        to_db("version", r.version)?,
        r.data.as_ref().map(object_text).transpose()?,
        to_db("time", r.timestamp)?,
    ])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, player: PlayerId, key: &StateKey) -> Result<(), Fault> {
    conn.prepare_cached(
        "DELETE FROM state_record WHERE player = ?1 AND device = ?2 AND model_type = ?3 AND record_uuid = ?4",
    )?
    .execute(params![player.to_string(), key.device.to_string(), key.model_type, key.record_uuid.to_string()])?;
    Ok(())
}
