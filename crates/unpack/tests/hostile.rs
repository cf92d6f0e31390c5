//! What an archive may not do, as a table over all formats: each is refused, with the entry named, and nothing lies
//! outside staging or is a link.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop at the first surprise")]

mod archives;

use archives::{FORMS, Form, Is, Item, build, file, folder, other, unpack, unpack_bytes};
use bonfire_unpack::{Limits, Why};

/// Names that no path may have, and what refuses them is the name.
const NAMES: &[&str] = &[
    "../escaped",
    "game/../../escaped",
    "game/..",
    "..",
    "/tmp/escaped",
    "//server/share/escaped",
    "C:/escaped",
    "C:escaped",
    "game//double",
    "game/./dot",
    "game/NUL",
    "con.txt",
    "game/COM\u{b9}.log",
    "aux ",
    "game/trailing.",
    "game/trailing ",
    "game/trailing./file",
    "game/bidi\u{202e}gpj.exe",
    "game/zero\u{200b}width",
    "game/line\nbreak",
    "game/star*",
    "game/stream:data",
    "game/what?",
];

/// Names in which a backslash is a character; in old RAR it separates.
const BACKSLASHES: &[&str] = &["..\\escaped", "game\\..\\..\\escaped", "\\\\server\\share\\escaped", "C:\\escaped"];

fn refused(form: Form, items: &[Item], entry: &str, expected: impl Fn(&Why) -> bool) {
    let bytes = build(form, items);
    let (result, came) = unpack_bytes(&bytes);
    let e = result.expect_err(&format!("{form:?}: {entry:?} was unpacked: {came:?}"));
    assert!(expected(&e.why), "{form:?}: {entry:?}: {e}");
    let named = e.entry.as_deref().unwrap_or_default();
    let cleaned = bonfire_proto::text::clean_to(entry, 300);
    assert_eq!(named.trim_end_matches('/'), cleaned.trim_end_matches('/'), "{form:?}: the entry is not named: {e}");
    assert_eq!(e.archive, "game");
    assert!(!e.is_retryable());
}

#[test]
fn names_that_lead_out_or_that_some_platform_reads_otherwise_are_refused_in_every_format() {
    for form in FORMS {
        for name in NAMES {
            refused(form, &[file("game/fine", b"x"), file(name, b"x")], name, |why| matches!(why, Why::Name(_)));
        }
        for name in BACKSLASHES {
            let shown = if form == Form::Rar4 { name.replace('\\', "/") } else { (*name).to_owned() };
            refused(form, &[file(name, b"x")], &shown, |why| matches!(why, Why::Name(_)));
        }
    }
}

#[test]
fn names_that_are_too_long_or_too_deep_are_refused() {
    let (long, deep) = ("x".repeat(256), "d/".repeat(40) + "f");
    let whole = ["y".repeat(200).as_str(); 6].join("/");
    for form in FORMS {
        for name in [&long, &deep, &whole] {
            refused(form, &[file(name, b"x")], name, |why| matches!(why, Why::Name(_)));
        }
    }
}

#[test]
fn folders_obey_the_same_names() {
    for form in FORMS {
        for name in ["../escaped", "/escaped", "game/NUL"] {
            refused(form, &[folder(name)], name, |why| matches!(why, Why::Name(_)));
        }
    }
}

#[test]
fn links_and_special_files_are_refused_in_every_format_that_has_them() {
    for form in FORMS {
        for target in ["../../etc/passwd", "/etc/passwd", "game/fine", "."] {
            let items = [file("game/fine", b"x"), other("game/link", Is::Symlink, target)];
            refused(form, &items, "game/link", |why| matches!(why, Why::Link(_)));
        }
        // A link first, and then a file that would be written through it.
        let chain = [other("game/out", Is::Symlink, "../../.."), file("game/out/escaped", b"x")];
        refused(form, &chain, "game/out", |why| matches!(why, Why::Link(_)));
        for is in [Is::Device, Is::Pipe] {
            refused(form, &[other("game/thing", is, "")], "game/thing", |why| matches!(why, Why::Special(_)));
        }
        if matches!(form, Form::Tar | Form::TarGz | Form::Rar5) {
            let items = [file("game/fine", b"x"), other("game/hard", Is::Hardlink, "../../kept")];
            refused(form, &items, "game/hard", |why| matches!(why, Why::Link(_)));
        }
    }
}

