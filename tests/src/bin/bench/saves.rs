//! What saves cost: the way of a change to another device, bytes of a large set that changed little, rest, and the start.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bonfire_proto::hlc::Hlc;
use bonfire_proto::save::{ObjectRef, SNAPSHOT_FORMAT, SaveEntry, Snapshot, SnapshotKind, content_hash, snapshot_id};
use bonfire_proto::{Digest, GameId, PeerId, PlayerId, RelPath, SlotName, SnapshotId};
use bonfire_tests::Room;
use bonfire_tests::child::until;
use bonfire_tests::peer::Peer;

use crate::figures::{cpu_of, median, millis, spread};
use crate::syncthing::{Syncthing, WATCH_DELAY};

const LONG: Duration = Duration::from_secs(1_200);
/// How long Bonfire lets a folder come to rest before it looks (`SETTLE` in the engine's desk of saves).
const SETTLE: Duration = Duration::from_secs(1);

fn number(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(otherwise)
}

/// Two seats whose peers are one player's devices.
fn pair(a: &mut Peer, b: &mut Peer) {
    a.start();
    b.start();
    a.sees(b);
    a.done(&["devices", "create-player", "ann"]);
    let token = token(a);
    b.done(&["devices", "pair", "--code", &token]);
}

/// A token by which other devices join.
pub(crate) fn token(peer: &Peer) -> String {
    let shown = peer.done(&["devices", "token"]);
    shown.lines.iter().find_map(|l| find_text(l, "token")).expect("a token is shown")
}

fn find_text(value: &serde_json::Value, name: &str) -> Option<String> {
    match value {
        serde_json::Value::Object(map) => map
            .get(name)
            .and_then(|v| v.as_str().map(str::to_owned))
            .or_else(|| map.values().find_map(|v| find_text(v, name))),
        serde_json::Value::Array(list) => list.iter().find_map(|v| find_text(v, name)),
        _ => None,
    }
}

fn add(peer: &Peer, game: &str, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    peer.done(&["saves", "add", game, folder.to_str().unwrap()]);
}

/// Last write to applied on the other device, against Syncthing in the same seats.
pub(crate) fn latency() {
    let Some(room) = Room::alone("bench-saves") else { return };
    let rounds = number("BONFIRE_SAVE_ROUNDS", 100);
    let (mut a, mut b) = (room.seat("a"), room.seat("b"));
    pair(&mut a, &mut b);
    let folders = [room.folder().join("a-save"), room.folder().join("b-save")];
    add(&a, "game", &folders[0]);
    add(&b, "game", &folders[1]);
    let bonfire = way(&folders, rounds);
    let rest = |times: &[f64], settle: Duration| -> Vec<f64> { times.iter().map(|t| t - millis(settle)).collect() };
    let ours = rest(&bonfire, SETTLE);
    println!("\n### Last write to applied on the other device, {rounds} writes of 64 KiB\n");
    println!("| tool | whole way, ms | without the wait for rest: median, p99, ms | Bonfire's median to this one's |");
    println!("|---|---|---|---|");
    let line = |tool: &str, all: &[f64], rest: &[f64]| {
        let ratio = median(&ours) / median(rest);
        println!("| {tool} | {} | {:.0}, {:.0} | {ratio:.2} |", spread(all, 0), median(rest), p99(rest));
    };
    line("bonfire (waits 1 s for rest)", &bonfire, &ours);
    if !Syncthing::is_there() {
        eprintln!("*** syncthing is not installed: left out ***");
        return;
    }
    let mut both = [Syncthing::prepare(&room.folder().join("sa")), Syncthing::prepare(&room.folder().join("sb"))];
    Syncthing::introduce(&both, &["10.77.0.1".to_owned(), "10.77.0.2".to_owned()]);
    both[0].start(&a.link);
    both[1].start(&b.link);
    let folders = [both[0].folder.clone(), both[1].folder.clone()];
    let theirs = way(&folders, rounds);
    line("syncthing (waits 1 s for rest)", &theirs, &rest(&theirs, WATCH_DELAY));
}

/// Times from the end of a write in one folder until the other has it, in milliseconds.
fn way(folders: &[PathBuf; 2], rounds: usize) -> Vec<f64> {
    let mut times = Vec::new();
    for round in 0..rounds + 3 {
        let (from, to) = (folders[round % 2].join("world.dat"), folders[(round + 1) % 2].join("world.dat"));
        let content: Vec<u8> = noise(round as u64, 65_536);
        std::fs::write(&from, &content).unwrap();
        let written = Instant::now();
        until("the other device has it", Duration::from_secs(120), || {
            std::fs::read(&to).is_ok_and(|read| read == content).then_some(())
        });
        // The first ones find each other.
        if round >= 3 {
            times.push(millis(written.elapsed()));
        }
        // Whatever else is to be done about it is done before the next.
        std::thread::sleep(Duration::from_millis(1_500));
    }
    times
}

