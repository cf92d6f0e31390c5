//! Folders: there, writable, with space left.

use std::path::{Path, PathBuf};

use bonfire_engine::Snapshot;

use super::Check;
use crate::render::size;

/// Below this many free bytes (1 GiB) hardly any game fits.
const FREE_MIN: u64 = 1 << 30;

/// Looks at the data folder and the games folder.
pub(super) fn checks(data_dir: &Path, snapshot: Option<&Snapshot>) -> Vec<Check> {
    let mut checks = vec![writable("data_folder", data_dir)];
    let games_dir = snapshot.map_or_else(|| data_dir.join("games"), |s| PathBuf::from(&s.me.games_dir));
    if snapshot.is_none() && !games_dir.is_dir() {
        checks.push(Check::skipped("games_folder", games_dir.display().to_string(), "no peer has run here yet"));
        return checks;
    }
    checks.push(writable("games_folder", &games_dir));
    checks.push(space(&games_dir));
    checks
}

fn writable(check: &'static str, dir: &Path) -> Check {
    let subject = dir.display().to_string();
    match std::fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return Check::failed(check, subject, "it is not a folder", "move the file away or name another folder");
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound && check == "data_folder" => {
            return Check::skipped(check, subject, "it is not there yet; bonfire run makes it");
        }
        Err(e) => {
            let hint = "mount the disk or make the folder, and start the peer with its --games-dir";
            return Check::failed(check, subject, e.to_string(), hint);
        }
    }
    // A hidden name is never a game, and a unique one is never someone else's file.
    match tempfile::Builder::new().prefix(".bonfire-doctor-").tempfile_in(dir) {
        Ok(file) => match file.close() {
            Ok(()) => Check::ok(check, subject, "can be written to"),
            Err(e) => {
                Check::failed(check, subject, format!("a file in it cannot be removed: {e}"), "check its permissions")
            }
        },
        Err(e) => {
            let hint = "give the user that runs bonfire the right to write there, or name another folder";
            Check::failed(check, subject, format!("cannot be written to: {e}"), hint)
        }
    }
}

fn space(dir: &Path) -> Check {
    let subject = dir.display().to_string();
    match fs4::available_space(dir) {
        Ok(free) if free >= FREE_MIN => Check::ok("free_space", subject, format!("{} free", size(free))),
        Ok(free) => Check::failed(
            "free_space",
            subject,
            format!("only {} free", size(free)),
            "remove games that nobody plays (bonfire remove GAME) or use a larger disk",
        ),
        Err(e) => Check::failed("free_space", subject, format!("cannot be asked: {e}"), "check that the disk is there"),
    }
}
