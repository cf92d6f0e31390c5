//! Which lives of which devices belong to the player, as the entries about devices add up to it.
//!
//! Owns no fact of its own but the devices that pairing vouched for before any entry was here. Only grows: a life is
//! opened, a removal closes it for ever, and neither depends on the order in which it was heard. So every device comes to
//! the same lives, also when two remove each other.
//!
//! - A life opens itself with its first entry, or is opened by another device that paired with it.
//! - A removal names the lives that it closes and how far each was held by the remover. What a closed life wrote beyond
//!   that is *void*: kept and relayed, so that all logs stay equal, but without effect on any record.
//! - A life that only opened itself is closed by any removal of its device. A removed device cannot come back by losing
//!   its database; it has to be paired again, in a new life.
//! - Entries about devices are heard even when they are void: were they not, two devices that remove each other would
//!   leave the others in two camps. Whoever believed a device before it heard of the removal had reason to.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::message_sync::{ChangeType, RecordData, SharedEntry, Watermark};
use bonfire_proto::{DeviceEpoch, PeerId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Life, Stamp};

/// Kind of the records of devices; the record of a device has the device's own UUID.
pub const DEVICE: &str = "device";

/// Field in which a device names the life that it opens for itself.
const OPENS: &str = "epoch";
/// Field in which a device names the life of another that it paired with.
const PAIRED: &str = "paired_epoch";
/// Field of a deletion: the lives that it closes.
const CUTS: &str = "cuts";

/// Most lives that one removal closes; a device that lost its database more often is not to be helped.
const CUTS_MAX: usize = 64;

/// What is known of one life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Fate {
    /// The latest entry that opened it.
    opened: Option<Stamp>,
    /// Whether another device paired with it.
    paired: bool,
    /// The last entry that counts, once it is closed.
    cut: Option<u64>,
}

/// The lives of a player's devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registry {
    devices: BTreeMap<PeerId, BTreeMap<DeviceEpoch, Fate>>,
    /// Lives that pairing vouched for and no entry opened yet.
    vouched: BTreeSet<Life>,
}

impl Registry {
    /// Believes in a life because of a pairing, until an entry opens it.
    pub fn vouch(&mut self, life: Life) {
        if !self.is_known(life) {
            self.fate(life);
            self.vouched.insert(life);
        }
    }

    /// Takes in an entry, void or not.
    pub fn apply(&mut self, entry: &SharedEntry) {
        if entry.model_type != DEVICE {
            return;
        }
        let device = PeerId::from_uuid(entry.record_uuid);
        if entry.change_type == ChangeType::Delete {
            for (epoch, up_to) in cuts(&entry.data) {
                let fate = self.fate(Life { device, epoch });
                fate.cut = fate.cut.max(Some(up_to));
            }
            return;
        }
        let stamp = Some(Stamp::of(entry));
        if let Some(life) = opens(entry) {
            self.open(life, stamp);
        }
        if let Some(epoch) = epoch(entry.data.get(PAIRED)).filter(|_| device != entry.device_id) {
            self.open(Life { device, epoch }, stamp).paired = true;
        }
    }

    /// Whether entries of this life are held at all: it was opened once.
    #[must_use]
    pub fn is_known(&self, life: Life) -> bool {
        self.find(life).is_some_and(|f| f.opened.is_some()) || self.vouched.contains(&life)
    }

    /// Whether a life is one of the player's now.
    #[must_use]
    pub fn is_open(&self, life: Life) -> bool {
        self.is_known(life) && !self.is_closed(life)
    }

    /// Whether a removal names this life. A life that only opened itself is closed by one of an earlier life as well.
    #[must_use]
    pub fn is_cut(&self, life: Life) -> bool {
        self.find(life).is_some_and(|f| f.cut.is_some())
    }

    /// Whether a device is one of the player's now.
    #[must_use]
    pub fn is_device(&self, device: PeerId) -> bool {
        self.present(device).is_some()
    }

