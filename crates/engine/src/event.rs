//! What happened: past tense, numbered, never a request and never progress.
//!
//! JSON form: `{"seq":7,"event":{"type":"download_finished","op":17,"game":"freedoom", ..}}`. A listener that lagged
//! misses numbers and re-reads the snapshot.

use bonfire_proto::{GameId, PeerId, PlayerId, SlotName, SnapshotId, SnapshotKind};
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::saves::join::Line;
use crate::saves_view::HeadView;
use crate::snapshot::OperationView;

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counted from 1 since the peer started, without gaps.
    pub seq: u64,
    /// What happened.
    pub event: PeerEvent,
}

/// Which slot an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotOf {
    /// Whose.
    pub player: PlayerId,
    /// Of which game.
    pub game: GameId,
    /// Which line.
    pub slot: SlotName,
}

impl From<&Line> for SlotOf {
    fn from(line: &Line) -> Self {
        Self { player: line.player, game: line.game_id.clone(), slot: line.slot.clone() }
    }
}

/// An install as it was found, and what was done to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedInstall {
    /// Whether it says what was installed. If not, nothing can be compared.
    pub is_recorded: bool,
    /// Bytes read.
    pub checked_bytes: u64,
    /// Files that were put back.
    pub repaired_files: Vec<String>,
    /// Files that somebody wrote to since.
    pub changed_files: Vec<String>,
    /// Where the changed ones are that were put back.
    pub kept_files: Vec<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum PeerEvent {
    /// The peer listens and has read its games folder. The first event.
    Started {
        /// Who this is.
        peer: PeerId,
        /// Where it listens.
        listen_addr: String,
    },
    /// A peer is connected.
    PeerAppeared {
        /// Who.
        peer: PeerId,
        /// Name for people.
        name: String,
        /// Its listener.
        addr: String,
    },
    /// A connected peer is reached elsewhere than before.
    PeerMoved {
        /// Who.
        peer: PeerId,
        /// Its listener.
        addr: String,
    },
    /// A peer is gone.
    PeerLost {
        /// Who.
        peer: PeerId,
        /// Why: goodbye, stale, closed ..
        reason: String,
    },
    /// A peer could not be reached or was turned away.
    PeerRefused {
        /// Its listener.
        addr: String,
        /// Why.
        error: Report,
    },
    /// What another peer holds differs from what was known.
    RemoteLibraryChanged {
        /// Whose library.
        peer: PeerId,
        /// Its revision.
        library_rev: u64,
        /// How it was learned: `delta` or `snapshot`.
        by: String,
        /// Games that are new or differ, sorted.
        changed: Vec<GameId>,
        /// Games gone, sorted.
        removed: Vec<GameId>,
    },
    /// What this peer holds differs from before. Only for real changes.
    LocalLibraryChanged {
        /// The new revision.
        library_rev: u64,
        /// Games that are new, sorted.
        added: Vec<GameId>,
        /// Games that differ, sorted.
        updated: Vec<GameId>,
        /// Games gone, sorted.
        removed: Vec<GameId>,
    },
    /// The set of active operations, or the phase of one, changed. Emitted by that change itself.
    ActiveOperationsChanged {
        /// All active operations, sorted by id.
        operations: Vec<OperationView>,
    },
    /// A download ended with the game complete, verified and marked.
    DownloadFinished {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Version that is here.
        version: String,
        /// Bytes that came over the network.
        fetched_bytes: u64,
        /// Bytes that were already here and verified.
        reused_bytes: u64,
    },
    /// A download stands still; what was verified is kept and it goes on by itself.
    DownloadPaused {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Why, and what would help.
        error: Report,
    },
    /// A download ended without the game.
    DownloadFailed {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Why.
        error: Report,
    },
    /// A download was cancelled, its files are swept and the folder was read again.
    DownloadCancelled {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Files removed.
        removed_files: u64,
        /// Files left because nobody can prove that they are ours.
        kept_files: Vec<String>,
    },
    /// A source of a download was given up.
    SourceDropped {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// The source.
        peer: PeerId,
        /// Why.
        error: Report,
    },
    /// Downloaded files of a game were removed.
    GameRemoved {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
    },
    /// Removing files failed.
    RemoveFailed {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Why.
        error: Report,
    },
    /// A game was read and compared; bad chunks, if any, were fetched anew.
    VerifyFinished {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Bytes read.
        checked_bytes: u64,
        /// Files that did not match, sorted.
        bad_files: Vec<String>,
        /// Bytes fetched anew.
        repaired_bytes: u64,
        /// What its install was found to be, where it is installed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        install: Option<VerifiedInstall>,
    },
    /// Reading and comparing failed, or bad chunks could not be had.
    VerifyFailed {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Why.
        error: Report,
    },
    /// A game is installed, or another version of it took the place of the install before.
    InstallFinished {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Version that is installed.
        version: String,
        /// Whether it took the place of another.
        is_update: bool,
        /// Its files.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Files of the player that are in it as they were.
        carried_files: u64,
        /// Files of the player that the new version has another of: where they are now.
        kept_files: Vec<String>,
    },
    /// A game was not installed; what was there before is there as it was, unless the error is `not_undone`.
    InstallFailed {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Whether it was to take the place of an install.
        is_update: bool,
        /// Why.
        error: Report,
    },
    /// An install was cancelled; what was there before is there as it was.
    InstallCancelled {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Whether it was to take the place of an install.
        is_update: bool,
    },
    /// An install is gone; what is downloaded is not.
    GameUninstalled {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Files that went.
        files: u64,
    },
    /// An install was not taken away, or something of it is left; the error says which.
    UninstallFailed {
        /// The operation.
        op: u64,
        /// The game.
        game: GameId,
        /// Why.
        error: Report,
    },
    /// The catalog is another.
    CatalogChanged {
        /// Number of entries.
        entries: u64,
    },
    /// Every file of a game was read; its content hash is known.
    GameHashed {
        /// The game.
        game: GameId,
    },
    /// Something is wrong that no command asked for: a folder gone, a game that cannot be read, a watcher that failed.
    ProblemFound {
        /// The game, when it is about one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        game: Option<GameId>,
        /// What.
        error: Report,
    },
    /// A version of a save was made here, or came from another device. `by` made it.
    SaveVersionAdded {
        /// The slot.
        slot: SlotOf,
        /// The version.
        snapshot: SnapshotId,
        /// Where it was made.
        by: PeerId,
        /// Name of that device for people; empty when it is not known.
        by_name: String,
        /// Why it was made.
        kind: SnapshotKind,
    },
    /// This device's disk is a version that another device made, or an earlier one.
    SaveApplied {
        /// The slot.
        slot: SlotOf,
        /// The version.
        snapshot: SnapshotId,
        /// What was there before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        replaced: Option<SnapshotId>,
    },
    /// Versions differ and neither was made from the other: a person has to choose. Nothing was replaced.
    SaveConflict {
        /// The slot.
        slot: SlotOf,
        /// Every side, newest first.
        sides: Vec<HeadView>,
    },
    /// A conflict is over.
    SaveConflictEnded {
        /// The slot.
        slot: SlotOf,
    },
    /// The save on the disk is missing, empty or much smaller: nothing is told or deleted until the player has answered.
    SaveHeld {
        /// The slot.
        slot: SlotOf,
        /// What history has.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        base: Option<SnapshotId>,
    },
    /// A save was deleted on one device and edited on another: the edit stays.
    SaveEditSurvived {
        /// The slot.
        slot: SlotOf,
    },
    /// A newer version waits for the game to end.
    SaveDeferred {
        /// The slot.
        slot: SlotOf,
    },
    /// Work on a save failed; it is tried again where that makes sense.
    SaveFailed {
        /// The slot.
        slot: SlotOf,
        /// Why.
        error: Report,
    },
    /// Versions that nothing needs any more were removed here.
    SavePruned {
        /// The slot.
        slot: SlotOf,
        /// How many.
        versions: u64,
    },
    /// A device became one of a player's.
    DevicePaired {
        /// The player.
        player: PlayerId,
        /// The device.
        device: PeerId,
        /// Its name for people.
        name: String,
    },
    /// A device is one of a player's no more.
    DeviceRemoved {
        /// The player.
        player: PlayerId,
        /// The device.
        device: PeerId,
    },
    /// A code that was shown came to nothing: wrong, or run out.
    PairingEnded {
        /// Why.
        error: Report,
    },
    /// The peer stops; no event follows.
    Stopped,
}
