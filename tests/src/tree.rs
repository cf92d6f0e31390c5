//! Whole folder trees as values, to compare what was sent with what arrived.

use std::collections::BTreeMap;
use std::path::Path;

/// Every entry beneath a folder: files by their BLAKE3 hash, folders as `None`, links by where they lead.
pub type Tree = BTreeMap<String, Option<String>>;

/// Reads a tree. A folder that is not there is an empty tree.
///
/// # Panics
/// When an entry cannot be read.
#[must_use]
pub fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    walk(root, root, &mut tree);
    tree
}

/// Reads a tree without the names that are this machine's own business at its top.
#[must_use]
pub fn payload(root: &Path) -> Tree {
    let own = |path: &str| {
        let first = path.split('/').next().unwrap_or(path);
        matches!(first, "local" | ".lanspread.json" | ".bonfire.download" | ".softlan_game_installed" | ".sync")
    };
    read(root).into_iter().filter(|(path, _)| !own(path)).collect()
}

fn walk(root: &Path, folder: &Path, tree: &mut Tree) {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return,
        Err(e) => panic!("cannot list {}: {e}", folder.display()),
    };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        let Ok(kind) = std::fs::symlink_metadata(&path).map(|m| m.file_type()) else { continue };
        if kind.is_dir() {
            tree.insert(name, None);
            walk(root, &path, tree);
        } else if kind.is_symlink() {
            let to = std::fs::read_link(&path).unwrap();
            tree.insert(name, Some(format!("-> {}", to.display())));
        } else {
            let mut hasher = blake3::Hasher::new();
            match std::fs::File::open(&path).and_then(|mut f| std::io::copy(&mut f, &mut hasher)) {
                Ok(_) => tree.insert(name, Some(hasher.finalize().to_hex().to_string())),
                // Gone between the listing and the reading.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => panic!("cannot read {}: {e}", path.display()),
            };
        }
    }
}
