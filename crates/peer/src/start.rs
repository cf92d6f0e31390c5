//! Puts a peer together: identity, folders, database, endpoint, discovery, engine, and the task that runs them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::SaveStore;
use bonfire_disk::{Claim, DiskError, GamesFolder, Holder, Recovered, Sidecars, WatchEvent, Watcher};
use bonfire_engine::engine::{Engine, Setup};
use bonfire_engine::input::{Discovered, Input, Resumable, Watched};
use bonfire_engine::offers::Target;
use bonfire_engine::players;
use bonfire_engine::record::{Record, Stored, StoredPlayer};
use bonfire_engine::replication::Life;
use bonfire_engine::replication::log::SharedLog;
use bonfire_engine::replication::state::StateBoard;
use bonfire_engine::{ErrorClass, PeerEvent, Report, UnixMillis};
use bonfire_net::{Discovery, DiscoveryEvent, Endpoint, Identity, Mdns, Tuning};
use bonfire_proto::{LibraryEpoch, PeerId};
use bonfire_store::Store;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::blocking::{Blocking, Database};
use crate::conns::{self, Conns};
use crate::errors;
use crate::handle::{PeerConfig, PeerHandle};
use crate::hash::Hasher;
use crate::index::Index;
use crate::installs::Installer;
use crate::library::{self, About};
use crate::machine::{self, Machine};
use crate::players_file::PlayersFile;
use crate::saves::{LiveSaves, Saves, Watching};
use crate::serve::Server;
use crate::sidecars::Pictures;
use crate::task::{Event, State, Task};
use crate::world::{Clock, Random, SystemClock, SystemRandom, World};

/// Commands that wait. A front end sends one at a time; a script's burst waits in its own buffer.
const COMMANDS: usize = 64;
/// Events of workers that wait. A full queue slows workers down, never the task.
const EVENTS: usize = 1_024;
/// Events that a slow listener may fall behind before it has to re-read the snapshot.
const TOLD: usize = 1_024;
/// Discoveries that wait: all of a large room at once.
const DISCOVERIES: usize = 512;

/// Whether this peer has the games folder for itself.
#[derive(Debug)]
pub enum Claimed {
    /// For as long as this lives.
    Ours(Claim),
    /// It cannot be written, for this reason; the peer shares what is there.
    Unwritable(Report),
    /// Nobody else can reach it.
    Private,
}

/// The outside world of a peer: what a simulation replaces.
pub struct Platform {
    /// The games folder.
    pub folder: GamesFolder,
    /// The state database.
    pub store: Store,
    /// The bound endpoint.
    pub endpoint: Endpoint,
    /// Announces this peer.
    pub discovery: Option<Arc<dyn Discovery>>,
    /// What discovery sees.
    pub discovered: mpsc::Receiver<DiscoveryEvent>,
    /// How to block.
    pub blocking: Blocking,
    /// The time to show.
    pub clock: Arc<dyn Clock>,
    /// The data folder, for the store of saves and the list of players.
    pub data: Arc<dyn Fs>,
    /// The live folders of saves, and the games that write to them.
    pub live: Arc<dyn LiveSaves>,
    /// What nobody can foresee.
    pub random: Arc<dyn Random>,
    /// What this machine says of itself to its players' other devices.
    pub about: players::About,
    /// Whether to watch the games folder and live folders of saves.
    pub watch: bool,
    /// What keeps others off the games folder.
    pub claimed: Claimed,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform")
            .field("folder", &self.folder)
            .field("blocking", &self.blocking)
            .finish_non_exhaustive()
    }
}

