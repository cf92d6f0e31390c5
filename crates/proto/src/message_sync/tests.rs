use serde_json::json;

use super::*;

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn data(value: Value) -> RecordData {
    match value {
        Value::Object(map) => map,
        _ => panic!("an object"),
    }
}

fn entry() -> SharedEntry {
    SharedEntry {
        device_id: peer(1),
        device_epoch: DeviceEpoch(Uuid::from_u128(2)),
        seq: 3,
        hlc: Hlc { ms: 1_700_000_000_000, count: 4, device: peer(1) },
        model_type: "slot".to_owned(),
        record_uuid: Uuid::from_u128(5),
        change_type: ChangeType::Update,
        data: data(json!({ "display_name": "Second run", "of_the_future": { "a": [1, -2, u64::MAX, null, true] } })),
    }
}

fn record() -> StateRecord {
    StateRecord {
        device_id: peer(1),
        device_epoch: DeviceEpoch(Uuid::from_u128(2)),
        generation: 1,
        version: 9,
        model_type: "slot_head".to_owned(),
        record_uuid: Uuid::from_u128(5),
        data: Some(data(json!({ "game": "doom" }))),
        timestamp: 1_700_000_000_000,
    }
}

#[test]
fn a_shared_change_has_the_fields_of_its_entry_beside_its_player() {
    let change = SharedChange { player_id: PlayerId(Uuid::from_u128(7)), entry: entry() };
    let text = serde_json::to_string(&change).unwrap();
    assert_eq!(
        text,
        r#"{"player_id":"00000000-0000-0000-0000-000000000007","device_id":"00000000-0000-0000-0000-000000000001","device_epoch":"00000000-0000-0000-0000-000000000002","seq":3,"hlc":"1700000000000-00000004-00000000-0000-0000-0000-000000000001","model_type":"slot","record_uuid":"00000000-0000-0000-0000-000000000005","change_type":"update","data":{"display_name":"Second run","of_the_future":{"a":[1,-2,18446744073709551615,null,true]}}}"#
    );
    assert_eq!(serde_json::from_str::<SharedChange>(&text).unwrap(), change);
}

#[test]
fn a_state_change_has_the_fields_of_its_record_and_a_record_that_is_no_more_has_no_data() {
    let change = StateChange { player_id: PlayerId(Uuid::from_u128(7)), record: record() };
    let text = serde_json::to_string(&change).unwrap();
    assert_eq!(
        text,
        r#"{"player_id":"00000000-0000-0000-0000-000000000007","device_id":"00000000-0000-0000-0000-000000000001","device_epoch":"00000000-0000-0000-0000-000000000002","generation":1,"version":9,"model_type":"slot_head","record_uuid":"00000000-0000-0000-0000-000000000005","data":{"game":"doom"},"timestamp":1700000000000}"#
    );
    assert_eq!(serde_json::from_str::<StateChange>(&text).unwrap(), change);
    let gone = StateRecord { data: None, ..record() };
    let text = serde_json::to_string(&gone).unwrap();
    assert!(!text.contains("data"));
    assert_eq!(serde_json::from_str::<StateRecord>(&text).unwrap(), gone);
}

#[test]
fn what_only_a_later_version_says_beside_the_content_is_passed_over() {
    let mut text = serde_json::to_value(entry()).unwrap();
    text["colour"] = json!("red");
    assert_eq!(serde_json::from_value::<SharedEntry>(text).unwrap(), entry());
}

#[test]
fn requests_answers_and_acks_come_back_as_they_were() {
    let player_id = PlayerId(Uuid::from_u128(7));
    let mark = Watermark { device_id: peer(1), device_epoch: DeviceEpoch(Uuid::from_u128(2)), seq: 3 };
    let request = SharedChangeRequest { player_id, since: vec![mark], since_hlc: Some(entry().hlc), limit: 1 };
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<SharedChangeRequest>(&text).unwrap(), request);
    let answer = SharedChangeResponse { player_id, entries: vec![entry()], floors: vec![mark], has_more: true };
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<SharedChangeResponse>(&text).unwrap(), answer);
    let bare = r#"{"player_id":"00000000-0000-0000-0000-000000000007","entries":[],"has_more":false}"#;
    let answer = SharedChangeResponse { player_id, entries: vec![], floors: vec![], has_more: false };
    assert_eq!(serde_json::to_string(&answer).unwrap(), bare);
    assert_eq!(serde_json::from_str::<SharedChangeResponse>(bare).unwrap(), answer);
    let ack = AckSharedChanges {
        player_id,
        from_device: peer(4),
        from_epoch: DeviceEpoch(Uuid::from_u128(6)),
        device_id: peer(1),
        device_epoch: mark.device_epoch,
        up_to_seq: 3,
        up_to_hlc: None,
    };
    let text = serde_json::to_string(&ack).unwrap();
    assert_eq!(serde_json::from_str::<AckSharedChanges>(&text).unwrap(), ack);
    assert_eq!(ack.watermark(), mark);
    let asked = StateRequest {
        player_id,
        model_types: vec!["slot_head".to_owned()],
        device_id: Some(peer(1)),
        since: vec![record().mark()],
        limit: 1_024,
    };
    let text = serde_json::to_string(&asked).unwrap();
    assert_eq!(serde_json::from_str::<StateRequest>(&text).unwrap(), asked);
    assert_eq!(asked.check(), Ok(()));
}

