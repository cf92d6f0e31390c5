//! Made-up games: which versions of each exist anywhere in the room, and how a person puts one into a games folder.
//!
//! Bytes are sparse and tagged: a few bytes that name version, file and place, every 8 KiB and at the end, zeros between.
//! That keeps runs cheap and still shows any chunk that is out of place or of another version.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use bonfire_disk::fs::{EntryName, Fs, FsPath, Kind, OpenMode, write_all_at};
use bonfire_proto::chunk::CHUNK_LEN;
use bonfire_proto::game::{SENTINEL, is_reserved};
use bonfire_proto::{GameId, RelPath};

use super::random::Dice;
use crate::model_disk::{Content, Image};

/// Distance of two tags in a file.
const TAG_EVERY: u64 = 8 * 1024;
const TAG_LEN: u64 = 24;

/// The content of a file, by what each of its chunks is called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FilePlan {
    len: u64,
    chunks: Vec<u64>,
}

impl FilePlan {
    fn new(len: u64, dice: &mut Dice) -> Self {
        let chunks = (0..len.div_ceil(CHUNK_LEN)).map(|_| dice.roll()).collect();
        Self { len, chunks }
    }

    fn pieces(&self) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < self.len {
            let name = self.chunks.get(usize::try_from(at / CHUNK_LEN).unwrap_or(usize::MAX)).copied().unwrap_or(0);
            let len = TAG_LEN.min(self.len - at);
            let mut tag = Vec::with_capacity(24);
            tag.extend_from_slice(&name.to_le_bytes());
            tag.extend_from_slice(&at.to_le_bytes());
            tag.extend_from_slice(&(name ^ at).to_le_bytes());
            tag.truncate(usize::try_from(len).unwrap_or(0));
            out.push((at, tag));
            at += TAG_EVERY;
        }
        out
    }

    fn content(&self) -> Content {
        let pieces = self.pieces();
        let extents: Vec<(u64, &[u8])> = pieces.iter().map(|(at, bytes)| (*at, &**bytes)).collect();
        Content::sparse(self.len, &extents)
    }
}

/// One version of a game.
#[derive(Debug, Clone)]
pub(super) struct Version {
    /// As `version.ini` states it.
    pub(super) label: u64,
    plans: BTreeMap<String, FilePlan>,
    /// The bytes of each file, the sentinel among them.
    pub(super) files: BTreeMap<String, Content>,
}

impl Version {
    fn of(label: u64, plans: BTreeMap<String, FilePlan>) -> Self {
        let mut files: BTreeMap<String, Content> = plans.iter().map(|(p, f)| (p.clone(), f.content())).collect();
        files.insert(SENTINEL.to_owned(), Content::of(format!("{label}\n").as_bytes()));
        Self { label, plans, files }
    }

    /// A first version. `big` is the length of its archive.
    pub(super) fn first(big: u64, dice: &mut Dice) -> Self {
        let mut plans = BTreeMap::from([
            ("game.eti".to_owned(), FilePlan::new(big, dice)),
            ("extra/readme one.txt".to_owned(), FilePlan::new(1 + dice.below(6_000), dice)),
            ("extra/empty".to_owned(), FilePlan::new(0, dice)),
        ]);
        if dice.chance(50) {
            plans.insert("extra/more.dat".to_owned(), FilePlan::new(20_000 + dice.below(100_000), dice));
        }
        Self::of(1, plans)
    }

    /// The next version: one chunk of the archive differs, a file comes, a file goes, another differs; or a new archive
    /// of another length.
    pub(super) fn next(&self, label: u64, dice: &mut Dice) -> Self {
        let mut plans = self.plans.clone();
        if let Some(big) = plans.get_mut("game.eti") {
            if dice.chance(70) && !big.chunks.is_empty() {
                let at = dice.index(big.chunks.len());
                big.chunks[at] = dice.roll();
            } else {
                *big = FilePlan::new((big.len / 2 + 1).max(3_000), dice);
            }
        }
        if dice.chance(50) {
            plans.insert(format!("extra/new {label}.txt"), FilePlan::new(1 + dice.below(9_000), dice));
        }
        if dice.chance(30) {
            plans.remove("extra/more.dat");
        }
        if dice.chance(40) {
            plans.insert("extra/readme one.txt".to_owned(), FilePlan::new(1 + dice.below(6_000), dice));
        }
        Self::of(label, plans)
    }
}

