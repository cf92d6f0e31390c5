use proptest::prelude::*;

use super::super::tests::{deletion, id, ids, line, lineage, node};
use super::*;

#[derive(Debug, Clone, Default)]
struct Slot {
    lineage: Lineage,
    stored: BTreeSet<SnapshotId>,
    heads: BTreeSet<SnapshotId>,
    bases: BTreeSet<SnapshotId>,
    sides: BTreeSet<SnapshotId>,
    pins: BTreeSet<SnapshotId>,
    has_unheard: bool,
}

impl Slot {
    fn of(nodes: impl IntoIterator<Item = Node>) -> Self {
        let lineage = lineage(nodes);
        Self { stored: lineage.nodes().map(|n| n.id).collect(), heads: lineage.tips(), lineage, ..Self::default() }
    }

    fn retain(&self, keep: usize) -> Retained {
        let Self { lineage, stored, heads, bases, sides, pins, .. } = self;
        retain(&Holdings { lineage, stored, heads, is_every_device_known: !self.has_unheard, bases, sides, pins, keep })
    }

    fn kept(&self, keep: usize) -> BTreeSet<SnapshotId> {
        self.retain(keep).keep.into_keys().collect()
    }
}

#[test]
fn keeps_the_newest_and_prunes_the_oldest_first() {
    let slot = Slot::of(line(15));
    let retained = slot.retain(KEEP_DEFAULT);
    assert_eq!(slot.kept(KEEP_DEFAULT), ids(6..=15));
    assert_eq!(retained.prune, (1..=5).map(id).collect::<Vec<_>>());
    assert_eq!(retained.keep[&id(15)], Reason::Head);
    assert_eq!(retained.keep[&id(14)], Reason::Recent);
}

#[test]
fn pins_are_kept_and_not_counted() {
    let slot = Slot { pins: ids([1, 14]), ..Slot::of(line(15)) };
    assert_eq!(slot.kept(3), ids([1, 11 + 1, 13, 14, 15]));
}

#[test]
fn keeps_the_head_even_when_asked_to_keep_nothing() {
    assert_eq!(Slot::of(line(5)).kept(0), ids([5]));
}

#[test]
fn keeps_where_heads_came_apart_and_all_that_came_of_it() {
    let split = (6..=9).map(|n| node(n, &[if n == 6 { 3 } else { n - 1 }]));
    let slot = Slot::of(line(5).chain(split));
    assert_eq!(slot.kept(0), ids(3..=9));
    assert_eq!(slot.retain(0).keep[&id(3)], Reason::Between);
    assert_eq!(slot.retain(0).prune, [id(1), id(2)]);
}

#[test]
fn a_device_that_is_behind_holds_what_it_has_missed() {
    let slot = Slot::of(line(30));
    let behind = Slot { heads: ids([10, 30]), ..slot.clone() };
    assert_eq!(behind.kept(5), ids(10..=30));
    assert_eq!(slot.kept(5), ids(26..=30), "it caught up, or was removed");
    let applied = Slot { bases: ids([10]), ..slot };
    assert_eq!(applied.kept(5), ids(10..=30));
}

#[test]
fn a_side_of_a_conflict_is_kept_until_it_is_resolved() {
    let slot = Slot::of(line(4).chain([node(5, &[2]), node(6, &[4, 5])]));
    assert_eq!(slot.kept(1), ids([6]));
    assert_eq!(Slot { sides: ids([5]), ..slot }.retain(1).keep[&id(5)], Reason::Side);
}

#[test]
fn keeps_the_newest_content_before_a_deletion() {
    let slot = Slot::of(line(4).chain([deletion(5, &[4])]));
    assert_eq!(slot.kept(1), ids([4, 5]));
    assert_eq!(slot.retain(1).keep[&id(4)], Reason::BeforeDeletion);
    let twice = Slot::of(line(4).chain([deletion(5, &[4]), deletion(6, &[5])]));
    assert_eq!(twice.kept(1), ids([4, 6]));
    let edited_since = Slot::of(line(4).chain([deletion(5, &[4]), node(6, &[5])]));
    assert_eq!(edited_since.kept(1), ids([6]));
}

#[test]
fn prunes_nothing_while_a_head_is_not_known_here() {
    let slot = Slot { heads: ids([9]), ..Slot::of(line(5)) };
    assert_eq!(slot.retain(1).prune, []);
    let apart = Slot { heads: ids([3, 9]), ..Slot::of([node(3, &[2]), node(9, &[8])]) };
    assert_eq!(apart.retain(0).prune, []);
}

#[test]
fn prunes_nothing_before_every_device_was_heard() {
    let slot = Slot { has_unheard: true, ..Slot::of(line(5)) };
    assert_eq!(slot.retain(1).prune, []);
}

