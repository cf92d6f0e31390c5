//! What has to hold of two to five devices whatever happens to them.
//!
//! `BONFIRE_CASES=1000000 cargo test -p bonfire-engine --test saves --release` is the soak; 10,000 cases a property
//! otherwise. A failing case is printed as its shortest list of steps.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use crate::world::{RULES, Reach, Rules, Step, World};

pub fn cases() -> u32 {
    std::env::var("BONFIRE_CASES").ok().map_or(10_000, |n| n.parse().expect("BONFIRE_CASES is a number"))
}

/// Runs a property over all cases; the failure names the shortest input.
fn holds<S: Strategy>(of: S, property: impl Fn(S::Value) -> Result<(), String>) {
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let run = TestRunner::new(config).run(&of, |value| property(value).map_err(TestCaseError::fail));
    if let Err(e) = run {
        panic!("{e}");
    }
}

fn device() -> impl Strategy<Value = usize> {
    0usize..5
}

/// Two to five, more often fewer: what two cannot do to each other three rarely can.
fn devices() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(2usize), 3 => Just(3), 2 => Just(4), 1 => Just(5)]
}

/// Steps of every kind, each from one number: making them from parts takes longer than living them. What is not sent is a
/// partition.
fn step() -> impl Strategy<Value = Step> {
    any::<u32>().prop_map(|number| {
        let mut rest = number;
        let mut draw = |from: u32| {
            let drawn = rest % from;
            rest /= from;
            drawn as usize
        };
        let (kind, d, other, n) = (draw(46), draw(5), draw(5), draw(8));
        match kind {
            0..8 => Step::Edit(d, [None, None, Some(1), Some(2), Some(3)][n % 5]),
            8 => Step::Race(d),
            9..11 => Step::Delete(d),
            11 => Step::Vanish(d),
            12 => Step::Answer(d, n % 2 == 0),
            13..15 => Step::Rollback(d, n),
            15..18 => Step::Resolve(d, n % 4),
            18..27 => Step::Send(d, other, Reach::Whole),
            27 => Step::Send(d, other, Reach::Name),
            28 => Step::Send(d, other, Reach::Snapshots),
            29 => Step::Send(d, other, Reach::Newest),
            30..42 => Step::Work(d),
            42 => Step::Play(d, n % 2 == 0),
            43 => Step::Track(d, n % 2 == 0),
            44 => Step::Settle(d, n % 2 == 0),
            _ => Step::LoseDatabase(d),
        }
    })
}

/// How many devices, whether all of them start with the same save, and what happens then.
pub type Life = (usize, bool, Vec<Step>);

pub fn life() -> impl Strategy<Value = Life> {
    (devices(), prop::bool::weighted(0.8), prop::collection::vec(step(), 0..24))
}

fn started((n, has_save, steps): &Life, rules: Rules, skews: &[i64]) -> Result<World, String> {
    let mut world = World::new(*n, rules).with_skews(skews);
    if *has_save {
        world.edit(0, None);
        world.spread(0)?;
    }
    world.run(steps)?;
    Ok(world)
}

pub fn lived(life: &Life, rules: Rules) -> Result<World, String> {
    let mut world = started(life, rules, &[0])?;
    world.heal()?;
    Ok(world)
}

#[test]
fn no_content_that_was_ever_decided_over_is_lost() {
    holds(life(), |life| lived(&life, RULES)?.check_nothing_lost());
}

/// No missed conflict, no false one, and the same end everywhere: what each device shows is what the model says.
#[test]
fn what_differs_without_knowing_of_each_other_is_a_conflict_on_every_device_and_nothing_else_is() {
    let rows: RefCell<BTreeMap<usize, usize>> = RefCell::default();
    holds(life(), |life| {
        let world = lived(&life, RULES)?;
        world.rows.iter().for_each(|(row, count)| *rows.borrow_mut().entry(*row).or_insert(0) += count);
        world.check_outcome()
    });
    let rows = rows.into_inner();
    println!("decisions by row: {rows:?}");
    assert_eq!(rows.len(), 18, "a row that no device ever came to: {rows:?}");
}

#[test]
fn devices_come_to_rest_within_four_rounds_a_device_and_stay_there() {
    let most = RefCell::new(0);
    holds(life(), |life| {
        let mut world = started(&life, RULES, &[0])?;
        let rounds = world.heal()?;
        let longest = (*most.borrow()).max(rounds);
        most.replace(longest);
        if world.heal()? == 0 { Ok(()) } else { Err("a round after rest changed something".to_owned()) }
    });
    println!("most rounds: {}", most.into_inner());
}

