//! Every message of wire version 1, one struct each. Field docs carry units and bounds; `docs/formats/wire.md` is
//! generated from them.
//!
//! Three families share the frame format but not a stream: `Control` travels on the first bidirectional stream of the
//! dialer in both directions; a `Request` opens a bidirectional stream of its own; `Response` frames answer it there.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error_code::ErrorCode;
use crate::game::{GameSummary, LibrarySummary, ManifestFile};
use crate::ids::{ContentHash, Digest, GameId, LibraryEpoch, ManifestHash, PeerId};
use crate::limits;
use crate::message_save::{GetObjects, GetSnapshots, SnapshotsMsg};
use crate::message_sidecar::{AvailabilityDigest, GetSidecar, SidecarAnswer, SidecarQuery};
use crate::message_sync::{
    AckSharedChanges, SharedChange, SharedChangeBatch, SharedChangeRequest, SharedChangeResponse, StateBatch,
    StateChange, StateRequest, StateResponse,
};
use crate::rel_path::RelPath;

/// A family of messages that a stream carries.
pub trait Family: Serialize + for<'de> Deserialize<'de> {
    /// Every value of `"type"` in the family.
    const TYPES: &'static [&'static str];

    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    fn check(&self) -> Result<(), &'static str>;
}

/// Opens a connection, from the dialer. Answered by `hello_ack`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who is speaking; must be the id that the TLS certificate proves.
    pub peer_id: PeerId,
    /// Protocol version; 1.
    pub proto_ver: u32,
    /// Where the sender's listener is reached: `IP:port`. An unspecified IP (`0.0.0.0`, `[::]`) stands for "the address
    /// that you see me at", with this port.
    pub listen_addr: String,
    /// Life of the sender's database.
    pub library_epoch: LibraryEpoch,
    /// Revision of the sender's library within the epoch.
    pub library_rev: u64,
    /// Digest of the sender's library at that revision.
    pub library_digest: Digest,
    /// Names of optional features the sender speaks; unknown ones are ignored. At most 32.
    pub features: BTreeSet<String>,
    /// Name of the machine for people, at most 128 bytes; cleaned before it is shown.
    pub name: String,
}

/// Tells where the sender's library stands, after a hello and whenever a delta would not be smaller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySummaryMsg {
    /// Whose library.
    pub peer_id: PeerId,
    /// Where it stands.
    pub summary: LibrarySummary,
}

/// Changes between two revisions of one epoch. Idempotent: ignored when `to_rev` is not above the known revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryDelta {
    /// The epoch that both revisions belong to.
    pub library_epoch: LibraryEpoch,
    /// Revision that the delta applies to.
    pub from_rev: u64,
    /// Revision that it leads to.
    pub to_rev: u64,
    /// Games not in the library at `from_rev`, sorted by id.
    pub added: Vec<GameSummary>,
    /// Games that differ from `from_rev`, sorted by id.
    pub updated: Vec<GameSummary>,
    /// Games gone since `from_rev`, sorted.
    pub removed: Vec<GameId>,
}

/// A delta and whose it is; pushed on the control stream and sent as an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryDeltaMsg {
    /// Whose library.
    pub peer_id: PeerId,
    /// What changed.
    pub delta: LibraryDelta,
}

/// One page of a whole library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySnapshot {
    /// The epoch of the revision.
    pub library_epoch: LibraryEpoch,
    /// The revision that the games stand at; the same on every page.
    pub library_rev: u64,
    /// Games of this page, sorted by id across pages.
    pub games: Vec<GameSummary>,
}

/// Page `page` of `pages` of the sender's library, in order on one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibrarySnapshotMsg {
    /// Whose library.
    pub peer_id: PeerId,
    /// The page.
    pub snapshot: LibrarySnapshot,
    /// Counted from 0.
    pub page: u32,
    /// At least 1, at most 4,096; the same on every page.
    pub pages: u32,
}

/// "I am leaving." A hint: correctness never depends on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Who leaves.
    pub peer_id: PeerId,
}

/// Asks for a sign of life; sent only when the connection was idle. No fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

/// Answers `ping`. No fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {}

