//! `bonfire saves import-manifest`: a manifest of saves, from a file or an address that the player names, becomes the index
//! in the data folder. Reads the index again for others. Which address that is nobody but the player says.

use std::io::Read;
use std::path::{Path, PathBuf};

use bonfire_engine::places::index::{IndexError, Purpose};
use bonfire_engine::places::manifest::{self, MANIFEST_LEN_MAX};
use bonfire_engine::places::rule_path::RulePath;
use bonfire_engine::places::{Index, Source, lookup};
use bonfire_engine::{ErrorClass, Report};
use bonfire_peer::fetch::{self, Fetched};
use serde::Serialize;
use serde_json::json;

use crate::cmds::write_whole;
use crate::exit::{Exit, Failure};
use crate::platform;
use crate::progress::Stop;
use crate::render::{Out, Tone, count, size};

/// The index in the data folder.
const INDEX: &str = "save-manifest.index";
/// Longest index that is read, in bytes. It is shorter than its manifest but for escapes.
const INDEX_LEN_MAX: u64 = 2 * MANIFEST_LEN_MAX as u64;

/// What was taken from a manifest, and what was not.
#[derive(Debug, Default, Serialize)]
struct Taken {
    /// Games.
    games: u64,
    /// Other names of them.
    nicknames: u64,
    /// Games with a path of saves that some machine uses.
    with_saves: u64,
    /// Paths of saves that no machine uses.
    refused_paths: u64,
    /// Games that keep something in the registry, which is not synced.
    with_registry: u64,
}

impl Taken {
    fn of(index: &Index) -> Self {
        let mut taken = Self::default();
        for title in index.titles().values() {
            if title.alias.is_some() {
                taken.nicknames += 1;
                continue;
            }
            taken.games += 1;
            let saves = title.files.iter().filter(|f| f.purpose() == Purpose::Save);
            let (good, bad): (Vec<_>, Vec<_>) = saves.partition(|f| RulePath::parse(&f.path).is_ok());
            taken.with_saves += u64::from(!good.is_empty());
            taken.refused_paths += bad.len() as u64;
            taken.with_registry += u64::from(!title.registry.is_empty());
        }
        taken
    }
}

pub(super) async fn import(out: &Out, data_dir: &Path, from: String) -> Result<Exit, Failure> {
    let (mut stop, dir) = (Stop::new()?, data_dir.to_path_buf());
    let work = tokio::task::spawn_blocking({
        let from = from.clone();
        move || import_now(&dir, from)
    });
    let broken = |e: tokio::task::JoinError| Report::new(ErrorClass::Bug, "import", format!("the import ended: {e}"));
    let done = stop.before(&"the manifest", async { work.await.map_err(broken)? }).await?;
    let shown = crate::render::shown(&from);
    let Some(taken) = done else {
        if out.is_json() {
            out.json(&json!({ "unchanged": from }))?;
        }
        out.marked(Tone::Good, "unchanged", &shown)?;
        return Ok(Exit::Done);
    };
    if out.is_json() {
        out.json(&json!({ "imported": taken, "from": from }))?;
        return Ok(Exit::Done);
    }
    let said = format!("{}, {} of them with saves", count(taken.games, "game"), taken.with_saves);
    out.marked(Tone::Good, "imported", &said)?;
    if taken.refused_paths > 0 {
        out.talk(&format!("{} left out: no machine uses them safely", count(taken.refused_paths, "path")));
    }
    if taken.with_registry > 0 {
        out.talk(&format!("{}: what they keep in the registry is not synced", count(taken.with_registry, "game")));
    }
    out.talk("see what it says of your games with: bonfire saves find");
    Ok(Exit::Done)
}

pub(super) fn remove(out: &Out, data_dir: &Path) -> Result<Exit, Failure> {
    let path = data_dir.join(INDEX);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Report::new(ErrorClass::NotFound, "no_manifest", "no manifest is imported").into());
        }
        Err(e) => return Err(failed("remove", &path, &e).into()),
    }
    if out.is_json() {
        out.json(&json!({ "removed": "manifest" }))?;
    }
    out.marked(Tone::Good, "removed", "the imported manifest; saves that were added by it stay added")?;
    Ok(Exit::Done)
}

