//! `bonfire get GAME`: asks the running peer for a game and waits until it is here.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report};
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
    let Reply::Started { op } = stop.during(&game, client.command(get)).await? else {
        return Err(Report::new(ErrorClass::Bug, "bad_answer", "the peer did not start the download").into());
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

/// Says which files were left because nobody can prove whose they are.
pub(crate) fn report_kept(out: &Out, kept_files: &[String]) {
    for file in kept_files {
        out.talk(&format!("left in place, for it is not ours: {file}"));
    }
}
