//! Medians, ranges, and how the tables write them.

use std::time::Duration;

/// The middle value.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// `median [least to most]`.
pub(crate) fn spread(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.digits$} [{least:.digits$} to {most:.digits$}]", median(values))
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// CPU seconds that a running process has used, from `/proc`.
pub(crate) fn cpu_of(pid: u32) -> f64 {
    ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap(), 11) + 0.0
}

/// CPU seconds of this process's children that have ended and been waited for, with theirs.
pub(crate) fn cpu_of_children() -> f64 {
    ticks(&std::fs::read_to_string("/proc/self/stat").unwrap(), 13)
}

/// Two neighbouring fields of a `stat` line after the name, in seconds: user and system.
fn ticks(stat: &str, first: usize) -> f64 {
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<f64> = after_name.split_whitespace().map(|f| f.parse().unwrap_or(0.0)).collect();
    // Linux counts these in hundredths of a second on every platform (USER_HZ).
    (fields[first] + fields[first + 1]) / 100.0
}
