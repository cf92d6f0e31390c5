//! Sees every event of every peer as it happens and looks at the disk behind it: what must hold at any moment is checked
//! here, and everything seen goes into one log that is a function of the seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_disk::fs::Fs;
use bonfire_engine::snapshot::{OperationKind, Phase};
use bonfire_engine::{ErrorClass, EventRecord, PeerEvent, Report, Snapshot};
use bonfire_proto::GameId;
use bonfire_proto::game::SENTINEL;
use tokio::time::Instant;

use super::shelf::{Shelf, payload};
use super::tally::Tally;
use crate::model_disk::{Content, Image, ModelFs, Node};

/// Lines of the log that a failure shows.
const SHOWN: usize = 80;
/// What may lie beside the games at the top of a games folder.
const TOP: [&str; 3] = ["catalog.json", ".catalog.json.tmp", ".bonfire.probe"];
/// Codes with which a download may end for good although a source is there.
const HONEST_FAILURES: [&str; 1] = ["game_changed"];

/// What is known of one seat.
#[derive(Debug, Default)]
struct Seat {
    /// The disk of the machine that runs.
    fs: Option<ModelFs>,
    /// Files that are a person's and that nothing may change, by path.
    personal: BTreeMap<String, Content>,
    /// Game roots that were found whole, and with which stamps.
    whole: BTreeMap<GameId, Vec<(String, i64)>>,
    next_seq: u64,
    /// Operations that a command was answered with and whose outcome has not come.
    owed: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    transferring: BTreeSet<u64>,
    /// Its disk was full in this life: what fails by that is no bug.
    troubled: bool,
    stopped: bool,
}

/// Everything seen in one run.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) shelf: Shelf,
    pub(super) tally: Tally,
    began: Instant,
    seats: Vec<Seat>,
    lines: Vec<String>,
    hash: blake3::Hasher,
    violations: Vec<String>,
}

impl Witness {
    pub(super) fn new(seats: usize) -> Self {
        Self {
            shelf: Shelf::default(),
            tally: Tally::default(),
            began: Instant::now(),
            seats: (0..seats).map(|_| Seat::default()).collect(),
            lines: Vec::new(),
            hash: blake3::Hasher::new(),
            violations: Vec::new(),
        }
    }

    /// Puts a line into the log.
    pub(super) fn note(&mut self, line: &str) {
        let line = format!("{:>9} {line}", self.began.elapsed().as_millis());
        self.hash.update(line.as_bytes()).update(b"\n");
        tracing::debug!("{line}");
        self.lines.push(line);
    }

