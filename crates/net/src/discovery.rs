//! What peers announce and hear of each other, whatever carries it. All of it is a hint; only a handshake proves.

use std::net::SocketAddr;

use bonfire_proto::{LibraryEpoch, PeerId};

use crate::error::NetError;

/// What this peer says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Who.
    pub peer_id: PeerId,
    /// Port of its listener.
    pub port: u16,
    /// Protocol version that it speaks.
    pub proto_ver: u32,
    /// Revision of its library.
    pub library_rev: u64,
    /// Epoch of that revision.
    pub library_epoch: LibraryEpoch,
    /// A neutral label such as `bonfire-1a2b3c4d`; never a person's name, and a machine's name only when its owner says
    /// so. At most 63 bytes.
    pub hostname: String,
}

/// What was heard. `Found` comes again whenever anything in it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiscoveryEvent {
    /// Somebody says that this peer is there.
    Found {
        /// Who, unproven.
        peer_id: PeerId,
        /// Addresses of its listener, sorted, at most 16.
        addrs: Vec<SocketAddr>,
        /// Protocol version.
        proto_ver: u32,
        /// Revision of its library.
        library_rev: u64,
        /// Epoch of that revision.
        library_epoch: LibraryEpoch,
        /// Its label, cleaned.
        hostname: String,
    },
    /// The announcement was taken back or ran out.
    Lost {
        /// Who.
        peer_id: PeerId,
    },
    /// Discovery does not work at the moment, for people: why. It keeps trying.
    Failed(String),
    /// Discovery works again after `Failed`.
    Works,
}

/// A way to announce this peer. What is heard comes on a channel that was given at the start.
pub trait Discovery: Send + Sync {
    /// Announces, in place of what was announced before. The same again costs nothing.
    ///
    /// # Errors
    /// When it cannot be announced now; it is announced as soon as it can be.
    fn announce(&self, announcement: &Announcement) -> Result<(), NetError>;

    /// Takes the announcement back and stops listening.
    fn shutdown(&self);
}
