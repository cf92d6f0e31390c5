//! What each line does next: its steps become work, what changed is made durable, told and shown, and who waits is answered.
//!
//! Owns the order: a line's record is durable before its step begins and before another device hears of it.

use std::collections::BTreeSet;
use std::time::Duration;

use bonfire_proto::{PeerId, SnapshotId};

use super::waiting::Wait;
use super::{Desk, Entry, Making, SetKey};
use crate::command::Reply;
use crate::engine::Engine;
use crate::event::PeerEvent;
use crate::input::Effect;
use crate::record::{KnownSlot, Record};
use crate::replication::model::{self, HAVE_MAX, Retention, SlotHead};
use crate::report::Report;
use crate::saves::decide::Row;
use crate::saves::join::Line;
use crate::saves::lineage::Relation;
use crate::saves::retention::{Holdings, retain};
use crate::saves::slot::{Make, SlotRecord, Standing, Step};
use crate::saves::work::{Placement, SaveJob, SaveWork};
use crate::saves_view::AuditEntry;
use crate::time::Instant;

impl Engine {
    /// Gives every line that is due what it does next.
    pub(crate) fn drive_saves(&mut self, fx: &mut Vec<Effect>) {
        while let Some(line) = self.desk.due.pop_first() {
            self.drive(&line, fx);
        }
    }

    fn drive(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        self.adjust(line);
        // A line makes at most a handful of steps at once; the bound is against a bug that would hold up everything.
        for _ in 0..64 {
            if self.is_disk_taken(line) {
                break;
            }
            let Some(entry) = self.desk.get_mut(line) else { return };
            let step = entry.slot.next_step();
            self.keep(line, fx);
            let Some(step) = step else { break };
            self.begin(line, step, fx);
        }
        self.go_on_switching(&SetKey::of(line), fx);
        self.tell(line, fx);
        self.show_standing(line, fx);
        self.prune(line, fx);
        self.answer_waiting(line, fx);
        self.give_way(line);
    }

    fn begin(&mut self, line: &Line, step: Step, fx: &mut Vec<Effect>) {
        let place = self.placement(line);
        let pids = self.desk.sets.get(&SetKey::of(line)).map(super::Set::pids).unwrap_or_default();
        let work = match step {
            Step::Look => SaveWork::Look { place, pids },
            Step::Make(make) => match self.players.stamp(self.wall, fx) {
                Ok(stamp) => {
                    let played = self.desk.take_played(self.now, line, &make);
                    if let Some(entry) = self.desk.get_mut(line) {
                        let choice = entry.choice.take().filter(|_| matches!(make, Make::Resolve { .. }));
                        entry.making = Some(Making { action: names(&make), choice, played });
                    }
                    let played_ms = u64::try_from(played.as_millis()).unwrap_or(u64::MAX);
                    SaveWork::Make { make, stamp, played_ms }
                }
                Err(error) => {
                    if let Some(entry) = self.desk.get_mut(line) {
                        entry.slot.made(crate::saves::slot::Done::Failed(error));
                    }
                    return;
                }
            },
            Step::Apply { from, to } => SaveWork::Apply { place, from, to, pids },
            Step::Copies { write, remove } => {
                let named = |id: &SnapshotId| (*id, self.origin(line, *id));
                SaveWork::Copies { place, write: write.iter().map(named).collect(), remove }
            }
            Step::Keep(id) => {
                let ids = BTreeSet::from([id]);
                // Also without anybody to ask: what the disk holds is in the store already, but for its name.
                SaveWork::Fetch { sources: self.holders(line, &ids), ids }
            }
            Step::Fetch(ids) => {
                let sources = self.holders(line, &ids);
                if sources.is_empty() {
                    if let Some(entry) = self.desk.get_mut(line) {
                        entry.slot.fetched(&ids, [], ids.clone());
                    }
                    return;
                }
                SaveWork::Fetch { ids, sources }
            }
        };
        fx.push(Effect::Save(Box::new(SaveJob { line: line.clone(), work })));
    }

    /// Name of the device that made a snapshot, for the name of its conflict copy.
    fn origin(&self, line: &Line, id: SnapshotId) -> String {
        let node = self.desk.get(line).and_then(|e| e.slot.lineage().get(&id));
        let Some(device) = node.map(|n| n.device) else { return "other".to_owned() };
        let name = self.players.device_name(line.player, device);
        if name.is_empty() { device.short() } else { name }
    }

