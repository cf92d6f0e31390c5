//! The players of this device: who belongs to them, what they agreed on, and how two devices come to be one player's.
//!
//! Owns each player's shared log and device-owned state, the clock, the tokens and the pairing that is under way. What is
//! told and asked is `sync`'s, how two devices pair is `pairing`'s, what a person may change is `commands`'. Where saves
//! stand is `saves::desk`'s.

mod commands;
mod pairing;
mod sync;

use std::collections::BTreeMap;

use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{DeviceEpoch, Digest, PeerId, PlayerId};

use crate::entropy::Entropy;
use crate::input::{Effect, PairId};
use crate::record::{KnownPlayer, KnownToken, Record, Stored, StoredPlayer, Vouched};
use crate::replication::Life;
use crate::replication::clock::{Clock, ClockError};
use crate::replication::model::{self, Device, Presence};
use crate::replication::replica::{Replica, ReplicaError, Written};
use crate::replication::state::{StateBoard, StateReceipt};
use crate::report::{ErrorClass, Report};
use crate::saves::join::Stamp;
use crate::time::{Instant, UnixMillis};
use crate::trust::roster::{Member, Proven, Roster};
use crate::trust::sessions::{Sessions, Terms};
use crate::trust::{PairToken, Scopes};

use pairing::Pairing;
pub use pairing::refused;
use sync::Asking;
pub(crate) use sync::News;

/// What this machine says of itself to the player's other devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// Operating system: `linux`, `windows`, `steamdeck` ..
    pub platform: String,
    /// The program.
    pub client: String,
    /// Its version.
    pub client_version: String,
    /// Name on the network.
    pub hostname: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// A hash of the system's id of this installation, never that id itself.
    pub machine_id: Option<Digest>,
}

/// One player on this device.
#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) known: KnownPlayer,
    pub(crate) replica: Replica,
    pub(crate) board: StateBoard,
    /// The player's devices that are connected, and what they are being asked.
    links: BTreeMap<PeerId, Asking>,
}

/// The players of this device.
#[derive(Debug)]
pub struct Players {
    pub(crate) me: Proven,
    /// Name of this machine for people.
    name: String,
    about: About,
    entropy: Entropy,
    clock: Clock,
    epoch: DeviceEpoch,
    pub(crate) all: BTreeMap<PlayerId, Player>,
    sessions: Sessions,
    tokens: Vec<KnownToken>,
    pairings: BTreeMap<PairId, Pairing>,
    calls: u64,
    roster: Roster,
    is_roster_new: bool,
}

impl Players {
    /// As they were left. Takes its part out of `stored`.
    #[must_use]
    pub fn restore(now: Instant, me: Proven, name: &str, about: About, seed: [u8; 32], stored: &mut Stored) -> Self {
        let mut entropy = Entropy::new(seed);
        let epoch = stored.epoch.unwrap_or_else(|| entropy.epoch());
        let mut players = Self {
            me,
            name: name.to_owned(),
            about,
            entropy,
            clock: Clock::restore(me.peer, stored.clock),
            epoch,
            all: BTreeMap::new(),
            sessions: Sessions::new(now),
            tokens: Vec::new(),
            pairings: BTreeMap::new(),
            calls: 0,
            roster: Roster::default(),
            is_roster_new: true,
        };
        for StoredPlayer { known, log, board } in std::mem::take(&mut stored.players) {
            let mut replica = Replica::restore(known.player, log);
            for vouched in &known.vouched {
                replica.vouch(Life { device: vouched.device, epoch: vouched.epoch });
            }
            players.all.insert(known.player, Player { known, replica, board, links: BTreeMap::new() });
        }
        for token in std::mem::take(&mut stored.tokens) {
            // One that cannot be read any more lets nobody in, which is the safe side.
            if let Ok(parsed) = PairToken::parse(&token.token)
                && players.sessions.add_token(parsed, Terms::Invite { player: token.player, role: token.role }).is_ok()
            {
                players.tokens.push(token);
            }
        }
        players.roster = players.make_roster();
        players
    }