/// Everything that was ever put into the room by a person.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    games: BTreeMap<GameId, Vec<Version>>,
    /// Files that a person put into a game root or changed there, by seat.
    by_hand: BTreeSet<(usize, GameId, String)>,
}

impl Shelf {
    pub(super) fn add(&mut self, game: &GameId, version: Version) {
        self.games.entry(game.clone()).or_default().push(version);
    }

    /// A person put a version into a game root.
    pub(super) fn put_by_hand(&mut self, seat: usize, game: &GameId, version: &Version) {
        let files = version.files.keys().map(|path| (seat, game.clone(), path.clone()));
        self.by_hand.extend(files);
    }

    /// A person changed a file in a game root.
    pub(super) fn changed_by_hand(&mut self, seat: usize, game: &GameId, path: &str) {
        self.by_hand.insert((seat, game.clone(), path.to_owned()));
    }

    /// Whether a person put a file there, or changed it, at some time: nobody can prove that it is Bonfire's, so it may stay.
    pub(super) fn is_by_hand(&self, seat: usize, game: &GameId, path: &str) -> bool {
        self.by_hand.contains(&(seat, game.clone(), path.to_owned()))
    }

    /// Whether a person ever put a file into a game root.
    pub(super) fn has_by_hand(&self, seat: usize, game: &GameId) -> bool {
        self.by_hand.iter().any(|(s, g, _)| *s == seat && g == game)
    }

    /// A root that holds a whole version and, beside it, files that a person put there and that Bonfire therefore leaves:
    /// from here on that is a version, too, for whoever fetches it.
    pub(super) fn adopt(&mut self, seat: usize, image: &Image, game: &GameId) -> bool {
        let here = payload(image, game);
        let content = |path: &str| image.file(&format!("{game}/{path}"));
        let is_persons = |path: &String| self.is_by_hand(seat, game, path);
        let known = self.games.get(game).into_iter().flatten();
        let found = known.filter(|v| {
            v.files.iter().all(|(path, c)| content(path) == Some(c))
                && here.iter().all(|path| v.files.contains_key(path) || is_persons(path))
        });
        let Some(mut adopted) = found.max_by_key(|v| v.label).cloned() else { return false };
        for path in here {
            if let Some(c) = content(&path) {
                adopted.files.insert(path, c.clone());
            }
        }
        self.add(game, adopted);
        true
    }

    pub(super) fn knows(&self, game: &GameId) -> bool {
        self.games.contains_key(game)
    }

    pub(super) fn newest(&self, game: &GameId) -> Option<&Version> {
        self.games.get(game)?.iter().max_by_key(|v| v.label)
    }

    /// The version that a game root holds: every file of it, byte for byte, and no other.
    pub(super) fn identify(&self, image: &Image, game: &GameId) -> Option<&Version> {
        let here = payload(image, game);
        self.games.get(game)?.iter().find(|v| {
            v.files.len() == here.len()
                && v.files.iter().all(|(path, content)| {
                    here.contains(path) && image.file(&format!("{game}/{path}")) == Some(content)
                })
        })
    }

    /// In what a root differs from the version that it resembles most, for people.
    pub(super) fn difference(&self, image: &Image, game: &GameId) -> String {
        let here = payload(image, game);
        let describe = |v: &Version| {
            let missing: Vec<&str> = v.files.keys().filter(|p| !here.contains(*p)).map(String::as_str).collect();
            let extra: Vec<&str> = here.iter().filter(|p| !v.files.contains_key(*p)).map(String::as_str).collect();
            let other: Vec<&str> = v
                .files
                .iter()
                .filter(|(p, c)| here.contains(*p) && image.file(&format!("{game}/{p}")) != Some(*c))
                .map(|(p, _)| p.as_str())
                .collect();
            let wrong = missing.len() + extra.len() + other.len();
            (wrong, format!("version {}: missing {missing:?}, extra {extra:?}, other bytes {other:?}", v.label))
        };
        let nearest = self.games.get(game).into_iter().flatten().map(describe).min_by_key(|(wrong, _)| *wrong);
        nearest.map_or_else(|| "no version exists".to_owned(), |(_, text)| text)
    }
}

