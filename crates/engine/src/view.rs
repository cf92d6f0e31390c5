//! The engine's state as others see it: the snapshot of front ends, and what may be served.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_proto::{GameId, PeerId};

use crate::engine::Engine;
use crate::games::Standing;
use crate::input::ConnId;
use crate::serving::{Servable, Serving, ServingView};
use crate::snapshot::{GameView, NodeView, OperationKind, PeerView, Snapshot};
use crate::time::Instant;

/// The games as they were last shown: one view a game, made anew only when the game is touched, so that a change costs
/// what changed and not the whole library.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    games: BTreeMap<GameId, Arc<GameView>>,
    stale: BTreeSet<GameId>,
    unserved: BTreeSet<GameId>,
    /// What was under way when the views were last made, and what lay there unfinished: that decides what is listed, can
    /// be had and is served.
    active: BTreeMap<GameId, (Option<OperationKind>, Option<String>)>,
}

impl Shown {
    fn list(&self, fresh: impl FnOnce() -> Vec<GameView>) -> Vec<Arc<GameView>> {
        debug_assert!(fresh().iter().eq(self.games.values().map(|g| &**g)), "BUG: a game changed and was not touched");
        self.games.values().cloned().collect()
    }
}

impl Engine {
    /// Everything that a front end can show, but for progress and round-trip times, which the shell knows.
    #[must_use]
    pub fn snapshot(&self, now: Instant, seq: u64, me: NodeView) -> Snapshot {
        Snapshot {
            seq,
            me,
            games: self.shown.list(|| self.listed().iter().map(|id| self.game_view(id)).collect()),
            peers: self.peers.iter().map(|(id, p)| peer_view(now, *id, p)).collect(),
            operations: self.ops.views(),
            problems: self.problems.values().cloned().collect(),
            players: self.player_views(),
        }
    }

    /// What may be served at present.
    #[must_use]
    pub fn serving_view(&self) -> ServingView {
        let games = self.games.present().filter_map(|(id, _)| Some((id.clone(), self.serving(id)?))).collect();
        ServingView { games }
    }

    /// What may be served otherwise than when this was last asked; `None` for a game that is there no more.
    pub fn take_serving_changes(&mut self) -> BTreeMap<GameId, Option<Serving>> {
        std::mem::take(&mut self.shown.unserved)
            .into_iter()
            .map(|id| {
                let serving = self.serving(&id);
                (id, serving)
            })
            .collect()
    }

    fn serving(&self, id: &GameId) -> Option<Serving> {
        let facts = self.games.facts(id)?;
        Some(if !self.games.in_catalog(id) {
            Serving::Hidden
        } else if self.standing(id) != Standing::Free {
            Serving::Busy
        } else if !facts.downloaded {
            Serving::NotDownloaded
        } else {
            Serving::Open(Servable {
                manifest_hash: facts.manifest_hash,
                content_hash: facts.content_hash,
                version: facts.version.clone(),
            })
        })
    }

    /// Notes games that are to be shown and served anew, once the input under way is worked off.
    pub(crate) fn touched<'a>(&mut self, games: impl IntoIterator<Item = &'a GameId>) {
        self.shown.stale.extend(games.into_iter().cloned());
    }

    /// Makes the views of the games that were touched.
    pub(crate) fn show(&mut self) {
        let unfinished = self.ops.resumables().into_iter().map(|(game, r)| (game, (None, Some(r.target.version))));
        let mut active: BTreeMap<_, _> = unfinished.collect();
        for (_, op) in self.ops.iter() {
            active.entry(op.game.clone()).or_insert((None, None)).0 = Some(op.kind);
        }
        if active != self.shown.active {
            let before = std::mem::replace(&mut self.shown.active, active);
            let now = &self.shown.active;
            let differs = before.keys().chain(now.keys()).filter(|g| before.get(*g) != now.get(*g));
            self.shown.stale.extend(differs.cloned().collect::<Vec<_>>());
        }
        for id in std::mem::take(&mut self.shown.stale) {
            if self.games.facts(&id).is_some() || self.games.in_catalog(&id) || self.ops.resumable(&id).is_some() {
                self.shown.games.insert(id.clone(), Arc::new(self.game_view(&id)));
            } else {
                self.shown.games.remove(&id);
            }
            self.shown.unserved.insert(id);
        }
    }

    /// The connection to a peer.
    #[must_use]
    pub fn link_of(&self, peer: &PeerId) -> Option<ConnId> {
        self.peers.get(peer)?.link.map(|l| l.conn)
    }

    /// Every game of which there is something to show.
    fn listed(&self) -> BTreeSet<GameId> {
        let mut ids = self.games.ids();
        ids.extend(self.ops.resumables().into_iter().map(|(game, _)| game));
        ids
    }

    fn game_view(&self, id: &GameId) -> GameView {
        let facts = self.games.facts(id);
        GameView {
            id: id.clone(),
            name: self.games.name(id),
            version: facts.map(|f| f.version.clone()).unwrap_or_default(),
            size: facts.map_or(0, |f| f.size),
            files: facts.map_or(0, |f| f.files),
            downloaded: facts.is_some_and(|f| f.downloaded),
            installed: facts.is_some_and(|f| f.installed),
            installed_version: facts.and_then(|f| f.installed_version.clone()),
            in_catalog: self.games.in_catalog(id),
            saves: self.games.catalog.entries().get(id).map(|e| e.saves.clone()).unwrap_or_default(),
            start: self.games.catalog.entries().get(id).map(|e| e.start.clone()).unwrap_or_default(),
            availability: self.availability(id),
            manifest_hash: facts.map(|f| f.manifest_hash),
            content_hash: facts.and_then(|f| f.content_hash),
            problems: facts.map(|f| f.problems.clone()).unwrap_or_default(),
            unfinished: match self.ops.of_game(id) {
                Some(_) => None,
                None => self.ops.resumable(id).map(|r| r.target.version.clone()),
            },
        }
    }
}

fn peer_view(now: Instant, id: PeerId, p: &crate::peers::Peer) -> PeerView {
    PeerView {
        peer: id,
        name: p.name.clone(),
        addr: p.addr.map(|a| a.to_string()).unwrap_or_default(),
        connected: p.link.is_some(),
        found_by: p.found_by.to_owned(),
        idle_ms: u64::try_from(now.since(p.last_seen).as_millis()).unwrap_or(u64::MAX),
        rtt_us: 0,
        library_rev: p.library.rev(),
        games: p.library.views().cloned().collect(),
    }
}
