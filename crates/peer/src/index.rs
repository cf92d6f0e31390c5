//! The index of the games folder: what was read once is not read again while its fingerprint stands.
//!
//! Owns the cache between disk and database. What a difference means for the library is the engine's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bonfire_disk::{DiskError, FileStamp, Fingerprint, Sentinel, Walked, WalkedFile, Watches};
use bonfire_engine::Report;
use bonfire_engine::input::{GameFacts, Input, Persist, Scanned};
use bonfire_proto::{ContentHash, Digest, GameId, Manifest, ManifestFile, ManifestHash, RelPath};
use bonfire_store::{FileHashes, FileRow, IndexRow, LibraryCommit};
use tokio::sync::mpsc;

use crate::conns;
use crate::errors;
use crate::task::Event;
use crate::world::World;

mod downloaded;

use downloaded::is_version;

/// A file whose content is known.
#[derive(Debug, Clone)]
pub(crate) struct KnownFile {
    pub(crate) path: RelPath,
    pub(crate) stamp: FileStamp,
    pub(crate) blake3: Digest,
    pub(crate) chunks: Vec<Digest>,
}

/// A game of which every file was read, under the list that it then had.
#[derive(Debug, Clone)]
pub(crate) struct HashedGame {
    pub(crate) game: GameId,
    pub(crate) manifest_hash: ManifestHash,
    pub(crate) files: Vec<KnownFile>,
}

#[derive(Debug, Clone)]
struct Entry {
    seen: SeenRow,
    facts: GameFacts,
}

#[derive(Debug, Default)]
struct Cache {
    entries: BTreeMap<GameId, Entry>,
    /// Rows that the next `persist` of their game stores.
    pending: BTreeMap<GameId, IndexRow>,
    /// Content that a download left, until its rows are stored.
    fresh: BTreeMap<GameId, Vec<KnownFile>>,
    /// Games in which something changed that their fingerprint need not show.
    distrusted: BTreeSet<GameId>,
    /// How often each game's file list was stored.
    stored: BTreeMap<GameId, u64>,
}

/// What a look at the folder found.
#[derive(Debug, Default)]
struct Read {
    games: BTreeMap<GameId, Option<GameFacts>>,
    walked: BTreeSet<GameId>,
    problems: Vec<String>,
}

/// The index; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    world: World,
    cache: Arc<Mutex<Cache>>,
    watches: Arc<OnceLock<Watches>>,
}

impl Index {
    /// The index as stored.
    pub(crate) fn load(world: World) -> Result<Self, Report> {
        let rows = world.database.with(|s| s.index()).map_err(|e| errors::store(&e))?;
        let mut entries = BTreeMap::new();
        for row in rows {
            let expected = downloaded::expected(&world, &row.game, &row.version)?;
            let Ok(seen) = serde_json::from_str::<SeenRow>(&row.fingerprint) else {
                // Written by another version: read anew, as if it had never been seen.
                continue;
            };
            let facts = GameFacts {
                version: row.version,
                size: row.size,
                files: seen.files,
                downloaded: seen.downloaded,
                installed: seen.installed,
                installed_version: None,
                manifest_hash: row.manifest_hash,
                content_hash: row.content_hash,
                expected,
                problems: row.problems,
            };
            entries.insert(row.game, Entry { seen, facts });
        }
        let cache = Cache { entries, ..Cache::default() };
        Ok(Self { world, cache: Arc::new(Mutex::new(cache)), watches: Arc::default() })
    }

    /// Has the folders that walks come by watched from here on. To be called once.
    pub(crate) fn watch_with(&self, watches: Watches) {
        self.watches.get_or_init(|| watches);
    }

    /// The folders within each game as they were when it was last walked.
    pub(crate) fn known_folders(&self) -> Vec<(GameId, Vec<RelPath>)> {
        let cache = self.lock();
        let known = cache.entries.iter().filter(|(_, e)| !e.seen.folders.is_empty());
        known.map(|(game, e)| (game.clone(), e.seen.folders.clone())).collect()
    }

    /// Reads one game's folder, or all, and tells the engine.
    pub(crate) async fn scan(self, scope: Option<GameId>, events: mpsc::Sender<Event>) {
        let index = self.clone();
        let asked = scope.clone();
        let read = self.world.blocking.run(move || index.read(asked.as_ref())).await;
        let (games, walked, problems) = match read.and_then(|r| r) {
            Ok(read) => (Ok(read.games), read.walked, read.problems),
            Err(error) => (Err(error), BTreeSet::new(), Vec::new()),
        };
        conns::send(&events, Event::Input(Input::Scanned(Scanned { scope, games, walked, problems }))).await;
    }

