//! The connections between simulated devices: in order within one, each message with a delay of its own, cut at any moment
//! with all that is under way. Owns who may hear of a player: nobody who never was a device of that player.

use std::net::SocketAddr;

use bonfire_engine::input::{ConnId, ConnInput, DialId, Input, LibraryAnswer};
use bonfire_engine::remote::Assembly;
use bonfire_engine::trust::Proven;
use bonfire_engine::trust::gate::player_of;
use bonfire_engine::{Engine, ErrorClass, Report};
use bonfire_proto::message::{Control, Hello, LibrarySnapshot, LibrarySnapshotMsg, Request, Response};
use bonfire_proto::{LibraryEpoch, PlayerId};

use super::world::{Event, World};

/// A connection; its ends are `ConnId(2 * wire)` and `ConnId(2 * wire + 1)`, the first of which dialled.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) ends: [usize; 2],
    pub(super) is_dead: bool,
    /// When the last message to each end arrives.
    pub(super) arrives: [u64; 2],
    /// When the hello to each end arrives: nothing is served before.
    pub(super) hello: [u64; 2],
}

/// What travels.
#[derive(Debug)]
pub(super) enum Parcel {
    Hello(Box<Hello>),
    HelloBack(Box<Hello>),
    Control(Box<Control>),
    Question(Box<Request>),
    Answer(Box<Request>, Box<Response>),
    Unanswered(Box<Request>),
}

impl World {
    pub(super) fn connect_soon(&mut self, a: usize, b: usize) {
        if a != b {
            let after = self.takes(50, 2_000);
            let (a, b) = if self.chance.chance(50) { (a, b) } else { (b, a) };
            self.later(after, Event::Connect(a, b));
        }
    }

    pub(super) fn is_parted(&self, a: usize, b: usize) -> bool {
        self.parted.contains(&(a.min(b), a.max(b)))
    }

    fn wire_between(&self, a: usize, b: usize) -> Option<u64> {
        self.wires.iter().find(|(_, w)| !w.is_dead && w.ends.contains(&a) && w.ends.contains(&b)).map(|(id, _)| *id)
    }

    /// The connection of `a` to `b`, while it stands.
    pub(super) fn conn(&self, a: usize, b: usize) -> Option<ConnId> {
        let wire = self.wire_between(a, b)?;
        Some(ConnId(2 * wire + u64::from(self.wires[&wire].ends[1] == a)))
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let is_up = |m: usize| self.machines[m].engine.is_some();
        if !is_up(a) || !is_up(b) || self.is_parted(a, b) || self.wire_between(a, b).is_some() {
            return;
        }
        let wire = self.next_wire;
        self.next_wire += 1;
        self.wires.insert(wire, Wire { ends: [a, b], is_dead: false, arrives: [0, 0], hello: [0, 0] });
        self.fired("connections");
        let Some(hello) = self.machines[a].engine.as_ref().map(Engine::hello) else { return };
        self.post(a, ConnId(2 * wire), Parcel::Hello(Box::new(hello)), true);
    }

    /// Cuts the connection between two devices, with all that is under way on it.
    pub(super) fn cut(&mut self, a: usize, b: usize) {
        let Some(wire) = self.wire_between(a, b) else { return };
        let under_way =
            self.queue.values().filter(|e| matches!(e, Event::Parcel { wire: w, .. } if *w == wire)).count();
        if under_way > 0 {
            self.fired("messages lost with their connection");
        }
        if under_way > 1 {
            self.fired("cut mid-batch");
        }
        self.close(wire, None);
    }

    pub(super) fn close(&mut self, wire: u64, by: Option<usize>) {
        let Some(found) = self.wires.get_mut(&wire).filter(|w| !w.is_dead) else { return };
        found.is_dead = true;
        let ends = found.ends;
        self.note(format_args!("wire {wire} {ends:?} cut"));
        for (end, machine) in ends.into_iter().enumerate() {
            if Some(machine) != by {
                let (boot, conn) = (self.machines[machine].boot, ConnId(2 * wire + end as u64));
                let after = self.takes(0, 3_000);
                self.later(after, Event::Closed { machine, boot, conn });
            }
        }
        self.connect_soon(ends[0], ends[1]);
    }

    pub(super) fn post(&mut self, m: usize, conn: ConnId, parcel: Parcel, is_in_order: bool) {
        let (wire, end) = (conn.0 / 2, usize::from(conn.0.is_multiple_of(2)));
        let delay = self.takes(1, 120);
        let Some(found) = self.wires.get_mut(&wire).filter(|w| !w.is_dead && w.ends[1 - end] == m) else { return };
        let mut at = (self.now + delay).max(found.hello[end]);
        if is_in_order {
            at = at.max(found.arrives[end]);
            found.arrives[end] = at;
        }
        if matches!(parcel, Parcel::Hello(_) | Parcel::HelloBack(_)) {
            found.hello[end] = at;
        }
        self.later(at - self.now, Event::Parcel { wire, end, parcel });
    }

