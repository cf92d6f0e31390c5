//! tar: one entry after the other, from a stream that is read once.
//!
//! Reads headers by itself, because names and attributes of any length stand in blocks of their own before an entry, and
//! what they take has to be bounded. Takes POSIX, GNU and the old form; refuses sparse files and everything that is
//! neither file nor folder. An archive without its end mark is one that was cut.

use std::io::{self, Read};

use tar::{EntryType, Header as Block};

use crate::error::{UnpackError, Why};
use crate::format::tar_checksum;
use crate::limits::{TAR_EXTENSION_MAX, TAR_PADDING_MAX};
use crate::policy::{Admitted, Archive, Header, Kind};
use crate::source::{READ_BUFFER, Source};

/// Length of a block.
const BLOCK: u64 = 512;

/// Bytes read at once when only headers are.
const LISTED_BY: usize = 4 << 10;

/// What stands before an entry and is about it.
#[derive(Debug, Default)]
struct Before {
    long_name: Option<Vec<u8>>,
    long_link: bool,
    attributes: Option<Attributes>,
}

/// What the attributes of POSIX say of an entry.
#[derive(Debug, Default)]
struct Attributes {
    path: Option<Vec<u8>>,
    size: Option<u64>,
    is_sparse: bool,
}

/// An entry whose bytes come next.
struct Found {
    admitted: Admitted,
    /// Length of what follows, without padding.
    len: u64,
    shown: String,
}

/// The names and sizes, by going from header to header.
///
/// # Errors
/// What is wrong.
pub(super) fn list(archive: &Archive, source: &Source) -> Result<Vec<Admitted>, UnpackError> {
    let (mut at, mut out) = (0, Vec::new());
    loop {
        let mut reader = Counting { inner: source.range_by(at, source.len() - at, LISTED_BY), count: 0 };
        let Some(found) = next(archive, &mut reader)? else { return Ok(out) };
        at = at.saturating_add(reader.count).saturating_add(padded(found.len));
        if at > source.len() {
            return Err(archive.entry_error(&found.shown, Why::Truncated));
        }
        out.push(found.admitted);
    }
}

/// Everything out of a stream, to its end.
///
/// # Errors
/// What is wrong.
pub(super) fn extract(archive: &Archive, from: &mut dyn Read) -> Result<(), UnpackError> {
    let mut buffer = vec![0; READ_BUFFER];
    while let Some(found) = next(archive, from)? {
        let failed = |e: &io::Error| archive.entry_error(&found.shown, Why::of_decoder(e));
        match found.admitted {
            Admitted::Root => {}
            Admitted::Folder(path) => archive.make_folder(&path)?,
            Admitted::File(slot) => {
                let mut writer = archive.create(slot)?;
                let mut left = found.len;
                while left > 0 {
                    let room = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    match from.read(&mut buffer[..room]) {
                        Ok(0) => return Err(writer.error(Why::Truncated)),
                        Ok(n) => {
                            writer.write(&buffer[..n])?;
                            left -= n as u64;
                        }
                        Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                        Err(e) => return Err(writer.error(Why::of_decoder(&e))),
                    }
                }
                writer.finish()?;
            }
        }
        let padding = usize::try_from(padded(found.len) - found.len).unwrap_or(0);
        from.read_exact(&mut buffer[..padding]).map_err(|e| failed(&e))?;
    }
    drain(archive, from, &mut buffer)
}

