//! `bonfire saves`: asks the running peer about saves and shows what it says. Decides nothing about them. With `--json` a
//! list prints its items, one a line, and what changes something prints `{"result":REPLY}`.

pub(crate) mod change;
mod compare;
mod conflict;
mod find;
mod found;
mod machines;
#[cfg(test)]
pub(crate) mod made_up;
mod manifest;
mod picture;
pub(crate) mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bonfire_engine::command::{AuditFilter, Placed, Reply, ResolveWith, RootSpec, SaveRef, SavesCommand};
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use serde_json::json;

use super::asker::{Asker, exactly, unfit};
use crate::args::saves::{AuditArgs, HistoryArgs, ResolveArgs, SavesAddArgs, SavesCmd, Which};
use crate::exit::{Exit, Failure};
use crate::folders;
use crate::render::{Out, Tone, brief, count, size};
use crate::when;
use change::{changed, done};
use show::SlotSummary;

pub(crate) async fn run(out: &Out, data_dir: &Path, command: SavesCmd) -> Result<Exit, Failure> {
    // What can be wrong with the command line comes before what can be wrong with the peer.
    let roots = match &command {
        SavesCmd::Add(args) => roots(args)?,
        _ => Vec::new(),
    };
    let command = match command {
        SavesCmd::ImportManifest { from: Some(from), .. } => return manifest::import(out, data_dir, from).await,
        SavesCmd::ImportManifest { from: None, .. } => return manifest::remove(out, data_dir),
        other => other,
    };
    let mut asker = Asker::connect(out, data_dir).await?;
    match command {
        SavesCmd::ImportManifest { .. } => unreachable!("BUG: handled before the peer is asked"),
        SavesCmd::Find { game, found } => found::find(&mut asker, data_dir, game, &found).await,
        SavesCmd::Add(args) if args.paths.is_empty() => found::add(&mut asker, data_dir, args).await,
        SavesCmd::List { game } => list(&mut asker, game.as_ref()).await,
        SavesCmd::Summary { game, player } => summary(&mut asker, &game, player.as_deref()).await,
        SavesCmd::History(args) => history(&mut asker, &args).await,
        SavesCmd::Conflicts { game } => conflicts(&mut asker, game.as_ref()).await,
        SavesCmd::Audit(args) => audit(&mut asker, args).await,
        SavesCmd::Verify { game, slot, player } => {
            let at = match &game {
                Some(game) => Some(asker.line(game, slot, player.as_deref()).await?),
                None => None,
            };
            verify(&mut asker, at).await
        }
        SavesCmd::Compare { which, from, to } => compare::compare(&mut asker, &which, &from, to.as_deref()).await,
        SavesCmd::Export { which, id, to } => export(&mut asker, &which, id.as_deref(), &to).await,
        SavesCmd::Add(args) => {
            let at = asker.at(&args.which).await?;
            let add = SavesCommand::Add { at: at.clone(), roots, ignore: args.ignore, programs: args.programs };
            changed(&mut asker, &at, add).await
        }
        SavesCmd::Push { which, overwrite } => {
            let at = asker.at(&which).await?;
            let overwrite = match overwrite {
                Some(ids) => {
                    let mut shown = BTreeSet::new();
                    for id in ids {
                        shown.insert(asker.version(&at, &id).await?);
                    }
                    Some(shown)
                }
                None => None,
            };
            changed(&mut asker, &at, SavesCommand::Push { at: at.clone(), overwrite }).await
        }
        SavesCmd::Pull { which, optimistic } => {
            let at = asker.at(&which).await?;
            changed(&mut asker, &at, SavesCommand::Pull { at: at.clone(), optimistic }).await
        }
        SavesCmd::Confirm(which) => {
            let at = asker.at(&which).await?;
            changed(&mut asker, &at, SavesCommand::Confirm { at: at.clone() }).await
        }
        SavesCmd::Resolve(args) => {
            let at = asker.at(&args.which).await?;
            let with = resolution(&mut asker, &at, &args).await?;
            changed(&mut asker, &at, SavesCommand::Resolve { at: at.clone(), with }).await
        }
        SavesCmd::Rollback { which, id } => {
            let at = asker.at(&which).await?;
            let to = asker.version(&at, &id).await?;
            changed(&mut asker, &at, SavesCommand::Rollback { at: at.clone(), to }).await
        }
        SavesCmd::Release { which, keep_disk, .. } => {
            let at = asker.at(&which).await?;
            changed(&mut asker, &at, SavesCommand::Release { at: at.clone(), keep_disk }).await
        }
        SavesCmd::Switch { game, slot, player } => {
            let at = asker.line(&game, Some(slot), player.as_deref()).await?;
            changed(&mut asker, &at, SavesCommand::Switch { at: at.clone() }).await
        }
        SavesCmd::Import { which, file, label } => {
            let at = asker.at(&which).await?;
            let file = text(&there(&file)?)?;
            changed(&mut asker, &at, SavesCommand::Import { at: at.clone(), file, label }).await
        }
        SavesCmd::Delete(which) => {
            let at = asker.at(&which).await?;
            done(
                &mut asker,
                &at,
                SavesCommand::Delete { at: at.clone() },
                "is deleted here, and on the other devices as they hear of it; history stays",
            )
            .await
        }
        SavesCmd::Forget(which) => {
            let at = asker.at(&which).await?;
            let text = "is forgotten here; its files and its history stay";
            done(&mut asker, &at, SavesCommand::Forget { at: at.clone() }, text).await
        }
        SavesCmd::Pin { which, id, off } => {
            let at = asker.at(&which).await?;
            let snapshot = asker.version(&at, &id).await?;
            let text = format!("version {} is {}", brief(&snapshot), if off { "pinned no longer" } else { "pinned" });
            done(&mut asker, &at, SavesCommand::Pin { at: at.clone(), snapshot, pinned: !off }, &text).await
        }
        SavesCmd::Note { which, id, text } => {
            let at = asker.at(&which).await?;
            let snapshot = asker.version(&at, &id).await?;
            let said = if text.is_empty() { "has no note any more" } else { "has its note" };
            let said = format!("version {} {said}", brief(&snapshot));
            done(&mut asker, &at, SavesCommand::Note { at: at.clone(), snapshot, text }, &said).await
        }
        SavesCmd::Picture(args) => picture::run(&mut asker, args).await,
        SavesCmd::Retention { which, keep, no_autocleanup } => {
            let at = asker.at(&which).await?;
            let text = if no_autocleanup {
                format!("keeps {} when it is cleaned up; nothing goes by itself", count(u64::from(keep), "version"))
            } else {
                format!("keeps {}", count(u64::from(keep), "version"))
            };
            let retention = SavesCommand::Retention { at: at.clone(), keep, autocleanup: !no_autocleanup };
            done(&mut asker, &at, retention, &text).await
        }
        SavesCmd::RenameSlot { which, name } => {
            let at = asker.at(&which).await?;
            let said =
                if name.is_empty() { "has its plain name again".to_owned() } else { format!("is called {name} now") };
            let rename = SavesCommand::RenameSlot { at: at.clone(), display_name: name };
            done(&mut asker, &at, rename, &said).await
        }
        SavesCmd::Track(which) => {
            let at = asker.at(&which).await?;
            done(&mut asker, &at, SavesCommand::Track { at: at.clone(), tracked: true }, "takes part again").await
        }
        SavesCmd::Untrack(which) => {
            let at = asker.at(&which).await?;
            done(&mut asker, &at, SavesCommand::Track { at: at.clone(), tracked: false }, "is left alone here").await
        }
    }
}

