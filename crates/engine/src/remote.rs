//! What another peer holds, as far as it is known here, and what has to be asked to know it well.
//!
//! Owns one peer's games, revision and epoch, and the assembly of a snapshot from its pages. Trusts nothing: lists are
//! checked for order and bounds, names are cleaned, and a library whose digest is not the announced one is asked for
//! anew, once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bonfire_proto::game::library_digest;
use bonfire_proto::limits::{LIBRARY_GAMES_MAX, PAGES_MAX, VERSION_LEN_MAX};
use bonfire_proto::message::{LibraryDelta, LibrarySnapshotMsg};
use bonfire_proto::{Digest, GameId, GameSummary, LibraryEpoch, PeerId, text};

use crate::snapshot::RemoteGameView;

/// What has to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncNeed {
    /// Nothing.
    Nothing,
    /// The changes since this revision.
    Delta {
        /// The revision known here.
        from_rev: u64,
    },
    /// The whole library.
    Snapshot,
}

/// What came of a delta.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeltaOutcome {
    /// It was the next one. Both lists are sorted and name real differences only.
    Applied {
        /// Games new or different.
        changed: Vec<GameId>,
        /// Games gone.
        removed: Vec<GameId>,
    },
    /// It says nothing new.
    Ignored,
    /// It does not fit what is known here; nothing of it was taken. Why.
    NeedSnapshot(&'static str),
}

/// A game as shown, and as it was sent where that differs: digests are over what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    game: GameSummary,
    sent: Option<Box<GameSummary>>,
    /// Made once, and shared by every snapshot until the game changes.
    view: Arc<RemoteGameView>,
}

impl Entry {
    fn new(sent: GameSummary) -> Self {
        let name = text::clean(&sent.name);
        let eti_version = text::clean_to(&sent.eti_version, VERSION_LEN_MAX);
        if name == sent.name && eti_version == sent.eti_version {
            return Self { view: view(&sent), game: sent, sent: None };
        }
        let game = GameSummary { name, eti_version, ..sent.clone() };
        Self { view: view(&game), game, sent: Some(Box::new(sent)) }
    }

    fn as_sent(&self) -> &GameSummary {
        self.sent.as_deref().unwrap_or(&self.game)
    }
}

fn view(g: &GameSummary) -> Arc<RemoteGameView> {
    Arc::new(RemoteGameView {
        id: g.id.clone(),
        name: g.name.clone(),
        version: g.eti_version.clone(),
        size: g.size,
        downloaded: g.downloaded,
        installed: g.installed,
        availability: g.availability,
        manifest_hash: g.manifest_hash,
        content_hash: g.content_hash,
    })
}

/// Where a peer says that its library stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    epoch: LibraryEpoch,
    rev: u64,
    digest: Option<Digest>,
    /// Whether it was asked for after an answer had not reached it: an answer that does not either is the last.
    asked: bool,
}

/// What another peer holds.
#[derive(Debug, Clone)]
pub struct RemoteLibrary {
    epoch: Option<LibraryEpoch>,
    rev: u64,
    games: BTreeMap<GameId, Entry>,
    digest: Digest,
    /// What it said of itself and what was not reached yet.
    heard: Option<Heard>,
    /// A digest for the present revision that a whole snapshot has contradicted: asking again would bring the same.
    contradicted: Option<Digest>,
}

impl RemoteLibrary {
    /// Nothing known yet.
    #[must_use]
    pub fn unknown() -> Self {
        let digest = library_digest([]);
        Self { epoch: None, rev: 0, games: BTreeMap::new(), digest, heard: None, contradicted: None }
    }

    /// Compares where the peer says that its library stands with what is known. With a digest the word is the peer's own
    /// (hello, summary) and is remembered, so that a later answer is held against it; without one it is a hint.
    pub fn compare(&mut self, epoch: LibraryEpoch, rev: u64, digest: Option<Digest>) -> SyncNeed {
        let heard = Heard { epoch, rev, digest, asked: false };
        let need = self.distance(heard);
        if digest.is_some() {
            self.heard = Some(heard).filter(|_| need != SyncNeed::Nothing);
        }
        need
    }

    /// Takes in an announcement that anyone can have made. Returns whether it tells of a newer revision than was heard of;
    /// that is remembered until it is reached, or an answer does not bring it.
    pub fn hint(&mut self, epoch: LibraryEpoch, rev: u64) -> bool {
        let is_newer = self.epoch == Some(epoch) && rev > self.rev && self.heard.is_none();
        if is_newer {
            self.heard = Some(Heard { epoch, rev, digest: None, asked: true });
        }
        is_newer
    }

