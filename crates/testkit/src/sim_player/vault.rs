//! The store of snapshots of one simulated device: real snapshot bytes under their real ids, objects as content, and the
//! texts of those that are known only. Owns how a snapshot is made of what the engine asks for, by the engine's own rules.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::saves::decide::Measure;
use bonfire_engine::saves::join::{self, Content, Line, Parents, Stamp};
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::{Look, Make};
use bonfire_proto::save::{SaveEntry, Snapshot, content_hash, snapshot_id};
use bonfire_proto::{Digest, RelPath, SaveHash, SnapshotId};

/// The files of a save, by path beneath its root.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// A store of snapshots.
#[derive(Debug, Clone, Default)]
pub(super) struct Vault {
    /// Those with all of their objects.
    pub(super) whole: BTreeMap<SnapshotId, Vec<u8>>,
    /// Texts of those that are known only: a part of the database.
    pub(super) texts: BTreeMap<SnapshotId, Vec<u8>>,
    objects: BTreeMap<Digest, Vec<u8>>,
    /// What the bytes of an id say: they are read once, because what must hold is asked of all of them at every step.
    read: BTreeMap<SnapshotId, (Line, Node, Snapshot)>,
}

/// Why no snapshot came about.
#[derive(Debug)]
pub(super) enum Unmade {
    /// The look is not known: the device was started since.
    NoCapture,
    /// What it needs is not here.
    Missing(String),
}

impl Vault {
    pub(super) fn snapshot(&self, id: &SnapshotId) -> Option<Snapshot> {
        let is_here = self.whole.contains_key(id) || self.texts.contains_key(id);
        self.read.get(id).filter(|_| is_here).map(|(.., snapshot)| snapshot.clone())
    }

