//! How many folders a start reads: counted beneath a whole peer, its scan and its watcher alike.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may stop at the first surprise")]
#![cfg(any(target_os = "linux", target_os = "android"))]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bonfire_disk::GamesFolder;
use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, real};
use bonfire_engine::command::{Command, NodeCommand};
use bonfire_engine::{PeerEvent, Snapshot};
use bonfire_net::{Endpoint, Identity, Tuning};
use bonfire_peer::{Blocking, PeerConfig, PeerHandle, Platform, SystemClock, start_on};
use bonfire_proto::{GameId, LibraryEpoch};
use bonfire_store::Store;
use tokio::sync::mpsc;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(60);
const GAMES: usize = 40;
const CHANGED: &str = "game-07";

/// A real folder that notes which of its folders are listed.
#[derive(Debug)]
struct Counted {
    real: Arc<dyn Fs>,
    listed: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Fs for Counted {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.real.stat(path)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        *self.listed.lock().unwrap().entry(dir.as_str().to_owned()).or_default() += 1;
        self.real.list(dir)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.real.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.real.open_read(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.real.open_write(path, mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.real.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.real.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.real.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.real.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.real.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.real.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.real.free_space()
    }
}

/// One start of a peer on these folders, until it has read the folder once; the folders that were listed, and the peer.
async fn started(dir: &Path) -> (Arc<Mutex<BTreeMap<String, usize>>>, PeerHandle) {
    let config = PeerConfig {
        games_dir: dir.join("games"),
        data_dir: dir.join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        name: "counted".to_owned(),
        static_peers: Vec::new(),
        mdns: false,
    };
    let listed = Arc::new(Mutex::new(BTreeMap::new()));
    let counted = Counted { real: real(&config.games_dir).unwrap(), listed: listed.clone() };
    let identity = Identity::load_or_create(&config.data_dir).unwrap();
    let epoch = LibraryEpoch(uuid::Uuid::from_bytes([7; 16]));
    let (_seen, discovered) = mpsc::channel(1);
    let platform = Platform {
        folder: GamesFolder::over(Arc::new(counted), config.games_dir.clone()),
        store: Store::open(&config.data_dir.join("state.db"), epoch).unwrap(),
        endpoint: Endpoint::bind(identity, config.listen, Tuning::default()).unwrap(),
        discovery: None,
        discovered,
        blocking: Blocking::Threads,
        clock: Arc::new(SystemClock),
        watch: true,
        claimed: bonfire_peer::Claimed::Private,
    };
    let handle = start_on(config, platform).await.unwrap();
    let mut events = handle.events();
    let wait = async { while !matches!(events.recv().await.unwrap().event, PeerEvent::Started { .. }) {} };
    timeout(WITHIN, wait).await.unwrap();
    (listed, handle)
}

/// Changes a nested file of a game until the peer tells of it: its watches are all placed then, since those of known
/// folders come last and this game is the last of them.
async fn watches_are_placed(dir: &Path, handle: &PeerHandle) {
    let last = format!("game-{:02}", GAMES - 1);
    let id = GameId::new(last.as_str()).unwrap();
    let size = |s: &Snapshot| s.games.iter().find(|g| g.id == id).unwrap().size;
    let mut snapshot = handle.snapshot();
    let before = size(&snapshot.borrow());
    let mut text = String::from("grown");
    let told = async {
        loop {
            text.push_str(" more");
            std::fs::write(dir.join("games").join(&last).join("data/sub/file.bin"), &text).unwrap();
            // The watch may not have been there yet: then the file is changed once more.
            let wait = snapshot.wait_for(|s| size(s) != before);
            if timeout(Duration::from_secs(3), wait).await.is_ok() {
                return;
            }
        }
    };
    timeout(WITHIN, told).await.unwrap();
}

async fn stop(handle: PeerHandle) {
    handle.send(Command::Peer(NodeCommand::ShutDown)).await.unwrap();
    timeout(WITHIN, handle.stopped()).await.unwrap().unwrap();
}

/// How often folders within game roots were listed, those of the last game left out.
fn nested(listed: &Mutex<BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    let last = format!("game-{:02}/", GAMES - 1);
    let listed = listed.lock().unwrap();
    listed.iter().filter(|(p, _)| p.contains('/') && !p.starts_with(&last)).map(|(p, n)| (p.clone(), *n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_start_lists_no_folder_within_a_game_and_one_changed_game_costs_one_walk() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..GAMES {
        let root = dir.path().join(format!("games/game-{n:02}"));
        std::fs::create_dir_all(root.join("data/sub")).unwrap();
        std::fs::create_dir_all(root.join("empty")).unwrap();
        std::fs::create_dir_all(root.join("local/saves")).unwrap();
        std::fs::write(root.join("version.ini"), "1").unwrap();
        std::fs::write(root.join("game.eti"), "bytes").unwrap();
        std::fs::write(root.join("data/sub/file.bin"), "x").unwrap();
    }
    std::fs::create_dir(dir.path().join("data")).unwrap();

    let (listed, handle) = started(dir.path()).await;
    let first = nested(&listed);
    assert_eq!(first.len(), (GAMES - 1) * 3, "{first:?}");
    assert!(first.values().all(|n| *n == 1), "one walk a game, and none to place watches: {first:?}");
    watches_are_placed(dir.path(), &handle).await;
    stop(handle).await;

    let (listed, handle) = started(dir.path()).await;
    watches_are_placed(dir.path(), &handle).await;
    stop(handle).await;
    assert_eq!(nested(&listed), BTreeMap::new(), "an unchanged start walks into games");
    let roots = listed.lock().unwrap().iter().filter(|(p, n)| !p.contains('/') && !p.is_empty() && **n == 1).count();
    assert_eq!(roots, GAMES - 1, "each root is looked at once: {:?}", listed.lock().unwrap());

    std::fs::write(dir.path().join("games").join(CHANGED).join("game.eti"), "other bytes").unwrap();
    let (listed, handle) = started(dir.path()).await;
    watches_are_placed(dir.path(), &handle).await;
    stop(handle).await;
    let walked: BTreeMap<_, _> =
        ["data", "data/sub", "empty"].into_iter().map(|f| (format!("{CHANGED}/{f}"), 1)).collect();
    assert_eq!(nested(&listed), walked);
}