    /// What is still to be asked after an answer was taken in, because the peer has told of something newer meanwhile.
    /// Says so once for each thing heard, so that a peer that never delivers what it announces is not asked for ever. To
    /// be called for an answer that came: what was heard is kept until then.
    #[must_use]
    pub fn take_need(&mut self) -> SyncNeed {
        match self.heard.as_mut() {
            Some(heard) if !heard.asked => heard.asked = true,
            _ => self.heard = None,
        }
        self.need()
    }

    /// The same without counting it as asked: for an answer that never came.
    #[must_use]
    pub fn need(&self) -> SyncNeed {
        self.heard.map_or(SyncNeed::Nothing, |heard| self.distance(heard))
    }

    fn distance(&self, heard: Heard) -> SyncNeed {
        if self.epoch != Some(heard.epoch) {
            return SyncNeed::Snapshot;
        }
        let differs = heard.digest.is_some_and(|d| d != self.digest && Some(d) != self.contradicted);
        match heard.rev.cmp(&self.rev) {
            std::cmp::Ordering::Greater => SyncNeed::Delta { from_rev: self.rev },
            std::cmp::Ordering::Equal if differs => SyncNeed::Snapshot,
            // Its own word that it stands lower: a database that came back from a backup.
            std::cmp::Ordering::Less if heard.digest.is_some() => SyncNeed::Snapshot,
            std::cmp::Ordering::Equal | std::cmp::Ordering::Less => SyncNeed::Nothing,
        }
    }

    /// Takes in a delta, wholly or not at all.
    pub fn apply_delta(&mut self, delta: &LibraryDelta) -> DeltaOutcome {
        let Some(epoch) = self.epoch else {
            return self.cannot_take(delta, "nothing is known yet");
        };
        if delta.library_epoch != epoch {
            return self.cannot_take(delta, "another epoch");
        }
        if delta.to_rev <= self.rev {
            return DeltaOutcome::Ignored;
        }
        if delta.from_rev != self.rev {
            return self.cannot_take(delta, "a gap before it");
        }
        if let Err(why) = self.fits(delta) {
            return self.cannot_take(delta, why);
        }
        let announced = self.heard.filter(|h| h.epoch == epoch && h.rev == delta.to_rev).and_then(|h| h.digest);
        let (mut changed, mut removed, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for game in delta.added.iter().chain(&delta.updated) {
            let entry = Entry::new(game.clone());
            if self.games.get(&game.id) != Some(&entry) {
                changed.push(game.id.clone());
                before.push((game.id.clone(), self.games.insert(game.id.clone(), entry)));
            }
        }
        for id in &delta.removed {
            if let Some(entry) = self.games.remove(id) {
                removed.push(id.clone());
                before.push((id.clone(), Some(entry)));
            }
        }
        let digest = self.digest_of_games();
        if announced.is_some_and(|a| a != digest) {
            for (id, entry) in before.into_iter().rev() {
                match entry {
                    Some(entry) => self.games.insert(id, entry),
                    None => self.games.remove(&id),
                };
            }
            return self.cannot_take(delta, "it does not lead to the announced digest");
        }
        changed.sort_unstable();
        self.rev = delta.to_rev;
        self.digest = digest;
        self.contradicted = None;
        self.reached();
        DeltaOutcome::Applied { changed, removed }
    }

    fn fits(&self, delta: &LibraryDelta) -> Result<(), &'static str> {
        let sorted = |list: &[GameSummary]| list.windows(2).all(|w| w[0].id < w[1].id);
        if !sorted(&delta.added) || !sorted(&delta.updated) || !delta.removed.windows(2).all(|w| w[0] < w[1]) {
            return Err("a list that is not sorted, or names a game twice");
        }
        let is_in = |list: &[GameSummary], id: &GameId| list.binary_search_by(|g| g.id.cmp(id)).is_ok();
        if delta.updated.iter().any(|g| is_in(&delta.added, &g.id))
            || delta.removed.iter().any(|id| is_in(&delta.added, id) || is_in(&delta.updated, id))
        {
            return Err("a game in two lists");
        }
        // An added game may be known: it was removed and came back between the two revisions.
        if delta.updated.iter().any(|g| !self.games.contains_key(&g.id)) {
            return Err("an update of a game that is not known");
        }
        let new = delta.added.iter().filter(|g| !self.games.contains_key(&g.id)).count();
        let gone = delta.removed.iter().filter(|id| self.games.contains_key(*id)).count();
        if self.games.len() + new - gone > LIBRARY_GAMES_MAX {
            return Err("too many games");
        }
        Ok(())
    }

