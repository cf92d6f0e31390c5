//! One file for each command.

pub(crate) mod asker;
pub(crate) mod cancel;
pub(crate) mod catalog;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod devices;
pub(crate) mod doctor;
mod find;
pub(crate) mod games;
pub(crate) mod get;
pub(crate) mod install;
pub(crate) mod man;
pub(crate) mod peers;
pub(crate) mod play;
pub(crate) mod remove;
pub(crate) mod run;
pub(crate) mod saves;
pub(crate) mod status;
pub(crate) mod verify;

use std::io::Write;
use std::path::Path;

/// The words of a command as they can be typed: what a shell would act on is quoted.
pub(crate) fn quoted(words: &[String]) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "-_./:=+,@%".contains(c);
    let word = |word: &String| match !word.is_empty() && word.chars().all(is_plain) {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Writes a file of a name that nobody has and renames it, so that a full disk never leaves half of it.
///
/// # Errors
/// The disk's.
pub(crate) fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let make = |path: &Path| std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut beside = tempfile::Builder::new().prefix(".bonfire.").suffix(".tmp").make_in(folder, make)?;
    beside.write_all(bytes)?;
    beside.as_file().sync_all()?;
    beside.persist(file).map(|_| ()).map_err(|e| e.error)
}
