//! Benchmarks of whole peers: ratios measured in one run against tools that a user would pick, not absolute times.
//!
//! `bonfire-bench [library] [delta] [transfer] [cancel] [large] [idle] [save-latency] [save-bytes]
//! [save-many] [save-evening]`, all when none is named. Needs root for namespaces, and
//! `rsync`, `scp` and `sshd` for the comparison (what is missing is left out and said). Run it by `just bench`, which
//! builds for release. Prints Markdown for `docs/benchmarks.md`.

#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "the tables are the result")]
#![allow(clippy::print_stderr, reason = "progress is for whoever waits")]

#[cfg(target_os = "linux")]
#[path = "bench/cancel.rs"]
mod cancel;
#[cfg(target_os = "linux")]
#[path = "bench/compare.rs"]
mod compare;
#[cfg(target_os = "linux")]
#[path = "bench/figures.rs"]
mod figures;
#[cfg(target_os = "linux")]
#[path = "bench/idle.rs"]
mod idle;
#[cfg(target_os = "linux")]
#[path = "bench/large.rs"]
mod large;
#[cfg(target_os = "linux")]
#[path = "bench/library.rs"]
mod library;
#[cfg(target_os = "linux")]
#[path = "bench/saves.rs"]
mod saves;
#[cfg(target_os = "linux")]
#[path = "bench/syncthing.rs"]
mod syncthing;
#[cfg(target_os = "linux")]
#[path = "bench/transfer.rs"]
mod transfer;

#[cfg(target_os = "linux")]
fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let wants = |name: &str| asked.is_empty() || asked.iter().any(|a| a == name);
    if cfg!(debug_assertions) {
        eprintln!("*** this is a debug build: the numbers mean nothing; use `just bench` ***");
    }
    if wants("library") {
        library::start_with_many_games();
    }
    if wants("delta") {
        library::delta_of_one_game();
    }
    if wants("transfer") {
        transfer::against_others();
    }
    if wants("cancel") {
        cancel::at_random_points();
    }
    if wants("large") {
        large::at_the_edge();
    }
    if wants("idle") {
        idle::room_of_eight();
    }
    if wants("save-latency") {
        saves::latency();
    }
    if wants("save-bytes") {
        saves::large_set();
    }
    if wants("save-many") {
        saves::many_sets();
    }
    if wants("save-evening") {
        compare::one_evening();
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("the benchmarks need network namespaces, which only Linux has");
}
