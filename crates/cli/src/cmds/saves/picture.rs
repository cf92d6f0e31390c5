//! `bonfire saves picture`: attaches a picture to a version, writes it out, takes it away.

use std::path::PathBuf;

use bonfire_engine::command::{PictureAct, Reply, SavesCommand};
use serde_json::json;

use super::change::done;
use super::{text, there};
use crate::args::saves::PictureArgs;
use crate::cmds::asker::{Asker, unfit};
use crate::exit::{Exit, Failure};
use crate::render::{Tone, brief, shown, size};

/// Does what was asked for.
///
/// # Errors
/// The refusal; as for `Asker::saves`.
pub(super) async fn run(asker: &mut Asker<'_>, args: PictureArgs) -> Result<Exit, Failure> {
    let at = asker.at(&args.which).await?;
    let snapshot = asker.version(&at, &args.id).await?;
    let path = |path: &PathBuf| there(path).and_then(|p| text(&p));
    let act = match (&args.file, &args.to) {
        (Some(file), _) => PictureAct::Attach { file: path(file)? },
        (None, Some(to)) => PictureAct::HandOut { file: path(to)? },
        (None, None) => {
            let said = format!("version {} has no picture any more", brief(&snapshot));
            let remove = SavesCommand::Picture { at: at.clone(), snapshot, act: PictureAct::Remove };
            return done(asker, &at, remove, &said).await;
        }
    };
    let reply = asker.saves(&at.game, SavesCommand::Picture { at: at.clone(), snapshot, act }).await?;
    let Reply::Picture { picture, path, .. } = &reply else { return Err(unfit(&reply)) };
    if asker.out.is_json() {
        asker.out.json(&json!({ "result": reply }))?;
    }
    match path {
        Some(path) => asker.out.text(&shown(path))?,
        None => {
            let what = format!("{}, {}", picture.format, size(picture.size));
            let said = format!("version {} has its picture ({what})", brief(&snapshot));
            asker.out.marked(Tone::Good, at.game.as_str(), &said)?;
        }
    }
    Ok(Exit::Done)
}
