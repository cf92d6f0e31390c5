//! Looks at live files, and changes of them: what is there, and bringing it to a snapshot.
//!
//! Whatever cannot be read is said to be unreadable, never to be empty.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use bonfire_disk::saves::{Apply, Capture, LeftOut, LeftOutWhy, SaveError};
use bonfire_engine::Report;
use bonfire_engine::saves::decide::Measure;
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::slot::{Done, Look};
use bonfire_engine::saves::work::{Placement, SaveInput, SetKey};
use bonfire_proto::SnapshotId;
use bonfire_proto::save::content_hash;

use super::{Inner, set_of};
use crate::errors;

/// Most things that are named as no part of a save; more would hide each other.
const PROBLEMS_MAX: usize = 20;

impl Inner {
    /// Looks at the live files of a line and keeps their content. To be called where blocking is allowed.
    pub(super) fn look(&self, line: Line, place: &Placement, pids: &[u32]) -> SaveInput {
        let (is_running, unknown) = self.is_running(place, pids);
        let set = SetKey::of(&line);
        // What an earlier look found is of no use any more; nothing else keeps its content.
        self.captures().of.remove(&set);
        let (look, mut problems) = self.read(&line, &set, place).unwrap_or_else(|error| {
            tracing::info!("a save of {} cannot be read: {error}", line.game_id);
            (Look::Unreadable, vec![error.message])
        });
        problems.extend(unknown.map(|error| error.message));
        SaveInput::Looked { line, look, is_running, problems }
    }

    /// Whether the game runs, or what keeps that from being told. Then it is as if it did: nothing is changed under it.
    pub(super) fn is_running(&self, place: &Placement, pids: &[u32]) -> (bool, Option<Report>) {
        match self.live.is_running(place, pids) {
            Ok(is_running) => (is_running, None),
            Err(error) => (true, Some(error)),
        }
    }

    fn read(&self, line: &Line, set: &SetKey, place: &Placement) -> Result<(Look, Vec<String>), Report> {
        self.finish_applies(line)?;
        let roots = self.live.roots(place)?;
        let captured = match self.store.capture(&roots, &self.listings.get(set), self.now_ms()) {
            Ok(Capture::Whole(captured)) => *captured,
            Ok(Capture::Changing { path }) => {
                tracing::debug!("{path} of {} changes while it is read", line.game_id);
                return Ok((Look::Settling, Vec::new()));
            }
            Err(error) => return Err(errors::save(&error)),
        };
        self.listings.put(set, captured.listing.clone());
        let problems = problems(&captured.left_out);
        if captured.entries.is_empty() {
            return Ok((Look::Nothing, problems));
        }
        let measure = Measure { files: captured.entries.len() as u64, size: captured.size };
        let content = content_hash(&captured.entries);
        let mut captures = self.captures();
        captures.last += 1;
        let capture = captures.last;
        captures.of.insert(set.clone(), (capture, Arc::new(captured)));
        Ok((Look::Files { capture, content, measure }, problems))
    }

    /// Finishes an apply to this set that was cut off, before anything is read or changed there.
    fn finish_applies(&self, line: &Line) -> Result<(), Report> {
        let set = set_of(line);
        let is_unfinished = || self.store.is_unfinished(&set).map_err(|e| errors::save(&e));
        if !is_unfinished()? {
            return Ok(());
        }
        let alone = self.applying.write().unwrap_or_else(PoisonError::into_inner);
        let open = |folder: &std::path::Path| self.live.open(folder);
        let recovered = self.store.recover_applies(&open, self.now_ms()).map_err(|e| errors::save(&e))?;
        drop(alone);
        let waits = recovered.into_iter().find_map(|r| match r.outcome {
            bonfire_disk::saves::Outcome::Waiting(error) if r.set == set => Some(error),
            _ => None,
        });
        waits.map_or(Ok(()), |error| Err(errors::save(&error)))
    }

