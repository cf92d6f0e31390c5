//! Every format as it should be: what comes out is what went in, however the archive was made and cut.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop at the first surprise")]

mod archives;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use archives::{FORMS, Form, build, game, tree, tree_of, unpack, unpack_bytes};
use bonfire_engine::ErrorClass;
use bonfire_unpack::{ArchiveFile, Format, Limits, Payload, PayloadFile, Source, Why, group, list};

#[test]
fn what_comes_out_of_every_format_is_what_went_in() {
    for form in FORMS {
        let (result, came) = unpack_bytes(&build(form, &game()));
        let extracted = result.unwrap_or_else(|e| panic!("{form:?}: {e}"));
        assert_eq!(came, tree_of(&game()), "{form:?}");
        assert_eq!((extracted.files, extracted.bytes), (5, 3023), "{form:?}");
        assert!(extracted.plain.is_empty());
    }
}

#[test]
fn a_list_says_how_many_files_and_bytes_before_anything_comes_out_where_the_format_does() {
    for form in FORMS {
        let expanded = list(&[archives::archive(&build(form, &game())).unwrap()], &Limits::default()).unwrap();
        if matches!(form, Form::TarGz | Form::TarXz | Form::TarZst | Form::TarBz2) {
            assert_eq!(expanded.bytes, None, "{form:?}");
            continue;
        }
        assert_eq!((expanded.bytes, expanded.files), (Some(3023), 5), "{form:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_mark_of_a_program_is_passed_on_and_nothing_else_of_a_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let items = [
        archives::Item { mode: 0o4755, ..archives::file("run", b"x") },
        archives::Item { mode: 0o600, ..archives::file("data", b"x") },
    ];
    for form in FORMS {
        let out = tempfile::tempdir().unwrap();
        let archive = archives::archive(&build(form, &items)).unwrap();
        archives::unpack_with(&[archive], &Limits::default(), out.path(), Arc::new(bonfire_unpack::Unattended))
            .unwrap();
        let mode = |name: &str| out.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("run") & 0o7000, 0, "{form:?}");
        assert_ne!(mode("run") & 0o100, 0, "{form:?}: a program that cannot be run");
        assert_eq!(mode("data") & 0o111, 0, "{form:?}");
        assert_eq!(mode("run") & 0o666, mode("data") & 0o666, "{form:?}");
    }
}

#[test]
fn a_format_is_told_by_content_and_never_by_name() {
    for form in FORMS {
        let bytes = build(form, &game());
        let file = PayloadFile {
            name: "game.txt".into(),
            size: bytes.len() as u64,
            head: bytes[..512.min(bytes.len())].to_vec(),
        };
        let Ok([Payload::Archive { .. }]) = group(&[file]).as_deref() else { panic!("{form:?} was not seen") };
    }
    for plain in [b"".as_slice(), b"PK", b"#!/bin/sh", &[0; 512], b"MZ\x90", b"Rar", &[b'x'; 600]] {
        let file = PayloadFile { name: "game.zip".into(), size: plain.len() as u64, head: plain.to_vec() };
        assert_eq!(group(&[file]).unwrap(), [Payload::Plain { name: "game.zip".into() }], "{plain:?}");
    }
}

#[test]
fn something_packed_that_is_no_tar_archive_is_a_file() {
    for (name, bytes) in [
        ("notes.gz", archives::gz(b"just some notes")),
        ("notes.zst", zstd::encode_all(b"just some notes".repeat(100).as_slice(), 3).unwrap()),
        ("notes.xz", archives::piped("xz", &["-c"], &b"just some notes".repeat(100))),
    ] {
        let mut archive = archives::archive(&bytes).unwrap();
        archive.name = name.into();
        let (result, came) = unpack(&[archive], &Limits::default());
        assert_eq!(result.unwrap().plain, [name]);
        assert!(came.is_empty());
    }
}

