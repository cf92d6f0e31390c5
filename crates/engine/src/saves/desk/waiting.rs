//! Who waits for what of a save, and what they are answered.
//!
//! Owns what there is to wait for. What was asked, and whether it may be, is `commands`'.

use std::collections::BTreeSet;

use bonfire_proto::SnapshotId;

use super::SetKey;
use super::commands::refused;
use crate::command::ResolveWith;
use crate::engine::Engine;
use crate::input::{CommandId, OpId};
use crate::replication::model::Choice;
use crate::report::Report;
use crate::saves::join::Line;
use crate::saves::slot::{Standing, Wish};
use crate::saves::stale::{Push, Verdict, judge, shown};

/// What somebody waits for.
#[derive(Debug)]
pub(super) enum Wait {
    /// That nothing is under way.
    Rest,
    /// That no work on the disk is under way: from then on the game has it.
    Disk,
    /// That it is known whether there is a conflict, which is then settled so.
    Decided(ResolveWith),
    /// That what is on the disk is in history, and the newest; it may be put over these heads.
    Pushed(Option<BTreeSet<SnapshotId>>),
    /// That what is on the disk is in history, whatever stands beside it: an operation takes it away then.
    Safe(OpId),
}

impl Engine {
    /// What somebody who waits for a line is answered; `None` while it has not come.
    pub(super) fn outcome(&mut self, line: &Line, wait: &Wait) -> Option<Result<(), Report>> {
        let is_switching = self.desk.sets.get(&SetKey::of(line)).is_some_and(|s| s.switch.is_some());
        let entry = self.desk.get_mut(line)?;
        if let Wait::Disk = wait {
            return (!entry.slot.is_busy() && !is_switching).then_some(Ok(()));
        }
        if let Some(error) = entry.slot.failure() {
            return Some(Err(error.clone()));
        }
        let cannot_be_read =
            entry.slot.standing() == Standing::Waiting && entry.look.is_some_and(|(_, times)| times > 3);
        if !entry.is_at_rest() && !cannot_be_read {
            return None;
        }
        if entry.both.is_some() {
            return None;
        }
        if entry.slot.has_wish() {
            return Some(Err(unfulfilled(entry.slot.standing())));
        }
        match wait {
            Wait::Safe(_) if entry.slot.standing() == Standing::Held => {
                Some(Err(refused("held", "it is missing or much smaller than it was; answer that first")))
            }
            Wait::Safe(_) if cannot_be_read => {
                Some(Err(refused("unreadable", "it cannot be read, or is being written to")))
            }
            Wait::Rest | Wait::Disk | Wait::Decided(_) | Wait::Safe(_) => Some(Ok(())),
            Wait::Pushed(overwrite) => self.pushed(line, overwrite.as_ref()),
        }
    }

    fn pushed(&mut self, line: &Line, overwrite: Option<&BTreeSet<SnapshotId>>) -> Option<Result<(), Report>> {
        let entry = self.desk.get_mut(line)?;
        if entry.slot.standing() == Standing::Held {
            return Some(Err(refused("held", "the save on the disk is missing or much smaller than it was")
                .hint("if that is meant: bonfire saves release GAME --keep-disk")));
        }
        let Some(base) = entry.slot.record().base else { return Some(Ok(())) };
        let lineage = entry.slot.lineage();
        let content = lineage.get(&base)?.content;
        let heads = entry.slot.heads();
        let push = Push { parents: BTreeSet::from([base]), content, overwrite: overwrite.cloned() };
        let told = shown(&heads, lineage);
        let verdict = match judge(&push, &heads, lineage) {
            // Somebody did the same already, and something else stands beside it: that was not shown to who asks.
            Verdict::Repeated { .. } if !entry.slot.sides().is_empty() => {
                Verdict::StaleConflict { heads: told.clone() }
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Accept { .. } if heads == BTreeSet::from([base]) => Some(Ok(())),
            Verdict::Repeated { .. } | Verdict::SameContent { .. } => Some(Ok(())),
            Verdict::Accept { .. } => {
                // Over the heads that were shown: all of them stay in history below it.
                if entry.slot.sides().is_empty() {
                    return Some(Err(nothing_new(line, base)));
                }
                entry.choice = Some(Choice::Mine);
                match entry.slot.wish(Wish::Resolve(base)) {
                    Ok(()) => {
                        self.desk.due.insert(line.clone());
                        None
                    }
                    Err(error) => Some(Err(error)),
                }
            }
            verdict @ (Verdict::Stale { .. } | Verdict::StaleConflict { .. }) => {
                let mut report = verdict.report(line.slot.as_str())?;
                for head in told {
                    let who = head.known.as_ref().map(|k| self.players.device_name(line.player, k.device));
                    let (at, size) = head.known.as_ref().map_or((0, 0), |k| (k.created_at, k.size));
                    let who = who.unwrap_or_default();
                    report.message.push_str(&format!("; {} by {who:?} at {at} with {size} bytes", head.id));
                }
                Some(Err(report))
            }
        }
    }

    pub(super) fn wait(&mut self, line: &Line, id: CommandId, wait: Wait) {
        self.desk.entry(line).waiting.push((id, wait));
        self.desk.stir(line);
    }
}

/// Why a wish is not carried out though nothing is under way that it could wait for.
pub(super) fn unfulfilled(standing: Standing) -> Report {
    match standing {
        Standing::Deferred => refused("game_running", "it is done when the game has ended"),
        Standing::Held => refused("held", "the save on the disk is missing or much smaller; answer that first")
            .hint("see: bonfire saves release --help"),
        _ => refused("not_fetched", "what it needs is on no connected device; it is done as soon as one has it"),
    }
}

/// What is on the disk is in history below what it was to be put over, or nobody can tell yet.
fn nothing_new(line: &Line, base: SnapshotId) -> Report {
    let text = format!("what is on the disk of {} is version {base}, and nothing newer", line.game_id);
    let hint =
        format!("to go back to it once the newest version is here: bonfire saves rollback {} {base}", line.game_id);
    refused("nothing_new", &text).hint(hint)
}
