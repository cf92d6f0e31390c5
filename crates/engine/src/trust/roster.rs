//! Who belongs to which player, as it decides what a connection may do.
//!
//! A view over the records of players and devices, replaced when they change. Owns where somebody stands, and what is lost
//! where when trust ends. Keeps no addresses and no names; how the records travel is the shared log's.

use std::collections::BTreeMap;

use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{Digest, PeerId, PlayerId};

use super::gate::{Standing, scopes_of};
use super::scopes::{Scope, Scopes};

/// A device of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// The whole hash of its key, as pinned when it was paired.
    pub key_hash: Digest,
    /// As what it was paired.
    pub role: DeviceRole,
    /// What it may do.
    pub scopes: Scopes,
    /// It was removed. Kept, so that an old record cannot bring it back.
    pub removed: bool,
}

impl Member {
    /// A device as it is after pairing.
    #[must_use]
    pub const fn paired(key_hash: Digest, role: DeviceRole) -> Self {
        Self { key_hash, role, scopes: Scopes::of_role(role), removed: false }
    }
}

/// Players, their devices, and whether guests are let in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Roster {
    /// Whether strangers may read what is offered to guests.
    pub guests: bool,
    /// The players that this device holds, each with every device it ever had.
    pub players: BTreeMap<PlayerId, BTreeMap<PeerId, Member>>,
}

/// The other end of a connection, as its certificate proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proven {
    /// Its id.
    pub peer: PeerId,
    /// The whole hash of its key.
    pub key_hash: Digest,
}

impl Roster {
    /// Where the other end of a connection stands towards a player; with `None`, as far as games go. Another key than the one
    /// that was pinned is nobody we know.
    #[must_use]
    pub fn standing(&self, who: Proven, player: Option<PlayerId>) -> Standing {
        let unknown = if self.guests { Standing::Guest } else { Standing::Stranger };
        let Some(player) = player else { return self.for_games(who, unknown) };
        match self.member(who, player) {
            None => unknown,
            Some(member) if member.removed => Standing::Removed,
            Some(member) => Standing::Device(member.scopes),
        }
    }

    /// What each connection loses by a change: for each player, and for games under `None`. The caller ends what is under
    /// way there for a scope that is gone; connections that lose nothing are not in it. The connection itself may stay:
    /// whoever is removed is as much of a guest as anybody.
    #[must_use]
    pub fn losses<C: Ord + Copy>(
        &self,
        after: &Self,
        connections: &BTreeMap<C, Proven>,
    ) -> BTreeMap<C, BTreeMap<Option<PlayerId>, Scopes>> {
        let players = self.players.keys().map(|p| Some(*p)).chain([None]);
        let players: Vec<Option<PlayerId>> = players.collect();
        let mut all = BTreeMap::new();
        for (conn, who) in connections {
            let mut lost = BTreeMap::new();
            for player in &players {
                let gone = self.may(*who, *player).without(after.may(*who, *player));
                if !gone.is_empty() {
                    lost.insert(*player, gone);
                }
            }
            if !lost.is_empty() {
                all.insert(*conn, lost);
            }
        }
        all
    }

    /// The device of a player that this is, also when it was removed.
    #[must_use]
    pub fn member(&self, who: Proven, player: PlayerId) -> Option<&Member> {
        self.players.get(&player)?.get(&who.peer).filter(|m| m.key_hash == who.key_hash)
    }

    /// A device of anybody may do with games what the most trusting of its players lets it, and what guests may.
    fn for_games(&self, who: Proven, unknown: Standing) -> Standing {
        let mut live = self.players.keys().filter_map(|p| self.member(who, *p)).filter(|m| !m.removed).peekable();
        if live.peek().is_none() {
            return unknown;
        }
        let games = Scopes::of(&[Scope::GamesRead]);
        Standing::Device(live.fold(scopes_of(unknown), |all, m| all.with(m.scopes)).and(games))
    }

    fn may(&self, who: Proven, player: Option<PlayerId>) -> Scopes {
        match player {
            None => scopes_of(self.standing(who, None)),
            // Games are nobody's: they are counted under `None`.
            Some(_) => scopes_of(self.standing(who, player)).without(Scopes::of(&[Scope::GamesRead])),
        }
    }
}

#[cfg(test)]
mod tests;
