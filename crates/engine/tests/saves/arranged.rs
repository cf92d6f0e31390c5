//! What has to hold in situations that are brought about on purpose: edits in turn, edits apart, resolutions, deletions,
//! vanished saves, rollbacks, a game that runs.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::cases::{deliveries, device, devices, editors, holds, split};
use crate::world::{RULES, Reach, Rules, Step, World, value_of};

/// Who edits, what (any of a few, or something new), and who writes the same without knowing of it.
pub type Turns = (usize, Vec<(usize, Option<u8>, usize)>, bool);

pub fn turns() -> impl Strategy<Value = Turns> {
    let edits = prop::collection::vec((device(), prop::option::of(1u8..4), device()), 1..8);
    (devices(), edits, any::<bool>())
}

/// Everybody is in step before each edit, so that it is made on top of all others; identical ones are made apart. What
/// came about: a change of hands, and the same content written on two devices that did not know of each other.
pub fn in_turn((n, edits, is_same_for_all): Turns, rules: Rules) -> Result<(bool, bool), String> {
    let mut world = World::new(n, rules);
    let (mut last, mut is_handed_on, mut is_twice) = (None, false, false);
    for (d, value, also) in edits {
        let (d, also) = (d % n, also % n);
        let before = world.devices[also].disk;
        world.edit(d, value.map(u32::from));
        if is_same_for_all {
            let value = world.devices[d].disk;
            world.edit(also, value);
            world.work(also)?;
            world.send(also, d, Reach::Whole);
            is_twice |= also != d && value != before;
        }
        is_handed_on |= last.is_some_and(|last| last != d);
        last = Some(d);
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
    world.check_outcome()?;
    Ok((is_handed_on, is_twice))
}

#[test]
fn p03_sequential_and_identical_edits_never_conflict() {
    const HANDED_ON: &str = "an edit on top of another device's";
    const TWICE: &str = "the same edit on two devices that do not know of each other";
    holds(turns(), &[(HANDED_ON, 40), (TWICE, 20)], |turns, met| {
        let (is_handed_on, is_twice) = in_turn(turns, RULES)?;
        met.note(HANDED_ON, is_handed_on);
        met.note(TWICE, is_twice);
        Ok(())
    });
}

/// Whether every device shows the edit of each of `editors`, and says that it is a conflict.
pub fn is_shown_everywhere((n, editors): &(usize, BTreeSet<usize>), rules: Rules) -> Result<World, String> {
    let world = split(*n, editors, rules)?;
    for d in 0..*n {
        if world.shows(d).len() != editors.len() || world.devices[d].sides().is_none() {
            return Err(format!("device {d} shows {:?} of {} sides", world.shows(d), editors.len()));
        }
    }
    Ok(world)
}

#[test]
fn p04_edits_that_do_not_know_of_each_other_are_shown_on_every_device() {
    const MORE: &str = "more than two sides";
    holds(editors(), &[(MORE, 10)], |apart, met| {
        met.note(MORE, apart.1.len() > 2);
        is_shown_everywhere(&apart, RULES)?.check_outcome()
    });
}

/// Whatever older words come after it, in part and in any order, and whatever games run meanwhile.
#[test]
fn p05_a_resolution_is_what_everybody_has_and_no_older_word_brings_the_conflict_back() {
    const LATE: &str = "somebody worked with older words after it";
    let resolved = (editors(), 0usize..5, 0usize..5, deliveries());
    holds(resolved, &[(LATE, 30)], |(apart, resolver, choice, deliveries), met| {
        let (n, sides) = (apart.0, apart.1.len());
        let mut world = is_shown_everywhere(&apart, RULES)?;
        let versions = world.devices[0].store.len();
        let chosen = *world.shows(0).iter().nth(choice % sides).ok_or("a side that is not shown")?;
        if !world.resolve(resolver % n, choice % sides)? {
            return Err("there was nothing to resolve".to_owned());
        }
        let decisions = world.trace.len();
        world.run(&deliveries)?;
        met.note(LATE, world.trace.len() > decisions);
        world.heal()?;
        let is_settled = |d: usize| world.devices[d].disk == Some(chosen) && world.devices[d].sides().is_none();
        if let Some(d) = (0..n).find(|d| !is_settled(*d)) {
            return Err(format!("device {d} shows {:?}, not {chosen}", world.shows(d)));
        }
        if world.devices[0].store.len() != versions + 1 {
            return Err("it took more than one version".to_owned());
        }
        world.check_nothing_lost()
    });
}

#[test]
fn p05_two_different_resolutions_at_once_conflict_again_and_two_equal_ones_do_not() {
    const DIFFERENT: &str = "two different ones";
    const EQUAL: &str = "two equal ones";
    let twice = (editors(), (0usize..5, 0usize..5), (0usize..5, 0usize..5));
    holds(twice, &[(DIFFERENT, 25), (EQUAL, 20)], |((n, editors), (a, choice_a), (b, choice_b)), met| {
        let (a, b) = (a % n, if a % n == b % n { (b + 1) % n } else { b % n });
        let (choice_a, choice_b) = (choice_a % editors.len(), choice_b % editors.len());
        met.note(DIFFERENT, choice_a != choice_b);
        met.note(EQUAL, choice_a == choice_b);
        let mut world = split(n, &editors, RULES)?;
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
    });
}

#[test]
fn p06_an_edit_survives_a_deletion_it_did_not_know_of_and_a_deletion_of_what_nobody_edited_stays() {
    const SURVIVES: &str = "a deletion against an edit";
    const STAYS: &str = "a deletion against nothing";
    let roles = prop::collection::vec(0u8..3, 5);
    holds((devices(), roles), &[(SURVIVES, 20), (STAYS, 10)], |(n, roles), met| {
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
        met.note(SURVIVES, is_deleted && edit.is_some());
        met.note(STAYS, is_deleted && edit.is_none());
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
fn p09_a_save_that_vanished_never_vanishes_elsewhere() {
    const TOLD: &str = "others heard from who lost it";
    let steps = prop::collection::vec((device(), any::<bool>()), 1..8);
    holds((devices(), steps), &[(TOLD, 50)], |(n, steps), met| {
        let mut world = World::new(n, RULES);
        world.edit(0, None);
        world.spread(0)?;
        let value = world.devices[0].disk;
        met.note(TOLD, steps.iter().any(|(_, everywhere)| *everywhere));
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

#[test]
fn p13_a_rollback_is_a_new_version_that_everybody_follows_and_that_can_be_undone() {
    const BACK: &str = "it went back to another content";
    let edits = prop::collection::vec(device(), 2..6);
    holds((devices(), edits, device(), 0usize..6), &[(BACK, 50)], |(n, edits, d, to), met| {
        let mut world = World::new(n, RULES);
        for editor in edits {
            world.edit(editor % n, None);
            world.spread(editor % n)?;
        }
        let (d, newest) = (d % n, world.devices[0].disk);
        let (versions, heads) = (world.devices[d].store.len(), world.devices[d].lineage.tips());
        world.rollback(d, to)?;
        let old = world.devices[d].disk;
        met.note(BACK, old != newest);
        world.spread(d)?;
        if world.devices.iter().any(|x| x.disk != old || x.sides().is_some() || x.store.len() != versions + 1) {
            return Err("not everybody followed, or not as one new version".to_owned());
        }
        let back = world.devices[d].lineage.tips();
        if !heads.iter().all(|h| world.devices[d].lineage.covers(&back, *h)) {
            return Err("the version before is no ancestor of it".to_owned());
        }
        let contents: BTreeSet<u32> = world.devices[d].store.values().filter_map(|s| value_of(s)).collect();
        let again = contents.iter().position(|v| Some(*v) == newest).ok_or("the newest version is gone")?;
        world.rollback(d, again)?;
        world.spread(d)?;
        if world.devices.iter().any(|x| x.disk != newest || x.store.len() != versions + 2) {
            return Err("going forward again is no version of its own".to_owned());
        }
        Ok(())
    });
}

/// A, B, and A again are three versions, whoever writes them: equal content is a version of its own once another lay
/// between.
#[test]
fn p13_content_that_comes_back_is_a_version_of_its_own() {
    const BACK: &str = "a content that was there before came back";
    let edits = prop::collection::vec((device(), 1u8..4), 1..8);
    holds((devices(), edits), &[(BACK, 30)], |(n, edits), met| {
        let mut world = World::new(n, RULES);
        let (mut contents, mut is_back) = (Vec::new(), false);
        for (d, value) in edits {
            world.edit(d % n, Some(u32::from(value)));
            world.spread(d % n)?;
            if contents.last() != Some(&value) {
                is_back |= contents.contains(&value);
                contents.push(value);
            }
        }
        met.note(BACK, is_back);
        match world.devices.iter().position(|x| x.store.len() != contents.len() || x.sides().is_some()) {
            None => Ok(()),
            Some(d) => Err(format!("device {d} has {} versions of {contents:?}", world.devices[d].store.len())),
        }
    });
}

/// Nothing is put on the disk of a device that leaves the slot alone, or whose game runs (`World` watches every other run
/// as well); what came meanwhile is there once that is over, and what was written meanwhile is a side.
#[test]
fn p18_what_is_left_alone_or_played_is_never_written_and_catches_up_afterwards() {
    const ALONE: &str = "left alone while others went on";
    const PLAYED: &str = "played while others went on";
    const WRITTEN: &str = "written here while others went on";
    let edits = prop::collection::vec(device(), 1..5);
    let premises = [(ALONE, 25), (PLAYED, 25), (WRITTEN, 25)];
    holds(
        (devices(), device(), any::<bool>(), any::<bool>(), edits),
        &premises,
        |(n, d, is_alone, writes, edits), met| {
            let d = d % n;
            let mut world = World::new(n, RULES);
            world.edit(0, None);
            world.spread(0)?;
            world.step(&if is_alone { Step::Track(d, false) } else { Step::Play(d, true) })?;
            if writes {
                world.edit(d, None);
            }
            let (left, versions) = (world.devices[d].disk, world.devices[d].store.len());
            let mut newest = None;
            let count = edits.len();
            for other in edits.into_iter().map(|e| (d + 1 + e % (n - 1)) % n) {
                world.edit(other, None);
                newest = world.devices[other].disk;
                world.spread(other)?;
                if world.devices[d].disk != left {
                    return Err("it was written over".to_owned());
                }
            }
            if is_alone && world.devices[d].store.len() != versions + count {
                return Err(
                    "a device that leaves the slot alone made a version, or does not note what others made".to_owned()
                );
            }
            met.note(ALONE, is_alone);
            met.note(PLAYED, !is_alone);
            met.note(WRITTEN, writes);
            world.step(&if is_alone { Step::Track(d, true) } else { Step::Play(d, false) })?;
            world.work(d)?;
            let sides = BTreeSet::from_iter(left.filter(|_| writes).into_iter().chain(newest));
            if world.shows(d) == sides { Ok(()) } else { Err(format!("{:?}, not {sides:?}", world.shows(d))) }
        },
    );
}
