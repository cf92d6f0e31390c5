//! Every input of the decision table, none left out: up to three heads of every kind, every disk, tracked or not, playing
//! or not. The answer is the oracle's, and never breaks what must hold of every row.

use std::collections::BTreeMap;

use bonfire_engine::saves::decide::Side;
use bonfire_engine::saves::{Action, Disk, Other, Relation, Situation, decide};
use bonfire_proto::{Digest, SaveHash, SnapshotId};

use crate::oracle;

/// Where the base's id stands among those of the heads, which are 1, 2 and 3.
const BASE: u8 = 2;

fn id(n: u8) -> SnapshotId {
    SnapshotId(Digest([n * 10; 32]))
}

fn content(n: u8) -> SaveHash {
    SaveHash(Digest([n; 32]))
}

const DELETED: u8 = 0;

/// Contents of a head: not known, that of the base, another, a third, none because it was deleted.
const CONTENTS: [Option<u8>; 5] = [None, Some(1), Some(2), Some(3), Some(DELETED)];

fn disks() -> Vec<Disk> {
    let base =
        |n: u8| Side { id: SnapshotId(Digest([BASE * 10 + 5; 32])), content: content(n), is_deletion: n == DELETED };
    vec![
        Disk::Absent,
        Disk::Present(content(1)),
        Disk::Clean(base(1)),
        Disk::Clean(base(DELETED)),
        Disk::Dirty,
        Disk::Shrunk,
        Disk::Deleted,
        Disk::Unreadable,
        Disk::Settling,
    ]
}

fn heads() -> Vec<Other> {
    let mut heads = Vec::new();
    for relation in Relation::ALL {
        for known in CONTENTS {
            for is_fetched in [false, true] {
                heads.push(Other {
                    id: id(0),
                    relation,
                    content: known.map(content),
                    is_deletion: known == Some(DELETED),
                    is_fetched,
                });
            }
        }
    }
    heads
}

/// Every choice of up to three heads, without regard to order; ids rise along it, and fall along it.
fn choices(heads: &[Other]) -> Vec<Vec<Other>> {
    let named = |picked: &[usize], numbers: [u8; 3]| -> Vec<Other> {
        picked.iter().zip(numbers).map(|(at, n)| Other { id: id(n), ..heads[*at] }).collect()
    };
    let mut choices = vec![Vec::new()];
    for a in 0..heads.len() {
        choices.push(named(&[a], [1; 3]));
        choices.push(named(&[a], [3; 3]));
        for b in a..heads.len() {
            choices.push(named(&[a, b], [1, 3, 0]));
            choices.push(named(&[a, b], [3, 1, 0]));
            for c in b..heads.len() {
                choices.push(named(&[a, b, c], [1, 2, 3]));
                choices.push(named(&[a, b, c], [3, 1, 2]));
            }
        }
    }
    choices
}

fn each(mut check: impl FnMut(&Situation)) -> usize {
    let mut count = 0;
    let mut s = Situation { disk: Disk::Absent, others: Vec::new(), is_tracked: true, is_running: false };
    for others in choices(&heads()) {
        s.others = others;
        for disk in disks() {
            s.disk = disk;
            for (is_tracked, is_running) in [(false, false), (false, true), (true, false), (true, true)] {
                (s.is_tracked, s.is_running) = (is_tracked, is_running);
                check(&s);
                count += 1;
            }
        }
    }
    count
}

#[test]
fn every_input_has_the_answer_of_the_table() {
    let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
    let count = each(|s| {
        let decision = decide(s);
        let (row, action) = oracle::answer(s);
        assert_eq!((decision.row.number(), &decision.action), (row, &action), "{s:#?}");
        *rows.entry(row).or_insert(0) += 1;
        keeps_what_holds_of_every_row(s, &decision.action);
    });
    println!("{count} inputs, by row: {rows:?}");
    assert_eq!(rows.len(), 18, "a row that never applied");
}

/// Said of the action alone, without rows.
fn keeps_what_holds_of_every_row(s: &Situation, action: &Action) {
    let head = |id: &SnapshotId| s.others.iter().find(|o| o.id == *id);
    let is_on_disk = matches!(s.disk, Disk::Clean(_) | Disk::Absent);
    if action.writes_files() {
        assert!(s.is_tracked && !s.is_running, "writes where it may not: {s:#?}");
        assert!(is_on_disk, "writes beside or over what is not in history: {s:#?}");
    }
    if action.makes_snapshot() {
        let is_unproven = matches!(s.disk, Disk::Shrunk | Disk::Unreadable | Disk::Settling);
        assert!(s.is_tracked && !is_unproven, "announces what it has not seen: {s:#?}");
    }
    let apart = |o: &&Other| matches!(o.relation, Relation::Ancestor | Relation::Diverged);
    match action {
        Action::FastForward { to } => {
            assert!(head(to).is_some_and(|o| o.relation == Relation::Ancestor && o.is_fetched), "{s:#?}");
            assert!(s.others.iter().filter(apart).filter(|o| o.content.is_some()).count() == 1, "chose: {s:#?}");
        }
        Action::ApplyNew { to } => assert!(s.disk == Disk::Absent && head(to).is_some_and(|o| o.is_fetched), "{s:#?}"),
        Action::Nothing | Action::OfferOurs => {
            let is_quiet = s.others.iter().all(|o| matches!(o.relation, Relation::Equal | Relation::Descendant));
            assert!(is_quiet || s.disk == Disk::Absent && s.others.is_empty(), "hides something: {s:#?}");
        }
        Action::Conflict { with, copies } => {
            assert!(copies.iter().all(|c| with.contains(c)), "{s:#?}");
            let contents = with.iter().filter_map(head).filter(|o| !o.is_deletion).map(|o| o.content);
            let ours = match s.disk {
                Disk::Clean(base) if !base.is_deletion => Some(Some(base.content)),
                _ => None,
            };
            let is_same = contents.chain(ours).collect::<std::collections::BTreeSet<_>>().len() < 2;
            assert!(!is_same, "a false alarm: {s:#?}");
        }
        _ => {}
    }
}

#[test]
fn the_order_of_the_heads_changes_nothing() {
    let heads: Vec<Other> = heads().into_iter().zip((1..=25).cycle()).map(|(o, n)| Other { id: id(n), ..o }).collect();
    for disk in disks() {
        for a in &heads {
            for b in &heads {
                let at = |others: Vec<Other>| decide(&Situation { disk, others, is_tracked: true, is_running: false });
                assert_eq!(at(vec![*a, *b]), at(vec![*b, *a]));
            }
        }
    }
}
