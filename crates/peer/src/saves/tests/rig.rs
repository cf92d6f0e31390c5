//! A worker with everything around it, on a folder that goes away.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bonfire_disk::GamesFolder;
use bonfire_disk::fs::Fs;
use bonfire_disk::saves::{CopyPlace, SaveRoot, SaveStore};
use bonfire_engine::input::Input;
use bonfire_engine::saves::join::{Line, Stamp};
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::{Done, Look, Make};
use bonfire_engine::saves::work::{Placed, Placement, Root, SaveInput, SaveJob, SaveWork};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::hlc::Hlc;
use bonfire_proto::{Digest, GameId, LibraryEpoch, ObjectRef, PeerId, PlayerId, SlotName, SnapshotId};
use bonfire_store::Store;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::{LiveSaves, Saves};
use crate::blocking::{Blocking, Database};
use crate::machine::Machine;
use crate::task::Event;
use crate::world::{SystemClock, SystemRandom, World};

/// This machine with a game that runs as the test says.
#[derive(Debug)]
struct Playing {
    machine: Machine,
    /// 0: it does not run; 1: it does; 2: nobody can tell.
    is: AtomicU8,
}

impl LiveSaves for Playing {
    fn roots(&self, place: &Placement) -> Result<Vec<SaveRoot>, Report> {
        self.machine.roots(place)
    }

    fn create(&self, place: &Placement, needed: &BTreeSet<&str>) -> Result<Vec<SaveRoot>, Report> {
        self.machine.create(place, needed)
    }

    fn copy_places(&self, place: &Placement) -> Result<Vec<CopyPlace>, Report> {
        self.machine.copy_places(place)
    }

    fn folders(&self, place: &Placement) -> Result<Vec<PathBuf>, Report> {
        self.machine.folders(place)
    }

    fn open(&self, folder: &Path) -> io::Result<Arc<dyn Fs>> {
        self.machine.open(folder)
    }

    fn is_running(&self, _: &Placement, _: &[u32]) -> Result<bool, Report> {
        match self.is.load(Ordering::SeqCst) {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Report::new(ErrorClass::Environment, "processes", "they cannot be looked at")),
        }
    }

    fn is_used(&self, root: &Path, installs: &[PathBuf], pids: &[u32]) -> Result<bool, Report> {
        self.machine.is_used(root, installs, pids)
    }
}

pub(super) struct Rig {
    pub(super) saves: Saves,
    live: Arc<Playing>,
    dir: TempDir,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(dir: TempDir) -> Self {
        let (games, data_dir) = (dir.path().join("games"), dir.path().join("data"));
        std::fs::create_dir_all(&games).unwrap();
        std::fs::create_dir_all(&data_dir).unwrap();
        let database = Store::open(&data_dir.join("state.db"), LibraryEpoch(uuid::Uuid::from_u128(1))).unwrap();
        let folder = GamesFolder::open(&games).unwrap();
        let (clock, random) = (Arc::new(SystemClock), Arc::new(SystemRandom));
        let world = World::new(folder, Database::new(database), Blocking::Threads, clock, random);
        let data = bonfire_disk::fs::real(&data_dir).unwrap();
        let store = SaveStore::open(data.clone(), data_dir.clone()).unwrap();
        let live = Arc::new(Playing { machine: Machine::new(data_dir), is: AtomicU8::new(0) });
        Self { saves: Saves::new(world, store, data, live.clone()), live, dir }
    }

    /// The same folder in another process.
    pub(super) fn restart(self) -> Self {
        let Self { saves, live, dir } = self;
        drop((saves, live));
        Self::on(dir)
    }

    pub(super) fn line(&self) -> Line {
        Line {
            player: PlayerId(uuid::Uuid::from_u128(9)),
            game_id: GameId::new("doom").unwrap(),
            slot: SlotName::main(),
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.dir.path().join("live/doom")
    }

    pub(super) fn place(&self) -> Placement {
        let path = self.folder().display().to_string();
        let root =
            Root { label: "save".to_owned(), path, is_file: false, include: Vec::new(), placed: Placed::default() };
        Placement { roots: vec![root], ..Placement::default() }
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::create_dir_all(self.folder()).unwrap();
        std::fs::write(self.folder().join(name), bytes).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(name)).unwrap()
    }

