//! The text of a snapshot, its id, and the two hashes of what a save holds.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise, and says how much it saw"
)]

use std::cell::Cell;

use bonfire_proto::limits::{OBJECT_LEN_MAX, PARENTS_MAX, PLAYED_MS_MAX, SNAPSHOT_LEN_MAX};
use bonfire_proto::rel_path::check_collisions;
use bonfire_proto::save::{SNAPSHOT_FORMAT, SnapshotError, archive_hash, content_hash, snapshot_id};
use bonfire_proto::{
    Digest, GameId, Hlc, ObjectRef, PeerId, PlayerId, RelPath, SaveEntry, SaveHash, SlotName, Snapshot, SnapshotId,
    SnapshotKind,
};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
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

fn cases() -> u32 {
    std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap())
}

/// Runs a property over all cases. It says whether what it is about came about, which has to be so in that many of a
/// hundred cases.
fn holds<S: Strategy>(of: S, percent: u64, property: impl Fn(S::Value) -> Result<bool, TestCaseError>) {
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let met = Cell::new(0u64);
    let run = TestRunner::new(config).run(&of, |value| {
        met.set(met.get() + u64::from(property(value)?));
        Ok(())
    });
    run.unwrap_or_else(|e| panic!("{e}"));
    println!("{} cases, what it is about in {}", cases(), met.get());
    assert!(met.get() * 100 >= percent * u64::from(cases()) || cases() < 1_000, "rare: {}", met.get());
}

/// A file as both hashes see it. Few of each, so that two lists are often almost the same; names in which the end of one
/// could be the beginning of the next, and the bytes that stand between fields.
type Plain = (String, u64, u8, bool);

fn plain() -> impl Strategy<Value = Vec<Plain>> {
    prop::collection::vec(("[ab]{0,2}|a\u{1}|b/a", 0u64..3, 0u8..3, any::<bool>()), 0..4)
}

/// Another list of files: drawn anew, or the same one in another order, or with one field of one file changed.
fn two_lists() -> impl Strategy<Value = (Vec<Plain>, Vec<Plain>)> {
    (plain(), plain(), 0usize..6, any::<prop::sample::Index>()).prop_map(|(one, drawn, how, at)| {
        let mut other = one.clone();
        let at = if one.is_empty() { 0 } else { at.index(one.len()) };
        match how {
            0 => return (one, drawn),
            1 if !one.is_empty() => other[at].0.push('a'),
            2 if !one.is_empty() => other[at].1 += 1,
            3 if !one.is_empty() => other[at].2 += 1,
            // The end of a name goes over to the next one.
            4 if one.len() > 1 => {
                if let Some(last) = other[0].0.pop() {
                    other[1].0.insert(0, last);
                }
            }
            _ => other.reverse(),
        }
        (one, other)
    })
}

#[test]
fn p14_the_hash_of_an_archive_is_the_same_for_the_same_files_in_any_order_and_for_nothing_else() {
    holds(two_lists(), 30, |(one, other)| {
        let files = |list: &[Plain]| -> Vec<(Vec<u8>, u64, Digest)> {
            list.iter().map(|(name, size, byte, _)| (name.as_bytes().to_vec(), *size, digest(*byte))).collect()
        };
        let (mut one, mut other) = (files(&one), files(&other));
        let are_equal = archive_hash(one.clone()) == archive_hash(other.clone());
        let is_moved = one != other;
        one.sort();
        other.sort();
        prop_assert_eq!(are_equal, one == other);
        Ok(is_moved)
    });
}

