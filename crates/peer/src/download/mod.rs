//! One download, from the file list to the sentinel, as a worker: the engine says what and from whom, `engine::swarm`
//! says which chunk from which source, `bonfire-disk` keeps the transaction.
//!
//! Owns the order of the steps and what a cancel or a failure leaves behind. The steps are in `manifest` (lists and
//! digests), `transfer` (the chunks of all sources) and `span` (the chunks of one request).

mod manifest;
mod span;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_disk::{Committed, DiskError, Download, SweepReport};
use bonfire_engine::input::{Input, OpId, OpInput, OpOutcome};
use bonfire_engine::offers::Target;
use bonfire_engine::snapshot::Phase;
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::{Digest, GameId, Manifest, PeerId, RelPath, chunk_count};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::conns;
use crate::errors;
use crate::index::{Index, KnownFile};
use crate::progress::Progress;
use crate::task::Event;
use crate::world::World;

/// Free space that is left alone beyond what a game needs: a full disk stops more than games.
pub(crate) const SPARE_BYTES: u64 = 64 << 20;
/// How often a download begins anew by itself when its source changes its files meanwhile. Who changes them without end
/// is told of instead of fetched from for ever.
const ATTEMPTS: u32 = 5;

/// How a worker is steered and what it reports to.
#[derive(Debug, Clone)]
pub(crate) struct Steer {
    pub(crate) op: OpId,
    pub(crate) cancel: CancellationToken,
    /// The peer stops: ends the work so that the next start goes on with it.
    pub(crate) stop: CancellationToken,
    /// The engine's word that the game may be put in place; it never cancels after that.
    pub(crate) commit: CancellationToken,
    pub(crate) sources: watch::Receiver<Vec<(PeerId, Connection)>>,
    pub(crate) progress: Arc<Progress>,
}

/// Why a worker ended before its work was done.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    Failed(Report),
    /// The source has, or may have, other bytes than those that came: nothing that is here can be gone on with.
    Anew(Report),
}

impl From<Report> for Stop {
    fn from(error: Report) -> Self {
        Self::Failed(error)
    }
}

/// What a finished transfer brought.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) version: String,
    pub(crate) fetched: u64,
    pub(crate) reused: u64,
}

/// Fetches a game and tells the engine how it ended.
pub(crate) async fn run(
    world: World,
    index: Index,
    steer: Steer,
    target: Target,
    resume: bool,
    events: mpsc::Sender<Event>,
) {
    let mut work = Work { world, index, steer, events, game: target.game.clone(), download: None };
    let stop = work.steer.stop.clone();
    let ended = tokio::select! {
        biased;
        ended = work.download(&target, resume) => ended,
        () = stop.cancelled() => Err(Stop::Failed(unsteered())),
    };
    let outcome = match ended {
        Ok(f) => OpOutcome::Downloaded { version: f.version, fetched: f.fetched, reused: f.reused },
        // A cancel wins over whatever else went wrong while it was on its way.
        Err(_) if work.steer.cancel.is_cancelled() => work.sweep().await,
        Err(Stop::Cancelled) => work.sweep().await,
        Err(Stop::Failed(error) | Stop::Anew(error)) => OpOutcome::Failed { error, resumable: work.suspend().await },
    };
    work.finish(outcome).await;
}

/// Sweeps a download that lies on the disk.
pub(crate) async fn discard(world: World, op: OpId, game: GameId, events: mpsc::Sender<Event>) {
    let folder = world.folder.clone();
    let id = game.clone();
    let swept = world
        .blocking
        .run(move || match folder.discard_recorded(&id) {
            // Nothing is recorded, so nothing of ours lies there.
            Err(DiskError::NotFound { .. }) => Ok(SweepReport::default()),
            swept => swept,
        })
        .await;
    finish(&events, op, swept_outcome(swept.and_then(|r| r.map_err(|e| errors::disk(&e))))).await;
}

