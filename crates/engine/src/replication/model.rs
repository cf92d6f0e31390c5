//! The kinds of records that this version understands, as Rust types, and how they stand in an entry's `data`.
//!
//! Owns names of kinds and fields. Reading is lenient: unknown fields are passed over here and kept in the record, a
//! missing one has its default, and a record that cannot be read is not shown, but kept and relayed all the same.

use bonfire_proto::digest::FieldHasher;
use bonfire_proto::limits::{NOTE_LEN_MAX, TEXT_LEN_MAX};
use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::message_sync::RecordData;
use bonfire_proto::{Digest, GameId, PeerId, PictureFormat, PictureRef, SlotName, SnapshotId, text};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::registry::DEVICE;

/// Most roots of a save set, and most patterns of each of its lists.
const LIST_MAX: usize = 256;
/// Most snapshots that `SlotHead` names as held.
pub const HAVE_MAX: usize = 16;

/// A kind of record.
pub trait Model: Serialize + DeserializeOwned {
    /// Its name on the wire.
    const TYPE: &'static str;

    /// The same within its bounds and cleaned of what could deceive; `None` when it makes no sense.
    fn checked(self) -> Option<Self>;
}

/// Who the devices belong to. The record has the player's own id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Player {
    /// For people, at most 128 bytes.
    #[serde(default)]
    pub name: String,
}

/// How a device of RomM's kind syncs. Another word than these is kept and means `Api`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SyncMode {
    /// The device asks and tells by itself.
    #[default]
    Api,
    /// Its files are moved for it.
    FileTransfer,
    /// It is pushed to and pulled from.
    PushPull,
}

/// A value that this version knows, or none.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(d: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(d)?).ok())
}

impl<'de> Deserialize<'de> for SyncMode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(match String::deserialize(d)?.as_str() {
            "file_transfer" => Self::FileTransfer,
            "push_pull" => Self::PushPull,
            _ => Self::Api,
        })
    }
}

/// A device of the player. The record has the device's own id. When it was last seen is no shared fact, and not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    /// For people, at most 128 bytes, as every text here.
    pub name: String,
    /// `linux`, `windows`, `steamdeck` ..
    pub platform: String,
    /// The program that speaks for it.
    pub client: String,
    /// Version of that program.
    pub client_version: String,
    /// Where it was reached last, as it says itself.
    pub address: Option<String>,
    /// Hardware address, for the fingerprint.
    pub mac: Option<String>,
    /// Name of the machine.
    pub hostname: Option<String>,
    /// A hash of the system's id of the installation, for the fingerprint.
    pub machine_id: Option<Digest>,
    /// The whole hash of its key, as pinned when it was paired.
    pub key_hash: Option<Digest>,
    /// As what it was paired; `None` for a word of a later version, which stands for the least.
    #[serde(deserialize_with = "known")]
    pub role: Option<DeviceRole>,
    /// How it syncs.
    pub sync_mode: SyncMode,
    /// Whether it takes part; a device that is switched off is still the player's.
    pub enabled: bool,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            name: String::new(),
            platform: String::new(),
            client: String::new(),
            client_version: String::new(),
            address: None,
            mac: None,
            hostname: None,
            machine_id: None,
            key_hash: None,
            role: None,
            sync_mode: SyncMode::default(),
            enabled: true,
        }
    }
}

/// What a save of a game consists of. Where its roots lie is each device's own affair. The record's id: `save_set_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaveSet {
    /// The game.
    pub game: GameId,
    /// Labels of its roots, at most 256 of 1 to 32 bytes.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Patterns of files that are no part of it, at most 256.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// What history keeps of a slot. One value: a number without its switch would mean something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Retention {
    /// How many snapshots stay, beside those that always do; at least 1.
    pub keep: u32,
    /// Whether the others go by themselves.
    pub autocleanup: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: 10, autocleanup: true }
    }
}

/// A line of a game's saves. The record's id: `slot_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// What people call it, at most 128 bytes; its name when there is none.
    #[serde(default)]
    pub display_name: Option<String>,
    /// What history keeps.
    #[serde(default)]
    pub retention: Option<Retention>,
}

/// A snapshot that retention never removes. The record's id: `snapshot_record_id` of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// The snapshot.
    pub snapshot: SnapshotId,
}

/// What the player wrote about a snapshot after it was made. The record's id: `snapshot_record_id` of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// At most 512 bytes.
    pub text: String,
}

/// The picture that a snapshot has. Its bytes are kept apart, by whoever has them. The record's id: `snapshot_record_id` of the
/// snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// BLAKE3 of the picture's bytes.
    pub hash: Digest,
    /// How many bytes, 1 to 4,194,304.
    pub len: u32,
    /// In what format.
    pub format: PictureFormat,
    /// Where it was attached.
    pub device: PeerId,
}

impl Picture {
    /// The picture by what it is.
    #[must_use]
    pub const fn what(&self) -> PictureRef {
        PictureRef { hash: self.hash, len: self.len, format: self.format }
    }
}

/// How a conflict was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The side of the device that resolved.
    Mine,
    /// The other side.
    Theirs,
    /// Both; the other one in a slot of its own.
    Both,
    /// A snapshot that was named.
    Named,
}

/// That a conflict was resolved, for lists and the audit log; what holds, the ancestry of the snapshot says. The record's
/// id: `snapshot_record_id` of the resolving snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// The snapshot that resolved.
    pub snapshot: SnapshotId,
    /// The heads that there were, sorted; at most 256.
    pub heads: Vec<SnapshotId>,
    /// How.
    pub choice: Choice,
    /// Where.
    pub device: PeerId,
}

