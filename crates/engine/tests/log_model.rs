//! Every interleaving of a small room: two or three devices that write, hear, ack, drop and start anew. The rules of the
//! shared log hold in all of them, and each rule that it does not follow loses a change in some, so the model would see it.
//!
//! A message may be lost, late, repeated and out of order: any entry that was ever written may arrive anywhere at any time,
//! or never. What counts as still to be had is only what some device holds. Dropping is modelled at its worst, without the
//! full state that a device too far behind is given.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may stop at the first surprise, and says how much it saw"
)]

use std::collections::{BTreeSet, VecDeque};

use bonfire_engine::replication::clock::{Clock, ClockMark};
use bonfire_engine::time::UnixMillis;
use bonfire_proto::{Hlc, PeerId};
use uuid::Uuid;

/// What an ack says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ack {
    /// All entries of each author up to a position.
    Contiguous,
    /// The furthest entry of each author that was seen.
    HighestSeen,
    /// The latest time of all entries that were seen.
    LatestTime,
}

/// When entries are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drop {
    /// When every device has acked them; one that never did stands at 0.
    AllAcked,
    /// When every device that ever acked anything of that author has.
    AllThatAcked,
    /// When some device has acked them.
    FirstAck,
}

#[derive(Debug, Clone, Copy)]
struct Rules {
    ack: Ack,
    drop: Drop,
    /// Whether the clock's mark is durable before its time is used.
    durable_clock: bool,
}

const OURS: Rules = Rules { ack: Ack::Contiguous, drop: Drop::AllAcked, durable_clock: true };

#[derive(Debug, Clone, Copy)]
struct Scope {
    devices: usize,
    /// Entries that are written in all.
    writes: usize,
    /// Starts in all.
    starts: usize,
    /// Whether the last device may be removed.
    removal: bool,
}

const MAX: usize = 3;

/// What one device knows. Positions are bits: bit 0 is entry 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Device {
    clock: Clock,
    mark: ClockMark,
    wall: u64,
    /// Entries held, by author. Those beyond a gap are not durable.
    held: [u8; MAX],
    /// Entries dropped, by author.
    dropped: [u8; MAX],
    /// What each device acked, by author, as bits.
    acked: [[u8; MAX]; MAX],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Room {
    devices: Vec<Device>,
    /// Times of each author's entries, in order.
    written: Vec<Vec<Hlc>>,
    writes: usize,
    starts: usize,
    is_removed: bool,
}

/// What came of exploring a room.
#[derive(Debug)]
struct Explored {
    states: usize,
    /// What is wrong, and after how many steps at the least.
    broken: Option<(&'static str, usize)>,
    /// Whether everything was held by all and then dropped by all in some run.
    finishes: bool,
}

impl Room {
    fn new(scope: Scope) -> Self {
        let device = |n: usize| Device {
            clock: Clock::restore(peer(n), ClockMark::default()),
            mark: ClockMark::default(),
            wall: 1,
            held: [0; MAX],
            dropped: [0; MAX],
            acked: [[0; MAX]; MAX],
        };
        let devices: Vec<_> = (0..scope.devices).map(device).collect();
        Self { written: vec![vec![]; devices.len()], devices, writes: 0, starts: 0, is_removed: false }
    }

    /// Devices of the player.
    fn registered(&self) -> std::ops::Range<usize> {
        0..self.devices.len() - usize::from(self.is_removed)
    }

    fn next(&self, rules: Rules, scope: Scope) -> Vec<Self> {
        let mut next = Vec::new();
        for d in self.registered() {
            next.extend(self.write(d, scope));
            next.extend(self.hear(d));
            for to in self.registered().filter(|to| *to != d) {
                next.extend(self.ack(d, to, rules));
            }
            next.extend(self.drop_acked(d, rules));
            next.extend(self.start(d, rules, scope));
        }
        if scope.removal && !self.is_removed {
            next.push(Self { is_removed: true, ..self.clone() });
        }
        next
    }

