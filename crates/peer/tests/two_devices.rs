//! Devices of one player over loopback: they pair by a code, and a save that is made on one appears on the other.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod player;
#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use bonfire_engine::saves::slot::Standing;

use player::{add_save, make_player, pair, slot};
use seat::{Seat, payload};

async fn current(seat: &Seat, known: u64) {
    let is_current = |s: &bonfire_engine::Snapshot| {
        slot(s, "doom").is_some_and(|s| s.standing == Standing::Current && s.held_by == 2 && s.known == known)
    };
    seat.when("the newest version", is_current).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_made_on_one_device_appears_on_the_other_and_what_changes_there_comes_back() {
    let first = Seat::new("first", vec![]).await;
    let second = Seat::new("second", vec![first.addr()]).await;
    make_player(&first).await;
    pair(&first, &second).await;
    let folder = first.dir.path().join("saves/doom");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    std::fs::write(folder.join("one.sav"), b"here I am").unwrap();
    std::fs::write(folder.join("deep/two.sav"), vec![7; 3 << 20]).unwrap();
    add_save(&first, "doom").await;
    let there = add_save(&second, "doom").await;
    current(&second, 1).await;
    assert_eq!(payload(&there), payload(&folder));
    std::fs::write(there.join("one.sav"), b"there I go").unwrap();
    current(&second, 2).await;
    current(&first, 2).await;
    assert_eq!(std::fs::read(folder.join("one.sav")).unwrap(), b"there I go");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_lost_its_database_is_trusted_as_before_and_has_its_history_again() {
    let first = Seat::new("first", vec![]).await;
    let second = Seat::new("second", vec![first.addr()]).await;
    make_player(&first).await;
    pair(&first, &second).await;
    let folder = first.dir.path().join("saves/doom");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("one.sav"), b"one").unwrap();
    add_save(&first, "doom").await;
    add_save(&second, "doom").await;
    current(&second, 1).await;
    let dir = second.stop().await;
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _absent = std::fs::remove_file(dir.path().join("data").join(name));
    }
    let second = Seat::on(dir, "second", vec![first.addr()]).await;
    let there = add_save(&second, "doom").await;
    current(&second, 1).await;
    std::fs::write(there.join("one.sav"), b"two").unwrap();
    current(&first, 2).await;
    assert_eq!(std::fs::read(folder.join("one.sav")).unwrap(), b"two");
}
