-- How long the game ran on the way to a snapshot, in milliseconds; 0 when nobody saw it run.
ALTER TABLE snapshot_node ADD COLUMN played_ms INTEGER NOT NULL DEFAULT 0 CHECK (played_ms >= 0);
