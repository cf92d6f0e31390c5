//! Errors of installs as reports: what to do about them.

use bonfire_disk::DiskError;
use bonfire_disk::install::InstallError;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::{GameId, RelPath};
use bonfire_unpack::{UnpackError, error::Why};

use super::guard;
use crate::download::Stop;
use crate::errors::{self, chain};

/// Files that a message names.
const NAMED: usize = 10;

pub(super) fn install(error: &InstallError) -> Report {
    if let InstallError::Disk(error) = error {
        return errors::disk(error);
    }
    let report = Report::new(error.class(), error.code(), chain(error));
    let report = match error {
        InstallError::CannotCarry { .. } => report.hint("take them out of the install, then ask again"),
        InstallError::InUse { .. } => report.hint(guard::QUIT),
        InstallError::CannotDelete { .. } => {
            report.hint("delete it or take it out of the install by hand, then ask again")
        }
        _ => report,
    };
    if error.is_retryable() { report.retryable() } else { report }
}

pub(super) fn uninstall(game: &GameId, error: &InstallError) -> Report {
    let InstallError::PlayersFiles { count, files, .. } = error else { return install(error) };
    let named: Vec<String> = files.iter().take(NAMED).map(ToString::to_string).collect();
    let more = count.saturating_sub(named.len() as u64);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let what = if *count == 1 { "a file that is not".to_owned() } else { format!("{count} files that are not") };
    let text = format!("{game} has {what} as installed: {}{more}", named.join(", "));
    Report::new(ErrorClass::Refused, error.code(), text)
        .hint(format!("to delete them too: `bonfire uninstall {game} --force`"))
}

/// A file was written to after its game's saves were brought into history, which may not hold it.
pub(super) fn not_saved(game: &GameId, path: &RelPath) -> Report {
    let text = format!("{path} of {game} was written to since its saves were kept, and nothing was taken away");
    Report::new(ErrorClass::Refused, "save_not_kept", text).hint("quit the game, then ask again").retryable()
}

/// It was given up, and something of what it had begun is there still.
pub(super) fn not_undone(game: &GameId, why: &Stop, left: &InstallError) -> Report {
    let why = match why {
        Stop::Cancelled => "it was cancelled",
        Stop::Failed(error) | Stop::Anew(error) => &error.message,
    };
    let left = chain(left);
    let text = format!("{game}: {why}; what was begun could not be undone ({left}), and the next start sees to it");
    Report::new(ErrorClass::Environment, "not_undone", text)
}

/// The install is gone, and something of it is not.
pub(super) fn left_behind(game: &GameId, error: &DiskError) -> Report {
    let text = format!("{game} is uninstalled, but something of it could not be deleted: {}", chain(error));
    Report::new(ErrorClass::Environment, "left_behind", text)
        .hint("see what keeps it from being deleted; the next start deletes the rest")
}

pub(super) fn mend(error: &InstallError) -> Report {
    match error {
        InstallError::NotAsUnpacked { .. } => Report::new(ErrorClass::Environment, error.code(), chain(error)).hint(
            "another version is downloaded than the one that is installed; put it in place with `bonfire update`",
        ),
        _ => install(error),
    }
}

pub(super) fn unpack(error: &UnpackError) -> Report {
    let report = Report::new(error.class(), error.code(), error.to_string());
    let report = match &error.why {
        Why::Io { full: true, .. } => report.hint("free some space on the disk of the games folder, then ask again"),
        Why::Encrypted => report.hint("ask whoever packed it for an archive without a password"),
        Why::PartMissing(_) => report.hint("fetch the game again, or add the missing part"),
        Why::Checksum | Why::Truncated | Why::Size { .. } | Why::Format(_) | Why::Contradiction(_) => {
            report.hint("see whether it is what the room has with `bonfire verify`")
        }
        _ => report,
    };
    if error.is_retryable() { report.retryable() } else { report }
}
