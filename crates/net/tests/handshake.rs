//! Who gets through the handshake and who does not.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::Duration;

use bonfire_engine::ErrorClass;
use bonfire_net::{Identity, NetError, Tuning};
use bonfire_proto::message::{Ping, Pong, ProbeBack, Request};
use bonfire_proto::{CloseCode, Control, Digest};
use rustls::pki_types::CertificateDer;
use support::{Stranger, accepted, connected, hasty, id_of, peer};

#[tokio::test]
async fn both_sides_prove_who_they_are() {
    let (a, b) = (peer(1, "127.0.0.1:0", Tuning::default()), peer(2, "127.0.0.1:0", Tuning::default()));
    let (dialed, accepted) = connected(&a, &b).await;
    assert_eq!((dialed.peer_id(), accepted.peer_id()), (id_of(2), id_of(1)));
    assert_eq!(accepted.key_hash(), Identity::from_seed([1; 32]).key_hash());
    assert!(dialed.we_dialed() && !accepted.we_dialed());
    assert_eq!(dialed.remote_addr(), b.local_addr().unwrap());
    assert_eq!(accepted.remote_addr(), a.local_addr().unwrap());
    let (x, y) = (dialed.exporter(b"pair", b"x").unwrap(), accepted.exporter(b"pair", b"x").unwrap());
    assert_eq!(x, y, "both ends export the same");
    assert_ne!(x, dialed.exporter(b"pair", b"y").unwrap());
}

#[tokio::test]
async fn ipv4_and_ipv6_reach_one_socket() {
    let b = peer(2, "[::]:0", Tuning::default());
    let port = b.local_addr().unwrap().port();
    for (from, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("[::]:0", "::1")] {
        let a = peer(1, from, Tuning::default());
        let to = std::net::SocketAddr::new(to.parse().unwrap(), port);
        let (dialed, accepted) = tokio::join!(a.connect(to, Some(id_of(2))), accepted(&b));
        assert_eq!(dialed.unwrap().remote_addr(), to, "from {from}");
        assert_eq!(accepted.remote_addr().ip(), to.ip(), "IPv4 shows as IPv4, from {from}");
    }
}

#[tokio::test]
async fn an_address_family_that_the_socket_lacks_is_said() {
    let a = peer(1, "127.0.0.1:0", Tuning::default());
    let error = a.connect("[::1]:4000".parse().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, NetError::Undialable { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Unreachable);
}

#[tokio::test]
async fn somebody_else_than_expected_fails_inside_the_handshake() {
    let (a, b) = (peer(1, "127.0.0.1:0", hasty()), peer(2, "127.0.0.1:0", hasty()));
    let there = b.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let mut outcomes = Vec::new();
        for _ in 0..2 {
            outcomes.push(b.accept().await.unwrap().handshake().await.is_err());
        }
        outcomes
    });
    let error = a.connect(there, Some(id_of(3))).await.unwrap_err();
    assert!(matches!(error, NetError::WrongIdentity { proven, .. } if proven == id_of(2)), "{error}");
    assert!(!error.is_retryable());
    let mut pin = Identity::from_seed([2; 32]).key_hash();
    pin.0 = Digest({
        let mut bytes = pin.0.0;
        bytes[31] ^= 1;
        bytes
    });
    let error = a.connect_pinned(there, pin).await.unwrap_err();
    assert!(matches!(error, NetError::WrongIdentity { .. }), "the id fits, the pin does not: {error}");
    assert_eq!(accepting.await.unwrap(), [true, true], "the other side had no connection either");
}

#[tokio::test]
async fn the_pinned_peer_gets_through() {
    let (a, b) = (peer(1, "127.0.0.1:0", Tuning::default()), peer(2, "127.0.0.1:0", Tuning::default()));
    let pin = Identity::from_seed([2; 32]).key_hash();
    let (dialed, _accepted) = tokio::join!(a.connect_pinned(b.local_addr().unwrap(), pin), accepted(&b));
    assert_eq!(dialed.unwrap().key_hash(), pin);
}

