//! What must hold after a crash, wherever it struck: shared by the sweep over system calls and the power cuts.
//!
//! Owns the stage (a source that stays, a seat that is crashed again and again) and the rules. How the crash is made is
//! the test's.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::games::{MIB, Recipe};
use crate::peer::{Peer, SOON};
use crate::room::Room;
use crate::tree::{self, Tree};

/// What a person keeps in the game's folder, among the files of the game: in no file list, so never to be touched.
const MINE: &[&str] = &["notes.txt", "extra/mine.txt"];

/// The game that every crash strikes.
pub const GAME: &str = "doom";

/// What the crash interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// A first download.
    Fresh,
    /// A download over an older version that is installed.
    Update,
    /// A download that is cancelled in the middle.
    Cancel,
    /// Removing the downloaded files.
    Remove,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Fresh, Self::Update, Self::Cancel, Self::Remove];
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// The process is gone.
    Exited(ExitStatus),
    /// The operation came to this event.
    Event(Value),
    /// Neither within the limit.
    Quiet,
}

impl Ended {
    /// Whether the process was killed by SIGKILL.
    #[must_use]
    pub fn is_killed(&self) -> bool {
        matches!(self, Self::Exited(status) if status.signal() == Some(9))
    }
}

/// Which calls a sweep over system calls strikes, by what they are about. What goes wrong while the program is loaded, or
/// on its way to the terminal, is not a matter of crash safety.
#[derive(Debug)]
pub enum Paths {
    /// These files and folders.
    These(Vec<PathBuf>),
    /// Everything at and beneath these folders that an undisturbed run touches.
    Beneath(Vec<PathBuf>),
}

/// What is crashed again and again, and what must hold afterwards.
pub trait Scene {
    /// What the crash interrupts.
    type Mode: Copy + Ord + std::fmt::Debug + 'static;
    /// Every one of these.
    const MODES: &'static [Self::Mode];

    /// The peer that is crashed.
    fn seat(&mut self) -> &mut Peer;

    /// Puts the folders back to where a run of this mode begins.
    ///
    /// # Panics
    /// When a folder cannot be written.
    fn reset(&mut self, mode: Self::Mode);

    /// Starts the seat, does what the mode says, and waits for an end of it; at most `limit`, and at most `after_ask` from
    /// the moment at which the operation was asked for.
    fn drive(&mut self, mode: Self::Mode, limit: Duration, after_ask: Duration) -> Ended;

    /// Ends the seat if it still runs.
    fn stop(&mut self) {
        if self.seat().is_running() {
            self.seat().kill9();
        }
    }

    /// Checks everything that must hold after a crash in this mode. The seat must not run.
    ///
    /// # Panics
    /// When a rule is broken; names it.
    fn check(&mut self, mode: Self::Mode, what: &str);

    /// Which calls are struck.
    fn paths(&self) -> Paths;
}

/// A source that stays, and a seat that is crashed.
#[derive(Debug)]
pub struct Stage {
    /// Has the game, always.
    pub source: Peer,
    /// Is crashed.
    pub seat: Peer,
    /// A data folder as a first start leaves it.
    template: PathBuf,
    source_addr: String,
    new: Tree,
    old: Tree,
}

impl Stage {
    /// A stage in a room: two seats, the source running.
    ///
    /// # Panics
    /// When a peer does not start.
    #[must_use]
    pub fn new(room: &Room) -> Self {
        let mut source = room.seat("source");
        source.add_game(&new_version());
        source.set_arguments(&["--no-mdns"]).start();
        source.link.shape(200);
        let mut seat = room.seat("seat");
        // The identity and the database of a first start, so that every run begins alike and as the same peer.
        seat.set_arguments(&["--no-mdns"]).start();
        seat.terminate();
        let template = room.folder().join("template");
        copy_tree(&seat.data, &template);
        let source_addr = source.addr().to_string();
        source.until("the source has read its game", SOON, || {
            source.game(GAME).filter(|g| g["content_hash"].is_string())
        });
        let new = tree::payload(&source.root(GAME));
        let scratch = room.folder().join("old");
        old_version().write(&scratch);
        let old = tree::payload(&scratch.join(GAME));
        Self { source, seat, template, source_addr, new, old }
    }

