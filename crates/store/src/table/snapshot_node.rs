//! Snapshots that are known here, and whether they are stored: the ancestry of every line.
//!
//! Read whole at each start. A row is read without a parse beyond its ids, and what rows of one line share is made once.

use bonfire_engine::record::{Holding, KnownNode};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::Node;
use bonfire_proto::hlc::HLC_MS_MAX;
use bonfire_proto::limits::{PARENTS_MAX, PLAYED_MS_MAX, SAVE_FILES_MAX, SAVE_SIZE_MAX};
use bonfire_proto::{SaveHash, SnapshotId, SnapshotKind};
use rusqlite::{Connection, Row, params};

use crate::error::Fault;
use crate::value::{blob, digest, from_db, line, packed, parsed, snapshots, text, to_db};

const TABLE: &str = "snapshot_node";

/// All of them by line, both sorted.
pub(crate) fn all(conn: &Connection) -> Result<Vec<(Line, Vec<KnownNode>)>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT player, game, slot, id, parents, content, kind, hlc, device, created_at, files, size, holding, played_ms
         FROM snapshot_node ORDER BY player, game, slot, id",
    )?;
    let mut rows = query.query([])?;
    let mut out: Vec<(Line, Vec<KnownNode>)> = Vec::new();
    let mut here: [String; 3] = Default::default();
    while let Some(row) = rows.next()? {
        let node = read(row)?;
        let place = [text(row, 0)?, text(row, 1)?, text(row, 2)?];
        match out.last_mut().filter(|_| place == here) {
            Some((_, nodes)) => nodes.push(node),
            None => {
                here = place.map(str::to_owned);
                out.push((line(TABLE, row)?, vec![node]));
            }
        }
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<KnownNode, Fault> {
    let node = Node {
        id: SnapshotId(digest(TABLE, blob(row, 3)?)?),
        parents: snapshots(TABLE, blob(row, 4)?)?,
        content: SaveHash(digest(TABLE, blob(row, 5)?)?),
        kind: kind(text(row, 6)?)?,
        hlc: parsed(TABLE, text(row, 7)?)?,
        device: parsed(TABLE, text(row, 8)?)?,
        created_at: from_db(TABLE, row.get(9)?)?,
        files: from_db(TABLE, row.get(10)?)?,
        size: from_db(TABLE, row.get(11)?)?,
        played_ms: from_db(TABLE, row.get(13)?)?,
    };
    check(&node).map_err(|field| Fault::row(TABLE, format!("{field} out of bounds")))?;
    Ok(KnownNode { node, holding: holding(text(row, 12)?)? })
}

pub(crate) fn put(conn: &Connection, line: &Line, known: &KnownNode) -> Result<(), Fault> {
    let KnownNode { node, holding } = known;
    check(node).map_err(|field| Fault::BadValue(format!("a snapshot whose {field} is out of bounds")))?;
    conn.prepare_cached(
        "INSERT OR REPLACE INTO snapshot_node
             (player, game, slot, id, parents, content, kind, hlc, device, created_at, files, size, holding,
              played_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        line.player.to_string(),
        line.game_id.as_str(),
        line.slot.as_str(),
        node.id.0.0,
        packed(&node.parents),
        node.content.0.0,
        kind_word(node.kind),
        node.hlc.to_string(),
        node.device.to_string(),
        to_db("time", node.created_at)?,
        to_db("count", node.files)?,
        to_db("size", node.size)?,
        holding_word(*holding),
        to_db("time played", node.played_ms)?,
    ])?;
    Ok(())
}

fn check(node: &Node) -> Result<(), &'static str> {
    match node {
        _ if node.parents.len() > PARENTS_MAX || !node.parents.is_sorted_by(|a, b| a < b) => Err("parents"),
        _ if node.hlc.ms > HLC_MS_MAX => Err("hlc"),
        _ if node.files > SAVE_FILES_MAX as u64 => Err("files"),
        _ if node.size > SAVE_SIZE_MAX => Err("size"),
        _ if node.played_ms > PLAYED_MS_MAX => Err("time played"),
        _ => Ok(()),
    }
}

const fn kind_word(kind: SnapshotKind) -> &'static str {
    match kind {
        SnapshotKind::Save => "save",
        SnapshotKind::Tombstone => "tombstone",
        SnapshotKind::Merge => "merge",
        SnapshotKind::Rollback => "rollback",
    }
}

fn kind(word: &str) -> Result<SnapshotKind, Fault> {
    match word {
        "save" => Ok(SnapshotKind::Save),
        "tombstone" => Ok(SnapshotKind::Tombstone),
        "merge" => Ok(SnapshotKind::Merge),
        "rollback" => Ok(SnapshotKind::Rollback),
        other => Err(Fault::row(TABLE, format!("kind {other:?}"))),
    }
}

const fn holding_word(holding: Holding) -> &'static str {
    match holding {
        Holding::Whole => "whole",
        Holding::Named => "named",
        Holding::Pruned => "pruned",
    }
}

fn holding(word: &str) -> Result<Holding, Fault> {
    match word {
        "whole" => Ok(Holding::Whole),
        "named" => Ok(Holding::Named),
        "pruned" => Ok(Holding::Pruned),
        other => Err(Fault::row(TABLE, format!("holding {other:?}"))),
    }
}
