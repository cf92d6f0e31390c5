//! zip, zip64 too. The crate finds the directory; the entries themselves are read here.
//!
//! A zip archive says everything twice, in its directory and before each entry: what differs is refused, so are entries
//! that share bytes, and a directory that names one file twice. Checksums and sizes are counted on what comes out.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};

use super::decode::Method;
use super::in_parallel;
use crate::error::{UnpackError, Why};
use crate::names::decode_legacy;
use crate::policy::{Admitted, Archive, FileSlot, Header, Kind};
use crate::source::{READ_BUFFER, Source};

/// A zip archive whose directory was read and checked.
pub(super) struct Zip {
    source: Source,
    slots: Vec<(Admitted, Place)>,
}

/// Where the bytes of an entry are, and what they should become.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Of the header before the entry.
    header: u64,
    packed: u64,
    crc: u32,
    method: Method,
}

/// The header before an entry, as far as it has to agree.
struct Local {
    data: u64,
}

impl Zip {
    /// Reads the directory and admits every entry.
    ///
    /// # Errors
    /// What is wrong with it or an entry.
    pub(super) fn open(archive: &Archive, source: &Source) -> Result<Self, UnpackError> {
        let bound = archive.limits().header_bytes;
        let bounded = Bounded { source: source.clone(), left: bound };
        let read = zip::ZipArchive::new(io::BufReader::new(bounded));
        let directory = read.map_err(|e| archive.error(why_of(e, bound)))?;
        let mut zip = Self { source: source.clone(), slots: Vec::new() };
        if directory.has_duplicate_names() {
            return Err(zip.find_duplicate(archive, directory.central_directory_start()));
        }
        let mut ranges = Vec::with_capacity(directory.len());
        for number in 0..directory.len() {
            let entry = directory.by_index_data(number).map_err(|e| archive.error(why_of(e, bound)))?;
            let name = decode_legacy(entry.name_raw());
            let fail = |why| archive.entry_error(&name, why);
            let mode = entry.external_attributes() >> 16;
            let header = Header {
                name: &name,
                kind: kind_of(&name, mode),
                size: Some(entry.size()),
                executable: mode & 0o111 != 0,
            };
            // A name comes first: it says best what is wrong.
            let admitted = archive.admit(&header)?;
            if entry.encrypted() {
                return Err(fail(Why::Encrypted));
            }
            let method = zip.method_of(entry.central_header_start()).map_err(|e| fail(Why::of_decoder(&e)))?;
            let method = Method::of(method).map_err(|what| fail(Why::Unsupported(what)))?;
            let place =
                Place { header: entry.header_start(), packed: entry.compressed_size(), crc: entry.crc32(), method };
            let local = zip.local(&place, entry.name_raw(), entry.size()).map_err(fail)?;
            let end = local.data.checked_add(place.packed).filter(|end| *end <= directory.central_directory_start());
            ranges.push((place.header, end.ok_or_else(|| fail(Why::Truncated))?, number));
            zip.slots.push((admitted, place));
        }
        ranges.sort_unstable();
        if let Some(pair) = ranges.windows(2).find(|pair| pair[0].1 > pair[1].0) {
            let entry = directory.by_index_data(pair[1].2).map_err(|e| archive.error(why_of(e, bound)))?;
            let what = Why::Contradiction("its bytes are those of another entry too".to_owned());
            return Err(archive.entry_error(&decode_legacy(entry.name_raw()), what));
        }
        Ok(zip)
    }

    pub(super) fn into_slots(self) -> Vec<Admitted> {
        self.slots.into_iter().map(|(admitted, _)| admitted).collect()
    }

