//! What the desk hears of its workers, and of what a player's devices say.

use std::collections::BTreeSet;
use std::time::Duration;

use bonfire_proto::{PeerId, SnapshotId};
use uuid::Uuid;

use super::SetKey;
use super::due::{CHECK_EVERY, backoff};
use crate::engine::Engine;
use crate::event::PeerEvent;
use crate::input::{CommandId, Effect};
use crate::players::News;
use crate::record::{Holding, KnownNode, Record};
use crate::replication::model::{self, Model, SlotHead};
use crate::report::Report;
use crate::saves::join::Line;
use crate::saves::lineage::Node;
use crate::saves::slot::{Done, Look};
use crate::saves::work::{Checked, SaveInput};
use crate::time::Instant;

/// First wait before a disk that did not settle is looked at again, and one that cannot be read.
const SETTLING_AGAIN: Duration = Duration::from_secs(1);
const UNREADABLE_AGAIN: Duration = Duration::from_secs(5);
/// First wait before what failed is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// How often a version is asked for that somebody says to have and does not give.
const PROMISES: u32 = 8;

impl Engine {
    /// Takes in what a worker says.
    pub(crate) fn save(&mut self, now: Instant, input: SaveInput, fx: &mut Vec<Effect>) {
        match input {
            SaveInput::Stirred(set) => self.desk.stirred(now, &set),
            SaveInput::AllStirred => {
                let sets: Vec<SetKey> = self.desk.sets.keys().cloned().collect();
                for set in sets {
                    self.desk.stirred(now, &set);
                }
            }
            SaveInput::WatchFailed(error) => self.problem(None, error, fx),
            SaveInput::Looked { line, look, is_running, problems } => {
                self.looked(now, &line, look, is_running, problems);
            }
            SaveInput::Made(line, done) => self.made(now, &line, done, fx),
            SaveInput::Applied(line, done, is_running) => self.applied(now, &line, done, is_running, fx),
            SaveInput::Copied(line, done) => {
                let failed = matches!(done, Done::Failed(_));
                if let Some(entry) = self.desk.get_mut(&line) {
                    entry.slot.copied(done);
                }
                self.note_failure(now, &line, failed);
                self.desk.stir(&line);
            }
            SaveInput::Fetched { line, asked, brought, is_cut } => {
                self.fetched(now, &line, &asked, brought, is_cut, fx);
            }
            SaveInput::Begun(line, begun, command) => self.begun(&line, begun, command, fx),
            SaveInput::Pruned(line, ids, error) => self.pruned(&line, ids, error, fx),
            SaveInput::Verified(line, checked) => {
                self.verified(&line, checked, fx);
            }
            SaveInput::Running(line, is_running) => self.seen_running(now, &line, is_running),
            SaveInput::Answered(command, answer) => fx.push(Effect::Reply(command, answer)),
        }
    }

    fn looked(&mut self, now: Instant, line: &Line, look: Look, is_running: bool, problems: Vec<String>) {
        self.note_running(now, &SetKey::of(line), is_running);
        let Some(entry) = self.desk.get_mut(line) else { return };
        let times = entry.look.map_or(0, |(_, times)| times);
        entry.look = match look {
            Look::Settling => Some((now + SETTLING_AGAIN, times + 1)),
            Look::Unreadable => Some((now + backoff(UNREADABLE_AGAIN, times), times + 1)),
            Look::Nothing | Look::Files { .. } => None,
        };
        entry.problems = problems;
        entry.slot.looked(look);
        self.desk.stir(line);
    }

