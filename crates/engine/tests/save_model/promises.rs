//! What holds in every room, and what has to come about in some so that this means something.
//!
//! What is right is said in terms of the player's operations and of what each was made on top of, which the room notes when
//! they happen; snapshots, their parents and the decision table have no part in it.
//!
//! That devices come to agree is two things: where nothing is left to hear they agree, and that comes, since a device says
//! something new only when it goes forward or holds more, and there is an end of what it can hold.

use std::collections::BTreeSet;
use std::sync::Arc;

use stateright::Property;

use crate::device::{Device, Shown, Sum};
use crate::room::{Room, Rooms};
use crate::shelf::{Ops, Value, bit};

pub const NOTHING_WRITTEN_OVER: &str = "nothing is written over that history does not have";
pub const NOTHING_FORGOTTEN: &str = "whatever was seen is a head, or a head was made from it";
pub const TRUE_ANCESTRY: &str = "a snapshot was made from what its disk was made from";
pub const NO_MISSED_CONFLICT: &str = "a device that has what differs without knowing of each other shows it";
pub const NO_FALSE_CONFLICT: &str = "a device shows nothing else as a conflict";
pub const REST: &str = "a device comes to rest, and stays so while nothing happens";
pub const FORWARD: &str = "a device goes only to what was made from what it had";
pub const FEW_SNAPSHOTS: &str = "no snapshots without end";
pub const AGREEMENT: &str = "when everybody heard everything, all agree on what the player has done";

pub const SEEN_EVERYWHERE: &str = "a conflict is shown on every device";
pub const RESOLVED_EVERYWHERE: &str = "a resolution settles it on every device";
pub const CONFLICT_AGAIN: &str = "two resolutions at once conflict again";
pub const JOINED: &str = "equal edits are joined on every device";
pub const SURVIVED: &str = "an edit survives a deletion on every device";
pub const IN_TURN: &str = "changes in turn reach every device";
pub const SPARED: &str = "a write that nobody looked at yet stops a fast-forward";

pub fn all() -> Vec<Property<Rooms>> {
    vec![
        Property::always(NOTHING_WRITTEN_OVER, |_, room: &Room| !room.signs.lost),
        Property::always(TRUE_ANCESTRY, |_, room: &Room| !room.signs.crossed),
        Property::always(REST, |_, room: &Room| !room.signs.restless),
        Property::always(FORWARD, |_, room: &Room| !room.signs.moved_aside),
        Property::always(NOTHING_FORGOTTEN, |rooms, room| is_all_kept(&rooms.devices(room))),
        Property::always(NO_MISSED_CONFLICT, |rooms, room| !rooms.devices(room).iter().any(|d| is_missed(room, d))),
        Property::always(NO_FALSE_CONFLICT, |rooms, room| !rooms.devices(room).iter().any(|d| is_false(room, d))),
        Property::always(FEW_SNAPSHOTS, |rooms, room| are_few(room, &rooms.devices(room))),
        Property::always(AGREEMENT, |rooms, room: &Room| {
            let devices = rooms.devices(room);
            !is_quiet(room, &devices) || is_agreed(room, &devices)
        }),
        Property::sometimes(SEEN_EVERYWHERE, |rooms, room: &Room| ends(rooms, room, Shown::Conflict, || true)),
        Property::sometimes(RESOLVED_EVERYWHERE, |rooms, room: &Room| {
            ends(rooms, room, Shown::Current, || room.ops.values().any(|op| op.is_resolution))
        }),
        Property::sometimes(CONFLICT_AGAIN, |rooms, room: &Room| {
            let is_resolution = |op: &u8| room.ops[op].is_resolution;
            ends(rooms, room, Shown::Conflict, || newest(room, Ops::MAX).iter().all(is_resolution))
        }),
        Property::sometimes(JOINED, |rooms, room: &Room| {
            let newest = newest(room, Ops::MAX);
            let is_edit = |op: &u8| room.ops[op].value != 0;
            ends(rooms, room, Shown::Current, || newest.len() > 1 && newest.iter().all(is_edit))
        }),
        Property::sometimes(SURVIVED, |rooms, room: &Room| {
            let newest = newest(room, Ops::MAX);
            let values: BTreeSet<bool> = newest.iter().map(|op| room.ops[op].value == 0).collect();
            ends(rooms, room, Shown::Current, || values.len() == 2)
        }),
        Property::sometimes(IN_TURN, |rooms, room: &Room| {
            let is_line = room.ops.len() > 1 && newest(room, Ops::MAX).len() == 1;
            ends(rooms, room, Shown::Current, || is_line && !room.ops.values().any(|op| op.is_resolution))
        }),
        Property::sometimes(SPARED, |_, room: &Room| room.signs.spared),
    ]
}

