//! Disks that are full, locked or gone, while the rest goes on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::program::has_strace;
use bonfire_tests::{Room, child, tree};

/// A file system in memory, unmounted when this value goes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mib: u64) -> Self {
        let options = format!("size={mib}m");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs", at.to_str().unwrap()]);
        Self(at.to_owned())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let out = child::run(Command::new("umount").args(["-l"]).arg(&self.0), b"", Duration::from_secs(10));
        assert!(out.status.success() || std::thread::panicking(), "{out:?}");
    }
}

fn mount(args: &[&str]) {
    let out = child::run(Command::new("mount").args(args), b"", Duration::from_secs(10));
    assert!(out.status.success(), "mount {args:?}: {out:?}");
}

fn source(room: &Room, mib: u64) -> Peer {
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("doom", mib));
    a.add_game(&Recipe::new("small", 1));
    a.start();
    a
}

#[test]
fn a_game_that_does_not_fit_is_refused_before_it_begins() {
    let Some(room) = Room::new("no-space") else { return };
    let a = source(&room, 24);
    let mut b = room.seat("b");
    // A reserve stays free on every disk: the small game fits beside it, the other does not.
    let _disk = SmallDisk::mount(&b.games, 80);
    b.start();
    b.sees_hashed(&a, "doom");
    b.sees_hashed(&a, "small");
    b.mark();
    let out = b.cli(&["get", "doom"]);
    assert_eq!(out.code, 1, "{out:?}");
    assert_eq!(out.error_code(), "no_space", "{out:?}");
    assert!(out.stderr.contains("hint:"), "says what to do: {out:?}");
    b.idle();
    b.holds_nothing("doom");
    b.get("small");
    b.finished("small");
    b.holds_same("small", &a);
}

