//! The log, the clock and device-owned state as their callers see them: what was committed comes back, nothing goes back,
//! and what was never written is damage.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::PathBuf;

use bonfire_engine::record::Record;
use bonfire_engine::replication::Life;
use bonfire_engine::replication::clock::{Clock, ClockMark};
use bonfire_engine::replication::log::SharedLog;
use bonfire_engine::replication::model::{Device, Slot, slot_id};
use bonfire_engine::replication::replica::{Replica, Written};
use bonfire_engine::replication::state::{StateBoard, StateKey};
use bonfire_engine::report::ErrorClass;
use bonfire_engine::time::UnixMillis;
use bonfire_proto::message_sync::{RecordData, SharedEntry, StateMark, StateRecord, Watermark};
use bonfire_proto::{DeviceEpoch, GameId, LibraryEpoch, PeerId, PlayerId, SlotName};
use bonfire_store::{APPLICATION_ID, SCHEMA_VERSION, Store, StoreError};
use rusqlite::Connection;
use uuid::Uuid;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn player(n: u128) -> PlayerId {
    PlayerId(Uuid::from_u128(n))
}

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn at(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("state.db")
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&at(dir), LibraryEpoch(Uuid::from_u128(5))).unwrap()
}

/// A device that has written something of each kind of change.
fn written(store: &mut Store) -> (Replica, Clock) {
    let me = Life { device: peer(1), epoch: store.device_epoch().unwrap() };
    let (mut replica, mut clock) = (Replica::new(player(7), me), Clock::restore(me.device, ClockMark::default()));
    let (game, main) = (GameId::new("doom").unwrap(), SlotName::main());
    let id = slot_id(&game, &main);
    let slot = Slot { game, slot: main, display_name: Some("Äußerst \"gut\"".to_owned()), retention: None };
    let renamed = Slot { display_name: None, ..slot.clone() };
    keep(store, replica.introduce(&Device::default(), &mut clock, NOW).unwrap());
    keep(store, replica.put(id, &slot, &mut clock, NOW).unwrap().unwrap());
    keep(store, replica.put(id, &renamed, &mut clock, NOW).unwrap().unwrap());
    keep(store, replica.delete::<Slot>(id, &mut clock, NOW).unwrap().unwrap());
    (replica, clock)
}

fn keep(store: &mut Store, written: Written) {
    let mut records = vec![shared(&[written.entry], &[], &[])];
    records.extend(written.mark.map(Record::Clock));
    store.record(&records).unwrap();
}

fn entries(store: &mut Store) -> Vec<SharedEntry> {
    written(store).0.log().entries().cloned().collect()
}

fn commit(store: &mut Store, entries: &[SharedEntry]) -> Result<(), StoreError> {
    store.record(&[shared(entries, &[], &[])])
}

fn shared(entries: &[SharedEntry], floors: &[Watermark], acks: &[(Life, Watermark)]) -> Record {
    Record::Shared { player: player(7), entries: entries.to_vec(), floors: floors.to_vec(), acks: acks.to_vec() }
}

fn state(gone: Vec<StateKey>, put: Vec<StateRecord>, marks: Vec<StateMark>, removed: Vec<PeerId>) -> Record {
    Record::State { player: player(7), gone, put, marks, removed }
}

#[test]
fn a_new_database_begins_a_life_of_its_device_and_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir).device_epoch().unwrap();
    assert_eq!(Store::open(&at(&dir), LibraryEpoch(Uuid::from_u128(6))).unwrap().device_epoch().unwrap(), first);
    let other = Store::in_memory(LibraryEpoch(Uuid::from_u128(6))).unwrap().device_epoch().unwrap();
    assert_ne!(first, other);
    let renewed = DeviceEpoch(Uuid::from_u128(9));
    open(&dir).record(&[Record::Epoch(renewed)]).unwrap();
    assert_eq!(open(&dir).device_epoch().unwrap(), renewed);
}

