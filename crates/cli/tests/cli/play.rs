//! `bonfire play` without a running peer: the game is a person's, and runs all the same. What a catalog says of how it is
//! started is believed only within bounds.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Peer, Said, run};

fn play(args: &[&str], command: &[&str]) -> Said {
    let home = Peer::home();
    let data_dir = home.path().join("data").display().to_string();
    run(&[&["play", "quake", "--data-dir", &data_dir], args, &["--"], command].concat())
}

#[test]
fn a_game_runs_without_a_peer_and_its_exit_code_is_that_of_play() {
    let said = play(&[], &["sh", "-c", "echo played; exit 7"]).expect(7);
    assert_eq!(said.out, "played\n");
    assert!(said.err.contains("no peer is running") && said.err.contains("bonfire run"), "{}", said.err);
}

#[test]
fn a_game_that_a_signal_ended_counts_128_and_its_number() {
    play(&[], &["sh", "-c", "kill -TERM $$"]).expect(128 + 15);
}

#[test]
fn what_the_game_prints_is_no_json_and_goes_to_stderr() {
    let said = play(&["--json"], &["sh", "-c", "echo played"]).expect(0);
    assert!(said.json().iter().any(|line| line["playing"]["pid"].is_u64()), "{}", said.out);
    assert!(said.err.contains("played"), "{}", said.err);
}

#[test]
fn a_program_that_is_not_there_is_not_found() {
    let said = play(&[], &["no-such-game-anywhere"]).expect(5);
    assert!(said.err.contains("error: cannot start no-such-game-anywhere"), "{}", said.err);
}

#[test]
fn who_insists_on_a_peer_gets_no_game_without_one() {
    let said = play(&["--strict"], &["sh", "-c", "echo played"]).expect(4);
    assert_eq!(said.out, "");
}

/// Installs quake, to be started like this.
fn install(games: &Path, start: &Value) {
    let local = games.join("quake/local");
    std::fs::create_dir_all(&local).unwrap();
    std::fs::write(local.join("start.sh"), "#!/bin/sh\necho started \"$@\"\nexit 7\n").unwrap();
    std::fs::set_permissions(local.join("start.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let entry = json!({ "id": "quake", "name": "Quake", "start": { std::env::consts::OS: start } });
    std::fs::write(games.join("catalog.json"), json!({ "format": 1, "games": [entry] }).to_string()).unwrap();
}

#[test]
fn a_game_is_started_as_its_catalog_says_also_when_no_peer_runs() {
    let mut peer = Peer::start(&[], |games| install(games, &json!({ "run": ["./start.sh", "-x"] })));
    assert_eq!(peer.run(&["play", "quake"]).expect(7).out, "started -x\n");
    peer.running.tell(r#"{"peer":"shut_down"}"#);
    assert!(peer.running.end().success());
    let said = peer.run(&["play", "quake"]).expect(7);
    assert_eq!(said.out, "started -x\n");
    assert!(said.err.contains("no peer is running"), "{}", said.err);
    assert_eq!(peer.run(&["play", "doom", "--json"]).expect(5).json().pop().unwrap()["error"]["code"], "not_installed");
    assert_eq!(peer.run(&["play", "quake", "--strict"]).expect(4).out, "");
}

#[test]
fn a_start_that_leads_out_of_the_game_is_refused_with_where_it_leads() {
    let home = Peer::home();
    let (data, games) = (home.path().join("data"), home.path().join("data/games"));
    let play = |start: Value| {
        install(&games, &start);
        run(&["play", "quake", "--json", "--data-dir", data.to_str().unwrap()])
    };
    let refused = |said: Said, words: &str| {
        let error = said.expect(3).json().pop().unwrap()["error"].clone();
        assert_eq!(error["code"], "program_outside", "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    play(json!({ "run": ["./start.sh"] })).expect(7);
    let local = games.join("quake/local");
    symlink("start.sh", local.join("again")).unwrap();
    play(json!({ "run": ["./again"] })).expect(7);
    let tool = home.path().join("tool");
    std::fs::copy(local.join("start.sh"), &tool).unwrap();
    symlink(&tool, local.join("tool")).unwrap();
    symlink(home.path(), local.join("away")).unwrap();
    refused(play(json!({ "run": ["./tool"] })), tool.to_str().unwrap());
    refused(play(json!({ "run": ["tool"] })), tool.to_str().unwrap());
    refused(play(json!({ "run": ["away/tool"] })), tool.to_str().unwrap());
    refused(play(json!({ "run": ["./start.sh"], "folder": "away" })), "away");
    // A program of the machine is a person's to choose.
    play(json!({ "run": ["true"] })).expect(0);
    refused(play(json!({ "run": ["true", "a b"], "imported": true })), "bonfire play quake -- true 'a b'");
    play(json!({ "run": ["./start.sh"], "imported": true })).expect(7);
    std::fs::remove_file(games.join("catalog.json")).unwrap();
    symlink(&tool, games.join("quake/game_start.sh")).unwrap();
    refused(run(&["play", "quake", "--json", "--data-dir", data.to_str().unwrap()]), tool.to_str().unwrap());
}
