//! Players, devices and saves as a front end shows them. Types only.

use std::sync::Arc;

use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{GameId, PeerId, PictureFormat, PlayerId, SlotName, SnapshotId, SnapshotKind};
use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::saves::decide::Row;
use crate::saves::slot::Standing;

/// A player of this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayerView {
    /// The player.
    pub player: PlayerId,
    /// Name for people.
    pub name: String,
    /// Whether this device was removed from the player's: it holds what it held and takes part in nothing.
    pub is_removed: bool,
    /// The player's devices, this one among them, sorted by id.
    pub devices: Vec<DeviceView>,
    /// The player's slots, sorted by game and name. Snapshots share those that did not change.
    pub slots: Vec<Arc<SlotView>>,
}

/// A device of a player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceView {
    /// The device.
    pub device: PeerId,
    /// Name for people.
    pub name: String,
    /// `linux`, `windows` ..
    pub platform: String,
    /// The program that speaks for it.
    pub client: String,
    /// Its version.
    pub client_version: String,
    /// Where it was reached last, as it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Hardware address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Name of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// As what it was paired.
    pub role: DeviceRole,
    /// How it syncs: `api`, `file_transfer` or `push_pull`.
    pub sync_mode: String,
    /// Whether it takes part.
    pub enabled: bool,
    /// Whether it is this one.
    pub is_this: bool,
    /// Whether a connection stands.
    pub is_connected: bool,
    /// When it was last heard of, in milliseconds since 1970-01-01 UTC by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotView {
    /// The player.
    pub player: PlayerId,
    /// The game.
    pub game: GameId,
    /// Its name.
    pub slot: SlotName,
    /// What people call it.
    pub display_name: String,
    /// Whether its files are those on this device's disk.
    pub is_here: bool,
    /// Where they lie, one path a part; empty for a slot that is not here.
    pub paths: Vec<String>,
    /// How it stands.
    pub standing: Standing,
    /// The row of the decision table that applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<Row>,
    /// The version on the disk, or taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<SnapshotId>,
    /// Newest versions, newest first; several when devices differ.
    pub heads: Vec<HeadView>,
    /// In a conflict: the sides besides what is on the disk, and those alone.
    pub sides: Vec<SnapshotId>,
    /// Versions that are stored here.
    pub stored: u64,
    /// Versions that are known.
    pub known: u64,
    /// Devices that hold the newest version whole, out of `devices.len()`.
    pub held_by: u64,
    /// Every device of the player.
    pub devices: Vec<SlotDeviceView>,
    /// Whether this device leaves it alone, because the player said so.
    pub is_untracked: bool,
    /// Whether the game runs here.
    pub is_running: bool,
    /// How many versions are kept.
    pub keep: u32,
    /// Whether the others go by themselves.
    pub autocleanup: bool,
    /// Conflict copies that lie beside the live files.
    pub copies: Vec<SnapshotId>,
    /// Why it stands still, when it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Report>,
}

/// A newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadView {
    /// The version.
    pub id: SnapshotId,
    /// What is known of it; absent while it is only named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionView>,
    /// Whether all of it is here.
    pub is_stored: bool,
}

/// Where a device stands in a slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotDeviceView {
    /// The device.
    pub device: PeerId,
    /// Name for people.
    pub name: String,
    /// Whether the newest version is what its disk holds, verified and durable.
    pub is_current: bool,
    /// Whether it holds the newest version whole.
    pub holds: bool,
    /// When its disk was last brought to a head, in milliseconds since 1970-01-01 UTC by its clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_synced_at: Option<u64>,
    /// Whether it leaves the slot alone.
    pub is_untracked: bool,
}

/// A version of a save.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionView {
    /// Its id.
    pub id: SnapshotId,
    /// What it was made from.
    pub parents: Vec<SnapshotId>,
    /// Why it was made.
    pub kind: SnapshotKind,
    /// Where.
    pub device: PeerId,
    /// Name of that device for people; empty when it is not known.
    pub device_name: String,
    /// When, in milliseconds since 1970-01-01 UTC by that device's clock.
    pub created_at: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
    /// How long the game was seen to run on the way to it, in milliseconds; 0 when nobody saw it run.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub played_ms: u64,
    /// Hash of its content, 64 hexadecimal digits.
    pub content_hash: String,
    /// Whether all of it is here.
    pub is_stored: bool,
    /// Whether the player pinned it.
    pub is_pinned: bool,
    /// Whether it is on this device's disk.
    pub is_base: bool,
    /// Whether it is a newest version.
    pub is_head: bool,
    /// What the player wrote about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its picture, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PictureView>,
}

/// The picture of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureView {
    /// BLAKE3 of its bytes, 64 hexadecimal digits.
    pub hash: String,
    /// Its bytes.
    pub size: u64,
    /// Its format.
    pub format: PictureFormat,
    /// Whether its bytes are on this device.
    pub is_here: bool,
    /// How many other devices of the player are connected and say that they have it.
    pub others: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number of the entry, counted from 1; 0 before it is stored.
    pub seq: u64,
    /// When, in milliseconds since 1970-01-01 UTC by this device's clock.
    pub at: u64,
    /// The player.
    pub player: PlayerId,
    /// The game, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub game: Option<GameId>,
    /// The slot, when it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<SlotName>,
    /// The device that did it.
    pub device: PeerId,
    /// What: `saved`, `applied`, `joined`, `resolved`, `rolled_back`, `deleted`, `conflict`, `pruned`, `imported`,
    /// `switched`, `released`, `pinned`, `unpinned`, `noted`, `retention`, `tracked`, `untracked`, `player_created`,
    /// `paired`, `removed`, `renamed`, `enabled`, `disabled`, `registered`, `edit_survived`, `forgotten`,
    /// `pictured`, `unpictured`.
    pub action: String,
    /// The version that came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotId>,
    /// What it replaced, or stood against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<SnapshotId>,
    /// More, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}
