//! What can go wrong between two peers, each naming whom it concerns and what was being done.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bonfire_engine::ErrorClass;
use bonfire_proto::frame::FrameError;
use bonfire_proto::{CloseCode, PeerId};

use crate::connection::ClosedBecause;
use crate::tls::CertificateError;

/// The other end of a connection, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// The identity that its certificate proved.
    pub peer: PeerId,
    /// The address it is seen at.
    pub addr: SocketAddr,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {} at {}", self.peer.short(), self.addr)
    }
}

/// Any failure of this crate. Display is a fragment without its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// The identity file could not be read or written.
    #[error("cannot {doing} the identity file {}", path.display())]
    IdentityIo {
        /// The file.
        path: PathBuf,
        /// A verb: read, write ..
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// The identity file is there and is not an identity. It is never replaced by itself: other peers know this peer by it.
    #[error(
        "the identity file {} is damaged ({why}); restore it from a backup, or move it away to become a new peer that has to be paired again",
        path.display()
    )]
    IdentityCorrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Key or certificate could not be made.
    #[error("cannot {doing}: {why}")]
    Crypto {
        /// What was being done.
        doing: &'static str,
        /// What the library says.
        why: String,
    },
    /// The listening socket could not be opened.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The wanted address.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// This endpoint was closed.
    #[error("the endpoint is closed")]
    EndpointClosed,
    /// The address cannot be dialled at all (port 0, address family missing).
    #[error("cannot dial {addr}: {why}")]
    Undialable {
        /// The address.
        addr: SocketAddr,
        /// Why.
        why: String,
    },
    /// Nobody answered, or the TLS handshake failed.
    #[error("no connection with {addr}: {because}")]
    Handshake {
        /// The address.
        addr: SocketAddr,
        /// What ended it.
        because: ClosedBecause,
    },
    /// The handshake did not end in time.
    #[error("no connection with {addr} within {} s", limit.as_secs_f32())]
    HandshakeTimeout {
        /// The address.
        addr: SocketAddr,
        /// The limit.
        limit: Duration,
    },
    /// The certificate is none that a peer has.
    #[error("certificate of {addr} is not a peer's")]
    Certificate {
        /// The address.
        addr: SocketAddr,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// Somebody else than expected answered.
    #[error("{addr} is peer {} and not the expected one", proven.short())]
    WrongIdentity {
        /// The address.
        addr: SocketAddr,
        /// Who answered, proven by its certificate.
        proven: PeerId,
    },
    /// The connection ended.
    #[error("connection with {who} ended while {doing}: {because}")]
    Lost {
        /// The other end.
        who: Who,
        /// What was being done.
        doing: &'static str,
        /// What ended it.
        because: ClosedBecause,
    },
    /// No byte moved within the limit.
    #[error("{who} made no progress for {} s while {doing}", limit.as_secs_f32())]
    Stalled {
        /// The other end.
        who: Who,
        /// What was being done.
        doing: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The other side gave up on this stream.
    #[error("{who} gave up while {doing}: {}", code.map_or("without a known reason", CloseCode::text))]
    GaveUp {
        /// The other end.
        who: Who,
        /// What was being done.
        doing: &'static str,
        /// Its reason.
        code: Option<CloseCode>,
    },
    /// A stream ended inside a frame or before the bytes that were announced.
    #[error("{who} ended the stream too early while {doing}")]
    Truncated {
        /// The other end.
        who: Who,
        /// What was being done.
        doing: &'static str,
    },
    /// A frame was no message. After `TooLong` the stream is over; after any other the next frame can be read.
    #[error("bad frame from {who} while {doing}")]
    Frame {
        /// The other end.
        who: Who,
        /// What was being done.
        doing: &'static str,
        /// What is wrong with it.
        source: FrameError,
    },
    /// A message of ours does not fit into a frame.
    #[error("message for {who} does not fit into a frame")]
    Unsendable {
        /// The other end.
        who: Who,
        /// Why.
        source: FrameError,
    },
    /// Discovery does not work.
    #[error("cannot {doing} over mDNS: {why}")]
    Discovery {
        /// What was being done.
        doing: &'static str,
        /// What the library says.
        why: String,
    },
    /// This crate was used against its rules.
    #[error("BUG: {0}")]
    Misuse(&'static str),
}

impl NetError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::IdentityIo { .. } | Self::Bind { .. } | Self::Discovery { .. } => ErrorClass::Environment,
            Self::IdentityCorrupt { .. } => ErrorClass::Corruption,
            Self::Handshake { .. } | Self::HandshakeTimeout { .. } | Self::Undialable { .. } => ErrorClass::Unreachable,
            Self::EndpointClosed => ErrorClass::Cancelled,
            Self::Certificate { .. }
            | Self::WrongIdentity { .. }
            | Self::Lost { .. }
            | Self::Stalled { .. }
            | Self::GaveUp { .. }
            | Self::Truncated { .. }
            | Self::Frame { .. } => ErrorClass::Remote,
            Self::Crypto { .. } | Self::Unsendable { .. } | Self::Misuse(_) => ErrorClass::Bug,
        }
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Handshake { .. }
            | Self::HandshakeTimeout { .. }
            | Self::Lost { .. }
            | Self::Stalled { .. }
            | Self::GaveUp { .. }
            | Self::Truncated { .. }
            | Self::Discovery { .. } => true,
            Self::IdentityIo { .. }
            | Self::IdentityCorrupt { .. }
            | Self::Bind { .. }
            | Self::EndpointClosed
            | Self::Undialable { .. }
            | Self::Certificate { .. }
            | Self::WrongIdentity { .. }
            | Self::Frame { .. }
            | Self::Crypto { .. }
            | Self::Unsendable { .. }
            | Self::Misuse(_) => false,
        }
    }
}
