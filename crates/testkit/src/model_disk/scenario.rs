//! The transactions that are explored, the stages they play on, and the drive through the product's own code.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bonfire_disk::{Download, GamesFolder};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkRef, Digest, GameId, Manifest, ManifestFile, RelPath, chunk_count, chunk_span};

use super::content::Content;
use super::fs::{Failure, ModelFs};
use super::state::Disk;

/// Folder of the game that everything happens to.
pub(super) const GAME: &str = "game";

/// Something that was begun or promised, and holds for every crash after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// The download was begun or resumed: from then on it is never forgotten.
    Begun,
    /// This many bytes are verified and survive.
    Checkpointed(u64),
    /// The new version is here for good.
    Committed,
    /// The cancel was asked for.
    CancelStarted,
    /// The cancel is done.
    Cancelled,
    /// The removal was asked for.
    RemoveStarted,
    /// The removal is done.
    Removed,
    /// A new catalog was handed over.
    CatalogStarted,
    /// The new catalog is here for good.
    CatalogWritten,
    /// A sentinel was asked for.
    SentinelStarted,
    /// The sentinel is here for good.
    SentinelWritten,
    /// Something of a save: see `saves`.
    Save(super::saves::Promise),
}

/// A version of the game.
#[derive(Debug)]
pub(super) struct Version {
    /// Its manifest with all hashes.
    pub(super) manifest: Manifest,
    /// Its manifest as a source knows it that has not hashed anything.
    pub(super) unhashed: Manifest,
    pub(super) files: BTreeMap<String, Content>,
    pub(super) hashes: Vec<Vec<Digest>>,
}

impl Version {
    fn new(name: &str, files: &[(&str, Content)]) -> Self {
        let files: BTreeMap<String, Content> = files.iter().map(|(p, c)| ((*p).to_owned(), c.clone())).collect();
        let rel = |p: &str| RelPath::new(p).expect("BUG: the stage uses legal paths");
        let mut entries = Vec::new();
        let mut hashes = Vec::new();
        // A map of text is sorted as the paths are.
        for (path, content) in &files {
            let list: Vec<Digest> = (0..chunk_count(content.len())).map(|i| hash(content, i)).collect();
            entries.push(ManifestFile { path: rel(path), size: content.len(), blake3: merge_chunk_hashes(&list) });
            hashes.push(list);
        }
        let game = GameId::new(GAME).expect("BUG: a legal id");
        let bare = entries.iter().map(|f| ManifestFile { blake3: None, ..f.clone() }).collect();
        Self {
            manifest: Manifest::new(game.clone(), name.to_owned(), entries),
            unhashed: Manifest::new(game, name.to_owned(), bare),
            files,
            hashes,
        }
    }

    fn content(&self, file: u32) -> &Content {
        let path = self.manifest.files.get(file as usize).map_or("", |f| f.path.as_str());
        self.files.get(path).expect("BUG: every file of the manifest has content")
    }

    fn paths(&self) -> Vec<RelPath> {
        self.manifest.files.iter().map(|f| f.path.clone()).collect()
    }
}

fn hash(content: &Content, chunk: u32) -> Digest {
    let (start, len) = chunk_span(content.len(), chunk).expect("BUG: a chunk of the file");
    let mut buf = vec![0; usize::try_from(len).expect("BUG: a chunk fits in memory")];
    content.read(start, &mut buf);
    chunk_hash(content.len(), chunk, &buf)
}

/// The version that is there at first, where one is.
pub(super) fn v1() -> &'static Version {
    static V: OnceLock<Version> = OnceLock::new();
    V.get_or_init(|| {
        let big = (4 << 20) + 8;
        Version::new(
            "1",
            &[
                ("version.ini", Content::of(b"1\n")),
                ("a.eti", Content::sparse(big, &[(0, b"one-------------"), (4 << 20, b"tail-abc")])),
                ("b.eti", Content::of(&[7; 100])),
                ("data/c.bin", Content::of(b"the same in both versions")),
                ("data/gone/old.bin", Content::of(b"only in one")),
                ("swap", Content::of(b"a file that becomes a folder")),
                ("turn/x", Content::of(b"a folder that becomes a file")),
                ("empty.txt", Content::of(b"")),
            ],
        )
    })
}

