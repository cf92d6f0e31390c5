use super::*;
use crate::frame::{FrameError, PREFIX_LEN, decode, encode};
use crate::limits::{PAIR_FRAME_LEN_MAX, PLATFORM_LEN_MAX, TEXT_LEN_MAX};

fn device(name: &str) -> PairDevice {
    PairDevice {
        peer_id: "6feecc8c-16c5-851d-9feb-3eb5f77e2da7".parse().unwrap(),
        key_hash: Digest([7; 32]),
        device_epoch: DeviceEpoch(uuid::Uuid::from_u128(7)),
        name: name.to_owned(),
        platform: "linux".to_owned(),
    }
}

fn invite(player: &str, device: PairDevice) -> PairMessage {
    let player_id = "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap();
    let player = PairPlayer { player_id, name: player.to_owned() };
    PairMessage::PairInvite(PairInvite { player, role: DeviceRole::Personal, device, mac: Digest([1; 32]) })
}

fn body(message: &PairMessage) -> Vec<u8> {
    encode(message).unwrap().split_off(PREFIX_LEN)
}

fn written(message: &PairMessage) -> String {
    String::from_utf8(body(message)).unwrap()
}

#[test]
fn the_longest_message_fits_into_the_bound_on_a_pairings_frame_however_its_names_are_escaped() {
    // JSON writes a control character in six.
    let name = "\u{1}".repeat(TEXT_LEN_MAX);
    let longest = invite(&name, PairDevice { platform: "\u{1}".repeat(PLATFORM_LEN_MAX), ..device(&name) });
    assert!(encode(&longest).unwrap().len() <= PAIR_FRAME_LEN_MAX, "{}", body(&longest).len());
    assert_eq!(decode::<PairMessage>(&body(&longest)), Ok(longest));
}

#[test]
fn names_over_their_bounds_are_refused_with_the_field() {
    let long = "n".repeat(TEXT_LEN_MAX + 1);
    let platform = PairDevice { platform: "p".repeat(PLATFORM_LEN_MAX + 1), ..device("deck") };
    let accept = PairMessage::PairAccept(PairAccept { device: device(&long), mac: Digest([0; 32]) });
    let cases = [
        (invite(&long, device("deck")), "player"),
        (invite("ann", device(&long)), "device"),
        (invite("ann", platform), "device"),
        (accept, "device"),
    ];
    for (message, field) in cases {
        let error = decode::<PairMessage>(&body(&message)).unwrap_err();
        assert!(matches!(&error, FrameError::BadMessage { detail, .. } if detail.contains(field)), "{error}");
    }
}