    fn cannot_take(&mut self, delta: &LibraryDelta, why: &'static str) -> DeltaOutcome {
        // A snapshot that is under way may be older than this delta; `take_need` asks for the rest then.
        let is_newer = self.heard.is_none_or(|h| h.asked || h.epoch != delta.library_epoch || h.rev < delta.to_rev);
        if is_newer {
            self.heard = Some(Heard { epoch: delta.library_epoch, rev: delta.to_rev, digest: None, asked: false });
        }
        DeltaOutcome::NeedSnapshot(why)
    }

    /// Takes in a whole library. Returns the games new or different, and the games gone, both sorted.
    pub fn replace(&mut self, assembled: Assembled) -> (Vec<GameId>, Vec<GameId>) {
        let new: BTreeMap<_, _> = assembled.games.into_iter().map(|g| (g.id.clone(), Entry::new(g))).collect();
        let changed = new.iter().filter(|(id, e)| self.games.get(*id) != Some(*e)).map(|(id, _)| id.clone()).collect();
        let removed = self.games.keys().filter(|id| !new.contains_key(*id)).cloned().collect();
        self.games = new;
        self.epoch = Some(assembled.epoch);
        self.rev = assembled.rev;
        self.digest = self.digest_of_games();
        self.contradicted = self
            .heard
            .filter(|h| h.epoch == assembled.epoch && h.rev == assembled.rev)
            .and_then(|h| h.digest)
            .filter(|d| *d != self.digest);
        self.reached();
        (changed, removed)
    }

    /// Forgets what was heard once it is reached.
    fn reached(&mut self) {
        if self.heard.is_some_and(|h| self.epoch == Some(h.epoch) && h.rev <= self.rev) {
            self.heard = None;
        }
    }

    fn digest_of_games(&self) -> Digest {
        library_digest(self.games.values().map(Entry::as_sent))
    }

    /// Its epoch, once known.
    #[must_use]
    pub fn epoch(&self) -> Option<LibraryEpoch> {
        self.epoch
    }

    /// Its revision as known here; 0 while nothing is known.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// Digest over its games as it sent them.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Number of its games.
    #[must_use]
    pub fn len(&self) -> usize {
        self.games.len()
    }

    /// Whether it has no games, as far as is known here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.games.is_empty()
    }

    /// One game, with clean text.
    #[must_use]
    pub fn get(&self, id: &GameId) -> Option<&GameSummary> {
        self.games.get(id).map(|e| &e.game)
    }

    /// Its games with clean text, sorted by id.
    pub fn games(&self) -> impl Iterator<Item = &GameSummary> {
        self.games.values().map(|e| &e.game)
    }

    /// Its games as they are shown, sorted by id; each is made once and shared.
    pub fn views(&self) -> impl Iterator<Item = &Arc<RemoteGameView>> {
        self.games.values().map(|e| &e.view)
    }
}

/// A whole library from its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    epoch: LibraryEpoch,
    rev: u64,
    games: Vec<GameSummary>,
}

/// Collects the pages of a snapshot, which come in order on one stream.
#[derive(Debug)]
pub struct Assembly {
    peer: PeerId,
    head: Option<(LibraryEpoch, u64, u32)>,
    next_page: u32,
    games: Vec<GameSummary>,
}

impl Assembly {
    /// Nothing collected yet, of this peer's library.
    #[must_use]
    pub fn new(peer: PeerId) -> Self {
        Self { peer, head: None, next_page: 0, games: Vec::new() }
    }

    /// Takes in the next page; the whole library when it was the last.
    ///
    /// # Errors
    /// The rule that the page breaks; nothing further may be added then.
    pub fn page(&mut self, page: LibrarySnapshotMsg) -> Result<Option<Assembled>, &'static str> {
        if page.peer_id != self.peer {
            return Err("a page of another peer's library");
        }
        let head = (page.snapshot.library_epoch, page.snapshot.library_rev, page.pages);
        if !(1..=PAGES_MAX).contains(&page.pages) {
            return Err("a number of pages out of bounds");
        }
        if *self.head.get_or_insert(head) != head {
            return Err("pages of different revisions");
        }
        if page.page != self.next_page || page.page >= page.pages {
            return Err("a page out of order");
        }
        let games = page.snapshot.games;
        if self.games.len() + games.len() > LIBRARY_GAMES_MAX {
            return Err("too many games");
        }
        if self.games.last().iter().copied().chain(&games).is_sorted_by(|a, b| a.id < b.id) {
            self.games.extend(games);
        } else {
            return Err("games that are not sorted, or one twice");
        }
        self.next_page += 1;
        if self.next_page < page.pages {
            return Ok(None);
        }
        let (epoch, rev, _) = head;
        Ok(Some(Assembled { epoch, rev, games: std::mem::take(&mut self.games) }))
    }
}

#[cfg(test)]
mod tests;
