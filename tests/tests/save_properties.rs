//! `docs/save-properties.md` and the tests that it names are one list.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

use std::collections::BTreeSet;

const PAGE: &str = "docs/save-properties.md";
const PROPERTIES: usize = 21;

/// Properties of what is not built yet: nothing can hold them.
const NOT_THERE: &[usize] = &[21];

/// A line of the table: the property, the file and the test that holds it.
#[derive(Debug)]
struct Line {
    property: usize,
    file: String,
    test: String,
}

fn lines(page: &str) -> Vec<Line> {
    let rows = page.lines().filter(|l| l.starts_with("| P") && !l.starts_with("| P |"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "{row}");
        let property = cells[0][1..].parse().unwrap_or_else(|e| panic!("{row}: {e}"));
        let plain = |cell: &str| cell.trim_matches('`').to_owned();
        Line { property, file: plain(cells[2]), test: plain(cells[3]) }
    })
    .collect()
}

/// Whether the text has a test of this name that runs: inside of a macro as well, where nothing parses it.
fn has_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let above = before.trim_end().trim_end_matches("async").trim_end();
    let attributes: Vec<&str> = above.lines().rev().map(str::trim).take_while(|l| l.starts_with("#[")).collect();
    attributes.iter().any(|a| a.contains("test")) && !attributes.iter().any(|a| a.contains("ignore"))
}

/// What is wrong with the list, given the text of a file.
fn wrong(lines: &[Line], text: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for property in 1..=PROPERTIES {
        let named: Vec<&Line> = lines.iter().filter(|l| l.property == property).collect();
        let is_there = !NOT_THERE.contains(&property);
        if named.is_empty() || (is_there && named.iter().all(|l| l.file == "not there")) {
            wrong.push(format!("P{property} has no test"));
        }
        for line in named.into_iter().filter(|l| is_there || l.file != "not there") {
            match text(&line.file) {
                None => wrong.push(format!("P{property}: no file {}", line.file)),
                Some(text) if !has_test(&text, &line.test) => {
                    wrong.push(format!("P{property}: no test {} in {}", line.test, line.file));
                }
                Some(_) => {}
            }
        }
    }
    wrong
}

/// Tests whose name begins with the number of a property, and in which file.
fn numbered() -> BTreeSet<(usize, String, String)> {
    let mut found = BTreeSet::new();
    for file in tree::files().into_iter().filter(|f| f.ends_with(".rs") && f != "tests/tests/save_properties.rs") {
        for line in tree::read(&file).lines() {
            let Some(name) = line.trim().strip_prefix("fn p").and_then(|rest| rest.split('(').next()) else { continue };
            let Some((number, _)) = name.split_once('_') else { continue };
            if let (2, Ok(property)) = (number.len(), number.parse()) {
                found.insert((property, file.clone(), format!("p{name}")));
            }
        }
    }
    found
}

#[test]
fn every_property_of_saves_is_held_by_tests_that_exist() {
    let files: BTreeSet<String> = tree::files().into_iter().collect();
    let wrong = wrong(&lines(&tree::read(PAGE)), |file| files.contains(file).then(|| tree::read(file)));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_test_of_a_property_is_on_the_page() {
    let named: BTreeSet<(usize, String, String)> =
        lines(&tree::read(PAGE)).into_iter().map(|l| (l.property, l.file, l.test)).collect();
    let numbered = numbered();
    let missing: Vec<_> = numbered.difference(&named).collect();
    assert!(missing.is_empty(), "not in {PAGE}: {missing:#?}");
    assert!(numbered.len() >= 30, "only {} numbered tests were found", numbered.len());
}

#[test]
fn catches_a_missing_property_a_missing_test_and_an_ignored_one() {
    // A text for the check to refuse, no test of ours that is ignored.
    let text = "#[test]\nfn a() {}\n\n#[test]\n#[ignore = \"later\"]\nfn b() {}\n\nfn c() {}\n";
    assert!(has_test(text, "a") && !has_test(text, "b") && !has_test(text, "c") && !has_test(text, "d"));
    let row = |property, test: &str| Line { property, file: "x.rs".to_owned(), test: test.to_owned() };
    let mut all: Vec<Line> = (1..PROPERTIES).map(|p| row(p, "a")).collect();
    all.push(Line { property: PROPERTIES, file: "not there".to_owned(), test: String::new() });
    let found = |lines: &[Line]| wrong(lines, |file| (file == "x.rs").then(|| text.to_owned()));
    assert!(found(&all).is_empty());
    all[4].test = "b".to_owned();
    all[7].property = 9;
    all[9].file = "y.rs".to_owned();
    assert_eq!(found(&all), ["P5: no test b in x.rs", "P8 has no test", "P10: no file y.rs"]);
}