/// Removes the downloaded files of a game.
pub(crate) async fn remove(world: World, index: Index, op: OpId, game: GameId, events: mpsc::Sender<Event>) {
    let folder = world.folder.clone();
    let work = move || {
        let only = index.downloaded_version(&game)?;
        folder.remove_downloaded_as(&game, only.as_ref()).map_err(|e| errors::remove(&e))?;
        index.forget_download(&game)
    };
    let removed = world.blocking.run(work).await;
    let outcome = match removed.and_then(|r| r) {
        Ok(()) => OpOutcome::Removed,
        Err(error) => OpOutcome::Failed { error, resumable: false },
    };
    finish(&events, op, outcome).await;
}

/// Ends an operation whose worker panicked: what it had verified may still be gone on with.
pub(crate) async fn broke(world: World, op: OpId, game: GameId, events: mpsc::Sender<Event>) {
    let error = crate::task::bug(&format!("the work on {game} broke off; the log says where"));
    let resumable = is_resumable(&world, &game).await;
    finish(&events, op, OpOutcome::Failed { error, resumable }).await;
}

/// Whether a download of the game is on record. When that cannot be read it may be: whoever goes on with one that is not
/// there begins anew, and whoever sweeps it has nothing to do; but nothing else may begin beside one that is there.
async fn is_resumable(world: &World, game: &GameId) -> bool {
    let (folder, id) = (world.folder.clone(), game.clone());
    let read = world.blocking.run(move || folder.is_resumable(&id).map_err(|e| errors::disk(&e))).await;
    read.and_then(|r| r).unwrap_or_else(|error| {
        tracing::warn!("{game}: {error}");
        true
    })
}

pub(crate) async fn finish(events: &mpsc::Sender<Event>, op: OpId, outcome: OpOutcome) {
    conns::send(events, Event::Input(Input::Op(op, OpInput::Finished(outcome)))).await;
}

/// The state of one worker.
pub(crate) struct Work {
    pub(crate) world: World,
    pub(crate) index: Index,
    pub(crate) steer: Steer,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) game: GameId,
    /// The transaction, from when it is begun.
    pub(crate) download: Option<Download>,
}

impl Work {
    async fn download(&mut self, target: &Target, resume: bool) -> Result<Fetched, Stop> {
        self.phase(Phase::Preparing).await;
        if resume {
            self.resume(target).await?;
        }
        let mut attempts = 0;
        loop {
            if self.download.is_none() {
                let manifest = manifest::fetch(self, target).await?;
                self.begin(manifest).await?;
            }
            match self.transfer(Some(target)).await {
                Err(Stop::Anew(error)) if attempts < ATTEMPTS => {
                    tracing::info!("{} begins anew: {error}", self.game);
                    attempts += 1;
                    self.begin_anew().await?;
                }
                ended => return ended,
            }
        }
    }

    /// Takes up what is on record, if it may be gone on with.
    async fn resume(&mut self, target: &Target) -> Result<(), Stop> {
        let (folder, game) = (self.world.folder.clone(), self.game.clone());
        let resumed = self
            .blocking(move || match folder.resume_download(&game) {
                // It was not known whether there is one: there is none. Or it was complete but for its last steps: what
                // lies there is looked at like any other version.
                Err(DiskError::NotFound { .. } | DiskError::Completed { .. }) => Ok(None),
                other => other.map(Some),
            })
            .await?;
        let Some(resumed) = resumed else { return Ok(()) };
        let known = resumed.manifest().content_hash.is_some();
        let started = resumed.verified().count() > 0;
        self.download = Some(resumed);
        // Bytes of a source that had not read its own files prove nothing to another, and a list without hashes holds
        // nothing that several sources could be checked against.
        if !known && (started || target.content_hash.is_some()) {
            self.begin_anew().await?;
        }
        Ok(())
    }

    async fn begin_anew(&mut self) -> Result<(), Stop> {
        self.steer.progress.set_done(0);
        if let Some(download) = self.download.take() {
            self.blocking(move || download.discard()).await?;
        }
        Ok(())
    }

