use std::collections::VecDeque;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::library::LocalLibrary;
use bonfire_proto::message::LibrarySnapshot;
use bonfire_proto::{Availability, ManifestHash};

fn epoch(n: u128) -> LibraryEpoch {
    LibraryEpoch(Uuid::from_u128(n))
}

fn peer() -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(1))
}

fn id(n: u32) -> GameId {
    GameId::new(format!("game-{n:03}")).unwrap()
}

fn game(n: u32, version: u32) -> GameSummary {
    GameSummary {
        id: id(n),
        name: format!("Game {n}"),
        eti_version: version.to_string(),
        size: 1,
        downloaded: true,
        installed: false,
        manifest_hash: ManifestHash(Digest([1; 32])),
        content_hash: None,
        availability: Availability::Ready,
    }
}

fn step(local: &mut LocalLibrary, entries: impl IntoIterator<Item = (u32, Option<u32>)>) -> bool {
    let seen = entries.into_iter().map(|(n, v)| (id(n), v.map(|v| game(n, v)))).collect();
    let Some(change) = local.propose(&seen) else { return false };
    local.apply(&change);
    true
}

fn assemble(local: &LocalLibrary) -> Assembled {
    let pages = local.snapshot_pages();
    let count = u32::try_from(pages.len()).unwrap();
    let mut assembly = Assembly::new(peer());
    let mut out = None;
    for (page, snapshot) in (0..).zip(pages) {
        assert!(out.is_none());
        out = assembly.page(LibrarySnapshotMsg { peer_id: peer(), snapshot, page, pages: count }).unwrap();
    }
    out.unwrap()
}

/// A library at revision 1 with two games, and a remote view of it.
fn pair() -> (LocalLibrary, RemoteLibrary) {
    let mut local = LocalLibrary::new(epoch(1));
    step(&mut local, [(1, Some(1)), (2, Some(1))]);
    let mut remote = RemoteLibrary::unknown();
    assert_eq!(remote.compare(local.epoch(), local.rev(), Some(local.digest())), SyncNeed::Snapshot);
    assert_eq!(remote.replace(assemble(&local)), (vec![id(1), id(2)], vec![]));
    (local, remote)
}

#[test]
fn an_unchanged_library_costs_nothing() {
    let (local, mut remote) = pair();
    assert_eq!(remote.compare(local.epoch(), local.rev(), None), SyncNeed::Nothing);
    assert_eq!(remote.compare(local.epoch(), local.rev(), Some(local.digest())), SyncNeed::Nothing);
    assert_eq!((remote.epoch(), remote.rev()), (Some(local.epoch()), local.rev()));
    assert_eq!(remote.take_need(), SyncNeed::Nothing);
}

#[test]
fn asks_for_a_delta_when_behind_and_for_everything_when_the_epoch_is_new() {
    let (_, mut remote) = pair();
    assert_eq!(remote.compare(epoch(1), 5, None), SyncNeed::Delta { from_rev: 1 });
    assert_eq!(remote.compare(epoch(2), 1, None), SyncNeed::Snapshot);
}

#[test]
fn an_old_announcement_is_no_reason_to_ask_but_the_peers_own_word_is() {
    let (_, mut remote) = pair();
    assert_eq!(remote.compare(epoch(1), 0, None), SyncNeed::Nothing);
    assert_eq!(remote.compare(epoch(1), 0, Some(Digest([0; 32]))), SyncNeed::Snapshot, "restored from a backup");
}

#[test]
fn names_only_real_differences() {
    let (mut local, mut remote) = pair();
    step(&mut local, [(2, Some(2)), (3, Some(1)), (1, None)]);
    let delta = local.delta_since(epoch(1), 1).unwrap();
    let applied = DeltaOutcome::Applied { changed: vec![id(2), id(3)], removed: vec![id(1)] };
    assert_eq!(remote.apply_delta(&delta), applied);
    assert_eq!(remote.apply_delta(&delta), DeltaOutcome::Ignored, "twice is once");
    assert_eq!(remote.digest(), local.digest());
    assert_eq!(remote.replace(assemble(&local)), (vec![], vec![]));
}

#[test]
fn a_gap_is_not_jumped_and_is_asked_for_once() {
    let (mut local, mut remote) = pair();
    step(&mut local, [(3, Some(1))]);
    step(&mut local, [(4, Some(1))]);
    let delta = local.delta_since(epoch(1), 2).unwrap();
    assert!(matches!(remote.apply_delta(&delta), DeltaOutcome::NeedSnapshot(_)));
    assert_eq!(remote.rev(), 1);
    assert_eq!(remote.take_need(), SyncNeed::Delta { from_rev: 1 });
    assert_eq!(remote.take_need(), SyncNeed::Nothing);
}

