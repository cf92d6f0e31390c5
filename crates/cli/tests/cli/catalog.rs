//! The catalog, from a folder to a file and back.

use serde_json::json;

use crate::harness::{Peer, write_game};

fn listed(peer: &Peer) -> Vec<(String, String)> {
    let lines = peer.run(&["catalog", "list", "--json"]).expect(0).json();
    lines.iter().map(|g| (g["id"].as_str().unwrap().to_owned(), g["name"].as_str().unwrap().to_owned())).collect()
}

fn pair(id: &str, name: &str) -> (String, String) {
    (id.to_owned(), name.to_owned())
}

#[test]
fn add_list_export_remove_and_import_round_trip() {
    let peer = Peer::start(&[], |games| {
        write_game(games, "quake", "1.0");
        std::fs::create_dir(games.join("doom")).unwrap();
        std::fs::write(games.join("doom/doom.eti"), "bytes").unwrap();
    });
    assert!(listed(&peer).is_empty());
    peer.run(&["catalog", "add", "quake", "--name", "Quake: Remastered"]).expect(0);
    let path = peer.games_dir().join("doom").display().to_string();
    let added = peer.run(&["catalog", "add", &path, "--id", "doom", "--version", "2.0", "--json"]).expect(0).json();
    assert_eq!(added.len(), 1);
    assert_eq!(added[0]["added"]["version"], "2.0");
    assert_eq!(added[0]["added"]["sentinel_written"], true);
    assert!(peer.games_dir().join("doom/version.ini").is_file());
    let both = vec![pair("doom", "doom"), pair("quake", "Quake: Remastered")];
    assert_eq!(listed(&peer), both);

    let file = peer.data_dir().join("export.json").display().to_string();
    let beside = format!("{file}.tmp");
    std::fs::write(&beside, "mine").unwrap();
    peer.run(&["catalog", "export", &file]).expect(0);
    assert_eq!(std::fs::read_to_string(&beside).unwrap(), "mine", "no name that somebody may use is taken");
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let expected = json!({"format": 1, "games": [
        {"id": "doom", "name": "doom"}, {"id": "quake", "name": "Quake: Remastered"}]});
    assert_eq!(written, expected);
    assert_eq!(peer.run(&["catalog", "export", "-"]).expect(0).json(), [expected]);

    peer.run(&["catalog", "remove", "quake"]).expect(0);
    assert_eq!(listed(&peer), [pair("doom", "doom")]);
    assert!(peer.games_dir().join("quake/game.eti").is_file(), "files stay");
    peer.run(&["catalog", "remove", "quake"]).expect(5);

    assert_eq!(peer.run(&["catalog", "import", &file, "--json"]).expect(0).json(), [json!({"imported": 2})]);
    assert_eq!(listed(&peer), both);
    peer.stop();
}

#[test]
fn only_a_direct_child_of_the_games_folder_can_be_added() {
    let peer = Peer::start(&[], |games| write_game(games, "quake", "1.0"));
    let path = |sub: &str| peer.games_dir().join(sub).display().to_string();
    for outside in [path("quake/data"), path(""), "/etc".to_owned(), path("../data")] {
        let said = peer.run(&["catalog", "add", &outside, "--json"]);
        assert!(said.code == 3 || said.code == 2, "{outside}: {} {}", said.code, said.out);
    }
    let said = peer.run(&["catalog", "add", "quake", "--id", "quake3", "--json"]).expect(2);
    assert_eq!(said.json()[0]["error"]["code"], "usage");
    assert!(said.err.contains("rename the folder"), "{}", said.err);
    peer.run(&["catalog", "add", "nothere"]).expect(5);
    assert!(listed(&peer).is_empty());
    peer.stop();
}

#[test]
fn a_file_that_is_no_catalog_is_refused_before_anything_changes() {
    let peer = Peer::start(&[], |_| {});
    let file = peer.data_dir().join("bad.json");
    for text in ["", "{}", r#"{"format":2,"games":[]}"#, r#"{"format":1,"games":[{"id":"../x","name":""}]}"#] {
        std::fs::write(&file, text).unwrap();
        let said = peer.run(&["catalog", "import", &file.display().to_string(), "--json"]).expect(3);
        assert_eq!(said.json()[0]["error"]["code"], "bad_catalog", "{text}");
    }
    peer.run(&["catalog", "import", "/nonexistent/catalog.json"]).expect(5);
    peer.stop();
}

#[test]
fn an_import_shows_what_it_has_started_and_leaves_out_what_nobody_may_bring() {
    let peer = Peer::start(&[], |_| {});
    let entry = |id: &str, start: serde_json::Value| json!({"id": id, "name": id, "start": {"linux": start}});
    let games = [
        entry("quake", json!({"run": ["./quake", "+map", "e1 m1"], "folder": "bin", "env": {"MODE": "easy"}})),
        entry("doom", json!({"run": ["sh", "-c", "id"]})),
        entry("moth", json!({"run": ["./moth"], "env": {"LD_PRELOAD": "./evil.so"}})),
    ];
    let file = peer.data_dir().join("theirs.json").display().to_string();
    std::fs::write(&file, json!({"format": 1, "games": games}).to_string()).unwrap();
    let said = peer.run(&["catalog", "import", &file]).expect(0);
    for text in
        ["quake brings", "./quake +map 'e1 m1'", "in bin", "with MODE=easy", "left out", "sh -c id", "LD_PRELOAD"]
    {
        assert!(said.err.contains(text), "{text}: {}", said.err);
    }
    let listed = peer.run(&["catalog", "list", "--json"]).expect(0).json();
    let start = |id: &str| listed.iter().find(|g| g["id"] == id).unwrap()["start"].clone();
    assert_eq!(start("quake")["linux"]["imported"], true);
    assert_eq!((start("doom"), start("moth")), (serde_json::Value::Null, serde_json::Value::Null));
    // What is there already is nothing new; what was left out is said again.
    let again = peer.run(&["catalog", "import", &file, "--json"]).expect(0).json().pop().unwrap();
    assert_eq!((&again["imported"], &again["starts"]), (&json!(3), &serde_json::Value::Null));
    let left_out: Vec<_> = again["left_out"].as_array().unwrap().iter().map(|l| l["game"].clone()).collect();
    assert_eq!(left_out, ["doom", "moth"]);
    // Whoever exports a catalog does not say for others whose it is.
    let exported = peer.run(&["catalog", "export", "-"]).expect(0).json().pop().unwrap();
    assert_eq!(exported["games"][2]["start"]["linux"]["imported"], serde_json::Value::Null, "{exported}");
    peer.stop();
}