    /// Where the line's files lie, with what is no part of it as all devices agree.
    pub(super) fn placement(&self, line: &Line) -> Placement {
        let set = self.desk.sets.get(&SetKey::of(line));
        let mut place = set.and_then(|s| s.place.clone()).unwrap_or_default();
        let records = self.players.all.get(&line.player).map(|p| p.replica.records());
        let shared: Option<model::SaveSet> = records.and_then(|r| r.get(model::save_set_id(&line.game_id)));
        for pattern in shared.into_iter().flat_map(|s| s.ignore) {
            if !place.ignore.contains(&pattern) {
                place.ignore.push(pattern);
            }
        }
        place
    }

    /// Connected devices of the player, those first that say they hold what is wanted.
    fn holders(&self, line: &Line, ids: &BTreeSet<SnapshotId>) -> Vec<(PeerId, crate::input::ConnId)> {
        let said: Vec<(PeerId, SlotHead)> = self.heads_of(line);
        let lineage = self.desk.get(line).map(|e| e.slot.lineage());
        let holds = |device: &PeerId| {
            said.iter().filter(|(d, _)| d == device).any(|(_, head)| {
                head.have.iter().chain(&head.head).any(|have| {
                    ids.contains(have)
                        || lineage.is_some_and(|l| ids.iter().any(|id| l.relation(*id, *have) == Relation::Ancestor))
                })
            })
        };
        let mut devices = self.players.connected(line.player);
        devices.sort_by_key(|d| (!holds(d), *d));
        devices.into_iter().filter_map(|d| Some((d, self.players.conn(line.player, d)?))).collect()
    }

    /// What each device of the player says of a line.
    pub(super) fn heads_of(&self, line: &Line) -> Vec<(PeerId, SlotHead)> {
        let Some(p) = self.players.all.get(&line.player) else { return Vec::new() };
        let uuid = model::slot_id(&line.game_id, &line.slot);
        let devices = self.players.devices(line.player);
        let said = devices.keys().filter_map(|d| Some((*d, p.board.get::<SlotHead>(*d, uuid)?)));
        said.collect()
    }

    /// What this device said of itself last.
    pub(super) fn own_head(&self, line: &Line) -> Option<SlotHead> {
        let p = self.players.all.get(&line.player)?;
        p.board.get(self.me, model::slot_id(&line.game_id, &line.slot))
    }

    /// Makes durable what changed in a line's record.
    fn keep(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        let Some(entry) = self.desk.get_mut(line) else { return };
        let record = SlotRecord { is_untracked: entry.is_untracked, ..entry.slot.record().clone() };
        if entry.recorded.0 == record && entry.recorded.1 == entry.last_synced_at {
            return;
        }
        entry.recorded = (record.clone(), entry.last_synced_at);
        let known = KnownSlot { line: line.clone(), record, last_synced_at: entry.last_synced_at };
        fx.push(Effect::Record(vec![Record::Slot(known)]));
    }

    /// Tells the other devices where this one stands, when that is the last word for now.
    fn tell(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        if !self.players.is_member(line.player) {
            return;
        }
        let wall = self.wall;
        let Some(entry) = self.desk.get_mut(line) else { return };
        if entry.slot.is_busy() || (entry.slot.standing() == Standing::Unknown && !entry.slot.record().is_untracked) {
            return;
        }
        let slot = &entry.slot;
        let heads = slot.heads();
        let base = slot.record().base;
        let is_on_disk = matches!(slot.standing(), Standing::Current | Standing::Ahead);
        let is_newest = base.is_some_and(|b| heads.len() == 1 && heads.contains(&b));
        let is_fetched = entry.is_optimistic && heads.iter().all(|h| slot.whole().contains(h)) && !heads.is_empty();
        let is_current = (is_on_disk && is_newest) || is_fetched;
        let was = entry.told.as_ref();
        if is_current && was.is_none_or(|t| !t.is_current || t.base != base) {
            entry.last_synced_at = Some(wall.0);
        }
        let have: Vec<SnapshotId> = slot.have().into_iter().take(HAVE_MAX).collect();
        if base.is_none() && have.is_empty() && was.is_none() {
            return;
        }
        let head = SlotHead {
            game: line.game_id.clone(),
            slot: line.slot.clone(),
            head: base.or_else(|| have.first().copied().filter(|_| have.len() == 1)),
            base,
            have,
            is_untracked: entry.is_untracked,
            is_current,
            last_synced_at: entry.last_synced_at,
        };
        if entry.told.as_ref() == Some(&head) {
            return;
        }
        entry.told = Some(head.clone());
        self.keep(line, fx);
        self.desk.touched.insert(line.clone());
        let uuid = model::slot_id(&line.game_id, &line.slot);
        if let Err(error) = self.players.say(line.player, uuid, &head, wall, fx) {
            self.problem(Some(line.game_id.clone()), error, fx);
        }
    }

