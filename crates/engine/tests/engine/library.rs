//! The folder read, the library told.

use std::collections::BTreeMap;
use std::time::Duration;

use bonfire_engine::PeerEvent;
use bonfire_engine::command::{Command, LibraryCommand, Reply};
use bonfire_engine::engine::FULL_SCAN_EVERY;
use bonfire_engine::input::{Effect, Input, Scanned, Watched};
use bonfire_engine::library::LibraryRow;
use bonfire_engine::quiet::OFFER_AFTER;
use bonfire_proto::message::Control;
use bonfire_proto::{Availability, GameSummary};

use crate::desk::{Batch, Desk, ME, Other, content, entry, facts, game, manifest, report, unhashed};

fn changed(batch: &Batch) -> Vec<u64> {
    batch
        .events()
        .into_iter()
        .filter_map(
            |e| if let PeerEvent::LocalLibraryChanged { library_rev, .. } = e { Some(*library_rev) } else { None },
        )
        .collect()
}

#[test]
fn starts_with_catalog_then_folder_then_tells() {
    let mut desk = Desk::raw(ME, BTreeMap::new(), Vec::new());
    let batch = desk.start(&["doom"], &[("doom", facts(1))]);
    let of = |fits: &dyn Fn(&Effect) -> bool| batch.0.iter().position(fits).unwrap();
    let persist = of(&|e| matches!(e, Effect::Persist(_)));
    let started = of(&|e| matches!(e, Effect::Emit(PeerEvent::Started { .. })));
    let announce = of(&|e| matches!(e, Effect::Announce));
    assert!(persist < started && started < announce);
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
}

#[test]
fn an_unchanged_library_emits_and_persists_nothing() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1)), ("quake", facts(2))]);
    desk.pass(Duration::from_secs(1));
    for _ in 0..3 {
        let batch = desk.pass(FULL_SCAN_EVERY);
        assert_eq!(batch.scans(), [None]);
        assert!(desk.scan(None).is_empty());
    }
    desk.stirred("doom");
    assert!(desk.scan(Some("doom")).is_empty());
}

#[test]
fn a_restart_with_an_unchanged_folder_keeps_the_revision() {
    let summary = GameSummary {
        id: game("doom"),
        name: "DOOM".to_owned(),
        eti_version: "1".to_owned(),
        size: 100,
        downloaded: true,
        installed: false,
        manifest_hash: manifest(1),
        content_hash: Some(content(1)),
        availability: Availability::Ready,
    };
    let row = LibraryRow { summary, added_rev: 1, changed_rev: 5 };
    let mut desk = Desk::stored(ME, vec![row], BTreeMap::new(), Vec::new());
    let batch = desk.start(&["doom"], &[("doom", facts(1))]);
    assert!(changed(&batch).is_empty());
    assert!(batch.persists().iter().all(|p| p.change.is_none()));
    assert_eq!(desk.engine.library().rev(), 5);
}

