//! Which snapshots of a slot may be pruned.
//!
//! Owns one rule over what is stored: the newest ones the player asked for are kept, and whatever history still needs is
//! kept besides. Removing files is the shell's. It leaves the pruned ones in the lineage, as nodes without content, so that
//! a device that was away for long is still told from a stranger.
//!
//! Goal 1 comes before the limit: a device that is behind holds everything since its head, until it catches up or is
//! removed from the player's devices.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::SnapshotId;
use serde::{Deserialize, Serialize};

use super::lineage::{Lineage, Node};

/// How many versions of a slot are kept when the player says nothing else.
pub const KEEP_DEFAULT: usize = 10;

/// What is there of a slot, and what it is there for.
#[derive(Debug, Clone, Copy)]
pub struct Holdings<'a> {
    /// The ancestry, pruned snapshots included.
    pub lineage: &'a Lineage,
    /// Snapshots that are stored here.
    pub stored: &'a BTreeSet<SnapshotId>,
    /// Heads of every registered device of the player, connected or not.
    pub heads: &'a BTreeSet<SnapshotId>,
    /// Whether every registered device has said what its head is, or that it has none. Until then nothing is pruned: it
    /// may be at any of these snapshots.
    pub is_every_device_known: bool,
    /// Bases of every registered device.
    pub bases: &'a BTreeSet<SnapshotId>,
    /// Sides of conflicts that nobody has resolved.
    pub sides: &'a BTreeSet<SnapshotId>,
    /// What the player pinned.
    pub pins: &'a BTreeSet<SnapshotId>,
    /// Newest versions to keep, pins not counted.
    pub keep: usize,
}

/// Why a snapshot is kept. Of several reasons the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A device's head, or a snapshot of which none was made.
    Head,
    /// It was last applied on a device.
    Base,
    /// A side of a conflict.
    Side,
    /// The player pinned it.
    Pin,
    /// Needed to tell how heads that differ came apart: their lowest common ancestor, or between it and them.
    Between,
    /// The newest content before a deletion that is kept.
    BeforeDeletion,
    /// One of the newest.
    Recent,
    /// A device was not heard, or a snapshot that is missing here could be connected with it: it is not known what is
    /// needed.
    Uncertain,
}

/// What becomes of each stored snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retained {
    /// What stays, and why.
    pub keep: BTreeMap<SnapshotId, Reason>,
    /// What may go, oldest first, so that a prune that is cut short leaves the newer ones.
    pub prune: Vec<SnapshotId>,
}

/// What becomes of each stored snapshot.
#[must_use]
pub fn retain(h: &Holdings) -> Retained {
    let newest_first = h.lineage.newest_first();
    // Whatever is newest here is somebody's latest word, also when the device that said it was removed since.
    let heads: BTreeSet<SnapshotId> = h.heads.iter().copied().chain(h.lineage.tips()).collect();
    let mut keep = Keep { stored: h.stored, reasons: BTreeMap::new() };
    keep.all(&heads, Reason::Head);
    keep.all(h.bases, Reason::Base);
    keep.all(h.sides, Reason::Side);
    keep.all(h.pins, Reason::Pin);

    let ends: BTreeSet<SnapshotId> = heads.iter().chain(h.bases).chain(h.sides).copied().collect();
    let between = h.lineage.between(&ends);
    keep.all(&between.ids, Reason::Between);
    let recent = newest_first.iter().map(|n| n.id).filter(|id| h.stored.contains(id) && !h.pins.contains(id));
    keep.all(recent.take(h.keep).collect::<Vec<_>>().iter(), Reason::Recent);
    let is_known = |id: &&SnapshotId| h.lineage.get(id).is_some();
    let is_certain = between.is_complete && h.is_every_device_known;
    keep.all(h.stored.iter().filter(|id| !is_certain || !is_known(id)), Reason::Uncertain);
    let kept_deletions = newest_first.iter().filter(|n| n.is_deletion() && keep.reasons.contains_key(&n.id));
    let before: Vec<SnapshotId> = kept_deletions.flat_map(|n| before_deletion(h, n)).collect();
    keep.all(&before, Reason::BeforeDeletion);

    let reasons = keep.reasons;
    let known = newest_first.iter().rev().map(|n| n.id);
    let prune = known.filter(|id| h.stored.contains(id) && !reasons.contains_key(id)).collect();
    Retained { keep: reasons, prune }
}

struct Keep<'a> {
    stored: &'a BTreeSet<SnapshotId>,
    reasons: BTreeMap<SnapshotId, Reason>,
}

impl Keep<'_> {
    fn all<'i>(&mut self, ids: impl IntoIterator<Item = &'i SnapshotId>, reason: Reason) {
        for id in ids {
            if self.stored.contains(id) {
                self.reasons.entry(*id).or_insert(reason);
            }
        }
    }
}

/// The nearest snapshots with content above a deletion.
fn before_deletion(h: &Holdings, deletion: &Node) -> BTreeSet<SnapshotId> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut due = deletion.parents.clone();
    while let Some(id) = due.pop() {
        let Some(node) = h.lineage.get(&id).filter(|_| seen.insert(id)) else { continue };
        if node.is_deletion() || !h.stored.contains(&id) {
            due.extend(&node.parents);
        } else {
            found.insert(id);
        }
    }
    found
}

#[cfg(test)]
mod tests;
