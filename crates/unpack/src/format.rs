//! Which kind of archive a file is, told by how it begins, never by its name.
//!
//! Owns the marks of the formats and what the first bytes of a RAR file say of its place in a set. Decodes nothing: a file
//! packed with gzip, xz, zstd or bzip2 is only known to be one, and what is in it the reader finds out.

use serde::{Deserialize, Serialize};

/// First bytes of a file that are needed to tell: a tar header is one block.
pub const HEAD_LEN: usize = 512;

/// A kind of archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// RAR 1.5 to 4, RAR 5 and 7; what `.eti` is.
    Rar,
    /// zip, zip64 too.
    Zip,
    /// 7z.
    SevenZ,
    /// tar as it is.
    Tar,
    /// tar in gzip.
    TarGz,
    /// tar in xz.
    TarXz,
    /// tar in zstd.
    TarZst,
    /// tar in bzip2.
    TarBz2,
}

impl Format {
    /// What a file that begins with `head` (`HEAD_LEN` bytes, fewer when the file has fewer) is; `None` for no archive.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        const MARKS: &[(&[u8], Format)] = &[
            (b"Rar!\x1a\x07\x00", Format::Rar),
            (b"Rar!\x1a\x07\x01\x00", Format::Rar),
            (b"PK\x03\x04", Format::Zip),
            (b"PK\x05\x06", Format::Zip),
            // A split archive that needed one disk only.
            (b"PK\x30\x30PK\x03\x04", Format::Zip),
            // A split one; it is refused when it is opened.
            (b"PK\x07\x08PK\x03\x04", Format::Zip),
            (b"7z\xbc\xaf\x27\x1c", Format::SevenZ),
            (b"\x1f\x8b\x08", Format::TarGz),
            (b"\xfd7zXZ\x00", Format::TarXz),
            (b"\x28\xb5\x2f\xfd", Format::TarZst),
        ];
        if let Some((_, format)) = MARKS.iter().find(|(mark, _)| head.starts_with(mark)) {
            return Some(*format);
        }
        if head.len() >= 10 && head.starts_with(b"BZh") && matches!(head[3], b'1'..=b'9') && head[4..10] == *b"1AY&SY" {
            return Some(Self::TarBz2);
        }
        is_tar(head).then_some(Self::Tar)
    }

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rar => "RAR",
            Self::Zip => "zip",
            Self::SevenZ => "7z",
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::TarXz => "tar.xz",
            Self::TarZst => "tar.zst",
            Self::TarBz2 => "tar.bz2",
        }
    }

    /// Whether it is a stream in which a tar archive may be, or any other file.
    #[must_use]
    pub fn is_compressed_stream(self) -> bool {
        matches!(self, Self::TarGz | Self::TarXz | Self::TarZst | Self::TarBz2)
    }
}

/// Whether a zip archive begins here that is split over disks.
#[must_use]
pub(crate) fn is_split_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x07\x08")
}

/// Whether a block is the header of a tar entry: by its checksum, since old ones have no mark.
#[must_use]
pub(crate) fn is_tar(block: &[u8]) -> bool {
    if block.len() < 512 || block[0] == 0 {
        return false;
    }
    let header = tar::Header::from_byte_slice(&block[..512]);
    header.cksum().is_ok_and(|said| said == tar_checksum(block))
}

/// The checksum of a header block, its own field counted as spaces.
pub(crate) fn tar_checksum(block: &[u8]) -> u32 {
    let sum = |bytes: &[u8]| bytes.iter().map(|b| u32::from(*b)).sum::<u32>();
    sum(&block[..148]) + sum(&block[156..512]) + 8 * 32
}

/// What the first bytes of a RAR file say of its place in a set of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Its number from 0, when the format says it.
    pub(crate) number: Option<u64>,
    /// Whether it says to be the first.
    pub(crate) is_first: bool,
}

/// The place in a set, when `head` is a RAR file that says it is a volume of one.
pub(crate) fn rar_volume(head: &[u8]) -> Option<Volume> {
    if let Some(rest) = head.strip_prefix(b"Rar!\x1a\x07\x01\x00") {
        // CRC, then numbers of variable length: size, type, flags, length of extras, flags of the archive, number.
        let mut at = rest.get(4..)?;
        let (_size, kind, flags) = (vint(&mut at)?, vint(&mut at)?, vint(&mut at)?);
        if kind != 1 {
            return None;
        }
        if flags & 1 != 0 {
            vint(&mut at)?;
        }
        let archive = vint(&mut at)?;
        if archive & 1 == 0 {
            return None;
        }
        let number = if archive & 2 == 0 { 0 } else { vint(&mut at)? };
        return Some(Volume { number: Some(number), is_first: number == 0 });
    }
    let rest = head.strip_prefix(b"Rar!\x1a\x07\x00")?;
    let flags = u16::from_le_bytes([*rest.get(3)?, *rest.get(4)?]);
    (rest[2] == 0x73 && flags & 1 != 0).then_some(Volume { number: None, is_first: flags & 0x100 != 0 })
}

fn vint(at: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..63).step_by(7) {
        let (&byte, rest) = at.split_first()?;
        *at = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
