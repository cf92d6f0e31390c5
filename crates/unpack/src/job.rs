//! The archives of one game as one job: what they would take, and all of them out in order.
//!
//! Owns the order and the sum. One tree of names spans all archives, so a later one cannot replace what an earlier one
//! made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bonfire_engine::installs::Known;
use bonfire_proto::RelPath;
use serde::{Deserialize, Serialize};

use crate::bsdtar;
use crate::error::{UnpackError, Why};
use crate::format::Format;
use crate::limits::Limits;
use crate::place::Place;
use crate::policy::{Admitted, Archive, Control, Game, Unattended};
use crate::read::{self, Came};
use crate::source::Source;

/// One archive, opened.
#[derive(Debug, Clone)]
pub struct ArchiveFile {
    /// What it is called in errors: the name of its first part.
    pub name: String,
    /// What it is, as its first bytes say.
    pub format: Format,
    /// Its parts in order: the volumes of a RAR set, one for everything else (`Source` joins what was cut).
    pub parts: Vec<Source>,
    /// A program to read it with instead of the reader here (`bsdtar`, for a RAR file that this one does not understand).
    /// It has to be confined like the caller, which a child is.
    pub other_reader: Option<PathBuf>,
}

impl ArchiveFile {
    fn len(&self) -> u64 {
        self.parts.iter().map(Source::len).sum()
    }
}

/// What archives would take.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expanded {
    /// Bytes of all files, as the headers say; `None` when some archive does not say it before.
    pub bytes: Option<u64>,
    /// Files that headers name.
    pub files: u64,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extracted {
    /// Bytes of all files.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Files given as archives in which no archive is (something packed with gzip that is no tar): to be placed as they
    /// are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plain: Vec<String>,
    /// Every file with its content, as it was written. Of a child it comes in pieces of its own.
    #[serde(skip)]
    pub content: BTreeMap<RelPath, Known>,
}

/// What the archives would take, as far as their headers tell. Nothing is written, and every rule that headers can break
/// is applied.
///
/// # Errors
/// The first thing that is wrong.
pub fn list(archives: &[ArchiveFile], limits: &Limits) -> Result<Expanded, UnpackError> {
    let game = Game::new(limits.clone(), Arc::new(Nowhere), Arc::new(Unattended));
    let (mut out, mut is_known) = (Expanded::default(), true);
    let mut sum = 0u64;
    for file in archives {
        let archive = Archive::new(&game, &file.name, file.len());
        let listing = read::list(&archive, file.format, &file.parts)?;
        is_known &= listing.is_known;
        for admitted in listing.entries {
            let Admitted::File(slot) = admitted else { continue };
            out.files += 1;
            match slot.size {
                Some(size) => sum = sum.saturating_add(size),
                None => is_known = false,
            }
        }
    }
    out.bytes = is_known.then_some(sum);
    Ok(out)
}

/// Everything out of the archives, in order, and durable when this returns. Blocks; nothing is ever written over.
///
/// # Errors
/// The first thing that is wrong. What was written before lies in the place, to be swept.
pub fn extract(
    archives: &[ArchiveFile],
    limits: &Limits,
    place: Arc<dyn Place>,
    control: Arc<dyn Control>,
) -> Result<Extracted, UnpackError> {
    let game = Game::new(limits.clone(), Arc::clone(&place), control);
    let mut plain = Vec::new();
    for file in archives {
        let archive = Archive::new(&game, &file.name, file.len());
        archive.check_cancelled()?;
        let came = match &file.other_reader {
            Some(program) => bsdtar::extract(&archive, program, &file.parts).map(|()| Came::Out),
            None => read::extract(&archive, file.format, &file.parts),
        };
        match came? {
            Came::Out => {}
            Came::Plain => plain.push(file.name.clone()),
        }
    }
    let last = archives.last().map_or("", |file| file.name.as_str());
    place.finish().map_err(|e| UnpackError::new(last, Why::io("making it durable", &e)))?;
    let (bytes, files) = game.totals();
    Ok(Extracted { bytes, files, plain, content: game.take_files() })
}

/// Where a list is written to.
struct Nowhere;

impl Place for Nowhere {
    fn make_folder(&self, _: &RelPath) -> std::io::Result<()> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn create(&self, _: &RelPath, _: bool) -> std::io::Result<Box<dyn crate::place::Sink>> {
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn finish(&self) -> std::io::Result<()> {
        Ok(())
    }
}
