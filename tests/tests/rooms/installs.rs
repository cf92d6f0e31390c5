//! Installing, updating, uninstalling and starting games, whole and cut off at any moment.

use std::path::Path;

use bonfire_tests::packages::{PACKS, Pack, Package};
use bonfire_tests::peer::{LONG, Peer, SOON, file_appears};
use bonfire_tests::{Random, Room, tree};
use serde_json::json;

/// A seat that shares this game.
fn host(room: &Room, name: &str, package: &Package, pack: Pack) -> Peer {
    let mut peer = room.seat(name);
    package.write(&peer.games, pack);
    peer.list_in_catalog(&package.id);
    peer.start();
    peer
}

/// What the files of a package are as a tree.
fn tree_of(package: &Package) -> tree::Tree {
    let folder = tempfile::tempdir().unwrap();
    package.unpacked(folder.path());
    tree::read(folder.path())
}

/// Puts another version into the games folder and waits until the peer knows of it.
fn brings(peer: &Peer, package: &Package, pack: Pack) {
    package.write(&peer.games, pack);
    peer.until("the other version is seen", SOON, || {
        peer.game(&package.id).filter(|g| g["version"] == package.version.as_str())
    });
}

#[test]
fn a_game_is_installed_from_every_kind_of_archive() {
    let Some(room) = Room::new("install-kinds") else { return };
    let package = Package::new("doom", "1.0", 300);
    let mut a = room.seat("a");
    a.list_in_catalog("doom");
    a.start();
    for pack in PACKS {
        package.write(&a.games, pack);
        a.tell(&json!({"library": {"rescan": {"games": ["doom"]}}}));
        a.until("it is seen", SOON, || a.game("doom").filter(|g| g["downloaded"] == true));
        let done = a.done(&["install", "doom"]);
        let result = &done.lines.last().unwrap()["result"];
        assert_eq!((&result["type"], &result["files"]), (&json!("install_finished"), &json!(4)), "{pack:?}: {done:?}");
        assert_eq!(a.installed("doom"), tree_of(&package), "{pack:?}");
        // Offered again as soon as the folder that was written by hand has been left alone for a while.
        a.until("it is offered", SOON, || {
            a.game("doom").filter(|g| g["installed"] == true && g["availability"] == "ready")
        });
        a.has_no_scratch("doom");
        a.done(&["uninstall", "doom"]);
        assert!(!a.root("doom").join("local").exists(), "{pack:?}");
        std::fs::remove_dir_all(a.root("doom")).unwrap();
        a.until("it is gone", SOON, || a.game("doom").is_none_or(|g| g["downloaded"] == false).then_some(()));
    }
}

#[test]
fn a_game_is_fetched_and_installed_by_one_command() {
    let Some(room) = Room::new("get-install") else { return };
    let package = Package::new("doom", "1.0", 2_000);
    let a = host(&room, "a", &package, Pack::Zip);
    let b = room.peer("b");
    b.sees_hashed(&a, "doom");
    b.done(&["get", "doom", "--install"]);
    assert_eq!(b.installed("doom"), tree_of(&package));
    b.holds_same("doom", &a);
    // What is installed is not what is shared, and whoever installs shares on.
    assert_eq!(a.sees_hashed(&b, "doom")["installed"], true);
    std::fs::write(b.root("doom").join("local/doom.cfg"), "mine").unwrap();
    let newer = Package::new("doom", "1.1", 2_000);
    brings(&a, &newer, Pack::Zip);
    b.until("it is offered", SOON, || b.remote_game(a.id(), "doom").filter(|g| g["version"] == "1.1"));
    b.sees_hashed(&a, "doom");
    let done = b.done(&["get", "doom", "--install"]);
    let result = &done.lines.last().unwrap()["result"];
    assert_eq!((&result["is_update"], &result["kept_files"]), (&json!(true), &json!(["doom.cfg.kept"])), "{done:?}");
    assert_eq!(std::fs::read_to_string(b.root("doom").join("local/doom.cfg.kept")).unwrap(), "mine");
    assert_eq!(b.cli(&["get", "doom", "--install"]).code, 0, "there is nothing to do");
}

