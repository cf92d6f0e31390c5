use bonfire_proto::message_pair::{PairDevice, PairPlayer};
use bonfire_proto::{DeviceEpoch, Digest};

use super::*;
use crate::trust::gate::Standing;

fn who(n: u8) -> Proven {
    Proven { peer: PeerId::from_spki_der(&[n]), key_hash: Digest([n; 32]) }
}

fn player(n: u8) -> PlayerId {
    PlayerId(*PeerId::from_spki_der(&[100, n]).as_uuid())
}

fn invite(to: PlayerId, by: Proven, role: DeviceRole) -> PairInvite {
    let device = PairDevice {
        peer_id: by.peer,
        key_hash: by.key_hash,
        device_epoch: DeviceEpoch(*by.peer.as_uuid()),
        name: "n".into(),
        platform: "linux".into(),
    };
    PairInvite { player: PairPlayer { player_id: to, name: "ann".into() }, role, device, mac: Digest([0; 32]) }
}

/// A device that holds these players, each with itself as the only device.
fn holding(n: u8, players: &[u8]) -> Roster {
    let own = Member::paired(who(n).key_hash, DeviceRole::Personal);
    let players = players.iter().map(|p| (player(*p), [(who(n).peer, own)].into())).collect();
    Roster { guests: true, players }
}

fn record(roster: &mut Roster, to: PlayerId, change: Change) {
    if let Change::Record { device, member } = change {
        roster.players.entry(to).or_default().insert(device, member);
    }
}

/// Device 1 records another for player 1.
fn admitted(roster: &mut Roster, device: Proven, role: DeviceRole) {
    let change = admit(roster, who(1), player(1), role, device).unwrap();
    record(roster, player(1), change);
}

/// What the joining side records: the inviting device, and itself.
fn record_join(roster: &mut Roster, us: Proven, to: PlayerId, role: DeviceRole, change: Change) {
    record(roster, to, change);
    if change != Change::Nothing {
        record(roster, to, Change::Record { device: us.peer, member: Member::paired(us.key_hash, role) });
    }
}

const P: DeviceRole = DeviceRole::Personal;
const U: DeviceRole = DeviceRole::Unattended;

#[test]
fn what_a_device_does_follows_from_the_players_that_it_holds() {
    let terms_of = |held: &[u8], wish| terms(&holding(1, held), who(1), wish, P);
    assert_eq!(terms_of(&[], Wish::Whatever), Ok(Terms::Join { role: P }));
    assert_eq!(terms_of(&[1], Wish::Whatever), Ok(Terms::Invite { player: player(1), role: P }));
    let mut both = vec![player(1), player(2)];
    both.sort();
    assert_eq!(terms_of(&[1, 2], Wish::Whatever), Err(WishError::WhichPlayer(both)));
    assert_eq!(terms_of(&[1, 2], Wish::Invite(player(2))), Ok(Terms::Invite { player: player(2), role: P }));
    assert_eq!(terms_of(&[1], Wish::Invite(player(2))), Err(WishError::NotAllowed(player(2))));
    assert_eq!(terms_of(&[1], Wish::Join), Ok(Terms::Join { role: P }));
    assert_eq!(terms(&holding(1, &[1]), who(2), Wish::Whatever, U), Ok(Terms::Join { role: U }), "it is another's");
    let mut removed = holding(1, &[1]);
    removed.players.get_mut(&player(1)).unwrap().get_mut(&who(1).peer).unwrap().removed = true;
    assert_eq!(terms(&removed, who(1), Wish::Whatever, P), Ok(Terms::Join { role: P }));
    assert!(!WishError::NotAllowed(player(1)).is_retryable());
}

#[test]
fn both_sides_end_up_trusting_each_other_and_nobody_else() {
    for role in DeviceRole::ALL {
        let (mut a, mut b) = (holding(1, &[1]), holding(2, &[2]));
        admitted(&mut a, who(2), role);
        let change = join(&b, who(2), role, &invite(player(1), who(1), role), who(1)).unwrap();
        record_join(&mut b, who(2), player(1), role, change);
        let expected = Standing::Device(crate::trust::Scopes::of_role(role));
        assert_eq!(a.standing(who(2), Some(player(1))), expected);
        assert!(matches!(b.standing(who(1), Some(player(1))), Standing::Device(_)));
        assert_eq!(a.standing(who(2), Some(player(2))), Standing::Guest);
        assert_eq!(b.standing(who(1), Some(player(2))), Standing::Guest, "the players stay apart");
        assert_eq!(a.players[&player(1)].len(), 2);
    }
}

/// A pairing that breaks off anywhere and is done again ends as one that did not.
#[test]
fn a_pairing_done_again_ends_as_one_done_once_wherever_it_broke_off() {
    let attempt = |a: &mut Roster, b: &mut Roster, steps: u8| {
        let change = join(b, who(2), P, &invite(player(1), who(1), P), who(1)).unwrap();
        if steps < 1 {
            return;
        }
        let admitted = admit(a, who(1), player(1), P, who(2)).unwrap();
        record(a, player(1), admitted);
        if steps < 2 {
            return;
        }
        record_join(b, who(2), player(1), P, change);
    };
    let (mut a, mut b) = (holding(1, &[1]), holding(2, &[]));
    attempt(&mut a, &mut b, 2);
    let whole = (a.clone(), b.clone());
    for first in 0..=2 {
        for second in 0..=2 {
            let (mut a, mut b) = (holding(1, &[1]), holding(2, &[]));
            for steps in [first, second, 2] {
                attempt(&mut a, &mut b, steps);
            }
            assert_eq!((a, b), whole, "broke off after {first} and {second}");
        }
    }
    let again = admit(&whole.0, who(1), player(1), P, who(2));
    assert_eq!(again, Ok(Change::Nothing));
    assert_eq!(join(&whole.1, who(2), P, &invite(player(1), who(1), P), who(1)), Ok(Change::Nothing));
}

