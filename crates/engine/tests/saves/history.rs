//! What has to hold of any history of one slot: what may be pruned of it, and what may be put on top of it.
//!
//! Histories are graphs drawn at random; what is right is said from the definition of an ancestor.

use std::collections::BTreeSet;

use bonfire_engine::saves::retention::{Holdings, Reason, Retained, retain};
use bonfire_engine::saves::stale::{Push, Verdict, judge};
use bonfire_engine::saves::{Lineage, Node};
use bonfire_proto::save::content_hash;
use bonfire_proto::{Digest, Hlc, PeerId, SaveHash, SnapshotId, SnapshotKind};
use proptest::prelude::*;
use uuid::Uuid;

use crate::cases::holds;

/// Most snapshots of a history.
const MOST: u8 = 24;

fn id(n: u8) -> SnapshotId {
    SnapshotId(Digest([n; 32]))
}

fn ids(numbers: impl IntoIterator<Item = u8>) -> BTreeSet<SnapshotId> {
    numbers.into_iter().map(id).collect()
}

/// Content number n; 0 is that of a save that was deleted.
fn content(n: u8) -> SaveHash {
    if n == 0 { content_hash(&[]) } else { SaveHash(Digest([n; 32])) }
}

fn node(n: u8, parents: Vec<SnapshotId>, value: u8) -> Node {
    let device = PeerId::from_uuid(Uuid::from_u128(1));
    Node {
        id: id(n),
        parents,
        content: content(value),
        kind: if value == 0 { SnapshotKind::Tombstone } else { SnapshotKind::Save },
        played_ms: 0,
        hlc: Hlc { ms: u64::from(n), count: 0, device },
        device,
        created_at: u64::from(n),
        files: u64::from(value != 0),
        size: u64::from(value != 0) * 100,
    }
}

/// Snapshots from 1 on, each with what it was made from and a content.
#[derive(Debug, Clone)]
struct History {
    lineage: Lineage,
    /// For each snapshot itself and all that it was made from.
    above: Vec<BTreeSet<u8>>,
    values: Vec<u8>,
}

impl History {
    fn of(parents: &[(u8, u8)], values: &[u8]) -> Self {
        let mut history = Self { lineage: Lineage::default(), above: Vec::new(), values: Vec::new() };
        for (at, (a, b)) in parents.iter().enumerate() {
            let n = u8::try_from(at).unwrap() + 1;
            // 0 is nobody: a beginning.
            let above = BTreeSet::from([a % n, b % n]).into_iter().filter(|p| *p > 0).collect();
            history.push(above, values[at]);
        }
        history
    }

    fn push(&mut self, parents: BTreeSet<u8>, value: u8) -> u8 {
        let n = u8::try_from(self.above.len()).unwrap() + 1;
        let all = parents.iter().flat_map(|p| self.above[usize::from(*p) - 1].iter().copied()).chain([n]);
        self.above.push(all.collect());
        self.values.push(value);
        self.lineage.insert(node(n, parents.into_iter().map(id).collect(), value));
        n
    }

    fn len(&self) -> u8 {
        u8::try_from(self.above.len()).unwrap()
    }

    fn all(&self) -> impl Iterator<Item = u8> + use<> {
        1..=self.len()
    }

    /// Whether `new` is `old`, or was made from it.
    fn has_above(&self, new: u8, old: u8) -> bool {
        new <= self.len() && self.above[usize::from(new) - 1].contains(&old)
    }

    /// Those that nothing was made from.
    fn heads(&self) -> BTreeSet<u8> {
        self.all().filter(|n| self.all().all(|m| m == *n || !self.has_above(m, *n))).collect()
    }

    fn pick(&self, of: &[u8]) -> BTreeSet<u8> {
        of.iter().map(|n| n % self.len() + 1).collect()
    }
}

fn history(most: u8) -> impl Strategy<Value = History> {
    let parents = prop::collection::vec(any::<(u8, u8)>(), 1..=usize::from(most));
    (parents, prop::collection::vec(0u8..9, usize::from(most))).prop_map(|(p, values)| History::of(&p, &values))
}

fn picks() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..4)
}

/// What somebody still needs of a history.
#[derive(Debug, Clone, Default)]
struct Needs {
    heads: BTreeSet<u8>,
    bases: BTreeSet<u8>,
    sides: BTreeSet<u8>,
    pins: BTreeSet<u8>,
    has_unheard: bool,
}

impl Needs {
    fn retain(&self, history: &History, stored: &BTreeSet<SnapshotId>, keep: usize) -> Retained {
        let set = |of: &BTreeSet<u8>| ids(of.iter().copied());
        retain(&Holdings {
            lineage: &history.lineage,
            stored,
            heads: &set(&self.heads),
            is_every_device_known: !self.has_unheard,
            bases: &set(&self.bases),
            sides: &set(&self.sides),
            pins: &set(&self.pins),
            keep,
        })
    }

    /// What this device's own newest are counts as a head, too.
    fn ends(&self, history: &History) -> BTreeSet<u8> {
        history.heads().iter().chain(&self.heads).chain(&self.bases).chain(&self.sides).copied().collect()
    }
}

