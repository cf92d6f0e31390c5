//! What connected peers say: messages of the control stream, and the answers to questions about their libraries.

use bonfire_proto::message::{Control, GetLibraryDelta, GetLibrarySnapshot, Pong, Request};
use bonfire_proto::{CloseCode, Digest, ErrorCode, LibraryEpoch, PeerId, text};

use super::{ASK_AGAIN_MAX, ASK_AGAIN_MIN, ASK_BURST, ASK_EVERY, BACK_AFTER_GOODBYE, BACKOFF_MIN, Peers, PeersChange};
use crate::input::{ConnId, Effect, LibraryAnswer};
use crate::remote::{DeltaOutcome, SyncNeed};
use crate::report::Report;
use crate::time::Instant;

impl Peers {
    pub(super) fn message(
        &mut self,
        now: Instant,
        conn: ConnId,
        message: Control,
        fx: &mut Vec<Effect>,
    ) -> Vec<PeersChange> {
        let Some(peer) = self.seen(now, conn) else { return Vec::new() };
        match message {
            Control::Ping(_) => {
                fx.push(Effect::Send(conn, Control::Pong(Pong {})));
                Vec::new()
            }
            Control::Pong(_) => Vec::new(),
            Control::LibrarySummary(m) if m.peer_id == peer => {
                let s = m.summary;
                self.sync(now, peer, s.library_epoch, s.library_rev, Some(s.library_digest), fx);
                Vec::new()
            }
            Control::LibraryDelta(m) if m.peer_id == peer => {
                let Some(p) = self.all.get_mut(&peer) else { return Vec::new() };
                match p.library.apply_delta(&m.delta) {
                    DeltaOutcome::Applied { changed, removed } => {
                        self.forget_games_of_the_gone(peer);
                        vec![PeersChange::Library { peer, by: "delta", changed, removed }]
                    }
                    DeltaOutcome::Ignored => Vec::new(),
                    DeltaOutcome::NeedSnapshot(_) => {
                        self.fetch(now, peer, snapshot_request(), fx);
                        Vec::new()
                    }
                }
            }
            Control::Goodbye(m) if m.peer_id == peer => {
                // The peer closes by itself; it may also be lost before it does.
                fx.push(Effect::Close(conn, CloseCode::Done));
                let lost = self.closed(now, conn, "goodbye");
                if let Some(p) = self.all.get_mut(&peer).filter(|p| !p.announced.is_empty()) {
                    // The announcement stands until it is taken back: a peer that comes right back with the same one is
                    // not announced anew. It is tried in silence and ever more slowly.
                    p.backoff = BACKOFF_MIN * 2;
                    p.next_dial = Some(now + BACK_AFTER_GOODBYE);
                }
                lost
            }
            // Of a player's things: whether it may speak of them is not decided here.
            message @ (Control::StateChange(_)
            | Control::StateBatch(_)
            | Control::SharedChange(_)
            | Control::SharedChangeBatch(_)
            | Control::AckSharedChanges(_)
            | Control::AvailabilityDigest(_)) => vec![PeersChange::Said(peer, Box::new(message))],
            // It did not know one of our messages; everything else stands.
            Control::Error(e) if e.code == ErrorCode::Unsupported => Vec::new(),
            Control::Error(e) => {
                let why = format!("{:?}: {}", e.code, text::clean_to(&e.message, 200));
                fx.push(Effect::Close(conn, CloseCode::Done));
                self.closed(now, conn, &why)
            }
            // A second hello, or a message in another peer's name.
            Control::Hello(_)
            | Control::HelloAck(_)
            | Control::LibrarySummary(_)
            | Control::LibraryDelta(_)
            | Control::Goodbye(_) => {
                fx.push(Effect::Close(conn, CloseCode::Protocol));
                self.closed(now, conn, CloseCode::Protocol.text())
            }
        }
    }

