//! Players, devices and saves as they are shown.
//!
//! Owns the views, made anew only for lines and players that were touched: what a snapshot costs is what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bonfire_proto::message_pair::DeviceRole;
use bonfire_proto::{PlayerId, SnapshotId};

use super::SetKey;
use crate::engine::Engine;
use crate::replication::model::{self, SyncMode};
use crate::saves::join::Line;
use crate::saves::lineage::{Node, Relation};
use crate::saves::slot::Slot;
use crate::saves::stale::shown;
use crate::saves_view::{DeviceView, HeadView, PlayerView, SlotDeviceView, SlotView, VersionView};

impl Engine {
    /// The players of this device, sorted by id.
    pub(crate) fn player_views(&self) -> Vec<PlayerView> {
        self.desk.player_views.values().cloned().collect()
    }

    /// Makes the views of what was touched anew.
    pub(crate) fn show_saves(&mut self) {
        let lines = std::mem::take(&mut self.desk.touched);
        let mut players = std::mem::take(&mut self.desk.touched_players);
        for line in lines {
            players.insert(line.player);
            if self.desk.get(&line).is_some() {
                let view = Arc::new(self.slot_view(&line));
                self.desk.slot_views.insert(line, view);
            } else {
                self.desk.slot_views.remove(&line);
            }
        }
        for player in players {
            if self.players.all.contains_key(&player) {
                let view = self.player_view(player);
                self.desk.player_views.insert(player, view);
            } else {
                self.desk.player_views.remove(&player);
            }
        }
    }

    fn player_view(&self, player: PlayerId) -> PlayerView {
        let of_player = self.desk.slot_views.iter().filter(|(line, _)| line.player == player);
        PlayerView {
            player,
            name: self.players.player_name(player),
            is_removed: !self.players.is_member(player),
            devices: self.device_views(player),
            slots: of_player.map(|(_, view)| view.clone()).collect(),
        }
    }

    fn device_views(&self, player: PlayerId) -> Vec<DeviceView> {
        let Some(p) = self.players.all.get(&player) else { return Vec::new() };
        let connected: BTreeSet<_> = self.players.connected(player).into_iter().collect();
        let mut last_seen: BTreeMap<_, u64> = BTreeMap::new();
        for record in p.board.records() {
            let at = last_seen.entry(record.device_id).or_default();
            *at = (*at).max(record.timestamp);
        }
        let members = self.players.roster().players.get(&player);
        let view = |(device, record): (bonfire_proto::PeerId, model::Device)| DeviceView {
            device,
            name: self.players.device_name(player, device),
            platform: record.platform,
            client: record.client,
            client_version: record.client_version,
            address: self.peers.get(&device).and_then(|peer| peer.addr).map(|a| a.to_string()).or(record.address),
            mac: record.mac,
            hostname: record.hostname,
            role: members.and_then(|m| m.get(&device)).map_or(DeviceRole::Unattended, |m| m.role),
            sync_mode: match record.sync_mode {
                SyncMode::Api => "api",
                SyncMode::FileTransfer => "file_transfer",
                SyncMode::PushPull => "push_pull",
            }
            .to_owned(),
            enabled: record.enabled,
            is_this: device == self.me,
            is_connected: connected.contains(&device),
            last_seen: last_seen.get(&device).copied(),
        };
        self.players.devices(player).into_iter().map(view).collect()
    }

