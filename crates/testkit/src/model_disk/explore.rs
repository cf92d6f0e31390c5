//! The explorer: every moment of a transaction, every way a crash can leave it, recovery on each, crashes within
//! recovery, and errors at every operation; after each, what must be true.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bonfire_disk::fs::Fs;
use bonfire_disk::{FileStamp, GamesFolder, Recovered};
use bonfire_proto::ManifestFile;
use serde::Serialize;

use super::fs::{Failure, ModelFs, Moment};
use super::sabotage::{Bug, Sabotage};
use super::scenario::{self, Ack, GAME, Scenario, Stage, Version};
use super::state::{Disk, Image, Node};

/// What was downloaded, as the game root says; whether it is there is judged apart from the rest.
const NOTE: &str = ".bonfire.download";

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Moments with up to this many crash states are enumerated in full; 512 is nine pending steps of two outcomes.
    pub enumerate_to: usize,
    /// Crash states sampled at moments that have more, beside the systematic ones.
    pub samples: usize,
    /// Crash states tried at each moment within a recovery.
    pub nested: usize,
    /// Every how-many-th moment a process is also killed without a power cut.
    pub kill_every: usize,
    /// Every how-many-th operation gets an error injected, in each of the ways.
    pub fail_every: usize,
    /// Seed of the samples.
    pub seed: u64,
    /// Stop at the first violation.
    pub stop_early: bool,
}

/// What was tried and found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Moments at which a crash was tried.
    pub points: u64,
    /// Distinct disks that recovery was run on.
    pub states: u64,
    /// Crash states within recovery, among them.
    pub nested: u64,
    /// Kills without a power cut.
    pub kills: u64,
    /// Errors injected, each of which fired.
    pub errors: u64,
    /// Violations in all.
    pub violations: u64,
    /// The first few, in words.
    pub first: Vec<String>,
}

impl Report {
    pub(super) fn violation(&mut self, scenario: &str, at: &str, what: &str) {
        self.violations += 1;
        if self.first.len() < 10 {
            self.first.push(format!("{scenario}, {at}: {what}"));
        }
    }

    /// Adds another report's counts.
    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.states += other.states;
        self.nested += other.nested;
        self.kills += other.kills;
        self.errors += other.errors;
        self.violations += other.violations;
        self.first.extend(other.first);
        self.first.truncate(10);
    }
}

/// Explores a scenario, with a planted bug or without. Returns how often the bug did harm, too.
#[must_use]
pub fn explore(scenario: &Scenario, bug: Option<Bug>, effort: &Effort) -> (Report, u64) {
    let mut e = Explorer {
        scenario: *scenario,
        stage: (scenario.stage)(),
        bug,
        fired: Arc::default(),
        effort: *effort,
        seen: BTreeSet::new(),
        choice: Choice::new(effort.seed),
        report: Report::default(),
        stop: false,
        forgiving: false,
    };
    e.crashes();
    if effort.fail_every > 0 {
        e.errors();
    }
    (e.report, e.fired.load(Ordering::Relaxed))
}

/// Picks crash states where there are too many to try them all.
#[derive(Debug)]
pub(super) struct Choice {
    random: u64,
}

impl Choice {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed | 1 }
    }

    /// Ways in which a crash can leave the pending steps: all of them up to a number, else each lost, kept or torn alone
    /// as far as `samples` goes, and random ones.
    pub(super) fn ways_of(&mut self, disk: &Disk, enumerate_to: usize, samples: usize) -> Vec<Vec<usize>> {
        let ways = disk.ways();
        let count = disk.crash_count();
        if count <= enumerate_to {
            return (0..count)
                .map(|mut n| {
                    ways.iter()
                        .map(|w| {
                            let digit = n % w;
                            n /= w;
                            digit
                        })
                        .collect()
                })
                .collect();
        }
        let mut out = vec![vec![0; ways.len()], vec![1; ways.len()]];
        for i in 0..ways.len() {
            for digit in 0..ways[i] {
                let mut all = vec![1; ways.len()];
                all[i] = digit;
                out.push(all);
                let mut none = vec![0; ways.len()];
                none[i] = digit;
                out.push(none);
            }
        }
        // Systematic ones first in a random order when there are more than may be tried.
        while out.len() > samples.max(2) {
            let i = 2 + usize::try_from(self.next()).unwrap_or(0) % (out.len() - 2);
            out.swap_remove(i);
        }
        while out.len() < samples {
            out.push(ways.iter().map(|w| usize::try_from(self.next()).unwrap_or(0) % w).collect());
        }
        out
    }

    /// A step of splitmix64, its upper half.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) >> 33
    }
}

