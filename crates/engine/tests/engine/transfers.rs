//! get, cancel, remove, verify, resume.

use std::collections::BTreeSet;
use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::TransferCommand;
use bonfire_engine::input::{ConnInput, Effect, Input, OpId, OpInput, OpOutcome, OpPlan, Watched};
use bonfire_engine::snapshot::{OperationKind, Phase};
use bonfire_proto::message::{Control, LibraryDeltaMsg};
use bonfire_proto::{Availability, GameSummary};

use crate::desk::{
    Batch, Desk, Other, addr, content, downloaded, facts, game, line, peer, ready, report, swept, target, unhashed,
};

fn seat() -> Other {
    Other::new(0x40).with(&[ready("doom", 1)])
}

fn phase(desk: &Desk) -> Option<Phase> {
    desk.view().operations.first().map(|o| o.phase)
}

fn code<T: std::fmt::Debug>(result: Result<T, bonfire_engine::Report>) -> String {
    result.unwrap_err().code
}

/// A download with one source, under way.
fn fetching() -> (Desk, OpId) {
    let mut desk = Desk::started(&["doom"], &[]);
    desk.meet(&seat());
    let op = desk.get("doom").0.unwrap();
    (desk, op)
}

fn outcomes(batch: &Batch) -> usize {
    let is_outcome = |e: &&PeerEvent| {
        matches!(
            e,
            PeerEvent::DownloadFinished { .. }
                | PeerEvent::DownloadFailed { .. }
                | PeerEvent::DownloadCancelled { .. }
                | PeerEvent::GameRemoved { .. }
                | PeerEvent::RemoveFailed { .. }
                | PeerEvent::VerifyFinished { .. }
                | PeerEvent::VerifyFailed { .. }
        )
    };
    batch.events().into_iter().filter(is_outcome).count()
}

#[test]
fn a_get_starts_with_every_source_of_the_content_and_names_the_operation() {
    let mut desk = Desk::started(&["doom"], &[]);
    let a = desk.meet(&seat());
    let b = desk.meet(&Other::new(0x60).with(&[ready("doom", 1)]));
    desk.meet(&Other::new(0x70).with(&[line("doom", 1, Availability::Downloading)]));
    let (op, batch) = desk.get("doom");
    let [(id, OpPlan::Download { target: t, sources, resume: false })] = batch.started()[..] else {
        panic!("{batch:?}")
    };
    assert_eq!((Ok(id), t), (op, &target("doom", 1)));
    assert_eq!(sources, &[(peer(0x40), a), (peer(0x60), b)]);
    assert_eq!(desk.view().operations[0].kind, OperationKind::Download);
}

#[test]
fn a_fetched_game_comes_into_the_catalog_because_whoever_fetches_serves() {
    let mut desk = Desk::started(&[], &[]);
    desk.meet(&seat());
    let (_, batch) = desk.get("doom");
    assert_eq!(batch.saves().len(), 1);
    desk.give(Input::CatalogSaved(Ok(())));
    assert!(desk.view().games[0].in_catalog);
}

#[test]
fn refusals_say_why() {
    let mut desk = Desk::started(&["doom", "quake"], &[("quake", facts(2))]);
    assert_eq!(code(desk.get("doom").0), "unknown_game");
    desk.meet(&Other::new(0x40).with(&[line("doom", 1, Availability::LocalOnly), ready("quake", 2)]));
    assert_eq!(code(desk.get("doom").0), "not_offered");
    assert_eq!(code(desk.get("quake").0), "already_here");
    desk.meet(&Other::new(0x60).with(&[ready("heretic", 3)]));
    let other = GameSummary { content_hash: Some(content(9)), ..ready("heretic", 3) };
    desk.meet(&Other::new(0x61).with(&[other]));
    assert_eq!(code(desk.get("heretic").0), "peers_disagree");
    let (op, batch) = desk.transfer(TransferCommand::Get { game: game("heretic"), from: Some(peer(0x61)) });
    assert!(op.is_ok());
    let [(_, OpPlan::Download { sources, .. })] = batch.started()[..] else { panic!() };
    assert_eq!(sources.iter().map(|(p, _)| *p).collect::<Vec<_>>(), [peer(0x61)]);
}

#[test]
fn asking_again_joins_the_download_under_way() {
    let (mut desk, op) = fetching();
    let (again, batch) = desk.get("doom");
    assert_eq!(again, Ok(op));
    assert!(batch.started().is_empty());
}

