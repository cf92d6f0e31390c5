//! A file is to be read in one sitting: over 400 production lines it is named, over 800 it needs an excuse.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

const LONG: usize = 400;
const TOO_LONG: usize = 800;

/// Files that may be over 800 production lines, each with its reason.
const EXCUSED: &[(&str, &str)] = &[];

#[test]
fn files_stay_short_enough_to_read_in_one_sitting() {
    let sizes: Vec<(String, usize)> = tree::files()
        .into_iter()
        .filter(|f| tree::is_production(f))
        .map(|f| {
            let lines = production_lines(&tree::read(&f));
            (f, lines)
        })
        .collect();
    for (file, lines) in sizes.iter().filter(|(_, lines)| *lines > LONG) {
        println!("{file}: {lines} production lines; can it be split by the state it owns?");
    }
    let wrong = too_long(&sizes);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_source_file_says_what_it_owns() {
    let silent: Vec<String> = tree::files()
        .into_iter()
        // Unit tests own what the module above them owns.
        .filter(|f| f.ends_with(".rs") && !f.ends_with("/tests.rs"))
        .filter(|f| !tree::read(f).starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "files that do not open with `//!`: {silent:#?}");
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    let empty = ["utils", "util", "helpers", "helper", "common", "misc", "manager", "types"];
    let vague: Vec<String> = tree::files()
        .into_iter()
        .filter(|f| f.ends_with(".rs"))
        .filter(|f| {
            f.trim_end_matches(".rs").trim_end_matches("/mod").rsplit('/').next().is_some_and(|n| empty.contains(&n))
        })
        .collect();
    assert!(vague.is_empty(), "name them for the state they own: {vague:#?}");
}

#[test]
fn catches_a_planted_long_file() {
    let at = |lines: usize| [("crates/x/src/a.rs".to_owned(), lines)];
    assert!(too_long(&at(TOO_LONG)).is_empty());
    assert_eq!(too_long(&at(TOO_LONG + 1)).len(), 1);
}

#[test]
fn stops_counting_at_tests_in_the_file_and_only_there() {
    assert_eq!(production_lines("//! A\nfn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn t() {}\n}\n"), 3);
    assert_eq!(production_lines("//! A\n#[cfg(test)]\nmod tests;\nfn a() {}\n"), 4);
    assert_eq!(production_lines("fn a() {}\n    #[cfg(test)]\n    fn only_in_tests() {}\nfn b() {}\n"), 4);
}

fn too_long(sizes: &[(String, usize)]) -> Vec<String> {
    sizes
        .iter()
        .filter(|(file, lines)| *lines > TOO_LONG && !EXCUSED.iter().any(|(excused, _)| excused == file))
        .map(|(file, lines)| format!("{file} has {lines} production lines; {TOO_LONG} is the most without an excuse"))
        .collect()
}

/// Lines before an inline module of tests.
fn production_lines(source: &str) -> usize {
    let lines: Vec<&str> = source.lines().collect();
    lines
        .windows(2)
        .position(|w| w[0].starts_with("#[cfg(test)]") && w[1].starts_with("mod ") && w[1].ends_with('{'))
        .unwrap_or(lines.len())
}
