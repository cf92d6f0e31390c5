//! What a front end can ask about saves. Types only.

use std::collections::BTreeSet;

use bonfire_proto::{GameId, PlayerId, SlotName, SnapshotId};
use serde::{Deserialize, Serialize};

pub use crate::saves::work::Placed;

/// Which line of which player's saves. Absent parts have one meaning: the only player of this device, and the slot whose
/// files lie on this device's disk (`main` where none does).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SaveRef {
    /// The game.
    pub game: GameId,
    /// The slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotName>,
    /// The player.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub player: Option<PlayerId>,
}

/// Where a part of a save set lies on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootSpec {
    /// The name of this part, the same on every device: 1 to 32 bytes. Absent: `save`, `save2` .. in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Absolute path of a folder, or of one file.
    pub path: String,
    /// Whether it is one file, which need not be there yet; a folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_file: Option<bool>,
    /// Patterns of what belongs to it beneath the folder; all of it when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// What a manifest knows of it besides.
    #[serde(flatten)]
    pub placed: Placed,
}

/// How to settle a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolveWith {
    /// What is on this device's disk.
    Mine,
    /// The other side; where there are several, the one that is named is meant by `Use`.
    Theirs,
    /// What is on this disk, and each other side in a slot of its own.
    Both,
    /// This snapshot, one of the sides or anything else of the slot's history.
    Use(SnapshotId),
}

/// What is done with the picture of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureAct {
    /// Attach this file: PNG, JPEG or WebP, told by its content, at most 4 MiB. It takes the place of one that is there.
    /// Replies with `Reply::Picture`.
    Attach {
        /// Absolute path.
        file: String,
    },
    /// Write it into this file, which must not be there yet. What is not here is fetched from another device of the player,
    /// for at most 20 seconds. Replies with `Reply::Picture`.
    HandOut {
        /// Absolute path.
        file: String,
    },
    /// Take it away, on every device.
    Remove,
}

/// What the audit log is asked for. Absent parts match everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AuditFilter {
    /// The player.
    pub player: Option<PlayerId>,
    /// The game.
    pub game: Option<GameId>,
    /// The slot.
    pub slot: Option<SlotName>,
    /// What was done.
    pub action: Option<String>,
    /// Not before this time, in milliseconds since 1970-01-01 UTC.
    pub since: Option<u64>,
    /// Most entries, newest first; at most 10,000.
    pub limit: Option<u32>,
}

