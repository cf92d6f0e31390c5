//! Which title a game is, and when nobody can say.

use bonfire_engine::places::index::IndexError;
use bonfire_engine::places::matching::{By, own_title};
use bonfire_engine::places::{Index, Match, Source, TitleNames, lookup, manifest};

use crate::sample;

fn found(name: &str, by: By) -> Match {
    Match::Title { name: name.into(), by }
}

#[test]
fn a_game_is_found_by_its_name_its_id_a_nickname_or_a_name_that_looks_alike() {
    let index = sample();
    let names = TitleNames::of(&index);
    for (id, name, expected) in [
        ("lanterns", "Lanterns of Quay", found("Lanterns of Quay", By::Name)),
        ("Tin Comet", "something else", found("Tin Comet", By::Name)),
        ("x", "Lanterns of Quay: Harbour Edition", found("Lanterns of Quay", By::Alias)),
        ("x", "lanterns of quay™ - harbour edition", found("Lanterns of Quay", By::SimilarName)),
        ("tin-comet", "", found("Tin Comet", By::SimilarName)),
        ("x", "TÍN  COMET®", found("Tin Comet", By::SimilarName)),
        ("1979", "x", found("1979", By::Name)),
        ("x", "Tin Comet 2", Match::Unknown),
        ("x", "!!!", Match::Unknown),
        ("x", "Round One", Match::Unknown),
    ] {
        assert_eq!(names.find(id, name), expected, "{id:?} {name:?}");
    }
}

#[test]
fn when_several_titles_fit_all_are_named_and_none_is_chosen() {
    let index = sample();
    let names = TitleNames::of(&index);
    let both = Match::Ambiguous(vec!["Pebble Run!".into(), "Pebble-Run".into()]);
    assert_eq!(names.find("x", "pebble run"), both);
    assert_eq!(names.find("Pebble-Run", "Pebble Run!"), both);
    // The exact name is not ambiguous, and nor is the id when the name says nothing.
    assert_eq!(names.find("x", "Pebble-Run"), found("Pebble-Run", By::Name));
    let disagree = Match::Ambiguous(vec!["Crate Goblin".into(), "Tin Comet".into()]);
    assert_eq!(names.find("crate_goblin", "tin_comet"), disagree);
}

#[test]
fn the_manifest_in_a_games_folder_is_about_that_game() {
    let one = manifest::parse_own("Any Name:\n  files: {}\nOther Name:\n  alias: Any Name\n").unwrap();
    assert_eq!(own_title(&one, "moth", "Moth"), found("Any Name", By::Name));
    let two = manifest::parse_own("Moth!: {}\nMoth Tools: {}\n").unwrap();
    assert_eq!(own_title(&two, "moth", "Moth"), found("Moth!", By::SimilarName));
    assert!(matches!(own_title(&two, "larch", "Larch"), Match::Ambiguous(names) if names.len() == 2));
    assert_eq!(own_title(&manifest::parse_own("").unwrap(), "x", "x"), Match::Unknown);
}

#[test]
fn a_few_games_are_found_in_the_lines_as_in_the_whole_index() {
    let mut index = sample();
    let more = "Twin Lamps: {}\nTWIN LAMPS!: {}\nold lamps: {alias: Twin Lamps}\nolder lamps: {alias: old lamps}\n\
                lost: {alias: nothing}\nround: {alias: round}\n";
    let titles = manifest::parse(more).unwrap().titles().clone().into_iter().chain(index.titles().clone());
    index = Index::new(titles.collect());
    let lines = index.to_lines(&Source::default()).unwrap();
    let names: Vec<String> = index.titles().keys().cloned().collect();
    let odd = ["twin-lamps", "Older Lamps", "LOST", "", "™", "no such game"].map(str::to_owned);
    for name in names.iter().chain(&odd) {
        for id in names.iter().chain(&odd) {
            let few = lookup::some(&lines, [id.as_str(), name.as_str()]).unwrap();
            let (whole, found) = (TitleNames::of(&index).find(id, name), TitleNames::of(&few).find(id, name));
            assert_eq!(found, whole, "{id:?} {name:?}");
            if let Match::Title { name, .. } = whole {
                assert_eq!(few.get(&name), index.get(&name));
            }
        }
    }
    let cut = lines.trim_end().rsplit_once('\n').unwrap().0;
    assert!(matches!(lookup::some(cut, ["x"]), Err(IndexError::Cut { .. })));
}