    /// See `Engine::take_roster`.
    pub fn take_roster(&mut self) -> Option<Roster> {
        std::mem::take(&mut self.is_roster_new).then(|| self.roster.clone())
    }

    /// Who belongs to which player.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The player that is meant: the one that is named, or the only one.
    ///
    /// # Errors
    /// When there is no such player here, or several and none is named.
    pub fn resolve(&self, named: Option<PlayerId>) -> Result<PlayerId, Report> {
        let not_found = |text: &str| Report::new(ErrorClass::NotFound, "no_player", text.to_owned());
        match named {
            Some(player) if self.all.contains_key(&player) => Ok(player),
            Some(player) => Err(not_found(&format!("player {player} is not on this device"))
                .hint("see who is here with: bonfire devices list")),
            None => {
                let mut ids = self.all.keys();
                match (ids.next(), ids.next()) {
                    (None, _) => Err(not_found("there is no player on this device")
                        .hint("make one with: bonfire devices create-player NAME; or join one: bonfire devices pair")),
                    (Some(only), None) => Ok(*only),
                    _ => {
                        let text = format!("{} players are on this device", self.all.len());
                        let refused = Report::new(ErrorClass::Refused, "which_player", text);
                        Err(refused.hint("say which one with --player"))
                    }
                }
            }
        }
    }

    /// The player's devices, this one too, with their records, sorted by id.
    pub(crate) fn devices(&self, player: PlayerId) -> BTreeMap<PeerId, Device> {
        let Some(p) = self.all.get(&player) else { return BTreeMap::new() };
        let mut devices: BTreeMap<PeerId, Device> = p.replica.devices().map(|(life, d)| (life.device, d)).collect();
        for v in &p.known.vouched {
            let life = Life { device: v.device, epoch: v.epoch };
            if p.replica.registry().is_open(life) {
                let device = devices.entry(v.device).or_default();
                if device.name.is_empty() {
                    device.name.clone_from(&v.name);
                }
            }
        }
        devices
    }

    /// The name of a device for people; empty when it is not known.
    pub(crate) fn device_name(&self, player: PlayerId, device: PeerId) -> String {
        if device == self.me.peer && !self.all.get(&player).is_some_and(|p| p.replica.registry().is_device(device)) {
            return self.name.clone();
        }
        let Some(p) = self.all.get(&player) else { return String::new() };
        let record = p.replica.records().get::<Device>(*device.as_uuid()).map(|d| d.name);
        let vouched = || p.known.vouched.iter().find(|v| v.device == device).map(|v| v.name.clone());
        record.filter(|n| !n.is_empty()).or_else(vouched).unwrap_or_default()
    }

    /// Whether this device is one of the player's, and takes part.
    pub(crate) fn takes_part(&self, player: PlayerId) -> bool {
        self.is_member(player)
            && self.all.get(&player).is_some_and(|p| {
                p.replica.records().get::<Device>(*self.me.peer.as_uuid()).is_none_or(|device| device.enabled)
            })
    }

    /// Whether this device is one of the player's.
    pub(crate) fn is_member(&self, player: PlayerId) -> bool {
        self.all.get(&player).is_some_and(|p| p.replica.registry().is_device(self.me.peer))
    }

    /// The player's other devices that are connected and may be asked.
    pub(crate) fn connected(&self, player: PlayerId) -> Vec<PeerId> {
        self.all.get(&player).map(|p| p.links.keys().copied().collect()).unwrap_or_default()
    }

    /// Whether every other device of the player is connected: then what none of them has is nowhere.
    pub(crate) fn is_everyone_connected(&self, player: PlayerId) -> bool {
        let links = self.all.get(&player).map(|p| &p.links);
        self.devices(player).keys().all(|d| *d == self.me.peer || links.is_some_and(|l| l.contains_key(d)))
    }

