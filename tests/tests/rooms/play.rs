//! `bonfire play`: the newest save before, the new one handed on after, and nothing put under a game that runs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::saves::{Call, in_step};
use bonfire_tests::{Room, child};

#[test]
fn a_game_is_played_with_the_newest_save() {
    let Some(room) = Room::new("play") else { return };
    let (a, b) = paired(&room);
    let mut time = 0;
    for (turn, (here, there)) in [(&a, &b), (&b, &a), (&a, &b)].into_iter().enumerate() {
        let game = Game::new(&room, here);
        game.go();
        let played = here.cli(&["play", "quake", "--", "sh", game.script(), "played", "7"]);
        assert_eq!(played.code, 7, "the game's own exit code: {played:?}");
        assert_eq!(played.lines[0]["before"]["standing"], "current", "{played:?}");
        assert_eq!(played.lines[2]["is_new"], true, "{played:?}");
        // The game is not counted twice, and what the other device counted stays.
        let counted = played.lines[2]["after"]["heads"][0]["version"]["played_ms"].as_u64().unwrap_or_default();
        assert!(counted > time, "{played:?}");
        time = counted;
        // Both have it when the wrapper ends.
        assert_eq!(played.lines[2]["after"]["held_by"], 2, "{played:?}");
        let lines = std::fs::read_to_string(here.saves().join("x.sav")).unwrap().lines().count();
        assert_eq!(lines, turn + 2, "each played on from what the other left");
        in_step(&[here, there], "quake");
        assert_eq!(here.save_tree(), there.save_tree());
    }
    let refused = a.cli(&["play", "doom", "--", "true"]);
    assert_eq!(refused.code, 5, "no such save: {refused:?}");
}

#[test]
fn a_version_that_comes_while_playing_waits_for_the_end() {
    let Some(room) = Room::new("play-defer") else { return };
    let (a, b) = paired(&room);
    let game = Game::new(&room, &a);
    let mut playing = begin(&a, &game);
    b.writes("x.sav", "newer");
    a.slot_until("quake", "it waits for the game", |s| s["standing"] == "deferred" && s["is_running"] == true);
    assert_eq!(a.reads("x.sav"), "one");
    let told = a.text_cli(&["saves", "list"], SOON).stdout;
    assert!(told.contains("wait"), "{told}");
    // What is on this disk has nothing new to put over it.
    let newest = a.history("quake")[0]["id"].as_str().unwrap().to_owned();
    let refused = a.cli(&["saves", "push", "quake", "--overwrite", &newest]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "nothing_new"), "{refused:?}");
    game.go();
    playing.line("end", LONG, |l| l["after"].is_object());
    assert_eq!(playing.end(LONG).code, 0);
    a.file_says("x.sav", "newer");
    in_step(&[&a, &b], "quake");
}

#[test]
fn a_killed_wrapper_leaves_the_game_its_save() {
    let Some(room) = Room::new("play-kill") else { return };
    let (a, b) = paired(&room);
    // Nothing is applied for as long as the game lives.
    let game = Game::new(&room, &a);
    begin(&a, &game).kill9();
    b.writes("x.sav", "newer");
    a.slot_until("quake", "it waits for the game", |s| s["standing"] == "deferred");
    assert_eq!(a.reads("x.sav"), "one");
    assert!(game.runs());
    game.go();
    a.file_says("x.sav", "newer");
    in_step(&[&a, &b], "quake");
    // What the game saves after the wrapper is gone follows.
    let game = Game::new(&room, &a);
    let mut playing = a.begin(&["play", "quake", "--", "sh", game.script(), "played", "0"]);
    playing.line("game", SOON, |l| l["playing"]["pid"].is_u64());
    game.started();
    playing.kill9();
    game.go();
    b.file_says("x.sav", "newer\nplayed\n");
    in_step(&[&a, &b], "quake");
}

