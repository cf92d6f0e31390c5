//! Numbered QUIC application close codes: why a connection or a stream was ended on purpose.

use serde::{Deserialize, Serialize};

macro_rules! close_codes {
    ($($(#[$doc:meta])* $name:ident = $n:literal, $text:literal;)*) => {
        /// Why a connection or stream was closed. The numbers are wire format: they are never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum CloseCode { $($(#[$doc])* $name = $n,)* }

        impl CloseCode {
            /// Every code, in order of its number.
            pub const ALL: &'static [CloseCode] = &[$(CloseCode::$name,)*];

            /// The number on the wire.
            #[must_use]
            pub const fn number(self) -> u32 { self as u32 }

            /// The code with this number, if there is one.
            #[must_use]
            pub fn from_number(n: u64) -> Option<Self> {
                match n { $($n => Some(CloseCode::$name),)* _ => None }
            }

            /// One line for people; also sent as the close reason.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(CloseCode::$name => $text,)* }
            }
        }
    };
}

close_codes! {
    /// Orderly end.
    Done = 0, "done";
    /// This peer is shutting down.
    ShuttingDown = 1, "shutting down";
    /// The other side speaks another protocol version.
    Version = 2, "protocol version differs";
    /// The claimed `peer_id` is not the one that the certificate proves.
    WrongIdentity = 3, "peer_id is not the one that the certificate proves";
    /// Both sides dialled; the connection dialled by the larger `peer_id` ends.
    Duplicate = 4, "another connection between these peers is kept";
    /// A frame, message or order of messages broke the protocol.
    Protocol = 5, "protocol error";
    /// No sign of life within the stale time.
    Stale = 6, "no sign of life";
    /// Too many connections, streams or requests from this peer.
    Overloaded = 7, "too many requests";
    /// A stream was given up because its download was cancelled.
    Cancelled = 8, "cancelled";
    /// A peer found itself (its own announcement came back).
    Oneself = 9, "that is this peer itself";
    /// Served bytes did not match what the other side said they are.
    BadContent = 10, "bytes did not match their hash";
}
