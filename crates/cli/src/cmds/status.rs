//! `bonfire status`: this peer, what it does, what is wrong. With `--json` the whole snapshot as one object.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bonfire_engine::Snapshot;
use bonfire_engine::saves_view::PlayerView;
use bonfire_engine::snapshot::{GameView, OperationKind, OperationView, Phase};

use super::saves::change::open_question;
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::render::{Out, Tone, count, percent, shown, size, span};

pub(crate) async fn run(out: &Out, data_dir: &Path) -> Result<Exit, Failure> {
    let snapshot = Client::connect(data_dir).await?.snapshot().await?;
    if out.is_json() {
        out.json(&snapshot)?;
        return Ok(Exit::Done);
    }
    show(out, &snapshot)?;
    Ok(Exit::Done)
}

fn show(out: &Out, s: &Snapshot) -> Result<(), Failure> {
    let me = &s.me;
    let connected = s.peers.iter().filter(|p| p.connected).count() as u64;
    let downloaded: Vec<_> = s.games.iter().filter(|g| g.downloaded).collect();
    let bytes = downloaded.iter().fold(0u64, |sum, g| sum.saturating_add(g.size));
    out.text(&format!("peer      {} ({}), bonfire {}, process {}", shown(&me.name), me.peer, me.version, me.pid))?;
    out.text(&format!("listens   {}", shown(&me.listen_addr)))?;
    out.text(&format!("games in  {}", shown(&me.games_dir)))?;
    let installed = s.games.iter().filter(|g| g.installed).count();
    out.text(&format!(
        "library   {} downloaded, {}, {installed} installed, revision {}",
        count(downloaded.len() as u64, "game"),
        size(bytes),
        me.library_rev
    ))?;
    out.text(&format!("room      {} connected", count(connected, "peer")))?;
    for player in &s.players {
        out.text(&format!("player    {}", player_line(player)))?;
    }
    for operation in &s.operations {
        out.text(&format!("active    {}", operation_line(operation, waited(operation, s))))?;
        if let Some(error) = operation.error.as_ref().filter(|e| !e.hint.is_empty()) {
            out.marked(Tone::Hint, "hint     ", &error.hint)?;
        }
    }
    for game in s.games.iter().filter(|g| g.unfinished.is_some()) {
        out.text(&format!("stopped   {}", unfinished(game)))?;
    }
    for slot in s.players.iter().flat_map(|p| &p.slots) {
        if let Some(question) = open_question(slot) {
            out.marked(
                Tone::Error,
                if question.code == "held" { "held     " } else { "conflict " },
                &question.message,
            )?;
            out.marked(Tone::Hint, "hint     ", &question.hint)?;
        }
    }
    for problem in &s.problems {
        out.marked(Tone::Error, "problem  ", &problem.message)?;
        if !problem.hint.is_empty() {
            out.marked(Tone::Hint, "hint     ", &problem.hint)?;
        }
    }
    Ok(())
}

/// `ann, 2 of 3 devices connected, 12 slots`, this device counted as connected.
fn player_line(player: &PlayerView) -> String {
    let connected = player.devices.iter().filter(|d| d.is_this || d.is_connected).count();
    let removed = if player.is_removed { "; this machine was removed from it" } else { "" };
    format!(
        "{}, {connected} of {} connected, {}{removed}",
        shown(&player.name),
        count(player.devices.len() as u64, "device"),
        count(player.slots.len() as u64, "save")
    )
}

/// How long an operation has waited for a source, by this machine's clock.
pub(crate) fn waited(operation: &OperationView, snapshot: &Snapshot) -> Option<Duration> {
    let since = operation.waiting_since?.0;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(now.saturating_sub(Duration::from_millis(snapshot.me.started_at.0.saturating_add(since))))
}

/// What lies there of a download or repair that nothing works on, and what can be done with it.
pub(crate) fn unfinished(game: &GameView) -> String {
    let id = &game.id;
    let version = game.unfinished.as_deref().filter(|v| !v.is_empty()).map(|v| format!(" {v}")).unwrap_or_default();
    format!("{id}{version} is partly here; to go on: `bonfire get {id}`, to take it away: `bonfire cancel {id}`")
}

/// One line about an operation: `download freedoom: transferring, 43 % of 28.1 MiB, 12.0 MiB/s, 3 s left`.
fn operation_line(operation: &OperationView, waited: Option<Duration>) -> String {
    let mut line = format!("{} {}: {}", kind(operation.kind), operation.game, phase(operation.phase));
    if let Some(waited) = waited {
        line += &format!(" for {}", span(waited));
    }
    if operation.total_bytes > 0 {
        line +=
            &format!(", {} % of {}", percent(operation.done_bytes, operation.total_bytes), size(operation.total_bytes));
    }
    if operation.total_files > 0 {
        line += &format!(", {} of {} files", operation.done_files, operation.total_files);
    }
    if operation.bytes_per_second > 0 {
        line += &format!(", {}/s", size(operation.bytes_per_second));
    }
    if let Some(eta) = operation.eta_ms {
        line += &format!(", {} left", span(Duration::from_millis(eta)));
    }
    if let Some(error) = &operation.error {
        line += &format!(" ({})", shown(&error.message));
    }
    line
}

fn kind(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Download => "download",
        OperationKind::Remove => "remove",
        OperationKind::Verify => "verify",
        OperationKind::Install => "install",
        OperationKind::Update => "update",
        OperationKind::Uninstall => "uninstall",
    }
}

/// The phase as people read it.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting for a peer that can give it",
        Phase::Preparing => "preparing",
        Phase::Checking => "checking what is here",
        Phase::Transferring => "transferring",
        Phase::Unpacking => "unpacking",
        Phase::Committing => "finishing",
        Phase::Cancelling => "cancelling",
        Phase::Settling => "reading the folder again",
    }
}
