//! Crash layer B: the real program is killed at system calls, and system calls are made to fail, over downloads,
//! updates, cancels and removals. Every injection is proven to have fired.
//!
//! A small sample by default; as many points as `BONFIRE_CRASH` says, or all of them with `BONFIRE_CRASH=full`
//! (`just crash`). Prints one line of counts.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "counts and skips have to be seen")]
#![allow(clippy::print_stdout, reason = "the line of counts is the result")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bonfire_tests::aftermath::{Ended, GAME, Mode, Stage};
use bonfire_tests::program::has_strace;
use bonfire_tests::{Random, Room};
use serde_json::json;

/// The system calls that change files, by the names that some kernel or library may use.
const WRITES: &[&str] = &[
    "openat",
    "openat2",
    "write",
    "pwrite64",
    "pwritev",
    "writev",
    "fsync",
    "fdatasync",
    "syncfs",
    "sync_file_range",
    "rename",
    "renameat",
    "renameat2",
    "mkdir",
    "mkdirat",
    "unlink",
    "unlinkat",
    "rmdir",
    "ftruncate",
    "fallocate",
    "copy_file_range",
];
const ERRORS: &[&str] = &["ENOSPC", "EIO", "EMFILE", "EACCES"];
/// What one run is given. A download takes a second; one that waits for a source that it was refused, for ever.
const RUN: Duration = Duration::from_secs(25);

/// What is done to a system call.
#[derive(Debug, Clone, Copy)]
enum Injection {
    Kill,
    Error(&'static str),
}

struct Sweep {
    stage: Stage,
    log: PathBuf,
    fired: BTreeMap<&'static str, u64>,
    unreached: u64,
    quiet: u64,
    panics: u64,
}

impl Sweep {
    /// Runs the mode under strace with these options; how it ended.
    fn traced(&mut self, mode: Mode, options: &[String]) -> Ended {
        self.stage.reset(mode);
        let mut wrapper: Vec<String> = ["strace", "-f", "-qq", "-o"].map(str::to_owned).to_vec();
        wrapper.push(self.log.display().to_string());
        wrapper.extend(options.iter().cloned());
        // Only files of the games folder and the data folder: what goes wrong while the program is loaded, or on its
        // way to the terminal, is not a matter of crash safety.
        for path in self.paths() {
            wrapper.extend(["-P".to_owned(), path.display().to_string()]);
        }
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        self.stage.seat.under(&wrapper);
        let panics = self.stage.seat.log().panics().len();
        let ended = self.stage.drive(mode, RUN, RUN);
        self.stage.stop();
        self.stage.seat.under(&[]);
        self.panics += (self.stage.seat.log().panics().len() - panics) as u64;
        ended
    }

    fn paths(&self) -> Vec<PathBuf> {
        let root = self.stage.seat.root(GAME);
        let (games, data) = (&self.stage.seat.games, &self.stage.seat.data);
        let mut paths =
            vec![games.clone(), root.clone(), data.clone(), root.join("extra"), root.join("extra/readme.txt")];
        for name in [
            "doom.eti",
            "same.eti",
            "gone.eti",
            "version.ini",
            ".version.ini.tmp",
            ".version.ini.discarded",
            ".bonfire.part",
            ".bonfire.part.tmp",
            ".lanspread.json",
            ".lanspread.json.tmp",
        ] {
            paths.push(root.join(name));
        }
        paths.extend(["catalog.json", ".catalog.json.tmp"].map(|n| games.join(n)));
        paths.extend(["state.db", "state.db-wal", "state.db-shm", "lock", "identity.pem"].map(|n| data.join(n)));
        paths
    }

