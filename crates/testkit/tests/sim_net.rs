//! Real QUIC endpoints on the simulated network: what arrives is right, every fault fires, and a seed replays exactly.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bonfire_net::{Announcement, Connection, Discovery, DiscoveryEvent, Endpoint, Identity, NetError, Tuning};
use bonfire_proto::message::{Chunk, GetChunks, Ping};
use bonfire_proto::{Control, Digest, GameId, ManifestHash, PeerId, RelPath, Request, Response};
use bonfire_testkit::sim_net::{Counts, Faults, SimDiscovery, SimNet, simulate};
use bytes::Bytes;
use tokio::sync::mpsc;

const PEERS: u8 = 3;
const CHUNKS: u32 = 8;
const CHUNK_LEN: u32 = 8 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outcome {
    trace: [u8; 32],
    counts: Counts,
    transfers: u32,
    reconnects: u32,
    took: Duration,
}

/// Numbers from a seed, for the scenario itself.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4000))
}

fn ip(n: u8) -> IpAddr {
    addr(n).ip()
}

fn content(of: u8, index: u32) -> Vec<u8> {
    (0..CHUNK_LEN).map(|i| u8::try_from((i.wrapping_mul(31) ^ (index * 7) ^ u32::from(of)) & 0xff).unwrap()).collect()
}

fn endpoint(net: &SimNet, n: u8, seed: u64) -> Endpoint {
    let identity = Identity::from_seed([n; 32]);
    Endpoint::over(identity, net.socket(addr(n)), net.runtime(), seed, Tuning::default()).unwrap()
}

async fn serve(endpoint: Endpoint, n: u8) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            // A dialler that gives up is its own affair: it comes again.
            let Ok(connection) = incoming.handshake().await else { return };
            let Ok(_control) = connection.accept_control().await else { return };
            while let Ok(stream) = connection.accept_stream().await {
                tokio::spawn(async move {
                    let Ok(served) = stream.read_request().await else { return };
                    let Ok(Request::GetChunks(asked)) = served.request else { panic!("{:?}", served.request) };
                    let mut reply = served.reply;
                    for index in asked.first..asked.first + asked.count {
                        let chunk = Chunk { index, len: CHUNK_LEN, hash: Digest([0; 32]) };
                        if reply.send(&Response::Chunk(chunk)).await.is_err() {
                            return;
                        }
                        if reply.send_bytes(Bytes::from(content(n, index))).await.is_err() {
                            return;
                        }
                    }
                    reply.finish();
                });
            }
        });
    }
}

async fn fetch_some(connection: &Connection, of: u8, done: &mut u32) -> Result<(), NetError> {
    let (mut control, _rx) = connection.open_control().await?;
    control.send(&Control::Ping(Ping {})).await?;
    let request = Request::GetChunks(GetChunks {
        game_id: GameId::new("game").unwrap(),
        manifest_hash: ManifestHash(Digest([1; 32])),
        path: RelPath::new("a.eti").unwrap(),
        first: *done,
        count: CHUNKS - *done,
    });
    let mut answer = connection.request(&request).await?;
    while let Some(frame) = answer.next().await? {
        let Response::Chunk(chunk) = frame else { panic!("{frame:?}") };
        assert_eq!((chunk.index, chunk.len), (*done, CHUNK_LEN));
        let mut bytes = Vec::new();
        while bytes.len() < CHUNK_LEN as usize {
            let piece = answer.read_raw(CHUNK_LEN as usize - bytes.len()).await?.expect("the whole chunk");
            bytes.extend_from_slice(&piece);
        }
        assert_eq!(bytes, content(of, chunk.index), "chunk {} of {of}", chunk.index);
        *done += 1;
    }
    Ok(())
}

