//! `bonfire devices`: players, their devices, and how a device becomes one. With `--json` the list prints one device a
//! line, and what changes something prints `{"result":REPLY}`.

mod pairing;

use std::path::Path;

use bonfire_engine::command::{DevicesCommand, RegisteredAs, Reply};
use bonfire_engine::saves_view::{DeviceView, PlayerView};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::DeviceRole;
use serde::Serialize;
use serde_json::json;

use super::asker::{Asker, unfit};
use super::find;
use crate::args::devices::{DeviceArg, DevicesCmd};
use crate::exit::{Exit, Failure};
use crate::prompt;
use crate::render::{Out, Tone, count, shown, table};
use crate::when;

/// What is waited for, in the words of `Stop`.
const WHAT: &str = "the peer";

/// A device as scripts see it: with whose it is.
#[derive(Serialize)]
struct Line<'a> {
    player: PlayerId,
    player_name: &'a str,
    #[serde(flatten)]
    device: &'a DeviceView,
}

pub(crate) async fn run(out: &Out, data_dir: &Path, command: DevicesCmd) -> Result<Exit, Failure> {
    let mut asker = Asker::connect(out, data_dir).await?;
    match command {
        DevicesCmd::List => list(&mut asker).await,
        DevicesCmd::CreatePlayer { name } => {
            let reply = asker.devices(&WHAT, DevicesCommand::CreatePlayer { name: name.clone() }).await?;
            said(out, &reply, &name, "is a player now, and this machine is the first device")?;
            out.talk("another machine joins with: bonfire devices pair");
            Ok(Exit::Done)
        }
        DevicesCmd::Pair(args) => pairing::run(&mut asker, args).await,
        DevicesCmd::Token { whose, personal } => {
            let player = asker.player(whose.player.as_deref()).await?;
            let role = if personal { DeviceRole::Personal } else { DeviceRole::Unattended };
            let reply = asker.devices(&WHAT, DevicesCommand::AddToken { player, role }).await?;
            let Reply::PairToken { token } = &reply else { return Err(unfit(&reply)) };
            if out.is_json() {
                out.json(&json!({ "result": reply }))?;
            } else {
                out.text(&shown(token))?;
                let name: String = token.chars().take(4).collect();
                out.talk(&format!(
                    "it is shown this once; whoever has it can join until: bonfire devices revoke {name}"
                ));
            }
            Ok(Exit::Done)
        }
        DevicesCmd::Revoke { token_name } => {
            let reply = asker.devices(&WHAT, DevicesCommand::RevokeToken { name: token_name.clone() }).await?;
            said(out, &reply, &token_name, "is revoked; devices that joined by it stay")
        }
        DevicesCmd::Rename { names, whose } => {
            let player = asker.player(whose.player.as_deref()).await?;
            let (device, name) = match names.as_slice() {
                [device, name] => (Some(find_device(&mut asker, player, device).await?), name),
                [name, ..] => (None, name),
                [] => unreachable!("BUG: the command line asks for a name"),
            };
            let rename = DevicesCommand::Rename { player, device, name: name.clone() };
            let reply = asker.devices(&WHAT, rename).await?;
            said(out, &reply, name, "is the device's name now")
        }
        DevicesCmd::RenamePlayer { name, whose } => {
            let player = asker.player(whose.player.as_deref()).await?;
            let reply = asker.devices(&WHAT, DevicesCommand::RenamePlayer { player, name: name.clone() }).await?;
            said(out, &reply, &name, "is the player's name now")
        }
        DevicesCmd::Enable(args) => enable(&mut asker, &args, true).await,
        DevicesCmd::Disable(args) => enable(&mut asker, &args, false).await,
        DevicesCmd::Remove { device, whose, yes } => remove(&mut asker, &device, whose.player.as_deref(), yes).await,
        DevicesCmd::Register { whose, chosen, allow_duplicate, refuse_existing, reset_syncs } => {
            let player = asker.player(whose.player.as_deref()).await?;
            let chosen = match &chosen {
                Some(device) => Some(find_device(&mut asker, player, device).await?),
                None => None,
            };
            let register = DevicesCommand::Register {
                player,
                allow_existing: !refuse_existing,
                allow_duplicate,
                reset_syncs,
                chosen,
            };
            let reply = asker.devices(&WHAT, register).await?;
            let text = match &reply {
                Reply::Registered { as_what: RegisteredAs::New, .. } => "is a device of its own".to_owned(),
                Reply::Registered { as_what: RegisteredAs::Existing, device } => {
                    format!("is the known device {}", device.map(|d| d.short()).unwrap_or_default())
                }
                other => return Err(unfit(other)),
            };
            said(out, &reply, "this machine", &text)
        }
    }
}

/// Says that it is done.
fn said(out: &Out, reply: &Reply, word: &str, text: &str) -> Result<Exit, Failure> {
    if out.is_json() {
        out.json(&json!({ "result": reply }))?;
    }
    out.marked(Tone::Good, &shown(word), text)?;
    Ok(Exit::Done)
}

async fn find_device(
    asker: &mut Asker<'_>,
    player: Option<PlayerId>,
    wanted: &str,
) -> Result<bonfire_proto::PeerId, Failure> {
    let snapshot = asker.snapshot().await?;
    Ok(find::device(&snapshot, player, wanted)?)
}