fn p99(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * 99 / 100).min(sorted.len() - 1)]
}

/// Bytes on the wire and on the disk for 2 GiB in 20,000 files of which one in a thousand changes.
pub(crate) fn large_set() {
    let Some(room) = Room::alone("bench-large-save") else { return };
    let files = number("BONFIRE_SAVE_FILES", 20_000);
    let size = number("BONFIRE_SAVE_MIB", 2_048) * (1 << 20) / files;
    let (mut a, mut b) = (room.seat("a"), room.seat("b"));
    pair(&mut a, &mut b);
    let (from, to) = (room.folder().join("a-save"), room.folder().join("b-save"));
    let file = |root: &Path, n: usize| root.join(format!("r{:03}", n / 256)).join(format!("c{n:05}.mca"));
    for n in 0..files {
        let at = file(&from, n);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(at, noise(n as u64, size)).unwrap();
    }
    let began = Instant::now();
    add(&b, "world", &to);
    let args = ["saves", "add", "world", from.to_str().unwrap()];
    assert_eq!(a.cli_for(&args, LONG).code, 0);
    let captured = began.elapsed();
    until("all of it is there", LONG, || (file(&to, files - 1).exists() && count(&to) == files).then_some(()));
    let first = began.elapsed();
    std::thread::sleep(Duration::from_secs(5));
    let changed_files = (files / 1_000).max(1);
    let objects = [a.data.join("objects"), b.data.join("objects")];
    let (wire, disk) = (a.link.bytes().0, [occupied(&objects[0]), occupied(&objects[1])]);
    let began = Instant::now();
    for n in 0..changed_files {
        std::fs::write(file(&from, n * 997 % files), noise(u64::MAX - n as u64, size)).unwrap();
    }
    let last = file(&to, (changed_files - 1) * 997 % files);
    let wanted = noise(u64::MAX - (changed_files as u64 - 1), size);
    until("the change is there", LONG, || std::fs::read(&last).is_ok_and(|r| r == wanted).then_some(()));
    let second = began.elapsed();
    std::thread::sleep(Duration::from_secs(3));
    let changed = (changed_files * size) as f64;
    let wire = (a.link.bytes().0 - wire) as f64;
    println!(
        "\n### {files} files, {} MiB, of which {changed_files} files change ({:.1} MiB)\n",
        (files * size) >> 20,
        changed / 1_048_576.0
    );
    println!("| what | |\n|---|---|");
    println!("| first version in history | {:.1} s |", captured.as_secs_f64());
    println!("| on the other device | {:.1} s |", first.as_secs_f64());
    println!("| the change on the other device, with 1 s of rest | {:.1} s |", second.as_secs_f64());
    println!("| bytes sent for the change, with IP and UDP headers, to changed bytes | {:.2} |", wire / changed);
    for (who, folder, before) in [("sender", &objects[0], disk[0]), ("receiver", &objects[1], disk[1])] {
        let more = (occupied(folder) - before) as f64;
        println!("| bytes in objects for the change at the {who}, to changed bytes | {:.2} |", more / changed);
    }
}

/// Content that neither compresses nor repeats.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut out);
    out
}

fn count(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
}

/// Bytes of all files beneath a folder, as they are long.
fn occupied(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|e| if e.path().is_dir() { occupied(&e.path()) } else { e.metadata().map_or(0, |m| m.len()) })
        .sum()
}