/// Saves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SavesCommand {
    /// Say where a game's save lies on this device. Replies with `Reply::Save` when it was looked at.
    Add {
        /// Which; a slot that is named becomes the one whose files these are.
        at: SaveRef,
        /// Where.
        roots: Vec<RootSpec>,
        /// Patterns of files that are no part of it, for every device.
        #[serde(default)]
        ignore: Vec<String>,
        /// Names of programs that are the game, to see that it runs when it was started otherwise.
        #[serde(default)]
        programs: Vec<String>,
    },
    /// Where the save lies on this device is no longer known to Bonfire. Files and history stay.
    Forget {
        /// Which.
        at: SaveRef,
    },
    /// Have another slot on this device's disk. What is there is in history first; a slot that is new begins with it.
    /// Replies with `Reply::Save` when the disk is that slot's.
    Switch {
        /// Which; the slot has to be named.
        at: SaveRef,
    },
    /// Look at the disk now and make a version of what is new. Replies with `Reply::Save` once it is in history; refused with
    /// the heads (`conflict`) when there are versions that it does not know.
    Push {
        /// Which.
        at: SaveRef,
        /// To put it over the heads that were shown, which have to be named. Refused with `stale_conflict` when there are
        /// others by now.
        #[serde(default)]
        overwrite: Option<BTreeSet<SnapshotId>>,
    },
    /// Bring the disk to the newest version that other devices told of, as far as they are here. Replies with `Reply::Save`
    /// when nothing is left to do.
    Pull {
        /// Which.
        at: SaveRef,
        /// Count it as current when it is fetched, before it is on the disk.
        #[serde(default)]
        optimistic: bool,
    },
    /// Look again whether the disk is the newest version, and say so to the other devices.
    Confirm {
        /// Which.
        at: SaveRef,
    },
    /// Settle a conflict. Replies with `Reply::Save` when it is settled.
    Resolve {
        /// Which.
        at: SaveRef,
        /// How.
        with: ResolveWith,
    },
    /// Go back to an earlier version, in a new one. What is on the disk is in history first.
    Rollback {
        /// Which.
        at: SaveRef,
        /// To what.
        to: SnapshotId,
    },
    /// Delete the save on every device. History stays.
    Delete {
        /// Which.
        at: SaveRef,
    },
    /// Answer a save that is held because it is missing, empty or shrunk.
    Release {
        /// Which.
        at: SaveRef,
        /// Whether what is on the disk is meant; else the disk gets back what history has.
        keep_disk: bool,
    },
    /// Keep a version whatever retention says, or no longer.
    Pin {
        /// Which.
        at: SaveRef,
        /// The version.
        snapshot: SnapshotId,
        /// On or off.
        pinned: bool,
    },
    /// Write something about a version.
    Note {
        /// Which.
        at: SaveRef,
        /// The version.
        snapshot: SnapshotId,
        /// At most 512 bytes; nothing removes the note.
        text: String,
    },
    /// The picture of a version.
    Picture {
        /// Which.
        at: SaveRef,
        /// The version.
        snapshot: SnapshotId,
        /// What is done with it.
        act: PictureAct,
    },
    /// How many versions of a slot are kept.
    Retention {
        /// Which.
        at: SaveRef,
        /// How many, at least 1.
        keep: u32,
        /// Whether the others go by themselves.
        autocleanup: bool,
    },
    /// What people call a slot.
    RenameSlot {
        /// Which.
        at: SaveRef,
        /// At most 128 bytes; nothing gives it its plain name back.
        display_name: String,
    },
    /// Take part in a slot on this device, or leave it alone.
    Track {
        /// Which.
        at: SaveRef,
        /// On or off.
        tracked: bool,
    },
    /// A game is about to be started here. Refused as `PlayCommand::Begins` is. From the reply on nothing is applied until
    /// `PlayEnds`, or until the processes that were named are gone. Replies with `Reply::Save`.
    PlayBegins {
        /// Which.
        at: SaveRef,
        /// The process that waits for the game to end.
        pid: u32,
    },
    /// The game is this process.
    PlayIs {
        /// Which.
        at: SaveRef,
        /// The game's process.
        pid: u32,
    },
    /// The game has ended. Replies with `Reply::Save` when what it left is in history.
    PlayEnds {
        /// Which.
        at: SaveRef,
    },
    /// The versions of a slot. Replies with `Reply::History`.
    History {
        /// Which.
        at: SaveRef,
    },
    /// Who did what. Replies with `Reply::Audit`.
    Audit {
        /// What is asked for.
        #[serde(default)]
        filter: AuditFilter,
    },
    /// Read stored versions again and compare them with their hashes. What is damaged is fetched anew from other devices.
    /// Replies with `Reply::Verified`.
    Verify {
        /// Which; every save of every player when absent.
        #[serde(default)]
        at: Option<SaveRef>,
    },
    /// Say how the files of two stored versions differ. Replies with `Reply::Compared`.
    Compare {
        /// Which.
        at: SaveRef,
        /// The first version.
        from: SnapshotId,
        /// The second.
        to: SnapshotId,
    },
    /// Write a version as a zip archive into a folder. Replies with `Reply::Exported`.
    Export {
        /// Which.
        at: SaveRef,
        /// The version; the head when absent.
        #[serde(default)]
        snapshot: Option<SnapshotId>,
        /// Absolute path of the folder.
        folder: String,
    },
    /// Make a version of what is in a zip archive. Replies with `Reply::Save`.
    Import {
        /// Which.
        at: SaveRef,
        /// Absolute path of the archive.
        file: String,
        /// The part of the save set that its files belong to; as `export` wrote it when absent.
        #[serde(default)]
        label: Option<String>,
    },
}
