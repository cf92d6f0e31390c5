//! How the devices of one player come to agree without a leader: a clock, a log of shared changes, what the log adds up
//! to, and state that only its owner changes.
//!
//! Every device keeps the same set of entries in the end, in whatever order they came, and the records are a function of
//! that set alone. Pure: what has to be durable is handed out, and the caller makes it durable before it sends or shows
//! anything that came of it. Knows neither connections nor trust: who may speak here was settled before.

pub mod clock;
pub mod log;
pub mod model;
pub mod records;
pub mod registry;
pub mod replica;
pub mod state;

use bonfire_proto::message_sync::{SharedEntry, Watermark};
use bonfire_proto::{DeviceEpoch, Hlc, PeerId};

/// One life of a device: what it counts, it counts within its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Life {
    /// The device.
    pub device: PeerId,
    /// The life of its database.
    pub epoch: DeviceEpoch,
}

impl Life {
    /// Who wrote an entry.
    #[must_use]
    pub fn of(entry: &SharedEntry) -> Self {
        Self { device: entry.device_id, epoch: entry.device_epoch }
    }

    /// The position of this life's entries as it is told to others.
    #[must_use]
    pub fn at(self, seq: u64) -> Watermark {
        Watermark { device_id: self.device, device_epoch: self.epoch, seq }
    }
}

impl From<Watermark> for Life {
    fn from(mark: Watermark) -> Self {
        Self { device: mark.device_id, epoch: mark.device_epoch }
    }
}

/// Which of two changes is the later one: their time, and for a device that lost its clock with its database also the life
/// and position. No two entries have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Time of the change.
    pub hlc: Hlc,
    /// Life of its author.
    pub epoch: DeviceEpoch,
    /// Position in that life.
    pub seq: u64,
}

impl Stamp {
    /// When an entry was written.
    #[must_use]
    pub fn of(entry: &SharedEntry) -> Self {
        Self { hlc: entry.hlc, epoch: entry.device_epoch, seq: entry.seq }
    }
}
