//! The per-game intent log `.lanspread.json`, as far as downloads use it.
//!
//! Other programs and installs write it too: fields that are not ours are kept, and a file that cannot be read is
//! never replaced.

use bonfire_engine::recovery::Intent;
use bonfire_proto::{GameId, RelPath};
use serde_json::{Map, Value, json};

use crate::atomic;
use crate::error::DiskError;
use crate::fs::FsPath;
use crate::games::Inner;

pub(crate) const NAME: &str = ".lanspread.json";
pub(crate) const TMP: &str = ".lanspread.json.tmp";

/// Our own part of the file: what a sweep may remove when the journal is lost.
const OURS: &str = "bonfire_download";

/// Longest file accepted: the owned list of 200,000 files of 1 KiB each fits.
const LEN_MAX: u64 = 512 << 20;

/// The intent log as read.
#[derive(Debug)]
pub(crate) struct IntentLog {
    pub(crate) intent: Intent,
    /// Paths that the download owns, when the intent is ours and says so.
    pub(crate) owned: Vec<RelPath>,
    fields: Map<String, Value>,
    existed: bool,
}

/// Reads the intent log of a game. A file that cannot be understood is `Intent::Unreadable`, not an error.
pub(crate) fn read(inner: &Inner, game: &GameId) -> Result<IntentLog, DiskError> {
    let path = FsPath::game(game).child(NAME);
    let unreadable = || IntentLog { intent: Intent::Unreadable, owned: Vec::new(), fields: Map::new(), existed: true };
    let bytes = match atomic::read_small(&*inner.fs, &path, LEN_MAX) {
        Ok(None) => {
            return Ok(IntentLog { intent: Intent::None, owned: Vec::new(), fields: Map::new(), existed: false });
        }
        Ok(Some(bytes)) => bytes,
        Err(e) if matches!(e.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput) => {
            return Ok(unreadable());
        }
        Err(e) => return Err(inner.io("reading", &path, e)),
    };
    let Ok(Value::Object(fields)) = serde_json::from_slice(&bytes) else { return Ok(unreadable()) };
    let intent = match fields.get("intent").and_then(Value::as_str) {
        Some("None") => Intent::None,
        Some("Downloading") => Intent::Downloading,
        Some("Installing") => Intent::Installing,
        Some("Updating") => Intent::Updating,
        Some("Uninstalling") => Intent::Uninstalling,
        _ => return Ok(unreadable()),
    };
    let mut owned = Vec::new();
    if intent == Intent::Downloading
        && let Some(list) = fields.get(OURS).and_then(|o| o.get("owned"))
    {
        // One bad path makes the list no proof of anything.
        let Ok(list) = serde_json::from_value::<Vec<RelPath>>(list.clone()) else { return Ok(unreadable()) };
        owned = list;
    }
    Ok(IntentLog { intent, owned, fields, existed: true })
}

/// Records `Downloading` durably, with the files that are ours.
pub(crate) fn set_downloading(
    inner: &Inner,
    game: &GameId,
    mut log: IntentLog,
    owned: &[RelPath],
) -> Result<(), DiskError> {
    let created = !log.existed || log.fields.get(OURS).and_then(|o| o.get("created")) == Some(&Value::Bool(true));
    log.fields.insert("intent".to_owned(), json!("Downloading"));
    if !log.existed {
        log.fields.insert("schema_version".to_owned(), json!(1));
        log.fields.insert("id".to_owned(), json!(game));
    }
    log.fields.insert(OURS.to_owned(), json!({ "created": created, "owned": owned }));
    write(inner, game, log.fields)
}

/// Takes `Downloading` back: removes a file that we created, else writes `None` with the other fields as they were.
/// Durable on return. Anything but `Downloading` is left alone.
pub(crate) fn clear_downloading(inner: &Inner, game: &GameId) -> Result<(), DiskError> {
    let root = FsPath::game(game);
    let mut log = read(inner, game)?;
    if log.intent != Intent::Downloading {
        return Ok(());
    }
    if log.fields.remove(OURS).and_then(|o| o.get("created").cloned()) == Some(Value::Bool(true)) {
        let path = root.child(NAME);
        atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
        return inner.fs.sync_dir(&root).map_err(|e| inner.io("syncing", &root, e));
    }
    log.fields.insert("intent".to_owned(), json!("None"));
    write(inner, game, log.fields)
}

/// Our own part of the file during an install.
const OUR_INSTALL: &str = "bonfire_install";

/// Records the intent of an install transaction, durably.
pub(crate) fn set_install(inner: &Inner, game: &GameId, mut log: IntentLog, intent: Intent) -> Result<(), DiskError> {
    // An uninstall records two intents, one after the other.
    let created =
        !log.existed || log.fields.get(OUR_INSTALL).and_then(|o| o.get("created")) == Some(&Value::Bool(true));
    log.fields.insert("intent".to_owned(), json!(name(intent)));
    if !log.existed {
        log.fields.insert("schema_version".to_owned(), json!(1));
        log.fields.insert("id".to_owned(), json!(game));
    }
    log.fields.insert(OUR_INSTALL.to_owned(), json!({ "created": created }));
    write(inner, game, log.fields)
}

/// Takes that back: removes a file that we created, else writes `None` with the other fields as they were. Durable on
/// return. Another intent is left alone.
pub(crate) fn clear_install(inner: &Inner, game: &GameId, intent: Intent) -> Result<(), DiskError> {
    let root = FsPath::game(game);
    let mut log = read(inner, game)?;
    if log.intent != intent {
        return Ok(());
    }
    if log.fields.remove(OUR_INSTALL).and_then(|o| o.get("created").cloned()) == Some(Value::Bool(true)) {
        let path = root.child(NAME);
        atomic::remove_if_there(&*inner.fs, &path).map_err(|e| inner.io("removing", &path, e))?;
        return inner.fs.sync_dir(&root).map_err(|e| inner.io("syncing", &root, e));
    }
    log.fields.insert("intent".to_owned(), json!("None"));
    write(inner, game, log.fields)
}

const fn name(intent: Intent) -> &'static str {
    match intent {
        Intent::None | Intent::Unreadable => "None",
        Intent::Downloading => "Downloading",
        Intent::Installing => "Installing",
        Intent::Updating => "Updating",
        Intent::Uninstalling => "Uninstalling",
    }
}

fn write(inner: &Inner, game: &GameId, fields: Map<String, Value>) -> Result<(), DiskError> {
    let root = FsPath::game(game);
    let to = root.child(NAME);
    let bytes = serde_json::to_vec(&Value::Object(fields)).expect("BUG: a JSON value always serialises");
    atomic::replace(&*inner.fs, &root.child(TMP), &to, &bytes).map_err(|e| inner.io("writing", &to, e))
}
