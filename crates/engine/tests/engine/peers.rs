//! Who is dialled, who stays, who is gone, and what is asked of whom.

use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, NodeCommand, Reply};
use bonfire_engine::input::{ConnInput, Discovered, Effect, Input, LibraryAnswer};
use bonfire_engine::peers::{PING_AFTER, STALE_AFTER};
use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, ErrorMsg, GetLibraryDelta, Goodbye, LibraryDeltaMsg, Ping, Pong, Request};
use bonfire_proto::{CloseCode, ErrorCode};

use crate::desk::{Batch, Desk, ME, Other, addr, epoch, line, peer, ready, report};

fn desk() -> Desk {
    Desk::started(&[], &[])
}

fn lost(batch: &Batch) -> usize {
    batch.events().into_iter().filter(|e| matches!(e, PeerEvent::PeerLost { .. })).count()
}

#[test]
fn dials_once_for_an_announced_peer() {
    let mut desk = desk();
    let larger = Other::new(0x60);
    let batch = desk.found(&larger);
    assert_eq!(batch.dials().len(), 1, "{batch:?}");
    let (_, addrs, expect) = &batch.dials()[0];
    assert_eq!((addrs.as_slice(), *expect), ([larger.addr].as_slice(), Some(larger.id)));
    assert!(desk.found(&larger).is_empty());
    assert!(desk.pass(Duration::from_secs(20)).is_empty());
}

#[test]
fn the_larger_id_lets_the_smaller_one_dial_first() {
    let mut desk = desk();
    let smaller = Other::new(0x40);
    assert!(desk.found(&smaller).is_empty());
    assert!(desk.pass(Duration::from_millis(1_000)).is_empty());
    assert_eq!(desk.pass(Duration::from_millis(1_000)).dials().len(), 1);
}

#[test]
fn the_larger_id_does_not_dial_at_all_when_the_smaller_one_came() {
    let mut desk = desk();
    let smaller = Other::new(0x40);
    desk.found(&smaller);
    let (_, batch) = desk.arrive(&smaller, None);
    assert_eq!(batch.accepted().len(), 1);
    assert!(desk.pass(Duration::from_secs(20)).is_empty());
}

#[test]
fn an_unchanged_announcement_of_a_connected_peer_costs_no_dial_and_no_effect() {
    let mut desk = desk();
    let other = Other::new(0x60);
    desk.found(&other);
    desk.meet(&other);
    for _ in 0..10 {
        assert!(desk.found(&other).is_empty());
    }
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());
}

#[test]
fn ones_own_announcement_and_other_versions_are_not_dialled() {
    let mut desk = desk();
    let library = (epoch(1), 1);
    let own = Discovered::Found { peer: peer(ME), addrs: vec![addr(1)], proto_ver: PROTO_VERSION, library };
    assert!(desk.give(Input::Discovery(own)).is_empty());
    let newer = Discovered::Found { peer: peer(0x60), addrs: vec![addr(1)], proto_ver: PROTO_VERSION + 1, library };
    assert!(desk.give(Input::Discovery(newer)).is_empty());
    assert!(desk.pass(Duration::from_secs(60)).is_empty());
}

#[test]
fn a_failed_dial_is_told_once_and_tried_again_ever_more_slowly() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let mut dial = desk.found(&other).dials()[0].0;
    let (mut told, mut waits) = (0, Vec::new());
    for _ in 0..9 {
        let batch = desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
        told += batch.events().len();
        let before = desk.now;
        let next = desk.pass(Duration::from_secs(31));
        assert_eq!(next.dials().len(), 1, "{next:?}");
        dial = next.dials()[0].0;
        waits.push(before);
    }
    assert_eq!(told, 1);
    assert!(!waits.is_empty());
}

