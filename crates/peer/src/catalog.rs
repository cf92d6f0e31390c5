//! The catalog file: `catalog.json` in the games folder, and the sentinel of a folder that is put into it.

use bonfire_disk::{DiskError, Sentinel};
use bonfire_engine::command::CatalogEntry;
use bonfire_engine::input::{CommandId, Input, PreparedEntry};
use bonfire_engine::{ErrorClass, Report};
use bonfire_proto::GameId;
use bonfire_proto::limits::{LIBRARY_GAMES_MAX, VERSION_LEN_MAX};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::conns;
use crate::errors;
use crate::index::Index;
use crate::task::Event;
use crate::world::World;

/// Format that this build writes and the highest that it reads.
const FORMAT: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct CatalogFile {
    format: u32,
    games: Vec<CatalogEntry>,
}

/// Reads the catalog and tells the engine.
pub(crate) async fn load(world: World, events: mpsc::Sender<Event>) {
    let folder = world.folder.clone();
    let read = world.blocking.run(move || folder.catalog_read()).await;
    let loaded = read.and_then(|r| r.map_err(|e| unreadable(&e))).and_then(|bytes| match bytes {
        None => Ok(None),
        Some(bytes) => parse(&bytes, &world).map(Some),
    });
    conns::send(&events, Event::Input(Input::CatalogLoaded(loaded))).await;
}

/// With the one code that a later read which works takes back.
fn unreadable(error: &DiskError) -> Report {
    let report = Report::new(error.class(), "catalog", errors::chain(error))
        .hint("see that catalog.json can be read; until then the catalog stays as it was");
    if error.is_retryable() { report.retryable() } else { report }
}

fn parse(bytes: &[u8], world: &World) -> Result<Vec<CatalogEntry>, Report> {
    let path = world.folder.path().join("catalog.json");
    let wrong = |why: String| {
        Report::new(ErrorClass::Corruption, "catalog", format!("{} cannot be used: {why}", path.display()))
            .hint("mend or remove the file; until then the catalog stays as it was")
    };
    let file: CatalogFile = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
    if file.format > FORMAT {
        return Err(wrong(format!("format {} is newer than this program", file.format)));
    }
    if file.games.len() > LIBRARY_GAMES_MAX {
        return Err(wrong(format!("over {LIBRARY_GAMES_MAX} games")));
    }
    Ok(file.games)
}

/// Makes the catalog durable and tells the engine.
pub(crate) async fn save(world: World, entries: Vec<CatalogEntry>, events: mpsc::Sender<Event>) {
    let folder = world.folder.clone();
    let saved = world
        .blocking
        .run(move || {
            let file = CatalogFile { format: FORMAT, games: entries };
            let mut bytes = serde_json::to_vec_pretty(&file).map_err(|e| crate::task::bug(&e.to_string()))?;
            bytes.push(b'\n');
            folder.catalog_write(&bytes).map_err(|e| errors::disk(&e))
        })
        .await
        .and_then(|r| r);
    conns::send(&events, Event::Input(Input::CatalogSaved(saved))).await;
}

/// Looks at a folder for the catalog and gives it a sentinel when it has none.
pub(crate) async fn prepare(
    world: World,
    index: Index,
    command: CommandId,
    game: GameId,
    version: Option<String>,
    events: mpsc::Sender<Event>,
) {
    let folder = world.folder.clone();
    let prepared =
        world.blocking.run(move || prepare_now(&folder, &index, &game, version.as_deref())).await.and_then(|r| r);
    conns::send(&events, Event::Input(Input::CatalogPrepared(command, prepared))).await;
}

fn prepare_now(
    folder: &bonfire_disk::GamesFolder,
    index: &Index,
    game: &GameId,
    wanted: Option<&str>,
) -> Result<PreparedEntry, Report> {
    let refused = |code: &str, text: String| Report::new(ErrorClass::Refused, code, text);
    if let Some(v) = wanted
        && (v.is_empty() || v.len() > VERSION_LEN_MAX || v.chars().any(char::is_control))
    {
        return Err(refused("bad_version", format!("a version is one line of 1 to {VERSION_LEN_MAX} bytes")));
    }
    if folder.fingerprint(game).map_err(|e| errors::disk(&e))?.is_none() {
        let path = folder.path().join(game.as_str());
        return Err(Report::new(
            ErrorClass::NotFound,
            "unknown_game",
            format!("there is no folder {}", path.display()),
        ));
    }
    let walked = folder.walk(game).map_err(|e| errors::disk(&e))?;
    match walked.sentinel {
        Sentinel::Regular => {
            if let Some(v) = wanted.filter(|v| *v != walked.eti_version) {
                return Err(refused(
                    "other_version",
                    format!("version.ini of {game} states {:?}, not {v:?}", walked.eti_version),
                )
                .hint("leave the version out, or change version.ini yourself"));
            }
            Ok(PreparedEntry { version: walked.eti_version, sentinel_written: false })
        }
        Sentinel::NotRegular => Err(refused(
            "sentinel_not_a_file",
            format!("{} is not a regular file", folder.path().join(game.as_str()).join("version.ini").display()),
        )),
        Sentinel::Absent => {
            if walked.files.iter().all(|f| f.size == 0) {
                let text = format!("the folder of {game} holds no files that can be shared, or only empty ones");
                return Err(refused("empty_game", text)
                    .hint(format!("copy the files of the game into it first, or fetch it: `bonfire get {game}`")));
            }
            if wanted.is_none() && index.are_leftovers(game, &walked.files) {
                let text = format!(
                    "all files in the folder of {game} are left over from a version whose update was cancelled"
                );
                return Err(refused("leftovers", text).hint(format!(
                    "fetch it: `bonfire get {game}`; if they are a whole version all the same, say which: `--version`"
                )));
            }
            let version = wanted.unwrap_or("1");
            folder.write_version_ini(game, &format!("{version}\n")).map_err(|e| errors::disk(&e))?;
            Ok(PreparedEntry { version: version.to_owned(), sentinel_written: true })
        }
    }
}
