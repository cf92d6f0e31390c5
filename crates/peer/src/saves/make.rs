//! Making snapshots: of what a look found, of what the rules join, of another line's content.
//!
//! What stands in each is `engine::saves::join`'s. Objects first, then the snapshot; making what is there already is the
//! same answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bonfire_disk::saves::{Captured, RootLabel};
use bonfire_engine::saves::join::{self, BuildError, Content, Line, Stamp};
use bonfire_engine::saves::lineage::Node;
use bonfire_engine::saves::slot::{Done, Make};
use bonfire_engine::saves::work::SetKey;
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::SnapshotId;
use bonfire_proto::save::{Snapshot, content_hash};

use super::{Inner, archive};
use crate::errors;

impl Inner {
    /// Makes a snapshot and stores it. To be called where blocking is allowed.
    pub(super) fn make(&self, line: &Line, make: &Make, stamp: Stamp, played_ms: u64) -> Done<Node> {
        let Make::Version { capture, parents } = make else {
            return self.made_of(line, make, stamp).map_or_else(Done::Failed, Done::Well);
        };
        let set = SetKey::of(line);
        let found = self.captures().of.get(&set).filter(|(number, _)| number == capture).map(|(_, c)| c.clone());
        // Another look came since, or the peer was started anew.
        let Some(captured) = found else { return Done::Changed };
        let made = self.version(line, parents, content_of(&captured, played_ms), stamp);
        if made.is_ok() {
            self.captures().of.remove(&set);
        }
        made.map_or_else(Done::Failed, Done::Well)
    }

    fn made_of(&self, line: &Line, make: &Make, stamp: Stamp) -> Result<Node, Report> {
        let (parents, content) = match make {
            Make::Version { parents, .. } | Make::Tombstone { parents } | Make::Join { parents } => (parents, None),
            Make::Resolve { parents, content } => (parents, Some(content)),
            Make::Rollback { parents, to } => (parents, Some(to)),
        };
        let heads = self.snapshots(line, parents)?;
        let heads: join::Parents<'_> = heads.iter().map(|(id, s)| (*id, s)).collect();
        let content = content.map(|id| self.snapshot(line.player, id)).transpose()?;
        let built = match (make, content) {
            (Make::Join { .. }, _) => join::join(&heads),
            (Make::Resolve { .. }, Some(content)) => join::resolve(&heads, &content, stamp),
            (Make::Rollback { .. }, Some(to)) => join::rollback(&heads, &to, stamp),
            _ => join::tombstone(&heads, stamp),
        };
        self.put(&built.map_err(|e| cannot_build(&e))?)
    }

    fn version(
        &self,
        line: &Line,
        parents: &BTreeSet<SnapshotId>,
        content: Content,
        stamp: Stamp,
    ) -> Result<Node, Report> {
        let parents = self.snapshots(line, parents)?;
        let parents: join::Parents<'_> = parents.iter().map(|(id, s)| (*id, s)).collect();
        self.put(&join::version(line, &parents, content, stamp).map_err(|e| cannot_build(&e))?)
    }

    /// Begins a line with another's content. To be called where blocking is allowed.
    pub(super) fn branch(&self, line: &Line, from: &SnapshotId, stamp: Stamp) -> Result<Node, Report> {
        let from = self.snapshot(line.player, from)?;
        self.put(&join::branch(&from, line.slot.clone(), stamp).map_err(|e| cannot_build(&e))?)
    }

    /// Makes a version of what is in an archive. To be called where blocking is allowed.
    pub(super) fn import(
        &self,
        line: &Line,
        file: &Path,
        label: Option<&str>,
        parents: &BTreeSet<SnapshotId>,
        stamp: Stamp,
    ) -> Result<Node, Report> {
        let label = label.map(RootLabel::new).transpose();
        let label = label.map_err(|e| Report::new(ErrorClass::Refused, "bad_label", e.to_string()))?;
        let archive = archive::open(&*self.live, file)?;
        let captured = self.store.import(&*archive, label.as_ref(), self.now_ms()).map_err(|e| errors::save(&e))?;
        // The lease within is held until the snapshot is there.
        self.version(line, parents, content_of(&captured, 0), stamp)
    }

    fn snapshots(&self, line: &Line, ids: &BTreeSet<SnapshotId>) -> Result<BTreeMap<SnapshotId, Snapshot>, Report> {
        ids.iter().map(|id| Ok((*id, self.snapshot(line.player, id)?))).collect()
    }

    /// Stores a snapshot whose content is here.
    fn put(&self, snapshot: &Snapshot) -> Result<Node, Report> {
        let bytes = snapshot.to_bytes().map_err(|e| errors::save(&e.into()))?;
        let id = self.store.put_snapshot(&bytes).map_err(|e| errors::save(&e))?;
        Ok(Node::of(id, snapshot))
    }
}

fn content_of(captured: &Captured, played_ms: u64) -> Content {
    Content {
        content_hash: content_hash(&captured.entries),
        files: captured.entries.len() as u64,
        size: captured.size,
        played_ms,
        entries: if captured.list.is_empty() { captured.entries.clone() } else { Vec::new() },
        list: captured.list.clone(),
    }
}

fn cannot_build(error: &BuildError) -> Report {
    Report::new(error.class(), "cannot_make", error.to_string())
}