#[test]
fn a_peer_that_is_killed_and_started_while_a_game_is_played_knows_of_it_again() {
    let Some(room) = Room::new("play-restart") else { return };
    let (mut a, b) = paired(&room);
    let game = Game::new(&room, &a);
    let mut playing = a.begin(&["play", "quake", "--", "sh", game.script(), "played", "0"]);
    playing.line("game", SOON, |l| l["playing"]["pid"].is_u64());
    game.started();
    a.kill9();
    a.start();
    a.slot_until("quake", "the game runs", |s| s["is_running"] == true);
    b.writes("x.sav", "newer");
    a.slot_until("quake", "it waits for the game", |s| s["standing"] == "deferred");
    assert_eq!(a.reads("x.sav"), "one");
    game.go();
    // What was played is a side of its own: it was made without what came meanwhile.
    let ended = playing.end(LONG);
    assert_eq!(ended.code, 0, "the game's own exit code: {ended:?}");
    for peer in [&a, &b] {
        peer.slot_until("quake", "both sides are shown", |s| s["standing"] == "conflict");
    }
    assert_eq!((a.reads("x.sav"), b.reads("x.sav")), ("one\nplayed\n".to_owned(), "newer".to_owned()));
}

#[test]
fn a_game_is_played_without_a_peer() {
    let Some(room) = Room::new("play-alone") else { return };
    let (mut a, b) = paired(&room);
    a.terminate();
    let refused = a.cli(&["play", "quake", "--strict", "--", "true"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let game = Game::new(&room, &a);
    game.go();
    let played = a.cli(&["play", "quake", "--", "sh", game.script(), "played", "0"]);
    assert_eq!(played.code, 0, "{played:?}");
    a.start();
    b.file_says("x.sav", "one\nplayed\n");
    in_step(&[&a, &b], "quake");
}

/// A game that is a script: it starts, waits to be told to end, and then saves.
struct Game {
    folder: PathBuf,
    script: String,
    gate: File,
}

impl Game {
    fn new(room: &Room, peer: &Peer) -> Self {
        let folder = tempfile_in(room.folder());
        let made = child::run(Command::new("mkfifo").arg(folder.join("gate")), b"", SOON);
        assert!(made.status.success(), "{made:?}");
        // Opened for both, neither side waits for the other.
        let gate = File::options().read(true).write(true).open(folder.join("gate")).unwrap();
        let script = folder.join("game.sh");
        let (at, save) = (folder.display(), peer.saves().join("x.sav"));
        let save = save.display();
        std::fs::write(
            &script,
            format!(
                "echo $$ >{at}/pid.new && mv {at}/pid.new {at}/pid\nread line <{at}/gate\n\
                 if [ -n \"$1\" ]; then\n  {{ sed -e '$a\\' {save}; echo \"$1\"; }} >{at}/new\n  mv {at}/new {save}\nfi\n\
                 exit \"${{2:-0}}\"\n"
            ),
        )
        .unwrap();
        let script = script.to_str().unwrap().to_owned();
        Self { folder, script, gate }
    }

    fn script(&self) -> &str {
        &self.script
    }

    /// Lets it save and end.
    fn go(&self) {
        (&self.gate).write_all(b"go\n").unwrap();
    }

    /// Waits until it runs.
    fn started(&self) {
        bonfire_tests::peer::file_appears(&self.folder.join("pid"));
    }

    fn runs(&self) -> bool {
        let pid = std::fs::read_to_string(self.folder.join("pid")).unwrap();
        Path::new("/proc").join(pid.trim()).exists()
    }
}

/// Begins to play a game that saves nothing, and waits until it runs and the peer knows it.
fn begin(peer: &Peer, game: &Game) -> Call {
    let mut playing = peer.begin(&["play", "quake", "--", "sh", game.script()]);
    playing.line("game", SOON, |l| l["playing"]["pid"].is_u64());
    game.started();
    peer.slot_until("quake", "the game runs", |s| s["is_running"] == true);
    playing
}

fn tempfile_in(folder: &Path) -> PathBuf {
    let mut number = 0;
    loop {
        let path = folder.join(format!("game{number}"));
        if std::fs::create_dir(&path).is_ok() {
            return path;
        }
        number += 1;
    }
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
