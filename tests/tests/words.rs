//! What no file of the tree may say: paths of a machine it was written on, hosts that only that machine knows.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod tree;

/// The one place that dependencies come from, as `Cargo.lock` writes it.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Put together from pieces, so that this file does not contain what it looks for.
fn forbidden() -> Vec<String> {
    [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/tmp/", "plan"],
        ["/tmp/", "t/"],
        ["index.cra", "tes.io"],
        ["static.cra", "tes.io"],
    ]
    .iter()
    .map(|parts| parts.concat())
    .collect()
}

#[test]
fn no_file_names_a_path_or_a_host_of_the_machine_it_was_written_on() {
    let mut wrong = Vec::new();
    for file in tree::files() {
        let Ok(text) = std::fs::read_to_string(tree::root().join(&file)) else { continue };
        wrong.extend(found_in(&text).into_iter().map(|word| format!("{file} contains {word}")));
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_dependency_comes_from_the_one_public_registry() {
    let lock = tree::read("Cargo.lock");
    let wrong: Vec<&str> = elsewhere(&lock);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn catches_a_planted_path() {
    for word in forbidden() {
        assert!(found_in(&format!("see `{word}`")).contains(&word));
        // The same letters inside another path are no path of a machine.
        assert!(found_in(&format!("target{word}")).is_empty());
    }
    let mirror = "source = \"registry+https://mirror.invalid/index\"";
    assert_eq!(elsewhere(mirror), [mirror]);
}

fn found_in(text: &str) -> Vec<String> {
    let starts_a_path = |at: usize| {
        !text[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '}'))
    };
    forbidden().into_iter().filter(|word| text.match_indices(word.as_str()).any(|(at, _)| starts_a_path(at))).collect()
}

fn elsewhere(lock: &str) -> Vec<&str> {
    lock.lines().filter(|l| l.starts_with("source = ") && *l != format!("source = \"{SOURCE}\"")).collect()
}