#[test]
fn backoff_doubles_up_to_its_bound() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let mut dial = desk.found(&other).dials()[0].0;
    let mut waits = Vec::new();
    for _ in 0..8 {
        desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
        let (at, why) = desk.engine.next_deadline().unwrap();
        assert_eq!(why, "dial");
        waits.push((at.0 - desk.now) / 1_000);
        desk.now = at.0;
        dial = desk.give(Input::Deadline).dials()[0].0;
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn a_new_address_is_tried_at_once() {
    let mut desk = desk();
    let mut other = Other::new(0x60);
    let dial = desk.found(&other).dials()[0].0;
    desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    other.addr = addr(77);
    let batch = desk.found(&other);
    assert_eq!(batch.dials()[0].1, [addr(77)]);
}

#[test]
fn a_peer_whose_announcement_ended_is_not_dialled() {
    let mut desk = desk();
    let other = Other::new(0x40);
    desk.found(&other);
    desk.lost(&other);
    assert!(desk.pass(Duration::from_secs(300)).dials().is_empty());
}

#[test]
fn an_end_of_announcement_is_a_hint_that_leaves_the_connection_alone() {
    let mut desk = desk();
    let other = Other::new(0x40);
    desk.found(&other);
    let conn = desk.meet(&other);
    assert!(desk.lost(&other).is_empty());
    assert_eq!(desk.link(&other), Some(conn));
}

#[test]
fn turns_away_with_the_number_of_what_is_wrong() {
    let mut desk = desk();
    let other = Other::new(0x40);
    let (conn, batch) = desk.arrive_as(peer(0x41), other.hello(), other.addr, None);
    assert_eq!(batch.closed(), [(conn, CloseCode::WrongIdentity)]);
    assert!(batch.accepted().is_empty());
    let mut newer = other.hello();
    newer.proto_ver += 1;
    let (conn, batch) = desk.arrive_as(other.id, newer, other.addr, None);
    assert_eq!(batch.closed(), [(conn, CloseCode::Version)]);
    let myself = Other { id: desk.me, ..Other::new(1) };
    let (conn, batch) = desk.arrive(&myself, None);
    assert_eq!(batch.closed(), [(conn, CloseCode::Oneself)]);
    assert!(desk.view().peers.is_empty());
}

#[test]
fn a_second_hello_or_a_message_in_anothers_name_ends_the_connection() {
    let other = Other::new(0x40);
    let liar = Other::new(0x41);
    let wrong = [
        Control::Hello(other.hello()),
        Control::HelloAck(other.hello()),
        liar.summary(),
        Control::LibraryDelta(LibraryDeltaMsg { peer_id: liar.id, delta: other.delta_from(0, &[], &[]) }),
        Control::Goodbye(Goodbye { peer_id: liar.id }),
    ];
    for message in wrong {
        let mut desk = desk();
        let conn = desk.meet(&other);
        let batch = desk.hears(conn, message);
        assert_eq!(batch.closed(), [(conn, CloseCode::Protocol)]);
        assert_eq!(lost(&batch), 1);
        assert_eq!(desk.link(&other), None);
        // The shell tells of the end as well: nobody hears of it twice.
        assert!(desk.closes(conn, "closed here").is_empty());
    }
}

#[test]
fn pings_only_after_a_quiet_time_and_once_for_both_sides() {
    let mut desk = desk();
    let (larger, smaller) = (Other::new(0x60), Other::new(0x40));
    let to_larger = desk.meet(&larger);
    let to_smaller = desk.meet(&smaller);
    assert!(desk.pass(PING_AFTER - Duration::from_millis(1)).is_empty());
    let batch = desk.pass(Duration::from_millis(1));
    assert!(matches!(batch.sent()[..], [(conn, Control::Ping(_))] if conn == to_larger), "{batch:?}");
    let answer = desk.hears(to_smaller, Control::Ping(Ping {}));
    assert!(matches!(answer.sent()[..], [(conn, Control::Pong(_))] if conn == to_smaller));
    desk.hears(to_larger, Control::Pong(Pong {}));
    assert!(desk.pass(PING_AFTER - Duration::from_millis(1)).is_empty());
}

#[test]
fn any_message_and_any_request_count_as_a_sign_of_life() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let conn = desk.meet(&other);
    for _ in 0..20 {
        let batch = desk.pass(PING_AFTER - Duration::from_secs(1));
        assert!(batch.sent().is_empty() && batch.closed().is_empty(), "{batch:?}");
        desk.give(Input::Conn(ConnInput::Active(conn)));
    }
}

