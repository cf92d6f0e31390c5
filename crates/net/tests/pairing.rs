//! Two devices that pair over real sockets, and everybody who would like to be one of them.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use bonfire_engine::Instant;
use bonfire_engine::trust::sessions::{Sessions, Terms};
use bonfire_engine::trust::{PairCode, PairToken, Secret};
use bonfire_net::pairing::{Broken, End, PairError, Paired, type_code};
use bonfire_net::{Connection, Identity, NetError, Opened, Tuning};
use bonfire_proto::frame::{self, FrameError};
use bonfire_proto::limits::PAIR_FRAME_LEN_MAX;
use bonfire_proto::message::{ErrorMsg, Response};
use bonfire_proto::message_pair::{
    DeviceRole, PAKE_LEN, PairConfirm, PairDevice, PairMessage, PairPart, PairPlayer, PairRefusal, PairStart,
    PakeMessage,
};
use bonfire_proto::{DeviceEpoch, Digest, ErrorCode, PlayerId};
use ring::rand::{SecureRandom, SystemRandom};
use support::{Raw, framed, hasty, met_by_stranger, pair, peer, with_stranger};

fn random<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    SystemRandom::new().fill(&mut out).unwrap();
    out
}

fn end(seed: u8) -> End {
    End::of(&Identity::from_seed([seed; 32]))
}

fn device(seed: u8) -> PairDevice {
    let end = end(seed);
    PairDevice {
        peer_id: end.peer_id,
        key_hash: end.key_hash.0,
        device_epoch: DeviceEpoch(*end.peer_id.as_uuid()),
        name: format!("n{seed}"),
        platform: "linux".into(),
    }
}

fn player_id() -> PlayerId {
    "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap()
}

fn player() -> PairPlayer {
    PairPlayer { player_id: player_id(), name: "ann".into() }
}

fn invite() -> Terms {
    Terms::Invite { player: player_id(), role: DeviceRole::Personal }
}

const NOW: Instant = Instant(1_000);

/// A device that shows a code which invites, and the code as it is read from its screen.
fn showing() -> (Sessions, String) {
    let mut sessions = Sessions::new(NOW);
    let code = PairCode::from_random(random());
    sessions.show(NOW, code.clone(), invite()).unwrap();
    (sessions, code.to_string())
}

fn typed(text: &str) -> Secret {
    Secret::Code(PairCode::parse(text).unwrap())
}

/// Another code than this one, that could as well be right.
fn wrong(code: &str) -> Secret {
    let flip = |c: char| if c == '7' { '9' } else { '7' };
    typed(&code.chars().enumerate().map(|(i, c)| if i == 6 { flip(c) } else { c }).collect::<String>())
}

/// The device that shows the code serves one pairing, as a peer does: count, answer, note what came of it.
async fn serve(connection: &Connection, sessions: &mut Sessions, now: Instant, ours: End) -> Result<Paired, PairError> {
    let incoming = match connection.accept_stream().await.unwrap().open().await.unwrap() {
        Opened::Pairing(incoming) => incoming,
        Opened::Request(request) => panic!("{:?}", request.request),
    };
    let begun = match sessions.begin(now, incoming.start()) {
        Ok(begun) => begun,
        Err(reason) => {
            incoming.refuse(reason).await;
            let who = bonfire_net::Who { peer: connection.peer_id(), addr: connection.remote_addr() };
            return Err(PairError::Refused { who, reason });
        }
    };
    let shown = incoming.show(ours, &begun.secret, begun.terms.part(), random()).await;
    if shown.is_ok() {
        sessions.proven(now, begun.attempt).unwrap();
    }
    sessions.ended(now, begun.attempt);
    shown
}

