//! Messages of one pairing, from beginning to end. Every proof in them is right: `bonfire-net` holds its protocol to them.

use bonfire_proto::message::ErrorMsg;
use bonfire_proto::message_pair::{
    DeviceRole, PAIR_VERSION, PairAccept, PairConfirm, PairDevice, PairDone, PairInvite, PairMessage, PairPart,
    PairPlayer, PairRefusal, PairRefused, PairReply, PairStart, PakeMessage, TokenName,
};
use bonfire_proto::{DeviceEpoch, ErrorCode};
use uuid::Uuid;

fn pake(hex: &str) -> PakeMessage {
    serde_json::from_value(hex.into()).unwrap()
}

fn mac(hex: &str) -> bonfire_proto::Digest {
    hex.parse().unwrap()
}

pub(super) fn all() -> Vec<(&'static str, PairMessage)> {
    let start = PairStart {
        version: PAIR_VERSION,
        part: PairPart::Joins,
        token: None,
        pake: pake("4292923f012667b71af620db00dcd686331a94c6808e5e59ba79c0e43e68577756"),
    };
    let by_token = PairStart { token: Some(TokenName::new("7G4X").unwrap()), ..start.clone() };
    let confirm = |hex| PairMessage::PairConfirm(PairConfirm { mac: mac(hex) });
    let shower = PairDevice {
        peer_id: "fd110d30-1d2f-877d-a141-4b8f99f441b1".parse().unwrap(),
        key_hash: mac("fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2"),
        device_epoch: DeviceEpoch(Uuid::from_bytes([0xe1; 16])),
        name: "attic".into(),
        platform: "linux".into(),
    };
    let typer = PairDevice {
        peer_id: "47dea58e-a00f-8e94-97ee-19d76755bfef".parse().unwrap(),
        key_hash: mac("47dea58ea00fae9417ee19d76755bfef690899021132effb04fe1f9e4f0c8059"),
        device_epoch: DeviceEpoch(Uuid::from_bytes([0xe2; 16])),
        name: "deck".into(),
        platform: "steamdeck".into(),
    };
    vec![
        ("pair_start", PairMessage::PairStart(start)),
        ("pair_start.token", PairMessage::PairStart(by_token)),
        (
            "pair_reply",
            PairMessage::PairReply(PairReply {
                pake: pake("419a5a4e1a4037da2247cb6919449dba360395d33b3193a3d9eb0872114577b4da"),
            }),
        ),
        ("pair_confirm", confirm("836eae85dd6d502871e876fc92debf6f651b6c0ac9d6eac929ab2b90e64fb8c9")),
        ("pair_confirm.shown", confirm("2c998a42c155de6b013d6dbd6e1163df9e8c16cd4f951857bcf552e9900bf599")),
        (
            "pair_invite",
            PairMessage::PairInvite(PairInvite {
                player: PairPlayer { player_id: super::players::player(), name: "ann".into() },
                role: DeviceRole::Personal,
                device: shower,
                mac: mac("a2f730af91b96e3e78729b620bda27cd3e38c44a64d390290040e43191b2649d"),
            }),
        ),
        (
            "pair_accept",
            PairMessage::PairAccept(PairAccept {
                device: typer,
                mac: mac("e6227fb9646a95fc53893a3754aa08835162429b257dcef2dbe02947545287f6"),
            }),
        ),
        (
            "pair_done",
            PairMessage::PairDone(PairDone {
                mac: mac("1a2421dde1e51a108c451fcaad92feefa5b051b409ef02f77c75476ddd00f07a"),
            }),
        ),
        ("pair_refused", PairMessage::PairRefused(PairRefused { reason: PairRefusal::NoCode })),
        ("error", PairMessage::Error(ErrorMsg::new(ErrorCode::Unsupported, "unsupported type \"pair_frobnicate\""))),
    ]
}
