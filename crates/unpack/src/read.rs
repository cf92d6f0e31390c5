//! The readers, one file a format, behind two questions: what is in an archive, and everything out of it.
//!
//! Owns which reader is asked, and the threads on which independent entries come out beside each other. What may be made
//! of an entry is the policy's.

mod compressed;
mod decode;
mod pipe;
mod rar;
mod sevenz;
mod tar;
mod zip;

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{UnpackError, Why};
use crate::format::{Format, HEAD_LEN, is_split_zip};
use crate::policy::{Admitted, Archive};
use crate::source::Source;

/// Most threads on which entries of one archive come out. Beyond a few the disk is what is waited for, and each may hold
/// a dictionary.
const THREADS_MAX: usize = 4;

/// What is known of an archive before anything comes out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In the order of the archive. Empty for a compressed stream, which tells nothing before.
    pub(crate) entries: Vec<Admitted>,
    /// Whether `entries` is all there is.
    pub(crate) is_known: bool,
}

/// How an archive came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Everything, and every checksum was right.
    Out,
    /// It is a compressed stream in which no archive is: a file, to be placed as it is. Nothing was written.
    Plain,
}

/// The names and sizes in an archive.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn list(archive: &Archive, format: Format, parts: &[Source]) -> Result<Listing, UnpackError> {
    check_parts(archive, format, parts)?;
    let entries = match format {
        Format::Rar => rar::Rar::open(archive, parts)?.into_slots(),
        Format::Zip => zip::Zip::open(archive, &parts[0])?.into_slots(),
        Format::SevenZ => sevenz::SevenZ::open(archive, &parts[0])?.into_slots(),
        Format::Tar => tar::list(archive, &parts[0])?,
        _ => return Ok(Listing::default()),
    };
    Ok(Listing { entries, is_known: true })
}

/// Everything out of an archive.
///
/// # Errors
/// What is wrong with it. What was written before stays.
pub(crate) fn extract(archive: &Archive, format: Format, parts: &[Source]) -> Result<Came, UnpackError> {
    check_parts(archive, format, parts)?;
    match format {
        Format::Rar => rar::Rar::open(archive, parts)?.extract(archive)?,
        Format::Zip => zip::Zip::open(archive, &parts[0])?.extract(archive)?,
        Format::SevenZ => sevenz::SevenZ::open(archive, &parts[0])?.extract(archive)?,
        Format::Tar => tar::extract(archive, &mut parts[0].range(0, parts[0].len()))?,
        _ => return compressed::extract(archive, format, &parts[0]),
    }
    Ok(Came::Out)
}

/// Everything out of a tar stream that another program gives.
///
/// # Errors
/// As `extract`.
pub(crate) fn extract_tar(archive: &Archive, from: &mut dyn std::io::Read) -> Result<(), UnpackError> {
    tar::extract(archive, from)
}

fn check_parts(archive: &Archive, format: Format, parts: &[Source]) -> Result<(), UnpackError> {
    let reading = |e| archive.error(Why::io("reading the archive", &e));
    let first = parts.first().ok_or_else(|| archive.error(Why::PartMissing("the archive".to_owned())))?;
    let head = first.head(HEAD_LEN).map_err(reading)?;
    if is_split_zip(&head) {
        return Err(archive.error(Why::SplitZip));
    }
    match Format::of(&head) {
        Some(found) if found == format => Ok(()),
        found => {
            let found = found.map_or("no archive", Format::name);
            Err(archive.error(Why::format(format!("{found} where {} was expected", format.name()))))
        }
    }
}

/// Runs `each` for every number below `count`, on as many threads as help, each taking the next that nobody has. Stops at
/// the first failure, which is what comes back.
fn in_parallel<E: Send>(count: usize, most: usize, each: impl Fn(usize) -> Result<(), E> + Sync) -> Result<(), E> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX).min(most).min(count);
    if threads <= 1 {
        return (0..count).try_for_each(each);
    }
    let (next, stop) = (std::sync::atomic::AtomicUsize::new(0), AtomicBool::new(false));
    let worker = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Err(e) = each(number) {
                stop.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut outcome = worker();
        for other in others {
            let theirs = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(theirs);
        }
        outcome
    })
}
