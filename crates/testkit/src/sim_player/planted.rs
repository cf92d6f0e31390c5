//! Wrong rules that a run can be made to follow, so that the checks are seen to catch each. Owns what every one of them
//! does; a run without one passes through unchanged.

use bonfire_engine::saves::join::Line;
use bonfire_engine::saves::lineage::{Lineage, Node, Relation};

use super::world::World;

/// A wrong rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planted {
    /// A version that comes is taken for a successor of whatever was made earlier by the clock.
    NewestWins,
    /// An apply writes without looking whether the disk still holds what the engine saw.
    NoLookBeforeApply,
    /// What was stored shortly before a crash is not looked for at the next start.
    ForgottenAtCrash,
}

impl World {
    pub(super) fn is_planted(&self, which: Planted) -> bool {
        self.planted == Some(which)
    }

    /// What a device is told of a version that it fetched.
    pub(super) fn told_of(&self, m: usize, line: &Line, mut node: Node) -> Node {
        if self.is_planted(Planted::NewestWins) {
            let mut lineage = Lineage::default();
            for (_, known) in self.machines[m].vault.nodes().filter(|(of, _)| of == line) {
                lineage.insert(known);
            }
            lineage.insert(node.clone());
            let is_older = |n: &&Node| n.hlc < node.hlc && lineage.relation(node.id, n.id) == Relation::Diverged;
            let older: Vec<_> = lineage.tips().iter().filter_map(|id| lineage.get(id)).filter(is_older).collect();
            let older: Vec<_> = older.into_iter().map(|n| n.id).collect();
            node.parents.extend(older);
        }
        node
    }
}
