//! Hybrid logical time: an order for lists and for the shared log. It decides no conflict between saves.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::{IdError, PeerId};

/// A time of one device: wall-clock milliseconds as far as they only grow, a count among equals, and the device, so that
/// no two are the same. Ordered by these in turn. On the wire `MS-COUNT-DEVICE` with 13 decimal and 8 hexadecimal digits,
/// so that the order of texts is the order of times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc {
    /// Milliseconds since 1970-01-01 UTC, at most `HLC_MS_MAX`.
    pub ms: u64,
    /// Position among times of the same millisecond.
    pub count: u32,
    /// Whose time.
    pub device: PeerId,
}

/// Latest time that can be written: 13 decimal digits, in the year 2286.
pub const HLC_MS_MAX: u64 = 9_999_999_999_999;

impl fmt::Display for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:013}-{:08x}-{}", self.ms, self.count, self.device)
    }
}

impl FromStr for Hlc {
    type Err = IdError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut parts = s.splitn(3, '-');
        let (Some(ms), Some(count), Some(device)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(IdError::Time);
        };
        let decimal = ms.len() == 13 && ms.bytes().all(|b| b.is_ascii_digit());
        let hex = count.len() == 8 && count.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !decimal || !hex {
            return Err(IdError::Time);
        }
        let ms = ms.parse().map_err(|_| IdError::Time)?;
        let count = u32::from_str_radix(count, 16).map_err(|_| IdError::Time)?;
        Ok(Self { ms, count, device: device.parse()? })
    }
}

impl Serialize for Hlc {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hlc {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
