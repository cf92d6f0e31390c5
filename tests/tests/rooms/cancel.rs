//! Cancelling: at once, at any point, with nothing left and nothing of the player's gone.

use std::time::{Duration, Instant};

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::{LONG, Peer, SOON};
use bonfire_tests::{Room, child, tree};

/// A cancel is felt as immediate up to here; the bound is for a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// Cancels and waits until the sweep is over; how long that took.
fn cancel_and_settle(peer: &mut Peer, game: &str) -> Duration {
    let start = Instant::now();
    let cancelled = peer.cancel(game);
    assert!(cancelled.is_ok(), "{cancelled:?}");
    let event = peer.expect_game("download_cancelled", game, SOON);
    assert_eq!(event["kept_files"], serde_json::json!([]), "{event}");
    let took = start.elapsed();
    peer.idle();
    took
}

/// A game of so many files of a quarter MiB each, so that progress is fine-grained however many are under way at once.
fn of_many_files(files: usize) -> Recipe {
    let mut doom = Recipe::new("doom", 0);
    doom.files = (0..files).map(|n| (format!("part-{n:03}.eti"), MIB / 4)).collect();
    doom
}

#[test]
fn cancel_while_connecting() {
    let Some(room) = Room::new("cancel-dial") else { return };
    let a = room.host("a", &Recipe::new("doom", 8));
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    // From here on every packet between them is gone, and neither has noticed.
    a.link.cut();
    b.get("doom");
    b.until("the download has begun", SOON, || b.operation("doom"));
    let took = cancel_and_settle(&mut b, "doom");
    assert!(took < AT_ONCE, "{took:?}");
    b.holds_nothing("doom");
}

#[test]
fn cancel_while_a_source_is_dialled() {
    let Some(room) = Room::new("cancel-dialled") else { return };
    let mut a = room.seat("a");
    a.add_game(&Recipe::new("doom", 32));
    a.link.shape(100);
    a.set_arguments(&["--no-mdns"]).start();
    let mut b = room.seat("b");
    let addr = a.addr().to_string();
    b.set_arguments(&["--no-mdns", "--peer", &addr]).start();
    b.sees_game(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 5 * MIB);
    b.kill9();
    // From here on a hears nothing, and nobody tells b so: its dials get no answer.
    a.link.lose(100);
    b.start();
    let waiting = b.waits("doom");
    assert!(waiting["waiting_since"].is_u64(), "{waiting}");
    b.until("a dial is under way", SOON, || (a.link.lost() > 0).then_some(()));
    let took = cancel_and_settle(&mut b, "doom");
    assert!(took < AT_ONCE, "{took:?}");
    b.holds_nothing("doom");
    // Nor does it come back with the source.
    a.link.lose(0);
    b.sees_game(&a, "doom");
    b.idle();
    b.holds_nothing("doom");
}

#[test]
fn cancel_at_any_point() {
    let Some(room) = Room::new("cancel-points") else { return };
    let doom = of_many_files(160);
    let a = room.host("a", &doom);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    for percent in [5, 25, 50, 75, 95] {
        a.link.shape(150);
        b.get("doom");
        if percent > 80 {
            b.downloaded_at_least("doom", doom.size() * 8 / 10);
            a.link.shape(15);
        }
        b.downloaded_at_least("doom", doom.size() * percent / 100);
        let took = cancel_and_settle(&mut b, "doom");
        assert!(took < AT_ONCE, "at {percent} %: {took:?}");
        b.holds_nothing("doom");
        let left = b.game("doom");
        assert!(left.as_ref().is_none_or(|g| g["downloaded"] == false), "{left:?}");
    }
    a.link.unshape();
    b.get("doom");
    b.finished("doom");
    b.holds_same("doom", &a);
}

