//! Installs, updates and uninstalls on a disk that crashes at every step: afterwards `local/` is the old tree or the new one,
//! every file of the player is in it, and nothing of ours is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bonfire_disk::fs::{Entry, EntryName, Fs, FsFile, FsPath, Kind, Meta, OpenMode, write_all_at};
use bonfire_disk::install::Staging;
use bonfire_disk::{GamesFolder, Recovered};
use bonfire_engine::installs::Known;
use bonfire_proto::{Digest, GameId, RelPath};

use super::content::Content;
use super::explore::{Choice, Effort, Report};
use super::fs::{Failure, ModelFs};
use super::scenario::Ack;
use super::state::{Disk, Image};

mod writers;

pub use writers::{Blind, Write, explore_writers};

const GAME: &str = "doom";

/// What is done with an install.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A first one.
    Install,
    /// One that takes the place of another, with files of the player.
    Update,
    /// The same, and the newest of the player's files was written a moment ago.
    UpdateFresh,
    /// One that nobody recorded is updated.
    UpdateAdopted,
    /// It is taken away, with files of the player.
    Uninstall,
    /// What is missing in it, and what the player changed, is put back.
    Mend,
}

impl Work {
    /// All of it.
    pub const ALL: [Self; 6] =
        [Self::Install, Self::Update, Self::UpdateFresh, Self::UpdateAdopted, Self::Uninstall, Self::Mend];
}

/// What the transaction must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// What is unpacked is not made durable.
    UnpackedNotSynced,
    /// Folders beneath the staging folder are not made durable.
    FoldersNotSynced,
    /// Names in the game root are not made durable.
    RootNotSynced,
    /// The install before is deleted, not set aside.
    OldDeletedFirst,
    /// The new files are written into the install before.
    WrittenOver,
    /// Files of the player are not made durable in their new place.
    CarriedNotSynced,
    /// The intent is dropped before the install before is set aside.
    IntentDroppedFirst,
}

impl Slip {
    /// Each, with work in which it does harm.
    pub const ALL: [(Self, Work); 7] = [
        (Self::UnpackedNotSynced, Work::Install),
        (Self::FoldersNotSynced, Work::Install),
        (Self::RootNotSynced, Work::Update),
        (Self::OldDeletedFirst, Work::Update),
        (Self::WrittenOver, Work::Update),
        (Self::CarriedNotSynced, Work::UpdateFresh),
        (Self::IntentDroppedFirst, Work::Update),
    ];
}

/// In the words of an error after which the disk is not known to be as before.
const NOT_UNDONE: &str = "could not be undone";

/// What the player wrote last.
const FRESH: &str = "saves/1.sav";

/// What the install has lost that is mended.
const MISSING: &str = "maps/e1m1";

type Files = BTreeMap<&'static str, &'static str>;

fn old() -> Files {
    BTreeMap::from([("doom.exe", "one, as it was installed"), ("doom.cfg", "default"), ("maps/e1m1", "a map")])
}

fn new() -> Files {
    BTreeMap::from([("doom.exe", "two"), ("doom.cfg", "a newer default"), ("maps/e1m2", "another map")])
}

/// What the player made of the old install.
fn played() -> Files {
    let mut files = old();
    files.extend([("doom.cfg", "mine"), ("saves/1.sav", "a save of years")]);
    files
}

/// What an update of that has to come to.
fn updated(work: Work) -> Files {
    let mut files = new();
    files.extend([("doom.cfg.kept", "mine"), ("saves/1.sav", "a save of years")]);
    if work == Work::UpdateAdopted {
        // Nobody knows that these were installed.
        files.extend([("doom.exe.kept", "one, as it was installed"), ("maps/e1m1", "a map")]);
    }
    files
}

fn game() -> GameId {
    GameId::new(GAME).expect("BUG: an id")
}

fn folder(fs: Arc<dyn Fs>) -> GamesFolder {
    GamesFolder::over(fs, PathBuf::from("/games"))
}

