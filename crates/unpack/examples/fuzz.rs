//! Changed archives, for as long as one likes: no reader may panic, hang, or make what the rules forbid.
//!
//! `cargo run -p bonfire-unpack --example fuzz -- SECONDS [SEED]` takes each format for that many seconds. Seeds are good
//! archives; a change is bytes, numbers at their bounds, pieces cut, doubled and exchanged, and mostly the checksums of
//! headers are made right again, so that what lies behind them is reached. A failure prints what replays it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people who read its output")]

#[path = "../tests/archives/mod.rs"]
mod archives;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use archives::{FORMS, Form, build, file, folder, game};
use bonfire_proto::RelPath;
use bonfire_unpack::{Limits, Place, Sink, Unattended};

/// An archive of a few kilobytes is never under way for so long.
const HANGS: Duration = Duration::from_secs(20);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let seconds = arguments.next().unwrap_or(10);
    let begin = arguments.next().unwrap_or(1);
    let mut failed = 0;
    for form in FORMS {
        let seeds = seeds(form);
        let (since, mut number, mut came_out) = (Instant::now(), begin, 0u64);
        while since.elapsed() < Duration::from_secs(seconds) {
            let bytes = changed(form, &seeds, number);
            let begun = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| unpack(&bytes))) {
                Ok(was_good) => came_out += u64::from(was_good),
                Err(_) => {
                    println!("{form:?}: panic with seed {number}");
                    failed += 1;
                }
            }
            if begun.elapsed() > HANGS {
                println!("{form:?}: {:?} with seed {number}", begun.elapsed());
                failed += 1;
            }
            number += 1;
        }
        println!("{form:?}: {} archives in {seconds} s, {came_out} of them came out", number - begin);
    }
    assert_eq!(failed, 0, "failures");
}

fn seeds(form: Form) -> Vec<Vec<u8>> {
    let few = [folder("d"), file("d/a", b"some text, some text, some text"), file("b", &[0; 3000])];
    let mut out = vec![build(form, &game()), build(form, &few)];
    let version = match form {
        Form::Rar4 => rars::ArchiveVersion::Rar40,
        Form::Rar5 => rars::ArchiveVersion::Rar50,
        _ => return out,
    };
    for (level, solid) in [(3, false), (3, true), (1, false)] {
        let mut builder = rars::Builder::new(version).compression_level(Some(level)).solid(solid);
        for (name, body) in [("t", b"the quick brown fox ".repeat(40)), ("n", (0..255).collect()), ("z", vec![0; 5000])]
        {
            builder.add_bytes(name.into(), body, None, Some(0o644)).unwrap();
        }
        let bytes = builder.to_bytes().unwrap();
        out.push(if form == Form::Rar4 { archives::with_rar4_end(bytes, false) } else { bytes });
    }
    out
}

/// Whether it came out.
fn unpack(bytes: &[u8]) -> bool {
    let Some(archive) = archives::archive(bytes) else { return false };
    let limits =
        Limits { ratio_floor: 1 << 20, total_bytes: 16 << 20, dictionary_bytes: 64 << 20, ..Limits::default() };
    let memory = Arc::new(Memory::default());
    let (place, control) = (Arc::clone(&memory), Arc::new(Unattended));
    bonfire_unpack::extract(&[archive], &limits, place, control).is_ok()
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most.max(1)
    }
}

fn changed(form: Form, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let seed = random.below(seeds.len());
    let mut bytes = seeds[seed].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = u8::try_from(random.below(256)).unwrap(),
            2 | 3 => {
                let bounds = [0u64, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40];
                let value = bounds[random.below(bounds.len())].to_le_bytes();
                let len = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&value[..len]);
            }
            4 => bytes.truncate(at.max(16)),
            5 => {
                let len = random.below(40).min(bytes.len() - at);
                let piece = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, piece);
            }
            6 => {
                let len = random.below(20).min(bytes.len() - at);
                bytes.drain(at..at + len);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len());
                let len = random.below(200).min(other.len() - from);
                bytes.splice(at..at, other[from..from + len].to_vec());
            }
        }
        if bytes.len() < 16 {
            return bytes;
        }
    }
    if random.below(4) > 0 {
        mend(form, &mut bytes);
    }
    bytes
}

