//! What a file of an install was when it was looked at, so that a later look tells whether anybody touched it.
//!
//! Length and time of last change alone do not: a program can set the time back, and tools that patch files do.

use crate::fs::Meta;

/// A file as it was seen, as exactly as the system tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactStamp {
    /// Bytes.
    pub size: u64,
    /// Time of last change in nanoseconds since 1970, as programs may set it.
    pub mtime_ns: i64,
    /// Its number in its file system; 0 where the platform does not tell.
    pub inode: u64,
    /// When anything of it changed last, its names included, which no program sets; 0 where the platform does not tell.
    pub ctime_ns: i64,
}

impl ExactStamp {
    pub(super) fn of(meta: &Meta) -> Self {
        Self { size: meta.len, mtime_ns: meta.mtime_ns, inode: meta.inode, ctime_ns: meta.ctime_ns }
    }

    /// Whether it is the same file with the same length and time, whatever names it got or lost meanwhile.
    pub(super) fn is_but_for_names(&self, other: &Self) -> bool {
        Self { ctime_ns: other.ctime_ns, ..*self } == *other
    }
}
