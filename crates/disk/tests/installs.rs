//! Installs on the real disk: what is in place after each transaction, whose files survive it, what recovery makes of one
//! that was cut off.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bonfire_disk::install::{InstallError, InstallRecovery, Installed, Placing, Staging};
use bonfire_disk::{DiskError, GamesFolder, Recovered};
use bonfire_engine::installs::{Fault, Keep, Known};
use bonfire_proto::{Digest, GameId, RelPath};
use tempfile::TempDir;

type Files<'a> = &'a [(&'a str, &'a str)];

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

fn downloaded() -> (TempDir, GamesFolder) {
    let dir = tempfile::tempdir().unwrap();
    put(&dir, "doom/version.ini", "1");
    put(&dir, "doom/doom.eti", "an archive");
    let folder = GamesFolder::open(dir.path()).unwrap();
    (dir, folder)
}

fn put(dir: &TempDir, path: &str, bytes: &str) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// All files beneath a folder but for the record of an install, with what they hold.
fn tree(at: &Path) -> BTreeMap<String, String> {
    fn walk(top: &Path, at: &Path, out: &mut BTreeMap<String, String>) {
        let Ok(entries) = fs::read_dir(at) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, out);
            } else {
                let name = path.strip_prefix(top).unwrap().to_string_lossy().replace('\\', "/");
                out.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(at, at, &mut out);
    out.retain(|name, _| !name.ends_with(".bonfire.install"));
    out
}

fn of(files: Files<'_>) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Unpacks files as a worker would.
fn unpack(staging: &Staging, files: Files<'_>) -> BTreeMap<RelPath, Known> {
    let mut out = BTreeMap::new();
    for (name, text) in files {
        let path = staging.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        let known = Known { size: text.len() as u64, blake3: Digest(*blake3::hash(text.as_bytes()).as_bytes()) };
        out.insert(RelPath::new(*name).unwrap(), known);
    }
    out
}

fn install(folder: &GamesFolder, files: Files<'_>) -> Result<Installed, InstallError> {
    let staging = folder.begin_install(&game())?;
    let unpacked = unpack(&staging, files);
    staging.commit("1", &unpacked, &|_| true)
}

fn local(dir: &TempDir) -> BTreeMap<String, String> {
    tree(&dir.path().join("doom/local"))
}

/// The names in the game root.
fn root(dir: &TempDir) -> Vec<String> {
    let names = fs::read_dir(dir.path().join("doom")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn an_install_puts_in_place_what_was_unpacked_and_leaves_nothing_beside_it() {
    let (dir, folder) = downloaded();
    let installed = install(&folder, &[("doom.exe", "one"), ("maps/e1m1", "map")]).unwrap();
    assert_eq!((installed.files, installed.bytes, installed.carried.len()), (2, 6, 0));
    assert_eq!(local(&dir), of(&[("doom.exe", "one"), ("maps/e1m1", "map")]));
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
}

#[test]
fn an_update_carries_what_the_player_made_and_keeps_what_both_changed() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one"), ("doom.cfg", "default"), ("keys.cfg", "default"), ("old.dll", "x")])
        .unwrap();
    put(&dir, "doom/local/saves/1.sav", "a save of years");
    put(&dir, "doom/local/doom.cfg", "mine!");
    put(&dir, "doom/local/keys.cfg", "also mine");
    fs::create_dir(dir.path().join("doom/local/screenshots")).unwrap();
    let new: Files<'_> = &[("doom.exe", "two"), ("doom.cfg", "new default"), ("keys.cfg", "default")];
    let installed = install(&folder, new).unwrap();
    let kept: Vec<_> = installed.carried.iter().map(|c| (c.to.as_str(), c.kept)).collect();
    assert_eq!(
        kept,
        [("doom.cfg.kept", Some(Keep::BothChanged)), ("keys.cfg", None), ("saves/1.sav", None)],
        "a report of all that is the player's"
    );
    let expected = [
        ("doom.exe", "two"),
        ("doom.cfg", "new default"),
        ("doom.cfg.kept", "mine!"),
        ("keys.cfg", "also mine"),
        ("saves/1.sav", "a save of years"),
    ];
    assert_eq!(local(&dir), of(&expected));
    assert!(dir.path().join("doom/local/screenshots").is_dir(), "an empty folder is the player's, too");
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    // What was the player's stays so in the next update, too.
    install(&folder, &[("doom.exe", "three"), ("keys.cfg", "default")]).unwrap();
    let expected = [
        ("doom.exe", "three"),
        ("doom.cfg.kept", "mine!"),
        ("keys.cfg", "also mine"),
        ("saves/1.sav", "a save of years"),
    ];
    assert_eq!(local(&dir), of(&expected));
}

#[test]
fn an_install_that_nobody_recorded_loses_nothing_in_an_update() {
    let (dir, folder) = downloaded();
    put(&dir, "doom/local/doom.exe", "one");
    put(&dir, "doom/local/same.dat", "same");
    put(&dir, "doom/local/1.sav", "a save");
    let installed = install(&folder, &[("doom.exe", "two"), ("same.dat", "same")]).unwrap();
    assert_eq!(installed.carried.len(), 2);
    let expected = [("doom.exe", "two"), ("doom.exe.kept", "one"), ("same.dat", "same"), ("1.sav", "a save")];
    assert_eq!(local(&dir), of(&expected));
}

#[test]
fn what_was_not_unpacked_as_it_says_is_never_put_in_place() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    let cases: [&dyn Fn(&Path); 4] = [
        &|at| fs::write(at.join("doom.exe"), "longer").unwrap(),
        &|at| fs::remove_file(at.join("doom.exe")).unwrap(),
        &|at| fs::write(at.join("extra"), "x").unwrap(),
        &|at| fs::write(at.join("bad:name"), "x").unwrap(),
    ];
    for spoil in cases {
        let staging = folder.begin_install(&game()).unwrap();
        let unpacked = unpack(&staging, &[("doom.exe", "two")]);
        spoil(&staging.path());
        let error = staging.commit("2", &unpacked, &|_| true).unwrap_err();
        assert!(matches!(error, InstallError::NotAsUnpacked { .. }), "{error}");
        assert_eq!(local(&dir), of(&[("doom.exe", "one")]));
        assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    }
}

#[test]
fn an_update_that_is_cancelled_or_given_up_leaves_the_install_as_it_was() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    put(&dir, "doom/local/1.sav", "a save");
    let before = local(&dir);
    folder.begin_install(&game()).unwrap().abort().unwrap();
    assert_eq!((local(&dir), root(&dir).len()), (before.clone(), 3));
    let staging = folder.begin_install(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "two")]);
    assert!(matches!(staging.commit("2", &unpacked, &|_| false), Err(InstallError::Cancelled)));
    assert_eq!((local(&dir), root(&dir).len()), (before, 3));
}

