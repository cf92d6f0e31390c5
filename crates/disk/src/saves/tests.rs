//! The store and the live files on a real disk; crashes are `crates/testkit/tests/crash_saves.rs`.

mod applying;
mod capturing;
mod copying;
mod exchanging;
mod storing;

use std::fs;
use std::path::{Path, PathBuf};

use bonfire_proto::{Digest, GameId, Hlc, PeerId, PlayerId, SlotName, SnapshotId, SnapshotKind};
use tempfile::TempDir;

use super::{Capture, Captured, Extent, Lineage, Listing, RootLabel, SaveRoot, SaveStore};

/// A data folder and a folder of live files.
struct Place {
    _dir: TempDir,
    data: PathBuf,
    live: PathBuf,
}

/// A wall clock at which every file of a test is long settled.
const LATER: i64 = 9_000_000_000_000;

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (data, live) = (dir.path().join("data"), dir.path().join("live"));
        fs::create_dir(&data).unwrap();
        fs::create_dir(&live).unwrap();
        Self { _dir: dir, data, live }
    }

    fn store(&self) -> SaveStore {
        SaveStore::open(crate::fs::real(&self.data).unwrap(), self.data.clone()).unwrap()
    }

    fn root(&self) -> SaveRoot {
        root("save", &self.live, &[], &[])
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let at = self.live.join(path);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, bytes).unwrap();
    }

    fn objects(&self) -> Vec<PathBuf> {
        files(&self.data.join("objects"))
    }
}

fn root(label: &str, folder: &Path, include: &[&str], ignore: &[&str]) -> SaveRoot {
    let patterns = |list: &[&str]| list.iter().map(|p| p.parse().unwrap()).collect();
    SaveRoot {
        label: RootLabel::new(label).unwrap(),
        folder: folder.to_owned(),
        fs: crate::fs::real(folder).unwrap(),
        include: patterns(include),
        ignore: patterns(ignore),
        extent: Extent::default(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let at = entry.unwrap().path();
        if at.is_dir() {
            out.extend(files(&at));
        } else {
            out.push(at);
        }
    }
    out.sort();
    out
}

fn whole(capture: Capture) -> Captured {
    match capture {
        Capture::Whole(captured) => *captured,
        Capture::Changing { path } => panic!("{path} changes"),
    }
}

fn capture(store: &SaveStore, roots: &[SaveRoot]) -> Captured {
    whole(store.capture(roots, &Listing::new(), LATER).unwrap())
}

fn lineage(created_at: u64, parents: Vec<SnapshotId>) -> Lineage {
    let device = PeerId::from_spki_der(b"a device");
    Lineage {
        player: "00000000-0000-4000-8000-000000000001".parse::<PlayerId>().unwrap(),
        game_id: GameId::new("doom").unwrap(),
        slot: SlotName::main(),
        parents,
        device,
        hlc: Hlc { ms: created_at, count: 0, device },
        created_at,
        kind: SnapshotKind::Save,
        note: None,
    }
}

/// Captures and puts a snapshot.
fn snapshot(store: &SaveStore, roots: &[SaveRoot], created_at: u64) -> SnapshotId {
    let captured = capture(store, roots);
    store.put_snapshot(&captured.snapshot(lineage(created_at, Vec::new())).to_bytes().unwrap()).unwrap()
}

/// Bytes that do not pack and do not repeat.
fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut out);
    out
}

fn hash(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}
