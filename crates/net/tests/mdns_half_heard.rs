//! A peer whose announcement arrives in part is heard all the same. Alone in its file: any other daemon's questions at
//! the same time would have the missing part sent.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::Duration;

use bonfire_net::{Announcement, Discovery, DiscoveryEvent, Identity, Mdns};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// A responder leaves out of an answer what it multicast within the last second. Two changes within one second set its
/// TXT record apart from the others, so who asks 1.5 to 2 seconds after the second is answered without it. The times here
/// are the input: on a machine that stalls the test proves less and still passes.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_starts_right_after_two_changes_of_another_hears_it() {
    let a = Identity::generate().unwrap();
    let announcement = |library_rev| Announcement {
        peer_id: a.peer_id(),
        port: 4021,
        proto_ver: 1,
        library_rev,
        library_epoch: "00000000-0000-4000-8000-000000000001".parse().unwrap(),
        hostname: format!("bonfire-{}", a.peer_id().short()),
    };
    let (tx_a, _rx_a) = mpsc::channel(64);
    let mdns_a = Mdns::start(tx_a);
    mdns_a.announce(&announcement(1)).unwrap();
    sleep(Duration::from_millis(600)).await;
    mdns_a.announce(&announcement(2)).unwrap();
    sleep(Duration::from_millis(1_750)).await;
    let (tx_b, mut rx_b) = mpsc::channel(64);
    let _mdns_b = Mdns::start(tx_b);
    let heard = timeout(Duration::from_secs(30), async {
        while let Some(event) = rx_b.recv().await {
            if matches!(event, DiscoveryEvent::Found { peer_id, library_rev: 2, .. } if peer_id == a.peer_id()) {
                return;
            }
        }
        panic!("discovery ended");
    });
    heard.await.expect("the peer is heard");
}
