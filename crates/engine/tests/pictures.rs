//! P21: which pictures are fetched, kept and let go of, whatever sources do. 10,000 random cases a property; `BONFIRE_CASES`
//! sets another number.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(clippy::print_stdout, reason = "how often it came about is the result")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers are below 20")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bonfire_engine::replication::model::{self, Picture};
use bonfire_engine::replication::records::Records;
use bonfire_engine::sidecars::shelf::{Key, Limits, Named, Shelf, Stand, Step};
use bonfire_engine::sidecars::work::Brought;
use bonfire_engine::{ErrorClass, Instant, Report};
use bonfire_proto::message_sync::{ChangeType, RecordData, SharedEntry};
use bonfire_proto::{
    DeviceEpoch, Digest, GameId, Hlc, PeerId, PictureFormat, PictureRef, PlayerId, SlotName, SnapshotId,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use uuid::Uuid;

const PEERS: usize = 4;
const PICTURES: usize = 8;
/// Small numbers, so that every bound is met: pictures of 10 to 40 bytes, of which those of 30 come unasked, and room for 50.
const LIMITS: Limits = Limits { at_once: 3, eager_len: 30, kept: 50 };
/// More than any row of waits that ends.
const LONG: u64 = 3_600_000;

fn cases() -> u32 {
    std::env::var("BONFIRE_CASES").ok().map_or(10_000, |n| n.parse().expect("BONFIRE_CASES is a number"))
}

fn peer(n: usize) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n as u128 + 1))
}

fn key(n: usize) -> Key {
    (PlayerId(Uuid::from_u128(7)), SnapshotId(Digest([n as u8; 32])))
}

/// Later ones were made later.
fn whole(n: usize) -> Stand {
    Stand::Whole(Hlc { ms: n as u64, count: 0, device: peer(9) })
}

/// A picture of this length; two of one snapshot differ by their hash.
fn picture(n: usize, other: bool) -> PictureRef {
    let len = 10 * (n as u32 % 4 + 1);
    PictureRef { hash: Digest([n as u8 + if other { 100 } else { 50 }; 32]), len, format: PictureFormat::Png }
}

/// What three devices write of one snapshot's picture, and in which order each of two others hears of it.
#[derive(Debug, Clone)]
struct Written {
    acts: Vec<(u8, u64, bool, bool)>,
    heard: [Vec<prop::sample::Index>; 2],
}

fn written() -> impl Strategy<Value = Written> {
    let acts = prop::collection::vec((0u8..3, 0u64..20, any::<bool>(), prop::bool::weighted(0.6)), 1..8);
    let order = || prop::collection::vec(any::<prop::sample::Index>(), 0..24);
    (acts, order(), order()).prop_map(|(acts, a, b)| Written { acts, heard: [a, b] })
}

/// The entries, each with a time of its own.
fn entries(written: &Written) -> Vec<SharedEntry> {
    let (_, snapshot) = key(1);
    let one = |(seq, (device, ms, other, is_put)): (usize, &(u8, u64, bool, bool))| {
        let device = peer(usize::from(*device));
        let picture = picture(1, *other);
        let record = Picture {
            game: GameId::new("quake").unwrap(),
            slot: SlotName::main(),
            snapshot,
            hash: picture.hash,
            len: picture.len,
            format: picture.format,
            device,
        };
        SharedEntry {
            device_id: device,
            device_epoch: DeviceEpoch(Uuid::from_u128(1)),
            seq: seq as u64 + 1,
            hlc: Hlc { ms: *ms, count: seq as u32, device },
            model_type: "picture".to_owned(),
            record_uuid: model::snapshot_record_id(snapshot),
            change_type: if *is_put { ChangeType::Insert } else { ChangeType::Delete },
            data: if *is_put { model::write(&record) } else { RecordData::new() },
        }
    };
    written.acts.iter().enumerate().map(one).collect()
}

