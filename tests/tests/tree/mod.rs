//! The source tree as the tidy tests read it: which files there are, and what they define.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file of the tree that someone wrote, as paths relative to the root with `/`, sorted.
pub(crate) fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(&root(), "", &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, prefix: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().unwrap();
        // In a linked worktree `.git` is a file, and names a path of the machine.
        if name == ".git" {
            continue;
        }
        let generated = matches!(name.as_str(), "target" | ".cache" | "node_modules" | "proptest-regressions");
        if kind.is_dir() && !generated {
            walk(&entry.path(), &format!("{path}/"), found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

/// The text of a file of the tree.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("reading {path}: {e}"))
}

/// Whether a file holds code that ships: beneath a crate's `src`, and not a file of unit tests.
pub(crate) fn is_production(path: &str) -> bool {
    path.starts_with("crates/")
        && path.ends_with(".rs")
        && path.contains("/src/")
        && !path.ends_with("/tests.rs")
        && !path.contains("/tests/")
        && !path.ends_with("_tests.rs")
}

/// Whether an item exists in tests only.
pub(crate) fn is_test_only(attrs: &[syn::Attribute]) -> bool {
    attrs.iter().any(|a| a.path().is_ident("cfg") && a.parse_args::<syn::Ident>().is_ok_and(|i| i == "test"))
}
