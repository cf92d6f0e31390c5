//! `bonfire cancel GAME`: cancels what is under way and waits until it is swept.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use serde_json::json;

use super::get::report_kept;
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, watch};
use crate::render::{Out, Tone, count};

pub(crate) async fn run(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    stop.before(&game, client.follow()).await?;
    let cancel = Command::Transfers(TransferCommand::Cancel { game: game.clone() });
    let Reply::Started { op } = stop.during(&game, client.command(cancel)).await? else {
        return done(out, &game, &json!({ "type": "done", "game": game }), "cancelled");
    };
    match watch(out, &mut client, (op, &game), Rules::default(), &mut stop).await? {
        event @ (PeerEvent::InstallFinished { .. } | PeerEvent::GameUninstalled { .. }) => {
            if out.is_json() {
                out.json(&json!({ "result": event }))?;
            }
            let text = format!("{game} was finished before it could be cancelled");
            Err(Report::new(ErrorClass::Refused, "too_late", text).into())
        }
        event @ (PeerEvent::DownloadFinished { .. }
        | PeerEvent::VerifyFinished { .. }
        | PeerEvent::GameRemoved { .. }) => {
            if out.is_json() {
                out.json(&json!({ "result": event }))?;
            }
            Err(Report::new(
                ErrorClass::Refused,
                "too_late",
                format!("{game} was finished before it could be cancelled"),
            )
            .hint(format!("take it away with: bonfire remove {game}"))
            .into())
        }
        PeerEvent::DownloadFailed { error, .. }
        | PeerEvent::RemoveFailed { error, .. }
        | PeerEvent::InstallFailed { error, .. }
        | PeerEvent::UninstallFailed { error, .. } => Err(error.into()),
        PeerEvent::VerifyFailed { error, .. } if error.class != ErrorClass::Cancelled => Err(error.into()),
        event => {
            let mut text = "cancelled".to_owned();
            if let PeerEvent::DownloadCancelled { removed_files, kept_files, .. } = &event {
                text += &format!(", {} removed", count(*removed_files, "file"));
                report_kept(out, kept_files);
            }
            let result = serde_json::to_value(&event).expect("BUG: an event cannot be written as JSON");
            done(out, &game, &result, &text)
        }
    }
}

fn done(out: &Out, game: &GameId, result: &serde_json::Value, text: &str) -> Result<Exit, Failure> {
    if out.is_json() {
        out.json(&json!({ "result": result }))?;
    }
    out.marked(Tone::Good, game.as_str(), text)?;
    Ok(Exit::Done)
}
