//! A room: a switch and seats around it, each a network namespace with one cable.
//!
//! Two rooms at a time on a machine, each waiting for a free turn across test binaries and their threads: a room mostly
//! waits for its timers, so two fit on two cores. A benchmark takes every turn, because beside another room it would
//! measure that one.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::games::Recipe;
use crate::link::Link;
use crate::namespace::{self, Namespace};
use crate::peer::Peer;

/// The switch that every seat begins on.
pub(crate) const BRIDGE: &str = "near";
/// The switch that seats are moved to by a partition, and that second interfaces are on.
pub(crate) const FAR_BRIDGE: &str = "far";

/// Lock files, one a turn. A benchmark takes them in this order and a test holds one only, so nobody waits in a circle.
const TURNS: [&str; 2] = ["bonfire-rooms-0.lock", "bonfire-rooms-1.lock"];

/// A switch with seats. Everything goes away with it, also when a test panics.
#[derive(Debug)]
pub struct Room {
    number: u32,
    switch: Namespace,
    seats: Cell<u8>,
    folder: tempfile::TempDir,
    // Dropped last: the next room waits for them.
    _turns: Vec<File>,
}

impl Room {
    /// A room, or `None` with a loud line where namespaces are impossible. In CI that is a failure.
    ///
    /// # Panics
    /// When rooms are impossible although `CI` is set, or when the switch cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        Self::with_turns(name, any_turn)
    }

    /// A room with no other beside it, for measuring; otherwise as [`Room::new`].
    ///
    /// # Panics
    /// As [`Room::new`].
    #[must_use]
    pub fn alone(name: &str) -> Option<Self> {
        Self::with_turns(name, every_turn)
    }

    fn with_turns(name: &str, turns: fn() -> Vec<File>) -> Option<Self> {
        if let Some(why) = namespace::obstacle() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "rooms must run in CI, but: {why}");
            eprintln!("\n*** SKIPPED: {name}: no network namespaces here ({why}) ***\n");
            return None;
        }
        // Where it has to be built first, that is no time of the room's.
        crate::program::bonfire();
        let turns = turns();
        namespace::sweep_leftovers();
        static ROOMS: AtomicU32 = AtomicU32::new(1);
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        let switch = Namespace::new(number, "sw");
        for bridge in [BRIDGE, FAR_BRIDGE] {
            switch.ip(&["link", "add", bridge, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
            switch.ip(&["link", "set", bridge, "up"]);
        }
        let folder = tempfile::Builder::new().prefix(&format!("bonfire-{name}-")).tempdir().unwrap();
        Some(Self { number, switch, seats: Cell::new(0), folder, _turns: turns })
    }

    /// A seat with folders of its own; its peer is not started.
    #[must_use]
    pub fn seat(&self, name: &str) -> Peer {
        Peer::new(name, Rc::new(self.cable(name)), &self.folder.path().join(name))
    }

    /// A seat whose peer runs.
    #[must_use]
    pub fn peer(&self, name: &str) -> Peer {
        let mut peer = self.seat(name);
        peer.start();
        peer
    }

    /// A seat whose peer runs and shares a game.
    #[must_use]
    pub fn host(&self, name: &str, game: &Recipe) -> Peer {
        let mut peer = self.seat(name);
        peer.add_game(game);
        peer.start();
        peer
    }

    /// A folder for what a test needs beside its peers.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A cable without a peer: for strangers.
    ///
    /// # Panics
    /// When the link cannot be made.
    #[must_use]
    pub fn cable(&self, name: &str) -> Link {
        let number = self.seats.get() + 1;
        self.seats.set(number);
        let inside = Namespace::new(self.number, name);
        let port = format!("p{number}");
        let (sw, ns) = (self.switch.name().to_owned(), inside.name().to_owned());
        self.switch.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &ns]);
        self.switch.ip(&["link", "set", &port, "master", BRIDGE, "up"]);
        inside.ip(&["addr", "add", &format!("10.77.0.{number}/24"), "dev", "eth0"]);
        inside.ip(&["link", "set", "eth0", "up"]);
        // Multicast leaves only where a route leads.
        inside.ip(&["route", "add", "default", "dev", "eth0"]);
        Link { inside, switch: sw, port, number }
    }

    /// Path of the room's switch namespace, for counting what crosses it.
    #[must_use]
    pub fn switch_path(&self) -> PathBuf {
        self.switch.path()
    }
}

fn turn_file(name: &str) -> File {
    File::create(std::env::temp_dir().join(name)).unwrap()
}

/// A free turn, or the wait for one of them: test threads are spread over the turns, so none is passed over for ever.
fn any_turn() -> Vec<File> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if let Some(free) = TURNS.iter().map(|name| turn_file(name)).find(|file| file.try_lock().is_ok()) {
        return vec![free];
    }
    let file = turn_file(TURNS[NEXT.fetch_add(1, Ordering::Relaxed) % TURNS.len()]);
    file.lock().unwrap();
    vec![file]
}

fn every_turn() -> Vec<File> {
    TURNS
        .iter()
        .map(|name| {
            let file = turn_file(name);
            file.lock().unwrap();
            file
        })
        .collect()
}
