//! The worker of saves: carries out what the desk wants done with one slot's disk and store, and says what came of it.
//!
//! Owns captures until they are made a snapshot, what is known of live files, and how much is done at once. Decides
//! nothing: when to look, what to make, apply, fetch or prune is the desk's.

mod archive;
mod disk;
mod fetch;
mod keep;
mod listings;
mod live;
mod make;
mod recover;
mod watching;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bonfire_disk::fs::Fs;
use bonfire_disk::saves::{Captured, SaveError, SaveSet, SaveStore};
use bonfire_engine::command::Reply;
use bonfire_engine::input::Input;
use bonfire_engine::saves::compare::Comparison;
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::slot::{Done, Look};
use bonfire_engine::saves::work::{Checked, SaveInput, SaveJob, SaveWork, SetKey};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::Connection;
use bonfire_proto::save::Snapshot;
use bonfire_proto::{PeerId, PlayerId, SnapshotId};
use tokio::sync::{Semaphore, mpsc};

use crate::conns;
use crate::errors;
use crate::task::Event;
use crate::world::World;

use self::listings::Listings;
pub use self::live::LiveSaves;
pub(crate) use self::watching::Watching;

/// Pieces of disk work at once. Reading and packing a save takes a processor and the disk's time; a third beside two would
/// slow down the game that is being played and finish nothing sooner.
const DISK_AT_ONCE: u32 = 2;

/// The worker; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Saves(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    world: World,
    store: SaveStore,
    /// The data folder.
    data: Arc<dyn Fs>,
    live: Arc<dyn LiveSaves>,
    disk: Arc<Semaphore>,
    /// What nobody waits for: one at a time, beside the rest.
    background: Arc<Semaphore>,
    /// Whether a sweep of objects waits for its turn in the background.
    sweep_waits: AtomicBool,
    captures: Mutex<Captures>,
    listings: Listings,
    /// Shared by applies, alone for who finishes those that were cut off: one that is under way looks like one of them.
    applying: RwLock<()>,
}

/// What looks found and nobody made a snapshot of yet, with the leases that keep its content.
#[derive(Debug, Default)]
struct Captures {
    last: u64,
    of: BTreeMap<SetKey, (u64, Arc<Captured>)>,
}

impl Saves {
    pub(crate) fn new(world: World, store: SaveStore, data: Arc<dyn Fs>, live: Arc<dyn LiveSaves>) -> Self {
        let listings = Listings::new(world.database.clone());
        Self(Arc::new(Inner {
            world,
            store,
            data,
            live,
            disk: Arc::new(Semaphore::new(DISK_AT_ONCE as usize)),
            background: Arc::new(Semaphore::new(1)),
            sweep_waits: AtomicBool::new(false),
            captures: Mutex::default(),
            listings,
            applying: RwLock::default(),
        }))
    }

    /// The store of snapshots.
    pub(crate) fn store(&self) -> &SaveStore {
        &self.0.store
    }

    /// Carries out a job and says what came of it.
    pub(crate) async fn run(self, job: SaveJob, sources: Vec<(PeerId, Connection)>, events: mpsc::Sender<Event>) {
        let asked = job.clone();
        let is_prune = matches!(job.work, SaveWork::Prune { .. });
        let input = self.carry_out(job, sources).await.unwrap_or_else(|error| failure(asked, error));
        conns::send(&events, Event::Input(Input::Save(input))).await;
        if is_prune {
            // Nobody waits for the room that it makes.
            self.sweep().await;
        }
    }

    async fn carry_out(&self, job: SaveJob, sources: Vec<(PeerId, Connection)>) -> Result<SaveInput, Report> {
        let SaveJob { line, work } = job;
        match work {
            SaveWork::Look { place, pids } => self.on_disk(move |own| own.look(line, &place, &pids)).await,
            SaveWork::Make { make, stamp, played_ms } => {
                self.on_disk(move |own| {
                    let made = own.make(&line, &make, stamp, played_ms);
                    SaveInput::Made(line, made)
                })
                .await
            }
            SaveWork::Apply { place, from, to, pids } => {
                self.on_disk(move |own| {
                    let (done, is_running) = own.apply(&line, &place, from, to, &pids);
                    SaveInput::Applied(line, done, is_running)
                })
                .await
            }
            SaveWork::Copies { place, write, remove } => {
                self.on_disk(move |own| {
                    let copied = own.copies(&line, &place, &write, &remove);
                    SaveInput::Copied(line, copied.map_or_else(Done::Failed, Done::Well))
                })
                .await
            }
            SaveWork::Fetch { ids, .. } => Ok(self.fetch(line, ids, sources).await),
            SaveWork::Branch { from, stamp } => {
                self.on_disk(move |own| {
                    let begun = own.branch(&line, &from, stamp);
                    SaveInput::Begun(line, begun, None)
                })
                .await
            }
            SaveWork::Import { command, file, label, parents, stamp } => {
                self.on_disk(move |own| {
                    let begun = own.import(&line, Path::new(&file), label.as_deref(), &parents, stamp);
                    SaveInput::Begun(line, begun, Some(command))
                })
                .await
            }
            SaveWork::Prune { ids } => self.in_background(move |own| own.prune(line, &ids)).await,
            SaveWork::Verify { ids } => self.in_background(move |own| own.verify(line, &ids)).await,
            SaveWork::Compare { command, from, to } => {
                self.in_background(move |own| SaveInput::Answered(command, own.compare(from, to))).await
            }
            SaveWork::Export { command, id, folder } => {
                self.in_background(move |own| SaveInput::Answered(command, own.export(&id, Path::new(&folder)))).await
            }
            SaveWork::IsRunning { place, pids } => {
                self.on_disk(move |own| {
                    let (is_running, unknown) = own.is_running(&place, &pids);
                    if let Some(error) = unknown {
                        tracing::warn!("{error}");
                    }
                    SaveInput::Running(line, is_running)
                })
                .await
            }
        }
    }

