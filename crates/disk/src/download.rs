//! A download on disk: which chunks are here and right, what is known of their hashes.
//!
//! The transaction around it (begin and resume, checkpoint, commit, discard) is in the files beneath. Which chunk to
//! fetch from whom is not decided here, and a chunk is taken as right when the caller says so: it has hashed it.

use std::sync::Arc;

use bonfire_engine::recovery::JournalState;
use bonfire_proto::chunk::{ChunkHasher, chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkBitmap, ChunkLayout, ChunkRef, Digest, Manifest, RelPath, chunk_span};

use crate::error::DiskError;
use crate::fs::FsPath;
use crate::games::{Held, Inner};
use crate::journal::Journal;
use crate::journal::record::{Record, runs};

mod begin;
mod end;
mod handles;
mod open;
mod stamps;
mod writer;

pub use end::Committed;
pub(crate) use handles::COPY;
use handles::Place;
pub(crate) use open::ancestors;
use writer::Shared;
pub use writer::Writer;

/// A download in progress. Dropping it leaves it resumable from its last checkpoint.
#[derive(Debug)]
pub struct Download {
    inner: Arc<Inner>,
    /// Keeps every other transaction of this process off the game.
    _held: Held,
    root: FsPath,
    journal: Journal,
    shared: Arc<Shared>,
    /// Chunks verified since the last checkpoint.
    pending: Vec<u32>,
    /// Records that wait for the next checkpoint.
    pending_records: Vec<Record>,
    pending_digests: Vec<(u32, Digest)>,
    /// Folders whose names may not be durable.
    dirty_dirs: std::collections::BTreeSet<FsPath>,
    /// Files that this run made and that hold nothing but zeros until somebody writes.
    blank: std::collections::BTreeSet<u32>,
    /// Files of another length that may not be written where they lie: a copy of the right length replaces them.
    misfits: std::collections::BTreeSet<u32>,
    /// An earlier run may have written what is there.
    resumed: bool,
    /// A sync failed: nothing more can be promised.
    unsound: bool,
    /// Bytes of the file system that were not reserved at the beginning.
    unreserved: u64,
}

