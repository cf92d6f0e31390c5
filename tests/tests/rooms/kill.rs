//! Ending a peer with no warning, and what the next start makes of it.

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, SOON};
use bonfire_tests::{Random, Room};

#[test]
fn a_killed_receiver_resumes() {
    let Some(room) = Room::new("kill") else { return };
    let mut random = Random::announced("a_killed_receiver_resumes");
    let doom = Recipe::new("doom", 64);
    let a = room.host("a", &doom);
    a.link.shape(150);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    let mut reached = 0;
    for _ in 0..4 {
        // At most half of what is left, so that each of the four strikes in the middle.
        let left = doom.size().saturating_sub(reached + 12 * MIB);
        let point = reached + random.between(MIB.min(left), left / 2 + 2);
        b.downloaded_at_least("doom", point);
        b.kill9();
        assert!(!b.root("doom").join("version.ini").exists(), "no sentinel before the end");
        b.start();
        // It goes on by itself, from what was verified.
        reached = b
            .until("the download goes on", LONG, || b.operation("doom").filter(|o| o["phase"] == "transferring"))
            ["done_bytes"]
            .as_u64()
            .unwrap();
    }
    let finished = b.finished("doom");
    assert!(finished["reused_bytes"].as_u64().unwrap() > 0, "{finished}");
    b.holds_same("doom", &a);
}

#[test]
fn a_killed_receiver_finds_the_rest_elsewhere() {
    let Some(room) = Room::new("kill-elsewhere") else { return };
    let doom = Recipe::new("doom", 32);
    let mut a = room.host("a", &doom);
    a.link.shape(100);
    let mut c = room.seat("c");
    c.add_game(&doom);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 12 * MIB);
    b.kill9();
    a.terminate();
    c.start();
    b.start();
    let finished = b.finished("doom");
    b.holds_same("doom", &c);
    assert!(finished["reused_bytes"].as_u64().unwrap() >= 8 * MIB, "what was verified is kept: {finished}");
}

#[test]
fn a_resumed_download_can_be_cancelled_without_a_source() {
    let Some(room) = Room::new("kill-cancel") else { return };
    let mut a = room.host("a", &Recipe::new("doom", 32));
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 8 * MIB);
    b.kill9();
    a.terminate();
    b.start();
    b.waits("doom");
    b.done(&["cancel", "doom"]);
    b.expect_game("download_cancelled", "doom", SOON);
    b.idle();
    b.holds_nothing("doom");
}

#[test]
fn a_peer_stopped_in_the_middle_goes_on_at_the_next_start() {
    let Some(room) = Room::new("stop") else { return };
    let a = room.host("a", &Recipe::new("doom", 32));
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 12 * MIB);
    assert_eq!(b.terminate(), Some(0), "{}", b.log().stderr());
    b.start();
    let finished = b.finished("doom");
    assert!(finished["reused_bytes"].as_u64().unwrap() >= 8 * MIB, "{finished}");
    b.holds_same("doom", &a);
}
