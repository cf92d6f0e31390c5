//! `bonfire saves find`, and `saves add` without a path: shows what is found, asks, and tells the peer.

use std::path::{Path, PathBuf};

use bonfire_engine::command::SavesCommand;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;

use super::change::changed;
use super::find::{self, Asked, Found};
use crate::args::saves::{FoundArgs, SavesAddArgs};
use crate::cmds::asker::Asker;
use crate::exit::{Exit, Failure};
use crate::folders;
use crate::prompt;
use crate::render::shown;

pub(super) async fn find(
    asker: &mut Asker<'_>,
    data_dir: &Path,
    game: Option<GameId>,
    args: &FoundArgs,
) -> Result<Exit, Failure> {
    let snapshot = asker.snapshot().await?;
    let games_dir = PathBuf::from(&snapshot.me.games_dir);
    let prefix = absolute(args)?;
    // Looking believes nobody: what a game says itself is shown as such.
    let asked = Asked { with_own: true, ..asked(args, prefix.as_deref()) };
    let one = |game: &GameId| -> Result<Option<Found>, Report> {
        let game = find::game_of(&snapshot, game);
        let known = find::known(data_dir, &games_dir, &game, &asked)?;
        known.map(|known| find::locate(&games_dir, &game.id, known, &asked)).transpose()
    };
    let out = asker.out;
    if let Some(game) = game {
        let found = one(&game)?.ok_or_else(|| find::nobody_knows(&game))?;
        show(asker, &found, &game)?;
        return Ok(Exit::Done);
    }
    let mut nothing = 0u64;
    for game in snapshot.games.iter().filter(|g| g.downloaded || g.installed) {
        match one(&game.id) {
            Ok(Some(found)) => show(asker, &found, &game.id)?,
            Ok(None) => nothing += 1,
            // One game that cannot be told hides no other.
            Err(error) if out.is_json() => out.json(&serde_json::json!({ "game": game.id, "error": error }))?,
            Err(error) => out.talk(&format!("{}: {}", game.id, error.message)),
        }
    }
    if nothing > 0 && !out.is_json() {
        out.talk(&format!("of {}, nothing says where saves lie", crate::render::count(nothing, "game")));
    }
    Ok(Exit::Done)
}

fn show(asker: &Asker<'_>, found: &Found, game: &GameId) -> Result<(), Failure> {
    let view = found.view(game);
    if asker.out.is_json() {
        return asker.out.json(&view);
    }
    view.lines().iter().try_for_each(|line| asker.out.text(line))
}

pub(super) async fn add(asker: &mut Asker<'_>, data_dir: &Path, args: SavesAddArgs) -> Result<Exit, Failure> {
    let at = asker.at(&args.which).await?;
    let snapshot = asker.snapshot().await?;
    let games_dir = PathBuf::from(&snapshot.me.games_dir);
    let game = find::game_of(&snapshot, &at.game);
    let prefix = absolute(&args.found)?;
    let mut asked = asked(&args.found, prefix.as_deref());
    if let Some(own) = find::own_manifest(&games_dir, &game.id).filter(|_| !asked.with_own) {
        let path = shown(&own.display().to_string());
        if args.yes || !prompt::is_possible(asker.out) {
            asker.out.talk(&format!("{path} is left aside; --own-manifest has it believed"));
        } else {
            let question =
                format!("{game} brings its own list of where saves lie, {path}; believe it?", game = game.id);
            asked.with_own = prompt::confirm(&question).await?;
        }
    }
    let known = find::known(data_dir, &games_dir, &game, &asked)?.ok_or_else(|| find::nobody_knows(&game.id))?;
    let found = find::locate(&games_dir, &game.id, known, &asked)?;
    let view = found.view(&game.id);
    if asker.out.is_json() {
        asker.out.json(&serde_json::json!({ "found": view }))?;
    } else {
        view.lines().iter().for_each(|line| asker.out.talk(line));
    }
    if found.roots.roots.is_empty() {
        let text = format!("no place for the saves of {} is known on this machine", game.id);
        let hint = format!("name the path: bonfire saves add {} PATH; or the prefix: --prefix FOLDER", game.id);
        return Err(Report::new(ErrorClass::Refused, "no_place", text).hint(hint).into());
    }
    if !args.yes {
        if !prompt::is_possible(asker.out) {
            let text = format!("the saves of {} are not added without a yes", game.id);
            return Err(Report::new(ErrorClass::Refused, "not_confirmed", text)
                .hint("look at them, then add --yes")
                .into());
        }
        if !prompt::confirm("Keep these in step?").await? {
            asker.out.talk("nothing was added");
            return Ok(Exit::Cancelled);
        }
    }
    let (ignore, programs) = (args.ignore, args.programs);
    let add = SavesCommand::Add { at: at.clone(), roots: found.specs(), ignore, programs };
    changed(asker, &at, add).await
}

fn asked<'a>(args: &'a FoundArgs, prefix: Option<&'a Path>) -> Asked<'a> {
    Asked { title: args.title.as_deref(), prefix, with_config: args.with_config, with_own: args.own_manifest }
}

fn absolute(args: &FoundArgs) -> Result<Option<PathBuf>, Failure> {
    args.prefix.as_deref().map(folders::absolute).transpose()
}
