//! Every room of two or three devices in which little happens: ancestry, joins and resolutions hold in all of them, and each
//! rule that would be wrong breaks a promise in one, so the search would see it.
//!
//! The devices run the real `Slot` with the real builders of snapshots; the disk, the network and the player are made up
//! (`device.rs`, `room.rs`). What is right is said apart from all of them (`promises.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    missing_docs,
    unreachable_pub,
    reason = "a test may stop at the first surprise, and says how much it saw"
)]

mod device;
mod promises;
mod room;
mod shelf;

use std::collections::BTreeSet;

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use device::{Apply, Join, OURS, Resolve, Rules, Settle};
use promises::*;
use room::{Action, Room, Rooms, Scope};

const TWO: Scope =
    Scope { devices: 2, edits: 2, commons: 0, resolutions: 0, deletions: 0, vanishings: 0, losses: 0, words: 1 };
const THREE: Scope = Scope { devices: 3, ..TWO };

/// All that comes about must hold, `least` rooms or more must have come about, and these things in some of them.
fn holds(scope: Scope, least: usize, comes_about: &[&'static str]) {
    let failures = HasDiscoveries::AnyFailures;
    let checker = Rooms::new(scope, OURS).checker().threads(1).finish_when(failures).spawn_bfs().join();
    eprintln!("{scope:?}: {} rooms, {} steps deep", checker.unique_state_count(), checker.max_depth() - 1);
    for property in checker.model().properties() {
        let found = checker.discovery(property.name);
        if matches!(property.expectation, Expectation::Always) {
            let found = found.map(|path| told(checker.model(), path));
            assert!(found.is_none(), "does not hold: {}\n{}", property.name, found.unwrap_or_default());
        } else if comes_about.contains(&property.name) {
            assert!(found.is_some(), "never came about: {}", property.name);
        }
    }
    assert!(checker.is_done());
    assert!(checker.unique_state_count() >= least, "{} rooms are too few", checker.unique_state_count());
}

/// A rule breaks this promise in some room.
fn breaks(rules: Rules, scope: Scope, promise: &'static str) {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let checker = Rooms::new(scope, rules).checker().threads(1).finish_when(found).spawn_bfs().join();
    let path = checker.discovery(promise);
    let path = path.unwrap_or_else(|| panic!("{rules:?} holds in all of {} rooms", checker.unique_state_count()));
    eprintln!("{rules:?} breaks in {} steps: {promise}", path.into_actions().len());
}

fn told(rooms: &Rooms, path: Path<Room, Action>) -> String {
    let devices = rooms.devices(path.last_state());
    let actions = path.into_actions().into_iter().map(|action| format!("  {action:?}\n"));
    actions.chain(devices.iter().map(|device| format!("  {device:?}\n"))).collect()
}

#[test]
fn two_devices_that_edit_delete_lose_files_and_resolve() {
    let scope = Scope { commons: 2, resolutions: 2, deletions: 1, vanishings: 1, ..TWO };
    holds(scope, 40_000, &[SEEN_EVERYWHERE, RESOLVED_EVERYWHERE, CONFLICT_AGAIN, JOINED, IN_TURN, SPARED, SURVIVED]);
}

#[test]
fn two_devices_that_hear_each_other_late() {
    let scope = Scope { edits: 3, commons: 1, resolutions: 2, words: 3, ..TWO };
    holds(scope, 15_000, &[SEEN_EVERYWHERE, RESOLVED_EVERYWHERE, CONFLICT_AGAIN, JOINED, IN_TURN, SPARED]);
}

#[test]
fn two_devices_that_hear_late_and_fetch_in_vain() {
    let scope = Scope { commons: 1, resolutions: 2, losses: 2, words: 3, ..TWO };
    holds(scope, 2_000, &[SEEN_EVERYWHERE, RESOLVED_EVERYWHERE, CONFLICT_AGAIN, IN_TURN, SPARED]);
}

#[test]
fn three_devices_that_edit_alike_and_resolve() {
    let scope = Scope { commons: 2, resolutions: 1, ..THREE };
    holds(scope, 90_000, &[SEEN_EVERYWHERE, RESOLVED_EVERYWHERE, JOINED, IN_TURN, SPARED]);
}

#[test]
fn three_devices_of_which_two_resolve_at_once() {
    let scope = Scope { resolutions: 2, ..THREE };
    holds(scope, 200_000, &[SEEN_EVERYWHERE, RESOLVED_EVERYWHERE, CONFLICT_AGAIN, IN_TURN, SPARED]);
}

#[test]
fn three_devices_that_all_edit() {
    holds(Scope { edits: 3, ..THREE }, 50_000, &[SEEN_EVERYWHERE, IN_TURN, SPARED]);
}

#[test]
fn three_devices_of_which_one_deletes() {
    holds(Scope { deletions: 1, ..THREE }, 40_000, &[SEEN_EVERYWHERE, IN_TURN, SPARED, SURVIVED]);
}

#[test]
fn three_devices_that_fetch_in_vain_or_hear_late() {
    holds(Scope { commons: 1, losses: 1, ..THREE }, 15_000, &[SEEN_EVERYWHERE, IN_TURN, SPARED]);
    holds(Scope { commons: 1, words: 2, ..THREE }, 5_000, &[SEEN_EVERYWHERE, IN_TURN, SPARED]);
}

#[test]
fn the_newest_by_the_clock_wins_and_the_other_is_forgotten() {
    let rules = Rules { settle: Settle::Newest, ..OURS };
    breaks(rules, TWO, NO_MISSED_CONFLICT);
    breaks(rules, THREE, NOTHING_FORGOTTEN);
    breaks(rules, THREE, AGREEMENT);
}

#[test]
fn a_fast_forward_that_does_not_look_again_writes_over_what_nobody_has() {
    breaks(Rules { apply: Apply::Blindly, ..OURS }, TWO, NOTHING_WRITTEN_OVER);
    breaks(Rules { apply: Apply::Blindly, ..OURS }, THREE, NOTHING_WRITTEN_OVER);
}

#[test]
fn a_device_that_takes_theirs_without_asking_hides_a_conflict_and_goes_back_and_forth() {
    let rules = Rules { settle: Settle::Theirs, ..OURS };
    breaks(rules, TWO, NO_MISSED_CONFLICT);
    breaks(rules, THREE, FORWARD);
}

#[test]
fn a_resolution_made_from_one_side_alone_settles_nothing() {
    let rules = Rules { resolve: Resolve::OneParent, ..OURS };
    breaks(rules, Scope { resolutions: 1, ..TWO }, NO_FALSE_CONFLICT);
    breaks(rules, Scope { resolutions: 1, ..THREE }, AGREEMENT);
}

#[test]
fn joins_that_name_who_made_them_have_no_end() {
    let scope = Scope { commons: 2, words: 2, ..TWO };
    breaks(Rules { join: Join::Signed, ..OURS }, scope, FEW_SNAPSHOTS);
    holds(scope, 100, &[JOINED]);
}

/// What is known to be wanting: a head is joined as soon as it is heard of, so two devices each of whose words is one join
/// behind when it arrives go on as long as that lasts. Nothing is lost or asked, and one word in time ends it.
#[test]
fn joins_of_words_that_are_always_late_have_no_end() {
    breaks(OURS, Scope { commons: 2, deletions: 1, words: 2, ..TWO }, FEW_SNAPSHOTS);
}