    /// Events for what a person has to hear.
    fn show_standing(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        let Some(entry) = self.desk.get_mut(line) else { return };
        let (standing, sides) = (entry.slot.standing(), entry.slot.sides());
        let slot: crate::event::SlotOf = line.into();
        let failure = entry.slot.failure().map(|e| e.message.clone());
        let is_survival = entry.slot.row() == Some(Row::DeletedButEdited) && !entry.shown.has_edit_survived;
        let was = entry.shown.standing.replace(standing);
        let was_failure = std::mem::replace(&mut entry.shown.failure, failure.clone());
        let was_sides =
            if matches!(standing, Standing::Conflict | Standing::Current | Standing::Ahead | Standing::Untracked) {
                std::mem::replace(&mut entry.shown.sides, sides.clone())
            } else {
                entry.shown.sides.clone()
            };
        entry.shown.has_edit_survived = entry.slot.row() == Some(Row::DeletedButEdited);
        let base = entry.slot.record().base;
        if was != Some(standing) {
            self.desk.touched.insert(line.clone());
        }
        if is_survival {
            fx.push(Effect::Emit(PeerEvent::SaveEditSurvived { slot: slot.clone() }));
            self.audit(line, self.me, "edit_survived", base, Vec::new(), "", fx);
        }
        if failure != was_failure
            && let Some(error) = self.desk.get(line).and_then(|e| e.slot.failure().cloned())
        {
            fx.push(Effect::Emit(PeerEvent::SaveFailed { slot: slot.clone(), error }));
        }
        if standing == Standing::Conflict && was_sides != sides {
            let heads = self.head_views(line);
            let others: Vec<SnapshotId> = sides.iter().copied().collect();
            fx.push(Effect::Emit(PeerEvent::SaveConflict { slot: slot.clone(), sides: heads }));
            self.audit(line, self.me, "conflict", base, others, "", fx);
        } else if !was_sides.is_empty() && matches!(standing, Standing::Current | Standing::Ahead) {
            fx.push(Effect::Emit(PeerEvent::SaveConflictEnded { slot: slot.clone() }));
        }
        if was != Some(standing) {
            match standing {
                Standing::Held => fx.push(Effect::Emit(PeerEvent::SaveHeld { slot, base })),
                Standing::Deferred => fx.push(Effect::Emit(PeerEvent::SaveDeferred { slot })),
                _ => {}
            }
        }
    }

    /// Lets go of what the rule that the player chose does not keep.
    fn prune(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        let Retention { keep, autocleanup } = self.retention(line);
        let Some(entry) = self.desk.get(line) else { return };
        let keep = keep as usize;
        if !autocleanup || entry.is_pruning || entry.slot.is_busy() || entry.slot.whole().len() <= keep {
            return;
        }
        let said = self.heads_of(line);
        let heads: BTreeSet<SnapshotId> =
            said.iter().flat_map(|(_, h)| h.head.iter().chain(&h.have)).copied().collect();
        let mut bases: BTreeSet<SnapshotId> = said.iter().filter_map(|(_, h)| h.base).collect();
        bases.extend(entry.slot.record().base);
        let mut sides = entry.slot.sides();
        sides.extend(&entry.slot.record().copies);
        let pins = self.pins(line);
        let retained = retain(&Holdings {
            lineage: entry.slot.lineage(),
            stored: entry.slot.whole(),
            heads: &heads,
            is_every_device_known: self.players.is_everyone_known(line.player),
            bases: &bases,
            sides: &sides,
            pins: &pins,
            keep,
        });
        if retained.prune.is_empty() {
            return;
        }
        if let Some(entry) = self.desk.get_mut(line) {
            entry.is_pruning = true;
        }
        let work = SaveWork::Prune { ids: retained.prune };
        fx.push(Effect::Save(Box::new(SaveJob { line: line.clone(), work })));
    }

