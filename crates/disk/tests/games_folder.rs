//! The games folder on the real disk: what is read, what is refused, what a transaction leaves.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bonfire_disk::{
    DiskError, Download, FileStamp, GamesFolder, HashError, Holder, Recovered, RemoveError, Sentinel, ServeError,
};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkRef, Digest, GameId, Manifest, ManifestFile, RelPath, chunk_count, chunk_span};
use tempfile::TempDir;

type Files = BTreeMap<&'static str, Vec<u8>>;

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

fn rel(p: &str) -> RelPath {
    RelPath::new(p).unwrap()
}

fn folder() -> (TempDir, GamesFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = GamesFolder::open(dir.path()).unwrap();
    (dir, folder)
}

fn put(dir: &TempDir, path: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| u8::try_from((i * 31 + i / 251) % 256).unwrap() ^ seed).collect()
}

fn files(seed: u8) -> Files {
    BTreeMap::from([
        ("version.ini", format!("{seed}\n").into_bytes()),
        ("doom.eti", bytes((9 << 20) + 5, seed)),
        ("maps/e1m1.wad", bytes(4 << 20, seed)),
        ("maps/empty", Vec::new()),
        ("read me.txt", bytes(100, seed)),
    ])
}

fn hashes(content: &[u8]) -> Vec<Digest> {
    let size = content.len() as u64;
    (0..chunk_count(size))
        .map(|i| {
            let (start, len) = chunk_span(size, i).unwrap();
            let start = usize::try_from(start).unwrap();
            chunk_hash(size, i, &content[start..start + usize::try_from(len).unwrap()])
        })
        .collect()
}

fn manifest(files: &Files) -> Manifest {
    let entry = |(p, c): (&&str, &Vec<u8>)| ManifestFile {
        path: rel(p),
        size: c.len() as u64,
        blake3: merge_chunk_hashes(&hashes(c)),
    };
    Manifest::new(game(), "v".to_owned(), files.iter().map(entry).collect())
}

fn without_hashes(manifest: &Manifest) -> Manifest {
    let bare = manifest.files.iter().map(|f| ManifestFile { blake3: None, ..f.clone() }).collect();
    Manifest::new(manifest.game_id.clone(), manifest.eti_version.clone(), bare)
}

fn content<'a>(d: &Download, files: &'a Files, file: u32) -> &'a [u8] {
    &files[d.manifest().files[file as usize].path.as_str()]
}

/// Writes chunks that are missing, at most `max`, as a transfer does: in pieces, marked, with a checkpoint each.
fn fetch(d: &mut Download, files: &Files, max: usize) -> usize {
    let missing: Vec<ChunkRef> = d.verified().zeros().filter_map(|n| d.layout().locate(n)).take(max).collect();
    let writer = d.writer();
    for at in &missing {
        let content = content(d, files, at.file);
        let size = content.len() as u64;
        let (start, len) = chunk_span(size, at.chunk).unwrap();
        let bytes = &content[usize::try_from(start).unwrap()..usize::try_from(start + len).unwrap()];
        for (i, piece) in bytes.chunks(256 << 10).enumerate() {
            writer.write_at(at.file, start + (i as u64) * (256 << 10), piece).unwrap();
        }
        d.mark_verified_with(*at, chunk_hash(size, at.chunk, bytes)).unwrap();
        d.checkpoint().unwrap();
    }
    missing.len()
}

fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(dir: &Path, prefix: &str, out: &mut BTreeMap<String, Vec<u8>>) {
        for e in fs::read_dir(dir).unwrap() {
            let e = e.unwrap();
            let name = format!("{prefix}{}", e.file_name().to_string_lossy());
            if e.file_type().unwrap().is_dir() {
                walk(&e.path(), &format!("{name}/"), out);
            } else {
                out.insert(name, fs::read(e.path()).unwrap_or_default());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(dir, "", &mut out);
    out
}

fn same(dir: &TempDir, files: &Files) {
    let mut got = tree(&dir.path().join("doom"));
    assert!(got.remove(".bonfire.download").is_some(), "what came is noted");
    assert_eq!(got.keys().map(String::as_str).collect::<Vec<_>>(), files.keys().copied().collect::<Vec<_>>());
    assert!(files.iter().all(|(p, c)| got[*p] == *c), "content differs");
}

fn download(folder: &GamesFolder, files: &Files, previous: &[RelPath]) {
    let mut d = folder.begin_download(&manifest(files), previous).unwrap();
    fetch(&mut d, files, usize::MAX);
    d.commit().unwrap();
}

#[test]
fn a_download_leaves_the_game_and_nothing_else() {
    let (dir, folder) = folder();
    let files = files(1);
    let m = manifest(&files);
    assert_eq!(folder.space_for(&m).unwrap(), m.size());
    let mut d = folder.begin_download(&m, &[]).unwrap();
    assert!(folder.fingerprint(&game()).unwrap().unwrap().in_transaction);
    fetch(&mut d, &files, usize::MAX);
    let done = d.commit().unwrap();
    assert_eq!(done.manifest, m);
    same(&dir, &files);
    for (f, stamp) in m.files.iter().zip(&done.stamps) {
        let hashed = folder.hash_file(&game(), &f.path, stamp, &|_| true).unwrap();
        assert_eq!(Some(hashed.blake3), f.blake3);
        assert_eq!(blake3::hash(&files[f.path.as_str()]).as_bytes(), &hashed.blake3.0);
    }
    let print = folder.fingerprint(&game()).unwrap().unwrap();
    assert!(!print.in_transaction && !print.installed && print.sentinel.is_some());
    assert_eq!(print.eti.len(), 1);
    assert!(folder.recover().unwrap().is_empty());
}

#[test]
fn a_download_of_unhashed_files_ends_with_every_hash_known() {
    let (dir, folder) = folder();
    let files = files(2);
    let mut d = folder.begin_download(&without_hashes(&manifest(&files)), &[]).unwrap();
    assert!(d.hashes(0).is_none());
    fetch(&mut d, &files, 2);
    drop(d);
    let mut d = folder.resume_download(&game()).unwrap();
    fetch(&mut d, &files, usize::MAX);
    let done = d.commit().unwrap();
    assert_eq!(done.manifest.content_hash, manifest(&files).content_hash);
    assert_eq!(done.hashes[0], hashes(&files["doom.eti"]));
    same(&dir, &files);
}

#[test]
fn a_killed_download_goes_on_from_its_checkpoint_and_finds_what_it_had_not_recorded() {
    let (dir, folder) = folder();
    let files = files(3);
    let m = manifest(&files);
    let eti = u32::try_from(m.files.iter().position(|f| f.path.as_str() == "doom.eti").unwrap()).unwrap();
    let mut d = folder.begin_download(&m, &[]).unwrap();
    d.set_hashes(eti, hashes(&files["doom.eti"])).unwrap();
    assert_eq!(fetch(&mut d, &files, 1), 1);
    d.writer().write_at(eti, 4 << 20, &files["doom.eti"][4 << 20..8 << 20]).unwrap();
    d.mark_verified(ChunkRef { file: eti, chunk: 1 }).unwrap();
    // No checkpoint: the bytes are there, the word is not.
    drop(d);
    let recovered = GamesFolder::open(dir.path()).unwrap().recover().unwrap();
    assert!(matches!(&recovered[..], [Recovered::Resumable { verified_bytes, .. }] if *verified_bytes == 4 << 20));
    let mut d = folder.resume_download(&game()).unwrap();
    assert_eq!(d.hashes(eti).unwrap().len(), 3);
    assert!(!d.verified().get(1));
    // The write after the checkpoint made it another file, so that its chunk on record has to be read again, too.
    assert!(!d.verified().get(0));
    assert_eq!(d.reuse(eti, &|_| true).unwrap(), 2);
    assert!(d.verified().get(0) && d.verified().get(1));
    fetch(&mut d, &files, usize::MAX);
    d.commit().unwrap();
    same(&dir, &files);
}

#[test]
fn a_file_deleted_during_a_pause_is_fetched_again() {
    let (dir, folder) = folder();
    let files = files(4);
    let mut d = folder.begin_download(&manifest(&files), &[]).unwrap();
    fetch(&mut d, &files, usize::MAX);
    d.suspend();
    fs::remove_file(dir.path().join("doom/maps/e1m1.wad")).unwrap();
    let mut d = folder.resume_download(&game()).unwrap();
    assert_eq!(d.verified().zeros().count(), 1);
    fetch(&mut d, &files, usize::MAX);
    d.commit().unwrap();
    same(&dir, &files);
}

#[test]
fn a_commit_with_a_missing_chunk_or_a_changed_file_is_refused() {
    let (dir, folder) = folder();
    let files = files(5);
    let mut d = folder.begin_download(&manifest(&files), &[]).unwrap();
    fetch(&mut d, &files, 2);
    assert!(matches!(d.commit(), Err(DiskError::Incomplete { missing: 4, .. })));
    let mut d = folder.resume_download(&game()).unwrap();
    fetch(&mut d, &files, usize::MAX);
    fs::write(dir.path().join("doom/read me.txt"), "short").unwrap();
    assert!(matches!(d.commit(), Err(DiskError::Changed { .. })));
    assert!(!dir.path().join("doom/version.ini").exists());
    let mut d = folder.resume_download(&game()).unwrap();
    assert_eq!(d.verified().zeros().count(), 1);
    fetch(&mut d, &files, usize::MAX);
    d.commit().unwrap();
    same(&dir, &files);
}

#[test]
fn a_verified_chunk_that_somebody_changed_is_fetched_again() {
    let (dir, folder) = folder();
    let files = files(4);
    let m = manifest(&files);
    let change = |dir: &TempDir| {
        let file = dir.path().join("doom/maps/e1m1.wad");
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        let mut changed = fs::read(&file).unwrap();
        changed[100..108].copy_from_slice(b"changed!");
        fs::write(&file, changed).unwrap();
        // Whatever the clock of this file system can tell apart.
        let later = before + std::time::Duration::from_secs(2);
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_modified(later).unwrap();
    };
    let mut d = folder.begin_download(&m, &[]).unwrap();
    fetch(&mut d, &files, usize::MAX);
    change(&dir);
    assert!(matches!(d.commit(), Err(DiskError::Changed { .. })), "no sentinel over what was never verified");
    let mut d = folder.resume_download(&game()).unwrap();
    let wad = u32::try_from(m.files.iter().position(|f| f.path.as_str() == "maps/e1m1.wad").unwrap()).unwrap();
    assert_eq!(d.verified().zeros().count(), 1);
    assert_eq!(d.reuse(wad, &|_| true).unwrap(), 0);
    fetch(&mut d, &files, usize::MAX);
    d.suspend();
    change(&dir);
    let mut d = folder.resume_download(&game()).unwrap();
    assert_eq!(d.verified().zeros().count(), 1);
    fetch(&mut d, &files, usize::MAX);
    d.commit().unwrap();
    same(&dir, &files);
}

#[test]
fn an_update_reuses_equal_chunks_and_removes_old_files() {
    let (dir, folder) = folder();
    let mut old = files(6);
    old.insert("gone/only-old.eti", bytes(10, 1));
    download(&folder, &old, &[]);
    let mut new = files(6);
    new.get_mut("doom.eti").unwrap()[5 << 20] ^= 1;
    new.insert("version.ini", b"7\n".to_vec());
    let previous: Vec<RelPath> = old.keys().map(|p| rel(p)).collect();
    let m = manifest(&new);
    let mut d = folder.begin_download(&m, &previous).unwrap();
    assert!(!dir.path().join("doom/version.ini").exists());
    for file in 0..d.layout().files() {
        let list = hashes(content(&d, &new, file));
        d.set_hashes(file, list).unwrap();
        d.reuse(file, &|_| true).unwrap();
    }
    // One chunk of the archive and the sentinel.
    assert_eq!(d.verified().zeros().count(), 2);
    fetch(&mut d, &new, usize::MAX);
    d.commit().unwrap();
    same(&dir, &new);
}

#[test]
fn a_whole_file_hash_is_enough_to_reuse_a_whole_file() {
    let (_dir, folder) = folder();
    let files = files(7);
    download(&folder, &files, &[]);
    let previous: Vec<RelPath> = files.keys().map(|p| rel(p)).collect();
    let mut d = folder.begin_download(&manifest(&files), &previous).unwrap();
    for file in 0..d.layout().files() {
        d.reuse(file, &|_| true).unwrap();
    }
    assert!(d.verified().is_full());
    d.commit().unwrap();
}

#[test]
fn a_cancelled_update_of_an_installed_game_settles_as_local_only() {
    let (dir, folder) = folder();
    let old = files(8);
    download(&folder, &old, &[]);
    for (path, bytes) in [("local/save", "s"), (".sync/x", "s"), (".softlan_game_installed", "s"), ("maps/mine", "m")] {
        put(&dir, &format!("doom/{path}"), bytes);
    }
    put(&dir, "doom/.lanspread.json", r#"{"intent":"None","other":[1,2]}"#);
    let previous: Vec<RelPath> = old.keys().map(|p| rel(p)).collect();
    let mut d = folder.begin_download(&manifest(&files(9)), &previous).unwrap();
    fetch(&mut d, &files(9), 2);
    let writer = d.writer();
    let report = d.discard().unwrap();
    assert_eq!(report.kept_unproven, ["maps/mine"]);
    assert!(!report.root_removed);
    assert!(matches!(writer.write_at(0, 0, b"late"), Err(DiskError::Busy { .. })));
    let left: Vec<String> = tree(&dir.path().join("doom")).into_keys().collect();
    assert_eq!(left, [".lanspread.json", ".softlan_game_installed", ".sync/x", "local/save", "maps/mine"]);
    let log: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.path().join("doom/.lanspread.json")).unwrap()).unwrap();
    assert_eq!(log, serde_json::json!({"intent": "None", "other": [1, 2]}));
    let print = folder.fingerprint(&game()).unwrap().unwrap();
    assert!(print.installed && print.sentinel.is_none() && !print.in_transaction);
}

#[test]
fn a_cancelled_first_download_leaves_no_root() {
    let (dir, folder) = folder();
    let mut d = folder.begin_download(&manifest(&files(1)), &[]).unwrap();
    fetch(&mut d, &files(1), 2);
    let report = d.discard().unwrap();
    assert!(report.root_removed && report.kept_unproven.is_empty());
    assert!(!dir.path().join("doom").exists());
}

#[test]
fn files_of_others_at_payload_paths_are_refused_or_kept() {
    let (dir, folder) = folder();
    let files = files(1);
    put(&dir, "doom/read me.txt", "not the same length");
    let error = folder.begin_download(&manifest(&files), &[]).unwrap_err();
    assert!(matches!(&error, DiskError::Occupied { path, count: 1 } if path.ends_with("read me.txt")), "{error}");
    assert_eq!(tree(&dir.path().join("doom")).len(), 1, "nothing is left by a refusal");
    put(&dir, "doom/read me.txt", &files["read me.txt"]);
    let mut d = folder.begin_download(&manifest(&files), &[]).unwrap();
    fetch(&mut d, &files, 1);
    let report = d.discard().unwrap();
    assert_eq!(report.kept_unproven, ["read me.txt"]);
    assert_eq!(fs::read(dir.path().join("doom/read me.txt")).unwrap(), files["read me.txt"]);
}

#[test]
fn a_second_transaction_on_a_game_is_busy() {
    let (_dir, folder) = folder();
    let d = folder.begin_download(&manifest(&files(1)), &[]).unwrap();
    assert!(matches!(folder.resume_download(&game()), Err(DiskError::Busy { .. })));
    assert!(matches!(folder.clone().begin_download(&manifest(&files(1)), &[]), Err(DiskError::Busy { .. })));
    assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::Disk(DiskError::Busy { .. }))));
    drop(d);
    assert!(matches!(folder.begin_download(&manifest(&files(1)), &[]), Err(DiskError::Busy { .. })), "it is on record");
    folder.resume_download(&game()).unwrap().discard().unwrap();
    assert!(matches!(folder.resume_download(&game()), Err(DiskError::NotFound { .. })));
}

