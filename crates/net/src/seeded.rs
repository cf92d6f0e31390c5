//! Connection ids from a seed: with them and a seeded endpoint, a simulation sends the same packets every time.

use quinn::{ConnectionId, ConnectionIdGenerator};
use std::time::Duration;

const CID_LEN: usize = 8;

/// The next state and output of SplitMix64.
pub(crate) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 32 bytes from a seed.
pub(crate) fn bytes_of(mut seed: u64) -> [u8; 32] {
    let mut out = [0u8; 32];
    for part in out.chunks_exact_mut(8) {
        part.copy_from_slice(&split_mix(&mut seed).to_le_bytes());
    }
    out
}

/// Connection ids in a fixed order.
pub(crate) struct SeededCids(pub(crate) u64);

impl ConnectionIdGenerator for SeededCids {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&split_mix(&mut self.0).to_le_bytes())
    }

    fn cid_len(&self) -> usize {
        CID_LEN
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
