//! The people and games of a simulated player: one random thing at a time, on one device. Owns what they write, so that a
//! content never comes about twice by chance.

use bonfire_engine::command::{Command, DevicesCommand, ResolveWith, RootSpec, SaveRef, SavesCommand};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves::work::{Placed, SetKey};
use bonfire_engine::saves_view::SlotView;
use bonfire_engine::trust::DeviceRole;
use bonfire_proto::{PlayerId, SlotName, SnapshotId};

use super::machine::{Crash, Game};
use super::vault::Files;
use super::world::World;
use crate::sim_room::Dice;

/// What people decide, drawn from dice of their own.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) dice: Dice,
    written: u64,
}

/// A save with this number: two files, one of which the next number shares.
pub(super) fn content(n: u64) -> Files {
    let shared = format!("{:064}", n / 2);
    Files::from([
        ("save/profile".to_owned(), shared.into_bytes()),
        ("save/world".to_owned(), format!("{n:064}").into_bytes()),
    ])
}

impl Person {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed, "person"), written: 0 }
    }

    fn fresh(&mut self) -> Files {
        self.written += 1;
        content(self.written)
    }

    fn slot(&mut self) -> SlotName {
        if self.dice.chance(50) {
            SlotName::main()
        } else {
            SlotName::new("second").unwrap_or_else(|_| SlotName::main())
        }
    }

    /// Does one random thing.
    pub(super) fn act(&mut self, w: &mut World) {
        let m = self.dice.index(w.machines.len());
        let sets: Vec<SetKey> = w.machines[m].disks.keys().cloned().collect();
        if sets.is_empty() {
            return;
        }
        let set = sets[self.dice.index(sets.len())].clone();
        match self.dice.below(100) {
            0..=27 => self.edit(w, m, &set),
            28..=31 => self.same_edit_elsewhere(w, m, &set),
            32..=34 => self.earlier_content(w, m, &set),
            35..=43 => self.play(w, m, &set),
            44..=46 => self.empty(w, m, &set),
            47..=64 => self.ask(w, m, &set),
            65..=70 => self.part(w),
            71..=76 => self.cut(w, m),
            77..=86 => self.break_something(w, m),
            87..=89 => self.step_clock(w, m),
            90..=92 => self.lose_database(w, m),
            93..=94 => self.remove_and_pair(w, m, &set),
            _ => self.manage(w, m, &set),
        }
    }

    fn write(w: &mut World, m: usize, set: &SetKey, files: Files) {
        w.note(format_args!(
            "{m} WRITES {:?}",
            files.get("save/world").map(|b| String::from_utf8_lossy(b).trim_start_matches('0').to_owned())
        ));
        if w.machines[m].runs.len() > 1 {
            w.fired("written while work is under way");
        }
        w.machines[m].disks.entry(set.clone()).or_default().write(files);
        w.wrote(m, set);
    }

    pub(super) fn edit(&mut self, w: &mut World, m: usize, set: &SetKey) {
        w.fired("edit");
        let files = self.fresh();
        Self::write(w, m, set, files);
    }

    fn same_edit_elsewhere(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let files = self.fresh();
        let second = self.dice.index(w.machines.len());
        for at in [m, second] {
            if w.machines[at].disks.contains_key(set) {
                w.fired("the same content on two devices");
                Self::write(w, at, set, files.clone());
            }
        }
    }

    fn earlier_content(&mut self, w: &mut World, m: usize, set: &SetKey) {
        if self.written > 0 {
            w.fired("back to an earlier content");
            let n = 1 + self.dice.below(self.written);
            Self::write(w, m, set, content(n));
        }
    }

    /// A game begins or ends, as a session or by itself; a game may take its save away while it runs.
    fn play(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let running = w.machines[m].disks.get(set).and_then(|d| d.game);
        let is_session = w.machines[m].disks.get(set).is_some_and(|d| d.is_promised);
        if running.is_none() && !is_session && w.machines[m].engine.is_some() {
            let is_seen = self.dice.chance(70);
            if self.dice.chance(50) {
                w.fired("play session");
                self.say(w, m, SavesCommand::PlayBegins { at: at(set), pid: 7 });
            }
            if let Some(disk) = w.machines[m].disks.get_mut(set) {
                disk.game = Some(Game { is_seen });
            }
            w.fired("game runs");
            if is_seen && self.dice.chance(40) {
                w.fired("a game takes its save away while it runs");
                Self::write(w, m, set, Files::new());
            }
            w.wrote(m, set);
        } else {
            self.end_game(w, m, set);
        }
    }

    pub(super) fn end_game(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let Some(disk) = w.machines[m].disks.get_mut(set) else { return };
        let is_session = std::mem::take(&mut disk.is_promised);
        let was_running = disk.game.take().is_some();
        let is_empty = disk.files.is_empty();
        if was_running && (is_empty || self.dice.chance(60)) {
            let files = self.fresh();
            Self::write(w, m, set, files);
        }
        if (is_session || was_running) && w.machines[m].engine.is_some() {
            self.say(w, m, SavesCommand::PlayEnds { at: at(set) });
        }
    }

    fn empty(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let files = match self.dice.below(3) {
            0 => Files::new(),
            1 => Files::from([("save/profile".to_owned(), b"x".to_vec())]),
            _ => Files::from([("save/profile".to_owned(), Vec::new()), ("save/world".to_owned(), Vec::new())]),
        };
        w.fired("folder emptied");
        Self::write(w, m, set, files);
    }

    pub(super) fn say(&mut self, w: &mut World, m: usize, command: SavesCommand) {
        if let SavesCommand::Delete { at } | SavesCommand::Release { at, .. } = &command
            && let Some(player) = at.player
            && let Some(disk) = w.machines[m].disks.get_mut(&SetKey { player, game: at.game.clone() })
        {
            disk.may_shrink = true;
        }
        w.command(m, Command::Saves(command));
    }

    /// The slot of a set that is on a device's disk.
    pub(super) fn here(w: &World, m: usize, set: &SetKey) -> Option<SlotView> {
        let views = w.views(m);
        let player = views.iter().find(|v| v.player == set.player)?;
        player.slots.iter().find(|s| s.is_here && s.game == set.game).map(|s| (**s).clone())
    }

    fn ask(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let Some(slot) = Self::here(w, m, set) else { return };
        let at = at(set);
        let known: Vec<SnapshotId> =
            slot.heads.iter().map(|h| h.id).chain(slot.base).chain(slot.sides.clone()).collect();
        let some = (!known.is_empty()).then(|| known[self.dice.index(known.len())]);
        let older: Vec<SnapshotId> = w.machines[m]
            .vault
            .nodes()
            .filter(|(line, _)| *line == super::oracle::line_of(&slot))
            .map(|(_, n)| n.id)
            .collect();
        let old = (!older.is_empty()).then(|| older[self.dice.index(older.len())]);
        let command = match (self.dice.below(12), some, old) {
            (0..=2, ..) if slot.standing == Standing::Conflict => return self.resolve(w, m, set, &slot),
            (0, ..) => SavesCommand::Delete { at },
            (1 | 2, _, Some(to)) => SavesCommand::Rollback { at, to },
            (3, ..) => SavesCommand::Push { at, overwrite: None },
            (4, Some(id), _) => {
                w.fired("push over shown heads");
                SavesCommand::Push { at, overwrite: Some([id].into()) }
            }
            (5, ..) => SavesCommand::Pull { at, optimistic: self.dice.chance(30) },
            (6, _, Some(snapshot)) => {
                w.fired("pin");
                SavesCommand::Pin { at, snapshot, pinned: self.dice.chance(70) }
            }
            (7 | 8, ..) => SavesCommand::Switch { at: SaveRef { slot: Some(self.slot()), ..at } },
            (9, ..) => {
                let tracked = slot.is_untracked;
                if tracked {
                    w.machines[m].untracked.remove(&super::oracle::line_of(&slot));
                }
                SavesCommand::Track { at, tracked }
            }
            (10, ..) if slot.standing == Standing::Held => {
                SavesCommand::Release { at, keep_disk: self.dice.chance(50) }
            }
            (10, ..) => SavesCommand::Confirm { at },
            (_, Some(snapshot), _) => SavesCommand::Note { at, snapshot, text: format!("{}", self.dice.below(9)) },
            _ => return,
        };
        self.say(w, m, command);
    }

    pub(super) fn resolve(&mut self, w: &mut World, m: usize, set: &SetKey, slot: &SlotView) {
        let with = match self.dice.below(5) {
            0 | 1 => ResolveWith::Mine,
            2 => ResolveWith::Theirs,
            3 => ResolveWith::Both,
            _ => match slot.sides.first() {
                Some(side) => ResolveWith::Use(*side),
                None => ResolveWith::Mine,
            },
        };
        w.fired(match with {
            ResolveWith::Mine => "resolve with mine",
            ResolveWith::Theirs => "resolve with theirs",
            ResolveWith::Both => "resolve with both",
            ResolveWith::Use(_) => "resolve with a named one",
        });
        self.say(w, m, SavesCommand::Resolve { at: at(set), with });
    }

    fn part(&mut self, w: &mut World) {
        let count = w.machines.len();
        if self.dice.chance(40) {
            w.fired("healed");
            w.parted.clear();
            for a in 0..count {
                for b in a + 1..count {
                    w.connect_soon(a, b);
                }
            }
            return;
        }
        let alone = self.dice.index(count);
        for other in (0..count).filter(|o| *o != alone) {
            if self.dice.chance(80) {
                w.fired("parted");
                w.parted.insert((alone.min(other), alone.max(other)));
                w.cut(alone, other);
            }
        }
    }

    fn cut(&mut self, w: &mut World, m: usize) {
        let other = self.dice.index(w.machines.len());
        if other != m {
            w.fired("connection cut");
            w.cut(m, other);
        }
    }

    fn break_something(&mut self, w: &mut World, m: usize) {
        match self.dice.below(9) {
            0..=5 => {
                let all = [
                    Crash::BeforeRecord,
                    Crash::AfterRecord,
                    Crash::BetweenStoreAndRecord,
                    Crash::BetweenApplyAndRecord,
                    Crash::InFetch,
                    Crash::InLook,
                ];
                w.machines[m].crash = Some(*self.dice.pick(&all));
            }
            6 | 7 => w.machines[m].is_full = !w.machines[m].is_full,
            _ => {
                if w.machines[m].engine.is_some() {
                    w.fired("off for long");
                    let back = 60_000 + self.dice.below(600_000);
                    w.crash(m, back);
                }
            }
        }
    }

    fn step_clock(&mut self, w: &mut World, m: usize) {
        const DAY: i64 = 86_400_000;
        let steps = [-3 * DAY, 3 * DAY, -DAY, DAY, 0, 30 * DAY];
        let skew = *self.dice.pick(&steps);
        w.fired(if skew > 7 * DAY { "poisoned clock" } else { "clock step" });
        w.machines[m].skew = skew;
    }

    fn lose_database(&mut self, w: &mut World, m: usize) {
        let all = self.dice.chance(15);
        let count = w.machines.len();
        let lost: Vec<usize> = if all { (0..count).collect() } else { vec![m] };
        if !all && !self.dice.chance(40) {
            return;
        }
        w.fired(if all { "database lost on all devices" } else { "database lost" });
        for m in lost {
            if w.machines[m].engine.is_some() {
                let back = 500 + self.dice.below(5_000);
                w.crash(m, back);
            }
            w.lose_database(m);
            w.truth.forget_clock(m);
        }
    }

    fn remove_and_pair(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let members: Vec<usize> = w.truth.members.get(&set.player).into_iter().flatten().copied().collect();
        let Some(gone) = members.iter().copied().find(|o| *o != m) else { return };
        if members.len() < 3 || !members.contains(&m) || w.machines[m].engine.is_none() {
            return;
        }
        let device = w.machines[gone].id;
        let id = w.command(m, Command::Devices(DevicesCommand::Remove { player: Some(set.player), device }));
        match w.truth.replies.get(&id) {
            Some(Ok(_)) => w.removed(set.player, gone),
            Some(Err(_)) => {}
            // It crashed by it: only the device itself can tell whether it was done.
            None => w.truth.unsure.push((set.player, m, gone)),
        }
    }

    fn manage(&mut self, w: &mut World, m: usize, set: &SetKey) {
        let members: Vec<usize> = w.truth.members.get(&set.player).into_iter().flatten().copied().collect();
        match self.dice.below(4) {
            0 => {
                let keep = 1 + u32::try_from(self.dice.below(4)).unwrap_or(1);
                self.say(w, m, SavesCommand::Retention { at: at(set), keep, autocleanup: true });
            }
            1 => {
                let display_name = format!("{}", self.dice.below(5));
                self.say(w, m, SavesCommand::RenameSlot { at: at(set), display_name });
            }
            2 if !members.contains(&m) => {
                let Some(inviting) = members.first().copied() else { return };
                if w.pair_devices(inviting, m, set.player, DeviceRole::Personal) {
                    w.fired("device paired again");
                }
            }
            _ => self.add(w, m, set),
        }
    }

    /// Says where the save lies, where that is not known.
    pub(super) fn add(&mut self, w: &mut World, m: usize, set: &SetKey) {
        if w.machines[m].db.sets.contains_key(set) {
            return;
        }
        let (path, placed) = ("/saves".to_owned(), Placed::default());
        let roots = vec![RootSpec { label: None, path, is_file: None, include: Vec::new(), placed }];
        let programs = vec!["game".to_owned()];
        self.say(w, m, SavesCommand::Add { at: at(set), roots, ignore: Vec::new(), programs });
    }
}

/// A set, as commands name it.
pub(super) fn at(set: &SetKey) -> SaveRef {
    SaveRef { game: set.game.clone(), slot: None, player: Some(set.player) }
}

/// The set of a player.
pub(super) fn set_of(player: PlayerId) -> Option<SetKey> {
    Some(SetKey { player, game: bonfire_proto::GameId::new("doom").ok()? })
}
