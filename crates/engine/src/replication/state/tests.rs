use bonfire_proto::{Digest, GameId, SlotName, SnapshotId};
use proptest::prelude::*;
use serde_json::json;

use super::super::model::{SlotHead, slot_id};
use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn epoch(n: u128) -> DeviceEpoch {
    DeviceEpoch(Uuid::from_u128(n))
}

fn everyone() -> BTreeSet<PeerId> {
    (1..=4).map(peer).collect()
}

fn board(n: u128) -> StateBoard {
    StateBoard::new(peer(n), epoch(n))
}

fn data(n: u32) -> Option<RecordData> {
    Some(RecordData::from_iter([("n".to_owned(), json!(n))]))
}

fn say(board: &mut StateBoard, record: u128, n: u32) -> StateRecord {
    board.publish("slot_head", Uuid::from_u128(record), data(n), NOW).unwrap().unwrap().put[0].clone()
}

fn hear(board: &mut StateBoard, records: Vec<StateRecord>) -> StateReceipt {
    board.receive(records, &[], &everyone(), NOW)
}

/// What a board holds of an owner's record.
fn held(board: &StateBoard, owner: u128, record: u128) -> Option<Option<RecordData>> {
    let key =
        StateKey { device: peer(owner), model_type: "slot_head".to_owned(), record_uuid: Uuid::from_u128(record) };
    board.records.get(&key).map(|r| r.data.clone())
}

fn ask<'a>(asker: &StateBoard, since: &'a [StateMark], limit: usize) -> StateQuery<'a> {
    StateQuery { asker: asker.me.device_id, model_types: &[], device: None, since, limit }
}

/// Asks another board for all that it holds.
fn pull(to: &mut StateBoard, from: &StateBoard, limit: usize) -> StateReceipt {
    let mut all = StateReceipt::default();
    for _ in 0..1_000 {
        let since = to.marks();
        let page = from.page(&ask(to, &since, limit));
        let receipt = to.receive(page.records, &page.up_to, &everyone(), NOW);
        all.former.extend(receipt.former);
        all.refused.extend(receipt.refused);
        if !page.has_more {
            return all;
        }
        assert_ne!(to.marks(), since, "a page that brings nothing on");
    }
    panic!("it never ends");
}

#[test]
fn the_newest_word_of_the_owner_holds_in_whatever_order_it_comes() {
    let (mut a, mut b) = (board(1), board(2));
    let said: Vec<_> = (0..3).map(|n| say(&mut a, 7, n)).collect();
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        b = board(2);
        for at in order {
            hear(&mut b, vec![said[at].clone(), said[at].clone()]);
        }
        assert_eq!(held(&b, 1, 7), Some(data(2)));
    }
    assert_eq!(hear(&mut b, said), StateReceipt::default(), "and again it changes nothing");
}

#[test]
fn what_is_said_already_is_not_said_again() {
    let mut a = board(1);
    say(&mut a, 7, 1);
    assert_eq!(a.publish("slot_head", Uuid::from_u128(7), data(1), NOW), Ok(None));
    assert_eq!(a.publish("slot_head", Uuid::from_u128(8), None, NOW), Ok(None));
    assert!(a.publish("Slot Head", Uuid::from_u128(7), data(1), NOW).is_err());
    let long = Some(RecordData::from_iter([("a".to_owned(), json!("x".repeat(20_000)))]));
    assert!(a.publish("slot_head", Uuid::from_u128(7), long, NOW).is_err());
    assert_eq!(a.marks()[0].version, 1);
}

#[test]
fn a_missed_change_is_asked_for_though_a_later_one_arrived() {
    let (mut a, mut b) = (board(1), board(2));
    hear(&mut b, vec![say(&mut a, 1, 0)]);
    say(&mut a, 2, 0);
    let third = say(&mut a, 3, 0);
    hear(&mut b, vec![third]);
    assert_eq!(b.marks()[0].version, 1, "the third is held, but only the first is all");
    let since = b.marks();
    let page = a.page(&ask(&b, &since, 9));
    assert_eq!(page.records.iter().map(|r| r.version).collect::<Vec<_>>(), [2, 3]);
    pull(&mut b, &a, 9);
    assert_eq!(b.marks(), a.marks());
    let since = b.marks();
    assert_eq!(a.page(&ask(&b, &since, 9)), StatePage::default());
}

