//! Games whose folder somebody is changing: when to read it, and when what was read may be offered.
//!
//! Knows time and names, nothing of what lies in a folder. A folder is read soon, so that it is seen; it is offered only
//! when it was left alone for longer, because a game that is copied in looks complete from the moment its sentinel is
//! there.

use std::collections::BTreeMap;
use std::time::Duration;

use bonfire_proto::GameId;

use crate::time::Instant;

/// How long a folder must have been left alone before it is read, and how long it is waited for at most: while somebody
/// copies a game in, every look would find another.
const READ_AFTER: Duration = Duration::from_millis(500);
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How long a folder that is not as it was must have been left alone before it is offered. A copy from a slow disk or
/// over a network stops for a second now and then.
pub const OFFER_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Stir {
    /// First change that no look has covered.
    since: Instant,
    last: Instant,
    /// Whether it changed after the last look at it began.
    unread: bool,
    /// Whether it is not offered until it was left alone.
    held: bool,
}

/// Which folders are being changed.
#[derive(Debug, Default)]
pub struct Quiet {
    stirs: BTreeMap<GameId, Stir>,
}

impl Quiet {
    /// Something in a game's folder changed. With `hold` the game is not offered until it was left alone.
    pub fn changed(&mut self, now: Instant, game: &GameId, hold: bool) {
        let stir = self.stirs.entry(game.clone()).or_insert(Stir { since: now, last: now, unread: true, held: false });
        if !stir.unread {
            stir.since = now;
            stir.unread = true;
        }
        stir.last = now;
        stir.held |= hold;
    }

    /// A look at a game's folder begins.
    pub fn read(&mut self, game: &GameId) {
        if let Some(stir) = self.stirs.get_mut(game) {
            stir.unread = false;
        }
    }

    /// A look at every folder begins.
    pub fn read_all(&mut self) {
        for stir in self.stirs.values_mut() {
            stir.unread = false;
        }
    }

    /// A look found another game than before: while somebody is at it, it is not offered.
    pub fn found_other(&mut self, game: &GameId) {
        if let Some(stir) = self.stirs.get_mut(game) {
            stir.held = true;
        }
    }

    /// Whether a game is not to be offered yet.
    #[must_use]
    pub fn is_held(&self, game: &GameId) -> bool {
        self.stirs.get(game).is_some_and(|s| s.held)
    }

    /// Games whose folder is to be read now.
    #[must_use]
    pub fn to_read(&self, now: Instant) -> Vec<GameId> {
        self.stirs.iter().filter(|(_, s)| s.unread && s.read_at() <= now).map(|(g, _)| g.clone()).collect()
    }

    /// Lets go of the games that were left alone and read since. `is_read` says that no look at a game is under way.
    /// Returns those that may be offered from here on.
    pub fn settle(&mut self, now: Instant, is_read: impl Fn(&GameId) -> bool) -> Vec<GameId> {
        let settled = |g: &GameId, s: &Stir| !s.unread && s.last + OFFER_AFTER <= now && is_read(g);
        let done: Vec<(GameId, bool)> =
            self.stirs.iter().filter(|(g, s)| settled(g, s)).map(|(g, s)| (g.clone(), s.held)).collect();
        for (game, _) in &done {
            self.stirs.remove(game);
        }
        done.into_iter().filter(|(_, held)| *held).map(|(game, _)| game).collect()
    }

    /// When something is due next. `is_read` as for `settle`: what waits for a look is not due before that look ends.
    #[must_use]
    pub fn next_deadline(&self, is_read: impl Fn(&GameId) -> bool) -> Option<Instant> {
        self.stirs
            .iter()
            .filter_map(|(g, s)| if s.unread { Some(s.read_at()) } else { is_read(g).then_some(s.last + OFFER_AFTER) })
            .min()
    }
}

impl Stir {
    /// When the folder is read, left alone or not.
    fn read_at(&self) -> Instant {
        (self.last + READ_AFTER).min(self.since + READ_WITHIN)
    }
}

#[cfg(test)]
mod tests;
