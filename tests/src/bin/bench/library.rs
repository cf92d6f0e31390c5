//! What ten thousand games cost: at a start where nothing changed, after one change, and on the wire.

use std::path::Path;
use std::time::{Duration, Instant};

use bonfire_tests::Room;
use bonfire_tests::peer::Peer;
use serde_json::json;

use crate::figures::millis;

const GAMES: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(300);
/// One on the games folder, and on each game's root and the two folders in it.
const WATCHES: usize = 1 + 3 * GAMES;

/// Folders with a sentinel, an archive and a nested folder: a walk would show as reads of the nested ones.
fn make_games(games: &Path) {
    let mut entries = Vec::new();
    for n in 0..GAMES {
        let id = format!("game-{n:05}");
        let root = games.join(&id);
        std::fs::create_dir_all(root.join("data/sub")).unwrap();
        std::fs::write(root.join("version.ini"), "20260101").unwrap();
        std::fs::write(root.join(format!("{id}.eti")), n.to_string()).unwrap();
        std::fs::write(root.join("data/sub/file.bin"), "x").unwrap();
        entries.push(json!({"id": id, "name": format!("Game number {n}")}));
    }
    let catalog = json!({"format": 1, "games": entries});
    std::fs::write(games.join("catalog.json"), catalog.to_string()).unwrap();
}

fn start(peer: &mut Peer) -> Duration {
    let begun = Instant::now();
    peer.spawn();
    peer.expect("started", PATIENCE, |e| e["type"] == "started");
    begun.elapsed()
}

/// Waits until every game is known with its content; how long that took from here. Does not ask, which would slow it.
fn hashed(peer: &Peer) -> Duration {
    let begun = Instant::now();
    peer.log().wait_count("game_hashed", GAMES, PATIENCE).unwrap();
    begun.elapsed()
}

/// Directory reads: by whom, of what. One that a folder's size splits into several system calls counts as several.
#[derive(Default)]
struct Reads {
    /// Of the games folder itself, by anyone.
    top: usize,
    /// Of game roots, by the scan.
    roots: usize,
    /// Of folders within game roots, by the scan: a walk.
    nested: usize,
    /// Of game roots and folders within them, by the watcher.
    watched: usize,
}

fn directory_reads(log: &Path, games: &Path) -> Reads {
    let mut reads = Reads::default();
    let games = format!("{}", games.display());
    for line in std::fs::read_to_string(log).unwrap().lines() {
        // 4711<bonfire-watch> getdents64(7</path>, .. /* 4 entries */, 32768) = 112; the last of a folder returns 0.
        let Some((who, call)) = line.split_once(" getdents64(") else { continue };
        let Some((path, _)) = call.split_once('<').and_then(|(_, rest)| rest.split_once('>')) else { continue };
        let Some(within) = path.strip_prefix(&games).filter(|_| !line.ends_with("= 0")) else { continue };
        let depth = within.split('/').filter(|p| !p.is_empty()).count();
        match (depth, who.contains("<bonfire-watch>")) {
            (0, _) => reads.top += 1,
            (_, true) => reads.watched += 1,
            (1, false) => reads.roots += 1,
            (_, false) => reads.nested += 1,
        }
    }
    reads
}

/// Watches of the one process that a tracer runs.
fn watches_beneath(tracer: u32) -> usize {
    let children = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
    let traced = children.split_whitespace().next().expect("the tracer runs nothing");
    let files = std::fs::read_dir(format!("/proc/{traced}/fdinfo")).unwrap();
    // One that is closed meanwhile watches nothing.
    let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
    texts.map(|text| text.lines().filter(|line| line.starts_with("inotify ")).count()).sum()
}

