//! Pictures attached to snapshots: which snapshot has which, where their bytes are, and how they get here.
//!
//! Which picture a snapshot has is a shared record, like a pin or a note; the bytes lie in `sidecars/` of whoever has them.
//! Owns what is here and what connected devices said that they have; the rules are `shelf`'s, what a person asks for
//! `commands`', what is heard `hear`'s. Nothing of a save waits for a picture: the desk of saves knows of none.

mod commands;
mod hear;
pub mod shelf;
pub mod work;

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::limits::{SIDECARS_PER_DIGEST_MAX, SIDECARS_PER_QUERY_MAX};
use bonfire_proto::message::{Control, Request};
use bonfire_proto::message_sidecar::{AvailabilityDigest, SidecarQuery};
use bonfire_proto::{Digest, PeerId, PlayerId, SnapshotId};
use uuid::Uuid;

use crate::engine::Engine;
use crate::input::{CommandId, ConnId, Effect};
use crate::replication::model::{self, Model, Picture};
use crate::replication::records::RecordKey;
use crate::saves::join::Line;
use crate::saves_view::PictureView;
use crate::time::Instant;
use crate::trust::Standing;
use crate::trust::gate::{PictureOf, RequestKind, gate};

use commands::Waiting;
use shelf::{Key, Limits, Named, Shelf, Stand, Step};
use work::{Sidecar, SidecarJob};

/// The pictures of this device.
#[derive(Debug)]
pub struct Sidecars {
    shelf: Shelf,
    /// What lies in the data folder and was given to no player yet.
    on_disk: Vec<Sidecar>,
    /// The line of each snapshot that has or had a picture.
    lines: BTreeMap<Key, Line>,
    /// Which snapshot a record is about: its id does not say.
    by_record: BTreeMap<(PlayerId, Uuid), SnapshotId>,
    /// What each connected device was told, over which connection, and as of which state of the shelf.
    told: BTreeMap<(PlayerId, PeerId), Told>,
    /// Questions under way: whether a device has a picture.
    queries: BTreeSet<(PlayerId, PeerId, Digest)>,
    waiting: BTreeMap<CommandId, Waiting>,
}

#[derive(Debug)]
struct Told {
    conn: ConnId,
    rev: u64,
    has: BTreeSet<Digest>,
    /// Whether it was asked for what is missing here, once its part of the log was heard.
    is_asked: bool,
}

impl Sidecars {
    /// With what lies in the data folder.
    #[must_use]
    pub fn restore(on_disk: Vec<Sidecar>) -> Self {
        Self {
            shelf: Shelf::new(Limits::default()),
            on_disk,
            lines: BTreeMap::new(),
            by_record: BTreeMap::new(),
            told: BTreeMap::new(),
            queries: BTreeSet::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// When the engine is to be woken, and why.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let waits = self.waiting.values().map(|w| w.until);
        waits.chain(self.shelf.next_deadline()).map(|at| (at, "a picture")).min()
    }

    fn note(&mut self, key: Key, line: Line) {
        self.by_record.insert((key.0, model::snapshot_record_id(key.1)), key.1);
        self.lines.insert(key, line);
    }

    /// Snapshots were let go of, or are back: their pictures follow.
    pub(crate) fn touch(&mut self, player: PlayerId, snapshots: impl IntoIterator<Item = SnapshotId>) {
        snapshots.into_iter().for_each(|id| self.shelf.touch((player, id)));
    }
}

impl Engine {
    /// Begins: what records say, and what lies in the data folder.
    pub(crate) fn begin_sidecars(&mut self) {
        for found in std::mem::take(&mut self.sidecars.on_disk) {
            // Of a snapshot that nobody here knows, it stays where it is.
            if let Some(line) = self.desk.line_of(found.snapshot) {
                let key = (line.player, found.snapshot);
                self.sidecars.note(key, line);
                self.sidecars.shelf.stored(key, found.picture);
            }
        }
        let players: Vec<PlayerId> = self.players.all.keys().copied().collect();
        for player in players {
            let Some(p) = self.players.all.get(&player) else { continue };
            let named = p.replica.records().all::<Picture>().map(|(uuid, _)| uuid);
            let found = self.sidecars.lines.keys().filter(|(of, _)| *of == player);
            let uuids: BTreeSet<Uuid> = named.chain(found.map(|(_, id)| model::snapshot_record_id(*id))).collect();
            for uuid in uuids {
                self.picture_record(player, uuid);
            }
        }
    }

    /// Records changed: those of pictures have their effect.
    pub(crate) fn picture_records<'a>(&mut self, changed: impl Iterator<Item = &'a (PlayerId, RecordKey)>) {
        for (player, key) in changed.filter(|(_, key)| key.model_type == Picture::TYPE) {
            self.picture_record(*player, key.record_uuid);
        }
    }

