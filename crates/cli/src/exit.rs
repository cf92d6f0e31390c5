//! The one place where an error becomes an exit code and reaches a person (`error:`, `hint:`) or a script (one JSON
//! object). Decides nothing about what is an error.

use bonfire_engine::{ErrorClass, Report};
use serde::Serialize;

use crate::render::{Out, Tone};

/// Exit codes of the program; scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done: 0.
    Done,
    /// It failed (another peer, the disk, a bug): 1.
    Failed,
    /// The command line makes no sense: 2.
    Usage,
    /// Understood and turned down: 3.
    Refused,
    /// No peer is running, or it cannot be reached: 4.
    Unreachable,
    /// No such game, peer or file: 5.
    NotFound,
    /// Someone cancelled it: 130.
    Cancelled,
    /// What a game that was played ended with.
    Game(i32),
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> i32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Unreachable => 4,
            Self::NotFound => 5,
            Self::Cancelled => 130,
            Self::Game(code) => code,
        }
    }

    /// The exit for a class of error.
    pub(crate) const fn of(class: ErrorClass) -> Self {
        match class {
            ErrorClass::Refused => Self::Refused,
            ErrorClass::NotFound => Self::NotFound,
            ErrorClass::Unreachable => Self::Unreachable,
            ErrorClass::Cancelled => Self::Cancelled,
            ErrorClass::Remote | ErrorClass::Environment | ErrorClass::Corruption | ErrorClass::Bug => Self::Failed,
        }
    }
}

/// Why a command ends without being done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong in a way that only the command can see.
    Usage {
        /// What is wrong.
        message: String,
        /// What to write instead.
        hint: String,
    },
    /// An error from the peer or from this program.
    Report(Report),
    /// Nobody reads our output any more; nothing is left to say.
    OutputClosed,
}

impl From<Report> for Failure {
    fn from(report: Report) -> Self {
        Self::Report(report)
    }
}

/// An error as scripts see it on stdout.
#[derive(Serialize)]
struct ErrorLine<'a> {
    error: ErrorBody<'a>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    hint: &'a str,
}

/// Says what went wrong and returns how to exit.
pub(crate) fn explain(out: &Out, failure: &Failure) -> Exit {
    let (code, message, hint, exit) = match failure {
        Failure::Usage { message, hint } => ("usage", message, hint, Exit::Usage),
        Failure::Report(r) => (r.code.as_str(), &r.message, &r.hint, Exit::of(r.class)),
        Failure::OutputClosed => return Exit::Failed,
    };
    if out.is_json() {
        // A closed stdout changes nothing about the exit code.
        if out.json(&ErrorLine { error: ErrorBody { code, message, hint } }).is_err() {}
    }
    out.say(Tone::Error, "error:", message);
    if !hint.is_empty() {
        out.say(Tone::Hint, "hint:", hint);
    }
    exit
}

#[cfg(test)]
mod tests {
    use super::Exit;
    use bonfire_engine::ErrorClass;

    #[test]
    fn every_class_has_the_exit_code_of_the_contract() {
        let codes: Vec<i32> = [
            ErrorClass::Remote,
            ErrorClass::Environment,
            ErrorClass::Corruption,
            ErrorClass::Bug,
            ErrorClass::Refused,
            ErrorClass::Unreachable,
            ErrorClass::NotFound,
            ErrorClass::Cancelled,
        ]
        .into_iter()
        .map(|c| Exit::of(c).code())
        .collect();
        assert_eq!(codes, [1, 1, 1, 1, 3, 4, 5, 130]);
        assert_eq!((Exit::Done.code(), Exit::Usage.code()), (0, 2));
    }
}
