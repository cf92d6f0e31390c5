//! The words between a slot and its shell: what was seen, what is to be done, what came of it, what the player wants.
//! Types only.

use std::collections::BTreeSet;

use bonfire_proto::{SaveHash, SnapshotId};
use serde::{Deserialize, Serialize};

use super::super::decide::Measure;
use crate::report::Report;

/// What a look at the disk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// No file of the save set.
    Nothing,
    /// Files. Their content is in the object store.
    Files {
        /// Number by which the shell knows the list of files.
        capture: u64,
        /// Hash of the content.
        content: SaveHash,
        /// How much it is.
        measure: Measure,
    },
    /// It could not be read.
    Unreadable,
    /// It changed within the settle time, or while it was read.
    Settling,
}

/// A snapshot to make and store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Make {
    /// Of what a look found, on top of the base.
    Version {
        /// The look.
        capture: u64,
        /// The base, if there is one.
        parents: BTreeSet<SnapshotId>,
    },
    /// That the save was deleted.
    Tombstone {
        /// The base.
        parents: BTreeSet<SnapshotId>,
    },
    /// What joins equal contents, or an edit and a deletion (`join::join`).
    Join {
        /// All of them.
        parents: BTreeSet<SnapshotId>,
    },
    /// What settles a conflict.
    Resolve {
        /// All heads.
        parents: BTreeSet<SnapshotId>,
        /// Whose content it has.
        content: SnapshotId,
    },
    /// What goes back to an earlier content.
    Rollback {
        /// The head.
        parents: BTreeSet<SnapshotId>,
        /// Whose content it has.
        to: SnapshotId,
    },
}

/// What a slot wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Look at the disk; answered by `looked`.
    Look,
    /// Make a snapshot and store it; answered by `made`.
    Make(Make),
    /// Bring the disk from one snapshot (from nothing, without) to another; answered by `applied`.
    Apply {
        /// What the disk must still be, by content, immediately before.
        from: Option<SnapshotId>,
        /// What it is to be.
        to: SnapshotId,
    },
    /// Write and remove conflict copies; answered by `copied`.
    Copies {
        /// Snapshots to write beside the live files.
        write: BTreeSet<SnapshotId>,
        /// Snapshots whose copies go.
        remove: BTreeSet<SnapshotId>,
    },
    /// Store the base, which the disk holds and the store does not: of what is here, or of what others give. Answered by
    /// `fetched`. What is about to be replaced on the disk must not be held by others alone.
    Keep(SnapshotId),
    /// Fetch these snapshots, what is missing above them, and their objects; answered by `fetched`. It occupies no disk,
    /// and other steps may follow meanwhile.
    Fetch(BTreeSet<SnapshotId>),
}

/// What the player wants of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Settle the conflict with the content of this snapshot.
    Resolve(SnapshotId),
    /// Go back to the content of this snapshot.
    Rollback(SnapshotId),
    /// Delete the save on every device.
    Delete,
}

/// What came of disk work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done<T> {
    /// It is durable.
    Well(T),
    /// The disk is not what it has to be: look again.
    Changed,
    /// It failed; worth another attempt when `retry` comes.
    Failed(Report),
}

/// What of a slot is durable on this device besides its snapshots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotRecord {
    /// The snapshot last applied to the disk, or taken from it.
    pub base: Option<SnapshotId>,
    /// Whether this device leaves the slot alone.
    pub is_untracked: bool,
    /// Snapshots whose conflict copies lie beside the live files.
    pub copies: BTreeSet<SnapshotId>,
}

/// How a slot stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Nothing was looked at yet.
    Unknown,
    /// In step, as far as is known here.
    Current,
    /// Others are behind.
    Ahead,
    /// Something is being done or fetched.
    Working,
    /// A newer one waits for the game to end.
    Deferred,
    /// Missing, empty or shrunk: the player is asked.
    Held,
    /// Sides that a person has to choose from.
    Conflict,
    /// The disk cannot be read, or does not settle.
    Waiting,
    /// This device does not take part.
    Untracked,
}
