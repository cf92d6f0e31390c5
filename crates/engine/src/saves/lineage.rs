//! The ancestry of one slot: which snapshot was made from which, and what that says about two of them.
//!
//! Owns the graph and the questions about it, nothing of where content is kept: a snapshot whose content was pruned stays
//! a node here, so that later ones can still be told from strangers. Snapshots come in any order, children before their
//! parents too. What would have to be guessed across a missing one is `Unknown`; it is never made up.
//!
//! Cost: n nodes with e edges between them take O(n + e) memory. A question walks each node above the asked ones at most
//! once per asked head, without recursion, and stops as soon as the answer stands: 10,000 snapshots in one line are at
//! most that many steps, two that follow each other closely a few.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use bonfire_proto::hlc::Hlc;
use bonfire_proto::save::{Snapshot, SnapshotKind};
use bonfire_proto::{PeerId, SaveHash, SnapshotId};

/// What the rules need to know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Which one.
    pub id: SnapshotId,
    /// What it was made from.
    pub parents: Vec<SnapshotId>,
    /// Hash of its content.
    pub content: SaveHash,
    /// Why it was made.
    pub kind: SnapshotKind,
    /// When, for order in lists.
    pub hlc: Hlc,
    /// Where.
    pub device: PeerId,
    /// When, in milliseconds since 1970-01-01 UTC by that device's clock, for people.
    pub created_at: u64,
    /// Files in it.
    pub files: u64,
    /// Bytes of these files.
    pub size: u64,
    /// How long the game was seen to run on the way to it, in milliseconds; 0 when nobody saw it run.
    pub played_ms: u64,
}

impl Node {
    /// What the rules need to know of `snapshot`, whose bytes hash to `id`.
    #[must_use]
    pub fn of(id: SnapshotId, snapshot: &Snapshot) -> Self {
        Self {
            id,
            parents: snapshot.parents.clone(),
            content: snapshot.content_hash,
            kind: snapshot.kind,
            hlc: snapshot.hlc,
            device: snapshot.device,
            created_at: snapshot.created_at,
            files: snapshot.files,
            size: snapshot.size,
            played_ms: snapshot.played_ms,
        }
    }

    /// Whether it says that there is no save: a tombstone, or what joins or goes back to one.
    #[must_use]
    pub fn is_deletion(&self) -> bool {
        self.files == 0
    }
}

/// How the first of two snapshots stands to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// They are one.
    Equal,
    /// The first is an ancestor of the second: the second was made from it.
    Ancestor,
    /// The first is a descendant of the second: it was made from it.
    Descendant,
    /// Neither was made from the other.
    Diverged,
    /// A snapshot that is missing here could connect them.
    Unknown,
}

impl Relation {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 5] = [Self::Equal, Self::Ancestor, Self::Descendant, Self::Diverged, Self::Unknown];

    /// How the second stands to the first.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Ancestor => Self::Descendant,
            Self::Descendant => Self::Ancestor,
            same => same,
        }
    }
}

/// Ids, and whether there can be more of them behind what is missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub ids: BTreeSet<SnapshotId>,
    /// Whether that is all. When it is not, a missing snapshot could change the answer.
    pub is_complete: bool,
}

/// The graph of one slot.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    index: BTreeMap<SnapshotId, usize>,
    spots: Vec<Spot>,
}

/// A snapshot that was heard of: as a node, or so far only as somebody's parent.
#[derive(Debug, Clone)]
struct Spot {
    id: SnapshotId,
    node: Option<Node>,
    parents: Vec<usize>,
}

impl Lineage {
    /// Takes a snapshot in. `false` when it was there already: an id is a hash, so nothing can be new about it.
    pub fn insert(&mut self, node: Node) -> bool {
        let at = self.spot(node.id);
        if self.spots[at].node.is_some() {
            return false;
        }
        let parents: BTreeSet<SnapshotId> = node.parents.iter().copied().collect();
        let parents = parents.into_iter().map(|p| self.spot(p)).collect();
        self.spots[at].parents = parents;
        self.spots[at].node = Some(node);
        true
    }

    /// The snapshot, when it is here.
    #[must_use]
    pub fn get(&self, id: &SnapshotId) -> Option<&Node> {
        self.spots[*self.index.get(id)?].node.as_ref()
    }