/// Whether a room has come to rest, everybody shows this, and more holds.
fn ends(rooms: &Rooms, room: &Room, shown: Shown, and: impl Fn() -> bool) -> bool {
    if !room.is_all_heard() {
        return false;
    }
    let devices = rooms.devices(room);
    devices.iter().all(|d| d.shown == shown) && is_quiet(room, &devices) && and()
}

/// Operations among these that nothing among these was made on top of.
fn newest(room: &Room, among: Ops) -> Vec<u8> {
    let among = among & !room.same;
    let ops = || room.ops.iter().filter(move |(op, _)| among & bit(**op) != 0);
    let past = ops().fold(0, |past, (_, op)| past | op.past);
    ops().map(|(op, _)| *op).filter(|op| past & bit(*op) == 0).collect()
}

/// What a player would have to choose from. A deletion is nothing to choose beside an edit.
fn values(room: &Room, among: Ops) -> BTreeSet<Value> {
    newest(room, among).iter().map(|op| room.ops[op].value).filter(|value| *value != 0).collect()
}

fn is_all_kept(devices: &[Arc<Device>]) -> bool {
    let stored = devices.iter().fold(0, |ops, d| ops | d.sum.stored);
    let heads = devices.iter().fold(0, |ops, d| ops | d.sum.heads);
    stored & !heads == 0
}

fn are_few(room: &Room, devices: &[Arc<Device>]) -> bool {
    let all: BTreeSet<_> = devices.iter().flat_map(|d| &d.store).collect();
    all.len() <= 4 * room.ops.len()
}

/// What a device holds is what counts, whatever it takes for a head.
fn is_missed(room: &Room, device: &Device) -> bool {
    let is_silent = matches!(device.shown, Shown::Current | Shown::Other);
    is_silent && device.sum.has_ancestors && values(room, device.sum.stored).len() > 1
}

/// Across a gap nobody can tell. An edit that survived a deletion is one that no player made: who resolved a conflict
/// without knowing of it is asked once more.
fn is_false(room: &Room, device: &Device) -> bool {
    let Sum { has_heads, has_ancestors, sides, survivors, .. } = &device.sum;
    let values = values(room, *sides);
    device.shown == Shown::Conflict && *has_heads && *has_ancestors && values.union(survivors).count() < 2
}

/// Whether there is nothing to hear, to see or to answer.
fn is_quiet(room: &Room, devices: &[Arc<Device>]) -> bool {
    let is_at_rest = |d: &Device| d.seen == d.disk && d.shown != Shown::Held && d.sum.has_heads && d.sum.has_ancestors;
    room.is_all_heard() && devices.iter().all(|d| is_at_rest(d))
}

fn is_agreed(room: &Room, devices: &[Arc<Device>]) -> bool {
    let (first, values) = (&devices[0], values(room, Ops::MAX));
    let may_be_seen: BTreeSet<Value> = values.union(&first.sum.survivors).copied().collect();
    let is_right = first.sum.values.is_superset(&values) && first.sum.values.is_subset(&may_be_seen);
    let is_conflict = first.sum.values.len() > 1;
    let shown = if is_conflict { Shown::Conflict } else { Shown::Current };
    let is_same = |d: &Device| {
        d.heads == first.heads && d.sum.values == first.sum.values && (is_conflict || d.base == first.base)
    };
    is_right && devices.iter().all(|d| is_same(d) && d.shown == shown)
}