#[test]
fn a_silent_peer_is_pinged_and_then_closed_and_told_once() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let conn = desk.meet(&other);
    let batch = desk.pass(STALE_AFTER);
    assert_eq!(batch.sent().iter().filter(|(_, m)| matches!(m, Control::Ping(_))).count(), 2);
    assert_eq!(batch.closed(), [(conn, CloseCode::Stale)]);
    assert_eq!(lost(&batch), 1);
    assert!(desk.closes(conn, "closed here").is_empty());
    assert!(desk.pass(Duration::from_secs(60)).is_empty());
}

#[test]
fn a_lost_peer_that_still_announces_is_dialled_again_and_told_once() {
    let mut desk = desk();
    let other = Other::new(0x40);
    desk.found(&other);
    let conn = desk.meet(&other);
    let batch = desk.closes(conn, "the other side fell silent");
    assert_eq!(lost(&batch), 1);
    let batch = desk.pass(Duration::from_secs(2));
    let dial = batch.dials()[0].0;
    let batch = desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    assert_eq!(lost(&batch), 0);
    let dial = desk.pass(Duration::from_secs(3)).dials()[0].0;
    let (_, batch) = desk.arrive(&other, Some(dial));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::PeerAppeared { .. })));
}

#[test]
fn a_peer_lost_while_our_own_dial_is_under_way_is_dialled_again_when_that_fails() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let dial = desk.found(&other).dials()[0].0;
    let conn = desk.meet(&other);
    desk.closes(conn, "gone");
    assert!(desk.pass(Duration::from_secs(4)).dials().is_empty());
    desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    assert_eq!(desk.pass(Duration::from_secs(31)).dials().len(), 1);
}

#[test]
fn goodbye_ends_a_peer_and_it_is_looked_for_in_silence_while_its_announcement_stands() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let dial = desk.found(&other).dials()[0].0;
    let (conn, _) = desk.arrive(&other, Some(dial));
    let batch = desk.hears(conn, Control::Goodbye(Goodbye { peer_id: other.id }));
    assert_eq!(lost(&batch), 1);
    assert_eq!(batch.closed(), [(conn, CloseCode::Done)]);
    assert!(desk.pass(Duration::from_secs(2)).dials().is_empty(), "it may come back by itself");
    // It may be back with the announcement that stands, which nobody repeats.
    let again = desk.pass(Duration::from_secs(2)).dials()[0].0;
    let batch = desk.give(Input::Conn(ConnInput::DialFailed(again, report("unreachable"))));
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::PeerRefused { .. })), "{batch:?}");
    desk.lost(&other);
    assert!(desk.pass(Duration::from_secs(120)).dials().is_empty(), "nothing announces it any more");
    assert_eq!(desk.found(&other).dials().len(), 1);
}

#[test]
fn a_peer_that_comes_back_elsewhere_is_known_by_its_new_address() {
    let mut desk = desk();
    let mut other = Other::new(0x60);
    desk.meet(&other);
    other.addr = addr(99);
    let (conn, batch) = desk.arrive(&other, None);
    assert!(batch.has_event(|e| matches!(e, PeerEvent::PeerMoved { addr: a, .. } if *a == addr(99).to_string())));
    assert_eq!(lost(&batch), 0);
    assert_eq!(desk.link(&other), Some(conn));
    assert_eq!(desk.view().peers[0].addr, addr(99).to_string());
}