/// What is after the end mark: zeros up to the length of a record. It is read because a compressed stream has its own
/// checksum at its end.
fn drain(archive: &Archive, from: &mut dyn Read, buffer: &mut [u8]) -> Result<(), UnpackError> {
    let mut count = 0u64;
    loop {
        match from.read(buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => {
                archive.check_cancelled()?;
                count += n as u64;
                if buffer[..n].iter().any(|b| *b != 0) {
                    return Err(archive.error(Why::format("something follows the end of the archive")));
                }
                if count > TAR_PADDING_MAX {
                    return Err(archive.error(Why::limit("bytes after the end", TAR_PADDING_MAX)));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(archive.error(Why::of_decoder(&e))),
        }
    }
}

/// The next entry that is a file or a folder; `None` at the end mark.
fn next(archive: &Archive, from: &mut dyn Read) -> Result<Option<Found>, UnpackError> {
    let mut before = Before::default();
    loop {
        let mut block = [0; 512];
        from.read_exact(&mut block).map_err(|e| archive.error(Why::of_decoder(&e)))?;
        if block.iter().all(|b| *b == 0) {
            if before.long_name.is_some() || before.attributes.is_some() || before.long_link {
                return Err(archive.error(Why::format("a name without an entry")));
            }
            return Ok(None);
        }
        let header = Block::from_byte_slice(&block);
        if header.cksum().ok() != Some(tar_checksum(&block)) {
            return Err(archive.error(Why::format("the checksum of a header is another")));
        }
        let kind = header.entry_type();
        let extension = |from: &mut dyn Read| read_extension(archive, header, from);
        let twice = || archive.error(Why::format("two names for one entry"));
        match kind {
            EntryType::GNULongName => {
                let mut name = extension(from)?;
                if name.last() == Some(&0) {
                    name.pop();
                }
                if before.long_name.replace(name).is_some() {
                    return Err(twice());
                }
            }
            EntryType::GNULongLink => {
                extension(from)?;
                before.long_link = true;
            }
            EntryType::XHeader => {
                let attributes = attributes_of(&extension(from)?).map_err(|why| archive.error(why))?;
                if before.attributes.replace(attributes).is_some() {
                    return Err(twice());
                }
            }
            EntryType::XGlobalHeader => {
                extension(from)?;
            }
            _ => return entry(archive, header, before).map(Some),
        }
    }
}

fn entry(archive: &Archive, header: &Block, before: Before) -> Result<Found, UnpackError> {
    let Before { long_name, attributes, .. } = before;
    let Attributes { path, size, is_sparse } = attributes.unwrap_or_default();
    let own_name = plain_name(header);
    let name = path.or(long_name).map_or(own_name, Ok);
    let name = name.map_err(|why| archive.entry_error(&String::from_utf8_lossy(&header.path_bytes()), why))?;
    let shown = String::from_utf8_lossy(&name).into_owned();
    let fail = |why| archive.entry_error(&shown, why);
    let Ok(text) = std::str::from_utf8(&name) else {
        return Err(fail(Why::Name("not UTF-8".to_owned())));
    };
    let said = match size {
        Some(size) => size,
        None => header.entry_size().map_err(|e| fail(Why::format(e)))?,
    };
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::Folder,
        // The old form has no type for folders, only a slash.
        EntryType::Regular if header.as_ustar().is_none() && text.ends_with('/') => Kind::Folder,
        _ if is_sparse => Kind::Special("sparse file"),
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Link => Kind::Link("hard link"),
        EntryType::Symlink => Kind::Link("symbolic link"),
        EntryType::Char | EntryType::Block => Kind::Special("device"),
        EntryType::Fifo => Kind::Special("pipe"),
        EntryType::GNUSparse => Kind::Special("sparse file"),
        _ => Kind::Special("entry of a kind that is not known"),
    };
    let executable = header.mode().is_ok_and(|mode| mode & 0o111 != 0);
    let admitted = archive.admit(&Header { name: text, kind, size: Some(said), executable })?;
    if padded_checked(said).is_none() {
        return Err(fail(Why::format("a size beyond every disk")));
    }
    Ok(Found { admitted, len: said, shown })
}

/// The name in the header itself. What lies behind a NUL in it would be seen by some readers and not by others.
fn plain_name(header: &Block) -> Result<Vec<u8>, Why> {
    let field = &header.as_bytes()[..100];
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    if field[end..].iter().any(|b| *b != 0) {
        return Err(Why::Name("something behind a NUL".to_owned()));
    }
    Ok(header.path_bytes().into_owned())
}

fn read_extension(archive: &Archive, header: &Block, from: &mut dyn Read) -> Result<Vec<u8>, UnpackError> {
    let len = header.entry_size().map_err(|e| archive.error(Why::format(e)))?;
    if len > TAR_EXTENSION_MAX {
        return Err(archive.error(Why::limit("bytes of a name and attributes", TAR_EXTENSION_MAX)));
    }
    archive.count(len)?;
    let (len, all) = (usize::try_from(len).unwrap_or(0), usize::try_from(padded(len)).unwrap_or(0));
    let mut bytes = vec![0; all];
    from.read_exact(&mut bytes).map_err(|e| archive.error(Why::of_decoder(&e)))?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Records `LENGTH KEY=VALUE\n`.
fn attributes_of(mut bytes: &[u8]) -> Result<Attributes, Why> {
    let bad = || Why::format("attributes of an entry that cannot be read");
    let mut out = Attributes::default();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let len: usize = std::str::from_utf8(&bytes[..space]).ok().and_then(|t| t.parse().ok()).ok_or_else(bad)?;
        let record = bytes.get(space + 1..len).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(bad)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => out.path = Some(value.to_vec()),
            b"size" => {
                let size = std::str::from_utf8(value).ok().and_then(|t| t.parse().ok());
                out.size = Some(size.ok_or_else(bad)?);
            }
            _ if key.starts_with(b"GNU.sparse.") => out.is_sparse = true,
            _ => {}
        }
        bytes = &bytes[len..];
    }
    Ok(out)
}

fn padded_checked(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(BLOCK)
}

fn padded(len: u64) -> u64 {
    padded_checked(len).unwrap_or(u64::MAX)
}

struct Counting<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count += n as u64;
        Ok(n)
    }
}
