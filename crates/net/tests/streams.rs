//! Frames and raw bytes between two peers that keep to the rules.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::Duration;

use bonfire_net::{Answer, NetError, Tuning};
use bonfire_proto::message::{Chunk, ErrorMsg, GetLibrarySnapshot, Pong, ProbeBack};
use bonfire_proto::{CloseCode, Control, Digest, ErrorCode, Request, Response};
use bytes::Bytes;
use support::{hasty, pair};

fn ask() -> Request {
    Request::GetLibrarySnapshot(GetLibrarySnapshot {})
}

fn chunk(index: u32, len: usize) -> Response {
    Response::Chunk(Chunk { index, len: u32::try_from(len).unwrap(), hash: Digest([0; 32]) })
}

async fn raw(answer: &mut Answer, mut len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while len > 0 {
        let piece = answer.read_raw(len).await.unwrap().unwrap();
        assert!(!piece.is_empty() && piece.len() <= len);
        len -= piece.len();
        out.extend_from_slice(&piece);
    }
    out
}

#[tokio::test]
async fn control_messages_go_both_ways_and_end() {
    let mut p = pair(Tuning::default()).await;
    p.accepted_control.0.send(&Control::Pong(Pong {})).await.unwrap();
    assert_eq!(p.dialed_control.1.recv().await.unwrap(), Some(Control::Pong(Pong {})));
    p.accepted_control.0.finish();
    assert_eq!(p.dialed_control.1.recv().await.unwrap(), None);
}

#[tokio::test]
async fn silence_on_the_control_stream_is_no_error_and_receiving_can_be_cancelled() {
    let mut p = pair(Tuning { progress_limit: Duration::from_millis(20), ..Tuning::default() }).await;
    for _ in 0..5 {
        let silent = tokio::time::timeout(Duration::from_millis(30), p.dialed_control.1.recv()).await;
        assert!(silent.is_err(), "{silent:?}");
    }
    p.accepted_control.0.send(&Control::Pong(Pong {})).await.unwrap();
    assert_eq!(p.dialed_control.1.recv().await.unwrap(), Some(Control::Pong(Pong {})));
}

#[tokio::test]
async fn frames_and_raw_bytes_alternate_on_one_stream() {
    let p = pair(Tuning::default()).await;
    let served_by = p.accepted.clone();
    let serve = tokio::spawn(async move {
        let served = served_by.accept_stream().await.unwrap().read_request().await.unwrap();
        assert_eq!(served.request.unwrap(), ask());
        let mut reply = served.reply;
        for (i, len) in [3_000_000usize, 0, 1, 70_000].into_iter().enumerate() {
            let i = u32::try_from(i).unwrap();
            reply.send(&chunk(i, len)).await.unwrap();
            let bytes: Vec<u8> = (0..len).map(|n| u8::try_from((n + i as usize) % 251).unwrap()).collect();
            reply.send_bytes(Bytes::from(bytes)).await.unwrap();
        }
        reply.finish();
    });
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    for (i, len) in [3_000_000usize, 0, 1, 70_000].into_iter().enumerate() {
        assert_eq!(answer.next().await.unwrap(), Some(chunk(u32::try_from(i).unwrap(), len)));
        let bytes = raw(&mut answer, len).await;
        assert!(bytes.iter().enumerate().all(|(n, b)| usize::from(*b) == (n + i) % 251), "chunk {i}");
    }
    assert_eq!(answer.next().await.unwrap(), None);
    assert_eq!(answer.next().await.unwrap(), None, "the end stays the end");
    assert_eq!(answer.read_raw(1).await.unwrap(), None);
    serve.await.unwrap();
}

#[tokio::test]
async fn both_sides_may_ask() {
    let p = pair(Tuning::default()).await;
    let asked = Request::ProbeBack(ProbeBack { port: 1 });
    for (asker, server) in [(&p.dialed, &p.accepted), (&p.accepted, &p.dialed)] {
        let refusal = Response::Error(ErrorMsg::new(ErrorCode::Busy, "later"));
        let (answer, ()) = tokio::join!(async { asker.request(&asked).await.unwrap().next().await.unwrap() }, async {
            let served = server.accept_stream().await.unwrap().read_request().await.unwrap();
            assert_eq!(served.request.unwrap(), asked);
            let mut reply = served.reply;
            reply.send(&refusal).await.unwrap();
            reply.finish();
        });
        assert_eq!(answer, Some(refusal.clone()), "a refusal is an answer");
    }
}

#[tokio::test]
async fn a_cancelled_answer_stops_the_sender() {
    let p = pair(Tuning::default()).await;
    let served_by = p.accepted.clone();
    let serve = tokio::spawn(async move {
        let mut reply = served_by.accept_stream().await.unwrap().read_request().await.unwrap().reply;
        let stopped = tokio::spawn(reply.stopped());
        let error = loop {
            if let Err(e) = reply.send_bytes(Bytes::from_static(&[0; 65536])).await {
                break e;
            }
        };
        (stopped.await.unwrap(), error)
    });
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    answer.read_raw(1).await.unwrap().unwrap();
    answer.stop();
    let (stopped, error) = serve.await.unwrap();
    assert_eq!(stopped, Some(CloseCode::Cancelled));
    assert!(matches!(error, NetError::GaveUp { code: Some(CloseCode::Cancelled), .. }), "{error}");
}