#[test]
fn an_update_carries_the_files_of_the_player() {
    let Some(room) = Room::new("update") else { return };
    let old = Package::new("doom", "1.0", 300).with("gone", "only in the old one").with("options", "all");
    let a = host(&room, "a", &old, Pack::SevenZ);
    a.done(&["install", "doom"]);
    let local = a.root("doom").join("local");
    std::fs::create_dir(local.join("saves")).unwrap();
    for (file, text) in [("saves/1.sav", "saved"), ("doom.cfg", "mine"), ("options", "none"), ("tool", "#!/bin/sh\n")] {
        std::fs::write(local.join(file), text).unwrap();
    }
    make_executable(&local.join("tool"));
    let new = Package::new("doom", "1.1", 300).with("options", "all");
    brings(&a, &new, Pack::TarZst);
    let done = a.done(&["update", "doom"]);
    let result = &done.lines.last().unwrap()["result"];
    assert_eq!((&result["carried_files"], &result["kept_files"]), (&json!(3), &json!(["doom.cfg.kept"])), "{done:?}");
    let read = |file: &str| std::fs::read_to_string(local.join(file)).unwrap();
    // The version brings what was there before: only the player has something to say about it.
    assert_eq!((read("saves/1.sav"), read("options")), ("saved".to_owned(), "none".to_owned()));
    assert_eq!((read("doom.cfg"), read("doom.cfg.kept")), ("default of 1.1\n".to_owned(), "mine".to_owned()));
    assert!(is_executable(&local.join("tool")) && is_executable(&local.join("play.sh")));
    assert!(!local.join("gone").exists());
    a.has_no_scratch("doom");
}

#[test]
fn an_uninstall_names_the_files_of_the_player_and_goes_when_it_is_forced() {
    let Some(room) = Room::new("uninstall") else { return };
    let a = host(&room, "a", &Package::new("doom", "1.0", 300), Pack::TarXz);
    a.done(&["install", "doom"]);
    let before = a.installed("doom");
    std::fs::write(a.root("doom").join("local/1.sav"), "saved").unwrap();
    let refused = a.cli(&["uninstall", "doom"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "players_files"), "{refused:?}");
    assert!(refused.stdout.contains("1.sav") && refused.stdout.contains("--force"), "{refused:?}");
    assert_eq!(a.installed("doom").len(), before.len() + 1);
    a.done(&["uninstall", "doom", "--force"]);
    assert!(!a.root("doom").join("local").exists());
    a.has_no_scratch("doom");
    let listed = a.game("doom").unwrap();
    assert_eq!((&listed["installed"], &listed["downloaded"]), (&json!(false), &json!(true)));
    a.done(&["remove", "doom"]);
    a.holds_nothing("doom");
}

#[test]
fn a_forced_uninstall_keeps_the_saves_in_history_first() {
    let Some(room) = Room::new("uninstall-saves") else { return };
    let a = host(&room, "a", &Package::new("doom", "1.0", 300), Pack::Zip);
    a.done(&["install", "doom"]);
    let saves = a.root("doom").join("local/saves");
    std::fs::create_dir(&saves).unwrap();
    std::fs::write(saves.join("1.sav"), "one").unwrap();
    a.done(&["devices", "create-player", "ann"]);
    a.done(&["saves", "add", "doom", saves.to_str().unwrap()]);
    a.slot_until("doom", "it is kept", |s| s["standing"] == "current");
    // Nothing waits until this has settled.
    std::fs::write(saves.join("1.sav"), "two").unwrap();
    a.done(&["uninstall", "doom", "--force"]);
    assert!(!saves.exists());
    assert_eq!(a.history("doom").len(), 2, "what was written last is a version");
    a.slot_until("doom", "it is held", |s| s["standing"] == "held");
    a.done(&["install", "doom"]);
    a.done(&["saves", "release", "doom", "--restore"]);
    a.until("it is back", LONG, || std::fs::read_to_string(saves.join("1.sav")).ok().filter(|text| text == "two"));
}

#[test]
fn an_install_is_cancelled_in_the_middle() {
    let Some(room) = Room::new("install-cancel") else { return };
    let mut package = Package::new("doom", "1.0", 100);
    for n in 0..6_000 {
        package = package.with(&format!("many/file-{n}"), "one of many");
    }
    let mut a = host(&room, "a", &package, Pack::TarGz);
    let staging = a.root("doom").join(".local.installing");
    for _ in 0..2 {
        a.mark();
        a.tell(&json!({"installs": {"install": {"game": "doom"}}}));
        file_appears(&staging.join("many"));
        assert_eq!(a.operation("doom").unwrap()["phase"], "unpacking");
        a.cancel("doom").unwrap();
        a.expect_game("install_cancelled", "doom", SOON);
        a.idle();
        assert!(!a.root("doom").join("local").exists());
        a.has_no_scratch("doom");
    }
    a.done(&["install", "doom"]);
    let before = a.installed("doom");
    brings(&a, &Package { version: "1.1".to_owned(), ..package }, Pack::TarGz);
    a.mark();
    a.tell(&json!({"installs": {"update": {"game": "doom"}}}));
    file_appears(&staging.join("many"));
    a.cancel("doom").unwrap();
    a.expect_game("install_cancelled", "doom", SOON);
    a.idle();
    assert_eq!(a.installed("doom"), before);
    a.has_no_scratch("doom");
}

