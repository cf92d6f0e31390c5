//! The database as its callers see it: durability, agreement with the engine, files that are not ours.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bonfire_engine::library::{LibraryChange, LocalLibrary, StoredLibrary, TOMBSTONES_MAX};
use bonfire_engine::report::ErrorClass;
use bonfire_engine::time::UnixMillis;
use bonfire_proto::chunk::merge_chunk_hashes;
use bonfire_proto::{
    Availability, CHUNK_LEN, ContentHash, Digest, GameId, GameSummary, LibraryEpoch, ManifestHash, PeerId, RelPath,
};
use bonfire_store::{
    APPLICATION_ID, FileHashes, FileRow, IndexRow, KNOWN_PEERS_MAX, KnownPeer, LibraryCommit, SCHEMA_VERSION, Store,
    StoreError, StoreResult,
};
use rusqlite::Connection;
use uuid::Uuid;

fn epoch(n: u128) -> LibraryEpoch {
    LibraryEpoch(Uuid::from_u128(n))
}

fn id(n: u32) -> GameId {
    GameId::new(format!("game-{n:05}")).unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}

fn game(n: u32, version: u32) -> GameSummary {
    GameSummary {
        id: id(n),
        name: format!("Game {n}"),
        eti_version: version.to_string(),
        size: u64::from(n) << 20,
        downloaded: true,
        installed: n.is_multiple_of(2),
        manifest_hash: ManifestHash(Digest([1; 32])),
        content_hash: n.is_multiple_of(3).then_some(ContentHash(Digest([2; 32]))),
        availability: [Availability::Ready, Availability::Downloading, Availability::LocalOnly][n as usize % 3],
    }
}

fn row(n: u32, files: Option<Vec<FileRow>>) -> IndexRow {
    IndexRow {
        game: id(n),
        fingerprint: format!("{{\"n\":{n}}}"),
        version: "1".to_owned(),
        size: 9,
        manifest_hash: ManifestHash(Digest([3; 32])),
        content_hash: None,
        files,
        problems: vec!["a link: b".to_owned()],
    }
}

fn commit(store: &mut Store, change: Option<&LibraryChange>, index: &[IndexRow], gone: &[GameId]) -> StoreResult<()> {
    store.commit_library(&LibraryCommit { change, index, gone, ..LibraryCommit::default() })
}

fn file(name: &str, size: u64, mtime_ns: i64, blake3: Option<Digest>) -> FileRow {
    FileRow { path: path(name), size, mtime_ns, blake3 }
}

fn hashes(name: &str, size: u64, mtime_ns: i64, first: u8) -> FileHashes {
    let count = u8::try_from(bonfire_proto::chunk_count(size)).unwrap();
    let chunks: Vec<_> = (0..count).map(|n| Digest([first + n; 32])).collect();
    FileHashes { path: path(name), size, mtime_ns, blake3: merge_chunk_hashes(&chunks).unwrap(), chunks }
}

fn add(rev: u64, games: impl IntoIterator<Item = GameSummary>) -> LibraryChange {
    LibraryChange { to_rev: rev, added: games.into_iter().collect(), updated: vec![], removed: vec![] }
}

fn at(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("state.db")
}

fn open(path: &Path) -> Store {
    Store::open(path, epoch(99)).unwrap()
}

/// Everything in the folder, by name.
fn bytes_in(dir: &tempfile::TempDir) -> Vec<u8> {
    std::fs::read(at(dir)).unwrap()
}

#[test]
fn a_new_database_has_the_epoch_it_was_given_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let new = Store::open(&at(&dir), epoch(1)).unwrap().library().unwrap();
    assert_eq!(new, StoredLibrary { epoch: epoch(1), rev: 0, floor_rev: 0, rows: vec![], removed: vec![] });
    assert_eq!(Store::open(&at(&dir), epoch(2)).unwrap().library().unwrap().epoch, epoch(1));
}

#[test]
fn writes_ahead_waits_for_the_disk_and_watches_references() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&at(&dir)));
    let conn = Connection::open(at(&dir)).unwrap();
    let text = |name| conn.pragma_query_value(None, name, |r| r.get::<_, String>(0)).unwrap();
    let number = |name| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0)).unwrap();
    assert_eq!(text("journal_mode"), "wal");
    assert_eq!((number("application_id"), number("user_version")), (APPLICATION_ID, SCHEMA_VERSION));
}

