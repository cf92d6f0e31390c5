//! The part of the engine that owns operations from command to outcome: get, cancel, remove, verify, resume.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::{Availability, GameId, PeerId};

use crate::catalog_file::CatalogEdit;
use crate::command::{CatalogEntry, Reply, TransferCommand};
use crate::engine::Engine;
use crate::event::PeerEvent;
use crate::input::{CommandId, ConnId, Effect, OpId, OpInput, OpOutcome, OpPlan, Resumable};
use crate::offers::{self, Offer, Target};
use crate::ops::{CancelStep, Operation};
use crate::report::{ErrorClass, Report};
use crate::snapshot::{OperationKind, Phase};
use crate::time::Instant;

impl Engine {
    pub(crate) fn transfer_command(
        &mut self,
        now: Instant,
        id: CommandId,
        command: TransferCommand,
        fx: &mut Vec<Effect>,
    ) {
        let reply = match command {
            TransferCommand::Get { game, from } => self.get(now, &game, from, fx),
            TransferCommand::Cancel { game } => self.cancel(now, &game, fx),
            TransferCommand::Remove { game } => self.remove(now, &game, fx),
            TransferCommand::Verify { game, restore } => self.verify(now, &game, restore, fx),
        };
        fx.push(Effect::Reply(id, reply.map(|op| Reply::Started { op: op.0 })));
    }

    fn get(&mut self, now: Instant, game: &GameId, from: Option<PeerId>, fx: &mut Vec<Effect>) -> Result<OpId, Report> {
        // Asking twice for the same download joins it.
        if let Some(op) = self.ops.id_of(game)
            && self.ops.get(op).is_some_and(|o| o.kind == OperationKind::Download && o.phase != Phase::Cancelling)
        {
            return Ok(op);
        }
        if from.is_none()
            && let Some(Resumable { target }) = self.ops.resumable(game).cloned()
        {
            return self.start_download(now, target, None, true, fx);
        }
        let offers = self.offers(game);
        let here = self.library.get(game).filter(|g| g.downloaded);
        let choice = offers::choose(game, &offers, here, from)?;
        if self.ops.resumable(game).is_some_and(|r| !same_content(&r.target, &choice.target)) {
            return Err(Report::new(
                ErrorClass::Refused,
                "other_download_here",
                format!("part of another version of {game} is here"),
            )
            .hint(format!("remove it with `bonfire cancel {game}`, then ask again")));
        }
        let resume = self.ops.resumable(game).is_some();
        let first = choice.sources.first().copied();
        self.start_download(now, choice.target, first, resume, fx)
    }

    fn start_download(
        &mut self,
        now: Instant,
        target: Target,
        first: Option<PeerId>,
        resume: bool,
        fx: &mut Vec<Effect>,
    ) -> Result<OpId, Report> {
        let game = target.game.clone();
        self.not_busy(&game)?;
        if !self.games.catalog.will_hold(&game) {
            // Whoever fetches a game serves it on: that is what makes a room fast. Before the operation begins, since a
            // catalog that is full refuses the whole of it.
            let edit = CatalogEdit {
                command: None,
                put: vec![CatalogEntry {
                    id: game.clone(),
                    name: target.name.clone(),
                    saves: Vec::new(),
                    start: BTreeMap::new(),
                }],
                remove: None,
                reply: Reply::Done,
            };
            self.games.catalog.edit(edit)?;
            self.catalog_turn(fx);
        }
        let id = self.ops.begin(OperationKind::Download, &game, Phase::Preparing)?;
        let sources = self.sources(&target, first);
        let why = offers::why_waiting(&target, &self.offers(&game));
        if let Some(op) = self.ops.get_mut(id) {
            op.only = first.or(sources.first().map(|(p, _)| *p)).filter(|_| target.content_hash.is_none());
            op.target = Some(target.clone());
            op.sources = sources.iter().map(|(p, _)| *p).collect();
            op.running = !sources.is_empty();
            if sources.is_empty() {
                op.wait(now, why.clone());
            }
        }
        if sources.is_empty() {
            fx.push(Effect::Emit(PeerEvent::DownloadPaused { op: id.0, game: game.clone(), error: why }));
        } else {
            self.ops.forget(&game);
            fx.push(Effect::Start(id, OpPlan::Download { target, sources, resume }));
        }
        self.ops_changed(fx);
        self.refresh(now, BTreeSet::from([game]), false, fx);
        Ok(id)
    }

