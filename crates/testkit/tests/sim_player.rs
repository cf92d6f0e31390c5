//! Whole engines of the devices of one player, through everything that can go wrong: nothing is lost, everybody agrees, and
//! what differs is a conflict everywhere. Each seed is run twice and has to leave the same trace.
//!
//! `BONFIRE_PLAYER_SEED=17 cargo test -p bonfire-testkit --test sim_player -- --nocapture` replays seed 17 and prints its
//! trace; `BONFIRE_PLAYER_SEEDS=100000` soaks.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bonfire_testkit::sim_player::{Outcome, Planted, run, run_planted, run_with_all_databases_lost};

/// Seeds of an ordinary run.
const SEEDS: u64 = 1_000;
/// Seeds in which all databases are lost.
const DATABASE_SEEDS: u64 = 40;
/// Seeds within which a wrong rule has to be caught.
const PLANTED_SEEDS: u64 = 200;

/// What has to happen in an ordinary run: a fault that never happened proves nothing.
const FIRED: &[&str] = &[
    "a fetch cut off",
    "a game takes its save away while it runs",
    "a source that brings half",
    "a source that brings nothing",
    "an edit survived",
    "back to an earlier content",
    "clock step",
    "conflict in the end",
    "conflict seen",
    "connection cut",
    "crash after a record",
    "crash after an apply before its record",
    "crash before a record",
    "crash between a store's put and the record",
    "crash in a fetch",
    "crash in a look",
    "cut mid-batch",
    "database lost",
    "database lost on all devices",
    "deleted or released",
    "device paired again",
    "device removed",
    "disk full",
    "disk full in a fetch",
    "edit",
    "edit in turn",
    "folder emptied",
    "game runs",
    "healed",
    "left alone",
    "messages lost with their connection",
    "newer came while the game ran",
    "off for long",
    "parted",
    "pin",
    "play session",
    "poisoned clock",
    "pruned",
    "push over shown heads",
    "pushed",
    "reordered across connections",
    "request answered twice",
    "request unanswered",
    "resolve with a named one",
    "resolve with both",
    "resolve with mine",
    "resolve with theirs",
    "resolved",
    "rolled back",
    "save held",
    "switched",
    "the same content on two devices",
    "two resolutions at once",
    "written to before an apply",
    "written to during a look",
    "written while work is under way",
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|v| v.parse().ok())
}

fn replay(seed: u64, test: &str) -> String {
    format!("replay: BONFIRE_PLAYER_SEED={seed} cargo test -p bonfire-testkit --test sim_player {test} -- --nocapture")
}

/// Runs seeds on all processors, each twice, or the one that the environment names, aloud. What fired, in all of them.
fn all_hold(test: &str, seeds: u64, run: fn(u64, bool) -> Outcome) -> Option<BTreeMap<&'static str, u64>> {
    if let Some(seed) = number("BONFIRE_PLAYER_SEED") {
        let outcome = run(seed, true);
        eprintln!("{}", outcome.lines.join("\n"));
        assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
        return None;
    }
    let next = AtomicU64::new(0);
    let failures = Mutex::new(Vec::new());
    let fired: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds {
                        return;
                    }
                    let (once, twice) = (run(seed, false), run(seed, false));
                    let mut wrong = once.violations;
                    if once.trace != twice.trace {
                        wrong.push("P16: it is another run the second time".to_owned());
                    }
                    if !wrong.is_empty() {
                        let replay = replay(seed, test);
                        eprintln!("seed {seed} failed: {wrong:#?}\n{replay}");
                        failures.lock().unwrap().push(format!("seed {seed}: {}\n{replay}", wrong.join("\n  ")));
                    }
                    let mut all = fired.lock().unwrap();
                    for (what, times) in once.tally {
                        *all.entry(what).or_default() += times;
                    }
                }
            });
        }
    });
    let (failures, fired) = (failures.into_inner().unwrap(), fired.into_inner().unwrap());
    eprintln!("{seeds} seeds: {fired:?}");
    assert!(failures.is_empty(), "{} of {seeds} seeds failed:\n{}", failures.len(), failures.join("\n"));
    Some(fired)
}

#[test]
fn devices_that_write_part_crash_and_lose_things_lose_no_save_and_agree() {
    let seeds = number("BONFIRE_PLAYER_SEEDS").unwrap_or(SEEDS);
    let test = "devices_that_write_part_crash_and_lose_things_lose_no_save_and_agree";
    let Some(fired) = all_hold(test, seeds, run) else { return };
    let never: Vec<_> = FIRED.iter().filter(|what| !fired.contains_key(*what)).collect();
    assert!(seeds < SEEDS || never.is_empty(), "never happened: {never:?}");
}

#[test]
fn deleting_the_database_on_every_device_loses_nothing_but_settings() {
    let test = "deleting_the_database_on_every_device_loses_nothing_but_settings";
    let Some(fired) = all_hold(test, DATABASE_SEEDS, run_with_all_databases_lost) else { return };
    assert_eq!(fired.get("database lost on all devices"), Some(&DATABASE_SEEDS));
    assert!(fired.contains_key("a conflict before the databases were lost"), "no device had a conflict: {fired:?}");
}

/// The properties that refuse a wrong rule, in the first seed that does.
fn caught(planted: Planted) -> String {
    let found = (0..PLANTED_SEEDS).map(|seed| run_planted(seed, planted)).find(|o| !o.violations.is_empty());
    let found = found.unwrap_or_else(|| panic!("{PLANTED_SEEDS} seeds hold with {planted:?}"));
    eprintln!("{planted:?}: {:?}", found.violations);
    found.violations.join("\n")
}

#[test]
fn a_device_on_which_the_newest_wins_by_the_clock_is_caught() {
    let why = caught(Planted::NewestWins);
    assert!(why.contains("P2") || why.contains("P4"), "{why}");
}

#[test]
fn a_device_that_fast_forwards_without_looking_is_caught() {
    let why = caught(Planted::NoLookBeforeApply);
    assert!(why.contains("P1:"), "{why}");
}

#[test]
fn a_device_that_forgets_a_version_at_a_crash_is_caught() {
    let why = caught(Planted::ForgottenAtCrash);
    assert!(why.contains("P2"), "{why}");
}
