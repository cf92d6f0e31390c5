//! When the games folder is looked at, and what a look changes.
//!
//! Owns what a look settles: facts of games, operations whose work is over, and whether the peer has started. What a game
//! is then is `games`', whether it is offered `library`'s.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::{GameId, GameSummary};

use super::{Engine, FULL_SCAN_EVERY};
use crate::event::PeerEvent;
use crate::games::Standing;
use crate::gate::StartScan;
use crate::input::{Effect, GameFacts, OpId, Persist, Scanned, Watched};
use crate::time::Instant;
use crate::transfers;

impl Engine {
    pub(super) fn watched(&mut self, now: Instant, seen: Watched, fx: &mut Vec<Effect>) {
        match seen {
            Watched::Game(game) => {
                if self.stir(now, &game) {
                    self.refresh(now, BTreeSet::from([game]), false, fx);
                }
            }
            Watched::Catalog => self.read_catalog(fx),
            Watched::Everything => {
                self.start_full_scan(fx);
                self.read_catalog(fx);
            }
            Watched::Failed(error) => self.problem(None, error, fx),
        }
    }

    /// Has a game's folder read once it is quiet. The changes that an operation makes are read when it settles.
    /// Returns whether the game is not offered from here on, which it was.
    pub(crate) fn stir(&mut self, now: Instant, game: &GameId) -> bool {
        let op = self.ops.of_game(game);
        if op.is_some_and(|op| op.outcome.is_none()) {
            return false;
        }
        let was_held = self.quiet.is_held(game);
        // What was read whole is another game only when a look says so; of anything else nobody knows whether it is
        // all there. What an operation leaves behind is whole, or not downloaded.
        let hold = op.is_none() && self.games.facts(game).is_none_or(|f| !f.downloaded || f.content_hash.is_none());
        self.quiet.changed(now, game, hold);
        hold && !was_held
    }

    pub(crate) fn start_scan(&mut self, game: &GameId, fx: &mut Vec<Effect>) {
        // An operation whose work is over waits for just such a scan.
        let active = self.ops.of_game(game).is_some_and(|op| op.outcome.is_none());
        self.quiet.read(game);
        let start = self.gate.changed(game, active);
        push_scans(start, fx);
    }

    pub(crate) fn start_full_scan(&mut self, fx: &mut Vec<Effect>) {
        self.quiet.read_all();
        let start = self.gate.full_changed();
        push_scans(start, fx);
    }

    pub(super) fn scanned(&mut self, now: Instant, scanned: Scanned, fx: &mut Vec<Effect>) {
        match &scanned.scope {
            None => push_scans(self.gate.full_finished(), fx),
            Some(game) => push_scans(self.gate.finished(game), fx),
        }
        // What this scan settles: operations whose work is over, unless a newer look at their folder is under way.
        let settled: Vec<(OpId, GameId)> = self
            .ops
            .iter()
            .filter(|(_, op)| op.outcome.is_some())
            .filter(|(_, op)| scanned.scope.as_ref().is_none_or(|g| *g == op.game))
            .filter(|(_, op)| !self.gate.is_waiting_for(&op.game))
            .map(|(id, op)| (id, op.game.clone()))
            .collect();
        let mut touched = BTreeSet::new();
        let readable = scanned.games.is_ok();
        match scanned.games {
            // Not an empty library: what was known stands until the folder can be read again. An operation is let go all
            // the same; of what it left nobody knows that it is whole, so it counts as not downloaded until then.
            Err(error) => {
                self.problem(scanned.scope.clone(), error, fx);
                for (_, game) in &settled {
                    self.games.doubt(game);
                }
            }
            Ok(mut found) => {
                self.keep_active(scanned.scope.as_ref(), &settled, &mut found);
                if scanned.scope.is_none() {
                    self.problem_solved("games_folder");
                    self.folder_problems(&scanned.problems, fx);
                }
                // A game under way is stored by the scan that settles it.
                touched = scanned.walked.into_iter().filter(|g| found.contains_key(g)).collect();
                touched.retain(|g| self.ops.of_game(g).is_none());
                let read: Vec<GameId> = found.keys().cloned().collect();
                let others = self.games.scanned(scanned.scope.as_ref(), found);
                for game in others.iter().filter(|g| self.ops.of_game(g).is_none()) {
                    self.quiet.found_other(game);
                }
                touched.extend(others);
                for game in read {
                    self.game_is_sound(&game);
                }
                if scanned.scope.is_none() {
                    // What is wrong with them stays shown until a hash succeeds.
                    self.games.retry_given_up();
                }
            }
        }
        if scanned.scope.is_none() {
            // After a failure too: the folder may be there again by then.
            self.full_scan_at = Some(now + FULL_SCAN_EVERY);
        }
        let first = !self.started && scanned.scope.is_none();
        if readable && scanned.scope.is_none() && !self.scanned_once {
            // What vanished while this peer did not run is in the stored library and nowhere else.
            touched.extend(self.library.games().map(|g| g.id.clone()));
            self.scanned_once = true;
        }
        let ended: Vec<_> = settled.iter().filter_map(|(id, _)| self.ops.end(*id).map(|op| (*id, op))).collect();
        touched.extend(ended.iter().map(|(_, op)| op.game.clone()));
        // What could not be read is not gone: the index keeps what it knows.
        self.refresh(now, touched, readable, fx);
        if !ended.is_empty() {
            self.ops_changed(fx);
        }
        for (id, op) in ended {
            fx.extend(transfers::outcome_event(id, op).map(Effect::Emit));
        }
        if first {
            self.started = true;
            let listen_addr = self.listen.map(|a| a.to_string()).unwrap_or_default();
            fx.push(Effect::Emit(PeerEvent::Started { peer: self.me, listen_addr }));
            fx.push(Effect::Announce);
            self.resume_all(now, fx);
        }
    }