    /// Goes on with every download that lies on the disk; those without a source wait for one.
    pub(crate) fn resume_all(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        for (game, Resumable { target }) in self.ops.resumables() {
            let Ok(id) = self.ops.begin(OperationKind::Download, &game, Phase::Waiting) else { continue };
            let error = offers::why_waiting(&target, &self.offers(&game));
            if let Some(op) = self.ops.get_mut(id) {
                op.target = Some(target);
                op.wait(now, error.clone());
            }
            fx.push(Effect::Emit(PeerEvent::DownloadPaused { op: id.0, game, error }));
        }
        self.offers_changed(fx);
        if self.ops.iter().next().is_some() {
            self.ops_changed(fx);
        }
    }

    fn cancel(&mut self, now: Instant, game: &GameId, fx: &mut Vec<Effect>) -> Result<OpId, Report> {
        let id = match self.ops.id_of(game) {
            Some(id) => id,
            None if self.ops.resumable(game).is_some() => {
                self.ops.begin(OperationKind::Download, game, Phase::Cancelling)?
            }
            None => {
                return Err(Report::new(
                    ErrorClass::NotFound,
                    "nothing_active",
                    format!("nothing is active for {game}"),
                ));
            }
        };
        let Some(op) = self.ops.get_mut(id) else { return Ok(id) };
        let step = op.on_cancel()?;
        if step == CancelStep::Join {
            return Ok(id);
        }
        op.phase = Phase::Cancelling;
        op.error = None;
        op.waiting_since = None;
        op.outcome = None;
        if step == CancelStep::Interrupt {
            fx.push(Effect::Cancel(id));
        } else {
            let swept = self.ops.forget(game).map(|r| r.target);
            if let Some(op) = self.ops.get_mut(id) {
                // A sweep that fails leaves it where it was.
                op.target = op.target.take().or(swept);
            }
            self.start_sweep(id, fx);
        }
        self.ops_changed(fx);
        self.refresh(now, BTreeSet::from([game.clone()]), false, fx);
        Ok(id)
    }

    fn start_sweep(&mut self, id: OpId, fx: &mut Vec<Effect>) {
        if let Some(op) = self.ops.get_mut(id) {
            op.running = true;
            op.sweeping = true;
            fx.push(Effect::Start(id, OpPlan::Discard { game: op.game.clone() }));
        }
    }

    fn remove(&mut self, now: Instant, game: &GameId, fx: &mut Vec<Effect>) -> Result<OpId, Report> {
        let refused = |code: &str, text: String| Report::new(ErrorClass::Refused, code, text);
        self.not_busy(game)?;
        let Some(facts) = self.games.facts(game) else {
            return Err(Report::new(ErrorClass::NotFound, "unknown_game", format!("{game} is not here")));
        };
        if !self.games.in_catalog(game) {
            return Err(refused("not_in_catalog", format!("{game} is not in the catalog; its files are left alone"))
                .hint(format!("add it first: `bonfire catalog add {game}`")));
        }
        if !facts.downloaded && !self.ops.is_half_removed(game) {
            return Err(refused("not_downloaded", format!("{game} has no version.ini, so it was not downloaded")));
        }
        if facts.installed {
            return Err(refused("installed", format!("{game} is installed; uninstall it before removing its files")));
        }
        let id = self.ops.begin(OperationKind::Remove, game, Phase::Committing)?;
        self.start(now, id, OpPlan::Remove { game: game.clone() }, fx);
        Ok(id)
    }

    fn verify(&mut self, now: Instant, game: &GameId, restore: bool, fx: &mut Vec<Effect>) -> Result<OpId, Report> {
        self.not_busy(game)?;
        let Some(facts) = self.games.facts(game).filter(|f| f.downloaded) else {
            return Err(Report::new(
                ErrorClass::NotFound,
                "not_downloaded",
                format!("{game} is not downloaded here, so there is nothing to verify"),
            )
            .hint(format!("fetch it with `bonfire get {game}`")));
        };
        let target = Target {
            game: game.clone(),
            name: self.games.name(game),
            version: facts.version.clone(),
            manifest_hash: facts.expected.map_or(facts.manifest_hash, |(m, _)| m),
            content_hash: facts.expected.map(|(_, c)| c).or(facts.content_hash),
        };
        let id = self.ops.begin(OperationKind::Verify, game, Phase::Checking)?;
        let sources = if target.content_hash.is_some() { self.sources(&target, None) } else { Vec::new() };
        if let Some(op) = self.ops.get_mut(id) {
            op.target = Some(target);
        }
        let players = self.plays.of(game);
        self.start(now, id, OpPlan::Verify { game: game.clone(), sources, restore, players }, fx);
        Ok(id)
    }

