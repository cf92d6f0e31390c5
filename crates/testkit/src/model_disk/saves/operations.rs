//! Whole operations on a save, in the order in which the peer's worker and desk do them on the disk: copies of the other
//! side of a conflict, resolving, rolling back, pruning, import and export.
//!
//! Each looks at what is there and goes on from it, as the desk does after a start, so that it can be asked for again.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_disk::DiskError;
use bonfire_disk::fs::{Fs, FsPath};
use bonfire_disk::saves::SaveError;
use bonfire_proto::{Snapshot, SnapshotKind};

use super::Promise;
use super::scenario::{ARCHIVE, COPIED, EXPORTED, Stage, World, content_of, lineage, set, text, version};
use crate::model_disk::content::Content;
use crate::model_disk::fs::ModelFs;
use crate::model_disk::scenario::Ack;

/// The label of the only root.
const LABEL: &str = "save";

fn ack(fs: &ModelFs, promise: Promise) {
    fs.ack(Ack::Save(promise));
}

/// Which of these versions lies there live, as a look finds it.
fn live(world: &World, of: &[u8]) -> Result<u8, String> {
    let captured = world.capture()?;
    let found = |number: &&u8| {
        let wanted = version(**number);
        let same = |(path, bytes): (&&str, &&[u8])| {
            let entry = captured.entries.iter().find(|e| e.path.as_str() == format!("{LABEL}/{path}"));
            entry.is_some_and(|e| e.blake3.0 == *blake3::hash(bytes).as_bytes())
        };
        wanted.len() == captured.entries.len() && wanted.iter().all(same)
    };
    of.iter().find(found).copied().ok_or_else(|| format!("none of {of:?} is live"))
}

/// A snapshot of another one's content, unless it is there: a resolution, a rollback, the beginning of a line.
fn put_of(world: &World, fs: &ModelFs, content: u8, number: u8, kind: SnapshotKind) -> Result<(), String> {
    if world.find(number)?.is_none() {
        let from = world.store.snapshot(&world.id(content)?).map_err(text)?;
        let of = lineage(number);
        let made = Snapshot { hlc: of.hlc, created_at: of.created_at, parents: of.parents, kind, ..from };
        let bytes = made.to_bytes().map_err(|e| e.to_string())?;
        world.store.put_snapshot(&bytes).map_err(text)?;
    }
    ack(fs, Promise::Put(number));
    Ok(())
}

/// Brings the live files from one snapshot to another, unless they are that already.
fn bring(world: &World, fs: &ModelFs, base: u8, target: u8) -> Result<(), String> {
    let (old, new) = (content_of(base), content_of(target));
    ack(fs, Promise::ApplyStarted(target));
    if live(world, &[new, old])? != new {
        world.apply(Some(base), target)?;
    }
    ack(fs, Promise::Applied(target));
    Ok(())
}

/// A conflict: version 3 is this device's, version 2 the other's, whose copies lie there.
pub(super) fn in_conflict() -> Stage {
    let mut stage = Stage::new(&[1, 2, 3], 3);
    let fs = ModelFs::over(stage.disk.clone(), false);
    let world = World::open(Arc::new(fs.clone())).expect("BUG: the stage opens");
    copy(&world, &fs).expect("BUG: the stage is copied to");
    stage.disk = fs.disk();
    stage.copied = true;
    stage
}

/// The other side is laid beside the live files.
pub(super) fn copy(world: &World, fs: &ModelFs) -> Result<(), String> {
    // What is captured before and after has no copy in it, and is no change.
    let before = world.capture()?;
    let (id, slot) = (world.id(COPIED)?, lineage(COPIED).slot);
    world.store.write_conflict_copy(&set(), &slot, &id, "deck", &world.copy_places()).map_err(text)?;
    ack(fs, Promise::Copied);
    if world.capture()?.entries == before.entries { Ok(()) } else { Err("a copy was captured".to_owned()) }
}

/// What the desk has done once nothing diverges any more.
fn remove_copies(world: &World, fs: &ModelFs) -> Result<(), String> {
    let (id, slot) = (world.id(COPIED)?, lineage(COPIED).slot);
    let open = |at: &Path| world.folder(at);
    ack(fs, Promise::CopyRemovalStarted);
    let removed = world.store.remove_conflict_copies(&set(), &slot, Some(&id), &open).map_err(text)?;
    if !removed.left.is_empty() {
        return Err(format!("what nobody changed was left: {:?}", removed.left));
    }
    ack(fs, Promise::CopyRemoved);
    Ok(())
}

pub(super) fn resolve_mine(world: &World, fs: &ModelFs) -> Result<(), String> {
    live(world, &[3])?;
    put_of(world, fs, 3, 13, SnapshotKind::Merge)?;
    remove_copies(world, fs)
}

