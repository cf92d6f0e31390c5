//! The download journal `.bonfire.part`: what a download owns, what it has verified, and how far it got.
//!
//! Created whole through a temporary name, then only appended to. A record counts when its check fits and every record
//! before it counts; the first that does not ends the journal, and is cut off before anything is appended.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufReader};
use std::sync::Arc;

use bonfire_engine::recovery::JournalState;
use bonfire_proto::{ChunkBitmap, ChunkLayout, Digest, GameId, Manifest, RelPath};
use serde::{Deserialize, Serialize};

use crate::error::DiskError;
use crate::fs::{FsFile, FsPath, OpenMode, read_full_at, write_all_at};
use crate::games::Inner;
use crate::hash::FileStamp;

pub(crate) mod record;

use record::{Record, Tag};

pub(crate) const NAME: &str = ".bonfire.part";
pub(crate) const TMP: &str = ".bonfire.part.tmp";

/// First bytes of a journal of this version. Another version has another last digit.
pub(crate) const MAGIC: &[u8; 8] = b"BFPART2\n";
const MAGIC_ANY: &[u8] = b"BFPART";

/// First record of every journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Header {
    /// What is being downloaded, or the files that are being removed.
    pub(crate) manifest: Arc<Manifest>,
    /// Files of the version that was here before and are not in the manifest: ours to remove.
    pub(crate) previous_only: Vec<RelPath>,
    /// Files of the manifest that lay there before, in no version known: ours only once we wrote to them.
    pub(crate) found: BTreeSet<RelPath>,
    /// Whether this records the removal of a game instead of a download: it begins cancelled.
    pub(crate) removal: bool,
}

/// A journal as read.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) header: Header,
    pub(crate) layout: ChunkLayout,
    pub(crate) state: JournalState,
    pub(crate) verified: ChunkBitmap,
    /// Chunk lists that came as a whole, by file.
    pub(crate) hashes: BTreeMap<u32, Vec<Digest>>,
    /// Chunk digests that came with their chunks, by chunk number.
    pub(crate) digests: BTreeMap<u32, Digest>,
    /// What files with verified chunks were when those were synced, by file.
    pub(crate) stamps: BTreeMap<u32, FileStamp>,
    /// Found files that we wrote to.
    pub(crate) adopted: BTreeSet<u32>,
    /// Where the counted records end.
    end: u64,
}

impl Journal {
    fn new(header: Header, end: u64) -> Self {
        let layout = ChunkLayout::new(&header.manifest.files);
        let state = if header.removal { JournalState::Cancelled } else { JournalState::Prepared };
        Self {
            verified: ChunkBitmap::new(layout.total()),
            header,
            layout,
            state,
            hashes: BTreeMap::new(),
            digests: BTreeMap::new(),
            stamps: BTreeMap::new(),
            adopted: BTreeSet::new(),
            end,
        }
    }

    /// Files that a sweep may remove: those of the manifest except found ones that we never wrote to, and those of the
    /// version before.
    pub(crate) fn owned(&self) -> impl Iterator<Item = &RelPath> {
        let manifest = self.header.manifest.files.iter().enumerate().filter(|(i, f)| {
            !self.header.found.contains(&f.path) || u32::try_from(*i).is_ok_and(|i| self.adopted.contains(&i))
        });
        manifest.map(|(_, f)| &f.path).chain(self.header.previous_only.iter())
    }

    /// Takes one record in. `None` when it does not fit this journal: then it and all after it do not count.
    fn apply(&mut self, record: Record) -> Option<()> {
        match record {
            Record::State(state) => self.state = state,
            Record::Hashes(file, list) => {
                let range = self.layout.range(file)?;
                (list.len() == range.len()).then_some(())?;
                self.hashes.insert(file, list);
            }
            Record::Verified(ranges) => {
                for n in record::numbers(&ranges, self.layout.total())? {
                    self.verified.set(n);
                }
            }
            Record::Unverified(ranges) => {
                for n in record::numbers(&ranges, self.layout.total())? {
                    self.verified.clear(n);
                    self.digests.remove(&n);
                }
            }
            Record::Digests(list) => {
                list.iter().all(|(n, _)| *n < self.layout.total()).then_some(())?;
                self.digests.extend(list);
            }
            Record::Stamps(list) => {
                list.iter().all(|(file, _)| *file < self.layout.files()).then_some(())?;
                self.stamps.extend(list);
            }
            Record::Adopted(file) => {
                (file < self.layout.files()).then_some(())?;
                self.adopted.insert(file);
            }
        }
        Some(())
    }
}

/// What is at `.bonfire.part`.
#[derive(Debug)]
pub(crate) enum Found {
    Absent,
    Damaged,
    Unknown(&'static str),
    Usable(Box<Journal>),
}

impl Found {
    pub(crate) fn state(&self) -> JournalState {
        match self {
            Self::Absent => JournalState::Absent,
            Self::Damaged => JournalState::Damaged,
            Self::Unknown(_) => JournalState::Unknown,
            Self::Usable(j) => j.state,
        }
    }
}

/// Reads the journal of a game.
pub(crate) fn read(inner: &Inner, game: &GameId) -> Result<Found, DiskError> {
    let path = FsPath::game(game).child(NAME);
    let file = match inner.fs.open_read(&path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Found::Absent),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Ok(Found::Unknown("not a regular file")),
        Err(e) => return Err(inner.io("opening", &path, e)),
    };
    parse(&*file, game).map_err(|e| inner.io("reading", &path, e))
}

