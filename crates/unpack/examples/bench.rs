//! How fast archives come out, against the ordinary tools, on the same archive in one run.
//!
//! `cargo run --release -p bonfire-unpack --example bench -- FOLDER [GAME]` makes archives of GAME (or of a tree of its own
//! making) in FOLDER with whatever tools are installed, unpacks each several times by every reader in turn, and prints the
//! best of each. With `TMPDIR` in memory that is the work of unpacking, without it the disk's too. Everybody writes files; `durable` is ours with all of it synced, against the tool followed by `sync -f`.
//! Measures nothing that has no tool to be compared with.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people who read its output")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use std::time::{Duration, Instant};

use bonfire_unpack::{Cancel, Format, Job, Limits, Payload, Unpacker};

const ROUNDS: usize = 3;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = std::fs::canonicalize(arguments.next().expect("a folder to work in")).unwrap();
    let game = arguments.next().map_or_else(|| make_game(&folder), |game| std::fs::canonicalize(game).unwrap());
    let bytes = size_of(&game);
    println!("{} MB, {ROUNDS} rounds, the best of each; MB/s", bytes / 1_000_000);
    println!("{:<22}{:>9}{:>9}  tools (ratio of ours to theirs)", "archive", "ours", "durable");
    for (name, format, tools) in archives(&folder, &game) {
        let ours = best(bytes, |out| child(&folder, &name, format, out));
        let mut line = format!("{name:<22}{:>9.0}", ours.0);
        line += &format!("{:>9.0}", ours.1);
        for (tool, arguments) in tools {
            // Not installed, or built without this format.
            if !run(tool, &arguments(&folder.join(&name), tempfile::tempdir().unwrap().path())) {
                continue;
            }
            let theirs = best(bytes, |out| assert!(run(tool, &arguments(&folder.join(&name), out)), "{tool}"));
            line += &format!("  {tool} {:.0} ({:.2}, durable {:.2})", theirs.0, ours.0 / theirs.0, ours.1 / theirs.1);
        }
        println!("{line}");
    }
}

