//! The games folder: what is in it at a glance, without walking into any game.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bonfire_proto::{GameId, RelPath};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::DiskError;
use crate::fs::{EntryName, Fs, FsPath, Kind};
use crate::version;
use crate::walk::{Problem, ProblemKind};

/// Name of the catalog in the games folder.
pub const CATALOG: &str = "catalog.json";
const CATALOG_TMP: &str = ".catalog.json.tmp";
const PROBE: &str = ".bonfire.probe";

/// Largest catalog read, in bytes: 20,000 games of 1 KiB each, and room.
const CATALOG_LEN_MAX: u64 = 64 << 20;

/// Switches that tests turn to reach every path with few files.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// From how many files or folders on they are synced by one call for the whole file system, where that exists.
    pub bulk_sync_from: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        // A sync of one file costs a few milliseconds; one of the whole disk as much as is dirty anywhere on it.
        Self { bulk_sync_from: 64 }
    }
}

/// A games folder. Clones share it.
#[derive(Debug, Clone)]
pub struct GamesFolder {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) fs: Arc<dyn Fs>,
    display: PathBuf,
    pub(crate) tuning: Tuning,
    /// Games that a transaction of this process holds.
    held: Mutex<BTreeSet<GameId>>,
}

impl Inner {
    /// The path as a person knows it.
    pub(crate) fn shown(&self, path: &FsPath) -> PathBuf {
        if path.is_root() { self.display.clone() } else { self.display.join(path.as_str()) }
    }

    pub(crate) fn io(&self, doing: &'static str, path: &FsPath, source: io::Error) -> DiskError {
        DiskError::Io { doing, path: self.shown(path), source }
    }

    pub(crate) fn kind(&self, path: &FsPath) -> Result<Option<Kind>, DiskError> {
        Ok(self.fs.stat(path).map_err(|e| self.io("reading", path, e))?.map(|m| m.kind))
    }

    pub(crate) fn sync_dir(&self, path: &FsPath) -> Result<(), DiskError> {
        self.fs.sync_dir(path).map_err(|e| self.io("syncing", path, e))
    }
}

/// Holds a game for one transaction of this process.
#[derive(Debug)]
pub(crate) struct Held {
    inner: Arc<Inner>,
    game: GameId,
}

impl Held {
    pub(crate) fn take(inner: &Arc<Inner>, game: &GameId) -> Result<Self, DiskError> {
        if !inner.held.lock().unwrap_or_else(PoisonError::into_inner).insert(game.clone()) {
            return Err(DiskError::Busy {
                path: inner.shown(&FsPath::game(game)),
                reason: "another file transaction of this peer has not ended",
            });
        }
        Ok(Self { inner: inner.clone(), game: game.clone() })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.inner.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.game);
    }
}

/// What lies in the games folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Folders that are game roots by their name, sorted.
    pub games: Vec<GameId>,
    /// What else lies there and looks as if it were meant to be a game.
    pub problems: Vec<Problem>,
}

/// What of a game root shows cheaply whether anything in it changed. Equal fingerprints: nothing did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Root `.eti` files, sorted by name: (name, bytes, time of change in ns).
    pub eti: Vec<(String, u64, i64)>,
    /// `version.ini` when it is a regular file: (bytes, time of change in ns).
    pub sentinel: Option<(u64, i64)>,
    /// Whether `local/` is a directory.
    pub installed: bool,
    /// Whether a download or removal is recorded here, running or interrupted.
    pub in_transaction: bool,
}

