//! Connections: which of two stays, whom to turn away, and what is known once a hello has come or a connection has gone.

use std::net::{IpAddr, SocketAddr};

use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::Hello;
use bonfire_proto::{CloseCode, Digest, PeerId, text};

use super::{
    ASK_AGAIN_MIN, BACKOFF_MAX, BACKOFF_MIN, LARGER_ID_WAITS, Link, PEERS_MAX, Peer, Peers, PeersChange,
    SIMULTANEOUS_WITHIN,
};
use crate::input::{ConnId, DialId, Effect};
use crate::report::{ErrorClass, Report};
use crate::time::Instant;

impl Peers {
    #[expect(clippy::too_many_arguments, reason = "the fields of one input, taken apart once")]
    pub(super) fn arrived(
        &mut self,
        now: Instant,
        conn: ConnId,
        proven: PeerId,
        key_hash: Digest,
        dial: Option<DialId>,
        hello: &Hello,
        remote: SocketAddr,
        mine: &Hello,
        fx: &mut Vec<Effect>,
    ) -> Vec<PeersChange> {
        let static_addr = self.end_dial(dial);
        if !self.all.contains_key(&proven) && self.all.len() >= PEERS_MAX {
            self.forget_the_longest_gone();
        }
        let mut turned_away = |code: CloseCode, fx: &mut Vec<Effect>| {
            fx.push(Effect::Close(conn, code));
            if let Some(s) = static_addr.and_then(|a| self.statics.get_mut(&a)) {
                s.next_dial = Some(now + BACKOFF_MAX);
                // Said once for each time the address was good, as for one that does not answer.
                if std::mem::replace(&mut s.told, true) {
                    return Vec::new();
                }
            }
            vec![PeersChange::Refused(
                remote.to_string(),
                Report::new(ErrorClass::Remote, "turned_away", format!("{remote}: {}", code.text())),
            )]
        };
        if proven == self.me {
            if let Some(addr) = static_addr {
                self.statics.remove(&addr);
            }
            fx.push(Effect::Close(conn, CloseCode::Oneself));
            return Vec::new();
        }
        if hello.peer_id != proven {
            return turned_away(CloseCode::WrongIdentity, fx);
        }
        if hello.proto_ver != PROTO_VERSION {
            return turned_away(CloseCode::Version, fx);
        }
        if !self.all.contains_key(&proven) && self.all.len() >= PEERS_MAX {
            return turned_away(CloseCode::Overloaded, fx);
        }
        let we_dialed = dial.is_some();
        let me = self.me;
        let found_by = if static_addr.is_some() {
            "static"
        } else if we_dialed {
            "mdns"
        } else {
            "incoming"
        };
        let p = self.all.entry(proven).or_insert_with(|| Peer::new(now, found_by));
        if let Some(old) = p.link {
            // Both sides dialled: the connection dialled by the smaller id stays, on both sides by the same rule. The
            // same side dialled twice, or long after: the newer connection stays, since whoever dialled it has lost the
            // older one. (A peer that was killed and is back would else be kept out until its old one is stale.)
            let at_once = now.since(old.since) < SIMULTANEOUS_WITHIN;
            let keep_old = at_once && old.we_dialed != we_dialed && old.we_dialed == (me < proven);
            if keep_old {
                fx.push(Effect::Close(conn, CloseCode::Duplicate));
                self.bind_static(static_addr, proven);
                return Vec::new();
            }
            fx.push(Effect::Close(old.conn, CloseCode::Duplicate));
            self.conns.remove(&old.conn);
        }
        let was = p.link.is_some();
        p.link = Some(Link { conn, key_hash, we_dialed, last_seen: now, since: now, pinged: None });
        p.last_seen = now;
        p.next_dial = None;
        p.backoff = BACKOFF_MIN;
        p.fetching = false;
        p.ask_again = None;
        p.wants_snapshot = false;
        p.ask_wait = ASK_AGAIN_MIN;
        p.name = text::clean(&hello.name);
        let listener = listener_of(&hello.listen_addr, remote);
        let moved = was && p.addr != listener;
        p.addr = listener;
        p.told_rev = mine.library_rev;
        self.conns.insert(conn, proven);
        self.bind_static(static_addr, proven);
        // Peers dial from the socket that they listen on, so whoever came from a static address need not be dialled
        // there. Where it was seen counts, not what it says: else one peer could keep us from dialling another.
        self.bind_static(Some(remote), proven);
        if !we_dialed {
            fx.push(Effect::Accept(conn, mine.clone()));
        }
        self.sync(now, proven, hello.library_epoch, hello.library_rev, Some(hello.library_digest), fx);
        let mut out = vec![if was { PeersChange::Rewired(proven) } else { PeersChange::Appeared(proven) }];
        if moved {
            out.push(PeersChange::Moved(proven));
        }
        out
    }

    pub(super) fn closed(&mut self, now: Instant, conn: ConnId, why: &str) -> Vec<PeersChange> {
        let Some(peer) = self.conns.remove(&conn) else { return Vec::new() };
        let Some(p) = self.all.get_mut(&peer) else { return Vec::new() };
        if p.link.is_none_or(|l| l.conn != conn) {
            return Vec::new();
        }
        p.link = None;
        p.fetching = false;
        p.ask_again = None;
        if !p.announced.is_empty() {
            p.next_dial = Some(now + if self.me > peer { LARGER_ID_WAITS } else { BACKOFF_MIN });
        }
        for s in self.statics.values_mut().filter(|s| s.peer == Some(peer)) {
            s.next_dial = Some(now + BACKOFF_MIN);
            s.backoff = BACKOFF_MIN;
            s.told = false;
        }
        vec![PeersChange::Lost(peer, why.to_owned())]
    }

    pub(super) fn end_dial(&mut self, dial: Option<DialId>) -> Option<SocketAddr> {
        let dial = dial?;
        if let Some(p) = self.all.values_mut().find(|p| p.dialing == Some(dial)) {
            p.dialing = None;
        }
        let (addr, s) = self.statics.iter_mut().find(|(_, s)| s.dialing == Some(dial))?;
        s.dialing = None;
        // Asked again only when the peer behind it is lost, or never came about.
        s.next_dial = None;
        Some(*addr)
    }

    pub(super) fn bind_static(&mut self, addr: Option<SocketAddr>, peer: PeerId) {
        if let Some(s) = addr.and_then(|a| self.statics.get_mut(&a)) {
            s.peer = Some(peer);
            s.backoff = BACKOFF_MIN;
            s.told = false;
        }
    }
}

/// The listener that a hello names: its own IP, or the one we see when it names none. Never the source port.
pub(super) fn listener_of(listen_addr: &str, remote: SocketAddr) -> Option<SocketAddr> {
    let told: SocketAddr = listen_addr.parse().ok()?;
    let ip = if told.ip().is_unspecified() { remote.ip() } else { told.ip() };
    let ip = match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        IpAddr::V4(_) => ip,
    };
    // A link-local address needs the scope of the interface that it was seen on.
    match (ip, remote) {
        (IpAddr::V6(v6), SocketAddr::V6(seen)) if seen.ip() == &v6 => {
            Some(SocketAddr::V6(std::net::SocketAddrV6::new(v6, told.port(), 0, seen.scope_id())))
        }
        _ => Some(SocketAddr::new(ip, told.port())),
    }
}
