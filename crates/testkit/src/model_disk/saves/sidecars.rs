//! Pictures of snapshots beside a save, on a disk that crashes at every step: each is there whole or not at all, and the save
//! is as it was.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bonfire_disk::fs::{Fs, FsPath, OpenMode, write_all_at};
use bonfire_disk::sidecars::Sidecars;
use bonfire_engine::sidecars::work::Sidecar;
use bonfire_proto::{Digest, PictureRef, SnapshotId};

use super::Promise;
use super::beneath::Beneath;
use super::judge::Judge;
use super::scenario::{DATA, Stage, World, text};
use crate::model_disk::explore::{Choice, Effort, Report};
use crate::model_disk::fs::{Failure, ModelFs};
use crate::model_disk::scenario::Ack;
use crate::model_disk::state::Disk;

/// What is done with pictures. Each goes on from what is there, so that it can be asked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictured {
    /// One is put where none was.
    Put,
    /// One takes the place of another, as the engine does it: put, then the other let go of.
    Replaced,
    /// One is let go of.
    Removed,
    /// Planted: put without making its bytes durable.
    PlantedUnsynced,
    /// Planted: put without making its name durable.
    PlantedUnnamed,
    /// Planted: written under its name.
    PlantedInPlace,
}

impl Pictured {
    /// What the product does.
    pub const ALL: [Self; 3] = [Self::Put, Self::Replaced, Self::Removed];
    /// What it must not do.
    pub const PLANTED: [Self; 3] = [Self::PlantedUnsynced, Self::PlantedUnnamed, Self::PlantedInPlace];
}

const OLD: u8 = 1;
const NEW: u8 = 2;

fn bytes(number: u8) -> Vec<u8> {
    [b"\x89PNG\r\n\x1a\n".as_slice(), &[number; 5_000]].concat()
}

fn sidecar(number: u8) -> Sidecar {
    let picture = PictureRef::of(&bytes(number)).expect("BUG: a picture");
    Sidecar { snapshot: SnapshotId(Digest([7; 32])), picture }
}

fn store(fs: &ModelFs) -> Sidecars {
    Sidecars::new(Arc::new(Beneath::new(Arc::new(fs.clone()), DATA)), PathBuf::from("/data"))
}

fn stage(what: Pictured) -> Stage {
    let mut stage = Stage::new(&[1], 1);
    if matches!(what, Pictured::Replaced | Pictured::Removed) {
        let fs = ModelFs::over(stage.disk.clone(), false);
        store(&fs).put(&sidecar(OLD), &bytes(OLD)).expect("BUG: the stage keeps a picture");
        stage.disk = fs.disk();
        stage.disk.sync_all();
    }
    stage
}

fn play(what: Pictured, fs: &ModelFs) -> Result<(), String> {
    let pictures = store(fs);
    pictures.sweep().map_err(|e| e.to_string())?;
    if what != Pictured::Removed {
        match what {
            Pictured::Put | Pictured::Replaced => {
                pictures.put(&sidecar(NEW), &bytes(NEW)).map_err(|e| e.to_string())?;
            }
            planted => put_badly(planted, fs).map_err(|e| e.to_string())?,
        }
        fs.ack(Ack::Save(Promise::Put(NEW)));
    }
    if matches!(what, Pictured::Replaced | Pictured::Removed) {
        fs.ack(Ack::Save(Promise::RemovalStarted(OLD)));
        pictures.remove(&sidecar(OLD)).map_err(|e| e.to_string())?;
        fs.ack(Ack::Save(Promise::Removed(OLD)));
    }
    Ok(())
}

