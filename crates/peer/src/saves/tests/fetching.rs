//! Fetching from sources that give, lie, die and come back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bonfire_disk::saves::SaveStore;
use bonfire_engine::saves::work::{SaveInput, SaveWork};
use bonfire_net::{Connection, ControlReceiver, ControlSender, Endpoint, Identity, Tuning};
use bonfire_proto::message::{Chunk, ErrorMsg, Request, Response};
use bonfire_proto::message_save::SnapshotsMsg;
use bonfire_proto::{CloseCode, ErrorCode, PeerId, SnapshotId};
use bytes::Bytes;
use tempfile::TempDir;

use super::rig::Rig;

/// How a source treats whoever asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    /// The bytes of objects are others.
    Lies,
    /// A text that nobody asked for.
    LiesOfVersions,
    /// The connection ends when it is asked for objects, after it answered so often.
    Dies(usize),
    /// Knows the version, and has nothing of it.
    HasNothing,
}

/// A source and the connection to it.
struct Source {
    connection: Connection,
    given: Arc<AtomicUsize>,
    _control: (ControlSender, ControlReceiver),
    _keep: (Endpoint, Endpoint, TempDir),
}

impl Source {
    async fn new(store: SaveStore, manner: Manner) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let endpoint = |name: &str| {
            let folder = dir.path().join(name);
            std::fs::create_dir_all(&folder).unwrap();
            let identity = Identity::load_or_create(&folder).unwrap();
            Endpoint::bind(identity, "127.0.0.1:0".parse().unwrap(), Tuning::default()).unwrap()
        };
        let (asker, server) = (endpoint("asker"), endpoint("server"));
        let given = Arc::new(AtomicUsize::new(0));
        let (addr, accepting, count) = (server.local_addr().unwrap(), server.clone(), given.clone());
        tokio::spawn(async move {
            let connection = accepting.accept().await.unwrap().handshake().await.unwrap();
            let _control = connection.accept_control().await.unwrap();
            let mut answered = 0;
            while let Ok(stream) = connection.accept_stream().await {
                let served = stream.read_request().await.unwrap();
                let (request, mut reply) = (served.request.unwrap(), served.reply);
                match request {
                    Request::GetSnapshots(r) => {
                        let mut snapshots: Vec<String> = r
                            .ids
                            .iter()
                            .filter_map(|id| String::from_utf8(store.snapshot_bytes(id).ok()?).ok())
                            .collect();
                        if manner == Manner::LiesOfVersions {
                            snapshots = vec!["{}".to_owned()];
                        }
                        reply.send(&Response::Snapshots(SnapshotsMsg { snapshots, has_more: false })).await.unwrap();
                    }
                    Request::GetObjects(_) if manner == Manner::HasNothing => {
                        let error = ErrorMsg::new(ErrorCode::NotFound, "no such version here");
                        reply.send(&Response::Error(error)).await.unwrap();
                    }
                    Request::GetObjects(_) if manner == Manner::Dies(answered) => {
                        return connection.close(CloseCode::Done);
                    }
                    Request::GetObjects(r) => {
                        answered += 1;
                        for (index, object) in (0u32..).zip(&r.objects) {
                            let Ok(mut bytes) = store.read_object(object) else { continue };
                            if manner == Manner::Lies {
                                bytes[0] ^= 1;
                            }
                            let chunk = Chunk { index, len: object.len, hash: object.hash };
                            reply.send(&Response::Chunk(chunk)).await.unwrap();
                            reply.send_bytes(Bytes::from(bytes)).await.unwrap();
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    other => panic!("{other:?}"),
                }
                reply.deliver().await;
            }
        });
        let connection = asker.connect(addr, None).await.unwrap();
        let control = connection.open_control().await.unwrap();
        Self { connection, given, _control: control, _keep: (asker, server, dir) }
    }

    fn given(&self) -> usize {
        self.given.load(Ordering::SeqCst)
    }
}

/// A device with one version: a list of files that is an object of its own, and more objects than one request asks for.
async fn origin() -> (Rig, SnapshotId) {
    let rig = Rig::new();
    for n in 0..300 {
        rig.write(&format!("{n}.sav"), &vec![7; 100 + n]);
    }
    let id = rig.make_version(&[]).await;
    (rig, id)
}

async fn fetch(rig: &Rig, id: SnapshotId, sources: &[&Source]) -> (Vec<(SnapshotId, bool)>, bool) {
    let sources: Vec<(PeerId, Connection)> =
        sources.iter().map(|s| (s.connection.peer_id(), s.connection.clone())).collect();
    let work = SaveWork::Fetch { ids: BTreeSet::from([id]), sources: Vec::new() };
    match rig.run_with(work, sources).await {
        SaveInput::Fetched { brought, is_cut, .. } => {
            (brought.into_iter().map(|(node, is_whole)| (node.id, is_whole)).collect(), is_cut)
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_version_comes_whole_and_is_what_it_was() {
    let (origin, id) = origin().await;
    let source = Source::new(origin.saves.store().clone(), Manner::Honest).await;
    let rig = Rig::new();
    assert_eq!(fetch(&rig, id, &[&source]).await, (vec![(id, true)], false));
    rig.apply(None, id).await;
    assert_eq!(rig.read("7.sav"), origin.read("7.sav"));
    // What is here is not asked for.
    assert_eq!(fetch(&rig, id, &[]).await, (vec![(id, true)], false));
}

#[tokio::test]
async fn a_source_that_lies_is_left_and_another_gives_what_it_should_have() {
    let (origin, id) = origin().await;
    for manner in [Manner::Lies, Manner::LiesOfVersions, Manner::HasNothing] {
        let liar = Source::new(origin.saves.store().clone(), manner).await;
        let honest = Source::new(origin.saves.store().clone(), Manner::Honest).await;
        let rig = Rig::new();
        assert_eq!(fetch(&rig, id, &[&liar, &honest]).await, (vec![(id, true)], false), "{manner:?}");
        assert!(rig.saves.store().verify(&id, &|| true).unwrap().bad.is_empty());
    }
}

#[tokio::test]
async fn a_fetch_goes_on_with_another_source_when_one_dies() {
    let (origin, id) = origin().await;
    let dying = Source::new(origin.saves.store().clone(), Manner::Dies(2)).await;
    let honest = Source::new(origin.saves.store().clone(), Manner::Honest).await;
    let rig = Rig::new();
    let (brought, _) = fetch(&rig, id, &[&dying, &honest]).await;
    assert_eq!(brought, [(id, true)]);
}

#[tokio::test]
async fn nothing_that_came_is_fetched_again_after_a_kill_between_objects_and_version() {
    let (origin, id) = origin().await;
    let dying = Source::new(origin.saves.store().clone(), Manner::Dies(2)).await;
    let rig = Rig::new();
    let (brought, is_cut) = fetch(&rig, id, &[&dying]).await;
    assert_eq!((brought, is_cut), (vec![(id, false)], true), "its text is known, and more may come");
    assert!(!rig.saves.store().has_snapshot(&id).unwrap());
    let snapshot = origin.saves.store().snapshot(&id).unwrap();
    let came = dying.given() - snapshot.list.len();
    // Another process: nothing but the disk is left.
    let rig = rig.restart();
    let left = rig.saves.store().missing_for(&snapshot).unwrap().len();
    assert_eq!((came, left), (256, 300 - 256));
    let honest = Source::new(origin.saves.store().clone(), Manner::Honest).await;
    assert_eq!(fetch(&rig, id, &[&honest]).await, (vec![(id, true)], false));
    assert_eq!(honest.given(), left);
}

#[tokio::test]
async fn a_version_of_another_line_is_not_taken() {
    let (origin, id) = origin().await;
    let source = Source::new(origin.saves.store().clone(), Manner::Honest).await;
    let rig = Rig::new();
    let mut line = rig.line();
    line.slot = bonfire_proto::SlotName::new("other").unwrap();
    let sources = vec![(source.connection.peer_id(), source.connection.clone())];
    let input = rig.saves.fetch(line, BTreeSet::from([id]), sources).await;
    assert!(matches!(&input, SaveInput::Fetched { brought, .. } if brought.is_empty()), "{input:?}");
    assert!(!rig.saves.store().has_snapshot(&id).unwrap());
}
