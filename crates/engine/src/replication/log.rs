//! The log of a player's shared changes: which entries of which device are held, which are missing, who holds what.
//!
//! Owns the entries and the acks. Every life of a device counts its entries from 1 without a gap, so what is missing can
//! be named, and an entry takes effect only when all before it are there. Does not look into an entry, and does not ask
//! whose word counts: that is `Registry` and `Replica`.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::limits::{PAGE_LEN_MAX, RECORDS_PER_PAGE};
use bonfire_proto::message_sync::{SharedEntry, Watermark};

use super::{Life, Stamp};
use crate::report::ErrorClass;

/// Most entries of one life that are held while an earlier one is missing. Beyond it the furthest are dropped and asked
/// for again: they come in order then.
pub const AHEAD_MAX: usize = 256;

/// What became of an entry that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is held, with those that had waited for it: so many came to be without a gap, itself counted.
    Now(u64),
    /// An earlier one is missing. It waits, or was dropped; `SharedLog::gaps` says what to ask for.
    Later,
    /// It was held already.
    Known,
}

/// Why an entry or an ack is not believed. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// A field is out of bounds.
    #[error("entry {seq} of {}: {field} is out of bounds", life.device)]
    Bounds {
        /// Whose.
        life: Life,
        /// Which.
        seq: u64,
        /// The field.
        field: &'static str,
    },
    /// Another entry is held in its place: someone is lying, or counted twice.
    #[error("entry {seq} of {} differs from the one that is held", life.device)]
    Conflicting {
        /// Whose.
        life: Life,
        /// Which.
        seq: u64,
    },
    /// Others hold entries of this device's present life that it never wrote: its database is a copy of an earlier
    /// state. It has to begin a new life before it writes anything.
    #[error(
        "others hold entry {seq} of this device, which stands at {held}: its database was put back to an earlier state"
    )]
    PutBack {
        /// What they hold.
        seq: u64,
        /// What is held here.
        held: u64,
    },
}

impl LogError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Bounds { .. } => ErrorClass::Remote,
            Self::Conflicting { .. } | Self::PutBack { .. } => ErrorClass::Corruption,
        }
    }

    /// Whether the same may succeed later by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Entries of one life that are missing although later ones were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Whose.
    pub life: Life,
    /// The first that is missing.
    pub from: u64,
    /// The last that is missing.
    pub to: u64,
}

/// One page of what an asker does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Entries in the order of their stamps, those of one life in the order of `seq`.
    pub entries: Vec<SharedEntry>,
    /// With this page an asker that was too far behind holds all that still matters up to here.
    pub floors: Vec<Watermark>,
    /// Whether there is more.
    pub has_more: bool,
}

/// What is held of one life.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Line {
    /// Entries up to this one may be missing, because later ones replaced them.
    floor: u64,
    /// Everything above `floor` and up to this one is held.
    whole: u64,
    held: BTreeMap<u64, SharedEntry>,
    /// Entries beyond a gap; not durable, and not told to anyone.
    ahead: BTreeMap<u64, SharedEntry>,
    /// The furthest that was ever offered.
    seen: u64,
}

/// The log of one player as this device holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedLog {
    me: Life,
    lines: BTreeMap<Life, Line>,
    acks: BTreeMap<Life, BTreeMap<Life, u64>>,
}

impl SharedLog {
    /// An empty log of a device in this life.
    #[must_use]
    pub fn new(me: Life) -> Self {
        Self { me, lines: BTreeMap::new(), acks: BTreeMap::new() }
    }

    /// The log that was made durable. Entries come in any order; what stands beyond a gap is asked for again.
    ///
    /// # Errors
    /// `Bounds` and `Conflicting` for a row that was never written.
    pub fn restore(
        me: Life,
        entries: impl IntoIterator<Item = SharedEntry>,
        floors: &[Watermark],
        acks: impl IntoIterator<Item = (Life, Watermark)>,
    ) -> Result<Self, LogError> {
        let mut log = Self::new(me);
        for floor in floors {
            let line = log.lines.entry(Life::from(*floor)).or_default();
            (line.floor, line.whole, line.seen) = (floor.seq, floor.seq, floor.seq);
        }
        let mut sorted: Vec<SharedEntry> = entries.into_iter().collect();
        sorted.sort_by_key(|e| (Life::of(e), e.seq));
        for entry in sorted {
            let line = log.lines.entry(Life::of(&entry)).or_default();
            if entry.seq <= line.floor {
                check_bounds(&entry)?;
                line.held.insert(entry.seq, entry);
            } else {
                line.offer(entry)?;
            }
        }
        for (from, mark) in acks {
            log.acks.entry(from).or_default().insert(Life::from(mark), mark.seq);
        }
        Ok(log)
    }

    /// Goes on in a new life, because others hold entries of this one that were never written here. What is held of the
    /// old one stays, and what others hold beyond it is taken in like anyone's.
    pub fn renew(&mut self, me: Life) {
        debug_assert!(!self.lines.contains_key(&me), "BUG: a life that was lived before");
        self.me = me;
    }

