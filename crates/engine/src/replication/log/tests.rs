use bonfire_proto::message_sync::{ChangeType, RecordData};
use bonfire_proto::{DeviceEpoch, Hlc, PeerId};
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;

fn life(n: u128) -> Life {
    Life { device: PeerId::from_uuid(Uuid::from_u128(n)), epoch: DeviceEpoch(Uuid::from_u128(n + 100)) }
}

fn entry(who: u128, seq: u64) -> SharedEntry {
    said(who, seq, "as written")
}

fn said(who: u128, seq: u64, text: &str) -> SharedEntry {
    let life = life(who);
    SharedEntry {
        device_id: life.device,
        device_epoch: life.epoch,
        seq,
        hlc: Hlc { ms: 1_000 + seq, count: 0, device: life.device },
        model_type: "slot".to_owned(),
        record_uuid: Uuid::from_u128(u128::from(seq % 3)),
        change_type: ChangeType::Update,
        data: RecordData::from_iter([("text".to_owned(), json!(text))]),
    }
}

fn log() -> SharedLog {
    SharedLog::new(life(1))
}

fn holding(who: u128, seqs: impl IntoIterator<Item = u64>) -> SharedLog {
    let mut log = log();
    for seq in seqs {
        log.offer(entry(who, seq)).unwrap();
    }
    log
}

fn gap(who: u128, from: u64, to: u64) -> Gap {
    Gap { life: life(who), from, to }
}

#[test]
fn its_own_entries_count_from_one() {
    let mut log = log();
    for seq in 1..=3 {
        assert_eq!(log.next_seq(), seq);
        log.append(entry(1, seq)).unwrap();
    }
    assert_eq!(log.watermarks(), [life(1).at(3)]);
}

#[test]
fn an_entry_beyond_a_gap_waits_and_the_gap_is_named() {
    let mut log = holding(2, [1, 4, 6]);
    assert_eq!((log.whole(life(2)), log.gaps()), (1, vec![gap(2, 2, 3), gap(2, 5, 5)]));
    assert_eq!(log.entries().count(), 1, "what waits has no effect");
    assert_eq!(log.page(&[], 99).entries.len(), 1, "and is told to nobody");
    assert_eq!(log.offer(entry(2, 3)), Ok(Taken::Later));
    assert_eq!(log.offer(entry(2, 2)), Ok(Taken::Now(3)));
    assert_eq!((log.whole(life(2)), log.gaps()), (4, vec![gap(2, 5, 5)]));
    assert_eq!(log.offer(entry(2, 5)), Ok(Taken::Now(2)));
    assert_eq!(log.gaps(), []);
}

#[test]
fn what_waits_is_bounded_and_what_was_dropped_is_asked_for_again() {
    let most = u64::try_from(AHEAD_MAX).unwrap();
    let mut log = holding(2, (2..=most + 50).rev());
    assert_eq!(log.gaps(), [gap(2, 1, 1), gap(2, most + 2, most + 50)], "the furthest go first");
    assert_eq!(log.offer(entry(2, 1)), Ok(Taken::Now(most + 1)));
    assert_eq!(log.gaps(), [gap(2, most + 2, most + 50)]);
}

#[test]
fn what_was_only_heard_of_is_a_gap_too() {
    let mut log = holding(2, [1]);
    log.heard_of(&[life(2).at(4), life(3).at(2), life(2).at(0)]).unwrap();
    assert_eq!(log.gaps(), [gap(2, 2, 4), gap(3, 1, 2)]);
    assert_eq!(log.watermarks(), [life(2).at(1)]);
}

#[test]
fn the_same_entry_again_changes_nothing() {
    let mut log = holding(2, [1, 2, 5]);
    let before = log.clone();
    for seq in [1, 2, 5] {
        assert_eq!(log.offer(entry(2, seq)), Ok(Taken::Known));
    }
    assert_eq!(log, before);
}

