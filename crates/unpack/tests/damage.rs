//! Archives that were cut or changed: never a panic, never anything outside, and what has a checksum never comes out wrong.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod archives;

use std::io::Write as _;

use archives::{FORMS, Form, Tree, build, file, folder, tree_of, unpack, unpack_bytes};
use bonfire_unpack::Limits;
use proptest::prelude::*;

fn small() -> Vec<archives::Item> {
    vec![folder("g"), file("g/a", b"first body, first body"), file("g/b", b"other")]
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    for form in FORMS {
        let whole = build(form, &small());
        unpack_bytes(&whole).0.unwrap();
        // A tar archive ends with its mark; one block of that is enough to know that nothing was cut.
        let end = if form == Form::Tar { whole.len() - 512 } else { whole.len() };
        for len in 0..end {
            let Some(archive) = archives::archive(&whole[..len]) else { continue };
            let (result, _) = unpack(&[archive], &Limits::default());
            assert!(result.is_err(), "{form:?}: cut to {len} of {} bytes, and unpacked", whole.len());
        }
    }
    let mut rar = rars::Builder::new(rars::ArchiveVersion::Rar40).compression_level(Some(3));
    rar.add_bytes(b"a".to_vec(), b"packed ".repeat(100), None, None).unwrap();
    let whole = archives::with_rar4_end(rar.to_bytes().unwrap(), false);
    unpack_bytes(&whole).0.unwrap();
    for len in 7..whole.len() {
        let Some(archive) = archives::archive(&whole[..len]) else { continue };
        assert!(unpack(&[archive], &Limits::default()).0.is_err(), "{len} of {}", whole.len());
    }
}

#[test]
fn one_flipped_bit_gives_an_error_or_what_was_packed() {
    for form in FORMS {
        let whole = build(form, &small());
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let Some(archive) = archives::archive(&bytes) else { continue };
            let (result, came) = unpack(&[archive], &Limits::default());
            // The bytes of a file in a bare tar archive have no checksum.
            if let Ok(extracted) = result
                && form != Form::Tar
                && extracted.plain.is_empty()
            {
                assert_eq!(came, tree_of(&small()), "{form:?}: byte {at}");
            }
        }
    }
}

fn names() -> impl Strategy<Value = Vec<String>> {
    let name = prop_oneof!["[a-c]{1,3}", "[é à]{1,2}x", "[a-z]{60,120}"];
    prop::collection::vec(prop::collection::vec(name, 1..4).prop_map(|parts| parts.join("/")), 1..12)
}

/// A tree whose entries can lie beside each other.
fn trees() -> impl Strategy<Value = Vec<archives::Item>> {
    (names(), prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 12)).prop_map(|(names, bodies)| {
        let mut items: Vec<archives::Item> = Vec::new();
        for (name, body) in names.into_iter().zip(bodies) {
            let path = bonfire_proto::RelPath::new(name.as_str());
            let Ok(path) = path else { continue };
            let mut with: Vec<bonfire_proto::RelPath> =
                items.iter().map(|i| bonfire_proto::RelPath::new(i.name.as_str()).unwrap()).collect();
            with.push(path);
            if bonfire_proto::rel_path::check_collisions(&with).is_ok() {
                items.push(file(&name, &body));
            }
        }
        items
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_goes_through_every_format_and_is_the_same(items in trees()) {
        prop_assume!(!items.is_empty());
        for form in FORMS {
            let (result, came) = unpack_bytes(&build(form, &items));
            prop_assert!(result.is_ok(), "{form:?}: {result:?}");
            prop_assert_eq!(came, tree_of(&items), "{:?}", form);
        }
    }

    #[test]
    fn changed_and_shuffled_archives_never_panic_and_never_write_outside(
        form in prop::sample::select(&FORMS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        insert in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = build(form, &small());
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let at = cut.index(bytes.len());
        bytes.splice(at..at, insert);
        if let Some(archive) = archives::archive(&bytes) {
            let limits = Limits { ratio_floor: 1 << 20, total_bytes: 8 << 20, ..Limits::default() };
            // What it says does not matter: that it says it, and where it wrote, does.
            drop(unpack(&[archive], &limits));
        }
    }

    #[test]
    fn garbage_behind_the_mark_of_a_format_never_panics(
        mark in prop::sample::select(vec![
            b"Rar!\x1a\x07\x00".to_vec(), b"Rar!\x1a\x07\x01\x00".to_vec(), b"PK\x03\x04".to_vec(), b"PK\x05\x06".to_vec(),
            b"7z\xbc\xaf\x27\x1c".to_vec(), b"\x1f\x8b\x08".to_vec(), b"\xfd7zXZ\x00".to_vec(), b"\x28\xb5\x2f\xfd".to_vec(),
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let mut bytes = mark;
        bytes.write_all(&rest).unwrap();
        let archive = archives::archive(&bytes).unwrap();
        let (result, came) = unpack(&[archive], &Limits::default());
        let is_nothing = result.is_err() || came == Tree::new();
        prop_assert!(is_nothing);
    }
}
