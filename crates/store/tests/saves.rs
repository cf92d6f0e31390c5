//! Players and saves as their callers see them: what one batch says comes back whole or not at all, and what was never
//! written is damage.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use bonfire_engine::command::AuditFilter;
use bonfire_engine::record::{
    Holding, KnownNode, KnownPlayer, KnownSet, KnownSlot, KnownToken, Record, Stored, Vouched,
};
use bonfire_engine::replication::Life;
use bonfire_engine::replication::clock::{Clock, ClockMark};
use bonfire_engine::replication::model::Device;
use bonfire_engine::replication::replica::Replica;
use bonfire_engine::replication::state::{StateBoard, StateKey};
use bonfire_engine::report::ErrorClass;
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::SlotRecord;
use bonfire_engine::saves::work::{Placed, Placement, Root, SetKey};
use bonfire_engine::saves_view::AuditEntry;
use bonfire_engine::time::UnixMillis;
use bonfire_engine::trust::{DeviceRole, PairToken};
use bonfire_proto::hlc::Hlc;
use bonfire_proto::message_sync::{RecordData, Watermark};
use bonfire_proto::save::snapshot_id;
use bonfire_proto::{
    DeviceEpoch, Digest, GameId, LibraryEpoch, PeerId, PlayerId, SaveHash, SlotName, SnapshotId, SnapshotKind,
};
use bonfire_store::{APPLICATION_ID, AUDIT_MAX, SCHEMA_VERSION, Store, StoreError};
use rusqlite::Connection;
use uuid::Uuid;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn at(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join("state.db")
}

fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&at(dir), LibraryEpoch(Uuid::from_u128(5))).unwrap()
}

fn in_memory() -> Store {
    Store::in_memory(LibraryEpoch(Uuid::from_u128(5))).unwrap()
}

fn player(n: u128) -> PlayerId {
    PlayerId(Uuid::from_u128(n))
}

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn epoch(n: u128) -> DeviceEpoch {
    DeviceEpoch(Uuid::from_u128(n))
}

fn snapshot(n: u32) -> SnapshotId {
    snapshot_id(&n.to_le_bytes())
}

fn known_player(n: u128) -> KnownPlayer {
    let vouched = Vouched {
        device: peer(2),
        epoch: epoch(2),
        key_hash: Digest([7; 32]),
        role: DeviceRole::Unattended,
        name: "Höhle \"2\"".to_owned(),
    };
    KnownPlayer { player: player(n), name: "Änne".to_owned(), role: DeviceRole::Personal, vouched: vec![vouched] }
}

fn token(n: u8, of: u128) -> KnownToken {
    let token = PairToken::from_random([n; 32]).to_string();
    KnownToken { token, player: player(of), role: DeviceRole::Unattended }
}

fn key(of: u128) -> SetKey {
    SetKey { player: player(of), game: GameId::new("doom").unwrap() }
}

fn set(of: u128) -> KnownSet {
    let root = |label: &str, is_file| Root {
        label: label.to_owned(),
        path: format!("/saves/{label}"),
        is_file,
        include: vec!["*.sav".to_owned()],
        placed: Placed { exclude: vec!["cache".to_owned()], folds_names: true, ..Placed::default() },
    };
    let place = Placement {
        roots: vec![root("save", false), root("config", true)],
        ignore: vec!["*.log".to_owned()],
        programs: vec!["doom.exe".to_owned()],
    };
    KnownSet { set: key(of), place, slot: SlotName::main() }
}

fn line(of: u128, slot: &str) -> Line {
    key(of).line(&SlotName::new(slot).unwrap())
}

fn slot(of: u128) -> KnownSlot {
    let record = SlotRecord { base: Some(snapshot(1)), is_untracked: true, copies: [snapshot(2), snapshot(3)].into() };
    KnownSlot { line: line(of, "main"), record, last_synced_at: Some(NOW.0) }
}

