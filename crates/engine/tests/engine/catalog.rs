//! Edits of the catalog.

use std::collections::BTreeMap;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{CatalogEntry, LibraryCommand, Reply, TransferCommand};
use bonfire_engine::input::{Effect, Input, PreparedEntry, Watched};
use bonfire_engine::installs::StartCommand;

use bonfire_proto::limits::LIBRARY_GAMES_MAX;

use crate::desk::{Desk, Other, entry, facts, game, ready, report};

fn remove(id: &str) -> LibraryCommand {
    LibraryCommand::CatalogRemove { game: game(id) }
}

fn add(id: &str) -> LibraryCommand {
    LibraryCommand::CatalogAdd { game: game(id), name: None, version: None, saves: None, start: BTreeMap::new() }
}

fn prepared() -> PreparedEntry {
    PreparedEntry { version: "7".to_owned(), sentinel_written: true }
}

#[test]
fn edits_are_saved_one_after_the_other_and_answered_in_order() {
    let mut desk = Desk::started(&["a", "b", "c"], &[]);
    let (first, batch) = desk.catalog(remove("a"));
    assert_eq!(batch.saves(), [vec![entry("b"), entry("c")]]);
    let (second, batch) = desk.catalog(remove("b"));
    assert!(batch.is_empty());
    let (third, batch) = desk.catalog(LibraryCommand::CatalogImport { entries: vec![entry("d")] });
    assert!(batch.is_empty());
    let batch = desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(batch.saves(), [vec![entry("c")]]);
    assert!(desk.answered.contains_key(&first) && !desk.answered.contains_key(&second));
    let batch = desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(batch.saves(), [vec![entry("c"), entry("d")]]);
    assert!(desk.answered.contains_key(&second) && !desk.answered.contains_key(&third));
    let batch = desk.give(Input::CatalogSaved(Ok(())));
    assert!(batch.saves().is_empty());
    assert!(desk.asked.is_empty());
    assert_eq!(desk.answered[&third], Ok(Reply::Done));
}

#[test]
fn a_failing_save_leaves_the_catalog_and_the_next_edit_goes_on_from_there() {
    let mut desk = Desk::started(&["a", "b"], &[]);
    let (first, _) = desk.catalog(remove("a"));
    let (second, _) = desk.catalog(remove("b"));
    let batch = desk.give(Input::CatalogSaved(Err(report("no_space"))));
    assert_eq!(desk.answered[&first].as_ref().unwrap_err().code, "no_space");
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::CatalogChanged { .. })));
    assert_eq!(batch.saves(), [vec![entry("a")]]);
    desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(desk.answered[&second], Ok(Reply::Done));
    let known: Vec<_> = desk.view().games.into_iter().filter(|g| g.in_catalog).map(|g| g.id.clone()).collect();
    assert_eq!(known, [game("a")]);
}

#[test]
fn an_unreadable_catalog_keeps_the_old_one() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let batch = desk.give(Input::Watched(Watched::Catalog));
    assert!(matches!(batch.0[..], [Effect::LoadCatalog]));
    let batch = desk.give(Input::CatalogLoaded(Err(report("catalog"))));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::ProblemFound { .. })));
    assert!(desk.view().games[0].in_catalog);
    // Mended: the problem is gone.
    let batch = desk.give(Input::CatalogLoaded(Ok(Some(vec![entry("doom")]))));
    assert!(!batch.has_event(|e| matches!(e, PeerEvent::CatalogChanged { .. })));
    assert!(desk.view().problems.is_empty());
}

#[test]
fn a_catalog_that_cannot_be_read_at_start_does_not_keep_the_peer_from_starting() {
    let mut desk = Desk::raw(1, Default::default(), Vec::new());
    desk.give(Input::Listening(crate::desk::addr(200)));
    let batch = desk.give(Input::CatalogLoaded(Err(report("catalog"))));
    assert_eq!(batch.scans(), [None]);
    assert!(desk.scan(None).has_event(|e| matches!(e, PeerEvent::Started { .. })));
}

