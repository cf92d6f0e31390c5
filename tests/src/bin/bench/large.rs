//! Games at the edge of what there is: a hundred thousand files, and one file of 5 GiB that is nearly all holes.

use std::time::{Duration, Instant};

use bonfire_tests::games::MIB;
use bonfire_tests::peer::Peer;
use bonfire_tests::{Room, tree};

use crate::figures::cpu_of;

const PATIENCE: Duration = Duration::from_secs(900);

fn make_many(peer: &Peer) {
    let root = peer.root("many");
    for folder in 0..1_000 {
        let folder = root.join(format!("data/{folder:03}"));
        std::fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            std::fs::write(folder.join(format!("{file}.txt")), format!("{} {file}", folder.display())).unwrap();
        }
    }
    std::fs::write(root.join("version.ini"), "1").unwrap();
    peer.list_in_catalog("many");
}

fn make_sparse(peer: &Peer) {
    let root = peer.root("sparse");
    std::fs::create_dir(&root).unwrap();
    let file = std::fs::File::create(root.join("sparse.eti")).unwrap();
    file.set_len(5 * 1024 * MIB).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, b"the only bytes", 4_321 * MIB).unwrap();
    std::fs::write(root.join("version.ini"), "1").unwrap();
    peer.list_in_catalog("sparse");
}

/// Fetches both, compares them whole, and cancels one in the middle.
pub(crate) fn at_the_edge() {
    let Some(room) = Room::alone("bench-large") else { return };
    let mut a = room.seat("a");
    make_many(&a);
    make_sparse(&a);
    let begun = Instant::now();
    a.spawn();
    let id = a.expect("started", PATIENCE, |e| e["type"] == "started")["peer"].as_str().unwrap().to_owned();
    let started = begun.elapsed();
    let mut b = room.peer("b");
    println!("\n### Games at the edge\n");
    println!("Start with both games new: {:.1} s.\n", started.as_secs_f64());
    println!(
        "| game | read by the source after | fetched in | CPU of the receiver | swept by a cancel in |\n|---|---|---|---|---|"
    );
    for game in ["many", "sparse"] {
        b.until("its content is known", PATIENCE, || {
            b.remote_game(&id, game).filter(|g| g["content_hash"].is_string())
        });
        let read = begun.elapsed();
        b.get(game);
        b.until("half", PATIENCE, || {
            b.operation(game).filter(|o| {
                o["total_bytes"].as_u64().unwrap_or(0) > 0
                    && o["done_bytes"].as_u64().unwrap_or(0) * 2 > o["total_bytes"].as_u64().unwrap_or(0)
            })
        });
        let cancelled = Instant::now();
        assert!(b.cancel(game).is_ok());
        b.expect_game("download_cancelled", game, PATIENCE);
        let swept = cancelled.elapsed();
        assert!(!b.root(game).exists());
        let (cpu, start) = (cpu_of(b.pid()), Instant::now());
        b.get(game);
        let end = b.expect("the end", PATIENCE, |e| {
            e["game"] == game && (e["type"] == "download_finished" || e["type"] == "download_failed")
        });
        assert_eq!(end["type"], "download_finished", "{end}");
        let fetched = start.elapsed();
        let cpu = cpu_of(b.pid()) - cpu;
        assert_eq!(tree::payload(&a.root(game)), tree::payload(&b.root(game)));
        println!(
            "| {game} | {:.1} s | {:.1} s | {cpu:.1} s | {:.1} s |",
            read.as_secs_f64(),
            fetched.as_secs_f64(),
            swept.as_secs_f64()
        );
    }
}
