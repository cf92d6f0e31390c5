//! Replacing a small file so that a crash leaves the old or the new one, whole.

use std::io;

use crate::fs::{Fs, FsPath, OpenMode, write_all_at};

/// Writes `bytes` to `tmp`, makes them durable, renames to `to` (same folder) and makes the name durable.
///
/// A stale `tmp` is overwritten. On failure `to` is as it was and `tmp` may remain.
///
/// # Errors
/// The disk's. A failed sync is final.
pub fn replace(fs: &dyn Fs, tmp: &FsPath, to: &FsPath, bytes: &[u8]) -> io::Result<()> {
    write_synced(fs, tmp, bytes)?;
    fs.rename(tmp, to)?;
    fs.sync_dir(&to.parent().unwrap_or_else(FsPath::root))
}

/// Writes a whole file and makes its content (not its name) durable.
pub(crate) fn write_synced(fs: &dyn Fs, path: &FsPath, bytes: &[u8]) -> io::Result<()> {
    let file = fs.open_write(path, OpenMode::Either)?;
    file.set_len(0)?;
    write_all_at(&*file, bytes, 0)?;
    file.sync()
}

/// Removes a file that may be absent. Returns whether it was there.
pub(crate) fn remove_if_there(fs: &dyn Fs, path: &FsPath) -> io::Result<bool> {
    match fs.remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Reads a whole regular file of at most `limit` bytes; `None` when absent.
///
/// # Errors
/// `InvalidData` when it is longer; the disk's.
pub fn read_small(fs: &dyn Fs, path: &FsPath, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match fs.open_read(path) {
        Ok(f) => f,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let len = file.stat()?.len;
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, format!("longer than {limit} bytes"));
    if len > limit {
        return Err(too_long());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| too_long())?];
    let n = crate::fs::read_full_at(&*file, &mut bytes, 0)?;
    bytes.truncate(n);
    Ok(Some(bytes))
}
