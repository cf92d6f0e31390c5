//! What is on the disk is brought into history before something takes it away: the saves of a game that is uninstalled.
//!
//! Owns which lines are waited for, and what they came to. What is taken away then, and when, is not decided here.

use std::collections::BTreeSet;

use bonfire_proto::GameId;

use super::Desk;
use super::waiting::Wait;
use crate::engine::Engine;
use crate::input::{CommandId, OpId};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;

/// An operation that waits for the saves of its game.
#[derive(Debug)]
pub(super) struct Safety {
    op: OpId,
    waits_for: BTreeSet<Line>,
    failed: Option<Report>,
}

impl Engine {
    /// Has the saves of a game that lie on this disk looked at and brought into history, for an operation that may take
    /// them away. Returns whether there are any to wait for; `take_safe` says when they are safe.
    pub(crate) fn make_safe(&mut self, game: &GameId, op: OpId) -> bool {
        let of_game = self.desk.sets.keys().filter(|key| key.game == *game).cloned().collect::<Vec<_>>();
        let lines = of_game.iter().filter_map(|key| self.desk.active(key));
        let is_kept = |line: &Line| {
            let is_untracked = self.desk.get(line).is_none_or(|entry| entry.is_untracked);
            !is_untracked && self.players.takes_part(line.player)
        };
        let lines: BTreeSet<Line> = lines.filter(is_kept).collect();
        for line in &lines {
            self.look_now(line);
            // Nobody asked by a command: the answer goes to the operation.
            self.wait(line, CommandId(0), Wait::Safe(op));
        }
        let is_waiting = !lines.is_empty();
        if is_waiting {
            self.desk.safety.push(Safety { op, waits_for: lines, failed: None });
        }
        is_waiting
    }

    /// Operations whose saves are in history now, or why one is not.
    pub(crate) fn take_safe(&mut self) -> Vec<(OpId, Option<Report>)> {
        let (over, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.desk.safety).into_iter().partition(|s| s.waits_for.is_empty());
        self.desk.safety = left;
        over.into_iter().map(|s| (s.op, s.failed)).collect()
    }
}

impl Desk {
    /// What a line that is waited for came to.
    pub(super) fn is_safe(&mut self, op: OpId, line: &Line, outcome: Result<(), Report>) {
        let Some(safety) = self.safety.iter_mut().find(|s| s.op == op) else { return };
        safety.waits_for.remove(line);
        if let Err(why) = outcome {
            let text = format!("the save of {} could not be kept first: {}", line.game_id, why.message);
            let report = Report::new(ErrorClass::Refused, "save_not_kept", text);
            safety.failed.get_or_insert(report.hint("see: bonfire saves list; nothing was taken away"));
        }
    }
}