    /// How many snapshots are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes().next().is_none()
    }

    /// All snapshots, in the order in which they were first heard of.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.spots.iter().filter_map(|s| s.node.as_ref())
    }

    /// Parents of snapshots that are here, which are not here themselves.
    #[must_use]
    pub fn missing(&self) -> BTreeSet<SnapshotId> {
        self.spots.iter().filter(|s| s.node.is_none()).map(|s| s.id).collect()
    }

    /// How `a` stands to `b`. Two walks up, a step each in turn, so that neighbours are found at once.
    #[must_use]
    pub fn relation(&self, a: SnapshotId, b: SnapshotId) -> Relation {
        if a == b {
            return Relation::Equal;
        }
        let (Some(&at_a), Some(&at_b)) = (self.index.get(&a), self.index.get(&b)) else { return Relation::Unknown };
        let (mut above_a, mut above_b) = (self.walk([at_a]), self.walk([at_b]));
        loop {
            let (from_a, from_b) = (above_a.next(), above_b.next());
            match (from_a, from_b) {
                (_, Some(found)) if found == at_a => return Relation::Ancestor,
                (Some(found), _) if found == at_b => return Relation::Descendant,
                (None, None) => break,
                _ => {}
            }
        }
        // One can only be connected to the other through a missing snapshot that the other does not reach as well: what is
        // missing above both is above both whatever it is.
        if self.missing_among(&above_a.seen) == self.missing_among(&above_b.seen) {
            Relation::Diverged
        } else {
            Relation::Unknown
        }
    }

    /// Those of `ids` that are no ancestor of another of them. What is not known here stays in.
    #[must_use]
    pub fn maximal(&self, ids: &BTreeSet<SnapshotId>) -> BTreeSet<SnapshotId> {
        let asked: Vec<usize> = ids.iter().filter_map(|id| self.index.get(id).copied()).collect();
        let parents = asked.iter().flat_map(|at| self.spots[*at].parents.iter().copied());
        let mut below = self.walk(parents);
        below.by_ref().for_each(drop);
        ids.iter().filter(|id| !self.index.get(id).is_some_and(|at| below.seen[*at])).copied().collect()
    }

    /// Which of these, all of the content that lies on the disk of `me`, that is taken for when nothing says so: one of
    /// those that may be the newest, made here if one of them was. No clock has a say.
    #[must_use]
    pub fn likeliest(&self, ids: &BTreeSet<SnapshotId>, me: PeerId) -> Option<SnapshotId> {
        let device = |id: &SnapshotId| self.get(id).map(|n| n.device);
        self.newest(ids).into_iter().min_by_key(|id| (device(id) != Some(me), device(id), *id))
    }

    /// Of `ids` those that may be the newest: none of the others was made from them, and none could turn out to be by what
    /// is missing here, unless the same could be said the other way round.
    fn newest(&self, ids: &BTreeSet<SnapshotId>) -> BTreeSet<SnapshotId> {
        let maximal = self.maximal(ids);
        let missing_above = |id: &SnapshotId| {
            let mut above = self.walk(self.index.get(id).copied());
            above.by_ref().for_each(drop);
            self.missing_among(&above.seen).into_iter().collect::<BTreeSet<usize>>()
        };
        let missing: BTreeMap<SnapshotId, BTreeSet<usize>> =
            maximal.iter().map(|id| (*id, missing_above(id))).collect();
        // What is missing above one and not above another may be made from the other.
        let is_older = |a: &SnapshotId, b: &SnapshotId| missing[a] != missing[b] && missing[a].is_subset(&missing[b]);
        maximal.iter().filter(|id| maximal.iter().all(|other| !is_older(id, other))).copied().collect()
    }

    /// The heads of the whole slot as far as it is known here: snapshots of which none was made.
    #[must_use]
    pub fn tips(&self) -> BTreeSet<SnapshotId> {
        let mut is_parent = vec![false; self.spots.len()];
        for parent in self.spots.iter().flat_map(|s| &s.parents) {
            is_parent[*parent] = true;
        }
        self.spots
            .iter()
            .zip(is_parent)
            .filter(|(s, is_parent)| !is_parent && s.node.is_some())
            .map(|(s, _)| s.id)
            .collect()
    }

    /// The lowest common ancestors of `heads`: what all of them are or were made from, without what is above another of
    /// these. None for unrelated ones. A head of which another was made is itself the answer.
    #[must_use]
    pub fn common(&self, heads: &BTreeSet<SnapshotId>) -> Found {
        let reach = self.reach(heads);
        let common = reach.common().map(|at| self.spots[at].id).collect();
        Found { ids: self.maximal(&common), is_complete: reach.is_complete(self) }
    }

    /// What lies between `heads` and their lowest common ancestors, both included: what is needed to see how they came
    /// apart. Everything above them when they have no common ancestor.
    #[must_use]
    pub fn between(&self, heads: &BTreeSet<SnapshotId>) -> Found {
        let reach = self.reach(heads);
        let common = reach.common().map(|at| self.spots[at].id).collect();
        let mut ids = self.maximal(&common);
        ids.extend(reach.partly().map(|at| self.spots[at].id));
        ids.retain(|id| self.get(id).is_some());
        Found { ids, is_complete: reach.is_complete(self) }
    }

    /// Whether `id` is one of `heads` or an ancestor of one, as far as that is known here.
    #[must_use]
    pub fn covers(&self, heads: &BTreeSet<SnapshotId>, id: SnapshotId) -> bool {
        let Some(at) = self.index.get(&id) else { return heads.contains(&id) };
        self.walk(heads.iter().filter_map(|h| self.index.get(h).copied())).any(|above| above == *at)
    }

    /// All snapshots for a list, newest first: by time, but never one below what was made from it, wherever the clocks
    /// were.
    #[must_use]
    pub fn newest_first(&self) -> Vec<&Node> {
        let mut children = vec![0usize; self.spots.len()];
        for parent in self.spots.iter().flat_map(|s| &s.parents) {
            children[*parent] += 1;
        }
        let key = |at: usize| self.spots[at].node.as_ref().map(|n| (n.hlc, n.id));
        let free = (0..self.spots.len()).filter(|at| children[*at] == 0);
        let mut ready: BinaryHeap<_> = free.map(|at| (key(at), at)).collect();
        let mut sorted = Vec::with_capacity(self.spots.len());
        while let Some((_, at)) = ready.pop() {
            sorted.extend(&self.spots[at].node);
            for parent in &self.spots[at].parents {
                children[*parent] -= 1;
                if children[*parent] == 0 {
                    ready.push((key(*parent), *parent));
                }
            }
        }
        sorted
    }

    /// Snapshots with this content, newest first.
    pub fn with_content(&self, content: SaveHash) -> impl Iterator<Item = &Node> {
        self.newest_first().into_iter().filter(move |n| n.content == content)
    }

    fn spot(&mut self, id: SnapshotId) -> usize {
        *self.index.entry(id).or_insert_with(|| {
            self.spots.push(Spot { id, node: None, parents: Vec::new() });
            self.spots.len() - 1
        })
    }

    fn walk(&self, from: impl IntoIterator<Item = usize>) -> Walk<'_> {
        let mut walk = Walk { lineage: self, seen: vec![false; self.spots.len()], due: VecDeque::new() };
        from.into_iter().for_each(|at| walk.visit(at));
        walk
    }

    fn reach(&self, heads: &BTreeSet<SnapshotId>) -> Reach {
        let known: Vec<usize> = heads.iter().filter_map(|id| self.index.get(id).copied()).collect();
        let mut counts = vec![0usize; self.spots.len()];
        for head in &known {
            self.walk([*head]).for_each(|at| counts[at] += 1);
        }
        Reach { counts, heads: heads.len(), is_every_head_known: known.len() == heads.len() }
    }

    fn missing_among(&self, seen: &[bool]) -> Vec<usize> {
        (0..seen.len()).filter(|at| seen[*at] && self.spots[*at].node.is_none()).collect()
    }
}

