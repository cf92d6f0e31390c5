//! Reading live files.

use std::fs;
use std::io::Write as _;

use bonfire_engine::places::pattern::Pattern;

use super::{LATER, Place, capture, root, whole};
use crate::saves::{LeftOutWhy, Listing, RootLabel};

fn paths(captured: &crate::saves::Captured) -> Vec<&str> {
    captured.entries.iter().map(|e| e.path.as_str()).collect()
}

#[test]
fn files_of_all_roots_are_read_with_their_labels() {
    let place = Place::new();
    place.write("saves/slot1/world.dat", b"w");
    place.write("saves/empty", b"");
    place.write("config/game.ini", b"c");
    place.write("config/other.ini", b"not asked for");
    let roots = [
        root("save", &place.live.join("saves"), &[], &[]),
        root("config", &place.live.join("config"), &["game.ini"], &[]),
    ];
    let captured = capture(&place.store(), &roots);
    assert_eq!(paths(&captured), ["config/game.ini", "save/empty", "save/slot1/world.dat"]);
    assert_eq!(captured.size, 2);
    assert!(captured.entries[1].objects().is_empty());
}

#[test]
fn patterns_say_what_belongs_to_a_root_and_folders_that_cannot_are_not_entered() {
    let place = Place::new();
    for path in ["a.sav", "b.sav", "deep/er/c.sav", "deep/x.log", "keep/all/of.it", "x.log", "cache/c.sav"] {
        place.write(path, b"1");
    }
    let pick = |include: &[&str], ignore: &[&str]| {
        let captured = capture(&place.store(), &[root("s", &place.live, include, ignore)]);
        captured.entries.iter().map(|e| e.path.as_str()["s/".len()..].to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pick(&["a.sav"], &[]), ["a.sav"]);
    assert_eq!(pick(&["*.sav"], &[]), ["a.sav", "b.sav"]);
    assert_eq!(pick(&["**/*.sav"], &["cache"]), ["a.sav", "b.sav", "deep/er/c.sav"]);
    assert_eq!(pick(&["keep"], &[]), ["keep/all/of.it"]);
    assert_eq!(pick(&["deep/*/?.sav"], &[]), ["deep/er/c.sav"]);
    assert_eq!(pick(&[], &["*.log", "*.sav"]), ["keep/all/of.it"]);
    assert_eq!(pick(&[], &["deep/x.log", "cache/**"]), ["a.sav", "b.sav", "deep/er/c.sav", "keep/all/of.it", "x.log"]);
    for bad in ["", "/x", "a//b", "../x", "a/./b", "a\\b"] {
        assert!(bad.parse::<Pattern>().is_err(), "{bad:?}");
    }
    for bad in ["", ".save", "a/b", "CON", &"x".repeat(33)] {
        assert!(RootLabel::new(bad).is_err(), "{bad:?}");
    }
    let hard: Pattern = "**/*a*a*a*a*b/".repeat(8).parse().unwrap();
    let path: Vec<String> = (0..32).map(|_| "a".repeat(200)).collect();
    assert!(!hard.reach(&path.iter().map(String::as_str).collect::<Vec<_>>(), false).covers);
}

#[test]
fn scratch_and_conflict_copies_of_ours_are_never_part_of_a_save() {
    let place = Place::new();
    place.write("world.dat", b"live");
    place.write("world.dat.conflict-deck", b"theirs");
    place.write("sub.conflict-deck/world.dat", b"theirs");
    place.write(".bonfire.save-1/0", b"half");
    place.write("conflict-notes.txt", b"the player's");
    let captured = capture(&place.store(), &[place.root()]);
    assert_eq!(paths(&captured), ["save/conflict-notes.txt", "save/world.dat"]);
    assert!(captured.left_out.iter().all(|l| l.why == LeftOutWhy::ConflictCopy));
    assert_eq!(captured.left_out.len(), 2);
}

#[cfg(unix)]
#[test]
fn what_cannot_be_part_of_a_save_is_named_and_never_merged() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    for path in ["fine", "Twin", "twin", "dir/a", "Dir/b", "bad:name", "caf\u{e9}", "cafe\u{301}"] {
        place.write(path, b"1");
    }
    place.write("sub/target", b"2");
    std::os::unix::fs::symlink("sub/target", place.live.join("link")).unwrap();
    std::os::unix::fs::symlink("sub", place.live.join("linked-folder")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.live.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    fs::write(place.live.join(std::ffi::OsStr::from_bytes(b"n\xffn")), b"x").unwrap();
    let captured = capture(&place.store(), &[place.root()]);
    assert_eq!(paths(&captured), ["save/fine", "save/sub/target"]);
    let mut whys: Vec<LeftOutWhy> = captured.left_out.iter().map(|l| l.why).collect();
    whys.sort();
    use LeftOutWhy::{Collides, IllegalPath, Link, NotText, Special};
    assert_eq!(
        whys,
        [Link, Link, Special, NotText, IllegalPath, Collides, Collides, Collides, Collides, Collides, Collides]
    );
}

#[test]
fn what_did_not_change_is_not_read_again() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"aaaa");
    place.write("b", b"bb");
    let first = capture(&store, &[place.root()]);
    assert_eq!(first.bytes_read, 6);
    let second = whole(store.capture(&[place.root()], &first.listing, LATER).unwrap());
    assert_eq!((second.bytes_read, second.new_objects), (0, (0, 0)));
    assert_eq!(second.entries, first.entries);
    // Its content left the store: it has to be read again.
    for at in place.objects() {
        fs::remove_file(at).unwrap();
    }
    assert_eq!(whole(store.capture(&[place.root()], &first.listing, LATER).unwrap()).bytes_read, 6);
}