    pub(crate) fn start(&mut self, now: Instant, id: OpId, plan: OpPlan, fx: &mut Vec<Effect>) {
        let mut game = None;
        if let Some(op) = self.ops.get_mut(id) {
            op.running = true;
            game = Some(op.game.clone());
        }
        fx.push(Effect::Start(id, plan));
        self.ops_changed(fx);
        self.refresh(now, game.into_iter().collect(), false, fx);
    }

    /// Whether something may begin on a game.
    pub(crate) fn not_busy(&self, game: &GameId) -> Result<(), Report> {
        if let Some(op) = self.ops.of_game(game) {
            return Err(crate::ops::busy(game, op));
        }
        if self.adding.values().any(|e| e.id == *game) {
            let text = format!("the folder of {game} is being looked at for the catalog");
            return Err(Report::new(ErrorClass::Refused, "busy", text).retryable());
        }
        Ok(())
    }

    pub(crate) fn op(&mut self, now: Instant, id: OpId, input: OpInput, fx: &mut Vec<Effect>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        let game = op.game.clone();
        match input {
            OpInput::Phase(phase) => {
                if op.phase != Phase::Cancelling && op.phase != Phase::Settling && op.phase != phase {
                    // What was fetched anew is in place, and what is installed is looked at next.
                    if op.kind == OperationKind::Verify && phase == Phase::Checking {
                        op.committed = false;
                    }
                    op.enter(phase);
                    self.ops_changed(fx);
                }
            }
            OpInput::SourceDropped(peer, error) => {
                // It may have gone without a word; a ping settles that long before its silence alone would.
                self.peers.doubt(now, peer);
                fx.push(Effect::Emit(PeerEvent::SourceDropped { op: id.0, game, peer, error }));
            }
            OpInput::Starved(error) => {
                if op.phase != Phase::Cancelling && op.phase != Phase::Settling {
                    let (target, only) = (op.target.clone(), op.only);
                    let error = target.and_then(|t| self.why_waiting(&t, only)).unwrap_or(error);
                    if let Some(op) = self.ops.get_mut(id) {
                        op.wait(now, error.clone());
                    }
                    fx.push(Effect::Emit(PeerEvent::DownloadPaused { op: id.0, game, error }));
                    self.ops_changed(fx);
                }
            }
            OpInput::Ready => {
                // A cancel that came before is on its way to the worker, and sweeps.
                if op.phase != Phase::Cancelling && op.phase != Phase::Settling {
                    // Minutes may lie between the command and this.
                    let refused = match op.kind {
                        OperationKind::Install | OperationKind::Update => self.not_running(&game).err(),
                        _ => None,
                    };
                    self.let_commit(id, refused, fx);
                }
            }
            OpInput::Finished(outcome) if op.owes_sweep(&outcome) => {
                self.start_sweep(id, fx);
            }
            OpInput::Finished(outcome) => {
                let outcome = match (outcome, op.refused.take()) {
                    (OpOutcome::Undone, Some(error)) => OpOutcome::Failed { error, resumable: false },
                    (outcome, _) => outcome,
                };
                op.running = false;
                op.phase = Phase::Settling;
                if let (OpOutcome::Failed { resumable: true, .. }, Some(target)) = (&outcome, op.target.clone()) {
                    self.ops.keep(game.clone(), Resumable { target });
                }
                if let Some(op) = self.ops.get_mut(id) {
                    op.outcome = Some(outcome);
                }
                self.ops_changed(fx);
                self.start_scan(&game, fx);
            }
        }
        self.hash_next(fx);
    }

    fn let_commit(&mut self, id: OpId, refused: Option<Report>, fx: &mut Vec<Effect>) {
        let Some(op) = self.ops.get_mut(id) else { return };
        if let Some(error) = refused {
            op.phase = Phase::Cancelling;
            op.refused = Some(error);
            fx.push(Effect::Cancel(id));
            self.ops_changed(fx);
        } else {
            op.committed = true;
            fx.push(Effect::Commit(id));
        }
    }

