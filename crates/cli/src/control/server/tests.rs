use std::sync::Arc;

use bonfire_engine::command::{Command, NodeCommand, Reply};
use bonfire_engine::{EventRecord, PeerEvent, Report, Snapshot};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::{Peer, connection};
use crate::control::protocol::REQUEST_LEN_MAX;
use crate::lines::{Line, LineSplitter};

#[derive(Clone)]
struct FakePeer {
    snapshot: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<EventRecord>,
    /// Holds back the answer to `add_peer`.
    may_answer: Arc<Notify>,
}

impl FakePeer {
    fn new(events: usize) -> Self {
        Self {
            snapshot: watch::Sender::new(Arc::new(snapshot(0))),
            events: broadcast::Sender::new(events),
            may_answer: Arc::default(),
        }
    }

    fn emit(&self, seq: u64) {
        self.emit_event(seq, PeerEvent::CatalogChanged { entries: seq });
    }

    fn emit_event(&self, seq: u64, event: PeerEvent) {
        self.snapshot.send_replace(Arc::new(snapshot(seq)));
        // Nobody may be listening.
        if self.events.send(EventRecord { seq, event }).is_err() {}
    }
}

impl Peer for FakePeer {
    async fn send(&self, command: Command) -> Result<Reply, Report> {
        tokio::task::yield_now().await;
        match command {
            Command::Peer(NodeCommand::Probe) => Ok(Reply::Probed { results: Vec::new() }),
            Command::Peer(NodeCommand::ShutDown) => std::future::pending().await,
            Command::Peer(NodeCommand::AddPeer { .. }) => {
                self.may_answer.notified().await;
                Ok(Reply::Done)
            }
            _ => Err(Report::new(bonfire_engine::ErrorClass::Refused, "no", "not here")),
        }
    }
    fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }
    fn events(&self) -> broadcast::Receiver<EventRecord> {
        self.events.subscribe()
    }
}

fn snapshot(seq: u64) -> Snapshot {
    serde_json::from_value(json!({
        "seq": seq, "games": [], "peers": [], "operations": [], "problems": [],
        "me": {
            "peer": "49915e0d-7d4b-802e-b017-d010bc1c0e83", "name": "ann", "version": "0", "pid": 1,
            "listen_addr": "", "games_dir": "", "library_epoch": "49915e0d-7d4b-802e-b017-d010bc1c0e83",
            "library_rev": 0, "library_digest": "00".repeat(32), "started_at": 0
        }
    }))
    .unwrap()
}

struct Client {
    stream: DuplexStream,
    lines: LineSplitter,
}

impl Client {
    fn connect(peer: &FakePeer, buffer: usize) -> (Self, CancellationToken, tokio::task::JoinHandle<()>) {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let stop = CancellationToken::new();
        let task = tokio::spawn(connection(theirs, peer.clone(), stop.clone()));
        (Self { stream: ours, lines: LineSplitter::new(1 << 30) }, stop, task)
    }

