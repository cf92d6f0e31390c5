//! What must hold of a simulated player, and what only the simulation knows: every version that was ever made, who was
//! ever a device of whom, what a disk has had. Owns the checks during a run, and those once all is healed and quiet. Named
//! after the list of properties in the research: P1 is property 1.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::Report;
use bonfire_engine::command::{Command, Reply, SavesCommand};
use bonfire_engine::input::CommandId;
use bonfire_engine::saves::decide::{Measure, is_shrunk};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::{Lineage, Node};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::saves_view::{PlayerView, SlotView};
use bonfire_proto::hlc::Hlc;
use bonfire_proto::{PlayerId, SaveHash, SnapshotId};

use super::pairing::Pairing;
use super::vault::{Files, content_of, hash_of};
use super::world::World;

/// What the simulation knows.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// Every version that was ever stored, wherever.
    made: BTreeMap<SnapshotId, Line>,
    /// Versions that retention let go of.
    pruned: BTreeSet<SnapshotId>,
    /// Devices that ever were a player's.
    pub(super) ever: BTreeMap<PlayerId, BTreeSet<usize>>,
    /// Devices that are a player's.
    pub(super) members: BTreeMap<PlayerId, BTreeSet<usize>>,
    /// Removals that a device crashed by: whose, the device that crashed, and the one that was to go.
    pub(super) unsure: Vec<(PlayerId, usize, usize)>,
    pub(super) commands: u64,
    pub(super) replies: BTreeMap<CommandId, Result<Reply, Report>>,
    pub(super) pairing: Option<Pairing>,
    /// The last time that each device gave out.
    clocks: BTreeMap<usize, Hlc>,
    pins: BTreeMap<usize, BTreeSet<SnapshotId>>,
    unpinned: BTreeSet<SnapshotId>,
    /// Whether people only ever write in turn: then nothing is a conflict.
    pub(super) is_in_turn: bool,
}

impl Truth {
    pub(super) fn made(&mut self, line: &Line, node: &Node) {
        self.made.insert(node.id, line.clone());
    }

    /// The clock of a device is lost with its database, and what it pinned may be with it.
    pub(super) fn forget_clock(&mut self, m: usize) {
        self.clocks.remove(&m);
        self.forget_pins(m);
    }

    /// What a removed device wrote last may have no effect.
    pub(super) fn forget_pins(&mut self, m: usize) {
        self.pins.remove(&m);
    }
}

impl World {
    /// P10: what a device calls later is later.
    pub(super) fn check_clock(&mut self, m: usize, hlc: Hlc) {
        if self.truth.clocks.get(&m).is_some_and(|last| *last >= hlc) {
            self.wrong(format!("P10: the time of {m} went from {:?} to {hlc}", self.truth.clocks.get(&m)));
        }
        self.truth.clocks.insert(m, hlc);
    }

    /// P18: neither a slot that is left alone is written to, nor one whose player was promised to be left alone.
    pub(super) fn check_may_write(&mut self, m: usize, line: &Line, how: &str) {
        if self.machines[m].untracked.contains(line) {
            self.wrong(format!("P18: {m} {how} {}, which is left alone", line.slot));
        }
        let is_promised = self.machines[m].disks.get(&SetKey::of(line)).is_some_and(|d| d.is_promised);
        if is_promised && how == "applies" {
            self.wrong(format!("P18: {m} {how} {} in a play session", line.slot));
        }
    }

    /// P1: what an apply is about to write over is in a history on this device.
    pub(super) fn check_kept(&mut self, m: usize, line: &Line) {
        let machine = &self.machines[m];
        let Some(disk) = machine.disks.get(&SetKey::of(line)) else { return };
        let content = hash_of(&disk.files);
        let is_there = |id: &SnapshotId| machine.vault.whole.contains_key(id) || self.truth.pruned.contains(id);
        let is_kept =
            disk.files.is_empty() || machine.vault.nodes().any(|(_, n)| n.content == content && is_there(&n.id));
        if !is_kept {
            self.wrong(format!("P1: {m} writes over {} that is in no history", content.0.short()));
        }
    }