    fn read(&self, scope: Option<&GameId>) -> Result<Read, Report> {
        let mut read = Read::default();
        let ids = match scope {
            Some(game) => vec![game.clone()],
            None => {
                let listing = self.world.folder.games().map_err(|e| folder_error(&e))?;
                read.problems = listing.problems.iter().map(ToString::to_string).collect();
                listing.games
            }
        };
        for game in ids {
            let facts = match self.read_game(&game, &mut read.walked) {
                Ok(facts) => facts,
                Err(error) if scope.is_some() => return Err(error),
                Err(error) => {
                    let known = self.unreadable(&game, &error);
                    if known.is_none() {
                        // Nothing is known of it that could be shown with the error: it must not pass for a game that is gone.
                        read.problems.push(format!("{game}: {}", error.message));
                    }
                    known
                }
            };
            read.games.insert(game, facts);
        }
        tracing::debug!("scan: {} games, {} walked", read.games.len(), read.walked.len());
        Ok(read)
    }

    /// One unreadable game must not hide the others; what was known of it stands, but for what its root still says: without
    /// a sentinel nothing is downloaded, whatever it was before.
    fn unreadable(&self, game: &GameId, error: &Report) -> Option<GameFacts> {
        let mut facts = self.lock().entries.get(game).map(|e| e.facts.clone())?;
        facts.problems = vec![error.message.clone()];
        if let Ok(Some(seen)) = self.world.folder.fingerprint(game) {
            facts.downloaded &= seen.sentinel.is_some();
            facts.installed = seen.installed;
        }
        Some(facts)
    }

    /// Read anew each time: it is the beginning of one file.
    fn installed_version(&self, game: &GameId, installed: bool) -> Result<Option<String>, Report> {
        if !installed {
            return Ok(None);
        }
        self.world.folder.installed_version(game).map_err(|e| errors::disk(&e))
    }

    fn read_game(&self, game: &GameId, walked_now: &mut BTreeSet<GameId>) -> Result<Option<GameFacts>, Report> {
        let folder = &self.world.folder;
        let Some(fingerprint) = folder.fingerprint(game).map_err(|e| errors::disk(&e))? else {
            let mut cache = self.lock();
            cache.entries.remove(game);
            cache.pending.remove(game);
            cache.distrusted.remove(game);
            return Ok(None);
        };
        let mut kept = None;
        {
            let mut cache = self.lock();
            // What changes from here on is for the next scan.
            let distrusted = cache.distrusted.remove(game);
            if let Some(entry) = cache.entries.get(game)
                && !distrusted
                && !cache.fresh.contains_key(game)
                && entry.seen.fingerprint == fingerprint
            {
                kept = Some(entry.facts.clone());
            }
        }
        if let Some(facts) = kept {
            // An update leaves no trace in what makes a fingerprint.
            let installed_version = self.installed_version(game, facts.installed)?;
            return Ok(Some(GameFacts { installed_version, ..facts }));
        }
        walked_now.insert(game.clone());
        let mut folders = Vec::new();
        let mut passing = |folder: &RelPath| {
            if let Some(watches) = self.watches.get() {
                watches.add(game, folder);
            }
            folders.push(folder.clone());
        };
        let walked = folder.walk_telling(game, &mut passing).map_err(|e| errors::disk(&e));
        let walked = walked.inspect_err(|_| self.distrust(game))?;
        let known = self.known_content(game);
        let (files, private) = self.of_the_game(game, &walked).inspect_err(|_| self.distrust(game))?;
        let rows: Vec<FileRow> = files
            .into_iter()
            .map(|f| FileRow {
                path: f.path.clone(),
                size: f.size,
                mtime_ns: f.mtime_ns,
                blake3: known.get(&f.path).filter(|(stamp, _)| *stamp == f.stamp()).map(|(_, hash)| *hash),
            })
            .collect();
        let files =
            rows.iter().map(|r| ManifestFile { path: r.path.clone(), size: r.size, blake3: r.blake3 }).collect();
        let manifest = Manifest::new(game.clone(), walked.eti_version.clone(), files);
        let mut problems: Vec<String> = walked.problems.iter().map(ToString::to_string).collect();
        if walked.sentinel == Sentinel::NotRegular {
            problems.push("version.ini is not a regular file, so the game does not count as downloaded".to_owned());
        }
        if let Some(first) = private.first() {
            let more = private.len() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            problems.push(format!("{first}{more} did not come with this version: kept here, shared with nobody"));
        }
        let facts = GameFacts {
            version: walked.eti_version,
            size: manifest.size(),
            files: manifest.files.len() as u64,
            downloaded: walked.sentinel == Sentinel::Regular,
            installed: walked.installed,
            installed_version: self.installed_version(game, walked.installed)?,
            manifest_hash: manifest.manifest_hash,
            content_hash: manifest.content_hash,
            expected: self.expected_or_none(game, &manifest.eti_version),
            problems,
        };
        let seen = SeenRow {
            fingerprint,
            files: facts.files,
            downloaded: facts.downloaded,
            installed: facts.installed,
            folders,
        };
        let row = IndexRow {
            game: game.clone(),
            fingerprint: seen.text(),
            version: facts.version.clone(),
            size: facts.size,
            manifest_hash: facts.manifest_hash,
            content_hash: facts.content_hash,
            files: Some(rows),
            problems: facts.problems.clone(),
        };
        let mut cache = self.lock();
        cache.entries.insert(game.clone(), Entry { seen, facts: facts.clone() });
        cache.pending.insert(game.clone(), row);
        Ok(Some(facts))
    }