#[test]
fn a_connected_peer_that_announces_other_addresses_is_dialled_there_at_once() {
    let mut desk = desk();
    let mut other = Other::new(0x60);
    let old = desk.meet(&other);
    desk.pass(Duration::from_secs(20));
    other.addr = addr(99);
    let batch = desk.found(&other);
    let (dial, addrs, expect) = batch.dials()[0].clone();
    assert_eq!((addrs.as_slice(), expect), ([addr(99)].as_slice(), Some(other.id)));
    assert_eq!(desk.link(&other), Some(old), "it stands until the new one is proven");
    let (new, batch) = desk.arrive(&other, Some(dial));
    assert_eq!(batch.closed(), [(old, CloseCode::Duplicate)]);
    assert!(batch.has_event(|e| matches!(e, PeerEvent::PeerMoved { addr: a, .. } if *a == addr(99).to_string())));
    assert_eq!(lost(&batch), 0);
    assert_eq!(desk.link(&other), Some(new));
    assert!(desk.found(&other).is_empty());
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());
}

fn is_ping(message: &Control) -> bool {
    matches!(message, Control::Ping(_))
}

#[test]
fn a_connected_peer_that_announces_one_more_address_is_dialled_there_only_if_it_does_not_answer() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let old = desk.meet(&other);
    desk.found(&other);
    desk.pass(Duration::from_secs(20));
    let both = vec![other.addr, addr(99)];
    let batch = desk.found_at(&other, both.clone());
    assert!(batch.dials().is_empty());
    let asked = desk.pass(Duration::from_millis(1)).sent().iter().filter(|(c, m)| *c == old && is_ping(m)).count();
    let asked = asked + batch.sent().iter().filter(|(c, m)| *c == old && is_ping(m)).count();
    assert_eq!(asked, 1, "it is asked at once");
    // One answer, and the doubt is over.
    desk.pass(Duration::from_millis(5));
    desk.give(Input::Conn(ConnInput::Active(old)));
    assert!(desk.pass(Duration::from_secs(8)).dials().is_empty());
    assert!(desk.found_at(&other, both).is_empty(), "nothing new is announced");
    // No answer: it is dialled where it says it is.
    let three = vec![other.addr, addr(99), addr(98)];
    desk.found_at(&other, three.clone());
    let batch = desk.pass(Duration::from_secs(4));
    assert_eq!(batch.dials().len(), 1, "{batch:?}");
    assert_eq!(batch.dials()[0].1, three);
    assert_eq!(desk.link(&other), Some(old), "it stands until the new one is proven");
    assert!(desk.pass(Duration::from_secs(4)).dials().is_empty());
}

#[test]
fn a_false_announcement_leaves_a_connection_alone_and_is_tried_once() {
    let mut desk = desk();
    let mut other = Other::new(0x60);
    let old = desk.meet(&other);
    desk.pass(Duration::from_secs(20));
    other.addr = addr(99);
    let dial = desk.found(&other).dials()[0].0;
    let batch = desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    assert!(batch.closed().is_empty(), "{batch:?}");
    assert!(desk.found(&other).is_empty());
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());
    assert_eq!(desk.link(&other), Some(old));
}

#[test]
fn a_young_connection_is_given_time_before_its_peer_is_dialled_elsewhere() {
    let mut desk = desk();
    let mut other = Other::new(0x60);
    let home = other.addr;
    desk.meet(&other);
    other.addr = addr(99);
    assert!(desk.found(&other).dials().is_empty());
    assert_eq!(desk.pass(Duration::from_secs(11)).dials().len(), 1);
    // Addresses come one after another: once the one in use is among them, nothing is dialled.
    let mut third = Other::new(0x61);
    third.addr = addr(98);
    desk.meet(&third);
    third.addr = home;
    assert!(desk.found(&third).dials().is_empty());
    third.addr = addr(98);
    desk.found(&third);
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());
}

#[test]
fn the_recorded_address_is_the_listener_and_never_the_source_port() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let mut hello = other.hello();
    hello.listen_addr = "[::]:4000".to_owned();
    desk.arrive_as(other.id, hello, "10.0.0.9:55555".parse().unwrap(), None);
    assert_eq!(desk.view().peers[0].addr, "10.0.0.9:4000");
}

