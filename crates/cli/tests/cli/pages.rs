//! The page that describes what commands print with `--json` and what they print are one thing.

use std::path::Path;

use bonfire_engine::command::{Command, Reply};
use bonfire_engine::event::PeerEvent;
use bonfire_engine::saves_view::AuditEntry;
use bonfire_engine::snapshot::{GameView, PeerView};
use bonfire_engine::{Report, Snapshot};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::harness::{Peer, write_game};

/// The example lines beneath a heading of the page.
pub(crate) fn examples(heading: &str) -> Vec<Value> {
    let page = page();
    let section = section(&page, heading);
    let block = section.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    let block = block.unwrap_or_else(|| panic!("no example beneath {heading}"));
    block.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"))).collect()
}

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/formats/control.md");
    std::fs::read_to_string(path).unwrap()
}

fn section<'a>(page: &'a str, heading: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    rest.split("\n### ").next().unwrap_or(rest)
}

/// Whether a value looks like one of the examples: the same kinds at the same places, no field that none of them has,
/// and every field that all of them have.
pub(crate) fn is_like(examples: &[&Value], value: &Value, at: &str) -> Result<(), String> {
    let same_kind: Vec<&Value> =
        examples.iter().copied().filter(|e| std::mem::discriminant(*e) == std::mem::discriminant(value)).collect();
    if same_kind.is_empty() {
        return Err(format!("{at} is {value}; the page shows {examples:?}"));
    }
    match value {
        Value::Array(items) => {
            let shown: Vec<&Value> = same_kind.iter().flat_map(|e| e.as_array().unwrap()).collect();
            items.iter().try_for_each(|item| is_like(&shown, item, &format!("{at}[]")))
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                let shown: Vec<&Value> = same_kind.iter().filter_map(|e| e.get(name)).collect();
                is_like(&shown, value, &format!("{at}.{name}"))?;
            }
            let missing =
                same_kind[0].as_object().unwrap().keys().find(|name| {
                    !fields.contains_key(*name) && same_kind.iter().all(|e| e.get(name.as_str()).is_some())
                });
            missing.map_or(Ok(()), |name| Err(format!("{at} has no {name}, which the page shows: {value}")))
        }
        _ => Ok(()),
    }
}

fn are_like(heading: &str, lines: &[Value]) {
    let examples = examples(heading);
    let examples: Vec<&Value> = examples.iter().collect();
    assert!(!lines.is_empty(), "{heading}: nothing was printed");
    for line in lines {
        is_like(&examples, line, heading).unwrap();
    }
}

/// Whether the examples hold every field of a type, and no other.
fn are_whole<T: DeserializeOwned + Serialize>(heading: &str) {
    for example in examples(heading) {
        let read: T = serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{heading}: {e}"));
        assert_eq!(serde_json::to_value(read).unwrap(), example, "{heading}");
    }
}

/// Every example line of the page, wherever it stands.
fn lines_of_the_page() -> Vec<Value> {
    let page = page();
    let blocks = page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.flat_map(|b| b.lines().map(|l| serde_json::from_str(l).unwrap()).collect::<Vec<_>>()).collect()
}

/// Checks that an example is read as what it is an example of, and that it has no field which that has not.
fn is_one<T: DeserializeOwned + Serialize>(example: &Value) {
    let read: T = serde_json::from_value(example.clone()).unwrap_or_else(|e| panic!("{e} in {example}"));
    let written = serde_json::to_value(read).unwrap();
    has_all(&written, example, &example.to_string());
}

fn has_all(written: &Value, example: &Value, at: &str) {
    match (written, example) {
        (Value::Object(written), Value::Object(example)) => {
            for (name, value) in example.iter().filter(|(_, value)| !value.is_null()) {
                has_all(written.get(name).unwrap_or_else(|| panic!("no field {name} in {at}")), value, at);
            }
        }
        (Value::Array(written), Value::Array(example)) => {
            assert_eq!(written.len(), example.len(), "{at}");
            written.iter().zip(example).for_each(|(written, example)| has_all(written, example, at));
        }
        (written, example) => assert_eq!(written, example, "{at}"),
    }
}