    pub(super) fn send(&mut self, m: usize, conn: ConnId, message: Control) {
        if !matches!(message, Control::Ping(_) | Control::Pong(_) | Control::LibrarySummary(_)) {
            self.acts += 1;
            self.stirred_at = self.now;
        }
        self.check_may_hear(m, conn, player_told(&message), "tells");
        if self.wires.values().filter(|w| !w.is_dead && w.arrives.iter().any(|at| *at > self.now)).count() > 1 {
            self.fired("reordered across connections");
        }
        self.post(m, conn, Parcel::Control(Box::new(message)), true);
    }

    pub(super) fn ask(&mut self, m: usize, conn: ConnId, request: Box<Request>) {
        self.acts += 1;
        self.stirred_at = self.now;
        self.check_may_hear(m, conn, player_of(&request), "asks");
        if self.chance(self.faults.asked_twice) {
            self.fired("request answered twice");
            self.post(m, conn, Parcel::Question(request.clone()), false);
        }
        self.post(m, conn, Parcel::Question(request), false);
    }

    pub(super) fn library(&mut self, m: usize, conn: ConnId) {
        let Some(other) = self.other_end(conn) else { return };
        let peer_id = self.machines[other].id;
        let library_epoch = LibraryEpoch(peer_id.as_uuid().to_owned());
        let snapshot = LibrarySnapshot { library_epoch, library_rev: 0, games: Vec::new() };
        let mut assembly = Assembly::new(peer_id);
        let whole = assembly.page(LibrarySnapshotMsg { peer_id, snapshot, page: 0, pages: 1 });
        if let Ok(Some(whole)) = whole {
            self.give(m, Input::Conn(ConnInput::Library(conn, Ok(LibraryAnswer::Snapshot(whole)))));
        }
    }

    /// Who is at the other end.
    pub(super) fn other_end(&self, conn: ConnId) -> Option<usize> {
        let wire = self.wires.get(&(conn.0 / 2))?;
        Some(wire.ends[usize::from(conn.0.is_multiple_of(2))])
    }

    /// Whether a connection still carries anything.
    pub(super) fn is_live(&self, conn: ConnId) -> bool {
        self.wires.get(&(conn.0 / 2)).is_some_and(|w| !w.is_dead)
    }

    pub(super) fn proven(&self, m: usize) -> Proven {
        Proven { peer: self.machines[m].id, key_hash: self.machines[m].key_hash }
    }

    pub(super) fn arrive(&mut self, wire: u64, end: usize, parcel: Parcel) {
        let Some(found) = self.wires.get(&wire).filter(|w| !w.is_dead) else { return };
        let (m, other) = (found.ends[end], found.ends[1 - end]);
        if self.machines[m].engine.is_none() {
            return;
        }
        let conn = ConnId(2 * wire + end as u64);
        let who = self.proven(other);
        match parcel {
            Parcel::Hello(hello) | Parcel::HelloBack(hello) => {
                let dial = (end == 0).then_some(DialId(u64::MAX));
                let remote = SocketAddr::from(([10, 0, 0, 2], 4_000));
                let (proven, key_hash) = (who.peer, who.key_hash);
                let arrived = ConnInput::Arrived { conn, proven, key_hash, dial, hello: *hello, remote };
                self.give(m, Input::Conn(arrived));
            }
            Parcel::Control(message) => self.give(m, Input::Conn(ConnInput::Message(conn, *message))),
            Parcel::Question(request) => {
                let Some(engine) = &self.machines[m].engine else { return };
                let answer = engine.answer(who, &request);
                if !matches!(answer, Response::Error(_)) {
                    self.check_may_hear(m, conn, player_of(&request), "answers");
                }
                let parcel = if self.chance(self.faults.unanswered) {
                    self.fired("request unanswered");
                    Parcel::Unanswered(request)
                } else {
                    Parcel::Answer(request, Box::new(answer))
                };
                self.post(m, conn, parcel, false);
            }
            Parcel::Answer(request, answer) => {
                self.give(m, Input::Conn(ConnInput::Answered(conn, request, Ok(answer))));
            }
            Parcel::Unanswered(request) => {
                let error = Report::new(ErrorClass::Remote, "busy", "it has no time").retryable();
                self.give(m, Input::Conn(ConnInput::Answered(conn, request, Err(error))));
            }
        }
    }

    /// Nothing of a player is said to whoever was never a device of that player.
    fn check_may_hear(&mut self, m: usize, conn: ConnId, player: Option<PlayerId>, how: &str) {
        let (Some(player), Some(other)) = (player, self.other_end(conn)) else { return };
        if !self.truth.ever.get(&player).is_some_and(|ever| ever.contains(&other)) {
            self.wrong(format!("isolation: {m} {how} {other} of player {player}, whose device it never was"));
        }
    }
}

fn player_told(message: &Control) -> Option<PlayerId> {
    match message {
        Control::StateChange(m) => Some(m.player_id),
        Control::StateBatch(m) => Some(m.player_id),
        Control::SharedChange(m) => Some(m.player_id),
        Control::SharedChangeBatch(m) => Some(m.player_id),
        Control::AckSharedChanges(m) => Some(m.player_id),
        _ => None,
    }
}
