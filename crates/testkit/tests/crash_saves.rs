//! Crash layer A for saves: the store, captures, applies and whole operations over a disk that loses, reorders and tears
//! what was not synced.
//!
//! `BONFIRE_CRASH=full` explores more and longer; `BONFIRE_SEED` moves the samples. Either way one line of JSON says how
//! much was tried and what was found.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "the counts are the result")]

use bonfire_testkit::model_disk::saves::{Bug, SCENARIOS, explore};
use bonfire_testkit::model_disk::{Effort, Report};

fn seed() -> u64 {
    std::env::var("BONFIRE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn effort() -> Effort {
    let seed = seed();
    if std::env::var("BONFIRE_CRASH").is_ok_and(|v| v == "full") {
        let (enumerate_to, samples) = (512, 200);
        return Effort { enumerate_to, samples, nested: 24, kill_every: 1, fail_every: 1, seed, stop_early: false };
    }
    Effort { enumerate_to: 32, samples: 8, nested: 2, kill_every: 2, fail_every: 5, seed, stop_early: false }
}

/// Explores those scenarios that are whole operations, or the others, and says what was tried.
fn explored(are_whole_operations: bool) -> Report {
    let mut total = Report::default();
    for scenario in SCENARIOS.iter().filter(|s| s.is_whole_operation() == are_whole_operations) {
        let start = std::time::Instant::now();
        let (report, _) = explore(scenario, None, &effort());
        println!("{:24} {:6.2?} {}", scenario.name, start.elapsed(), serde_json::to_string(&report).unwrap());
        total.add(report);
    }
    println!(
        "{{\"layer\":\"A\",\"of\":\"saves\",\"seed\":{},\"total\":{}}}",
        seed(),
        serde_json::to_string(&total).unwrap()
    );
    assert_eq!(total.violations, 0, "{:#?}", total.first);
    total
}

#[test]
fn every_crash_state_of_every_change_to_saves_recovers() {
    let total = explored(false);
    assert!(total.points > 300 && total.states > 1_000 && total.nested > 300 && total.kills > 50 && total.errors > 500);
}

#[test]
fn every_crash_state_of_copies_resolving_rolling_back_pruning_and_archives_recovers_and_can_be_gone_on_from() {
    let total = explored(true);
    assert!(total.points > 200 && total.states > 1_000 && total.nested > 300 && total.kills > 50 && total.errors > 500);
}

#[test]
fn every_planted_bug_in_saves_is_caught() {
    let (mut planted, mut caught) = (0, 0);
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        planted += 1;
        let start = std::time::Instant::now();
        let (mut harm, mut how) = (0, None);
        let (likely, others): (Vec<_>, Vec<_>) = SCENARIOS.iter().partition(|s| s.name == bug.shows_in());
        for scenario in likely.into_iter().chain(others) {
            // A torn step is one of dozens that are pending; the first that shows ends the search.
            let samples = effort().samples.max(60);
            let mut effort = Effort { stop_early: true, fail_every: 0, samples, ..effort() };
            if bug.needs_errors() {
                effort = Effort { enumerate_to: 1, samples: 2, nested: 0, kill_every: 0, fail_every: 1, ..effort };
            }
            let (report, fired) = explore(scenario, Some(bug), &effort);
            harm += fired;
            if let Some(first) = report.first.into_iter().next() {
                how = Some(first);
                break;
            }
        }
        match how {
            Some(how) if harm > 0 => {
                caught += 1;
                println!("{bug:?} ({:.1?}): {}", start.elapsed(), how.chars().take(200).collect::<String>());
            }
            other => missed.push(format!("{bug:?}: harm done {harm} times, {other:?}")),
        }
    }
    println!("{{\"layer\":\"A\",\"of\":\"saves\",\"seed\":{},\"planted\":{planted},\"caught\":{caught}}}", seed());
    assert_eq!(caught, planted, "{missed:#?}");
}
