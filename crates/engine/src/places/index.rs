//! The compact index of a manifest: per title what is needed to place its saves, in lines that are quick to read again.
//!
//! A manifest is parsed once (`manifest`); what a start reads is this. Owns the form of the lines and how entries are
//! merged. Does not judge paths: they are text here.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Format of the lines that this build writes and reads.
pub const INDEX_FORMAT: u32 = 1;

/// Longest chain of nicknames that is followed.
pub const ALIAS_DEPTH_MAX: usize = 8;

/// When a path holds: every part that is there has to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Constraint {
    /// Operating system as the manifest writes it: `windows`, `linux`, `mac`, `dos`, or one that we do not know.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Store as the manifest writes it.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
}

/// A path of a title.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRule {
    /// With its placeholders, as the manifest writes it.
    #[serde(rename = "p")]
    pub path: String,
    /// What is there: `save`, `config`, or a word that we do not know.
    #[serde(rename = "t", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// One of these has to hold; always, when there is none.
    #[serde(rename = "w", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub when: BTreeSet<Constraint>,
    /// Whether the game's own folder said it, and not the manifest that the player imported.
    #[serde(rename = "own", default, skip_serializing_if = "is_false")]
    pub from_game_folder: bool,
}

/// What a path is for, by its tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Tagged `save`, or not tagged at all.
    Save,
    /// Tagged `config` and not `save`.
    Config,
    /// Tagged with words that we do not know only.
    Other,
}

impl FileRule {
    /// What the path is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        if self.tags.is_empty() || self.tags.contains("save") {
            Purpose::Save
        } else if self.tags.contains("config") {
            Purpose::Config
        } else {
            Purpose::Other
        }
    }
}

/// Names of a game in stores and launchers. Numbers are kept as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreIds {
    /// Steam, the main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steam: Vec<String>,
    /// GOG, the main one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gog: Vec<String>,
    /// Everything else, by the word that the manifest uses (`flatpak`, `lutris`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub other: BTreeMap<String, Vec<String>>,
}

impl StoreIds {
    /// The main id in a store, if the manifest has one.
    #[must_use]
    pub fn main(&self, store: &str) -> Option<&str> {
        let ids = match store {
            "steam" => Some(&self.steam),
            "gog" | "gogGalaxy" => Some(&self.gog),
            other => self.other.get(other),
        };
        ids.and_then(|ids| ids.first()).map(String::as_str)
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of one game.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Title {
    /// Its paths, sorted by their text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileRule>,
    /// Registry keys, to be able to say that what is kept there is not synced.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub registry: BTreeSet<String>,
    /// Names of the folder that it is installed in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub install_dirs: BTreeSet<String>,
    /// Its names in stores.
    #[serde(default, skip_serializing_if = "StoreIds::is_empty")]
    pub ids: StoreIds,
    /// It is a nickname: the title that has everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Stores that keep its saves in their own cloud, which may work against ours.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub cloud: BTreeSet<String>,
    /// Notes that the manifest has for people.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub notes: u32,
}

/// The titles of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Index {
    titles: BTreeMap<String, Title>,
}

/// Why a nickname leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// It names a title that is not there.
    #[error("{from:?} is another name for {to:?}, which the manifest does not have")]
    Missing {
        /// The nickname.
        from: String,
        /// What it names.
        to: String,
    },
    /// The chain is longer than `ALIAS_DEPTH_MAX`, or goes round.
    #[error("{0:?} is a nickname of a nickname, over and over")]
    Endless(String),
}

/// Why lines are not an index.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// No first line of ours.
    #[error("no index of a save manifest: its first line is not one of ours")]
    Header,
    /// Of a later format.
    #[error("index format {0} is unknown")]
    Format(u32),
    /// A line that is no title.
    #[error("line {line} of the index: {message}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It ends early.
    #[error("the index has {found} titles where its first line says {said}")]
    Cut {
        /// Titles that are there.
        found: usize,
        /// Titles that should be.
        said: usize,
    },
}

/// Where a manifest came from, so that it is not fetched again while it is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file or address, as the player named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the server calls this version of it (`ETag`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    save_manifest_index: u32,
    titles: usize,
    #[serde(flatten)]
    source: Source,
}