struct Explorer {
    scenario: Scenario,
    stage: Stage,
    bug: Option<Bug>,
    fired: Arc<AtomicU64>,
    effort: Effort,
    /// Fingerprint of a disk and what was promised by then.
    seen: BTreeSet<([u8; 32], usize)>,
    choice: Choice,
    report: Report,
    stop: bool,
    /// An error may have kept an empty folder.
    forgiving: bool,
}

impl Explorer {
    fn folder(&self, fs: &ModelFs) -> GamesFolder {
        let inner: Arc<dyn Fs> = Arc::new(fs.clone());
        scenario::wrapped(match self.bug {
            None => inner,
            Some(bug) => Arc::new(Sabotage::new(inner, bug, self.fired.clone())),
        })
    }

    fn fail(&mut self, at: &str, what: &str) {
        self.report.violation(self.scenario.name, at, what);
        self.stop |= self.effort.stop_early;
    }

    /// Whether syncs of everything, or syncs of one file each, are to be explored.
    fn is_worth(&self, bulk: bool) -> bool {
        match self.bug {
            Some(bug) => bulk == bug.needs_bulk(),
            None => !bulk || self.scenario.bulk,
        }
    }

    /// Plays the scenario once and crashes it at every step.
    fn crashes(&mut self) {
        for bulk in [false, true] {
            // What one sync of everything makes durable is no other state; only the way there is.
            if !self.is_worth(bulk) {
                continue;
            }
            let fs = ModelFs::over(self.stage.disk.clone(), bulk);
            let folder = self.folder(&fs);
            fs.record();
            if let Err(e) = (self.scenario.play)(&folder, &fs, &self.stage) {
                self.fail("played without a fault", &e);
            }
            let (moments, acks) = fs.take_moments();
            for (i, moment) in moments.iter().enumerate() {
                if self.stop {
                    return;
                }
                self.report.points += 1;
                let acks = &acks[..moment.acks];
                for ways in self.choice.ways_of(&moment.disk, self.effort.enumerate_to, self.effort.samples) {
                    let disk = moment.disk.crashed_with(&ways);
                    if self.seen.insert((disk.seen().fingerprint(), acks.len())) {
                        self.recover_from(disk, acks, &format!("step {i}, ways {ways:?}"), true);
                    }
                }
                if self.effort.kill_every > 0 && i % self.effort.kill_every == 0 {
                    self.report.kills += 1;
                    self.recover_from(moment.disk.clone(), acks, &format!("killed at step {i}"), true);
                }
            }
        }
    }

    /// Plays the scenario with an error at every operation, then starts anew.
    fn errors(&mut self) {
        self.forgiving = true;
        for bulk in [false, true] {
            if self.is_worth(bulk) {
                self.errors_with(bulk);
            }
        }
    }

    fn errors_with(&mut self, bulk: bool) {
        let fs = ModelFs::over(self.stage.disk.clone(), bulk);
        if let Err(e) = (self.scenario.play)(&self.folder(&fs), &fs, &self.stage) {
            self.fail("played without a fault", &e);
        }
        let kinds = [io::ErrorKind::StorageFull, io::ErrorKind::Other, io::ErrorKind::PermissionDenied];
        let total = fs.ops();
        for at in (0..total).step_by(self.effort.fail_every) {
            for (i, kind) in kinds.into_iter().enumerate() {
                for sticky in [false, true] {
                    if self.stop || (sticky && i == 1) {
                        continue;
                    }
                    let fs = ModelFs::over(self.stage.disk.clone(), bulk);
                    fs.fail(Some(Failure { at, sticky, kind }));
                    let folder = self.folder(&fs);
                    let outcome = (self.scenario.play)(&folder, &fs, &self.stage);
                    drop(folder);
                    let place = format!("{kind:?} at operation {at}{}", if sticky { " and after" } else { "" });
                    if let Err(text) = &outcome
                        && text.starts_with("VIOLATION")
                    {
                        self.fail(&place, text);
                    }
                    if fs.fired() == 0 {
                        self.fail(&place, "the error never fired");
                        continue;
                    }
                    self.report.errors += 1;
                    let (disk, acks) = (fs.disk(), fs.acks());
                    for (ways, how) in [(None, "restarted"), (Some(0), "all lost"), (Some(1), "all kept")] {
                        let disk = match ways {
                            None => disk.clone(),
                            Some(w) => disk.crashed_with(&vec![w; disk.ways().len()]),
                        };
                        if ways.is_none() || self.seen.insert((disk.seen().fingerprint(), acks.len())) {
                            self.recover_from(disk, &acks, &format!("{place}, {how}"), false);
                        }
                    }
                }
            }
        }
    }

