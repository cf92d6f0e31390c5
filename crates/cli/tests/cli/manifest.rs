//! Where saves lie, by a manifest: imported from a file and from an address, and used to add saves. The games in it are
//! made up.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::Value;

#[cfg(target_os = "linux")]
use crate::harness::Running;
use crate::harness::{Peer, Said, said, write_game};

const SAMPLE: &str = include_str!("../../../engine/tests/places/sample.yaml");

/// A manifest with one game for each way of placing.
const SMALL: &str = "\
Moth Harbour:
  files:
    <winAppData>/Moth/Saves: {tags: [save], when: [{os: windows}]}
    <xdgData>/moth/saves: {tags: [save], when: [{os: linux}]}
    <home>/.moth/settings.ini: {tags: [config]}
  steam: {id: 9900001}
Tin Comet:
  files:
    <base>/*.SAV: {tags: [save]}
    <home>/../etc: {tags: [save]}
Tin  Comet!: {files: {<base>/x: {}}}
Harbour Moth: {alias: Moth Harbour}
";

struct Seat {
    peer: Peer,
    home: PathBuf,
}

impl Seat {
    fn new(games: &[&str]) -> Self {
        let peer = Peer::start(&[], |dir| games.iter().for_each(|game| write_game(dir, game, "1")));
        let home = peer.data_dir().parent().unwrap().join("home");
        std::fs::create_dir(&home).unwrap();
        peer.run(&["devices", "create-player", "ann"]).expect(0);
        Self { peer, home }
    }

    fn run(&self, args: &[&str]) -> Said {
        let mut command = self.peer.command(args);
        command.env("HOME", &self.home).env("USER", "ann").env_remove("XDG_DATA_HOME").env_remove("XDG_CONFIG_HOME");
        said(&mut command)
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let at = self.home.join(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(&at, text).unwrap();
        at
    }

    fn import(&self, text: &str) -> Said {
        let file = self.write("manifest.yaml", text);
        self.run(&["saves", "import-manifest", &file.display().to_string(), "--json"])
    }

    /// Where the save of a game lies.
    fn paths(&self, game: &str) -> Vec<String> {
        let slot = self.run(&["saves", "list", "--game", game, "--json"]).expect(0).json().remove(0);
        let paths = slot["paths"].as_array().unwrap().iter();
        paths.map(|p| p.as_str().unwrap().to_owned()).collect()
    }
}

fn ends_with(paths: &[String], tail: &str) -> bool {
    paths.iter().any(|p| Path::new(p).ends_with(tail))
}

#[test]
fn a_manifest_is_imported_from_a_file_counted_and_removed() {
    let seat = Seat::new(&[]);
    let said = seat.import(SMALL).expect(0).json().remove(0);
    assert_eq!(said["imported"]["games"], 3);
    assert_eq!(said["imported"]["nicknames"], 1);
    assert_eq!(said["imported"]["refused_paths"], 1);
    seat.import(SAMPLE).expect(0);
    let said = seat.import("Moth: [1, 2").expect(3);
    assert_eq!(said.json()[0]["error"]["code"], "bad_manifest");
    seat.run(&["saves", "import-manifest", "/nonexistent/manifest.yaml"]).expect(5);
    seat.run(&["saves", "import-manifest", "--remove"]).expect(0);
    seat.run(&["saves", "import-manifest", "--remove"]).expect(5);
    seat.run(&["saves", "import-manifest"]).expect(2);
}

/// Serves the text at any path, with a tag, to as many requests as are said; returns what was asked.
fn serve(text: &'static str, requests: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/manifest.yaml", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..requests {
            let (stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(&stream).lines().map(Result::unwrap);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let head = head.join("\n").to_lowercase();
            let answer = if head.contains("if-none-match: \"one\"") {
                "HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\nConnection: close\r\n\r\n".to_owned()
            } else {
                let len = text.len();
                format!("HTTP/1.1 200 OK\r\nETag: \"one\"\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{text}")
            };
            (&stream).write_all(answer.as_bytes()).unwrap();
            asked.push(head);
        }
        asked
    });
    (url, served)
}

#[test]
fn a_manifest_at_an_address_is_fetched_once_while_it_is_the_same() {
    let seat = Seat::new(&[]);
    let (url, served) = serve(SMALL, 2);
    let said = seat.run(&["saves", "import-manifest", &url, "--json"]).expect(0);
    assert_eq!(said.json()[0]["imported"]["games"], 3);
    let said = seat.run(&["saves", "import-manifest", &url, "--json"]).expect(0);
    assert_eq!(said.json()[0]["unchanged"], url.as_str());
    let asked = served.join().unwrap();
    assert!(asked.iter().all(|head| head.starts_with("get /manifest.yaml")), "{asked:?}");
    let said = seat.run(&["saves", "import-manifest", &url, "--json"]).expect(1);
    assert_eq!(said.json()[0]["error"]["code"], "fetch_failed", "nobody serves it any more");
    let said = seat.run(&["saves", "find", "Moth Harbour", "--json"]).expect(0);
    assert_eq!(said.json()[0]["title"], "Moth Harbour", "what was imported is still there");
}

#[test]
fn a_save_is_added_where_the_manifest_says() {
    let seat = Seat::new(&[]);
    seat.import(SMALL).expect(0);
    seat.write(".local/share/moth/saves/slot1.sav", "one");
    seat.write(".moth/settings.ini", "dark");
    let said = seat.run(&["saves", "add", "Harbour Moth", "--json"]).expect(3);
    assert_eq!(said.json().last().unwrap()["error"]["code"], "not_confirmed");
    seat.run(&["saves", "add", "Harbour Moth", "--yes"]).expect(0);
    let paths = seat.paths("Harbour Moth");
    assert!(ends_with(&paths, "moth/saves") && paths.len() == 1, "{paths:?}");
    let history = seat.run(&["saves", "history", "Harbour Moth", "--json"]).expect(0).json();
    assert_eq!(history[0]["files"], 1);
    let roots = |args: &[&str]| {
        let found = seat.run(&[&["saves", "find", "Harbour Moth", "--json"], args].concat()).expect(0).json().remove(0);
        found["roots"].as_array().unwrap().len()
    };
    assert_eq!((roots(&[]), roots(&["--with-config"])), (1, 2), "settings are left out unless asked for");
}

#[test]
fn a_game_that_may_be_one_of_several_is_refused_with_the_candidates() {
    let seat = Seat::new(&["tincomet"]);
    seat.import(SMALL).expect(0);
    let said = seat.run(&["saves", "add", "tincomet", "--yes", "--json"]).expect(3);
    let error = &said.json()[0]["error"];
    assert_eq!(error["code"], "several_titles");
    assert!(error["message"].as_str().unwrap().contains("Tin Comet"), "{error}");
    seat.run(&["saves", "add", "tincomet", "--title", "Tin Comet", "--yes"]).expect(0);
    seat.run(&["saves", "add", "nothing-known", "--yes"]).expect(5);
}

#[test]
fn the_catalog_says_where_saves_lie_before_any_manifest() {
    let seat = Seat::new(&["tincomet"]);
    seat.import(SMALL).expect(0);
    let said = seat.run(&["catalog", "add", "tincomet", "--saves", "<home>/../x", "--json"]).expect(3);
    assert_eq!(said.json()[0]["error"]["code"], "bad_saves");
    seat.run(&["catalog", "add", "tincomet", "--saves", "<home>/.comet/saves"]).expect(0);
    seat.run(&["catalog", "add", "tincomet", "--name", "Tin Comet"]).expect(0);
    let exported = seat.run(&["catalog", "export", "-"]).expect(0).json().remove(0);
    assert_eq!(exported["games"][0]["saves"], serde_json::json!(["<home>/.comet/saves"]), "{exported}");
    seat.write(".comet/saves/a", "a");
    let found: Value = seat.run(&["saves", "find", "tincomet", "--json"]).expect(0).json().remove(0);
    assert_eq!((&found["by"], &found["roots"][0]["files"]), (&"catalog".into(), &1.into()));
    seat.run(&["saves", "add", "tincomet", "--yes"]).expect(0);
    assert!(ends_with(&seat.paths("tincomet"), ".comet/saves"));
}

#[test]
fn what_a_game_brings_itself_is_believed_only_when_that_is_said() {
    let seat = Seat::new(&["quay"]);
    let own = seat.peer.games_dir().join("quay/local/.ludusavi.yaml");
    std::fs::create_dir_all(own.parent().unwrap().join("slots")).unwrap();
    std::fs::write(own.parent().unwrap().join("slots/a.sav"), "a").unwrap();
    std::fs::write(&own, "Quay:\n  files:\n    <base>/slots: {tags: [save]}\n").unwrap();
    let said = seat.run(&["saves", "add", "quay", "--yes"]).expect(5);
    assert!(said.err.contains("--own-manifest"), "{}", said.err);
    let found: Value = seat.run(&["saves", "find", "quay", "--json"]).expect(0).json().remove(0);
    assert_eq!(found["roots"][0]["from_game_folder"], true);
    seat.run(&["saves", "add", "quay", "--yes", "--own-manifest"]).expect(0);
    assert!(ends_with(&seat.paths("quay"), "local/slots"));
}

/// Two machines of one player: a game for Linux on one, the same one for Windows in a prefix on the other.
#[cfg(target_os = "linux")]
#[test]
fn a_save_of_a_native_game_arrives_in_the_prefix_of_the_other_machine() {
    let native = Seat::new(&[]);
    let addr = native.peer.listens_on.clone();
    let mut peer = Peer::start(&["--peer", &addr], |_| {});
    peer.running.ever(|line| line["event"]["type"] == "peer_appeared");
    let home = peer.data_dir().parent().unwrap().join("home");
    std::fs::create_dir(&home).unwrap();
    let deck = Seat { peer, home };
    for seat in [&native, &deck] {
        seat.import(SMALL).expect(0);
    }
    let mut showing = Running::start(&mut native.peer.command(&["devices", "pair", "--json"]));
    let code = showing.wait(|line| line["result"]["code"].is_string())["result"]["code"].as_str().unwrap().to_owned();
    deck.run(&["devices", "pair", "--code", &code]).expect(0);
    native.write(".local/share/moth/saves/slot1.sav", "played on Linux");
    native.run(&["saves", "add", "Moth Harbour", "--yes"]).expect(0);
    let users = deck.home.join(".local/share/Steam/steamapps/compatdata/9900001/pfx/drive_c/users/steamuser");
    std::fs::create_dir_all(users.join("AppData/Roaming")).unwrap();
    deck.run(&["saves", "add", "Moth Harbour", "--yes"]).expect(0);
    deck.run(&["saves", "pull", "Moth Harbour"]).expect(0);
    let arrived = users.join("AppData/Roaming/Moth/Saves/slot1.sav");
    assert_eq!(std::fs::read_to_string(arrived).unwrap(), "played on Linux");
}
