//! How completely each owner's state is held, and where this device itself stands.

use bonfire_proto::message_sync::StateMark;
use bonfire_proto::{PeerId, PlayerId};
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, parsed, to_db};

const TABLE: &str = "state_mark";

pub(crate) fn all(conn: &Connection, player: PlayerId) -> Result<Vec<StateMark>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT device, generation, epoch, version FROM state_mark WHERE player = ?1 ORDER BY device",
    )?;
    let mut rows = query.query([player.to_string()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(StateMark {
            device_id: parsed(TABLE, &row.get::<_, String>(0)?)?,
            generation: from_db(TABLE, row.get(1)?)?,
            device_epoch: parsed(TABLE, &row.get::<_, String>(2)?)?,
            version: from_db(TABLE, row.get(3)?)?,
        });
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, player: PlayerId, mark: &StateMark) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO state_mark (player, device, generation, epoch, version) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        player.to_string(),
        mark.device_id.to_string(),
        to_db("generation", mark.generation)?,
        mark.device_epoch.to_string(),
        to_db("version", mark.version)?,
    ])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, player: PlayerId, device: PeerId) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM state_mark WHERE player = ?1 AND device = ?2")?
        .execute(params![player.to_string(), device.to_string()])?;
    Ok(())
}
