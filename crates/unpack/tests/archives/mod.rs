//! Archives of every format, written byte by byte, so that they can say whatever a test wants; and unpacking them.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::sync::Arc;

use bonfire_disk::fs::FsPath;
use bonfire_unpack::{ArchiveFile, Control, Extracted, Format, Limits, Source, Staging, Unattended, UnpackError};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    File,
    Folder,
    /// To this target.
    Symlink,
    Hardlink,
    Device,
    Pipe,
}

/// An entry, and how its headers lie.
#[derive(Debug, Clone)]
pub struct Item {
    pub name: String,
    pub is: Is,
    /// Content, or the target of a link.
    pub body: Vec<u8>,
    pub mode: u32,
    /// Added to the size that headers say.
    pub size_lie: i64,
    pub crc_lie: bool,
}

pub fn file(name: &str, body: &[u8]) -> Item {
    Item { name: name.into(), is: Is::File, body: body.to_vec(), mode: 0o644, size_lie: 0, crc_lie: false }
}

pub fn folder(name: &str) -> Item {
    Item { is: Is::Folder, mode: 0o755, ..file(name, b"") }
}

pub fn other(name: &str, is: Is, target: &str) -> Item {
    Item { is, ..file(name, target.as_bytes()) }
}

/// What is built: the form of a file, where one format has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Rar4,
    Rar5,
    Zip,
    SevenZ,
    Tar,
    TarGz,
    TarXz,
    TarZst,
    TarBz2,
}

pub const FORMS: [Form; 9] =
    [Form::Rar4, Form::Rar5, Form::Zip, Form::SevenZ, Form::Tar, Form::TarGz, Form::TarXz, Form::TarZst, Form::TarBz2];

pub fn build(form: Form, items: &[Item]) -> Vec<u8> {
    match form {
        Form::Rar4 => rar4(items),
        Form::Rar5 => rar5(items),
        Form::Zip => zip(items),
        Form::SevenZ => sevenz(items),
        Form::Tar => tar(items),
        Form::TarGz => gz(&tar(items)),
        Form::TarXz => piped("xz", &["-c", "-1"], &tar(items)),
        Form::TarZst => {
            let mut out = zstd::Encoder::new(Vec::new(), 3).unwrap();
            out.include_checksum(true).unwrap();
            out.write_all(&tar(items)).unwrap();
            out.finish().unwrap()
        }
        Form::TarBz2 => {
            let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            out.write_all(&tar(items)).unwrap();
            out.finish().unwrap()
        }
    }
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// What a program makes of its input.
pub fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::process::{Command, Stdio};
    let mut child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect(program);
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || stdin.write_all(&input).unwrap());
    let out = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    assert!(out.status.success(), "{program}");
    out.stdout
}

fn crc(item: &Item) -> u32 {
    crc32fast::hash(&item.body) ^ u32::from(item.crc_lie)
}

fn said(item: &Item) -> u64 {
    (item.body.len() as u64).checked_add_signed(item.size_lie).unwrap()
}

fn unix_mode(item: &Item) -> u32 {
    item.mode
        | match item.is {
            Is::File | Is::Hardlink => 0o100_000,
            Is::Folder => 0o040_000,
            Is::Symlink => 0o120_000,
            Is::Device => 0o020_000,
            Is::Pipe => 0o010_000,
        }
}

pub fn tar(items: &[Item]) -> Vec<u8> {
    let mut out = Vec::new();
    for item in items {
        if item.name.len() > 100 {
            let mut long = ::tar::Header::new_gnu();
            long.set_entry_type(::tar::EntryType::GNULongName);
            long.as_mut_bytes()[..13].copy_from_slice(b"././@LongLink");
            long.set_size(item.name.len() as u64 + 1);
            long.set_cksum();
            out.extend_from_slice(long.as_bytes());
            out.extend_from_slice(item.name.as_bytes());
            out.push(0);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        let mut header = ::tar::Header::new_gnu();
        let name = &item.name.as_bytes()[..item.name.len().min(100)];
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.set_mode(item.mode);
        header.set_mtime(1_000_000_000);
        let (kind, has_body) = match item.is {
            Is::File => (::tar::EntryType::Regular, true),
            Is::Folder => (::tar::EntryType::Directory, false),
            Is::Symlink => (::tar::EntryType::Symlink, false),
            Is::Hardlink => (::tar::EntryType::Link, false),
            Is::Device => (::tar::EntryType::Char, false),
            Is::Pipe => (::tar::EntryType::Fifo, false),
        };
        header.set_entry_type(kind);
        header.set_size(if has_body { said(item) } else { 0 });
        if !has_body && item.is != Is::Folder {
            let link = &item.body[..item.body.len().min(100)];
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link);
        }
        header.set_cksum();
        out.extend_from_slice(header.as_bytes());
        if has_body {
            out.extend_from_slice(&item.body);
            out.resize(out.len().next_multiple_of(512), 0);
        }
    }
    out.resize(out.len() + 1024, 0);
    out
}