#[test]
fn a_finished_download_is_settled_by_a_scan_and_only_then_told() {
    let (mut desk, op) = fetching();
    desk.op(op, OpInput::Phase(Phase::Transferring));
    let batch = desk.finish(op, downloaded());
    assert_eq!(batch.scans(), [Some(game("doom"))]);
    assert_eq!(outcomes(&batch), 0);
    assert_eq!(phase(&desk), Some(Phase::Settling));
    desk.disk.insert(game("doom"), facts(1));
    let batch = desk.scan(Some("doom"));
    assert_eq!(outcomes(&batch), 1);
    assert!(desk.view().operations.is_empty());
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
    // A front end that asks when it hears of the outcome sees the game, and no operation.
    let told = batch.0.iter().position(|e| matches!(e, Effect::Emit(PeerEvent::DownloadFinished { .. }))).unwrap();
    let ops =
        batch.0.iter().position(|e| matches!(e, Effect::Emit(PeerEvent::ActiveOperationsChanged { .. }))).unwrap();
    assert!(ops < told);
}

#[test]
fn settling_waits_for_a_scan_that_began_after_the_work_ended() {
    // A full scan is under way when the work ends: it may have read the folder before.
    let (mut desk, op) = fetching();
    desk.give(Input::Watched(Watched::Everything));
    let batch = desk.finish(op, downloaded());
    assert!(batch.scans().is_empty());
    let batch = desk.scan(None);
    assert_eq!(batch.scans(), [Some(game("doom"))]);
    assert_eq!(outcomes(&batch), 0);
    assert_eq!(phase(&desk), Some(Phase::Settling));
    desk.disk.insert(game("doom"), facts(1));
    assert_eq!(outcomes(&desk.scan(Some("doom"))), 1);
}

#[test]
fn settling_is_let_go_by_a_full_scan_that_began_after_the_work_ended() {
    let (mut desk, op) = fetching();
    desk.stirred("other");
    desk.give(Input::Watched(Watched::Everything));
    desk.finish(op, downloaded());
    assert_eq!(desk.scan(Some("other")).scans(), [None]);
    desk.disk.insert(game("doom"), facts(1));
    assert_eq!(outcomes(&desk.scan(None)), 1);
    assert!(desk.view().operations.is_empty());
}

#[test]
fn settling_is_let_go_even_when_the_folder_cannot_be_read() {
    let (mut desk, op) = fetching();
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: false });
    let batch = desk.scanned(Some("doom"), Err(report("unreadable")));
    assert_eq!(outcomes(&batch), 1);
    assert!(desk.view().operations.is_empty());
}

#[test]
fn what_an_operation_left_is_not_offered_while_it_cannot_be_read() {
    for scope in [Some("doom"), None] {
        let mut desk = Desk::started(&["doom"], &[("doom", facts(3))]);
        let newer = GameSummary { eti_version: "2".to_owned(), ..ready("doom", 1) };
        desk.meet(&Other::new(0x40).with(&[newer]));
        let op = desk.get("doom").0.unwrap();
        desk.cancel("doom").0.unwrap();
        desk.finish(op, swept());
        if scope.is_none() {
            desk.give(Input::Watched(Watched::Everything));
            desk.scanned(Some("doom"), Err(report("unreadable")));
        }
        let batch = desk.scanned(scope, Err(report("unreadable")));
        assert_eq!(outcomes(&batch), 1, "{batch:?}");
        assert!(desk.engine.serving_view().servable(&game("doom")).is_err());
        assert_ne!(desk.view().games[0].availability, Availability::Ready);
        assert!(desk.get("doom").0.is_ok(), "it is not here for all that is known");
    }
}

#[test]
fn a_fetched_game_that_cannot_be_read_is_not_taken_for_gone() {
    let (mut desk, op) = fetching();
    desk.finish(op, downloaded());
    let batch = desk.scanned(Some("doom"), Err(report("unreadable")));
    assert_eq!(outcomes(&batch), 1, "{batch:?}");
    assert!(batch.persists().iter().all(|p| p.gone.is_empty()), "{batch:?}");
}

