//! `bonfire catalog`: which games may be shared. Reads from the snapshot, changes by commands; the file that export
//! writes and import reads is the format of `catalog.json`.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use bonfire_engine::command::{CatalogEntry, Command, LibraryCommand, Reply};
use bonfire_engine::installs::{NoStart, PLATFORMS, StartCommand};
use bonfire_engine::{ErrorClass, Report, Snapshot};
use bonfire_proto::GameId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{quoted, write_whole};
use crate::args::{CatalogAddArgs, CatalogCmd};
use crate::control::Client;
use crate::exit::{Exit, Failure};
use crate::folders;
use crate::render::{Out, Tone, count, size, table};

/// Version of the catalog file that this program writes and reads.
const FORMAT: u32 = 1;
/// Largest catalog file that is read, in bytes. 20,000 games with long names take 5 MiB.
const FILE_LEN_MAX: u64 = 16 << 20;
/// Most bytes of entries sent in one command, well below the longest line that a peer reads.
const IMPORT_LEN_MAX: usize = 512 * 1024;

/// Longest command that is shown as one line, in bytes.
const LINE_SHOWN: usize = 200;

/// The catalog file.
#[derive(Debug, Serialize, Deserialize)]
struct CatalogFile {
    format: u32,
    games: Vec<CatalogEntry>,
}

pub(crate) async fn run(out: &Out, data_dir: &Path, command: CatalogCmd) -> Result<Exit, Failure> {
    // Read first: a file that makes no sense needs no peer.
    let import = match &command {
        CatalogCmd::Import { file } => Some(read(file)?),
        _ => None,
    };
    let mut client = Client::connect(data_dir).await?;
    match command {
        CatalogCmd::List => list(out, &client.snapshot().await?)?,
        CatalogCmd::Add(args) => add(out, &mut client, args).await?,
        CatalogCmd::Remove(args) => {
            client.command(Command::Library(LibraryCommand::CatalogRemove { game: args.game.clone() })).await?;
            if out.is_json() {
                out.json(&json!({ "removed": args.game }))?;
            }
            out.marked(Tone::Good, args.game.as_str(), "is no longer shared; its files stay")?;
        }
        CatalogCmd::Import { .. } => {
            let entries = import.expect("BUG: import without a file").games;
            let total = entries.len() as u64;
            let starts = starts(&entries, &client.snapshot().await?);
            for batch in batches(entries) {
                client.command(Command::Library(LibraryCommand::CatalogImport { entries: batch })).await?;
            }
            if out.is_json() {
                out.json(&imported(total, &starts))?;
            }
            for start in &starts {
                start.told().iter().for_each(|line| out.talk(line));
            }
            out.marked(Tone::Good, "imported", &count(total, "game"))?;
        }
        CatalogCmd::Export { file } => export(out, &client.snapshot().await?, &file)?,
    }
    Ok(Exit::Done)
}

fn entries(snapshot: &Snapshot) -> Vec<CatalogEntry> {
    let listed = snapshot.games.iter().filter(|g| g.in_catalog);
    listed
        .map(|g| CatalogEntry {
            id: g.id.clone(),
            name: g.name.clone(),
            saves: g.saves.clone(),
            // Whose it was here says nothing where it is imported.
            start: g.start.iter().map(|(on, s)| (on.clone(), StartCommand { imported: false, ..s.clone() })).collect(),
        })
        .collect()
}

/// How an import wants a game started.
struct Brought {
    game: GameId,
    platform: String,
    command: StartCommand,
    /// Why it is left out.
    refusal: Option<NoStart>,
}

impl Brought {
    /// For people, in lines that are short enough to be shown whole: all of it, since it is what will run.
    fn told(&self) -> Vec<String> {
        let Self { game, platform, command, refusal } = self;
        let mut lines = vec![match refusal {
            None => format!("{game} brings how it is started on {platform}:"),
            Some(why) => format!("{game} brings a start command for {platform} that is left out, since {why}:"),
        }];
        let words = quoted(&command.run);
        match words.len() <= LINE_SHOWN {
            true => lines.push(format!("    {words}")),
            false => lines.extend(command.run.chunks(1).map(|word| format!("    {}", quoted(word)))),
        }
        lines.extend(Some(&command.folder).filter(|f| !f.is_empty()).map(|folder| format!("    in {folder}")));
        lines.extend(command.env.iter().map(|(name, value)| format!("    with {name}={value}")));
        lines
    }
}

/// The start commands that entries bring and that this catalog does not have.
fn starts(entries: &[CatalogEntry], snapshot: &Snapshot) -> Vec<Brought> {
    let mut out = Vec::new();
    for entry in entries {
        let known = snapshot.games.iter().find(|g| g.id == entry.id).map(|g| &g.start);
        for (platform, command) in entry.start.iter().filter(|(platform, _)| PLATFORMS.contains(&&platform[..])) {
            let own = known.and_then(|known| known.get(platform));
            let command = command.clone().as_imported(own);
            if own == Some(&command) {
                continue;
            }
            let refusal = command.refusal();
            out.push(Brought { game: entry.id.clone(), platform: platform.clone(), command, refusal });
        }
    }
    out
}

