//! Whether a device that registers is one that is known already.
//!
//! A machine that was set up anew has another key and wants to be itself again; two machines of one model look alike and
//! must never be taken for one. Rules over fingerprints, which are what a device says of itself: being recognised moves a
//! name and a history, and never trust. Pairing decides trust; reading fingerprints off a machine is others'.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use bonfire_proto::{Digest, PeerId};

/// Hardware address of a network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it names a piece of hardware: not one that was made up (as phones and virtual machines do), nor a group, nor
    /// nothing.
    #[must_use]
    pub const fn is_of_hardware(self) -> bool {
        let Self([first, rest @ ..]) = self;
        first & 0b11 == 0 && !(first == 0 && matches!(rest, [0, 0, 0, 0, 0]))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Not six pairs of hexadecimal digits with `:` or `-` between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hardware address of the form aa:bb:cc:dd:ee:ff")]
pub struct MacError;

impl FromStr for Mac {
    type Err = MacError;
    fn from_str(s: &str) -> Result<Self, MacError> {
        let mut out = [0u8; 6];
        let mut parts = s.split([':', '-']);
        for byte in &mut out {
            let part = parts.next().filter(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or(MacError)?, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_none() { Ok(Self(out)) } else { Err(MacError) }
    }
}

/// What a device is recognised by. What is not known is left out, and then matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fingerprint {
    /// The hash of its key, where it has one.
    pub key_hash: Option<Digest>,
    /// A hash of the id that the system gave this installation (never that id itself, which other programs know it by).
    pub machine_id: Option<Digest>,
    /// Of its first interface.
    pub mac: Option<Mac>,
    /// Its name on the network.
    pub hostname: Option<String>,
    /// Its operating system.
    pub platform: Option<String>,
}

/// By what two fingerprints match; the first is the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchedBy {
    /// The key: it is the same device, without doubt.
    Key,
    /// The installation.
    MachineId,
    /// The hardware address, and nothing speaks against it.
    Mac,
    /// The hardware address of what is another installation: the same machine set up anew, or a dock that moved.
    MacElsewhere,
    /// Name and platform. Every Steam Deck is called `steamdeck`.
    Name,
}

impl MatchedBy {
    /// Whether it may be taken without asking a person.
    #[must_use]
    pub const fn is_sure(self) -> bool {
        matches!(self, Self::Key | Self::MachineId | Self::Mac)
    }
}

impl Fingerprint {
    /// By what the two match, if at all.
    #[must_use]
    pub fn matches(&self, other: &Self) -> Option<MatchedBy> {
        if is_same(self.key_hash, other.key_hash) {
            return Some(MatchedBy::Key);
        }
        if is_same(self.machine_id, other.machine_id) {
            return Some(MatchedBy::MachineId);
        }
        let hardware = |f: &Self| f.mac.filter(|m| m.is_of_hardware());
        if is_same(hardware(self), hardware(other)) {
            let other_installation = self.machine_id.is_some() && other.machine_id.is_some();
            return Some(if other_installation { MatchedBy::MacElsewhere } else { MatchedBy::Mac });
        }
        let named = |f: &Self| Some((plain(f.hostname.as_deref())?, plain(f.platform.as_deref())?));
        is_same(named(self), named(other)).then_some(MatchedBy::Name)
    }
}

/// What the registering side allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// A known device may be taken for this one. On unless said otherwise.
    pub allow_existing: bool,
    /// A new device is wanted even if it looks like a known one. Switches `allow_existing` off.
    pub allow_duplicate: bool,
    /// What a known device had in sync is forgotten when it is taken for this one.
    pub reset_syncs: bool,
}

impl Default for Flags {
    fn default() -> Self {
        Self { allow_existing: true, allow_duplicate: false, reset_syncs: false }
    }
}

/// What comes of a registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// It is a new device.
    Create,
    /// It is this one.
    Existing {
        /// The device.
        device: PeerId,
        /// How it was recognised.
        by: MatchedBy,
        /// Whether what it had in sync is forgotten.
        reset_syncs: bool,
    },
    /// It is this one, which was not to be taken (409 over HTTP).
    Conflict {
        /// The device.
        device: PeerId,
        /// How it was recognised.
        by: MatchedBy,
    },
    /// It may be one of these, and a person has to say (409 over HTTP): by naming one, or by allowing a duplicate. The
    /// likeliest is first; never empty.
    Choose(Vec<(PeerId, MatchedBy)>),
}

impl Registration {
    /// The device that an answer carries: what it is, what it collides with, or what it is most likely.
    #[must_use]
    pub fn device(&self) -> Option<PeerId> {
        match self {
            Self::Create => None,
            Self::Existing { device, .. } | Self::Conflict { device, .. } => Some(*device),
            Self::Choose(devices) => devices.first().map(|(device, _)| *device),
        }
    }

    /// Whether nothing was registered.
    #[must_use]
    pub const fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Choose(_))
    }
}

/// Decides a registration. `chosen` is what a person said when asked; it counts only for a device that was offered.
#[must_use]
pub fn register(
    who: &Fingerprint,
    flags: Flags,
    chosen: Option<PeerId>,
    known: &BTreeMap<PeerId, Fingerprint>,
) -> Registration {
    let mut found: Vec<(MatchedBy, PeerId)> =
        known.iter().filter_map(|(id, f)| who.matches(f).map(|by| (by, *id))).collect();
    found.sort_unstable();
    let Some(&(best, first)) = found.first() else { return Registration::Create };
    // One key is one device: a second with it could not be told from the first.
    if best == MatchedBy::Key {
        return taken(first, best, flags);
    }
    if flags.allow_duplicate {
        return Registration::Create;
    }
    let alone = found.iter().filter(|(by, _)| *by == best).count() == 1;
    if best.is_sure() && alone {
        return taken(first, best, flags);
    }
    match found.iter().find(|(_, id)| Some(*id) == chosen) {
        Some(&(by, device)) => taken(device, by, flags),
        None => Registration::Choose(found.into_iter().map(|(by, id)| (id, by)).collect()),
    }
}

fn taken(device: PeerId, by: MatchedBy, flags: Flags) -> Registration {
    if flags.allow_existing && !flags.allow_duplicate {
        Registration::Existing { device, by, reset_syncs: flags.reset_syncs }
    } else {
        Registration::Conflict { device, by }
    }
}

fn is_same<T: PartialEq>(a: Option<T>, b: Option<T>) -> bool {
    a.is_some() && a == b
}

/// A name without case and space around it; an empty one is none.
fn plain(text: Option<&str>) -> Option<String> {
    text.map(|t| t.trim().to_lowercase()).filter(|t| !t.is_empty())
}

#[cfg(test)]
mod tests;
