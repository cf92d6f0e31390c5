//! Settling a conflict: with a side, or with all of them in slots of their own.
//!
//! Owns what each answer of a person means for the sides there are. What becomes of the wish is `Slot`'s.

use std::collections::BTreeSet;

use bonfire_proto::{SlotName, SnapshotId, text};

use super::commands::refused;
use super::switch::Both;
use super::waiting::Wait;
use super::{Entry, SetKey};
use crate::command::{ResolveWith, SaveRef};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::replication::model::Choice;
use crate::report::Report;
use crate::saves::join::Line;
use crate::saves::slot::{Standing, Wish};
use crate::saves::work::{SaveJob, SaveWork};

impl Engine {
    /// Settles a conflict with one of its sides, or all of them. Whether there is one is not known before the disk was
    /// looked at, as right after a start: then that is waited for.
    pub(super) fn resolve(
        &mut self,
        id: CommandId,
        at: &SaveRef,
        with: ResolveWith,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let line = self.tracked(at)?;
        let entry = self.desk.entry(&line);
        if entry.slot.sides().is_empty() && !entry.is_decided() {
            if !entry.slot.is_busy() {
                self.look_now(&line);
            }
            self.wait(&line, id, Wait::Decided(with));
            return Ok(());
        }
        self.resolve_now(id, line, &with, fx)
    }

    /// As `resolve`, of a line whose disk was looked at.
    pub(super) fn resolve_now(
        &mut self,
        id: CommandId,
        line: Line,
        with: &ResolveWith,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let entry = self.desk.entry(&line);
        let sides: Vec<SnapshotId> = entry.slot.sides().into_iter().collect();
        if sides.is_empty() && entry.slot.standing() == Standing::Waiting {
            let text = "what is on the disk cannot be compared yet, so whether there is a conflict is not known";
            return Err(refused("not_settled", text).retryable());
        }
        if sides.is_empty() {
            return Err(refused("no_conflict", "there is no conflict to resolve"));
        }
        let base = entry.slot.record().base;
        let mine =
            base.ok_or_else(|| refused("no_save", "this device's disk is no side of it; name one with --use ID"));
        let (content, choice) = match with {
            ResolveWith::Mine => (mine?, Choice::Mine),
            ResolveWith::Theirs => match sides.as_slice() {
                [only] => (*only, Choice::Theirs),
                several => {
                    let text = format!("there are {} other sides", several.len());
                    return Err(refused("which_side", &text).hint("name one with --use ID"));
                }
            },
            ResolveWith::Use(named) => (*named, Choice::Named),
            ResolveWith::Both => {
                mine?;
                if entry.both.is_some() {
                    return Err(refused("busy", "this conflict is being settled already").retryable());
                }
                if let Some(missing) = sides.iter().find(|s| !entry.slot.whole().contains(s)) {
                    let text = format!("version {missing} is not here yet");
                    return Err(refused("not_fetched", &text).retryable());
                }
                entry.choice = Some(Choice::Both);
                return self.branch_sides(id, &line, &sides, fx);
            }
        };
        entry.slot.wish(Wish::Resolve(content))?;
        entry.choice = Some(choice);
        self.look_now(&line);
        self.wait(&line, id, Wait::Rest);
        Ok(())
    }

    fn branch_sides(
        &mut self,
        id: CommandId,
        line: &Line,
        sides: &[SnapshotId],
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let key = SetKey::of(line);
        let mut left = BTreeSet::new();
        for side in sides {
            let device = self.desk.get(line).and_then(|e| e.slot.lineage().get(side)).map(|n| n.device);
            let name = device.map(|d| self.players.device_name(line.player, d)).unwrap_or_default();
            let slot = self.free_slot(&key, &line.slot, &name, &left);
            let stamp = self.players.stamp(self.wall, fx)?;
            let work = SaveWork::Branch { from: *side, stamp };
            fx.push(Effect::Save(Box::new(SaveJob { line: key.line(&slot), work })));
            left.insert(slot);
        }
        self.desk.entry(line).both = Some(Both { command: id, left });
        Ok(())
    }

    /// A name for a slot that no line has.
    fn free_slot(&self, key: &SetKey, slot: &SlotName, device: &str, taken: &BTreeSet<SlotName>) -> SlotName {
        let lines = self.desk.sets.get(key).map(|s| &s.lines);
        let is_free = |name: &SlotName| !taken.contains(name) && lines.is_none_or(|l| !l.contains_key(name));
        let from = if device.is_empty() { "other" } else { device };
        let long = text::clean_to(&format!("{slot}-{from}"), bonfire_proto::limits::SLOT_LEN_MAX - 4);
        let stem = long.trim().to_owned();
        let numbered = (1u32..).map(|n| if n == 1 { stem.clone() } else { format!("{stem}-{n}") });
        numbered.filter_map(|name| SlotName::new(name).ok()).find(is_free).unwrap_or_else(SlotName::main)
    }
}

impl Entry {
    /// Whether what is shown follows from a look at the disk, or cannot for now.
    pub(super) fn is_decided(&self) -> bool {
        self.slot.standing() != Standing::Unknown && (self.is_at_rest() || self.slot.standing() == Standing::Waiting)
    }
}