#[test]
fn a_game_left_in_doubt_is_offered_again_when_it_can_be_read() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let (op, _) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    desk.finish(op.unwrap(), OpOutcome::Verified { checked: 1, bad: vec![], repaired: 0, install: None });
    desk.scanned(Some("doom"), Err(report("unreadable")));
    assert_eq!(desk.view().games[0].availability, Availability::LocalOnly);
    desk.give(Input::Watched(Watched::Everything));
    desk.scan(None);
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
    assert!(desk.engine.serving_view().servable(&game("doom")).is_ok());
}

#[test]
fn a_scan_never_overwrites_a_game_under_way_in_any_order_of_events() {
    // Full scan and operation begin, end and settle in every order in which they can.
    for scan_begins in 0..4 {
        for scan_ends in scan_begins..4 {
            let mut desk = Desk::started(&["doom"], &[("doom", facts(3))]);
            let newer = GameSummary { eti_version: "2".to_owned(), ..ready("doom", 1) };
            desk.meet(&Other::new(0x40).with(&[newer]));
            let mut op = None;
            let mut owed = BTreeSet::new();
            let mut seen = Vec::new();
            let note = |batch: &Batch, owed: &mut BTreeSet<_>| owed.extend(batch.scans());
            for step in 0..4 {
                if step == scan_begins {
                    note(&desk.give(Input::Watched(Watched::Everything)), &mut owed);
                }
                match step {
                    0 => op = Some(desk.get("doom").0.unwrap()),
                    1 => {
                        desk.op(op.unwrap(), OpInput::Phase(Phase::Transferring));
                        // The old sentinel is gone, files are half written.
                        let half = bonfire_engine::input::GameFacts { downloaded: false, ..unhashed(7) };
                        desk.disk.insert(game("doom"), half);
                    }
                    2 => {
                        desk.disk.insert(game("doom"), facts(1));
                        note(&desk.finish(op.unwrap(), downloaded()), &mut owed);
                    }
                    _ => {}
                }
                if step == scan_ends && owed.remove(&None) {
                    note(&desk.scan(None), &mut owed);
                }
                seen.push((desk.view().games[0].manifest_hash, desk.view().operations.len()));
            }
            while let Some(scope) = owed.pop_first() {
                note(&desk.scan(scope.as_ref().map(bonfire_proto::GameId::as_str)), &mut owed);
            }
            assert!(desk.view().operations.is_empty(), "{scan_begins} {scan_ends} {seen:?}");
            for (hash, ops) in seen {
                let good = [Some(crate::desk::manifest(3)), Some(crate::desk::manifest(1))];
                assert!(good.contains(&hash), "{scan_begins} {scan_ends}");
                assert!(ops == 0 || hash == good[0], "{scan_begins} {scan_ends}");
            }
            assert_eq!(desk.view().games[0].manifest_hash, Some(crate::desk::manifest(1)));
        }
    }
}

#[test]
fn events_of_a_game_under_way_start_no_scan() {
    let (mut desk, _) = fetching();
    assert!(desk.stirred("doom").is_empty());
}

#[test]
fn a_source_that_comes_or_goes_is_told_to_the_worker() {
    let (mut desk, op) = fetching();
    let second = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, _) = desk.arrive(&second, None);
    let batch = desk.answers(conn, second.snapshot());
    assert_eq!(batch.sources().last().unwrap().1.len(), 2);
    let batch = desk.closes(conn, "gone");
    let (told, sources) = batch.sources().pop().unwrap();
    assert_eq!((told, sources.len()), (op, 1));
    assert_eq!(desk.view().operations[0].sources, [peer(0x40)]);
}

#[test]
fn a_source_that_is_reached_over_another_connection_is_told_to_the_worker() {
    let (mut desk, _) = fetching();
    let (conn, batch) = desk.arrive(&seat(), None);
    assert_eq!(batch.sources().pop().unwrap().1, [(peer(0x40), conn)]);
}

#[test]
fn what_others_change_elsewhere_is_no_change_of_the_operations() {
    let (mut desk, _) = fetching();
    let other = Other::new(0x60).with(&[ready("quake", 1)]);
    let (conn, _) = desk.arrive(&other, None);
    let batch = desk.answers(conn, other.snapshot());
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::ActiveOperationsChanged { .. })), "{batch:?}");
}

#[test]
fn a_download_without_source_waits_is_told_and_goes_on_by_itself() {
    let (mut desk, op) = fetching();
    let batch = desk.op(op, OpInput::Starved(report("no_source")));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadPaused { .. })));
    assert_eq!(phase(&desk), Some(Phase::Waiting));
    desk.op(op, OpInput::Phase(Phase::Transferring));
    assert_eq!(desk.view().operations[0].error, None);
}

