//! Devices of one player: how they become it, how they cease to be, and what a stranger gets.

use std::time::Duration;

use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::saves::in_step;
use bonfire_tests::stranger::{self, Stranger};
use bonfire_tests::{Room, child, tree};
use serde_json::{Value, json};

#[test]
fn two_devices_pair_by_a_code_and_a_save_follows() {
    let Some(room) = Room::new("pair") else { return };
    let (a, b) = (room.peer("a"), room.peer("b"));
    b.sees(&a);
    a.done(&["devices", "create-player", "ann"]);
    let mut showing = a.begin(&["devices", "pair"]);
    let shown = showing.line("code", SOON, |l| l["result"]["type"] == "pair_code")["result"].clone();
    assert_eq!((shown["tries"].as_u64(), shown["seconds"].as_u64()), (Some(3), Some(120)));
    // As a person types it.
    let typed = shown["code"].as_str().unwrap().to_lowercase().replace('-', " ");
    let paired = b.done(&["devices", "pair", "--code", &typed]);
    assert_eq!(paired.lines[0]["result"]["device"], a.id());
    let ended = showing.end(SOON);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.lines.last().unwrap()["result"]["device"], b.id());
    for peer in [&a, &b] {
        peer.until("both devices are listed", SOON, || {
            let listed = peer.done(&["devices", "list"]).lines;
            (listed.len() == 2 && listed.iter().all(|d| d["player_name"] == "ann" && d["client"] == "bonfire"))
                .then_some(())
        });
    }
    a.writes("slot1.sav", "level 1");
    std::fs::create_dir(a.saves().join("maps")).unwrap();
    std::fs::write(a.saves().join("maps/one.map"), [0, 255, 10, 13, 0]).unwrap();
    a.add_saves("quake");
    // Another folder on the other machine.
    let there = b.saves().join("elsewhere");
    b.done(&["saves", "add", "quake", there.to_str().unwrap()]);
    in_step(&[&a, &b], "quake");
    assert_eq!(tree::read(&there), a.save_tree());
    let told = a.text_cli(&["saves", "list"], SOON).stdout;
    assert!(told.contains("2 of 2"), "{told}");
    // And from now on without a word.
    a.writes("slot1.sav", "level 2");
    b.until("the second level follows", LONG, || {
        (std::fs::read_to_string(there.join("slot1.sav")).unwrap() == "level 2").then_some(())
    });
    in_step(&[&a, &b], "quake");
    assert_eq!(tree::read(&there), a.save_tree());
}

#[test]
fn three_wrong_codes_end_a_pairing() {
    let Some(room) = Room::new("wrong-code") else { return };
    let (a, b) = (room.peer("a"), room.peer("b"));
    b.sees(&a);
    a.done(&["devices", "create-player", "ann"]);
    let mut showing = a.begin(&["devices", "pair"]);
    let shown = showing.line("code", SOON, |l| l["result"]["type"] == "pair_code")["result"].clone();
    let code = shown["code"].as_str().unwrap();
    let wrong = other_code(code);
    for _ in 0..3 {
        let refused = b.cli(&["devices", "pair", "--code", &wrong]);
        assert_eq!(refused.code, 3, "{refused:?}");
    }
    let ended = showing.end(SOON);
    assert_ne!(ended.code, 0, "the code is shown no more: {ended:?}");
    // Too late for the right one.
    let refused = b.cli(&["devices", "pair", "--code", code]);
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!(a.done(&["devices", "list"]).lines.len(), 1);
    assert!(b.done(&["devices", "list"]).lines.is_empty());
    // A new code is a new chance.
    a.invites(&b);
    assert_eq!(a.done(&["devices", "list"]).lines.len(), 2);
}