fn node(n: u32, kind: SnapshotKind, holding: Holding) -> KnownNode {
    let parents: BTreeSet<_> = (0..n % 4).map(|back| snapshot(n - 1 - back.min(n - 1))).collect();
    let node = Node {
        id: snapshot(n),
        parents: parents.into_iter().collect(),
        content: SaveHash(Digest([9; 32])),
        kind,
        hlc: Hlc { ms: NOW.0 + u64::from(n), count: n, device: peer(3) },
        device: peer(4),
        created_at: NOW.0,
        files: u64::from(n),
        size: u64::from(n) << 10,
        played_ms: u64::from(n) * 60_000,
    };
    KnownNode { node, holding }
}

fn nodes() -> Vec<KnownNode> {
    let mut nodes = vec![
        node(1, SnapshotKind::Save, Holding::Pruned),
        node(2, SnapshotKind::Tombstone, Holding::Whole),
        node(3, SnapshotKind::Merge, Holding::Named),
        node(4, SnapshotKind::Rollback, Holding::Whole),
    ];
    nodes.sort_by_key(|known| known.node.id);
    nodes
}

fn entry(of: u128, action: &str, at: u64) -> AuditEntry {
    AuditEntry {
        seq: 0,
        at,
        player: player(of),
        game: Some(GameId::new("doom").unwrap()),
        slot: Some(SlotName::main()),
        device: peer(1),
        action: action.to_owned(),
        snapshot: Some(snapshot(1)),
        replaced: vec![snapshot(3), snapshot(2)],
        detail: "for \"people\"".to_owned(),
    }
}

/// One batch with every kind of record that puts something in, of one player.
fn batch(store: &Store, of: u128) -> (Vec<Record>, Replica, StateBoard) {
    let me = Life { device: peer(1), epoch: store.device_epoch().unwrap() };
    let mut replica = Replica::new(player(of), me);
    let mut board = StateBoard::new(me.device, me.epoch);
    let mut clock = Clock::restore(me.device, ClockMark::default());
    let written = replica.introduce(&Device::default(), &mut clock, NOW).unwrap();
    let said = board.publish("slot_head", Uuid::nil(), Some(RecordData::new()), NOW).unwrap().unwrap();
    let other = Watermark { device_id: peer(2), device_epoch: epoch(2), seq: 3 };
    let records = vec![
        Record::Clock(written.mark.unwrap()),
        Record::Player(known_player(of)),
        Record::Token(token(u8::try_from(of).unwrap(), of)),
        Record::Shared {
            player: player(of),
            entries: vec![written.entry],
            floors: vec![other],
            acks: vec![(Life { device: peer(2), epoch: epoch(2) }, other)],
        },
        Record::State { player: player(of), gone: said.gone, put: said.put, marks: said.marks, removed: vec![peer(9)] },
        Record::Set(set(of)),
        Record::Slot(slot(of)),
        Record::Nodes(line(of, "main"), nodes()),
        Record::Nodes(line(of, "other"), nodes()[..1].to_vec()),
        Record::Audit(entry(of, "saved", NOW.0)),
    ];
    (records, replica, board)
}

fn is_nothing(stored: &Stored) -> bool {
    stored.players.is_empty()
        && stored.tokens.is_empty()
        && stored.sets.is_empty()
        && stored.slots.is_empty()
        && stored.nodes.is_empty()
        && stored.clock == ClockMark(0)
}

fn is_refused<T>(result: Result<T, StoreError>) -> bool {
    result.is_err_and(|e| matches!(e, StoreError::BadValue { .. }) && e.class() == ErrorClass::Bug)
}

#[test]
fn every_kind_of_record_comes_back_as_it_was_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    assert!(is_nothing(&store.stored(peer(1)).unwrap()));
    let (records, _, board) = batch(&store, 7);
    store.record(&records).unwrap();
    let life = store.device_epoch().unwrap();
    drop(store);
    let store = open(&dir);
    let stored = store.stored(peer(1)).unwrap();
    assert_eq!((stored.clock, stored.epoch), (store.clock_mark().unwrap(), Some(life)));
    assert!(stored.clock > ClockMark(NOW.0));
    let [known] = &stored.players[..] else { panic!("one player") };
    assert_eq!(known.known, known_player(7));
    assert_eq!((known.log.entries().count(), known.log.watermarks().len()), (1, 2));
    assert_eq!(known.log, store.shared_log(player(7), peer(1)).unwrap());
    assert_eq!(known.board, board);
    assert_eq!(stored.tokens, [token(7, 7)]);
    assert_eq!(stored.sets, [set(7)]);
    assert_eq!(stored.slots, [slot(7)]);
    assert_eq!(stored.nodes, [(line(7, "main"), nodes()), (line(7, "other"), nodes()[..1].to_vec())]);
    let said = store.audit(&AuditFilter::default()).unwrap();
    assert_eq!(said, [AuditEntry { seq: 1, ..entry(7, "saved", NOW.0) }]);
}