#[test]
fn p21_a_picture_that_was_removed_comes_back_from_nobody_and_the_newest_is_everybodys() {
    let config = Config { cases: cases(), failure_persistence: None, ..Config::default() };
    let (removed, kept) = (RefCell::new(0u32), RefCell::new(0u32));
    let run = TestRunner::new(config).run(&written(), |written| {
        let entries = entries(&written);
        // The last word is that with the latest time.
        let last = entries.iter().max_by_key(|e| e.hlc).unwrap();
        let wanted = (last.change_type == ChangeType::Insert)
            .then(|| {
                [picture(1, false), picture(1, true)].into_iter().find(|p| last.data["hash"] == p.hash.to_string())
            })
            .flatten();
        for heard in &written.heard {
            let (mut records, mut shelf) = (Records::default(), Shelf::new(LIMITS));
            // It has both from before, as a device that was off when one was taken away.
            let mut disk = BTreeSet::from([picture(1, false), picture(1, true)]);
            disk.iter().for_each(|p| shelf.stored(key(1), *p));
            let in_part = heard.iter().map(|i| i.get(&entries));
            for entry in in_part.chain(&entries) {
                records.apply(entry);
                let record: Option<Picture> = records.get(entry.record_uuid);
                let named = record.map(|r| Named { picture: r.what(), is_own: false });
                shelf.record(key(1), named, records.knows::<Picture>(entry.record_uuid));
                for step in shelf.next(Instant(0), &|_| whole(1)) {
                    match step {
                        Step::Remove(s) => prop_assert!(disk.remove(&s.picture)),
                        Step::Fetch(..) => prop_assert!(false, "nobody has anything"),
                    }
                }
            }
            prop_assert_eq!(shelf.picture(&key(1)), wanted, "what is shown");
            prop_assert!(disk.iter().all(|p| Some(*p) == wanted), "{:?} is kept and {:?} wanted", disk, wanted);
        }
        *if wanted.is_some() { &kept } else { &removed }.borrow_mut() += 1;
        Ok(())
    });
    if let Err(e) = run {
        panic!("{e}");
    }
    let (removed, kept) = (removed.into_inner(), kept.into_inner());
    println!("{} cases, {removed} removed, {kept} kept", cases());
    assert!(removed * 5 > cases() && kept * 5 > cases());
}

/// How a source behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Honest,
    Cuts,
    Lies,
    Refuses,
}

#[derive(Debug, Clone)]
enum Act {
    /// A record says that snapshot n has one of its two pictures.
    Name { n: usize, other: bool, is_own: bool },
    /// A record is deleted.
    Unname(usize),
    /// A snapshot stands so here: 0 unknown, 1 let go of, 2 known, 3 whole.
    Stands(usize, u8),
    /// A device says which of all pictures it has.
    Says { from: usize, anew: bool, bits: u16 },
    /// A device is gone.
    Gone(usize),
    /// A device behaves so from now on.
    Behaves(usize, Manner),
    /// Somebody asks for a picture.
    Ask(usize),
    /// A picture that is here is lost.
    Lose(usize),
    /// The disk takes nothing, or does again.
    Full(bool),
    /// What is under way ends, up to so many.
    Work(usize),
    /// Time passes, in seconds.
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let n = 0..PICTURES;
    let manner = prop_oneof![
        3 => Just(Manner::Honest),
        1 => Just(Manner::Cuts),
        1 => Just(Manner::Lies),
        1 => Just(Manner::Refuses)
    ];
    prop_oneof![
        5 => (n.clone(), any::<bool>(), prop::bool::weighted(0.3)).prop_map(|(n, other, is_own)| Act::Name { n, other, is_own }),
        2 => n.clone().prop_map(Act::Unname),
        2 => (n.clone(), prop_oneof![1 => 0u8..3, 2 => Just(3u8)]).prop_map(|(n, s)| Act::Stands(n, s)),
        6 => (0..PEERS, prop::bool::weighted(0.3), any::<u16>()).prop_map(|(from, anew, bits)| Act::Says { from, anew, bits }),
        1 => (0..PEERS).prop_map(Act::Gone),
        2 => (0..PEERS, manner).prop_map(|(p, m)| Act::Behaves(p, m)),
        2 => n.clone().prop_map(Act::Ask),
        1 => n.prop_map(Act::Lose),
        1 => prop::bool::weighted(0.3).prop_map(Act::Full),
        6 => (1usize..4).prop_map(Act::Work),
        2 => (0u64..400).prop_map(Act::Wait),
    ]
}

/// A device with its shelf, and everything else about it told apart from the shelf.
struct World {
    shelf: Shelf,
    now: u64,
    named: BTreeMap<usize, (PictureRef, bool)>,
    stands: BTreeMap<usize, Stand>,
    said: BTreeMap<usize, BTreeSet<Digest>>,
    manners: [Manner; PEERS],
    is_full: bool,
    asked: BTreeSet<usize>,
    disk: BTreeSet<(usize, PictureRef)>,
    running: Vec<(usize, PictureRef, usize)>,
    /// Fetches since a source last said something, somebody asked, or a record changed.
    in_vain: usize,
    fetches: u64,
    evicted: u64,
}

