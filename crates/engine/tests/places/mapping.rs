//! Roots of save sets on three kinds of machines, and paths that go from one to the other and back.

use bonfire_engine::places::placeholders::Placeholder;
use bonfire_engine::places::roots::MapError;
use bonfire_engine::places::{Choice, GameFacts, Root, SaveRoots, Shape, Spellings, manifest, place};

use crate::disk::{Disk, PFX, installed_at, linux, path, placed, placed_with, prefix, why, windows};

/// The only root, of the two shapes that it has where nothing lies yet the folder.
fn only(roots: &SaveRoots) -> &Root {
    let folders = folders(roots);
    let [root] = folders.as_slice() else { panic!("{roots:#?}") };
    root
}

fn folders(roots: &SaveRoots) -> Vec<&Root> {
    roots.roots.iter().filter(|r| r.shape != Shape::File).collect()
}

fn rooted<'a>(roots: &'a SaveRoots, rule: &str) -> &'a Root {
    let mut of_rule = roots.roots.iter().filter(|r| r.rule == rule).collect::<Vec<_>>();
    of_rule.sort_by_key(|r| r.shape);
    of_rule.first().copied().unwrap_or_else(|| panic!("{rule} has no root: {roots:#?}"))
}

/// A game that is not in the sample.
fn placed_from(yaml: &str, places: &bonfire_engine::places::Places, disk: &Disk) -> SaveRoots {
    let index = manifest::parse(yaml).unwrap();
    let (name, title) = index.titles().first_key_value().unwrap();
    place(
        name,
        title,
        &installed_at(if disk_is_windows(places) { "D:\\g" } else { "/g" }),
        places,
        disk,
        Choice::default(),
    )
}

fn disk_is_windows(places: &bonfire_engine::places::Places) -> bool {
    places.environment().separator() == '\\'
}

#[test]
fn a_save_from_windows_lands_in_the_prefix_and_goes_back() {
    let (in_prefix, disk) = prefix(&[]);
    let game = GameFacts::default();
    let on_windows = placed("Lanterns of Quay", &game, &windows(), &Disk::default());
    let on_deck = placed("Lanterns of Quay", &game, &in_prefix, &disk);
    let file = "C:\\Users\\Ada\\AppData\\Roaming\\Quayside\\Lanterns\\Saves\\slot 1\\hero.sav";
    let captured = on_windows.to_snapshot(file).unwrap();
    let label = &only(&on_windows).label;
    assert_eq!(captured, path(&format!("{label}/slot 1/hero.sav")));
    let there = on_deck.to_disk(&captured, &disk).unwrap();
    let expected = format!("{PFX}/users/steamuser/AppData/Roaming/Quayside/Lanterns/Saves/slot 1/hero.sav");
    assert_eq!(there, expected);
    assert_eq!(on_deck.to_snapshot(&there).unwrap(), captured);
    assert_eq!(on_windows.to_disk(&captured, &Disk::default()).unwrap(), file);
}

#[test]
fn a_save_moves_to_the_build_for_linux_where_the_manifest_lists_both() {
    let game = GameFacts::default();
    for (title, from, to) in [
        (
            "Lanterns of Quay",
            "C:\\Users\\Ada\\AppData\\Roaming\\Quayside\\Lanterns\\Saves\\a.sav",
            "/home/ada/.local/share/quayside/lanterns/saves/a.sav",
        ),
        (
            "Tin Comet",
            "C:\\Users\\Ada\\AppData\\LocalLow\\Hollow Kite\\Tin Comet\\deep\\a.sav",
            "/home/ada/.config/unity3d/Hollow Kite/Tin Comet/deep/a.sav",
        ),
    ] {
        let on_windows = placed(title, &game, &windows(), &Disk::default());
        let on_linux = placed(title, &game, &linux(), &Disk::default());
        assert!(only(&on_windows).moves_to_other_systems && only(&on_linux).moves_to_other_systems);
        assert_eq!(only(&on_windows).label, only(&on_linux).label);
        let captured = on_windows.to_snapshot(from).unwrap();
        assert_eq!(on_linux.to_disk(&captured, &Disk::default()).unwrap(), to);
        assert_eq!(on_linux.to_snapshot(to).unwrap(), captured);
    }
}

