//! The small file system that all disk work goes through.
//!
//! Owns the contract: one folder tree, every operation beneath it, links never followed. What is durable when: the
//! content of a file after `FsFile::sync`, a name in a folder after `Fs::sync_dir` of that folder; anything else may be
//! lost, reordered or torn by a crash. A `rename` is atomic, not durable.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_proto::{GameId, RelPath};

use crate::platform::RealFs;

/// Most entries that `list` returns of one folder. A folder beyond it is refused as a whole.
pub const LIST_MAX: usize = 1_000_000;

/// A path beneath the root of an `Fs`; the empty path is the root itself.
///
/// It is built from checked ids and paths, our own constant names, and names that `list` returned. An implementation
/// refuses parts that could leave the tree (`..`, separators) all the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FsPath(String);

impl FsPath {
    /// The root of the tree.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// The root of a game.
    #[must_use]
    pub fn game(game: &GameId) -> Self {
        Self(game.as_str().to_owned())
    }

    /// One name beneath this path.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}/{name}", self.0)) }
    }

    /// A checked path beneath this one.
    #[must_use]
    pub fn beneath(&self, path: &RelPath) -> Self {
        self.child(path.as_str())
    }

    /// The path as text, `/`-separated, empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the root down.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|p| !p.is_empty())
    }

    /// The folder that holds it; `None` for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.0.is_empty() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map(|(dir, _)| dir.to_owned()).unwrap_or_default()))
    }

    /// The last name, empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or("")
    }
}

impl fmt::Display for FsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, or on Windows any reparse point.
    Link,
    /// A device, a pipe, a socket.
    Other,
}

/// What is known of a name without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes; meaningful for files.
    pub len: u64,
    /// Time of last change in nanoseconds since 1970 (clipped to what an `i64` holds).
    pub mtime_ns: i64,
    /// Number of the file system that holds it; 0 where the platform does not tell.
    pub device: u64,
    /// Number of the file there, which a file that takes its place does not have; 0 where the platform does not tell.
    pub inode: u64,
    /// When anything of it changed last, its names included, in nanoseconds since 1970. No program sets it. 0 where the
    /// platform does not tell.
    pub ctime_ns: i64,
}

/// A name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryName {
    /// A name in UTF-8. It may still be illegal as part of a `RelPath`.
    Utf8(String),
    /// A name that is not UTF-8, with replacement characters: for people, no operation can address it.
    Unrepresentable(String),
}

/// One line of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: EntryName,
    /// What it is.
    pub kind: Kind,
}

/// How a file to write is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// It must not exist.
    New,
    /// It must exist as a regular file.
    Existing,
    /// Created when absent; its content stays otherwise.
    Either,
}

/// An open file. Reading and writing name their offset, so one handle serves many threads.
pub trait FsFile: Send + Sync + fmt::Debug {
    /// Reads into the buffer; fewer bytes than asked only at the end of the file, 0 beyond it.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some bytes and says how many.
    ///
    /// # Errors
    /// Whatever the disk reports; how much was written is then unknown.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Cuts or extends (with zeros) to `len` bytes.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the file `len` bytes long with space reserved where the file system can, and extended with zeros
    /// elsewhere. Bytes that are there stay. Never shortens. Returns whether the space is reserved.
    ///
    /// # Errors
    /// `StorageFull` when there is no room.
    fn allocate(&self, len: u64) -> io::Result<bool>;

    /// Makes the content durable. A failure is final: the system may have dropped what was not written, and a second
    /// call that succeeds proves nothing.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn sync(&self) -> io::Result<()>;

    /// Takes the lock of the file until it is closed; `Ok(false)` when somebody else has it, in this process or another.
    ///
    /// # Errors
    /// `Unsupported` where there are no locks; whatever the disk reports.
    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How many names lead to the file; 1 where the platform cannot tell. More than one: a write to it is seen under
    /// names that are none of ours.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn links(&self) -> io::Result<u64>;

    /// What the open file is now.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn stat(&self) -> io::Result<Meta>;

    /// Sets the time of last change, in milliseconds since 1970 (before it when negative), as near as the file system
    /// keeps it. The file has to be open to write.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn set_mtime(&self, ms: i64) -> io::Result<()>;

