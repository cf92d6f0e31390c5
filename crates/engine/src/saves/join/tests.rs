use bonfire_proto::RelPath;
use bonfire_proto::save::snapshot_id;
use uuid::Uuid;

use super::super::tests::device;
use super::*;

fn line() -> Line {
    Line { player: PlayerId(Uuid::from_u128(1)), game_id: GameId::new("nethack").unwrap(), slot: SlotName::main() }
}

fn stamp(who: u64, ms: u64) -> Stamp {
    Stamp { device: device(who), hlc: Hlc { ms, count: 0, device: device(who) }, created_at: ms * 10, note: None }
}

fn content(n: u8) -> Content {
    let bytes = [n; 5];
    let entries = vec![SaveEntry {
        path: RelPath::new("save/slot1").unwrap(),
        size: bytes.len() as u64,
        mtime: i64::from(n),
        blake3: snapshot_id(&bytes).0,
        archive: None,
        pieces: Vec::new(),
    }];
    Content { content_hash: content_hash(&entries), files: 1, size: 5, played_ms: 0, entries, list: Vec::new() }
}

/// A snapshot that another device could read, and its id.
fn stored(snapshot: &Snapshot) -> (SnapshotId, Snapshot) {
    let bytes = snapshot.to_bytes().unwrap();
    assert_eq!(Snapshot::from_bytes(&bytes).as_ref(), Ok(snapshot));
    (snapshot_id(&bytes), snapshot.clone())
}

fn first(n: u8, stamp: Stamp) -> (SnapshotId, Snapshot) {
    stored(&version(&line(), &Parents::new(), content(n), stamp).unwrap())
}

fn parents<'a>(of: impl IntoIterator<Item = &'a (SnapshotId, Snapshot)>) -> Parents<'a> {
    of.into_iter().map(|(id, s)| (*id, s)).collect()
}

#[test]
fn a_join_is_the_same_bytes_on_every_device_whatever_the_order() {
    let (a, b, c) = (first(1, stamp(1, 30)), first(1, stamp(2, 10)), first(1, stamp(3, 20)));
    let one = join(&parents([&a, &b, &c])).unwrap();
    let two = join(&parents([&c, &a, &b])).unwrap();
    assert_eq!(one.to_bytes(), two.to_bytes());
    let smallest = [&a, &b, &c].into_iter().min_by_key(|s| s.0).unwrap();
    assert_eq!((one.device, &one.entries), (smallest.1.device, &smallest.1.entries));
    assert_eq!((one.hlc, one.created_at), (a.1.hlc, 300), "the latest of any parent");
    assert_eq!((one.kind, one.parents.len(), &one.note), (SnapshotKind::Merge, 3, &None));
    stored(&one);
}

#[test]
fn the_time_played_adds_up_along_a_line_and_goes_with_the_content() {
    let played = |parents: &Parents, n, played_ms| {
        stored(&version(&line(), parents, Content { played_ms, ..content(n) }, stamp(1, u64::from(n))).unwrap())
    };
    let root = played(&Parents::new(), 1, 1_000);
    let (long, short) = (played(&parents([&root]), 2, 500), played(&parents([&root]), 3, 20));
    assert_eq!((root.1.played_ms, long.1.played_ms, short.1.played_ms), (1_000, 1_500, 1_020));
    let both = parents([&long, &short]);
    assert_eq!(resolve(&both, &short.1, stamp(2, 9)).unwrap().played_ms, 1_020, "that of the side that was taken");
    assert_eq!(rollback(&both, &root.1, stamp(2, 9)).unwrap().played_ms, 1_000);
    assert_eq!(played(&both, 4, 5).1.played_ms, 1_505, "the longest of those that it was made from");
    let same = stored(&version(&line(), &parents([&root]), content(2), stamp(3, 4)).unwrap());
    assert_eq!(join(&parents([&long, &same])).unwrap().played_ms, 1_500);
    assert_eq!(tombstone(&both, stamp(1, 9)).unwrap().played_ms, 0);
    assert_eq!(played(&both, 5, u64::MAX).1.played_ms, PLAYED_MS_MAX);
}