    /// Begins the transaction over a file list.
    pub(crate) async fn begin(&mut self, manifest: Manifest) -> Result<(), Stop> {
        let (index, game) = (self.index.clone(), self.game.clone());
        let here = self.blocking_report(move || Ok(index.vouched(&game))).await?;
        let size = manifest.size();
        let reclaimed: u64 =
            here.sizes.iter().filter_map(|(path, size)| manifest.file(path).map(|f| f.size.min(*size))).sum();
        let folder = self.world.folder.clone();
        let free = self.blocking(move || folder.free_space()).await?;
        let needed = size.saturating_sub(reclaimed).saturating_add(SPARE_BYTES);
        if free < needed {
            return Err(Stop::Failed(no_space(&self.game, needed, free, &self.world)));
        }
        let replaceable: Vec<RelPath> = here.replaceable.iter().map(|f| f.path.clone()).collect();
        let (index, game) = (self.index.clone(), self.game.clone());
        // Before the sentinel is set aside, so that a cancel and a second `get` still know what they were.
        self.blocking_report(move || index.note_replaceable(&game, &here.replaceable)).await?;
        let folder = self.world.folder.clone();
        let begun = self.blocking(move || folder.begin_download_over(&manifest, &here.ours, &replaceable)).await?;
        self.download = Some(begun);
        Ok(())
    }

    /// From a begun transaction to the sentinel. Without a target, of content that is known.
    pub(crate) async fn transfer(&mut self, target: Option<&Target>) -> Result<Fetched, Stop> {
        let total = self.begun()?.manifest().size();
        self.steer.progress.set_total(total);
        manifest::digests(self).await?;
        self.reuse().await?;
        self.spare_strangers().await?;
        let reused = self.verified_bytes()?;
        self.phase(Phase::Transferring).await;
        let fetched = transfer::run(self).await?;
        if let Some(target) = target {
            manifest::confirm(self, target).await?;
        }
        self.phase(Phase::Committing).await;
        // Most of what takes time, before the point of no return: until then a cancel is heard.
        self.sync().await?;
        self.tell(OpInput::Ready).await;
        let granted = self.steer.commit.clone();
        self.or_cancelled(granted.cancelled()).await?;
        let version = self.begun()?.manifest().eti_version.clone();
        self.commit().await?;
        Ok(Fetched { version, fetched, reused })
    }

    /// Looks at what lies on the disk already: after a kill, for an update, for a repair.
    async fn reuse(&mut self) -> Result<(), Stop> {
        self.phase(Phase::Checking).await;
        let files = u32::try_from(self.begun()?.manifest().files.len()).unwrap_or(u32::MAX);
        self.steer.progress.set_done(self.verified_bytes()?);
        // In batches, so that a cancel is heard between small files and inside large ones.
        let mut next = 0u32;
        while next < files {
            let mut download = self.take()?;
            let (cancel, progress) = (self.steer.cancel.clone(), self.steer.progress.clone());
            let first = next;
            let (download, read) = self
                .world
                .blocking
                .run(move || {
                    // Bytes read count as done until the batch tells how many of them are right.
                    let keep_going = |bytes: u64| {
                        progress.add(bytes);
                        !cancel.is_cancelled()
                    };
                    let mut file = first;
                    let end = files.min(first.saturating_add(256));
                    let mut result = Ok(());
                    while file < end && !cancel.is_cancelled() {
                        if let Err(e) = download.reuse(file, &keep_going) {
                            result = Err(e);
                            break;
                        }
                        file += 1;
                    }
                    progress.set_done(verified_bytes(&download));
                    (download, result.map(|()| file))
                })
                .await?;
            self.download = Some(download);
            next = read.map_err(|e| errors::disk(&e))?;
            if self.steer.cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
        }
        Ok(())
    }

