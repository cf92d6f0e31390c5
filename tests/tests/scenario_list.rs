//! `PEER_CLI_SCENARIOS.md` and the tests of the room are one list.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;

/// A heading as the name of its test.
fn test_name(heading: &str) -> String {
    let mut name = String::new();
    for word in heading.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()) {
        if !name.is_empty() {
            name.push('_');
        }
        name.push_str(&word.to_ascii_lowercase());
    }
    name
}

fn headings(root: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root.join("PEER_CLI_SCENARIOS.md")).unwrap();
    text.lines().filter_map(|l| l.strip_prefix("### ")).map(test_name).collect()
}

fn tests(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in std::fs::read_dir(root.join("tests/tests/rooms")).unwrap() {
        let source = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for item in syn::parse_file(&source).unwrap().items {
            if let syn::Item::Fn(function) = item
                && function.attrs.iter().any(|a| a.path().is_ident("test"))
            {
                assert!(
                    !function.attrs.iter().any(|a| a.path().is_ident("ignore")),
                    "{} is ignored, so its scenario is not held by a test",
                    function.sig.ident
                );
                assert!(names.insert(function.sig.ident.to_string()), "{} is there twice", function.sig.ident);
            }
        }
    }
    names
}

#[test]
fn every_scenario_is_a_test_of_the_same_name_and_every_test_a_scenario() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let (headings, tests) = (headings(root), tests(root));
    let untested: Vec<_> = headings.difference(&tests).collect();
    let unlisted: Vec<_> = tests.difference(&headings).collect();
    assert!(untested.is_empty(), "scenarios without a test: {untested:?}");
    assert!(unlisted.is_empty(), "tests without a scenario: {unlisted:?}");
    assert!(headings.len() >= 40, "only {} scenarios", headings.len());
}
