//! What the task tells: events and snapshots to front ends, the announcement to the LAN.
//!
//! A snapshot holds a whole batch before anyone hears of a part of it.

use std::sync::Arc;

use bonfire_engine::input::ConnId;
use bonfire_engine::{EventRecord, PeerEvent};
use bonfire_net::Announcement;
use bonfire_proto::limits::PROTO_VERSION;

use super::Task;
use crate::library;

impl Task {
    pub(super) fn announce(&self) {
        let Some(discovery) = &self.discovery else { return };
        let summary = self.engine.library().summary();
        let announcement = Announcement {
            peer_id: self.endpoint.peer_id(),
            port: self.about.listen.port(),
            proto_ver: PROTO_VERSION,
            library_rev: summary.library_rev,
            library_epoch: summary.library_epoch,
            // Anyone on the LAN hears this. The name, which may be a person's, is told in hello alone.
            hostname: format!("bonfire-{}", self.endpoint.peer_id().short()),
        };
        if let Err(error) = discovery.announce(&announcement) {
            // Static addresses still work, so this is told and not fatal.
            tracing::warn!("cannot announce this peer: {error}");
        }
    }

    /// Emits an event that comes from no batch, with a snapshot that holds it.
    pub(super) fn tell(&mut self, event: PeerEvent) {
        self.publish_up_to(self.state.seq + 1);
        self.emit(event);
    }

    pub(super) fn emit(&mut self, event: PeerEvent) {
        self.state.seq += 1;
        // No listener is no error: events are for whoever is there.
        if self.told.send(EventRecord { seq: self.state.seq, event }).is_err() {
            tracing::trace!("nobody listens to events");
        }
    }

    pub(super) fn publish(&mut self) {
        self.publish_up_to(self.state.seq);
    }

    pub(super) fn publish_up_to(&mut self, seq: u64) {
        self.state.stale = false;
        let mut snapshot = library::snapshot(&self.engine, &self.about, self.now(), seq);
        self.state.running.show(&mut snapshot.operations);
        for view in &mut snapshot.peers {
            let conn = self.engine.link_of(&view.peer).and_then(|c: ConnId| self.conns.get(c));
            view.rtt_us = conn.map_or(0, |c| u64::try_from(c.rtt().as_micros()).unwrap_or(u64::MAX));
        }
        self.snapshot.send_replace(Arc::new(snapshot));
    }
}
