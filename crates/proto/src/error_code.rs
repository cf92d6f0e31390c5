//! Codes of the wire's `error` frame.

use serde::{Deserialize, Serialize};

/// What kind of refusal an `error` frame is. Unknown codes from newer peers read as `Internal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame's `type` is not known here.
    Unsupported,
    /// A field is missing or malformed.
    BadRequest,
    /// A size, count or length is over its limit.
    TooLarge,
    /// No such game, path or chunk.
    NotFound,
    /// It exists but cannot be served yet (not hashed, being changed).
    NotReady,
    /// An operation is active, or the peer has too much to do.
    Busy,
    /// The asker may not have it.
    Forbidden,
    /// What was asked for is not what is here (manifest differs).
    Conflict,
    /// An overwrite echoed a head that is not the newest.
    StaleConflict,
    /// Protocol versions differ.
    Version,
    /// The serving side failed.
    #[serde(other)]
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::Unsupported,
        Self::BadRequest,
        Self::TooLarge,
        Self::NotFound,
        Self::NotReady,
        Self::Busy,
        Self::Forbidden,
        Self::Conflict,
        Self::StaleConflict,
        Self::Version,
        Self::Internal,
    ];

    /// Whether asking the same peer again later may succeed.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::NotReady | Self::Busy | Self::Internal)
    }
}
