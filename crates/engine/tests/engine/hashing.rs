//! Background hashing: a batch of games at a time, out of the way of bytes that move.

use bonfire_engine::PeerEvent;
use bonfire_engine::input::{Effect, Hashed, Input, OpInput};
use bonfire_engine::snapshot::Phase;

use bonfire_engine::quiet::OFFER_AFTER;

use crate::desk::{Desk, Other, content, downloaded, facts, game, manifest, ready, report, unhashed};

fn done(n: u8) -> Hashed {
    Hashed::Done { manifest_hash: manifest(n), content_hash: content(n) }
}

#[test]
fn one_batch_at_a_time_and_only_games_whose_content_is_unknown() {
    let mut desk = Desk::raw(1, Default::default(), Vec::new());
    let batch = desk.start(&["a", "b", "c"], &[("a", unhashed(1)), ("b", facts(2)), ("c", unhashed(3))]);
    assert_eq!(batch.hashes(), [game("a"), game("c")]);
    let batch = desk.give(Input::Hashed(vec![(game("a"), done(1))]));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::GameHashed { .. })));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::LocalLibraryChanged { .. })));
    desk.disk.insert(game("d"), unhashed(4));
    desk.stirred("d");
    desk.scan(Some("d"));
    assert!(desk.pass(OFFER_AFTER).hashes().is_empty(), "c has not ended");
    let batch = desk.give(Input::Hashed(vec![(game("c"), done(3))]));
    assert_eq!(batch.hashes(), [game("d")]);
}

#[test]
fn a_batch_that_ends_is_one_revision_made_durable_before_any_of_it_is_told() {
    let games: Vec<(String, u8)> = (1..=200).map(|n| (format!("game-{n:03}"), n)).collect();
    let ids: Vec<&str> = games.iter().map(|(id, _)| id.as_str()).collect();
    let found: Vec<_> = games.iter().map(|(id, n)| (id.as_str(), unhashed(*n))).collect();
    let mut desk = Desk::raw(1, Default::default(), Vec::new());
    assert_eq!(desk.start(&ids, &found).hashes().len(), 200);
    let batch = desk.give(Input::Hashed(games.iter().map(|(id, n)| (game(id), done(*n))).collect()));
    let persists = batch.0.iter().filter(|e| matches!(e, Effect::Persist(_))).count();
    assert_eq!(persists, 1);
    let told = batch.0.iter().position(|e| matches!(e, Effect::Emit(_) | Effect::Send(..)));
    let durable = batch.0.iter().position(|e| matches!(e, Effect::Persist(_)));
    assert!(durable < told, "{durable:?} {told:?}");
}

#[test]
fn a_game_that_is_large_goes_alone() {
    use bonfire_engine::games::HASH_BATCH_BYTES;
    let large = |n| bonfire_engine::input::GameFacts { size: HASH_BATCH_BYTES, ..unhashed(n) };
    let mut desk = Desk::raw(1, Default::default(), Vec::new());
    let batch = desk.start(&["a", "b", "c"], &[("a", large(1)), ("b", large(2)), ("c", unhashed(3))]);
    assert_eq!(batch.hashes(), [game("a")]);
}

#[test]
fn an_operation_that_takes_a_game_away_from_the_hasher_is_no_problem_of_the_game() {
    let mut desk = Desk::started(&["a", "b"], &[("a", unhashed(1)), ("b", unhashed(2))]);
    let (op, _) = desk.transfer(bonfire_engine::command::TransferCommand::Remove { game: game("b") });
    assert!(op.is_ok());
    let failed = Hashed::Failed(report("not_found"));
    let batch = desk.give(Input::Hashed(vec![(game("a"), done(1)), (game("b"), failed)]));
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::ProblemFound { .. })), "{batch:?}");
    assert!(batch.hashes().is_empty(), "b is under way");
}

