//! Links, special files, names that are not UTF-8, folders without permission: what only Unix can put in the way.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stderr, reason = "a test that proves nothing here says so")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use bonfire_disk::{DiskError, FileStamp, GamesFolder, ProblemKind, RemoveError, Sentinel, ServeError};
use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use bonfire_proto::{ChunkRef, Digest, GameId, Manifest, ManifestFile, RelPath, chunk_count, chunk_span};
use tempfile::TempDir;

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

fn rel(p: &str) -> RelPath {
    RelPath::new(p).unwrap()
}

fn folder() -> (TempDir, GamesFolder) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("doom")).unwrap();
    let folder = GamesFolder::open(dir.path()).unwrap();
    (dir, folder)
}

fn fifo(path: &std::path::Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

fn manifest() -> Manifest {
    let file = |p: &str, size| ManifestFile { path: rel(p), size, blake3: None };
    Manifest::new(game(), "1".to_owned(), vec![file("data/a.eti", 5), file("b.eti", 5), file("version.ini", 2)])
}

#[test]
fn what_no_manifest_can_hold_is_reported_and_left_out() {
    let (dir, folder) = folder();
    let root = dir.path().join("doom");
    fs::write(root.join("version.ini"), "1").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"bad\xffname")), "x").unwrap();
    fs::write(root.join("what:ever"), "x").unwrap();
    fs::write(root.join("CON.txt"), "x").unwrap();
    fs::write(root.join("evil\u{202e}txt"), "x").unwrap();
    symlink("/etc/passwd", root.join("link.eti")).unwrap();
    symlink("/etc", root.join("folder")).unwrap();
    fifo(&root.join("pipe"));
    let walked = folder.walk(&game()).unwrap();
    assert_eq!(walked.files.len(), 1);
    let kinds = |k: fn(&ProblemKind) -> bool| walked.problems.iter().filter(|p| k(&p.kind)).count();
    assert_eq!(kinds(|k| matches!(k, ProblemKind::Link)), 2);
    assert_eq!(kinds(|k| matches!(k, ProblemKind::Special)), 1);
    assert_eq!(kinds(|k| matches!(k, ProblemKind::NotUtf8)), 1);
    assert_eq!(kinds(|k| matches!(k, ProblemKind::IllegalName(_))), 3);
    assert!(walked.problems.iter().all(|p| !p.to_string().contains('\u{202e}')));
    // Removal takes the rest and leaves these.
    let report = folder.remove_downloaded(&game()).unwrap();
    assert_eq!((report.removed, report.kept.len(), report.root_removed), (1, 7, false));
    assert!(fs::metadata("/etc/passwd").is_ok());
}

#[test]
fn games_that_are_links_or_have_illegal_names_are_reported() {
    let (dir, folder) = folder();
    fs::create_dir(dir.path().join("bad:name")).unwrap();
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xff"))).unwrap();
    fs::create_dir(dir.path().join(".hidden")).unwrap();
    symlink("doom", dir.path().join("alias")).unwrap();
    let listing = folder.games().unwrap();
    assert_eq!(listing.games, [game()]);
    assert_eq!(listing.problems.len(), 3, "{:?}", listing.problems);
    let alias = GameId::new("alias").unwrap();
    assert!(matches!(folder.walk(&alias), Err(DiskError::InTheWay { .. })));
    assert_eq!(folder.fingerprint(&alias).unwrap(), None);
    assert!(matches!(folder.remove_downloaded(&alias), Err(RemoveError::NotHere { .. })));
    let m = Manifest { game_id: alias, ..manifest() };
    assert!(matches!(folder.begin_download(&m, &[]), Err(DiskError::InTheWay { .. })));
}

#[test]
fn a_sentinel_that_is_no_file_means_not_downloaded_and_stops_a_download() {
    for kind in ["folder", "link", "pipe"] {
        let (dir, folder) = folder();
        let sentinel = dir.path().join("doom/version.ini");
        match kind {
            "folder" => fs::create_dir(&sentinel).unwrap(),
            "link" => symlink("/etc/hostname", &sentinel).unwrap(),
            _ => fifo(&sentinel),
        }
        assert_eq!(folder.walk(&game()).unwrap().sentinel, Sentinel::NotRegular, "{kind}");
        assert_eq!(folder.fingerprint(&game()).unwrap().unwrap().sentinel, None);
        assert_eq!(folder.read_version(&game()).unwrap(), None);
        assert!(matches!(folder.remove_downloaded(&game()), Err(RemoveError::NotDownloaded { .. })));
        let error = folder.begin_download(&manifest(), &[]).unwrap_err();
        assert!(matches!(&error, DiskError::InTheWay { path, .. } if path.ends_with("version.ini")), "{error}");
        assert_eq!(fs::read_dir(dir.path().join("doom")).unwrap().count(), 1, "nothing was made");
    }
}

