//! Rooms of whole peers on one thread, in virtual time: the real peer, over a simulated network, a model disk and a
//! clock of ours. The same seed gives the same packets and the same events.
//!
//! Owns how a peer is put on a simulated machine, how that machine loses power, and what is seen of it. What happens in a
//! room, and in which order, is drawn by `scenario`; what must hold is in `witness`.

mod errors;
mod fence;
mod machine;
mod random;
mod rest;
mod scenario;
mod shelf;
mod tally;
mod witness;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bonfire_disk::GamesFolder;
use bonfire_engine::command::{Command, NodeCommand, Reply};
use bonfire_engine::{Report, Snapshot};
use bonfire_net::{Endpoint, Identity};
use bonfire_peer::{Blocking, Clock, Machine, PeerConfig, PeerHandle, Platform, start_on};
use bonfire_proto::LibraryEpoch;
use bonfire_store::Store;
use tempfile::TempDir;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

pub use errors::ErrorLines;
pub use random::Dice;
pub use scenario::{Outcome, run_seed};
pub use tally::Tally;

use self::fence::{FencedDiscovery, FencedFs, FencedSocket, Power};
use self::machine::{DiceOf, NoGames};
use self::witness::Witness;
use crate::model_disk::{Disk, ModelFs};
use crate::sim_net::{Faults, SimDiscovery, SimNet};

/// Virtual time within which every command is answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Virtual time within which a peer stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// Virtual time within which a cancel has settled, whatever the network does.
const CANCEL_WITHIN: Duration = Duration::from_secs(20);
/// What the wall clocks of the room show when it begins: 2026-01-01.
const BEGAN_MS: u64 = 1_767_225_600_000;

/// How a room is set up.
#[derive(Debug, Clone, Copy)]
struct Setting {
    seed: u64,
    seats: usize,
    /// Peers know each other's addresses instead of discovering each other.
    by_address: bool,
    /// Datagrams beyond 1,200 bytes get through.
    jumbo: bool,
    /// The disks can sync everything at once.
    bulk: bool,
}

/// A room.
struct SimRoom {
    setting: Setting,
    net: SimNet,
    air: SimDiscovery,
    seats: Vec<Seat>,
    witness: Arc<Mutex<Witness>>,
    databases: TempDir,
    clock: Arc<RoomClock>,
}

/// A machine and the peer on it.
struct Seat {
    addr: SocketAddr,
    identity: Identity,
    /// What the disk holds while the machine is off.
    disk: Disk,
    /// Where the state database lies, and which life of it this is.
    database: PathBuf,
    epoch: u64,
    life: u64,
    running: Option<Running>,
}

struct Running {
    handle: PeerHandle,
    power: Power,
    fs: ModelFs,
}

/// A wall clock that follows virtual time.
#[derive(Debug)]
struct RoomClock {
    began: Instant,
}

impl Clock for RoomClock {
    fn unix_ms(&self) -> u64 {
        BEGAN_MS + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(0)
    }
}

impl SimRoom {
    /// A room with empty games folders and nobody in it. To be called inside a paused current-thread runtime.
    fn new(setting: Setting) -> std::io::Result<Self> {
        let net = SimNet::new(setting.seed, Faults::none());
        let air = SimDiscovery::new(net.clone());
        // A database is as fast as its syncs; memory has none to wait for.
        let memory = std::path::Path::new("/dev/shm");
        let databases = if memory.is_dir() { TempDir::new_in(memory)? } else { TempDir::new()? };
        let mut dice = Dice::new(setting.seed, "identities");
        let mut seats = Vec::new();
        for i in 0..setting.seats {
            let last = u8::try_from(i + 1).unwrap_or(u8::MAX);
            let database = databases.path().join(format!("{i}-0"));
            std::fs::create_dir_all(&database)?;
            seats.push(Seat {
                addr: SocketAddr::new(IpAddr::from([10, 0, 0, last]), 4_460),
                identity: Identity::from_seed(dice.bytes()),
                disk: Disk::new(),
                database,
                epoch: 0,
                life: 0,
                running: None,
            });
        }
        let witness = Arc::new(Mutex::new(Witness::new(setting.seats)));
        let clock = Arc::new(RoomClock { began: Instant::now() });
        Ok(Self { setting, net, air, seats, witness, databases, clock })
    }