#[test]
fn p14_the_hash_of_a_save_is_that_of_its_names_sizes_and_contents_and_of_nothing_else() {
    let drawn = (two_lists(), any::<(i64, i64)>(), any::<bool>());
    holds(drawn, 20, |((one, other), (then, later), is_cut)| {
        let entries = |list: &[Plain], mtime: i64, is_cut: bool| -> Vec<SaveEntry> {
            let mut by_path = std::collections::BTreeMap::new();
            for (name, size, byte, is_archive) in list {
                let Ok(path) = RelPath::new(format!("save/x{name}")) else { continue };
                let mut made = SaveEntry { mtime, ..entry(path.as_str(), *size, *byte) };
                made.archive = is_archive.then(|| digest(*byte));
                if is_cut {
                    made.pieces = vec![ObjectRef { hash: digest(*byte), len: 1 }; 2];
                }
                by_path.insert(path, made);
            }
            by_path.into_values().collect()
        };
        // What tells two files apart: of an archive only what is in it.
        let told = |list: &[SaveEntry]| -> Vec<(RelPath, Option<Digest>, u64, Digest)> {
            let of = |e: &SaveEntry| match e.archive {
                Some(inner) => (e.path.clone(), Some(inner), 0, digest(0)),
                None => (e.path.clone(), None, e.size, e.blake3),
            };
            list.iter().map(of).collect()
        };
        let (one, other) = (entries(&one, then, false), entries(&other, later, is_cut));
        let are_alike = told(&one) == told(&other);
        prop_assert_eq!(content_hash(&one) == content_hash(&other), are_alike);
        Ok(!one.is_empty() && one != other)
    });
}

/// What somebody who lies writes into a snapshot of others.
#[derive(Debug, Clone)]
enum Lie {
    Path(usize, String),
    Size(usize, u64),
    Content(usize, u8),
    Count(u64),
    Total(u64),
    Hash(u8),
    Parents(Vec<u8>),
    Piece(usize, u32),
    Twice(usize),
    Format(u32),
    Slot(String),
}

fn lies() -> impl Strategy<Value = Lie> {
    let hostile = prop_oneof![
        Just("../../.ssh/authorized_keys".to_owned()),
        Just("/etc/passwd".to_owned()),
        Just("save/../../x".to_owned()),
        Just("C:/x".to_owned()),
        Just("save/NUL".to_owned()),
        Just("save\\..\\x".to_owned()),
        Just("save/C".to_owned()),
        Just("save".to_owned()),
        "[./a-cA-C]{0,12}",
    ];
    let at = 0usize..3;
    prop_oneof![
        6 => (at.clone(), hostile).prop_map(|(at, path)| Lie::Path(at, path)),
        1 => (at.clone(), any::<u64>()).prop_map(|(at, size)| Lie::Size(at, size)),
        1 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Lie::Content(at, byte)),
        1 => any::<u64>().prop_map(Lie::Count),
        1 => any::<u64>().prop_map(Lie::Total),
        1 => any::<u8>().prop_map(Lie::Hash),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Lie::Parents),
        1 => (at.clone(), any::<u32>()).prop_map(|(at, len)| Lie::Piece(at, len)),
        1 => at.prop_map(Lie::Twice),
        1 => any::<u32>().prop_map(Lie::Format),
        1 => "\\PC{0,70}".prop_map(Lie::Slot),
    ]
}

