//! 7z. The crate decodes blocks; which blocks and what becomes of their entries is decided here.
//!
//! Its decoders take no bound on memory, so what a block asks for is added up from its properties before one is built, and
//! in the child the address space is bounded as well.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::sync::Mutex;

use sevenz_rust2::{Archive as Parsed, ArchiveEntry, Block, BlockDecoder, Error, Password};

use super::in_parallel;
use crate::error::{UnpackError, Why};
use crate::policy::{Admitted, Archive, FileSlot, Header, Kind, lock};
use crate::source::{READ_BUFFER, Source};

/// Memory of decoders beyond their dictionaries, which is not worth telling apart.
const SMALL: u64 = 1 << 20;
/// Blocks of an archive decoded beside each other; each has a dictionary.
const BLOCKS_AT_ONCE: usize = 2;

/// A 7z archive whose headers were read and checked.
pub(super) struct SevenZ {
    parsed: Parsed,
    source: Source,
    slots: Vec<Admitted>,
    /// Memory that one block takes at most.
    largest_block: u64,
}

impl SevenZ {
    /// Reads the headers and admits every entry.
    ///
    /// # Errors
    /// What is wrong with them or an entry.
    pub(super) fn open(archive: &Archive, source: &Source) -> Result<Self, UnpackError> {
        check_header_len(source, archive.limits().header_bytes).map_err(|why| archive.error(why))?;
        let mut reader = BufReader::with_capacity(READ_BUFFER, source.clone());
        let parsed = Parsed::read(&mut reader, &Password::empty()).map_err(|e| archive.error(why_of(e)))?;
        let mut slots = Vec::with_capacity(parsed.files.len().min(1 << 16));
        for file in &parsed.files {
            let header = Header {
                name: &file.name,
                kind: kind_of(file),
                size: Some(file.size),
                executable: mode_of(file).is_some_and(|mode| mode & 0o111 != 0),
            };
            slots.push(archive.admit(&header)?);
        }
        let (most, mut largest_block) = (archive.limits().dictionary_bytes, 0);
        for (number, block) in parsed.blocks.iter().enumerate() {
            let first = parsed.stream_map.block_first_file_index.get(number).and_then(|at| parsed.files.get(*at));
            let named = first.map_or("", |file| file.name.as_str());
            let fail = |why| archive.entry_error(named, why);
            largest_block = memory_of(block).map_err(fail)?.max(largest_block);
            if largest_block > most {
                return Err(fail(Why::limit("bytes of dictionary", most)));
            }
        }
        Ok(Self { parsed, source: source.clone(), slots, largest_block })
    }

    pub(super) fn into_slots(self) -> Vec<Admitted> {
        self.slots
    }

    /// Everything out of it, independent blocks beside each other.
    ///
    /// # Errors
    /// What is wrong.
    pub(super) fn extract(self, archive: &Archive) -> Result<(), UnpackError> {
        // By name: each is there once, or it would not have been admitted.
        let mut waiting = BTreeMap::new();
        for (file, admitted) in self.parsed.files.iter().zip(self.slots) {
            match admitted {
                Admitted::File(slot) => {
                    waiting.insert(file.name.as_str(), slot);
                }
                Admitted::Folder(path) => archive.make_folder(&path)?,
                Admitted::Root => {}
            }
        }
        let waiting = Mutex::new(waiting);
        let (parsed, source) = (&self.parsed, &self.source);
        let blocks = parsed.blocks.len();
        let threads = if blocks > 1 { 1 } else { 2 };
        let at_once = if self.largest_block > archive.limits().dictionary_bytes / 4 { 1 } else { BLOCKS_AT_ONCE };
        in_parallel(blocks, at_once, |number| {
            let mut reader = BufReader::with_capacity(READ_BUFFER, source.clone());
            let password = Password::empty();
            let decoder = BlockDecoder::new(threads, number, parsed, &password, &mut reader);
            let (mut buffer, mut failed) = (vec![0; READ_BUFFER], None);
            let mut now = String::new();
            let done = decoder.for_each_entries(&mut |file, bytes| {
                let slot = lock(&waiting).remove(file.name.as_str());
                let Some(slot) = slot else { return Ok(true) };
                now.clone_from(&file.name);
                match extract_one(archive, slot, bytes, &mut buffer) {
                    Ok(()) => Ok(true),
                    Err(e) => {
                        failed = Some(e);
                        Ok(false)
                    }
                }
            });
            if let Some(e) = failed {
                return Err(e);
            }
            done.map(|_| ()).map_err(|e| archive.entry_error(&now, why_of(e)))
        })?;
        // Empty files are in no block.
        let left = waiting.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, slot) in left {
            if slot.size.is_some_and(|size| size > 0) {
                return Err(archive.entry_error(name, Why::format("it is in no block")));
            }
            archive.create(slot)?.finish()?;
        }
        Ok(())
    }
}