    /// The ids of a line that are here, whole or known only, with what is said of them.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (Line, Node)> + '_ {
        let all = self.whole.keys().chain(self.texts.keys().filter(|id| !self.whole.contains_key(id)));
        all.filter_map(|id| self.read.get(id)).map(|(line, node, _)| (line.clone(), node.clone()))
    }

    /// The files of a snapshot whose objects are here.
    pub(super) fn files(&self, id: &SnapshotId) -> Option<Files> {
        let (.., snapshot) = self.read.get(id).filter(|_| self.whole.contains_key(id))?;
        let read = |e: &SaveEntry| {
            let bytes = if e.size == 0 { Vec::new() } else { self.objects.get(&e.blake3)?.clone() };
            Some((e.path.as_str().to_owned(), bytes))
        };
        snapshot.entries.iter().map(read).collect()
    }

    /// What would have to be sent of a snapshot: its text and its objects.
    pub(super) fn parcel(&self, id: &SnapshotId) -> Option<(Vec<u8>, Option<Files>)> {
        let text = self.whole.get(id).or_else(|| self.texts.get(id))?;
        Some((text.clone(), self.files(id)))
    }

    /// Takes in what was sent.
    pub(super) fn take(&mut self, id: SnapshotId, text: Vec<u8>, files: Option<Files>) {
        self.read_once(id, &text);
        match files {
            Some(files) => {
                self.put_objects(&files);
                self.texts.remove(&id);
                self.whole.insert(id, text);
            }
            None if self.whole.contains_key(&id) => {}
            None => {
                self.texts.insert(id, text);
            }
        }
    }

    /// Makes and stores a snapshot.
    pub(super) fn make(
        &mut self,
        line: &Line,
        make: &Make,
        stamp: Stamp,
        played_ms: u64,
        captures: &BTreeMap<u64, Files>,
    ) -> Result<Node, Unmade> {
        let (parents, source) = match make {
            Make::Version { parents, .. } | Make::Tombstone { parents } | Make::Join { parents } => (parents, None),
            Make::Resolve { parents, content } => (parents, Some(content)),
            Make::Rollback { parents, to } => (parents, Some(to)),
        };
        let missing = |id: &SnapshotId| Unmade::Missing(format!("version {id} is not here"));
        let mut read = BTreeMap::new();
        for id in parents {
            read.insert(*id, self.snapshot(id).ok_or_else(|| missing(id))?);
        }
        let parents: Parents = read.iter().map(|(id, s)| (*id, s)).collect();
        let source = match source {
            Some(id) if self.whole.contains_key(id) => self.snapshot(id),
            Some(id) => return Err(missing(id)),
            None => None,
        };
        let built = match (make, source) {
            (Make::Version { capture, .. }, _) => {
                let files = captures.get(capture).ok_or(Unmade::NoCapture)?.clone();
                self.put_objects(&files);
                join::version(line, &parents, Content { played_ms, ..content_of(&files) }, stamp)
            }
            (Make::Tombstone { .. }, _) => join::tombstone(&parents, stamp),
            (Make::Resolve { .. }, Some(content)) => join::resolve(&parents, &content, stamp),
            (Make::Rollback { .. }, Some(to)) => join::rollback(&parents, &to, stamp),
            _ => {
                let edit = read.iter().filter(|(_, s)| s.files > 0).map(|(id, _)| id).next();
                if let Some(id) = edit.filter(|id| !self.whole.contains_key(id)) {
                    return Err(missing(id));
                }
                join::join(&parents)
            }
        };
        self.store(&built.map_err(|e| Unmade::Missing(e.to_string()))?)
    }

    /// Begins a line with another's content.
    pub(super) fn branch(&mut self, line: &Line, from: &SnapshotId, stamp: Stamp) -> Result<Node, Unmade> {
        let missing = || Unmade::Missing(format!("version {from} is not here"));
        let source = self.snapshot(from).filter(|_| self.whole.contains_key(from)).ok_or_else(missing)?;
        let built = join::branch(&source, line.slot.clone(), stamp);
        self.store(&built.map_err(|e| Unmade::Missing(e.to_string()))?)
    }

    fn store(&mut self, snapshot: &Snapshot) -> Result<Node, Unmade> {
        let bytes = snapshot.to_bytes().map_err(|e| Unmade::Missing(e.to_string()))?;
        let id = snapshot_id(&bytes);
        self.read_once(id, &bytes);
        self.whole.insert(id, bytes);
        Ok(Node::of(id, snapshot))
    }

    fn read_once(&mut self, id: SnapshotId, bytes: &[u8]) {
        if !self.read.contains_key(&id)
            && let Ok(snapshot) = Snapshot::from_bytes(bytes)
        {
            self.read.insert(id, (Line::of(&snapshot), Node::of(id, &snapshot), snapshot));
        }
    }

    /// Removes a snapshot and the objects that nothing needs any more. Its text stays.
    pub(super) fn prune(&mut self, ids: &[SnapshotId]) {
        for id in ids {
            if let Some(text) = self.whole.remove(id) {
                self.texts.insert(*id, text);
            }
        }
        let read = self.whole.keys().filter_map(|id| self.read.get(id));
        let needed: BTreeSet<Digest> = read.flat_map(|(.., s)| &s.entries).map(|e| e.blake3).collect();
        self.objects.retain(|hash, _| needed.contains(hash));
    }

    fn put_objects(&mut self, files: &Files) {
        for bytes in files.values().filter(|b| !b.is_empty()) {
            self.objects.insert(digest(bytes), bytes.clone());
        }
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

/// Files as a snapshot lists them.
pub(super) fn content_of(files: &Files) -> Content {
    let entry = |(path, bytes): (&String, &Vec<u8>)| {
        let path = RelPath::new(path.clone()).ok()?;
        Some(SaveEntry {
            path,
            size: bytes.len() as u64,
            mtime: 0,
            blake3: digest(bytes),
            archive: None,
            pieces: Vec::new(),
        })
    };
    let mut entries: Vec<SaveEntry> = files.iter().filter_map(entry).collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    let size = entries.iter().map(|e| e.size).sum();
    let (content_hash, files) = (content_hash(&entries), entries.len() as u64);
    Content { content_hash, files, size, played_ms: 0, entries, list: Vec::new() }
}

/// The hash of files.
pub(super) fn hash_of(files: &Files) -> SaveHash {
    content_of(files).content_hash
}

/// Files as a look finds them.
pub(super) fn look_at(files: &Files, capture: u64) -> Look {
    if files.is_empty() {
        return Look::Nothing;
    }
    let content = content_of(files);
    let measure = Measure { files: content.files, size: content.size };
    Look::Files { capture, content: content.content_hash, measure }
}
