//! Telling other peers of this library: a summary to a newcomer, changes to everybody, gathered for a moment.

use std::time::Duration;

use bonfire_proto::limits::PAGE_LEN_MAX;
use bonfire_proto::message::{Control, LibraryDeltaMsg, LibrarySummaryMsg};
use bonfire_proto::{GameSummary, PeerId};

use super::Engine;
use crate::event::PeerEvent;
use crate::input::Effect;
use crate::library::LibraryChange;
use crate::time::Instant;

/// How long changes of the library are gathered before they are pushed: a folder copied in touches many games at once.
const PUSH_AFTER: Duration = Duration::from_millis(200);

impl Engine {
    pub(super) fn library_changed(&mut self, now: Instant, change: &LibraryChange, fx: &mut Vec<Effect>) {
        self.library.apply(change);
        let ids = |games: &[GameSummary]| games.iter().map(|g| g.id.clone()).collect();
        fx.push(Effect::Emit(PeerEvent::LocalLibraryChanged {
            library_rev: change.to_rev,
            added: ids(&change.added),
            updated: ids(&change.updated),
            removed: change.removed.clone(),
        }));
        if self.push_at.is_none() {
            self.push_at = Some(now + PUSH_AFTER);
        }
    }

    pub(super) fn push_library(&mut self, fx: &mut Vec<Effect>) {
        let summary = self.library.summary();
        let behind: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(id, p)| {
                p.link.filter(|_| p.told_rev < summary.library_rev).map(|l| (*id, l.conn, p.told_rev))
            })
            .collect();
        for (peer, conn, told) in behind {
            let delta = self.library.delta_since(summary.library_epoch, told).filter(|d| {
                // About 500 bytes a game: beyond a page the other side asks for what it needs in pages.
                (d.added.len() + d.updated.len() + d.removed.len()) * 512 < PAGE_LEN_MAX
            });
            let message = match delta {
                Some(delta) => Control::LibraryDelta(LibraryDeltaMsg { peer_id: self.me, delta }),
                None => Control::LibrarySummary(LibrarySummaryMsg { peer_id: self.me, summary: summary.clone() }),
            };
            fx.push(Effect::Send(conn, message));
            self.peers.told(&peer, summary.library_rev);
        }
    }

    /// A newcomer gets a summary; what it told in its hello it need not be told again.
    pub(super) fn summarise_to(&mut self, peer: &PeerId, fx: &mut Vec<Effect>) {
        if let Some(link) = self.peers.get(peer).and_then(|p| p.link) {
            let summary = self.library.summary();
            self.peers.told(peer, summary.library_rev);
            let message = LibrarySummaryMsg { peer_id: self.me, summary };
            fx.push(Effect::Send(link.conn, Control::LibrarySummary(message)));
        }
    }
}
