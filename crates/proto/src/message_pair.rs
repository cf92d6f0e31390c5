//! The messages with which two devices pair. They travel on one bidirectional stream of their own, opened by the device on
//! which the code is typed, and nothing of a player is in them before both sides have proven that they know the code.
//!
//! Shapes and bounds only. The order of the messages, and what each proof is made of, is `bonfire-net`'s; what a pairing
//! means is `bonfire-engine`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error_code::ErrorCode;
use crate::ids::{DeviceEpoch, Digest, IdError, PeerId, PlayerId};
use crate::limits;
use crate::message::{ErrorMsg, Family, bound};

/// Version of the pairing protocol that this build speaks. Both sides prove it to each other.
pub const PAIR_VERSION: u32 = 1;

/// Bytes of a SPAKE2 message: one that says the side, and a point.
pub const PAKE_LEN: usize = 33;

/// Characters of the public part of a token.
pub const TOKEN_NAME_LEN: usize = 4;

/// A SPAKE2 message of exactly `PAKE_LEN` bytes, written as hexadecimal digits. Whether it is a point is found out by who
/// uses it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PakeMessage(pub [u8; PAKE_LEN]);

impl fmt::Debug for PakeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PakeMessage({}..)", hex::encode(&self.0[..4]))
    }
}

impl Serialize for PakeMessage {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}

impl<'de> Deserialize<'de> for PakeMessage {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let mut bytes = [0u8; PAKE_LEN];
        let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        match hex::decode_to_slice(&text, &mut bytes) {
            Ok(()) if lower => Ok(Self(bytes)),
            _ => Err(serde::de::Error::custom("not 66 lower-case hexadecimal digits")),
        }
    }
}

/// The public part of a token: says which token is meant and proves nothing. `TOKEN_NAME_LEN` digits and upper-case letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TokenName(String);

impl TokenName {
    /// The checked name.
    ///
    /// # Errors
    /// `IdError::Token`.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        let plain = name.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        if name.len() == TOKEN_NAME_LEN && plain { Ok(Self(name)) } else { Err(IdError::Token) }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for TokenName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// What one side of a pairing does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairPart {
    /// It has the player, and takes the other device in.
    Invites,
    /// It becomes a device of the other side's player.
    Joins,
}

impl PairPart {
    /// What the other side does.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Invites => Self::Joins,
            Self::Joins => Self::Invites,
        }
    }
}

/// What kind of device joins a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceRole {
    /// The player's own machine.
    Personal,
    /// A machine that nobody sits at and that others can reach: it holds saves for its players and manages no devices.
    Unattended,
}

impl DeviceRole {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Personal, Self::Unattended];
}

/// One of the two devices, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairDevice {
    /// Its id; must be the one that the connection proves.
    pub peer_id: PeerId,
    /// SHA-256 of its public key (SPKI DER), all of it: what the other side pins. Must be that of the connection.
    pub key_hash: Digest,
    /// The present life of its database, in which it will write.
    pub device_epoch: DeviceEpoch,
    /// Name of the machine for people, at most 128 bytes; cleaned before it is shown.
    pub name: String,
    /// Operating system, for lists, at most 64 bytes; cleaned before it is shown.
    pub platform: String,
}

/// The player that a device is invited to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairPlayer {
    /// The player.
    pub player_id: PlayerId,
    /// The name that the player goes by, at most 128 bytes; cleaned before it is shown.
    pub name: String,
}

/// Begins a pairing: from the device on which the code was typed. Answered by `pair_reply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairStart {
    /// Version of the pairing protocol; 1.
    pub version: u32,
    /// What the sender does: `invites` or `joins`. The other side has to do the opposite.
    pub part: PairPart,
    /// Public part of the token that is used instead of a code, 4 digits and upper-case letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<TokenName>,
    /// The sender's SPAKE2 message (side B, "typed"), 33 bytes in hexadecimal digits.
    pub pake: PakeMessage,
}

/// Answers `pair_start`: from the device that shows the code, after it counted the try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairReply {
    /// The sender's SPAKE2 message (side A, "shown"), 33 bytes in hexadecimal digits.
    pub pake: PakeMessage,
}

/// Proves that the sender knows the code and sees this very connection. First from the side that typed; the other
/// answers with its own only when that one was right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairConfirm {
    /// HMAC-SHA256 over the transcript.
    pub mac: Digest,
}