#[test]
fn another_entry_in_the_place_of_a_held_one_is_refused_and_changes_nothing() {
    let mut log = holding(2, [1, 2, 5]);
    let before = log.clone();
    let lies = |seq: u64| {
        let other_time = SharedEntry { hlc: Hlc { count: 9, ..entry(2, seq).hlc }, ..entry(2, seq) };
        let other_kind = SharedEntry { change_type: ChangeType::Delete, ..entry(2, seq) };
        [said(2, seq, "as a liar has it"), other_time, other_kind]
    };
    for seq in [1, 2, 5] {
        for lie in lies(seq) {
            let e = log.offer(lie.clone()).unwrap_err();
            assert_eq!(e, LogError::Conflicting { life: life(2), seq });
            assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Corruption, false));
            assert_eq!(log.settle(&[life(2).at(9)], &[entry(2, 7), lie]), Err(e));
        }
    }
    assert_eq!(log, before);
}

#[test]
fn an_entry_out_of_bounds_is_refused_and_leaves_no_trace() {
    let mut log = log();
    let foreign_time = SharedEntry { hlc: Hlc { device: life(3).device, ..entry(2, 1).hlc }, ..entry(2, 1) };
    for wrong in [SharedEntry { seq: 0, ..entry(2, 1) }, foreign_time] {
        let e = log.offer(wrong).unwrap_err();
        assert_eq!(e.class(), ErrorClass::Remote, "{e}");
    }
    assert_eq!(log, self::log());
}

#[test]
fn lives_of_one_device_are_counted_apart() {
    let mut log = holding(2, [1, 2]);
    let again = SharedEntry { device_epoch: life(9).epoch, ..said(2, 1, "after the database was lost") };
    assert_eq!(log.offer(again), Ok(Taken::Now(1)));
    assert_eq!(log.watermarks().len(), 2);
}

#[test]
fn a_device_whose_database_was_put_back_notices_from_whoever_holds_more_of_it() {
    let mut log = log();
    log.append(entry(1, 1)).unwrap();
    let before = log.clone();
    let e = LogError::PutBack { seq: 2, held: 1 };
    assert_eq!(log.offer(entry(1, 2)), Err(e.clone()));
    assert_eq!(log.heard_of(&[life(1).at(2)]), Err(e.clone()));
    assert_eq!(log.ack(life(2), life(1).at(2)), Err(e.clone()));
    assert_eq!(log.settle(&[life(1).at(2)], &[]), Err(e.clone()));
    assert!(e.to_string().contains("put back"));
    assert_eq!(log, before);
}

#[test]
fn pages_bring_everything_once_and_in_order() {
    let mut from = holding(2, 1..=20);
    for seq in 1..=10 {
        from.offer(entry(3, seq)).unwrap();
    }
    let mut to = SharedLog::new(life(4));
    to.offer(entry(2, 1)).unwrap();
    let mut sizes = Vec::new();
    loop {
        let page = from.page(&to.watermarks(), 7);
        sizes.push(page.entries.len());
        for e in page.entries {
            assert!(matches!(to.offer(e), Ok(Taken::Now(1))), "nothing twice, nothing before its turn");
        }
        if !page.has_more {
            break;
        }
    }
    assert_eq!(sizes, [7, 7, 7, 7, 1]);
    assert_eq!(to.watermarks(), from.watermarks());
    assert_eq!(from.page(&to.watermarks(), 7), Page::default(), "and then nothing");
}

#[test]
fn a_page_is_cut_by_its_bytes_as_well_and_never_empty() {
    let mut log = log();
    let long = "x".repeat(16_000);
    for seq in 1..=100 {
        log.append(said(1, seq, &long)).unwrap();
    }
    let page = log.page(&[], 1_000);
    let bytes: usize = page.entries.iter().map(SharedEntry::encoded_len).sum();
    assert!(page.has_more && bytes <= PAGE_LEN_MAX && bytes > PAGE_LEN_MAX - 20_000, "{bytes}");
    assert_eq!(log.page(&[], 0).entries.len(), 1);
}

