use std::sync::Arc;

use bonfire_proto::ManifestFile;
use proptest::prelude::*;

use super::record::{BODY_LEN_MAX, numbers, read_frame, runs};
use super::*;
use crate::games::GamesFolder;

fn manifest() -> Manifest {
    let file = |p: &str, size| ManifestFile { path: RelPath::new(p).unwrap(), size, blake3: None };
    let files = vec![file("version.ini", 2), file("a.eti", (9 << 20) + 1), file("b.eti", 0)];
    Manifest::new(GameId::new("game").unwrap(), "1".to_owned(), files)
}

fn header() -> Header {
    Header {
        manifest: Arc::new(manifest()),
        previous_only: vec![RelPath::new("old.eti").unwrap()],
        found: BTreeSet::from([RelPath::new("b.eti").unwrap()]),
        removal: false,
    }
}

fn folder() -> (tempfile::TempDir, GamesFolder) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("game")).unwrap();
    let folder = GamesFolder::open(dir.path()).unwrap();
    (dir, folder)
}

fn usable(folder: &GamesFolder) -> Journal {
    match read(&folder.inner, &GameId::new("game").unwrap()).unwrap() {
        Found::Usable(j) => *j,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_appended_is_read_back() {
    let (_dir, folder) = folder();
    let (mut log, _) = JournalWriter::create(&folder.inner, header()).unwrap();
    let d = Digest([7; 32]);
    log.append(
        &folder.inner,
        &[
            Record::State(JournalState::Active),
            Record::Hashes(0, vec![d, d, d]),
            Record::Digests(vec![(3, d)]),
            Record::Verified(vec![(0, 2), (4, 1)]),
            Record::Unverified(vec![(1, 1)]),
            Record::Stamps(vec![(1, FileStamp { size: 5, mtime_ns: -6 })]),
            Record::Adopted(1),
        ],
    )
    .unwrap();
    let j = usable(&folder);
    assert_eq!(j.state, JournalState::Active);
    assert_eq!(j.verified.ones().collect::<Vec<_>>(), [0, 4]);
    assert_eq!(j.hashes[&0].len(), 3);
    assert_eq!(j.digests[&3], d);
    assert_eq!(j.stamps[&1], FileStamp { size: 5, mtime_ns: -6 });
    let owned: Vec<_> = j.owned().map(RelPath::as_str).collect();
    assert_eq!(owned, ["a.eti", "b.eti", "version.ini", "old.eti"]);
}

#[test]
fn a_found_file_is_not_owned_before_it_is_adopted() {
    let (_dir, folder) = folder();
    JournalWriter::create(&folder.inner, header()).unwrap();
    assert!(usable(&folder).owned().all(|p| p.as_str() != "b.eti"));
}

#[test]
fn a_torn_record_costs_itself_and_is_cut_off_before_the_next() {
    let (dir, folder) = folder();
    let (mut log, _) = JournalWriter::create(&folder.inner, header()).unwrap();
    log.append(&folder.inner, &[Record::Verified(vec![(0, 1)])]).unwrap();
    log.append(&folder.inner, &[Record::Verified(vec![(1, 1)])]).unwrap();
    let path = dir.path().join("game").join(NAME);
    let len = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(len - 1).unwrap();
    let j = usable(&folder);
    assert_eq!(j.verified.ones().collect::<Vec<_>>(), [0]);
    let mut log = JournalWriter::reopen(&folder.inner, &j).unwrap();
    log.append(&folder.inner, &[Record::Verified(vec![(2, 1)])]).unwrap();
    assert_eq!(usable(&folder).verified.ones().collect::<Vec<_>>(), [0, 2]);
}

#[test]
fn a_record_beyond_the_manifest_does_not_count() {
    for bad in [
        Record::Verified(vec![(0, 99)]),
        Record::Verified(vec![(u32::MAX, 2)]),
        Record::Hashes(0, vec![Digest([0; 32])]),
        Record::Hashes(9, vec![]),
        Record::Adopted(9),
        Record::Stamps(vec![(9, FileStamp { size: 0, mtime_ns: 0 })]),
        Record::Digests(vec![(99, Digest([0; 32]))]),
    ] {
        let (_dir, folder) = folder();
        let (mut log, _) = JournalWriter::create(&folder.inner, header()).unwrap();
        log.append(&folder.inner, &[bad, Record::Verified(vec![(0, 1)])]).unwrap();
        assert_eq!(usable(&folder).verified.count(), 0);
    }
}

#[test]
fn damage_and_strangers_are_told_apart() {
    let (dir, folder) = folder();
    let game = GameId::new("game").unwrap();
    let path = dir.path().join("game").join(NAME);
    assert!(matches!(read(&folder.inner, &game).unwrap(), Found::Absent));
    JournalWriter::create(&folder.inner, header()).unwrap();
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    bad[30] ^= 1;
    for (bytes, state) in [
        (&bad[..], JournalState::Damaged),
        (&good[..good.len() - 1], JournalState::Damaged),
        (&good[..8], JournalState::Damaged),
        (&b"BFPART1\nxxxxxxxxxxxxxxxxxxxx"[..], JournalState::Unknown),
        (&b"BFP"[..], JournalState::Unknown),
        (&b""[..], JournalState::Unknown),
        (&b"something else entirely"[..], JournalState::Unknown),
    ] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&folder.inner, &game).unwrap().state(), state, "{bytes:?}");
    }
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(read(&folder.inner, &game).unwrap().state(), JournalState::Unknown);
}

