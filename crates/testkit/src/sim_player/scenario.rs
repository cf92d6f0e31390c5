//! One run: the devices are paired, everything goes wrong for a while, then nothing does any more, and what must hold by
//! then is checked. Owns the phases and how long each may take.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::command::{Command, DevicesCommand, Reply, SaveRef, SavesCommand};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::trust::DeviceRole;

use super::oracle::line_of;
use super::person::{Person, at, set_of};
use super::planted::Planted;
use super::world::{Faults, World};

/// What is quiet for so long stays so: longer than the longest wait before another attempt.
const QUIET: u64 = 320_000;
/// Everything is quiet after so long at the latest.
const QUIET_WITHIN: u64 = 7_200_000;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What did not hold; empty when all is well.
    pub violations: Vec<String>,
    /// How often each thing happened.
    pub tally: BTreeMap<&'static str, u64>,
    /// The hash of all that happened.
    pub trace: String,
    /// All that happened, where it was asked for.
    pub lines: Vec<String>,
}

/// Runs a seed; with `is_loud` the lines of its trace are kept.
#[must_use]
pub fn run(seed: u64, is_loud: bool) -> Outcome {
    go(seed, is_loud, None)
}

/// Runs a seed by a wrong rule.
#[must_use]
pub fn run_planted(seed: u64, planted: Planted) -> Outcome {
    go(seed, false, Some(planted))
}

fn go(seed: u64, is_loud: bool, planted: Option<Planted>) -> Outcome {
    let mut person = Person::new(seed);
    let count = *person.dice.pick(&[2, 2, 2, 3, 3, 3, 4, 5]);
    let mut w = World::new(seed, count, is_loud);
    w.planted = planted;
    w.truth.is_in_turn = seed % 4 == 3;
    let sets = begin(&mut w, &mut person, seed);
    if w.truth.is_in_turn {
        in_turn(&mut w, &mut person, &sets);
    } else {
        chaos(&mut w, &mut person);
    }
    heal(&mut w, &mut person, &sets);
    settle(&mut w, &mut person, &sets);
    stay(&mut w);
    w.outcome()
}

impl World {
    pub(super) fn outcome(mut self) -> Outcome {
        self.tally.insert("inputs", self.inputs);
        let (trace, lines) = self.trace();
        Outcome { violations: self.violations, tally: self.tally, trace, lines }
    }
}

/// The devices start, are paired, and have a save.
pub(super) fn begin(w: &mut World, person: &mut Person, seed: u64) -> Vec<SetKey> {
    let count = w.machines.len();
    for m in 0..count {
        w.boot(m);
    }
    w.run_until(w.now + 10_000);
    let mut sets = Vec::new();
    let is_shared = count > 2 && seed.is_multiple_of(3);
    // The last device is a kiosk that two players share: the second player's own is the one before.
    let homes: Vec<Vec<usize>> = if is_shared {
        vec![(0..count - 2).chain([count - 1]).collect(), vec![count - 2, count - 1]]
    } else {
        vec![(0..count).collect()]
    };
    for home in homes {
        let name = format!("player of {}", home[0]);
        let id = w.command(home[0], Command::Devices(DevicesCommand::CreatePlayer { name }));
        let Some(Ok(Reply::Player { player })) = w.truth.replies.get(&id).cloned() else {
            w.wrong("no player is made".to_owned());
            return sets;
        };
        w.truth.ever.entry(player).or_default().insert(home[0]);
        w.truth.members.entry(player).or_default().insert(home[0]);
        for m in &home[1..] {
            let is_kiosk = is_shared && *m == count - 1;
            let role = if is_kiosk { DeviceRole::Unattended } else { DeviceRole::Personal };
            if !w.pair_devices(home[0], *m, player, role) {
                w.wrong(format!("{m} cannot be paired"));
            }
            w.run_until(w.now + 2_000);
        }
        let Some(set) = set_of(player) else { return sets };
        for m in &home {
            w.machines[*m].disks.entry(set.clone()).or_default();
            person.add(w, *m, &set);
        }
        if person.dice.chance(70) {
            person.edit(w, home[0], &set);
        }
        sets.push(set);
    }
    w.run_until(w.now + 5_000);
    sets
}

/// Everything goes wrong.
fn chaos(w: &mut World, person: &mut Person) {
    w.faults = Faults { asked_twice: 10, unanswered: 5, lies: 8, slow: 10, is_timed: false };
    for _ in 0..40 {
        person.act(w);
        let pause = match person.dice.below(10) {
            0..=4 => person.dice.below(400),
            5..=8 => person.dice.below(5_000),
            _ => person.dice.below(40_000),
        };
        w.run_until(w.now + pause);
        if !w.violations.is_empty() {
            return;
        }
    }
}

/// People write in turn, on whichever device, each time when all is in step; connections break and devices crash
/// meanwhile.
pub(super) fn in_turn(w: &mut World, person: &mut Person, sets: &[SetKey]) {
    for _ in 0..5 {
        quiet(w);
        let set = &sets[person.dice.index(sets.len())];
        let members: Vec<usize> = w.truth.members.get(&set.player).into_iter().flatten().copied().collect();
        let m = members[person.dice.index(members.len())];
        w.fired("edit in turn");
        person.edit(w, m, set);
        w.faults = Faults { asked_twice: 10, unanswered: 5, lies: 8, slow: 10, is_timed: false };
        for _ in 0..3 {
            let (a, b) = (person.dice.index(w.machines.len()), person.dice.index(w.machines.len()));
            if a != b {
                w.cut(a, b);
            }
            w.run_until(w.now + person.dice.below(3_000));
        }
        if person.dice.chance(30) && w.machines[m].engine.is_some() {
            w.crash(m, 1_000);
        }
        w.faults = Faults::default();
    }
}

