//! Snapshots as archives, and archives as saves.

use std::fs;
use std::io::{Cursor, Write as _};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{LATER, Place, capture, lineage, noise, snapshot};
use crate::fs::{FsPath, real};
use crate::saves::{Captured, ImportError, RootLabel, SaveError, SaveStore};

fn import(store: &SaveStore, place: &Place, bytes: &[u8], label: Option<&str>) -> Result<Captured, SaveError> {
    fs::write(place.data.join("in.zip"), bytes).unwrap();
    let fs = real(&place.data).unwrap();
    let file = fs.open_read(&FsPath::root().child("in.zip")).unwrap();
    store.import(&*file, label.map(|l| RootLabel::new(l).unwrap()).as_ref(), LATER)
}

fn pack(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn an_exported_snapshot_is_an_ordinary_archive_named_by_its_time_and_comes_back_as_the_same_content() {
    let place = Place::new();
    let store = place.store();
    place.write("world/large", &noise(3 << 20, 1));
    place.write("empty", b"");
    place.write("inner.zip", &pack(&[("x", b"1"), ("y", &noise(2 << 20, 2))]));
    let id = snapshot(&store, &[place.root()], 1_709_210_096_789);
    let kept = store.snapshot(&id).unwrap();
    let name = SaveStore::export_name(&kept);
    assert_eq!(name, "doom main [2024-02-29_12-34-56].zip");
    let out = tempfile::tempdir().unwrap();
    let folder = real(out.path()).unwrap();
    store.export(&id, &*folder, out.path(), &name).unwrap();
    assert!(store.export(&id, &*folder, out.path(), &name).is_err(), "never over a file");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1);
    let bytes = fs::read(out.path().join(&name)).unwrap();
    assert_eq!(ZipArchive::new(Cursor::new(&bytes)).unwrap().len(), 3);

    let other = Place::new();
    let store = other.store();
    let imported = import(&store, &other, &bytes, None).unwrap().snapshot(lineage(2, vec![]));
    assert_eq!(imported.content_hash, kept.content_hash);
    let id = store.put_snapshot(&imported.to_bytes().unwrap()).unwrap();
    assert!(store.verify(&id, &|| true).unwrap().bad.is_empty());
    let near = |a: i64, b: i64| (a - b).abs() <= 2_000;
    let times = kept.entries.iter().zip(&imported.entries);
    assert!(times.into_iter().all(|(a, b)| near(a.mtime, b.mtime)), "times come back to two seconds");
}

#[test]
fn an_archive_without_labels_becomes_the_files_of_one_root() {
    let place = Place::new();
    let store = place.store();
    let imported = import(&store, &place, &pack(&[("a", b"1"), ("d/b", b"2")]), Some("save")).unwrap();
    let paths: Vec<&str> = imported.entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["save/a", "save/d/b"]);
    place.write("a", b"1");
    place.write("d/b", b"2");
    let live = capture(&store, &[place.root()]).snapshot(lineage(1, vec![]));
    assert_eq!(imported.snapshot(lineage(1, vec![])).content_hash, live.content_hash);
}

#[test]
fn an_archive_with_a_name_that_leads_elsewhere_is_refused_whole_and_leaves_nothing() {
    let place = Place::new();
    let store = place.store();
    for name in ["../up", "/root", "save/../../up", "a\\b", "C:x", "save/CON", "save/x.", "save//x", "save/nul\0"] {
        let refused = import(&store, &place, &pack(&[("save/fine", b"1"), (name, b"2")]), None);
        assert!(matches!(refused, Err(SaveError::Import(ImportError::Name { .. }))), "{name:?}: {refused:?}");
    }
    let bare = import(&store, &place, &pack(&[("bare", b"1")]), None);
    assert!(matches!(bare, Err(SaveError::Import(ImportError::Name { .. }))), "{bare:?}");
    for twins in [["save/A", "save/a"], ["save/x", "save/x/y"]] {
        let refused = import(&store, &place, &pack(&[(twins[0], b"1"), (twins[1], b"2")]), None);
        assert!(matches!(refused, Err(SaveError::Import(_))), "{twins:?}: {refused:?}");
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("save/link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let link = import(&store, &place, &zip.finish().unwrap().into_inner(), None);
    assert!(matches!(link, Err(SaveError::Import(ImportError::Name { .. }))), "{link:?}");
    assert!(import(&store, &place, b"PK\x03\x04 no archive", None).is_err());
    assert!(place.objects().is_empty());
}
