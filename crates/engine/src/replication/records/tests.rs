use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{DeviceEpoch, Digest, GameId, Hlc, PeerId, SlotName, SnapshotId};
use proptest::prelude::*;
use serde_json::json;

use super::super::model::{Device, Note, Pin, Retention, SaveSet, Slot, SyncMode, save_set_id, slot_id};
use super::*;

fn entry(ms: u64, who: u128, model: &str, change_type: ChangeType, data: Value) -> SharedEntry {
    let device = PeerId::from_uuid(Uuid::from_u128(who));
    let Value::Object(data) = data else { panic!("an object") };
    SharedEntry {
        device_id: device,
        device_epoch: DeviceEpoch(Uuid::from_u128(who)),
        seq: ms,
        hlc: Hlc { ms, count: 0, device },
        model_type: model.to_owned(),
        record_uuid: Uuid::from_u128(7),
        change_type,
        data,
    }
}

fn slot(ms: u64, who: u128, change_type: ChangeType, data: Value) -> SharedEntry {
    entry(ms, who, "slot", change_type, data)
}

/// What these entries add up to, which is the same in every order.
fn sum(entries: &[SharedEntry]) -> Option<Value> {
    let key = RecordKey::of(&entries[0]);
    let sums: Vec<_> = orders(entries).iter().map(|order| Records::of(order).data(&key)).collect();
    assert!(sums.windows(2).all(|w| w[0] == w[1]), "{sums:?}");
    sums[0].clone().map(Value::Object)
}

fn orders(entries: &[SharedEntry]) -> Vec<Vec<SharedEntry>> {
    let Some((first, rest)) = entries.split_first() else { return vec![vec![]] };
    let into = |order: Vec<SharedEntry>| {
        (0..=order.len()).map(move |at| {
            let mut order = order.clone();
            order.insert(at, first.clone());
            order
        })
    };
    orders(rest).into_iter().flat_map(into).collect()
}

use ChangeType::{Delete, Insert, Update};

#[test]
fn changes_of_different_fields_on_two_devices_both_hold() {
    let entries = [
        slot(1, 1, Insert, json!({ "display_name": "A", "retention": null })),
        slot(2, 1, Update, json!({ "display_name": "B" })),
        slot(3, 2, Update, json!({ "retention": { "keep": 5, "autocleanup": true } })),
    ];
    let both = json!({ "display_name": "B", "retention": { "keep": 5, "autocleanup": true } });
    assert_eq!(sum(&entries), Some(both));
}

#[test]
fn of_two_changes_of_one_field_the_later_holds_and_of_two_at_once_that_of_the_same_device_everywhere() {
    let at_once =
        [slot(5, 1, Update, json!({ "display_name": "A" })), slot(5, 2, Update, json!({ "display_name": "B" }))];
    assert_eq!(sum(&at_once), Some(json!({ "display_name": "B" })));
    let later =
        [slot(6, 1, Update, json!({ "display_name": "A" })), slot(5, 2, Update, json!({ "display_name": "B" }))];
    assert_eq!(sum(&later), Some(json!({ "display_name": "A" })));
}

#[test]
fn the_same_time_in_two_lives_of_a_device_has_one_order() {
    let mut again = slot(5, 1, Update, json!({ "display_name": "B" }));
    again.device_epoch = DeviceEpoch(Uuid::from_u128(99));
    let entries = [slot(5, 1, Update, json!({ "display_name": "A" })), again];
    assert_eq!(sum(&entries), Some(json!({ "display_name": "B" })));
}

#[test]
fn a_note_is_one_act_and_never_the_text_of_one_under_the_words_of_another() {
    let entries = [
        entry(1, 1, "note", Insert, json!({ "text": "A", "mood": "glad" })),
        entry(2, 2, "note", Update, json!({ "text": "B" })),
    ];
    assert_eq!(sum(&entries), Some(json!({ "text": "B" })));
}