#[test]
fn a_restarted_peer_is_taken_at_once_although_its_old_connection_is_not_known_to_be_dead() {
    // The side that dialled it, with the smaller id, would keep its own connection if both had dialled at the same time.
    let mut desk = desk();
    let other = Other::new(0x60);
    let dial = desk.found(&other).dials()[0].0;
    let (old, _) = desk.arrive(&other, Some(dial));
    desk.pass(Duration::from_secs(20));
    let (new, batch) = desk.arrive(&other, None);
    assert_eq!(batch.closed(), [(old, CloseCode::Duplicate)]);
    assert_eq!(batch.accepted(), [new]);
    assert_eq!(desk.link(&other), Some(new));
    assert_eq!(lost(&batch), 0);
}

#[test]
fn an_unknown_message_on_the_other_side_changes_nothing_here() {
    let mut desk = desk();
    let other = Other::new(0x60);
    let conn = desk.meet(&other);
    assert!(desk.hears(conn, Control::Error(ErrorMsg::new(ErrorCode::Unsupported, "what?"))).is_empty());
    let batch = desk.hears(conn, Control::Error(ErrorMsg::new(ErrorCode::Internal, "\u{1b}[31mred")));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::PeerLost { reason, .. } if !reason.contains('\u{1b}'))));
}

#[test]
fn a_newcomer_is_told_where_our_library_stands() {
    let mut desk = desk();
    let (conn, batch) = desk.arrive(&Other::new(0x40), None);
    assert!(matches!(batch.sent()[..], [(c, Control::LibrarySummary(_))] if c == conn), "{batch:?}");
    let accept = batch.0.iter().position(|e| matches!(e, Effect::Accept(..))).unwrap();
    let send = batch.0.iter().position(|e| matches!(e, Effect::Send(..))).unwrap();
    assert!(accept < send);
}

#[test]
fn a_library_is_asked_for_once_and_never_again_while_it_stands() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, batch) = desk.arrive(&other, None);
    assert!(matches!(batch.asked()[..], [(c, Request::GetLibrarySnapshot(_))] if c == conn));
    assert!(desk.hears(conn, other.summary()).asked().is_empty(), "one is under way");
    let batch = desk.answers(conn, other.snapshot());
    assert!(batch.has_event(|e| matches!(e, PeerEvent::RemoteLibraryChanged { by, .. } if by == "snapshot")));
    assert!(batch.asked().is_empty());
    assert!(desk.hears(conn, other.summary()).is_empty());
    // It comes back as it was.
    desk.closes(conn, "gone");
    let (_, batch) = desk.arrive(&other, None);
    assert!(batch.asked().is_empty());
}

#[test]
fn a_pushed_delta_is_taken_and_asked_for_nothing() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let conn = desk.meet(&other);
    let two = other.clone().with(&[ready("doom", 1), ready("quake", 2)]);
    let delta = two.delta_from(1, &[ready("quake", 2)], &[]);
    let message = || Control::LibraryDelta(LibraryDeltaMsg { peer_id: other.id, delta: delta.clone() });
    let batch = desk.hears(conn, message());
    assert!(
        batch.has_event(|e| matches!(e, PeerEvent::RemoteLibraryChanged { library_rev: 2, by, .. } if by == "delta"))
    );
    assert!(batch.asked().is_empty());
    assert!(desk.hears(conn, message()).is_empty(), "a repeated delta says nothing new");
}

#[test]
fn a_gap_before_a_delta_leads_to_a_snapshot() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let conn = desk.meet(&other);
    let four = Other { rev: 4, ..other.clone() };
    let delta = four.delta_from(3, &[], &[line("doom", 2, bonfire_proto::Availability::Ready)]);
    let batch = desk.hears(conn, Control::LibraryDelta(LibraryDeltaMsg { peer_id: other.id, delta }));
    assert!(matches!(batch.asked()[..], [(c, Request::GetLibrarySnapshot(_))] if c == conn), "{batch:?}");
    assert_eq!(desk.view().peers[0].library_rev, 1);
}

