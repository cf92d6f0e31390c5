//! Taking snapshots out of the store: those that are to go, and those that are found damaged.
//!
//! The text of each is kept before it goes, so that ancestry stays whole. Objects go later, when no snapshot and no lease
//! needs them.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use bonfire_disk::saves::{SaveError, VerifyReport};
use bonfire_engine::Report;
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::work::{Checked, SaveInput};
use bonfire_proto::{ObjectRef, PlayerId, SnapshotId};

use super::{Inner, Saves};
use crate::errors;

impl Saves {
    /// Removes the objects that nothing needs.
    pub(super) async fn sweep(&self) {
        // A sweep reads every snapshot there is: one that has not begun yet is for all that is let go of until then.
        if self.0.sweep_waits.swap(true, Ordering::SeqCst) {
            return;
        }
        let sweep = |own: &Inner| {
            own.sweep_waits.store(false, Ordering::SeqCst);
            own.store.mark().and_then(|marked| own.store.sweep(marked))
        };
        let swept = self.in_background(sweep).await;
        match swept {
            Ok(Ok(report)) => tracing::info!("{} objects of saves are gone, {} bytes", report.removed, report.bytes),
            Ok(Err(error)) => tracing::warn!("objects of saves that nothing needs stay: {}", errors::chain(&error)),
            Err(error) => tracing::debug!("objects of saves that nothing needs stay: {error}"),
        }
    }
}

impl Inner {
    /// Removes snapshots. To be called where blocking is allowed.
    pub(super) fn prune(&self, line: Line, ids: &[SnapshotId]) -> SaveInput {
        let mut gone = Vec::new();
        for id in ids {
            let removed = self.keep_text(&line, id).and_then(|()| self.remove(id));
            if let Err(error) = removed {
                return SaveInput::Pruned(line, gone, Some(error));
            }
            gone.push(*id);
        }
        SaveInput::Pruned(line, gone, None)
    }

    /// Keeps the text of a snapshot that is stored; of one that is not, there is nothing to keep.
    fn keep_text(&self, line: &Line, id: &SnapshotId) -> Result<(), Report> {
        let bytes = match self.store.snapshot_bytes(id) {
            Ok(bytes) => bytes,
            Err(SaveError::NoSnapshot(_)) => return Ok(()),
            Err(error) => return Err(errors::save(&error)),
        };
        self.note_text(line.player, id, &bytes)
    }

    pub(super) fn note_text(&self, player: PlayerId, id: &SnapshotId, bytes: &[u8]) -> Result<(), Report> {
        let text = String::from_utf8_lossy(bytes);
        self.world.database.with(|s| s.keep_snapshot_text(player, *id, &text)).map_err(|e| errors::store(&e))
    }

    fn remove(&self, id: &SnapshotId) -> Result<(), Report> {
        self.store.remove_snapshots(&[*id]).map(|_| ()).map_err(|e| errors::save(&e))
    }

    /// Reads snapshots and takes those out of the store that are damaged. To be called where blocking is allowed.
    pub(super) fn verify(&self, line: Line, ids: &[SnapshotId]) -> SaveInput {
        let mut checked = Checked::default();
        let mut lost = BTreeSet::new();
        for id in ids {
            match self.store.verify(id, &|| true) {
                Ok(report) if report.bad.is_empty() => checked.bytes += report.bytes,
                Ok(report) => {
                    checked.bytes += report.bytes;
                    checked.damaged.push((*id, said(&report)));
                    lost.extend(report.bad.iter().filter_map(|b| b.object));
                }
                // Nothing to read, and so nothing that is damaged.
                Err(SaveError::NoSnapshot(_)) => continue,
                Err(error @ (SaveError::Damaged { .. } | SaveError::Snapshot(_))) => {
                    checked.damaged.push((*id, errors::chain(&error)));
                    if let Ok(snapshot) = self.store.snapshot(id) {
                        lost.extend(snapshot.list);
                    }
                }
                Err(error) => {
                    // What cannot be read now may be whole; it stays.
                    let why = errors::chain(&error);
                    tracing::warn!("version {} of {} cannot be read: {why}", id.0.short(), line.game_id);
                    checked.unread.push(format!("{id}: {why}"));
                    continue;
                }
            }
            checked.versions += 1;
        }
        for (id, why) in &checked.damaged {
            tracing::warn!("version {} of {} is damaged: {why}", id.0.short(), line.game_id);
        }
        self.take_out(&line, &checked.damaged, &lost);
        SaveInput::Verified(line, checked)
    }

    /// Takes damaged snapshots out, and what is damaged of their objects, so that both can be put again.
    fn take_out(&self, line: &Line, damaged: &[(SnapshotId, String)], lost: &BTreeSet<ObjectRef>) {
        for (id, _) in damaged {
            // A damaged text is none to keep; what is known of the snapshot is in the database all the same.
            if let Err(error) = self.keep_text(line, id) {
                tracing::warn!("the text of damaged version {} is not kept: {error}", id.0.short());
            }
            if let Err(error) = self.remove(id) {
                tracing::warn!("damaged version {} stays: {error}", id.0.short());
            }
        }
        for object in lost {
            if let Err(error) = self.store.forget_damaged(object) {
                tracing::warn!("damaged object {} stays: {}", object.hash.short(), errors::chain(&error));
            }
        }
    }
}

fn said(report: &VerifyReport) -> String {
    let first = report.bad.first().map(|b| format!(", first {}: {}", b.path, b.why)).unwrap_or_default();
    format!("{} of {} files cannot be had{first}", report.bad.len(), report.files)
}