    /// The life in which this device writes.
    #[must_use]
    pub fn me(&self) -> Life {
        self.me
    }

    /// The position of the next entry that this device writes.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.whole(self.me) + 1
    }

    /// Takes in an entry that this device wrote; it has to be the next one.
    ///
    /// # Errors
    /// As `offer`.
    pub fn append(&mut self, entry: SharedEntry) -> Result<(), LogError> {
        debug_assert_eq!((Life::of(&entry), entry.seq), (self.me, self.next_seq()), "BUG: not the next entry of mine");
        self.lines.entry(self.me).or_default().offer(entry).map(|_| ())
    }

    /// Takes in an entry from elsewhere, whoever relayed it.
    ///
    /// # Errors
    /// Why it is not believed; the log stands as it stood then.
    pub fn offer(&mut self, entry: SharedEntry) -> Result<Taken, LogError> {
        let life = Life::of(&entry);
        check_bounds(&entry)?;
        self.check_mine(life, entry.seq)?;
        match self.lines.get_mut(&life) {
            Some(line) => line.offer(entry),
            None => {
                let mut line = Line::default();
                let taken = line.offer(entry)?;
                self.lines.insert(life, line);
                Ok(taken)
            }
        }
    }

    /// Takes in a page for one that was too far behind: below a floor, what is not in the page is not needed. Entries
    /// above the floors are for `offer`. Returns the floors that moved something, which have to be made durable with the
    /// entries.
    ///
    /// # Errors
    /// `Bounds`, `Conflicting` or `PutBack` for the first that is not believed; the log stands as it stood then.
    pub fn settle(&mut self, floors: &[Watermark], entries: &[SharedEntry]) -> Result<Vec<Watermark>, LogError> {
        let mut moved = Vec::new();
        let mut lines = BTreeMap::new();
        for floor in floors {
            let life = Life::from(*floor);
            self.check_mine(life, floor.seq)?;
            let mut line = self.lines.get(&life).cloned().unwrap_or_default();
            if floor.seq <= line.whole {
                continue;
            }
            for entry in entries.iter().filter(|e| Life::of(e) == life && e.seq <= floor.seq) {
                check_bounds(entry)?;
                line.agrees(entry)?;
                line.held.insert(entry.seq, entry.clone());
            }
            line.ahead.retain(|seq, _| *seq > floor.seq);
            (line.floor, line.whole) = (floor.seq, floor.seq);
            line.seen = line.seen.max(floor.seq);
            line.close_gap();
            lines.insert(life, line);
            moved.push(*floor);
        }
        self.lines.extend(lines);
        Ok(moved)
    }

    /// Up to which entry everything of a life is held.
    #[must_use]
    pub fn whole(&self, life: Life) -> u64 {
        self.lines.get(&life).map_or(0, |l| l.whole)
    }

    /// What is held, for a request and for an ack: one position a life.
    #[must_use]
    pub fn watermarks(&self) -> Vec<Watermark> {
        self.lines.iter().filter(|(_, l)| l.whole > 0).map(|(life, l)| life.at(l.whole)).collect()
    }

    /// What is known to be missing.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let missing = |(life, line): (&Life, &Line)| {
            let mut gaps = Vec::new();
            let mut from = line.whole + 1;
            for seq in line.ahead.keys().copied().chain([line.seen + 1]) {
                if seq > from {
                    gaps.push(Gap { life: *life, from, to: seq - 1 });
                }
                from = seq + 1;
            }
            gaps
        };
        self.lines.iter().flat_map(missing).collect()
    }

    /// Notes what others say they hold. What is not held here shows among the gaps from then on.
    ///
    /// # Errors
    /// `PutBack` when they hold what this device has yet to write.
    pub fn heard_of(&mut self, marks: &[Watermark]) -> Result<(), LogError> {
        for mark in marks {
            self.check_mine(Life::from(*mark), mark.seq)?;
        }
        for mark in marks.iter().filter(|m| m.seq > 0) {
            let line = self.lines.entry(Life::from(*mark)).or_default();
            line.seen = line.seen.max(mark.seq);
        }
        Ok(())
    }

    /// What an asker does not hold, at most `limit` entries and `PAGE_LEN_MAX` bytes, but at least one entry. Entries of
    /// different devices come in the order of their stamps, so that who was registered comes before what they wrote.
    #[must_use]
    pub fn page(&self, since: &[Watermark], limit: usize) -> Page {
        let known: BTreeMap<Life, u64> = since.iter().map(|m| (Life::from(*m), m.seq)).collect();
        let mut heads: BTreeMap<(Stamp, Life), (&Line, u64)> = BTreeMap::new();
        for (life, line) in &self.lines {
            let from = known.get(life).copied().unwrap_or(0);
            if let Some((seq, entry)) = line.after(from) {
                heads.insert((Stamp::of(entry), *life), (line, seq));
            }
        }
        let (mut page, mut len) = (Page::default(), 0);
        let mut sent: BTreeMap<Life, u64> = BTreeMap::new();
        while let Some(((_, life), (line, seq))) = heads.pop_first() {
            let entry = &line.held[&seq];
            len += entry.encoded_len() + 1;
            let full = page.entries.len() >= limit.clamp(1, RECORDS_PER_PAGE) || len > PAGE_LEN_MAX;
            if full && !page.entries.is_empty() {
                page.has_more = true;
                break;
            }
            page.entries.push(entry.clone());
            sent.insert(life, seq);
            if let Some((next, entry)) = line.after(seq) {
                heads.insert((Stamp::of(entry), life), (line, next));
            }
        }
        for (life, line) in self.lines.iter().filter(|(_, l)| l.floor > 0) {
            let from = known.get(life).copied().unwrap_or(0);
            let rest = line.after(sent.get(life).copied().unwrap_or(from)).map(|(seq, _)| seq);
            // Up to the floor when nothing below it is left to send, else up to the last that is in the page.
            let to = match rest {
                Some(next) if next <= line.floor => sent.get(life).copied().unwrap_or(from),
                _ => line.floor,
            };
            if to > from {
                page.floors.push(life.at(to));
            }
        }
        page
    }

    /// Notes that a device holds all entries of a life up to one. Returns whether that is news, which has to be made
    /// durable; what is below an earlier ack is not.
    ///
    /// # Errors
    /// `PutBack` when it holds what this device has yet to write.
    pub fn ack(&mut self, from: Life, mark: Watermark) -> Result<bool, LogError> {
        self.check_mine(Life::from(mark), mark.seq)?;
        let held = self.acks.get(&from).and_then(|a| a.get(&Life::from(mark))).copied().unwrap_or(0);
        if mark.seq <= held {
            return Ok(false);
        }
        self.acks.entry(from).or_default().insert(Life::from(mark), mark.seq);
        Ok(true)
    }

    /// Up to where entries that were replaced could be dropped: what every one of these devices has acked, each in its
    /// present life. One that never acked stands at 0; one that is not named, because it was removed, does not count.
    #[must_use]
    pub fn prunable(&self, devices: &BTreeSet<Life>) -> Vec<Watermark> {
        let acked = |device: &Life, life: &Life| {
            if *device == self.me {
                return self.whole(*life);
            }
            self.acks.get(device).and_then(|a| a.get(life)).copied().unwrap_or(0)
        };
        self.lines
            .iter()
            .filter_map(|(life, line)| {
                let least = devices.iter().map(|d| acked(d, life)).min()?.min(line.whole);
                (least > line.floor).then(|| life.at(least))
            })
            .collect()
    }

    /// Every entry that is held without a gap, in no order that means anything.
    pub fn entries(&self) -> impl Iterator<Item = &SharedEntry> {
        self.lines.values().flat_map(|l| l.held.values())
    }

    /// Entries of a life after a position, in order.
    pub fn entries_after(&self, life: Life, seq: u64) -> impl Iterator<Item = &SharedEntry> {
        self.lines.get(&life).into_iter().flat_map(move |l| l.held.range(seq + 1..).map(|(_, e)| e))
    }

    fn check_mine(&self, life: Life, seq: u64) -> Result<(), LogError> {
        let held = self.whole(self.me);
        if life == self.me && seq > held { Err(LogError::PutBack { seq, held }) } else { Ok(()) }
    }
}

