use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::tests::{content, id, ids, line, lineage, node};
use super::*;

fn relation(l: &Lineage, a: u64, b: u64) -> Relation {
    l.relation(id(a), id(b))
}

#[test]
fn tells_what_was_made_from_what() {
    let l = lineage([node(1, &[]), node(2, &[1]), node(3, &[2]), node(4, &[1])]);
    assert_eq!(relation(&l, 3, 3), Relation::Equal);
    assert_eq!(relation(&l, 1, 3), Relation::Ancestor);
    assert_eq!(relation(&l, 3, 1), Relation::Descendant);
    assert_eq!(relation(&l, 3, 4), Relation::Diverged);
}

#[test]
fn a_merge_was_made_from_all_of_its_parents_and_what_is_above_them() {
    let l = lineage([node(1, &[]), node(2, &[1]), node(3, &[1]), node(4, &[2, 3])]);
    for n in 1..4 {
        assert_eq!(relation(&l, n, 4), Relation::Ancestor, "{n}");
    }
}

#[test]
fn snapshots_without_a_common_beginning_have_diverged() {
    let l = lineage([node(1, &[]), node(2, &[])]);
    assert_eq!(relation(&l, 1, 2), Relation::Diverged);
    assert!(l.common(&ids([1, 2])).ids.is_empty());
    assert_eq!(l.between(&ids([1, 2])).ids, ids([1, 2]));
}

#[test]
fn an_id_that_was_never_heard_of_is_unknown_and_equal_to_itself() {
    let l = lineage([node(1, &[])]);
    assert_eq!(relation(&l, 1, 9), Relation::Unknown);
    assert_eq!(relation(&l, 9, 1), Relation::Unknown);
    assert_eq!(relation(&l, 9, 9), Relation::Equal);
}

#[test]
fn a_missing_snapshot_that_could_connect_two_leaves_their_relation_unknown() {
    let mut l = lineage([node(1, &[]), node(3, &[2])]);
    assert_eq!(relation(&l, 1, 3), Relation::Unknown);
    assert_eq!(l.missing(), ids([2]));
    assert!(l.insert(node(2, &[1])));
    assert_eq!(relation(&l, 1, 3), Relation::Ancestor);
    assert!(l.missing().is_empty());
}

#[test]
fn a_missing_snapshot_above_both_connects_neither_to_the_other() {
    let l = lineage([node(2, &[1]), node(3, &[2]), node(4, &[2])]);
    assert_eq!(relation(&l, 3, 4), Relation::Diverged);
    assert_eq!(relation(&l, 2, 4), Relation::Ancestor);
    assert_eq!(relation(&l, 1, 4), Relation::Ancestor, "that it is a parent says so, before it is here");
}

#[test]
fn what_is_missing_above_only_one_of_two_leaves_them_unknown() {
    let l = lineage([node(1, &[]), node(2, &[1]), node(4, &[1, 3])]);
    assert_eq!(relation(&l, 2, 4), Relation::Unknown, "3 may have been made from 2");
    assert_eq!(relation(&l, 3, 2), Relation::Unknown);
}

#[test]
fn taking_a_snapshot_in_twice_changes_nothing() {
    let mut l = lineage([node(1, &[])]);
    assert!(!l.insert(node(1, &[])));
    assert_eq!(l.len(), 1);
}

#[test]
fn maximal_leaves_what_nothing_else_was_made_from() {
    let l = lineage([node(1, &[]), node(2, &[1]), node(3, &[1]), node(4, &[3])]);
    assert_eq!(l.maximal(&ids([1, 2, 3, 4])), ids([2, 4]));
    assert_eq!(l.maximal(&ids([1, 4])), ids([4]));
    assert_eq!(l.maximal(&ids([2, 77])), ids([2, 77]), "nobody knows what 77 is");
    assert_eq!(l.tips(), ids([2, 4]));
}

fn made_by(device: u128, n: u64, parents: &[u64]) -> Node {
    Node { device: PeerId::from_uuid(uuid::Uuid::from_u128(device)), ..node(n, parents) }
}

fn likeliest(l: &Lineage, me: u128, of: &[u64]) -> Option<SnapshotId> {
    l.likeliest(&ids(of.iter().copied()), PeerId::from_uuid(uuid::Uuid::from_u128(me)))
}

