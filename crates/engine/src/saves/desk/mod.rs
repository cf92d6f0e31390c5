//! The desk of saves: every slot of every player on this device, and what it is given to do.
//!
//! Owns where save sets lie here, the machine of each slot, and who waits for it. Asks `Slot` what is next and hands it to
//! the worker; what a player's devices tell each other is `players`'.

use bonfire_proto::PeerId;

use crate::command::SavesCommand;
use crate::engine::Engine;
use crate::input::{CommandId, Effect};
use crate::record::Stored;
use crate::saves_view::PlayerView;
use crate::time::Instant;

use super::work::SaveInput;

/// Every slot of this device.
#[derive(Debug)]
pub struct Desk {}

impl Desk {
    /// As it was left.
    #[must_use]
    pub fn restore(me: PeerId, stored: &mut Stored) -> Self {
        let _ = (me, stored);
        Self {}
    }
}

impl Engine {
    pub(crate) fn save(&mut self, _now: Instant, _input: SaveInput, _fx: &mut Vec<Effect>) {}
    pub(crate) fn saves_command(
        &mut self,
        _now: Instant,
        _id: CommandId,
        _command: SavesCommand,
        _fx: &mut Vec<Effect>,
    ) {
    }
    pub(crate) fn player_views(&self) -> Vec<PlayerView> {
        Vec::new()
    }
}