#[test]
fn a_database_of_schema_1_is_upgraded_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(at(&dir)).unwrap();
    conn.execute_batch(include_str!("../src/migrations/0001-first.sql")).unwrap();
    conn.execute_batch(
        "INSERT INTO library VALUES (1, '00000000-0000-0000-0000-0000000000aa', 3, 1);
         INSERT INTO setting VALUES ('name', 'Deck');
         INSERT INTO library_tombstone VALUES ('doom', 3);",
    )
    .unwrap();
    conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    conn.pragma_update(None, "user_version", 1).unwrap();
    drop(conn);
    let mut store = open(&dir);
    let library = store.library().unwrap();
    assert_eq!((library.epoch, library.rev, library.removed.len()), (LibraryEpoch(Uuid::from_u128(0xaa)), 3, 1));
    assert_eq!(store.setting("name").unwrap().as_deref(), Some("Deck"));
    assert_eq!(
        store.device_epoch().unwrap(),
        DeviceEpoch(Uuid::from_u128(0xaa)),
        "one life of the file, one of its device"
    );
    assert_eq!(store.clock_mark().unwrap(), ClockMark(0));
    let (replica, _) = written(&mut store);
    drop(store);
    let store = open(&dir);
    assert_eq!(store.shared_log(player(7), peer(1)).unwrap(), *replica.log());
    let conn = Connection::open(at(&dir)).unwrap();
    assert_eq!(conn.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), SCHEMA_VERSION);
}

#[test]
fn a_log_comes_back_as_it_was_and_players_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let (replica, clock) = written(&mut store);
    let acks = [(Life { device: peer(2), epoch: DeviceEpoch(Uuid::from_u128(2)) }, replica.watermarks()[0])];
    store.record(&[shared(&[], &[], &acks)]).unwrap();
    let mut log = replica.log().clone();
    log.ack(acks[0].0, acks[0].1).unwrap();
    drop(store);
    let store = open(&dir);
    assert_eq!(store.shared_log(player(7), peer(1)).unwrap(), log);
    let again = Replica::restore(player(7), store.shared_log(player(7), peer(1)).unwrap());
    assert_eq!((again.records(), again.registry()), (replica.records(), replica.registry()));
    let empty = SharedLog::new(log.me());
    assert_eq!(store.shared_log(player(8), peer(1)).unwrap(), empty);
    // What was not durable of the clock was never used.
    let (mut before, mut after) = (clock, Clock::restore(peer(1), store.clock_mark().unwrap()));
    let early = UnixMillis(NOW.0 - 1_000_000);
    assert!(before.tick(NOW).unwrap().hlc < after.tick(early).unwrap().hlc);
}

#[test]
fn the_clock_acks_and_floors_never_go_back() {
    let mut store = Store::in_memory(LibraryEpoch(Uuid::from_u128(5))).unwrap();
    let (from, line) = (Life { device: peer(2), epoch: DeviceEpoch(Uuid::from_u128(2)) }, peer(3));
    let mark = |seq| Life { device: line, ..from }.at(seq);
    for (n, seq) in [(50, 5), (40, 4), (60, 6), (10, 1)] {
        let said = shared(&[], &[mark(seq)], &[(from, mark(seq))]);
        store.record(&[Record::Clock(ClockMark(n)), said]).unwrap();
    }
    store.record(&[Record::Clock(ClockMark(55))]).unwrap();
    assert_eq!(store.clock_mark().unwrap(), ClockMark(60));
    let log = store.shared_log(player(7), peer(1)).unwrap();
    assert_eq!(log.watermarks(), [mark(6)]);
    let me = Life { device: peer(1), epoch: store.device_epoch().unwrap() };
    let expected = SharedLog::restore(me, [], &[mark(6)], [(from, mark(6))]).unwrap();
    assert_eq!(log, expected);
}

#[test]
fn an_entry_is_written_once_and_another_in_its_place_is_refused_with_all_that_comes_with_it() {
    let mut store = Store::in_memory(LibraryEpoch(Uuid::from_u128(5))).unwrap();
    let entries = entries(&mut store);
    commit(&mut store, &entries).unwrap();
    let lie = SharedEntry { data: RecordData::new(), ..entries[0].clone() };
    let next = SharedEntry { seq: 5, ..entries[3].clone() };
    let fields =
        [SharedEntry { model_type: "A".to_owned(), ..next.clone() }, SharedEntry { seq: u64::MAX, ..next.clone() }];
    for wrong in [vec![next.clone(), lie], vec![next.clone(), fields[0].clone()], vec![next, fields[1].clone()]] {
        let e = commit(&mut store, &wrong).unwrap_err();
        assert!(matches!(e, StoreError::BadValue { .. }), "{e}");
        assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Bug, false));
        assert_eq!(store.shared_log(player(7), peer(1)).unwrap().entries().count(), 4, "nothing of the call is there");
    }
}

