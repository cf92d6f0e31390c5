//! The worker of a simulated device: looks, versions, applies, copies, fetches, pruning, each taking a random time in
//! which people write and devices crash. Owns what a real worker promises: an apply begins only over the content it was
//! told of, and never while the game runs.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::input::Input;
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::{Done, Look, Make};
use bonfire_engine::saves::work::{Checked, Placement, SaveInput, SaveJob, SaveWork, SetKey};
use bonfire_engine::trust::{RequestKind, gate};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::SnapshotId;
use bonfire_proto::save::Snapshot;

use super::machine::{Crash, Machine};
use super::planted::Planted;
use super::vault::{Files, Unmade, hash_of, look_at};
use super::world::World;

/// Work under way.
#[derive(Debug)]
pub(super) struct Run {
    job: SaveJob,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Not begun.
    Waiting,
    /// A look that began when the disk had been written to so often.
    Reading(u64),
    /// Done; this is to be said.
    Over(Box<SaveInput>),
}

/// Which work touches the disk of its set: of these one is under way at a time.
fn touches_disk(work: &SaveWork) -> bool {
    matches!(work, SaveWork::Look { .. } | SaveWork::Make { .. } | SaveWork::Apply { .. } | SaveWork::Copies { .. })
}

impl World {
    /// Takes on a piece of work.
    pub(super) fn begin(&mut self, m: usize, job: SaveJob) {
        self.stirred_at = self.now;
        self.acts += u64::from(!matches!(job.work, SaveWork::Look { .. } | SaveWork::IsRunning { .. }));
        self.note(format_args!("{m} job {} {:?}", job.line.slot, job.work));
        let set = SetKey::of(&job.line);
        let others = self.machines[m].runs.values().filter(|r| SetKey::of(&r.job.line) == set);
        if touches_disk(&job.work) && others.into_iter().any(|r| touches_disk(&r.job.work)) {
            self.wrong(format!("{m} has two pieces of work on one disk: {:?}", job.work));
        }
        if matches!(job.work, SaveWork::Apply { .. } | SaveWork::Copies { .. }) {
            self.check_may_write(m, &job.line, "is told to write");
        }
        if let SaveWork::Make { stamp, .. } | SaveWork::Branch { stamp, .. } = &job.work {
            self.check_clock(m, stamp.hlc);
        }
        let run = self.next_run;
        self.next_run += 1;
        self.machines[m].runs.insert(run, Run { job, stage: Stage::Waiting });
        let after = self.takes(1, 300);
        self.job_later(m, run, after);
    }

    /// Goes on with a piece of work.
    pub(super) fn go_on(&mut self, m: usize, id: u64) {
        let Some(run) = self.machines[m].runs.remove(&id) else { return };
        let Run { job, stage } = run;
        let over = match stage {
            Stage::Over(input) => return self.give(m, Input::Save(*input)),
            Stage::Waiting if matches!(job.work, SaveWork::Look { .. }) => {
                let writes = self.machines[m].disks.entry(SetKey::of(&job.line)).or_default().writes;
                let after = self.takes(1, 200);
                self.machines[m].runs.insert(id, Run { job, stage: Stage::Reading(writes) });
                return self.job_later(m, id, after);
            }
            Stage::Reading(writes) => {
                if self.crashes(m, Crash::InLook) {
                    return;
                }
                self.look(m, &job.line, writes, id)
            }
            Stage::Waiting => match self.work(m, &job) {
                Some(over) => over,
                None => return,
            },
        };
        let after = self.takes(1, 200);
        self.machines[m].runs.insert(id, Run { job, stage: Stage::Over(Box::new(over)) });
        self.job_later(m, id, after);
    }