    /// Starts without any source, waits until it settled, and checks that nothing is left that nobody will need.
    fn recover_alone(&mut self, mode: Mode, what: &str) -> Tree {
        self.arguments(false);
        self.seat.start();
        let operation = self.seat.until("recovery settles", SOON, || {
            let snapshot = self.seat.snapshot();
            let operations = snapshot["operations"].as_array().unwrap();
            operations.iter().all(|o| o["phase"] == "waiting").then(|| operations.first().cloned())
        });
        assert_eq!(self.seat.terminate(), Some(0), "{what}: {}", self.seat.log().describe());
        self.sentinel_means_complete(&format!("{what}, after recovery"));
        self.bystanders_are_intact(mode, what);
        let mut here = tree::read(&self.seat.root(GAME));
        let has_sentinel = here.contains_key("version.ini");
        if operation.is_none() && !has_sentinel {
            let ours: Vec<&String> = here.keys().filter(|path| !is_players(path)).collect();
            assert!(ours.is_empty(), "{what}: orphans {ours:?}\n{}", self.seat.log().describe());
        }
        if operation.is_none() {
            let scratch: Vec<&String> = here.keys().filter(|path| is_scratch(path)).collect();
            assert!(scratch.is_empty(), "{what}: scratch {scratch:?}\n{}", self.seat.log().describe());
        }
        // The journal may be written anew with the same meaning.
        for (path, content) in &mut here {
            if path.starts_with(".bonfire.part") || path.starts_with(".lanspread.json") {
                *content = None;
            }
        }
        here
    }

    /// With the source there, the game ends up whole: by the download that goes on, or by asking for it.
    fn complete(&mut self, what: &str) {
        self.arguments(true);
        self.seat.start();
        let id = self.source.id().to_owned();
        self.seat.until("the source is seen", SOON, || self.seat.remote_game(&id, GAME));
        if self.seat.operation(GAME).is_none() {
            let asked = self.seat.ask(&json!({"transfers": {"get": {"game": GAME}}}));
            if let Err(error) = &asked {
                assert_eq!(error["code"], "already_here", "{what}: {error}\n{}", self.seat.log().describe());
            }
        }
        self.seat.until(&format!("{what}: the game is whole"), Duration::from_secs(60), || {
            let failed = self.seat.events().into_iter().find(|e| e["type"] == "download_failed");
            assert!(failed.is_none(), "{what}: {failed:?}\n{}", self.seat.log().describe());
            let snapshot = self.seat.snapshot();
            (snapshot["operations"].as_array().unwrap().is_empty() && self.seat.root(GAME).join("version.ini").exists())
                .then_some(())
        });
        self.seat.terminate();
        let here = without_own(tree::payload(&self.seat.root(GAME)));
        // Of a version that was copied in by hand nobody knows which files the player wants.
        let here: Tree = here.into_iter().filter(|(path, _)| path != "gone.eti").collect();
        assert_eq!(here, self.new, "{what}: the game in the end\n{}", self.seat.log().describe());
        let whole = tree::read(&self.seat.root(GAME));
        let scratch: Vec<&String> = whole.keys().filter(|path| is_scratch(path)).collect();
        assert!(scratch.is_empty(), "{what}: scratch in the end {scratch:?}");
    }

    /// A sentinel is there only with exactly the content that it stands for.
    fn sentinel_means_complete(&self, what: &str) {
        let here = without_own(tree::payload(&self.seat.root(GAME)));
        let mut updated = self.new.clone();
        updated.extend(self.old.get_key_value("gone.eti").map(|(path, content)| (path.clone(), content.clone())));
        if here.contains_key("version.ini") {
            assert!(
                here == self.new || here == updated || without_folders(&here) == without_folders(&self.old),
                "{what}: a sentinel over what is neither the old nor the new version: {here:?}\nold {:?}\nnew {:?}\n{}",
                self.old,
                self.new,
                self.seat.log().describe()
            );
        }
    }