/// Deflated where that is shorter.
pub fn zip(items: &[Item]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for item in items {
        let at = u32::try_from(out.len()).unwrap();
        let packed = deflate(&item.body);
        let (method, packed) = if packed.len() < item.body.len() { (8u16, packed) } else { (0, item.body.clone()) };
        let mut name = item.name.clone();
        if item.is == Is::Folder && !name.ends_with('/') {
            name.push('/');
        }
        let mut both = Vec::new();
        both.extend([20, 0, 0, 8]);
        both.extend(method.to_le_bytes());
        both.extend([0, 0, 0x21, 0x28]);
        both.extend(crc(item).to_le_bytes());
        both.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
        both.extend(u32::try_from(said(item)).unwrap().to_le_bytes());
        both.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        both.extend([0, 0]);
        out.extend(b"PK\x03\x04");
        out.extend(&both);
        out.extend(name.as_bytes());
        out.extend(&packed);
        directory.extend(b"PK\x01\x02\x1e\x03");
        directory.extend(&both);
        directory.extend([0; 6]);
        directory.extend((unix_mode(item) << 16).to_le_bytes());
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = u32::try_from(out.len()).unwrap();
    let count = u16::try_from(items.len()).unwrap();
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(u32::try_from(directory.len()).unwrap().to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub fn sevenz(items: &[Item]) -> Vec<u8> {
    let mut writer = sevenz_rust2::ArchiveWriter::new(Cursor::new(Vec::new())).unwrap();
    for item in items {
        let mut entry = sevenz_rust2::ArchiveEntry::new();
        entry.name = item.name.clone();
        entry.is_directory = item.is == Is::Folder;
        entry.has_windows_attributes = true;
        entry.windows_attributes = unix_mode(item) << 16 | 0x8000 | if item.is == Is::Folder { 0x10 } else { 0x20 };
        let body = (item.is != Is::Folder).then_some(item.body.as_slice());
        writer.push_archive_entry(entry, body).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn vint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

fn rar5_block(fields: &[u8]) -> Vec<u8> {
    let mut sized = vint(fields.len() as u64);
    sized.extend(fields);
    let mut out = crc32fast::hash(&sized).to_le_bytes().to_vec();
    out.extend(sized);
    out
}

/// Stored.
pub fn rar5(items: &[Item]) -> Vec<u8> {
    let mut out = b"Rar!\x1a\x07\x01\x00".to_vec();
    out.extend(rar5_block(&[1, 0, 0]));
    for item in items {
        let is_link = matches!(item.is, Is::Symlink | Is::Hardlink);
        let body: &[u8] = if is_link || item.is == Is::Folder { &[] } else { &item.body };
        let mut extra = Vec::new();
        if is_link {
            let mut record = vint(5);
            record.extend(vint(if item.is == Is::Symlink { 1 } else { 4 }));
            record.extend(vint(0));
            record.extend(vint(item.body.len() as u64));
            record.extend(&item.body);
            extra = vint(record.len() as u64);
            extra.extend(record);
        }
        let mut fields = vint(2);
        fields.extend(vint(u64::from(!extra.is_empty()) | 2));
        if !extra.is_empty() {
            fields.extend(vint(extra.len() as u64));
        }
        fields.extend(vint(body.len() as u64));
        let is_folder = item.is == Is::Folder;
        fields.extend(vint(if is_folder { 1 } else { 4 }));
        let size = (body.len() as u64).checked_add_signed(item.size_lie).unwrap();
        fields.extend(vint(size));
        fields.extend(vint(u64::from(unix_mode(item))));
        if !is_folder {
            fields.extend((crc32fast::hash(body) ^ u32::from(item.crc_lie)).to_le_bytes());
        }
        fields.extend(vint(0));
        fields.extend(vint(1));
        fields.extend(vint(item.name.len() as u64));
        fields.extend(item.name.as_bytes());
        fields.extend(extra);
        out.extend(rar5_block(&fields));
        out.extend(body);
    }
    out.extend(rar5_block(&[5, 0, 0]));
    out
}

fn rar4_block(kind: u8, flags: u16, fields: &[u8]) -> Vec<u8> {
    let mut rest = vec![kind];
    rest.extend(flags.to_le_bytes());
    rest.extend(u16::try_from(fields.len() + 7).unwrap().to_le_bytes());
    rest.extend(fields);
    let mut out = (crc32fast::hash(&rest) as u16).to_le_bytes().to_vec();
    out.extend(rest);
    out
}

/// Stored.
pub fn rar4(items: &[Item]) -> Vec<u8> {
    let mut out = b"Rar!\x1a\x07\x00".to_vec();
    out.extend(rar4_block(0x73, 0, &[0; 6]));
    for item in items {
        let is_folder = item.is == Is::Folder;
        let body: &[u8] = if is_folder { &[] } else { &item.body };
        let mut fields = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        let size = (body.len() as u64).checked_add_signed(item.size_lie).unwrap();
        fields.extend(u32::try_from(size).unwrap().to_le_bytes());
        fields.push(3);
        fields.extend((crc32fast::hash(body) ^ u32::from(item.crc_lie)).to_le_bytes());
        fields.extend([0, 0, 0x21, 0x28, if is_folder { 20 } else { 29 }, 0x30]);
        let name = item.name.replace('/', "\\");
        fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        fields.extend(unix_mode(item).to_le_bytes());
        fields.extend(name.as_bytes());
        out.extend(rar4_block(0x74, 0x8000 | if is_folder { 0xe0 } else { 0 }, &fields));
        out.extend(body);
    }
    out.extend(rar4_block(0x7b, 0x4000, &[]));
    out
}

/// What RAR 3 and 4 put at the end of each file of a set, and the crate that writes them here does not.
pub fn with_rar4_end(mut bytes: Vec<u8>, has_next: bool) -> Vec<u8> {
    bytes.extend(rar4_block(0x7b, 0x4000 | u16::from(has_next), &[]));
    bytes
}

/// The only archive of a game.
pub fn archive(bytes: &[u8]) -> Option<ArchiveFile> {
    let source = Source::of_bytes(bytes.to_vec());
    let format = Format::of(&source.head(512).unwrap())?;
    Some(ArchiveFile { name: "game".into(), format, parts: vec![source], other_reader: None })
}

pub fn unpack_with(
    archives: &[ArchiveFile],
    limits: &Limits,
    to: &Path,
    control: Arc<dyn Control>,
) -> Result<Extracted, UnpackError> {
    let place = Staging::without_thread(bonfire_disk::fs::real(to).unwrap(), FsPath::root());
    bonfire_unpack::extract(archives, limits, Arc::new(place), control)
}

/// A folder in memory where there is one: thousands of archives are unpacked, and all is synced each time.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Unpacks beneath `out` of a folder that has something beside it, and says what came: files by path, folders as `None`.
pub fn unpack(archives: &[ArchiveFile], limits: &Limits) -> (Result<Extracted, UnpackError>, Tree) {
    let around = scratch();
    std::fs::create_dir_all(around.path().join("a/b/out")).unwrap();
    std::fs::write(around.path().join("a/kept"), b"kept").unwrap();
    let before = tree(&around.path().join("a"), &["b/out"]);
    let out = around.path().join("a/b/out");
    let result = unpack_with(archives, limits, &out, Arc::new(Unattended));
    assert_eq!(tree(&around.path().join("a"), &["b/out"]), before, "something was written outside");
    let came = tree(&out, &[]);
    (result, came)
}

pub fn unpack_bytes(bytes: &[u8]) -> (Result<Extracted, UnpackError>, Tree) {
    let archive = archive(bytes).expect("an archive");
    unpack(&[archive], &Limits::default())
}

/// Content of files by path, folders as `None`.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What is beneath a folder but for some paths. A link in it fails the test.
pub fn tree(root: &Path, without: &[&str]) -> Tree {
    let mut out = Tree::new();
    let mut open = vec![root.to_owned()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let shown = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let kind = std::fs::symlink_metadata(&path).unwrap().file_type();
            assert!(kind.is_file() || kind.is_dir(), "{shown} is neither file nor folder");
            let is_known = without.contains(&shown.as_str());
            if kind.is_file() {
                out.insert(shown, Some(std::fs::read(&path).unwrap()));
            } else {
                out.insert(shown, None);
                if !is_known {
                    open.push(path);
                }
            }
        }
    }
    out
}

/// What should come of entries.
pub fn tree_of(items: &[Item]) -> Tree {
    let mut out = Tree::new();
    for item in items {
        for (at, _) in item.name.match_indices('/') {
            out.insert(item.name[..at].to_owned(), None);
        }
        out.insert(item.name.clone(), (item.is == Is::File).then(|| item.body.clone()));
    }
    out
}

/// A small game.
pub fn game() -> Vec<Item> {
    vec![
        folder("game"),
        file("game/readme.txt", b"Read me."),
        file("game/data/level 1.dat", &b"level ".repeat(500)),
        file("game/empty", b""),
        folder("game/saves"),
        Item { mode: 0o755, ..file("game/run.sh", b"#!/bin/sh\n") },
        file("game/\u{e9}t\u{e9}.txt", "été".as_bytes()),
    ]
}
