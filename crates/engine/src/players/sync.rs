//! What the devices of a player tell and ask each other: the shared log and device-owned state.
//!
//! Owns who is asked what, and when it is asked again. Everything that comes passes the gate first; what is taken in is
//! durable before it is told on. Knows nothing of saves beyond the records that name them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonfire_proto::limits::RECORDS_PER_PAGE;
use bonfire_proto::message::{Control, ErrorMsg, Request, Response};
use bonfire_proto::message_sync::ChangeType;
use bonfire_proto::message_sync::{
    AckSharedChanges, SharedChange, SharedChangeBatch, SharedChangeRequest, SharedChangeResponse, SharedEntry,
    StateBatch, StateChange, StateMark, StateRecord, StateRequest, StateResponse, Watermark,
};
use bonfire_proto::{ErrorCode, PeerId, PlayerId};
use uuid::Uuid;

use super::{Player, Players, Proven, Record};
use crate::input::{ConnId, Effect};
use crate::replication::Life;
use crate::replication::model::{Device, Model, Presence, SlotHead};
use crate::replication::records::RecordKey;
use crate::replication::registry::DEVICE;
use crate::replication::state::{StateKey, StateQuery, StateReceipt};
use crate::report::Report;
use crate::saves::join::Line;
use crate::time::{Instant, UnixMillis};
use crate::trust::gate::{RequestKind, gate, player_of};
use crate::trust::{Scope, Standing};

/// What one connected device of a player is being asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    conn: ConnId,
    state: Asked,
    shared: Asked,
}

/// One kind of question. What comes of one kind says nothing about the other.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    question: Question,
    /// When it is asked again, and how often it failed in a row.
    failed: Option<(Instant, u32)>,
}

/// First and longest wait before a question that failed is asked again.
const ASK_AGAIN_MIN: Duration = Duration::from_secs(5);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(300);
/// How often a question that fails is asked over one connection: one that is refused for good must not be asked for ever.
const ASK_TIMES: u32 = 8;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Question {
    /// Nothing is asked.
    #[default]
    Idle,
    /// An answer is under way.
    Open,
    /// An answer is under way, and it is to be asked once more after that.
    Again,
}

impl Asked {
    fn after_failure(self, now: Instant) -> Self {
        let times = self.failed.map_or(0, |(_, times)| times);
        let wait = ASK_AGAIN_MIN.saturating_mul(2u32.saturating_pow(times.min(16))).min(ASK_AGAIN_MAX);
        Self { question: Question::Idle, failed: (times < ASK_TIMES).then_some((now + wait, times + 1)) }
    }

    /// Whether it is to be asked again by now. It says so once: the next time is up to what comes of it.
    fn comes_due(&mut self, now: Instant) -> bool {
        let due = self.failed.as_mut().filter(|(at, _)| *at <= now);
        due.map(|(at, _)| *at = Instant(u64::MAX)).is_some()
    }
}

/// What came of something that a device said.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// Device-owned heads that are others than before: whose, of which player, and the record.
    pub(crate) heads: BTreeSet<(PlayerId, PeerId, Uuid)>,
    /// Shared records that are others than before.
    pub(crate) records: BTreeSet<(PlayerId, RecordKey)>,
    /// Players whose devices, or whose connections to them, are others than before.
    pub(crate) players: BTreeSet<PlayerId>,
    /// Devices that are the player's no more.
    pub(crate) gone: Vec<(PlayerId, PeerId)>,
    /// Devices that are the player's now and were not.
    pub(crate) added: Vec<(PlayerId, PeerId)>,
    /// Slots that this device takes over leaving alone.
    pub(crate) left_alone: Vec<Line>,
    /// What went wrong here, to be shown.
    pub(crate) problems: Vec<Report>,
}

impl News {
    fn state(&mut self, player: PlayerId, receipt: &StateReceipt) {
        let changed = receipt.put.iter().map(StateKey::of).chain(receipt.gone.iter().cloned());
        for key in changed {
            if key.model_type == SlotHead::TYPE {
                self.heads.insert((player, key.device, key.record_uuid));
            } else {
                self.players.insert(player);
            }
        }
    }

