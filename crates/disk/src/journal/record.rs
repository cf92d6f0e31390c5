//! Records of the journal as bytes.
//!
//! Frame: length of the body (4 bytes, little-endian), check (first 8 bytes of the BLAKE3 hash of length and body),
//! body. Body: one byte of tag, then the content, numbers little-endian. A reader stops at the first frame that does
//! not check out, so a torn append costs that append and nothing before it.

use std::io::{self, Read};

use bonfire_engine::recovery::JournalState;
use bonfire_proto::Digest;

use crate::hash::FileStamp;

/// Longest header record: a manifest of 200,000 files of 1 KiB each, and as many of the version before, fit.
pub(crate) const HEADER_LEN_MAX: u32 = 512 << 20;
/// Longest other record: the digests of 2^19 chunks fit.
pub(crate) const BODY_LEN_MAX: u32 = 32 << 20;

const FRAME_HEAD: usize = 12;

/// Kind of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Tag {
    Header = b'H',
    State = b's',
    Hashes = b'h',
    Verified = b'v',
    Unverified = b'u',
    Digests = b'd',
    Stamps = b't',
    Adopted = b'a',
}

/// A record after the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// How far the transaction got.
    State(JournalState),
    /// The chunk list of a file.
    Hashes(u32, Vec<Digest>),
    /// Runs of chunk numbers whose bytes are durable and right: (first, count).
    Verified(Vec<(u32, u32)>),
    /// Runs of chunk numbers that are to be fetched again.
    Unverified(Vec<(u32, u32)>),
    /// Digests by chunk number.
    Digests(Vec<(u32, Digest)>),
    /// What files with verified chunks were when they had been synced.
    Stamps(Vec<(u32, FileStamp)>),
    /// A found file is about to be written to.
    Adopted(u32),
}

impl Record {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        let mut put = |n: u32| body.extend_from_slice(&n.to_le_bytes());
        let tag = match self {
            Self::State(state) => {
                frame(Tag::State, &[state_byte(*state)], out);
                return;
            }
            Self::Hashes(file, list) => {
                put(*file);
                body.extend(list.iter().flat_map(|d| d.0));
                Tag::Hashes
            }
            Self::Verified(runs) | Self::Unverified(runs) => {
                for (first, count) in runs {
                    put(*first);
                    put(*count);
                }
                if matches!(self, Self::Verified(_)) { Tag::Verified } else { Tag::Unverified }
            }
            Self::Digests(list) => {
                for (n, d) in list {
                    body.extend_from_slice(&n.to_le_bytes());
                    body.extend_from_slice(&d.0);
                }
                Tag::Digests
            }
            Self::Stamps(list) => {
                for (file, stamp) in list {
                    body.extend_from_slice(&file.to_le_bytes());
                    body.extend_from_slice(&stamp.size.to_le_bytes());
                    body.extend_from_slice(&stamp.mtime_ns.to_le_bytes());
                }
                Tag::Stamps
            }
            Self::Adopted(file) => {
                put(*file);
                Tag::Adopted
            }
        };
        frame(tag, &body, out);
    }

    /// The record in a body; `None` for an unknown tag or a content that does not fit it.
    pub(crate) fn decode(body: &[u8]) -> Option<Self> {
        let (tag, rest) = body.split_first()?;
        match *tag {
            t if t == Tag::State as u8 => match rest {
                [b] => state_of(*b).map(Self::State),
                _ => None,
            },
            t if t == Tag::Hashes as u8 => {
                let (file, list) = rest.split_first_chunk::<4>()?;
                Some(Self::Hashes(u32::from_le_bytes(*file), exact::<32>(list)?.map(Digest).collect()))
            }
            t if t == Tag::Verified as u8 => Some(Self::Verified(runs_of(rest)?)),
            t if t == Tag::Unverified as u8 => Some(Self::Unverified(runs_of(rest)?)),
            t if t == Tag::Digests as u8 => {
                let one = |b: [u8; 36]| {
                    let (n, d) = b.split_first_chunk::<4>()?;
                    Some((u32::from_le_bytes(*n), Digest(d.try_into().ok()?)))
                };
                Some(Self::Digests(exact::<36>(rest)?.map(one).collect::<Option<_>>()?))
            }
            t if t == Tag::Stamps as u8 => {
                let one = |b: [u8; 20]| {
                    let (file, b) = b.split_first_chunk::<4>()?;
                    let (size, b) = b.split_first_chunk::<8>()?;
                    let (size, mtime_ns) = (u64::from_le_bytes(*size), i64::from_le_bytes(b.try_into().ok()?));
                    Some((u32::from_le_bytes(*file), FileStamp { size, mtime_ns }))
                };
                Some(Self::Stamps(exact::<20>(rest)?.map(one).collect::<Option<_>>()?))
            }
            t if t == Tag::Adopted as u8 => Some(Self::Adopted(u32::from_le_bytes(rest.try_into().ok()?))),
            _ => None,
        }
    }
}

