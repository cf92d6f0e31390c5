//! The methods of compression within zip archives.
//!
//! Owns which are read: stored, deflate, deflate64 (what Windows itself writes for large files), bzip2 and zstd. Each takes
//! bounded memory whatever its input says. LZMA, XZ and PPMd in zip, which only one tool writes, are refused by name.

use std::io::{self, BufRead, Read};

use crate::limits::ZSTD_WINDOW_LOG_MAX;

/// A method, by its number in a zip header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflate,
    Deflate64,
    Bzip2,
    Zstd,
}

impl Method {
    /// # Errors
    /// What a method that is not read is called.
    pub(super) fn of(number: u16) -> Result<Self, String> {
        Ok(match number {
            0 => Self::Stored,
            8 => Self::Deflate,
            9 => Self::Deflate64,
            12 => Self::Bzip2,
            93 => Self::Zstd,
            14 => return Err("LZMA in zip".to_owned()),
            95 => return Err("xz in zip".to_owned()),
            98 => return Err("PPMd in zip".to_owned()),
            99 => return Err("an encrypted entry of WinZip".to_owned()),
            other => return Err(format!("method {other} of zip")),
        })
    }

    /// Decodes `from`. What is left of it afterwards does not belong to the entry.
    ///
    /// # Errors
    /// When the decoder cannot be made.
    pub(super) fn decode<'a>(self, from: &'a mut (dyn BufRead + 'a)) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Stored => Box::new(from),
            Self::Deflate => Box::new(flate2::bufread::DeflateDecoder::new(from)),
            Self::Deflate64 => Box::new(deflate64::Deflate64Decoder::with_buffer(from)),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(from)),
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(from)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        })
    }
}
