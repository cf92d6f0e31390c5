//! Installs, updates and uninstalls as workers: the payload is looked at, unpacked by a child or placed, and put in place
//! by `bonfire-disk`'s transaction.
//!
//! Owns the order of the steps and what a cancel or a failure leaves behind: what was there before. What is the player's,
//! and where it goes, `bonfire_engine::installs` decides; what comes out of an archive, `bonfire-unpack`.

mod ending;
mod errors;
mod guard;
mod payload;
mod unpack;
mod verify;

use std::sync::Arc;

use bonfire_disk::install::{Installed, Staging, Uninstalled};
use bonfire_engine::input::{InstallReport, OpId, OpInput, OpOutcome};
use bonfire_engine::snapshot::Phase;
use bonfire_engine::{Report, UnixMillis};
use bonfire_proto::GameId;
use bonfire_unpack::Unpacker;
use tokio::sync::mpsc;

use ending::Unfinished;
use guard::Guard;

use crate::download::{SPARE_BYTES, Steer, Stop, Work, finish, no_space, unsteered};
use crate::index::Index;
use crate::saves::LiveSaves;
use crate::task::Event;
use crate::world::World;

/// What the workers of installs share; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Installer {
    pub(crate) world: World,
    pub(crate) index: Index,
    pub(crate) live: Arc<dyn LiveSaves>,
    /// What reads archives; without it they are refused.
    pub(crate) unpacker: Option<Unpacker>,
    /// Processes that were named of the game.
    pub(crate) players: Vec<u32>,
}

impl Installer {
    /// One that changes nothing while one of these processes lives.
    pub(crate) fn sparing(self, players: Vec<u32>) -> Self {
        Self { players, ..self }
    }

    /// Installs or updates a game and tells the engine how it ended.
    pub(crate) async fn install(self, steer: Steer, game: GameId, version: String, events: mpsc::Sender<Event>) {
        let stop = steer.stop.clone();
        let work = self.work(steer, game, events);
        // Dropped where the peer stops: the child ends with its input, and the next start undoes what is recorded.
        let ended = tokio::select! {
            biased;
            ended = self.carry_out(&work, version) => ended,
            () = stop.cancelled() => Err(Unfinished::Left(unsteered())),
        };
        work.finish(ending::outcome(ended, work.steer.cancel.is_cancelled())).await;
    }

    async fn carry_out(&self, work: &Work, version: String) -> Result<InstallReport, Unfinished> {
        work.phase(Phase::Preparing).await;
        self.spare_players(&work.game).await?;
        let payload = payload::look(work).await?;
        let expected = self.expected(work, &payload).await?;
        let free = self.check_space(work, &payload, expected).await?;
        let staging = self.begin(work).await?;
        let prepared = async {
            work.phase(Phase::Unpacking).await;
            let unpacked = self.unpack(work, &payload, &staging, free).await?;
            work.phase(Phase::Checking).await;
            let (staging, cancel) = (staging.clone(), work.steer.cancel.clone());
            let version = version.clone();
            let prepare = move || staging.prepare(&version, &unpacked, &|_| !cancel.is_cancelled());
            let ready = self.world.blocking.run(prepare).await?.map_err(|e| errors::install(&e))?;
            // What is asked of a person at the end, and not only at the beginning: minutes may lie between.
            self.spare_players(&work.game).await?;
            work.phase(Phase::Committing).await;
            work.tell(OpInput::Ready).await;
            let granted = work.steer.commit.clone();
            work.or_cancelled(granted.cancelled()).await?;
            Ok(ready)
        };
        let ready: Result<_, Stop> = prepared.await;
        let (staging, game, guard) = (alone(staging)?, work.game.clone(), self.guard(&work.game));
        let put = move || match ready {
            Ok(ready) => staging.put(ready, &|| guard.is_known_to_be_free()).map_err(|e| Unfinished::of(&e)),
            Err(why) => Err(ending::give_up(staging, &game, why)),
        };
        // What a worker that panicked left, nobody knows.
        let put = self.world.blocking.run(put).await.map_err(Unfinished::Left)?;
        let Installed { files, bytes, carried, .. } = put?;
        Ok(InstallReport { version, files, bytes, carried })
    }

