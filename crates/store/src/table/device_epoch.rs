//! The life of this device: begun with the database, and anew when the database turns out to have been put back.

use bonfire_proto::DeviceEpoch;
use rusqlite::Connection;

use crate::error::Fault;
use crate::value::parsed;

const TABLE: &str = "device_epoch";

/// Writes the row of a new database, or of one from before there were such lives. The library's epoch names the same
/// thing, one life of this file.
pub(crate) fn init(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute("INSERT OR IGNORE INTO device_epoch (only, epoch) SELECT 1, epoch FROM library", []).map(|_| ())
}

pub(crate) fn read(conn: &Connection) -> Result<DeviceEpoch, Fault> {
    let epoch: String = conn.query_row("SELECT epoch FROM device_epoch", [], |r| r.get(0))?;
    parsed(TABLE, &epoch)
}

pub(crate) fn set(conn: &Connection, epoch: DeviceEpoch) -> Result<(), Fault> {
    conn.execute("UPDATE device_epoch SET epoch = ?1", [epoch.to_string()])?;
    Ok(())
}