fn put_badly(planted: Pictured, fs: &ModelFs) -> io::Result<()> {
    let all = FsPath::root().child(DATA).child("sidecars");
    let folder = all.child(&sidecar(NEW).snapshot.to_string());
    let (scratch, to) = (folder.child(".new"), folder.child(&sidecar(NEW).picture.file_name()));
    for dir in [&all, &folder] {
        match fs.create_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    let at = if planted == Pictured::PlantedInPlace { &to } else { &scratch };
    let file = fs.open_write(at, OpenMode::Either)?;
    write_all_at(&*file, &bytes(NEW), 0)?;
    if planted != Pictured::PlantedUnsynced {
        file.sync()?;
    }
    if planted != Pictured::PlantedInPlace {
        fs.rename(&scratch, &to)?;
    }
    if planted != Pictured::PlantedUnnamed {
        for dir in [&folder, &all, &FsPath::root().child(DATA)] {
            fs.sync_dir(dir)?;
        }
    }
    Ok(())
}

/// Explores what is done with pictures: every moment, every way a crash can leave it, a start on each, and an error at every
/// operation.
#[must_use]
pub fn explore_pictures(what: Pictured, effort: &Effort) -> Report {
    let stage = stage(what);
    let (mut report, mut seen, mut choice) = (Report::default(), BTreeSet::new(), Choice::new(effort.seed));
    let name = format!("{what:?}");
    let fs = ModelFs::over(stage.disk.clone(), false);
    fs.record();
    if let Err(e) = play(what, &fs) {
        report.violation(&name, "played without a fault", &e);
    }
    let (moments, acks) = fs.take_moments();
    for (i, moment) in moments.iter().enumerate() {
        report.points += 1;
        let acks = &acks[..moment.acks];
        let mut disks = vec![(moment.disk.clone(), "killed".to_owned())];
        report.kills += 1;
        for ways in choice.ways_of(&moment.disk, effort.enumerate_to, effort.samples) {
            disks.push((moment.disk.crashed_with(&ways), format!("ways {ways:?}")));
        }
        for (disk, how) in disks {
            if seen.insert((disk.seen().fingerprint(), acks.len(), how == "killed")) {
                report.states += 1;
                if let Err(e) = start_on(what, &stage, disk, acks) {
                    report.violation(&name, &format!("step {i}, {how}"), &e);
                }
            }
        }
    }
    if effort.fail_every > 0 {
        errors(what, &stage, fs.ops(), effort, &mut report);
    }
    report
}

fn errors(what: Pictured, stage: &Stage, total: u64, effort: &Effort, report: &mut Report) {
    for at in (0..total).step_by(effort.fail_every) {
        for (kind, sticky) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::Other, false)] {
            let fs = ModelFs::over(stage.disk.clone(), false);
            fs.fail(Some(Failure { at, sticky, kind }));
            // What it says of it is up to it; what it leaves is judged.
            let played = play(what, &fs);
            if fs.fired() == 0 {
                continue;
            }
            report.errors += 1;
            for disk in [fs.disk(), fs.disk().crashed(0)] {
                report.states += 1;
                if let Err(e) = start_on(what, stage, disk, &fs.acks()) {
                    report.violation(&format!("{what:?}"), &format!("{kind:?} at {at}, said {played:?}"), &e);
                }
            }
        }
    }
}

/// A start, and what must be true after it; a second start changes nothing, and what is asked for again is done.
fn start_on(what: Pictured, stage: &Stage, disk: Disk, acks: &[Ack]) -> Result<(), String> {
    let fs = ModelFs::over(disk, false);
    judge(stage, &fs, acks)?;
    let changes = fs.changes();
    judge(stage, &fs, acks)?;
    if fs.changes() != changes {
        return Err("a second start changes the disk".to_owned());
    }
    // What a start leaves has to survive the next power cut.
    judge(stage, &ModelFs::over(fs.disk().crashed(0), false), acks).map_err(|e| format!("after another cut, {e}"))?;
    let again = ModelFs::over(fs.disk(), false);
    acks.iter().for_each(|ack| again.ack(*ack));
    play(what, &again)?;
    judge(stage, &again, &again.acks()).map_err(|e| format!("done again, {e}"))
}

fn judge(stage: &Stage, fs: &ModelFs, acks: &[Ack]) -> Result<(), String> {
    // A start opens the saves first, and they open whatever pictures there are.
    World::open(Arc::new(fs.clone())).map_err(text)?;
    let pictures = store(fs);
    let listed = pictures.sweep().map_err(|e| e.to_string())?;
    let has = |promise| acks.contains(&Ack::Save(promise));
    for found in &listed {
        match pictures.read(found) {
            Ok(Some(_)) => {}
            other => return Err(format!("a listed picture is {other:?}")),
        }
    }
    let was = stage.disk.seen().files_beneath(DATA).iter().any(|p| p.starts_with("sidecars/"));
    let is_owed = [(OLD, was && !has(Promise::RemovalStarted(OLD))), (NEW, has(Promise::Put(NEW)))];
    for (number, is_owed) in is_owed {
        if is_owed && !listed.contains(&sidecar(number)) {
            return Err(format!("picture {number} is gone"));
        }
    }
    if has(Promise::Removed(OLD)) && listed.contains(&sidecar(OLD)) {
        return Err("a picture that was let go of came back".to_owned());
    }
    if let Some(left) = fs.disk().seen().files_beneath(DATA).iter().find(|p| p.ends_with(".new")) {
        return Err(format!("scratch is left: {left}"));
    }
    // The save is as it was, and is judged as if there were no pictures.
    Judge { stage, acks: &[], intruded: false }.judge(fs)
}
