//! The child and the side that runs it: what comes of it, and of every way in which it can end.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod archives;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archives::{FORMS, Form, build, game, tree, tree_of};
use bonfire_engine::ErrorClass;
use bonfire_proto::RelPath;
use bonfire_unpack::{Cancel, Format, Job, Limits, Payload, Progress, Unpacker, Why, find_bsdtar};

const CHILD: &str = env!("CARGO_BIN_EXE_bonfire-unpack");

/// A game's root with one archive, and an empty staging.
struct Room {
    root: tempfile::TempDir,
    staging: tempfile::TempDir,
    format: Format,
}

impl Room {
    fn new(bytes: &[u8]) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("game.eti"), bytes).unwrap();
        let format = Format::of(&bytes[..bytes.len().min(512)]).unwrap();
        Self { root, staging: tempfile::tempdir().unwrap(), format }
    }

    fn job(&self) -> Job {
        let payload = vec![
            Payload::Plain { name: "readme.txt".into() },
            Payload::Archive {
                format: self.format,
                parts: vec!["game.eti".into()],
                are_volumes: self.format == Format::Rar,
            },
        ];
        Job {
            root: self.root.path().to_owned(),
            payload,
            staging: self.staging.path().to_owned(),
            limits: Limits::default(),
            only: None,
        }
    }

    fn came(&self) -> archives::Tree {
        tree(self.staging.path(), &[])
    }
}

fn unpacker() -> Unpacker {
    Unpacker::new(CHILD, Vec::new())
}

/// A child that is a shell script; `$0` is the real one.
fn script(text: &str) -> Unpacker {
    Unpacker::new("/bin/sh", vec!["-c".into(), text.into(), CHILD.into()])
}

/// Half a gigabyte of zeros in a small archive: long enough under way to be stopped.
fn endless() -> Room {
    let body = vec![0; 8 << 20];
    let mut tar = Vec::new();
    for number in 0..64 {
        let one = archives::tar(&[archives::file(&format!("game/{number}"), &body)]);
        tar.extend_from_slice(&one[..one.len() - 1024]);
    }
    tar.resize(tar.len() + 1024, 0);
    Room::new(&zstd::encode_all(tar.as_slice(), 1).unwrap())
}

#[test]
fn every_format_comes_out_of_the_child_as_it_does_without_one() {
    for form in FORMS {
        let room = Room::new(&build(form, &game()));
        let mut restricted = 0;
        let run = unpacker().run(&room.job(), &Cancel::new(), &mut |progress| {
            restricted += usize::from(matches!(progress, Progress::Restricted(_)));
        });
        let extracted = run.unwrap_or_else(|e| panic!("{form:?}: {e}"));
        assert_eq!((extracted.bytes, extracted.files, restricted), (3023, 5, 1), "{form:?}");
        assert_eq!(room.came(), tree_of(&game()), "{form:?}");
    }
}

#[test]
fn what_came_is_told_with_its_content_and_of_what_is_asked_for_alone_when_that_is_named() {
    for form in FORMS {
        let room = Room::new(&build(form, &game()));
        let extracted = unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap();
        assert_eq!(extracted.content.len(), 5, "{form:?}");
        for (path, known) in &extracted.content {
            let bytes = std::fs::read(room.staging.path().join(path.as_str())).unwrap();
            let is = (bytes.len() as u64, *blake3::hash(&bytes).as_bytes());
            assert_eq!((known.size, known.blake3.0), is, "{path}");
        }
        let one = extracted.content.keys().find(|path| path.as_str().contains('/')).unwrap().clone();
        let again = Room::new(&build(form, &game()));
        let job = Job { only: Some([(one.clone(), u64::MAX)].into()), ..again.job() };
        let part = unpacker().run(&job, &Cancel::new(), &mut |_| {}).unwrap();
        assert_eq!(part.content.into_iter().collect::<Vec<_>>(), [(one.clone(), extracted.content[&one])]);
        let files: Vec<String> =
            again.came().into_iter().filter(|(_, node)| node.is_some()).map(|(path, _)| path).collect();
        assert_eq!(files, [one.as_str()], "{form:?}");
    }
}