#[test]
fn the_last_word_on_a_thing_holds_and_what_is_gone_is_gone() {
    let mut store = in_memory();
    let (records, _, board) = batch(&store, 7);
    store.record(&records).unwrap();
    store.put_listing(&key(7), Some(b"of the last look")).unwrap();
    let renamed = KnownPlayer { name: "Ä".to_owned(), vouched: vec![], ..known_player(7) };
    let pushed = KnownSlot { record: SlotRecord::default(), last_synced_at: None, ..slot(7) };
    let fetched = KnownNode { holding: Holding::Whole, ..nodes()[0].clone() };
    let name = PairToken::parse(&token(7, 7).token).unwrap().name().clone();
    store
        .record(&[
            Record::Epoch(epoch(9)),
            Record::Player(renamed.clone()),
            Record::TokenGone(name),
            Record::State {
                player: player(7),
                gone: board.records().map(StateKey::of).collect(),
                put: vec![],
                marks: vec![],
                removed: vec![],
            },
            Record::SetGone(key(7)),
            Record::Slot(pushed.clone()),
            Record::Nodes(line(7, "other"), vec![fetched.clone()]),
        ])
        .unwrap();
    let stored = store.stored(peer(1)).unwrap();
    assert_eq!(stored.epoch, Some(epoch(9)));
    assert_eq!((stored.players[0].known.clone(), stored.slots), (renamed, vec![pushed]));
    assert_eq!(stored.players[0].log.me().epoch, epoch(9), "what was held of the old life is another's");
    assert_eq!(stored.players[0].board.records().count(), 0);
    assert!(stored.tokens.is_empty() && stored.sets.is_empty());
    assert_eq!(store.listing(&key(7)).unwrap(), None);
    assert_eq!(stored.nodes[1].1, [fetched]);
}

#[test]
fn a_batch_is_durable_whole_or_not_at_all() {
    let mut store = in_memory();
    let (mut records, ..) = batch(&store, 7);
    records.push(Record::Token(KnownToken { token: "C7H-4PX".to_owned(), ..token(7, 7) }));
    assert!(is_refused(store.record(&records)));
    assert!(is_nothing(&store.stored(peer(1)).unwrap()));
    assert_eq!(store.audit(&AuditFilter::default()).unwrap(), []);
}

#[test]
fn nothing_out_of_bounds_is_stored() {
    let mut store = in_memory();
    let of_node = |change: &dyn Fn(&mut Node)| {
        let mut known = nodes()[0].clone();
        change(&mut known.node);
        Record::Nodes(line(7, "main"), vec![known])
    };
    let of_place = |change: &dyn Fn(&mut Placement)| {
        let mut known = set(7);
        change(&mut known.place);
        Record::Set(known)
    };
    let vouched = &known_player(7).vouched[0];
    let long = "x".repeat(129);
    for wrong in [
        Record::Clock(ClockMark(u64::MAX)),
        Record::Player(KnownPlayer { name: long.clone(), ..known_player(7) }),
        Record::Player(KnownPlayer { vouched: vec![vouched.clone(); 1_025], ..known_player(7) }),
        Record::Player(KnownPlayer { vouched: vec![Vouched { name: long, ..vouched.clone() }], ..known_player(7) }),
        Record::Token(KnownToken { token: String::new(), ..token(7, 7) }),
        Record::Slot(KnownSlot { last_synced_at: Some(u64::MAX), ..slot(7) }),
        of_place(&|p| p.roots[1].label = "save".to_owned()),
        of_place(&|p| p.roots[0].label = String::new()),
        of_place(&|p| p.roots[0].label = "x".repeat(33)),
        of_place(&|p| p.roots[0].path = String::new()),
        of_node(&|n| n.parents = vec![snapshot(1), snapshot(1)]),
        of_node(&|n| n.parents = (0..33).map(|n| SnapshotId(Digest([n; 32]))).collect()),
        of_node(&|n| n.hlc.ms = 10_000_000_000_000),
        of_node(&|n| n.created_at = u64::MAX),
        of_node(&|n| n.files = 200_001),
        of_node(&|n| n.size = (64 << 30) + 1),
        Record::Audit(entry(7, "", 0)),
        Record::Audit(entry(7, &"x".repeat(65), 0)),
        Record::Audit(entry(7, "saved", u64::MAX)),
    ] {
        assert!(is_refused(store.record(std::slice::from_ref(&wrong))), "{wrong:?}");
    }
    assert!(is_nothing(&store.stored(peer(1)).unwrap()));
}