    /// Runs recovery on a disk, checks what must be true, and crashes recovery itself.
    fn recover_from(&mut self, disk: Disk, acks: &[Ack], at: &str, nest: bool) {
        self.report.states += 1;
        let fs = ModelFs::over(disk.clone(), false);
        if nest {
            fs.record();
        }
        if let Err(what) = self.check(disk.seen(), &fs, acks) {
            self.fail(at, &what);
            return;
        }
        if !nest || self.effort.nested == 0 {
            return;
        }
        let (moments, _) = fs.take_moments();
        for (i, Moment { disk, .. }) in moments.iter().enumerate().skip(1) {
            for ways in self.choice.ways_of(disk, self.effort.nested, self.effort.nested) {
                if self.stop {
                    return;
                }
                let after = disk.crashed_with(&ways);
                if self.seen.insert((after.seen().fingerprint(), acks.len())) {
                    self.report.nested += 1;
                    self.recover_from(after, acks, &format!("{at}, then step {i} of recovery, ways {ways:?}"), false);
                }
            }
        }
    }

    fn check(&self, before: &Image, fs: &ModelFs, acks: &[Ack]) -> Result<(), String> {
        let folder = self.folder(fs);
        let found = folder.recover().map_err(|e| format!("recovery failed: {e}"))?;
        // Only the first run is crashed within; what follows would be the same moments again.
        let resumable = self.recovered(&found)?;
        let image = fs.disk().seen().clone();
        self.judge(before, &image, resumable, acks)?;
        self.note(&fs.disk(), resumable.is_some())?;

        let changes = fs.changes();
        let again = folder.recover().map_err(|e| format!("second recovery failed: {e}"))?;
        if fs.changes() != changes {
            return Err("a second recovery changes the disk".to_owned());
        }
        if self.recovered(&again)?.is_some() != resumable.is_some() {
            return Err("a second recovery sees another state".to_owned());
        }
        let after = fs.disk();
        if resumable.is_some() {
            self.both_ends(&after)?;
        } else {
            // What recovery says has to survive the next power cut.
            let lost = after.crashed(0);
            let fs = ModelFs::over(lost.clone(), false);
            let found = self.folder(&fs).recover().map_err(|e| format!("recovery after another cut: {e}"))?;
            let resumable = self.recovered(&found)?;
            self.judge(lost.seen(), fs.disk().seen(), resumable, acks)?;
            self.note(&fs.disk(), resumable.is_some())?;
        }
        Ok(())
    }

    /// A resumable download can be completed and can be cancelled, and both survive a power cut.
    fn both_ends(&self, disk: &Disk) -> Result<(), String> {
        let fs = ModelFs::over(disk.clone(), false);
        let mut d = self.folder(&fs).resume_download(&scenario::game()).map_err(|e| format!("cannot resume: {e:?}"))?;
        let new = self.stage.new;
        scenario::fetch(&mut d, new, &fs, None, false).map_err(|e| format!("cannot fetch: {e}"))?;
        d.commit().map_err(|e| format!("cannot commit: {e:?}"))?;
        for disk in [fs.disk(), fs.disk().crashed(0)] {
            match self.payload(disk.seen()) {
                Payload::New => {}
                other => return Err(format!("after resume and commit: {other:?}")),
            }
            self.note(&disk, false)?;
            self.user_files(disk.seen(), true)?;
        }
        let fs = ModelFs::over(disk.clone(), false);
        let d = self.folder(&fs).resume_download(&scenario::game()).map_err(|e| format!("cannot resume: {e:?}"))?;
        d.discard().map_err(|e| format!("cannot cancel: {e:?}"))?;
        for disk in [fs.disk(), fs.disk().crashed(0)] {
            match self.payload(disk.seen()) {
                Payload::None => {}
                other => return Err(format!("after resume and cancel: {other:?}")),
            }
            self.note(&disk, false)?;
            self.user_files(disk.seen(), false)?;
        }
        Ok(())
    }

