//! Installing, updating and uninstalling a game, from an archive and from plain files.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Peer, Said};

/// Writes a game of one zip archive, named as games of the room are.
fn write_packed(games: &Path, game: &str, version: &str, files: &[(&str, &str)]) {
    let root = games.join(game);
    std::fs::create_dir_all(&root).unwrap();
    let mut zip = zip::ZipWriter::new(std::fs::File::create(root.join("game.eti")).unwrap());
    for (name, content) in files {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    std::fs::write(root.join("version.ini"), version).unwrap();
}

fn write_plain(games: &Path, game: &str, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = games.join(game).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    std::fs::write(games.join(game).join("version.ini"), "1.0").unwrap();
}

/// Files of an install by name, but for its record.
fn installed(peer: &Peer, game: &str) -> BTreeMap<String, String> {
    let top = peer.games_dir().join(game).join("local");
    let (mut out, mut open) = (BTreeMap::new(), vec![top.clone()]);
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap_or_else(|e| panic!("{e}: {}", at.display())).map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else if entry.file_name() != ".bonfire.install" {
                let name = entry.path().strip_prefix(&top).unwrap().display().to_string().replace('\\', "/");
                out.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    out
}

fn tree(files: &[(&str, &str)]) -> BTreeMap<String, String> {
    files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

fn result(said: &Said) -> Value {
    said.json().pop().unwrap()["result"].clone()
}

fn error(said: &Said) -> Value {
    said.json().pop().unwrap()["error"].clone()
}

fn game<'a>(games: &'a [Value], id: &str) -> &'a Value {
    games.iter().find(|g| g["id"] == id).unwrap()
}

#[test]
fn a_packed_game_is_installed_updated_with_the_players_files_and_uninstalled() {
    let old = [("doom.txt", "one"), ("data/a", "a"), ("doom.cfg", "default")];
    let mut ann = Peer::start(&["--name", "ann"], |games| write_packed(games, "doom", "1.0", &old));
    ann.run(&["catalog", "add", "doom"]).expect(0);
    ann.running.event("game_hashed");
    let said = ann.run(&["install", "doom", "--json"]).expect(0);
    assert_eq!(said.json()[0]["started"]["game"], "doom");
    let done = result(&said);
    assert_eq!(
        (&done["type"], &done["files"], &done["version"]),
        (&"install_finished".into(), &3.into(), &"1.0".into())
    );
    assert_eq!(installed(&ann, "doom"), tree(&old));
    let games = ann.run(&["games", "--json"]).expect(0).json();
    assert_eq!(
        (&game(&games, "doom")["installed"], &game(&games, "doom")["availability"]),
        (&true.into(), &"ready".into())
    );
    assert!(ann.run(&["games"]).expect(0).out.contains("downloaded, installed"));
    assert!(ann.run(&["status"]).expect(0).out.contains("1 installed"));
    assert_eq!(error(&ann.run(&["install", "doom", "--json"]).expect(3))["code"], "installed");
    assert_eq!(error(&ann.run(&["remove", "doom", "--json"]).expect(3))["code"], "installed");

    let local = ann.games_dir().join("doom/local");
    std::fs::write(local.join("doom.cfg"), "mine").unwrap();
    std::fs::write(local.join("1.sav"), "saved").unwrap();
    write_packed(&ann.games_dir(), "doom", "1.1", &[("doom.txt", "two"), ("doom.cfg", "better"), ("new", "new")]);
    ann.running.wait(|line| line["event"]["type"] == "local_library_changed" || line["event"]["type"] == "game_hashed");
    let done = result(&ann.run(&["update", "doom", "--json"]).expect(0));
    assert_eq!((&done["is_update"], &done["carried_files"]), (&true.into(), &1.into()), "{done}");
    assert_eq!(done["kept_files"], json!(["doom.cfg.kept"]));
    let new =
        [("doom.txt", "two"), ("doom.cfg", "better"), ("new", "new"), ("1.sav", "saved"), ("doom.cfg.kept", "mine")];
    assert_eq!(installed(&ann, "doom"), tree(&new));

    let refused = error(&ann.run(&["uninstall", "doom", "--json"]).expect(3));
    assert_eq!(refused["code"], "players_files");
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("1.sav") && message.contains("doom.cfg.kept") && !message.contains("doom.txt"),
        "{message}"
    );
    assert!(refused["hint"].as_str().unwrap().contains("--force"));
    assert_eq!(installed(&ann, "doom"), tree(&new));
    let gone = result(&ann.run(&["uninstall", "doom", "--force", "--json"]).expect(0));
    assert_eq!(gone["type"], "game_uninstalled");
    assert!(!local.exists() && ann.games_dir().join("doom/game.eti").exists());
    assert_eq!(error(&ann.run(&["uninstall", "doom", "--json"]).expect(5))["code"], "not_installed");
    assert_eq!(error(&ann.run(&["update", "doom", "--json"]).expect(3))["code"], "not_installed");
    let entries = std::fs::read_dir(ann.games_dir().join("doom")).unwrap().count();
    assert_eq!(entries, 2, "nothing else is left");
    ann.stop();
}

