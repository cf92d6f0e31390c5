use bonfire_proto::message::Request;

use super::*;
use crate::trust::gate::{RequestKind, gate};

fn peer(n: u8) -> PeerId {
    PeerId::from_spki_der(&[n])
}

fn who(n: u8) -> Proven {
    Proven { peer: peer(n), key_hash: Digest([n; 32]) }
}

fn player(n: u8) -> PlayerId {
    PlayerId(*peer(100 + n).as_uuid())
}

fn personal(n: u8) -> (PeerId, Member) {
    (peer(n), Member::paired(Digest([n; 32]), DeviceRole::Personal))
}

/// Player 1 has devices 1 and 2, player 2 has 2 and 3 (a kiosk).
fn roster(guests: bool) -> Roster {
    let kiosk = (peer(3), Member::paired(Digest([3; 32]), DeviceRole::Unattended));
    let players = [(player(1), [personal(1), personal(2)].into()), (player(2), [personal(2), kiosk].into())];
    Roster { guests, players: players.into() }
}

fn removed(mut roster: Roster, n: u8, from: u8) -> Roster {
    roster.players.get_mut(&player(from)).unwrap().get_mut(&peer(n)).unwrap().removed = true;
    roster
}

#[test]
fn players_are_isolated_from_each_other() {
    let (closed, open) = (roster(false), roster(true));
    for (n, of, is) in
        [(1, 1, true), (1, 2, false), (2, 1, true), (2, 2, true), (3, 1, false), (3, 2, true), (4, 1, false)]
    {
        let standing = closed.standing(who(n), Some(player(of)));
        assert_eq!(matches!(standing, Standing::Device(_)), is, "{n} of {of}");
        if !is {
            assert_eq!(standing, Standing::Stranger);
            assert_eq!(open.standing(who(n), Some(player(of))), Standing::Guest);
        }
    }
}

#[test]
fn a_player_who_is_not_here_is_answered_like_one_who_is() {
    for guests in [false, true] {
        let roster = roster(guests);
        for kind in RequestKind::ALL {
            let answer = |p| gate(kind, Some(player(p)), roster.standing(who(1), Some(player(p))));
            assert_eq!(answer(2), answer(9), "{kind:?}");
        }
    }
}

#[test]
fn the_same_id_with_another_key_is_nobody() {
    let impostor = Proven { peer: peer(1), key_hash: Digest([9; 32]) };
    assert_eq!(roster(false).standing(impostor, Some(player(1))), Standing::Stranger);
    assert_eq!(roster(false).standing(impostor, None), Standing::Stranger);
    assert_eq!(removed(roster(true), 1, 1).standing(impostor, Some(player(1))), Standing::Guest);
}

#[test]
fn games_are_read_by_any_device_of_anybody_and_by_guests_when_they_are_let_in() {
    let games = Scopes::of(&[Scope::GamesRead]);
    for n in 1..=3 {
        assert_eq!(roster(false).standing(who(n), None), Standing::Device(games));
    }
    assert_eq!(roster(false).standing(who(4), None), Standing::Stranger);
    assert_eq!(roster(true).standing(who(4), None), Standing::Guest);
    let mut without = roster(false);
    without.players.get_mut(&player(1)).unwrap().get_mut(&peer(1)).unwrap().scopes = Scopes::of(&[Scope::SavesRead]);
    assert_eq!(without.standing(who(1), None), Standing::Device(Scopes::NONE));
    without.guests = true;
    assert_eq!(without.standing(who(1), None), Standing::Device(games), "never less than a guest");
}

#[test]
fn a_removed_device_keeps_what_guests_get_and_nothing_of_the_player() {
    for guests in [false, true] {
        let after = removed(roster(guests), 1, 1);
        assert_eq!(after.standing(who(1), Some(player(1))), Standing::Removed);
        let expected = if guests { Standing::Guest } else { Standing::Stranger };
        assert_eq!(after.standing(who(1), None), expected);
    }
}