fn imported(total: u64, starts: &[Brought]) -> Value {
    let mut line = json!({ "imported": total });
    for start in starts {
        let Brought { game, platform, command, refusal } = start;
        let mut shown = json!({ "game": game, "platform": platform, "start": command });
        let key = match refusal {
            None => "starts",
            Some(why) => {
                shown["why"] = why.to_string().into();
                "left_out"
            }
        };
        match line[key].as_array_mut() {
            Some(list) => list.push(shown),
            None => line[key] = json!([shown]),
        }
    }
    line
}

fn list(out: &Out, snapshot: &Snapshot) -> Result<(), Failure> {
    let listed: Vec<_> = snapshot.games.iter().filter(|g| g.in_catalog).collect();
    if out.is_json() {
        return listed.iter().try_for_each(|game| out.json(game));
    }
    if listed.is_empty() {
        out.talk("the catalog is empty; share a folder of the games folder with: bonfire catalog add FOLDER");
        return Ok(());
    }
    let here = |downloaded| if downloaded { "yes" } else { "no" };
    let rows = listed
        .iter()
        .map(|g| vec![g.id.to_string(), g.name.clone(), g.version.clone(), size(g.size), here(g.downloaded).to_owned()])
        .collect();
    out.text(&table(&["GAME", "NAME", "VERSION", "SIZE", "HERE"], &[3], rows))
}

async fn add(out: &Out, client: &mut Client, args: CatalogAddArgs) -> Result<(), Failure> {
    let games_dir = PathBuf::from(client.snapshot().await?.me.games_dir);
    let game = folder_to_game(&args.folder, &games_dir)?;
    if let Some(id) = args.id.filter(|id| *id != game.as_str()) {
        return Err(Failure::Usage {
            message: format!("--id {id} is not the folder's name {game}"),
            hint: "every peer finds a game by its folder's name; rename the folder, or leave --id out".to_owned(),
        });
    }
    let platform = args.start_on.unwrap_or_else(|| std::env::consts::OS.to_owned());
    let start = args.start.map(|run| (platform, StartCommand { run, ..StartCommand::default() }));
    let start = start.into_iter().collect();
    let command = LibraryCommand::CatalogAdd { game, name: args.name, version: args.version, saves: args.saves, start };
    let reply = client.command(Command::Library(command)).await?;
    if out.is_json() {
        out.json(&json!({ "added": reply }))?;
    }
    if let Reply::CatalogEntry { game, name, version, sentinel_written } = reply {
        let version = if version.is_empty() { "without a version".to_owned() } else { format!("version {version}") };
        let written = if sentinel_written { "; version.ini written" } else { "" };
        out.marked(Tone::Good, game.as_str(), &format!("is shared as {name}, {version}{written}"))?;
    }
    Ok(())
}

/// The game that a folder is: a plain name, or a path that leads to a single direct child of the games folder.
fn folder_to_game(folder: &Path, games_dir: &Path) -> Result<GameId, Failure> {
    let mut parts = folder.components();
    let name = match (parts.next(), parts.next()) {
        (Some(Component::Normal(name)), None) => name.to_owned(),
        _ => {
            let path = folders::absolute(folder)?;
            // The parent is resolved, the folder itself is not: a link in the games folder is not a game.
            let parent = path.parent().and_then(|p| p.canonicalize().ok());
            let name = path.file_name().map(std::ffi::OsStr::to_owned);
            match (parent, name) {
                (Some(parent), Some(name)) if games_dir.canonicalize().is_ok_and(|dir| dir == parent) => name,
                _ => return Err(outside(folder, games_dir).into()),
            }
        }
    };
    let Some(text) = name.to_str() else {
        return Err(Failure::Usage {
            message: format!("the folder's name is not UTF-8: {}", name.to_string_lossy()),
            hint: "rename the folder: other machines could not store that name".to_owned(),
        });
    };
    GameId::new(text).map_err(|e| Failure::Usage {
        message: format!("{text}: {e}"),
        hint: "rename the folder so that every system can store its name".to_owned(),
    })
}

fn outside(folder: &Path, games_dir: &Path) -> Report {
    Report::new(
        ErrorClass::Refused,
        "not_in_games_folder",
        format!("{} is not a folder directly in the games folder {}", folder.display(), games_dir.display()),
    )
    .hint("move it there, or run the peer with another --games-dir")
}

