//! A room: a switch and seats around it, each a network namespace with one cable.
//!
//! One room at a time on a machine: a lock file keeps test binaries and their threads in turn, because two rooms on two
//! cores would only measure each other.

use std::cell::Cell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::link::Link;
use crate::namespace::{self, Namespace};
use crate::peer::Peer;

/// The switch that every seat begins on.
pub(crate) const BRIDGE: &str = "near";
/// The switch that seats are moved to by a partition, and that second interfaces are on.
pub(crate) const FAR_BRIDGE: &str = "far";

/// A switch with seats. Everything goes away with it, also when a test panics.
#[derive(Debug)]
pub struct Room {
    number: u32,
    switch: Namespace,
    seats: Cell<u8>,
    folder: tempfile::TempDir,
    // Dropped last: the next room waits for it.
    _turn: File,
}

impl Room {
    /// A room, or `None` with a loud line where namespaces are impossible. In CI that is a failure.
    ///
    /// # Panics
    /// When rooms are impossible although `CI` is set, or when the switch cannot be made.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        if let Some(why) = namespace::obstacle() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "rooms must run in CI, but: {why}");
            eprintln!("\n*** SKIPPED: {name}: no network namespaces here ({why}) ***\n");
            return None;
        }
        let turn = File::create(std::env::temp_dir().join("bonfire-rooms.lock")).unwrap();
        turn.lock().unwrap();
        namespace::sweep_leftovers();
        static ROOMS: AtomicU32 = AtomicU32::new(1);
        let number = ROOMS.fetch_add(1, Ordering::Relaxed);
        let switch = Namespace::new(number, "sw");
        for bridge in [BRIDGE, FAR_BRIDGE] {
            switch.ip(&["link", "add", bridge, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0"]);
            switch.ip(&["link", "set", bridge, "up"]);
        }
        let folder = tempfile::Builder::new().prefix(&format!("bonfire-{name}-")).tempdir().unwrap();
        Some(Self { number, switch, seats: Cell::new(0), folder, _turn: turn })
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
