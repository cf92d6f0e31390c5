//! Games that are being played, as whoever starts them says, and that nothing is done to their installs meanwhile.
//!
//! Owns which processes were named of a game, and when one may begin to be played. Whether they live the worker looks: a
//! number alone tells nothing.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::GameId;

use crate::command::{PlayCommand, Reply};
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::report::Report;
use crate::snapshot::OperationKind;

/// Processes that were named, by game.
#[derive(Debug, Default)]
pub(crate) struct Plays(BTreeMap<GameId, BTreeSet<u32>>);

impl Plays {
    /// Of one game.
    pub(crate) fn of(&self, game: &GameId) -> Vec<u32> {
        self.0.get(game).into_iter().flatten().copied().collect()
    }

    fn add(&mut self, game: GameId, pid: u32) {
        self.0.entry(game).or_default().insert(pid);
    }

    fn remove(&mut self, game: &GameId, ended: &[u32]) {
        if let Some(pids) = self.0.get_mut(game) {
            pids.retain(|pid| !ended.contains(pid));
            if pids.is_empty() {
                self.0.remove(game);
            }
        }
    }
}

impl Engine {
    pub(crate) fn play_command(&mut self, id: CommandId, command: PlayCommand, fx: &mut Vec<Effect>) {
        let reply = match command {
            PlayCommand::Begins { game, pid } => self.may_play(&game).map(|()| self.plays.add(game, pid)),
            PlayCommand::Is { game, pid } => {
                self.plays.add(game, pid);
                Ok(())
            }
            PlayCommand::Ends { game, pids } => {
                self.plays.remove(&game, &pids);
                Ok(())
            }
        };
        fx.push(Effect::Reply(id, reply.map(|()| Reply::Done)));
    }

    /// Whether a game may begin to be played: nothing is being done to its install.
    ///
    /// # Errors
    /// `busy`, which is retryable.
    pub(crate) fn may_play(&self, game: &GameId) -> Result<(), Report> {
        let Some(op) = self.ops.of_game(game) else { return Ok(()) };
        match op.kind {
            OperationKind::Install | OperationKind::Update | OperationKind::Uninstall | OperationKind::Verify => {
                Err(crate::ops::busy(game, op))
            }
            // What is downloaded or removed is not what is played.
            OperationKind::Download | OperationKind::Remove => Ok(()),
        }
    }
}
