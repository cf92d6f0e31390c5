//! The one place where an error becomes an exit code and reaches a person (`error:`, `hint:`) or a script (one JSON
//! object). Decides nothing about what is an error.

use bonfire_engine::{ErrorClass, Report};
use serde::Serialize;

use crate::render::{Out, Tone};

/// Exit codes of the program; scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked is done.
    Done = 0,
    /// It failed: another peer, the disk, a bug.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// Understood and turned down.
    Refused = 3,
    /// No peer is running, or it cannot be reached.
    Unreachable = 4,
    /// No such game, peer or file.
    NotFound = 5,
    /// Someone cancelled it.
    Cancelled = 130,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
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
        let codes: Vec<u8> = [
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
