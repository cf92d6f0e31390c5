//! How long a cancel takes, from the command until everything is swept and nothing is active.

use std::time::{Duration, Instant};

use bonfire_tests::games::{MIB, Recipe};
use bonfire_tests::peer::SOON;
use bonfire_tests::{Random, Room};

use crate::figures::{median, millis};

/// 200 cancels at random points of a download of 512 MiB in 12 files.
pub(crate) fn at_random_points() {
    let Some(room) = Room::alone("bench-cancel") else { return };
    let mut random = Random::announced("cancels");
    let wanted: usize = std::env::var("BONFIRE_CANCELS").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut a = room.seat("a");
    let files: Vec<(String, u64)> =
        (0..12).map(|n| (format!("part-{n:02}.eti"), if n < 11 { 46 * MIB } else { 6 * MIB })).collect();
    let mut recipe = Recipe::new("doom", 0);
    recipe.files = files;
    a.add_game(&recipe);
    a.start();
    let mut b = room.peer("b");
    b.sees_hashed(&a, "doom");
    let begun = Instant::now();
    b.get("doom");
    b.finished("doom");
    let whole = begun.elapsed();
    b.mark();
    assert_eq!(b.cli(&["remove", "doom"]).code, 0);
    let mut took = Vec::new();
    let mut too_late = 0u32;
    while took.len() < wanted {
        b.get("doom");
        let most = u64::try_from(whole.as_micros()).unwrap();
        let point = Duration::from_micros(random.between(0, most));
        std::thread::sleep(point);
        let start = Instant::now();
        let accepted = b.cancel("doom").is_ok();
        let end = b.expect("an end", SOON, |e| {
            e["game"] == "doom" && (e["type"] == "download_cancelled" || e["type"] == "download_finished")
        });
        // The event comes when the sweep is over, the folder was read again and the operation is let go.
        let elapsed = start.elapsed();
        if accepted && end["type"] == "download_cancelled" {
            took.push(millis(elapsed));
            assert!(!b.root("doom").exists());
        } else {
            too_late += 1;
            b.idle();
            b.mark();
            assert_eq!(b.cli(&["remove", "doom"]).code, 0);
        }
    }
    let mut sorted = took.clone();
    sorted.sort_by(f64::total_cmp);
    println!("\n### Cancel\n");
    println!("| cancels | median | 95 % | worst | came after the end |\n|---|---|---|---|---|");
    println!(
        "| {} | {:.1} ms | {:.1} ms | {:.1} ms | {too_late} |",
        took.len(),
        median(&took),
        sorted[sorted.len() * 95 / 100],
        sorted.last().unwrap()
    );
}