#[test]
fn records_that_are_not_understood_are_left_untouched() {
    for (name, text) in [
        (".lanspread.json", "not json"),
        (".lanspread.json", r#"{"intent":"Dancing"}"#),
        (".lanspread.json", r#"{"intent":"Downloading","bonfire_download":{"owned":["../x"]}}"#),
        (".bonfire.part", "another program's"),
        (".bonfire.part", "BFPART9\nlater"),
    ] {
        let (dir, folder) = folder();
        put(&dir, "doom/doom.eti", "payload");
        put(&dir, &format!("doom/{name}"), text);
        put(&dir, "fine/version.ini", "1");
        put(&dir, "fine/.version.ini.tmp", "scratch");
        let before = tree(&dir.path().join("doom"));
        let found = folder.recover().unwrap();
        assert!(matches!(&found[0], Recovered::Failed { error: DiskError::UnknownFormat { .. }, .. }), "{found:?}");
        assert!(matches!(&found[1], Recovered::Discarded { .. }), "one bad root never stops the others");
        let error = folder.begin_download(&manifest(&files(1)), &[]).unwrap_err();
        assert!(matches!(error, DiskError::UnknownFormat { .. }), "{error}");
        assert_eq!(tree(&dir.path().join("doom")), before);
    }
}

#[test]
fn a_download_whose_journal_is_lost_is_swept_by_its_intent() {
    let (dir, folder) = folder();
    let mut d = folder.begin_download(&manifest(&files(1)), &[]).unwrap();
    fetch(&mut d, &files(1), 3);
    drop(d);
    put(&dir, "doom/mine", "m");
    fs::remove_file(dir.path().join("doom/.bonfire.part")).unwrap();
    let found = folder.recover().unwrap();
    assert!(matches!(&found[..], [Recovered::Swept { report, .. }] if report.kept_unproven == ["mine"]), "{found:?}");
    assert_eq!(tree(&dir.path().join("doom")).into_keys().collect::<Vec<_>>(), ["mine"]);
    assert!(matches!(&folder.recover().unwrap()[..], [Recovered::Unproven { paths, .. }] if paths == &["mine"]));
}

#[test]
fn removal_takes_what_a_walk_lists_and_only_then() {
    let (dir, folder) = folder();
    assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::NotHere { .. })));
    download(&folder, &files(1), &[]);
    put(&dir, "doom/local/save", "s");
    assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::Installed { .. })));
    fs::remove_dir_all(dir.path().join("doom/local")).unwrap();
    put(&dir, "doom/.local.backup", "even a file");
    assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::Installed { .. })));
    fs::remove_file(dir.path().join("doom/.local.backup")).unwrap();
    put(&dir, "doom/.softlan_game_installed", "s");
    put(&dir, "other/version.ini", "1");
    let report = folder.remove_downloaded(&game()).unwrap();
    assert_eq!((report.removed, report.root_removed), (5, false));
    assert_eq!(tree(dir.path()).into_keys().collect::<Vec<_>>(), ["doom/.softlan_game_installed", "other/version.ini"]);
    assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::NotDownloaded { .. })));
    fs::remove_file(dir.path().join("doom/.softlan_game_installed")).unwrap();
    put(&dir, "doom/version.ini", "");
    assert!(folder.remove_downloaded(&game()).unwrap().root_removed);
}

