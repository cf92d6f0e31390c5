//! Made-up views for the tests of what is shown.

use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves_view::{HeadView, SlotDeviceView, SlotView, VersionView};
use bonfire_proto::{GameId, PeerId, PlayerId, SlotName, SnapshotId, SnapshotKind};

/// The moment at which the tests look.
pub(crate) const NOW: u64 = 1_767_225_600_000;

/// The id that begins so.
pub(crate) fn id(start: &str) -> SnapshotId {
    format!("{start:0<64}").parse().unwrap()
}

/// A device by a number.
pub(crate) fn peer(n: u8) -> PeerId {
    format!("00000000-0000-8000-8000-0000000000{n:02x}").parse().unwrap()
}

/// A version of a minute ago, of 3 files and 2 KiB, made on `tower`.
pub(crate) fn version(start: &str) -> VersionView {
    VersionView {
        id: id(start),
        parents: Vec::new(),
        kind: SnapshotKind::Save,
        device: peer(1),
        device_name: "tower".to_owned(),
        created_at: NOW - 60_000,
        files: 3,
        size: 2048,
        played_ms: 0,
        content_hash: "0".repeat(64),
        is_stored: true,
        is_pinned: false,
        is_base: false,
        is_head: false,
        note: None,
        picture: None,
    }
}

/// A slot of `quake` with these heads, held by one of two devices.
pub(crate) fn slot(standing: Standing, heads: &[VersionView]) -> SlotView {
    let device = |n, name: &str, holds| SlotDeviceView {
        device: peer(n),
        name: name.to_owned(),
        is_current: holds,
        holds,
        last_synced_at: None,
        is_untracked: false,
    };
    SlotView {
        player: "11111111-1111-4111-8111-111111111111".parse::<PlayerId>().unwrap(),
        game: GameId::new("quake").unwrap(),
        slot: SlotName::main(),
        display_name: "main".to_owned(),
        is_here: true,
        paths: vec!["/saves/quake".to_owned()],
        standing,
        row: None,
        base: heads.iter().find(|v| v.is_base).map(|v| v.id),
        heads: heads.iter().map(|v| HeadView { id: v.id, version: Some(v.clone()), is_stored: v.is_stored }).collect(),
        sides: heads.iter().filter(|v| !v.is_base).map(|v| v.id).collect(),
        stored: heads.len() as u64,
        known: heads.len() as u64,
        held_by: 1,
        devices: vec![device(1, "tower", true), device(2, "deck", false)],
        is_untracked: false,
        is_running: false,
        keep: 10,
        autocleanup: true,
        copies: Vec::new(),
        error: None,
    }
}
