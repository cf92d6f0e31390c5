//! The engine's state as others see it: the snapshot of front ends, and what may be served.

use bonfire_proto::PeerId;

use crate::engine::Engine;
use crate::input::ConnId;
use crate::serving::{Servable, Serving, ServingView};
use crate::snapshot::{GameView, NodeView, PeerView, RemoteGameView, Snapshot};
use crate::time::Instant;

impl Engine {
    /// Everything that a front end can show, but for progress and round-trip times, which the shell knows.
    #[must_use]
    pub fn snapshot(&self, now: Instant, seq: u64, me: NodeView) -> Snapshot {
        Snapshot {
            seq,
            me,
            games: self.games.ids().iter().map(|id| self.game_view(id)).collect(),
            peers: self.peers.iter().map(|(id, p)| peer_view(now, *id, p)).collect(),
            operations: self.ops.views(),
            problems: self.problems.values().cloned().collect(),
        }
    }

    /// What may be served at present.
    #[must_use]
    pub fn serving_view(&self) -> ServingView {
        let games = self
            .games
            .present()
            .map(|(id, facts)| {
                let serving = if !self.games.in_catalog(id) {
                    Serving::Hidden
                } else if self.ops.of_game(id).is_some() {
                    Serving::Busy
                } else if !facts.downloaded {
                    Serving::NotDownloaded
                } else {
                    Serving::Open(Servable {
                        manifest_hash: facts.manifest_hash,
                        content_hash: facts.content_hash,
                        version: facts.version.clone(),
                    })
                };
                (id.clone(), serving)
            })
            .collect();
        ServingView { games }
    }

    /// The connection to a peer.
    #[must_use]
    pub fn link_of(&self, peer: &PeerId) -> Option<ConnId> {
        self.peers.get(peer)?.link.map(|l| l.conn)
    }

    fn game_view(&self, id: &bonfire_proto::GameId) -> GameView {
        let facts = self.games.facts(id);
        GameView {
            id: id.clone(),
            name: self.games.name(id),
            version: facts.map(|f| f.version.clone()).unwrap_or_default(),
            size: facts.map_or(0, |f| f.size),
            files: facts.map_or(0, |f| f.files),
            downloaded: facts.is_some_and(|f| f.downloaded),
            installed: facts.is_some_and(|f| f.installed),
            in_catalog: self.games.in_catalog(id),
            availability: self.availability(id),
            manifest_hash: facts.map(|f| f.manifest_hash),
            content_hash: facts.and_then(|f| f.content_hash),
            problems: facts.map(|f| f.problems.clone()).unwrap_or_default(),
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
        games: p
            .library
            .games()
            .map(|g| RemoteGameView {
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
            .collect(),
    }
}
