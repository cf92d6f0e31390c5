//! `bonfire doctor`, which says what is wrong and what to do.

use std::net::UdpSocket;

use bonfire_tests::Room;
use bonfire_tests::games::Recipe;
use bonfire_tests::namespace::Namespace;
use bonfire_tests::peer::{CliOutcome, LONG, Peer, SOON};

#[test]
fn doctor_finds_a_healthy_room() {
    let Some(room) = Room::new("doctor") else { return };
    let a = room.host("a", &Recipe::new("doom", 1));
    let b = room.peer("b");
    a.sees(&b);
    b.sees(&a);
    let out = a.text_cli(&["doctor"], LONG);
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    for words in ["games folder", "10.77.0.1", "multicast eth0", "discovery", "listener 10.77.0.1", "clock b ("] {
        assert!(out.stdout.contains(words), "{words}: {}", out.stdout);
    }
    let json = a.done(&["doctor"]);
    assert_eq!(json.lines.len(), json.stdout.lines().count(), "only JSON on stdout: {json:?}");
    for check in ["peer", "games_folder", "multicast", "discovery", "listener", "peer_reachable", "clock"] {
        assert!(is_all_ok(&json, check), "{check}: {}", json.stdout);
    }
    let reached = json.lines.iter().find(|l| l["check"] == "peer_reachable").unwrap();
    assert!(reached["subject"].as_str().unwrap().starts_with("b ("), "{reached}");
}

/// How each check of this name came out.
fn statuses(doctor: &CliOutcome, check: &str) -> Vec<String> {
    let lines = doctor.lines.iter().filter(|l| l["check"] == check);
    lines.map(|l| l["status"].as_str().unwrap().to_owned()).collect()
}

/// Whether there are checks of this name, and none but good ones.
fn is_all_ok(doctor: &CliOutcome, check: &str) -> bool {
    let statuses = statuses(doctor, check);
    !statuses.is_empty() && statuses.iter().all(|status| status == "ok")
}

/// The hints of failed checks of this name.
fn hints(doctor: &CliOutcome, check: &str) -> String {
    let failed = doctor.lines.iter().filter(|l| l["check"] == check && l["status"] == "failed");
    failed.map(|l| l["hint"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do() {
    let Some(room) = Room::new("ill") else { return };
    let a = room.peer("a");
    let b = room.peer("b");
    a.sees(&b);
    // Everything that comes in is lost: what a host firewall does.
    a.link.lose(100);
    let out = a.cli(&["doctor"]);
    assert_eq!(out.code, 1, "{}\n{}", out.stdout, out.stderr);
    for check in ["multicast", "discovery"] {
        assert_eq!(statuses(&out, check), ["failed"], "{}", out.stdout);
        assert!(hints(&out, check).contains("firewall"), "{}", out.stdout);
    }
    assert!(!statuses(&out, "listener").contains(&"ok".to_owned()), "not even its own packets come in: {}", out.stdout);
    a.link.lose(0);
    // What is right again is no longer complained of.
    a.sees(&b);
    let out = a.cli(&["doctor"]);
    assert_eq!(statuses(&out, "multicast"), ["ok"], "{}", out.stdout);
}

#[test]
fn a_firewall_is_found_although_the_machine_hears_itself() {
    let Some(room) = Room::new("wall") else { return };
    // The wall stands before anything else, and lets through what the machine says to itself.
    let mut a = room.seat("a");
    a.link.raise_firewall();
    a.start();
    let out = a.cli(&["doctor"]);
    assert_eq!(out.code, 1, "{}\n{}", out.stdout, out.stderr);
    assert!(is_all_ok(&out, "listener"), "its own addresses lead through lo: {}", out.stdout);
    let listener = out.lines.iter().find(|l| l["check"] == "listener").unwrap();
    assert!(listener["detail"].as_str().unwrap().contains("this machine"), "says what it proves: {listener}");
    for check in ["multicast", "discovery", "peer_reachable"] {
        assert_eq!(statuses(&out, check), ["failed"], "{check}: {}", out.stdout);
        assert!(hints(&out, check).contains("firewall"), "{check}: {}", out.stdout);
    }
}

/// Binds the port of mDNS in a seat without sharing it.
fn hold_mdns_port(peer: &Peer) -> UdpSocket {
    let path = peer.link.path();
    let bind = move || {
        Namespace::enter(&path);
        UdpSocket::bind("[::]:5353").unwrap()
    };
    std::thread::spawn(bind).join().unwrap()
}

#[test]
fn a_discovery_that_cannot_start_is_told_until_it_works() {
    let Some(room) = Room::new("deaf") else { return };
    let mut a = room.seat("a");
    // Another program that holds the port of mDNS for itself.
    let holder = hold_mdns_port(&a);
    a.start();
    let told = a.until("the problem is in the snapshot", SOON, || {
        let problems = a.snapshot()["problems"].as_array().unwrap().clone();
        problems.into_iter().find(|p| p["code"] == "discovery_failed")
    });
    assert!(told["hint"].as_str().unwrap().contains("--peer"), "{told}");
    let out = a.cli(&["doctor"]);
    assert_eq!(out.code, 1, "{}", out.stdout);
    assert_eq!(statuses(&out, "discovery"), ["failed"], "{}", out.stdout);
    drop(holder);
    a.until("it works again", LONG, || a.snapshot()["problems"].as_array().unwrap().is_empty().then_some(()));
    let b = room.peer("b");
    a.sees(&b);
}