#[test]
fn two_entries_that_cannot_lie_beside_each_other_are_refused() {
    let pairs: &[(&str, &str, &str)] = &[
        ("game/a", "game/a", "game/a"),
        ("game/a", "game/A", "game/A"),
        ("Game/a", "game/b", "game/b"),
        ("game/\u{e9}", "game/e\u{301}", "game/e\u{301}"),
        ("game/ss", "game/\u{df}", "game/\u{df}"),
        ("game/a", "game/a/b", "game/a/b"),
        ("game/a/b", "game/a", "game/a"),
    ];
    for form in FORMS {
        for (first, second, named) in pairs {
            // Of two spellings of a sharp s, upper case is one.
            refused(form, &[file(first, b"1"), file(second, b"2")], named, |why| {
                if first == second { *why == Why::Duplicate } else { matches!(why, Why::Collision(_)) }
            });
        }
        refused(form, &[file("game/x", b"1"), folder("game/x")], "game/x", |why| matches!(why, Why::Collision(_)));
    }
}

#[test]
fn an_archive_cannot_write_over_what_an_earlier_one_made() {
    for form in FORMS {
        let first = archives::archive(&build(form, &[folder("game"), file("game/a", b"1")])).unwrap();
        let again = archives::archive(&build(form, &[folder("game"), file("game/a", b"2")])).unwrap();
        let (result, came) = unpack(&[first.clone(), again], &Limits::default());
        assert_eq!(result.unwrap_err().why, Why::Duplicate, "{form:?}");
        assert_eq!(came["game/a"].as_deref(), Some(b"1".as_slice()), "{form:?}");
        let more = archives::archive(&build(form, &[folder("game"), file("game/b", b"2")])).unwrap();
        let (result, came) = unpack(&[first, more], &Limits::default());
        assert_eq!(result.unwrap().files, 2, "{form:?}");
        assert_eq!(came.len(), 3);
    }
}

#[test]
fn more_bytes_than_an_archive_of_that_size_can_honestly_hold_are_refused() {
    let limits = Limits { ratio: 10, ratio_floor: 1 << 20, ..Limits::default() };
    let bomb = file("game/bomb", &vec![0; 4 << 20]);
    for form in FORMS {
        // Nothing is packed in these.
        if matches!(form, Form::Rar4 | Form::Rar5 | Form::Tar) {
            continue;
        }
        let (result, came) = unpack(&[archives::archive(&build(form, std::slice::from_ref(&bomb))).unwrap()], &limits);
        let e = result.unwrap_err();
        assert!(matches!(&e.why, Why::Limit { what, .. } if what.contains("archive")), "{form:?}: {e}");
        assert_eq!(e.entry.as_deref(), Some("game/bomb"), "{form:?}");
        let written = came.get("game/bomb").and_then(|b| b.as_ref()).map_or(0, Vec::len);
        assert!(written <= 2 << 20, "{form:?}: {written} bytes were written");
    }
    let mut rar = rars::Builder::new(rars::ArchiveVersion::Rar50);
    rar.add_bytes(b"game/bomb".to_vec(), vec![0; 4 << 20], None, None).unwrap();
    let (result, _) = unpack(&[archives::archive(&rar.to_bytes().unwrap()).unwrap()], &limits);
    assert!(matches!(result.unwrap_err().why, Why::Limit { .. }));
}