#[test]
fn links_and_pipes_where_payload_should_go_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    for case in ["folder link", "file link", "dangling link", "pipe", "folder"] {
        let (dir, folder) = folder();
        let root = dir.path().join("doom");
        match case {
            "folder link" => symlink(outside.path(), root.join("data")).unwrap(),
            "file link" => symlink(outside.path().join("x"), root.join("b.eti")).unwrap(),
            "dangling link" => symlink("nowhere", root.join("b.eti")).unwrap(),
            "pipe" => fifo(&root.join("b.eti")),
            _ => fs::create_dir(root.join("b.eti")).unwrap(),
        }
        let error = folder.begin_download(&manifest(), &[]).unwrap_err();
        assert!(matches!(error, DiskError::InTheWay { .. }), "{case}: {error}");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "{case}: nothing was made");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_folder_swapped_for_a_link_during_a_download_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let (dir, folder) = folder();
    let d = folder.begin_download(&manifest(), &[]).unwrap();
    let data = dir.path().join("doom/data");
    fs::remove_dir_all(&data).unwrap();
    symlink(outside.path(), &data).unwrap();
    fs::write(outside.path().join("a.eti"), "mine!").unwrap();
    let file = u32::try_from(d.manifest().files.iter().position(|f| f.path.as_str() == "data/a.eti").unwrap()).unwrap();
    assert!(d.writer().write_at(file, 0, b"XXXXX").is_err());
    let report = d.discard().unwrap();
    assert_eq!(report.kept_unproven, ["data"]);
    assert_eq!(fs::read(outside.path().join("a.eti")).unwrap(), b"mine!");
}

#[test]
fn links_and_pipes_are_not_served() {
    let (dir, folder) = folder();
    symlink("/etc/hostname", dir.path().join("doom/a")).unwrap();
    symlink("/etc", dir.path().join("doom/etc")).unwrap();
    fifo(&dir.path().join("doom/p"));
    for path in ["a", "etc/hostname", "p"] {
        let stamp = FileStamp { size: 0, mtime_ns: 0 };
        match folder.open_serving(&game(), &rel(path), &stamp) {
            Err(ServeError::Changed { .. } | ServeError::Disk(_)) => {}
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn a_folder_without_permission_is_a_clear_error() {
    if rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: permissions do not bind root");
        return;
    }
    let (dir, folder) = folder();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let m = Manifest { game_id: GameId::new("new").unwrap(), ..manifest() };
    assert_eq!(folder.is_writable().unwrap_err().code(), "permission_denied");
    assert_eq!(folder.begin_download(&m, &[]).unwrap_err().code(), "permission_denied");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(dir.path().join("doom"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(folder.walk(&game()).unwrap_err().code(), "permission_denied");
    fs::set_permissions(dir.path().join("doom"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_file_that_has_another_name_is_replaced_and_never_written_in_place() {
    let (dir, folder) = folder();
    let root = dir.path().join("doom");
    fs::create_dir_all(root.join("local")).unwrap();
    let chunk = 4 << 20;
    // The first chunk stays, the second changes, and the file grows.
    let old = vec![1u8; chunk + 10];
    let mut new = vec![1u8; chunk + 20];
    new[chunk..].fill(2);
    fs::write(root.join("version.ini"), "1\n").unwrap();
    fs::write(root.join("a.eti"), &old).unwrap();
    fs::hard_link(root.join("a.eti"), root.join("local/a.eti")).unwrap();
    fs::write(root.join("b.eti"), b"same").unwrap();
    fs::hard_link(root.join("b.eti"), dir.path().join("b elsewhere")).unwrap();
    let of = |bytes: &[u8]| -> Vec<Digest> {
        (0..chunk_count(bytes.len() as u64))
            .map(|i| {
                let (start, len) = chunk_span(bytes.len() as u64, i).unwrap();
                let start = usize::try_from(start).unwrap();
                chunk_hash(bytes.len() as u64, i, &bytes[start..start + usize::try_from(len).unwrap()])
            })
            .collect()
    };
    let file = |p: &str, bytes: &[u8]| ManifestFile {
        path: rel(p),
        size: bytes.len() as u64,
        blake3: merge_chunk_hashes(&of(bytes)),
    };
    let files = vec![file("a.eti", &new), file("b.eti", b"same"), file("version.ini", b"2\n")];
    let m = Manifest::new(game(), "2".to_owned(), files);
    let previous: Vec<RelPath> = m.files.iter().map(|f| f.path.clone()).collect();
    let mut d = folder.begin_download(&m, &previous).unwrap();
    d.set_hashes(0, of(&new)).unwrap();
    assert_eq!((d.reuse(0, &|_| true).unwrap(), d.reuse(1, &|_| true).unwrap()), (1, 1));
    d.writer().write_at(0, chunk as u64, &new[chunk..]).unwrap();
    d.mark_verified(ChunkRef { file: 0, chunk: 1 }).unwrap();
    d.writer().write_at(2, 0, b"2\n").unwrap();
    d.mark_verified(ChunkRef { file: 2, chunk: 0 }).unwrap();
    d.commit().unwrap();
    assert!(fs::read(root.join("local/a.eti")).unwrap() == old, "local/ is not ours to change");
    assert!(fs::read(root.join("a.eti")).unwrap() == new);
    assert_eq!(fs::metadata(root.join("b.eti")).unwrap().nlink(), 2, "what need not be written stays as it is");
    assert!(!root.join(".bonfire.copy").exists());
}