#[test]
fn a_disk_that_fills_up_loses_nothing() {
    let Some(room) = Room::new("fills-up") else { return };
    let a = source(&room, 24);
    a.link.shape(100);
    let mut b = room.seat("b");
    let _disk = SmallDisk::mount(&b.games, 100);
    if !has_strace("a disk that fills up") {
        return;
    }
    // As on a file system that cannot reserve space: where it can, what is still to come is safe from others.
    let refuse = ["-e", "trace=fallocate", "-e", "inject=fallocate:error=EOPNOTSUPP"];
    b.under(&[&["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"], &refuse[..]].concat());
    b.start();
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 4 * MIB);
    // Somebody else takes the rest.
    let hog = b.games.join("hog.bin");
    let filled = std::fs::File::create(&hog).and_then(|mut f| std::io::copy(&mut std::io::repeat(1), &mut f));
    assert!(filled.is_err(), "the disk is full");
    let ended = b.expect("an end or a pause", LONG, |e| {
        e["game"] == "doom"
            && ["download_finished", "download_failed", "download_paused"].iter().any(|kind| e["type"] == *kind)
    });
    assert_ne!(ended["type"], "download_finished", "the full disk was never met");
    assert!(ended["error"].to_string().contains("space"), "{ended}");
    assert!(!b.root("doom").join("version.ini").exists());
    std::fs::remove_file(&hog).unwrap();
    if ended["type"] == "download_failed" {
        b.get("doom");
    }
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn a_read_only_folder_is_named() {
    let Some(room) = Room::new("read-only") else { return };
    let a = source(&room, 2);
    let mut b = room.seat("b");
    b.add_game(&Recipe::new("mine", 1));
    let _disk = {
        // A read-only mount: permissions alone do not stop root.
        let disk = SmallDisk::mount(&b.games, 100);
        Recipe::new("mine", 1).write(&b.games);
        b.list_in_catalog("mine");
        disk
    };
    b.start();
    b.sees_hashed(&a, "doom");
    b.until("its own game is listed", SOON, || b.game("mine").filter(|g| g["downloaded"] == true));
    mount_inside(&b, "remount,ro");
    b.mark();
    let out = b.cli(&["get", "doom"]);
    assert_eq!(out.code, 1, "{out:?}");
    assert!(out.stdout.contains(b.games.to_str().unwrap()), "names the path: {out:?}");
    b.idle();
    let mut c = room.peer("c");
    c.sees_game(&b, "mine");
    c.get("mine");
    c.finished("mine");
    mount_inside(&b, "remount,rw");
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

/// Changes how the games folder is mounted, as the running peer sees it.
fn mount_inside(peer: &Peer, option: &str) {
    let namespace = format!("/proc/{}/ns/mnt", peer.pid());
    let out = child::run(
        Command::new("nsenter").arg(format!("--mount={namespace}")).args(["mount", "-o", option]).arg(&peer.games),
        b"",
        Duration::from_secs(10),
    );
    assert!(out.status.success(), "{option}: {out:?}");
}

#[test]
fn a_games_folder_that_vanishes_comes_back_whole() {
    let Some(room) = Room::new("vanishes") else { return };
    let mut a = source(&room, 2);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    a.mark();
    let aside = a.games.with_extension("aside");
    std::fs::rename(&a.games, &aside).unwrap();
    let _ = a.ask(&serde_json::json!({"library": {"rescan": {}}}));
    a.until("the problem is told", SOON, || {
        let problems = a.snapshot()["problems"].to_string();
        problems.contains(a.games.to_str().unwrap()).then_some(())
    });
    // The peer stands, and a folder that cannot be read is not an empty folder.
    assert!(a.is_running());
    assert!(a.game("doom").is_some(), "still known");
    let removed = a
        .events()
        .into_iter()
        .find(|e| e["type"] == "local_library_changed" && !e["removed"].as_array().is_none_or(Vec::is_empty));
    assert!(removed.is_none(), "{removed:?}");
    std::fs::rename(&aside, &a.games).unwrap();
    let _ = a.ask(&serde_json::json!({"library": {"rescan": {}}}));
    a.until("the problem is over", LONG, || a.snapshot()["problems"].as_array().unwrap().is_empty().then_some(()));
    b.sees_game(&a, "doom");
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn a_file_that_changes_while_it_is_served_is_not_mixed() {
    let Some(room) = Room::new("changes") else { return };
    // Larger than what a sender may have read ahead.
    let a = source(&room, 120);
    let old = tree::payload(&a.root("doom"));
    a.link.shape(200);
    let mut b = room.peer("b");
    let was = b.sees_hashed(&a, "doom")["content_hash"].clone();
    b.get("doom");
    b.downloaded_at_least("doom", 4 * MIB);
    // Another content under the same name and size, as an update by hand would do.
    bonfire_tests::games::write_bytes(&a.root("doom").join("doom.eti"), "another content", 120 * MIB);
    let ended = b.expect("an end, a pause or a dropped source", LONG, |e| {
        e["game"] == "doom"
            && ["download_finished", "download_failed", "download_paused", "source_dropped"]
                .iter()
                .any(|kind| e["type"] == *kind)
    });
    if ended["type"] == "download_finished" {
        assert_eq!(tree::payload(&b.root("doom")), old, "old and new must not be mixed");
    } else {
        assert!(!b.root("doom").join("version.ini").exists());
    }
    // What is there then can be had, once the rest of the old is let go.
    if b.operation("doom").is_some() {
        let _ = b.cancel("doom");
        b.idle();
    }
    a.link.unshape();
    b.until("the new content is read", LONG, || {
        let (own, seen) = (a.game("doom")?, b.remote_game(a.id(), "doom")?);
        let is_new = own["content_hash"].is_string() && own["content_hash"] != was;
        (is_new && own["content_hash"] == seen["content_hash"]).then_some(())
    });
    if ended["type"] == "download_finished" {
        // The version is the same, so it has to be asked for by name.
        b.mark();
        b.done(&["get", "doom", "--from", "a"]);
    } else {
        b.get("doom");
        b.finished("doom");
    }
    b.holds_same("doom", &a);
}
