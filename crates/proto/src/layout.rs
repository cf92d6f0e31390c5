//! Numbering of a manifest's chunks, and the bitmap over them.
//!
//! The chunks of all files, in manifest order, are counted through from 0: that number is what a bitmap bit, a journal
//! record and the wire's `have` mean.

use serde::{Deserialize, Serialize};

use crate::chunk::chunk_count;
use crate::game::ManifestFile;

/// Where each file's chunks begin in the numbering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkLayout {
    /// First number of each file, and one past the last chunk at the end: `files + 1` entries.
    starts: Vec<u32>,
}

/// One chunk by file and index within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkRef {
    /// Index of the file in the manifest.
    pub file: u32,
    /// Index of the chunk in the file.
    pub chunk: u32,
}

impl ChunkLayout {
    /// The layout of these files. At most `MANIFEST_SIZE_MAX` bytes and `MANIFEST_FILES_MAX` files make under 2^19
    /// chunks, so the numbers cannot overflow for a checked manifest; they saturate otherwise.
    #[must_use]
    pub fn new(files: &[ManifestFile]) -> Self {
        let mut starts = Vec::with_capacity(files.len() + 1);
        let mut next = 0u32;
        starts.push(next);
        for f in files {
            next = next.saturating_add(chunk_count(f.size));
            starts.push(next);
        }
        Self { starts }
    }

    /// Number of chunks in all.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Number of files.
    #[must_use]
    pub fn files(&self) -> u32 {
        u32::try_from(self.starts.len() - 1).unwrap_or(u32::MAX)
    }

    /// The number of a chunk, or `None` when the file or chunk does not exist.
    #[must_use]
    pub fn number(&self, at: ChunkRef) -> Option<u32> {
        let start = *self.starts.get(at.file as usize)?;
        let end = *self.starts.get(at.file as usize + 1)?;
        start.checked_add(at.chunk).filter(|n| *n < end)
    }

    /// The chunk with this number.
    #[must_use]
    pub fn locate(&self, number: u32) -> Option<ChunkRef> {
        if number >= self.total() {
            return None;
        }
        // Every file has at least one chunk, so the starts are strictly increasing.
        let file = self.starts.partition_point(|s| *s <= number) - 1;
        Some(ChunkRef { file: u32::try_from(file).ok()?, chunk: number - self.starts[file] })
    }

    /// First number and count of a file's chunks.
    #[must_use]
    pub fn range(&self, file: u32) -> Option<std::ops::Range<u32>> {
        Some(*self.starts.get(file as usize)?..*self.starts.get(file as usize + 1)?)
    }
}

/// A set of chunk numbers below a fixed length.
#[derive(Clone, PartialEq, Eq)]
pub struct ChunkBitmap {
    words: Vec<u64>,
    len: u32,
    ones: u32,
}

impl ChunkBitmap {
    /// The empty set of numbers below `len`.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self { words: vec![0; (len as usize).div_ceil(64)], len, ones: 0 }
    }

    /// How many numbers there are to hold.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is nothing to hold.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many are in the set.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.ones
    }

    /// Whether all are in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether a number is in the set; false beyond its length.
    #[must_use]
    pub fn get(&self, number: u32) -> bool {
        number < self.len && self.words[number as usize / 64] & (1 << (number % 64)) != 0
    }

    /// Adds a number. Returns whether it is new; a number beyond the length is not added.
    pub fn set(&mut self, number: u32) -> bool {
        if number >= self.len || self.get(number) {
            return false;
        }
        self.words[number as usize / 64] |= 1 << (number % 64);
        self.ones += 1;
        true
    }

    /// Takes a number out. Returns whether it was in.
    pub fn clear(&mut self, number: u32) -> bool {
        if !self.get(number) {
            return false;
        }
        self.words[number as usize / 64] &= !(1 << (number % 64));
        self.ones -= 1;
        true
    }

    /// The numbers in the set, rising.
    pub fn ones(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|n| self.get(*n))
    }

    /// The numbers below the length that are not in the set, rising.
    pub fn zeros(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len).filter(|n| !self.get(*n))
    }
}

impl std::fmt::Debug for ChunkBitmap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChunkBitmap({} of {})", self.ones, self.len)
    }
}
