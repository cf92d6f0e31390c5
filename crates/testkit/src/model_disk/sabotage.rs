//! Planted bugs: the product's code over a file system that skips or reorders one kind of step, as a bug in that code
//! would. The explorer has to notice every one of them.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_disk::fs::{Entry, Fs, FsFile, FsPath, Meta, OpenMode, write_all_at};

use super::scenario::GAME;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// Payload is not synced before it counts.
    PayloadNotSynced,
    /// Folders beneath the game root are not synced.
    PayloadFolderNotSynced,
    /// The game root is not synced.
    RootNotSynced,
    /// The games folder is not synced after a game root was made.
    GamesFolderNotSynced,
    /// The staged sentinel is renamed before it is synced.
    StagedSentinelNotSynced,
    /// The sentinel is there before the payload is.
    SentinelFirst,
    /// The sentinel is written in place instead of renamed.
    SentinelInPlace,
    /// The old sentinel stays while its files change.
    OldSentinelKept,
    /// The name of the old sentinel is not durably gone before its files change.
    ParkingNotSynced,
    /// The old sentinel goes before anything is on record.
    ParkedBeforeJournal,
    /// The journal's header is not synced before it gets its name.
    JournalHeaderNotSynced,
    /// Records are appended to the journal without a sync.
    JournalNotSynced,
    /// Records go before the sentinel is in place.
    RecordsDroppedFirst,
    /// Chunks count as verified before their bytes are synced.
    BitsBeforeBytes,
    /// A cancel is not on record.
    CancelNotRecorded,
    /// Chunks that were lost are not taken back on record.
    LossNotRecorded,
    /// The records of a cancel go before its files.
    RecordsDroppedBeforeSweep,
    /// The new catalog is renamed before it is synced.
    CatalogNotSynced,
    /// The catalog is written in place.
    CatalogInPlace,
    /// The found files of others count as ours.
    FoundFilesTaken,
    /// A file that was changed by somebody counts as what it was.
    ChangesNotSeen,
    /// A file with another name elsewhere is written in place.
    HardLinksIgnored,
    /// A sync that failed is taken as done.
    FailedSyncIgnored,
    /// A sync of everything that failed is taken as done.
    FailedBulkSyncIgnored,
    /// Everything is synced on the file system of the games folder, whatever the game lies on.
    BulkSyncElsewhere,
    /// The intent is not written.
    NoIntent,
    /// The intent is not synced.
    IntentNotSynced,
    /// The note of what was downloaded is renamed before it is synced.
    NoteNotSynced,
    /// The note is written in place.
    NoteInPlace,
    /// The sentinel is there before the note is.
    NoteAfterSentinel,
    /// The note stays when its files go.
    NoteOutlivesGame,
    /// The end of a download is told while the disk still keeps the sentinel back.
    EndToldBeforeCommit,
    /// A folder that cannot be listed counts as empty.
    ListErrorSwallowed,
    /// A name that cannot be looked up counts as absent.
    StatErrorSwallowed,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::PayloadNotSynced,
        Self::PayloadFolderNotSynced,
        Self::RootNotSynced,
        Self::GamesFolderNotSynced,
        Self::StagedSentinelNotSynced,
        Self::SentinelFirst,
        Self::SentinelInPlace,
        Self::OldSentinelKept,
        Self::ParkingNotSynced,
        Self::ParkedBeforeJournal,
        Self::JournalHeaderNotSynced,
        Self::JournalNotSynced,
        Self::RecordsDroppedFirst,
        Self::BitsBeforeBytes,
        Self::CancelNotRecorded,
        Self::LossNotRecorded,
        Self::RecordsDroppedBeforeSweep,
        Self::CatalogNotSynced,
        Self::CatalogInPlace,
        Self::FoundFilesTaken,
        Self::ChangesNotSeen,
        Self::HardLinksIgnored,
        Self::FailedSyncIgnored,
        Self::FailedBulkSyncIgnored,
        Self::BulkSyncElsewhere,
        Self::NoIntent,
        Self::IntentNotSynced,
        Self::NoteNotSynced,
        Self::NoteInPlace,
        Self::NoteAfterSentinel,
        Self::NoteOutlivesGame,
        Self::EndToldBeforeCommit,
        Self::ListErrorSwallowed,
        Self::StatErrorSwallowed,
    ];

    /// The scenario in which it is likely to show first, to save time: all are tried when it does not.
    #[must_use]
    pub fn shows_in(self) -> &'static str {
        match self {
            Self::OldSentinelKept | Self::ParkingNotSynced | Self::ParkedBeforeJournal | Self::StatErrorSwallowed => {
                "update"
            }
            Self::CancelNotRecorded | Self::RecordsDroppedBeforeSweep => "cancel_fresh",
            Self::LossNotRecorded => "resume_after_loss",
            Self::CatalogNotSynced | Self::CatalogInPlace => "catalog",
            Self::FoundFilesTaken => "found",
            Self::ChangesNotSeen => "resume_after_change",
            Self::HardLinksIgnored => "update_of_shared_files",
            Self::BulkSyncElsewhere => "update_elsewhere",
            Self::FailedBulkSyncIgnored => "update",
            Self::NoteOutlivesGame => "remove_downloaded",
            Self::NoIntent => "cancel_on_a_full_disk",
            Self::ListErrorSwallowed => "remove",
            _ => "fresh",
        }
    }

    /// Whether it shows only where everything can be synced at once.
    #[must_use]
    pub fn needs_bulk(self) -> bool {
        matches!(self, Self::BulkSyncElsewhere | Self::FailedBulkSyncIgnored)
    }

    /// Whether it shows only when the disk reports errors.
    #[must_use]
    pub fn needs_errors(self) -> bool {
        matches!(
            self,
            Self::FailedSyncIgnored | Self::FailedBulkSyncIgnored | Self::ListErrorSwallowed | Self::StatErrorSwallowed
        )
    }
}

