//! Small rooms of whole peers over loopback QUIC: what a person asks for and what then lies on the disk.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

mod seat;

use std::collections::BTreeMap;
use std::path::Path;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, LibraryCommand, NodeCommand, TransferCommand};
use bonfire_engine::snapshot::{OperationView, Phase};
use bonfire_net::{Endpoint, Identity};
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, GetChunks, Hello, Request, Response};
use bonfire_proto::{Availability, Digest, LibraryEpoch, Manifest, ManifestFile, RelPath};

use seat::{MIB, Seat, Step, WITHIN, config, damage, game, patient, payload, small, tree, write};

fn large(root: &Path) {
    write(root, "doom.eti", 96 * MIB + 5, 1);
    write(root, "more/data.bin", 17 * MIB, 2);
}

/// Requests of one who asks for much: as many as a connection has streams, but for the control stream and some spare.
const MUCH: u32 = 60;
const LARGE: u64 = (96 + 17) * MIB as u64 + 5 + 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_comes_from_two_sources_at_once() {
    let a = Seat::hosting("doom", large).await;
    let b = Seat::hosting("doom", large).await;
    let mut guest = Seat::new("guest", vec![a.addr(), b.addr()]).await;
    guest.offered("doom", 2).await;
    guest.get("doom").await.unwrap();
    assert_eq!(guest.view().operations[0].sources.len(), 2);
    let (fetched, reused) = guest.finished().await;
    assert_eq!(reused, 0);
    assert!(fetched >= LARGE - 2, "{fetched}");
    assert_eq!(payload(&guest.root("doom")), payload(&a.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_is_fetched_over_the_old_one_and_reuses_what_is_the_same() {
    let mut host = Seat::hosting("doom", large).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    std::fs::create_dir_all(guest.root("doom").join("local")).unwrap();
    std::fs::write(guest.root("doom").join("local/save"), "mine").unwrap();
    write(&host.root("doom"), "more/data.bin", 17 * MIB, 99);
    std::fs::write(host.root("doom").join("version.ini"), "2\n").unwrap();
    host.until("its hash", |e| matches!(e, PeerEvent::GameHashed { .. }).then_some(())).await;
    guest
        .when("the newer version", |s| {
            let games = s.peers.iter().flat_map(|p| &p.games);
            games.clone().any(|g| g.version == "2" && g.content_hash.is_some() && g.availability == Availability::Ready)
        })
        .await;
    guest.get("doom").await.unwrap();
    let (fetched, reused) = guest.finished().await;
    assert!(fetched <= 18 * MIB as u64, "{fetched} bytes were fetched");
    assert!(reused >= 96 * MIB as u64, "{reused} bytes were reused");
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove("local/save").unwrap(), b"mine");
    assert_eq!(here, payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_at_any_moment_leaves_nothing_behind() {
    let host = Seat::hosting("doom", large).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    let mut won = 0;
    for percent in [0, 1, 10, 40] {
        guest.get("doom").await.unwrap();
        guest
            .when("bytes", |s| {
                percent == 0
                    || s.operations.iter().any(|o| o.done_bytes * 100 >= LARGE * percent)
                    || s.operations.is_empty()
            })
            .await;
        let cancelled = guest.cancel("doom").await;
        let ended = guest
            .until("an end", |e| match e {
                PeerEvent::DownloadCancelled { kept_files, .. } => Some(kept_files.clone()),
                PeerEvent::DownloadFinished { .. } => Some(vec!["finished".to_owned()]),
                PeerEvent::DownloadFailed { error, .. } => panic!("{error:?}"),
                _ => None,
            })
            .await;
        if ended == ["finished"] {
            // Faster than we could say it; the next round begins from nothing again.
            guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
            guest.until("its removal", |e| matches!(e, PeerEvent::GameRemoved { .. }).then_some(())).await;
        } else {
            won += 1;
            cancelled.unwrap();
            assert_eq!(ended, Vec::<String>::new());
        }
        assert!(!guest.root("doom").exists(), "{:?}", tree(&guest.root("doom")).keys());
        assert!(guest.view().operations.is_empty());
    }
    assert!(won > 0, "no cancel came in time");
}

#[test]
fn a_kill_costs_nothing_that_was_verified() {
    let room = tokio::runtime::Runtime::new().unwrap();
    let host = room.block_on(Seat::hosting("doom", large));
    let dir = tempfile::tempdir().unwrap();
    // A runtime that goes away with everything in it is as near to a kill as one process comes.
    let doomed = tokio::runtime::Runtime::new().unwrap();
    let done = doomed.block_on(async {
        let handle = bonfire_peer::start(config(dir.path(), "guest", vec![host.addr()])).await.unwrap();
        let mut snapshot = handle.snapshot();
        let offered = |s: &bonfire_engine::Snapshot| {
            s.peers
                .iter()
                .flat_map(|p| &p.games)
                .any(|g| g.content_hash.is_some() && g.availability == Availability::Ready)
        };
        snapshot.wait_for(|s| offered(s)).await.unwrap();
        handle.send(Command::Transfers(TransferCommand::Get { game: game("doom"), from: None })).await.unwrap();
        let on_its_way = |o: &OperationView| o.phase == Phase::Transferring && o.done_bytes > LARGE / 10;
        let seen = snapshot.wait_for(|s| s.operations.iter().any(on_its_way)).await.unwrap();
        seen.operations[0].done_bytes
    });
    doomed.shutdown_timeout(std::time::Duration::from_secs(10));
    assert!(!dir.path().join("games/doom/version.ini").exists());
    let (fetched, reused) = room.block_on(async {
        let mut guest = Seat::on(dir, "guest", vec![host.addr()]).await;
        // It goes on by itself.
        let figures = guest.finished().await;
        assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
        guest.stop().await;
        figures
    });
    assert!(reused >= done, "{done} bytes were verified before, {reused} were reused");
    assert!(fetched <= LARGE - done, "{fetched} bytes were fetched after {done} of {LARGE}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_in_order_makes_durable_what_was_verified() {
    let host = Seat::hosting("doom", large).await;
    for _ in 0..5 {
        let guest = Seat::new("guest", vec![host.addr()]).await;
        guest.offered("doom", 1).await;
        guest.get("doom").await.unwrap();
        guest
            .when("bytes", |s| s.operations.iter().any(|o| o.done_bytes > LARGE / 10) || s.operations.is_empty())
            .await;
        let dir = guest.stop().await;
        if dir.path().join("games/doom/version.ini").exists() {
            // Faster than we could say it.
            continue;
        }
        // The record alone, as after a power cut: nothing of the files is read here.
        let folder = bonfire_disk::GamesFolder::open(&dir.path().join("games")).unwrap();
        let download = folder.resume_download(&game("doom")).unwrap();
        assert!(download.verified().count() > 0, "the record holds no chunk");
        drop(download);
        // And the next start goes on with it.
        let mut guest = Seat::on(dir, "guest", vec![host.addr()]).await;
        guest.finished().await;
        assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
        return;
    }
    panic!("every download was over before the stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloaded_files_are_removed_and_the_game_is_gone_for_others() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    host.when("the copy", |s| s.peers.iter().any(|p| !p.games.is_empty())).await;
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    guest.until("the removal", |e| matches!(e, PeerEvent::GameRemoved { .. }).then_some(())).await;
    assert!(!guest.root("doom").exists(), "{:?}", tree(&guest.root("doom")).keys());
    host.when("no copy", |s| s.peers.iter().all(|p| p.games.is_empty())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_finds_a_flipped_byte_and_fetches_one_chunk() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    damage(&guest.root("doom").join("doom.eti"), 5 * MIB);
    // The watcher sees the write; what is looked at meanwhile is not under way any more.
    assert_eq!(guest.verify("doom").await, (vec!["doom.eti".to_owned()], 4 * MIB as u64));
    assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
    assert_eq!(guest.verify("doom").await, (Vec::new(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_that_was_not_hashed_yet_is_fetched_all_the_same() {
    let host = Seat::hosting_unhashed("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered_unhashed("doom").await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
    guest.when("its own content hash", |s| s.games.iter().any(|g| g.content_hash.is_some())).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_small_files_come_over_whole() {
    let host = Seat::hosting("doom", |root| {
        for n in 0..2_000 {
            write(root, &format!("d{}/file {n}.dat", n % 37), n % 700, n as u64);
        }
    })
    .await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")).len(), 2_001);
    assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_its_files_never_makes_a_mix() {
    for _ in 0..5 {
        if is_changed_in_time().await {
            return;
        }
    }
    panic!("every download was over before the files changed");
}

/// Changes a source's files in the middle of a download and sees what becomes of it. Whether that was in time.
async fn is_changed_in_time() -> bool {
    let host = Seat::hosting("doom", large).await;
    let old = payload(&host.root("doom"));
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    // The same sizes, other bytes, in a file that no fingerprint covers, and one that it does; made before, so that they
    // take their places at once.
    let aside = host.dir.path().join("aside");
    let changed = [("more/data.bin", 17 * MIB, 77), ("doom.eti", 96 * MIB + 5, 78)];
    for (path, len, seed) in changed {
        write(&aside, path, len, seed);
    }
    guest.get("doom").await.unwrap();
    guest.when("bytes", |s| s.operations.iter().any(|o| o.done_bytes > 0) || s.operations.is_empty()).await;
    for (path, ..) in changed {
        std::fs::rename(aside.join(path), host.root("doom").join(path)).unwrap();
    }
    let new = payload(&host.root("doom"));
    let finished = guest
        .until("an end or a pause", |e| match e {
            PeerEvent::DownloadFinished { .. } => Some(true),
            PeerEvent::DownloadPaused { .. } | PeerEvent::DownloadFailed { .. } => Some(false),
            _ => None,
        })
        .await;
    if finished {
        assert_eq!(payload(&guest.root("doom")), old);
        return false;
    }
    assert!(!guest.root("doom").join("version.ini").exists());
    guest.cancel("doom").await.unwrap();
    guest.until("the sweep", |e| matches!(e, PeerEvent::DownloadCancelled { .. }).then_some(())).await;
    assert!(!guest.root("doom").exists());
    let list = new.iter().map(|(path, bytes)| ManifestFile {
        path: RelPath::new(path).unwrap(),
        size: bytes.len() as u64,
        blake3: Some(Digest(*blake3::hash(bytes).as_bytes())),
    });
    let content = Manifest::new(game("doom"), "1".to_owned(), list.collect()).content_hash;
    guest.when("the new content", |s| s.peers[0].games.iter().any(|g| g.content_hash == content)).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), new);
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_whose_chunk_digests_are_lost_is_read_again_and_can_be_had() {
    let host = Seat::hosting("doom", |root| {
        write(root, "version.ini", 1, 0);
        write(root, "doom.eti", 9 * MIB, 1);
    })
    .await;
    let dir = host.stop().await;
    let database = rusqlite::Connection::open(dir.path().join("data/state.db")).unwrap();
    assert!(database.execute("DELETE FROM file_chunks", []).unwrap() > 0);
    drop(database);
    let host = Seat::on(dir, "host", Vec::new()).await;
    assert!(host.view().games.iter().all(|g| g.content_hash.is_some()), "the content still counts as known");
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adding_a_folder_to_the_catalog_writes_its_version_and_touches_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("games/doom");
    small(&root);
    let stamps = |root: &Path| {
        let stamp = |p: &String| (p.clone(), std::fs::metadata(root.join(p)).unwrap().modified().unwrap());
        tree(root).keys().map(stamp).collect::<BTreeMap<_, _>>()
    };
    let (before, times) = (tree(&root), stamps(&root));
    let host = Seat::on(dir, "host", Vec::new()).await;
    host.add("doom").await;
    let (mut after, mut times_after) = (tree(&root), stamps(&root));
    assert_eq!(after.remove("version.ini").unwrap(), b"1\n");
    times_after.remove("version.ini");
    assert_eq!((after, times_after), (before, times));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_revision_and_walks_no_game_that_is_as_it_was() {
    let host = Seat::hosting("doom", small).await;
    host.when("quiet", |s| s.games.iter().all(|g| g.availability == Availability::Ready)).await;
    let before = host.view();
    let dir = host.stop().await;
    // What the fingerprint does not cover: only a walk would see it.
    write(&dir.path().join("games/doom"), "extra/unseen", 1_000, 9);
    let host = Seat::on(dir, "host", Vec::new()).await;
    let after = host.view();
    assert_eq!(after.me.library_rev, before.me.library_rev);
    assert_eq!(after.me.library_epoch, before.me.library_epoch);
    assert_eq!(after.games, before.games);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_copied_in_by_hand_is_listed_whole_whichever_file_came_first() {
    let host = Seat::new("host", Vec::new()).await;
    let root = host.root("doom");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("version.ini"), "1\n").unwrap();
    host.add("doom").await;
    host.when("the game", |s| s.games.iter().any(|g| g.downloaded && g.files == 1)).await;
    // Nothing of what follows shows in the fingerprint.
    for n in 0..20 {
        write(&root, &format!("deep/er/{n}.dat"), 1_000 + n, n as u64);
    }
    host.when("all of it", |s| s.games.iter().any(|g| g.files == 21 && g.content_hash.is_some())).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), payload(&root));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_restarts_is_found_again_and_gives_what_is_left() {
    let host = Seat::hosting("doom", large).await;
    let addr = host.addr();
    let mut guest = Seat::new("guest", vec![addr]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.when("bytes", |s| s.operations.iter().any(|o| o.done_bytes > 0) || s.operations.is_empty()).await;
    let dir = host.stop().await;
    let mut config = config(dir.path(), "host", Vec::new());
    config.listen = addr;
    // The system takes a moment to give the port back.
    let back = loop {
        match bonfire_peer::start(config.clone()).await {
            Ok(back) => break back,
            Err(error) => assert_eq!(error.code, "cannot_listen"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), payload(&dir.path().join("games/doom")));
    back.send(Command::Peer(NodeCommand::ShutDown)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_folder_while_nobody_watches_is_seen_by_a_rescan() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    std::fs::remove_dir_all(host.root("doom")).unwrap();
    host.handle.send(Command::Library(LibraryCommand::Rescan { games: vec![] })).await.unwrap();
    guest
        .until("the news", |e| match e {
            PeerEvent::RemoteLibraryChanged { removed, .. } if removed == &[game("doom")] => Some(()),
            _ => None,
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_only_touched_is_served_again() {
    let host = Seat::hosting("doom", small).await;
    let (rev, content) = (host.view().me.library_rev, host.view().games[0].content_hash);
    let mut first = Seat::new("first", vec![host.addr()]).await;
    first.offered("doom", 1).await;
    first.get("doom").await.unwrap();
    first.finished().await;
    first.stop().await;
    // The same bytes with a new time stamp: read again, and the same content as before.
    let file = host.root("doom").join("doom.eti");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    host.when("its hash", |s| s.me.library_rev >= rev + 2 && s.games[0].content_hash == content).await;
    let mut second = Seat::new("second", vec![host.addr()]).await;
    second.offered("doom", 1).await;
    second.get("doom").await.unwrap();
    second
        .until("the download", |e| match e {
            PeerEvent::DownloadFinished { .. } => Some(()),
            PeerEvent::SourceDropped { error, .. } | PeerEvent::DownloadFailed { error, .. } => panic!("{error:?}"),
            _ => None,
        })
        .await;
    assert_eq!(payload(&second.root("doom")), payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_put_there_by_hand_is_not_repaired_into_the_one_before() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let root = guest.root("doom");
    write(&root, "doom.eti", 5 * MIB, 41);
    std::fs::write(root.join("version.ini"), "2\n").unwrap();
    guest.when("the newer version", |s| s.games.iter().any(|g| g.version == "2" && g.content_hash.is_some())).await;
    let before = payload(&root);
    assert_eq!(guest.verify("doom").await, (Vec::new(), 0));
    assert_eq!(payload(&root), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_who_asks_for_much_and_reads_nothing_does_not_keep_others_from_being_served() {
    let dir = tempfile::tempdir().unwrap();
    small(&dir.path().join("games/doom"));
    large(&dir.path().join("games/huge"));
    let (opened, mut opens) = tokio::sync::watch::channel(0);
    let host = Seat::hooked(dir, "host", Vec::new(), move |step, path| {
        if step == Step::OpenRead && path == "huge/doom.eti" {
            opened.send_modify(|n| *n += 1);
        }
    })
    .await;
    host.add("doom").await;
    host.add("huge").await;
    host.when("its hash", |s| s.games.len() == 2 && s.games.iter().all(|g| g.content_hash.is_some())).await;
    let huge = host.view().games.iter().find(|g| g.id == game("huge")).and_then(|g| g.manifest_hash).unwrap();
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;

    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::load_or_create(dir.path()).unwrap();
    let endpoint = Endpoint::bind(identity, "127.0.0.1:0".parse().unwrap(), patient()).unwrap();
    let hostile = endpoint.connect(host.addr(), None).await.unwrap();
    let (mut control, mut heard) = hostile.open_control().await.unwrap();
    let hello = Hello {
        peer_id: endpoint.peer_id(),
        proto_ver: PROTO_VERSION,
        listen_addr: String::new(),
        library_epoch: LibraryEpoch(uuid::Uuid::from_u128(1)),
        library_rev: 0,
        library_digest: Digest([0; 32]),
        features: Default::default(),
        name: String::new(),
    };
    control.send(&Control::Hello(hello)).await.unwrap();
    assert!(matches!(heard.recv().await.unwrap(), Some(Control::HelloAck(_))));
    let before = *opens.borrow();
    let mut unread = Vec::new();
    for n in 0..MUCH {
        let request = Request::GetChunks(GetChunks {
            game_id: game("huge"),
            manifest_hash: huge,
            path: RelPath::new("doom.eti").unwrap(),
            first: n % 20,
            count: 4,
        });
        unread.push(hostile.request(&request).await.unwrap());
    }
    // All of them are being answered before anyone else comes, and nothing but their reader could let go of what they
    // hold: this host waits for it longer than the guest is waited for here.
    tokio::time::timeout(WITHIN, opens.wait_for(|n| *n >= before + MUCH)).await.unwrap().unwrap();
    guest.get("doom").await.unwrap();
    guest.finished().await;

    // They were under way all the time: one of them comes whole as soon as it is read.
    unread.truncate(1);
    let mut answer = unread.remove(0);
    for index in 0..4 {
        let Some(Response::Chunk(chunk)) = answer.next().await.unwrap() else { panic!("no chunk {index}") };
        assert_eq!(chunk.index, index);
        let mut left = chunk.len as usize;
        while left > 0 {
            left -= answer.read_raw(left).await.unwrap().expect("the chunk ended early").len();
        }
    }
    assert!(answer.next().await.unwrap().is_none());
}
