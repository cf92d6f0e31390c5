//! What a front end can ask of a peer: plain data, grouped by the state that it changes. Reads are not commands; they
//! come from the snapshot.
//!
//! JSON form (control socket, stdin of `run --json`): one key for the group, one for the command:
//! `{"transfers":{"get":{"game":"freedoom"}}}`, `{"peer":"shut_down"}`.

use std::net::SocketAddr;

use bonfire_proto::{GameId, PeerId};
use serde::{Deserialize, Serialize};

/// Anything a front end can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Games folder and catalog.
    Library(LibraryCommand),
    /// Downloads and what undoes them.
    Transfers(TransferCommand),
    /// This peer and its neighbours.
    Peer(NodeCommand),
}

/// Games folder and catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibraryCommand {
    /// Look at the games folder again, or at some games of it.
    Rescan {
        /// Only these; all when empty.
        #[serde(default)]
        games: Vec<GameId>,
    },
    /// Put a folder of the games folder into the catalog. Writes `version.ini` when the folder has none; touches no
    /// other file.
    CatalogAdd {
        /// The folder's name, which becomes the game's id.
        game: GameId,
        /// Name for people; the id when absent.
        #[serde(default)]
        name: Option<String>,
        /// Version to write when there is no `version.ini`; refused when it states another.
        #[serde(default)]
        version: Option<String>,
    },
    /// Take a game out of the catalog. Its files stay.
    CatalogRemove {
        /// The game.
        game: GameId,
    },
    /// Add the entries of an exported catalog to this one; entries with the same id are replaced.
    CatalogImport {
        /// The entries.
        entries: Vec<CatalogEntry>,
    },
}

/// One line of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// The game.
    pub id: GameId,
    /// Name for people, at most 128 bytes.
    pub name: String,
}

/// Downloads and what undoes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferCommand {
    /// Download a game, or its newer version. Replies with `Reply::Started` at once.
    Get {
        /// The game.
        game: GameId,
        /// Only the content that this peer offers.
        #[serde(default)]
        from: Option<PeerId>,
    },
    /// Cancel what is active for a game and sweep what it wrote.
    Cancel {
        /// The game.
        game: GameId,
    },
    /// Remove downloaded files of a game that is not installed.
    Remove {
        /// The game.
        game: GameId,
    },
    /// Read every file again, compare with the known hashes, fetch bad chunks anew from peers.
    Verify {
        /// The game.
        game: GameId,
    },
}

/// This peer and its neighbours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeCommand {
    /// Keep trying to reach a peer at this address (networks without multicast).
    AddPeer {
        /// Its listener.
        addr: SocketAddr,
    },
    /// Ask every connected peer to dial back. Replies with `Reply::Probed` when all answered or timed out.
    Probe,
    /// Stop in order: say goodbye, suspend downloads, close.
    ShutDown,
}

/// What a command is answered with at once. Long work answers `Started`; its outcome is an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type")]
pub enum Reply {
    /// Done, and durable where it changes something.
    Done,
    /// Work began (or was already under way) as this operation.
    Started {
        /// Its id, as events and the snapshot name it.
        op: u64,
    },
    /// What the catalog entry now says.
    CatalogEntry {
        /// The game.
        game: GameId,
        /// Name for people.
        name: String,
        /// Version that `version.ini` states.
        version: String,
        /// Whether `version.ini` was written.
        sentinel_written: bool,
    },
    /// Outcome of a probe, one entry for each connected peer.
    Probed {
        /// Results, sorted by peer.
        results: Vec<ProbeOutcome>,
    },
}

/// Whether one peer and this one reach each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// The peer.
    pub peer: PeerId,
    /// Its name for people.
    pub name: String,
    /// Whether a fresh connection from here to its listener came about.
    pub we_reach: bool,
    /// Whether it could open one to our listener.
    pub reaches_us: bool,
    /// Why not; empty when both hold.
    pub detail: String,
    /// Its clock minus ours in milliseconds, when it answered.
    pub clock_difference_ms: Option<i64>,
}
