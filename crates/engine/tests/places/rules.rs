//! Which paths of a manifest are refused, and which are the same.

use bonfire_engine::places::placeholders::Placeholder;
use bonfire_engine::places::rule_path::{PathRejected, RulePath};

use crate::disk::{Disk, installed_at, linux, placed, why};
use crate::{SAMPLE, sample};

#[test]
fn the_sample_uses_every_placeholder() {
    for placeholder in Placeholder::ALL {
        assert!(SAMPLE.contains(&placeholder.to_string()), "{placeholder}");
    }
}

#[test]
fn a_path_that_could_lead_anywhere_is_refused_with_the_reason() {
    let roots = placed("Paper Moth", &installed_at("/games/moth/local"), &linux(), &Disk::default());
    assert!(roots.roots.is_empty(), "{roots:#?}");
    for (rule, reason) in [
        ("./saves", "relative"),
        ("../elsewhere", "relative"),
        ("/var/games/moth", "placeholder"),
        ("C:/Moth/saves", "placeholder"),
        ("<base>/../moth", "`..`"),
        ("<home>", "whole folder"),
        ("<winDocuments>/*", "whole folder"),
        ("<base>/**", "whole folder"),
        ("<moonbase>/saves", "<moonbase> is unknown"),
        ("<home>/<base>/saves", "alone, at the beginning"),
        ("<home>/.ssh/known", "no save"),
        ("<base>/aux/x", "reserved"),
        ("<base>/what|ever*", "not allowed in names"),
    ] {
        assert!(why(&roots, rule).contains(reason), "{rule}: {}", why(&roots, rule));
    }
    assert_eq!(sample().titles()["Paper Moth"].files.len(), 13);
}

#[test]
fn folders_that_many_games_share_are_too_wide_however_they_are_written() {
    for wide in [
        "<home>/AppData/Roaming",
        "<home>/.config",
        "<home>/.local",
        "<home>/Documents",
        "<winDocuments>/My Games",
        "<winDocuments>\\My Games\\*",
        "<xdgConfig>/unity3d",
        "<winLocalAppData>/Packages",
        "<root>/<game>",
        "<base>",
        "<root>/*/save",
        "<home>/**/save.dat",
        "<xdgData>/./",
    ] {
        assert_eq!(RulePath::parse(wide), Err(PathRejected::TooWide), "{wide}");
    }
    for narrow in ["<base>/**/*.sav", "<base>/*/save", "<winDocuments>/My Games/Moth", "<home>/.moth", "<root>/x/*"] {
        assert!(RulePath::parse(narrow).is_ok(), "{narrow}");
    }
}

#[test]
fn keys_and_what_starts_by_itself_are_out_of_reach_for_patterns_too() {
    for reaching in [
        "<home>/.SSH/id",
        "<home>/.s*h/x",
        "<home>/.config/autostart/x.desktop",
        "<xdgConfig>/auto*",
        "<winAppData>/Micro*",
        "<winAppData>/Microsoft/W?ndows/x",
        "<home>/.local/bin/x",
        "<home>/.bashrc",
    ] {
        assert_eq!(RulePath::parse(reaching), Err(PathRejected::NoSave), "{reaching}");
    }
    assert!(RulePath::parse("<home>/.sshine/save").is_ok() && RulePath::parse("<base>/.ssh").is_ok());
}

#[test]
fn two_spellings_of_one_path_are_one() {
    let key = |text: &str| RulePath::parse(text).unwrap().key();
    for (a, b) in [
        ("<root>/<game>/saves", "<base>/saves"),
        ("<home>/AppData/LocalLow/A/B", "<winLocalAppDataLow>/a/b"),
        ("<home>/.local/share/x", "<xdgData>/x"),
        ("<base>\\Saves\\", "<base>/saves"),
        ("<base>//./saves", "<base>/saves"),
    ] {
        assert_eq!(key(a), key(b));
    }
    assert_ne!(key("<winAppData>/x"), key("<winLocalAppData>/x"));
}

#[test]
fn a_placeholder_within_a_name_stands_for_a_part_of_it_and_an_unclosed_one_is_refused() {
    assert_eq!(RulePath::parse("<base>/p_<storeUserId>.dat").unwrap().to_string(), "<base>/p_<storeUserId>.dat");
    assert!(matches!(RulePath::parse("<base>/p_<storeUserId"), Err(PathRejected::Name { .. })));
    assert!(matches!(RulePath::parse("<base>/a>b"), Err(PathRejected::Name { .. })));
    assert_eq!(RulePath::parse("<base/x"), Err(PathRejected::NoPlaceholder));
    assert_eq!(RulePath::parse("<osUserName>/x"), Err(PathRejected::NoPlaceholder));
    assert_eq!(RulePath::parse(""), Err(PathRejected::NoPlaceholder));
}