    /// Adds what another one says.
    pub(crate) fn and(&mut self, other: Self) {
        self.heads.extend(other.heads);
        self.records.extend(other.records);
        self.players.extend(other.players);
        self.gone.extend(other.gone);
        self.added.extend(other.added);
        self.left_alone.extend(other.left_alone);
        self.problems.extend(other.problems);
    }
}

impl Players {
    /// Begins: a device whose log was lost introduces itself in its new life, and each says that it is there.
    pub(crate) fn begin(&mut self, wall: UnixMillis, fx: &mut Vec<Effect>) -> Result<News, Report> {
        let mut news = News::default();
        let players: Vec<PlayerId> = self.all.keys().copied().collect();
        for player in players {
            news.and(self.introduce(player, wall, fx)?);
            self.say_present(player, wall, fx)?;
        }
        Ok(news)
    }

    /// Says that this device is there, and with it that it has said everything.
    pub(super) fn say_present(
        &mut self,
        player: PlayerId,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let client = format!("{} {}", self.about.client, self.about.client_version);
        self.say(player, *self.me.peer.as_uuid(), &Presence { started_at: wall.0, client }, wall, fx)
    }

    /// Goes on in a new life, in which each player's devices hear of this one anew.
    pub(super) fn renew(&mut self, wall: UnixMillis, fx: &mut Vec<Effect>) -> News {
        self.epoch = self.entropy.epoch();
        fx.push(Effect::Record(vec![Record::Epoch(self.epoch)]));
        let mut news = News::default();
        let players: Vec<PlayerId> = self.all.keys().copied().collect();
        for player in players {
            let was_member = self.is_member(player);
            let Some(p) = self.all.get_mut(&player) else { continue };
            p.replica.renew(self.epoch);
            if was_member {
                match self.introduce(player, wall, fx) {
                    Ok(more) => news.and(more),
                    Err(error) => news.problems.push(error),
                }
            }
        }
        news
    }