    /// Gives up before a file is written over that nobody says is a version of the game. Only then is it known: a file
    /// of the right length may well hold the right bytes.
    async fn spare_strangers(&mut self) -> Result<(), Stop> {
        let (download, index, game) = (self.take()?, self.index.clone(), self.game.clone());
        let look = move || {
            let strangers = download.strangers().map(|mut strangers| {
                if !strangers.is_empty() {
                    let here: BTreeSet<RelPath> =
                        index.vouched(&game).replaceable.into_iter().map(|f| f.path).collect();
                    strangers.retain(|path| !here.contains(path));
                }
                strangers
            });
            (strangers, download)
        };
        let (strangers, download) = self.world.blocking.run(look).await?;
        let strangers = match strangers {
            Ok(strangers) => strangers,
            Err(error) => {
                self.download = Some(download);
                return Err(Stop::Failed(errors::disk(&error)));
            }
        };
        let Some(first) = strangers.first() else {
            self.download = Some(download);
            return Ok(());
        };
        let path = self.world.folder.path().join(self.game.as_str()).join(first.as_str());
        let error = errors::disk(&DiskError::Occupied { path, count: strangers.len() });
        self.blocking(move || download.discard()).await?;
        Err(Stop::Failed(error))
    }

    /// Makes every chunk durable.
    async fn sync(&mut self) -> Result<(), Stop> {
        let mut download = self.take()?;
        let (download, synced) = self
            .world
            .blocking
            .run(move || {
                let synced = download.checkpoint();
                (download, synced)
            })
            .await?;
        self.download = Some(download);
        Ok(synced.map_err(|e| errors::disk(&e))?)
    }

    /// From here on there is no way back.
    async fn commit(&mut self) -> Result<(), Stop> {
        let (download, index) = (self.take()?, self.index.clone());
        // What the sentinel will stand for is durable before it: after a kill in between, a person's own files beside it
        // would be taken for the game's.
        let commit = move || {
            let manifest = download.complete_manifest().map_err(|e| errors::disk(&e))?;
            index.note_expected(&manifest)?;
            download.commit().map_err(|e| errors::disk(&e))
        };
        let committed: Committed = self.blocking_report(commit).await?;
        let files: Vec<KnownFile> = committed
            .manifest
            .files
            .iter()
            .zip(committed.stamps)
            .zip(committed.hashes)
            .filter_map(|((f, stamp), chunks)| {
                Some(KnownFile { path: f.path.clone(), stamp, blake3: f.blake3?, chunks })
            })
            .collect();
        let (index, game) = (self.index.clone(), self.game.clone());
        let noted = move || {
            // The game is here and complete, whatever the database says: it is read again. What the engine wants durable of
            // it comes later and is not forgiven.
            if let Err(error) = index.note_download(&game, files) {
                tracing::warn!("{game} was downloaded, and what it held could not be noted: {error}");
                index.distrust(&game);
            }
            Ok(())
        };
        self.blocking_report(noted).await
    }

    /// After a cancel: nothing of the download stays.
    async fn sweep(&mut self) -> OpOutcome {
        match self.download.take() {
            None => {
                // It had not begun; an earlier attempt that failed half way (a full disk) may have left its records.
                let (folder, game) = (self.world.folder.clone(), self.game.clone());
                match self.world.blocking.run(move || folder.discard_recorded(&game)).await {
                    Ok(Err(DiskError::NotFound { .. } | DiskError::Busy { .. })) => {
                        OpOutcome::Swept { removed: 0, kept: Vec::new() }
                    }
                    swept => swept_outcome(swept.and_then(|r| r.map_err(|e| errors::disk(&e)))),
                }
            }
            Some(download) => {
                let swept = self.world.blocking.run(move || download.discard()).await;
                swept_outcome(swept.and_then(|r| r.map_err(|e| errors::disk(&e))))
            }
        }
    }

    /// After a failure: what was verified stays. Returns whether there is anything to go on from.
    pub(crate) async fn suspend(&mut self) -> bool {
        if let Some(download) = self.download.take() {
            // A failed last checkpoint costs the chunks since the one before; the failure itself is reported already.
            if let Err(error) = self.world.blocking.run(move || download.suspend()).await {
                tracing::warn!("{}: {error}", self.game);
            }
        }
        is_resumable(&self.world, &self.game).await
    }

