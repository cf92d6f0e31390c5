//! `bonfire peers`: who was found. With `--json` one `PeerView` a line.

use std::path::Path;
use std::time::Duration;

use bonfire_engine::snapshot::PeerView;
use bonfire_proto::Availability;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::render::{Out, span, table};

pub(crate) async fn run(out: &Out, data_dir: &Path) -> Result<Exit, Failure> {
    let snapshot = Client::connect(data_dir).await?.snapshot().await?;
    if out.is_json() {
        for peer in &snapshot.peers {
            out.json(peer)?;
        }
    } else if snapshot.peers.is_empty() {
        out.talk("no other peer was found yet; `bonfire doctor` checks the network");
    } else {
        let rows = snapshot.peers.iter().map(row).collect();
        out.text(&table(&["NAME", "PEER", "ADDRESS", "STATE", "FOUND BY", "GAMES", "ROUND TRIP"], &[5, 6], rows))?;
    }
    Ok(Exit::Done)
}

fn row(peer: &PeerView) -> Vec<String> {
    let state = if peer.connected {
        "connected".to_owned()
    } else {
        format!("gone for {}", span(Duration::from_millis(peer.idle_ms)))
    };
    let games = peer.games.iter().filter(|g| g.availability == Availability::Ready).count();
    let rtt =
        if peer.rtt_us == 0 { "-".to_owned() } else { format!("{}.{} ms", peer.rtt_us / 1000, peer.rtt_us / 100 % 10) };
    vec![peer.name.clone(), peer.peer.short(), peer.addr.clone(), state, peer.found_by.clone(), games.to_string(), rtt]
}