#[test]
fn every_command_reply_and_event_of_the_page_is_one() {
    let lines = lines_of_the_page();
    let (mut commands, mut replies, mut events) = (0, 0, 0);
    for line in &lines {
        if ["library", "transfers", "installs", "saves", "devices"].iter().any(|group| line.get(*group).is_some()) {
            is_one::<Command>(line);
            commands += 1;
        } else if line["type"].is_string() && serde_json::from_value::<Reply>(line.clone()).is_ok() {
            is_one::<Reply>(line);
            replies += 1;
        } else if line["type"].is_string() {
            is_one::<PeerEvent>(line);
            events += 1;
        } else if line["code"].is_string() {
            is_one::<Report>(line);
        } else if line["action"].is_string() {
            is_one::<AuditEntry>(line);
        }
    }
    assert_eq!((commands, replies, events), (8 + 3 + 28 + 11, 4 + 12, 6 + 12));
}

#[test]
fn the_page_shows_every_field_of_the_state() {
    are_whole::<Snapshot>("### `bonfire status`");
    are_whole::<GameView>("### `bonfire games`");
    are_whole::<PeerView>("### `bonfire peers`");
}

#[test]
fn the_commands_print_what_the_page_shows() {
    let mut ann = Peer::start(&["--name", "ann"], |games| write_game(games, "quake", "1.0"));
    ann.run(&["catalog", "add", "quake"]).expect(0);
    ann.running.event("game_hashed");
    let mut ben = Peer::start(&["--name", "ben", "--peer", &ann.listens_on], |games| write_game(games, "doom", "1.0"));
    ben.running.ever(|line| line["event"]["type"] == "remote_library_changed");
    ben.running.ever(|line| line["event"]["type"] == "game_hashed");
    are_like("### `bonfire status`", &ben.run(&["status", "--json"]).expect(0).json());
    are_like("### `bonfire games`", &ann.run(&["games", "--json"]).expect(0).json());
    are_like("### `bonfire games --room`", &ben.run(&["games", "--room", "--json"]).expect(0).json());
    are_like("### `bonfire peers`", &ben.run(&["peers", "--json"]).expect(0).json());
    let checks = ben.run(&["doctor", "--json"]).json();
    are_like("### `bonfire doctor`", &checks);
    let page = page();
    for check in checks {
        let word = format!("`{}`", check["check"].as_str().unwrap());
        assert!(section(&page, "### `bonfire doctor`").contains(&word), "{word} is not in the table");
    }
    ben.stop();
    ann.stop();
    let nobody = ben_is_gone().expect(4).json();
    is_like(&examples("## What the commands print with `--json`").iter().collect::<Vec<_>>(), &nobody[0], "error")
        .unwrap();
}

fn ben_is_gone() -> crate::harness::Said {
    let home = Peer::home();
    crate::harness::run(&["status", "--json", "--data-dir", &home.path().display().to_string()])
}

#[test]
fn every_check_of_the_table_is_one_that_doctor_makes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cmds");
    let mut source = std::fs::read_to_string(folder.join("doctor.rs")).unwrap();
    for file in std::fs::read_dir(folder.join("doctor")).unwrap() {
        source += &std::fs::read_to_string(file.unwrap().path()).unwrap();
    }
    let page = page();
    let rows = section(&page, "### `bonfire doctor`").lines().filter_map(|line| line.strip_prefix("| `"));
    let words: Vec<&str> =
        rows.flat_map(|row| row.split(" | ").next().unwrap().split("`, `")).map(|w| w.trim_end_matches('`')).collect();
    assert!(words.len() > 10, "{words:?}");
    for word in words.into_iter().filter(|word| *word != "check") {
        assert!(source.contains(&format!("\"{word}\"")), "doctor makes no check {word}");
    }
}

#[test]
fn a_difference_from_the_page_is_found() {
    let shown = serde_json::json!({"a": 1, "b": [{"c": null}, {"c": "x"}]});
    let like = |value: Value| is_like(&[&shown], &value, "it").is_ok();
    assert!(like(serde_json::json!({"a": 2, "b": [{"c": "y"}]})));
    assert!(!like(serde_json::json!({"a": 2, "b": [{"c": 1}]})), "another kind");
    assert!(!like(serde_json::json!({"a": 2})), "a field too few");
    assert!(!like(serde_json::json!({"a": 2, "b": [], "d": 0})), "a field too many");
}