    fn made(&mut self, now: Instant, line: &Line, done: Done<Node>, fx: &mut Vec<Effect>) {
        let failed = matches!(done, Done::Failed(_));
        let node = match &done {
            Done::Well(node) => Some(node.clone()),
            Done::Changed | Done::Failed(_) => None,
        };
        let Some(entry) = self.desk.get_mut(line) else { return };
        let making = entry.making.take();
        entry.is_pruning = false;
        entry.slot.made(done);
        self.note_failure(now, line, failed);
        let (action, choice, played) =
            making.map_or(("saved", None, Duration::ZERO), |m| (m.action, m.choice, m.played));
        if let Some(set) = self.desk.sets.get_mut(&SetKey::of(line)).filter(|_| node.is_none()) {
            set.played += played;
        }
        if let Some(node) = node {
            self.note_nodes(line, &[(node.clone(), Holding::Whole)], fx);
            self.audit(line, self.me, action, Some(node.id), node.parents.clone(), "", fx);
            self.version_added(line, &node, fx);
            if let Some(choice) = choice {
                self.note_resolution(line, &node, choice, fx);
            }
        }
        self.desk.stir(line);
    }

    fn applied(&mut self, now: Instant, line: &Line, done: Done<()>, is_running: bool, fx: &mut Vec<Effect>) {
        if is_running {
            self.note_running(now, &SetKey::of(line), true);
        }
        if self.switched(now, line, &done, fx) {
            return;
        }
        let failed = matches!(done, Done::Failed(_));
        let is_done = done == Done::Well(());
        let Some(entry) = self.desk.get_mut(line) else { return };
        let before = entry.slot.record().base;
        entry.slot.applied(done);
        let after = entry.slot.record().base;
        self.note_failure(now, line, failed);
        if let (true, Some(snapshot)) = (is_done, after) {
            fx.push(Effect::Emit(PeerEvent::SaveApplied { slot: line.into(), snapshot, replaced: before }));
            self.audit(line, self.me, "applied", Some(snapshot), before.into_iter().collect(), "", fx);
        }
        self.desk.stir(line);
    }

    fn fetched(
        &mut self,
        now: Instant,
        line: &Line,
        asked: &BTreeSet<SnapshotId>,
        brought: Vec<(Node, bool)>,
        is_cut: bool,
        fx: &mut Vec<Effect>,
    ) {
        let connected = self.players.connected(line.player);
        let said = self.heads_of(line).into_iter().filter(|(device, _)| connected.contains(device));
        let promised: BTreeSet<SnapshotId> = said.flat_map(|(_, h)| h.have.into_iter().chain(h.head)).collect();
        let is_whole = |id: &SnapshotId| brought.iter().any(|(node, whole)| *whole && node.id == *id);
        let is_promised = asked.iter().any(|id| promised.contains(id) && !is_whole(id));
        let Some(entry) = self.desk.get_mut(line) else { return };
        let fresh: Vec<(Node, bool)> = brought
            .iter()
            .filter(|(node, is_whole)| {
                let is_known = entry.slot.lineage().get(&node.id).is_some();
                !is_known || (*is_whole && !entry.slot.whole().contains(&node.id))
            })
            .cloned()
            .collect();
        let whole: BTreeSet<SnapshotId> = brought.iter().filter(|(_, whole)| *whole).map(|(node, _)| node.id).collect();
        let nobody: Vec<SnapshotId> = asked.iter().filter(|id| !whole.contains(id)).copied().collect();
        let times = entry.refetch.map_or(0, |(_, times)| times);
        // Who says that it has a version and does not give it may have had no time; who never gives it is not asked for ever.
        let is_to_come = is_cut || (times < PROMISES && is_promised);
        if is_to_come && !nobody.is_empty() {
            entry.refetch = Some((now + backoff(RETRY_AFTER, times), times + 1));
        } else if nobody.is_empty() && !asked.is_empty() && entry.refetch.is_some_and(|(at, _)| at == Instant(u64::MAX))
        {
            entry.refetch = None;
        }
        entry.slot.fetched(asked, brought, nobody);
        let held = |is_whole: &bool| if *is_whole { Holding::Whole } else { Holding::Named };
        let nodes: Vec<(Node, Holding)> = fresh.iter().map(|(n, whole)| (n.clone(), held(whole))).collect();
        self.note_nodes(line, &nodes, fx);
        for (node, _) in fresh.iter().filter(|(_, whole)| *whole) {
            self.version_added(line, node, fx);
        }
        self.desk.stir(line);
    }