    /// The present life of a device: the one that was opened last of those that are open.
    #[must_use]
    pub fn present(&self, device: PeerId) -> Option<Life> {
        let lives = self.devices.get(&device)?;
        let open = lives.iter().map(|(epoch, fate)| (Life { device, epoch: *epoch }, fate));
        open.filter(|(life, _)| self.is_open(*life))
            .max_by_key(|(life, fate)| (fate.opened, *life))
            .map(|(life, _)| life)
    }

    /// The present lives of all devices of the player: those whose acks count.
    #[must_use]
    pub fn devices(&self) -> BTreeSet<Life> {
        self.devices.keys().filter_map(|device| self.present(*device)).collect()
    }

    /// Whether an entry has no effect, because its author was removed and the remover did not hold it.
    #[must_use]
    pub fn is_void(&self, entry: &SharedEntry) -> bool {
        let life = Life::of(entry);
        self.is_closed(life) && entry.seq > self.find(life).and_then(|f| f.cut).unwrap_or(0)
    }

    /// Content of the entry that removes a device: every life of it that is known, as far as `held` says.
    #[must_use]
    pub fn removal(&self, device: PeerId, held: &[Watermark]) -> RecordData {
        let lives = self.devices.get(&device).into_iter().flat_map(BTreeMap::keys);
        let cuts: Vec<Value> = lives
            .map(|epoch| {
                let life = Life { device, epoch: *epoch };
                let seq = held.iter().find(|m| Life::from(**m) == life).map_or(0, |m| m.seq);
                json!({ "device_epoch": epoch, "up_to_seq": seq })
            })
            .collect();
        RecordData::from_iter([(CUTS.to_owned(), Value::Array(cuts))])
    }

    fn is_closed(&self, life: Life) -> bool {
        let Some(fate) = self.find(life) else { return false };
        let removed = || self.devices.get(&life.device).is_some_and(|l| l.values().any(|f| f.cut.is_some()));
        // Whom we paired with ourselves came after the removal, though the entry that says so is yet to come.
        let is_paired = fate.paired || self.vouched.contains(&life);
        fate.cut.is_some() || (!is_paired && removed())
    }

    fn open(&mut self, life: Life, stamp: Option<Stamp>) -> &mut Fate {
        self.vouched.remove(&life);
        let fate = self.fate(life);
        fate.opened = fate.opened.max(stamp);
        fate
    }

    fn find(&self, life: Life) -> Option<&Fate> {
        self.devices.get(&life.device)?.get(&life.epoch)
    }

    fn fate(&mut self, life: Life) -> &mut Fate {
        self.devices.entry(life.device).or_default().entry(life.epoch).or_default()
    }
}

/// The life that an entry opens for its own author, if it does.
#[must_use]
pub fn opens(entry: &SharedEntry) -> Option<Life> {
    let itself = entry.model_type == DEVICE
        && entry.record_uuid == *entry.device_id.as_uuid()
        && entry.change_type != ChangeType::Delete;
    let named = epoch(entry.data.get(OPENS)).filter(|epoch| *epoch == entry.device_epoch);
    named.filter(|_| itself).map(|epoch| Life { device: entry.device_id, epoch })
}

/// Adds to a device's content the life that it opens for itself.
pub fn open_itself(data: &mut RecordData, epoch: DeviceEpoch) {
    data.insert(OPENS.to_owned(), json!(epoch));
}

/// Adds to a device's content that it was paired with in this life.
pub fn open_paired(data: &mut RecordData, epoch: DeviceEpoch) {
    data.insert(PAIRED.to_owned(), json!(epoch));
}

fn epoch(value: Option<&Value>) -> Option<DeviceEpoch> {
    Uuid::parse_str(value?.as_str()?).ok().map(DeviceEpoch)
}

fn cuts(data: &RecordData) -> Vec<(DeviceEpoch, u64)> {
    let list = data.get(CUTS).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |cut: &Value| Some((epoch(cut.get("device_epoch"))?, cut.get("up_to_seq")?.as_u64()?));
    list.iter().take(CUTS_MAX).filter_map(one).collect()
}