fn number(id: &SnapshotId) -> u8 {
    id.0.0[0]
}

#[test]
fn p12_retention_keeps_what_is_needed_and_no_more_than_that_and_the_limit() {
    const PRUNED: &str = "something was pruned";
    const SIDE: &str = "only the conflict keeps a side of it";
    const PIN: &str = "only the pin keeps it";
    let drawn = (history(MOST), picks(), picks(), picks(), picks(), 0usize..12);
    let premises = [(PRUNED, 5), (SIDE, 20), (PIN, 20)];
    holds(drawn, &premises, |(history, heads, bases, sides, pins, keep), met| {
        let pick = |of: Vec<u8>| history.pick(&of);
        let needs =
            Needs { heads: pick(heads), bases: pick(bases), sides: pick(sides), pins: pick(pins), has_unheard: false };
        let stored = ids(history.all());
        let retained = needs.retain(&history, &stored, keep);
        let kept: BTreeSet<u8> = retained.keep.keys().map(number).collect();
        let pruned: BTreeSet<u8> = retained.prune.iter().map(number).collect();
        let is = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {retained:?}")) };
        is(kept.is_disjoint(&pruned) && kept.union(&pruned).copied().eq(history.all()), "all are kept or pruned")?;
        let ends = needs.ends(&history);
        is(ends.union(&needs.pins).all(|n| kept.contains(n)), "a head, base, side or pin is kept")?;
        // What some end was made from and some other was not, and what all have in common last.
        let is_common = |x: u8| ends.iter().all(|e| history.has_above(*e, x));
        let is_needed = |x: u8| {
            let is_lowest = || !history.all().any(|y| y != x && is_common(y) && history.has_above(y, x));
            ends.iter().any(|e| history.has_above(*e, x)) && (!is_common(x) || is_lowest())
        };
        is(history.all().filter(|x| is_needed(*x)).all(|x| kept.contains(&x)), "what lies between heads is kept")?;
        for gone in kept.iter().filter(|n| history.values[usize::from(**n) - 1] == 0) {
            let is_content_above =
                |x: &u8| x != gone && history.has_above(*gone, *x) && history.values[usize::from(*x) - 1] != 0;
            let is_any = history.all().any(|x| is_content_above(&x));
            is(!is_any || kept.iter().any(is_content_above), "something is left of what was deleted")?;
        }
        let is_founded = |(id, reason): (&SnapshotId, &Reason)| match reason {
            Reason::Recent | Reason::BeforeDeletion => true,
            Reason::Uncertain => false,
            _ => is_needed(number(id)) || needs.pins.contains(&number(id)),
        };
        is(retained.keep.iter().all(is_founded), "everything is kept for a reason")?;
        let recent = retained.keep.values().filter(|r| **r == Reason::Recent).count();
        let unpinned = history.all().filter(|n| !needs.pins.contains(n)).count();
        let is_enough = kept.difference(&needs.pins).count() >= keep.min(unpinned);
        is(recent <= keep && is_enough, "as many of the newest as were asked for")?;
        met.note(PRUNED, !pruned.is_empty());
        met.note(SIDE, retained.keep.values().any(|r| *r == Reason::Side));
        met.note(PIN, retained.keep.values().any(|r| *r == Reason::Pin));
        // What is pruned stays in the lineage: the next prune finds nothing.
        let left = retained.keep.keys().copied().collect();
        is(needs.retain(&history, &left, keep).prune.is_empty(), "pruning again prunes nothing")
    });
}

/// In one line of versions: everything since the device that is furthest behind stays, until it catches up or is removed;
/// and a new one, of which nothing is known yet, holds everything.
#[test]
fn p11_what_a_device_has_yet_to_see_is_kept_until_it_catches_up_or_is_removed() {
    const UNBLOCKED: &str = "a removal let something go";
    let drawn = (1u8..=MOST, prop::collection::btree_set(0u8..MOST, 1..5), 0usize..6);
    holds(drawn, &[(UNBLOCKED, 30)], |(len, at, keep), met| {
        let parents: Vec<(u8, u8)> = (0..len).map(|n| (n, n)).collect();
        let history = History::of(&parents, &vec![1; usize::from(len)]);
        let stored = ids(history.all());
        let mut heads: BTreeSet<u8> = at.into_iter().map(|n| n % len + 1).collect();
        let kept = |heads: &BTreeSet<u8>, has_unheard| -> BTreeSet<u8> {
            let needs = Needs { heads: heads.clone(), has_unheard, ..Needs::default() };
            needs.retain(&history, &stored, keep).keep.keys().map(number).collect()
        };
        if kept(&heads, true).len() != stored.len() {
            return Err("something was pruned that a new device may be at".to_owned());
        }
        let mut before = usize::MAX;
        while let Some(behind) = heads.first().copied() {
            let newest = len - u8::try_from(keep).unwrap().min(len - 1);
            let from = behind.min(newest).min(len);
            let wanted: BTreeSet<u8> = (from..=len).filter(|n| *n >= behind || usize::from(len - n) < keep).collect();
            let now = kept(&heads, false);
            if now != wanted {
                return Err(format!("heads {heads:?}, {keep} to keep: {now:?}, not {wanted:?}"));
            }
            met.note(UNBLOCKED, before != usize::MAX && now.len() < before && heads.len() == 1);
            before = now.len();
            heads.pop_first();
        }
        Ok(())
    });
}

