//! A folder of a file system as a file system of its own.

use std::io;
use std::sync::Arc;

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode};

/// The tree beneath one folder.
#[derive(Debug, Clone)]
pub struct Beneath {
    inner: Arc<dyn Fs>,
    folder: FsPath,
}

impl Beneath {
    /// The tree beneath a folder of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Fs>, folder: &str) -> Self {
        Self { inner, folder: FsPath::root().child(folder) }
    }

    fn at(&self, path: &FsPath) -> FsPath {
        if path.is_root() { self.folder.clone() } else { self.folder.child(path.as_str()) }
    }
}

impl Fs for Beneath {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.inner.stat(&self.at(path))
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.inner.list(&self.at(dir))
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.create_dir(&self.at(path))
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.inner.open_read(&self.at(path))
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.inner.open_write(&self.at(path), mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.inner.rename(&self.at(from), &self.at(to))
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_file(&self.at(path))
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_dir(&self.at(path))
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.inner.names_may_change(&self.at(dir))
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.sync_dir(&self.at(path))
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.inner.sync_everything(&self.at(path))
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}
