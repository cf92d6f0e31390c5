//! Copies of the other side of a conflict.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_proto::{GameId, SlotName, SnapshotId};

use super::{Place, capture, files, lineage, snapshot};
use crate::fs::Fs;
use crate::saves::{CopiesRemoved, CopyPlace, RootLabel, SaveSet, SaveStore};

fn set() -> SaveSet {
    SaveSet { player: lineage(1, vec![]).player, game_id: GameId::new("doom").unwrap() }
}

fn beside(folder: &Path, name: &str, is_file: bool) -> CopyPlace {
    CopyPlace {
        label: RootLabel::new("save").unwrap(),
        beside: folder.to_owned(),
        fs: crate::fs::real(folder).unwrap(),
        name: name.to_owned(),
        snapshot_name: name.to_owned(),
        is_file,
    }
}

fn open(path: &Path) -> io::Result<Arc<dyn Fs>> {
    crate::fs::real(path)
}

fn write(store: &SaveStore, id: &SnapshotId, place: &CopyPlace) -> Vec<std::path::PathBuf> {
    store.write_conflict_copy(&set(), &SlotName::main(), id, "Deck: Anna's", std::slice::from_ref(place)).unwrap()
}

fn remove(store: &SaveStore) -> CopiesRemoved {
    store.remove_conflict_copies(&set(), &SlotName::main(), None, &open).unwrap()
}

#[test]
fn the_other_side_lies_beside_the_folder_and_goes_when_it_is_resolved() {
    let place = Place::new();
    let store = place.store();
    place.write("world/a", b"theirs");
    place.write("b", b"theirs too");
    let id = snapshot(&store, &[place.root()], 1);
    let top = place.live.parent().unwrap();
    let at = write(&store, &id, &beside(top, "live", false));
    assert_eq!(at, [top.join("live.conflict-Deck_ Anna_s")]);
    assert_eq!(fs::read(at[0].join("world/a")).unwrap(), b"theirs");
    assert_eq!(write(&store, &id, &beside(top, "live", false)), at, "again changes nothing");
    assert_eq!(place.store().conflict_copies().unwrap()[0].at, at, "it is on record");
    assert_eq!(capture(&store, &[place.root()]).entries.len(), 2);
    assert_eq!(remove(&store), CopiesRemoved { removed: 2, left: vec![] });
    assert!(!at[0].exists());
    assert!(store.conflict_copies().unwrap().is_empty());
    assert_eq!(remove(&store), CopiesRemoved::default());
    assert_eq!(files(&place.live).len(), 2);
}

#[test]
fn the_other_side_of_a_single_file_lies_beside_it_and_is_never_captured() {
    let place = Place::new();
    let store = place.store();
    place.write("game.sav", b"theirs");
    let id = snapshot(&store, &[place.root()], 1);
    let at = write(&store, &id, &beside(&place.live, "game.sav", true));
    assert_eq!(fs::read(&at[0]).unwrap(), b"theirs");
    assert_eq!(at[0], place.live.join("game.sav.conflict-Deck_ Anna_s"));
    let captured = capture(&store, &[place.root()]);
    assert_eq!((captured.entries.len(), captured.left_out.len()), (1, 1));
    assert_eq!(remove(&store).removed, 1);
    assert_eq!(files(&place.live), [place.live.join("game.sav")]);
}

#[test]
fn only_what_was_written_is_removed_and_nothing_is_written_over() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"theirs");
    place.write("b", b"theirs");
    let id = snapshot(&store, &[place.root()], 1);
    let top = place.live.parent().unwrap();
    fs::write(top.join("live.conflict-Deck_ Anna_s"), b"the player's own").unwrap();
    let at = write(&store, &id, &beside(top, "live", false));
    assert_eq!(at, [top.join("live.conflict-Deck_ Anna_s-2")]);
    fs::write(at[0].join("a"), b"looked into").unwrap();
    fs::write(at[0].join("notes"), b"the player's").unwrap();
    let removed = remove(&store);
    assert_eq!(removed.removed, 1);
    assert_eq!(removed.left, [at[0].join("a"), at[0].clone()]);
    assert_eq!(files(&at[0]).len(), 2);
    assert_eq!(fs::read(top.join("live.conflict-Deck_ Anna_s")).unwrap(), b"the player's own");
}

#[test]
fn a_copy_that_cannot_be_written_leaves_nothing() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"1");
    let id = snapshot(&store, &[place.root()], 1);
    for object in place.objects() {
        fs::remove_file(object).unwrap();
    }
    let top = place.live.parent().unwrap();
    let before = files(top);
    let failed = store.write_conflict_copy(&set(), &SlotName::main(), &id, "deck", &[beside(top, "live", false)]);
    assert!(failed.is_err());
    assert_eq!(files(top), before);
    store.recover_conflict_copies(&open).unwrap();
    assert!(store.conflict_copies().unwrap().is_empty());
}

#[test]
fn a_copy_whose_removal_was_cut_off_is_none_until_it_is_written_anew() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"theirs");
    place.write("b", b"theirs");
    let id = snapshot(&store, &[place.root()], 1);
    let beside = beside(place.live.parent().unwrap(), "live", false);
    let at = write(&store, &id, &beside);
    let cut_off = |_: &Path| -> io::Result<Arc<dyn Fs>> { Err(io::ErrorKind::PermissionDenied.into()) };
    store.remove_conflict_copies(&set(), &SlotName::main(), None, &cut_off).unwrap_err();
    fs::remove_file(at[0].join("a")).unwrap();
    assert_eq!(write(&store, &id, &beside), at);
    assert_eq!(files(&at[0]).len(), 2, "half a copy does not pass for one");
    store.remove_conflict_copies(&set(), &SlotName::main(), None, &cut_off).unwrap_err();
    store.recover_conflict_copies(&open).unwrap();
    assert!(!at[0].exists(), "a start brings the removal to its end");
    assert!(store.conflict_copies().unwrap().is_empty());
}