async fn list(asker: &mut Asker<'_>, game: Option<&GameId>) -> Result<Exit, Failure> {
    let snapshot = asker.snapshot().await?;
    let out = asker.out;
    let slots: Vec<_> =
        snapshot.players.iter().flat_map(|p| &p.slots).filter(|s| game.is_none_or(|g| s.game == *g)).collect();
    if out.is_json() {
        slots.iter().try_for_each(|slot| out.json(slot))?;
    } else if snapshot.players.is_empty() {
        out.talk(
            "no player is on this machine yet; make one with: bonfire devices create-player NAME, or join one with: \
                  bonfire devices pair",
        );
    } else if slots.is_empty() {
        out.talk("no saves yet; say where one lies with: bonfire saves add GAME PATH");
    } else {
        out.text(&show::list(&snapshot, game, when::now()))?;
        slots.iter().flat_map(|slot| show::notes(slot)).for_each(|note| out.talk(&note));
        show::elsewhere(&slots).iter().for_each(|note| out.talk(note));
    }
    Ok(Exit::Done)
}

async fn summary(asker: &mut Asker<'_>, game: &GameId, player: Option<&str>) -> Result<Exit, Failure> {
    let player = asker.player(player).await?;
    let snapshot = asker.snapshot().await?;
    let mut slots = Vec::new();
    for slot in snapshot.players.iter().filter(|p| player.is_none_or(|id| p.player == id)).flat_map(|p| &p.slots) {
        if slot.game == *game {
            let versions = asker.history(&exactly(slot)).await?;
            slots.push((&**slot, SlotSummary::new(slot, &versions)));
        }
    }
    if slots.is_empty() {
        return Err(no_save(game).into());
    }
    let out = asker.out;
    if out.is_json() {
        let total: u64 = slots.iter().map(|(_, s)| s.count).sum();
        let slots: Vec<_> = slots.into_iter().map(|(_, summary)| summary).collect();
        out.json(&json!({ "game": game, "total_count": total, "slots": slots }))?;
    } else {
        out.text(&show::summary(&slots, when::now()))?;
        slots.iter().flat_map(|(slot, _)| show::notes(slot)).for_each(|note| out.talk(&note));
    }
    Ok(Exit::Done)
}

