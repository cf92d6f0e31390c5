//! Crash layer A: file transactions over a disk that loses, reorders and tears what was not synced.
//!
//! `BONFIRE_CRASH=full` explores more and longer; `BONFIRE_SEED` moves the samples. Either way one line of JSON says how
//! much was tried and what was found.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "the counts are the result")]

use std::io::ErrorKind;
use std::sync::Arc;

use bonfire_disk::{DiskError, GamesFolder};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkRef, GameId, Manifest, ManifestFile, RelPath};
use bonfire_testkit::model_disk::{Bug, Content, Disk, Effort, Failure, ModelFs, Report, SCENARIOS, explore};

fn is_full() -> bool {
    std::env::var("BONFIRE_CRASH").is_ok_and(|v| v == "full")
}

fn seed() -> u64 {
    std::env::var("BONFIRE_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

fn effort() -> Effort {
    let seed = seed();
    if is_full() {
        let (enumerate_to, samples) = (512, 200);
        return Effort { enumerate_to, samples, nested: 24, kill_every: 1, fail_every: 1, seed, stop_early: false };
    }
    Effort { enumerate_to: 64, samples: 16, nested: 4, kill_every: 2, fail_every: 3, seed, stop_early: false }
}

#[test]
fn every_crash_state_of_every_transaction_recovers() {
    let mut total = Report::default();
    for scenario in SCENARIOS {
        let start = std::time::Instant::now();
        let (report, _) = explore(scenario, None, &effort());
        println!("{:24} {:6.2?} {}", scenario.name, start.elapsed(), serde_json::to_string(&report).unwrap());
        total.add(report);
    }
    println!("{{\"layer\":\"A\",\"seed\":{},\"total\":{}}}", seed(), serde_json::to_string(&total).unwrap());
    assert_eq!(total.violations, 0, "{:#?}", total.first);
    assert!(total.points > 300 && total.states > 1_000 && total.nested > 300 && total.kills > 50 && total.errors > 500);
}

#[test]
fn every_planted_bug_is_caught() {
    let (mut planted, mut caught) = (0, 0);
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        planted += 1;
        let start = std::time::Instant::now();
        let (mut harm, mut how) = (0, None);
        let (likely, others): (Vec<_>, Vec<_>) = SCENARIOS.iter().partition(|s| s.name == bug.shows_in());
        for scenario in likely.into_iter().chain(others) {
            let mut effort = Effort { stop_early: true, fail_every: 0, ..effort() };
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
    println!("{{\"layer\":\"A\",\"seed\":{},\"planted\":{planted},\"caught\":{caught}}}", seed());
    assert_eq!(caught, planted, "{missed:#?}");
}

#[test]
fn a_cancel_after_a_commit_that_failed_says_what_came_of_it() {
    let game = GameId::new("game").unwrap();
    let hash = chunk_hash(2, 0, b"1\n");
    let file =
        ManifestFile { path: RelPath::new("version.ini").unwrap(), size: 2, blake3: merge_chunk_hashes(&[hash]) };
    let manifest = Manifest::new(game.clone(), "1".to_owned(), vec![file]);
    let (mut too_late, mut swept) = (0, 0);
    for at in 0.. {
        let fs = ModelFs::over(Disk::new(), false);
        let folder = GamesFolder::over(Arc::new(fs.clone()), "/games".into());
        let mut download = folder.begin_download(&manifest, &[]).unwrap();
        download.writer().write_at(0, 0, b"1\n").unwrap();
        download.mark_verified(ChunkRef { file: 0, chunk: 0 }).unwrap();
        fs.fail(Some(Failure { at: fs.ops() + at, sticky: false, kind: ErrorKind::Other }));
        let committed = download.commit();
        if fs.fired() == 0 {
            break;
        }
        fs.fail(None);
        if committed.is_ok() {
            continue;
        }
        let is_here = |fs: &ModelFs| fs.disk().seen().file("game/version.ini").is_some();
        match folder.discard_recorded(&game) {
            Ok(_) => {
                assert!(!is_here(&fs), "operation {at}: cancelled, and there");
                swept += 1;
            }
            Err(DiskError::Completed { .. }) => {
                assert!(is_here(&fs), "operation {at}: completed, and not there");
                too_late += 1;
            }
            Err(e) => panic!("operation {at}: {e:?}"),
        }
    }
    assert!(too_late > 0 && swept > 0, "{too_late} {swept}");
}

#[test]
fn a_games_folder_that_cannot_be_written_is_recovered_as_far_as_it_can_be_read() {
    let mut disk = Disk::new();
    disk.plant(".catalog.json.tmp", Content::of(b"half"));
    disk.plant("game/version.ini", Content::of(b"1\n"));
    let fs = ModelFs::over(disk, false);
    fs.fail(Some(Failure { at: 0, sticky: true, kind: ErrorKind::ReadOnlyFilesystem }));
    assert!(GamesFolder::over(Arc::new(fs), "/games".into()).recover().unwrap().is_empty());
}
