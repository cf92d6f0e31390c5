//! A run in which every device of a player loses its database at once, between quiet and quiet: nothing may be lost with
//! it but what a person can say again. Owns what is compared before and after.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::command::{Command, Reply, SavesCommand};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::work::SetKey;
use bonfire_proto::{PlayerId, SaveHash, SnapshotId};

use super::person::{Person, at};
use super::scenario::{Outcome, begin, heal, in_turn, quiet, stay};
use super::vault::hash_of;
use super::world::World;

/// What one device has of a line, other than settings.
#[derive(Debug, PartialEq, Eq)]
struct Had {
    heads: BTreeSet<SnapshotId>,
    history: BTreeSet<SnapshotId>,
    on_disk: SaveHash,
    is_conflict: bool,
}

/// Runs a seed in which all databases are lost; every second one has a conflict by then.
#[must_use]
pub fn run_with_all_databases_lost(seed: u64, is_loud: bool) -> Outcome {
    let mut person = Person::new(seed);
    let count = *person.dice.pick(&[2, 2, 3, 3, 4, 5]);
    let mut w = World::new(seed, count, is_loud);
    w.truth.is_in_turn = true;
    let sets = begin(&mut w, &mut person, seed);
    in_turn(&mut w, &mut person, &sets);
    quiet(&mut w);
    if seed % 2 == 1 {
        w.truth.is_in_turn = false;
        disagree(&mut w, &mut person, &sets);
    }
    let before = all_that_is_had(&mut w, &sets);
    for m in 0..count {
        let back = 500 + person.dice.below(5_000);
        if w.machines[m].engine.is_some() {
            w.crash(m, back);
        }
        w.lose_database(m);
        w.truth.forget_clock(m);
    }
    w.fired("database lost on all devices");
    heal(&mut w, &mut person, &sets);
    w.check_quiet();
    let after = all_that_is_had(&mut w, &sets);
    if before.is_empty() {
        w.wrong("there was nothing to lose".to_owned());
    }
    for (at, had) in &before {
        if had.is_conflict {
            w.fired("a conflict before the databases were lost");
        }
        if after.get(at) != Some(had) {
            let has = after.get(at);
            w.wrong(format!("P1: lost with the databases, of {at:?}: before {had:?}, after {has:?}"));
        }
    }
    stay(&mut w);
    w.outcome()
}

/// Two devices that cannot reach each other write to the same save.
fn disagree(w: &mut World, person: &mut Person, sets: &[SetKey]) {
    let all = 0..w.machines.len();
    for a in all.clone() {
        for b in all.clone().filter(|b| a < *b) {
            w.parted.insert((a, b));
            w.cut(a, b);
        }
    }
    for set in sets {
        let members: Vec<usize> = w.truth.members.get(&set.player).into_iter().flatten().copied().collect();
        for m in members.into_iter().take(2) {
            person.edit(w, m, set);
        }
    }
    quiet(w);
    w.parted.clear();
    for a in all.clone() {
        for b in all.clone().filter(|b| a < *b) {
            w.connect_soon(a, b);
        }
    }
    quiet(w);
}

fn all_that_is_had(w: &mut World, sets: &[SetKey]) -> BTreeMap<(usize, PlayerId, String), Had> {
    let mut all = BTreeMap::new();
    for set in sets {
        let members: Vec<usize> = w.truth.members.get(&set.player).into_iter().flatten().copied().collect();
        let lines: Vec<Line> = w.lines(set.player).into_iter().filter(|l| SetKey::of(l) == *set).collect();
        for m in members {
            for line in &lines {
                let Some(slot) = w.slot(m, line) else { continue };
                let asked = w.command(m, Command::Saves(SavesCommand::History { at: at(set) }));
                let history = match w.truth.replies.get(&asked) {
                    Some(Ok(Reply::History { versions })) => versions.iter().map(|v| v.id).collect(),
                    _ => BTreeSet::new(),
                };
                let heads: BTreeSet<SnapshotId> = slot.heads.iter().map(|h| h.id).collect();
                let files = w.machines[m].disks.get(set).map(|d| d.files.clone()).unwrap_or_default();
                let is_conflict = slot.standing == bonfire_engine::saves::slot::Standing::Conflict;
                let had = Had { heads, history, on_disk: hash_of(&files), is_conflict };
                all.insert((m, set.player, line.slot.to_string()), had);
            }
        }
    }
    all
}