    /// P4 and P9: a version is made on top of something that this disk once was, and never of one that lost too much.
    pub(super) fn check_version(&mut self, m: usize, line: &Line, parents: &BTreeSet<SnapshotId>, files: &Files) {
        let set = SetKey::of(line);
        let machine = &mut self.machines[m];
        let disk = machine.disks.entry(set).or_default();
        let (had, may_shrink, applied) = (disk.had.clone(), disk.may_shrink, disk.applied.clone());
        let read: Vec<_> = parents.iter().filter_map(|id| Some((*id, machine.vault.snapshot(id)?))).collect();
        let content = content_of(files);
        for (id, parent) in &read {
            if parent.files > 0 && !had.contains(&parent.content_hash) {
                self.wrong(format!("P4: {m} makes a version on top of {id}, which its disk never was"));
            }
            let base = Measure { files: parent.files, size: parent.size };
            if is_shrunk(base, Measure { files: content.files, size: content.size }) && !may_shrink {
                self.wrong(format!("P9: {m} makes a version of a disk that lost too much, on top of {id}"));
            }
        }
        if let Some((other, id)) = applied.filter(|(other, _)| other != line) {
            self.wrong(format!("{m} takes {id} of {} for a version of {}", other.slot, line.slot));
        }
    }

    /// P12: what is let go of is nobody's newest, not pinned, not on the disk, and not among the newest.
    pub(super) fn check_prune(&mut self, m: usize, line: &Line, ids: &[SnapshotId]) {
        self.fired("pruned");
        let machine = &self.machines[m];
        let nodes: Vec<Node> = machine.vault.nodes().filter(|(of, _)| of == line).map(|(_, n)| n).collect();
        let parents: BTreeSet<SnapshotId> = nodes.iter().flat_map(|n| n.parents.clone()).collect();
        let base = machine.db.slots.get(line).and_then(|s| s.record.base);
        let none = BTreeSet::new();
        let pins = self.truth.pins.get(&m).unwrap_or(&none);
        let mut wrong = Vec::new();
        for id in ids {
            if pins.contains(id) {
                wrong.push(format!("P12: {m} prunes {id}, which is pinned"));
            }
            if base == Some(*id) || !parents.contains(id) {
                wrong.push(format!("P12: {m} prunes {id}, which is on its disk or the newest"));
            }
        }
        self.truth.pruned.extend(ids);
        wrong.into_iter().for_each(|w| self.wrong(w));
    }

    /// A command was answered.
    pub(super) fn replied(&mut self, m: usize, id: CommandId, reply: Result<Reply, Report>) {
        let command = self.machines[m].waiting.remove(&id);
        self.note(format_args!("{m} REPLY {id:?} {:?}", reply.as_ref().map(|_| ()).map_err(|e| &e.code)));
        let Some(command) = command else {
            return self.wrong(format!("{m} answers {id:?} twice, or nobody asked"));
        };
        if let (Command::Saves(command), Ok(reply)) = (&command, &reply) {
            self.saves_replied(m, command, reply);
        }
        self.truth.replies.insert(id, reply);
    }

    fn saves_replied(&mut self, m: usize, command: &SavesCommand, reply: &Reply) {
        let Reply::Save { slot } = reply else {
            if let SavesCommand::Pin { snapshot, pinned, .. } = command {
                let is_member = self.truth.members.values().any(|all| all.contains(&m));
                if *pinned && is_member && !self.truth.unpinned.contains(snapshot) {
                    self.truth.pins.entry(m).or_default().insert(*snapshot);
                } else {
                    // Whichever of two came later by their clocks: it is not checked any more.
                    self.truth.unpinned.insert(*snapshot);
                    self.truth.pins.values_mut().for_each(|pins| pins.retain(|id| id != snapshot));
                }
            }
            return;
        };
        let line = line_of(slot);
        match command {
            SavesCommand::Push { .. } => {
                let heads: BTreeSet<SnapshotId> = slot.heads.iter().map(|h| h.id).collect();
                let content = |id: SnapshotId| self.machines[m].vault.snapshot(&id).map(|s| s.content_hash);
                let base = slot.base.and_then(content);
                let is_only = heads.len() <= 1 && heads.iter().all(|h| Some(*h) == slot.base || content(*h) == base);
                if slot.base.is_some() && !is_only {
                    self.wrong(format!("P15: {m} pushed {:?} and the heads are {heads:?}", slot.base));
                }
                self.fired("pushed");
            }
            SavesCommand::PlayBegins { .. } => {
                // The answer may come when the game has ended again.
                let disk = self.machines[m].disks.entry(SetKey::of(&line)).or_default();
                disk.is_promised = disk.game.is_some();
            }
            SavesCommand::Track { tracked: false, .. } if slot.is_untracked => {
                self.fired("left alone");
                self.machines[m].untracked.insert(line);
            }
            SavesCommand::Resolve { .. } => self.fired("resolved"),
            SavesCommand::Rollback { .. } => self.fired("rolled back"),
            SavesCommand::Switch { .. } => self.fired("switched"),
            SavesCommand::Delete { .. } | SavesCommand::Release { .. } => {
                self.fired("deleted or released");
                self.machines[m].disks.entry(SetKey::of(&line)).or_default().may_shrink = false;
            }
            _ => {}
        }
    }