#[test]
fn a_player_that_is_gone_leaves_nothing_but_what_was_done() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    for of in [7, 8] {
        let (records, ..) = batch(&store, of);
        store.record(&records).unwrap();
        store.keep_snapshot_text(player(of), snapshot_id(b"{}"), "{}").unwrap();
        store.put_listing(&key(of), Some(b"x")).unwrap();
    }
    let conn = Connection::open(at(&dir)).unwrap();
    let rows = |of: u128| -> Vec<(String, i64)> {
        let sql = "SELECT t.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
                   WHERE t.type = 'table' AND c.name = 'player' ORDER BY t.name";
        let mut query = conn.prepare(sql).unwrap();
        let tables = query.query_map([], |r| r.get::<_, String>(0)).unwrap().map(Result::unwrap);
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table} WHERE player = ?1");
            conn.query_row(&sql, [player(of).to_string()], |r| r.get(0)).unwrap()
        };
        tables.map(|table| (table.clone(), count(&table))).collect()
    };
    assert_eq!(rows(7).len(), 13);
    assert!(rows(7).iter().all(|(_, count)| *count > 0), "{:?}", rows(7));
    let other = rows(8);
    store.record(&[Record::PlayerGone(player(7))]).unwrap();
    let left: Vec<_> = rows(7).into_iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(left, [("audit".to_owned(), 1)]);
    assert_eq!(rows(8), other);
    assert_eq!(store.stored(peer(1)).unwrap().players.len(), 1);
}

#[test]
fn the_audit_log_is_read_newest_first_by_what_is_asked() {
    let mut store = in_memory();
    let plain = AuditEntry {
        game: None,
        slot: None,
        snapshot: None,
        replaced: vec![],
        detail: String::new(),
        ..entry(8, "paired", 40)
    };
    let elsewhere = AuditEntry { slot: Some(SlotName::new("b").unwrap()), ..entry(7, "saved", 20) };
    let said = [entry(7, "saved", 30), elsewhere, entry(7, "pruned", 10), plain];
    store.record(&said.clone().map(Record::Audit)).unwrap();
    let seqs = |filter: AuditFilter| -> Vec<u64> { store.audit(&filter).unwrap().iter().map(|e| e.seq).collect() };
    let all = AuditFilter::default();
    assert_eq!(seqs(all.clone()), [4, 3, 2, 1]);
    assert_eq!(store.audit(&all).unwrap()[0], AuditEntry { seq: 4, ..said[3].clone() });
    assert_eq!(seqs(AuditFilter { player: Some(player(7)), ..all.clone() }), [3, 2, 1]);
    assert_eq!(seqs(AuditFilter { game: Some(key(7).game), ..all.clone() }), [3, 2, 1]);
    assert_eq!(seqs(AuditFilter { slot: Some(SlotName::main()), ..all.clone() }), [3, 1]);
    assert_eq!(seqs(AuditFilter { action: Some("saved".to_owned()), ..all.clone() }), [2, 1]);
    assert_eq!(seqs(AuditFilter { since: Some(20), ..all.clone() }), [4, 2, 1]);
    assert_eq!(seqs(AuditFilter { since: Some(u64::MAX), ..all.clone() }), [0; 0]);
    assert_eq!(seqs(AuditFilter { limit: Some(2), ..all.clone() }), [4, 3]);
    assert_eq!(seqs(AuditFilter { limit: Some(1), slot: Some(SlotName::main()), ..all }), [3]);
}

