use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use bonfire_proto::message::{Control, LibraryDeltaMsg};
use bonfire_proto::{ManifestHash, PeerId};

fn epoch() -> LibraryEpoch {
    LibraryEpoch(Uuid::from_u128(7))
}

fn id(n: u32) -> GameId {
    GameId::new(format!("game-{n:05}")).unwrap()
}

fn game(n: u32, version: u32) -> GameSummary {
    GameSummary {
        id: id(n),
        name: format!("Game {n}"),
        eti_version: version.to_string(),
        size: u64::from(n),
        downloaded: true,
        installed: false,
        manifest_hash: ManifestHash(Digest([u8::try_from(n % 251).unwrap(); 32])),
        content_hash: None,
        availability: Availability::Ready,
    }
}

fn seen(entries: impl IntoIterator<Item = (u32, Option<GameSummary>)>) -> BTreeMap<GameId, Option<GameSummary>> {
    entries.into_iter().map(|(n, g)| (id(n), g)).collect()
}

fn step(library: &mut LocalLibrary, entries: impl IntoIterator<Item = (u32, Option<GameSummary>)>) -> bool {
    match library.propose(&seen(entries)) {
        None => false,
        Some(change) => {
            library.apply(&change);
            true
        }
    }
}

fn stored(library: &LocalLibrary) -> StoredLibrary {
    StoredLibrary {
        epoch: library.epoch,
        rev: library.rev,
        floor_rev: library.floor_rev,
        rows: library.rows.values().cloned().collect(),
        removed: library.removed.iter().map(|(g, r)| (g.clone(), *r)).collect(),
    }
}

#[test]
fn proposes_nothing_when_nothing_really_changed() {
    let mut l = LocalLibrary::new(epoch());
    assert!(step(&mut l, [(1, Some(game(1, 1)))]));
    assert!(!step(&mut l, [(1, Some(game(1, 1))), (2, None)]));
    assert_eq!(l.rev(), 1);
}

#[test]
fn judges_only_the_games_that_were_seen() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, [(1, Some(game(1, 1))), (2, Some(game(2, 1)))]);
    step(&mut l, [(2, None)]);
    assert!(l.get(&id(1)).is_some() && l.get(&id(2)).is_none());
}

#[test]
fn sorts_every_change_into_the_right_list() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, [(1, Some(game(1, 1))), (2, Some(game(2, 1)))]);
    let change = l.propose(&seen([(1, None), (2, Some(game(2, 2))), (3, Some(game(3, 1)))])).unwrap();
    assert_eq!(
        (change.to_rev, &change.removed, &change.updated, &change.added),
        (2, &vec![id(1)], &vec![game(2, 2)], &vec![game(3, 1)])
    );
}

#[test]
fn brings_lines_within_the_bounds_of_the_wire() {
    let mut l = LocalLibrary::new(epoch());
    let wild = GameSummary {
        name: format!("\u{202e}{}", "n".repeat(500)),
        eti_version: "9".repeat(500),
        size: u64::MAX,
        ..game(1, 1)
    };
    step(&mut l, [(1, Some(wild.clone()))]);
    let listed = l.get(&id(1)).unwrap();
    assert_eq!((listed.name.len(), listed.eti_version.len()), (128, 64));
    assert_eq!((listed.size, listed.availability), (MANIFEST_SIZE_MAX, Availability::LocalOnly));
    assert!(!step(&mut l, [(1, Some(wild))]), "the same line again is no change");
}

#[test]
fn never_lists_more_games_than_others_would_take() {
    let mut l = LocalLibrary::new(epoch());
    let many = u32::try_from(LIBRARY_GAMES_MAX).unwrap() + 5;
    step(&mut l, (0..many).map(|n| (n, Some(game(n, 1)))));
    assert_eq!(l.games().count(), LIBRARY_GAMES_MAX);
}

#[test]
fn a_delta_of_one_game_among_ten_thousand_is_under_a_kibibyte() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, (0..10_000).map(|n| (n, Some(game(n, 1)))));
    let from = l.rev();
    step(&mut l, [(4_321, Some(game(4_321, 2)))]);
    let delta = l.delta_since(epoch(), from).unwrap();
    assert_eq!((delta.added.len(), delta.updated.len(), delta.removed.len()), (0, 1, 0));
    let peer_id = PeerId::from_uuid(Uuid::from_u128(1));
    let frame = bonfire_proto::frame::encode(&Control::LibraryDelta(LibraryDeltaMsg { peer_id, delta })).unwrap();
    assert!(frame.len() < 1_024, "{} bytes", frame.len());
}

