//! Which files of a game's root are archives, which belong together, and in what order.
//!
//! Told by content as far as the content says it; names decide only what belongs to what, since a part in the middle of a
//! cut archive begins with any bytes. Decides nothing about what is in them and opens none.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::error::{UnpackError, Why};
use crate::format::{Format, Volume, is_split_zip, rar_volume};

/// A file of a game's root, not yet looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayloadFile {
    /// Its name.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its first `HEAD_LEN` bytes, fewer when it has fewer.
    pub head: Vec<u8>,
}

/// What becomes of payload, in the order in which it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// An archive.
    Archive {
        /// What it is.
        format: Format,
        /// Names of its parts, in order.
        parts: Vec<String>,
        /// Whether each part is a file of the format by itself (volumes), or the parts are one file that was cut.
        are_volumes: bool,
    },
    /// No archive: placed as it is.
    Plain {
        /// Its name.
        name: String,
    },
}

impl Payload {
    /// The name that it goes by: the first part's.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Archive { parts, .. } => parts.first().map_or("", String::as_str),
            Self::Plain { name } => name,
        }
    }
}

/// Groups the files of a game's root, ordered as a person would order their names (`2` before `10`).
///
/// # Errors
/// `PartMissing` for a hole in a numbered set, `SplitZip`.
pub fn group(files: &[PayloadFile]) -> Result<Vec<Payload>, UnpackError> {
    let mut files: Vec<&PayloadFile> = files.iter().collect();
    files.sort_by_cached_key(|file| natural(&file.name));
    if let Some(split) = files.iter().find(|file| is_split_zip(&file.head)) {
        return Err(UnpackError::new(&split.name, Why::SplitZip));
    }
    let mut out = volumes(&files)?;
    let in_set: BTreeSet<&str> = out
        .iter()
        .flat_map(|payload| match payload {
            Payload::Archive { parts, .. } => parts.iter().map(String::as_str).collect(),
            Payload::Plain { .. } => Vec::new(),
        })
        .collect();
    let mut rest: VecDeque<&PayloadFile> =
        files.iter().filter(|f| !in_set.contains(f.name.as_str())).copied().collect();
    drop(in_set);
    while let Some(file) = rest.pop_front() {
        let Some(format) = Format::of(&file.head) else {
            out.push(Payload::Plain { name: file.name.clone() });
            continue;
        };
        let parts = cut(file, &mut rest)?;
        out.push(Payload::Archive { format, parts, are_volumes: false });
    }
    out.sort_by_cached_key(|payload| natural(payload.name()));
    Ok(out)
}

/// Sets of RAR volumes: files that say of themselves that they are one.
fn volumes(files: &[&PayloadFile]) -> Result<Vec<Payload>, UnpackError> {
    type Found<'a> = (Option<u64>, Volume, &'a str);
    let mut sets: BTreeMap<String, Vec<Found<'_>>> = BTreeMap::new();
    for file in files {
        if let Some(volume) = rar_volume(&file.head) {
            let (stem, number) = volume_name(&file.name).unzip();
            sets.entry(stem.unwrap_or_else(|| file.name.clone())).or_default().push((number, volume, &file.name));
        }
    }
    // A name that no other file continues says nothing: such files are ordered by their names, and a set begins where a
    // file says that it is the first.
    let (alone, whole): (Vec<_>, Vec<_>) = sets.into_values().partition(|set| set.len() == 1);
    let mut alone: Vec<Found<'_>> = alone.into_iter().flatten().collect();
    alone.sort_by_cached_key(|found| natural(found.2));
    let (mut out, mut run) = (Vec::new(), Vec::new());
    for found in alone {
        if found.1.is_first && !run.is_empty() {
            out.push(whole_set(std::mem::take(&mut run))?);
        }
        run.push(found);
    }
    if !run.is_empty() {
        out.push(whole_set(run)?);
    }
    for mut set in whole {
        set.sort_by_key(|(number, volume, _)| (volume.number, *number));
        out.push(whole_set(set)?);
    }
    Ok(out)
}