/// The version that is fetched.
pub(super) fn v2() -> &'static Version {
    static V: OnceLock<Version> = OnceLock::new();
    V.get_or_init(|| {
        let big = (4 << 20) + 8;
        Version::new(
            "2",
            &[
                ("version.ini", Content::of(b"2\n")),
                ("a.eti", Content::sparse(big, &[(0, b"two+++++++++++++"), (4 << 20, b"tail-abc")])),
                ("b.eti", Content::of(&[9; 60])),
                ("data/c.bin", Content::of(b"the same in both versions")),
                ("new/deep/d.bin", Content::of(b"only in two")),
                ("swap/inner", Content::of(b"inner")),
                ("turn", Content::of(b"turned")),
                ("empty.txt", Content::of(b"")),
            ],
        )
    })
}

/// A small version of few files, for sweeps that must be quick.
pub(super) fn small() -> &'static Version {
    static V: OnceLock<Version> = OnceLock::new();
    V.get_or_init(|| {
        Version::new(
            "2",
            &[
                ("version.ini", Content::of(b"2\n")),
                ("a.eti", Content::of(&[3; 40])),
                ("d/b.eti", Content::of(&[4; 30])),
            ],
        )
    })
}

/// What is on the disk before, and what must be there ever after.
#[derive(Debug)]
pub struct Stage {
    /// The disk before.
    pub disk: Disk,
    /// Files that are the user's, by path beneath the games folder.
    pub(super) user: Vec<(String, Content)>,
    /// The version that is here.
    pub(super) old: Option<&'static Version>,
    /// The version that is fetched.
    pub(super) new: &'static Version,
    /// Payload paths that were found there and must survive a cancel.
    pub(super) found: Vec<String>,
}

pub(super) const OLD_CATALOG: &[u8] = b"{\"games\":[]}";
pub(super) const NEW_CATALOG: &[u8] = b"{\"games\":[{\"id\":\"game\"}]}";

impl Stage {
    fn new(old: Option<&'static Version>, new: &'static Version, in_root: &[(&str, &[u8])]) -> Self {
        let mut disk = Disk::new();
        let mut user = vec![
            ("other/version.ini".to_owned(), Content::of(b"5\n")),
            ("other/x.eti".to_owned(), Content::of(b"another game")),
            ("notes.txt".to_owned(), Content::of(b"beside the games")),
        ];
        user.extend(in_root.iter().map(|(p, b)| (format!("{GAME}/{p}"), Content::of(b))));
        for (path, content) in &user {
            disk.plant(path, content.clone());
        }
        disk.plant("catalog.json", Content::of(OLD_CATALOG));
        if let Some(old) = old {
            for (path, content) in &old.files {
                disk.plant(&format!("{GAME}/{path}"), content.clone());
            }
        }
        Self { disk, user, old, new, found: Vec::new() }
    }
}

const INSTALLED: &[(&str, &[u8])] = &[
    ("local/save.dat", b"the player's"),
    ("my-notes.txt", b"a file that nobody knows"),
    ("data/mine.txt", b"in a folder of the game"),
    (".sync/state", b"another tool's"),
    (".softlan_game_installed", b"x"),
];
const MINE: &[(&str, &[u8])] = &[
    (".sync/state", b"another tool's"),
    ("my-notes.txt", b"a file that nobody knows"),
    ("d/mine.txt", b"in a folder of the game"),
];
const MARKED: &[(&str, &[u8])] = &[(".sync/state", b"another tool's"), (".softlan_game_installed", b"x")];

