//! What this peer holds, as it is told to others: revisions, deltas between them, snapshot pages.
//!
//! Owns the rows, the revision and the tombstones of one epoch. Does not know how a game was found or what a folder looks
//! like, and writes nothing: a change is proposed, made durable by the shell, and only then applied.

use std::collections::BTreeMap;

use bonfire_proto::game::library_digest;
use bonfire_proto::limits::{LIBRARY_GAMES_MAX, MANIFEST_SIZE_MAX, PAGE_LEN_MAX, VERSION_LEN_MAX};
use bonfire_proto::message::{LibraryDelta, LibrarySnapshot};
use bonfire_proto::{Availability, Digest, GameId, GameSummary, LibraryEpoch, LibrarySummary, text};

/// Most removed games that are remembered. Who is further behind than the oldest of them gets a snapshot.
pub const TOMBSTONES_MAX: usize = 1_024;

/// What a new revision changes. Every list is sorted by id, and no game is in two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryChange {
    /// The revision that it makes; one above the present one.
    pub to_rev: u64,
    /// Games that were not listed.
    pub added: Vec<GameSummary>,
    /// Games that were listed otherwise.
    pub updated: Vec<GameSummary>,
    /// Games that are listed no more.
    pub removed: Vec<GameId>,
}

/// One listed game and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryRow {
    /// The game.
    pub summary: GameSummary,
    /// Revision that listed it.
    pub added_rev: u64,
    /// Revision that last changed it; at least `added_rev`.
    pub changed_rev: u64,
}

/// A library as the store gives it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLibrary {
    /// Life of the database.
    pub epoch: LibraryEpoch,
    /// The revision.
    pub rev: u64,
    /// No delta can begin below this revision: tombstones at or below it are gone.
    pub floor_rev: u64,
    /// Listed games, sorted by id.
    pub rows: Vec<LibraryRow>,
    /// Games removed above `floor_rev` and the revision that removed them, sorted by id.
    pub removed: Vec<(GameId, u64)>,
}

/// What this peer holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalLibrary {
    epoch: LibraryEpoch,
    rev: u64,
    floor_rev: u64,
    rows: BTreeMap<GameId, LibraryRow>,
    removed: BTreeMap<GameId, u64>,
    digest: Digest,
}

impl LocalLibrary {
    /// An empty library at revision 0.
    #[must_use]
    pub fn new(epoch: LibraryEpoch) -> Self {
        Self::restore(StoredLibrary { epoch, rev: 0, floor_rev: 0, rows: Vec::new(), removed: Vec::new() })
    }

    /// The library that was made durable.
    #[must_use]
    pub fn restore(stored: StoredLibrary) -> Self {
        let rows: BTreeMap<_, _> = stored.rows.into_iter().map(|r| (r.summary.id.clone(), r)).collect();
        let digest = library_digest(rows.values().map(|r| &r.summary));
        Self {
            epoch: stored.epoch,
            rev: stored.rev,
            floor_rev: stored.floor_rev,
            rows,
            removed: stored.removed.into_iter().collect(),
            digest,
        }
    }

