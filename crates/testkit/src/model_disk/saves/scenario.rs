//! What is explored of saves: stages, and the drive through the product's own code, piece by piece. Whole operations are
//! `operations.rs`'s.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bonfire_disk::fs::{Fs, FsPath, OpenMode, write_all_at};
use bonfire_disk::saves::{
    Apply, Capture, Captured, CopyPlace, Extent, Lineage, Listing, Recovered, RootLabel, SaveError, SaveRoot, SaveSet,
    SaveStore, SweepReport,
};
use bonfire_proto::{GameId, Hlc, PeerId, PlayerId, SlotName, SnapshotId, SnapshotKind};

use super::Promise;
use super::beneath::Beneath;
use super::operations;
use crate::model_disk::content::Content;
use crate::model_disk::fs::ModelFs;
use crate::model_disk::scenario::Ack;
use crate::model_disk::state::Disk;

pub(super) const DATA: &str = "data";
pub(super) const LIVE: &str = "live";
/// Where the copy of the whole folder goes, and within the live folder that of one file: as for a root that is one file.
pub(super) const COPY: &str = "live.conflict-deck";
pub(super) const COPY_OF_ONE: &str = "changed.conflict-deck";
/// The version that copies are of.
pub(super) const COPIED: u8 = 2;
/// A folder of the user's: an archive that somebody handed on, and where one is written.
pub(super) const ARCHIVE: &str = "elsewhere/handed.zip";
pub(super) const EXPORTED: &str = "elsewhere/out.zip";
/// A wall clock at which every file of the model was written long ago.
const LATER: i64 = 1_000_000;

/// A version of the save: its files by path in the live folder.
pub(super) type Version = BTreeMap<&'static str, &'static [u8]>;

/// Versions 1 and 2, which differ in every way that files can; 3 differs from 2 in one file.
pub(super) fn version(number: u8) -> Version {
    let files: &[(&str, &[u8])] = match number {
        0 => &[],
        1 => &[
            ("same", b"in both"),
            ("changed", b"one one one one"),
            ("gone/old", b"only in one"),
            ("swap", b"a file that becomes a folder"),
            ("turn/x", b"a folder that becomes a file"),
        ],
        2 => &[
            ("same", b"in both"),
            ("changed", b"two two two two"),
            ("new/deep/file", b"only in two"),
            ("swap/inner", b"inner"),
            ("turn", b"turned"),
        ],
        3 => &[("same", b"in both"), ("changed", b"three three")],
        _ => &[("same", b"in both"), ("changed", b"two two two two"), ("added", b"only in four")],
    };
    files.iter().copied().collect()
}

/// Which version's content a snapshot has: from 10 on, operations make it of what is there.
pub(super) fn content_of(number: u8) -> u8 {
    match number {
        5 => 1,
        10.. => number - 10,
        other => other,
    }
}

/// Numbers that snapshots have.
pub(super) const NUMBERS: [u8; 10] = [0, 1, 2, 3, 4, 5, 11, 12, 13, 14];

/// What the user writes to a live file while nobody of ours looks.
pub(super) const PLAYED_ON: &[u8] = b"what the player did since";
pub(super) const PLAYED_AT: &str = "changed";

/// What is on the disk before, and what must be there ever after.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) disk: Disk,
    /// Which version lies there live.
    pub(super) live: u8,
    /// Which snapshots are listed, by version.
    pub(super) listed: Vec<u8>,
    /// Whether the copy of the other side lies there.
    pub(super) copied: bool,
    /// Files of the user's that are none of the save's.
    pub(super) user: Vec<(String, Content)>,
    /// What an archive is to hold that is written.
    pub(super) archive: Option<Content>,
}

/// The product over a disk: the store, and the root of the save set.
#[derive(Debug)]
pub(super) struct World {
    pub(super) store: SaveStore,
    pub(super) roots: [SaveRoot; 1],
    top: Arc<dyn Fs>,
    /// A planted bug: what was captured is not held; counts how often.
    drops_leases: Option<Arc<AtomicU64>>,
}

impl World {
    /// Opens the store as a start does. Few enough files are synced at once that both ways are taken.
    pub(super) fn open(top: Arc<dyn Fs>) -> Result<Self, SaveError> {
        let store = SaveStore::tuned(Arc::new(Beneath::new(top.clone(), DATA)), PathBuf::from("/data"), 4)?;
        let root = SaveRoot {
            label: RootLabel::new("save").expect("BUG: a legal label"),
            folder: PathBuf::from("/live"),
            fs: Arc::new(Beneath::new(top.clone(), LIVE)),
            include: Vec::new(),
            ignore: vec!["*.log".parse().expect("BUG: a legal pattern")],
            extent: Extent::default(),
        };
        Ok(Self { store, roots: [root], top, drops_leases: None })
    }