fn stage(work: Work) -> Disk {
    let mut disk = Disk::new();
    disk.plant("doom/version.ini", Content::of(b"1"));
    disk.plant("doom/doom.eti", Content::of(b"an archive"));
    disk.plant("doom/note.txt", Content::of(b"somebody's"));
    if work == Work::Install {
        return disk;
    }
    if work == Work::UpdateAdopted {
        played().into_iter().for_each(|(name, text)| {
            disk.plant(&format!("doom/local/{name}"), Content::of(text.as_bytes()));
        });
        return disk;
    }
    let fs = ModelFs::over(disk, false);
    let staging = folder(Arc::new(fs.clone())).begin_install(&game()).expect("BUG: the stage installs");
    let unpacked = unpack(&staging, &old()).expect("BUG: the stage unpacks");
    staging.commit("1", &unpacked, &|_| true).expect("BUG: the stage installs");
    let mut disk = fs.disk();
    disk.sync_all();
    for (name, text) in played() {
        if work == Work::UpdateFresh && name == FRESH {
            continue;
        }
        if old().get(name) != Some(&text) {
            disk.plant(&format!("doom/local/{name}"), Content::of(text.as_bytes()));
        }
    }
    if work == Work::Mend {
        let fs = ModelFs::over(disk, false);
        fs.remove_file(&FsPath::root().child("doom/local").child(MISSING)).expect("BUG: the stage loses a file");
        disk = fs.disk();
        disk.sync_all();
    }
    if work == Work::UpdateFresh {
        let fs = ModelFs::over(disk, false);
        let at = FsPath::root().child("doom/local").child(FRESH);
        fs.create_dir(&at.parent().expect("BUG: a path")).expect("BUG: the player plays");
        let file = fs.open_write(&at, OpenMode::New).expect("BUG: the player plays");
        write_all_at(&*file, played()[FRESH].as_bytes(), 0).expect("BUG: the player plays");
        disk = fs.disk();
    }
    disk
}

/// Unpacks as a worker does: every file and folder is durable when it says that it is done.
fn unpack(staging: &Staging, files: &Files) -> io::Result<BTreeMap<RelPath, Known>> {
    let (fs, top) = (staging.fs(), staging.folder());
    let (mut out, mut folders) = (BTreeMap::new(), BTreeSet::from([top.clone()]));
    for (name, text) in files {
        let path = RelPath::new(*name).expect("BUG: a path");
        if let Some(folder) = path.parent() {
            let at = top.beneath(&folder);
            if fs.stat(&at)?.is_none() {
                fs.create_dir(&at)?;
            }
            folders.insert(at);
        }
        let file = fs.open_write(&top.beneath(&path), OpenMode::New)?;
        write_all_at(&*file, text.as_bytes(), 0)?;
        file.sync()?;
        let blake3 = Digest(*blake3::hash(text.as_bytes()).as_bytes());
        out.insert(path, Known { size: text.len() as u64, blake3 });
    }
    for at in folders.iter().rev() {
        fs.sync_dir(at)?;
    }
    Ok(out)
}

fn play(work: Work, fs: &ModelFs, seen: Arc<dyn Fs>) -> Result<(), String> {
    let folder = folder(seen);
    if work == Work::Uninstall {
        if fs.disk().seen().node("doom/local").is_none() {
            return Ok(());
        }
        fs.ack(Ack::RemoveStarted);
        let gone = folder.uninstall(&game(), true, &|_| true).map_err(|e| e.to_string())?;
        fs.ack(Ack::Removed);
        return gone.left.map_or(Ok(()), |e| Err(e.to_string()));
    }
    if work == Work::Mend {
        return mend(fs, &folder);
    }
    let staging = folder.begin_install(&game()).map_err(|e| e.to_string())?;
    let unpacked = match unpack(&staging, &new()) {
        Ok(unpacked) => unpacked,
        Err(e) => {
            staging.abort().map_err(|e| e.to_string())?;
            return Err(e.to_string());
        }
    };
    let done = staging.commit("2", &unpacked, &|_| true).map_err(|e| e.to_string())?;
    fs.ack(Ack::Committed);
    done.left.map_or(Ok(()), |e| Err(e.to_string()))
}

/// Puts back whatever is not as it was installed.
fn mend(fs: &ModelFs, folder: &GamesFolder) -> Result<(), String> {
    let checked = folder.check_install(&game(), &|_| true).map_err(|e| e.to_string())?;
    let faults = checked.map(|c| c.faults).unwrap_or_default();
    if faults.is_empty() {
        return Ok(());
    }
    let staging = folder.begin_mend(&game()).map_err(|e| e.to_string())?;
    let wanted = old().into_iter().filter(|(name, _)| faults.keys().any(|path| path.as_str() == *name)).collect();
    let unpacked = match unpack(&staging, &wanted) {
        Ok(unpacked) => unpacked,
        Err(e) => {
            staging.abort().map_err(|e| e.to_string())?;
            return Err(e.to_string());
        }
    };
    staging.mend(&unpacked, &faults).map_err(|e| e.to_string())?;
    fs.ack(Ack::Committed);
    Ok(())
}

