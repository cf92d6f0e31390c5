//! What a slot does next: the situation as the table wants it, its answer as one step, and the player's wish once the disk
//! is what the base is.
//!
//! Owns the order: a look first when something stirred, then the table, then copies that are over, then the wish, then
//! history that nobody waits for.

use std::collections::BTreeSet;

use bonfire_proto::SnapshotId;

use super::super::decide::{Action, Disk, Measure, Other, Side, Situation, decide, is_shrunk};
use super::super::lineage::{Node, Relation};
use super::{Busy, Look, Make, Slot, Step, Wish};

/// Most snapshots asked for in one step that nobody waits for: older history that is not here yet.
const HISTORY_BATCH: usize = 16;

impl Slot {
    /// What is wanted next; `None` when nothing is, or one piece of disk work is under way. To be called until it says
    /// `None`, and again after every input.
    pub fn next_step(&mut self) -> Option<Step> {
        if self.busy.is_some() || self.failure.is_some() {
            return None;
        }
        if self.is_stale && !self.record.is_untracked {
            self.is_stale = false;
            return self.begin(Busy::Look, Step::Look);
        }
        self.recognise();
        loop {
            let situation = self.situation();
            let decision = decide(&situation);
            self.decision = Some(decision.clone());
            let sides = self.sides();
            if let Some(base) = self.base_to_keep(&situation.disk, &decision.action) {
                return self.begin(Busy::Keep { base }, Step::Keep(base));
            }
            match decision.action {
                Action::Adopt { to } => {
                    self.record.base = Some(to);
                    continue;
                }
                Action::FastForward { to } => {
                    let from = self.record.base;
                    return self.begin(Busy::Apply { to }, Step::Apply { from, to });
                }
                Action::ApplyNew { to } => return self.begin(Busy::Apply { to }, Step::Apply { from: None, to }),
                Action::Join { heads } | Action::EditSurvives { heads, .. } => {
                    return self.make(false, Make::Join { parents: heads.into_iter().collect() });
                }
                Action::SnapshotFirst | Action::SnapshotAndAnnounce => {
                    let Some(Look::Files { capture, .. }) = self.seen else { return None };
                    return self.make(true, Make::Version { capture, parents: self.base_alone() });
                }
                Action::Tombstone => return self.make(true, Make::Tombstone { parents: self.base_alone() }),
                Action::Fetch { heads } => {
                    // What is here already and still not understood waits for what is missing above it.
                    let news: Vec<SnapshotId> = heads.into_iter().filter(|id| !self.whole.contains(id)).collect();
                    let wanted = if news.is_empty() { self.lineage.missing().into_iter().collect() } else { news };
                    if let Some(step) = self.fetch(wanted) {
                        return Some(step);
                    }
                }
                Action::HoldAndAsk if self.is_restoring && !self.is_running => {
                    self.is_restoring = false;
                    let to = self.record.base?;
                    return self.begin(Busy::Apply { to }, Step::Apply { from: None, to });
                }
                Action::Conflict { ref copies, .. } => {
                    let written = &self.record.copies;
                    let write: BTreeSet<_> = copies.iter().filter(|id| !written.contains(id)).copied().collect();
                    let remove: BTreeSet<_> = written.difference(&sides).copied().collect();
                    if !write.is_empty() || !remove.is_empty() {
                        return self.copies(write, remove);
                    }
                    if let Some(step) =
                        self.fetch(sides.iter().copied().filter(|id| !self.whole.contains(id)).collect())
                    {
                        return Some(step);
                    }
                }
                _ => {}
            }
            let may_remove = !self.record.is_untracked || self.is_off_disk;
            if sides.is_empty() && !self.record.copies.is_empty() && may_remove {
                let remove = self.record.copies.clone();
                return self.copies(BTreeSet::new(), remove);
            }
            return self.fulfil(&situation.disk, &sides).or_else(|| self.fetch_history());
        }
    }

    /// The base, where the disk holds it and the store does not: it was only heard of before the disk was found to be it.
    fn base_to_keep(&self, disk: &Disk, action: &Action) -> Option<SnapshotId> {
        let Disk::Clean(base) = disk else { return None };
        let is_settled = !matches!(action, Action::Adopt { .. } | Action::RecordOnly);
        (is_settled && !self.whole.contains(&base.id) && self.unkept != Some(base.id)).then_some(base.id)
    }

    /// Carries out the wish, once the disk is what the base is. Where nothing is, sides can be chosen from as well.
    fn fulfil(&mut self, disk: &Disk, sides: &BTreeSet<SnapshotId>) -> Option<Step> {
        let base = match (disk, &self.wish) {
            (Disk::Clean(base), _) => Some(*base),
            (Disk::Absent, Some(Wish::Resolve(_))) => None,
            _ => return None,
        };
        let content = match self.wish.as_ref()? {
            Wish::Resolve(id) | Wish::Rollback(id) => Some(*id),
            Wish::Delete => None,
        };
        if let Some(id) = content.filter(|id| !self.whole.contains(id)) {
            return self.fetch(vec![id]);
        }
        let make = match self.wish.take()? {
            Wish::Resolve(content) => {
                let mut parents = sides.clone();
                parents.extend(base.map(|base| base.id));
                // Settled meanwhile, here or elsewhere.
                if sides.is_empty() {
                    return None;
                }
                Make::Resolve { parents: self.lineage.maximal(&parents), content }
            }
            Wish::Rollback(to) if base.is_some_and(|base| to == base.id) => return None,
            Wish::Rollback(to) => Make::Rollback { parents: self.base_alone(), to },
            Wish::Delete if base.is_some_and(|base| base.is_deletion) => return None,
            Wish::Delete => Make::Tombstone { parents: self.base_alone() },
        };
        self.make(false, make)
    }