#[test]
fn the_audit_log_keeps_the_newest_and_never_gives_a_number_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(&dir);
    store.record(&[Record::Audit(entry(7, "saved", 1))]).unwrap();
    let many = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
                INSERT INTO audit (at, player, device, action, replaced, detail)
                SELECT at, player, device, 'many', replaced, '' FROM n, audit WHERE seq = 1";
    Connection::open(at(&dir)).unwrap().execute(many, [i64::try_from(AUDIT_MAX).unwrap() + 5]).unwrap();
    store.record(&[Record::Audit(entry(7, "last", 2)), Record::Audit(entry(7, "last", 3))]).unwrap();
    let asked = |limit| store.audit(&AuditFilter { limit, ..AuditFilter::default() }).unwrap();
    assert_eq!(asked(Some(1))[0].seq, AUDIT_MAX + 8);
    assert_eq!((asked(None).len(), asked(Some(u32::MAX)).len()), (100, 10_000));
    let kept: (i64, i64) = Connection::open(at(&dir))
        .unwrap()
        .query_row("SELECT count(*), min(seq) FROM audit", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap();
    assert_eq!(kept, (i64::try_from(AUDIT_MAX).unwrap(), 9));
}

#[test]
fn the_text_of_a_snapshot_is_kept_for_its_player_and_only_under_its_hash() {
    let mut store = in_memory();
    let (text, id) = ("{\"a\":\"ä\"}", snapshot_id("{\"a\":\"ä\"}".as_bytes()));
    assert_eq!(store.snapshot_text(player(7), id).unwrap(), None);
    store.keep_snapshot_text(player(7), id, text).unwrap();
    store.keep_snapshot_text(player(7), id, text).unwrap();
    assert_eq!(store.snapshot_text(player(7), id).unwrap().as_deref(), Some(text));
    assert_eq!(store.snapshot_text(player(8), id).unwrap(), None);
    assert!(is_refused(store.keep_snapshot_text(player(7), id, "{}")));
    let long = "x".repeat(256 * 1024 + 1);
    assert!(is_refused(store.keep_snapshot_text(player(7), snapshot_id(long.as_bytes()), &long)));
}

#[test]
fn a_listing_is_kept_by_set_and_forgotten_on_demand() {
    let mut store = in_memory();
    assert_eq!(store.listing(&key(7)).unwrap(), None);
    store.put_listing(&key(7), Some(&[0, 255, 1])).unwrap();
    store.put_listing(&key(7), Some(&[])).unwrap();
    store.put_listing(&key(8), Some(&[2])).unwrap();
    assert_eq!(store.listing(&key(7)).unwrap(), Some(vec![]));
    store.put_listing(&key(7), None).unwrap();
    assert_eq!((store.listing(&key(7)).unwrap(), store.listing(&key(8)).unwrap()), (None, Some(vec![2])));
}

#[test]
fn the_ancestry_of_a_long_life_comes_back() {
    let mut store = in_memory();
    let mut said: Vec<_> = (1..=50_000).map(|n| node(n, SnapshotKind::Save, Holding::Whole)).collect();
    said.iter_mut().for_each(|known| known.node.files = 1);
    store.record(&[Record::Nodes(line(7, "main"), said.clone())]).unwrap();
    said.sort_by_key(|known| known.node.id);
    assert_eq!(store.stored(peer(1)).unwrap().nodes, [(line(7, "main"), said)]);
}

