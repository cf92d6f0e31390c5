//! The demo ends by itself, well, and leaves nothing.

use serde_json::Value;

#[cfg(unix)]
use crate::harness::Running;
use crate::harness::{program, said};
use crate::pages::{examples, is_like};

#[test]
fn the_demo_shows_every_step_and_cleans_up() {
    let temp = tempfile::tempdir().unwrap();
    let said = said(program().args(["demo", "--size", "48", "--json"]).env("TMPDIR", temp.path())).expect(0);
    let lines = said.json();
    let mut steps: Vec<&str> = lines.iter().filter_map(|line| line["step"].as_str()).collect();
    // A download that was over before it could be killed is killed again.
    steps.dedup();
    let expected = ["make_game", "start", "discover", "list", "fetch", "cancel", "kill", "resume", "compare", "end"];
    assert_eq!(steps, expected, "{}", said.out);
    assert!(lines.iter().any(|line| line.get("progress").is_some()));
    let shown = examples("### `bonfire demo`");
    assert_eq!(shown.iter().map(|line| &line["step"]).collect::<Vec<_>>(), expected, "the page shows every step");
    for line in lines.iter().filter(|line| line.get("step").is_some()) {
        let shown: Vec<&Value> = shown.iter().filter(|shown| shown["step"] == line["step"]).collect();
        is_like(&shown, line, "the step").unwrap();
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the temporary folder is empty again");
}

#[cfg(unix)]
#[test]
fn an_interrupted_demo_cleans_up_too() {
    let temp = tempfile::tempdir().unwrap();
    let mut demo = Running::start(program().args(["demo", "--size", "48", "--json"]).env("TMPDIR", temp.path()));
    demo.wait(|line| line["step"] == "discover");
    demo.signal(rustix::process::Signal::INT);
    assert_eq!(demo.end().code(), Some(130));
    assert_eq!(demo.seen.last().unwrap()["error"]["code"], "interrupted");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "the temporary folder is empty again");
}
