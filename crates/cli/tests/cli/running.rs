//! A running peer: one for each folder, private, driven over stdin, stopped in order.

use serde_json::json;

use crate::harness::{Peer, run, write_game};

#[test]
fn run_json_takes_commands_and_prints_events_and_nothing_else() {
    let mut peer = Peer::start(&["--name", "ann"], |games| write_game(games, "quake", "1.0"));
    peer.running.tell(r#"{"id":1,"command":{"library":{"catalog_add":{"game":"quake","name":"Quake"}}}}"#);
    let added = peer.running.wait(|line| line["id"] == 1);
    assert_eq!(
        added["reply"],
        json!({"type": "catalog_entry", "game": "quake", "name": "Quake", "version": "1.0", "sentinel_written": false})
    );
    peer.running.tell(r#"{"library":{"catalog_remove":{"game":"doom"}}}"#);
    assert_eq!(peer.running.wait(|line| line.get("error").is_some())["error"]["class"], "not_found");
    peer.running.tell(r#"{"id":2,"get":"snapshot"}"#);
    let snapshot = peer.running.wait(|line| line["id"] == 2)["snapshot"].clone();
    assert_eq!(snapshot["me"]["name"], "ann");
    assert_eq!(snapshot["games"][0]["name"], "Quake");
    peer.stop();
}

#[test]
fn a_bad_line_is_answered_and_the_next_one_counts() {
    let mut peer = Peer::start(&[], |_| {});
    for line in ["nonsense", "[]", r#"{"id":5,"command":{"peer":"dance"}}"#, r#"{"get":"everything"}"#] {
        peer.running.tell(line);
        let answer = peer.running.wait(|line| line.get("error").is_some());
        assert_eq!(answer["error"]["code"], "bad_request", "{line}");
        assert_eq!(answer["id"].as_u64(), line.contains("\"id\":5").then_some(5), "{line}");
    }
    peer.running.tell(&format!("{{\"junk\":\"{}\"}}", "x".repeat(2 << 20)));
    assert_eq!(peer.running.wait(|line| line.get("error").is_some())["error"]["code"], "too_large");
    peer.running.tell(r#"{"id":6,"command":{"peer":"probe"}}"#);
    assert_eq!(peer.running.wait(|line| line["id"] == 6)["reply"], json!({"type": "probed", "results": []}));
    peer.stop();
}

#[test]
fn a_stop_is_answered_with_all_that_was_asked_before_and_stopped_is_the_last_line() {
    let mut peer = Peer::start(&[], |_| {});
    let socket = peer.data_dir().join("control.sock");
    for id in 1..=8 {
        peer.running.tell(&format!(r#"{{"id":{id},"command":{{"peer":"probe"}}}}"#));
    }
    peer.running.tell(r#"{"id":9,"command":{"peer":"shut_down"}}"#);
    assert!(peer.running.end().success());
    let seen = &peer.running.seen;
    assert!(seen.iter().any(|line| line["id"] == 9 && line["reply"]["type"] == "done"), "{seen:#?}");
    for id in 1..=8 {
        assert!(seen.iter().any(|line| line["id"] == id), "no answer to {id}: {seen:#?}");
    }
    assert_eq!(seen.last().unwrap()["event"]["type"], "stopped", "{seen:#?}");
    assert!(!socket.exists(), "the socket goes with the peer");
}

#[test]
fn events_are_numbered_without_gaps_from_one() {
    let mut peer = Peer::start(&[], |games| write_game(games, "quake", "1.0"));
    peer.running.tell(r#"{"library":{"catalog_add":{"game":"quake"}}}"#);
    peer.running.event("game_hashed");
    peer.running.tell(r#"{"peer":"shut_down"}"#);
    assert!(peer.running.end().success());
    let numbers: Vec<u64> = peer.running.seen.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[test]
fn the_end_of_stdin_stops_only_a_peer_that_was_told_so() {
    let mut peer = Peer::start(&[], |_| {});
    peer.running.close_stdin();
    assert_eq!(peer.run(&["status", "--json"]).expect(0).json()[0]["me"]["pid"], peer.running.child.id());
    let mut other = Peer::start(&["--until-eof"], |_| {});
    other.running.close_stdin();
    assert!(other.running.end().success());
}

#[test]
fn a_second_instance_is_refused_and_names_the_first() {
    let peer = Peer::start(&[], |_| {});
    let pid = peer.running.child.id();
    let said = peer.run(&["run", "--no-mdns", "--json"]).expect(3);
    let lines = said.json();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["error"]["code"], "already_running");
    assert!(lines[0]["error"]["message"].as_str().unwrap().contains(&format!("process {pid} ")), "{}", said.out);
    assert!(said.err.contains(&format!("process {pid} ")));
    peer.run(&["status"]).expect(0);
    peer.stop();
}

#[test]
fn a_second_peer_on_one_games_folder_is_refused_and_names_the_first() {
    let peer = Peer::start(&[], |_| {});
    let pid = peer.running.child.id();
    let (data_dir, games_dir) = (peer.data_dir().join("other"), peer.games_dir());
    let args = ["run", "--no-mdns", "--json", "--listen", "127.0.0.1:0"].map(str::to_owned);
    let folders = ["--data-dir".to_owned(), data_dir.display().to_string(), "--games-dir".to_owned()];
    let games = [games_dir.display().to_string()];
    let args: Vec<&str> = args.iter().chain(&folders).chain(&games).map(String::as_str).collect();
    let said = run(&args).expect(3);
    assert_eq!(said.json()[0]["error"]["code"], "games_folder_in_use");
    assert!(said.err.contains(&format!("process {pid} ")) && said.err.contains("--games-dir"), "{}", said.err);
    peer.run(&["status"]).expect(0);
    peer.stop();
}

#[test]
fn a_games_folder_that_cannot_be_claimed_is_shared_all_the_same_and_the_problem_told() {
    let mut peer = Peer::start(&[], |games| {
        write_game(games, "quake", "1.0");
        for name in [".bonfire.lock", ".bonfire.probe", ".catalog.json.tmp"] {
            std::fs::create_dir(games.join(name)).unwrap();
        }
    });
    let problem = peer.running.ever(|line| line["event"]["type"] == "problem_found")["event"].clone();
    assert!(problem["error"]["message"].as_str().unwrap().contains(".bonfire.lock"), "{problem}");
    peer.stop();
}

#[test]
fn a_games_folder_that_is_not_there_is_not_made() {
    let home = Peer::home();
    let missing = home.path().join("disk/games");
    let data_dir = home.path().join("data").display().to_string();
    let said = run(&["run", "--data-dir", &data_dir, "--games-dir", &missing.display().to_string()]).expect(5);
    assert!(said.err.contains("disk/games"), "{}", said.err);
    assert!(said.err.contains("mkdir"), "says how to make it: {}", said.err);
    assert!(!missing.exists());
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use rustix::process::Signal;

    use crate::harness::{Peer, Running, program, run};

    fn mode(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn nobody_else_can_reach_the_socket() {
        let peer = Peer::start(&[], |_| {});
        assert_eq!(mode(&peer.data_dir()), 0o700);
        assert_eq!(mode(&peer.data_dir().join("control.sock")), 0o600);
        assert_eq!(mode(&peer.data_dir().join("identity.pem")), 0o600);
        peer.stop();
    }

    #[test]
    fn the_hint_for_a_missing_games_folder_makes_it() {
        let home = Peer::home();
        let missing = home.path().join("a disk/it's games");
        let (data_dir, games_dir) = (home.path().join("data").display().to_string(), missing.display().to_string());
        let arguments = ["run", "--until-eof", "--no-mdns", "--listen", "127.0.0.1:0", "--data-dir", &data_dir];
        let arguments = [&arguments[..], &["--games-dir", &games_dir]].concat();
        let said = run(&arguments).expect(5);
        let command = said.err.split_once("make it with: ").unwrap().1.lines().next().unwrap();
        assert!(std::process::Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        run(&arguments).expect(0);
    }

    #[test]
    fn stop_signals_stop_in_order_with_exit_code_0() {
        for signal in [Signal::INT, Signal::TERM] {
            let mut peer = Peer::start(&[], |_| {});
            peer.running.signal(signal);
            assert!(peer.running.end().success(), "{signal:?}");
            assert_eq!(peer.running.seen.last().unwrap()["event"]["type"], "stopped");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_peer_that_cannot_keep_its_state_stops_says_why_and_exits_with_1() {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};

        let home = Peer::home();
        let mut command = std::process::Command::new("sh");
        // Without the signal, a file over the limit is an error like that of a full disk. Whoever runs the tests may keep
        // their output in a file, for which the limit holds as well.
        command.args(["-c", r#"trap "" XFSZ; exec "$0" "$@" 2>/dev/null"#, env!("CARGO_BIN_EXE_bonfire")]);
        command.args(["run", "--json", "--no-mdns", "--listen", "127.0.0.1:0"]);
        command.arg("--data-dir").arg(home.path().join("data")).arg("--games-dir").arg(home.path().join("games"));
        let mut running = Running::start(&mut command);
        running.event("started");
        let nothing = Rlimit { current: Some(1), maximum: Some(1) };
        prlimit(Some(Pid::from_child(&running.child)), Resource::Fsize, nothing).unwrap();
        crate::harness::write_game(&home.path().join("games"), "quake", "1.0");
        assert_eq!(running.end().code(), Some(1), "{:#?}", running.seen);
        let last = running.seen.last().unwrap();
        assert_eq!(last["error"]["code"], "state_database", "{:#?}", running.seen);
        assert!(last["error"]["message"].as_str().unwrap().contains("state.db"), "{last}");
        assert!(!last["error"]["hint"].as_str().unwrap().is_empty(), "{last}");
        assert!(running.seen.iter().any(|line| line["event"]["type"] == "stopped"), "{:#?}", running.seen);
    }

    #[test]
    fn a_killed_peer_leaves_a_socket_that_the_next_one_replaces() {
        let mut peer = Peer::start(&[], |_| {});
        let data_dir = peer.data_dir();
        peer.running.child.kill().unwrap();
        peer.running.end();
        assert!(data_dir.join("control.sock").exists());
        peer.run(&["status"]).expect(4);
        let mut command = program();
        command.args(["run", "--json", "--no-mdns", "--listen", "127.0.0.1:0", "--until-eof", "--data-dir"]);
        let mut again = Running::start(command.arg(&data_dir));
        again.event("started");
        peer.run(&["status"]).expect(0);
        again.close_stdin();
        assert!(again.end().success());
    }

    #[test]
    fn a_folder_of_others_is_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("shared");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(folder.join("letter"), "").unwrap();
        let said = run(&["run", "--data-dir", &folder.display().to_string()]).expect(3);
        assert!(said.err.contains("open to other users"), "{}", said.err);
        assert_eq!(mode(&folder), 0o755);
    }

    #[test]
    fn what_is_no_socket_is_not_replaced() {
        let home = Peer::home();
        let data_dir = home.path().join("data");
        std::fs::create_dir(&data_dir).unwrap();
        std::fs::set_permissions(&data_dir, PermissionsExt::from_mode(0o700)).unwrap();
        symlink("/etc/hostname", data_dir.join("control.sock")).unwrap();
        run(&["run", "--no-mdns", "--data-dir", &data_dir.display().to_string()]).expect(1);
        assert!(data_dir.join("control.sock").is_symlink());
    }

    #[test]
    fn a_path_too_long_for_a_socket_is_said() {
        let home = Peer::home();
        let data_dir = home.path().join("d".repeat(100));
        let said = run(&["run", "--no-mdns", "--data-dir", &data_dir.display().to_string()]).expect(1);
        assert!(said.err.contains("use a shorter --data-dir"), "{}", said.err);
    }
}
