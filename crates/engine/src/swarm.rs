//! Which chunks of a download come from whom.
//!
//! Owns what is still missing, what is asked of each source, how each behaves, and when one is given up. Pure: the
//! download worker opens the streams, checks and writes the bytes, and tells of it here. A source is taken to hold every
//! chunk.

mod limits;
mod outstanding;
mod pool;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonfire_proto::{CHUNK_LEN, ChunkBitmap, ChunkLayout, ErrorCode, PeerId};

pub use self::limits::SwarmLimits;
use self::outstanding::Outstanding;
use self::pool::Pool;
use self::source::Source;
use crate::time::Instant;

/// Age from which an outstanding span may be asked of a second source although nobody's speed is known.
const END_GAME_AFTER: Duration = Duration::from_secs(1);
/// Most spans of removed sources that are remembered so that a late lie is still laid at the right door.
const ORPHANS_MAX: usize = 4_096;
/// Bytes a second that an idle source is taken to bring when it was never measured.
const RATE_GUESSED: u64 = 1 << 20;
/// A span's chunks are counted in a word.
const SPAN_CHUNKS_MAX: u32 = 64;

/// One request that is outstanding. Never used twice within a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(pub u64);

/// Consecutive chunks of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the file in the manifest.
    pub file: u32,
    /// Index of the first chunk in the file.
    pub first: u32,
    /// Chunks; at least 1.
    pub count: u32,
}

/// What went wrong with a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Bytes that do not have the hash that they must have.
    BadBytes,
    /// The source answered with an error.
    Refused(ErrorCode),
    /// The connection or the stream broke.
    Disconnected,
    /// Nothing came for `stall_after`.
    Stalled,
    /// The answer was not what the protocol says.
    Protocol,
}

/// What becomes of a source after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is asked on.
    Keep,
    /// It is asked again after this time; its other spans go on.
    RetryLater(Duration),
    /// It is out and its spans are void: end their streams. After `BadBytes` it is never taken back.
    Drop,
}

/// What a verified chunk is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// It was missing: write it.
    New,
    /// It is here already, or it is not of an outstanding span: throw it away.
    AlreadyHad,
}

/// The schedule of one download.
#[derive(Debug)]
pub struct Schedule {
    layout: ChunkLayout,
    have: ChunkBitmap,
    limits: SwarmLimits,
    pool: Pool,
    sources: BTreeMap<PeerId, Source>,
    spans: BTreeMap<SpanId, Outstanding>,
    orphans: BTreeMap<SpanId, PeerId>,
    liars: BTreeSet<PeerId>,
    next_span: u64,
    /// When an idle source should ask again whether a slow span is worth doubling.
    recheck: Option<Instant>,
}

impl Schedule {
    /// Everything that `have` lacks is to be fetched. `have` must be as long as the layout.
    #[must_use]
    pub fn new(layout: &ChunkLayout, have: &ChunkBitmap, limits: SwarmLimits) -> Self {
        debug_assert_eq!(layout.total(), have.len(), "BUG: a bitmap of another layout");
        let mut pool = Pool::default();
        have.zeros().for_each(|n| pool.insert(n));
        let span_chunks_max = limits.span_chunks_max.clamp(1, SPAN_CHUNKS_MAX);
        Self {
            layout: layout.clone(),
            have: have.clone(),
            limits: SwarmLimits { span_chunks_max, slots_per_source: limits.slots_per_source.max(1), ..limits },
            pool,
            sources: BTreeMap::new(),
            spans: BTreeMap::new(),
            orphans: BTreeMap::new(),
            liars: BTreeSet::new(),
            next_span: 1,
            recheck: None,
        }
    }

    /// Takes a source in. Returns whether it is one; a peer that sent bad bytes is not taken back.
    pub fn add_source(&mut self, now: Instant, peer: PeerId) -> bool {
        if self.liars.contains(&peer) {
            return false;
        }
        self.sources.entry(peer).or_insert_with(|| Source::new(now));
        true
    }