/// Explores one piece of work, with a slip or without: every moment, every way a crash can leave it, a start on each,
/// crashes within that start, and an error at every operation. Returns how often the slip did harm, too.
#[must_use]
pub fn explore_installs(work: Work, slip: Option<Slip>, effort: &Effort) -> (Report, u64) {
    let disk = stage(work);
    let (mut report, mut seen, mut choice) = (Report::default(), BTreeSet::new(), Choice::new(effort.seed));
    let (name, fired) = (format!("{work:?}"), Arc::new(AtomicU64::new(0)));
    let over = |fs: &ModelFs| -> Arc<dyn Fs> {
        match slip {
            None => Arc::new(fs.clone()),
            Some(slip) => Arc::new(Careless { inner: fs.clone(), slip, fired: fired.clone() }),
        }
    };
    let fs = ModelFs::over(disk.clone(), false);
    fs.record();
    let played = play(work, &fs, over(&fs));
    if let (Err(e), None) = (played, slip) {
        report.violation(&name, "played without a fault", &e);
    }
    let (moments, acks) = fs.take_moments();
    for (i, moment) in moments.iter().enumerate() {
        report.points += 1;
        let acks = &acks[..moment.acks];
        let mut disks = vec![(moment.disk.clone(), "killed".to_owned())];
        report.kills += 1;
        for ways in choice.ways_of(&moment.disk, effort.enumerate_to, effort.samples) {
            disks.push((moment.disk.crashed_with(&ways), format!("ways {ways:?}")));
        }
        for (disk, how) in disks {
            if seen.insert((disk.seen().fingerprint(), acks.len(), how == "killed")) {
                report.states += 1;
                let at = format!("step {i}, {how}");
                let nested = if effort.nested > 0 { Some((&mut choice, effort)) } else { None };
                if let Err(e) = start_on(work, disk, acks, nested, &mut report) {
                    report.violation(&name, &at, &e);
                }
            }
            if effort.stop_early && report.violations > 0 {
                return (report, fired.load(Ordering::Relaxed));
            }
        }
    }
    if effort.fail_every > 0 {
        errors(work, &disk, fs.ops(), effort, &mut report);
    }
    (report, fired.load(Ordering::Relaxed))
}

fn errors(work: Work, disk: &Disk, total: u64, effort: &Effort, report: &mut Report) {
    for at in (0..total).step_by(effort.fail_every) {
        for (kind, sticky) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::Other, false)] {
            let fs = ModelFs::over(disk.clone(), false);
            fs.fail(Some(Failure { at, sticky, kind }));
            let played = play(work, &fs, Arc::new(fs.clone()));
            if fs.fired() == 0 {
                continue;
            }
            report.errors += 1;
            // Who is told that it failed, and of nothing that is left, has the install that was there.
            if let (Work::Uninstall, Err(said)) = (work, &played)
                && !said.contains(NOT_UNDONE)
                && !fs.acks().contains(&Ack::Removed)
                && tree(fs.disk().seen()) != Some(shown(&self::played()))
            {
                let what = format!("said {said}, and the install is {:?}", tree(fs.disk().seen()));
                report.violation("Uninstall", &format!("{kind:?} at {at}"), &what);
            }
            for disk in [fs.disk(), fs.disk().crashed(0)] {
                report.states += 1;
                if let Err(e) = start_on(work, disk, &fs.acks(), None, &mut Report::default()) {
                    report.violation(&format!("{work:?}"), &format!("{kind:?} at {at}, said {played:?}"), &e);
                }
            }
        }
    }
}