#[test]
fn the_catalog_is_replaced_and_absent_is_not_an_error() {
    let (dir, folder) = folder();
    assert_eq!(folder.catalog_read().unwrap(), None);
    folder.catalog_write(b"{}").unwrap();
    folder.catalog_write(b"[]").unwrap();
    assert_eq!(folder.catalog_read().unwrap().unwrap(), b"[]");
    assert_eq!(tree(dir.path()).len(), 1);
    assert!(folder.free_space().unwrap() > 0);
    folder.is_writable().unwrap();
    assert_eq!(tree(dir.path()).len(), 1);
}

#[test]
fn a_games_folder_is_claimed_by_one_at_a_time() {
    let (dir, folder) = folder();
    let holder = |pid| Holder { pid, program: "bonfire".to_owned() };
    let claim = folder.claim(&holder(7)).unwrap();
    let refusal = GamesFolder::open(dir.path()).unwrap().claim(&holder(8)).unwrap_err();
    assert_eq!((refusal.code(), refusal.class()), ("games_folder_in_use", bonfire_engine::ErrorClass::Refused));
    assert!(refusal.to_string().contains("process 7 (bonfire) holds"), "{refusal}");
    assert!(folder.games().unwrap().games.is_empty() && folder.games().unwrap().problems.is_empty());
    drop(claim);
    folder.claim(&holder(8)).unwrap();
}

