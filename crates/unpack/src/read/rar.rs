//! RAR 1.5 to 7, one file or a set of volumes, by the crate `rars`.
//!
//! All headers of all volumes are read and every entry is admitted before anything is decoded. The crate calls back once
//! an entry and verifies it before the next; `Turn` follows that. Independent entries come out beside each other.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rars::{ArchiveMember, ArchiveMemberRef, ArchiveReadOptions, ArchiveReader, AttrSource, ErrorKind};
use rars::{ExtractionDecision, rar15_40, rar50};

use super::in_parallel;
use crate::error::{UnpackError, Why};
use crate::names::decode_legacy;
use crate::policy::{Admitted, Archive, EntryWriter, Header, Kind, lock};
use crate::source::Source;

/// Members up to this many bytes are decoded in memory as a whole, which is quicker; each thread holds one.
const BUFFERED_MAX: u64 = 64 << 20;

/// A RAR archive whose headers were read and checked.
pub(super) struct Rar {
    volumes: Vec<rars::Archive>,
    /// By member, those that continue in the next volume counted once.
    slots: Vec<(Vec<u8>, Admitted)>,
    is_solid: bool,
    /// Of all entries.
    largest_dictionary: u64,
}

impl Rar {
    /// Reads the headers and admits every entry.
    ///
    /// # Errors
    /// What is wrong with them or an entry.
    pub(super) fn open(archive: &Archive, parts: &[Source]) -> Result<Self, UnpackError> {
        let limits = archive.limits();
        let options = ArchiveReadOptions::new()
            .with_max_header_count(limits.entries.saturating_mul(3))
            .with_max_header_bytes(limits.header_bytes);
        let mut volumes = Vec::with_capacity(parts.len());
        for part in parts {
            let read = ArchiveReader::read_reader_with_options(part.clone(), options);
            volumes.push(read.map_err(|e| error_of(archive, &e))?);
        }
        check_set(&volumes).map_err(|why| archive.error(why))?;
        let mut slots: Vec<(Vec<u8>, Admitted)> = Vec::new();
        let mut largest_dictionary = 0;
        for member in volumes.iter().flat_map(rars::Archive::member_refs) {
            let stored = member.name_bytes();
            let owned = member.to_owned();
            let name = name_of(member).map_err(|why| archive.entry_error(&String::from_utf8_lossy(stored), why))?;
            let fail = |why| archive.entry_error(&name, why);
            if member.is_split_before() {
                if slots.last().is_none_or(|(before, _)| before != stored) {
                    return Err(fail(Why::PartMissing("the volume in which this file begins".to_owned())));
                }
                continue;
            }
            let attributes = (owned.meta.attr_source() == AttrSource::Unix).then_some(owned.meta.file_attr);
            let size = match member {
                ArchiveMemberRef::Rar50Plus(file) => file.known_unpacked_size(),
                _ => Some(owned.meta.unpacked_size),
            };
            let admitted = archive.admit(&Header {
                name: &name,
                kind: kind_of(&owned, attributes),
                size: size.filter(|_| !owned.meta.is_directory),
                executable: attributes.is_some_and(|mode| mode & 0o111 != 0),
            })?;
            if owned.meta.is_encrypted {
                return Err(fail(Why::Encrypted));
            }
            if let ArchiveMemberRef::Rar50Plus(file) = member
                && !file.is_stored()
                && !file.is_directory()
            {
                let info = file.decoded_compression_info().map_err(|e| fail(why_of(&e)))?;
                largest_dictionary = info.dictionary_size.max(largest_dictionary);
                if info.dictionary_size > limits.dictionary_bytes {
                    return Err(fail(Why::limit("bytes of dictionary", limits.dictionary_bytes)));
                }
            }
            slots.push((stored.to_vec(), admitted));
        }
        let is_solid = volumes.iter().any(|volume| match volume {
            rars::Archive::Rar15To40(archive) => archive.main.is_solid(),
            rars::Archive::Rar50Plus(archive) => archive.main.is_solid(),
            _ => true,
        }) || volumes.iter().flat_map(rars::Archive::member_refs).any(ArchiveMemberRef::is_solid);
        Ok(Self { volumes, slots, is_solid, largest_dictionary })
    }

    pub(super) fn into_slots(self) -> Vec<Admitted> {
        self.slots.into_iter().map(|(_, admitted)| admitted).collect()
    }

