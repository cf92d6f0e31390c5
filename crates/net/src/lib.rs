//! How peers reach each other: identity and TLS, the QUIC endpoint, framed streams, discovery.
//!
//! Proves *who* is at the other end and carries frames and raw bytes, within limits. Decides nothing: whom to dial, which
//! of two connections to keep, what to answer and whom to trust is the caller's. Retries nothing by itself.

mod admission;
mod connection;
mod control;
mod discovery;
mod endpoint;
mod error;
pub mod fetch;
mod frames;
mod hearing;
mod identity;
mod mdns;
pub mod pairing;
mod plain_udp;
mod platform;
mod request;
mod seeded;
mod serve;
mod tls;
mod tuning;

pub use connection::{ClosedBecause, Connection};
pub use control::{ControlReceiver, ControlSender};
pub use discovery::{Announcement, Discovery, DiscoveryEvent};
pub use endpoint::{Endpoint, Incoming};
pub use error::{NetError, Who};
pub use identity::Identity;
pub use mdns::Mdns;
pub use quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
pub use request::Answer;
pub use serve::{IncomingStream, Opened, Reply, ServedRequest};
pub use tls::{CertificateError, KeyHash, proven_key_hash, proven_peer_id};
pub use tuning::Tuning;
