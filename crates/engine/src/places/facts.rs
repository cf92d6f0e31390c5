//! What a machine says of itself: in which kind of system a game runs, and where that system keeps what the placeholders
//! stand for.
//!
//! Environment variables and listings are arguments. A folder that is not known stays unknown: nothing stands in for it.

use std::collections::BTreeMap;
use std::fmt;

use super::placeholders::Placeholder;

/// The kind of system that a game runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Environment {
    /// Windows.
    Windows,
    /// Linux, with a game built for it.
    Linux,
    /// A prefix of Wine or Proton on Linux, with a game built for Windows.
    Prefix,
}

impl Environment {
    /// Which builds of a game run there.
    #[must_use]
    pub fn family(self) -> Family {
        match self {
            Self::Windows | Self::Prefix => Family::Windows,
            Self::Linux => Family::Linux,
        }
    }

    /// Whether the game takes names that differ in case for one, while the disk may not.
    #[must_use]
    pub fn folds_names(self) -> bool {
        self.family() == Family::Windows
    }

    /// What stands between the names of a path on this machine's disk.
    #[must_use]
    pub fn separator(self) -> char {
        if self == Self::Windows { '\\' } else { '/' }
    }
}

/// For which system a game was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Windows.
    Windows,
    /// Linux.
    Linux,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Windows => "Windows",
            Self::Linux => "Linux",
        })
    }
}

/// What was found where somebody looked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// A folder with these names.
    Names(Vec<String>),
    /// No folder is there: nothing, or a file.
    Absent,
    /// One cannot tell, and why. Never taken for an absence.
    Unreadable(String),
}

/// What lies on this machine's disk.
pub trait Existing {
    /// The names directly in the folder at this absolute path.
    fn list(&self, folder: &str) -> Listing;
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{placeholder} is {value:?} on this machine, which is not the absolute path of a folder")]
pub struct FactError {
    /// What it stands for.
    pub placeholder: Placeholder,
    /// What it is.
    pub value: String,
}

/// Where the placeholders lead for every game in one environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    environment: Environment,
    folders: BTreeMap<Placeholder, String>,
    user_name: Option<String>,
}

impl Places {
    /// An environment of which nothing is known yet.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { environment, folders: BTreeMap::new(), user_name: None }
    }

    /// Windows by its environment variables. `<winDocuments>` is taken to be beneath the profile; a caller that knows where
    /// it was moved to says so with `set`.
    ///
    /// # Errors
    /// `FactError` when a variable is not the absolute path of a folder.
    pub fn windows(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, FactError> {
        let mut places = Self::new(Environment::Windows);
        for (placeholder, variable) in [
            (Placeholder::WinAppData, "APPDATA"),
            (Placeholder::WinLocalAppData, "LOCALAPPDATA"),
            (Placeholder::WinPublic, "PUBLIC"),
            (Placeholder::WinProgramData, "PROGRAMDATA"),
            (Placeholder::WinDir, "WINDIR"),
        ] {
            if let Some(value) = filled(env, variable) {
                places.set(placeholder, &value)?;
            }
        }
        if let Some(profile) = filled(env, "USERPROFILE") {
            places.set(Placeholder::Home, &profile)?;
            places.set(Placeholder::WinDocuments, &format!("{profile}\\Documents"))?;
            places.set(Placeholder::WinLocalAppDataLow, &format!("{profile}\\AppData\\LocalLow"))?;
        }
        places.user_name = filled(env, "USERNAME");
        Ok(places)
    }

    /// Linux by its environment variables.
    ///
    /// # Errors
    /// `FactError` when `HOME` is not an absolute path. Other variables that are not are passed over, as the XDG
    /// specification asks.
    pub fn linux(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, FactError> {
        let mut places = Self::new(Environment::Linux);
        let Some(home) = filled(env, "HOME") else { return Ok(places) };
        places.set(Placeholder::Home, &home)?;
        for (placeholder, variable, usual) in [
            (Placeholder::XdgData, "XDG_DATA_HOME", ".local/share"),
            (Placeholder::XdgConfig, "XDG_CONFIG_HOME", ".config"),
        ] {
            let said = filled(env, variable).filter(|v| is_absolute(Environment::Linux, v));
            places.set(placeholder, &said.unwrap_or_else(|| format!("{home}/{usual}")))?;
        }
        places.user_name = filled(env, "USER").or_else(|| filled(env, "LOGNAME"));
        Ok(places)
    }

    /// Says where a placeholder's folder is.
    ///
    /// # Errors
    /// `FactError` when that is not an absolute path without `.` and `..`.
    pub fn set(&mut self, placeholder: Placeholder, folder: &str) -> Result<(), FactError> {
        let folder = checked(self.environment, placeholder, folder)?;
        self.folders.insert(placeholder, folder);
        Ok(())
    }

    /// Says what the person is called on the machine.
    pub fn set_user_name(&mut self, name: &str) {
        self.user_name = Some(name.to_owned());
    }

    /// The environment.
    #[must_use]
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// Where a placeholder's folder is, if that is known.
    #[must_use]
    pub fn folder(&self, placeholder: Placeholder) -> Option<&str> {
        self.folders.get(&placeholder).map(String::as_str)
    }

    /// What the person is called on the machine, if that is known.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.user_name.as_deref()
    }
}

