//! A player's two devices, one of which is crashed while it does something to a save.
//!
//! Owns the stage: where a run begins (made once, put back by copying), what is asked for, and how it ended. What must
//! hold afterwards is `save_aftermath`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::aftermath::{Ended, Paths, Scene, copy_tree, empty};
use crate::peer::{LONG, Peer, SOON};
use crate::random::Random;
use crate::room::Room;
use crate::saves::in_step;
use crate::tree::{self, Tree};

/// The game whose save every crash strikes.
pub const SAVE: &str = "quake";

/// What the crash interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// What the game wrote becomes a version.
    Capture,
    /// A version of the other device comes and is put in place.
    Apply,
    /// A conflict is settled with what is here.
    ResolveMine,
    /// A conflict is settled with the other side.
    ResolveTheirs,
    /// Both sides of a conflict are kept, the other one in a slot of its own.
    ResolveBoth,
    /// Back to the first version.
    Rollback,
    /// Versions are removed because fewer are to be kept.
    Prune,
    /// A version is made of an archive.
    Import,
    /// An archive is made of a version.
    Export,
}

impl Change {
    /// Every change.
    pub const ALL: [Self; 9] = [
        Self::Capture,
        Self::Apply,
        Self::ResolveMine,
        Self::ResolveTheirs,
        Self::ResolveBoth,
        Self::Rollback,
        Self::Prune,
        Self::Import,
        Self::Export,
    ];

    /// Numbers of the contents that may lie in the live folder: what was before, and last what the change leads to.
    pub(crate) const fn contents(self) -> &'static [u8] {
        match self {
            // The game wrote before: whatever happens to the version, the files stay.
            Self::Capture => &[4],
            Self::Apply => &[3, 5],
            Self::ResolveMine | Self::ResolveBoth => &[6],
            Self::ResolveTheirs => &[6, 7],
            Self::Rollback => &[3, 1],
            Self::Prune | Self::Export => &[3],
            Self::Import => &[3, 2],
        }
    }

    /// Whether it is the answer to a conflict.
    pub(crate) const fn is_resolve(self) -> bool {
        matches!(self, Self::ResolveMine | Self::ResolveTheirs | Self::ResolveBoth)
    }

    const fn begins(self) -> Begin {
        match self {
            Self::Apply => Begin::Behind,
            Self::ResolveMine | Self::ResolveTheirs | Self::ResolveBoth => Begin::InConflict,
            _ => Begin::InStep,
        }
    }
}

/// How the two devices stand when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Begin {
    InStep,
    Behind,
    InConflict,
}

/// Versions by their ids, each with whether all of it is stored.
pub(crate) type Versions = BTreeMap<String, bool>;

/// A place to begin from.
#[derive(Debug)]
struct Kept {
    folder: PathBuf,
    seat: Versions,
    other: Versions,
}

/// A device that stays, and one that is crashed.
#[derive(Debug)]
pub struct SaveStage {
    /// The player's other device: never crashed, but put back to where the run begins.
    pub other: Peer,
    /// Is crashed.
    pub seat: Peer,
    other_addr: String,
    folder: PathBuf,
    kept: BTreeMap<Begin, Kept>,
    /// The contents by their numbers, files only.
    pub(crate) contents: BTreeMap<u8, Tree>,
    /// The first version, which is pinned.
    pub(crate) first: String,
    /// The first and the second version as archives.
    pub(crate) archives: [PathBuf; 2],
    /// What was said to be in history, and whether it is whole here.
    pub(crate) said: Versions,
    /// Whether the change was said to be done.
    pub(crate) is_done: bool,
}

