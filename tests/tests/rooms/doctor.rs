//! `bonfire doctor`, which says what is wrong and what to do.

use bonfire_tests::Room;
use bonfire_tests::games::Recipe;
use bonfire_tests::peer::LONG;

#[test]
fn doctor_finds_a_healthy_room() {
    let Some(room) = Room::new("doctor") else { return };
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("doom", 1));
    a.start();
    let b = room.peer("b");
    a.sees(&b);
    b.sees(&a);
    let out = a.text_cli(&["doctor"], LONG);
    assert_eq!(out.code, 0, "{}\n{}", out.stdout, out.stderr);
    for word in ["games folder", "10.77.0.1", "multicast", "listener", "clock", "b"] {
        assert!(out.stdout.to_lowercase().contains(word), "{word}: {}", out.stdout);
    }
    let json = a.cli(&["doctor"]);
    assert_eq!(json.code, 0, "{json:?}");
    assert_eq!(json.lines.len(), json.stdout.lines().count(), "only JSON on stdout: {json:?}");
}

#[test]
fn doctor_names_what_is_wrong_and_what_to_do() {
    let Some(room) = Room::new("ill") else { return };
    let a = room.peer("a");
    let b = room.peer("b");
    a.sees(&b);
    // Everything that comes in is lost: what a host firewall does.
    a.link.lose(100);
    let out = a.text_cli(&["doctor"], LONG);
    assert_eq!(out.code, 1, "{}\n{}", out.stdout, out.stderr);
    let said = format!("{}{}", out.stdout, out.stderr).to_lowercase();
    assert!(said.contains("firewall") || said.contains("26634"), "says what to do: {said}");
    a.link.lose(0);
}