/// Adds a frame.
pub(crate) fn frame(tag: Tag, content: &[u8], out: &mut Vec<u8>) {
    let len = u32::try_from(content.len() + 1).expect("BUG: records are bounded far below 4 GiB").to_le_bytes();
    let mut h = blake3::Hasher::new();
    h.update(&len).update(&[tag as u8]).update(content);
    out.extend_from_slice(&len);
    out.extend_from_slice(&h.finalize().as_bytes()[..8]);
    out.push(tag as u8);
    out.extend_from_slice(content);
}

/// The bytes that a body takes with its frame.
pub(crate) fn frame_len(body: &[u8]) -> u64 {
    (FRAME_HEAD + body.len()) as u64
}

/// The next body; `None` at the end and at anything that does not check out.
pub(crate) fn read_frame(input: &mut impl Read, len_max: u32) -> io::Result<Option<Vec<u8>>> {
    let mut head = [0u8; FRAME_HEAD];
    if !fill(input, &mut head)? {
        return Ok(None);
    }
    let mut len = [0u8; 4];
    len.copy_from_slice(&head[..4]);
    let n = u32::from_le_bytes(len);
    if n == 0 || n > len_max {
        return Ok(None);
    }
    // Grown as bytes come, so that a length alone reserves nothing.
    let mut body = Vec::new();
    input.take(u64::from(n)).read_to_end(&mut body)?;
    let mut h = blake3::Hasher::new();
    h.update(&len).update(&body);
    let fits = body.len() == n as usize && h.finalize().as_bytes()[..8] == head[4..];
    Ok(fits.then_some(body))
}

/// The chunk numbers in runs, or `None` when one is beyond `total`.
pub(crate) fn numbers(runs: &[(u32, u32)], total: u32) -> Option<impl Iterator<Item = u32>> {
    let legal = |(first, count): &(u32, u32)| first.checked_add(*count).is_some_and(|end| end <= total);
    runs.iter().all(legal).then(|| runs.iter().flat_map(|(first, count)| *first..*first + *count))
}

/// Runs of rising chunk numbers.
pub(crate) fn runs(numbers: impl IntoIterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut out: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match out.last_mut() {
            Some((first, count)) if *first + *count == n => *count += 1,
            _ => out.push((n, 1)),
        }
    }
    out
}

fn fill(input: &mut impl Read, buf: &mut [u8]) -> io::Result<bool> {
    match input.read_exact(buf) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Option<impl Iterator<Item = [u8; N]>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().copied())
}

fn runs_of(bytes: &[u8]) -> Option<Vec<(u32, u32)>> {
    let one = |b: [u8; 8]| {
        let [a0, a1, a2, a3, b0, b1, b2, b3] = b;
        (u32::from_le_bytes([a0, a1, a2, a3]), u32::from_le_bytes([b0, b1, b2, b3]))
    };
    Some(exact::<8>(bytes)?.map(one).collect())
}

const STATES: [(u8, JournalState); 4] =
    [(1, JournalState::Active), (2, JournalState::Committing), (3, JournalState::Cancelled), (4, JournalState::Done)];

fn state_byte(state: JournalState) -> u8 {
    STATES.iter().find(|(_, s)| *s == state).map_or(0, |(b, _)| *b)
}

fn state_of(byte: u8) -> Option<JournalState> {
    STATES.iter().find(|(b, _)| *b == byte).map(|(_, s)| *s)
}
