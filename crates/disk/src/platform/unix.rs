//! The real file system on Unix: every path is resolved from the root's handle, beneath it and through no link.
//!
//! On Linux the kernel does that (`openat2`); where it cannot, and elsewhere, folders are walked one name at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, Access, AtFlags, FileType, Mode, OFlags};

use crate::fs::{Entry, EntryName, Fs, FsFile, FsPath, Kind, LIST_MAX, Meta, OpenMode};

/// Where a claim's holder is noted: in the lock file itself.
pub(crate) const HOLDER_NOTE: &str = crate::claim::LOCK;

/// What stays the same when something is moved: two paths with one identity are one thing. `None` when it is not there.
pub(crate) fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// A folder of the real file system.
#[derive(Debug)]
pub(crate) struct RealFs {
    root: OwnedFd,
    path: PathBuf,
    /// Cleared when the kernel (or a sandbox) does not know `openat2`.
    openat2: AtomicBool,
}

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
// Without NONBLOCK, opening a pipe in the place of a file would hang.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

impl RealFs {
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        // The games folder itself may be a link: its place is the owner's choice.
        let path = std::fs::canonicalize(root)?;
        let root = fs::open(&path, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { root, path, openat2: AtomicBool::new(cfg!(target_os = "linux")) })
    }

    fn open_beneath(&self, path: &FsPath, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        check(path)?;
        if path.is_root() {
            return Ok(fs::openat(&self.root, ".", flags, mode)?);
        }
        if self.openat2.load(Ordering::Relaxed) {
            match kernel_open(&self.root, path.as_str(), flags, mode) {
                Err(e) if e == rustix::io::Errno::NOSYS || e == rustix::io::Errno::PERM => {
                    self.openat2.store(false, Ordering::Relaxed);
                }
                other => return Ok(other?),
            }
        }
        let mut dir: Option<OwnedFd> = None;
        let parent = path.parent().unwrap_or_else(FsPath::root);
        for part in parent.parts() {
            let at = dir.as_ref().unwrap_or(&self.root).as_fd();
            dir = Some(fs::openat(at, part, DIR, Mode::empty())?);
        }
        Ok(fs::openat(dir.as_ref().unwrap_or(&self.root), path.name(), flags, mode)?)
    }

    /// A handle stays good when its folder is removed or moved, and then shows nothing or what nobody looks at.
    fn root_is_in_place(&self) -> io::Result<()> {
        let (held, named) = (fs::fstat(&self.root)?, fs::stat(&self.path)?);
        if (held.st_dev, held.st_ino) != (named.st_dev, named.st_ino) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the folder was moved or replaced"));
        }
        Ok(())
    }

    /// Handle of the folder that holds the path. The name is then used with calls that follow no link.
    fn parent(&self, path: &FsPath) -> io::Result<OwnedFd> {
        check(path)?;
        let parent = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        self.open_beneath(&parent, DIR, Mode::empty())
    }
}

#[cfg(target_os = "linux")]
fn kernel_open(root: &OwnedFd, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    use fs::ResolveFlags as R;
    let resolve = R::BENEATH | R::NO_SYMLINKS | R::NO_MAGICLINKS;
    loop {
        match fs::openat2(root, path, flags, mode, resolve) {
            // The kernel saw a rename it could not order; it asks to try again.
            Err(rustix::io::Errno::AGAIN) => {}
            other => return other,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn kernel_open(_: &OwnedFd, _: &str, _: OFlags, _: Mode) -> rustix::io::Result<OwnedFd> {
    Err(rustix::io::Errno::NOSYS)
}

fn check(path: &FsPath) -> io::Result<()> {
    let bad = |p: &str| p == "." || p == ".." || p.contains('\0');
    if path.as_str().starts_with('/') || path.parts().any(bad) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "path could leave the folder"));
    }
    Ok(())
}

fn kind_of(t: FileType) -> Kind {
    match t {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Link,
        _ => Kind::Other,
    }
}

