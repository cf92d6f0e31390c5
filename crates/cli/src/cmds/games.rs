//! `bonfire games [--room]`: what is here, or what the room has. With `--json` one `GameView`, or one game of the room,
//! a line.

use std::collections::BTreeMap;
use std::path::Path;

use bonfire_engine::Snapshot;
use bonfire_engine::snapshot::{GameView, OperationKind, OperationView};
use bonfire_proto::{Availability, ContentHash, GameId, ManifestHash, PeerId};
use serde::Serialize;

use super::status::{unfinished, waited};
use crate::args::GamesArgs;
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::render::{Out, percent, size, span, table};

/// One file list of a version of a game in the room.
#[derive(Debug, Serialize)]
struct RoomGame {
    id: GameId,
    name: String,
    version: String,
    size: u64,
    /// As it is here: `downloaded`, `installed`, a percentage, or `-`.
    state: String,
    holders: Vec<Holder>,
}

/// A peer that has it.
#[derive(Debug, Serialize)]
struct Holder {
    peer: PeerId,
    name: String,
    availability: Availability,
    manifest_hash: ManifestHash,
    content_hash: Option<ContentHash>,
}

pub(crate) async fn run(out: &Out, data_dir: &Path, args: &GamesArgs) -> Result<Exit, Failure> {
    let snapshot = Client::connect(data_dir).await?.snapshot().await?;
    if args.room {
        let games = room(&snapshot);
        if out.is_json() {
            games.iter().try_for_each(|game| out.json(game))?;
        } else if games.is_empty() {
            out.talk("nobody in the room shares a game yet");
        } else {
            let rows = games.iter().map(room_row).collect();
            out.text(&table(&["GAME", "NAME", "VERSION", "SIZE", "HERE", "WHO HAS IT"], &[3], rows))?;
        }
    } else if out.is_json() {
        snapshot.games.iter().try_for_each(|game| out.json(game))?;
    } else if snapshot.games.is_empty() {
        out.talk("no games here; `bonfire games --room` lists what others have");
    } else {
        let rows = snapshot.games.iter().map(|game| local_row(&snapshot, game)).collect();
        out.text(&table(&["GAME", "NAME", "VERSION", "SIZE", "STATE", "WHO ELSE HAS IT"], &[3], rows))?;
        for game in &snapshot.games {
            for problem in &game.problems {
                out.talk(&format!("{}: {problem}", game.id));
            }
            if game.unfinished.is_some() {
                out.talk(&unfinished(game));
            }
            if let Some(error) = operation(&snapshot, &game.id).and_then(|o| o.error.as_ref()) {
                let hint = if error.hint.is_empty() { String::new() } else { format!(" ({})", error.hint) };
                out.talk(&format!("{}: {}{hint}", game.id, error.message));
            }
        }
    }
    Ok(Exit::Done)
}

fn local_row(snapshot: &Snapshot, game: &GameView) -> Vec<String> {
    let holders: Vec<&str> = snapshot
        .peers
        .iter()
        .filter(|p| p.connected && p.games.iter().any(|g| g.id == game.id && g.availability == Availability::Ready))
        .map(|p| p.name.as_str())
        .collect();
    vec![
        game.id.to_string(),
        game.name.clone(),
        dash(&game.version),
        size(game.size),
        state(snapshot, game),
        dash(&holders.join(", ")),
    ]
}

/// Where a game stands here.
fn state(snapshot: &Snapshot, game: &GameView) -> String {
    let mut state = active(snapshot, &game.id).unwrap_or_else(|| {
        match (game.downloaded, game.installed) {
            (false, false) if game.unfinished.is_some() => "partly here, stopped",
            (false, true) if game.unfinished.is_some() => "installed; an update is partly here, stopped",
            (true, true) => "downloaded, installed",
            (true, false) => "downloaded",
            (false, true) => "installed",
            (false, false) => "not downloaded",
        }
        .to_owned()
    });
    if !game.in_catalog {
        state += ", not shared";
    }
    if !game.problems.is_empty() || game.unfinished.is_some() {
        state += ", see below";
    }
    state
}

fn operation<'a>(snapshot: &'a Snapshot, id: &GameId) -> Option<&'a OperationView> {
    snapshot.operations.iter().find(|o| o.game == *id)
}

fn active(snapshot: &Snapshot, id: &GameId) -> Option<String> {
    let operation = operation(snapshot, id)?;
    let percent = percent(operation.done_bytes, operation.total_bytes);
    Some(match operation.kind {
        OperationKind::Download if operation.error.is_some() => {
            let waited = waited(operation, snapshot).map(|w| format!(", for {}", span(w))).unwrap_or_default();
            format!("standing still at {percent} %{waited}")
        }
        OperationKind::Download => format!("downloading {percent} %"),
        OperationKind::Verify => format!("checking {percent} %"),
        OperationKind::Remove => "being removed".to_owned(),
        OperationKind::Install => format!("installing {percent} %"),
        OperationKind::Update => format!("updating {percent} %"),
        OperationKind::Uninstall => "being uninstalled".to_owned(),
    })
}

/// Every game, version and file list that someone connected or this peer has, sorted. Two lists of one version are not one
/// game: their sizes differ.
fn room(snapshot: &Snapshot) -> Vec<RoomGame> {
    let mut games: BTreeMap<(GameId, String, Option<ManifestHash>), RoomGame> = BTreeMap::new();
    for peer in snapshot.peers.iter().filter(|p| p.connected) {
        for game in &peer.games {
            let key = (game.id.clone(), game.version.clone(), Some(game.manifest_hash));
            let entry = games.entry(key).or_insert_with(|| RoomGame {
                id: game.id.clone(),
                name: game.name.clone(),
                version: game.version.clone(),
                size: game.size,
                state: "-".to_owned(),
                holders: Vec::new(),
            });
            entry.holders.push(Holder {
                peer: peer.peer,
                name: peer.name.clone(),
                availability: game.availability,
                manifest_hash: game.manifest_hash,
                content_hash: game.content_hash,
            });
        }
    }
    for game in snapshot.games.iter().filter(|g| g.downloaded || g.installed || active(snapshot, &g.id).is_some()) {
        let key = (game.id.clone(), game.version.clone(), game.manifest_hash);
        let entry = games.entry(key).or_insert_with(|| RoomGame {
            id: game.id.clone(),
            name: game.name.clone(),
            version: game.version.clone(),
            size: game.size,
            state: String::new(),
            holders: Vec::new(),
        });
        entry.state = state(snapshot, game);
    }
    games.into_values().collect()
}

fn room_row(game: &RoomGame) -> Vec<String> {
    let holders: Vec<String> = game
        .holders
        .iter()
        .map(|h| match h.availability {
            Availability::Ready => h.name.clone(),
            Availability::Downloading => format!("{} (downloading)", h.name),
            Availability::LocalOnly => format!("{} (not shared)", h.name),
        })
        .collect();
    vec![
        game.id.to_string(),
        game.name.clone(),
        dash(&game.version),
        size(game.size),
        game.state.clone(),
        dash(&holders.join(", ")),
    ]
}

fn dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