#[test]
fn a_download_on_the_disk_waits_at_start_and_goes_on_when_a_source_appears() {
    let mut desk = Desk::resuming(&[target("doom", 1)]);
    assert_eq!(phase(&desk), Some(Phase::Waiting));
    let other = seat();
    let (conn, _) = desk.arrive(&other, None);
    let batch = desk.answers(conn, other.snapshot());
    let [(_, OpPlan::Download { target: t, sources, resume: true })] = batch.started()[..] else { panic!("{batch:?}") };
    assert_eq!((t, sources.as_slice()), (&target("doom", 1), [(peer(0x40), conn)].as_slice()));
}

#[test]
fn a_download_on_the_disk_does_not_take_another_content() {
    let mut desk = Desk::resuming(&[target("doom", 1)]);
    let other = Other::new(0x40).with(&[ready("doom", 2)]);
    let (conn, _) = desk.arrive(&other, None);
    assert!(desk.answers(conn, other.snapshot()).started().is_empty());
    assert_eq!(phase(&desk), Some(Phase::Waiting));
}

#[test]
fn a_failed_download_that_left_something_goes_on_where_it_was() {
    let (mut desk, op) = fetching();
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: true });
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadFailed { .. })));
    let (op, batch) = desk.get("doom");
    let [(id, OpPlan::Download { resume: true, .. })] = batch.started()[..] else { panic!("{batch:?}") };
    assert_eq!(op, Ok(id));
}

#[test]
fn a_failed_download_that_left_nothing_begins_anew() {
    let (mut desk, op) = fetching();
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: false });
    desk.scan(Some("doom"));
    let (_, batch) = desk.get("doom");
    assert!(matches!(batch.started()[..], [(_, OpPlan::Download { resume: false, .. })]));
}

#[test]
fn a_download_on_the_disk_without_source_is_swept_by_a_cancel() {
    let mut desk = Desk::resuming(&[target("doom", 1)]);
    let (op, batch) = desk.cancel("doom");
    assert!(matches!(batch.started()[..], [(_, OpPlan::Discard { .. })]));
    desk.finish(op.unwrap(), swept());
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadCancelled { .. })));
    assert!(desk.view().operations.is_empty());
    assert_eq!(code(desk.cancel("doom").0), "nothing_active");
}

#[test]
fn a_sweep_that_failed_can_be_tried_again() {
    let (mut desk, op) = fetching();
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: true });
    desk.scan(Some("doom"));
    for _ in 0..2 {
        let (op, batch) = desk.cancel("doom");
        assert!(matches!(batch.started()[..], [(_, OpPlan::Discard { .. })]), "{batch:?}");
        desk.finish(op.unwrap(), OpOutcome::Failed { error: report("read_only"), resumable: true });
        desk.scan(Some("doom"));
        assert!(desk.view().operations.is_empty());
    }
    let (_, batch) = desk.get("doom");
    assert!(matches!(batch.started()[..], [(_, OpPlan::Download { resume: true, .. })]), "{batch:?}");
}

#[test]
fn a_cancel_is_heard_in_every_phase() {
    for at in [Phase::Preparing, Phase::Checking, Phase::Transferring, Phase::Committing, Phase::Waiting] {
        let (mut desk, op) = fetching();
        if at == Phase::Waiting {
            desk.op(op, OpInput::Starved(report("no_source")));
        } else {
            desk.op(op, OpInput::Phase(at));
        }
        let (cancelled, batch) = desk.cancel("doom");
        assert_eq!((cancelled, batch.cancels()), (Ok(op), vec![op]), "{at:?}");
        assert_eq!(phase(&desk), Some(Phase::Cancelling));
        // What the worker had said before it heard changes nothing.
        desk.op(op, OpInput::Phase(Phase::Committing));
        desk.op(op, OpInput::Starved(report("no_source")));
        assert_eq!(phase(&desk), Some(Phase::Cancelling));
        assert_eq!(desk.cancel("doom").0, Ok(op));
        assert_eq!(code(desk.get("doom").0), "busy");
        desk.finish(op, swept());
        assert_eq!(phase(&desk), Some(Phase::Settling));
        let batch = desk.scan(Some("doom"));
        assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadCancelled { .. })), "{at:?}");
        assert!(desk.view().operations.is_empty());
    }
}

