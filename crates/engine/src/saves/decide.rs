//! What to do with one slot on this device: its disk and the heads of all devices in, one row of the table and one action
//! out.
//!
//! Pure and total: every input has exactly one answer. Owns the table (`row.rs` has its texts) and the measure of a disk
//! that lost too much. Refuses to compare times: the newest never wins. Carrying an action out, asking again when something
//! changed, and telling the player are the shell's.
//!
//! Three things hold of every answer. Only `FastForward`, `ApplyNew` and the copies of a `Conflict` write files of the
//! save, and each only over a disk that history has already. What makes a snapshot only adds to history, which is always
//! safe; the head and the disk follow in a later decision, when the new snapshot is one of the `others`. What is not known
//! is waited for, and never taken for nothing.

mod row;

use std::collections::BTreeSet;

use bonfire_proto::{SaveHash, SnapshotId};
use serde::{Deserialize, Serialize};

use super::lineage::Relation;

pub use row::Row;

/// A snapshot as one side of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    /// Which one.
    pub id: SnapshotId,
    /// Hash of its content.
    pub content: SaveHash,
    /// Whether it says that there is no save (`Node::is_deletion`).
    pub is_deletion: bool,
}

/// What is on the disk, compared by content with the base: the snapshot that was last applied here or taken from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// No base, and no file of the save set.
    Absent,
    /// No base, and files with this content.
    Present(SaveHash),
    /// The content of the base, which is this.
    Clean(Side),
    /// Another content than the base.
    Dirty,
    /// Missing, empty or shrunk against the base (`is_shrunk`), and the player has not said that it is meant. Once they
    /// did it is `Dirty`, or `Deleted`.
    Shrunk,
    /// Deleted by the player through us, and that is not in history yet.
    Deleted,
    /// It could not be read, with a base or without.
    Unreadable,
    /// It changed within the settle time, or while it was read, with a base or without.
    Settling,
}

/// A newest snapshot besides the base: the head of another device, or one that was made or fetched here and is not
/// applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Other {
    /// Which one.
    pub id: SnapshotId,
    /// How our base stands to it (`Lineage::relation(base, id)`): `Ancestor` when it was made from ours. Ignored without
    /// base. When every device that could have what is missing has said that it has not, the shell passes `Diverged` for
    /// `Unknown`, and a person decides.
    pub relation: Relation,
    /// Hash of its content; absent while the snapshot itself is not here.
    pub content: Option<SaveHash>,
    /// Whether it says that there is no save. `false` while that is not known.
    pub is_deletion: bool,
    /// Whether all of its objects are here.
    pub is_fetched: bool,
}

/// All that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Situation {
    /// What is on the disk.
    pub disk: Disk,
    /// The newest snapshots besides the base, none twice and none an ancestor of another (`Lineage::maximal`), in any
    /// order. Those that are equal to the base or older may be among them: they are the devices that ours is offered to.
    pub others: Vec<Other>,
    /// Whether this device takes part in the slot.
    pub is_tracked: bool,
    /// Whether the game runs here.
    pub is_running: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// Nothing: all is in step.
    Nothing,
    /// Nothing here; another device is behind and may have ours.
    OfferOurs,
    /// Fetch these snapshots, what is missing above them, and their objects, then decide again.
    Fetch {
        /// Which, by id.
        heads: Vec<SnapshotId>,
    },
    /// Bring the disk from the base to this snapshot. Immediately before the rename look again whether the disk still has
    /// the content of the base, and decide again if not; record base and head last. A deletion removes what the base lists.
    FastForward {
        /// The new base and head.
        to: SnapshotId,
    },
    /// Write this snapshot where there is nothing. Immediately before the rename look again whether there is still
    /// nothing.
    ApplyNew {
        /// The new base and head.
        to: SnapshotId,
    },
    /// Record this snapshot as base and head; the disk has its content. Its objects may still be on their way.
    Adopt {
        /// The new base and head.
        to: SnapshotId,
    },
    /// Make the snapshot that joins these of equal content (`join::join`), the same on every device.
    Join {
        /// Its parents, by id.
        heads: Vec<SnapshotId>,
    },
    /// Make the snapshot that joins a deletion and an edit (`join::join`): the edit's content, the same on every device.
    /// Tell the player.
    EditSurvives {
        /// Its parents, by id.
        heads: Vec<SnapshotId>,
        /// Whose content it has.
        edit: SnapshotId,
    },
    /// Leave the live files and our head as they are, and show every side on every device until somebody resolves it.
    Conflict {
        /// The sides besides what is on the disk, by id.
        with: Vec<SnapshotId>,
        /// Those of them to write beside the live files as `NAME.conflict-DEVICE` now; the others once they are fetched
        /// and the game has ended.
        copies: Vec<SnapshotId>,
    },
    /// Make a snapshot of the disk, on top of the base if there is one, then decide again: the sides are compared when
    /// both are in history.
    SnapshotFirst,
    /// Make a snapshot of the disk on top of the base, record it as base and head, announce it.
    SnapshotAndAnnounce,
    /// Make a tombstone on top of the base, record it as base and head, announce it. What was stays in history.
    Tombstone,
    /// Announce nothing, delete nothing, write nothing; ask the player what happened to the save.
    HoldAndAsk,
    /// Look at the disk again later, and report it when that goes on.
    WaitAndRetry,
    /// Wait until the game has ended, then decide again.
    Defer,
    /// Note the heads of others and touch nothing.
    RecordOnly,
}

