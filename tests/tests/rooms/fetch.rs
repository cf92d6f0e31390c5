//! Getting a game, from one and from several.

use std::path::Path;
use std::process::Command;

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::{Room, child, tree};
use serde_json::Value;

#[test]
fn a_game_is_fetched() {
    let Some(room) = Room::new("fetch") else { return };
    let a = room.host("a", &Recipe::new("doom", 9));
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.mark();
    b.done(&["get", "doom"]);
    let finished = b.expect_game("download_finished", "doom", SOON);
    assert_eq!(finished["version"], "20260101");
    let fetched = finished["fetched_bytes"].as_u64().unwrap();
    assert!((9 * MIB..10 * MIB).contains(&fetched), "each byte once: {finished}");
    b.holds_same("doom", &a);
    // Whoever has it gives it on.
    a.sees_game(&b, "doom");
    let listed = b.game("doom").unwrap();
    assert_eq!((listed["downloaded"].as_bool(), listed["installed"].as_bool()), (Some(true), Some(false)));
    assert_eq!(listed["name"], "The doom game");
    assert!(!b.root("doom").join(".bonfire.part").exists());
}

#[test]
fn a_real_game_is_fetched() {
    let wads = Path::new("/usr/share/games/doom");
    if !wads.join("freedoom1.wad").exists() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs the freedoom package");
        skip("a_real_game_is_fetched: no /usr/share/games/doom/freedoom1.wad; install the package freedoom");
        return;
    }
    let Some(room) = Room::new("freedoom") else { return };
    let mut a = room.seat("a");
    let root = a.root("freedoom");
    std::fs::create_dir(&root).unwrap();
    for wad in ["freedoom1.wad", "freedoom2.wad"] {
        std::fs::copy(wads.join(wad), root.join(wad)).unwrap();
    }
    a.start();
    a.done(&["catalog", "add", "freedoom", "--name", "Freedoom", "--version", "0.12.1"]);
    let mut b = room.peer("b");
    b.sees_game(&a, "freedoom");
    b.get("freedoom");
    b.finished("freedoom");
    b.holds_same("freedoom", &a);
    for wad in ["freedoom1.wad", "freedoom2.wad"] {
        assert_eq!(b3sum(&wads.join(wad)), b3sum(&b.root("freedoom").join(wad)), "{wad}");
    }
    // What Bonfire says of the content is made of the same hashes.
    let (here, there) = (b.sees_hashed(&a, "freedoom"), a.sees_hashed(&b, "freedoom"));
    assert_eq!(here["content_hash"], there["content_hash"]);
    assert_eq!(content_hash_by_b3sum(&b.root("freedoom")), here["content_hash"].as_str().unwrap());
}

#[test]
fn a_game_comes_from_two_sources() {
    let Some(room) = Room::new("two-sources") else { return };
    let (a, mut b, c) = between_two_sources(&room);
    let (before_a, before_c) = (a.link.bytes().0, c.link.bytes().0);
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
    let (from_a, from_c) = (a.link.bytes().0 - before_a, c.link.bytes().0 - before_c);
    assert!(from_a > 12 * MIB && from_c > 12 * MIB, "both carried: {from_a} and {from_c} bytes");
}

#[test]
fn a_source_dies_in_the_middle() {
    let Some(room) = Room::new("dies") else { return };
    let (mut a, mut b, c) = between_two_sources(&room);
    b.get("doom");
    b.downloaded_at_least("doom", 12 * MIB);
    a.kill9();
    b.finished("doom");
    b.holds_same("doom", &c);
}

#[test]
fn the_only_source_dies_and_returns() {
    let Some(room) = Room::new("returns") else { return };
    let mut a = room.host("a", &Recipe::new("doom", 32));
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 12 * MIB);
    a.kill9();
    b.expect_game("download_paused", "doom", LONG);
    let waiting = b.waits("doom");
    assert!(waiting["error"]["message"].is_string(), "says why: {waiting}");
    assert!(!b.root("doom").join("version.ini").exists());
    a.start();
    let finished = b.finished("doom");
    b.holds_same("doom", &a);
    assert!(finished["fetched_bytes"].as_u64().unwrap() < 34 * MIB, "what was there is not fetched again: {finished}");
}

#[test]
fn a_download_that_nobody_can_finish_says_so() {
    let Some(room) = Room::new("nobody") else { return };
    let mut a = room.host("a", &Recipe::new("doom", 32));
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 5 * MIB);
    a.terminate();
    b.expect_game("download_paused", "doom", LONG);
    // The only source comes back with another version.
    std::fs::remove_dir_all(a.root("doom")).unwrap();
    Recipe::new("doom", 8).version("2").seed(2).write(&a.games);
    a.link.unshape();
    a.start();
    b.until("the other version", LONG, || {
        b.remote_game(a.id(), "doom").filter(|g| g["version"] == "2" && g["content_hash"].is_string())
    });
    let waiting = b.until("it says what is offered", SOON, || {
        let says = |o: &Value| o["error"]["message"].as_str().is_some_and(|m| m.contains("version 2 is offered"));
        b.operation("doom").filter(says)
    });
    assert_eq!(waiting["phase"], "waiting");
    assert!(waiting["waiting_since"].is_u64(), "{waiting}");
    let status = b.text_cli(&["status"], SOON).stdout;
    assert!(status.contains("waiting for a peer that can give it for"), "{status}");
    assert!(status.contains("bonfire cancel doom"), "says what to do: {status}");
    let left = b.cli(&["get", "doom", "--no-wait"]);
    assert_eq!(left.code, 1, "{left:?}");
    b.done(&["cancel", "doom"]);
    b.get("doom");
    assert_eq!(b.finished("doom")["version"], "2");
    b.holds_same("doom", &a);
}

