//! gzip, xz, zstd and bzip2 around a tar archive, and around any other file, which is then no archive.
//!
//! Owns the decoders of whole streams and what they may take. All of them check what they decoded, so a stream is read
//! to its end.

use std::io::{self, Read};

use super::{Came, pipe, tar};
use crate::error::{UnpackError, Why};
use crate::format::{Format, is_tar};
use crate::limits::{Limits, ZSTD_WINDOW_LOG_MAX};
use crate::policy::Archive;
use crate::source::Source;

/// Everything out of a compressed tar archive.
///
/// # Errors
/// What is wrong with it.
pub(super) fn extract(archive: &Archive, format: Format, source: &Source) -> Result<Came, UnpackError> {
    let decoder = decoder(format, source, archive.limits()).map_err(|e| archive.error(Why::of_decoder(&e)))?;
    pipe::through(decoder, |stream| {
        let mut head = Vec::with_capacity(512);
        let first = stream.take(512).read_to_end(&mut head);
        if is_tar(&head) || is_empty_tar(&head) {
            tar::extract(archive, &mut head.as_slice().chain(stream))?;
            return Ok(Came::Out);
        }
        match first {
            // A damaged beginning might have been a tar archive's.
            Err(e) => Err(archive.error(Why::of_decoder(&e))),
            Ok(_) => Ok(Came::Plain),
        }
    })
}

/// A tar archive of nothing is its end mark.
fn is_empty_tar(head: &[u8]) -> bool {
    head.len() == 512 && head.iter().all(|b| *b == 0)
}

fn decoder(format: Format, source: &Source, limits: &Limits) -> io::Result<Box<dyn Read + Send>> {
    let bytes = source.range(0, source.len());
    Ok(match format {
        Format::TarGz => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
        Format::TarXz => {
            let kib = u32::try_from(limits.dictionary_bytes >> 10).unwrap_or(u32::MAX);
            Box::new(lzma_rust2::XzReader::new_mem_limit(bytes, true, kib))
        }
        Format::TarZst => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        Format::TarBz2 => Box::new(bzip2::bufread::MultiBzDecoder::new(bytes)),
        _ => return Err(io::Error::other("BUG: no compressed stream")),
    })
}
