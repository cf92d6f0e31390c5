//! gzip, xz, zstd and bzip2 around a tar archive, and around any other file, which is then no archive.
//!
//! Owns the decoders of whole streams and what they may take. All of them check what they decoded, so a stream is read
//! to its end.

use std::io::{self, BufRead, Read};

use liblzma::bufread::XzDecoder;
use liblzma::stream::{Error as XzError, MtStreamBuilder};

use super::{Came, pipe, tar};
use crate::error::{DictionaryTooLarge, UnpackError, Why};
use crate::format::{Format, is_tar};
use crate::limits::{Limits, ZSTD_WINDOW_LOG_MAX};
use crate::policy::Archive;
use crate::source::Source;

/// Blocks of an xz stream decoded beside each other, where it says how long they are.
const XZ_THREADS: u32 = 2;
/// What the xz decoder takes besides its dictionary (1 MiB, by far).
const XZ_STATE: u64 = 1 << 20;

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
            let dictionary = limits.dictionary_bytes;
            Box::new(XzStreams { now: Some(xz(bytes, dictionary)?), dictionary })
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

/// What an xz file holds: streams, one after the other.
struct XzStreams<R> {
    /// The stream that is read; none after the last.
    now: Option<XzDecoder<R>>,
    /// Bytes of dictionary that a decoder may take.
    dictionary: u64,
}

impl<R: BufRead> Read for XzStreams<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.now {
            let n = decoder.read(buf).map_err(|e| out_of_memory(e, self.dictionary))?;
            if n > 0 || buf.is_empty() {
                return Ok(n);
            }
            let rest = self.now.take().map(XzDecoder::into_inner).map(padded).transpose()?.flatten();
            self.now = rest.map(|rest| xz(rest, self.dictionary)).transpose()?;
        }
        Ok(0)
    }
}

/// A decoder of one stream. Blocks that do not fit in memory beside each other are decoded one after the other.
fn xz<R: BufRead>(bytes: R, dictionary: u64) -> io::Result<XzDecoder<R>> {
    let memory = dictionary.saturating_add(XZ_STATE);
    let mut builder = MtStreamBuilder::new();
    let decoder = builder.threads(XZ_THREADS).memlimit_threading(memory).memlimit_stop(memory).decoder()?;
    Ok(XzDecoder::new_stream(bytes, decoder))
}

/// The same, of a kind that tells what the matter was.
fn out_of_memory(e: io::Error, dictionary: u64) -> io::Error {
    match e.get_ref().and_then(|e| e.downcast_ref()) {
        Some(XzError::MemLimit) => io::Error::new(io::ErrorKind::OutOfMemory, DictionaryTooLarge(dictionary)),
        Some(XzError::Mem) => io::ErrorKind::OutOfMemory.into(),
        _ => e,
    }
}

/// The next stream, behind the zeros that may lie between two: four at a time, by the format.
fn padded<R: BufRead>(mut rest: R) -> io::Result<Option<R>> {
    let mut zeros = 0u64;
    loop {
        let here = rest.fill_buf()?;
        let (len, some) = (here.len(), here.iter().take_while(|b| **b == 0).count());
        rest.consume(some);
        zeros += some as u64;
        if len == 0 || some < len {
            let is_over = len == 0;
            return match zeros % 4 {
                0 => Ok((!is_over).then_some(rest)),
                _ => {
                    Err(io::Error::new(io::ErrorKind::InvalidData, "zeros behind a stream of xz that are not in fours"))
                }
            };
        }
    }
}
