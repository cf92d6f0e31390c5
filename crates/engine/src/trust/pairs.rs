//! What a pairing leads to: who may invite whom, into which player, as what.
//!
//! Rules over the roster, for the moment after both sides have proven the code. They change nothing by themselves: the
//! caller makes durable what they return, the inviting side before it says `pair_done`, the joining side after. A pairing
//! that broke off anywhere is simply done again.

use bonfire_proto::limits::PARENTS_MAX;
use bonfire_proto::message_pair::{DeviceRole, PairInvite, PairRefusal};
use bonfire_proto::{PeerId, PlayerId};

use super::roster::{Member, Proven, Roster};
use super::scopes::Scope;
use super::sessions::Terms;
use crate::report::ErrorClass;

/// Most devices of one player: as many heads as a snapshot can join.
pub const DEVICES_MAX: usize = PARENTS_MAX;

/// Most players that one device holds: a kiosk of a large club.
pub const PLAYERS_MAX: usize = 256;

/// What a pairing changes on one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// This device is to be recorded for the player, in place of any earlier record of it.
    Record {
        /// The device.
        device: PeerId,
        /// What is recorded.
        member: Member,
    },
    /// Everything is as it should be already: the pairing was a repetition.
    Nothing,
}

/// What a person asks for on a device that shows or types a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// What fits: to invite where there is one player, to join where there is none.
    Whatever,
    /// To invite to this player.
    Invite(PlayerId),
    /// To join the other side's player.
    Join,
}

/// Why a wish cannot be granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// There are several players here; each is named.
    #[error("{} players are on this device, and none was named", .0.len())]
    WhichPlayer(Vec<PlayerId>),
    /// This device does not hold the player, or may not invite.
    #[error("this device may not invite to player {0}")]
    NotAllowed(PlayerId),
}

impl WishError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Refused
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// What this device does in a pairing, out of what a person asked for. `role` is what the joining device becomes.
///
/// # Errors
/// When it cannot be told, or may not be.
pub fn terms(roster: &Roster, us: Proven, wish: Wish, role: DeviceRole) -> Result<Terms, WishError> {
    let player = match wish {
        Wish::Join => return Ok(Terms::Join { role }),
        Wish::Invite(player) => player,
        Wish::Whatever => {
            let held: Vec<PlayerId> = roster.players.keys().copied().filter(|p| is_ours(roster, us, *p)).collect();
            match held[..] {
                [] => return Ok(Terms::Join { role }),
                [one] => one,
                _ => return Err(WishError::WhichPlayer(held)),
            }
        }
    };
    if may_invite(roster, us, player) { Ok(Terms::Invite { player, role }) } else { Err(WishError::NotAllowed(player)) }
}

/// For the side that invites, when the other took the invitation: what to record. Asked again even when it was asked
/// before the code was shown, because players and devices change meanwhile.
///
/// # Errors
/// The refusal to send.
pub fn admit(
    roster: &Roster,
    us: Proven,
    player: PlayerId,
    role: DeviceRole,
    device: Proven,
) -> Result<Change, PairRefusal> {
    let members = roster.players.get(&player).filter(|_| may_invite(roster, us, player));
    let members = members.ok_or(PairRefusal::NotAllowed)?;
    if device.peer == us.peer {
        return Err(PairRefusal::NotAllowed);
    }
    match members.get(&device.peer) {
        Some(known) if !known.removed => repeated(known, role, device),
        _ if members.values().filter(|m| !m.removed).count() >= DEVICES_MAX => Err(PairRefusal::Full),
        _ => Ok(Change::Record { device: device.peer, member: Member::paired(device.key_hash, role) }),
    }
}

/// For the side that joins, when it is invited: what to record of the inviting device, beside itself in the role. `role` is
/// what this device agreed to become.
///
/// # Errors
/// The refusal to send.
pub fn join(
    roster: &Roster,
    us: Proven,
    role: DeviceRole,
    invite: &PairInvite,
    inviter: Proven,
) -> Result<Change, PairRefusal> {
    if invite.role != role {
        return Err(PairRefusal::OtherRole);
    }
    let player = invite.player.player_id;
    let held = roster.member(us, player).filter(|m| !m.removed);
    match held {
        Some(ours) => {
            // Whoever is invited to a player that it has already must not take a stranger for one of that player's devices.
            let known = roster.member(inviter, player).filter(|m| !m.removed);
            known.ok_or(PairRefusal::NotAllowed)?;
            repeated(ours, role, us)
        }
        None if !roster.players.contains_key(&player) && roster.players.len() >= PLAYERS_MAX => Err(PairRefusal::Full),
        // What the inviting device is in its player comes with the player's records; that it may invite, it has shown.
        None => {
            Ok(Change::Record { device: inviter.peer, member: Member::paired(inviter.key_hash, DeviceRole::Personal) })
        }
    }
}

fn repeated(known: &Member, role: DeviceRole, device: Proven) -> Result<Change, PairRefusal> {
    if known.key_hash != device.key_hash {
        return Err(PairRefusal::NotAllowed);
    }
    if known.role != role {
        return Err(PairRefusal::OtherRole);
    }
    Ok(Change::Nothing)
}

fn is_ours(roster: &Roster, us: Proven, player: PlayerId) -> bool {
    roster.member(us, player).is_some_and(|m| !m.removed)
}

fn may_invite(roster: &Roster, us: Proven, player: PlayerId) -> bool {
    roster.member(us, player).is_some_and(|m| !m.removed && m.scopes.has(Scope::DevicesWrite))
}

#[cfg(test)]
mod tests;
