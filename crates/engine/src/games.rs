//! What lies in the games folder, and what of it is told to others.
//!
//! Owns the facts of the last scan, the queue of games still to be hashed, and the rule that turns facts
//! into a line of the library. Revisions are `library`'s; operations are `ops`'; the catalog's file is
//! `catalog_file`'s.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::{Availability, GameId, GameSummary, text};

use crate::catalog_file::CatalogFile;
use crate::input::GameFacts;
use crate::snapshot::OperationKind;

/// Most games, and bytes of them beyond the first, that are handed to the hasher at once: their ends are made durable
/// and told together. So many small games take about a second, and as little is hashed in vain when something stops it.
pub const HASH_BATCH_GAMES: usize = 256;
/// Bytes beside `HASH_BATCH_GAMES`; a game larger than that goes alone.
pub const HASH_BATCH_BYTES: u64 = 64 << 20;

/// What keeps a game from being offered, whatever its folder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Free,
    /// Somebody is changing its folder.
    Stirred,
    /// An operation is active on it.
    Active(OperationKind),
}

/// What is next for a game that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashEnd {
    /// Nothing.
    Done,
    /// Hash it again when its turn comes.
    Again,
    /// Hash it again once its folder was read again.
    AfterScan,
    /// Leave it alone until its facts change.
    GiveUp,
}

/// The games folder as the engine knows it.
#[derive(Debug, Default)]
pub struct Games {
    facts: BTreeMap<GameId, GameFacts>,
    /// The catalog.
    pub catalog: CatalogFile,
    to_hash: BTreeSet<GameId>,
    /// Handed to the hasher and not ended yet.
    hashing: BTreeSet<GameId>,
    /// Games that could not be hashed as they are; tried again when their facts change and after each full scan.
    unhashable: BTreeSet<GameId>,
    /// Games that changed while they were hashed; tried again when their folder was read again.
    to_read_again: BTreeSet<GameId>,
}

impl Games {
    /// Facts of a game that is there.
    #[must_use]
    pub fn facts(&self, game: &GameId) -> Option<&GameFacts> {
        self.facts.get(game)
    }

