use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;

fn at(path: &str) -> Option<WatchEvent> {
    meaning(Path::new("/games"), &Path::new("/games").join(path))
}

fn game(id: &str) -> Option<WatchEvent> {
    Some(WatchEvent::Game(GameId::new(id).unwrap()))
}

#[test]
fn a_path_means_its_game_unless_it_is_private_or_ours() {
    assert_eq!(at(""), Some(WatchEvent::Everything));
    assert_eq!(at("catalog.json"), Some(WatchEvent::Catalog));
    assert_eq!(at(".catalog.json.tmp"), None);
    assert_eq!(at(".bonfire.probe"), None);
    assert_eq!(at("doom"), game("doom"));
    assert_eq!(at("doom/version.ini"), game("doom"));
    assert_eq!(at("doom/data/deep/x.bin"), game("doom"));
    assert_eq!(at("doom/local"), game("doom"));
    for quiet in [
        "doom/local/save.dat",
        "doom/.lanspread.json",
        "doom/.lanspread.json.tmp",
        "doom/.bonfire.part",
        "doom/.version.ini.tmp",
        "doom/.version.ini.discarded",
        "doom/.local.installing/x",
        "doom/.sync/x",
        ".hidden/x",
        "bad:name/x",
    ] {
        assert_eq!(at(quiet), None, "{quiet}");
    }
    assert_eq!(meaning(Path::new("/games"), Path::new("/elsewhere/x")), None);
}

fn folder(path: &Path) -> GamesFolder {
    GamesFolder::open(path).unwrap()
}

/// Waits for an event, passing over others. The time only bounds a failure.
fn wait(events: &Receiver<WatchEvent>, wanted: &WatchEvent) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match events.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(e) if e == *wanted => return,
            Ok(WatchEvent::Failed(why)) => panic!("{why}"),
            Ok(_) => {}
            Err(e) => panic!("{wanted:?} never came: {e}"),
        }
    }
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn changes_are_told_by_game_also_in_folders_made_later() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("old/deep")).unwrap();
    std::fs::create_dir_all(dir.path().join("old/local")).unwrap();
    let (send, events) = channel();
    let known = vec![(GameId::new("old").unwrap(), vec![RelPath::new("deep").unwrap()])];
    let watcher = Watcher::start(&folder(dir.path()), known, move |e| send.send(e).unwrap_or(())).unwrap();
    std::fs::write(dir.path().join("catalog.json"), "{}").unwrap();
    wait(&events, &WatchEvent::Catalog);
    std::fs::write(dir.path().join("old/deep/x"), "x").unwrap();
    wait(&events, &WatchEvent::Game(GameId::new("old").unwrap()));
    std::fs::create_dir(dir.path().join("new")).unwrap();
    let new = WatchEvent::Game(GameId::new("new").unwrap());
    wait(&events, &new);
    // Until the watch on the new folder is there a change may go by; from then on each is told.
    let end = Instant::now() + Duration::from_secs(20);
    let mut n = 0;
    loop {
        std::fs::write(dir.path().join("new/version.ini"), format!("{n}")).unwrap();
        n += 1;
        if events.recv_timeout(Duration::from_millis(100)).is_ok_and(|e| e == new) {
            break;
        }
        assert!(Instant::now() < end, "changes in a new folder are not told");
    }
    drop(watcher);
}

#[test]
fn what_is_in_local_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("doom/local/saves")).unwrap();
    let (send, events) = channel();
    let watcher = Watcher::start(&folder(dir.path()), Vec::new(), move |e| send.send(e).unwrap_or(())).unwrap();
    std::fs::write(dir.path().join("doom/local/saves/1"), "x").unwrap();
    std::fs::write(dir.path().join("doom/.bonfire.part"), "x").unwrap();
    // Events come in order, so the catalog's says that nothing came of the others.
    std::fs::write(dir.path().join("catalog.json"), "{}").unwrap();
    assert_eq!(events.recv_timeout(Duration::from_secs(20)), Ok(WatchEvent::Catalog));
    drop(watcher);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let gone = dir.path().join("nowhere");
    std::fs::create_dir(&gone).unwrap();
    let folder = folder(&gone);
    std::fs::remove_dir(&gone).unwrap();
    let error = Watcher::start(&folder, Vec::new(), |_| {}).unwrap_err();
    assert_eq!(error.code(), "not_found");
}
