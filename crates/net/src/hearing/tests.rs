#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use bonfire_proto::limits::MDNS_SERVICE;
use mdns_sd::ServiceInfo;

use super::*;

const EPOCH: &str = "00000000-0000-4000-8000-000000000001";

fn id(n: usize) -> String {
    format!("00000000-0000-8000-8000-{n:012}")
}

fn heard(name: &str, ip: &str, port: u16, txt: &[(&str, &str)]) -> ResolvedService {
    ServiceInfo::new(MDNS_SERVICE, name, "bonfire-x.local.", ip, port, txt).unwrap().as_resolved_service()
}

fn peer(n: usize, ip: &str, rev: &str) -> ResolvedService {
    let id = id(n);
    heard(
        &id,
        ip,
        4000,
        &[
            ("peer_id", &id),
            ("proto_ver", "1"),
            ("library_rev", rev),
            ("library_epoch", EPOCH),
            ("hostname", "h\u{202e}x"),
        ],
    )
}

fn told(hearing: &mut Hearing) -> Vec<DiscoveryEvent> {
    std::iter::from_fn(|| hearing.next_untold()).collect()
}

#[test]
fn tells_a_change_once_and_the_same_never_again() {
    let mut hearing = Hearing::default();
    hearing.found(&peer(1, "10.0.0.1", "1"), None);
    hearing.found(&peer(1, "10.0.0.1", "2"), None);
    let events = told(&mut hearing);
    assert!(
        matches!(&events[..], [DiscoveryEvent::Found { library_rev: 2, hostname, .. }] if hostname == "hx"),
        "{events:?}"
    );
    hearing.found(&peer(1, "10.0.0.1", "2"), None);
    assert_eq!(told(&mut hearing), []);
    hearing.removed(&format!("{}.{MDNS_SERVICE}", id(1)));
    assert_eq!(told(&mut hearing), [DiscoveryEvent::Lost { peer_id: id(1).parse().unwrap() }]);
}

#[test]
fn ignores_ourselves_and_everything_malformed() {
    let mut hearing = Hearing::default();
    hearing.found(&peer(1, "10.0.0.1", "1"), Some(id(1).parse().unwrap()));
    hearing.found(&peer(2, "10.0.0.1", "-1"), None);
    hearing.found(&peer(2, "224.0.0.1", "1"), None);
    let two = id(2);
    let whole = [("peer_id", two.as_str()), ("proto_ver", "1"), ("library_rev", "1"), ("library_epoch", EPOCH)];
    hearing.found(&heard("another-name", "10.0.0.1", 4000, &whole), None);
    hearing.found(&heard(&id(2), "10.0.0.1", 0, &whole), None);
    hearing.found(&heard(&id(2), "10.0.0.1", 4000, &whole[1..]), None);
    let long = "x".repeat(200);
    let mut bloated = whole.to_vec();
    bloated.extend([("a", long.as_str()), ("b", long.as_str())]);
    hearing.found(&heard(&id(2), "10.0.0.1", 4000, &bloated), None);
    assert_eq!(told(&mut hearing), []);
    hearing.found(&heard(&id(2), "10.0.0.1", 4000, &whole), None);
    assert_eq!(told(&mut hearing).len(), 1, "the well-formed one is heard");
}

#[test]
fn one_machine_cannot_crowd_the_others_out() {
    let mut hearing = Hearing::default();
    for n in 0..500 {
        hearing.found(&peer(n, "10.0.0.66", "1"), None);
    }
    assert_eq!(told(&mut hearing).len(), PEERS_PER_ADDRESS);
    hearing.found(&peer(1000, "10.0.0.1", "1"), None);
    assert_eq!(told(&mut hearing).len(), 1);
    for n in 2000..3000 {
        hearing.found(&peer(n, &format!("10.0.{}.{}", n / 200, n % 200 + 1), "1"), None);
    }
    assert_eq!(told(&mut hearing).len(), PEERS_MAX - PEERS_PER_ADDRESS - 1);
}

#[test]
fn asks_for_an_announcement_without_its_txt_record_until_it_comes() {
    let mut hearing = Hearing::default();
    let half = heard(&id(1), "10.0.0.1", 4001, &[]);
    hearing.found(&half, None);
    assert!(hearing.misses_something());
    assert!(told(&mut hearing).is_empty());
    hearing.asked_anew();
    assert!(hearing.misses_something(), "nothing came");
    hearing.found(&peer(1, "10.0.0.1", "1"), None);
    assert!(!hearing.misses_something());
    assert_eq!(told(&mut hearing).len(), 1);
}

#[test]
fn gives_up_on_who_never_sends_its_txt_record() {
    let mut hearing = Hearing::default();
    let half = heard(&id(1), "10.0.0.1", 4001, &[]);
    for _ in 0..ASKS_MAX {
        hearing.found(&half, None);
        assert!(hearing.misses_something());
        hearing.asked_anew();
    }
    hearing.found(&half, None);
    assert!(!hearing.misses_something());
}

#[test]
fn who_does_not_answer_when_all_are_asked_anew_is_lost() {
    let mut hearing = Hearing::default();
    for n in 1..=2 {
        hearing.found(&peer(n, "10.0.0.1", "1"), None);
    }
    assert_eq!(told(&mut hearing).len(), 2);
    hearing.asked_anew();
    hearing.found(&peer(2, "10.0.0.1", "1"), None);
    hearing.all_answered();
    let gone = id(1).parse().unwrap();
    assert_eq!(told(&mut hearing), [DiscoveryEvent::Lost { peer_id: gone }]);
}

#[test]
fn who_leaves_while_nothing_listens_is_lost_and_who_stays_is_not_told_again() {
    let mut hearing = Hearing::default();
    for n in 1..=2 {
        hearing.found(&peer(n, "10.0.0.1", "1"), None);
    }
    hearing.found(&heard(&id(3), "10.0.0.3", 4001, &[]), None);
    assert_eq!(told(&mut hearing).len(), 2);
    assert!(!hearing.waits_for_answers());
    hearing.began_anew();
    assert!(hearing.waits_for_answers());
    assert!(!hearing.misses_something(), "what came in part came to another");
    hearing.found(&peer(2, "10.0.0.1", "1"), None);
    assert_eq!(told(&mut hearing), []);
    hearing.all_answered();
    assert_eq!(told(&mut hearing), [DiscoveryEvent::Lost { peer_id: id(1).parse().unwrap() }]);
    assert!(!hearing.waits_for_answers());
}