#[test]
fn a_journal_of_another_game_is_damage() {
    let (dir, folder) = folder();
    JournalWriter::create(&folder.inner, header()).unwrap();
    std::fs::create_dir(dir.path().join("other")).unwrap();
    std::fs::copy(dir.path().join("game").join(NAME), dir.path().join("other").join(NAME)).unwrap();
    assert!(matches!(read(&folder.inner, &GameId::new("other").unwrap()).unwrap(), Found::Damaged));
}

fn any_record() -> impl Strategy<Value = Record> {
    let digest = any::<[u8; 32]>().prop_map(Digest);
    prop_oneof![
        prop::sample::select(vec![
            JournalState::Active,
            JournalState::Committing,
            JournalState::Cancelled,
            JournalState::Done
        ])
        .prop_map(Record::State),
        (any::<u32>(), prop::collection::vec(digest.clone(), 0..9)).prop_map(|(f, l)| Record::Hashes(f, l)),
        prop::collection::vec(any::<(u32, u32)>(), 0..9).prop_map(Record::Verified),
        prop::collection::vec(any::<(u32, u32)>(), 0..9).prop_map(Record::Unverified),
        prop::collection::vec((any::<u32>(), digest), 0..9).prop_map(Record::Digests),
        any::<u32>().prop_map(Record::Adopted),
        prop::collection::vec(any::<(u32, u64, i64)>(), 0..9).prop_map(|list| {
            Record::Stamps(list.into_iter().map(|(f, size, mtime_ns)| (f, FileStamp { size, mtime_ns })).collect())
        }),
    ]
}

proptest! {
    #[test]
    fn records_survive_encoding(records in prop::collection::vec(any_record(), 0..6)) {
        let mut bytes = Vec::new();
        for r in &records {
            r.encode(&mut bytes);
        }
        let mut input = bytes.as_slice();
        let mut back = Vec::new();
        while let Some(body) = read_frame(&mut input, BODY_LEN_MAX).unwrap() {
            back.push(Record::decode(&body).unwrap());
        }
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut input = bytes.as_slice();
        while let Some(body) = read_frame(&mut input, BODY_LEN_MAX).unwrap() {
            let _ = Record::decode(&body);
        }
        let _ = Record::decode(&bytes);
    }

    #[test]
    fn runs_hold_the_same_numbers(set in prop::collection::btree_set(0u32..500, 0..200)) {
        let runs = runs(set.iter().copied());
        prop_assert!(runs.windows(2).all(|w| w[0].0 + w[0].1 < w[1].0));
        prop_assert_eq!(numbers(&runs, 500).unwrap().collect::<BTreeSet<_>>(), set);
    }
}
