//! Changed intent logs, journals, notes and records of installs, for as long as one likes: no reader may panic, recovery
//! twice is recovery once, and what is a person's own is there afterwards.
//!
//! `cargo run -p bonfire-disk --example fuzz -- SECONDS [SEED]` takes each document for that many seconds, in roots that hold
//! an install, its staging and its backup in every combination. A change is bytes, pieces cut, doubled and exchanged, and
//! words of the formats; mostly the checks of a journal's records are made right again. A failure prints what replays it.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people who read its output")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use bonfire_disk::{GamesFolder, Recovered};
use bonfire_proto::game::ManifestFile;
use bonfire_proto::{GameId, Manifest, RelPath, chunk_count};

const HANGS: Duration = Duration::from_secs(20);
/// A file of the player in the install, which no recovery may lose.
const SAVE: &str = "years of it";
/// Beside the game, with a name that no document says.
const OWN: &str = "person/notes.txt";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Document {
    IntentLog,
    Journal,
    Note,
    Record,
}

const DOCUMENTS: [Document; 4] = [Document::IntentLog, Document::Journal, Document::Note, Document::Record];

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("a number"));
    let seconds = arguments.next().unwrap_or(10);
    let begin = arguments.next().unwrap_or(1);
    let seeds = Seeds::new();
    let mut failed = 0;
    for document in DOCUMENTS {
        let (since, mut number, mut understood) = (Instant::now(), begin, 0u64);
        while since.elapsed() < Duration::from_secs(seconds) {
            let begun = Instant::now();
            match catch_unwind(AssertUnwindSafe(|| run(document, &seeds, number))) {
                Ok(was_understood) => understood += u64::from(was_understood),
                Err(why) => {
                    let why = why.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
                    println!("{document:?}: seed {number}: {why}");
                    failed += 1;
                }
            }
            if begun.elapsed() > HANGS {
                println!("{document:?}: seed {number}: {:?}", begun.elapsed());
                failed += 1;
            }
            number += 1;
        }
        let count = number - begin;
        println!("{document:?}: {count} roots in {seconds} s, in {understood} of them the document was understood");
    }
    assert_eq!(failed, 0, "failures");
}

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

/// Documents as transactions leave them.
struct Seeds(BTreeMap<u8, Vec<Vec<u8>>>);

impl Seeds {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("doom");
        let file = |path: &str, bytes: &[u8]| ManifestFile {
            path: RelPath::new(path).unwrap(),
            size: bytes.len() as u64,
            blake3: Some(bonfire_proto::Digest(*blake3::hash(bytes).as_bytes())),
        };
        let files = vec![file("doom.eti", b"an archive"), file("version.ini", b"1")];
        assert!(files.iter().all(|f| chunk_count(f.size) == 1));
        let manifest = Manifest::new(game(), "1".to_owned(), files);
        let folder = GamesFolder::open(dir.path()).unwrap();
        let mut download = folder.begin_download(&manifest, &[]).unwrap();
        let read = |name: &str| fs::read(root.join(name)).unwrap();
        let mut journals = vec![read(".bonfire.part")];
        let mut logs = vec![read(".lanspread.json")];
        for (file, bytes) in [(0, b"an archive".as_slice()), (1, b"1")] {
            download.writer().write_at(file, 0, bytes).unwrap();
            download.mark_verified(bonfire_proto::ChunkRef { file, chunk: 0 }).unwrap();
            download.checkpoint().unwrap();
            journals.push(read(".bonfire.part"));
        }
        download.commit().unwrap();
        let notes = vec![read(".bonfire.download")];
        for intent in ["None", "Installing", "Updating"] {
            for created in [true, false] {
                let log = format!(
                    r#"{{"schema_version":1,"id":"doom","intent":"{intent}","bonfire_install":{{"created":{created}}},"other":7}}"#
                );
                logs.push(log.into_bytes());
            }
        }
        let hash = blake3::hash(b"a program").to_hex();
        let record = format!(
            r#"{{"format":1,"version":"1","files":{{"doom.exe":{{"size":9,"mtime_ns":1,"inode":0,"ctime_ns":0,"blake3":"{hash}"}}}}}}"#
        );
        Self([(0, logs), (1, journals), (2, notes), (3, vec![record.into_bytes()])].into())
    }

    fn of(&self, document: Document) -> &[Vec<u8>] {
        &self.0[&(document as u8)]
    }
}

