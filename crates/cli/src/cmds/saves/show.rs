//! How saves are shown: one line for a slot, tables for lists, histories, summaries and the audit log. Pure; text of other
//! devices is cleaned by what prints it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bonfire_engine::Snapshot;
use bonfire_engine::saves::slot::Standing;
use bonfire_engine::saves_view::{AuditEntry, SlotView, VersionView};
use bonfire_proto::{GameId, PeerId, PlayerId, SlotName, SnapshotKind};
use serde::Serialize;

use crate::args::saves::OrderBy;
use crate::render::{brief, count, size, span, table};
use crate::when::{age, utc};

/// `quake main`, or `quake hard (Nightmare)` where people call the slot otherwise.
pub(crate) fn title(slot: &SlotView) -> String {
    format!("{} {}", slot.game, slot_name(slot))
}

fn slot_name(slot: &SlotView) -> String {
    if slot.display_name.is_empty() || slot.display_name == slot.slot.as_str() {
        slot.slot.to_string()
    } else {
        format!("{} ({})", slot.slot, slot.display_name)
    }
}

/// The newest version that is known, if any.
pub(crate) fn newest(slot: &SlotView) -> Option<&VersionView> {
    slot.heads.iter().find_map(|head| head.version.as_ref())
}

/// How a slot stands, in words.
pub(crate) fn state(slot: &SlotView) -> String {
    let standing = match slot.standing {
        _ if slot.is_untracked => "left alone",
        Standing::Held => "HELD, see below",
        Standing::Conflict => "CONFLICT, see below",
        _ if slot.error.is_some() => "stands still, see below",
        _ if !slot.is_here => "not on this disk",
        Standing::Unknown => "not looked at yet",
        Standing::Current => "in step",
        Standing::Ahead => "others are behind",
        Standing::Working => "working",
        Standing::Deferred => "newer one waits for the game to end",
        Standing::Waiting => "waits for the disk to settle",
        Standing::Untracked => "left alone",
    };
    if slot.is_running { format!("{standing}, being played") } else { standing.to_owned() }
}

/// `held by 2 of 3 devices`.
pub(crate) fn held_by(slot: &SlotView) -> String {
    format!("held by {} of {}", slot.held_by, count(slot.devices.len() as u64, "device"))
}

/// How long the game was seen to run on the way to a version; a dash when nobody saw it.
pub(crate) fn played(version: &VersionView) -> String {
    match version.played_ms {
        0 => "-".to_owned(),
        ms => span(Duration::from_millis(ms)),
    }
}

/// What a version is: `version 3f9a01000000 of 3 min ago from tower, 3 files, 2.0 KiB`.
pub(crate) fn version_line(version: &VersionView, now: u64) -> String {
    let what = if version.kind == SnapshotKind::Tombstone {
        "deleted".to_owned()
    } else {
        format!("{}, {}", count(version.files, "file"), size(version.size))
    };
    format!("version {} of {} from {}, {what}", brief(&version.id), age(now, version.created_at), by(version))
}

/// How a slot stands now, after something was done.
pub(crate) fn slot_line(slot: &SlotView, now: u64) -> String {
    let state = state(slot).replace(", see below", "");
    match newest(slot) {
        Some(version) => format!("{state}: {}, {}", version_line(version, now), held_by(slot)),
        None => format!("{state}: no version yet"),
    }
}

/// What a person should know or do about a slot, besides its line.
pub(crate) fn notes(slot: &SlotView) -> Vec<String> {
    let title = title(slot);
    let at = command_at(slot);
    let mut notes = Vec::new();
    match slot.standing {
        Standing::Conflict => notes.push(format!(
            "{title}: {} differ and nothing was replaced; compare them with: bonfire saves conflicts",
            count(slot.sides.len() as u64 + 1, "version")
        )),
        Standing::Held => notes.push(format!(
            "{title}: the save on the disk is missing, empty or much smaller than before; nothing is told or deleted. To get \
             it back: bonfire saves release {at} --restore; if it is meant so: bonfire saves release {at} --keep-disk"
        )),
        _ => {}
    }
    if let Some(error) = &slot.error {
        let hint = if error.hint.is_empty() { String::new() } else { format!(" ({})", error.hint) };
        notes.push(format!("{title}: {}{hint}", error.message));
    }
    notes
}