    /// Lets a source go. What was asked of it and did not come is asked of others.
    pub fn remove_source(&mut self, _now: Instant, peer: PeerId) {
        self.sources.remove(&peer);
        let void: Vec<_> = self.spans.iter().filter(|(_, o)| o.peer == peer).map(|(id, _)| *id).collect();
        for id in void {
            if let Some(span) = self.spans.remove(&id) {
                self.give_back(&span);
                self.orphans.insert(id, peer);
            }
        }
        while self.orphans.len() > ORPHANS_MAX {
            self.orphans.pop_first();
        }
    }

    /// What to ask a source for next; call until it says `None`. `None` when its slots are taken, when it is set aside, or
    /// when there is nothing for it.
    pub fn next(&mut self, now: Instant, peer: PeerId) -> Option<(SpanId, Span)> {
        let source = self.sources.get_mut(&peer)?;
        if source.is_paused(now) {
            return None;
        }
        source.paused_until = None;
        if source.spans >= self.limits.slots_per_source {
            return None;
        }
        let wanted = source.span_chunks(now, &self.limits);
        let (number, count) = match self.take_pooled(wanted) {
            Some(taken) => taken,
            None => self.doubled(now, peer, wanted)?,
        };
        let at = self.layout.locate(number)?;
        let span = Span { file: at.file, first: at.chunk, count };
        let id = SpanId(self.next_span);
        self.next_span += 1;
        self.sources.get_mut(&peer)?.begin_span(now);
        self.spans.insert(id, Outstanding { peer, span, number, came: 0, bytes: 0, begun: now, moved: now });
        Some((id, span))
    }

    fn take_pooled(&mut self, wanted: u32) -> Option<(u32, u32)> {
        let (begin, end) = self.pool.first()?;
        let file_end = self.layout.range(self.layout.locate(begin)?.file)?.end;
        // Towards the end shorter spans, so that every slot of every source has something to do.
        let slots = u32::try_from(self.sources.len()).unwrap_or(u32::MAX).saturating_mul(self.limits.slots_per_source);
        let fair = (self.pool.len() / slots.max(1)).max(1);
        let count = (end.min(file_end) - begin).min(wanted).min(fair);
        for n in begin..begin + count {
            self.pool.remove(n);
        }
        Some((begin, count))
    }

    /// End game: the tail of the span that would take longest, when this source would have it sooner.
    fn doubled(&mut self, now: Instant, peer: PeerId, wanted: u32) -> Option<(u32, u32)> {
        let mut in_flight: BTreeMap<u32, u32> = BTreeMap::new();
        for n in self.spans.values().flat_map(Outstanding::awaited) {
            *in_flight.entry(n).or_default() += 1;
        }
        let mine = self.sources.get(&peer)?.rate(now);
        let mut best: Option<(u64, u32, u32)> = None;
        let mut is_open = false;
        for o in self.spans.values().filter(|o| o.peer != peer) {
            is_open |= o.awaited().any(|n| !self.have.get(n));
            let tail: Vec<u32> = o
                .numbers()
                .rev()
                .take_while(|n| !o.has_come(*n) && !self.have.get(*n) && in_flight.get(n) == Some(&1))
                .collect();
            let Some(last) = tail.first().copied() else { continue };
            let take = u32::try_from(tail.len()).unwrap_or(u32::MAX).div_ceil(2).min(wanted);
            let theirs = self.sources.get(&o.peer).and_then(|s| Some(s.rate(now)? / u64::from(s.spans.max(1))));
            let left = u64::try_from(o.awaited().count()).unwrap_or(u64::MAX);
            let time_there = theirs.map(|rate| millis(left, rate));
            let is_sooner = match (mine, time_there) {
                (Some(mine), Some(there)) => millis(u64::from(take), mine) < there,
                _ => now.since(o.begun) >= END_GAME_AFTER,
            };
            let cost = time_there.unwrap_or(u64::MAX);
            if is_sooner && best.is_none_or(|(worst, _, _)| cost > worst) {
                best = Some((cost, last + 1 - take, take));
            }
        }
        let due = self.recheck.is_none_or(|at| at <= now);
        if best.is_none() && is_open && due {
            self.recheck = Some(now + END_GAME_AFTER);
        } else if !is_open && due {
            self.recheck = None;
        }
        best.map(|(_, first, count)| (first, count))
    }