const JOURNAL: &str = ".bonfire.part";
const JOURNAL_TMP: &str = ".bonfire.part.tmp";
const INTENT: &str = ".lanspread.json";
const INTENT_TMP: &str = ".lanspread.json.tmp";
const SENTINEL: &str = "version.ini";
const STAGED: &str = ".version.ini.tmp";
const PARKED: &str = ".version.ini.discarded";
const NOTE: &str = ".bonfire.download";
const NOTE_TMP: &str = ".bonfire.download.tmp";
const CATALOG_TMP: &str = ".catalog.json.tmp";

/// A file system with a bug in front of it.
#[derive(Debug, Clone)]
pub struct Sabotage {
    inner: Arc<dyn Fs>,
    ctx: Arc<Context>,
}

#[derive(Debug)]
struct Context {
    bug: Bug,
    fired: Arc<AtomicU64>,
    late: Mutex<Vec<Arc<dyn FsFile>>>,
}

impl Sabotage {
    /// The file system with this bug; `fired` counts how often it did harm.
    #[must_use]
    pub fn new(inner: Arc<dyn Fs>, bug: Bug, fired: Arc<AtomicU64>) -> Self {
        Self { inner, ctx: Arc::new(Context { bug, fired, late: Mutex::default() }) }
    }

    fn is(&self, bug: Bug) -> bool {
        self.ctx.bug == bug
    }

    fn file(&self, path: &FsPath, file: io::Result<Box<dyn FsFile>>) -> io::Result<Box<dyn FsFile>> {
        let file = Arc::from(file?);
        Ok(Box::new(SabotagedFile { fs: self.clone(), path: path.clone(), file }))
    }

    fn copy_in_place(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        let source = self.inner.open_read(from)?;
        let mut bytes = vec![0; usize::try_from(source.stat()?.len).unwrap_or(0)];
        bonfire_disk::fs::read_full_at(&*source, &mut bytes, 0)?;
        let target = self.inner.open_write(to, OpenMode::Either)?;
        target.set_len(0)?;
        write_all_at(&*target, &bytes, 0)
    }
}

impl Context {
    fn fire(&self) {
        self.fired.fetch_add(1, Ordering::Relaxed);
    }
}

/// A file of a game that is neither a record nor scratch nor a marker.
fn is_payload(path: &FsPath) -> bool {
    let mut parts = path.parts();
    parts.next() == Some(GAME) && parts.next().is_some_and(|n| !n.starts_with('.') && n != SENTINEL && n != "local")
}

fn in_game(name: &str) -> FsPath {
    FsPath::root().child(GAME).child(name)
}

impl Fs for Sabotage {
    fn stat(&self, path: &FsPath) -> io::Result<Option<Meta>> {
        match self.inner.stat(path) {
            Err(_) if self.is(Bug::StatErrorSwallowed) => {
                self.ctx.fire();
                Ok(None)
            }
            Ok(Some(_)) if self.is(Bug::FoundFilesTaken) && *path == in_game("b.eti") && self.beginning()? => {
                self.ctx.fire();
                Ok(None)
            }
            Ok(Some(meta)) if self.is(Bug::ChangesNotSeen) => {
                self.ctx.fire();
                Ok(Some(Meta { mtime_ns: 0, ..meta }))
            }
            other => other,
        }
    }