    fn begun(&mut self, line: &Line, begun: Result<Node, Report>, command: Option<CommandId>, fx: &mut Vec<Effect>) {
        match begun {
            Ok(node) => {
                let entry = self.desk.entry(line);
                entry.slot.fetched(&BTreeSet::new(), [(node.clone(), true)], []);
                if let Some(command) = command {
                    entry.waiting.push((command, super::Wait::Rest));
                }
                self.note_nodes(line, &[(node.clone(), Holding::Whole)], fx);
                let action = if command.is_some() { "imported" } else { "branched" };
                self.audit(line, self.me, action, Some(node.id), node.parents.clone(), "", fx);
                self.version_added(line, &node, fx);
                self.branched(line, fx);
            }
            Err(error) => {
                self.branch_failed(line, &error, fx);
                match command {
                    Some(command) => fx.push(Effect::Reply(command, Err(error))),
                    None => self.problem(Some(line.game_id.clone()), error, fx),
                }
            }
        }
        self.desk.stir(line);
    }

    fn pruned(&mut self, line: &Line, ids: Vec<SnapshotId>, error: Option<Report>, fx: &mut Vec<Effect>) {
        let Some(entry) = self.desk.get_mut(line) else { return };
        // What failed would fail at every turn; it is asked for again with the next version.
        entry.is_pruning = error.is_some();
        entry.slot.pruned(ids.iter().copied());
        self.sidecars.touch(line.player, ids.iter().copied());
        let lineage = entry.slot.lineage();
        let nodes: Vec<(Node, Holding)> =
            ids.iter().filter_map(|id| Some((lineage.get(id)?.clone(), Holding::Pruned))).collect();
        self.note_nodes(line, &nodes, fx);
        if !ids.is_empty() {
            fx.push(Effect::Emit(PeerEvent::SavePruned { slot: line.into(), versions: ids.len() as u64 }));
            self.audit(line, self.me, "pruned", None, ids, "", fx);
        }
        if let Some(error) = error {
            self.problem(Some(line.game_id.clone()), error, fx);
        }
        self.desk.stir(line);
    }

    fn verified(&mut self, line: &Line, checked: Checked, fx: &mut Vec<Effect>) {
        let damaged = &checked.damaged;
        if let Some(entry) = self.desk.get_mut(line) {
            entry.slot.lost(damaged.iter().map(|(id, _)| *id));
            entry.slot.sources_changed(self.players.is_everyone_connected(line.player));
            let lineage = entry.slot.lineage();
            let nodes: Vec<(Node, Holding)> =
                damaged.iter().filter_map(|(id, _)| Some((lineage.get(id)?.clone(), Holding::Named))).collect();
            self.note_nodes(line, &nodes, fx);
        }
        self.verification(line, checked, fx);
        self.desk.stir(line);
    }

    fn seen_running(&mut self, now: Instant, line: &Line, is_running: bool) {
        let key = SetKey::of(line);
        if let Some(set) = self.desk.sets.get_mut(&key) {
            set.is_checking = false;
            if !is_running {
                // Whoever began to play is gone, and the game with it.
                set.session = None;
            }
        }
        self.note_running(now, &key, is_running);
        self.desk.stir(line);
    }

    fn note_running(&mut self, now: Instant, key: &SetKey, is_running: bool) {
        if let Some(set) = self.desk.sets.get_mut(key) {
            set.is_seen_running = is_running;
            set.clock(now);
            set.check_at = set.is_running().then(|| now + CHECK_EVERY);
        }
    }

    fn note_failure(&mut self, now: Instant, line: &Line, failed: bool) {
        let Some(entry) = self.desk.get_mut(line) else { return };
        let times = entry.retry.map_or(0, |(_, times)| times);
        let may_pass = entry.slot.failure().is_some_and(|e| e.retryable || e.class == crate::ErrorClass::Environment);
        entry.retry = (failed && may_pass).then(|| (now + backoff(RETRY_AFTER, times), times + 1));
    }