/// A refusal. On a request's stream it is the answer, or its end. On the control stream `unsupported` says that a message
/// was not understood and changes nothing else; any other code ends the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorMsg {
    /// What kind of refusal.
    pub code: ErrorCode,
    /// For people, at most 512 bytes; cleaned before it is shown.
    pub message: String,
}

impl ErrorMsg {
    /// An error frame; the message is cut to its bound.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl AsRef<str>) -> Self {
        Self { code, message: crate::text::clean_to(message.as_ref(), limits::ERROR_MESSAGE_LEN_MAX) }
    }
}

/// Messages of the control stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Control {
    /// First frame, from the dialer.
    Hello(Hello),
    /// First frame, from the dialled: the same fields about itself.
    HelloAck(Hello),
    /// Where the sender's library stands.
    LibrarySummary(LibrarySummaryMsg),
    /// What changed in the sender's library.
    LibraryDelta(LibraryDeltaMsg),
    /// One change of device-owned state.
    StateChange(StateChange),
    /// Several of them.
    StateBatch(StateBatch),
    /// One shared change.
    SharedChange(SharedChange),
    /// Several of them.
    SharedChangeBatch(SharedChangeBatch),
    /// What the sender holds of an author's shared changes.
    AckSharedChanges(AckSharedChanges),
    /// Which pictures the sender has.
    AvailabilityDigest(AvailabilityDigest),
    /// Asks for a sign of life.
    Ping(Ping),
    /// The sign of life.
    Pong(Pong),
    /// The sender leaves.
    Goodbye(Goodbye),
    /// A message was not understood, or the sender gives up on this connection.
    Error(ErrorMsg),
}

/// Asks for the changes since a revision. Answered by `library_delta`, or by `library_snapshot` pages when the delta is
/// not to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLibraryDelta {
    /// The epoch that the asker knows.
    pub library_epoch: LibraryEpoch,
    /// The revision that the asker knows.
    pub from_rev: u64,
}

/// Asks for the whole library. Answered by `library_snapshot` pages. No fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetLibrarySnapshot {}

/// Asks for the file list of a game. Answered by `manifest` pages, or `unchanged`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetGame {
    /// The game.
    pub game_id: GameId,
    /// The list that the asker already holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_manifest_hash: Option<ManifestHash>,
}

/// Asks for the chunk digests of one file. Answered by `chunk_hashes` pages, or `error` `not_ready` while the file was
/// not hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetChunkHashes {
    /// The game.
    pub game_id: GameId,
    /// The list that the path belongs to; `conflict` when the game changed.
    pub manifest_hash: ManifestHash,
    /// The file.
    pub path: RelPath,
}

/// Asks for consecutive chunks of one file. Answered by, for each chunk, a `chunk` frame and then exactly its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetChunks {
    /// The game.
    pub game_id: GameId,
    /// The list that the path belongs to; `conflict` when the game changed.
    pub manifest_hash: ManifestHash,
    /// The file.
    pub path: RelPath,
    /// Index of the first chunk, from 0.
    pub first: u32,
    /// How many, from 1 to 64.
    pub count: u32,
}

/// Asks the other side to open a connection back, to learn whether it can be reached. It dials the address that it sees
/// the asker at, with this port, and no other. Answered by `probe_result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeBack {
    /// Port of the asker's listener.
    pub port: u16,
}

/// Requests, each on a bidirectional stream of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// Changes since a revision.
    GetLibraryDelta(GetLibraryDelta),
    /// The whole library.
    GetLibrarySnapshot(GetLibrarySnapshot),
    /// A game's file list.
    GetGame(GetGame),
    /// A file's chunk digests.
    GetChunkHashes(GetChunkHashes),
    /// Chunks of a file.
    GetChunks(GetChunks),
    /// Device-owned state.
    StateRequest(StateRequest),
    /// Shared changes.
    SharedChangeRequest(SharedChangeRequest),
    /// Snapshots.
    GetSnapshots(GetSnapshots),
    /// Objects of a snapshot.
    GetObjects(GetObjects),
    /// Which of some pictures are held.
    SidecarQuery(SidecarQuery),
    /// A picture.
    GetSidecar(GetSidecar),
    /// Whether the asker can be reached.
    ProbeBack(ProbeBack),
}

