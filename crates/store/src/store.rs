//! The open database: how it is opened, and every question and change as one transaction.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bonfire_engine::library::{LibraryChange, StoredLibrary};
use bonfire_proto::{Digest, GameId, LibraryEpoch, RelPath};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{Fault, StoreError, StoreResult};
use crate::migrate::{APPLICATION_ID, SCHEMA_VERSION, Stamp, migrate, stamp};
use crate::table::file_chunks::FileHashes;
use crate::table::game_file::FileRow;
use crate::table::game_index::IndexRow;
use crate::table::peer::KnownPeer;
use crate::table::{
    device_epoch, file_chunks, game_file, game_index, library, library_game, library_tombstone, peer, setting,
};

mod replication;
mod saves;

/// How long a call waits for another connection to the same file.
const BUSY_AFTER: Duration = Duration::from_secs(5);
/// Largest file that is checked page by page when it is opened. Beyond it the check would delay the start by seconds;
/// damage then shows when the page is read.
const CHECKED_LEN_MAX: u64 = 64 << 20;

/// The state database.
#[derive(Debug)]
pub struct Store {
    conn: Connection,
    path: PathBuf,
}

/// What `Store::commit_library` makes durable together.
#[derive(Debug, Clone, Copy, Default)]
pub struct LibraryCommit<'a> {
    /// The new revision, when the library changed.
    pub change: Option<&'a LibraryChange>,
    /// Rows of the index to put in or replace.
    pub index: &'a [IndexRow],
    /// Games that leave the index.
    pub gone: &'a [GameId],
    /// Hashes of files that the index has then, by game; those of other stamps are passed over. A row that tells a
    /// file's hash without the digests of its chunks can never be served.
    pub hashes: &'a [(GameId, Vec<FileHashes>)],
}