#[test]
fn gives_back_what_was_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut library = LocalLibrary::new(epoch(1));
    let mut store = Store::open(&at(&dir), epoch(1)).unwrap();
    let mut seed = 5u64;
    for _ in 0..200 {
        let seen: BTreeMap<_, _> = (0..3)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (n, version) = (u32::try_from(seed >> 60).unwrap(), u32::try_from((seed >> 50) & 3).unwrap());
                (id(n), (version > 0).then(|| game(n, version)))
            })
            .collect();
        let Some(change) = library.propose(&seen) else { continue };
        commit(&mut store, Some(&change), &[], &[]).unwrap();
        library.apply(&change);
        assert_eq!(LocalLibrary::restore(store.library().unwrap()), library);
    }
    drop(store);
    assert_eq!(LocalLibrary::restore(open(&at(&dir)).library().unwrap()), library);
}

#[test]
fn trims_tombstones_by_the_same_rule_as_the_engine() {
    let mut library = LocalLibrary::new(epoch(1));
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let many = u32::try_from(TOMBSTONES_MAX).unwrap() + 10;
    let mut step = |library: &mut LocalLibrary, seen: BTreeMap<_, _>| {
        let change = library.propose(&seen).unwrap();
        commit(&mut store, Some(&change), &[], &[]).unwrap();
        library.apply(&change);
        store.library().unwrap()
    };
    step(&mut library, (0..many).map(|n| (id(n), Some(game(n, 1)))).collect());
    step(&mut library, (0..many - 20).map(|n| (id(n), None)).collect());
    for n in many - 20..many {
        let stored = step(&mut library, [(id(n), None)].into());
        assert!(stored.removed.len() <= TOMBSTONES_MAX);
        assert_eq!(LocalLibrary::restore(stored), library);
    }
    assert!(library.delta_since(epoch(1), 1).is_none());
}

#[test]
fn a_change_that_does_not_follow_is_refused_whole() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    commit(&mut store, Some(&add(1, [game(1, 1)])), &[], &[]).unwrap();
    for rev in [0, 1, 3] {
        let e = commit(&mut store, Some(&add(rev, [game(2, 1)])), &[row(2, None)], &[]).unwrap_err();
        assert!(matches!(e, StoreError::Revision { found: 1, .. }), "{e}");
    }
    let unlisted = LibraryChange { to_rev: 2, added: vec![], updated: vec![game(7, 1)], removed: vec![] };
    assert!(commit(&mut store, Some(&unlisted), &[row(2, None)], &[]).is_err());
    assert_eq!(store.library().unwrap().rev, 1);
    assert_eq!(store.index().unwrap(), vec![], "the index rows of a refused change are not there either");
}

#[test]
fn numbers_that_do_not_fit_are_refused_and_not_wrapped() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let huge = GameSummary { size: u64::MAX, ..game(1, 1) };
    let e = commit(&mut store, Some(&add(1, [huge])), &[], &[]).unwrap_err();
    assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Bug, false));
    assert_eq!(store.library().unwrap().rev, 0);
}

#[test]
fn the_index_comes_back_without_files_and_the_files_sorted() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let files = vec![file("b", 1, -5, None), file("a/z", 2, 7, Some(Digest([4; 32])))];
    commit(&mut store, None, &[row(2, Some(files.clone())), row(1, Some(vec![]))], &[]).unwrap();
    assert_eq!(store.index().unwrap(), vec![row(1, None), row(2, None)]);
    assert_eq!(store.files(&id(2)).unwrap(), vec![files[1].clone(), files[0].clone()]);
    commit(&mut store, None, &[row(2, None)], &[]).unwrap();
    assert_eq!(store.files(&id(2)).unwrap().len(), 2, "files that are not named stay");
    commit(&mut store, None, &[], &[id(2)]).unwrap();
    assert_eq!(store.index().unwrap(), vec![row(1, None)]);
    assert_eq!(store.files(&id(2)).unwrap(), vec![]);
}

