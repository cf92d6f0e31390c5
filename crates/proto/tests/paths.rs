//! Which texts may be a path or a game id, which two paths would meet, and which paths no peer may offer.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;

use bonfire_proto::game::{RESERVED_ROOT_NAMES, SENTINEL, is_reserved};
use bonfire_proto::ids::IdError;
use bonfire_proto::limits::{GAME_ID_LEN_MAX, MANIFEST_FILES_MAX, NAME_LEN_MAX, PATH_DEPTH_MAX, PATH_LEN_MAX};
use bonfire_proto::rel_path::check_collisions;
use bonfire_proto::{GameId, PathError, RelPath};
use proptest::prelude::*;

fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap_or_else(|e| panic!("{text:?}: {e}"))
}

#[test]
fn takes_ordinary_paths_as_they_are() {
    let long_name = "x".repeat(NAME_LEN_MAX);
    for text in [
        "version.ini",
        "data/pak0.eti",
        "a b/c-d_e (1) [x] {y} #&%$@!~`^+=,;'.txt",
        ".hidden/..also.fine",
        "...leading",
        "日本語/セーブ.dat",
        "émigré/naïve.sav",
        "COMPANY/CONSOLE.NULL/auxiliary/com10/com/LPT/con-1",
        &long_name,
    ] {
        assert_eq!(path(text).as_str(), text);
    }
}

#[test]
fn refuses_what_leaves_the_root_or_names_no_file() {
    for (text, why) in [
        ("", PathError::Empty),
        ("/", PathError::Absolute),
        ("/etc/passwd", PathError::Absolute),
        ("//server/share", PathError::Absolute),
        ("\\\\server\\share", PathError::Absolute),
        ("\\\\?\\C:\\x", PathError::Absolute),
        ("C:", PathError::Absolute),
        ("C:/windows", PathError::Absolute),
        ("c:windows", PathError::Absolute),
        ("a//b", PathError::Empty),
        ("a/", PathError::Empty),
        (".", PathError::Dots),
        ("..", PathError::Dots),
        ("../x", PathError::Dots),
        ("a/../b", PathError::Dots),
        ("a/./b", PathError::Dots),
        ("a/..", PathError::Dots),
    ] {
        assert_eq!(RelPath::new(text), Err(why), "{text:?}");
    }
}

#[test]
fn refuses_characters_that_some_platform_forbids() {
    for c in ['\\', ':', '*', '?', '"', '<', '>', '|', '\0', '\n', '\r', '\t', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}'] {
        assert_eq!(RelPath::new(format!("ab{c}cd")), Err(PathError::Character(c)));
        assert_eq!(RelPath::new(format!("dir/ab{c}")), Err(PathError::Character(c)));
    }
    // A stream of NTFS.
    assert_eq!(RelPath::new("version.ini::$DATA"), Err(PathError::Character(':')));
    assert_eq!(RelPath::new("ab/C:/x"), Err(PathError::Character(':')));
}

#[test]
fn refuses_characters_that_hide_or_reorder_text() {
    for c in [
        '\u{202a}',
        '\u{202d}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{200e}',
        '\u{200f}',
        '\u{61c}',
        '\u{200b}',
        '\u{200d}',
        '\u{2060}',
        '\u{feff}',
        '\u{2028}',
        '\u{2029}',
        '\u{fff9}',
        '\u{e0041}',
    ] {
        assert_eq!(RelPath::new(format!("photo{c}gpj.exe")), Err(PathError::Character(c)), "{c:?}");
    }
}

#[test]
fn refuses_names_that_windows_would_change() {
    for text in ["a.", "a ", "a./b", "a /b", "a..", "a. ", "version.ini.", "local ", "... "] {
        assert_eq!(RelPath::new(text), Err(PathError::Trailing), "{text:?}");
    }
}

