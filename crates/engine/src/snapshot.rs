//! The state that a front end draws: one value, replaced whole, coalesced. Progress lives here and nowhere else.

use std::sync::Arc;

use std::collections::BTreeMap;

use bonfire_proto::{Availability, ContentHash, Digest, GameId, LibraryEpoch, ManifestHash, PeerId};
use serde::{Deserialize, Serialize};

use crate::installs::StartCommand;
use crate::report::Report;
use crate::saves_view::PlayerView;
use crate::time::{Instant, UnixMillis};

/// Everything a front end can show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Number of the last event that this snapshot includes.
    pub seq: u64,
    /// This peer.
    pub me: NodeView,
    /// What this peer holds or lists in its catalog, sorted by id. Snapshots share the games that did not change.
    pub games: Vec<Arc<GameView>>,
    /// Other peers, sorted by id; the lost ones stay for a while.
    pub peers: Vec<PeerView>,
    /// Active operations, sorted by id.
    pub operations: Vec<OperationView>,
    /// What is wrong at present, sorted by code and message.
    pub problems: Vec<Report>,
    /// The players of this device with their devices and saves, sorted by id.
    #[serde(default)]
    pub players: Vec<PlayerView>,
}

/// This peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeView {
    /// Who.
    pub peer: PeerId,
    /// Name for people.
    pub name: String,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Where it listens.
    pub listen_addr: String,
    /// The games folder.
    pub games_dir: String,
    /// Life of the state database.
    pub library_epoch: LibraryEpoch,
    /// Revision of the library.
    pub library_rev: u64,
    /// Digest of the library.
    pub library_digest: Digest,
    /// When it started.
    pub started_at: UnixMillis,
    /// Whether it announces itself and looks for others over mDNS; whether that works, `problems` says.
    #[serde(default)]
    pub mdns: bool,
}

/// A game here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// The game.
    pub id: GameId,
    /// Name for people.
    pub name: String,
    /// Version here; empty when not downloaded or not stated.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Number of files.
    pub files: u64,
    /// Whether the sentinel is a regular file.
    pub downloaded: bool,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Version of what is installed, where it is known: `version` is the one that is downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed_version: Option<String>,
    /// Whether the catalog lists it.
    pub in_catalog: bool,
    /// Where it keeps its saves, as the catalog says: paths with placeholders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub saves: Vec<String>,
    /// How it is started, as the catalog says, by platform.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub start: BTreeMap<String, StartCommand>,
    /// As told to others.
    pub availability: Availability,
    /// Hash of the file list, when there are files.
    pub manifest_hash: Option<ManifestHash>,
    /// Hash of the content, once read.
    pub content_hash: Option<ContentHash>,
    /// What is wrong with it (links, illegal names, a sentinel that is a folder ..).
    pub problems: Vec<String>,
    /// Version of a download or repair that was begun here and that nothing is working on: `get` goes on with it, `cancel`
    /// sweeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<String>,
}

/// Another peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerView {
    /// Who.
    pub peer: PeerId,
    /// Name for people, cleaned.
    pub name: String,
    /// Its listener.
    pub addr: String,
    /// Whether a connection stands.
    pub connected: bool,
    /// How it was found: `mdns`, `static` or `incoming`.
    pub found_by: String,
    /// Milliseconds since its last message.
    pub idle_ms: u64,
    /// Round-trip time of the connection in microseconds; 0 when unknown.
    pub rtt_us: u64,
    /// Revision of its library as known here.
    pub library_rev: u64,
    /// Its games, sorted by id. Snapshots share the games that did not change.
    pub games: Vec<Arc<RemoteGameView>>,
}

/// A game of another peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteGameView {
    /// The game.
    pub id: GameId,
    /// Name for people, cleaned.
    pub name: String,
    /// Version there.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Whether it is downloaded there.
    pub downloaded: bool,
    /// Whether it is installed there.
    pub installed: bool,
    /// Whether it can be had.
    pub availability: Availability,
    /// Hash of the file list.
    pub manifest_hash: ManifestHash,
    /// Hash of the content, once it was read there.
    pub content_hash: Option<ContentHash>,
}

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Fetches a game.
    Download,
    /// Removes downloaded files.
    Remove,
    /// Reads, compares, repairs.
    Verify,
    /// Unpacks a game that is not installed.
    Install,
    /// Puts what is downloaded in the place of an install.
    Update,
    /// Takes an install away.
    Uninstall,
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No usable source is connected; goes on by itself when one is.
    Waiting,
    /// Connecting and reading the file list.
    Preparing,
    /// Looking at what is already here.
    Checking,
    /// Fetching chunks.
    Transferring,
    /// Unpacking what is downloaded.
    Unpacking,
    /// Making it durable and marking it complete.
    Committing,
    /// Cancelled; sweeping.
    Cancelling,
    /// Work is over; reading the folder again before it is let go.
    Settling,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// An active operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationView {
    /// The operation.
    pub op: u64,
    /// What it does.
    pub kind: OperationKind,
    /// The game.
    pub game: GameId,
    /// Where it stands.
    pub phase: Phase,
    /// Version that a download leads to.
    pub version: String,
    /// Bytes verified (or checked) so far.
    pub done_bytes: u64,
    /// Bytes in all; 0 while unknown.
    pub total_bytes: u64,
    /// Files unpacked so far.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub done_files: u64,
    /// Files to unpack in all; 0 while unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total_files: u64,
    /// Bytes per second over the last seconds.
    pub bytes_per_second: u64,
    /// Milliseconds until done at that speed; absent when it cannot be said.
    pub eta_ms: Option<u64>,
    /// Sources in use, sorted.
    pub sources: Vec<PeerId>,
    /// Why it stands still, when it does.
    pub error: Option<Report>,
    /// Since when it has waited for a source, in milliseconds after `NodeView::started_at`; absent while it moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<Instant>,
}
