//! Who is in the room: addresses, connections, signs of life, and what each peer's library looks like from here.
//!
//! Owns the table of peers and addresses, and what discovery adds to it. Connections that come and go are `links`',
//! what peers say is `libraries`', what time brings is `due`'s. Does not know what a download is.

mod due;
mod libraries;
mod links;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bonfire_proto::limits::PROTO_VERSION;
use bonfire_proto::message::{Control, Hello, Request, Response};
use bonfire_proto::{Digest, PeerId};

use crate::input::{ConnId, ConnInput, DialId, Discovered, Effect};
use crate::remote::RemoteLibrary;
use crate::report::{ErrorClass, Report};
use crate::time::Instant;

/// Quiet time after which the smaller peer id asks for a sign of life. Rare enough to be silence, often enough that a
/// vanished peer is noticed within two of them.
pub const PING_AFTER: Duration = Duration::from_secs(30);
/// Quiet time after which a peer is gone: two unanswered pings and some slack for a machine that stalls.
pub const STALE_AFTER: Duration = Duration::from_secs(75);
/// The larger peer id lets the smaller one dial first, so that a room does not start with doubled connections.
const LARGER_ID_WAITS: Duration = Duration::from_millis(1_500);
/// Wait for another attempt at the same address: two connections dialled by one side at a time would each be closed by
/// the side that takes it for the older one.
const SAME_ADDRESS_WAITS: Duration = Duration::from_millis(500);
/// First and longest wait between attempts.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Time that a peer that said goodbye is given to go, or to come back by itself.
const BACK_AFTER_GOODBYE: Duration = Duration::from_secs(3);
/// How far apart two connections can come about although both sides dialled before they knew of the other's dial: one
/// handshake and one hello, each at its time limit. Whoever dials later than that has lost the older connection.
const SIMULTANEOUS_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may be silent after a ping that a doubt sent, on a network that is slow but alive.
const DOUBTED_FOR: Duration = Duration::from_secs(3);
/// First and longest wait before a library is asked for again that a peer could not give.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(15);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(300);
/// Questions about its library that a peer may cause at once, and how often after that: each may bring twenty thousand
/// games. Changes are pushed, so that a peer at work causes a few in an hour.
const ASK_BURST: u32 = 10;
const ASK_EVERY: Duration = Duration::from_secs(2);
/// How long a lost peer stays in view, so that people see who was there.
const FORGET_AFTER: Duration = Duration::from_secs(600);
/// Most peers kept; beyond it newcomers are turned away. A large LAN party has a few hundred seats.
const PEERS_MAX: usize = 1_024;
/// Most games kept of all other peers together: some hundred megabytes. A room of a hundred seats with two thousand games
/// each is within it.
const ROOM_GAMES_MAX: usize = 250_000;
/// Most static addresses.
const STATIC_MAX: usize = 256;

/// What a change here means for the rest of the engine.
#[derive(Debug, PartialEq, Eq)]
pub enum PeersChange {
    /// Connected, after hellos.
    Appeared(PeerId),
    /// Reached elsewhere than before.
    Moved(PeerId),
    /// Gone.
    Lost(PeerId, String),
    /// Could not be reached, or was turned away.
    Refused(String, Report),
    /// Its library differs from what was known.
    Library {
        /// Whose.
        peer: PeerId,
        /// `delta` or `snapshot`.
        by: &'static str,
        /// New or different games.
        changed: Vec<bonfire_proto::GameId>,
        /// Games gone.
        removed: Vec<bonfire_proto::GameId>,
    },
    /// The connection to a peer is another one.
    Rewired(PeerId),
    /// It speaks of a player's things.
    Said(PeerId, Box<Control>),
    /// It answered a question about them, or did not.
    Answered(PeerId, Box<Request>, Result<Box<Response>, Report>),
}

/// A connection that passed hello.
#[derive(Debug, Clone, Copy)]
pub struct Link {
    /// The connection.
    pub conn: ConnId,
    /// The whole hash of the key that it proves.
    pub key_hash: Digest,
    /// Whether we dialled it.
    pub we_dialed: bool,
    /// When the last message came.
    pub last_seen: Instant,
    /// When it came about.
    since: Instant,
    /// When the last ping went out, while it is unanswered.
    pinged: Option<Instant>,
}

