//! Getting, cancelling, removing and verifying a game between two peers.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Peer, Running, write_game};

/// Two peers that know each other; the first shares what `prepare` writes.
fn pair(game: &str, prepare: impl FnOnce(&Path)) -> (Peer, Peer) {
    let mut ann = Peer::start(&["--name", "ann"], prepare);
    ann.run(&["catalog", "add", game]).expect(0);
    ann.running.event("game_hashed");
    let mut ben = Peer::start(&["--name", "ben", "--peer", &ann.listens_on], |_| {});
    ben.running.ever(|line| {
        line["event"]["type"] == "remote_library_changed"
            && line["event"]["changed"].as_array().is_some_and(|games| games.iter().any(|g| g == game))
    });
    (ann, ben)
}

/// A game that takes seconds to fetch. Not zeros: those are found in a file that was only laid out, and not fetched.
fn write_big_game(games_dir: &Path) {
    write_game(games_dir, "big", "1.0");
    std::fs::write(games_dir.join("big/big.eti"), vec![7; 160 << 20]).unwrap();
}

fn kinds(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line.as_object().unwrap().keys().next().unwrap().clone()).collect()
}

#[test]
fn a_game_is_fetched_verified_and_removed() {
    let (ann, ben) = pair("quake", |games| write_game(games, "quake", "1.0"));
    let room = ben.run(&["games", "--room", "--json"]).expect(0).json();
    assert_eq!(room.len(), 1);
    assert_eq!((&room[0]["id"], &room[0]["holders"][0]["name"]), (&"quake".into(), &"ann".into()));
    assert!(ben.run(&["peers"]).expect(0).out.contains("ann"));
    assert_eq!(ben.run(&["peers", "--json"]).expect(0).json()[0]["connected"], true);

    let got = ben.run(&["get", "quake", "--from", "ann", "--json"]).expect(0).json();
    let kinds = kinds(&got);
    assert_eq!((kinds.first().unwrap().as_str(), kinds.last().unwrap().as_str()), ("started", "result"));
    assert!(kinds[1..kinds.len() - 1].iter().all(|kind| kind == "progress"), "{kinds:?}");
    assert_eq!(got.last().unwrap()["result"]["type"], "download_finished");
    for file in ["version.ini", "game.eti", "data/empty.eti"] {
        let read = |peer: &Peer| std::fs::read(peer.games_dir().join("quake").join(file)).unwrap();
        assert_eq!(read(&ann), read(&ben), "{file}");
    }

    assert!(ben.run(&["games"]).expect(0).out.contains("downloaded"));
    let verified = ben.run(&["verify", "quake", "--json"]).expect(0).json();
    assert_eq!(verified.last().unwrap()["result"]["bad_files"], serde_json::json!([]));
    let removed = ben.run(&["remove", "quake", "--json"]).expect(0).json();
    assert_eq!(removed.last().unwrap()["result"]["type"], "game_removed");
    assert!(!ben.games_dir().join("quake").exists());
    ben.stop();
    ann.stop();
}

#[test]
fn refusals_have_their_exit_codes() {
    let (ann, ben) = pair("quake", |games| {
        write_game(games, "quake", "1.0");
        write_game(games, "doom", "1.0");
    });
    for (args, code) in [
        (&["get", "nothere"][..], 5),
        (&["get", "doom", "--from", "ann"], 3),
        (&["get", "quake", "--from", "nobody"], 5),
        (&["cancel", "quake"], 5),
        (&["verify", "quake"], 5),
        (&["remove", "nothere"], 5),
    ] {
        let said = ben.run(&[&["--json"][..], args].concat());
        assert_eq!(said.code, code, "{args:?}: {} {}", said.out, said.err);
        assert_eq!(said.json().len(), 1);
        assert!(!said.json()[0]["error"]["message"].as_str().unwrap().is_empty());
    }
    ann.run(&["remove", "doom"]).expect(3);
    assert!(ann.games_dir().join("doom/game.eti").is_file());
    ben.stop();
    ann.stop();
}

#[cfg(unix)]
#[test]
fn ctrl_c_cancels_the_download_and_leaves_nothing() {
    let (ann, ben) = pair("big", write_big_game);
    let mut get = Running::start(&mut ben.command(&["get", "big", "--json"]));
    get.wait(|line| line["progress"]["phase"] == "transferring");
    get.signal(rustix::process::Signal::INT);
    let status = get.end();
    assert_eq!(get.seen.last().unwrap()["result"]["type"], "download_cancelled", "{:#?}", get.seen);
    assert_eq!(status.code(), Some(130));
    assert!(!ben.games_dir().join("big").exists());
    ben.stop();
    ann.stop();
}

#[test]
fn a_second_command_cancels_and_the_first_one_says_so() {
    let (ann, ben) = pair("big", write_big_game);
    let mut get = Running::start(&mut ben.command(&["get", "big", "--json"]));
    get.wait(|line| line.get("progress").is_some());
    let mut again = Running::start(&mut ben.command(&["get", "big", "--json"]));
    let attached = again.wait(|line| line.get("started").is_some());
    assert_eq!(attached["started"]["op"], get.seen[0]["started"]["op"], "a second get attaches");
    let cancelled = ben.run(&["cancel", "big", "--json"]).expect(0).json();
    assert_eq!(cancelled.last().unwrap()["result"]["type"], "download_cancelled");
    assert_eq!((get.end().code(), again.end().code()), (Some(130), Some(130)));
    assert!(!ben.games_dir().join("big").exists());
    ben.stop();
    ann.stop();
}

#[test]
fn a_download_that_stands_still_says_why_and_can_be_left() {
    let (mut ann, ben) = pair("big", write_big_game);
    let mut get = Running::start(&mut ben.command(&["get", "big", "--json", "--no-wait"]));
    get.wait(|line| line.get("progress").is_some());
    ann.running.child.kill().unwrap();
    assert_eq!(get.end().code(), Some(1));
    assert!(get.seen.last().unwrap()["error"]["message"].as_str().unwrap().contains("in the background"));
    let status = ben.run(&["status", "--json"]).expect(0).json();
    let operation = &status[0]["operations"][0];
    assert_eq!(operation["game"], "big", "it goes on in the background");
    assert!(operation["waiting_since"].is_u64(), "{operation}");
    let status = ben.run(&["status"]).expect(0).out;
    assert!(status.contains("download big: waiting for a peer that can give it for "), "{status}");
    assert!(status.contains("bonfire cancel big"), "{status}");
    let games = ben.run(&["games"]).expect(0);
    assert!(games.out.contains("standing still at") && games.err.contains("bonfire cancel big"), "{}", games.out);
    ben.run(&["cancel", "big"]).expect(0);
    assert!(!ben.games_dir().join("big").exists());
    ben.stop();
}