#[test]
fn an_update_fetches_only_what_differs() {
    let Some(room) = Room::new("update") else { return };
    let files = [("base.eti", 12 * MIB), ("patch.eti", 4 * MIB)];
    let mut a = room.seat("a");
    let root = a.add_game(&Recipe::new("doom", 0).version("2").files(&files));
    bonfire_tests::games::write_bytes(&root.join("patch.eti"), "another patch", 4 * MIB);
    a.start();
    let mut b = room.seat("b");
    b.add_game(&Recipe::new("doom", 0).version("1").files(&files));
    std::fs::create_dir(b.root("doom").join("local")).unwrap();
    std::fs::write(b.root("doom").join("local/save.dat"), "hours of play").unwrap();
    b.start();
    b.sees_hashed(&a, "doom");
    b.get("doom");
    let finished = b.finished("doom");
    assert_eq!(finished["version"], "2");
    b.holds_same("doom", &a);
    assert_eq!(std::fs::read_to_string(b.root("doom").join("local/save.dat")).unwrap(), "hours of play");
    assert!(finished["fetched_bytes"].as_u64().unwrap() < 6 * MIB, "{finished}");
    assert!(finished["reused_bytes"].as_u64().unwrap() >= 12 * MIB, "{finished}");
}

#[test]
fn a_lossy_link_delivers_every_byte() {
    let Some(room) = Room::new("lossy") else { return };
    let a = room.host("a", &Recipe::new("doom", 16));
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.link.lose(3);
    a.link.lose(3);
    b.get("doom");
    b.finished("doom");
    assert!(b.link.lost() > 0 && a.link.lost() > 0, "the loss did happen");
    b.holds_same("doom", &a);
}

#[test]
fn files_of_every_shape_arrive() {
    let Some(room) = Room::new("shapes") else { return };
    let mut a = room.seat("a");
    let mut recipe = Recipe::new("shapes", 0).files(&[
        ("empty.bin", 0),
        ("one.bin", 1),
        ("chunk-less-one.bin", 4 * MIB - 1),
        ("chunk.bin", 4 * MIB),
        ("chunk-and-one.bin", 4 * MIB + 1),
        ("deep/er/and/deep/er/file.txt", 5),
        ("Größe и 大きさ.txt", 9),
    ]);
    recipe.files.extend((0..600).map(|n| (format!("many/{}/{n}.txt", n % 7), n)));
    a.add_game(&recipe);
    a.start();
    let mut b = room.peer("b");
    b.sees_game(&a, "shapes");
    b.get("shapes");
    b.finished("shapes");
    b.holds_same("shapes", &a);
    assert_eq!(tree::payload(&b.root("shapes")).values().filter(|v| v.is_some()).count(), 608);
}

#[test]
fn verify_mends_what_is_damaged() {
    let Some(room) = Room::new("verify") else { return };
    let a = room.host("a", &Recipe::new("doom", 13));
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.finished("doom");
    b.until("its content is known", LONG, || b.game("doom").filter(|g| g["content_hash"].is_string()));
    b.mark();
    b.done(&["verify", "doom"]);
    let verified = b.expect_game("verify_finished", "doom", LONG);
    assert_eq!(verified["bad_files"], serde_json::json!([]));
    // One byte, and the times as they were: only reading finds it.
    let file = b.root("doom").join("doom.eti");
    let times = std::fs::metadata(&file).unwrap().modified().unwrap();
    let handle = std::fs::OpenOptions::new().write(true).open(&file).unwrap();
    std::os::unix::fs::FileExt::write_at(&handle, b"!", 5 * MIB).unwrap();
    handle.set_modified(times).unwrap();
    drop(handle);
    b.mark();
    b.done(&["verify", "doom"]);
    let verified = b.expect_game("verify_finished", "doom", LONG);
    assert_eq!(verified["bad_files"], serde_json::json!(["doom.eti"]));
    assert_eq!(verified["repaired_bytes"].as_u64().unwrap(), 4 * MIB, "one chunk");
    b.holds_same("doom", &a);
}

/// A peer that knows a game of two others with slow cables: one of them, itself, and the other.
fn between_two_sources(room: &Room) -> (Peer, Peer, Peer) {
    let doom = Recipe::new("doom", 48);
    let (a, c) = (room.host("a", &doom), room.host("c", &doom));
    let b = room.peer("b");
    for source in [&a, &c] {
        source.link.shape(100);
        b.sees_hashed(source, "doom");
    }
    (a, b, c)
}

fn b3sum(file: &Path) -> String {
    let out = child::run(Command::new("b3sum").arg("--no-names").arg(file), b"", LONG);
    assert!(out.status.success(), "{out:?}");
    String::from_utf8(out.stdout).unwrap().trim().to_owned()
}

/// The content hash as a stranger would make it: SHA-256 over length-prefixed path, size and `b3sum` of every file.
fn content_hash_by_b3sum(root: &Path) -> String {
    let mut fields = bonfire_proto::digest::FieldHasher::new();
    for (path, hash) in tree::payload(root) {
        if hash.is_some() {
            let digest: bonfire_proto::Digest = b3sum(&root.join(&path)).parse().unwrap();
            let size = std::fs::metadata(root.join(&path)).unwrap().len();
            fields.field(path.as_bytes()).number(size).field(&digest.0);
        }
    }
    fields.finish().to_string()
}

#[allow(clippy::print_stderr, reason = "a skipped scenario has to be seen")]
fn skip(why: &str) {
    eprintln!("\n*** SKIPPED: {why} ***\n");
}
