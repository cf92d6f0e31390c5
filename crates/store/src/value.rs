//! Values as SQLite holds them, checked in both directions.

use std::str::FromStr;

use bonfire_proto::message_sync::RecordData;
use bonfire_proto::{Digest, GameId, RelPath};

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
