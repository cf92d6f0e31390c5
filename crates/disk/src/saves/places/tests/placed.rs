//! Rules of a manifest at both ends: what `places` says of each file, and what a capture of the roots takes, are the same; and
//! that is what the format means.

use std::collections::BTreeSet;

use bonfire_engine::places::{
    Choice, Environment, Existing, GameFacts, Listing, Places, Root, SaveRoots, Shape, manifest, place,
};

use super::*;

struct RealDisk;

impl Existing for RealDisk {
    fn list(&self, folder: &str) -> Listing {
        match std_fs::read_dir(folder) {
            Ok(entries) => Listing::Names(entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()),
            Err(_) => Listing::Absent,
        }
    }
}

const FILES: [&str; 14] = [
    "game/a.sav",
    "game/B.SAV",
    "game/notes.txt",
    "game/slot[1]/deep/er.dat",
    "game/slot1/x.dat",
    "game/slot2/x.dat",
    "game/slotA/x.dat",
    "game/profiles/ann/p.json",
    "game/profiles/bob/p.json",
    "game/profiles/bob/p.json.bak",
    "game/saves/one.sav",
    "game/saves/settings/keys.ini",
    "game/Id.Sav",
    "game/x/y/z/end.dat",
];

/// What is captured of a game with these paths of saves, by paths of the disk; both ends have to agree on it.
fn taken(environment: Environment, yaml: &str) -> BTreeSet<String> {
    let home = Home::new();
    for file in FILES {
        home.folder(Path::new(file).parent().unwrap().to_str().unwrap());
        home.write(file);
    }
    let top = home.real("").display().to_string();
    let top = top.trim_end_matches('/');
    let index = manifest::parse(&format!("Game:\n  files:\n{yaml}")).unwrap();
    let facts =
        GameFacts { base: Some(format!("{top}/game")), store_user_ids: vec!["id".to_owned()], ..GameFacts::default() };
    let title = index.get("Game").unwrap().unwrap().1;
    let placed = place("Game", title, &facts, &Places::new(environment), &RealDisk, Choice::default());
    let declared: Vec<DeclaredRoot> = placed.roots.iter().map(|root| as_declared(&placed, root)).collect();
    let captured: BTreeSet<String> =
        home.taken(&home.look(&declared).unwrap().open().unwrap().roots).into_iter().collect();
    let mut said = BTreeSet::new();
    let mut on_disk = BTreeSet::new();
    for file in FILES {
        if let Ok(path) = placed.to_snapshot(&format!("{top}/{file}")) {
            said.insert(path.as_str().to_owned());
            on_disk.insert(file.trim_start_matches("game/").to_owned());
        }
    }
    assert_eq!(captured, said, "{:#?}", placed.roots);
    on_disk
}

/// As a front end declares it and the peer reads it: patterns go through their texts.
fn as_declared(placed: &SaveRoots, root: &Root) -> DeclaredRoot {
    let again = |of: &[Pattern]| of.iter().map(|p| p.to_string().parse().unwrap()).collect();
    let spelled = root.spelled.as_ref();
    DeclaredRoot {
        label: label(&root.label),
        path: spelled.map_or(root.folder.clone(), |s| format!("{}/{}", root.folder, s.here)).into(),
        is_file: root.shape == Shape::File,
        include: if root.shape == Shape::Pattern { again(&root.include) } else { Vec::new() },
        ignore: Vec::new(),
        exclude: again(&root.exclude),
        folds_names: placed.environment.folds_names(),
        name: spelled.map(|s| s.snapshot.clone()),
        only_as_such: root.other_label.is_some(),
    }
}

fn set(files: &[&str]) -> BTreeSet<String> {
    files.iter().map(|f| (*f).to_owned()).collect()
}

#[test]
fn a_rule_captures_the_files_that_it_means() {
    let native = |yaml: &str| taken(Environment::Linux, yaml);
    assert_eq!(native("    <base>/*.sav: {}\n"), set(&["a.sav"]));
    assert_eq!(native("    <base>/slot[0-9]: {}\n"), set(&["slot1/x.dat", "slot2/x.dat"]));
    assert_eq!(native("    <base>/slot[!0-9]: {}\n"), set(&["slotA/x.dat"]));
    assert_eq!(native("    <base>/slot[[]1]: {}\n"), set(&["slot[1]/deep/er.dat"]));
    assert_eq!(native("    <base>/profiles/*/p.json: {}\n"), set(&["profiles/ann/p.json", "profiles/bob/p.json"]));
    assert_eq!(native("    <base>/**/end.dat: {}\n"), set(&["x/y/z/end.dat"]));
    assert_eq!(native("    <base>/saves: {}\n"), set(&["saves/one.sav", "saves/settings/keys.ini"]));
    assert_eq!(native("    <base>/notes.txt: {}\n"), set(&["notes.txt"]));
    assert_eq!(native("    <base>/nothing: {}\n"), set(&[]));
}

#[test]
fn case_does_not_count_in_a_prefix_and_one_file_keeps_its_name_in_snapshots() {
    let prefix = |yaml: &str| taken(Environment::Prefix, yaml);
    assert_eq!(prefix("    <base>/*.sav: {}\n"), set(&["a.sav", "B.SAV", "Id.Sav"]));
    assert_eq!(prefix("    <base>/SAVES: {}\n"), set(&["saves/one.sav", "saves/settings/keys.ini"]));
    assert_eq!(prefix("    <base>/<storeUserId>.sav: {}\n"), set(&["Id.Sav"]));
}

#[test]
fn rules_within_each_other_share_no_file_and_settings_stay_out() {
    let native = |yaml: &str| taken(Environment::Linux, yaml);
    let all = native("    <base>/saves: {}\n    <base>/saves/settings: {tags: [config]}\n    <base>/*.sav: {}\n");
    assert_eq!(all, set(&["a.sav", "saves/one.sav"]));
    let all = native("    <base>/saves: {}\n    <base>/saves/*.sav: {}\n    <base>/saves/settings/keys.ini: {}\n");
    assert_eq!(all, set(&["saves/one.sav", "saves/settings/keys.ini"]));
    let all = native("    <base>/slot*: {}\n    <base>/slot[[]1]/deep: {}\n    <base>/slot1: {tags: [config]}\n");
    assert_eq!(all, set(&["slot[1]/deep/er.dat", "slot2/x.dat", "slotA/x.dat"]));
}
