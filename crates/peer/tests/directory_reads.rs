//! How many folders a start reads: counted beneath a whole peer, its scan and its watcher alike.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]
#![cfg(any(target_os = "linux", target_os = "android"))]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bonfire_engine::Snapshot;
use tempfile::TempDir;
use tokio::time::timeout;

use seat::{Seat, Step, WITHIN, game};

const GAMES: usize = 40;
const CHANGED: &str = "game-07";

type Listed = Arc<Mutex<BTreeMap<String, usize>>>;

/// One start of a peer on these folders, until it has read the folder once; the folders that were listed, and the peer.
async fn started(dir: TempDir) -> (Listed, Seat) {
    let listed = Listed::default();
    let note = listed.clone();
    let seat = Seat::hooked(dir, "counted", Vec::new(), move |step, path| {
        if step == Step::List {
            *note.lock().unwrap().entry(path.to_owned()).or_default() += 1;
        }
    });
    (listed, seat.await)
}

/// Changes a nested file of a game until the peer tells of it: its watches are all placed then, since those of known
/// folders come last and this game is the last of them.
async fn watches_are_placed(seat: &Seat) {
    let last = format!("game-{:02}", GAMES - 1);
    let id = game(&last);
    let size = |s: &Snapshot| s.games.iter().find(|g| g.id == id).unwrap().size;
    let mut snapshot = seat.handle.snapshot();
    let before = size(&snapshot.borrow());
    let mut text = String::from("grown");
    let told = async {
        loop {
            text.push_str(" more");
            std::fs::write(seat.root(&last).join("data/sub/file.bin"), &text).unwrap();
            // The watch may not have been there yet: then the file is changed once more.
            let wait = snapshot.wait_for(|s| size(s) != before);
            if timeout(Duration::from_secs(3), wait).await.is_ok() {
                return;
            }
        }
    };
    timeout(WITHIN, told).await.unwrap();
}

/// How often folders within game roots were listed, those of the last game left out.
fn nested(listed: &Mutex<BTreeMap<String, usize>>) -> BTreeMap<String, usize> {
    let last = format!("game-{:02}/", GAMES - 1);
    let listed = listed.lock().unwrap();
    listed.iter().filter(|(p, _)| p.contains('/') && !p.starts_with(&last)).map(|(p, n)| (p.clone(), *n)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unchanged_start_lists_no_folder_within_a_game_and_one_changed_game_costs_one_walk() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..GAMES {
        let root = dir.path().join(format!("games/game-{n:02}"));
        std::fs::create_dir_all(root.join("data/sub")).unwrap();
        std::fs::create_dir_all(root.join("empty")).unwrap();
        std::fs::create_dir_all(root.join("local/saves")).unwrap();
        std::fs::write(root.join("version.ini"), "1").unwrap();
        std::fs::write(root.join("game.eti"), "bytes").unwrap();
        std::fs::write(root.join("data/sub/file.bin"), "x").unwrap();
    }

    let (listed, seat) = started(dir).await;
    let first = nested(&listed);
    assert_eq!(first.len(), (GAMES - 1) * 3, "{first:?}");
    assert!(first.values().all(|n| *n == 1), "one walk a game, and none to place watches: {first:?}");
    watches_are_placed(&seat).await;
    let dir = seat.stop().await;

    let (listed, seat) = started(dir).await;
    watches_are_placed(&seat).await;
    let dir = seat.stop().await;
    assert_eq!(nested(&listed), BTreeMap::new(), "an unchanged start walks into games");
    let roots = listed.lock().unwrap().iter().filter(|(p, n)| !p.contains('/') && !p.is_empty() && **n == 1).count();
    assert_eq!(roots, GAMES - 1, "each root is looked at once: {:?}", listed.lock().unwrap());

    std::fs::write(dir.path().join("games").join(CHANGED).join("game.eti"), "other bytes").unwrap();
    let (listed, seat) = started(dir).await;
    watches_are_placed(&seat).await;
    seat.stop().await;
    let walked: BTreeMap<_, _> =
        ["data", "data/sub", "empty"].into_iter().map(|f| (format!("{CHANGED}/{f}"), 1)).collect();
    assert_eq!(nested(&listed), walked);
}
