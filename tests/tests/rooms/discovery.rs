//! Finding each other, losing each other, meeting again.

use std::time::Duration;

use bonfire_tests::Room;
use bonfire_tests::games::Recipe;
use bonfire_tests::peer::{Peer, SOON};

/// The longest until a peer that vanished without a word is given up: its stale time, and some.
const STALE: Duration = Duration::from_secs(120);

/// The longest until a peer with another address is found there: the library looks for changed addresses every five
/// seconds, and the old connection may have to be ten seconds old. Well below the stale time of 75 seconds.
const NOTICED: Duration = Duration::from_secs(40);

#[test]
fn two_peers_find_each_other() {
    let Some(room) = Room::new("pair") else { return };
    let a = room.peer("a");
    let b = room.peer("b");
    let appeared = a.expect("b", SOON, |e| e["type"] == "peer_appeared" && e["peer"] == b.id());
    assert_eq!(appeared["name"], "b");
    b.expect("a", SOON, |e| e["type"] == "peer_appeared" && e["peer"] == a.id());
    let view = a.view_of(b.id()).unwrap();
    assert_eq!(view["connected"], true, "{view}");
    assert!(view["addr"].as_str().unwrap().ends_with(&format!(":{}", b.addr().port())), "a listener: {view}");
    let peers = b.done(&["peers"]);
    assert!(peers.stdout.contains(a.id()), "{peers:?}");
}

#[test]
fn eight_peers_find_each_other() {
    let Some(room) = Room::new("eight") else { return };
    let peers: Vec<Peer> = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().map(|name| room.peer(name)).collect();
    for one in &peers {
        for other in peers.iter().filter(|other| other.name != one.name) {
            one.sees(other);
        }
    }
    for one in &peers {
        let lost: Vec<_> = one.events().into_iter().filter(|e| e["type"] == "peer_lost").collect();
        assert!(lost.is_empty(), "{} lost somebody: {lost:?}", one.name);
        let known = one.snapshot()["peers"].as_array().unwrap().len();
        assert_eq!(known, 7, "{} knows {known}", one.name);
    }
}

#[test]
fn peers_without_multicast_meet_by_address() {
    let Some(room) = Room::new("static") else { return };
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("quake", 1));
    a.argument("--no-mdns").start();
    let mut b = room.seat("b");
    b.argument("--no-mdns").argument("--peer").argument(a.addr().to_string()).start();
    b.sees(&a);
    a.sees(&b);
    assert_eq!(b.view_of(a.id()).unwrap()["found_by"], "static");
    b.sees_game(&a, "quake");
    b.get("quake");
    b.finished("quake");
    b.holds_same("quake", &a);
    // Known by address means: tried again and again.
    a.terminate();
    b.expect("a gone", SOON, |e| e["type"] == "peer_lost" && e["peer"] == a.id());
    a.start();
    b.until("a again", STALE, || b.view_of(a.id()).filter(|v| v["connected"] == true));
}

#[test]
fn a_third_machine_joins_late() {
    let Some(room) = Room::new("third") else { return };
    let a = room.host("a", &Recipe::new("doom", 4));
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    let mut c = room.peer("c");
    c.sees_game(&a, "doom");
    c.sees_game(&b, "doom");
    c.get("doom");
    c.finished("doom");
    c.holds_same("doom", &a);
}

#[test]
fn a_peer_says_goodbye() {
    let Some(room) = Room::new("goodbye") else { return };
    let a = room.peer("a");
    let mut b = room.peer("b");
    a.sees(&b);
    b.sees(&a);
    let id = b.id().to_owned();
    assert_eq!(b.terminate(), Some(0), "{}", b.log().stderr());
    b.expect_type("stopped", SOON);
    a.expect("goodbye of b", Duration::from_secs(5), |e| e["type"] == "peer_lost" && e["peer"] == id);
    assert_eq!(a.view_of(&id).unwrap()["connected"], false);
    b.start();
    assert_eq!(b.id(), id, "an identity is for ever");
    a.sees(&b);
}

