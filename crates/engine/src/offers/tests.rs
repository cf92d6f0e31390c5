use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use bonfire_proto::Digest;

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn id() -> GameId {
    GameId::new("doom").unwrap()
}

fn line(version: &str, manifest: u8, content: Option<u8>, availability: Availability) -> GameSummary {
    GameSummary {
        id: id(),
        name: "Doom".to_owned(),
        eti_version: version.to_owned(),
        size: 1,
        downloaded: true,
        installed: false,
        manifest_hash: ManifestHash(Digest([manifest; 32])),
        content_hash: content.map(|c| ContentHash(Digest([c; 32]))),
        availability,
    }
}

fn ready(version: &str, manifest: u8, content: Option<u8>) -> GameSummary {
    line(version, manifest, content, Availability::Ready)
}

fn decide(lines: &[GameSummary], here: Option<&GameSummary>, from: Option<u128>) -> Result<Choice, Report> {
    let offers: Vec<_> = (1..).zip(lines).map(|(n, game)| Offer { peer: peer(n), game }).collect();
    choose(&id(), &offers, here, from.map(peer))
}

fn code(result: Result<Choice, Report>) -> String {
    result.expect_err("a refusal").code
}

#[test]
fn a_game_that_nobody_lists_is_unknown() {
    let e = decide(&[], None, None).unwrap_err();
    assert_eq!((e.class, e.code.as_str(), e.retryable), (ErrorClass::NotFound, "unknown_game", false));
    assert_eq!(code(decide(&[ready("1", 1, None)], None, Some(9))), "unknown_game");
}

#[test]
fn a_game_that_is_only_listed_is_refused_and_one_on_its_way_is_worth_a_retry() {
    let local = line("1", 1, None, Availability::LocalOnly);
    let coming = line("1", 1, None, Availability::Downloading);
    let e = decide(std::slice::from_ref(&local), None, None).unwrap_err();
    assert_eq!((e.class, e.code.as_str()), (ErrorClass::Refused, "not_offered"));
    let e = decide(&[local, coming], None, None).unwrap_err();
    assert_eq!((e.class, e.code.as_str(), e.retryable), (ErrorClass::Unreachable, "no_source", true));
}

#[test]
fn the_highest_version_wins_and_versions_count_as_numbers() {
    let c = decide(&[ready("1.9", 1, Some(1)), ready("1.10", 2, Some(2))], None, None).unwrap();
    assert_eq!((c.target.version.as_str(), c.sources), ("1.10", vec![peer(2)]));
}

#[test]
fn peers_with_one_content_serve_together_and_an_unread_copy_stands_aside() {
    let c = decide(&[ready("1", 1, None), ready("1", 1, Some(5)), ready("1", 1, Some(5))], None, None).unwrap();
    assert_eq!(c.target.content_hash, Some(ContentHash(Digest([5; 32]))));
    assert_eq!(c.sources, vec![peer(2), peer(3)]);
}

#[test]
fn an_unread_content_comes_from_one_peer_only() {
    let c = decide(&[ready("1", 1, None), ready("1", 1, None)], None, None).unwrap();
    assert_eq!((c.target.content_hash, c.sources), (None, vec![peer(1)]));
    let c = decide(&[ready("1", 1, None), ready("1", 1, None)], None, Some(2)).unwrap();
    assert_eq!(c.sources, vec![peer(2)]);
}

#[test]
fn different_contents_of_one_version_are_for_the_user_to_decide() {
    let lines = [ready("1", 1, Some(1)), ready("1", 1, Some(2)), ready("1", 1, Some(2))];
    let e = decide(&lines, None, None).unwrap_err();
    assert_eq!(e.code, "peers_disagree");
    assert!(e.message.contains(&peer(1).to_string()) && e.message.contains(&peer(3).to_string()));
    assert!(e.hint.contains("--from PEER"));
    let c = decide(&lines, None, Some(2)).unwrap();
    assert_eq!(c.sources, vec![peer(2), peer(3)], "others with the same content join");
    assert_eq!(code(decide(&[ready("1", 1, None), ready("1", 2, None)], None, None)), "peers_disagree");
}

#[test]
fn equal_names_and_sizes_do_not_make_another_version_the_same() {
    for (there, here) in [(Some(1), None), (None, Some(1)), (None, None)] {
        let offered = [ready("1.1", 1, there)];
        let c = decide(&offered, Some(&ready("1.0", 1, here)), None).unwrap();
        assert_eq!(c.target.version, "1.1");
        assert_eq!(code(decide(&offered, Some(&ready("1.2", 1, here)), None)), "newer_here");
        // Whoever names a peer wants its bytes, unless they are known to be here.
        assert!(decide(&offered, Some(&ready("1.1", 1, here)), Some(1)).is_ok());
        assert_eq!(code(decide(&offered, Some(&ready("1.1", 1, here)), None)), "already_here");
    }
}