    fn picture_record(&mut self, player: PlayerId, uuid: Uuid) {
        let Some(p) = self.players.all.get(&player) else { return };
        let (record, is_heard) = (p.replica.records().get::<Picture>(uuid), p.replica.records().knows::<Picture>(uuid));
        // Written under another snapshot's id it would be believed of that one.
        let record = record.filter(|r| model::snapshot_record_id(r.snapshot) == uuid);
        if let Some(record) = &record {
            let line = Line { player, game_id: record.game.clone(), slot: record.slot.clone() };
            self.sidecars.note((player, record.snapshot), line);
        }
        let Some(id) = self.sidecars.by_record.get(&(player, uuid)) else { return };
        let key = (player, *id);
        let named = record.map(|r| Named { picture: r.what(), is_own: r.device == self.me });
        self.sidecars.shelf.record(key, named, is_heard);
        self.show_picture(&key);
    }

    /// How a snapshot stands here, as far as its player's history knows it.
    fn picture_stand(&self, key: &Key) -> Stand {
        self.sidecars.lines.get(key).map_or(Stand::Unknown, |line| self.desk.stand_of(line, key.1))
    }

    /// The picture of a version as it is shown.
    pub(crate) fn picture_view(&self, player: PlayerId, id: SnapshotId) -> Option<PictureView> {
        let (shelf, key) = (&self.sidecars.shelf, (player, id));
        let picture = shelf.picture(&key)?;
        Some(PictureView {
            hash: picture.hash.to_string(),
            size: u64::from(picture.len),
            format: picture.format,
            is_here: shelf.is_here(&key, &picture),
            others: shelf.holders(player, &picture.hash),
        })
    }

    fn show_picture(&mut self, key: &Key) {
        if let Some(line) = self.sidecars.lines.get(key) {
            self.desk.show_again(line);
        }
    }

    /// Does what is due about pictures: lets go, fetches, tells, answers who waits.
    pub(crate) fn due_sidecars(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        if self.sidecars.shelf.is_empty() && self.sidecars.waiting.is_empty() && self.sidecars.told.is_empty() {
            return;
        }
        self.forget_the_gone();
        self.adopt_found(fx);
        let mut shelf = std::mem::take(&mut self.sidecars.shelf);
        let steps = shelf.next(now, &|key| self.picture_stand(key));
        self.sidecars.shelf = shelf;
        let mut gone = Vec::new();
        for step in steps {
            match step {
                Step::Remove(sidecar) => gone.push(sidecar),
                Step::Fetch((player, snapshot), picture, peer) => {
                    let sidecar = Sidecar { snapshot, picture };
                    match self.players.conn(player, peer) {
                        Some(conn) => {
                            let job = SidecarJob::Fetch { player, sidecar, from: (peer, conn) };
                            fx.push(Effect::Sidecar(Box::new(job)));
                        }
                        None => {
                            let key = (player, snapshot);
                            self.sidecars.shelf.fetched(key, picture, peer, &work::Brought::Cut, now);
                        }
                    }
                }
            }
        }
        if !gone.is_empty() {
            for key in gone.iter().flat_map(|s| self.players.all.keys().map(|p| (*p, s.snapshot))).collect::<Vec<_>>() {
                self.show_picture(&key);
            }
            fx.push(Effect::Sidecar(Box::new(SidecarJob::Remove(gone))));
        }
        self.tell_pictures(fx);
        self.ask_for_missing(fx);
        self.answer_waiting_for_pictures(now, fx);
    }

    /// What devices said counts while they are connected.
    fn forget_the_gone(&mut self) {
        let speakers: Vec<(PlayerId, PeerId)> = self.sidecars.shelf.speakers().collect();
        for (player, peer) in speakers {
            if self.players.conn(player, peer).is_none() {
                self.sidecars.shelf.forget(player, peer);
                self.sidecars.queries.retain(|(of, whom, _)| (*of, *whom) != (player, peer));
            }
        }
        let players = &self.players;
        self.sidecars.queries.retain(|(player, peer, _)| players.conn(*player, *peer).is_some());
    }

    /// A picture that was found here of a snapshot that no entry is about is one whose record was lost with the database. It
    /// is written again once every device of the player was heard: one of them may know that it was removed.
    fn adopt_found(&mut self, fx: &mut Vec<Effect>) {
        let found: Vec<_> = self.sidecars.shelf.found().collect();
        for (key, picture) in found {
            let (player, snapshot) = key;
            let is_heard = self.players.is_member(player)
                && self.players.is_everyone_connected(player)
                && self.players.connected(player).into_iter().all(|d| self.players.is_log_heard_from(player, d));
            let stand = self.picture_stand(&key);
            if !is_heard || matches!(stand, Stand::Unknown | Stand::LetGo) {
                continue;
            }
            let Some(line) = self.sidecars.lines.get(&key).cloned() else { continue };
            if let Err(error) = self.name_picture(&line, snapshot, picture, fx) {
                self.problem(Some(line.game_id), error, fx);
            }
        }
    }

