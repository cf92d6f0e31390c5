//! Crash layer A for pictures of snapshots: each is there whole or not at all after a crash at any step or an error at any
//! operation, and the save beside them is as it was.

#![allow(clippy::print_stdout, reason = "the counts are the result")]

use bonfire_testkit::model_disk::saves::{Pictured, explore_pictures};
use bonfire_testkit::model_disk::{Effort, Report};

const EFFORT: Effort =
    Effort { enumerate_to: 64, samples: 30, nested: 0, kill_every: 1, fail_every: 1, seed: 1, stop_early: false };

#[test]
fn p21_every_crash_and_error_leaves_a_picture_whole_or_absent_and_the_save_unharmed() {
    let mut total = Report::default();
    for what in Pictured::ALL {
        let report = explore_pictures(what, &EFFORT);
        println!("{what:?}: {report:?}");
        total.add(report);
    }
    assert_eq!(total.violations, 0, "{:#?}", total.first);
    assert!(total.points > 20 && total.states > 100 && total.kills > 20 && total.errors > 50, "{total:?}");
}

#[test]
fn a_picture_that_is_put_carelessly_is_caught() {
    for what in Pictured::PLANTED {
        let report = explore_pictures(what, &Effort { fail_every: 0, ..EFFORT });
        println!("{what:?}: {:?}", report.first.first());
        let is_about_it = |said: &String| said.contains("a listed picture is") || said.contains("picture 2 is gone");
        assert!(report.first.iter().any(is_about_it), "{what:?} was not caught: {:?}", report.first);
    }
}
