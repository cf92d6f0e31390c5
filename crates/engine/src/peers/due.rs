//! What time brings: dials and their backoff, pings, giving up on the silent, forgetting the long gone.

use std::time::Duration;

use bonfire_proto::message::{Control, Hello, Ping};
use bonfire_proto::{CloseCode, PeerId};

use super::{
    BACKOFF_MAX, BACKOFF_MIN, FORGET_AFTER, PING_AFTER, Peers, PeersChange, ROOM_GAMES_MAX, SAME_ADDRESS_WAITS,
    STALE_AFTER, StaticPeer,
};
use crate::input::{DialId, Effect};
use crate::remote::{RemoteLibrary, SyncNeed};
use crate::report::Report;
use crate::time::Instant;

impl Peers {
    pub(super) fn dial_failed(&mut self, now: Instant, dial: DialId, error: Report) -> Vec<PeersChange> {
        if let Some((addr, s)) = self.statics.iter_mut().find(|(_, s)| s.dialing == Some(dial)) {
            s.dialing = None;
            s.next_dial = Some(now + s.backoff);
            s.backoff = (s.backoff * 2).min(BACKOFF_MAX);
            // Said once for each time the address was good; the backoff goes on in silence.
            if !s.told {
                s.told = true;
                return vec![PeersChange::Refused(addr.to_string(), error)];
            }
            return Vec::new();
        }
        if let Some((_, p)) = self.all.iter_mut().find(|(_, p)| p.dialing == Some(dial)) {
            p.dialing = None;
            if p.link.is_none() && !p.announced.is_empty() {
                p.next_dial = Some(now + p.backoff);
                let first = p.backoff == BACKOFF_MIN;
                p.backoff = (p.backoff * 2).min(BACKOFF_MAX);
                if first {
                    let addr = p.announced.first().map(ToString::to_string).unwrap_or_default();
                    return vec![PeersChange::Refused(addr, error)];
                }
            }
        }
        Vec::new()
    }

    /// Does what is due: dials, pings, gives up on the silent, forgets the long gone.
    pub fn due(&mut self, now: Instant, mine: &Hello, fx: &mut Vec<Effect>) -> Vec<PeersChange> {
        let mut out = Vec::new();
        let mut dials = Vec::new();
        let mut stale = Vec::new();
        let mut ask_again = Vec::new();
        for (id, p) in &mut self.all {
            let is_due = p.next_dial.is_some_and(|at| at <= now) && p.moved_away();
            let is_lost = p.is_lost(now);
            if is_lost {
                p.doubted = None;
            }
            if p.dialing.is_none() && !p.addrs().is_empty() && (is_due || is_lost) {
                // The old connection stands until the new one is proven, so a false announcement costs nothing.
                let dial = DialId(self.next_dial);
                self.next_dial += 1;
                p.dialing = Some(dial);
                p.next_dial = None;
                dials.push((dial, p.addrs(), Some(*id)));
            }
            if let Some(link) = &mut p.link {
                // Whoever is where it announces itself, after all, needs no dial.
                p.next_dial = p.next_dial.filter(|at| *at > now);
                if p.ask_again.is_some_and(|at| at <= now) {
                    p.ask_again = None;
                    ask_again.push(*id);
                }
                p.doubted = p.doubted.filter(|at| link.last_seen <= *at);
                if p.doubted.is_some_and(|at| link.pinged.is_none_or(|pinged| pinged < at)) {
                    link.pinged = Some(now);
                    fx.push(Effect::Send(link.conn, Control::Ping(Ping {})));
                }
                let quiet = now.since(link.last_seen);
                if quiet >= STALE_AFTER {
                    stale.push(link.conn);
                } else if quiet >= ping_after(self.me, *id) && link.pinged.is_none_or(|at| now.since(at) >= PING_AFTER)
                {
                    link.pinged = Some(now);
                    fx.push(Effect::Send(link.conn, Control::Ping(Ping {})));
                }
            } else if p.dialing.is_none() && p.next_dial.is_some_and(|at| at <= now) && !p.announced.is_empty() {
                if p.announced.iter().any(|a| self.statics.get(a).is_some_and(|s| s.dialing.is_some())) {
                    p.next_dial = Some(now + SAME_ADDRESS_WAITS);
                    continue;
                }
                let dial = DialId(self.next_dial);
                self.next_dial += 1;
                p.dialing = Some(dial);
                p.next_dial = None;
                dials.push((dial, p.announced.clone(), Some(*id)));
            }
        }
        for (addr, s) in &mut self.statics {
            let up = s.peer.is_some_and(|id| self.all.get(&id).is_some_and(|p| p.link.is_some()));
            if !up && s.dialing.is_none() && s.next_dial.is_some_and(|at| at <= now) {
                if self.all.values().any(|p| p.dialing.is_some() && p.announced.contains(addr)) {
                    s.next_dial = Some(now + SAME_ADDRESS_WAITS);
                    continue;
                }
                let dial = DialId(self.next_dial);
                self.next_dial += 1;
                s.dialing = Some(dial);
                s.next_dial = None;
                dials.push((dial, vec![*addr], None));
            }
        }
        for (dial, addrs, expect) in dials {
            fx.push(Effect::Dial { dial, addrs, expect, hello: mine.clone() });
        }
        for peer in ask_again {
            let Some(p) = self.all.get(&peer) else { continue };
            let need = if p.wants_snapshot { SyncNeed::Snapshot } else { p.library.need() };
            self.ask_for(now, peer, need, fx);
        }
        for conn in stale {
            fx.push(Effect::Close(conn, CloseCode::Stale));
            out.extend(self.closed(now, conn, CloseCode::Stale.text()));
        }
        self.all.retain(|_, p| {
            p.link.is_some() || !p.announced.is_empty() || p.dialing.is_some() || now.since(p.last_seen) < FORGET_AFTER
        });
        out
    }

