//! Active operations: at most one for each game, from the command that asks to the scan that settles it.
//!
//! Owns which operation may start and what phase it is in. What a download does with chunks is `swarm`'s; how an
//! operation is shown is the snapshot's.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::{GameId, PeerId};

use crate::input::{OpId, OpOutcome, Resumable};
use crate::offers::Target;
use crate::report::{ErrorClass, Report};
use crate::snapshot::{OperationKind, OperationView, Phase};
use crate::time::{Instant, UnixMillis};

/// An active operation.
#[derive(Debug)]
pub struct Operation {
    /// What it does.
    pub kind: OperationKind,
    /// The game.
    pub game: GameId,
    /// Where it stands.
    pub phase: Phase,
    /// What a download leads to.
    pub target: Option<Target>,
    /// Sources last given to the worker.
    pub sources: Vec<PeerId>,
    /// The one peer that a content nobody has hashed yet is fetched from: another could hold another content.
    pub only: Option<PeerId>,
    /// Whether a worker runs it.
    pub running: bool,
    /// Whether the worker may put the game in place: from then on it cannot be cancelled.
    pub committed: bool,
    /// When it was asked for, where the saves of its game are brought into history first.
    pub asked_at: Option<UnixMillis>,
    /// Why it was not let put the game in place; its worker undoes it.
    pub refused: Option<Report>,
    /// Whether the worker is one that only sweeps.
    pub sweeping: bool,
    /// Why it stands still.
    pub error: Option<Report>,
    /// Since when it has waited for a source.
    pub waiting_since: Option<Instant>,
    /// How it ended, while the folder is read again.
    pub outcome: Option<OpOutcome>,
}

/// What a cancel does to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelStep {
    /// Nothing: it ends without the game anyway.
    Join,
    /// Its worker is told to stop and sweep.
    Interrupt,
    /// No worker runs: one is started that sweeps what lies on the disk.
    Sweep,
}

impl Operation {
    /// Notes that it stands still for want of a source.
    pub fn wait(&mut self, now: Instant, why: Report) {
        self.phase = Phase::Waiting;
        self.error = Some(why);
        self.waiting_since.get_or_insert(now);
    }

    /// Notes why it still waits. Returns whether that is news.
    pub fn explain(&mut self, why: Report) -> bool {
        let is_news = self.error.as_ref() != Some(&why);
        self.error = Some(why);
        is_news
    }

    /// Notes that it moves again, or stands still no longer.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.error = None;
        self.waiting_since = None;
    }

    /// What a cancel that comes now does. Whoever is told that it is cancelled never hears that it was finished after
    /// all; only of a game that is read and compared may the verdict come first, which changes nothing on the disk.
    ///
    /// # Errors
    /// `not_cancellable` for a removal; `too_late` once the game is being put in place, or is there.
    pub fn on_cancel(&self) -> Result<CancelStep, Report> {
        let game = &self.game;
        let takes_away = match self.kind {
            OperationKind::Install | OperationKind::Update => "uninstall",
            _ => "remove",
        };
        let too_late = |text: String| {
            Report::new(ErrorClass::Refused, "too_late", text)
                .hint(format!("when it is not wanted, take it away with `bonfire {takes_away} {game}`"))
        };
        let unstoppable = match self.kind {
            OperationKind::Remove => Some("removed"),
            OperationKind::Uninstall => Some("uninstalled"),
            _ => None,
        };
        if let Some(doing) = unstoppable {
            let text = format!("{game} is being {doing}, which cannot be stopped half way");
            return Err(Report::new(ErrorClass::Refused, "not_cancellable", text));
        }
        match &self.outcome {
            Some(OpOutcome::Failed { resumable: true, .. }) if self.kind == OperationKind::Download => {
                Ok(CancelStep::Sweep)
            }
            Some(OpOutcome::Swept { .. } | OpOutcome::Undone | OpOutcome::Failed { .. }) => Ok(CancelStep::Join),
            Some(_) => Err(too_late(format!("{game} was finished before it could be cancelled"))),
            None if self.committed => {
                Err(too_late(format!("every byte of {game} is here and it is being put in place")))
            }
            None if self.running && self.phase == Phase::Cancelling => Ok(CancelStep::Join),
            None if self.running => Ok(CancelStep::Interrupt),
            None => Ok(CancelStep::Sweep),
        }
    }

    /// Whether a worker that ended so leaves behind what its cancel had promised to sweep: it failed at the moment at
    /// which it was cancelled.
    #[must_use]
    pub fn owes_sweep(&self, outcome: &OpOutcome) -> bool {
        self.kind == OperationKind::Download
            && self.phase == Phase::Cancelling
            && !self.sweeping
            && matches!(outcome, OpOutcome::Failed { resumable: true, .. })
    }
}

/// All active operations, and downloads that lie on the disk without one.
#[derive(Debug, Default)]
pub struct Ops {
    active: BTreeMap<OpId, Operation>,
    by_game: BTreeMap<GameId, OpId>,
    resumable: BTreeMap<GameId, Resumable>,
    /// Games whose removal failed after it may have taken the sentinel.
    half_removed: BTreeSet<GameId>,
    next: u64,
}