/// A transaction and its stage.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name, for reports.
    pub name: &'static str,
    /// Makes the stage.
    pub stage: fn() -> Stage,
    /// Plays it. An error is what the product reported, in text.
    pub play: fn(&GamesFolder, &ModelFs, &Stage) -> Result<(), String>,
    /// Whether syncs of everything at once are explored, too.
    pub(super) bulk: bool,
    /// Whether the game lies on another file system, so that its root cannot be removed.
    pub(super) mounted: bool,
}

impl Scenario {
    const fn new(
        name: &'static str,
        stage: fn() -> Stage,
        play: fn(&GamesFolder, &ModelFs, &Stage) -> Result<(), String>,
    ) -> Self {
        Self { name, stage, play, bulk: false, mounted: false }
    }

    const fn in_bulk(self) -> Self {
        Self { bulk: true, ..self }
    }

    const fn mounted(self) -> Self {
        Self { mounted: true, ..self }
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scenario({})", self.name)
    }
}

/// Everything that is explored.
pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("fresh", || Stage::new(None, v2(), &[]), download),
    Scenario::new("fresh_small", || Stage::new(None, small(), &[]), download),
    Scenario::new("fresh_unhashed", || Stage::new(None, v2(), &[]), download_unhashed),
    Scenario::new("update", || Stage::new(Some(v1()), v2(), INSTALLED), download).in_bulk(),
    Scenario::new("update_elsewhere", elsewhere, download).in_bulk().mounted(),
    Scenario::new("update_scattered", scattered, download).in_bulk(),
    Scenario::new("cancel_elsewhere", elsewhere_bare, cancel).mounted(),
    Scenario::new("cancel_on_a_full_disk", || Stage::new(None, small(), &[]), cancel_unrecorded),
    Scenario::new("update_with_intent_log", with_intent_log, download),
    Scenario::new("update_of_shared_files", shared_files, download),
    Scenario::new("update_of_read_only_files", read_only_files, download),
    Scenario::new("cancel_of_shared_files", shared_files, cancel),
    Scenario::new("repair", damaged, download),
    Scenario::new("found", found, download),
    Scenario::new("resume", half_done, resume),
    Scenario::new("resume_after_loss", half_done_with_loss, resume_in_steps),
    Scenario::new("resume_after_change", half_done_with_change, resume),
    Scenario::new("cancel_fresh", || Stage::new(None, v2(), &[]), cancel),
    Scenario::new("cancel_small", || Stage::new(None, small(), &[]), cancel),
    Scenario::new("cancel_update", || Stage::new(Some(v1()), v2(), INSTALLED), cancel),
    Scenario::new("cancel_found", found, cancel),
    Scenario::new("cancel_resumed", half_done, cancel_resumed),
    Scenario::new("cancel_recorded", half_done, cancel_recorded),
    Scenario::new("remove", || Stage::new(Some(v1()), v2(), MARKED), remove),
    Scenario::new("remove_bare", || Stage::new(Some(small()), v2(), &[]), remove),
    Scenario::new("update_downloaded", || downloaded(v1(), INSTALLED), download),
    Scenario::new("cancel_downloaded", || downloaded(v1(), INSTALLED), cancel),
    Scenario::new("remove_downloaded", || downloaded(small(), MINE), remove),
    Scenario::new("catalog", || Stage::new(Some(small()), v2(), &[]), catalog),
    Scenario::new("sentinel_by_hand", by_hand, write_sentinel),
];

fn with_intent_log() -> Stage {
    let log: &[u8] = br#"{"intent":"None","schema_version":1,"recorded_at":5}"#;
    let mut in_root = INSTALLED.to_vec();
    in_root.push((".lanspread.json", log));
    let mut stage = Stage::new(Some(v1()), v2(), &in_root);
    // Its text may change in the middle; that it comes back is checked by a test of its own.
    stage.user.retain(|(p, _)| !p.ends_with(".lanspread.json"));
    stage
}

