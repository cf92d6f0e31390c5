-- What keeps a player's devices in step: the life and the clock of this device, the log of shared changes of each player
-- and who holds what of it, the state that each device owns.
-- Ids are text; `data` is a JSON object as its author wrote it.

CREATE TABLE device_epoch (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    epoch TEXT NOT NULL
) STRICT;

-- Every time that was given out or taken in has fewer milliseconds.
CREATE TABLE clock_mark (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    ms INTEGER NOT NULL CHECK (ms >= 0)
) STRICT;

CREATE TABLE shared_entry (
    player TEXT NOT NULL,
    device TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    hlc TEXT NOT NULL,
    model_type TEXT NOT NULL,
    record_uuid TEXT NOT NULL,
    change_type TEXT NOT NULL CHECK (change_type IN ('insert', 'update', 'delete')),
    data TEXT NOT NULL,
    PRIMARY KEY (player, device, epoch, seq)
) STRICT, WITHOUT ROWID;

-- Entries up to `seq` may be missing, because later ones replaced them.
CREATE TABLE shared_floor (
    player TEXT NOT NULL,
    device TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    PRIMARY KEY (player, device, epoch)
) STRICT, WITHOUT ROWID;

-- What a device, in one of its lives, said it holds of an author's entries.
CREATE TABLE shared_ack (
    player TEXT NOT NULL,
    from_device TEXT NOT NULL,
    from_epoch TEXT NOT NULL,
    device TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL CHECK (seq > 0),
    PRIMARY KEY (player, from_device, from_epoch, device, epoch)
) STRICT, WITHOUT ROWID;

-- `data` is NULL for a record that is no more.
CREATE TABLE state_record (
    player TEXT NOT NULL,
    device TEXT NOT NULL,
    model_type TEXT NOT NULL,
    record_uuid TEXT NOT NULL,
    epoch TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    version INTEGER NOT NULL CHECK (version > 0),
    data TEXT,
    timestamp INTEGER NOT NULL CHECK (timestamp >= 0),
    PRIMARY KEY (player, device, model_type, record_uuid)
) STRICT, WITHOUT ROWID;

CREATE TABLE state_mark (
    player TEXT NOT NULL,
    device TEXT NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    epoch TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 0),
    PRIMARY KEY (player, device)
) STRICT, WITHOUT ROWID;
