//! Up to where entries of an author may be missing, because later ones replaced them. Never goes back.

use bonfire_proto::PlayerId;
use bonfire_proto::message_sync::Watermark;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, parsed, to_db};

const TABLE: &str = "shared_floor";

pub(crate) fn all(conn: &Connection, player: PlayerId) -> Result<Vec<Watermark>, Fault> {
    let mut query = conn.prepare_cached("SELECT device, epoch, seq FROM shared_floor WHERE player = ?1")?;
    let mut rows = query.query([player.to_string()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(Watermark {
            device_id: parsed(TABLE, &row.get::<_, String>(0)?)?,
            device_epoch: parsed(TABLE, &row.get::<_, String>(1)?)?,
            seq: from_db(TABLE, row.get(2)?)?,
        });
    }
    Ok(out)
}

pub(crate) fn raise(conn: &Connection, player: PlayerId, floor: &Watermark) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO shared_floor (player, device, epoch, seq) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (player, device, epoch) DO UPDATE SET seq = max(seq, ?4)",
    )?
    .execute(params![
        player.to_string(),
        floor.device_id.to_string(),
        floor.device_epoch.to_string(),
        to_db("position", floor.seq)?,
    ])?;
    Ok(())
}