fn reason(outcome: Result<Paired, PairError>) -> PairRefusal {
    match outcome.unwrap_err() {
        PairError::Refused { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

fn broken(outcome: Result<Paired, PairError>) -> Broken {
    match outcome.unwrap_err() {
        PairError::Broken { source, .. } => source,
        other => panic!("{other}"),
    }
}

/// All of it, from the proof to the last word: what the two sides then know of each other.
async fn invited(invites: Paired, joins: Paired, (inviter, joiner): (u8, u8)) {
    let inviting = async {
        assert_eq!(invites.other(), end(joiner));
        let accepted = invites.invite(player(), DeviceRole::Personal, device(inviter)).await.unwrap();
        assert_eq!(accepted.device, device(joiner));
        accepted.done().await.unwrap();
    };
    let joining = async {
        assert_eq!(joins.other(), end(inviter));
        let invitation = joins.invitation().await.unwrap();
        assert_eq!((&invitation.invite.player, &invitation.invite.device), (&player(), &device(inviter)));
        assert_eq!(invitation.invite.role, DeviceRole::Personal);
        invitation.accept(device(joiner)).await.unwrap();
    };
    tokio::join!(inviting, joining);
}

#[tokio::test]
async fn the_right_code_pairs_both_sides_whoever_dialled() {
    for typer_dialled in [true, false] {
        let p = pair(Tuning::default()).await;
        let (t, s) = if typer_dialled { (&p.dialed, &p.accepted) } else { (&p.accepted, &p.dialed) };
        let (typer, shower) = if typer_dialled { (1, 2) } else { (2, 1) };
        let (mut sessions, code) = showing();
        let secret = typed(&code.to_lowercase());
        let (joins, invites) = tokio::join!(
            type_code(t, end(typer), &secret, PairPart::Joins, random()),
            serve(s, &mut sessions, NOW, end(shower))
        );
        invited(invites.unwrap(), joins.unwrap(), (shower, typer)).await;
        assert_eq!(sessions.shown(NOW), None, "the code is used up");
    }
}

#[tokio::test]
async fn the_device_on_which_the_code_is_typed_may_be_the_one_that_invites() {
    let p = pair(Tuning::default()).await;
    let token = PairToken::from_random(random());
    let mut sessions = Sessions::new(NOW);
    sessions.add_token(token.clone(), Terms::Join { role: DeviceRole::Unattended }).unwrap();
    let secret = Secret::Token(token);
    for _ in 0..2 {
        let (invites, joins) = tokio::join!(
            type_code(&p.dialed, end(1), &secret, PairPart::Invites, random()),
            serve(&p.accepted, &mut sessions, NOW, end(2))
        );
        invited(invites.unwrap(), joins.unwrap(), (1, 2)).await;
    }
}

#[tokio::test]
async fn a_wrong_code_pairs_neither_side_and_the_third_ends_it_for_the_right_one_too() {
    let p = pair(Tuning::default()).await;
    let (mut sessions, code) = showing();
    for left in [2, 1, 0] {
        let secret = wrong(&code);
        let (typer, shower) = tokio::join!(
            type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()),
            serve(&p.accepted, &mut sessions, NOW, end(2))
        );
        assert_eq!((reason(typer), broken(shower)), (PairRefusal::WrongCode, Broken::WrongCode));
        assert_eq!(sessions.shown(NOW).map_or(0, |s| s.tries_left), left);
    }
    let secret = typed(&code);
    let (typer, shower) = tokio::join!(
        type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()),
        serve(&p.accepted, &mut sessions, NOW, end(2))
    );
    assert_eq!((reason(typer), reason(shower)), (PairRefusal::NoCode, PairRefusal::NoCode));
}

#[tokio::test]
async fn after_a_slip_the_right_code_pairs() {
    let p = pair(Tuning::default()).await;
    let (mut sessions, code) = showing();
    for (secret, right) in [(wrong(&code), false), (typed(&code), true)] {
        let (typer, shower) = tokio::join!(
            type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()),
            serve(&p.accepted, &mut sessions, NOW, end(2))
        );
        assert_eq!((typer.is_ok(), shower.is_ok()), (right, right));
    }
}

