//! The words between the engine and its worker of pictures: what to do with one, and what came of it. Types only.

use bonfire_proto::{PeerId, PictureRef, PlayerId, SnapshotId};

use crate::input::{CommandId, ConnId};
use crate::report::Report;
use crate::saves::join::Line;

/// A picture that lies in the data folder, or is to: which one, and of which snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sidecar {
    /// The snapshot that it is attached to.
    pub snapshot: SnapshotId,
    /// The picture.
    pub picture: PictureRef,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum SidecarJob {
    /// Read a person's file and keep it, durably, when it is a picture. Answered by `Attached`.
    Attach {
        /// Whom to answer.
        command: CommandId,
        /// The line of the snapshot.
        line: Line,
        /// The snapshot.
        snapshot: SnapshotId,
        /// Absolute path of the file.
        file: String,
    },
    /// Write a picture that is here into a file that is not there yet. Answered by `HandedOut`.
    HandOut {
        /// Whom to answer.
        command: CommandId,
        /// Whose.
        player: PlayerId,
        /// Which.
        sidecar: Sidecar,
        /// Absolute path of the file.
        file: String,
    },
    /// Fetch a picture from one source and keep it, durably. Answered by `Fetched`.
    Fetch {
        /// Whose.
        player: PlayerId,
        /// Which.
        sidecar: Sidecar,
        /// From whom.
        from: (PeerId, ConnId),
    },
    /// Let go of pictures. Not answered: what stays by an error goes at the next start.
    Remove(Vec<Sidecar>),
    /// Read pictures again and compare them with their hashes. Answered by `Lost` when some are not what they should be.
    Check {
        /// Whose.
        player: PlayerId,
        /// Which.
        sidecars: Vec<Sidecar>,
    },
}

/// What came of it.
#[derive(Debug)]
pub enum SidecarInput {
    /// A person's picture is kept, or is not.
    Attached {
        /// Whom to answer.
        command: CommandId,
        /// The line of the snapshot.
        line: Line,
        /// The snapshot.
        snapshot: SnapshotId,
        /// What it is.
        attached: Result<PictureRef, Report>,
    },
    /// A picture was written out, or was not.
    HandedOut {
        /// Whom to answer.
        command: CommandId,
        /// Whose.
        player: PlayerId,
        /// Which.
        sidecar: Sidecar,
        /// What came of it.
        handed: HandedOut,
    },
    /// What a source brought.
    Fetched {
        /// Whose.
        player: PlayerId,
        /// Which.
        sidecar: Sidecar,
        /// From whom.
        from: PeerId,
        /// What came of it.
        brought: Brought,
    },
    /// These were not there any more, or damaged, and are gone.
    Lost(PlayerId, Vec<Sidecar>),
}

/// What came of writing a picture out.
#[derive(Debug)]
pub enum HandedOut {
    /// It is there.
    Well,
    /// It was not here after all, or damaged, and is gone.
    Lost,
    /// The file could not be written.
    Failed(Report),
}

/// What came of asking a source for a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Brought {
    /// It is here, checked and durable.
    Whole,
    /// The source broke off or was busy; it may do better later.
    Cut,
    /// The source does not have it, or does not give it to us.
    Refused,
    /// The source sent something else.
    Lied,
    /// The disk here could not keep it.
    Disk(Report),
}
