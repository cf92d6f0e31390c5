//! How far an operation is, written by its worker and read for the snapshot. Never queued: only the newest counts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Speed is taken over this long: short enough to follow a change, long enough not to flicker.
const WINDOW: Duration = Duration::from_secs(4);

/// Counters of one operation.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    done: AtomicU64,
    total: AtomicU64,
    done_files: AtomicU64,
    total_files: AtomicU64,
}

impl Progress {
    pub(crate) fn set_total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_done(&self, bytes: u64) {
        self.done.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_done_files(&self, files: u64) {
        self.done_files.store(files, Ordering::Relaxed);
    }

    pub(crate) fn set_total_files(&self, files: u64) {
        self.total_files.store(files, Ordering::Relaxed);
    }

    /// Files done and in all.
    pub(crate) fn files(&self) -> (u64, u64) {
        (self.done_files.load(Ordering::Relaxed), self.total_files.load(Ordering::Relaxed))
    }

    pub(crate) fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Speed from samples of a counter.
#[derive(Debug, Default)]
pub(crate) struct Speed {
    samples: VecDeque<(Instant, u64)>,
}

impl Speed {
    /// Takes a sample and tells bytes per second over the window.
    pub(crate) fn sample(&mut self, now: Instant, done: u64) -> u64 {
        // A repair starts its count anew.
        if self.samples.back().is_some_and(|(_, d)| *d > done) {
            self.samples.clear();
        }
        self.samples.push_back((now, done));
        while self.samples.len() > 2 && self.samples.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.samples.pop_front();
        }
        let (Some((from, before)), Some((to, after))) = (self.samples.front(), self.samples.back()) else { return 0 };
        let ms = u64::try_from(to.duration_since(*from).as_millis()).unwrap_or(u64::MAX);
        (after - before).saturating_mul(1000).checked_div(ms).unwrap_or(0)
    }
}
