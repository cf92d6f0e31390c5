//! How two devices come to be one player's: the code or token, and what either side records when it was proven.
//!
//! Owns the pairings that are under way, each from `Began` (or our call) to `Done` or `Failed`. Who may invite whom is
//! `trust::pairs`', how often a code may be tried `trust::sessions`', that it was known is proven by the shell.

use std::collections::BTreeMap;

use bonfire_proto::PlayerId;
use bonfire_proto::message_pair::{DeviceRole, PairDevice, PairInvite, PairPlayer, PairRefusal};

use super::{News, Players, Proven, Record, Vouched, replica_error};
use crate::command::Reply;
use crate::event::PeerEvent;
use crate::input::{CommandId, ConnId, Effect, PairAnswer, PairCall, PairId, PairInput};
use crate::record::KnownPlayer;
use crate::replication::Life;
use crate::replication::model::{Device, Player as PlayerRecord};
use crate::replication::replica::Replica;
use crate::replication::state::StateBoard;
use crate::report::{ErrorClass, Report};
use crate::saves_view::AuditEntry;
use crate::time::{Instant, UnixMillis};
use crate::trust::pairs::{self, Change, Wish};
use crate::trust::sessions::{Attempt, Terms};
use crate::trust::{PairCode, PairToken, Secret};

/// A pairing that is under way.
#[derive(Debug)]
pub(super) struct Pairing {
    attempt: Attempt,
    terms: Terms,
    /// Present where a person waits for it here.
    asked: Option<Asked>,
    /// What we were invited to.
    invite: Option<PairInvite>,
    /// What came of it so far.
    player: Option<PlayerId>,
}

/// A code that was typed here.
#[derive(Debug)]
struct Asked {
    command: CommandId,
    secret: Secret,
    /// Who is asked next, when the one that is asked shows no code.
    others: Vec<ConnId>,
}

/// What is asked for where a code is shown or typed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) player: Option<PlayerId>,
    pub(super) join: bool,
    pub(super) role: DeviceRole,
}

impl Players {
    /// Shows a code.
    pub(super) fn show_code(&mut self, now: Instant, wanted: Wanted) -> Result<Reply, Report> {
        let terms = self.terms(wanted)?;
        let code = PairCode::from_random(self.entropy.bytes());
        let text = code.to_string();
        let shown = self.sessions.show(now, code, terms).map_err(|e| {
            Report::new(e.class(), "pairing_busy", e.to_string()).hint("end it with: bonfire devices pair --hide")
        })?;
        let invites = matches!(terms, Terms::Invite { .. });
        let seconds = shown.until.since(now).as_secs();
        Ok(Reply::PairCode { code: text, seconds, tries: shown.tries_left, invites })
    }

    /// Shows no code any more.
    pub(super) fn hide_code(&mut self) {
        self.sessions.hide();
    }

    /// Types a code, or uses a token, with these connections in turn.
    pub(super) fn call(
        &mut self,
        now: Instant,
        command: CommandId,
        text: &str,
        wanted: Wanted,
        mut conns: Vec<ConnId>,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let secret = PairCode::parse(text).map(Secret::Code).or_else(|as_code| {
            PairToken::parse(text).map(Secret::Token).map_err(|as_token| {
                let error = if text.chars().filter(|c| c.is_alphanumeric()).count() > 12 { as_token } else { as_code };
                Report::new(error.class(), "bad_code", error.to_string()).hint("type it as it is shown")
            })
        })?;
        // Who has a token is invited by it.
        let wanted = if secret.token_name().is_some() { Wanted { join: true, ..wanted } } else { wanted };
        let terms = self.terms(wanted)?;
        if conns.is_empty() {
            return Err(Report::new(ErrorClass::Unreachable, "no_peer", "no other device is connected to pair with")
                .hint("start Bonfire on the other device, in the same network; see: bonfire peers")
                .retryable());
        }
        let attempt =
            self.sessions.type_code(now).map_err(|e| Report::new(e.class(), "pairing_busy", e.to_string()))?;
        conns.reverse();
        let Some(conn) = conns.pop() else { return Ok(()) };
        let asked = Asked { command, secret: secret.clone(), others: conns };
        let id = self.next_call();
        self.pairings.insert(id, Pairing { attempt, terms, asked: Some(asked), invite: None, player: None });
        fx.push(Effect::Pair(id, Box::new(PairCall { conn, secret, part: terms.part() })));
        Ok(())
    }

