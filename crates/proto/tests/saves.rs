//! The text of a snapshot, its id, and the two hashes of what a save holds.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bonfire_proto::limits::{OBJECT_LEN_MAX, PARENTS_MAX, PLAYED_MS_MAX, SNAPSHOT_LEN_MAX};
use bonfire_proto::save::{SNAPSHOT_FORMAT, SnapshotError, archive_hash, content_hash, snapshot_id};
use bonfire_proto::{
    Digest, GameId, Hlc, ObjectRef, PeerId, PlayerId, RelPath, SaveEntry, SaveHash, SlotName, Snapshot, SnapshotId,
    SnapshotKind,
};
use proptest::prelude::*;
use uuid::Uuid;

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn peer(byte: u8) -> PeerId {
    PeerId::from_uuid(Uuid::from_bytes([byte; 16]))
}

fn entry(path: &str, size: u64, byte: u8) -> SaveEntry {
    SaveEntry {
        path: RelPath::new(path).unwrap(),
        size,
        mtime: 1_760_000_000_123,
        blake3: digest(byte),
        archive: None,
        pieces: Vec::new(),
    }
}

fn snapshot(entries: Vec<SaveEntry>) -> Snapshot {
    Snapshot {
        format: SNAPSHOT_FORMAT,
        player: PlayerId(Uuid::from_bytes([7; 16])),
        game_id: GameId::new("nethack").unwrap(),
        slot: SlotName::main(),
        parents: vec![SnapshotId(digest(1)), SnapshotId(digest(2))],
        device: peer(9),
        hlc: Hlc { ms: 1_760_000_000_456, count: 3, device: peer(9) },
        created_at: 1_760_000_000_400,
        kind: SnapshotKind::Save,
        note: None,
        played_ms: 0,
        content_hash: content_hash(&entries),
        files: entries.len() as u64,
        size: entries.iter().map(|e| e.size).sum(),
        entries,
        list: Vec::new(),
    }
}

fn small() -> Snapshot {
    snapshot(vec![entry("save/1000wizard.gz", 40_000, 5), entry("save/empty", 0, 6)])
}

#[test]
fn a_snapshot_is_written_as_it_always_was() {
    let bytes = small().to_bytes().unwrap();
    let golden = include_str!("golden/snapshot.json").trim_end();
    assert_eq!(std::str::from_utf8(&bytes).unwrap(), golden);
    assert_eq!(Snapshot::from_bytes(golden.as_bytes()).unwrap(), small());
    assert_eq!(snapshot_id(&bytes).0.0, *blake3::hash(golden.as_bytes()).as_bytes(), "what `b3sum` says of the text");
}

#[test]
fn the_time_played_is_written_when_there_is_some_and_is_bounded() {
    let played = |played_ms| Snapshot { played_ms, ..small() }.to_bytes().unwrap();
    let text = String::from_utf8(played(7_500_000)).unwrap();
    assert_eq!(text.replace("\"played_ms\":7500000,", ""), String::from_utf8(played(0)).unwrap());
    assert_eq!(Snapshot::from_bytes(text.as_bytes()).unwrap().played_ms, 7_500_000);
    assert!(Snapshot::from_bytes(&played(PLAYED_MS_MAX)).is_ok());
    assert_eq!(Snapshot::from_bytes(&played(PLAYED_MS_MAX + 1)), Err(SnapshotError::Field("played_ms")));
}

#[test]
fn what_a_later_version_adds_is_passed_over_and_stays_in_the_id() {
    let bytes = small().to_bytes().unwrap();
    let mut text = String::from_utf8(bytes.clone()).unwrap();
    text.insert_str(text.len() - 1, ",\"mood\":\"good\"");
    assert_eq!(Snapshot::from_bytes(text.as_bytes()).unwrap(), small());
    assert_ne!(snapshot_id(text.as_bytes()), snapshot_id(&bytes));
}

