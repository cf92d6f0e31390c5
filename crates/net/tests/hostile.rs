//! A stranger that gets through the handshake and then keeps to no rule.
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::time::Duration;

use bonfire_net::{NetError, Tuning};
use bonfire_proto::frame::FrameError;
use bonfire_proto::message::Pong;
use bonfire_proto::{Control, ErrorCode};
use support::{framed, hasty, with_stranger};

#[tokio::test]
async fn bad_control_frames_are_named_and_consume_exactly_themselves() {
    let (_ours, _connection, mut control, mut raw) = with_stranger(Tuning::default()).await;
    let deep = [vec![b'['; 40], vec![b']'; 40]].concat();
    let deep = [br#"{"type":"ping","x":"#.as_slice(), &deep, b"}"].concat();
    let bad: [(&[u8], ErrorCode); 6] = [
        (br#"{"type":"teleport"}"#, ErrorCode::Unsupported),
        (br#"{"type":"hello"}"#, ErrorCode::BadRequest),
        (b"", ErrorCode::BadRequest),
        (b"[1,2]", ErrorCode::BadRequest),
        (b"\xff\xfe", ErrorCode::BadRequest),
        (&deep, ErrorCode::TooLarge),
    ];
    for (body, code) in bad {
        let mut both = framed(body);
        both.extend(framed(br#"{"type":"pong","later":true}"#));
        // In two parts, cut inside a prefix, to be sure that parts are put together.
        let (one, two) = both.split_at(2);
        raw.control.0.write_all(one).await.unwrap();
        let waiting = tokio::time::timeout(Duration::from_millis(5), control.1.recv()).await;
        assert!(waiting.is_err(), "half a prefix is no message");
        raw.control.0.write_all(two).await.unwrap();
        match control.1.recv().await.unwrap_err() {
            NetError::Frame { source, .. } => assert_eq!(source.code(), code, "{source}"),
            other => panic!("{other}"),
        }
        assert_eq!(control.1.recv().await.unwrap(), Some(Control::Pong(Pong {})), "the next frame is read");
    }
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_the_stream_unread() {
    let (_ours, _connection, mut control, mut raw) = with_stranger(Tuning::default()).await;
    raw.control.0.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let error = control.1.recv().await.unwrap_err();
    assert!(matches!(&error, NetError::Frame { source: FrameError::TooLong { .. }, .. }), "{error}");
    assert_eq!(control.1.recv().await.unwrap(), None);
    let stopped = raw.control.0.stopped().await.unwrap();
    assert!(stopped.is_some(), "it was told to stop");
}

#[tokio::test]
async fn a_control_stream_cut_inside_a_frame_is_an_error_and_no_end() {
    let (_ours, _connection, mut control, mut raw) = with_stranger(Tuning::default()).await;
    raw.control.0.write_all(&framed(br#"{"type":"ping"}"#)[..10]).await.unwrap();
    raw.control.0.finish().unwrap();
    assert!(matches!(control.1.recv().await, Err(NetError::Truncated { .. })));
}

#[tokio::test]
async fn bad_requests_can_be_answered() {
    let (_ours, connection, _control, raw) = with_stranger(Tuning::default()).await;
    let ok = framed(br#"{"type":"get_library_snapshot"}"#);
    let cases: [(Vec<u8>, Option<ErrorCode>); 6] = [
        (ok.clone(), None),
        (framed(br#"{"type":"teleport"}"#), Some(ErrorCode::Unsupported)),
        (framed(br#"{"type":"get_chunks"}"#), Some(ErrorCode::BadRequest)),
        ([ok.clone(), ok].concat(), Some(ErrorCode::BadRequest)),
        (vec![], Some(ErrorCode::BadRequest)),
        (u32::MAX.to_be_bytes().to_vec(), Some(ErrorCode::TooLarge)),
    ];
    for (bytes, code) in cases {
        let (mut tx, mut rx) = raw.connection.open_bi().await.unwrap();
        tx.write_all(&bytes).await.unwrap();
        tx.finish().unwrap();
        let served = connection.accept_stream().await.unwrap().read_request().await.unwrap();
        assert_eq!(served.request.as_ref().err().map(FrameError::code), code, "{:?}", served.request);
        let mut reply = served.reply;
        let refusal = bonfire_proto::message::ErrorMsg::new(code.unwrap_or(ErrorCode::Busy), "no");
        reply.send(&bonfire_proto::Response::Error(refusal)).await.unwrap();
        reply.finish();
        assert!(rx.read_to_end(1000).await.unwrap().len() > 4, "the answer arrives");
    }
}

#[tokio::test]
async fn a_slow_request_is_given_up_and_holds_up_nobody() {
    let (_ours, connection, _control, raw) = with_stranger(hasty()).await;
    let (mut slow, _rx) = raw.connection.open_bi().await.unwrap();
    slow.write_all(&framed(br#"{"type":"get_library_snapshot"}"#)[..9]).await.unwrap();
    let (mut quick, _rx) = raw.connection.open_bi().await.unwrap();
    quick.write_all(&framed(br#"{"type":"get_library_snapshot"}"#)).await.unwrap();
    quick.finish().unwrap();
    let first = tokio::spawn(connection.accept_stream().await.unwrap().read_request());
    let second = connection.accept_stream().await.unwrap().read_request().await.unwrap();
    assert!(second.request.is_ok(), "served while the first one waits");
    let error = first.await.unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(error, NetError::Stalled { .. }), "{error}");
    assert!(slow.stopped().await.unwrap().is_some(), "it was told to stop");
}

#[tokio::test]
async fn streams_and_unread_bytes_are_bounded() {
    let (_ours, _connection, _control, raw) = with_stranger(Tuning::default()).await;
    let mut open = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(200), raw.connection.open_bi()).await {
        open.push(stream.unwrap());
        assert!(open.len() < 1000, "no bound on streams");
    }
    assert_eq!(open.len() + 1, 64, "with the control stream");
    let uni = tokio::time::timeout(Duration::from_millis(50), raw.connection.open_uni()).await;
    assert!(uni.is_err(), "no unidirectional streams");
    assert!(raw.connection.max_datagram_size().is_none(), "no datagrams");
    let mut held = 0;
    for (tx, _rx) in &mut open {
        while let Ok(n) = tokio::time::timeout(Duration::from_millis(20), tx.write(&[b' '; 65536])).await {
            held += n.unwrap();
            assert!(held < 16 << 20, "no bound on bytes");
        }
    }
    assert!(held <= 10 << 20, "its send buffer and our window: {held}");
}