    async fn tell(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn next(&mut self) -> Option<Value> {
        let mut buffer = vec![0; 4096];
        loop {
            if let Some(Line::Whole(line)) = self.lines.pop() {
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let n = self.stream.read(&mut buffer).await.unwrap();
            if n == 0 {
                return None;
            }
            self.lines.feed(&buffer[..n]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_carry_the_id_of_their_request() {
    let (mut client, _stop, _task) = Client::connect(&FakePeer::new(8), 4096);
    client.tell(r#"{"id":1,"command":{"peer":"probe"}}"#).await;
    assert_eq!(client.next().await.unwrap(), json!({"id": 1, "reply": {"type": "probed", "results": []}}));
    client.tell(r#"{"id":2,"command":{"transfers":{"cancel":{"game":"quake"}}}}"#).await;
    assert_eq!(client.next().await.unwrap()["error"]["code"], "no");
    client.tell("{").await;
    assert_eq!(client.next().await.unwrap()["error"]["code"], "bad_request");
    client.tell(r#"{"id":3,"get":"snapshot"}"#).await;
    let answer = client.next().await.unwrap();
    assert_eq!((&answer["id"], &answer["snapshot"]["me"]["name"]), (&json!(3), &json!("ann")));
}

#[tokio::test(start_paused = true)]
async fn a_follower_gets_the_state_then_events_and_newer_states() {
    let peer = FakePeer::new(8);
    let (mut client, _stop, _task) = Client::connect(&peer, 4096);
    client.tell(r#"{"id":1,"follow":true}"#).await;
    assert_eq!(client.next().await.unwrap()["reply"]["type"], "done");
    assert_eq!(client.next().await.unwrap()["snapshot"]["seq"], 0);
    peer.emit(1);
    let mut seen = [client.next().await.unwrap(), client.next().await.unwrap()];
    seen.sort_by_key(|line| line.get("snapshot").is_some());
    assert_eq!(seen[0], json!({"seq": 1, "event": {"type": "catalog_changed", "entries": 1}}));
    assert_eq!(seen[1]["snapshot"]["seq"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_missed_events_gets_the_newest_state() {
    let peer = FakePeer::new(4);
    let (mut client, _stop, _task) = Client::connect(&peer, 64);
    client.tell(r#"{"id":1,"follow":true}"#).await;
    assert_eq!(client.next().await.unwrap()["reply"]["type"], "done");
    for seq in 1..=100 {
        peer.emit(seq);
    }
    loop {
        let line = client.next().await.unwrap();
        if line["snapshot"]["seq"] == 100 {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_dropped_and_the_peer_goes_on() {
    let peer = FakePeer::new(1 << 16);
    let (mut client, _stop, task) = Client::connect(&peer, 64);
    client.tell(r#"{"id":1,"follow":true}"#).await;
    assert_eq!(client.next().await.unwrap()["reply"]["type"], "done");
    for seq in 1..=5000 {
        peer.emit(seq);
        if seq % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    task.await.unwrap();
    let (mut other, _stop, _task) = Client::connect(&peer, 4096);
    other.tell(r#"{"id":1,"command":{"peer":"probe"}}"#).await;
    assert_eq!(other.next().await.unwrap()["id"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_over_long_line_ends_the_connection_with_a_word() {
    let (mut client, _stop, task) = Client::connect(&FakePeer::new(8), 1 << 16);
    let long = vec![b'x'; REQUEST_LEN_MAX + 2];
    client.stream.write_all(&long).await.unwrap();
    assert_eq!(client.next().await.unwrap()["error"]["code"], "too_large");
    assert!(client.next().await.is_none());
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stopping_peer_passes_on_what_is_left_and_waits_for_no_request() {
    let peer = FakePeer::new(8);
    let (mut client, stop, task) = Client::connect(&peer, 1 << 16);
    client.tell(r#"{"id":1,"follow":true}"#).await;
    client.next().await.unwrap();
    client.tell(r#"{"id":2,"command":{"peer":"shut_down"}}"#).await;
    peer.emit(1);
    stop.cancel();
    let mut numbers = Vec::new();
    while let Some(line) = client.next().await {
        numbers.extend(line["seq"].as_u64());
    }
    assert_eq!(numbers, [1]);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_line_says_that_the_peer_has_stopped_whatever_else_is_due() {
    let peer = FakePeer::new(8);
    let (mut client, stop, task) = Client::connect(&peer, 1 << 16);
    client.tell(r#"{"id":1,"follow":true}"#).await;
    client.next().await.unwrap();
    // Answered long after the event.
    client.tell(r#"{"id":2,"command":{"peer":{"add_peer":{"addr":"127.0.0.1:1"}}}}"#).await;
    client.tell(r#"{"id":3,"command":{"peer":"probe"}}"#).await;
    while client.next().await.unwrap()["id"] != 3 {}
    peer.emit_event(1, PeerEvent::Stopped);
    // Its answer shows that the event was there to be written before it.
    client.tell(r#"{"id":4,"command":{"peer":"probe"}}"#).await;
    let mut lines = vec![client.next().await.unwrap()];
    while lines.last().unwrap()["id"] != 4 {
        lines.push(client.next().await.unwrap());
    }
    stop.cancel();
    peer.may_answer.notify_one();
    while let Some(line) = client.next().await {
        lines.push(line);
    }
    assert!(lines.iter().any(|line| line["id"] == 2), "{lines:#?}");
    assert_eq!(lines.last().unwrap()["event"]["type"], "stopped", "{lines:#?}");
    task.await.unwrap();
}