#[test]
fn of_a_file_that_is_asked_for_no_more_is_written_than_it_may_be_and_its_whole_length_is_told() {
    for form in FORMS {
        let room = Room::new(&build(form, &game()));
        let (path, known) = unpacker()
            .run(&room.job(), &Cancel::new(), &mut |_| {})
            .unwrap()
            .content
            .into_iter()
            .find(|(_, known)| known.size > 2)
            .unwrap();
        let again = Room::new(&build(form, &game()));
        let job = Job { only: Some([(path.clone(), 2)].into()), ..again.job() };
        let part = unpacker().run(&job, &Cancel::new(), &mut |_| {}).unwrap();
        assert_eq!(part.content.get(&path), Some(&known), "{form:?}");
        let written = std::fs::metadata(again.staging.path().join(path.as_str())).unwrap().len();
        assert_eq!(written, 2, "{form:?}: {path}");
    }
}

#[test]
fn too_many_names_are_known_to_be_too_many_before_a_child_is_asked() {
    let names = |count: u32| (0..count).map(|n| (RelPath::new(format!("{n:0>200}")).unwrap(), 1)).collect();
    assert!(bonfire_unpack::is_sayable(&names(9_000)));
    assert!(!bonfire_unpack::is_sayable(&names(10_000)));
}

#[test]
fn a_list_comes_through_the_child() {
    let room = Room::new(&build(Form::Rar4, &game()));
    let expanded = unpacker().list(&room.job(), &Cancel::new()).unwrap();
    assert_eq!((expanded.bytes, expanded.files), (Some(3023), 5));
    assert!(room.came().is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn the_child_says_which_restrictions_it_got_and_a_kernel_that_has_them_gives_them() {
    let room = Room::new(&build(Form::Zip, &game()));
    let mut granted = None;
    unpacker()
        .run(&room.job(), &Cancel::new(), &mut |progress| {
            if let Progress::Restricted(all) = progress {
                granted = Some(all);
            }
        })
        .unwrap();
    let granted = granted.unwrap();
    assert!(granted.no_new_privileges && granted.resource_limits, "{granted:?}");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_eq!(granted.seccomp, status.contains("Seccomp_filters"), "{granted:?}");
}

#[test]
fn what_is_wrong_with_an_archive_comes_back_as_it_was_said() {
    let room = Room::new(&build(Form::Zip, &[archives::file("game/../../escaped", b"x")]));
    let e = unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(e.why, Why::Name(_)), "{e}");
    assert_eq!((e.archive.as_str(), e.entry.as_deref()), ("game.eti", Some("game/../../escaped")));
    assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Refused, false));
}

#[test]
fn an_archive_that_is_a_link_or_not_there_is_not_opened() {
    let room = Room::new(&build(Form::Zip, &game()));
    let (real, other) = (room.root.path().join("game.eti"), room.root.path().join("other"));
    std::fs::rename(&real, &other).unwrap();
    std::os::unix::fs::symlink(&other, &real).unwrap();
    let e = unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(e.why, Why::Io { .. }), "{e}");
    std::fs::remove_file(&real).unwrap();
    let e = unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert_eq!(e.why, Why::PartMissing("game.eti".into()));
}

#[test]
fn a_cancel_ends_the_child_in_the_middle() {
    let room = endless();
    let cancel = Cancel::new();
    let outcome = unpacker().run(&room.job(), &cancel, &mut |progress| {
        if matches!(progress, Progress::Came { .. }) {
            cancel.cancel();
        }
    });
    assert_eq!(outcome.unwrap_err().why, Why::Cancelled);
    assert!(room.came().len() < 65);
    let again = unpacker().run(&room.job(), &cancel, &mut |_| {});
    assert_eq!(again.unwrap_err().why, Why::Cancelled, "once cancelled it stays so");
}

#[test]
fn a_child_that_is_killed_in_the_middle_is_an_error_that_names_the_archive() {
    let room = endless();
    let pid = room.root.path().join("pid");
    let child = script(&format!("echo $$ > '{}'; exec \"$0\"", pid.display()));
    let outcome = child.run(&room.job(), &Cancel::new(), &mut |progress| {
        if matches!(progress, Progress::Came { .. }) {
            let pid = std::fs::read_to_string(&pid).unwrap();
            Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
        }
    });
    let e = outcome.unwrap_err();
    assert!(matches!(&e.why, Why::Child(how) if how.contains("signal: 9")), "{e}");
    assert_eq!((e.archive.as_str(), e.class()), ("game.eti", ErrorClass::Environment));
}