#[test]
fn pages_bring_everything_and_a_cut_one_is_gone_on_from() {
    let (mut a, mut b, mut c) = (board(1), board(2), board(3));
    for n in 0..20 {
        say(&mut a, u128::from(n % 7), n);
        say(&mut b, u128::from(n % 5), n);
    }
    pull(&mut b, &a, 3);
    pull(&mut c, &b, 1);
    assert!(c.records().eq(b.records()));
    assert_eq!(c.marks(), b.marks());
}

#[test]
fn a_page_can_be_of_one_owner_or_kind_and_then_completes_only_what_it_is_of() {
    let (mut a, mut b) = (board(1), board(2));
    say(&mut a, 1, 0);
    a.publish("installed", Uuid::from_u128(1), data(1), NOW).unwrap();
    hear(&mut b, vec![say(&mut board(3), 1, 0)]);
    pull(&mut b, &a, 9);
    let of_one = b.page(&StateQuery { device: Some(peer(1)), ..ask(&board(4), &[], 9) });
    assert!(of_one.records.iter().all(|r| r.device_id == peer(1)) && of_one.up_to == a.marks());
    let kinds = ["slot_head".to_owned()];
    let of_a_kind = b.page(&StateQuery { model_types: &kinds, ..ask(&board(4), &[], 9) });
    assert_eq!((of_a_kind.records.len(), of_a_kind.up_to), (2, vec![]));
}

#[test]
fn only_devices_of_the_player_are_heard_and_a_removed_one_is_forgotten() {
    let (mut a, mut b) = (board(1), board(2));
    let stranger = say(&mut board(9), 7, 1);
    let receipt = hear(&mut b, vec![stranger]);
    assert_eq!(receipt.refused, [StateError::NotADevice { owner: peer(9) }]);
    assert_eq!((receipt.refused[0].class(), receipt.refused[0].is_retryable()), (ErrorClass::Refused, false));
    hear(&mut b, vec![say(&mut a, 7, 1)]);
    say(&mut b, 7, 2);
    let gone = b.retain(&BTreeSet::from([peer(3)]));
    assert_eq!(gone.iter().map(|k| k.device).collect::<Vec<_>>(), [peer(1)]);
    assert_eq!((held(&b, 1, 7), held(&b, 2, 7)), (None, Some(data(2))));
    assert_eq!(b.marks().len(), 1);
}

#[test]
fn a_record_out_of_bounds_or_with_other_content_is_refused_and_changes_nothing() {
    let (mut a, mut b) = (board(1), board(2));
    let said = say(&mut a, 7, 1);
    hear(&mut b, vec![said.clone()]);
    let before = b.clone();
    let lie = StateRecord { data: data(99), ..said.clone() };
    let receipt = hear(&mut b, vec![lie, StateRecord { generation: 0, ..said }]);
    assert_eq!(receipt.refused.len(), 2);
    assert_eq!(receipt.refused[0], StateError::Conflicting { owner: peer(1), version: 1 });
    assert_eq!(receipt.refused[0].class(), ErrorClass::Corruption);
    assert_eq!((receipt.put, b), (vec![], before));
}

#[test]
fn a_device_that_lost_its_database_wins_over_what_others_hold_of_it_even_with_its_clock_behind() {
    for new_life in [epoch(0), epoch(100)] {
        let (mut a, mut b, mut c) = (board(1), board(2), board(3));
        for n in 0..50 {
            say(&mut a, 7, n);
        }
        say(&mut a, 8, 1);
        pull(&mut b, &a, 9);
        pull(&mut c, &a, 9);
        // Gone, and with it the count; its clock begins in 1970.
        let mut a = StateBoard::new(peer(1), new_life);
        let early = UnixMillis(5);
        a.publish("slot_head", Uuid::from_u128(7), data(777), early).unwrap();
        // One that holds the old life tells it so.
        let since = a.marks();
        let page = b.page(&ask(&a, &since, 99));
        let receipt = a.receive(page.records, &page.up_to, &everyone(), early);
        assert_eq!(receipt.former.len(), 2, "what only others still know of it is handed out");
        assert_eq!(receipt.put.iter().map(|r| (r.generation, r.version)).collect::<Vec<_>>(), [(2, 1)]);
        // From the owner, and by the way of a relay.
        pull(&mut b, &a, 9);
        pull(&mut c, &b, 9);
        for other in [&b, &c] {
            assert_eq!(held(other, 1, 7), Some(data(777)));
            assert_eq!(held(other, 1, 8), None, "what it did not say again is no more");
        }
        // Whoever comes late with the old state changes nothing.
        let mut old = board(4);
        hear(&mut old, vec![StateRecord { generation: 1, version: 99, ..say(&mut board(1), 7, 0) }]);
        pull(&mut b, &old, 9);
        assert_eq!(held(&b, 1, 7), Some(data(777)));
    }
}