/// One page of a game's manifest. The hashes and the version are the same on every page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestPage {
    /// The game.
    pub game_id: GameId,
    /// Version as `version.ini` states it, at most 64 bytes.
    pub eti_version: String,
    /// Hash over (path, size) of all pages' files.
    pub manifest_hash: ManifestHash,
    /// Hash over (path, size, BLAKE3), when every file was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<ContentHash>,
    /// Files of this page, sorted by path across pages; in all at most 200,000 and 1 TiB.
    pub files: Vec<ManifestFile>,
}

/// Page `page` of `pages` of a manifest, in order on one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestMsg {
    /// The page.
    pub manifest: ManifestPage,
    /// Counted from 0.
    pub page: u32,
    /// At least 1, at most 4,096; the same on every page.
    pub pages: u32,
}

/// The asker's list is the one that stands. Answers `get_game`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchanged {
    /// The list's hash.
    pub manifest_hash: ManifestHash,
}

/// One page of a file's chunk digests, in order of their index across pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkHashes {
    /// Digests of this page; at most 7,000.
    pub hashes: Vec<Digest>,
    /// Counted from 0.
    pub page: u32,
    /// At least 1, at most 4,096; the same on every page.
    pub pages: u32,
}

/// Announces one chunk of a game, one object of a save, or a picture: exactly `len` raw bytes follow the frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Index of the chunk in its file; for an object, its position among those that were asked for; 0 for a picture.
    pub index: u32,
    /// Bytes that follow, at most 4 MiB.
    pub len: u32,
    /// Digest of those bytes as chunk `index` of the file. A file of several chunks uses BLAKE3 chaining values; the
    /// only chunk of a file uses the file's BLAKE3 hash. An object and a picture have their own BLAKE3 hash.
    pub hash: Digest,
}

/// What came of a `probe_back`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Whether a connection to the asker's listener came about and proved the asker's identity.
    pub reached: bool,
    /// Why not, for people, at most 512 bytes; empty when reached.
    pub detail: String,
    /// The answering side's clock, in milliseconds since 1970-01-01 UTC. For showing a difference, never for a decision.
    pub unix_ms: u64,
}

/// Answers on a request's stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// Changes since the asked revision.
    LibraryDelta(LibraryDeltaMsg),
    /// A page of the library.
    LibrarySnapshot(LibrarySnapshotMsg),
    /// A page of a manifest.
    Manifest(ManifestMsg),
    /// The asker's manifest stands.
    Unchanged(Unchanged),
    /// A page of chunk digests.
    ChunkHashes(ChunkHashes),
    /// A chunk, an object or a picture; its bytes follow.
    Chunk(Chunk),
    /// A page of device-owned state.
    StateResponse(StateResponse),
    /// A page of shared changes.
    SharedChangeResponse(SharedChangeResponse),
    /// Snapshots.
    Snapshots(SnapshotsMsg),
    /// Pictures that are held.
    SidecarAnswer(SidecarAnswer),
    /// What came of a probe.
    ProbeResult(ProbeResult),
    /// A refusal.
    Error(ErrorMsg),
}

impl Family for Control {
    const TYPES: &'static [&'static str] = &[
        "hello",
        "hello_ack",
        "library_summary",
        "library_delta",
        "state_change",
        "state_batch",
        "shared_change",
        "shared_change_batch",
        "ack_shared_changes",
        "availability_digest",
        "ping",
        "pong",
        "goodbye",
        "error",
    ];

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Hello(h) | Self::HelloAck(h) => h.check(),
            Self::LibraryDelta(m) => m.delta.check(),
            Self::StateChange(m) => m.record.check(),
            Self::StateBatch(m) => m.check(),
            Self::SharedChange(m) => m.entry.check(),
            Self::SharedChangeBatch(m) => m.check(),
            Self::AckSharedChanges(m) => bound(i64::try_from(m.up_to_seq).is_ok(), "up_to_seq"),
            Self::AvailabilityDigest(m) => m.check(),
            Self::Error(e) => bound(e.message.len() <= limits::ERROR_MESSAGE_LEN_MAX, "message"),
            Self::LibrarySummary(_) | Self::Ping(_) | Self::Pong(_) | Self::Goodbye(_) => Ok(()),
        }
    }
}