    /// Tells each connected device what it was not told: everything over a new connection, then what changed.
    fn tell_pictures(&mut self, fx: &mut Vec<Effect>) {
        let rev = self.sidecars.shelf.rev();
        let players = &self.players;
        self.sidecars.told.retain(|(player, peer), told| players.conn(*player, *peer) == Some(told.conn));
        for player_id in self.players.all.keys().copied() {
            let mut here: Option<BTreeSet<Digest>> = None;
            for peer in self.players.connected(player_id) {
                let Some(conn) = self.players.conn(player_id, peer) else { continue };
                let told = self.sidecars.told.get(&(player_id, peer));
                if told.is_some_and(|t| t.rev == rev) || !self.may_hear_of_pictures(player_id, peer) {
                    continue;
                }
                let here = here
                    .get_or_insert_with(|| self.sidecars.shelf.here(player_id).map(|s| s.picture.hash).collect())
                    .clone();
                let none = BTreeSet::new();
                let before = told.map_or(&none, |t| &t.has);
                let has: Vec<Digest> = here.difference(before).copied().collect();
                let lacks: Vec<Digest> = before.difference(&here).copied().collect();
                digests(player_id, told.is_none(), &has, &lacks)
                    .for_each(|digest| fx.push(Effect::Send(conn, Control::AvailabilityDigest(digest))));
                let is_asked = told.is_some_and(|t| t.is_asked);
                self.sidecars.told.insert((player_id, peer), Told { conn, rev, has: here, is_asked });
            }
        }
    }

    /// Asks each device once over a connection for what is missing here and nobody said to have. What a device said before
    /// it was known here as one of the player's was passed over.
    fn ask_for_missing(&mut self, fx: &mut Vec<Effect>) {
        let players = &self.players;
        let heard = |((player, peer), told): (&(PlayerId, PeerId), &Told)| {
            (!told.is_asked && players.is_log_heard_from(*player, *peer)).then_some((*player, *peer, told.conn))
        };
        let due: Vec<(PlayerId, PeerId, ConnId)> = self.sidecars.told.iter().filter_map(heard).collect();
        for (player_id, peer, conn) in due {
            let stand = |key: &Key| self.picture_stand(key);
            let hashes = self.sidecars.shelf.unheard_of(player_id, &stand, SIDECARS_PER_QUERY_MAX);
            if let Some(told) = self.sidecars.told.get_mut(&(player_id, peer)) {
                told.is_asked = true;
            }
            if !hashes.is_empty() {
                self.sidecars.queries.extend(hashes.iter().map(|hash| (player_id, peer, *hash)));
                let query = Request::SidecarQuery(SidecarQuery { player_id, hashes });
                fx.push(Effect::Ask(conn, Box::new(query)));
            }
        }
    }

    /// Whether a device may have the player's pictures: then it may hear which there are.
    fn may_hear_of_pictures(&self, player: PlayerId, peer: PeerId) -> bool {
        let Some(who) = self.proven_of(peer) else { return false };
        let standing: Standing = self.players.roster().standing(who, Some(player));
        gate(RequestKind::GetSidecar(PictureOf::Save), Some(player), standing).is_ok()
    }
}

/// The messages that say this, as few as there can be; none when there is nothing to say.
fn digests(
    player_id: PlayerId,
    is_anew: bool,
    has: &[Digest],
    lacks: &[Digest],
) -> impl Iterator<Item = AvailabilityDigest> {
    let message = move |has: &[Digest], lacks: &[Digest]| AvailabilityDigest {
        player_id,
        is_anew: false,
        has: has.to_vec(),
        lacks: lacks.to_vec(),
    };
    let mut pages: Vec<AvailabilityDigest> = if has.len() + lacks.len() <= SIDECARS_PER_DIGEST_MAX {
        let is_empty = has.is_empty() && lacks.is_empty();
        if is_empty { Vec::new() } else { vec![message(has, lacks)] }
    } else {
        let gone = lacks.chunks(SIDECARS_PER_DIGEST_MAX).map(|part| message(&[], part));
        gone.chain(has.chunks(SIDECARS_PER_DIGEST_MAX).map(|part| message(part, &[]))).collect()
    };
    if let Some(first) = pages.first_mut() {
        first.is_anew = is_anew;
    }
    pages.into_iter()
}