    /// Compares what was seen with what is listed. Only the games named in `seen` are judged; `None` says that a game is
    /// not to be listed. Returns `None` when nothing really changed.
    ///
    /// Lines are brought within the bounds of the wire on the way, because one that is not would make every other peer
    /// refuse the whole list. Games beyond `LIBRARY_GAMES_MAX` are not listed.
    #[must_use]
    pub fn propose(&self, seen: &BTreeMap<GameId, Option<GameSummary>>) -> Option<LibraryChange> {
        let (mut added, mut updated, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (id, now) in seen {
            match (self.rows.get(id), now) {
                (Some(_), None) => removed.push(id.clone()),
                (None, Some(game)) => added.push(within_bounds(id, game)),
                (Some(row), Some(game)) => {
                    let game = within_bounds(id, game);
                    if row.summary != game {
                        updated.push(game);
                    }
                }
                (None, None) => {}
            }
        }
        added.truncate(LIBRARY_GAMES_MAX.saturating_sub(self.rows.len() - removed.len()));
        if added.is_empty() && updated.is_empty() && removed.is_empty() {
            return None;
        }
        Some(LibraryChange { to_rev: self.rev + 1, added, updated, removed })
    }

    /// Takes in a change that was made durable. A change that is not the next one is a bug of the caller and is ignored.
    pub fn apply(&mut self, change: &LibraryChange) {
        debug_assert_eq!(change.to_rev, self.rev + 1, "BUG: a change was skipped or applied twice");
        if change.to_rev <= self.rev {
            return;
        }
        let rev = change.to_rev;
        for game in &change.added {
            self.removed.remove(&game.id);
            let row = LibraryRow { summary: game.clone(), added_rev: rev, changed_rev: rev };
            self.rows.insert(game.id.clone(), row);
        }
        for game in &change.updated {
            if let Some(row) = self.rows.get_mut(&game.id) {
                row.summary = game.clone();
                row.changed_rev = rev;
            }
        }
        for id in &change.removed {
            self.rows.remove(id);
            self.removed.insert(id.clone(), rev);
        }
        self.rev = rev;
        if let Some(floor) = tombstone_floor(self.removed.values().copied()) {
            self.floor_rev = floor;
            self.removed.retain(|_, rev| *rev > floor);
        }
        self.digest = library_digest(self.games());
    }

    /// What changed since a revision, as one delta. `None` when it cannot be told (another epoch, a revision that is yet
    /// to come, one older than the tombstones) or when it would not fit a frame: then a snapshot has to do.
    #[must_use]
    pub fn delta_since(&self, epoch: LibraryEpoch, from_rev: u64) -> Option<LibraryDelta> {
        if epoch != self.epoch || from_rev > self.rev || from_rev < self.floor_rev {
            return None;
        }
        let (mut added, mut updated, mut len) = (Vec::new(), Vec::new(), 0usize);
        for row in self.rows.values().filter(|r| r.changed_rev > from_rev) {
            len += encoded_len(&row.summary);
            if len > PAGE_LEN_MAX {
                return None;
            }
            let list = if row.added_rev > from_rev { &mut added } else { &mut updated };
            list.push(row.summary.clone());
        }
        let removed: Vec<_> =
            self.removed.iter().filter(|(_, rev)| **rev > from_rev).map(|(id, _)| id.clone()).collect();
        len += removed.iter().map(|id| id.as_str().len() + 3).sum::<usize>();
        if len > PAGE_LEN_MAX {
            return None;
        }
        Some(LibraryDelta { library_epoch: self.epoch, from_rev, to_rev: self.rev, added, updated, removed })
    }

    /// The whole library in pages of at most `PAGE_LEN_MAX` bytes; at least one, even when it is empty.
    #[must_use]
    pub fn snapshot_pages(&self) -> Vec<LibrarySnapshot> {
        let empty = || LibrarySnapshot { library_epoch: self.epoch, library_rev: self.rev, games: Vec::new() };
        let envelope = serde_json::to_string(&empty()).map_or(256, |s| s.len());
        let (mut pages, mut page, mut len) = (Vec::new(), empty(), envelope);
        for game in self.games() {
            let more = encoded_len(game);
            if len + more > PAGE_LEN_MAX && !page.games.is_empty() {
                pages.push(std::mem::replace(&mut page, empty()));
                len = envelope;
            }
            page.games.push(game.clone());
            len += more;
        }
        pages.push(page);
        pages
    }

    /// Where it stands.
    #[must_use]
    pub fn summary(&self) -> LibrarySummary {
        LibrarySummary {
            library_epoch: self.epoch,
            library_rev: self.rev,
            library_digest: self.digest,
            game_count: u32::try_from(self.rows.len()).unwrap_or(u32::MAX),
        }
    }

    /// One listed game.
    #[must_use]
    pub fn get(&self, id: &GameId) -> Option<&GameSummary> {
        self.rows.get(id).map(|r| &r.summary)
    }

    /// Listed games, sorted by id.
    pub fn games(&self) -> impl Iterator<Item = &GameSummary> {
        self.rows.values().map(|r| &r.summary)
    }

    /// Life of the database that counts the revisions.
    #[must_use]
    pub fn epoch(&self) -> LibraryEpoch {
        self.epoch
    }

    /// The revision.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// Digest over the listed games.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The revision up to which tombstones have to go so that at most `TOMBSTONES_MAX` stay, or `None` when all may stay.
/// Tombstones of one revision go together: a delta with only some of them would be a lie. The store keeps the same rule.
#[must_use]
pub fn tombstone_floor(revs: impl Iterator<Item = u64>) -> Option<u64> {
    let mut revs: Vec<u64> = revs.collect();
    let excess = revs.len().checked_sub(TOMBSTONES_MAX)?.checked_sub(1)?;
    revs.sort_unstable();
    revs.get(excess).copied()
}

fn within_bounds(id: &GameId, game: &GameSummary) -> GameSummary {
    let too_large = game.size > MANIFEST_SIZE_MAX;
    GameSummary {
        id: id.clone(),
        name: text::clean(&game.name),
        eti_version: text::clean_to(&game.eti_version, VERSION_LEN_MAX),
        size: game.size.min(MANIFEST_SIZE_MAX),
        availability: if too_large { Availability::LocalOnly } else { game.availability },
        ..game.clone()
    }
}

/// Bytes of a line in a JSON list, with its comma.
fn encoded_len(game: &GameSummary) -> usize {
    // A line cannot fail to be JSON; if it did, a page of its own is the safe guess.
    serde_json::to_string(game).map_or(PAGE_LEN_MAX, |s| s.len() + 1)
}

#[cfg(test)]
mod tests;