fn read_header(text: &str) -> Result<Header, IndexError> {
    let first = text.lines().next().ok_or(IndexError::Header)?;
    let header: Header = serde_json::from_str(first).map_err(|_| IndexError::Header)?;
    match header.save_manifest_index {
        INDEX_FORMAT => Ok(header),
        other => Err(IndexError::Format(other)),
    }
}

/// How many titles the first line says there are.
pub(super) fn header(text: &str) -> Result<usize, IndexError> {
    Ok(read_header(text)?.titles)
}

impl Source {
    /// What an index says of where it came from; only its first line has to be there.
    ///
    /// # Errors
    /// `IndexError` for a first line that is not one of ours.
    pub fn of_lines(text: &str) -> Result<Self, IndexError> {
        Ok(read_header(text)?.source)
    }
}

impl Index {
    /// An index of these titles.
    #[must_use]
    pub fn new(titles: BTreeMap<String, Title>) -> Self {
        Self { titles }
    }

    /// Every title by its name, nicknames among them.
    #[must_use]
    pub fn titles(&self) -> &BTreeMap<String, Title> {
        &self.titles
    }

    /// The title of that exact name, nicknames followed: its name, and what is known of it. `None` when there is none.
    ///
    /// # Errors
    /// `AliasError` when a nickname leads nowhere.
    pub fn get(&self, name: &str) -> Result<Option<(&str, &Title)>, AliasError> {
        let Some((mut at, mut title)) = self.titles.get_key_value(name) else { return Ok(None) };
        for _ in 0..=ALIAS_DEPTH_MAX {
            let Some(to) = &title.alias else { return Ok(Some((at.as_str(), title))) };
            let next = self.titles.get_key_value(to);
            (at, title) = next.ok_or_else(|| AliasError::Missing { from: at.clone(), to: to.clone() })?;
        }
        Err(AliasError::Endless(name.to_owned()))
    }

    /// The index as lines of JSON: a first line that says what it is, then a title a line.
    ///
    /// # Errors
    /// `IndexError::Line` when a title cannot be written.
    pub fn to_lines(&self, source: &Source) -> Result<String, IndexError> {
        let line = |line: usize, e: &serde_json::Error| IndexError::Line { line, message: e.to_string() };
        let source = source.clone();
        let header = Header { save_manifest_index: INDEX_FORMAT, titles: self.titles.len(), source };
        let mut out = serde_json::to_string(&header).map_err(|e| line(1, &e))?;
        out.push('\n');
        for (at, entry) in self.titles.iter().enumerate() {
            out.push_str(&serde_json::to_string(&entry).map_err(|e| line(at + 2, &e))?);
            out.push('\n');
        }
        Ok(out)
    }

    /// Reads what `to_lines` wrote.
    ///
    /// # Errors
    /// `IndexError`; an index that was cut is an error and not a smaller index.
    pub fn from_lines(text: &str) -> Result<Self, IndexError> {
        let header = read_header(text)?;
        let mut titles = BTreeMap::new();
        for (at, text) in text.lines().skip(1).enumerate() {
            let (name, title): (String, Title) =
                serde_json::from_str(text).map_err(|e| IndexError::Line { line: at + 2, message: e.to_string() })?;
            titles.insert(name, title);
        }
        if titles.len() != header.titles {
            return Err(IndexError::Cut { found: titles.len(), said: header.titles });
        }
        Ok(Self { titles })
    }
}

impl Title {
    /// Takes in what the game's own folder says: a path that both have is taken from there, everything else adds up.
    pub fn merge(&mut self, own: Self) {
        let mut files: BTreeMap<String, FileRule> =
            std::mem::take(&mut self.files).into_iter().map(|f| (f.path.clone(), f)).collect();
        files.extend(own.files.into_iter().map(|f| (f.path.clone(), FileRule { from_game_folder: true, ..f })));
        self.files = files.into_values().collect();
        self.registry.extend(own.registry);
        self.install_dirs.extend(own.install_dirs);
        self.cloud.extend(own.cloud);
        self.notes = self.notes.saturating_add(own.notes);
        join(&mut self.ids.steam, own.ids.steam);
        join(&mut self.ids.gog, own.ids.gog);
        for (store, ids) in own.ids.other {
            join(self.ids.other.entry(store).or_default(), ids);
        }
    }
}

/// Adds what is new at the end, so that the main id stays the first.
fn join(ids: &mut Vec<String>, more: Vec<String>) {
    for id in more {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}
