use bonfire_proto::Digest;

use super::*;

fn entry(path: &str, size: u64, content: u8) -> SaveEntry {
    SaveEntry {
        path: RelPath::new(path).unwrap(),
        size,
        mtime: i64::from(content),
        blake3: Digest([content; 32]),
        archive: None,
        pieces: Vec::new(),
    }
}

fn named(comparison: &Comparison) -> Vec<(&str, Option<u64>, Option<u64>)> {
    comparison.files.iter().map(|f| (f.path.as_str(), f.before, f.after)).collect()
}

#[test]
fn files_that_came_went_and_changed_are_named_with_their_sizes() {
    let before = [entry("save/a", 1, 1), entry("save/b", 2, 2), entry("save/c", 3, 3), entry("save/e", 5, 5)];
    let after = [entry("save/b", 2, 9), entry("save/c", 3, 3), entry("save/d", 4, 4), entry("save/f", 6, 6)];
    let comparison = Comparison::of(&before, &after);
    let expected = [
        ("save/a", Some(1), None),
        ("save/b", Some(2), Some(2)),
        ("save/d", None, Some(4)),
        ("save/e", Some(5), None),
        ("save/f", None, Some(6)),
    ];
    assert_eq!((named(&comparison), comparison.same, comparison.more), (expected.to_vec(), 1, 0));
    assert_eq!(Comparison::of(&after, &after), Comparison { same: 4, ..Comparison::default() });
    assert_eq!(Comparison::of(&[], &[]), Comparison::default());
}

#[test]
fn neither_times_nor_how_an_archive_is_packed_is_a_difference() {
    let later = SaveEntry { mtime: 99, ..entry("save/a", 1, 1) };
    assert!(Comparison::of(&[entry("save/a", 1, 1)], &[later]).files.is_empty());
    let zip = |size, packed, inner| SaveEntry { archive: Some(Digest([inner; 32])), ..entry("save/z", size, packed) };
    assert!(Comparison::of(&[zip(10, 1, 7)], &[zip(12, 2, 7)]).files.is_empty());
    assert_eq!(Comparison::of(&[zip(10, 1, 7)], &[zip(10, 1, 8)]).files.len(), 1);
    assert_eq!(Comparison::of(&[zip(10, 1, 7)], &[entry("save/z", 10, 1)]).files.len(), 1);
}

#[test]
fn no_comparison_names_more_than_it_may() {
    let many: Vec<SaveEntry> = (0..COMPARED_MAX + 5).map(|n| entry(&format!("save/{n:06}"), 1, 1)).collect();
    let comparison = Comparison::of(&[], &many);
    assert_eq!((comparison.files.len(), comparison.more, comparison.same), (COMPARED_MAX, 5, 0));
}