    /// Goes on with a pairing.
    pub(crate) fn pair(
        &mut self,
        now: Instant,
        id: PairId,
        input: PairInput,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> News {
        let mut news = News::default();
        let answer = match input {
            PairInput::Began(_, start) => match self.sessions.begin(now, &start) {
                Ok(begun) => {
                    let part = begun.terms.part();
                    let pairing =
                        Pairing { attempt: begun.attempt, terms: begun.terms, asked: None, invite: None, player: None };
                    self.pairings.insert(id, pairing);
                    PairAnswer::Show { secret: begun.secret, part }
                }
                Err(refusal) => PairAnswer::Refuse(refusal),
            },
            PairInput::Proven(other) => self.proven(now, id, other),
            PairInput::Accepted(other, device) => match self.accepted(id, other, &device, wall, fx) {
                Ok(more) => {
                    news.and(more);
                    PairAnswer::Confirm
                }
                Err(refusal) => PairAnswer::Refuse(refusal),
            },
            PairInput::Invited(other, invite) => {
                let player = invite.player.player_id;
                if self.all.contains_key(&player) {
                    // It was removed, and with it the life in which it wrote; it may not have heard of that yet.
                    news.and(self.renew(wall, fx));
                }
                self.invited(id, other, invite)
            }
            PairInput::Done(other) => {
                news.and(self.done(now, id, other, wall, fx));
                return news;
            }
            PairInput::Failed { error, refused } => {
                self.failed(now, id, error, refused, fx);
                return news;
            }
        };
        fx.push(Effect::PairAnswer(id, Box::new(answer)));
        news
    }

    fn proven(&mut self, now: Instant, id: PairId, other: Proven) -> PairAnswer {
        let Some(pairing) = self.pairings.get(&id) else { return PairAnswer::Refuse(PairRefusal::NoCode) };
        if let Err(refusal) = self.sessions.proven(now, pairing.attempt) {
            return PairAnswer::Refuse(refusal);
        }
        match pairing.terms {
            Terms::Join { .. } => PairAnswer::AwaitInvitation,
            Terms::Invite { player, role } => match pairs::admit(&self.roster, self.me, player, role, other) {
                Ok(_) => {
                    let name = self.player_name(player);
                    PairAnswer::Invite { player: PairPlayer { player_id: player, name }, role, ours: self.ours() }
                }
                Err(refusal) => PairAnswer::Refuse(refusal),
            },
        }
    }

    /// The inviting side, when the other took the invitation: it is recorded before the other hears that it is.
    fn accepted(
        &mut self,
        id: PairId,
        other: Proven,
        device: &PairDevice,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<News, PairRefusal> {
        let pairing = self.pairings.get_mut(&id).ok_or(PairRefusal::NoCode)?;
        let Terms::Invite { player, role } = pairing.terms else { return Err(PairRefusal::SamePart) };
        pairing.player = Some(player);
        pairs::admit(&self.roster, self.me, player, role, other)?;
        // Also where it is a device already: it may have lost what it knew.
        let life = Life { device: other.peer, epoch: device.device_epoch };
        let record = Device {
            name: device.name.clone(),
            platform: device.platform.clone(),
            key_hash: Some(other.key_hash),
            role: Some(role),
            ..Device::default()
        };
        let p = self.all.get_mut(&player).ok_or(PairRefusal::NotAllowed)?;
        let known = p.replica.registry().is_open(life);
        // A pin of an earlier pairing must not outlive a removal.
        p.known.vouched.retain(|v| v.device != other.peer);
        let written = if known {
            None
        } else {
            let written = p.replica.pair(life, &record, &mut self.clock, wall);
            Some(written.map_err(|_| PairRefusal::Failed)?)
        };
        p.known.vouched.push(Vouched {
            device: other.peer,
            epoch: device.device_epoch,
            key_hash: other.key_hash,
            role,
            name: device.name.clone(),
        });
        fx.push(Effect::Record(vec![Record::Player(p.known.clone())]));
        if let Some(written) = written {
            self.publish(player, written, fx);
        }
        Ok(self.devices_changed(player, fx))
    }

    /// The joining side: whether the invitation is taken.
    fn invited(&mut self, id: PairId, other: Proven, invite: PairInvite) -> PairAnswer {
        let ours = self.ours();
        let Some(pairing) = self.pairings.get_mut(&id) else { return PairAnswer::Refuse(PairRefusal::NoCode) };
        let Terms::Join { role } = pairing.terms else { return PairAnswer::Refuse(PairRefusal::SamePart) };
        match pairs::join(&self.roster, self.me, role, &invite, other) {
            Ok(_) => {
                pairing.player = Some(invite.player.player_id);
                pairing.invite = Some(invite);
                PairAnswer::Accept { ours }
            }
            Err(refusal) => PairAnswer::Refuse(refusal),
        }
    }

    fn done(&mut self, now: Instant, id: PairId, other: Proven, wall: UnixMillis, fx: &mut Vec<Effect>) -> News {
        let Some(pairing) = self.pairings.remove(&id) else { return News::default() };
        self.sessions.ended(now, pairing.attempt);
        let mut news = News::default();
        if let (Terms::Join { role }, Some(invite)) = (pairing.terms, &pairing.invite) {
            match self.joined(role, other, invite, wall, fx) {
                Ok(more) => news.and(more),
                Err(error) => {
                    if let Some(asked) = pairing.asked {
                        fx.push(Effect::Reply(asked.command, Err(error)));
                    }
                    return news;
                }
            }
        }
        let Some(player) = pairing.player else { return news };
        let name = self.device_name(player, other.peer);
        self.log(player, "paired", name.clone(), wall, fx);
        fx.push(Effect::Emit(PeerEvent::DevicePaired { player, device: other.peer, name: name.clone() }));
        if let Some(asked) = pairing.asked {
            fx.push(Effect::Reply(asked.command, Ok(Reply::Paired { player, device: other.peer, name })));
        }
        news
    }

    /// This device is one of the player's from here on.
    fn joined(
        &mut self,
        role: DeviceRole,
        other: Proven,
        invite: &PairInvite,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<News, Report> {
        let player = invite.player.player_id;
        let change = pairs::join(&self.roster, self.me, role, invite, other).map_err(self::refused)?;
        let member = match change {
            Change::Record { member, .. } => member,
            Change::Nothing => return Ok(News::default()),
        };
        let life = self.life();
        let inviter = Life { device: other.peer, epoch: invite.device.device_epoch };
        let vouched = Vouched {
            device: other.peer,
            epoch: inviter.epoch,
            key_hash: other.key_hash,
            role: member.role,
            name: invite.device.name.clone(),
        };
        let p = self.all.entry(player).or_insert_with(|| super::Player {
            known: KnownPlayer { player, name: invite.player.name.clone(), role, vouched: Vec::new() },
            replica: Replica::new(player, life),
            board: StateBoard::new(life.device, life.epoch),
            links: BTreeMap::new(),
        });
        p.known.role = role;
        p.known.vouched.retain(|v| v.device != other.peer);
        p.known.vouched.push(vouched);
        p.replica.vouch(inviter);
        fx.push(Effect::Record(vec![Record::Player(p.known.clone())]));
        let mut news = self.introduce(player, wall, fx)?;
        news.and(self.devices_changed(player, fx));
        self.say_present(player, wall, fx)?;
        // Whoever is connected already is asked as if it had just come: they were not, while this device was none of theirs.
        let others = self.devices(player).into_keys().filter(|d| *d != self.me.peer);
        news.added.extend(others.map(|device| (player, device)));
        Ok(news)
    }

    fn failed(&mut self, now: Instant, id: PairId, error: Report, refused: Option<PairRefusal>, fx: &mut Vec<Effect>) {
        let Some(mut pairing) = self.pairings.remove(&id) else { return };
        let code_is_over = self.sessions.ended(now, pairing.attempt);
        let Some(asked) = &mut pairing.asked else {
            if code_is_over {
                let hint = "show a new one with: bonfire devices pair";
                let text = format!("the code was tried too often and is shown no more: {}", error.message);
                fx.push(Effect::Emit(PeerEvent::PairingEnded {
                    error: Report::new(ErrorClass::Refused, "code_used_up", text).hint(hint),
                }));
            }
            return;
        };
        // Who shows no code was not the one; of anything else a person has to hear.
        let goes_on = matches!(refused, Some(PairRefusal::NoCode | PairRefusal::SamePart)) || error.retryable;
        if goes_on
            && let Some(conn) = asked.others.pop()
            && let Ok(attempt) = self.sessions.type_code(now)
        {
            pairing.attempt = attempt;
            let call = PairCall { conn, secret: asked.secret.clone(), part: pairing.terms.part() };
            let next = self.next_call();
            self.pairings.insert(next, pairing);
            fx.push(Effect::Pair(next, Box::new(call)));
            return;
        }
        let error = match refused {
            Some(PairRefusal::NoCode) => {
                Report::new(ErrorClass::NotFound, "no_code", "no device here shows this code, or it has run out")
                    .hint("show one on the other device with: bonfire devices pair")
            }
            Some(why) => self::refused(why),
            None => error,
        };
        fx.push(Effect::Reply(asked.command, Err(error)));
    }

    fn terms(&self, wanted: Wanted) -> Result<Terms, Report> {
        let wish = match wanted {
            Wanted { join: true, .. } => Wish::Join,
            Wanted { player: Some(player), .. } => Wish::Invite(player),
            _ => Wish::Whatever,
        };
        pairs::terms(&self.roster, self.me, wish, wanted.role)
            .map_err(|e| Report::new(e.class(), "pairing_refused", e.to_string()).hint("name the player with --player"))
    }

    fn next_call(&mut self) -> PairId {
        self.calls += 1;
        PairId::Ours(self.calls)
    }

    fn ours(&self) -> PairDevice {
        PairDevice {
            peer_id: self.me.peer,
            key_hash: self.me.key_hash,
            device_epoch: self.epoch,
            name: self.name.clone(),
            platform: self.about.platform.clone(),
        }
    }

    /// The player's name for people.
    pub(crate) fn player_name(&self, player: PlayerId) -> String {
        let Some(p) = self.all.get(&player) else { return String::new() };
        let said = p.replica.records().get::<PlayerRecord>(player.0).map(|r| r.name);
        said.filter(|n| !n.is_empty()).unwrap_or_else(|| p.known.name.clone())
    }

    /// Makes a player, whose first device this one is.
    pub(super) fn create(
        &mut self,
        name: &str,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(PlayerId, News), Report> {
        if self.all.len() >= pairs::PLAYERS_MAX {
            let text = format!("this device holds {} players already", self.all.len());
            return Err(Report::new(ErrorClass::Refused, "too_many_players", text));
        }
        let (player, life) = (self.entropy.player(), self.life());
        let known = KnownPlayer { player, name: name.to_owned(), role: DeviceRole::Personal, vouched: Vec::new() };
        fx.push(Effect::Record(vec![Record::Player(known.clone())]));
        let state = super::Player {
            known,
            replica: Replica::new(player, life),
            board: StateBoard::new(life.device, life.epoch),
            links: BTreeMap::new(),
        };
        self.all.insert(player, state);
        let mut news = self.introduce(player, wall, fx)?;
        let record = PlayerRecord { name: name.to_owned() };
        let Some(p) = self.all.get_mut(&player) else { return Ok((player, news)) };
        if let Some(written) = p.replica.put(player.0, &record, &mut self.clock, wall).map_err(replica_error)? {
            self.publish(player, written, fx);
        }
        self.say_present(player, wall, fx)?;
        self.log(player, "player_created", name.to_owned(), wall, fx);
        news.players.insert(player);
        Ok((player, news))
    }

    /// Notes in the audit log what was done here to a player's devices; `detail` is which of them.
    pub(super) fn log(&self, player: PlayerId, action: &str, detail: String, wall: UnixMillis, fx: &mut Vec<Effect>) {
        fx.push(Effect::Record(vec![Record::Audit(AuditEntry {
            seq: 0,
            at: wall.0,
            player,
            game: None,
            slot: None,
            device: self.me.peer,
            action: action.to_owned(),
            snapshot: None,
            replaced: Vec::new(),
            detail,
        })]));
    }
}

/// A refusal for people, on whichever side.
#[must_use]
pub fn refused(why: PairRefusal) -> Report {
    let (text, hint) = match why {
        PairRefusal::NoCode => ("no code is shown there, or it has run out", "show a new one: bonfire devices pair"),
        PairRefusal::Busy => ("another pairing is under way there", "try again in a moment"),
        PairRefusal::WrongCode => ("the code is another one", "look at it again; it may be tried three times"),
        PairRefusal::Version => ("the other device speaks another version of the pairing", "update Bonfire on both"),
        PairRefusal::SamePart => {
            ("both devices invite, or both want to join", "say --join on the device that is to become the other's")
        }
        PairRefusal::OtherRole => (
            "the code or token is for a device in another role, or the device is the player's in another one",
            "say --unattended where the token is for unattended devices; else remove the device first",
        ),
        PairRefusal::NotAllowed => ("that device may not invite to this player", "pair with one of the player's own"),
        PairRefusal::Full => ("there are as many devices or players as there may be", "remove one first"),
        PairRefusal::Failed => ("it broke off", "try again"),
    };
    let report = Report::new(ErrorClass::Refused, "pairing_refused", text).hint(hint);
    if why.is_retryable() { report.retryable() } else { report }
}