    /// Whether every device of the player has said everything that it has to say of its state.
    pub(crate) fn is_everyone_known(&self, player: PlayerId) -> bool {
        let Some(p) = self.all.get(&player) else { return false };
        let said = |d: &PeerId| p.board.get::<Presence>(*d, *d.as_uuid()).is_some();
        self.devices(player).keys().all(said)
    }

    /// The time of something that is made here now. What has to be durable before it is used goes into `fx`.
    ///
    /// # Errors
    /// At the end of time.
    pub(crate) fn stamp(&mut self, wall: UnixMillis, fx: &mut Vec<Effect>) -> Result<Stamp, Report> {
        let tick = self.clock.tick(wall).map_err(clock_error)?;
        if let Some(mark) = tick.mark {
            fx.push(Effect::Record(vec![Record::Clock(mark)]));
        }
        Ok(Stamp { device: self.me.peer, hlc: tick.hlc, created_at: wall.0, note: None })
    }

    /// This device as it describes itself.
    fn myself(&self, role: DeviceRole) -> Device {
        Device {
            name: self.name.clone(),
            platform: self.about.platform.clone(),
            client: self.about.client.clone(),
            client_version: self.about.client_version.clone(),
            hostname: self.about.hostname.clone(),
            mac: self.about.mac.clone(),
            machine_id: self.about.machine_id,
            key_hash: Some(self.me.key_hash),
            role: Some(role),
            ..Device::default()
        }
    }

    fn life(&self) -> Life {
        Life { device: self.me.peer, epoch: self.epoch }
    }

    /// Brings the roster in step with the records, and pins what is new in it. Returns the devices that are gone from it.
    fn refresh_roster(&mut self, fx: &mut Vec<Effect>) -> Vec<(PlayerId, PeerId)> {
        let roster = self.make_roster();
        if roster == self.roster {
            return Vec::new();
        }
        let gone = self.roster.players.iter().flat_map(|(player, members)| {
            let stays = roster.players.get(player);
            let left = members.keys().filter(move |d| !stays.is_some_and(|s| s.contains_key(d)));
            left.map(|d| (*player, *d)).collect::<Vec<_>>()
        });
        let gone: Vec<_> = gone.collect();
        self.roster = roster;
        self.is_roster_new = true;
        let mut records = Vec::new();
        for (player, p) in &mut self.all {
            let Some(members) = self.roster.players.get(player) else { continue };
            let mut vouched = Vec::new();
            for life in p.replica.registry().devices().into_iter().filter(|l| l.device != self.me.peer) {
                let Some(member) = members.get(&life.device) else { continue };
                let record: Option<Device> = p.replica.records().get(*life.device.as_uuid());
                let before = p.known.vouched.iter().find(|v| v.device == life.device);
                let name = record.map(|d| d.name).or_else(|| before.map(|v| v.name.clone())).unwrap_or_default();
                let (device, epoch) = (life.device, life.epoch);
                vouched.push(Vouched { device, epoch, key_hash: member.key_hash, role: member.role, name });
            }
            if vouched != p.known.vouched {
                p.known.vouched = vouched;
                records.push(Record::Player(p.known.clone()));
            }
        }
        if !records.is_empty() {
            fx.push(Effect::Record(records));
        }
        gone
    }

    /// What the records say, under the pins: a key and a role that were once taken in stand, whatever is written later.
    fn make_roster(&self) -> Roster {
        let mut roster = Roster { guests: true, players: BTreeMap::new() };
        for (player, p) in &self.all {
            let members = roster.players.entry(*player).or_default();
            for life in p.replica.registry().devices() {
                let record: Option<Device> = p.replica.records().get(*life.device.as_uuid());
                let pin = p.known.vouched.iter().find(|v| v.device == life.device);
                let member = if life.device == self.me.peer {
                    Some((self.me.key_hash, p.known.role))
                } else if let Some(pin) = pin {
                    Some((pin.key_hash, pin.role))
                } else {
                    record.and_then(|d| Some((d.key_hash?, d.role.unwrap_or(DeviceRole::Unattended))))
                };
                if let Some((key_hash, role)) = member {
                    members.insert(life.device, Member::paired(key_hash, role));
                }
            }
        }
        roster
    }