#[test]
fn a_label_comes_from_the_manifest_and_not_from_the_machine() {
    let (in_prefix, disk) = prefix(&[]);
    let game = GameFacts::default();
    let label = |roots: &SaveRoots| only(roots).label.clone();
    let first = label(&placed("Tin Comet", &game, &windows(), &Disk::default()));
    assert_eq!(label(&placed("Tin Comet", &game, &in_prefix, &disk)), first);
    let mut moved = windows();
    moved.set(Placeholder::WinLocalAppDataLow, "E:/Moved Away/LocalLow/").unwrap();
    let roots = placed("Tin Comet", &game, &moved, &Disk::default());
    assert_eq!(label(&roots), first);
    assert_eq!(only(&roots).folder, "E:\\Moved Away\\LocalLow\\Hollow Kite\\Tin Comet");
    // Written down once: a label that changes would leave every save behind.
    assert_eq!(first, "tin-comet-6721ab40");
}

#[test]
fn case_does_not_count_on_windows_nor_beneath_a_prefix_and_does_on_linux() {
    let (in_prefix, disk) = prefix(&["users/steamuser/AppData/Roaming/quayside/LANTERNS/saves/Slot1.SAV"]);
    let game = GameFacts::default();
    let on_deck = placed("Lanterns of Quay", &game, &in_prefix, &disk);
    let root = only(&on_deck);
    let folder = format!("{PFX}/users/steamuser/AppData/Roaming/quayside/LANTERNS/saves");
    assert_eq!(root.folder, folder);
    let asked = path(&format!("{}/slot1.sav", root.label));
    assert_eq!(on_deck.to_disk(&asked, &disk).unwrap(), format!("{folder}/Slot1.SAV"));
    // What is captured is spelled as in the snapshot that lies there, so that nothing looks changed.
    let captured = on_deck.to_snapshot(&format!("{folder}/Slot1.SAV")).unwrap();
    assert_eq!(captured, path(&format!("{}/Slot1.SAV", root.label)));
    assert_eq!(Spellings::of([&asked]).apply(captured), asked);
    let on_windows = placed("Lanterns of Quay", &game, &windows(), &Disk::default());
    let shouted = on_windows.to_snapshot("c:/users/ADA/appdata/ROAMING/quayside/lanterns/SAVES/x").unwrap();
    assert_eq!(shouted, path(&format!("{}/x", root.label)));
    let on_linux = placed("Lanterns of Quay", &game, &linux(), &Disk::default());
    let shouted = "/home/ada/.local/share/quayside/lanterns/SAVES/x";
    assert_eq!(on_linux.to_snapshot(shouted), Err(MapError::Outside(shouted.into())));
}

#[test]
fn two_spellings_beside_each_other_are_said() {
    let at = "users/steamuser/AppData/Roaming/Quayside/Lanterns";
    let (in_prefix, disk) = prefix(&[&format!("{at}/Saves/A"), &format!("{at}/saves/a")]);
    let roots = placed("Lanterns of Quay", &GameFacts::default(), &in_prefix, &disk);
    assert!(roots.roots.is_empty());
    let reason = why(&roots, "<winAppData>/Quayside/Lanterns/Saves");
    assert!(reason.contains("Saves and saves") && reason.contains("one name"), "{reason}");
}

#[test]
fn settings_stay_where_they_are_unless_they_are_asked_for() {
    let game = GameFacts::default();
    let comet = placed("Tin Comet", &game, &windows(), &Disk::default());
    let settings = "C:\\Users\\Ada\\AppData\\LocalLow\\Hollow Kite\\Tin Comet\\Screen.cfg";
    assert!(matches!(comet.to_snapshot(settings), Err(MapError::Outside(_))));
    assert!(why(&comet, "<winLocalAppDataLow>/Hollow Kite/Tin Comet/screen.cfg").contains("settings"));
    let snapshot = path(&format!("{}/screen.cfg", only(&comet).label));
    assert!(matches!(comet.to_disk(&snapshot, &Disk::default()), Err(MapError::NotCovered { .. })));
    let with = Choice { with_settings: true };
    let both = placed_with("Tin Comet", &game, &windows(), &Disk::default(), with);
    assert_eq!(folders(&both).len(), 2);
    let file = rooted(&both, "<winLocalAppDataLow>/Hollow Kite/Tin Comet/screen.cfg").other_label.as_ref().unwrap();
    assert_eq!(both.to_snapshot(settings).unwrap(), path(&format!("{file}/screen.cfg")));
}

