//! Windows: the data folder is in the user's profile, whose access list files inherit; folders cannot be synced.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a file with the access list of its folder.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Nothing to do: the access list was inherited.
#[expect(clippy::unnecessary_wraps, reason = "the other platform can fail")]
pub(crate) fn keep_private(_path: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

/// Nothing to do: NTFS journals renames, and there is no call for it.
#[expect(clippy::unnecessary_wraps, reason = "the other platform can fail")]
pub(crate) fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Lets a socket be bound to a port that others hold and share.
pub(crate) fn share_port(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_reuse_address(true)
}