    /// Carries work out, at one moment. `None` when the device crashed by it.
    fn work(&mut self, m: usize, job: &SaveJob) -> Option<SaveInput> {
        let line = job.line.clone();
        let set = SetKey::of(&line);
        Some(match &job.work {
            SaveWork::Look { .. } => return None,
            SaveWork::Make { make, stamp, played_ms } => {
                if self.is_full(m) {
                    return Some(SaveInput::Made(line, Done::Failed(no_space())));
                }
                self.check_make(m, &line, make);
                let machine = &mut self.machines[m];
                let made = machine.vault.make(&line, make, stamp.clone(), *played_ms, &machine.captures);
                let done = self.stored(m, &line, made);
                if let Done::Well(_) = done
                    && self.crashes(m, Crash::BetweenStoreAndRecord)
                {
                    return None;
                }
                SaveInput::Made(line, done)
            }
            SaveWork::Branch { from, stamp } => {
                let made = self.machines[m].vault.branch(&line, from, stamp.clone());
                let begun = match self.stored(m, &line, made) {
                    Done::Well(node) => Ok(node),
                    Done::Failed(error) => Err(error),
                    Done::Changed => Err(Report::new(ErrorClass::Bug, "no_capture", "a branch needs no look")),
                };
                SaveInput::Begun(line, begun, None)
            }
            SaveWork::Apply { place, from, to, pids } => {
                let (done, is_running) = self.apply(m, &line, place, *from, *to, pids);
                if done == Done::Well(()) && self.crashes(m, Crash::BetweenApplyAndRecord) {
                    return None;
                }
                SaveInput::Applied(line, done, is_running)
            }
            SaveWork::Copies { write, remove, .. } => {
                self.check_may_write(m, &line, "writes copies of");
                let disk = self.machines[m].disks.entry(set).or_default();
                disk.copies.retain(|id| !remove.contains(id));
                disk.copies.extend(write.iter().map(|(id, _)| *id));
                SaveInput::Copied(line, Done::Well(()))
            }
            SaveWork::Fetch { ids, sources } => {
                if self.crashes(m, Crash::InFetch) {
                    return None;
                }
                let (mut brought, mut is_cut) = (self.machines[m].store_seen(ids), false);
                for (_, conn) in sources {
                    let wanted: Vec<SnapshotId> =
                        ids.iter().filter(|id| !matches!(brought.get(*id), Some((_, true)))).copied().collect();
                    is_cut |= !self.fetch(m, &line, *conn, &wanted, &mut brought);
                }
                SaveInput::Fetched { line, asked: ids.clone(), brought: brought.into_values().collect(), is_cut }
            }
            SaveWork::Prune { ids } => {
                self.check_prune(m, &line, ids);
                self.machines[m].vault.prune(ids);
                SaveInput::Pruned(line, ids.clone(), None)
            }
            SaveWork::Verify { ids } => {
                let versions = ids.len() as u64;
                SaveInput::Verified(line, Checked { versions, ..Checked::default() })
            }
            SaveWork::IsRunning { pids, .. } => {
                let is_running = self.is_seen_running(m, &set, pids);
                SaveInput::Running(line, is_running)
            }
            SaveWork::Import { command, .. } | SaveWork::Export { command, .. } | SaveWork::Compare { command, .. } => {
                SaveInput::Answered(*command, Err(no_space()))
            }
        })
    }

    fn is_full(&mut self, m: usize) -> bool {
        let is_full = self.machines[m].is_full;
        if is_full {
            self.fired("disk full");
        }
        is_full
    }

    fn look(&mut self, m: usize, line: &Line, writes: u64, capture: u64) -> SaveInput {
        let set = SetKey::of(line);
        let is_running = self.is_seen_running(m, &set, &[]);
        let disk = self.machines[m].disks.entry(set).or_default();
        let (files, is_same) = (disk.files.clone(), disk.writes == writes);
        let look = if is_same {
            let look = look_at(&files, capture);
            self.machines[m].captures.insert(capture, files);
            look
        } else {
            self.fired("written to during a look");
            Look::Settling
        };
        SaveInput::Looked { line: line.clone(), look, is_running, problems: Vec::new() }
    }

    /// Whether the worker sees that the game runs: by its process, or by that of a session.
    fn is_seen_running(&self, m: usize, set: &SetKey, pids: &[u32]) -> bool {
        let disk = self.machines[m].disks.get(set);
        let by_name = disk.and_then(|d| d.game).is_some_and(|g| g.is_seen);
        by_name || (!pids.is_empty() && disk.is_some_and(|d| d.is_promised || d.game.is_some()))
    }

    fn stored(&mut self, m: usize, line: &Line, made: Result<Node, Unmade>) -> Done<Node> {
        match made {
            Ok(node) => {
                self.note(format_args!("{m} stored {} {:?} {}", node.id.0.short(), node.kind, node.content.0.short()));
                self.truth.made(line, &node);
                Done::Well(node)
            }
            Err(Unmade::NoCapture) => Done::Changed,
            Err(Unmade::Missing(why)) => {
                self.fired("not made for want of a version");
                Done::Failed(Report::new(ErrorClass::Environment, "missing", why).retryable())
            }
        }
    }