#[test]
fn adding_looks_at_the_folder_saves_and_only_then_answers() {
    let mut desk = Desk::started(&[], &[]);
    let (id, batch) = desk.catalog(add("doom"));
    assert!(matches!(&batch.0[..], [Effect::PrepareEntry { command, .. }] if *command == id));
    let batch = desk.give(Input::CatalogPrepared(id, Ok(prepared())));
    assert_eq!(batch.scans(), [Some(game("doom"))]);
    assert_eq!(batch.saves().len(), 1);
    assert!(desk.asked.contains(&id));
    let batch = desk.give(Input::CatalogSaved(Ok(())));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::CatalogChanged { entries: 1 })));
    let reply = desk.answered[&id].clone().unwrap();
    assert_eq!(
        reply,
        Reply::CatalogEntry {
            game: game("doom"),
            name: "doom".to_owned(),
            version: "7".to_owned(),
            sentinel_written: true
        }
    );
}

#[test]
fn a_folder_that_does_not_fit_is_refused_and_nothing_is_saved() {
    let mut desk = Desk::started(&[], &[]);
    let (id, _) = desk.catalog(add("doom"));
    let batch = desk.give(Input::CatalogPrepared(id, Err(report("empty_game"))));
    assert!(batch.saves().is_empty());
    assert_eq!(desk.answered[&id].as_ref().unwrap_err().code, "empty_game");
}

#[test]
fn a_game_under_way_is_not_added_and_one_that_is_not_listed_is_not_removed() {
    let mut desk = Desk::started(&["doom"], &[]);
    desk.meet(&Other::new(0x40).with(&[ready("doom", 1)]));
    desk.get("doom").0.unwrap();
    let (id, _) = desk.catalog(add("doom"));
    assert_eq!(desk.answered[&id].as_ref().unwrap_err().code, "busy");
    let (id, _) = desk.catalog(remove("quake"));
    assert_eq!(desk.answered[&id].as_ref().unwrap_err().code, "not_in_catalog");
}

#[test]
fn nothing_begins_on_a_game_whose_folder_is_being_added() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.meet(&Other::new(0x40).with(&[ready("quake", 1)]));
    let (adding, _) = desk.catalog(add("doom"));
    let (refused, _) = desk.transfer(TransferCommand::Remove { game: game("doom") });
    assert_eq!(refused.unwrap_err().code, "busy");
    let (refused, _) = desk.catalog(add("quake"));
    assert!(desk.asked.contains(&refused));
    assert_eq!(desk.get("quake").0.unwrap_err().code, "busy");
    desk.give(Input::CatalogPrepared(adding, Err(report("no"))));
    assert!(desk.transfer(TransferCommand::Remove { game: game("doom") }).0.is_ok());
}

#[test]
fn too_many_waiting_edits_are_refused_and_every_command_is_answered() {
    let mut desk = Desk::started(&["a"], &[]);
    for _ in 0..300 {
        desk.catalog(LibraryCommand::CatalogImport { entries: vec![entry("b")] });
    }
    assert!(desk.answered.values().any(|r| r.as_ref().is_err_and(|e| e.code == "busy" && e.retryable)));
    while !desk.asked.is_empty() {
        desk.give(Input::CatalogSaved(Ok(())));
    }
    // Nothing is left over from a refused edit.
    assert!(desk.give(Input::CatalogSaved(Ok(()))).is_empty());
}

#[test]
fn a_download_is_not_refused_because_many_edits_of_the_catalog_wait() {
    let mut desk = Desk::started(&[], &[]);
    desk.meet(&Other::new(0x40).with(&[ready("doom", 1)]));
    for _ in 0..300 {
        desk.catalog(LibraryCommand::CatalogImport { entries: vec![entry("b")] });
    }
    assert!(desk.answered.values().any(|r| r.as_ref().is_err_and(|e| e.code == "busy")));
    let (op, batch) = desk.get("doom");
    assert!(op.is_ok());
    assert_eq!(batch.started().len(), 1);
    while !desk.asked.is_empty() {
        desk.give(Input::CatalogSaved(Ok(())));
    }
    desk.give(Input::CatalogSaved(Ok(())));
    assert!(desk.view().games.iter().any(|g| g.id == game("doom") && g.in_catalog));
}

