//! The one form in which an error reaches a person or a script: code, class, message, hint.

use serde::{Deserialize, Serialize};

/// Who can do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The asker: the request was understood and turned down (conflict, not in catalog, busy). Exit code 3.
    Refused,
    /// The asker: no such game, peer, operation. Exit code 5.
    NotFound,
    /// No peer is running, or it cannot be reached. Exit code 4.
    Unreachable,
    /// Another peer: gone, timed out, refused, broke the protocol. Exit code 1.
    Remote,
    /// The machine: disk full, permission, file in use. Exit code 1.
    Environment,
    /// Nobody without looking: a hash or a journal does not fit. Never retried by itself. Exit code 1.
    Corruption,
    /// Nobody: someone cancelled it. Exit code 130.
    Cancelled,
    /// Us. Exit code 1.
    Bug,
}

/// An error as it is shown, sent as a reply, or put into an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Report {
    /// Stable word for scripts, in snake_case: `not_in_catalog`, `no_space` ..
    pub code: String,
    /// Who can do something about it.
    pub class: ErrorClass,
    /// Whether the same request may succeed later without anyone changing anything.
    pub retryable: bool,
    /// What happened, naming the path, game or peer.
    pub message: String,
    /// The next thing to try; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Report {
    /// A report that is not retryable and has no hint.
    #[must_use]
    pub fn new(class: ErrorClass, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), class, retryable: false, message: message.into(), hint: String::new() }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, marked as worth a retry.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }
}
