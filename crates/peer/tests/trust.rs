//! What whoever is no device of a player, or is none any more, gets of that player's saves: nothing.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod player;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use std::collections::BTreeSet;

use bonfire_engine::command::{DevicesCommand, PictureAct, SaveRef, SavesCommand};
use bonfire_net::Answer;
use bonfire_proto::limits::OBJECTS_PER_REQUEST_MAX;
use bonfire_proto::message::{GetLibrarySnapshot, Request, Response};
use bonfire_proto::message_save::{GetObjects, GetSnapshots};
use bonfire_proto::message_sidecar::{GetSidecar, SidecarQuery};
use bonfire_proto::message_sync::{SharedChangeRequest, StateRequest};
use bonfire_proto::save::Snapshot;
use bonfire_proto::{Digest, ErrorCode, ObjectRef, PictureRef, PlayerId, SnapshotId};

use player::raw::Raw;
use player::{add_save, code, devices, make_player, saves, slot};
use seat::{MIB, Seat, game, write};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

fn a_picture() -> PictureRef {
    PictureRef::of(PNG).unwrap()
}

/// Attaches the picture to a version of a seat's save.
async fn attach(seat: &Seat, snapshot: SnapshotId) {
    let file = seat.dir.path().join("shot.png");
    std::fs::write(&file, PNG).unwrap();
    let at = SaveRef { game: game("doom"), slot: None, player: None };
    let act = PictureAct::Attach { file: file.display().to_string() };
    saves(seat, SavesCommand::Picture { at, snapshot, act }).await.unwrap();
}

/// Every request about a player.
fn requests(player_id: PlayerId, snapshot_id: SnapshotId) -> Vec<Request> {
    let object = ObjectRef { hash: Digest([1; 32]), len: 1 };
    vec![
        Request::StateRequest(StateRequest {
            player_id,
            model_types: Vec::new(),
            device_id: None,
            since: Vec::new(),
            limit: 10,
        }),
        Request::SharedChangeRequest(SharedChangeRequest { player_id, since: Vec::new(), since_hlc: None, limit: 10 }),
        Request::GetSnapshots(GetSnapshots { player_id, ids: vec![snapshot_id] }),
        Request::GetObjects(GetObjects { player_id, snapshot_id, objects: vec![object] }),
        Request::SidecarQuery(SidecarQuery { player_id, hashes: vec![a_picture().hash] }),
        Request::GetSidecar(GetSidecar { player_id, hash: a_picture().hash }),
    ]
}

/// A seat with a player and a save of `mib` mebibytes; the player and the save's only version.
async fn host(mib: usize) -> (Seat, PlayerId, SnapshotId) {
    let host = Seat::new("host", vec![]).await;
    let player = make_player(&host).await;
    let folder = host.dir.path().join("saves/doom");
    write(&folder, "large.sav", mib * MIB, 3);
    add_save(&host, "doom").await;
    host.when("a version", |s| slot(s, "doom").is_some_and(|s| s.stored == 1)).await;
    let head = slot(&host.view(), "doom").unwrap().heads[0].id;
    attach(&host, head).await;
    (host, player, head)
}

async fn chunk(answer: &mut Answer) -> Result<u32, ErrorCode> {
    match answer.next().await.unwrap().unwrap() {
        Response::Chunk(chunk) => {
            let mut left = chunk.len as usize;
            while left > 0 {
                left -= answer.read_raw(left).await.unwrap().unwrap().len();
            }
            Ok(chunk.index)
        }
        Response::Error(error) => Err(error.code),
        other => panic!("{other:?}"),
    }
}