type Arguments = fn(&Path, &Path) -> Vec<String>;
type Tools = Vec<(&'static str, Arguments)>;

/// The archives, made when they are not there, and who else reads them.
fn archives(folder: &Path, game: &Path) -> Vec<(String, Format, Tools)> {
    const BSDTAR: (&str, Arguments) = ("bsdtar", |a, o| words(&["-xf", text(a), "-C", text(o)]));
    const TAR: (&str, Arguments) = ("tar", |a, o| words(&["-xf", text(a), "-C", text(o)]));
    const SEVEN: (&str, Arguments) =
        ("7z", |a, o| words(&["x", "-y", "-bso0", "-bsp0", &format!("-o{}", text(o)), text(a)]));
    const UNZIP: (&str, Arguments) = ("unzip", |a, o| words(&["-q", text(a), "-d", text(o)]));
    const UNRAR: (&str, Arguments) = ("unrar-free", |a, o| words(&["-x", text(a), text(o)]));
    let (parent, name) = (game.parent().unwrap(), game.file_name().unwrap().to_str().unwrap());
    let mut out = Vec::new();
    let mut add = |file: &str, format, command: &[&str], tools: Tools| {
        let path = folder.join(file);
        if !path.exists() {
            let (program, arguments) = command.split_first().unwrap();
            let made = Command::new(program).args(arguments).arg(&path).arg(name).current_dir(parent).status();
            if !made.is_ok_and(|status| status.success()) {
                println!("{file:<22} not made: no {program}");
                return;
            }
        }
        out.push((file.to_owned(), format, tools));
    };
    add("game.zip", Format::Zip, &["zip", "-qr"], vec![BSDTAR, UNZIP, SEVEN]);
    add("game.7z", Format::SevenZ, &["7z", "a", "-bso0", "-bsp0", "-mx5"], vec![BSDTAR, SEVEN]);
    add("game.tar", Format::Tar, &["tar", "-cf"], vec![BSDTAR, TAR]);
    add("game.tar.gz", Format::TarGz, &["tar", "-I", "gzip -6", "-cf"], vec![BSDTAR, TAR]);
    add("game.tar.zst", Format::TarZst, &["tar", "-I", "zstd -q -9", "-cf"], vec![BSDTAR, TAR]);
    add("game.tar.xz", Format::TarXz, &["tar", "-I", "xz -3", "-cf"], vec![BSDTAR, TAR]);
    for (file, version, solid) in [
        ("game-5.rar", rars::ArchiveVersion::Rar50, false),
        ("game-5-solid.rar", rars::ArchiveVersion::Rar50, true),
        ("game-4.rar", rars::ArchiveVersion::Rar40, false),
    ] {
        if !folder.join(file).exists() {
            make_rar(game, &folder.join(file), version, solid);
        }
        out.push((file.to_owned(), Format::Rar, vec![BSDTAR, UNRAR, SEVEN]));
    }
    out
}

fn make_rar(game: &Path, to: &Path, version: rars::ArchiveVersion, solid: bool) {
    let mut builder = rars::Builder::new(version).compression_level(Some(1)).solid(solid);
    for path in walk(game) {
        let name = format!("game/{}", path.strip_prefix(game).unwrap().to_str().unwrap());
        builder.add_bytes(name.into_bytes(), std::fs::read(&path).unwrap(), None, Some(0o644)).unwrap();
    }
    let mut bytes = builder.to_bytes().unwrap();
    if version == rars::ArchiveVersion::Rar40 {
        // The mark of the end, which the crate leaves out.
        bytes.extend([0xc4, 0x3d, 0x7b, 0x00, 0x40, 0x07, 0x00]);
    }
    std::fs::write(to, bytes).unwrap();
}

fn child(folder: &Path, name: &str, format: Format, out: &Path) {
    let program = std::env::current_exe().unwrap().with_file_name("../bonfire-unpack");
    let payload = vec![Payload::Archive { format, parts: vec![name.to_owned()], are_volumes: format == Format::Rar }];
    let job = Job { root: folder.to_owned(), payload, staging: out.to_owned(), limits: Limits::default(), only: None };
    Unpacker::new(program, Vec::new()).run(&job, &Cancel::new(), &mut |_| {}).unwrap();
}

fn run(tool: &str, arguments: &[String]) -> bool {
    let status = Command::new(tool).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Best MB/s of several rounds: without and with everything durable.
fn best(bytes: u64, unpack: impl Fn(&Path)) -> (f64, f64) {
    let (mut plain, mut durable) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let out = tempfile::tempdir().unwrap();
        sync(out.path());
        let begun = Instant::now();
        unpack(out.path());
        plain = plain.min(begun.elapsed());
        sync(out.path());
        durable = durable.min(begun.elapsed());
        assert_eq!(size_of(out.path()), bytes, "not everything came out");
    }
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    (rate(plain), rate(durable))
}

fn sync(folder: &Path) {
    assert!(Command::new("sync").arg("-f").arg(folder).status().unwrap().success());
}

fn size_of(folder: &Path) -> u64 {
    walk(folder).iter().map(|path| path.metadata().unwrap().len()).sum()
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() { open.push(entry.path()) } else { out.push(entry.path()) }
        }
    }
    out.sort();
    out
}

/// A tree like a game's: a packed file, one that does not pack, many small texts.
fn make_game(folder: &Path) -> PathBuf {
    let game = folder.join("game");
    if game.exists() {
        return game;
    }
    std::fs::create_dir_all(game.join("maps")).unwrap();
    let mut state = 1u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32
    };
    let words: Vec<String> = (0..4096).map(|_| format!("{:x} ", next() % 100_000)).collect();
    let mut prose = |len: usize| {
        let mut out = String::with_capacity(len + 8);
        while out.len() < len {
            out += &words[(next() % 64 * (next() % 64)) as usize % words.len()];
        }
        out
    };
    std::fs::write(game.join("data.pak"), prose(200_000_000)).unwrap();
    for number in 0..2000 {
        std::fs::write(game.join(format!("maps/{number}.txt")), prose(20_000)).unwrap();
    }
    let noise: Vec<u8> = (0..30_000_000 / 4).flat_map(|_| next().to_le_bytes()).collect();
    std::fs::write(game.join("music.ogg"), noise).unwrap();
    game
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn words(all: &[&str]) -> Vec<String> {
    all.iter().map(|word| (*word).to_owned()).collect()
}
