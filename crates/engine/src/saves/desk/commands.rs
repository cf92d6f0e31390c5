//! What a person asks for about saves.
//!
//! Owns which wish a command is. Whether it can be meant is `checks`', who waits for what `waiting`'s, what a wish does to
//! a slot `Slot`'s.

use bonfire_proto::limits::{NOTE_LEN_MAX, TEXT_LEN_MAX};
use bonfire_proto::{SlotName, text};

use super::checks::{check_roots, is_name};
use super::switch::{Switch, not_here};
use super::waiting::Wait;
use super::{Set, SetKey};
use crate::command::{AuditFilter, Reply, RootSpec, SaveRef, SavesCommand};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::places::pattern::Pattern;
use crate::record::{KnownSet, Record};
use crate::replication::model::{self, Retention};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;
use crate::saves::slot::Wish;
use crate::saves::work::{Placement, SaveJob, SaveWork};

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
            SavesCommand::Resolve { at, with } => return self.resolve(id, &at, with, fx),
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
            SavesCommand::Picture { at, snapshot, act } => {
                let line = self.known(&at)?;
                self.check_version(&line, snapshot)?;
                return self.picture_command(id, line, snapshot, act, fx);
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
                self.may_play(&line.game_id)?;
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

    /// Has the disk looked at without waiting for it to be at rest.
    pub(super) fn look_now(&mut self, line: &Line) {
        if let Some(set) = self.desk.sets.get_mut(&SetKey::of(line)) {
            set.stirred = None;
        }
        let entry = self.desk.entry(line);
        entry.look = None;
        entry.slot.stirred();
        self.desk.stir(line);
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

pub(super) fn refused(code: &str, text: &str) -> Report {
    Report::new(ErrorClass::Refused, code, text)
}

pub(super) fn not_found(code: &str, text: &str) -> Report {
    Report::new(ErrorClass::NotFound, code, text)
}
