//! The hashes of lists, held to vectors computed by another program, and every reason not to believe a manifest.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod samples;

use bonfire_proto::digest::FieldHasher;
use bonfire_proto::game::{ManifestError, content_hash, library_digest, manifest_hash};
use bonfire_proto::limits::{MANIFEST_FILES_MAX, MANIFEST_SIZE_MAX, SENTINEL_LEN_MAX};
use bonfire_proto::{
    Availability, Digest, GameId, GameSummary, Manifest, ManifestFile, ManifestHash, PeerId, RelPath, text,
};
use proptest::prelude::*;

fn file(path: &str, size: u64) -> ManifestFile {
    ManifestFile { path: RelPath::new(path).unwrap(), size, blake3: None }
}

fn game(files: Vec<ManifestFile>) -> Manifest {
    Manifest::new(GameId::new("doom").unwrap(), "1".into(), files)
}

// The vectors below were computed with Python's hashlib from the text of docs/formats/wire.md.

#[test]
fn the_hashes_of_a_list_are_what_the_format_says() {
    let m = samples::manifest();
    assert_eq!(m.manifest_hash.to_string(), "21b0002658fa1b250eeeebb8f345b84de3ddca6b006fd3c457c0ce70478dd9df");
    assert_eq!(m.content_hash.unwrap().to_string(), "d0dd382e62dd833ac5f96694be9b01885ea50320bf77fe977a0adff324df6ea5");
    assert_eq!(m.check(), Ok(()));
}