    fn apply(
        &mut self,
        m: usize,
        line: &Line,
        _place: &Placement,
        from: Option<SnapshotId>,
        to: SnapshotId,
        pids: &[u32],
    ) -> (Done<()>, bool) {
        let set = SetKey::of(line);
        if self.is_seen_running(m, &set, pids) {
            return (Done::Changed, true);
        }
        if self.is_full(m) {
            return (Done::Failed(no_space()), false);
        }
        let vault = &self.machines[m].vault;
        let before = from.map_or_else(|| Some(Files::new()), |id| vault.files(&id)).map(|files| hash_of(&files));
        let (Some(before), Some(after)) = (before, vault.files(&to)) else {
            self.fired("not applied for want of a version");
            let error = Report::new(ErrorClass::Environment, "missing", "a version is not stored whole").retryable();
            return (Done::Failed(error), false);
        };
        let disk = self.machines[m].disks.entry(set.clone()).or_default();
        let is_another = hash_of(&disk.files) != before;
        if is_another && !self.is_planted(Planted::NoLookBeforeApply) {
            self.fired("written to before an apply");
            return (Done::Changed, false);
        }
        self.check_may_write(m, line, "applies");
        self.check_kept(m, line);
        let machine = &mut self.machines[m];
        machine.journal.insert(set.clone(), (line.clone(), to));
        let disk = machine.disks.entry(set).or_default();
        disk.write(after);
        disk.applied = Some((line.clone(), to));
        (Done::Well(()), false)
    }

    /// Fetches from one source. `false` when it broke off.
    fn fetch(
        &mut self,
        m: usize,
        line: &Line,
        conn: bonfire_engine::input::ConnId,
        ids: &[SnapshotId],
        brought: &mut BTreeMap<SnapshotId, (Node, bool)>,
    ) -> bool {
        let Some(other) = self.other_end(conn).filter(|_| self.is_live(conn)) else { return false };
        if self.machines[other].engine.is_none() {
            return false;
        }
        let who = self.proven(m);
        let standing = self.machines[other].roster.standing(who, Some(line.player));
        if gate(RequestKind::GetSnapshots, Some(line.player), standing).is_err() {
            return true;
        }
        if !self.truth.ever.get(&line.player).is_some_and(|ever| ever.contains(&m)) {
            self.wrong(format!("isolation: {other} gives {m} a save of {}, whose device it never was", line.player));
        }
        if self.chance(self.faults.lies) {
            self.fired("a source that brings nothing");
            return true;
        }
        if self.chance(self.faults.lies) {
            self.fired("a fetch cut off");
            return false;
        }
        for id in ids {
            let Some((text, files)) = self.machines[other].vault.parcel(id) else { continue };
            let Ok(snapshot) = Snapshot::from_bytes(&text) else { continue };
            if Line::of(&snapshot) != *line {
                self.wrong(format!("{m} asks for {id} as one of {line:?}"));
                continue;
            }
            let files = if self.chance(self.faults.lies) {
                self.fired("a source that brings half");
                None
            } else if self.machines[m].is_full {
                self.fired("disk full in a fetch");
                None
            } else {
                files
            };
            let node = self.told_of(m, line, Node::of(*id, &snapshot));
            let vault = &mut self.machines[m].vault;
            vault.take(*id, text, files);
            let is_whole = vault.whole.contains_key(id);
            brought.insert(*id, (node, is_whole));
        }
        !self.machines[m].is_full
    }

    fn check_make(&mut self, m: usize, line: &Line, make: &Make) {
        let (parents, files) = match make {
            Make::Version { capture, parents } => (parents, self.machines[m].captures.get(capture).cloned()),
            Make::Tombstone { parents } => (parents, Some(Files::new())),
            _ => return,
        };
        if let Some(files) = files {
            self.check_version(m, line, parents, &files);
        }
    }
}

impl Machine {
    /// Stores what is known, and of which a look found all content. What is asked for and known, with whether it is whole.
    fn store_seen(&mut self, ids: &BTreeSet<SnapshotId>) -> BTreeMap<SnapshotId, (Node, bool)> {
        let mut found = BTreeMap::new();
        for id in ids {
            let Some(snapshot) = self.vault.snapshot(id) else { continue };
            let seen = self.captures.values().find(|files| hash_of(files) == snapshot.content_hash);
            if let (Some((text, None)), Some(files)) = (self.vault.parcel(id), seen) {
                self.vault.take(*id, text, Some(files.clone()));
            }
            found.insert(*id, (Node::of(*id, &snapshot), self.vault.whole.contains_key(id)));
        }
        found
    }
}

fn no_space() -> Report {
    Report::new(ErrorClass::Environment, "no_space", "no space left").retryable()
}