    pub(crate) async fn finish(&self, outcome: OpOutcome) {
        finish(&self.events, self.steer.op, outcome).await;
    }

    pub(crate) async fn tell(&self, input: OpInput) {
        conns::send(&self.events, Event::Input(Input::Op(self.steer.op, input))).await;
    }

    pub(crate) async fn phase(&self, phase: Phase) {
        self.tell(OpInput::Phase(phase)).await;
    }

    pub(crate) fn begun(&self) -> Result<&Download, Stop> {
        self.download.as_ref().ok_or_else(|| Stop::Failed(crate::task::bug("no transaction was begun")))
    }

    pub(crate) fn begun_mut(&mut self) -> Result<&mut Download, Stop> {
        self.download.as_mut().ok_or_else(|| Stop::Failed(crate::task::bug("no transaction was begun")))
    }

    pub(crate) fn take(&mut self) -> Result<Download, Stop> {
        self.download.take().ok_or_else(|| Stop::Failed(crate::task::bug("no transaction was begun")))
    }

    pub(crate) fn verified_bytes(&self) -> Result<u64, Stop> {
        self.begun().map(verified_bytes)
    }

    pub(crate) async fn blocking<T, F>(&self, work: F) -> Result<T, Stop>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, DiskError> + Send + 'static,
    {
        Ok(self.world.blocking.run(work).await?.map_err(|e| errors::disk(&e))?)
    }

    pub(crate) async fn blocking_report<T, F>(&self, work: F) -> Result<T, Stop>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T, Report> + Send + 'static,
    {
        Ok(self.world.blocking.run(work).await??)
    }

    /// Runs a step that only waits for the network, and drops it the moment the operation is cancelled.
    pub(crate) async fn or_cancelled<T>(&self, step: impl Future<Output = T>) -> Result<T, Stop> {
        tokio::select! {
            biased;
            () = self.steer.cancel.cancelled() => Err(Stop::Cancelled),
            done = step => Ok(done),
        }
    }
}

/// Bytes of verified chunks.
pub(crate) fn verified_bytes(download: &Download) -> u64 {
    let (layout, manifest) = (download.layout(), download.manifest());
    download
        .verified()
        .ones()
        .filter_map(|n| {
            let at = layout.locate(n)?;
            bonfire_proto::chunk_span(manifest.files.get(at.file as usize)?.size, at.chunk).map(|(_, len)| len)
        })
        .sum()
}

/// Digests of a file's chunks in one allocation that span tasks share.
pub(crate) type SharedDigests = BTreeMap<u32, Arc<Vec<Digest>>>;

/// Whether a file's chunk digests have to be asked for: it has several, and its own hash is known to check them.
pub(crate) fn wants_digests(download: &Download, file: u32) -> bool {
    let Some(entry) = download.manifest().files.get(file as usize) else { return false };
    chunk_count(entry.size) > 1 && entry.blake3.is_some() && download.hashes(file).is_none()
}

fn swept_outcome(swept: Result<SweepReport, Report>) -> OpOutcome {
    match swept {
        Ok(report) => OpOutcome::Swept {
            removed: report.removed,
            kept: report.kept_unproven.iter().map(ToString::to_string).collect(),
        },
        Err(error) => OpOutcome::Failed { error, resumable: true },
    }
}

/// The report of an operation that nobody leads any more: the peer is going down. Not a cancel, which would sweep.
pub(crate) fn unsteered() -> Report {
    Report::new(ErrorClass::Cancelled, "stopped", "the peer stopped in the middle").retryable()
}

pub(crate) fn no_space(game: &GameId, needed: u64, free: u64, world: &World) -> Report {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    Report::new(
        ErrorClass::Environment,
        "no_space",
        format!("{game} needs {} MiB, and {} has {} MiB free", mib(needed), world.folder.path().display(), mib(free)),
    )
    .hint("free some space on that disk, then ask again")
}