#[test]
fn the_digest_of_a_library_is_what_the_format_says() {
    let games = samples::games();
    assert_eq!(library_digest(&games).to_string(), "0ce29422e112f3018cfd82ebc9967796a31105f73ae8257487b433628da52c71");
    assert_eq!(library_digest(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let downloading = GameSummary {
        name: "Doom".into(),
        eti_version: String::new(),
        size: 1,
        installed: true,
        content_hash: None,
        availability: Availability::Downloading,
        ..games[0].clone()
    };
    assert_eq!(
        library_digest([&downloading]).to_string(),
        "10e807ad94b43cbf16329e6b37e2c4f4b19d56a9c07140b471ddfed19ab41075"
    );
}

#[test]
fn every_field_of_a_game_counts_in_the_digest() {
    let base = samples::games()[0].clone();
    let other = Digest([9; 32]);
    let changed = [
        GameSummary { id: GameId::new("doom2").unwrap(), ..base.clone() },
        GameSummary { name: "Doom".into(), ..base.clone() },
        GameSummary { eti_version: "1.10".into(), ..base.clone() },
        GameSummary { size: base.size + 1, ..base.clone() },
        GameSummary { downloaded: !base.downloaded, ..base.clone() },
        GameSummary { installed: !base.installed, ..base.clone() },
        GameSummary { manifest_hash: ManifestHash(other), ..base.clone() },
        GameSummary { content_hash: None, ..base.clone() },
        GameSummary { availability: Availability::Downloading, ..base.clone() },
    ];
    for c in &changed {
        assert_ne!(library_digest([c]), library_digest([&base]), "{c:?}");
    }
}

#[test]
fn fields_cannot_be_shifted_into_each_other() {
    let of = |fields: &[&[u8]]| {
        let mut h = FieldHasher::new();
        fields.iter().for_each(|f| {
            h.field(f);
        });
        h.finish().to_string()
    };
    assert_eq!(of(&[b"ab", b"c"]), "601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f");
    assert_eq!(of(&[b"a", b"bc"]), "3fafa1cf2f19a7c1129beb20cf0983f73a489a221fc0dd2f16d1be292d089205");
    let mut some = FieldHasher::new();
    some.option(Some(b"x"));
    assert_eq!(some.finish().to_string(), "d8c1103ecf2eebb97845ce1d125ab59246f53cbd553739988a4b6046a5dd8e17");
    let mut none = FieldHasher::new();
    none.option(None);
    assert_eq!(none.finish().to_string(), "e64cf59bfbcf3c5743ccd9eda3a811a7966689717a8499e5b1ef0cb1f33bf4b6");
    let mut number = FieldHasher::new();
    number.number(258);
    assert_eq!(number.finish().to_string(), "1006ec94e9bbfbd65cfcee1a1cb653aab8d306099ab61b3bb45c57e468963434");
}

#[test]
fn a_peer_id_is_what_the_public_key_hashes_to() {
    assert_eq!(PeerId::from_spki_der(b"spki").to_string(), "6feecc8c-16c5-851d-9feb-3eb5f77e2da7");
}

#[test]
fn a_list_with_an_unread_file_has_no_content_hash() {
    let mut files = samples::manifest().files;
    assert!(content_hash(&files).is_some());
    files[0].blake3 = None;
    assert_eq!(content_hash(&files), None);
    assert_eq!(game(files).check(), Ok(()));
}

#[test]
fn the_manifest_hash_does_not_depend_on_content() {
    let read = samples::manifest().files;
    let unread: Vec<_> = read.iter().map(|f| ManifestFile { blake3: None, ..f.clone() }).collect();
    assert_eq!(manifest_hash(&read), manifest_hash(&unread));
}

#[test]
fn an_honest_manifest_is_believed() {
    assert_eq!(game(vec![file("version.ini", 0)]).check(), Ok(()));
    assert_eq!(game(vec![file("version.ini", SENTINEL_LEN_MAX), file("a", 0), file("b/c", 5)]).check(), Ok(()));
    let most = MANIFEST_SIZE_MAX - 1;
    assert_eq!(game(vec![file("version.ini", 1), file("big", most)]).check(), Ok(()));
}

#[test]
fn a_list_beyond_the_bounds_is_not_believed() {
    let mut files: Vec<_> = (0..MANIFEST_FILES_MAX - 1).map(|i| file(&format!("f{i}"), 1)).collect();
    files.push(file("version.ini", 1));
    assert_eq!(game(files.clone()).check(), Ok(()));
    files.push(file("x", 1));
    assert_eq!(game(files).check(), Err(ManifestError::TooManyFiles));

    let over = game(vec![file("version.ini", 1), file("big", MANIFEST_SIZE_MAX)]);
    assert_eq!(over.check(), Err(ManifestError::TooLarge));
    let wraps = game(vec![file("version.ini", 2), file("big", u64::MAX)]);
    assert_eq!((wraps.check(), wraps.size()), (Err(ManifestError::TooLarge), u64::MAX));
    let sentinel = game(vec![file("version.ini", SENTINEL_LEN_MAX + 1)]);
    assert_eq!(sentinel.check(), Err(ManifestError::SentinelTooLarge(SENTINEL_LEN_MAX + 1)));
}

#[test]
fn a_list_out_of_order_or_with_a_path_twice_is_not_believed() {
    let mut m = game(vec![file("a", 1), file("version.ini", 1)]);
    m.files.swap(0, 1);
    m.manifest_hash = manifest_hash(&m.files);
    assert_eq!(m.check(), Err(ManifestError::Unsorted(RelPath::new("a").unwrap())));
    let twice = game(vec![file("a", 1), file("a", 1), file("version.ini", 1)]);
    assert_eq!(twice.check(), Err(ManifestError::Unsorted(RelPath::new("a").unwrap())));
}

#[test]
fn paths_that_meet_are_not_believed() {
    for (a, b) in [("Data/x", "data/y"), ("readme", "README"), ("\u{e9}", "e\u{301}"), ("a", "a/b")] {
        let m = game(vec![file(a, 1), file(b, 1), file("version.ini", 1)]);
        assert!(matches!(m.check(), Err(ManifestError::Collision(_))), "{a} {b}");
    }
}

#[test]
fn a_reserved_path_is_not_believed() {
    for p in
        ["local/save.dat", "LOCAL/x", ".lanspread.json", ".Bonfire.Part", "Version.INI", ".sync/x", "LOCAL~1.BAC/x"]
    {
        let m = game(vec![file(p, 1), file("version.ini", 1)]);
        assert_eq!(m.check(), Err(ManifestError::Reserved(RelPath::new(p).unwrap())));
    }
}

#[test]
fn a_list_without_the_sentinel_is_not_believed() {
    assert_eq!(game(vec![]).check(), Err(ManifestError::NoSentinel));
    assert_eq!(game(vec![file("data/version.ini", 1)]).check(), Err(ManifestError::NoSentinel));
}

#[test]
fn a_hash_that_is_not_the_lists_is_not_believed() {
    let mut m = samples::manifest();
    m.manifest_hash.0.0[0] ^= 1;
    assert_eq!(m.check(), Err(ManifestError::HashMismatch("manifest_hash")));
    let mut m = samples::manifest();
    m.content_hash.as_mut().unwrap().0.0[31] ^= 1;
    assert_eq!(m.check(), Err(ManifestError::HashMismatch("content_hash")));
    // A content hash over files that were not all read proves nothing.
    let mut m = samples::manifest();
    m.files[0].blake3 = None;
    assert_eq!(m.check(), Err(ManifestError::HashMismatch("content_hash")));
    let mut m = samples::manifest();
    m.files[0].size += 1;
    assert_eq!(m.check(), Err(ManifestError::HashMismatch("manifest_hash")));
}

#[test]
fn a_file_is_found_by_its_path() {
    let m = samples::manifest();
    assert_eq!(m.file(&RelPath::new("version.ini").unwrap()).unwrap().size, 12);
    assert_eq!(m.file(&RelPath::new("nothing").unwrap()), None);
    assert_eq!((m.size(), m.chunk_total()), (9_437_197, 4));
}

#[test]
fn text_from_elsewhere_is_cleaned_and_cut_between_characters() {
    assert_eq!(text::clean("a\u{1b}[31mb\u{202e}c\nd\u{200b}e"), "a[31mbcde");
    assert_eq!(text::clean_to("ééé", 5), "éé");
    assert_eq!(text::clean(&"x".repeat(10_000)).len(), bonfire_proto::limits::TEXT_LEN_MAX);
}

proptest! {
    #[test]
    fn what_new_makes_of_distinct_files_is_believed(
        names in proptest::collection::btree_map("[a-z]{1,6}(/[a-z]{1,6}){0,2}", (0u64..1 << 30, any::<[u8; 32]>()), 0..30)
    ) {
        let mut files = vec![file("version.ini", 10)];
        for (name, (size, hash)) in names {
            let (Ok(path), blake3) = (RelPath::new(name), Some(Digest(hash))) else { continue };
            if !bonfire_proto::game::is_reserved(&path) {
                files.push(ManifestFile { path, size, blake3 });
            }
        }
        let m = game(files);
        // Random names may make one a folder of another; that is the only reason left.
        match m.check() {
            Ok(()) | Err(ManifestError::Collision(_)) => {}
            Err(e) => prop_assert!(false, "{e}"),
        }
    }

    #[test]
    fn a_changed_size_path_or_order_changes_the_hash(sizes in proptest::collection::vec(0u64..1000, 2..10), at in any::<usize>()) {
        let files: Vec<_> = sizes.iter().enumerate().map(|(i, s)| file(&format!("f{i}"), *s)).collect();
        let at = at % files.len();
        let before = manifest_hash(&files);
        let mut resized = files.clone();
        resized[at].size += 1;
        prop_assert_ne!(manifest_hash(&resized), before);
        let mut renamed = files.clone();
        renamed[at].path = RelPath::new("g").unwrap();
        prop_assert_ne!(manifest_hash(&renamed), before);
        let mut shorter = files;
        shorter.remove(at);
        prop_assert_ne!(manifest_hash(&shorter), before);
    }
}