/// A start, and what must be true after it; a second start changes nothing, and what is asked for again is done.
fn start_on(
    work: Work,
    disk: Disk,
    acks: &[Ack],
    nested: Option<(&mut Choice, &Effort)>,
    report: &mut Report,
) -> Result<(), String> {
    let fs = ModelFs::over(disk, false);
    fs.record();
    recover(&fs)?;
    judge(work, fs.disk().seen(), acks)?;
    let changes = fs.changes();
    let again = recover(&fs)?;
    if fs.changes() != changes || again > 0 {
        return Err("a second start finds something to do".to_owned());
    }
    // What a start leaves has to survive the next power cut.
    let cut = ModelFs::over(fs.disk().crashed(0), false);
    recover(&cut).map_err(|e| format!("after another cut, {e}"))?;
    judge(work, cut.disk().seen(), acks).map_err(|e| format!("after another cut, {e}"))?;
    if let Some((choice, effort)) = nested {
        let (moments, _) = fs.take_moments();
        for moment in moments {
            for ways in choice.ways_of(&moment.disk, effort.nested, effort.nested) {
                report.nested += 1;
                let cut = ModelFs::over(moment.disk.crashed_with(&ways), false);
                recover(&cut).map_err(|e| format!("cut in recovery, {e}"))?;
                judge(work, cut.disk().seen(), acks).map_err(|e| format!("cut in recovery, {e}"))?;
            }
        }
    }
    let again = ModelFs::over(fs.disk(), false);
    let before = tree(again.disk().seen());
    play(work, &again, Arc::new(again.clone())).map_err(|e| format!("done again, {e}"))?;
    let after = tree(again.disk().seen());
    let is_done = match work {
        Work::Uninstall => after.is_none(),
        Work::Install => after == Some(shown(&new())),
        Work::Mend => after.as_ref().is_some_and(|after| {
            shown(&old()).iter().all(|(n, t)| after.get(n) == Some(t)) && after.values().any(|t| t == "mine")
        }),
        // Done twice, what was kept is the player's and is there still.
        Work::Update | Work::UpdateFresh | Work::UpdateAdopted => after.as_ref().is_some_and(|after| {
            let players = |files: &BTreeMap<String, String>| files.values().filter(|t| is_players(t)).count();
            shown(&new()).iter().all(|(n, t)| after.get(n) == Some(t))
                && players(after) >= before.as_ref().map_or(0, players)
        }),
    };
    if is_done { Ok(()) } else { Err(format!("done again it is {after:?}")) }
}

fn is_players(text: &str) -> bool {
    matches!(text, "mine" | "a save of years")
}

/// Starts, and says how many roots something was done in.
fn recover(fs: &ModelFs) -> Result<usize, String> {
    let found = folder(Arc::new(fs.clone())).recover().map_err(|e| e.to_string())?;
    for one in &found {
        match one {
            Recovered::Install { .. } | Recovered::Discarded { .. } => {}
            other => return Err(format!("recovery says {other:?}")),
        }
    }
    Ok(found.len())
}