    pub(super) fn note_nodes(&self, line: &Line, nodes: &[(Node, Holding)], fx: &mut Vec<Effect>) {
        if nodes.is_empty() {
            return;
        }
        let known = nodes.iter().map(|(node, holding)| KnownNode { node: node.clone(), holding: *holding }).collect();
        fx.push(Effect::Record(vec![Record::Nodes(line.clone(), known)]));
    }

    fn version_added(&self, line: &Line, node: &Node, fx: &mut Vec<Effect>) {
        fx.push(Effect::Emit(PeerEvent::SaveVersionAdded {
            slot: line.into(),
            snapshot: node.id,
            by: node.device,
            by_name: self.players.device_name(line.player, node.device),
            kind: node.kind,
        }));
    }

    fn note_resolution(&mut self, line: &Line, node: &Node, choice: model::Choice, fx: &mut Vec<Effect>) {
        let resolution = model::Resolution {
            game: line.game_id.clone(),
            slot: line.slot.clone(),
            snapshot: node.id,
            heads: node.parents.clone(),
            choice,
            device: self.me,
        };
        let uuid = model::snapshot_record_id(node.id);
        if let Err(error) = self.players.put(line.player, uuid, &resolution, self.wall, fx) {
            self.problem(Some(line.game_id.clone()), error, fx);
        }
    }

    /// Takes in what came of something that a device said, or of a connection.
    pub(crate) fn news(&mut self, news: News, fx: &mut Vec<Effect>) {
        for (player, device, uuid) in &news.heads {
            self.head_told(*player, *device, *uuid);
        }
        for (player, device) in &news.gone {
            for line in self.desk.lines_of(*player) {
                if let Some(entry) = self.desk.get_mut(&line) {
                    entry.slot.told(*device, None, []);
                }
                self.desk.stir(&line);
            }
            fx.push(Effect::Emit(PeerEvent::DeviceRemoved { player: *player, device: *device }));
        }
        self.picture_records(news.records.iter());
        for (player, key) in &news.records {
            self.desk.touched_players.insert(*player);
            let lines = self.desk.lines_of(*player);
            let is_about_all = [model::Device::TYPE, model::SaveSet::TYPE].contains(&key.model_type.as_str());
            for line in lines {
                if is_about_all || model::slot_id(&line.game_id, &line.slot) == key.record_uuid {
                    self.desk.stir(&line);
                } else {
                    self.desk.touched.insert(line);
                }
            }
        }
        for player in &news.players {
            self.desk.touched_players.insert(*player);
            let is_everyone = self.players.is_everyone_connected(*player);
            for line in self.desk.lines_of(*player) {
                if let Some(entry) = self.desk.get_mut(&line) {
                    entry.slot.sources_changed(is_everyone);
                }
                self.desk.stir(&line);
            }
        }
        for line in &news.left_alone {
            self.desk.entry(line).is_untracked = true;
            self.desk.stir(line);
        }
        for (player, device) in news.added {
            if let Some(link) = self.peers.get(&device).and_then(|p| p.link) {
                let who = crate::trust::Proven { peer: device, key_hash: link.key_hash };
                let more = self.players.link(player, who, link.conn, fx);
                self.news(more, fx);
            }
        }
        for error in news.problems {
            self.problem(None, error, fx);
        }
    }

    /// A device of a player told where it stands in a slot.
    pub(super) fn head_told(&mut self, player: bonfire_proto::PlayerId, device: PeerId, uuid: Uuid) {
        if device == self.me {
            return;
        }
        let Some(p) = self.players.all.get(&player) else { return };
        match p.board.get::<SlotHead>(device, uuid) {
            Some(head) => {
                let line = Line { player, game_id: head.game.clone(), slot: head.slot.clone() };
                // Said under another slot's name it would be believed of that one.
                if model::slot_id(&line.game_id, &line.slot) != uuid {
                    return;
                }
                self.desk.entry(&line).slot.told(device, head.head, head.have);
                self.desk.stir(&line);
            }
            None => {
                for line in self.desk.lines_of(player) {
                    if model::slot_id(&line.game_id, &line.slot) == uuid {
                        self.desk.entry(&line).slot.told(device, None, []);
                        self.desk.stir(&line);
                    }
                }
            }
        }
    }
}