/// A player with many save sets: what rest costs, and a start.
pub(crate) fn many_sets() {
    let Some(room) = Room::alone("bench-many-saves") else { return };
    let (sets, versions) = (number("BONFIRE_SAVE_SETS", 1_000), number("BONFIRE_SAVE_VERSIONS", 50));
    let minutes = number("BONFIRE_IDLE_MINUTES", 3);
    let (mut a, mut b) = (room.seat("a"), room.seat("b"));
    pair(&mut a, &mut b);
    let player = find_text(&a.snapshot()["players"], "player").expect("a player");
    for n in 0..sets {
        let folder = room.folder().join("sets").join(n.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("save.dat"), format!("state {} of {n}", versions - 1)).unwrap();
    }
    let me: PeerId = a.id().parse().unwrap();
    a.terminate();
    let began = Instant::now();
    for n in 0..sets {
        history(&a.data, player.parse().unwrap(), me, n, versions);
    }
    eprintln!("made {} versions in {:.0} s", sets * versions, began.elapsed().as_secs_f64());
    let timed = |peer: &mut Peer| {
        let began = Instant::now();
        peer.start();
        began.elapsed().as_secs_f64()
    };
    let rebuilt = timed(&mut a);
    for n in 0..sets {
        let folder = room.folder().join("sets").join(n.to_string());
        a.done(&["saves", "add", &format!("game-{n}"), folder.to_str().unwrap()]);
    }
    eprintln!("added; waiting for the other device");
    let began = Instant::now();
    until("the other device holds what is kept", LONG, || {
        let slots = &b.snapshot()["players"][0]["slots"];
        // As many as retention keeps.
        let kept = |s: &serde_json::Value| s["keep"].as_u64().map(|keep| keep.min(versions as u64));
        let is_whole = |s: &serde_json::Value| s["stored"].as_u64() == kept(s) && s["held_by"] == 2;
        let is_there = slots.as_array().is_some_and(|all| all.len() == sets && all.iter().all(is_whole));
        is_there.then_some(()).or_else(|| {
            std::thread::sleep(Duration::from_secs(1));
            None
        })
    });
    let whole = began.elapsed().as_secs_f64();
    eprintln!("waiting for rest");
    let reads = |peer: &Peer| io(peer.pid());
    let began = Instant::now();
    // What is let go of is swept away by both, and told.
    until("nothing is read for ten seconds", LONG, || {
        let before = [reads(&a), reads(&b)];
        std::thread::sleep(Duration::from_secs(10));
        ([reads(&a), reads(&b)] == before).then_some(())
    });
    let rest = began.elapsed().as_secs_f64();
    let (before, packets, cpu) = (reads(&a), a.link.packets().0, cpu_of(a.pid()));
    std::thread::sleep(Duration::from_secs(60) * u32::try_from(minutes).unwrap());
    let (after, more, used) = (reads(&a), a.link.packets().0 - packets, cpu_of(a.pid()) - cpu);
    a.terminate();
    let again = timed(&mut a);
    let settled = Instant::now();
    until("every set was looked at", LONG, || {
        let slots = &a.snapshot()["players"][0]["slots"];
        let done =
            slots.as_array().is_some_and(|s| s.iter().all(|s| s["standing"] == "current" || s["standing"] == "ahead"));
        done.then_some(())
    });
    println!("\n### A player with {sets} save sets of {versions} versions each\n");
    println!("| what | |\n|---|---|");
    println!("| start after the database was lost, all versions read anew | {rebuilt:.1} s |");
    println!("| what is kept is on the other device, after the last set was added | {whole:.1} s |");
    println!("| until nothing is read for 10 s, after that | {rest:.1} s |");
    println!("| start | {again:.1} s |");
    println!("| until every set was looked at, after that | {:.1} s |", settled.elapsed().as_secs_f64());
    println!("| at rest: packets sent a minute | {:.1} |", more as f64 / minutes as f64);
    println!(
        "| at rest: bytes read a minute, by any system call | {:.0} |",
        (after.0 - before.0) as f64 / minutes as f64
    );
    println!("| at rest: read calls a minute | {:.1} |", (after.1 - before.1) as f64 / minutes as f64);
    println!("| at rest: CPU milliseconds a minute | {:.0} |", used / minutes as f64 * 1_000.0);
}

/// Bytes read and calls that read, of a process.
fn io(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or("0");
        line.trim_start_matches(':').trim().parse().unwrap_or(0)
    };
    (field("rchar"), field("syscr"))
}

/// Writes a history of one set into a data folder, as `docs/formats/saves.md` has it.
fn history(data: &Path, player: PlayerId, device: PeerId, n: usize, versions: usize) {
    let mut parents: Vec<SnapshotId> = Vec::new();
    for version in 0..versions {
        let bytes = format!("state {version} of {n}").into_bytes();
        let hash = Digest(*blake3::hash(&bytes).as_bytes());
        let shard = data.join("objects").join(&hash.to_string()[..2]);
        std::fs::create_dir_all(&shard).unwrap();
        std::fs::write(shard.join(hash.to_string()), zstd::bulk::compress(&bytes, 3).unwrap()).unwrap();
        let size = bytes.len() as u64;
        let entry = SaveEntry {
            path: RelPath::new("save/save.dat").unwrap(),
            size,
            mtime: 1_700_000_000_000,
            blake3: hash,
            archive: None,
            pieces: Vec::new(),
        };
        assert_eq!(entry.objects(), vec![ObjectRef { hash, len: u32::try_from(size).unwrap() }]);
        let at = 1_760_000_000_000 + (n * versions + version) as u64 * 1_000;
        let snapshot = Snapshot {
            format: SNAPSHOT_FORMAT,
            player,
            game_id: GameId::new(format!("game-{n}")).unwrap(),
            slot: SlotName::main(),
            parents: parents.clone(),
            device,
            hlc: Hlc { ms: at, count: 0, device },
            created_at: at,
            kind: SnapshotKind::Save,
            played_ms: 0,
            note: None,
            content_hash: content_hash(std::slice::from_ref(&entry)),
            files: 1,
            size,
            entries: vec![entry],
            list: Vec::new(),
        };
        let bytes = snapshot.to_bytes().unwrap();
        let id = snapshot_id(&bytes);
        std::fs::write(data.join("snapshots").join(format!("{id}.json")), bytes).unwrap();
        parents = vec![id];
    }
}