/// What is installed, but for the record; `None` when nothing is.
fn tree(disk: &Image) -> Option<BTreeMap<String, String>> {
    disk.node("doom/local")?;
    let files = disk.files_beneath("doom/local").into_iter().filter(|name| name != ".bonfire.install");
    let text = |name: &String| {
        let bytes = disk.file(&format!("doom/local/{name}")).map(Content::to_vec).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Some(files.map(|name| (name.clone(), text(&name))).collect())
}

fn shown(files: &Files) -> BTreeMap<String, String> {
    files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// What mending comes to: what was installed, and both of what the player made.
fn mended() -> Files {
    let mut files = old();
    files.extend([("doom.cfg.kept", "mine"), ("saves/1.sav", "a save of years")]);
    files
}

/// Whether each file is as it was or as it is to be, and no file of the player is gone.
fn is_half_mended(found: &BTreeMap<String, String>) -> bool {
    let has = |name: &str, text: &str| found.get(name).is_some_and(|t| t == text);
    let is_settings = has("doom.cfg", "mine") || (has("doom.cfg", "default") && has("doom.cfg.kept", "mine"));
    let may_be = |(name, text): (&String, &String)| {
        mended().get(&name[..]) == Some(&&text[..]) || (name == "doom.cfg" && text == "mine")
    };
    has("doom.exe", old()["doom.exe"])
        && has("saves/1.sav", "a save of years")
        && is_settings
        && found.iter().all(may_be)
}

fn judge(work: Work, disk: &Image, acks: &[Ack]) -> Result<(), String> {
    let is_done = acks.contains(&Ack::Committed) || acks.contains(&Ack::Removed);
    let (before, after) = match work {
        Work::Install => (None, Some(shown(&new()))),
        Work::Update | Work::UpdateFresh | Work::UpdateAdopted => (Some(shown(&played())), Some(shown(&updated(work)))),
        Work::Uninstall => (Some(shown(&played())), None),
        Work::Mend => (None, Some(shown(&mended()))),
    };
    let found = tree(disk);
    // What the player wrote a moment ago is theirs to lose until it was carried.
    let is_before = match (work, &found, &before) {
        (Work::UpdateFresh, Some(found), Some(before)) => {
            let others = |files: &BTreeMap<String, String>| {
                files.iter().filter(|(n, _)| *n != FRESH).map(|(n, t)| (n.clone(), t.clone())).collect::<Vec<_>>()
            };
            others(found) == others(before)
        }
        (Work::Mend, Some(found), _) => is_half_mended(found),
        _ => found == before,
    };
    if found != after && (is_done || !is_before) {
        return Err(format!("the install is {found:?}"));
    }
    let left = disk.files_beneath("doom");
    let is_ours = |name: &&String| name.starts_with(".local.") || name.starts_with(".lanspread");
    if let Some(name) = left.iter().find(is_ours) {
        return Err(format!("{name} is left"));
    }
    for name in [".local.installing", ".local.backup"] {
        if disk.node(&format!("doom/{name}")).is_some() {
            return Err(format!("{name} is left"));
        }
    }
    for (name, text) in [("version.ini", "1"), ("doom.eti", "an archive"), ("note.txt", "somebody's")] {
        if disk.file(&format!("doom/{name}")).map(Content::to_vec).as_deref() != Some(text.as_bytes()) {
            return Err(format!("{name} was touched"));
        }
    }
    Ok(())
}

/// A file system that makes one mistake.
#[derive(Debug)]
struct Careless {
    inner: ModelFs,
    slip: Slip,
    fired: Arc<AtomicU64>,
}

impl Careless {
    fn fire(&self) {
        self.fired.fetch_add(1, Ordering::Relaxed);
    }

    fn is_staged(path: &FsPath) -> bool {
        path.parts().nth(1) == Some(".local.installing")
    }

    /// Deletes a tree without a word.
    fn delete(&self, at: &FsPath) -> io::Result<()> {
        for entry in self.inner.list(at)? {
            let EntryName::Utf8(name) = entry.name else { continue };
            let child = at.child(&name);
            if entry.kind == Kind::Dir { self.delete(&child)? } else { self.inner.remove_file(&child)? }
        }
        self.inner.remove_dir(at)
    }

    /// Writes the files of one tree over those of another.
    fn write_over(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        if self.inner.stat(to)?.is_none() {
            self.inner.create_dir(to)?;
        }
        for entry in self.inner.list(from)? {
            let EntryName::Utf8(name) = entry.name else { continue };
            let (a, b) = (from.child(&name), to.child(&name));
            if entry.kind == Kind::Dir {
                self.write_over(&a, &b)?;
            } else {
                let bytes = bonfire_disk::read_small(&self.inner, &a, 1 << 20)?.unwrap_or_default();
                let file = self.inner.open_write(&b, OpenMode::Either)?;
                file.set_len(0)?;
                write_all_at(&*file, &bytes, 0)?;
                file.sync()?;
            }
        }
        self.inner.sync_dir(to)
    }
}

impl Fs for Careless {
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
        let file = self.inner.open_read(path)?;
        if self.slip == Slip::CarriedNotSynced && Self::is_staged(path) {
            self.fire();
            return Ok(Box::new(Unsynced(file)));
        }
        Ok(file)
    }

    fn open_write(&self, path: &FsPath, mode: OpenMode) -> io::Result<Box<dyn FsFile>> {
        let file = self.inner.open_write(path, mode)?;
        if self.slip == Slip::UnpackedNotSynced && Self::is_staged(path) && !path.name().starts_with('.') {
            self.fire();
            return Ok(Box::new(Unsynced(file)));
        }
        Ok(file)
    }

    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        match self.slip {
            Slip::OldDeletedFirst if to.name() == ".local.backup" => {
                self.fire();
                self.delete(from)?;
                return self.inner.create_dir(to);
            }
            Slip::WrittenOver if to.name() == ".local.backup" => {
                self.fire();
                let staged = FsPath::root().child(GAME).child(".local.installing");
                self.write_over(&staged, from)?;
            }
            Slip::IntentDroppedFirst if to.name() == ".local.backup" => {
                self.fire();
                let root = FsPath::root().child(GAME);
                self.inner.remove_file(&root.child(".lanspread.json"))?;
                self.inner.sync_dir(&root)?;
            }
            _ => {}
        }
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.inner.hard_link(from, to)
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
        let skips = match self.slip {
            Slip::FoldersNotSynced => Self::is_staged(path) && path.parts().count() > 2,
            Slip::RootNotSynced => path.parts().count() == 1,
            _ => false,
        };
        if skips {
            self.fire();
            return Ok(());
        }
        self.inner.sync_dir(path)
    }

    fn sync_everything(&self, path: &FsPath) -> io::Result<bool> {
        self.inner.sync_everything(path)
    }

    fn free_space(&self) -> io::Result<u64> {
        self.inner.free_space()
    }
}

/// A file whose syncs do nothing.
#[derive(Debug)]
struct Unsynced(Box<dyn FsFile>);

impl FsFile for Unsynced {
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
        self.0.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn links(&self) -> io::Result<u64> {
        self.0.links()
    }

    fn stat(&self) -> io::Result<Meta> {
        self.0.stat()
    }

    fn set_mtime(&self, ms: i64) -> io::Result<()> {
        self.0.set_mtime(ms)
    }
}
