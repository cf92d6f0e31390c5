//! What differs between systems: files that only their owner reads, syncing a folder, sharing a port.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::{create_private, keep_private, share_port, sync_dir};

#[cfg(windows)]
mod windows;
#[cfg(windows)]
pub(crate) use windows::{create_private, keep_private, share_port, sync_dir};
