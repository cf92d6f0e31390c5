use super::super::tests::{content, id, ids, lineage, node};
use super::*;

/// Snapshot n with content c.
fn with(n: u64, parents: &[u64], c: u8) -> Node {
    Node { content: content(c), ..node(n, parents) }
}

fn push(parents: &[u64], c: u8) -> Push {
    Push { parents: ids(parents.iter().copied()), content: content(c), overwrite: None }
}

fn over(shown: &[u64], push: Push) -> Push {
    Push { overwrite: Some(ids(shown.iter().copied())), ..push }
}

fn accept(parents: &[u64]) -> Verdict {
    Verdict::Accept { parents: ids(parents.iter().copied()) }
}

fn head_ids(verdict: &Verdict) -> Vec<SnapshotId> {
    match verdict {
        Verdict::Stale { heads, .. } | Verdict::StaleConflict { heads } => heads.iter().map(|h| h.id).collect(),
        other => panic!("accepted: {other:?}"),
    }
}

#[test]
fn a_first_version_and_one_on_top_of_the_head_are_accepted() {
    let l = lineage([with(1, &[], 1)]);
    assert_eq!(judge(&push(&[], 1), &ids([]), &Lineage::default()), accept(&[]));
    assert_eq!(judge(&push(&[1], 2), &ids([1]), &l), accept(&[1]));
}

#[test]
fn a_push_from_a_stale_base_is_refused_with_heads_device_time_and_size() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2), with(3, &[1], 3)]);
    let verdict = judge(&push(&[1], 4), &ids([2, 3]), &l);
    assert_eq!(head_ids(&verdict), [id(3), id(2)], "newest first");
    let Verdict::Stale { heads, advice } = &verdict else { panic!("{verdict:?}") };
    let known = heads[0].known.clone().unwrap();
    assert_eq!((known.device, known.created_at, known.files, known.size), (l.get(&id(3)).unwrap().device, 3, 1, 100));
    assert_eq!(*advice, Advice::Compare);
    assert_eq!(verdict.report("main").unwrap().code, "conflict");
}

#[test]
fn a_push_that_knows_only_one_of_two_heads_is_stale() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2), with(3, &[1], 3)]);
    assert_eq!(head_ids(&judge(&push(&[2], 4), &ids([2, 3]), &l)), [id(3), id(2)]);
    assert_eq!(judge(&push(&[2, 3], 4), &ids([2, 3]), &l), accept(&[2, 3]));
}

#[test]
fn a_push_without_parents_is_stale_as_soon_as_there_is_a_head() {
    let l = lineage([with(1, &[], 1)]);
    assert_eq!(head_ids(&judge(&push(&[], 2), &ids([1]), &l)), [id(1)]);
}

#[test]
fn heads_and_parents_that_are_not_known_are_never_taken_for_covered() {
    let l = lineage([with(1, &[], 1)]);
    assert_eq!(head_ids(&judge(&push(&[1], 2), &ids([9]), &l)), [id(9)]);
    assert_eq!(head_ids(&judge(&push(&[9], 2), &ids([1]), &l)), [id(1)]);
}

#[test]
fn an_overwrite_goes_through_with_exactly_the_heads_shown_and_keeps_them_in_history() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2), with(3, &[1], 3)]);
    assert_eq!(judge(&over(&[2, 3], push(&[1], 4)), &ids([2, 3]), &l), accept(&[2, 3]));
    assert_eq!(judge(&over(&[2, 3], push(&[77], 4)), &ids([2, 3]), &l), accept(&[2, 3, 77]));
    for shown in [&[][..], &[2], &[3], &[1, 2, 3], &[2, 9]] {
        let verdict = judge(&over(shown, push(&[1], 4)), &ids([2, 3]), &l);
        assert!(matches!(verdict, Verdict::StaleConflict { .. }), "{shown:?}: {verdict:?}");
        assert_eq!(verdict.report("main").unwrap().code, "stale_conflict");
    }
}

#[test]
fn an_overwrite_that_overwrites_nothing_is_an_ordinary_push() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2)]);
    assert_eq!(judge(&over(&[1], push(&[2], 4)), &ids([2]), &l), accept(&[2]));
}