#[test]
fn a_snapshot_older_than_a_delta_that_was_turned_down_is_followed_by_one_more_question() {
    let mut local = LocalLibrary::new(epoch(1));
    step(&mut local, [(1, Some(1))]);
    let mut remote = RemoteLibrary::unknown();
    remote.compare(local.epoch(), local.rev(), Some(local.digest()));
    let under_way = assemble(&local);
    step(&mut local, [(2, Some(1))]);
    let pushed = local.delta_since(epoch(1), 1).unwrap();
    assert!(matches!(remote.apply_delta(&pushed), DeltaOutcome::NeedSnapshot(_)));
    remote.replace(under_way);
    assert_eq!(remote.take_need(), SyncNeed::Delta { from_rev: 1 });
    remote.apply_delta(&pushed);
    assert_eq!(remote.digest(), local.digest());
    assert_eq!(remote.take_need(), SyncNeed::Nothing);
}

#[test]
fn a_delta_that_misses_the_announced_digest_leaves_no_trace() {
    let (mut local, mut remote) = pair();
    step(&mut local, [(3, Some(1))]);
    let mut delta = local.delta_since(epoch(1), 1).unwrap();
    assert_eq!(remote.compare(epoch(1), 2, Some(local.digest())), SyncNeed::Delta { from_rev: 1 });
    delta.added.clear();
    assert!(matches!(remote.apply_delta(&delta), DeltaOutcome::NeedSnapshot(_)));
    assert_eq!(remote.rev(), 1);
    remote.replace(assemble(&local));
    assert_eq!(remote.digest(), local.digest());
}

#[test]
fn a_digest_that_a_whole_snapshot_contradicts_is_not_chased() {
    let (local, mut remote) = pair();
    let wrong = Some(Digest([9; 32]));
    assert_eq!(remote.compare(epoch(1), 1, wrong), SyncNeed::Snapshot);
    remote.replace(assemble(&local));
    assert_eq!(remote.take_need(), SyncNeed::Nothing);
    assert_eq!(remote.compare(epoch(1), 1, wrong), SyncNeed::Nothing);
    assert_eq!(remote.compare(epoch(1), 1, Some(Digest([8; 32]))), SyncNeed::Snapshot);
}

#[test]
fn malformed_deltas_are_turned_down_whole() {
    let (_, remote) = pair();
    let base = LibraryDelta {
        library_epoch: epoch(1),
        from_rev: 1,
        to_rev: 2,
        added: vec![],
        updated: vec![],
        removed: vec![],
    };
    let bad = [
        LibraryDelta { added: vec![game(5, 1), game(4, 1)], ..base.clone() },
        LibraryDelta { added: vec![game(5, 1), game(5, 1)], ..base.clone() },
        LibraryDelta { updated: vec![game(9, 1)], ..base.clone() },
        LibraryDelta { updated: vec![game(1, 2)], removed: vec![id(1)], ..base.clone() },
        LibraryDelta { added: vec![game(1, 2)], updated: vec![game(1, 2)], ..base.clone() },
        LibraryDelta { removed: vec![id(2), id(1)], ..base.clone() },
        LibraryDelta { library_epoch: epoch(2), ..base.clone() },
        LibraryDelta { from_rev: 0, ..base.clone() },
    ];
    for delta in bad {
        let mut r = remote.clone();
        assert!(matches!(r.apply_delta(&delta), DeltaOutcome::NeedSnapshot(_)), "{delta:?}");
        assert_eq!((r.rev(), r.digest()), (1, remote.digest()));
    }
}

#[test]
fn text_is_cleaned_and_the_digest_is_still_the_senders() {
    let sent = GameSummary { name: "a\u{202e}b\n".to_owned(), eti_version: "1\u{200b}".to_owned(), ..game(1, 1) };
    let mut remote = RemoteLibrary::unknown();
    remote.replace(Assembled { epoch: epoch(1), rev: 1, games: vec![sent.clone()] });
    assert_eq!(remote.get(&id(1)).map(|g| (g.name.as_str(), g.eti_version.as_str())), Some(("ab", "1")));
    assert_eq!(remote.digest(), library_digest([&sent]));
}

