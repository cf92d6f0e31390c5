//! One message of every type (and of every shape that a type has), with the name of its golden file.

#![allow(dead_code, reason = "each test file uses its part")]

mod pairing;
mod players;

use std::collections::BTreeSet;

use bonfire_proto::message::{
    Chunk, ChunkHashes, Control, ErrorMsg, GetChunkHashes, GetChunks, GetGame, GetLibraryDelta, GetLibrarySnapshot,
    Goodbye, Hello, LibraryDelta, LibraryDeltaMsg, LibrarySnapshot, LibrarySnapshotMsg, LibrarySummaryMsg, ManifestMsg,
    ManifestPage, Ping, Pong, ProbeBack, ProbeResult, Request, Response, Unchanged,
};
use bonfire_proto::message_pair::PairMessage;
use bonfire_proto::{
    Availability, ContentHash, Digest, ErrorCode, GameId, GameSummary, LibraryEpoch, LibrarySummary, Manifest,
    ManifestFile, PeerId, RelPath,
};

fn peer() -> PeerId {
    "6feecc8c-16c5-851d-9feb-3eb5f77e2da7".parse().unwrap()
}

fn epoch() -> LibraryEpoch {
    "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap()
}

fn id(name: &str) -> GameId {
    GameId::new(name).unwrap()
}

/// A game of two files: three chunks of data and the sentinel.
pub(crate) fn manifest() -> Manifest {
    let file = |path: &str, size, byte| ManifestFile {
        path: RelPath::new(path).unwrap(),
        size,
        blake3: Some(Digest([byte; 32])),
    };
    Manifest::new(id("doom"), "1.9".into(), vec![file("version.ini", 12, 0x11), file("data/pak0.eti", 9_437_185, 0x22)])
}

/// Two games: one with every field, one with as few as there can be.
pub(crate) fn games() -> Vec<GameSummary> {
    let manifest = manifest();
    vec![
        GameSummary {
            id: id("doom"),
            name: "Doom \u{2603}".into(),
            eti_version: "1.9".into(),
            size: manifest.size(),
            downloaded: true,
            installed: false,
            manifest_hash: manifest.manifest_hash,
            content_hash: manifest.content_hash,
            availability: Availability::Ready,
        },
        GameSummary {
            id: id("quake"),
            name: "Quake".into(),
            eti_version: String::new(),
            size: 0,
            downloaded: false,
            installed: true,
            manifest_hash: manifest.manifest_hash,
            content_hash: None,
            availability: Availability::LocalOnly,
        },
    ]
}

fn hello() -> Hello {
    Hello {
        peer_id: peer(),
        proto_ver: 1,
        listen_addr: "0.0.0.0:47800".into(),
        library_epoch: epoch(),
        library_rev: 7,
        library_digest: bonfire_proto::game::library_digest(&games()),
        features: BTreeSet::from(["chunks".into(), "probe".into()]),
        name: "attic".into(),
    }
}

fn delta() -> LibraryDeltaMsg {
    let mut games = games();
    let (updated, added) = (games.split_off(1), games);
    LibraryDeltaMsg {
        peer_id: peer(),
        delta: LibraryDelta {
            library_epoch: epoch(),
            from_rev: 6,
            to_rev: 7,
            added,
            updated,
            removed: vec![id("hexen")],
        },
    }
}

fn refusal() -> ErrorMsg {
    ErrorMsg::new(ErrorCode::NotFound, "no game \"heretic\" here")
}

/// Every control message.
pub(crate) fn control() -> Vec<(&'static str, Control)> {
    let summary = LibrarySummary {
        library_epoch: epoch(),
        library_rev: 7,
        library_digest: bonfire_proto::game::library_digest(&games()),
        game_count: 2,
    };
    let mut all = vec![
        ("hello", Control::Hello(hello())),
        ("hello_ack", Control::HelloAck(Hello { features: BTreeSet::new(), name: String::new(), ..hello() })),
        ("library_summary", Control::LibrarySummary(LibrarySummaryMsg { peer_id: peer(), summary })),
        ("library_delta", Control::LibraryDelta(delta())),
        ("ping", Control::Ping(Ping {})),
        ("pong", Control::Pong(Pong {})),
        ("goodbye", Control::Goodbye(Goodbye { peer_id: peer() })),
        ("error", Control::Error(ErrorMsg::new(ErrorCode::Unsupported, "unsupported type \"frobnicate\""))),
    ];
    all.extend(players::control());
    all
}

/// Every request.
pub(crate) fn request() -> Vec<(&'static str, Request)> {
    let manifest = manifest();
    let (game_id, manifest_hash) = (manifest.game_id.clone(), manifest.manifest_hash);
    let path = RelPath::new("data/pak0.eti").unwrap();
    let mut all = vec![
        ("get_library_delta", Request::GetLibraryDelta(GetLibraryDelta { library_epoch: epoch(), from_rev: 6 })),
        ("get_library_snapshot", Request::GetLibrarySnapshot(GetLibrarySnapshot {})),
        ("get_game", Request::GetGame(GetGame { game_id: game_id.clone(), known_manifest_hash: None })),
        (
            "get_game.known",
            Request::GetGame(GetGame { game_id: game_id.clone(), known_manifest_hash: Some(manifest_hash) }),
        ),
        (
            "get_chunk_hashes",
            Request::GetChunkHashes(GetChunkHashes { game_id: game_id.clone(), manifest_hash, path: path.clone() }),
        ),
        ("get_chunks", Request::GetChunks(GetChunks { game_id, manifest_hash, path, first: 1, count: 2 })),
        ("probe_back", Request::ProbeBack(ProbeBack { port: 47_800 })),
    ];
    all.extend(players::request());
    all
}

/// Every response.
pub(crate) fn response() -> Vec<(&'static str, Response)> {
    let Manifest { game_id, eti_version, manifest_hash, content_hash, files } = manifest();
    let page = |content_hash: Option<ContentHash>, files: Vec<ManifestFile>| {
        Response::Manifest(ManifestMsg {
            manifest: ManifestPage {
                game_id: game_id.clone(),
                eti_version: eti_version.clone(),
                manifest_hash,
                content_hash,
                files,
            },
            page: 0,
            pages: 1,
        })
    };
    let unread = files.iter().map(|f| ManifestFile { blake3: None, ..f.clone() }).collect();
    let mut all = vec![
        ("library_delta", Response::LibraryDelta(delta())),
        (
            "library_snapshot",
            Response::LibrarySnapshot(LibrarySnapshotMsg {
                peer_id: peer(),
                snapshot: LibrarySnapshot { library_epoch: epoch(), library_rev: 7, games: games() },
                page: 0,
                pages: 1,
            }),
        ),
        ("manifest", page(content_hash, files)),
        ("manifest.unread", page(None, unread)),
        ("unchanged", Response::Unchanged(Unchanged { manifest_hash })),
        (
            "chunk_hashes",
            Response::ChunkHashes(ChunkHashes {
                hashes: vec![Digest([0x33; 32]), Digest([0x44; 32])],
                page: 0,
                pages: 1,
            }),
        ),
        ("chunk", Response::Chunk(Chunk { index: 2, len: 1_048_577, hash: Digest([0x55; 32]) })),
        (
            "probe_result",
            Response::ProbeResult(ProbeResult {
                reached: false,
                detail: "timed out after 3 s".into(),
                unix_ms: 1_790_000_000_000,
            }),
        ),
        ("error", Response::Error(refusal())),
    ];
    all.extend(players::response());
    all
}

/// Every message of a pairing.
pub(crate) fn pair() -> Vec<(&'static str, PairMessage)> {
    pairing::all()
}
