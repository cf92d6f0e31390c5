//! `bonfire remove GAME`: removes downloaded files of a game that is not installed.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_proto::GameId;
use serde_json::json;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, unexpected, watch};
use crate::render::{Out, Tone};

pub(crate) async fn run(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    let mut client = Client::connect(data_dir).await?;
    client.follow().await?;
    let reply = client.command(Command::Transfers(TransferCommand::Remove { game: game.clone() })).await?;
    let result = match reply {
        Reply::Started { op } => match watch(out, &mut client, (op, &game), Rules::default()).await? {
            PeerEvent::RemoveFailed { error, .. } => return Err(error.into()),
            event @ PeerEvent::GameRemoved { .. } => json!(event),
            other => return Err(unexpected(&other)),
        },
        _ => json!({ "type": "game_removed", "game": game }),
    };
    if out.is_json() {
        out.json(&json!({ "result": result }))?;
    }
    out.marked(Tone::Good, game.as_str(), "is removed from this machine")?;
    Ok(Exit::Done)
}