    /// Every game that is there or in the catalog, by id.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<GameId> {
        self.facts.keys().chain(self.catalog.entries().keys()).cloned().collect()
    }

    /// Games that are there.
    pub fn present(&self) -> impl Iterator<Item = (&GameId, &GameFacts)> {
        self.facts.iter()
    }

    /// Whether the catalog lists a game.
    #[must_use]
    pub fn in_catalog(&self, game: &GameId) -> bool {
        self.catalog.entries().contains_key(game)
    }

    /// Number of catalog entries.
    #[must_use]
    pub fn catalog_len(&self) -> usize {
        self.catalog.entries().len()
    }

    /// Name for people: the catalog's, else the id.
    #[must_use]
    pub fn name(&self, game: &GameId) -> String {
        self.catalog.entries().get(game).map_or_else(|| game.to_string(), |e| e.name.clone())
    }

    /// The line of the library for a game, or `None` when it is not listed.
    #[must_use]
    pub fn summary(&self, game: &GameId, standing: Standing) -> Option<GameSummary> {
        let facts = self.facts.get(game)?;
        if !facts.downloaded && !facts.installed && standing != Standing::Active(OperationKind::Download) {
            return None;
        }
        Some(GameSummary {
            id: game.clone(),
            name: text::clean(&self.name(game)),
            eti_version: facts.version.clone(),
            size: facts.size,
            downloaded: facts.downloaded,
            installed: facts.installed,
            manifest_hash: facts.manifest_hash,
            content_hash: facts.content_hash,
            availability: self.availability(game, standing),
        })
    }

    /// Whether a game can be had from here.
    #[must_use]
    pub fn availability(&self, game: &GameId, standing: Standing) -> Availability {
        let is_offered = self.in_catalog(game) && self.facts.get(game).is_some_and(|f| f.downloaded);
        match standing {
            Standing::Active(OperationKind::Download) => Availability::Downloading,
            Standing::Free if is_offered => Availability::Ready,
            _ => Availability::LocalOnly,
        }
    }

    /// Takes in what a scan found. Returns the games whose facts changed or went.
    pub fn scanned(&mut self, scope: Option<&GameId>, found: BTreeMap<GameId, Option<GameFacts>>) -> BTreeSet<GameId> {
        let mut touched = BTreeSet::new();
        let mut read_again: Vec<GameId> = found.keys().filter(|g| self.to_read_again.contains(*g)).cloned().collect();
        if scope.is_none() {
            let gone: Vec<_> = self.facts.keys().filter(|id| !found.contains_key(*id)).cloned().collect();
            for id in gone {
                self.facts.remove(&id);
                touched.insert(id);
            }
        }
        for (id, facts) in found {
            let changed = match facts {
                None => self.facts.remove(&id).is_some(),
                Some(f) => {
                    let same = self.facts.get(&id) == Some(&f);
                    if !same {
                        self.facts.insert(id.clone(), f);
                    }
                    !same
                }
            };
            if changed {
                self.unhashable.remove(&id);
                touched.insert(id);
            }
        }
        read_again.extend(touched.iter().cloned());
        for id in &read_again {
            self.to_read_again.remove(id);
            self.queue_hash(id);
        }
        touched
    }

    /// Takes a game for not downloaded, until it is read again: an operation has ended on it, and what it left cannot be
    /// read.
    pub fn doubt(&mut self, game: &GameId) {
        if let Some(facts) = self.facts.get_mut(game) {
            facts.downloaded = false;
            facts.content_hash = None;
        }
    }

    /// Notes a game's content as known, when it is still the one that was hashed.
    pub fn hashed(
        &mut self,
        game: &GameId,
        manifest_hash: bonfire_proto::ManifestHash,
        content_hash: bonfire_proto::ContentHash,
    ) -> bool {
        match self.facts.get_mut(game) {
            Some(f) if f.manifest_hash == manifest_hash => {
                f.content_hash = Some(content_hash);
                true
            }
            _ => false,
        }
    }

    /// Ends the hashing under way.
    pub fn hashing_ended(&mut self, game: &GameId, end: HashEnd) {
        self.hashing.remove(game);
        match end {
            // Of a list that is not this one any more: the content is as unknown as before.
            HashEnd::Done | HashEnd::Again => self.queue_hash(game),
            HashEnd::AfterScan => {
                self.to_read_again.insert(game.clone());
            }
            HashEnd::GiveUp => {
                self.unhashable.insert(game.clone());
            }
        }
    }

    /// Whether a game cannot be hashed as it is.
    #[must_use]
    pub fn is_given_up(&self, game: &GameId) -> bool {
        self.unhashable.contains(game)
    }

    /// Queues what could not be hashed once more: a file that another program held is free again some time.
    pub fn retry_given_up(&mut self) {
        for game in std::mem::take(&mut self.unhashable) {
            self.queue_hash(&game);
        }
    }

    /// The games to hash next, sorted by id, once all that were handed out before have ended. Games with an active
    /// operation are passed over.
    pub fn next_to_hash(&mut self, is_active: impl Fn(&GameId) -> bool) -> Vec<GameId> {
        if !self.hashing.is_empty() {
            return Vec::new();
        }
        let mut bytes = 0u64;
        let mut next = Vec::new();
        for game in self.to_hash.iter().filter(|g| !is_active(g)).take(HASH_BATCH_GAMES) {
            bytes = bytes.saturating_add(self.facts.get(game).map_or(0, |f| f.size));
            if bytes > HASH_BATCH_BYTES && !next.is_empty() {
                break;
            }
            next.push(game.clone());
        }
        for game in &next {
            self.to_hash.remove(game);
        }
        self.hashing = next.iter().cloned().collect();
        next
    }

    fn queue_hash(&mut self, game: &GameId) {
        let wanted = self.facts.get(game).is_some_and(|f| f.downloaded && f.content_hash.is_none());
        if wanted
            && !self.unhashable.contains(game)
            && !self.to_read_again.contains(game)
            && !self.hashing.contains(game)
        {
            self.to_hash.insert(game.clone());
        }
    }
}