#[test]
fn a_lost_database_leads_to_a_snapshot() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1), ready("quake", 2)]);
    let conn = desk.meet(&other);
    desk.closes(conn, "killed");
    let anew = Other { epoch: epoch(77), rev: 1, games: vec![ready("doom", 1)], ..other.clone() };
    let (conn, batch) = desk.arrive(&anew, None);
    assert!(matches!(batch.asked()[..], [(c, Request::GetLibrarySnapshot(_))] if c == conn));
    let batch = desk.answers(conn, anew.snapshot());
    assert!(batch.has_event(
        |e| matches!(e, PeerEvent::RemoteLibraryChanged { removed, .. } if removed == &[crate::desk::game("quake")])
    ));
}

#[test]
fn who_is_behind_asks_for_the_changes_only() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let conn = desk.meet(&other);
    let two = other.clone().with(&[ready("doom", 1), ready("quake", 2)]);
    let batch = desk.hears(conn, two.summary());
    let Request::GetLibraryDelta(GetLibraryDelta { library_epoch, from_rev }) = batch.asked()[0].1 else { panic!() };
    assert_eq!((*library_epoch, *from_rev), (other.epoch, 1));
}

#[test]
fn a_peer_that_never_delivers_what_it_announces_is_not_asked_for_ever() {
    let mut desk = desk();
    let honest = Other::new(0x60).with(&[ready("doom", 1)]);
    let boastful = Other { rev: 9, ..honest.clone() };
    let (conn, _) = desk.arrive(&boastful, None);
    let mut asked = 1;
    for _ in 0..10 {
        let batch = desk.answers(conn, honest.snapshot());
        asked += batch.asked().len();
        if batch.asked().is_empty() {
            break;
        }
    }
    assert!(asked <= 3, "{asked} requests");
}

#[test]
fn an_answer_that_failed_is_asked_for_again_and_not_in_a_loop() {
    let mut desk = desk();
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, _) = desk.arrive(&other, None);
    let mut asked = 0;
    for _ in 0..50 {
        let batch = desk.give(Input::Conn(ConnInput::Library(conn, Err(report("stalled").retryable()))));
        asked += batch.asked().len();
        if batch.asked().is_empty() {
            break;
        }
    }
    assert!(asked <= 3, "{asked} requests at once");
    let later = desk.pass(Duration::from_secs(70));
    assert!(!later.asked().is_empty(), "what a peer holds is wanted as long as it is there");
}

#[test]
fn what_was_heard_while_an_answer_was_under_way_is_asked_for_until_an_answer_comes() {
    let mut desk = desk();
    let six = Other { rev: 6, ..Other::new(0x60).with(&[ready("doom", 1)]) };
    let (conn, _) = desk.arrive(&six, None);
    // Its next change overtakes the snapshot that was asked for.
    let seven = six.clone().with(&[ready("doom", 1), ready("quake", 2)]);
    let delta = seven.delta_from(6, &[ready("quake", 2)], &[]);
    desk.hears(conn, Control::LibraryDelta(LibraryDeltaMsg { peer_id: six.id, delta: delta.clone() }));
    let is_delta_from_six = |batch: &Batch| match batch.asked()[..] {
        [(c, Request::GetLibraryDelta(GetLibraryDelta { from_rev, .. }))] => c == conn && *from_rev == 6,
        _ => false,
    };
    assert!(is_delta_from_six(&desk.answers(conn, six.snapshot())));
    // Three answers in a row fail.
    for _ in 0..3 {
        desk.give(Input::Conn(ConnInput::Library(conn, Err(report("stalled").retryable()))));
        assert!(is_delta_from_six(&desk.pass(Duration::from_secs(61))), "nobody asks again");
        // It lives all the while.
        desk.hears(conn, Control::Ping(Ping {}));
    }
    desk.answers(conn, LibraryAnswer::Delta(delta));
    assert_eq!(desk.view().peers[0].library_rev, 7);
    assert!(desk.pass(Duration::from_secs(60)).asked().is_empty());
}