    /// Everything out of it.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn extract(self, archive: &Archive) -> Result<(), UnpackError> {
        for (_, admitted) in &self.slots {
            if let Admitted::Folder(path) = admitted {
                archive.make_folder(path)?;
            }
        }
        let options = ArchiveReadOptions::new()
            .with_rar50_dictionary_size_limit(archive.limits().dictionary_bytes)
            .with_rar50_buffered_decode_limit(BUFFERED_MAX);
        match self.volumes.as_slice() {
            [single] => self.extract_single(archive, single, options),
            set => {
                let turn = Turn::new(archive);
                let mut number = 0;
                let done = rars::extract_volumes_to_with_options(set, options, |meta| {
                    let slot = self.slots.get(number).filter(|(name, _)| *name == meta.name);
                    number += 1;
                    turn.take(slot.map(|(_, admitted)| admitted))
                });
                turn.end(archive, done)?;
                if number != self.slots.len() {
                    return Err(archive.error(Why::format("not every entry came out")));
                }
                Ok(())
            }
        }
    }

    fn extract_single(
        &self,
        archive: &Archive,
        single: &rars::Archive,
        options: ArchiveReadOptions<'_>,
    ) -> Result<(), UnpackError> {
        let files = self.slots.iter().filter(|(_, admitted)| matches!(admitted, Admitted::File(_))).count();
        let taken: Vec<AtomicBool> = self.slots.iter().map(|_| AtomicBool::new(false)).collect();
        // Entries of a solid archive need those before them; two large dictionaries would be too much.
        let one = self.is_solid || self.largest_dictionary > archive.limits().dictionary_bytes / 4;
        let threads = if one { 1 } else { files.clamp(1, 2) };
        in_parallel(threads, threads, |_| {
            let turn = Turn::new(archive);
            let mut number = 0;
            let done = single.extract_with_control(options, |member| {
                let at = number;
                number += 1;
                let slot = self.slots.get(at).filter(|(name, _)| *name == member.meta.name);
                let is_ours = taken.get(at).is_some_and(|taken| !taken.swap(true, Ordering::Relaxed));
                match slot {
                    Some((_, Admitted::Folder(_) | Admitted::Root)) => Ok(ExtractionDecision::Skip),
                    Some(_) if !is_ours => Ok(ExtractionDecision::Skip),
                    other => turn.take(other.map(|(_, admitted)| admitted)).map(ExtractionDecision::Extract),
                }
            });
            turn.end(archive, done.map(|_| ()))?;
            if number != self.slots.len() {
                return Err(archive.error(Why::format("not every entry came out")));
            }
            Ok(())
        })
    }
}

/// The entry whose bytes come now. The crate hands its writer away and keeps it for as long as it likes, so what it writes
/// to is shared.
struct Turn {
    archive: Archive,
    now: Arc<Mutex<Now>>,
}

#[derive(Default)]
struct Now {
    writer: Option<EntryWriter>,
    failed: Option<UnpackError>,
}

impl Turn {
    fn new(archive: &Archive) -> Self {
        Self { archive: archive.clone(), now: Arc::default() }
    }

    /// The entry before is whole and verified; this one begins.
    fn take(&self, slot: Option<&Admitted>) -> rars::Result<Box<dyn Write>> {
        let mut now = lock(&self.now);
        let begun = match now.writer.take().map_or(Ok(()), EntryWriter::finish) {
            Err(e) => Err(e),
            Ok(()) => match slot {
                Some(Admitted::File(slot)) => self.archive.create(slot.clone()).map(Some),
                Some(Admitted::Folder(_) | Admitted::Root) => Ok(None),
                None => Err(self.archive.error(Why::format("entries came in another order than the headers say"))),
            },
        };
        match begun {
            Ok(Some(writer)) => now.writer = Some(writer),
            Ok(None) => return Ok(Box::new(io::sink())),
            Err(e) => {
                now.failed.get_or_insert(e);
                return Err(rars::Error::Cancelled);
            }
        }
        drop(now);
        Ok(Box::new(Shared(Arc::clone(&self.now))))
    }

    /// What became of all of it.
    fn end(self, archive: &Archive, done: rars::Result<()>) -> Result<(), UnpackError> {
        let mut now = lock(&self.now);
        if let Some(e) = now.failed.take() {
            return Err(e);
        }
        let writer = now.writer.take();
        match (done, writer) {
            (Ok(()), Some(writer)) => writer.finish(),
            (Ok(()), None) => Ok(()),
            (Err(e), Some(writer)) => Err(writer.error(why_of(&e))),
            (Err(e), None) => Err(error_of(archive, &e)),
        }
    }
}

