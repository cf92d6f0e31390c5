//! What is heard of pictures: from the worker, and from connected devices of a player. Everything from others passes the gate.

use bonfire_proto::limits::SIDECARS_PER_QUERY_MAX;
use bonfire_proto::message::{ErrorMsg, Request, Response};
use bonfire_proto::message_sidecar::{AvailabilityDigest, GetSidecar, SidecarAnswer, SidecarQuery};
use bonfire_proto::{Digest, ErrorCode, PeerId, PlayerId};

use super::work::{Brought, HandedOut, Sidecar, SidecarInput, SidecarJob};
use crate::command::Reply;
use crate::engine::Engine;
use crate::input::Effect;
use crate::report::Report;
use crate::trust::Proven;
use crate::trust::gate::{PictureOf, RequestKind, gate, player_of};

impl Engine {
    /// Takes in what the worker says.
    pub(crate) fn sidecar(&mut self, input: SidecarInput, fx: &mut Vec<Effect>) {
        match input {
            SidecarInput::Attached { command, line, snapshot, attached } => {
                let kept = attached.and_then(|picture| {
                    let key = (line.player, snapshot);
                    self.sidecars.note(key, line.clone());
                    self.sidecars.shelf.stored(key, picture);
                    let named = self.name_picture(&line, snapshot, picture, fx);
                    if named.is_err() {
                        // Nobody will ever hear of it.
                        self.sidecars.shelf.lost(key, picture);
                        let gone = vec![Sidecar { snapshot, picture }];
                        fx.push(Effect::Sidecar(Box::new(SidecarJob::Remove(gone))));
                    }
                    named
                });
                let reply = kept.map(|()| self.picture_reply(line.player, snapshot, None));
                if reply.is_ok() {
                    self.audit(&line, self.me, "pictured", Some(snapshot), Vec::new(), "", fx);
                }
                fx.push(Effect::Reply(command, reply));
            }
            SidecarInput::HandedOut { command, player, sidecar, handed } => {
                let key = (player, sidecar.snapshot);
                let Some(waiting) = self.sidecars.waiting.get_mut(&command) else { return };
                let path = waiting.file.clone();
                let reply = match handed {
                    HandedOut::Well => Ok(self.picture_reply(player, sidecar.snapshot, Some(path))),
                    HandedOut::Failed(error) => Err(error),
                    HandedOut::Lost => {
                        (waiting.is_writing, waiting.times) = (false, waiting.times + 1);
                        self.sidecars.shelf.lost(key, sidecar.picture);
                        self.ask_who_has(player, sidecar.picture.hash, fx);
                        self.show_picture(&key);
                        return;
                    }
                };
                self.sidecars.waiting.remove(&command);
                fx.push(Effect::Reply(command, reply));
            }
            SidecarInput::Fetched { player, sidecar, from, brought } => {
                let key = (player, sidecar.snapshot);
                self.sidecars.shelf.fetched(key, sidecar.picture, from, &brought, self.now);
                if let Brought::Disk(error) = brought {
                    let game = self.sidecars.lines.get(&key).map(|line| line.game_id.clone());
                    self.problem(game, error, fx);
                }
                self.show_picture(&key);
            }
            SidecarInput::Lost(player, sidecars) => {
                for Sidecar { snapshot, picture } in sidecars {
                    self.sidecars.shelf.lost((player, snapshot), picture);
                    self.show_picture(&(player, snapshot));
                }
            }
        }
    }

    /// A device says which pictures it has. What it may not say is passed over.
    pub(crate) fn pictures_said(&mut self, who: Proven, digest: &AvailabilityDigest) {
        let player = digest.player_id;
        let standing = self.players.roster().standing(who, Some(player));
        let may = gate(RequestKind::AvailabilityDigest(PictureOf::Save), Some(player), standing).is_ok();
        if may && self.players.conn(player, who.peer).is_some() {
            self.note_said(player, who.peer, digest.is_anew, &digest.has, &digest.lacks);
        }
    }

