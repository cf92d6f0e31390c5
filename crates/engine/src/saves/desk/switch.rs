//! Another slot on this device's disk, and slots that begin with another's content.
//!
//! Owns the order: what is on the disk is in history of its own slot first, then the disk becomes the other slot's as one
//! unit, and only then is that slot the one whose files are here.

use std::collections::BTreeSet;
use std::time::Duration;

use bonfire_proto::{SlotName, SnapshotId};

use super::SetKey;
use super::waiting::unfulfilled;
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::record::{KnownSet, Record};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;
use crate::saves::slot::{Done, Standing, Wish};
use crate::saves::work::{SaveJob, SaveWork};
use crate::time::Instant;

/// A change of the slot on the disk.
#[derive(Debug)]
pub(super) struct Switch {
    to: SlotName,
    command: CommandId,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// What is on the disk is not in history yet, or something is under way.
    Waiting,
    /// The other slot is begun with what is on the disk.
    Branching,
    /// The disk is being made the other slot's.
    Applying(SnapshotId),
}

/// Sides of a conflict that get slots of their own before it is settled.
#[derive(Debug)]
pub(super) struct Both {
    pub(super) command: CommandId,
    /// Slots that are being begun.
    pub(super) left: BTreeSet<SlotName>,
}

impl Switch {
    pub(super) fn new(to: SlotName, command: CommandId) -> Self {
        Self { to, command, phase: Phase::Waiting }
    }

    /// Whether the disk is being changed by it.
    pub(super) fn holds_the_disk(&self) -> bool {
        matches!(self.phase, Phase::Applying(_))
    }
}

impl Engine {
    /// Takes the next step of a switch, when there is one.
    pub(super) fn go_on_switching(&mut self, key: &SetKey, fx: &mut Vec<Effect>) {
        let Some(set) = self.desk.sets.get(key) else { return };
        let waiting = set.switch.as_ref().filter(|s| s.phase == Phase::Waiting);
        let Some(to) = waiting.map(|s| s.to.clone()) else { return };
        let Some(from) = self.desk.active(key) else { return self.end_switch(key, Err(not_here(key)), fx) };
        let Some(entry) = self.desk.get(&from) else { return };
        if !entry.is_at_rest() || set.lines.values().any(|e| e.slot.is_busy()) {
            return;
        }
        if entry.slot.has_wish() {
            let error = unfulfilled(entry.slot.standing());
            return self.end_switch(key, Err(error), fx);
        }
        if set.is_running() {
            let error = Report::new(ErrorClass::Refused, "game_running", format!("{} is running", key.game));
            return self.end_switch(key, Err(error.hint("end the game first")), fx);
        }
        let base = entry.slot.record().base;
        match entry.slot.standing() {
            Standing::Current | Standing::Ahead => {}
            standing => {
                let text = format!("what is on the disk of {} is not settled ({standing:?})", key.game);
                let error = Report::new(ErrorClass::Refused, "not_settled", text);
                return self.end_switch(key, Err(error.hint("see what is wrong with: bonfire saves list")), fx);
            }
        }
        let line = key.line(&to);
        let target = self.desk.entry(&line);
        let heads: Vec<SnapshotId> = target.slot.heads().into_iter().collect();
        let are_known = heads.iter().all(|h| target.slot.lineage().get(h).is_some());
        let are_whole = heads.iter().all(|h| target.slot.whole().contains(h));
        match (heads.as_slice(), base) {
            ([], None) => {
                self.now_active(key, &from, &to, None, fx);
                self.end_switch(key, Ok(()), fx);
            }
            ([], Some(base)) => match self.players.stamp(self.wall, fx) {
                Ok(stamp) => {
                    self.set_phase(key, Phase::Branching);
                    let work = SaveWork::Branch { from: base, stamp };
                    fx.push(Effect::Save(Box::new(SaveJob { line, work })));
                }
                Err(error) => self.end_switch(key, Err(error), fx),
            },
            ([head], _) if are_whole => {
                let head = *head;
                self.set_phase(key, Phase::Applying(head));
                let pids = self.desk.sets.get(key).map(super::Set::pids).unwrap_or_default();
                let work = SaveWork::Apply { place: self.placement(&line), from: base, to: head, pids };
                fx.push(Effect::Save(Box::new(SaveJob { line, work })));
            }
            // Of heads whose past is not known here, one may well follow from the other.
            _ if heads.len() == 1 || !are_known => {
                let text = format!("the newest version of slot {to} is not here yet");
                let error = Report::new(ErrorClass::Refused, "not_fetched", text).retryable();
                self.end_switch(key, Err(error.hint("have a device that holds it running")), fx);
            }
            _ => {
                let text = format!("slot {to} is in conflict");
                let error = Report::new(ErrorClass::Refused, "in_conflict", text);
                self.end_switch(key, Err(error.hint("settle it on a device that has it on its disk")), fx);
            }
        }
    }