#[test]
fn cancel_just_before_commit() {
    let Some(room) = Room::new("cancel-commit") else { return };
    let doom = of_many_files(64);
    let a = room.host("a", &doom);
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    // The commit is a matter of milliseconds, so either may win; a cancel of the last bytes nearly always does.
    let mut won = 0;
    for round in 0..20 {
        if round >= 4 && won > 0 {
            break;
        }
        b.get("doom");
        if round % 2 == 0 {
            a.link.shape(30);
            b.until("the last bytes", LONG, || {
                let is_over = b.events().iter().any(|e| e["type"] == "download_finished");
                let is_near = |op: serde_json::Value| op["done_bytes"].as_u64().unwrap_or(0) >= 14 * MIB;
                (is_over || b.operation("doom").is_some_and(is_near)).then_some(())
            });
        } else {
            a.link.unshape();
            b.expect("the commit", LONG, |e| {
                e["type"] == "active_operations_changed"
                    && e["operations"].as_array().unwrap().iter().any(|o| o["phase"] == "committing")
            });
        }
        // Too late is an answer as well, and then it is the truth.
        let answer = b.cancel("doom");
        let ended = b.expect("an end", LONG, |e| {
            e["game"] == "doom" && (e["type"] == "download_finished" || e["type"] == "download_cancelled")
        });
        b.idle();
        if ended["type"] == "download_finished" {
            let refused = answer.expect_err("who is told that it is cancelled does not get it");
            assert!(refused["code"] == "too_late" || refused["code"] == "nothing_active", "{refused}");
            b.holds_same("doom", &a);
            b.mark();
            b.done(&["remove", "doom"]);
            // Its events must not be taken for those of the next round.
            b.expect_game("game_removed", "doom", SOON);
        } else {
            won += 1;
            assert!(answer.is_ok(), "{answer:?}");
        }
        b.holds_nothing("doom");
    }
    assert!(won > 0, "no cancel came before the commit");
}

#[test]
fn cancel_of_an_update_keeps_the_install() {
    let Some(room) = Room::new("cancel-update") else { return };
    let a = room.host("a", &Recipe::new("doom", 24).version("2").seed(2));
    a.link.shape(100);
    let mut b = room.seat("b");
    let root = b.add_game(&Recipe::new("doom", 24).version("1"));
    std::fs::create_dir_all(root.join("local/saves")).unwrap();
    std::fs::write(root.join("local/saves/one.sav"), "hours of play").unwrap();
    std::fs::write(root.join(".softlan_game_installed"), "theirs").unwrap();
    std::fs::write(root.join("notes.txt"), "mine, not the game's").unwrap();
    let kept = ["local", ".softlan_game_installed", "notes.txt"];
    let is_kept = |path: &String| kept.iter().any(|k| path == k || path.starts_with(&format!("{k}/")));
    let before = tree::read(&root);
    b.start();
    b.sees_hashed(&a, "doom");
    b.get("doom");
    b.downloaded_at_least("doom", 8 * MIB);
    let cancelled = b.cancel("doom");
    assert!(cancelled.is_ok(), "{cancelled:?}");
    b.expect_game("download_cancelled", "doom", SOON);
    b.idle();
    let after = tree::read(&root);
    for (path, content) in before.iter().filter(|(path, _)| is_kept(path)) {
        assert_eq!(after.get(path), Some(content), "{path} is as it was");
    }
    assert!(!after.contains_key("doom.eti"), "archive bytes may have changed: {after:?}");
    assert!(!after.contains_key("version.ini"), "{after:?}");
    assert!(!after.keys().any(|k| k.contains(".bonfire") || k.contains(".version.ini")), "scratch: {after:?}");
    let here = b.game("doom").unwrap();
    assert_eq!((here["downloaded"].as_bool(), here["installed"].as_bool()), (Some(false), Some(true)), "{here}");
    assert_eq!(here["availability"], "local_only");
    // And it can be had again.
    a.link.unshape();
    b.get("doom");
    b.finished("doom");
    assert_eq!(std::fs::read_to_string(root.join("local/saves/one.sav")).unwrap(), "hours of play");
}

#[test]
fn ctrl_c_cancels_the_download_of_a_get() {
    let Some(room) = Room::new("ctrl-c") else { return };
    let a = room.host("a", &Recipe::new("doom", 32));
    a.link.shape(100);
    let mut b = room.peer("b");
    b.sees_game(&a, "doom");
    b.mark();
    let mut get = b.link.namespace().command(bonfire_tests::program::bonfire());
    get.arg("--data-dir").arg(&b.data).args(["--json", "get", "doom"]);
    let mut get = get.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    b.downloaded_at_least("doom", 5 * MIB);
    let pid = rustix::process::Pid::from_raw(i32::try_from(get.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let status = child::wait_exit(&mut get, SOON).expect("ends on Ctrl-C");
    assert_eq!(status.code(), Some(130));
    b.expect_game("download_cancelled", "doom", SOON);
    b.idle();
    b.holds_nothing("doom");
}
