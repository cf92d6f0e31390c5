//! Whose turn it is on the disk that the lines of a set share, and whether a line takes part at all.
//!
//! Owns that of the work that touches a set's disk one piece is under way at a time. What a line does with its turn is
//! `drive`'s.

use super::{SetKey, Switch};
use crate::engine::Engine;
use crate::saves::join::Line;

impl Engine {
    /// Whether another line of the set is at work on the disk that they share.
    pub(super) fn is_disk_taken(&mut self, line: &Line) -> bool {
        let key = SetKey::of(line);
        let is_active = self.desk.active(&key).as_ref() == Some(line);
        let Some(set) = self.desk.sets.get_mut(&key) else { return false };
        let is_switching = set.switch.as_ref().is_some_and(Switch::holds_the_disk);
        let is_taken = set.lines.iter().any(|(slot, entry)| *slot != line.slot && entry.slot.is_busy());
        set.has_waiting_lines |= is_taken;
        // When the switch ends all of them are driven.
        is_taken || (is_switching && !is_active)
    }

    /// Has the other lines of a set go on when nothing is at work on its disk any more.
    pub(super) fn give_way(&mut self, line: &Line) {
        let Some(set) = self.desk.sets.get_mut(&SetKey::of(line)) else { return };
        let is_free = set.lines.values().all(|entry| !entry.slot.is_busy());
        if is_free && std::mem::take(&mut set.has_waiting_lines) {
            let others = set.lines.keys().filter(|slot| **slot != line.slot);
            let others: Vec<Line> = others.map(|slot| SetKey::of(line).line(slot)).collect();
            self.desk.due.extend(others);
        }
    }

    /// Tells the line whether it takes part, and whether its game runs.
    pub(super) fn adjust(&mut self, line: &Line) {
        let key = SetKey::of(line);
        let is_active = self.desk.active(&key).as_ref() == Some(line);
        let takes_part = self.players.takes_part(line.player);
        let Some(set) = self.desk.sets.get_mut(&key) else { return };
        let is_running = set.is_running();
        let is_switching = set.switch.as_ref().is_some_and(Switch::holds_the_disk);
        let is_placed = set.place.is_some();
        let Some(entry) = set.lines.get_mut(&line.slot) else { return };
        entry.slot.on_disk(is_active || !is_placed);
        let is_tracked = is_active && takes_part && !entry.is_untracked && !is_switching;
        // What is under way is brought to its end first.
        if is_tracked == entry.slot.record().is_untracked && !entry.slot.is_busy() {
            entry.slot.track(is_tracked);
            // Whoever leaves the disk alone looks no more; whoever takes part again looks at once.
            entry.look = None;
        }
        if is_active && entry.slot.is_running() != is_running {
            entry.slot.running(is_running);
        }
    }
}