fn extract_one(archive: &Archive, slot: FileSlot, bytes: &mut dyn Read, buffer: &mut [u8]) -> Result<(), UnpackError> {
    let mut writer = archive.create(slot)?;
    loop {
        match bytes.read(buffer) {
            Ok(0) => return writer.finish(),
            Ok(n) => writer.write(&buffer[..n])?,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => {
                let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
                let is_checksum = matches!(inner, Some(Error::ChecksumVerificationFailed));
                let why = if is_checksum { Why::Checksum } else { Why::of_decoder(&e) };
                return Err(writer.error(why));
            }
        }
    }
}

/// The length of the last header stands in the first, and it is read whole.
fn check_header_len(source: &Source, most: u64) -> Result<(), Why> {
    let mut start = [0; 32];
    source.read_exact_at(&mut start, 0).map_err(|e| Why::of_decoder(&e))?;
    let number = |at: usize| u64::from_le_bytes(start[at..at + 8].try_into().unwrap_or([0xff; 8]));
    let (offset, len) = (number(12), number(20));
    if len > most {
        return Err(Why::limit("bytes of headers", most));
    }
    let end = offset.checked_add(len).and_then(|end| end.checked_add(32));
    if end.is_none_or(|end| end > source.len()) {
        return Err(Why::Truncated);
    }
    Ok(())
}

/// Memory that the decoders of a block take, as their properties say.
fn memory_of(block: &Block) -> Result<u64, Why> {
    let mut sum = 0u64;
    for coder in &block.coders {
        let id = coder.encoder_method_id();
        let properties = coder.properties();
        let at_1 = || properties.get(1..5).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes).map(u64::from);
        sum = sum.saturating_add(match id {
            // LZMA, and PPMd
            [0x03, 0x01, 0x01] | [0x03, 0x04, 0x01] => at_1().ok_or_else(|| Why::format("properties of a method"))?,
            // LZMA2: two bits of mantissa, the rest exponent
            [0x21] => match properties.first() {
                Some(40) => u64::from(u32::MAX),
                Some(&bits) if bits < 40 => (2 | u64::from(bits & 1)) << (bits / 2 + 11),
                _ => return Err(Why::format("properties of a method")),
            },
            [0x06, 0xf1, ..] => return Err(Why::Encrypted),
            _ => SMALL,
        });
    }
    Ok(sum)
}

fn mode_of(file: &ArchiveEntry) -> Option<u32> {
    let attributes = file.windows_attributes;
    (file.has_windows_attributes && attributes & 0x8000 != 0).then_some(attributes >> 16)
}

fn kind_of(file: &ArchiveEntry) -> Kind {
    match mode_of(file).map(|mode| mode & 0o170_000) {
        Some(0o120_000) => return Kind::Link("symbolic link"),
        Some(0o060_000 | 0o020_000) => return Kind::Special("device"),
        Some(0o010_000) => return Kind::Special("pipe"),
        Some(0o140_000) => return Kind::Special("socket"),
        _ => {}
    }
    if file.is_anti_item {
        Kind::Special("mark of a deletion")
    } else if file.has_windows_attributes && file.windows_attributes & 0x400 != 0 {
        Kind::Link("reparse point")
    } else if file.is_directory {
        Kind::Folder
    } else {
        Kind::File
    }
}

fn why_of(e: Error) -> Why {
    match e {
        Error::ChecksumVerificationFailed | Error::NextHeaderCrcMismatch => Why::Checksum,
        Error::PasswordRequired | Error::MaybeBadPassword(_) => Why::Encrypted,
        Error::UnsupportedCompressionMethod(what) if what.contains("AES") => Why::Encrypted,
        Error::UnsupportedCompressionMethod(what) => Why::Unsupported(format!("method {what} of 7z")),
        Error::Unsupported(what) => Why::Unsupported(what.into_owned()),
        Error::ExternalUnsupported => Why::Unsupported("headers of 7z that are elsewhere".to_owned()),
        Error::UnsupportedVersion { major, minor } => Why::Unsupported(format!("version {major}.{minor} of 7z")),
        Error::Io(e, _) => Why::of_decoder(&e),
        e => Why::format(e),
    }
}