    fn see(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_running(&self, seat: usize) -> bool {
        self.seats[seat].running.is_some()
    }

    fn snapshot(&self, seat: usize) -> Option<Arc<Snapshot>> {
        Some(self.seats[seat].running.as_ref()?.handle.snapshot().borrow().clone())
    }

    /// Switches a machine on.
    async fn start(&mut self, seat: usize) {
        let addrs: Vec<SocketAddr> = self.seats.iter().map(|s| s.addr).collect();
        let setting = self.setting;
        let s = &mut self.seats[seat];
        if s.running.is_some() {
            return;
        }
        s.life += 1;
        let power = Power::on();
        let fs = ModelFs::over(s.disk.clone(), setting.bulk);
        let fenced = FencedFs { fs: Arc::new(fs.clone()), power: power.clone() };
        let display = PathBuf::from(format!("/sim/{seat}/games"));
        let tuning = bonfire_disk::Tuning { bulk_sync_from: if setting.bulk { 3 } else { 64 } };
        let folder = GamesFolder::tuned(Arc::new(fenced), display.clone(), tuning);
        let mut epoch = Dice::new(setting.seed, &format!("epoch {seat} {}", s.epoch));
        let mut id = [0u8; 16];
        id.copy_from_slice(&epoch.bytes()[..16]);
        let store = Store::open(&s.database.join("state.db"), LibraryEpoch(Uuid::new_v8(id)));
        let socket = FencedSocket { socket: self.net.socket(s.addr), power: power.clone(), jumbo: setting.jumbo };
        let packets = Dice::new(setting.seed, &format!("packets {seat} {}", s.life)).roll();
        let endpoint = Endpoint::over(
            s.identity.clone(),
            Arc::new(socket),
            self.net.runtime(),
            packets,
            bonfire_net::Tuning::default(),
        );
        let (tx, discovered) = mpsc::channel(512);
        let air = (!setting.by_address).then(|| self.air.join(s.addr, tx));
        let discovery =
            air.map(|air| Arc::new(FencedDiscovery { air, power: power.clone() }) as Arc<dyn bonfire_net::Discovery>);
        let config = PeerConfig {
            games_dir: display,
            data_dir: s.database.clone(),
            listen: s.addr,
            name: format!("seat {seat}"),
            static_peers: if setting.by_address {
                addrs.into_iter().filter(|a| *a != s.addr).collect()
            } else {
                Vec::new()
            },
            mdns: false,
            unpacker: None,
        };
        // Its data folder is where the database lies; games alone are on the disk that loses power.
        let (store, endpoint, data) = match (store, endpoint, bonfire_disk::fs::real(&s.database)) {
            (Ok(store), Ok(endpoint), Ok(data)) => (store, endpoint, data),
            (store, endpoint, data) => {
                let errors = (store.err(), endpoint.err(), data.err());
                let why = format!("seat {seat} cannot be set up: {errors:?}");
                return self.see().violation(&why);
            }
        };
        let platform = Platform {
            folder,
            store,
            endpoint,
            discovery,
            discovered,
            blocking: Blocking::Inline,
            clock: self.clock.clone(),
            data,
            live: Arc::new(NoGames(Machine::new(s.database.clone()))),
            random: Arc::new(DiceOf::new(Dice::new(setting.seed, &format!("random {seat} {}", s.life)))),
            about: bonfire_engine::players::About::default(),
            watch: false,
            claimed: bonfire_peer::Claimed::Private,
        };
        self.see().note(&format!("seat {seat} START life {}", self.seats[seat].life));
        match start_on(config, platform).await {
            Ok(handle) => {
                let mut see = self.see();
                see.started(seat, fs.clone());
                // Recovery is over: what a power cut left is put in order.
                see.check_disk(seat);
                drop(see);
                tokio::spawn(hear(seat, handle.clone(), handle.events(), power.clone(), self.witness.clone()));
                self.seats[seat].running = Some(Running { handle, power, fs });
            }
            Err(error) => self.see().violation(&format!("seat {seat} does not start: {error}")),
        }
    }

    /// Takes a machine's power. Of what it had not synced, each step is lost, kept or torn.
    fn crash(&mut self, seat: usize, dice: &mut Dice) {
        let Some(running) = self.seats[seat].running.take() else { return };
        let downloading = Witness::is_downloading(&running.handle.snapshot().borrow());
        running.power.cut();
        self.net.unplug(self.seats[seat].addr);
        self.air.vanish(self.seats[seat].addr);
        let disk = running.fs.disk();
        let ways: Vec<usize> = match dice.below(4) {
            // A short cut keeps nothing, or all; mostly some.
            0 => disk.ways().iter().map(|_| 0).collect(),
            1 => disk.ways().iter().map(|_| 1).collect(),
            _ => disk.ways().iter().map(|n| dice.index(*n)).collect(),
        };
        let crashed = disk.crashed_with(&ways);
        let mut see = self.see();
        see.off(seat);
        see.tally.crashes += 1;
        see.tally.crashes_in_download += u64::from(downloading);
        see.note(&format!("seat {seat} CRASH with {} steps pending", ways.len()));
        drop(see);
        // Every commit was synced, so the database is as it stands; the dead peer keeps the old copy.
        let life = self.seats[seat].life;
        let copy = self.databases.path().join(format!("{seat}-life-{life}"));
        let copied = std::fs::create_dir_all(&copy).and_then(|()| {
            for name in ["state.db", "state.db-wal"] {
                let from = self.seats[seat].database.join(name);
                if from.exists() {
                    std::fs::copy(&from, copy.join(name))?;
                }
            }
            Ok(())
        });
        if let Err(error) = copied {
            self.see().violation(&format!("the database of seat {seat} cannot be copied: {error}"));
        }
        self.seats[seat].database = copy;
        self.seats[seat].disk = crashed;
    }

    /// A peer shuts down in order.
    async fn leave(&mut self, seat: usize) {
        let Some(handle) = self.seats[seat].running.as_ref().map(|r| r.handle.clone()) else { return };
        self.see().note(&format!("seat {seat} LEAVE"));
        self.ask(seat, Command::Peer(NodeCommand::ShutDown)).await;
        if timeout(STOP_WITHIN, handle.stopped()).await.is_err() {
            self.see().violation(&format!("seat {seat} does not stop"));
        }
        // Its last event may still be on its way to the witness.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut see = self.see();
        if !see.has_stopped(seat) {
            see.violation(&format!("seat {seat} stopped without saying so"));
        }
        see.check_disk(seat);
        see.off(seat);
        see.tally.left += 1;
        drop(see);
        let Some(running) = self.seats[seat].running.take() else { return };
        running.power.cut();
        self.net.unplug(self.seats[seat].addr);
        self.seats[seat].disk = running.fs.disk();
    }

    /// Loses the state database of a machine that is off.
    fn lose_database(&mut self, seat: usize) {
        let s = &mut self.seats[seat];
        s.epoch += 1;
        let fresh = self.databases.path().join(format!("{seat}-epoch-{}", s.epoch));
        let made = std::fs::create_dir_all(&fresh);
        s.database = fresh;
        let mut see = self.see();
        see.tally.new_epochs += 1;
        see.note(&format!("seat {seat} LOST ITS DATABASE {:?}", made.err()));
    }

    /// Sends a command and waits for its reply; `None` when nobody is there.
    async fn ask(&self, seat: usize, command: Command) -> Option<Result<Reply, Report>> {
        let handle = self.seats[seat].running.as_ref()?.handle.clone();
        self.see().note(&format!("seat {seat} ASKED {}", serde_json::to_string(&command).unwrap_or_default()));
        let answered = timeout(ANSWER_WITHIN, handle.send(command.clone())).await;
        let mut see = self.see();
        see.tally.commands += 1;
        let Ok(reply) = answered else {
            see.violation(&format!("seat {seat} does not answer {command:?}"));
            return None;
        };
        match &reply {
            Ok(reply) => {
                see.note(&format!("seat {seat} ANSWERED {}", serde_json::to_string(reply).unwrap_or_default()));
                if let Reply::Started { op } = reply {
                    see.owes(seat, *op);
                }
            }
            Err(error) => {
                see.tally.refusals += 1;
                see.note(&format!("seat {seat} REFUSED {} {error}", error.code));
                if error.class == bonfire_engine::ErrorClass::Bug {
                    see.violation(&format!("seat {seat}: a bug shows in a reply: {error}"));
                }
            }
        }
        Some(reply)
    }

    /// Watches over an operation that was cancelled: it is gone soon, whatever the network does.
    fn expect_end(&self, seat: usize, op: u64) {
        let Some(running) = &self.seats[seat].running else { return };
        let (mut snapshot, power) = (running.handle.snapshot(), running.power.clone());
        let witness = self.witness.clone();
        tokio::spawn(async move {
            let gone = snapshot.wait_for(|s| s.operations.iter().all(|o| o.op != op));
            if timeout(CANCEL_WITHIN, gone).await.is_err() && power.is_on() {
                let mut see = witness.lock().unwrap_or_else(PoisonError::into_inner);
                see.violation(&format!("seat {seat}: operation {op} is still there long after its cancel"));
            }
        });
    }
}

/// Passes everything that a peer tells on to the witness, until its power is cut.
async fn hear(
    seat: usize,
    handle: PeerHandle,
    mut events: broadcast::Receiver<bonfire_engine::EventRecord>,
    power: Power,
    witness: Arc<Mutex<Witness>>,
) {
    let snapshot = handle.snapshot();
    // The peer lives as long as somebody could ask it; that is not us.
    drop(handle);
    loop {
        let heard = events.recv().await;
        if !power.is_on() {
            return;
        }
        let mut see = witness.lock().unwrap_or_else(PoisonError::into_inner);
        match heard {
            Ok(record) => {
                let now = snapshot.borrow().clone();
                see.event(seat, &record, &now);
            }
            Err(broadcast::error::RecvError::Lagged(by)) => see.lagged(seat, by),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