#[test]
fn a_download_that_the_catalog_has_no_room_for_leaves_nothing_that_blocks_the_game() {
    let mut desk = Desk::started(&[], &[]);
    desk.meet(&Other::new(0x40).with(&[ready("doom", 1)]));
    let full: Vec<_> = (0..LIBRARY_GAMES_MAX).map(|n| entry(&format!("g{n}"))).collect();
    desk.catalog(LibraryCommand::CatalogImport { entries: full });
    for _ in 0..2 {
        let (op, batch) = desk.get("doom");
        assert_eq!(op.unwrap_err().code, "catalog_full");
        assert!(batch.started().is_empty() && desk.view().operations.is_empty());
    }
    desk.give(Input::CatalogSaved(Ok(())));
    desk.catalog(remove("g0"));
    desk.give(Input::CatalogSaved(Ok(())));
    assert!(desk.get("doom").0.is_ok());
}

#[test]
fn an_edit_before_the_catalog_was_read_waits_for_it_and_loses_no_entry() {
    let mut desk = Desk::raw(1, Default::default(), Vec::new());
    desk.give(Input::Listening(crate::desk::addr(200)));
    let (import, batch) = desk.catalog(LibraryCommand::CatalogImport { entries: vec![entry("new")] });
    assert!(batch.saves().is_empty());
    let (removal, batch) = desk.catalog(remove("old"));
    assert!(batch.is_empty(), "nobody can say yet whether it is in the catalog");
    let batch = desk.give(Input::CatalogLoaded(Ok(Some(vec![entry("kept"), entry("old")]))));
    assert_eq!(batch.saves(), [vec![entry("kept"), entry("new"), entry("old")]]);
    let batch = desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(batch.saves(), [vec![entry("kept"), entry("new")]]);
    desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(desk.answered[&import], Ok(Reply::Done));
    assert_eq!(desk.answered[&removal], Ok(Reply::Done));
}

#[test]
fn a_catalog_that_cannot_be_read_is_not_written_over_by_a_person_nor_by_a_download() {
    let mut desk = Desk::raw(0x50, Default::default(), Vec::new());
    desk.give(Input::Listening(crate::desk::addr(200)));
    desk.give(Input::CatalogLoaded(Err(report("catalog"))));
    desk.scan(None);
    desk.meet(&Other::new(0x40).with(&[ready("doom", 1)]));
    let (op, batch) = desk.get("doom");
    assert!(op.is_ok(), "what is fetched needs no catalog");
    assert!(batch.saves().is_empty());
    let reads = |batch: &crate::desk::Batch| batch.0.iter().filter(|e| matches!(e, Effect::LoadCatalog)).count();
    assert_eq!(reads(&batch), 1, "it may have been mended");
    let (import, batch) = desk.catalog(LibraryCommand::CatalogImport { entries: vec![entry("new")] });
    assert!(batch.is_empty());
    let batch = desk.give(Input::CatalogLoaded(Err(report("catalog"))));
    // The read under way may have been before the mending.
    assert_eq!((reads(&batch), batch.saves().len()), (1, 0));
    let batch = desk.give(Input::CatalogLoaded(Err(report("catalog"))));
    assert!(batch.saves().is_empty());
    assert_eq!(desk.answered[&import].as_ref().unwrap_err().code, "catalog_unreadable");
    // Mended: what the download brings comes into it beside what stands there.
    desk.give(Input::Watched(Watched::Catalog));
    let batch = desk.give(Input::CatalogLoaded(Ok(Some(vec![entry("by hand")]))));
    assert_eq!(batch.saves(), [vec![entry("by hand"), entry("doom")]]);
    desk.give(Input::CatalogSaved(Ok(())));
    assert!(desk.view().games.iter().any(|g| g.id == game("doom") && g.in_catalog));
    assert!(desk.view().problems.is_empty());
}

