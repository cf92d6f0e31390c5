//! What the frame decoder makes of bytes that no honest peer sends.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod samples;

use bonfire_proto::frame::{FrameError, body_len, decode, encode};
use bonfire_proto::limits::{
    CHUNKS_PER_REQUEST_MAX, ERROR_MESSAGE_LEN_MAX, FEATURES_MAX, FRAME_LEN_MAX, HASHES_PER_PAGE, JSON_DEPTH_MAX,
    MANIFEST_SIZE_MAX, PAGE_LEN_MAX, PAGES_MAX, PATH_LEN_MAX, TEXT_LEN_MAX, VERSION_LEN_MAX,
};
use bonfire_proto::message::{ErrorMsg, Family};
use bonfire_proto::{CHUNK_LEN, Control, Digest, ErrorCode, ManifestFile, RelPath, Request, Response};
use proptest::prelude::*;

fn refused<M: Family + std::fmt::Debug>(body: &[u8], code: ErrorCode) -> String {
    let error = decode::<M>(body).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    error.to_string()
}

#[test]
fn states_the_body_length_only_up_to_the_limit() {
    let most = u32::try_from(FRAME_LEN_MAX).unwrap();
    assert_eq!(body_len(most.to_be_bytes()), Ok(FRAME_LEN_MAX));
    assert_eq!(body_len((most + 1).to_be_bytes()), Err(FrameError::TooLong { len: FRAME_LEN_MAX + 1 }));
    assert_eq!(body_len([0xff; 4]), Err(FrameError::TooLong { len: u32::MAX as usize }));
    assert_eq!(FrameError::TooLong { len: 9 }.code(), ErrorCode::TooLarge);
}

#[test]
fn refuses_an_over_long_body_before_reading_it() {
    let body = vec![b' '; FRAME_LEN_MAX + 1];
    refused::<Control>(&body, ErrorCode::TooLarge);
}

#[test]
fn refuses_to_send_a_frame_that_the_other_side_would_refuse() {
    let hashes = vec![Digest([0xaa; 32]); FRAME_LEN_MAX / 64];
    let message = Response::ChunkHashes(bonfire_proto::message::ChunkHashes { hashes, page: 0, pages: 1 });
    assert!(matches!(encode(&message), Err(FrameError::TooLong { .. })));
}