    fn write(&self, d: usize, scope: Scope) -> Option<Self> {
        // Devices are alike, so who writes first is called the first, or the last where that one may be removed.
        let may_be_first = d == 0 || (scope.removal && d == scope.devices - 1);
        if self.writes == scope.writes || (self.writes == 0 && !may_be_first) {
            return None;
        }
        let mut room = self.clone();
        let device = &mut room.devices[d];
        let tick = device.clock.tick(UnixMillis(device.wall)).unwrap();
        device.mark = tick.mark.unwrap_or(device.mark);
        device.held[d] |= 1 << room.written[d].len();
        room.written[d].push(tick.hlc);
        room.writes += 1;
        Some(room)
    }

    /// Any entry that was ever written, from its author or by the way of a relay.
    fn hear(&self, d: usize) -> Vec<Self> {
        let mut next = Vec::new();
        for (author, times) in self.written.iter().enumerate().filter(|(author, _)| *author != d) {
            for (at, time) in times.iter().enumerate() {
                let device = &self.devices[d];
                if (device.held[author] | device.dropped[author]) >> at & 1 == 1 {
                    continue;
                }
                let mut room = self.clone();
                let device = &mut room.devices[d];
                device.held[author] |= 1 << at;
                let mark = device.clock.observe(*time, UnixMillis(device.wall)).unwrap();
                device.mark = mark.unwrap_or(device.mark);
                next.push(room);
            }
        }
        next
    }

    /// Device `d` tells `to` what it holds, and that is not lost. One that is late says less than a later one, and less
    /// than was said before changes nothing.
    fn ack(&self, d: usize, to: usize, rules: Rules) -> Option<Self> {
        let mut room = self.clone();
        for author in 0..self.devices.len() {
            let had = self.devices[d].held[author] | self.devices[d].dropped[author];
            let says = match rules.ack {
                Ack::Contiguous => (1 << had.trailing_ones()) - 1,
                Ack::HighestSeen => (1 << (8 - had.leading_zeros())) - 1,
                Ack::LatestTime => self.not_later(author, self.latest_of(d)?),
            };
            room.devices[to].acked[d][author] |= says;
        }
        (room != *self).then_some(room)
    }

    fn latest_of(&self, d: usize) -> Option<Hlc> {
        let had = |author: usize| self.devices[d].held[author] | self.devices[d].dropped[author];
        let all = self.written.iter().enumerate();
        all.flat_map(|(author, times)| times.iter().enumerate().filter(move |(at, _)| had(author) >> at & 1 == 1))
            .map(|(_, time)| *time)
            .max()
    }

    fn not_later(&self, author: usize, than: Hlc) -> u8 {
        let not_later = self.written[author].iter().enumerate().filter(|(_, time)| **time <= than);
        not_later.fold(0, |bits, (at, _)| bits | 1 << at)
    }

    fn drop_acked(&self, d: usize, rules: Rules) -> Option<Self> {
        let mut room = self.clone();
        for author in 0..self.devices.len() {
            let device = &mut room.devices[d];
            let others = self.registered().filter(|other| *other != d).map(|other| device.acked[other][author]);
            let whole = (1 << device.held[author].trailing_ones()) - 1;
            let acked = match rules.drop {
                Drop::AllAcked => others.fold(u8::MAX, |all, one| all & one),
                Drop::AllThatAcked => {
                    let said: Vec<u8> = others.filter(|bits| *bits > 0).collect();
                    if said.is_empty() { 0 } else { said.into_iter().fold(u8::MAX, |all, one| all & one) }
                }
                Drop::FirstAck => others.fold(0, |all, one| all | one),
            };
            device.dropped[author] |= whole & acked;
        }
        (room != *self).then_some(room)
    }

    /// The process dies and starts again, with its wall clock put back.
    fn start(&self, d: usize, rules: Rules, scope: Scope) -> Option<Self> {
        if self.starts == scope.starts {
            return None;
        }
        let mut room = self.clone();
        let device = &mut room.devices[d];
        for held in &mut device.held {
            *held &= (1 << held.trailing_ones()) - 1;
        }
        let mark = if rules.durable_clock { device.mark } else { ClockMark::default() };
        (device.clock, device.wall) = (Clock::restore(peer(d), mark), 0);
        room.starts += 1;
        Some(room)
    }