#[test]
fn every_placeholder_leads_where_the_machine_says() {
    let game = GameFacts {
        store: Some("steam".into()),
        root: Some("C:\\Steam".into()),
        base: Some("C:\\Steam\\steamapps\\common\\FerryLedger_v2".into()),
        install_dir: Some("FerryLedger_v2".into()),
        store_user_ids: vec!["4711".into()],
        ..GameFacts::default()
    };
    let with = Choice { with_settings: true };
    let roots = placed_with("Ferry Ledger", &game, &windows(), &Disk::default(), with);
    for (rule, file) in [
        ("<root>/userdata/<storeUserId>/<storeGameId>/remote", "C:\\Steam\\userdata\\4711\\9900010\\remote\\x"),
        ("<root>/<game>/cargo", "C:\\Steam\\steamapps\\common\\FerryLedger_v2\\cargo\\x"),
        ("<base>/profiles/*.led", "C:\\Steam\\steamapps\\common\\FerryLedger_v2\\profiles\\a.led"),
        ("<base>/profiles/autosave.led", "C:\\Steam\\steamapps\\common\\FerryLedger_v2\\profiles\\autosave.led"),
        ("<base>/**/voyage-[0-9]?.log", "C:\\Steam\\steamapps\\common\\FerryLedger_v2\\a\\b\\voyage-12.log"),
        ("<home>/Saved Games/Ferry Ledger", "C:\\Users\\Ada\\Saved Games\\Ferry Ledger\\x"),
        (
            "<winDocuments>/My Games/Ferry Ledger/<osUserName>.dat",
            "C:\\Users\\Ada\\Documents\\My Games\\Ferry Ledger\\Ada.dat",
        ),
        ("<winLocalAppData>/FerryLedger/<storeUserId>", "C:\\Users\\Ada\\AppData\\Local\\FerryLedger\\4711\\x"),
        ("<winPublic>/FerryLedger/scores.tbl", "C:\\Users\\Public\\FerryLedger\\scores.tbl"),
        ("<winProgramData>/FerryLedger/world", "C:\\ProgramData\\FerryLedger\\world\\x"),
        ("<winDir>/ferry.ini", "C:\\Windows\\ferry.ini"),
    ] {
        let snapshot = roots.to_snapshot(file).unwrap_or_else(|e| panic!("{rule}: {e}\n{roots:#?}"));
        let owner = roots.roots.iter().find(|r| r.label == snapshot.first()).unwrap();
        assert_eq!(owner.rule, rule);
        assert_eq!(roots.to_disk(&snapshot, &Disk::default()).unwrap(), file);
    }
    assert!(why(&roots, "<xdgConfig>/ferry-ledger/settings.toml").contains("for Linux"));
    assert!(why(&roots, "<base>/mods").contains("no save"));
    let on_linux = placed_with("Ferry Ledger", &installed_at("/games/ferry/local"), &linux(), &Disk::default(), with);
    assert_eq!(
        rooted(&on_linux, "<xdgConfig>/ferry-ledger/settings.toml").folder,
        "/home/ada/.config/ferry-ledger/settings.toml"
    );
    assert_eq!(rooted(&on_linux, "<home>/.ferry-ledger/ledger.db").folder, "/home/ada/.ferry-ledger/ledger.db");
}

#[test]
fn what_differs_from_person_to_person_is_no_part_of_a_snapshots_paths() {
    let (in_prefix, disk) = prefix(&[]);
    let windows_game = GameFacts { store_user_ids: vec!["4711".into()], ..installed_at("D:\\ferry") };
    let deck_game = GameFacts { store_user_ids: vec!["815".into()], ..installed_at("/games/ferry/local") };
    let on_windows = placed("Ferry Ledger", &windows_game, &windows(), &Disk::default());
    let on_deck = placed("Ferry Ledger", &deck_game, &in_prefix, &disk);
    for (from, to) in [
        (
            "C:\\Users\\Ada\\AppData\\Local\\FerryLedger\\4711\\x",
            format!("{PFX}/users/steamuser/AppData/Local/FerryLedger/815/x"),
        ),
        (
            "C:\\Users\\Ada\\Documents\\My Games\\Ferry Ledger\\Ada.dat",
            format!("{PFX}/users/steamuser/Documents/My Games/Ferry Ledger/steamuser.dat"),
        ),
    ] {
        let snapshot = on_windows.to_snapshot(from).unwrap();
        assert!(!snapshot.as_str().contains("4711") && !snapshot.as_str().contains("Ada"), "{snapshot}");
        assert_eq!(on_deck.to_disk(&snapshot, &disk).unwrap(), to);
        assert_eq!(on_deck.to_snapshot(&to).unwrap(), snapshot);
    }
}