#[test]
fn nothing_out_of_bounds_is_believed() {
    let field = |made: Snapshot| match Snapshot::from_bytes(&serde_json::to_vec(&made).unwrap()) {
        Err(SnapshotError::Field(name)) => name.to_owned(),
        Err(SnapshotError::Mismatch(name)) => format!("mismatch {name}"),
        other => format!("{other:?}"),
    };
    let with = |change: &dyn Fn(&mut Snapshot)| {
        let mut made = small();
        change(&mut made);
        field(made)
    };
    assert_eq!(PARENTS_MAX, 32);
    assert_eq!(with(&|s| s.parents.reverse()), "parents");
    assert_eq!(with(&|s| s.parents = vec![SnapshotId(digest(1)); 2]), "parents");
    assert_eq!(with(&|s| s.parents = (0..=32).map(|n| SnapshotId(digest(n))).collect()), "parents");
    assert_eq!(with(&|s| s.note = Some("x".repeat(513))), "note");
    assert_eq!(with(&|s| s.files = u64::MAX), "files");
    assert_eq!(with(&|s| s.size = u64::MAX), "size");
    assert_eq!(with(&|s| s.kind = SnapshotKind::Tombstone), "kind");
    assert_eq!(with(&|s| s.files = 3), "mismatch files");
    assert_eq!(with(&|s| s.size += 1), "mismatch size");
    assert_eq!(with(&|s| s.content_hash = SaveHash(digest(0))), "mismatch content_hash");
    assert_eq!(field(snapshot(vec![entry("save", 1, 1)])), "path", "a root alone is no file");
    assert_eq!(with(&|s| s.list = vec![ObjectRef { hash: digest(1), len: 1 }]), "entries");
    let piece = |len| ObjectRef { hash: digest(8), len };
    assert_eq!(with(&|s| s.entries[0].pieces = vec![piece(39_999)]), "pieces");
    assert_eq!(with(&|s| s.entries[0].pieces = vec![piece(0), piece(40_000)]), "pieces");
    assert_eq!(with(&|s| s.entries[0].pieces = vec![piece(40_000)]), "pieces", "one piece is the file itself");
    assert_eq!(with(&|s| s.entries[1].pieces = vec![piece(1)]), "pieces");
    let long = |pieces| snapshot(vec![SaveEntry { pieces, ..entry("save/long", u64::from(OBJECT_LEN_MAX) + 1, 5) }]);
    assert_eq!(field(long(Vec::new())), "pieces", "longer than one object can be");
    let bytes = serde_json::to_vec(&long(vec![piece(OBJECT_LEN_MAX), piece(1)])).unwrap();
    assert!(Snapshot::from_bytes(&bytes).is_ok());

    let mut made = small();
    made.format = 2;
    assert_eq!(Snapshot::from_bytes(&serde_json::to_vec(&made).unwrap()), Err(SnapshotError::Format(2)));
    assert_eq!(Snapshot::from_bytes(&vec![b' '; SNAPSHOT_LEN_MAX + 1]), Err(SnapshotError::TooLong));
    made = small();
    made.note = Some("x".repeat(SNAPSHOT_LEN_MAX));
    assert_eq!(made.to_bytes(), Err(SnapshotError::TooLong));
}

#[test]
fn files_out_of_order_or_that_meet_on_some_file_system_are_refused() {
    let unsorted = snapshot(vec![entry("save/b", 1, 1), entry("save/a", 1, 1)]);
    let twice = snapshot(vec![entry("save/a", 1, 1), entry("save/a", 1, 1)]);
    for made in [unsorted, twice] {
        let read = Snapshot::from_bytes(&serde_json::to_vec(&made).unwrap());
        assert!(matches!(read, Err(SnapshotError::Unsorted(_))), "{read:?}");
    }
    let meeting = snapshot(vec![entry("save/A", 1, 1), entry("save/a", 1, 1)]);
    let read = Snapshot::from_bytes(&serde_json::to_vec(&meeting).unwrap());
    assert!(matches!(read, Err(SnapshotError::Collision(_))), "{read:?}");
}

