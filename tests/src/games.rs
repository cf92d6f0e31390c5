//! Made-up games: folders with a sentinel and archives whose bytes come from a seed.

use std::path::{Path, PathBuf};

/// One MiB.
pub const MIB: u64 = 1 << 20;

/// A game to be made: folder name, version, and files with their sizes in bytes.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Folder name and id.
    pub id: String,
    /// What `version.ini` states.
    pub version: String,
    /// Seed of its bytes: two games of one seed, version and shape are alike.
    pub seed: u64,
    /// Path and size in bytes of each file beside `version.ini`.
    pub files: Vec<(String, u64)>,
}

impl Recipe {
    /// A game of one archive of this many MiB and a small file in a folder.
    #[must_use]
    pub fn new(id: &str, mib: u64) -> Self {
        Self {
            id: id.to_owned(),
            version: "20260101".to_owned(),
            seed: 1,
            files: vec![(format!("{id}.eti"), mib * MIB), ("extra/readme.txt".to_owned(), 777)],
        }
    }

    /// The same with another version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// The same with other bytes.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The same with these files instead.
    #[must_use]
    pub fn files(mut self, files: &[(&str, u64)]) -> Self {
        self.files = files.iter().map(|(path, size)| ((*path).to_owned(), *size)).collect();
        self
    }

    /// Bytes of all files beside `version.ini`.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    /// Writes it into a games folder, without `version.ini`.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn write_payload(&self, games: &Path) -> PathBuf {
        let root = games.join(&self.id);
        std::fs::create_dir_all(&root).unwrap();
        for (path, size) in &self.files {
            let file = root.join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            write_bytes(&file, &format!("{} {} {path}", self.seed, self.id), *size);
        }
        root
    }

    /// Writes it into a games folder with its `version.ini` and lists it in the folder's `catalog.json`.
    ///
    /// # Panics
    /// When a file cannot be written.
    pub fn write(&self, games: &Path) -> PathBuf {
        let root = self.write_payload(games);
        std::fs::write(root.join("version.ini"), &self.version).unwrap();
        root
    }
}

/// Writes `size` bytes that follow from a text.
///
/// # Panics
/// When the file cannot be written.
pub fn write_bytes(file: &Path, from: &str, size: u64) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(from.as_bytes());
    let mut bytes = hasher.finalize_xof();
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).unwrap());
    let mut block = vec![0u8; 1 << 16];
    let mut left = size;
    while left > 0 {
        let part = usize::try_from(left.min(1 << 16)).unwrap();
        bytes.fill(&mut block[..part]);
        std::io::Write::write_all(&mut out, &block[..part]).unwrap();
        left -= part as u64;
    }
    std::io::Write::flush(&mut out).unwrap();
}
