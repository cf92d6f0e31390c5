//! What happens in a room, drawn from the seed: people who add, change, fetch, cancel, remove and verify games while the
//! network misbehaves and machines lose power. At the end everything is mended, and the room has to agree.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bonfire_disk::fs::FsPath;
use bonfire_engine::command::{Command, LibraryCommand, Reply, TransferCommand};
use bonfire_proto::GameId;
use tokio::time::{Instant, sleep};

use super::shelf::{OWN, Person, Version, flipped};
use super::tally::Tally;
use super::witness::Witness;
use super::{Dice, ErrorLines, Setting, SimRoom};
use crate::model_disk::{Content, Failure, ModelFs};
use crate::sim_net::{Counts, Faults};

/// Actions of one run.
const ACTIONS: u64 = 40;

/// What came of one run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must never be and was; empty for a good run.
    pub violations: Vec<String>,
    /// Hash over the fate of every packet.
    pub packets: [u8; 32],
    /// Hash over every event, command and action with its time.
    pub events: [u8; 32],
    /// Fates of packets.
    pub net: Counts,
    /// What happened.
    pub tally: Tally,
    /// Virtual time that passed.
    pub elapsed: Duration,
    /// The log, line by line.
    pub log: Vec<String>,
    /// The end of the log.
    pub tail: String,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
enum Action {
    Add,
    Change,
    Flip,
    DeleteByHand,
    Get,
    GetAndCancel,
    Cancel,
    Remove,
    Verify,
    Rescan,
    CatalogRemove,
    Cut,
    HalfCut,
    Heal,
    Weather,
    DiskFull,
    Crash,
    Leave,
    LoseDatabase,
}

/// Actions and how often each comes, in parts of their sum.
const WEIGHTS: [(Action, u64); 19] = [
    (Action::Add, 10),
    (Action::Change, 8),
    (Action::Flip, 3),
    (Action::DeleteByHand, 2),
    (Action::Get, 26),
    (Action::GetAndCancel, 10),
    (Action::Cancel, 5),
    (Action::Remove, 5),
    (Action::Verify, 8),
    (Action::Rescan, 3),
    (Action::CatalogRemove, 2),
    (Action::Cut, 7),
    (Action::HalfCut, 3),
    (Action::Heal, 9),
    (Action::Weather, 5),
    (Action::DiskFull, 4),
    (Action::Crash, 9),
    (Action::Leave, 5),
    (Action::LoseDatabase, 2),
];

/// Runs a seed in a runtime of its own and says what came of it.
///
/// # Errors
/// When the machine gives neither a runtime nor a folder for the databases.
pub fn run_seed(seed: u64, errors: &ErrorLines) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    let _heard = tracing::subscriber::set_default(errors.clone());
    let outcome = runtime.block_on(async {
        let mut run = Run::new(seed)?;
        run.play().await;
        Ok(run.outcome(errors))
    });
    // Tasks of dead peers end here.
    drop(runtime);
    outcome
}

pub(super) struct Run {
    pub(super) room: SimRoom,
    dice: Dice,
    pub(super) games: Vec<GameId>,
    /// Machines that are off, and when each is switched on again.
    pub(super) back_at: BTreeMap<usize, Instant>,
    /// Machines whose disk is full, and until when.
    pub(super) full_until: BTreeMap<usize, Instant>,
    /// Games of which a byte was flipped somewhere: their versions do not tell contents apart.
    pub(super) flipped: bool,
}

impl Run {
    fn new(seed: u64) -> std::io::Result<Self> {
        let mut dice = Dice::new(seed, "setting");
        let setting = Setting {
            seed,
            seats: *dice.pick(&[2, 3, 3, 3, 3, 4]),
            by_address: dice.chance(25),
            jumbo: dice.chance(70),
            bulk: dice.chance(50),
        };
        let room = SimRoom::new(setting)?;
        let games = ["keen", "quake"].iter().filter_map(|g| GameId::new(*g).ok()).collect();
        let dice = Dice::new(seed, "actions");
        Ok(Self { room, dice, games, back_at: BTreeMap::new(), full_until: BTreeMap::new(), flipped: false })
    }

