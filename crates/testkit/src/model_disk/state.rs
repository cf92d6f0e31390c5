//! What the model disk holds: the tree as programs see it, the tree as it would be after a power cut, and the steps
//! between the two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::content::Content;

/// Number of a file or folder, never used twice.
pub(super) type Ino = u32;

pub(super) const ROOT: Ino = 0;

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A regular file: its bytes and a logical time of change.
    File(Content, i64),
    /// A folder: names and numbers.
    Dir(BTreeMap<String, u32>),
    /// A link, to nowhere that matters.
    Link,
}

/// A tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub(super) nodes: BTreeMap<Ino, Arc<Node>>,
}

impl Image {
    fn new() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Arc::new(Node::Dir(BTreeMap::new())))]) }
    }

    /// The number of the node at a path.
    pub(super) fn find(&self, path: &str) -> Option<Ino> {
        let mut at = ROOT;
        for name in path.split('/').filter(|n| !n.is_empty()) {
            match &**self.nodes.get(&at)? {
                Node::Dir(names) => at = *names.get(name)?,
                _ => return None,
            }
        }
        Some(at)
    }

    /// The node at a path.
    #[must_use]
    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.find(path)?).map(|n| &**n)
    }

    /// The bytes of the file at a path.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<&Content> {
        match self.node(path)? {
            Node::File(c, _) => Some(c),
            _ => None,
        }
    }

    /// How many names lead to a node.
    pub(super) fn names_of(&self, node: Ino) -> u64 {
        let names = |n: &Arc<Node>| match &**n {
            Node::Dir(names) => names.values().filter(|ino| **ino == node).count() as u64,
            _ => 0,
        };
        self.nodes.values().map(names).sum()
    }

    /// Paths of all files and links beneath a path, relative to it, sorted.
    #[must_use]
    pub fn files_beneath(&self, path: &str) -> Vec<String> {
        let mut out = Vec::new();
        if let Some(ino) = self.find(path) {
            self.collect(ino, "", &mut out);
        }
        out.sort();
        out
    }

    fn collect(&self, ino: Ino, prefix: &str, out: &mut Vec<String>) {
        if let Some(Node::Dir(names)) = self.nodes.get(&ino).map(|n| &**n) {
            for (name, child) in names {
                match self.nodes.get(child).map(|n| &**n) {
                    Some(Node::Dir(_)) => self.collect(*child, &format!("{prefix}{name}/"), out),
                    Some(_) => out.push(format!("{prefix}{name}")),
                    None => {}
                }
            }
        }
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::Names(changes) => {
                for (dir, name, target) in changes {
                    let Some(Node::Dir(names)) = self.nodes.get_mut(dir).map(Arc::make_mut) else { continue };
                    match target {
                        Some(ino) => names.insert(name.clone(), *ino),
                        None => names.remove(name),
                    };
                }
            }
            Step::Write { ino, offset, bytes, time } => {
                if let Some(Node::File(c, t)) = self.nodes.get_mut(ino).map(Arc::make_mut) {
                    c.write(*offset, bytes);
                    *t = *time;
                }
            }
            Step::SetTime { ino, time } => {
                if let Some(Node::File(_, t)) = self.nodes.get_mut(ino).map(Arc::make_mut) {
                    *t = *time;
                }
            }
            Step::SetLen { ino, len, time } => {
                if let Some(Node::File(c, t)) = self.nodes.get_mut(ino).map(Arc::make_mut) {
                    c.set_len(*len);
                    *t = *time;
                }
            }
        }
    }

    /// Drops what no name leads to.
    fn collect_garbage(&mut self) {
        let mut seen = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(ino) = todo.pop() {
            if let Some(Node::Dir(names)) = self.nodes.get(&ino).map(|n| &**n) {
                todo.extend(names.values().copied().filter(|c| seen.insert(*c)));
            }
        }
        self.nodes.retain(|ino, _| seen.contains(ino));
    }

    /// A hash over names and bytes; times and numbers do not count.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut h = blake3::Hasher::new();
        self.feed(ROOT, &mut h);
        *h.finalize().as_bytes()
    }

    fn feed(&self, ino: Ino, h: &mut blake3::Hasher) {
        match self.nodes.get(&ino).map(|n| &**n) {
            Some(Node::Dir(names)) => {
                h.update(b"d").update(&(names.len() as u64).to_le_bytes());
                for (name, child) in names {
                    h.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
                    self.feed(*child, h);
                }
            }
            Some(Node::File(c, _)) => {
                h.update(b"f");
                c.feed(h);
            }
            Some(Node::Link) => {
                h.update(b"l");
            }
            None => {
                h.update(b"-");
            }
        }
    }
}

