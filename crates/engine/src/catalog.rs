//! The part of the engine that owns the catalog and the background hashing of what it holds.

use std::collections::BTreeSet;

use bonfire_proto::GameId;
use bonfire_proto::text::clean_to;

use crate::catalog_file::{CatalogEdit, FileTurn};
use crate::command::{CATALOG_SAVES_MAX, CatalogEntry, LibraryCommand, Reply};
use crate::engine::Engine;
use crate::event::PeerEvent;
use crate::games::HashEnd;
use crate::input::{CommandId, Effect, Hashed, PreparedEntry};
use crate::installs::PLATFORMS;
use crate::places::rule_path::RulePath;
use crate::report::{ErrorClass, Report};
use crate::time::Instant;

impl Engine {
    pub(crate) fn catalog_command(&mut self, id: CommandId, command: LibraryCommand, fx: &mut Vec<Effect>) {
        match command {
            LibraryCommand::CatalogAdd { game, name, version, saves, start } => {
                if let Err(error) = self.not_busy(&game) {
                    fx.push(Effect::Reply(id, Err(error)));
                    return;
                }
                if let Some(error) = saves.iter().flatten().find_map(|path| bad_save(path)) {
                    fx.push(Effect::Reply(id, Err(error)));
                    return;
                }
                if saves.as_ref().is_some_and(|s| s.len() > CATALOG_SAVES_MAX) {
                    let text = format!("an entry of the catalog has at most {CATALOG_SAVES_MAX} paths of saves");
                    fx.push(Effect::Reply(id, Err(Report::new(ErrorClass::Refused, "bad_saves", text))));
                    return;
                }
                let wrong = start.iter().find_map(|(platform, command)| match command.refusal() {
                    Some(why) => Some((platform, why.to_string())),
                    None if PLATFORMS.contains(&&platform[..]) => None,
                    None => Some((platform, "nobody knows that platform".to_owned())),
                });
                if let Some((platform, why)) = wrong {
                    let text = format!("that is no start command for {}: {why}", clean_to(platform, 32));
                    let hint = format!("a program beneath the install, or a name; for {}", PLATFORMS.join(", "));
                    fx.push(Effect::Reply(id, Err(Report::new(ErrorClass::Refused, "bad_start", text).hint(hint))));
                    return;
                }
                let known = self.games.catalog.entries().get(&game);
                let saves = saves.unwrap_or_else(|| known.map(|e| e.saves.clone()).unwrap_or_default());
                let mut starts = known.map(|e| e.start.clone()).unwrap_or_default();
                starts.extend(start);
                let name = name.unwrap_or_else(|| game.to_string());
                self.adding.insert(id, CatalogEntry { name, id: game.clone(), saves, start: starts });
                fx.push(Effect::PrepareEntry { command: id, game, version });
            }
            LibraryCommand::CatalogRemove { game } => {
                let edit = CatalogEdit { command: Some(id), put: Vec::new(), remove: Some(game), reply: Reply::Done };
                self.edit(edit, fx);
            }
            LibraryCommand::CatalogImport { entries } => {
                let put = entries.into_iter().map(|entry| self.of_others(entry)).collect();
                let edit = CatalogEdit { command: Some(id), put, remove: None, reply: Reply::Done };
                self.edit(edit, fx);
            }
            // Routed before it gets here.
            LibraryCommand::Rescan { .. } => {}
        }
    }

    /// An entry that somebody else wrote: how it starts a game is theirs, but for what is said here in the same words.
    fn of_others(&self, mut entry: CatalogEntry) -> CatalogEntry {
        let own = self.games.catalog.entries().get(&entry.id).map(|known| &known.start);
        for (platform, command) in &mut entry.start {
            *command = std::mem::take(command).as_imported(own.and_then(|own| own.get(platform)));
        }
        entry
    }

    pub(crate) fn catalog_prepared(
        &mut self,
        id: CommandId,
        prepared: Result<PreparedEntry, Report>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.adding.remove(&id) else { return };
        match prepared {
            Err(error) => fx.push(Effect::Reply(id, Err(error))),
            Ok(prepared) => {
                let reply = Reply::CatalogEntry {
                    game: entry.id.clone(),
                    name: entry.name.clone(),
                    version: prepared.version,
                    sentinel_written: prepared.sentinel_written,
                };
                self.start_scan(&entry.id.clone(), fx);
                self.edit(CatalogEdit { command: Some(id), put: vec![entry], remove: None, reply }, fx);
            }
        }
    }

    fn edit(&mut self, edit: CatalogEdit, fx: &mut Vec<Effect>) {
        let command = edit.command;
        match self.games.catalog.edit(edit) {
            Ok(()) => self.catalog_turn(fx),
            Err(error) => self.edit_refused(command, error, fx),
        }
    }