/// The version that is here was downloaded, so that its note is here, too.
fn downloaded(old: &'static Version, in_root: &[(&str, &[u8])]) -> Stage {
    let mut stage = Stage::new(None, v2(), in_root);
    let fs = ModelFs::over(stage.disk.clone(), false);
    let mut d = over(&fs).begin_download(&old.manifest, &[]).expect("BUG: the stage begins");
    fetch(&mut d, old, &fs, None, true).expect("BUG: the stage fetches");
    d.commit().expect("BUG: the stage commits");
    stage.disk = fs.disk();
    stage.disk.sync_all();
    stage.old = Some(old);
    stage
}

fn damaged() -> Stage {
    let mut stage = Stage::new(Some(v2()), v2(), INSTALLED);
    stage.disk.plant(&format!("{GAME}/b.eti"), Content::of(&[9; 59]));
    stage.disk.plant(&format!("{GAME}/data/c.bin"), Content::of(b"THE same in both versions"));
    stage
}

/// Files of the old version that have names elsewhere, too: one that changes, one that shrinks, one that stays.
fn shared_files() -> Stage {
    let mut stage = Stage::new(Some(v1()), v2(), INSTALLED);
    for (path, name) in [
        ("a.eti", "game/local/a.eti"),
        ("b.eti", "other/b.eti"),
        ("data/c.bin", "elsewhere/c.bin"),
        ("data/gone/old.bin", "elsewhere/old.bin"),
    ] {
        stage.disk.plant_name(&format!("{GAME}/{path}"), name);
        stage.user.push((name.to_owned(), v1().files[path].clone()));
    }
    stage
}

/// The game lies on a file system of its own.
fn elsewhere() -> Stage {
    let mut stage = Stage::new(Some(v1()), v2(), INSTALLED);
    stage.disk.mount(GAME);
    stage
}

fn elsewhere_bare() -> Stage {
    let mut stage = Stage::new(Some(small()), v2(), &[]);
    stage.disk.mount(GAME);
    stage
}

/// A folder of the game lies on a file system of its own.
fn scattered() -> Stage {
    let mut stage = Stage::new(Some(v1()), v2(), INSTALLED);
    stage.disk.mount(&format!("{GAME}/data"));
    stage
}

fn read_only_files() -> Stage {
    let mut stage = Stage::new(Some(v1()), v2(), INSTALLED);
    for path in v1().files.keys() {
        stage.disk.protect(&format!("{GAME}/{path}"));
    }
    stage
}

fn found() -> Stage {
    let mut stage = Stage::new(None, v2(), &[]);
    stage.disk.plant(&format!("{GAME}/b.eti"), Content::of(&[9; 60]));
    stage.disk.plant(&format!("{GAME}/data/c.bin"), Content::of(b"THE same in both versions"));
    stage.user.push((format!("{GAME}/b.eti"), Content::of(&[9; 60])));
    stage.found = vec!["b.eti".to_owned(), "data/c.bin".to_owned()];
    stage
}

fn by_hand() -> Stage {
    let mut stage = Stage::new(None, small(), &[]);
    for (path, content) in small().files.iter().filter(|(p, _)| *p != "version.ini") {
        let path = format!("{GAME}/{path}");
        stage.disk.plant(&path, content.clone());
        stage.user.push((path, content.clone()));
    }
    stage
}

fn half_done() -> Stage {
    let mut stage = Stage::new(Some(v1()), v2(), INSTALLED);
    let fs = ModelFs::over(stage.disk.clone(), false);
    let folder = over(&fs);
    let mut d = folder.begin_download(&v2().manifest, &v1().paths()).expect("BUG: the stage begins");
    fetch(&mut d, v2(), &fs, Some(4), true).expect("BUG: the stage fetches");
    // Killed: what the last writes did is in the cache only.
    drop(d);
    stage.disk = fs.disk();
    stage
}

fn half_done_with_loss() -> Stage {
    let mut stage = Stage::new(None, v2(), &[]);
    let fs = ModelFs::over(stage.disk.clone(), false);
    let mut d = over(&fs).begin_download(&v2().manifest, &[]).expect("BUG: the stage begins");
    fetch(&mut d, v2(), &fs, Some(6), true).expect("BUG: the stage fetches");
    d.suspend();
    let path = bonfire_disk::fs::FsPath::root().child(GAME);
    bonfire_disk::fs::Fs::remove_file(&fs, &path.child("a.eti")).expect("BUG: a.eti is there");
    stage.disk = fs.disk();
    stage.disk.sync_all();
    stage
}

