//! What a person asks for about installs, and what they are told at the end.

use std::collections::BTreeSet;

use bonfire_proto::GameId;

use super::Carried;
use crate::command::{InstallCommand, Reply};
use crate::engine::Engine;
use crate::event::PeerEvent;
use crate::input::{CommandId, Effect, InstallReport, OpId, OpInput, OpOutcome, OpPlan};
use crate::report::{ErrorClass, Report};
use crate::snapshot::{OperationKind, Phase};
use crate::time::Instant;

impl Engine {
    pub(crate) fn install_command(
        &mut self,
        now: Instant,
        id: CommandId,
        command: InstallCommand,
        fx: &mut Vec<Effect>,
    ) {
        let reply = match command {
            InstallCommand::Install { game } => self.install(now, &game, OperationKind::Install, fx),
            InstallCommand::Update { game } => self.install(now, &game, OperationKind::Update, fx),
            InstallCommand::Uninstall { game, force } => self.uninstall(now, &game, force, fx),
        };
        fx.push(Effect::Reply(id, reply.map(|op| Reply::Started { op: op.0 })));
    }

    fn install(
        &mut self,
        now: Instant,
        game: &GameId,
        kind: OperationKind,
        fx: &mut Vec<Effect>,
    ) -> Result<OpId, Report> {
        // Asking twice for the same joins it.
        if let Some(op) = self.ops.id_of(game)
            && self.ops.get(op).is_some_and(|o| o.kind == kind && o.phase != Phase::Cancelling)
        {
            return Ok(op);
        }
        self.not_busy(game)?;
        let facts = self.games.facts(game);
        let Some(facts) = facts.filter(|f| f.downloaded) else {
            let text = format!("{game} is not downloaded here, so there is nothing to install");
            let hint = format!("fetch it with `bonfire get {game}`");
            return Err(Report::new(ErrorClass::NotFound, "not_downloaded", text).hint(hint));
        };
        match (kind, facts.installed) {
            (OperationKind::Install, true) => {
                let hint = format!("to put what is downloaded in its place: `bonfire update {game}`");
                return Err(refused("installed", format!("{game} is installed already")).hint(hint));
            }
            (OperationKind::Update, false) => {
                let hint = format!("install it with `bonfire install {game}`");
                return Err(refused("not_installed", format!("{game} is not installed")).hint(hint));
            }
            _ => {}
        }
        let version = facts.version.clone();
        self.not_running(game)?;
        let id = self.ops.begin(kind, game, Phase::Preparing)?;
        let players = self.plays.of(game);
        self.start(now, id, OpPlan::Install { game: game.clone(), version, players }, fx);
        Ok(id)
    }

    fn uninstall(&mut self, now: Instant, game: &GameId, force: bool, fx: &mut Vec<Effect>) -> Result<OpId, Report> {
        self.not_busy(game)?;
        if !self.games.facts(game).is_some_and(|f| f.installed) {
            return Err(Report::new(ErrorClass::NotFound, "not_installed", format!("{game} is not installed here")));
        }
        self.not_running(game)?;
        let id = self.ops.begin(OperationKind::Uninstall, game, Phase::Committing)?;
        let wall = self.wall;
        // Saves may lie in the install. Without force no file of the player goes.
        if force && self.make_safe(game, id) {
            if let Some(op) = self.ops.get_mut(id) {
                op.enter(Phase::Checking);
                op.asked_at = Some(wall);
            }
            self.ops_changed(fx);
            self.refresh(now, BTreeSet::from([game.clone()]), false, fx);
        } else {
            let players = self.plays.of(game);
            self.start(now, id, OpPlan::Uninstall { game: game.clone(), force, saved_at: None, players }, fx);
        }
        Ok(id)
    }

    /// Takes installs away whose saves are in history now.
    pub(crate) fn go_on_uninstalling(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        for (id, failed) in self.take_safe() {
            let Some(op) = self.ops.get_mut(id) else { continue };
            let game = op.game.clone();
            match failed {
                Some(error) => {
                    self.op(now, id, OpInput::Finished(OpOutcome::Failed { error, resumable: false }), fx);
                }
                None => {
                    op.enter(Phase::Committing);
                    let saved_at = op.asked_at;
                    let players = self.plays.of(&game);
                    self.start(now, id, OpPlan::Uninstall { game, force: true, saved_at, players }, fx);
                }
            }
        }
    }

    /// Whether nothing is known of the game running here. What nobody saw yet the worker looks for.
    pub(crate) fn not_running(&self, game: &GameId) -> Result<(), Report> {
        if self.desk.is_running(game) {
            let hint = "quit the game first".to_owned();
            return Err(refused("game_running", format!("{game} is being played here")).hint(hint).retryable());
        }
        Ok(())
    }
}

/// What an install that ended well is told as.
pub(crate) fn installed(op: u64, game: GameId, kind: OperationKind, report: InstallReport) -> PeerEvent {
    let InstallReport { version, files, bytes, carried } = report;
    let (kept, in_place): (Vec<Carried>, Vec<Carried>) = carried.into_iter().partition(|c| c.kept.is_some());
    PeerEvent::InstallFinished {
        op,
        game,
        version,
        is_update: kind == OperationKind::Update,
        files,
        bytes,
        carried_files: in_place.len() as u64,
        kept_files: kept.into_iter().map(|c| c.to.to_string()).collect(),
    }
}

fn refused(code: &str, text: String) -> Report {
    Report::new(ErrorClass::Refused, code, text)
}