#[test]
fn what_lies_at_a_path_says_whether_it_is_a_folder_or_a_file_and_a_snapshot_says_it_where_nothing_lies() {
    let yaml = "G:\n  files:\n    <xdgData>/moth/profile: {tags: [save]}\n";
    let at = "/home/ada/.local/share/moth";
    let on = |paths: &[&str]| {
        let disk = Disk::with(paths);
        (placed_from(yaml, &linux(), &disk), disk)
    };
    let (as_folder, _) = on(&[&format!("{at}/profile/a.sav")]);
    let (as_file, disk_with_file) = on(&[&format!("{at}/profile")]);
    let (unknown, nothing) = on(&[]);
    let shapes = |roots: &SaveRoots| roots.roots.iter().map(|r| r.shape).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(shapes(&as_folder), [Shape::Folder].into());
    assert_eq!(shapes(&as_file), [Shape::File].into());
    assert_eq!(shapes(&unknown), [Shape::Folder, Shape::File].into());
    let of_folder = as_folder.to_snapshot(&format!("{at}/profile/a.sav")).unwrap();
    let of_file = as_file.to_snapshot(&format!("{at}/profile")).unwrap();
    assert_ne!(of_folder.first(), of_file.first());
    assert_eq!(unknown.to_disk(&of_folder, &nothing).unwrap(), format!("{at}/profile/a.sav"));
    assert_eq!(unknown.to_disk(&of_file, &nothing).unwrap(), format!("{at}/profile"));
    // Neither of the two shapes takes what is the other's.
    assert_eq!(unknown.to_snapshot(&format!("{at}/profile/a.sav")).unwrap(), of_folder);
    assert_eq!(unknown.to_snapshot(&format!("{at}/profile")).unwrap(), of_file);
    let refused = as_file.to_disk(&of_folder, &disk_with_file);
    assert!(matches!(refused, Err(MapError::OtherShape { .. })), "{refused:?}");
}

#[test]
fn one_of_several_ids_is_used_only_when_it_alone_is_there() {
    let rule = "<winLocalAppData>/FerryLedger/<storeUserId>";
    let game = GameFacts { store_user_ids: vec!["815".into(), "76561".into()], ..installed_at("/games/ferry/local") };
    let at = "users/steamuser/AppData/Local/FerryLedger";
    let (in_prefix, none) = prefix(&[]);
    assert!(why(&placed("Ferry Ledger", &game, &in_prefix, &none), rule).contains("76561, 815"));
    let (_, one) = prefix(&[&format!("{at}/76561/x")]);
    let roots = placed("Ferry Ledger", &game, &in_prefix, &one);
    assert!(rooted(&roots, rule).folder.ends_with("/FerryLedger/76561"));
    let (_, both) = prefix(&[&format!("{at}/76561/x"), &format!("{at}/815/x")]);
    assert!(why(&placed("Ferry Ledger", &game, &in_prefix, &both), rule).contains("not exactly one"));
    let stranger = GameFacts { store_user_ids: Vec::new(), ..game };
    assert!(why(&placed("Ferry Ledger", &stranger, &in_prefix, &one), rule).contains("<storeUserId>"));
}

