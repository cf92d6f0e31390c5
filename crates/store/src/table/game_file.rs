//! The files of each game in the index, with the stamp under which their hashes hold.

use std::collections::BTreeMap;

use bonfire_proto::{Digest, GameId, RelPath};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Fault;
use crate::table::file_chunks;
use crate::value::{digest_option, from_db, rel_path, to_db};

const TABLE: &str = "game_file";

/// One file of a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Path beneath the game root.
    pub path: RelPath,
    /// Bytes.
    pub size: u64,
    /// When it was last changed, in nanoseconds since 1970-01-01 UTC, as the file system says.
    pub mtime_ns: i64,
    /// Its BLAKE3 hash, once it was read with this size and time.
    pub blake3: Option<Digest>,
}

/// Files of a game, sorted by path.
pub(crate) fn of_game(conn: &Connection, game: &GameId) -> Result<Vec<FileRow>, Fault> {
    let mut query =
        conn.prepare_cached("SELECT path, size, mtime_ns, blake3 FROM game_file WHERE game = ?1 ORDER BY path")?;
    let mut rows = query.query([game.as_str()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(FileRow {
            path: rel_path(TABLE, row.get(0)?)?,
            size: from_db(TABLE, row.get(1)?)?,
            mtime_ns: row.get(2)?,
            blake3: digest_option(TABLE, row.get(3)?)?,
        });
    }
    Ok(out)
}

/// Makes these the files of a game. A file with the stamp that it had keeps its known hash when the new row names none.
pub(crate) fn replace(conn: &Connection, game: &GameId, files: &[FileRow]) -> Result<(), Fault> {
    let mut old: BTreeMap<_, _> = of_game(conn, game)?.into_iter().map(|f| (f.path.clone(), f)).collect();
    let mut put = conn.prepare_cached(
        "INSERT INTO game_file (game, path, size, mtime_ns, blake3) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (game, path) DO UPDATE SET size = ?3, mtime_ns = ?4, blake3 = ?5",
    )?;
    for file in files {
        let before = old.remove(&file.path);
        let same_stamp = before.as_ref().is_some_and(|b| b.size == file.size && b.mtime_ns == file.mtime_ns);
        let known = before.as_ref().and_then(|b| b.blake3).filter(|_| same_stamp);
        let blake3 = file.blake3.or(known);
        if same_stamp && known == blake3 {
            continue;
        }
        if before.is_some() {
            file_chunks::remove(conn, game, &file.path)?;
        }
        let size = to_db("size", file.size)?;
        put.execute(params![game.as_str(), file.path.as_str(), size, file.mtime_ns, blake3.map(|d| d.0)])?;
    }
    let mut delete = conn.prepare_cached("DELETE FROM game_file WHERE game = ?1 AND path = ?2")?;
    for path in old.keys() {
        delete.execute([game.as_str(), path.as_str()])?;
    }
    Ok(())
}

/// Makes the file's hash unknown.
pub(crate) fn forget_blake3(conn: &Connection, game: &GameId, path: &RelPath) -> Result<(), Fault> {
    conn.prepare_cached("UPDATE game_file SET blake3 = NULL WHERE game = ?1 AND path = ?2")?
        .execute([game.as_str(), path.as_str()])?;
    Ok(())
}

/// The file's hash, or `None` when the file or its hash is not known.
pub(crate) fn blake3_of(conn: &Connection, game: &GameId, path: &RelPath) -> Result<Option<(u64, Digest)>, Fault> {
    let found: Option<(i64, Option<Vec<u8>>)> = conn
        .prepare_cached("SELECT size, blake3 FROM game_file WHERE game = ?1 AND path = ?2")?
        .query_row([game.as_str(), path.as_str()], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((size, blake3)) = found else { return Ok(None) };
    digest_option(TABLE, blake3)?.map(|d| from_db(TABLE, size).map(|s| (s, d))).transpose()
}

/// Notes a file's hash if the file still has this stamp. Returns whether it has.
pub(crate) fn set_blake3(
    conn: &Connection,
    game: &GameId,
    path: &RelPath,
    (size, mtime_ns): (u64, i64),
    blake3: Digest,
) -> Result<bool, Fault> {
    let touched = conn
        .prepare_cached(
            "UPDATE game_file SET blake3 = ?5 WHERE game = ?1 AND path = ?2 AND size = ?3 AND mtime_ns = ?4",
        )?
        .execute(params![game.as_str(), path.as_str(), to_db("size", size)?, mtime_ns, blake3.0])?;
    Ok(touched == 1)
}
