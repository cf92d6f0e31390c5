//! The made-up game of the demo, and the proof that two copies of it are the same.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// The game's id and folder.
pub(super) const GAME: &str = "bonfire-demo";

/// Its files and how many parts of the whole size each has.
const FILES: [(&str, u64); 5] =
    [("engine.eti", 8), ("maps/forest.eti", 4), ("maps/harbour.eti", 2), ("sound.eti", 1), ("readme.txt", 1)];

/// Writes the game: bytes that are the same in every run and that nothing can compress.
pub(super) fn write(root: &Path, size: u64) -> io::Result<()> {
    let parts: u64 = FILES.iter().map(|(_, parts)| parts).sum();
    let mut buffer = vec![0; 1 << 20];
    for (name, share) in FILES {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(root))?;
        let mut file = File::create(path)?;
        let mut bytes = blake3::Hasher::new_derive_key("bonfire demo").update(name.as_bytes()).finalize_xof();
        // One byte off the round number, so that the last chunk is a short one.
        let mut left = (size / parts * share).saturating_sub(1);
        while left > 0 {
            let n = usize::try_from(left).unwrap_or(buffer.len()).min(buffer.len());
            bytes.fill(&mut buffer[..n]);
            file.write_all(&buffer[..n])?;
            left -= n as u64;
        }
    }
    Ok(())
}

/// What notes a download in its root: whoever made the game up has none.
const NOTE: &str = ".bonfire.download";

/// Every file beneath a folder with its BLAKE3 hash, hidden ones too, but for the note of a download.
pub(super) fn tree(root: &Path) -> io::Result<BTreeMap<String, blake3::Hash>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if std::fs::symlink_metadata(&path)?.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if name == NOTE {
                continue;
            }
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(&path)?)?;
            files.insert(name, hasher.finalize());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::{tree, write};

    #[test]
    fn the_game_is_the_same_every_time_and_every_change_shows() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(a.path(), 1 << 20).unwrap();
        write(b.path(), 1 << 20).unwrap();
        assert_eq!(tree(a.path()).unwrap(), tree(b.path()).unwrap());
        assert_eq!(tree(a.path()).unwrap().len(), 5);
        std::fs::write(b.path().join("maps/extra"), "").unwrap();
        assert_ne!(tree(a.path()).unwrap(), tree(b.path()).unwrap());
    }
}