#[test]
fn an_install_that_changes_at_the_last_moment_is_not_replaced() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    put(&dir, "doom/local/1.sav", "a save");
    let staging = folder.begin_install(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "two")]);
    // The game writes while the player's files are read.
    let write = |_| {
        put(&dir, "doom/local/2.sav", "another");
        true
    };
    let error = staging.commit("2", &unpacked, &write).unwrap_err();
    assert!(matches!(error, InstallError::Disk(DiskError::Changed { .. })) && error.is_retryable(), "{error}");
    assert_eq!(local(&dir), of(&[("doom.exe", "one"), ("1.sav", "a save"), ("2.sav", "another")]));
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
}

#[cfg(unix)]
#[test]
fn an_update_refuses_what_it_could_not_carry_over() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    std::os::unix::fs::symlink("/etc", dir.path().join("doom/local/mods")).unwrap();
    let error = install(&folder, &[("doom.exe", "two")]).unwrap_err();
    assert!(matches!(&error, InstallError::CannotCarry { first, count: 1, .. } if first == "mods"), "{error}");
    assert_eq!(fs::read_to_string(dir.path().join("doom/local/doom.exe")).unwrap(), "one");
    let error = folder.uninstall(&game(), false, &|_| true).unwrap_err();
    assert!(matches!(error, InstallError::PlayersFiles { count: 1, .. }), "{error}");
    folder.uninstall(&game(), true, &|_| true).unwrap();
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
    assert!(Path::new("/etc").is_dir(), "a link went, not what it led to");
}