#[test]
fn what_lies_under_the_names_of_scratch_and_is_no_file_stays() {
    let (dir, folder) = folder();
    for name in [".bonfire.probe/x", ".catalog.json.tmp/x", ".bonfire.lock/x"] {
        put(&dir, name, "mine");
    }
    assert!(folder.recover().unwrap().is_empty());
    assert!(folder.claim(&Holder { pid: 1, program: String::new() }).is_err());
    assert_eq!(tree(dir.path()).len(), 3);
}

#[test]
fn a_version_ini_is_written_only_where_there_is_none() {
    let (dir, folder) = folder();
    assert!(matches!(folder.write_version_ini(&game(), "1\n"), Err(DiskError::NotFound { .. })));
    put(&dir, "doom/doom.eti", "x");
    assert_eq!(folder.read_version(&game()).unwrap(), None);
    folder.write_version_ini(&game(), "1.5\n").unwrap();
    assert_eq!(folder.read_version(&game()).unwrap().unwrap(), "1.5");
    assert!(matches!(folder.write_version_ini(&game(), "2\n"), Err(DiskError::InTheWay { .. })));
    assert_eq!(folder.walk(&game()).unwrap().eti_version, "1.5");
}

#[test]
fn a_walk_lists_payload_and_leaves_out_what_is_private() {
    let (dir, folder) = folder();
    for p in ["version.ini", "a.eti", "Data/x", "local/save", ".sync/x", ".local.backup/x", ".softlan_game_installed"] {
        put(&dir, &format!("doom/{p}"), "x");
    }
    let walked = folder.walk(&game()).unwrap();
    let paths: Vec<&str> = walked.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["Data/x", "a.eti", "version.ini"]);
    assert_eq!((walked.sentinel, walked.installed), (Sentinel::Regular, true));
    assert!(walked.problems.is_empty());
    assert!(matches!(folder.walk(&GameId::new("nothing").unwrap()), Err(DiskError::NotFound { .. })));
}

