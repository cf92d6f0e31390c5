//! Disks and machines to place saves on.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::places::{Choice, Existing, GameFacts, Listing, Places, SaveRoots, place};
use bonfire_proto::RelPath;

use crate::sample;

/// A disk with these folders and files, by their absolute paths with `/`.
#[derive(Default)]
pub struct Disk {
    folders: BTreeMap<String, BTreeSet<String>>,
    pub broken: Option<String>,
}

impl Disk {
    pub fn with(paths: &[&str]) -> Self {
        let mut disk = Self::default();
        for path in paths {
            let mut at = String::new();
            for name in path.trim_start_matches('/').split('/') {
                disk.folders.entry(at.clone()).or_default().insert(name.to_owned());
                at = format!("{at}/{name}");
            }
        }
        disk
    }
}

impl Existing for Disk {
    fn list(&self, folder: &str) -> Listing {
        if self.broken.as_deref() == Some(folder) {
            return Listing::Unreadable("input/output error".into());
        }
        match self.folders.get(folder) {
            Some(names) => Listing::Names(names.iter().cloned().collect()),
            None => Listing::Absent,
        }
    }
}

pub fn windows() -> Places {
    let env = |name: &str| {
        let value = match name {
            "USERPROFILE" => "C:\\Users\\Ada",
            "APPDATA" => "C:\\Users\\Ada\\AppData\\Roaming",
            "LOCALAPPDATA" => "C:\\Users\\Ada\\AppData\\Local",
            "PUBLIC" => "C:\\Users\\Public",
            "PROGRAMDATA" => "C:\\ProgramData",
            "WINDIR" => "C:\\Windows",
            "USERNAME" => "Ada",
            _ => return None,
        };
        Some(value.to_owned())
    };
    Places::windows(&env).unwrap()
}

pub fn linux() -> Places {
    let env = |name: &str| match name {
        "HOME" => Some("/home/ada".to_owned()),
        "USER" => Some("ada".to_owned()),
        _ => None,
    };
    Places::linux(&env).unwrap()
}

pub const PFX: &str = "/home/ada/compat/9900001/pfx/drive_c";

/// What Proton makes of a new prefix.
pub fn new_prefix() -> Vec<String> {
    ["AppData/Roaming", "AppData/Local", "AppData/LocalLow", "Documents"]
        .iter()
        .map(|p| format!("{PFX}/users/steamuser/{p}"))
        .chain([format!("{PFX}/users/Public"), format!("{PFX}/windows"), format!("{PFX}/ProgramData")])
        .collect()
}

/// A prefix in which these lie too, beneath `drive_c`.
pub fn prefix(more: &[&str]) -> (Places, Disk) {
    let mut paths = new_prefix();
    paths.extend(more.iter().map(|p| format!("{PFX}/{p}")));
    let disk = Disk::with(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    let places = bonfire_engine::places::prefix::places("/home/ada/compat/9900001", Some("ada"), &disk).unwrap();
    (places, disk)
}

pub fn installed_at(base: &str) -> GameFacts {
    GameFacts { base: Some(base.to_owned()), ..GameFacts::default() }
}

pub fn placed(title: &str, game: &GameFacts, places: &Places, disk: &Disk) -> SaveRoots {
    placed_with(title, game, places, disk, Choice::default())
}

pub fn placed_with(title: &str, game: &GameFacts, places: &Places, disk: &Disk, choice: Choice) -> SaveRoots {
    let index = sample();
    let (name, title) = index.get(title).unwrap().unwrap();
    place(name, title, game, places, disk, choice)
}

/// Why a rule of the sample has no root, as a person reads it.
pub fn why(roots: &SaveRoots, rule: &str) -> String {
    let found = roots.skipped.iter().find(|s| s.rule == rule);
    found.unwrap_or_else(|| panic!("{rule} was not skipped: {roots:#?}")).why.to_string()
}

pub fn path(text: &str) -> RelPath {
    RelPath::new(text).unwrap()
}