/// Another peer.
#[derive(Debug)]
pub struct Peer {
    /// Name for people, cleaned.
    pub name: String,
    /// Its listener as last proven by a hello.
    pub addr: Option<SocketAddr>,
    /// How it was found first.
    pub found_by: &'static str,
    /// The connection, while there is one.
    pub link: Option<Link>,
    /// Its library as known here.
    pub library: RemoteLibrary,
    /// Revision of our library that it was last told.
    pub told_rev: u64,
    /// When it was last heard of.
    pub last_seen: Instant,
    announced: Vec<SocketAddr>,
    /// Since when its connection has to prove that it is alive: it announced one more address then, or stalled as a source.
    doubted: Option<Instant>,
    dialing: Option<DialId>,
    next_dial: Option<Instant>,
    backoff: Duration,
    fetching: bool,
    /// When to ask for its library again, after an answer that failed.
    ask_again: Option<Instant>,
    ask_wait: Duration,
    /// What is asked then is the whole library.
    wants_snapshot: bool,
    /// Rises by `ASK_EVERY` with each question: how far it is ahead of now says how many were asked of late.
    asked_until: Instant,
}

#[derive(Debug)]
struct StaticPeer {
    peer: Option<PeerId>,
    dialing: Option<DialId>,
    next_dial: Option<Instant>,
    backoff: Duration,
    told: bool,
}

/// Everyone known.
#[derive(Debug)]
pub struct Peers {
    me: PeerId,
    all: BTreeMap<PeerId, Peer>,
    statics: BTreeMap<SocketAddr, StaticPeer>,
    conns: BTreeMap<ConnId, PeerId>,
    next_dial: u64,
}

impl Peers {
    /// Nobody yet.
    #[must_use]
    pub fn new(me: PeerId) -> Self {
        Self { me, all: BTreeMap::new(), statics: BTreeMap::new(), conns: BTreeMap::new(), next_dial: 1 }
    }

    /// Everyone, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&PeerId, &Peer)> {
        self.all.iter()
    }

    /// One peer.
    #[must_use]
    pub fn get(&self, peer: &PeerId) -> Option<&Peer> {
        self.all.get(peer)
    }

    /// Peers with a connection.
    pub fn connected(&self) -> impl Iterator<Item = (PeerId, ConnId)> + '_ {
        self.all.iter().filter_map(|(id, p)| p.link.map(|l| (*id, l.conn)))
    }

    /// Records what a peer was told of our library.
    pub fn told(&mut self, peer: &PeerId, rev: u64) {
        if let Some(p) = self.all.get_mut(peer) {
            p.told_rev = rev;
        }
    }

    /// Keeps trying to reach an address.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add_static(&mut self, now: Instant, addr: SocketAddr) -> Result<(), Report> {
        if self.statics.len() >= STATIC_MAX && !self.statics.contains_key(&addr) {
            return Err(Report::new(
                ErrorClass::Refused,
                "too_many_peers",
                format!("over {STATIC_MAX} addresses are kept already; {addr} was not added"),
            ));
        }
        self.statics.entry(addr).or_insert(StaticPeer {
            peer: None,
            dialing: None,
            next_dial: Some(now),
            backoff: BACKOFF_MIN,
            told: false,
        });
        Ok(())
    }

    /// Takes in what discovery saw.
    pub fn discovered(&mut self, now: Instant, seen: Discovered) -> Option<Report> {
        match seen {
            Discovered::Found { peer, addrs, proto_ver, library: (epoch, rev) } => {
                if peer == self.me || proto_ver != PROTO_VERSION {
                    return None;
                }
                if !self.all.contains_key(&peer) && self.all.len() >= PEERS_MAX {
                    self.forget_the_longest_gone();
                    if self.all.len() >= PEERS_MAX {
                        return None;
                    }
                }
                let larger = self.me > peer;
                let p = self.all.entry(peer).or_insert_with(|| Peer::new(now, "mdns"));
                let news = p.announced != addrs;
                let gained =
                    !p.announced.is_empty() && addrs.iter().any(|a| !p.announced.contains(a) && Some(*a) != p.addr);
                p.announced = addrs;
                if p.link.is_some() && gained && !p.moved_away() {
                    // The old address is told beside the new one until its record expires, so this may be a move.
                    p.doubted = Some(now);
                }
                if let Some(link) = p.link.filter(|_| news && p.moved_away()) {
                    // Not before two dials can no longer be taken for simultaneous, or the old connection might stay.
                    p.next_dial = Some(now.max(link.since + SIMULTANEOUS_WITHIN));
                } else if p.link.is_none() && p.dialing.is_none() && (news || p.next_dial.is_none()) {
                    p.backoff = BACKOFF_MIN;
                    p.next_dial = Some(if larger { now + LARGER_ID_WAITS } else { now });
                }
                if p.link.is_some() && p.library.hint(epoch, rev) {
                    // What is pushed comes by itself, and a hint proves nothing: only what does not come is asked for.
                    p.ask_again.get_or_insert(now + ASK_AGAIN_MIN);
                }
                None
            }
            Discovered::Lost { peer } => {
                // A hint: the connection and the stale time decide. Without one there is nothing left to dial.
                if let Some(p) = self.all.get_mut(&peer) {
                    p.announced.clear();
                    if p.link.is_none() {
                        p.next_dial = None;
                    }
                }
                None
            }
            Discovered::Failed(report) => Some(report),
            Discovered::Works => None,
        }
    }

    /// Has the connection of a peer answer a ping soon, or dials that peer anew.
    pub fn doubt(&mut self, now: Instant, peer: PeerId) {
        if let Some(p) = self.all.get_mut(&peer).filter(|p| p.link.is_some()) {
            p.doubted = Some(now);
        }
    }

    /// Takes in something about a connection. `mine` is what we say of ourselves.
    pub fn conn(&mut self, now: Instant, input: ConnInput, mine: &Hello, fx: &mut Vec<Effect>) -> Vec<PeersChange> {
        match input {
            ConnInput::Arrived { conn, proven, key_hash, dial, hello, remote } => {
                self.arrived(now, conn, proven, key_hash, dial, &hello, remote, mine, fx)
            }
            ConnInput::Message(conn, message) => self.message(now, conn, message, fx),
            ConnInput::Active(conn) => {
                self.seen(now, conn);
                Vec::new()
            }
            ConnInput::Library(conn, answer) => self.library(now, conn, answer, fx),
            ConnInput::Answered(conn, request, answer) => match self.seen(now, conn) {
                Some(peer) => vec![PeersChange::Answered(peer, request, answer)],
                None => Vec::new(),
            },
            ConnInput::Closed(conn, why) => self.closed(now, conn, &why),
            ConnInput::DialFailed(dial, error) => self.dial_failed(now, dial, error),
        }
    }

    fn seen(&mut self, now: Instant, conn: ConnId) -> Option<PeerId> {
        let peer = *self.conns.get(&conn)?;
        let p = self.all.get_mut(&peer)?;
        p.last_seen = now;
        if let Some(link) = p.link.as_mut().filter(|l| l.conn == conn) {
            link.last_seen = now;
            link.pinged = None;
        }
        Some(peer)
    }
}