#[tokio::test]
async fn a_code_that_has_expired_or_was_never_shown_is_refused_alike() {
    let p = pair(Tuning::default()).await;
    let (mut sessions, code) = showing();
    let late = NOW + bonfire_engine::trust::sessions::CODE_LIFETIME;
    for (sessions, now) in [(&mut sessions, late), (&mut Sessions::new(NOW), NOW)] {
        let secret = typed(&code);
        let (typer, shower) = tokio::join!(
            type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()),
            serve(&p.accepted, sessions, now, end(2))
        );
        assert_eq!((reason(typer), reason(shower)), (PairRefusal::NoCode, PairRefusal::NoCode));
    }
}

#[tokio::test]
async fn an_invitation_is_refused_with_its_reason_and_an_answer_that_is_lost_pairs_nobody_by_half() {
    let p = pair(Tuning::default()).await;
    for lost in [false, true] {
        let (mut sessions, code) = showing();
        let secret = typed(&code);
        let (joins, invites) = tokio::join!(
            type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()),
            serve(&p.accepted, &mut sessions, NOW, end(2))
        );
        let inviting = async {
            let invited = invites.unwrap().invite(player(), DeviceRole::Personal, device(2)).await;
            match invited {
                Err(PairError::Refused { reason, .. }) => assert!(!lost && reason == PairRefusal::OtherRole),
                // Dropped before it was made durable: the other side must not take itself for paired.
                Ok(accepted) => drop(accepted),
                Err(other) => panic!("{other}"),
            }
        };
        let joining = async {
            let invitation = joins.unwrap().invitation().await.unwrap();
            if lost {
                let error = invitation.accept(device(1)).await.unwrap_err();
                assert!(matches!(error, PairError::Net(NetError::GaveUp { .. })), "{error}");
            } else {
                invitation.refuse(PairRefusal::OtherRole).await;
            }
        };
        tokio::join!(inviting, joining);
    }
}

#[tokio::test]
async fn ends_that_take_themselves_for_somebody_else_do_not_pair() {
    let p = pair(Tuning::default()).await;
    for (typer, shower) in [(2, 1), (1, 1), (2, 2), (3, 2), (1, 3)] {
        let (mut sessions, code) = showing();
        let secret = typed(&code);
        let (t, s) = tokio::join!(
            type_code(&p.dialed, end(typer), &secret, PairPart::Joins, random()),
            serve(&p.accepted, &mut sessions, NOW, end(shower))
        );
        assert_eq!((reason(t), broken(s)), (PairRefusal::WrongCode, Broken::WrongCode), "{typer} {shower}");
    }
}

/// Carries every byte of one stream between two connections of its own, and keeps what the opener of the stream said.
async fn relay(from: &Raw, to: &Raw) -> Vec<u8> {
    let (mut from_tx, mut from_rx) = from.connection.accept_bi().await.unwrap();
    let (mut to_tx, mut to_rx) = to.connection.open_bi().await.unwrap();
    let there = async {
        let mut said = Vec::new();
        while let Ok(Some(chunk)) = from_rx.read_chunk(usize::MAX, true).await {
            said.extend_from_slice(&chunk.bytes);
            if to_tx.write_chunk(chunk.bytes).await.is_err() {
                break;
            }
        }
        said
    };
    let back = async {
        while let Ok(Some(chunk)) = to_rx.read_chunk(usize::MAX, true).await {
            if from_tx.write_chunk(chunk.bytes).await.is_err() {
                break;
            }
        }
        let _gone = from_tx.finish();
    };
    tokio::join!(there, back).0
}