#[test]
fn a_later_change_brings_a_deleted_record_back_whole_and_an_earlier_one_does_not() {
    let made = slot(1, 1, Insert, json!({ "display_name": "A", "retention": 1 }));
    let deleted = slot(5, 2, Delete, json!({}));
    let before = slot(4, 1, Update, json!({ "display_name": "B" }));
    let after = slot(6, 1, Update, json!({ "display_name": "C" }));
    assert_eq!(sum(&[made.clone(), deleted.clone()]), None);
    assert_eq!(sum(&[made.clone(), deleted.clone(), before.clone()]), None);
    let whole = Some(json!({ "display_name": "C", "retention": 1 }));
    assert_eq!(sum(&[made.clone(), deleted.clone(), before.clone(), after.clone()]), whole);
    assert_eq!(sum(&[made, deleted, before, after, slot(7, 2, Delete, json!({}))]), None);
}

#[test]
fn a_deletion_alone_is_no_record() {
    assert_eq!(sum(&[slot(1, 1, Delete, json!({}))]), None);
}

#[test]
fn unknown_fields_and_unknown_kinds_are_kept() {
    let game = GameId::new("doom").unwrap();
    let made = json!({ "game": "doom", "slot": "main", "display_name": "A", "colour": { "of": "tomorrow" } });
    let mut records = Records::of(&[slot(1, 1, Insert, made), entry(1, 1, "hologram", Insert, json!({ "x": 1 }))]);
    let hologram = RecordKey { model_type: "hologram".to_owned(), record_uuid: Uuid::from_u128(7) };
    assert_eq!(records.data(&hologram), Some(RecordData::from_iter([("x".to_owned(), json!(1))])));
    let read: Slot = records.get(Uuid::from_u128(7)).unwrap();
    assert_eq!((read.game.clone(), read.display_name.as_deref()), (game, Some("A")));
    // What this version changes leaves alone what it does not know.
    let renamed = Slot { display_name: Some("B".to_owned()), ..read };
    let (change, data) = records.change(Uuid::from_u128(7), &renamed).unwrap();
    assert_eq!((change, json!(data)), (Update, json!({ "display_name": "B" })));
    records.apply(&slot(2, 1, change, json!(data)));
    let key = RecordKey { model_type: "slot".to_owned(), record_uuid: Uuid::from_u128(7) };
    assert_eq!(records.data(&key).unwrap()["colour"], json!({ "of": "tomorrow" }));
    assert_eq!(records.change(Uuid::from_u128(7), &renamed), None, "and nothing is left to change");
}

#[test]
fn a_field_is_cleared_by_null() {
    let (game, main) = (GameId::new("doom").unwrap(), SlotName::main());
    let named = Slot { game, slot: main, display_name: Some("A".to_owned()), retention: Some(Retention::default()) };
    let mut records = Records::default();
    let (change, data) = records.change(Uuid::from_u128(7), &named).unwrap();
    records.apply(&slot(1, 1, change, json!(data)));
    assert_eq!(records.get::<Slot>(Uuid::from_u128(7)), Some(named.clone()));
    let bare = Slot { display_name: None, ..named };
    let (change, data) = records.change(Uuid::from_u128(7), &bare).unwrap();
    assert_eq!(json!(data), json!({ "display_name": null }));
    records.apply(&slot(2, 1, change, json!(data)));
    assert_eq!(records.get::<Slot>(Uuid::from_u128(7)), Some(bare.clone()));
    assert_eq!(records.change(Uuid::from_u128(7), &bare), None);
}

#[test]
fn what_cannot_be_read_is_not_shown_and_what_is_missing_has_its_default() {
    let records = Records::of(&[slot(1, 1, Insert, json!({ "game": "../etc", "slot": "main" }))]);
    assert_eq!((records.get::<Slot>(Uuid::from_u128(7)), records.all::<Slot>().count()), (None, 0));
    assert_eq!(records.iter().count(), 1);
    let sparse = json!({ "name": "Deck\u{202e}", "sync_mode": "of_the_future", "role": "oracle", "enabled": null });
    let records = Records::of(&[entry(1, 1, "device", Insert, sparse)]);
    let device: Device = records.get(Uuid::from_u128(7)).unwrap();
    assert_eq!(device, Device { name: "Deck".to_owned(), ..Device::default() });
    let kiosk = Device { role: Some(DeviceRole::Unattended), key_hash: Some(Digest([7; 32])), ..device };
    assert_eq!(model::read::<Device>(&model::write(&kiosk)), Some(kiosk));
    for mode in [SyncMode::Api, SyncMode::FileTransfer, SyncMode::PushPull] {
        assert_eq!(serde_json::from_value::<SyncMode>(json!(mode)).unwrap(), mode);
    }
}

