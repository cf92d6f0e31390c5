use std::fs;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use bonfire_proto::GameId;
use notify::{Event, RecursiveMode, event::Flag};
use tempfile::TempDir;

use super::*;

/// Bounds a failure, nothing else.
const PATIENCE: Duration = Duration::from_secs(20);

fn set(game: &str) -> SaveSet {
    let player = "00000000-0000-4000-8000-000000000001".parse().unwrap();
    SaveSet { player, game_id: GameId::new(game).unwrap() }
}

/// A watcher over a folder that is also the home, and what it told. One set of it is only there to be stirred last.
struct Room {
    dir: TempDir,
    watcher: SaveWatcher,
    events: Receiver<SaveWatchEvent>,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (send, events) = channel();
        let watcher = SaveWatcher::start_on(
            move |e| send.send(e).unwrap_or(()),
            Some(dir.path().to_owned()),
            |seen| notify::recommended_watcher(seen).map(|watcher| Box::new(watcher) as Box<_>),
        )
        .unwrap();
        let room = Self { dir, watcher, events };
        room.folder("zzz");
        room.watch("zzz", &["zzz"]);
        room
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn folder(&self, path: &str) {
        fs::create_dir_all(self.path(path)).unwrap();
    }

    fn write(&self, path: &str) {
        fs::write(self.path(path), path).unwrap();
    }

    fn watch(&self, game: &str, folders: &[&str]) {
        self.watcher.set_places(set(game), folders.iter().map(|folder| self.path(folder)).collect());
    }