/// Fetches a whole blob however often the network breaks; says how often it had to connect again.
async fn fetch(endpoint: Endpoint, of: u8, pin: PeerId) -> u32 {
    let (mut done, mut reconnects) = (0, 0);
    while done < CHUNKS {
        if let Ok(connection) = endpoint.connect(addr(of), Some(pin)).await
            && fetch_some(&connection, of, &mut done).await.is_ok()
        {
            break;
        }
        reconnects += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    reconnects
}

fn room(seed: u64) -> Outcome {
    simulate(async move {
        let mut dice = Dice(seed);
        let faults = Faults {
            loss: f64::from(u32::try_from(dice.below(9)).unwrap()) / 100.0,
            duplicate: f64::from(u32::try_from(dice.below(6)).unwrap()) / 100.0,
            delay: (Duration::from_micros(200), Duration::from_micros(200 + dice.below(25_000))),
        };
        let net = SimNet::new(seed, faults);
        let endpoints: Vec<Endpoint> = (1..=PEERS).map(|n| endpoint(&net, n, seed)).collect();
        for (endpoint, n) in endpoints.iter().zip(1..) {
            tokio::spawn(serve(endpoint.clone(), n));
        }
        let weather = net.clone();
        tokio::spawn(async move {
            for _ in 0..dice.below(4) {
                tokio::time::sleep(Duration::from_millis(dice.below(60))).await;
                let (a, b) = (1 + dice.below(3), 1 + dice.below(3));
                let (a, b) = (u8::try_from(a).unwrap(), u8::try_from(b).unwrap());
                weather.cut(ip(a), ip(b));
                tokio::time::sleep(Duration::from_millis(dice.below(45_000))).await;
                weather.heal_all();
            }
        });
        let mut fetches = tokio::task::JoinSet::new();
        for (endpoint, n) in endpoints.iter().zip(1..) {
            for of in (1..=PEERS).filter(|of| *of != n) {
                fetches.spawn(fetch(endpoint.clone(), of, Identity::from_seed([of; 32]).peer_id()));
            }
        }
        let (mut transfers, mut reconnects) = (0, 0);
        while let Some(done) = fetches.join_next().await {
            reconnects += done.unwrap();
            transfers += 1;
        }
        Outcome { trace: net.trace(), counts: net.counts(), transfers, reconnects, took: net.elapsed() }
    })
}

#[test]
fn two_hundred_rooms_arrive_whole_and_replay_packet_for_packet() {
    let workers: Vec<_> = (0..2u64)
        .map(|half| {
            std::thread::spawn(move || {
                let mut seen = Vec::new();
                for seed in (half..200).step_by(2) {
                    let first = room(seed);
                    let second = room(seed);
                    assert_eq!(first, second, "seed {seed} did not replay");
                    assert_eq!(first.transfers, 6, "seed {seed}");
                    seen.push(first);
                }
                seen
            })
        })
        .collect();
    let seen: Vec<Outcome> = workers.into_iter().flat_map(|w| w.join().unwrap()).collect();
    let sum = |what: fn(&Outcome) -> u64| seen.iter().map(what).sum::<u64>();
    let fired = [
        ("lost", sum(|o| o.counts.lost)),
        ("duplicated", sum(|o| o.counts.duplicated)),
        ("reordered", sum(|o| o.counts.reordered)),
        ("cut", sum(|o| o.counts.cut)),
        ("reconnects", sum(|o| o.reconnects.into())),
    ];
    eprintln!("{} rooms, {} datagrams, fired: {fired:?}", seen.len(), sum(|o| o.counts.sent));
    for (fault, count) in fired {
        assert!(count > 0, "{fault} never happened");
    }
    let mut traces: Vec<[u8; 32]> = seen.iter().map(|o| o.trace).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 200, "different seeds are different rooms");
}

#[test]
fn a_cancelled_dial_sends_nothing_more() {
    simulate(async {
        let net = SimNet::new(1, Faults::none());
        let a = endpoint(&net, 1, 1);
        // Somebody is there and never answers.
        let _black_hole = net.socket(addr(9));
        let before = tokio::time::Instant::now();
        let dial = tokio::time::timeout(Duration::from_millis(1500), a.connect(addr(9), None));
        assert!(dial.await.is_err());
        assert_eq!(before.elapsed(), Duration::from_millis(1500), "cancelled at once");
        let sent = net.counts().sent;
        assert!(sent >= 2, "it had tried, and tried again: {sent}");
        tokio::time::sleep(Duration::from_secs(600)).await;
        let after = net.counts().sent - sent;
        assert!(after <= 1, "at most the word that it is over: {after}");
        let dial = a.connect(addr(9), None).await;
        assert!(matches!(dial, Err(NetError::HandshakeTimeout { .. })), "{dial:?}");
        assert_eq!(before.elapsed(), Duration::from_millis(606_500), "given up after 5 s");
    });
}

