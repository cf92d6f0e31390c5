//! Checkpoint, commit, cancel, suspend: the moments at which a download becomes durable, or ends.

use std::sync::Arc;

use bonfire_engine::recovery::{Intent, JournalState};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::game::SENTINEL;
use bonfire_proto::{ChunkRef, ContentHash, Digest, GameId, Manifest};

use super::begin::Recorded;
use super::{Download, begin};
use crate::error::DiskError;
use crate::fs::{FsPath, Kind};
use crate::games::{GamesFolder, Held, Inner};
use crate::hash::FileStamp;
use crate::journal::record::{Record, runs};
use crate::journal::{self, JournalWriter};
use crate::note::{self, DownloadNote};
use crate::sweep::{self, SweepReport};
use crate::{atomic, intent, version};

/// A download that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The manifest with every file's hash and the content hash.
    pub manifest: Manifest,
    /// Chunk digests of each file, in the order of the manifest.
    pub hashes: Vec<Vec<Digest>>,
    /// What each file is on disk, in the order of the manifest.
    pub stamps: Vec<FileStamp>,
}

impl GamesFolder {
    /// Cancels the download that is recorded in a game root without opening it: nothing is created or reserved first,
    /// so it works on a full disk and over files that are in the way of a resume.
    ///
    /// # Errors
    /// `NotFound` when none is recorded; `Completed` when nothing but its last steps was missing, which were taken;
    /// `Busy` while this process has it open or an install is recorded; `UnknownFormat`; the disk's, as `Download::discard`.
    pub fn discard_recorded(&self, game: &GameId) -> Result<SweepReport, DiskError> {
        let inner = &self.inner;
        let _held = Held::take(inner, game)?;
        let journal = match begin::recorded(inner, game)? {
            Recorded::Open(journal) => journal,
            Recorded::Swept(report) => return Ok(report),
        };
        if journal.state == JournalState::Prepared {
            // Nothing was done yet: the version that is here, if any, is whole and stays.
            sweep::drop_records(inner, game)?;
            let root_removed = sweep::remove_root_if_empty(inner, game)?;
            return Ok(SweepReport { root_removed, ..SweepReport::default() });
        }
        let mut log = JournalWriter::reopen(inner, &journal)?;
        let recorded = log.append(inner, &[Record::State(JournalState::Cancelled)]);
        let mut log = recorded.is_ok().then_some(log);
        record_cancel(inner, game, recorded)?;
        let owned: Vec<_> = journal.owned().cloned().collect();
        sweep::sweep(inner, game, &owned, &mut || journal::finish(inner, log.take()))
    }

    /// Whether a download is recorded in a game root that `resume_download` would take up. Reads the records alone.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn is_resumable(&self, game: &GameId) -> Result<bool, DiskError> {
        let intent = intent::read(&self.inner, game)?.intent;
        let state = journal::read(&self.inner, game)?.state();
        Ok(matches!(intent, Intent::None | Intent::Downloading)
            && match state {
                JournalState::Prepared => intent == Intent::Downloading,
                JournalState::Active | JournalState::Committing => true,
                _ => false,
            })
    }
}

/// Takes the outcome of recording a cancel in the journal. Where that failed the journal is set aside: a full disk must
/// not keep a cancel from freeing it, and without a journal a start sweeps the list that the intent carries.
fn record_cancel(inner: &Inner, game: &GameId, recorded: Result<(), DiskError>) -> Result<(), DiskError> {
    let Err(e) = recorded else { return Ok(()) };
    tracing::warn!(%game, error = %e, "cannot record the cancel in the journal, setting the journal aside");
    let root = FsPath::game(game);
    let (from, to) = (root.child(journal::NAME), root.child(journal::TMP));
    inner.fs.rename(&from, &to).map_err(|e| inner.io("setting aside", &from, e))?;
    inner.sync_dir(&root)
}

impl Download {
    /// Makes everything verified so far survive a crash: first the bytes, then the word that they are right.
    ///
    /// # Errors
    /// The disk's. After one the download is `Unsound`: it can be discarded, or dropped and resumed from the checkpoint
    /// before.
    pub fn checkpoint(&mut self) -> Result<(), DiskError> {
        self.sync_and_record(false)
    }