#[test]
fn refuses_device_names_in_every_spelling() {
    for text in [
        "CON",
        "con",
        "Con",
        "PRN",
        "AUX",
        "NUL",
        "nul",
        "CONIN$",
        "conout$",
        "COM0",
        "COM1",
        "com9",
        "LPT1",
        "lpt0",
        "COM¹",
        "com²",
        "LPT³",
        "NUL.txt",
        "nul.tar.gz",
        "con .txt",
        "COM1.x",
        "COM¹.x",
        "a/NUL",
        "NUL/b",
        "a/aux.c/b",
    ] {
        assert_eq!(RelPath::new(text), Err(PathError::Reserved), "{text:?}");
    }
}

#[test]
fn lengths_and_depth_hold_at_the_edge() {
    let name = "x".repeat(NAME_LEN_MAX);
    assert!(RelPath::new(name.clone()).is_ok());
    assert_eq!(RelPath::new(format!("{name}x")), Err(PathError::TooLong));
    // In bytes, not characters.
    assert_eq!(RelPath::new("é".repeat(NAME_LEN_MAX / 2 + 1)), Err(PathError::TooLong));

    let longest = format!("{name}/{name}/{name}/z/{}", "y".repeat(PATH_LEN_MAX - 3 * (NAME_LEN_MAX + 1) - 2));
    assert_eq!(longest.len(), PATH_LEN_MAX);
    assert!(RelPath::new(longest.clone()).is_ok());
    assert_eq!(RelPath::new(format!("{longest}z")), Err(PathError::TooLong));

    assert!(RelPath::new(vec!["d"; PATH_DEPTH_MAX].join("/")).is_ok());
    assert_eq!(RelPath::new(vec!["d"; PATH_DEPTH_MAX + 1].join("/")), Err(PathError::TooDeep));
}