pub(super) fn resolve_theirs(world: &World, fs: &ModelFs) -> Result<(), String> {
    live(world, &[3, 2])?;
    put_of(world, fs, 2, 12, SnapshotKind::Merge)?;
    bring(world, fs, 3, 12)?;
    remove_copies(world, fs)
}

/// The other side becomes a line of its own, then this one stays.
pub(super) fn resolve_both(world: &World, fs: &ModelFs) -> Result<(), String> {
    live(world, &[3])?;
    put_of(world, fs, 2, 12, SnapshotKind::Save)?;
    put_of(world, fs, 3, 13, SnapshotKind::Merge)?;
    remove_copies(world, fs)
}

/// Back to version 1: what lies there unsaved becomes version 3 before.
pub(super) fn roll_back(world: &World, fs: &ModelFs) -> Result<(), String> {
    if world.find(3)?.is_none() {
        let captured = world.capture()?;
        world.put_captured(&captured, 3)?;
    }
    ack(fs, Promise::Put(3));
    put_of(world, fs, 1, 11, SnapshotKind::Rollback)?;
    bring(world, fs, 3, 11)
}

/// Two versions go, one after the other as the worker does it, then what no other needs.
pub(super) fn prune(world: &World, fs: &ModelFs) -> Result<(), String> {
    for number in [1, 2] {
        remove(world, fs, number)?;
    }
    world.sweep().map(|_| ())
}

fn remove(world: &World, fs: &ModelFs, number: u8) -> Result<(), String> {
    ack(fs, Promise::RemovalStarted(number));
    if let Some(id) = world.find(number)? {
        world.store.remove_snapshots(&[id]).map_err(text)?;
    }
    ack(fs, Promise::Removed(number));
    Ok(())
}

/// A version goes whose content a look has just found again, and which becomes a version after the sweep.
pub(super) fn prune_while_captured(world: &World, fs: &ModelFs) -> Result<(), String> {
    let captured = world.capture()?;
    remove(world, fs, 1)?;
    world.sweep()?;
    if world.find(5)?.is_none() {
        world.put_captured(&captured, 5)?;
    }
    ack(fs, Promise::Put(5));
    Ok(())
}

/// Somebody handed on an archive of version 2. It is none of the versions here.
pub(super) fn with_archive() -> Stage {
    let mut stage = Stage::new(&[1, 3], 3);
    let archive = exported(&Stage::new(&[2], 2), 2);
    stage.disk.plant(ARCHIVE, archive.clone());
    stage.user.push((ARCHIVE.to_owned(), archive));
    stage
}

/// What an archive of this version holds.
fn exported(stage: &Stage, number: u8) -> Content {
    let fs = ModelFs::over(stage.disk.clone(), false);
    let world = World::open(Arc::new(fs.clone())).expect("BUG: the stage opens");
    write_archive(&world, number).expect("BUG: the stage exports");
    fs.disk().seen().file(EXPORTED).cloned().expect("BUG: it was written")
}

fn write_archive(world: &World, number: u8) -> Result<(), String> {
    let name = EXPORTED.rsplit_once('/').map_or("", |(_, name)| name);
    match world.store.export(&world.id(number)?, &world.elsewhere(), Path::new("/elsewhere"), name) {
        // There whole already.
        Err(SaveError::Disk(DiskError::Io { source, .. })) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(text),
    }
}

pub(super) fn import(world: &World, fs: &ModelFs) -> Result<(), String> {
    if world.find(12)?.is_none() {
        let captured = world.import()?;
        world.put_captured(&captured, 12)?;
    }
    ack(fs, Promise::Put(12));
    bring(world, fs, 3, 12)
}

/// As `import`, with a sweep between its objects and its snapshot.
pub(super) fn import_while_pruning(world: &World, fs: &ModelFs) -> Result<(), String> {
    if world.find(12)?.is_none() {
        let captured = world.import()?;
        remove(world, fs, 1)?;
        world.sweep()?;
        world.put_captured(&captured, 12)?;
    }
    ack(fs, Promise::Put(12));
    remove(world, fs, 1)?;
    world.sweep().map(|_| ())
}

pub(super) fn to_be_exported() -> Stage {
    let mut stage = Stage::new(&[1, 2], 2);
    stage.archive = Some(exported(&stage, 2));
    stage
}

pub(super) fn export(world: &World, fs: &ModelFs) -> Result<(), String> {
    write_archive(world, 2)?;
    // A start that found the name may have found one that is not durable; whoever hears of it asks for no more.
    let folder = FsPath::root();
    world.elsewhere().sync_dir(&folder).map_err(|e| e.to_string())?;
    ack(fs, Promise::Exported);
    Ok(())
}