/// Nothing goes wrong any more: everybody is there, every game has ended, time went on by more than any clock was off.
pub(super) fn heal(w: &mut World, person: &mut Person, sets: &[SetKey]) {
    const LATER: i64 = 40 * 86_400_000;
    w.note(format_args!("HEAL"));
    w.faults = Faults::default();
    w.parted.clear();
    let count = w.machines.len();
    for m in 0..count {
        let machine = &mut w.machines[m];
        (machine.crash, machine.is_full, machine.skew) = (None, false, LATER);
        w.boot(m);
    }
    for a in 0..count {
        for b in a + 1..count {
            // What was refused is asked for again over a new connection.
            w.cut(a, b);
            w.connect_soon(a, b);
        }
    }
    w.run_until(w.now + 20_000);
    w.settle_removals();
    for set in sets {
        for m in 0..count {
            if !w.machines[m].disks.contains_key(set) {
                continue;
            }
            person.end_game(w, m, set);
            if !w.truth.members.get(&set.player).is_some_and(|all| all.contains(&m)) {
                let is_kiosk = count > 2 && m == count - 1 && sets.len() > 1;
                let role = if is_kiosk { DeviceRole::Unattended } else { DeviceRole::Personal };
                // One that was removed and is back itself may be a stranger yet to this one.
                let members = w.truth.members.get(&set.player).cloned().unwrap_or_default();
                if members.into_iter().any(|inviting| w.pair_devices(inviting, m, set.player, role)) {
                    w.fired("device paired again");
                } else {
                    w.wrong(format!("{m} cannot be paired again"));
                }
                w.run_until(w.now + 5_000);
            }
            person.add(w, m, set);
            // A command may have been carried out and its answer lost in a crash: what the device shows counts.
            let left_alone: Vec<_> = w.slots(m, set.player).into_iter().filter(|s| s.is_untracked).collect();
            for slot in left_alone {
                if person.dice.chance(80) {
                    w.machines[m].untracked.remove(&line_of(&slot));
                    let at = SaveRef { slot: Some(slot.slot), ..at(set) };
                    person.say(w, m, SavesCommand::Track { at, tracked: true });
                }
            }
        }
    }
    quiet(w);
}

/// Lets time pass until nothing happens any more.
pub(super) fn quiet(w: &mut World) {
    let until = w.now + QUIET_WITHIN;
    w.stirred_at = w.now;
    while w.now < w.stirred_at + QUIET && w.violations.is_empty() {
        if w.now > until {
            w.wrong(format!("P17: it is never quiet; last stirred at {}", w.stirred_at));
            return;
        }
        let next = w.stirred_at + QUIET;
        w.run_until(next.max(w.now + 1));
    }
}

/// People answer what they are asked, until nothing is asked any more.
fn settle(w: &mut World, person: &mut Person, sets: &[SetKey]) {
    for round in 0..12 {
        if !w.violations.is_empty() {
            return;
        }
        w.check_quiet();
        let mut asked: Vec<(usize, SetKey, bool)> = Vec::new();
        for set in sets {
            for m in 0..w.machines.len() {
                match Person::here(w, m, set).map(|s| s.standing) {
                    Some(Standing::Held) => asked.push((m, set.clone(), true)),
                    Some(Standing::Conflict) => asked.push((m, set.clone(), false)),
                    _ => {}
                }
            }
        }
        if asked.is_empty() {
            break;
        }
        if round == 11 {
            w.wrong("P5: there is no end of conflicts".to_owned());
        }
        let conflicts: Vec<_> = asked.iter().filter(|(.., is_held)| !is_held).cloned().collect();
        for (m, set, is_held) in asked {
            if is_held {
                let keep_disk = person.dice.chance(40);
                person.say(w, m, SavesCommand::Release { at: at(&set), keep_disk });
            }
        }
        if !conflicts.is_empty() {
            let (m, set, _) = conflicts[person.dice.index(conflicts.len())].clone();
            let others: BTreeSet<usize> =
                conflicts.iter().filter(|(o, s, _)| *s == set && *o != m).map(|(o, ..)| *o).collect();
            if let Some(slot) = Person::here(w, m, &set) {
                person.resolve(w, m, &set, &slot);
            }
            if let Some(other) = others.first().filter(|_| round < 4 && person.dice.chance(30)) {
                w.fired("two resolutions at once");
                if let Some(slot) = Person::here(w, *other, &set) {
                    person.resolve(w, *other, &set, &slot);
                }
            }
        }
        quiet(w);
    }
}

/// P17: what is quiet stays quiet.
pub(super) fn stay(w: &mut World) {
    if !w.violations.is_empty() {
        return;
    }
    w.acts = 0;
    w.run_until(w.now + 950_000);
    if w.acts > 0 {
        w.wrong(format!("P17: a player at rest wanted {} things", w.acts));
    }
}