async fn list(asker: &mut Asker<'_>) -> Result<Exit, Failure> {
    let snapshot = asker.snapshot().await?;
    let out = asker.out;
    if out.is_json() {
        for player in &snapshot.players {
            for device in &player.devices {
                out.json(&Line { player: player.player, player_name: &player.name, device })?;
            }
        }
    } else if snapshot.players.is_empty() {
        out.talk(
            "no player is on this machine yet; make one with: bonfire devices create-player NAME, or join one with: \
                  bonfire devices pair",
        );
    } else {
        for (i, player) in snapshot.players.iter().enumerate() {
            if i > 0 {
                out.text("")?;
            }
            out.text(&heading(player))?;
            let rows = player.devices.iter().map(|d| row(d, when::now())).collect();
            out.text(&table(&["NAME", "DEVICE", "ROLE", "SYSTEM", "STATE", "ADDRESS"], &[], rows))?;
        }
    }
    Ok(Exit::Done)
}

/// `player ann (11111111), 2 devices`.
fn heading(player: &PlayerView) -> String {
    let removed = if player.is_removed { "; this machine was removed and takes part no more" } else { "" };
    let id = player.player.to_string();
    format!(
        "player {} ({}), {}{removed}",
        shown(&player.name),
        id.split('-').next().unwrap_or_default(),
        count(player.devices.len() as u64, "device")
    )
}

fn row(device: &DeviceView, now: u64) -> Vec<String> {
    let role = match device.role {
        DeviceRole::Personal => "personal",
        DeviceRole::Unattended => "unattended",
    };
    let mut state = match (device.is_this, device.is_connected, device.last_seen) {
        (true, ..) => "this machine".to_owned(),
        (_, true, _) => "connected".to_owned(),
        (_, _, Some(seen)) => format!("seen {}", when::age(now, seen)),
        (_, _, None) => "not seen yet".to_owned(),
    };
    if !device.enabled {
        state += ", disabled";
    }
    let or_dash = |text: Option<&str>| text.filter(|t| !t.is_empty()).unwrap_or("-").to_owned();
    vec![
        device.name.clone(),
        device.device.short(),
        role.to_owned(),
        or_dash(Some(&device.platform)),
        state,
        or_dash(device.address.as_deref()),
    ]
}

async fn enable(asker: &mut Asker<'_>, args: &DeviceArg, enabled: bool) -> Result<Exit, Failure> {
    let player = asker.player(args.whose.player.as_deref()).await?;
    let device = match &args.device {
        Some(wanted) => Some(find_device(asker, player, wanted).await?),
        None => None,
    };
    let reply = asker.devices(&WHAT, DevicesCommand::Enable { player, device, enabled }).await?;
    let text = if enabled { "takes part in saves again" } else { "takes part in saves no more; what it holds stays" };
    said(asker.out, &reply, args.device.as_deref().unwrap_or("this machine"), text)
}

async fn remove(asker: &mut Asker<'_>, wanted: &str, player: Option<&str>, yes: bool) -> Result<Exit, Failure> {
    let player = asker.player(player).await?;
    let device = find_device(asker, player, wanted).await?;
    if !yes {
        if !prompt::is_possible(asker.out) {
            return Err(Failure::Usage {
                message: format!("removing {} cannot be taken back, and nobody is here to ask", shown(wanted)),
                hint: "give --yes to remove it without asking".to_owned(),
            });
        }
        let question = format!(
            "Remove {} ({})? Its trust ends at once, everywhere; what it holds stays there.",
            shown(wanted),
            device.short()
        );
        let asked = prompt::confirm(&question);
        if !asker.stop.before(&"an answer", asked).await? {
            return Err(Report::new(ErrorClass::Cancelled, "not_confirmed", "nothing was removed").into());
        }
    }
    let reply = asker.devices(&WHAT, DevicesCommand::Remove { player, device }).await?;
    said(asker.out, &reply, wanted, "is removed; its trust has ended")
}

#[cfg(test)]
mod tests {
    use bonfire_engine::saves_view::DeviceView;
    use bonfire_proto::message_pair::DeviceRole;

    use super::row;
    use crate::cmds::saves::made_up::{NOW, peer};

    fn device() -> DeviceView {
        DeviceView {
            device: peer(1),
            name: "deck".to_owned(),
            platform: "linux".to_owned(),
            client: "bonfire".to_owned(),
            client_version: "0.1.0".to_owned(),
            address: None,
            mac: None,
            hostname: None,
            role: DeviceRole::Personal,
            sync_mode: "push_pull".to_owned(),
            enabled: true,
            is_this: false,
            is_connected: false,
            last_seen: None,
        }
    }

    #[test]
    fn a_device_says_whether_it_is_there() {
        let state = |device: DeviceView| row(&device, NOW).swap_remove(4);
        assert_eq!(state(device()), "not seen yet");
        assert_eq!(state(DeviceView { last_seen: Some(NOW - 7_200_000), ..device() }), "seen 2 h ago");
        assert_eq!(state(DeviceView { is_connected: true, enabled: false, ..device() }), "connected, disabled");
        assert_eq!(state(DeviceView { is_this: true, is_connected: true, ..device() }), "this machine");
    }
}
