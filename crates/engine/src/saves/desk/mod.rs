//! The desk of saves: every slot of every player on this device, and what it is given to do.
//!
//! Owns where save sets lie here, the machine of each slot, when folders are looked at, and whether a game runs. Asks `Slot`
//! what is next and hands it to the worker (`drive`); what a person asks for is `commands`', who waits for
//! it `waiting`'s, what is shown `views`'. What a
//! player's devices tell each other is `players`'.

mod checks;
mod commands;
mod drive;
mod due;
mod hear;
mod pictures;
mod resolving;
mod safety;
mod switch;
mod turns;
mod verification;
mod views;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bonfire_proto::{GameId, PeerId, PlayerId, SlotName, SnapshotId};

use super::join::Line;
use super::slot::{Slot, SlotRecord, Standing};
use super::work::{Placement, SetKey};
use crate::input::CommandId;
use crate::record::{Holding, KnownNode, KnownSet, KnownSlot, Stored};
use crate::replication::model::{Choice, SlotHead};
use crate::saves_view::{PlayerView, SlotView};
use crate::time::Instant;

use switch::{Both, Switch};
use verification::Verifying;
use waiting::Wait;

/// One save set on this device.
#[derive(Debug, Default)]
struct Set {
    /// Where it lies here; absent for one that other devices have, and this one only keeps and passes on.
    place: Option<Placement>,
    /// The line whose files are on the disk.
    active: Option<SlotName>,
    lines: BTreeMap<SlotName, Entry>,
    /// A play session: its processes.
    session: Option<BTreeSet<u32>>,
    /// Whether the worker saw the game run.
    is_seen_running: bool,
    /// When something stirred first and last, since it was looked at.
    stirred: Option<(Instant, Instant)>,
    /// When to look again whether the game runs.
    check_at: Option<Instant>,
    /// Whether that is being looked at.
    is_checking: bool,
    /// Since when the game runs, as far as that was counted.
    runs_since: Option<Instant>,
    /// How long it ran for what no version has yet.
    played: Duration,
    switch: Option<Switch>,
    /// Whether a line waits until another has left the disk.
    has_waiting_lines: bool,
}

/// One line.
#[derive(Debug)]
struct Entry {
    slot: Slot,
    /// Whether the player said that this device leaves it alone.
    is_untracked: bool,
    /// Whether it counts as current when it is fetched.
    is_optimistic: bool,
    last_synced_at: Option<u64>,
    /// What was made durable last.
    recorded: (SlotRecord, Option<u64>),
    /// What the other devices were told last.
    told: Option<SlotHead>,
    /// What was told to front ends last.
    shown: ShownStanding,
    /// When to look again at a disk that did not settle or could not be read, and how long it was waited.
    look: Option<(Instant, u32)>,
    /// When to try again what failed, and how often it was tried.
    retry: Option<(Instant, u32)>,
    /// When to ask again for a version that is somewhere and did not come, and how often that was done.
    refetch: Option<(Instant, u32)>,
    waiting: Vec<(CommandId, Wait)>,
    is_pruning: bool,
    making: Option<Making>,
    /// How the conflict is settled that a person wants settled.
    choice: Option<Choice>,
    /// Sides that get slots of their own first.
    both: Option<Both>,
    /// What was seen in its folders and is no part of it.
    problems: Vec<String>,
}

/// What is being made.
#[derive(Debug)]
struct Making {
    /// Its name in the audit log.
    action: &'static str,
    /// How a conflict is settled by it.
    choice: Option<Choice>,
    /// How long the game ran for it.
    played: Duration,
}

/// What front ends know of a line from events.
#[derive(Debug, Default)]
struct ShownStanding {
    sides: BTreeSet<SnapshotId>,
    standing: Option<Standing>,
    failure: Option<String>,
    has_edit_survived: bool,
}

/// Every slot of this device.
#[derive(Debug)]
pub struct Desk {
    me: PeerId,
    sets: BTreeMap<SetKey, Set>,
    /// Lines to drive before the batch ends.
    due: BTreeSet<Line>,
    /// Lines and players whose views are made anew before the batch ends.
    touched: BTreeSet<Line>,
    touched_players: BTreeSet<PlayerId>,
    slot_views: BTreeMap<Line, Arc<SlotView>>,
    player_views: BTreeMap<PlayerId, PlayerView>,
    reconcile_at: Option<Instant>,
    /// Verifications under way, by the command that asked.
    verifying: BTreeMap<CommandId, Verifying>,
    /// Operations that wait for saves to be in history.
    safety: Vec<safety::Safety>,
}

