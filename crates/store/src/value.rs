//! Values as SQLite holds them, checked in both directions.

use std::str::FromStr;

use bonfire_engine::saves::join::Line;
use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::message_sync::RecordData;
use bonfire_proto::{Digest, GameId, RelPath, SnapshotId};
use rusqlite::Row;

use crate::error::Fault;

/// A number as SQLite can hold it.
pub(crate) fn to_db(what: &'static str, n: u64) -> Result<i64, Fault> {
    i64::try_from(n).map_err(|_| Fault::BadValue(format!("{what} {n}")))
}

pub(crate) fn from_db(table: &'static str, n: i64) -> Result<u64, Fault> {
    u64::try_from(n).map_err(|_| Fault::row(table, format!("negative number {n}")))
}

pub(crate) fn digest(table: &'static str, bytes: &[u8]) -> Result<Digest, Fault> {
    <[u8; 32]>::try_from(bytes).map(Digest).map_err(|_| Fault::row(table, format!("hash of {} bytes", bytes.len())))
}

pub(crate) fn digest_option(table: &'static str, bytes: Option<Vec<u8>>) -> Result<Option<Digest>, Fault> {
    bytes.map(|b| digest(table, &b)).transpose()
}

pub(crate) fn game(table: &'static str, id: String) -> Result<GameId, Fault> {
    GameId::new(id).map_err(|e| Fault::row(table, e))
}

pub(crate) fn rel_path(table: &'static str, path: String) -> Result<RelPath, Fault> {
    RelPath::new(path).map_err(|e| Fault::row(table, e))
}

/// An id or a time that is kept as text.
pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(table: &'static str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|e| Fault::row(table, e))
}

/// Content of a record.
pub(crate) fn object(table: &'static str, text: &str) -> Result<RecordData, Fault> {
    serde_json::from_str(text).map_err(|e| Fault::row(table, e))
}

pub(crate) fn object_text(data: &RecordData) -> Result<String, Fault> {
    serde_json::to_string(data).map_err(|e| Fault::BadValue(e.to_string()))
}

/// The line that a row begins with: its player, game and slot.
pub(crate) fn line(table: &'static str, row: &Row<'_>) -> Result<Line, Fault> {
    Ok(Line {
        player: parsed(table, text(row, 0)?)?,
        game_id: game(table, text(row, 1)?.to_owned())?,
        slot: parsed(table, text(row, 2)?)?,
    })
}

/// Ids of snapshots in one blob, one after the other.
pub(crate) fn packed<'a>(ids: impl IntoIterator<Item = &'a SnapshotId>) -> Vec<u8> {
    ids.into_iter().flat_map(|id| id.0.0).collect()
}

pub(crate) fn snapshots(table: &'static str, bytes: &[u8]) -> Result<Vec<SnapshotId>, Fault> {
    bytes.chunks(32).map(|b| digest(table, b).map(SnapshotId)).collect()
}

pub(crate) const fn role_word(role: DeviceRole) -> &'static str {
    match role {
        DeviceRole::Personal => "personal",
        DeviceRole::Unattended => "unattended",
    }
}

pub(crate) fn role(table: &'static str, word: &str) -> Result<DeviceRole, Fault> {
    match word {
        "personal" => Ok(DeviceRole::Personal),
        "unattended" => Ok(DeviceRole::Unattended),
        other => Err(Fault::row(table, format!("role {other:?}"))),
    }
}

/// Text of a row where it lies.
pub(crate) fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, Fault> {
    Ok(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
}

/// Bytes of a row where they lie.
pub(crate) fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], Fault> {
    Ok(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)
}