    fn list(&self, dir: &FsPath) -> io::Result<Vec<Entry>> {
        match self.inner.list(dir) {
            Err(_) if self.is(Bug::ListErrorSwallowed) => {
                self.ctx.fire();
                Ok(Vec::new())
            }
            other => other,
        }
    }

    fn create_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.create_dir(path)
    }

    fn open_read(&self, path: &FsPath) -> io::Result<Box<dyn FsFile>> {
        self.file(path, self.inner.open_read(path))
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let parked_early = self.is(Bug::ParkedBeforeJournal) && path.name() == JOURNAL_TMP;
        if parked_early && self.inner.stat(&in_game(SENTINEL))?.is_some() {
            self.ctx.fire();
            self.inner.rename(&in_game(SENTINEL), &in_game(PARKED))?;
            self.inner.sync_dir(&FsPath::root().child(GAME))?;
        }
        if self.is(Bug::FoundFilesTaken) && mode == OpenMode::New && self.inner.stat(path)?.is_some() {
            return self.file(path, self.inner.open_write(path, OpenMode::Either));
        }
        self.file(path, self.inner.open_write(path, mode))
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        if self.is(Bug::NoIntent) && to.name() == INTENT {
            self.ctx.fire();
            return self.inner.remove_file(from);
        }
        let put_in_place = from.name() == STAGED && to.name() == SENTINEL;
        if self.is(Bug::NoteAfterSentinel) && to.name() == NOTE {
            self.ctx.fire();
            return Ok(());
        }
        if self.is(Bug::NoteAfterSentinel) && put_in_place && self.inner.stat(&in_game(NOTE_TMP))?.is_some() {
            self.inner.rename(from, to)?;
            self.inner.sync_dir(&FsPath::root().child(GAME))?;
            return self.inner.rename(&in_game(NOTE_TMP), &in_game(NOTE));
        }
        if self.is(Bug::OldSentinelKept) && to.name() == PARKED {
            self.ctx.fire();
            return Ok(());
        }
        if self.is(Bug::RecordsDroppedFirst) && put_in_place {
            self.ctx.fire();
            for name in [INTENT, JOURNAL] {
                if self.inner.stat(&in_game(name))?.is_some() {
                    self.inner.remove_file(&in_game(name))?;
                }
            }
            self.inner.sync_dir(&FsPath::root().child(GAME))?;
        }
        if (self.is(Bug::SentinelInPlace) && put_in_place)
            || (self.is(Bug::CatalogInPlace) && from.name() == CATALOG_TMP)
            || (self.is(Bug::NoteInPlace) && to.name() == NOTE)
        {
            self.ctx.fire();
            self.copy_in_place(from, to)?;
            return self.inner.remove_file(from);
        }
        self.inner.rename(from, to)
    }

    fn remove_file(&self, path: &FsPath) -> io::Result<()> {
        if self.is(Bug::NoteOutlivesGame) && path.name() == NOTE {
            self.ctx.fire();
            return Ok(());
        }
        let sweeping = self.is(Bug::RecordsDroppedBeforeSweep) && is_payload(path);
        if sweeping && self.inner.stat(&in_game(JOURNAL))?.is_some() && self.inner.stat(&in_game(PARKED))?.is_none() {
            self.ctx.fire();
            for name in [INTENT, JOURNAL] {
                if self.inner.stat(&in_game(name))?.is_some() {
                    self.inner.remove_file(&in_game(name))?;
                }
            }
            self.inner.sync_dir(&FsPath::root().child(GAME))?;
        }
        self.inner.remove_file(path)
    }

    fn remove_dir(&self, path: &FsPath) -> io::Result<()> {
        self.inner.remove_dir(path)
    }

    fn names_may_change(&self, dir: &FsPath) -> io::Result<()> {
        self.inner.names_may_change(dir)
    }

    fn sync_dir(&self, path: &FsPath) -> io::Result<()> {
        let depth = path.parts().count();
        let parked = || Ok::<_, io::Error>(self.inner.stat(&in_game(PARKED))?.is_some());
        let skip = match self.ctx.bug {
            Bug::PayloadFolderNotSynced => depth > 1,
            Bug::RootNotSynced => depth == 1,
            Bug::GamesFolderNotSynced => depth == 0,
            Bug::ParkingNotSynced => depth == 1 && parked()?,
            Bug::EndToldBeforeCommit => depth == 1 && self.inner.stat(&in_game(SENTINEL))?.is_some(),
            _ => false,
        };
        if skip {
            self.ctx.fire();
            return Ok(());
        }
        match self.inner.sync_dir(path) {
            Err(_) if self.is(Bug::FailedSyncIgnored) => {
                self.ctx.fire();
                Ok(())
            }
            other => other,
        }
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        if self.is(Bug::BulkSyncElsewhere) {
            self.ctx.fire();
            return self.inner.sync_everything(&FsPath::root());
        }
        // A bug in single syncs would hide behind it.
        if !self.ctx.bug.needs_bulk() {
            return Ok(false);
        }
        match self.inner.sync_everything(path) {
            Err(_) if self.is(Bug::FailedBulkSyncIgnored) => {
                self.ctx.fire();
                Ok(true)
            }
            other => other,
        }
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}