#[test]
fn many_changes_within_a_moment_are_one_push_to_each_peer() {
    let mut desk = Desk::started(&[], &[]);
    let conns = [desk.meet(&Other::new(0x40)), desk.meet(&Other::new(0x60))];
    let mut during = Vec::new();
    for n in 0..10 {
        let id = format!("g{n}");
        desk.catalog(LibraryCommand::Rescan { games: vec![game(&id)] });
        desk.disk.insert(game(&id), facts(n));
        during.extend(desk.scan(Some(&id)).0);
        during.extend(desk.pass(Duration::from_millis(10)).0);
    }
    let during = Batch(during);
    assert_eq!(changed(&during).len(), 10);
    assert!(during.sent().is_empty() && during.announces() == 0);
    let batch = desk.pass(Duration::from_millis(200));
    let told: Vec<_> = batch
        .sent()
        .into_iter()
        .map(|(c, m)| match m {
            Control::LibraryDelta(m) => (c, m.delta.from_rev, m.delta.to_rev, m.delta.added.len()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(told, [(conns[0], 0, 10, 10), (conns[1], 0, 10, 10)]);
    assert_eq!(batch.announces(), 1);
    assert!(desk.pass(Duration::from_secs(10)).is_empty());
}

#[test]
fn a_delta_over_a_page_is_told_as_a_summary() {
    let mut desk = Desk::started(&[], &[]);
    let conn = desk.meet(&Other::new(0x40));
    for n in 0..1_100 {
        desk.disk.insert(game(&format!("game-{n:04}")), facts(1));
    }
    desk.give(Input::Watched(Watched::Everything));
    desk.scan(None);
    let batch = desk.pass(Duration::from_millis(200));
    let sent = batch.sent();
    assert!(
        matches!(sent[..], [(c, Control::LibrarySummary(m))] if c == conn && m.summary.library_rev == 1),
        "{} messages",
        sent.len()
    );
}

#[test]
fn who_joins_within_the_moment_is_not_told_twice() {
    let mut desk = Desk::started(&[], &[]);
    desk.disk.insert(game("doom"), facts(1));
    desk.give(Input::Watched(Watched::Everything));
    desk.scan(None);
    desk.meet(&Other::new(0x40));
    assert!(desk.pass(Duration::from_secs(1)).sent().is_empty());
}

#[test]
fn a_folder_that_cannot_be_read_keeps_the_library_and_is_told_once() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let rev = desk.engine.library().rev();
    let mut told = 0;
    for _ in 0..3 {
        desk.give(Input::Watched(Watched::Everything));
        let batch = desk.scanned(None, Err(report("games_folder")));
        told += batch.events().len();
        assert!(batch.persists().is_empty());
    }
    assert_eq!(told, 1);
    assert_eq!((desk.engine.library().rev(), desk.view().games.len()), (rev, 1));
    assert_eq!(desk.view().problems.len(), 1);
    desk.give(Input::Watched(Watched::Everything));
    desk.scan(None);
    assert!(desk.view().problems.is_empty());
}

#[test]
fn a_folder_that_could_not_be_read_at_start_is_read_again_later() {
    let mut desk = Desk::raw(ME, BTreeMap::new(), Vec::new());
    desk.give(Input::Listening(crate::desk::addr(200)));
    desk.give(Input::CatalogLoaded(Ok(None)));
    desk.scanned(None, Err(report("games_folder")));
    let batch = desk.pass(FULL_SCAN_EVERY);
    assert_eq!(batch.scans(), [None]);
}

#[test]
fn one_game_that_cannot_be_read_is_told_and_kept_as_it_was() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.stirred("doom");
    let batch = desk.scanned(Some("doom"), Err(report("unreadable")));
    assert!(batch.has_event(|e| matches!(e, PeerEvent::ProblemFound { game: Some(g), .. } if *g == game("doom"))));
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
}

#[test]
fn a_problem_of_a_game_goes_when_the_game_can_be_read_again() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.stirred("doom");
    desk.scanned(Some("doom"), Err(report("unreadable")));
    assert_eq!(desk.view().problems.len(), 1);
    desk.stirred("doom");
    desk.scan(Some("doom"));
    assert!(desk.view().problems.is_empty());
}

#[test]
fn a_game_that_was_read_anew_is_stored_although_nothing_that_is_told_differs() {
    // Another time stamp, for one: what is stored is compared with the folder at the next start, and served by.
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.stirred("doom");
    let games = BTreeMap::from([(game("doom"), Some(facts(1)))]);
    let batch = desk.give(Input::Scanned(Scanned {
        scope: Some(game("doom")),
        games: Ok(games),
        walked: [game("doom")].into(),
        problems: Vec::new(),
    }));
    let persists = batch.persists();
    assert_eq!(persists.len(), 1, "{batch:?}");
    assert!(persists[0].change.is_none() && persists[0].index == [game("doom")]);
    assert!(batch.events().is_empty());
}

#[test]
fn a_game_copied_in_and_one_taken_away_are_told() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    desk.disk.clear();
    desk.disk.insert(game("quake"), facts(2));
    desk.give(Input::Watched(Watched::Everything));
    let batch = desk.scan(None);
    assert!(batch.has_event(|e| matches!(e, PeerEvent::LocalLibraryChanged { added, removed, .. }
        if added == &[game("quake")] && removed == &[game("doom")])));
    let persists = batch.persists();
    assert_eq!(
        (persists[0].index.as_slice(), persists[0].gone.as_slice()),
        ([game("quake")].as_slice(), [game("doom")].as_slice())
    );
}

#[test]
fn a_game_outside_the_catalog_is_listed_and_not_to_be_had() {
    let mut desk = Desk::started(&[], &[("doom", facts(1))]);
    assert_eq!(desk.view().games[0].availability, Availability::LocalOnly);
    let batch = desk.give(Input::CatalogLoaded(Ok(Some(vec![entry("doom")]))));
    assert_eq!(changed(&batch).len(), 1);
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
}

#[test]
fn a_rescan_is_answered_at_once() {
    let mut desk = Desk::started(&[], &[]);
    let (id, batch) = desk.catalog(LibraryCommand::Rescan { games: vec![game("doom"), game("quake")] });
    assert_eq!(batch.scans(), [Some(game("doom")), Some(game("quake"))]);
    assert_eq!(desk.answered[&id], Ok(Reply::Done));
    let (reply, batch) = desk.ask(Command::Library(LibraryCommand::Rescan { games: vec![] }));
    assert_eq!((reply, batch.scans().len()), (Ok(Reply::Done), 0));
    desk.scan(Some("doom"));
    assert_eq!(desk.scan(Some("quake")).scans(), [None]);
}

