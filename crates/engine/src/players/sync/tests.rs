//! What is asked again, and when. Who may be told what is tried with whole engines, in the simulated players.

use bonfire_proto::{DeviceEpoch, Digest};

use super::*;
use crate::players::About;
use crate::record::Stored;
use crate::report::ErrorClass;

const NOW: Instant = Instant(1_000);
const WALL: UnixMillis = UnixMillis(1_767_225_600_000);

fn proven(n: u128) -> Proven {
    Proven { peer: PeerId::from_uuid(Uuid::from_u128(n)), key_hash: Digest([1; 32]) }
}

/// A player of this device that asks another device both questions.
fn asking(other: Proven) -> (Players, PlayerId) {
    let mut players = Players::restore(NOW, proven(1), "here", About::default(), [7; 32], &mut Stored::default());
    let (player, _) = players.create("a player", WALL, &mut Vec::new()).unwrap();
    let p = players.all.get_mut(&player).unwrap();
    p.links.insert(other.peer, Asking { conn: ConnId(3), state: Asked::default(), shared: Asked::default() });
    (players, player)
}

fn asked(players: &mut Players, player: PlayerId, other: Proven) -> (Request, Request) {
    let mut fx = Vec::new();
    let p = players.all.get_mut(&player).unwrap();
    p.ask_state(player, other.peer, &mut fx);
    p.ask_shared(player, other.peer, &mut fx);
    match <[Effect; 2]>::try_from(fx).unwrap() {
        [Effect::Ask(_, state), Effect::Ask(_, shared)] => (*state, *shared),
        other => panic!("not two questions: {other:?}"),
    }
}

/// The same, where the other device is one of the player's.
fn with_device(other: Proven) -> (Players, PlayerId, DeviceEpoch) {
    let (mut players, player) = asking(other);
    let epoch = DeviceEpoch(Uuid::from_u128(20));
    let record = Device { key_hash: Some(other.key_hash), ..Device::default() };
    let p = players.all.get_mut(&player).unwrap();
    p.replica.pair(Life { device: other.peer, epoch }, &record, &mut players.clock, WALL).unwrap();
    players.devices_changed(player, &mut Vec::new());
    (players, player, epoch)
}

fn record(owner: Proven, epoch: DeviceEpoch, generation: u64, version: u64) -> StateRecord {
    let data = Some(crate::replication::model::write(&Presence { started_at: version, client: String::new() }));
    let (model_type, record_uuid) = (Presence::TYPE.to_owned(), Uuid::from_u128(u128::from(version)));
    let (device_id, device_epoch) = (owner.peer, epoch);
    StateRecord { device_id, device_epoch, generation, version, model_type, record_uuid, data, timestamp: WALL.0 }
}

#[test]
fn what_a_device_says_anew_is_told_also_to_the_one_that_showed_it_its_former_life() {
    let other = proven(2);
    let (mut players, player, _) = with_device(other);
    let fx = &mut Vec::new();
    players.say_present(player, WALL, fx).unwrap();
    fx.clear();
    let former = record(proven(1), DeviceEpoch(Uuid::from_u128(10)), 1, 7);
    players.said(other, Control::StateChange(StateChange { player_id: player, record: former }), WALL, fx);
    let told = fx.iter().any(
        |effect| matches!(effect, Effect::Send(ConnId(3), Control::StateChange(said)) if said.record.generation == 2),
    );
    assert!(told, "{fx:?}");
}

#[test]
fn what_came_before_what_it_follows_has_the_rest_asked_for() {
    let other = proven(2);
    let (mut players, player, epoch) = with_device(other);
    let say = |players: &mut Players, version| {
        let mut fx = Vec::new();
        let said = StateChange { player_id: player, record: record(other, epoch, 1, version) };
        players.said(other, Control::StateChange(said), WALL, &mut fx);
        fx.iter().filter(|e| matches!(e, Effect::Ask(_, r) if matches!(**r, Request::StateRequest(_)))).count()
    };
    assert_eq!(say(&mut players, 1), 0);
    assert_eq!(say(&mut players, 3), 1);
}

fn busy() -> Result<Box<Response>, Report> {
    Err(Report::new(ErrorClass::Remote, "busy", "it has no time").retryable())
}

#[test]
fn a_question_that_failed_is_asked_again_though_the_other_kind_was_answered_since() {
    let other = proven(2);
    let (mut players, player) = asking(other);
    let (state, shared) = asked(&mut players, player, other);
    let fx = &mut Vec::new();
    players.answered(other, &state, busy(), (NOW, WALL), fx);
    let nothing = SharedChangeResponse { player_id: player, entries: Vec::new(), floors: Vec::new(), has_more: false };
    let nothing = Ok(Box::new(Response::SharedChangeResponse(nothing)));
    players.answered(other, &shared, nothing, (NOW, WALL), fx);
    fx.clear();

    let (at, _) = players.next_deadline().expect("it is never asked again");
    assert_eq!(at, NOW + ASK_AGAIN_MIN);
    players.due(at, fx);
    assert!(matches!(&fx[..], [Effect::Ask(_, request)] if **request == state), "{fx:?}");
    players.due(at, fx);
    assert_eq!(fx.len(), 1, "it is asked while an answer is under way: {fx:?}");
}

#[test]
fn a_question_that_is_refused_for_good_is_not_asked_for_ever() {
    let other = proven(2);
    let (mut players, player) = asking(other);
    let (state, _) = asked(&mut players, player, other);
    let mut fx = Vec::new();
    players.answered(other, &state, busy(), (NOW, WALL), &mut fx);
    let mut times = 0;
    while let Some((at, _)) = players.next_deadline() {
        players.due(at, &mut fx);
        players.answered(other, &state, busy(), (at, WALL), &mut fx);
        times += 1;
    }
    assert_eq!(times, ASK_TIMES);
}
