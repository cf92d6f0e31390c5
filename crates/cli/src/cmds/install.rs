//! `bonfire install`, `update` and `uninstall`: have the running peer put a downloaded game in place, and take it away.
//! Decides nothing about whose files those of an install are.

use std::path::Path;

use bonfire_engine::command::{Command, InstallCommand, Reply};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use serde_json::json;
use tokio::time::Instant;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, unexpected, watch};
use crate::render::{Out, Tone, count, shown, size, span};

pub(crate) async fn install(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    run(out, data_dir, InstallCommand::Install { game }).await
}

pub(crate) async fn update(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    run(out, data_dir, InstallCommand::Update { game }).await
}

pub(crate) async fn uninstall(out: &Out, data_dir: &Path, game: GameId, force: bool) -> Result<Exit, Failure> {
    run(out, data_dir, InstallCommand::Uninstall { game, force }).await
}

async fn run(out: &Out, data_dir: &Path, command: InstallCommand) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let game = of(&command).clone();
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    stop.before(&game, client.follow()).await?;
    carry_out(out, &mut client, &mut stop, command).await
}

/// Has a peer that is followed carry it out, and says how it ended.
pub(super) async fn carry_out(
    out: &Out,
    client: &mut Client,
    stop: &mut Stop,
    command: InstallCommand,
) -> Result<Exit, Failure> {
    let game = of(&command).clone();
    let is_uninstall = matches!(command, InstallCommand::Uninstall { .. });
    let started = Instant::now();
    let Reply::Started { op } = stop.during(&game, client.command(Command::Installs(command))).await? else {
        return Err(Report::new(ErrorClass::Bug, "bad_answer", "the peer did not begin").into());
    };
    if out.is_json() {
        out.json(&json!({ "started": { "op": op, "game": game } }))?;
    }
    let rules = Rules { cancel_on_signal: !is_uninstall, leave_when_paused: false };
    let event = watch(out, client, (op, &game), rules, stop).await?;
    let failed = match &event {
        PeerEvent::InstallFailed { error, .. } | PeerEvent::UninstallFailed { error, .. } => Some(error.clone()),
        _ => None,
    };
    if let Some(error) = failed {
        return Err(error.into());
    }
    if out.is_json() {
        out.json(&json!({ "result": event }))?;
    }
    match event {
        PeerEvent::InstallFinished { version, is_update, files, bytes, carried_files, kept_files, .. } => {
            for file in &kept_files {
                out.talk(&format!("changed by you and by this version: yours is kept as {}", shown(file)));
            }
            let version = if version.is_empty() { String::new() } else { format!(" {}", shown(&version)) };
            let what = if is_update { "is updated" } else { "is installed" };
            let carried = match carried_files {
                0 => String::new(),
                n => format!(", {} of yours carried over", count(n, "file")),
            };
            let took = span(started.elapsed());
            let text = format!("{what}: {}, {}{carried}, {took}", count(files, "file"), size(bytes));
            out.marked(Tone::Good, &format!("{game}{version}"), &text)?;
            Ok(Exit::Done)
        }
        PeerEvent::InstallCancelled { is_update, .. } => {
            let what = if is_update { "the install before is there as it was" } else { "nothing of it is left" };
            out.talk(&format!("{game}: cancelled, {what}"));
            Ok(Exit::Cancelled)
        }
        PeerEvent::GameUninstalled { files, .. } => {
            out.marked(Tone::Good, game.as_str(), &format!("is uninstalled: {} removed", count(files, "file")))?;
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

fn of(command: &InstallCommand) -> &GameId {
    match command {
        InstallCommand::Install { game } | InstallCommand::Update { game } | InstallCommand::Uninstall { game, .. } => {
            game
        }
    }
}