/// Starts a peer on this machine and returns once it listens and has recovered its games folder.
///
/// # Errors
/// When the identity, the state database, the games folder or the listening address cannot be used.
pub async fn start(config: PeerConfig) -> Result<PeerHandle, Report> {
    let (data_dir, games_dir) = (config.data_dir.clone(), config.games_dir.clone());
    let (identity, store, data, folder, claimed) = Blocking::Threads.run(move || open(&data_dir, &games_dir)).await??;
    let endpoint = Endpoint::bind(identity, config.listen, Tuning::default()).map_err(|e| errors::net(&e))?;
    let (seen, discovered) = mpsc::channel(DISCOVERIES);
    let discovery = config.mdns.then(|| Arc::new(Mdns::start(seen)) as Arc<dyn Discovery>);
    let platform = Platform {
        folder,
        store,
        endpoint,
        discovery,
        discovered,
        blocking: Blocking::Threads,
        clock: Arc::new(SystemClock),
        data,
        live: Arc::new(Machine::new(config.data_dir.clone())),
        random: Arc::new(SystemRandom),
        about: machine::about(),
        watch: true,
        claimed,
    };
    start_on(config, platform).await
}

type Folders = (Identity, Store, Arc<dyn Fs>, GamesFolder, Claimed);

fn open(data_dir: &Path, games_dir: &Path) -> Result<Folders, Report> {
    let cannot = |what: &str, path: &Path, e: &std::io::Error| {
        Report::new(
            ErrorClass::Environment,
            "cannot_create",
            format!("cannot create the {what} {}: {e}", path.display()),
        )
        .hint("choose another folder, or make this one writable")
    };
    std::fs::create_dir_all(data_dir).map_err(|e| cannot("data folder", data_dir, &e))?;
    std::fs::create_dir_all(games_dir).map_err(|e| cannot("games folder", games_dir, &e))?;
    let identity = Identity::load_or_create(data_dir).map_err(|e| errors::net(&e))?;
    let epoch = LibraryEpoch(Uuid::new_v4());
    let store = Store::open(&data_dir.join("state.db"), epoch).map_err(|e| errors::store(&e))?;
    let data = bonfire_disk::fs::real(data_dir).map_err(|e| cannot("data folder", data_dir, &e))?;
    let folder = GamesFolder::open(games_dir).map_err(|e| errors::disk(&e))?;
    let holder = Holder { pid: std::process::id(), program: concat!("bonfire ", env!("CARGO_PKG_VERSION")).to_owned() };
    let claimed = match folder.claim(&holder) {
        Ok(claim) => Claimed::Ours(claim),
        Err(e @ DiskError::Claimed { .. }) => {
            let hint = "stop that process, or give this peer a --games-dir and a --data-dir of its own";
            return Err(errors::disk(&e).hint(hint));
        }
        Err(e) => {
            Claimed::Unwritable(errors::disk(&e).hint("what is there is shared; downloads need a folder to write to"))
        }
    };
    Ok((identity, store, data, folder, claimed))
}