#[test]
fn a_new_life_without_a_record_ends_the_old_one_as_well() {
    let (mut a, mut b) = (board(1), board(2));
    say(&mut a, 7, 1);
    pull(&mut b, &a, 9);
    let mut a = StateBoard::new(peer(1), epoch(100));
    pull(&mut a, &b, 9);
    pull(&mut b, &a, 9);
    assert_eq!(held(&b, 1, 7), None);
    say(&mut a, 7, 2);
    pull(&mut b, &a, 9);
    assert_eq!(held(&b, 1, 7), Some(data(2)));
}

#[test]
fn a_device_whose_database_was_put_back_goes_beyond_what_it_had_said_since() {
    let (mut a, mut b) = (board(1), board(2));
    say(&mut a, 7, 1);
    let backup = a.clone();
    say(&mut a, 7, 2);
    pull(&mut b, &a, 9);
    let mut a = backup;
    let receipt = pull(&mut a, &b, 9);
    assert_eq!(receipt.former.len(), 1);
    say(&mut a, 7, 3);
    pull(&mut b, &a, 9);
    assert_eq!((held(&a, 1, 7), held(&b, 1, 7)), (Some(data(3)), Some(data(3))));
}

#[test]
fn a_relay_that_claims_more_than_the_owner_said_does_not_last() {
    let (mut a, mut b, mut c) = (board(1), board(2), board(3));
    let said = say(&mut a, 7, 1);
    let forged = StateRecord { version: 500, data: data(666), ..said };
    hear(&mut c, vec![forged]);
    pull(&mut b, &c, 9);
    assert_eq!(held(&b, 1, 7), Some(data(666)), "nobody here has heard the owner yet");
    pull(&mut b, &a, 9);
    pull(&mut a, &b, 9);
    pull(&mut b, &a, 9);
    pull(&mut c, &b, 9);
    assert_eq!((held(&a, 1, 7), held(&b, 1, 7), held(&c, 1, 7)), (Some(data(1)), Some(data(1)), Some(data(1))));
}

#[test]
fn comes_back_as_it_was_made_durable() {
    let (mut a, mut b) = (board(1), board(2));
    say(&mut a, 7, 1);
    say(&mut b, 7, 1);
    pull(&mut b, &a, 9);
    let again = StateBoard::restore(peer(2), epoch(2), b.records().cloned(), b.marks());
    assert_eq!(again, b);
}

#[test]
fn a_slot_head_is_read_as_it_was_written_and_one_with_too_much_is_not_shown() {
    let (game, slot) = (GameId::new("doom").unwrap(), SlotName::main());
    let id = slot_id(&game, &slot);
    let snapshot = |n| SnapshotId(Digest([n; 32]));
    let head = SlotHead {
        game,
        slot,
        head: Some(snapshot(1)),
        base: None,
        have: (0..16).map(snapshot).collect(),
        is_untracked: false,
        is_current: true,
        last_synced_at: Some(NOW.0),
    };
    let (mut a, mut b) = (board(1), board(2));
    a.publish_model(id, &head, NOW).unwrap();
    pull(&mut b, &a, 9);
    assert_eq!(b.get::<SlotHead>(peer(1), id), Some(head.clone()));
    assert_eq!(b.all::<SlotHead>().count(), 1);
    let too_much = SlotHead { have: (0..17).map(snapshot).collect(), ..head };
    a.publish_model(id, &too_much, NOW).unwrap();
    pull(&mut b, &a, 9);
    assert_eq!((b.get::<SlotHead>(peer(1), id), b.records().count()), (None, 1));
}