#[test]
fn an_uninstall_takes_the_install_and_nothing_of_the_player_unless_it_is_meant() {
    let (dir, folder) = downloaded();
    assert!(matches!(folder.uninstall(&game(), false, &|_| true), Err(InstallError::NotInstalled { .. })));
    install(&folder, &[("doom.exe", "one"), ("doom.cfg", "default")]).unwrap();
    put(&dir, "doom/local/1.sav", "a save");
    put(&dir, "doom/local/doom.cfg", "mine");
    let error = folder.uninstall(&game(), false, &|_| true).unwrap_err();
    let InstallError::PlayersFiles { files, count: 2, .. } = &error else { panic!("{error}") };
    assert_eq!(files.iter().map(RelPath::as_str).collect::<Vec<_>>(), ["1.sav", "doom.cfg"]);
    assert_eq!(local(&dir).len(), 3);
    let gone = folder.uninstall(&game(), true, &|_| true).unwrap();
    assert!(gone.files == 3 && gone.left.is_none(), "{gone:?}");
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
    install(&folder, &[("doom.exe", "one")]).unwrap();
    folder.uninstall(&game(), false, &|_| true).unwrap();
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_install_of_which_not_everything_can_be_deleted_is_not_begun_to_be() {
    use std::os::unix::ffi::OsStrExt as _;
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one"), ("maps/e1m1", "map")]).unwrap();
    let odd = dir.path().join("doom/local/maps").join(std::ffi::OsStr::from_bytes(b"caf\xe9.wad"));
    fs::write(&odd, "a map of 1996").unwrap();
    let before = local(&dir);
    let error = folder.uninstall(&game(), true, &|_| true).unwrap_err();
    assert!(matches!(error, InstallError::CannotDelete { count: 1, .. }), "{error}");
    let error = install(&folder, &[("doom.exe", "two")]).unwrap_err();
    assert_eq!(error.code(), "cannot_carry");
    assert_eq!(local(&dir), before);
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    // Nothing of it keeps the game from what comes next.
    fs::remove_file(odd).unwrap();
    install(&folder, &[("doom.exe", "two")]).unwrap();
    folder.uninstall(&game(), true, &|_| true).unwrap();
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
}

#[test]
fn an_install_that_changes_after_the_look_is_not_taken_away_even_when_it_is_forced() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    for force in [false, true] {
        let leaving = folder.begin_uninstall(&game(), force, &|_| true).unwrap();
        let save = format!("{force}.sav");
        put(&dir, &format!("doom/local/{save}"), "a save");
        let error = leaving.finish(&|| true).unwrap_err();
        assert!(matches!(error, InstallError::Disk(DiskError::Changed { .. })) && error.is_retryable(), "{error}");
        assert_eq!(local(&dir), of(&[("doom.exe", "one"), (&save, "a save")]));
        assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
        fs::remove_file(dir.path().join("doom/local").join(save)).unwrap();
    }
    folder.uninstall(&game(), false, &|_| true).unwrap();
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
}

#[test]
fn nothing_is_installed_without_a_download_or_over_what_is_somebody_elses() {
    let (dir, folder) = downloaded();
    put(&dir, "doom/.local.installing/theirs", "x");
    let error = folder.begin_install(&game()).unwrap_err();
    assert!(matches!(error, InstallError::Disk(DiskError::InTheWay { .. })), "{error}");
    assert_eq!(tree(&dir.path().join("doom/.local.installing")), of(&[("theirs", "x")]));
    fs::remove_dir_all(dir.path().join("doom/.local.installing")).unwrap();
    put(&dir, "doom/local", "a file");
    let error = folder.begin_install(&game()).unwrap_err();
    assert!(matches!(error, InstallError::Disk(DiskError::InTheWay { .. })), "{error}");
    fs::remove_file(dir.path().join("doom/local")).unwrap();
    fs::remove_file(dir.path().join("doom/version.ini")).unwrap();
    assert!(matches!(folder.begin_install(&game()), Err(InstallError::NotDownloaded { .. })));
}

#[test]
fn an_install_that_was_cut_off_is_undone_at_start_and_one_that_was_done_stays() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    let staging = folder.begin_install(&game()).unwrap();
    unpack(&staging, &[("doom.exe", "two")]);
    drop(staging);
    assert_eq!(root(&dir).len(), 5, "the intent and the staging folder lie there");
    let found = folder.recover().unwrap();
    let undone = |r: &Recovered| matches!(r, Recovered::Install { recovery: InstallRecovery::Undone, .. });
    assert!(matches!(&found[..], [one] if undone(one)), "{found:?}");
    assert_eq!(local(&dir), of(&[("doom.exe", "one")]));
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    assert!(folder.recover().unwrap().is_empty());
}

