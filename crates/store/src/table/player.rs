//! Players of this device, as far as nothing but this device knows them.

use bonfire_engine::record::{KnownPlayer, Vouched};
use bonfire_proto::PlayerId;
use bonfire_proto::limits::TEXT_LEN_MAX;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{parsed, role, role_word};

const TABLE: &str = "player";

/// Most devices that are believed in without an entry: far more than a player may have, as lost ones count, too.
const VOUCHED_MAX: usize = 1_024;

/// All of them, sorted.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KnownPlayer>, Fault> {
    let mut query = conn.prepare_cached("SELECT player, name, role, vouched FROM player ORDER BY player")?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let known = KnownPlayer {
            player: parsed(TABLE, &row.get::<_, String>(0)?)?,
            name: row.get(1)?,
            role: role(TABLE, &row.get::<_, String>(2)?)?,
            vouched: serde_json::from_str(&row.get::<_, String>(3)?).map_err(|e| Fault::row(TABLE, e))?,
        };
        check(&known).map_err(|field| Fault::row(TABLE, format!("{field} out of bounds")))?;
        out.push(known);
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, known: &KnownPlayer) -> Result<(), Fault> {
    check(known).map_err(|field| Fault::BadValue(format!("a player whose {field} is out of bounds")))?;
    let vouched = serde_json::to_string(&known.vouched).map_err(|e| Fault::BadValue(e.to_string()))?;
    conn.prepare_cached("INSERT OR REPLACE INTO player (player, name, role, vouched) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![known.player.to_string(), known.name, role_word(known.role), vouched])?;
    Ok(())
}

/// Removes every row of a player but those of what was done, of whatever table.
pub(crate) fn forget(conn: &Connection, player: PlayerId) -> Result<(), Fault> {
    for table in OF_PLAYERS {
        conn.prepare_cached(&format!("DELETE FROM {table} WHERE player = ?1"))?.execute([player.to_string()])?;
    }
    Ok(())
}

/// The tables with rows of single players, without `audit`.
const OF_PLAYERS: [&str; 12] = [
    TABLE,
    "pair_token",
    "save_listing",
    "save_set",
    "save_slot",
    "shared_ack",
    "shared_entry",
    "shared_floor",
    "snapshot_node",
    "snapshot_text",
    "state_mark",
    "state_record",
];

fn check(known: &KnownPlayer) -> Result<(), &'static str> {
    let is_short = |v: &Vouched| v.name.len() <= TEXT_LEN_MAX;
    match known {
        _ if known.name.len() > TEXT_LEN_MAX => Err("name"),
        _ if known.vouched.len() > VOUCHED_MAX || !known.vouched.iter().all(is_short) => Err("vouched"),
        _ => Ok(()),
    }
}