/// The lie told in the text of a snapshot, with all that is counted and hashed put right if the liar is careful.
fn told(lie: Lie, is_careful: bool) -> serde_json::Value {
    let honest = snapshot(vec![entry("save/a", 10, 1), entry("save/b", 0, 2), entry("save/c/d", 7, 3)]);
    let mut text = serde_json::to_value(&honest).unwrap();
    match lie {
        Lie::Path(at, path) => text["entries"][at]["path"] = path.into(),
        Lie::Size(at, size) => text["entries"][at]["size"] = size.into(),
        Lie::Content(at, byte) => text["entries"][at]["blake3"] = digest(byte).to_string().into(),
        Lie::Count(n) => text["files"] = n.into(),
        Lie::Total(n) => text["size"] = n.into(),
        Lie::Hash(byte) => text["content_hash"] = SaveHash(digest(byte)).to_string().into(),
        Lie::Parents(of) => {
            text["parents"] = of.into_iter().map(|b| SnapshotId(digest(b)).to_string()).collect::<Vec<_>>().into();
        }
        Lie::Piece(at, len) => {
            text["entries"][at]["pieces"] =
                serde_json::to_value(vec![ObjectRef { hash: digest(9), len }, ObjectRef { hash: digest(8), len: 1 }])
                    .unwrap();
        }
        Lie::Twice(at) => {
            let again = text["entries"][at].clone();
            text["entries"].as_array_mut().unwrap().push(again);
        }
        Lie::Format(n) => text["format"] = n.into(),
        Lie::Slot(name) => text["slot"] = name.into(),
    }
    if let (true, Ok(mut made)) = (is_careful, serde_json::from_value::<Snapshot>(text.clone())) {
        made.entries.sort_by(|a, b| a.path.cmp(&b.path));
        made.files = made.entries.len() as u64;
        made.size = made.entries.iter().fold(0, |sum, e| sum.wrapping_add(e.size));
        made.content_hash = content_hash(&made.entries);
        return serde_json::to_value(&made).unwrap();
    }
    text
}

#[test]
fn p19_of_a_snapshot_that_lies_nothing_is_believed_that_breaks_a_rule() {
    holds((lies(), any::<bool>()), 30, |(lie, is_careful)| {
        let bytes = serde_json::to_vec(&told(lie, is_careful)).unwrap();
        let Ok(read) = Snapshot::from_bytes(&bytes) else { return Ok(true) };
        prop_assert_eq!(read.check_entries(&read.entries), Ok(()));
        let paths: Vec<&str> = read.entries.iter().map(|e| e.path.as_str()).collect();
        for path in &paths {
            let parts: Vec<_> = std::path::Path::new(path).components().collect();
            prop_assert!(parts.len() > 1, "{} is a root", path);
            prop_assert!(parts.iter().all(|c| matches!(c, std::path::Component::Normal(_))), "{}", path);
        }
        let folded: std::collections::BTreeSet<String> = read.entries.iter().map(|e| e.path.folded()).collect();
        prop_assert_eq!(folded.len(), paths.len(), "two files would be one");
        prop_assert!(paths.is_sorted());
        prop_assert_eq!((read.files, read.content_hash), (paths.len() as u64, content_hash(&read.entries)));
        prop_assert_eq!(read.entries.iter().map(|e| u128::from(e.size)).sum::<u128>(), u128::from(read.size));
        for e in &read.entries {
            let objects = e.objects();
            prop_assert!(objects.iter().all(|o| o.len >= 1 && o.len <= OBJECT_LEN_MAX));
            prop_assert_eq!(objects.iter().map(|o| u64::from(o.len)).sum::<u64>(), e.size);
        }
        prop_assert!(read.parents.len() <= PARENTS_MAX && read.parents.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(read.format, SNAPSHOT_FORMAT);
        Ok(false)
    });
}

/// Names that some file system would make one are never two files of a save.
#[test]
fn p20_a_snapshot_with_names_that_meet_is_refused_and_any_other_is_read_with_every_name_as_it_was() {
    let names = prop::collection::btree_set("[aAb\u{e9}\u{c9}]{1,2}(/[aA]{1,2})?|e\u{301}|[sS]s|\u{df}", 1..5);
    holds(names, 10, |names| {
        let entries: Vec<SaveEntry> = names
            .iter()
            .filter_map(|n| RelPath::new(format!("save/{n}")).ok())
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .map(|p| entry(p.as_str(), 1, 1))
            .collect();
        let meet = check_collisions(entries.iter().map(|e| &e.path)).is_err();
        match Snapshot::from_bytes(&serde_json::to_vec(&snapshot(entries.clone())).unwrap()) {
            Err(SnapshotError::Collision(_)) => prop_assert!(meet),
            Ok(read) => {
                prop_assert!(!meet);
                prop_assert_eq!(read.entries, entries);
            }
            Err(e) => prop_assert!(false, "{}", e),
        }
        Ok(meet)
    });
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
