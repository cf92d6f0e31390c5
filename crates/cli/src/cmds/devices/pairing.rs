//! `bonfire devices pair`: shows a code until it is used, or types one. What a code proves and who may invite whom is the
//! peer's business.

use std::time::Duration;

use bonfire_engine::command::{DevicesCommand, Reply};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::message_pair::DeviceRole;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use super::WHAT;
use crate::args::devices::PairArgs;
use crate::cmds::asker::{Asker, unfit};
use crate::cmds::find;
use crate::control::Pushed;
use crate::exit::{Exit, Failure};
use crate::prompt;
use crate::render::{Tone, count, shown, span};

/// How long after its end the peer may take to say that a code has run out.
const GRACE: Duration = Duration::from_secs(5);
/// Characters of what can only be a token: codes are much shorter.
const TOKEN_LEN_MIN: usize = 16;

pub(super) async fn run(asker: &mut Asker<'_>, args: PairArgs) -> Result<Exit, Failure> {
    match args.code.clone() {
        Some(code) => type_code(asker, args, code).await,
        None => show_code(asker, args).await,
    }
}

/// What the joining device becomes, unless it was said: with a token one that nobody sits at, with a code the player's own.
/// Both sides have to say the same.
fn role(args: &PairArgs, code: &str) -> DeviceRole {
    let is_token = code.chars().filter(char::is_ascii_alphanumeric).count() >= TOKEN_LEN_MIN;
    if args.unattended || (is_token && !args.personal) { DeviceRole::Unattended } else { DeviceRole::Personal }
}

async fn type_code(asker: &mut Asker<'_>, args: PairArgs, code: String) -> Result<Exit, Failure> {
    let code = if code == "-" {
        asker.stop.before(&"the code", prompt::line("Code on the other machine: ")).await?
    } else {
        code
    };
    if code.is_empty() {
        return Err(Failure::Usage {
            message: "no code was given".to_owned(),
            hint: "show one on the other machine with: bonfire devices pair".to_owned(),
        });
    }
    let player = asker.player(args.whose.player.as_deref()).await?;
    let with = match &args.with {
        Some(wanted) => {
            let snapshot = asker.snapshot().await?;
            Some(find::peer(&snapshot, wanted)?)
        }
        None => None,
    };
    let role = role(&args, &code);
    let pair = DevicesCommand::Pair { code, with, player, join: args.join, role };
    let reply = asker.devices(&"the other machine", pair).await?;
    let Reply::Paired { name, .. } = &reply else { return Err(unfit(&reply)) };
    paired(asker, name, &json!({ "result": reply }))
}

/// Says that two machines belong together now, and to whom.
fn paired(asker: &Asker<'_>, name: &str, line: &serde_json::Value) -> Result<Exit, Failure> {
    let out = asker.out;
    if out.is_json() {
        out.json(line)?;
        return Ok(Exit::Done);
    }
    let name = if name.is_empty() { "the other machine" } else { name };
    out.marked(Tone::Good, "paired:", &format!("{name} and this machine are devices of one player now"))?;
    out.talk("see them with: bonfire devices list");
    Ok(Exit::Done)
}

async fn show_code(asker: &mut Asker<'_>, args: PairArgs) -> Result<Exit, Failure> {
    let player = asker.player(args.whose.player.as_deref()).await?;
    // Before the code is shown: what comes of it must not be missed.
    asker.stop.before(&WHAT, asker.client.follow()).await?;
    let show = DevicesCommand::ShowCode { player, join: args.join, role: role(&args, "") };
    let reply = asker.devices(&WHAT, show).await?;
    let Reply::PairCode { code, seconds, tries, invites } = &reply else { return Err(unfit(&reply)) };
    let out = asker.out;
    if out.is_json() {
        out.json(&json!({ "result": reply }))?;
    } else {
        let becomes = if *invites {
            "the other machine becomes a device of this one's player"
        } else {
            "this machine becomes a device of the other one's player"
        };
        out.text(&format!("\n    {}\n", large(code)))?;
        out.talk(&format!("type it on the other machine: bonfire devices pair --code {code}"));
        out.talk(&format!(
            "{becomes}; the code counts for {} and {}; Ctrl-C takes it back",
            span(Duration::from_secs(*seconds)),
            plural(u64::from(*tries))
        ));
    }
    let until = Instant::now() + Duration::from_secs(*seconds) + GRACE;
    loop {
        let client = &mut asker.client;
        let pushed = tokio::select! {
            biased;
            pushed = client.next() => pushed?,
            () = asker.stop.asked() => return hide(asker).await,
            () = sleep_until(until) => {
                return Err(Report::new(ErrorClass::Remote, "code_expired", "nobody has used the code")
                    .hint("show a new one with: bonfire devices pair")
                    .into());
            }
        };
        let Pushed::Event(record) = pushed else { continue };
        match record.event {
            PeerEvent::DevicePaired { ref name, .. } => {
                let line = json!({ "result": record.event });
                return paired(asker, name, &line);
            }
            PeerEvent::PairingEnded { error } => return Err(with_hint(error).into()),
            PeerEvent::Stopped => {
                return Err(Report::new(ErrorClass::Unreachable, "peer_stopped", "the peer has stopped")
                    .hint("start it again with: bonfire run, and show a new code")
                    .into());
            }
            _ => {}
        }
    }
}

fn with_hint(error: Report) -> Report {
    if error.hint.is_empty() { error.hint("show a new one with: bonfire devices pair") } else { error }
}

/// Takes the code back, so that nobody can use what nobody waits for.
async fn hide(asker: &mut Asker<'_>) -> Result<Exit, Failure> {
    asker.devices(&WHAT, DevicesCommand::HideCode).await?;
    Err(Report::new(ErrorClass::Cancelled, "interrupted", "the code was taken back").into())
}

/// A code that can be read from across the room: its characters apart.
fn large(code: &str) -> String {
    let apart: Vec<String> = shown(code).chars().map(String::from).collect();
    apart.join(" ")
}

fn plural(tries: u64) -> String {
    if tries == 1 { "1 try".to_owned() } else { count(tries, "trie") }
}

#[cfg(test)]
mod tests {
    use bonfire_proto::message_pair::DeviceRole;

    use super::{large, plural, role};
    use crate::args::devices::{PairArgs, Whose};

    #[test]
    fn who_joins_with_a_token_is_unattended_unless_said_otherwise() {
        let args = |unattended, personal| PairArgs {
            code: None,
            with: None,
            whose: Whose { player: None },
            join: false,
            unattended,
            personal,
        };
        let token = "CRX3-MP9Q-W5J9-VWXX-8MH6-9X94-28P4-6857-43JF";
        assert_eq!(role(&args(false, false), token), DeviceRole::Unattended);
        assert_eq!(role(&args(false, true), token), DeviceRole::Personal);
        assert_eq!(role(&args(false, false), "C7H-4PX"), DeviceRole::Personal);
        assert_eq!(role(&args(true, false), ""), DeviceRole::Unattended);
    }

    #[test]
    fn a_code_is_shown_with_its_characters_apart() {
        assert_eq!(large("C7H-4PX"), "C 7 H - 4 P X");
        assert_eq!([plural(1), plural(3)], ["1 try", "3 tries"]);
    }
}
