//! The games that the library lists, and the revisions that listed and last changed them.

use bonfire_engine::library::LibraryRow;
use bonfire_proto::{Availability, ContentHash, GameId, GameSummary, ManifestHash};
use rusqlite::{Connection, Row, params};

use crate::error::Fault;
use crate::value::{digest, digest_option, from_db, game, to_db};

const TABLE: &str = "library_game";

pub(crate) fn all(conn: &Connection) -> Result<Vec<LibraryRow>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT game, name, eti_version, size, downloaded, installed, manifest_hash, content_hash, availability,
                added_rev, changed_rev
         FROM library_game ORDER BY game",
    )?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

fn read(row: &Row<'_>) -> Result<LibraryRow, Fault> {
    let summary = GameSummary {
        id: game(TABLE, row.get(0)?)?,
        name: row.get(1)?,
        eti_version: row.get(2)?,
        size: from_db(TABLE, row.get(3)?)?,
        downloaded: row.get(4)?,
        installed: row.get(5)?,
        manifest_hash: ManifestHash(digest(TABLE, &row.get::<_, Vec<u8>>(6)?)?),
        content_hash: digest_option(TABLE, row.get(7)?)?.map(ContentHash),
        availability: availability(&row.get::<_, String>(8)?)?,
    };
    Ok(LibraryRow { summary, added_rev: from_db(TABLE, row.get(9)?)?, changed_rev: from_db(TABLE, row.get(10)?)? })
}

pub(crate) fn add(conn: &Connection, g: &GameSummary, rev: u64) -> Result<(), Fault> {
    let rev = to_db("revision", rev)?;
    conn.prepare_cached(
        "INSERT INTO library_game (game, name, eti_version, size, downloaded, installed, manifest_hash, content_hash,
                                   availability, added_rev, changed_rev)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
    )?
    .execute(params![
        g.id.as_str(),
        g.name,
        g.eti_version,
        to_db("size", g.size)?,
        g.downloaded,
        g.installed,
        g.manifest_hash.0.0,
        g.content_hash.map(|c| c.0.0),
        word(g.availability),
        rev,
    ])?;
    Ok(())
}

pub(crate) fn update(conn: &Connection, g: &GameSummary, rev: u64) -> Result<(), Fault> {
    let touched = conn
        .prepare_cached(
            "UPDATE library_game SET name = ?2, eti_version = ?3, size = ?4, downloaded = ?5, installed = ?6,
                                     manifest_hash = ?7, content_hash = ?8, availability = ?9, changed_rev = ?10
             WHERE game = ?1",
        )?
        .execute(params![
            g.id.as_str(),
            g.name,
            g.eti_version,
            to_db("size", g.size)?,
            g.downloaded,
            g.installed,
            g.manifest_hash.0.0,
            g.content_hash.map(|c| c.0.0),
            word(g.availability),
            to_db("revision", rev)?,
        ])?;
    if touched == 1 { Ok(()) } else { Err(Fault::BadValue(format!("an update of {}, which is not listed,", g.id))) }
}

pub(crate) fn remove(conn: &Connection, id: &GameId) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM library_game WHERE game = ?1")?.execute([id.as_str()])?;
    Ok(())
}

const fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Ready => "ready",
        Availability::Downloading => "downloading",
        Availability::LocalOnly => "local_only",
    }
}

fn availability(word: &str) -> Result<Availability, Fault> {
    match word {
        "ready" => Ok(Availability::Ready),
        "downloading" => Ok(Availability::Downloading),
        "local_only" => Ok(Availability::LocalOnly),
        other => Err(Fault::row(TABLE, format!("availability {other:?}"))),
    }
}