/// Whether a batch lets the operation put its game in place.
fn commits(batch: &Batch) -> bool {
    batch.0.iter().any(|e| matches!(e, Effect::Commit(_)))
}

#[test]
fn a_cancel_is_refused_from_the_moment_at_which_the_game_may_be_put_in_place() {
    let (mut desk, op) = fetching();
    desk.op(op, OpInput::Phase(Phase::Committing));
    assert!(commits(&desk.op(op, OpInput::Ready)));
    let (refused, batch) = desk.cancel("doom");
    assert_eq!(code(refused), "too_late");
    assert!(batch.cancels().is_empty() && batch.started().is_empty());
    assert_eq!(phase(&desk), Some(Phase::Committing));
    desk.finish(op, downloaded());
    assert_eq!(code(desk.cancel("doom").0), "too_late");
    desk.disk.insert(game("doom"), facts(1));
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadFinished { .. })));
    assert_eq!(code(desk.cancel("doom").0), "nothing_active");
}

#[test]
fn a_cancel_that_came_first_keeps_the_game_from_being_put_in_place() {
    let (mut desk, op) = fetching();
    desk.op(op, OpInput::Phase(Phase::Committing));
    assert_eq!(desk.cancel("doom").0, Ok(op));
    assert!(!commits(&desk.op(op, OpInput::Ready)));
    desk.finish(op, swept());
    assert!(!commits(&desk.op(op, OpInput::Ready)), "nor when it is over");
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadCancelled { .. })));
}

#[test]
fn a_download_that_fails_at_the_moment_of_its_cancel_is_swept_all_the_same() {
    let (mut desk, op) = fetching();
    desk.cancel("doom").0.unwrap();
    let batch = desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: true });
    assert!(matches!(batch.started()[..], [(_, OpPlan::Discard { .. })]), "{batch:?}");
    assert_eq!(phase(&desk), Some(Phase::Cancelling));
    desk.finish(op, swept());
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadCancelled { .. })));
    assert_eq!(outcomes(&batch), 1);
}

#[test]
fn a_download_that_has_just_failed_is_swept_by_a_cancel_while_it_settles() {
    let (mut desk, op) = fetching();
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: true });
    let (joined, batch) = desk.cancel("doom");
    assert_eq!(joined, Ok(op));
    assert!(matches!(batch.started()[..], [(_, OpPlan::Discard { .. })]), "{batch:?}");
    // The scan that the failure asked for must not settle what is being swept.
    assert_eq!(outcomes(&desk.scan(Some("doom"))), 0);
    desk.finish(op, swept());
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::DownloadCancelled { .. })));
    assert_eq!(code(desk.cancel("doom").0), "nothing_active");
}

#[test]
fn a_cancel_joins_what_ends_without_the_game_anyway() {
    for outcome in [swept(), OpOutcome::Failed { error: report("no_space"), resumable: false }] {
        let (mut desk, op) = fetching();
        desk.finish(op, outcome);
        let (joined, batch) = desk.cancel("doom");
        assert_eq!(joined, Ok(op));
        assert!(batch.cancels().is_empty() && batch.started().is_empty());
        assert_eq!(outcomes(&desk.scan(Some("doom"))), 1);
    }
}

#[test]
fn a_repair_that_was_stopped_is_shown_until_somebody_goes_on_with_it_or_sweeps_it() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.meet(&seat());
    let (op, _) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    assert_eq!(desk.view().games[0].unfinished, None);
    desk.cancel("doom").0.unwrap();
    let half = bonfire_engine::input::GameFacts { downloaded: false, ..unhashed(1) };
    desk.disk.insert(game("doom"), half);
    desk.finish(op.unwrap(), OpOutcome::Failed { error: report("cancelled"), resumable: true });
    desk.scan(Some("doom"));
    assert!(desk.view().operations.is_empty());
    assert_eq!(desk.view().games[0].unfinished.as_deref(), Some("1"));
    let (op, batch) = desk.get("doom");
    assert!(matches!(batch.started()[..], [(_, OpPlan::Download { resume: true, .. })]), "{batch:?}");
    assert_eq!(desk.view().games[0].unfinished, None);
    desk.finish(op.unwrap(), downloaded());
    desk.disk.insert(game("doom"), facts(1));
    desk.scan(Some("doom"));
    assert_eq!(desk.view().games[0].unfinished, None);
}

