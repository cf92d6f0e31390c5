//! What can go wrong while two devices pair, each naming whom with.

use bonfire_engine::ErrorClass;
use bonfire_proto::ErrorCode;
use bonfire_proto::limits::PAIR_FRAME_LEN_MAX;
use bonfire_proto::message_pair::PairRefusal;

use super::exchange::Broken;
use crate::error::{NetError, Who};

/// Why a pairing did not come about. Display is a fragment without its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PairError {
    /// The connection or the stream.
    #[error("the pairing broke off")]
    Net(#[from] NetError),
    /// The exchange failed here; the other side was told so.
    #[error("no pairing with {who}: {source}")]
    Broken {
        /// The other end.
        who: Who,
        /// Why.
        source: Broken,
    },
    /// The other side refused.
    #[error("{who} refused to pair: {}", text(*reason))]
    Refused {
        /// The other end.
        who: Who,
        /// Its reason.
        reason: PairRefusal,
    },
    /// The other side does not know this kind of pairing.
    #[error("{who} answered {code:?} instead of pairing: {message}")]
    NotUnderstood {
        /// The other end.
        who: Who,
        /// Its code.
        code: ErrorCode,
        /// Its words, cleaned.
        message: String,
    },
    /// A message that has no place where it came.
    #[error("{who} sent {kind} out of turn while pairing")]
    OutOfTurn {
        /// The other end.
        who: Who,
        /// Type of the message.
        kind: &'static str,
    },
    /// A frame over the bound of a pairing.
    #[error("{who} sent a frame of {len} bytes while pairing, over the limit of {PAIR_FRAME_LEN_MAX}")]
    TooLong {
        /// The other end.
        who: Who,
        /// Bytes of the frame.
        len: usize,
    },
}

impl PairError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Net(e) => e.class(),
            Self::Broken { .. } | Self::Refused { .. } => ErrorClass::Refused,
            Self::NotUnderstood { .. } | Self::OutOfTurn { .. } | Self::TooLong { .. } => ErrorClass::Remote,
        }
    }

    /// Whether the same may succeed later without anyone changing anything. A wrong code is not: it has to be typed again.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            // Each attempt is counted, so none is repeated by itself.
            Self::Net(_)
            | Self::Broken { .. }
            | Self::NotUnderstood { .. }
            | Self::OutOfTurn { .. }
            | Self::TooLong { .. } => false,
            Self::Refused { reason, .. } => reason.is_retryable(),
        }
    }
}

const fn text(reason: PairRefusal) -> &'static str {
    match reason {
        PairRefusal::NoCode => "it shows no code now",
        PairRefusal::Busy => "another pairing is under way there",
        PairRefusal::WrongCode => "the codes differ, or somebody stands between the two devices",
        PairRefusal::Version => "it speaks another version of the pairing protocol",
        PairRefusal::SamePart => "both devices invite, or both want to join",
        PairRefusal::OtherRole => "the device belongs to the player in another role already",
        PairRefusal::NotAllowed => "it may not invite to that player",
        PairRefusal::Full => "there are too many players or devices",
        PairRefusal::Failed => "it could not go on",
    }
}
