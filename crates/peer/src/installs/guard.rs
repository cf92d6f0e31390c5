//! Whether anybody uses an install: nothing is changed beneath a game that is being played.
//!
//! Owns where is looked for a program, and what is said of one. How processes are looked at is `playing`'s.

use std::path::PathBuf;
use std::sync::Arc;

use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;

use crate::saves::LiveSaves;
use crate::world::World;

/// What to do about it.
pub(super) const QUIT: &str = "quit the game, and leave that folder in every terminal";

/// What is looked at; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    live: Arc<dyn LiveSaves>,
    game: GameId,
    root: PathBuf,
    installs: [PathBuf; 2],
    pids: Vec<u32>,
}

impl Guard {
    /// Of one game, of which these processes were named.
    pub(super) fn new(live: Arc<dyn LiveSaves>, world: &World, game: &GameId, pids: Vec<u32>) -> Self {
        let root = world.folder.path().join(game.as_str());
        Self { live, game: game.clone(), root, installs: world.folder.install_folders(game), pids }
    }

    /// Refuses while a program of the game runs, or anybody has something in the install open to write. A package's own
    /// script works in the game's folder, and what it starts may lie anywhere. Blocks for some milliseconds.
    ///
    /// # Errors
    /// `game_running`, which is retryable; when it cannot be told.
    pub(super) fn is_free(&self) -> Result<(), Report> {
        if self.live.is_used(&self.root, &self.installs, &self.pids)? {
            return Err(game_running(&self.game, &self.root.display().to_string()));
        }
        Ok(())
    }

    /// The same as a word. What cannot be told is no.
    pub(super) fn is_known_to_be_free(&self) -> bool {
        let free = self.is_free();
        if let Err(error) = &free {
            tracing::info!(%error, "an install is used, or may be");
        }
        free.is_ok()
    }
}

/// The refusal.
fn game_running(game: &GameId, place: &str) -> Report {
    let text = format!("{game} is being played, or a program runs out of {place} or writes to the install there");
    let report = Report::new(ErrorClass::Refused, "game_running", text);
    report.hint(QUIT).retryable()
}