impl Action {
    /// Whether carrying it out writes or removes files in the folders of the save.
    #[must_use]
    pub fn writes_files(&self) -> bool {
        match self {
            Self::FastForward { .. } | Self::ApplyNew { .. } => true,
            Self::Conflict { copies, .. } => !copies.is_empty(),
            _ => false,
        }
    }

    /// Whether carrying it out makes a snapshot.
    #[must_use]
    pub fn makes_snapshot(&self) -> bool {
        matches!(
            self,
            Self::Join { .. }
                | Self::EditSurvives { .. }
                | Self::SnapshotFirst
                | Self::SnapshotAndAnnounce
                | Self::Tombstone
        )
    }
}

/// The row of the table that applies, and what it says to do here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which row.
    pub row: Row,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
}

/// Files and bytes of a save.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// Files.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
}

/// Whether a disk lost so much against its base that it is asked about instead of believed: no file left, no byte left, or
/// under half of the bytes. Nothing can be lost of a base without files.
#[must_use]
pub fn is_shrunk(base: Measure, disk: Measure) -> bool {
    base.files > 0 && (disk.files == 0 || disk.size < base.size.div_ceil(2))
}

/// The decision.
#[must_use]
pub fn decide(s: &Situation) -> Decision {
    if !s.is_tracked {
        return Row::Untracked.says(Action::RecordOnly);
    }
    match s.disk {
        Disk::Unreadable | Disk::Settling => Row::NotReadable.says(Action::WaitAndRetry),
        // A game may take its save away while it runs, and asking then would be asking too early.
        Disk::Shrunk if s.is_running => Row::Playing.says(Action::Defer),
        Disk::Shrunk => Row::Shrunk.says(Action::HoldAndAsk),
        Disk::Dirty => dirty(s),
        Disk::Deleted => deleted(s),
        Disk::Absent => absent(s),
        Disk::Present(content) => without_base(s, content),
        Disk::Clean(base) => clean(s, base),
    }
}

fn dirty(s: &Situation) -> Decision {
    let any = |of: &[Relation]| s.others.iter().any(|o| of.contains(&o.relation));
    if any(&[Relation::Ancestor, Relation::Diverged]) {
        Row::DirtyBehind.says(Action::SnapshotFirst)
    } else if any(&[Relation::Descendant, Relation::Unknown]) {
        Row::DirtyAhead.says(Action::SnapshotAndAnnounce)
    } else {
        Row::Dirty.says(Action::SnapshotAndAnnounce)
    }
}

fn deleted(s: &Situation) -> Decision {
    // Beside an edit the tombstone is a side of its own, and the edit survives it (`sides`).
    let is_edit = |o: &Other| matches!(o.relation, Relation::Ancestor | Relation::Diverged) && !o.is_deletion;
    let row = if s.others.iter().any(is_edit) { Row::DeletedButEdited } else { Row::Deleted };
    row.says(Action::Tombstone)
}

fn absent(s: &Situation) -> Decision {
    let known: Vec<&Other> = s.others.iter().filter(|o| o.content.is_some()).collect();
    match known[..] {
        [] if s.others.is_empty() => Row::NewDevice.says(Action::Nothing),
        [] => Row::NewDevice.says(fetch(&s.others)),
        [one] if one.is_deletion => Row::NewDevice.says(Action::Adopt { to: one.id }),
        [one] => write(s, Row::NewDevice, one, Action::ApplyNew { to: one.id }),
        _ => sides(s, None, &known),
    }
}

