//! What an explicit push may do: move the head, change nothing, or be refused with the heads that it does not know.
//!
//! Owns the rule and the shape of the refusal. A push names what it was made from; if that does not cover every head there
//! is, going on would hide somebody's version, so it is refused and the heads are shown. Only an overwrite that names
//! exactly the heads that were shown goes through, and then on top of all of them: nothing leaves history. Nothing here
//! forces a push by itself, and time decides nothing.

use std::collections::BTreeSet;

use bonfire_proto::{PeerId, SaveHash, SnapshotId};
use serde::{Deserialize, Serialize};

use super::lineage::{Lineage, Node, Relation};
use crate::report::{ErrorClass, Report};

/// What somebody wants to be the new version of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// What it was made from: the heads its author had seen. Empty for a first version.
    pub parents: BTreeSet<SnapshotId>,
    /// Hash of its content.
    pub content: SaveHash,
    /// The heads that were shown to the person who wants to put it over them; absent without that wish.
    pub overwrite: Option<BTreeSet<SnapshotId>>,
}

/// A head as it is shown to who is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Which one.
    pub id: SnapshotId,
    /// What is known of it; absent while the head is only named.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub known: Option<ShownDetails>,
}

/// What is shown of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownDetails {
    /// Where it was made.
    pub device: PeerId,
    /// When, in milliseconds since 1970-01-01 UTC by that device's clock.
    pub created_at: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
}

impl From<&Node> for ShownDetails {
    fn from(node: &Node) -> Self {
        Self { device: node.device, created_at: node.created_at, files: node.files, size: node.size }
    }
}

/// What is better than an overwrite for who is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Advice {
    /// The push brings nothing that its own parents do not have, and the head was made from them: pull.
    Pull,
    /// Both have something the other has not: a person decides.
    Compare,
}

/// What a push comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Make a snapshot with these parents; it becomes the head.
    Accept {
        /// All heads there are, and what the push was made from as far as it is no ancestor of them.
        parents: BTreeSet<SnapshotId>,
    },
    /// It is in history already, with the same parents and content: a push that was sent again. Change nothing.
    Repeated {
        /// Which snapshot it is.
        id: SnapshotId,
        /// Whether that is still a head.
        is_head: bool,
    },
    /// The only head has this content. Change nothing; the author has that head now.
    SameContent {
        /// That head.
        head: SnapshotId,
    },
    /// Refused: the push does not know these heads. The wire's `conflict`.
    Stale {
        /// The heads, newest first.
        heads: Vec<Shown>,
        /// What to do about it.
        advice: Advice,
    },
    /// Refused: the overwrite was decided before other heads than these. The wire's `stale_conflict`.
    StaleConflict {
        /// The heads, newest first.
        heads: Vec<Shown>,
    },
}

impl Verdict {
    /// The refusal as it is shown, unless the push is none.
    #[must_use]
    pub fn report(&self, slot: &str) -> Option<Report> {
        let count = |heads: &[Shown]| match heads.len() {
            1 => "a newer version".to_owned(),
            n => format!("{n} versions"),
        };
        let refused = |code, message| Report::new(ErrorClass::Refused, code, message);
        match self {
            Self::Stale { heads, advice } => {
                let hint = match advice {
                    Advice::Pull => "pull: there is nothing here that is not in history already",
                    Advice::Compare => {
                        "compare the versions, then resolve, or push again with --overwrite and their ids"
                    }
                };
                let message = format!("pushing to slot {slot}: there is {} that this one does not know", count(heads));
                Some(refused("conflict", message).hint(hint))
            }
            Self::StaleConflict { heads } => {
                let message =
                    format!("pushing to slot {slot}: since the versions were shown there is {}", count(heads));
                Some(refused("stale_conflict", message).hint("look at the versions again before one is put over them"))
            }
            _ => None,
        }
    }
}

/// What a push comes to, where `heads` are all heads of the slot (`Lineage::maximal` of those of every device).
#[must_use]
pub fn judge(push: &Push, heads: &BTreeSet<SnapshotId>, lineage: &Lineage) -> Verdict {
    if let Some(id) = repeated(push, heads, lineage) {
        return Verdict::Repeated { id, is_head: heads.contains(&id) };
    }
    let content = |id: &SnapshotId| lineage.get(id).map(|n| n.content);
    // Only against the head: content that was there once and came back is a version of its own.
    if let Some(head) = only(heads).filter(|head| content(head) == Some(push.content)) {
        return Verdict::SameContent { head };
    }
    let covers = |head: &SnapshotId| lineage.covers(&push.parents, *head);
    if heads.iter().all(covers) || push.overwrite.as_ref() == Some(heads) {
        return Verdict::Accept { parents: lineage.maximal(&heads.union(&push.parents).copied().collect()) };
    }
    if push.overwrite.is_some() {
        return Verdict::StaleConflict { heads: shown(heads, lineage) };
    }
    let advice = match (only(&push.parents), only(heads)) {
        (Some(parent), Some(head))
            if content(&parent) == Some(push.content) && lineage.relation(parent, head) == Relation::Ancestor =>
        {
            Advice::Pull
        }
        _ => Advice::Compare,
    };
    Verdict::Stale { heads: shown(heads, lineage), advice }
}

/// The heads as they are shown: newest first, those of which only the id is known last.
#[must_use]
pub fn shown(heads: &BTreeSet<SnapshotId>, lineage: &Lineage) -> Vec<Shown> {
    let mut sorted: Vec<(Option<&Node>, SnapshotId)> = heads.iter().map(|id| (lineage.get(id), *id)).collect();
    sorted.sort_by_key(|(node, id)| std::cmp::Reverse((node.map(|n| n.hlc), *id)));
    sorted.into_iter().map(|(node, id)| Shown { id, known: node.map(ShownDetails::from) }).collect()
}

/// The snapshot that this push made when it came before: same content, and the parents that it has or would have been
/// given.
fn repeated(push: &Push, heads: &BTreeSet<SnapshotId>, lineage: &Lineage) -> Option<SnapshotId> {
    let overwritten =
        push.overwrite.iter().map(|shown| lineage.maximal(&shown.union(&push.parents).copied().collect()));
    let asked: Vec<BTreeSet<SnapshotId>> = overwritten.chain([push.parents.clone()]).collect();
    let is_same = |n: &&Node| {
        n.content == push.content
            && asked.iter().any(|p| p.len() == n.parents.len() && n.parents.iter().all(|x| p.contains(x)))
    };
    let found: Vec<SnapshotId> = lineage.nodes().filter(is_same).map(|n| n.id).collect();
    found.iter().find(|id| heads.contains(id)).or(found.first()).copied()
}

fn only(ids: &BTreeSet<SnapshotId>) -> Option<SnapshotId> {
    let mut ids = ids.iter();
    ids.next().filter(|_| ids.next().is_none()).copied()
}

#[cfg(test)]
mod tests;
