//! What is taken from a manifest, what is refused, and that the index is the same when it is read again.

use std::collections::BTreeSet;

use bonfire_engine::places::index::{AliasError, IndexError, Purpose};
use bonfire_engine::places::manifest::{self, RULES_PER_TITLE_MAX, TITLE_LEN_MAX};
use bonfire_engine::places::{Index, ManifestError, Source};

use crate::{SAMPLE, sample};

fn title_of(error: ManifestError) -> (String, String) {
    let ManifestError::Title { title, message } = error else { panic!("{error:?}") };
    (title, message)
}

#[test]
fn keeps_what_is_needed_to_place_saves_and_counts_the_rest() {
    let index = sample();
    let title = &index.titles()["Lanterns of Quay"];
    let set = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(title.files.len(), 3);
    assert_eq!(title.registry, set(&["HKEY_CURRENT_USER/Software/Quayside/Lanterns"]));
    assert_eq!(title.install_dirs, set(&["LanternsOfQuay"]));
    assert_eq!(title.ids.steam, ["9900001", "9900002"]);
    assert_eq!(title.ids.gog, ["770000001", "770000002", "770000003"]);
    assert_eq!(title.ids.main("flatpak"), Some("net.invalid.Lanterns"));
    assert_eq!(title.ids.main("moonstore"), Some("12"));
    assert_eq!(title.cloud, set(&["steam", "uplay"]));
    assert_eq!(title.notes, 2);
    let config = title.files.iter().find(|f| f.path.ends_with("options.ini")).unwrap();
    assert_eq!(config.purpose(), Purpose::Config);
}

#[test]
fn words_and_fields_of_a_later_day_are_passed_over() {
    let index = sample();
    let title = &index.titles()["Glass Orchard"];
    let grove = title.files.iter().find(|f| f.path == "<base>/grove").unwrap();
    assert_eq!((grove.when.len(), grove.purpose()), (2, Purpose::Save));
    assert!(title.files.iter().any(|f| f.path == "<base>/seeds" && f.tags.is_empty()));
    assert!(title.ids.other.is_empty() && title.registry.is_empty());
    assert!(index.titles().contains_key("1979") && index.titles().contains_key("Empty"));
}

#[test]
fn a_nickname_leads_to_its_title_and_one_that_goes_round_is_said() {
    let index = sample();
    let (name, title) = index.get("Lanterns of Quay: Harbour Edition").unwrap().unwrap();
    assert_eq!((name, title.notes), ("Lanterns of Quay", 2));
    assert_eq!(index.get("Round One"), Err(AliasError::Endless("Round One".into())));
    assert!(matches!(index.get("Nobody's Name"), Err(AliasError::Missing { .. })));
    assert_eq!(index.get("Never Heard Of"), Ok(None));
}

#[test]
fn the_index_reads_back_as_it_was_written() {
    let index = sample();
    let lines = index.to_lines(&Source::default()).unwrap();
    assert_eq!(lines.lines().count(), index.titles().len() + 1);
    assert!(lines.len() < SAMPLE.len(), "{} bytes of index for {} of manifest", lines.len(), SAMPLE.len());
    assert_eq!(Index::from_lines(&lines).unwrap(), index);
}

#[test]
fn an_index_that_was_cut_is_no_smaller_index() {
    let lines = sample().to_lines(&Source::default()).unwrap();
    let whole: Vec<&str> = lines.lines().collect();
    let cut = whole[..whole.len() - 1].join("\n");
    assert!(matches!(Index::from_lines(&cut), Err(IndexError::Cut { .. })));
    let half = &lines[..lines.len() - 20];
    assert!(matches!(Index::from_lines(half), Err(IndexError::Line { .. })));
    assert_eq!(Index::from_lines(""), Err(IndexError::Header));
    let later = lines.replacen("\"save_manifest_index\":1", "\"save_manifest_index\":2", 1);
    assert_eq!(Index::from_lines(&later), Err(IndexError::Format(2)));
}

#[test]
fn an_error_names_the_title() {
    let (title, message) = title_of(manifest::parse("Good: {}\nBad Wolf:\n  files: [1, 2]\n").unwrap_err());
    assert_eq!(title, "Bad Wolf");
    assert!(!message.is_empty() && !message.contains('\n'), "{message}");
    let long = format!("{}: {{}}", "x".repeat(TITLE_LEN_MAX + 1));
    assert!(title_of(manifest::parse(&long).unwrap_err()).1.contains("bytes"));
    let twice = "A:\n  notes: []\nA:\n  notes: []\n";
    assert!(manifest::parse(twice).is_err());
}

#[test]
fn too_much_of_anything_is_refused() {
    let entry = |n: usize| format!("    <base>/{n}:\n      tags: [save]\n");
    let many: String = (0..=RULES_PER_TITLE_MAX).map(entry).collect();
    let (title, message) = title_of(manifest::parse(&format!("Hoarder:\n  files:\n{many}")).unwrap_err());
    assert_eq!(title, "Hoarder");
    assert!(message.contains("513 paths"), "{message}");
    let long = format!("Long:\n  files:\n    \"<base>/{}\":\n      tags: [save]\n", "x".repeat(1_100));
    assert!(title_of(manifest::parse(&long).unwrap_err()).1.contains("1024"));
    let deep = format!("Deep:\n  extra: {}{}\n", "[".repeat(60), "]".repeat(60));
    assert!(manifest::parse(&deep).is_err());
    let own = " ".repeat(manifest::OWN_MANIFEST_LEN_MAX + 1);
    assert!(matches!(manifest::parse_own(&own), Err(ManifestError::TooLong { .. })));
}

#[test]
fn a_text_that_multiplies_itself_is_refused_before_it_has() {
    let mut bomb = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..9 {
        let (now, before) = (char::from(b'a' + n), char::from(b'a' + n - 1));
        bomb.push_str(&format!("{now}: &{now} [{}]\n", vec![format!("*{before}"); 9].join(", ")));
    }
    assert!(manifest::parse(&format!("Bomb:\n  extra:\n    {}", bomb.replace('\n', "\n    "))).is_err());
}

#[test]
fn an_empty_manifest_has_no_titles() {
    for text in ["", "# nothing\n", "---\n", "{}"] {
        assert!(manifest::parse(text).unwrap().titles().is_empty(), "{text:?}");
    }
}

#[test]
fn the_manifest_of_a_games_own_folder_adds_to_the_title_and_overrides_its_paths() {
    let index = sample();
    let mut title = index.titles()["Lanterns of Quay"].clone();
    let own = manifest::parse_own(
        "Lanterns:\n  files:\n    <winAppData>/Quayside/Lanterns/options.ini:\n      tags: [save]\n    \
         <base>/extra:\n      tags: [save]\n  steam:\n    id: 5\n",
    )
    .unwrap();
    title.merge(own.titles()["Lanterns"].clone());
    assert_eq!(title.files.len(), 4);
    let options = title.files.iter().find(|f| f.path.ends_with("options.ini")).unwrap();
    assert_eq!((options.purpose(), options.from_game_folder), (Purpose::Save, true));
    assert_eq!(title.ids.main("steam"), Some("9900001"));
    assert!(title.files.iter().filter(|f| f.from_game_folder).count() == 2);
}
