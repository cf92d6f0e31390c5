//! What must be true of saves after a crash and the start that follows.
//!
//! Looks at what lies there, never through a planted bug, and at the promises that were made by then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Promise;
use super::scenario::{
    ARCHIVE, COPIED, COPY, COPY_OF_ONE, DATA, EXPORTED, LIVE, NUMBERS, PLAYED_AT, PLAYED_ON, Stage, World, content_of,
    text, version,
};
use crate::model_disk::content::Content;
use crate::model_disk::fs::ModelFs;
use crate::model_disk::scenario::Ack;
use crate::model_disk::state::{Image, Node};

/// What was there before, and what was begun and promised since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judge<'a> {
    pub(super) stage: &'a Stage,
    pub(super) acks: &'a [Ack],
    /// The player wrote after the crash.
    pub(super) intruded: bool,
}

impl Judge<'_> {
    fn has(&self, promise: Promise) -> bool {
        self.acks.contains(&Ack::Save(promise))
    }

    /// Whether live files became a version for good.
    pub(super) fn has_applied(&self) -> bool {
        NUMBERS.into_iter().any(|n| self.has(Promise::Applied(n)))
    }

    /// What must be true after a start.
    pub(super) fn judge(&self, fs: &ModelFs) -> Result<(), String> {
        let image = fs.disk().seen().clone();
        // Not through the bug, and on a disk of its own, since opening tidies up: this is what lies there.
        let world = World::open(Arc::new(ModelFs::over(fs.disk(), false))).map_err(text)?;
        let listed = self.snapshots(&world)?;
        self.live(&image, false)?;
        self.copies(&world, &image, &listed)?;
        self.exported(&image)?;
        for (path, content) in &self.stage.user {
            if image.file(path) != Some(content) {
                return Err(format!("{path} is the user's and not what it was"));
            }
        }
        no_scratch(&image)
    }

    fn snapshots(&self, world: &World) -> Result<BTreeSet<u8>, String> {
        let mut listed = BTreeSet::new();
        for id in world.store.snapshot_ids().map_err(text)? {
            let snapshot = world.store.snapshot(&id).map_err(|e| format!("a listed snapshot is bad: {}", text(e)))?;
            let bad = world.store.verify(&id, &|| true).map_err(|e| format!("a listed snapshot: {}", text(e)))?.bad;
            if let Some(bad) = bad.first() {
                return Err(format!("a listed snapshot lacks {}: {}", bad.path, bad.why));
            }
            let number = u8::try_from(snapshot.created_at).unwrap_or(u8::MAX);
            let entries = world.store.entries(&snapshot).map_err(text)?;
            let found: BTreeMap<&str, _> =
                entries.iter().map(|e| (&e.path.as_str()["save/".len()..], e.blake3)).collect();
            let wanted = version(content_of(number));
            let same =
                |(path, bytes): (&&str, &&[u8])| found.get(*path).map(|d| d.0) == Some(*blake3::hash(bytes).as_bytes());
            if found.len() != wanted.len() || !wanted.iter().all(same) {
                return Err(format!("the snapshot of version {number} is none of it: {:?}", found.keys()));
            }
            listed.insert(number);
        }
        for number in NUMBERS {
            let was = self.stage.listed.contains(&number) && !self.has(Promise::RemovalStarted(number));
            if (was || self.has(Promise::Put(number))) && !listed.contains(&number) {
                return Err(format!("the snapshot of version {number} is gone"));
            }
            if self.has(Promise::Removed(number)) && listed.contains(&number) {
                return Err(format!("the snapshot of version {number} came back"));
            }
        }
        Ok(listed)
    }

    /// The live files are one version, or that with what the player wrote since. `untouched` says that it is the old one.
    pub(super) fn live(&self, image: &Image, untouched: bool) -> Result<(), String> {
        let mut tree: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let is_of_it = |p: &String| !p.ends_with(".log") && !p.starts_with(".bonfire.") && p != COPY_OF_ONE;
        for path in image.files_beneath(LIVE).into_iter().filter(is_of_it) {
            let bytes = image.file(&format!("{LIVE}/{path}")).map(Content::to_vec);
            tree.insert(path, bytes.unwrap_or_default());
        }
        let (played, playing) = (self.intruded || self.has(Promise::Played), self.has(Promise::PlayStarted));
        if played && tree.get(PLAYED_AT).map(Vec::as_slice) != Some(PLAYED_ON) {
            return Err(format!("what the player did is gone: {:?}", tree.get(PLAYED_AT)));
        }
        let is = |number: u8| {
            let mut rest = tree.clone();
            let wanted = version(content_of(number));
            let mut wanted: BTreeMap<String, Vec<u8>> =
                wanted.into_iter().map(|(p, b)| (p.to_owned(), b.to_vec())).collect();
            if played || playing {
                rest.remove(PLAYED_AT);
                wanted.remove(PLAYED_AT);
            }
            rest == wanted
        };
        let target = NUMBERS.into_iter().find(|n| self.has(Promise::ApplyStarted(*n)));
        let done = self.has_applied();
        let new = !untouched && target.is_some_and(&is);
        if (is(self.stage.live) && !done) || new {
            return Ok(());
        }
        let files: Vec<_> = tree.iter().map(|(p, b)| format!("{p}={}", String::from_utf8_lossy(b))).collect();
        Err(format!("live files are neither version: {files:?}"))
    }

    /// The copies of the other side lie there whole or not at all, and are on record exactly then. They go only once
    /// what the player chose is a snapshot.
    fn copies(&self, world: &World, image: &Image, listed: &BTreeSet<u8>) -> Result<(), String> {
        let other = version(COPIED);
        let folder = image.files_beneath(COPY);
        let in_folder = |(path, bytes): (&&str, &&[u8])| {
            image.file(&format!("{COPY}/{path}")).is_some_and(|found| found.to_vec() == *bytes)
        };
        let one = image.file(&format!("{LIVE}/{COPY_OF_ONE}")).map(Content::to_vec);
        let whole = folder.len() == other.len()
            && other.iter().all(in_folder)
            && one.as_deref() == other.get(PLAYED_AT).copied();
        if !whole && (image.node(COPY).is_some() || one.is_some()) {
            return Err(format!("a copy of the other side is neither whole nor gone: {folder:?}, {one:?}"));
        }
        let on_record = world.store.conflict_copies().map_err(text)?.len();
        if on_record != usize::from(whole) {
            return Err(format!("{on_record} copies are on record, and it is {whole} that one lies there"));
        }
        let is_wanted = (self.stage.copied || self.has(Promise::Copied)) && !self.has(Promise::CopyRemovalStarted);
        if is_wanted && !whole {
            return Err("the copy of the other side is gone".to_owned());
        }
        if self.has(Promise::CopyRemoved) && whole {
            return Err("the copy of the other side came back".to_owned());
        }
        // What resolves is numbered from 10 on.
        if self.stage.copied && !whole && !listed.iter().any(|n| *n >= 10) {
            return Err("the copy of the other side went before the choice was a snapshot".to_owned());
        }
        Ok(())
    }

    fn exported(&self, image: &Image) -> Result<(), String> {
        let there = image.file(EXPORTED);
        if there.is_some() && there != self.stage.archive.as_ref() {
            return Err("an archive with its name and not its content".to_owned());
        }
        if there.is_none() && self.has(Promise::Exported) {
            return Err("an archive that was written is gone".to_owned());
        }
        Ok(())
    }
}

