//! The explorer of saves: every moment, every way a crash can leave it, a start on each, crashes within that start, and
//! errors at every operation; after each, what must be true.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::Outcome;

use super::bug::Bug;
use super::intruder::Intruder;
use super::judge::{self, Judge};
use super::sabotage::Sabotage;
use super::scenario::{Intrusion, Scenario, Stage, World, play_on, text};
use crate::model_disk::explore::{Choice, Effort, Report};
use crate::model_disk::fs::{Failure, ModelFs, Moment};
use crate::model_disk::scenario::Ack;
use crate::model_disk::state::Disk;

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
    };
    e.crashes();
    if effort.fail_every > 0 {
        e.errors();
    }
    (e.report, e.fired.load(Ordering::Relaxed))
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
}

impl Explorer {
    fn top(&self, fs: &ModelFs) -> Arc<dyn Fs> {
        let inner: Arc<dyn Fs> = Arc::new(fs.clone());
        match self.bug {
            None => inner,
            Some(bug) => Arc::new(Sabotage::new(inner, bug, self.fired.clone())),
        }
    }

    /// The product over a disk, with the planted bug in front of it.
    fn open(&self, top: Arc<dyn Fs>) -> Result<World, String> {
        let world = World::open(top).map_err(|e| format!("the store does not open: {}", text(e)))?;
        Ok(if self.bug == Some(Bug::LeaseDroppedEarly) { world.without_leases(self.fired.clone()) } else { world })
    }

    fn judge(&self, fs: &ModelFs, acks: &[Ack], intruded: bool) -> Result<(), String> {
        Judge { stage: &self.stage, acks, intruded }.judge(fs)
    }

    fn fail(&mut self, at: &str, what: &str) {
        self.report.violation(self.scenario.name, at, what);
        self.stop |= self.effort.stop_early;
    }

    /// Starts and does what the scenario does.
    fn play(&self, fs: &ModelFs) -> Result<(), String> {
        let top = match self.scenario.intrusion {
            Intrusion::WhileStaging => Arc::new(Intruder::new(self.top(fs), fs.clone())),
            _ => self.top(fs),
        };
        let world = self.open(top)?;
        let done = (self.scenario.play)(&world, fs);
        if self.scenario.intrusion != Intrusion::WhileStaging {
            return done;
        }
        match done {
            Err(e) if e.contains("not what was last applied") => Ok(()),
            Ok(()) => Err("applied over what the player did".to_owned()),
            other => other,
        }
    }

