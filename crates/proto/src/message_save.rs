//! Messages that carry saves: snapshots by id, and the objects that they are made of.
//!
//! Whoever asks names what it wants; nothing is sent that was not asked for. What a peer does not hold it leaves out, so
//! that a device that has only a part can give that part.

use serde::{Deserialize, Serialize};

use crate::ids::{PlayerId, SnapshotId};
use crate::limits::{OBJECT_LEN_MAX, OBJECTS_PER_REQUEST_MAX, SNAPSHOT_LEN_MAX, SNAPSHOTS_PER_REQUEST_MAX};
use crate::message::bound;
use crate::save::ObjectRef;

/// Asks for snapshots. Answered by `snapshots` frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetSnapshots {
    /// Whose. A snapshot of another player is one that is not held.
    pub player_id: PlayerId,
    /// Which, from 1 to 256.
    pub ids: Vec<SnapshotId>,
}

/// Snapshots that were asked for, as exactly the text that is their identity. Those that are not held are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotsMsg {
    /// The texts, each at most 256 KiB; BLAKE3 of a text is the snapshot's id.
    pub snapshots: Vec<String>,
    /// Whether another frame follows.
    pub has_more: bool,
}

/// Asks for objects. Answered by, for each that is held and in the order asked, a `chunk` frame and then exactly its bytes:
/// `index` is the position in this list, `hash` the object's BLAKE3. Those that are not held are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetObjects {
    /// Whose. An object that belongs to no snapshot of this player is one that is not held.
    pub player_id: PlayerId,
    /// The snapshot that needs them; it has to be held by who is asked.
    pub snapshot_id: SnapshotId,
    /// Which, from 1 to 256.
    pub objects: Vec<ObjectRef>,
}

impl GetSnapshots {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound((1..=SNAPSHOTS_PER_REQUEST_MAX).contains(&self.ids.len()), "ids")
    }
}

impl SnapshotsMsg {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound(self.snapshots.len() <= SNAPSHOTS_PER_REQUEST_MAX, "snapshots")?;
        bound(self.snapshots.iter().all(|s| s.len() <= SNAPSHOT_LEN_MAX), "snapshots")
    }
}

impl GetObjects {
    /// Checks the bounds that the types alone do not express.
    ///
    /// # Errors
    /// The name of the field that is out of bounds.
    pub fn check(&self) -> Result<(), &'static str> {
        bound((1..=OBJECTS_PER_REQUEST_MAX).contains(&self.objects.len()), "objects")?;
        bound(self.objects.iter().all(|o| (1..=OBJECT_LEN_MAX).contains(&o.len)), "objects")
    }
}