impl Link {
    /// When a connection that answers nothing after a doubt is given up: not before two dials can no longer be taken for
    /// simultaneous, or the old one might stay.
    fn doubt_ends(&self, at: Instant) -> Instant {
        (at + DOUBTED_FOR).max(self.since + SIMULTANEOUS_WITHIN)
    }
}

impl Peer {
    fn new(now: Instant, found_by: &'static str) -> Self {
        Self {
            name: String::new(),
            addr: None,
            found_by,
            link: None,
            library: RemoteLibrary::unknown(),
            told_rev: 0,
            last_seen: now,
            announced: Vec::new(),
            doubted: None,
            dialing: None,
            next_dial: None,
            backoff: BACKOFF_MIN,
            fetching: false,
            ask_again: None,
            ask_wait: ASK_AGAIN_MIN,
            wants_snapshot: false,
            asked_until: now,
        }
    }

    /// Whether its connection was silent for so long after a doubt that it is to be dialled again.
    fn is_lost(&self, now: Instant) -> bool {
        match (self.doubted, &self.link) {
            (Some(at), Some(link)) => link.last_seen <= at && now >= link.doubt_ends(at),
            _ => false,
        }
    }

    /// Where it is dialled: where it announces itself, or else where it was.
    fn addrs(&self) -> Vec<SocketAddr> {
        if self.announced.is_empty() { self.addr.into_iter().collect() } else { self.announced.clone() }
    }

    /// Whether it announces addresses, and the one that it was reached at is none of them any more.
    fn moved_away(&self) -> bool {
        let is = |old: SocketAddr| self.announced.iter().any(|a| a.ip() == old.ip() && a.port() == old.port());
        self.link.is_some() && !self.announced.is_empty() && self.addr.is_some_and(|old| !is(old))
    }
}