/// Starts a peer on a given world.
///
/// # Errors
/// When the games folder cannot be recovered or the state database cannot be read.
pub async fn start_on(config: PeerConfig, platform: Platform) -> Result<PeerHandle, Report> {
    let Platform { folder, store, endpoint, discovery, discovered, blocking, clock, .. } = platform;
    let Platform { data, live, random, about: about_machine, watch, claimed, .. } = platform;
    let started = Instant::now();
    let seed = random.bytes()?;
    let world = World::new(folder, Database::new(store), blocking, clock, random);
    let (recover, me, data_dir, of_saves) = (world.clone(), endpoint.peer_id(), config.data_dir.clone(), live.clone());
    let (recovered, library, index, held) = blocking
        .run(move || {
            let recovered = recover.folder.recover().map_err(|e| errors::disk(&e))?;
            let library = recover.database.with(|s| s.library()).map_err(|e| errors::store(&e))?;
            let held = Held::open(&recover, me, data, data_dir, of_saves)?;
            Ok::<_, Report>((recovered, library, Index::load(recover.clone())?, held))
        })
        .await??;
    let Held { saves, pictures, players, stored, problems: mut held_problems } = held;
    let (events_tx, events) = mpsc::channel(EVENTS);
    let (commands_tx, commands) = mpsc::channel(COMMANDS);
    let (told, first_events) = broadcast::channel(TOLD);
    let (stopped_tx, stopped) = watch::channel(None);
    let mut resumable = std::collections::BTreeMap::new();
    let mut problems = std::mem::take(&mut held_problems);
    if let Claimed::Unwritable(error) = &claimed {
        problems.push(PeerEvent::ProblemFound { game: None, error: error.clone() });
    }
    for found in recovered {
        match found {
            Recovered::Resumable { game, manifest, .. } => {
                let target = Target {
                    game: game.clone(),
                    name: game.to_string(),
                    version: manifest.eti_version.clone(),
                    manifest_hash: manifest.manifest_hash,
                    content_hash: manifest.content_hash,
                };
                resumable.insert(game, Resumable { target });
            }
            other => problems.extend(recovery_problem(&other)),
        }
    }
    let mut engine = Engine::new(
        bonfire_engine::Instant(0),
        Setup {
            me: endpoint.peer_id(),
            name: config.name.clone(),
            library,
            resumable,
            static_peers: config.static_peers.clone(),
            key_hash: endpoint.key_hash().0,
            seed,
            about: about_machine,
            stored,
        },
    );
    let listen = endpoint.local_addr().map_err(|e| errors::net(&e))?;
    let about = About {
        listen,
        name: config.name.clone(),
        games_dir: config.games_dir.display().to_string(),
        started_at: UnixMillis(world.clock.unix_ms()),
        mdns: config.mdns,
    };
    let (serving, view) = watch::channel(Arc::new(engine.serving_view()));
    let first = library::snapshot(&engine, &about, bonfire_engine::Instant(0), 0);
    let (snapshot_tx, snapshot) = watch::channel(Arc::new(first));
    let (roster, members) = watch::channel(Arc::new(engine.take_roster().unwrap_or_default()));
    let of_players = (saves.clone(), pictures.clone());
    let server =
        Server::new(world.clone(), index.clone(), endpoint.clone(), view, members, of_players, events_tx.clone());
    let hasher = Hasher::new(world.clone(), index.clone());
    let watcher = if watch { watch_folder(&world, index.clone(), &events_tx) } else { None };
    let installer = Installer {
        world: world.clone(),
        index: index.clone(),
        live: live.clone(),
        unpacker: config.unpacker.clone(),
        players: Vec::new(),
    };
    let watching = if watch { Watching::start(live, events_tx.clone()) } else { Watching::default() };
    tokio::spawn(hear_discovery(discovered, events_tx.clone()));
    let handle = PeerHandle {
        commands: commands_tx,
        snapshot,
        events: told.clone(),
        first: Arc::new(Mutex::new(Some(first_events))),
        stopped,
    };
    let task = Task {
        engine,
        world,
        endpoint,
        discovery,
        index,
        server,
        hasher,
        conns: Conns::new(events_tx.clone()),
        events: events_tx,
        serving,
        roster,
        saves,
        pictures,
        installer,
        watching,
        players: Arc::new(Mutex::new(players)),
        snapshot: snapshot_tx,
        told,
        about,
        started,
        state: State::telling(problems),
    };
    tokio::spawn(async move {
        let fault = task.run(commands, events).await;
        drop(watcher);
        drop(claimed);
        stopped_tx.send_replace(Some(fault.map_or(Ok(()), Err)));
    });
    Ok(handle)
}

/// What a data folder holds of players and saves.
struct Held {
    saves: Saves,
    pictures: Pictures,
    players: PlayersFile,
    stored: Stored,
    problems: Vec<PeerEvent>,
}