#[test]
fn whatever_may_have_been_missed_has_the_catalog_read_again() {
    let mut desk = Desk::started(&["doom"], &[]);
    let reads = |batch: &crate::desk::Batch| batch.0.iter().any(|e| matches!(e, Effect::LoadCatalog));
    let again = |desk: &mut Desk| {
        desk.give(Input::CatalogLoaded(Ok(Some(vec![entry("doom")]))));
        desk.scan(None);
    };
    assert!(reads(&desk.give(Input::Watched(Watched::Everything))));
    again(&mut desk);
    assert!(reads(&desk.pass(bonfire_engine::engine::FULL_SCAN_EVERY)));
    again(&mut desk);
    assert!(reads(&desk.catalog(LibraryCommand::Rescan { games: Vec::new() }).1));
}

#[test]
fn a_catalog_that_could_not_be_read_again_is_never_saved() {
    let mut desk = Desk::started(&[], &[]);
    let many = (0..=LIBRARY_GAMES_MAX).map(|n| entry(&format!("g{n}"))).collect();
    let (command, batch) = desk.catalog(LibraryCommand::CatalogImport { entries: many });
    assert!(batch.saves().is_empty());
    assert_eq!(desk.answered[&command].as_ref().unwrap_err().code, "catalog_full");
}

#[test]
fn what_an_import_starts_is_marked_as_somebody_elses_and_is_no_shell_unless_it_was_said_here_before() {
    let on = |run: &[&str], imported| {
        let run = run.iter().map(|word| (*word).to_owned()).collect();
        BTreeMap::from([("linux".to_owned(), StartCommand { run, imported, ..StartCommand::default() })])
    };
    let mut desk = Desk::started(&["a"], &[("a", facts(1))]);
    let import = |desk: &mut Desk, start| {
        let entries = vec![CatalogEntry { start, ..entry("a") }];
        let (_, batch) = desk.catalog(LibraryCommand::CatalogImport { entries });
        desk.give(Input::CatalogSaved(Ok(())));
        batch.saves()[0][0].start.clone()
    };
    assert_eq!(import(&mut desk, on(&["./doom"], false)), on(&["./doom"], true));
    assert_eq!(import(&mut desk, on(&["sh", "-c", "true"], false)), BTreeMap::new());
    let mut own = add("a");
    if let LibraryCommand::CatalogAdd { start, .. } = &mut own {
        *start = on(&["sh", "play.sh"], false);
    }
    let (adding, _) = desk.catalog(own);
    let batch = desk.give(Input::CatalogPrepared(adding, Ok(prepared())));
    assert_eq!(batch.saves()[0][0].start, on(&["sh", "play.sh"], false));
    desk.give(Input::CatalogSaved(Ok(())));
    assert_eq!(import(&mut desk, on(&["sh", "play.sh"], false)), on(&["sh", "play.sh"], false));
    assert_eq!(import(&mut desk, on(&["sh", "other.sh"], false)), BTreeMap::new());
}

#[test]
fn a_start_command_that_loads_code_is_refused_with_the_variable() {
    let mut desk = Desk::started(&[], &[]);
    let mut command = add("doom");
    if let LibraryCommand::CatalogAdd { start, .. } = &mut command {
        let env = BTreeMap::from([("LD_PRELOAD".to_owned(), "./cheat.so".to_owned())]);
        start.insert(
            "linux".to_owned(),
            StartCommand { run: vec!["./doom".to_owned()], env, ..StartCommand::default() },
        );
    }
    let (id, _) = desk.catalog(command);
    let refused = desk.answered[&id].as_ref().unwrap_err();
    assert_eq!(refused.code, "bad_start");
    assert!(refused.message.contains("LD_PRELOAD"), "{}", refused.message);
}
