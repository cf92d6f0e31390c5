//! Messages about a player's things: two devices, one of which has just introduced itself, and one save between them. Ids,
//! times and the snapshot belong together.

use bonfire_proto::digest::FieldHasher;
use bonfire_proto::message::{Chunk, Control, Request, Response};
use bonfire_proto::message_save::{GetObjects, GetSnapshots, SnapshotsMsg};
use bonfire_proto::message_sidecar::{AvailabilityDigest, GetSidecar, SidecarAnswer, SidecarQuery};
use bonfire_proto::message_sync::{
    AckSharedChanges, ChangeType, RecordData, SharedChange, SharedChangeBatch, SharedChangeRequest,
    SharedChangeResponse, SharedEntry, StateBatch, StateChange, StateMark, StateRecord, StateRequest, StateResponse,
    Watermark,
};
use bonfire_proto::save::snapshot_id;
use bonfire_proto::{DeviceEpoch, Digest, Hlc, ObjectRef, PeerId, PlayerId, SnapshotId};
use serde_json::json;
use uuid::Uuid;

/// The text that other tests hold to be the snapshot of this save, without the line feed of the file.
const SNAPSHOT: &str = include_str!("../golden/snapshot.json");

pub(super) fn player() -> PlayerId {
    PlayerId(Uuid::from_bytes([7; 16]))
}

fn device(n: u8) -> PeerId {
    PeerId::from_uuid(Uuid::from_bytes([n; 16]))
}

fn life(n: u8) -> DeviceEpoch {
    DeviceEpoch(Uuid::from_bytes([0xe0 | n; 16]))
}

fn snapshot() -> SnapshotId {
    snapshot_id(SNAPSHOT.trim_end().as_bytes())
}

/// The id of a slot's record, as the page says that it is made.
fn slot_id(game: &str, slot: &str) -> Uuid {
    let mut hasher = FieldHasher::new();
    hasher.field(b"slot").field(game.as_bytes()).field(slot.as_bytes());
    Uuid::new_v8(hasher.finish().0[..16].try_into().unwrap())
}

fn data(value: &serde_json::Value) -> RecordData {
    value.as_object().unwrap().clone()
}

/// The device's own record, with which each of its lives begins.
fn introduction() -> SharedEntry {
    SharedEntry {
        device_id: device(9),
        device_epoch: life(9),
        seq: 1,
        hlc: Hlc { ms: 1_760_000_000_123, count: 0, device: device(9) },
        model_type: "device".into(),
        record_uuid: *device(9).as_uuid(),
        change_type: ChangeType::Insert,
        data: data(&json!({
            "epoch": life(9), "name": "attic", "platform": "linux", "client": "bonfire", "client_version": "0.1.0",
            "role": "personal", "sync_mode": "api", "enabled": true,
        })),
    }
}

/// A slot that is renamed.
fn rename() -> SharedEntry {
    SharedEntry {
        seq: 2,
        hlc: Hlc { ms: 1_760_000_000_200, count: 1, device: device(9) },
        model_type: "slot".into(),
        record_uuid: slot_id("nethack", "main"),
        change_type: ChangeType::Update,
        data: data(&json!({ "display_name": "The wizard", "retention": null })),
        ..introduction()
    }
}

fn deletion() -> SharedEntry {
    SharedEntry { seq: 3, change_type: ChangeType::Delete, data: RecordData::new(), ..rename() }
}

fn head() -> StateRecord {
    StateRecord {
        device_id: device(9),
        device_epoch: life(9),
        generation: 1,
        version: 4,
        model_type: "slot_head".into(),
        record_uuid: rename().record_uuid,
        data: Some(data(&json!({
            "game": "nethack", "slot": "main", "head": snapshot(), "base": snapshot(), "have": [snapshot()],
            "is_untracked": false, "is_current": true, "last_synced_at": 1_760_000_000_456_u64,
        }))),
        timestamp: 1_760_000_000_456,
    }
}

fn gone() -> StateRecord {
    StateRecord { version: 5, data: None, timestamp: 1_760_000_000_789, ..head() }
}

fn mark(n: u8, seq: u64) -> Watermark {
    Watermark { device_id: device(n), device_epoch: life(n), seq }
}

fn state_mark(n: u8, version: u64) -> StateMark {
    StateMark { device_id: device(n), generation: 1, device_epoch: life(n), version }
}

fn object() -> ObjectRef {
    ObjectRef { hash: Digest([5; 32]), len: 40_000 }
}

fn picture() -> Digest {
    Digest([6; 32])
}