#[test]
fn a_child_whose_memory_is_used_up_is_an_error_and_not_a_success() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("big"), vec![7; 80 << 20]).unwrap();
    let made =
        Command::new("7z").args(["a", "-mx1", "-m0=lzma2:d64m", "a.7z", "big"]).current_dir(folder.path()).output();
    assert!(made.unwrap().status.success());
    let room = Room::new(&std::fs::read(folder.path().join("a.7z")).unwrap());
    unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap();
    bonfire_unpack::place::empty(
        &*bonfire_disk::fs::real(room.staging.path()).unwrap(),
        &bonfire_disk::fs::FsPath::root(),
    )
    .unwrap();
    let mut job = room.job();
    job.limits.address_space = 48 << 20;
    let e = unpacker().run(&job, &Cancel::new(), &mut |_| {}).unwrap_err();
    assert_eq!(e.archive, "game.eti");
    assert!(!matches!(e.why, Why::Cancelled), "{e}");
}

#[test]
fn blocks_of_xz_are_decoded_in_the_restricted_child_and_damage_in_one_of_them_is_seen() {
    let body: Vec<u8> = (0..6u32 << 20).map(|n| (n.wrapping_mul(n) >> 11).to_le_bytes()[0]).collect();
    let items = [archives::file("game/data", &body)];
    let packed = archives::piped("xz", &["-c", "-0", "-T2", "--block-size=1MiB"], &archives::tar(&items));
    let room = Room::new(&packed);
    unpacker().run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap();
    assert_eq!(room.came(), tree_of(&items));
    for at in [packed.len() / 4, packed.len() / 2, packed.len() - 20] {
        let mut bytes = packed.clone();
        bytes[at] ^= 0x10;
        let e = unpacker().run(&Room::new(&bytes).job(), &Cancel::new(), &mut |_| {}).unwrap_err();
        assert_eq!((e.class(), e.code()), (ErrorClass::Corruption, "archive_damaged"), "byte {at}: {e}");
    }
}

#[test]
fn a_dictionary_of_xz_beyond_what_a_child_may_take_is_refused_with_the_bound() {
    let tar = archives::tar(&[archives::file("game/data", &vec![7; 20 << 20])]);
    // With the sizes of its blocks in their headers, as several threads write it, and without.
    for arguments in [&["-c", "-T1", "--lzma2=preset=0,dict=16MiB"][..], &["-c", "-T2", "--lzma2=preset=0,dict=16MiB"]]
    {
        let room = Room::new(&archives::piped("xz", arguments, &tar));
        let mut job = room.job();
        job.limits.dictionary_bytes = 8 << 20;
        let e = unpacker().run(&job, &Cancel::new(), &mut |_| {}).unwrap_err();
        assert_eq!(e.why, Why::limit("bytes of dictionary", 8 << 20), "{arguments:?}");
        job.limits.dictionary_bytes = 16 << 20;
        unpacker().run(&job, &Cancel::new(), &mut |_| {}).unwrap();
    }
}

