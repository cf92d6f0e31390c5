//! What a front end can ask of a peer: plain data, grouped by the state that it changes. Reads are not commands; they
//! come from the snapshot.
//!
//! JSON form (control socket, stdin of `run --json`): one key for the group, one for the command:
//! `{"transfers":{"get":{"game":"freedoom"}}}`, `{"peer":"shut_down"}`.

pub mod devices;
pub mod saves;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bonfire_proto::{GameId, PeerId, PlayerId, SnapshotId};
use serde::{Deserialize, Serialize};

use crate::installs::StartCommand;
use crate::saves::compare::Comparison;
use crate::saves_view::{AuditEntry, PictureView, SlotView, VersionView};
pub use devices::{DevicesCommand, RegisteredAs};
pub use saves::{AuditFilter, PictureAct, Placed, ResolveWith, RootSpec, SaveRef, SavesCommand};

/// Anything a front end can ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Games folder and catalog.
    Library(LibraryCommand),
    /// Downloads and what undoes them.
    Transfers(TransferCommand),
    /// Installs.
    Installs(InstallCommand),
    /// Games that are played.
    Plays(PlayCommand),
    /// Saves.
    Saves(SavesCommand),
    /// Players and their devices.
    Devices(DevicesCommand),
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
        /// Where it keeps its saves, as `CatalogEntry::saves`; as the entry had it when absent.
        #[serde(default)]
        saves: Option<Vec<String>>,
        /// How it is started, as `CatalogEntry::start`; platforms that are not named stay as the entry had them.
        #[serde(default)]
        start: BTreeMap<String, StartCommand>,
    },
    /// Take a game out of the catalog. Its files stay.
    CatalogRemove {
        /// The game.
        game: GameId,
    },
    /// Add the entries of an exported catalog to this one; entries with the same id are replaced. Their start commands
    /// are taken for somebody else's (`StartCommand::imported`).
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
    /// Where it keeps its saves: paths with the placeholders of save manifests, at most `CATALOG_SAVES_MAX`. Others than
    /// legal ones are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saves: Vec<String>,
    /// How it is started once it is installed, by platform (`PLATFORMS`). Others than legal ones are passed over.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub start: BTreeMap<String, StartCommand>,
}

/// Most paths of saves in an entry of the catalog.
pub const CATALOG_SAVES_MAX: usize = 32;

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
        /// Also put back what somebody wrote to since it was installed. What is there is kept beside.
        #[serde(default)]
        restore: bool,
    },
}

/// Installs of games that are downloaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallCommand {
    /// Unpack a game that is downloaded and not installed. Replies with `Reply::Started` at once.
    Install {
        /// The game.
        game: GameId,
    },
    /// Put what is downloaded in the place of what is installed. Files of the player stay. Replies with `Reply::Started`.
    Update {
        /// The game.
        game: GameId,
    },
    /// Take an install away; what is downloaded stays. Replies with `Reply::Started`.
    Uninstall {
        /// The game.
        game: GameId,
        /// Also when files of the player go with it.
        #[serde(default)]
        force: bool,
    },
}

/// Games that are played, also those of which no save is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlayCommand {
    /// A game is about to be started here. Refused as `busy` while its install is changed or verified; from the reply on
    /// nothing is changed there as long as a process that was named of it lives.
    Begins {
        /// The game.
        game: GameId,
        /// The process that waits for it to end.
        pid: u32,
    },
    /// The game runs, as this process or waited for by it. Never refused.
    Is {
        /// The game.
        game: GameId,
        /// The process.
        pid: u32,
    },
    /// It has ended.
    Ends {
        /// The game.
        game: GameId,
        /// The processes that were named of it.
        pids: Vec<u32>,
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
    /// How a slot stands now.
    Save {
        /// The slot.
        slot: Box<SlotView>,
    },
    /// The versions of a slot, newest first.
    History {
        /// The versions.
        versions: Vec<VersionView>,
    },
    /// What the audit log says, newest first.
    Audit {
        /// The entries.
        entries: Vec<AuditEntry>,
    },
    /// Stored versions were read and compared.
    Verified {
        /// Versions that were read.
        versions: u64,
        /// Bytes that were read.
        bytes: u64,
        /// What is damaged, for people; empty when nothing is.
        damaged: Vec<String>,
        /// What could not be read, for people: whether it is whole is not known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        unread: Vec<String>,
    },
    /// How the files of two versions differ.
    Compared {
        /// The first.
        from: SnapshotId,
        /// The second.
        to: SnapshotId,
        /// How they differ.
        #[serde(flatten)]
        comparison: Comparison,
    },
    /// A version was written as an archive.
    Exported {
        /// The archive.
        path: String,
    },
    /// The picture of a version, as it is now.
    Picture {
        /// The version.
        snapshot: SnapshotId,
        /// Its picture.
        picture: Box<PictureView>,
        /// Where it was written to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
    },
    /// A player.
    Player {
        /// The player.
        player: PlayerId,
    },
    /// A code to type on the other device.
    PairCode {
        /// The code.
        code: String,
        /// How long it may be typed, in seconds.
        seconds: u64,
        /// How often it may be tried.
        tries: u8,
        /// Whether the other device joins a player of this one; else this one joins.
        invites: bool,
    },
    /// A token for the configuration of an unattended device. Shown once.
    PairToken {
        /// The token.
        token: String,
    },
    /// This device and another one are of one player now.
    Paired {
        /// The player.
        player: PlayerId,
        /// The other device.
        device: PeerId,
        /// Its name for people.
        name: String,
    },
    /// What this device is to the player.
    Registered {
        /// A new device, or one that was known.
        as_what: RegisteredAs,
        /// The device that it was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<PeerId>,
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