    /// When something is due next, and what.
    #[must_use]
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let peers = self.all.iter().filter_map(|(id, p)| match &p.link {
            Some(l) => {
                let ping = l.last_seen + ping_after(self.me, *id);
                let ping = l.pinged.map_or(ping, |at| (at + PING_AFTER).max(ping));
                let ping = (ping.min(l.last_seen + STALE_AFTER), "ping");
                let doubt = p.doubted.filter(|at| l.last_seen <= *at);
                let ping = doubt.map_or(ping, |at| match l.pinged {
                    Some(pinged) if pinged >= at => ping.min((l.doubt_ends(at), "dial")),
                    _ => ping.min((at, "ping")),
                });
                let ping = p.ask_again.map_or(ping, |at| ping.min((at, "ask for a library again")));
                Some(p.next_dial.map_or(ping, |at| ping.min((at, "dial"))))
            }
            // What a dial brings decides what is next.
            None if p.dialing.is_some() => None,
            None if !p.announced.is_empty() => p.next_dial.map(|at| (at, "dial")),
            None => Some((p.last_seen + FORGET_AFTER, "forget")),
        });
        let idle = |s: &&StaticPeer| s.dialing.is_none() && !self.is_up(s);
        let statics = self.statics.values().filter(idle).filter_map(|s| s.next_dial.map(|at| (at, "dial")));
        peers.chain(statics).min()
    }

    pub(super) fn is_up(&self, s: &StaticPeer) -> bool {
        s.peer.and_then(|id| self.all.get(&id)).is_some_and(|p| p.link.is_some())
    }

    /// Makes place for a newcomer, so that strangers who come and go do not keep the room closed.
    pub(super) fn forget_the_longest_gone(&mut self) {
        let gone = self.all.iter().filter(|(_, p)| p.link.is_none() && p.dialing.is_none() && p.announced.is_empty());
        if let Some(id) = gone.min_by_key(|(_, p)| p.last_seen).map(|(id, _)| *id) {
            self.all.remove(&id);
        }
    }

    /// Keeps what is known of libraries within bounds: first those go that nobody can be asked for, longest gone first.
    /// When all that is left is of peers that are here, the newest goes: it is as if it shared nothing.
    pub(super) fn forget_games_of_the_gone(&mut self, newest: PeerId) {
        let mut kept: usize = self.all.values().map(|p| p.library.len()).sum();
        while kept > ROOM_GAMES_MAX {
            let gone = self.all.iter().filter(|(_, p)| p.link.is_none() && !p.library.is_empty());
            let victim = gone.min_by_key(|(_, p)| p.last_seen).map_or(newest, |(id, _)| *id);
            let Some(p) = self.all.get_mut(&victim) else { return };
            if p.library.is_empty() {
                return;
            }
            kept -= p.library.len();
            p.library = RemoteLibrary::unknown();
        }
    }
}

/// The larger id pings later, so that one side's ping answers for both.
pub(super) fn ping_after(me: PeerId, other: PeerId) -> Duration {
    if me < other { PING_AFTER } else { PING_AFTER + PING_AFTER / 2 }
}