impl Sabotage {
    /// Whether the journal is not there yet.
    fn beginning(&self) -> io::Result<bool> {
        Ok(self.inner.stat(&in_game(JOURNAL))?.is_none())
    }
}

#[derive(Debug)]
struct SabotagedFile {
    fs: Sabotage,
    path: FsPath,
    file: Arc<dyn FsFile>,
}

impl SabotagedFile {
    fn is_journal(&self) -> bool {
        self.path.name() == JOURNAL
    }
}

impl FsFile for SabotagedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let cancelled = bytes.get(12..14) == Some(&[b's', 3]);
        if self.fs.is(Bug::CancelNotRecorded) && self.is_journal() && cancelled {
            self.fs.ctx.fire();
            return Ok(bytes.len());
        }
        if self.fs.is(Bug::LossNotRecorded) && self.is_journal() {
            let (mut bytes, len) = (bytes.to_vec(), bytes.len());
            if turn_loss_into_gain(&mut bytes) {
                self.fs.ctx.fire();
            }
            write_all_at(&*self.file, &bytes, offset)?;
            return Ok(len);
        }
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<bool> {
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        let (fs, name) = (&self.fs, self.path.name());
        let skip = match fs.ctx.bug {
            Bug::PayloadNotSynced => is_payload(&self.path),
            Bug::StagedSentinelNotSynced => name == STAGED,
            Bug::JournalHeaderNotSynced => name == JOURNAL_TMP,
            Bug::JournalNotSynced => self.is_journal(),
            Bug::IntentNotSynced => name == INTENT_TMP,
            Bug::CatalogNotSynced => name == CATALOG_TMP,
            Bug::NoteNotSynced => name == NOTE_TMP,
            _ => false,
        };
        if skip {
            fs.ctx.fire();
            return Ok(());
        }
        if fs.is(Bug::BitsBeforeBytes) && is_payload(&self.path) {
            fs.ctx.fire();
            fs.ctx.late.lock().unwrap_or_else(PoisonError::into_inner).push(self.file.clone());
            return Ok(());
        }
        let result = self.file.sync();
        if fs.is(Bug::BitsBeforeBytes) && self.is_journal() {
            for late in fs.ctx.late.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                late.sync()?;
            }
        }
        if fs.is(Bug::SentinelFirst) && name == STAGED {
            fs.ctx.fire();
            fs.copy_in_place(&self.path, &in_game(SENTINEL))?;
            fs.inner.open_write(&in_game(SENTINEL), OpenMode::Existing)?.sync()?;
            fs.inner.sync_dir(&FsPath::root().child(GAME))?;
        }
        match result {
            Err(_) if fs.is(Bug::FailedSyncIgnored) => {
                fs.ctx.fire();
                Ok(())
            }
            other => other,
        }
    }

    fn links(&self) -> io::Result<u64> {
        if self.fs.is(Bug::HardLinksIgnored) {
            self.fs.ctx.fire();
            return Ok(1);
        }
        self.file.links()
    }

    fn stat(&self) -> io::Result<Meta> {
        self.file.stat()
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.file.set_mtime(ms)
    }
}

/// Rewrites records that take chunks back into records that count them, with a check that fits.
fn turn_loss_into_gain(frames: &mut [u8]) -> bool {
    let (mut at, mut any) = (0, false);
    while let Some(head) = frames.get(at..at + 13) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let end = at + 12 + len;
        if head[12] == b'u' && end <= frames.len() {
            frames[at + 12] = b'v';
            let mut h = blake3::Hasher::new();
            h.update(&frames[at..at + 4]).update(&frames[at + 12..end]);
            frames[at + 4..at + 12].copy_from_slice(&h.finalize().as_bytes()[..8]);
            any = true;
        }
        at = end;
    }
    any
}