fn no_save(game: &GameId) -> Report {
    Report::new(ErrorClass::NotFound, "no_such_save", format!("no save of {game} is known"))
        .hint(format!("say where it lies with: bonfire saves add {game} PATH"))
}

async fn history(asker: &mut Asker<'_>, args: &HistoryArgs) -> Result<Exit, Failure> {
    let at = asker.at(&args.which).await?;
    let versions = asker.history(&at).await?;
    let versions = show::sorted(versions, args.order_by, args.limit);
    let out = asker.out;
    if out.is_json() {
        versions.iter().try_for_each(|version| out.json(version))?;
    } else if versions.is_empty() {
        out.talk(&format!("{}: no version yet", at.game));
    } else {
        out.text(&show::history(&versions, when::now()))?;
    }
    Ok(Exit::Done)
}

async fn conflicts(asker: &mut Asker<'_>, game: Option<&GameId>) -> Result<Exit, Failure> {
    let snapshot = asker.snapshot().await?;
    let out = asker.out;
    let slots = snapshot.players.iter().flat_map(|p| &p.slots).filter(|s| game.is_none_or(|g| s.game == *g));
    let mut found = 0u64;
    for slot in slots.filter(|s| s.standing == Standing::Conflict) {
        let conflict = compare::with_files(asker, slot).await?;
        if out.is_json() {
            out.json(&conflict)?;
        } else {
            if found > 0 {
                out.text("")?;
            }
            conflict.lines(when::now()).iter().try_for_each(|line| out.text(line))?;
        }
        found += 1;
    }
    if found == 0 && !out.is_json() {
        out.talk("no conflicts");
    }
    Ok(Exit::Done)
}

async fn audit(asker: &mut Asker<'_>, args: AuditArgs) -> Result<Exit, Failure> {
    let since = match &args.since {
        Some(text) => Some(when::since(text, when::now()).ok_or_else(|| Failure::Usage {
            message: format!("{text:?} is no time"),
            hint: "give a span (30m, 12h, 7d) or a day (2026-01-31)".to_owned(),
        })?),
        None => None,
    };
    let player = asker.player(args.player.as_deref()).await?;
    let filter =
        AuditFilter { player, game: args.game, slot: args.slot, action: args.action, since, limit: Some(args.limit) };
    let entries = match asker.saves(&"the audit log", SavesCommand::Audit { filter }).await? {
        Reply::Audit { entries } => entries,
        other => return Err(unfit(&other)),
    };
    let out = asker.out;
    if out.is_json() {
        entries.iter().try_for_each(|entry| out.json(entry))?;
    } else if entries.is_empty() {
        out.talk("nothing was written down that fits");
    } else {
        let snapshot = asker.snapshot().await?;
        out.text(&show::audit(&snapshot, &entries))?;
    }
    Ok(Exit::Done)
}

async fn verify(asker: &mut Asker<'_>, at: Option<SaveRef>) -> Result<Exit, Failure> {
    let what = at.as_ref().map_or_else(|| "all saves".to_owned(), |at| at.game.to_string());
    let reply = asker.saves(&what, SavesCommand::Verify { at }).await?;
    let Reply::Verified { versions, bytes, damaged, unread } = &reply else { return Err(unfit(&reply)) };
    let out = asker.out;
    if out.is_json() {
        out.json(&json!({ "result": reply }))?;
    }
    let read = format!("{}, {} read", count(*versions, "version"), size(*bytes));
    unread.iter().for_each(|what| out.talk(&format!("cannot be read: {what}")));
    if damaged.is_empty() && !unread.is_empty() {
        let message = format!("{what}: {read}, {} cannot be read", count(unread.len() as u64, "version"));
        return Err(Report::new(ErrorClass::Environment, "unreadable", message).retryable().into());
    }
    if damaged.is_empty() {
        out.marked(Tone::Good, &what, &format!("whole: {read}"))?;
        return Ok(Exit::Done);
    }
    damaged.iter().for_each(|what| out.talk(&format!("damaged: {what}")));
    let message = format!("{}: {read}, {} damaged", what, damaged.len());
    Err(Report::new(ErrorClass::Corruption, "damaged", message)
        .hint("what is damaged is fetched anew from the other devices as soon as one that has it is connected")
        .into())
}