/// Every way in which a root can look, against the table.
#[test]
fn recovery_does_to_every_root_what_the_table_says() {
    use bonfire_engine::recovery::Intent;
    use bonfire_engine::recovery::installs::{LocalState, Observed, ScratchState, decide};
    let name = |intent| match intent {
        Intent::None => Some("None"),
        Intent::Downloading => Some("Downloading"),
        Intent::Installing => Some("Installing"),
        Intent::Updating => Some("Updating"),
        Intent::Uninstalling => Some("Uninstalling"),
        Intent::Unreadable => Some("Whatever"),
    };
    let mut seen_rows = 0;
    for intent in Intent::ALL {
        for seen in Observed::all() {
            let (dir, folder) = downloaded();
            put(&dir, "doom/.lanspread.json", &format!(r#"{{"intent":"{}"}}"#, name(intent).unwrap()));
            match seen.local {
                LocalState::Absent => {}
                LocalState::Folder => put(&dir, "doom/local/a", "local"),
                LocalState::Doomed => {
                    put(&dir, "doom/local/a", "local");
                    put(&dir, "doom/local/.lanspread_owned", "bonfire: this folder is being deleted\n");
                }
                LocalState::Other => put(&dir, "doom/local", "a file"),
            }
            for (at, state) in [(".local.installing", seen.staging), (".local.backup", seen.backup)] {
                match state {
                    ScratchState::Absent => {}
                    ScratchState::Other => put(&dir, &format!("doom/{at}"), "a file"),
                    ScratchState::Unmarked => put(&dir, &format!("doom/{at}/a"), at),
                    ScratchState::Marked | ScratchState::Doomed => {
                        put(&dir, &format!("doom/{at}/a"), at);
                        let text =
                            if state == ScratchState::Marked { "" } else { "bonfire: this folder is being deleted\n" };
                        put(&dir, &format!("doom/{at}/.lanspread_owned"), text);
                    }
                }
            }
            let before = tree(&dir.path().join("doom"));
            let found = folder.recover().unwrap();
            let after = tree(&dir.path().join("doom"));
            let case = format!("{intent:?} {seen:?}: {found:?}");
            let mut expected = before.clone();
            expected.retain(|name, _| !name.starts_with(".local."));
            let under = |folder: &str| -> BTreeMap<String, String> {
                let prefix = format!("{folder}/");
                let is_it = |name: &String| name.starts_with(&prefix) || *name == folder;
                before.iter().filter(|(name, _)| is_it(name)).map(|(n, t)| (n.clone(), t.clone())).collect()
            };
            match decide(intent, seen) {
                Err(_) => {
                    assert!(
                        matches!(&found[0], Recovered::Failed { error: DiskError::UnknownFormat { .. }, .. }),
                        "{case}"
                    );
                    assert_eq!(after, before, "{case}");
                }
                Ok(steps) => {
                    if steps.restores_backup {
                        expected.insert("local/a".to_owned(), ".local.backup".to_owned());
                    } else if !steps.sweeps_backup {
                        expected.extend(under(".local.backup"));
                    }
                    if !steps.sweeps_staging {
                        expected.extend(under(".local.installing"));
                    }
                    let intent_after = if steps.drops_intent || intent == Intent::Downloading {
                        "None"
                    } else {
                        name(intent).unwrap()
                    };
                    let log: BTreeMap<String, String> =
                        serde_json::from_str(&fs::read_to_string(dir.path().join("doom/.lanspread.json")).unwrap())
                            .unwrap();
                    assert_eq!(log["intent"], intent_after, "{case}");
                    let is_log = |name: &String| name == ".lanspread.json";
                    let (mut after, mut expected) = (after, expected);
                    after.retain(|name, _| !is_log(name));
                    expected.retain(|name, _| !is_log(name));
                    assert_eq!(after, expected, "{case}");
                    assert!(folder.recover().unwrap().iter().all(|r| matches!(r, Recovered::Failed { .. })), "{case}");
                }
            }
            seen_rows += 1;
        }
    }
    assert_eq!(seen_rows, 600);
}

fn placing(folder: &GamesFolder) -> Vec<Placing> {
    let walked = folder.walk(&game()).unwrap();
    let files = walked.files.iter().filter(|f| f.path.as_str() != "version.ini");
    files.map(|f| Placing { path: f.path.clone(), stamp: f.stamp(), blake3: None }).collect()
}

/// Files of the payload as the index knows them, with their content.
#[cfg(unix)]
fn known(dir: &TempDir, folder: &GamesFolder) -> Vec<Placing> {
    let content = |path: &RelPath| blake3::hash(&fs::read(dir.path().join("doom").join(path.as_str())).unwrap());
    placing(folder).into_iter().map(|f| Placing { blake3: Some(Digest(*content(&f.path).as_bytes())), ..f }).collect()
}

#[cfg(unix)]
#[test]
fn an_update_of_plain_files_writes_only_what_changed() {
    use std::os::unix::fs::MetadataExt as _;
    let (dir, folder) = downloaded();
    let inode = |name: &str| fs::metadata(dir.path().join("doom/local").join(name)).unwrap().ino();
    let files =
        [("level", "a level"), ("engine", "one"), ("settings", "default"), ("changed", "right"), ("dated", "same")];
    files.iter().for_each(|(name, text)| put(&dir, &format!("doom/{name}"), text));
    let update = |version: &str| {
        let staging = folder.begin_install(&game()).unwrap();
        let placed = staging.place(&known(&dir, &folder), &|_| true).unwrap();
        staging.commit(version, &placed, &|_| true).unwrap()
    };
    update("1");
    let before = ["level", "engine", "settings", "changed", "dated"].map(inode);
    put(&dir, "doom/engine", "two");
    put(&dir, "doom/local/settings", "mine");
    // Written to, with the length and the time that it was installed with.
    let changed = dir.path().join("doom/local/changed");
    let time = fs::metadata(&changed).unwrap().modified().unwrap();
    fs::write(&changed, "wrong").unwrap();
    fs::File::options().write(true).open(&changed).unwrap().set_modified(time).unwrap();
    // The same content in another moment.
    put(&dir, "doom/local/dated", "same");
    update("2");
    let is_same: Vec<bool> = ["level", "engine", "settings", "changed", "dated"]
        .iter()
        .zip(before)
        .map(|(name, was)| inode(name) == was)
        .collect();
    assert_eq!(is_same, [true, false, true, true, true]);
    let (level, engine) = (inode("level"), inode("engine"));
    update("2");
    assert_eq!((inode("level"), inode("engine")), (level, engine), "time and again");
    let expected = [
        ("level", "a level"),
        ("engine", "two"),
        ("settings", "mine"),
        ("changed", "wrong"),
        ("dated", "same"),
        ("doom.eti", "an archive"),
    ];
    assert_eq!(local(&dir), of(&expected));
    // One name is left of each, and none of them is the payload's.
    for name in ["level", "engine", "dated"] {
        assert_eq!(fs::metadata(dir.path().join("doom/local").join(name)).unwrap().nlink(), 1, "{name}");
        assert_ne!(inode(name), fs::metadata(dir.path().join("doom").join(name)).unwrap().ino());
    }
    assert_eq!(fs::read_to_string(dir.path().join("doom/settings")).unwrap(), "default");
}

#[test]
fn plain_files_are_placed_so_that_no_edit_of_one_reaches_the_other() {
    let (dir, folder) = downloaded();
    put(&dir, "doom/data/level", "a level");
    put(&dir, "doom/run", "#!/bin/sh\n");
    let staging = folder.begin_install(&game()).unwrap();
    let placed = staging.place(&placing(&folder), &|_| true).unwrap();
    staging.commit("1", &placed, &|_| true).unwrap();
    assert_eq!(local(&dir), of(&[("data/level", "a level"), ("doom.eti", "an archive"), ("run", "#!/bin/sh\n")]));
    use std::io::Write as _;
    let level = dir.path().join("doom/local/data/level");
    fs::OpenOptions::new().append(true).open(&level).unwrap().write_all(b" of mine").unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("doom/data/level")).unwrap(), "a level");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let runs = |name: &str| {
            fs::metadata(dir.path().join("doom/local").join(name)).unwrap().permissions().mode() & 0o100 != 0
        };
        assert!(runs("run") && !runs("data/level"), "a script can be started as it lies there");
    }
}

