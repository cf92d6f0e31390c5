//! The catalog as it is known here, and whose turn it is at its file.
//!
//! Owns the entries, the edits that wait, and two rules: nothing is written over what could not be read, and the file is
//! read or written by one at a time, so that a slow read never brings back what a write has replaced. Knows neither the
//! file nor who is answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bonfire_proto::limits::LIBRARY_GAMES_MAX;
use bonfire_proto::{GameId, text};

use crate::command::{CATALOG_SAVES_MAX, CatalogEntry, Reply};
use crate::input::CommandId;
use crate::installs::legal;
use crate::places::rule_path::RulePath;
use crate::report::{ErrorClass, Report};

/// Most edits of the catalog that wait for their turn; a person makes one at a time.
const EDITS_MAX: usize = 256;

/// A change of the catalog that waits to be made durable.
#[derive(Debug, Clone)]
pub struct CatalogEdit {
    /// Whom to answer; nobody for an entry that a download brings.
    pub command: Option<CommandId>,
    /// Entries to put in or replace.
    pub put: Vec<CatalogEntry>,
    /// Game to take out.
    pub remove: Option<GameId>,
    /// What to answer once durable.
    pub reply: Reply,
}

/// What is to be done with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileTurn {
    /// Read it, then say `loaded`.
    Read,
    /// Replace it with these, then say `saved`.
    Write(Vec<CatalogEntry>),
}

/// What comes next.
#[derive(Debug, Default)]
pub struct Next {
    /// Edits that cannot be made, and why.
    pub refused: Vec<(CatalogEdit, Report)>,
    /// What to do with the file.
    pub turn: Option<FileTurn>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// It was not read yet.
    #[default]
    NotYet,
    /// The entries are those of the file, but for what happened to it since.
    Whole,
    /// The last read failed: the file holds nobody knows what.
    Unreadable,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    #[default]
    Nobody,
    Reader,
    Writer,
}

/// The catalog and the turns at its file.
#[derive(Debug, Default)]
pub struct CatalogFile {
    entries: BTreeMap<GameId, CatalogEntry>,
    known: Known,
    at: At,
    read_wanted: bool,
    edits: VecDeque<CatalogEdit>,
}