/// One step that is not durable yet.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Names that change together: (folder, name, what it stands for then).
    Names(Vec<(Ino, String, Option<Ino>)>),
    Write {
        ino: Ino,
        offset: u64,
        bytes: Arc<[u8]>,
        time: i64,
    },
    SetLen {
        ino: Ino,
        len: u64,
        time: i64,
    },
    SetTime {
        ino: Ino,
        time: i64,
    },
}

impl Step {
    /// The file or folder that it changes.
    fn place(&self) -> Ino {
        match self {
            Self::Names(changes) => changes.first().map_or(ROOT, |(dir, ..)| *dir),
            Self::Write { ino, .. } | Self::SetLen { ino, .. } | Self::SetTime { ino, .. } => *ino,
        }
    }

    /// In how many ways a crash can leave this step.
    pub(super) fn outcomes(&self) -> usize {
        match self {
            Self::Names(_) | Self::SetLen { .. } | Self::SetTime { .. } => 2,
            Self::Write { .. } => 4,
        }
    }

    /// What is left of the step: 0 nothing, 1 all, 2 the first half, 3 all bytes with the second half garbage.
    fn outcome(&self, which: usize) -> Option<Self> {
        match (which, self) {
            (0, _) => None,
            (2, Self::Write { ino, offset, bytes, time }) => {
                let half = bytes[..bytes.len() / 2].into();
                Some(Self::Write { ino: *ino, offset: *offset, bytes: half, time: *time })
            }
            (3, Self::Write { ino, offset, bytes, time }) => {
                let mut torn = bytes.to_vec();
                torn[bytes.len() / 2..].fill(0xA5);
                Some(Self::Write { ino: *ino, offset: *offset, bytes: torn.into(), time: *time })
            }
            _ => Some(self.clone()),
        }
    }
}

/// A disk at one moment.
#[derive(Debug, Clone)]
pub struct Disk {
    /// What programs see.
    pub(super) seen: Image,
    /// What a crash leaves if it loses every pending step.
    pub(super) durable: Image,
    /// Steps since, oldest first.
    pub(super) pending: Vec<Step>,
    next: Ino,
    clock: i64,
    /// Files that may not be written.
    protected: BTreeSet<Ino>,
    /// File systems of what does not lie on that of the games folder.
    devices: BTreeMap<Ino, u64>,
}

