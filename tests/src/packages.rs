//! Games as archives: a tree of files, packed by the ordinary tool of each format, in a game's folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::child;
use crate::games::write_bytes;
use crate::peer::{LONG, Peer};

/// How a game is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    /// RAR 5, stored: nobody may ship what packs RAR, so it is written here.
    Rar,
    /// `zip`.
    Zip,
    /// `7z`.
    SevenZ,
    /// `tar` with gzip.
    TarGz,
    /// `tar` with xz.
    TarXz,
    /// `tar` with zstd.
    TarZst,
    /// Not at all: the files lie there as they are.
    Plain,
}

/// Every way.
pub const PACKS: [Pack; 7] = [Pack::Rar, Pack::Zip, Pack::SevenZ, Pack::TarGz, Pack::TarXz, Pack::TarZst, Pack::Plain];

/// A game whose files are to be packed.
#[derive(Debug, Clone)]
pub struct Package {
    /// Folder name and id.
    pub id: String,
    /// What `version.ini` states.
    pub version: String,
    /// Path and content of each file.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Package {
    /// A game with a program that says its version, data in a folder, a setting and a file of many bytes.
    #[must_use]
    pub fn new(id: &str, version: &str, kib: u64) -> Self {
        let scratch = tempfile::NamedTempFile::new().unwrap();
        // The same bytes in every version, as most of a game is.
        write_bytes(scratch.path(), id, kib << 10);
        let files = vec![
            (format!("{id}.cfg"), format!("default of {version}\n").into_bytes()),
            ("data/level".to_owned(), format!("level of {version}\n").into_bytes()),
            ("data/big".to_owned(), std::fs::read(scratch.path()).unwrap()),
            ("play.sh".to_owned(), b"#!/bin/sh\necho \"$PWD $MODE $*\" > played\n".to_vec()),
        ];
        Self { id: id.to_owned(), version: version.to_owned(), files }
    }

    /// The same with another file.
    #[must_use]
    pub fn with(mut self, path: &str, content: &str) -> Self {
        self.files.push((path.to_owned(), content.as_bytes().to_vec()));
        self
    }

    /// Writes the files as they are.
    ///
    /// # Panics
    /// When one cannot be written.
    pub fn unpacked(&self, folder: &Path) {
        for (path, content) in &self.files {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, content).unwrap();
            if content.starts_with(b"#!") {
                use std::os::unix::fs::PermissionsExt as _;
                std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }

    /// Puts it into a games folder, packed, in the place of the version before; its root.
    ///
    /// # Panics
    /// When a tool is not there or fails.
    pub fn write(&self, games: &Path, pack: Pack) -> PathBuf {
        let root = games.join(&self.id);
        std::fs::create_dir_all(&root).unwrap();
        if pack == Pack::Plain {
            self.unpacked(&root);
        } else {
            self.pack(&root.join(format!("{}.eti", self.id)), pack);
        }
        std::fs::write(root.join("version.ini"), &self.version).unwrap();
        root
    }

    fn pack(&self, archive: &Path, pack: Pack) {
        if archive.exists() {
            std::fs::remove_file(archive).unwrap();
        }
        if pack == Pack::Rar {
            std::fs::write(archive, rar(&self.files)).unwrap();
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        self.unpacked(folder.path());
        // The tools add an ending of their own to a name that has another.
        let made = tempfile::tempdir().unwrap();
        let to = made.path().join("archive.7z");
        let (program, arguments): (&str, &[&str]) = match pack {
            Pack::Zip => ("zip", &["-q", "-r"]),
            Pack::SevenZ => ("7z", &["a", "-bd", "-y"]),
            Pack::TarGz => ("tar", &["-czf"]),
            Pack::TarXz => ("tar", &["-cJf"]),
            Pack::TarZst => ("tar", &["--zstd", "-cf"]),
            Pack::Rar | Pack::Plain => unreachable!("packed without a tool"),
        };
        let mut command = Command::new(program);
        command.current_dir(folder.path()).args(arguments).arg(&to).arg(".");
        let out = child::run(&mut command, b"", LONG);
        assert!(out.status.success(), "{command:?}: {out:?}");
        std::fs::copy(to, archive).unwrap();
    }
}

/// RAR 5 as it is written down: a mark, a header, a block for each file with its bytes, an end.
fn rar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let number = |mut n: u64| {
        let mut out = Vec::new();
        loop {
            let low = u8::try_from(n & 0x7f).unwrap();
            n >>= 7;
            if n == 0 {
                out.push(low);
                return out;
            }
            out.push(low | 0x80);
        }
    };
    let block = |fields: &[u8]| {
        let mut sized = number(fields.len() as u64);
        sized.extend(fields);
        let mut out = crc32fast::hash(&sized).to_le_bytes().to_vec();
        out.extend(sized);
        out
    };
    let mut out = b"Rar!\x1a\x07\x01\x00".to_vec();
    out.extend(block(&[1, 0, 0]));
    for (path, body) in files {
        let len = number(body.len() as u64);
        // A file, followed by data of this length; with a checksum, made on Unix.
        let mode: u64 = if body.starts_with(b"#!") { 0o100_755 } else { 0o100_644 };
        let mut fields = vec![2, 2];
        fields.extend(&len);
        fields.push(4);
        fields.extend(&len);
        fields.extend(number(mode));
        fields.extend(crc32fast::hash(body).to_le_bytes());
        fields.extend([0, 1]);
        fields.extend(number(path.len() as u64));
        fields.extend(path.as_bytes());
        out.extend(block(&fields));
        out.extend(body);
    }
    out.extend(block(&[5, 0, 0]));
    out
}

impl Peer {
    /// What is installed of a game, but for the record of it.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn installed(&self, game: &str) -> crate::tree::Tree {
        let mut tree = crate::tree::read(&self.root(game).join("local"));
        tree.remove(".bonfire.install");
        tree
    }

    /// Asserts that the root of a game holds what is downloaded and, when it is installed, the install, and nothing else.
    ///
    /// # Panics
    /// When something else is there.
    pub fn has_no_scratch(&self, game: &str) {
        let scratch = |name: &String| {
            name.starts_with(".local")
                || name.starts_with(".lanspread")
                || (name.starts_with(".bonfire") && name != ".bonfire.download")
        };
        let names: Vec<String> = std::fs::read_dir(self.root(game))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(scratch)
            .collect();
        assert!(names.is_empty(), "{} has scratch of {game}: {names:?}", self.name);
    }
}