#[test]
fn a_peer_that_answers_again_is_asked_at_once_for_what_is_missing() {
    let mut desk = desk();
    let one = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, _) = desk.arrive(&one, None);
    desk.give(Input::Conn(ConnInput::Library(conn, Err(report("stalled").retryable()))));
    // To be asked again later; its summary asks before that.
    assert_eq!(desk.hears(conn, one.summary()).asked().len(), 1);
    let two = one.clone().with(&[ready("doom", 1), ready("quake", 2)]);
    desk.hears(conn, two.summary());
    let batch = desk.answers(conn, one.snapshot());
    assert!(matches!(batch.asked()[..], [(_, Request::GetLibraryDelta(_))]), "{batch:?}");
    desk.answers(conn, LibraryAnswer::Delta(two.delta_from(1, &[ready("quake", 2)], &[])));
    assert!(desk.pass(Duration::from_secs(20)).asked().is_empty(), "nothing is missing any more");
}

#[test]
fn a_peer_that_says_something_new_all_the_time_is_asked_now_and_then() {
    let mut desk = desk();
    let mut other = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, _) = desk.arrive(&other, None);
    let (mut asked, mut owed) = (1, 1);
    for n in 0..600u16 {
        let mut batch = Batch(Vec::new());
        if owed > 0 {
            batch = desk.answers(conn, other.snapshot());
            owed -= 1;
        }
        let n = u8::try_from(n % 100).unwrap();
        other = Other { epoch: epoch(u128::from(n)), ..other.with(&[ready("doom", n)]) };
        batch.0.extend(desk.hears(conn, other.summary()).0);
        batch.0.extend(desk.pass(Duration::from_millis(100)).0);
        owed += batch.asked().len();
        asked += batch.asked().len();
        assert!(owed <= 1, "two questions at a time");
    }
    assert!((20..=45).contains(&asked), "{asked} whole libraries in a minute");
    // Once it is quiet, the last word counts.
    while owed > 0 || !desk.pass(Duration::from_secs(3)).asked().is_empty() {
        owed = desk.answers(conn, other.snapshot()).asked().len();
    }
    assert_eq!(desk.view().peers[0].library_rev, other.rev);
}

#[test]
fn a_raised_revision_that_is_only_announced_is_asked_for_when_it_does_not_come() {
    let mut desk = desk();
    let one = Other::new(0x60).with(&[ready("doom", 1)]);
    let conn = desk.meet(&one);
    // Nothing new: no connection, no question, ever.
    assert!(desk.found(&one).is_empty());
    assert!(desk.pass(Duration::from_secs(20)).asked().is_empty());
    let two = one.clone().with(&[ready("doom", 1), ready("quake", 2)]);
    let delta = two.delta_from(1, &[ready("quake", 2)], &[]);
    assert!(desk.found(&two).is_empty(), "it is about to be pushed");
    let batch = desk.pass(Duration::from_secs(20));
    assert!(matches!(batch.asked()[..], [(c, Request::GetLibraryDelta(_))] if c == conn), "{batch:?}");
    desk.answers(conn, LibraryAnswer::Delta(delta));
    assert_eq!(desk.view().peers[0].library_rev, 2);
    // Pushed in time: nothing is asked.
    let three = two.clone().with(&[ready("doom", 1)]);
    desk.found(&three);
    let mut pushed = three.delta_from(2, &[], &[]);
    pushed.removed = vec![crate::desk::game("quake")];
    desk.hears(conn, Control::LibraryDelta(LibraryDeltaMsg { peer_id: one.id, delta: pushed }));
    assert!(desk.pass(Duration::from_secs(20)).asked().is_empty());
}

#[test]
fn a_revision_that_somebody_made_up_costs_a_question_now_and_then() {
    let mut desk = desk();
    let one = Other::new(0x60).with(&[ready("doom", 1)]);
    let conn = desk.meet(&one);
    let mut asked = 0;
    for n in 0..600 {
        desk.found(&Other { rev: 1_000 + n, ..one.clone() });
        let batch = desk.pass(Duration::from_millis(100));
        asked += batch.asked().len();
        if !batch.asked().is_empty() {
            asked += desk.answers(conn, one.snapshot()).asked().len();
        }
        desk.hears(conn, Control::Ping(Ping {}));
    }
    assert!((1..=5).contains(&asked), "{asked} questions in a minute");
}