/// Makes checksums of headers right again, as far as headers are found.
fn mend(form: Form, bytes: &mut [u8]) {
    match form {
        Form::Tar => {
            for block in bytes.chunks_exact_mut(512) {
                if &block[257..262] == b"ustar" {
                    let mut header = tar::Header::from_byte_slice(block).clone();
                    header.set_cksum();
                    block.copy_from_slice(header.as_bytes());
                }
            }
        }
        Form::Rar4 => {
            let mut at = 7;
            while at + 7 <= bytes.len() {
                let len = usize::from(u16::from_le_bytes([bytes[at + 5], bytes[at + 6]]));
                if len < 7 || at + len > bytes.len() {
                    return;
                }
                let sum = crc32fast::hash(&bytes[at + 2..at + len]).to_le_bytes();
                bytes[at..at + 2].copy_from_slice(&sum[..2]);
                let has_more = bytes[at + 4] & 0x80 != 0 && at + 11 <= bytes.len();
                let more = if has_more { u32::from_le_bytes(bytes[at + 7..at + 11].try_into().unwrap()) } else { 0 };
                at += len + usize::try_from(more).unwrap();
            }
        }
        Form::Rar5 => {
            let mut at = 8;
            while at + 6 <= bytes.len() {
                let Some((size, size_len)) = number(&bytes[at + 4..]) else { return };
                let Some(end) = usize::try_from(size).ok().and_then(|size| size.checked_add(at + 4 + size_len)) else {
                    return;
                };
                if end > bytes.len() {
                    return;
                }
                let sum = crc32fast::hash(&bytes[at + 4..end]).to_le_bytes();
                bytes[at..at + 4].copy_from_slice(&sum);
                let data = data_of(&bytes[at + 4 + size_len..end]).unwrap_or(0);
                let Some(next) = usize::try_from(data).ok().and_then(|data| end.checked_add(data)) else { return };
                at = next;
            }
        }
        Form::SevenZ => {
            let at =
                |bytes: &[u8], at: usize| usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
            if bytes.len() < 32 {
                return;
            }
            if let (Ok(offset), Ok(len)) = (at(bytes, 12), at(bytes, 20))
                && let Some(header) = offset.checked_add(32).and_then(|from| bytes.get(from..from.checked_add(len)?))
            {
                let sum = crc32fast::hash(header).to_le_bytes();
                bytes[28..32].copy_from_slice(&sum);
            }
            let sum = crc32fast::hash(&bytes[12..32]).to_le_bytes();
            bytes[8..12].copy_from_slice(&sum);
        }
        _ => {}
    }
}

/// Length of the data behind a RAR 5 header.
fn data_of(mut fields: &[u8]) -> Option<u64> {
    let mut next = || {
        let (value, len) = number(fields)?;
        fields = &fields[len..];
        Some(value)
    };
    let (_kind, flags) = (next()?, next()?);
    if flags & 1 != 0 {
        next()?;
    }
    if flags & 2 != 0 { next() } else { Some(0) }
}

fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(9).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// A folder in memory that holds the rules to their word.
#[derive(Default)]
struct Memory(Mutex<BTreeSet<String>>);

impl Memory {
    fn put(&self, path: &RelPath) {
        let mut all = self.0.lock().unwrap();
        assert!(RelPath::new(path.as_str()).is_ok(), "{path:?}");
        let parent = path.parent().map(|p| p.folded());
        assert!(parent.is_none_or(|parent| all.contains(&parent)), "{path:?} without its folder");
        assert!(all.insert(path.folded()), "{path:?} twice");
    }
}

impl Place for Memory {
    fn make_folder(&self, path: &RelPath) -> std::io::Result<()> {
        self.put(path);
        Ok(())
    }

    fn create(&self, path: &RelPath, _: bool) -> std::io::Result<Box<dyn Sink>> {
        self.put(path);
        Ok(Box::new(Nothing))
    }

    fn finish(&self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Nothing;

impl Sink for Nothing {
    fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>) -> std::io::Result<()> {
        Ok(())
    }
}