#[test]
fn a_plain_file_that_changes_before_it_is_placed_is_not_placed() {
    let (dir, folder) = downloaded();
    let files = placing(&folder);
    put(&dir, "doom/doom.eti", "another archive");
    let staging = folder.begin_install(&game()).unwrap();
    let changed = staging.place(&files, &|_| true).unwrap_err();
    assert!(matches!(changed, InstallError::Disk(DiskError::Changed { .. })), "{changed}");
    staging.abort().unwrap();
    assert_eq!(root(&dir), ["doom.eti", "version.ini"]);
}

#[test]
fn what_is_missing_or_damaged_is_put_back_and_what_was_changed_only_when_it_is_asked_for() {
    let (dir, folder) = downloaded();
    let files: Files<'_> = &[("doom.exe", "one"), ("doom.cfg", "default"), ("maps/e1m1", "map"), ("maps/e1m2", "MAP")];
    install(&folder, files).unwrap();
    let exe = dir.path().join("doom/local/doom.exe");
    let time = fs::metadata(&exe).unwrap().modified().unwrap();
    put(&dir, "doom/local/doom.exe", "ONE");
    fs::File::options().write(true).open(&exe).unwrap().set_modified(time).unwrap();
    put(&dir, "doom/local/doom.cfg", "mine!");
    put(&dir, "doom/local/1.sav", "a save of years");
    fs::remove_dir_all(dir.path().join("doom/local/maps")).unwrap();
    let checked = folder.check_install(&game(), &|_| true).unwrap().unwrap();
    let faults: Vec<(&str, Fault)> = checked.faults.iter().map(|(path, found)| (path.as_str(), found.fault)).collect();
    let (missing, damaged, changed) = (Fault::Missing, Fault::Damaged, Fault::Changed);
    assert_eq!(faults, [("doom.cfg", changed), ("doom.exe", damaged), ("maps/e1m1", missing), ("maps/e1m2", missing)]);
    let wanted: BTreeMap<_, _> =
        checked.faults.into_iter().filter(|(_, found)| found.fault != Fault::Changed).collect();
    let staging = folder.begin_mend(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "one"), ("maps/e1m1", "map"), ("maps/e1m2", "MAP")]);
    let mended = staging.mend(&unpacked, &wanted).unwrap();
    assert_eq!(mended.files, 3);
    let kept: Vec<_> = mended.kept.iter().map(RelPath::as_str).collect();
    assert_eq!(kept, ["doom.exe.kept"], "it may be somebody's who set its time back");
    let left = folder.check_install(&game(), &|_| true).unwrap().unwrap().faults;
    assert_eq!(left.keys().map(RelPath::as_str).collect::<Vec<_>>(), ["doom.cfg"]);
    let staging = folder.begin_mend(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.cfg", "default")]);
    let mended = staging.mend(&unpacked, &left).unwrap();
    assert_eq!(mended.kept.iter().map(RelPath::as_str).collect::<Vec<_>>(), ["doom.cfg.kept"]);
    let mut whole = of(files);
    whole.extend(of(&[("doom.cfg.kept", "mine!"), ("doom.exe.kept", "ONE"), ("1.sav", "a save of years")]));
    assert_eq!(local(&dir), whole);
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    assert_eq!(folder.check_install(&game(), &|_| true).unwrap().unwrap().faults.len(), 0);
}