fn meta_of(stat: &fs::Stat) -> Meta {
    let ns = |secs, nanos| i64::saturating_mul(secs, 1_000_000_000).saturating_add(nanos);
    #[expect(clippy::useless_conversion, reason = "the widths of these fields differ between platforms")]
    let mtime_ns = ns(i64::from(stat.st_mtime), i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
    #[expect(clippy::useless_conversion, reason = "the widths of these fields differ between platforms")]
    let ctime_ns = ns(i64::from(stat.st_ctime), i64::try_from(stat.st_ctime_nsec).unwrap_or(0));
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "a number to compare, signed on some platforms")]
    let device = stat.st_dev as u64;
    #[expect(clippy::useless_conversion, reason = "the widths of these fields differ between platforms")]
    let inode = u64::from(stat.st_ino);
    Meta {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        len: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns,
        device,
        inode,
        ctime_ns,
    }
}

fn regular(fd: OwnedFd) -> io::Result<Box<dyn FsFile>> {
    match kind_of(FileType::from_raw_mode(fs::fstat(&fd)?.st_mode)) {
        Kind::File => Ok(Box::new(RealFile(File::from(fd)))),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// A link (`ELOOP`), a folder or an unconnected pipe in the place of a file is one thing to the caller.
fn not_regular(e: io::Error) -> io::Error {
    use rustix::io::Errno;
    match Errno::from_io_error(&e) {
        Some(Errno::LOOP | Errno::MLINK | Errno::ISDIR | Errno::NXIO) => {
            io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
        }
        _ => e,
    }
}

impl Fs for RealFs {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        if path.is_root() {
            return Ok(Some(meta_of(&fs::fstat(&self.root)?)));
        }
        let dir = match self.parent(path) {
            Ok(d) => d,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match fs::statat(&dir, path.name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(s) => Ok(Some(meta_of(&s))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        if dir.is_root() {
            self.root_is_in_place()?;
        }
        let fd = self.open_beneath(dir, DIR, Mode::empty())?;
        let mut out = Vec::new();
        for entry in fs::Dir::read_from(&fd)? {
            let entry = entry?;
            let raw = entry.file_name();
            if raw.to_bytes() == b"." || raw.to_bytes() == b".." {
                continue;
            }
            if out.len() >= LIST_MAX {
                return Err(io::Error::other("too many names in one folder"));
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match fs::statat(&fd, raw, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(s) => kind_of(FileType::from_raw_mode(s.st_mode)),
                    // Gone since it was listed.
                    Err(rustix::io::Errno::NOENT) => continue,
                    Err(e) => return Err(e.into()),
                },
                t => kind_of(t),
            };
            let name = match raw.to_str() {
                Ok(s) => EntryName::Utf8(s.to_owned()),
                Err(_) => EntryName::Unrepresentable(raw.to_string_lossy().into_owned()),
            };
            out.push(Entry { name, kind });
        }
        if out.is_empty() && fs::fstat(&fd)?.st_nlink == 0 {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the folder was removed meanwhile"));
        }
        out.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(out)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        Ok(fs::mkdirat(self.parent(path)?, path.name(), Mode::from_raw_mode(0o777))?)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        regular(self.open_beneath(path, FILE | OFlags::RDONLY, Mode::empty()).map_err(not_regular)?)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let (extra, perm) = match mode {
            OpenMode::New => (OFlags::CREATE | OFlags::EXCL, Mode::from_raw_mode(0o666)),
            OpenMode::Existing => (OFlags::empty(), Mode::empty()),
            OpenMode::Either => (OFlags::CREATE, Mode::from_raw_mode(0o666)),
        };
        regular(self.open_beneath(path, FILE | OFlags::RDWR | extra, perm).map_err(not_regular)?)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        Ok(fs::renameat(self.parent(from)?, from.name(), self.parent(to)?, to.name())?)
    }

    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        // Without `SYMLINK_FOLLOW` a link gets another name itself; callers name regular files.
        Ok(fs::linkat(self.parent(from)?, from.name(), self.parent(to)?, to.name(), AtFlags::empty())?)
    }

    #[cfg(target_os = "linux")]
    fn clone_file(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        use rustix::io::Errno;
        let source = self.open_beneath(from, FILE | OFlags::RDONLY, Mode::empty()).map_err(not_regular)?;
        if kind_of(FileType::from_raw_mode(fs::fstat(&source)?.st_mode)) != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let new = FILE | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let target = self.open_beneath(to, new, Mode::from_raw_mode(0o666))?;
        let cloned = fs::ioctl_ficlone(&target, &source);
        if cloned.is_err() {
            self.remove_file(to)?;
        }
        cloned.map_err(|e| match e {
            // No such thing on this file system, across two of them, or between these two files.
            Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::PERM => {
                io::ErrorKind::Unsupported.into()
            }
            e => e.into(),
        })
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        Ok(fs::unlinkat(self.parent(path)?, path.name(), AtFlags::empty())?)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        Ok(fs::unlinkat(self.parent(path)?, path.name(), AtFlags::REMOVEDIR)?)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        let fd = self.open_beneath(dir, DIR, Mode::empty())?;
        Ok(fs::accessat(&fd, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        Ok(fs::fsync(self.open_beneath(path, DIR, Mode::empty())?)?)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            let other = self.open_beneath(path, DIR, Mode::empty())?;
            // From Linux 5.8 this reports write-back errors since the handle was opened: those of the games folder's own
            // file system go by the handle that was opened first.
            let same = fs::fstat(&other)?.st_dev == fs::fstat(&self.root)?.st_dev;
            fs::syncfs(if same { self.root.as_fd() } else { other.as_fd() })?;
            Ok(true)
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = path;
            Ok(false)
        }
    }

    fn free_space(&self) -> io::Result<u64> {
        let s = fs::fstatvfs(&self.root)?;
        Ok(s.f_bavail.saturating_mul(s.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl FsFile for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.0.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        #[cfg(target_os = "linux")]
        loop {
            use rustix::io::Errno;
            match fs::fallocate(&self.0, fs::FallocateFlags::empty(), 0, len) {
                Ok(()) => return Ok(true),
                Err(Errno::INTR) => {}
                // The file system has no such thing (NFS before 4.2, some FUSE): the length alone must do.
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => break,
                Err(e) => return Err(e.into()),
            }
        }
        if self.0.metadata()?.len() < len {
            self.0.set_len(len)?;
        }
        Ok(false)
    }

    fn sync(&self) -> io::Result<()> {
        // With its time, by which a resume after a power cut knows that the file is what it was.
        self.0.sync_all()
    }

    fn try_lock(&self) -> io::Result<bool> {
        match self.0.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(e)) => Err(e),
        }
    }

    fn links(&self) -> io::Result<u64> {
        #[expect(clippy::useless_conversion, reason = "the width of this field differs between platforms")]
        Ok(u64::from(fs::fstat(&self.0)?.st_nlink))
    }

    fn stat(&self) -> io::Result<Meta> {
        Ok(meta_of(&fs::fstat(&self.0)?))
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.0.set_modified(crate::fs::system_time(ms)?)
    }

    fn set_executable(&self) -> io::Result<()> {
        let mode = Mode::from_raw_mode(fs::fstat(&self.0)?.st_mode) & Mode::from_raw_mode(0o777);
        // Where the bits to read stand, which is what the umask of the user left.
        let runs = Mode::from_raw_mode((mode.as_raw_mode() & 0o444) >> 2);
        Ok(fs::fchmod(&self.0, mode | runs)?)
    }

    fn is_executable(&self) -> io::Result<bool> {
        Ok(fs::fstat(&self.0)?.st_mode & 0o111 != 0)
    }
}