    /// Everything out of it, independent entries beside each other.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn extract(self, archive: &Archive) -> Result<(), UnpackError> {
        let (mut files, mut folders): (Vec<(FileSlot, Place)>, Vec<_>) = (Vec::new(), Vec::new());
        for (admitted, place) in self.slots {
            match admitted {
                Admitted::File(slot) => files.push((slot, place)),
                Admitted::Folder(path) => folders.push(path),
                Admitted::Root => {}
            }
        }
        folders.iter().try_for_each(|path| archive.make_folder(path))?;
        let source = self.source;
        in_parallel(files.len(), usize::MAX, |number| {
            let (slot, place) = &files[number];
            extract_one(archive, &source, slot.clone(), place)
        })
    }

    /// The method as the directory has it: the crate knows fewer than it reads.
    fn method_of(&self, central: u64) -> io::Result<u16> {
        let mut field = [0; 2];
        self.source.read_exact_at(&mut field, central.saturating_add(10))?;
        Ok(u16::from_le_bytes(field))
    }

    fn local(&self, place: &Place, name: &[u8], size: u64) -> Result<Local, Why> {
        let contradiction = |what: &str| Err(Why::Contradiction(what.to_owned()));
        let mut fixed = [0; 30];
        self.source.read_exact_at(&mut fixed, place.header).map_err(|e| Why::of_decoder(&e))?;
        let (short, long) = (
            |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]),
            |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]),
        );
        if fixed[..4] != *b"PK\x03\x04" {
            return contradiction("no entry is where the directory says");
        }
        let (name_len, extra_len) = (usize::from(short(26)), usize::from(short(28)));
        let mut own = vec![0; name_len];
        let name_at = place.header.saturating_add(30);
        self.source.read_exact_at(&mut own, name_at).map_err(|e| Why::of_decoder(&e))?;
        if own != name {
            return contradiction("it has another name in the directory");
        }
        let flags = short(6);
        if flags & 1 != 0 {
            return Err(Why::Encrypted);
        }
        if Method::of(short(8)).ok() != Some(place.method) {
            return contradiction("it has another method in the directory");
        }
        // With bit 3 the sizes follow the bytes, and these may be zero; in zip64 they stand elsewhere.
        let agrees =
            |here: u32, there: u64| u64::from(here) == there || here == u32::MAX || (flags & 8 != 0 && here == 0);
        if !agrees(long(18), place.packed) || !agrees(long(22), size) {
            return contradiction("it has another size in the directory");
        }
        if !(long(14) == place.crc || (flags & 8 != 0 && long(14) == 0)) {
            return contradiction("it has another checksum in the directory");
        }
        Ok(Local { data: name_at.saturating_add((name_len + extra_len) as u64) })
    }

    /// The name that the directory has twice: the crate tells only that there is one.
    fn find_duplicate(&self, archive: &Archive, directory: u64) -> UnpackError {
        let mut seen = BTreeSet::new();
        let mut at = directory;
        loop {
            let mut fixed = [0; 46];
            if self.source.read_exact_at(&mut fixed, at).is_err() || fixed[..4] != *b"PK\x01\x02" {
                return archive.error(Why::Duplicate);
            }
            let len = |at: usize| usize::from(u16::from_le_bytes([fixed[at], fixed[at + 1]]));
            let mut name = vec![0; len(28)];
            if self.source.read_exact_at(&mut name, at.saturating_add(46)).is_err() {
                return archive.error(Why::Duplicate);
            }
            at = at.saturating_add((46 + len(28) + len(30) + len(32)) as u64);
            if !seen.insert(name.clone()) {
                return archive.entry_error(&decode_legacy(&name), Why::Duplicate);
            }
        }
    }
}

fn extract_one(archive: &Archive, source: &Source, slot: FileSlot, place: &Place) -> Result<(), UnpackError> {
    let mut writer = archive.create(slot)?;
    let mut fixed = [0; 4];
    let lens = place.header.saturating_add(26);
    source.read_exact_at(&mut fixed, lens).map_err(|e| writer.error(Why::of_decoder(&e)))?;
    let variable =
        u64::from(u16::from_le_bytes([fixed[0], fixed[1]])) + u64::from(u16::from_le_bytes([fixed[2], fixed[3]]));
    let mut packed = source.range(place.header + 30 + variable, place.packed);
    let crc = {
        let decoder = place.method.decode(&mut packed).map_err(|e| writer.error(Why::of_decoder(&e)))?;
        let mut hashed = Hashed { inner: decoder, crc: crc32fast::Hasher::new() };
        let room = usize::try_from(place.packed.saturating_mul(8)).unwrap_or(READ_BUFFER).clamp(4096, READ_BUFFER);
        writer.copy_from(&mut hashed, &mut vec![0; room])?;
        hashed.crc.finalize()
    };
    if crc != place.crc {
        return Err(writer.error(Why::Checksum));
    }
    // The decoder stopped before the bytes of the entry did.
    if packed.limit() > 0 {
        return Err(writer.error(Why::Contradiction("it has bytes behind its end".to_owned())));
    }
    writer.finish()
}

fn kind_of(name: &str, mode: u32) -> Kind {
    match mode & 0o170_000 {
        0o120_000 => Kind::Link("symbolic link"),
        0o060_000 | 0o020_000 => Kind::Special("device"),
        0o010_000 => Kind::Special("pipe"),
        0o140_000 => Kind::Special("socket"),
        _ if name.ends_with('/') => Kind::Folder,
        0o040_000 => Kind::Folder,
        _ => Kind::File,
    }
}

fn why_of(e: zip::result::ZipError, bound: u64) -> Why {
    use zip::result::ZipError as Z;
    match e {
        Z::Io(e) if e.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) => {
            Why::limit("bytes of the directory", bound)
        }
        Z::Io(e) => Why::of_decoder(&e),
        Z::UnsupportedArchive(what) => Why::Unsupported(what.to_owned()),
        e => Why::format(e),
    }
}

struct Hashed<R> {
    inner: R,
    crc: crc32fast::Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.crc.update(&buf[..n]);
        Ok(n)
    }
}

/// A source of which no more than so many bytes are read: it bounds the memory that a directory takes.
struct Bounded {
    source: Source,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("more than is read of headers")]
struct TooMuch;

impl Read for Bounded {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buf)?;
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| io::Error::other(TooMuch))?;
        Ok(n)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.source.seek(to)
    }
}