    fn outcome(self, errors: &ErrorLines) -> Outcome {
        for line in errors.take() {
            self.room.see().violation(&format!("logged at ERROR: {line}"));
        }
        let see = self.room.see();
        Outcome {
            seed: self.room.setting.seed,
            violations: see.violations().to_vec(),
            packets: self.room.net.trace(),
            events: see.digest(),
            net: self.room.net.counts(),
            tally: see.tally,
            elapsed: self.room.net.elapsed(),
            log: see.lines().to_vec(),
            tail: see.tail(),
        }
    }

    async fn play(&mut self) {
        let setting = format!("SETTING {:?}", self.room.setting);
        self.room.see().note(&setting);
        self.furnish();
        self.weather();
        for seat in 0..self.room.setting.seats {
            sleep(self.dice.millis(0, 1_500)).await;
            self.room.start(seat).await;
            for game in self.games.clone() {
                if self.here(seat, &game).is_some() && self.dice.chance(85) {
                    let command = LibraryCommand::CatalogAdd {
                        game,
                        name: None,
                        version: None,
                        saves: None,
                        start: std::collections::BTreeMap::new(),
                    };
                    self.room.ask(seat, Command::Library(command)).await;
                }
            }
        }
        for _ in 0..ACTIONS {
            let pause = match self.dice.below(10) {
                0..=3 => self.dice.millis(0, 40),
                4..=6 => self.dice.millis(40, 1_000),
                7..=8 => self.dice.millis(1_000, 6_000),
                _ => self.dice.millis(6_000, 60_000),
            };
            sleep(pause).await;
            self.switch_on_due().await;
            let action = self.draw();
            self.act(action).await;
            if !self.room.see().violations().is_empty() {
                return;
            }
        }
        self.mend().await;
        self.rest("after the actions").await;
        self.everyone_gets_everything().await;
        self.rest("after everyone got everything").await;
        self.listen().await;
        for seat in 0..self.room.setting.seats {
            self.room.leave(seat).await;
        }
    }

    fn draw(&mut self) -> Action {
        let sum = WEIGHTS.iter().map(|(_, w)| w).sum();
        let mut at = self.dice.below(sum);
        for (action, weight) in WEIGHTS {
            match at.checked_sub(weight) {
                Some(rest) => at = rest,
                None => return action,
            }
        }
        Action::Get
    }

    /// What people have in their games folders before they come.
    fn furnish(&mut self) {
        let mut dice = Dice::new(self.room.setting.seed, "furniture");
        let big = *dice.pick(&[(4 << 20) + 1, 9_400_000, 5_000_000, 4 << 20]);
        for (i, game) in self.games.clone().into_iter().enumerate() {
            let version = Version::first(if i == 0 { 3_000 } else { big }, &mut dice);
            let seat = dice.index(self.room.setting.seats);
            self.room.see().shelf.add(&game, version.clone());
            self.in_folder(seat, |fs| Person { fs }.put(&game, &version, fs.disk().seen()));
            self.room.see().shelf.put_by_hand(seat, &game, &version);
            // Where nobody put the game by hand: there, it would be part of it.
            for other in (0..self.room.setting.seats).filter(|other| *other != seat) {
                if dice.chance(40) {
                    self.keep(other, &format!("{game}/{OWN}slot.dat"), b"won twice\n");
                }
            }
        }
        for seat in 0..self.room.setting.seats {
            self.keep(seat, "notes.txt", b"mine\n");
            if dice.chance(30) {
                let game = dice.pick(&self.games).clone();
                self.keep(seat, &format!("{game}/local/save.dat"), b"level 7\n");
                self.keep(seat, &format!("{game}/.softlan_game_installed"), b"yes\n");
            }
        }
    }