    /// The verified bytes of a resumable download, if recovery speaks of one. Failures are violations.
    fn recovered(&self, found: &[Recovered]) -> Result<Option<u64>, String> {
        let mut out = None;
        for r in found {
            match r {
                Recovered::Resumable { verified_bytes, .. } => out = Some(*verified_bytes),
                Recovered::Failed { error, .. } => return Err(format!("recovery gave up: {error:?}")),
                Recovered::Install { .. } => return Err("recovery sees an install".to_owned()),
                Recovered::Completed { .. }
                | Recovered::Swept { .. }
                | Recovered::Discarded { .. }
                | Recovered::Unproven { .. } => {}
            }
        }
        Ok(out)
    }

    /// What must be true after recovery.
    fn judge(&self, before: &Image, image: &Image, resumable: Option<u64>, acks: &[Ack]) -> Result<(), String> {
        let has = |a: Ack| acks.contains(&a);
        self.user_files(image, resumable.is_some() || has(Ack::Begun))?;
        self.catalog(image, acks)?;
        let payload = self.payload(image);
        if self.scenario.name == "sentinel_by_hand" {
            return match (payload, has(Ack::SentinelWritten), has(Ack::SentinelStarted)) {
                (Payload::New, _, true) => Ok(()),
                (Payload::None, false, _) if image.node(&in_game("version.ini")).is_none() => Ok(()),
                (other, ..) => Err(format!("sentinel by hand: {other:?}")),
            };
        }
        if let Some(bytes) = resumable {
            if has(Ack::Committed) || has(Ack::Cancelled) || has(Ack::RemoveStarted) {
                return Err("resumable after its end was promised".to_owned());
            }
            let swept = |p: &String| p != "version.ini" && before.file(&in_game(p)).is_none();
            if has(Ack::CancelStarted) && self.stage.new.files.keys().any(swept) {
                return Err("resumable although its cancel has removed files".to_owned());
            }
            let promised = acks.iter().filter_map(|a| if let Ack::Checkpointed(n) = a { Some(*n) } else { None }).max();
            if promised.is_some_and(|n| bytes < n) {
                return Err(format!("{bytes} bytes verified, {promised:?} promised"));
            }
            return match (image.node(&in_game("version.ini")).is_some(), payload) {
                (false, _) | (true, Payload::Old | Payload::New) => Ok(()),
                (true, other) => Err(format!("resumable with a sentinel over {other:?}")),
            };
        }
        let ending = has(Ack::CancelStarted) || has(Ack::RemoveStarted);
        let cut_short = has(Ack::Cancelled) || has(Ack::Removed);
        match payload {
            Payload::New if !cut_short => Ok(()),
            Payload::Old if !has(Ack::Begun) && !has(Ack::Removed) => Ok(()),
            Payload::None if has(Ack::Committed) => Err("a committed game is gone".to_owned()),
            Payload::None if ending || (self.stage.old.is_none() && !has(Ack::Begun)) => {
                let root_stays = self.stage.user.iter().any(|(p, _)| p.starts_with(&format!("{GAME}/")));
                let root_stays = root_stays || self.forgiving || self.scenario.mounted;
                if cut_short && !root_stays && self.stage.found.is_empty() && image.node(GAME).is_some() {
                    return Err("an empty root is left after the end was promised".to_owned());
                }
                Ok(())
            }
            other => Err(format!("payload {other:?} after {acks:?}")),
        }
    }