/// Folder of a game root in which people keep files of their own beside what they downloaded.
pub(super) const OWN: &str = "own/";

/// The files of a game root that make its manifest.
pub(super) fn payload(image: &Image, game: &GameId) -> BTreeSet<String> {
    let all = image.files_beneath(game.as_str());
    let is_payload = |p: &String| !p.starts_with(OWN) && RelPath::new(p.as_str()).map_or(true, |p| !is_reserved(&p));
    all.into_iter().filter(is_payload).collect()
}

/// What a person does to a games folder, durably: a file manager that syncs.
pub(super) struct Person<'a> {
    pub(super) fs: &'a dyn Fs,
}

impl Person<'_> {
    /// Makes a game root hold exactly this version. Files that are right already are left alone.
    pub(super) fn put(&self, game: &GameId, version: &Version, image: &Image) -> io::Result<()> {
        let root = FsPath::game(game);
        for path in payload(image, game).iter().filter(|p| !version.files.contains_key(*p)) {
            self.delete(&root.child(path))?;
        }
        for (path, content) in &version.files {
            if image.file(&format!("{game}/{path}")) != Some(content) {
                self.write(&root.child(path), content)?;
            }
        }
        Ok(())
    }

    /// Writes one file and the folders above it.
    pub(super) fn write(&self, path: &FsPath, content: &Content) -> io::Result<()> {
        let mut above = Vec::new();
        let mut at = path.parent();
        while let Some(dir) = at {
            at = dir.parent();
            above.push(dir);
        }
        for dir in above.iter().rev().filter(|d| !d.is_root()) {
            if self.fs.stat(dir)?.is_none() {
                self.fs.create_dir(dir)?;
            }
        }
        let file = self.fs.open_write(path, OpenMode::Either)?;
        file.set_len(0)?;
        file.set_len(content.len())?;
        for (offset, bytes) in content.pieces(0, content.len()) {
            write_all_at(&*file, &bytes, offset)?;
        }
        file.sync()?;
        above.iter().try_for_each(|dir| self.fs.sync_dir(dir))
    }

    /// Changes one byte of a file.
    pub(super) fn flip(&self, path: &FsPath, offset: u64) -> io::Result<()> {
        let file = self.fs.open_write(path, OpenMode::Existing)?;
        let mut byte = [0u8];
        bonfire_disk::fs::read_full_at(&*file, &mut byte, offset)?;
        byte[0] ^= 0x55;
        write_all_at(&*file, &byte, offset)?;
        file.sync()
    }

    /// Deletes one file.
    pub(super) fn delete(&self, path: &FsPath) -> io::Result<()> {
        self.fs.remove_file(path)?;
        path.parent().map_or(Ok(()), |dir| self.fs.sync_dir(&dir))
    }

    /// Deletes a folder and all that is in it.
    pub(super) fn delete_tree(&self, dir: &FsPath) -> io::Result<()> {
        for entry in self.fs.list(dir)? {
            let EntryName::Utf8(name) = entry.name else { continue };
            match entry.kind {
                Kind::Dir => self.delete_tree(&dir.child(&name))?,
                _ => self.delete(&dir.child(&name))?,
            }
        }
        self.fs.remove_dir(dir)?;
        dir.parent().map_or(Ok(()), |above| self.fs.sync_dir(&above))
    }
}

/// The version that flipping one byte makes of another.
pub(super) fn flipped(version: &Version, path: &str, offset: u64) -> Version {
    let mut out = version.clone();
    if let Some(content) = out.files.get_mut(path) {
        let mut byte = [0u8];
        content.read(offset, &mut byte);
        content.write(offset, &[byte[0] ^ 0x55]);
    }
    out
}