/// Starts with 10,000 games: with none known, with nothing changed, with one that changed.
pub(crate) fn start_with_many_games() {
    let Some(room) = Room::alone("bench-library") else { return };
    let mut peer = room.seat("a");
    peer.argument("--no-mdns");
    make_games(&peer.games);
    let first = start(&mut peer);
    let read = hashed(&peer);
    peer.terminate();
    let second = start(&mut peer);
    peer.terminate();
    let log = room.folder().join("strace.log");
    let traced = |peer: &mut Peer| {
        peer.under(&[
            "strace",
            "-f",
            "-qq",
            "-y",
            "--seccomp-bpf",
            "--decode-pids=comm",
            "-e",
            "trace=getdents64",
            "-o",
            log.to_str().unwrap(),
        ]);
        start(peer);
        let rescanned = peer.snapshot()["games"].as_array().unwrap().len();
        assert!(rescanned >= GAMES, "{rescanned} games");
        // Watches are placed beside the start; what that reads is to be counted too.
        peer.until("every watch is placed", PATIENCE, || (watches_beneath(peer.pid()) >= WATCHES).then_some(()));
        peer.post(&json!({"peer": "shut_down"}));
        peer.wait_exit(PATIENCE);
        peer.under(&[]);
        directory_reads(&log, &peer.games)
    };
    let unchanged = traced(&mut peer);
    std::fs::write(peer.root("game-04711").join("game-04711.eti"), "a change").unwrap();
    let changed = traced(&mut peer);
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        // The last two go with an orderly end.
        let _ = std::fs::remove_file(peer.data.join(name));
    }
    let new = traced(&mut peer);
    println!("\n### Library of {GAMES} games\n");
    println!("| what | figure |\n|---|---|");
    println!("| first start, everything new | {:.0} ms |", millis(first));
    println!("| every file read in the background, after that | {:.0} ms |", millis(read));
    println!("| start with nothing changed | {:.0} ms |", millis(second));
    println!("\nDirectory reads of a start (each game has 2 folders within its root):\n");
    println!(
        "| start | games folder | game roots | within game roots: a walk | by the watcher beneath the games folder |"
    );
    println!("|---|---|---|---|---|");
    for (what, r) in [("first", new), ("nothing changed", unchanged), ("one game changed", changed)] {
        println!("| {what} | {} | {} | {} | {} |", r.top, r.roots, r.nested, r.watched);
    }
}

/// What a change of one game among 10,000 costs on the wire.
pub(crate) fn delta_of_one_game() {
    let Some(room) = Room::alone("bench-delta") else { return };
    let mut a = room.seat("a");
    make_games(&a.games);
    start(&mut a);
    hashed(&a);
    let id = a.snapshot()["me"]["peer"].as_str().unwrap().to_owned();
    let mut b = room.seat("b");
    start(&mut b);
    b.until("b knows the library", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(500));
        b.view_of(&id).filter(|v| v["games"].as_array().unwrap().len() >= GAMES)
    });
    // Only what a's listener or b's sends: announcements over multicast are counted by the idle benchmark.
    b.link.namespace().shell(
        "nft add table inet count && nft add chain inet count in '{ type filter hook input priority 0; }' && \
         nft add rule inet count in ip saddr 10.77.0.1 meta l4proto udp udp dport != 5353 counter && \
         nft add rule inet count in ip6 nexthdr udp udp dport != 5353 counter",
    );
    let counted = || -> (u64, u64) {
        let rules = b.link.namespace().shell("nft list table inet count");
        let words: Vec<&str> = rules.split_whitespace().collect();
        words
            .windows(4)
            .filter(|w| w[0] == "packets" && w[2] == "bytes")
            .fold((0, 0), |(p, n), w| (p + w[1].parse::<u64>().unwrap(), n + w[3].parse::<u64>().unwrap()))
    };
    let mut rows = Vec::new();
    for (what, game) in [("a game changed", "game-00001"), ("another", "game-00002"), ("a third", "game-00003")] {
        let before = counted();
        let seen = b.log().len();
        std::fs::write(a.root(game).join("new.eti"), what).unwrap();
        let is_it = |e: &serde_json::Value| e["type"] == "remote_library_changed" && e["changed"] == json!([game]);
        let event = b.log().wait(seen, PATIENCE, is_it).unwrap();
        let after = counted();
        rows.push(format!("| {what} | {} | {} | {} |", event["by"], after.0 - before.0, after.1 - before.1));
    }
    println!("\n### One game of {GAMES} changes\n");
    println!("| change | learned by | packets to the other peer | bytes with IP and UDP headers |\n|---|---|---|---|");
    for row in rows {
        println!("{row}");
    }
}