impl Disk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seen: Image::new(),
            durable: Image::new(),
            pending: Vec::new(),
            next: 1,
            clock: 1,
            protected: BTreeSet::new(),
            devices: BTreeMap::new(),
        }
    }

    /// What programs see.
    #[must_use]
    pub fn seen(&self) -> &Image {
        &self.seen
    }

    /// Puts a durable file (and the folders above it) there. For setting the stage.
    pub fn plant(&mut self, path: &str, content: Content) {
        let time = self.tick();
        self.plant_node(path, Node::File(content, time));
    }

    /// Puts a durable link there.
    pub fn plant_link(&mut self, path: &str) {
        self.plant_node(path, Node::Link);
    }

    /// Puts a durable second name of the file at `from` there.
    pub fn plant_name(&mut self, from: &str, path: &str) {
        let Some(ino) = self.seen.find(from) else { return };
        self.plant(path, Content::default());
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if let Some(dir) = self.seen.find(dir) {
            self.step(Step::Names(vec![(dir, name.to_owned(), Some(ino))]));
        }
        self.sync_all();
    }

    /// Puts what lies at a path and beneath it on another file system.
    pub fn mount(&mut self, path: &str) {
        let Some(ino) = self.seen.find(path) else { return };
        let device = self.devices.values().max().map_or(1, |d| d + 1);
        let mut todo = vec![ino];
        while let Some(ino) = todo.pop() {
            self.devices.insert(ino, device);
            if let Some(Node::Dir(names)) = self.seen.nodes.get(&ino).map(|n| &**n) {
                todo.extend(names.values());
            }
        }
    }

    /// The file system that a node lies on; 0 is that of the games folder.
    pub(super) fn device(&self, node: Ino) -> u64 {
        self.devices.get(&node).copied().unwrap_or(0)
    }

    /// Lets nobody write to the file at a path any more; it can be replaced and removed.
    pub fn protect(&mut self, path: &str) {
        self.protected.extend(self.seen.find(path));
    }

    pub(super) fn is_protected(&self, file: Ino) -> bool {
        self.protected.contains(&file)
    }

    fn plant_node(&mut self, path: &str, node: Node) {
        let (mut at, mut known) = (ROOT, String::new());
        let parts: Vec<&str> = path.split('/').collect();
        for (i, name) in parts.iter().enumerate() {
            known = format!("{known}/{name}");
            let last = i + 1 == parts.len();
            at = match self.seen.find(&known) {
                Some(ino) if !last => ino,
                _ => {
                    let new = if last { node.clone() } else { Node::Dir(BTreeMap::new()) };
                    let ino = self.create(at, new);
                    self.step(Step::Names(vec![(at, (*name).to_owned(), Some(ino))]));
                    ino
                }
            };
        }
        self.sync_all();
    }

    pub(super) fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    /// A new node on the file system of a folder, that no name leads to.
    pub(super) fn create(&mut self, dir: Ino, node: Node) -> Ino {
        let ino = self.next;
        self.next += 1;
        if let Some(device) = self.devices.get(&dir).copied() {
            self.devices.insert(ino, device);
        }
        let empty = match &node {
            Node::File(_, t) => Node::File(Content::default(), *t),
            other => other.clone(),
        };
        self.durable.nodes.insert(ino, Arc::new(empty));
        if let Node::File(c, time) = &node {
            // The bytes of a planted file are made durable with the rest.
            self.seen.nodes.insert(ino, Arc::new(Node::File(Content::default(), *time)));
            self.step(Step::SetLen { ino, len: c.len(), time: *time });
            for (offset, bytes) in c.pieces(0, c.len()) {
                self.step(Step::Write { ino, offset, bytes: bytes.into(), time: *time });
            }
        } else {
            self.seen.nodes.insert(ino, Arc::new(node));
        }
        ino
    }

    pub(super) fn step(&mut self, step: Step) {
        self.seen.apply(&step);
        self.pending.push(step);
    }

    pub(super) fn sync_file(&mut self, file: Ino) {
        self.settle(|s| match s {
            Step::Write { ino, .. } | Step::SetLen { ino, .. } | Step::SetTime { ino, .. } => *ino == file,
            Step::Names(_) => false,
        });
    }

    /// A sync of a file that failed: the system drops the bytes that were pending, while programs still see them. Its
    /// length is not lost for good: a file system that cannot write its own records stops altogether.
    pub(super) fn lose_file(&mut self, file: Ino) {
        self.pending.retain(|s| !matches!(s, Step::Write { ino, .. } if *ino == file));
    }

    pub(super) fn sync_dir(&mut self, folder: Ino) {
        self.settle(|s| matches!(s, Step::Names(changes) if changes.iter().any(|(dir, ..)| *dir == folder)));
    }

    /// Makes everything durable.
    pub(super) fn sync_all(&mut self) {
        self.settle(|_| true);
    }

    /// Makes everything on one file system durable.
    pub(super) fn sync_device(&mut self, device: u64) {
        let devices = self.devices.clone();
        self.settle(|s| devices.get(&s.place()).copied().unwrap_or(0) == device);
    }

    /// As `lose_file`, for all files on one file system.
    pub(super) fn lose_device(&mut self, device: u64) {
        let devices = &self.devices;
        self.pending.retain(|s| match s {
            Step::Write { ino, .. } => devices.get(ino).copied().unwrap_or(0) != device,
            _ => true,
        });
    }

    fn settle(&mut self, which: impl Fn(&Step) -> bool) {
        let (now, later): (Vec<Step>, Vec<Step>) = std::mem::take(&mut self.pending).into_iter().partition(which);
        for step in &now {
            self.durable.apply(step);
        }
        self.pending = later;
    }

    /// In how many ways a power cut now can leave the disk, saturating.
    #[must_use]
    pub fn crash_count(&self) -> usize {
        self.pending.iter().fold(1usize, |n, s| n.saturating_mul(s.outcomes()))
    }

    /// The disk after a power cut that leaves each pending step in the given way, the number counting through them all
    /// as digits. Number 0 loses every step.
    #[must_use]
    pub fn crashed(&self, mut number: usize) -> Self {
        let digits: Vec<usize> = self
            .pending
            .iter()
            .map(|s| {
                let n = s.outcomes();
                let digit = number % n;
                number /= n;
                digit
            })
            .collect();
        self.crashed_with(&digits)
    }

    /// As `crashed`, with the way of each pending step: 0 lost, 1 kept, 2 and 3 (writes) torn.
    #[must_use]
    pub fn crashed_with(&self, ways: &[usize]) -> Self {
        let mut image = self.durable.clone();
        for (step, way) in self.pending.iter().zip(ways) {
            if let Some(left) = step.outcome(*way % step.outcomes()) {
                image.apply(&left);
            }
        }
        image.collect_garbage();
        Self {
            seen: image.clone(),
            durable: image,
            pending: Vec::new(),
            next: self.next,
            clock: self.clock,
            protected: self.protected.clone(),
            devices: self.devices.clone(),
        }
    }

    /// The outcomes of each pending step.
    #[must_use]
    pub fn ways(&self) -> Vec<usize> {
        self.pending.iter().map(Step::outcomes).collect()
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}
