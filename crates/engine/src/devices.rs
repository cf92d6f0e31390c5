//! Players and devices in the engine: routes commands, pairings and what devices say to `players`, and what came of it to
//! the desk of saves.

use bonfire_proto::PeerId;
use bonfire_proto::message::{Control, Request, Response};

use crate::command::DevicesCommand;
use crate::engine::Engine;
use crate::input::{CommandId, ConnId, Effect, PairId, PairInput};
use crate::peers::PeersChange;
use crate::report::{ErrorClass, Report};
use crate::time::Instant;
use crate::trust::Proven;

impl Engine {
    pub(crate) fn devices_command(
        &mut self,
        now: Instant,
        id: CommandId,
        command: DevicesCommand,
        fx: &mut Vec<Effect>,
    ) {
        let conns = match &command {
            DevicesCommand::Pair { with: Some(peer), .. } => match self.conn_of(*peer) {
                Some(conn) => vec![conn],
                None => {
                    let error = Report::new(ErrorClass::Unreachable, "no_peer", format!("{peer} is not connected"));
                    let error = error.hint("see who is there with: bonfire peers").retryable();
                    return fx.push(Effect::Reply(id, Err(error)));
                }
            },
            _ => self.peers.connected().map(|(_, conn)| conn).collect(),
        };
        match self.players.command(now, id, command, conns, self.wall, fx) {
            Ok((reply, news)) => {
                self.news(news, fx);
                if let Some(reply) = reply {
                    fx.push(Effect::Reply(id, Ok(reply)));
                }
            }
            Err(error) => fx.push(Effect::Reply(id, Err(error))),
        }
    }

    pub(crate) fn pairing(&mut self, now: Instant, id: PairId, input: PairInput, fx: &mut Vec<Effect>) {
        let news = self.players.pair(now, id, input, self.wall, fx);
        self.news(news, fx);
    }

    /// What a change among the peers means for players: who is connected, what they say, what they answered.
    pub(crate) fn players_hear(&mut self, change: &PeersChange, fx: &mut Vec<Effect>) {
        if let PeersChange::Appeared(peer) | PeersChange::Rewired(peer) | PeersChange::Lost(peer, _) = change {
            self.pictures_unsaid(*peer);
        }
        let news = match change {
            PeersChange::Appeared(peer) | PeersChange::Rewired(peer) => match self.proven(*peer) {
                Some((who, conn)) => self.players.appeared(who, conn, fx),
                None => return,
            },
            PeersChange::Lost(peer, _) => self.players.lost(*peer),
            PeersChange::Said(peer, message) if matches!(**message, Control::AvailabilityDigest(_)) => {
                if let (Some((who, _)), Control::AvailabilityDigest(digest)) = (self.proven(*peer), &**message) {
                    self.pictures_said(who, digest);
                }
                return;
            }
            PeersChange::Answered(peer, request, answer) if matches!(**request, Request::SidecarQuery(_)) => {
                if let (Some((who, _)), Request::SidecarQuery(query)) = (self.proven(*peer), &**request) {
                    self.pictures_answered(who, query, answer);
                }
                return;
            }
            PeersChange::Said(peer, message) => match self.proven(*peer) {
                Some((who, _)) => self.players.said(who, Control::clone(message), self.wall, fx),
                None => return,
            },
            PeersChange::Answered(peer, request, answer) => match self.proven(*peer) {
                Some((who, _)) => self.players.answered(who, request, answer.clone(), (self.now, self.wall), fx),
                None => return,
            },
            PeersChange::Moved(_) | PeersChange::Refused(..) | PeersChange::Library { .. } => return,
        };
        self.news(news, fx);
    }

    /// Answers a question about a player's devices or pictures, as far as the asker may ask it.
    #[must_use]
    pub fn answer(&self, who: Proven, request: &Request) -> Response {
        match request {
            Request::SidecarQuery(_) => self.answer_pictures(who, request),
            _ => self.players.answer(who, request),
        }
    }

    /// Who is at the other end of the connection to a peer.
    pub(crate) fn proven_of(&self, peer: PeerId) -> Option<Proven> {
        self.proven(peer).map(|(who, _)| who)
    }

    fn proven(&self, peer: PeerId) -> Option<(Proven, ConnId)> {
        let link = self.peers.get(&peer)?.link?;
        Some((Proven { peer, key_hash: link.key_hash }, link.conn))
    }

    fn conn_of(&self, peer: PeerId) -> Option<ConnId> {
        Some(self.peers.get(&peer)?.link?.conn)
    }
}
