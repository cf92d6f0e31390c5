//! What a person asks for about saves, and when it is answered.
//!
//! Owns the checks of what is asked, and who waits for what. What a wish does to a slot is `Slot`'s.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::limits::{NOTE_LEN_MAX, TEXT_LEN_MAX};
use bonfire_proto::{PlayerId, SlotName, SnapshotId, text};

use super::switch::{Both, Switch, not_here};
use super::{Set, SetKey};
use crate::command::{AuditFilter, Reply, ResolveWith, RootSpec, SaveRef, SavesCommand};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::places::pattern::Pattern;
use crate::record::{KnownSet, Record};
use crate::replication::model::{self, Choice, Retention};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;
use crate::saves::slot::{Standing, Wish};
use crate::saves::stale::{Push, Verdict, judge, shown};
use crate::saves::work::{Placement, Root, SaveJob, SaveWork};

/// Most roots of a save set.
const ROOTS_MAX: usize = 64;
/// Longest path and pattern, in bytes.
const PATH_MAX: usize = 4096;

/// What somebody waits for.
#[derive(Debug)]
pub(super) enum Wait {
    /// That nothing is under way.
    Rest,
    /// That no work on the disk is under way: from then on the game has it.
    Disk,
    /// That what is on the disk is in history, and the newest; it may be put over these heads.
    Pushed(Option<BTreeSet<SnapshotId>>),
}

/// A verification that is under way.
#[derive(Debug, Default)]
pub(super) struct Verifying {
    left: BTreeSet<Line>,
    versions: u64,
    bytes: u64,
    damaged: Vec<String>,
}

impl Engine {
    /// Carries out a command about saves.
    pub(crate) fn saves_command(&mut self, id: CommandId, command: SavesCommand, fx: &mut Vec<Effect>) {
        if let Err(error) = self.try_saves_command(id, command, fx) {
            fx.push(Effect::Reply(id, Err(error)));
        }
    }