fn without_base(s: &Situation, content: SaveHash) -> Decision {
    if s.others.is_empty() {
        return Row::FirstSave.says(Action::SnapshotAndAnnounce);
    }
    let same = s.others.iter().filter(|o| o.content == Some(content)).map(|o| o.id).min();
    // Unequal, the disk becomes a side of its own: a snapshot without parents, which the next decision compares.
    Row::Unclaimed.says(same.map_or(Action::SnapshotFirst, |to| Action::Adopt { to }))
}

fn clean(s: &Situation, base: Side) -> Decision {
    let (mut news, mut unknown, mut is_offering) = (Vec::new(), Vec::new(), false);
    for other in &s.others {
        match (other.relation, other.content) {
            (Relation::Equal, _) => {}
            (Relation::Descendant, _) => is_offering = true,
            (Relation::Unknown, _) | (_, None) => unknown.push(*other),
            (Relation::Ancestor | Relation::Diverged, Some(_)) => news.push(other),
        }
    }
    match news[..] {
        // What stands above what is known may be waited for; what is known is not held up by it.
        [] if !unknown.is_empty() => Row::NotReadable.says(fetch(&unknown)),
        [] if is_offering => Row::Ahead.says(Action::OfferOurs),
        [] => Row::Current.says(Action::Nothing),
        [one] if one.relation == Relation::Ancestor => {
            if one.content == Some(base.content) {
                return Row::Behind.says(Action::Adopt { to: one.id });
            }
            write(s, Row::Behind, one, Action::FastForward { to: one.id })
        }
        _ => sides(s, Some(base), &news),
    }
}

/// What brings the disk to one snapshot, when that can be done now.
fn write(s: &Situation, row: Row, to: &Other, action: Action) -> Decision {
    match (to.is_fetched, s.is_running) {
        (false, _) => row.says(fetch([to])),
        (true, true) => Row::Playing.says(Action::Defer),
        (true, false) => row.says(action),
    }
}

/// Several snapshots, none made from another: what they have in common decides.
fn sides(s: &Situation, base: Option<Side>, news: &[&Other]) -> Decision {
    // What another side was made from is no side.
    let ours = base.filter(|_| news.iter().all(|o| o.relation != Relation::Ancestor));
    let side = |o: &Other| Some(Side { id: o.id, content: o.content?, is_deletion: o.is_deletion });
    let sides: Vec<Side> = news.iter().filter_map(|o| side(o)).chain(ours).collect();
    let contents: BTreeSet<SaveHash> = sides.iter().filter(|s| !s.is_deletion).map(|s| s.content).collect();
    let edit = sides.iter().filter(|s| !s.is_deletion).map(|s| s.id).min();
    let is_deleted_somewhere = sides.iter().any(|s| s.is_deletion);
    let is_pair = base.is_some() && news.len() == 1;
    let missing: Vec<&Other> = news.iter().copied().filter(|o| !o.is_fetched).collect();
    let heads = || sorted(sides.iter().map(|s| s.id));

    let (row, action) = match edit {
        _ if contents.len() > 1 => {
            let now = news.iter().filter(|o| o.is_fetched && !o.is_deletion && !s.is_running).map(|o| o.id);
            let conflict = Action::Conflict { with: sorted(news.iter().map(|o| o.id)), copies: sorted(now) };
            return if is_pair { Row::Diverged } else { Row::ManyHeads }.says(conflict);
        }
        Some(edit) if is_deleted_somewhere => (Row::DeletedButEdited, Action::EditSurvives { heads: heads(), edit }),
        _ if is_pair => (Row::SameContent, Action::Join { heads: heads() }),
        _ => (Row::ManyHeads, Action::Join { heads: heads() }),
    };
    row.says(if missing.is_empty() { action } else { fetch(missing) })
}

fn fetch<'a>(which: impl IntoIterator<Item = &'a Other>) -> Action {
    Action::Fetch { heads: sorted(which.into_iter().map(|o| o.id)) }
}

fn sorted(ids: impl Iterator<Item = SnapshotId>) -> Vec<SnapshotId> {
    ids.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests;
