//! Crash layer B: the real program is killed at system calls, and system calls are made to fail: over downloads, updates,
//! cancels and removals of games; over captures, applies, resolves, rollbacks, prunes, imports and exports of saves between
//! two paired devices. Every injection is proven to have fired.
//!
//! A small sample by default; as many points as `BONFIRE_CRASH` says, or all of them with `BONFIRE_CRASH=full`
//! (`just crash`). Prints a line of counts for each.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "counts and skips have to be seen")]
#![allow(clippy::print_stdout, reason = "the line of counts is the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bonfire_tests::aftermath::{Ended, Paths, Scene, Stage};
use bonfire_tests::program::has_strace;
use bonfire_tests::save_stage::SaveStage;
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

/// A mode, a system call, what is done to it, and at which of the calls.
type Point<M> = (M, &'static str, Injection, u64);

struct Sweep<S: Scene> {
    stage: S,
    log: PathBuf,
    /// What an undisturbed run of each mode touches.
    touched: BTreeMap<S::Mode, BTreeSet<PathBuf>>,
    fired: BTreeMap<&'static str, u64>,
    unreached: u64,
    quiet: u64,
    panics: Vec<String>,
}

impl<S: Scene> Sweep<S> {
    fn new(mut stage: S, room: &Room) -> Self {
        stage.seat().forgive_errors();
        let log = room.folder().join("strace.log");
        Self {
            stage,
            log,
            touched: BTreeMap::new(),
            fired: BTreeMap::new(),
            unreached: 0,
            quiet: 0,
            panics: Vec::new(),
        }
    }

    /// Runs the mode under strace with these options; how it ended.
    fn traced(&mut self, mode: S::Mode, options: &[String]) -> Ended {
        self.stage.reset(mode);
        let mut wrapper: Vec<String> = ["strace", "-f", "-qq", "-o"].map(str::to_owned).to_vec();
        wrapper.push(self.log.display().to_string());
        wrapper.extend(options.iter().cloned());
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        self.stage.seat().under(&wrapper);
        let panics = self.stage.seat().log().panics().len();
        let ended = self.stage.drive(mode, RUN, RUN);
        self.stage.stop();
        self.stage.seat().under(&[]);
        self.panics.extend(self.stage.seat().log().panics().split_off(panics));
        ended
    }

    /// How often the busiest thread makes each call in an undisturbed run: the injections count by thread.
    fn counts(&mut self, mode: S::Mode) -> BTreeMap<&'static str, u64> {
        let mut options = vec!["-y".to_owned(), "-e".to_owned(), format!("trace={}", WRITES.join(","))];
        let within = match self.stage.paths() {
            Paths::These(paths) => {
                options.extend(paths.iter().flat_map(|p| ["-P".to_owned(), p.display().to_string()]));
                self.touched.insert(mode, paths.into_iter().collect());
                vec![PathBuf::from("/")]
            }
            Paths::Beneath(folders) => folders,
        };
        let ended = self.traced(mode, &options);
        let said = self.stage.seat().log().describe();
        let is_done = matches!(&ended, Ended::Event(event) if event["error"].is_null());
        assert!(is_done, "{mode:?} undisturbed: {ended:?}\n{said}");
        let mut by_thread: BTreeMap<(&'static str, String), u64> = BTreeMap::new();
        for line in std::fs::read_to_string(&self.log).unwrap().lines() {
            let mut words = line.split_whitespace();
            let (Some(thread), Some(call)) = (words.next(), words.next()) else { continue };
            let Some((name, _)) = call.split_once('(') else { continue };
            let Some(known) = WRITES.iter().find(|w| **w == name) else { continue };
            let paths: Vec<&str> =
                paths_of(line).filter(|p| within.iter().any(|w| Path::new(p).starts_with(w))).collect();
            if paths.is_empty() {
                continue;
            }
            *by_thread.entry((known, thread.to_owned())).or_default() += 1;
            if within.len() > 1 {
                self.touched.entry(mode).or_default().extend(paths.iter().map(PathBuf::from));
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
    fn point(&mut self, mode: S::Mode, call: &'static str, injection: Injection, mut n: u64) {
        loop {
            let what = format!("{mode:?}, {injection:?} at {call} {n}");
            let rule = match injection {
                Injection::Kill => format!("inject={call}:signal=SIGKILL:when={n}"),
                Injection::Error(error) => format!("inject={call}:error={error}:when={n}"),
            };
            let mut options = vec!["-e".to_owned(), format!("trace={call}"), "-e".to_owned(), rule];
            options.extend(self.touched[&mode].iter().flat_map(|p| ["-P".to_owned(), p.display().to_string()]));
            let ended = self.traced(mode, &options);
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
            let said = self.stage.seat().log().stderr();
            let last = if ended.is_killed() { "" } else { said.lines().last().unwrap_or_default() };
            eprintln!("{what}: {} {last}", shown(&ended));
            self.stage.check(mode, &what);
            *self.fired.entry(if matches!(injection, Injection::Kill) { "kills" } else { "errors" }).or_default() += 1;
            return;
        }
    }
}

/// What a line of strace with `-y` names: what a descriptor stands for, and paths that are whole by themselves.
fn paths_of(line: &str) -> impl Iterator<Item = &str> {
    let descriptors = line.split('<').skip(1).filter_map(|rest| rest.split_once('>')).map(|(path, _)| path);
    descriptors.chain(line.split('"').skip(1).step_by(2)).filter(|p| p.starts_with('/') && !p.ends_with(" (deleted)"))
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
    let Some(room) = room("syscalls") else { return };
    Sweep::new(Stage::new(&room), &room).over("games", 20);
}

#[test]
fn a_crash_or_an_error_at_any_system_call_loses_no_save() {
    let Some(room) = room("save-syscalls") else { return };
    Sweep::new(SaveStage::new(&room, None), &room).over("saves", 9);
}

fn room(name: &str) -> Option<Room> {
    if has_strace("the sweep over system calls") { Room::new(name) } else { None }
}

impl<S: Scene> Sweep<S> {
    /// Strikes at some points of every mode, or as many as the environment says, and prints the counts.
    fn over(mut self, of: &str, usually: usize) {
        let how_many = std::env::var("BONFIRE_CRASH").unwrap_or_default();
        let mut random = Random::announced(&format!("the sweep over system calls, {of}"));
        let mut points: Vec<Point<S::Mode>> = Vec::new();
        let mut sampled = Vec::new();
        for mode in S::MODES {
            let mut of_mode = Vec::new();
            for (call, count) in self.counts(*mode) {
                for n in 1..=count {
                    of_mode.push((*mode, call, Injection::Kill, n));
                    // One error a call in turn: all of them at every call would be five times the time.
                    let turn = usize::try_from(n).unwrap() + call.len();
                    of_mode.push((*mode, call, Injection::Error(ERRORS[turn % ERRORS.len()]), n));
                }
            }
            let count = how_many.parse().unwrap_or(usually).div_ceil(S::MODES.len());
            sampled.extend(sample(of_mode.clone(), &mut random, count));
            points.extend(of_mode);
        }
        let possible = points.len();
        if let Some((part, parts)) = part_of_the_whole() {
            points = points.into_iter().skip(part - 1).step_by(parts).collect();
        } else if how_many != "full" {
            points = sampled;
        }
        for (mode, call, injection, n) in points {
            self.point(mode, call, injection, n);
        }
        println!(
            "{}",
            json!({"crash_layer": "B", "of": of, "possible_points": possible, "kills": self.fired.get("kills"),
                   "errors": self.fired.get("errors"), "tried_again_nearer": self.unreached, "quiet": self.quiet,
                   "panics": self.panics.len(), "violations": 0})
        );
        assert!(self.panics.is_empty(), "an error must not be a panic:\n{}", self.panics.join("\n"));
    }
}

/// `BONFIRE_CRASH_PART=2/3` runs the second third of the full sweep, so that several may share the time.
fn part_of_the_whole() -> Option<(usize, usize)> {
    let wanted = std::env::var("BONFIRE_CRASH_PART").ok()?;
    let parse = |(part, parts): (&str, &str)| Some((part.parse::<usize>().ok()?, parts.parse::<usize>().ok()?));
    let (part, parts) = wanted.split_once('/').and_then(parse).expect("BONFIRE_CRASH_PART is PART/PARTS");
    assert!((1..=parts).contains(&part), "part {part} of {parts}");
    Some((part, parts))
}

/// Some of the points of a mode, with as many different calls as there is room for.
fn sample<T: Copy>(mut points: Vec<T>, random: &mut Random, count: usize) -> Vec<T> {
    let mut chosen = Vec::new();
    // Evenly over the list, which is ordered by call, with a random place in each stretch.
    let stretch = (points.len() / count).max(1);
    while !points.is_empty() && chosen.len() < count {
        let part: Vec<T> = points.drain(..stretch.min(points.len())).collect();
        chosen.push(part[usize::try_from(random.between(0, part.len() as u64)).unwrap()]);
    }
    chosen
}