    /// The files that are this version of the game, and the others. What lies beside the files of a download is a
    /// person's own (a save, a note): it must neither leave this machine nor make its copy another than the room's. A
    /// game that was put here by hand is all of its files.
    ///
    /// Not to know what was downloaded fails the reading: it must not make a person's files part of the game.
    fn of_the_game<'a>(
        &self,
        game: &GameId,
        walked: &'a Walked,
    ) -> Result<(Vec<&'a WalkedFile>, Vec<&'a RelPath>), Report> {
        let downloaded = self.downloaded_as(game)?.filter(|m| is_version(m, walked));
        let (ours, others): (Vec<_>, Vec<_>) =
            walked.files.iter().partition(|f| downloaded.as_ref().is_none_or(|m| m.file(&f.path).is_some()));
        Ok((ours, others.into_iter().map(|f| &f.path).collect()))
    }

    /// Has the next scan list a game's files anew: something in it changed, which its fingerprint need not show.
    pub(crate) fn distrust(&self, game: &GameId) {
        self.lock().distrusted.insert(game.clone());
    }

    /// Has the next scan list every game's files anew.
    pub(crate) fn distrust_all(&self) {
        let mut cache = self.lock();
        let all: Vec<GameId> = cache.entries.keys().cloned().collect();
        cache.distrusted.extend(all);
    }

    /// Has a file whose hash is known without the digests of its chunks read again: it could not be served as it is.
    pub(crate) fn forget_hash(&self, game: &GameId, path: &RelPath) -> Result<(), Report> {
        self.world.database.with(|s| s.forget_hash(game, path)).map_err(|e| errors::store(&e))?;
        self.distrust(game);
        Ok(())
    }

    /// Content known of a game's files, by path: from the last download, else from the database.
    fn known_content(&self, game: &GameId) -> BTreeMap<RelPath, (FileStamp, Digest)> {
        if let Some(fresh) = self.lock().fresh.get(game) {
            return fresh.iter().map(|f| (f.path.clone(), (f.stamp, f.blake3))).collect();
        }
        match self.world.database.with(|s| s.files(game)) {
            Ok(rows) => rows
                .into_iter()
                .filter_map(|r| Some((r.path, (FileStamp { size: r.size, mtime_ns: r.mtime_ns }, r.blake3?))))
                .collect(),
            Err(error) => {
                // Only speed is lost: the files are hashed again.
                tracing::warn!("known hashes of {game} cannot be read: {}", errors::chain(&error));
                BTreeMap::new()
            }
        }
    }

    /// Stores what the engine wants durable, in one transaction.
    pub(crate) async fn persist(&self, persist: Persist) -> Result<(), Report> {
        let index = self.clone();
        self.world.blocking.run(move || index.store(&persist)).await?
    }

    fn store(&self, persist: &Persist) -> Result<(), Report> {
        let (rows, fresh) = {
            let mut cache = self.lock();
            let rows: Vec<IndexRow> = persist.index.iter().filter_map(|g| cache.pending.remove(g)).collect();
            let fresh: Vec<_> =
                rows.iter().filter_map(|r| cache.fresh.remove(&r.game).map(|f| (r.game.clone(), f))).collect();
            (rows, fresh)
        };
        let hashes: Vec<(GameId, Vec<FileHashes>)> =
            fresh.into_iter().map(|(game, files)| (game, files.into_iter().map(hash_row).collect())).collect();
        let commit =
            LibraryCommit { change: persist.change.as_ref(), index: &rows, gone: &persist.gone, hashes: &hashes };
        self.world.database.with(|s| s.commit_library(&commit)).map_err(|e| errors::store(&e))?;
        let mut cache = self.lock();
        for row in rows.iter().filter(|r| r.files.is_some()) {
            *cache.stored.entry(row.game.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// Notes what a finished download holds, so that the scan that settles it need not read it again. What it was
    /// downloaded as was noted before its sentinel. To be called where blocking is allowed.
    pub(crate) fn note_download(&self, game: &GameId, files: Vec<KnownFile>) -> Result<(), Report> {
        self.forget_replaceable(game)?;
        self.lock().fresh.insert(game.clone(), files);
        Ok(())
    }

    /// Stores what hashing found of several games in one transaction, and tells the content hash of each whose every
    /// file is known; `None` for one that is no longer what was hashed. To be called where blocking is allowed.
    pub(crate) fn note_hashed(&self, games: Vec<HashedGame>) -> Result<Vec<Option<ContentHash>>, Report> {
        let hashed: Vec<(GameId, ManifestHash, Vec<FileHashes>)> =
            games.into_iter().map(|g| (g.game, g.manifest_hash, g.files.into_iter().map(hash_row).collect())).collect();
        let lists = self.world.database.with(|s| {
            s.put_hashes_of(hashed.iter().map(|(game, _, rows)| (game, rows.as_slice())))?;
            hashed.iter().map(|(game, ..)| s.files(game)).collect::<Result<Vec<_>, _>>()
        });
        let lists = lists.map_err(|e| errors::store(&e))?;
        Ok(hashed.iter().zip(lists).map(|((game, list, _), rows)| self.content_of(game, *list, rows)).collect())
    }

    fn content_of(&self, game: &GameId, manifest_hash: ManifestHash, rows: Vec<FileRow>) -> Option<ContentHash> {
        let mut list: Vec<ManifestFile> =
            rows.into_iter().map(|r| ManifestFile { path: r.path, size: r.size, blake3: r.blake3 }).collect();
        list.sort_by(|a, b| a.path.cmp(&b.path));
        if bonfire_proto::game::manifest_hash(&list) != manifest_hash {
            return None;
        }
        let content = bonfire_proto::game::content_hash(&list)?;
        let mut cache = self.lock();
        if cache.pending.get(game).is_some_and(|row| row.files.is_some()) {
            // Listed anew meanwhile: what was hashed may not be what lies there now.
            return None;
        }
        if let Some(entry) = cache.entries.get_mut(game) {
            entry.facts.content_hash = Some(content);
            let row = IndexRow {
                game: game.clone(),
                fingerprint: entry.seen.text(),
                version: entry.facts.version.clone(),
                size: entry.facts.size,
                manifest_hash: entry.facts.manifest_hash,
                content_hash: Some(content),
                files: None,
                problems: entry.facts.problems.clone(),
            };
            cache.pending.insert(game.clone(), row);
        }
        Some(content)
    }

    /// Counts how often a game's file list was stored: a list read at one count is out of date at another.
    pub(crate) fn generation(&self, game: &GameId) -> u64 {
        self.lock().stored.get(game).copied().unwrap_or(0)
    }

    /// Files of a game as last read, with what is known of their content. To be called where blocking is allowed.
    pub(crate) fn files(&self, game: &GameId) -> Result<Vec<FileRow>, Report> {
        self.world.database.with(|s| s.files(game)).map_err(|e| errors::store(&e))
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Every change under this lock is whole before it is let go, so a panic elsewhere leaves it sound.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fingerprint and what was seen with it that has no column of its own.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct SeenRow {
    fingerprint: Fingerprint,
    files: u64,
    downloaded: bool,
    installed: bool,
    /// Folders within the game root, so that a start can have them watched without reading any.
    folders: Vec<RelPath>,
}

impl SeenRow {
    fn text(&self) -> String {
        // Serialising plain numbers and names cannot fail; an empty text would only cost another walk.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn hash_row(f: KnownFile) -> FileHashes {
    FileHashes { path: f.path, size: f.stamp.size, mtime_ns: f.stamp.mtime_ns, blake3: f.blake3, chunks: f.chunks }
}

fn folder_error(error: &DiskError) -> Report {
    let report = Report::new(error.class(), "games_folder", errors::chain(error))
        .hint("see that the games folder exists and can be read; everything else stays as it was known");
    if error.is_retryable() { report.retryable() } else { report }
}