fn index(key: &Key) -> usize {
    usize::from(key.1.0.0[0])
}

impl World {
    fn new() -> Self {
        Self {
            shelf: Shelf::new(LIMITS),
            now: 0,
            named: BTreeMap::new(),
            stands: BTreeMap::new(),
            said: BTreeMap::new(),
            manners: [Manner::Honest; PEERS],
            is_full: false,
            asked: BTreeSet::new(),
            disk: BTreeSet::new(),
            running: Vec::new(),
            in_vain: 0,
            fetches: 0,
            evicted: 0,
        }
    }

    fn stand(&self, n: usize) -> Stand {
        self.stands.get(&n).copied().unwrap_or_else(|| whole(n))
    }

    fn act(&mut self, act: &Act) -> Result<(), String> {
        match *act {
            Act::Name { n, other, is_own } => {
                let picture = picture(n, other);
                if self.named.insert(n, (picture, is_own)).map(|(p, _)| p) != Some(picture) {
                    self.asked.remove(&n);
                }
                self.shelf.record(key(n), Some(Named { picture, is_own }), true);
                self.in_vain = 0;
            }
            Act::Unname(n) => {
                self.named.remove(&n);
                self.asked.remove(&n);
                self.shelf.record(key(n), None, true);
            }
            Act::Stands(n, stand) => {
                let stand = [Stand::Unknown, Stand::LetGo, Stand::Known, whole(n)][usize::from(stand)];
                self.stands.insert(n, stand);
                self.shelf.touch(key(n));
            }
            Act::Says { from, anew, bits } => {
                let all = (0..PICTURES).flat_map(|n| [picture(n, false), picture(n, true)]);
                let (has, lacks): (Vec<_>, Vec<_>) = all.enumerate().partition(|(i, _)| bits & (1 << i) != 0);
                let hashes = |of: Vec<(usize, PictureRef)>| of.into_iter().map(|(_, p)| p.hash).collect::<Vec<_>>();
                let (has, lacks) = (hashes(has), hashes(lacks));
                let said = self.said.entry(from).or_default();
                said.retain(|h| !anew && !lacks.contains(h));
                said.extend(&has);
                self.shelf.said(key(0).0, peer(from), anew, &has, &lacks);
                self.in_vain = 0;
            }
            Act::Gone(p) => {
                self.said.remove(&p);
                self.shelf.forget(key(0).0, peer(p));
            }
            Act::Behaves(p, manner) => self.manners[p] = manner,
            Act::Ask(n) => {
                if self.named.contains_key(&n) {
                    self.asked.insert(n);
                    self.in_vain = 0;
                }
                self.shelf.ask(key(n));
            }
            Act::Lose(n) => {
                let here = self.disk.iter().find(|(m, _)| *m == n).copied();
                if let Some((n, picture)) = here {
                    self.disk.remove(&(n, picture));
                    self.shelf.lost(key(n), picture);
                    if self.named.contains_key(&n) {
                        self.asked.insert(n);
                    }
                    self.in_vain = 0;
                }
            }
            Act::Full(is_full) => self.is_full = is_full,
            Act::Work(many) => {
                for _ in 0..many.min(self.running.len()) {
                    self.end(0);
                    self.go()?;
                }
            }
            Act::Wait(seconds) => {
                let until = self.now + seconds * 1_000;
                while let Some(at) = self.shelf.next_deadline().filter(|at| at.0 <= until) {
                    self.now = self.now.max(at.0);
                    self.go()?;
                    if self.shelf.next_deadline() == Some(at) {
                        return Err(format!("{at:?} stays due"));
                    }
                }
                self.now = until;
            }
        }
        self.go()
    }

    /// Lets the shelf say what is to be done, and checks that it may.
    fn go(&mut self) -> Result<(), String> {
        let mut shelf = std::mem::take(&mut self.shelf);
        let steps = shelf.next(Instant(self.now), &|key| self.stand(index(key)));
        self.shelf = shelf;
        for step in steps {
            match step {
                Step::Remove(sidecar) => {
                    let n = usize::from(sidecar.snapshot.0.0[0]);
                    if !self.disk.remove(&(n, sidecar.picture)) {
                        return Err(format!("{n} is let go of and was not here"));
                    }
                    self.may_go(n, sidecar.picture)?;
                }
                Step::Fetch(key, picture, from) => {
                    let (n, from) = (index(&key), from.as_uuid().as_u128() as usize - 1);
                    self.may_fetch(n, picture, from)?;
                    self.running.push((n, picture, from));
                    self.fetches += 1;
                    self.in_vain += 1;
                }
            }
        }
        self.holds()
    }

