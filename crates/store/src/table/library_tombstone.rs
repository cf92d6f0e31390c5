//! Games that the library listed once, and the revision that removed each.

use bonfire_engine::library::tombstone_floor;
use bonfire_proto::GameId;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, game, to_db};

const TABLE: &str = "library_tombstone";

pub(crate) fn all(conn: &Connection) -> Result<Vec<(GameId, u64)>, Fault> {
    let mut query = conn.prepare_cached("SELECT game, rev FROM library_tombstone ORDER BY game")?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push((game(TABLE, row.get(0)?)?, from_db(TABLE, row.get(1)?)?));
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, id: &GameId, rev: u64) -> Result<(), Fault> {
    conn.prepare_cached("INSERT OR REPLACE INTO library_tombstone (game, rev) VALUES (?1, ?2)")?
        .execute(params![id.as_str(), to_db("revision", rev)?])?;
    Ok(())
}

pub(crate) fn remove(conn: &Connection, id: &GameId) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM library_tombstone WHERE game = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Drops the oldest beyond the bound, by the engine's rule. Returns the revision up to which they went.
pub(crate) fn trim(conn: &Connection) -> Result<Option<u64>, Fault> {
    let Some(floor) = tombstone_floor(all(conn)?.into_iter().map(|(_, rev)| rev)) else { return Ok(None) };
    conn.execute("DELETE FROM library_tombstone WHERE rev <= ?1", [to_db("revision", floor)?])?;
    Ok(Some(floor))
}