    /// Makes a file so old that its time says whether it changed.
    pub(super) fn age(&self, name: &str) {
        let file = std::fs::File::options().write(true).open(self.folder().join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000)).unwrap();
    }

    pub(super) fn play(&self, is_running: bool) {
        self.live.is.store(u8::from(is_running), Ordering::SeqCst);
    }

    pub(super) fn hide_processes(&self) {
        self.live.is.store(2, Ordering::SeqCst);
    }

    pub(super) async fn run(&self, work: SaveWork) -> SaveInput {
        self.run_with(work, Vec::new()).await
    }

    pub(super) async fn run_with(&self, work: SaveWork, sources: Vec<(PeerId, Connection)>) -> SaveInput {
        let (events, mut told) = mpsc::channel(1);
        self.saves.clone().run(SaveJob { line: self.line(), work }, sources, events).await;
        match told.recv().await {
            Some(Event::Input(Input::Save(input))) => input,
            _ => panic!("the worker said nothing"),
        }
    }

    pub(super) async fn look(&self) -> Look {
        match self.run(SaveWork::Look { place: self.place(), pids: Vec::new() }).await {
            SaveInput::Looked { look, .. } => look,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn captured(&self) -> u64 {
        match self.look().await {
            Look::Files { capture, .. } => capture,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stamp(&self, note: Option<&str>) -> Stamp {
        let device = PeerId::from_uuid(uuid::Uuid::from_u128(5));
        Stamp { device, hlc: Hlc { ms: 1, count: 0, device }, created_at: 1_000, note: note.map(str::to_owned) }
    }

    pub(super) async fn make(&self, make: Make) -> Done<Node> {
        self.make_stamped(make, self.stamp(None)).await
    }

    async fn make_stamped(&self, make: Make, stamp: Stamp) -> Done<Node> {
        match self.run(SaveWork::Make { make, stamp, played_ms: 0 }).await {
            SaveInput::Made(_, done) => done,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn make_version(&self, parents: &[SnapshotId]) -> SnapshotId {
        self.version(parents, self.stamp(None)).await
    }

    pub(super) async fn make_version_noted(&self, parents: &[SnapshotId], note: &str) -> SnapshotId {
        self.version(parents, self.stamp(Some(note))).await
    }

    async fn version(&self, parents: &[SnapshotId], stamp: Stamp) -> SnapshotId {
        let capture = self.captured().await;
        let parents: BTreeSet<SnapshotId> = parents.iter().copied().collect();
        match self.make_stamped(Make::Version { capture, parents }, stamp).await {
            Done::Well(node) => node.id,
            other => panic!("{other:?}"),
        }
    }

    pub(super) async fn apply(&self, from: Option<SnapshotId>, to: SnapshotId) -> SaveInput {
        self.run(SaveWork::Apply { place: self.place(), from, to, pids: Vec::new() }).await
    }

    fn object(bytes: &[u8]) -> ObjectRef {
        let hash = Digest(*blake3::hash(bytes).as_bytes());
        ObjectRef { hash, len: u32::try_from(bytes.len()).unwrap() }
    }

    pub(super) fn has_object(&self, bytes: &[u8]) -> bool {
        self.saves.store().has_object(&Self::object(bytes).hash).unwrap()
    }

    pub(super) fn damage_object(&self, bytes: &[u8]) {
        let name = Self::object(bytes).hash.to_string();
        std::fs::write(self.dir.path().join("data/objects").join(&name[..2]).join(&name), b"damaged").unwrap();
    }

    /// Has an object be something that cannot be read.
    pub(super) fn hide_object(&self, bytes: &[u8]) {
        let name = Self::object(bytes).hash.to_string();
        let path = self.dir.path().join("data/objects").join(&name[..2]).join(&name);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
    }
}