/// Somebody changed bytes of a chunk that is on record as verified, and not its file's length.
fn half_done_with_change() -> Stage {
    let mut stage = Stage::new(None, v2(), &[]);
    let fs = ModelFs::over(stage.disk.clone(), false);
    let mut d = over(&fs).begin_download(&v2().manifest, &[]).expect("BUG: the stage begins");
    fetch(&mut d, v2(), &fs, Some(6), true).expect("BUG: the stage fetches");
    d.suspend();
    stage.disk = fs.disk();
    stage.disk.sync_all();
    stage.disk.plant(&format!("{GAME}/b.eti"), Content::of(&[1; 60]));
    stage
}

/// The product over the model, with few enough files syncing in bulk that both ways are taken.
pub(super) fn over(fs: &ModelFs) -> GamesFolder {
    wrapped(std::sync::Arc::new(fs.clone()))
}

pub(super) fn wrapped(fs: std::sync::Arc<dyn bonfire_disk::fs::Fs>) -> GamesFolder {
    GamesFolder::tuned(fs, "/games".into(), bonfire_disk::Tuning { bulk_sync_from: 3 })
}

pub(super) fn game() -> GameId {
    GameId::new(GAME).expect("BUG: a legal id")
}

/// Fetches what is missing, as a peer would: reuse, write, mark, checkpoint every other chunk. `stop` is after how many
/// chunks it is cut off; `thorough` also hashes large files for reuse.
pub(super) fn fetch(
    d: &mut Download,
    version: &Version,
    fs: &ModelFs,
    stop: Option<usize>,
    thorough: bool,
) -> Result<(), String> {
    let writer = d.writer();
    let mut done = 0;
    for file in 0..d.layout().files() {
        let content = version.content(file);
        if thorough || content.len() < 1 << 20 {
            if let Some(list) = version.hashes.get(file as usize)
                && d.manifest().content_hash.is_some()
                && d.hashes(file).is_none()
            {
                d.set_hashes(file, list.clone()).map_err(text)?;
            }
            d.reuse(file, &|_| true).map_err(text)?;
        }
        for chunk in 0..chunk_count(content.len()) {
            let at = ChunkRef { file, chunk };
            if d.layout().number(at).is_some_and(|n| d.verified().get(n)) {
                continue;
            }
            if stop.is_some_and(|s| done >= s) {
                return Ok(());
            }
            let (start, len) = chunk_span(content.len(), chunk).ok_or("no such chunk")?;
            for (offset, bytes) in content.pieces(start, start + len) {
                writer.write_at(file, offset, &bytes).map_err(text)?;
            }
            let digest = version.hashes.get(file as usize).and_then(|l| l.get(chunk as usize));
            d.mark_verified_with(at, *digest.ok_or("no such chunk")?).map_err(text)?;
            done += 1;
            if done % 2 == 0 {
                d.checkpoint().map_err(text)?;
                fs.ack(Ack::Checkpointed(bytes_verified(d)));
            }
        }
    }
    Ok(())
}

fn bytes_verified(d: &Download) -> u64 {
    let size = |file: u32| d.manifest().files.get(file as usize).map_or(0, |f| f.size);
    let len = |at: ChunkRef| chunk_span(size(at.file), at.chunk).map_or(0, |(_, len)| len);
    d.verified().ones().filter_map(|n| d.layout().locate(n)).map(len).sum()
}

fn text(e: bonfire_disk::DiskError) -> String {
    let cause = std::error::Error::source(&e).map(|s| format!(": {s}")).unwrap_or_default();
    format!("{e}{cause}")
}