    /// What a device may do for a player.
    fn scopes(&self, who: Proven, player: PlayerId) -> Scopes {
        match self.roster.standing(who, Some(player)) {
            crate::trust::Standing::Device(scopes) => scopes,
            _ => Scopes::NONE,
        }
    }

    /// Makes an own change durable and tells it.
    fn publish(&self, player: PlayerId, written: Written, fx: &mut Vec<Effect>) {
        let mut records: Vec<Record> = written.mark.map(Record::Clock).into_iter().collect();
        let entries = vec![written.entry];
        records.push(Record::Shared { player, entries: entries.clone(), floors: Vec::new(), acks: Vec::new() });
        fx.push(Effect::Record(records));
        self.tell_shared(player, entries, None, fx);
    }

    /// Says something of this device to the player's others.
    pub(crate) fn say<M: model::Model>(
        &mut self,
        player: PlayerId,
        record_uuid: uuid::Uuid,
        record: &M,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let Some(p) = self.all.get_mut(&player) else { return Ok(()) };
        let said = p.board.publish_model(record_uuid, record, wall);
        let said = said.map_err(|e| Report::new(e.class(), "state", e.to_string()))?;
        if let Some(receipt) = said {
            self.keep_state(player, &receipt, Vec::new(), fx);
            self.tell_state(player, receipt.put, None, fx);
        }
        Ok(())
    }

    /// Writes what changed in a shared record.
    pub(crate) fn put<M: model::Model>(
        &mut self,
        player: PlayerId,
        record_uuid: uuid::Uuid,
        record: &M,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let Some(p) = self.all.get_mut(&player) else { return Ok(()) };
        if let Some(written) = p.replica.put(record_uuid, record, &mut self.clock, wall).map_err(replica_error)? {
            self.publish(player, written, fx);
        }
        Ok(())
    }

    /// Writes that a shared record is no more.
    pub(crate) fn delete<M: model::Model>(
        &mut self,
        player: PlayerId,
        record_uuid: uuid::Uuid,
        wall: UnixMillis,
        fx: &mut Vec<Effect>,
    ) -> Result<(), Report> {
        let Some(p) = self.all.get_mut(&player) else { return Ok(()) };
        if let Some(written) = p.replica.delete::<M>(record_uuid, &mut self.clock, wall).map_err(replica_error)? {
            self.publish(player, written, fx);
        }
        Ok(())
    }

    /// Every head that a device told, for a start.
    pub(crate) fn all_heads(&self) -> Vec<(PlayerId, PeerId, uuid::Uuid)> {
        let of = |(player, p): (&PlayerId, &Player)| -> Vec<(PlayerId, PeerId, uuid::Uuid)> {
            p.board.all::<model::SlotHead>().map(|(device, uuid, _)| (*player, device, uuid)).collect()
        };
        self.all.iter().flat_map(of).collect()
    }

    fn keep_state(&self, player: PlayerId, receipt: &StateReceipt, removed: Vec<PeerId>, fx: &mut Vec<Effect>) {
        let StateReceipt { put, gone, marks, .. } = receipt;
        if put.is_empty() && gone.is_empty() && marks.is_empty() && removed.is_empty() {
            return;
        }
        let (put, gone, marks) = (put.clone(), gone.clone(), marks.clone());
        fx.push(Effect::Record(vec![Record::State { player, gone, put, marks, removed }]));
    }
}

fn clock_error(e: ClockError) -> Report {
    Report::new(e.class(), "clock", e.to_string())
}

fn replica_error(e: ReplicaError) -> Report {
    let report = Report::new(e.class(), "shared_log", e.to_string());
    if e.is_retryable() { report.retryable() } else { report }
}
