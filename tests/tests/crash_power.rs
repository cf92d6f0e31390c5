//! Crash layer C: power cuts on a real ext4. The peer's folders are on a loop-mounted image; the peer is killed at a
//! random point, the image is copied at once without unmounting, and the copy is mounted (which replays the journal) and
//! used by the next start.
//!
//! A handful by default; as many as `BONFIRE_CRASH` says, or 240 with `BONFIRE_CRASH=full` (`just crash`). Skipped with a
//! loud line where an image cannot be mounted; with `CI` set that is a failure, unless this machine has no loop devices
//! at all, which is said. Prints one line of counts.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "counts and skips have to be seen")]
#![allow(clippy::print_stdout, reason = "the line of counts is the result")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bonfire_tests::aftermath::{Ended, Mode, Stage};
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
        // A commit interval beyond any run: what was not made durable is not durable by luck.
        run("mount", &["-o", "loop,commit=300", image.to_str().unwrap(), at.to_str().unwrap()])?;
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

#[test]
fn a_power_cut_at_any_point_loses_nothing() {
    let Some(room) = Room::new("power") else { return };
    let how_many = std::env::var("BONFIRE_CRASH").unwrap_or_default();
    let mut random = Random::announced("the power cuts");
    let mut stage = Stage::new(&room);
    let (image, at) = (room.folder().join("disk.img"), room.folder().join("disk"));
    let Some(mut disk) = Disk::format(&image, &at) else {
        let has_loop = Path::new("/dev/loop-control").exists();
        let why = if has_loop { "an ext4 image cannot be made and mounted" } else { "there are no loop devices" };
        let in_ci = std::env::var("CI").as_deref() == Ok("true");
        assert!(!has_loop || !in_ci, "power cuts must run in CI, but: {why} here; what was tried is said above");
        eprintln!("\n*** SKIPPED: power cuts: {why} here ***\n");
        return;
    };
    stage.seat.games = at.join("games");
    stage.seat.data = at.join("data");
    let rounds = if how_many == "full" { 60 } else { how_many.parse().map_or(3, |cuts: u32| cuts.div_ceil(4)) };
    let (mut cuts, mut too_late) = (0u64, 0u64);
    for round in 0..rounds {
        for mode in Mode::ALL {
            stage.reset(mode);
            // The state before is old: it was on the disk long before the run.
            run("sync", &["-f", at.to_str().unwrap()]).expect("sync");
            // Up to a little more than the operation takes, so that the end of it is struck as well.
            let most = match mode {
                Mode::Fresh | Mode::Update => 1_000,
                Mode::Cancel => 150,
                Mode::Remove => 40,
            };
            let after = Duration::from_millis(random.between(0, most));
            let what = format!("round {round}, {mode:?}, cut after {after:?}");
            let ended = stage.drive(mode, LIMIT, after);
            stage.stop();
            disk = disk.cut();
            match ended {
                Ended::Quiet => cuts += 1,
                Ended::Event(_) | Ended::Exited(_) => too_late += 1,
            }
            eprintln!("{what}: {}", if matches!(ended, Ended::Quiet) { "in the middle" } else { "just after the end" });
            stage.check(mode, &what);
        }
    }
    println!(
        "{}",
        json!({"crash_layer": "C", "cuts_in_the_middle": cuts, "cuts_just_after_the_end": too_late, "violations": 0})
    );
    assert!(cuts > 0, "no cut struck in the middle of a run");
    drop(disk);
}
