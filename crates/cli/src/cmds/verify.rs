//! `bonfire verify GAME`: has every file read and compared, and damaged parts fetched anew.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use serde_json::json;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, unexpected, watch};
use crate::render::{Out, Tone, count, size};

pub(crate) async fn run(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    stop.before(&game, client.follow()).await?;
    let verify = Command::Transfers(TransferCommand::Verify { game: game.clone() });
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
        PeerEvent::VerifyFinished { checked_bytes, bad_files, repaired_bytes, .. } => {
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
            Ok(Exit::Done)
        }
        other => Err(unexpected(&other)),
    }
}
