//! Crash layer A for installs: after a crash at any step, within a recovery, or an error at any operation, the old install or
//! the new one is there, whole, with every file of the player.

#![allow(clippy::print_stdout, reason = "the counts are the result")]

use bonfire_testkit::model_disk::installs::{Blind, Slip, Work, Write, explore_installs, explore_writers};
use bonfire_testkit::model_disk::{Effort, Report};

const EFFORT: Effort =
    Effort { enumerate_to: 64, samples: 24, nested: 3, kill_every: 1, fail_every: 1, seed: 1, stop_early: false };

#[test]
fn every_crash_and_error_leaves_the_old_install_or_the_new_one_with_the_players_files() {
    let mut total = Report::default();
    for work in Work::ALL {
        let (report, _) = explore_installs(work, None, &EFFORT);
        println!("{work:?}: {report:?}");
        total.add(report);
    }
    assert_eq!(total.violations, 0, "{:#?}", total.first);
    assert!(total.points > 100 && total.states > 500 && total.nested > 500 && total.errors > 200, "{total:?}");
}

#[test]
fn a_careless_install_is_caught() {
    for (slip, work) in Slip::ALL {
        let effort = Effort { fail_every: 0, nested: 0, stop_early: true, ..EFFORT };
        let (report, fired) = explore_installs(work, Some(slip), &effort);
        println!("{slip:?} fired {fired}: {:?}", report.first.first());
        assert!(fired > 0, "{slip:?} never came about");
        assert!(report.violations > 0, "{slip:?} was not caught in {work:?}");
    }
}

#[test]
fn what_a_program_writes_to_an_install_at_any_moment_is_there_afterwards() {
    for (write, work) in Write::ALL {
        let report = explore_writers(write, work, None);
        println!("{write:?} during {work:?}: {report:?}");
        assert_eq!(report.violations, 0, "{:#?}", report.first);
        assert!(report.points > 10, "{report:?}");
    }
}

#[test]
fn work_that_looks_only_once_is_caught() {
    for (blind, write, work) in Blind::ALL {
        let report = explore_writers(write, work, Some(blind));
        println!("{blind:?}: {:?}", report.first.first());
        assert!(report.violations > 0, "{blind:?} was not caught in {work:?}");
    }
}
