//! `bonfire verify GAME`: has every file read and compared, damaged parts fetched anew, and damaged files of the install
//! unpacked again.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::{PeerEvent, VerifiedInstall};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use serde_json::json;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, unexpected, watch};
use crate::render::{Out, Tone, count, shown, size};

pub(crate) async fn run(out: &Out, data_dir: &Path, game: GameId, restore: bool) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    stop.before(&game, client.follow()).await?;
    let verify = Command::Transfers(TransferCommand::Verify { game: game.clone(), restore });
    let Reply::Started { op } = stop.during(&game, client.command(verify)).await? else {
        return Err(Report::new(ErrorClass::Bug, "bad_answer", "the peer did not start to verify").into());
    };
    if out.is_json() {
        out.json(&json!({ "started": { "op": op, "game": game } }))?;
    }
    let rules = Rules { cancel_on_signal: true, leave_when_paused: false };
    let event = watch(out, &mut client, (op, &game), rules, &mut stop).await?;
    let result = json!({ "result": event });
    match event {
        PeerEvent::VerifyFailed { error, .. } => Err(error.into()),
        PeerEvent::VerifyFinished { checked_bytes, bad_files, repaired_bytes, install, .. } => {
            if out.is_json() {
                out.json(&result)?;
            }
            for file in &bad_files {
                out.talk(&format!("was damaged, is repaired: {file}"));
            }
            let text = if bad_files.is_empty() {
                format!("is whole: {} read", size(checked_bytes))
            } else {
                let files = count(bad_files.len() as u64, "file");
                format!("is whole again: {files} repaired, {} fetched", size(repaired_bytes))
            };
            out.marked(Tone::Good, game.as_str(), &text)?;
            if let Some(install) = install {
                tell(out, &game, &install)?;
            }
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}

/// How the install was found.
fn tell(out: &Out, game: &GameId, install: &VerifiedInstall) -> Result<(), Failure> {
    let VerifiedInstall { is_recorded, checked_bytes, repaired_files, changed_files, kept_files } = install;
    if !is_recorded {
        out.talk(&format!("{game}: its install says nothing of what was installed, so it was not compared"));
        return Ok(());
    }
    for file in repaired_files {
        out.talk(&format!("was not as installed, is put back: {}", shown(file)));
    }
    for file in kept_files {
        out.talk(&format!("what was there before is kept as {}", shown(file)));
    }
    let left = changed_files.iter().filter(|file| !repaired_files.contains(file));
    let left: Vec<&String> = left.collect();
    for file in &left {
        out.talk(&format!("was written to since it was installed: {}", shown(file)));
    }
    if !left.is_empty() {
        out.talk(&format!("to put these back as they were installed: bonfire verify {game} --restore"));
    }
    let text = match (repaired_files.len() as u64, left.len() as u64) {
        (0, 0) => format!("its install is as it was installed: {} read", size(*checked_bytes)),
        (0, n) => format!("its install is whole, {} changed since", count(n, "file")),
        (n, _) => format!("its install is whole again: {} put back", count(n, "file")),
    };
    out.marked(Tone::Good, game.as_str(), &text)
}