#[test]
fn clocks_change_nothing_of_what_every_device_comes_to() {
    const DAYS: i64 = 3 * 24 * 3600 * 1000;
    holds((life(), prop::collection::vec(-DAYS..DAYS, 5)), |(life, skews)| {
        let outcome = |skews: &[i64]| -> Result<Vec<BTreeSet<u32>>, String> {
            let mut world = started(&life, RULES, skews)?;
            world.heal()?;
            Ok((0..life.0).map(|d| world.shows(d)).collect())
        };
        let (straight, skewed) = (outcome(&[0])?, outcome(&skews)?);
        if straight == skewed { Ok(()) } else { Err(format!("{straight:?}, by other clocks {skewed:?}")) }
    });
}

#[test]
fn edits_one_after_the_other_and_identical_edits_never_conflict() {
    let edits = prop::collection::vec((device(), prop::option::of(1u8..4), device()), 1..8);
    holds((devices(), edits, any::<bool>()), |(n, edits, is_same_for_all)| {
        let mut world = World::new(n, RULES);
        for (d, value, also) in edits {
            let (d, also) = (d % n, also % n);
            world.edit(d, value.map(u32::from));
            if is_same_for_all {
                let value = world.devices[d].disk;
                world.edit(also, value);
                world.work(also)?;
                world.send(also, d, Reach::Whole);
            }
            // Everybody is in step before the next edit, so that it is made on top of all others.
            world.spread(d)?;
            world.spread(also)?;
            if world.devices.iter().any(|d| d.sides().is_some()) {
                return Err("a conflict that nobody made".to_owned());
            }
        }
        world.heal()?;
        if world.expected().len() > 1 {
            return Err("the model sees a conflict".to_owned());
        }
        world.check_outcome()
    });
}

/// Everybody from the same start, then each an edit of its own that nobody else knows of.
fn split(n: usize, editors: &BTreeSet<usize>) -> Result<World, String> {
    let mut world = World::new(n, RULES);
    world.edit(0, None);
    world.spread(0)?;
    for d in editors {
        world.edit(*d, None);
        world.work(*d)?;
    }
    world.heal()?;
    Ok(world)
}

fn editors() -> impl Strategy<Value = (usize, BTreeSet<usize>)> {
    devices().prop_flat_map(|n| (Just(n), prop::collection::btree_set(0..n, 2..=n)))
}

#[test]
fn edits_that_do_not_know_of_each_other_are_shown_on_every_device_until_resolved() {
    holds((editors(), 0usize..5, 0usize..5), |((n, editors), resolver, choice)| {
        let mut world = split(n, &editors)?;
        for d in 0..n {
            if world.shows(d).len() != editors.len() || world.devices[d].sides().is_none() {
                return Err(format!("device {d} shows {:?} of {} sides", world.shows(d), editors.len()));
            }
        }
        let chosen = *world.shows(0).iter().nth(choice % editors.len()).unwrap();
        if !world.resolve(resolver % n, choice % editors.len())? {
            return Err("there was nothing to resolve".to_owned());
        }
        world.heal()?;
        let is_settled = (0..n).all(|d| world.devices[d].disk == Some(chosen) && world.devices[d].sides().is_none());
        if is_settled { world.check_nothing_lost() } else { Err("the resolution is not what everybody has".to_owned()) }
    });
}

#[test]
fn two_different_resolutions_at_once_conflict_again_and_two_equal_ones_do_not() {
    holds(
        (editors(), (0usize..5, 0usize..5), (0usize..5, 0usize..5)),
        |((n, editors), (a, choice_a), (b, choice_b))| {
            let (a, b) = (a % n, if a % n == b % n { (b + 1) % n } else { b % n });
            let (choice_a, choice_b) = (choice_a % editors.len(), choice_b % editors.len());
            let mut world = split(n, &editors)?;
            let contents: Vec<u32> = world.shows(0).into_iter().collect();
            world.resolve(a, choice_a)?;
            world.resolve(b, choice_b)?;
            world.heal()?;
            let expected = BTreeSet::from([contents[choice_a], contents[choice_b]]);
            for d in 0..n {
                if world.shows(d) != expected || world.devices[d].sides().is_some() != (expected.len() == 2) {
                    return Err(format!("device {d} shows {:?}, not {expected:?}", world.shows(d)));
                }
            }
            world.check_outcome()
        },
    );
}