    /// An apply ended: whether it was that of a switch, which is then taken note of.
    pub(super) fn switched(&mut self, now: Instant, line: &Line, done: &Done<()>, fx: &mut Vec<Effect>) -> bool {
        let key = SetKey::of(line);
        let applying = self.desk.sets.get(&key).and_then(|s| s.switch.as_ref()).filter(|s| s.to == line.slot);
        let Some(Phase::Applying(head)) = applying.map(|s| &s.phase) else { return false };
        let head = *head;
        let Some(from) = self.desk.active(&key) else { return false };
        match done {
            Done::Well(()) => {
                self.now_active(&key, &from, &line.slot, Some(head), fx);
                self.audit(line, self.me, "switched", Some(head), Vec::new(), from.slot.as_str(), fx);
                self.end_switch(&key, Ok(()), fx);
            }
            // Somebody wrote meanwhile: it becomes a version of its own slot first.
            Done::Changed => {
                self.set_phase(&key, Phase::Waiting);
                self.desk.stirred(now, &key);
                self.desk.stir(&from);
            }
            Done::Failed(error) => self.end_switch(&key, Err(error.clone()), fx),
        }
        self.desk.stir(line);
        true
    }

    /// A line was begun with another's content.
    pub(super) fn branched(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        let key = SetKey::of(line);
        let is_switch = self
            .desk
            .sets
            .get(&key)
            .and_then(|s| s.switch.as_ref())
            .is_some_and(|s| s.to == line.slot && s.phase == Phase::Branching);
        if is_switch && let Some(from) = self.desk.active(&key) {
            // From here on as with any other slot: the disk is looked at once more, in case somebody wrote meanwhile.
            self.set_phase(&key, Phase::Waiting);
            self.desk.stir(&from);
        }
        self.both_went_on(&key, &line.slot, fx);
    }

    /// A line could not be begun.
    pub(super) fn branch_failed(&mut self, line: &Line, error: &Report, fx: &mut Vec<Effect>) {
        let key = SetKey::of(line);
        let is_switch = self
            .desk
            .sets
            .get(&key)
            .and_then(|s| s.switch.as_ref())
            .is_some_and(|s| s.to == line.slot && s.phase == Phase::Branching);
        if is_switch {
            self.end_switch(&key, Err(error.clone()), fx);
        }
        let Some(set) = self.desk.sets.get_mut(&key) else { return };
        for entry in set.lines.values_mut() {
            if let Some(both) = entry.both.take_if(|b| b.left.contains(&line.slot)) {
                fx.push(Effect::Reply(both.command, Err(error.clone())));
            }
        }
    }

    /// One more side of a conflict has a slot of its own; with the last the conflict is settled with what is on the disk.
    fn both_went_on(&mut self, key: &SetKey, slot: &SlotName, fx: &mut Vec<Effect>) {
        let Some(set) = self.desk.sets.get_mut(key) else { return };
        let mut ready = None;
        for (name, entry) in &mut set.lines {
            let Some(both) = &mut entry.both else { continue };
            both.left.remove(slot);
            if both.left.is_empty() {
                ready = Some((name.clone(), both.command));
            }
        }
        let Some((name, command)) = ready else { return };
        let Some(entry) = set.lines.get_mut(&name) else { return };
        entry.both = None;
        let Some(base) = entry.slot.record().base else { return };
        match entry.slot.wish(Wish::Resolve(base)) {
            Ok(()) => entry.waiting.push((command, super::Wait::Rest)),
            Err(error) => fx.push(Effect::Reply(command, Err(error))),
        }
        let line = key.line(&name);
        self.desk.stir(&line);
    }

    fn now_active(&mut self, key: &SetKey, from: &Line, to: &SlotName, base: Option<SnapshotId>, fx: &mut Vec<Effect>) {
        if let Some(entry) = self.desk.get_mut(from).filter(|_| from.slot != *to) {
            entry.slot.place(None);
        }
        let line = key.line(to);
        self.desk.entry(&line).slot.place(base);
        if let Some(set) = self.desk.sets.get_mut(key) {
            set.active = Some(to.clone());
            // What was played without being saved was no part of the other line.
            set.played = Duration::ZERO;
            if let Some(place) = &set.place {
                let known = KnownSet { set: key.clone(), place: place.clone(), slot: to.clone() };
                fx.push(Effect::Record(vec![Record::Set(known)]));
            }
        }
        self.desk.stir(from);
        self.desk.stir(&line);
    }

    fn set_phase(&mut self, key: &SetKey, phase: Phase) {
        if let Some(switch) = self.desk.sets.get_mut(key).and_then(|s| s.switch.as_mut()) {
            switch.phase = phase;
        }
    }

    fn end_switch(&mut self, key: &SetKey, outcome: Result<(), Report>, fx: &mut Vec<Effect>) {
        let Some(switch) = self.desk.sets.get_mut(key).and_then(|s| s.switch.take()) else { return };
        let line = key.line(&switch.to);
        match outcome {
            Ok(()) => {
                self.desk.entry(&line).waiting.push((switch.command, super::Wait::Rest));
                self.desk.stir(&line);
            }
            Err(error) => fx.push(Effect::Reply(switch.command, Err(error))),
        }
        if let Some(active) = self.desk.active(key) {
            self.desk.stir(&active);
        }
        let all = self.desk.sets.get(key).into_iter().flat_map(|set| set.lines.keys());
        let all: Vec<Line> = all.map(|slot| key.line(slot)).collect();
        self.desk.due.extend(all);
    }
}

pub(super) fn not_here(key: &SetKey) -> Report {
    Report::new(ErrorClass::NotFound, "no_save_set", format!("where {} keeps its saves here is not known", key.game))
        .hint(format!("say it with: bonfire saves add {} PATH", key.game))
}