/// A push of content `value`, made from these, with or without the heads that were shown to whoever puts it over them.
#[derive(Debug, Clone)]
struct Pushed {
    parents: Vec<u8>,
    value: u8,
    overwrite: Option<(Vec<u8>, bool)>,
}

fn pushed() -> impl Strategy<Value = Pushed> {
    let overwrite = prop::option::of((picks(), any::<bool>()));
    (picks(), 1u8..5, overwrite).prop_map(|(parents, value, overwrite)| Pushed { parents, value, overwrite })
}

impl Pushed {
    /// Parents, now and then an id that nobody knows among them; the shown heads are the real ones half of the time.
    fn on(&self, history: &History) -> (BTreeSet<u8>, Option<BTreeSet<u8>>, Push) {
        let parents: BTreeSet<u8> = self.parents.iter().map(|n| n % (history.len() + 2) + 1).collect();
        let shown =
            self.overwrite.as_ref().map(|(any, is_right)| if *is_right { history.heads() } else { history.pick(any) });
        let push = Push {
            parents: ids(parents.iter().copied()),
            content: content(self.value),
            overwrite: shown.clone().map(ids),
        };
        (parents, shown, push)
    }
}

fn shown_ids(heads: &[bonfire_engine::saves::stale::Shown]) -> BTreeSet<SnapshotId> {
    heads.iter().map(|h| h.id).collect()
}

#[test]
fn p15_a_stale_push_is_never_accepted_but_over_exactly_the_heads_that_were_shown() {
    const ACCEPTED: &str = "accepted";
    const STALE: &str = "stale";
    const FORCED: &str = "put over the heads that were shown";
    const REFUSED: &str = "to be put over other heads than there are";
    let premises = [(ACCEPTED, 10), (STALE, 15), (FORCED, 5), (REFUSED, 10)];
    holds((history(10), pushed()), &premises, |(history, pushed), met| {
        let (parents, shown, push) = pushed.on(&history);
        let heads = history.heads();
        let is_covered = heads.iter().all(|h| parents.iter().any(|p| history.has_above(*p, *h)));
        let is_shown = shown.as_ref() == Some(&heads);
        let verdict = judge(&push, &ids(heads.iter().copied()), &history.lineage);
        let is_right = match &verdict {
            Verdict::Accept { parents } => {
                met.note(FORCED, !is_covered);
                let given: BTreeSet<u8> = parents.iter().map(number).collect();
                (is_covered || is_shown) && heads.iter().all(|h| given.iter().any(|g| history.has_above(*g, *h)))
            }
            Verdict::Stale { heads: told, .. } => {
                !is_covered && shown.is_none() && shown_ids(told) == ids(heads.iter().copied())
            }
            Verdict::StaleConflict { heads: told } => {
                !is_covered && shown.is_some() && !is_shown && shown_ids(told) == ids(heads.iter().copied())
            }
            // Nothing is changed, and the content is where it was to be put.
            Verdict::Repeated { id, .. } => history.values[usize::from(number(id)) - 1] == pushed.value,
            Verdict::SameContent { head } => {
                heads.len() == 1 && history.values[usize::from(number(head)) - 1] == pushed.value
            }
        };
        met.note(ACCEPTED, matches!(verdict, Verdict::Accept { .. }));
        met.note(STALE, matches!(verdict, Verdict::Stale { .. }));
        met.note(REFUSED, matches!(verdict, Verdict::StaleConflict { .. }));
        if is_right { Ok(()) } else { Err(format!("{verdict:?}")) }
    });
}

#[test]
fn p13_a_push_that_is_sent_again_changes_nothing_however_far_history_went_on() {
    const AGAIN: &str = "an accepted one was sent again";
    holds((history(10), pushed(), 1u8..5), &[(AGAIN, 10)], |(mut history, pushed, later), met| {
        let (parents, _, push) = pushed.on(&history);
        if parents.iter().any(|p| *p > history.len()) {
            return Ok(());
        }
        let heads = ids(history.heads());
        let Verdict::Accept { parents } = judge(&push, &heads, &history.lineage) else { return Ok(()) };
        met.note(AGAIN, true);
        let made = history.push(parents.iter().map(number).collect(), pushed.value);
        let again = judge(&push, &ids(history.heads()), &history.lineage);
        let is_known = match again {
            Verdict::Repeated { id: known, is_head } => known == id(made) && is_head,
            Verdict::SameContent { head } => head == id(made),
            _ => false,
        };
        if !is_known {
            return Err(format!("sent again it is {again:?}"));
        }
        history.push(BTreeSet::from([made]), later);
        match judge(&push, &ids(history.heads()), &history.lineage) {
            Verdict::Accept { .. } => Err("sent again it replaces what came after it".to_owned()),
            _ => Ok(()),
        }
    });
}