#[test]
fn device_owned_state_comes_back_as_it_was_and_goes_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let epoch = store.device_epoch().unwrap();
    let (mut mine, mut theirs) = (StateBoard::new(peer(1), epoch), StateBoard::new(peer(2), DeviceEpoch(Uuid::nil())));
    let data = |n: u64| Some(RecordData::from_iter([("n".to_owned(), n.into())]));
    for n in 0..3 {
        let said = mine.publish("slot_head", Uuid::from_u128(u128::from(n % 2)), data(n), NOW).unwrap().unwrap();
        store.record(&[state(said.gone, said.put, said.marks, vec![])]).unwrap();
        theirs.publish("of_the_future", Uuid::from_u128(1), data(n), NOW).unwrap();
        theirs.publish("of_the_future", Uuid::from_u128(1), None, NOW).unwrap();
        let records: Vec<_> = theirs.records().cloned().collect();
        let heard = mine.receive(records, &theirs.marks(), &[peer(2)].into(), NOW);
        store.record(&[state(heard.gone, heard.put, heard.marks, vec![])]).unwrap();
    }
    drop(store);
    let mut store = open(&dir);
    assert_eq!(store.state_board(player(7), peer(1)).unwrap(), mine);
    assert_eq!(store.state_board(player(8), peer(1)).unwrap(), StateBoard::new(peer(1), epoch));
    let gone = mine.retain(&[].into());
    store.record(&[state(gone.clone(), vec![], vec![], vec![peer(2)])]).unwrap();
    assert_eq!(store.state_board(player(7), peer(1)).unwrap(), mine);
    let huge = mine.records().map(|r| StateRecord { version: 0, ..r.clone() }).collect();
    let refused = store.record(&[state(gone, huge, vec![], vec![])]);
    assert!(matches!(refused, Err(StoreError::BadValue { .. })));
    assert_eq!(store.state_board(player(7), peer(1)).unwrap(), mine);
}

#[test]
fn a_damaged_row_is_damage_and_not_an_empty_result() {
    for (sql, table) in [
        ("UPDATE shared_entry SET data = '[]' WHERE seq = 2", "shared_entry"),
        ("UPDATE shared_entry SET data = '{' WHERE seq = 2", "shared_entry"),
        ("UPDATE shared_entry SET data = '{\"a\":0.5}' WHERE seq = 2", "shared_entry"),
        ("UPDATE shared_entry SET hlc = 'noon' WHERE seq = 2", "shared_entry"),
        ("UPDATE shared_entry SET record_uuid = 'x' WHERE seq = 2", "shared_entry"),
        ("UPDATE shared_entry SET model_type = '' WHERE seq = 2", "shared_entry"),
        ("DELETE FROM shared_entry WHERE seq = 2", "shared_entry"),
        ("UPDATE device_epoch SET epoch = 'x'", "device_epoch"),
        ("UPDATE state_record SET data = '1'", "state_record"),
        ("UPDATE state_record SET record_uuid = ''", "state_record"),
        ("UPDATE state_mark SET epoch = ''", "state_mark"),
        (
            "INSERT INTO shared_ack SELECT player, 'x', epoch, device, epoch, seq FROM shared_entry LIMIT 1",
            "shared_ack",
        ),
        ("INSERT INTO shared_floor SELECT player, 'x', epoch, seq FROM shared_entry LIMIT 1", "shared_floor"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        written(&mut store);
        let mut board = store.state_board(player(7), peer(1)).unwrap();
        let said = board.publish("slot_head", Uuid::nil(), Some(RecordData::new()), NOW).unwrap().unwrap();
        store.record(&[state(said.gone, said.put, said.marks, vec![])]).unwrap();
        assert!(Connection::open(at(&dir)).unwrap().execute(sql, []).unwrap() > 0, "{sql}");
        let log = store.shared_log(player(7), peer(1)).map(|_| ());
        let e = log.and_then(|()| store.state_board(player(7), peer(1)).map(|_| ())).unwrap_err();
        assert!(matches!(e, StoreError::BadRow { table: t, .. } if t == table), "{sql}: {e}");
        assert_eq!(e.class(), ErrorClass::Corruption);
    }
}

#[test]
fn a_writer_that_dies_before_its_commit_leaves_neither_an_entry_nor_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    let whole = written(&mut store).0;
    let mark = store.clock_mark().unwrap();
    let mut other = Connection::open(at(&dir)).unwrap();
    let tx = other.transaction().unwrap();
    tx.execute("UPDATE clock_mark SET ms = ms + 1", []).unwrap();
    tx.execute("DELETE FROM shared_entry", []).unwrap();
    drop(tx);
    assert_eq!(store.clock_mark().unwrap(), mark);
    assert_eq!(store.shared_log(player(7), peer(1)).unwrap(), *whole.log());
}