    /// Puts a file of a person into a games folder, to be left alone for ever.
    fn keep(&mut self, seat: usize, path: &str, bytes: &[u8]) {
        let content = Content::of(bytes);
        let at = path.split('/').fold(FsPath::root(), |dir, name| dir.child(name));
        self.in_folder(seat, |fs| Person { fs }.write(&at, &content));
        self.room.see().personal(seat, path, Some(content));
    }

    /// Does something in a games folder, whether the machine's peer runs or not.
    fn in_folder(&mut self, seat: usize, what: impl FnOnce(&ModelFs) -> std::io::Result<()>) {
        let done = match &self.room.seats[seat].running {
            Some(running) => what(&running.fs),
            None => {
                let fs = ModelFs::over(self.room.seats[seat].disk.clone(), true);
                let done = what(&fs);
                self.room.seats[seat].disk = fs.disk();
                done
            }
        };
        if let Err(error) = done {
            self.room.see().violation(&format!("the person at seat {seat} cannot do a thing: {error}"));
        }
    }

    /// Whether a person may touch a game there: nothing is under way and nothing lies half done.
    fn is_free(&self, seat: usize, game: &GameId) -> bool {
        let idle = self.room.snapshot(seat).is_none_or(|s| s.operations.iter().all(|o| o.game != *game))
            && !self.full_until.contains_key(&seat);
        let disk = match &self.room.seats[seat].running {
            Some(running) => running.fs.disk(),
            None => self.room.seats[seat].disk.clone(),
        };
        let scratch = [".bonfire.part", ".version.ini.tmp", ".version.ini.discarded"];
        idle && scratch.iter().all(|n| disk.seen().node(&format!("{game}/{n}")).is_none())
    }

    /// The version that a seat has of a game.
    fn here(&self, seat: usize, game: &GameId) -> Option<Version> {
        let disk = match &self.room.seats[seat].running {
            Some(running) => running.fs.disk(),
            None => self.room.seats[seat].disk.clone(),
        };
        self.room.see().shelf.identify(disk.seen(), game).cloned()
    }

    async fn switch_on_due(&mut self) {
        let due: Vec<usize> =
            self.back_at.iter().filter(|(_, at)| **at <= Instant::now()).map(|(seat, _)| *seat).collect();
        for seat in due {
            self.switch_on(seat).await;
        }
        let room: Vec<usize> =
            self.full_until.iter().filter(|(_, at)| **at <= Instant::now()).map(|(seat, _)| *seat).collect();
        for seat in room {
            self.make_room(seat);
        }
    }

    pub(super) fn make_room(&mut self, seat: usize) {
        if self.full_until.remove(&seat).is_some()
            && let Some(running) = &self.room.seats[seat].running
        {
            running.fs.fail(None);
            self.room.see().tally.failed_writes += running.fs.fired();
            self.room.see().note(&format!("seat {seat} HAS ROOM again"));
        }
    }

    pub(super) async fn switch_on(&mut self, seat: usize) {
        self.back_at.remove(&seat);
        self.room.see().tally.returned += 1;
        self.room.start(seat).await;
    }

    fn goes_off(&mut self, seat: usize) {
        self.full_until.remove(&seat);
        // Above the time that a goodbye takes in discovery.
        let away = if self.dice.chance(70) { self.dice.millis(300, 8_000) } else { self.dice.millis(8_000, 150_000) };
        self.back_at.insert(seat, Instant::now() + away);
    }