#[test]
fn content_that_the_head_has_already_is_recognised_whatever_it_was_made_from() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2)]);
    for parents in [&[][..], &[1], &[2], &[9]] {
        let verdict = judge(&push(parents, 2), &ids([2]), &l);
        let is_recognised = matches!(verdict, Verdict::SameContent { .. } | Verdict::Repeated { is_head: true, .. });
        assert!(is_recognised, "{parents:?}: {verdict:?}");
    }
}

#[test]
fn a_push_that_is_sent_again_changes_nothing_however_far_history_went_on() {
    let mut l = lineage([with(1, &[], 1), with(2, &[1], 2)]);
    assert_eq!(judge(&push(&[1], 2), &ids([2]), &l), Verdict::Repeated { id: id(2), is_head: true });
    l.insert(with(3, &[2], 3));
    assert_eq!(judge(&push(&[1], 2), &ids([3]), &l), Verdict::Repeated { id: id(2), is_head: false });
}

#[test]
fn an_overwrite_that_is_sent_again_changes_nothing() {
    let mut l = lineage([with(1, &[], 1), with(2, &[1], 2)]);
    let again = over(&[2], push(&[1], 3));
    assert_eq!(judge(&again, &ids([2]), &l), accept(&[2]));
    l.insert(with(3, &[2], 3));
    assert_eq!(judge(&again, &ids([3]), &l), Verdict::Repeated { id: id(3), is_head: true });
}

#[test]
fn content_that_comes_back_is_a_third_version() {
    let mut l = lineage([with(1, &[], 1), with(2, &[1], 2)]);
    assert_eq!(judge(&push(&[2], 1), &ids([2]), &l), accept(&[2]), "A, B, A");
    l.insert(with(3, &[2], 1));
    assert_eq!(judge(&push(&[3], 2), &ids([3]), &l), accept(&[3]), "and B once more");
}

#[test]
fn who_has_nothing_new_is_told_to_pull() {
    let l = lineage([with(1, &[], 1), with(2, &[1], 2), with(3, &[2], 3)]);
    let Verdict::Stale { advice, .. } = judge(&push(&[2], 2), &ids([3]), &l) else { panic!() };
    assert_eq!(advice, Advice::Pull);
    let Verdict::Stale { advice, .. } = judge(&push(&[2], 9), &ids([3]), &l) else { panic!() };
    assert_eq!(advice, Advice::Compare);
}

#[test]
fn no_stale_push_is_ever_accepted_and_no_accepted_one_leaves_a_head_behind() {
    // Every graph of four snapshots, every set of parents, every echo.
    let mut checked = 0u32;
    for shape in 0..64u8 {
        let bit = |n: u8| shape & (1 << n) != 0;
        let pick = |of: &[(u64, bool)]| of.iter().filter(|(_, is)| *is).map(|(n, _)| *n).collect::<Vec<u64>>();
        let l = lineage([
            with(1, &[], 1),
            with(2, &pick(&[(1, bit(0))]), 2),
            with(3, &pick(&[(1, bit(1)), (2, bit(2))]), 3),
            with(4, &pick(&[(1, bit(3)), (2, bit(4)), (3, bit(5))]), 4),
        ]);
        let heads = l.tips();
        let sets = |mask: u8| ids((0..4u64).filter(|n| mask & (1 << n) != 0).map(|n| n + 1));
        for parents in (0..16).map(sets) {
            for overwrite in std::iter::once(None).chain((0..16).map(sets).map(Some)) {
                let push = Push { parents: parents.clone(), content: content(9), overwrite: overwrite.clone() };
                let covered = heads.iter().all(|h| {
                    parents.iter().any(|p| {
                        matches!(l.relation(*h, *p), super::super::Relation::Equal | super::super::Relation::Ancestor)
                    })
                });
                match judge(&push, &heads, &l) {
                    Verdict::Accept { parents: given } => {
                        assert!(covered || overwrite.as_ref() == Some(&heads));
                        assert!(heads.iter().all(|h| l.covers(&given, *h)), "a head that is no ancestor of it");
                    }
                    Verdict::Stale { .. } => assert!(!covered && overwrite.is_none()),
                    Verdict::StaleConflict { .. } => assert!(!covered && overwrite.is_some_and(|o| o != heads)),
                    other => panic!("{other:?}"),
                }
                checked += 1;
            }
        }
    }
    assert_eq!(checked, 64 * 16 * 17);
}