#[test]
fn a_peer_that_vanishes_is_given_up_and_welcomed_back() {
    let Some(room) = Room::new("vanish") else { return };
    let mut a = room.peer("a");
    let mut b = room.peer("b");
    a.sees(&b);
    a.mark();
    b.kill9();
    a.expect("loss of b", STALE, |e| e["type"] == "peer_lost" && e["peer"] == b.id());
    b.start();
    a.expect("b again", STALE, |e| e["type"] == "peer_appeared" && e["peer"] == b.id());
    b.sees(&a);
}

#[test]
fn a_room_splits_and_heals() {
    let Some(room) = Room::new("split") else { return };
    let a = room.host("a", &Recipe::new("doom", 2));
    let mut b = room.peer("b");
    let mut c = room.peer("c");
    for (one, other) in [(&a, &b), (&a, &c), (&b, &c), (&c, &a), (&c, &b)] {
        one.sees(other);
    }
    c.link.move_away();
    a.expect("loss of c", STALE, |e| e["type"] == "peer_lost" && e["peer"] == c.id());
    c.expect("loss of a", STALE, |e| e["type"] == "peer_lost" && e["peer"] == a.id());
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    c.link.heal();
    // Nobody is told that the cable is back; the next announcement or attempt says so.
    c.until("a again", STALE, || c.view_of(a.id()).filter(|v| v["connected"] == true));
    c.until("b again", STALE, || c.view_of(b.id()).filter(|v| v["connected"] == true));
    c.sees_game(&b, "doom");
    c.get("doom");
    c.finished("doom");
    c.holds_same("doom", &a);
}

#[test]
fn a_peer_changes_its_address() {
    let Some(room) = Room::new("address") else { return };
    let a = room.host("a", &Recipe::new("doom", 2));
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    a.link.change_address(77);
    // The announcement of another address is enough to be dialled there. The download waits for that by itself.
    b.get("doom");
    b.expect("the download", NOTICED, |e| e["type"] == "download_finished" && e["game"] == "doom");
    b.holds_same("doom", &a);
    let elsewhere =
        |v: &serde_json::Value| v["connected"] == true && !v["addr"].as_str().unwrap().contains("10.77.0.1:");
    b.until("a at its new address", NOTICED, || b.view_of(a.id()).filter(elsewhere));
    let mut c = room.peer("c");
    c.sees_game(&a, "doom");
    let view = c.view_of(a.id()).unwrap();
    assert!(!view["addr"].as_str().unwrap().contains("10.77.0.1:"), "the address that it had: {view}");
    c.get("doom");
    c.finished("doom");
}

#[test]
fn a_peer_on_two_networks_sees_both() {
    let Some(room) = Room::new("two-nets") else { return };
    let near = room.peer("near");
    let middle = room.seat("middle");
    middle.link.add_second_interface();
    let mut middle = middle;
    middle.start();
    let mut far = room.seat("far");
    far.link.move_away();
    // The far network has addresses of its own.
    far.link.namespace().ip(&["addr", "add", "10.78.0.3/24", "dev", "eth0"]);
    far.link.namespace().ip(&["addr", "del", "10.77.0.3/24", "dev", "eth0"]);
    far.link.namespace().ip(&["route", "replace", "default", "dev", "eth0"]);
    far.start();
    middle.sees(&near);
    middle.sees(&far);
    near.sees(&middle);
    far.sees(&middle);
    assert!(near.view_of(far.id()).is_none(), "the far network is out of reach");
}

#[test]
fn a_second_instance_names_the_first() {
    let Some(room) = Room::new("second") else { return };
    let a = room.peer("a");
    let games = a.games.to_str().unwrap().to_owned();
    let second = a.cli(&["run", "--games-dir", &games, "--no-mdns"]);
    assert_eq!(second.code, 3, "{second:?}");
    let said = format!("{} {}", second.stdout, second.stderr);
    assert!(said.contains(&a.pid().to_string()), "names process {}: {said}", a.pid());
    // The first is none the worse for it.
    assert_eq!(a.cli(&["status"]).code, 0);
}