/// Where a device stands in a slot: device-owned state. The record's id: `slot_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHead {
    /// The game.
    pub game: GameId,
    /// The line.
    pub slot: SlotName,
    /// The newest snapshot that the device has.
    #[serde(default)]
    pub head: Option<SnapshotId>,
    /// The snapshot last applied to its disk.
    #[serde(default)]
    pub base: Option<SnapshotId>,
    /// The maximal snapshots whose objects are all there, sorted; at most 16.
    #[serde(default)]
    pub have: Vec<SnapshotId>,
    /// Whether the device leaves the slot alone.
    #[serde(default)]
    pub is_untracked: bool,
    /// Whether the head is what its disk holds, verified and durable.
    #[serde(default)]
    pub is_current: bool,
    /// When its disk was last brought to a head, in milliseconds since 1970-01-01 UTC by its clock.
    #[serde(default)]
    pub last_synced_at: Option<u64>,
}

/// Whether a record of this kind has the last writer of the whole, not of each field.
#[must_use]
pub fn is_one_act(model_type: &str) -> bool {
    [Pin::TYPE, Note::TYPE, Picture::TYPE, Resolution::TYPE].contains(&model_type)
}

/// A record as this version understands it; `None` when it does not.
#[must_use]
pub fn read<M: Model>(data: &RecordData) -> Option<M> {
    // A field that was cleared is one that is not there.
    let said = data.iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name.clone(), v.clone()));
    serde_json::from_value::<M>(Value::Object(said.collect())).ok()?.checked()
}

/// All fields of a record. One that has no value is `null`, so that writing it clears what was there.
#[must_use]
pub fn write<M: Model>(record: &M) -> RecordData {
    match serde_json::to_value(record) {
        Ok(Value::Object(data)) => data,
        // A struct of plain fields is an object.
        _ => RecordData::new(),
    }
}

/// Id of a game's save set: the same on every device that declares it.
#[must_use]
pub fn save_set_id(game: &GameId) -> Uuid {
    id_of(SaveSet::TYPE, &[game.as_str().as_bytes()])
}

/// Id of a slot, and of every device's state of it.
#[must_use]
pub fn slot_id(game: &GameId, slot: &SlotName) -> Uuid {
    id_of(Slot::TYPE, &[game.as_str().as_bytes(), slot.as_str().as_bytes()])
}

/// Id of the pin, the note, the picture and the resolution of a snapshot.
#[must_use]
pub fn snapshot_record_id(snapshot: SnapshotId) -> Uuid {
    id_of("snapshot", &[&snapshot.0.0])
}

fn id_of(kind: &str, parts: &[&[u8]]) -> Uuid {
    let mut hasher = FieldHasher::new();
    hasher.field(kind.as_bytes());
    for part in parts {
        hasher.field(part);
    }
    let mut head = [0; 16];
    head.copy_from_slice(&hasher.finish().0[..16]);
    Uuid::new_v8(head)
}

impl Model for Player {
    const TYPE: &'static str = "player";
    fn checked(self) -> Option<Self> {
        Some(Self { name: text::clean(&self.name) })
    }
}

impl Model for Device {
    const TYPE: &'static str = DEVICE;
    fn checked(self) -> Option<Self> {
        let clean = |text: Option<String>| text.map(|t| text::clean(&t));
        Some(Self {
            name: text::clean(&self.name),
            platform: text::clean(&self.platform),
            client: text::clean(&self.client),
            client_version: text::clean(&self.client_version),
            address: clean(self.address),
            mac: clean(self.mac),
            hostname: clean(self.hostname),
            ..self
        })
    }
}

impl Model for SaveSet {
    const TYPE: &'static str = "save_set";
    fn checked(self) -> Option<Self> {
        let short =
            |list: &[String], most| list.len() <= LIST_MAX && list.iter().all(|t| (1..=most).contains(&t.len()));
        let labels = short(&self.labels, 32) && self.labels.iter().all(|l| text::clean(l) == *l);
        (labels && short(&self.ignore, bonfire_proto::limits::PATH_LEN_MAX)).then_some(self)
    }
}

impl Model for Slot {
    const TYPE: &'static str = "slot";
    fn checked(self) -> Option<Self> {
        let retention = self.retention.map(|r| Retention { keep: r.keep.max(1), ..r });
        Some(Self { display_name: self.display_name.map(|n| text::clean_to(&n, TEXT_LEN_MAX)), retention, ..self })
    }
}

impl Model for Pin {
    const TYPE: &'static str = "pin";
    fn checked(self) -> Option<Self> {
        Some(self)
    }
}

impl Model for Note {
    const TYPE: &'static str = "note";
    fn checked(self) -> Option<Self> {
        Some(Self { text: text::clean_to(&self.text, NOTE_LEN_MAX), ..self })
    }
}

impl Model for Picture {
    const TYPE: &'static str = "picture";
    fn checked(self) -> Option<Self> {
        self.what().is_legal().then_some(self)
    }
}

impl Model for Resolution {
    const TYPE: &'static str = "resolution";
    fn checked(self) -> Option<Self> {
        (self.heads.len() <= LIST_MAX).then_some(self)
    }
}

impl Model for SlotHead {
    const TYPE: &'static str = "slot_head";
    fn checked(self) -> Option<Self> {
        (self.have.len() <= HAVE_MAX).then_some(self)
    }
}

/// That a device is there: device-owned state, said anew at each of its starts, so that the others know that it has said
/// everything it has to say. The record's id: the device's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When it started, in milliseconds since 1970-01-01 UTC by its clock.
    #[serde(default)]
    pub started_at: u64,
    /// The program that speaks for it, and its version; at most 128 bytes.
    #[serde(default)]
    pub client: String,
}

impl Model for Presence {
    const TYPE: &'static str = "presence";
    fn checked(self) -> Option<Self> {
        Some(Self { client: text::clean(&self.client), ..self })
    }
}