#[tokio::test]
async fn half_an_answer_never_looks_like_a_whole_one() {
    let p = pair(Tuning::default()).await;
    let served_by = p.accepted.clone();
    let serve = tokio::spawn(async move {
        let mut reply = served_by.accept_stream().await.unwrap().read_request().await.unwrap().reply;
        reply.send(&chunk(0, 100)).await.unwrap();
        drop(reply);
        let mut reply = served_by.accept_stream().await.unwrap().read_request().await.unwrap().reply;
        reply.send(&chunk(0, 100)).await.unwrap();
        reply.abort(CloseCode::Overloaded);
    });
    for code in [CloseCode::Cancelled, CloseCode::Overloaded] {
        let mut answer = p.dialed.request(&ask()).await.unwrap();
        // A reset may overtake the frame before it.
        let error = loop {
            match answer.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream looked complete"),
                Err(e) => break e,
            }
        };
        assert!(matches!(error, NetError::GaveUp { code: Some(c), .. } if c == code), "{error}");
    }
    serve.await.unwrap();
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let p = pair(hasty()).await;
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    let error = answer.next().await.unwrap_err();
    assert!(matches!(error, NetError::Stalled { .. }), "{error}");
    assert!(error.is_retryable());
    assert!(error.to_string().contains(&p.dialed.peer_id().short()), "{error}");
}

#[tokio::test]
async fn an_asker_that_reads_nothing_is_given_up() {
    let p = pair(hasty()).await;
    let _unread = p.dialed.request(&ask()).await.unwrap();
    let mut reply = p.accepted.accept_stream().await.unwrap().read_request().await.unwrap().reply;
    let mut sent = 0u64;
    let error = loop {
        match reply.send_bytes(Bytes::from_static(&[0; 1 << 16])).await {
            Ok(()) => sent += 1 << 16,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, NetError::Stalled { .. }), "{error}");
    assert!(sent <= 24 << 20, "windows bound what is in flight: {sent}");
}

#[tokio::test]
async fn a_lost_connection_ends_every_wait() {
    let mut p = pair(Tuning::default()).await;
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    p.accepted.close(CloseCode::Stale);
    for error in [answer.next().await.unwrap_err(), p.dialed_control.1.recv().await.unwrap_err()] {
        assert!(
            matches!(&error, NetError::Lost { because, .. } if because.code == Some(CloseCode::Stale) && because.by_peer),
            "{error}"
        );
    }
    assert!(p.dialed.request(&ask()).await.is_err());
    assert!(p.dialed.accept_stream().await.is_err());
}

#[tokio::test]
async fn the_order_of_streams_is_enforced() {
    let (a, b) = (support::peer(1, "127.0.0.1:0", hasty()), support::peer(2, "127.0.0.1:0", hasty()));
    let (dialed, accepted) = support::connected(&a, &b).await;
    assert!(matches!(dialed.request(&ask()).await.map(|_| ()), Err(NetError::Misuse(_))));
    assert!(matches!(accepted.accept_stream().await.map(|_| ()), Err(NetError::Misuse(_))));
    assert!(matches!(accepted.open_control().await.map(|_| ()), Err(NetError::Misuse(_))));
    assert!(matches!(accepted.accept_control().await.map(|_| ()), Err(NetError::Stalled { .. })), "nobody spoke");
}

#[tokio::test]
async fn a_finished_answer_is_not_sent_on_to_an_asker_that_gave_up() {
    let p = pair(Tuning::default()).await;
    let served_by = p.accepted.clone();
    let serve = tokio::spawn(async move {
        let mut reply = served_by.accept_stream().await.unwrap().read_request().await.unwrap().reply;
        reply.send(&chunk(0, 4 << 20)).await.unwrap();
        reply.send_bytes(Bytes::from(vec![7; 4 << 20])).await.unwrap();
        reply.deliver().await
    });
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    assert_eq!(answer.next().await.unwrap(), Some(chunk(0, 4 << 20)));
    drop(answer);
    assert_eq!(serve.await.unwrap(), Some(CloseCode::Cancelled));
}

#[tokio::test]
async fn an_answer_counts_as_delivered_when_the_asker_has_all_of_it() {
    let p = pair(Tuning::default()).await;
    let served_by = p.accepted.clone();
    let serve = tokio::spawn(async move {
        let mut reply = served_by.accept_stream().await.unwrap().read_request().await.unwrap().reply;
        reply.send(&chunk(0, 100_000)).await.unwrap();
        reply.send_bytes(Bytes::from(vec![7; 100_000])).await.unwrap();
        reply.deliver().await
    });
    let mut answer = p.dialed.request(&ask()).await.unwrap();
    assert_eq!(answer.next().await.unwrap(), Some(chunk(0, 100_000)));
    assert_eq!(raw(&mut answer, 100_000).await, vec![7; 100_000]);
    assert_eq!(answer.next().await.unwrap(), None);
    assert_eq!(serve.await.unwrap(), None);
}
