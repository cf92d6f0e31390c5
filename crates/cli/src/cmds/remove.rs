//! `bonfire remove GAME`: removes downloaded files of a game that is not installed.

use std::path::Path;

use bonfire_engine::command::{Command, Reply, TransferCommand};
use bonfire_engine::event::PeerEvent;
use bonfire_proto::GameId;
use serde_json::json;

use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::progress::{Rules, Stop, unexpected, watch};
use crate::render::{Out, Tone};

pub(crate) async fn run(out: &Out, data_dir: &Path, game: GameId) -> Result<Exit, Failure> {
    let mut stop = Stop::new()?;
    let mut client = stop.before(&game, Client::connect(data_dir)).await?;
    stop.before(&game, client.follow()).await?;
    let remove = Command::Transfers(TransferCommand::Remove { game: game.clone() });
    let reply = stop.during(&game, client.command(remove)).await?;
    let result = match reply {
        Reply::Started { op } => match watch(out, &mut client, (op, &game), Rules::default(), &mut stop).await? {
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