#[test]
fn an_entry_within_its_bounds_passes() {
    assert_eq!(entry().check(), Ok(()));
    assert_eq!(record().check(), Ok(()));
    let room = RECORD_DATA_LEN_MAX - r#"{"a":""}"#.len();
    assert_eq!(SharedEntry { data: data(json!({ "a": "x".repeat(room) })), ..entry() }.check(), Ok(()));
    assert_eq!(SharedEntry { data: data(json!({ "a": "x".repeat(room + 1) })), ..entry() }.check(), Err("data"));
}

#[test]
fn every_bound_is_named_when_it_is_broken() {
    let mut deep = json!(1);
    for _ in 0..RECORD_DEPTH_MAX {
        deep = json!([deep]);
    }
    for (wrong, field) in [
        (SharedEntry { seq: 0, ..entry() }, "seq"),
        (SharedEntry { seq: u64::MAX, ..entry() }, "seq"),
        (SharedEntry { hlc: Hlc { device: peer(2), ..entry().hlc }, ..entry() }, "hlc"),
        (SharedEntry { hlc: Hlc { ms: HLC_MS_MAX + 1, ..entry().hlc }, ..entry() }, "hlc"),
        (SharedEntry { model_type: String::new(), ..entry() }, "model_type"),
        (SharedEntry { model_type: "Slot".to_owned(), ..entry() }, "model_type"),
        (SharedEntry { model_type: "x".repeat(MODEL_TYPE_LEN_MAX + 1), ..entry() }, "model_type"),
        (SharedEntry { data: data(json!({ "a": 0.5 })), ..entry() }, "data"),
        (SharedEntry { data: data(json!({ "a": [{ "b": 1e300 }] })), ..entry() }, "data"),
        (SharedEntry { data: data(json!({ "a": deep })), ..entry() }, "data"),
    ] {
        assert_eq!(wrong.check(), Err(field));
        let player_id = PlayerId(Uuid::from_u128(7));
        assert_eq!(SharedChangeBatch { player_id, entries: vec![entry(), wrong] }.check(), Err(field));
    }
    for (wrong, field) in [
        (StateRecord { generation: 0, ..record() }, "generation"),
        (StateRecord { version: 0, ..record() }, "version"),
        (StateRecord { version: u64::MAX, ..record() }, "version"),
        (StateRecord { timestamp: u64::MAX, ..record() }, "timestamp"),
        (StateRecord { model_type: "a b".to_owned(), ..record() }, "model_type"),
        (StateRecord { data: Some(data(json!({ "a": 0.5 }))), ..record() }, "data"),
    ] {
        assert_eq!(wrong.check(), Err(field));
    }
}

#[test]
fn messages_with_too_much_in_them_are_refused() {
    let player_id = PlayerId(Uuid::from_u128(7));
    let entries = vec![entry(); RECORDS_PER_PAGE + 1];
    assert_eq!(SharedChangeBatch { player_id, entries: entries.clone() }.check(), Err("entries"));
    let answer = SharedChangeResponse { player_id, entries, floors: vec![], has_more: false };
    assert_eq!(answer.check(), Err("entries"));
    for limit in [0, 1_025] {
        let asked = SharedChangeRequest { player_id, since: vec![], since_hlc: None, limit };
        assert_eq!(asked.check(), Err("limit"));
    }
    let mark = Watermark { device_id: peer(1), device_epoch: DeviceEpoch(Uuid::from_u128(2)), seq: 3 };
    let asked = SharedChangeRequest { player_id, since: vec![mark; WATERMARKS_MAX + 1], since_hlc: None, limit: 1 };
    assert_eq!(asked.check(), Err("since"));
}