    fn broken(&self) -> Option<&'static str> {
        for (author, times) in self.written.iter().enumerate() {
            if times.windows(2).any(|w| w[0] >= w[1]) {
                return Some("a time of one device twice, or going back");
            }
            for at in 0..times.len() {
                let has = |d: usize| self.devices[d].held[author] >> at & 1 == 1;
                let can_give = |d: usize| has(d) && self.devices[d].dropped[author] >> at & 1 == 0;
                // What only a removed device wrote and nobody heard is gone with it.
                let matters = self.registered().contains(&author) || self.registered().any(has);
                let all = self.registered().all(has);
                if matters && !all && !self.registered().any(can_give) {
                    return Some("a change that some device can never get");
                }
            }
        }
        None
    }

    /// Everything was written, reached all and could be dropped everywhere.
    fn is_done(&self, scope: Scope) -> bool {
        let whole = |author: usize| u8::try_from((1u32 << self.written[author].len()) - 1).unwrap();
        self.writes == scope.writes
            && self.registered().all(|d| (0..self.devices.len()).all(|a| self.devices[d].dropped[a] == whole(a)))
    }
}

fn peer(n: usize) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n as u128))
}

/// Every room that can come about, breadth first, up to the first that is broken.
fn explore(rules: Rules, scope: Scope) -> Explored {
    let first = Room::new(scope);
    let mut seen = BTreeSet::from([first.clone()]);
    let mut queue = VecDeque::from([(first, 0)]);
    let mut finishes = false;
    while let Some((room, depth)) = queue.pop_front() {
        if let Some(what) = room.broken() {
            return Explored { states: seen.len(), broken: Some((what, depth)), finishes };
        }
        finishes |= room.is_done(scope);
        for next in room.next(rules, scope) {
            if seen.insert(next.clone()) {
                queue.push_back((next, depth + 1));
            }
        }
    }
    Explored { states: seen.len(), broken: None, finishes }
}

fn refuted(rules: Rules, scope: Scope) -> &'static str {
    let found = explore(rules, scope);
    let (what, steps) = found.broken.unwrap_or_else(|| panic!("{rules:?} holds in all of {} states", found.states));
    eprintln!("{rules:?}: {what}, in {steps} steps");
    what
}

const TWO: Scope = Scope { devices: 2, writes: 3, starts: 2, removal: false };
const THREE: Scope = Scope { devices: 3, writes: 2, starts: 1, removal: false };

#[test]
fn the_rules_of_the_log_hold_between_two_devices_with_starts() {
    let found = explore(OURS, TWO);
    eprintln!("{} states", found.states);
    assert_eq!(found.broken, None);
    assert!(found.finishes && found.states > 1_000, "{found:?}");
}

#[test]
fn the_rules_of_the_log_hold_among_three_devices_with_a_start() {
    let found = explore(OURS, THREE);
    eprintln!("{} states", found.states);
    assert_eq!(found.broken, None);
    assert!(found.finishes && found.states > 10_000, "{found:?}");
}

#[test]
fn a_removed_device_stands_in_nobodys_way() {
    let found = explore(OURS, Scope { starts: 0, removal: true, ..THREE });
    eprintln!("{} states", found.states);
    assert_eq!(found.broken, None);
    assert!(found.finishes, "{found:?}");
}

#[test]
fn acking_the_latest_time_loses_a_change() {
    assert_eq!(refuted(Rules { ack: Ack::LatestTime, ..OURS }, THREE), "a change that some device can never get");
}

#[test]
fn acking_the_highest_position_seen_loses_a_change() {
    assert_eq!(refuted(Rules { ack: Ack::HighestSeen, ..OURS }, TWO), "a change that some device can never get");
}

#[test]
fn dropping_on_the_first_ack_loses_a_change() {
    assert_eq!(refuted(Rules { drop: Drop::FirstAck, ..OURS }, THREE), "a change that some device can never get");
}

#[test]
fn dropping_when_all_that_ever_acked_have_acked_loses_a_change() {
    assert_eq!(refuted(Rules { drop: Drop::AllThatAcked, ..OURS }, THREE), "a change that some device can never get");
}

#[test]
fn a_clock_that_is_not_durable_gives_a_time_twice() {
    let rules = Rules { durable_clock: false, ..OURS };
    assert_eq!(refuted(rules, TWO), "a time of one device twice, or going back");
}