struct Shared(Arc<Mutex<Now>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut now = lock(&self.0);
        let Some(writer) = now.writer.as_mut() else {
            return Err(io::Error::other("BUG: bytes of no entry"));
        };
        match writer.write(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(e) => {
                now.failed.get_or_insert(e);
                Err(io::Error::other("the entry is refused"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the volumes are all there, in order, and none was cut.
fn check_set(volumes: &[rars::Archive]) -> Result<(), Why> {
    let last = volumes.len() - 1;
    let missing = |number: usize| Why::PartMissing(format!("volume {}", number + 1));
    for (at, volume) in volumes.iter().enumerate() {
        let ends = match volume {
            rars::Archive::Rar50Plus(archive) => {
                let number = archive.main.volume_number.unwrap_or(0);
                if archive.main.is_volume() && number != at as u64 {
                    return Err(missing(at));
                }
                archive.blocks.iter().find_map(|block| match block {
                    rar50::Block::End(end) => Some(end.has_next_volume()),
                    _ => None,
                })
            }
            rars::Archive::Rar15To40(archive) => {
                let end = archive.blocks.iter().find_map(|block| match block {
                    rar15_40::Block::End(end) => Some(end.flags & 1 != 0),
                    _ => None,
                });
                // Before RAR 3 there was no mark of the end. Of that age is what was packed by an older method; what is only
                // stored does not tell.
                let versions = archive.blocks.iter().filter_map(|block| match block {
                    rar15_40::Block::File(file) if file.method != 0x30 => Some(file.unp_ver),
                    _ => None,
                });
                let is_old = versions.max().is_some_and(|version| version < 29);
                end.or_else(|| is_old.then_some(at < last))
            }
            _ => Some(at < last),
        };
        match ends {
            None => return Err(Why::Truncated),
            Some(true) if at == last => return Err(missing(at + 1)),
            Some(false) if at < last => return Err(Why::format("the set of volumes ends before its last file")),
            Some(_) => {}
        }
        let continues = volume.members().last().is_some_and(|member| member.meta.is_split_after);
        if continues && at == last {
            return Err(missing(at + 1));
        }
    }
    Ok(())
}

fn name_of(member: ArchiveMemberRef<'_>) -> Result<String, Why> {
    match member {
        ArchiveMemberRef::Rar50Plus(file) => {
            String::from_utf8(file.name.clone()).map_err(|_| Why::Name("not UTF-8".to_owned()))
        }
        // Its separator is the one of DOS.
        _ => Ok(decode_legacy(member.name_bytes()).replace('\\', "/")),
    }
}

fn kind_of(member: &ArchiveMember, mode: Option<u64>) -> Kind {
    if member.meta.is_redirection {
        return Kind::Link("link or reference to another entry");
    }
    match mode.map(|mode| mode & 0o170_000) {
        Some(0o120_000) => return Kind::Link("symbolic link"),
        Some(0o060_000 | 0o020_000) => return Kind::Special("device"),
        Some(0o010_000) => return Kind::Special("pipe"),
        Some(0o140_000) => return Kind::Special("socket"),
        _ => {}
    }
    if mode.is_none() && member.meta.file_attr & 0x400 != 0 {
        Kind::Link("reparse point")
    } else if member.meta.is_directory {
        Kind::Folder
    } else {
        Kind::File
    }
}

fn error_of(archive: &Archive, e: &rars::Error) -> UnpackError {
    match e.entry_context() {
        Some((name, _)) => archive.entry_error(&decode_legacy(name), why_of(e)),
        None => archive.error(why_of(e)),
    }
}

fn why_of(e: &rars::Error) -> Why {
    match e.kind() {
        ErrorKind::ChecksumMismatch => Why::Checksum,
        ErrorKind::PasswordRequired | ErrorKind::BadPassword => Why::Encrypted,
        ErrorKind::UnsupportedFormat | ErrorKind::UnsupportedFeature => {
            let text = e.to_string();
            // Built without decryption, the crate calls it a feature that is missing.
            if text.contains("encrypt") { Why::Encrypted } else { Why::Unsupported(text) }
        }
        ErrorKind::ResourceLimit => Why::Unsupported(e.to_string()),
        _ if matches!(e.root_cause(), rars::Error::TooShort) => Why::Truncated,
        _ => match e.root_cause() {
            rars::Error::Io(io) if io.kind == io::ErrorKind::UnexpectedEof => Why::Truncated,
            _ => Why::format(e),
        },
    }
}