#[test]
fn damaged_files_of_an_install_are_put_back() {
    let Some(room) = Room::new("verify-install") else { return };
    let package = Package::new("doom", "1.0", 300);
    let a = host(&room, "a", &package, Pack::Rar);
    a.done(&["install", "doom"]);
    let local = a.root("doom").join("local");
    // A disk that loses bytes tells nobody.
    let level = local.join("data/level");
    let time = std::fs::metadata(&level).unwrap().modified().unwrap();
    std::fs::write(&level, "LEVEL of 1.0\n").unwrap();
    std::fs::File::options().write(true).open(&level).unwrap().set_modified(time).unwrap();
    std::fs::remove_file(local.join("data/big")).unwrap();
    std::fs::write(local.join("doom.cfg"), "mine").unwrap();
    let done = a.done(&["verify", "doom"]);
    let install = &done.lines.last().unwrap()["result"]["install"];
    assert_eq!(install["repaired_files"], json!(["data/big", "data/level"]), "{done:?}");
    assert_eq!(install["changed_files"], json!(["doom.cfg"]), "{done:?}");
    assert_eq!(std::fs::read_to_string(local.join("doom.cfg")).unwrap(), "mine");
    // A time can be set back, so what lay there is kept.
    assert_eq!(install["kept_files"], json!(["data/level.kept"]), "{done:?}");
    assert_eq!(std::fs::read_to_string(local.join("data/level.kept")).unwrap(), "LEVEL of 1.0\n");
    std::fs::remove_file(local.join("data/level.kept")).unwrap();
    let done = a.done(&["verify", "doom", "--restore"]);
    let install = &done.lines.last().unwrap()["result"]["install"];
    assert_eq!((&install["repaired_files"], &install["kept_files"]), (&json!(["doom.cfg"]), &json!(["doom.cfg.kept"])));
    assert_eq!(std::fs::read_to_string(local.join("doom.cfg.kept")).unwrap(), "mine");
    std::fs::remove_file(local.join("doom.cfg.kept")).unwrap();
    assert_eq!(a.installed("doom"), tree_of(&package));
    a.has_no_scratch("doom");
    // With another version downloaded there is nothing to put back from, and it says so.
    brings(&a, &Package::new("doom", "1.1", 300), Pack::Rar);
    std::fs::remove_file(&level).unwrap();
    let failed = a.cli(&["verify", "doom"]);
    assert_eq!((failed.code, failed.error_code().as_str()), (1, "not_as_unpacked"), "{failed:?}");
    assert!(failed.stderr.contains("bonfire update"), "{failed:?}");
    a.has_no_scratch("doom");
}

