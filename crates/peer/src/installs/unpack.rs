//! The step of an install that takes time: archives through a child, files of the payload as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use bonfire_disk::install::{Placing, Staging};
use bonfire_engine::installs::Known;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::RelPath;
use bonfire_proto::rel_path::fold;
use bonfire_unpack::error::Why;
use bonfire_unpack::{Cancel, Extracted, Job, Limits, Progress, UnpackError, Unpacker};

use super::payload::Payload;
use super::{Installer, errors};
use crate::download::{Stop, Work};

/// What archives say that they hold.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Expected {
    /// Bytes of all files; `None` when an archive does not say it before.
    pub(super) bytes: Option<u64>,
    pub(super) files: u64,
}

impl Installer {
    /// What the archives would take. Nothing is written, and what their headers show to be wrong ends it here.
    pub(super) async fn expected(&self, work: &Work, payload: &Payload) -> Result<Expected, Stop> {
        if payload.archives.is_empty() {
            return Ok(Expected { bytes: Some(0), files: 0 });
        }
        let (unpacker, job) = self.job(work, payload, None, u64::MAX)?;
        let listed = self.child(work, move |cancel| unpacker.list(&job, cancel)).await?;
        let expected = listed.map_err(|e| errors::unpack(&e))?;
        Ok(Expected { bytes: expected.bytes, files: expected.files })
    }

    /// Unpacks and places everything into the staging folder, of which at most `free` bytes come out of archives. What lies
    /// there then, durably.
    pub(super) async fn unpack(
        &self,
        work: &Work,
        payload: &Payload,
        staging: &Arc<Staging>,
        free: u64,
    ) -> Result<BTreeMap<RelPath, Known>, Stop> {
        let mut out = BTreeMap::new();
        let mut placed = payload.placed.clone();
        if !payload.archives.is_empty() {
            let (unpacker, job) = self.job(work, payload, Some(staging), free)?;
            let limit = job.limits.total_bytes;
            let progress = work.steer.progress.clone();
            let told = move |now: Progress| {
                if let Progress::Came { bytes, files } = now {
                    progress.set_done(bytes);
                    progress.set_done_files(files);
                }
            };
            let run = move |cancel: &Cancel| unpacker.run(&job, cancel, &mut { told });
            let extracted = self.child(work, run).await?;
            let extracted: Extracted = extracted.map_err(|e| full_or_bad(&e, limit))?;
            // What looked like an archive and is one compressed file.
            let as_they_are = extracted.plain.iter().filter_map(|name| payload.files.get(&RelPath::new(name).ok()?));
            let is_asked = |file: &&Placing| payload.only.as_ref().is_none_or(|only| only.contains_key(&file.path));
            placed.extend(as_they_are.filter(is_asked).cloned());
            work.steer.progress.set_done(extracted.bytes);
            work.steer.progress.set_done_files(extracted.files);
            out = extracted.content;
        }
        out.extend(self.place(work, staging, placed).await?);
        one_tree(&out).map_err(|(a, b)| {
            let text = format!("{a} and {b} are one name on some file systems, so they cannot lie in one install");
            Stop::Failed(Report::new(ErrorClass::Refused, "names_collide", text))
        })?;
        Ok(out)
    }

    async fn place(
        &self,
        work: &Work,
        staging: &Arc<Staging>,
        placed: Vec<Placing>,
    ) -> Result<BTreeMap<RelPath, Known>, Stop> {
        let (staging, cancel, progress) = (staging.clone(), work.steer.cancel.clone(), work.steer.progress.clone());
        let place = move || {
            staging.place(&placed, &|bytes| {
                progress.add(bytes);
                !cancel.is_cancelled()
            })
        };
        Ok(self.world.blocking.run(place).await?.map_err(|e| errors::install(&e))?)
    }

    /// Runs a child to its end, and ends it the moment the operation is cancelled, or nobody waits for it any more.
    async fn child<T: Send + 'static>(
        &self,
        work: &Work,
        run: impl FnOnce(&Cancel) -> Result<T, UnpackError> + Send + 'static,
    ) -> Result<Result<T, UnpackError>, Stop> {
        let kill = Kill(Cancel::new());
        let cancel = kill.0.clone();
        let mut running = self.world.blocking.spawn(move || run(&cancel));
        let asked = tokio::select! {
            biased;
            () = work.steer.cancel.cancelled() => None,
            ended = &mut running => Some(ended),
        };
        if let Some(ended) = asked {
            return Ok(ended?);
        }
        kill.0.cancel();
        // Its end is waited for: nothing may write to the staging folder while that is swept.
        running.await?.err();
        Err(Stop::Cancelled)
    }

    fn job(
        &self,
        work: &Work,
        payload: &Payload,
        staging: Option<&Arc<Staging>>,
        free: u64,
    ) -> Result<(Unpacker, Job), Stop> {
        let Some(unpacker) = self.unpacker.clone() else {
            let text = "this program has no part that unpacks archives".to_owned();
            return Err(Stop::Failed(Report::new(ErrorClass::Refused, "no_unpacker", text)));
        };
        let limits = Limits::default();
        let limits = Limits { total_bytes: limits.total_bytes.min(free), ..limits };
        let root = self.world.folder.path().join(work.game.as_str());
        // Nothing is written to where a list is asked for.
        let staging = staging.map_or_else(|| root.clone(), |staging| staging.path());
        Ok((unpacker, Job { root, payload: payload.archives.clone(), staging, limits, only: payload.only.clone() }))
    }
}

/// Ends a child with who waited for it.
struct Kill(Cancel);

impl Drop for Kill {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// More came than there is room for, of archives that did not say before how much it would be.
fn full_or_bad(error: &UnpackError, limit: u64) -> Report {
    let is_full =
        matches!(&error.why, Why::Limit { limit: said, .. } if *said == limit) && limit < Limits::default().total_bytes;
    if !is_full {
        return errors::unpack(error);
    }
    let text = format!("{} holds more than the disk of the games folder has room for", error.archive);
    Report::new(ErrorClass::Environment, "no_space", text).hint("free some space on that disk, then ask again")
}

/// Whether all of these can lie in one tree on every file system.
///
/// # Errors
/// Two that cannot.
fn one_tree(files: &BTreeMap<RelPath, Known>) -> Result<(), (String, String)> {
    let mut seen: BTreeMap<String, (&str, bool)> = BTreeMap::new();
    for path in files.keys().map(RelPath::as_str) {
        let folders = path.match_indices('/').map(|(at, _)| (&path[..at], true));
        for (written, is_folder) in folders.chain([(path, false)]) {
            match seen.insert(fold(written), (written, is_folder)) {
                Some(before) if before != (written, is_folder) || !is_folder => {
                    return Err((before.0.to_owned(), written.to_owned()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    #[test]
    fn files_of_several_origins_are_one_tree_on_every_system_or_are_refused() {
        let known = Known { size: 0, blake3: bonfire_proto::Digest([0; 32]) };
        let tree = |names: &[&str]| names.iter().map(|n| (RelPath::new(*n).unwrap(), known)).collect();
        one_tree(&tree(&["a/b", "a/c", "a/d/e", "b"])).unwrap();
        one_tree(&tree(&["a/b", "A/c"])).unwrap_err();
        one_tree(&tree(&["readme", "README"])).unwrap_err();
        one_tree(&tree(&["a", "a/b"])).unwrap_err();
    }
}