/// A set in order, without holes as far as its files say which they are.
fn whole_set(mut set: Vec<(Option<u64>, Volume, &str)>) -> Result<Payload, UnpackError> {
    if set.iter().all(|(_, volume, _)| volume.number.is_some()) {
        set.sort_by_key(|(_, volume, _)| volume.number);
        let hole = (0u64..).zip(&set).find(|(at, (_, volume, _))| volume.number != Some(*at));
        if let Some((at, (_, _, name))) = hole {
            return Err(UnpackError::new(name, Why::PartMissing(format!("volume {} of its set", at + 1))));
        }
    }
    let parts = set.into_iter().map(|(_, _, name)| name.to_owned()).collect();
    Ok(Payload::Archive { format: Format::Rar, parts, are_volumes: true })
}

/// What a volume's name says: its set, and its place in it. `a.part2.rar`, `a.rar` `a.r00` `a.s00`, `a.002`.
fn volume_name(name: &str) -> Option<(String, u64)> {
    let lower = name.to_lowercase();
    let (stem, extension) = lower.rsplit_once('.')?;
    if let Some((before, part)) = stem.rsplit_once('.')
        && let Some(number) = part.strip_prefix("part").and_then(digits)
    {
        return Some((format!("{before}.part"), number));
    }
    if let Some(number) = digits(extension).filter(|_| extension.len() >= 3) {
        return Some((format!("{stem}.#"), number));
    }
    let (letter, rest) = (extension.chars().next()?, extension.get(1..)?);
    if rest.len() == 2
        && let Some(number) = digits(rest)
        && letter.is_ascii_lowercase()
    {
        // `.r00` follows `.rar`, `.s00` follows `.r99`; a renamed set (`.e00` beside `.eti`) keeps the letter of its first.
        let letters = u64::from(letter as u32 - u32::from(b'a')) + 1;
        return Some((format!("{stem}.*"), letters * 100 + number));
    }
    (extension.chars().all(char::is_alphanumeric) && extension.len() == 3).then(|| (format!("{stem}.*"), 0))
}

/// The parts of an archive that was cut: `a.7z.001` and on, as far as they go.
fn cut(first: &PayloadFile, rest: &mut VecDeque<&PayloadFile>) -> Result<Vec<String>, UnpackError> {
    let mut parts = vec![first.name.clone()];
    let Some((stem, extension)) = first.name.rsplit_once('.') else { return Ok(parts) };
    let Some(begin) = digits(extension).filter(|number| *number <= 1 && extension.len() >= 2) else { return Ok(parts) };
    // By number, so that `.2` and `.002` are not two parts by accident: digits are as many as in the first, or more.
    let mut found: BTreeMap<u64, String> = BTreeMap::new();
    rest.retain(|file| {
        let number = file.name.rsplit_once('.').filter(|(other, e)| *other == stem && e.len() >= extension.len());
        match number.and_then(|(_, extension)| digits(extension)) {
            Some(number) => {
                found.insert(number, file.name.clone());
                false
            }
            None => true,
        }
    });
    for (expected, (number, name)) in (begin + 1..).zip(found) {
        if number != expected {
            let missing = format!("{stem}.{expected:0width$}", width = extension.len());
            return Err(UnpackError::new(&first.name, Why::PartMissing(missing)));
        }
        parts.push(name);
    }
    Ok(parts)
}

fn digits(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// A run of characters in a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Number(u64),
    Text(String),
}

/// Names as people order them: runs of digits by their value, the rest without case; then as they are.
fn natural(name: &str) -> (Vec<Run>, String) {
    let mut runs: Vec<(bool, String)> = Vec::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        let is_digit = c.is_ascii_digit();
        match runs.last_mut() {
            Some((was_digit, run)) if *was_digit == is_digit => run.push(c),
            _ => runs.push((is_digit, c.to_string())),
        }
    }
    let run = |(_, text): (bool, String)| digits(&text).map_or(Run::Text(text), Run::Number);
    (runs.into_iter().map(run).collect(), name.to_owned())
}