/// What may happen among owners.
#[derive(Debug, Clone)]
enum Step {
    Say {
        who: usize,
        record: u128,
        n: u32,
    },
    Unsay {
        who: usize,
        record: u128,
    },
    Pull {
        to: usize,
        from: usize,
        limit: usize,
    },
    /// Only some records of an answer arrive, in another order, and not what it completes.
    Torn {
        to: usize,
        from: usize,
        keep: u32,
    },
    Lose {
        who: usize,
    },
    Backup,
    /// The first device gets its database back as it was, and asks all others before it says anything. They are not put
    /// back themselves: one that is would hold again what it could not tell when it was asked.
    PutBack,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0usize..3;
    let step = prop_oneof![
        6 => (who.clone(), 0u128..3, 0u32..9).prop_map(|(who, record, n)| Step::Say { who, record, n }),
        2 => (who.clone(), 0u128..3).prop_map(|(who, record)| Step::Unsay { who, record }),
        5 => (who.clone(), who.clone(), 1usize..5).prop_map(|(to, from, limit)| Step::Pull { to, from, limit }),
        3 => (who.clone(), who.clone(), any::<u32>()).prop_map(|(to, from, keep)| Step::Torn { to, from, keep }),
        1 => who.prop_map(|who| Step::Lose { who }),
        1 => Just(Step::Backup),
        1 => Just(Step::PutBack),
    ];
    proptest::collection::vec(step, 0..40)
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p07_in_the_end_everybody_holds_what_each_owner_says_whatever_was_lost_or_put_back(steps in steps()) {
        let mut boards: Vec<StateBoard> = (1..=3).map(board).collect();
        let mut backup = boards[0].clone();
        let mut fresh = 100;
        for step in steps {
            match step {
                Step::Say { who, record, n } => {
                    boards[who].publish("slot_head", Uuid::from_u128(record), data(n), NOW).unwrap();
                }
                Step::Unsay { who, record } => {
                    boards[who].publish("slot_head", Uuid::from_u128(record), None, NOW).unwrap();
                }
                Step::Pull { to, from, limit } => {
                    if let Ok([to, from]) = boards.get_disjoint_mut([to, from]) {
                        pull(to, from, limit);
                    }
                }
                Step::Torn { to, from, keep } => {
                    let since = boards[to].marks();
                    let page = boards[from].page(&ask(&boards[to], &since, 32));
                    let some = page.records.into_iter().enumerate().filter(|(at, _)| keep >> at & 1 == 1).rev();
                    hear(&mut boards[to], some.map(|(_, r)| r).collect());
                }
                Step::Lose { who } => {
                    fresh += 1;
                    boards[who] = StateBoard::new(boards[who].me.device_id, epoch(fresh));
                }
                Step::Backup => backup = boards[0].clone(),
                Step::PutBack => {
                    boards[0] = backup.clone();
                    for from in [1, 2] {
                        let [to, from] = boards.get_disjoint_mut([0, from]).unwrap();
                        pull(to, from, 9);
                    }
                }
            }
        }
        for _ in 0..4 {
            for (to, from) in [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)] {
                let [to, from] = boards.get_disjoint_mut([to, from]).unwrap();
                pull(to, from, 2);
            }
        }
        for owner in &boards {
            let me = owner.me.device_id;
            let said: Vec<_> = owner.of_owner(me).filter(|r| r.data.is_some()).collect();
            for other in &boards {
                let held: Vec<_> = other.of_owner(me).filter(|r| r.data.is_some()).collect();
                prop_assert_eq!(&held, &said);
            }
        }
        for to in 0..3 {
            for from in (0..3).filter(|from| *from != to) {
                let since = boards[to].marks();
                let page = boards[from].page(&ask(&boards[to], &since, 9));
                // That an earlier life of the asker got so far may be said again: of one that fell short of its newer life
                // nothing is left to be said.
                prop_assert_eq!(&page.records, &[], "and another round brings nothing");
                let mut again = boards[to].clone();
                let receipt = again.receive(page.records, &page.up_to, &everyone(), NOW);
                prop_assert_eq!((receipt, &again), (StateReceipt::default(), &boards[to]), "or changes anything");
            }
        }
        for b in &boards {
            let again = StateBoard::restore(b.me.device_id, b.me.device_epoch, b.records().cloned(), b.marks());
            prop_assert_eq!(again.marks(), b.marks());
        }
    }
}
