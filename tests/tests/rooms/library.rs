//! What is where, and how others learn of it.

use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::time::Duration;

use bonfire_tests::Room;
use bonfire_tests::games::Recipe;
use bonfire_tests::peer::SOON;
use bonfire_tests::tree;

#[test]
fn games_are_seen_with_their_fields() {
    let Some(room) = Room::new("fields") else { return };
    let mut a = room.seat("a");
    let doom = Recipe::new("doom", 3).version("20240229");
    a.add_game(&doom);
    a.add_game(&Recipe::new("quake", 1));
    std::fs::create_dir(a.root("quake").join("local")).unwrap();
    Recipe::new("secret", 1).write(&a.games);
    a.start();
    let b = room.peer("b");
    let seen = b.sees_hashed(&a, "doom");
    assert_eq!(seen["name"], "The doom game");
    assert_eq!(seen["version"], "20240229");
    assert_eq!(seen["size"].as_u64().unwrap(), doom.size() + 8, "payload and version.ini");
    assert_eq!(seen["downloaded"], true);
    assert_eq!(seen["installed"], false);
    assert_eq!(seen["availability"], "ready");
    assert_eq!(seen["manifest_hash"].as_str().unwrap().len(), 64);
    let quake = b.sees_game(&a, "quake");
    assert_eq!(quake["installed"], true);
    // What is not in the catalog is not to be had.
    if let Some(secret) = b.remote_game(a.id(), "secret") {
        assert_eq!(secret["availability"], "local_only", "{secret}");
    }
    let listed = b.done(&["games", "--room"]);
    assert!(listed.stdout.contains("doom") && listed.stdout.contains("20240229"), "{listed:?}");
    let own = a.game("doom").unwrap();
    assert_eq!(own["files"], 3);
    assert_eq!(own["in_catalog"], true);
    assert_eq!(own["manifest_hash"], seen["manifest_hash"]);
    assert_eq!(own["content_hash"], seen["content_hash"]);
}

#[test]
fn a_library_change_arrives_as_a_delta() {
    let Some(room) = Room::new("delta") else { return };
    let a = room.host("a", &Recipe::new("doom", 1));
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    // What is seen may be told a moment later; the mark comes after both.
    let seen = b.view_of(a.id()).unwrap()["library_rev"].as_u64().unwrap();
    b.expect("what was seen so far", SOON, |e| {
        e["type"] == "remote_library_changed" && e["library_rev"].as_u64().unwrap() >= seen
    });
    b.mark();
    Recipe::new("quake", 1).write(&room.folder().join("elsewhere"));
    std::fs::rename(room.folder().join("elsewhere/quake"), a.root("quake")).unwrap();
    a.done(&["catalog", "add", "quake"]);
    b.sees_game(&a, "quake");
    b.expect_type("remote_library_changed", SOON);
    let changes: Vec<_> = b.events().into_iter().filter(|e| e["type"] == "remote_library_changed").collect();
    assert!(!changes.is_empty());
    for change in &changes {
        assert_eq!(change["by"], "delta", "{change}");
        assert_eq!(change["changed"], serde_json::json!(["quake"]), "only what changed");
    }
    b.mark();
    std::fs::rename(a.root("quake"), room.folder().join("elsewhere/quake")).unwrap();
    let gone = b.expect("quake gone", SOON, |e| {
        e["type"] == "remote_library_changed" && !(e["removed"].as_array().unwrap().is_empty())
    });
    assert_eq!(gone["removed"], serde_json::json!(["quake"]));
    assert_eq!(gone["by"], "delta");
}

