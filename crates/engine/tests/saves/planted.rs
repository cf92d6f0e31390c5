//! Wrong rules, planted: the properties are worth something only if these break them.

use bonfire_engine::saves::{Action, Decision, Disk, Relation, Situation, decide};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::arranged::{in_turn, is_shown_everywhere, turns};
use crate::cases::{Life, editors, life, lived};
use crate::world::{RULES, Rules, Step, World};

/// Whether some case within the first two thousand breaks a property.
fn breaks<S: Strategy>(of: S, property: impl Fn(S::Value) -> Result<(), String>) -> bool {
    let config = Config { cases: 2_000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng).run(&of, |value| property(value).map_err(TestCaseError::fail)).is_err()
}

/// Whether some life breaks P1 or P4.
fn is_caught(rules: Rules) -> bool {
    is_caught_in(rules, |_| {}, |world| world.check_nothing_lost().and_then(|()| world.check_outcome()))
}

/// The same, where nobody writes in the moment between the last look and the rename: what is caught is the rule, and not
/// that the disk is not looked at again.
fn is_caught_without_races(rules: Rules) -> bool {
    is_caught_in(rules, races_not, |world| world.check_nothing_lost().and_then(|()| world.check_outcome()))
}

fn races_not(life: &mut Life) {
    life.2.retain(|s| !matches!(s, Step::Race(_)));
}

fn is_caught_in(rules: Rules, change: impl Fn(&mut Life), check: fn(&World) -> Result<(), String>) -> bool {
    breaks(life(), |mut life| {
        change(&mut life);
        lived(&life, rules).and_then(|world| check(&world))
    })
}

fn with(decide: fn(&Situation) -> Decision) -> Rules {
    Rules { decide, looks_again: true }
}

/// The decision with what a wrong rule makes of it.
fn changed(s: &Situation, change: impl Fn(&Situation, &Action) -> Option<Action>) -> Decision {
    let right = decide(s);
    let action = change(s, &right.action).unwrap_or(right.action);
    Decision { row: right.row, action }
}

#[test]
fn the_right_rules_pass() {
    assert!(!is_caught(RULES));
    assert!(!is_caught_without_races(Rules { looks_again: false, ..RULES }), "nothing to look at again");
}

#[test]
fn catches_a_device_that_does_not_look_again_before_it_writes() {
    assert!(is_caught(Rules { looks_again: false, ..RULES }));
}

/// P1 alone: what is looked at is the loss.
#[test]
fn p1_catches_a_fast_forward_over_a_dirty_disk() {
    let rules = Rules {
        decide: |s| {
            changed(s, |s, action| {
                let newer = s.others.iter().find(|o| o.relation == Relation::Ancestor && o.is_fetched)?;
                (*action == Action::SnapshotFirst).then_some(Action::FastForward { to: newer.id })
            })
        },
        looks_again: false,
    };
    assert!(is_caught_in(rules, races_not, World::check_nothing_lost));
}

/// P3 alone: edits in turn and identical ones.
#[test]
fn p3_catches_alarms_about_equal_contents_and_about_older_versions() {
    let caught = |rules| breaks(turns(), |turns| in_turn(turns, rules).map(drop));
    assert!(!caught(RULES));
    assert!(caught(with(alarm_about_equals)));
    assert!(caught(with(alarm_about_older)));
}

/// P4 alone: edits apart.
#[test]
fn p4_catches_a_silent_conflict_and_a_side_that_wins() {
    let caught = |rules| breaks(editors(), |apart| is_shown_everywhere(&apart, rules).map(drop));
    assert!(!caught(RULES));
    assert!(caught(with(tell_nobody)));
    assert!(caught(with(let_one_win)));
}

fn let_one_win(s: &Situation) -> Decision {
    changed(s, |_, action| match action {
        Action::Conflict { copies, .. } => copies.iter().max().map(|to| Action::FastForward { to: *to }),
        _ => None,
    })
}

fn tell_nobody(s: &Situation) -> Decision {
    changed(s, |_, action| matches!(action, Action::Conflict { .. }).then_some(Action::Nothing))
}

fn alarm_about_equals(s: &Situation) -> Decision {
    changed(s, |s, action| match action {
        Action::Join { heads } => {
            let with = s.others.iter().map(|o| o.id).filter(|id| heads.contains(id)).collect();
            Some(Action::Conflict { with, copies: Vec::new() })
        }
        _ => None,
    })
}

fn alarm_about_older(s: &Situation) -> Decision {
    changed(s, |s, action| {
        let with = s.others.iter().filter(|o| o.relation == Relation::Descendant).map(|o| o.id).collect();
        (*action == Action::OfferOurs).then_some(Action::Conflict { with, copies: Vec::new() })
    })
}

#[test]
fn catches_one_side_of_a_conflict_that_wins() {
    assert!(is_caught(with(let_one_win)));
}

#[test]
fn catches_a_conflict_that_nobody_is_told_of() {
    assert!(is_caught(with(tell_nobody)));
}

#[test]
fn catches_an_alarm_about_equal_contents() {
    assert!(is_caught(with(alarm_about_equals)));
}

#[test]
fn catches_a_vanished_save_that_is_taken_for_a_deletion() {
    assert!(is_caught(with(|s| changed(s, |_, action| {
        (*action == Action::HoldAndAsk).then_some(Action::Tombstone)
    }))));
}

#[test]
fn catches_a_device_without_base_that_takes_what_others_have() {
    assert!(is_caught_without_races(Rules {
        decide: |s| changed(s, |s, action| {
            let is_unclaimed = matches!(s.disk, Disk::Present(_)) && *action == Action::SnapshotFirst;
            let to = s.others.iter().find(|o| o.is_fetched)?.id;
            is_unclaimed.then_some(Action::ApplyNew { to })
        }),
        looks_again: false,
    }));
}

#[test]
fn catches_an_older_version_that_is_taken_for_a_conflict() {
    assert!(is_caught(with(alarm_about_older)));
}