#[test]
fn pages_that_break_a_rule_are_refused() {
    let page = |page, pages, rev, games: Vec<GameSummary>| LibrarySnapshotMsg {
        peer_id: peer(),
        snapshot: LibrarySnapshot { library_epoch: epoch(1), library_rev: rev, games },
        page,
        pages,
    };
    let first = || {
        let mut a = Assembly::new(peer());
        assert_eq!(a.page(page(0, 2, 1, vec![game(1, 1), game(3, 1)])), Ok(None));
        a
    };
    assert!(first().page(page(0, 2, 1, vec![])).is_err(), "a page twice");
    assert!(first().page(page(1, 2, 2, vec![])).is_err(), "another revision");
    assert!(first().page(page(1, 3, 1, vec![])).is_err(), "another number of pages");
    assert!(first().page(page(1, 2, 1, vec![game(2, 1)])).is_err(), "unsorted across pages");
    assert!(first().page(page(1, 2, 1, vec![game(3, 1)])).is_err(), "a game twice");
    assert!(Assembly::new(peer()).page(page(0, 0, 1, vec![])).is_err(), "no pages");
    assert!(Assembly::new(peer()).page(page(1, 2, 1, vec![])).is_err(), "not the first");
    let stranger = LibrarySnapshotMsg { peer_id: PeerId::from_uuid(Uuid::from_u128(2)), ..page(0, 1, 1, vec![]) };
    assert!(Assembly::new(peer()).page(stranger).is_err());
    let many = (0..u32::try_from(LIBRARY_GAMES_MAX).unwrap())
        .map(|n| GameSummary { id: GameId::new(format!("z{n:06}")).unwrap(), ..game(0, 1) });
    assert!(first().page(page(1, 2, 1, many.collect())).is_err(), "too many");
    assert!(matches!(first().page(page(1, 2, 1, vec![game(4, 1)])), Ok(Some(_))));
}

/// What the network does with a pushed delta.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    Lost,
    Twice,
    Late,
}

proptest! {
    /// Whatever happens to deltas on the way, a summary and what the remote view then asks for lead to the same library.
    #[test]
    fn any_loss_doubling_or_reordering_heals(
        steps in prop::collection::vec(
            (prop::collection::vec((0u32..6, prop::option::of(0u32..3)), 1..4),
             prop::sample::select(vec![Fate::Arrives, Fate::Lost, Fate::Twice, Fate::Late]),
             prop::bool::weighted(0.1)),
            1..30)
    ) {
        let mut local = LocalLibrary::new(epoch(1));
        let mut remote = RemoteLibrary::unknown();
        let mut late = VecDeque::new();
        let mut epochs = 1;
        for (entries, fate, is_new_epoch) in steps {
            if is_new_epoch {
                epochs += 1;
                local = LocalLibrary::new(epoch(epochs));
            }
            let from = local.rev();
            if !step(&mut local, entries) { continue; }
            let Some(delta) = local.delta_since(local.epoch(), from) else { continue };
            match fate {
                Fate::Lost => {}
                Fate::Arrives => { remote.apply_delta(&delta); }
                Fate::Twice => {
                    remote.apply_delta(&delta);
                    let again = remote.apply_delta(&delta);
                    let applied = matches!(again, DeltaOutcome::Applied { .. });
                    prop_assert!(!applied);
                }
                Fate::Late => late.push_back(delta),
            }
            if (remote.epoch(), remote.rev()) == (Some(local.epoch()), local.rev()) {
                prop_assert_eq!(remote.digest(), local.digest());
            }
        }
        for delta in late {
            remote.apply_delta(&delta);
        }
        let mut need = remote.compare(local.epoch(), local.rev(), Some(local.digest()));
        let mut asked = 0;
        while need != SyncNeed::Nothing {
            asked += 1;
            prop_assert!(asked <= 2, "asked for ever");
            match need {
                SyncNeed::Delta { from_rev } => match local.delta_since(local.epoch(), from_rev) {
                    Some(d) => { remote.apply_delta(&d); }
                    None => { remote.replace(assemble(&local)); }
                },
                _ => { remote.replace(assemble(&local)); }
            }
            need = remote.take_need();
        }
        prop_assert!(remote.games().eq(local.games()));
        prop_assert_eq!(remote.digest(), local.digest());
        prop_assert_eq!((remote.epoch(), remote.rev()), (Some(local.epoch()), local.rev()));
    }
}