    /// Lets those run the file who may read it. Does nothing where files have no such mark, as is the default.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn set_executable(&self) -> io::Result<()> {
        Ok(())
    }

    /// Whether somebody may run the file; false where files have no such mark, as is the default.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn is_executable(&self) -> io::Result<bool> {
        Ok(false)
    }
}

/// A time of last change as the systems take it.
///
/// # Errors
/// `InvalidInput` when the platform cannot hold it.
pub(crate) fn system_time(ms: i64) -> io::Result<std::time::SystemTime> {
    let (epoch, distance) = (std::time::UNIX_EPOCH, std::time::Duration::from_millis(ms.unsigned_abs()));
    let time = if ms < 0 { epoch.checked_sub(distance) } else { epoch.checked_add(distance) };
    time.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a time that this platform cannot hold"))
}

/// A folder tree.
pub trait Fs: Send + Sync + fmt::Debug {
    /// What a name stands for, a link being a link; `None` when it or a folder above it does not exist.
    ///
    /// # Errors
    /// Whatever the disk reports, and a link or file in the place of a folder above it.
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>>;

    /// The names in a folder, sorted.
    ///
    /// # Errors
    /// Whatever the disk reports: never an incomplete list. More than `LIST_MAX` names.
    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>>;

    /// Makes a folder.
    ///
    /// # Errors
    /// `AlreadyExists`, and whatever the disk reports.
    fn create_dir(&self, path: &FsPath) -> io::Result<()>;

    /// Opens a regular file to read.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for anything that is no regular file; whatever the disk reports.
    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>>;

    /// Opens a regular file to read and write.
    ///
    /// # Errors
    /// As `open_read`, and `AlreadyExists` with `OpenMode::New`.
    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>>;

    /// Renames within the tree, replacing a file at the target.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()>;

    /// Gives a regular file another name within the tree.
    ///
    /// # Errors
    /// `Unsupported` where there is no such thing; `AlreadyExists`; whatever the disk reports.
    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Makes a new file that shares the bytes of another until one of them is written to: no write to one is ever seen in
    /// the other. Nothing is made on an error.
    ///
    /// # Errors
    /// `Unsupported` where the file system cannot, as is the default; `AlreadyExists`; `NotFound`; whatever the disk reports.
    fn clone_file(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let _ = (from, to);
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Removes a file or a link (not what it points to).
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn remove_file(&self, path: &FsPath) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `DirectoryNotEmpty`, and whatever the disk reports.
    fn remove_dir(&self, path: &FsPath) -> io::Result<()>;

    /// Whether names in a folder can be made, replaced and removed, as far as permissions say. Changes nothing.
    ///
    /// # Errors
    /// Why not.
    fn names_may_change(&self, dir: &FsPath) -> io::Result<()>;

    /// Makes the names in a folder durable. Where the platform has no such thing this does nothing.
    ///
    /// # Errors
    /// Whatever the disk reports; final, as with `FsFile::sync`.
    fn sync_dir(&self, path: &FsPath) -> io::Result<()>;

    /// Makes everything durable at once that was written to the file system that holds `path`, files and names. What
    /// lies beneath it on another one (`Meta::device`) is not. `Ok(false)` when the platform cannot, and then nothing was
    /// done.
    ///
    /// # Errors
    /// As `FsFile::sync`.
    fn sync_everything(&self, path: &FsPath) -> io::Result<bool>;

    /// Bytes that this user may still write.
    ///
    /// # Errors
    /// Whatever the disk reports.
    fn free_space(&self) -> io::Result<u64>;
}

/// The tree beneath a folder of this machine.
///
/// # Errors
/// When it is absent, no folder, or cannot be opened.
pub fn real(root: &Path) -> io::Result<Arc<dyn Fs>> {
    Ok(Arc::new(RealFs::open(root)?))
}

/// Writes all bytes.
///
/// # Errors
/// As `FsFile::write_at`; `WriteZero` when the disk takes nothing.
pub fn write_all_at(file: &dyn FsFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = &bytes[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Fills the buffer as far as the file goes and says how far that was.
///
/// # Errors
/// As `FsFile::read_at`.
pub fn read_full_at(file: &dyn FsFile, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}