#[test]
fn a_device_that_is_paired_in_another_role_has_to_be_removed_first() {
    let (mut a, mut b) = (holding(1, &[1]), holding(2, &[]));
    admitted(&mut a, who(2), P);
    let change = join(&b, who(2), P, &invite(player(1), who(1), P), who(1)).unwrap();
    record_join(&mut b, who(2), player(1), P, change);
    assert_eq!(admit(&a, who(1), player(1), U, who(2)), Err(PairRefusal::OtherRole));
    assert_eq!(join(&b, who(2), U, &invite(player(1), who(1), U), who(1)), Err(PairRefusal::OtherRole));
    for roster in [&mut a, &mut b] {
        roster.players.get_mut(&player(1)).unwrap().get_mut(&who(2).peer).unwrap().removed = true;
    }
    let again = Member::paired(who(2).key_hash, U);
    assert_eq!(admit(&a, who(1), player(1), U, who(2)), Ok(Change::Record { device: who(2).peer, member: again }));
    assert!(join(&b, who(2), U, &invite(player(1), who(1), U), who(1)).is_ok());
}

#[test]
fn an_invitation_to_become_something_else_than_agreed_is_refused() {
    for (agreed, offered) in [(P, U), (U, P)] {
        let refused = join(&holding(2, &[]), who(2), agreed, &invite(player(1), who(1), offered), who(1));
        assert_eq!(refused, Err(PairRefusal::OtherRole));
    }
}

#[test]
fn only_a_device_that_manages_devices_admits_others() {
    let change = |roster: &Roster, us| admit(roster, us, player(1), P, who(9));
    let mut roster = holding(1, &[1]);
    roster.players.get_mut(&player(1)).unwrap().insert(who(3).peer, Member::paired(who(3).key_hash, U));
    assert!(change(&roster, who(1)).is_ok());
    assert_eq!(change(&roster, who(3)), Err(PairRefusal::NotAllowed), "unattended");
    assert_eq!(change(&roster, who(4)), Err(PairRefusal::NotAllowed), "not of the player");
    assert_eq!(change(&holding(1, &[2]), who(1)), Err(PairRefusal::NotAllowed), "no such player here");
    roster.players.get_mut(&player(1)).unwrap().get_mut(&who(1).peer).unwrap().removed = true;
    assert_eq!(change(&roster, who(1)), Err(PairRefusal::NotAllowed), "removed while the code was shown");
    let own = holding(1, &[1]);
    assert_eq!(admit(&own, who(1), player(1), P, who(1)), Err(PairRefusal::NotAllowed), "itself");
}

#[test]
fn a_stranger_cannot_talk_itself_into_a_player_by_inviting_to_it() {
    let b = holding(2, &[1]);
    let refused = join(&b, who(2), P, &invite(player(1), who(7), P), who(7));
    assert_eq!(refused, Err(PairRefusal::NotAllowed), "it names a player that it does not have");
    let mut removed = holding(2, &[1]);
    let gone = Member { removed: true, ..Member::paired(who(7).key_hash, P) };
    removed.players.get_mut(&player(1)).unwrap().insert(who(7).peer, gone);
    assert_eq!(join(&removed, who(2), P, &invite(player(1), who(7), P), who(7)), Err(PairRefusal::NotAllowed));
}

#[test]
fn a_key_that_is_not_the_pinned_one_is_never_a_repetition() {
    let mut a = holding(1, &[1]);
    admitted(&mut a, who(2), P);
    let impostor = Proven { key_hash: Digest([9; 32]), ..who(2) };
    assert_eq!(admit(&a, who(1), player(1), P, impostor), Err(PairRefusal::NotAllowed));
}

#[test]
fn devices_and_players_are_bounded_and_removed_ones_do_not_count() {
    let mut a = holding(1, &[1]);
    for n in 2..=u8::try_from(DEVICES_MAX).unwrap() {
        admitted(&mut a, who(n), P);
    }
    assert_eq!(a.players[&player(1)].len(), DEVICES_MAX);
    assert_eq!(admit(&a, who(1), player(1), P, who(99)), Err(PairRefusal::Full));
    assert_eq!(admit(&a, who(1), player(1), P, who(2)), Ok(Change::Nothing), "it is there already");
    a.players.get_mut(&player(1)).unwrap().get_mut(&who(2).peer).unwrap().removed = true;
    assert!(admit(&a, who(1), player(1), P, who(99)).is_ok());

    let mut b = holding(2, &[]);
    for n in 0..PLAYERS_MAX {
        let id = PlayerId(*PeerId::from_spki_der(&n.to_be_bytes()).as_uuid());
        b.players.insert(id, [(who(2).peer, Member::paired(who(2).key_hash, U))].into());
    }
    assert_eq!(join(&b, who(2), U, &invite(player(1), who(1), U), who(1)), Err(PairRefusal::Full));
}