    /// Plays the scenario once and crashes it at every step.
    fn crashes(&mut self) {
        for bulk in [false, true] {
            if bulk && !(self.scenario.bulk && self.bug.is_none()) {
                continue;
            }
            let fs = ModelFs::over(self.stage.disk.clone(), bulk);
            fs.record();
            if let Err(e) = self.play(&fs) {
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
                        self.start_on(disk, acks, &format!("step {i}, ways {ways:?}"), true);
                    }
                }
                if self.effort.kill_every > 0 && i % self.effort.kill_every == 0 {
                    self.report.kills += 1;
                    self.start_on(moment.disk.clone(), acks, &format!("killed at step {i}"), true);
                }
            }
        }
    }

    /// Plays the scenario with an error at every operation, then starts anew.
    fn errors(&mut self) {
        let fs = ModelFs::over(self.stage.disk.clone(), false);
        if let Err(e) = self.play(&fs) {
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
                    self.error(Failure { at, sticky, kind });
                }
            }
        }
    }

    fn error(&mut self, failure: Failure) {
        let fs = ModelFs::over(self.stage.disk.clone(), false);
        fs.fail(Some(failure));
        let played = self.play(&fs);
        let Failure { at, sticky, kind } = failure;
        let place = format!("{kind:?} at operation {at}{}", if sticky { " and after" } else { "" });
        if fs.fired() == 0 {
            self.fail(&place, "the error never fired");
            return;
        }
        self.report.errors += 1;
        let (disk, acks) = (fs.disk(), fs.acks());
        // What failed and is not left for recovery changed nothing.
        let judge = Judge { stage: &self.stage, acks: &acks, intruded: false };
        if played.as_ref().is_err_and(|e| !e.contains("finished at the next start"))
            && let Err(what) = judge.live(disk.seen(), !judge.has_applied())
        {
            self.fail(&place, &format!("refused with {played:?}, and {what}"));
        }
        for (ways, how) in [(None, "restarted"), (Some(0), "all lost"), (Some(1), "all kept")] {
            let disk = match ways {
                None => disk.clone(),
                Some(w) => disk.crashed_with(&vec![w; disk.ways().len()]),
            };
            if ways.is_none() || self.seen.insert((disk.seen().fingerprint(), acks.len())) {
                self.start_on(disk, &acks, &format!("{place}, {how}"), false);
            }
        }
    }

    /// Starts on a disk, checks what must be true, and crashes the start itself.
    fn start_on(&mut self, disk: Disk, acks: &[Ack], at: &str, nest: bool) {
        self.report.states += 1;
        let fs = ModelFs::over(disk, false);
        let intruded = self.scenario.intrusion == Intrusion::AfterCrash;
        if intruded && play_on(&fs).is_err() {
            self.fail(at, "the player cannot write");
        }
        if nest {
            fs.record();
        }
        if let Err(what) = self.check(&fs, acks, intruded) {
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
                    self.report.states += 1;
                    let fs = ModelFs::over(after, false);
                    if let Err(what) = self.check(&fs, acks, intruded) {
                        self.fail(&format!("{at}, then step {i} of the start, ways {ways:?}"), &what);
                    }
                }
            }
        }
    }

    fn check(&self, fs: &ModelFs, acks: &[Ack], intruded: bool) -> Result<(), String> {
        self.start(fs)?;
        self.judge(fs, acks, intruded)?;
        let changes = fs.changes();
        self.start(fs)?;
        if fs.changes() != changes {
            return Err("a second start changes the disk".to_owned());
        }
        // What a start leaves has to survive the next power cut.
        let lost = ModelFs::over(fs.disk().crashed(0), false);
        self.start(&lost)
            .and_then(|()| self.judge(&lost, acks, intruded))
            .map_err(|e| format!("after another cut, {e}"))?;
        self.put_again(fs)?;
        if !self.scenario.again {
            return Ok(());
        }
        self.sweep_after(fs, acks).map_err(|e| format!("after a sweep, {e}"))?;
        self.play_again(fs, acks).map_err(|e| format!("done again, {e}"))
    }

    /// After the sweep of a start nothing is left that no snapshot needs, and all that one needs.
    fn sweep_after(&self, fs: &ModelFs, acks: &[Ack]) -> Result<(), String> {
        let fs = ModelFs::over(fs.disk(), false);
        self.open(self.top(&fs))?.sweep()?;
        self.judge(&fs, acks, false)?;
        judge::no_orphans(&fs)
    }

    /// Asked for once more, it comes to its end, and to the same one.
    fn play_again(&self, fs: &ModelFs, acks: &[Ack]) -> Result<(), String> {
        let fs = ModelFs::over(fs.disk(), false);
        acks.iter().for_each(|ack| fs.ack(*ack));
        (self.scenario.play)(&self.open(self.top(&fs))?, &fs)?;
        self.judge(&fs, &fs.acks(), false)?;
        judge::no_leftovers(&fs)
    }

    fn start(&self, fs: &ModelFs) -> Result<(), String> {
        let world = self.open(self.top(fs))?;
        for found in world.recover().map_err(|e| format!("recovery failed: {}", text(e)))? {
            if let Outcome::Waiting(e) = found.outcome {
                return Err(format!("recovery gave up: {}", text(e)));
            }
        }
        Ok(())
    }

    /// What lies there can be put, and is whole then: nothing torn passes for an object.
    fn put_again(&self, fs: &ModelFs) -> Result<(), String> {
        let fs = ModelFs::over(fs.disk(), false);
        let world = self.open(self.top(&fs))?;
        let id = world.put(9)?;
        let report = world.store.verify(&id, &|| true).map_err(text)?;
        if report.bad.is_empty() { Ok(()) } else { Err(format!("put anew and not whole: {:?}", report.bad)) }
    }
}