#[test]
fn a_database_of_schema_2_is_upgraded_with_all_that_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let conn = Connection::open(at(&dir)).unwrap();
    conn.execute_batch(include_str!("../src/migrations/0001-first.sql")).unwrap();
    conn.execute_batch(include_str!("../src/migrations/0002-replication.sql")).unwrap();
    conn.execute_batch(
        "INSERT INTO library VALUES (1, '00000000-0000-0000-0000-0000000000aa', 3, 1);
         INSERT INTO device_epoch VALUES (1, '00000000-0000-0000-0000-0000000000bb');
         INSERT INTO clock_mark VALUES (1, 5);
         INSERT INTO setting VALUES ('name', 'Deck');",
    )
    .unwrap();
    conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    drop(conn);
    let mut store = open(&dir);
    let stored = store.stored(peer(1)).unwrap();
    assert_eq!((stored.epoch, stored.clock), (Some(epoch(0xbb)), ClockMark(5)));
    assert_eq!(store.setting("name").unwrap().as_deref(), Some("Deck"));
    let (records, ..) = batch(&store, 7);
    store.record(&records).unwrap();
    drop(store);
    assert_eq!(open(&dir).stored(peer(1)).unwrap().nodes.len(), 2);
    let conn = Connection::open(at(&dir)).unwrap();
    assert_eq!(conn.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0)).unwrap(), SCHEMA_VERSION);
}

#[test]
fn a_damaged_row_is_damage_and_not_an_empty_result() {
    for (table, change) in [
        ("player", "player = 'x'"),
        ("player", "role = 'king'"),
        ("player", "vouched = '{}'"),
        ("player", "name = printf('%0200d', 0)"),
        ("pair_token", "token = 'x'"),
        ("pair_token", "name = 'ABCD'"),
        ("pair_token", "player = 'x'"),
        ("pair_token", "role = ''"),
        ("save_set", "player = 'x'"),
        ("save_set", "game = '..'"),
        ("save_set", "place = '[]'"),
        ("save_set", "place = replace(place, 'config', 'save')"),
        ("save_set", "slot = ''"),
        ("save_slot", "slot = ' '"),
        ("save_slot", "base = x'00'"),
        ("save_slot", "copies = x'00'"),
        ("save_slot", "last_synced_at = -1"),
        ("snapshot_node", "player = ''"),
        ("snapshot_node", "game = 'a/b'"),
        ("snapshot_node", "id = x'00'"),
        ("snapshot_node", "parents = x'00'"),
        ("snapshot_node", "parents = zeroblob(64)"),
        ("snapshot_node", "content = x''"),
        ("snapshot_node", "kind = 'game'"),
        ("snapshot_node", "hlc = 'noon'"),
        ("snapshot_node", "device = 'x'"),
        ("snapshot_node", "created_at = -1"),
        ("snapshot_node", "files = 200001"),
        ("snapshot_node", "size = -1"),
        ("snapshot_node", "holding = 'partly'"),
        ("snapshot_text", "text = 'x'"),
        ("audit", "player = 'x'"),
        ("audit", "game = '..'"),
        ("audit", "slot = ''"),
        ("audit", "device = ''"),
        ("audit", "at = -1"),
        ("audit", "snapshot = x'00'"),
        ("audit", "replaced = x'00'"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir);
        let (records, ..) = batch(&store, 7);
        store.record(&records).unwrap();
        store.keep_snapshot_text(player(7), snapshot_id(b"{}"), "{}").unwrap();
        let conn = Connection::open(at(&dir)).unwrap();
        conn.pragma_update(None, "ignore_check_constraints", true).unwrap();
        let one = match table {
            "snapshot_node" => " WHERE slot = 'other'",
            _ => "",
        };
        assert_eq!(conn.execute(&format!("UPDATE {table} SET {change}{one}"), []).unwrap(), 1, "{table} {change}");
        let read = store
            .stored(peer(1))
            .and_then(|_| store.audit(&AuditFilter { since: None, ..AuditFilter::default() }))
            .and_then(|_| store.snapshot_text(player(7), snapshot_id(b"{}")));
        let Err(e) = read else { panic!("{table} {change} is no damage") };
        assert!(matches!(e, StoreError::BadRow { table: t, .. } if t == table), "{table} {change}: {e}");
        assert_eq!(e.class(), ErrorClass::Corruption);
    }
}
