//! Every bound on what an archive may make of a disk, in one place, each with the reason for its number.
//!
//! Owns the numbers. What is counted is what comes out, never what a header says; a header that says more than a bound is
//! refused before anything is read, and one that says less is found out when more comes.

use serde::{Deserialize, Serialize};

/// Most files and folders of one request: the largest games known have about 150,000 files.
pub const ENTRIES_MAX: u64 = 400_000;
/// Most bytes of one file (256 GiB): the largest single files of games are packed assets of some 100 GiB.
pub const FILE_MAX: u64 = 256 << 30;
/// Most bytes of all files of one request: the largest game that Bonfire transfers.
pub const TOTAL_MAX: u64 = bonfire_proto::limits::MANIFEST_SIZE_MAX;
/// Most bytes out for each byte of archive. Games come to 2, texts to 20, and a table that is mostly zeros to some 100.
pub const RATIO_MAX: u64 = 200;
/// Bytes that an archive may give whatever its ratio (1 GiB): a small archive of one padded file is no attack, and a disk
/// that takes the game takes that much.
pub const RATIO_FLOOR: u64 = 1 << 30;
/// Largest dictionary or window that a decoder may ask for (1 GiB): repacks use up to that, ordinary tools 128 MiB.
pub const DICTIONARY_MAX: u64 = 1 << 30;
/// Largest window of zstd, as a power of two (128 MiB): what the ordinary tool itself unpacks without being told to.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Most bytes of headers (a directory of names) that are read of one archive: 400,000 names of 160 bytes.
pub const HEADER_MAX: u64 = 64 << 20;
/// Most bytes of names of all entries of one request: the same names, whatever the format says of its headers.
pub const NAMES_MAX: u64 = 64 << 20;
/// Longest block of attributes before one entry of a tar archive. A path of 1,024 bytes needs a hundredth of it.
pub const TAR_EXTENSION_MAX: u64 = 256 << 10;
/// Most bytes after the end mark of a tar archive, which have to be zeros: records of any usual blocking factor.
pub const TAR_PADDING_MAX: u64 = 16 << 20;
/// Address space of the child (4 GiB): the largest dictionary twice, as some decoders keep it, and room for the rest.
pub const ADDRESS_SPACE: u64 = 4 << 30;
/// Time of processor that the child may use (six hours): 256 GiB at the 15 MB/s of the slowest method. It ends a loop that
/// never gives anything, which no bound on output can see.
pub const CPU_SECONDS: u64 = 6 * 3600;
/// Open files of the child.
pub const OPEN_FILES: u64 = 512;
/// Bytes of output after which a cancel is looked for and progress is told.
pub const STEP: usize = 1 << 20;

/// What one request may use. `Default` is what the constants say; a caller may ask for less, such as the free space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most files and folders.
    pub entries: u64,
    /// Most bytes of one file.
    pub file_bytes: u64,
    /// Most bytes of all files.
    pub total_bytes: u64,
    /// Most bytes out for each byte of an archive, beyond `ratio_floor`.
    pub ratio: u64,
    /// Bytes that an archive may give whatever its ratio.
    pub ratio_floor: u64,
    /// Largest dictionary in bytes.
    pub dictionary_bytes: u64,
    /// Most bytes of headers of one archive.
    pub header_bytes: u64,
    /// Most bytes of names of all entries.
    pub names_bytes: u64,
    /// Address space of the child in bytes.
    pub address_space: u64,
    /// Seconds of processor time of the child.
    pub cpu_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: ENTRIES_MAX,
            file_bytes: FILE_MAX,
            total_bytes: TOTAL_MAX,
            ratio: RATIO_MAX,
            ratio_floor: RATIO_FLOOR,
            dictionary_bytes: DICTIONARY_MAX,
            header_bytes: HEADER_MAX,
            names_bytes: NAMES_MAX,
            address_space: ADDRESS_SPACE,
            cpu_seconds: CPU_SECONDS,
        }
    }
}

impl Limits {
    /// Most bytes that an archive of `len` bytes may give.
    #[must_use]
    pub fn output_of(&self, len: u64) -> u64 {
        len.saturating_mul(self.ratio).max(self.ratio_floor)
    }
}
