//! The note of what was downloaded, in the game root: what is a person's own there stays, whatever else is forgotten.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use bonfire_disk::{DiskError, GamesFolder, RemoveError};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkRef, GameId, Manifest, ManifestFile, RelPath};
use tempfile::TempDir;

const NOTE: &str = ".bonfire.download";

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

fn files(version: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut files = vec![
        ("data/maps.wad", vec![3; 5_000]),
        ("doom.eti", version.as_bytes().repeat(7_000)),
        ("version.ini", format!("{version}\n").into_bytes()),
    ];
    if version == "1" {
        files.push(("zz/gone.eti", vec![4; 10]));
    }
    files
}

fn manifest(version: &str) -> Manifest {
    let entry = |(path, content): &(&str, Vec<u8>)| {
        let size = content.len() as u64;
        let blake3 = merge_chunk_hashes(&[chunk_hash(size, 0, content)]);
        ManifestFile { path: RelPath::new(*path).unwrap(), size, blake3 }
    };
    Manifest::new(game(), version.to_owned(), files(version).iter().map(entry).collect())
}

/// A games folder with a file of a person in the root of the game.
fn folder() -> (TempDir, PathBuf, GamesFolder) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("doom");
    fs::create_dir_all(root.join("data")).unwrap();
    fs::write(root.join("data/mine.txt"), "hours of play").unwrap();
    let folder = GamesFolder::open(dir.path()).unwrap();
    (dir, root, folder)
}

fn download(folder: &GamesFolder, version: &str, previous: &[RelPath]) {
    let mut d = folder.begin_download(&manifest(version), previous).unwrap();
    let writer = d.writer();
    for (file, (_, content)) in (0u32..).zip(files(version)) {
        writer.write_at(file, 0, &content).unwrap();
        d.mark_verified(ChunkRef { file, chunk: 0 }).unwrap();
    }
    d.commit().unwrap();
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn is_mine(root: &Path) -> bool {
    fs::read_to_string(root.join("data/mine.txt")).is_ok_and(|t| t == "hours of play")
}

#[test]
fn a_download_notes_what_came_and_the_note_is_no_part_of_the_game() {
    let (_dir, root, folder) = folder();
    assert!(folder.download_note(&game()).unwrap().is_none());
    download(&folder, "1", &[]);
    let note = folder.download_note(&game()).unwrap().unwrap();
    assert_eq!(note.manifest(&game()), manifest("1"));
    let walked = folder.walk(&game()).unwrap();
    assert!(walked.files.iter().all(|f| f.path.as_str() != NOTE));
    for f in &walked.files {
        assert_eq!(note.is_as_left(&f.path, &f.stamp()), f.path.as_str() != "data/mine.txt", "{}", f.path);
    }
    // Neither an update nor a repair leaves it behind or out of date.
    let previous: Vec<RelPath> = manifest("1").files.iter().map(|f| f.path.clone()).collect();
    download(&folder, "2", &previous);
    let note = folder.download_note(&game()).unwrap().unwrap();
    assert_eq!(note.manifest(&game()), manifest("2"));
    assert!(folder.walk(&game()).unwrap().files.iter().filter(|f| note.is_as_left(&f.path, &f.stamp())).count() == 3);
    assert!(is_mine(&root) && !root.join(".bonfire.download.tmp").exists());
}

#[test]
fn removal_takes_what_the_note_says_and_leaves_a_person_s_own() {
    let (_dir, root, folder) = folder();
    download(&folder, "1", &[]);
    // The game has it; nobody downloaded it.
    fs::write(root.join("zz/patch.eti"), "by hand").unwrap();
    let report = folder.remove_downloaded(&game()).unwrap();
    assert_eq!((report.removed, report.root_removed), (4, false));
    assert_eq!(report.kept, ["data/mine.txt", "zz/patch.eti"]);
    assert!(is_mine(&root));
    assert_eq!(names(&root), ["data", "zz"], "the note goes with the game");
    assert!(folder.download_note(&game()).unwrap().is_none());
}

#[test]
fn a_folder_without_a_note_is_removed_as_a_walk_lists_it() {
    let (_dir, root, folder) = folder();
    download(&folder, "1", &[]);
    fs::remove_file(root.join(NOTE)).unwrap();
    let report = folder.remove_downloaded(&game()).unwrap();
    assert_eq!((report.removed, report.root_removed), (5, true));
}

#[test]
fn a_version_that_was_put_over_a_downloaded_one_is_not_held_against_its_note() {
    let (_dir, root, folder) = folder();
    download(&folder, "1", &[]);
    fs::write(root.join("version.ini"), "1.1\n").unwrap();
    fs::write(root.join("patch.eti"), "by hand").unwrap();
    let report = folder.remove_downloaded(&game()).unwrap();
    assert_eq!((report.removed, report.root_removed), (6, true), "all that lies there is that version");
}

#[test]
fn nothing_is_removed_while_the_note_cannot_be_understood() {
    let (_dir, root, folder) = folder();
    download(&folder, "1", &[]);
    let before = names(&root);
    let note = fs::read(root.join(NOTE)).unwrap();
    for damaged in [&note[..note.len() / 2], b"", b"what is this\n"] {
        fs::write(root.join(NOTE), damaged).unwrap();
        let refused = folder.remove_downloaded(&game());
        assert!(matches!(refused, Err(RemoveError::Disk(DiskError::UnknownFormat { .. }))), "{refused:?}");
        assert_eq!(names(&root), before);
    }
    fs::remove_file(root.join(NOTE)).unwrap();
    fs::create_dir(root.join(NOTE)).unwrap();
    assert!(folder.remove_downloaded(&game()).is_err(), "whatever lies under that name");
    fs::remove_dir(root.join(NOTE)).unwrap();
    fs::write(root.join(NOTE), b"damaged").unwrap();
    // Whoever knows better may say so.
    folder.remove_downloaded_as(&game(), Some(&manifest("1"))).unwrap();
    assert!(is_mine(&root));
    assert_eq!(names(&root), ["data"]);
}

#[test]
fn a_cancel_takes_the_note_of_the_version_that_it_ends() {
    let (_dir, root, folder) = folder();
    download(&folder, "1", &[]);
    let previous: Vec<RelPath> = manifest("1").files.iter().map(|f| f.path.clone()).collect();
    let d = folder.begin_download(&manifest("2"), &previous).unwrap();
    d.writer().write_at(1, 0, b"2").unwrap();
    assert!(folder.download_note(&game()).unwrap().is_some(), "until it ends");
    d.discard().unwrap();
    assert_eq!(names(&root), ["data"]);
    assert!(is_mine(&root));
}

#[test]
fn a_note_goes_where_its_folder_goes() {
    let (dir, root, folder) = folder();
    download(&folder, "1", &[]);
    fs::rename(&root, dir.path().join("doom 2")).unwrap();
    let other = GameId::new("doom 2").unwrap();
    let report = folder.remove_downloaded(&other).unwrap();
    assert_eq!(report.kept, ["data/mine.txt"]);
}
