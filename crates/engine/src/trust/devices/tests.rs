use super::*;

fn id(n: u8) -> PeerId {
    PeerId::from_spki_der(&[n])
}

fn mac(last: u8) -> Mac {
    Mac([0x00, 0x1b, 0x21, 0, 0, last])
}

/// How a field of who registers stands to that of the known device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Same,
    Other,
    Absent,
}

use Field::{Absent, Other, Same};

const FIELDS: [Field; 3] = [Same, Other, Absent];

fn known() -> Fingerprint {
    Fingerprint {
        key_hash: Some(Digest([1; 32])),
        machine_id: Some(Digest([2; 32])),
        mac: Some(mac(3)),
        hostname: Some("steamdeck".into()),
        platform: Some("linux".into()),
    }
}

fn like(fields: [Field; 5]) -> Fingerprint {
    fn pick<T>(field: Field, same: T, other: T) -> Option<T> {
        match field {
            Same => Some(same),
            Other => Some(other),
            Absent => None,
        }
    }
    Fingerprint {
        key_hash: pick(fields[0], Digest([1; 32]), Digest([9; 32])),
        machine_id: pick(fields[1], Digest([2; 32]), Digest([9; 32])),
        mac: pick(fields[2], mac(3), mac(9)),
        hostname: pick(fields[3], "steamdeck".to_owned(), "tower".to_owned()),
        platform: pick(fields[4], "linux".to_owned(), "windows".to_owned()),
    }
}

fn every_fingerprint() -> Vec<[Field; 5]> {
    let mut all = vec![[Absent; 5]];
    for at in 0..5 {
        all = all
            .iter()
            .flat_map(|f| {
                FIELDS.map(|v| {
                    let mut f = *f;
                    f[at] = v;
                    f
                })
            })
            .collect();
    }
    all
}

/// Key, machine id, MAC, hostname, platform (`=` same, `x` other, `-` not known, `*` any), and what it is matched by. The
/// first line that fits counts.
const MATCHES: &str = "
    = * * * *   Key
    * = * * *   MachineId
    * - = * *   Mac
    * x = * *   MacElsewhere
    * * * = =   Name
    * * * * *   none
";

/// Matched by, allow_existing, allow_duplicate, chosen by a person: what comes of it.
const OUTCOMES: &str = "
    none          *   *   *      create
    Key           yes no  *      existing
    Key           *   *   *      conflict
    *             *   yes *      create
    MachineId     yes no  *      existing
    MachineId     no  no  *      conflict
    Mac           yes no  *      existing
    Mac           no  no  *      conflict
    *             yes no  yes    existing
    *             no  no  yes    conflict
    *             *   no  no     choose
";

fn first_fitting(table: &str, given: &[String]) -> String {
    for row in table.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).filter(|r| !r.is_empty()) {
        let (answer, pattern) = row.split_last().unwrap();
        if pattern.iter().zip(given).all(|(p, g)| *p == "*" || *p == g.as_str()) {
            return (*answer).to_owned();
        }
    }
    panic!("no row for {given:?}")
}

fn yes(b: bool) -> String {
    if b { "yes" } else { "no" }.to_owned()
}