#[test]
fn a_fact_that_would_lead_elsewhere_is_refused() {
    let rule = "<winLocalAppData>/FerryLedger/<storeUserId>";
    for bad in ["..", "a/b", "a\\b", "", "con"] {
        let game = GameFacts { store_user_ids: vec![bad.into()], ..GameFacts::default() };
        assert!(why(&placed("Ferry Ledger", &game, &windows(), &Disk::default()), rule).contains("name"), "{bad:?}");
    }
    for bad in ["relative", "/", "/a/../b", ""] {
        let roots = placed("Ferry Ledger", &installed_at(bad), &linux(), &Disk::default());
        assert!(why(&roots, "<root>/<game>/cargo").contains("not the absolute path"), "{bad:?}");
    }
    for bad in ["C:", "C:\\", "saves", "\\rooted", "C:\\a\\..\\b"] {
        assert!(windows().set(Placeholder::Home, bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_folders_name_that_turns_into_anothers_is_refused() {
    let yaml = |name: &str| {
        format!(
            "G:\n  installDir: {{\"{name}\": {{}}}}\n  files:\n    <xdgConfig>/<game>/x: {{tags: [save]}}\n    <home>/.<game>: {{tags: [save]}}\n"
        )
    };
    assert_eq!(folders(&placed_from(&yaml("Moth"), &linux(), &Disk::default())).len(), 2);
    let start = placed_from(&yaml("autostart"), &linux(), &Disk::default());
    assert!(why(&start, "<xdgConfig>/<game>/x").contains("no save"));
    assert!(why(&placed_from(&yaml("SSH"), &linux(), &Disk::default()), "<home>/.<game>").contains("no save"));
}

#[test]
fn no_two_roots_have_one_file() {
    let roots = placed("Ferry Ledger", &installed_at("/g"), &linux(), &Disk::default());
    for file in ["profiles/autosave.led", "profiles/a.led", "cargo/voyage-11.log", "cargo/x", "voyage-1x.log"] {
        let owners: Vec<&str> = roots
            .roots
            .iter()
            .filter(|r| {
                let rest = format!("/g/{file}");
                let local = rest.strip_prefix(&format!("{}/", r.folder));
                local.is_some_and(|l| r.covers(&path(l)))
            })
            .map(|r| r.rule.as_str())
            .collect();
        assert_eq!(owners.len(), 1, "{file}: {owners:?}");
    }
    let rule = |file: &str| {
        let snapshot = roots.to_snapshot(&format!("/g/{file}")).unwrap();
        roots.roots.iter().find(|r| r.label == snapshot.first()).unwrap().rule.clone()
    };
    assert_eq!(rule("profiles/autosave.led"), "<base>/profiles/autosave.led");
    // A name says more than a pattern.
    assert_eq!(rule("cargo/voyage-11.log"), "<root>/<game>/cargo");
    assert_eq!(rule("old/voyage-11.log"), "<base>/**/voyage-[0-9]?.log");
    assert!(matches!(roots.to_snapshot("/g/mods/x.led"), Err(MapError::Outside(_))));
}

#[test]
fn places_of_which_one_cannot_say_which_is_which_stay_apart_and_that_is_said() {
    let game = GameFacts::default();
    let on_windows = placed("Twin Larks", &game, &windows(), &Disk::default());
    let on_linux = placed("Twin Larks", &game, &linux(), &Disk::default());
    assert_eq!(folders(&on_windows).len(), 2);
    assert!(!only(&on_linux).moves_to_other_systems);
    assert!(on_windows.roots.iter().all(|r| r.label != only(&on_linux).label));
    let reason = why(&on_linux, "<winAppData>/Twin Larks/save");
    assert!(reason.contains("Windows") && reason.contains("no counterpart"), "{reason}");
    let foreign = path(&format!("{}/save/a", on_windows.roots[0].label));
    let refused = on_linux.to_disk(&foreign, &Disk::default()).unwrap_err().to_string();
    assert!(refused.contains("for Windows"), "{refused}");
    let unheard = on_linux.to_disk(&path("other-00000000/a"), &Disk::default()).unwrap_err().to_string();
    assert!(unheard.contains("unknown here"), "{unheard}");
}

#[test]
fn counterparts_need_more_than_a_last_place_left_over() {
    let both = |windows_path: &str, linux_path: &str| {
        let yaml = format!(
            "G:\n  files:\n    {windows_path}: {{when: [{{os: windows}}]}}\n    {linux_path}: {{when: [{{os: linux}}]}}\n"
        );
        let on_windows = placed_from(&yaml, &windows(), &Disk::default());
        let on_linux = placed_from(&yaml, &linux(), &Disk::default());
        only(&on_windows).label == only(&on_linux).label
    };
    assert!(both("<winDocuments>/My Games/Moth", "<home>/.moth"));
    assert!(both("<winDocuments>/Studio/Moth/Saves", "<xdgData>/moth/saves"));
    assert!(both("<base>/saves", "<xdgData>/Moth/saves"));
    assert!(both("<winAppData>/Moth/*.sav", "<home>/.moth/*.sav"));
    assert!(!both("<winAppData>/Moth", "<xdgData>/larch"));
    assert!(!both("<winAppData>/Moth/*.sav", "<xdgData>/moth/*.dat"));
    assert!(!both("<winAppData>/Moth/*.sav", "<xdgData>/moth"));
}

#[test]
fn a_manifest_that_learns_of_linux_later_does_not_rename_what_windows_has() {
    let before = "G:\n  files:\n    <winAppData>/Moth/Saves: {tags: [save]}\n";
    let after = format!("{before}    <xdgData>/moth/saves: {{tags: [save]}}\n    <base>/more: {{tags: [save]}}\n");
    let old = placed_from(before, &windows(), &Disk::default());
    let new = placed_from(&after, &windows(), &Disk::default());
    let rule = "<winAppData>/Moth/Saves";
    assert_eq!(only(&old).label, rooted(&new, rule).label);
    let on_linux = placed_from(&after, &linux(), &Disk::default());
    assert_eq!(rooted(&on_linux, "<xdgData>/moth/saves").label, only(&old).label);
}

#[test]
fn a_games_store_decides_among_its_paths_and_an_unknown_store_takes_all() {
    let rule = "<root>/userdata/<storeUserId>/<storeGameId>/remote";
    let game = |store: Option<&str>| GameFacts {
        store: store.map(str::to_owned),
        root: Some("/steam".into()),
        store_user_ids: vec!["7".into()],
        ..installed_at("/g")
    };
    let with = |store| placed("Ferry Ledger", &game(store), &linux(), &Disk::default());
    assert_eq!(rooted(&with(Some("steam")), rule).folder, "/steam/userdata/7/9900010/remote");
    assert_eq!(rooted(&with(None), rule).folder, "/steam/userdata/7/9900010/remote");
    assert!(why(&with(Some("gog")), rule).contains("another store"));
}

#[test]
fn a_dos_game_keeps_its_saves_where_it_is_on_every_system() {
    let (in_prefix, disk) = prefix(&[]);
    let goblin = |places: &bonfire_engine::places::Places, base: &str| {
        placed("Crate Goblin", &installed_at(base), places, &disk)
    };
    let label = only(&goblin(&linux(), "/g")).label.clone();
    assert_eq!(only(&goblin(&windows(), "D:\\g")).label, label);
    assert_eq!(only(&goblin(&in_prefix, "/g")).label, label);
    assert_eq!(goblin(&linux(), "/g").to_snapshot("/g/SAVE/1.GOB").unwrap(), path(&format!("{label}/1.GOB")));
}

#[test]
fn a_folder_that_cannot_be_listed_is_said_and_not_taken_for_empty() {
    let (in_prefix, mut disk) = prefix(&[]);
    disk.broken = Some(format!("{PFX}/users/steamuser/AppData/Roaming"));
    let roots = placed("Lanterns of Quay", &GameFacts::default(), &in_prefix, &disk);
    assert!(roots.roots.is_empty());
    assert!(why(&roots, "<winAppData>/Quayside/Lanterns/Saves").contains("input/output error"));
}

#[test]
fn what_the_registry_keeps_and_what_a_store_syncs_is_told() {
    let roots = placed("Lanterns of Quay", &GameFacts::default(), &windows(), &Disk::default());
    assert_eq!(roots.registry.iter().collect::<Vec<_>>(), ["HKEY_CURRENT_USER/Software/Quayside/Lanterns"]);
    assert_eq!(roots.cloud.iter().collect::<Vec<_>>(), ["steam", "uplay"]);
}

#[test]
fn what_came_from_the_games_own_folder_is_marked() {
    let mut title = crate::sample().titles()["Tin Comet"].clone();
    title.merge(manifest::parse_own("T:\n  files:\n    <base>/own: {tags: [save]}\n").unwrap().titles()["T"].clone());
    let roots = place("Tin Comet", &title, &installed_at("/g"), &linux(), &Disk::default(), Choice::default());
    assert!(rooted(&roots, "<base>/own").from_game_folder);
    assert_eq!(folders(&roots).iter().filter(|r| r.from_game_folder).count(), 1);
}

#[test]
fn two_spellings_of_one_path_are_one_root() {
    let yaml = "G:\n  files:\n    <base>/saves: {tags: [save]}\n    <root>/<game>/saves: {tags: [save]}\n";
    assert_eq!(only(&placed_from(yaml, &linux(), &Disk::default())).folder, "/g/saves");
}

#[test]
fn labels_are_legal_names_of_at_most_32_bytes() {
    for name in ["Ж", "con", "A very long name of a folder that goes on and on.sav", "---", "x.y.z"] {
        let yaml = format!("G:\n  files:\n    \"<xdgData>/{name}x/{name}1\": {{tags: [save]}}\n");
        let roots = placed_from(&yaml, &linux(), &Disk::default());
        let label = &only(&roots).label;
        assert!((1..=32).contains(&label.len()) && path(label).parts().count() == 1, "{label}");
    }
}