    /// A checkpoint; with `all`, also of files in which no chunk was verified since the last one.
    fn sync_and_record(&mut self, all: bool) -> Result<(), DiskError> {
        if self.unsound {
            return Err(DiskError::Unsound { path: self.inner.shown(&self.root) });
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut records = std::mem::take(&mut self.pending_records);
        let digests = std::mem::take(&mut self.pending_digests);
        if pending.is_empty() && records.is_empty() && !all {
            return Ok(());
        }
        pending.sort_unstable();
        let result = self.sync_chunks(&pending, all).and_then(|stamps| {
            if !stamps.is_empty() {
                records.push(Record::Stamps(stamps));
            }
            if !digests.is_empty() {
                records.push(Record::Digests(digests));
            }
            if !pending.is_empty() {
                records.push(Record::Verified(runs(pending)));
            }
            if records.is_empty() { Ok(()) } else { self.shared.append(&records) }
        });
        result.inspect_err(|_| self.unsound = true)
    }

    /// Ends the download with the game complete: syncs, notes what came, puts the sentinel in place, removes the records.
    /// On return the new version is durable.
    ///
    /// # Errors
    /// `Incomplete` when a chunk is missing; `Changed` when a file is not what was written; `Mismatch` when hashes do
    /// not merge; the disk's. The download then stays on record, to be resumed or cancelled.
    pub fn commit(mut self) -> Result<Committed, DiskError> {
        let bits = self.verified();
        if !bits.is_full() {
            let missing = bits.len() - bits.count();
            return Err(DiskError::Incomplete { path: self.inner.shown(&self.root), missing });
        }
        self.shared.close();
        for file in std::mem::take(&mut self.misfits) {
            self.shared.writable(file)?;
        }
        self.sync_and_record(true)?;
        self.sync_dirs()?;
        let (manifest, hashes) = self.complete()?;
        let mut stamps = self.stamps()?;
        // Before the commit is on record: from then on a start may put the sentinel in place.
        let noted = DownloadNote::new(&manifest, &stamps);
        let noted = noted.ok_or_else(|| self.mismatch(self.shared.sentinel, "a hash is missing"))?;
        note::write(&self.inner, &self.root, &noted)?;
        self.record_state(JournalState::Committing)?;
        self.shared.close_log();

        let inner = self.inner.clone();
        let (from, to) = (self.root.child(version::TMP), self.root.child(SENTINEL));
        inner.fs.rename(&from, &to).map_err(|e| inner.io("putting in place", &to, e))?;
        inner.sync_dir(&self.root)?;

        if let Some(stamp) = stamps.get_mut(self.shared.sentinel as usize) {
            let meta = inner.fs.stat(&to).map_err(|e| inner.io("reading", &to, e))?;
            *stamp = meta.map(|m| FileStamp::of(&m)).ok_or_else(|| DiskError::Changed { path: inner.shown(&to) })?;
        }
        if let Err(e) = sweep::drop_records(&inner, &manifest.game_id) {
            // The game is complete and durable; the next start removes them.
            tracing::warn!(game = %manifest.game_id, error = %e, "records of a finished download remain");
        }
        Ok(Committed { manifest, hashes, stamps })
    }

    /// Cancels: makes that durable, then removes every file that this download owns, of the old version and the new,
    /// and all scratch. Everything else stays, and files that nobody can prove to be ours are named.
    ///
    /// # Errors
    /// The disk's. When the cancel could not be made durable the download stays on record; otherwise the rest of the
    /// sweep is done by `recover`.
    pub fn discard(mut self) -> Result<SweepReport, DiskError> {
        self.shared.close();
        let game = self.manifest().game_id.clone();
        let recorded = self.record_state(JournalState::Cancelled);
        if recorded.is_err() {
            self.shared.close_log();
        }
        record_cancel(&self.inner, &game, recorded)?;
        let files = (0u32..).zip(&self.journal.header.manifest.files);
        let adopted: Vec<u32> = files.map(|(i, _)| i).filter(|i| !self.shared.is_unadopted(*i)).collect();
        self.journal.adopted.extend(adopted);
        let owned: Vec<_> = self.journal.owned().cloned().collect();
        let shared = Arc::clone(&self.shared);
        sweep::sweep(&self.inner, &game, &owned, &mut || {
            let done = shared.append(&[Record::State(JournalState::Done)]);
            shared.close_log();
            done
        })
    }

    /// Leaves the download resumable, with all that is verified when the disk allows. A failure is logged: what was
    /// durable before stays so.
    pub fn suspend(mut self) {
        self.shared.close();
        if let Err(e) = self.checkpoint() {
            tracing::warn!(game = %self.manifest().game_id, error = %e, "last checkpoint of a suspended download failed");
        }
    }

    /// Makes the bytes of these chunks durable, and no promise yet. Returns what the synced files are then.
    fn sync_chunks(&mut self, pending: &[u32], all: bool) -> Result<Vec<(u32, FileStamp)>, DiskError> {
        let inner = self.inner.clone();
        let files: std::collections::BTreeSet<u32> =
            pending.iter().filter_map(|n| self.locate(*n)).map(|at| at.file).collect();
        if files.contains(&self.shared.sentinel) {
            self.stage_sentinel()?;
        }
        let (now, later): (Vec<u32>, Vec<u32>) =
            self.shared.take_dirty().into_iter().partition(|file| all || files.contains(file));
        for file in later {
            self.shared.mark_dirty(file);
        }
        let stamped: std::collections::BTreeSet<u32> = files.union(&now.iter().copied().collect()).copied().collect();
        let touched = self.touched(stamped.into_iter().filter(|f| *f != self.shared.sentinel));
        let paths = now.iter().filter(|f| **f != self.shared.sentinel).map(|f| self.shared.path(*f));
        let bulk = now.len() >= inner.tuning.bulk_sync_from
            && sweep::on_one_device(&inner, &self.root, paths)?
            && inner.fs.sync_everything(&self.root).map_err(|e| inner.io("syncing", &self.root, e))?;
        if !bulk {
            for file in now.into_iter().filter(|f| *f != self.shared.sentinel) {
                let handle = self.shared.handle(file)?;
                handle.sync().map_err(|e| inner.io("syncing", &self.shared.path(file), e))?;
            }
        }
        self.stamp(touched)
    }

    fn stage_sentinel(&self) -> Result<(), DiskError> {
        let file = self.shared.sentinel;
        let bytes = self.shared.sentinel_bytes();
        if self.expected(ChunkRef { file, chunk: 0 }) != Some(chunk_hash(bytes.len() as u64, 0, &bytes)) {
            return Err(self.mismatch(file, "staged bytes have another hash"));
        }
        let path = self.root.child(version::TMP);
        atomic::write_synced(&*self.inner.fs, &path, &bytes).map_err(|e| self.inner.io("writing", &path, e))
    }

    /// The manifest with all hashes, once every chunk is here: what a commit will leave.
    ///
    /// # Errors
    /// `Mismatch` when hashes are missing or do not merge.
    pub fn complete_manifest(&self) -> Result<Manifest, DiskError> {
        Ok(self.complete()?.0)
    }

    /// The content of a download whose list came without hashes, once all of it is here.
    #[must_use]
    pub fn content_if_unannounced(&self) -> Option<ContentHash> {
        if self.manifest().content_hash.is_some() {
            return None;
        }
        self.complete().ok()?.0.content_hash
    }

    /// The manifest with all hashes.
    fn complete(&self) -> Result<(Manifest, Vec<Vec<Digest>>), DiskError> {
        let mut files = self.manifest().files.clone();
        let mut hashes = Vec::with_capacity(files.len());
        for (i, f) in (0u32..).zip(&mut files) {
            let list = self.file_digests(i).ok_or_else(|| self.mismatch(i, "chunk digests are missing"))?;
            let merged = merge_chunk_hashes(&list);
            if f.blake3.is_some() && f.blake3 != merged {
                return Err(self.mismatch(i, "its chunks do not merge to the file's hash"));
            }
            f.blake3 = merged;
            hashes.push(list);
        }
        let m = self.manifest();
        Ok((Manifest::new(m.game_id.clone(), m.eti_version.clone(), files), hashes))
    }

    /// What the files are: each of the length that the manifest says, and as it was when it was last synced.
    fn stamps(&self) -> Result<Vec<FileStamp>, DiskError> {
        let mut out = Vec::with_capacity(self.manifest().files.len());
        for (i, f) in (0u32..).zip(&self.manifest().files) {
            let path = if i == self.shared.sentinel { self.root.child(version::TMP) } else { self.shared.path(i) };
            let meta = self.inner.fs.stat(&path).map_err(|e| self.inner.io("reading", &path, e))?;
            match meta {
                Some(m)
                    if m.kind == Kind::File
                        && m.len == f.size
                        && (i == self.shared.sentinel || self.journal.stamps.get(&i) == Some(&FileStamp::of(&m))) =>
                {
                    out.push(FileStamp::of(&m));
                }
                _ => return Err(DiskError::Changed { path: self.inner.shown(&path) }),
            }
        }
        Ok(out)
    }
}