#[test]
fn a_silent_connection_ends_after_the_idle_limit_and_costs_nothing_before() {
    simulate(async {
        let net = SimNet::new(1, Faults::none());
        let (a, b) = (endpoint(&net, 1, 1), endpoint(&net, 2, 1));
        let (dialed, accepted) =
            tokio::join!(a.connect(addr(2), None), async { b.accept().await.unwrap().handshake().await });
        let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
        tokio::time::sleep(Duration::from_secs(5)).await;
        let (sent, quiet) = (net.counts().sent, tokio::time::Instant::now());
        let (x, y) = tokio::join!(dialed.closed(), accepted.closed());
        assert_eq!((x.code, x.by_peer, y.code), (None, false, None), "{x} {y}");
        assert!(quiet.elapsed() >= Duration::from_secs(80), "{:?}", quiet.elapsed());
        assert_eq!(net.counts().sent, sent, "an idle connection sends nothing");
    });
}

#[test]
fn a_cut_link_is_told_from_a_stopped_peer_only_by_time() {
    simulate(async {
        let net = SimNet::new(1, Faults::none());
        let (a, b) = (endpoint(&net, 1, 1), endpoint(&net, 2, 1));
        tokio::spawn(serve(b, 2));
        net.cut_one_way(ip(2), ip(1));
        let dial = a.connect(addr(2), None).await;
        assert!(matches!(dial, Err(NetError::HandshakeTimeout { .. })), "{dial:?}");
        assert!(net.counts().cut > 0);
        net.heal(ip(1), ip(2));
        a.connect(addr(2), None).await.unwrap();
        net.unplug(addr(2));
        let dial = a.connect(addr(2), None).await;
        assert!(matches!(dial, Err(NetError::HandshakeTimeout { .. })), "{dial:?}");
        assert!(net.counts().unreachable > 0);
    });
}

fn announcement(n: u8, rev: u64) -> Announcement {
    Announcement {
        peer_id: Identity::from_seed([n; 32]).peer_id(),
        port: 4000,
        proto_ver: 1,
        library_rev: rev,
        library_epoch: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        hostname: format!("bonfire-{n}"),
    }
}

fn member(air: &SimDiscovery, n: u8) -> (Arc<dyn Discovery>, mpsc::Receiver<DiscoveryEvent>) {
    let (tx, rx) = mpsc::channel(16);
    (air.join(addr(n), tx), rx)
}

fn rev_of(event: Option<DiscoveryEvent>) -> (PeerId, u64) {
    match event {
        Some(DiscoveryEvent::Found { peer_id, library_rev, .. }) => (peer_id, library_rev),
        other => panic!("{other:?}"),
    }
}

#[test]
fn discovery_reaches_whom_the_network_reaches() {
    simulate(async {
        let net = SimNet::new(1, Faults::none());
        let air = SimDiscovery::new(net.clone());
        let (one, mut hears_one) = member(&air, 1);
        let (two, mut hears_two) = member(&air, 2);
        net.cut(ip(1), ip(3));
        let (_three, mut hears_three) = member(&air, 3);
        let id = |n: u8| Identity::from_seed([n; 32]).peer_id();
        one.announce(&announcement(1, 1)).unwrap();
        assert_eq!(rev_of(hears_two.recv().await), (id(1), 1));
        one.announce(&announcement(1, 1)).unwrap();
        one.announce(&announcement(1, 2)).unwrap();
        assert_eq!(rev_of(hears_two.recv().await), (id(1), 2), "the same again costs nothing");
        assert!(hears_three.try_recv().is_err(), "nothing comes through a cut");
        net.heal_all();
        assert_eq!(rev_of(hears_three.recv().await), (id(1), 2), "heard once the link is mended");
        two.announce(&announcement(2, 7)).unwrap();
        assert_eq!(rev_of(hears_one.recv().await), (id(2), 7));
        assert_eq!(rev_of(hears_three.recv().await), (id(2), 7));
        let (_late, mut hears_late) = member(&air, 4);
        assert_eq!(rev_of(hears_late.recv().await), (id(1), 2), "a newcomer hears what stands");
        assert_eq!(rev_of(hears_late.recv().await), (id(2), 7));
        two.shutdown();
        assert_eq!(hears_one.recv().await, Some(DiscoveryEvent::Lost { peer_id: id(2) }));
        let before = tokio::time::Instant::now();
        air.vanish(addr(1));
        assert_eq!(hears_two.recv().await, None, "a member that left hears nothing");
        assert_eq!(hears_three.recv().await, Some(DiscoveryEvent::Lost { peer_id: id(2) }));
        assert_eq!(hears_three.recv().await, Some(DiscoveryEvent::Lost { peer_id: id(1) }));
        assert!(before.elapsed() >= Duration::from_secs(90), "forgotten only after a while: {:?}", before.elapsed());
    });
}