#[test]
fn a_spake_message_is_33_bytes_in_one_spelling() {
    let start = |pake: &str| {
        decode::<PairMessage>(
            format!(r#"{{"type":"pair_start","version":1,"part":"joins","pake":"{pake}"}}"#).as_bytes(),
        )
    };
    let expected = PairStart { version: 1, part: PairPart::Joins, token: None, pake: PakeMessage([0xab; PAKE_LEN]) };
    assert_eq!(start(&"ab".repeat(33)), Ok(PairMessage::PairStart(expected.clone())));
    assert!(!written(&PairMessage::PairStart(expected)).contains("token"));
    for bad in ["", "ab", &"ab".repeat(32), &"ab".repeat(34), &"AB".repeat(33), &"zz".repeat(33), &"a".repeat(65)] {
        assert!(matches!(start(bad), Err(FrameError::BadMessage { .. })), "{bad}");
    }
}

#[test]
fn a_token_is_named_by_four_plain_characters() {
    assert_eq!(TokenName::new("K7P3").unwrap().as_str(), "K7P3");
    for bad in ["", "K7P", "K7P33", "k7p3", "K7 3", "K7\u{e9}", "../."] {
        assert_eq!(TokenName::new(bad), Err(IdError::Token), "{bad}");
    }
}

#[test]
fn reasons_of_a_newer_peer_read_as_failed_and_ours_are_written_as_they_are_named() {
    let newer = decode::<PairMessage>(br#"{"type":"pair_refused","reason":"moon_phase"}"#).unwrap();
    assert_eq!(newer, PairMessage::PairRefused(PairRefused { reason: PairRefusal::Failed }));
    let names = "no_code busy wrong_code version same_part other_role not_allowed full failed";
    for (reason, name) in PairRefusal::ALL.into_iter().zip(names.split(' ')) {
        let message = PairMessage::PairRefused(PairRefused { reason });
        assert_eq!(written(&message), format!(r#"{{"type":"pair_refused","reason":"{name}"}}"#));
        assert_eq!(decode::<PairMessage>(&body(&message)), Ok(message));
    }
    assert_eq!(names.split(' ').count(), PairRefusal::ALL.len());
}

#[test]
fn every_message_is_written_in_one_way() {
    let mac = Digest([0x11; 32]);
    let eleven = "11".repeat(32);
    let pake = "22".repeat(PAKE_LEN);
    let device_text = format!(
        r#"{{"peer_id":"6feecc8c-16c5-851d-9feb-3eb5f77e2da7","key_hash":"{}","device_epoch":"00000000-0000-0000-0000-000000000007","name":"deck","platform":"linux"}}"#,
        "07".repeat(32)
    );
    let token = Some(TokenName::new("K7P3").unwrap());
    let start = PairStart { version: 1, part: PairPart::Invites, token, pake: PakeMessage([0x22; PAKE_LEN]) };
    let all = [
        (
            PairMessage::PairStart(start),
            format!(r#"{{"type":"pair_start","version":1,"part":"invites","token":"K7P3","pake":"{pake}"}}"#),
        ),
        (
            PairMessage::PairReply(PairReply { pake: PakeMessage([0x22; PAKE_LEN]) }),
            format!(r#"{{"type":"pair_reply","pake":"{pake}"}}"#),
        ),
        (PairMessage::PairConfirm(PairConfirm { mac }), format!(r#"{{"type":"pair_confirm","mac":"{eleven}"}}"#)),
        (
            invite("ann", device("deck")),
            format!(
                r#"{{"type":"pair_invite","player":{{"player_id":"0f0e0d0c-0b0a-4908-8706-050403020100","name":"ann"}},"role":"personal","device":{device_text},"mac":"{}"}}"#,
                "01".repeat(32)
            ),
        ),
        (
            PairMessage::PairAccept(PairAccept { device: device("deck"), mac }),
            format!(r#"{{"type":"pair_accept","device":{device_text},"mac":"{eleven}"}}"#),
        ),
        (PairMessage::PairDone(PairDone { mac }), format!(r#"{{"type":"pair_done","mac":"{eleven}"}}"#)),
        (
            PairMessage::PairRefused(PairRefused { reason: PairRefusal::Busy }),
            r#"{"type":"pair_refused","reason":"busy"}"#.to_owned(),
        ),
        (
            PairMessage::Error(ErrorMsg::new(ErrorCode::Unsupported, "no")),
            r#"{"type":"error","code":"unsupported","message":"no"}"#.to_owned(),
        ),
    ];
    let types: Vec<&str> = all.iter().map(|(_, text)| text.split('"').nth(3).unwrap()).collect();
    assert_eq!(types, PairMessage::TYPES);
    for (message, text) in all {
        assert_eq!(written(&message), text);
        assert_eq!(decode::<PairMessage>(text.as_bytes()), Ok(message));
    }
}

#[test]
fn a_refusal_is_worth_a_retry_only_when_it_passes_by_itself() {
    for reason in PairRefusal::ALL {
        assert_eq!(reason.is_retryable(), reason == PairRefusal::Busy);
        assert_eq!(reason.code() == ErrorCode::Busy, reason.is_retryable(), "{reason:?}");
    }
    for part in [PairPart::Invites, PairPart::Joins] {
        assert_eq!(part.other().other(), part);
        assert_ne!(part.other(), part);
    }
}