#[test]
fn a_child_ends_when_the_one_that_asked_is_gone() {
    let room = endless();
    let mut child = Command::new(CHILD).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let request = serde_json::json!({
        "task": { "extract": { "staging": room.staging.path() } },
        "root": room.root.path(),
        "archives": [{ "format": "tar_zst", "parts": ["game.eti"], "are_volumes": false }],
        "limits": Limits::default(),
    });
    writeln!(stdin, "{request}").unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("progress") {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended before");
    }
    drop(stdin);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_child_that_says_more_names_than_an_archive_may_have_is_not_heard_out() {
    let line = |number: u32| {
        let path = format!("{number}{}", "x".repeat(100));
        format!(r#"{{"content":[["{path}",1,"{}"]]}}"#, "0".repeat(64))
    };
    let text = format!(
        "read -r line; echo '{}'; echo '{}'; echo '{}'; echo '{}'",
        r#"{"restricted":{"no_new_privileges":true,"landlock":"full","seccomp":true,"resource_limits":true}}"#,
        line(1),
        line(2),
        r#"{"extracted":{"bytes":2,"files":2}}"#
    );
    let room = Room::new(&build(Form::Zip, &game()));
    let mut job = room.job();
    for (names, entries, is_heard) in [(202, 2, true), (201, 2, false), (202, 1, false)] {
        (job.limits.names_bytes, job.limits.entries) = (names, entries);
        let outcome = script(&text).run(&job, &Cancel::new(), &mut |_| {});
        match outcome {
            Ok(extracted) => assert!(is_heard && extracted.content.len() == 2, "{names} {entries}"),
            Err(e) => assert!(!is_heard && matches!(e.why, Why::Child(_)), "{names} {entries}: {e}"),
        }
    }
}

#[test]
fn a_child_that_speaks_nonsense_or_lies_about_its_end_is_never_a_success() {
    let restricted =
        r#"{"restricted":{"no_new_privileges":true,"landlock":"full","seccomp":true,"resource_limits":true}}"#;
    let extracted = r#"{"extracted":{"bytes":1,"files":1}}"#;
    let room = Room::new(&build(Form::Zip, &game()));
    for text in [
        "exit 0".to_owned(),
        "echo hello".to_owned(),
        format!("echo '{extracted}'"),
        format!("echo '{restricted}'; echo '{extracted}'; exit 1"),
        format!("echo '{restricted}'; echo '{extracted}'; kill -9 $$"),
        format!("echo '{restricted}'; echo '{extracted}'; echo '{extracted}'"),
        format!("echo '{restricted}'; echo '{restricted}'; echo '{extracted}'"),
        format!("echo '{restricted}'; echo '{{\"listed\":{{\"bytes\":1,\"files\":1}}}}'"),
        format!("echo '{restricted}'; printf '%s' '{extracted}'"),
        "echo oh no >&2; exit 101".to_owned(),
        "yes '{\"begins\":\"x\"}' | head -1000; echo '{'".to_owned(),
    ] {
        let e = script(&format!("read -r line; {text}")).run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
        assert!(matches!(e.why, Why::Child(_)), "{text}: {e}");
        assert_eq!(e.archive, "game.eti", "{text}");
    }
    let e = Unpacker::new("/does/not/exist", Vec::new()).run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(e.why, Why::Io { .. }));
}

fn bsdtar() -> PathBuf {
    find_bsdtar().expect("bsdtar, of libarchive-tools")
}

/// A child whose own reader of RAR fails, whatever the archive.
fn without_rar(why: &str) -> Unpacker {
    let failed = format!(r#"{{"failed":{{"archive":"game.eti","why":{why}}}}}"#);
    let text = format!(
        "read -r line; case \"$line\" in *other_reader*) {{ printf '%s\\n' \"$line\"; cat; }} | \"$0\";; *) echo '{failed}';; esac"
    );
    script(&text).with_bsdtar(Some(bsdtar()))
}

#[test]
fn a_rar_archive_that_the_reader_here_does_not_understand_is_read_by_an_installed_bsdtar() {
    for form in [Form::Rar4, Form::Rar5] {
        let room = Room::new(&build(form, &game()));
        // What the first try left behind is not in the way of the second.
        std::fs::create_dir(room.staging.path().join("game")).unwrap();
        std::fs::write(room.staging.path().join("game/readme.txt"), b"half").unwrap();
        let run = without_rar(r#"{"format":"new"}"#).run(&room.job(), &Cancel::new(), &mut |_| {});
        assert_eq!(run.unwrap_or_else(|e| panic!("{form:?}: {e}")).files, 5);
        assert_eq!(room.came(), tree_of(&game()), "{form:?}");
    }
}

#[test]
fn what_the_rules_refuse_is_not_tried_again_and_is_refused_by_any_reader() {
    let room = Room::new(&build(Form::Rar5, &[archives::file("game/../../escaped", b"x")]));
    let e = without_rar(r#""encrypted""#).run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert_eq!(e.why, Why::Encrypted);
    let e = without_rar(r#"{"format":"new"}"#).run(&room.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(e.why, Why::Name(_)), "{e}");
    let linked = Room::new(&build(Form::Rar5, &[archives::other("game/link", archives::Is::Symlink, "/etc")]));
    let e = without_rar(r#"{"format":"new"}"#).run(&linked.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(e.why, Why::Link(_)), "{e}");
    assert!(!Path::new(linked.staging.path()).join("game/link").exists());
}

#[test]
fn an_archive_that_was_cut_is_refused_by_way_of_bsdtar_too() {
    for form in [Form::Rar4, Form::Rar5] {
        let bytes = build(form, &[archives::file("game/a", &b"body".repeat(1000))]);
        let cut = Room::new(&bytes[..bytes.len() - 2000]);
        let e = without_rar(r#"{"format":"new"}"#).run(&cut.job(), &Cancel::new(), &mut |_| {}).unwrap_err();
        assert!(matches!(e.why, Why::Format(_) | Why::Size { .. } | Why::Truncated), "{form:?}: {e}");
    }
}
