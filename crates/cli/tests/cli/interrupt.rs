//! Ctrl-C at the moments between two lines: a stand-in speaks for the peer, so that each moment can be met exactly.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Running, program};

/// The other end of the control channel of one command.
struct StandIn {
    lines: BufReader<UnixStream>,
}

impl StandIn {
    fn accept(listener: &UnixListener) -> Self {
        Self { lines: BufReader::new(listener.accept().unwrap().0) }
    }

    /// The next request.
    fn request(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"))
    }

    fn say(&mut self, line: &Value) {
        self.lines.get_mut().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Answers the request to follow.
    fn is_followed(&mut self) {
        let request = self.request();
        assert_eq!(request["follow"], true, "{request}");
        self.say(&json!({"id": request["id"], "reply": {"type": "done"}}));
        let me = json!({
            "peer": "49915e0d-7d4b-802e-b017-d010bc1c0e83", "name": "ann", "version": "0", "pid": 1,
            "listen_addr": "", "games_dir": "", "library_epoch": "49915e0d-7d4b-802e-b017-d010bc1c0e83",
            "library_rev": 0, "library_digest": "00".repeat(32), "started_at": 0, "mdns": false
        });
        self.say(&json!({"snapshot":
            {"seq": 0, "me": me, "games": [], "peers": [], "operations": [], "problems": []}}));
    }
}

fn get(data_dir: &Path) -> (UnixListener, Running) {
    let listener = UnixListener::bind(data_dir.join("control.sock")).unwrap();
    let get = Running::start(program().arg("--data-dir").arg(data_dir).args(["get", "quake", "--json"]));
    (listener, get)
}

#[test]
fn a_stop_before_anything_was_asked_for_asks_for_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (listener, mut get) = get(home.path());
    let mut peer = StandIn::accept(&listener);
    peer.request();
    get.signal(Signal::INT);
    assert_eq!(get.end().code(), Some(130));
    assert_eq!(get.seen.last().unwrap()["error"]["code"], "interrupted");
}

#[test]
fn a_stop_while_the_peer_has_not_answered_yet_cancels_what_it_starts() {
    let home = tempfile::tempdir().unwrap();
    let (listener, mut get) = get(home.path());
    let mut peer = StandIn::accept(&listener);
    peer.is_followed();
    let asked = peer.request();
    assert_eq!(asked["command"]["transfers"]["get"]["game"], "quake", "{asked}");
    get.signal(Signal::INT);
    peer.say(&json!({"id": asked["id"], "reply": {"type": "started", "op": 7}}));
    let cancel = peer.request();
    assert_eq!(cancel["command"]["transfers"]["cancel"]["game"], "quake", "{cancel}");
    peer.say(&json!({"id": cancel["id"], "reply": {"type": "started", "op": 7}}));
    peer.say(&json!({"seq": 1, "event": {
        "type": "download_cancelled", "op": 7, "game": "quake", "removed_files": 0, "kept_files": []}}));
    assert_eq!(get.end().code(), Some(130));
}

#[test]
fn a_second_stop_is_heard_while_the_cancel_is_not_answered() {
    let home = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(home.path().join("control.sock")).unwrap();
    let mut command = program();
    command.arg("--data-dir").arg(home.path()).args(["get", "quake"]);
    let get = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stop = || rustix::process::kill_process(rustix::process::Pid::from_child(&get), Signal::INT).unwrap();
    let mut peer = StandIn::accept(&listener);
    peer.is_followed();
    let asked = peer.request();
    peer.say(&json!({"id": asked["id"], "reply": {"type": "started", "op": 7}}));
    stop();
    let cancel = peer.request();
    assert!(cancel["command"]["transfers"]["cancel"].is_object(), "{cancel}");
    stop();
    let ended = get.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped waiting for quake"), "{said}");
    assert!(!said.contains("did not answer"), "it waited for the answer first: {said}");
}
