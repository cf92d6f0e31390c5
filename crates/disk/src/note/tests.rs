use bonfire_proto::chunk::{chunk_hash, merge_chunk_hashes};
use proptest::prelude::*;

use super::*;

fn game() -> GameId {
    GameId::new("doom").unwrap()
}

fn file(path: &str, content: &[u8]) -> ManifestFile {
    let size = content.len() as u64;
    let blake3 = merge_chunk_hashes(&[chunk_hash(size, 0, content)]);
    ManifestFile { path: RelPath::new(path).unwrap(), size, blake3 }
}

fn note() -> DownloadNote {
    let manifest =
        Manifest::new(game(), "1".to_owned(), vec![file("a b/ü.eti", b"bytes"), file("version.ini", b"1\n")]);
    let stamps: Vec<FileStamp> = manifest.files.iter().map(|f| FileStamp { size: f.size, mtime_ns: -7 }).collect();
    DownloadNote::new(&manifest, &stamps).unwrap()
}

/// A note with a check that fits, of whatever text.
fn checked(body: &str) -> Vec<u8> {
    format!("{body}\n{}\n", blake3::hash(body.as_bytes()).to_hex()).into_bytes()
}

fn body() -> String {
    String::from_utf8(note().to_bytes()).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn a_note_is_read_as_it_was_written() {
    let read = DownloadNote::parse(&note().to_bytes(), &game()).unwrap();
    assert_eq!(read, note());
    let manifest = read.manifest(&game());
    assert!(manifest.check().is_ok() && manifest.content_hash.is_some());
    let path = RelPath::new("a b/ü.eti").unwrap();
    assert!(read.is_as_left(&path, &FileStamp { size: 5, mtime_ns: -7 }));
    for other in [FileStamp { size: 5, mtime_ns: -6 }, FileStamp { size: 6, mtime_ns: -7 }] {
        assert!(!read.is_as_left(&path, &other));
    }
    assert!(!read.is_as_left(&RelPath::new("mine").unwrap(), &FileStamp { size: 5, mtime_ns: -7 }));
}

#[test]
fn a_note_is_of_complete_downloads_only() {
    let manifest = Manifest::new(game(), "1".to_owned(), vec![file("version.ini", b"1\n")]);
    let stamp = FileStamp { size: 2, mtime_ns: 0 };
    assert!(DownloadNote::new(&manifest, &[stamp]).is_some());
    assert!(DownloadNote::new(&manifest, &[]).is_none());
    let bare = ManifestFile { blake3: None, ..file("version.ini", b"1\n") };
    assert!(DownloadNote::new(&Manifest::new(game(), "1".to_owned(), vec![bare]), &[stamp]).is_none());
}

#[test]
fn a_note_of_a_later_format_says_so() {
    let later = checked(&body().replace("\"format\":1", "\"format\":2,\"more\":[]"));
    assert_eq!(DownloadNote::parse(&later, &game()).unwrap_err(), "format 2");
}

#[test]
fn what_no_download_leaves_is_no_note_though_its_check_fits() {
    let body = body();
    let hash = "ab".repeat(32);
    let files = |files: &str| format!("{{\"format\":1,\"version\":\"1\",\"files\":{{{files}}}}}");
    let entry = |path: &str| format!("\"{path}\":{{\"size\":1,\"mtime_ns\":0,\"blake3\":\"{hash}\"}}");
    let with = |path: &str| files(&format!("{},{}", entry(path), entry("version.ini")));
    assert!(DownloadNote::parse(&checked(&with("a")), &game()).is_ok());
    for wrong in [
        "{}".to_owned(),
        "[]".to_owned(),
        files(""),
        files(&entry("a")),
        with("../a"),
        with("/a"),
        with("local/save"),
        with(".bonfire.download"),
        with("Version.ini"),
        files(&format!("{},{},{}", entry("A"), entry("a"), entry("version.ini"))),
        with("a").replace("\"size\":1", "\"size\":-1"),
        with("a").replace("\"size\":1", "\"size\":1,\"mode\":0"),
        with("a").replace(&hash, "ab"),
        body.replace("\"version\":\"1\"", "\"version\":\"1\",\"game\":\"doom\""),
        body.replace("\"version\":\"1\"", "\"version\":1"),
    ] {
        assert!(DownloadNote::parse(&checked(&wrong), &game()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_note_that_is_not_as_it_was_written_is_none(
        at in any::<prop::sample::Index>(),
        change in prop_oneof![(1u8..).prop_map(Some), Just(None)],
        tail in prop::collection::vec(any::<u8>(), 1..5),
    ) {
        let whole = note().to_bytes();
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        match change {
            Some(bits) => changed[at] ^= bits,
            None => changed.truncate(at),
        }
        prop_assert!(DownloadNote::parse(&changed, &game()).is_err());
        let longer = [whole, tail].concat();
        prop_assert!(DownloadNote::parse(&longer, &game()).is_err());
    }

    #[test]
    fn no_bytes_make_a_note_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,100}") {
        let _ = DownloadNote::parse(&bytes, &game());
        let _ = DownloadNote::parse(&checked(&text), &game());
    }
}