impl SaveStage {
    /// A stage in a room; the seat's folders are beneath `at`, where one is given.
    ///
    /// # Panics
    /// When the two devices do not come to where the runs begin.
    #[must_use]
    pub fn new(room: &Room, at: Option<&Path>) -> Self {
        let folder = room.folder().join("stage");
        let mut other = room.seat("other");
        other.set_arguments(&["--no-mdns"]).start();
        let other_addr = other.addr().to_string();
        let mut seat = room.seat("seat");
        if let Some(at) = at {
            (seat.games, seat.data) = (at.join("games"), at.join("data"));
            std::fs::create_dir_all(&seat.games).unwrap();
            std::fs::create_dir_all(&seat.data).unwrap();
        }
        seat.set_arguments(&["--no-mdns", "--peer", &other_addr]).start();
        let mut contents = BTreeMap::new();
        for number in 1..=8 {
            let scratch = folder.join(format!("content-{number}"));
            write_content(&scratch, number);
            contents.insert(number, files(&scratch));
        }
        let mut stage = Self {
            other,
            seat,
            other_addr,
            folder,
            kept: BTreeMap::new(),
            contents,
            first: String::new(),
            archives: Default::default(),
            said: Versions::new(),
            is_done: false,
        };
        stage.build();
        stage
    }

    fn build(&mut self) {
        self.seat.done(&["devices", "create-player", "ann"]);
        self.seat.invites(&self.other);
        write_content(&self.seat.saves(), 1);
        self.seat.add_saves(SAVE);
        self.other.add_saves(SAVE);
        self.first = in_step(&[&self.seat, &self.other], SAVE);
        self.seat.tell(&json!({"saves": {"pin": {"at": at(), "snapshot": self.first, "pinned": true}}}));
        write_content(&self.other.saves(), 2);
        push(&mut self.other);
        let second = in_step(&[&self.seat, &self.other], SAVE);
        write_content(&self.seat.saves(), 3);
        push(&mut self.seat);
        in_step(&[&self.seat, &self.other], SAVE);
        self.other.until("the pin is known", LONG, || {
            self.other.history(SAVE).into_iter().find(|v| v["id"] == *self.first && v["is_pinned"] == true)
        });
        let mut archives = [self.first.clone(), second].into_iter().enumerate().map(|(n, version)| {
            let folder = self.folder.join(format!("archive-{}", n + 1));
            std::fs::create_dir_all(&folder).unwrap();
            let asked = json!({"saves": {"export": {"at": at(), "snapshot": version, "folder": folder}}});
            PathBuf::from(self.seat.tell(&asked)["path"].as_str().unwrap())
        });
        self.archives = [archives.next().unwrap(), archives.next().unwrap()];
        drop(archives);
        self.keep(Begin::InStep);
        // Somebody played there while this device was off.
        write_content(&self.other.saves(), 5);
        self.other.start();
        push(&mut self.other);
        self.keep(Begin::Behind);
        // Both played while the other was off.
        self.put_back(Begin::InStep);
        write_content(&self.seat.saves(), 6);
        self.seat.start();
        push(&mut self.seat);
        self.seat.terminate();
        write_content(&self.other.saves(), 7);
        self.other.start();
        push(&mut self.other);
        self.seat.start();
        for peer in [&self.seat, &self.other] {
            peer.slot_until(SAVE, "a conflict with its copy", is_conflict);
        }
        self.keep(Begin::InConflict);
    }

    /// Keeps the folders of both as they are now, both stopped.
    fn keep(&mut self, begin: Begin) {
        let folder = self.folder.join(format!("{begin:?}"));
        let mut versions = Vec::new();
        for peer in [&mut self.seat, &mut self.other] {
            if !peer.is_running() {
                // Begin::Behind: as it was in step.
                versions.push(self.kept[&Begin::InStep].seat.clone());
            } else {
                versions.push(history(peer));
                assert_eq!(peer.terminate(), Some(0));
            }
            let to = folder.join(&peer.name);
            for entry in own_entries(peer) {
                copy_tree(&home(peer).join(&entry), &to.join(&entry));
            }
        }
        let other = versions.pop().unwrap();
        self.kept.insert(begin, Kept { folder, seat: versions.pop().unwrap(), other });
    }

    fn put_back(&mut self, begin: Begin) {
        for peer in [&mut self.seat, &mut self.other] {
            if peer.is_running() {
                peer.kill9();
            }
            for entry in own_entries(peer) {
                let path = home(peer).join(entry);
                empty(&path);
                std::fs::remove_dir(path).unwrap();
            }
            copy_tree(&self.kept[&begin].folder.join(&peer.name), &home(peer));
        }
    }