    /// The same with a bug: nothing holds what was captured.
    pub(super) fn without_leases(self, fired: Arc<AtomicU64>) -> Self {
        Self { drops_leases: Some(fired), ..self }
    }

    /// Opens a folder as journals and records name it.
    pub(super) fn folder(&self, at: &Path) -> io::Result<Arc<dyn Fs>> {
        if at == Path::new("/") { Ok(self.top.clone()) } else { Ok(self.roots[0].fs.clone()) }
    }

    /// The folder of the user's.
    pub(super) fn elsewhere(&self) -> Beneath {
        Beneath::new(self.top.clone(), "elsewhere")
    }

    /// Where copies of the other side go: beside the folder, and beside one file in it.
    pub(super) fn copy_places(&self) -> [CopyPlace; 2] {
        let place = |beside: &str, fs: Arc<dyn Fs>, name: &str, is_file| {
            let label = self.roots[0].label.clone();
            let (beside, name) = (PathBuf::from(beside), name.to_owned());
            CopyPlace { label, beside, fs, snapshot_name: name.clone(), name, is_file }
        };
        let one = self.roots[0].fs.clone();
        [place("/", self.top.clone(), LIVE, false), place("/live", one, PLAYED_AT, true)]
    }

    /// What a start does before anything else.
    pub(super) fn recover(&self) -> Result<Vec<Recovered>, SaveError> {
        let open = |at: &Path| self.folder(at);
        let recovered = self.store.recover_applies(&open, LATER)?;
        self.store.recover_conflict_copies(&open)?;
        Ok(recovered)
    }

    /// Removes what nothing needs.
    pub(super) fn sweep(&self) -> Result<SweepReport, String> {
        self.store.mark().and_then(|marked| self.store.sweep(marked)).map_err(text)
    }

    /// What was captured, or with the bug what nothing holds.
    fn held(&self, mut captured: Captured) -> Captured {
        if let Some(fired) = &self.drops_leases {
            fired.fetch_add(1, Ordering::Relaxed);
            captured.lease = self.store.lease();
        }
        captured
    }

    pub(super) fn capture(&self) -> Result<Captured, String> {
        match self.store.capture(&self.roots, &Listing::new(), LATER).map_err(text)? {
            Capture::Whole(captured) => Ok(self.held(*captured)),
            Capture::Changing { path } => Err(format!("{path} changes")),
        }
    }

    /// What the archive holds that somebody handed on.
    pub(super) fn import(&self) -> Result<Captured, String> {
        let file = self.top.open_read(&FsPath::root().child(ARCHIVE)).map_err(|e| e.to_string())?;
        self.store.import(&*file, None, LATER).map(|captured| self.held(captured)).map_err(text)
    }

    pub(super) fn put(&self, number: u8) -> Result<SnapshotId, String> {
        self.put_captured(&self.capture()?, number)
    }

    pub(super) fn put_captured(&self, captured: &Captured, number: u8) -> Result<SnapshotId, String> {
        let bytes = captured.snapshot(lineage(number)).to_bytes().map_err(|e| e.to_string())?;
        self.store.put_snapshot(&bytes).map_err(text)
    }

    /// The listed snapshot of a version: its number is its time.
    pub(super) fn id(&self, number: u8) -> Result<SnapshotId, String> {
        self.find(number)?.ok_or_else(|| format!("no snapshot of version {number}"))
    }

