//! Puts a peer together: identity, folder, database, endpoint, discovery, engine, and the task that runs them.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bonfire_disk::{Claim, DiskError, GamesFolder, Holder, Recovered, WatchEvent, Watcher};
use bonfire_engine::engine::{Engine, Setup};
use bonfire_engine::input::{Discovered, Input, Resumable, Watched};
use bonfire_engine::offers::Target;
use bonfire_engine::{ErrorClass, PeerEvent, Report, UnixMillis};
use bonfire_net::{Discovery, DiscoveryEvent, Endpoint, Identity, Mdns, Tuning};
use bonfire_proto::LibraryEpoch;
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
use crate::library::{self, About};
use crate::serve::Server;
use crate::task::{Event, State, Task};
use crate::world::{Clock, SystemClock, World};

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
    /// Whether to watch the games folder.
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
    let (identity, store, folder, claimed) = Blocking::Threads.run(move || open(&data_dir, &games_dir)).await??;
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
        watch: true,
        claimed,
    };
    start_on(config, platform).await
}

fn open(data_dir: &Path, games_dir: &Path) -> Result<(Identity, Store, GamesFolder, Claimed), Report> {
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
    Ok((identity, store, folder, claimed))
}

/// Starts a peer on a given world.
///
/// # Errors
/// When the games folder cannot be recovered or the state database cannot be read.
pub async fn start_on(config: PeerConfig, platform: Platform) -> Result<PeerHandle, Report> {
    let Platform { folder, store, endpoint, discovery, discovered, blocking, clock, watch, claimed } = platform;
    let started = Instant::now();
    let world = World::new(folder, Database::new(store), blocking, clock);
    let recover = world.clone();
    let (recovered, library, index) = blocking
        .run(move || {
            let recovered = recover.folder.recover().map_err(|e| errors::disk(&e))?;
            let library = recover.database.with(|s| s.library()).map_err(|e| errors::store(&e))?;
            Ok::<_, Report>((recovered, library, Index::load(recover.clone())?))
        })
        .await??;
    let (events_tx, events) = mpsc::channel(EVENTS);
    let (commands_tx, commands) = mpsc::channel(COMMANDS);
    let (told, first_events) = broadcast::channel(TOLD);
    let (stopped_tx, stopped) = watch::channel(None);
    let mut resumable = std::collections::BTreeMap::new();
    let mut problems = Vec::new();
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
    let engine = Engine::new(
        bonfire_engine::Instant(0),
        Setup {
            me: endpoint.peer_id(),
            name: config.name.clone(),
            library,
            resumable,
            static_peers: config.static_peers.clone(),
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
    let server = Server::new(world.clone(), index.clone(), endpoint.clone(), view, events_tx.clone());
    let hasher = Hasher::new(world.clone(), index.clone());
    let watcher = if watch { watch_folder(&world, index.clone(), &events_tx) } else { None };
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