#[test]
fn hashes_hold_while_the_stamp_does() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let size = CHUNK_LEN * 2 + 1;
    let files = |mtime| vec![file("big", size, mtime, None), file("small", 3, 1, None)];
    commit(&mut store, None, &[row(1, Some(files(10)))], &[]).unwrap();
    assert_eq!(store.chunk_hashes(&id(1), &path("big")).unwrap(), None);
    let (big, small) = (hashes("big", size, 10, 1), hashes("small", 3, 1, 9));
    let stale = [hashes("big", size, 11, 7), hashes("big", size + 1, 10, 7), hashes("other", 3, 1, 7)];
    assert_eq!(store.put_hashes(&id(1), &stale).unwrap(), 0, "another stamp, or a file that is not there");
    assert_eq!(store.put_hashes(&id(1), &[big.clone(), small.clone()]).unwrap(), 2);
    assert_eq!(store.chunk_hashes(&id(1), &path("big")).unwrap(), Some(big.chunks.clone()));
    assert_eq!(store.hashes_of(&id(1)).unwrap(), vec![big.clone(), small.clone()]);

    commit(&mut store, None, &[row(1, Some(files(10)))], &[]).unwrap();
    assert_eq!(store.hashes_of(&id(1)).unwrap().len(), 2, "the same stamps keep their hashes");
    assert_eq!(store.files(&id(1)).unwrap()[0].blake3, Some(big.blake3));

    commit(&mut store, None, &[row(1, Some(files(11)))], &[]).unwrap();
    assert_eq!(store.hashes_of(&id(1)).unwrap(), vec![small], "a new time stamp forgets them");
    assert_eq!(store.files(&id(1)).unwrap()[0].blake3, None);

    commit(&mut store, None, &[], &[id(1)]).unwrap();
    assert_eq!(store.hashes_of(&id(1)).unwrap(), vec![]);
}

#[test]
fn a_file_whose_hash_is_another_one_loses_its_chunk_hashes() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let known = hashes("f", 3, 1, 5);
    commit(&mut store, None, &[row(1, Some(vec![file("f", 3, 1, None)]))], &[]).unwrap();
    store.put_hashes(&id(1), &[known]).unwrap();
    commit(&mut store, None, &[row(1, Some(vec![file("f", 3, 1, Some(Digest([8; 32])))]))], &[]).unwrap();
    assert_eq!(store.chunk_hashes(&id(1), &path("f")).unwrap(), None);
}

#[test]
fn chunk_hashes_that_are_not_the_files_are_neither_taken_nor_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    let size = CHUNK_LEN + 1;
    commit(&mut store, None, &[row(1, Some(vec![file("f", size, 1, None)]))], &[]).unwrap();
    let good = hashes("f", size, 1, 5);
    let short = FileHashes { chunks: vec![good.blake3], ..good.clone() };
    let wrong = FileHashes { blake3: Digest([0; 32]), ..good.clone() };
    for bad in [short, wrong] {
        assert!(matches!(store.put_hashes(&id(1), &[good.clone(), bad]), Err(StoreError::BadValue { .. })));
        assert_eq!(store.hashes_of(&id(1)).unwrap(), vec![], "nothing of the call is noted");
    }
    store.put_hashes(&id(1), &[good]).unwrap();
    let other = Connection::open(at(&dir)).unwrap();
    other.execute("UPDATE file_chunks SET hashes = zeroblob(64)", []).unwrap();
    let e = store.chunk_hashes(&id(1), &path("f")).unwrap_err();
    assert_eq!(e.class(), ErrorClass::Corruption);
    assert!(e.to_string().contains("state.db"));
}

#[test]
fn a_game_and_its_hashes_change_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    let good = hashes("f", CHUNK_LEN + 1, 1, 5);
    let torn = FileHashes { chunks: vec![good.blake3], ..good.clone() };
    let index = [row(1, Some(vec![file("f", CHUNK_LEN + 1, 1, Some(good.blake3))]))];
    for (list, held) in [(torn, false), (good.clone(), true)] {
        let commit = LibraryCommit {
            change: Some(&add(1, [game(1, 1)])),
            index: &index,
            hashes: &[(id(1), vec![list])],
            ..LibraryCommit::default()
        };
        assert_eq!(store.commit_library(&commit).is_ok(), held);
        let known = store.chunk_hashes(&id(1), &path("f")).unwrap();
        assert_eq!(known, held.then(|| good.chunks.clone()), "the digests are there when the hash is");
        assert_eq!(store.files(&id(1)).unwrap().len(), usize::from(held));
        assert_eq!(store.library().unwrap().rev, u64::from(held));
    }
    store.forget_hash(&id(1), &path("f")).unwrap();
    assert_eq!(store.files(&id(1)).unwrap()[0].blake3, None);
    assert_eq!(store.chunk_hashes(&id(1), &path("f")).unwrap(), None);
}