#[test]
fn every_fingerprint_with_every_flag_is_registered_as_the_tables_say() {
    let devices = BTreeMap::from([(id(1), known())]);
    let (mut checked, mut seen) = (0, BTreeMap::<String, u32>::new());
    for fields in every_fingerprint() {
        let who = like(fields);
        let signs = fields.map(|f| {
            match f {
                Same => "=",
                Other => "x",
                Absent => "-",
            }
            .to_owned()
        });
        let by = first_fitting(MATCHES, &signs);
        assert_eq!(who.matches(&known()).map_or("none".to_owned(), |m| format!("{m:?}")), by, "{fields:?}");
        assert_eq!(who.matches(&known()), known().matches(&who), "matching has no direction: {fields:?}");
        for bits in 0..16u8 {
            let flags =
                Flags { allow_existing: bits & 1 != 0, allow_duplicate: bits & 2 != 0, reset_syncs: bits & 4 != 0 };
            let chosen = (bits & 8 != 0).then(|| id(1));
            let given = [by.clone(), yes(flags.allow_existing), yes(flags.allow_duplicate), yes(chosen.is_some())];
            let outcome = first_fitting(OUTCOMES, &given);
            let got = register(&who, flags, chosen, &devices);
            let named = match &got {
                Registration::Create => "create",
                Registration::Existing { reset_syncs, .. } => {
                    assert_eq!(*reset_syncs, flags.reset_syncs);
                    "existing"
                }
                Registration::Conflict { .. } => "conflict",
                Registration::Choose(offered) => {
                    assert!(!offered.is_empty());
                    "choose"
                }
            };
            assert_eq!(named, outcome, "{fields:?} {flags:?} {chosen:?}");
            assert_eq!(got.device(), (named != "create").then(|| id(1)), "the answer carries the device");
            assert_eq!(got.is_conflict(), matches!(named, "conflict" | "choose"));
            *seen.entry(named.to_owned()).or_default() += 1;
            checked += 1;
        }
    }
    assert_eq!(checked, 243 * 16);
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn a_weak_match_is_never_taken_without_a_person() {
    for fields in every_fingerprint() {
        let who = like(fields);
        let weak = who.matches(&known()).is_some_and(|by| !by.is_sure());
        if weak {
            let got = register(&who, Flags::default(), None, &BTreeMap::from([(id(1), known())]));
            assert!(matches!(got, Registration::Choose(_)), "{fields:?}: {got:?}");
        }
    }
}

#[test]
fn of_two_decks_with_one_name_neither_is_taken_for_a_third() {
    let deck = |n: u8| Fingerprint {
        machine_id: Some(Digest([n; 32])),
        mac: Some(mac(n)),
        key_hash: Some(Digest([n; 32])),
        ..like([Absent, Absent, Absent, Same, Same])
    };
    let devices = BTreeMap::from([(id(1), deck(1)), (id(2), deck(2))]);
    let mut offered = vec![(id(1), MatchedBy::Name), (id(2), MatchedBy::Name)];
    offered.sort_by_key(|(id, _)| *id);
    let third = deck(3);
    assert_eq!(register(&third, Flags::default(), None, &devices), Registration::Choose(offered));
    let chosen = register(&third, Flags::default(), Some(id(2)), &devices);
    assert_eq!(chosen, Registration::Existing { device: id(2), by: MatchedBy::Name, reset_syncs: false });
    let unknown = register(&third, Flags::default(), Some(id(9)), &devices);
    assert!(matches!(unknown, Registration::Choose(_)), "what was not offered cannot be chosen");
    let duplicate = Flags { allow_duplicate: true, ..Flags::default() };
    assert_eq!(register(&third, duplicate, None, &devices), Registration::Create);
    assert_eq!(register(&third, duplicate, Some(id(2)), &devices), Registration::Create);
}

#[test]
fn the_strongest_match_wins_whatever_else_looks_alike() {
    let by_name = like([Absent, Absent, Absent, Same, Same]);
    let by_mac = like([Other, Absent, Same, Other, Other]);
    let by_machine = like([Absent, Same, Other, Other, Other]);
    let by_key = like([Same, Other, Other, Other, Other]);
    let mut devices = BTreeMap::from([(id(1), by_name)]);
    for (n, f, by) in [(2, by_mac, MatchedBy::Mac), (3, by_machine, MatchedBy::MachineId), (4, by_key, MatchedBy::Key)]
    {
        devices.insert(id(n), f);
        let got = register(&known(), Flags::default(), Some(id(1)), &devices);
        assert_eq!(got, Registration::Existing { device: id(n), by, reset_syncs: false });
    }
}

#[test]
fn clones_of_one_installation_are_offered_and_not_taken() {
    let clone = like([Absent, Same, Absent, Absent, Absent]);
    let devices = BTreeMap::from([(id(1), clone.clone()), (id(2), clone.clone())]);
    let got = register(&clone, Flags::default(), None, &devices);
    assert!(matches!(&got, Registration::Choose(offered) if offered.len() == 2), "{got:?}");
    let got = register(&clone, Flags::default(), Some(id(2)), &devices);
    assert_eq!(got.device(), Some(id(2)));
    assert!(!got.is_conflict());
}

#[test]
fn addresses_that_name_no_hardware_match_nothing() {
    for (text, hardware) in [
        ("00:1b:21:00:00:03", true),
        ("00-1B-21-00-00-03", true),
        ("02:1b:21:00:00:03", false),
        ("01:00:5e:00:00:01", false),
        ("ff:ff:ff:ff:ff:ff", false),
        ("00:00:00:00:00:00", false),
        ("00:00:00:00:00:01", true),
    ] {
        let mac: Mac = text.parse().unwrap();
        assert_eq!(mac.is_of_hardware(), hardware, "{text}");
        let one = Fingerprint { mac: Some(mac), ..Fingerprint::default() };
        assert_eq!(one.matches(&one.clone()), hardware.then_some(MatchedBy::Mac));
        assert_eq!(mac.to_string().parse::<Mac>(), Ok(mac));
    }
    for bad in ["", "00:1b:21:00:00", "00:1b:21:00:00:03:04", "0:1b:21:00:00:03", "00:1b:21:00:00:+3", "001b21000003"] {
        assert_eq!(bad.parse::<Mac>(), Err(MacError), "{bad}");
    }
}

#[test]
fn names_match_without_case_and_only_when_there_are_any() {
    let named = |host: &str, platform: &str| Fingerprint {
        hostname: Some(host.into()),
        platform: Some(platform.into()),
        ..Fingerprint::default()
    };
    assert_eq!(named("SteamDeck ", "Linux").matches(&named("steamdeck", "linux")), Some(MatchedBy::Name));
    assert_eq!(named("", "linux").matches(&named("", "linux")), None);
    assert_eq!(named(" ", "linux").matches(&named(" ", "linux")), None);
    assert_eq!(Fingerprint::default().matches(&Fingerprint::default()), None);
}