    fn bystanders_are_intact(&self, mode: Mode, what: &str) {
        let games = &self.seat.games;
        assert_eq!(std::fs::read_to_string(games.join("note.txt")).ok().as_deref(), Some("mine"), "{what}");
        assert!(games.join("bystander/version.ini").is_file(), "{what}: the bystander's sentinel");
        assert_eq!(std::fs::metadata(games.join("bystander/bystander.eti")).unwrap().len(), 100, "{what}");
        if mode != Mode::Remove {
            for path in MINE {
                let content = std::fs::read_to_string(self.seat.root(GAME).join(path));
                assert_eq!(content.ok().as_deref(), Some("mine"), "{what}: {path} in the game's folder");
            }
        }
        if mode == Mode::Update {
            let root = self.seat.root(GAME);
            let save = std::fs::read_to_string(root.join("local/saves/one.sav"));
            assert_eq!(save.ok().as_deref(), Some("hours of play"), "{what}: the save in local/");
            let marker = std::fs::read_to_string(root.join(".softlan_game_installed"));
            assert_eq!(marker.ok().as_deref(), Some("theirs"), "{what}: the other tool's marker");
        }
    }

    fn arguments(&mut self, with_source: bool) {
        if with_source {
            let addr = self.source_addr.clone();
            self.seat.set_arguments(&["--no-mdns", "--peer", &addr]);
        } else {
            self.seat.set_arguments(&["--no-mdns"]);
        }
    }
}

impl Scene for Stage {
    type Mode = Mode;
    const MODES: &'static [Mode] = &Mode::ALL;

    fn seat(&mut self) -> &mut Peer {
        &mut self.seat
    }

    fn reset(&mut self, mode: Mode) {
        empty(&self.seat.games);
        empty(&self.seat.data);
        copy_tree(&self.template, &self.seat.data);
        let root = self.seat.root(GAME);
        match mode {
            Mode::Fresh | Mode::Cancel => {}
            Mode::Remove => {
                self.seat.add_game(&new_version());
            }
            Mode::Update => {
                self.seat.add_game(&old_version());
                std::fs::create_dir_all(root.join("local/saves")).unwrap();
                std::fs::write(root.join("local/saves/one.sav"), "hours of play").unwrap();
                std::fs::write(root.join(".softlan_game_installed"), "theirs").unwrap();
            }
        }
        if mode != Mode::Remove {
            std::fs::create_dir_all(root.join("extra")).unwrap();
            for path in MINE {
                std::fs::write(root.join(path), "mine").unwrap();
            }
        }
        // What no download may touch: another game, and a note of the player's.
        Recipe::new("bystander", 0).files(&[("bystander.eti", 100)]).write(&self.seat.games);
        std::fs::write(self.seat.games.join("note.txt"), "mine").unwrap();
    }

