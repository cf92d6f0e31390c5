//! What a person may change about players and devices.
//!
//! Owns the checks of what is asked for; the changes themselves are entries of the shared log.

use bonfire_proto::limits::TEXT_LEN_MAX;
use bonfire_proto::message_pair::{DeviceRole, TokenName};
use bonfire_proto::{PeerId, PlayerId, text};

use super::pairing::Wanted;
use super::{Device, News, Players, Record, replica_error};
use crate::command::{DevicesCommand, RegisteredAs, Reply};
use crate::input::{CommandId, ConnId, Effect};
use crate::record::KnownToken;
use crate::replication::model::{Player as PlayerRecord, SlotHead};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Line;
use crate::time::{Instant, UnixMillis};
use crate::trust::devices::{Fingerprint, Flags, Mac, Registration, register};
use crate::trust::sessions::Terms;
use crate::trust::{PairToken, Scope};

/// What a command came to: a reply now, or later.
type Outcome = Result<(Option<Reply>, News), Report>;

impl Players {
    /// Carries out a command. `conns` are the connections that a code may be typed on: to the peer that was named, or all.
    pub(crate) fn command(
        &mut self,
        now: Instant,
        id: CommandId,
        command: DevicesCommand,
        conns: Vec<ConnId>,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Outcome {
        let done = |news| Ok((Some(Reply::Done), news));
        match command {
            DevicesCommand::CreatePlayer { name } => {
                let (player, news) = self.create(&named(&name)?, wall, fx)?;
                Ok((Some(Reply::Player { player }), news))
            }
            DevicesCommand::ShowCode { player, join, role } => {
                let reply = self.show_code(now, Wanted { player, join, role })?;
                Ok((Some(reply), News::default()))
            }
            DevicesCommand::HideCode => {
                self.hide_code();
                done(News::default())
            }
            DevicesCommand::Pair { code, with: _, player, join, role } => {
                self.call(now, id, &code, Wanted { player, join, role }, conns, fx)?;
                Ok((None, News::default()))
            }
            DevicesCommand::AddToken { player, role } => {
                let player = self.resolve(player)?;
                Ok((Some(self.add_token(player, role, fx)?), News::default()))
            }
            DevicesCommand::RevokeToken { name } => {
                self.revoke_token(&name, fx)?;
                done(News::default())
            }
            DevicesCommand::Rename { player, device, name } => {
                let name = named(&name)?;
                done(self.change(player, device, "renamed", wall, fx, |record| record.name = name)?)
            }
            DevicesCommand::RenamePlayer { player, name } => {
                let player = self.resolve(player)?;
                self.check_may_manage(player)?;
                let record = PlayerRecord { name: named(&name)? };
                let mut news = News::default();
                news.players.insert(player);
                if let Some(p) = self.all.get_mut(&player)
                    && let Some(written) =
                        p.replica.put(player.0, &record, &mut self.clock, wall).map_err(replica_error)?
                {
                    self.publish(player, written, fx);
                }
                self.log(player, "renamed", record.name, wall, fx);
                done(news)
            }
            DevicesCommand::Enable { player, device, enabled } => {
                let action = if enabled { "enabled" } else { "disabled" };
                done(self.change(player, device, action, wall, fx, |record| record.enabled = enabled)?)
            }
            DevicesCommand::Remove { player, device } => {
                let player = self.resolve(player)?;
                done(self.remove(player, device, wall, fx)?)
            }
            DevicesCommand::Register { player, allow_existing, allow_duplicate, reset_syncs, chosen } => {
                let flags = Flags { allow_existing, allow_duplicate, reset_syncs };
                let player = self.resolve(player)?;
                let (reply, news) = self.register(player, flags, chosen, wall, fx)?;
                Ok((Some(reply), news))
            }
        }
    }

    fn change(
        &mut self,
        player: Option<PlayerId>,
        device: Option<PeerId>,
        action: &str,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
        change: impl FnOnce(&mut Device),
    ) -> Result<News, Report> {
        let player = self.resolve(player)?;
        let device = device.unwrap_or(self.me.peer);
        if device != self.me.peer {
            self.check_may_manage(player)?;
        }
        let mut record = self.device(player, device)?;
        change(&mut record);
        let Some(p) = self.all.get_mut(&player) else { return Ok(News::default()) };
        if let Some(written) =
            p.replica.put(*device.as_uuid(), &record, &mut self.clock, wall).map_err(replica_error)?
        {
            self.publish(player, written, fx);
        }
        self.log(player, action, record.name, wall, fx);
        Ok(self.devices_changed(player, fx))
    }

    fn remove(
        &mut self,
        player: PlayerId,
        device: PeerId,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<News, Report> {
        let name = self.device(player, device)?.name;
        if device != self.me.peer {
            self.check_may_manage(player)?;
        }
        let Some(p) = self.all.get_mut(&player) else { return Ok(News::default()) };
        let written = p.replica.remove_device(device, &mut self.clock, wall).map_err(replica_error)?;
        p.known.vouched.retain(|v| v.device != device);
        fx.push(Effect::Record(vec![Record::Player(p.known.clone())]));
        // The removed one is told too, as the last thing.
        self.publish(player, written, fx);
        self.log(player, "removed", name, wall, fx);
        Ok(self.devices_changed(player, fx))
    }

    fn register(
        &mut self,
        player: PlayerId,
        flags: Flags,
        chosen: Option<PeerId>,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(Reply, News), Report> {
        let mut known = self.devices(player);
        let mine = known.remove(&self.me.peer).ok_or_else(|| not_a_device(self.me.peer))?;
        // Who is there at the same time is another device, however alike the two look.
        let here = self.connected(player);
        let known: std::collections::BTreeMap<PeerId, Fingerprint> =
            known.iter().filter(|(id, _)| !here.contains(id)).map(|(id, device)| (*id, fingerprint(device))).collect();
        match register(&fingerprint(&mine), flags, chosen, &known) {
            Registration::Create => {
                Ok((Reply::Registered { as_what: RegisteredAs::New, device: None }, News::default()))
            }
            Registration::Existing { device, reset_syncs, .. } => {
                self.check_may_manage(player)?;
                let former = self.device(player, device)?;
                let mut news = self.change(Some(player), None, "registered", wall, fx, |record| {
                    record.name = former.name;
                    record.sync_mode = former.sync_mode;
                    record.enabled = former.enabled;
                })?;
                if !reset_syncs {
                    news.left_alone = self.left_alone(player, device);
                }
                news.and(self.remove(player, device, wall, fx)?);
                Ok((Reply::Registered { as_what: RegisteredAs::Existing, device: Some(device) }, news))
            }
            conflict => {
                let device = conflict.device();
                let which = device.map_or_else(String::new, |d| format!(": {} ({d})", self.device_name(player, d)));
                let text = format!("this device looks like one that the player has already{which}");
                Err(Report::new(ErrorClass::Refused, "device_exists", text).hint(
                    "name the device that it was (--chosen ID), or say that it is another one (--allow-duplicate)",
                ))
            }
        }
    }

    fn add_token(&mut self, player: PlayerId, role: DeviceRole, fx: &mut Vec<Effect>) -> Result<Reply, Report> {
        self.check_may_manage(player)?;
        let token = PairToken::from_random(self.entropy.bytes());
        let text = token.to_string();
        self.sessions
            .add_token(token, Terms::Invite { player, role })
            .map_err(|e| Report::new(e.class(), "token", e.to_string()))?;
        let known = KnownToken { token: text.clone(), player, role };
        fx.push(Effect::Record(vec![Record::Token(known.clone())]));
        self.tokens.push(known);
        Ok(Reply::PairToken { token: text })
    }

    fn revoke_token(&mut self, name: &str, fx: &mut Vec<Effect>) -> Result<(), Report> {
        let unknown =
            || Report::new(ErrorClass::NotFound, "no_token", format!("no token begins with {}", text::clean(name)));
        let name = TokenName::new(name.trim().to_uppercase()).map_err(|_| unknown())?;
        if !self.sessions.revoke_token(&name) {
            return Err(unknown());
        }
        self.tokens.retain(|t| !t.token.starts_with(name.as_str()));
        fx.push(Effect::Record(vec![Record::TokenGone(name)]));
        Ok(())
    }

    /// The slots that a device of the player leaves alone.
    fn left_alone(&self, player: PlayerId, device: PeerId) -> Vec<Line> {
        let heads = self.all.get(&player).into_iter().flat_map(|p| p.board.all::<SlotHead>());
        let alone = heads.filter(|(of, _, head)| *of == device && head.is_untracked);
        alone.map(|(_, _, head)| Line { player, game_id: head.game, slot: head.slot }).collect()
    }

    /// A device of the player, by id.
    fn device(&self, player: PlayerId, device: PeerId) -> Result<Device, Report> {
        self.devices(player).remove(&device).ok_or_else(|| not_a_device(device))
    }

    fn check_may_manage(&self, player: PlayerId) -> Result<(), Report> {
        if self.scopes(self.me, player).has(Scope::DevicesWrite) {
            return Ok(());
        }
        let text = "this device may not change who belongs to the player";
        Err(Report::new(ErrorClass::Refused, "not_allowed", text).hint("do it on one of the player's own devices"))
    }
}

fn not_a_device(device: PeerId) -> Report {
    Report::new(ErrorClass::NotFound, "no_device", format!("{device} is no device of this player"))
        .hint("see them with: bonfire devices list")
}

fn named(name: &str) -> Result<String, Report> {
    let clean = text::clean(name.trim());
    if clean.is_empty() || clean.len() > TEXT_LEN_MAX {
        let text = format!("a name has 1 to {TEXT_LEN_MAX} bytes of visible text");
        return Err(Report::new(ErrorClass::Refused, "bad_name", text));
    }
    Ok(clean)
}

fn fingerprint(device: &Device) -> Fingerprint {
    Fingerprint {
        key_hash: device.key_hash,
        machine_id: device.machine_id,
        mac: device.mac.as_deref().and_then(|m| m.parse::<Mac>().ok()),
        hostname: device.hostname.clone(),
        platform: Some(device.platform.clone()).filter(|p| !p.is_empty()),
    }
}