fn begin(folder: &GamesFolder, fs: &ModelFs, stage: &Stage, manifest: &Manifest) -> Result<Download, String> {
    let previous = stage.old.map(Version::paths).unwrap_or_default();
    let d = folder.begin_download(manifest, &previous).map_err(text)?;
    fs.ack(Ack::Begun);
    Ok(d)
}

fn finish(mut d: Download, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    fetch(&mut d, stage.new, fs, None, true)?;
    let done = d.commit().map_err(text)?;
    fs.ack(Ack::Committed);
    if done.manifest != stage.new.manifest || done.hashes != stage.new.hashes {
        return Err("VIOLATION: the commit reports other hashes than the content has".to_owned());
    }
    Ok(())
}

fn download(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    finish(begin(folder, fs, stage, &stage.new.manifest)?, fs, stage)
}

fn download_unhashed(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    finish(begin(folder, fs, stage, &stage.new.unhashed)?, fs, stage)
}

fn resume(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    folder.recover().map_err(text)?;
    let d = folder.resume_download(&game()).map_err(text)?;
    fs.ack(Ack::Begun);
    finish(d, fs, stage)
}

/// A chunk of a file, then its checkpoint, then the rest of that file and of all.
fn resume_in_steps(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    folder.recover().map_err(text)?;
    let mut d = folder.resume_download(&game()).map_err(text)?;
    fs.ack(Ack::Begun);
    fetch(&mut d, stage.new, fs, Some(1), true)?;
    d.checkpoint().map_err(text)?;
    finish(d, fs, stage)
}

/// The cancel cannot be recorded in the journal.
fn cancel_unrecorded(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    let mut d = begin(folder, fs, stage, &stage.new.manifest)?;
    fetch(&mut d, stage.new, fs, Some(2), true)?;
    fs.fail(Some(Failure { at: fs.ops(), sticky: false, kind: std::io::ErrorKind::StorageFull }));
    discard(d, fs)
}

fn discard(d: Download, fs: &ModelFs) -> Result<(), String> {
    fs.ack(Ack::CancelStarted);
    d.discard().map_err(text)?;
    fs.ack(Ack::Cancelled);
    Ok(())
}

fn cancel(folder: &GamesFolder, fs: &ModelFs, stage: &Stage) -> Result<(), String> {
    let mut d = begin(folder, fs, stage, &stage.new.manifest)?;
    fetch(&mut d, stage.new, fs, Some(3), true)?;
    discard(d, fs)
}

fn cancel_resumed(folder: &GamesFolder, fs: &ModelFs, _: &Stage) -> Result<(), String> {
    let d = folder.resume_download(&game()).map_err(text)?;
    fs.ack(Ack::Begun);
    discard(d, fs)
}

fn cancel_recorded(folder: &GamesFolder, fs: &ModelFs, _: &Stage) -> Result<(), String> {
    fs.ack(Ack::Begun);
    fs.ack(Ack::CancelStarted);
    folder.discard_recorded(&game()).map_err(text)?;
    fs.ack(Ack::Cancelled);
    Ok(())
}

fn remove(folder: &GamesFolder, fs: &ModelFs, _: &Stage) -> Result<(), String> {
    fs.ack(Ack::RemoveStarted);
    folder.remove_downloaded(&game()).map_err(|e| match e {
        bonfire_disk::RemoveError::Disk(e) => text(e),
        other => other.to_string(),
    })?;
    fs.ack(Ack::Removed);
    Ok(())
}

fn catalog(folder: &GamesFolder, fs: &ModelFs, _: &Stage) -> Result<(), String> {
    fs.ack(Ack::CatalogStarted);
    folder.catalog_write(NEW_CATALOG).map_err(text)?;
    fs.ack(Ack::CatalogWritten);
    Ok(())
}

fn write_sentinel(folder: &GamesFolder, fs: &ModelFs, _: &Stage) -> Result<(), String> {
    fs.ack(Ack::SentinelStarted);
    folder.write_version_ini(&game(), "2\n").map_err(text)?;
    fs.ack(Ack::SentinelWritten);
    Ok(())
}
