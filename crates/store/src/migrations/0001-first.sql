-- What this peer holds, the index that makes looking again cheap, known peers, settings.
-- Hashes are blobs of 32 bytes; ids and paths are text compared byte by byte.

CREATE TABLE library (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL,
    rev INTEGER NOT NULL CHECK (rev >= 0),
    floor_rev INTEGER NOT NULL CHECK (floor_rev BETWEEN 0 AND rev)
) STRICT;

CREATE TABLE library_game (
    game TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    eti_version TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    downloaded INTEGER NOT NULL CHECK (downloaded IN (0, 1)),
    installed INTEGER NOT NULL CHECK (installed IN (0, 1)),
    manifest_hash BLOB NOT NULL CHECK (length(manifest_hash) = 32),
    content_hash BLOB CHECK (length(content_hash) = 32),
    availability TEXT NOT NULL CHECK (availability IN ('ready', 'downloading', 'local_only')),
    added_rev INTEGER NOT NULL CHECK (added_rev >= 0),
    changed_rev INTEGER NOT NULL CHECK (changed_rev >= added_rev)
) STRICT, WITHOUT ROWID;

CREATE TABLE library_tombstone (
    game TEXT PRIMARY KEY,
    rev INTEGER NOT NULL CHECK (rev > 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE game_index (
    game TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    version TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    manifest_hash BLOB NOT NULL CHECK (length(manifest_hash) = 32),
    content_hash BLOB CHECK (length(content_hash) = 32),
    problems TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE game_file (
    game TEXT NOT NULL REFERENCES game_index (game) ON DELETE CASCADE,
    path TEXT NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    mtime_ns INTEGER NOT NULL,
    blake3 BLOB CHECK (length(blake3) = 32),
    PRIMARY KEY (game, path)
) STRICT, WITHOUT ROWID;

-- Chunk digests of a file, 32 bytes each, in order. A row exists only beside a file whose blake3 they merge to.
CREATE TABLE file_chunks (
    game TEXT NOT NULL,
    path TEXT NOT NULL,
    hashes BLOB NOT NULL CHECK (length(hashes) > 0 AND length(hashes) % 32 = 0),
    PRIMARY KEY (game, path),
    FOREIGN KEY (game, path) REFERENCES game_file (game, path) ON DELETE CASCADE
) STRICT;

CREATE TABLE peer (
    peer_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    addr TEXT NOT NULL,
    seen INTEGER NOT NULL CHECK (seen >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
