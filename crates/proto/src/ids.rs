//! Identities and hashes as types, so that no function can confuse them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::limits::GAME_ID_LEN_MAX;
use crate::rel_path::{PathError, check_name};

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a UUID.
    #[error("not a UUID")]
    Uuid,
    /// Not 64 hexadecimal digits.
    #[error("not 64 lower-case hexadecimal digits")]
    Hex,
    /// A game id is a folder name: it must be a legal, visible name on every platform.
    #[error("not a game id: {0}")]
    Name(#[from] PathError),
    /// Hidden names are reserved for scratch and other tools.
    #[error("not a game id: begins with a dot")]
    Hidden,
    /// No name of a slot.
    #[error("not a slot name: 1 to 64 bytes of visible text")]
    Slot,
    /// No public part of a token.
    #[error("not the name of a token: 4 digits and upper-case letters")]
    Token,
    /// Not a time of the shared log.
    #[error("not a time of the form MS-COUNT-DEVICE")]
    Time,
}

/// A peer: UUIDv8 from the SHA-256 of its public key (SPKI DER), so a certificate proves it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerId(Uuid);

impl PeerId {
    /// The id that a public key proves: the first 16 bytes of SHA-256(SPKI DER) with UUIDv8 version and variant bits.
    #[must_use]
    pub fn from_spki_der(spki: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(spki).into();
        let mut head = [0u8; 16];
        head.copy_from_slice(&hash[..16]);
        Self(Uuid::new_v8(head))
    }

    /// The id with these bytes, taken as they are. For tests and for reading back what was stored.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// The first eight hexadecimal digits: enough for a log line or a table, never for a decision.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.simple().to_string()[..8].to_owned()
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl FromStr for PeerId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self).map_err(|_| IdError::Uuid)
    }
}

/// One life of a state database: revisions of different epochs are not comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LibraryEpoch(pub Uuid);

impl fmt::Display for LibraryEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for LibraryEpoch {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(s).map(Self).map_err(|_| IdError::Uuid)
    }
}

macro_rules! uuid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(s).map(Self).map_err(|_| IdError::Uuid)
            }
        }
    };
}

uuid_newtype! {
    /// A player: a person, and the set of their paired devices.
    PlayerId
}
uuid_newtype! {
    /// One life of a device's state: made anew with its database. Sequence numbers and state of different epochs of one
    /// device are not comparable.
    DeviceEpoch
}

/// A game, named by the folder that holds it: one visible path component, legal on every platform, at most
/// `GAME_ID_LEN_MAX` bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct GameId(String);

impl GameId {
    /// The checked id.
    ///
    /// # Errors
    /// When the text is no legal folder name, hidden, or too long.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        if name.len() > GAME_ID_LEN_MAX {
            return Err(IdError::Name(PathError::TooLong));
        }
        check_name(&name)?;
        if name.starts_with('.') {
            return Err(IdError::Hidden);
        }
        Ok(Self(name))
    }

    /// The id as text, which is also the folder's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for GameId {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for GameId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// 32 bytes of a hash, written as 64 lower-case hexadecimal digits. Which hash it is, the field or newtype says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first eight hexadecimal digits, for logs.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(IdError::Hex);
        }
        let mut out = [0u8; 32];
        hex::decode_to_slice(s, &mut out).map_err(|_| IdError::Hex)?;
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! digest_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                s.parse().map(Self)
            }
        }
    };
}

digest_newtype! {
    /// SHA-256 over the sorted (path, size) list of a game: cheap, known at once, proves no content.
    ManifestHash
}
digest_newtype! {
    /// SHA-256 over the sorted (path, size, BLAKE3) list of a game: known once every file was read.
    ContentHash
}
digest_newtype! {
    /// BLAKE3 of the bytes of a snapshot.
    SnapshotId
}
digest_newtype! {
    /// SHA-256 over the files of a save: see `crate::save::content_hash`.
    SaveHash
}