    async fn act(&mut self, action: Action) {
        let mut seat = self.dice.index(self.room.setting.seats);
        // Trouble strikes most often where it hurts.
        if matches!(action, Action::Crash | Action::DiskFull | Action::Cancel | Action::Cut) && self.dice.chance(60) {
            let busy = (0..self.room.setting.seats)
                .find(|s| self.room.snapshot(*s).is_some_and(|s| Witness::is_downloading(&s)));
            seat = busy.unwrap_or(seat);
        }
        let other = (seat + 1 + self.dice.index(self.room.setting.seats - 1)) % self.room.setting.seats;
        let game = self.dice.pick(&self.games).clone();
        let pair = (self.room.seats[seat].addr.ip(), self.room.seats[other].addr.ip());
        self.room.see().note(&format!("ACTION {action:?} seat {seat} other {other} game {game}"));
        match action {
            Action::Add => self.add(seat, &game).await,
            Action::Change => self.change(seat, &game).await,
            Action::Flip => self.flip(seat, &game).await,
            Action::DeleteByHand => self.delete_by_hand(seat, &game).await,
            Action::Get => {
                let from = self.room.snapshot(other).filter(|_| self.dice.chance(15)).map(|s| s.me.peer);
                self.transfer(seat, TransferCommand::Get { game, from }).await;
            }
            Action::GetAndCancel => {
                self.transfer(seat, TransferCommand::Get { game: game.clone(), from: None }).await;
                let wait = if self.dice.chance(60) { self.dice.millis(0, 120) } else { self.dice.millis(0, 4_000) };
                if self.dice.chance(25) {
                    self.room.net.cut(pair.0, pair.1);
                    self.room.see().tally.cuts += 1;
                }
                sleep(wait).await;
                self.cancel(seat, game).await;
            }
            Action::Cancel => self.cancel(seat, game).await,
            Action::Remove => self.transfer(seat, TransferCommand::Remove { game }).await,
            Action::Verify => self.transfer(seat, TransferCommand::Verify { game, restore: false }).await,
            Action::Rescan => self.rescan(seat, Vec::new()).await,
            Action::CatalogRemove => {
                self.room.ask(seat, Command::Library(LibraryCommand::CatalogRemove { game })).await;
            }
            Action::Cut => {
                self.room.net.cut(pair.0, pair.1);
                self.room.see().tally.cuts += 1;
            }
            Action::HalfCut => {
                self.room.net.cut_one_way(pair.0, pair.1);
                self.room.see().tally.half_cuts += 1;
            }
            Action::Heal => self.room.net.heal_all(),
            Action::Weather => self.weather(),
            Action::DiskFull => {
                if let Some(running) = &self.room.seats[seat].running
                    && !self.full_until.contains_key(&seat)
                {
                    let at = running.fs.ops() + self.dice.below(60);
                    running.fs.fail(Some(Failure { at, sticky: true, kind: std::io::ErrorKind::StorageFull }));
                    self.room.see().trouble(seat);
                    self.full_until.insert(seat, Instant::now() + self.dice.millis(50, 20_000));
                }
            }
            Action::Crash => {
                if self.room.is_running(seat) {
                    self.room.crash(seat, &mut self.dice);
                    self.goes_off(seat);
                }
            }
            Action::Leave => {
                if self.room.is_running(seat) {
                    self.room.leave(seat).await;
                    self.goes_off(seat);
                }
            }
            Action::LoseDatabase => {
                if self.room.is_running(seat) {
                    self.room.leave(seat).await;
                    self.room.lose_database(seat);
                    self.goes_off(seat);
                }
            }
        }
    }

    fn weather(&mut self) {
        let storm = Faults { loss: 0.15, duplicate: 0.1, delay: (Duration::from_millis(1), Duration::from_millis(60)) };
        let faults = match self.dice.below(5) {
            0 => Faults::none(),
            1 => storm,
            _ => Faults::rough(),
        };
        self.room.net.set_faults(faults);
    }

    /// A person puts a game where it is not, and shares it.
    async fn add(&mut self, seat: usize, game: &GameId) {
        if self.here(seat, game).is_none() && self.is_free(seat, game) && self.dice.chance(40) {
            let newest = self.room.see().shelf.newest(game).cloned();
            if let Some(version) = newest {
                self.put(seat, game, &version);
            }
        }
        if self.here(seat, game).is_none() && !self.room.see().personal_beneath(seat, game).is_empty() {
            // Nobody calls a folder of their own files a game.
            return;
        }
        let command = LibraryCommand::CatalogAdd {
            game: game.clone(),
            name: None,
            version: None,
            saves: None,
            start: std::collections::BTreeMap::new(),
        };
        self.room.ask(seat, Command::Library(command)).await;
    }

