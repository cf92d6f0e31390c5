//! What a peer says on the LAN before anybody has connected.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test may stop at the first surprise")]

use std::sync::Arc;
use std::time::Duration;

use bonfire_disk::GamesFolder;
use bonfire_engine::command::{Command, NodeCommand};
use bonfire_engine::players::About;
use bonfire_net::{Announcement, Discovery, Endpoint, Identity, NetError, Tuning};
use bonfire_peer::{Blocking, Machine, PeerConfig, Platform, SystemClock, SystemRandom, start_on};
use bonfire_proto::LibraryEpoch;
use bonfire_store::Store;
use tokio::sync::mpsc;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(60);

/// Hands on what is announced.
struct Overheard(mpsc::UnboundedSender<Announcement>);

impl Discovery for Overheard {
    fn announce(&self, announcement: &Announcement) -> Result<(), NetError> {
        self.0.send(announcement.clone()).unwrap();
        Ok(())
    }

    fn shutdown(&self) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_carries_a_neutral_label_and_never_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let config = PeerConfig {
        games_dir: dir.path().join("games"),
        data_dir: dir.path().join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        name: "Annas-MacBook".to_owned(),
        static_peers: Vec::new(),
        mdns: true,
        unpacker: None,
    };
    std::fs::create_dir_all(&config.games_dir).unwrap();
    std::fs::create_dir_all(&config.data_dir).unwrap();
    let identity = Identity::load_or_create(&config.data_dir).unwrap();
    let me = identity.peer_id();
    let (heard, mut announced) = mpsc::unbounded_channel();
    let (_seen, discovered) = mpsc::channel(1);
    let platform = Platform {
        folder: GamesFolder::open(&config.games_dir).unwrap(),
        store: Store::open(&config.data_dir.join("state.db"), LibraryEpoch(uuid::Uuid::from_bytes([7; 16]))).unwrap(),
        endpoint: Endpoint::bind(identity, config.listen, Tuning::default()).unwrap(),
        discovery: Some(Arc::new(Overheard(heard))),
        discovered,
        blocking: Blocking::Threads,
        clock: Arc::new(SystemClock),
        data: bonfire_disk::fs::real(&config.data_dir).unwrap(),
        live: Arc::new(Machine::new(config.data_dir.clone())),
        random: Arc::new(SystemRandom),
        about: About::default(),
        watch: false,
        claimed: bonfire_peer::Claimed::Private,
    };
    let handle = start_on(config, platform).await.unwrap();
    let announcement = timeout(WITHIN, announced.recv()).await.unwrap().unwrap();
    assert_eq!(announcement.hostname, format!("bonfire-{}", me.short()));
    assert!(announcement.hostname.len() <= 63, "it has to fit a DNS label");
    assert!(!format!("{announcement:?}").contains("Anna"));
    handle.send(Command::Peer(NodeCommand::ShutDown)).await.unwrap();
    timeout(WITHIN, handle.stopped()).await.unwrap().unwrap();
}
