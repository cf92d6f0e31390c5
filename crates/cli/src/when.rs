//! Times for people: how long ago, and which moment in UTC. Knows no time zones and reads no clock but in `now`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::render::span;

/// How far a time may lie ahead of this machine's clock and still count as just now, in milliseconds.
const AHEAD_MAX: u64 = 60_000;
const DAY_MS: u64 = 86_400_000;

/// This machine's clock in milliseconds since 1970-01-01 UTC.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// How long ago a moment was: `just now`, `3 min ago`, `2 d ago`. A moment that lies ahead says so: one of the two clocks
/// is wrong.
pub(crate) fn age(now: u64, at: u64) -> String {
    if at > now.saturating_add(AHEAD_MAX) {
        return format!("{} ahead of this clock", coarse(at - now));
    }
    match now.saturating_sub(at) {
        0..5_000 => "just now".to_owned(),
        ms => format!("{} ago", coarse(ms)),
    }
}

/// The largest unit alone: `4 s`, `20 min`, `3 h`, `12 d`.
fn coarse(ms: u64) -> String {
    let whole = span(Duration::from_millis(ms));
    let mut words = whole.split(' ');
    format!("{} {}", words.next().unwrap_or_default(), words.next().unwrap_or_default())
}

/// A moment in UTC: `2026-01-31 18:04:05`.
pub(crate) fn utc(ms: u64) -> String {
    let (year, month, day) = civil(ms / DAY_MS);
    let second = ms / 1000 % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// What a person means by `30m`, `12h`, `7d`, `2w` (so long before now) or `2026-01-31` (the beginning of that day in
/// UTC), in milliseconds since 1970. `None` when it is neither.
pub(crate) fn since(text: &str, now: u64) -> Option<u64> {
    if let Some((year, rest)) = text.split_once('-') {
        let (month, day) = rest.split_once('-')?;
        return day_start(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
    }
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let n: u64 = text[..text.len() - 1].trim_end().parse().ok()?;
    Some(now.saturating_sub(n.saturating_mul(seconds * 1000)))
}

/// Year, month and day, `days` after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years that begin in March have their odd day at the end; eras of 400 of them are all alike.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next, month, day)
}

fn day_start(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let (shifted, month_from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let days = shifted / 400 * 146_097 + shifted % 400 * 365 + shifted % 400 / 4 - shifted % 400 / 100 + day_of_year;
    let days = days.checked_sub(719_468)?;
    (civil(days) == (year, month, day)).then_some(days * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, age, civil, since, utc};

    const NOW: u64 = 1_767_225_600_000;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let ago = |seconds: u64| age(NOW, NOW - seconds * 1000);
        assert_eq!([ago(1), ago(42), ago(200)], ["just now", "42 s ago", "3 min ago"]);
        assert_eq!([ago(7 * 3600), ago(3 * 86_400)], ["7 h ago", "3 d ago"]);
    }

    #[test]
    fn a_time_that_lies_ahead_is_no_age() {
        assert_eq!(age(NOW, NOW + 30_000), "just now");
        assert_eq!(age(NOW, NOW + 3 * DAY_MS), "3 d ahead of this clock");
    }

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(
            [utc(0), utc(NOW), utc(951_782_400_000)].map(|t| t[..10].to_owned()),
            ["1970-01-01", "2026-01-01", "2000-02-29"]
        );
        assert_eq!(utc(NOW + 65_000), "2026-01-01 00:01:05");
    }

    #[test]
    fn since_takes_spans_and_days_and_nothing_else() {
        assert_eq!(since("12h", NOW), Some(NOW - 12 * 3_600_000));
        assert_eq!(since("2026-01-01", 0), Some(NOW));
        assert_eq!(since("999999999w", NOW), Some(0));
        for wrong in ["", "h", "12", "2026-02-30", "2026-13-01", "1969-12-31", "2026-01", "x-y-z", "1ü"] {
            assert_eq!(since(wrong, NOW), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_is_read_back() {
        for days in 0..146_097 {
            let (year, month, day) = civil(days);
            assert_eq!(super::day_start(year, month, day), Some(days * DAY_MS));
        }
    }
}
