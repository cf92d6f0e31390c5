//! A peer whose announcement arrives in part is heard all the same. Alone in its file: a question of another daemon at the
//! same time could have the missing part sent early, and the test would prove less.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bonfire_net::{DiscoveryEvent, Identity, Mdns};
use bonfire_proto::PeerId;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
const SERVICE: &str = "_bonfire._udp.local";
const EPOCH: &str = "00000000-0000-4000-8000-000000000001";

/// What the responder did, in order.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Answered without its TXT record.
    Half,
    /// Was told in a question that its name is known: the half was heard, and no more of it will come by itself.
    Known,
    /// Answered with all of it.
    Whole,
}

/// A responder that leaves its TXT record out of answers, as one does that sent it within the last second, until the
/// half is known; whoever then asks as if for the first time is told all of it.
struct Responder {
    peer_id: PeerId,
    socket: UdpSocket,
    steps: mpsc::UnboundedSender<Step>,
}

impl Responder {
    fn bind(peer_id: PeerId, steps: mpsc::UnboundedSender<Step>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        #[cfg(unix)]
        socket.set_reuse_port(true).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into()).unwrap();
        // One of the two is enough: a machine without a network has no default interface.
        let joined =
            [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST].map(|at| socket.join_multicast_v4(&GROUP, &at).is_ok());
        assert!(joined.contains(&true), "no interface takes multicast");
        Self { peer_id, socket: UdpSocket::from_std(socket.into()).unwrap(), steps }
    }

    async fn run(self) {
        let mut buffer = [0; 9_000];
        let mut is_known = false;
        loop {
            let len = self.socket.recv(&mut buffer).await.unwrap();
            let heard = &buffer[..len];
            if !contains(heard, &name(SERVICE)[..SERVICE.len()]) || heard[2] & 0x80 != 0 {
                continue;
            }
            let step = match contains(heard, self.peer_id.to_string().as_bytes()) {
                true => Step::Known,
                false if is_known => Step::Whole,
                false => Step::Half,
            };
            let answers = step != Step::Known;
            // Before the answer: once that is heard, nobody waits for this task any more.
            if self.steps.send(step).is_err() {
                return;
            }
            if answers {
                self.answer(is_known).await;
            }
            is_known |= !answers;
        }
    }

    async fn answer(&self, is_whole: bool) {
        let (instance, host) = (format!("{}.{SERVICE}", self.peer_id), "bonfire-half.local");
        let mut records = vec![
            record(SERVICE, 12, 1, &name(&instance)),
            record(&instance, 33, 0x8001, &[&[0, 0, 0, 0], &4_021u16.to_be_bytes()[..], &name(host)].concat()),
            record(host, 1, 0x8001, &[10, 77, 0, 9]),
        ];
        if is_whole {
            let texts = [
                format!("peer_id={}", self.peer_id),
                "proto_ver=1".to_owned(),
                "library_rev=2".to_owned(),
                format!("library_epoch={EPOCH}"),
                "hostname=half".to_owned(),
            ];
            let text: Vec<u8> = texts.iter().flat_map(|t| label(t)).collect();
            records.push(record(&instance, 16, 0x8001, &text));
        }
        let count = u8::try_from(records.len()).unwrap();
        let packet = [&[0, 0, 0x84, 0, 0, 0, 0, count, 0, 0, 0, 0][..], &records.concat()].concat();
        let socket = socket2::SockRef::from(&self.socket);
        for at in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST] {
            socket.set_multicast_if_v4(&at).unwrap();
            // As with joining: no way out through one of them is no obstacle.
            let _ = self.socket.send_to(&packet, (GROUP, PORT)).await;
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

fn label(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn name(dotted: &str) -> Vec<u8> {
    dotted.split('.').flat_map(label).chain([0]).collect()
}

/// A resource record with a time to live of two minutes.
fn record(owner: &str, kind: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let len = u16::try_from(data.len()).unwrap();
    let head = [kind.to_be_bytes(), class.to_be_bytes(), [0, 0], [0, 120], len.to_be_bytes()].concat();
    [name(owner), head, data.to_vec()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_whose_announcement_came_without_its_txt_record_is_asked_for_it_and_heard() {
    let peer_id = Identity::generate().unwrap().peer_id();
    let (tx, mut steps) = mpsc::unbounded_channel();
    let responder = tokio::spawn(Responder::bind(peer_id, tx).run());
    let (tx, mut rx) = mpsc::channel(64);
    let _mdns = Mdns::start(tx);
    let heard = timeout(Duration::from_secs(60), async {
        while let Some(event) = rx.recv().await {
            if matches!(event, DiscoveryEvent::Found { peer_id: id, library_rev: 2, .. } if id == peer_id) {
                return;
            }
        }
        panic!("discovery ended");
    });
    let heard = heard.await;
    responder.abort();
    let mut all = Vec::new();
    while let Ok(step) = steps.try_recv() {
        all.push(step);
    }
    println!("{all:?}");
    heard.expect("the peer is heard");
    assert_eq!(all[0], Step::Half, "the first answer lacked the record");
    assert!(all.contains(&Step::Whole), "{all:?}");
}
