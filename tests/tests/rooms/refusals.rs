//! Asks that are turned down, and how they say so.

use bonfire_tests::games::Recipe;
use bonfire_tests::peer::{Peer, SOON};
use bonfire_tests::{CliOutcome, Room};

/// Asserts how a call ended, and that people are told too.
fn refused(out: &CliOutcome, exit: i32, code: &str) {
    assert_eq!(out.code, exit, "{out:?}");
    assert_eq!(out.error_code(), code, "{out:?}");
    assert!(out.stderr.contains("error:"), "{out:?}");
}

#[test]
fn remove_is_refused_and_done() {
    let Some(room) = Room::new("remove") else { return };
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("doom", 2));
    a.add_game(&Recipe::new("quake", 1));
    std::fs::create_dir(a.root("doom").join("local")).unwrap();
    std::fs::write(a.root("doom").join("local/save.dat"), "hours of play").unwrap();
    Recipe::new("loose", 1).write(&a.games);
    a.list_in_catalog("bare");
    Recipe::new("bare", 1).write_payload(&a.games);
    a.start();
    a.until("the games are listed", SOON, || a.game("quake"));
    refused(&a.cli(&["remove", "nothing"]), 5, "unknown_game");
    refused(&a.cli(&["remove", "loose"]), 3, "not_in_catalog");
    refused(&a.cli(&["remove", "bare"]), 3, "not_downloaded");
    refused(&a.cli(&["remove", "doom"]), 3, "installed");
    for path in ["loose/loose.eti", "bare/bare.eti", "doom/doom.eti", "doom/version.ini", "doom/local/save.dat"] {
        assert!(a.games.join(path).exists(), "{path} is still there");
    }
    // A folder of an install under way protects it as well, when it is no longer listed as installed.
    std::fs::rename(a.root("doom").join("local"), a.root("doom").join(".local.backup")).unwrap();
    let rescanned = a.ask(&serde_json::json!({"library": {"rescan": {"games": ["doom"]}}}));
    assert!(rescanned.is_ok(), "{rescanned:?}");
    a.until("no longer installed", SOON, || a.game("doom").filter(|g| g["installed"] == false));
    a.mark();
    let out = a.cli(&["remove", "doom"]);
    assert_ne!(out.code, 0, "{out:?}");
    assert!(a.root("doom").join(".local.backup/save.dat").exists() && a.root("doom").join("doom.eti").exists());
    a.mark();
    a.done(&["remove", "quake"]);
    a.expect_game("game_removed", "quake", SOON);
    a.idle();
    a.holds_nothing("quake");
    assert!(a.root("doom").join("doom.eti").exists());
}

#[test]
fn asks_that_cannot_be_met_say_why() {
    let Some(room) = Room::new("refused") else { return };
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("doom", 2));
    Recipe::new("unshared", 1).write(&a.games);
    a.start();
    let mut b = room.seat("b");
    refused(&b.cli(&["get", "doom"]), 4, "no_peer_running");
    b.start();
    b.sees_hashed(&a, "doom");
    refused(&b.cli(&["get", "nothing"]), 5, "unknown_game");
    b.until("the unshared game is listed", SOON, || b.remote_game(a.id(), "unshared"));
    refused(&b.cli(&["get", "unshared"]), 3, "not_offered");
    refused(&a.cli(&["get", "doom"]), 3, "already_here");
    refused(&b.cli(&["cancel", "doom"]), 5, "nothing_active");
    refused(&b.cli(&["verify", "doom"]), 5, "not_downloaded");
    refused(&b.cli(&["catalog", "add", "nothing"]), 5, "unknown_game");
    assert_eq!(b.cli(&["get", "doom", "--from", "nobody-of-that-name"]).code, 5);
    assert_eq!(b.cli(&["get", "../escape"]).code, 2);
    assert_eq!(b.cli(&["frobnicate"]).code, 2);
    assert!(!b.games.join("unshared").exists() && !b.games.join("nothing").exists());
    // A source that has left is not a source.
    a.terminate();
    b.until("a is gone", SOON, || b.view_of(a.id()).is_none_or(|v| v["connected"] == false).then_some(()));
    let gone = b.cli(&["get", "doom"]);
    assert!([4, 5].contains(&gone.code), "{gone:?}");
}

#[test]
fn peers_that_disagree_are_not_mixed() {
    let Some(room) = Room::new("disagree") else { return };
    let a = room.host("a", &Recipe::new("doom", 5));
    let c = room.host("c", &Recipe::new("doom", 5).seed(2));
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.sees_hashed(&c, "doom");
    let out = b.cli(&["get", "doom"]);
    refused(&out, 3, "peers_disagree");
    assert!(out.stderr.contains("--from"), "says what to do: {out:?}");
    b.mark();
    b.done(&["get", "doom", "--from", "c"]);
    b.holds_same("doom", &c);
}

#[test]
fn the_newest_version_is_fetched_and_an_older_one_is_not() {
    let Some(room) = Room::new("versions") else { return };
    let seat = |name: &str, version: &str, seed: u64| -> Peer {
        let mut peer = room.seat(name);
        peer.add_game(&Recipe::new("doom", 2).version(version).seed(seed));
        peer.start();
        peer
    };
    let a = seat("a", "1.9", 1);
    let c = seat("c", "1.10", 2);
    let b = room.peer("b");
    b.sees_game(&a, "doom");
    b.sees_game(&c, "doom");
    b.done(&["get", "doom"]);
    b.holds_same("doom", &c);
    refused(&b.cli(&["get", "doom", "--from", "c"]), 3, "already_here");
}