impl Held {
    /// Opens the store of saves and finishes what was cut off there, before anything else touches live files. To be called
    /// where blocking is allowed.
    fn open(
        world: &World,
        me: PeerId,
        data: Arc<dyn Fs>,
        data_dir: PathBuf,
        live: Arc<dyn LiveSaves>,
    ) -> Result<Self, Report> {
        let mut problems = Vec::new();
        let sidecars = Sidecars::new(data.clone(), data_dir.clone());
        let store = SaveStore::open(data.clone(), data_dir).map_err(|e| errors::save(&e))?;
        let mut stored = world.database.with(|s| s.stored(me)).map_err(|e| errors::store(&e))?;
        match sidecars.sweep() {
            Ok(here) => stored.sidecars = here,
            // No save needs a picture, and no start either.
            Err(error) => problems.push(PeerEvent::ProblemFound { game: None, error: errors::sidecar(&error) }),
        }
        let pictures = Pictures::new(sidecars, live.clone(), world.blocking);
        let saves = Saves::new(world.clone(), store, data.clone(), live);
        saves.recover(&mut stored, &mut problems)?;
        let in_file = PlayersFile::read(&data).unwrap_or_else(|error| {
            problems.push(PeerEvent::ProblemFound { game: None, error });
            Vec::new()
        });
        let epoch = world.database.with(|s| s.device_epoch()).map_err(|e| errors::store(&e))?;
        for known in &in_file {
            if stored.players.iter().any(|p| p.known.player == known.player) {
                continue;
            }
            // The database was lost: what its devices agreed on comes back from them.
            tracing::warn!("player {} is known from {} alone", known.player, "players.json");
            world.database.with(|s| s.record(&[Record::Player(known.clone())])).map_err(|e| errors::store(&e))?;
            let (log, board) = (SharedLog::new(Life { device: me, epoch }), StateBoard::new(me, epoch));
            stored.players.push(StoredPlayer { known: known.clone(), log, board });
        }
        let known = stored.players.iter().map(|p| p.known.clone());
        let players = PlayersFile::holding(data, known, &in_file)?;
        Ok(Self { saves, pictures, players, stored, problems })
    }
}

/// What a person should hear of a recovery.
fn recovery_problem(found: &Recovered) -> Option<PeerEvent> {
    match found {
        Recovered::Failed { game, error } => {
            let error = Report::new(error.class(), "recovery_failed", errors::chain(error))
                .hint("nothing was deleted; look at the folder, then start again");
            Some(PeerEvent::ProblemFound { game: Some(game.clone()), error })
        }
        // Files without a sentinel are as often a folder that somebody is copying in as what an old tool left behind:
        // nothing of either is ours to judge.
        other => {
            tracing::info!("recovery: {other:?}");
            None
        }
    }
}

fn watch_folder(world: &World, index: Index, events: &mpsc::Sender<Event>) -> Option<Watcher> {
    let events = events.clone();
    let (known, places) = (index.known_folders(), index.clone());
    let tell = move |seen: WatchEvent| {
        let watched = match seen {
            WatchEvent::Game(game) => {
                index.distrust(&game);
                Watched::Game(game)
            }
            WatchEvent::Catalog => Watched::Catalog,
            WatchEvent::Everything => {
                index.distrust_all();
                Watched::Everything
            }
            WatchEvent::Failed(why) => Watched::Failed(watch_failed(&why)),
        };
        // On the watcher's own thread. It waits while the queue is full, as the system's queue then does.
        if events.blocking_send(Event::Input(Input::Watched(watched))).is_err() {
            tracing::trace!("a change was seen after the end");
        }
    };
    match Watcher::start(&world.folder, known, tell) {
        Ok(watcher) => {
            places.watch_with(watcher.watches());
            Some(watcher)
        }
        Err(error) => {
            tracing::warn!("the games folder cannot be watched: {}", errors::chain(&error));
            None
        }
    }
}

fn watch_failed(why: &str) -> Report {
    Report::new(ErrorClass::Environment, "watch_failed", format!("changes in the games folder are not all seen: {why}"))
        .hint("the folder is read again every five minutes; `bonfire status` shows when")
}

async fn hear_discovery(mut discovered: mpsc::Receiver<DiscoveryEvent>, events: mpsc::Sender<Event>) {
    while let Some(seen) = discovered.recv().await {
        let seen = match seen {
            DiscoveryEvent::Found { peer_id, addrs, proto_ver, library_rev, library_epoch, .. } => {
                Discovered::Found { peer: peer_id, addrs, proto_ver, library: (library_epoch, library_rev) }
            }
            DiscoveryEvent::Lost { peer_id } => Discovered::Lost { peer: peer_id },
            DiscoveryEvent::Works => Discovered::Works,
            DiscoveryEvent::Failed(why) => Discovered::Failed(
                Report::new(ErrorClass::Environment, "discovery_failed", format!("peers cannot be discovered: {why}"))
                    .hint("name a peer by its address: `bonfire run --peer ADDR`")
                    .retryable(),
            ),
        };
        conns::send(&events, Event::Input(Input::Discovery(seen))).await;
    }
}
