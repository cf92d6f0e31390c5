//! The doctor: one line for each check, and each failing line says what to do.

use crate::harness::{Peer, Said, run, write_game};

fn check(said: &Said) -> Vec<(String, String)> {
    let lines = said.json();
    let mut checks = Vec::new();
    for line in &lines {
        let (check, status) = (line["check"].as_str().unwrap(), line["status"].as_str().unwrap());
        assert!(["ok", "failed", "skipped"].contains(&status), "{line}");
        assert!(!line["detail"].as_str().unwrap().is_empty(), "{line}");
        assert_eq!(status == "failed", !line["hint"].as_str().unwrap().is_empty(), "{line}");
        checks.push((check.to_owned(), status.to_owned()));
    }
    // The tester's network may well be at fault; the exit code must say so.
    assert_eq!(said.code, i32::from(checks.iter().any(|(_, status)| status == "failed")), "{}", said.out);
    checks
}

fn status<'a>(checks: &'a [(String, String)], wanted: &str) -> Vec<&'a str> {
    checks.iter().filter(|(check, _)| check == wanted).map(|(_, status)| status.as_str()).collect()
}

#[test]
fn without_a_peer_it_checks_what_it_can() {
    let home = Peer::home();
    let checks = check(&run(&["doctor", "--json", "--data-dir", &home.path().display().to_string()]));
    assert_eq!(status(&checks, "peer"), ["skipped"]);
    assert_eq!(status(&checks, "data_folder"), ["ok"]);
    assert_eq!(status(&checks, "games_folder"), ["ok"]);
    assert!(!status(&checks, "interfaces").is_empty());
    assert_eq!(status(&checks, "listener").len(), 1);
    assert_eq!(status(&checks, "discovery").len(), 0, "only a running peer can be discovered");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1, "it leaves nothing behind");
}

#[test]
fn with_two_peers_it_reaches_both_ways() {
    let ann = Peer::start(&["--name", "ann"], |games| write_game(games, "quake", "1.0"));
    let mut ben = Peer::start(&["--name", "ben", "--peer", &ann.listens_on], |_| {});
    ben.running.ever(|line| line["event"]["type"] == "peer_appeared");
    let said = ben.run(&["doctor", "--json"]);
    let checks = check(&said);
    assert_eq!(status(&checks, "peer"), ["ok"]);
    assert_eq!(status(&checks, "listener"), ["ok"], "{}", said.out);
    assert_eq!(status(&checks, "peer_reachable"), ["ok"], "{}", said.out);
    assert_eq!(status(&checks, "clock"), ["ok"], "{}", said.out);
    assert_eq!(status(&checks, "discovery"), ["skipped"], "it was told to be silent: {}", said.out);
    let text = ben.run(&["doctor"]).out;
    assert!(text.contains("peer reachable ann"), "{text}");
    ben.stop();
    ann.stop();
}

#[test]
fn a_games_folder_that_has_vanished_fails_with_advice() {
    let peer = Peer::start(&[], |_| {});
    std::fs::remove_dir_all(peer.games_dir()).unwrap();
    let said = peer.run(&["doctor", "--json"]).expect(1);
    assert_eq!(status(&check(&said), "games_folder"), ["failed"]);
    assert!(said.out.contains("mount the disk"), "{}", said.out);
}
