//! One request that is outstanding, and which of its chunks came.

use bonfire_proto::PeerId;

use super::Span;
use crate::time::Instant;

#[derive(Debug, Clone)]
pub(super) struct Outstanding {
    pub(super) peer: PeerId,
    pub(super) span: Span,
    /// Number of the first chunk in the layout.
    pub(super) number: u32,
    /// Bit for each chunk that came.
    pub(super) came: u64,
    /// Bytes that arrived.
    pub(super) bytes: u64,
    pub(super) begun: Instant,
    pub(super) moved: Instant,
}

impl Outstanding {
    pub(super) fn numbers(&self) -> std::ops::Range<u32> {
        self.number..self.number + self.span.count
    }

    pub(super) fn has_come(&self, number: u32) -> bool {
        self.came & (1 << (number - self.number)) != 0
    }

    pub(super) fn awaited(&self) -> impl Iterator<Item = u32> + '_ {
        self.numbers().filter(|n| !self.has_come(*n))
    }
}