#[test]
fn a_game_is_fetched_and_installed_by_one_command_and_what_is_installed_is_not_what_is_shared() {
    let files = [("game.txt", "plain"), ("data/level", "level")];
    let mut ann = Peer::start(&["--name", "ann"], |games| {
        write_plain(games, "moth", &files);
        std::fs::write(games.join("moth/start.sh"), "#!/bin/sh\necho started\n").unwrap();
    });
    ann.run(&["catalog", "add", "moth"]).expect(0);
    ann.running.event("game_hashed");
    let mut ben = Peer::start(&["--name", "ben", "--peer", &ann.listens_on], |_| {});
    ben.running
        .ever(|line| line["event"]["type"] == "remote_library_changed" && line["event"]["changed"] == json!(["moth"]));
    let said = ben.run(&["get", "moth", "--install", "--json"]).expect(0);
    let results: Vec<Value> = said.json().into_iter().filter_map(|l| l.get("result").cloned()).collect();
    let types: Vec<&str> = results.iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["download_finished", "install_finished"]);
    let mut expected = tree(&files);
    expected.insert("start.sh".into(), "#!/bin/sh\necho started\n".into());
    assert_eq!(installed(&ben, "moth"), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode =
            |name: &str| std::fs::metadata(ben.games_dir().join("moth/local").join(name)).unwrap().permissions().mode();
        assert_ne!(mode("start.sh") & 0o100, 0, "a script can be started");
        assert_eq!(mode("game.txt") & 0o111, 0);
    }
    assert_eq!(result(&ben.run(&["get", "moth", "--install", "--json"]).expect(0))["type"], "done");
    // What the player does to an installed file is not done to the one that others get.
    std::fs::write(ben.games_dir().join("moth/local/game.txt"), "mine").unwrap();
    let other = std::fs::OpenOptions::new().append(true).open(ben.games_dir().join("moth/local/data/level"));
    other.unwrap().write_all(b"more").unwrap();
    let read = |name: &str| std::fs::read_to_string(ben.games_dir().join("moth").join(name)).unwrap();
    assert_eq!((read("game.txt"), read("data/level")), ("plain".into(), "level".into()));
    let verified = result(&ben.run(&["verify", "moth", "--json"]).expect(0));
    assert_eq!(verified["bad_files"], json!([]));
    ben.stop();
    ann.stop();
}

#[test]
fn get_with_install_replaces_an_install_of_another_version_than_is_downloaded() {
    let peer = Peer::start(&[], |games| write_packed(games, "moth", "1.0", &[("game.txt", "one")]));
    peer.run(&["catalog", "add", "moth"]).expect(0);
    peer.run(&["install", "moth"]).expect(0);
    let games = peer.run(&["games", "--json"]).expect(0).json();
    assert_eq!(game(&games, "moth")["installed_version"], "1.0");
    assert_eq!(result(&peer.run(&["get", "moth", "--install", "--json"]).expect(0))["type"], "done");
    peer.run(&["catalog", "remove", "moth"]).expect(0);
    write_packed(&peer.games_dir(), "moth", "2.0", &[("game.txt", "two")]);
    peer.run(&["catalog", "add", "moth"]).expect(0);
    let get = &["get", "moth", "--install", "--json"];
    let mut done = result(&peer.run(get).expect(0));
    // The folder is looked at when it has been left alone for a while.
    while done["type"] == "done" {
        done = result(&peer.run(get).expect(0));
    }
    assert_eq!(
        (&done["type"], &done["is_update"], &done["version"]),
        (&json!("install_finished"), &json!(true), &json!("2.0"))
    );
    assert_eq!(installed(&peer, "moth"), tree(&[("game.txt", "two")]));
    let games = peer.run(&["games", "--json"]).expect(0).json();
    assert_eq!(game(&games, "moth")["installed_version"], "2.0");
    assert_eq!(result(&peer.run(get).expect(0))["type"], "done");
    peer.stop();
}

#[test]
fn what_an_archive_may_not_hold_is_refused_with_its_name_and_leaves_nothing() {
    let ann = Peer::start(&[], |games| write_packed(games, "evil", "1.0", &[("ok", "ok"), ("../escaped", "x")]));
    ann.run(&["catalog", "add", "evil"]).expect(0);
    let refused = error(&ann.run(&["install", "evil", "--json"]).expect(3));
    assert_eq!(refused["code"], "archive_name");
    assert!(refused["message"].as_str().unwrap().contains("../escaped"), "{refused}");
    let names: Vec<String> = std::fs::read_dir(ann.games_dir().join("evil"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(!ann.games_dir().join("evil/escaped").exists());
    ann.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_changed_beneath_a_program_that_runs_out_of_an_install() {
    let files = [("wait.sh", "#!/bin/sh\nexec sleep 600\n"), ("data", "data")];
    let ann = Peer::start(&[], |games| write_plain(games, "moth", &files));
    ann.run(&["catalog", "add", "moth"]).expect(0);
    ann.run(&["install", "moth"]).expect(0);
    let local = ann.games_dir().join("moth/local");
    let mut game = std::process::Command::new("sleep").arg("600").current_dir(&local).spawn().unwrap();
    for command in [&["update", "moth"][..], &["uninstall", "moth", "--force"]] {
        let refused = error(&ann.run(&[command, &["--json"]].concat()).expect(3));
        assert_eq!(refused["code"], "game_running", "{command:?}");
    }
    assert_eq!(installed(&ann, "moth"), tree(&files));
    game.kill().unwrap();
    game.wait().unwrap();
    ann.run(&["update", "moth"]).expect(0);
    ann.run(&["uninstall", "moth"]).expect(0);
    ann.stop();
}
