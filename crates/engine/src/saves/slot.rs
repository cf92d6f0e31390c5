//! One slot on this device: what is known of it, what it is busy with, and what it wants done next.
//!
//! Owns the base, the lineage, the heads that other devices told, the last look at the disk, the player's wish, and at most
//! one piece of disk work at a time. Every input only changes what is known; `next_step` (`plan.rs`) asks the table (`decide`)
//! and answers with one step. Refuses to hold bytes or file lists: a look is known by a number and a hash, an apply by a snapshot's id.
//! What must be durable before anyone hears of it is `record`.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::save::SnapshotKind;
use bonfire_proto::{PeerId, SaveHash, SnapshotId};

use super::decide::{Action, Decision, Measure, Row};
use super::lineage::{Lineage, Node};
use crate::report::{ErrorClass, Report};

mod plan;
mod words;

pub use words::{Done, Look, Make, SlotRecord, Standing, Step, Wish};

/// What occupies the disk of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Busy {
    Look,
    Make { becomes_base: bool },
    Apply { to: SnapshotId },
    Copies { write: BTreeSet<SnapshotId>, remove: BTreeSet<SnapshotId> },
    Keep { base: SnapshotId },
}

/// One slot on this device.
#[derive(Debug, Clone)]
pub struct Slot {
    me: PeerId,
    lineage: Lineage,
    record: SlotRecord,
    /// What other devices said of themselves: their head, and the newest that they hold whole.
    told: BTreeMap<PeerId, BTreeSet<SnapshotId>>,
    /// Snapshots all of whose objects are here.
    whole: BTreeSet<SnapshotId>,
    /// Snapshots that were pruned here: not fetched again as history.
    let_go: BTreeSet<SnapshotId>,
    /// Snapshots that nobody who was asked has.
    nowhere: BTreeSet<SnapshotId>,
    /// Whether everyone who could have a snapshot can be asked: only then `nowhere` says that it is lost.
    is_everyone_here: bool,
    fetching: BTreeSet<SnapshotId>,
    /// A base that could not be stored.
    unkept: Option<SnapshotId>,
    seen: Option<Look>,
    is_stale: bool,
    is_running: bool,
    /// The files on the disk are those of another slot.
    is_off_disk: bool,
    /// The player said that what is on the disk is meant.
    is_released: bool,
    /// The player wants the base back where nothing is left.
    is_restoring: bool,
    wish: Option<Wish>,
    busy: Option<Busy>,
    /// Stands still until `retry`.
    failure: Option<Report>,
    decision: Option<Decision>,
}

impl Slot {
    /// A slot as it was left on the device `me`: its record, and the snapshots that are stored with whether all of their
    /// objects are.
    #[must_use]
    pub fn restore(me: PeerId, record: SlotRecord, stored: impl IntoIterator<Item = (Node, bool)>) -> Self {
        let mut slot = Self {
            me,
            lineage: Lineage::default(),
            record,
            told: BTreeMap::new(),
            whole: BTreeSet::new(),
            let_go: BTreeSet::new(),
            nowhere: BTreeSet::new(),
            is_everyone_here: true,
            fetching: BTreeSet::new(),
            unkept: None,
            seen: None,
            is_stale: true,
            is_running: false,
            is_off_disk: false,
            is_released: false,
            is_restoring: false,
            wish: None,
            busy: None,
            failure: None,
            decision: None,
        };
        for (node, is_whole) in stored {
            slot.take_in(node, is_whole);
        }
        if slot.record.base.is_some_and(|base| slot.lineage.get(&base).is_none()) {
            // Its snapshot is lost: what is on the disk is compared with nothing, and becomes history of its own.
            slot.record.base = None;
        }
        slot.catch_up(me);
        slot
    }

    /// What has to be durable before the next step is carried out and before others hear of this slot.
    #[must_use]
    pub fn record(&self) -> &SlotRecord {
        &self.record
    }

