//! `bonfire get GAME`: asks the running peer for a game and waits until it is here, and installed if asked.

use std::path::Path;

use bonfire_engine::command::{Command, InstallCommand, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::GameId;
use serde_json::json;
use tokio::time::Instant;

use super::find;
use crate::args::GetArgs;
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, unexpected, watch};
use crate::render::{Out, Tone, count, shown, size, span};

pub(crate) async fn run(out: &Out, data_dir: &Path, args: GetArgs) -> Result<Exit, Failure> {
    let game = args.game;
    let mut stop = Stop::new()?;
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    let snapshot = stop.before(&game, client.follow()).await?;
    let from = args.from.as_deref().map(|wanted| find::peer(&snapshot, wanted)).transpose()?;
    let started = Instant::now();
    let get = Command::Transfers(TransferCommand::Get { game: game.clone(), from });
    let asked = async { Ok(client.command(get).await) };
    let op = match stop.during(&game, asked).await? {
        Ok(Reply::Started { op }) => op,
        Err(here) if args.install && here.code == "already_here" => {
            out.talk(&here.message);
            let installed = snapshot.games.iter().find(|g| g.id == game && g.installed);
            // Where nobody recorded what is installed, it is the player's word that counts: `bonfire update`.
            if installed.is_some_and(|g| g.installed_version.as_ref().is_none_or(|version| *version == g.version)) {
                let result = json!({ "result": { "type": "done", "game": game } });
                if out.is_json() {
                    out.json(&result)?;
                }
                out.marked(Tone::Good, game.as_str(), "is installed; to put it in place anew: bonfire update")?;
                return Ok(Exit::Done);
            }
            return then_install(out, &mut client, &mut stop, (&snapshot, game)).await;
        }
        Err(refusal) => return Err(refusal.into()),
        Ok(_) => {
            return Err(Report::new(ErrorClass::Bug, "bad_answer", "the peer did not start the download").into());
        }
    };
    if out.is_json() {
        out.json(&json!({ "started": { "op": op, "game": game } }))?;
    } else if !out.has_bars() {
        out.talk(&format!("{game}: download started"));
    }
    let rules = Rules { cancel_on_signal: true, leave_when_paused: args.no_wait };
    let event = watch(out, &mut client, (op, &game), rules, &mut stop).await?;
    let failed = match &event {
        PeerEvent::DownloadFailed { error, .. } => Some(error.clone()),
        _ => None,
    };
    if let Some(error) = failed {
        return Err(error.into());
    }
    if out.is_json() {
        out.json(&json!({ "result": event }))?;
    }
    match event {
        PeerEvent::DownloadFinished { version, fetched_bytes, reused_bytes, .. } => {
            let version = if version.is_empty() { String::new() } else { format!(" {}", shown(&version)) };
            let reused = if reused_bytes == 0 { String::new() } else { format!(", {} were here", size(reused_bytes)) };
            let took = span(started.elapsed());
            out.marked(
                Tone::Good,
                &format!("{game}{version}"),
                &format!("is here: {} fetched{reused}, {took}", size(fetched_bytes)),
            )?;
            if args.install {
                return then_install(out, &mut client, &mut stop, (&snapshot, game)).await;
            }
            Ok(Exit::Done)
        }
        PeerEvent::DownloadCancelled { removed_files, kept_files, .. } => {
            out.talk(&format!("{game}: cancelled, {} removed", count(removed_files, "file")));
            report_kept(out, &kept_files);
            Ok(Exit::Cancelled)
        }
        other => Err(unexpected(&other)),
    }
}

/// Has what is downloaded now put in place, or in the place of what was installed before.
async fn then_install(
    out: &Out,
    client: &mut Client,
    stop: &mut Stop,
    (before, game): (&Snapshot, GameId),
) -> Result<Exit, Failure> {
    let is_installed = before.games.iter().any(|g| g.id == game && g.installed);
    let command = if is_installed { InstallCommand::Update { game } } else { InstallCommand::Install { game } };
    super::install::carry_out(out, client, stop, command).await
}

/// Says which files were left because nobody can prove whose they are.
pub(crate) fn report_kept(out: &Out, kept_files: &[String]) {
    for file in kept_files {
        out.talk(&format!("left in place, for it is not ours: {file}"));
    }
}