#[test]
fn acks_never_go_back() {
    let mut log = holding(1, []);
    for seq in 1..=5 {
        log.append(entry(1, seq)).unwrap();
    }
    assert_eq!(log.ack(life(2), life(1).at(3)), Ok(true));
    for late in [0, 2, 3] {
        assert_eq!(log.ack(life(2), life(1).at(late)), Ok(false));
    }
    assert_eq!(log.prunable(&BTreeSet::from([life(1), life(2)])), [life(1).at(3)]);
}

#[test]
fn nothing_can_go_before_every_device_has_acked_it() {
    let mut log = log();
    for seq in 1..=9 {
        log.append(entry(1, seq)).unwrap();
    }
    let (two, three) = (BTreeSet::from([life(1), life(2)]), BTreeSet::from([life(1), life(2), life(3)]));
    assert_eq!(log.prunable(&two), [], "never acked is 0");
    log.ack(life(2), life(1).at(7)).unwrap();
    assert_eq!(log.prunable(&two), [life(1).at(7)]);
    assert_eq!(log.prunable(&three), [], "a device that was away counts");
    log.ack(life(3), life(1).at(4)).unwrap();
    assert_eq!(log.prunable(&three), [life(1).at(4)]);
    assert_eq!(log.prunable(&two), [life(1).at(7)], "one that was removed does not");
    // The third lost its database: what its earlier life acked is gone.
    let again = Life { epoch: life(33).epoch, ..life(3) };
    assert_eq!(log.prunable(&BTreeSet::from([life(1), life(2), again])), []);
    assert_eq!(log.prunable(&BTreeSet::new()), []);
}

#[test]
fn an_ack_beyond_what_is_held_lets_nothing_go_that_is_not_held() {
    let mut log = holding(2, [1, 2]);
    log.ack(life(3), life(2).at(100)).unwrap();
    assert_eq!(log.prunable(&BTreeSet::from([life(1), life(3)])), [life(2).at(2)]);
}

/// A log whose first entries were replaced and dropped: of 1 to 10 only these survive.
fn pruned(survivors: &[u64], and: impl IntoIterator<Item = u64>) -> SharedLog {
    let mut log = log();
    let kept: Vec<_> = survivors.iter().map(|seq| entry(2, *seq)).collect();
    log.settle(&[life(2).at(10)], &kept).unwrap();
    for seq in and {
        log.offer(entry(2, seq)).unwrap();
    }
    log
}

#[test]
fn who_is_too_far_behind_gets_all_that_still_matters() {
    let from = pruned(&[2, 5, 6, 9], 11..=13);
    for (known, limit) in [(0, 99), (0, 1), (0, 3), (3, 2), (7, 1), (9, 1), (10, 1), (12, 1)] {
        let mut to = SharedLog::new(life(4));
        for seq in 1..=known {
            to.offer(entry(2, seq)).unwrap();
        }
        let mut rounds = 0;
        loop {
            let page = from.page(&to.watermarks(), limit);
            to.settle(&page.floors, &page.entries).unwrap();
            for e in page.entries {
                to.offer(e).unwrap();
            }
            rounds += 1;
            assert!(rounds < 20, "from {known} by {limit}: no progress");
            if !page.has_more {
                break;
            }
        }
        assert_eq!(to.watermarks(), from.watermarks(), "from {known} by {limit}");
        for e in from.entries().filter(|e| e.seq > known) {
            assert!(to.entries().any(|held| held == e));
        }
        assert_eq!(from.page(&to.watermarks(), limit), Page::default());
    }
}