impl Download {
    /// What is being downloaded.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.journal.header.manifest
    }

    /// The numbering of its chunks.
    #[must_use]
    pub fn layout(&self) -> &ChunkLayout {
        &self.journal.layout
    }

    /// The chunks that are here and right, by number. Those since the last checkpoint are lost by a crash.
    #[must_use]
    pub fn verified(&self) -> &ChunkBitmap {
        &self.journal.verified
    }

    /// Digests of a file's chunks when all are known in advance; also `None` for a file that does not exist.
    #[must_use]
    pub fn hashes(&self, file: u32) -> Option<&[Digest]> {
        if let Some(list) = self.journal.hashes.get(&file) {
            return Some(list);
        }
        let entry = self.manifest().files.get(file as usize)?;
        match (self.layout().range(file)?.len(), entry.blake3.as_ref()) {
            (1, Some(only)) => Some(std::slice::from_ref(only)),
            _ => None,
        }
    }

    /// Bytes that the file system must still find for this download; 0 when they were reserved at the beginning.
    #[must_use]
    pub fn free_space_needed(&self) -> u64 {
        if self.unreserved == 0 {
            return 0;
        }
        let len = |n| self.locate(n).and_then(|at| self.span(at)).map_or(0, |(_, len)| len);
        self.verified().zeros().map(len).sum::<u64>().min(self.unreserved)
    }

    /// Files that this download would have to write over although nobody says that they are a version of the game: they
    /// lay in a root without a sentinel and do not hold what they should. Complete once [`Self::reuse`] went over all.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn strangers(&self) -> Result<Vec<RelPath>, DiskError> {
        let parked = self.root.child(crate::version::DISCARDED);
        if self.inner.kind(&parked)?.is_some() {
            return Ok(Vec::new());
        }
        let is_stranger = |file: u32| {
            let whole = self.layout().range(file).is_none_or(|mut r| r.all(|n| self.verified().get(n)));
            self.shared.is_unadopted(file) && !whole
        };
        let files = (0u32..).zip(&self.manifest().files).filter(|(i, _)| is_stranger(*i));
        Ok(files.map(|(_, f)| f.path.clone()).collect())
    }

    /// A handle for writing, to be cloned into as many threads as wanted.
    #[must_use]
    pub fn writer(&self) -> Writer {
        Writer::new(self.shared.clone())
    }

    /// Takes the chunk list of a file. It is journaled with the next checkpoint.
    ///
    /// # Errors
    /// `Mismatch` when it has another length than the file has chunks, does not merge to the file's hash in the
    /// manifest, or contradicts a chunk that is verified.
    pub fn set_hashes(&mut self, file: u32, list: Vec<Digest>) -> Result<(), DiskError> {
        let range = self.layout().range(file).ok_or_else(|| self.mismatch(file, "no such file"))?;
        if list.len() != range.len() {
            return Err(self.mismatch(file, "chunk list of another length"));
        }
        let blake3 = self.manifest().files.get(file as usize).and_then(|f| f.blake3);
        if blake3.is_some() && merge_chunk_hashes(&list) != blake3 {
            return Err(self.mismatch(file, "chunk list does not merge to the file's hash"));
        }
        let known = |n: u32| self.journal.digests.get(&n);
        if range.clone().zip(&list).any(|(n, d)| known(n).is_some_and(|k| k != d)) {
            return Err(self.mismatch(file, "chunk list contradicts verified chunks"));
        }
        if list.len() > 1 || blake3.is_none() {
            self.pending_records.push(Record::Hashes(file, list.clone()));
        }
        self.journal.hashes.insert(file, list);
        Ok(())
    }

    /// Looks at what the file already holds: each chunk that is not verified, whose digest is known and fits, becomes
    /// verified. Where only the whole file's hash is known, the whole file must fit. Asks `keep_going` with the bytes
    /// read since it was last asked. Returns how many chunks were found.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn reuse(&mut self, file: u32, keep_going: &dyn Fn(u64) -> bool) -> Result<u32, DiskError> {
        let Some(range) = self.layout().range(file) else { return Ok(0) };
        let Some(entry) = self.manifest().files.get(file as usize) else { return Ok(0) };
        let (size, blake3) = (entry.size, entry.blake3);
        let missing: Vec<u32> = range.clone().filter(|n| !self.verified().get(*n)).collect();
        // To read and hash what was just reserved would take as long as to fetch it.
        if missing.is_empty() || self.blank.remove(&file) {
            return Ok(0);
        }
        if file == self.shared.sentinel {
            return self.reuse_sentinel(file);
        }
        let whole = self.hashes(file).is_none() && !missing.iter().any(|n| self.journal.digests.contains_key(n));
        if whole && (blake3.is_none() || missing.len() < range.len()) {
            return Ok(0);
        }
        // From before the first byte is read: who writes after this is noticed at the next checkpoint.
        if self.shared.stamps.get(file).is_none() {
            self.shared.stamps.set(file, self.shared.stamp_now(file)?);
        }
        let mut found = Vec::new();
        let mut all = Vec::new();
        for n in missing {
            let chunk = n - range.start;
            let expected = self.expected(ChunkRef { file, chunk });
            if !whole && expected.is_none() {
                continue;
            }
            let (digest, go_on) = self.hash_on_disk(file, size, chunk, keep_going)?;
            match digest {
                Some(d) if whole => all.push(d),
                Some(d) if Some(d) == expected => found.push(n),
                _ => {}
            }
            if !go_on {
                break;
            }
        }
        if whole && all.len() == range.len() && merge_chunk_hashes(&all) == blake3 {
            self.set_hashes(file, all)?;
            found = range.clone().collect();
        }
        if !found.is_empty() && !self.shared.is_unadopted(file) {
            // What may not be written was never written by us: its bytes are no remains of a sync of ours that failed.
            if self.resumed && self.shared.place(file)? == Place::There {
                self.write_back(file, size, range.start, &found)?;
            }
            // They may be in the cache only, from before a kill.
            self.shared.mark_dirty(file);
        }
        for n in &found {
            self.journal.verified.set(*n);
            self.shared.handles.keep(*n);
        }
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        self.pending.extend(found);
        Ok(count)
    }

    /// Takes a chunk as written and right, its digest having been known. Returns whether that is new.
    ///
    /// # Errors
    /// `Mismatch` when there is no such chunk or its digest is not known.
    pub fn mark_verified(&mut self, at: ChunkRef) -> Result<bool, DiskError> {
        let n = self.number(at)?;
        if self.expected(at).is_none() {
            return Err(self.mismatch(at.file, "chunk marked verified without a known digest"));
        }
        let new = self.journal.verified.set(n);
        if new {
            self.pending.push(n);
        }
        Ok(new)
    }

    /// Takes a chunk as written, with the digest that its bytes have. For files whose chunk list is not known. Returns
    /// whether that is new.
    ///
    /// # Errors
    /// `Mismatch` when there is no such chunk, its known digest is another, or the file, complete by this chunk, does
    /// not have the hash that the manifest says: then all its chunks are to be fetched again.
    pub fn mark_verified_with(&mut self, at: ChunkRef, digest: Digest) -> Result<bool, DiskError> {
        let n = self.number(at)?;
        match self.expected(at) {
            Some(d) if d != digest => return Err(self.mismatch(at.file, "chunk has another digest")),
            Some(_) => return self.mark_verified(at),
            None => {}
        }
        self.journal.digests.insert(n, digest);
        self.pending_digests.push((n, digest));
        self.journal.verified.set(n);
        self.pending.push(n);
        self.check_complete(at.file)?;
        Ok(true)
    }

    /// Takes the file's verified chunks back when it is complete and does not have the hash that the manifest says.
    fn check_complete(&mut self, file: u32) -> Result<(), DiskError> {
        let Some(blake3) = self.manifest().files.get(file as usize).and_then(|f| f.blake3) else { return Ok(()) };
        let Some(list) = self.file_digests(file) else { return Ok(()) };
        if merge_chunk_hashes(&list) == Some(blake3) {
            return Ok(());
        }
        let Some(range) = self.layout().range(file) else { return Ok(()) };
        self.pending.retain(|n| !range.contains(n));
        self.pending_digests.retain(|(n, _)| !range.contains(n));
        for n in range.clone() {
            self.journal.verified.clear(n);
            self.journal.digests.remove(&n);
        }
        let record = Record::Unverified(runs(range));
        self.shared.append(&[record]).inspect_err(|_| self.unsound = true)?;
        Err(self.mismatch(file, "its chunks do not merge to the file's hash"))
    }

    /// Digests of all chunks of a file, known in advance or by the chunks that came.
    fn file_digests(&self, file: u32) -> Option<Vec<Digest>> {
        if let Some(list) = self.hashes(file) {
            return Some(list.to_vec());
        }
        self.layout().range(file)?.map(|n| self.journal.digests.get(&n).copied()).collect()
    }

    /// The digest that a chunk must have, if that is known.
    fn expected(&self, at: ChunkRef) -> Option<Digest> {
        if let Some(list) = self.hashes(at.file) {
            return list.get(at.chunk as usize).copied();
        }
        self.journal.digests.get(&self.layout().number(at)?).copied()
    }

    fn number(&self, at: ChunkRef) -> Result<u32, DiskError> {
        self.layout().number(at).ok_or_else(|| self.mismatch(at.file, "no such chunk"))
    }

    fn locate(&self, n: u32) -> Option<ChunkRef> {
        self.layout().locate(n)
    }

    fn span(&self, at: ChunkRef) -> Option<(u64, u64)> {
        chunk_span(self.manifest().files.get(at.file as usize)?.size, at.chunk)
    }

    fn mismatch(&self, file: u32, reason: &'static str) -> DiskError {
        DiskError::Mismatch { path: self.inner.shown(&self.shared.path(file)), reason }
    }

    /// The digest of a chunk as it lies on disk, `None` when the file is too short; and whether to go on.
    fn hash_on_disk(
        &self,
        file: u32,
        size: u64,
        chunk: u32,
        keep_going: &dyn Fn(u64) -> bool,
    ) -> Result<(Option<Digest>, bool), DiskError> {
        let handle = self.shared.handle(file)?;
        let Some((start, len)) = chunk_span(size, chunk) else { return Ok((None, true)) };
        let mut hasher = ChunkHasher::new(size, chunk);
        let mut buf = vec![0u8; usize::try_from(len.clamp(1, 1 << 20)).unwrap_or(1)];
        let (mut pos, end, mut go_on) = (start, start + len, true);
        while pos < end {
            let want = buf.len().min(usize::try_from(end - pos).unwrap_or(usize::MAX));
            let path = self.shared.path(file);
            let n = crate::fs::read_full_at(&*handle, &mut buf[..want], pos)
                .map_err(|e| self.inner.io("reading", &path, e))?;
            if n < want {
                return Ok((None, go_on));
            }
            hasher.update(&buf[..n]);
            pos += n as u64;
            go_on = keep_going(n as u64);
            if !go_on && pos < end {
                return Ok((None, false));
            }
        }
        Ok((Some(hasher.finish()), go_on))
    }

    /// Writes chunks over themselves. After a sync that failed, the cache shows bytes that the system has given up and
    /// takes for written; only bytes written anew reach the disk with the next sync.
    fn write_back(&self, file: u32, size: u64, start: u32, chunks: &[u32]) -> Result<(), DiskError> {
        let _writing = self.shared.stamps.writing(file);
        let handle = self.shared.writable(file)?;
        let path = self.shared.path(file);
        let mut buf = vec![0u8; 1 << 20];
        for n in chunks {
            let Some((mut pos, len)) = chunk_span(size, n - start) else { continue };
            let end = pos + len;
            while pos < end {
                let want = buf.len().min(usize::try_from(end - pos).unwrap_or(usize::MAX));
                let n = crate::fs::read_full_at(&*handle, &mut buf[..want], pos)
                    .map_err(|e| self.inner.io("reading", &path, e))?;
                if n < want {
                    return Err(DiskError::Changed { path: self.inner.shown(&path) });
                }
                crate::fs::write_all_at(&*handle, &buf[..n], pos).map_err(|e| self.inner.io("writing", &path, e))?;
                pos += n as u64;
            }
        }
        Ok(())
    }

    /// The sentinel is a file of few bytes that is held in memory; the version before may have had the same.
    fn reuse_sentinel(&mut self, file: u32) -> Result<u32, DiskError> {
        let at = ChunkRef { file, chunk: 0 };
        let Some(expected) = self.expected(at) else { return Ok(0) };
        let size = self.manifest().files.get(file as usize).map_or(0, |f| f.size);
        for name in [crate::version::DISCARDED, crate::version::TMP] {
            let path = self.root.child(name);
            let bytes = crate::atomic::read_small(&*self.inner.fs, &path, bonfire_proto::limits::SENTINEL_LEN_MAX);
            let bytes = match bytes {
                Ok(Some(b)) => b,
                Ok(None) => continue,
                Err(e) => {
                    tracing::warn!(path = %self.inner.shown(&path).display(), error = %e, "cannot reuse version.ini");
                    continue;
                }
            };
            if bytes.len() as u64 == size && chunk_hash(size, 0, &bytes) == expected {
                self.shared.set_sentinel(bytes);
                return Ok(u32::from(self.mark_verified(at)?));
            }
        }
        Ok(0)
    }

    /// Records how far the transaction got, durably.
    fn record_state(&mut self, state: JournalState) -> Result<(), DiskError> {
        self.shared.append(&[Record::State(state)]).inspect_err(|_| self.unsound = true)?;
        self.journal.state = state;
        Ok(())
    }
}