#[test]
fn a_disk_without_a_base_is_the_newest_version_with_its_content() {
    let l = lineage([made_by(1, 1, &[]), made_by(2, 2, &[1]), made_by(2, 3, &[2])]);
    assert_eq!(likeliest(&l, 1, &[1, 3]), Some(id(3)));
    assert_eq!(likeliest(&l, 1, &[]), None);
}

#[test]
fn a_version_that_may_be_made_from_another_is_taken_for_the_newer_one() {
    // 3 was made from something that is not here, perhaps from 9; 9 was certainly not made from 3.
    for (old, new) in [(9, 3), (3, 9)] {
        let l = lineage([made_by(1, old, &[]), made_by(2, new, &[5])]);
        assert_eq!(likeliest(&l, 1, &[3, 9]), Some(id(new)));
    }
}

#[test]
fn of_versions_that_went_apart_the_one_made_here_is_on_the_disk() {
    let l = lineage([made_by(1, 1, &[]), made_by(1, 9, &[1]), made_by(2, 3, &[1])]);
    assert_eq!(likeliest(&l, 1, &[3, 9]), Some(id(9)));
    assert_eq!(likeliest(&l, 2, &[3, 9]), Some(id(3)));
    assert_eq!(likeliest(&l, 7, &[3, 9]), Some(id(9)), "the same for everybody else, by who made it");
}

#[test]
fn common_ancestors_of_crossed_merges_are_both_lowest_ones() {
    let l = lineage([node(1, &[]), node(2, &[1]), node(3, &[1]), node(4, &[2, 3]), node(5, &[2, 3])]);
    assert_eq!(l.common(&ids([4, 5])), Found { ids: ids([2, 3]), is_complete: true });
    assert_eq!(l.between(&ids([4, 5])), Found { ids: ids([2, 3, 4, 5]), is_complete: true });
}

#[test]
fn between_a_head_and_one_far_behind_lies_the_line_that_connects_them() {
    let l = lineage(line(20));
    assert_eq!(l.common(&ids([5, 20])).ids, ids([5]));
    assert_eq!(l.between(&ids([5, 20])).ids, ids(5..=20));
    assert_eq!(l.between(&ids([20])).ids, ids([20]));
}

#[test]
fn what_could_hide_something_between_heads_is_not_complete() {
    let l = lineage([node(2, &[1]), node(3, &[2]), node(4, &[2])]);
    assert!(l.between(&ids([3, 4])).is_complete, "what is missing is above both");
    let l = lineage([node(3, &[1]), node(4, &[2])]);
    assert!(!l.between(&ids([3, 4])).is_complete);
    assert!(!l.between(&ids([3, 9])).is_complete, "a head that is not here");
    assert!(l.between(&ids([1, 3])).is_complete, "one is the other's parent, here or not");
}

#[test]
fn lists_are_newest_first_but_never_put_a_snapshot_above_what_was_made_from_it() {
    let mut late = node(1, &[]);
    late.hlc.ms = 3 * 24 * 3600 * 1000;
    let l = lineage([late, node(2, &[1]), node(3, &[2]), node(4, &[2])]);
    let order: Vec<SnapshotId> = l.newest_first().iter().map(|n| n.id).collect();
    assert_eq!(order, [id(4), id(3), id(2), id(1)]);
}

#[test]
fn a_content_is_found_again_newest_first() {
    let mut other = node(2, &[1]);
    other.content = content(2);
    let l = lineage([node(1, &[]), other, node(3, &[2])]);
    let found: Vec<SnapshotId> = l.with_content(content(1)).map(|n| n.id).collect();
    assert_eq!(found, [id(3), id(1)]);
}

#[test]
fn ten_thousand_snapshots_that_arrive_backwards_are_one_line() {
    let l = lineage(line(10_000).rev());
    assert_eq!(relation(&l, 1, 10_000), Relation::Ancestor);
    assert_eq!(relation(&l, 10_000, 1), Relation::Descendant);
    assert_eq!(l.newest_first().first().map(|n| n.id), Some(id(10_000)));
    assert_eq!(l.between(&ids([1, 10_000])).ids.len(), 10_000);
    assert_eq!(l.tips(), ids([10_000]));
}

