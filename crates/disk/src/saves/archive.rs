//! What is in a zip archive, as one hash: two archives of the same files are one content, however they were packed.
//!
//! Believes nothing that the archive says of itself: entries and bytes are counted as they come out. An archive that is
//! damaged, encrypted, too large or ambiguous has no such hash and counts as a plain file.

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Seek, SeekFrom};

use bonfire_proto::Digest;
use bonfire_proto::save::archive_hash;

use crate::fs::FsFile;

/// Most entries.
pub(super) const ENTRIES_MAX: usize = 65_536;
/// Most bytes that come out of all of them: 4 GiB take some ten seconds.
pub(super) const EXPANDED_MAX: u64 = 4 << 30;
/// Most bytes of the archive read to find its entries: a few hundred for each. It bounds the memory they take.
const DIRECTORY_MAX: u64 = 32 << 20;

/// Whether a file that begins so may be an archive.
pub(super) fn may_be(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04")
}

/// The hash of what is in an archive; `None` when it has none and the file counts as plain.
///
/// # Errors
/// The disk's alone.
pub(super) fn hash(file: &dyn FsFile, len: u64) -> io::Result<Option<Digest>> {
    let source = Source::new(file, len, DIRECTORY_MAX);
    let found = entries(&source);
    match source.into_failure() {
        Some(e) => Err(e),
        None => Ok(found.map(archive_hash)),
    }
}

fn entries(source: &Source<'_>) -> Option<Vec<(Vec<u8>, u64, Digest)>> {
    let mut archive = zip::ZipArchive::new(source).ok()?;
    if archive.has_duplicate_names() || archive.len() > ENTRIES_MAX {
        return None;
    }
    let mut budget = EXPANDED_MAX;
    let mut out = Vec::new();
    let mut buf = vec![0; 64 << 10];
    for number in 0..archive.len() {
        source.lift_bound();
        let mut entry = archive.by_index(number).ok()?;
        if entry.is_dir() {
            continue;
        }
        let (mut hasher, mut size) = (blake3::Hasher::new(), 0u64);
        loop {
            let n = entry.read(&mut buf).ok()?;
            if n == 0 {
                break;
            }
            size += n as u64;
            budget = budget.checked_sub(n as u64)?;
            hasher.update(&buf[..n]);
        }
        out.push((entry.name_raw().to_vec(), size, Digest(*hasher.finalize().as_bytes())));
    }
    Some(out)
}

/// A file as the zip crate reads it, within a bound, keeping what the disk reports apart from what the archive does.
pub(super) struct Source<'a> {
    file: &'a dyn FsFile,
    len: u64,
    at: Cell<u64>,
    left: Cell<u64>,
    failed: RefCell<Option<io::Error>>,
}

impl<'a> Source<'a> {
    /// A source of which at most `bound` bytes are read until the bound is lifted.
    pub(super) fn new(file: &'a dyn FsFile, len: u64, bound: u64) -> Self {
        Self { file, len, at: Cell::new(0), left: Cell::new(bound), failed: RefCell::new(None) }
    }

    pub(super) fn lift_bound(&self) {
        self.left.set(u64::MAX);
    }

    /// What the disk reported.
    pub(super) fn into_failure(self) -> Option<io::Error> {
        self.failed.into_inner()
    }
}

impl Read for &Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.file.read_at(buf, self.at.get()) {
            Ok(n) => n,
            Err(e) => {
                let kind = e.kind();
                if kind != io::ErrorKind::Interrupted {
                    *self.failed.borrow_mut() = Some(e);
                }
                return Err(kind.into());
            }
        };
        let left = self.left.get().checked_sub(n as u64);
        self.left.set(left.ok_or_else(|| io::Error::other("too much to read for a list of entries"))?);
        self.at.set(self.at.get() + n as u64);
        Ok(n)
    }
}

impl Seek for &Source<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.get().checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        self.at.set(at);
        Ok(at)
    }
}