impl Ops {
    /// Downloads found on the disk.
    #[must_use]
    pub fn new(found: BTreeMap<GameId, Resumable>) -> Self {
        Self { resumable: found, ..Self::default() }
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// Refused as `busy` when one is active for the game.
    pub fn begin(&mut self, kind: OperationKind, game: &GameId, phase: Phase) -> Result<OpId, Report> {
        if let Some(op) = self.of_game(game) {
            return Err(busy(game, op));
        }
        if kind != OperationKind::Remove {
            self.half_removed.remove(game);
        }
        self.next += 1;
        let id = OpId(self.next);
        self.by_game.insert(game.clone(), id);
        self.active.insert(
            id,
            Operation {
                kind,
                game: game.clone(),
                phase,
                target: None,
                sources: Vec::new(),
                only: None,
                running: false,
                committed: false,
                asked_at: None,
                refused: None,
                sweeping: false,
                error: None,
                waiting_since: None,
                outcome: None,
            },
        );
        Ok(id)
    }

    /// Ends an operation.
    pub fn end(&mut self, id: OpId) -> Option<Operation> {
        let op = self.active.remove(&id)?;
        self.by_game.remove(&op.game);
        if op.kind == OperationKind::Remove {
            match op.outcome {
                Some(OpOutcome::Failed { .. }) => self.half_removed.insert(op.game.clone()),
                _ => self.half_removed.remove(&op.game),
            };
        }
        Some(op)
    }

    /// Whether a removal of the game failed, so that what it left is to be removed although it no longer counts as
    /// downloaded.
    #[must_use]
    pub fn is_half_removed(&self, game: &GameId) -> bool {
        self.half_removed.contains(game)
    }

    /// One operation.
    #[must_use]
    pub fn get(&self, id: OpId) -> Option<&Operation> {
        self.active.get(&id)
    }

    /// One operation, to change.
    pub fn get_mut(&mut self, id: OpId) -> Option<&mut Operation> {
        self.active.get_mut(&id)
    }

    /// The operation of a game.
    #[must_use]
    pub fn id_of(&self, game: &GameId) -> Option<OpId> {
        self.by_game.get(game).copied()
    }

    /// The operation of a game.
    #[must_use]
    pub fn of_game(&self, game: &GameId) -> Option<&Operation> {
        self.active.get(self.by_game.get(game)?)
    }

    /// What is active on a game.
    #[must_use]
    pub fn kind_of(&self, game: &GameId) -> Option<OperationKind> {
        self.of_game(game).map(|op| op.kind)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (OpId, &Operation)> {
        self.active.iter().map(|(id, op)| (*id, op))
    }

    /// Whether a download or repair moves bytes, so that background work should hold still.
    #[must_use]
    pub fn is_transferring(&self) -> bool {
        self.active.values().any(|op| {
            op.running
                && matches!(op.phase, Phase::Preparing | Phase::Checking | Phase::Transferring | Phase::Committing)
        })
    }

    /// Notes a download as lying on the disk.
    pub fn keep(&mut self, game: GameId, resumable: Resumable) {
        self.resumable.insert(game, resumable);
    }

    /// The download that lies on the disk.
    #[must_use]
    pub fn resumable(&self, game: &GameId) -> Option<&Resumable> {
        self.resumable.get(game)
    }

    /// All downloads that lie on the disk without an operation.
    #[must_use]
    pub fn resumables(&self) -> Vec<(GameId, Resumable)> {
        self.resumable.iter().map(|(g, r)| (g.clone(), r.clone())).collect()
    }

    /// Forgets that a download lies on the disk.
    pub fn forget(&mut self, game: &GameId) -> Option<Resumable> {
        self.resumable.remove(game)
    }

    /// All of them as shown, without progress.
    #[must_use]
    pub fn views(&self) -> Vec<OperationView> {
        self.iter()
            .map(|(id, op)| OperationView {
                op: id.0,
                kind: op.kind,
                game: op.game.clone(),
                phase: op.phase,
                version: op.target.as_ref().map(|t| t.version.clone()).unwrap_or_default(),
                done_bytes: 0,
                total_bytes: 0,
                done_files: 0,
                total_files: 0,
                bytes_per_second: 0,
                eta_ms: None,
                sources: op.sources.clone(),
                error: op.error.clone(),
                waiting_since: op.waiting_since,
            })
            .collect()
    }
}

/// The refusal of a second operation on a game.
#[must_use]
pub fn busy(game: &GameId, op: &Operation) -> Report {
    let doing = match op.kind {
        OperationKind::Download => "being downloaded",
        OperationKind::Remove => "being removed",
        OperationKind::Verify => "being verified",
        OperationKind::Install => "being installed",
        OperationKind::Update => "being updated",
        OperationKind::Uninstall => "being uninstalled",
    };
    Report::new(ErrorClass::Refused, "busy", format!("{game} is {doing}"))
        .hint(format!("wait for it, or stop it with `bonfire cancel {game}`"))
        .retryable()
}
