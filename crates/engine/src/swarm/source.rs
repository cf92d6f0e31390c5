//! One source of a download: what it has been asked for, how fast it is, how often it failed.

use std::time::Duration;

use bonfire_proto::CHUNK_LEN;

use super::{SpanId, SwarmLimits};
use crate::time::Instant;

/// Bytes are counted over windows of this length, long enough to smooth bursts and short enough to notice a change.
const WINDOW: Duration = Duration::from_millis(250);
/// First and longest wait before a source that is busy or failed is asked again.
const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Spans outstanding.
    pub(super) spans: u32,
    /// Not asked before this.
    pub(super) paused_until: Option<Instant>,
    faults: u32,
    /// Spans older than this belong to an incident that was counted already.
    counted_to: SpanId,
    waits: u32,
    rate: Option<u64>,
    window_from: Instant,
    window_bytes: u64,
}

impl Source {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            spans: 0,
            paused_until: None,
            faults: 0,
            counted_to: SpanId(0),
            waits: 0,
            rate: None,
            window_from: now,
            window_bytes: 0,
        }
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    pub(super) fn begin_span(&mut self, now: Instant) {
        if self.spans == 0 {
            // Idle time says nothing about speed.
            self.window_from = now;
            self.window_bytes = 0;
        }
        self.spans += 1;
    }

    pub(super) fn end_span(&mut self) {
        self.spans = self.spans.saturating_sub(1);
    }

    pub(super) fn received(&mut self, now: Instant, bytes: u64) {
        self.window_bytes = self.window_bytes.saturating_add(bytes);
        let passed = now.since(self.window_from);
        if passed >= WINDOW {
            let sample = per_second(self.window_bytes, passed);
            self.rate = Some(self.rate.map_or(sample, |r| (r / 4).saturating_mul(3).saturating_add(sample / 4)));
            self.window_from = now;
            self.window_bytes = 0;
        }
    }

    /// Bytes a second over the last windows; `None` before the first one ended. Silence counts.
    pub(super) fn rate(&self, now: Instant) -> Option<u64> {
        let passed = now.since(self.window_from);
        if self.spans > 0 && passed >= WINDOW * 4 {
            let current = per_second(self.window_bytes, passed);
            return Some(self.rate.map_or(current, |r| r.min(current)));
        }
        self.rate
    }

    /// Chunks that one span should have so that it takes about a second.
    pub(super) fn span_chunks(&self, now: Instant, limits: &SwarmLimits) -> u32 {
        let rate = self.rate(now).unwrap_or(0);
        let per_span = rate / u64::from(limits.slots_per_source.max(1)) / CHUNK_LEN;
        u32::try_from(per_span).unwrap_or(u32::MAX).clamp(1, limits.span_chunks_max.max(1))
    }

    pub(super) fn delivered(&mut self) {
        self.faults = 0;
        self.waits = 0;
    }

    /// Counts a fault, once for all spans that were outstanding together. Returns how many came in a row.
    pub(super) fn fault(&mut self, span: SpanId, next: SpanId) -> u32 {
        if span >= self.counted_to {
            self.faults += 1;
            self.counted_to = next;
        }
        self.faults
    }

    /// Sets the source aside for a while, longer each time nothing came in between.
    pub(super) fn pause(&mut self, now: Instant) -> Duration {
        if !self.is_paused(now) {
            let wait = WAIT_MIN.saturating_mul(1 << self.waits.min(8)).min(WAIT_MAX);
            self.waits += 1;
            self.paused_until = Some(now + wait);
        }
        self.paused_until.map_or(Duration::ZERO, |until| until.since(now))
    }
}

pub(super) fn per_second(bytes: u64, passed: Duration) -> u64 {
    let ms = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1_000) / ms
}