impl Family for Request {
    const TYPES: &'static [&'static str] = &[
        "get_library_delta",
        "get_library_snapshot",
        "get_game",
        "get_chunk_hashes",
        "get_chunks",
        "state_request",
        "shared_change_request",
        "get_snapshots",
        "get_objects",
        "sidecar_query",
        "get_sidecar",
        "probe_back",
    ];

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::GetChunks(g) => bound((1..=limits::CHUNKS_PER_REQUEST_MAX).contains(&g.count), "count"),
            Self::StateRequest(r) => r.check(),
            Self::SharedChangeRequest(r) => r.check(),
            Self::GetSnapshots(r) => r.check(),
            Self::GetObjects(r) => r.check(),
            Self::SidecarQuery(r) => r.check(),
            Self::GetLibraryDelta(_)
            | Self::GetLibrarySnapshot(_)
            | Self::GetGame(_)
            | Self::GetChunkHashes(_)
            | Self::GetSidecar(_)
            | Self::ProbeBack(_) => Ok(()),
        }
    }
}

impl Family for Response {
    const TYPES: &'static [&'static str] = &[
        "library_delta",
        "library_snapshot",
        "manifest",
        "unchanged",
        "chunk_hashes",
        "chunk",
        "state_response",
        "shared_change_response",
        "snapshots",
        "sidecar_answer",
        "probe_result",
        "error",
    ];

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::LibraryDelta(m) => m.delta.check(),
            Self::LibrarySnapshot(m) => {
                pages(m.page, m.pages)?;
                m.snapshot.games.iter().try_for_each(GameSummary::check)
            }
            Self::Manifest(m) => {
                pages(m.page, m.pages)?;
                bound(m.manifest.eti_version.len() <= limits::VERSION_LEN_MAX, "eti_version")
            }
            Self::ChunkHashes(c) => {
                pages(c.page, c.pages)?;
                bound(c.hashes.len() <= limits::HASHES_PER_PAGE, "hashes")
            }
            Self::Chunk(c) => bound(u64::from(c.len) <= crate::CHUNK_LEN, "len"),
            Self::StateResponse(m) => m.check(),
            Self::SharedChangeResponse(m) => m.check(),
            Self::Snapshots(m) => m.check(),
            Self::SidecarAnswer(m) => m.check(),
            Self::Error(e) => bound(e.message.len() <= limits::ERROR_MESSAGE_LEN_MAX, "message"),
            Self::ProbeResult(p) => bound(p.detail.len() <= limits::ERROR_MESSAGE_LEN_MAX, "detail"),
            Self::Unchanged(_) => Ok(()),
        }
    }
}

impl Hello {
    fn check(&self) -> Result<(), &'static str> {
        bound(self.name.len() <= limits::TEXT_LEN_MAX, "name")?;
        bound(self.listen_addr.len() <= limits::TEXT_LEN_MAX, "listen_addr")?;
        bound(
            self.features.len() <= limits::FEATURES_MAX
                && self.features.iter().all(|f| f.len() <= limits::TEXT_LEN_MAX),
            "features",
        )
    }
}

impl LibraryDelta {
    fn check(&self) -> Result<(), &'static str> {
        bound(self.from_rev <= self.to_rev, "to_rev")?;
        self.added.iter().chain(&self.updated).try_for_each(GameSummary::check)
    }
}

impl GameSummary {
    fn check(&self) -> Result<(), &'static str> {
        bound(self.name.len() <= limits::TEXT_LEN_MAX, "name")?;
        bound(self.eti_version.len() <= limits::VERSION_LEN_MAX, "eti_version")?;
        bound(self.size <= limits::MANIFEST_SIZE_MAX, "size")
    }
}

fn pages(page: u32, pages: u32) -> Result<(), &'static str> {
    bound((1..=limits::PAGES_MAX).contains(&pages), "pages")?;
    bound(page < pages, "page")
}

pub(crate) fn bound(holds: bool, field: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(field) }
}
