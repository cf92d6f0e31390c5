//! What patterns match, and that none of them is slow.

use bonfire_engine::places::pattern::Pattern;

use crate::disk::path;

fn covers(pattern: &str, file: &str) -> bool {
    pattern.parse::<Pattern>().unwrap().covers(&path(file), false)
}

#[test]
fn a_pattern_covers_what_it_matches_and_everything_beneath() {
    for (pattern, file, expected) in [
        ("*.sav", "a.sav", true),
        ("*.sav", "a.sav/inner", true),
        ("*.sav", "deep/a.sav", false),
        ("saves", "saves/a/b", true),
        ("saves", "saves2", false),
        ("**/*.sav", "a.sav", true),
        ("**/*.sav", "x/y/a.sav", true),
        ("a/**", "a/b", true),
        ("a/**/c", "a/c", true),
        ("a/**/c", "a/b/b/c/d", true),
        ("a/**/c", "b/c", false),
        ("slot?", "slot1", true),
        ("slot?", "slot10", false),
        ("[0-9]*", "7up", true),
        ("[!0-9]*", "7up", false),
        ("[]x]", "]", true),
        ("[x", "[x", true),
        ("a*b*c", "a__b__c", true),
        ("a*b*c", "a__c__b", false),
        ("{a,b}", "{a,b}", true),
    ] {
        assert_eq!(covers(pattern, file), expected, "{pattern} on {file}");
    }
}

#[test]
fn case_counts_only_where_the_game_counts_it() {
    let pattern: Pattern = "Saves/[A-C]*.SAV".parse().unwrap();
    assert!(pattern.covers(&path("saves/b1.sav"), true));
    assert!(!pattern.covers(&path("saves/b1.sav"), false));
    let accent: Pattern = "É*".parse().unwrap();
    assert!(accent.covers(&path("e\u{301}t"), true));
}

#[test]
fn a_pattern_made_to_be_slow_is_not() {
    let pattern: Pattern = format!("{}b", "*a".repeat(100)).parse().unwrap();
    assert!(!pattern.covers(&path(&"a".repeat(255)), false));
    let deep: Pattern = format!("{}z", "**/".repeat(300)).parse().unwrap();
    assert!(!deep.covers(&path(&["a"; 32].join("/")), false));
}

#[test]
fn a_pattern_reads_back_as_it_is_written() {
    for text in ["*.sav", "**/a/[!a-z]?", "[[]x[*]", "[]x]"] {
        let pattern: Pattern = text.parse().unwrap();
        assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!(serde_json::from_str::<Pattern>(&json).unwrap(), pattern);
    }
    assert!("a/../b".parse::<Pattern>().is_err() && "/".parse::<Pattern>().is_err());
}