#[test]
fn takes_a_path_apart() {
    let p = path("a/b/c.txt");
    assert_eq!(p.parts().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
    assert_eq!((p.first(), p.file_name()), ("a", "c.txt"));
    assert_eq!(p.parent().unwrap().as_str(), "a/b");
    assert_eq!(path("top").parent(), None);
    assert_eq!(path("a").join("b").unwrap().as_str(), "a/b");
    assert_eq!(path("a").join(".."), Err(PathError::Dots));
    assert_eq!(path("a").join("/etc"), Err(PathError::Empty));
}

fn meet(a: &str, b: &str) -> bool {
    let paths = [path(a), path(b)];
    let forward = check_collisions(&paths);
    let backward = check_collisions(paths.iter().rev());
    assert_eq!(forward.is_err(), backward.is_err(), "{a} {b}");
    if let Err(c) = &forward {
        assert_eq!((c.first.as_str(), c.second.as_str()), (a, b), "first comes first in the order given");
    }
    forward.is_err()
}

#[test]
fn finds_paths_that_one_file_system_stores_under_one_name() {
    for (a, b) in [
        ("a", "a"),
        ("a", "A"),
        ("a/x", "A/y"),
        ("x/a/1", "x/A/2"),
        // Composed and decomposed.
        ("\u{e9}", "e\u{301}"),
        ("\u{c9}", "e\u{301}"),
        ("d\u{e9}/1", "de\u{301}/2"),
        ("ΟΔΟΣ", "οδος"),
        ("οδοσ", "οδος"),
        ("straße", "STRASSE"),
        ("ſ", "s"),
        // The Kelvin and Angstrom signs.
        ("\u{212a}", "k"),
        ("\u{212b}", "\u{e5}"),
        // A file where the other needs a folder.
        ("a", "a/b"),
        ("a", "A/b/c"),
        ("a/b", "a/b/c"),
    ] {
        assert!(meet(a, b), "{a:?} {b:?}");
    }
    for (a, b) in
        [("a", "b"), ("a/b", "a/c"), ("a/b", "ab"), ("a/b", "a.b"), ("A/x", "A/y"), ("a-b", "a/b"), ("n", "ñ")]
    {
        assert!(!meet(a, b), "{a:?} {b:?}");
    }
}

#[test]
fn finds_a_collision_among_many_neighbours() {
    let names = ["a", "a-", "a.b", "a/b", "a0", "b/c/D/0", "b/c/D/1", "b/c/d/2", "c"];
    let paths: Vec<RelPath> = names.iter().map(|n| path(n)).collect();
    // "a" is a file and a folder, however many names sort between the two; so is the rest without it.
    assert!(check_collisions(&paths).is_err());
    assert!(check_collisions(&paths[1..]).is_err());
    assert!(check_collisions(&paths[1..7]).is_ok());
}

#[test]
fn checks_the_largest_list_in_memory_of_the_size_of_its_text() {
    // Every path has its own folders all the way down: a table of folders would hold 32 entries a path.
    let deep = "d/".repeat(PATH_DEPTH_MAX - 2);
    let paths: Vec<RelPath> = (0..MANIFEST_FILES_MAX).map(|i| path(&format!("{i}/{deep}f"))).collect();
    assert_eq!(check_collisions(&paths), Ok(()));
}

/// Quadratic and plain: two paths meet when, name by name, they fold alike until one ends or the spelling differs.
fn collide_by_definition(paths: &[RelPath]) -> bool {
    let prefixes = |p: &RelPath| {
        let parts: Vec<&str> = p.parts().collect();
        (1..=parts.len()).map(|n| (path(&parts[..n].join("/")), n < parts.len())).collect::<Vec<_>>()
    };
    for (i, a) in paths.iter().enumerate() {
        for b in &paths[..i] {
            for (pa, a_is_dir) in prefixes(a) {
                for (pb, b_is_dir) in prefixes(b) {
                    let shared_folder = a_is_dir && b_is_dir && pa == pb;
                    if pa.folded() == pb.folded() && !shared_folder {
                        return true;
                    }
                }
            }
        }
    }
    false
}

#[test]
fn reserved_names_are_reserved_in_every_spelling() {
    for name in RESERVED_ROOT_NAMES {
        for text in
            [(*name).to_owned(), name.to_uppercase(), format!("{name}/x/y"), format!("{}/x", name.to_uppercase())]
        {
            assert!(is_reserved(&path(&text)), "{text}");
        }
        // Only at the top: a game may have such a folder of its own further down.
        assert!(!is_reserved(&path(&format!("data/{name}"))), "{name}");
    }
    for text in [
        "Local/save.dat",
        "LOCAL",
        "Version.ini",
        "VERSION.INI",
        "versıon.ini",
        "version.ini/x",
        "Version.INI/x",
        ".ſync",
        ".Lanspread.JSON",
        // 8.3 names that open the long one on Windows.
        "LOCAL~1.INS/x",
        "local~2.bac",
        "LANSPR~1.JSO",
        "LANSPR~1",
        "BONFIR~1.PAR",
        "VERSIO~1.TMP",
        "VERSIO~12.DIS",
        "LAF3C2~1.JSO",
        "SOFTLA~1",
        "SYNC~1",
    ] {
        assert!(is_reserved(&path(text)), "{text}");
    }
}

#[test]
fn ordinary_names_are_not_reserved() {
    for text in [
        SENTINEL,
        "version.ini.bak",
        "data/version.ini",
        "data/Version.INI",
        "data/local/x",
        "locale/de.txt",
        "local.cfg",
        "localisation",
        "game.eti",
        "PROGRA~1/x",
        "GAME~1.EXE",
        "~1",
        "a~b",
        "backup~",
        ".sync2",
        ".version.ini",
    ] {
        assert!(!is_reserved(&path(text)), "{text}");
    }
}

#[test]
fn a_game_id_is_one_visible_name() {
    for text in ["doom", "Half-Life 2", "日本", "a.b", &"x".repeat(GAME_ID_LEN_MAX)] {
        assert_eq!(GameId::new(text).unwrap().as_str(), text);
    }
    for text in ["", ".", "..", "a/b", "a\\b", "C:", "NUL", "COM¹", "a.", "a ", "a\u{202e}b", "a\nb"] {
        assert!(matches!(GameId::new(text), Err(IdError::Name(_))), "{text:?}");
    }
    assert_eq!(GameId::new("x".repeat(GAME_ID_LEN_MAX + 1)), Err(IdError::Name(PathError::TooLong)));
    for text in [".local.installing", ".hidden", ".sync"] {
        assert_eq!(GameId::new(text), Err(IdError::Hidden), "{text:?}");
    }
}

/// Names from an alphabet in which collisions are likely.
fn likely_to_meet() -> impl Strategy<Value = RelPath> {
    proptest::collection::vec("[aAbé\u{c9}ſs]{1,2}", 1..4).prop_map(|parts| path(&parts.join("/")))
}

fn cases() -> ProptestConfig {
    let config = ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()));
    // As many to a case as there may be in an ordinary run.
    let max_local_rejects = config.max_local_rejects.max(config.cases.saturating_mul(8));
    ProptestConfig { max_local_rejects, ..config }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p20_whatever_is_taken_stays_beneath_its_root(text in prop_oneof!["\\PC{0,40}", "[./\\\\:a-cNUL ~]{0,20}", ".{0,40}"]) {
        let Ok(p) = RelPath::new(text.clone()) else { return Ok(()) };
        prop_assert_eq!(p.as_str(), &text);
        prop_assert!(p.parts().count() <= PATH_DEPTH_MAX);
        prop_assert!(text.len() <= PATH_LEN_MAX);
        for part in p.parts() {
            prop_assert!(part.len() <= NAME_LEN_MAX);
            prop_assert!(!part.is_empty() && part != "." && part != "..");
            prop_assert!(!part.ends_with('.') && !part.ends_with(' '));
            prop_assert!(!part.contains(['\\', ':', '\0']));
        }
        // The platform agrees that it is relative and goes nowhere but down.
        let on_disk = std::path::Path::new(p.as_str());
        prop_assert!(on_disk.is_relative());
        prop_assert!(on_disk.components().all(|c| matches!(c, std::path::Component::Normal(_))));
        prop_assert_eq!(text.parse::<RelPath>().unwrap(), p.clone());
        prop_assert_eq!(serde_json::from_str::<RelPath>(&serde_json::to_string(&p).unwrap()).unwrap(), p);
    }

    #[test]
    fn p20_folding_is_the_same_twice_and_for_every_case(text in "[a-zA-Z0-9éÉßſΣσςİıK\u{301}]{1,12}") {
        let Ok(p) = RelPath::new(text) else { return Ok(()) };
        let folded = p.folded();
        for other in [folded.clone(), p.as_str().to_uppercase(), p.as_str().to_lowercase()] {
            prop_assert_eq!(path(&other).folded(), folded.clone(), "{:?}", other);
        }
    }

    #[test]
    fn p20_collisions_are_found_exactly_when_the_definition_says(paths in proptest::collection::vec(likely_to_meet(), 0..7)) {
        prop_assert_eq!(check_collisions(&paths).is_err(), collide_by_definition(&paths));
    }

    #[test]
    fn p20_distinct_ascii_files_of_one_folder_never_collide(names in proptest::collection::btree_set("[a-z0-9]{1,8}", 0..40)) {
        let paths: BTreeSet<RelPath> = names.iter().filter_map(|n| RelPath::new(format!("dir/{n}")).ok()).collect();
        prop_assert_eq!(check_collisions(&paths), Ok(()));
    }

    #[test]
    fn is_reserved_depends_on_the_folded_path_alone(text in "[vV]ersion\\.[iI]n[iI](/x)?|[lL]ocal(/[a-z])?|\\.[sS]ync") {
        let p = path(&text);
        prop_assert_eq!(is_reserved(&p), text != SENTINEL);
    }
}
