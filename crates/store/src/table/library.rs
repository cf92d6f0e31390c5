//! The one row that says where the library stands.

use bonfire_proto::LibraryEpoch;
use rusqlite::Connection;

use crate::error::Fault;
use crate::value::{from_db, to_db};

const TABLE: &str = "library";

pub(crate) struct Head {
    pub(crate) epoch: LibraryEpoch,
    pub(crate) rev: u64,
    pub(crate) floor_rev: u64,
}

/// Writes the row of a new database; an existing one stays as it is.
pub(crate) fn init(conn: &Connection, epoch: LibraryEpoch) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO library (only, epoch, rev, floor_rev) VALUES (1, ?1, 0, 0)";
    conn.execute(sql, [epoch.to_string()]).map(|_| ())
}

pub(crate) fn read(conn: &Connection) -> Result<Head, Fault> {
    let (epoch, rev, floor): (String, i64, i64) =
        conn.query_row("SELECT epoch, rev, floor_rev FROM library", [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    Ok(Head {
        epoch: epoch.parse().map_err(|e| Fault::row(TABLE, e))?,
        rev: from_db(TABLE, rev)?,
        floor_rev: from_db(TABLE, floor)?,
    })
}

pub(crate) fn set_rev(conn: &Connection, rev: u64) -> Result<(), Fault> {
    conn.execute("UPDATE library SET rev = ?1", [to_db("revision", rev)?])?;
    Ok(())
}

pub(crate) fn set_floor(conn: &Connection, floor_rev: u64) -> Result<(), Fault> {
    conn.execute("UPDATE library SET floor_rev = ?1", [to_db("revision", floor_rev)?])?;
    Ok(())
}