#[test]
fn nothing_that_came_or_changed_after_the_look_is_replaced_by_a_repair() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.cfg", "default"), ("maps/e1m1", "map")]).unwrap();
    put(&dir, "doom/local/doom.cfg", "mine!");
    fs::remove_dir_all(dir.path().join("doom/local/maps")).unwrap();
    let faults = folder.check_install(&game(), &|_| true).unwrap().unwrap().faults;
    for (path, text) in [("maps/e1m1", "a map of mine"), ("doom.cfg", "mine, and better")] {
        let staging = folder.begin_mend(&game()).unwrap();
        let unpacked = unpack(&staging, &[("doom.cfg", "default"), ("maps/e1m1", "map")]);
        // The game runs, or the player copies something there, while it is unpacked.
        put(&dir, &format!("doom/local/{path}"), text);
        let before = local(&dir);
        let error = staging.mend(&unpacked, &faults).unwrap_err();
        assert!(matches!(error, InstallError::Disk(DiskError::Changed { .. })) && error.is_retryable(), "{error}");
        assert_eq!(local(&dir), before);
        assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
        if path.contains('/') {
            fs::remove_dir_all(dir.path().join("doom/local/maps")).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_file_that_another_of_its_length_and_time_took_the_place_of_is_the_players() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one"), ("doom.cfg", "default")]).unwrap();
    let exe = dir.path().join("doom/local/doom.exe");
    let time = fs::metadata(&exe).unwrap().modified().unwrap();
    put(&dir, "doom/local/patched", "ONE");
    let patched = dir.path().join("doom/local/patched");
    fs::File::options().write(true).open(&patched).unwrap().set_modified(time).unwrap();
    fs::rename(&patched, &exe).unwrap();
    let error = folder.uninstall(&game(), false, &|_| true).unwrap_err();
    assert!(matches!(error, InstallError::PlayersFiles { count: 1, .. }), "{error}");
    install(&folder, &[("doom.exe", "two"), ("doom.cfg", "default")]).unwrap();
    assert_eq!(local(&dir), of(&[("doom.exe", "two"), ("doom.exe.kept", "ONE"), ("doom.cfg", "default")]));
}

#[test]
fn nothing_is_put_back_from_another_version_or_over_what_is_no_file() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one"), ("doom.cfg", "default")]).unwrap();
    fs::remove_file(dir.path().join("doom/local/doom.exe")).unwrap();
    let faults = folder.check_install(&game(), &|_| true).unwrap().unwrap().faults;
    let staging = folder.begin_mend(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "two")]);
    let wrong = staging.mend(&unpacked, &faults).unwrap_err();
    assert_eq!(wrong.code(), "not_as_unpacked");
    fs::create_dir(dir.path().join("doom/local/doom.exe")).unwrap();
    let staging = folder.begin_mend(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "one")]);
    let wrong = staging.mend(&unpacked, &faults).unwrap_err();
    assert!(matches!(wrong, InstallError::Disk(DiskError::InTheWay { .. })), "{wrong}");
    assert_eq!(root(&dir), ["doom.eti", "local", "version.ini"]);
    assert_eq!(local(&dir), of(&[("doom.cfg", "default")]));
}

