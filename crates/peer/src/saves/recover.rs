//! The store of saves at start: what was cut off is finished, and what the database knows is made to fit what is stored.
//!
//! Runs before anything else touches live files. The store of snapshots decides what is whole; a snapshot file that the
//! database knows is not read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bonfire_disk::saves::{ConflictCopy, Outcome, Recovered, SaveStore};
use bonfire_engine::record::{Holding, KnownNode, KnownSlot, Record, Stored};
use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::SlotRecord;
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::{ErrorClass, PeerEvent, Report};
use bonfire_proto::SnapshotId;

use super::Saves;
use crate::errors;

impl Saves {
    /// Finishes what was cut off and makes `stored` fit the disk, durably. What a person should hear is pushed to
    /// `problems`. To be called where blocking is allowed.
    pub(crate) fn recover(&self, stored: &mut Stored, problems: &mut Vec<PeerEvent>) -> Result<(), Report> {
        let own = &*self.0;
        let mut told = |error: Report| problems.push(PeerEvent::ProblemFound { game: None, error });
        let open = |folder: &Path| own.live.open(folder);
        let mut records = Vec::new();
        match own.store.recover_applies(&open, own.now_ms()) {
            Ok(recovered) => {
                for cut_off in recovered {
                    records.extend(self.settle(cut_off, stored, &mut told));
                }
            }
            // The journals stay, so nothing is read or changed of those saves.
            Err(error) => told(unfinished(&errors::chain(&error))),
        }
        let copies = own.store.recover_conflict_copies(&open).and_then(|()| own.store.conflict_copies());
        match copies {
            Ok(copies) => records.extend(know_copies(&copies, stored)),
            // What the database says of copies stays.
            Err(error) => told(unfinished(&errors::chain(&error))),
        }
        records.extend(reconcile(&own.store, stored)?);
        if records.is_empty() {
            return Ok(());
        }
        own.world.database.with(|s| s.record(&records)).map_err(|e| errors::store(&e))
    }

    /// What became of one apply, as a change of what is stored.
    fn settle(&self, cut_off: Recovered, stored: &mut Stored, told: &mut impl FnMut(Report)) -> Option<Record> {
        let Recovered { set, slot, target, outcome, .. } = cut_off;
        let key = SetKey { player: set.player, game: set.game_id };
        let line = key.line(&slot);
        match outcome {
            Outcome::Forward { listing, wrote } => {
                tracing::info!("a save of {} was brought to {} at last", key.game, target.0.short());
                if !wrote.is_empty() {
                    tracing::info!("{} files of {} were written meanwhile", wrote.len(), key.game);
                }
                self.0.listings.put(&key, listing);
                let known = stored.slots.iter().position(|s| s.line == line).unwrap_or_else(|| {
                    stored.slots.push(KnownSlot { line, record: SlotRecord::default(), last_synced_at: None });
                    stored.slots.len() - 1
                });
                let slot = &mut stored.slots[known];
                slot.record.base = Some(target);
                Some(Record::Slot(slot.clone()))
            }
            Outcome::Waiting(error) => {
                told(unfinished(&errors::chain(&error)));
                None
            }
            done @ (Outcome::NotBegun | Outcome::Back { .. }) => {
                tracing::info!("a change of a save of {} was undone: {done:?}", key.game);
                None
            }
        }
    }
}

/// Makes what the database says of conflict copies fit what lies there, and says what changed: a crash may have come
/// between the two, and a copy that nobody knows of would stay for ever.
fn know_copies(copies: &[ConflictCopy], stored: &mut Stored) -> Vec<Record> {
    let mut lying: BTreeMap<Line, BTreeSet<SnapshotId>> = BTreeMap::new();
    for copy in copies {
        let key = SetKey { player: copy.set.player, game: copy.set.game_id.clone() };
        lying.entry(key.line(&copy.slot)).or_default().insert(copy.snapshot);
    }
    let mut records = Vec::new();
    for slot in &mut stored.slots {
        let here = lying.remove(&slot.line).unwrap_or_default();
        if slot.record.copies != here {
            slot.record.copies = here;
            records.push(Record::Slot(slot.clone()));
        }
    }
    for (line, copies) in lying {
        let slot = KnownSlot { line, record: SlotRecord { copies, ..SlotRecord::default() }, last_synced_at: None };
        stored.slots.push(slot.clone());
        records.push(Record::Slot(slot));
    }
    records
}

/// Makes what the database says of snapshots fit the store, and says what changed.
fn reconcile(store: &SaveStore, stored: &mut Stored) -> Result<Vec<Record>, Report> {
    let mut on_disk: BTreeSet<SnapshotId> = store.snapshot_ids().map_err(|e| errors::save(&e))?.into_iter().collect();
    let mut records = Vec::new();
    for (line, nodes) in &mut stored.nodes {
        let mut changed = Vec::new();
        for known in nodes {
            let is_whole = on_disk.remove(&known.node.id);
            let holding = match known.holding {
                _ if is_whole => Holding::Whole,
                Holding::Whole => Holding::Named,
                other => other,
            };
            if holding != known.holding {
                known.holding = holding;
                changed.push(known.clone());
            }
        }
        if !changed.is_empty() {
            records.push(Record::Nodes(line.clone(), changed));
        }
    }
    for id in on_disk {
        let snapshot = match store.snapshot(&id) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::warn!("a stored version cannot be read: {}", errors::chain(&error));
                continue;
            }
        };
        let known = KnownNode { node: Node::of(id, &snapshot), holding: Holding::Whole };
        let line = Line::of(&snapshot);
        records.push(Record::Nodes(line.clone(), vec![known.clone()]));
        match stored.nodes.iter_mut().find(|(of, _)| *of == line) {
            Some((_, nodes)) => nodes.push(known),
            None => stored.nodes.push((line, vec![known])),
        }
    }
    Ok(records)
}

fn unfinished(why: &str) -> Report {
    Report::new(ErrorClass::Environment, "save_unfinished", format!("a change of a save waits to be finished: {why}"))
        .hint("nothing was lost; see that the folder of the save can be reached")
}