    /// Bytes of a span arrived, as many as since the last time.
    pub fn progress(&mut self, now: Instant, id: SpanId, bytes: u64) {
        if bytes == 0 {
            return;
        }
        if let Some(o) = self.spans.get_mut(&id) {
            o.moved = now;
            o.bytes = o.bytes.saturating_add(bytes);
            if let Some(s) = self.sources.get_mut(&o.peer) {
                s.received(now, bytes);
            }
        }
    }

    /// A span waits for something of this side: its source is not to blame for the silence.
    pub fn waits(&mut self, now: Instant, id: SpanId) {
        if let Some(o) = self.spans.get_mut(&id) {
            o.moved = now;
        }
    }

    /// A chunk of a span, by its index in the file, has the hash that it must have. Says whether to write it.
    pub fn verified(&mut self, now: Instant, id: SpanId, chunk: u32) -> Accepted {
        let Some(o) = self.spans.get_mut(&id) else { return Accepted::AlreadyHad };
        let Some(at) = chunk.checked_sub(o.span.first).filter(|at| *at < o.span.count) else {
            return Accepted::AlreadyHad;
        };
        o.came |= 1 << at;
        o.moved = now;
        let number = o.number + at;
        if let Some(s) = self.sources.get_mut(&o.peer) {
            s.delivered();
        }
        if self.have.set(number) { Accepted::New } else { Accepted::AlreadyHad }
    }

    /// The answer to a span ended. What it did not bring counts as a fault of the source.
    pub fn finished(&mut self, now: Instant, id: SpanId) -> Verdict {
        if self.spans.get(&id).is_some_and(|o| o.awaited().any(|n| !self.have.get(n))) {
            return self.failed(now, id, Fault::Protocol);
        }
        self.orphans.remove(&id);
        if let Some(o) = self.spans.remove(&id)
            && let Some(s) = self.sources.get_mut(&o.peer)
        {
            s.end_span();
        }
        Verdict::Keep
    }

    /// A span failed. Its missing chunks are asked of whoever comes next. Says what becomes of the source.
    pub fn failed(&mut self, now: Instant, id: SpanId, fault: Fault) -> Verdict {
        let Some(o) = self.spans.remove(&id) else {
            return match self.orphans.remove(&id) {
                Some(peer) if fault == Fault::BadBytes => self.drop_source(now, peer, true),
                _ => Verdict::Keep,
            };
        };
        self.give_back(&o);
        let next = SpanId(self.next_span);
        let Some(source) = self.sources.get_mut(&o.peer) else { return Verdict::Keep };
        source.end_span();
        match fault {
            Fault::BadBytes => self.drop_source(now, o.peer, true),
            Fault::Refused(code) if code.is_retryable() => Verdict::RetryLater(source.pause(now)),
            Fault::Refused(_) => self.drop_source(now, o.peer, false),
            Fault::Disconnected | Fault::Stalled | Fault::Protocol => {
                if source.fault(id, next) >= self.limits.faults_until_dropped {
                    return self.drop_source(now, o.peer, false);
                }
                Verdict::RetryLater(source.pause(now))
            }
        }
    }

    fn drop_source(&mut self, now: Instant, peer: PeerId, lied: bool) -> Verdict {
        if lied {
            self.liars.insert(peer);
        }
        self.remove_source(now, peer);
        Verdict::Drop
    }

