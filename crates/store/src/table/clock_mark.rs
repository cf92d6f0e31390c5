//! The mark that this device's hybrid clock starts beyond. Never goes back.

use bonfire_engine::replication::clock::ClockMark;
use rusqlite::{Connection, OptionalExtension as _};

use crate::error::Fault;
use crate::value::{from_db, to_db};

const TABLE: &str = "clock_mark";

pub(crate) fn read(conn: &Connection) -> Result<ClockMark, Fault> {
    let ms: Option<i64> = conn.query_row("SELECT ms FROM clock_mark", [], |r| r.get(0)).optional()?;
    Ok(ClockMark(from_db(TABLE, ms.unwrap_or(0))?))
}

pub(crate) fn raise(conn: &Connection, mark: ClockMark) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO clock_mark (only, ms) VALUES (1, ?1) ON CONFLICT (only) DO UPDATE SET ms = max(ms, ?1)",
    )?
    .execute([to_db("time", mark.0)?])?;
    Ok(())
}