/// How many games' saves are kept here without a place on this disk, and what to do: after the database was lost that is so
/// for all of them.
pub(crate) fn elsewhere<'a>(slots: &[&'a Arc<SlotView>]) -> Option<String> {
    let of = |is_wanted: fn(&SlotView) -> bool| -> BTreeSet<(PlayerId, &'a GameId)> {
        slots.iter().filter(|s| is_wanted(s)).map(|s| (s.player, &s.game)).collect()
    };
    let (stored, here) = (of(|s| s.stored > 0), of(|s| s.is_here));
    let n = stored.difference(&here).count() as u64;
    (n > 0).then(|| {
        let has = if n == 1 { "has" } else { "have" };
        let games = count(n, "game");
        format!("{games} {has} versions here and no known place on this disk; to say it: bonfire saves add GAME [PATH]")
    })
}

/// The slot as it is named on a command line: without `--slot` where that is what commands take by themselves.
pub(crate) fn command_at(slot: &SlotView) -> String {
    if slot.is_here { slot.game.to_string() } else { format!("{} --slot '{}'", slot.game, slot.slot) }
}

/// Every slot of these players. The player is named where there are several.
pub(crate) fn list(snapshot: &Snapshot, game: Option<&GameId>, now: u64) -> String {
    let with_player = snapshot.players.len() > 1;
    let mut rows = Vec::new();
    for player in &snapshot.players {
        for slot in player.slots.iter().filter(|s| game.is_none_or(|g| s.game == *g)) {
            let mut row = list_row(slot, now);
            if with_player {
                row.insert(0, player.name.clone());
            }
            rows.push(row);
        }
    }
    let mut header = vec!["GAME", "SLOT", "STATE", "NEWEST", "BY", "SIZE", "VERSIONS", "HELD BY"];
    if with_player {
        header.insert(0, "PLAYER");
    }
    let offset = usize::from(with_player);
    table(&header, &[5 + offset, 6 + offset], rows)
}

fn list_row(slot: &SlotView, now: u64) -> Vec<String> {
    let newest = newest(slot);
    let dash = || "-".to_owned();
    vec![
        slot.game.to_string(),
        slot_name(slot),
        state(slot),
        newest.map_or_else(dash, |v| age(now, v.created_at)),
        newest.map_or_else(dash, by),
        newest.map_or_else(dash, |v| size(v.size)),
        slot.known.to_string(),
        format!("{} of {}", slot.held_by, slot.devices.len()),
    ]
}

/// The device that made a version.
pub(crate) fn by(version: &VersionView) -> String {
    if version.device_name.is_empty() { version.device.short() } else { version.device_name.clone() }
}

/// Sorts a history, which comes newest first, and cuts it.
pub(crate) fn sorted(mut versions: Vec<VersionView>, order: OrderBy, limit: Option<usize>) -> Vec<VersionView> {
    match order {
        OrderBy::Time => {}
        OrderBy::Size => versions.sort_by_key(|v| std::cmp::Reverse(v.size)),
        OrderBy::Device => versions.sort_by_key(by),
    }
    versions.truncate(limit.unwrap_or(usize::MAX));
    versions
}

/// The versions of a slot.
pub(crate) fn history(versions: &[VersionView], now: u64) -> String {
    let row = |v: &VersionView| {
        vec![
            brief(&v.id),
            utc(v.created_at),
            age(now, v.created_at),
            by(v),
            kind(v).to_owned(),
            played(v),
            v.files.to_string(),
            size(v.size),
            marks(v),
            v.note.clone().unwrap_or_default(),
        ]
    };
    let header = ["VERSION", "WHEN (UTC)", "AGE", "BY", "KIND", "PLAYED", "FILES", "SIZE", "STATE", "NOTE"];
    table(&header, &[5, 6, 7], versions.iter().map(row).collect())
}