    fn give_back(&mut self, span: &Outstanding) {
        for n in span.numbers() {
            let elsewhere = || self.spans.values().any(|o| o.numbers().contains(&n) && !o.has_come(n));
            if !self.have.get(n) && !elsewhere() {
                self.pool.insert(n);
            }
        }
    }

    /// Spans from which nothing came for `stall_after`, and in the end game spans that come so slowly that an idle source
    /// would be far sooner but may not help, because every chunk is in flight twice: two sources that trickle could hold
    /// up the end for ever. End their streams and say `failed` with `Stalled`.
    #[must_use]
    pub fn stalled(&self, now: Instant) -> Vec<(PeerId, SpanId)> {
        let idle = self.idle_rate(now);
        let is_stalled = |o: &Outstanding| {
            now.since(o.moved) >= self.limits.stall_after || idle.is_some_and(|rate| self.is_hopeless(now, o, rate))
        };
        self.spans.iter().filter(|(_, o)| is_stalled(o)).map(|(id, o)| (o.peer, *id)).collect()
    }

    /// In the end game, the rate of the fastest source that has nothing to do.
    fn idle_rate(&self, now: Instant) -> Option<u64> {
        let idle = self.sources.values().filter(|s| s.spans == 0 && !s.is_paused(now));
        idle.map(|s| s.rate(now).unwrap_or(RATE_GUESSED)).max().filter(|_| self.pool.is_empty())
    }

    fn is_hopeless(&self, now: Instant, o: &Outstanding, idle_rate: u64) -> bool {
        let age = now.since(o.begun);
        let missing: Vec<u32> = o.awaited().filter(|n| !self.have.get(*n)).collect();
        let is_twice = |n: u32| self.spans.values().filter(|p| p.numbers().contains(&n) && !p.has_come(n)).count() > 1;
        if age < self.limits.stall_after || missing.is_empty() || !missing.iter().all(|n| is_twice(*n)) {
            return false;
        }
        let chunks = u64::try_from(missing.len()).unwrap_or(u64::MAX);
        millis(chunks, source::per_second(o.bytes, age)) > millis(chunks, idle_rate).saturating_mul(4)
    }

    /// Outstanding spans that nothing is missing from any more: their streams may be ended and `finished` said.
    #[must_use]
    pub fn superseded(&self) -> Vec<(PeerId, SpanId)> {
        let is_had = |o: &Outstanding| o.numbers().all(|n| self.have.get(n));
        self.spans.iter().filter(|(_, o)| is_had(o)).map(|(id, o)| (o.peer, *id)).collect()
    }

    /// When to look at `stalled` and then `next` of every source again although nothing happened, and why.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let stall = self.spans.values().map(|o| (o.moved + self.limits.stall_after, "stall")).min();
        let waits_for_work = !self.is_done() && !self.pool.is_empty();
        let retry = self.sources.values().filter_map(|s| s.paused_until).filter(|_| waits_for_work).min();
        let recheck = self.recheck.filter(|_| !self.is_done() && self.pool.is_empty());
        stall.into_iter().chain(retry.map(|at| (at, "retry"))).chain(recheck.map(|at| (at, "end game"))).min()
    }

    /// Whether every chunk is here.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.have.is_full()
    }

    /// Chunks that are not here.
    #[must_use]
    pub fn remaining_chunks(&self) -> u32 {
        self.have.len() - self.have.count()
    }

    /// Chunks that are here.
    #[must_use]
    pub fn have(&self) -> &ChunkBitmap {
        &self.have
    }

    /// Sources, sorted.
    pub fn sources(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.sources.keys().copied()
    }

    /// Whether a source sent bad bytes and is never asked again.
    #[must_use]
    pub fn is_liar(&self, peer: PeerId) -> bool {
        self.liars.contains(&peer)
    }
}

/// Milliseconds that chunks take at a rate of bytes a second.
fn millis(chunks: u64, rate: u64) -> u64 {
    chunks.saturating_mul(CHUNK_LEN).saturating_mul(1_000) / rate.max(1)
}

#[cfg(test)]
mod tests;