    /// A device answered which of some pictures it has, or did not answer.
    pub(crate) fn pictures_answered(
        &mut self,
        who: Proven,
        query: &SidecarQuery,
        answer: &Result<Box<Response>, Report>,
    ) {
        let player = query.player_id;
        for hash in &query.hashes {
            self.sidecars.queries.remove(&(player, who.peer, *hash));
        }
        if self.players.conn(player, who.peer).is_none() {
            return;
        }
        if let Ok(answer) = answer
            && let Response::SidecarAnswer(SidecarAnswer { player_id, has }) = &**answer
            && *player_id == player
        {
            // What was not asked about is no answer.
            let has: Vec<Digest> = has.iter().filter(|h| query.hashes.contains(h)).copied().collect();
            self.note_said(player, who.peer, false, &has, &[]);
        }
    }

    /// What a peer said over a connection ends with it.
    pub(crate) fn pictures_unsaid(&mut self, peer: PeerId) {
        let of: Vec<PlayerId> = self.sidecars.shelf.speakers().filter(|(_, p)| *p == peer).map(|(of, _)| of).collect();
        for player in of {
            self.note_said(player, peer, true, &[], &[]);
            self.sidecars.shelf.forget(player, peer);
        }
        self.sidecars.queries.retain(|(_, whom, _)| *whom != peer);
    }

    fn note_said(&mut self, player: PlayerId, peer: PeerId, is_anew: bool, has: &[Digest], lacks: &[Digest]) {
        self.sidecars.shelf.said(player, peer, is_anew, has, lacks);
        let about = |p: Digest| is_anew || has.contains(&p) || lacks.contains(&p);
        let of_player = self.sidecars.lines.iter().filter(|((of, _), _)| *of == player);
        let shown = of_player.filter(|(key, _)| self.sidecars.shelf.picture(key).is_some_and(|p| about(p.hash)));
        let lines: Vec<_> = shown.map(|(_, line)| line.clone()).collect();
        lines.iter().for_each(|line| self.desk.show_again(line));
    }

    /// Asks connected devices that did not say so whether they have a picture.
    pub(super) fn ask_who_has(&mut self, player_id: PlayerId, hash: Digest, fx: &mut Vec<Effect>) {
        for peer in self.players.connected(player_id) {
            if let Some(conn) = self.players.conn(player_id, peer)
                && self.sidecars.queries.insert((player_id, peer, hash))
            {
                let query = SidecarQuery { player_id, hashes: vec![hash] };
                fx.push(Effect::Ask(conn, Box::new(Request::SidecarQuery(query))));
            }
        }
    }

    /// What is answered to a question about pictures, behind the gate.
    #[must_use]
    pub fn answer_pictures(&self, who: Proven, request: &Request) -> Response {
        let refuse = |code, text: &str| Response::Error(ErrorMsg::new(code, text));
        let player = player_of(request);
        if let Err(refusal) = gate(RequestKind::from(request), player, self.players.roster().standing(who, player)) {
            return Response::Error(refusal);
        }
        let Some(player_id) = player else { return refuse(ErrorCode::BadRequest, "whose it is was not said") };
        let has = |hash: &Digest| self.picture_here(player_id, hash).is_some();
        match request {
            Request::SidecarQuery(r) => {
                let has = r.hashes.iter().filter(|h| has(h)).take(SIDECARS_PER_QUERY_MAX).copied().collect();
                Response::SidecarAnswer(SidecarAnswer { player_id, has })
            }
            _ => refuse(ErrorCode::Unsupported, "not a question about pictures"),
        }
    }

    /// The picture that is asked for, behind the gate; its bytes are for whoever serves.
    ///
    /// # Errors
    /// The refusal to send.
    pub fn give_picture(&self, who: Proven, request: &GetSidecar) -> Result<Sidecar, ErrorMsg> {
        let player = request.player_id;
        let standing = self.players.roster().standing(who, Some(player));
        gate(RequestKind::GetSidecar(PictureOf::Save), Some(player), standing)?;
        let here = self.picture_here(player, &request.hash);
        here.ok_or_else(|| ErrorMsg::new(ErrorCode::NotFound, "no such picture here"))
    }

    fn picture_here(&self, player: PlayerId, hash: &Digest) -> Option<Sidecar> {
        self.sidecars.shelf.here(player).find(|s| s.picture.hash == *hash)
    }

    pub(super) fn picture_reply(
        &self,
        player: PlayerId,
        snapshot: bonfire_proto::SnapshotId,
        path: Option<String>,
    ) -> Reply {
        match self.picture_view(player, snapshot) {
            Some(picture) => Reply::Picture { snapshot, picture: Box::new(picture), path },
            // Removed meanwhile.
            None => Reply::Done,
        }
    }
}