/// The ancestors of each node, itself included, from the definition: by going over the edges until nothing is new.
fn closure(edges: &[Vec<u64>]) -> Vec<BTreeSet<u64>> {
    let mut above: Vec<BTreeSet<u64>> = Vec::new();
    for (n, parents) in edges.iter().enumerate() {
        let mut set = BTreeSet::from([n as u64]);
        parents.iter().for_each(|p| set.extend(&above[usize::try_from(*p).unwrap()]));
        above.push(set);
    }
    above
}

fn graph() -> impl Strategy<Value = (Vec<Vec<u64>>, Vec<bool>, u64)> {
    let parents = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..14);
    (parents, prop::collection::vec(prop::bool::weighted(0.85), 14), any::<u64>()).prop_map(|(picks, here, order)| {
        let edges = picks.iter().enumerate().map(|(n, picks)| {
            let set: BTreeSet<u64> =
                if n == 0 { BTreeSet::new() } else { picks.iter().map(|p| p.index(n) as u64).collect() };
            set.into_iter().collect()
        });
        (edges.collect(), here, order)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// With every snapshot here the answer is the definition's; with some missing it is that or `Unknown`.
    #[test]
    fn relations_are_those_of_the_definition_or_unknown_where_something_is_missing((edges, here, order) in graph()) {
        let above = closure(&edges);
        let mut nodes: Vec<Node> = edges.iter().enumerate().map(|(n, parents)| node(n as u64, parents)).collect();
        nodes.sort_by_key(|n| n.hlc.ms.wrapping_add(1).wrapping_mul(order | 1));
        let whole = lineage(nodes.clone());
        let part = lineage(nodes.into_iter().filter(|n| here[usize::try_from(n.hlc.ms).unwrap()]));
        for a in 0..edges.len() as u64 {
            for b in 0..edges.len() as u64 {
                let (at_a, at_b) = (usize::try_from(a).unwrap(), usize::try_from(b).unwrap());
                let truth = match (a == b, above[at_b].contains(&a), above[at_a].contains(&b)) {
                    (true, ..) => Relation::Equal,
                    (_, true, _) => Relation::Ancestor,
                    (_, _, true) => Relation::Descendant,
                    _ => Relation::Diverged,
                };
                prop_assert_eq!(relation(&whole, a, b), truth);
                prop_assert_eq!(relation(&whole, b, a), truth.reversed());
                let seen = relation(&part, a, b);
                prop_assert!(seen == truth || seen == Relation::Unknown, "{} {}: {:?}, not {:?}", a, b, seen, truth);
            }
        }
    }

    #[test]
    fn common_ancestors_and_what_lies_between_are_those_of_the_definition(
        (edges, _, _) in graph(), picks in prop::collection::btree_set(0u64..14, 1..4)
    ) {
        let above = closure(&edges);
        let l = lineage(edges.iter().enumerate().map(|(n, parents)| node(n as u64, parents)));
        let heads: BTreeSet<u64> = picks.into_iter().map(|p| p % edges.len() as u64).collect();
        let sets: Vec<&BTreeSet<u64>> = heads.iter().map(|h| &above[usize::try_from(*h).unwrap()]).collect();
        let common: BTreeSet<u64> = (0..edges.len() as u64).filter(|n| sets.iter().all(|s| s.contains(n))).collect();
        let lowest = |n: &u64| !common.iter().any(|m| m != n && above[usize::try_from(*m).unwrap()].contains(n));
        let lowest: BTreeSet<u64> = common.iter().copied().filter(lowest).collect();
        let any: BTreeSet<u64> = sets.iter().flat_map(|s| s.iter().copied()).collect();
        let between: BTreeSet<u64> = any.difference(&common).chain(&lowest).copied().collect();
        let asked = ids(heads.iter().copied());
        prop_assert_eq!(l.common(&asked), Found { ids: ids(lowest), is_complete: true });
        prop_assert_eq!(l.between(&asked), Found { ids: ids(between), is_complete: true });
        let maximal = heads.iter().copied().filter(|n| !heads.iter().any(|m| m != n && above[usize::try_from(*m).unwrap()].contains(n)));
        prop_assert_eq!(l.maximal(&asked), ids(maximal));
    }
}