#[test]
fn the_entries_of_a_list_kept_apart_are_checked_like_those_inside() {
    let entries = small().entries;
    let mut made = small();
    made.entries.clear();
    made.list = vec![ObjectRef { hash: digest(4), len: 500 }];
    let read = Snapshot::from_bytes(&made.to_bytes().unwrap()).unwrap();
    assert_eq!(read.check_entries(&entries), Ok(()));
    assert_eq!(read.check_entries(&entries[..1]), Err(SnapshotError::Mismatch("files")));
    let mut other = entries.clone();
    other[0].blake3 = digest(77);
    assert_eq!(read.check_entries(&other), Err(SnapshotError::Mismatch("content_hash")));
}

#[test]
fn times_and_pieces_are_no_part_of_the_content_and_everything_else_is() {
    let plain = content_hash(&[entry("save/a", 3, 1)]);
    let same = |change: &dyn Fn(&mut SaveEntry)| {
        let mut made = entry("save/a", 3, 1);
        change(&mut made);
        content_hash(&[made]) == plain
    };
    assert!(same(&|e| e.mtime = 0));
    let piece = |len| ObjectRef { hash: digest(1), len };
    assert!(same(&|e| e.pieces = vec![piece(1), piece(2)]));
    assert!(!same(&|e| e.path = RelPath::new("save/b").unwrap()));
    assert!(!same(&|e| e.size = 4));
    assert!(!same(&|e| e.blake3 = digest(2)));
    assert!(!same(&|e| e.archive = Some(digest(1))));
    let archive = |mtime, blake3| SaveEntry { mtime, archive: Some(digest(9)), ..entry("save/a", 3, blake3) };
    assert_eq!(content_hash(&[archive(1, 1)]), content_hash(&[archive(2, 2)]), "what is in an archive counts");
}

#[test]
fn an_archive_is_its_files_in_any_order() {
    let file = |name: &str, size, byte| (name.as_bytes().to_vec(), size, digest(byte));
    let two = archive_hash(vec![file("a", 1, 1), file("b", 2, 2)]);
    assert_eq!(archive_hash(vec![file("b", 2, 2), file("a", 1, 1)]), two);
    assert_ne!(archive_hash(vec![file("ab", 2, 2), file("", 1, 1)]), two);
    assert_ne!(archive_hash(vec![file("a", 1, 1)]), two);
}

#[test]
fn a_slot_has_a_name_that_people_can_see() {
    for good in ["main", "Nuzlocke Run", "日本", &"x".repeat(64)] {
        assert_eq!(SlotName::new(good).unwrap().as_str(), good);
    }
    for bad in ["", " main", "main ", "a\nb", "a\u{202e}b", "a\u{200b}", &"x".repeat(65)] {
        assert!(SlotName::new(bad).is_err(), "{bad:?}");
        assert!(serde_json::from_value::<SlotName>(bad.into()).is_err(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn the_order_of_times_is_the_order_of_their_texts(
        a in (0u64..=9_999_999_999_999, any::<u32>(), any::<[u8; 16]>()),
        b in (0u64..=9_999_999_999_999, any::<u32>(), any::<[u8; 16]>()),
    ) {
        let time = |(ms, count, id): (u64, u32, [u8; 16])| {
            Hlc { ms, count, device: PeerId::from_uuid(Uuid::from_bytes(id)) }
        };
        let (a, b) = (time(a), time(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        prop_assert_eq!(a.to_string().parse::<Hlc>().unwrap(), a);
    }

    #[test]
    fn bytes_that_are_no_snapshot_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(Snapshot::from_bytes(&bytes).is_err());
    }
}

#[test]
fn a_time_in_another_form_is_refused() {
    let good = Hlc { ms: 1, count: 2, device: peer(3) }.to_string();
    assert!(good.parse::<Hlc>().is_ok());
    for bad in [&good[1..], &good.to_uppercase().replace('-', "_"), "", "1-2-3", &format!("+{}", &good[1..])] {
        assert!(bad.parse::<Hlc>().is_err(), "{bad}");
    }
}