    pub(super) fn retention(&self, line: &Line) -> Retention {
        self.slot_record(line).and_then(|s| s.retention).unwrap_or_default()
    }

    pub(super) fn slot_record(&self, line: &Line) -> Option<model::Slot> {
        let records = self.players.all.get(&line.player)?.replica.records();
        records.get(model::slot_id(&line.game_id, &line.slot))
    }

    pub(super) fn pins(&self, line: &Line) -> BTreeSet<SnapshotId> {
        let Some(p) = self.players.all.get(&line.player) else { return BTreeSet::new() };
        let pins = p.replica.records().all::<model::Pin>().map(|(_, pin)| pin);
        pins.filter(|pin| pin.game == line.game_id && pin.slot == line.slot).map(|pin| pin.snapshot).collect()
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of one line of the log")]
    pub(crate) fn audit(
        &self,
        line: &Line,
        device: PeerId,
        action: &str,
        snapshot: Option<SnapshotId>,
        replaced: Vec<SnapshotId>,
        detail: &str,
        fx: &mut Vec<Effect>,
    ) {
        fx.push(Effect::Record(vec![Record::Audit(AuditEntry {
            seq: 0,
            at: self.wall.0,
            player: line.player,
            game: Some(line.game_id.clone()),
            slot: Some(line.slot.clone()),
            device,
            action: action.to_owned(),
            snapshot,
            replaced,
            detail: detail.to_owned(),
        })]));
    }

    /// Answers who waits for a line, as far as what they wait for has come.
    fn answer_waiting(&mut self, line: &Line, fx: &mut Vec<Effect>) {
        let Some(entry) = self.desk.get_mut(line).filter(|e| !e.waiting.is_empty()) else { return };
        let waiting = std::mem::take(&mut entry.waiting);
        let mut left = Vec::new();
        for (command, wait) in waiting {
            if let Wait::Decided(with) = &wait {
                if !self.desk.get(line).is_some_and(Entry::is_decided) {
                    left.push((command, wait));
                } else if let Err(error) = self.resolve_now(command, line.clone(), with, fx) {
                    fx.push(Effect::Reply(command, Err(error)));
                }
                continue;
            }
            match self.outcome(line, &wait) {
                Some(outcome) => {
                    if let Wait::Safe(op) = wait {
                        self.desk.is_safe(op, line, outcome);
                        continue;
                    }
                    let reply = outcome.and_then(|()| self.save_reply(line));
                    fx.push(Effect::Reply(command, reply));
                }
                None => left.push((command, wait)),
            }
        }
        if let Some(entry) = self.desk.get_mut(line) {
            let again = !entry.waiting.is_empty();
            left.append(&mut entry.waiting);
            entry.waiting = left;
            if again {
                self.desk.due.insert(line.clone());
            }
        }
    }

    pub(super) fn save_reply(&self, line: &Line) -> Result<Reply, Report> {
        Ok(Reply::Save { slot: Box::new(self.slot_view(line)) })
    }
}

impl Desk {
    /// How long the game ran for what becomes a version now.
    fn take_played(&mut self, now: Instant, line: &Line, make: &Make) -> Duration {
        let set = self.sets.get_mut(&SetKey::of(line)).filter(|_| matches!(make, Make::Version { .. }));
        let Some(set) = set else { return Duration::ZERO };
        set.clock(now);
        std::mem::take(&mut set.played)
    }
}

impl Entry {
    /// Whether nothing is under way, and nothing will be by itself.
    pub(super) fn is_at_rest(&self) -> bool {
        self.slot.is_settled() && self.look.is_none()
    }
}

/// The version that a step makes is a rollback, or what resolves.
pub(super) fn names(make: &Make) -> &'static str {
    match make {
        Make::Version { .. } => "saved",
        Make::Tombstone { .. } => "deleted",
        Make::Join { .. } => "joined",
        Make::Resolve { .. } => "resolved",
        Make::Rollback { .. } => "rolled_back",
    }
}