    pub(super) fn find(&self, number: u8) -> Result<Option<SnapshotId>, String> {
        for id in self.store.snapshot_ids().map_err(text)? {
            if self.store.snapshot(&id).map_err(text)?.created_at == u64::from(number) {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) fn apply(&self, base: Option<u8>, target: u8) -> Result<(), String> {
        let set = set();
        let base = base.map(|b| self.id(b)).transpose()?;
        let (slot, listing, target) = (SlotName::main(), Listing::new(), self.id(target)?);
        let what = Apply { set: &set, slot: &slot, base, target, roots: &self.roots, listing: &listing, now_ms: LATER };
        self.store.apply(&what).map(|_| ()).map_err(text)
    }
}

pub(super) fn set() -> SaveSet {
    SaveSet { player: player(), game_id: game() }
}

fn player() -> PlayerId {
    "00000000-0000-4000-8000-000000000001".parse().expect("BUG: a UUID")
}

fn game() -> GameId {
    GameId::new("game").expect("BUG: a legal id")
}

pub(super) fn lineage(number: u8) -> Lineage {
    let device = PeerId::from_spki_der(b"a device");
    Lineage {
        player: player(),
        game_id: game(),
        slot: SlotName::main(),
        parents: Vec::new(),
        device,
        hlc: Hlc { ms: u64::from(number), count: 0, device },
        created_at: u64::from(number),
        kind: SnapshotKind::Save,
        note: None,
    }
}

pub(super) fn text(e: SaveError) -> String {
    let cause = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
    format!("{e}{cause}")
}

impl Stage {
    /// A store that lists these versions, and this one live.
    pub(super) fn new(listed: &[u8], live: u8) -> Self {
        let mut disk = Disk::new();
        disk.plant("data/state.db", Content::of(b"beside the store"));
        disk.plant("live/debug.log", Content::of(b"the user's"));
        disk.plant("elsewhere/notes.txt", Content::of(b"the user's"));
        for number in listed {
            disk = with_live(disk, *number);
            let fs = ModelFs::over(disk, false);
            let world = World::open(Arc::new(fs.clone())).expect("BUG: the stage opens");
            world.put(*number).expect("BUG: the stage puts");
            disk = fs.disk();
            disk.sync_all();
        }
        disk = with_live(disk, live);
        let user = ["data/state.db", "live/debug.log", "elsewhere/notes.txt"];
        let user = user.iter().filter_map(|p| Some(((*p).to_owned(), disk.seen().file(p)?.clone()))).collect();
        Self { disk, live, listed: listed.to_vec(), copied: false, user, archive: None }
    }

    /// As a killed process leaves it: all objects of the live version have their names, and nothing of that is durable.
    fn killed_before_sync(live: u8) -> Self {
        let mut stage = Self::new(&[], live);
        let fs = ModelFs::over(stage.disk.clone(), false);
        let world = World::open(Arc::new(fs.clone())).expect("BUG: the stage opens");
        fs.record();
        world.capture().expect("BUG: the stage captures");
        let (moments, _) = fs.take_moments();
        let objects =
            |disk: &Disk| disk.seen().files_beneath("data/objects").iter().filter(|p| !p.starts_with(".new")).count();
        let named = moments.iter().find(|m| objects(&m.disk) == version(live).len());
        stage.disk = named.expect("BUG: the objects get their names").disk.clone();
        stage
    }
}

/// The disk with this version live, and no other file of a save.
fn with_live(disk: Disk, number: u8) -> Disk {
    let fs = ModelFs::over(disk, false);
    let live = |path: &str| FsPath::root().child(LIVE).child(path);
    for path in fs.disk().seen().files_beneath(LIVE).iter().filter(|p| !p.ends_with(".log")) {
        fs.remove_file(&live(path)).expect("BUG: it is there");
    }
    for folder in ["gone", "swap", "turn", "new/deep", "new"] {
        // Not all are there in each version.
        let _ = fs.remove_dir(&live(folder));
    }
    let mut disk = fs.disk();
    disk.sync_all();
    for (path, bytes) in version(number) {
        disk.plant(&format!("{LIVE}/{path}"), Content::of(bytes));
    }
    disk
}

/// Writes to a live file as a game does.
pub(super) fn play_on(fs: &dyn Fs) -> io::Result<()> {
    let at = FsPath::root().child(LIVE).child(PLAYED_AT);
    let file = fs.open_write(&at, OpenMode::Either)?;
    file.set_len(0)?;
    write_all_at(&*file, PLAYED_ON, 0)?;
    file.sync()?;
    fs.sync_dir(&FsPath::root().child(LIVE))
}

/// When the user writes to a live file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intrusion {
    Never,
    /// While new content is being staged.
    WhileStaging,
    /// After a crash, before the next start.
    AfterCrash,
}

/// What is done, and on which stage.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, for reports.
    pub name: &'static str,
    pub(super) stage: fn() -> Stage,
    pub(super) play: fn(&World, &ModelFs) -> Result<(), String>,
    pub(super) bulk: bool,
    pub(super) intrusion: Intrusion,
    /// Whether it can be asked for again after a crash, and then comes to its end.
    pub(super) again: bool,
}

impl Scenario {
    const fn new(name: &'static str, stage: fn() -> Stage, play: fn(&World, &ModelFs) -> Result<(), String>) -> Self {
        Self { name, stage, play, bulk: false, intrusion: Intrusion::Never, again: false }
    }