    pub(super) fn library(
        &mut self,
        now: Instant,
        conn: ConnId,
        answer: Result<LibraryAnswer, Report>,
        fx: &mut Vec<Effect>,
    ) -> Vec<PeersChange> {
        let Some(peer) = self.seen(now, conn) else { return Vec::new() };
        let Some(p) = self.all.get_mut(&peer) else { return Vec::new() };
        p.fetching = false;
        let mut out = Vec::new();
        let mut need_snapshot = false;
        match answer {
            Ok(LibraryAnswer::Delta(delta)) => match p.library.apply_delta(&delta) {
                DeltaOutcome::Applied { changed, removed } => {
                    out.push(PeersChange::Library { peer, by: "delta", changed, removed });
                }
                DeltaOutcome::Ignored => {}
                DeltaOutcome::NeedSnapshot(_) => need_snapshot = true,
            },
            Ok(LibraryAnswer::Snapshot(assembled)) => {
                let (changed, removed) = p.library.replace(assembled);
                out.push(PeersChange::Library { peer, by: "snapshot", changed, removed });
                self.forget_games_of_the_gone(peer);
            }
            Err(error) => {
                p.ask_again = Some(now + p.ask_wait);
                let first = p.ask_wait == ASK_AGAIN_MIN;
                p.ask_wait = (p.ask_wait * 2).min(ASK_AGAIN_MAX);
                if first {
                    let addr = p.addr.map_or_else(|| peer.short(), |a| a.to_string());
                    out.push(PeersChange::Refused(addr, error));
                }
                return out;
            }
        }
        let Some(p) = self.all.get_mut(&peer) else { return out };
        // It answers again: what was to be asked later is asked now, if this answer has not brought it.
        p.ask_again = None;
        p.ask_wait = ASK_AGAIN_MIN;
        if need_snapshot {
            self.fetch(now, peer, snapshot_request(), fx);
        } else {
            let need = p.library.take_need();
            self.ask_for(now, peer, need, fx);
        }
        out
    }

    pub(super) fn sync(
        &mut self,
        now: Instant,
        peer: PeerId,
        epoch: LibraryEpoch,
        rev: u64,
        digest: Option<Digest>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(p) = self.all.get_mut(&peer) else { return };
        let need = p.library.compare(epoch, rev, digest);
        self.ask_for(now, peer, need, fx);
    }

    /// While an answer is under way nothing more is asked: what was heard is remembered and looked at when it came.
    pub(super) fn ask_for(&mut self, now: Instant, peer: PeerId, need: SyncNeed, fx: &mut Vec<Effect>) {
        let Some(p) = self.all.get(&peer) else { return };
        match (need, p.library.epoch()) {
            (SyncNeed::Delta { from_rev }, Some(library_epoch)) => {
                self.fetch(now, peer, Request::GetLibraryDelta(GetLibraryDelta { library_epoch, from_rev }), fx);
            }
            (SyncNeed::Snapshot, _) | (SyncNeed::Delta { .. }, None) => self.fetch(now, peer, snapshot_request(), fx),
            (SyncNeed::Nothing, _) => {}
        }
    }

    /// Asks, unless an answer is under way or too much was asked of late; then it is asked when that is over.
    pub(super) fn fetch(&mut self, now: Instant, peer: PeerId, request: Request, fx: &mut Vec<Effect>) {
        let Some(p) = self.all.get_mut(&peer) else { return };
        let Some(link) = p.link.filter(|_| !p.fetching) else { return };
        let request = if p.wants_snapshot { snapshot_request() } else { request };
        let full = now + ASK_EVERY * ASK_BURST;
        if p.asked_until > full {
            p.wants_snapshot = matches!(request, Request::GetLibrarySnapshot(_));
            p.ask_again = Some(now + p.asked_until.since(full));
            return;
        }
        p.asked_until = p.asked_until.max(now) + ASK_EVERY;
        p.wants_snapshot = false;
        p.fetching = true;
        fx.push(Effect::FetchLibrary(link.conn, request));
    }
}

pub(super) fn snapshot_request() -> Request {
    Request::GetLibrarySnapshot(GetLibrarySnapshot {})
}