    /// All lines of a player that any of its devices has a version of; one that was removed is none of them.
    pub(super) fn lines(&self, player: PlayerId) -> BTreeSet<Line> {
        let members = self.truth.members.get(&player).into_iter().flatten();
        let all = members.flat_map(|m| self.machines[*m].vault.nodes());
        all.map(|(line, _)| line).filter(|line| line.player == player).collect()
    }

    pub(super) fn slot(&self, m: usize, line: &Line) -> Option<SlotView> {
        self.slots(m, line.player).into_iter().find(|s| line_of(s) == *line)
    }

    /// The slots of a player as a device shows them.
    pub(super) fn slots(&self, m: usize, player: PlayerId) -> Vec<SlotView> {
        let views = self.views(m);
        views.iter().filter(|v| v.player == player).flat_map(|v| &v.slots).map(|s| (**s).clone()).collect()
    }

    /// Once all is quiet: P1, P2, P4, P6, P9, P17.
    pub(super) fn check_quiet(&mut self) {
        self.settle_removals();
        self.check_nothing_lost();
        let players: Vec<PlayerId> = self.truth.members.keys().copied().collect();
        for player in players {
            for line in self.lines(player) {
                self.check_line(&line);
            }
        }
        for m in 0..self.machines.len() {
            if !self.machines[m].waiting.is_empty() {
                let waiting = format!("{:?}", self.machines[m].waiting);
                self.wrong(format!("P17: {m} never answered {waiting}"));
                self.machines[m].waiting.clear();
            }
        }
    }

    /// A device is a player's no more.
    pub(super) fn removed(&mut self, player: PlayerId, gone: usize) {
        self.fired("device removed");
        self.truth.forget_pins(gone);
        if let Some(members) = self.truth.members.get_mut(&player) {
            members.remove(&gone);
        }
    }

    /// Asks the devices that crashed by a removal whether it was done.
    pub(super) fn settle_removals(&mut self) {
        let (asked, waits): (Vec<_>, Vec<_>) = std::mem::take(&mut self.truth.unsure)
            .into_iter()
            .partition(|(_, m, _)| self.machines[*m].engine.is_some());
        self.truth.unsure = waits;
        for (player, m, gone) in asked {
            let device = self.machines[gone].id;
            let views = self.views(m);
            let is_gone = |v: &PlayerView| v.player == player && v.devices.iter().all(|d| d.device != device);
            if views.iter().any(is_gone) {
                self.removed(player, gone);
            }
        }
    }

    /// P1.
    fn check_nothing_lost(&mut self) {
        let kept: BTreeSet<SnapshotId> = self.machines.iter().flat_map(|m| m.vault.whole.keys().copied()).collect();
        let lost: Vec<SnapshotId> = self
            .truth
            .made
            .keys()
            .filter(|id| !kept.contains(id) && !self.truth.pruned.contains(id))
            .copied()
            .collect();
        if !lost.is_empty() {
            self.wrong(format!("P1: versions are lost: {lost:?}"));
        }
    }