/// The error on our side when the stranger dials.
async fn refused(stranger: Stranger) -> NetError {
    let ours = peer(2, "127.0.0.1:0", hasty());
    let there = ours.local_addr().unwrap();
    let (theirs, at_ours) = tokio::join!(
        async {
            // In TLS 1.3 the dialler is through before the other side looked at its certificate.
            match stranger.dial(there).await {
                Ok(connection) => connection.closed().await,
                Err(e) => e,
            }
        },
        async { ours.accept().await.unwrap().handshake().await }
    );
    assert!(matches!(theirs, quinn::ConnectionError::ConnectionClosed(_)), "it was told: {theirs}");
    at_ours.unwrap_err()
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let error = refused(Stranger { key: None, ..Stranger::default() }).await;
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn who_shows_the_certificate_of_another_is_refused() {
    let victim = CertificateDer::from(Identity::from_seed([9; 32]).cert_der().to_vec());
    let error = refused(Stranger { steals: Some(victim), ..Stranger::default() }).await;
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn who_has_another_kind_of_key_is_refused() {
    let error = refused(Stranger { key: Some(&rcgen::PKCS_ECDSA_P256_SHA256), ..Stranger::default() }).await;
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn who_speaks_another_protocol_is_refused() {
    let error = refused(Stranger { alpn: b"bonfire/2", ..Stranger::default() }).await;
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_within_the_limit() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let a = peer(1, "127.0.0.1:0", Tuning { handshake_limit: Duration::from_millis(200), ..hasty() });
    let error = a.connect(silent.local_addr().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, NetError::HandshakeTimeout { .. }), "{error}");
    assert_eq!(error.class(), ErrorClass::Unreachable);
    assert!(error.to_string().contains(&silent.local_addr().unwrap().to_string()), "{error}");
}

#[tokio::test]
async fn who_comes_while_many_handshakes_are_under_way_proves_its_address_and_gets_in() {
    let tuning = Tuning { half_open_max: 0, ..hasty() };
    let (a, b) = (peer(1, "127.0.0.1:0", hasty()), peer(2, "127.0.0.1:0", tuning));
    let (dialed, _accepted) = connected(&a, &b).await;
    assert_eq!(dialed.peer_id(), id_of(2));
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections_and_gets_them_back() {
    let tuning = Tuning { connections_per_address: 2, ..hasty() };
    let (a, b) = (peer(1, "127.0.0.1:0", hasty()), peer(2, "127.0.0.1:0", tuning));
    let first = connected(&a, &b).await;
    let _second = connected(&a, &b).await;
    let there = b.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        let third = accepted(&b).await;
        (b, third)
    });
    let error = a.connect(there, None).await.unwrap_err();
    assert!(matches!(error, NetError::Handshake { .. }), "{error}");
    drop(first);
    a.connect(there, None).await.unwrap();
    accepting.await.unwrap();
}

#[tokio::test]
async fn the_other_side_sees_why_it_was_closed() {
    let (a, b) = (peer(1, "127.0.0.1:0", Tuning::default()), peer(2, "127.0.0.1:0", Tuning::default()));
    for code in CloseCode::ALL {
        let (dialed, accepted) = connected(&a, &b).await;
        dialed.close(*code);
        let (here, there) = (dialed.closed().await, accepted.closed().await);
        assert_eq!((there.code, there.by_peer), (Some(*code), true), "{there}");
        assert_eq!((here.code, here.by_peer), (Some(*code), false), "{here}");
        assert_eq!(there.text, code.text());
    }
}

#[tokio::test]
async fn closing_the_endpoint_tells_everybody() {
    let (a, b) = (peer(1, "127.0.0.1:0", Tuning::default()), peer(2, "127.0.0.1:0", Tuning::default()));
    let (_dialed, accepted) = connected(&a, &b).await;
    a.close(CloseCode::ShuttingDown);
    a.wait_idle().await;
    assert_eq!(accepted.closed().await.code, Some(CloseCode::ShuttingDown));
    assert!(a.accept().await.is_none());
    let error = a.connect(b.local_addr().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, NetError::EndpointClosed), "{error}");
}

#[test]
fn a_peer_that_was_killed_and_is_back_tells_who_still_talks_to_the_one_before() {
    let here = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let doomed = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let guest = here.block_on(async { peer(1, "127.0.0.1:0", Tuning::default()) });
    let host = doomed.block_on(async { peer(2, "127.0.0.1:0", Tuning::default()) });
    let there = host.local_addr().unwrap();
    let accepting = doomed.spawn(async move {
        let accepted = accepted(&host).await;
        let (mut tx, mut rx) = accepted.accept_control().await.unwrap();
        assert_eq!(rx.recv().await.unwrap(), Some(Control::Ping(Ping {})));
        tx.send(&Control::Pong(Pong {})).await.unwrap();
        (accepted, host, tx, rx)
    });
    // There and back once: before that the guest cannot know that the handshake is over, and says it again and nothing else.
    let (dialed, _control) = here.block_on(async {
        let dialed = guest.connect(there, None).await.unwrap();
        let (mut tx, mut rx) = dialed.open_control().await.unwrap();
        tx.send(&Control::Ping(Ping {})).await.unwrap();
        assert_eq!(rx.recv().await.unwrap(), Some(Control::Pong(Pong {})));
        (dialed, (tx, rx))
    });
    let held = doomed.block_on(accepting).unwrap();
    // Its tasks end without a word on the wire, as in a kill.
    doomed.shutdown_timeout(Duration::from_secs(10));
    here.block_on(async {
        drop(held);
        let _back = peer(2, &there.to_string(), Tuning::default());
        let request = Request::ProbeBack(ProbeBack { port: 1 });
        // Asking only has a packet sent to the process that is gone.
        let both = async { tokio::join!(dialed.request(&request), dialed.closed()) };
        let (_, because) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
        assert_eq!((because.code, because.by_peer), (None, true), "{because:?}");
    });
}
