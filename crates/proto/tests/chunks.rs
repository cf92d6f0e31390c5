//! Chunk digests merge to a file's ordinary BLAKE3 hash; chunk numbering and bitmap behave as a plain set.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeSet;

use bonfire_proto::chunk::{ChunkHasher, chunk_hash, merge_chunk_hashes};
use bonfire_proto::limits::{MANIFEST_FILES_MAX, MANIFEST_SIZE_MAX};
use bonfire_proto::{
    CHUNK_LEN, ChunkBitmap, ChunkLayout, ChunkRef, Digest, ManifestFile, RelPath, chunk_count, chunk_span,
};
use proptest::prelude::*;

fn noise(len: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(len).unwrap()];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
    bytes
}

fn chunk_of(data: &[u8], index: u32) -> &[u8] {
    let (start, len) = chunk_span(data.len() as u64, index).unwrap();
    let start = usize::try_from(start).unwrap();
    &data[start..start + usize::try_from(len).unwrap()]
}

fn digests(data: &[u8]) -> Vec<Digest> {
    let size = data.len() as u64;
    (0..chunk_count(size)).map(|i| chunk_hash(size, i, chunk_of(data, i))).collect()
}

#[test]
fn chunk_digests_merge_to_what_b3sum_prints() {
    const C: u64 = CHUNK_LEN;
    let data = noise(5 * C + 1);
    for size in [0, 1, 1024, 1025, C - 1, C, C + 1, 2 * C, 2 * C + 1, 3 * C - 1, 3 * C, 4 * C + 7, 5 * C, 5 * C + 1] {
        let data = &data[..usize::try_from(size).unwrap()];
        let whole = Digest(*blake3::hash(data).as_bytes());
        assert_eq!(merge_chunk_hashes(&digests(data)), Some(whole), "size {size}");
    }
}

#[test]
fn the_only_chunk_of_a_file_has_the_hash_of_the_file() {
    for size in [0, 1, CHUNK_LEN] {
        let data = noise(size);
        assert_eq!(digests(&data), [Digest(*blake3::hash(&data).as_bytes())], "size {size}");
    }
    // Published test vector of BLAKE3 for the empty input.
    assert_eq!(digests(&[])[0].to_string(), "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262");
}

#[test]
fn a_digest_depends_on_the_place_of_the_chunk() {
    let same = noise(CHUNK_LEN);
    let size = 3 * CHUNK_LEN;
    assert_ne!(chunk_hash(size, 0, &same), chunk_hash(size, 1, &same));
    // The same bytes as the only chunk are the root of their tree, which is another value again.
    assert_ne!(chunk_hash(size, 0, &same), chunk_hash(CHUNK_LEN, 0, &same));
}

#[test]
fn hashing_in_pieces_gives_the_same_digest() {
    let data = noise(CHUNK_LEN + 70_000);
    let size = data.len() as u64;
    for index in 0..2 {
        let chunk = chunk_of(&data, index);
        for piece in [1 << 20, 65_537, 999_983] {
            let mut hasher = ChunkHasher::new(size, index);
            chunk.chunks(piece).for_each(|p| {
                hasher.update(p);
            });
            assert_eq!(hasher.finish(), chunk_hash(size, index, chunk));
        }
    }
}

#[test]
fn a_wrong_missing_or_moved_digest_does_not_merge_to_the_file() {
    let data = noise(2 * CHUNK_LEN + 5);
    let whole = Some(Digest(*blake3::hash(&data).as_bytes()));
    let good = digests(&data);
    assert_eq!(merge_chunk_hashes(&good), whole);
    let mut flipped = good.clone();
    flipped[2].0[31] ^= 1;
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    for bad in [&flipped[..], &swapped, &good[..2], &[], &[good.clone(), good.clone()].concat()] {
        assert_ne!(merge_chunk_hashes(bad), whole);
    }
}

#[test]
fn merges_as_many_digests_as_the_largest_file_has() {
    let count = chunk_count(MANIFEST_SIZE_MAX);
    assert_eq!(count, 1 << 18);
    assert!(merge_chunk_hashes(&vec![Digest([7; 32]); count as usize]).is_some());
}

#[test]
fn counts_and_spans_at_the_boundaries() {
    const C: u64 = CHUNK_LEN;
    for (size, count) in [(0, 1), (1, 1), (C - 1, 1), (C, 1), (C + 1, 2), (2 * C, 2), (2 * C + 1, 3)] {
        assert_eq!(chunk_count(size), count, "size {size}");
        assert_eq!(chunk_span(size, count), None);
    }
    assert_eq!(chunk_span(0, 0), Some((0, 0)));
    assert_eq!(chunk_span(C + 1, 0), Some((0, C)));
    assert_eq!(chunk_span(C + 1, 1), Some((C, 1)));
    // No size makes the arithmetic overflow.
    assert_eq!(chunk_count(u64::MAX), u32::MAX);
    assert!(chunk_span(u64::MAX, u32::MAX - 1).is_some());
    assert_eq!(chunk_span(u64::MAX, u32::MAX), None);
}

