//! The real file system on Windows, on `std::fs` alone.
//!
//! Every folder above a name is looked at before it is used, and any reparse point (link, junction) is refused: a weaker
//! promise than Unix gives, since someone with the user's rights could swap a folder in between. There is no sync of a
//! folder; NTFS journals its names by itself, and no promise is made for a power cut. A scanner or indexer that holds
//! a file open for a moment is waited for.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fs::{Entry, EntryName, Fs, FsFile, FsPath, Kind, LIST_MAX, Meta, OpenMode};

const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// Opens a link itself instead of what it points to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Difference between 1601, where Windows counts from, and 1970, in units of 100 ns.
const EPOCH_100NS: u64 = 116_444_736_000_000_000;

const ERROR_ACCESS_DENIED: i32 = 5;
const ERROR_SHARING_VIOLATION: i32 = 32;
const ERROR_LOCK_VIOLATION: i32 = 33;

/// Where a claim's holder is noted: nobody else can read a locked file.
pub(crate) const HOLDER_NOTE: &str = ".bonfire.holder";

/// What stays the same when something is moved. std does not tell it here, and nobody asks where a tree has one watch.
pub(crate) fn identity(_: &Path) -> Option<(u64, u64)> {
    None
}

/// A folder of the real file system.
#[derive(Debug)]
pub(crate) struct RealFs {
    root: PathBuf,
}

impl RealFs {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        // Canonical paths carry the `\\?\` prefix, which lifts the limit of 260 characters.
        let root = fs::canonicalize(root)?;
        if !fs::metadata(&root)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { root })
    }

    /// The path, after a look at every folder above it.
    fn resolve(&self, path: &FsPath) -> io::Result<PathBuf> {
        let mut at = self.root.clone();
        let mut parts = path.parts().peekable();
        while let Some(part) = parts.next() {
            if part == "." || part == ".." || part.contains(['\\', ':', '\0']) {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "path could leave the folder"));
            }
            at.push(part);
            if parts.peek().is_some() && kind_of(&fs::symlink_metadata(&at)?) != Kind::Dir {
                return Err(io::ErrorKind::NotADirectory.into());
            }
        }
        Ok(at)
    }
}

fn kind_of(meta: &Metadata) -> Kind {
    if meta.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        Kind::Link
    } else if meta.is_dir() {
        Kind::Dir
    } else if meta.is_file() {
        Kind::File
    } else {
        Kind::Other
    }
}

fn meta_of(meta: &Metadata) -> Meta {
    let since_1970 = i128::from(meta.last_write_time()) - i128::from(EPOCH_100NS);
    let mtime_ns = i64::try_from(since_1970 * 100).unwrap_or(i64::MAX);
    Meta { kind: kind_of(meta), len: meta.len(), mtime_ns, device: 0, inode: 0, ctime_ns: 0 }
}

fn regular(file: File, writable: bool) -> io::Result<Box<dyn FsFile>> {
    if kind_of(&file.metadata()?) != Kind::File {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(Box::new(RealFile { file, writable }))
}

/// Tries again for up to half a second while another program holds the file.
fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut wait = Duration::from_millis(5);
    loop {
        match attempt() {
            Err(e)
                if wait < Duration::from_millis(320)
                    && matches!(
                        e.raw_os_error(),
                        Some(ERROR_ACCESS_DENIED | ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION)
                    ) =>
            {
                std::thread::sleep(wait);
                wait *= 2;
            }
            other => return other,
        }
    }
}

/// Takes the read-only attribute off a file that is about to be replaced or removed. `false` when it had none.
fn lift_read_only(at: &Path) -> io::Result<bool> {
    let meta = fs::symlink_metadata(at)?;
    let mut permissions = meta.permissions();
    if kind_of(&meta) != Kind::File || !permissions.readonly() {
        return Ok(false);
    }
    #[expect(clippy::permissions_set_readonly_false, reason = "here it is one attribute, not a mode for everybody")]
    permissions.set_readonly(false);
    fs::set_permissions(at, permissions)?;
    Ok(true)
}

/// A folder in the place of a file is reported as access denied.
fn not_regular(at: &Path, e: io::Error) -> io::Error {
    match fs::symlink_metadata(at) {
        Ok(m) if kind_of(&m) != Kind::File => io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"),
        _ => e,
    }
}

impl Fs for RealFs {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        match self.resolve(path).and_then(fs::symlink_metadata) {
            Ok(m) => Ok(Some(meta_of(&m))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        let at = self.resolve(dir)?;
        if !dir.is_root() && kind_of(&fs::symlink_metadata(&at)?) != Kind::Dir {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        let mut out = Vec::new();
        for entry in fs::read_dir(&at)? {
            let entry = entry?;
            if out.len() >= LIST_MAX {
                return Err(io::Error::other("too many names in one folder"));
            }
            let kind = kind_of(&entry.metadata()?);
            let name = match entry.file_name().into_string() {
                Ok(n) => EntryName::Utf8(n),
                Err(n) => EntryName::Unrepresentable(n.to_string_lossy().into_owned()),
            };
            out.push(Entry { name, kind });
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        fs::create_dir(self.resolve(path)?)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        let at = self.resolve(path)?;
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        regular(patiently(|| options.open(&at)).map_err(|e| not_regular(&at, e))?, false)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let at = self.resolve(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        match mode {
            OpenMode::New => options.create_new(true),
            OpenMode::Existing => &mut options,
            OpenMode::Either => options.create(true).truncate(false),
        };
        regular(
            patiently(|| options.open(&at)).map_err(|e| match e.kind() {
                io::ErrorKind::AlreadyExists => e,
                _ => not_regular(&at, e),
            })?,
            true,
        )
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let (from, to) = (self.resolve(from)?, self.resolve(to)?);
        match patiently(|| fs::rename(&from, &to)) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && lift_read_only(&to)? => {
                patiently(|| fs::rename(&from, &to))
            }
            other => other,
        }
    }

    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        fs::hard_link(self.resolve(from)?, self.resolve(to)?)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        let at = self.resolve(path)?;
        match patiently(|| fs::remove_file(&at)) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied && lift_read_only(&at)? => {
                patiently(|| fs::remove_file(&at))
            }
            other => other,
        }
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        let at = self.resolve(path)?;
        patiently(|| fs::remove_dir(&at))
    }

    fn names_may_change(&self, _: &FsPath) -> io::Result<()> {
        // A folder's read-only attribute forbids nothing here, and its access list tells only whoever tries.
        Ok(())
    }

    fn sync_dir(&self, _: &FsPath) -> io::Result<()> {
        Ok(())
    }

    fn sync_everything(&self, _: &FsPath) -> io::Result<bool> {
        Ok(false)
    }

    fn free_space(&self) -> io::Result<u64> {
        fs4::available_space(&self.root)
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    writable: bool,
}

impl FsFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.seek_read(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.seek_write(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        // NTFS takes the clusters of a new length at once, so a full disk shows here.
        if self.file.metadata()?.len() < len {
            self.file.set_len(len)?;
        }
        Ok(true)
    }

    fn sync(&self) -> io::Result<()> {
        // The system syncs through handles that may write alone; nothing was written through another.
        if self.writable { self.file.sync_all() } else { Ok(()) }
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn links(&self) -> io::Result<u64> {
        Ok(winapi_util::file::information(&self.file)?.number_of_links())
    }

    fn stat(&self) -> io::Result<Meta> {
        Ok(meta_of(&self.file.metadata()?))
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.file.set_modified(crate::fs::system_time(ms)?)
    }
}