impl Store {
    /// Opens the database, makes it when there is none, brings it to the newest schema. `fresh_epoch` becomes the library
    /// epoch of a new database and is not used otherwise.
    ///
    /// # Errors
    /// `Future` and `NotOurs` leave the file untouched; `Damaged` names the file, which stays for a person to look at.
    pub fn open(path: &Path, fresh_epoch: LibraryEpoch) -> StoreResult<Self> {
        let len = match std::fs::metadata(path) {
            Ok(meta) => meta.len(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(source) => return Err(StoreError::Io { path: path.to_owned(), source }),
        };
        if len > 0 {
            inspect(path)?;
        }
        let conn = Connection::open(path).map_err(|e| broken(path, "opening", e))?;
        Self::prepare(conn, path, fresh_epoch, (1..=CHECKED_LEN_MAX).contains(&len))
    }

    /// A database that vanishes when it is dropped.
    ///
    /// # Errors
    /// When SQLite cannot make it.
    pub fn in_memory(fresh_epoch: LibraryEpoch) -> StoreResult<Self> {
        let path = Path::new(":memory:");
        let conn = Connection::open_in_memory().map_err(|e| broken(path, "opening", e))?;
        Self::prepare(conn, path, fresh_epoch, false)
    }

    fn prepare(mut conn: Connection, path: &Path, fresh_epoch: LibraryEpoch, check: bool) -> StoreResult<Self> {
        let at = |e| broken(path, "preparing", e);
        conn.busy_timeout(BUSY_AFTER).map_err(at)?;
        if check {
            let verdict: String =
                conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(|e| broken(path, "checking", e))?;
            if verdict != "ok" {
                return Err(StoreError::Damaged { path: path.to_owned(), detail: verdict });
            }
        }
        let mode: String = conn.query_row("PRAGMA journal_mode = WAL", [], |r| r.get(0)).map_err(at)?;
        if mode != "wal" && mode != "memory" {
            tracing::warn!(path = %path.display(), mode, "the file system does not allow a write-ahead log");
        }
        conn.pragma_update(None, "synchronous", "FULL").map_err(at)?;
        conn.pragma_update(None, "foreign_keys", true).map_err(at)?;
        migrate(&mut conn, SCHEMA_VERSION, |c| library::init(c, fresh_epoch).and_then(|()| device_epoch::init(c)))
            .map_err(|e| broken(path, "migrating", e))?;
        Ok(Self { conn, path: path.to_owned() })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library as it was last made durable.
    ///
    /// # Errors
    /// When it cannot be read or a row is damaged.
    pub fn library(&self) -> StoreResult<StoredLibrary> {
        self.read("reading the library", |tx| {
            let head = library::read(tx)?;
            Ok(StoredLibrary {
                epoch: head.epoch,
                rev: head.rev,
                floor_rev: head.floor_rev,
                rows: library_game::all(tx)?,
                removed: library_tombstone::all(tx)?,
            })
        })
    }

    /// Makes a change of the library and of the index durable together: either all of it is there afterwards or nothing.
    /// Tombstones are trimmed by the engine's rule (`tombstone_floor`).
    ///
    /// # Errors
    /// `Revision` when the change does not follow the stored revision, `BadValue` as `put_hashes`; otherwise as the disk
    /// says. Nothing is changed then.
    pub fn commit_library(&mut self, commit: &LibraryCommit<'_>) -> StoreResult<()> {
        self.write("writing the library", |tx| {
            for id in commit.gone {
                game_index::remove(tx, id)?;
            }
            for row in commit.index {
                game_index::put(tx, row)?;
                if let Some(files) = &row.files {
                    game_file::replace(tx, &row.game, files)?;
                }
            }
            for (game, files) in commit.hashes {
                for file in files {
                    file_chunks::put(tx, game, file)?;
                }
            }
            commit.change.map_or(Ok(()), |change| commit_change(tx, change))
        })
    }

    /// The index without files, sorted by game.
    ///
    /// # Errors
    /// When it cannot be read or a row is damaged.
    pub fn index(&self) -> StoreResult<Vec<IndexRow>> {
        self.read("reading the index", game_index::all)
    }

    /// Files of a game in the index, sorted by path; none for a game that is not in it.
    ///
    /// # Errors
    /// When they cannot be read or a row is damaged.
    pub fn files(&self, game: &GameId) -> StoreResult<Vec<FileRow>> {
        self.read("reading the index", |tx| game_file::of_game(tx, game))
    }

    /// Chunk digests of a file; `None` when the file is not in the index or was not read as it stands there. The caller
    /// compares the file's stamp.
    ///
    /// # Errors
    /// When they cannot be read or do not merge to the file's hash.
    pub fn chunk_hashes(&self, game: &GameId, path: &RelPath) -> StoreResult<Option<Vec<Digest>>> {
        self.read("reading hashes", |tx| file_chunks::of_file(tx, game, path))
    }

    /// All hashes known of a game's files, sorted by path.
    ///
    /// # Errors
    /// As `chunk_hashes`.
    pub fn hashes_of(&self, game: &GameId) -> StoreResult<Vec<FileHashes>> {
        self.read("reading hashes", |tx| file_chunks::of_game(tx, game))
    }

    /// Notes hashes of files that were read. A file that is not in the index with exactly this size and time stamp is
    /// passed over. Returns how many were noted.
    ///
    /// # Errors
    /// `BadValue` when chunk digests do not merge to the file's hash; otherwise as the disk says. Nothing is noted then.
    pub fn put_hashes(&mut self, game: &GameId, hashes: &[FileHashes]) -> StoreResult<u64> {
        self.put_hashes_of([(game, hashes)])
    }

    /// As `put_hashes`, of several games in one transaction.
    ///
    /// # Errors
    /// As `put_hashes`: of one game, and then nothing is noted of any.
    pub fn put_hashes_of<'a>(
        &mut self,
        games: impl IntoIterator<Item = (&'a GameId, &'a [FileHashes])>,
    ) -> StoreResult<u64> {
        self.write("writing hashes", |tx| {
            let mut noted = 0;
            for (game, hashes) in games {
                for file in hashes {
                    noted += u64::from(file_chunks::put(tx, game, file)?);
                }
            }
            Ok(noted)
        })
    }

    /// Forgets the hash of a file, so that it is read again.
    ///
    /// # Errors
    /// As the disk says.
    pub fn forget_hash(&mut self, game: &GameId, path: &RelPath) -> StoreResult<()> {
        self.write("forgetting a hash", |tx| {
            game_file::forget_blake3(tx, game, path)?;
            file_chunks::remove(tx, game, path)
        })
    }

    /// Remembers a peer, or what is new about it.
    ///
    /// # Errors
    /// As the disk says.
    pub fn remember(&mut self, known: &KnownPeer) -> StoreResult<()> {
        self.write("remembering a peer", |tx| peer::put(tx, known))
    }

    /// Remembered peers, last seen first; at most `KNOWN_PEERS_MAX`.
    ///
    /// # Errors
    /// When they cannot be read or a row is damaged.
    pub fn known_peers(&self) -> StoreResult<Vec<KnownPeer>> {
        self.read("reading known peers", peer::all)
    }

    /// A setting.
    ///
    /// # Errors
    /// As the disk says.
    pub fn setting(&self, key: &str) -> StoreResult<Option<String>> {
        self.read("reading a setting", |tx| setting::get(tx, key))
    }

    /// Changes a setting; `None` removes it.
    ///
    /// # Errors
    /// As the disk says.
    pub fn set_setting(&mut self, key: &str, value: Option<&str>) -> StoreResult<()> {
        self.set_settings(&[(key, value)])
    }

    /// Changes several settings together.
    ///
    /// # Errors
    /// As the disk says. Nothing is changed then.
    pub fn set_settings(&mut self, settings: &[(&str, Option<&str>)]) -> StoreResult<()> {
        self.write("writing a setting", |tx| settings.iter().try_for_each(|(key, value)| setting::set(tx, key, *value)))
    }

    /// One consistent look: several queries see the same state even while another connection writes.
    fn read<T>(&self, doing: &'static str, f: impl FnOnce(&Connection) -> Result<T, Fault>) -> StoreResult<T> {
        let tx = self.conn.unchecked_transaction().map_err(|e| broken(&self.path, doing, e))?;
        f(&tx).map_err(|e| e.at(&self.path, doing))
    }

    fn write<T>(
        &mut self,
        doing: &'static str,
        f: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> StoreResult<T> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| broken(&self.path, doing, e))?;
        let out = f(&tx).map_err(|e| e.at(&self.path, doing))?;
        tx.commit().map_err(|e| broken(&self.path, doing, e))?;
        Ok(out)
    }
}

