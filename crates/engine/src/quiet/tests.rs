use std::time::Duration;

use bonfire_proto::GameId;

use super::{OFFER_AFTER, Quiet};
use crate::time::Instant;

fn doom() -> GameId {
    GameId::new("doom").expect("a plain name")
}

fn at(ms: u64) -> Instant {
    Instant(ms)
}

#[test]
fn a_folder_is_read_half_a_second_after_the_last_change_and_offered_after_two() {
    let mut quiet = Quiet::default();
    quiet.changed(at(0), &doom(), true);
    quiet.changed(at(400), &doom(), false);
    assert!(quiet.to_read(at(899)).is_empty());
    assert_eq!(quiet.to_read(at(900)), [doom()]);
    quiet.read(&doom());
    assert!(quiet.is_held(&doom()) && quiet.settle(at(2_399), |_| true).is_empty());
    assert_eq!(quiet.next_deadline(|_| true), Some(at(400) + OFFER_AFTER));
    assert_eq!(quiet.settle(at(2_400), |_| true), [doom()]);
    assert!(!quiet.is_held(&doom()));
    assert_eq!(quiet.next_deadline(|_| true), None);
}

#[test]
fn a_folder_that_never_rests_is_read_all_the_same_and_not_offered() {
    let mut quiet = Quiet::default();
    let mut reads = 0;
    for ms in (0..60_000).step_by(100) {
        quiet.changed(at(ms), &doom(), true);
        if !quiet.to_read(at(ms)).is_empty() {
            reads += 1;
            quiet.read(&doom());
        }
        assert!(quiet.settle(at(ms), |_| true).is_empty() && quiet.is_held(&doom()), "at {ms}");
    }
    assert!((4..=6).contains(&reads), "{reads}");
}

#[test]
fn a_change_after_the_look_began_keeps_it_from_being_offered_until_the_next_look() {
    let mut quiet = Quiet::default();
    quiet.changed(at(0), &doom(), true);
    quiet.read(&doom());
    quiet.changed(at(10), &doom(), false);
    assert!(quiet.settle(at(60_000), |_| true).is_empty());
    quiet.read_all();
    assert_eq!(quiet.settle(at(60_000), |_| true), [doom()]);
}

#[test]
fn a_look_under_way_is_waited_for_without_a_deadline_that_has_passed() {
    let mut quiet = Quiet::default();
    quiet.changed(at(0), &doom(), true);
    quiet.read(&doom());
    let later = at(0) + OFFER_AFTER + Duration::from_secs(5);
    assert!(quiet.settle(later, |_| false).is_empty());
    assert_eq!(quiet.next_deadline(|_| false), None);
    assert_eq!(quiet.settle(later, |_| true), [doom()]);
}

#[test]
fn a_change_that_alters_nothing_holds_nothing() {
    let mut quiet = Quiet::default();
    quiet.changed(at(0), &doom(), false);
    quiet.read(&doom());
    assert!(!quiet.is_held(&doom()));
    assert!(quiet.settle(at(9_000), |_| true).is_empty());
    quiet.found_other(&doom());
    assert!(!quiet.is_held(&doom()), "nobody is at it any more");
}