#[test]
fn lists_one_kind_by_id() {
    let game = GameId::new("doom").unwrap();
    let mut records = Records::of(&[entry(1, 1, "device", Insert, json!({})), entry(1, 1, "zebra", Insert, json!({}))]);
    for (ms, name) in [(1, "b"), (2, "a")] {
        let pin = Pin { game: game.clone(), slot: SlotName::new(name).unwrap(), snapshot: SnapshotId::default_of(ms) };
        let (change, data) = records.change(Uuid::from_u128(u128::from(9 - ms)), &pin).unwrap();
        let mut e = entry(ms, 1, "pin", change, json!(data));
        e.record_uuid = Uuid::from_u128(u128::from(9 - ms));
        records.apply(&e);
    }
    let slots: Vec<_> = records.all::<Pin>().map(|(_, p)| p.slot.to_string()).collect();
    assert_eq!(slots, ["a", "b"]);
    assert_eq!(records.all::<Note>().count(), 0);
}

trait OfByte {
    fn default_of(n: u64) -> Self;
}

impl OfByte for SnapshotId {
    fn default_of(n: u64) -> Self {
        Self(Digest([u8::try_from(n).unwrap(); 32]))
    }
}

#[test]
fn two_devices_that_declare_the_same_thing_mean_the_same_record() {
    let (a, b) = (GameId::new("ab").unwrap(), GameId::new("a").unwrap());
    assert_eq!(save_set_id(&a), save_set_id(&a.clone()));
    assert_ne!(save_set_id(&a), save_set_id(&b));
    assert_ne!(slot_id(&a, &SlotName::new("c").unwrap()), slot_id(&b, &SlotName::new("bc").unwrap()));
    let set = SaveSet { game: a, labels: vec!["save".to_owned()], ignore: vec![] };
    assert_eq!(model::read::<SaveSet>(&model::write(&set)), Some(set.clone()));
    let long = SaveSet { labels: vec!["x".repeat(33)], ..set };
    assert_eq!(model::read::<SaveSet>(&model::write(&long)), None);
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()))
}

fn any_entries() -> impl Strategy<Value = Vec<SharedEntry>> {
    let one = (0u64..12, 1u128..4, 0u128..2, 0usize..4, 0usize..6, 0u32..3);
    proptest::collection::vec(one, 1..14).prop_map(|drawn| {
        let each = drawn.into_iter().enumerate().map(|(at, (ms, who, record, kind, change, value))| {
            let change_type = [Insert, Update, Update, Update, Update, Delete][change];
            let data = match change % 3 {
                0 => json!({ "a": value, "b": value }),
                1 => json!({ "a": value }),
                _ => json!({ "b": value, "unknown": { "c": [value] } }),
            };
            let mut e = entry(ms, who, ["slot", "note", "save_set", "of_the_future"][kind], change_type, data);
            e.record_uuid = Uuid::from_u128(record);
            e.seq = u64::try_from(at).unwrap() + 1;
            e
        });
        each.collect()
    })
}

/// The rule in other words: the later of every two writes of a field, in a record whose last write no deletion follows.
fn oracle(entries: &[SharedEntry], key: &RecordKey) -> Option<RecordData> {
    let mut mine: Vec<_> = entries.iter().filter(|e| RecordKey::of(e) == *key).collect();
    mine.sort_by_key(|e| Stamp::of(e));
    if mine.last()?.change_type == Delete {
        return None;
    }
    let whole = ["pin", "note", "resolution"].contains(&key.model_type.as_str());
    let mut data = RecordData::new();
    for e in mine.into_iter().filter(|e| e.change_type != Delete) {
        if whole {
            data.clear();
        }
        data.extend(e.data.clone());
    }
    Some(data)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p07_records_are_the_same_for_every_order_with_duplicates_and_as_the_rule_says(
        entries in any_entries(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let straight = Records::of(&entries);
        let mut shuffled = Records::default();
        for at in &order {
            shuffled.apply(at.get(&entries));
        }
        for e in entries.iter().rev() {
            shuffled.apply(e);
        }
        prop_assert_eq!(&straight, &shuffled);
        for e in &entries {
            prop_assert!(!shuffled.apply(e), "an entry that is held already changes nothing");
            let key = RecordKey::of(e);
            prop_assert_eq!(straight.data(&key), oracle(&entries, &key));
        }
    }
}
