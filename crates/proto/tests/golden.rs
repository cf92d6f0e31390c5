//! Holds the bytes of every message to committed files: changing one changes the wire for everyone who speaks it.
//!
//! `BLESS=1 cargo test -p bonfire-proto --test golden` rewrites the files after a wanted change; such a change also
//! needs a new `PROTO_VERSION` unless it only adds an optional field.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod samples;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use bonfire_proto::frame::{PREFIX_LEN, body_len, decode, encode};
use bonfire_proto::message::Family;
use bonfire_proto::message_pair::PairMessage;
use bonfire_proto::{Control, Request, Response};

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(family)
}

fn holds<M: Family + Debug + PartialEq>(family: &str, messages: &[(&str, M)]) {
    let folder = folder(family);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, message) in messages {
            let mut body = encode(message).unwrap().split_off(PREFIX_LEN);
            body.push(b'\n');
            std::fs::write(folder.join(format!("{name}.json")), body).unwrap();
        }
    }
    let mut on_disk: BTreeSet<String> =
        folder.read_dir().unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    for (name, message) in messages {
        let file = format!("{name}.json");
        let stored = std::fs::read_to_string(folder.join(&file)).unwrap();
        // The file ends in a line feed for the sake of editors, or in two bytes where git made it so; the frame in none.
        let stored = stored.trim_end();
        let frame = encode(message).unwrap();
        let (prefix, body) = frame.split_at(PREFIX_LEN);
        assert_eq!(std::str::from_utf8(body).unwrap(), stored, "{family}/{file}");
        assert_eq!(body_len(prefix.try_into().unwrap()), Ok(stored.len()));
        assert_eq!(&decode::<M>(stored.as_bytes()).unwrap(), message, "{family}/{file}");
        assert!(on_disk.remove(&file));
    }
    assert!(on_disk.is_empty(), "golden files without a message in {family}: {on_disk:?}");

    let covered: BTreeSet<&str> = messages.iter().map(|(name, _)| name.split('.').next().unwrap()).collect();
    assert_eq!(covered, M::TYPES.iter().copied().collect(), "every type of {family} has a golden file");
}

#[test]
fn every_control_message_is_written_as_it_always_was() {
    holds::<Control>("control", &samples::control());
}

#[test]
fn every_request_is_written_as_it_always_was() {
    holds::<Request>("request", &samples::request());
}

#[test]
fn every_response_is_written_as_it_always_was() {
    holds::<Response>("response", &samples::response());
}

#[test]
fn every_message_of_a_pairing_is_written_as_it_always_was() {
    holds::<PairMessage>("pair", &samples::pair());
}

#[test]
fn the_length_prefix_is_big_endian() {
    let frame = encode(&Control::Ping(bonfire_proto::message::Ping {})).unwrap();
    assert_eq!(frame, b"\x00\x00\x00\x0f{\"type\":\"ping\"}");
}

#[test]
fn an_absent_option_is_left_out_and_null_reads_the_same() {
    let with_null = br#"{"type":"get_game","game_id":"doom","known_manifest_hash":null}"#;
    let without = br#"{"type":"get_game","game_id":"doom"}"#;
    assert_eq!(decode::<Request>(with_null), decode::<Request>(without));
    assert!(!String::from_utf8(encode(&samples::request()[2].1).unwrap()).unwrap().contains("null"));
}
