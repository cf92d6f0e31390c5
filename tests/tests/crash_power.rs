//! Crash layer C: power cuts on a real ext4, over the same operations on games and on saves as layer B. The peer's folders
//! are on a loop-mounted image; the peer is killed at a random point, the image is copied at once without unmounting, and the copy is mounted (which replays the journal) and
//! used by the next start.
//!
//! A handful by default; as many of each as `BONFIRE_CRASH` says, or 60 rounds with `BONFIRE_CRASH=full` (`just crash`). Skipped with a
//! loud line where an image cannot be mounted; with `CI` set that is a failure, unless this machine has no loop devices
//! at all, which is said. Prints a line of counts for games and one for saves.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "counts and skips have to be seen")]
#![allow(clippy::print_stdout, reason = "the line of counts is the result")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bonfire_tests::aftermath::{Ended, Mode, Scene, Stage};
use bonfire_tests::save_stage::{Change, SaveStage};
use bonfire_tests::{Random, Room, child};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);

/// A file system image that is mounted while this value lives.
struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// Makes an ext4 of 224 MiB (a reserve of 64 stays free) and mounts it.
    fn format(image: &Path, at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let file = std::fs::File::create(image).unwrap();
        file.set_len(224 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()])?;
        Self::mount(image, at)
    }

    fn mount(image: &Path, at: &Path) -> Option<Self> {
        // A commit interval beyond any run, and no writing on the occasion of a rename: what was not made durable is not
        // durable by luck.
        run("mount", &["-o", "loop,commit=300,noauto_da_alloc", image.to_str().unwrap(), at.to_str().unwrap()])?;
        Some(Self { image: image.to_owned(), at: at.to_owned() })
    }

    /// The power goes: the image as the device has it at this moment is what there is after the next start.
    fn cut(self) -> Self {
        let copy = self.image.with_extension("cut");
        std::fs::copy(&self.image, &copy).unwrap();
        let (image, at) = (self.image.clone(), self.at.clone());
        drop(self);
        std::fs::rename(&copy, &image).unwrap();
        let disk = Self::mount(&image, &at);
        disk.expect("the image after the cut mounts")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if run("umount", &[self.at.to_str().unwrap()]).is_none() {
            let _ = run("umount", &["-l", self.at.to_str().unwrap()]);
        }
    }
}

fn run(program: &str, args: &[&str]) -> Option<()> {
    if !std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|folder| folder.join(program).exists())
    {
        eprintln!("no {program} here");
        return None;
    }
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let out = child::run(Command::new(program).args(args).env("PATH", path), b"", LIMIT);
    if !out.status.success() {
        eprintln!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        return None;
    }
    Some(())
}

/// A disk in this room, or `None` with a loud line where none can be mounted. In CI that is a failure.
fn disk(room: &Room, of: &str) -> Option<(Disk, PathBuf)> {
    let (image, at) = (room.folder().join("disk.img"), room.folder().join("disk"));
    if let Some(disk) = Disk::format(&image, &at) {
        return Some((disk, at));
    }
    let has_loop = Path::new("/dev/loop-control").exists();
    let why = if has_loop { "an ext4 image cannot be made and mounted" } else { "there are no loop devices" };
    let in_ci = std::env::var("CI").as_deref() == Ok("true");
    assert!(!has_loop || !in_ci, "power cuts must run in CI, but: {why} here; what was tried is said above");
    eprintln!("\n*** SKIPPED: power cuts, {of}: {why} here ***\n");
    None
}

#[test]
fn a_power_cut_at_any_point_loses_nothing() {
    let Some(room) = Room::new("power") else { return };
    let mut stage = Stage::new(&room);
    let Some((disk, at)) = disk(&room, "games") else { return };
    stage.seat.games = at.join("games");
    stage.seat.data = at.join("data");
    cuts(disk, &mut stage, "games", 3, |mode| match mode {
        Mode::Fresh | Mode::Update => 1_000,
        Mode::Cancel => 150,
        Mode::Remove => 40,
    });
}

#[test]
fn a_power_cut_at_any_point_loses_no_save() {
    let Some(room) = Room::new("save-power") else { return };
    let Some((disk, at)) = disk(&room, "saves") else { return };
    let mut stage = SaveStage::new(&room, Some(&at));
    cuts(disk, &mut stage, "saves", 1, |change| match change {
        Change::Capture => 180,
        Change::Apply | Change::ResolveTheirs | Change::Rollback | Change::Import => 150,
        Change::ResolveMine | Change::ResolveBoth => 90,
        Change::Prune | Change::Export => 55,
    });
}

/// Cuts the power in every mode, as many rounds as usual or as the environment says, each at a random moment up to a little
/// more milliseconds than the operation takes, so that the end of it is struck as well. Prints the counts.
fn cuts<S: Scene>(mut disk: Disk, stage: &mut S, of: &str, usually: u32, most: impl Fn(S::Mode) -> u64) {
    let how_many = std::env::var("BONFIRE_CRASH").unwrap_or_default();
    let mut random = Random::announced(&format!("the power cuts, {of}"));
    let modes = u32::try_from(S::MODES.len()).unwrap();
    let rounds =
        if how_many == "full" { 60 } else { how_many.parse().map_or(usually, |cuts: u32| cuts.div_ceil(modes)) };
    let (mut cuts, mut too_late) = (0u64, 0u64);
    for round in 0..rounds {
        for mode in S::MODES {
            let mode = *mode;
            stage.reset(mode);
            // The state before is old: it was on the disk long before the run.
            run("sync", &["-f", disk.at.to_str().unwrap()]).expect("sync");
            let after = Duration::from_millis(random.between(0, most(mode)));
            let what = format!("round {round}, {mode:?}, cut after {after:?}");
            let ended = stage.drive(mode, LIMIT, after);
            stage.stop();
            disk = disk.cut();
            let how = match &ended {
                Ended::Quiet => "in the middle".to_owned(),
                Ended::Event(event) if event["error"].is_null() => format!("just after the end: {event}"),
                other => panic!("{what}: nothing was made to fail, and it ended as {other:?}"),
            };
            *if matches!(ended, Ended::Quiet) { &mut cuts } else { &mut too_late } += 1;
            eprintln!("{what}: {how}");
            stage.check(mode, &what);
        }
    }
    println!(
        "{}",
        json!({"crash_layer": "C", "of": of, "cuts_in_the_middle": cuts, "cuts_just_after_the_end": too_late,
               "violations": 0})
    );
    assert!(cuts > 0, "no cut struck in the middle of a run");
    drop(disk);
}
