//! Randomness as data: one seed at the start, and from it every id and code that has to be unpredictable.
//!
//! The same seed gives the same sequence, so that a simulated room replays. A real peer is seeded by the system.

use bonfire_proto::{DeviceEpoch, PlayerId};
use uuid::Uuid;

/// The sequence that follows from a seed: BLAKE3 keyed with it, in counter mode.
#[derive(Clone)]
pub struct Entropy {
    key: [u8; 32],
    taken: u64,
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entropy").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Entropy {
    /// The sequence of a seed, which must be fresh from the system and kept from everyone.
    #[must_use]
    pub const fn new(seed: [u8; 32]) -> Self {
        Self { key: seed, taken: 0 }
    }

    /// The next bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        self.taken += 1;
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.taken.to_be_bytes());
        let mut out = [0; N];
        hasher.finalize_xof().fill(&mut out);
        out
    }

    /// The id of a new player.
    pub fn player(&mut self) -> PlayerId {
        PlayerId(self.uuid())
    }

    /// A new life of this device.
    pub fn epoch(&mut self) -> DeviceEpoch {
        DeviceEpoch(self.uuid())
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.bytes()).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_replays_and_never_repeats_itself() {
        let (mut a, mut b, mut other) = (Entropy::new([1; 32]), Entropy::new([1; 32]), Entropy::new([2; 32]));
        let mut seen = BTreeSet::new();
        for _ in 0..1_000 {
            let bytes: [u8; 16] = a.bytes();
            assert_eq!(bytes, b.bytes::<16>());
            assert_ne!(bytes, other.bytes::<16>());
            assert!(seen.insert(bytes));
        }
        assert_eq!(a.player().0.get_version_num(), 4);
    }
}
