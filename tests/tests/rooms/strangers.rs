//! Programs on the LAN that do not play by the rules, and peers that go on for everyone else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::stranger::{Background, Lie, Served, Stranger, ask, ask_raw, inside, read_frame, write_frame};
use bonfire_tests::{Room, child, tree};
use serde_json::json;

fn source(room: &Room, mib: u64) -> Peer {
    room.host("a", &Recipe::new("doom", mib))
}

#[test]
fn local_is_never_served() {
    let Some(room) = Room::new("local") else { return };
    let mut a = room.seat("a");
    let root = a.add_game(&Recipe::new("doom", 1));
    std::fs::create_dir_all(root.join("local/saves")).unwrap();
    std::fs::create_dir(root.join(".local.backup")).unwrap();
    std::fs::write(root.join("local/saves/one.sav"), "SECRET-SAVE").unwrap();
    std::fs::write(root.join("local/save.dat"), "SECRET-SAVE").unwrap();
    std::fs::write(root.join(".local.backup/save.dat"), "SECRET-SAVE").unwrap();
    std::fs::write(root.join(".lanspread.json"), r#"{"secret":"SECRET-SAVE"}"#).unwrap();
    std::fs::write(room.folder().join("outside.txt"), "SECRET-SAVE").unwrap();
    a.start();
    let addr = a.addr();
    let cable = room.cable("evil");
    let hash = a.until("the game is listed", SOON, || a.game("doom"))["manifest_hash"].clone();
    let outside = room.folder().join("outside.txt").display().to_string();
    inside(&cable, move || async move {
        let me = Stranger::new();
        let (connection, _send, _recv) = me.join(addr).await;
        let manifest = ask(&connection, &json!({"type": "get_game", "game_id": "doom"})).await.unwrap();
        assert_eq!(manifest["type"], "manifest", "{manifest}");
        assert!(!manifest.to_string().contains("local"), "{manifest}");
        let asked = [
            "local/save.dat",
            "local/saves/one.sav",
            "LOCAL/save.dat",
            "Local/save.dat",
            "LOCAL~1/save.dat",
            "./local/save.dat",
            "extra/../local/save.dat",
            ".local.backup/save.dat",
            ".lanspread.json",
            "../../../outside.txt",
            "..\\..\\outside.txt",
            "C:\\outside.txt",
            "local\\save.dat",
            "local/save.dat\u{0}",
            "local",
            "",
            outside.as_str(),
        ];
        for path in asked {
            for kind in ["get_chunks", "get_chunk_hashes"] {
                let request = json!({"type": kind, "game_id": "doom", "manifest_hash": hash, "path": path,
                                     "first": 0, "count": 1});
                // Closing the connection would be an answer too, but then the others below could not be asked.
                let answer = ask(&connection, &request).await.unwrap_or_else(|| panic!("no answer to {path:?}"));
                assert_eq!(answer["type"], "error", "{path:?}: {answer}");
                assert!(!answer.to_string().contains("SECRET"), "{answer}");
            }
        }
        for game in ["..", "doom/local", "../outside.txt", ".", "local"] {
            let request = json!({"type": "get_game", "game_id": game});
            let answer = ask(&connection, &request).await.unwrap();
            assert_eq!(answer["type"], "error", "{game:?}: {answer}");
        }
    });
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    let here = tree::read(&b.root("doom"));
    assert!(!here.keys().any(|k| k.contains("local") || k.contains("lanspread")), "{here:?}");
}

#[test]
fn a_hostile_stranger_does_not_stop_the_room() {
    let Some(room) = Room::new("hostile") else { return };
    let a = source(&room, 24);
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    let addr = a.addr();
    let hash = a.game("doom").unwrap()["manifest_hash"].clone();
    b.get("doom");
    let cable = room.cable("evil");
    inside(&cable, move || async move {
        requests_out_of_bounds(addr, &hash).await;
        wrong_hellos(addr).await;
    });
    b.finished("doom");
    b.holds_same("doom", &a);
    assert!(a.view_of(b.id()).unwrap()["connected"] == true);
}

async fn requests_out_of_bounds(addr: SocketAddr, hash: &serde_json::Value) {
    let me = Stranger::new();
    let frame = |body: &[u8]| {
        let mut all = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        all.extend(body);
        all
    };
    let chunks = |path: &str, first: u64, count: u64| {
        let ask = json!({"type": "get_chunks", "game_id": "doom", "manifest_hash": hash, "path": path,
                         "first": first, "count": count});
        frame(ask.to_string().as_bytes())
    };
    let deep = format!("{{\"type\":\"get_game\",\"x\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    let huge = vec![0xff, 0xff, 0xff, 0xff, b'{'];
    let mut other_list = json!({"type": "get_chunks", "game_id": "doom", "path": "doom.eti", "first": 0, "count": 1});
    other_list["manifest_hash"] = json!("0".repeat(64));
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("an over-long frame", huge, &["too_large", "bad_request"]),
        ("deep JSON", frame(deep.as_bytes()), &["too_large", "bad_request"]),
        ("an unknown type", frame(br#"{"type":"dance"}"#), &["unsupported"]),
        ("no JSON", frame(b"\xff\xfe\x00"), &["bad_request"]),
        ("no object", frame(b"[1,2]"), &["bad_request"]),
        ("no field", frame(br#"{"type":"get_game"}"#), &["bad_request"]),
        ("a frame that ends early", b"\x00\x00\x10\x00{".to_vec(), &["bad_request"]),
        ("an unknown game", frame(br#"{"type":"get_game","game_id":"nothing"}"#), &["not_found"]),
        ("an unknown file", chunks("nothing.eti", 0, 1), &["not_found"]),
        ("a chunk past the end", chunks("doom.eti", 999, 1), &["bad_request", "not_found"]),
        ("a chunk far past the end", chunks("doom.eti", 4_294_967_295, 64), &["bad_request", "not_found"]),
        ("no chunk at all", chunks("doom.eti", 0, 0), &["bad_request"]),
        ("too many chunks", chunks("doom.eti", 0, 1_000_000), &["bad_request"]),
        ("another file list", frame(other_list.to_string().as_bytes()), &["conflict"]),
    ];
    for (what, bytes, codes) in cases {
        // A connection of its own each, as a peer may well close on the worst of them.
        let (connection, _send, _recv) = me.join(addr).await;
        match ask_raw(&connection, &bytes).await {
            None => assert!(what.contains("frame"), "{what}: no answer, {:?}", connection.close_reason()),
            Some(answer) => {
                assert_eq!(answer["type"], "error", "{what}: {answer}");
                let code = answer["code"].as_str().unwrap();
                assert!(codes.contains(&code), "{what}: {answer}");
            }
        }
        connection.close(0u32.into(), b"");
    }
}

async fn wrong_hellos(addr: SocketAddr) {
    let me = Stranger::new();
    // Someone else's id.
    let mut hello = me.hello(&[]);
    hello["peer_id"] = json!("11111111-1111-8111-8111-111111111111");
    let (connection, reason) = greet(&me, addr, &hello).await;
    assert!(reason.contains("peer_id"), "wrong identity: {reason}");
    drop(connection);
    // Another version.
    let mut hello = me.hello(&[]);
    hello["proto_ver"] = json!(99);
    let (connection, reason) = greet(&me, addr, &hello).await;
    assert!(reason.contains("version"), "wrong version: {reason}");
    drop(connection);
    // No hello at all, but a request as the first thing.
    let connection = me.connect(addr).await;
    let _ = tokio::time::timeout(Duration::from_secs(5), ask_raw(&connection, b"\x00\x00\x00\x02{}")).await;
    drop(connection);
    // A name that would draw over a terminal.
    let mut hello = me.hello(&[]);
    hello["name"] = json!("\u{1b}[2J\u{202e}evil\r\n");
    let connection = me.connect(addr).await;
    let (_send, _recv, answer) = me.introduce(&connection, &hello).await;
    assert_eq!(answer["type"], "hello_ack");
}

/// Says hello and returns why the other side closed.
async fn greet(me: &Stranger, addr: SocketAddr, hello: &serde_json::Value) -> (quinn::Connection, String) {
    let connection = me.connect(addr).await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    write_frame(&mut send, hello).await;
    let frame = tokio::time::timeout(Duration::from_secs(10), read_frame(&mut recv)).await.expect("in time");
    assert!(frame.as_ref().is_none_or(|f| f["type"] == "error"), "taken in: {frame:?}");
    let closed = tokio::time::timeout(Duration::from_secs(10), connection.closed()).await.expect("closed in time");
    (connection, format!("{closed} {}", frame.unwrap_or_default()))
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let Some(room) = Room::new("flood") else { return };
    let a = source(&room, 16);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    let addr = a.addr();
    let hash = a.game("doom").unwrap()["manifest_hash"].clone();
    let cable = room.cable("evil");
    let opened = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&opened);
    let _flood = Background::new(&cable, move || async move {
        let mut held = Vec::new();
        loop {
            let me = Stranger::new();
            let Ok(connecting) = tokio::time::timeout(Duration::from_secs(5), me.connect(addr)).await else { continue };
            let (mut control, _recv) = connecting.open_bi().await.unwrap();
            write_frame(&mut control, &me.hello(&[])).await;
            // Asks for everything and reads nothing.
            for n in 0..500 {
                let Ok(Ok((mut send, recv))) =
                    tokio::time::timeout(Duration::from_millis(200), connecting.open_bi()).await
                else {
                    break;
                };
                let request = json!({"type": "get_chunks", "game_id": "doom", "manifest_hash": hash,
                                     "path": "doom.eti", "first": n % 4, "count": 4});
                write_frame(&mut send, &request).await;
                counter.fetch_add(1, Ordering::Relaxed);
                held.push((send, recv));
            }
            held.truncate(2_000);
        }
    });
    child::until("the flood is on", SOON, || (opened.load(Ordering::Relaxed) > 100).then_some(()));
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
    assert_eq!(a.cli(&["status"]).code, 0);
    let memory = resident_mib(a.pid());
    assert!(memory < 500, "{memory} MiB resident");
}

fn resident_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// A room with an honest source, a stranger that offers the same game and lies, and a receiver that knows both. The test
/// gets a count of the chunks that the stranger was asked for.
fn with_liar(name: &str, lie: Lie, test: impl FnOnce(&Peer, &mut Peer, &AtomicU32)) {
    let Some(room) = Room::new(name) else { return };
    let a = source(&room, 40);
    a.link.shape(100);
    let served = Served::read(&a.root("doom"), "The doom game");
    let asked = served.asked();
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    let addr = b.addr();
    let cable = room.cable("liar");
    let _liar = Background::new(&cable, move || served.offer_to(addr, lie));
    b.until("the stranger's offer is known", SOON, || {
        b.snapshot()["peers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| {
                p["name"] == "stranger" && p["games"].as_array().unwrap().iter().any(|g| g["content_hash"].is_string())
            })
            .then_some(())
    });
    test(&a, &mut b, &asked);
}

/// The stranger is asked, lies, and is dropped, however little the honest source brings meanwhile; then the game comes.
fn is_dropped(name: &str, lie: Lie) {
    with_liar(name, lie, |a, b, asked| {
        // Alone it would take longer than the stranger is given.
        a.link.shape(6);
        b.get("doom");
        let dropped = b.expect_game("source_dropped", "doom", LONG);
        assert_ne!(dropped["peer"], a.id(), "the honest one: {dropped}");
        assert!(asked.load(Ordering::Relaxed) > 0, "{lie:?} was never told");
        assert!(b.operation("doom").is_some(), "it was over before");
        a.link.unshape();
        b.finished("doom");
        b.holds_same("doom", a);
    });
}

#[test]
fn an_honest_stranger_is_a_source_like_any_other() {
    with_liar("honest", Lie::Honest, |a, b, _| {
        let before = a.link.bytes().0;
        b.get("doom");
        b.finished("doom");
        b.holds_same("doom", a);
        let from_a = a.link.bytes().0 - before;
        assert!(from_a < 36 * MIB, "the stranger carried its part; {from_a} bytes came from a");
    });
}

#[test]
fn a_lying_source_is_dropped() {
    is_dropped("liar", Lie::WrongBytes);
}

#[test]
fn a_stalling_source_is_dropped() {
    is_dropped("stall", Lie::Stall);
}

#[test]
fn a_source_that_sends_other_chunks_is_dropped() {
    is_dropped("other", Lie::OtherChunk);
    is_dropped("long", Lie::LongChunk);
}

#[test]
fn a_manifest_that_escapes_is_refused() {
    let Some(room) = Room::new("escape") else { return };
    let mut b = room.peer("b");
    let addr = b.addr();
    let cable = room.cable("liar");
    // Paths that no `RelPath` can hold: the list is made by hand.
    let _liar = Background::new(&cable, move || escaping(addr));
    b.until("the offer is known", SOON, || {
        b.snapshot()["peers"]
            .as_array()
            .unwrap()
            .iter()
            .any(|p| !p["games"].as_array().unwrap().is_empty())
            .then_some(())
    });
    b.get("trap");
    b.expect("an end or a pause", LONG, |e| {
        e["game"] == "trap" && (e["type"] == "download_failed" || e["type"] == "download_paused")
    });
    if b.operation("trap").is_some() {
        let _ = b.cancel("trap");
        b.idle();
    }
    assert!(!room.folder().join("b/escaped.txt").exists() && !room.folder().join("escaped.txt").exists());
    assert!(!b.root("trap").exists(), "{:?}", tree::read(&b.root("trap")));
    assert_eq!(b.cli(&["status"]).code, 0);
}

async fn escaping(addr: SocketAddr) {
    let me = Stranger::new();
    let files =
        std::collections::BTreeMap::from([(bonfire_proto::RelPath::new("version.ini").unwrap(), b"1".to_vec())]);
    let summary = Served::of("trap", "A trap", files).summary();
    let connection = me.connect(addr).await;
    let (_send, _recv, _) = me.introduce(&connection, &me.hello(std::slice::from_ref(&summary))).await;
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let Some(request) = read_frame(&mut recv).await else { continue };
        let answer = if request["type"] == "get_game" {
            json!({"type": "manifest", "page": 0, "pages": 1, "manifest": {
                "game_id": "trap", "eti_version": "1", "manifest_hash": summary.manifest_hash,
                "files": [{"path": "../../escaped.txt", "size": 5}, {"path": "version.ini", "size": 1}],
            }})
        } else {
            json!({"type": "library_snapshot", "peer_id": me.id, "page": 0, "pages": 1, "snapshot": {
                "library_epoch": "6f1c2d60-0000-4000-8000-000000000001", "library_rev": 1, "games": [summary],
            }})
        };
        write_frame(&mut send, &answer).await;
        let _ = send.finish();
    }
}