impl CatalogFile {
    /// The entries, by id.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<GameId, CatalogEntry> {
        &self.entries
    }

    /// Whether a game is in the catalog, or an edit that waits puts it there.
    #[must_use]
    pub fn will_hold(&self, game: &GameId) -> bool {
        let edits = self.edits.iter().rev();
        let mut last = edits.filter_map(|e| {
            let puts = e.put.iter().any(|p| p.id == *game);
            (puts || e.remove.as_ref() == Some(game)).then_some(puts)
        });
        last.next().unwrap_or_else(|| self.entries.contains_key(game))
    }

    /// Has the file read: it may have changed.
    pub fn want_read(&mut self) {
        self.read_wanted = true;
    }

    /// Queues an edit; `take_turn` says whether its turn has come.
    ///
    /// # Errors
    /// When too many edits wait, or the catalog would hold more than `LIBRARY_GAMES_MAX` games.
    pub fn edit(&mut self, edit: CatalogEdit) -> Result<(), Report> {
        // One that a download brings is bounded by the downloads.
        if self.edits.len() >= EDITS_MAX && edit.command.is_some() {
            return Err(
                Report::new(ErrorClass::Refused, "busy", "too many changes of the catalog are waiting").retryable()
            );
        }
        // As if no edit that waits took anything out: it may yet fail.
        let mut ids: BTreeSet<&GameId> = self.entries.keys().collect();
        ids.extend(self.edits.iter().flat_map(|e| &e.put).map(|e| &e.id));
        if let Some(id) = &edit.remove {
            ids.remove(id);
        }
        ids.extend(edit.put.iter().map(|e| &e.id));
        if ids.len() > LIBRARY_GAMES_MAX {
            return Err(full());
        }
        // What could not be read may have been mended since.
        self.read_wanted |= self.known == Known::Unreadable;
        self.edits.push_back(edit);
        Ok(())
    }

    /// Takes in what a read brought: the file's entries, none when there is no file, or `Err` when it could not be read.
    /// Returns the games whose entry changed.
    pub fn loaded(&mut self, read: Result<Option<Vec<CatalogEntry>>, ()>) -> BTreeSet<GameId> {
        self.at = At::Nobody;
        match read {
            Ok(entries) => {
                self.known = Known::Whole;
                self.replace(entries.unwrap_or_default())
            }
            // What was known stands: an unreadable catalog is not an empty one.
            Err(()) => {
                self.known = Known::Unreadable;
                BTreeSet::new()
            }
        }
    }

    /// Ends the write under way: its edit, and the games that it touched when it held.
    pub fn saved(&mut self, held: bool) -> Option<(CatalogEdit, BTreeSet<GameId>)> {
        if self.at != At::Writer {
            return None;
        }
        self.at = At::Nobody;
        let edit = self.edits.pop_front()?;
        let touched = if held { self.replace(self.after(&edit)) } else { BTreeSet::new() };
        Some((edit, touched))
    }

    /// Whose turn it is, unless somebody is at the file. What is returned has begun.
    pub fn take_turn(&mut self) -> Next {
        let mut next = Next::default();
        if self.at != At::Nobody {
            return next;
        }
        if self.read_wanted {
            self.read_wanted = false;
            self.at = At::Reader;
            next.turn = Some(FileTurn::Read);
            return next;
        }
        match self.known {
            Known::NotYet => {}
            Known::Unreadable => {
                // A person is told at once; what a download brings waits until the file is mended.
                let (waiting, refused) = std::mem::take(&mut self.edits).into_iter().partition(|e| e.command.is_none());
                self.edits = waiting;
                next.refused = Vec::from(refused).into_iter().map(|e| (e, unreadable())).collect();
            }
            Known::Whole => {
                while let Some(edit) = self.edits.front() {
                    let error = match &edit.remove {
                        Some(game) if !self.entries.contains_key(game) => Some(not_there(game)),
                        _ => None,
                    };
                    let entries = self.after(edit);
                    // The file may have grown by other hands since this was asked.
                    let Some(error) = error.or_else(|| (entries.len() > LIBRARY_GAMES_MAX).then(full)) else {
                        self.at = At::Writer;
                        next.turn = Some(FileTurn::Write(entries));
                        break;
                    };
                    next.refused.extend(self.edits.pop_front().map(|e| (e, error)));
                }
            }
        }
        next
    }

    fn replace(&mut self, entries: Vec<CatalogEntry>) -> BTreeSet<GameId> {
        let new: BTreeMap<_, _> = entries.into_iter().map(|e| (e.id.clone(), clean_entry(e))).collect();
        let ids = self.entries.keys().chain(new.keys());
        let touched = ids.filter(|id| self.entries.get(*id) != new.get(*id)).cloned().collect();
        self.entries = new;
        touched
    }

    fn after(&self, edit: &CatalogEdit) -> Vec<CatalogEntry> {
        let mut entries = self.entries.clone();
        if let Some(id) = &edit.remove {
            entries.remove(id);
        }
        for e in &edit.put {
            entries.insert(e.id.clone(), clean_entry(e.clone()));
        }
        entries.into_values().collect()
    }
}

fn clean_entry(entry: CatalogEntry) -> CatalogEntry {
    let name = text::clean(entry.name.trim());
    let name = if name.is_empty() { entry.id.to_string() } else { name };
    let mut saves = entry.saves;
    saves.retain(|path| RulePath::parse(path).is_ok());
    saves.truncate(CATALOG_SAVES_MAX);
    CatalogEntry { id: entry.id, name, saves, start: legal(entry.start) }
}

/// A catalog beyond the bound could be saved and never be read again.
fn full() -> Report {
    Report::new(ErrorClass::Refused, "catalog_full", format!("a catalog holds at most {LIBRARY_GAMES_MAX} games"))
}

fn not_there(game: &GameId) -> Report {
    Report::new(ErrorClass::NotFound, "not_in_catalog", format!("{game} is not in the catalog"))
}

fn unreadable() -> Report {
    Report::new(
        ErrorClass::Refused,
        "catalog_unreadable",
        "the catalog file cannot be read, so nothing is written over it",
    )
    .hint(
        "`bonfire status` says what is wrong with it; mend or remove catalog.json in the games folder, then ask again",
    )
}

#[cfg(test)]
mod tests;
