//! Replays frames that were written to break a decoder, and what lies around each of them.
//!
//! A file's name is `family.outcome.what`: the outcome is `ok` or the code with which the frame is refused. A body that ever
//! broke something is added here under a name that says how.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::path::Path;

use bonfire_proto::frame::{PREFIX_LEN, body_len, decode, encode};
use bonfire_proto::message::Family;
use bonfire_proto::message_pair::PairMessage;
use bonfire_proto::{Control, ErrorCode, Request, Response};

fn corpus() -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = dir
        .read_dir()
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
        .collect();
    files.sort();
    files
}

fn outcome<M: Family>(body: &[u8]) -> String {
    match decode::<M>(body) {
        Ok(_) => "ok".to_owned(),
        Err(e) => name(e.code()),
    }
}

fn name(code: ErrorCode) -> String {
    serde_json::to_string(&code).unwrap().trim_matches('"').to_owned()
}

#[test]
fn every_hostile_frame_is_refused_as_its_name_says() {
    let files = corpus();
    assert!(files.len() >= 70, "only {} files", files.len());
    let mut seen = std::collections::BTreeSet::new();
    for (file, body) in &files {
        let mut parts = file.split('.');
        let (family, expected) = (parts.next().unwrap(), parts.next().unwrap());
        let found = match family {
            "control" => outcome::<Control>(body),
            "request" => outcome::<Request>(body),
            "response" => outcome::<Response>(body),
            "pair" => outcome::<PairMessage>(body),
            other => panic!("{file}: no family {other}"),
        };
        assert_eq!(found, expected, "{file}");
        seen.insert(expected.to_owned());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["bad_request", "ok", "too_large", "unsupported"]);
}

#[test]
fn what_lies_around_a_hostile_frame_never_panics() {
    let mut tried = 0u32;
    let mut all = |body: &[u8]| {
        stable::<Control>(body);
        stable::<Request>(body);
        stable::<Response>(body);
        stable::<PairMessage>(body);
        tried += 1;
    };
    for (_, body) in corpus() {
        // Every place of a short body, some of a long one.
        let step = body.len() / 300 + 1;
        for at in (0..body.len()).step_by(step) {
            all(&body[..at]);
            all(&body[at..]);
            for byte in [0x00, b'"', b'\\', b'{', b']', 0x80, 0xff] {
                let mut changed = body.clone();
                changed[at] = byte;
                all(&changed);
                changed.insert(at, b',');
                all(&changed);
            }
        }
    }
    assert!(tried > 50_000, "only {tried} bodies were tried");
}

fn stable<M: Family + PartialEq>(body: &[u8]) {
    if let Ok(message) = decode::<M>(body) {
        let frame = encode(&message).unwrap();
        let (prefix, again) = frame.split_at(PREFIX_LEN);
        assert_eq!(body_len(prefix.try_into().unwrap()), Ok(again.len()));
        assert!(decode::<M>(again).unwrap() == message);
    }
}