#[test]
fn an_edit_survives_a_deletion_it_did_not_know_of_and_a_deletion_of_what_nobody_edited_stays() {
    let roles = prop::collection::vec(0u8..3, 5);
    holds((devices(), roles), |(n, roles)| {
        let mut world = World::new(n, RULES);
        world.edit(0, None);
        world.spread(0)?;
        let (mut is_deleted, mut edit) = (false, None);
        for (d, role) in roles.iter().enumerate().take(n) {
            match role {
                1 => {
                    world.delete(d)?;
                    is_deleted = true;
                }
                // One edit, however many: more than one would be a conflict as well.
                2 if edit.is_none() => {
                    world.edit(d, None);
                    edit = world.devices[d].disk;
                }
                _ => {}
            }
            world.work(d)?;
        }
        let before = world.devices[0].store.len();
        world.heal()?;
        let expected = match (edit, is_deleted) {
            (Some(edit), _) => Some(edit),
            (None, true) => None,
            (None, false) => return world.check_outcome(),
        };
        if let Some(d) = world.devices.iter().position(|d| d.disk != expected || d.sides().is_some()) {
            return Err(format!("device {d} has {:?}, not {expected:?}", world.devices[d].disk));
        }
        if world.devices[0].store.len() < before {
            Err("history shrank".to_owned())
        } else {
            world.check_nothing_lost()
        }
    });
}

#[test]
fn a_rollback_is_a_new_version_that_everybody_follows_and_that_can_be_undone() {
    let edits = prop::collection::vec(device(), 2..6);
    holds((devices(), edits, device(), 0usize..6), |(n, edits, d, to)| {
        let mut world = World::new(n, RULES);
        for editor in edits {
            world.edit(editor % n, None);
            world.spread(editor % n)?;
        }
        let (d, newest) = (d % n, world.devices[0].disk);
        let (versions, heads) = (world.devices[d].store.len(), world.devices[d].lineage.tips());
        world.rollback(d, to)?;
        let old = world.devices[d].disk;
        world.spread(d)?;
        if world.devices.iter().any(|x| x.disk != old || x.sides().is_some() || x.store.len() != versions + 1) {
            return Err("not everybody followed, or not as one new version".to_owned());
        }
        let back = world.devices[d].lineage.tips();
        if !heads.iter().all(|h| world.devices[d].lineage.covers(&back, *h)) {
            return Err("the version before is no ancestor of it".to_owned());
        }
        let contents: BTreeSet<u32> =
            world.devices[d].store.values().filter_map(|s| crate::world::value_of(s)).collect();
        let again = contents.iter().position(|v| Some(*v) == newest).ok_or("the newest version is gone")?;
        world.rollback(d, again)?;
        world.spread(d)?;
        if world.devices.iter().any(|x| x.disk != newest || x.store.len() != versions + 2) {
            return Err("going forward again is no version of its own".to_owned());
        }
        Ok(())
    });
}

#[test]
fn pruning_changes_nothing_of_what_every_device_comes_to() {
    let pruned = RefCell::new(0);
    holds((life(), prop::collection::vec((0usize..24, device(), 0usize..3), 1..8)), |(mut life, prunes)| {
        // A rollback chooses from what is there, and a lost database does not know what was pruned.
        life.2.retain(|s| !matches!(s, Step::Rollback(..) | Step::LoseDatabase(_)));
        let outcome = |life: &Life| -> Result<(Vec<BTreeSet<u32>>, usize), String> {
            let world = lived(life, RULES)?;
            world.check_outcome()?;
            Ok(((0..life.0).map(|d| world.shows(d)).collect(), world.pruned))
        };
        let (before, _) = outcome(&life)?;
        for (at, d, keep) in prunes {
            life.2.insert(at.min(life.2.len()), Step::Prune(d, keep));
        }
        let (after, gone) = outcome(&life)?;
        pruned.replace_with(|sum| *sum + gone);
        if before == after { Ok(()) } else { Err(format!("{before:?}, pruned {after:?}")) }
    });
    let pruned = pruned.into_inner();
    println!("pruned: {pruned}");
    assert!(pruned > 0, "nothing was ever pruned");
}

#[test]
fn a_save_that_vanished_never_vanishes_elsewhere() {
    let steps = prop::collection::vec((device(), any::<bool>()), 1..8);
    holds((devices(), steps), |(n, steps)| {
        let mut world = World::new(n, RULES);
        world.edit(0, None);
        world.spread(0)?;
        let value = world.devices[0].disk;
        for (d, everywhere) in steps {
            world.step(&Step::Vanish(d))?;
            world.work(d % n)?;
            for to in 0..n {
                if everywhere {
                    world.send(d % n, to, Reach::Whole);
                    world.work(to)?;
                }
            }
        }
        world.heal()?;
        if world.devices.iter().all(|d| d.disk == value && d.store.len() == 1) {
            Ok(())
        } else {
            Err("it was announced, or is not back".to_owned())
        }
    });
}
