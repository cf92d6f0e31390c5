//! A real folder whose every step is told to a hook before it is taken: to count steps, or to have one go wrong.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, real};

/// What is about to be done with a path. Reads and writes of open files are not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Stat,
    List,
    CreateDir,
    OpenRead,
    OpenWrite,
    /// The path is the one it gets.
    Rename,
    RemoveFile,
    RemoveDir,
    SyncDir,
}

type Hook = Arc<dyn Fn(Step, &str) + Send + Sync>;

pub struct Hooked {
    real: Arc<dyn Fs>,
    hook: Hook,
}

impl Hooked {
    pub fn over(root: &Path, hook: impl Fn(Step, &str) + Send + Sync + 'static) -> Arc<dyn Fs> {
        Arc::new(Self { real: real(root).unwrap(), hook: Arc::new(hook) })
    }

    fn told(&self, step: Step, path: &FsPath) -> &dyn Fs {
        (self.hook)(step, path.as_str());
        &*self.real
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hooked").field(&self.real).finish()
    }
}

impl Fs for Hooked {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.told(Step::Stat, path).stat(path)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.told(Step::List, dir).list(dir)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.told(Step::CreateDir, path).create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.told(Step::OpenRead, path).open_read(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.told(Step::OpenWrite, path).open_write(path, mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.told(Step::Rename, to).rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.told(Step::RemoveFile, path).remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.told(Step::RemoveDir, path).remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.real.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.told(Step::SyncDir, path).sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.real.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.real.free_space()
    }
}