#[test]
fn entries_that_cannot_be_games_are_one_problem() {
    let mut desk = Desk::started(&[], &[]);
    let mut scan = |problems: Vec<String>| {
        desk.give(Input::Watched(Watched::Everything));
        desk.give(Input::Scanned(Scanned {
            scope: None,
            games: Ok(BTreeMap::new()),
            walked: Default::default(),
            problems,
        }));
        desk.view().problems.len()
    };
    assert_eq!(scan(vec!["a: no".to_owned(), "b: no".to_owned()]), 1);
    assert_eq!(scan(Vec::new()), 0);
}

#[test]
fn a_game_that_is_being_copied_in_is_read_when_it_is_quiet_and_not_at_every_change() {
    let mut desk = Desk::started(&[], &[]);
    let mut reads = 0;
    for _ in 0..40 {
        reads += desk.give(Input::Watched(Watched::Game(game("doom")))).scans().len();
        reads += desk.pass(Duration::from_millis(100)).scans().len();
    }
    assert_eq!(reads, 0);
    assert_eq!(desk.pass(Duration::from_millis(400)).scans(), [Some(game("doom"))]);
}

#[test]
fn a_game_that_never_is_quiet_is_read_now_and_then() {
    let mut desk = Desk::started(&[], &[]);
    let mut reads = 0;
    for _ in 0..300 {
        desk.give(Input::Watched(Watched::Game(game("doom"))));
        if !desk.pass(Duration::from_millis(100)).scans().is_empty() {
            reads += 1;
            desk.scan(Some("doom"));
        }
    }
    assert!((2..=3).contains(&reads), "{reads} in half a minute");
}

#[test]
fn a_game_that_is_copied_in_with_its_sentinel_first_is_offered_only_when_its_folder_is_at_rest() {
    let mut desk = Desk::started(&["doom"], &[]);
    let offered = |desk: &Desk| desk.view().games[0].availability == Availability::Ready;
    desk.disk.insert(game("doom"), unhashed(1));
    // A copy with pauses, each long enough for a look at what is there by then.
    for n in 2..8 {
        desk.stirred("doom");
        assert!(desk.scan(Some("doom")).hashes().is_empty(), "what will change is not hashed");
        assert!(!offered(&desk), "at {n}");
        assert!(desk.view().games[0].downloaded, "it is shown, though");
        desk.pass(Duration::from_millis(1_200));
        desk.disk.insert(game("doom"), unhashed(n));
    }
    desk.stirred("doom");
    desk.scan(Some("doom"));
    let batch = desk.pass(OFFER_AFTER);
    assert!(offered(&desk));
    assert_eq!(batch.hashes(), [game("doom")]);
    assert!(!changed(&batch).is_empty());
}

#[test]
fn a_change_of_a_game_in_the_catalog_takes_it_from_the_shelf_until_its_folder_is_at_rest() {
    let mut desk = Desk::started(&["doom"], &[("doom", facts(1))]);
    let offered = |desk: &Desk| desk.view().games[0].availability == Availability::Ready;
    // Something that does not matter: nothing is taken away.
    desk.stirred("doom");
    desk.scan(Some("doom"));
    assert!(offered(&desk));
    desk.disk.insert(game("doom"), unhashed(2));
    desk.stirred("doom");
    desk.scan(Some("doom"));
    assert!(!offered(&desk));
    desk.pass(OFFER_AFTER);
    assert!(offered(&desk));
}

#[test]
fn a_full_look_in_the_middle_of_a_copy_offers_nothing_either() {
    let mut desk = Desk::started(&["doom"], &[]);
    desk.give(Input::Watched(Watched::Game(game("doom"))));
    desk.disk.insert(game("doom"), unhashed(1));
    desk.catalog(LibraryCommand::Rescan { games: Vec::new() });
    desk.scan(None);
    assert_eq!(desk.view().games[0].availability, Availability::LocalOnly);
    desk.pass(OFFER_AFTER);
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
}

#[test]
fn a_game_that_was_just_fetched_is_offered_at_once_whatever_the_watcher_still_says() {
    let mut desk = Desk::started(&["doom"], &[]);
    desk.meet(&Other::new(0x40).with(&[crate::desk::ready("doom", 1)]));
    let op = desk.get("doom").0.unwrap();
    desk.finish(op, crate::desk::downloaded());
    desk.give(Input::Watched(Watched::Game(game("doom"))));
    desk.disk.insert(game("doom"), facts(1));
    desk.scan(Some("doom"));
    desk.give(Input::Watched(Watched::Game(game("doom"))));
    assert_eq!(desk.view().games[0].availability, Availability::Ready);
}