pub(super) fn control() -> Vec<(&'static str, Control)> {
    let player_id = player();
    let ack = AckSharedChanges {
        player_id,
        from_device: device(10),
        from_epoch: life(10),
        device_id: device(9),
        device_epoch: life(9),
        up_to_seq: 2,
        up_to_hlc: Some(rename().hlc),
    };
    vec![
        ("state_change", Control::StateChange(StateChange { player_id, record: head() })),
        ("state_change.gone", Control::StateChange(StateChange { player_id, record: gone() })),
        ("state_batch", Control::StateBatch(StateBatch { player_id, records: vec![head()] })),
        ("shared_change", Control::SharedChange(SharedChange { player_id, entry: introduction() })),
        ("shared_change.delete", Control::SharedChange(SharedChange { player_id, entry: deletion() })),
        (
            "shared_change_batch",
            Control::SharedChangeBatch(SharedChangeBatch { player_id, entries: vec![introduction(), rename()] }),
        ),
        ("ack_shared_changes", Control::AckSharedChanges(ack.clone())),
        ("ack_shared_changes.plain", Control::AckSharedChanges(AckSharedChanges { up_to_hlc: None, ..ack })),
        (
            "availability_digest",
            Control::AvailabilityDigest(AvailabilityDigest {
                player_id,
                is_anew: true,
                has: vec![picture()],
                lacks: vec![],
            }),
        ),
        (
            "availability_digest.change",
            Control::AvailabilityDigest(AvailabilityDigest {
                player_id,
                is_anew: false,
                has: vec![],
                lacks: vec![picture()],
            }),
        ),
    ]
}

pub(super) fn request() -> Vec<(&'static str, Request)> {
    let player_id = player();
    let everything =
        StateRequest { player_id, model_types: vec![], device_id: None, since: vec![state_mark(9, 3)], limit: 1_024 };
    let heads = StateRequest {
        model_types: vec!["slot_head".into()],
        device_id: Some(device(9)),
        since: vec![],
        limit: 100,
        ..everything.clone()
    };
    let missing = SharedChangeRequest {
        player_id,
        since: vec![mark(9, 1), mark(10, 17)],
        since_hlc: Some(introduction().hlc),
        limit: 1_024,
    };
    vec![
        ("state_request", Request::StateRequest(everything)),
        ("state_request.some", Request::StateRequest(heads)),
        ("shared_change_request", Request::SharedChangeRequest(missing)),
        (
            "shared_change_request.all",
            Request::SharedChangeRequest(SharedChangeRequest { player_id, since: vec![], since_hlc: None, limit: 64 }),
        ),
        ("get_snapshots", Request::GetSnapshots(GetSnapshots { player_id, ids: vec![snapshot()] })),
        (
            "get_objects",
            Request::GetObjects(GetObjects { player_id, snapshot_id: snapshot(), objects: vec![object()] }),
        ),
        ("sidecar_query", Request::SidecarQuery(SidecarQuery { player_id, hashes: vec![picture(), Digest([1; 32])] })),
        ("get_sidecar", Request::GetSidecar(GetSidecar { player_id, hash: picture() })),
    ]
}

pub(super) fn response() -> Vec<(&'static str, Response)> {
    let player_id = player();
    let page = SharedChangeResponse { player_id, entries: vec![rename()], floors: vec![mark(10, 17)], has_more: true };
    let whole = SharedChangeResponse { entries: vec![deletion()], floors: vec![], has_more: false, ..page.clone() };
    vec![
        (
            "state_response",
            Response::StateResponse(StateResponse {
                player_id,
                records: vec![head(), gone()],
                up_to: vec![state_mark(9, 5)],
                has_more: false,
            }),
        ),
        (
            "state_response.nothing",
            Response::StateResponse(StateResponse { player_id, records: vec![], up_to: vec![], has_more: false }),
        ),
        ("shared_change_response", Response::SharedChangeResponse(whole)),
        ("shared_change_response.page", Response::SharedChangeResponse(page)),
        ("chunk.object", Response::Chunk(Chunk { index: 0, len: object().len, hash: object().hash })),
        (
            "snapshots",
            Response::Snapshots(SnapshotsMsg { snapshots: vec![SNAPSHOT.trim_end().to_owned()], has_more: false }),
        ),
        ("sidecar_answer", Response::SidecarAnswer(SidecarAnswer { player_id, has: vec![picture()] })),
        ("chunk.picture", Response::Chunk(Chunk { index: 0, len: 48_123, hash: picture() })),
    ]
}
