//! How hard a download uses its sources.

use std::time::Duration;

/// How hard sources are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwarmLimits {
    /// Spans outstanding at one source; at least 1.
    pub slots_per_source: u32,
    /// Chunks in one span; 1 to 64, as one request may ask for.
    pub span_chunks_max: u32,
    /// Time without a byte after which a span is given up.
    pub stall_after: Duration,
    /// Faults in a row, without a verified chunk in between, until a source is dropped.
    pub faults_until_dropped: u32,
}

impl Default for SwarmLimits {
    fn default() -> Self {
        Self { slots_per_source: 6, span_chunks_max: 4, stall_after: Duration::from_secs(8), faults_until_dropped: 3 }
    }
}