#[test]
fn has_no_delta_for_another_epoch_or_a_revision_to_come() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, [(1, Some(game(1, 1)))]);
    assert!(l.delta_since(LibraryEpoch(Uuid::from_u128(8)), 0).is_none());
    assert!(l.delta_since(epoch(), 2).is_none());
    let nothing = l.delta_since(epoch(), 1).unwrap();
    assert!(nothing.added.is_empty() && nothing.updated.is_empty() && nothing.removed.is_empty());
}

#[test]
fn has_no_delta_that_would_not_fit_a_frame() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, (0..10_000).map(|n| (n, Some(game(n, 1)))));
    assert!(l.delta_since(epoch(), 0).is_none());
}

#[test]
fn forgets_the_oldest_tombstones_and_refuses_deltas_that_would_need_them() {
    let mut l = LocalLibrary::new(epoch());
    let many = u32::try_from(TOMBSTONES_MAX).unwrap() + 3;
    step(&mut l, (0..many).map(|n| (n, Some(game(n, 1)))));
    for n in 0..many {
        step(&mut l, [(n, None)]);
    }
    assert_eq!(l.removed.len(), TOMBSTONES_MAX);
    assert!(l.delta_since(epoch(), 1).is_none(), "games 0, 1 and 2 are forgotten");
    assert!(l.delta_since(epoch(), 3).is_none());
    assert_eq!(l.delta_since(epoch(), 4).unwrap().removed.len(), TOMBSTONES_MAX);
}

#[test]
fn tombstones_of_one_revision_go_together() {
    let mut l = LocalLibrary::new(epoch());
    let many = u32::try_from(TOMBSTONES_MAX).unwrap() + 1;
    step(&mut l, (0..many).map(|n| (n, Some(game(n, 1)))));
    step(&mut l, (0..many).map(|n| (n, None)));
    assert!(l.removed.is_empty());
    assert!(l.delta_since(epoch(), 1).is_none());
    assert!(l.delta_since(epoch(), 2).is_some());
}

#[test]
fn comes_back_from_the_store_as_it_was() {
    let mut l = LocalLibrary::new(epoch());
    step(&mut l, [(1, Some(game(1, 1))), (2, Some(game(2, 1)))]);
    step(&mut l, [(1, None), (2, Some(game(2, 5)))]);
    assert_eq!(LocalLibrary::restore(stored(&l)), l);
}

#[test]
fn an_empty_library_has_one_empty_page() {
    let pages = LocalLibrary::new(epoch()).snapshot_pages();
    assert_eq!((pages.len(), pages[0].games.len()), (1, 0));
}

#[test]
fn pages_stay_under_their_bound_and_hold_every_game_once() {
    let mut l = LocalLibrary::new(epoch());
    let wide = |n: u32| GameSummary { name: "\"".repeat(128), eti_version: "\\".repeat(64), ..game(n, 1) };
    step(&mut l, (0..5_000).map(|n| (n, Some(wide(n)))));
    let pages = l.snapshot_pages();
    assert!(pages.len() > 1);
    for p in &pages {
        assert!(serde_json::to_string(p).unwrap().len() <= PAGE_LEN_MAX);
    }
    assert!(pages.iter().flat_map(|p| &p.games).eq(l.games()));
}

proptest! {
    /// From any revision above the floor the delta, applied to the games of that revision, gives the games of today.
    #[test]
    fn every_delta_leads_from_its_revision_to_the_present(
        steps in prop::collection::vec(prop::collection::vec((0u32..6, prop::option::of(0u32..3)), 1..4), 1..25)
    ) {
        let mut l = LocalLibrary::new(epoch());
        let mut past: Vec<BTreeMap<GameId, GameSummary>> = vec![BTreeMap::new()];
        for entries in steps {
            if step(&mut l, entries.into_iter().map(|(n, v)| (n, v.map(|v| game(n, v))))) {
                past.push(l.games().map(|g| (g.id.clone(), g.clone())).collect());
            }
        }
        let now = past.last().unwrap().clone();
        for (rev, mut games) in past.into_iter().enumerate() {
            let d = l.delta_since(epoch(), u64::try_from(rev).unwrap()).unwrap();
            prop_assert!(d.updated.iter().all(|g| games.contains_key(&g.id)));
            for g in d.added.iter().chain(&d.updated) {
                games.insert(g.id.clone(), g.clone());
            }
            for gone in &d.removed {
                prop_assert!(!d.added.iter().chain(&d.updated).any(|g| g.id == *gone));
                games.remove(gone);
            }
            prop_assert_eq!(&games, &now);
        }
        prop_assert_eq!(l.digest(), library_digest(now.values()));
    }
}