    /// Takes an install away and tells the engine how it ended.
    pub(crate) async fn uninstall(
        self,
        op: OpId,
        game: GameId,
        force: bool,
        saved_at: Option<UnixMillis>,
        events: mpsc::Sender<Event>,
    ) {
        let outcome = match self.take_away(game, force, saved_at).await {
            Ok(outcome) => outcome,
            Err(error) => OpOutcome::Failed { error, resumable: false },
        };
        finish(&events, op, outcome).await;
    }

    async fn take_away(&self, game: GameId, force: bool, saved_at: Option<UnixMillis>) -> Result<OpOutcome, Report> {
        self.spare_players(&game).await?;
        let folder = self.world.folder.clone();
        let id = game.clone();
        let begun = self.world.blocking.run(move || folder.begin_uninstall(&id, force, &|_| true)).await?;
        let leaving = begun.map_err(|e| errors::uninstall(&game, &e))?;
        if let Some(saved_at) = saved_at
            && let Some(path) = leaving.written_between(saved_at.0, self.world.clock.unix_ms())
        {
            return Err(errors::not_saved(&game, path));
        }
        // What was begun with may have taken minutes to read.
        self.spare_players(&game).await?;
        let guard = self.guard(&game);
        let gone = self.world.blocking.run(move || leaving.finish(&|| guard.is_known_to_be_free())).await?;
        match gone {
            Ok(Uninstalled { files, left: None }) => Ok(OpOutcome::Uninstalled { files }),
            Ok(Uninstalled { left: Some(error), .. }) => Err(errors::left_behind(&game, &error)),
            Err(error) => Err(errors::uninstall(&game, &error)),
        }
    }

    async fn spare_players(&self, game: &GameId) -> Result<(), Report> {
        let guard = self.guard(game);
        self.world.blocking.run(move || guard.is_free()).await?
    }

    fn guard(&self, game: &GameId) -> Guard {
        Guard::new(self.live.clone(), &self.world, game, self.players.clone())
    }

    /// Refuses what the disk has no room for, as far as that is known before. Bytes that may come out.
    async fn check_space(
        &self,
        work: &Work,
        payload: &payload::Payload,
        expected: unpack::Expected,
    ) -> Result<u64, Stop> {
        let folder = self.world.folder.clone();
        let free = work.blocking(move || folder.free_space()).await?;
        let placed = payload.placed_bytes();
        if let Some(bytes) = expected.bytes {
            work.steer.progress.set_total(bytes.saturating_add(placed));
            work.steer.progress.set_total_files(expected.files + payload.placed.len() as u64);
            let needed = bytes.saturating_add(placed).saturating_add(SPARE_BYTES);
            if free < needed {
                return Err(Stop::Failed(no_space(&work.game, needed, free, &self.world)));
            }
        }
        Ok(free.saturating_sub(placed).saturating_sub(SPARE_BYTES))
    }

    async fn begin(&self, work: &Work) -> Result<Arc<Staging>, Unfinished> {
        let (folder, game) = (self.world.folder.clone(), work.game.clone());
        let begun = self.world.blocking.run(move || folder.begin_install(&game)).await?;
        Ok(Arc::new(begun.map_err(|e| Unfinished::of(&e))?))
    }

    fn work(&self, steer: Steer, game: GameId, events: mpsc::Sender<Event>) -> Work {
        Work { world: self.world.clone(), index: self.index.clone(), steer, events, game, download: None }
    }
}

/// The transaction, once nothing else holds it.
fn alone(staging: Arc<Staging>) -> Result<Staging, Unfinished> {
    // Every step that had a part of it was waited for.
    Arc::try_unwrap(staging)
        .map_err(|_| Unfinished::Left(crate::task::bug("a step of an install goes on after its end")))
}