#[test]
fn what_lies_there_of_a_failed_download_is_shown_although_no_folder_and_no_catalog_names_it() {
    let mut desk = Desk::started(&[], &[]);
    desk.meet(&seat());
    let op = desk.get("doom").0.unwrap();
    desk.give(Input::CatalogSaved(Err(report("no_space"))));
    desk.finish(op, OpOutcome::Failed { error: report("no_space"), resumable: true });
    desk.scan(Some("doom"));
    let view = desk.view();
    assert_eq!(
        view.games.iter().map(|g| (&g.id, g.unfinished.as_deref())).collect::<Vec<_>>(),
        [(&game("doom"), Some("1"))]
    );
}

#[test]
fn a_download_that_waits_says_since_when_and_what_would_help() {
    let mut desk = Desk::resuming(&[target("doom", 1)]);
    let waits = |desk: &Desk| {
        let op = desk.view().operations[0].clone();
        let error = op.error.unwrap();
        (op.waiting_since, error.message, error.hint)
    };
    let began = desk.now;
    let (since, message, hint) = waits(&desk);
    assert_eq!(
        (since, message.as_str()),
        (Some(bonfire_engine::Instant(began)), "nobody connected has doom version 1")
    );
    assert!(hint.contains("`bonfire cancel doom`"), "{hint}");
    // Somebody comes with another version only: that is said, and the wait is the same wait.
    desk.pass(Duration::from_secs(5));
    let newer = GameSummary { eti_version: "2".to_owned(), ..ready("doom", 2) };
    let other = Other::new(0x40).with(&[newer]);
    let (conn, _) = desk.arrive(&other, None);
    let batch = desk.answers(conn, other.snapshot());
    assert!(batch.has_event(|e| matches!(e, PeerEvent::ActiveOperationsChanged { .. })));
    let (since, message, hint) = waits(&desk);
    assert_eq!(since, Some(bonfire_engine::Instant(began)));
    assert!(message.contains("version 2 is offered in its place"), "{message}");
    assert!(hint.contains("`bonfire cancel doom`, then `bonfire get doom`"), "{hint}");
    // Nothing new: nothing is told.
    let third = Other::new(0x60).with(&[ready("quake", 1)]);
    let (conn, _) = desk.arrive(&third, None);
    let batch = desk.answers(conn, third.snapshot());
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::ActiveOperationsChanged { .. })), "{batch:?}");
    desk.meet(&Other::new(0x61).with(&[ready("doom", 1)]));
    let op = desk.view().operations[0].clone();
    assert_eq!((op.phase, op.waiting_since, op.error), (Phase::Preparing, None, None));
}

#[test]
fn a_worker_that_starves_says_what_the_room_offers_instead() {
    let (mut desk, op) = fetching();
    let newer = GameSummary { eti_version: "2".to_owned(), ..ready("doom", 2) };
    let updated = Other::new(0x40).with(&[newer]);
    desk.meet(&updated);
    desk.pass(Duration::from_secs(3));
    let batch = desk.op(op, OpInput::Starved(report("no_source")));
    let told = batch.has_event(
        |e| matches!(e, PeerEvent::DownloadPaused { error, .. } if error.message.contains("version 2 is offered")),
    );
    assert!(told, "{batch:?}");
    assert_eq!(desk.view().operations[0].waiting_since, Some(bonfire_engine::Instant(desk.now)));
    desk.op(op, OpInput::Phase(Phase::Transferring));
    assert_eq!(desk.view().operations[0].waiting_since, None);
}

#[test]
fn a_cancel_with_nothing_to_cancel_is_not_found() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    assert_eq!(code(desk.cancel("doom").0), "nothing_active");
}

#[test]
fn a_new_source_does_not_wake_a_download_that_is_being_cancelled() {
    let mut desk = Desk::resuming(&[target("doom", 1)]);
    desk.cancel("doom").0.unwrap();
    let other = seat();
    let (conn, _) = desk.arrive(&other, None);
    let batch = desk.answers(conn, other.snapshot());
    assert!(batch.started().is_empty() && batch.sources().is_empty());
}

