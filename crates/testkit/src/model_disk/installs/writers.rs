//! A program that writes to an install while something is done with it, at every operation: whatever it wrote beneath
//! `local/` is there afterwards.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, write_all_at};

use super::super::explore::Report;
use super::super::fs::ModelFs;
use super::{GAME, MISSING, Work, play, recover, stage, tree};

/// What it wrote.
const WROTE: &str = "written a moment ago";

/// How the program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// A new file.
    New,
    /// One in a place where an installed one is missing.
    Missing,
    /// Into a file that is there.
    InPlace,
}

impl Write {
    /// Each, with work that it comes between.
    pub const ALL: [(Self, Work); 8] = [
        (Self::New, Work::Uninstall),
        (Self::InPlace, Work::Uninstall),
        (Self::New, Work::Update),
        (Self::InPlace, Work::Update),
        (Self::New, Work::UpdateAdopted),
        (Self::New, Work::Mend),
        (Self::Missing, Work::Mend),
        (Self::InPlace, Work::Mend),
    ];

    fn carry_out(self, fs: &ModelFs) -> io::Result<()> {
        let local = local();
        let (at, mode) = match self {
            Self::New => (local.child("2.sav"), OpenMode::New),
            Self::Missing => (local.child(MISSING), OpenMode::Either),
            Self::InPlace => (local.child("doom.cfg"), OpenMode::Existing),
        };
        let file = fs.open_write(&at, mode)?;
        file.set_len(0)?;
        write_all_at(&*file, WROTE.as_bytes(), 0)
    }
}

fn local() -> FsPath {
    FsPath::root().child(GAME).child("local")
}

/// What the work must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blind {
    /// It looks once, and takes what it saw for what is there.
    LooksOnce,
    /// It looks once, and puts files over whatever is in their places.
    PutsOver,
}

impl Blind {
    /// Each, with what shows it.
    pub const ALL: [(Self, Write, Work); 3] = [
        (Self::LooksOnce, Write::New, Work::Uninstall),
        (Self::LooksOnce, Write::New, Work::Update),
        (Self::PutsOver, Write::Missing, Work::Mend),
    ];
}

/// Has the program write at every operation of the work, each time on a fresh disk, and looks for what it wrote after a
/// start. `points` of the report are the writes that came about.
#[must_use]
pub fn explore_writers(write: Write, work: Work, blind: Option<Blind>) -> Report {
    let disk = stage(work);
    let mut report = Report::default();
    for at in 0.. {
        let fs = ModelFs::over(disk.clone(), false);
        let shared = Arc::new(Shared {
            inner: fs.clone(),
            write,
            at,
            count: AtomicU64::new(0),
            wrote: AtomicBool::new(false),
            looked: AtomicBool::new(work != Work::Uninstall),
            blind,
            lists: Mutex::default(),
            stats: Mutex::default(),
        });
        let said = play(work, &fs, shared.clone());
        if shared.count.load(Ordering::Relaxed) <= at {
            // It was over before.
            return report;
        }
        if !shared.wrote.load(Ordering::Relaxed) {
            continue;
        }
        report.points += 1;
        let place = format!("{write:?} at operation {at}, said {said:?}");
        // With a mistake planted, the start after it is the real one.
        if let Err(e) = recover(&fs) {
            report.violation(&format!("{work:?}"), &place, &e);
            continue;
        }
        let found = tree(fs.disk().seen());
        if !found.as_ref().is_some_and(|files| files.values().any(|text| text == WROTE)) {
            report.violation(&format!("{work:?}"), &place, &format!("what was written is gone: {found:?}"));
        }
    }
    report
}

/// A file system that somebody else writes to, too.
#[derive(Debug)]
struct Shared {
    inner: ModelFs,
    write: Write,
    at: u64,
    count: AtomicU64,
    wrote: AtomicBool,
    /// Whether what is written from here on is new to the work: an uninstall that is forced takes all that it saw.
    looked: AtomicBool,
    blind: Option<Blind>,
    lists: Mutex<BTreeMap<String, Vec<Entry>>>,
    stats: Mutex<BTreeMap<String, Option<Meta>>>,
}

impl Shared {
    fn tick(&self) {
        let is_now = self.count.fetch_add(1, Ordering::Relaxed) == self.at && self.looked.load(Ordering::Relaxed);
        if is_now && self.write.carry_out(&self.inner).is_ok() {
            self.wrote.store(true, Ordering::Relaxed);
        }
    }

    fn looks_at(&self, path: &FsPath) {
        let place = match self.write {
            Write::New | Write::Missing => local(),
            Write::InPlace => local().child("doom.cfg"),
        };
        if *path == place {
            self.looked.store(true, Ordering::Relaxed);
        }
    }

    /// The place in the install that a path is of, whatever the install is called now.
    fn of_install(path: &FsPath) -> Option<String> {
        let mut parts = path.parts().skip(1);
        let is_install = matches!(parts.next(), Some("local" | ".local.backup"));
        is_install.then(|| parts.collect::<Vec<_>>().join("/"))
    }
}

impl Fs for Shared {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        self.tick();
        let seen = self.inner.stat(path)?;
        if self.write == Write::InPlace {
            self.looks_at(path);
        }
        match Self::of_install(path).filter(|place| self.blind.is_some() && !place.is_empty()) {
            Some(place) if !place.starts_with('.') => {
                Ok(*self.stats.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_insert(seen))
            }
            _ => Ok(seen),
        }
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        self.tick();
        let seen = self.inner.list(dir)?;
        self.looks_at(dir);
        match Self::of_install(dir).filter(|_| self.blind.is_some()) {
            Some(place) => {
                Ok(self.lists.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_insert(seen).clone())
            }
            None => Ok(seen),
        }
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.tick();
        self.inner.open_read(path)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        self.tick();
        self.inner.open_write(path, mode)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.tick();
        let is_over = self.blind == Some(Blind::PutsOver) && self.inner.stat(to)?.is_some();
        if is_over {
            self.inner.remove_file(to)?;
        }
        self.inner.hard_link(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        self.tick();
        self.inner.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.inner.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}