#[tokio::test]
async fn a_relay_that_knows_the_code_and_carries_every_byte_is_refused_by_both_sides() {
    let (a, b) = (peer(1, "127.0.0.1:0", Tuning::default()), peer(2, "127.0.0.1:0", Tuning::default()));
    let ((to_typer, _control_a, raw_a), (to_shower, _control_b, raw_b)) =
        (met_by_stranger(&a).await, met_by_stranger(&b).await);
    let (mut sessions, code) = showing();
    let secret = typed(&code);
    let (typer, shower, said) = tokio::join!(
        type_code(&to_typer, end(1), &secret, PairPart::Joins, random()),
        serve(&to_shower, &mut sessions, NOW, end(2)),
        relay(&raw_a, &raw_b)
    );
    assert_eq!((reason(typer), broken(shower)), (PairRefusal::WrongCode, Broken::WrongCode));
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("pair_start") && text.contains("pair_confirm"), "it carried the whole exchange: {text}");

    // What it heard, said again on the very connection on which it was said before.
    let (mut tx, mut rx) = raw_b.connection.open_bi().await.unwrap();
    tx.write_all(&said).await.unwrap();
    let (shower, answer) =
        tokio::join!(serve(&to_shower, &mut sessions, NOW, end(2)), async { rx.read_to_end(10_000).await.unwrap() });
    assert_eq!(broken(shower), Broken::WrongCode);
    assert!(String::from_utf8_lossy(&answer).contains("wrong_code"));
    assert_eq!(sessions.shown(NOW).unwrap().tries_left, 1, "both were tries");
}

fn text(message: &PairMessage) -> Vec<u8> {
    frame::encode(message).unwrap()
}

/// A beginning whose point is one: the base point of the curve.
fn a_start() -> PairStart {
    let mut pake = [0x66; PAKE_LEN];
    (pake[0], pake[1]) = (b'B', 0x58);
    PairStart { version: 1, part: PairPart::Joins, token: None, pake: PakeMessage(pake) }
}

#[tokio::test]
async fn oversized_and_misplaced_messages_of_a_stranger_are_refused_unread() {
    let big = u32::try_from(PAIR_FRAME_LEN_MAX + 1).unwrap().to_be_bytes().to_vec();
    let huge = u32::MAX.to_be_bytes().to_vec();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("over the limit of a pairing", big),
        ("over the limit of any frame", huge),
        ("no message", framed(b"{}")),
        ("out of turn", text(&PairMessage::PairStart(a_start()))),
        ("a wrong proof", text(&PairMessage::PairConfirm(PairConfirm { mac: Digest([0; 32]) }))),
    ];
    for (name, then) in cases {
        let (_ours, connection, _control, raw) = with_stranger(Tuning::default()).await;
        let (mut sessions, _code) = showing();
        let (mut tx, mut rx) = raw.connection.open_bi().await.unwrap();
        tx.write_all(&text(&PairMessage::PairStart(a_start()))).await.unwrap();
        tx.write_all(&then).await.unwrap();
        let (outcome, answer) =
            tokio::join!(serve(&connection, &mut sessions, NOW, end(2)), async { rx.read_to_end(10_000).await });
        let error = outcome.unwrap_err();
        match (name, &error) {
            ("over the limit of a pairing", PairError::TooLong { len, .. }) => assert_eq!(*len, PAIR_FRAME_LEN_MAX + 1),
            ("over the limit of any frame" | "no message", PairError::Net(NetError::Frame { .. }))
            | ("out of turn", PairError::OutOfTurn { kind: "pair_start", .. })
            | ("a wrong proof", PairError::Broken { source: Broken::WrongCode, .. }) => {}
            other => panic!("{other:?}"),
        }
        assert!(!error.is_retryable());
        let answer = String::from_utf8_lossy(&answer.unwrap()).into_owned();
        assert!(answer.contains("pair_reply") && answer.contains("pair_refused"), "{name}: {answer}");
        assert_eq!(sessions.shown(NOW).unwrap().tries_left, 2, "{name}: it was a try");
    }
}