    /// How often the busiest thread makes each call in an undisturbed run: the injections count by thread.
    fn counts(&mut self, mode: Mode) -> BTreeMap<&'static str, u64> {
        let known: Vec<&str> = WRITES.to_vec();
        let ended = self.traced(mode, &["-e".to_owned(), format!("trace={}", known.join(","))]);
        assert!(
            matches!(ended, Ended::Event(_)),
            "{mode:?} undisturbed: {ended:?}\n{}",
            self.stage.seat.log().describe()
        );
        let mut by_thread: BTreeMap<(&'static str, String), u64> = BTreeMap::new();
        for line in std::fs::read_to_string(&self.log).unwrap().lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(call)) = (words.next(), words.next()) else { continue };
            let Some((name, _)) = call.split_once('(') else { continue };
            if let Some(known) = WRITES.iter().find(|w| **w == name) {
                *by_thread.entry((known, thread.to_owned())).or_default() += 1;
            }
        }
        let mut busiest = BTreeMap::new();
        for ((name, _), count) in by_thread {
            let most = busiest.entry(name).or_insert(0);
            *most = count.max(*most);
        }
        busiest
    }

    /// Injects at the n-th call and checks what is left. Threads share the work differently each time, so a call that
    /// was not reached is tried again nearer; the first call is always reached.
    fn point(&mut self, mode: Mode, call: &'static str, injection: Injection, mut n: u64) {
        loop {
            let what = format!("{mode:?}, {injection:?} at {call} {n}");
            let rule = match injection {
                Injection::Kill => format!("inject={call}:signal=SIGKILL:when={n}"),
                Injection::Error(error) => format!("inject={call}:error={error}:when={n}"),
            };
            let ended = self.traced(mode, &["-e".to_owned(), format!("trace={call}"), "-e".to_owned(), rule]);
            let log = std::fs::read_to_string(&self.log).unwrap();
            let fired = match injection {
                Injection::Kill => ended.is_killed() && log.contains("killed by SIGKILL"),
                Injection::Error(_) => log.contains("(INJECTED)"),
            };
            if !fired && n > 1 {
                self.unreached += 1;
                n /= 2;
                continue;
            }
            assert!(fired, "{what} never fired: {ended:?}\n{log}");
            if matches!(ended, Ended::Quiet) {
                self.quiet += 1;
            }
            let said = self.stage.seat.log().stderr();
            let last = if ended.is_killed() { "" } else { said.lines().last().unwrap_or_default() };
            eprintln!("{what}: {} {last}", shown(&ended));
            self.stage.check(mode, &what);
            *self.fired.entry(if matches!(injection, Injection::Kill) { "kills" } else { "errors" }).or_default() += 1;
            return;
        }
    }
}

fn shown(ended: &Ended) -> String {
    match ended {
        Ended::Exited(status) => status.to_string(),
        Ended::Event(event) => format!("{} {}", event["type"], event["error"]["code"]),
        Ended::Quiet => "quiet".to_owned(),
    }
}

#[test]
fn a_crash_or_an_error_at_any_system_call_loses_nothing() {
    if !has_strace("the sweep over system calls") {
        return;
    }
    let Some(room) = Room::new("syscalls") else { return };
    let how_many = std::env::var("BONFIRE_CRASH").unwrap_or_default();
    let mut random = Random::announced("the sweep over system calls");
    let mut stage = Stage::new(&room);
    stage.seat.forgive_errors();
    let log = room.folder().join("strace.log");
    let mut sweep = Sweep { stage, log, fired: BTreeMap::new(), unreached: 0, quiet: 0, panics: 0 };
    let mut points: Vec<(Mode, &'static str, Injection, u64)> = Vec::new();
    for mode in Mode::ALL {
        for (call, count) in sweep.counts(mode) {
            for n in 1..=count {
                points.push((mode, call, Injection::Kill, n));
                // One error a call in turn: all of them at every call would be five times the time.
                let turn = usize::try_from(n).unwrap() + call.len();
                points.push((mode, call, Injection::Error(ERRORS[turn % ERRORS.len()]), n));
            }
        }
    }
    let possible = points.len();
    if let Some((part, parts)) = part_of_the_whole() {
        points = points.into_iter().skip(part - 1).step_by(parts).collect();
    } else if how_many != "full" {
        points = sample(points, &mut random, how_many.parse().unwrap_or(22));
    }
    for (mode, call, injection, n) in points {
        sweep.point(mode, call, injection, n);
    }
    println!(
        "{}",
        json!({"crash_layer": "B", "possible_points": possible, "kills": sweep.fired.get("kills"),
               "errors": sweep.fired.get("errors"), "tried_again_nearer": sweep.unreached, "quiet": sweep.quiet,
               "panics": sweep.panics, "violations": 0})
    );
    assert_eq!(sweep.panics, 0, "an error must not be a panic:\n{}", sweep.stage.seat.log().panics().join("\n"));
}

/// `BONFIRE_CRASH_PART=2/3` runs the second third of the full sweep, so that several may share the time.
fn part_of_the_whole() -> Option<(usize, usize)> {
    let wanted = std::env::var("BONFIRE_CRASH_PART").ok()?;
    let parse = |(part, parts): (&str, &str)| Some((part.parse::<usize>().ok()?, parts.parse::<usize>().ok()?));
    let (part, parts) = wanted.split_once('/').and_then(parse).expect("BONFIRE_CRASH_PART is PART/PARTS");
    assert!((1..=parts).contains(&part), "part {part} of {parts}");
    Some((part, parts))
}

/// Some of the points, with every mode and as many different calls as there is room for.
fn sample<T: Copy>(mut points: Vec<T>, random: &mut Random, count: usize) -> Vec<T> {
    let mut chosen = Vec::new();
    // Evenly over the list, which is ordered by mode and call, with a random place in each stretch.
    let stretch = (points.len() / count).max(1);
    while !points.is_empty() && chosen.len() < count {
        let part: Vec<T> = points.drain(..stretch.min(points.len())).collect();
        chosen.push(part[usize::try_from(random.between(0, part.len() as u64)).unwrap()]);
    }
    chosen
}
