//! What the last look at each game's folder found, and the fingerprint that says whether another look is needed.

use bonfire_proto::{ContentHash, GameId, ManifestHash};
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::table::game_file::FileRow;
use crate::value::{digest, digest_option, from_db, game, to_db};

const TABLE: &str = "game_index";

/// One game of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexRow {
    /// The game.
    pub game: GameId,
    /// Opaque text; equal text means that nothing has to be read again.
    pub fingerprint: String,
    /// Version that the sentinel states.
    pub version: String,
    /// Bytes of all files.
    pub size: u64,
    /// Hash of the file list.
    pub manifest_hash: ManifestHash,
    /// Hash of the content, once every file was read.
    pub content_hash: Option<ContentHash>,
    /// The files; `None` when read without them, or to leave those in the index as they are.
    pub files: Option<Vec<FileRow>>,
    /// What is wrong with the folder.
    pub problems: Vec<String>,
}

/// All games without their files, sorted.
pub(crate) fn all(conn: &Connection) -> Result<Vec<IndexRow>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT game, fingerprint, version, size, manifest_hash, content_hash, problems FROM game_index ORDER BY game",
    )?;
    let mut rows = query.query([])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(IndexRow {
            game: game(TABLE, row.get(0)?)?,
            fingerprint: row.get(1)?,
            version: row.get(2)?,
            size: from_db(TABLE, row.get(3)?)?,
            manifest_hash: ManifestHash(digest(TABLE, &row.get::<_, Vec<u8>>(4)?)?),
            content_hash: digest_option(TABLE, row.get(5)?)?.map(ContentHash),
            files: None,
            problems: serde_json::from_str(&row.get::<_, String>(6)?).map_err(|e| Fault::row(TABLE, e))?,
        });
    }
    Ok(out)
}

pub(crate) fn put(conn: &Connection, row: &IndexRow) -> Result<(), Fault> {
    let problems = serde_json::to_string(&row.problems).map_err(|e| Fault::BadValue(e.to_string()))?;
    conn.prepare_cached(
        "INSERT INTO game_index (game, fingerprint, version, size, manifest_hash, content_hash, problems)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (game) DO UPDATE SET fingerprint = ?2, version = ?3, size = ?4, manifest_hash = ?5,
                                          content_hash = ?6, problems = ?7",
    )?
    .execute(params![
        row.game.as_str(),
        row.fingerprint,
        row.version,
        to_db("size", row.size)?,
        row.manifest_hash.0.0,
        row.content_hash.map(|c| c.0.0),
        problems,
    ])?;
    Ok(())
}

/// Removes a game with its files and their hashes.
pub(crate) fn remove(conn: &Connection, id: &GameId) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM game_index WHERE game = ?1")?.execute([id.as_str()])?;
    Ok(())
}