    fn may_go(&mut self, n: usize, picture: PictureRef) -> Result<(), String> {
        let Some((named, is_own)) = self.named.get(&n).copied().filter(|(p, _)| *p == picture) else { return Ok(()) };
        if self.stand(n) == Stand::LetGo && !self.asked.contains(&n) {
            return Ok(());
        }
        let is_elsewhere = self.said.values().any(|s| s.contains(&named.hash));
        if is_own || !is_elsewhere || self.asked.contains(&n) {
            return Err(format!("the picture of {n} made way: own {is_own}, elsewhere {is_elsewhere}"));
        }
        self.evicted += 1;
        Ok(())
    }

    fn may_fetch(&self, n: usize, picture: PictureRef, from: usize) -> Result<(), String> {
        let Some((named, is_own)) = self.named.get(&n) else {
            return Err(format!("{n} has no picture and is fetched"));
        };
        let is_eager = matches!(self.stand(n), Stand::Whole(_)) && (*is_own || picture.len <= LIMITS.eager_len);
        let is_asked = self.asked.contains(&n) && self.stand(n) != Stand::Unknown;
        if *named != picture || self.disk.contains(&(n, picture)) {
            return Err(format!("{n} is fetched as what it is not, or is here"));
        }
        if !is_eager && !is_asked {
            return Err(format!("{n} is fetched unasked: {:?}, {} bytes", self.stand(n), picture.len));
        }
        if !self.said.get(&from).is_some_and(|s| s.contains(&picture.hash)) {
            return Err(format!("{from} is asked for what it never said to have"));
        }
        let others = self.disk.iter().filter(|(m, _)| !self.named[m].1).map(|(_, p)| u64::from(p.len));
        let coming = self.running.iter().map(|(_, p, _)| u64::from(p.len));
        let kept: u64 = others.chain(coming).sum::<u64>() + u64::from(picture.len);
        if !is_own && !is_asked && kept > LIMITS.kept {
            return Err(format!("{n} is fetched unasked and makes it {kept} bytes"));
        }
        if self.running.iter().any(|(m, ..)| *m == n) {
            return Err(format!("{n} is fetched twice at once"));
        }
        Ok(())
    }

    /// What must be so at every moment.
    fn holds(&self) -> Result<(), String> {
        if self.running.len() > LIMITS.at_once {
            return Err(format!("{} are fetched at once", self.running.len()));
        }
        let here: BTreeSet<_> =
            self.shelf.here(key(0).0).map(|s| (usize::from(s.snapshot.0.0[0]), s.picture)).collect();
        if here != self.disk {
            return Err(format!("{here:?} is believed to be here, and {:?} is", self.disk));
        }
        for (n, picture) in &self.disk {
            if self.named.get(n).is_none_or(|(p, _)| p != picture) {
                return Err(format!("what no record of {n} names is kept"));
            }
        }
        // Every source of every picture a few rounds: beyond that it goes on for ever.
        if self.in_vain > PICTURES * PEERS * 8 {
            return Err(format!("{} fetches although nothing new was said", self.in_vain));
        }
        Ok(())
    }

    /// The fetch in this place ends as its source behaves.
    fn end(&mut self, at: usize) {
        let (n, picture, from) = self.running.remove(at);
        let has = self.said.get(&from).is_some_and(|s| s.contains(&picture.hash));
        let brought = match self.manners[from] {
            Manner::Honest if !has => Brought::Refused,
            Manner::Honest if self.is_full => Brought::Disk(Report::new(ErrorClass::Environment, "no_space", "full")),
            Manner::Honest => Brought::Whole,
            Manner::Cuts => Brought::Cut,
            Manner::Lies => Brought::Lied,
            Manner::Refuses => Brought::Refused,
        };
        match brought {
            Brought::Whole => {
                self.disk.insert((n, picture));
            }
            Brought::Lied | Brought::Refused => {
                if let Some(said) = self.said.get_mut(&from) {
                    said.remove(&picture.hash);
                }
            }
            Brought::Cut | Brought::Disk(_) => {}
        }
        self.shelf.fetched(key(n), picture, peer(from), &brought, Instant(self.now));
    }

