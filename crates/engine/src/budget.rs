//! What one peer may cost: requests a second, streams at once, bytes promised and not yet sent.
//!
//! Pure bookkeeping with time as an argument. Generous enough that no honest download waits for it, bounded all the same.

use std::time::Duration;

use crate::time::Instant;

/// Bounds for one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetLimits {
    /// Requests a second, over time. A game of 100,000 small files takes as many requests.
    pub requests_per_second: u32,
    /// Requests that may come at once after a quiet time.
    pub burst: u32,
    /// Streams open at once.
    pub streams_max: u32,
    /// Bytes promised on open streams and not yet sent. A single request is let through whatever it promises.
    pub bytes_in_flight_max: u64,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        Self { requests_per_second: 10_000, burst: 20_000, streams_max: 128, bytes_in_flight_max: 1 << 30 }
    }
}

/// Why a request is turned away. All pass by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// Too many requests; the time after which one more is let through.
    #[error("too many requests a second")]
    Requests(Duration),
    /// Too many streams at once.
    #[error("too many streams at once")]
    Streams,
    /// Too many bytes promised.
    #[error("too many bytes in flight")]
    Bytes,
}

/// A bucket that fills with time and is emptied by use.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    per_second: u32,
    /// Thousandths of a token.
    level: u64,
    capacity: u64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens.
    #[must_use]
    pub fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        let capacity = u64::from(burst) * 1_000;
        Self { per_second, level: capacity, capacity, filled: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one; an hour when the bucket never fills.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        // One token a second is one thousandth of a token a millisecond. Time that runs backwards fills nothing.
        let passed = u64::try_from(now.since(self.filled).as_millis()).unwrap_or(u64::MAX);
        self.level = passed.saturating_mul(u64::from(self.per_second)).saturating_add(self.level).min(self.capacity);
        self.filled = self.filled.max(now);
        if self.level >= 1_000 {
            self.level -= 1_000;
            return Ok(());
        }
        if self.capacity < 1_000 || self.per_second == 0 {
            return Err(Duration::from_secs(3_600));
        }
        Err(Duration::from_millis((1_000 - self.level).div_ceil(u64::from(self.per_second))))
    }
}

/// What one peer costs at present.
#[derive(Debug, Clone)]
pub struct PeerBudget {
    limits: BudgetLimits,
    requests: TokenBucket,
    streams: u32,
    bytes: u64,
}

impl PeerBudget {
    /// A peer that costs nothing yet.
    #[must_use]
    pub fn new(now: Instant, limits: BudgetLimits) -> Self {
        let requests = TokenBucket::new(now, limits.requests_per_second, limits.burst);
        Self { limits, requests, streams: 0, bytes: 0 }
    }

    /// A request stream was opened. Each `Ok` is paid back with one `close`.
    ///
    /// # Errors
    /// When there are too many; the request counts against the rate even so.
    pub fn open(&mut self, now: Instant) -> Result<(), OverBudget> {
        self.requests.take(now).map_err(OverBudget::Requests)?;
        if self.streams >= self.limits.streams_max {
            return Err(OverBudget::Streams);
        }
        self.streams += 1;
        Ok(())
    }

    /// The request on an open stream promises bytes. Each `Ok` is paid back with `sent`, in any number of parts.
    ///
    /// # Errors
    /// When too many are promised already.
    pub fn promise(&mut self, bytes: u64) -> Result<(), OverBudget> {
        if self.bytes > 0 && self.bytes.saturating_add(bytes) > self.limits.bytes_in_flight_max {
            return Err(OverBudget::Bytes);
        }
        self.bytes = self.bytes.saturating_add(bytes);
        Ok(())
    }

    /// Promised bytes were sent, or will not be.
    pub fn sent(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A stream ended.
    pub fn close(&mut self) {
        self.streams = self.streams.saturating_sub(1);
    }

    /// Streams open at present.
    #[must_use]
    pub fn streams(&self) -> u32 {
        self.streams
    }

    /// Bytes promised and not yet sent.
    #[must_use]
    pub fn bytes_in_flight(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests;