    /// The versions that the other device had when the run began.
    pub(crate) fn others(&self, change: Change) -> &Versions {
        &self.kept[&change.begins()].other
    }

    /// Where archives are written to.
    pub(crate) fn out(&self) -> PathBuf {
        home(&self.seat).join("out")
    }

    /// The command of a change; none where the other device's version comes by itself.
    pub(crate) fn command(&self, change: Change) -> Option<Value> {
        let resolve = |with| Some(json!({"saves": {"resolve": {"at": at(), "with": with}}}));
        match change {
            Change::Capture => Some(json!({"saves": {"push": {"at": at()}}})),
            Change::Apply => None,
            Change::ResolveMine => resolve("mine"),
            Change::ResolveTheirs => resolve("theirs"),
            Change::ResolveBoth => resolve("both"),
            Change::Rollback => Some(json!({"saves": {"rollback": {"at": at(), "to": self.first}}})),
            Change::Prune => Some(json!({"saves": {"retention": {"at": at(), "keep": 1, "autocleanup": true}}})),
            Change::Import => Some(json!({"saves": {"import": {"at": at(), "file": self.archives[1]}}})),
            Change::Export => {
                Some(json!({"saves": {"export": {"at": at(), "snapshot": self.first, "folder": self.out()}}}))
            }
        }
    }
}

impl Scene for SaveStage {
    type Mode = Change;
    const MODES: &'static [Change] = &Change::ALL;

    fn seat(&mut self) -> &mut Peer {
        &mut self.seat
    }

    fn reset(&mut self, change: Change) {
        self.put_back(change.begins());
        if change == Change::Capture {
            write_content(&self.seat.saves(), 4);
        }
        std::fs::create_dir_all(self.out()).unwrap();
        self.said = self.kept[&change.begins()].seat.clone();
        self.is_done = false;
        self.seat.link.heal();
        self.other.start();
    }

