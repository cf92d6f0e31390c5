//! The player who writes to a live file at a bad moment.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode};

use super::Promise;
use super::sabotage::{Place, place};
use super::scenario::play_on;
use crate::model_disk::fs::ModelFs;
use crate::model_disk::scenario::Ack;

/// The player, who writes to a live file as soon as new content is being staged.
#[derive(Debug)]
pub(super) struct Intruder {
    inner: Arc<dyn Fs>,
    disk: ModelFs,
    done: AtomicBool,
}

impl Intruder {
    pub(super) fn new(inner: Arc<dyn Fs>, disk: ModelFs) -> Self {
        Self { inner, disk, done: AtomicBool::new(false) }
    }
}

impl Fs for Intruder {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.inner.stat(path)
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.inner.list(dir)
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.inner.open_read(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        if place(path) == Place::Staged && !self.done.swap(true, Ordering::Relaxed) {
            self.disk.ack(Ack::Save(Promise::PlayStarted));
            play_on(&self.disk)?;
            self.disk.ack(Ack::Save(Promise::Played));
        }
        self.inner.open_write(path, mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.inner.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.inner.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}