fn files(sizes: &[u64]) -> Vec<ManifestFile> {
    let file = |(i, size): (usize, &u64)| ManifestFile {
        path: RelPath::new(format!("f{i:06}")).unwrap(),
        size: *size,
        blake3: None,
    };
    sizes.iter().enumerate().map(file).collect()
}

#[test]
fn the_largest_manifest_that_is_believed_stays_below_the_numbers_of_a_layout() {
    let mut sizes = vec![0; MANIFEST_FILES_MAX];
    sizes[0] = MANIFEST_SIZE_MAX;
    let layout = ChunkLayout::new(&files(&sizes));
    assert!(layout.total() < 1 << 19);
    // A list that was never checked saturates rather than wrapping into numbers of other chunks.
    let absurd = ChunkLayout::new(&files(&[u64::MAX, u64::MAX, 1]));
    assert_eq!(absurd.total(), u32::MAX);
    assert_eq!(absurd.number(ChunkRef { file: 1, chunk: 0 }), None);
}

#[test]
fn an_empty_layout_holds_nothing() {
    let layout = ChunkLayout::new(&[]);
    assert_eq!((layout.total(), layout.files(), layout.locate(0), layout.range(0)), (0, 0, None, None));
    let bitmap = ChunkBitmap::new(0);
    assert!(bitmap.is_empty() && bitmap.is_full() && !bitmap.get(0));
}

#[derive(Debug, Clone)]
enum Step {
    Set(u32),
    Clear(u32),
}

fn step(len: u32) -> impl Strategy<Value = Step> {
    // Some numbers lie beyond the length.
    let number = 0..len + 70;
    prop_oneof![3 => number.clone().prop_map(Step::Set), 1 => number.prop_map(Step::Clear)]
}

proptest! {
    #[test]
    fn a_bitmap_is_a_set_of_numbers_below_its_length(
        (len, steps) in (0u32..200).prop_flat_map(|len| (Just(len), proptest::collection::vec(step(len), 0..300)))
    ) {
        let (mut bitmap, mut model) = (ChunkBitmap::new(len), BTreeSet::new());
        for step in steps {
            match step {
                Step::Set(n) => prop_assert_eq!(bitmap.set(n), n < len && model.insert(n)),
                Step::Clear(n) => prop_assert_eq!(bitmap.clear(n), model.remove(&n)),
            }
            prop_assert_eq!(bitmap.count() as usize, model.len());
        }
        prop_assert_eq!(bitmap.len(), len);
        prop_assert_eq!(bitmap.is_full(), model.len() == len as usize);
        prop_assert_eq!(bitmap.ones().collect::<BTreeSet<_>>(), model.clone());
        prop_assert_eq!(bitmap.zeros().collect::<Vec<_>>(), (0..len).filter(|n| !model.contains(n)).collect::<Vec<_>>());
        for n in 0..len + 70 {
            prop_assert_eq!(bitmap.get(n), model.contains(&n));
        }
    }

    #[test]
    fn numbering_goes_through_all_chunks_of_all_files_in_order(
        sizes in proptest::collection::vec(prop_oneof![Just(0), 1..CHUNK_LEN, CHUNK_LEN..9 * CHUNK_LEN], 0..20)
    ) {
        let layout = ChunkLayout::new(&files(&sizes));
        let mut model = Vec::new();
        for (file, size) in (0u32..).zip(&sizes) {
            let first = u32::try_from(model.len()).unwrap();
            model.extend((0..chunk_count(*size)).map(|chunk| ChunkRef { file, chunk }));
            prop_assert_eq!(layout.range(file), Some(first..first + chunk_count(*size)));
            prop_assert_eq!(layout.number(ChunkRef { file, chunk: chunk_count(*size) }), None);
        }
        prop_assert_eq!(layout.total() as usize, model.len());
        prop_assert_eq!(layout.files() as usize, sizes.len());
        for (number, at) in (0u32..).zip(&model) {
            prop_assert_eq!(layout.number(*at), Some(number));
            prop_assert_eq!(layout.locate(number), Some(*at));
        }
        prop_assert_eq!(layout.locate(layout.total()), None);
        prop_assert_eq!(layout.number(ChunkRef { file: layout.files(), chunk: 0 }), None);
    }

    #[test]
    fn spans_cover_a_file_without_gap_or_overlap(size in 0..20 * CHUNK_LEN) {
        let mut at = 0;
        for index in 0..chunk_count(size) {
            let (start, len) = chunk_span(size, index).unwrap();
            prop_assert_eq!(start, at);
            prop_assert!(len <= CHUNK_LEN && (len > 0 || size == 0));
            at += len;
        }
        prop_assert_eq!(at, size);
    }
}
