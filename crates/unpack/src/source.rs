//! The bytes of an archive, wherever they lie: one file, or several that are one after the other.
//!
//! Reading names its offset, so threads share one handle each with a place of its own. Refuses to know what the bytes
//! mean.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use bonfire_disk::fs::FsFile;

/// Bytes of an archive read at once: large enough that calls do not count, small enough for a cache.
pub(crate) const READ_BUFFER: usize = 256 << 10;

/// Something with bytes at offsets.
pub trait Bytes: Send + Sync {
    /// Reads into the buffer; 0 only at the end.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl Bytes for Box<dyn FsFile> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        (**self).read_at(buf, offset)
    }
}

impl Bytes for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Files one after the other, with a place to read from. A clone has a place of its own, at the beginning.
pub struct Source {
    parts: Arc<[(Arc<dyn Bytes>, u64)]>,
    len: u64,
    at: u64,
}

impl Source {
    /// Of files and their lengths.
    #[must_use]
    pub fn new(parts: Vec<(Arc<dyn Bytes>, u64)>) -> Self {
        let len = parts.iter().fold(0u64, |sum, (_, len)| sum.saturating_add(*len));
        Self { parts: parts.into(), len, at: 0 }
    }

    /// Of bytes in memory.
    #[must_use]
    pub fn of_bytes(bytes: Vec<u8>) -> Self {
        let len = bytes.len() as u64;
        Self::new(vec![(Arc::new(bytes), len)])
    }

    /// Length of all of it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads at an offset, within one part.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn read_at(&self, buf: &mut [u8], mut offset: u64) -> io::Result<usize> {
        for (bytes, len) in self.parts.iter() {
            if offset < *len {
                let room = usize::try_from(*len - offset).unwrap_or(usize::MAX).min(buf.len());
                return bytes.read_at(&mut buf[..room], offset);
            }
            offset -= len;
        }
        Ok(0)
    }

    /// Fills the buffer.
    ///
    /// # Errors
    /// `UnexpectedEof`, and whatever the disk reports.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset.saturating_add(done as u64)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// The first bytes, as many as there are up to `len`.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn head(&self, len: usize) -> io::Result<Vec<u8>> {
        let mut head = vec![0; len.min(usize::try_from(self.len).unwrap_or(len))];
        self.read_exact_at(&mut head, 0)?;
        Ok(head)
    }

    /// A reader of a range, in large steps.
    pub(crate) fn range(&self, from: u64, len: u64) -> io::Take<BufReader<Self>> {
        self.range_by(from, len, READ_BUFFER)
    }

    /// As `range`, at most `step` bytes at once.
    pub(crate) fn range_by(&self, from: u64, len: u64, step: usize) -> io::Take<BufReader<Self>> {
        let buffer = usize::try_from(len).unwrap_or(step).clamp(512, step);
        BufReader::with_capacity(buffer, Self { at: from, ..self.clone() }).take(len)
    }
}

impl Clone for Source {
    fn clone(&self) -> Self {
        Self { parts: Arc::clone(&self.parts), len: self.len, at: 0 }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("parts", &self.parts.len()).field("len", &self.len).finish_non_exhaustive()
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.read_at(buf, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