fn kind(version: &VersionView) -> &'static str {
    match version.kind {
        SnapshotKind::Save => "save",
        SnapshotKind::Tombstone => "deleted",
        SnapshotKind::Merge => "settled",
        SnapshotKind::Rollback => "rolled back",
    }
}

fn marks(version: &VersionView) -> String {
    let marks = [
        (version.is_head, "newest"),
        (version.is_base, "on this disk"),
        (version.is_pinned, "pinned"),
        (!version.is_stored, "not stored here"),
        (version.picture.as_ref().is_some_and(|p| p.is_here), "picture"),
        (version.picture.as_ref().is_some_and(|p| !p.is_here), "picture not here"),
    ];
    let marks: Vec<&str> = marks.into_iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
    if marks.is_empty() { "-".to_owned() } else { marks.join(", ") }
}

/// A slot in a summary.
#[derive(Debug, Serialize)]
pub(crate) struct SlotSummary {
    /// Its name.
    pub(crate) slot: SlotName,
    /// What people call it.
    pub(crate) display_name: String,
    /// How many versions there are.
    pub(crate) count: u64,
    /// Bytes of their files, each version counted whole.
    pub(crate) size: u64,
    /// The newest one.
    pub(crate) latest: Option<VersionView>,
}

impl SlotSummary {
    /// Of a slot with these versions.
    pub(crate) fn new(slot: &SlotView, versions: &[VersionView]) -> Self {
        Self {
            slot: slot.slot.clone(),
            display_name: slot.display_name.clone(),
            count: versions.len() as u64,
            size: versions.iter().fold(0, |sum, v| sum.saturating_add(v.size)),
            latest: newest(slot).or(versions.first()).cloned(),
        }
    }
}

/// The slots of a game.
pub(crate) fn summary(slots: &[(&SlotView, SlotSummary)], now: u64) -> String {
    let row = |(slot, summary): &(&SlotView, SlotSummary)| {
        let dash = || "-".to_owned();
        let latest = summary.latest.as_ref();
        vec![
            slot_name(slot),
            summary.count.to_string(),
            size(summary.size),
            latest.map_or_else(dash, |v| brief(&v.id)),
            latest.map_or_else(dash, |v| age(now, v.created_at)),
            latest.map_or_else(dash, by),
            latest.map_or_else(dash, |v| v.files.to_string()),
            latest.map_or_else(dash, |v| size(v.size)),
            state(slot),
        ]
    };
    let header = ["SLOT", "VERSIONS", "ALL OF THEM", "LATEST", "AGE", "BY", "FILES", "SIZE", "STATE"];
    table(&header, &[1, 2, 6, 7], slots.iter().map(row).collect())
}

/// The audit log. Devices go by the names that the players of this device know them by.
pub(crate) fn audit(snapshot: &Snapshot, entries: &[AuditEntry]) -> String {
    let row = |e: &AuditEntry| {
        let dash = || "-".to_owned();
        let replaced: Vec<String> = e.replaced.iter().map(brief).collect();
        vec![
            utc(e.at),
            e.action.clone(),
            e.game.as_ref().map_or_else(dash, ToString::to_string),
            e.slot.as_ref().map_or_else(dash, ToString::to_string),
            device_name(snapshot, e.device),
            e.snapshot.as_ref().map_or_else(dash, brief),
            if replaced.is_empty() { dash() } else { replaced.join(" ") },
            e.detail.clone(),
        ]
    };
    let header = ["WHEN (UTC)", "WHAT", "GAME", "SLOT", "BY", "VERSION", "REPLACED", "DETAIL"];
    table(&header, &[], entries.iter().map(row).collect())
}

/// A device's name for people, or the beginning of its id.
pub(crate) fn device_name(snapshot: &Snapshot, device: PeerId) -> String {
    let mut devices = snapshot.players.iter().flat_map(|p| &p.devices);
    let name = devices.find(|d| d.device == device).map(|d| d.name.clone()).filter(|n| !n.is_empty());
    name.unwrap_or_else(|| device.short())
}

#[cfg(test)]
mod tests;