#[test]
fn what_was_written_since_is_seen_before_an_install_goes() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    put(&dir, "doom/local/1.sav", "a save");
    // The time that a program set, and on systems that have it the one that none sets, which is now.
    let save = fs::File::options().write(true).open(dir.path().join("doom/local/1.sav")).unwrap();
    save.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_micros(5_000_500)).unwrap();
    let leaving = folder.begin_uninstall(&game(), true, &|_| true).unwrap();
    assert_eq!(leaving.written_between(4_999, 5_000).map(RelPath::as_str), Some("1.sav"));
    assert_eq!(leaving.written_between(5_000, 6_000), None, "not later than that millisecond");
    assert_eq!(leaving.written_between(4_000, 4_999), None);
    assert_eq!(leaving.written_between(0, u64::MAX).map(RelPath::as_str), Some("1.sav"));
}

#[test]
fn an_install_that_somebody_began_to_use_is_back_in_its_place() {
    let (dir, folder) = downloaded();
    install(&folder, &[("doom.exe", "one")]).unwrap();
    put(&dir, "doom/local/1.sav", "a save");
    let before = local(&dir);
    let [here, aside] = folder.install_folders(&game());
    let is_free = || {
        assert!(!here.exists() && aside.join("1.sav").exists(), "it is asked for when nobody finds it any more");
        false
    };
    let staging = folder.begin_install(&game()).unwrap();
    let unpacked = unpack(&staging, &[("doom.exe", "two")]);
    let ready = staging.prepare("2", &unpacked, &|_| true).unwrap();
    let error = staging.put(ready, &is_free).unwrap_err();
    assert!(matches!(error, InstallError::InUse { .. }) && error.is_retryable(), "{error}");
    assert_eq!((local(&dir), root(&dir).len()), (before.clone(), 3));
    let leaving = folder.begin_uninstall(&game(), true, &|_| true).unwrap();
    assert!(matches!(leaving.finish(&is_free), Err(InstallError::InUse { .. })));
    assert_eq!((local(&dir), root(&dir).len()), (before, 3));
}

#[test]
fn a_check_says_that_nothing_is_installed_only_where_nothing_is() {
    let (dir, folder) = downloaded();
    assert!(matches!(folder.check_install(&game(), &|_| true), Err(InstallError::NotInstalled { .. })));
    put(&dir, "doom/local/doom.exe", "by hand");
    assert!(folder.check_install(&game(), &|_| true).unwrap().is_none(), "nobody recorded what was installed");
}
