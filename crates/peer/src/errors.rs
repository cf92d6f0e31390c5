//! Errors of the crates below as the one `Report` that travels upward: code, class, message with its causes, hint.

use std::error::Error;
use std::net::SocketAddr;

use bonfire_disk::saves::SaveError;
use bonfire_disk::{DiskError, RemoveError, SidecarError};
use bonfire_engine::{ErrorClass, Report};
use bonfire_net::NetError;
use bonfire_proto::message::ErrorMsg;
use bonfire_proto::text;
use bonfire_store::StoreError;

/// An error with its causes, outermost first.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

pub(crate) fn net(error: &NetError) -> Report {
    let code = match error {
        NetError::IdentityIo { .. } | NetError::IdentityCorrupt { .. } => "identity",
        NetError::Bind { .. } => "cannot_listen",
        NetError::Undialable { .. } => "bad_address",
        NetError::Handshake { .. } | NetError::HandshakeTimeout { .. } => "unreachable",
        NetError::Certificate { .. } | NetError::WrongIdentity { .. } => "wrong_identity",
        NetError::Lost { .. } | NetError::EndpointClosed => "connection_lost",
        NetError::Stalled { .. } => "stalled",
        NetError::GaveUp { .. } => "gave_up",
        NetError::Truncated { .. } | NetError::Frame { .. } => "protocol",
        NetError::Discovery { .. } => "discovery_failed",
        _ => "network",
    };
    let report = Report::new(error.class(), code, chain(error));
    if error.is_retryable() { report.retryable() } else { report }
}

pub(crate) fn disk(error: &DiskError) -> Report {
    let mut report = Report::new(error.class(), error.code(), chain(error));
    if error.is_no_space() {
        report = report.hint("free some space on the disk of the games folder, then ask again");
    }
    if error.is_retryable() { report.retryable() } else { report }
}

pub(crate) fn save(error: &SaveError) -> Report {
    let mut report = Report::new(error.class(), error.code(), chain(error));
    if error.is_no_space() {
        report = report.hint("free some space on that disk; it goes on by itself");
    }
    if error.is_retryable() { report.retryable() } else { report }
}

pub(crate) fn sidecar(error: &SidecarError) -> Report {
    let report = Report::new(error.class(), error.code(), chain(error));
    let report = match error {
        SidecarError::NoPicture { .. } => report.hint("a picture is a PNG, JPEG or WebP file of at most 4 MiB"),
        SidecarError::Disk(e) if e.is_no_space() => report.hint("free some space on that disk, then ask again"),
        _ => report,
    };
    if error.is_retryable() { report.retryable() } else { report }
}

pub(crate) fn remove(error: &RemoveError) -> Report {
    let report = Report::new(error.class(), "cannot_remove", chain(error));
    if error.is_retryable() { report.retryable() } else { report }
}

pub(crate) fn store(error: &StoreError) -> Report {
    let report = Report::new(error.class(), "state_database", chain(error));
    if error.is_retryable() { report.retryable() } else { report }
}

/// An `error` frame of another peer.
pub(crate) fn remote(from: SocketAddr, error: &ErrorMsg) -> Report {
    let code = serde_json::to_value(error.code).ok().and_then(|v| v.as_str().map(str::to_owned));
    let report = Report::new(
        ErrorClass::Remote,
        &code.unwrap_or_else(|| "internal".to_owned()),
        format!("{from} refused: {}", text::clean_to(&error.message, 200)),
    );
    if error.code.is_retryable() { report.retryable() } else { report }
}