    /// Leaves games under way as they were known: a scan reads them as they happen to be, and their own settling scan
    /// tells.
    fn keep_active(
        &self,
        scope: Option<&GameId>,
        settled: &[(OpId, GameId)],
        found: &mut BTreeMap<GameId, Option<GameFacts>>,
    ) {
        for (_, op) in self.ops.iter().filter(|(id, _)| settled.iter().all(|(s, _)| s != id)) {
            found.remove(&op.game);
            // Without scope a game that is not named counts as gone.
            if scope.is_none()
                && let Some(facts) = self.games.facts(&op.game)
            {
                found.insert(op.game.clone(), Some(facts.clone()));
            }
        }
    }

    /// What keeps a game from being offered, whatever its folder says.
    pub(crate) fn standing(&self, game: &GameId) -> Standing {
        match self.ops.kind_of(game) {
            Some(kind) => Standing::Active(kind),
            None if self.quiet.is_held(game) => Standing::Stirred,
            None => Standing::Free,
        }
    }

    /// Makes the library say what the games are: persists, announces and pushes when something differs. With
    /// `reindex` the index entries of these games are stored too.
    pub(crate) fn refresh(&mut self, now: Instant, games: BTreeSet<GameId>, reindex: bool, fx: &mut Vec<Effect>) {
        self.touched(&games);
        // Before the first scan nothing is known of the folder, and what is not known has not changed.
        if games.is_empty() || !self.scanned_once {
            return;
        }
        let seen: BTreeMap<GameId, Option<GameSummary>> =
            games.iter().map(|g| (g.clone(), self.games.summary(g, self.standing(g)))).collect();
        let change = self.library.propose(&seen);
        let (index, gone) = if reindex {
            games.into_iter().partition(|g| self.games.facts(g).is_some())
        } else {
            (Vec::new(), Vec::new())
        };
        if change.is_none() && index.is_empty() && gone.is_empty() {
            return;
        }
        fx.push(Effect::Persist(Persist { change: change.clone(), index, gone }));
        if let Some(change) = change {
            self.library_changed(now, &change, fx);
        }
    }

    /// Gives the next games to the background hasher, and holds it still while bytes move.
    pub(crate) fn hash_next(&mut self, fx: &mut Vec<Effect>) {
        let hold = self.ops.is_transferring();
        if hold != self.hashing_held {
            self.hashing_held = hold;
            fx.push(Effect::HoldHashing(hold));
        }
        if !hold && self.started {
            let (ops, quiet) = (&self.ops, &self.quiet);
            let games = self.games.next_to_hash(|g| ops.of_game(g).is_some() || quiet.is_held(g));
            if !games.is_empty() {
                fx.push(Effect::Hash(games));
            }
        }
    }
}

fn push_scans(starts: impl IntoIterator<Item = StartScan>, fx: &mut Vec<Effect>) {
    fx.extend(starts.into_iter().map(|start| match start {
        StartScan::Full => Effect::Scan(None),
        StartScan::Game(game) => Effect::Scan(Some(game)),
    }));
}