#[tokio::test]
async fn what_is_no_beginning_of_a_pairing_is_answered_as_a_bad_request() {
    let padded = |len: usize| {
        let mut body = text(&PairMessage::PairStart(a_start())).split_off(frame::PREFIX_LEN);
        body.pop();
        body.extend_from_slice(br#","pad":""#);
        body.extend(std::iter::repeat_n(b'x', len.saturating_sub(body.len() + 2)));
        body.extend_from_slice(br#""}"#);
        framed(&body)
    };
    let cases: [(Vec<u8>, Option<&str>); 4] = [
        (padded(PAIR_FRAME_LEN_MAX), None),
        (padded(PAIR_FRAME_LEN_MAX + 1), Some("limit")),
        (framed(br#"{"type":"pair_start","version":1}"#), Some("missing field")),
        (framed(br#"{"type":"pair_done","mac":"00"}"#), Some("unsupported")),
    ];
    for (bytes, wrong) in cases {
        let (_ours, connection, _control, raw) = with_stranger(Tuning::default()).await;
        let (mut tx, _rx) = raw.connection.open_bi().await.unwrap();
        tx.write_all(&bytes).await.unwrap();
        tx.finish().unwrap();
        let opened = connection.accept_stream().await.unwrap().open().await.unwrap();
        match (opened, wrong) {
            (Opened::Pairing(incoming), None) => assert_eq!(incoming.start(), &a_start()),
            (Opened::Request(served), Some(word)) => {
                let error: FrameError = served.request.unwrap_err();
                assert!(error.to_string().contains(word), "{error}");
            }
            (Opened::Pairing(_), Some(word)) => panic!("taken in spite of {word}"),
            (Opened::Request(served), None) => panic!("{:?}", served.request),
        }
    }
}

#[tokio::test]
async fn requests_are_served_by_who_also_pairs() {
    let p = pair(Tuning::default()).await;
    let ask = bonfire_proto::Request::ProbeBack(bonfire_proto::message::ProbeBack { port: 1 });
    let refusal = Response::Error(ErrorMsg::new(ErrorCode::Busy, "later"));
    let (answer, ()) = tokio::join!(async { p.dialed.request(&ask).await.unwrap().next().await.unwrap() }, async {
        let Opened::Request(served) = p.accepted.accept_stream().await.unwrap().open().await.unwrap() else {
            panic!("a request is no pairing")
        };
        assert_eq!(served.request.unwrap(), ask);
        let mut reply = served.reply;
        reply.send(&refusal).await.unwrap();
        reply.finish();
    });
    assert_eq!(answer, Some(refusal.clone()));
}

#[tokio::test]
async fn who_sends_a_byte_now_and_then_is_given_up_within_the_limit() {
    let (_ours, connection, _control, raw) = with_stranger(hasty()).await;
    let (mut sessions, _code) = showing();
    let (mut tx, _rx) = raw.connection.open_bi().await.unwrap();
    tx.write_all(&text(&PairMessage::PairStart(a_start()))).await.unwrap();
    let dripping = tokio::spawn(async move {
        for byte in text(&PairMessage::PairConfirm(PairConfirm { mac: Digest([0; 32]) })) {
            if tx.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(hasty().progress_limit / 10).await;
        }
    });
    let error = serve(&connection, &mut sessions, NOW, end(2)).await.unwrap_err();
    assert!(matches!(error, PairError::Net(NetError::Stalled { .. })), "{error}");
    dripping.abort();
    assert_eq!(sessions.shown(NOW).unwrap().tries_left, 2, "it was a try, and the next may come");
}

#[tokio::test]
async fn a_peer_that_knows_no_pairing_is_named() {
    let p = pair(Tuning::default()).await;
    let secret = typed("234-567");
    let (outcome, ()) = tokio::join!(type_code(&p.dialed, end(1), &secret, PairPart::Joins, random()), async {
        let stream = p.accepted.accept_stream().await.unwrap();
        let read = stream.read_request().await;
        let served = read.unwrap();
        let mut reply = served.reply;
        let code = served.request.unwrap_err().code();
        reply.send(&Response::Error(ErrorMsg::new(code, "what is that"))).await.unwrap();
        reply.finish();
    });
    let error = outcome.unwrap_err();
    assert!(matches!(&error, PairError::NotUnderstood { code: ErrorCode::Unsupported, .. }), "{error}");
}
