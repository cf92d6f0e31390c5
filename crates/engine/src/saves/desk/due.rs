//! What time brings to the desk: folders that came to rest, disks to look at again, games that may have ended.
//!
//! Owns the waits. Nothing here runs while nothing happens, but for one look at everything in a quarter of an hour, which
//! catches what the watcher missed and reads no file that has its size and time.

use std::time::Duration;

use super::{Desk, SetKey};
use crate::engine::Engine;
use crate::input::Effect;
use crate::saves::work::{SaveJob, SaveWork};
use crate::time::Instant;

/// How long the folders of a save have to be at rest before they are looked at.
pub(super) const SETTLE: Duration = Duration::from_secs(1);
/// How long they are waited for at most: a game that writes all the time is looked at all the same.
pub(super) const SETTLE_MAX: Duration = Duration::from_secs(15);
/// Between looks at everything.
pub(super) const RECONCILE_EVERY: Duration = Duration::from_secs(900);
/// Between looks whether a game that runs still does.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(3);
/// Longest wait between attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(300);

impl Desk {
    /// Something stirred in the folders of a set.
    pub(super) fn stirred(&mut self, now: Instant, key: &SetKey) {
        if let Some(set) = self.sets.get_mut(key).filter(|s| s.place.is_some()) {
            let first = set.stirred.map_or(now, |(first, _)| first);
            set.stirred = Some((first, now));
        }
    }

    /// When the desk is to be woken, and why.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let of_sets = self.sets.values().flat_map(|set| {
            let entries = set.lines.values().flat_map(|e| {
                let look = e.look.map(|(at, _)| (at, "look at a save again"));
                let retry = e.retry.map(|(at, _)| (at, "try a save again"));
                [look, retry, e.refetch.map(|(at, _)| (at, "ask for a version again"))]
            });
            let settled = set.stirred.map(|(first, last)| ((last + SETTLE).min(first + SETTLE_MAX), "a save at rest"));
            let check = set.check_at.filter(|_| !set.is_checking).map(|at| (at, "whether a game runs"));
            entries.chain([settled, check]).flatten()
        });
        of_sets.chain(self.reconcile_at.map(|at| (at, "look at all saves"))).min()
    }
}

impl Engine {
    /// Begins: every slot is driven, every folder watched.
    pub(crate) fn begin_saves(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        let wall = self.wall;
        match self.players.begin(wall, fx) {
            Ok(news) => self.news(news, fx),
            Err(error) => self.problem(None, error, fx),
        }
        for (player, device, uuid) in self.players.all_heads() {
            self.head_told(player, device, uuid);
        }
        for (key, set) in &self.desk.sets {
            if let Some(place) = &set.place {
                fx.push(Effect::WatchSave(key.clone(), place.clone()));
            }
        }
        for line in self.desk.all_lines() {
            let told = self.own_head(&line);
            if let Some(entry) = self.desk.get_mut(&line) {
                entry.told = told;
                // Nobody can be asked yet.
                entry.slot.sources_changed(false);
            }
            self.desk.stir(&line);
        }
        self.desk.touched_players = self.players.all.keys().copied().collect();
        self.desk.reconcile_at = Some(now + RECONCILE_EVERY);
    }

    /// Has done what is due.
    pub(crate) fn due_saves(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        if self.desk.reconcile_at.is_some_and(|at| at <= now) {
            self.desk.reconcile_at = Some(now + RECONCILE_EVERY);
            for set in self.desk.sets.values_mut().filter(|s| s.place.is_some()) {
                set.stirred = Some((now - SETTLE_MAX, now - SETTLE));
            }
        }
        let is_due = self.desk.next_deadline().is_some_and(|(at, _)| at <= now);
        let keys: Vec<SetKey> = if is_due { self.desk.sets.keys().cloned().collect() } else { Vec::new() };
        for key in keys {
            self.due_set(now, &key, fx);
        }
        self.drive_saves(fx);
        self.go_on_uninstalling(now, fx);
        self.show_saves();
    }

    fn due_set(&mut self, now: Instant, key: &SetKey, fx: &mut Vec<Effect>) {
        let active = self.desk.active(key);
        let Some(set) = self.desk.sets.get_mut(key) else { return };
        let mut lines = Vec::new();
        if set.stirred.is_some_and(|(first, last)| (last + SETTLE).min(first + SETTLE_MAX) <= now) {
            set.stirred = None;
            if let Some(line) = &active
                && let Some(entry) = set.lines.get_mut(&line.slot)
            {
                entry.slot.stirred();
                lines.push(line.clone());
            }
        }
        for (slot, entry) in &mut set.lines {
            if entry.look.is_some_and(|(at, _)| at <= now) {
                let times = entry.look.map_or(0, |(_, times)| times);
                entry.look = Some((Instant(u64::MAX), times));
                entry.slot.stirred();
                lines.push(key.line(slot));
            }
            if entry.retry.is_some_and(|(at, _)| at <= now) {
                let times = entry.retry.map_or(0, |(_, times)| times);
                entry.retry = Some((Instant(u64::MAX), times));
                entry.slot.retry();
                lines.push(key.line(slot));
            }
            if let Some((_, times)) = entry.refetch.filter(|(at, _)| *at <= now) {
                entry.refetch = Some((Instant(u64::MAX), times));
                entry.slot.ask_again();
                lines.push(key.line(slot));
            }
        }
        let check = set.check_at.is_some_and(|at| at <= now) && !set.is_checking;
        if let (true, Some(line)) = (check, &active) {
            set.is_checking = true;
            set.check_at = None;
            let pids = set.pids();
            let place = self.placement(line);
            let work = SaveWork::IsRunning { place, pids };
            fx.push(Effect::Save(Box::new(SaveJob { line: line.clone(), work })));
        }
        for line in lines {
            self.desk.stir(&line);
        }
    }
}

/// The wait after `times` attempts.
pub(super) fn backoff(first: Duration, times: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times.min(16))).min(BACKOFF_MAX)
}