#[test]
fn remove_is_refused_for_what_it_must_not_touch() {
    let not_downloaded = bonfire_engine::input::GameFacts { downloaded: false, ..facts(1) };
    let installed = bonfire_engine::input::GameFacts { installed: true, ..facts(2) };
    let disk = [("a", not_downloaded), ("b", installed), ("c", facts(3)), ("d", facts(4))];
    let mut desk = Desk::started(&["a", "b", "d"], &disk);
    let mut ask = |id: &str| desk.transfer(TransferCommand::Remove { game: game(id) }).0;
    assert_eq!(code(ask("a")), "not_downloaded");
    assert_eq!(code(ask("b")), "installed");
    assert_eq!(code(ask("c")), "not_in_catalog");
    assert_eq!(code(ask("nothing")), "unknown_game");
    assert!(ask("d").is_ok());
    assert_eq!(code(ask("d")), "busy");
}

#[test]
fn remove_is_told_when_the_folder_was_read_again() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let conn = desk.meet(&Other::new(0x40));
    let (op, batch) = desk.transfer(TransferCommand::Remove { game: game("doom") });
    assert!(matches!(batch.started()[..], [(_, OpPlan::Remove { .. })]));
    assert_eq!(desk.view().games[0].availability, Availability::LocalOnly);
    assert_eq!(code(desk.cancel("doom").0), "not_cancellable");
    desk.disk.clear();
    desk.finish(op.unwrap(), OpOutcome::Removed);
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::GameRemoved { .. })));
    let batch = desk.pass(Duration::from_millis(200));
    let removed = batch.sent().iter().any(|(c, m)| {
        *c == conn
            && matches!(m, Control::LibraryDelta(LibraryDeltaMsg { delta, .. }) if delta.removed == [game("doom")])
    });
    assert!(removed, "{batch:?}");
}

#[test]
fn verify_compares_with_what_was_downloaded_and_repairs_from_the_same_content() {
    let broken =
        bonfire_engine::input::GameFacts { expected: Some((crate::desk::manifest(1), content(1))), ..unhashed(8) };
    let mut desk = Desk::started(&["doom"], &[("doom", broken)]);
    let conn = desk.meet(&seat());
    let (op, batch) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    let [(_, OpPlan::Verify { sources, .. })] = batch.started()[..] else { panic!("{batch:?}") };
    assert_eq!(sources, &[(peer(0x40), conn)]);
    let op = op.unwrap();
    desk.finish(op, OpOutcome::Verified { checked: 100, bad: vec!["a".to_owned()], repaired: 4, install: None });
    let batch = desk.scan(Some("doom"));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::VerifyFinished { repaired_bytes: 4, .. })));
    assert_eq!(
        code(desk.transfer(TransferCommand::Verify { game: game("quake"), restore: false }).0),
        "not_downloaded"
    );
}

#[test]
fn a_verify_of_a_content_nobody_knows_never_gets_a_source() {
    let mut desk = Desk::started(&["doom"], &[("doom", unhashed(1))]);
    desk.meet(&seat());
    let (_, batch) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    let [(_, OpPlan::Verify { sources, .. })] = batch.started()[..] else { panic!("{batch:?}") };
    assert!(sources.is_empty());
    // Whoever comes, leaves or says something new meanwhile has the same names and sizes, and who knows what bytes.
    let other = Other::new(0x60).with(&[ready("doom", 1)]);
    let (conn, _) = desk.arrive(&other, None);
    assert!(desk.answers(conn, other.snapshot()).sources().is_empty());
    assert!(desk.closes(conn, "gone").sources().is_empty());
    assert!(desk.view().operations[0].sources.is_empty());
}

#[test]
fn a_verify_is_cancelled_as_what_it_is() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let (op, _) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    assert_eq!(desk.cancel("doom").1.cancels(), [op.clone().unwrap()]);
    desk.finish(op.unwrap(), OpOutcome::Failed { error: report("cancelled"), resumable: false });
    assert!(desk.scan(Some("doom")).has_event(|e| matches!(e, PeerEvent::VerifyFailed { .. })));
}

#[test]
fn an_install_that_is_checked_after_its_download_was_repaired_can_still_be_cancelled() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let op = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false }).0.unwrap();
    desk.op(op, OpInput::Phase(Phase::Committing));
    desk.op(op, OpInput::Ready);
    assert_eq!(code(desk.cancel("doom").0), "too_late", "what was fetched anew is being put in place");
    desk.op(op, OpInput::Phase(Phase::Checking));
    assert_eq!(desk.cancel("doom").1.cancels(), [op]);
}