#[test]
fn refuses_nesting_over_the_limit_and_takes_it_at_the_limit() {
    let nested = |depth: usize| {
        // The object itself is the first level.
        format!("{{\"type\":\"ping\",\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
    };
    assert!(decode::<Control>(nested(JSON_DEPTH_MAX).as_bytes()).is_ok());
    refused::<Control>(nested(JSON_DEPTH_MAX + 1).as_bytes(), ErrorCode::TooLarge);
    refused::<Control>(&vec![b'['; FRAME_LEN_MAX], ErrorCode::TooLarge);
}

#[test]
fn brackets_inside_text_are_not_nesting() {
    let body = format!("{{\"type\":\"ping\",\"x\":\"{}\\\"{}\"}}", "[".repeat(100), "{".repeat(100));
    assert!(decode::<Control>(body.as_bytes()).is_ok());
}

#[test]
fn answers_an_unknown_type_with_unsupported_and_names_it() {
    let said = refused::<Request>(br#"{"type":"frobnicate","x":[1,{"y":2}]}"#, ErrorCode::Unsupported);
    assert!(said.contains("frobnicate"));
    // A type of another family is unknown here.
    refused::<Request>(br#"{"type":"ping"}"#, ErrorCode::Unsupported);
    refused::<Control>(br#"{"type":"get_game","game_id":"doom"}"#, ErrorCode::Unsupported);
}

#[test]
fn an_unknown_type_cannot_smuggle_control_characters_or_length_into_a_log_line() {
    let body = format!("{{\"type\":\"\\u001b[2J\\u202e{}\"}}", "x".repeat(5_000));
    let said = refused::<Request>(body.as_bytes(), ErrorCode::Unsupported);
    assert!(said.len() < 100 && said.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{said:?}");
}

#[test]
fn a_bad_field_is_named_without_its_hostile_text() {
    let body = format!("{{\"type\":\"get_game\",\"game_id\":\"\\u001b[2J{}\"}}", "x".repeat(5_000));
    let said = refused::<Request>(body.as_bytes(), ErrorCode::BadRequest);
    assert!(said.len() < 300 && said.chars().all(|c| !c.is_control()), "{said:?}");
    let said = refused::<Request>(br#"{"type":"get_chunks","game_id":"doom"}"#, ErrorCode::BadRequest);
    assert!(said.contains("manifest_hash"), "{said}");
}

#[test]
fn ignores_unknown_fields_at_every_level() {
    fn ignores<M: Family + PartialEq + std::fmt::Debug>(messages: Vec<(&str, M)>) {
        for (name, message) in messages {
            let mut body = serde_json::to_value(&message).unwrap();
            add_what_is_not_known(&mut body);
            assert_eq!(decode::<M>(body.to_string().as_bytes()).as_ref(), Ok(&message), "{name}");
        }
    }
    ignores(samples::control());
    ignores(samples::request());
    ignores(samples::response());
    ignores(samples::pair());
}

/// Everywhere but within a record's content, of which nothing may be lost.
fn add_what_is_not_known(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            map.iter_mut().filter(|(name, _)| *name != "data").for_each(|(_, v)| add_what_is_not_known(v));
            map.insert("from_the_future".to_owned(), serde_json::json!({ "a": [1, null] }));
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(add_what_is_not_known),
        _ => {}
    }
}

#[test]
fn keeps_unknown_fields_of_a_records_content() {
    let entry = serde_json::to_string(&sample(&samples::control(), "shared_change")).unwrap();
    let body = entry.replace(r#""data":{"#, r#""data":{"from_the_future":{"a":[1,null]},"#);
    assert_ne!(body, entry);
    let message = decode::<Control>(body.as_bytes()).unwrap();
    assert!(String::from_utf8(encode(&message).unwrap()).unwrap().contains(r#""from_the_future":{"a":[1,null]}"#));
}

#[test]
fn takes_fields_in_any_order_and_white_space_around_them() {
    let body = b" \n{ \"game_id\" : \"doom\" ,\t\"type\":\"get_game\" }\r\n";
    assert!(decode::<Request>(body).is_ok());
}

#[test]
fn refuses_everything_that_is_not_one_object_with_a_type() {
    let bodies: &[&[u8]] = &[
        b"",
        b"null",
        b"17",
        b"\"ping\"",
        b"[]",
        b"[\"ping\"]",
        b"[\"ping\",{}]",
        b"[\"goodbye\",\"6feecc8c-16c5-851d-9feb-3eb5f77e2da7\"]",
        b"{}",
        b"{\"type\":null}",
        b"{\"type\":3}",
        b"{\"type\":[\"ping\"]}",
        b"{\"Type\":\"ping\"}",
        b"{\"type\":\"ping\"",
        b"{\"type\":\"ping\"}{\"type\":\"ping\"}",
        b"{\"type\":\"ping\"}\0",
        b"{\"type\":\"ping\",\"type\":\"pong\"}",
        b"\xef\xbb\xbf{\"type\":\"ping\"}",
        b"{\"type\":\"pi\xffng\"}",
        b"{\"type\":\"\\ud800\"}",
        b"{'type':'ping'}",
        b"{\"type\":\"ping\",}",
        b"{\"type\":\"ping\",\"x\":NaN}",
    ];
    for body in bodies {
        refused::<Control>(body, ErrorCode::BadRequest);
    }
}

#[test]
fn refuses_numbers_that_do_not_fit_their_field() {
    for port in ["-1", "65536", "1.5", "1e3", "\"47800\"", "99999999999999999999999999", "true", "null"] {
        let body = format!("{{\"type\":\"probe_back\",\"port\":{port}}}");
        refused::<Request>(body.as_bytes(), ErrorCode::BadRequest);
    }
}

#[test]
fn an_error_code_from_a_newer_peer_reads_as_internal() {
    let body = br#"{"type":"error","code":"out_of_cheese","message":"redo from start"}"#;
    let Ok(Response::Error(ErrorMsg { code, .. })) = decode(body) else { panic!("not an error frame") };
    assert_eq!(code, ErrorCode::Internal);
}

/// Replaces a field of a golden message, keeping the rest.
fn with(message: &impl Family, pointer: &str, value: serde_json::Value) -> Vec<u8> {
    let mut json = serde_json::to_value(message).unwrap();
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    serde_json::to_vec(&json).unwrap()
}

fn sample<M: Clone>(list: &[(&str, M)], name: &str) -> M {
    list.iter().find(|(n, _)| *n == name).unwrap().1.clone()
}

#[test]
fn every_bound_holds_at_its_edge_and_breaks_one_beyond() {
    let text = |n: usize| serde_json::Value::String("n".repeat(n));
    let hello = sample(&samples::control(), "hello");
    let features = |n: usize| (0..n).map(|i| format!("f{i}")).collect::<Vec<_>>().into();
    for (pointer, at, beyond) in [
        ("/name", text(TEXT_LEN_MAX), text(TEXT_LEN_MAX + 1)),
        ("/listen_addr", text(TEXT_LEN_MAX), text(TEXT_LEN_MAX + 1)),
        ("/features", features(FEATURES_MAX), features(FEATURES_MAX + 1)),
        ("/features", vec![text(TEXT_LEN_MAX)].into(), vec![text(TEXT_LEN_MAX + 1)].into()),
    ] {
        assert!(decode::<Control>(&with(&hello, pointer, at)).is_ok(), "{pointer}");
        refused::<Control>(&with(&hello, pointer, beyond), ErrorCode::BadRequest);
    }

    let chunks = sample(&samples::request(), "get_chunks");
    for (count, fits) in [(0, false), (1, true), (CHUNKS_PER_REQUEST_MAX, true), (CHUNKS_PER_REQUEST_MAX + 1, false)] {
        assert_eq!(decode::<Request>(&with(&chunks, "/count", count.into())).is_ok(), fits, "count {count}");
    }

    let responses = samples::response();
    for name in ["library_snapshot", "manifest", "chunk_hashes"] {
        let message = sample(&responses, name);
        for (page, pages, fits) in
            [(0, 0, false), (0, 1, true), (1, 1, false), (PAGES_MAX - 1, PAGES_MAX, true), (0, PAGES_MAX + 1, false)]
        {
            let mut json = serde_json::to_value(&message).unwrap();
            json["page"] = page.into();
            json["pages"] = pages.into();
            assert_eq!(decode::<Response>(&serde_json::to_vec(&json).unwrap()).is_ok(), fits, "{name} {page}/{pages}");
        }
    }
    let hash = || serde_json::Value::String("a".repeat(64));
    let hashes = |n: usize| vec![hash(); n].into();
    for (name, pointer, at, beyond) in [
        ("manifest", "/manifest/eti_version", text(VERSION_LEN_MAX), text(VERSION_LEN_MAX + 1)),
        ("library_snapshot", "/snapshot/games/0/name", text(TEXT_LEN_MAX), text(TEXT_LEN_MAX + 1)),
        ("library_snapshot", "/snapshot/games/1/eti_version", text(VERSION_LEN_MAX), text(VERSION_LEN_MAX + 1)),
        ("library_snapshot", "/snapshot/games/0/size", MANIFEST_SIZE_MAX.into(), (MANIFEST_SIZE_MAX + 1).into()),
        ("library_delta", "/delta/added/0/name", text(TEXT_LEN_MAX), text(TEXT_LEN_MAX + 1)),
        ("library_delta", "/delta/updated/0/name", text(TEXT_LEN_MAX), text(TEXT_LEN_MAX + 1)),
        ("library_delta", "/delta/to_rev", 6.into(), 5.into()),
        ("chunk_hashes", "/hashes", hashes(HASHES_PER_PAGE), hashes(HASHES_PER_PAGE + 1)),
        ("chunk", "/len", CHUNK_LEN.into(), (CHUNK_LEN + 1).into()),
        ("error", "/message", text(ERROR_MESSAGE_LEN_MAX), text(ERROR_MESSAGE_LEN_MAX + 1)),
        ("probe_result", "/detail", text(ERROR_MESSAGE_LEN_MAX), text(ERROR_MESSAGE_LEN_MAX + 1)),
    ] {
        let message = sample(&responses, name);
        assert!(decode::<Response>(&with(&message, pointer, at)).is_ok(), "{name} {pointer}");
        refused::<Response>(&with(&message, pointer, beyond), ErrorCode::BadRequest);
    }
}

#[test]
fn a_path_or_game_id_that_escapes_never_becomes_a_message() {
    let chunks = sample(&samples::request(), "get_chunks");
    for path in ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b", "", "a//b", "a/", "NUL", "x\u{202e}y"] {
        refused::<Request>(&with(&chunks, "/path", path.into()), ErrorCode::BadRequest);
        refused::<Request>(&with(&chunks, "/game_id", path.into()), ErrorCode::BadRequest);
    }
    for game in ["a/b", ".", "..", ".hidden", "doom.", "doom ", "COM1"] {
        refused::<Request>(&with(&chunks, "/game_id", game.into()), ErrorCode::BadRequest);
    }
}

#[test]
fn a_hash_is_64_lower_case_hexadecimal_digits_and_nothing_else() {
    let chunks = sample(&samples::request(), "get_chunks");
    let good = "0123456789abcdef".repeat(4);
    assert!(decode::<Request>(&with(&chunks, "/manifest_hash", good.clone().into())).is_ok());
    for bad in
        [&good[1..], &good.to_uppercase(), &format!("{good}0"), &format!("0x{}", &good[2..]), "", &"é".repeat(32)]
    {
        refused::<Request>(&with(&chunks, "/manifest_hash", bad.into()), ErrorCode::BadRequest);
    }
}

#[test]
fn full_pages_of_the_longest_entries_fit_into_a_frame() {
    let hashes = vec![Digest([0xff; 32]); HASHES_PER_PAGE];
    let page =
        Response::ChunkHashes(bonfire_proto::message::ChunkHashes { hashes, page: PAGES_MAX - 1, pages: PAGES_MAX });
    assert!(encode(&page).is_ok());

    // A page is closed once its content passes PAGE_LEN_MAX, so it may run over by one entry and the envelope.
    let name = "ñ".repeat(100);
    let path = RelPath::new([name.as_str(); 5].join("/")).unwrap();
    let longest = ManifestFile { path, size: MANIFEST_SIZE_MAX, blake3: Some(Digest([0xff; 32])) };
    let entry = serde_json::to_vec(&longest).unwrap().len();
    assert!(entry < 2 * PATH_LEN_MAX && PAGE_LEN_MAX + entry + 4096 < FRAME_LEN_MAX);
}

fn any_family_never_panics(body: &[u8]) {
    let _ = decode::<Control>(body);
    let _ = decode::<Request>(body);
    let _ = decode::<Response>(body);
}

/// What survives decoding survives the way back, whatever was sent.
fn is_stable<M: Family + PartialEq + std::fmt::Debug>(body: &[u8]) {
    if let Ok(message) = decode::<M>(body) {
        let again = encode(&message).unwrap().split_off(4);
        assert_eq!(decode::<M>(&again).unwrap(), message);
    }
}

fn json_like() -> impl Strategy<Value = serde_json::Value> {
    let types: Vec<&str> = [Control::TYPES, Request::TYPES, Response::TYPES].concat();
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
        "[0-9a-f]{64}".prop_map(Into::into),
        Just("6feecc8c-16c5-851d-9feb-3eb5f77e2da7".into()),
        proptest::sample::select(types).prop_map(Into::into),
    ];
    let keys = proptest::sample::select(vec![
        "type",
        "peer_id",
        "game_id",
        "path",
        "first",
        "count",
        "manifest",
        "manifest_hash",
        "files",
        "page",
        "pages",
        "hashes",
        "summary",
        "delta",
        "snapshot",
        "games",
        "code",
        "message",
        "port",
        "index",
        "len",
        "hash",
        "size",
    ]);
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::vec((keys.clone(), inner), 0..8)
                .prop_map(|fields| fields
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<serde_json::Map<_, _>>())
                .prop_map(Into::into),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..512)) {
        any_family_never_panics(&body);
    }

    #[test]
    fn arbitrary_json_never_panics_and_decodes_stably(value in json_like()) {
        let body = serde_json::to_vec(&value).unwrap();
        is_stable::<Control>(&body);
        is_stable::<Request>(&body);
        is_stable::<Response>(&body);
    }

    #[test]
    fn a_damaged_golden_message_never_panics(
        which in 0usize..64, cuts in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8)
    ) {
        let all: Vec<Vec<u8>> = samples::control().iter().map(|(_, m)| encode(m).unwrap().split_off(4))
            .chain(samples::request().iter().map(|(_, m)| encode(m).unwrap().split_off(4)))
            .chain(samples::response().iter().map(|(_, m)| encode(m).unwrap().split_off(4)))
            .collect();
        let mut body = all[which % all.len()].clone();
        for (at, byte) in cuts {
            let at = usize::from(at) % body.len();
            body[at] = byte;
        }
        is_stable::<Control>(&body);
        is_stable::<Request>(&body);
        is_stable::<Response>(&body);
    }

    #[test]
    fn what_is_sent_is_what_is_read(message in ".{0,600}", port in any::<u16>()) {
        let error = Response::Error(ErrorMsg::new(ErrorCode::Busy, &message));
        prop_assert_eq!(decode::<Response>(&encode(&error).unwrap()[4..]).unwrap(), error);
        let probe = Request::ProbeBack(bonfire_proto::message::ProbeBack { port });
        prop_assert_eq!(decode::<Request>(&encode(&probe).unwrap()[4..]).unwrap(), probe);
    }
}
