//! Chunks: the unit of transfer, and how their digests merge into a file's ordinary BLAKE3 hash.
//!
//! A chunk's digest is its BLAKE3 subtree chaining value. A file of one chunk has no subtree apart from its root, so
//! there the digest *is* the file's hash. Source of the tree rules: the BLAKE3 paper, section 2.1, and `blake3::hazmat`.

use blake3::Hasher;
use blake3::hazmat::{HasherExt as _, Mode, merge_subtrees_non_root, merge_subtrees_root};

use crate::ids::Digest;

/// Bytes in a chunk (4 MiB). A power of two of at least 1 KiB, as BLAKE3 subtrees demand.
pub const CHUNK_LEN: u64 = 4 << 20;

/// How many chunks a file of `size` bytes has. An empty file has one chunk of no bytes, so that "every chunk verified"
/// means the same for every file.
#[must_use]
pub const fn chunk_count(size: u64) -> u32 {
    let n = if size == 0 { 1 } else { size.div_ceil(CHUNK_LEN) };
    // MANIFEST_SIZE_MAX bounds a file to 2^40 bytes, which is 2^18 chunks; a file beyond 2^54 bytes saturates.
    #[expect(clippy::cast_possible_truncation, reason = "saturated just above")]
    let count = if n > u32::MAX as u64 { u32::MAX } else { n as u32 };
    count
}

/// Offset and length in bytes of chunk `index` of a file of `size` bytes, or `None` when out of range.
#[must_use]
pub const fn chunk_span(size: u64, index: u32) -> Option<(u64, u64)> {
    if index >= chunk_count(size) {
        return None;
    }
    let start = index as u64 * CHUNK_LEN;
    let rest = size - start;
    Some((start, if rest < CHUNK_LEN { rest } else { CHUNK_LEN }))
}

/// Hashes one chunk piece by piece while its bytes are hot.
#[derive(Debug, Clone)]
pub struct ChunkHasher {
    inner: Hasher,
    is_root: bool,
}

impl ChunkHasher {
    /// A hasher for chunk `index` of a file of `size` bytes.
    #[must_use]
    pub fn new(size: u64, index: u32) -> Self {
        let mut inner = Hasher::new();
        let is_root = chunk_count(size) == 1;
        if !is_root {
            inner.set_input_offset(u64::from(index) * CHUNK_LEN);
        }
        Self { inner, is_root }
    }

    /// Adds bytes. In all no more than the chunk's length may be added.
    pub fn update(&mut self, bytes: &[u8]) -> &mut Self {
        self.inner.update(bytes);
        self
    }

    /// The chunk's digest.
    #[must_use]
    pub fn finish(&self) -> Digest {
        Digest(if self.is_root { *self.inner.finalize().as_bytes() } else { self.inner.finalize_non_root() })
    }
}

/// The digest of a whole chunk in memory.
#[must_use]
pub fn chunk_hash(size: u64, index: u32, bytes: &[u8]) -> Digest {
    let mut h = ChunkHasher::new(size, index);
    h.update(bytes);
    h.finish()
}

/// The file's BLAKE3 hash from all its chunk digests in order, or `None` when there are none.
#[must_use]
pub fn merge_chunk_hashes(hashes: &[Digest]) -> Option<Digest> {
    match hashes {
        [] => None,
        [only] => Some(*only),
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            Some(Digest(*merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()))
        }
    }
}

fn subtree(hashes: &[Digest]) -> [u8; 32] {
    match hashes {
        [only] => only.0,
        more => {
            let (left, right) = more.split_at(left_len(more.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// BLAKE3 fills from the left: the left subtree holds the largest power of two that leaves something to the right.
const fn left_len(n: usize) -> usize {
    n.next_power_of_two() / 2
}