    /// Everything under way ends, and every wait.
    fn rest(&mut self) -> Result<(), String> {
        for _ in 0..1_000 {
            if !self.running.is_empty() {
                self.act(&Act::Work(usize::MAX))?;
            } else if self.shelf.next_deadline().is_some() {
                self.act(&Act::Wait(LONG / 1_000))?;
            } else {
                return Ok(());
            }
        }
        Err("it comes to no rest".to_owned())
    }
}

/// Runs a property; each premise has to come about in that many of a hundred cases.
fn property(premises: &[(&str, u64)], of: impl Fn(&mut World, &mut BTreeMap<&'static str, u64>) -> Result<(), String>) {
    let met = RefCell::new(BTreeMap::new());
    let config = Config { cases: cases(), failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let run = TestRunner::new(config).run(&prop::collection::vec(act(), 10..50), |acts| {
        let mut world = World::new();
        acts.iter().try_for_each(|act| world.act(act)).map_err(TestCaseError::fail)?;
        of(&mut world, &mut met.borrow_mut()).map_err(TestCaseError::fail)
    });
    if let Err(e) = run {
        panic!("{e}");
    }
    let met = met.into_inner();
    println!("{} cases, of which {met:?}", cases());
    for (what, percent) in premises {
        let times = met.get(what).copied().unwrap_or(0);
        assert!(times * 100 >= percent * u64::from(cases()) || cases() < 1_000, "{what:?} came about {times} times");
    }
}

#[test]
fn p21_limits_and_policy_hold_whatever_sources_do_and_nothing_is_asked_for_ever() {
    property(&[("a fetch", 50), ("an eviction", 1)], |world, met| {
        world.rest()?;
        *met.entry("a fetch").or_default() += u64::from(world.fetches > 0);
        *met.entry("an eviction").or_default() += u64::from(world.evicted > 0);
        Ok(())
    });
}

#[test]
fn p21_what_an_honest_device_has_comes_in_the_end_whatever_others_did_before() {
    property(&[("something came", 30)], |world, met| {
        world.rest()?;
        // From now on one device has everything, says so, and is honest; the disk takes it.
        world.act(&Act::Full(false))?;
        world.act(&Act::Behaves(0, Manner::Honest))?;
        world.act(&Act::Says { from: 0, anew: true, bits: u16::MAX })?;
        world.rest()?;
        let before = world.disk.len();
        for (n, (picture, is_own)) in world.named.clone() {
            let is_wanted = match world.stand(n) {
                Stand::Unknown => false,
                Stand::LetGo | Stand::Known => world.asked.contains(&n),
                Stand::Whole(_) => is_own || world.asked.contains(&n),
            };
            if is_wanted && !world.disk.contains(&(n, picture)) {
                return Err(format!("{n} is wanted, is to be had, and did not come"));
            }
            // Small ones come as far as there is room; newer ones first.
            let is_small = matches!(world.stand(n), Stand::Whole(_)) && picture.len <= LIMITS.eager_len;
            let room = LIMITS.kept.saturating_sub(world.shelf.kept(key(0).0));
            if is_small && !world.disk.contains(&(n, picture)) && room >= u64::from(picture.len) {
                return Err(format!("{n} is small, there is room for it, and it did not come"));
            }
        }
        *met.entry("something came").or_default() += u64::from(before > 0);
        Ok(())
    });
}

#[test]
fn p21_what_is_here_survives_a_restart_by_the_names_of_its_files_alone() {
    property(&[("something was here", 30)], |world, met| {
        world.rest()?;
        let mut again = Shelf::new(LIMITS);
        for (n, picture) in &world.disk {
            again.stored(key(*n), *picture);
        }
        for (n, (picture, is_own)) in &world.named {
            again.record(key(*n), Some(Named { picture: *picture, is_own: *is_own }), true);
        }
        let steps = again.next(Instant(world.now), &|key| world.stand(index(key)));
        let let_go = |n: &usize| world.stand(*n) == Stand::LetGo;
        for step in &steps {
            if !matches!(step, Step::Remove(s) if let_go(&usize::from(s.snapshot.0.0[0]))) {
                return Err(format!("a start does {step:?} though nobody is connected"));
            }
        }
        for (n, picture) in world.disk.iter().filter(|(n, _)| !let_go(n)) {
            if again.picture(&key(*n)) != Some(*picture) || !again.is_here(&key(*n), picture) {
                return Err(format!("{n} was here and is not known to be"));
            }
        }
        *met.entry("something was here").or_default() += u64::from(!world.disk.is_empty());
        Ok(())
    });
}