#[test]
fn bounds_on_one_file_on_all_files_on_their_number_and_names_hold_in_every_format() {
    let items: Vec<Item> = (0..11).map(|n| file(&format!("game/{n}"), &[b'x'; 1000])).collect();
    let cases = [
        (Limits { entries: 10, ..Limits::default() }, "number of entries", "game/10"),
        (Limits { file_bytes: 999, ..Limits::default() }, "bytes of one file", "game/0"),
        (Limits { total_bytes: 10_500, ..Limits::default() }, "bytes of all files", "game/10"),
        (Limits { names_bytes: 66, ..Limits::default() }, "bytes of names", "game/10"),
    ];
    for form in FORMS {
        let archive = archives::archive(&build(form, &items)).unwrap();
        for (limits, what, named) in &cases {
            let e = unpack(std::slice::from_ref(&archive), limits).0.unwrap_err();
            assert!(matches!(&e.why, Why::Limit { what: found, .. } if found == what), "{form:?}: {e}");
            assert_eq!(e.entry.as_deref(), Some(*named), "{form:?}: {e}");
        }
        let exact = Limits { entries: 11, file_bytes: 1000, total_bytes: 11_000, names_bytes: 67, ..Limits::default() };
        assert_eq!(unpack(&[archive], &exact).0.unwrap().files, 11, "{form:?}");
    }
}

#[test]
fn an_archive_in_an_archive_is_a_file() {
    for form in FORMS {
        let inner = build(form, &archives::game());
        let (result, came) = unpack_bytes(&build(form, &[file("game/inner", &inner)]));
        assert_eq!(result.unwrap().files, 1, "{form:?}");
        assert_eq!(came["game/inner"].as_ref().unwrap(), &inner);
    }
}

#[test]
fn sizes_and_checksums_that_are_not_what_comes_are_refused() {
    let body = b"0123456789".repeat(100);
    for form in [Form::Rar4, Form::Rar5, Form::Zip] {
        for lie in [1, -1, 100_000, -500] {
            let liar = Item { size_lie: lie, ..file("game/liar", &body) };
            refused(form, &[file("game/fine", b"x"), liar], "game/liar", |why| {
                matches!(
                    why,
                    Why::Size { .. } | Why::Checksum | Why::Truncated | Why::Format(_) | Why::Contradiction(_)
                )
            });
        }
        let liar = Item { crc_lie: true, ..file("game/liar", &body) };
        refused(form, &[liar], "game/liar", |why| *why == Why::Checksum);
    }
}

#[test]
fn a_zip_archive_that_contradicts_itself_is_refused() {
    let good = build(Form::Zip, &[file("game/one", b"first body"), file("game/two", b"other body")]);
    let local = |bytes: &[u8], name: &[u8]| bytes.windows(name.len()).position(|w| w == name).unwrap();
    // The name before the entry is another than in the directory.
    let mut bytes = good.clone();
    let at = local(&bytes, b"game/one");
    bytes[at..at + 8].copy_from_slice(b"game/1ne");
    assert!(matches!(unpack_bytes(&bytes).0.unwrap_err().why, Why::Contradiction(_)));
    // Two entries of the directory lie on the same bytes.
    let mut bytes = good.clone();
    let directory = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let second = directory + 4 + bytes[directory + 4..].windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    let first_local = 0u32;
    bytes[second + 42..second + 46].copy_from_slice(&first_local.to_le_bytes());
    assert!(matches!(unpack_bytes(&bytes).0.unwrap_err().why, Why::Contradiction(_)));
    // The directory says that an entry is longer than there is room before the directory.
    let mut bytes = good.clone();
    for at in [second + 20, bytes.windows(8).position(|w| w == b"game/two").unwrap() - 12] {
        bytes[at..at + 4].copy_from_slice(&1_000u32.to_le_bytes());
    }
    let e = unpack_bytes(&bytes).0.unwrap_err();
    assert_eq!((e.entry.as_deref(), &e.why), (Some("game/two"), &Why::Truncated));
    // Split over disks.
    let split = [b"PK\x07\x08".as_slice(), &good].concat();
    assert_eq!(unpack_bytes(&split).0.unwrap_err().why, Why::SplitZip);
}

