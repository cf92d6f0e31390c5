//! `bonfire play` without a running peer: the game is a person's, and runs all the same.

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