impl Desk {
    /// As it was left. Takes its part out of `stored`.
    #[must_use]
    pub fn restore(me: PeerId, stored: &mut Stored) -> Self {
        let mut desk = Self {
            me,
            sets: BTreeMap::new(),
            due: BTreeSet::new(),
            touched: BTreeSet::new(),
            touched_players: BTreeSet::new(),
            slot_views: BTreeMap::new(),
            player_views: BTreeMap::new(),
            reconcile_at: None,
            verifying: BTreeMap::new(),
            safety: Vec::new(),
        };
        for KnownSet { set, place, slot } in std::mem::take(&mut stored.sets) {
            desk.sets.insert(set, Set { place: Some(place), active: Some(slot), ..Set::default() });
        }
        let mut nodes: BTreeMap<Line, Vec<KnownNode>> = BTreeMap::new();
        for (line, known) in std::mem::take(&mut stored.nodes) {
            nodes.entry(line).or_default().extend(known);
        }
        for KnownSlot { line, record, last_synced_at } in std::mem::take(&mut stored.slots) {
            let known = nodes.remove(&line).unwrap_or_default();
            desk.restore_line(line, record, last_synced_at, known);
        }
        for (line, known) in nodes {
            desk.restore_line(line, SlotRecord::default(), None, known);
        }
        // A place that nothing was found at yet has a line, too.
        let keys: Vec<SetKey> = desk.sets.keys().cloned().collect();
        for line in keys.iter().filter_map(|key| desk.active(key)).collect::<Vec<_>>() {
            desk.entry(&line);
        }
        desk
    }

    fn restore_line(&mut self, line: Line, record: SlotRecord, last_synced_at: Option<u64>, known: Vec<KnownNode>) {
        let is_untracked = record.is_untracked;
        let pruned: Vec<SnapshotId> =
            known.iter().filter(|n| n.holding == Holding::Pruned).map(|n| n.node.id).collect();
        let recorded = (record.clone(), last_synced_at);
        let stored = known.into_iter().map(|n| (n.node, n.holding == Holding::Whole));
        let mut slot = Slot::restore(self.me, record, stored);
        slot.pruned(pruned);
        let mut entry = Entry::new(slot, is_untracked);
        entry.last_synced_at = last_synced_at;
        entry.recorded = recorded;
        self.sets.entry(SetKey::of(&line)).or_default().lines.insert(line.slot, entry);
    }

    /// The line, made when it is not there.
    fn entry(&mut self, line: &Line) -> &mut Entry {
        let (me, set) = (self.me, self.sets.entry(SetKey::of(line)).or_default());
        set.lines
            .entry(line.slot.clone())
            .or_insert_with(|| Entry::new(Slot::restore(me, SlotRecord::default(), []), false))
    }

    fn get(&self, line: &Line) -> Option<&Entry> {
        self.sets.get(&SetKey::of(line))?.lines.get(&line.slot)
    }

    fn get_mut(&mut self, line: &Line) -> Option<&mut Entry> {
        self.sets.get_mut(&SetKey::of(line))?.lines.get_mut(&line.slot)
    }

    /// The line of a set whose files are on the disk.
    fn active(&self, set: &SetKey) -> Option<Line> {
        let found = self.sets.get(set).filter(|s| s.place.is_some())?;
        found.active.as_ref().map(|slot| set.line(slot))
    }

    fn lines_of(&self, player: PlayerId) -> Vec<Line> {
        let of = self.sets.iter().filter(|(key, _)| key.player == player);
        of.flat_map(|(key, set)| set.lines.keys().map(|slot| key.line(slot))).collect()
    }

    fn all_lines(&self) -> Vec<Line> {
        self.sets.iter().flat_map(|(key, set)| set.lines.keys().map(|slot| key.line(slot))).collect()
    }

    /// Whether the game is known to run here, for any player.
    pub(crate) fn is_running(&self, game: &GameId) -> bool {
        self.sets.iter().any(|(key, set)| key.game == *game && set.is_running())
    }

    /// Has a line driven, and shown anew.
    fn stir(&mut self, line: &Line) {
        self.due.insert(line.clone());
        self.touched.insert(line.clone());
    }
}

impl Set {
    fn is_running(&self) -> bool {
        self.session.is_some() || self.is_seen_running
    }

    /// Counts how long the game ran until now. To be called when that it runs began or ended.
    fn clock(&mut self, now: Instant) {
        let runs_since = self.is_running().then_some(now);
        let began = std::mem::replace(&mut self.runs_since, runs_since);
        self.played += began.map_or(Duration::ZERO, |began| now.since(began));
    }

    fn pids(&self) -> Vec<u32> {
        self.session.iter().flatten().copied().collect()
    }
}

impl Entry {
    fn new(slot: Slot, is_untracked: bool) -> Self {
        Self {
            slot,
            is_untracked,
            is_optimistic: false,
            last_synced_at: None,
            recorded: (SlotRecord::default(), None),
            told: None,
            shown: ShownStanding::default(),
            look: None,
            retry: None,
            refetch: None,
            waiting: Vec::new(),
            is_pruning: false,
            making: None,
            choice: None,
            both: None,
            problems: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
