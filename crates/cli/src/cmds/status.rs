//! `bonfire status`: this peer, what it does, what is wrong. With `--json` the whole snapshot as one object.

use std::path::Path;
use std::time::Duration;

use bonfire_engine::Snapshot;
use bonfire_engine::snapshot::{OperationKind, OperationView, Phase};

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
    out.text(&format!(
        "library   {} downloaded, {}, revision {}",
        count(downloaded.len() as u64, "game"),
        size(bytes),
        me.library_rev
    ))?;
    out.text(&format!("room      {} connected", count(connected, "peer")))?;
    for operation in &s.operations {
        out.text(&format!("active    {}", operation_line(operation)))?;
    }
    for problem in &s.problems {
        out.marked(Tone::Error, "problem  ", &problem.message)?;
        if !problem.hint.is_empty() {
            out.marked(Tone::Hint, "hint     ", &problem.hint)?;
        }
    }
    Ok(())
}

/// One line about an operation: `download freedoom: transferring, 43 % of 28.1 MiB, 12.0 MiB/s, 3 s left`.
pub(crate) fn operation_line(operation: &OperationView) -> String {
    let mut line = format!("{} {}: {}", kind(operation.kind), operation.game, phase(operation.phase));
    if operation.total_bytes > 0 {
        line +=
            &format!(", {} % of {}", percent(operation.done_bytes, operation.total_bytes), size(operation.total_bytes));
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
    }
}

/// The phase as people read it.
pub(crate) fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting for a peer that has it",
        Phase::Preparing => "preparing",
        Phase::Checking => "checking what is here",
        Phase::Transferring => "transferring",
        Phase::Committing => "finishing",
        Phase::Cancelling => "cancelling",
        Phase::Settling => "reading the folder again",
    }
}