    fn edit_refused(&mut self, command: Option<CommandId>, error: Report, fx: &mut Vec<Effect>) {
        match command {
            Some(id) => fx.push(Effect::Reply(id, Err(error))),
            None => self.problem(None, error, fx),
        }
    }

    /// Has the catalog read: it may have changed, or nobody knows.
    pub(crate) fn read_catalog(&mut self, fx: &mut Vec<Effect>) {
        self.games.catalog.want_read();
        self.catalog_turn(fx);
    }

    /// Does what is next at the catalog's file.
    pub(crate) fn catalog_turn(&mut self, fx: &mut Vec<Effect>) {
        let next = self.games.catalog.take_turn();
        for (edit, error) in next.refused {
            self.edit_refused(edit.command, error, fx);
        }
        match next.turn {
            Some(FileTurn::Read) => fx.push(Effect::LoadCatalog),
            Some(FileTurn::Write(entries)) => fx.push(Effect::SaveCatalog(entries)),
            None => {}
        }
    }

    pub(crate) fn catalog_saved(&mut self, now: Instant, saved: Result<(), Report>, fx: &mut Vec<Effect>) {
        let Some((edit, touched)) = self.games.catalog.saved(saved.is_ok()) else { return };
        let changed = !touched.is_empty();
        self.refresh(now, touched, false, fx);
        match (edit.command, saved) {
            (Some(id), Ok(())) => fx.push(Effect::Reply(id, Ok(edit.reply))),
            (None, Ok(())) => {}
            (command, Err(error)) => self.edit_refused(command, error, fx),
        }
        if changed {
            self.catalog_changed(fx);
        }
        self.catalog_turn(fx);
    }

    pub(crate) fn catalog_loaded(
        &mut self,
        now: Instant,
        loaded: Result<Option<Vec<CatalogEntry>>, Report>,
        fx: &mut Vec<Effect>,
    ) {
        let read = match loaded {
            Err(error) => {
                self.problem(None, error, fx);
                Err(())
            }
            Ok(entries) => {
                self.problem_solved("catalog");
                Ok(entries)
            }
        };
        let touched = self.games.catalog.loaded(read);
        let changed = !touched.is_empty();
        self.refresh(now, touched, false, fx);
        if changed {
            self.catalog_changed(fx);
        }
        self.catalog_turn(fx);
        if !self.is_started() {
            self.start_full_scan(fx);
        }
    }

    fn catalog_changed(&self, fx: &mut Vec<Effect>) {
        let entries = self.games.catalog_len() as u64;
        fx.push(Effect::Emit(PeerEvent::CatalogChanged { entries }));
    }

    pub(crate) fn hashed(&mut self, now: Instant, ended: Vec<(GameId, Hashed)>, fx: &mut Vec<Effect>) {
        let (mut known, mut held) = (BTreeSet::new(), BTreeSet::new());
        let mut ends = Vec::new();
        for (game, hashed) in ended {
            let end = match hashed {
                Hashed::Done { manifest_hash, content_hash } => {
                    if self.games.hashed(&game, manifest_hash, content_hash) {
                        known.insert(game.clone());
                        HashEnd::Done
                    } else {
                        // Of another list than is known: one of the two is out of date.
                        self.start_scan(&game, fx);
                        HashEnd::AfterScan
                    }
                }
                Hashed::Changed => {
                    if self.stir(now, &game) {
                        held.insert(game.clone());
                    }
                    HashEnd::AfterScan
                }
                Hashed::Stopped => HashEnd::Again,
                // An operation came first, or took the game away: that says nothing of its files.
                Hashed::Failed(_) if self.ops.of_game(&game).is_some() || self.games.facts(&game).is_none() => {
                    HashEnd::Again
                }
                Hashed::Failed(error) => {
                    self.problem(Some(game.clone()), error, fx);
                    HashEnd::GiveUp
                }
            };
            ends.push((game, end));
        }
        self.refresh(now, known.clone(), true, fx);
        self.refresh(now, held, false, fx);
        fx.extend(known.into_iter().map(|game| Effect::Emit(PeerEvent::GameHashed { game })));
        for (game, end) in ends {
            self.games.hashing_ended(&game, end);
            self.game_is_sound(&game);
        }
    }
}

/// What is wrong with a path of saves, if anything is.
fn bad_save(path: &str) -> Option<Report> {
    let why = RulePath::parse(path).err()?;
    let text = format!("{}: {why}", bonfire_proto::text::clean(path));
    Some(
        Report::new(ErrorClass::Refused, "bad_saves", text)
            .hint("a path of saves begins with a placeholder, such as <base>/saves or <winAppData>/Moth/*.sav"),
    )
}