impl GamesFolder {
    /// The games folder at this path, which must exist.
    ///
    /// # Errors
    /// When it is absent, no folder, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let fs = crate::fs::real(path).map_err(|source| DiskError::Io {
            doing: "opening the games folder",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self::over(fs, path.to_owned()))
    }

    /// A games folder over any file system; `display` is how its paths are shown.
    #[must_use]
    pub fn over(fs: Arc<dyn Fs>, display: PathBuf) -> Self {
        Self::tuned(fs, display, Tuning::default())
    }

    /// As `over`, with switches for tests.
    #[must_use]
    pub fn tuned(fs: Arc<dyn Fs>, display: PathBuf, tuning: Tuning) -> Self {
        Self { inner: Arc::new(Inner { fs, display, tuning, held: Mutex::default() }) }
    }

    /// The path as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.display
    }

    /// Bytes that this user may still write here.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn free_space(&self) -> Result<u64, DiskError> {
        self.inner.fs.free_space().map_err(|e| self.inner.io("asking for free space of", &FsPath::root(), e))
    }

    /// Writes and removes a scratch file.
    ///
    /// # Errors
    /// Why the folder cannot be written.
    pub fn is_writable(&self) -> Result<(), DiskError> {
        let probe = FsPath::root().child(PROBE);
        let fs = &*self.inner.fs;
        atomic::write_synced(fs, &probe, b"bonfire\n").map_err(|e| self.inner.io("writing", &probe, e))?;
        fs.remove_file(&probe).map_err(|e| self.inner.io("removing", &probe, e))
    }

    /// The games by folder name. Walks into none of them.
    ///
    /// # Errors
    /// When the folder cannot be listed: never an incomplete list.
    pub fn games(&self) -> Result<Listing, DiskError> {
        let root = FsPath::root();
        let entries = self.inner.fs.list(&root).map_err(|e| self.inner.io("listing", &root, e))?;
        let mut out = Listing::default();
        // Folded name -> whether taken by a game listed before.
        let mut folded: std::collections::BTreeMap<String, GameId> = std::collections::BTreeMap::new();
        for entry in entries {
            let name = match entry.name {
                EntryName::Utf8(n) => n,
                EntryName::Unrepresentable(n) => {
                    if entry.kind == Kind::Dir {
                        out.problems.push(Problem::new(n, ProblemKind::NotUtf8));
                    }
                    continue;
                }
            };
            match entry.kind {
                Kind::Dir if name.starts_with('.') => {}
                Kind::Dir => match GameId::new(name.as_str()) {
                    Ok(id) => {
                        let key = RelPath::new(name.as_str()).map_or_else(|_| name.clone(), |p| p.folded());
                        if let Some(first) = folded.get(&key) {
                            out.problems.push(Problem::new(name, ProblemKind::Collides(first.to_string())));
                        } else {
                            folded.insert(key, id.clone());
                            out.games.push(id);
                        }
                    }
                    Err(e) => out.problems.push(Problem::new(name, ProblemKind::IllegalName(e.to_string()))),
                },
                Kind::Link if !name.starts_with('.') => out.problems.push(Problem::new(name, ProblemKind::Link)),
                // Files beside the games (the catalog, notes) are nobody's problem.
                Kind::File | Kind::Link | Kind::Other => {}
            }
        }
        Ok(out)
    }

    /// The fingerprint of a game root; `None` when there is no such folder. Reads the root folder alone.
    ///
    /// # Errors
    /// Whatever the disk reports.
    pub fn fingerprint(&self, game: &GameId) -> Result<Option<Fingerprint>, DiskError> {
        let inner = &*self.inner;
        let root = FsPath::game(game);
        match inner.kind(&root)? {
            Some(Kind::Dir) => {}
            _ => return Ok(None),
        }
        let entries = match inner.fs.list(&root) {
            Ok(e) => e,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(inner.io("listing", &root, e)),
        };
        let mut out = Fingerprint { eti: Vec::new(), sentinel: None, installed: false, in_transaction: false };
        for entry in entries {
            let EntryName::Utf8(name) = entry.name else { continue };
            let is_eti = name.len() > 4 && name.as_bytes()[name.len() - 4..].eq_ignore_ascii_case(b".eti");
            match (name.as_str(), entry.kind) {
                ("local", Kind::Dir) => out.installed = true,
                (crate::journal::NAME, _) => out.in_transaction = true,
                (n, Kind::File) if is_eti || n == bonfire_proto::game::SENTINEL => {
                    let path = root.child(n);
                    let meta = inner.fs.stat(&path).map_err(|e| inner.io("reading", &path, e))?;
                    // Gone since it was listed: what is told of it is then that it is not there.
                    let Some(meta) = meta.filter(|m| m.kind == Kind::File) else { continue };
                    if is_eti {
                        out.eti.push((name, meta.len, meta.mtime_ns));
                    } else {
                        out.sentinel = Some((meta.len, meta.mtime_ns));
                    }
                }
                _ => {}
            }
        }
        Ok(Some(out))
    }

    /// The bytes of the catalog, `None` when there is none.
    ///
    /// # Errors
    /// Whatever the disk reports; longer than 64 MiB.
    pub fn catalog_read(&self) -> Result<Option<Vec<u8>>, DiskError> {
        let path = FsPath::root().child(CATALOG);
        atomic::read_small(&*self.inner.fs, &path, CATALOG_LEN_MAX).map_err(|e| self.inner.io("reading", &path, e))
    }

    /// Replaces the catalog, durably: a crash leaves the old or the new one.
    ///
    /// # Errors
    /// Whatever the disk reports; the old catalog is then still there.
    pub fn catalog_write(&self, bytes: &[u8]) -> Result<(), DiskError> {
        let (tmp, path) = (FsPath::root().child(CATALOG_TMP), FsPath::root().child(CATALOG));
        atomic::replace(&*self.inner.fs, &tmp, &path, bytes).map_err(|e| self.inner.io("writing", &path, e))
    }

    /// Makes a `version.ini` in a game root that has none, durably. For putting a folder into the catalog by hand.
    ///
    /// # Errors
    /// `InTheWay` when there is one already, of whatever kind; `Busy` when a transaction is recorded there.
    pub fn write_version_ini(&self, game: &GameId, text: &str) -> Result<(), DiskError> {
        let inner = &*self.inner;
        let _held = Held::take(&self.inner, game)?;
        let root = FsPath::game(game);
        let path = root.child(bonfire_proto::game::SENTINEL);
        match inner.kind(&root)? {
            Some(Kind::Dir) => {}
            _ => return Err(DiskError::NotFound { what: "game folder", path: inner.shown(&root) }),
        }
        if inner.kind(&root.child(crate::journal::NAME))?.is_some() {
            return Err(DiskError::Busy { path: inner.shown(&root), reason: "a download is recorded there" });
        }
        if inner.kind(&path)?.is_some() {
            return Err(DiskError::InTheWay { path: inner.shown(&path), what: "another version.ini" });
        }
        atomic::replace(&*inner.fs, &root.child(version::TMP), &path, text.as_bytes())
            .map_err(|e| inner.io("writing", &path, e))
    }

    /// The version that `version.ini` of a game states; `None` when it is no regular file.
    ///
    /// # Errors
    /// Whatever the disk reports; longer than `SENTINEL_LEN_MAX`.
    pub fn read_version(&self, game: &GameId) -> Result<Option<String>, DiskError> {
        let path = FsPath::game(game).child(bonfire_proto::game::SENTINEL);
        match self.inner.kind(&path)? {
            Some(Kind::File) => {}
            _ => return Ok(None),
        }
        let bytes = atomic::read_small(&*self.inner.fs, &path, bonfire_proto::limits::SENTINEL_LEN_MAX)
            .map_err(|e| self.inner.io("reading", &path, e))?;
        Ok(bytes.map(|b| version::parse(&b)))
    }

    /// Removes what an interrupted write of the catalog or a probe left at the top.
    ///
    /// What cannot be removed stays: a folder that cannot be written still holds games to share. Anything but a file
    /// under these names is not ours.
    pub(crate) fn sweep_top(&self) {
        for name in [CATALOG_TMP, PROBE] {
            let path = FsPath::root().child(name);
            let swept = match self.inner.fs.stat(&path) {
                Ok(Some(m)) if m.kind == Kind::File => atomic::remove_if_there(&*self.inner.fs, &path).map(|_| ()),
                Ok(_) => Ok(()),
                Err(e) => Err(e),
            };
            if let Err(e) = swept {
                tracing::warn!(path = %self.inner.shown(&path).display(), error = %e, "scratch could not be removed");
            }
        }
    }
}
