//! Pictures that are attached to snapshots: which formats there are, how one is told from its bytes, and what names one.
//!
//! Looks at the first bytes and nothing else: no picture is decoded anywhere in Bonfire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::Digest;
use crate::limits::PICTURE_LEN_MAX;

/// In what format a picture is, told by its first bytes and never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PictureFormat {
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// WebP.
    Webp,
}

impl PictureFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Png, Self::Jpeg, Self::Webp];

    /// The format that these bytes begin as; `None` for anything else.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(Self::Png)
        } else if bytes.starts_with(b"\xff\xd8\xff") {
            Some(Self::Jpeg)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(Self::Webp)
        } else {
            None
        }
    }

    /// What its files end in, without the dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Webp => "webp",
        }
    }
}

/// What people call it.
impl fmt::Display for PictureFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Webp => "WebP",
        })
    }
}

/// A picture by what it is: who has these bytes has the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PictureRef {
    /// BLAKE3 of its bytes.
    pub hash: Digest,
    /// Its bytes, 1 to 4,194,304 of them.
    pub len: u32,
    /// Its format.
    pub format: PictureFormat,
}

/// Why bytes are no picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Of none of the formats.
    #[error("it is neither PNG nor JPEG nor WebP")]
    Format,
    /// Longer than a picture may be.
    #[error("it is longer than 4 MiB")]
    TooLong,
}

impl PictureRef {
    /// The picture that these bytes are.
    ///
    /// # Errors
    /// `TooLong`, then `Format`.
    pub fn of(bytes: &[u8]) -> Result<Self, PictureError> {
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= PICTURE_LEN_MAX).ok_or(PictureError::TooLong)?;
        let format = PictureFormat::of(bytes).ok_or(PictureError::Format)?;
        Ok(Self { hash: Digest(*blake3::hash(bytes).as_bytes()), len, format })
    }

    /// Whether its length is one that a picture can have.
    #[must_use]
    pub fn is_legal(&self) -> bool {
        (1..=PICTURE_LEN_MAX).contains(&self.len)
    }

    /// Whether these bytes are this picture.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        Self::of(bytes) == Ok(*self)
    }

    /// The name of its file: hash and format, so that the name alone says what the file should be.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.hash, self.format.extension())
    }

    /// The picture that a file of this name and length should be.
    #[must_use]
    pub fn of_file(name: &str, len: u64) -> Option<Self> {
        let (hash, extension) = name.split_once('.')?;
        let format = PictureFormat::ALL.into_iter().find(|f| f.extension() == extension)?;
        let found = Self { hash: Digest::from_str(hash).ok()?, len: u32::try_from(len).ok()?, format };
        // One name a picture: digits in capitals would be another.
        (found.is_legal() && found.file_name() == name).then_some(found)
    }
}
