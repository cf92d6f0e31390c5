//! What each device said it holds of each author's entries. Never goes back within a life.

use bonfire_engine::replication::Life;
use bonfire_proto::PlayerId;
use bonfire_proto::message_sync::Watermark;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, parsed, to_db};

const TABLE: &str = "shared_ack";

pub(crate) fn all(conn: &Connection, player: PlayerId) -> Result<Vec<(Life, Watermark)>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT from_device, from_epoch, device, epoch, seq FROM shared_ack WHERE player = ?1
         ORDER BY from_device, from_epoch, device, epoch",
    )?;
    let mut rows = query.query([player.to_string()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let from = Life {
            device: parsed(TABLE, &row.get::<_, String>(0)?)?,
            epoch: parsed(TABLE, &row.get::<_, String>(1)?)?,
        };
        let mark = Watermark {
            device_id: parsed(TABLE, &row.get::<_, String>(2)?)?,
            device_epoch: parsed(TABLE, &row.get::<_, String>(3)?)?,
            seq: from_db(TABLE, row.get(4)?)?,
        };
        out.push((from, mark));
    }
    Ok(out)
}

pub(crate) fn raise(conn: &Connection, player: PlayerId, from: Life, mark: &Watermark) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO shared_ack (player, from_device, from_epoch, device, epoch, seq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (player, from_device, from_epoch, device, epoch) DO UPDATE SET seq = max(seq, ?6)",
    )?
    .execute(params![
        player.to_string(),
        from.device.to_string(),
        from.epoch.to_string(),
        mark.device_id.to_string(),
        mark.device_epoch.to_string(),
        to_db("position", mark.seq)?,
    ])?;
    Ok(())
}