    /// Brings the live files from one snapshot to another, unless the game runs. Tells whether it does. To be called where
    /// blocking is allowed.
    pub(super) fn apply(
        &self,
        line: &Line,
        place: &Placement,
        from: Option<SnapshotId>,
        to: SnapshotId,
        pids: &[u32],
    ) -> (Done<()>, bool) {
        match self.is_running(place, pids) {
            (_, Some(error)) => (Done::Failed(error), false),
            (true, None) => (Done::Changed, true),
            (false, None) => (self.try_apply(line, place, from, to).unwrap_or_else(Done::Failed), false),
        }
    }

    fn try_apply(
        &self,
        line: &Line,
        place: &Placement,
        from: Option<SnapshotId>,
        to: SnapshotId,
    ) -> Result<Done<()>, Report> {
        self.finish_applies(line)?;
        let entries = self.store.snapshot(&to).and_then(|s| self.store.entries(&s)).map_err(|e| errors::save(&e))?;
        let needed: BTreeSet<&str> = entries.iter().map(|e| e.path.first()).collect();
        let roots = if needed.is_empty() { self.live.roots(place)? } else { self.live.create(place, &needed)? };
        let (set, key) = (set_of(line), SetKey::of(line));
        let listing = self.listings.get(&key);
        let what = Apply {
            set: &set,
            slot: &line.slot,
            base: from,
            target: to,
            roots: &roots,
            listing: &listing,
            now_ms: self.now_ms(),
        };
        let shared = self.applying.read().unwrap_or_else(PoisonError::into_inner);
        let applied = self.store.apply(&what);
        drop(shared);
        match applied {
            Ok(applied) => {
                tracing::info!(
                    "the save of {} is {} now: {} files written, {} removed",
                    line.game_id,
                    to.0.short(),
                    applied.written,
                    applied.removed
                );
                self.listings.put(&key, applied.listing);
                Ok(Done::Well(()))
            }
            Err(error @ (SaveError::Dirty { .. } | SaveError::Changing { .. })) => {
                tracing::info!("the save of {} is left as it is: {}", line.game_id, errors::chain(&error));
                Ok(Done::Changed)
            }
            Err(error) => Err(errors::save(&error)),
        }
    }

    /// Writes and removes conflict copies. To be called where blocking is allowed.
    pub(super) fn copies(
        &self,
        line: &Line,
        place: &Placement,
        write: &[(SnapshotId, String)],
        remove: &BTreeSet<SnapshotId>,
    ) -> Result<(), Report> {
        let (set, slot) = (set_of(line), &line.slot);
        let open = |folder: &std::path::Path| self.live.open(folder);
        for id in remove {
            let removed = self.store.remove_conflict_copies(&set, slot, Some(id), &open);
            for left in removed.map_err(|e| errors::save(&e))?.left {
                tracing::info!("{} stays: it is not what was written there", left.display());
            }
        }
        if write.is_empty() {
            return Ok(());
        }
        let places = self.live.copy_places(place)?;
        for (id, device) in write {
            self.store.write_conflict_copy(&set, slot, id, device, &places).map_err(|e| errors::save(&e))?;
        }
        Ok(())
    }
}

/// What was seen and is no part of the save, for people. Copies of the other side are meant to lie there.
fn problems(left_out: &[LeftOut]) -> Vec<String> {
    let mut out: Vec<String> = left_out
        .iter()
        .filter_map(|l| {
            let why = match l.why {
                LeftOutWhy::Link => "is a link",
                LeftOutWhy::Special => "is no file",
                LeftOutWhy::NotText => "has a name that is not text",
                LeftOutWhy::IllegalPath => "has a name that not every system allows",
                LeftOutWhy::Collides => "has a name that some systems cannot tell from another",
                LeftOutWhy::ConflictCopy => return None,
            };
            Some(format!("{} {why}, so it is not saved", l.path))
        })
        .collect();
    if out.len() > PROBLEMS_MAX {
        let more = out.len() - PROBLEMS_MAX;
        out.truncate(PROBLEMS_MAX);
        out.push(format!("and {more} more"));
    }
    out
}