    /// A person puts a newer version in the place of what is there.
    async fn change(&mut self, seat: usize, game: &GameId) {
        let Some(here) = self.here(seat, game).filter(|_| self.is_free(seat, game)) else { return };
        let label = self.room.see().shelf.newest(game).map_or(1, |v| v.label) + 1;
        let version = here.next(label, &mut self.dice);
        self.room.see().shelf.add(game, version.clone());
        self.put(seat, game, &version);
        self.maybe_rescan(seat, game).await;
    }

    fn put(&mut self, seat: usize, game: &GameId, version: &Version) {
        // A version that is put there by hand is everything that lies there, so people take their own files out first.
        let prefix = format!("{game}/{OWN}");
        let own = self.room.see().personal_beneath(seat, game);
        for path in own.into_iter().filter(|path| path.starts_with(&prefix)) {
            self.room.see().personal(seat, &path, None);
            let at = path.split('/').fold(FsPath::root(), |dir, name| dir.child(name));
            self.in_folder(seat, |fs| Person { fs }.delete(&at));
        }
        self.in_folder(seat, |fs| Person { fs }.put(game, version, fs.disk().seen()));
        let mut see = self.room.see();
        see.shelf.put_by_hand(seat, game, version);
        see.tally.changes += 1;
    }

    /// A byte goes bad.
    async fn flip(&mut self, seat: usize, game: &GameId) {
        let Some(here) = self.here(seat, game).filter(|_| self.is_free(seat, game)) else { return };
        let Some(len) = here.files.get("game.eti").map(Content::len).filter(|l| *l > 0) else { return };
        let offset = self.dice.below(len);
        self.room.see().shelf.add(game, flipped(&here, "game.eti", offset));
        let path = FsPath::game(game).child("game.eti");
        self.in_folder(seat, |fs| Person { fs }.flip(&path, offset));
        {
            let mut see = self.room.see();
            // What somebody changed since it came may be a person's work: a cancelled repair names it and leaves it.
            see.shelf.changed_by_hand(seat, game, "game.eti");
            see.tally.changes += 1;
        }
        self.flipped = true;
        if self.dice.chance(70) {
            self.transfer(seat, TransferCommand::Verify { game: game.clone(), restore: false }).await;
        } else {
            self.maybe_rescan(seat, game).await;
        }
    }

    async fn delete_by_hand(&mut self, seat: usize, game: &GameId) {
        if self.here(seat, game).is_none() || !self.is_free(seat, game) {
            return;
        }
        let personal = self.room.see().personal_beneath(seat, game);
        for path in personal {
            self.room.see().personal(seat, &path, None);
        }
        let root = FsPath::game(game);
        self.in_folder(seat, |fs| Person { fs }.delete_tree(&root));
        self.room.see().tally.changes += 1;
        self.maybe_rescan(seat, game).await;
    }

    async fn maybe_rescan(&mut self, seat: usize, game: &GameId) {
        if self.dice.chance(75) {
            sleep(self.dice.millis(0, 800)).await;
            self.rescan(seat, vec![game.clone()]).await;
        }
    }

    pub(super) async fn rescan(&self, seat: usize, games: Vec<GameId>) {
        self.room.ask(seat, Command::Library(LibraryCommand::Rescan { games })).await;
    }

    pub(super) async fn transfer(&self, seat: usize, command: TransferCommand) {
        self.room.ask(seat, Command::Transfers(command)).await;
    }

    async fn cancel(&self, seat: usize, game: GameId) {
        let reply = self.room.ask(seat, Command::Transfers(TransferCommand::Cancel { game })).await;
        if let Some(Ok(Reply::Started { op })) = reply {
            self.room.expect_end(seat, op);
        }
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("setting", &self.room.setting).finish_non_exhaustive()
    }
}