    /// The newest versions of a line that any device still has, and whether they are a conflict, as they follow from all
    /// that was made.
    pub(super) fn newest(&self, line: &Line) -> (BTreeSet<SnapshotId>, BTreeSet<SaveHash>) {
        let members = self.truth.members.get(&line.player).cloned().unwrap_or_default();
        let (mut lineage, mut held) = (Lineage::default(), BTreeSet::<SnapshotId>::new());
        for m in members {
            let vault = &self.machines[m].vault;
            held.extend(vault.whole.keys());
            for (of, node) in vault.nodes() {
                if of == *line {
                    lineage.insert(node);
                }
            }
        }
        let tips: BTreeSet<SnapshotId> = lineage.tips().into_iter().filter(|id| held.contains(id)).collect();
        let edits = tips.iter().filter_map(|id| lineage.get(id)).filter(|n| !n.is_deletion()).map(|n| n.content);
        let edits = edits.collect();
        (tips, edits)
    }

    fn check_line(&mut self, line: &Line) {
        let (tips, contents) = self.newest(line);
        let set = SetKey::of(line);
        let members: Vec<usize> = self
            .truth
            .members
            .get(&line.player)
            .into_iter()
            .flatten()
            .copied()
            .filter(|m| !self.machines[*m].is_off)
            .collect();
        let is_conflict = contents.len() > 1;
        let mut is_on_a_disk = false;
        let is_behind = |s: &SlotView| !s.is_here || s.is_untracked || s.standing == Standing::Held;
        let is_ahead_of_some = members.iter().any(|m| self.slot(*m, line).is_none_or(|s| is_behind(&s)));
        for m in members {
            let Some(slot) = self.slot(m, line) else {
                self.wrong(format!("P2: {m} does not know {} at all", line.slot));
                continue;
            };
            let is_working = slot.is_here && !slot.is_untracked;
            is_on_a_disk |= is_working;
            let heads: BTreeSet<SnapshotId> = slot.heads.iter().map(|h| h.id).collect();
            if slot.standing == Standing::Held {
                continue;
            }
            if heads != tips {
                self.wrong(format!(
                    "P2: {m} has the heads {} of {}, all of them are {}",
                    Ids(&heads),
                    line.slot,
                    Ids(&tips)
                ));
            }
            if !is_working {
                continue;
            }
            let disk = self.machines[m].disks.get(&set).map(|d| d.files.clone()).unwrap_or_default();
            let on_disk = hash_of(&disk);
            let copies = self.machines[m].disks.get(&set).map(|d| d.copies.len()).unwrap_or_default();
            if is_conflict {
                if slot.standing != Standing::Conflict {
                    self.wrong(format!(
                        "P4: {m} shows {:?} ({:?}) of {} where {} differ",
                        slot.standing,
                        slot.row,
                        line.slot,
                        Ids(&tips)
                    ));
                }
                continue;
            }
            let is_well = slot.standing == Standing::Current || (slot.standing == Standing::Ahead && is_ahead_of_some);
            if !is_well {
                self.wrong(format!(
                    "P2: {m} is {:?} ({:?}) in {}: {:?}",
                    slot.standing, slot.row, line.slot, slot.error
                ));
            } else if copies > 0 {
                self.wrong(format!("P5: {m} has {copies} conflict copies of {} beside its save", line.slot));
            }
            let wanted = contents.first().copied().unwrap_or_else(|| hash_of(&Files::new()));
            if on_disk != wanted {
                let (is, should) = (on_disk.0.short(), wanted.0.short());
                self.wrong(format!("P2: {m} has {is} on its disk, not {should}, in {}", line.slot));
            }
        }
        if is_conflict && is_on_a_disk {
            self.fired("conflict in the end");
            if self.truth.is_in_turn {
                self.wrong(format!("P3: {} is in conflict though people wrote in turn", line.slot));
            }
        }
    }
}

struct Ids<'a>(&'a BTreeSet<SnapshotId>);

impl std::fmt::Display for Ids<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|id| write!(f, "{} ", id.0.short()))
    }
}

/// The line that a view is of.
pub(super) fn line_of(slot: &SlotView) -> Line {
    Line { player: slot.player, game_id: slot.game.clone(), slot: slot.slot.clone() }
}
