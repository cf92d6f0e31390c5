//! What happened: past tense, numbered, never a request and never progress.
//!
//! JSON form: `{"seq":7,"event":{"type":"download_finished","op":17,"game":"freedoom", ..}}`. A listener that lagged
//! misses numbers and re-reads the snapshot.

use bonfire_proto::{GameId, PeerId};
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::snapshot::OperationView;

/// A numbered event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// Counted from 1 since the peer started, without gaps.
    pub seq: u64,
    /// What happened.
    pub event: PeerEvent,
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
    /// The peer stops; no event follows.
    Stopped,
}
