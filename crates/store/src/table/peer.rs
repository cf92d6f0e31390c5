//! Peers that were connected once: where to look for them again.

use std::net::SocketAddr;

use bonfire_engine::time::UnixMillis;
use bonfire_proto::{PeerId, text};
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::value::{from_db, to_db};

const TABLE: &str = "peer";

/// Most peers that are remembered; beyond it those not seen for the longest time are forgotten.
pub const KNOWN_PEERS_MAX: usize = 1_024;

/// A peer that was connected once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Who.
    pub peer: PeerId,
    /// Name for people.
    pub name: String,
    /// Its listener.
    pub addr: SocketAddr,
    /// When it was last connected.
    pub seen: UnixMillis,
}

pub(crate) fn put(conn: &Connection, peer: &KnownPeer) -> Result<(), Fault> {
    conn.prepare_cached(
        "INSERT INTO peer (peer_id, name, addr, seen) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (peer_id) DO UPDATE SET name = ?2, addr = ?3, seen = ?4",
    )?
    .execute(params![
        peer.peer.to_string(),
        text::clean(&peer.name),
        peer.addr.to_string(),
        to_db("time", peer.seen.0)?,
    ])?;
    conn.prepare_cached(
        "DELETE FROM peer WHERE peer_id IN (SELECT peer_id FROM peer ORDER BY seen DESC, peer_id LIMIT -1 OFFSET ?1)",
    )?
    .execute([i64::try_from(KNOWN_PEERS_MAX).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// All of them, last seen first.
pub(crate) fn all(conn: &Connection) -> Result<Vec<KnownPeer>, Fault> {
    let mut query = conn.prepare_cached("SELECT peer_id, name, addr, seen FROM peer ORDER BY seen DESC, peer_id")?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(KnownPeer {
            peer: row.get::<_, String>(0)?.parse().map_err(|e| Fault::row(TABLE, e))?,
            name: row.get(1)?,
            addr: row.get::<_, String>(2)?.parse().map_err(|e| Fault::row(TABLE, e))?,
            seen: UnixMillis(from_db(TABLE, row.get(3)?)?),
        });
    }
    Ok(out)
}
