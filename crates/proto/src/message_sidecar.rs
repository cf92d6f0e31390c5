//! Messages about pictures that are attached to snapshots: who has which, and the bytes of one.
//!
//! Which picture a snapshot has is a record of the shared log (`picture`); here pictures are named by their BLAKE3 hash alone.

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, PlayerId};
use crate::limits::{SIDECARS_PER_DIGEST_MAX, SIDECARS_PER_QUERY_MAX};
use crate::message::bound;

/// Which pictures of a player's snapshots the sender has: all of them when a connection stands, in as many messages as it
/// takes, and then what changed. Nothing is said while there is nothing to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AvailabilityDigest {
    /// Whose snapshots.
    pub player_id: PlayerId,
    /// Whether what the sender said before over this connection no longer counts.
    pub is_anew: bool,
    /// Pictures that the sender has, by hash; with `lacks` at most 1,024.
    pub has: Vec<Digest>,
    /// Pictures that it has no longer.
    pub lacks: Vec<Digest>,
}

/// Asks which of these pictures the other side has. Answered by `sidecar_answer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarQuery {
    /// Whose snapshots.
    pub player_id: PlayerId,
    /// Which pictures, by hash, from 1 to 256.
    pub hashes: Vec<Digest>,
}

/// Those of the pictures asked for that are here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SidecarAnswer {
    /// Whose snapshots.
    pub player_id: PlayerId,
    /// Which, by hash; at most 256.
    pub has: Vec<Digest>,
}

/// Asks for a picture. Answered by one `chunk` frame and then exactly its bytes (`index` 0, `hash` the BLAKE3 of the whole),
/// or `error` `not_found`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSidecar {
    /// Whose snapshot it is attached to.
    pub player_id: PlayerId,
    /// Which.
    pub hash: Digest,
}

impl AvailabilityDigest {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.has.len() <= SIDECARS_PER_DIGEST_MAX, "has")?;
        bound(self.lacks.len() <= SIDECARS_PER_DIGEST_MAX - self.has.len(), "lacks")
    }
}

impl SidecarQuery {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound((1..=SIDECARS_PER_QUERY_MAX).contains(&self.hashes.len()), "hashes")
    }
}

impl SidecarAnswer {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.has.len() <= SIDECARS_PER_QUERY_MAX, "has")
    }
}
