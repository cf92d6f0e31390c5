//! What has to hold of two to five devices whatever happens to them. `docs/save-properties.md` has the list.
//!
//! `sh scripts/soak.sh` runs a million cases of each; 10,000 otherwise. A failing case is printed as its shortest list of
//! steps.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::cases::{deliveries, device, holds, life, lived, started};
use crate::world::{RULES, Reach, Step, World};

#[test]
fn p01_no_content_that_was_ever_decided_over_is_lost() {
    const REPLACED: &str = "something was replaced on every disk";
    holds(life(), &[(REPLACED, 20)], |life, met| {
        let world = lived(&life, RULES)?;
        let on_disks: BTreeSet<u32> = world.devices.iter().filter_map(|d| d.disk).collect();
        met.note(REPLACED, !world.seen.is_subset(&on_disks));
        world.check_nothing_lost()
    });
}

#[test]
fn p02_once_everything_reaches_everybody_all_devices_are_alike_whatever_was_before() {
    const APART: &str = "devices were apart before";
    const CONFLICT: &str = "a conflict in the end";
    holds(life(), &[(APART, 20), (CONFLICT, 5)], |life, met| {
        let mut world = started(&life, RULES, &[0])?;
        let is_apart = world.devices.iter().any(|d| d.lineage.tips() != world.devices[0].lineage.tips());
        world.heal()?;
        met.note(APART, is_apart);
        met.note(CONFLICT, world.shows(0).len() > 1);
        world.check_alike()
    });
}

/// No missed conflict, no false one: what each device shows is what the model says.
#[test]
fn p04_what_differs_without_knowing_of_each_other_is_a_conflict_on_every_device_and_nothing_else_is() {
    const PAIR: &str = "two that differ and do not know of each other";
    let rows: RefCell<BTreeMap<usize, usize>> = RefCell::default();
    holds(life(), &[(PAIR, 10)], |life, met| {
        let world = lived(&life, RULES)?;
        world.rows.iter().for_each(|(row, count)| *rows.borrow_mut().entry(*row).or_insert(0) += count);
        met.note(PAIR, world.expected().len() > 1);
        world.check_outcome()
    });
    let rows = rows.into_inner();
    println!("decisions by row: {rows:?}");
    assert_eq!(rows.len(), 18, "a row that no device ever came to: {rows:?}");
}

fn shown_by_all(world: &World) -> Vec<BTreeSet<u32>> {
    (0..world.devices.len()).map(|d| world.shows(d)).collect()
}

/// From one moment on, words arrive in one world at once and in order, in the other as the network likes.
///
/// Where something was deleted there may be more to see in the end, never less: an edit that survives a deletion survives
/// as the one that was heard of, and what its device had made of it since is the other side then.
#[test]
fn p07_words_lost_repeated_reordered_or_cut_short_change_nothing_of_the_end() {
    const OTHER_WAY: &str = "it went another way";
    const SEVERAL: &str = "several sides in the end";
    holds((life(), deliveries()), &[(OTHER_WAY, 20), (SEVERAL, 5)], |(mut life, deliveries), met| {
        // What is written in the moment of an apply depends on whether one comes.
        life.2.retain(|s| !matches!(s, Step::Race(_)));
        let is_deleting = life.2.iter().any(|s| matches!(s, Step::Delete(_) | Step::Answer(_, true)));
        let at_rest = || -> Result<World, String> {
            let mut world = started(&life, RULES, &[0])?;
            world.rest()?;
            Ok(world)
        };
        let (mut straight, mut torn) = (at_rest()?, at_rest()?);
        torn.run(&deliveries)?;
        straight.heal()?;
        torn.heal()?;
        met.note(OTHER_WAY, straight.trace != torn.trace);
        met.note(SEVERAL, straight.shows(0).len() > 1);
        torn.check_outcome()?;
        let (straight, torn) = (shown_by_all(&straight), shown_by_all(&torn));
        let is_more = straight.iter().zip(&torn).all(|(s, t)| s.is_subset(t));
        if straight == torn || (is_deleting && is_more) { Ok(()) } else { Err(format!("{straight:?}, torn {torn:?}")) }
    });
}