    /// Waits for what is under way on the disk, and lets nothing more begin.
    pub(crate) async fn stop(&self) {
        // Whoever waits for a turn hears that there is none any more; what runs holds its permit to its end.
        let all = self.0.disk.acquire_many(DISK_AT_ONCE).await;
        self.0.disk.close();
        self.0.background.close();
        drop(all);
    }

    /// Runs disk work where blocking is allowed, a few at once. It runs to its end even when this is dropped.
    async fn on_disk<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T, Report> {
        self.turn(self.0.disk.clone(), work).await
    }

    async fn in_background<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, Report> {
        self.turn(self.0.background.clone(), work).await
    }

    async fn turn<T: Send + 'static>(
        &self,
        turns: Arc<Semaphore>,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, Report> {
        let stopping = |_| Report::new(ErrorClass::Cancelled, "stopping", "the peer is stopping");
        let turn = turns.acquire_owned().await.map_err(stopping)?;
        let own = self.0.clone();
        let done = self.0.world.blocking.run(move || {
            let done = work(&own);
            drop(turn);
            done
        });
        done.await
    }
}

impl Inner {
    /// A snapshot of a player, from the store or, when its content is not here, from what is known of it.
    fn snapshot(&self, player: PlayerId, id: &SnapshotId) -> Result<Snapshot, Report> {
        let bytes = match self.store.snapshot_bytes(id) {
            Ok(bytes) => bytes,
            Err(SaveError::NoSnapshot(_)) => {
                let text = self.world.database.with(|s| s.snapshot_text(player, *id)).map_err(|e| errors::store(&e))?;
                text.ok_or_else(|| errors::save(&SaveError::NoSnapshot(*id)))?.into_bytes()
            }
            Err(error) => return Err(errors::save(&error)),
        };
        Snapshot::from_bytes(&bytes).map_err(|e| errors::save(&e.into()))
    }

    /// How the files of two stored snapshots differ. To be called where blocking is allowed.
    fn compare(&self, from: SnapshotId, to: SnapshotId) -> Result<Reply, Report> {
        let files = |id| self.store.snapshot(&id).and_then(|s| self.store.entries(&s)).map_err(|e| errors::save(&e));
        let comparison = Comparison::of(&files(from)?, &files(to)?);
        Ok(Reply::Compared { from, to, comparison })
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.world.clock.unix_ms()).unwrap_or(i64::MAX)
    }

    fn captures(&self) -> MutexGuard<'_, Captures> {
        // Each change is one insertion or removal.
        self.captures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set_of(line: &Line) -> SaveSet {
    SaveSet { player: line.player, game_id: line.game_id.clone() }
}

/// What is said of a job that could not even begin, or whose worker broke.
pub(crate) fn failure(job: SaveJob, error: Report) -> SaveInput {
    let SaveJob { line, work } = job;
    match work {
        SaveWork::Look { .. } => {
            let problems = vec![error.message];
            SaveInput::Looked { line, look: Look::Unreadable, is_running: false, problems }
        }
        SaveWork::Make { .. } => SaveInput::Made(line, Done::Failed(error)),
        SaveWork::Apply { .. } => SaveInput::Applied(line, Done::Failed(error), false),
        SaveWork::Copies { .. } => SaveInput::Copied(line, Done::Failed(error)),
        SaveWork::Fetch { ids, .. } => SaveInput::Fetched { line, asked: ids, brought: Vec::new(), is_cut: true },
        SaveWork::Branch { .. } => SaveInput::Begun(line, Err(error), None),
        SaveWork::Import { command, .. } => SaveInput::Begun(line, Err(error), Some(command)),
        SaveWork::Prune { .. } => SaveInput::Pruned(line, Vec::new(), Some(error)),
        SaveWork::Verify { .. } => {
            SaveInput::Verified(line, Checked { unread: vec![error.message], ..Checked::default() })
        }
        SaveWork::Compare { command, .. } | SaveWork::Export { command, .. } => {
            SaveInput::Answered(command, Err(error))
        }
        // Of what could not be looked at, the careful answer.
        SaveWork::IsRunning { .. } => SaveInput::Running(line, true),
    }
}

#[cfg(test)]
mod tests;