    /// Somebody came, left, or offers something else: waiting downloads may go on, running ones hear of it.
    pub(crate) fn offers_changed(&mut self, fx: &mut Vec<Effect>) {
        let downloads: Vec<(OpId, Target)> = self
            .ops
            .iter()
            .filter(|(_, op)| op.outcome.is_none() && op.phase != Phase::Cancelling)
            .filter_map(|(id, op)| op.target.clone().map(|t| (id, t)))
            .collect();
        let mut changed = false;
        for (id, target) in downloads {
            let Some((kind, only)) = self.ops.get(id).map(|op| (op.kind, op.only)) else { continue };
            if kind == OperationKind::Verify && target.content_hash.is_none() {
                // Nobody can be known to hold what lies here: a repair would mix two contents.
                continue;
            }
            let sources = self.sources(&target, only);
            let peers: Vec<PeerId> = sources.iter().map(|(p, _)| *p).collect();
            let why = self.why_waiting(&target, only);
            let Some(op) = self.ops.get_mut(id) else { continue };
            if op.running {
                // The connection behind a source may be another one, so the worker is told even when the peers are
                // the same.
                changed |= op.sources != peers;
                op.sources = peers;
                if let Some(why) = why
                    && op.phase == Phase::Waiting
                {
                    changed |= op.explain(why);
                }
                fx.push(Effect::SetSources(id, sources));
            } else if op.kind == OperationKind::Download && !sources.is_empty() {
                op.running = true;
                op.enter(Phase::Preparing);
                op.only = peers.first().copied().filter(|_| target.content_hash.is_none());
                op.sources = peers;
                let resume = self.ops.forget(&target.game).is_some();
                fx.push(Effect::Start(id, OpPlan::Download { target, sources, resume }));
                changed = true;
            } else if let Some(why) = why {
                changed |= op.explain(why);
            }
        }
        if changed {
            self.ops_changed(fx);
        }
    }

    fn offers(&self, game: &GameId) -> Vec<Offer<'_>> {
        self.peers
            .iter()
            .filter(|(_, p)| p.link.is_some())
            .filter_map(|(peer, p)| p.library.get(game).map(|g| Offer { peer: *peer, game: g }))
            .collect()
    }

    /// Why nobody can give a content at present; `None` when somebody should.
    fn why_waiting(&self, target: &Target, only: Option<PeerId>) -> Option<Report> {
        self.sources(target, only).is_empty().then(|| offers::why_waiting(target, &self.offers(&target.game)))
    }

    /// Who can give a content, with its connection; with `only`, nobody else while the content is not hashed.
    fn sources(&self, target: &Target, only: Option<PeerId>) -> Vec<(PeerId, ConnId)> {
        let offers = self.offers(&target.game);
        let peers = match only {
            Some(peer) => offers::same_source(target, peer, &offers),
            None => offers::sources_for(target, &offers),
        };
        peers.into_iter().filter_map(|peer| self.peers.get(&peer)?.link.map(|l| (peer, l.conn))).collect()
    }

    pub(crate) fn ops_changed(&self, fx: &mut Vec<Effect>) {
        fx.push(Effect::Emit(PeerEvent::ActiveOperationsChanged { operations: self.ops.views() }));
    }

    /// Availability of a game as told to others.
    pub(crate) fn availability(&self, game: &GameId) -> Availability {
        self.games.availability(game, self.standing(game))
    }
}

fn same_content(a: &Target, b: &Target) -> bool {
    a.manifest_hash == b.manifest_hash && (a.content_hash == b.content_hash || a.content_hash.is_none())
}

/// What an ended operation is told as.
pub(crate) fn outcome_event(id: OpId, ended: Operation) -> Option<PeerEvent> {
    let (op, game) = (id.0, ended.game);
    Some(match ended.outcome? {
        OpOutcome::Downloaded { version, fetched, reused } => {
            PeerEvent::DownloadFinished { op, game, version, fetched_bytes: fetched, reused_bytes: reused }
        }
        OpOutcome::Swept { removed, kept } => {
            PeerEvent::DownloadCancelled { op, game, removed_files: removed, kept_files: kept }
        }
        OpOutcome::Removed => PeerEvent::GameRemoved { op, game },
        OpOutcome::Verified { checked, bad, repaired, install } => PeerEvent::VerifyFinished {
            op,
            game,
            checked_bytes: checked,
            bad_files: bad,
            repaired_bytes: repaired,
            install,
        },
        OpOutcome::Installed(report) => crate::installs::installed(op, game, ended.kind, report),
        OpOutcome::Undone => PeerEvent::InstallCancelled { op, game, is_update: ended.kind == OperationKind::Update },
        OpOutcome::Uninstalled { files } => PeerEvent::GameUninstalled { op, game, files },
        OpOutcome::Failed { error, .. } => match ended.kind {
            OperationKind::Download => PeerEvent::DownloadFailed { op, game, error },
            OperationKind::Remove => PeerEvent::RemoveFailed { op, game, error },
            OperationKind::Verify => PeerEvent::VerifyFailed { op, game, error },
            OperationKind::Install => PeerEvent::InstallFailed { op, game, is_update: false, error },
            OperationKind::Update => PeerEvent::InstallFailed { op, game, is_update: true, error },
            OperationKind::Uninstall => PeerEvent::UninstallFailed { op, game, error },
        },
    })
}