    /// Where a version is whole that was downloaded, the note says so, of exactly these files as they are; where nothing
    /// of ours is, there is none.
    fn note(&self, disk: &Disk, resumable: bool) -> Result<(), String> {
        let folder = scenario::over(&ModelFs::over(disk.clone(), false));
        let note = folder.download_note(&scenario::game()).map_err(|e| format!("the note: {e}"))?;
        let by_hand = self.scenario.name == "sentinel_by_hand";
        let was_noted = self.stage.disk.seen().node(&in_game(NOTE)).is_some();
        let version = match self.payload(disk.seen()) {
            Payload::New if !by_hand => Some(self.stage.new),
            Payload::Old if was_noted => self.stage.old,
            Payload::None if resumable => return Ok(()),
            // What lies half done has its journal.
            Payload::Torn(_) => return Ok(()),
            _ => None,
        };
        match (note, version) {
            (None, None) => Ok(()),
            (Some(_), None) => Err("a note of what is not here".to_owned()),
            (None, Some(_)) => Err("nothing notes what was downloaded".to_owned()),
            (Some(note), Some(version)) => {
                let as_left = |f: &ManifestFile| match disk.seen().node(&in_game(f.path.as_str())) {
                    Some(Node::File(content, mtime_ns)) => {
                        note.is_as_left(&f.path, &FileStamp { size: content.len(), mtime_ns: *mtime_ns })
                    }
                    _ => false,
                };
                if note.manifest(&scenario::game()) != version.manifest {
                    return Err("the note is of another version".to_owned());
                }
                match version.manifest.files.iter().find(|f| !as_left(f)) {
                    Some(f) => Err(format!("{} is not what the note says", f.path)),
                    None => Ok(()),
                }
            }
        }
    }

    fn catalog(&self, image: &Image, acks: &[Ack]) -> Result<(), String> {
        let bytes = image.file("catalog.json").map(|c| c.to_vec());
        let (old, new) = (Some(scenario::OLD_CATALOG), Some(scenario::NEW_CATALOG));
        let got = bytes.as_deref();
        let fine =
            (got == old && !acks.contains(&Ack::CatalogWritten)) || (got == new && acks.contains(&Ack::CatalogStarted));
        let scratch = image.node(".catalog.json.tmp").is_some();
        if fine && !scratch { Ok(()) } else { Err(format!("catalog {got:?}, scratch {scratch}")) }
    }

    /// Every file of the user's is there with its bytes. Found payload may have become ours by being written to.
    fn user_files(&self, image: &Image, adopted: bool) -> Result<(), String> {
        for (path, content) in &self.stage.user {
            let is_found = path.strip_prefix("game/").is_some_and(|p| self.stage.found.iter().any(|f| f == p));
            if image.file(path) != Some(content) && !(adopted && is_found && image.file(path).is_some()) {
                return Err(format!("{path} of the user's is not what it was"));
            }
        }
        Ok(())
    }

    fn payload(&self, image: &Image) -> Payload {
        let user: BTreeSet<&str> = self.stage.user.iter().filter_map(|(p, _)| p.strip_prefix("game/")).collect();
        let present = image.files_beneath(GAME);
        let kept = |p: &str| user.contains(p) || self.stage.found.iter().any(|f| f == p);
        // An intent log that was there before stays, saying `None`.
        let is_record = |p: &&String| p.starts_with('.') && *p != NOTE && !user.contains(p.as_str());
        let log_stays = self.scenario.name == "update_with_intent_log";
        let records: Vec<&String> =
            present.iter().filter(is_record).filter(|p| !(log_stays && *p == ".lanspread.json")).collect();
        let is = |v: &Version| {
            v.files.iter().all(|(p, c)| image.file(&in_game(p)) == Some(c))
                && present.iter().all(|p| v.files.contains_key(p) || user.contains(p.as_str()) || p.starts_with('.'))
        };
        let unrecorded = records.is_empty();
        let in_transaction = !unrecorded && image.node(&in_game(".bonfire.part")).is_some();
        if is(self.stage.new) && (unrecorded || in_transaction) {
            Payload::New
        } else if self.stage.old.is_some_and(is) && (unrecorded || in_transaction) {
            Payload::Old
        } else if unrecorded && present.iter().all(|p| kept(p) || p == NOTE || (log_stays && p == ".lanspread.json")) {
            Payload::None
        } else if self.scenario.name == "repair"
            && (unrecorded || in_transaction)
            && self
                .stage
                .disk
                .seen()
                .files_beneath(GAME)
                .iter()
                .all(|p| image.file(&in_game(p)) == self.stage.disk.seen().file(&in_game(p)))
        {
            // What is to be repaired is a version of its own.
            Payload::Old
        } else {
            Payload::Torn(present)
        }
    }
}

fn in_game(path: &str) -> String {
    format!("{GAME}/{path}")
}

/// What of the payload is there.
#[derive(Debug)]
enum Payload {
    /// The old version, complete, and nothing else of ours but records.
    Old,
    /// The new version, likewise.
    New,
    /// Nothing of ours.
    None,
    /// Anything else: the files there.
    Torn(#[expect(dead_code, reason = "named in the words of a violation")] Vec<String>),
}
