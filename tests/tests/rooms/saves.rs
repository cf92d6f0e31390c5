//! One save over time: machines that are never on together, emptied folders, history, damage, lost databases, clocks.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bonfire_tests::Room;
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::saves::in_step;

#[test]
fn two_devices_never_on_together_sync_through_a_third() {
    let Some(room) = Room::new("relay") else { return };
    let (mut a, mut b, c) = (room.peer("a"), room.peer("b"), room.peer("c"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.invites(&c);
    a.writes("x.sav", "one");
    for peer in [&a, &b, &c] {
        peer.add_saves("quake");
    }
    in_step(&[&a, &b, &c], "quake");
    b.terminate();
    a.writes("x.sav", "two, while b is off");
    c.file_says("x.sav", "two, while b is off");
    let told = a.until("two of three hold it", LONG, || {
        let list = a.text_cli(&["saves", "list"], SOON).stdout;
        list.contains("2 of 3").then_some(list)
    });
    assert!(told.contains("quake"), "{told}");
    a.terminate();
    b.start();
    b.file_says("x.sav", "two, while b is off");
    b.writes("x.sav", "three, while a is off");
    c.file_says("x.sav", "three, while a is off");
    c.slot_until("quake", "two of three hold it", |s| s["held_by"] == 2);
    b.terminate();
    a.start();
    a.file_says("x.sav", "three, while a is off");
    b.start();
    in_step(&[&a, &b, &c], "quake");
}

#[test]
fn an_emptied_folder_is_held_and_spreads_nowhere() {
    let Some(room) = Room::new("emptied") else { return };
    let (a, b) = paired(&room);
    a.writes("y.sav", "another");
    b.file_says("y.sav", "another");
    in_step(&[&a, &b], "quake");
    std::fs::remove_dir_all(a.saves()).unwrap();
    std::fs::create_dir(a.saves()).unwrap_or_default();
    a.slot_until("quake", "held", |s| s["standing"] == "held");
    let told = a.text_cli(&["saves", "list"], SOON);
    assert!(format!("{}{}", told.stdout, told.stderr).contains("release"), "says what to do: {told:?}");
    let refused = a.cli(&["saves", "push", "quake"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert_eq!((b.reads("x.sav").as_str(), b.reads("y.sav").as_str()), ("one", "another"));
    a.done(&["saves", "release", "quake", "--restore"]);
    assert_eq!((a.reads("x.sav").as_str(), a.reads("y.sav").as_str()), ("one", "another"));
    in_step(&[&a, &b], "quake");
    // Meant this time.
    std::fs::remove_file(a.saves().join("x.sav")).unwrap();
    std::fs::remove_file(a.saves().join("y.sav")).unwrap();
    a.slot_until("quake", "held again", |s| s["standing"] == "held");
    a.done(&["saves", "release", "quake", "--keep-disk"]);
    b.until("the deletion follows", LONG, || b.save_tree().is_empty().then_some(()));
    // And can be taken back.
    let version = b.history("quake").into_iter().find(|v| v["kind"] == "save").unwrap()["id"].clone();
    b.done(&["saves", "rollback", "quake", version.as_str().unwrap()]);
    a.file_says("y.sav", "another");
    in_step(&[&a, &b], "quake");
    assert_eq!(a.save_tree(), b.save_tree());
}

#[test]
fn every_version_can_be_had_again() {
    let Some(room) = Room::new("history") else { return };
    let (a, b) = paired(&room);
    for text in ["two", "three", "four"] {
        a.writes("x.sav", text);
        b.file_says("x.sav", text);
        in_step(&[&a, &b], "quake");
    }
    let versions = b.history("quake");
    assert_eq!(versions.len(), 4, "{versions:?}");
    let oldest = versions[3]["id"].as_str().unwrap().to_owned();
    a.done(&["saves", "pin", "quake", &oldest[..10]]);
    a.done(&["saves", "note", "quake", &oldest[..10], "before the boss"]);
    b.until("the note and the pin are on the other device", LONG, || {
        b.history("quake")
            .into_iter()
            .find(|v| v["id"] == *oldest && v["is_pinned"] == true && v["note"] == "before the boss")
    });
    b.done(&["saves", "rollback", "quake", &oldest]);
    a.file_says("x.sav", "one");
    in_step(&[&a, &b], "quake");
    assert_eq!(a.history("quake")[0]["kind"], "rollback");
    // Out of one history and into another game's, through an archive.
    let folder = a.saves().with_file_name("archive");
    std::fs::create_dir(&folder).unwrap();
    let third = versions[1]["id"].as_str().unwrap();
    let exported = a.done(&["saves", "export", "quake", third, "--to", folder.to_str().unwrap()]);
    let archive = exported.lines[0]["result"]["path"].as_str().unwrap().to_owned();
    b.done(&["saves", "import", "quake", &archive]);
    b.file_says("x.sav", "three");
    a.file_says("x.sav", "three");
    in_step(&[&a, &b], "quake");
    // Only so many are kept, and never fewer than what is pinned or needed.
    a.done(&["saves", "retention", "quake", "--keep", "2"]);
    for text in ["seven", "eight", "nine"] {
        a.writes("x.sav", text);
        b.file_says("x.sav", text);
        in_step(&[&a, &b], "quake");
    }
    for peer in [&a, &b] {
        let left = peer.until("old versions are gone", LONG, || {
            let stored: Vec<_> = peer.history("quake").into_iter().filter(|v| v["is_stored"] == true).collect();
            (stored.len() <= 3).then_some(stored)
        });
        assert!(left.iter().any(|v| v["id"] == *oldest), "what is pinned stays: {left:?}");
        assert!(left.iter().any(|v| v["is_head"] == true), "{left:?}");
    }
    let audited = a.done(&["saves", "audit", "--game", "quake", "--limit", "1000"]).lines;
    let actions: Vec<_> = audited.iter().map(|e| e["action"].as_str().unwrap().to_owned()).collect();
    for action in ["saved", "applied", "added"] {
        assert!(actions.iter().any(|a| a == action), "{action} is in {actions:?}");
    }
    let rolled = b.done(&["saves", "audit", "--action", "rolled_back"]).lines;
    assert_eq!(rolled.len(), 1, "{rolled:?}");
}

#[test]
fn a_damaged_version_is_fetched_anew() {
    let Some(room) = Room::new("damaged") else { return };
    let (a, b) = paired(&room);
    let whole = b.done(&["saves", "verify"]).lines[0]["result"].clone();
    assert_eq!((whole["versions"].as_u64(), whole["damaged"].as_array().unwrap().len()), (Some(1), 0), "{whole}");
    let object = the_object(&b);
    let times = std::fs::metadata(&object).unwrap().modified().unwrap();
    let mut rights = std::fs::metadata(&object).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false, reason = "a file of this test alone")]
    rights.set_readonly(false);
    std::fs::set_permissions(&object, rights).unwrap();
    // In place: an object cut to nothing is none, and a look at the live file in that moment would put it anew.
    let file = std::fs::File::options().read(true).write(true).open(&object).unwrap();
    let last = file.metadata().unwrap().len() - 1;
    let mut byte = [0];
    file.read_exact_at(&mut byte, last).unwrap();
    file.write_all_at(&[byte[0] ^ 1], last).unwrap();
    file.set_modified(times).unwrap();
    drop(file);
    let found = b.cli(&["saves", "verify", "quake"]);
    assert_eq!((found.code, found.error_code().as_str()), (1, "damaged"), "{found:?}");
    b.until("it is whole again", LONG, || (b.cli(&["saves", "verify", "quake"]).code == 0).then_some(()));
    b.slot_until("quake", "both hold it", |s| s["held_by"] == 2);
    assert_eq!(a.reads("x.sav"), b.reads("x.sav"));
}

#[test]
fn a_lost_database_loses_no_save() {
    let Some(room) = Room::new("save-lost-db") else { return };
    let (mut a, mut b) = paired(&room);
    for text in ["two", "three"] {
        a.writes("x.sav", text);
        b.file_says("x.sav", text);
    }
    in_step(&[&a, &b], "quake");
    // One of the two: what it had of the room comes back from the other.
    b.terminate();
    lose_database(&b);
    a.writes("x.sav", "four, while b lay broken");
    a.slot_until("quake", "four is kept", |s| s["known"] == 4);
    // Where the save lies on this machine is a setting. Said before anyone is met: what is here is a known version then.
    b.link.cut();
    b.start();
    b.add_saves("quake");
    b.link.heal();
    b.file_says("x.sav", "four, while b lay broken");
    in_step(&[&a, &b], "quake");
    assert_eq!(b.history("quake").len(), 4);
    // Both.
    a.terminate();
    b.terminate();
    lose_database(&a);
    lose_database(&b);
    a.start();
    b.start();
    a.add_saves("quake");
    b.add_saves("quake");
    in_step(&[&a, &b], "quake");
    for peer in [&a, &b] {
        let texts = peer.history("quake");
        assert_eq!(texts.len(), 4, "{}: {texts:?}", peer.name);
        assert!(texts.iter().all(|v| v["is_stored"] == true), "{texts:?}");
        assert_eq!(peer.reads("x.sav"), "four, while b lay broken");
    }
    b.writes("x.sav", "five, after both were lost");
    a.file_says("x.sav", "five, after both were lost");
    in_step(&[&a, &b], "quake");
}

#[test]
fn a_clock_three_days_ahead_decides_nothing() {
    let Some(room) = Room::new("clock") else { return };
    if std::process::Command::new("faketime").arg("--version").output().is_err() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs faketime");
        skip("a_clock_three_days_ahead_decides_nothing: no faketime here");
        return;
    }
    let ahead = Duration::from_secs(3 * 24 * 3600);
    let mut b = room.seat("b");
    // Timers go on as they do; only the time of day is another.
    b.environment("FAKETIME_DONT_FAKE_MONOTONIC", "1").environment("NO_FAKE_STAT", "1");
    b.under(&["faketime", "-f", "+3d"]).start();
    let a = room.peer("a");
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "one");
    a.add_saves("quake");
    b.add_saves("quake");
    in_step(&[&a, &b], "quake");
    // What is newer by its ancestry is newer, whatever its time says.
    b.writes_at("x.sav", "two, of the future", SystemTime::now() + ahead);
    a.file_says("x.sav", "two, of the future");
    in_step(&[&a, &b], "quake");
    let versions = a.history("quake");
    let time = |n: usize| versions[n]["created_at"].as_u64().unwrap();
    assert!(time(0) > time(1) + 2 * 24 * 3_600_000, "its clock did run ahead: {versions:?}");
    a.writes("x.sav", "three, of today");
    b.file_says("x.sav", "three, of today");
    in_step(&[&a, &b], "quake");
    // And what was changed on both is a conflict, not a win of the later clock.
    b.link.cut();
    a.writes("x.sav", "four, of a");
    b.writes_at("x.sav", "four, of b", SystemTime::now() + ahead);
    for peer in [&a, &b] {
        peer.slot_until("quake", "the edit is kept", |s| s["known"] == 4);
    }
    b.link.heal();
    for (peer, text) in [(&a, "four, of a"), (&b, "four, of b")] {
        peer.slot_until("quake", "a conflict", |s| s["standing"] == "conflict");
        assert_eq!(peer.reads("x.sav"), text);
    }
    a.done(&["saves", "resolve", "quake", "--theirs"]);
    in_step(&[&a, &b], "quake");
    assert_eq!((a.reads("x.sav").as_str(), b.reads("x.sav").as_str()), ("four, of b", "four, of b"));
}

/// Two devices of one player with a save in step.
fn paired(room: &Room) -> (Peer, Peer) {
    let (a, b) = (room.peer("a"), room.peer("b"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "one");
    a.add_saves("quake");
    b.add_saves("quake");
    in_step(&[&a, &b], "quake");
    (a, b)
}

/// What a person does who deletes the database of a peer that is stopped.
pub(super) fn lose_database(peer: &Peer) {
    let mut lost = 0;
    for entry in std::fs::read_dir(&peer.data).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("state.db") {
            std::fs::remove_file(path).unwrap();
            lost += 1;
        }
    }
    assert!(lost > 0, "{} had no database", peer.name);
}

/// The only object that a peer stores.
fn the_object(peer: &Peer) -> PathBuf {
    fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&peer.data, &mut found);
    found.retain(|p| p.components().any(|c| c.as_os_str() == "objects"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[allow(clippy::print_stderr, reason = "a skipped scenario has to be seen")]
fn skip(why: &str) {
    eprintln!("\n*** SKIPPED: {why} ***\n");
}
