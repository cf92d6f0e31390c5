//! What a front end can ask about players and their devices. Types only.

use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{PeerId, PlayerId};
use serde::{Deserialize, Serialize};

/// Players and their devices. Where `player` is absent, the only player of this device is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DevicesCommand {
    /// Make a player, whose first device this one becomes. Replies with `Reply::Player`.
    CreatePlayer {
        /// Name for people, 1 to 128 bytes.
        name: String,
    },
    /// Show a code for two minutes and three tries. Replies with `Reply::PairCode`; what comes of it is an event.
    ShowCode {
        /// To invite to this player; where there is none here, the code is for joining the other side's.
        #[serde(default)]
        player: Option<PlayerId>,
        /// To join the other side's player, also where there is one here.
        #[serde(default)]
        join: bool,
        /// What the joining device becomes.
        #[serde(default = "personal")]
        role: DeviceRole,
    },
    /// Show the code no more.
    HideCode,
    /// Pair with the device that shows this code, or that knows this token. Replies with `Reply::Paired` when both sides
    /// have recorded it.
    Pair {
        /// As it was shown; spaces and hyphens do not matter.
        code: String,
        /// Only with this peer; all connected ones are asked in turn when absent. Each that shows another code loses one of
        /// its tries by that.
        #[serde(default)]
        with: Option<PeerId>,
        /// As for `ShowCode`.
        #[serde(default)]
        player: Option<PlayerId>,
        /// As for `ShowCode`.
        #[serde(default)]
        join: bool,
        /// As for `ShowCode`.
        #[serde(default = "personal")]
        role: DeviceRole,
    },
    /// Make a token by which unattended devices join until it is revoked. Replies with `Reply::PairToken`.
    AddToken {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// What the joining device becomes.
        #[serde(default = "unattended")]
        role: DeviceRole,
    },
    /// Let a token be used no more.
    RevokeToken {
        /// Its first four characters.
        name: String,
    },
    /// Rename a device, for everyone.
    Rename {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// The device; this one when absent.
        #[serde(default)]
        device: Option<PeerId>,
        /// Its name, 1 to 128 bytes.
        name: String,
    },
    /// Rename a player, for everyone.
    RenamePlayer {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// Its name, 1 to 128 bytes.
        name: String,
    },
    /// Switch a device's part in saves on or off. What it holds stays.
    Enable {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// The device; this one when absent.
        #[serde(default)]
        device: Option<PeerId>,
        /// On or off.
        enabled: bool,
    },
    /// End trust in a device: at once here, and on every device that hears of it.
    Remove {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// The device.
        device: PeerId,
    },
    /// Say that this device is one that was the player's before, under another key (a machine that was set up anew), or that
    /// it is not. Replies with `Reply::Registered`.
    Register {
        /// The player.
        #[serde(default)]
        player: Option<PlayerId>,
        /// A known device may be taken for this one.
        #[serde(default = "yes")]
        allow_existing: bool,
        /// This is another device even if it looks like a known one.
        #[serde(default)]
        allow_duplicate: bool,
        /// What the known device left alone is forgotten.
        #[serde(default)]
        reset_syncs: bool,
        /// The device that a person named when asked.
        #[serde(default)]
        chosen: Option<PeerId>,
    },
}

/// What came of `DevicesCommand::Register`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegisteredAs {
    /// A device of its own.
    New,
    /// The device that was named, whose name and settings it has now.
    Existing,
}

const fn personal() -> DeviceRole {
    DeviceRole::Personal
}

const fn unattended() -> DeviceRole {
    DeviceRole::Unattended
}

const fn yes() -> bool {
    true
}