    #[expect(clippy::too_many_lines, reason = "one short arm a command")]
    fn try_saves_command(&mut self, id: CommandId, command: SavesCommand, fx: &mut Vec<Effect>) -> Result<(), Report> {
        let done = |fx: &mut Vec<Effect>| fx.push(Effect::Reply(id, Ok(Reply::Done)));
        match command {
            SavesCommand::Add { at, roots, ignore, programs } => return self.add(id, &at, roots, ignore, programs, fx),
            SavesCommand::Forget { at } => {
                let line = self.placed(&at)?;
                let key = SetKey::of(&line);
                if let Some(set) = self.desk.sets.get_mut(&key) {
                    (set.place, set.active, set.stirred, set.session) = (None, None, None, None);
                    for entry in set.lines.values_mut() {
                        entry.slot.place(None);
                    }
                }
                fx.push(Effect::Record(vec![Record::SetGone(key.clone())]));
                fx.push(Effect::WatchSave(key, Placement::default()));
                self.desk.stir(&line);
                self.audit(&line, self.me, "forgotten", None, Vec::new(), "", fx);
                done(fx);
            }
            SavesCommand::Switch { at } => {
                let (player, slot) = (self.players.resolve(at.player)?, at.slot.clone());
                let key = SetKey { player, game: at.game };
                let to = slot.ok_or_else(|| refused("which_slot", "name the slot to have on the disk"))?;
                let active = self.desk.active(&key).ok_or_else(|| not_here(&key))?;
                if active.slot == to {
                    self.wait(&active, id, Wait::Rest);
                } else if let Some(set) = self.desk.sets.get_mut(&key) {
                    if set.switch.is_some() {
                        return Err(refused("busy", "the slot on the disk is being changed already").retryable());
                    }
                    set.switch = Some(Switch::new(to, id));
                    self.look_now(&active);
                }
            }
            SavesCommand::Push { at, overwrite } => {
                let line = self.tracked(&at)?;
                self.look_now(&line);
                self.wait(&line, id, Wait::Pushed(overwrite));
            }
            SavesCommand::Pull { at, optimistic } => {
                let line = self.known(&at)?;
                let is_everyone = self.players.is_everyone_connected(line.player);
                let entry = self.desk.entry(&line);
                entry.is_optimistic = optimistic;
                entry.slot.retry();
                entry.slot.sources_changed(is_everyone);
                self.look_now(&line);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::Confirm { at } => {
                let line = self.tracked(&at)?;
                self.desk.entry(&line).is_optimistic = false;
                self.look_now(&line);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::Resolve { at, with } => return self.resolve(id, &at, &with, fx),
            SavesCommand::Rollback { at, to } => {
                let line = self.tracked(&at)?;
                self.desk.entry(&line).slot.wish(Wish::Rollback(to))?;
                self.look_now(&line);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::Delete { at } => {
                let line = self.tracked(&at)?;
                self.desk.entry(&line).slot.wish(Wish::Delete)?;
                self.look_now(&line);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::Release { at, keep_disk } => {
                let line = self.tracked(&at)?;
                let entry = self.desk.entry(&line);
                if keep_disk {
                    entry.slot.release()?
                } else {
                    entry.slot.restore_disk()?
                }
                let detail =
                    if keep_disk { "what is on the disk is meant" } else { "the disk gets back what history has" };
                self.audit(&line, self.me, "released", None, Vec::new(), detail, fx);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::Pin { at, snapshot, pinned } => {
                let line = self.known(&at)?;
                self.check_version(&line, snapshot)?;
                let uuid = model::snapshot_record_id(snapshot);
                let (game, slot) = (line.game_id.clone(), line.slot.clone());
                if pinned {
                    let pin = model::Pin { game, slot, snapshot };
                    self.players.put(line.player, uuid, &pin, self.wall, fx)?;
                } else {
                    self.players.delete::<model::Pin>(line.player, uuid, self.wall, fx)?;
                }
                let action = if pinned { "pinned" } else { "unpinned" };
                self.audit(&line, self.me, action, Some(snapshot), Vec::new(), "", fx);
                self.desk.stir(&line);
                done(fx);
            }
            SavesCommand::Note { at, snapshot, text } => {
                let line = self.known(&at)?;
                self.check_version(&line, snapshot)?;
                let uuid = model::snapshot_record_id(snapshot);
                let clean = text::clean_to(text.trim(), NOTE_LEN_MAX);
                if clean.is_empty() {
                    self.players.delete::<model::Note>(line.player, uuid, self.wall, fx)?;
                } else {
                    let (game, slot) = (line.game_id.clone(), line.slot.clone());
                    let note = model::Note { game, slot, snapshot, text: clean.clone() };
                    self.players.put(line.player, uuid, &note, self.wall, fx)?;
                }
                self.audit(&line, self.me, "noted", Some(snapshot), Vec::new(), &clean, fx);
                self.desk.stir(&line);
                done(fx);
            }
            SavesCommand::Retention { at, keep, autocleanup } => {
                let line = self.known(&at)?;
                if keep == 0 {
                    return Err(refused("bad_retention", "at least one version is kept"));
                }
                let mut record = self.slot_record_or_new(&line);
                record.retention = Some(Retention { keep, autocleanup });
                self.put_slot(&line, &record, fx)?;
                let detail = format!("keep {keep}{}", if autocleanup { "" } else { ", nothing goes by itself" });
                self.audit(&line, self.me, "retention", None, Vec::new(), &detail, fx);
                done(fx);
            }
            SavesCommand::RenameSlot { at, display_name } => {
                let line = self.known(&at)?;
                let name = text::clean_to(display_name.trim(), TEXT_LEN_MAX);
                let mut record = self.slot_record_or_new(&line);
                record.display_name = Some(name.clone()).filter(|n| !n.is_empty());
                self.put_slot(&line, &record, fx)?;
                self.audit(&line, self.me, "renamed", None, Vec::new(), &name, fx);
                done(fx);
            }
            SavesCommand::Track { at, tracked } => {
                let line = self.known(&at)?;
                let entry = self.desk.entry(&line);
                if entry.is_untracked == tracked {
                    entry.is_untracked = !tracked;
                    let action = if tracked { "tracked" } else { "untracked" };
                    self.audit(&line, self.me, action, None, Vec::new(), "", fx);
                }
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::PlayBegins { at, pid } => {
                let line = self.placed(&at)?;
                if let Some(set) = self.desk.sets.get_mut(&SetKey::of(&line)) {
                    set.session.get_or_insert_default().insert(pid);
                    set.clock(self.now);
                    set.check_at = Some(self.now + super::due::CHECK_EVERY);
                }
                self.wait(&line, id, Wait::Disk);
            }
            SavesCommand::PlayIs { at, pid } => {
                let line = self.placed(&at)?;
                if let Some(set) = self.desk.sets.get_mut(&SetKey::of(&line)) {
                    set.session.get_or_insert_default().insert(pid);
                    set.clock(self.now);
                }
                done(fx);
            }
            SavesCommand::PlayEnds { at } => {
                let line = self.placed(&at)?;
                if let Some(set) = self.desk.sets.get_mut(&SetKey::of(&line)) {
                    set.session = None;
                    set.is_seen_running = false;
                    set.clock(self.now);
                }
                self.look_now(&line);
                self.wait(&line, id, Wait::Rest);
            }
            SavesCommand::History { at } => {
                let line = self.known(&at)?;
                fx.push(Effect::Reply(id, Ok(Reply::History { versions: self.version_views(&line) })));
            }
            SavesCommand::Audit { filter } => {
                let player = filter.player.map(|p| self.players.resolve(Some(p))).transpose()?;
                fx.push(Effect::Audit(id, AuditFilter { player, ..filter }));
            }
            SavesCommand::Verify { at } => return self.verify_saves(id, at.as_ref(), fx),
            SavesCommand::Compare { at, from, to } => {
                let line = self.known(&at)?;
                for version in [from, to] {
                    self.check_stored(&line, version)?;
                }
                let work = SaveWork::Compare { command: id, from, to };
                fx.push(Effect::Save(Box::new(SaveJob { line, work })));
            }
            SavesCommand::Export { at, snapshot, folder } => {
                let line = self.known(&at)?;
                let entry = self.desk.entry(&line);
                let head = || entry.slot.record().base.or_else(|| entry.slot.have().first().copied());
                let id_of = snapshot.or_else(head);
                let version = id_of.ok_or_else(|| not_found("no_version", "there is no version to export"))?;
                self.check_stored(&line, version)?;
                let work = SaveWork::Export { command: id, id: version, folder };
                fx.push(Effect::Save(Box::new(SaveJob { line, work })));
            }
            SavesCommand::Import { at, file, label } => {
                let line = self.known_or_new(&at)?;
                let entry = self.desk.entry(&line);
                if !entry.slot.sides().is_empty() {
                    return Err(refused("in_conflict", "there is a conflict in this slot; resolve it first"));
                }
                let parents = entry.slot.heads();
                let stamp = self.players.stamp(self.wall, fx)?;
                let work = SaveWork::Import { command: id, file, label, parents, stamp };
                fx.push(Effect::Save(Box::new(SaveJob { line, work })));
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        id: CommandId,
        at: &SaveRef,
        roots: Vec<RootSpec>,
        ignore: Vec<String>,
        programs: Vec<String>,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let player = self.players.resolve(at.player)?;
        let key = SetKey { player, game: at.game.clone() };
        let uuid = model::save_set_id(&key.game);
        let records = self.players.all.get(&player).map(|p| p.replica.records());
        let shared: Option<model::SaveSet> = records.and_then(|r| r.get(uuid));
        let known = shared.as_ref().map(|s| s.labels.clone()).unwrap_or_default();
        let roots = check_roots(roots, &known)?;
        let own = roots.iter().flat_map(|r| r.include.iter().chain(&r.placed.exclude));
        for pattern in ignore.iter().chain(own) {
            if let Err(why) = pattern.parse::<Pattern>() {
                return Err(refused("bad_pattern", &format!("{pattern:?}: {why}")));
            }
        }
        if roots.iter().filter_map(|r| r.placed.name.as_deref()).any(|n| !is_name(n)) {
            return Err(refused("bad_name", "the name of a file is one that every system can store"));
        }
        if let Some(set) = self.desk.sets.get(&key).filter(|s| s.place.is_some()) {
            let is_busy = set.switch.is_some() || set.lines.values().any(|e| e.slot.is_busy());
            if is_busy {
                return Err(refused("busy", "this save is being worked on").retryable());
            }
        }
        let mut wanted =
            shared.unwrap_or(model::SaveSet { game: key.game.clone(), labels: Vec::new(), ignore: Vec::new() });
        for root in &roots {
            if !wanted.labels.contains(&root.label) {
                wanted.labels.push(root.label.clone());
            }
        }
        for pattern in ignore {
            if !wanted.ignore.contains(&pattern) {
                wanted.ignore.push(pattern);
            }
        }
        self.players.put(player, uuid, &wanted, self.wall, fx)?;
        let place = Placement { roots, ignore: Vec::new(), programs };
        let was = self.desk.active(&key);
        let slot = at.slot.clone().or_else(|| was.as_ref().map(|l| l.slot.clone())).unwrap_or_else(SlotName::main);
        let line = key.line(&slot);
        let is_moved = self.desk.sets.get(&key).and_then(|s| s.place.as_ref()).is_some_and(|p| p.roots != place.roots);
        if let Some(was) = was.filter(|w| is_moved || *w != line)
            && let Some(entry) = self.desk.get_mut(&was)
        {
            // What lies in the new place is compared with history as if it were found for the first time.
            entry.slot.place(None);
            self.desk.stir(&was);
        }
        let set: &mut Set = self.desk.sets.entry(key.clone()).or_default();
        (set.place, set.active) = (Some(place.clone()), Some(slot.clone()));
        fx.push(Effect::Record(vec![Record::Set(KnownSet { set: key.clone(), place: place.clone(), slot })]));
        let paths = place.roots.iter().map(|r| r.path.as_str()).collect::<Vec<_>>().join(", ");
        fx.push(Effect::WatchSave(key, place));
        self.audit(&line, self.me, "added", None, Vec::new(), &paths, fx);
        let entry = self.desk.entry(&line);
        entry.is_untracked = false;
        entry.slot.retry();
        self.wait(&line, id, Wait::Rest);
        Ok(())
    }

    fn resolve(&mut self, id: CommandId, at: &SaveRef, with: &ResolveWith, fx: &mut Vec<Effect>) -> Result<(), Report> {
        let line = self.tracked(at)?;
        let entry = self.desk.entry(&line);
        let sides: Vec<SnapshotId> = entry.slot.sides().into_iter().collect();
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

    fn verify_saves(&mut self, id: CommandId, at: Option<&SaveRef>, fx: &mut Vec<Effect>) -> Result<(), Report> {
        let lines = match at {
            None => self.desk.all_lines(),
            Some(SaveRef { game, slot: None, player }) => {
                let key = SetKey { player: self.players.resolve(*player)?, game: game.clone() };
                let set = self.desk.sets.get(&key).ok_or_else(|| not_here(&key))?;
                set.lines.keys().map(|slot| key.line(slot)).collect()
            }
            Some(at) => vec![self.known(at)?],
        };
        let mut verifying = Verifying::default();
        for line in lines {
            let Some(entry) = self.desk.get(&line) else { continue };
            let ids: Vec<SnapshotId> = entry.slot.whole().iter().copied().collect();
            if ids.is_empty() {
                continue;
            }
            verifying.left.insert(line.clone());
            fx.push(Effect::Save(Box::new(SaveJob { line, work: SaveWork::Verify { ids } })));
        }
        if verifying.left.is_empty() {
            let reply = Reply::Verified { versions: 0, bytes: 0, damaged: Vec::new() };
            fx.push(Effect::Reply(id, Ok(reply)));
        } else {
            self.desk.verifying.insert(id, verifying);
        }
        Ok(())
    }

    /// A line was verified: who asked for it is answered when it was the last.
    pub(super) fn verification(
        &mut self,
        line: &Line,
        versions: u64,
        bytes: u64,
        damaged: Vec<String>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(found) = self.desk.verifying.iter_mut().find(|(_, v)| v.left.contains(line)) else { return };
        let (command, verifying) = (*found.0, found.1);
        verifying.left.remove(line);
        verifying.versions += versions;
        verifying.bytes += bytes;
        verifying.damaged.extend(damaged);
        if verifying.left.is_empty()
            && let Some(Verifying { versions, bytes, damaged, .. }) = self.desk.verifying.remove(&command)
        {
            fx.push(Effect::Reply(command, Ok(Reply::Verified { versions, bytes, damaged })));
        }
    }

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
            // Nothing is under way that it could wait for.
            return Some(match entry.slot.standing() {
                Standing::Deferred => Err(refused("game_running", "it is done when the game has ended")),
                Standing::Held => {
                    Err(refused("held", "the save on the disk is missing or much smaller; answer that first")
                        .hint("see: bonfire saves release --help"))
                }
                _ => Err(refused(
                    "not_fetched",
                    "what it needs is on no connected device; it is done as soon as one has it",
                )),
            });
        }
        match wait {
            Wait::Rest | Wait::Disk => Some(Ok(())),
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
        let verdict = judge(&push, &heads, lineage);
        let told = shown(&heads, lineage);
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

    fn wait(&mut self, line: &Line, id: CommandId, wait: Wait) {
        self.desk.entry(line).waiting.push((id, wait));
        self.desk.stir(line);
    }

    /// Has the disk looked at without waiting for it to be at rest.
    fn look_now(&mut self, line: &Line) {
        if let Some(set) = self.desk.sets.get_mut(&SetKey::of(line)) {
            set.stirred = None;
        }
        let entry = self.desk.entry(line);
        entry.look = None;
        entry.slot.stirred();
        self.desk.stir(line);
    }

    /// The line that is meant, known here or not.
    fn known_or_new(&self, at: &SaveRef) -> Result<Line, Report> {
        let player: PlayerId = self.players.resolve(at.player)?;
        let key = SetKey { player, game: at.game.clone() };
        let active = || self.desk.active(&key).map(|l| l.slot);
        Ok(key.line(&at.slot.clone().or_else(active).unwrap_or_else(SlotName::main)))
    }

    /// The line that is meant, which has to be known.
    fn known(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.known_or_new(at)?;
        if self.desk.get(&line).is_some() {
            return Ok(line);
        }
        let has_set = self.desk.sets.contains_key(&SetKey::of(&line));
        if has_set {
            return Err(not_found("no_slot", &format!("{} has no slot {}", line.game_id, line.slot))
                .hint(format!("see them with: bonfire saves summary {}", line.game_id)));
        }
        Err(not_here(&SetKey::of(&line)))
    }

    /// The line that is meant, whose files have to be on this disk.
    fn placed(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.known_or_new(at)?;
        let key = SetKey::of(&line);
        match self.desk.active(&key) {
            Some(active) if active == line => Ok(line),
            Some(active) => {
                let text = format!("slot {} of {} is not on this disk; {} is", line.slot, line.game_id, active.slot);
                Err(refused("other_slot", &text)
                    .hint(format!("bonfire saves switch {} --slot {}", line.game_id, line.slot)))
            }
            None => Err(not_here(&key)),
        }
    }

    /// The same, of a slot that this device takes part in.
    fn tracked(&self, at: &SaveRef) -> Result<Line, Report> {
        let line = self.placed(at)?;
        if !self.players.takes_part(line.player) {
            let text = "this device takes no part in the player's saves";
            return Err(refused("takes_no_part", text).hint("see: bonfire devices list"));
        }
        if self.desk.get(&line).is_some_and(|e| e.is_untracked) {
            return Err(refused("untracked", "this device leaves the slot alone; track it first"));
        }
        Ok(line)
    }

    fn check_version(&self, line: &Line, snapshot: SnapshotId) -> Result<(), Report> {
        let is_known = self.desk.get(line).is_some_and(|e| e.slot.lineage().get(&snapshot).is_some());
        if is_known { Ok(()) } else { Err(not_found("unknown_snapshot", &format!("no version {snapshot} here"))) }
    }

    fn check_stored(&self, line: &Line, snapshot: SnapshotId) -> Result<(), Report> {
        if self.desk.get(line).is_some_and(|e| e.slot.whole().contains(&snapshot)) {
            return Ok(());
        }
        Err(not_found("not_stored", &format!("version {snapshot} is not stored here")))
    }

    fn slot_record_or_new(&self, line: &Line) -> model::Slot {
        self.slot_record(line).unwrap_or(model::Slot {
            game: line.game_id.clone(),
            slot: line.slot.clone(),
            display_name: None,
            retention: None,
        })
    }

    fn put_slot(&mut self, line: &Line, record: &model::Slot, fx: &mut Vec<Effect>) -> Result<(), Report> {
        let uuid = model::slot_id(&line.game_id, &line.slot);
        self.players.put(line.player, uuid, record, self.wall, fx)?;
        self.desk.stir(line);
        Ok(())
    }
}

/// The roots of a save set as they are meant: each with a label, those of the other devices where none is given.
fn check_roots(roots: Vec<RootSpec>, known: &[String]) -> Result<Vec<Root>, Report> {
    if roots.is_empty() || roots.len() > ROOTS_MAX {
        return Err(refused("bad_roots", &format!("a save set has 1 to {ROOTS_MAX} paths")));
    }
    let unnamed = roots.iter().filter(|r| r.label.is_none()).count();
    if unnamed > 1 && !known.is_empty() && known.len() != roots.len() {
        let text = format!("on other devices this save set has the parts {}", known.join(", "));
        return Err(refused("which_parts", &text).hint("name them: LABEL=PATH"));
    }
    let mut used: BTreeMap<String, ()> = BTreeMap::new();
    let mut out = Vec::new();
    for (n, root) in roots.into_iter().enumerate() {
        let default =
            || known.get(n).cloned().unwrap_or_else(|| if n == 0 { "save".into() } else { format!("save{}", n + 1) });
        let label = root.label.unwrap_or_else(default);
        let is_legal = (1..=32).contains(&label.len()) && is_name(&label);
        if !is_legal {
            return Err(refused("bad_label", "the name of a part is 1 to 32 bytes that every system can store"));
        }
        if used.insert(label.clone(), ()).is_some() {
            return Err(refused("bad_label", &format!("the part {label} is there twice")));
        }
        if root.path.is_empty() || root.path.len() > PATH_MAX {
            return Err(refused("bad_path", "a path has 1 to 4096 bytes"));
        }
        let is_file = root.is_file.unwrap_or(false);
        out.push(Root { label, path: root.path, is_file, include: root.include, placed: root.placed });
    }
    Ok(out)
}

fn is_name(text: &str) -> bool {
    bonfire_proto::RelPath::new(text).is_ok_and(|p| p.parts().count() == 1)
}

/// What is on the disk is in history below what it was to be put over, or nobody can tell yet.
fn nothing_new(line: &Line, base: SnapshotId) -> Report {
    let text = format!("what is on the disk of {} is version {base}, and nothing newer", line.game_id);
    let hint =
        format!("to go back to it once the newest version is here: bonfire saves rollback {} {base}", line.game_id);
    refused("nothing_new", &text).hint(hint)
}

fn refused(code: &str, text: &str) -> Report {
    Report::new(ErrorClass::Refused, code, text)
}

fn not_found(code: &str, text: &str) -> Report {
    Report::new(ErrorClass::NotFound, code, text)
}