fn parse(file: &dyn FsFile, game: &GameId) -> io::Result<Found> {
    let mut magic = [0; MAGIC.len()];
    let n = read_full_at(file, &mut magic, 0)?;
    if &magic != MAGIC {
        let ours = n == MAGIC.len() && magic.starts_with(MAGIC_ANY);
        return Ok(Found::Unknown(if ours { "another version's journal" } else { "no journal" }));
    }
    let mut input = BufReader::with_capacity(1 << 20, At { file, pos: MAGIC.len() as u64 });
    let mut end = MAGIC.len() as u64;
    let Some(body) = record::read_frame(&mut input, record::HEADER_LEN_MAX)? else { return Ok(Found::Damaged) };
    end += record::frame_len(&body);
    let header = match body.split_first() {
        Some((tag, json)) if *tag == Tag::Header as u8 => serde_json::from_slice::<Header>(json).ok(),
        _ => None,
    };
    // A header that checks out but breaks a rule was not written by us.
    let Some(header) = header.filter(|h| h.manifest.game_id == *game && h.manifest.check().is_ok()) else {
        return Ok(Found::Damaged);
    };
    let mut journal = Journal::new(header, end);
    while let Some(body) = record::read_frame(&mut input, record::BODY_LEN_MAX)? {
        let Some(()) = Record::decode(&body).and_then(|r| journal.apply(r)) else { break };
        journal.end += record::frame_len(&body);
    }
    Ok(Found::Usable(Box::new(journal)))
}

/// Sequential reading of a handle.
struct At<'a> {
    file: &'a dyn FsFile,
    pos: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.pos)?;
        self.pos += n as u64;
        Ok(n)
    }
}

/// Appends records. After a failed append nothing more is appended: what is on disk is unknown.
#[derive(Debug)]
pub(crate) struct JournalWriter {
    file: Box<dyn FsFile>,
    path: FsPath,
    end: u64,
    broken: bool,
}

impl JournalWriter {
    /// Creates the journal of a game and makes it durable, name and all.
    pub(crate) fn create(inner: &Inner, header: Header) -> Result<(Self, Journal), DiskError> {
        let root = FsPath::game(&header.manifest.game_id);
        let (tmp, path) = (root.child(TMP), root.child(NAME));
        let mut bytes = MAGIC.to_vec();
        record::frame(Tag::Header, &serde_json::to_vec(&header).expect("BUG: a header always serialises"), &mut bytes);
        crate::atomic::replace(&*inner.fs, &tmp, &path, &bytes).map_err(|e| inner.io("writing", &path, e))?;
        let journal = Journal::new(header, bytes.len() as u64);
        let file = inner.fs.open_write(&path, OpenMode::Existing).map_err(|e| inner.io("opening", &path, e))?;
        Ok((Self { file, path, end: journal.end, broken: false }, journal))
    }

    /// Opens a journal that was read, to append; what follows its last counted record is cut off first.
    ///
    /// What was read becomes durable, names included: after a kill it may have been in the cache only, and what is done
    /// next relies on it.
    pub(crate) fn reopen(inner: &Inner, journal: &Journal) -> Result<Self, DiskError> {
        let root = FsPath::game(&journal.header.manifest.game_id);
        let path = root.child(NAME);
        let file = inner.fs.open_write(&path, OpenMode::Existing).map_err(|e| inner.io("opening", &path, e))?;
        let len = file.stat().map_err(|e| inner.io("reading", &path, e))?.len;
        if len != journal.end {
            file.set_len(journal.end).map_err(|e| inner.io("cutting", &path, e))?;
        }
        file.sync().map_err(|e| inner.io("syncing", &path, e))?;
        inner.sync_dir(&root)?;
        inner.sync_dir(&FsPath::root())?;
        Ok(Self { file, path, end: journal.end, broken: false })
    }

    /// Appends records and makes them durable.
    pub(crate) fn append(&mut self, inner: &Inner, records: &[Record]) -> Result<(), DiskError> {
        if self.broken {
            return Err(DiskError::Unsound { path: inner.shown(&self.path) });
        }
        let mut bytes = Vec::new();
        for r in records {
            r.encode(&mut bytes);
        }
        self.broken = true;
        write_all_at(&*self.file, &bytes, self.end)
            .and_then(|()| self.file.sync())
            .map_err(|e| inner.io("writing", &self.path, e))?;
        self.broken = false;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Records that a sweep is done, and closes the journal: a file that is open cannot be removed everywhere.
pub(crate) fn finish(inner: &Inner, log: Option<JournalWriter>) -> Result<(), DiskError> {
    match log {
        Some(mut log) => log.append(inner, &[Record::State(JournalState::Done)]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
