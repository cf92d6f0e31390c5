//! Unix: mode bits, folder fsync, shared ports.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Creates a file that nobody but its owner can open, from its first moment on.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Takes away what others may do with an open file. Somebody may have read it before, so it is said.
pub(crate) fn keep_private(path: &Path, file: &File) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    tracing::warn!(path = %path.display(), mode = format!("{mode:o}"), "others could read the identity file; closed it to them");
    Ok(())
}

/// Makes a rename in the folder last.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Lets a socket be bound to a port that others hold and share.
pub(crate) fn share_port(socket: &socket2::Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}
