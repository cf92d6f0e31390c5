//! One seat of a room on loopback: a whole peer with folders of its own.

mod hooked;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bonfire_disk::GamesFolder;
use bonfire_engine::command::{Command, LibraryCommand, NodeCommand, Reply, TransferCommand};
use bonfire_engine::players::About;
use bonfire_engine::{EventRecord, PeerEvent, Report, Snapshot};
use bonfire_net::{Endpoint, Identity, Tuning};
use bonfire_peer::{
    Blocking, Claimed, Machine, PeerConfig, PeerHandle, Platform, SystemClock, SystemRandom, start, start_on,
};
use bonfire_proto::{Availability, GameId, LibraryEpoch};
use bonfire_store::Store;
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::timeout;

use hooked::Hooked;
pub use hooked::Step;

pub const WITHIN: Duration = Duration::from_secs(60);
pub const MIB: usize = 1 << 20;

pub struct Seat {
    pub dir: TempDir,
    pub handle: PeerHandle,
    events: Receiver<EventRecord>,
}

pub fn config(dir: &Path, name: &str, peers: Vec<SocketAddr>) -> PeerConfig {
    PeerConfig {
        games_dir: dir.join("games"),
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        name: name.to_owned(),
        static_peers: peers,
        mdns: false,
        unpacker: None,
    }
}

impl Seat {
    pub async fn new(name: &str, peers: Vec<SocketAddr>) -> Self {
        Self::on(tempfile::tempdir().unwrap(), name, peers).await
    }

    pub async fn on(dir: TempDir, name: &str, peers: Vec<SocketAddr>) -> Self {
        let handle = start(config(dir.path(), name, peers)).await.unwrap();
        Self::started(dir, handle).await
    }

    /// A seat whose disk tells `hook` of each step before it is taken. No stream of it is given up for want of progress
    /// while a test runs.
    pub async fn hooked(
        dir: TempDir,
        name: &str,
        peers: Vec<SocketAddr>,
        hook: impl Fn(Step, &str) + Send + Sync + 'static,
    ) -> Self {
        let config = config(dir.path(), name, peers);
        std::fs::create_dir_all(&config.games_dir).unwrap();
        std::fs::create_dir_all(&config.data_dir).unwrap();
        let identity = Identity::load_or_create(&config.data_dir).unwrap();
        let epoch = LibraryEpoch(uuid::Uuid::from_bytes([7; 16]));
        let (_seen, discovered) = mpsc::channel(1);
        let platform = Platform {
            folder: GamesFolder::over(Hooked::over(&config.games_dir, hook), config.games_dir.clone()),
            store: Store::open(&config.data_dir.join("state.db"), epoch).unwrap(),
            endpoint: Endpoint::bind(identity, config.listen, patient()).unwrap(),
            discovery: None,
            discovered,
            blocking: Blocking::Threads,
            clock: Arc::new(SystemClock),
            data: bonfire_disk::fs::real(&config.data_dir).unwrap(),
            live: Arc::new(Machine::new(config.data_dir.clone())),
            random: Arc::new(SystemRandom),
            about: About::default(),
            watch: true,
            claimed: Claimed::Private,
        };
        let handle = start_on(config, platform).await.unwrap();
        Self::started(dir, handle).await
    }

    async fn started(dir: TempDir, handle: PeerHandle) -> Self {
        let events = handle.events();
        let mut seat = Self { dir, handle, events };
        seat.until("start", |e| matches!(e, PeerEvent::Started { .. }).then_some(())).await;
        seat
    }