    /// Something that must never be.
    pub(super) fn violation(&mut self, what: &str) {
        self.note(&format!("VIOLATION {what}"));
        self.violations.push(what.to_owned());
    }

    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    /// The log's hash.
    pub(super) fn digest(&self) -> [u8; 32] {
        *self.hash.finalize().as_bytes()
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// The end of the log.
    pub(super) fn tail(&self) -> String {
        self.lines[self.lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// A machine runs, from what is on this disk.
    pub(super) fn started(&mut self, seat: usize, fs: ModelFs) {
        let s = &mut self.seats[seat];
        s.fs = Some(fs);
        s.next_seq = 1;
        s.owed.clear();
        s.ended.clear();
        s.transferring.clear();
        s.stopped = false;
        s.troubled = false;
    }

    /// A machine's disk is full.
    pub(super) fn trouble(&mut self, seat: usize) {
        self.seats[seat].troubled = true;
        self.note(&format!("seat {seat} IS FULL"));
    }

    /// A machine is off.
    pub(super) fn off(&mut self, seat: usize) {
        self.seats[seat].fs = None;
    }

    /// A file of a person, to be left alone from here on; `None` when the person deleted it.
    pub(super) fn personal(&mut self, seat: usize, path: &str, content: Option<Content>) {
        match content {
            Some(c) => self.seats[seat].personal.insert(path.to_owned(), c),
            None => self.seats[seat].personal.remove(path),
        };
    }

    pub(super) fn personal_beneath(&self, seat: usize, game: &GameId) -> Vec<String> {
        let prefix = format!("{game}/");
        self.seats[seat].personal.keys().filter(|p| p.starts_with(&prefix)).cloned().collect()
    }

    /// A command was answered with an operation.
    pub(super) fn owes(&mut self, seat: usize, op: u64) {
        let s = &mut self.seats[seat];
        if !s.ended.contains(&op) {
            s.owed.insert(op);
        }
    }

    /// Operations promised by a reply that neither ended nor are active.
    pub(super) fn lost_ops(&self, seat: usize, snapshot: &Snapshot) -> Vec<u64> {
        let active: BTreeSet<u64> = snapshot.operations.iter().map(|o| o.op).collect();
        self.seats[seat].owed.difference(&active).copied().collect()
    }

    pub(super) fn has_stopped(&self, seat: usize) -> bool {
        self.seats[seat].stopped
    }

    /// A listener fell behind.
    pub(super) fn lagged(&mut self, seat: usize, by: u64) {
        self.violation(&format!("seat {seat}: the event listener fell {by} events behind"));
    }

    /// A peer told something. `snapshot` is what it shows at the same moment.
    pub(super) fn event(&mut self, seat: usize, record: &EventRecord, snapshot: &Arc<Snapshot>) {
        self.tally.events += 1;
        let text = serde_json::to_string(record).unwrap_or_else(|e| e.to_string());
        self.note(&format!("seat {seat} {text}"));
        let due = self.seats[seat].next_seq;
        if record.seq != due {
            self.violation(&format!("seat {seat}: event {} came where {due} was due", record.seq));
        }
        self.seats[seat].next_seq = record.seq + 1;
        if snapshot.seq < record.seq {
            self.violation(&format!("seat {seat}: event {} is told before the snapshot holds it", record.seq));
        }
        if self.seats[seat].stopped {
            self.violation(&format!("seat {seat}: an event after Stopped"));
        }
        self.content_of(seat, &record.event, snapshot);
        self.check_disk(seat);
    }

    fn content_of(&mut self, seat: usize, event: &PeerEvent, snapshot: &Snapshot) {
        match event {
            PeerEvent::ActiveOperationsChanged { operations } => {
                let games: BTreeSet<&GameId> = operations.iter().map(|o| &o.game).collect();
                if games.len() != operations.len() {
                    self.violation(&format!("seat {seat}: two operations on one game"));
                }
                for op in operations {
                    if self.seats[seat].ended.contains(&op.op) {
                        self.violation(&format!("seat {seat}: operation {} is active after its outcome", op.op));
                    }
                    if op.phase == Phase::Transferring {
                        self.seats[seat].transferring.insert(op.op);
                    }
                }
            }
            PeerEvent::DownloadFinished { op, reused_bytes, .. } => {
                self.tally.downloads += 1;
                self.tally.reused += u64::from(*reused_bytes > 0);
                self.ended(seat, *op);
            }
            PeerEvent::DownloadCancelled { op, game, removed_files, kept_files } => {
                self.tally.cancels += 1;
                self.tally.cancels_midway += u64::from(*removed_files > 0);
                self.ended(seat, *op);
                self.swept(seat, game, kept_files, snapshot);
            }
            PeerEvent::DownloadFailed { op, game, error, .. } => {
                self.ended(seat, *op);
                // What a person put there and no sentinel calls a version any more is theirs to move away.
                let theirs = error.code == "occupied" && self.shelf.has_by_hand(seat, game);
                let disk = self.seats[seat].troubled && error.class == ErrorClass::Environment;
                if !disk && !theirs && !HONEST_FAILURES.contains(&error.code.as_str()) {
                    self.violation(&format!("seat {seat}: a download failed: {} {error}", error.code));
                }
            }
            PeerEvent::DownloadPaused { .. } => self.tally.paused += 1,
            PeerEvent::SourceDropped { .. } => self.tally.sources_dropped += 1,
            PeerEvent::GameRemoved { op, .. } => {
                self.tally.removed += 1;
                self.ended(seat, *op);
            }
            PeerEvent::RemoveFailed { op, game, error } => {
                self.ended(seat, *op);
                // A person may have deleted the folder meanwhile.
                let is_there = |fs: &ModelFs| fs.disk().seen().node(game.as_str()).is_some();
                let disk = self.seats[seat].troubled && error.class == ErrorClass::Environment;
                if !disk && self.seats[seat].fs.as_ref().is_some_and(is_there) {
                    self.violation(&format!("seat {seat}: a removal failed: {error}"));
                }
            }
            PeerEvent::VerifyFinished { op, repaired_bytes, .. } => {
                self.tally.verified += 1;
                self.tally.repaired += u64::from(*repaired_bytes > 0);
                self.ended(seat, *op);
            }
            PeerEvent::VerifyFailed { op, .. } => self.ended(seat, *op),
            PeerEvent::Stopped => self.seats[seat].stopped = true,
            _ => {}
        }
        for error in errors_of(event) {
            if error.class == ErrorClass::Bug {
                self.violation(&format!("seat {seat}: a bug shows: {error}"));
            }
        }
    }

    fn ended(&mut self, seat: usize, op: u64) {
        let s = &mut self.seats[seat];
        s.owed.remove(&op);
        if !s.ended.insert(op) {
            self.violation(&format!("seat {seat}: operation {op} ended twice"));
        }
    }

    /// After a cancel settled nothing of the download is left, but for what it says it could not prove.
    fn swept(&mut self, seat: usize, game: &GameId, kept: &[String], snapshot: &Snapshot) {
        if snapshot.operations.iter().any(|o| o.game == *game) {
            return;
        }
        let Some(fs) = &self.seats[seat].fs else { return };
        let disk = fs.disk();
        let image = disk.seen();
        let left: Vec<String> = payload(image, game).into_iter().filter(|p| !kept.contains(p)).collect();
        let whole = image.file(&format!("{game}/{SENTINEL}")).is_some() && self.shelf.identify(image, game).is_some();
        if !left.is_empty() && !whole {
            self.violation(&format!("seat {seat}: a cancelled download of {game} left {left:?}"));
        }
        let scratch = [
            ".bonfire.part",
            ".bonfire.part.tmp",
            ".bonfire.download.tmp",
            ".version.ini.tmp",
            ".version.ini.discarded",
        ];
        for name in scratch.iter().filter(|n| image.node(&format!("{game}/{n}")).is_some()) {
            let what = format!("seat {seat}: a cancelled download of {game} left {name}");
            self.violations.push(what.clone());
            self.lines.push(what);
        }
    }

    /// What must hold of a games folder at any moment.
    pub(super) fn check_disk(&mut self, seat: usize) {
        let Some(fs) = &self.seats[seat].fs else { return };
        let disk = fs.disk();
        self.check_image(seat, disk.seen());
    }

    pub(super) fn check_image(&mut self, seat: usize, image: &Image) {
        let mut games: BTreeMap<GameId, Vec<(String, i64)>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for path in image.files_beneath("") {
            let personal = self.seats[seat].personal.contains_key(&path);
            match path.split_once('/') {
                None if personal || TOP.contains(&path.as_str()) => {}
                None => wrong.push(format!("{path} lies at the top of the games folder")),
                Some((game, _)) => match GameId::new(game) {
                    Ok(id) if self.shelf.knows(&id) => {
                        let time = match image.node(&path) {
                            Some(Node::File(_, time)) => *time,
                            _ => 0,
                        };
                        games.entry(id).or_default().push((path.clone(), time));
                    }
                    _ if personal => {}
                    _ => wrong.push(format!("{path} lies where no game is")),
                },
            }
        }
        for (path, content) in &self.seats[seat].personal {
            if image.file(path) != Some(content) {
                wrong.push(format!("{path} is a person's and was changed"));
            }
        }
        for (game, stamps) in games {
            if image.file(&format!("{game}/{SENTINEL}")).is_none() || self.seats[seat].whole.get(&game) == Some(&stamps)
            {
                continue;
            }
            if self.shelf.identify(image, &game).is_some() || self.shelf.adopt(seat, image, &game) {
                self.tally.whole += 1;
                self.seats[seat].whole.insert(game, stamps);
            } else {
                wrong.push(format!("{game} counts as downloaded: {}", self.shelf.difference(image, &game)));
            }
        }
        for what in wrong {
            self.violation(&format!("seat {seat}: {what}"));
        }
    }

    /// What must hold once nothing is under way: no payload without sentinel, and a snapshot that says what is there.
    pub(super) fn check_at_rest(&mut self, seat: usize, snapshot: &Snapshot) {
        let Some(fs) = &self.seats[seat].fs else { return };
        let disk = fs.disk();
        let image = disk.seen();
        let mut wrong = Vec::new();
        let entries = fs.list(&bonfire_disk::fs::FsPath::root()).unwrap_or_default();
        for entry in entries {
            let bonfire_disk::fs::EntryName::Utf8(name) = entry.name else { continue };
            let Ok(game) = GameId::new(name) else { continue };
            if !self.shelf.knows(&game) || snapshot.operations.iter().any(|o| o.game == game) {
                continue;
            }
            let downloaded = image.file(&format!("{game}/{SENTINEL}")).is_some();
            let mut left = payload(image, &game);
            left.retain(|path| !self.shelf.is_by_hand(seat, &game, path));
            // A repair that was stopped stays on record, to be gone on with.
            let recorded = image.node(&format!("{game}/.bonfire.part")).is_some();
            if !downloaded && !left.is_empty() && !recorded {
                wrong.push(format!("{game} has orphans at rest: {left:?}"));
            }
            let shown = snapshot.games.iter().find(|g| g.id == game);
            if shown.is_some_and(|g| g.downloaded) != downloaded {
                wrong.push(format!("{game}: shown as downloaded or not, against the disk ({downloaded})"));
            }
            if let (Some(version), Some(shown)) = (self.shelf.identify(image, &game), shown)
                && downloaded
                && version.label.to_string() != shown.version
            {
                wrong.push(format!("{game}: shown as version {}, is {}", shown.version, version.label));
            }
        }
        for what in wrong {
            self.violation(&format!("seat {seat}: {what}"));
        }
    }

    /// Whether a download has moved bytes.
    pub(super) fn is_downloading(snapshot: &Snapshot) -> bool {
        snapshot.operations.iter().any(|o| o.kind == OperationKind::Download && o.phase != Phase::Waiting)
    }
}

fn errors_of(event: &PeerEvent) -> Vec<&Report> {
    match event {
        PeerEvent::PeerRefused { error, .. }
        | PeerEvent::DownloadPaused { error, .. }
        | PeerEvent::DownloadFailed { error, .. }
        | PeerEvent::SourceDropped { error, .. }
        | PeerEvent::RemoveFailed { error, .. }
        | PeerEvent::VerifyFailed { error, .. }
        | PeerEvent::ProblemFound { error, .. } => vec![error],
        PeerEvent::ActiveOperationsChanged { operations } => {
            operations.iter().filter_map(|o| o.error.as_ref()).collect()
        }
        _ => Vec::new(),
    }
}