/// Every object is needed by a snapshot.
pub(super) fn no_orphans(fs: &ModelFs) -> Result<(), String> {
    let world = World::open(Arc::new(ModelFs::over(fs.disk(), false))).map_err(text)?;
    let marked = world.store.mark().map_err(text)?;
    if marked.is_empty() { Ok(()) } else { Err(format!("{} objects are left that nothing needs", marked.len())) }
}

/// Nothing is left of an archive that was being written, once it was written.
pub(super) fn no_leftovers(fs: &ModelFs) -> Result<(), String> {
    let folder = ARCHIVE.split_once('/').map_or("", |(folder, _)| folder);
    let left = fs.disk().seen().files_beneath(folder).into_iter().find(|p| p.starts_with(".bonfire."));
    left.map_or(Ok(()), |path| Err(format!("scratch is left: {folder}/{path}")))
}

fn no_scratch(image: &Image) -> Result<(), String> {
    let data = image.files_beneath(DATA);
    let scratch = |p: &&String| p.starts_with("objects/.new/") || p.ends_with(".tmp") || p.starts_with("applying/");
    if let Some(path) = data.iter().find(scratch) {
        return Err(format!("scratch is left: {path}"));
    }
    for folder in ["", LIVE] {
        if let Some(Node::Dir(names)) = image.node(folder)
            && let Some(name) = names.keys().find(|n| n.starts_with(".bonfire."))
        {
            return Err(format!("scratch is left: {folder}/{name}"));
        }
    }
    Ok(())
}
