//! The table as data: for each row when it applies and what it says, in the order in which rows take precedence. Shares
//! nothing with `decide` but its input and output.

use std::collections::BTreeSet;

use bonfire_engine::saves::{Action, Disk, Other, Relation, Situation};
use bonfire_proto::{SaveHash, SnapshotId};

/// One line: the row's number, when it applies, what it says. The first that applies is the answer.
type Line = (usize, fn(&Facts) -> bool, fn(&Facts) -> Action);

/// What the lines speak of.
struct Facts<'a> {
    s: &'a Situation,
    /// Content of the base, when the disk has it.
    base: Option<(SnapshotId, SaveHash, bool)>,
    /// Heads that bring something: newer than the base or diverged from it; any without base. Content known.
    news: Vec<&'a Other>,
    /// Heads of which that cannot be said.
    unknown: Vec<&'a Other>,
}

impl Facts<'_> {
    fn any(&self, relation: Relation) -> bool {
        self.s.others.iter().any(|o| o.relation == relation)
    }

    fn has_base_on_disk(&self) -> bool {
        self.base.is_some()
    }

    /// The only head with news, if ours is its ancestor.
    fn successor(&self) -> Option<&Other> {
        if self.news.len() == 1 && self.news[0].relation == Relation::Ancestor { Some(self.news[0]) } else { None }
    }

    fn is_everything_here(&self) -> bool {
        self.news.iter().all(|o| o.is_fetched)
    }

    fn has_base_content(&self, o: &Other) -> bool {
        self.base.is_some_and(|(_, content, _)| o.content == Some(content))
    }

    /// (id, content, is a deletion) of everything that nothing here was made from.
    fn sides(&self) -> Vec<(SnapshotId, SaveHash, bool)> {
        let mut sides: Vec<_> = self.news.iter().map(|o| (o.id, o.content.unwrap(), o.is_deletion)).collect();
        if !self.news.iter().any(|o| o.relation == Relation::Ancestor) {
            sides.extend(self.base);
        }
        sides.sort();
        sides
    }

    fn edits(&self) -> Vec<(SnapshotId, SaveHash, bool)> {
        self.sides().into_iter().filter(|(.., deletion)| !deletion).collect()
    }

    fn do_edits_differ(&self) -> bool {
        self.edits().windows(2).any(|w| w[0].1 != w[1].1)
    }

    fn is_deletion_beside_edit(&self) -> bool {
        !self.edits().is_empty() && self.edits().len() < self.sides().len()
    }
}

