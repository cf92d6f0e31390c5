//! The players of this device: who belongs to them, what they agreed on, and how two devices come to be one player's.
//!
//! Owns each player's shared log and device-owned state, the clock, the tokens and the pairing that is under way. Decides
//! what is told to whom; where saves stand is `saves::desk`'s.

use bonfire_proto::message::{Control, Request, Response};
use bonfire_proto::{Digest, PeerId};

use crate::command::DevicesCommand;
use crate::engine::Engine;
use crate::input::{CommandId, Effect, PairId, PairInput};
use crate::record::Stored;
use crate::report::Report;
use crate::time::Instant;
use crate::trust::roster::{Proven, Roster};

/// What this machine says of itself to the player's other devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// Operating system: `linux`, `windows`, `steamdeck` ..
    pub platform: String,
    /// The program.
    pub client: String,
    /// Its version.
    pub client_version: String,
    /// Name on the network.
    pub hostname: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// A hash of the system's id of this installation, never that id itself.
    pub machine_id: Option<Digest>,
}

/// The players of this device.
#[derive(Debug)]
pub struct Players {
    roster: Roster,
    is_roster_new: bool,
}

impl Players {
    /// As they were left.
    #[must_use]
    pub fn restore(now: Instant, me: Proven, name: &str, about: About, seed: [u8; 32], stored: &mut Stored) -> Self {
        let _ = (now, me, name, about, seed, stored);
        Self { roster: Roster::default(), is_roster_new: true }
    }

    /// See `Engine::take_roster`.
    pub fn take_roster(&mut self) -> Option<Roster> {
        std::mem::take(&mut self.is_roster_new).then(|| self.roster.clone())
    }
}

impl Engine {
    pub(crate) fn pairing(&mut self, _now: Instant, _id: PairId, _input: PairInput, _fx: &mut Vec<Effect>) {}
    pub(crate) fn devices_command(
        &mut self,
        _now: Instant,
        _id: CommandId,
        _command: DevicesCommand,
        _fx: &mut Vec<Effect>,
    ) {
    }
    pub(crate) fn said(&mut self, _peer: PeerId, _message: &Control, _fx: &mut Vec<Effect>) {}
    pub(crate) fn answered(
        &mut self,
        _peer: PeerId,
        _request: &Request,
        _answer: &Result<Box<Response>, Report>,
        _fx: &mut Vec<Effect>,
    ) {
    }
    /// Answers a question about a player's devices, as far as the asker may ask it.
    pub fn answer(&mut self, _who: Proven, _request: &Request) -> Response {
        Response::Error(bonfire_proto::message::ErrorMsg::new(bonfire_proto::ErrorCode::Unsupported, ""))
    }
}