#[test]
fn a_removal_says_which_connections_lose_what() {
    // Two connections of the device that goes, one of another, one of a stranger.
    let live = BTreeMap::from([(10, who(2)), (11, who(2)), (12, who(1)), (13, who(4))]);
    let (before, saves_and_devices) = (roster(false), Scopes::ALL.without(Scopes::of(&[Scope::GamesRead])));
    let lost = before.losses(&removed(roster(false), 2, 1), &live);
    let of_player_1 = BTreeMap::from([(Some(player(1)), saves_and_devices)]);
    assert_eq!(lost, BTreeMap::from([(10, of_player_1.clone()), (11, of_player_1)]), "still a device of player 2");
    let lost = before.losses(&removed(removed(roster(false), 2, 1), 2, 2), &live);
    assert_eq!(lost.keys().copied().collect::<Vec<_>>(), [10, 11]);
    assert_eq!(
        lost[&10].keys().copied().collect::<Vec<_>>(),
        [None, Some(player(1)), Some(player(2))]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    assert_eq!(lost[&10][&None], Scopes::of(&[Scope::GamesRead]));
}

#[test]
fn less_scopes_closed_doors_and_players_that_go_are_losses_too() {
    let live = BTreeMap::from([(1, who(1)), (3, who(3)), (4, who(4))]);
    let games = Scopes::of(&[Scope::GamesRead]);
    let lost = roster(true).losses(&roster(false), &live);
    assert_eq!(lost, BTreeMap::from([(4, BTreeMap::from([(None, games)]))]), "devices read games all the same");
    let mut fewer = roster(true);
    fewer.players.get_mut(&player(2)).unwrap().get_mut(&peer(3)).unwrap().scopes = Scopes::of(&[Scope::SavesRead]);
    let gone = Scopes::of(&[Scope::SavesWrite, Scope::DevicesRead]);
    assert_eq!(roster(true).losses(&fewer, &live), BTreeMap::from([(3, BTreeMap::from([(Some(player(2)), gone)]))]));
    let mut left = roster(true);
    left.players.remove(&player(1));
    assert_eq!(roster(true).losses(&left, &live).keys().copied().collect::<Vec<_>>(), [1]);
    assert_eq!(roster(true).losses(&roster(true), &live), BTreeMap::new());
    assert_eq!(removed(roster(true), 1, 1).losses(&roster(true), &live), BTreeMap::new(), "a gain is no loss");
}

/// What is lost is exactly what the gate allowed before and refuses after, for every request.
#[test]
fn losses_and_the_gate_agree() {
    let live = BTreeMap::from([(1, who(1)), (2, who(2)), (3, who(3)), (4, who(4))]);
    let states =
        [roster(true), roster(false), removed(roster(true), 2, 1), removed(roster(false), 3, 2), Roster::default()];
    for before in &states {
        for after in &states {
            let lost = before.losses(after, &live);
            for (conn, who) in &live {
                for of in [None, Some(player(1)), Some(player(2)), Some(player(9))] {
                    let may = |roster: &Roster, kind| gate(kind, of, roster.standing(*who, of)).is_ok();
                    // Asking back is bound to presence, not to a scope; of games, `None` is asked.
                    let kinds = RequestKind::ALL.into_iter().filter(|k| *k != RequestKind::ProbeBack);
                    let stopped = kinds
                        .filter(|k| of.is_none() || gate(*k, None, Standing::Device(Scopes::ALL)).is_err())
                        .any(|k| may(before, k) && !may(after, k));
                    let told = lost.get(conn).is_some_and(|l| l.contains_key(&of));
                    assert_eq!(stopped, told, "connection {conn}, {of:?}");
                }
            }
        }
    }
}

#[test]
fn requests_of_today_have_their_kind() {
    let probe = Request::ProbeBack(bonfire_proto::message::ProbeBack { port: 1 });
    assert_eq!(RequestKind::from(&probe), RequestKind::ProbeBack);
    let list = Request::GetLibrarySnapshot(bonfire_proto::message::GetLibrarySnapshot {});
    assert_eq!(RequestKind::from(&list), RequestKind::GetLibrarySnapshot);
}