fn ids<'a>(others: impl IntoIterator<Item = &'a Other>) -> Vec<SnapshotId> {
    let mut ids: Vec<SnapshotId> = others.into_iter().map(|o| o.id).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn side_ids(f: &Facts) -> Vec<SnapshotId> {
    let ids: BTreeSet<SnapshotId> = f.sides().iter().map(|s| s.0).collect();
    ids.into_iter().collect()
}

fn fetch_news(f: &Facts) -> Action {
    Action::Fetch { heads: ids(f.news.iter().copied().filter(|o| !o.is_fetched)) }
}

fn join(f: &Facts) -> Action {
    if f.is_everything_here() { Action::Join { heads: side_ids(f) } } else { fetch_news(f) }
}

fn survive(f: &Facts) -> Action {
    if !f.is_everything_here() {
        return fetch_news(f);
    }
    Action::EditSurvives { heads: side_ids(f), edit: f.edits()[0].0 }
}

fn conflict(f: &Facts) -> Action {
    let can_be_written = |o: &&Other| o.is_fetched && !o.is_deletion && !f.s.is_running;
    Action::Conflict { with: ids(f.news.iter().copied()), copies: ids(f.news.iter().copied().filter(can_be_written)) }
}

const LINES: &[Line] = &[
    (17, |f| !f.s.is_tracked, |_| Action::RecordOnly),
    (15, |f| matches!(f.s.disk, Disk::Unreadable | Disk::Settling), |_| Action::WaitAndRetry),
    (16, |f| f.s.disk == Disk::Shrunk && f.s.is_running, |_| Action::Defer),
    (12, |f| f.s.disk == Disk::Shrunk, |_| Action::HoldAndAsk),
    // Deleted through us.
    (
        13,
        |f| {
            let edit = |o: &Other| [Relation::Ancestor, Relation::Diverged].contains(&o.relation) && !o.is_deletion;
            f.s.disk == Disk::Deleted && f.s.others.iter().any(edit)
        },
        |_| Action::Tombstone,
    ),
    (14, |f| f.s.disk == Disk::Deleted, |_| Action::Tombstone),
    // Dirty.
    (
        7,
        |f| f.s.disk == Disk::Dirty && (f.any(Relation::Ancestor) || f.any(Relation::Diverged)),
        |_| Action::SnapshotFirst,
    ),
    (
        8,
        |f| f.s.disk == Disk::Dirty && (f.any(Relation::Descendant) || f.any(Relation::Unknown)),
        |_| Action::SnapshotAndAnnounce,
    ),
    (6, |f| f.s.disk == Disk::Dirty, |_| Action::SnapshotAndAnnounce),
    // Present without base.
    (10, |f| matches!(f.s.disk, Disk::Present(_)) && f.s.others.is_empty(), |_| Action::SnapshotAndAnnounce),
    (
        11,
        |f| matches!(f.s.disk, Disk::Present(_)),
        |f| {
            let Disk::Present(content) = f.s.disk else { unreachable!() };
            match ids(f.s.others.iter().filter(|o| o.content == Some(content))).first() {
                Some(to) => Action::Adopt { to: *to },
                None => Action::SnapshotFirst,
            }
        },
    ),
    // Absent without base.
    (9, |f| f.s.disk == Disk::Absent && f.s.others.is_empty(), |_| Action::Nothing),
    (9, |f| f.s.disk == Disk::Absent && f.news.is_empty(), |f| Action::Fetch { heads: ids(f.s.others.iter()) }),
    (
        9,
        |f| f.s.disk == Disk::Absent && f.news.len() == 1 && f.news[0].is_deletion,
        |f| Action::Adopt { to: f.news[0].id },
    ),
    (9, |f| f.s.disk == Disk::Absent && f.news.len() == 1 && !f.news[0].is_fetched, fetch_news),
    (16, |f| f.s.disk == Disk::Absent && f.news.len() == 1 && f.s.is_running, |_| Action::Defer),
    (9, |f| f.s.disk == Disk::Absent && f.news.len() == 1, |f| Action::ApplyNew { to: f.news[0].id }),
    // Clean.
    (
        15,
        |f| f.has_base_on_disk() && f.news.is_empty() && !f.unknown.is_empty(),
        |f| Action::Fetch { heads: ids(f.unknown.iter().copied()) },
    ),
    (3, |f| f.has_base_on_disk() && f.news.is_empty() && f.any(Relation::Descendant), |_| Action::OfferOurs),
    (1, |f| f.has_base_on_disk() && f.news.is_empty(), |_| Action::Nothing),
    (2, |f| f.successor().is_some_and(|o| f.has_base_content(o)), |f| Action::Adopt { to: f.news[0].id }),
    (2, |f| f.successor().is_some_and(|o| !o.is_fetched), fetch_news),
    (16, |f| f.successor().is_some() && f.s.is_running, |_| Action::Defer),
    (2, |f| f.successor().is_some(), |f| Action::FastForward { to: f.news[0].id }),
    (5, |f| f.has_base_on_disk() && f.news.len() == 1 && f.do_edits_differ(), conflict),
    (18, |f| f.do_edits_differ(), conflict),
    (13, |f| f.is_deletion_beside_edit(), survive),
    (4, |f| f.has_base_on_disk() && f.news.len() == 1, join),
    (18, |_| true, join),
];

/// The row and the action that the table gives.
pub fn answer(s: &Situation) -> (usize, Action) {
    let base = match s.disk {
        Disk::Clean(b) => Some((b.id, b.content, b.is_deletion)),
        _ => None,
    };
    let is_news = |o: &&Other| {
        let is_apart = base.is_none() || [Relation::Ancestor, Relation::Diverged].contains(&o.relation);
        is_apart && o.content.is_some()
    };
    let is_settled = |o: &&Other| [Relation::Equal, Relation::Descendant].contains(&o.relation);
    let news: Vec<&Other> = s.others.iter().filter(is_news).collect();
    let unknown = s.others.iter().filter(|o| !is_news(o) && !is_settled(o)).collect();
    let facts = Facts { s, base, news, unknown };
    let (row, _, says) = LINES.iter().find(|(_, applies, _)| applies(&facts)).unwrap();
    (*row, says(&facts))
}
