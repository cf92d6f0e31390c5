//! What the last look at a save set's disk found, in bytes that mean nothing here.

use bonfire_engine::saves::work::SetKey;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Fault;

pub(crate) fn get(conn: &Connection, set: &SetKey) -> Result<Option<Vec<u8>>, Fault> {
    Ok(conn
        .prepare_cached("SELECT listing FROM save_listing WHERE player = ?1 AND game = ?2")?
        .query_row(params![set.player.to_string(), set.game.as_str()], |r| r.get(0))
        .optional()?)
}

pub(crate) fn set(conn: &Connection, set: &SetKey, listing: Option<&[u8]>) -> Result<(), Fault> {
    let (player, game) = (set.player.to_string(), set.game.as_str());
    match listing {
        Some(bytes) => conn
            .prepare_cached("INSERT OR REPLACE INTO save_listing (player, game, listing) VALUES (?1, ?2, ?3)")?
            .execute(params![player, game, bytes])?,
        None => conn
            .prepare_cached("DELETE FROM save_listing WHERE player = ?1 AND game = ?2")?
            .execute(params![player, game])?,
    };
    Ok(())
}