/// What was taken; `None` when the index is of the same manifest already.
fn import_now(data_dir: &Path, from: String) -> Result<Option<Taken>, Report> {
    platform::make_private_folder(data_dir)?;
    let is_address = from.starts_with("http://") || from.starts_with("https://");
    let (text, etag) = if is_address {
        let known = source(data_dir).filter(|s| s.from.as_deref() == Some(from.as_str())).and_then(|s| s.etag);
        match fetch::get(&from, known.as_deref(), MANIFEST_LEN_MAX).map_err(|e| not_fetched(&e))? {
            Fetched::Unchanged => return Ok(None),
            Fetched::New { bytes, etag } => (bytes, etag),
        }
    } else {
        (read(Path::new(&from))?, None)
    };
    let refused = |message: String| {
        Report::new(ErrorClass::Refused, "bad_manifest", format!("{}: {message}", crate::render::shown(&from)))
            .hint("a manifest is YAML in the format of Ludusavi; nothing was changed")
    };
    let text = String::from_utf8(text).map_err(|_| refused("it is not UTF-8".to_owned()))?;
    let index = manifest::parse(&text).map_err(|e| refused(e.to_string()))?;
    let taken = Taken::of(&index);
    let lines = index.to_lines(&Source { from: Some(from.clone()), etag }).map_err(|e| refused(e.to_string()))?;
    let path = data_dir.join(INDEX);
    write_whole(&path, lines.as_bytes()).map_err(|e| failed("write", &path, &e))?;
    Ok(Some(taken))
}

fn not_fetched(error: &fetch::FetchError) -> Report {
    let report = Report::new(error.class(), "fetch_failed", error.to_string())
        .hint("see that the address is right; a file that was fetched otherwise can be imported too");
    if error.is_retryable() { report.retryable() } else { report }
}

fn read(file: &Path) -> Result<Vec<u8>, Report> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|f| f.take(MANIFEST_LEN_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|e| failed("read", file, &e))?;
    if bytes.len() > MANIFEST_LEN_MAX {
        let text = format!("{} has more than {}", file.display(), size(MANIFEST_LEN_MAX as u64));
        return Err(Report::new(ErrorClass::Refused, "bad_manifest", text));
    }
    Ok(bytes)
}

/// Where the index of this data folder came from, if one is there that can be read.
fn source(data_dir: &Path) -> Option<Source> {
    let text = lines(data_dir).ok()??;
    Source::of_lines(&text).ok()
}

/// What the imported manifest says of games of these ids and names; `None` without one.
///
/// # Errors
/// When the index cannot be read.
pub(super) fn look_up(data_dir: &Path, names: &[&str]) -> Result<Option<Index>, Report> {
    let Some(text) = lines(data_dir)? else { return Ok(None) };
    let path = data_dir.join(INDEX);
    let index = lookup::some(&text, names.iter().copied()).map_err(|e| unreadable(&path, &e))?;
    Ok(Some(index))
}

fn unreadable(path: &Path, error: &IndexError) -> Report {
    Report::new(ErrorClass::Corruption, "manifest_index", format!("{}: {error}", path.display()))
        .hint("import the manifest again: bonfire saves import-manifest FILE|URL")
}

fn lines(data_dir: &Path) -> Result<Option<String>, Report> {
    let path: PathBuf = data_dir.join(INDEX);
    let file = match std::fs::File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("read", &path, &e)),
    };
    let mut text = String::new();
    file.take(INDEX_LEN_MAX).read_to_string(&mut text).map_err(|e| failed("read", &path, &e))?;
    Ok(Some(text))
}

fn failed(doing: &str, path: &Path, e: &std::io::Error) -> Report {
    let class = if e.kind() == std::io::ErrorKind::NotFound { ErrorClass::NotFound } else { ErrorClass::Environment };
    Report::new(class, "manifest_file", format!("cannot {doing} {}: {e}", path.display()))
}
