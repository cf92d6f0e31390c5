//! The words between the desk of saves and its worker: what to do with one slot's disk and store, and what came of it.
//! Types only.

use std::collections::BTreeSet;

use bonfire_proto::{GameId, PeerId, PlayerId, SlotName, SnapshotId};
use serde::{Deserialize, Serialize};

use super::join::{Line, Stamp};
use super::lineage::Node;
use super::slot::{Done, Look, Make};
use crate::command::Reply;
use crate::input::{CommandId, ConnId};
use crate::report::Report;

/// A save set: one game's saves of one player.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SetKey {
    /// Whose.
    pub player: PlayerId,
    /// Of which game.
    pub game: GameId,
}

impl SetKey {
    /// The set of a line.
    #[must_use]
    pub fn of(line: &Line) -> Self {
        Self { player: line.player, game: line.game_id.clone() }
    }

    /// One of its lines.
    #[must_use]
    pub fn line(&self, slot: &SlotName) -> Line {
        Line { player: self.player, game_id: self.game.clone(), slot: slot.clone() }
    }
}

/// Where one part of a save set lies on this device. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// First part of its files' paths in snapshots; 1 to 32 bytes.
    pub label: String,
    /// A folder, or one file.
    pub path: String,
    /// Whether it is one file.
    pub is_file: bool,
    /// Patterns of what belongs to it; all of it when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What a manifest knows of it besides.
    #[serde(flatten)]
    pub placed: Placed,
}

/// What is known of a root that was placed by a manifest. All of it is empty for one that was declared by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Patterns, from the folder on, of what is another root's or no save.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether names that differ in case are one for the game.
    #[serde(default, skip_serializing_if = "is_false")]
    pub folds_names: bool,
    /// The name of a single file in snapshots, where that is another one than here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether it counts only while what lies at its path is of its kind, a folder or a file: another root has the other.
    #[serde(default, skip_serializing_if = "is_false")]
    pub only_as_such: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Where a save set lies on this device, and how to see that its game runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Its parts, each label once.
    pub roots: Vec<Root>,
    /// Patterns of what is no part of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<String>,
    /// Names of programs that are the game.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
}

/// Work of one line. Of the kinds that touch a set's disk, one is under way at a time.
#[derive(Debug, Clone)]
pub struct SaveJob {
    /// Which line.
    pub line: Line,
    /// What to do.
    pub work: SaveWork,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum SaveWork {
    /// Look at the disk; what is there is kept in the store. Answered by `SaveInput::Looked`.
    Look {
        /// Where.
        place: Placement,
        /// Processes of a play session: while one of them lives the game runs.
        pids: Vec<u32>,
    },
    /// Make a snapshot and store it. Answered by `Made`.
    Make {
        /// Of what.
        make: Make,
        /// Where it is made, and when.
        stamp: Stamp,
        /// How long the game ran for what is on the disk since it was a version, in milliseconds. Counts for
        /// `Make::Version`.
        played_ms: u64,
    },
    /// Bring the disk from one snapshot to another; the files of both are of this line, unless `from_slot` says that the
    /// first is of another. Refused as `Done::Changed` when the game runs. Answered by `Applied`.
    Apply {
        /// Where.
        place: Placement,
        /// What the disk must be immediately before; nothing at all when absent.
        from: Option<SnapshotId>,
        /// What it is to be.
        to: SnapshotId,
        /// Processes of a play session.
        pids: Vec<u32>,
    },
    /// Write and remove conflict copies. Answered by `Copied`.
    Copies {
        /// Where.
        place: Placement,
        /// Snapshots to write beside the live files, each with the name of the device that it came from.
        write: Vec<(SnapshotId, String)>,
        /// Snapshots whose copies go.
        remove: BTreeSet<SnapshotId>,
    },
    /// Fetch snapshots and their objects. Answered by `Fetched`.
    Fetch {
        /// Which.
        ids: BTreeSet<SnapshotId>,
        /// Whom to ask, best first.
        sources: Vec<(PeerId, ConnId)>,
    },
    /// Begin this line, which has no version yet, with the content of a version of another line. Answered by `Begun`.
    Branch {
        /// Whose content.
        from: SnapshotId,
        /// Where it is made, and when.
        stamp: Stamp,
    },
    /// Make a version of an archive, on top of these. Answered by `Begun`.
    Import {
        /// Whom to answer.
        command: CommandId,
        /// The archive.
        file: String,
        /// The root that its files belong to; what its names say when absent.
        label: Option<String>,
        /// What it is made from.
        parents: BTreeSet<SnapshotId>,
        /// Where it is made, and when.
        stamp: Stamp,
    },
    /// Remove stored snapshots, oldest first, and the objects that nothing needs any more. Answered by `Pruned`.
    Prune {
        /// Which.
        ids: Vec<SnapshotId>,
    },
    /// Read stored snapshots and compare them with their hashes; those that are damaged are taken out of the store. Answered
    /// by `Verified`.
    Verify {
        /// Which.
        ids: Vec<SnapshotId>,
    },
    /// Compare the files of two snapshots. Answered by `Answered`.
    Compare {
        /// Whom to answer.
        command: CommandId,
        /// The first.
        from: SnapshotId,
        /// The second.
        to: SnapshotId,
    },
    /// Write a snapshot as an archive. Answered by `Answered`.
    Export {
        /// Whom to answer.
        command: CommandId,
        /// Which.
        id: SnapshotId,
        /// Where to.
        folder: String,
    },
    /// Look whether the game runs. Answered by `Running`.
    IsRunning {
        /// How to see it.
        place: Placement,
        /// Processes of a play session.
        pids: Vec<u32>,
    },
}

/// What the desk hears of its workers.
#[derive(Debug)]
pub enum SaveInput {
    /// Something may have changed in the folders of a set.
    Stirred(SetKey),
    /// Anything may have changed.
    AllStirred,
    /// Watching does not work, or not everywhere.
    WatchFailed(Report),
    /// What a look found, and whether the game runs.
    Looked {
        /// Of which line.
        line: Line,
        /// What it found.
        look: Look,
        /// Whether the game runs.
        is_running: bool,
        /// What was seen and is no part of the save, or could not be read; for people.
        problems: Vec<String>,
    },
    /// A snapshot is stored, or is not.
    Made(Line, Done<Node>),
    /// The disk is as asked, or is not. `true` when it is not because the game runs.
    Applied(Line, Done<()>, bool),
    /// Conflict copies are as asked, or are not.
    Copied(Line, Done<()>),
    /// What a fetch brought.
    Fetched {
        /// For which line.
        line: Line,
        /// What was asked for.
        asked: BTreeSet<SnapshotId>,
        /// What came, each with whether all of its objects did.
        brought: Vec<(Node, bool)>,
        /// Whether the source broke off, so that asking again may bring more.
        is_cut: bool,
    },
    /// A line was begun with another's content, or an import became a version.
    Begun(Line, Result<Node, Report>, Option<CommandId>),
    /// These are gone from the store.
    Pruned(Line, Vec<SnapshotId>, Option<Report>),
    /// Stored snapshots of a line were read.
    Verified(Line, Checked),
    /// Whether a game runs.
    Running(Line, bool),
    /// A worker has the answer to a command.
    Answered(CommandId, Result<Reply, Report>),
}

/// What reading stored snapshots found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// How many were read.
    pub versions: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Those that are not whole any more, and why.
    pub damaged: Vec<(SnapshotId, String)>,
    /// What could not be read, for people: whether it is whole is not known.
    pub unread: Vec<String>,
}
