use bonfire_engine::trust::{PairCode, PairToken};
use bonfire_proto::DeviceEpoch;
use bonfire_proto::frame::{PREFIX_LEN, decode, encode};
use bonfire_proto::message_pair::PairMessage;
use ring::rand::{SecureRandom, SystemRandom};

use super::*;

fn end(seed: u8) -> End {
    End::of(&Identity::from_seed([seed; 32]))
}

fn binding() -> Binding {
    Binding { shower: end(1), typer: end(2), exporter: [7; 32] }
}

fn code(n: u8) -> Secret {
    Secret::Code(PairCode::from_random([n; 16]))
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

fn player() -> PairPlayer {
    PairPlayer { player_id: "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap(), name: "ann".into() }
}

/// How far two sides get: the typer with its view of the connection and its code, the shower with its own.
fn run(
    typer: (Binding, &Secret),
    shower: (Binding, &Secret),
) -> Result<(Confirmed, Confirmed), (Option<Broken>, Broken)> {
    let (t, start) = Typer::begin(typer.0, typer.1, PairPart::Joins, [1; 32]);
    let (s, reply) = Shower::answer(shower.0, shower.1, PairPart::Invites, [2; 32], &start).map_err(|e| (None, e))?;
    let (t, confirm) = t.reply(&reply).map_err(|e| (None, e))?;
    let Ok((s, back)) = s.confirm(&confirm) else {
        // Never sent by an honest side; what the typer makes of its own words, or of none, is no pairing either.
        let own = t.confirm(&confirm).map(|_| ()).unwrap_err();
        return Err((Some(own), Broken::WrongCode));
    };
    let t = t.confirm(&back).map_err(|e| (Some(e), Broken::WrongCode))?;
    Ok((t, s))
}

fn confirmed() -> (Confirmed, Confirmed) {
    run((binding(), &code(5)), (binding(), &code(5))).unwrap()
}

#[test]
fn the_same_code_over_the_same_connection_confirms_both_sides() {
    let (t, s) = confirmed();
    assert_eq!((t.other(), s.other()), (end(1), end(2)));
    assert_eq!((t.part(), s.part()), (PairPart::Joins, PairPart::Invites));
    let token = Secret::Token(PairToken::from_random([9; 32]));
    assert!(run((binding(), &token), (binding(), &token)).is_ok());
}

#[test]
fn whatever_differs_between_the_two_sides_confirms_neither() {
    let b = binding();
    let other_exporter = Binding { exporter: [8; 32], ..b };
    let swapped = Binding { shower: b.typer, typer: b.shower, ..b };
    let other_typer = Binding { typer: end(3), ..b };
    let other_shower = Binding { shower: end(3), ..b };
    // The id is a part of the hash of the key; only all of it is proof.
    let mut key = b.shower.key_hash;
    key.0.0[31] ^= 1;
    let other_key = Binding { shower: End { key_hash: key, ..b.shower }, ..b };
    for (name, theirs, secret) in [
        ("another code", b, code(6)),
        ("another connection", other_exporter, code(5)),
        ("sides swapped", swapped, code(5)),
        ("another typer", other_typer, code(5)),
        ("another shower", other_shower, code(5)),
        ("the end of another key hash", other_key, code(5)),
    ] {
        let broken = run((theirs, &secret), (b, &code(5))).unwrap_err();
        assert_eq!(broken, (Some(Broken::WrongCode), Broken::WrongCode), "{name}");
    }
}

#[test]
fn nothing_is_confirmed_when_a_field_of_the_beginning_was_changed_on_its_way() {
    let token = |n| Secret::Token(PairToken::from_random([n; 32]));
    let (t, start) = Typer::begin(binding(), &token(9), PairPart::Joins, [1; 32]);
    let named = |start: &PairStart, part| Shower::answer(binding(), &token(9), part, [2; 32], start).map(|_| ());
    let invites = PairStart { part: PairPart::Invites, ..start.clone() };
    assert_eq!(named(&invites, PairPart::Invites), Err(Broken::Part));
    // Turned round on both ends, it is what the two sides proved that differs.
    let (s, reply) = Shower::answer(binding(), &token(9), PairPart::Joins, [2; 32], &invites).unwrap();
    let (_, confirm) = t.reply(&reply).unwrap();
    assert_eq!(s.confirm(&confirm).map(|_| ()), Err(Broken::WrongCode));
    let version = PairStart { version: 2, ..start.clone() };
    assert_eq!(named(&version, PairPart::Invites), Err(Broken::Version));
    for other in [None, token(3).token_name().cloned()] {
        let changed = PairStart { token: other, ..start.clone() };
        assert_eq!(named(&changed, PairPart::Invites), Err(Broken::OtherSecret));
    }
}

#[test]
fn a_code_is_not_taken_for_a_token_nor_a_token_for_a_code() {
    let token = Secret::Token(PairToken::from_random([9; 32]));
    for (typed, shown) in [(&code(5), &token), (&token, &code(5))] {
        assert_eq!(run((binding(), typed), (binding(), shown)).unwrap_err(), (None, Broken::OtherSecret));
    }
}

#[test]
fn messages_sent_back_to_where_they_came_from_are_refused() {
    let (t, start) = Typer::begin(binding(), &code(5), PairPart::Joins, [1; 32]);
    assert_eq!(t.reply(&PairReply { pake: start.pake }).map(|_| ()), Err(Broken::Malformed));
    let (t, start) = Typer::begin(binding(), &code(5), PairPart::Joins, [1; 32]);
    let (_, reply) = Shower::answer(binding(), &code(5), PairPart::Invites, [2; 32], &start).unwrap();
    let back = PairStart { pake: reply.pake, ..start };
    let answered = Shower::answer(binding(), &code(5), PairPart::Invites, [3; 32], &back).map(|_| ());
    assert_eq!(answered, Err(Broken::Malformed));
    let (t, confirm) = t.reply(&reply).unwrap();
    assert_eq!(t.confirm(&confirm).map(|_| ()), Err(Broken::WrongCode), "its own proof is none of the other side");
}

#[test]
fn messages_of_an_earlier_pairing_are_refused() {
    let (t, old_start) = Typer::begin(binding(), &code(5), PairPart::Joins, [1; 32]);
    let (s, old_reply) = Shower::answer(binding(), &code(5), PairPart::Invites, [2; 32], &old_start).unwrap();
    let (t, old_confirm) = t.reply(&old_reply).unwrap();
    let (_, old_back) = s.confirm(&old_confirm).unwrap();
    assert!(t.confirm(&old_back).is_ok());
    // Everything that the typer said, said again to the same code on the same connection.
    let (s, _) = Shower::answer(binding(), &code(5), PairPart::Invites, [3; 32], &old_start).unwrap();
    assert_eq!(s.confirm(&old_confirm).map(|_| ()), Err(Broken::WrongCode));
    // And everything that the shower said.
    let (t, _) = Typer::begin(binding(), &code(5), PairPart::Joins, [4; 32]);
    let (t, _) = t.reply(&old_reply).unwrap();
    assert_eq!(t.confirm(&old_back).map(|_| ()), Err(Broken::WrongCode));
}

#[test]
fn an_invitation_is_taken_once_confirmed_and_tells_each_side_the_other() {
    let (mut joins, mut invites) = confirmed();
    let invite = invites.invite(player(), DeviceRole::Personal, device(1)).unwrap();
    joins.invited(&invite).unwrap();
    let accept = joins.accept(device(2)).unwrap();
    invites.accepted(&accept).unwrap();
    let done = invites.done().unwrap();
    joins.is_done(&done).unwrap();
}

#[test]
fn any_change_to_an_invitation_or_its_answer_is_refused() {
    let changed: [fn(&mut PairInvite); 7] = [
        |i| i.player.player_id = "0f0e0d0c-0b0a-4908-8706-050403020101".parse().unwrap(),
        |i| i.player.name.push('!'),
        |i| i.role = DeviceRole::Unattended,
        |i| i.device.name.push('!'),
        |i| i.device.platform.clear(),
        |i| i.device.key_hash.0[0] ^= 1,
        |i| i.mac.0[31] ^= 1,
    ];
    for (n, change) in changed.into_iter().enumerate() {
        let (mut joins, mut invites) = confirmed();
        let mut invite = invites.invite(player(), DeviceRole::Personal, device(1)).unwrap();
        change(&mut invite);
        assert_eq!(joins.invited(&invite), Err(Broken::Forged), "{n}");
    }
    let (mut joins, mut invites) = confirmed();
    joins.invited(&invites.invite(player(), DeviceRole::Personal, device(1)).unwrap()).unwrap();
    let mut accept = joins.accept(device(2)).unwrap();
    accept.device.name.push('!');
    assert_eq!(invites.accepted(&accept), Err(Broken::Forged));
}

#[test]
fn who_describes_itself_as_another_is_refused_although_it_knows_the_code() {
    let (mut joins, mut invites) = confirmed();
    let invite = invites.invite(player(), DeviceRole::Personal, device(3)).unwrap();
    assert_eq!(joins.invited(&invite), Err(Broken::WrongIdentity));
    let (mut joins, mut invites) = confirmed();
    joins.invited(&invites.invite(player(), DeviceRole::Personal, device(1)).unwrap()).unwrap();
    let mut another = device(2);
    another.key_hash.0[31] ^= 1;
    let accept = joins.accept(another).unwrap();
    assert_eq!(invites.accepted(&accept), Err(Broken::WrongIdentity));
}

#[test]
fn messages_repeated_or_left_out_after_the_confirmations_are_refused() {
    let (mut joins, mut invites) = confirmed();
    let invite = invites.invite(player(), DeviceRole::Personal, device(1)).unwrap();
    joins.invited(&invite).unwrap();
    assert_eq!(joins.invited(&invite), Err(Broken::Forged), "twice");
    let (mut joins, mut invites) = confirmed();
    let _never_arrives = invites.invite(player(), DeviceRole::Personal, device(1)).unwrap();
    let done = invites.done().unwrap();
    assert_eq!(joins.is_done(&done), Err(Broken::Forged), "without the invitation");
}

#[test]
fn neither_side_says_what_belongs_to_the_other_part() {
    let (mut joins, mut invites) = confirmed();
    assert_eq!(joins.invite(player(), DeviceRole::Personal, device(2)).map(|_| ()), Err(Broken::Part));
    assert_eq!(joins.done().map(|_| ()), Err(Broken::Part));
    assert_eq!(invites.accept(device(1)).map(|_| ()), Err(Broken::Part));
    let invite = invites.invite(player(), DeviceRole::Personal, device(1)).unwrap();
    assert_eq!(invites.invited(&invite), Err(Broken::Part));
}

#[test]
fn the_code_and_the_player_are_in_no_message_before_the_confirmations() {
    let secret = code(5);
    let (t, start) = Typer::begin(binding(), &secret, PairPart::Joins, [1; 32]);
    let (s, reply) = Shower::answer(binding(), &secret, PairPart::Invites, [2; 32], &start).unwrap();
    let (_, confirm) = t.reply(&reply).unwrap();
    let (_, back) = s.confirm(&confirm).unwrap();
    let said = format!("{start:?}{reply:?}{confirm:?}{back:?}");
    let text = String::from_utf8(secret.password()).unwrap();
    for word in [text.as_str(), text.trim_start_matches("code:"), "ann"] {
        assert!(!said.contains(word), "{word}");
    }
}

#[test]
fn every_refusal_has_a_reason_and_a_wrong_code_looks_like_a_bad_key() {
    assert_eq!(Broken::Malformed.refusal(), Broken::WrongCode.refusal());
    assert_eq!(Broken::OtherSecret.refusal(), PairRefusal::NoCode);
}

/// Twenty thousand messages that nobody made, most of them good ones with a few bytes changed.
#[test]
fn no_bytes_from_outside_make_any_state_panic_or_confirm() {
    let mut seed = [0u8; 32];
    SystemRandom::new().fill(&mut seed).unwrap();
    println!("seed {seed:?}");
    let mut rng = Stretched::new(seed);
    let secret = code(5);
    let begin = || Typer::begin(binding(), &secret, PairPart::Joins, [1; 32]);
    let answer = |start: &PairStart| Shower::answer(binding(), &secret, PairPart::Invites, [2; 32], start);
    let good_start = begin().1;
    let good_reply = answer(&good_start).unwrap().1;
    let body = |message: &PairMessage| encode(message).unwrap().split_off(PREFIX_LEN);
    let good = [
        body(&PairMessage::PairStart(good_start.clone())),
        body(&PairMessage::PairReply(good_reply.clone())),
        body(&PairMessage::PairConfirm(PairConfirm { mac: Digest([3; 32]) })),
    ];
    let (mut read, mut points, mut no_points) = (0u32, 0u32, 0u32);
    for n in 0..20_000usize {
        let mut bytes = good[n % 3].clone();
        if n % 5 == 0 {
            bytes = vec![0; usize::try_from(rng.next_u32() % 300).unwrap()];
            rng.fill_bytes(&mut bytes);
        }
        for _ in 0..rng.next_u32() % 4 {
            let at = usize::try_from(rng.next_u32()).unwrap() % bytes.len().max(1);
            let chance = rng.next_u32().to_le_bytes();
            // Mostly another digit, so that the frame is read and what it holds is another point.
            let byte = if chance[0] < 230 { b"0123456789abcdef"[usize::from(chance[1] % 16)] } else { chance[1] };
            bytes.get_mut(at).into_iter().for_each(|b| *b = byte);
        }
        let good = good.contains(&bytes);
        let Ok(message) = decode::<PairMessage>(&bytes) else { continue };
        read += 1;
        let outcome = match &message {
            PairMessage::PairStart(start) => answer(start).map(|_| ()),
            PairMessage::PairReply(reply) => begin().0.reply(reply).map(|_| ()),
            PairMessage::PairConfirm(confirm) => {
                // The proof is wrong whatever it is; making a state for each would be what the test spends its time on.
                let channel = Channel::new(&binding(), &good_start, &good_reply, &[4; 32], Side::Shower);
                let shower = Shower { channel, part: PairPart::Invites };
                assert_eq!(shower.confirm(confirm).map(|_| ()), Err(Broken::WrongCode));
                continue;
            }
            other => panic!("{other:?} out of {bytes:?}"),
        };
        match outcome {
            Ok(()) => points += 1,
            Err(why) => {
                assert!(!good && why != Broken::WrongCode, "{why}: {message:?}");
                no_points += 1;
            }
        }
    }
    assert!(read > 2_000 && points > 500 && no_points > 500, "{read} read, {points} points, {no_points} none");
}

/// The example of `docs/formats/wire.md`, which other implementations are checked against.
#[test]
fn the_example_of_the_page_is_a_pairing_and_its_proofs_are_right() {
    let b = binding();
    let secret = Secret::Code(PairCode::parse("C7H-4PX").unwrap());
    assert_eq!(secret.password(), b"code:C7H4PX");
    let device = |seed, epoch: &str, name: &str, platform: &str| PairDevice {
        device_epoch: epoch.parse().unwrap(),
        name: name.into(),
        platform: platform.into(),
        ..device(seed)
    };
    let player = PairPlayer { player_id: "07070707-0707-0707-0707-070707070707".parse().unwrap(), name: "ann".into() };
    let (t, start) = Typer::begin(b, &secret, PairPart::Joins, [1; 32]);
    let (s, reply) = Shower::answer(b, &secret, PairPart::Invites, [2; 32], &start).unwrap();
    let (t, typed) = t.reply(&reply).unwrap();
    let (mut s, shown) = s.confirm(&typed).unwrap();
    let mut t = t.confirm(&shown).unwrap();
    let invite = s
        .invite(player, DeviceRole::Personal, device(1, "e1e1e1e1-e1e1-e1e1-e1e1-e1e1e1e1e1e1", "attic", "linux"))
        .unwrap();
    t.invited(&invite).unwrap();
    let accept = t.accept(device(2, "e2e2e2e2-e2e2-e2e2-e2e2-e2e2e2e2e2e2", "deck", "steamdeck")).unwrap();
    s.accepted(&accept).unwrap();
    let done = s.done().unwrap();
    t.is_done(&done).unwrap();
    for (message, golden) in [
        (PairMessage::PairStart(start), include_str!("../../../../proto/tests/golden/pair/pair_start.json")),
        (PairMessage::PairReply(reply), include_str!("../../../../proto/tests/golden/pair/pair_reply.json")),
        (PairMessage::PairConfirm(typed), include_str!("../../../../proto/tests/golden/pair/pair_confirm.json")),
        (PairMessage::PairConfirm(shown), include_str!("../../../../proto/tests/golden/pair/pair_confirm.shown.json")),
        (PairMessage::PairInvite(invite), include_str!("../../../../proto/tests/golden/pair/pair_invite.json")),
        (PairMessage::PairAccept(accept), include_str!("../../../../proto/tests/golden/pair/pair_accept.json")),
        (PairMessage::PairDone(done), include_str!("../../../../proto/tests/golden/pair/pair_done.json")),
    ] {
        assert_eq!(decode::<PairMessage>(golden.trim_end().as_bytes()).unwrap(), message);
    }
}
