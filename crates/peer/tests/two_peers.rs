//! Two or three whole peers of one process over loopback QUIC: the smallest rooms.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may stop at the first surprise")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bonfire_engine::command::{Command, LibraryCommand, NodeCommand, Reply, TransferCommand};
use bonfire_engine::{ErrorClass, EventRecord, PeerEvent};
use bonfire_peer::{PeerConfig, PeerHandle, start};
use bonfire_proto::{Availability, GameId};
use tempfile::TempDir;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(30);

struct Seat {
    dir: TempDir,
    handle: PeerHandle,
    events: Receiver<EventRecord>,
}

impl Seat {
    async fn new(name: &str, peers: Vec<SocketAddr>) -> Self {
        Self::on(tempfile::tempdir().unwrap(), name, peers).await
    }

    async fn on(dir: TempDir, name: &str, peers: Vec<SocketAddr>) -> Self {
        let config = PeerConfig {
            games_dir: dir.path().join("games"),
            data_dir: dir.path().join("data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            name: name.to_owned(),
            static_peers: peers,
            mdns: false,
        };
        let handle = start(config).await.unwrap();
        let events = handle.events();
        Self { dir, handle, events }
    }

    fn games(&self) -> std::path::PathBuf {
        self.dir.path().join("games")
    }

    fn addr(&self) -> SocketAddr {
        self.handle.snapshot().borrow().me.listen_addr.parse().unwrap()
    }

    async fn until<T>(&mut self, what: &str, mut pick: impl FnMut(&PeerEvent) -> Option<T>) -> T {
        let mut seen = Vec::new();
        let found = timeout(WITHIN, async {
            loop {
                let event = self.events.recv().await.unwrap().event;
                if let Some(found) = pick(&event) {
                    return found;
                }
                seen.push(format!("{event:?}"));
            }
        })
        .await;
        found.unwrap_or_else(|_| panic!("{what} did not happen; seen:\n{}", seen.join("\n")))
    }

    /// Waits until the snapshot fits.
    async fn when(&self, what: &str, fits: impl Fn(&bonfire_engine::Snapshot) -> bool) {
        let mut snapshot = self.handle.snapshot();
        let waited = timeout(WITHIN, snapshot.wait_for(|s| fits(s))).await.is_ok();
        assert!(waited, "{what} did not come; snapshot: {:#?}", self.handle.snapshot().borrow());
    }

    async fn add(&self, id: &str) {
        let command = LibraryCommand::CatalogAdd { game: game(id), name: None, version: Some("7".to_owned()) };
        self.handle.send(Command::Library(command)).await.unwrap();
    }

    async fn get(&self, id: &str) -> Result<Reply, bonfire_engine::Report> {
        self.handle.send(Command::Transfers(TransferCommand::Get { game: game(id), from: None })).await
    }

    async fn stop(self) -> TempDir {
        self.handle.send(Command::Peer(NodeCommand::ShutDown)).await.unwrap();
        timeout(WITHIN, self.handle.stopped()).await.unwrap().unwrap();
        self.dir
    }
}

fn game(id: &str) -> GameId {
    GameId::new(id).unwrap()
}

fn write(root: &Path, path: &str, len: usize, seed: u64) {
    let file = root.join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mut bytes = vec![0u8; len];
    blake3::Hasher::new().update(&seed.to_be_bytes()).finalize_xof().fill(&mut bytes);
    std::fs::write(file, bytes).unwrap();
}

fn make_game(games: &Path, id: &str) {
    let root = games.join(id);
    write(&root, "doom.eti", 9 * 1024 * 1024 + 123, 1);
    write(&root, "extra/level one.dat", 4 * 1024 * 1024, 2);
    write(&root, "extra/empty", 0, 3);
    write(&root, "readme.txt", 777, 4);
}

fn tree(root: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, at: &Path, out: &mut std::collections::BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                out.insert(path.strip_prefix(root).unwrap().display().to_string(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut out = std::collections::BTreeMap::new();
    walk(root, root, &mut out);
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_is_seen_and_fetched_whole() {
    let mut host = Seat::new("host", vec![]).await;
    host.until("start", |e| matches!(e, PeerEvent::Started { .. }).then_some(())).await;
    make_game(&host.games(), "doom");
    host.add("doom").await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest
        .when("the game", |s| s.peers.iter().any(|p| p.games.iter().any(|g| g.availability == Availability::Ready)))
        .await;
    guest.get("doom").await.unwrap();
    guest
        .until("the download", |e| match e {
            PeerEvent::DownloadFinished { .. } => Some(()),
            PeerEvent::DownloadFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        })
        .await;
    assert_eq!(
        tree(&host.games().join("doom")),
        tree(&guest.games().join("doom")).into_iter().filter(|(p, _)| p != ".lanspread.json").collect()
    );
    // Whoever fetched it serves it on.
    host.when("the guest's copy", |s| {
        s.peers
            .iter()
            .any(|p| p.games.iter().any(|g| g.availability == Availability::Ready && g.content_hash.is_some()))
    })
    .await;
    let error = guest.get("doom").await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Refused, "already_here"));
    host.stop().await;
    guest.stop().await;
}