fn commit_change(tx: &Connection, change: &LibraryChange) -> Result<(), Fault> {
    let head = library::read(tx)?;
    let rev = change.to_rev;
    if head.rev.checked_add(1) != Some(rev) {
        return Err(Fault::Revision { found: head.rev, wanted: rev });
    }
    for game in &change.added {
        library_tombstone::remove(tx, &game.id)?;
        library_game::add(tx, game, rev)?;
    }
    for game in &change.updated {
        library_game::update(tx, game, rev)?;
    }
    for id in &change.removed {
        library_game::remove(tx, id)?;
        library_tombstone::put(tx, id, rev)?;
    }
    library::set_rev(tx, rev)?;
    if !change.removed.is_empty()
        && let Some(floor) = library_tombstone::trim(tx)?
    {
        library::set_floor(tx, floor)?;
    }
    Ok(())
}

/// Looks at a file without the right to write, so that one that is not ours, or newer than us, stays as it is.
fn inspect(path: &Path) -> StoreResult<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let found = Connection::open_with_flags(path, flags)
        .and_then(|conn| {
            conn.busy_timeout(BUSY_AFTER)?;
            stamp(&conn)
        })
        .map_err(|e| broken(path, "opening", e))?;
    match found {
        Stamp { is_blank: true, .. } => Ok(()),
        Stamp { application_id: APPLICATION_ID, schema, .. } if schema > SCHEMA_VERSION => {
            Err(StoreError::Future { path: path.to_owned(), found: schema, known: SCHEMA_VERSION })
        }
        Stamp { application_id: APPLICATION_ID, schema: 1.., .. } => Ok(()),
        _ => Err(StoreError::NotOurs { path: path.to_owned() }),
    }
}

fn broken(path: &Path, doing: &'static str, source: rusqlite::Error) -> StoreError {
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), detail: source.to_string() }
        }
        _ => StoreError::Sqlite { path: path.to_owned(), doing, source },
    }
}