#[test]
fn streams_of_xz_with_zeros_in_fours_between_them_are_one_archive_and_anything_else_between_them_is_damage() {
    let tar = archives::tar(&game());
    let streams: Vec<Vec<u8>> =
        tar.chunks(tar.len() / 3 + 1).map(|part| archives::piped("xz", &["-c", "-1"], part)).collect();
    assert_eq!(streams.len(), 3);
    let joined = |between: &[u8], behind: &[u8]| [streams.join(between), behind.to_vec()].concat();
    let zeros = |len| vec![0; len];
    for (between, behind) in [(0, 0), (4, 0), (0, 8), (400_000, 300_000)] {
        let (result, came) = unpack_bytes(&joined(&zeros(between), &zeros(behind)));
        result.unwrap_or_else(|e| panic!("{between} zeros between, {behind} behind: {e}"));
        assert_eq!(came, tree_of(&game()));
    }
    for (between, behind) in
        [(zeros(3), zeros(0)), (zeros(0), zeros(1)), (b"what".to_vec(), zeros(0)), (zeros(0), b"what".to_vec())]
    {
        let e = unpack_bytes(&joined(&between, &behind)).0.unwrap_err();
        assert_eq!(e.class(), ErrorClass::Corruption, "{between:?} between, {behind:?} behind: {e}");
    }
    let cut = joined(&[], &[]);
    let second = &cut[..streams[0].len() + streams[1].len() / 2];
    assert_eq!(unpack_bytes(second).0.unwrap_err().why, Why::Truncated);
}

/// Archives of a folder by the ordinary tools: command, and the file it makes.
const TOOLS: &[(&[&str], &str)] = &[
    (&["zip", "-qr", "a.zip", "game"], "a.zip"),
    (&["zip", "-qr", "-fz", "b.zip", "game"], "b.zip"),
    (&["zip", "-qr", "-0", "c.zip", "game"], "c.zip"),
    (&["7z", "a", "-tzip", "-mm=Deflate64", "d.zip", "game"], "d.zip"),
    (&["7z", "a", "-tzip", "-mm=BZip2", "e.zip", "game"], "e.zip"),
    (&["bsdtar", "-a", "-cf", "f.zip", "game"], "f.zip"),
    (&["7z", "a", "a.7z", "game"], "a.7z"),
    (&["7z", "a", "-m0=lzma", "b.7z", "game"], "b.7z"),
    (&["7z", "a", "-m0=ppmd", "c.7z", "game"], "c.7z"),
    (&["7z", "a", "-m0=bzip2", "d.7z", "game"], "d.7z"),
    (&["7z", "a", "-m0=deflate", "e.7z", "game"], "e.7z"),
    (&["7z", "a", "-m0=copy", "-ms=off", "f.7z", "game"], "f.7z"),
    (
        &[
            "7z",
            "a",
            "-m0=bcj2",
            "-m1=lzma:d23",
            "-m2=lzma:d19",
            "-m3=lzma:d19",
            "-mb0:1",
            "-mb0s1:2",
            "-mb0s2:3",
            "g.7z",
            "game",
        ],
        "g.7z",
    ),
    (&["7z", "a", "-ms=off", "h.7z", "game"], "h.7z"),
    (&["tar", "-cf", "a.tar", "game"], "a.tar"),
    (&["tar", "-cf", "b.tar", "./game"], "b.tar"),
    (&["tar", "--format=posix", "-cf", "c.tar", "game"], "c.tar"),
    (&["tar", "--format=v7", "-cf", "d.tar", "game"], "d.tar"),
    (&["tar", "--format=ustar", "-cf", "e.tar", "game"], "e.tar"),
    (&["bsdtar", "--format=pax", "-cf", "f.tar", "game"], "f.tar"),
    (&["tar", "-czf", "a.tgz", "game"], "a.tgz"),
    (&["tar", "-cJf", "a.txz", "game"], "a.txz"),
    (&["tar", "-I", "xz -T2 --block-size=100000", "-cf", "b.txz", "game"], "b.txz"),
    (&["tar", "-I", "zstd -19", "-cf", "a.tzst", "game"], "a.tzst"),
    (&["tar", "-cjf", "a.tbz", "game"], "a.tbz"),
];