#[test]
fn a_worker_that_speaks_after_its_end_is_not_heard() {
    let (mut desk, op) = fetching();
    desk.finish(op, swept());
    desk.op(op, OpInput::Phase(Phase::Transferring));
    desk.op(op, OpInput::Starved(report("late")));
    assert_eq!(phase(&desk), Some(Phase::Settling));
    desk.scan(Some("doom"));
    assert!(desk.op(op, OpInput::Phase(Phase::Transferring)).is_empty());
    assert!(desk.finish(op, swept()).is_empty());
}

#[test]
fn a_source_that_was_let_go_is_asked_whether_it_lives_and_dialled_where_it_was_when_it_says_nothing() {
    let (mut desk, op) = fetching();
    let conn = desk.link(&seat()).unwrap();
    desk.pass(Duration::from_secs(20));
    let dropped = desk.op(op, OpInput::SourceDropped(peer(0x40), report("stalled")));
    let soon = desk.pass(Duration::from_millis(1));
    let pings = |b: &Batch| b.sent().iter().filter(|(c, m)| *c == conn && matches!(m, Control::Ping(_))).count();
    assert_eq!(pings(&dropped) + pings(&soon), 1);
    let batch = desk.pass(Duration::from_secs(4));
    assert_eq!(batch.dials().len(), 1, "{batch:?}");
    // Nothing announces it, as a peer of `--peer` that is found in no other way.
    assert_eq!((&batch.dials()[0].1, batch.dials()[0].2), (&vec![seat().addr], Some(seat().id)));
    assert_eq!(desk.link(&seat()), Some(conn), "it stands until the new one is proven");
    // One that answers is left alone.
    desk.op(op, OpInput::SourceDropped(peer(0x40), report("stalled")));
    desk.pass(Duration::from_millis(1));
    desk.give(Input::Conn(ConnInput::Active(conn)));
    assert!(desk.pass(Duration::from_secs(9)).dials().is_empty());
}

#[test]
fn a_source_that_was_given_up_is_told() {
    let (mut desk, op) = fetching();
    let batch = desk.op(op, OpInput::SourceDropped(peer(0x40), report("bad_bytes")));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::SourceDropped { .. })));
}

#[test]
fn a_game_under_way_is_not_served() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    assert!(desk.engine.serving_view().servable(&game("doom")).is_ok());
    let mut view = bonfire_engine::serving::ServingView::default();
    view.apply(desk.engine.take_serving_changes());
    let (op, _) = desk.transfer(TransferCommand::Verify { game: game("doom"), restore: false });
    view.apply(desk.engine.take_serving_changes());
    assert_eq!(view, desk.engine.serving_view());
    assert!(desk.engine.serving_view().servable(&game("doom")).is_err());
    desk.finish(op.unwrap(), OpOutcome::Verified { checked: 1, bad: vec![], repaired: 0, install: None });
    view.apply(desk.engine.take_serving_changes());
    desk.scan(Some("doom"));
    view.apply(desk.engine.take_serving_changes());
    assert_eq!(view, desk.engine.serving_view());
    assert!(desk.engine.serving_view().servable(&game("doom")).is_ok());
}

#[test]
fn a_lost_source_of_a_waiting_download_is_found_again_after_a_restart_of_the_peer() {
    let (mut desk, op) = fetching();
    let conn = desk.link(&seat()).unwrap();
    let batch = desk.closes(conn, "killed");
    assert_eq!(batch.sources(), [(op, vec![])]);
    let mut back = seat();
    back.addr = addr(99);
    let (conn, batch) = desk.arrive(&back, None);
    assert_eq!(batch.sources(), [(op, vec![(peer(0x40), conn)])]);
}

#[test]
fn a_content_that_nobody_has_hashed_stays_with_the_one_peer_it_is_fetched_from() {
    let raw = || GameSummary { content_hash: None, ..ready("doom", 1) };
    let mut desk = Desk::started(&["doom"], &[]);
    let first = desk.meet(&Other::new(0x40).with(&[raw()]));
    let (op, batch) = desk.get("doom");
    let op = op.unwrap();
    let [(_, OpPlan::Download { sources, .. })] = batch.started()[..] else { panic!("{batch:?}") };
    assert_eq!(sources, &[(peer(0x40), first)]);
    // A smaller id that lists the same files: it may hold other bytes.
    desk.meet(&Other::new(0x20).with(&[raw()]));
    assert_eq!(desk.view().operations[0].sources, vec![peer(0x40)]);
    let batch = desk.closes(first, "gone");
    assert!(batch.sources().iter().all(|(id, sources)| *id == op && sources.is_empty()), "{batch:?}");
}
