//! Two daemons on one machine hear each other, over its loopback interface if it has no other.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use bonfire_net::{Announcement, Discovery, DiscoveryEvent, Identity, Mdns};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

fn announcement(identity: &Identity, port: u16, library_rev: u64) -> Announcement {
    Announcement {
        peer_id: identity.peer_id(),
        port,
        proto_ver: 1,
        library_rev,
        library_epoch: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        hostname: format!("bonfire-{}", identity.peer_id().short()),
    }
}

/// Waits for a `Found` that fits, through others that come on the way; says how long it took.
async fn found(rx: &mut mpsc::Receiver<DiscoveryEvent>, identity: &Identity, port: u16, rev: u64) -> Duration {
    let began = Instant::now();
    let wait = timeout(Duration::from_secs(20), async {
        while let Some(event) = rx.recv().await {
            if let DiscoveryEvent::Found { peer_id, addrs, library_rev, .. } = event
                && peer_id == identity.peer_id()
                && library_rev == rev
                && addrs.iter().all(|a| a.port() == port)
            {
                return;
            }
        }
        panic!("discovery ended");
    });
    assert!(wait.await.is_ok(), "port {port} with revision {rev} was not heard");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_revision_reaches_browsers_quickly_and_a_goodbye_is_heard() {
    let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (tx_a, mut rx_a) = mpsc::channel(64);
    let (tx_b, mut rx_b) = mpsc::channel(64);
    let (mdns_a, mdns_b) = (Mdns::start(tx_a), Mdns::start(tx_b));
    mdns_a.announce(&announcement(&a, 4001, 1)).unwrap();
    mdns_b.announce(&announcement(&b, 4002, 1)).unwrap();
    let (first_b, first_a) = tokio::join!(found(&mut rx_b, &a, 4001, 1), found(&mut rx_a, &b, 4002, 1));
    let mut slowest = Duration::ZERO;
    for rev in 2..8 {
        mdns_a.announce(&announcement(&a, 4001, rev)).unwrap();
        slowest = slowest.max(found(&mut rx_b, &a, 4001, rev).await);
    }
    mdns_a.announce(&announcement(&a, 4003, 8)).unwrap();
    let moved = found(&mut rx_b, &a, 4003, 8).await;
    eprintln!("found after {first_a:?} and {first_b:?}; revision after {slowest:?} at most; new port after {moved:?}");
    drop(mdns_a);
    let lost = timeout(Duration::from_secs(20), async {
        while let Some(event) = rx_b.recv().await {
            if event == (DiscoveryEvent::Lost { peer_id: a.peer_id() }) {
                return;
            }
        }
        panic!("discovery ended");
    });
    lost.await.expect("the goodbye is heard");
    drop(mdns_b);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_late_hears_those_who_were_there() {
    let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let (tx_a, _rx_a) = mpsc::channel(64);
    let mdns_a = Mdns::start(tx_a);
    mdns_a.announce(&announcement(&a, 4011, 5)).unwrap();
    mdns_a.announce(&announcement(&a, 4011, 6)).unwrap();
    let (tx_b, mut rx_b) = mpsc::channel(64);
    let mdns_b = Mdns::start(tx_b);
    mdns_b.announce(&announcement(&b, 4012, 1)).unwrap();
    found(&mut rx_b, &a, 4011, 6).await;
}