    fn drive(&mut self, mode: Mode, limit: Duration, after_ask: Duration) -> Ended {
        let with_source = mode != Mode::Remove;
        self.arguments(with_source);
        self.seat.spawn();
        let mut end = Instant::now() + limit;
        let (mut asked, mut cancelled) = (false, false);
        loop {
            let events = self.seat.events();
            if !asked && ready(mode, &events) {
                asked = true;
                end = end.min(Instant::now() + after_ask);
                let command = if mode == Mode::Remove { "remove" } else { "get" };
                self.seat.post(&json!({"transfers": {command: {"game": GAME}}}));
            }
            if mode == Mode::Cancel && !cancelled && is_transferring(&events) {
                cancelled = true;
                self.seat.post(&json!({"transfers": {"cancel": {"game": GAME}}}));
            }
            if let Some(end) = events.into_iter().find(is_end) {
                return Ended::Event(end);
            }
            if !self.seat.is_running() {
                return Ended::Exited(self.seat.wait_exit(SOON));
            }
            if Instant::now() > end {
                return Ended::Quiet;
            }
            // An end is an event or an exit: nothing tells of both.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn check(&mut self, mode: Mode, what: &str) {
        self.sentinel_means_complete(&format!("{what}, before recovery"));
        let first = self.recover_alone(mode, what);
        let second = self.recover_alone(mode, what);
        assert_eq!(first, second, "{what}: recovery twice is not recovery once\n{}", self.seat.log().describe());
        self.complete(what);
        self.bystanders_are_intact(mode, what);
    }

    fn paths(&self) -> Paths {
        let root = self.seat.root(GAME);
        let (games, data) = (&self.seat.games, &self.seat.data);
        let mut paths =
            vec![games.clone(), root.clone(), data.clone(), root.join("extra"), root.join("extra/readme.txt")];
        for name in [
            "doom.eti",
            "same.eti",
            "gone.eti",
            "version.ini",
            ".version.ini.tmp",
            ".version.ini.discarded",
            ".bonfire.part",
            ".bonfire.part.tmp",
            ".bonfire.download",
            ".bonfire.download.tmp",
            ".lanspread.json",
            ".lanspread.json.tmp",
        ] {
            paths.push(root.join(name));
        }
        paths.extend(["catalog.json", ".catalog.json.tmp"].map(|n| games.join(n)));
        paths.extend(["state.db", "state.db-wal", "state.db-shm", "lock", "identity.pem"].map(|n| data.join(n)));
        Paths::These(paths)
    }
}

fn new_version() -> Recipe {
    Recipe::new(GAME, 0).version("2").files(&[("doom.eti", 9 * MIB), ("extra/readme.txt", 777), ("same.eti", 5 * MIB)])
}

fn old_version() -> Recipe {
    // One file as in the new version, one that differs, one that the new version does not have.
    Recipe::new(GAME, 0).version("1").files(&[("doom.eti", 6 * MIB), ("gone.eti", 1000), ("same.eti", 5 * MIB)])
}

fn ready(mode: Mode, events: &[Value]) -> bool {
    events.iter().any(|e| match mode {
        Mode::Remove => e["type"] == "started",
        _ => {
            e["type"] == "remote_library_changed"
                && e["changed"].as_array().is_some_and(|games| games.iter().any(|g| g == GAME))
        }
    })
}

fn is_transferring(events: &[Value]) -> bool {
    events.iter().any(|e| {
        e["type"] == "active_operations_changed"
            && e["operations"].as_array().is_some_and(|ops| ops.iter().any(|o| o["phase"] == "transferring"))
    })
}

fn is_end(event: &Value) -> bool {
    event["game"] == GAME
        && ["download_finished", "download_failed", "download_cancelled", "game_removed", "remove_failed"]
            .iter()
            .any(|kind| event["type"] == *kind)
}

fn is_scratch(path: &str) -> bool {
    [
        ".bonfire.part",
        ".bonfire.download.tmp",
        ".bonfire.copy",
        ".lanspread.json.tmp",
        ".version.ini.",
        ".local.installing",
    ]
    .iter()
    .any(|name| path.starts_with(name))
}

fn is_players(path: &str) -> bool {
    // The intent log with `None` in it is the game's memory, not an orphan of a download.
    path == "extra"
        || MINE.contains(&path)
        || ["local", ".softlan_game_installed", ".lanspread.json"]
            .iter()
            .any(|name| path == *name || path.starts_with(&format!("{name}/")))
}

/// Without scratch, and without what the player keeps there.
fn without_own(tree: Tree) -> Tree {
    tree.into_iter().filter(|(path, _)| !is_scratch(path) && !MINE.contains(&path.as_str())).collect()
}

/// The files alone: the player's own may keep a folder.
fn without_folders(tree: &Tree) -> Tree {
    tree.iter()
        .filter(|(_, content)| content.is_some())
        .map(|(path, content)| (path.clone(), content.clone()))
        .collect()
}

/// Leaves an empty folder there.
pub(crate) fn empty(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            std::fs::remove_dir_all(entry.path()).unwrap();
        } else {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
}

/// Copies folders and regular files.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
