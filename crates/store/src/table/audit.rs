//! Who did what, the newest `AUDIT_MAX` entries of it. It outlives the players that it speaks of.

use bonfire_engine::command::saves::AuditFilter;
use bonfire_engine::saves_view::AuditEntry;
use bonfire_proto::SnapshotId;
use rusqlite::{Connection, Row, params};

use crate::error::Fault;
use crate::value::{digest, from_db, game, packed, parsed, snapshots, to_db};

const TABLE: &str = "audit";

/// Most entries that are kept; beyond it the oldest are forgotten.
pub const AUDIT_MAX: u64 = 100_000;

/// Most entries of an answer.
const LIMIT_MAX: u32 = 10_000;
/// Entries of an answer when nobody said how many.
const LIMIT_DEFAULT: u32 = 100;

/// Longest name of an action, in bytes.
const ACTION_LEN_MAX: usize = 64;

/// What the filter lets through, newest first.
pub(crate) fn some(conn: &Connection, filter: &AuditFilter) -> Result<Vec<AuditEntry>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT seq, at, player, game, slot, device, action, snapshot, replaced, detail FROM audit
         WHERE (?1 IS NULL OR player = ?1) AND (?2 IS NULL OR game = ?2) AND (?3 IS NULL OR slot = ?3)
               AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR at >= ?5)
         ORDER BY seq DESC LIMIT ?6",
    )?;
    let mut rows = query.query(params![
        filter.player.map(|p| p.to_string()),
        filter.game.as_ref().map(|g| g.as_str()),
        filter.slot.as_ref().map(|s| s.as_str()),
        filter.action,
        // No entry is of a time that cannot be stored.
        filter.since.map(|since| i64::try_from(since).unwrap_or(i64::MAX)),
        filter.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX),
    ])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<AuditEntry, Fault> {
    Ok(AuditEntry {
        seq: from_db(TABLE, row.get(0)?)?,
        at: from_db(TABLE, row.get(1)?)?,
        player: parsed(TABLE, &row.get::<_, String>(2)?)?,
        game: row.get::<_, Option<String>>(3)?.map(|id| game(TABLE, id)).transpose()?,
        slot: row.get::<_, Option<String>>(4)?.map(|name| parsed(TABLE, &name)).transpose()?,
        device: parsed(TABLE, &row.get::<_, String>(5)?)?,
        action: row.get(6)?,
        snapshot: row.get::<_, Option<Vec<u8>>>(7)?.map(|b| digest(TABLE, &b).map(SnapshotId)).transpose()?,
        replaced: snapshots(TABLE, &row.get::<_, Vec<u8>>(8)?)?,
        detail: row.get(9)?,
    })
}

/// Adds an entry under the next number, whatever its own says.
pub(crate) fn add(conn: &Connection, entry: &AuditEntry) -> Result<(), Fault> {
    if !(1..=ACTION_LEN_MAX).contains(&entry.action.len()) {
        return Err(Fault::BadValue(format!("an action with a name of {} bytes", entry.action.len())));
    }
    conn.prepare_cached(
        "INSERT INTO audit (at, player, game, slot, device, action, snapshot, replaced, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        to_db("time", entry.at)?,
        entry.player.to_string(),
        entry.game.as_ref().map(|g| g.as_str()),
        entry.slot.as_ref().map(|s| s.as_str()),
        entry.device.to_string(),
        entry.action,
        entry.snapshot.map(|id| id.0.0),
        packed(&entry.replaced),
        entry.detail,
    ])?;
    Ok(())
}

/// Forgets what is beyond `AUDIT_MAX`.
pub(crate) fn trim(conn: &Connection) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM audit WHERE seq <= (SELECT max(seq) FROM audit) - ?1")?
        .execute([to_db("count", AUDIT_MAX)?])?;
    Ok(())
}