#[test]
fn several_settings_change_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    store.set_settings(&[("a", Some("1")), ("b", Some("2"))]).unwrap();
    store.set_settings(&[("a", None), ("b", Some("3")), ("c", None)]).unwrap();
    let now = ["a", "b", "c"].map(|key| store.setting(key).unwrap());
    assert_eq!(now, [None, Some("3".to_owned()), None]);
}

#[test]
fn a_writer_that_dies_before_its_commit_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    commit(&mut store, Some(&add(1, [game(1, 1)])), &[row(1, None)], &[]).unwrap();
    let mut other = Connection::open(at(&dir)).unwrap();
    let tx = other.transaction().unwrap();
    tx.execute("UPDATE library SET rev = 2", []).unwrap();
    tx.execute("DELETE FROM game_index", []).unwrap();
    assert_eq!(store.library().unwrap().rev, 1, "a reader does not wait for the writer");
    drop(tx);
    drop(other);
    assert_eq!((store.library().unwrap().rev, store.index().unwrap().len()), (1, 1));
}

#[test]
fn a_copy_taken_in_the_middle_of_life_opens_with_everything_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    commit(&mut store, Some(&add(1, [game(1, 1)])), &[row(1, None)], &[]).unwrap();
    // What a power cut leaves: the main file and the log, without an orderly close.
    let copy = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    assert_eq!(open(&at(&copy)).library().unwrap(), store.library().unwrap());
    // Torn at any length the log ends at the last whole commit, never in between.
    let log = std::fs::read(dir.path().join("state.db-wal")).unwrap();
    let mut seen = [0u32; 2];
    for cut in (0..=log.len()).step_by(1_021) {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(at(&dir), at(&copy)).unwrap();
        std::fs::write(copy.path().join("state.db-wal"), &log[..cut]).unwrap();
        let store = open(&at(&copy));
        let (rev, rows, index) = (store.library().unwrap().rev, store.library().unwrap().rows, store.index().unwrap());
        assert_eq!(
            (u64::try_from(rows.len()).unwrap(), u64::try_from(index.len()).unwrap()),
            (rev, rev),
            "cut at {cut}"
        );
        seen[usize::try_from(rev).unwrap()] += 1;
    }
    assert!(seen[0] > 0, "no cut fell before the commit");
}

#[test]
fn two_connections_take_turns_and_a_change_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut a, mut b) = (open(&at(&dir)), open(&at(&dir)));
    commit(&mut a, Some(&add(1, [game(1, 1)])), &[], &[]).unwrap();
    assert!(matches!(commit(&mut b, Some(&add(1, [game(2, 1)])), &[], &[]), Err(StoreError::Revision { .. })));
    commit(&mut b, Some(&add(2, [game(2, 1)])), &[], &[]).unwrap();
    assert_eq!(a.library().unwrap(), b.library().unwrap());
}

#[test]
fn writers_in_several_threads_lose_no_write() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&at(&dir)));
    std::thread::scope(|scope| {
        for t in 0..4u32 {
            let path = at(&dir);
            scope.spawn(move || {
                let mut store = open(&path);
                for n in 0..20 {
                    store.set_setting(&format!("{t}-{n}"), Some("x")).unwrap();
                }
            });
        }
    });
    let store = open(&at(&dir));
    assert!((0..4).all(|t| (0..20).all(|n| store.setting(&format!("{t}-{n}")).unwrap().is_some())));
}

