//! Pictures of versions: they follow, come back when they are lost, and go everywhere when one is taken away.

use std::path::{Path, PathBuf};

use bonfire_tests::Room;
use bonfire_tests::peer::{LONG, Peer};
use bonfire_tests::saves::in_step;
use serde_json::Value;

use crate::saves::lose_database;

/// A PNG as far as anybody looks: of this many bytes.
fn png(len: usize, fill: u8) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.resize(len, fill);
    bytes
}

fn write(peer: &Peer, name: &str, bytes: &[u8]) -> String {
    let path = peer.saves().with_file_name(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn picture_of(peer: &Peer, version: &str) -> Value {
    peer.history("quake").into_iter().find(|v| v["id"] == version).unwrap_or_default()["picture"].clone()
}

fn here(peer: &Peer, version: &str) {
    let what = format!("the picture of {version} is here");
    peer.until(&what, LONG, || (picture_of(peer, version)["is_here"] == true).then_some(()));
}

/// The picture as a person gets it.
fn handed(peer: &Peer, version: &str, name: &str) -> Vec<u8> {
    let to = peer.saves().with_file_name(name);
    peer.done(&["saves", "picture", "quake", &version[..12], "--to", to.to_str().unwrap()]);
    std::fs::read(to).unwrap()
}

/// Files beneath `sidecars` of a peer.
fn files(peer: &Peer) -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&peer.data.join("sidecars"), &mut found);
    found
}

#[test]
fn a_picture_follows_its_version_and_no_save_needs_it() {
    let Some(room) = Room::new("pictures") else { return };
    let (mut a, mut b) = (room.peer("a"), room.peer("b"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "one");
    a.add_saves("quake");
    b.add_saves("quake");
    let one = in_step(&[&a, &b], "quake");
    // Nothing else than a picture is taken.
    let text = write(&a, "notes.png", b"only called so");
    let refused = a.cli(&["saves", "picture", "quake", &one, &text]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "no_picture_format"), "{refused:?}");
    let long = write(&a, "long.png", &png((4 << 20) + 1, 1));
    let refused = a.cli(&["saves", "picture", "quake", &one, &long]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "picture_too_large"), "{refused:?}");
    let nowhere = a.saves().with_file_name("none.png");
    let none = a.cli(&["saves", "picture", "quake", &one, "--to", nowhere.to_str().unwrap()]);
    assert_eq!((none.code, none.error_code().as_str()), (5, "no_picture"), "{none:?}");
    assert!(picture_of(&a, &one).is_null() && files(&a).is_empty());
    // A small one is at the other device soon.
    let small = png(40_000, 7);
    let file = write(&a, "small.png", &small);
    a.done(&["saves", "picture", "quake", &one[..12], &file]);
    assert_eq!(picture_of(&a, &one)["is_here"], true);
    here(&b, &one);
    assert_eq!(handed(&b, &one, "out-1.png"), small);
    let again = b.saves().with_file_name("out-1.png");
    let refused = b.cli(&["saves", "picture", "quake", &one, "--to", again.to_str().unwrap()]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "already_here"), "{refused:?}");
    // A restart alone in the room.
    a.terminate();
    b.terminate();
    b.start();
    assert_eq!(picture_of(&b, &one)["is_here"], true);
    assert_eq!(handed(&b, &one, "out-2.png"), small);
    a.start();
    // Damaged, it is fetched anew.
    let [at] = &files(&b)[..] else { panic!("{:?}", files(&b)) };
    std::fs::write(at, png(40_000, 8)).unwrap();
    b.sees(&a);
    b.done(&["saves", "verify", "quake"]);
    b.until("it is whole again", LONG, || (std::fs::read(at).ok()? == small).then_some(()));
    // A large one comes when somebody asks for it.
    a.writes("x.sav", "two");
    b.file_says("x.sav", "two");
    let two = in_step(&[&a, &b], "quake");
    let large = png(3 << 20, 9);
    let file = write(&a, "large.png", &large);
    a.done(&["saves", "picture", "quake", &two, &file]);
    b.until("b knows who has it", LONG, || (picture_of(&b, &two)["others"] == 1).then_some(()));
    assert_eq!(picture_of(&b, &two)["is_here"], false);
    assert_eq!(handed(&b, &two, "out-3.png"), large);
    // All pictures of a are lost: no save is any the worse, and what was lost comes back.
    a.terminate();
    std::fs::remove_dir_all(a.data.join("sidecars")).unwrap();
    a.start();
    a.done(&["saves", "verify", "quake"]);
    assert_eq!(a.history("quake").len(), 2);
    for version in [&one, &two] {
        here(&a, version);
    }
    assert_eq!((handed(&a, &one, "out-4.png"), handed(&a, &two, "out-5.png")), (small, large));
    a.writes("x.sav", "three");
    b.file_says("x.sav", "three");
    in_step(&[&a, &b], "quake");
    // Both databases are lost: the names of the files say what is here, and the devices agree on it again.
    a.terminate();
    b.terminate();
    for peer in [&mut a, &mut b] {
        lose_database(peer);
        peer.start();
        peer.add_saves("quake");
    }
    in_step(&[&a, &b], "quake");
    for peer in [&a, &b] {
        for version in [&one, &two] {
            here(peer, version);
        }
    }
    b.until("a's word on it is heard", LONG, || {
        [&one, &two].iter().all(|v| picture_of(&b, v)["others"] == 1).then_some(())
    });
    // Taken away here, it is gone there, too, also where it was off meanwhile.
    a.terminate();
    b.done(&["saves", "picture", "quake", &one, "--remove"]);
    b.done(&["saves", "picture", "quake", &two, "--remove"]);
    assert!(picture_of(&b, &one).is_null());
    b.until("its files are gone", LONG, || files(&b).is_empty().then_some(()));
    a.start();
    a.until("they are gone", LONG, || (picture_of(&a, &one).is_null() && files(&a).is_empty()).then_some(()));
    in_step(&[&a, &b], "quake");
    b.done(&["saves", "verify", "quake"]);
    assert!(picture_of(&b, &one).is_null() && picture_of(&b, &two).is_null() && files(&b).is_empty());
}