#[test]
fn a_file_that_was_young_when_it_was_read_is_read_again_even_if_its_time_stands_still() {
    let place = Place::new();
    let store = place.store();
    place.write("a", b"one");
    let time = fs::metadata(place.live.join("a")).unwrap().modified().unwrap();
    let ms = i64::try_from(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for (now, read) in [(ms + 1_999, 3), (ms + 2_001, 0), (ms - 10_000, 3)] {
        let first = whole(store.capture(&[place.root()], &Listing::new(), now).unwrap());
        let again = whole(store.capture(&[place.root()], &first.listing, LATER).unwrap());
        assert_eq!(again.bytes_read, read, "read {} ms after it was written", now - ms);
    }
    let young = whole(store.capture(&[place.root()], &Listing::new(), ms + 1).unwrap());
    place.write("a", b"two");
    fs::File::options().write(true).open(place.live.join("a")).unwrap().set_modified(time).unwrap();
    let again = whole(store.capture(&[place.root()], &young.listing, LATER).unwrap());
    assert_ne!(again.entries[0].blake3, young.entries[0].blake3);
}

#[cfg(unix)]
#[test]
fn an_unreadable_folder_is_an_error_and_no_empty_save() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    place.write("sub/a", b"1");
    let store = place.store();
    let folder = place.live.join("sub");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o0)).unwrap();
    let refused = fs::read_dir(&folder).is_err();
    let captured = store.capture(&[place.root()], &Listing::new(), LATER);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    // Who may read everything cannot be refused.
    assert!(!refused || matches!(captured, Err(crate::saves::SaveError::Disk(_))));
    let gone = place.root();
    fs::remove_dir_all(&place.live).unwrap();
    let captured = store.capture(&[gone], &Listing::new(), LATER);
    assert!(matches!(captured, Err(crate::saves::SaveError::Disk(_))), "{captured:?}");
}

pub(super) fn archive(entries: &[(&str, &[u8])], method: zip::CompressionMethod) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        if name.ends_with('/') {
            zip.add_directory(name.trim_end_matches('/'), options).unwrap();
        } else {
            zip.start_file(*name, options).unwrap();
            zip.write_all(bytes).unwrap();
        }
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_archive_is_what_is_in_it_and_not_how_it_was_packed() {
    use zip::CompressionMethod::{Deflated, Stored};
    let place = Place::new();
    let store = place.store();
    let hash = |bytes: &[u8]| {
        place.write("a.zip", bytes);
        let captured = capture(&store, &[place.root()]);
        let content = captured.snapshot(super::lineage(1, vec![])).content_hash;
        (captured.entries[0].archive, content)
    };
    let (one, two) = (("one", b"1".as_slice()), ("d/two", [2; 5000].as_slice()));
    let base = hash(&archive(&[one, two], Deflated));
    assert!(base.0.is_some());
    assert_eq!(hash(&archive(&[two, one], Stored)), base);
    assert_eq!(hash(&archive(&[("d/", b""), one, two], Deflated)), base);
    assert_ne!(hash(&archive(&[one, ("d/two", &[3; 5000])], Deflated)).1, base.1);
    assert_ne!(hash(&archive(&[one, ("d/tw0", &[2; 5000])], Deflated)).1, base.1);
    // A file is not an archive of that file.
    assert_ne!(hash(b"1").1, hash(&archive(&[("a.zip", b"1")], Stored)).1);
    let mut damaged = archive(&[one, two], Stored);
    damaged[60] ^= 1;
    assert_eq!(hash(&damaged).0, None);
    // The same name twice: which one is meant is anybody's guess.
    let twice = archive(&[("same", b"1"), ("sane", b"2")], Stored);
    let twice = replace(&twice, b"sane", b"same");
    assert_eq!(hash(&twice).0, None);
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    while let Some(at) = out.windows(from.len()).position(|w| w == from) {
        out[at..at + to.len()].copy_from_slice(to);
    }
    out
}
