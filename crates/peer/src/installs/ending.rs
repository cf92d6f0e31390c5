//! How a step of an install that did not happen is told.
//!
//! Owns what may be called undone: only that of which nothing is left. Why it failed, and what to do about it, is `errors`'.

use bonfire_disk::install::{InstallError, Staging};
use bonfire_engine::Report;
use bonfire_engine::input::{InstallReport, OpOutcome};
use bonfire_proto::GameId;

use super::errors;
use crate::download::Stop;

/// An install that did not happen.
#[derive(Debug)]
pub(super) enum Unfinished {
    /// All is as it was before.
    Undone(Stop),
    /// Something of it is there still, and the next start sees to it.
    Left(Report),
}

impl Unfinished {
    /// What the disk made of it.
    pub(super) fn of(error: &InstallError) -> Self {
        let report = errors::install(error);
        if matches!(error, InstallError::NotUndone { .. }) { Self::Left(report) } else { Self::Undone(report.into()) }
    }

    /// For who has one way to fail.
    pub(super) fn into_stop(self) -> Stop {
        match self {
            Self::Undone(stop) => stop,
            Self::Left(report) => Stop::Failed(report),
        }
    }
}

impl From<Stop> for Unfinished {
    fn from(stop: Stop) -> Self {
        Self::Undone(stop)
    }
}

impl From<Report> for Unfinished {
    fn from(report: Report) -> Self {
        Self::Undone(report.into())
    }
}

/// Undoes what was begun.
pub(super) fn give_up(staging: Staging, game: &GameId, why: Stop) -> Unfinished {
    match staging.abort() {
        Ok(()) => Unfinished::Undone(why),
        Err(left) => Unfinished::Left(errors::not_undone(game, &why, &left)),
    }
}

/// What the engine is told.
pub(super) fn outcome(ended: Result<InstallReport, Unfinished>, is_cancelled: bool) -> OpOutcome {
    match ended {
        Ok(report) => OpOutcome::Installed(report),
        Err(Unfinished::Undone(Stop::Cancelled)) => OpOutcome::Undone,
        // A cancel wins over whatever else went wrong while it was on its way.
        Err(Unfinished::Undone(_)) if is_cancelled => OpOutcome::Undone,
        Err(Unfinished::Undone(Stop::Failed(error) | Stop::Anew(error)) | Unfinished::Left(error)) => {
            OpOutcome::Failed { error, resumable: false }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use bonfire_disk::GamesFolder;

    use super::*;

    #[test]
    fn a_cancel_that_leaves_something_behind_is_a_failure_that_says_what() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("doom");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("version.ini"), "1").unwrap();
        let (folder, game) = (GamesFolder::open(dir.path()).unwrap(), GameId::new("doom").unwrap());
        let told = |staging| outcome(Err(give_up(staging, &game, Stop::Cancelled)), true);
        assert!(matches!(told(folder.begin_install(&game).unwrap()), OpOutcome::Undone));
        let staging = folder.begin_install(&game).unwrap();
        // Nobody can read what was begun any more.
        std::fs::remove_file(root.join(".lanspread.json")).unwrap();
        std::fs::create_dir(root.join(".lanspread.json")).unwrap();
        let OpOutcome::Failed { error, .. } = told(staging) else { panic!("it is told as undone") };
        assert_eq!(error.code, "not_undone");
        assert!(root.join(".local.installing").exists() && error.message.contains(".lanspread.json"), "{error:?}");
    }

    #[test]
    fn a_cancel_wins_over_what_went_wrong_only_where_all_is_as_before() {
        let why = || Report::new(bonfire_engine::ErrorClass::Environment, "disk", "the disk failed");
        let of = |unfinished, is_cancelled| outcome(Err(unfinished), is_cancelled);
        assert!(matches!(of(why().into(), true), OpOutcome::Undone));
        assert!(matches!(of(why().into(), false), OpOutcome::Failed { .. }));
        assert!(matches!(of(Unfinished::Left(why()), true), OpOutcome::Failed { .. }));
    }
}
