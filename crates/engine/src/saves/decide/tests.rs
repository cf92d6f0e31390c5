use super::super::tests::{content, id};
use super::*;

const OURS: u64 = 50;

fn base() -> Side {
    Side { id: id(OURS), content: content(1), is_deletion: false }
}

fn tombstone() -> Side {
    Side { id: id(OURS), content: content(0), is_deletion: true }
}

/// Snapshot n of another device with some content, 0 for none, fetched.
fn other(n: u64, relation: Relation, c: u8) -> Other {
    Other { id: id(n), relation, content: Some(content(c)), is_deletion: c == 0, is_fetched: true }
}

fn newer(n: u64, c: u8) -> Other {
    other(n, Relation::Ancestor, c)
}

fn diverged(n: u64, c: u8) -> Other {
    other(n, Relation::Diverged, c)
}

fn older(n: u64) -> Other {
    other(n, Relation::Descendant, 9)
}

fn equal() -> Other {
    other(OURS, Relation::Equal, 1)
}

fn unknown(n: u64) -> Other {
    Other { content: None, is_fetched: false, ..other(n, Relation::Unknown, 9) }
}

fn named_only(other: Other) -> Other {
    Other { is_fetched: false, ..other }
}

fn at(disk: Disk, others: &[Other]) -> Situation {
    Situation { disk, others: others.to_vec(), is_tracked: true, is_running: false }
}

fn clean(others: &[Other]) -> Situation {
    at(Disk::Clean(base()), others)
}

fn playing(s: Situation) -> Situation {
    Situation { is_running: true, ..s }
}

#[track_caller]
fn check(s: &Situation, number: usize, action: Action) {
    let decision = decide(s);
    assert_eq!((decision.row.number(), decision.action), (number, action), "{s:?}");
}

fn conflict(with: &[u64], copies: &[u64]) -> Action {
    Action::Conflict { with: some(with), copies: some(copies) }
}

fn some(numbers: &[u64]) -> Vec<SnapshotId> {
    numbers.iter().map(|n| id(*n)).collect()
}

#[test]
fn row_1_does_nothing_when_all_are_in_step() {
    check(&clean(&[]), 1, Action::Nothing);
    check(&clean(&[equal(), equal()]), 1, Action::Nothing);
}

#[test]
fn row_2_follows_what_was_made_from_ours() {
    check(&clean(&[newer(7, 2)]), 2, Action::FastForward { to: id(7) });
    check(&clean(&[equal(), older(3), newer(7, 2)]), 2, Action::FastForward { to: id(7) });
}

#[test]
fn row_2_fetches_before_it_follows_and_writes_nothing_for_the_content_it_has() {
    check(&clean(&[named_only(newer(7, 2))]), 2, Action::Fetch { heads: some(&[7]) });
    check(&clean(&[named_only(newer(7, 1))]), 2, Action::Adopt { to: id(7) });
    check(&playing(clean(&[newer(7, 1)])), 2, Action::Adopt { to: id(7) });
}

#[test]
fn row_2_follows_a_deletion() {
    check(&clean(&[newer(7, 0)]), 2, Action::FastForward { to: id(7) });
}

#[test]
fn row_3_offers_ours_to_who_is_behind_and_calls_it_no_conflict() {
    check(&clean(&[older(3), equal()]), 3, Action::OfferOurs);
}

#[test]
fn row_4_joins_equal_contents_and_asks_nothing() {
    check(&clean(&[diverged(7, 1)]), 4, Action::Join { heads: some(&[7, OURS]) });
    check(&playing(clean(&[diverged(77, 1)])), 4, Action::Join { heads: some(&[OURS, 77]) });
    check(&clean(&[named_only(diverged(7, 1))]), 4, Action::Fetch { heads: some(&[7]) });
    check(&at(Disk::Clean(tombstone()), &[diverged(7, 0)]), 4, Action::Join { heads: some(&[7, OURS]) });
}

#[test]
fn row_5_shows_a_conflict_and_writes_theirs_beside() {
    check(&clean(&[diverged(7, 2)]), 5, conflict(&[7], &[7]));
    check(&clean(&[older(3), diverged(7, 2)]), 5, conflict(&[7], &[7]));
}