    /// How a line stands.
    pub(super) fn slot_view(&self, line: &Line) -> SlotView {
        let key = SetKey::of(line);
        let set = self.desk.sets.get(&key);
        let entry = self.desk.get(line);
        let is_here = self.desk.active(&key).as_ref() == Some(line);
        let record = self.slot_record(line);
        let retention = self.retention(line);
        let heads = entry.map(|e| e.slot.heads()).unwrap_or_default();
        let said: BTreeMap<_, _> = self.heads_of(line).into_iter().collect();
        let lineage = entry.map(|e| e.slot.lineage());
        let holds = |ids: &[SnapshotId]| {
            !heads.is_empty()
                && heads.iter().all(|head| {
                    ids.iter()
                        .any(|id| id == head || lineage.is_some_and(|l| l.relation(*head, *id) == Relation::Ancestor))
                })
        };
        let devices: Vec<SlotDeviceView> = self
            .players
            .devices(line.player)
            .keys()
            .map(|device| {
                let head = said.get(device);
                let have = head.map(|h| h.have.clone()).unwrap_or_default();
                SlotDeviceView {
                    device: *device,
                    name: self.players.device_name(line.player, *device),
                    is_current: head.is_some_and(|h| {
                        h.is_current && h.head.is_some_and(|id| heads.len() == 1 && heads.contains(&id))
                    }),
                    holds: holds(&have),
                    last_synced_at: head.and_then(|h| h.last_synced_at),
                    is_untracked: head.is_some_and(|h| h.is_untracked),
                }
            })
            .collect();
        let paths = set.filter(|_| is_here).and_then(|s| s.place.as_ref());
        SlotView {
            player: line.player,
            game: line.game_id.clone(),
            slot: line.slot.clone(),
            display_name: record.and_then(|r| r.display_name).unwrap_or_else(|| line.slot.to_string()),
            is_here,
            paths: paths.map(|p| p.roots.iter().map(|r| r.path.clone()).collect()).unwrap_or_default(),
            standing: entry.map_or(crate::saves::slot::Standing::Unknown, |e| e.slot.standing()),
            row: entry.and_then(|e| e.slot.row()),
            base: entry.and_then(|e| e.slot.record().base),
            heads: self.head_views(line),
            sides: entry.map(|e| sides(&e.slot, &heads)).unwrap_or_default(),
            stored: entry.map_or(0, |e| e.slot.whole().len() as u64),
            known: lineage.map_or(0, |l| l.len() as u64),
            held_by: devices.iter().filter(|d| d.holds).count() as u64,
            devices,
            is_untracked: entry.is_some_and(|e| e.is_untracked),
            is_running: set.is_some_and(super::Set::is_running),
            keep: retention.keep,
            autocleanup: retention.autocleanup,
            copies: entry.map(|e| e.slot.record().copies.iter().copied().collect()).unwrap_or_default(),
            error: entry.and_then(|e| e.slot.failure().cloned()),
        }
    }

    pub(super) fn head_views(&self, line: &Line) -> Vec<HeadView> {
        let Some(entry) = self.desk.get(line) else { return Vec::new() };
        let heads = entry.slot.heads();
        let (pins, notes) = (self.pins(line), self.notes(line));
        let lineage = entry.slot.lineage();
        let view = |id: SnapshotId| HeadView {
            id,
            version: lineage.get(&id).map(|node| self.version_view(line, node, &heads, &pins, &notes)),
            is_stored: entry.slot.whole().contains(&id),
        };
        shown(&heads, lineage).into_iter().map(|head| view(head.id)).collect()
    }

    /// The versions of a line, newest first.
    pub(super) fn version_views(&self, line: &Line) -> Vec<VersionView> {
        let Some(entry) = self.desk.get(line) else { return Vec::new() };
        let (heads, pins, notes) = (entry.slot.heads(), self.pins(line), self.notes(line));
        let newest = entry.slot.lineage().newest_first();
        newest.into_iter().map(|node| self.version_view(line, node, &heads, &pins, &notes)).collect()
    }

    fn version_view(
        &self,
        line: &Line,
        node: &Node,
        heads: &BTreeSet<SnapshotId>,
        pins: &BTreeSet<SnapshotId>,
        notes: &BTreeMap<SnapshotId, String>,
    ) -> VersionView {
        let entry = self.desk.get(line);
        VersionView {
            id: node.id,
            parents: node.parents.clone(),
            kind: node.kind,
            device: node.device,
            device_name: self.players.device_name(line.player, node.device),
            created_at: node.created_at,
            files: node.files,
            size: node.size,
            played_ms: node.played_ms,
            content_hash: node.content.to_string(),
            is_stored: entry.is_some_and(|e| e.slot.whole().contains(&node.id)),
            is_pinned: pins.contains(&node.id),
            is_base: entry.is_some_and(|e| e.slot.record().base == Some(node.id)),
            is_head: heads.contains(&node.id),
            note: notes.get(&node.id).cloned(),
            picture: self.picture_view(line.player, node.id),
        }
    }

    fn notes(&self, line: &Line) -> BTreeMap<SnapshotId, String> {
        let Some(p) = self.players.all.get(&line.player) else { return BTreeMap::new() };
        let notes = p.replica.records().all::<model::Note>().map(|(_, note)| note);
        notes.filter(|n| n.game == line.game_id && n.slot == line.slot).map(|n| (n.snapshot, n.text)).collect()
    }
}

/// The sides of a conflict: beside what is on the disk; of a slot that is not on this disk, all that differ.
fn sides(slot: &Slot, heads: &BTreeSet<SnapshotId>) -> Vec<SnapshotId> {
    if !slot.record().is_untracked {
        return slot.sides().into_iter().collect();
    }
    let contents: BTreeSet<_> = heads.iter().filter_map(|id| slot.lineage().get(id)).map(|n| n.content).collect();
    if contents.len() > 1 { heads.iter().copied().collect() } else { Vec::new() }
}
