//! Values as SQLite holds them, checked in both directions.

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