/// One root with one changed document. Returns whether it was understood.
///
/// # Panics
/// When something does not hold.
fn run(document: Document, seeds: &Seeds, number: u64) -> bool {
    let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (document as u64 + 1));
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("doom");
    let put = |path: &str, bytes: &[u8]| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put("doom.eti", b"an archive");
    put(OWN, b"mine");
    if random.below(4) > 0 {
        put("version.ini", b"1");
    }
    // What is ours by its marker is a copy, or on its way out; an install and a backup without one may be all there is.
    let mut is_at_stake = false;
    for (folder, with) in [("local", 2), (".local.installing", 3), (".local.backup", 3)] {
        let how = random.below(with + 1);
        if how > 0 {
            is_at_stake |= folder != ".local.installing" && how < 3;
            put(&format!("{folder}/slot.sav"), SAVE.as_bytes());
            put(&format!("{folder}/doom.exe"), b"a program");
        }
        if how == 3 {
            put(&format!("{folder}/.lanspread_owned"), b"");
        }
    }
    let bytes = changed(seeds.of(document), document, &mut random);
    let at = match document {
        Document::IntentLog => ".lanspread.json",
        Document::Journal => ".bonfire.part",
        Document::Note => ".bonfire.download",
        Document::Record => "local/.bonfire.install",
    };
    put(at, &bytes);
    if document == Document::Journal {
        let logs = seeds.of(Document::IntentLog);
        put(".lanspread.json", &logs[random.below(logs.len())]);
    }
    let folder = GamesFolder::open(dir.path()).unwrap();
    let found = folder.recover().expect("the games folder is there");
    let once = tree(&root);
    folder.recover().expect("the games folder is there");
    assert_eq!(once, tree(&root), "recovery twice is not recovery once");
    assert_eq!(once.get(OWN).map(Vec::as_slice), Some(b"mine".as_slice()), "a person's own file is gone");
    let is_whole =
        |intent: &str| serde_json::from_slice::<serde_json::Value>(&bytes).is_ok_and(|v| v["intent"] == intent);
    let may_go = document == Document::IntentLog && is_whole("Uninstalling");
    if is_at_stake && !may_go {
        assert!(once.values().any(|bytes| bytes == SAVE.as_bytes()), "the player's file is gone: {:?}", once.keys());
    }
    let note = folder.download_note(&game()).ok().flatten().is_some();
    let version = folder.installed_version(&game()).ok().flatten().is_some();
    drop(folder.check_install(&game(), &|_| true));
    match document {
        Document::IntentLog | Document::Journal => !found.iter().any(|f| matches!(f, Recovered::Failed { .. })),
        Document::Note => note,
        Document::Record => version,
    }
}

fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(top: &Path, at: &Path, out: &mut BTreeMap<String, Vec<u8>>) {
        let Ok(entries) = fs::read_dir(at) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(top, &path, out);
            } else {
                let name = path.strip_prefix(top).unwrap().to_string_lossy().replace('\\', "/");
                out.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

/// Words that the readers look for.
const WORDS: [&str; 14] = [
    "\"intent\"",
    "\"None\"",
    "\"Downloading\"",
    "\"Installing\"",
    "\"Updating\"",
    "\"bonfire_download\"",
    "\"bonfire_install\"",
    "\"owned\"",
    "\"created\"",
    "true",
    "null",
    "{}",
    "[]",
    "..",
];

fn changed(seeds: &[Vec<u8>], document: Document, random: &mut Random) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len().max(1));
        let len = random.below(bytes.len().saturating_sub(at).min(40) + 1);
        match random.below(7) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'{', b'/'][random.below(8)],
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..at + len)),
            4 => {
                let piece = bytes[at..at + len].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let word = WORDS[random.below(WORDS.len())].bytes();
                bytes.splice(at.min(bytes.len())..at + len, word);
            }
            _ => {
                let other = &seeds[random.below(seeds.len())];
                let cut = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[cut..]);
            }
        }
    }
    if document == Document::Journal && random.below(4) > 0 {
        mend(&mut bytes);
    }
    if document == Document::Note && random.below(4) > 0 {
        if let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            bytes.truncate(end);
        }
        let hash = blake3::hash(&bytes).to_hex();
        bytes.extend_from_slice(format!("\n{hash}\n").as_bytes());
    }
    bytes
}

/// Makes the checks of a journal's records right.
fn mend(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(head) = bytes.get(at..at + 12) {
        let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let Some(body) = bytes.get(at + 12..at.saturating_add(12).saturating_add(len)) else { return };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&head[..4]);
        hasher.update(body);
        let check = *hasher.finalize().as_bytes();
        bytes[at + 4..at + 12].copy_from_slice(&check[..8]);
        at += 12 + len;
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most.max(1) as u64).unwrap_or(0)
    }
}