    /// Writes this device's own record where it is not what it should be: in a new life, or when the machine changed.
    pub(super) fn introduce(
        &mut self,
        player: PlayerId,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<News, Report> {
        let me = self.me.peer;
        let Some(p) = self.all.get_mut(&player) else { return Ok(News::default()) };
        let is_new = p.replica.log().next_seq() == 1;
        let was_removed = !is_new && !p.replica.registry().is_device(me);
        if was_removed {
            return Ok(News::default());
        }
        let said: Option<Device> = p.replica.records().get(*me.as_uuid());
        let role = p.known.role;
        let mut wanted = self.myself(role);
        if let Some(said) = &said {
            // What people gave it stays.
            (wanted.name, wanted.enabled, wanted.sync_mode) = (said.name.clone(), said.enabled, said.sync_mode);
            wanted.address.clone_from(&said.address);
        }
        if !is_new && said.as_ref() == Some(&wanted) {
            return Ok(News::default());
        }
        let Some(p) = self.all.get_mut(&player) else { return Ok(News::default()) };
        let written = p.replica.introduce(&wanted, &mut self.clock, wall).map_err(super::replica_error)?;
        self.publish(player, written, fx);
        Ok(self.devices_changed(player, fx))
    }

    /// A peer is connected, over a new connection: what it has and we have not is asked for where it is a player's device.
    pub(crate) fn appeared(&mut self, who: Proven, conn: ConnId, fx: &mut Vec<Effect>) -> News {
        let players: Vec<PlayerId> = self.all.keys().copied().collect();
        let mut news = News::default();
        for player in players {
            news.and(self.link(player, who, conn, fx));
        }
        news
    }

    /// As `appeared`, for one player: a device that is connected already has become one of the player's.
    pub(crate) fn link(&mut self, player: PlayerId, who: Proven, conn: ConnId, fx: &mut Vec<Effect>) -> News {
        let is_device = self.roster.member(who, player).is_some_and(|m| !m.removed) && who.peer != self.me.peer;
        let life = self.life();
        let Some(p) = self.all.get_mut(&player) else { return News::default() };
        // Whoever was removed asks nobody. Whoever was paired again has yet to ask for the entry that says so.
        let is_device = is_device && !p.replica.registry().is_cut(life);
        p.links.remove(&who.peer);
        if is_device {
            p.links.insert(who.peer, Asking { conn, state: Asked::default(), shared: Asked::default() });
            p.ask_state(player, who.peer, fx);
            p.ask_shared(player, who.peer, fx);
        }
        News { players: BTreeSet::from([player]), ..News::default() }
    }

    /// A peer is gone.
    pub(crate) fn lost(&mut self, peer: PeerId) -> News {
        let mut news = News::default();
        for (player, p) in &mut self.all {
            if p.links.remove(&peer).is_some() {
                news.players.insert(*player);
            }
        }
        news
    }

    /// The connection to a device of a player.
    pub(crate) fn conn(&self, player: PlayerId, device: PeerId) -> Option<ConnId> {
        self.all.get(&player)?.links.get(&device).map(|a| a.conn)
    }

    /// Whether a connected device of the player has answered all that it was asked of the log.
    pub(crate) fn is_log_heard_from(&self, player: PlayerId, device: PeerId) -> bool {
        let asking = self.all.get(&player).and_then(|p| p.links.get(&device));
        asking.is_some_and(|a| a.shared.question == Question::Idle && a.shared.failed.is_none())
    }

    /// A peer speaks of a player's things. What it may not say is passed over: it may not have heard yet that it may not.
    pub(crate) fn said(&mut self, who: Proven, message: Control, wall: UnixMillis, fx: &mut Vec<Effect>) -> News {
        match message {
            Control::StateChange(StateChange { player_id, record }) => {
                self.take_state(who, player_id, vec![record], &[], RequestKind::StateChange, wall, fx)
            }
            Control::StateBatch(StateBatch { player_id, records }) => {
                self.take_state(who, player_id, records, &[], RequestKind::StateBatch, wall, fx)
            }
            Control::SharedChange(SharedChange { player_id, entry }) => {
                self.take_shared(who, player_id, vec![entry], &[], wall, fx)
            }
            Control::SharedChangeBatch(SharedChangeBatch { player_id, entries }) => {
                self.take_shared(who, player_id, entries, &[], wall, fx)
            }
            Control::AckSharedChanges(ack) => self.take_ack(who, &ack, fx),
            _ => News::default(),
        }
    }

    /// A device answered a question, or did not.
    pub(crate) fn answered(
        &mut self,
        who: Proven,
        request: &Request,
        answer: Result<Box<Response>, Report>,
        (now, wall): (Instant, UnixMillis),
        fx: &mut Vec<Effect>,
    ) -> News {
        let Some(player) = player_of(request) else { return News::default() };
        let Some(asking) = self.all.get_mut(&player).and_then(|p| p.links.get_mut(&who.peer)) else {
            return News::default();
        };
        let asked = match request {
            Request::StateRequest(_) => &mut asking.state,
            _ => &mut asking.shared,
        };
        let before = std::mem::take(asked);
        let mut more = before.question == Question::Again;
        let news = match (request, answer.map(|a| *a)) {
            (Request::StateRequest(_), Ok(Response::StateResponse(page))) if page.player_id == player => {
                let StateResponse { records, up_to, has_more, .. } = page;
                more |= has_more && !records.is_empty();
                self.take_state(who, player, records, &up_to, RequestKind::StateRequest, wall, fx)
            }
            (Request::SharedChangeRequest(_), Ok(Response::SharedChangeResponse(page))) if page.player_id == player => {
                let SharedChangeResponse { entries, floors, has_more, .. } = page;
                more |= has_more && !entries.is_empty();
                self.take_shared(who, player, entries, &floors, wall, fx)
            }
            // Refused, busy, broken or cut off. It may not have heard yet that we are a device of the player.
            _ => {
                *asked = before.after_failure(now);
                return News::default();
            }
        };
        if more && let Some(p) = self.all.get_mut(&player) {
            match request {
                Request::StateRequest(_) => p.ask_state(player, who.peer, fx),
                _ => p.ask_shared(player, who.peer, fx),
            }
        }
        news
    }

    /// When a question is asked again.
    pub(crate) fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        let all = self.all.values().flat_map(|p| p.links.values());
        let failed = all.flat_map(|a| [a.state.failed, a.shared.failed]).flatten();
        failed.map(|(at, _)| (at, "ask a device again")).min()
    }