/// The objects of a version, as far as one request may ask for them.
async fn objects(raw: &Raw, player_id: PlayerId, id: SnapshotId) -> Vec<ObjectRef> {
    let mut answer = raw.ask(&Request::GetSnapshots(GetSnapshots { player_id, ids: vec![id] })).await;
    let Some(Response::Snapshots(frame)) = answer.next().await.unwrap() else { panic!("no version") };
    assert!(!frame.has_more);
    let snapshot = Snapshot::from_bytes(frame.snapshots[0].as_bytes()).unwrap();
    let objects: BTreeSet<ObjectRef> = snapshot.entries.iter().flat_map(|e| e.objects()).collect();
    objects.into_iter().take(OBJECTS_PER_REQUEST_MAX).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_is_forbidden_every_request_about_a_player_whether_or_not_there_is_such_a_player() {
    let (host, player, head) = host(1).await;
    let guest = Raw::connect(host.addr()).await;
    let nobody = PlayerId(uuid::Uuid::from_u128(99));
    for request in requests(player, head).into_iter().chain(requests(nobody, head)) {
        assert_eq!(guest.refused(&request).await.code, ErrorCode::Forbidden, "{request:?}");
    }
    // What is offered to guests is.
    let mut answer = guest.ask(&Request::GetLibrarySnapshot(GetLibrarySnapshot {})).await;
    assert!(matches!(answer.next().await.unwrap(), Some(Response::LibrarySnapshot(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_given_what_it_asks_for_and_nothing_of_another_player() {
    let (host, player, head) = host(1).await;
    let device = Raw::connect(host.addr()).await;
    assert_eq!(device.join(&code(&host).await).await, player);
    let wanted = objects(&device, player, head).await;
    let request = GetObjects { player_id: player, snapshot_id: head, objects: wanted.clone() };
    let mut answer = device.ask(&Request::GetObjects(request)).await;
    for index in 0..wanted.len() {
        assert_eq!(chunk(&mut answer).await, Ok(u32::try_from(index).unwrap()));
    }
    assert!(answer.next().await.unwrap().is_none());
    // The picture, and whether it is there; none that is not.
    let query = SidecarQuery { player_id: player, hashes: vec![a_picture().hash, Digest([1; 32])] };
    let answer = device.ask(&Request::SidecarQuery(query)).await.next().await.unwrap();
    let Some(Response::SidecarAnswer(answer)) = answer else { panic!("{answer:?}") };
    assert_eq!((answer.player_id, answer.has), (player, vec![a_picture().hash]));
    let mut answer = device.ask(&Request::GetSidecar(GetSidecar { player_id: player, hash: a_picture().hash })).await;
    let Some(Response::Chunk(chunk)) = answer.next().await.unwrap() else { panic!("no picture") };
    assert_eq!((chunk.index, chunk.hash, chunk.len), (0, a_picture().hash, a_picture().len));
    assert_eq!(answer.read_raw(PNG.len()).await.unwrap().unwrap(), PNG);
    assert!(answer.next().await.unwrap().is_none());
    let other = GetSidecar { player_id: player, hash: Digest([1; 32]) };
    assert_eq!(device.refused(&Request::GetSidecar(other)).await.code, ErrorCode::NotFound);
    // An object that no version of the player has is left out, as is a version that is not there.
    let stranger = ObjectRef { hash: Digest([1; 32]), len: 1 };
    let request = GetObjects { player_id: player, snapshot_id: head, objects: vec![stranger] };
    assert!(device.ask(&Request::GetObjects(request)).await.next().await.unwrap().is_none());
    let unknown = SnapshotId(Digest([2; 32]));
    let request = GetObjects { player_id: player, snapshot_id: unknown, objects: wanted };
    assert_eq!(device.refused(&Request::GetObjects(request)).await.code, ErrorCode::NotFound);
    for request in requests(PlayerId(uuid::Uuid::from_u128(99)), head) {
        assert_eq!(device.refused(&request).await.code, ErrorCode::Forbidden, "{request:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_device_is_cut_off_in_the_middle_of_a_fetch() {
    let (host, player, head) = host(40).await;
    let device = Raw::connect(host.addr()).await;
    device.join(&code(&host).await).await;
    let wanted = objects(&device, player, head).await;
    let bytes: u64 = wanted.iter().map(|o| u64::from(o.len)).sum();
    assert!(bytes > 30 * MIB as u64, "{bytes} bytes fit into what is under way");
    let many = wanted.len();
    let request = GetObjects { player_id: player, snapshot_id: head, objects: wanted };
    let mut answer = device.ask(&Request::GetObjects(request)).await;
    assert_eq!(chunk(&mut answer).await, Ok(0));
    let remove = DevicesCommand::Remove { player: None, device: device.endpoint.peer_id() };
    devices(&host, remove).await.unwrap();
    let mut came = 1;
    let ended = loop {
        match chunk(&mut answer).await {
            Ok(_) => came += 1,
            Err(code) => break code,
        }
    };
    assert_eq!(ended, ErrorCode::Forbidden);
    assert!(came < many, "all of it came");
    for request in requests(player, head) {
        assert_eq!(device.refused(&request).await.code, ErrorCode::Forbidden, "{request:?}");
    }
}
