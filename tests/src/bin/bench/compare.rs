//! The same evening through Bonfire and through Syncthing: three devices, a partition, two edits, one clock three days
//! ahead, and which contents are left where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonfire_tests::Room;
use bonfire_tests::child::until;
use bonfire_tests::peer::Peer;

use crate::syncthing::Syncthing;

const SOON: Duration = Duration::from_secs(90);
const BEFORE: &str = "chapter 1";
const OURS: &str = "chapter 2, the dragon is dead";
const THEIRS: &str = "chapter 2, the dragon is a friend";

/// Prints what is left of each content on each device.
pub(crate) fn one_evening() {
    println!("\n### Three devices, a partition, two edits, one clock three days ahead\n");
    println!(
        "`den` and `sofa` edit the same save while they cannot reach each other; `sofa`'s clock is three days ahead. Then the"
    );
    println!(
        "partition heals. `shelf` only keeps. What is in the folder, and (for Bonfire) in history, a minute later:\n"
    );
    println!("| tool | device | in the folder | elsewhere on that device |\n|---|---|---|---|");
    bonfire();
    if Syncthing::is_there() {
        syncthing();
    } else {
        eprintln!("*** syncthing is not installed: left out ***");
    }
}

/// A program that is told another time; the time that only runs stays true.
fn ahead() -> Option<[(&'static str, String); 3]> {
    let library = ["/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"];
    let found = library.into_iter().find(|l| Path::new(l).exists())?;
    Some([
        ("LD_PRELOAD", found.to_owned()),
        ("FAKETIME", "+3d".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ])
}

fn bonfire() {
    let Some(room) = Room::alone("bench-evening") else { return };
    let mut seats: Vec<Peer> = ["den", "sofa", "shelf"].into_iter().map(|n| room.seat(n)).collect();
    match ahead() {
        Some(environment) => {
            for (name, value) in &environment {
                seats[1].environment(name, value);
            }
        }
        None => eprintln!("*** faketime is not installed: every clock is right ***"),
    }
    for seat in &mut seats {
        seat.start();
    }
    seats[0].done(&["devices", "create-player", "ann"]);
    let token = crate::saves::token(&seats[0]);
    for n in [1, 2] {
        seats[0].sees(&seats[n]);
        seats[n].done(&["devices", "pair", "--code", &token]);
    }
    let folders: Vec<PathBuf> = seats.iter().map(|s| room.folder().join(format!("{}-save", s.name))).collect();
    for (seat, folder) in seats.iter().zip(&folders) {
        std::fs::create_dir_all(folder).unwrap();
        seat.done(&["saves", "add", "quest", folder.to_str().unwrap()]);
    }
    evening(&folders, || seats[1].link.cut(), || seats[1].link.heal());
    until("every device shows the conflict", SOON, || {
        let shown =
            |s: &Peer| s.snapshot()["players"][0]["slots"][0]["sides"].as_array().is_some_and(|l| !l.is_empty());
        seats.iter().all(shown).then_some(())
    });
    std::thread::sleep(Duration::from_secs(30));
    for (seat, folder) in seats.iter().zip(&folders) {
        let mut elsewhere = found(folder.parent().unwrap(), Some(&format!("{}-save.conflict", seat.name)));
        let history = seat.done(&["saves", "history", "quest"]).stdout;
        let versions = history.matches("content_hash").count();
        elsewhere.push(format!("{versions} versions in history"));
        let conflict = seat.cli(&["saves", "conflicts"]).stdout;
        let is_told = conflict.contains("sides");
        elsewhere.push(if is_told { "the conflict is shown".to_owned() } else { "no conflict is shown".to_owned() });
        println!("| bonfire | {} | {} | {} |", seat.name, found(folder, None).join(", "), elsewhere.join("; "));
    }
}

fn syncthing() {
    let Some(room) = Room::alone("bench-evening-syncthing") else { return };
    let names = ["den", "sofa", "shelf"];
    let links: Vec<_> = names.iter().map(|n| room.cable(n)).collect();
    let mut all: Vec<Syncthing> = names.iter().map(|n| Syncthing::prepare(&room.folder().join(n))).collect();
    let addresses: Vec<String> = (1..=3).map(|n| format!("10.77.0.{n}")).collect();
    Syncthing::introduce(&all, &addresses);
    for (name, value) in ahead().into_iter().flatten() {
        all[1].environment(name, &value);
    }
    for (one, link) in all.iter_mut().zip(&links) {
        one.start(link);
    }
    let folders: Vec<PathBuf> = all.iter().map(|s| s.folder.clone()).collect();
    evening(&folders, || links[1].cut(), || links[1].heal());
    std::thread::sleep(Duration::from_secs(90));
    for (name, folder) in names.iter().zip(&folders) {
        println!(
            "| syncthing | {name} | {} | nothing: versioning is off unless it is set up |",
            found(folder, None).join(", ")
        );
    }
    for one in &mut all {
        one.stop();
    }
}

fn evening(folders: &[PathBuf], cut: impl Fn(), heal: impl Fn()) {
    let save = |n: usize| folders[n].join("quest.sav");
    std::fs::write(save(0), BEFORE).unwrap();
    for n in [1, 2] {
        until("the first chapter is everywhere", SOON, || {
            std::fs::read_to_string(save(n)).is_ok_and(|t| t == BEFORE).then_some(())
        });
    }
    std::thread::sleep(Duration::from_secs(5));
    cut();
    std::fs::write(save(0), OURS).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    std::fs::write(save(1), THEIRS).unwrap();
    std::thread::sleep(Duration::from_secs(8));
    heal();
}

/// Files beneath a folder with their contents, for a table; only those of entries that begin so.
fn found(folder: &Path, beginning: Option<&str>) -> Vec<String> {
    let mut out = BTreeMap::new();
    collect(folder, folder, beginning, &mut out);
    out.into_iter().map(|(name, text)| format!("`{name}`: {text:?}")).collect()
}

fn collect(root: &Path, at: &Path, beginning: Option<&str>, out: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(at) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if at == root && (beginning.is_some_and(|b| !name.starts_with(b)) || name.starts_with(".st")) {
            continue;
        }
        if entry.path().is_dir() {
            collect(root, &entry.path(), None, out);
        } else {
            let shown = entry.path().strip_prefix(root).unwrap().display().to_string();
            out.insert(shown, std::fs::read_to_string(entry.path()).unwrap_or_default());
        }
    }
}
