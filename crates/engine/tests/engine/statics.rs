//! Peers named by address.

use std::collections::BTreeMap;
use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, NodeCommand, Reply};
use bonfire_engine::input::{ConnInput, DialId, Input};
use bonfire_proto::CloseCode;

use crate::desk::{Batch, Desk, ME, Other, addr, peer, report};

fn desk() -> (Desk, DialId) {
    let mut desk = Desk::raw(ME, BTreeMap::new(), vec![addr(7)]);
    let batch = desk.give(Input::Listening(addr(200)));
    let dial = batch.dials()[0].0;
    assert_eq!(batch.dials()[0].1, [addr(7)]);
    (desk, dial)
}

fn refused(batch: &Batch) -> usize {
    batch.events().into_iter().filter(|e| matches!(e, PeerEvent::PeerRefused { .. })).count()
}

#[test]
fn a_static_address_is_tried_with_backoff_and_told_of_once() {
    let (mut desk, mut dial) = desk();
    let (mut told, mut waits) = (0, Vec::new());
    for _ in 0..8 {
        told += refused(&desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable")))));
        let (at, why) = desk.engine.next_deadline().unwrap();
        assert_eq!(why, "dial");
        waits.push((at.0 - desk.now) / 1_000);
        desk.now = at.0;
        dial = desk.give(Input::Deadline).dials()[0].0;
    }
    assert_eq!(told, 1);
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
}

#[test]
fn a_static_peer_that_is_lost_is_dialled_again() {
    let (mut desk, dial) = desk();
    let other = Other { addr: addr(7), ..Other::new(0x60) };
    let (conn, _) = desk.arrive(&other, Some(dial));
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());
    desk.closes(conn, "gone");
    let batch = desk.pass(Duration::from_secs(2));
    assert_eq!(batch.dials().len(), 1);
    assert_eq!(batch.dials()[0].1, [addr(7)]);
}

#[test]
fn a_static_address_that_is_oneself_is_dropped() {
    let (mut desk, dial) = desk();
    let myself = Other { id: peer(ME), ..Other::new(1) };
    let (conn, batch) = desk.arrive(&myself, Some(dial));
    assert_eq!(batch.closed(), [(conn, CloseCode::Oneself)]);
    assert!(desk.pass(Duration::from_secs(600)).dials().is_empty());
}

#[test]
fn a_static_address_that_proves_to_be_somebody_else_is_tried_rarely_and_told_of_once() {
    let (mut desk, mut dial) = desk();
    let other = Other::new(0x60);
    let mut told = 0;
    for _ in 0..5 {
        let (conn, batch) = desk.arrive_as(peer(0x61), other.hello(), other.addr, Some(dial));
        assert_eq!(batch.closed(), [(conn, CloseCode::WrongIdentity)]);
        told += refused(&batch);
        let batch = desk.pass(Duration::from_secs(29));
        assert!(batch.dials().is_empty(), "{batch:?}");
        dial = desk.pass(Duration::from_secs(2)).dials()[0].0;
    }
    assert_eq!(told, 1);
}

#[test]
fn a_static_address_of_a_peer_that_is_connected_already_stays_quiet() {
    let (mut desk, dial) = desk();
    let other = Other { addr: addr(7), ..Other::new(0x40) };
    let conn = desk.meet(&other);
    let (second, batch) = desk.arrive(&other, Some(dial));
    assert_eq!(batch.closed(), [(second, CloseCode::Duplicate)]);
    assert_eq!(desk.link(&other), Some(conn));
    assert!(desk.pass(Duration::from_secs(25)).dials().is_empty());
    desk.closes(conn, "gone");
    assert_eq!(desk.pass(Duration::from_secs(2)).dials().len(), 1);
}

#[test]
fn a_static_peer_that_dials_us_first_after_a_loss_leaves_no_deadline_behind() {
    let (mut desk, dial) = desk();
    let other = Other { addr: addr(7), ..Other::new(0x60) };
    let (conn, _) = desk.arrive(&other, Some(dial));
    desk.closes(conn, "gone");
    desk.meet(&other);
    // `pass` fails on a deadline that comes again and again, `give` on one in the past.
    assert!(desk.pass(Duration::from_secs(29)).dials().is_empty());
}

#[test]
fn the_same_address_twice_is_one() {
    let (mut desk, _) = desk();
    assert!(desk.add_peer(addr(7)).dials().is_empty());
    assert_eq!(desk.add_peer(addr(8)).dials().len(), 1);
}

#[test]
fn too_many_static_addresses_are_refused() {
    let (mut desk, _) = desk();
    for n in 0..255u16 {
        let (reply, _) = desk.ask(Command::Peer(NodeCommand::AddPeer { addr: ([10, 9, 0, 1], 1_000 + n).into() }));
        assert_eq!(reply, Ok(Reply::Done));
    }
    let (reply, _) = desk.ask(Command::Peer(NodeCommand::AddPeer { addr: addr(9) }));
    assert_eq!(reply.unwrap_err().code, "too_many_peers");
}

#[test]
fn a_static_address_from_which_its_peer_has_come_is_not_dialled() {
    let (mut desk, dial) = desk();
    let other = Other { addr: addr(7), ..Other::new(0x60) };
    desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    let conn = desk.meet(&other);
    assert!(desk.pass(Duration::from_secs(25)).dials().is_empty());
    desk.closes(conn, "gone");
    assert_eq!(desk.pass(Duration::from_secs(2)).dials().len(), 1);
}

#[test]
fn an_address_that_is_also_announced_is_dialled_once_at_a_time() {
    let (mut desk, dial) = desk();
    let other = Other { addr: addr(7), ..Other::new(0x60) };
    assert!(desk.found(&other).dials().is_empty(), "the static dial is under way");
    assert!(desk.pass(Duration::from_secs(3)).dials().is_empty());
    desk.arrive(&other, Some(dial));
    assert!(desk.pass(Duration::from_secs(20)).dials().is_empty());

    let (mut desk, dial) = self::desk();
    desk.found(&other);
    desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    let batch = desk.pass(Duration::from_millis(600));
    assert_eq!(batch.dials().len(), 1, "{batch:?}");
    assert_eq!(batch.dials()[0].2, Some(other.id));
    assert!(desk.pass(Duration::from_secs(3)).dials().is_empty(), "and now the announced one is");
    let dial = batch.dials()[0].0;
    desk.give(Input::Conn(ConnInput::DialFailed(dial, report("unreachable"))));
    assert!(!desk.pass(Duration::from_secs(2)).dials().is_empty());
}