/// A walk from some snapshots upwards, nearest first, each once.
struct Walk<'a> {
    lineage: &'a Lineage,
    seen: Vec<bool>,
    due: VecDeque<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, at: usize) {
        if !self.seen[at] {
            self.seen[at] = true;
            self.due.push_back(at);
        }
    }
}

impl Iterator for Walk<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let at = self.due.pop_front()?;
        let lineage = self.lineage;
        lineage.spots[at].parents.iter().for_each(|parent| self.visit(*parent));
        Some(at)
    }
}

/// How many of some heads each spot is above, or is itself.
struct Reach {
    counts: Vec<usize>,
    heads: usize,
    is_every_head_known: bool,
}

impl Reach {
    fn common(&self) -> impl Iterator<Item = usize> {
        self.at(|count| count > 0 && count == self.heads)
    }

    fn partly(&self) -> impl Iterator<Item = usize> {
        self.at(|count| count > 0 && count < self.heads)
    }

    /// What is missing above all heads alike can hide nothing between them.
    fn is_complete(&self, lineage: &Lineage) -> bool {
        self.is_every_head_known && self.partly().all(|at| lineage.spots[at].node.is_some())
    }

    fn at(&self, holds: impl Fn(usize) -> bool) -> impl Iterator<Item = usize> {
        self.counts.iter().enumerate().filter(move |(_, count)| holds(**count)).map(|(at, _)| at)
    }
}

#[cfg(test)]
mod tests;