#[test]
fn an_empty_game_and_empty_files_are_games_too() {
    let (dir, folder) = folder();
    fs::create_dir(dir.path().join("doom")).unwrap();
    let walked = folder.walk(&game()).unwrap();
    assert_eq!((walked.files.len(), walked.sentinel), (0, Sentinel::Absent));
    let only = Files::from([("version.ini", Vec::new())]);
    let d = folder.begin_download(&manifest(&only), &[]).unwrap();
    assert!(d.verified().is_full());
    let done = d.commit().unwrap();
    assert_eq!(done.manifest.files[0].blake3.unwrap().0, *blake3::hash(b"").as_bytes());
    assert_eq!(folder.walk(&game()).unwrap().sentinel, Sentinel::Regular);
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_not_hashed() {
    let (dir, folder) = folder();
    put(&dir, "doom/a.eti", bytes(3 << 20, 1));
    let path = rel("a.eti");
    let stamp = folder.walk(&game()).unwrap().files[0].stamp();
    let file = dir.path().join("doom/a.eti");
    let append = |_| {
        use std::io::Write as _;
        fs::OpenOptions::new().append(true).open(&file).unwrap().write_all(b"x").unwrap();
        true
    };
    assert!(matches!(folder.hash_file(&game(), &path, &stamp, &append), Err(HashError::Changed { .. })));
    assert!(matches!(folder.hash_file(&game(), &path, &stamp, &|_| true), Err(HashError::Changed { .. })));
    let stamp = folder.walk(&game()).unwrap().files[0].stamp();
    assert!(matches!(folder.hash_file(&game(), &path, &stamp, &|_| false), Err(HashError::Cancelled)));
    let cut = |_| {
        fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(10).unwrap();
        true
    };
    assert!(matches!(folder.hash_file(&game(), &path, &stamp, &cut), Err(HashError::Changed { .. })));
    fs::remove_file(&file).unwrap();
    assert!(matches!(folder.hash_file(&game(), &path, &stamp, &|_| true), Err(HashError::Changed { .. })));
}

// Elsewhere a file that is open cannot be replaced.
#[cfg(unix)]
#[test]
fn a_file_that_is_replaced_while_it_is_hashed_is_not_hashed() {
    let (dir, folder) = folder();
    put(&dir, "doom/a.eti", bytes(3 << 20, 1));
    let stamp = folder.walk(&game()).unwrap().files[0].stamp();
    let replace = |_| {
        put(&dir, "new", bytes(3 << 20, 2));
        fs::rename(dir.path().join("new"), dir.path().join("doom/a.eti")).unwrap();
        true
    };
    assert!(matches!(folder.hash_file(&game(), &rel("a.eti"), &stamp, &replace), Err(HashError::Changed { .. })));
}

#[test]
fn a_file_that_changes_while_it_is_served_is_not_served() {
    let (dir, folder) = folder();
    let content = bytes((4 << 20) + 7, 1);
    put(&dir, "doom/a.eti", &content);
    let stamp = folder.walk(&game()).unwrap().files[0].stamp();
    let served = folder.open_serving(&game(), &rel("a.eti"), &stamp).unwrap();
    let mut buf = Vec::new();
    served.read_chunk(1, &mut buf).unwrap();
    assert_eq!(buf, content[4 << 20..]);
    served.read_chunk(0, &mut buf).unwrap();
    assert_eq!(buf, content[..4 << 20]);
    assert!(matches!(served.read_chunk(2, &mut buf), Err(ServeError::OutOfRange { .. })));
    fs::OpenOptions::new().write(true).open(dir.path().join("doom/a.eti")).unwrap().set_len(5 << 20).unwrap();
    assert!(matches!(served.read_chunk(0, &mut buf), Err(ServeError::Changed { .. })));
    fs::OpenOptions::new().write(true).open(dir.path().join("doom/a.eti")).unwrap().set_len(5).unwrap();
    assert!(matches!(served.read_chunk(0, &mut buf), Err(ServeError::Changed { .. })));
    assert!(matches!(folder.open_serving(&game(), &rel("a.eti"), &stamp), Err(ServeError::Changed { .. })));
}

#[test]
fn local_and_scratch_are_never_served() {
    let (dir, folder) = folder();
    for p in ["local/save", ".bonfire.part", "LOCAL/save", ".sync/x"] {
        put(&dir, &format!("doom/{p}"), "x");
        let stamp = FileStamp { size: 1, mtime_ns: 0 };
        let error = folder.open_serving(&game(), &rel(p), &stamp).unwrap_err();
        assert!(matches!(error, ServeError::OutOfRange { .. }), "{p}: {error}");
    }
}

#[test]
fn a_games_folder_that_vanishes_is_an_error_and_not_an_empty_library() {
    let outer = tempfile::tempdir().unwrap();
    let path = outer.path().join("games");
    fs::create_dir_all(path.join("doom")).unwrap();
    let folder = GamesFolder::open(&path).unwrap();
    assert_eq!(folder.games().unwrap().games, [game()]);
    fs::rename(&path, outer.path().join("moved")).unwrap();
    assert_eq!(folder.games().unwrap_err().code(), "not_found");
    fs::create_dir(&path).unwrap();
    #[cfg(unix)]
    assert_eq!(folder.games().unwrap_err().code(), "not_found", "another folder in its place is not it");
    fs::remove_dir(&path).unwrap();
    assert_eq!(GamesFolder::open(&path).unwrap_err().code(), "not_found");
}

#[cfg(unix)]
#[test]
fn names_that_collide_by_case_are_reported_and_left_out() {
    let (dir, folder) = folder();
    for p in ["doom/Data/a", "doom/data/b", "Doom/x", "doom/caf\u{e9}", "doom/cafe\u{301}"] {
        put(&dir, p, "x");
    }
    let listing = folder.games().unwrap();
    let walked = folder.walk(&game()).unwrap();
    if walked.problems.is_empty() {
        // This file system keeps one name of each pair itself.
        assert!(listing.problems.is_empty());
        return;
    }
    assert_eq!((listing.games.len(), listing.problems.len()), (1, 1));
    assert_eq!(walked.problems.len(), 2, "{:?}", walked.problems);
    let manifest =
        walked.files.iter().map(|f| ManifestFile { path: f.path.clone(), size: f.size, blake3: None }).collect();
    bonfire_proto::rel_path::check_collisions(
        Manifest::new(game(), String::new(), manifest).files.iter().map(|f| &f.path),
    )
    .unwrap();
}

#[test]
fn many_threads_write_one_download() {
    let (dir, folder) = folder();
    let files = files(11);
    let m = manifest(&files);
    let mut d = folder.begin_download(&m, &[]).unwrap();
    std::thread::scope(|s| {
        for (i, f) in (0u32..).zip(&m.files) {
            for (n, piece) in files[f.path.as_str()].chunks(300_000).enumerate() {
                let writer = d.writer();
                s.spawn(move || writer.write_at(i, (n * 300_000) as u64, piece).unwrap());
            }
        }
    });
    for (i, f) in (0u32..).zip(&m.files) {
        d.set_hashes(i, hashes(&files[f.path.as_str()])).unwrap();
        for chunk in 0..chunk_count(f.size) {
            d.mark_verified(ChunkRef { file: i, chunk }).unwrap();
        }
    }
    d.commit().unwrap();
    same(&dir, &files);
}

#[test]
fn wrong_hashes_and_bytes_beyond_the_end_are_refused() {
    let (_dir, folder) = folder();
    let files = files(12);
    let m = manifest(&files);
    let at = |p: &str| u32::try_from(m.files.iter().position(|f| f.path.as_str() == p).unwrap()).unwrap();
    let eti = at("doom.eti");
    let mut d = folder.begin_download(&m, &[]).unwrap();
    let mut list = hashes(&files["doom.eti"]);
    list.swap(0, 1);
    assert!(matches!(d.set_hashes(eti, list.clone()), Err(DiskError::Mismatch { .. })));
    assert!(matches!(d.set_hashes(eti, list[..2].to_vec()), Err(DiskError::Mismatch { .. })));
    assert!(matches!(d.set_hashes(99, list.clone()), Err(DiskError::Mismatch { .. })));
    assert!(matches!(d.mark_verified(ChunkRef { file: eti, chunk: 0 }), Err(DiskError::Mismatch { .. })), "no digest");
    assert!(matches!(d.mark_verified(ChunkRef { file: eti, chunk: 9 }), Err(DiskError::Mismatch { .. })));
    assert!(matches!(d.writer().write_at(eti, 9 << 20, b"123456"), Err(DiskError::Mismatch { .. })));
    assert!(matches!(d.writer().write_at(99, 0, b"1"), Err(DiskError::Mismatch { .. })));
    let wad = at("maps/e1m1.wad");
    let wrong = ChunkRef { file: wad, chunk: 0 };
    assert!(matches!(d.mark_verified_with(wrong, list[0]), Err(DiskError::Mismatch { .. })), "known by the manifest");
    // Chunks of a lying source: each digest is believed until the file is complete.
    for (chunk, digest) in (0u32..).zip(&list) {
        let result = d.mark_verified_with(ChunkRef { file: eti, chunk }, *digest);
        assert_eq!(result.is_err(), chunk == 2, "{result:?}");
    }
    assert_eq!(d.layout().range(eti).unwrap().filter(|n| d.verified().get(*n)).count(), 0);
    d.discard().unwrap();
}

#[test]
fn a_manifest_that_breaks_a_rule_is_refused_before_anything_is_made() {
    let (dir, folder) = folder();
    let file = |p: &str, size| ManifestFile { path: rel(p), size, blake3: None };
    for files in [
        vec![file("a.eti", 1)],
        vec![file("local/x", 1), file("version.ini", 1)],
        vec![file("A", 1), file("a", 1), file("version.ini", 1)],
        vec![file("version.ini", 1 << 20)],
        vec![file("a", 1 << 40), file("version.ini", 1)],
    ] {
        assert!(folder.begin_download(&Manifest::new(game(), String::new(), files), &[]).is_err());
    }
    let lie = ManifestFile { path: rel("a"), size: 0, blake3: Some(Digest([1; 32])) };
    let m = Manifest::new(game(), String::new(), vec![lie, file("version.ini", 1)]);
    assert!(matches!(folder.begin_download(&m, &[]), Err(DiskError::Mismatch { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_game_of_many_files_is_walked_downloaded_and_cancelled() {
    // Unoptimised, a tenth shows the same.
    let count = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
    let (dir, folder) = folder();
    let mut files: Vec<ManifestFile> =
        (0..count).map(|i| ManifestFile { path: rel(&format!("d{}/f{i}", i % 100)), size: 3, blake3: None }).collect();
    files.push(ManifestFile { path: rel("version.ini"), size: 2, blake3: None });
    let m = Manifest::new(game(), String::new(), files);
    let mut d = folder.begin_download(&m, &[]).unwrap();
    let writer = d.writer();
    for (i, f) in (0u32..).zip(&m.files) {
        let content: &[u8] = if f.size == 2 { b"1\n" } else { b"abc" };
        writer.write_at(i, 0, content).unwrap();
        d.mark_verified_with(ChunkRef { file: i, chunk: 0 }, chunk_hash(f.size, 0, content)).unwrap();
        if i == 5_000 {
            d.checkpoint().unwrap();
        }
    }
    d.suspend();
    let d = folder.resume_download(&game()).unwrap();
    assert!(d.verified().is_full());
    d.commit().unwrap();
    let walked = folder.walk(&game()).unwrap();
    assert_eq!(walked.files.len(), count + 1);
    let paths: Vec<RelPath> = walked.files.into_iter().map(|f| f.path).collect();
    let d = folder.begin_download(&m, &paths).unwrap();
    let report = d.discard().unwrap();
    assert_eq!(report.removed, count as u64);
    assert!(report.root_removed && !dir.path().join("doom").exists());
}

#[test]
fn a_sparse_file_of_five_gib_is_walked_served_and_hashed_in_part() {
    let (dir, folder) = folder();
    fs::create_dir(dir.path().join("doom")).unwrap();
    let size = 5u64 << 30;
    fs::File::create(dir.path().join("doom/big.eti")).unwrap().set_len(size).unwrap();
    let file = &folder.walk(&game()).unwrap().files[0];
    assert_eq!(file.size, size);
    let served = folder.open_serving(&game(), &file.path, &file.stamp()).unwrap();
    let mut buf = Vec::new();
    served.read_chunk(chunk_count(size) - 1, &mut buf).unwrap();
    assert_eq!(buf.len(), 4 << 20);
    let read = std::cell::Cell::new(0);
    let some = |n| {
        read.set(read.get() + n);
        read.get() < 64 << 20
    };
    let result = folder.hash_file(&game(), &file.path, &file.stamp(), &some);
    assert!(matches!(result, Err(HashError::Cancelled)) && read.get() == 64 << 20);
}

#[test]
fn a_recorded_download_is_cancelled_even_where_it_could_not_go_on() {
    let (dir, folder) = folder();
    assert!(matches!(folder.discard_recorded(&game()), Err(DiskError::NotFound { .. })));
    let mut d = folder.begin_download(&manifest(&files(1)), &[]).unwrap();
    fetch(&mut d, &files(1), 2);
    assert!(matches!(folder.discard_recorded(&game()), Err(DiskError::Busy { .. })));
    drop(d);
    assert!(folder.is_resumable(&game()).unwrap());
    fs::remove_file(dir.path().join("doom/doom.eti")).unwrap();
    fs::create_dir(dir.path().join("doom/doom.eti")).unwrap();
    assert!(matches!(folder.resume_download(&game()), Err(DiskError::InTheWay { .. })));
    put(&dir, "doom/doom.eti/mine", "m");
    let report = folder.discard_recorded(&game()).unwrap();
    assert_eq!(report.kept_unproven, ["doom.eti/mine"]);
    assert!(!folder.is_resumable(&game()).unwrap());
    assert_eq!(tree(dir.path()).into_keys().collect::<Vec<_>>(), ["doom/doom.eti/mine"]);
}

#[test]
fn a_download_begins_where_only_scratch_was_left() {
    let (dir, folder) = folder();
    put(&dir, "doom/.version.ini.tmp", "1\n");
    let files = files(1);
    drop(folder.begin_download(&manifest(&files), &[]).unwrap());
    assert!(dir.path().join("doom/.bonfire.part").exists());
}
