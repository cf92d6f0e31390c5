//! Two machines that changed one save apart: nothing is overwritten, both sides are shown everywhere, a person chooses.

use bonfire_tests::Room;
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::saves::in_step;
use serde_json::Value;

#[test]
fn edits_on_both_sides_of_a_cut_are_a_conflict() {
    let Some(room) = Room::new("conflict") else { return };
    let (a, b) = paired(&room);
    in_conflict(&a, &b);
    // The other side lies beside the save, and is none itself.
    for (peer, mine, theirs) in [(&a, "of a", "of b"), (&b, "of b", "of a")] {
        assert_eq!(peer.reads("x.sav"), mine, "nothing is overwritten");
        let copy = the_copy(peer);
        let lies = std::fs::read_to_string(peer.saves().parent().unwrap().join(&copy).join("x.sav"))
            .or_else(|_| std::fs::read_to_string(peer.saves().join(&copy)))
            .unwrap();
        assert_eq!(lies, theirs);
        let shown = peer.done(&["saves", "conflicts"]).lines;
        assert_eq!(shown.len(), 1, "{shown:?}");
        let sides = shown[0]["sides"].as_array().unwrap();
        let names: Vec<_> = sides.iter().map(|s| s["version"]["device_name"].as_str().unwrap()).collect();
        assert_eq!(sides.len(), 2, "{shown:?}");
        assert!(names.contains(&"a") && names.contains(&"b"), "{names:?}");
        assert!(sides.iter().all(|s| s["versions_since"] == 1), "{sides:?}");
        assert_eq!(shown[0]["common"]["device_name"], "a");
        let file = serde_json::json!([{ "path": "save/x.sav", "before": 4, "after": 4 }]);
        assert_eq!(
            sides[1]["compared"]["files"], file,
            "which file differs is said, its size does not tell: {sides:?}"
        );
        let told = peer.text_cli(&["saves", "conflicts"], SOON).stdout;
        assert!(told.contains("~ save/x.sav (4 B)"), "{told}");
        let id = |at: usize| sides[at]["id"].as_str().unwrap();
        let compared = peer.done(&["saves", "compare", "quake", &id(0)[..12], id(1)]).lines;
        assert_eq!((&compared[0]["type"], &compared[0]["files"]), (&"compared".into(), &file));
        let refused = peer.cli(&["saves", "push", "quake"]);
        assert_eq!(refused.code, 3, "{refused:?}");
    }
}

#[test]
fn a_conflict_is_settled_with_this_side() {
    settled("mine", &["--mine"], "of a");
}

#[test]
fn a_conflict_is_settled_with_the_other_side() {
    settled("theirs", &["--theirs"], "of b");
}

#[test]
fn a_conflict_is_settled_with_a_named_version() {
    let Some(room) = Room::new("use") else { return };
    let (a, b) = paired(&room);
    in_conflict(&a, &b);
    let shown = a.done(&["saves", "conflicts", "--game", "quake"]).lines;
    let common = shown[0]["common"]["id"].as_str().unwrap()[..12].to_owned();
    a.done(&["saves", "resolve", "quake", "--use", &common]);
    ended(&a, &b, "together");
}

#[test]
fn both_sides_of_a_conflict_can_be_kept() {
    let Some(room) = Room::new("both") else { return };
    let (a, b) = paired(&room);
    in_conflict(&a, &b);
    a.done(&["saves", "resolve", "quake", "--both"]);
    ended(&a, &b, "of a");
    // The other side is a slot of its own, on both.
    for peer in [&a, &b] {
        let other = peer.until("the other side's slot", LONG, || {
            let slots = peer.done(&["saves", "list", "--game", "quake"]).lines;
            slots.into_iter().find(|s| s["slot"] != "main" && s["held_by"] == 2)
        });
        assert_eq!(other["slot"], "main-b", "named after the device whose side it is: {other}");
    }
    b.done(&["saves", "switch", "quake", "--slot", "main-b"]);
    b.file_says("x.sav", "of b");
    assert_eq!(a.reads("x.sav"), "of a");
}

fn settled(name: &str, how: &[&str], outcome: &str) {
    let Some(room) = Room::new(name) else { return };
    let (a, b) = paired(&room);
    in_conflict(&a, &b);
    a.done(&[&["saves", "resolve", "quake"], how].concat());
    ended(&a, &b, outcome);
    // Everything that was is still in history.
    let kinds: Vec<Value> = b.history("quake").into_iter().map(|v| v["kind"].clone()).collect();
    assert_eq!(kinds, ["merge", "save", "save", "save"], "newest first");
    b.writes("x.sav", "afterwards");
    a.file_says("x.sav", "afterwards");
    in_step(&[&a, &b], "quake");
}

/// Two devices of one player with a save in step.
fn paired(room: &Room) -> (Peer, Peer) {
    let (a, b) = (room.peer("a"), room.peer("b"));
    a.done(&["devices", "create-player", "ann"]);
    a.invites(&b);
    a.writes("x.sav", "together");
    a.add_saves("quake");
    b.add_saves("quake");
    in_step(&[&a, &b], "quake");
    (a, b)
}

/// Both write while the cable is cut, and are in a conflict when it is healed.
fn in_conflict(a: &Peer, b: &Peer) {
    b.link.cut();
    for (peer, text) in [(a, "of a"), (b, "of b")] {
        peer.writes("x.sav", text);
        peer.slot_until("quake", "the edit is kept", |s| s["known"] == 2 && s["stored"] == 2);
    }
    b.link.heal();
    for peer in [a, b] {
        peer.slot_until("quake", "a conflict with its copy", |s| {
            s["standing"] == "conflict" && s["copies"].as_array().is_some_and(|c| c.len() == 1)
        });
    }
}

/// Waits until nothing is left of a conflict.
fn ended(a: &Peer, b: &Peer, outcome: &str) {
    in_step(&[a, b], "quake");
    for peer in [a, b] {
        peer.file_says("x.sav", outcome);
        peer.until("the copies are gone", SOON, || copies(peer).is_empty().then_some(()));
        assert!(peer.done(&["saves", "conflicts"]).lines.is_empty());
    }
}

/// The only conflict copy beside a peer's save.
fn the_copy(peer: &Peer) -> String {
    let copies = copies(peer);
    assert_eq!(copies.len(), 1, "{copies:?}");
    copies[0].clone()
}

fn copies(peer: &Peer) -> Vec<String> {
    let names = |folder: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).filter(|n| n.contains(".conflict-")).collect()
    };
    let saves = peer.saves();
    [names(saves.parent().unwrap()), names(&saves)].concat()
}