    /// Every snapshot that is known here.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The newest snapshots all of whose objects are here: what this device can give to others.
    #[must_use]
    pub fn have(&self) -> BTreeSet<SnapshotId> {
        self.lineage.maximal(&self.whole)
    }

    /// Snapshots all of whose objects are here.
    #[must_use]
    pub fn whole(&self) -> &BTreeSet<SnapshotId> {
        &self.whole
    }

    /// Whether a snapshot was pruned here.
    #[must_use]
    pub fn has_let_go(&self, id: &SnapshotId) -> bool {
        self.let_go.contains(id)
    }

    /// Whether a piece of disk work is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Whether the game runs here, as it was last said.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// Whether nothing is under way, fetched or to be looked at: what `standing` says is the last word for now.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.busy.is_none() && self.fetching.is_empty() && (!self.is_stale || self.record.is_untracked)
    }

    /// Whether the player's wish waits to be carried out.
    #[must_use]
    pub fn has_wish(&self) -> bool {
        self.wish.is_some()
    }

    /// All heads there are, as far as is known here.
    #[must_use]
    pub fn heads(&self) -> BTreeSet<SnapshotId> {
        let all = self.told.values().flatten().copied().chain(self.record.base).chain(self.held_tips()).collect();
        self.lineage.maximal(&all)
    }

    /// The newest versions of the lineage that are held here. One that is only known counts while a device says that it has
    /// it: what was pruned everywhere, and came to look like a newest one because what followed it is forgotten, can
    /// neither be chosen nor be waited for.
    fn held_tips(&self) -> impl Iterator<Item = SnapshotId> {
        self.lineage.tips().into_iter().filter(|id| self.whole.contains(id))
    }

    /// The sides of a conflict besides what is on the disk; empty without one.
    #[must_use]
    pub fn sides(&self) -> BTreeSet<SnapshotId> {
        match self.decision.as_ref().map(|d| &d.action) {
            Some(Action::Conflict { with, .. }) => with.iter().copied().collect(),
            _ => BTreeSet::new(),
        }
    }

    /// The row of the table that applied last.
    #[must_use]
    pub fn row(&self) -> Option<Row> {
        self.decision.as_ref().map(|d| d.row)
    }

    /// Why it stands still, when disk work failed.
    #[must_use]
    pub fn failure(&self) -> Option<&Report> {
        self.failure.as_ref()
    }

    /// How it stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        if self.record.is_untracked {
            return Standing::Untracked;
        }
        let Some(decision) = &self.decision else { return Standing::Unknown };
        match decision.action {
            _ if self.failure.is_some() => Standing::Waiting,
            Action::Conflict { .. } => Standing::Conflict,
            Action::HoldAndAsk => Standing::Held,
            Action::Defer => Standing::Deferred,
            Action::WaitAndRetry => Standing::Waiting,
            Action::RecordOnly => Standing::Untracked,
            _ if self.busy.is_some() || self.is_stale => Standing::Working,
            Action::OfferOurs => Standing::Ahead,
            Action::Nothing => Standing::Current,
            _ => Standing::Working,
        }
    }

    /// What another device said of itself, or one that heard it: its head, and the newest snapshots that it holds whole.
    /// Both empty when it was removed. What it holds counts although nobody's head is there: a version that was made and
    /// then left behind by a crash, or by a device that is gone, must not be seen by one device alone.
    pub fn told(&mut self, device: PeerId, head: Option<SnapshotId>, have: impl IntoIterator<Item = SnapshotId>) {
        let all: BTreeSet<SnapshotId> = have.into_iter().chain(head).collect();
        if all.is_empty() {
            self.told.remove(&device);
        } else {
            self.told.insert(device, all);
        }
        // Whoever has something new may have what nobody had before.
        self.nowhere.clear();
    }

    /// Others can be asked than before; `is_everyone` when that is every device of the player.
    pub fn sources_changed(&mut self, is_everyone: bool) {
        self.is_everyone_here = is_everyone;
        self.nowhere.clear();
    }

    /// These were removed from the store, because nothing needs them: they are fetched again only for a wish.
    pub fn pruned(&mut self, ids: impl IntoIterator<Item = SnapshotId>) {
        for id in ids {
            self.whole.remove(&id);
            self.let_go.insert(id);
        }
    }

    /// These are in the store no more, and are missed.
    pub fn lost(&mut self, ids: impl IntoIterator<Item = SnapshotId>) {
        for id in ids {
            self.whole.remove(&id);
        }
    }

    /// The disk is this slot's from here on, and holds this snapshot. Nothing may be under way.
    pub fn place(&mut self, base: Option<SnapshotId>) {
        self.record.base = base;
        (self.seen, self.decision, self.is_stale) = (None, None, true);
    }

    /// Something changed in the folders of the save, or a look that was put off is due.
    pub fn stirred(&mut self) {
        self.is_stale = true;
    }

    /// What a look found.
    pub fn looked(&mut self, look: Look) {
        self.busy = None;
        if self.seen.as_ref().map(content_of) != Some(content_of(&look)) {
            self.is_released = false;
        }
        self.seen = Some(look);
    }

    /// A snapshot that was asked for is stored, or is not.
    pub fn made(&mut self, done: Done<Node>) {
        let Some(Busy::Make { becomes_base }) = self.busy.take() else { return };
        match done {
            Done::Well(node) => {
                let id = node.id;
                self.take_in(node, true);
                if becomes_base {
                    self.record.base = Some(id);
                    self.is_released = false;
                }
            }
            Done::Changed => self.is_stale = true,
            Done::Failed(error) => self.failure = Some(error),
        }
    }

    /// The disk is what an apply was to make it, or is not.
    pub fn applied(&mut self, done: Done<()>) {
        let Some(Busy::Apply { to }) = self.busy.take() else { return };
        match done {
            Done::Well(()) => {
                self.record.base = Some(to);
                self.seen = self.lineage.get(&to).map(seen_of);
                // It may have been written to since.
                self.is_stale = true;
            }
            Done::Changed => self.is_stale = true,
            Done::Failed(error) => self.failure = Some(error),
        }
    }

    /// Conflict copies are written and removed, or are not.
    pub fn copied(&mut self, done: Done<()>) {
        let Some(Busy::Copies { write, remove }) = self.busy.take() else { return };
        match done {
            Done::Well(()) => {
                self.record.copies.retain(|id| !remove.contains(id));
                self.record.copies.extend(write);
            }
            Done::Changed => self.is_stale = true,
            Done::Failed(error) => self.failure = Some(error),
        }
    }

    /// What a fetch of `asked` brought, each with whether all of its objects came. `nobody` has those of `asked`, and of
    /// what is missing above them, that nobody connected has.
    pub fn fetched(
        &mut self,
        asked: &BTreeSet<SnapshotId>,
        brought: impl IntoIterator<Item = (Node, bool)>,
        nobody: impl IntoIterator<Item = SnapshotId>,
    ) {
        self.fetching.retain(|id| !asked.contains(id));
        for (node, is_whole) in brought {
            self.take_in(node, is_whole);
        }
        if let Some(Busy::Keep { base }) =
            self.busy.take_if(|b| matches!(b, Busy::Keep { base } if asked.contains(base)))
        {
            self.unkept = Some(base).filter(|base| !self.whole.contains(base));
        }
        self.nowhere.extend(nobody);
    }

    /// Whether the game runs here.
    pub fn running(&mut self, is_running: bool) {
        self.is_running = is_running;
        self.is_stale |= !is_running;
    }

    /// Whether the files on the disk are this slot's. Copies of a conflict that lie beside another slot's files go.
    pub fn on_disk(&mut self, is_here: bool) {
        self.is_off_disk = !is_here;
    }

    /// Takes part in the slot again, or no longer.
    pub fn track(&mut self, is_tracked: bool) {
        self.record.is_untracked = !is_tracked;
        self.is_stale = true;
        if !is_tracked {
            self.wish = None;
            self.is_restoring = false;
        }
    }

    /// Answers what is held: what is on the disk is meant, deletion included.
    ///
    /// # Errors
    /// Refused when nothing is held.
    pub fn release(&mut self) -> Result<(), Report> {
        if self.standing() != Standing::Held {
            return Err(refused("not_held", "nothing is held: the save on the disk is what it should be"));
        }
        self.is_released = true;
        Ok(())
    }

    /// Answers what is held: the disk gets back what history has. What is left on it becomes a version first.
    ///
    /// # Errors
    /// Refused when nothing is held.
    pub fn restore_disk(&mut self) -> Result<(), Report> {
        self.release()?;
        if self.seen == Some(Look::Nothing) {
            // Nothing is left to keep, and nobody else need see a deletion that was none.
            self.is_released = false;
            self.is_restoring = true;
        } else {
            self.wish = self.record.base.map(Wish::Rollback);
        }
        Ok(())
    }

    /// Takes in a wish. It is carried out as soon as what is on the disk is in history; a later wish replaces it.
    ///
    /// # Errors
    /// Refused for a slot that this device leaves alone, a conflict that is none, a snapshot that is not known.
    pub fn wish(&mut self, wish: Wish) -> Result<(), Report> {
        if self.record.is_untracked {
            return Err(refused("untracked", "this device leaves the slot alone; track it first"));
        }
        match &wish {
            Wish::Resolve(_) if self.sides().is_empty() => {
                return Err(refused("no_conflict", "there is no conflict to resolve"));
            }
            Wish::Resolve(id) | Wish::Rollback(id) if self.lineage.get(id).is_none() => {
                return Err(Report::new(ErrorClass::NotFound, "unknown_snapshot", format!("no snapshot {id} here")));
            }
            Wish::Rollback(_) | Wish::Delete if !self.sides().is_empty() => {
                return Err(refused("in_conflict", "there is a conflict in this slot; resolve it first"));
            }
            Wish::Delete if self.record.base.is_none() => {
                return Err(refused("no_save", "there is no save to delete"));
            }
            _ => {}
        }
        self.wish = Some(wish);
        Ok(())
    }

    /// Has another attempt made at what failed.
    pub fn retry(&mut self) {
        self.failure = None;
        self.ask_again();
        self.is_stale = true;
    }

    /// What nobody had may be asked for again.
    pub fn ask_again(&mut self) {
        self.nowhere.clear();
        self.unkept = None;
    }

    fn take_in(&mut self, node: Node, is_whole: bool) {
        if is_whole {
            self.whole.insert(node.id);
        }
        if is_whole {
            self.let_go.remove(&node.id);
        }
        self.nowhere.remove(&node.id);
        self.lineage.insert(node);
    }

    /// After a crash between storing a version and recording it: what this device took from its disk on top of the base is
    /// what its disk was.
    fn catch_up(&mut self, me: PeerId) {
        loop {
            let base = self.record.base;
            let is_next = |n: &&Node| {
                n.device == me
                    && n.kind == SnapshotKind::Save
                    && n.parents.len() == 1
                    && n.parents.first() == base.as_ref()
            };
            let Some(next) = self.lineage.nodes().filter(is_next).map(|n| n.id).min() else { return };
            self.record.base = Some(next);
        }
    }
}

fn content_of(look: &Look) -> Option<SaveHash> {
    match look {
        Look::Files { content, .. } => Some(*content),
        Look::Nothing | Look::Unreadable | Look::Settling => None,
    }
}

/// What the disk is right after a snapshot was applied. There is no capture of it: if it is to be made a version, it is
/// another by then, and looked at before.
fn seen_of(node: &Node) -> Look {
    if node.is_deletion() {
        return Look::Nothing;
    }
    Look::Files { capture: 0, content: node.content, measure: Measure { files: node.files, size: node.size } }
}

fn refused(code: &str, text: &str) -> Report {
    Report::new(ErrorClass::Refused, code, text)
}

#[cfg(test)]
mod tests;