#[test]
fn a_lost_database_starts_a_new_epoch() {
    let Some(room) = Room::new("epoch") else { return };
    let mut a = room.host("a", &Recipe::new("doom", 2));
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    let before = a.snapshot()["me"]["library_epoch"].clone();
    a.terminate();
    for file in std::fs::read_dir(&a.data).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with("state.db") {
            std::fs::remove_file(file.path()).unwrap();
        }
    }
    b.expect("a gone", SOON, |e| e["type"] == "peer_lost");
    b.mark();
    a.start();
    let after = a.snapshot()["me"]["library_epoch"].clone();
    assert_ne!(before, after, "a database of its own has an epoch of its own");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn a_game_copied_in_by_hand_appears() {
    let Some(room) = Room::new("by-hand") else { return };
    let mut a = room.seat("a");
    a.start();
    let mut b = room.peer("b");
    b.sees(&a);
    Recipe::new("doom", 2).write_payload(&room.folder().join("elsewhere"));
    std::fs::rename(room.folder().join("elsewhere/doom"), a.root("doom")).unwrap();
    a.until("the folder is noticed", SOON, || a.game("doom"));
    assert!(b.remote_game(a.id(), "doom").is_none_or(|g| g["availability"] == "local_only"));
    let before = tree::read(&a.root("doom"));
    a.done(&["catalog", "add", "doom", "--name", "Doom", "--version", "1.9"]);
    let mut after = tree::read(&a.root("doom"));
    assert_eq!(std::fs::read_to_string(a.root("doom").join("version.ini")).unwrap().trim(), "1.9");
    after.remove("version.ini");
    assert_eq!(before, after, "no other file was touched");
    let seen = b.sees_game(&a, "doom");
    assert_eq!((seen["name"].as_str(), seen["version"].as_str()), (Some("Doom"), Some("1.9")));
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn a_game_copied_in_slowly_is_offered_when_it_is_whole() {
    let Some(room) = Room::new("slowly") else { return };
    let mut a = room.seat("a");
    a.list_in_catalog("doom");
    a.start();
    let mut b = room.peer("b");
    b.sees(&a);
    // The sentinel first, as a copy by name may do it, and then a file that grows and grows.
    let root = a.root("doom");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("version.ini"), "1.9").unwrap();
    let (done, is_done) = std::sync::mpsc::channel::<()>();
    let file = root.join("doom.eti");
    let copy = std::thread::spawn(move || {
        let mut file = std::fs::File::create(file).unwrap();
        while is_done.recv_timeout(Duration::from_millis(50)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            file.write_all(&[7; 10_000]).unwrap();
        }
    });
    let partial = a.until("the game is seen", SOON, || a.game("doom").filter(|g| g["downloaded"] == true));
    assert_eq!(partial["availability"], "local_only", "{partial}");
    let told = b.until("it is told", SOON, || b.remote_game(a.id(), "doom"));
    assert_eq!(told["availability"], "local_only", "{told}");
    b.mark();
    assert_eq!(b.cli(&["get", "doom"]).error_code(), "not_offered");
    drop(done);
    copy.join().unwrap();
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn links_and_special_files_are_not_followed() {
    let Some(room) = Room::new("links") else { return };
    let mut a = room.seat("a");
    let secret = room.folder().join("secret.txt");
    std::fs::write(&secret, "not for anyone").unwrap();
    let root = a.add_game(&Recipe::new("odd", 1));
    symlink(&secret, root.join("link.eti")).unwrap();
    symlink(room.folder(), root.join("folder-link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    a.add_game(&Recipe::new("doom", 1));
    a.start();
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    let own = a.until("the odd game is listed", SOON, || a.game("odd"));
    let problems = own["problems"].to_string();
    for name in ["link.eti", "folder-link", "pipe"] {
        assert!(problems.contains(name), "{name} is named: {own}");
    }
    // Whether the rest can be had is the sharer's matter; what is linked to never is.
    if b.remote_game(a.id(), "odd").is_some_and(|g| g["availability"] == "ready") {
        b.get("odd");
        b.finished("odd");
        let here = tree::read(&b.root("odd"));
        assert!(!here.contains_key("link.eti") && !here.contains_key("pipe"), "{here:?}");
        assert!(!here.keys().any(|k| k.starts_with("folder-link")), "{here:?}");
    }
}

#[test]
fn games_that_cannot_be_shared_say_why() {
    let Some(room) = Room::new("unsharable") else { return };
    let mut a = room.seat("a");
    let in_catalog = |id: &str| {
        let root = Recipe::new(id, 1).write_payload(&a.games);
        a.list_in_catalog(id);
        root
    };
    std::fs::create_dir(in_catalog("sentinel-folder").join("version.ini")).unwrap();
    let elsewhere = room.folder().join("elsewhere.ini");
    std::fs::write(&elsewhere, "1").unwrap();
    symlink(&elsewhere, in_catalog("sentinel-link").join("version.ini")).unwrap();
    let root = a.add_game(&Recipe::new("no-text", 1));
    std::fs::write(root.join(std::ffi::OsStr::from_bytes(b"caf\xe9.txt")), "latin").unwrap();
    let root = a.add_game(&Recipe::new("collides", 1));
    std::fs::write(root.join("Readme.txt"), "one").unwrap();
    std::fs::write(root.join("README.TXT"), "two").unwrap();
    let root = a.add_game(&Recipe::new("windows", 1));
    std::fs::write(root.join("aux.txt"), "a device there").unwrap();
    std::fs::create_dir(a.root("empty")).unwrap();
    a.list_in_catalog("empty");
    a.add_game(&Recipe::new("doom", 1));
    a.start();
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    for (id, named) in
        [("no-text", "caf"), ("collides", "README"), ("windows", "aux.txt"), ("sentinel-folder", "version.ini")]
    {
        let own = a.until(&format!("{id} is listed"), SOON, || a.game(id));
        let problems = own["problems"].to_string();
        assert!(problems.to_lowercase().contains(&named.to_lowercase()), "{id} names {named}: {own}");
    }
    for id in ["sentinel-folder", "sentinel-link", "empty"] {
        let own = a.game(id);
        assert!(own.as_ref().is_none_or(|g| g["downloaded"] == false), "{id}: {own:?}");
        let seen = b.remote_game(a.id(), id);
        assert!(seen.as_ref().is_none_or(|g| g["availability"] != "ready"), "{id}: {seen:?}");
    }
    // What can be had of the others is what every machine can hold, and nothing else.
    for id in ["no-text", "collides", "windows"] {
        if b.remote_game(a.id(), id).is_some_and(|g| g["availability"] == "ready") {
            b.get(id);
            b.finished(id);
            let names = format!("{:?}", tree::read(&b.root(id)).keys());
            assert!(!names.contains("aux") && !names.contains("caf"), "{id}: {names}");
            assert!(!(names.contains("Readme") && names.contains("README")), "{id}: {names}");
        }
    }
    b.get("doom");
    b.finished("doom");
}
