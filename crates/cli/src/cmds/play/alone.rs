//! What is known of a game when no peer runs to say it: the games folder of the last one, its catalog, and whether the game
//! is installed in it.
//!
//! Owns the note in the data folder that says which games folder that was. Changes nothing else.

use std::path::{Path, PathBuf};

use bonfire_engine::installs::legal;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;

use super::start::Here;
use crate::cmds::catalog::entries_of;
use crate::cmds::write_whole;
use crate::platform;

/// The note: one line, the path.
const NOTE: &str = "games_dir";

/// Notes which games folder this data folder goes with. A path that is no text is not noted.
///
/// # Errors
/// The disk's.
pub(crate) fn remember_games_dir(data_dir: &Path, games_dir: &Path) -> std::io::Result<()> {
    let note = data_dir.join(NOTE);
    let Some(text) = games_dir.to_str() else {
        return match std::fs::remove_file(note) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    };
    let line = format!("{text}\n");
    if std::fs::read_to_string(&note).is_ok_and(|known| known == line) {
        return Ok(());
    }
    write_whole(&note, line.as_bytes())
}

/// The games folder that the last peer of this data folder used; the default one where that is not known.
fn games_dir(data_dir: &Path) -> Result<PathBuf, Report> {
    let note = data_dir.join(NOTE);
    match std::fs::read_to_string(&note) {
        Ok(line) => Ok(PathBuf::from(line.strip_suffix('\n').unwrap_or(&line))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(data_dir.join("games")),
        Err(e) => Err(unreadable(&note, &e)),
    }
}

/// A game as it lies on the disk.
///
/// # Errors
/// When its folder or the catalog cannot be read.
pub(super) fn here(game: &GameId, data_dir: &Path) -> Result<Here, Report> {
    let games = games_dir(data_dir)?;
    let root = games.join(game.as_str());
    let is = |path: PathBuf, fits: fn(&std::fs::Metadata) -> bool| match path.symlink_metadata() {
        Ok(found) => Ok(fits(&found)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(unreadable(&path, &e)),
    };
    // A game root that is a link is none.
    let is_root = is(root.clone(), std::fs::Metadata::is_dir)?;
    let is_installed = is_root && is(root.join("local"), std::fs::Metadata::is_dir)?;
    let is_downloaded = is_root && is(root.join(bonfire_proto::game::SENTINEL), std::fs::Metadata::is_file)?;
    let entries = match entries_of(&games.join("catalog.json")) {
        Ok(entries) => entries,
        Err(report) if report.class == ErrorClass::NotFound => Vec::new(),
        Err(report) => return Err(report),
    };
    let entry = entries.into_iter().find(|entry| entry.id == *game);
    let mut start = entry.map(|entry| legal(entry.start)).unwrap_or_default();
    Ok(Here {
        game: game.clone(),
        root,
        is_downloaded,
        is_installed,
        command: start.remove(std::env::consts::OS),
        player: platform::host_name().unwrap_or_default(),
    })
}

fn unreadable(path: &Path, e: &std::io::Error) -> Report {
    Report::new(ErrorClass::Environment, "games_folder", format!("cannot read {}: {e}", path.display()))
}
