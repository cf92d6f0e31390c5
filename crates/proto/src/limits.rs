//! Every bound on what a peer may send, in one place, each with the reason for its number.

/// Protocol version that this build speaks. Two peers with different versions do not talk (see `CloseCode::Version`).
pub const PROTO_VERSION: u32 = 1;

/// ALPN protocol id. A TLS handshake without it fails before any frame is read.
pub const ALPN: &[u8] = b"bonfire/1";

/// Service type announced over mDNS.
pub const MDNS_SERVICE: &str = "_bonfire._udp.local.";

/// Longest frame body in bytes (1 MiB): large enough for a page of every list, small enough to buffer for each stream.
pub const FRAME_LEN_MAX: usize = 1 << 20;

/// Deepest nesting of a frame's JSON. Our own messages need six levels; a parser needs a bound.
pub const JSON_DEPTH_MAX: usize = 32;

/// Longest game id in bytes: it is a folder name, and 255 is the shortest limit among file systems in use.
pub const GAME_ID_LEN_MAX: usize = 128;

/// Longest relative path in bytes. Windows without long paths stops at 260 for the *whole* path, but players enable
/// long paths; 1,024 covers every game seen and bounds a manifest.
pub const PATH_LEN_MAX: usize = 1024;

/// Deepest folder nesting of a relative path.
pub const PATH_DEPTH_MAX: usize = 32;

/// Longest single name within a path, in bytes: the limit of ext4, NTFS (in units) and APFS.
pub const NAME_LEN_MAX: usize = 255;

/// Most files in one game. The largest games known have about 150,000.
pub const MANIFEST_FILES_MAX: usize = 200_000;

/// Largest game in bytes (1 TiB).
pub const MANIFEST_SIZE_MAX: u64 = 1 << 40;

/// Most games in one library: a kiosk's mirror has a few thousand.
pub const LIBRARY_GAMES_MAX: usize = 20_000;

/// Most pages of one list: `LIBRARY_GAMES_MAX` and `MANIFEST_FILES_MAX` both fit many times over.
pub const PAGES_MAX: u32 = 4_096;

/// Most bytes of list content put into one page, leaving room in a frame for the envelope.
pub const PAGE_LEN_MAX: usize = 512 * 1024;

/// Most chunks that one `get_chunks` may ask for: 64 × 4 MiB is a second of 2.5 Gb/s, so a cancel is never far away.
pub const CHUNKS_PER_REQUEST_MAX: u32 = 64;

/// Most chunk hashes in one page of `chunk_hashes` (67 bytes each in JSON).
pub const HASHES_PER_PAGE: usize = 7_000;

/// Longest display text (peer or game name) in bytes, after cleaning.
pub const TEXT_LEN_MAX: usize = 128;

/// Longest name of an operating system in bytes.
pub const PLATFORM_LEN_MAX: usize = 64;

/// Longest frame of a pairing in bytes. Its longest message holds two names and is under 2 KiB even with every character
/// escaped; a stranger may send it, so it is bounded far below other frames.
pub const PAIR_FRAME_LEN_MAX: usize = 4 * 1024;

/// Longest version string (`eti_version`) in bytes.
pub const VERSION_LEN_MAX: usize = 64;

/// Longest message of an `error` frame in bytes.
pub const ERROR_MESSAGE_LEN_MAX: usize = 512;

/// Most feature names in a hello, each at most `TEXT_LEN_MAX` bytes.
pub const FEATURES_MAX: usize = 32;

/// Largest `version.ini` in bytes. It is a few lines; it is held in memory until the commit of a download.
pub const SENTINEL_LEN_MAX: u64 = 64 * 1024;

/// Longest name of a slot in bytes.
pub const SLOT_LEN_MAX: usize = 64;

/// Longest note of a player on a snapshot in bytes.
pub const NOTE_LEN_MAX: usize = 512;

/// Longest time played of a save, in milliseconds: a hundred years.
pub const PLAYED_MS_MAX: u64 = 100 * 366 * 86_400_000;

/// Most parents of a snapshot: as many devices as a player can have had diverge at once.
pub const PARENTS_MAX: usize = 32;

/// Longest snapshot in bytes. Long file lists are objects, so this bounds their references: 64 GiB in 200,000 files need
/// a fifth of it.
pub const SNAPSHOT_LEN_MAX: usize = 256 * 1024;

/// Most files in one save. The largest saves known (one file a chunk of a world) have tens of thousands.
pub const SAVE_FILES_MAX: usize = 200_000;

/// Largest save in bytes (64 GiB): a world of a decade, and a bound for what a device may make another fetch.
pub const SAVE_SIZE_MAX: u64 = 64 << 30;

/// Largest object in bytes (1 MiB): what is held in memory and sent at once.
pub const OBJECT_LEN_MAX: u32 = 1 << 20;

/// Longest content of one shared or device-owned record, in bytes of JSON: settings and heads, never files.
pub const RECORD_DATA_LEN_MAX: usize = 16 * 1024;

/// Deepest nesting within the content of a record, itself counted: ours need four, and a frame has room for 32.
pub const RECORD_DEPTH_MAX: usize = 8;

/// Longest name of a kind of record, in bytes.
pub const MODEL_TYPE_LEN_MAX: usize = 64;

/// Most records or entries in one message; a page is cut at `PAGE_LEN_MAX` before.
pub const RECORDS_PER_PAGE: usize = 1_024;

/// Most positions that one message may state: a player with 32 devices may have lost each database 30 times.
pub const WATERMARKS_MAX: usize = 1_024;

/// Most snapshots asked for at once.
pub const SNAPSHOTS_PER_REQUEST_MAX: usize = 256;

/// Most objects asked for at once: with pieces of 256 KiB on average a request moves 64 MiB, and a list of them is 24 KiB.
pub const OBJECTS_PER_REQUEST_MAX: usize = 256;

/// Longest picture of a snapshot in bytes (4 MiB): a screenshot of a large screen as PNG, and one chunk.
pub const PICTURE_LEN_MAX: u32 = 4 << 20;

/// Most pictures that one `availability_digest` names (67 bytes each in JSON).
pub const SIDECARS_PER_DIGEST_MAX: usize = 1_024;

/// Most pictures asked about at once.
pub const SIDECARS_PER_QUERY_MAX: usize = 256;
