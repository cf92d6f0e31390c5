//! Where save sets lie on this device.

use std::collections::BTreeSet;

use bonfire_engine::record::KnownSet;
use bonfire_engine::saves::work::{Placement, SetKey};
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{game, parsed};

const TABLE: &str = "save_set";

/// Longest name of a part, in bytes.
const LABEL_LEN_MAX: usize = 32;

/// All of them, sorted by player and game.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KnownSet>, Fault> {
    let mut query = conn.prepare_cached("SELECT player, game, place, slot FROM save_set ORDER BY player, game")?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let place = serde_json::from_str(&row.get::<_, String>(2)?).map_err(|e| Fault::row(TABLE, e))?;
        check(&place).map_err(|what| Fault::row(TABLE, what))?;
        out.push(KnownSet {
            set: SetKey { player: parsed(TABLE, &row.get::<_, String>(0)?)?, game: game(TABLE, row.get(1)?)? },
            place,
            slot: parsed(TABLE, &row.get::<_, String>(3)?)?,
        });
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, known: &KnownSet) -> Result<(), Fault> {
    check(&known.place).map_err(|what| Fault::BadValue(format!("a save set with {what}")))?;
    let place = serde_json::to_string(&known.place).map_err(|e| Fault::BadValue(e.to_string()))?;
    conn.prepare_cached("INSERT OR REPLACE INTO save_set (player, game, place, slot) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![known.set.player.to_string(), known.set.game.as_str(), place, known.slot.as_str()])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, set: &SetKey) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM save_set WHERE player = ?1 AND game = ?2")?
        .execute(params![set.player.to_string(), set.game.as_str()])?;
    Ok(())
}

fn check(place: &Placement) -> Result<(), &'static str> {
    let labels: BTreeSet<&str> = place.roots.iter().map(|root| root.label.as_str()).collect();
    match place.roots.len() {
        n if labels.len() < n => Err("two parts of one name"),
        _ if !labels.iter().all(|label| (1..=LABEL_LEN_MAX).contains(&label.len())) => Err("a part without a name"),
        _ if place.roots.iter().any(|root| root.path.is_empty()) => Err("a part that lies nowhere"),
        _ => Ok(()),
    }
}