#[test]
fn what_needs_a_password_says_so() {
    let mut zip = build(Form::Zip, &[file("game/secret", b"x")]);
    let directory = zip.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    zip[6] |= 1;
    zip[directory + 8] |= 1;
    let mut rar4 = build(Form::Rar4, &[file("game/secret", b"x")]);
    // The file's header is the third block; its flag, then its checksum again.
    let at = 7 + 13;
    rar4[at + 3] |= 4;
    let len = usize::from(u16::from_le_bytes([rar4[at + 5], rar4[at + 6]]));
    let sum = crc32fast::hash(&rar4[at + 2..at + len]) as u16;
    rar4[at..at + 2].copy_from_slice(&sum.to_le_bytes());
    for bytes in [zip, rar4] {
        let e = unpack_bytes(&bytes).0.unwrap_err();
        assert_eq!((e.entry.as_deref(), &e.why), (Some("game/secret"), &Why::Encrypted), "{e}");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), b"x".repeat(1000)).unwrap();
    for arguments in [
        ["7z", "a", "-psecret", "p.7z", "secret"].as_slice(),
        &["7z", "a", "-psecret", "-mhe=on", "ph.7z", "secret"],
        &["7z", "a", "-psecret", "-tzip", "-mem=AES256", "p.zip", "secret"],
        &["zip", "-q", "-P", "secret", "pp.zip", "secret"],
    ] {
        let made = std::process::Command::new(arguments[0]).args(&arguments[1..]).current_dir(folder.path()).output();
        assert!(made.unwrap().status.success(), "{arguments:?}");
        let name = arguments.iter().find(|a| a.ends_with(".7z") || a.ends_with(".zip")).unwrap();
        let e = unpack_bytes(&std::fs::read(folder.path().join(name)).unwrap()).0.unwrap_err();
        assert_eq!(e.why, Why::Encrypted, "{name}: {e}");
    }
}

#[test]
fn a_name_with_something_behind_a_nul_is_refused_wherever_one_can_be_written() {
    let mut tar = build(Form::Tar, &[file("game/a", b"x")]);
    tar[20..24].copy_from_slice(b"evil");
    let mut header = tar::Header::from_byte_slice(&tar[..512]).clone();
    header.set_cksum();
    tar[..512].copy_from_slice(header.as_bytes());
    let e = unpack_bytes(&tar).0.unwrap_err();
    assert!(matches!(e.why, Why::Name(_)), "{e}");
    assert_eq!(e.entry.as_deref(), Some("game/a"));
    for form in [Form::Zip, Form::Rar5, Form::Rar4] {
        let e = unpack_bytes(&build(form, &[file("game/a\0b", b"x")])).0.unwrap_err();
        assert!(matches!(e.why, Why::Name(_)), "{form:?}: {e}");
    }
}

#[test]
fn attributes_of_a_tar_entry_that_are_endless_are_refused() {
    let mut long = tar::Header::new_gnu();
    long.set_entry_type(tar::EntryType::GNULongName);
    long.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
    long.set_size(1 << 40);
    long.set_cksum();
    let mut bytes = long.as_bytes().to_vec();
    bytes.resize(4096, b'x');
    assert!(matches!(unpack_bytes(&bytes).0.unwrap_err().why, Why::Limit { .. }));
    let mut sparse = build(Form::Tar, &[file("game/a", b"x")]);
    let mut header = tar::Header::from_byte_slice(&sparse[..512]).clone();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_cksum();
    sparse[..512].copy_from_slice(header.as_bytes());
    assert!(matches!(unpack_bytes(&sparse).0.unwrap_err().why, Why::Special(_)));
}

#[test]
fn what_follows_the_end_of_a_tar_archive_is_zeros_and_not_many() {
    let good = build(Form::Tar, &archives::game());
    let second = [good.as_slice(), &build(Form::Tar, &[file("hidden", b"x")])].concat();
    assert!(matches!(unpack_bytes(&second).0.unwrap_err().why, Why::Format(_)));
    assert!(matches!(unpack_bytes(&archives::gz(&second)).0.unwrap_err().why, Why::Format(_)));
    let padded = [good.as_slice(), &vec![0; 10_240]].concat();
    unpack_bytes(&padded).0.unwrap();
    let endless = [good.as_slice(), &vec![0; 20 << 20]].concat();
    assert!(matches!(unpack_bytes(&archives::gz(&endless)).0.unwrap_err().why, Why::Limit { .. }));
}
