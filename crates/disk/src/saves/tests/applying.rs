//! Live files become a snapshot, as one unit or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bonfire_proto::{GameId, SlotName, SnapshotId};

use super::{LATER, Place, capture, files, lineage, noise, root, snapshot, whole};
use crate::error::DiskError;
use crate::fs::Fs;
use crate::saves::{Applied, Apply, Listing, Outcome, Recovered, SaveError, SaveRoot, SaveSet, SaveStore};

fn set() -> SaveSet {
    SaveSet { player: lineage(1, vec![]).player, game_id: GameId::new("doom").unwrap() }
}

fn apply(
    store: &SaveStore,
    roots: &[SaveRoot],
    base: Option<SnapshotId>,
    target: SnapshotId,
) -> Result<Applied, SaveError> {
    let (set, slot, listing) = (set(), SlotName::main(), Listing::new());
    store.apply(&Apply { set: &set, slot: &slot, base, target, roots, listing: &listing, now_ms: LATER })
}

/// Somebody else's work in the live folder.
type Touch = fn(&Place);
type Tree = BTreeMap<PathBuf, Vec<u8>>;

fn tree(folder: &Path) -> Tree {
    files(folder).into_iter().map(|f| (f.strip_prefix(folder).unwrap().to_owned(), fs::read(&f).unwrap())).collect()
}

/// Two versions of a save, the first of them live: (store, first, second, what each looks like).
fn two_versions(place: &Place) -> (SaveStore, SnapshotId, SnapshotId, Tree, Tree) {
    let store = place.store();
    place.write("same", b"in both");
    place.write("new/deep/file", &noise(2 << 20, 9));
    place.write("swap/inner", b"a folder");
    place.write("turn", b"a file");
    place.write("changed", b"two");
    place.write("empty", b"");
    let two = snapshot(&store, &[place.root()], 2);
    let second = tree(&place.live);
    fs::remove_dir_all(&place.live).unwrap();
    place.write("same", b"in both");
    place.write("gone/file", b"only in one");
    place.write("swap", b"a file");
    place.write("turn/x/y", b"a folder");
    place.write("changed", b"one");
    let one = snapshot(&store, &[place.root()], 1);
    let first = tree(&place.live);
    (store, one, two, first, second)
}

#[test]
fn live_files_become_the_snapshot_with_its_times_and_back_again() {
    let place = Place::new();
    let (store, one, two, first, second) = two_versions(&place);
    let applied = apply(&store, &[place.root()], Some(one), two).unwrap();
    assert_eq!(tree(&place.live), second);
    assert_eq!((applied.written, applied.removed), (5, 3));
    let target = store.snapshot(&two).unwrap();
    for entry in store.entries(&target).unwrap().iter().filter(|e| e.path.as_str() != "save/same") {
        let modified =
            fs::metadata(place.live.join(&entry.path.as_str()["save/".len()..])).unwrap().modified().unwrap();
        let ms = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert_eq!(i64::try_from(ms).unwrap(), entry.mtime, "{}", entry.path);
    }
    // What is known then saves reading all of it again.
    let again = whole(store.capture(&[place.root()], &applied.listing, LATER).unwrap());
    assert_eq!(again.bytes_read, 0);
    assert_eq!(again.snapshot(lineage(3, vec![])).content_hash, target.content_hash);
    apply(&store, &[place.root()], Some(two), one).unwrap();
    assert_eq!(tree(&place.live), first);
    assert!(tree(&place.data.join("applying")).is_empty());
}

#[test]
fn a_new_device_gets_the_save_only_where_there_is_none() {
    let (here, there) = (Place::new(), Place::new());
    let (store, _, two, _, second) = two_versions(&here);
    apply(&store, &[there.root()], None, two).unwrap();
    assert_eq!(tree(&there.live), second);
    let again = apply(&store, &[there.root()], None, two);
    assert!(matches!(again, Err(SaveError::Dirty { ref paths }) if paths.len() == second.len()), "{again:?}");
}

#[test]
fn a_file_that_is_not_what_the_base_says_stops_it_and_nothing_was_touched() {
    let touch: [(&str, Touch); 4] = [
        ("save/changed", |p| p.write("changed", b"played on")),
        ("save/same", |p| p.write("same", b"played on!")),
        ("save/nobody/expected", |p| p.write("nobody/expected", b"new")),
        ("save/swap", |p| fs::remove_file(p.live.join("swap")).unwrap()),
    ];
    for (path, touch) in touch {
        let place = Place::new();
        let (store, one, two, ..) = two_versions(&place);
        touch(&place);
        let before = tree(&place.live);
        let refused = apply(&store, &[place.root()], Some(one), two);
        let Err(SaveError::Dirty { paths }) = refused else { panic!("{path}: {refused:?}") };
        assert_eq!(paths.iter().map(|p| p.as_str()).collect::<Vec<_>>(), [path]);
        assert_eq!(tree(&place.live), before);
        assert!(tree(&place.data.join("applying")).is_empty());
    }
}