    fn drive(&mut self, change: Change, limit: Duration, after_ask: Duration) -> Ended {
        let addr = self.other_addr.clone();
        self.seat.set_arguments(&["--no-mdns", "--peer", &addr]).spawn();
        let last = Instant::now() + limit;
        // The start itself looks at what the game wrote.
        let mut asked = (change == Change::Capture).then(Instant::now);
        let (mut question, mut answer) = (None, None);
        loop {
            let events = self.seat.events();
            if question.is_none() && events.iter().any(|e| e["type"] == "started") {
                question = self.command(change).map(|command| self.seat.send(&command));
                asked = asked.or_else(|| Some(Instant::now()));
            }
            answer = answer.or_else(|| question.and_then(|id| self.seat.answer(id)));
            if answer.as_ref().is_some_and(|a| a["error"]["code"] == "no_conflict") {
                // The disk was not looked at yet since the start.
                (question, answer, asked) = (None, None, None);
            }
            let refusal = answer.as_ref().map(|a| &a["error"]).filter(|e| !e.is_null());
            let failure = events.iter().find(|e| e["type"] == "save_failed").map(|e| &e["error"]);
            if let Some(error) = refusal.or(failure) {
                return Ended::Event(json!({"type": "failed", "error": error}));
            }
            let is_done = match change {
                Change::Apply => events.iter().any(|e| e["type"] == "save_applied"),
                // What was let go of is swept after it was said.
                Change::Prune => events.iter().any(|e| e["type"] == "save_pruned") && unneeded(&self.seat).is_empty(),
                _ => answer.is_some(),
            };
            if is_done {
                self.is_done = true;
                let took = asked.map_or(Duration::ZERO, |asked| asked.elapsed());
                return Ended::Event(json!({"type": "done", "took_ms": u64::try_from(took.as_millis()).unwrap()}));
            }
            if !self.seat.is_running() {
                return Ended::Exited(self.seat.wait_exit(SOON));
            }
            if Instant::now() > asked.map_or(last, |asked| last.min(asked + after_ask)) {
                return Ended::Quiet;
            }
            // An end is an event, an answer, an exit or a state of the disk: nothing tells of all of them.
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn check(&mut self, change: Change, what: &str) {
        self.hold(change, what);
    }

    fn paths(&self) -> Paths {
        Paths::Beneath(own_entries(&self.seat).into_iter().map(|name| home(&self.seat).join(name)).collect())
    }
}

/// Which line the commands are about.
pub(crate) fn at() -> Value {
    json!({"game": SAVE, "slot": "main"})
}

/// Makes a version of what is on the disk.
pub(crate) fn push(peer: &mut Peer) {
    peer.tell(&json!({"saves": {"push": {"at": at()}}}));
}

/// Whether a slot shows both sides of a conflict.
pub(crate) fn is_conflict(slot: &Value) -> bool {
    slot["standing"] == "conflict" && slot["copies"].as_array().is_some_and(|c| c.len() == 1)
}

/// Every version of every slot that a peer knows.
pub(crate) fn history(peer: &mut Peer) -> Versions {
    let snapshot = peer.snapshot();
    let players = snapshot["players"].as_array().unwrap();
    let slots: Vec<Value> = players.iter().filter_map(|p| p["slots"].as_array()).flatten().cloned().collect();
    let mut versions = Versions::new();
    for slot in slots {
        let at = json!({"game": slot["game"], "slot": slot["slot"]});
        let listed = peer.tell(&json!({"saves": {"history": {"at": at}}}));
        for version in listed["versions"].as_array().unwrap() {
            versions.insert(version["id"].as_str().unwrap().to_owned(), version["is_stored"] == true);
        }
    }
    versions
}

/// Objects in a peer's store that no version there names.
pub(crate) fn unneeded(peer: &Peer) -> Vec<String> {
    let names = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).map(|all| all.filter_map(|e| Some(e.ok()?.path())).collect()).unwrap_or_default()
    };
    let named: String =
        names(&peer.data.join("snapshots")).iter().filter_map(|p| std::fs::read_to_string(p).ok()).collect();
    let objects =
        names(&peer.data.join("objects")).into_iter().filter(|p| !p.ends_with(".new")).flat_map(|p| names(&p));
    objects
        .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| !named.contains(name))
        .collect()
}

/// The files of a folder without the folders between.
pub(crate) fn files(folder: &Path) -> Tree {
    tree::read(folder).into_iter().filter(|(_, content)| content.is_some()).collect()
}

/// The folder in which everything of a seat lies.
pub(crate) fn home(peer: &Peer) -> PathBuf {
    peer.data.parent().unwrap().to_owned()
}

/// What lies there, but for what a file system makes itself.
pub(crate) fn own_entries(peer: &Peer) -> Vec<String> {
    let entries = std::fs::read_dir(home(peer)).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    entries.filter(|name| name != "lost+found").collect()
}

/// Makes the save content `number`: a file that stays, one that differs, a large one, one of its own in a folder. What is
/// not in it goes last, so that the folder is never seen empty.
pub(crate) fn write_content(folder: &Path, number: u8) {
    let mut random = Random::new(u64::from(number));
    let world: Vec<u8> = (0..40_000).flat_map(|_| random.number().to_le_bytes()).collect();
    let own = format!("chapter-{}", number % 3);
    let new = [
        ("same.cfg".to_owned(), b"in every version".to_vec()),
        ("x.sav".to_owned(), format!("content {number}").into_bytes()),
        ("world.dat".to_owned(), world),
        (format!("{own}/y{number}.sav"), format!("only in {number}").into_bytes()),
    ];
    std::fs::create_dir_all(folder.join(&own)).unwrap();
    for (path, content) in &new {
        std::fs::write(folder.join(path), content).unwrap();
    }
    for path in tree::read(folder).into_keys().rev().filter(|path| *path != own) {
        if !new.iter().any(|(kept, _)| *kept == path) {
            let path = folder.join(path);
            if path.is_dir() { std::fs::remove_dir(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
    }
}
