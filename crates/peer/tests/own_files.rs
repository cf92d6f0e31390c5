//! What a person keeps in a game's folder, and sources that change under a download: nothing of theirs is lost, nothing is
//! mixed, nothing private is shared.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use std::path::Path;

use bonfire_engine::command::{Command, LibraryCommand, Reply, TransferCommand};
use bonfire_engine::{PeerEvent, Report};
use bonfire_proto::Availability;

use seat::{MIB, Seat, damage, game, payload, write};

fn small(root: &Path) {
    write(root, "doom.eti", 5 * MIB + 123, 1);
    write(root, "readme.txt", 777, 4);
}

const SAVE: &str = "saves/slot1.dsg";

fn keep_a_save(root: &Path) -> Vec<u8> {
    write(root, SAVE, 3_000, 500);
    std::fs::read(root.join(SAVE)).unwrap()
}

async fn add(guest: &Seat, version: Option<&str>) -> Result<Reply, Report> {
    let version = version.map(str::to_owned);
    let command = LibraryCommand::CatalogAdd {
        game: game("doom"),
        name: None,
        version,
        saves: None,
        start: std::collections::BTreeMap::new(),
    };
    guest.handle.send(Command::Library(command)).await
}

async fn failed(guest: &mut Seat) -> String {
    guest
        .until("the failure", |e| match e {
            PeerEvent::DownloadFailed { error, .. } => Some(error.code.clone()),
            PeerEvent::DownloadFinished { .. } => panic!("it was downloaded over files of a person"),
            _ => None,
        })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_into_a_folder_of_a_persons_own_writes_over_nothing() {
    let host = Seat::hosting("doom", small).await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("games/doom");
    keep_a_save(&root);
    // The length that the room's file has, and other bytes.
    write(&root, "readme.txt", 777, 99);
    let before = payload(&root);
    let mut guest = Seat::on(dir, "guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    assert_eq!(failed(&mut guest).await, "occupied");
    guest.when("the end", |s| s.operations.is_empty()).await;
    assert_eq!(payload(&guest.root("doom")), before);

    // Another length is refused as well.
    write(&guest.root("doom"), "readme.txt", 700, 99);
    let before = payload(&guest.root("doom"));
    guest.get("doom").await.unwrap();
    assert_eq!(failed(&mut guest).await, "occupied");
    guest.when("the end", |s| s.operations.is_empty()).await;
    assert_eq!(payload(&guest.root("doom")), before);

    // Once the person has moved it away, the game comes and the save stays.
    std::fs::remove_file(guest.root("doom").join("readme.txt")).unwrap();
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove(SAVE), before.get(SAVE).cloned());
    assert_eq!(here, payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_beside_a_download_survives_a_repair_an_update_and_a_removal_and_stays_private() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let save = keep_a_save(&guest.root("doom"));

    damage(&guest.root("doom").join("doom.eti"), 5 * MIB);
    assert_eq!(guest.verify("doom").await.0, ["doom.eti"]);
    assert_eq!(std::fs::read(guest.root("doom").join(SAVE)).unwrap(), save);
    guest
        .when("the same content as the host's, named as what it leaves out", |s| {
            let same = |c| s.peers.iter().flat_map(|p| &p.games).any(|g| g.content_hash == c);
            s.games.iter().any(|g| {
                g.content_hash.is_some() && same(g.content_hash) && g.problems.iter().any(|p| p.contains(SAVE))
            })
        })
        .await;

    std::fs::remove_file(host.root("doom").join("readme.txt")).unwrap();
    write(&host.root("doom"), "doom.eti", 6 * MIB, 7);
    std::fs::write(host.root("doom").join("version.ini"), "2\n").unwrap();
    guest
        .when("the newer version", |s| {
            let games = s.peers.iter().flat_map(|p| &p.games);
            games.clone().any(|g| g.version == "2" && g.content_hash.is_some() && g.availability == Availability::Ready)
        })
        .await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove(SAVE).unwrap(), save);
    assert_eq!(here, payload(&host.root("doom")), "the old version's own files are gone, and only they");

    guest.when("quiet", |s| s.operations.is_empty()).await;
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    guest.when("the removal", |s| s.operations.is_empty()).await;
    let here = payload(&guest.root("doom"));
    assert_eq!(here.keys().collect::<Vec<_>>(), [SAVE]);
    assert_eq!(here[SAVE], save);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_over_a_game_that_was_copied_in_by_hand_removes_none_of_its_files() {
    let host = Seat::hosting("doom", |root| {
        small(root);
        std::fs::write(root.join("version.ini"), "2\n").unwrap();
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("games/doom");
    write(&root, "doom.eti", MIB, 50);
    write(&root, "addon.eti", 2_000, 51);
    std::fs::write(root.join("version.ini"), "1\n").unwrap();
    let addon = std::fs::read(root.join("addon.eti")).unwrap();
    let mut guest = Seat::on(dir, "guest", vec![host.addr()]).await;
    guest.add("doom").await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove("addon.eti").unwrap(), addon);
    assert_eq!(here, payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_update_of_a_game_that_was_copied_in_by_hand_can_be_fetched_again() {
    let host = Seat::hosting("doom", |root| {
        write(root, "doom.eti", 160 * MIB, 1);
        write(root, "readme.txt", 777, 2);
        std::fs::write(root.join("version.ini"), "2\n").unwrap();
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("games/doom");
    write(&root, "doom.eti", MIB, 50);
    write(&root, "readme.txt", 777, 51);
    write(&root, "only in one.eti", 10, 52);
    std::fs::write(root.join("version.ini"), "1\n").unwrap();
    let mut guest = Seat::on(dir, "guest", vec![host.addr()]).await;
    guest.add("doom").await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.when("bytes", |s| s.operations.iter().any(|o| o.done_bytes > 0) || s.operations.is_empty()).await;
    guest.cancel("doom").await.expect("the download was faster than this test assumes");
    guest.until("the sweep", |e| matches!(e, PeerEvent::DownloadCancelled { .. }).then_some(())).await;
    assert!(!guest.root("doom").join("version.ini").exists());
    guest.when("quiet", |s| s.operations.is_empty()).await;
    // What is left is no version of anything.
    let before = payload(&guest.root("doom"));
    let refused = add(&guest, None).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.hint.is_empty()), ("leftovers", false), "{refused:?}");
    assert_eq!(payload(&guest.root("doom")), before, "nothing was written");
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let mut here = payload(&guest.root("doom"));
    assert!(here.remove("only in one.eti").is_some());
    assert_eq!(here, payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_nobody_had_read_and_that_changes_never_makes_a_mix() {
    let host = Seat::hosting_unhashed("doom", |root| {
        write(root, "doom.eti", 160 * MIB + 5, 1);
        write(root, "more/data.bin", 17 * MIB, 2);
    })
    .await;
    let old = payload(&host.root("doom"));
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered_unhashed("doom").await;
    guest.get("doom").await.unwrap();
    guest.when("bytes", |s| s.operations.iter().any(|o| o.done_bytes > 0) || s.operations.is_empty()).await;
    // The same sizes, other bytes, in a file that no fingerprint covers.
    write(&host.root("doom"), "more/data.bin", 17 * MIB, 77);
    let was_under_way = !guest.view().operations.is_empty();
    let new = payload(&host.root("doom"));
    guest.finished().await;
    let here = payload(&guest.root("doom"));
    assert!(here == new || here == old, "a mix of two contents became a game");
    assert!(was_under_way, "the download was faster than this test assumes");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_beside_a_download_stays_private_after_a_start_without_the_disk_that_holds_them() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let content = host.view().games[0].content_hash;
    let dir = guest.stop().await;
    keep_a_save(&dir.path().join("games/doom"));
    std::fs::rename(dir.path().join("games/doom"), dir.path().join("away")).unwrap();
    let guest = Seat::on(dir, "guest", Vec::new()).await;
    assert!(guest.view().games.iter().all(|g| !g.downloaded));
    let dir = guest.stop().await;
    std::fs::rename(dir.path().join("away"), dir.path().join("games/doom")).unwrap();
    let guest = Seat::on(dir, "guest", Vec::new()).await;
    guest.when("its hash", |s| s.games.iter().any(|g| g.content_hash.is_some())).await;
    let game = &guest.view().games[0];
    assert_eq!((game.files, game.content_hash), (host.view().games[0].files, content), "{game:?}");
}

/// Stops a seat and starts it again without what it remembers.
async fn forgetful(guest: Seat, peers: Vec<std::net::SocketAddr>, meanwhile: impl FnOnce(&Path)) -> Seat {
    let dir = guest.stop().await;
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let gone = std::fs::remove_file(dir.path().join("data").join(name));
        assert!(name != "state.db" || gone.is_ok(), "{gone:?}");
    }
    meanwhile(&dir.path().join("games/doom"));
    Seat::on(dir, "guest", peers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_beside_a_download_stays_private_and_survives_a_removal_though_the_database_was_lost() {
    let host = Seat::hosting("doom", small).await;
    let content = host.view().games[0].content_hash;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let save = keep_a_save(&guest.root("doom"));
    let guest = forgetful(guest, Vec::new(), |_| {}).await;
    guest.when("its hash", |s| s.games.iter().any(|g| g.content_hash.is_some())).await;
    let listed = &guest.view().games[0];
    assert_eq!((listed.files, listed.content_hash), (host.view().games[0].files, content), "{listed:?}");
    assert!(listed.problems.iter().any(|p| p.contains(SAVE)), "{listed:?}");

    // What the new database was told it keeps: the note may go now.
    let dir = guest.stop().await;
    std::fs::remove_file(dir.path().join("games/doom/.bonfire.download")).unwrap();
    let guest = Seat::on(dir, "guest", Vec::new()).await;
    guest.transfer(TransferCommand::Remove { game: game("doom") }).await.unwrap();
    guest.when("the removal", |s| s.operations.is_empty() && s.games.iter().all(|g| !g.downloaded)).await;
    assert_eq!(payload(&guest.root("doom")).into_iter().collect::<Vec<_>>(), [(SAVE.to_owned(), save)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_takes_the_old_version_s_files_though_the_database_was_lost() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let save = keep_a_save(&guest.root("doom"));
    std::fs::remove_file(host.root("doom").join("readme.txt")).unwrap();
    std::fs::write(host.root("doom").join("version.ini"), "2\n").unwrap();
    let mut guest = forgetful(guest, vec![host.addr()], |_| {}).await;
    guest
        .when("the newer version", |s| {
            let mut games = s.peers.iter().flat_map(|p| &p.games);
            games.any(|g| g.version == "2" && g.content_hash.is_some() && g.availability == Availability::Ready)
        })
        .await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove(SAVE).unwrap(), save);
    assert_eq!(here, payload(&host.root("doom")), "the old version's own files are gone, and only they");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_note_that_nobody_understands_hides_the_game_until_it_is_fetched_again() {
    let host = Seat::hosting("doom", small).await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    let save = keep_a_save(&guest.root("doom"));
    let mut guest = forgetful(guest, vec![host.addr()], |root| damage(&root.join(".bonfire.download"), 30)).await;
    guest.when("the problem", |s| s.problems.iter().any(|p| p.message.contains(".bonfire.download"))).await;
    assert!(guest.view().games.iter().all(|g| !g.downloaded), "it is not offered: {:#?}", guest.view().games);
    let refused = guest.transfer(TransferCommand::Remove { game: game("doom") }).await;
    assert!(refused.is_err(), "{refused:?}");

    guest.offered("doom", 1).await;
    guest.get("doom").await.unwrap();
    let (fetched, reused) = guest.finished().await;
    assert!(fetched == 0 && reused > 0, "{fetched} {reused}");
    guest
        .when("the game", |s| s.games.iter().any(|g| g.downloaded && g.problems.iter().any(|p| p.contains(SAVE))))
        .await;
    let mut here = payload(&guest.root("doom"));
    assert_eq!(here.remove(SAVE).unwrap(), save);
    assert_eq!(here, payload(&host.root("doom")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_empty_files_is_not_put_into_the_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("games/doom");
    write(&root, "extra/empty", 0, 1);
    let guest = Seat::on(dir, "guest", Vec::new()).await;
    let refused = add(&guest, None).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.hint.is_empty()), ("empty_game", false), "{refused:?}");
    assert_eq!(payload(&guest.root("doom")).into_keys().collect::<Vec<_>>(), ["extra/empty"]);
}
