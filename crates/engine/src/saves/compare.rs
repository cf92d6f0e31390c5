//! How the files of two versions differ. Pure.

use std::cmp::Ordering;

use bonfire_proto::RelPath;
use bonfire_proto::save::SaveEntry;
use serde::{Deserialize, Serialize};

/// Most files that a comparison names.
pub const COMPARED_MAX: usize = 1_000;

/// How two versions differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    /// Files that differ, sorted by path; at most `COMPARED_MAX`.
    pub files: Vec<FileDifference>,
    /// How many more there are.
    #[serde(default)]
    pub more: u64,
    /// How many files are the same.
    pub same: u64,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDifference {
    /// Its path, the part of the save set first.
    pub path: RelPath,
    /// Its bytes in the first version; absent when it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Its bytes in the second version; absent when it is not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Comparison {
    /// Of two lists of files, each sorted by path. Times of files are no difference, nor is how an archive is packed.
    #[must_use]
    pub fn of(before: &[SaveEntry], after: &[SaveEntry]) -> Self {
        let mut out = Self::default();
        let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return out,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.path.cmp(&b.path),
            };
            let a = old.next_if(|_| order != Ordering::Greater);
            let b = new.next_if(|_| order != Ordering::Less);
            match (a, b) {
                (Some(a), Some(b)) if is_same(a, b) => out.same += 1,
                (a, b) => out.add(a, b),
            }
        }
    }

    fn add(&mut self, before: Option<&SaveEntry>, after: Option<&SaveEntry>) {
        let Some(path) = before.or(after).map(|e| e.path.clone()) else { return };
        if self.files.len() == COMPARED_MAX {
            self.more += 1;
        } else {
            self.files.push(FileDifference { path, before: before.map(|e| e.size), after: after.map(|e| e.size) });
        }
    }
}

fn is_same(a: &SaveEntry, b: &SaveEntry) -> bool {
    match (&a.archive, &b.archive) {
        (Some(a), Some(b)) => a == b,
        _ => (a.size, a.blake3) == (b.size, b.blake3) && a.archive == b.archive,
    }
}

#[cfg(test)]
mod tests;
