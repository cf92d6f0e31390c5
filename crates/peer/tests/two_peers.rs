//! Two whole peers of one process over loopback QUIC: the smallest room.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "a test may stop at the first surprise")]

#[allow(dead_code, reason = "other tests use the rest of it")]
mod seat;

use bonfire_engine::ErrorClass;
use bonfire_proto::Availability;

use seat::{Seat, payload, small};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_game_is_seen_and_fetched_whole() {
    let host = Seat::new("host", vec![]).await;
    small(&host.root("doom"));
    host.add("doom").await;
    let mut guest = Seat::new("guest", vec![host.addr()]).await;
    guest
        .when("the game", |s| s.peers.iter().any(|p| p.games.iter().any(|g| g.availability == Availability::Ready)))
        .await;
    guest.get("doom").await.unwrap();
    guest.finished().await;
    assert_eq!(payload(&guest.root("doom")), payload(&host.root("doom")));
    // Whoever fetched it serves it on.
    host.offered("doom", 1).await;
    let error = guest.get("doom").await.unwrap_err();
    assert_eq!((error.class, error.code.as_str()), (ErrorClass::Refused, "already_here"));
    host.stop().await;
    guest.stop().await;
}
