//! What is wrong at present: shown until it is known to be over, and told once.

use bonfire_proto::GameId;

use super::Engine;
use crate::event::PeerEvent;
use crate::input::Effect;
use crate::report::{ErrorClass, Report};

impl Engine {
    pub(crate) fn problem_solved(&mut self, code: &str) {
        self.problems.remove(&(None, code.to_owned()));
    }

    /// Drops what was wrong with a game, unless it still cannot be hashed as it is.
    pub(crate) fn game_is_sound(&mut self, game: &GameId) {
        if !self.problems.is_empty() && !self.games.is_given_up(game) {
            self.problems.retain(|(of, _), _| of.as_ref() != Some(game));
        }
    }

    pub(crate) fn problem(&mut self, game: Option<GameId>, error: Report, fx: &mut Vec<Effect>) {
        let key = (game.clone(), error.code.clone());
        if self.problems.get(&key) != Some(&error) {
            self.problems.insert(key, error.clone());
            fx.push(Effect::Emit(PeerEvent::ProblemFound { game, error }));
        }
    }

    pub(super) fn folder_problems(&mut self, found: &[String], fx: &mut Vec<Effect>) {
        const CODE: &str = "unusable_folders";
        if found.is_empty() {
            self.problem_solved(CODE);
            return;
        }
        let shown = found.iter().take(5).cloned().collect::<Vec<_>>().join("; ");
        let error = Report::new(
            ErrorClass::Environment,
            CODE,
            format!("{} entries of the games folder cannot be used: {shown}", found.len()),
        )
        .hint("a game's folder needs a plain name that every system can store, and has to be readable");
        self.problem(None, error, fx);
    }
}