#[test]
fn below_a_floor_even_a_line_without_survivors_moves_on() {
    let from = pruned(&[], []);
    let page = from.page(&[], 9);
    assert_eq!((page.entries.len(), page.floors.clone()), (0, vec![life(2).at(10)]));
    let mut to = SharedLog::new(life(4));
    assert_eq!(to.settle(&page.floors, &[]), Ok(vec![life(2).at(10)]));
    assert_eq!(to.settle(&page.floors, &[]), Ok(vec![]), "once");
    assert_eq!(to.offer(entry(2, 10)), Ok(Taken::Known));
}

#[test]
fn what_waited_behind_a_floor_goes_on() {
    let mut log = holding(2, [11, 12, 14, 8]);
    log.settle(&[life(2).at(10)], &[entry(2, 9)]).unwrap();
    assert_eq!((log.whole(life(2)), log.gaps()), (12, vec![gap(2, 13, 13)]));
}

#[test]
fn comes_back_as_it_was_made_durable() {
    let mut log = pruned(&[2, 9], 11..=12);
    log.append(entry(1, 1)).unwrap();
    log.ack(life(2), life(1).at(1)).unwrap();
    let acks = [(life(2), life(1).at(1))];
    let stored: Vec<_> = log.entries().cloned().rev_sorted();
    let again = SharedLog::restore(life(1), stored.clone(), &[life(2).at(10)], acks).unwrap();
    assert_eq!(again, log);
    let mut torn = stored;
    torn.push(said(2, 12, "another"));
    assert!(matches!(SharedLog::restore(life(1), torn, &[], acks), Err(LogError::Conflicting { .. })));
}

trait RevSorted: Iterator<Item = SharedEntry> + Sized {
    fn rev_sorted(self) -> Vec<SharedEntry> {
        let mut all: Vec<_> = self.collect();
        all.sort_by_key(|e| std::cmp::Reverse(e.seq));
        all
    }
}

impl<I: Iterator<Item = SharedEntry>> RevSorted for I {}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p07_whatever_is_lost_repeated_or_out_of_order_what_is_asked_for_again_completes_the_log(
        lens in proptest::collection::vec(0u64..12, 1..4),
        arrivals in proptest::collection::vec((0usize..4, 1u64..12), 0..40),
        limit in 1usize..9,
    ) {
        let mut whole = SharedLog::new(life(99));
        for (who, len) in lens.iter().enumerate() {
            for seq in 1..=*len {
                whole.offer(entry(u128::try_from(who).unwrap() + 2, seq)).unwrap();
            }
        }
        let mut log = log();
        let mut marks = BTreeMap::new();
        for (who, seq) in arrivals.into_iter().filter(|(who, seq)| lens.get(*who).is_some_and(|len| seq <= len)) {
            log.offer(entry(u128::try_from(who).unwrap() + 2, seq)).unwrap();
            for mark in log.watermarks() {
                let before = marks.insert(Life::from(mark), mark.seq);
                prop_assert!(before <= Some(mark.seq), "what is held never shrinks");
            }
        }
        for mark in log.watermarks() {
            let seqs: Vec<_> = log.entries_after(Life::from(mark), 0).map(|e| e.seq).collect();
            prop_assert_eq!(seqs, (1..=mark.seq).collect::<Vec<_>>());
        }
        log.heard_of(&whole.watermarks()).unwrap();
        let missing: u64 = log.gaps().iter().map(|g| g.to - g.from + 1).sum();
        let waiting: usize = log.lines.values().map(|l| l.ahead.len()).sum();
        prop_assert_eq!(usize::try_from(missing).unwrap() + waiting + log.entries().count(), whole.entries().count());
        for _ in 0..40 {
            let page = whole.page(&log.watermarks(), limit);
            for e in page.entries {
                log.offer(e).unwrap();
            }
        }
        prop_assert_eq!(log.watermarks(), whole.watermarks());
        prop_assert_eq!(log.gaps(), vec![]);
        prop_assert!(log.entries().eq(whole.entries()));
    }
}
