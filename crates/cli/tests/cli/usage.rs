//! What the command line refuses, and what needs no peer.

use crate::harness::{Peer, run, said};

#[test]
fn usage_errors_exit_with_2_and_say_what_is_wrong() {
    for args in [
        &["dance"][..],
        &["get"],
        &["get", "../x"],
        &["run", "--listen", "here"],
        &["demo", "--size", "1"],
        &["completions", "sh"],
        &["saves"],
        &["saves", "resolve", "quake"],
        &["saves", "release", "quake"],
        &["saves", "switch", "quake"],
        &["saves", "retention", "quake", "--keep", "0"],
        &["play"],
        &[],
    ] {
        let said = run(args).expect(2);
        assert_eq!(said.out, "", "{args:?}");
        assert!(said.err.starts_with("error: ") && said.err.contains("\nhint: "), "{args:?}: {}", said.err);
    }
}

#[test]
fn usage_errors_are_one_json_object_for_scripts() {
    for args in [&["--json", "dance"][..], &["get", "--json"], &["get", "..", "--json"], &["--json"]] {
        let said = run(args).expect(2);
        let lines = said.json();
        assert_eq!(lines.len(), 1, "{args:?}");
        assert_eq!(lines[0]["error"]["code"], "usage");
        assert!(!lines[0]["error"]["message"].as_str().unwrap().is_empty());
        assert!(!lines[0]["error"]["hint"].as_str().unwrap().is_empty());
    }
}

#[test]
fn every_command_for_a_peer_exits_with_4_when_none_runs() {
    let home = Peer::home();
    let data_dir = home.path().join("data").display().to_string();
    let out = home.path().join("out.json").display().to_string();
    for command in [
        &["status"][..],
        &["peers"],
        &["games"],
        &["games", "--room"],
        &["get", "quake"],
        &["cancel", "quake"],
        &["remove", "quake"],
        &["verify", "quake"],
        &["catalog", "list"],
        &["catalog", "add", "quake"],
        &["catalog", "remove", "quake"],
        &["catalog", "export", &out],
        &["saves", "list"],
        &["saves", "add", "quake", "saves"],
        &["saves", "push", "quake"],
        &["saves", "history", "quake"],
        &["saves", "conflicts"],
        &["saves", "verify"],
        &["saves", "audit"],
        &["devices", "list"],
        &["devices", "pair"],
        &["devices", "pair", "--code", "C7H-4PX"],
        &["devices", "remove", "deck", "--yes"],
        &["play", "quake", "--strict", "--", "true"],
    ] {
        let args = [&["--json", "--data-dir", &data_dir][..], command].concat();
        let said = run(&args).expect(4);
        let lines = said.json();
        assert_eq!(lines.len(), 1, "{command:?}");
        assert_eq!(lines[0]["error"]["code"], "no_peer_running");
        assert!(said.err.contains("hint: start one with: bonfire run"), "{}", said.err);
    }
    assert!(!home.path().join("data").exists(), "asking makes no folder");
}

#[test]
fn the_data_folder_can_come_from_the_environment() {
    let home = Peer::home();
    let said = said(crate::harness::program().arg("status").env("BONFIRE_DATA_DIR", home.path())).expect(4);
    assert!(said.err.contains(&home.path().display().to_string()), "{}", said.err);
}

#[test]
fn help_version_completions_and_the_manual_need_no_peer() {
    assert!(run(&["--help"]).expect(0).out.contains("Exit codes: 0 done"));
    assert!(run(&["get", "--help"]).expect(0).out.contains("--from"));
    assert_eq!(run(&["--version", "--json"]).expect(0).json()[0]["version"], env!("CARGO_PKG_VERSION"));
    assert!(run(&["--help", "--json"]).expect(0).json()[0]["help"].is_string());
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(run(&["completions", shell]).expect(0).out.contains("catalog"), "{shell}");
        assert_eq!(run(&["--json", "completions", shell]).expect(0).json().len(), 1);
    }
    let page = run(&["man"]).expect(0).out;
    assert!(page.contains(".TH bonfire 1") && page.contains("BONFIRE CATALOG"), "{page}");
    assert!(run(&["man", "--json"]).expect(0).json()[0]["roff"].is_string());
}

#[test]
fn what_is_piped_has_no_colour() {
    for args in [&["--help"][..], &["dance"], &["status", "--data-dir", "/nonexistent/bonfire"]] {
        let said = run(args);
        assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{args:?}");
    }
}