#[test]
fn a_full_room_makes_place_by_forgetting_who_left() {
    let mut desk = desk();
    for n in 0..1_100u32 {
        let mut other = Other::new(1);
        other.id = peer(0x1_0000 + u128::from(n));
        let (conn, batch) = desk.arrive(&other, None);
        assert_eq!(batch.accepted(), [conn], "newcomer {n}");
        desk.closes(conn, "gone");
        desk.now += 1;
    }
    assert!(desk.view().peers.len() <= 1_024);
}

#[test]
fn a_room_full_of_connected_peers_turns_newcomers_away() {
    let mut desk = desk();
    for n in 0..1_024u32 {
        let mut other = Other::new(1);
        other.id = peer(0x1_0000 + u128::from(n));
        desk.arrive(&other, None);
    }
    let (conn, batch) = desk.arrive(&Other::new(2), None);
    assert_eq!(batch.closed(), [(conn, CloseCode::Overloaded)]);
}

#[test]
fn a_peer_long_gone_is_forgotten() {
    let mut desk = desk();
    let other = Other::new(0x40);
    let conn = desk.meet(&other);
    desk.closes(conn, "gone");
    desk.pass(Duration::from_secs(599));
    assert_eq!(desk.view().peers.len(), 1);
    desk.pass(Duration::from_secs(2));
    assert!(desk.view().peers.is_empty());
}

#[test]
fn shutting_down_says_goodbye_to_everyone_and_stops() {
    let mut desk = desk();
    let conns = [desk.meet(&Other::new(0x40)), desk.meet(&Other::new(0x60))];
    let (reply, batch) = desk.ask(Command::Peer(NodeCommand::ShutDown));
    assert_eq!(reply, Ok(Reply::Done));
    let told: Vec<_> =
        batch.sent().into_iter().filter(|(_, m)| matches!(m, Control::Goodbye(_))).map(|(c, _)| c).collect();
    assert_eq!(told, conns);
    assert!(matches!(batch.0.iter().rev().find(|e| matches!(e, Effect::Stop)), Some(Effect::Stop)));
}

#[test]
fn a_probe_asks_every_connected_peer_and_is_answered_with_what_came() {
    let mut desk = desk();
    desk.meet(&Other::new(0x40));
    let (id, batch) = desk.command(Command::Peer(NodeCommand::Probe));
    assert!(matches!(&batch.0[..], [Effect::Probe(i, targets)] if *i == id && targets.len() == 1));
    desk.give(Input::Probed(id, Vec::new()));
    assert_eq!(desk.answered[&id], Ok(Reply::Probed { results: Vec::new() }));
}

#[test]
fn discovery_that_fails_is_a_problem_told_once_until_it_works_again() {
    let mut desk = desk();
    let batch = desk.give(Input::Discovery(Discovered::Failed(report("discovery_failed"))));
    assert_eq!(batch.events().len(), 1);
    assert!(desk.give(Input::Discovery(Discovered::Failed(report("discovery_failed")))).is_empty());
    assert_eq!(desk.view().problems.len(), 1);
    desk.give(Input::Discovery(Discovered::Works));
    assert!(desk.view().problems.is_empty());
}

#[test]
fn what_is_kept_of_all_libraries_is_bounded_and_the_gone_make_place_first() {
    let mut desk = desk();
    let games: Vec<_> = (0..20_000).map(|n| ready(&format!("g{n:05}"), 1)).collect();
    let other = |n: u8| Other::new(n).with(&games);
    let gone = desk.meet(&other(1));
    desk.closes(gone, "gone");
    for n in 2..13 {
        desk.meet(&other(n));
    }
    let kept = |desk: &Desk, n: u8| {
        let id = Other::new(n).id;
        desk.view().peers.iter().find(|p| p.peer == id).map_or(0, |p| p.games.len())
    };
    assert_eq!(kept(&desk, 1), 20_000);
    desk.meet(&other(13));
    assert_eq!((kept(&desk, 1), kept(&desk, 13)), (0, 20_000));
    desk.meet(&other(14));
    assert_eq!((kept(&desk, 2), kept(&desk, 14)), (20_000, 0));
}