    /// A host that shares one game made by `make`, whose content is known.
    pub async fn hosting(id: &str, make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join("games").join(id));
        let host = Self::on(dir, "host", Vec::new()).await;
        host.add(id).await;
        host.when("its hash", |s| s.games.iter().any(|g| g.content_hash.is_some())).await;
        host
    }

    /// A host that shares one game made by `make`, whose content is not known: another one keeps the hasher busy for longer
    /// than any test runs.
    pub async fn hosting_unhashed(id: &str, make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let games = dir.path().join("games");
        // Games are hashed one at a time and in the order of their names, and a hole takes no room.
        let first = games.join("0");
        std::fs::create_dir_all(&first).unwrap();
        std::fs::File::create(first.join("huge.eti")).unwrap().set_len(256 << 30).unwrap();
        std::fs::write(first.join("version.ini"), "1\n").unwrap();
        make(&games.join(id));
        let host = Self::on(dir, "host", Vec::new()).await;
        host.add(id).await;
        host
    }

    pub fn root(&self, id: &str) -> PathBuf {
        self.dir.path().join("games").join(id)
    }

    pub fn addr(&self) -> SocketAddr {
        self.handle.snapshot().borrow().me.listen_addr.parse().unwrap()
    }

    pub fn view(&self) -> Snapshot {
        Snapshot::clone(&self.handle.snapshot().borrow())
    }

    pub async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&PeerEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(WITHIN, async {
            loop {
                let event = match self.events.recv().await {
                    Ok(record) => record.event,
                    Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => panic!("the peer stopped before {what}"),
                };
                if let Some(found) = pick(&event) {
                    return found;
                }
                seen.push(format!("{event:?}"));
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("{what} did not happen; seen:\n{}", seen.join("\n")))
    }

    pub async fn when(&self, what: &str, fits: impl Fn(&Snapshot) -> bool) {
        let mut snapshot = self.handle.snapshot();
        let waited = timeout(WITHIN, snapshot.wait_for(|s| fits(s))).await.is_ok();
        assert!(waited, "{what} did not come; snapshot: {:#?}", self.handle.snapshot().borrow());
    }

    /// Waits until `peers` others offer a game.
    pub async fn offered(&self, id: &str, peers: usize) {
        let id = game(id);
        let ready = |s: &Snapshot| {
            let games = s.peers.iter().filter(|p| p.connected).flat_map(|p| &p.games);
            games.filter(|g| g.id == id && g.availability == Availability::Ready && g.content_hash.is_some()).count()
        };
        self.when("an offer", |s| ready(s) == peers).await;
    }

    /// Waits until another offers a game whose content nobody knows.
    pub async fn offered_unhashed(&self, id: &str) {
        let id = game(id);
        let ready = |s: &Snapshot| {
            let mut games = s.peers.iter().flat_map(|p| &p.games);
            games.find(|g| g.id == id && g.availability == Availability::Ready).map(|g| g.content_hash)
        };
        self.when("an offer", |s| ready(s).is_some()).await;
        assert_eq!(ready(&self.view()), Some(None), "hashing was faster than this test assumes");
    }

    pub async fn add(&self, id: &str) {
        let command = LibraryCommand::CatalogAdd {
            game: game(id),
            name: None,
            version: None,
            saves: None,
            start: std::collections::BTreeMap::new(),
        };
        self.handle.send(Command::Library(command)).await.unwrap();
    }

    pub async fn transfer(&self, command: TransferCommand) -> Result<Reply, Report> {
        self.handle.send(Command::Transfers(command)).await
    }

    pub async fn get(&self, id: &str) -> Result<Reply, Report> {
        self.transfer(TransferCommand::Get { game: game(id), from: None }).await
    }

    pub async fn cancel(&self, id: &str) -> Result<Reply, Report> {
        self.transfer(TransferCommand::Cancel { game: game(id) }).await
    }

    /// Waits for a download to end well; tells bytes fetched and reused.
    pub async fn finished(&mut self) -> (u64, u64) {
        self.until("the download", |e| match e {
            PeerEvent::DownloadFinished { fetched_bytes, reused_bytes, .. } => Some((*fetched_bytes, *reused_bytes)),
            PeerEvent::DownloadFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    /// Has a game read again; tells the files that were bad and the bytes that were fetched for them.
    pub async fn verify(&mut self, id: &str) -> (Vec<String>, u64) {
        self.transfer(TransferCommand::Verify { game: game(id), restore: false }).await.unwrap();
        self.until("the verdict", |e| match e {
            PeerEvent::VerifyFinished { bad_files, repaired_bytes, .. } => Some((bad_files.clone(), *repaired_bytes)),
            PeerEvent::VerifyFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        })
        .await
    }

    pub async fn stop(self) -> TempDir {
        self.handle.send(Command::Peer(NodeCommand::ShutDown)).await.unwrap();
        timeout(WITHIN, self.handle.stopped()).await.unwrap().unwrap();
        self.dir
    }
}

/// A transport that waits longer for a byte than any test runs.
pub fn patient() -> Tuning {
    Tuning { progress_limit: 10 * WITHIN, ..Tuning::default() }
}

pub fn game(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

pub fn write(root: &Path, path: &str, len: usize, seed: u64) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut bytes = vec![0u8; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

/// A game of four files, one of them empty and one in three chunks.
pub fn small(root: &Path) {
    write(root, "doom.eti", 9 * MIB + 123, 1);
    write(root, "extra/level one.dat", 4 * MIB, 2);
    write(root, "extra/empty", 0, 3);
    write(root, "readme.txt", 777, 4);
}

/// Flips one bit of a file.
pub fn damage(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// What a game root holds that is shared: path and bytes.
pub fn payload(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = tree(root);
    all.remove(".lanspread.json");
    all.remove(".bonfire.download");
    all
}

pub fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, at: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = std::fs::read_dir(at) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                out.insert(path.strip_prefix(root).unwrap().display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}
