//! Every number of the transport in one place, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

/// Receive window of a connection on which we ask for nothing: what a hostile peer can make us hold unread. Every frame
/// is drained as it arrives, so it bounds memory and never progress.
pub(crate) const QUIET_WINDOW: u32 = 2 << 20;

/// Receive window while answers are awaited: 10 Gb/s × 12 ms, far above any LAN's delay.
pub(crate) const BUSY_WINDOW: u32 = 16 << 20;

/// Window of one stream: a downloader that reads late on one stream leaves room for another.
const STREAM_WINDOW: u32 = 8 << 20;

/// Unacknowledged bytes kept for one peer. With 64 downloaders at once that is half a gigabyte at the very worst.
const SEND_WINDOW: u64 = 8 << 20;

/// Limits and transport settings of an endpoint. The defaults are right; tests shorten the limits.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// A handshake that takes longer is given up.
    pub handshake_limit: Duration,
    /// A stream on which no byte moves for this long is given up.
    pub progress_limit: Duration,
    /// A connection without a packet for this long is gone. Peers ping before; QUIC sends no keep-alive of its own.
    pub idle_limit: Duration,
    /// Streams that the other side may have open at once, the control stream included.
    pub streams_max: u32,
    /// Connections accepted at once, handshakes included. A LAN party hall has a few hundred seats.
    pub connections_max: usize,
    /// Connections accepted from one address at once. Above one because machines run several peers (kiosk, tests).
    pub connections_per_address: usize,
    /// Handshakes under way above which a newcomer has to prove its address first (QUIC Retry).
    pub half_open_max: usize,
    /// Largest UDP payload that path MTU discovery tries, in bytes: a 9,000-byte jumbo frame less IPv6 and UDP headers.
    pub mtu_max: u16,
    /// Socket buffers in bytes; the system may give less.
    pub socket_buffer: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            handshake_limit: Duration::from_secs(5),
            progress_limit: Duration::from_secs(15),
            idle_limit: Duration::from_secs(90),
            streams_max: 64,
            connections_max: 512,
            connections_per_address: 32,
            half_open_max: 32,
            mtu_max: 8_952,
            socket_buffer: 4 << 20,
        }
    }
}

impl Tuning {
    pub(crate) fn transport(&self) -> Arc<TransportConfig> {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(self.mtu_max);
        let idle = u32::try_from(self.idle_limit.as_millis()).unwrap_or(u32::MAX);
        let mut t = TransportConfig::default();
        t.max_concurrent_bidi_streams(VarInt::from_u32(self.streams_max))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None)
            .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
            .receive_window(VarInt::from_u32(QUIET_WINDOW))
            .send_window(SEND_WINDOW)
            .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(idle))))
            .keep_alive_interval(None)
            .mtu_discovery_config(Some(mtu))
            .enable_segmentation_offload(true);
        Arc::new(t)
    }
}