#[test]
fn a_game_is_started_as_its_catalog_or_its_package_says() {
    let Some(room) = Room::new("start") else { return };
    let package = Package::new("doom", "1.0", 100);
    let a = host(&room, "a", &package, Pack::TarGz);
    let refused = a.cli(&["play", "doom"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (5, "not_installed"), "{refused:?}");
    a.done(&["install", "doom"]);
    let refused = a.cli(&["play", "doom"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (5, "no_start_command"), "{refused:?}");
    a.done(&["catalog", "add", "doom", "--start", "./play.sh", "-skill", "4"]);
    let local = a.root("doom").join("local");
    a.done(&["play", "doom"]);
    let played = std::fs::read_to_string(local.join("played")).unwrap();
    assert_eq!(played, format!("{}  -skill 4\n", local.display()));
    // Environment and folder are the catalog's, too.
    let start = json!({"linux": {"run": ["play.sh"], "folder": "data", "env": {"MODE": "easy"}}});
    let entry = json!({"id": "doom", "name": "Doom", "start": start});
    let exported = room.folder().join("catalog.json");
    std::fs::write(&exported, json!({"format": 1, "games": [entry]}).to_string()).unwrap();
    a.done(&["catalog", "import", exported.to_str().unwrap()]);
    a.done(&["play", "doom"]);
    let played = std::fs::read_to_string(local.join("data/played")).unwrap();
    assert_eq!(played, format!("{} easy \n", local.join("data").display()));
    // But nothing that the game does not bring.
    let start = json!({"linux": {"run": ["sh", "play.sh"]}, "windows": {"run": ["play.cmd"]}});
    let entry = json!({"id": "doom", "name": "Doom", "start": start});
    std::fs::write(&exported, json!({"format": 1, "games": [entry]}).to_string()).unwrap();
    let told = a.done(&["catalog", "import", exported.to_str().unwrap()]);
    let line = told.lines.last().unwrap();
    assert_eq!(
        (&line["left_out"][0]["platform"], &line["starts"][0]["platform"]),
        (&json!("linux"), &json!("windows"))
    );
    let refused = a.cli(&["play", "doom"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (5, "no_start_command"), "{refused:?}");
    // A package may bring a script.
    a.done(&["catalog", "remove", "doom"]);
    std::fs::write(a.root("doom").join("game_start.sh"), "echo \"$PWD|$2|$3|$4\" > scripted\n").unwrap();
    a.until("it is out of the catalog", SOON, || a.game("doom").filter(|g| g["start"].is_null()));
    a.done(&["play", "doom"]);
    let scripted = std::fs::read_to_string(a.root("doom").join("scripted")).unwrap();
    assert_eq!(scripted, format!("{}|doom|en|a\n", a.root("doom").display()));
}

#[test]
fn nothing_is_written_beneath_a_game_that_runs() {
    let Some(room) = Room::new("install-running") else { return };
    let package = Package::new("doom", "1.0", 100).with("wait.sh", "#!/bin/sh\necho > started\nread line < gate\n");
    let a = host(&room, "a", &package, Pack::Zip);
    a.done(&["install", "doom"]);
    a.done(&["catalog", "add", "doom", "--start", "./wait.sh"]);
    let local = a.root("doom").join("local");
    let made = std::process::Command::new("mkfifo").arg(local.join("gate")).status().unwrap();
    assert!(made.success());
    let playing = a.begin(&["play", "doom"]);
    file_appears(&local.join("started"));
    for command in [&["update", "doom"][..], &["uninstall", "doom", "--force"]] {
        let refused = a.cli(command);
        assert_eq!((refused.code, refused.error_code().as_str()), (3, "game_running"), "{refused:?}");
    }
    std::fs::write(local.join("gate"), "end\n").unwrap();
    assert_eq!(playing.end(LONG).code, 0);
    std::fs::remove_file(local.join("gate")).unwrap();
    a.done(&["update", "doom"]);
}

#[test]
fn nothing_is_written_beneath_a_game_whose_program_is_elsewhere_and_none_is_started_meanwhile() {
    let Some(room) = Room::new("install-elsewhere") else { return };
    let package = Package::new("doom", "1.0", 100);
    let mut a = host(&room, "a", &package, Pack::Zip);
    a.done(&["install", "doom"]);
    let outside = room.folder().join("outside");
    std::fs::create_dir(&outside).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(outside.join("gate")).status().unwrap().success());
    // No save of it is kept, and what its script starts has neither its folder nor its files open.
    let script = format!("cd {0} && exec sh -c 'echo > started; read line < gate'\n", outside.display());
    std::fs::write(a.root("doom").join("game_start.sh"), script).unwrap();
    let playing = a.begin(&["play", "doom"]);
    file_appears(&outside.join("started"));
    for command in [&["update", "doom"][..], &["uninstall", "doom", "--force"]] {
        let refused = a.cli(command);
        assert_eq!((refused.code, refused.error_code().as_str()), (3, "game_running"), "{refused:?}");
    }
    std::fs::write(outside.join("gate"), "end\n").unwrap();
    assert_eq!(playing.end(LONG).code, 0);
    a.done(&["update", "doom"]);
    // The other way round.
    let mut package = package;
    for n in 0..6_000 {
        package = package.with(&format!("many/file-{n}"), "one of many");
    }
    brings(&a, &Package { version: "1.1".to_owned(), ..package }, Pack::TarGz);
    a.mark();
    a.tell(&json!({"installs": {"update": {"game": "doom"}}}));
    file_appears(&a.root("doom").join(".local.installing/many"));
    let refused = a.cli(&["play", "doom", "--anyway", "--", "true"]);
    assert_eq!((refused.code, refused.error_code().as_str()), (3, "busy"), "{refused:?}");
    a.cancel("doom").unwrap();
    a.expect_game("install_cancelled", "doom", SOON);
    a.idle();
}

#[test]
fn a_lanspread_folder_is_adopted_as_it_is() {
    let Some(room) = Room::new("adopt") else { return };
    let mut a = room.seat("a");
    // As an installed game of lanspread lies there: archive, sentinel, install, intent log, markers of other tools.
    let package = Package::new("doom", "20251224", 300);
    let root = package.write(&a.games, Pack::Rar);
    package.unpacked(&root.join("local"));
    std::fs::write(root.join("local/1.sav"), "saved").unwrap();
    let intent =
        r#"{"schema_version":1,"id":"doom","recorded_at":1,"intent":"None","eti_version":null,"manifest_hash":0}"#;
    std::fs::write(root.join(".lanspread.json"), intent).unwrap();
    std::fs::write(root.join(".softlan_game_installed"), "").unwrap();
    std::fs::create_dir(root.join(".sync")).unwrap();
    std::fs::write(root.join(".sync/ID"), "id").unwrap();
    std::fs::write(root.join("game_start.cmd"), "@echo off\r\n").unwrap();
    a.list_in_catalog("doom");
    let before = tree::read(&a.games.join("doom"));
    a.start();
    a.until("it is hashed", SOON, || a.game("doom").filter(|g| g["content_hash"].is_string()));
    let listed = a.game("doom").unwrap();
    assert_eq!((&listed["downloaded"], &listed["installed"]), (&json!(true), &json!(true)));
    a.done(&["verify", "doom"]);
    let refused = a.cli(&["uninstall", "doom"]);
    assert_eq!(refused.error_code(), "players_files", "nobody recorded what was installed: {refused:?}");
    a.terminate();
    assert_eq!(tree::read(&root), before, "nothing in it is changed");
    a.start();
    brings(&a, &Package::new("doom", "20260101", 300), Pack::Rar);
    a.done(&["update", "doom"]);
    let local = root.join("local");
    assert_eq!(std::fs::read_to_string(local.join("1.sav")).unwrap(), "saved");
    assert_eq!(std::fs::read_to_string(local.join("data/level")).unwrap(), "level of 20260101\n");
    // Nobody knows whose the old one was, so it is kept.
    assert_eq!(std::fs::read_to_string(local.join("data/level.kept")).unwrap(), "level of 20251224\n");
    for name in [".softlan_game_installed", ".sync/ID", "game_start.cmd"] {
        assert!(root.join(name).exists(), "{name}");
    }
    assert!(std::fs::read_to_string(root.join(".lanspread.json")).unwrap().contains("recorded_at"));
}

#[test]
fn a_peer_that_is_killed_while_it_installs_starts_with_the_old_game_or_the_new() {
    let Some(room) = Room::new("install-kill") else { return };
    let kills: u32 = std::env::var("BONFIRE_INSTALL_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(15);
    let mut random = Random::announced("a_peer_that_is_killed_while_it_installs_starts_with_the_old_game_or_the_new");
    let versions =
        [Package::new("doom", "1.0", 1_500).with("old", "old"), Package::new("doom", "1.1", 1_500).with("new", "new")];
    let trees: Vec<tree::Tree> = versions.iter().map(tree_of).collect();
    let mut a = host(&room, "a", &versions[0], Pack::Zip);
    let local = a.root("doom").join("local");
    let (mut installed, mut cut_off) = (None::<usize>, 0);
    for round in 0..kills {
        // What is asked for follows from what is there; what is downloaded changes from time to time.
        let downloaded = usize::try_from(random.between(0, 2)).unwrap();
        versions[downloaded].write(&a.games, Pack::Zip);
        a.tell(&json!({"library": {"rescan": {"games": ["doom"]}}}));
        a.until("the version is seen", SOON, || {
            a.game("doom").filter(|g| g["version"] == versions[downloaded].version.as_str())
        });
        a.idle();
        let command = match (installed, random.between(0, 3)) {
            (None, _) => "install",
            (Some(_), 0) => "uninstall",
            (Some(_), _) => "update",
        };
        a.mark();
        a.post(&json!({"installs": {command: {"game": "doom", "force": true}}}));
        std::thread::sleep(std::time::Duration::from_micros(random.between(0, 120_000)));
        a.kill9();
        let scratch = std::fs::read_dir(a.root("doom"))
            .unwrap()
            .any(|e| e.unwrap().file_name().to_string_lossy().starts_with(".l"));
        cut_off += u32::from(scratch);
        a.start();
        a.has_no_scratch("doom");
        let wanted = match command {
            "uninstall" => None,
            _ => Some(downloaded),
        };
        let mut now = a.installed("doom");
        let save = now.remove("1.sav");
        let is = if local.exists() { trees.iter().position(|tree| *tree == now) } else { None };
        assert!(!local.exists() || is.is_some(), "round {round}, {command}: a mix: {now:?}");
        assert!(is == installed || is == wanted, "round {round}, {command}: {installed:?} became {is:?}");
        if is.is_some() && installed.is_some() {
            assert!(save.is_some(), "round {round}, {command}: the player's file is gone");
        }
        installed = is;
        if installed.is_some() {
            std::fs::write(local.join("1.sav"), "saved").unwrap();
        }
    }
    eprintln!("{kills} kills, {cut_off} of them in the middle");
    assert!(cut_off > 0, "no kill struck in the middle");
}

#[test]
fn freedoom_is_installed_from_a_package_and_played() {
    const NAME: &str = "freedoom_is_installed_from_a_package_and_played";
    let (engine, iwad) = (Path::new("/usr/games/chocolate-doom"), Path::new("/usr/share/games/doom/freedoom2.wad"));
    let has_screen = Path::new("/usr/bin/Xvfb").exists();
    if !engine.exists() || !iwad.exists() || !has_screen {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs chocolate-doom, freedoom and xvfb");
        skip(&format!("{NAME}: needs chocolate-doom, freedoom and xvfb"));
        return;
    }
    let Some(room) = Room::new("freedoom-play") else { return };
    let mut package = Package::new("freedoom", "0.12.1", 0);
    package.files = vec![("freedoom2.wad".to_owned(), std::fs::read(iwad).unwrap())];
    let start = "#!/bin/sh\nexec xvfb-run -a /usr/games/chocolate-doom -iwad freedoom2.wad -nosound -nogui -window -config default.cfg \
                 -extraconfig extra.cfg -savedir . -warp 1 -skill 1\n";
    let package = package.with("start.sh", start);
    let a = host(&room, "a", &package, Pack::SevenZ);
    let b = room.peer("b");
    b.sees_hashed(&a, "freedoom");
    b.done(&["get", "freedoom", "--install"]);
    assert_eq!(b.installed("freedoom"), tree_of(&package));
    b.done(&["catalog", "add", "freedoom", "--start", "./start.sh"]);
    let playing = b.begin(&["play", "freedoom"]);
    let local = b.root("freedoom").join("local");
    let engine = b.until("the engine runs", LONG, || process_in(&local, "chocolate-doom"));
    let refused = b.cli(&["update", "freedoom"]);
    assert_eq!(refused.error_code(), "game_running", "{refused:?}");
    // It writes its settings when it is asked to end.
    let ended = std::process::Command::new("kill").arg(engine.to_string()).status().unwrap();
    assert!(ended.success());
    // Its code is the engine's own for a signal.
    assert_ne!(playing.end(LONG).code, 3);
    brings(&a, &Package { version: "0.13".to_owned(), ..package.clone().with("new", "new") }, Pack::Zip);
    b.until("it is offered", SOON, || b.remote_game(a.id(), "freedoom").filter(|g| g["version"] == "0.13"));
    b.sees_hashed(&a, "freedoom");
    std::fs::write(local.join("doomsav0.dsg"), "saved").unwrap();
    b.done(&["get", "freedoom", "--install"]);
    assert!(local.join("new").exists() && local.join("doomsav0.dsg").exists());
    assert_eq!(b.cli(&["uninstall", "freedoom"]).error_code(), "players_files");
    b.done(&["uninstall", "freedoom", "--force"]);
    b.has_no_scratch("freedoom");
}

/// A process of this name that works in a folder.
fn process_in(folder: &Path, name: &str) -> Option<u32> {
    std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let comm = std::fs::read_to_string(entry.path().join("comm")).ok()?;
        let cwd = std::fs::read_link(entry.path().join("cwd")).ok()?;
        (name.starts_with(comm.trim()) && cwd == folder).then_some(pid)
    })
}

fn make_executable(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).unwrap().permissions().mode() & 0o100 != 0
}

#[allow(clippy::print_stderr, reason = "a skipped scenario has to be seen")]
fn skip(why: &str) {
    eprintln!("\n*** SKIPPED: {why} ***\n");
}
