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