#[test]
fn p10_clocks_change_nothing_of_what_every_device_comes_to() {
    const DAYS: i64 = 3 * 24 * 3600 * 1000;
    const BACKWARDS: &str = "a version is older by the clock than what it was made from";
    const CONFLICT: &str = "a conflict in the end";
    let skewed = (life(), prop::collection::vec(-DAYS..DAYS, 5));
    holds(skewed, &[(BACKWARDS, 10), (CONFLICT, 5)], |(life, skews), met| {
        let ended = |skews: &[i64]| -> Result<World, String> {
            let mut world = started(&life, RULES, skews)?;
            world.heal()?;
            Ok(world)
        };
        let (straight, skewed) = (ended(&[0])?, ended(&skews)?);
        met.note(BACKWARDS, skewed.has_time_going_backwards());
        met.note(CONFLICT, straight.shows(0).len() > 1);
        let (straight, skewed) = (shown_by_all(&straight), shown_by_all(&skewed));
        if straight == skewed { Ok(()) } else { Err(format!("{straight:?}, by other clocks {skewed:?}")) }
    });
}

/// Everybody but who is away tells everybody all of it, works, and says where that led.
fn meeting(n: usize, away: Option<usize>) -> Vec<Step> {
    let here: Vec<usize> = (0..n).filter(|d| Some(*d) != away).collect();
    let pairs = here.iter().flat_map(|a| here.iter().map(|b| (*a, *b))).filter(|(a, b)| a != b);
    let said: Vec<Step> = pairs.map(|(from, to)| Step::Send(from, to, Reach::Whole)).collect();
    let worked = here.iter().map(|d| Step::Work(*d));
    said.iter().cloned().chain(worked).chain(said.iter().cloned()).collect()
}

/// All devices meet, over some versions. From then on one may be away: it hears nothing and says nothing until the end, whatever the
/// others prune meanwhile.
#[test]
fn p11_pruning_changes_nothing_of_what_every_device_comes_to_however_long_one_was_away() {
    const PRUNED: &str = "something was pruned";
    const AWAY: &str = "something was pruned while a device was away";
    let prunes = prop::collection::vec((0usize..12, device(), 0usize..3), 1..3);
    let lives = (life(), prunes, prop::option::of(device()));
    holds(lives, &[(PRUNED, 10), (AWAY, 2)], |((n, has_save, steps), prunes, away), met| {
        let away = away.map(|d| d % n);
        let is_away = |d: usize| Some(d % n) == away;
        let first: Vec<Step> = (0..3).flat_map(|d| [vec![Step::Edit(d, None)], meeting(n, None)]).flatten().collect();
        let mut lives = [first.clone(), first];
        for (at, step) in steps.into_iter().map(Some).chain(std::iter::repeat(None)).take(12).enumerate() {
            for (_, d, keep) in prunes.iter().filter(|(when, ..)| *when == at) {
                lives.iter_mut().for_each(|steps| steps.extend(meeting(n, away)));
                lives[1].push(Step::Prune(*d, *keep));
            }
            match step {
                // A rollback chooses from what is there, and a lost database does not know what was pruned.
                None | Some(Step::Rollback(..) | Step::LoseDatabase(_)) => {}
                Some(Step::Send(from, to, _)) if is_away(from) || is_away(to) => {}
                Some(step) => lives.iter_mut().for_each(|steps| steps.push(step.clone())),
            }
        }
        let [before, after] = lives;
        let before = lived(&(n, has_save, before), RULES)?;
        before.check_outcome()?;
        let after = lived(&(n, has_save, after), RULES)?;
        after.check_outcome()?;
        met.note(PRUNED, after.pruned > 0);
        met.note(AWAY, after.pruned > 0 && away.is_some());
        let (before, after) = (shown_by_all(&before), shown_by_all(&after));
        if before == after { Ok(()) } else { Err(format!("{before:?}, pruned {after:?}")) }
    });
}

#[test]
fn p16_the_same_life_twice_is_the_same_life_decision_by_decision() {
    const EVENTFUL: &str = "twenty decisions or more";
    holds(life(), &[(EVENTFUL, 30)], |life, met| {
        let (once, again) = (lived(&life, RULES)?, lived(&life, RULES)?);
        met.note(EVENTFUL, once.trace.len() >= 20);
        if once.trace != again.trace {
            let at = once.trace.iter().zip(&again.trace).position(|(a, b)| a != b);
            return Err(format!("they part at decision {at:?}"));
        }
        if once.digest() == again.digest() { Ok(()) } else { Err("other stores at the end".to_owned()) }
    });
}

#[test]
fn p17_devices_come_to_rest_within_four_rounds_a_device_and_stay_there() {
    const LONG: &str = "more than one round";
    let most = RefCell::new(0);
    holds(life(), &[(LONG, 20)], |life, met| {
        let mut world = started(&life, RULES, &[0])?;
        let rounds = world.heal()?;
        met.note(LONG, rounds > 1);
        let longest = (*most.borrow()).max(rounds);
        most.replace(longest);
        if world.heal()? == 0 { Ok(()) } else { Err("a round after rest changed something".to_owned()) }
    });
    println!("most rounds: {}", most.into_inner());
}
