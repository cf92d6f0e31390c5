//! What a device may do for a player, as a set.

use std::fmt;

use bonfire_proto::message_pair::DeviceRole;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Library and catalog games: what guests get, as long as guests get anything.
    GamesRead,
    /// Saves, their history, and where they are.
    SavesRead,
    /// New snapshots, resolutions, settings of slots.
    SavesWrite,
    /// Which devices the player has.
    DevicesRead,
    /// Rename, remove, change what a device may do.
    DevicesWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] =
        [Self::GamesRead, Self::SavesRead, Self::SavesWrite, Self::DevicesRead, Self::DevicesWrite];

    /// The name in settings and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GamesRead => "games:read",
            Self::SavesRead => "saves:read",
            Self::SavesWrite => "saves:write",
            Self::DevicesRead => "devices:read",
            Self::DevicesWrite => "devices:write",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of scopes. Written as a list of names; names of a newer version are left out when read, so that they allow nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// Everything.
    pub const ALL: Self = Self::of(&Scope::ALL);

    /// These.
    #[must_use]
    pub const fn of(scopes: &[Scope]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < scopes.len() {
            bits |= scopes[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// What a newly paired device of a role may do. A machine that others can reach must not decide who belongs to the
    /// player.
    #[must_use]
    pub const fn of_role(role: DeviceRole) -> Self {
        match role {
            DeviceRole::Personal => Self::ALL,
            DeviceRole::Unattended => {
                Self::of(&[Scope::GamesRead, Scope::SavesRead, Scope::SavesWrite, Scope::DevicesRead])
            }
        }
    }

    /// Whether all of the others are in it.
    #[must_use]
    pub const fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether one is in it.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Without the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each, in order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |s| self.has(*s))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Scope::name)).finish()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.iter().map(Scope::name))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(d)?;
        let known = Scope::ALL.into_iter().filter(|s| names.iter().any(|n| n == s.name()));
        Ok(Self::of(&known.collect::<Vec<_>>()))
    }
}

#[cfg(test)]
mod tests;