async fn export(asker: &mut Asker<'_>, which: &Which, id: Option<&str>, to: &Path) -> Result<Exit, Failure> {
    let at = asker.at(which).await?;
    let snapshot = match id {
        Some(id) => Some(asker.version(&at, id).await?),
        None => None,
    };
    let folder = text(&there(to)?)?;
    let reply = asker.saves(&which.game, SavesCommand::Export { at, snapshot, folder }).await?;
    let Reply::Exported { path } = &reply else { return Err(unfit(&reply)) };
    if asker.out.is_json() {
        asker.out.json(&json!({ "result": reply }))?;
    }
    asker.out.text(&crate::render::shown(path))?;
    Ok(Exit::Done)
}

async fn resolution(asker: &mut Asker<'_>, at: &SaveRef, args: &ResolveArgs) -> Result<ResolveWith, Failure> {
    Ok(match &args.use_id {
        Some(id) => ResolveWith::Use(asker.version(at, id).await?),
        None if args.mine => ResolveWith::Mine,
        None if args.theirs => ResolveWith::Theirs,
        None => ResolveWith::Both,
    })
}

/// Where the parts of a save lie, out of `PATH` and `LABEL=PATH`.
fn roots(args: &SavesAddArgs) -> Result<Vec<RootSpec>, Failure> {
    let found = &args.found;
    let is_to_find = found.title.is_some() || found.prefix.is_some() || found.with_config || found.own_manifest;
    if is_to_find && !args.paths.is_empty() {
        return Err(Failure::Usage {
            message: "a path is given, and how to find one".to_owned(),
            hint: "leave out the path, or --title, --prefix, --with-config and --own-manifest".to_owned(),
        });
    }
    let root = |given: &PathBuf| {
        let (label, path) = labelled(given);
        let path = text(&there(&path)?)?;
        let (is_file, include) = (args.file.then_some(true), args.include.clone());
        Ok(RootSpec { label, path, is_file, include, placed: Placed::default() })
    };
    args.paths.iter().map(root).collect()
}

/// The label in front of an equals sign, unless what stands there is part of a path.
fn labelled(given: &Path) -> (Option<String>, PathBuf) {
    let Some((label, path)) = given.to_str().and_then(|text| text.split_once('=')) else {
        return (None, given.to_path_buf());
    };
    if label.is_empty() || label.contains(['/', '\\', '.', ':', '~']) {
        return (None, given.to_path_buf());
    }
    (Some(label.to_owned()), PathBuf::from(path))
}

/// The path as the peer can use it: absolute, and without `..`, which only the disk can tell the meaning of.
fn there(path: &Path) -> Result<PathBuf, Failure> {
    if path.components().any(|part| part == std::path::Component::ParentDir)
        && let Ok(real) = path.canonicalize()
    {
        return Ok(real);
    }
    folders::absolute(path)
}

fn text(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| Failure::Usage {
        message: format!("the path {} is no Unicode text", path.display()),
        hint: "rename it, or name a folder above it".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{labelled, there};

    #[test]
    fn a_label_stands_before_an_equals_sign_and_is_no_path() {
        let read = |text: &str| labelled(Path::new(text));
        assert_eq!(read("config=/home/ann/.q"), (Some("config".to_owned()), PathBuf::from("/home/ann/.q")));
        assert_eq!(read("save=a=b"), (Some("save".to_owned()), PathBuf::from("a=b")));
        for plain in ["/home/ann/a=b", "./a=b", "=x", "saves", r"C:\x=y", "~/a=b"] {
            assert_eq!(read(plain), (None, PathBuf::from(plain)), "{plain}");
        }
    }

    #[test]
    fn relative_paths_are_made_absolute_and_lose_their_dots() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(home.join("a/b")).unwrap();
        assert_eq!(there(&home.join("a/b/../../a")).unwrap(), home.join("a"));
        assert!(there(Path::new("saves")).unwrap().is_absolute());
    }
}