#[test]
fn held_while_bytes_move_and_let_go_after() {
    let mut desk = Desk::started(&["a", "doom"], &[("a", unhashed(1))]);
    desk.meet(&Other::new(0x40).with(&[ready("doom", 5)]));
    let (op, batch) = desk.get("doom");
    assert_eq!(batch.holds(), [true]);
    let op = op.unwrap();
    let batch = desk.op(op, OpInput::Starved(report("no_source")));
    assert_eq!(batch.holds(), [false], "a download that stands still holds nobody up");
    let batch = desk.op(op, OpInput::Phase(Phase::Transferring));
    assert_eq!(batch.holds(), [true]);
    let batch = desk.finish(op, downloaded());
    assert_eq!(batch.holds(), [false]);
}

#[test]
fn a_game_under_way_is_passed_over() {
    let mut desk = Desk::started(&["a", "b"], &[("a", unhashed(1)), ("b", unhashed(2))]);
    let (op, _) = desk.transfer(bonfire_engine::command::TransferCommand::Verify { game: game("b"), restore: false });
    let batch = desk.give(Input::Hashed(vec![(game("a"), done(1)), (game("b"), Hashed::Stopped)]));
    assert!(batch.hashes().is_empty());
    let batch = desk.finish(
        op.unwrap(),
        bonfire_engine::input::OpOutcome::Verified { checked: 1, bad: vec![], repaired: 0, install: None },
    );
    assert!(batch.hashes().is_empty());
    let batch = desk.scan(Some("b"));
    assert_eq!(batch.hashes(), [game("b")]);
}

#[test]
fn given_up_when_unreadable_and_tried_again_when_its_facts_change() {
    let mut desk = Desk::started(&["a"], &[("a", unhashed(1))]);
    let batch = desk.give(Input::Hashed(vec![(game("a"), Hashed::Failed(report("unreadable")))]));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::ProblemFound { .. })));
    assert!(batch.hashes().is_empty());
    desk.stirred("a");
    assert!(desk.scan(Some("a")).hashes().is_empty());
    desk.disk.insert(game("a"), unhashed(2));
    desk.stirred("a");
    desk.scan(Some("a"));
    assert_eq!(desk.pass(OFFER_AFTER).hashes(), [game("a")]);
    desk.give(Input::Hashed(vec![(game("a"), done(2))]));
    assert!(desk.view().problems.is_empty(), "{:?}", desk.view().problems);
}

#[test]
fn a_game_that_changed_while_it_was_read_is_read_again_although_its_sizes_stand() {
    // A copy that first makes the whole file and then fills it: neither the list nor the sizes ever differ.
    let mut desk = Desk::started(&["a"], &[("a", unhashed(1))]);
    let batch = desk.give(Input::Hashed(vec![(game("a"), Hashed::Changed)]));
    assert!(batch.hashes().is_empty(), "its folder is to be read first");
    assert_eq!(desk.pass(std::time::Duration::from_secs(1)).scans(), [Some(game("a"))]);
    assert!(desk.scan(Some("a")).hashes().is_empty(), "and left alone for a while");
    assert_eq!(desk.pass(OFFER_AFTER).hashes(), [game("a")]);
}

#[test]
fn a_hash_of_another_list_than_is_known_is_not_believed() {
    let mut desk = Desk::started(&["a"], &[("a", unhashed(1))]);
    let batch = desk.give(Input::Hashed(vec![(game("a"), done(9))]));
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::GameHashed { .. })));
    assert_eq!(desk.view().games[0].content_hash, None);
}

#[test]
fn a_game_that_could_not_be_hashed_is_tried_again_after_a_full_scan_and_told_once() {
    let mut desk = Desk::started(&["a"], &[("a", unhashed(1))]);
    desk.give(Input::Hashed(vec![(game("a"), Hashed::Failed(report("unreadable")))]));
    desk.give(Input::Watched(bonfire_engine::input::Watched::Everything));
    desk.pass(std::time::Duration::from_secs(1));
    let batch = desk.scan(None);
    assert_eq!(batch.hashes(), [game("a")]);
    let batch = desk.give(Input::Hashed(vec![(game("a"), Hashed::Failed(report("unreadable")))]));
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::ProblemFound { .. })), "{batch:?}");
    assert_eq!(desk.view().problems.len(), 1);
    assert!(batch.hashes().is_empty(), "not in a loop");
}
