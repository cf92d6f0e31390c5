//! The hybrid logical clock of this device: times that only grow, whatever the wall clock does.
//!
//! Owns the least time that may still be given out. Decides nothing about saves: it orders lists and the shared log. Does
//! not write: a mark that lies ahead is handed out, and the caller makes it durable before the time is used.

use std::time::Duration;

use bonfire_proto::hlc::HLC_MS_MAX;
use bonfire_proto::{Hlc, PeerId};

use crate::report::ErrorClass;
use crate::time::UnixMillis;

/// How far ahead of our wall clock a time from elsewhere may lie. Machines in a room without internet are hours off when
/// one reads its clock as another time zone, and days when it was set by hand; two that are three days off in opposite
/// directions must still agree. What lies further ahead would stay the newest for so long that it is refused, and it is
/// measured from our wall clock alone, so that no chain of peers carries anyone further.
pub const DRIFT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// A wall clock before this (2025-01-01) was never set: a board without a battery starts in 1970. Nothing can be measured
/// by it, and refusing everything would keep such a device from ever hearing that another was removed.
pub const WALL_SET: UnixMillis = UnixMillis(1_735_689_600_000);

/// How far ahead of the wall clock the mark is set: at most one write in this time when nothing else is written.
pub const RESERVE: Duration = Duration::from_secs(10);

/// Every time that was given out or taken in has fewer milliseconds than this. 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClockMark(pub u64);

/// Why the clock did not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// A time from elsewhere is beyond `DRIFT_MAX`: the clock of that device, or ours, is wrong.
    #[error("the time {remote} is {} hours ahead of our clock", remote.ms.saturating_sub(wall.0) / 3_600_000)]
    TooFarAhead {
        /// The time.
        remote: Hlc,
        /// Our wall clock.
        wall: UnixMillis,
    },
    /// No later time can be written (`HLC_MS_MAX`, in the year 2286).
    #[error("the clock stands at the end of time")]
    Exhausted,
}

impl ClockError {
    /// Who can do something about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::TooFarAhead { .. } => ErrorClass::Remote,
            Self::Exhausted => ErrorClass::Environment,
        }
    }

    /// Whether the same call may succeed later by itself: our clock goes on, or is set.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::TooFarAhead { .. })
    }
}

/// A time that was given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// The time; later than every one before it, on this device and of those taken in.
    pub hlc: Hlc,
    /// What has to be durable before the time is used.
    pub mark: Option<ClockMark>,
}

/// The clock of this device, for all players on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    device: PeerId,
    /// The least time that may be given out next.
    next: (u64, u32),
    mark: ClockMark,
}

impl Clock {
    /// The clock as it goes on after a start: later than anything before the durable mark.
    #[must_use]
    pub fn restore(device: PeerId, mark: ClockMark) -> Self {
        Self { device, next: (mark.0, 0), mark }
    }

    /// The next time: the wall clock's, or one count after the last when the wall clock is not ahead of it.
    ///
    /// # Errors
    /// `Exhausted`.
    pub fn tick(&mut self, wall: UnixMillis) -> Result<Tick, ClockError> {
        let now = self.next.max((wall.0, 0));
        if now.0 > HLC_MS_MAX {
            return Err(ClockError::Exhausted);
        }
        self.next = after(now);
        let hlc = Hlc { ms: now.0, count: now.1, device: self.device };
        Ok(Tick { hlc, mark: self.reserve(now.0, wall) })
    }

    /// Takes in a time from elsewhere: whatever is given out from now on is later. Hands out the mark that has to be
    /// durable before that is relied on.
    ///
    /// # Errors
    /// As `check_drift`, or `Exhausted` when nothing could be later. The clock stands as it stood then.
    pub fn observe(&mut self, remote: Hlc, wall: UnixMillis) -> Result<Option<ClockMark>, ClockError> {
        check_drift(remote, wall)?;
        let beyond = after((remote.ms, remote.count));
        if beyond.0 > HLC_MS_MAX {
            return Err(ClockError::Exhausted);
        }
        if beyond <= self.next {
            return Ok(None);
        }
        self.next = beyond;
        Ok(self.reserve(remote.ms, wall))
    }

    /// How far the next time is ahead of the wall clock. Worth telling the player when it is beyond `DRIFT_MAX`: the other
    /// devices refuse what is written here until their clocks have caught up.
    #[must_use]
    pub fn ahead_of(&self, wall: UnixMillis) -> Duration {
        Duration::from_millis(self.next.0.saturating_sub(wall.0))
    }

    /// Moves the mark beyond a time when it is not. While the clock runs ahead of the wall clock by more than the
    /// reserve it moves by one millisecond, which has room for 2^32 times: starts in a row do not drive it on.
    fn reserve(&mut self, ms: u64, wall: UnixMillis) -> Option<ClockMark> {
        if ms < self.mark.0 {
            return None;
        }
        let span = u64::try_from(RESERVE.as_millis()).unwrap_or(u64::MAX);
        let ahead = wall.0.saturating_add(span).min(HLC_MS_MAX);
        self.mark = ClockMark(ahead.max(ms + 1));
        Some(self.mark)
    }
}

/// Whether a time from elsewhere is one that this device would take in.
///
/// # Errors
/// `TooFarAhead`.
pub fn check_drift(remote: Hlc, wall: UnixMillis) -> Result<(), ClockError> {
    let cap = wall.0.saturating_add(u64::try_from(DRIFT_MAX.as_millis()).unwrap_or(u64::MAX));
    if wall >= WALL_SET && remote.ms > cap {
        return Err(ClockError::TooFarAhead { remote, wall });
    }
    Ok(())
}

fn after((ms, count): (u64, u32)) -> (u64, u32) {
    count.checked_add(1).map_or((ms.saturating_add(1), 0), |count| (ms, count))
}

#[cfg(test)]
mod tests;