#[test]
fn what_is_here_already_is_not_fetched_again() {
    let offered = [ready("1", 1, Some(1))];
    assert_eq!(code(decide(&offered, Some(&ready("1", 1, Some(1))), None)), "already_here");
    assert_eq!(code(decide(&offered, Some(&ready("1", 1, None)), None)), "already_here");
    assert_eq!(code(decide(&offered, Some(&ready("1", 1, Some(1))), Some(1))), "already_here");
    assert_eq!(code(decide(&[], Some(&ready("1", 1, None)), None)), "already_here");
    let not_downloaded = GameSummary { downloaded: false, ..ready("1", 1, Some(1)) };
    assert!(decide(&offered, Some(&not_downloaded), None).is_ok());
}

#[test]
fn an_older_or_differing_offer_needs_the_users_word() {
    let offered = [ready("1.9", 1, Some(1))];
    assert_eq!(code(decide(&offered, Some(&ready("1.10", 2, None)), None)), "newer_here");
    assert_eq!(code(decide(&offered, Some(&ready("1.9", 2, None)), None)), "differs_here");
    assert_eq!(code(decide(&offered, Some(&ready("1.9", 1, Some(2))), None)), "differs_here");
    assert!(decide(&offered, Some(&ready("1.10", 2, None)), Some(1)).is_ok());
    assert!(decide(&offered, Some(&ready("1.8", 2, None)), None).is_ok());
}

#[test]
fn a_download_of_unread_content_stays_with_its_source_until_the_content_is_known() {
    let (a, b) = (ready("1", 1, None), ready("1", 1, None));
    let offers = [Offer { peer: peer(1), game: &a }, Offer { peer: peer(2), game: &b }];
    let mut target = choose(&id(), &offers, None, Some(peer(2))).unwrap().target;
    assert_eq!(same_source(&target, peer(2), &offers), vec![peer(2)]);
    assert_eq!(same_source(&target, peer(3), &offers), vec![]);
    let read = ready("1", 1, Some(4));
    let offers = [Offer { peer: peer(1), game: &read }, Offer { peer: peer(2), game: &read }];
    assert_eq!(same_source(&target, peer(2), &offers), vec![peer(2)]);
    target.content_hash = learned_content(&target, peer(2), &offers);
    assert_eq!(same_source(&target, peer(2), &offers), vec![peer(1), peer(2)]);
}

#[test]
fn versions_compare_as_people_read_them() {
    let rising = ["", "0", "1", "1.0.1", "1.2", "1.10", "2", "10", "2024-01", "20240131", "v1", "v2a", "v2b"];
    for (i, a) in rising.iter().enumerate() {
        for (j, b) in rising.iter().enumerate() {
            assert_eq!(compare_versions(a, b), i.cmp(&j), "{a:?} {b:?}");
        }
    }
    assert_eq!(compare_versions("1.0", "1.00"), Ordering::Equal);
    assert_eq!(compare_versions("1é", "1é"), Ordering::Equal);
}

proptest! {
    #[test]
    fn comparing_versions_is_a_total_order(
        a in "[0-9a.é-]{0,8}", b in "[0-9a.é-]{0,8}", c in "[0-9a.é-]{0,8}"
    ) {
        prop_assert_eq!(compare_versions(&a, &b), compare_versions(&b, &a).reverse());
        if compare_versions(&a, &b).is_le() && compare_versions(&b, &c).is_le() {
            prop_assert!(compare_versions(&a, &c).is_le());
        }
    }
}

/// Every room of up to three peers with every kind of line, with every kind of copy here: the rules hold.
#[test]
fn contents_are_never_mixed_in_any_small_room() {
    let mut lines = Vec::new();
    for availability in [Availability::Ready, Availability::Downloading, Availability::LocalOnly] {
        for version in ["1", "2"] {
            for (manifest, content) in [(1, None), (1, Some(1)), (1, Some(2)), (2, Some(3))] {
                lines.push(line(version, manifest, content, availability));
            }
        }
    }
    let here: Vec<_> = std::iter::once(None).chain(lines.iter().map(Some)).collect();
    let mut chosen = 0;
    for a in &lines {
        for b in &lines {
            for c in &lines {
                let room = [a.clone(), b.clone(), c.clone()];
                for here in &here {
                    for from in [None, Some(2)] {
                        let Ok(choice) = decide(&room, *here, from) else { continue };
                        chosen += 1;
                        check(&room, *here, from, &choice);
                    }
                }
            }
        }
    }
    assert!(chosen > 10_000);
}

fn check(room: &[GameSummary], here: Option<&GameSummary>, from: Option<u128>, choice: &Choice) {
    let t = &choice.target;
    let sources: Vec<_> = (1..).zip(room).filter(|(n, _)| choice.sources.contains(&peer(*n))).collect();
    assert_eq!(sources.len(), choice.sources.len());
    assert!(!sources.is_empty());
    assert!(choice.sources.is_sorted());
    for (_, g) in &sources {
        assert_eq!((g.availability, g.manifest_hash), (Availability::Ready, t.manifest_hash));
        assert_eq!(g.content_hash, t.content_hash);
    }
    assert!(t.content_hash.is_some() || sources.len() == 1);
    match from {
        Some(n) => assert!(choice.sources.contains(&peer(n))),
        None => {
            let best = room.iter().filter(|g| g.availability == Availability::Ready).map(|g| &g.eti_version).max();
            assert_eq!(best, Some(&t.version));
            assert!(here.is_none_or(|h| h.eti_version < t.version), "only something newer replaces what is here");
        }
    }
}