fn export(out: &Out, snapshot: &Snapshot, file: &Path) -> Result<(), Failure> {
    let catalog = CatalogFile { format: FORMAT, games: entries(snapshot) };
    if file == Path::new("-") {
        return out.json(&catalog);
    }
    let mut text = serde_json::to_string_pretty(&catalog).expect("BUG: a catalog cannot be written as JSON");
    text.push('\n');
    write_whole(file, text.as_bytes()).map_err(|e| {
        Report::new(ErrorClass::Environment, "catalog_file", format!("cannot write {}: {e}", file.display()))
    })?;
    let total = catalog.games.len() as u64;
    if out.is_json() {
        out.json(&json!({ "exported": total, "file": file }))?;
    }
    out.marked(Tone::Good, "exported", &format!("{} to {}", count(total, "game"), file.display()))
}

/// The entries of a catalog file.
///
/// # Errors
/// `NotFound` without one; when it cannot be read or is none.
pub(super) fn entries_of(file: &Path) -> Result<Vec<CatalogEntry>, Report> {
    read(file).map(|catalog| catalog.games)
}

fn read(file: &Path) -> Result<CatalogFile, Report> {
    let name = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_LEN_MAX + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|f| f.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes))
    };
    read.map_err(|e| {
        let missing = e.kind() == std::io::ErrorKind::NotFound;
        let class = if missing { ErrorClass::NotFound } else { ErrorClass::Environment };
        Report::new(class, "catalog_file", format!("cannot read {name}: {e}"))
    })?;
    let refused = |message| Report::new(ErrorClass::Refused, "bad_catalog", message);
    if bytes.len() as u64 > FILE_LEN_MAX {
        return Err(refused(format!("{name} has more than {} and is no catalog", size(FILE_LEN_MAX))));
    }
    let catalog: CatalogFile = serde_json::from_slice(&bytes).map_err(|e| {
        refused(format!("{name} is no catalog: {e}"))
            .hint(r#"a catalog looks like {"format":1,"games":[{"id":"freedoom","name":"Freedoom"}]}"#)
    })?;
    if catalog.format != FORMAT {
        return Err(refused(format!("{name} has format {}, this program reads {FORMAT}", catalog.format))
            .hint("use a newer version of bonfire"));
    }
    Ok(catalog)
}

/// The entries in portions that fit a line each. At least one portion, so that an empty import is answered too.
fn batches(entries: Vec<CatalogEntry>) -> Vec<Vec<CatalogEntry>> {
    let mut batches = vec![Vec::new()];
    let mut len = 0;
    for entry in entries {
        // A name may double in size when its quotes are escaped.
        let saves: usize = entry.saves.iter().map(|path| path.len() * 6 + 8).sum();
        let starts: usize = entry.start.values().map(|s| serde_json::to_vec(s).map_or(0, |text| text.len() + 32)).sum();
        let entry_len = 48 + starts + entry.id.as_str().len() * 2 + entry.name.len() * 6 + saves;
        if len + entry_len > IMPORT_LEN_MAX && len > 0 {
            batches.push(Vec::new());
            len = 0;
        }
        len += entry_len;
        batches.last_mut().expect("BUG: there is always a batch").push(entry);
    }
    batches
}

#[cfg(test)]
mod tests {
    use bonfire_engine::command::CatalogEntry;
    use bonfire_proto::GameId;

    use super::{Failure, batches, folder_to_game};

    #[test]
    fn a_folder_is_a_name_or_a_path_of_a_direct_child() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("quake/maps")).unwrap();
        let game = |text: &str| folder_to_game(std::path::Path::new(text), dir.path());
        let inside = |name: &str| dir.path().join(name).display().to_string();
        assert_eq!(game("quake").unwrap().as_str(), "quake");
        assert_eq!(game(&inside("quake")).unwrap().as_str(), "quake");
        assert_eq!(game(&format!("{}/", inside("quake"))).unwrap().as_str(), "quake");
        assert!(matches!(game(&inside("quake/maps")), Err(Failure::Report(r)) if r.code == "not_in_games_folder"));
        assert!(matches!(game(&inside("..")), Err(Failure::Report(_))));
        assert!(matches!(game(".hidden"), Err(Failure::Usage { .. })));
    }

    #[test]
    fn a_large_import_is_sent_in_portions_that_keep_every_entry() {
        let all: Vec<_> = (0..5000)
            .map(|i| CatalogEntry {
                id: GameId::new(format!("game-{i}")).unwrap(),
                name: "n".repeat(100),
                saves: Vec::new(),
                start: std::collections::BTreeMap::new(),
            })
            .collect();
        let portions = batches(all.clone());
        assert!(portions.len() > 1);
        assert!(
            portions.iter().all(|p| serde_json::to_vec(p).unwrap().len() < crate::control::protocol::REQUEST_LEN_MAX)
        );
        assert_eq!(portions.concat(), all);
        assert_eq!(batches(Vec::new()).len(), 1);
    }
}