#[test]
fn a_join_of_a_deletion_and_an_edit_has_the_edits_content() {
    let root = first(1, stamp(1, 1));
    for device in 1..20 {
        let edit = stored(&version(&line(), &parents([&root]), content(2), stamp(2, 5)).unwrap());
        let gone = stored(&tombstone(&parents([&root]), stamp(device, 9)).unwrap());
        let joined = join(&parents([&edit, &gone])).unwrap();
        assert_eq!(joined.content_hash, edit.1.content_hash, "whichever id is smaller");
        assert_eq!((joined.device, joined.hlc), (edit.1.device, gone.1.hlc));
        stored(&joined);
    }
}

#[test]
fn a_join_of_deletions_is_a_deletion() {
    let root = first(1, stamp(1, 1));
    let one = stored(&tombstone(&parents([&root]), stamp(1, 2)).unwrap());
    let two = stored(&tombstone(&parents([&root]), stamp(2, 3)).unwrap());
    let joined = join(&parents([&one, &two])).unwrap();
    assert_eq!((joined.files, joined.content_hash), (0, content_hash(&[])));
    stored(&joined);
}

#[test]
fn a_join_never_chooses_between_contents() {
    let (a, b) = (first(1, stamp(1, 1)), first(2, stamp(2, 2)));
    let other = (*parents([&a, &b]).keys().max().unwrap()).to_owned();
    assert_eq!(join(&parents([&a, &b])), Err(BuildError::OtherContent(other)));
    assert_eq!(join(&parents([&a])), Err(BuildError::TooFew(2)));
}

#[test]
fn a_join_of_more_heads_than_fit_takes_the_smallest_and_the_next_one_the_rest() {
    let heads: Vec<_> = (1..=40).map(|n| first(1, stamp(n, n))).collect();
    let joined = join(&parents(&heads)).unwrap();
    let smallest: Vec<SnapshotId> = parents(&heads).keys().copied().take(PARENTS_MAX).collect();
    assert_eq!(joined.parents, smallest);
    stored(&joined);
}

#[test]
fn a_resolution_stands_on_all_heads_and_keeps_what_the_player_chose() {
    let (a, b) = (first(1, stamp(1, 1)), first(2, stamp(2, 2)));
    let note = Some("mine was further".to_owned());
    let chosen = resolve(&parents([&a, &b]), &a.1, Stamp { note: note.clone(), ..stamp(3, 9) }).unwrap();
    assert_eq!((chosen.parents.len(), chosen.content_hash, chosen.kind), (2, a.1.content_hash, SnapshotKind::Merge));
    assert_eq!((chosen.device, chosen.hlc.ms, chosen.note.clone()), (device(3), 9, note));
    stored(&chosen);
}

#[test]
fn a_rollback_is_a_new_version_with_the_old_content() {
    let old = first(1, stamp(1, 1));
    let head = stored(&version(&line(), &parents([&old]), content(2), stamp(1, 2)).unwrap());
    let back = stored(&rollback(&parents([&head]), &old.1, stamp(1, 3)).unwrap());
    assert_eq!((&back.1.parents, back.1.content_hash), (&vec![head.0], old.1.content_hash));
    assert_eq!(back.1.kind, SnapshotKind::Rollback);
    assert_ne!(back.0, old.0, "three versions, not two");
}

#[test]
fn a_branch_starts_a_slot_of_its_own() {
    let head = first(1, stamp(1, 1));
    let slot = SlotName::new("second run").unwrap();
    let branch = branch(&head.1, slot.clone(), stamp(1, 2)).unwrap();
    assert_eq!((&branch.slot, branch.parents.len(), branch.content_hash), (&slot, 0, head.1.content_hash));
    stored(&branch);
}

#[test]
fn refuses_parents_of_another_line_too_many_and_a_long_note() {
    let a = first(1, stamp(1, 1));
    let other = Line { slot: SlotName::new("other").unwrap(), ..line() };
    let b = stored(&version(&other, &Parents::new(), content(1), stamp(2, 1)).unwrap());
    assert!(matches!(join(&parents([&a, &b])), Err(BuildError::OtherLine(_))));
    let many: Vec<_> = (1..=33).map(|n| first(1, stamp(n, n))).collect();
    assert_eq!(resolve(&parents(&many), &a.1, stamp(1, 2)), Err(BuildError::TooMany(33)));
    let note = Some("x".repeat(NOTE_LEN_MAX + 1));
    let long = Stamp { note, ..stamp(1, 2) };
    assert_eq!(tombstone(&parents([&a]), long), Err(BuildError::Note(NOTE_LEN_MAX + 1)));
    assert_eq!(tombstone(&Parents::new(), stamp(1, 1)), Err(BuildError::TooFew(1)));
}