#[test]
fn a_token_pairs_a_machine_that_nobody_sits_at() {
    let Some(room) = Room::new("token") else { return };
    let (a, b, c) = (room.peer("a"), room.peer("b"), room.peer("c"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "one");
    a.add_saves("quake");
    b.add_saves("quake");
    let made = a.done(&["devices", "token"]).lines[0]["result"].clone();
    let token = made["token"].as_str().unwrap();
    c.sees(&a);
    let refused = c.cli(&["devices", "pair", "--code", &other_code(token), "--with", a.id(), "--unattended"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    c.done(&["devices", "pair", "--code", token, "--with", a.id(), "--unattended"]);
    // It holds what the others have, with no folder of its own.
    a.slot_until("quake", "three hold it", |s| s["held_by"] == 3);
    let mine = c.done(&["devices", "list"]).lines;
    assert!(mine.iter().any(|d| d["is_this"] == true && d["role"] == "unattended"), "{mine:?}");
    let refused = c.cli(&["devices", "remove", b.id(), "--yes"]);
    assert_eq!(refused.code, 3, "it manages no devices: {refused:?}");
    a.done(&["devices", "revoke", &token[..4]]);
    let d = room.peer("d");
    d.sees(&a);
    let refused = d.cli(&["devices", "pair", "--code", token, "--with", a.id(), "--unattended"]);
    assert_ne!(refused.code, 0, "{refused:?}");
}

#[test]
fn a_removed_device_gets_nothing_more() {
    let Some(room) = Room::new("removed") else { return };
    let (a, b, c) = (room.peer("a"), room.peer("b"), room.peer("c"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.invites(&c);
    a.writes("x.sav", "for three");
    for peer in [&a, &b, &c] {
        peer.add_saves("quake");
    }
    in_step(&[&a, &b, &c], "quake");
    a.done(&["devices", "remove", c.id(), "--yes"]);
    for peer in [&a, &b] {
        peer.until("two devices are left", LONG, || (peer.done(&["devices", "list"]).lines.len() == 2).then_some(()));
    }
    // On the other one that was told as well.
    b.writes("x.sav", "for two");
    a.file_says("x.sav", "for two");
    in_step(&[&a, &b], "quake");
    c.writes("x.sav", "of a removed device");
    let pushed = c.cli(&["saves", "push", "quake"]);
    assert_eq!(a.reads("x.sav"), "for two", "{pushed:?}");
    assert_eq!(b.reads("x.sav"), "for two");
    a.writes("x.sav", "again for two");
    b.file_says("x.sav", "again for two");
    in_step(&[&a, &b], "quake");
    assert_eq!(c.reads("x.sav"), "of a removed device");
    assert!(stores_none(&c, &["for two", "again for two"]), "{:?}", c.history("quake"));
    // Who was let in and put out is in the log of where it was done.
    let told = |action: &str| {
        let entries = a.done(&["saves", "audit", "--action", action]).lines;
        entries.iter().map(|e| e["detail"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((told("player_created"), told("removed")), (vec!["ann".to_owned()], vec!["c".to_owned()]));
    assert_eq!(told("paired"), ["c", "b"], "newest first");
}

#[test]
fn a_stranger_gets_nothing_of_a_save() {
    let Some(room) = Room::new("save-stranger") else { return };
    let (a, b, c) = (room.peer("a"), room.peer("b"), room.peer("c"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "not for everyone");
    a.add_saves("quake");
    b.add_saves("quake");
    let version = in_step(&[&a, &b], "quake");
    // Another player's device, with a save of the same game.
    c.done(&["devices", "create-player", "cat"]);
    c.add_saves("quake");
    c.sees(&a);
    let player = a.snapshot()["players"][0]["player"].clone();
    for request in asks(&player, &version) {
        let addr = a.addr();
        let asked = request.clone();
        let answer = stranger::inside(&room.cable(&format!("s{}", room_seat(&request))), move || async move {
            let stranger = Stranger::new();
            let (connection, _send, _recv) = stranger.join(addr).await;
            stranger::ask(&connection, &asked).await
        });
        let answer = answer.unwrap_or_default();
        assert!(answer.is_null() || answer["type"] == "error", "{request} was answered with {answer}");
        assert!(!answer.to_string().contains("x.sav"), "{answer}");
    }
    c.writes("x.sav", "cat's own");
    c.slot_until("quake", "cat's save is kept", |s| s["standing"] == "current" && s["known"] == 1);
    assert_eq!(c.reads("x.sav"), "cat's own");
    assert_eq!(a.reads("x.sav"), "not for everyone");
    assert_eq!(c.snapshot()["players"].as_array().unwrap().len(), 1);
}

/// Everything that a device would ask another for.
fn asks(player: &Value, version: &str) -> Vec<Value> {
    vec![
        json!({"type": "state_request", "player_id": player, "since": [], "limit": 100}),
        json!({"type": "shared_change_request", "player_id": player, "since": [], "limit": 64}),
        json!({"type": "get_snapshots", "player_id": player, "ids": [version]}),
        json!({"type": "get_objects", "player_id": player, "snapshot_id": version,
               "objects": [{"hash": blake3::hash(b"not for everyone").to_hex().to_string(), "len": 16}]}),
    ]
}

/// A short name for the seat of who asks.
fn room_seat(request: &Value) -> usize {
    request["type"].as_str().unwrap().len()
}

/// Another code of the same shape.
fn other_code(code: &str) -> String {
    let last = if code.ends_with('C') { 'F' } else { 'C' };
    format!("{}{last}", &code[..code.len() - 1])
}

/// Whether no version that a peer can still export holds one of these texts.
fn stores_none(peer: &Peer, texts: &[&str]) -> bool {
    let folder = peer.saves().with_file_name("exports");
    std::fs::create_dir_all(&folder).unwrap();
    for version in peer.history("quake") {
        let id = version["id"].as_str().unwrap();
        // One that is only known by name cannot be exported.
        let _ = peer.cli(&["saves", "export", "quake", id, "--to", folder.to_str().unwrap()]);
    }
    std::fs::read_dir(&folder).unwrap().all(|archive| {
        let path = archive.unwrap().path();
        let mut unzip = std::process::Command::new("python3");
        unzip.args(["-c", READ_ZIP]).arg(path);
        let read = child::run(&mut unzip, b"", Duration::from_secs(20));
        let text = String::from_utf8_lossy(&read.stdout).into_owned();
        assert!(read.status.success(), "{read:?}");
        texts.iter().all(|t| text.trim() != *t)
    })
}

const READ_ZIP: &str = "import sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\n\
                        for n in z.namelist():\n if n.endswith('x.sav'): sys.stdout.buffer.write(z.read(n))";