    fn fetch(&mut self, ids: Vec<SnapshotId>) -> Option<Step> {
        let wanted: BTreeSet<SnapshotId> =
            ids.into_iter().filter(|id| !self.fetching.contains(id) && !self.nowhere.contains(id)).collect();
        if wanted.is_empty() {
            return None;
        }
        self.fetching.extend(&wanted);
        Some(Step::Fetch(wanted))
    }

    /// Older snapshots that are named here and not held whole, a few at a time.
    fn fetch_history(&mut self) -> Option<Step> {
        if !self.fetching.is_empty() {
            return None;
        }
        let named = self.told.values().flatten().copied().filter(|id| self.lineage.get(id).is_none());
        let missing: Vec<SnapshotId> = named.chain(self.lineage.missing()).collect();
        let wanted = |id: &SnapshotId| !self.whole.contains(id) && !self.let_go.contains(id);
        let known = self.lineage.newest_first().into_iter().map(|n| n.id).filter(wanted);
        let wanted = missing.into_iter().chain(known).filter(|id| !self.nowhere.contains(id)).take(HISTORY_BATCH);
        let wanted = wanted.collect();
        self.fetch(wanted)
    }

    fn make(&mut self, becomes_base: bool, make: Make) -> Option<Step> {
        self.begin(Busy::Make { becomes_base }, Step::Make(make))
    }

    fn copies(&mut self, write: BTreeSet<SnapshotId>, remove: BTreeSet<SnapshotId>) -> Option<Step> {
        self.begin(Busy::Copies { write: write.clone(), remove: remove.clone() }, Step::Copies { write, remove })
    }

    fn begin(&mut self, busy: Busy, step: Step) -> Option<Step> {
        self.busy = Some(busy);
        Some(step)
    }

    /// Takes the disk for a known version that has its content: equal content is always safe to adopt, and another version
    /// of it would be one too many. With a base that is its nearest descendant; without one (the database is lost, or the
    /// files were copied here by hand) the likeliest (`Lineage::likeliest`), so that what came after it is no other side.
    fn recognise(&mut self) {
        let Some(Look::Files { content, .. }) = &self.seen else { return };
        let same = self.lineage.with_content(*content).map(|n| n.id);
        let is_older = |a: SnapshotId, b: SnapshotId| self.lineage.relation(a, b) == Relation::Ancestor;
        let taken = match (self.disk(), self.record.base) {
            (Disk::Dirty, Some(base)) => {
                let newer: Vec<SnapshotId> = same.filter(|id| is_older(base, *id)).collect();
                newer.iter().filter(|id| newer.iter().all(|other| !is_older(*other, **id))).min().copied()
            }
            (Disk::Present(_), None) => self.lineage.likeliest(&same.collect(), self.me),
            _ => None,
        };
        if taken.is_some() {
            self.record.base = taken;
        }
    }

    fn base_alone(&self) -> BTreeSet<SnapshotId> {
        self.record.base.into_iter().collect()
    }

    fn situation(&self) -> Situation {
        Situation {
            disk: self.disk(),
            others: self.others(),
            is_tracked: !self.record.is_untracked,
            is_running: self.is_running,
        }
    }

    fn disk(&self) -> Disk {
        let base = self.record.base.and_then(|id| self.lineage.get(&id));
        let (content, measure) = match &self.seen {
            None | Some(Look::Settling) => return Disk::Settling,
            Some(Look::Unreadable) => return Disk::Unreadable,
            Some(Look::Nothing) => (None, Measure { files: 0, size: 0 }),
            Some(Look::Files { content, measure, .. }) => (Some(*content), *measure),
        };
        match (base, content) {
            (None, None) => Disk::Absent,
            (None, Some(content)) => Disk::Present(content),
            (Some(base), content) => {
                let is_same = content.map_or(base.is_deletion(), |c| c == base.content);
                let measured = Measure { files: base.files, size: base.size };
                if is_same {
                    Disk::Clean(Side { id: base.id, content: base.content, is_deletion: base.is_deletion() })
                } else if is_shrunk(measured, measure) && !self.is_released {
                    Disk::Shrunk
                } else if content.is_none() {
                    Disk::Deleted
                } else {
                    Disk::Dirty
                }
            }
        }
    }

    fn others(&self) -> Vec<Other> {
        let told = self.told.values().flatten().copied();
        let mut ids: BTreeSet<SnapshotId> = told.chain(self.held_tips()).collect();
        if let Some(base) = self.record.base {
            ids.remove(&base);
        }
        let missing = self.lineage.missing();
        let is_hopeless = self.is_everyone_here && missing.iter().all(|id| self.nowhere.contains(id));
        let other = |id: SnapshotId| {
            let node = self.lineage.get(&id);
            let relation = self.record.base.map_or(Relation::Unknown, |base| self.lineage.relation(base, id));
            let relation = match relation {
                // What could connect them is nowhere: a person decides.
                Relation::Unknown if is_hopeless && node.is_some() => Relation::Diverged,
                relation => relation,
            };
            Other {
                id,
                relation,
                content: node.map(|n| n.content),
                is_deletion: node.is_some_and(Node::is_deletion),
                is_fetched: self.whole.contains(&id),
            }
        };
        self.lineage.maximal(&ids).into_iter().map(other).collect()
    }
}