#[test]
fn keeps_on_pruning_when_what_was_pruned_before_is_gone_from_the_lineage() {
    let slot = Slot::of(line(20).filter(|n| n.hlc.ms > 5));
    assert_eq!(slot.kept(3), ids(18..=20));
}

#[test]
fn leaves_alone_what_is_stored_and_not_understood() {
    let mut slot = Slot::of(line(5));
    slot.stored.insert(id(99));
    assert_eq!(slot.kept(1), ids([5, 99]));
    assert_eq!(slot.retain(1).keep[&id(99)], Reason::Uncertain);
}

fn slots() -> impl Strategy<Value = (Slot, usize)> {
    let parents = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..3), 1..25);
    let picks = || prop::collection::vec(any::<prop::sample::Index>(), 0..4);
    (parents, prop::collection::vec(0..9u8, 25), picks(), picks(), picks(), 0usize..12).prop_map(
        |(parents, kinds, heads, bases, pins, keep)| {
            let nodes = parents.iter().zip(kinds).enumerate().map(|(n, (picks, kind))| {
                let above: BTreeSet<u64> = picks.iter().filter(|_| n > 0).map(|p| p.index(n.max(1)) as u64).collect();
                let above: Vec<u64> = above.into_iter().collect();
                if kind == 0 { deletion(n as u64, &above) } else { node(n as u64, &above) }
            });
            let mut slot = Slot::of(nodes);
            let pick = |of: Vec<prop::sample::Index>| {
                of.iter().map(|p| id(p.index(parents.len()) as u64)).collect::<BTreeSet<SnapshotId>>()
            };
            slot.heads.extend(pick(heads));
            (slot.bases, slot.pins) = (pick(bases), pick(pins));
            (slot, keep)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn never_prunes_what_is_needed_and_never_keeps_more_than_that_and_the_limit((slot, keep) in slots()) {
        let retained = slot.retain(keep);
        let kept: BTreeSet<SnapshotId> = retained.keep.keys().copied().collect();
        let pruned: BTreeSet<SnapshotId> = retained.prune.iter().copied().collect();
        prop_assert!(kept.is_disjoint(&pruned));
        prop_assert_eq!(kept.union(&pruned).copied().collect::<BTreeSet<_>>(), slot.stored.clone());

        let ends: BTreeSet<SnapshotId> = slot.heads.union(&slot.bases).copied().collect();
        prop_assert!(ends.union(&slot.pins).all(|id| kept.contains(id)));
        // From the definition: what some end was made from and some other end was not, and what all have in common last.
        let above = |e: &SnapshotId, x: &SnapshotId| {
            matches!(slot.lineage.relation(*x, *e), super::super::Relation::Equal | super::super::Relation::Ancestor)
        };
        let is_common = |x: &SnapshotId| ends.iter().all(|e| above(e, x));
        let needed = |x: &SnapshotId| {
            let is_above = ends.iter().any(|e| above(e, x));
            let is_lowest = || !slot.stored.iter().any(|y| y != x && is_common(y) && above(y, x));
            is_above && (!is_common(x) || is_lowest())
        };
        prop_assert!(slot.stored.iter().filter(|x| needed(x)).all(|x| kept.contains(x)));
        for gone in kept.iter().filter_map(|k| slot.lineage.get(k)).filter(|n| n.is_deletion()) {
            let content_above = |x: &&SnapshotId| {
                **x != gone.id && above(&gone.id, x) && !slot.lineage.get(x).unwrap().is_deletion()
            };
            let any = slot.stored.iter().any(|x| content_above(&x));
            prop_assert!(!any || kept.iter().any(|x| content_above(&x)), "nothing is left of what was deleted");
        }
        let recent = retained.keep.values().filter(|r| **r == Reason::Recent).count();
        prop_assert!(recent <= keep);
        let unpinned = slot.stored.difference(&slot.pins).count();
        let kept_unpinned = kept.difference(&slot.pins).count();
        prop_assert!(kept_unpinned >= keep.min(unpinned));
        let reason = |id: &SnapshotId| retained.keep[id];
        let is_founded = |x: &SnapshotId| match reason(x) {
            Reason::Recent | Reason::BeforeDeletion => true,
            Reason::Uncertain => false,
            _ => needed(x) || slot.pins.contains(x),
        };
        prop_assert!(kept.iter().all(is_founded));
    }

    /// What is pruned leaves the disk and stays in the lineage: the next prune finds nothing.
    #[test]
    fn pruning_again_prunes_nothing_and_changes_no_relation((mut slot, keep) in slots()) {
        let retained = slot.retain(keep);
        slot.stored = retained.keep.keys().copied().collect();
        prop_assert_eq!(slot.retain(keep).prune, vec![]);
    }
}