#[test]
fn row_5_shows_a_conflict_at_once_and_writes_the_copy_when_it_can() {
    check(&clean(&[named_only(diverged(7, 2))]), 5, conflict(&[7], &[]));
    check(&playing(clean(&[diverged(7, 2)])), 5, conflict(&[7], &[]));
}

#[test]
fn row_6_makes_a_snapshot_of_an_edit() {
    check(&at(Disk::Dirty, &[]), 6, Action::SnapshotAndAnnounce);
    check(&at(Disk::Dirty, &[equal()]), 6, Action::SnapshotAndAnnounce);
    check(&playing(at(Disk::Dirty, &[equal()])), 6, Action::SnapshotAndAnnounce);
}

#[test]
fn row_7_makes_a_snapshot_of_an_edit_before_it_looks_at_theirs() {
    check(&at(Disk::Dirty, &[newer(7, 2)]), 7, Action::SnapshotFirst);
    check(&at(Disk::Dirty, &[diverged(7, 1)]), 7, Action::SnapshotFirst);
    check(&at(Disk::Dirty, &[older(3), newer(7, 2)]), 7, Action::SnapshotFirst);
}

#[test]
fn row_8_makes_a_snapshot_and_applies_nothing_of_what_it_does_not_know() {
    check(&at(Disk::Dirty, &[older(3)]), 8, Action::SnapshotAndAnnounce);
    check(&at(Disk::Dirty, &[unknown(7)]), 8, Action::SnapshotAndAnnounce);
}

#[test]
fn row_9_fills_a_new_device_and_deletes_nothing() {
    check(&at(Disk::Absent, &[]), 9, Action::Nothing);
    check(&at(Disk::Absent, &[newer(7, 2)]), 9, Action::ApplyNew { to: id(7) });
    check(&at(Disk::Absent, &[named_only(newer(7, 2))]), 9, Action::Fetch { heads: some(&[7]) });
    check(&at(Disk::Absent, &[unknown(7)]), 9, Action::Fetch { heads: some(&[7]) });
    check(&at(Disk::Absent, &[diverged(7, 0)]), 9, Action::Adopt { to: id(7) });
}

#[test]
fn row_10_makes_the_first_snapshot() {
    check(&at(Disk::Present(content(1)), &[]), 10, Action::SnapshotAndAnnounce);
}

#[test]
fn row_11_adopts_equal_content_and_makes_anything_else_a_side_of_its_own() {
    check(&at(Disk::Present(content(1)), &[newer(8, 2), newer(7, 1)]), 11, Action::Adopt { to: id(7) });
    check(&at(Disk::Present(content(1)), &[newer(7, 2)]), 11, Action::SnapshotFirst);
    check(&at(Disk::Present(content(1)), &[unknown(7)]), 11, Action::SnapshotFirst);
    check(&at(Disk::Present(content(1)), &[diverged(7, 0)]), 11, Action::SnapshotFirst);
}

#[test]
fn row_12_holds_and_asks_about_a_save_that_vanished_whatever_others_have() {
    for others in [&[][..], &[equal()], &[newer(7, 2)], &[diverged(7, 0)], &[unknown(7)]] {
        check(&at(Disk::Shrunk, others), 12, Action::HoldAndAsk);
    }
}

#[test]
fn row_13_lets_an_edit_survive_a_deletion_on_both_devices() {
    check(&at(Disk::Deleted, &[newer(7, 2)]), 13, Action::Tombstone);
    let survives = Action::EditSurvives { heads: some(&[7, OURS]), edit: id(7) };
    check(&at(Disk::Clean(tombstone()), &[diverged(7, 2)]), 13, survives);
    let survives = Action::EditSurvives { heads: some(&[7, OURS]), edit: id(OURS) };
    check(&clean(&[diverged(7, 0)]), 13, survives);
    check(&clean(&[named_only(diverged(7, 0))]), 13, Action::Fetch { heads: some(&[7]) });
}

#[test]
fn row_13_chooses_none_of_two_edits() {
    check(&at(Disk::Clean(tombstone()), &[diverged(7, 1), diverged(8, 2)]), 18, conflict(&[7, 8], &[7, 8]));
    check(&clean(&[diverged(7, 0), diverged(8, 2)]), 18, conflict(&[7, 8], &[8]));
}

