-- Players of this device, what it knows of their saves beyond the log, and what was done.
-- Ids are text but those of snapshots, which are blobs of 32 bytes as all hashes are; several of them are one blob.

-- `vouched` is a JSON list: devices that are believed in without an entry of the log.
CREATE TABLE player (
    player TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('personal', 'unattended')),
    vouched TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- `token` is secret; `name` is its public part.
CREATE TABLE pair_token (
    name TEXT NOT NULL PRIMARY KEY,
    token TEXT NOT NULL,
    player TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('personal', 'unattended'))
) STRICT, WITHOUT ROWID;

-- `place` is a JSON object; `slot` is the line whose files are on the disk.
CREATE TABLE save_set (
    player TEXT NOT NULL,
    game TEXT NOT NULL,
    place TEXT NOT NULL,
    slot TEXT NOT NULL,
    PRIMARY KEY (player, game)
) STRICT, WITHOUT ROWID;

CREATE TABLE save_slot (
    player TEXT NOT NULL,
    game TEXT NOT NULL,
    slot TEXT NOT NULL,
    base BLOB CHECK (length(base) = 32),
    is_untracked INTEGER NOT NULL CHECK (is_untracked IN (0, 1)),
    copies BLOB NOT NULL CHECK (length(copies) % 32 = 0),
    last_synced_at INTEGER CHECK (last_synced_at >= 0),
    PRIMARY KEY (player, game, slot)
) STRICT, WITHOUT ROWID;

-- The ancestry of every line. Read whole at each start, so nothing in it needs more than a copy.
CREATE TABLE snapshot_node (
    player TEXT NOT NULL,
    game TEXT NOT NULL,
    slot TEXT NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 32),
    parents BLOB NOT NULL CHECK (length(parents) % 32 = 0),
    content BLOB NOT NULL CHECK (length(content) = 32),
    kind TEXT NOT NULL CHECK (kind IN ('save', 'tombstone', 'merge', 'rollback')),
    hlc TEXT NOT NULL,
    device TEXT NOT NULL,
    created_at INTEGER NOT NULL CHECK (created_at >= 0),
    files INTEGER NOT NULL CHECK (files >= 0),
    size INTEGER NOT NULL CHECK (size >= 0),
    holding TEXT NOT NULL CHECK (holding IN ('whole', 'named', 'pruned')),
    PRIMARY KEY (player, game, slot, id)
) STRICT, WITHOUT ROWID;

-- Texts of snapshots that are no file in the store of snapshots. Not one of short rows: apart from those that are read at
-- each start.
CREATE TABLE snapshot_text (
    player TEXT NOT NULL,
    id BLOB NOT NULL CHECK (length(id) = 32),
    text TEXT NOT NULL,
    PRIMARY KEY (player, id)
) STRICT;

CREATE TABLE save_listing (
    player TEXT NOT NULL,
    game TEXT NOT NULL,
    listing BLOB NOT NULL,
    PRIMARY KEY (player, game)
) STRICT;

-- Rows go from the oldest on only, so that a number is never given twice.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY CHECK (seq > 0),
    at INTEGER NOT NULL CHECK (at >= 0),
    player TEXT NOT NULL,
    game TEXT,
    slot TEXT,
    device TEXT NOT NULL,
    action TEXT NOT NULL,
    snapshot BLOB CHECK (length(snapshot) = 32),
    replaced BLOB NOT NULL CHECK (length(replaced) % 32 = 0),
    detail TEXT NOT NULL
) STRICT;