fn make_game(folder: &Path) {
    let game = folder.join("game");
    std::fs::create_dir_all(game.join("maps/deep/deeper")).unwrap();
    std::fs::create_dir_all(game.join("empty folder")).unwrap();
    for number in 0..40u32 {
        let body: Vec<u8> = (0..number * 997).map(|n| (n.wrapping_mul(number) >> 3) as u8).collect();
        std::fs::write(game.join(format!("maps/{number}.map")), body).unwrap();
    }
    std::fs::write(game.join("maps/deep/deeper/été.txt"), "summer ".repeat(9000)).unwrap();
    let long = "a long name ".repeat(10);
    std::fs::write(game.join(format!("maps/{}.txt", long.trim())), b"long").unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), game.join("game.bin")).unwrap();
    let program = std::fs::OpenOptions::new().write(true).open(game.join("game.bin")).unwrap();
    program.set_len(700_000).unwrap();
    std::fs::write(game.join("nothing"), b"").unwrap();
}

#[test]
fn what_the_ordinary_tools_pack_comes_out_as_they_packed_it() {
    let folder = tempfile::tempdir().unwrap();
    make_game(folder.path());
    let expected = tree(&folder.path().join("game"), &[]);
    for (command, name) in TOOLS {
        // The name of 120 bytes is more than the older forms have room for.
        let v7 = matches!(*name, "d.tar" | "e.tar");
        let long = folder.path().join("game/maps").join(format!("{}.txt", "a long name ".repeat(10).trim()));
        if v7 {
            std::fs::rename(&long, folder.path().join("aside")).unwrap();
        }
        let made = Command::new(command[0]).args(&command[1..]).current_dir(folder.path()).output().expect(command[0]);
        assert!(made.status.success(), "{command:?}: {}", String::from_utf8_lossy(&made.stderr));
        if v7 {
            std::fs::rename(folder.path().join("aside"), &long).unwrap();
        }
        let (result, came) = unpack_bytes(&std::fs::read(folder.path().join(name)).unwrap());
        result.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut came: archives::Tree =
            came.into_iter().filter_map(|(path, body)| Some((path.strip_prefix("game/")?.to_owned(), body))).collect();
        if v7 {
            came.extend(
                expected.iter().filter(|(p, _)| p.contains("a long name")).map(|(p, b)| (p.clone(), b.clone())),
            );
        }
        assert!(
            came == expected,
            "{command:?}: {:?}",
            expected.keys().filter(|k| came.get(*k) != expected.get(*k)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn rar_of_every_generation_and_strength_comes_out() {
    use rars::ArchiveVersion as V;
    let text = b"The quick brown fox jumps over the lazy dog. ".repeat(600);
    let noise: Vec<u8> = (0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for version in [V::Rar15, V::Rar20, V::Rar30, V::Rar40, V::Rar50, V::Rar70] {
        for (level, solid) in [(Some(0), false), (Some(3), false), (Some(3), true)] {
            let mut builder = rars::Builder::new(version).compression_level(level).solid(solid);
            for (name, body) in [("game/text", &text), ("game/noise", &noise), ("game/again", &text)] {
                builder.add_bytes(name.into(), body.clone(), None, Some(0o644)).unwrap();
            }
            builder.add_directory(b"game/folder".to_vec(), None, None).unwrap();
            let Ok(mut bytes) = builder.to_bytes() else {
                assert!(solid || level == Some(0), "{version:?} {level:?} {solid}");
                continue;
            };
            if matches!(version, V::Rar30 | V::Rar40) {
                bytes = archives::with_rar4_end(bytes, false);
            }
            let (result, came) = unpack_bytes(&bytes);
            if level == Some(0) && matches!(version, V::Rar15 | V::Rar20) {
                // Nothing tells a whole one of these from a newer one that was cut.
                assert_eq!(result.unwrap_err().why, Why::Truncated);
                continue;
            }
            result.unwrap_or_else(|e| panic!("{version:?} {level:?} {solid}: {e}"));
            assert_eq!(came["game/text"].as_ref().unwrap(), &text);
            assert_eq!(came["game/again"].as_ref().unwrap(), &text);
            assert_eq!(came["game/noise"].as_ref().unwrap(), &noise);
            assert_eq!(came["game/folder"], None);
        }
    }
}

fn volumes(version: rars::ArchiveVersion) -> Vec<Vec<u8>> {
    let mut builder = rars::Builder::new(version).compression_level(Some(0)).volume_size(Some(20_000));
    // The old form is written with one file only.
    for n in 0..if version == rars::ArchiveVersion::Rar50 { 3u32 } else { 1 } {
        let body: Vec<u8> = (0..90_000u32).map(|i| (i.wrapping_mul(n + 7) >> 5) as u8).collect();
        builder.add_bytes(format!("game/{n}").into_bytes(), body, None, Some(0o644)).unwrap();
    }
    let mut set = builder.build_volumes(None).unwrap();
    if version == rars::ArchiveVersion::Rar40 {
        let last = set.len() - 1;
        set = set.into_iter().enumerate().map(|(n, bytes)| archives::with_rar4_end(bytes, n < last)).collect();
    }
    set
}

fn files(named: &[(String, Vec<u8>)]) -> Vec<PayloadFile> {
    let file = |(name, bytes): &(String, Vec<u8>)| PayloadFile {
        name: name.clone(),
        size: bytes.len() as u64,
        head: bytes[..bytes.len().min(512)].to_vec(),
    };
    named.iter().map(file).collect()
}

fn opened(named: &[(String, Vec<u8>)], payload: &[Payload]) -> Vec<ArchiveFile> {
    let bytes = |part: &String| named.iter().find(|(name, _)| name == part).unwrap().1.clone();
    let mut out = Vec::new();
    for group in payload {
        let Payload::Archive { format, parts, are_volumes } = group else { continue };
        let parts: Vec<Vec<u8>> = parts.iter().map(bytes).collect();
        let sources = match are_volumes {
            true => parts.into_iter().map(Source::of_bytes).collect(),
            false => vec![Source::new(
                parts
                    .into_iter()
                    .map(|b| {
                        let len = b.len() as u64;
                        (Arc::new(b) as _, len)
                    })
                    .collect(),
            )],
        };
        out.push(ArchiveFile { name: group.name().into(), format: *format, parts: sources, other_reader: None });
    }
    out
}

#[test]
fn volumes_of_a_rar_set_are_found_and_ordered_by_any_way_of_naming_them() {
    type Naming = fn(usize) -> String;
    let namings: [Naming; 6] = [
        |n| format!("Game.part{}.rar", n + 1),
        |n| format!("game.part{:02}.rar", n + 1),
        |n| if n == 0 { "game.rar".into() } else { format!("game.r{:02}", n - 1) },
        |n| if n == 0 { "game.eti".into() } else { format!("game.e{:02}", n - 1) },
        |n| format!("game.{:03}", n + 1),
        |n| format!("game {}.eti", n + 8),
    ];
    for version in [rars::ArchiveVersion::Rar40, rars::ArchiveVersion::Rar50] {
        let set = volumes(version);
        assert!(set.len() > 3);
        for (number, naming) in namings.iter().enumerate() {
            let mut named: Vec<(String, Vec<u8>)> =
                set.iter().cloned().enumerate().map(|(n, b)| (naming(n), b)).collect();
            named.reverse();
            named.push(("readme.txt".into(), b"plain".to_vec()));
            let payload = group(&files(&named)).unwrap_or_else(|e| panic!("{version:?} {number}: {e}"));
            assert_eq!(payload.len(), 2, "{version:?} {number}: {payload:?}");
            let (result, came) = unpack(&opened(&named, &payload), &Limits::default());
            result.unwrap_or_else(|e| panic!("{version:?} {number}: {e}"));
            assert!(came.values().flatten().all(|body| body.len() == 90_000) && came.len() > 1);
        }
    }
}

#[test]
fn a_missing_volume_is_said_to_be_missing() {
    for version in [rars::ArchiveVersion::Rar40, rars::ArchiveVersion::Rar50] {
        let set = volumes(version);
        let named: Vec<(String, Vec<u8>)> =
            set.into_iter().enumerate().map(|(n, b)| (format!("game.part{}.rar", n + 1), b)).collect();
        for without in 0..named.len() {
            let mut named = named.clone();
            named.remove(without);
            let outcome = group(&files(&named)).and_then(|p| unpack(&opened(&named, &p), &Limits::default()).0);
            let e = outcome.unwrap_err();
            let is_right = matches!(e.why, Why::PartMissing(_) | Why::Format(_));
            assert!(is_right, "{version:?} without {without}: {e}");
        }
    }
}

#[test]
fn archives_that_were_cut_are_put_together_in_the_order_of_their_numbers() {
    for (form, ending) in [(Form::SevenZ, "7z"), (Form::Zip, "zip"), (Form::TarGz, "tar.gz"), (Form::TarZst, "tar.zst")]
    {
        let whole = build(form, &game());
        let piece = whole.len().div_ceil(12);
        let mut named: Vec<(String, Vec<u8>)> =
            whole.chunks(piece).enumerate().map(|(n, b)| (format!("game.{ending}.{:03}", n + 1), b.to_vec())).collect();
        named.reverse();
        let payload = group(&files(&named)).unwrap();
        assert_eq!(payload.len(), 1, "{form:?}: {payload:?}");
        let (result, came) = unpack(&opened(&named, &payload), &Limits::default());
        result.unwrap_or_else(|e| panic!("{form:?}: {e}"));
        assert_eq!(came, tree_of(&game()));
        named.retain(|(name, _)| !name.ends_with("005"));
        let e = group(&files(&named)).unwrap_err();
        assert_eq!(e.why, Why::PartMissing(format!("game.{ending}.005")));
    }
}

#[test]
fn several_archives_of_a_game_come_in_the_order_of_their_names_and_plain_files_are_told_apart() {
    let named: Vec<(String, Vec<u8>)> = ["10.eti", "2.eti", "readme.txt", "1.zip"]
        .iter()
        .map(|name| {
            let item = archives::file(&format!("game/{name}"), b"x");
            let bytes = match name.rsplit_once('.').unwrap().1 {
                "eti" => build(Form::Rar4, &[item]),
                "zip" => build(Form::Zip, &[item]),
                _ => b"read me".to_vec(),
            };
            ((*name).to_owned(), bytes)
        })
        .collect();
    let payload = group(&files(&named)).unwrap();
    assert_eq!(payload.iter().map(Payload::name).collect::<Vec<_>>(), ["1.zip", "2.eti", "10.eti", "readme.txt"]);
    assert_eq!(payload[3], Payload::Plain { name: "readme.txt".into() });
    assert_eq!(unpack(&opened(&named, &payload), &Limits::default()).0.unwrap().files, 3);
}

#[test]
fn a_root_of_very_many_plain_files_is_grouped_as_it_is() {
    let files: Vec<PayloadFile> =
        (0..100_000).map(|n| PayloadFile { name: format!("file {n}"), size: 1, head: b"x".to_vec() }).collect();
    let payload = group(&files).unwrap();
    assert_eq!(payload.len(), files.len());
    assert!(payload.iter().zip(&files).all(|(payload, file)| payload.name() == file.name));
}

#[test]
fn an_archive_is_what_it_begins_as_or_nothing() {
    let mut archive = archives::archive(&build(Form::Zip, &game())).unwrap();
    archive.format = Format::Rar;
    assert!(matches!(unpack(&[archive], &Limits::default()).0.unwrap_err().why, Why::Format(_)));
}