    /// Asks again what failed and is due.
    pub(crate) fn due(&mut self, now: Instant, fx: &mut Vec<Effect>) {
        for (player, p) in &mut self.all {
            let all = p.links.iter_mut();
            let due: Vec<(PeerId, bool, bool)> =
                all.map(|(peer, a)| (*peer, a.state.comes_due(now), a.shared.comes_due(now))).collect();
            for (peer, is_state_due, is_shared_due) in due {
                if is_state_due {
                    p.ask_state(*player, peer, fx);
                }
                if is_shared_due {
                    p.ask_shared(*player, peer, fx);
                }
            }
        }
    }

    /// What is answered to a question about a player's devices, behind the gate.
    #[must_use]
    pub fn answer(&self, who: Proven, request: &Request) -> Response {
        let refuse = |code, text: &str| Response::Error(ErrorMsg::new(code, text));
        let player = player_of(request);
        if let Err(refusal) = gate(RequestKind::from(request), player, self.roster.standing(who, player)) {
            return Response::Error(refusal);
        }
        let Some((player_id, p)) = player.and_then(|id| Some((id, self.all.get(&id)?))) else {
            return refuse(ErrorCode::Forbidden, "this is not offered to you");
        };
        match request {
            Request::StateRequest(r) => {
                let query = StateQuery {
                    asker: who.peer,
                    model_types: &r.model_types,
                    device: r.device_id,
                    since: &r.since,
                    limit: r.limit as usize,
                };
                let page = p.board.page(&query);
                let (records, up_to, has_more) = (page.records, page.up_to, page.has_more);
                Response::StateResponse(StateResponse { player_id, records, up_to, has_more })
            }
            Request::SharedChangeRequest(r) => match p.replica.page(who.peer, &r.since, r.limit as usize) {
                Ok(page) => Response::SharedChangeResponse(SharedChangeResponse {
                    player_id,
                    entries: page.entries,
                    floors: page.floors,
                    has_more: page.has_more,
                }),
                Err(_) => refuse(ErrorCode::Forbidden, "this is not offered to you"),
            },
            _ => refuse(ErrorCode::Unsupported, "not a question about devices"),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a page, from whom, and what may come of it")]
    fn take_state(
        &mut self,
        who: Proven,
        player: PlayerId,
        records: Vec<StateRecord>,
        up_to: &[StateMark],
        kind: RequestKind,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> News {
        let mut news = News::default();
        // An answer was asked for: what counts is that the other side is a device of the player.
        let is_answer = kind == RequestKind::StateRequest;
        let standing = self.roster.standing(who, Some(player));
        let is_allowed = if is_answer {
            matches!(standing, Standing::Device(_))
        } else {
            gate(kind, Some(player), standing).is_ok()
        };
        if !is_allowed {
            return news;
        }
        let devices: BTreeSet<PeerId> = self.devices(player).into_keys().collect();
        let Some(p) = self.all.get_mut(&player) else { return news };
        let receipt = p.board.receive(records, up_to, &devices, wall);
        if receipt.refused.iter().any(|e| matches!(e, crate::replication::state::StateError::NotADevice { .. })) {
            // Of a device that is not known yet: the log will tell of it, and then it is asked for again.
            p.ask_shared(player, who.peer, fx);
        }
        // Something came before what it follows: it was said while there was no connection, or another way was faster.
        if !is_answer && receipt.put.iter().any(|r| p.board.misses_before(r)) {
            p.ask_state(player, who.peer, fx);
        }
        news.state(player, &receipt);
        self.keep_state(player, &receipt, Vec::new(), fx);
        self.tell_state(player, receipt.put, Some(who.peer), fx);
        news
    }

    fn take_shared(
        &mut self,
        who: Proven,
        player: PlayerId,
        mut entries: Vec<SharedEntry>,
        floors: &[Watermark],
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> News {
        let mut news = News::default();
        let scopes = self.scopes(who, player);
        if !scopes.has(Scope::SavesWrite) {
            return news;
        }
        if !scopes.has(Scope::DevicesWrite) {
            // It speaks for itself, and for nobody else's place among the devices.
            entries.retain(|e| e.model_type != DEVICE || is_about_itself(e, who.peer));
        }
        let Some(p) = self.all.get_mut(&player) else { return news };
        let was: BTreeMap<Life, u64> = p.replica.watermarks().into_iter().map(|m| (Life::from(m), m.seq)).collect();
        let Ok(receipt) = p.replica.receive(who.peer, entries, floors, &mut self.clock, wall) else { return news };
        let is_put_back = receipt.is_put_back();
        if !receipt.entries.is_empty() || !receipt.floors.is_empty() || receipt.mark.is_some() {
            let mut records: Vec<Record> = receipt.mark.map(Record::Clock).into_iter().collect();
            let (entries, floors) = (receipt.entries.clone(), receipt.floors.clone());
            records.push(Record::Shared { player, entries, floors, acks: Vec::new() });
            fx.push(Effect::Record(records));
        }
        let is_missing_something = !p.replica.gaps().is_empty();
        let acks: Vec<Watermark> =
            p.replica.watermarks().into_iter().filter(|m| was.get(&Life::from(*m)) != Some(&m.seq)).collect();
        if is_missing_something && !receipt.entries.is_empty() {
            p.ask_shared(player, who.peer, fx);
        }
        news.records.extend(receipt.changed.iter().map(|key| (player, key.clone())));
        let touches_devices = receipt.entries.iter().any(|e| e.model_type == DEVICE);
        self.tell_shared(player, receipt.entries, Some(who.peer), fx);
        self.tell_acks(player, &acks, fx);
        if is_put_back {
            // Others hold what this device has yet to write: its database is an older one. It goes on in a new life.
            news.and(self.renew(wall, fx));
        }
        if touches_devices {
            news.and(self.devices_changed(player, fx));
        }
        news
    }

    fn take_ack(&mut self, who: Proven, ack: &AckSharedChanges, fx: &mut Vec<Effect>) -> News {
        let player = ack.player_id;
        let is_allowed = gate(RequestKind::AckSharedChanges, Some(player), self.roster.standing(who, Some(player)));
        if is_allowed.is_err() || ack.from_device != who.peer {
            return News::default();
        }
        let Some(p) = self.all.get_mut(&player) else { return News::default() };
        let from = Life { device: ack.from_device, epoch: ack.from_epoch };
        if p.replica.heard_ack(from, ack.watermark()) == Ok(true) {
            let acks = vec![(from, ack.watermark())];
            fx.push(Effect::Record(vec![Record::Shared { player, entries: Vec::new(), floors: Vec::new(), acks }]));
        }
        if !p.replica.gaps().is_empty() {
            p.ask_shared(player, who.peer, fx);
        }
        News::default()
    }

    /// Brings everything that depends on who the devices are in step with the log.
    pub(super) fn devices_changed(&mut self, player: PlayerId, fx: &mut Vec<Effect>) -> News {
        let before: BTreeSet<PeerId> =
            self.roster.players.get(&player).map(|m| m.keys().copied().collect()).unwrap_or_default();
        let gone = self.refresh_roster(fx);
        let mut news = News { gone, ..News::default() };
        news.players.insert(player);
        let devices: BTreeSet<PeerId> = self.devices(player).into_keys().collect();
        news.added = devices.iter().filter(|d| !before.contains(d)).map(|d| (player, *d)).collect();
        let Some(p) = self.all.get_mut(&player) else { return news };
        p.links.retain(|d, _| devices.contains(d));
        // What this device said of itself stays counted, also when it is the one that is gone: it may come back.
        let me = self.me.peer;
        let gone_here = news.gone.iter().filter(|(of, d)| *of == player && *d != me);
        let removed: Vec<PeerId> = gone_here.map(|(_, d)| *d).collect();
        let keys = p.board.retain(&devices);
        news.heads
            .extend(keys.iter().filter(|k| k.model_type == SlotHead::TYPE).map(|k| (player, k.device, k.record_uuid)));
        if !keys.is_empty() || !removed.is_empty() {
            let receipt = StateReceipt { gone: keys, ..StateReceipt::default() };
            self.keep_state(player, &receipt, removed, fx);
        }
        news
    }

    /// Tells records to every connected device but the one that said them; what this device says of itself, to that one too.
    pub(super) fn tell_state(
        &self,
        player: PlayerId,
        records: Vec<StateRecord>,
        but: Option<PeerId>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(p) = self.all.get(&player).filter(|_| !records.is_empty()) else { return };
        for (peer, asking) in &p.links {
            let is_news = |r: &StateRecord| r.device_id != *peer && (Some(*peer) != but || r.device_id == self.me.peer);
            for part in records.chunks(STATE_BATCH) {
                let mut part = part.to_vec();
                part.retain(is_news);
                let message = match part.len() {
                    0 => continue,
                    1 => Control::StateChange(StateChange { player_id: player, record: part.remove(0) }),
                    _ => Control::StateBatch(StateBatch { player_id: player, records: part }),
                };
                fx.push(Effect::Send(asking.conn, message));
            }
        }
    }

    pub(super) fn tell_shared(
        &self,
        player: PlayerId,
        entries: Vec<SharedEntry>,
        but: Option<PeerId>,
        fx: &mut Vec<Effect>,
    ) {
        let Some(p) = self.all.get(&player).filter(|_| !entries.is_empty()) else { return };
        for (_, asking) in p.links.iter().filter(|(peer, _)| Some(**peer) != but) {
            for part in entries.chunks(SHARED_BATCH) {
                let mut part = part.to_vec();
                let message = match part.len() {
                    1 => Control::SharedChange(SharedChange { player_id: player, entry: part.remove(0) }),
                    _ => Control::SharedChangeBatch(SharedChangeBatch { player_id: player, entries: part }),
                };
                fx.push(Effect::Send(asking.conn, message));
            }
        }
    }

    fn tell_acks(&self, player: PlayerId, marks: &[Watermark], fx: &mut Vec<Effect>) {
        let Some(p) = self.all.get(&player) else { return };
        for asking in p.links.values() {
            for mark in marks {
                fx.push(Effect::Send(
                    asking.conn,
                    Control::AckSharedChanges(AckSharedChanges {
                        player_id: player,
                        from_device: self.me.peer,
                        from_epoch: self.epoch,
                        device_id: mark.device_id,
                        device_epoch: mark.device_epoch,
                        up_to_seq: mark.seq,
                        up_to_hlc: None,
                    }),
                ));
            }
        }
    }
}

/// Records and entries in one pushed message: each at most 16 KiB, so that a frame has room for them.
const STATE_BATCH: usize = 32;
const SHARED_BATCH: usize = 32;

impl Player {
    fn ask_state(&mut self, player_id: PlayerId, peer: PeerId, fx: &mut Vec<Effect>) {
        let since = self.board.marks();
        let Some(asking) = self.links.get_mut(&peer) else { return };
        if asking.state.question != Question::Idle {
            asking.state.question = Question::Again;
            return;
        }
        asking.state.question = Question::Open;
        let request = StateRequest { player_id, model_types: Vec::new(), device_id: None, since, limit: LIMIT };
        fx.push(Effect::Ask(asking.conn, Box::new(Request::StateRequest(request))));
    }

    fn ask_shared(&mut self, player_id: PlayerId, peer: PeerId, fx: &mut Vec<Effect>) {
        let since = self.replica.watermarks();
        let Some(asking) = self.links.get_mut(&peer) else { return };
        if asking.shared.question != Question::Idle {
            asking.shared.question = Question::Again;
            return;
        }
        asking.shared.question = Question::Open;
        let request = SharedChangeRequest { player_id, since, since_hlc: None, limit: LIMIT };
        fx.push(Effect::Ask(asking.conn, Box::new(Request::SharedChangeRequest(request))));
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a thousand")]
const LIMIT: u32 = RECORDS_PER_PAGE as u32;

fn is_about_itself(entry: &SharedEntry, device: PeerId) -> bool {
    entry.device_id == device && entry.record_uuid == *device.as_uuid() && entry.change_type != ChangeType::Delete
}

#[cfg(test)]
mod tests;
