//! Chunk digests of files that were read. Believed only when they merge to the file's hash.

use bonfire_proto::chunk::merge_chunk_hashes;
use bonfire_proto::{Digest, GameId, RelPath, chunk_count};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::error::Fault;
use crate::table::game_file;
use crate::value::{digest, from_db, rel_path};

const TABLE: &str = "file_chunks";

/// The hashes of one file and the stamp under which they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHashes {
    /// Path beneath the game root.
    pub path: RelPath,
    /// Bytes that were read.
    pub size: u64,
    /// Time stamp of the file before and after it was read, in nanoseconds since 1970-01-01 UTC.
    pub mtime_ns: i64,
    /// The file's BLAKE3 hash.
    pub blake3: Digest,
    /// Digests of its chunks, in order.
    pub chunks: Vec<Digest>,
}

/// Chunk digests of one file, if they are known.
pub(crate) fn of_file(conn: &Connection, game: &GameId, path: &RelPath) -> Result<Option<Vec<Digest>>, Fault> {
    let Some((size, blake3)) = game_file::blake3_of(conn, game, path)? else { return Ok(None) };
    let bytes: Option<Vec<u8>> = conn
        .prepare_cached("SELECT hashes FROM file_chunks WHERE game = ?1 AND path = ?2")?
        .query_row([game.as_str(), path.as_str()], |r| r.get(0))
        .optional()?;
    bytes.map(|b| unpack(path, size, blake3, &b)).transpose()
}

/// Everything known of a game's files, sorted by path.
pub(crate) fn of_game(conn: &Connection, game: &GameId) -> Result<Vec<FileHashes>, Fault> {
    let mut query = conn.prepare_cached(
        "SELECT path, size, mtime_ns, blake3, hashes
         FROM game_file JOIN file_chunks USING (game, path)
         WHERE game = ?1 AND blake3 IS NOT NULL ORDER BY path",
    )?;
    let mut rows = query.query([game.as_str()])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        let path = rel_path(TABLE, row.get(0)?)?;
        let size = from_db(TABLE, row.get(1)?)?;
        let blake3 = digest(TABLE, &row.get::<_, Vec<u8>>(3)?)?;
        let chunks = unpack(&path, size, blake3, &row.get::<_, Vec<u8>>(4)?)?;
        out.push(FileHashes { path, size, mtime_ns: row.get(2)?, blake3, chunks });
    }
    Ok(out)
}

/// Notes hashes of a file. Returns whether the file still has the stamp under which they hold; else nothing is noted.
pub(crate) fn put(conn: &Connection, game: &GameId, hashes: &FileHashes) -> Result<bool, Fault> {
    if !belong_together(hashes.size, hashes.blake3, &hashes.chunks) {
        return Err(Fault::BadValue(format!("chunk hashes of {game}/{} that are not the file's", hashes.path)));
    }
    let stamp = (hashes.size, hashes.mtime_ns);
    if !game_file::set_blake3(conn, game, &hashes.path, stamp, hashes.blake3)? {
        return Ok(false);
    }
    let bytes: Vec<u8> = hashes.chunks.iter().flat_map(|d| d.0).collect();
    conn.prepare_cached("INSERT OR REPLACE INTO file_chunks (game, path, hashes) VALUES (?1, ?2, ?3)")?
        .execute(params![game.as_str(), hashes.path.as_str(), bytes])?;
    Ok(true)
}

pub(crate) fn remove(conn: &Connection, game: &GameId, path: &RelPath) -> Result<(), Fault> {
    conn.prepare_cached("DELETE FROM file_chunks WHERE game = ?1 AND path = ?2")?
        .execute([game.as_str(), path.as_str()])?;
    Ok(())
}

fn unpack(path: &RelPath, size: u64, blake3: Digest, bytes: &[u8]) -> Result<Vec<Digest>, Fault> {
    let chunks = bytes.chunks(32).map(|b| digest(TABLE, b)).collect::<Result<Vec<_>, _>>()?;
    if belong_together(size, blake3, &chunks) {
        Ok(chunks)
    } else {
        Err(Fault::row(TABLE, format!("chunk hashes of {path} that are not the file's")))
    }
}

fn belong_together(size: u64, blake3: Digest, chunks: &[Digest]) -> bool {
    u32::try_from(chunks.len()) == Ok(chunk_count(size)) && merge_chunk_hashes(chunks) == Some(blake3)
}