#[test]
fn row_14_puts_a_deletion_into_history() {
    check(&at(Disk::Deleted, &[]), 14, Action::Tombstone);
    check(&at(Disk::Deleted, &[equal(), older(3)]), 14, Action::Tombstone);
    check(&at(Disk::Deleted, &[newer(7, 0)]), 14, Action::Tombstone);
}

#[test]
fn row_15_waits_for_what_cannot_be_read() {
    for disk in [Disk::Unreadable, Disk::Settling] {
        check(&at(disk, &[newer(7, 2)]), 15, Action::WaitAndRetry);
        check(&playing(at(disk, &[])), 15, Action::WaitAndRetry);
    }
    check(&clean(&[unknown(7), older(3)]), 15, Action::Fetch { heads: some(&[7]) });
}

#[test]
fn row_15_is_not_held_up_by_one_that_is_unknown_when_another_is_newer() {
    check(&clean(&[unknown(9), newer(7, 2)]), 2, Action::FastForward { to: id(7) });
}

#[test]
fn row_16_waits_until_the_game_has_ended() {
    check(&playing(clean(&[newer(7, 2)])), 16, Action::Defer);
    check(&playing(at(Disk::Absent, &[newer(7, 2)])), 16, Action::Defer);
    check(&playing(at(Disk::Shrunk, &[])), 16, Action::Defer);
}

#[test]
fn row_17_touches_nothing_that_is_untracked() {
    for disk in [Disk::Absent, Disk::Clean(base()), Disk::Dirty, Disk::Shrunk, Disk::Deleted, Disk::Unreadable] {
        check(&Situation { is_tracked: false, ..at(disk, &[newer(7, 2)]) }, 17, Action::RecordOnly);
    }
}

#[test]
fn row_18_joins_heads_that_are_all_equal_and_shows_them_all_when_not() {
    check(&clean(&[diverged(7, 1), diverged(8, 1)]), 18, Action::Join { heads: some(&[7, 8, OURS]) });
    check(&clean(&[newer(7, 2), newer(8, 2)]), 18, Action::Join { heads: some(&[7, 8]) });
    check(&clean(&[newer(8, 2), newer(7, 3)]), 18, conflict(&[7, 8], &[7, 8]));
    check(&clean(&[newer(8, 1), diverged(7, 3)]), 18, conflict(&[7, 8], &[7, 8]));
    check(&at(Disk::Absent, &[newer(7, 2), newer(8, 3)]), 18, conflict(&[7, 8], &[7, 8]));
    check(&at(Disk::Absent, &[newer(7, 2), newer(8, 2)]), 18, Action::Join { heads: some(&[7, 8]) });
}

#[test]
fn a_save_is_shrunk_when_it_is_gone_empty_or_under_half() {
    let of = |files, size| Measure { files, size };
    for (base, disk, shrunk) in [
        (of(3, 100), of(0, 0), true),
        (of(3, 100), of(3, 0), true),
        (of(3, 100), of(3, 49), true),
        (of(3, 100), of(3, 50), false),
        (of(3, 101), of(3, 50), true),
        (of(3, 101), of(3, 51), false),
        (of(3, 100), of(1, 100), false),
        (of(2, 0), of(0, 0), true),
        (of(2, 0), of(1, 0), false),
        (of(0, 0), of(0, 0), false),
        (of(1, u64::MAX), of(1, u64::MAX / 2), true),
        (of(1, u64::MAX), of(1, u64::MAX / 2 + 1), false),
    ] {
        assert_eq!(is_shrunk(base, disk), shrunk, "{base:?} {disk:?}");
    }
}

#[test]
fn the_table_has_a_line_for_every_row() {
    let lines: Vec<String> = Row::markdown().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 2 + 18);
    for (at, row) in Row::ALL.iter().enumerate() {
        assert_eq!(row.number(), at + 1);
        assert!(lines[at + 2].starts_with(&format!("| {} | ", at + 1)) && lines[at + 2].matches('|').count() == 5);
    }
}