    /// Games whose sets were stirred by what happened so far. Events come in order, and a new folder is one event: that of
    /// the last set ends them.
    fn stirred(&self) -> Vec<String> {
        let number = fs::read_dir(self.path("zzz")).unwrap().count();
        self.folder(&format!("zzz/{number}"));
        let (end, mut stirred) = (Instant::now() + PATIENCE, BTreeSet::new());
        loop {
            match self.events.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(SaveWatchEvent::Stirred(set)) if set.game_id.as_str() == "zzz" => break,
                Ok(SaveWatchEvent::Stirred(set)) => {
                    stirred.insert(set.game_id.as_str().to_owned());
                }
                other => panic!("{other:?} instead of the last set"),
            }
        }
        stirred.into_iter().collect()
    }
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn a_change_in_a_folder_of_a_set_or_deep_beneath_it_stirs_that_set() {
    let room = Room::new();
    room.folder("doom/deep");
    room.folder("quake");
    room.watch("doom", &["doom"]);
    room.watch("quake", &["quake"]);
    room.write("doom/a");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("doom/deep/a");
    assert_eq!(room.stirred(), ["doom"]);
    fs::remove_file(room.path("doom/deep/a")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
    fs::rename(room.path("doom/a"), room.path("doom/b")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
    room.write("quake/a");
    assert_eq!(room.stirred(), ["quake"]);
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn folders_made_later_are_watched_with_all_that_is_in_them() {
    let room = Room::new();
    room.folder("doom");
    room.watch("doom", &["doom"]);
    room.folder("doom/new/deep");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("doom/new/deep/a");
    assert_eq!(room.stirred(), ["doom"]);
    fs::rename(room.path("doom/new"), room.path("doom/named")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
    room.write("doom/named/deep/a");
    assert_eq!(room.stirred(), ["doom"]);
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn reading_and_names_of_ours_stir_nothing() {
    let room = Room::new();
    room.folder("doom/deep");
    room.write("doom/a");
    room.watch("doom", &["doom"]);
    assert_eq!(fs::read(room.path("doom/a")).unwrap(), b"doom/a");
    assert_eq!(fs::read_dir(room.path("doom/deep")).unwrap().count(), 0);
    room.folder("doom/.bonfire.apply");
    room.write("doom/.bonfire.apply/0");
    room.write("doom/deep/a.conflict-tablet");
    room.folder("doom/deep.conflict-tablet/deep");
    room.write("doom/deep.conflict-tablet/deep/a");
    fs::remove_dir_all(room.path("doom/deep.conflict-tablet")).unwrap();
    assert_eq!(room.stirred(), [""; 0]);
    fs::rename(room.path("doom/.bonfire.apply/0"), room.path("doom/b")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn a_folder_that_is_not_there_is_waited_for() {
    let room = Room::new();
    room.watch("doom", &["docs/games/doom"]);
    room.watch("quake", &["docs/quake"]);
    room.folder("docs/games");
    room.write("docs/games/doom.txt");
    room.write("other");
    assert_eq!(room.stirred(), [""; 0], "nothing of either set is there yet");
    room.folder("docs/games/doom/deep");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("docs/games/doom/deep/a");
    assert_eq!(room.stirred(), ["doom"]);
    room.folder("docs/quake");
    assert_eq!(room.stirred(), ["quake"]);
    room.write("docs/other");
    assert_eq!(room.stirred(), [""; 0], "what is above a folder is not watched any more");
}

#[test]
#[cfg_attr(windows, ignore = "a watched folder cannot be renamed there")]
fn a_folder_that_goes_and_comes_back_is_watched_again() {
    let room = Room::new();
    room.folder("docs/doom/deep");
    room.watch("doom", &["docs/doom"]);
    fs::remove_dir_all(room.path("docs")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
    room.folder("docs/doom/deep");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("docs/doom/deep/a");
    assert_eq!(room.stirred(), ["doom"]);
    fs::rename(room.path("docs/doom"), room.path("docs/old")).unwrap();
    assert_eq!(room.stirred(), ["doom"]);
    room.write("docs/old/deep/b");
    assert_eq!(room.stirred(), [""; 0], "what was moved away is not the set's any more");
    room.folder("docs/doom");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("docs/doom/a");
    assert_eq!(room.stirred(), ["doom"]);
}

#[test]
#[cfg_attr(windows, ignore = "a watched folder cannot be renamed there")]
fn a_folder_that_becomes_that_of_another_set_is_watched_for_that_one() {
    let room = Room::new();
    room.folder("doom/deep");
    room.folder("quake");
    room.watch("doom", &["doom"]);
    room.watch("quake", &["quake/deep", "quake/new"]);
    fs::rename(room.path("doom/deep"), room.path("quake/deep")).unwrap();
    assert_eq!(room.stirred(), ["doom", "quake"]);
    room.write("quake/deep/a");
    assert_eq!(room.stirred(), ["quake"]);
    fs::rename(room.path("doom"), room.path("quake/new")).unwrap();
    assert_eq!(room.stirred(), ["doom", "quake"]);
    room.write("quake/new/a");
    assert_eq!(room.stirred(), ["quake"]);
}

#[test]
#[cfg_attr(windows, ignore = "Wine tells of no changes in subfolders")]
fn sets_may_share_folders_and_lie_in_each_other() {
    let room = Room::new();
    room.folder("shared/inner/deep");
    room.watch("doom", &["shared"]);
    room.watch("quake", &["shared"]);
    room.watch("wolf", &["shared/inner"]);
    room.write("shared/inner/deep/a");
    assert_eq!(room.stirred(), ["doom", "quake", "wolf"]);
    room.write("shared/a");
    assert_eq!(room.stirred(), ["doom", "quake"]);
    room.watch("doom", &[]);
    room.write("shared/b");
    assert_eq!(room.stirred(), ["quake"]);
    room.watch("quake", &[]);
    room.write("shared/c");
    room.write("shared/inner/deep/b");
    assert_eq!(room.stirred(), ["wolf"]);
    room.watch("wolf", &["shared"]);
    room.write("shared/d");
    room.write("shared/inner/deep/c");
    assert_eq!(room.stirred(), ["wolf"]);
    room.watch("wolf", &[]);
    room.write("shared/inner/deep/d");
    assert_eq!(room.stirred(), [""; 0]);
}

#[test]
fn a_home_folder_is_watched_without_what_is_beneath_it() {
    let room = Room::new();
    room.folder("documents");
    room.watch("doom", &[""]);
    room.write("doom.sav");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("documents/letter");
    room.folder("documents/letters");
    assert_eq!(room.stirred(), [""; 0]);
}

#[test]
#[cfg(unix)]
fn links_on_the_way_to_a_folder_are_followed_and_links_in_it_are_not() {
    use std::os::unix::fs::symlink;
    let room = Room::new();
    room.folder("documents/doom");
    room.folder("music");
    symlink(room.path("documents"), room.path("prefix")).unwrap();
    symlink(room.path("music"), room.path("documents/doom/music")).unwrap();
    symlink(room.path("later"), room.path("nowhere")).unwrap();
    room.watch("doom", &["prefix/doom"]);
    room.watch("quake", &["nowhere/quake"]);
    room.write("documents/doom/a");
    assert_eq!(room.stirred(), ["doom"]);
    room.write("music/a");
    assert_eq!(room.stirred(), [""; 0]);
    room.folder("later/quake");
    assert_eq!(room.stirred(), ["quake"]);
    room.write("later/quake/a");
    assert_eq!(room.stirred(), ["quake"]);
}

#[test]
#[cfg(unix)]
fn a_folder_that_cannot_be_looked_at_is_said_once() {
    let room = Room::new();
    std::os::unix::fs::symlink("round", room.path("round")).unwrap();
    room.watch("doom", &["round"]);
    match room.events.recv_timeout(PATIENCE) {
        Ok(SaveWatchEvent::Failed(text)) => assert!(text.contains("round"), "{text}"),
        other => panic!("{other:?}"),
    }
    room.watch("doom", &["round"]);
    assert_eq!(room.stirred(), [""; 0]);
}

#[test]
fn a_thousand_sets_are_told_apart() {
    let room = Room::new();
    for number in 0..1_000 {
        room.folder(&format!("sets/{number}"));
        room.watch(&format!("game{number}"), &[&format!("sets/{number}")]);
    }
    room.write("sets/17/a");
    room.write("sets/999/a");
    assert_eq!(room.stirred(), ["game17", "game999"]);
}

#[test]
fn dropping_ends_it_for_good() {
    let room = Room::new();
    drop(room.watcher);
    fs::create_dir(room.dir.path().join("zzz/0")).unwrap();
    assert_eq!(room.events.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
}

/// Stands for the system's watcher: takes a few folders and no more, and says what it was asked.
struct Scarce {
    left: usize,
    asked: Sender<PathBuf>,
}

impl notify::Watcher for Scarce {
    fn new<F: notify::EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
        Err(notify::Error::generic("made by hand"))
    }

    fn watch(&mut self, path: &Path, _: RecursiveMode) -> notify::Result<()> {
        self.asked.send(path.to_owned()).unwrap_or(());
        self.left = self.left.checked_sub(1).ok_or_else(|| notify::Error::new(notify::ErrorKind::MaxFilesWatch))?;
        Ok(())
    }

    fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
        self.left += 1;
        Ok(())
    }

    fn kind() -> notify::WatcherKind {
        notify::WatcherKind::NullWatcher
    }
}

/// A watcher on a system with that many watches; what it tells, what the system was asked, and a way to tell it something.
fn scarce(left: usize) -> (SaveWatcher, Receiver<SaveWatchEvent>, Receiver<PathBuf>, Tell) {
    let ((send, events), (asked, asks)) = (channel(), channel());
    let mut tell = None;
    let watcher = SaveWatcher::start_on(
        move |e| send.send(e).unwrap_or(()),
        None,
        |seen| {
            tell = Some(seen);
            Ok(Box::new(Scarce { left, asked }))
        },
    );
    (watcher.unwrap(), events, asks, tell.unwrap())
}

#[test]
fn running_out_of_watches_is_said_once() {
    let dir = tempfile::tempdir().unwrap();
    let (watcher, events, _asks, tell) = scarce(2);
    let folders: Vec<PathBuf> = (0..5).map(|number| dir.path().join(number.to_string())).collect();
    for (number, folder) in folders.iter().enumerate() {
        fs::create_dir(folder).unwrap();
        watcher.set_places(set(&format!("game{number}")), vec![folder.clone()]);
    }
    match events.recv_timeout(PATIENCE) {
        Ok(SaveWatchEvent::Failed(_)) => {}
        other => panic!("{other:?}"),
    }
    let seen = fs::canonicalize(&folders[0]).unwrap().join("a");
    tell.0.send(News::Seen(Ok(Event::new(EventKind::Any).add_path(seen)))).unwrap();
    assert_eq!(events.recv_timeout(PATIENCE), Ok(SaveWatchEvent::Stirred(set("game0"))));
    // A sender of a test keeps the watcher's thread from ending.
    drop(tell);
}

#[test]
fn after_lost_events_everything_is_watched_anew_and_everything_may_have_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (watcher, events, asks, tell) = scarce(usize::MAX);
    let top = fs::canonicalize(dir.path()).unwrap();
    watcher.set_places(set("doom"), vec![dir.path().join("doom"), dir.path().join("wolf")]);
    watcher.set_places(set("quake"), vec![dir.path().to_owned()]);
    fs::create_dir(dir.path().join("doom")).unwrap();
    let asked: BTreeSet<PathBuf> = asks.try_iter().collect();
    assert_eq!(asked, BTreeSet::from([top.clone()]));
    tell.0.send(News::Seen(Ok(Event::new(EventKind::Other).set_flag(Flag::Rescan)))).unwrap();
    assert_eq!(events.recv_timeout(PATIENCE), Ok(SaveWatchEvent::Everything));
    let asked: BTreeSet<PathBuf> = asks.try_iter().collect();
    assert_eq!(asked, BTreeSet::from([top.clone(), top.join("doom")]));
    drop(tell);
}