#[test]
fn what_no_root_takes_or_what_is_no_file_of_the_save_is_never_written_over() {
    let place = Place::new();
    let (store, one, two, first, _) = two_versions(&place);
    let narrow = root("save", &place.live, &[], &["empty"]);
    assert!(matches!(apply(&store, &[narrow], Some(one), two), Err(SaveError::NotCovered { .. })));
    let other = root("other", &place.live, &[], &[]);
    assert!(apply(&store, &[other], Some(one), two).is_err());
    assert_eq!(tree(&place.live), first);
    // Ignored here and in the way of a folder that becomes a file.
    place.write("turn/x/mine.log", b"the player's");
    let roots = [root("save", &place.live, &[], &["*.log"])];
    let refused = apply(&store, &roots, Some(one), two);
    assert!(matches!(refused, Err(SaveError::Disk(DiskError::InTheWay { .. }))), "{refused:?}");
    fs::remove_file(place.live.join("turn/x/mine.log")).unwrap();
    assert_eq!(tree(&place.live), first, "rolled back as one");
    assert!(!store.is_unfinished(&set()).unwrap());
}

#[cfg(unix)]
#[test]
fn a_link_in_the_place_of_a_new_file_is_in_the_way() {
    let place = Place::new();
    let (store, one, two, ..) = two_versions(&place);
    std::os::unix::fs::symlink("changed", place.live.join("empty")).unwrap();
    let refused = apply(&store, &[place.root()], Some(one), two);
    assert!(matches!(refused, Err(SaveError::Disk(DiskError::InTheWay { .. }))), "{refused:?}");
    assert!(fs::symlink_metadata(place.live.join("empty")).unwrap().is_symlink());
}

#[test]
fn a_single_file_in_a_folder_of_others_is_applied_alone() {
    let place = Place::new();
    let store = place.store();
    place.write("game.sav", b"two");
    let roots = [root("save", &place.live, &["game.sav"], &[])];
    let two = snapshot(&store, &roots, 2);
    place.write("game.sav", b"one");
    place.write("unrelated.txt", b"the player's");
    let one = snapshot(&store, &roots, 1);
    apply(&store, &roots, Some(one), two).unwrap();
    let left = tree(&place.live);
    assert_eq!(left[Path::new("game.sav")], b"two");
    assert_eq!(left[Path::new("unrelated.txt")], b"the player's");
    assert_eq!(left.len(), 2);
}

#[test]
fn an_archive_that_was_only_packed_anew_is_no_change() {
    let place = Place::new();
    let store = place.store();
    let pack = |method| super::capturing::archive(&[("a", b"same"), ("b", b"content")], method);
    place.write("s.zip", b"target");
    let two = snapshot(&store, &[place.root()], 2);
    place.write("s.zip", &pack(zip::CompressionMethod::Stored));
    let one = snapshot(&store, &[place.root()], 1);
    place.write("s.zip", &pack(zip::CompressionMethod::Deflated));
    apply(&store, &[place.root()], Some(one), two).unwrap();
    assert_eq!(tree(&place.live)[Path::new("s.zip")], b"target");
}

fn reopen(path: &Path) -> io::Result<Arc<dyn Fs>> {
    crate::fs::real(path)
}

#[test]
fn an_apply_whose_folder_is_gone_waits_and_blocks_the_next_until_it_is_back() {
    let place = Place::new();
    let (store, one, two, first, second) = two_versions(&place);
    cut_off(&store, &place, one, two);
    let aside = place.live.with_extension("aside");
    fs::rename(&place.live, &aside).unwrap();
    let found = store.recover_applies(&reopen, LATER).unwrap();
    assert!(matches!(found[..], [Recovered { outcome: Outcome::Waiting(_), .. }]), "{found:?}");
    fs::rename(&aside, &place.live).unwrap();
    let refused = apply(&store, &[place.root()], Some(one), two);
    assert!(matches!(refused, Err(SaveError::Disk(DiskError::Busy { .. }))), "{refused:?}");
    let found = store.recover_applies(&reopen, LATER).unwrap();
    assert!(matches!(found[0].outcome, Outcome::Forward { ref wrote, .. } if wrote.is_empty()), "{found:?}");
    assert_eq!(tree(&place.live), second);
    assert!(store.recover_applies(&reopen, LATER).unwrap().is_empty());
    assert_ne!(first, second);
}

#[test]
fn who_wrote_after_a_crash_keeps_what_they_wrote_and_the_rest_goes_back() {
    let place = Place::new();
    let (store, one, two, mut first, _) = two_versions(&place);
    cut_off(&store, &place, one, two);
    place.write("swap", b"played on");
    let found = store.recover_applies(&reopen, LATER).unwrap();
    let Outcome::Back { wrote } = &found[0].outcome else { panic!("{found:?}") };
    assert_eq!(wrote.iter().map(|p| p.as_str()).collect::<Vec<_>>(), ["save/swap"]);
    first.insert("swap".into(), b"played on".to_vec());
    assert_eq!(tree(&place.live), first);
    assert_eq!((found[0].base, found[0].target), (Some(one), two));
    // A sweep in between would have kept what is needed for it.
    assert!(store.mark().unwrap().is_empty() || capture(&store, &[place.root()]).size > 0);
}

/// Leaves the disk as a kill does that comes after the first file was replaced.
fn cut_off(store: &SaveStore, place: &Place, one: SnapshotId, two: SnapshotId) {
    use crate::saves::apply::changes;
    use crate::saves::journal::{Journal, Phase};
    let (set, slot, listing, roots) = (set(), SlotName::main(), Listing::new(), [place.root()]);
    let what =
        Apply { set: &set, slot: &slot, base: Some(one), target: two, roots: &roots, listing: &listing, now_ms: 1 };
    let entries = |id| store.entries(&store.snapshot(&id).unwrap()).unwrap();
    let mut journal = Journal::new(&what, changes(&entries(one), &entries(two)));
    journal.phase = Phase::Committing;
    journal.write(store).unwrap();
    place.write("changed", b"two");
}