/// From the side that invites, after both confirmations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairInvite {
    /// Whose device the other side becomes.
    pub player: PairPlayer,
    /// As what: `personal` or `unattended`.
    pub role: DeviceRole,
    /// The inviting device.
    pub device: PairDevice,
    /// HMAC-SHA256 over the transcript and these fields.
    pub mac: Digest,
}

/// Takes an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairAccept {
    /// The joining device.
    pub device: PairDevice,
    /// HMAC-SHA256 over the transcript and these fields.
    pub mac: Digest,
}

/// The inviting side has made the new device durable; the other may do so now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairDone {
    /// HMAC-SHA256 over the transcript.
    pub mac: Digest,
}

/// Why a pairing did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairRefusal {
    /// No code is shown and no such token is known: none yet, expired, used, or its tries are used up. One answer for all,
    /// so that it tells nothing about which.
    NoCode,
    /// Another pairing is under way, or there were too many attempts. Passes by itself.
    Busy,
    /// The code is another one, or somebody stands between the two devices.
    WrongCode,
    /// The pairing protocol has another version.
    Version,
    /// Both sides invite, or both want to join.
    SamePart,
    /// The device belongs to the player in another role; it has to be removed first.
    OtherRole,
    /// The device does not hold the player that it was to invite to, or may not invite.
    NotAllowed,
    /// The device holds as many players, or the player has as many devices, as there may be.
    Full,
    /// It broke off for another reason. Reasons of newer peers read as this one.
    #[serde(other)]
    Failed,
}

impl PairRefusal {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::NoCode,
        Self::Busy,
        Self::WrongCode,
        Self::Version,
        Self::SamePart,
        Self::OtherRole,
        Self::NotAllowed,
        Self::Full,
        Self::Failed,
    ];

    /// Whether the same attempt may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Busy)
    }

    /// The code of the `error` frame that says as much to who knows no pairing.
    #[must_use]
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NoCode | Self::WrongCode | Self::NotAllowed => ErrorCode::Forbidden,
            Self::Busy => ErrorCode::Busy,
            Self::Version => ErrorCode::Version,
            Self::SamePart => ErrorCode::BadRequest,
            Self::OtherRole => ErrorCode::Conflict,
            Self::Full => ErrorCode::TooLarge,
            Self::Failed => ErrorCode::Internal,
        }
    }
}

/// Ends a pairing without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairRefused {
    /// Why: `no_code`, `busy`, `wrong_code`, `version`, `same_part`, `other_role`, `not_allowed`, `full`, `failed`.
    pub reason: PairRefusal,
}

/// Messages of a pairing's stream, in both directions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PairMessage {
    /// First frame, from the side that typed the code.
    PairStart(PairStart),
    /// Its answer.
    PairReply(PairReply),
    /// Proof that the code is known.
    PairConfirm(PairConfirm),
    /// The player.
    PairInvite(PairInvite),
    /// The new device.
    PairAccept(PairAccept),
    /// It is durable.
    PairDone(PairDone),
    /// It did not come about.
    PairRefused(PairRefused),
    /// The other side does not understand.
    Error(ErrorMsg),
}

impl Family for PairMessage {
    const TYPES: &'static [&'static str] = &[
        "pair_start",
        "pair_reply",
        "pair_confirm",
        "pair_invite",
        "pair_accept",
        "pair_done",
        "pair_refused",
        "error",
    ];

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::PairInvite(m) => {
                bound(m.player.name.len() <= limits::TEXT_LEN_MAX, "player")?;
                m.device.check()
            }
            Self::PairAccept(m) => m.device.check(),
            Self::Error(e) => bound(e.message.len() <= limits::ERROR_MESSAGE_LEN_MAX, "message"),
            Self::PairStart(_)
            | Self::PairReply(_)
            | Self::PairConfirm(_)
            | Self::PairDone(_)
            | Self::PairRefused(_) => Ok(()),
        }
    }
}

impl PairDevice {
    fn check(&self) -> Result<(), &'static str> {
        bound(self.name.len() <= limits::TEXT_LEN_MAX && self.platform.len() <= limits::PLATFORM_LEN_MAX, "device")
    }
}

#[cfg(test)]
mod tests;