#[test]
fn a_newer_schema_is_refused_and_the_file_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(&at(&dir)));
    let conn = Connection::open(at(&dir)).unwrap();
    conn.pragma_update(None, "user_version", SCHEMA_VERSION + 1).unwrap();
    drop(conn);
    let before = bytes_in(&dir);
    let e = Store::open(&at(&dir), epoch(1)).unwrap_err();
    assert!(matches!(e, StoreError::Future { .. }));
    assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Environment, false));
    assert!(e.to_string().contains("state.db") && e.to_string().contains("newer Bonfire"), "{e}");
    assert_eq!(bytes_in(&dir), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_stays_as_it_is() {
    for sql in ["CREATE TABLE notes (n)", "PRAGMA application_id = 77", "PRAGMA user_version = 1"] {
        let dir = tempfile::tempdir().unwrap();
        let conn = Connection::open(at(&dir)).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        let before = bytes_in(&dir);
        assert!(matches!(Store::open(&at(&dir), epoch(1)), Err(StoreError::NotOurs { .. })), "{sql}");
        assert_eq!(bytes_in(&dir), before);
    }
}

#[test]
fn a_damaged_file_is_refused_by_name_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    commit(&mut store, Some(&add(1, (0..2_000).map(|n| game(n, 1)))), &[], &[]).unwrap();
    drop(store);
    let whole = bytes_in(&dir);
    let mut holed = whole.clone();
    let middle = whole.len() / 2;
    holed[middle..middle + 4_096].fill(0x5a);
    let damages = [b"this is not a database at all, is it?".repeat(99), whole[..whole.len() / 2].to_vec(), holed];
    for (nth, damage) in damages.into_iter().enumerate() {
        std::fs::write(at(&dir), &damage).unwrap();
        let e = Store::open(&at(&dir), epoch(1)).unwrap_err();
        assert!(matches!(e, StoreError::Damaged { .. }), "damage {nth}: {e:?}");
        assert_eq!((e.class(), e.path()), (ErrorClass::Corruption, at(&dir).as_path()));
        assert!(e.to_string().contains("state.db"));
        assert_eq!(bytes_in(&dir), damage);
    }
}

#[test]
fn a_folder_in_its_place_or_no_folder_around_it_is_an_error_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().to_owned(), dir.path().join("no/such/folder/state.db")] {
        let e = Store::open(&path, epoch(1)).unwrap_err();
        assert_eq!(e.class(), ErrorClass::Environment, "{e:?}");
    }
}

#[test]
fn a_row_that_was_never_written_is_damage_and_not_an_empty_result() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&at(&dir));
    commit(&mut store, Some(&add(1, [game(1, 1)])), &[], &[]).unwrap();
    let other = Connection::open(at(&dir)).unwrap();
    other.execute("UPDATE library_game SET game = '../etc'", []).unwrap();
    assert!(matches!(store.library(), Err(StoreError::BadRow { table: "library_game", .. })));
}

#[test]
fn remembers_peers_and_forgets_the_longest_gone() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    let known = |n: u64, name: &str| KnownPeer {
        peer: PeerId::from_uuid(Uuid::from_u128(u128::from(n))),
        name: name.to_owned(),
        addr: "[fe80::1%3]:4711".parse().unwrap(),
        seen: UnixMillis(n),
    };
    for n in 0..=u64::try_from(KNOWN_PEERS_MAX).unwrap() {
        store.remember(&known(n, "old")).unwrap();
    }
    let all = store.known_peers().unwrap();
    assert_eq!((all.len(), all.last().unwrap().seen), (KNOWN_PEERS_MAX, UnixMillis(1)));
    store.remember(&known(5, "new\u{202e}")).unwrap();
    assert!(store.known_peers().unwrap().contains(&known(5, "new")), "the newest word holds, cleaned");
}

#[test]
fn settings_are_set_changed_and_removed() {
    let mut store = Store::in_memory(epoch(1)).unwrap();
    assert_eq!(store.setting("a").unwrap(), None);
    store.set_setting("a", Some("1")).unwrap();
    store.set_setting("a", Some("2")).unwrap();
    assert_eq!(store.setting("a").unwrap().as_deref(), Some("2"));
    store.set_setting("a", None).unwrap();
    assert_eq!(store.setting("a").unwrap(), None);
}

#[test]
fn the_page_on_formats_names_every_table_and_its_columns() {
    let page = include_str!("../../../docs/formats/disk.md");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("state.db");
    drop(Store::open(&file, epoch(1)).unwrap());
    let conn = Connection::open(&file).unwrap();
    let sql = "SELECT t.name, group_concat('`' || c.name || '`', ', ' ORDER BY c.cid)
               FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' GROUP BY t.name";
    let mut query = conn.prepare(sql).unwrap();
    let tables = query.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))).unwrap();
    let rows: Vec<String> =
        tables.map(Result::unwrap).map(|(table, columns)| format!("| `{table}` | {columns} |")).collect();
    assert_eq!(rows.len(), 23);
    for row in rows {
        assert!(page.contains(&row), "docs/formats/disk.md lacks: {row}");
    }
    assert!(page.contains(&format!("0x{APPLICATION_ID:X}")) && page.contains(&format!("now {SCHEMA_VERSION}.")));
}