    const fn again(name: &'static str, stage: fn() -> Stage, play: fn(&World, &ModelFs) -> Result<(), String>) -> Self {
        Self { again: true, ..Self::new(name, stage, play) }
    }

    /// Whether it is a whole operation, which can be asked for again after a crash and then comes to its end.
    #[must_use]
    pub fn is_whole_operation(&self) -> bool {
        self.again
    }

    const fn in_bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    const fn intruded(self, intrusion: Intrusion) -> Self {
        Self { intrusion, ..self }
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scenario({})", self.name)
    }
}

/// Everything that is explored.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("put", || Stage::new(&[], 1), |w, fs| put(w, fs, 1)).in_bulk(),
    Scenario::new("put_next", || Stage::new(&[1], 3), |w, fs| put(w, fs, 3)),
    Scenario::new("put_after_kill", || Stage::killed_before_sync(1), |w, fs| put(w, fs, 1)),
    Scenario::new("apply", || Stage::new(&[2, 1], 1), |w, fs| apply(w, fs, Some(1), 2)),
    Scenario::new("apply_back", || Stage::new(&[1, 2], 2), |w, fs| apply(w, fs, Some(2), 1)),
    Scenario::new("apply_new", || Stage::new(&[2], 0), |w, fs| apply(w, fs, None, 2)),
    Scenario::new("apply_one_file", || Stage::new(&[4, 3], 3), |w, fs| apply(w, fs, Some(3), 4)),
    Scenario::new("apply_nothing", || Stage::new(&[0, 3], 3), |w, fs| apply(w, fs, Some(3), 0)),
    Scenario::new("apply_while_playing", || Stage::new(&[2, 1], 1), |w, fs| apply(w, fs, Some(1), 2))
        .intruded(Intrusion::WhileStaging),
    Scenario::new("apply_then_play", || Stage::new(&[2, 1], 1), |w, fs| apply(w, fs, Some(1), 2))
        .intruded(Intrusion::AfterCrash),
    Scenario::new("prune", || Stage::new(&[1, 2], 2), prune),
    Scenario::new("prune_while_putting", || Stage::new(&[1], 1), prune_while_putting),
    Scenario::again("prune_twice", || Stage::new(&[1, 2, 3, 4], 3), operations::prune),
    Scenario::again("prune_while_captured", || Stage::new(&[1, 2], 1), operations::prune_while_captured),
    Scenario::again("copy", || Stage::new(&[1, 2, 3], 3), operations::copy),
    Scenario::again("resolve_mine", operations::in_conflict, operations::resolve_mine),
    Scenario::again("resolve_theirs", operations::in_conflict, operations::resolve_theirs),
    Scenario::again("resolve_both", operations::in_conflict, operations::resolve_both),
    Scenario::again("roll_back", || Stage::new(&[1, 2], 3), operations::roll_back),
    Scenario::again("import", operations::with_archive, operations::import),
    Scenario::again("import_while_pruning", operations::with_archive, operations::import_while_pruning),
    Scenario::again("export", operations::to_be_exported, operations::export),
];

fn put(world: &World, fs: &ModelFs, number: u8) -> Result<(), String> {
    world.put(number)?;
    fs.ack(Ack::Save(Promise::Put(number)));
    Ok(())
}

fn apply(world: &World, fs: &ModelFs, base: Option<u8>, target: u8) -> Result<(), String> {
    fs.ack(Ack::Save(Promise::ApplyStarted(target)));
    world.apply(base, target)?;
    fs.ack(Ack::Save(Promise::Applied(target)));
    Ok(())
}

fn prune(world: &World, fs: &ModelFs) -> Result<(), String> {
    let id = world.id(1)?;
    fs.ack(Ack::Save(Promise::RemovalStarted(1)));
    world.store.remove_snapshots(&[id]).map_err(text)?;
    fs.ack(Ack::Save(Promise::Removed(1)));
    let marked = world.store.mark().map_err(text)?;
    world.store.sweep(marked).map(|_| ()).map_err(text)
}

/// A snapshot of content that the sweep has marked already, put before its second look.
fn prune_while_putting(world: &World, fs: &ModelFs) -> Result<(), String> {
    let id = world.id(1)?;
    fs.ack(Ack::Save(Promise::RemovalStarted(1)));
    world.store.remove_snapshots(&[id]).map_err(text)?;
    fs.ack(Ack::Save(Promise::Removed(1)));
    let marked = world.store.mark().map_err(text)?;
    // Version 1 again, put at another time.
    world.put(5)?;
    fs.ack(Ack::Save(Promise::Put(5)));
    world.store.sweep(marked).map(|_| ()).map_err(text)
}
