//! Whole peers over a simulated network and model disks: hundreds of rooms in which everything goes wrong that the seed
//! says, and after each of which the room agrees and no game is a mix.
//!
//! `BONFIRE_SEEDS=17..18 cargo test -p bonfire-testkit --test rooms_simulated` replays seed 17;
//! `BONFIRE_SIM_LOG=debug` prints what its peers log, `BONFIRE_SIM_EVENTS=1` everything that was seen.
//! `BONFIRE_TWICE=all` runs every seed twice instead of a sample.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test may stop at the first surprise")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use bonfire_testkit::sim_net::Counts;
use bonfire_testkit::sim_room::{ErrorLines, Outcome, Tally, run_seed};

/// Seeds of an ordinary run.
const SEEDS: u64 = 200;
/// Every so many-th seed is run twice.
const TWICE_EVERY: u64 = 5;
/// Real time after which a seed hangs: a peer spins without virtual time going on. The slowest takes a few seconds.
const HANGS_AFTER: Duration = Duration::from_secs(120);

fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("BONFIRE_SEEDS") else { return 0..SEEDS };
    let (from, to) = asked.split_once("..").expect("BONFIRE_SEEDS is FROM..TO");
    from.parse().unwrap()..to.parse().unwrap()
}

fn run(seed: u64) -> Outcome {
    let loud = std::env::var("BONFIRE_SIM_LOG").ok().map(|l| l.parse().unwrap());
    // Nothing inside a room can notice that its time stands still.
    let (done, over) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if over.recv_timeout(HANGS_AFTER) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("seed {seed} hangs\n{}", replay(seed));
            std::process::exit(1);
        }
    });
    let outcome = run_seed(seed, &ErrorLines::new(loud)).unwrap();
    drop(done);
    guard.join().unwrap();
    outcome
}

fn replay(seed: u64) -> String {
    format!("replay: BONFIRE_SEEDS={seed}..{} cargo test -p bonfire-testkit --test rooms_simulated", seed + 1)
}

/// Where two logs of one seed part.
fn difference(a: &Outcome, b: &Outcome) -> String {
    let at = a.log.iter().zip(&b.log).position(|(x, y)| x != y);
    match at {
        Some(at) => format!("line {at}:\n  {}\n  {}", a.log[at], b.log[at]),
        None => format!("only in packets or length: {} and {} lines", a.log.len(), b.log.len()),
    }
}

#[test]
fn peers_agree_and_hold_whole_games_after_loss_cuts_crashes_and_cancels() {
    let seeds = seeds();
    let whole = std::env::var("BONFIRE_SEEDS").is_err();
    let twice = if std::env::var("BONFIRE_TWICE").is_ok() { 1 } else { TWICE_EVERY };
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let outcomes = Mutex::new(Vec::new());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(8) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let outcome = run(seed);
                    if std::env::var("BONFIRE_SIM_EVENTS").is_ok() {
                        eprintln!("{}", outcome.log.join("\n"));
                    }
                    if !outcome.violations.is_empty() {
                        let what = outcome.violations.join("\n  ");
                        eprintln!("seed {seed} failed:\n  {what}\n{}\n{}", replay(seed), outcome.tail);
                        failures.lock().unwrap().push(format!("seed {seed}: {what}\n{}", replay(seed)));
                    }
                    if seed.is_multiple_of(twice) {
                        let again = run(seed);
                        if (again.packets, again.events) != (outcome.packets, outcome.events) {
                            let what = format!("seed {seed} is not repeatable: {}", difference(&outcome, &again));
                            eprintln!("{what}\n{}", replay(seed));
                            failures.lock().unwrap().push(what);
                        }
                    }
                    outcomes.lock().unwrap().push(outcome);
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let failures = failures.into_inner().unwrap();
    let (mut tally, mut net, mut elapsed) = (Tally::default(), Counts::default(), 0u64);
    for o in &outcomes {
        tally.add(&o.tally);
        add(&mut net, &o.net);
        elapsed += o.elapsed.as_secs();
    }
    eprintln!(
        "{} seeds, {} s of virtual time in {:.1} s\n{net:?}\n{tally:?}",
        outcomes.len(),
        elapsed,
        began.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "{} of {} seeds failed:\n{}", failures.len(), outcomes.len(), failures.join("\n"));
    if whole {
        everything_fired(&net, &tally);
    }
}

fn add(sum: &mut Counts, o: &Counts) {
    sum.sent += o.sent;
    sum.delivered += o.delivered;
    sum.lost += o.lost;
    sum.duplicated += o.duplicated;
    sum.reordered += o.reordered;
    sum.cut += o.cut;
    sum.unreachable += o.unreachable;
    sum.overflowed += o.overflowed;
}

/// A fault that never happened proves nothing.
fn everything_fired(net: &Counts, tally: &Tally) {
    let fired = [
        ("lost", net.lost),
        ("duplicated", net.duplicated),
        ("reordered", net.reordered),
        ("cut", net.cut),
        ("sent to a dead machine", net.unreachable),
        ("crashes", tally.crashes),
        ("crashes in a download", tally.crashes_in_download),
        ("left in order", tally.left),
        ("came back", tally.returned),
        ("databases lost", tally.new_epochs),
        ("writes that failed", tally.failed_writes),
        ("links cut", tally.cuts),
        ("links cut one way", tally.half_cuts),
        ("downloads", tally.downloads),
        ("downloads that reused bytes", tally.reused),
        ("downloads paused", tally.paused),
        ("cancels", tally.cancels),
        ("cancels midway", tally.cancels_midway),
        ("sources dropped", tally.sources_dropped),
        ("removals", tally.removed),
        ("verifications", tally.verified),
        ("repairs", tally.repaired),
        ("changes", tally.changes),
        ("refusals", tally.refusals),
        ("whole games seen", tally.whole),
    ];
    let never: Vec<_> = fired.iter().filter(|(_, n)| *n == 0).map(|(what, _)| *what).collect();
    assert!(never.is_empty(), "never happened: {never:?}");
}
