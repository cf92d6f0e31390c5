//! Pictures on a real disk; crashes are `crates/testkit/tests/crash_sidecars.rs`.

use std::fs;

use bonfire_engine::sidecars::work::Sidecar;
use bonfire_proto::limits::PICTURE_LEN_MAX;
use bonfire_proto::{Digest, PictureRef, SnapshotId};
use tempfile::TempDir;

use super::{SidecarError, Sidecars, hand_out, read_given};

fn png(tail: &[u8]) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n", tail].concat()
}

fn sidecar(n: u8, bytes: &[u8]) -> Sidecar {
    Sidecar { snapshot: SnapshotId(Digest([n; 32])), picture: PictureRef::of(bytes).unwrap() }
}

fn open(dir: &TempDir) -> (Sidecars, Vec<Sidecar>) {
    let store = Sidecars::new(crate::fs::real(dir.path()).unwrap(), dir.path().to_owned());
    let here = store.sweep().unwrap();
    (store, here)
}

#[test]
fn what_was_put_is_there_after_a_restart_by_its_name_alone_and_gone_without_a_trace_when_it_was_let_go_of() {
    let dir = tempfile::tempdir().unwrap();
    let (store, here) = open(&dir);
    assert!(here.is_empty() && !dir.path().join("sidecars").exists(), "nothing is made before it is needed");
    let (one, two) = (png(b"one"), png(b"two"));
    let mut all = vec![sidecar(1, &one), sidecar(1, &two), sidecar(2, &one)];
    for (at, bytes) in [(all[0], &one), (all[1], &two), (all[2], &one)] {
        store.put(&at, bytes).unwrap();
    }
    all.sort_unstable();
    let (store, here) = open(&dir);
    assert_eq!(here, all);
    assert_eq!(store.read(&sidecar(1, &two)).unwrap(), Some(two.clone()));
    assert_eq!(store.read(&sidecar(3, &two)).unwrap(), None);
    for at in &all {
        assert!(store.remove(at).unwrap());
        assert!(!store.remove(at).unwrap(), "once");
    }
    assert_eq!(fs::read_dir(dir.path().join("sidecars")).unwrap().count(), 0);
    assert!(open(&dir).1.is_empty());
}

#[test]
fn what_is_not_what_its_name_says_is_never_given_and_never_put() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir);
    let bytes = png(b"picture");
    let at = sidecar(1, &bytes);
    assert!(matches!(store.put(&at, &png(b"another")), Err(SidecarError::Damaged { .. })));
    store.put(&at, &bytes).unwrap();
    let file = dir.path().join("sidecars").join(at.snapshot.to_string()).join(at.picture.file_name());
    fs::write(&file, png(b"pictura")).unwrap();
    assert!(matches!(store.read(&at), Err(SidecarError::Damaged { .. })));
    // Of another length it is seen at the start already, and goes; so does scratch. What is none of ours stays.
    fs::write(&file, b"").unwrap();
    fs::write(file.with_file_name(".new"), b"half").unwrap();
    fs::write(file.with_file_name("mine.txt"), b"mine").unwrap();
    assert!(open(&dir).1.is_empty());
    let left: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["mine.txt"]);
}

#[test]
fn only_pictures_of_at_most_four_mebibytes_are_taken_whatever_they_are_called() {
    let dir = tempfile::tempdir().unwrap();
    let fs_of = crate::fs::real(dir.path()).unwrap();
    let given = |name: &str, bytes: &[u8]| {
        fs::write(dir.path().join(name), bytes).unwrap();
        read_given(&*fs_of, dir.path(), name).map_err(|e| e.code())
    };
    let mut most = png(b"");
    most.resize(PICTURE_LEN_MAX as usize, 7);
    assert_eq!(given("a.txt", &most).unwrap().0, PictureRef::of(&most).unwrap());
    most.push(7);
    assert_eq!(given("b.png", &most), Err("picture_too_large"));
    assert_eq!(given("c.png", b"MZ\x90\0"), Err("no_picture_format"));
    fs::create_dir(dir.path().join("folder")).unwrap();
    for name in ["gone.png", "folder"] {
        assert!(read_given(&*fs_of, dir.path(), name).is_err(), "{name}");
    }
}

#[test]
fn a_picture_is_handed_out_whole_and_over_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let fs_of = crate::fs::real(dir.path()).unwrap();
    let bytes = png(b"picture");
    hand_out(&*fs_of, dir.path(), "out.png", &bytes).unwrap();
    assert_eq!(fs::read(dir.path().join("out.png")).unwrap(), bytes);
    assert!(matches!(hand_out(&*fs_of, dir.path(), "out.png", &png(b"x")), Err(SidecarError::There { .. })));
    assert_eq!(fs::read(dir.path().join("out.png")).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no scratch is left");
}