impl Line {
    fn offer(&mut self, entry: SharedEntry) -> Result<Taken, LogError> {
        check_bounds(&entry)?;
        self.agrees(&entry)?;
        let seq = entry.seq;
        if seq <= self.whole || self.ahead.contains_key(&seq) {
            return Ok(Taken::Known);
        }
        self.seen = self.seen.max(seq);
        if seq > self.whole + 1 {
            self.ahead.insert(seq, entry);
            if self.ahead.len() > AHEAD_MAX {
                self.ahead.pop_last();
            }
            return Ok(Taken::Later);
        }
        let before = self.whole;
        self.held.insert(seq, entry);
        self.whole = seq;
        self.close_gap();
        Ok(Taken::Now(self.whole - before))
    }

    fn close_gap(&mut self) {
        while let Some(entry) = self.ahead.remove(&(self.whole + 1)) {
            self.whole = entry.seq;
            self.held.insert(entry.seq, entry);
        }
    }

    /// Whether an entry is the one that is held in its place, if one is.
    fn agrees(&self, entry: &SharedEntry) -> Result<(), LogError> {
        match self.held.get(&entry.seq).or_else(|| self.ahead.get(&entry.seq)) {
            Some(held) if held != entry => Err(LogError::Conflicting { life: Life::of(entry), seq: entry.seq }),
            _ => Ok(()),
        }
    }

    fn after(&self, seq: u64) -> Option<(u64, &SharedEntry)> {
        self.held.range(seq + 1..).next().map(|(seq, entry)| (*seq, entry))
    }
}

fn check_bounds(entry: &SharedEntry) -> Result<(), LogError> {
    entry.check().map_err(|field| LogError::Bounds { life: Life::of(entry), seq: entry.seq, field })
}

#[cfg(test)]
mod tests;
