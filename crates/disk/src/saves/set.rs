//! Which save set: whose save of which game.

use bonfire_proto::digest::FieldHasher;
use bonfire_proto::{GameId, PlayerId};
use serde::{Deserialize, Serialize};

/// Whose save of which game.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SaveSet {
    /// The player.
    pub player: PlayerId,
    /// The game.
    pub game_id: GameId,
}

impl SaveSet {
    /// A name for files about it, the same in every process.
    pub(super) fn token(&self) -> String {
        let mut hasher = FieldHasher::new();
        hasher.field(self.player.to_string().as_bytes()).field(self.game_id.as_str().as_bytes());
        hasher.finish().to_string()[..16].to_owned()
    }
}
