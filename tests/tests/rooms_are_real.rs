//! The room itself does what the scenarios rely on: links carry multicast, can be cut, split, slowed and made lossy, and
//! nothing of it is left behind.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bonfire_tests::Room;
use bonfire_tests::link::Link;
use bonfire_tests::namespace::Namespace;

const MULTICAST: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Runs on a thread of its own inside a cable's namespace.
fn inside<T: Send + 'static>(link: &Link, work: impl FnOnce() -> T + Send + 'static) -> std::thread::JoinHandle<T> {
    let path = link.path();
    std::thread::spawn(move || {
        Namespace::enter(&path);
        work()
    })
}

/// Sends a UDP packet from one cable to another, or to everyone, and says whether it arrived.
fn carries(from: &Link, to: &Link, target: Ipv4Addr) -> bool {
    let (ready, is_ready) = mpsc::channel();
    let listener = inside(to, move || {
        let socket = UdpSocket::bind("0.0.0.0:5999").unwrap();
        if target.is_multicast() {
            socket.join_multicast_v4(&target, &Ipv4Addr::UNSPECIFIED).unwrap();
        }
        socket.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
        ready.send(()).unwrap();
        socket.recv(&mut [0; 9]).is_ok()
    });
    is_ready.recv().unwrap();
    inside(from, move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        // An unreachable target is an answer too.
        let _ = socket.send_to(b"x", SocketAddrV4::new(target, 5999));
    })
    .join()
    .unwrap();
    listener.join().unwrap()
}

#[test]
fn a_room_carries_what_it_should_and_nothing_else() {
    let Some(room) = Room::new("self") else { return };
    let (a, b) = (room.cable("a"), room.cable("b"));
    assert!(carries(&a, &b, B), "unicast");
    assert!(carries(&a, &b, MULTICAST), "multicast");
    b.cut();
    assert!(!carries(&a, &b, B), "a cut link carries nothing");
    b.heal();
    assert!(carries(&a, &b, B), "a healed link carries again");
    b.move_away();
    assert!(!carries(&a, &b, B), "the other side of a partition is out of reach");
    a.move_away();
    assert!(carries(&a, &b, B), "both on the far switch");
    a.heal();
    b.heal();
    b.unplug();
    assert!(!carries(&a, &b, B), "an unplugged link carries nothing");
    b.heal();
    b.lose(100);
    assert!(!carries(&a, &b, B), "a link that loses everything carries nothing");
    assert!(b.lost() >= 1, "the loss counts what it took");
    b.lose(0);
    assert!(carries(&a, &b, B), "the loss ends");
    assert_eq!(b.namespace().ip(&["-6", "addr", "show", "dev", "eth0", "scope", "link"]).matches("fe80").count(), 1);
}

#[test]
fn a_shaped_link_is_slow() {
    let Some(room) = Room::new("shape") else { return };
    let (a, b) = (room.cable("a"), room.cable("b"));
    b.shape(100);
    let (ready, is_ready) = mpsc::channel();
    let server = inside(&b, move || {
        let listener = TcpListener::bind("0.0.0.0:5998").unwrap();
        ready.send(()).unwrap();
        listener.accept().unwrap().0.read_to_end(&mut Vec::new()).unwrap()
    });
    is_ready.recv().unwrap();
    let start = Instant::now();
    inside(&a, || TcpStream::connect((B, 5998)).unwrap().write_all(&vec![0; 5_000_000]).unwrap()).join().unwrap();
    assert_eq!(server.join().unwrap(), 5_000_000);
    let mbit = 40.0 / start.elapsed().as_secs_f64();
    assert!((30.0..130.0).contains(&mbit), "{mbit} Mbit/s over a link of 100");
}

#[test]
fn nothing_of_a_room_is_left_behind_even_after_a_panic() {
    let ours = |name: &str| name.starts_with(&format!("bf{}x", std::process::id()));
    let left = || {
        std::fs::read_dir("/run/netns")
            .map(|names| names.flatten().filter(|e| ours(&e.file_name().to_string_lossy())).count())
            .unwrap_or(0)
    };
    let outcome = std::thread::spawn(|| {
        let Some(room) = Room::alone("gone") else { return };
        let _a = room.cable("a");
        panic!("on purpose");
    })
    .join();
    // Another room of this process may stand at present; it holds the lock, so ask for a turn to know that none does.
    if outcome.is_err() {
        let Some(room) = Room::alone("after") else { return };
        assert_eq!(left(), 1, "only the new room's switch");
        drop(room);
    }
}