/// What is known of one game on this machine. What is not known stays empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GameFacts {
    /// The store that it came from, by the manifest's word (`steam`, `gog` ..).
    pub store: Option<String>,
    /// Where that store keeps its games and accounts.
    pub root: Option<String>,
    /// The folder that the game is installed in; for a game of the room its `local/`.
    pub base: Option<String>,
    /// The name of its folder, where the manifest knows several.
    pub install_dir: Option<String>,
    /// Its id in the store, where that is not the manifest's.
    pub store_game_id: Option<String>,
    /// The player's ids in the store, in every form that games use. One of several is used when it alone exists.
    pub store_user_ids: Vec<String>,
}

impl GameFacts {
    /// Where `<root>` or `<base>` leads, if that is known.
    ///
    /// # Errors
    /// `FactError` when it is not an absolute path.
    pub fn folder(&self, environment: Environment, placeholder: Placeholder) -> Result<Option<String>, FactError> {
        let folder = match placeholder {
            Placeholder::Root => &self.root,
            Placeholder::Base => &self.base,
            _ => &None,
        };
        folder.as_deref().map(|f| checked(environment, placeholder, f)).transpose()
    }
}

/// The folder with this machine's separators and none at its end.
fn checked(environment: Environment, placeholder: Placeholder, folder: &str) -> Result<String, FactError> {
    let error = || FactError { placeholder, value: bonfire_proto::text::clean(folder) };
    let separator = environment.separator();
    let folder = if separator == '\\' { folder.replace('/', "\\") } else { folder.to_owned() };
    let dotted = folder.split(separator).any(|name| matches!(name, "." | ".."));
    if !is_absolute(environment, &folder) || dotted || folder.contains('\0') {
        return Err(error());
    }
    let trimmed = folder.trim_end_matches(separator);
    // A whole disk is nobody's home.
    if trimmed.is_empty() || trimmed.ends_with(':') { Err(error()) } else { Ok(trimmed.to_owned()) }
}

fn is_absolute(environment: Environment, folder: &str) -> bool {
    if environment != Environment::Windows {
        return folder.starts_with('/');
    }
    let bytes = folder.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.get(1) == Some(&b':')
        && matches!(bytes.get(2), Some(b'\\' | b'/'));
    drive || folder.starts_with("\\\\")
}

fn filled(env: &dyn Fn(&str) -> Option<String>, variable: &str) -> Option<String> {
    env(variable).filter(|v| !v.is_empty())
}
