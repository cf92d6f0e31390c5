//! The only form in which a path crosses a boundary: relative, UTF-8, `/`-separated, legal on every platform.
//!
//! Owns the rule of what such a path is and when two of them would meet on a case-insensitive or normalising file
//! system. Does not touch the disk: opening beneath a root without following links is `bonfire-disk`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::limits::{NAME_LEN_MAX, PATH_DEPTH_MAX, PATH_LEN_MAX};

/// Why a text is not a path that may cross a boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Empty text or an empty part (`a//b`, trailing `/`).
    #[error("empty path or empty part")]
    Empty,
    /// Begins with `/` or a drive letter.
    #[error("absolute path")]
    Absolute,
    /// A `.` or `..` part.
    #[error("`.` or `..` in path")]
    Dots,
    /// Backslash, colon, or another character that some platform forbids in names.
    #[error("character not allowed in names: {0:?}")]
    Character(char),
    /// A name that ends in a dot or a space, which Windows silently drops.
    #[error("name ends in a dot or a space")]
    Trailing,
    /// A device name of Windows (`CON`, `NUL`, `COM1` ..), with or without extension.
    #[error("name reserved on Windows")]
    Reserved,
    /// Over `PATH_LEN_MAX` bytes, or one name over `NAME_LEN_MAX`.
    #[error("path too long")]
    TooLong,
    /// More than `PATH_DEPTH_MAX` parts.
    #[error("path too deep")]
    TooDeep,
}

/// A checked relative path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RelPath(String);

impl RelPath {
    /// The checked path.
    ///
    /// # Errors
    /// `PathError` naming the broken rule.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > PATH_LEN_MAX {
            return Err(PathError::TooLong);
        }
        if path.starts_with('/') || path.starts_with('\\') || path.as_bytes().get(1) == Some(&b':') {
            return Err(PathError::Absolute);
        }
        for (depth, name) in path.split('/').enumerate() {
            if depth >= PATH_DEPTH_MAX {
                return Err(PathError::TooDeep);
            }
            check_name(name)?;
        }
        Ok(Self(path))
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the root down.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The first name.
    #[must_use]
    pub fn first(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// The last name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The folder that holds it, if it is not at the top.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(dir, _)| Self(dir.to_owned()))
    }

    /// This path with one more part.
    ///
    /// # Errors
    /// As `new`.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::new(format!("{}/{name}", self.0))
    }

    /// The form in which two paths are equal when a case-insensitive, normalising file system would store them under
    /// one name: NFC, then lower case, then NFC again.
    #[must_use]
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

/// As `RelPath::folded`, for a text that need not be a path.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Upper case first joins letters whose lower cases differ (final sigma, long s, dotless i).
    text.nfc().collect::<String>().to_uppercase().to_lowercase().nfc().collect()
}

/// Checks one name by the strictest rule of all platforms.
pub(crate) fn check_name(name: &str) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name == "." || name == ".." {
        return Err(PathError::Dots);
    }
    if name.len() > NAME_LEN_MAX {
        return Err(PathError::TooLong);
    }
    if let Some(c) = name.chars().find(|c| !allowed(*c)) {
        return Err(PathError::Character(c));
    }
    if name.ends_with('.') || name.ends_with(' ') {
        return Err(PathError::Trailing);
    }
    if is_device_name(name) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

fn allowed(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
        || crate::text::is_deceptive(c))
}

fn is_device_name(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end_matches(' ').to_uppercase();
    if matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") {
        return true;
    }
    // Windows also reads the superscript digits one, two and three here.
    ["COM", "LPT"].iter().any(|dev| {
        stem.strip_prefix(dev).is_some_and(|rest| {
            let mut chars = rest.chars();
            matches!((chars.next(), chars.next()), (Some('0'..='9' | '¹' | '²' | '³'), None))
        })
    })
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl FromStr for RelPath {
    type Err = PathError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(d)?).map_err(serde::de::Error::custom)
    }
}

/// Two files that cannot live beside each other on every platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{first} and {second} are one name on some file systems")]
pub struct Collision {
    /// The path seen first.
    pub first: RelPath,
    /// The path that meets it.
    pub second: RelPath,
}

/// Finds two file paths that collide by case or normalisation, or a file where another path needs a folder.
///
/// Takes memory in proportion to the paths' text only: sorted by their folded parts, paths that meet are neighbours.
///
/// # Errors
/// A `Collision`; `first` comes before `second` in the order given.
pub fn check_collisions<'a>(paths: impl IntoIterator<Item = &'a RelPath>) -> Result<(), Collision> {
    let mut sorted: Vec<(String, usize, &RelPath)> =
        paths.into_iter().enumerate().map(|(at, path)| (path.folded(), at, path)).collect();
    sorted.sort_by(|a, b| a.0.split('/').cmp(b.0.split('/')).then(a.1.cmp(&b.1)));
    for pair in sorted.windows(2) {
        let ((left_folded, left_at, left), (right_folded, right_at, right)) = (&pair[0], &pair[1]);
        if meet(left, left_folded, right, right_folded) {
            let (first, second) = if left_at < right_at { (left, right) } else { (right, left) };
            return Err(Collision { first: (*first).clone(), second: (*second).clone() });
        }
    }
    Ok(())
}

/// Whether two paths cannot both be files on a file system that folds names.
fn meet(a: &RelPath, a_folded: &str, b: &RelPath, b_folded: &str) -> bool {
    let (mut a_parts, mut b_parts) = (a.parts().zip(a_folded.split('/')), b.parts().zip(b_folded.split('/')));
    loop {
        match (a_parts.next(), b_parts.next()) {
            (Some((a_written, a_name)), Some((b_written, b_name))) => {
                if a_name != b_name {
                    return false;
                }
                // One name in two spellings; the same spelling is a shared folder, or decided by what comes below.
                if a_written != b_written {
                    return true;
                }
            }
            // Either the same file twice, or one is a file where the other needs a folder.
            (None, _) | (_, None) => return true,
        }
    }
}
