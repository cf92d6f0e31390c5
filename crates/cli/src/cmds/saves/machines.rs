//! Where a game may run on this machine: natively, or in a prefix of Wine or Proton. Looks at folders and at what Steam says
//! of itself; takes nothing for granted that is not there.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use bonfire_engine::places::{Existing, GameFacts, Listing, Places, Title, prefix};
use bonfire_engine::{ErrorClass, Report};

use crate::platform;

/// Most names of a folder in which prefixes are looked for.
const NAMES_MAX: usize = 1_000;
/// Longest list of Steam's libraries that is read, in bytes.
const LIST_LEN_MAX: u64 = 1 << 20;
/// What Steam adds to the number of an account for the long form of it.
const STEAM_ACCOUNTS: u64 = 76_561_197_960_265_728;
/// Where Steam keeps its things beneath a home.
const STEAM: [&str; 4] =
    [".local/share/Steam", ".steam/steam", ".steam/root", ".var/app/com.valvesoftware.Steam/.local/share/Steam"];

/// What lies on this disk.
#[derive(Debug)]
pub(super) struct Disk;

impl Existing for Disk {
    fn list(&self, folder: &str) -> Listing {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        let unreadable = |e: std::io::Error| Listing::Unreadable(e.to_string());
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), NotFound | NotADirectory) => return Listing::Absent,
            Err(e) => return unreadable(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => names.extend(entry.file_name().into_string().ok()),
                Err(e) => return unreadable(e),
            }
        }
        Listing::Names(names)
    }
}

/// A way in which the game may run here.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// The prefix; none for a native game.
    pub(super) prefix: Option<PathBuf>,
    pub(super) places: Places,
    pub(super) facts: GameFacts,
}

/// A store's installation of the game.
struct Steam {
    library: PathBuf,
    id: String,
    users: Vec<String>,
}

/// The ways in which a game may run here. With `prefix`, that one only.
///
/// # Errors
/// When the prefix that was named is none; when the environment names no folders.
pub(super) fn of(game_root: &Path, title: &Title, prefix: Option<&Path>) -> Result<Vec<Machine>, Report> {
    let local = game_root.join("local");
    let base = [local.as_path(), game_root].into_iter().find(|p| p.is_dir()).map(Path::to_path_buf);
    let plain = GameFacts { base: base.as_deref().and_then(text), ..GameFacts::default() };
    if let Some(prefix) = prefix {
        let places = of_prefix(prefix)?;
        return Ok(vec![Machine { prefix: Some(prefix.to_path_buf()), places, facts: plain }]);
    }
    let native = platform::native_places().map_err(|e| {
        Report::new(ErrorClass::Environment, "places", e.to_string()).hint("name the path: bonfire saves add GAME PATH")
    })?;
    let mut out = vec![Machine { prefix: None, places: native, facts: plain.clone() }];
    if !platform::HAS_PREFIXES {
        return Ok(out);
    }
    let mut known = BTreeSet::new();
    let mut add = |at: PathBuf, facts: GameFacts| {
        // What only looks like a prefix is none; one that was named is told about.
        if let (true, Ok(places)) = (known.insert(at.canonicalize().unwrap_or_else(|_| at.clone())), of_prefix(&at)) {
            out.push(Machine { prefix: Some(at), places, facts });
        }
    };
    for at in within(game_root).into_iter().chain(within(&local)) {
        add(at, plain.clone());
    }
    for steam in steam(&title.ids.steam) {
        let common = steam.library.join("steamapps/common");
        let own = title.install_dirs.iter().map(|dir| common.join(dir)).find(|p| p.is_dir());
        let facts = GameFacts {
            store: Some("steam".to_owned()),
            root: text(&steam.library),
            base: own.as_deref().and_then(text).or_else(|| plain.base.clone()),
            store_game_id: Some(steam.id.clone()),
            store_user_ids: steam.users,
            ..GameFacts::default()
        };
        add(steam.library.join("steamapps/compatdata").join(&steam.id), facts);
    }
    Ok(out)
}

fn of_prefix(at: &Path) -> Result<Places, Report> {
    let refused = |why: String| {
        Report::new(ErrorClass::Refused, "no_prefix", why).hint("a prefix is a folder with drive_c or pfx in it")
    };
    let folder = text(at).ok_or_else(|| refused(format!("{} is no Unicode text", at.display())))?;
    let user = std::env::var("USER").ok();
    prefix::places(&folder, user.as_deref(), &Disk).map_err(|e| refused(e.to_string()))
}

/// Prefixes directly in a folder.
fn within(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let folders = entries.filter_map(Result::ok).take(NAMES_MAX).map(|e| e.path());
    let is_prefix = |p: &PathBuf| p.join("drive_c").is_dir() || p.join("pfx/drive_c").is_dir();
    let mut out: Vec<PathBuf> = folders.filter(is_prefix).collect();
    out.sort();
    out
}

/// Where Steam keeps prefixes for these ids.
fn steam(ids: &[String]) -> Vec<Steam> {
    // An id is a number; anything else would be a path.
    let ids: Vec<&String> = ids.iter().filter(|id| id.bytes().all(|b| b.is_ascii_digit()) && !id.is_empty()).collect();
    let Some(home) = std::env::var_os("HOME").map(PathBuf::from).filter(|_| !ids.is_empty()) else { return Vec::new() };
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for root in STEAM.iter().filter_map(|at| home.join(at).canonicalize().ok()) {
        let users = users(&root.join("userdata"));
        for library in std::iter::once(root.clone()).chain(libraries(&root.join("steamapps/libraryfolders.vdf"))) {
            for id in &ids {
                let at = library.join("steamapps/compatdata").join(id);
                if at.is_dir() && seen.insert(at) {
                    out.push(Steam { library: library.clone(), id: (*id).clone(), users: users.clone() });
                }
            }
        }
    }
    out
}

/// The folders that Steam's list of libraries names.
fn libraries(list: &Path) -> Vec<PathBuf> {
    let mut text = String::new();
    let read = std::fs::File::open(list).and_then(|f| f.take(LIST_LEN_MAX).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    library_paths(&text).into_iter().filter_map(|p| p.canonicalize().ok()).collect()
}

fn library_paths(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let rest = line.trim().strip_prefix("\"path\"")?.trim().strip_prefix('"')?.strip_suffix('"')?;
        Some(PathBuf::from(rest.replace("\\\\", "\\")))
    };
    text.lines().filter_map(path).collect()
}

/// The accounts of this machine, in the two forms that games use.
fn users(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.filter_map(Result::ok).filter_map(|e| e.file_name().into_string().ok());
    let accounts: BTreeSet<u64> = names.filter_map(|n| n.parse().ok()).filter(|n| *n > 0).collect();
    accounts.iter().flat_map(|n| [n.to_string(), n.saturating_add(STEAM_ACCOUNTS).to_string()]).collect()
}

fn text(path: &Path) -> Option<String> {
    path.to_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::library_paths;

    #[test]
    fn libraries_are_read_out_of_what_steam_writes() {
        let text = "\"libraryfolders\"\n{\n\t\"0\"\n\t{\n\t\t\"path\"\t\t\"/home/ann/.local/share/Steam\"\n\t}\n\t\"1\"\n\t{\n\t\t\
                    \"path\"\t\t\"/mnt/big games\"\n\t\t\"label\"\t\t\"\"\n\t}\n}\n";
        let expected = [PathBuf::from("/home/ann/.local/share/Steam"), PathBuf::from("/mnt/big games")];
        assert_eq!(library_paths(text), expected);
    }
}
