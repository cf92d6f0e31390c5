//! Which pictures lie here, which should, and from whom the missing ones are fetched.
//!
//! Owns what records say of pictures as far as this device is concerned, what is here, what connected devices said that they
//! have, and what is being fetched. A record decides; bytes are a copy that anyone may have, and may be lost. Knows snapshots
//! only by how they stand, and nothing of what is in them: no save waits for anything here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bonfire_proto::{Digest, Hlc, PeerId, PictureRef, PlayerId, SnapshotId};

use super::work::{Brought, Sidecar};
use crate::time::Instant;

/// Whose snapshot. The player is part of it, since a record may name any snapshot, and only its own player's count.
pub type Key = (PlayerId, SnapshotId);

/// How much is fetched and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pictures fetched at once.
    pub at_once: usize,
    /// Longest picture that is fetched unasked, in bytes.
    pub eager_len: u32,
    /// Bytes kept for a player of pictures that were attached elsewhere.
    pub kept: u64,
}

impl Default for Limits {
    /// Three at once leave a line free for saves. Half a mebibyte is a thumbnail or a small screenshot. 256 MiB are 512 of
    /// the largest that come unasked: fifty slots with all the versions that retention keeps.
    fn default() -> Self {
        Self { at_once: 3, eager_len: 512 << 10, kept: 256 << 20 }
    }
}

/// First and longest wait before sources are asked once more that all failed.
const AGAIN_MIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How often all sources of a picture are gone through before it rests until one of them says something new.
const ROUNDS: u32 = 6;
/// Most pictures that one device is believed to have of a player: more than its retention keeps, and a bound for a liar.
const SAID_MAX: usize = 65_536;

/// How a snapshot stands on this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stand {
    /// It is none of this player's as far as this device knows.
    Unknown,
    /// It was let go of here.
    LetGo,
    /// It is known, and not all of it is here.
    Known,
    /// All of it is here; when it was made.
    Whole(Hlc),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Fetch a picture.
    Fetch(Key, PictureRef, PeerId),
    /// Let go of a picture.
    Remove(Sidecar),
}

/// The picture of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    /// Which.
    pub picture: PictureRef,
    /// Whether it was attached on this device.
    pub is_own: bool,
}

#[derive(Debug, Default)]
struct Item {
    named: Option<Named>,
    /// Whether an entry of the log was ever about it: only then does no record mean no picture.
    is_heard: bool,
    here: BTreeSet<PictureRef>,
    /// Whether it is wanted whatever its length: a person asked for it, or it was here and is lost.
    is_asked: bool,
    /// Sources that failed in this round.
    tried: BTreeSet<PeerId>,
    rounds: u32,
    again_at: Option<Instant>,
}

/// The pictures of this device.
#[derive(Debug, Default)]
pub struct Shelf {
    limits: Limits,
    items: BTreeMap<Key, Item>,
    said: BTreeMap<(PlayerId, PeerId), BTreeSet<Digest>>,
    fetching: BTreeMap<Key, (PictureRef, PeerId)>,
    /// Records whose picture is not here.
    missing: BTreeSet<Key>,
    /// Snapshots of which something may have to go.
    unsorted: BTreeSet<Key>,
    /// Counts changes of what is here.
    rev: u64,
}

impl Shelf {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether there is nothing here that could ever want anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What the log says of a snapshot's picture by now. `is_heard`: whether an entry was ever about it.
    pub fn record(&mut self, key: Key, named: Option<Named>, is_heard: bool) {
        if named.is_none() && !is_heard && !self.items.contains_key(&key) {
            return;
        }
        let item = self.items.entry(key).or_default();
        if item.named.map(|n| n.picture) != named.map(|n| n.picture) {
            (item.is_asked, item.rounds, item.again_at) = (false, 0, None);
            item.tried.clear();
        }
        (item.named, item.is_heard) = (named, is_heard);
        self.unsorted.insert(key);
        self.sort_missing(key);
    }

    /// A picture lies here, checked or as its name says.
    pub fn stored(&mut self, key: Key, picture: PictureRef) {
        let item = self.items.entry(key).or_default();
        item.here.insert(picture);
        (item.rounds, item.again_at) = (0, None);
        item.tried.clear();
        self.rev += 1;
        self.unsorted.insert(key);
        self.sort_missing(key);
    }

    /// A picture is not here any more, though nobody wanted that: it is wanted back.
    pub fn lost(&mut self, key: Key, picture: PictureRef) {
        let Some(item) = self.items.get_mut(&key) else { return };
        if item.here.remove(&picture) {
            self.rev += 1;
        }
        self.ask(key);
        self.sort_missing(key);
    }

    /// A person wants it: whatever its length, and now.
    pub fn ask(&mut self, key: Key) {
        let Some(item) = self.items.get_mut(&key) else { return };
        (item.is_asked, item.rounds, item.again_at) = (true, 0, None);
        item.tried.clear();
    }

    /// How the snapshot stands may have changed: it may have been let go of.
    pub fn touch(&mut self, key: Key) {
        if self.items.contains_key(&key) {
            self.unsorted.insert(key);
        }
    }

    /// A connected device says what it has. `is_anew`: what it said before no longer counts.
    pub fn said(&mut self, player: PlayerId, peer: PeerId, is_anew: bool, has: &[Digest], lacks: &[Digest]) {
        let said = self.said.entry((player, peer)).or_default();
        if is_anew {
            said.clear();
        }
        for hash in lacks {
            said.remove(hash);
        }
        let room = SAID_MAX.saturating_sub(said.len());
        said.extend(has.iter().take(room));
        // Whoever says that it has a picture is asked, also where it was asked in vain before.
        for key in &self.missing {
            let Some(item) = self.items.get_mut(key).filter(|_| key.0 == player) else { continue };
            if item.named.is_some_and(|n| has.contains(&n.picture.hash)) {
                item.tried.remove(&peer);
                (item.rounds, item.again_at) = (0, None);
            }
        }
    }

    /// A device is gone, or none of the player's any more: what it said no longer counts.
    pub fn forget(&mut self, player: PlayerId, peer: PeerId) {
        self.said.remove(&(player, peer));
    }

    /// The devices that said something.
    pub fn speakers(&self) -> impl Iterator<Item = (PlayerId, PeerId)> + '_ {
        self.said.keys().copied()
    }

    /// What a source brought.
    pub fn fetched(&mut self, key: Key, picture: PictureRef, from: PeerId, brought: &Brought, now: Instant) {
        self.fetching.remove(&key);
        if *brought == Brought::Whole {
            return self.stored(key, picture);
        }
        if matches!(brought, Brought::Lied | Brought::Refused)
            && let Some(said) = self.said.get_mut(&(key.0, from))
        {
            // Not asked again before it says once more that it has it.
            said.remove(&picture.hash);
        }
        let Some(item) = self.items.get_mut(&key) else { return };
        item.tried.insert(from);
        if matches!(brought, Brought::Disk(_)) {
            // No source can help with that.
            item.rest(now);
        }
    }

    /// What is to be done now, as far as it is allowed. `stand` says how a snapshot stands.
    pub fn next(&mut self, now: Instant, stand: &dyn Fn(&Key) -> Stand) -> Vec<Step> {
        let mut steps = Vec::new();
        for key in std::mem::take(&mut self.unsorted) {
            self.sort(key, stand(&key), &mut steps);
        }
        let mut wanted: Vec<(bool, Stand, Key)> = Vec::new();
        for key in &self.missing {
            let Some(item) = self.items.get_mut(key).filter(|_| !self.fetching.contains_key(key)) else { continue };
            if item.again_at.is_some_and(|at| at <= now) {
                item.again_at = None;
            }
            let stand = stand(key);
            if item.again_at.is_none() && item.is_wanted(stand, &self.limits) {
                wanted.push((item.is_asked, stand, *key));
            }
        }
        // What a person waits for, then what is newest.
        wanted.sort_by(|a, b| b.cmp(a));
        for (_, age, key) in wanted {
            if self.fetching.len() >= self.limits.at_once {
                break;
            }
            self.begin(key, age, now, stand, &mut steps);
        }
        steps
    }

    /// When `next` is wanted again though nothing happens, if at all.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.missing.iter().filter_map(|key| self.items.get(key)?.again_at).min()
    }

    /// The picture of a snapshot: what its record says, else what was found here of a snapshot that no entry is about.
    #[must_use]
    pub fn picture(&self, key: &Key) -> Option<PictureRef> {
        let item = self.items.get(key)?;
        match item.named {
            Some(named) => Some(named.picture),
            None if !item.is_heard => item.here.first().copied(),
            None => None,
        }
    }

    /// Whether a picture of a snapshot is here.
    #[must_use]
    pub fn is_here(&self, key: &Key, picture: &PictureRef) -> bool {
        self.items.get(key).is_some_and(|item| item.here.contains(picture))
    }

    /// Whether a picture may still come by itself: it is being fetched, will be tried again, or somebody is yet to be asked.
    #[must_use]
    pub fn may_come(&self, key: &Key) -> bool {
        let waits = self.items.get(key).is_some_and(|i| i.again_at.is_some() || self.source(key, i).is_some());
        waits || self.fetching.contains_key(key)
    }

    /// Devices that say they have a picture.
    #[must_use]
    pub fn holders(&self, player: PlayerId, hash: &Digest) -> u64 {
        self.said.iter().filter(|((of, _), said)| *of == player && said.contains(hash)).count() as u64
    }

    /// Pictures that are wanted and that no connected device said to have, at most so many.
    #[must_use]
    pub fn unheard_of(&self, player: PlayerId, stand: &dyn Fn(&Key) -> Stand, most: usize) -> Vec<Digest> {
        let missing = self.missing.iter().filter(|key| key.0 == player);
        let wanted = missing.filter_map(|key| {
            let item = self.items.get(key).filter(|item| item.is_wanted(stand(key), &self.limits))?;
            item.named.map(|named| named.picture.hash)
        });
        let unheard: BTreeSet<Digest> = wanted.filter(|hash| self.holders(player, hash) == 0).collect();
        unheard.into_iter().take(most).collect()
    }

    /// Pictures found here of snapshots that no entry is about.
    pub fn found(&self) -> impl Iterator<Item = (Key, PictureRef)> + '_ {
        let found = self.items.iter().filter(|(_, item)| item.named.is_none() && !item.is_heard);
        found.filter_map(|(key, item)| Some((*key, *item.here.first()?)))
    }

    /// Everything that is here of a player.
    pub fn here(&self, player: PlayerId) -> impl Iterator<Item = Sidecar> + '_ {
        let all = self.of_player(player);
        all.flat_map(|((_, id), item)| item.here.iter().map(|p| Sidecar { snapshot: *id, picture: *p }))
    }

    /// Counts changes of what is here.
    #[must_use]
    pub fn rev(&self) -> u64 {
        self.rev
    }

    /// Bytes here of a player's pictures that were attached elsewhere.
    #[must_use]
    pub fn kept(&self, player: PlayerId) -> u64 {
        let others = self.of_player(player).filter(|(_, item)| item.named.is_some_and(|n| !n.is_own));
        others.flat_map(|(_, item)| &item.here).map(|p| u64::from(p.len)).sum()
    }

    fn of_player(&self, player: PlayerId) -> impl Iterator<Item = (&Key, &Item)> {
        let first = (player, SnapshotId(Digest([0; 32])));
        self.items.range(first..).take_while(move |((of, _), _)| *of == player)
    }

    fn sort_missing(&mut self, key: Key) {
        let is_missing = self.items.get(&key).is_some_and(|i| i.named.is_some_and(|n| !i.here.contains(&n.picture)));
        if is_missing {
            self.missing.insert(key);
        } else {
            self.missing.remove(&key);
        }
    }

    /// Lets go of what no record names, and of what belongs to a snapshot that was let go of.
    fn sort(&mut self, key: Key, stand: Stand, steps: &mut Vec<Step>) {
        let Some(item) = self.items.get_mut(&key) else { return };
        let keeps = |picture: &PictureRef| match item.named {
            Some(named) => named.picture == *picture && (stand != Stand::LetGo || item.is_asked),
            None => !item.is_heard && stand != Stand::LetGo,
        };
        let gone: Vec<PictureRef> = item.here.iter().filter(|p| !keeps(p)).copied().collect();
        for picture in gone {
            self.take_out(key, picture, steps);
        }
    }

    fn take_out(&mut self, key: Key, picture: PictureRef, steps: &mut Vec<Step>) {
        if self.items.get_mut(&key).is_some_and(|item| item.here.remove(&picture)) {
            self.rev += 1;
            steps.push(Step::Remove(Sidecar { snapshot: key.1, picture }));
        }
        self.sort_missing(key);
    }

    /// A device that says it has what is missing and was not asked in this round.
    fn source(&self, key: &Key, item: &Item) -> Option<PeerId> {
        let hash = item.named?.picture.hash;
        let said = self.said.iter().filter(|((player, _), said)| *player == key.0 && said.contains(&hash));
        said.map(|((_, peer), _)| *peer).find(|peer| !item.tried.contains(peer))
    }

    fn begin(&mut self, key: Key, age: Stand, now: Instant, stand: &dyn Fn(&Key) -> Stand, steps: &mut Vec<Step>) {
        let Some((item, named)) = self.items.get(&key).and_then(|i| Some((i, i.named?))) else { return };
        let Some(from) = self.source(&key, item) else {
            if let Some(item) = self.items.get_mut(&key).filter(|i| !i.tried.is_empty()) {
                item.rest(now);
            }
            return;
        };
        if !item.is_asked && !named.is_own && !self.make_room(key, age, named.picture.len, stand, steps) {
            return;
        }
        self.fetching.insert(key, (named.picture, from));
        steps.push(Step::Fetch(key, named.picture, from));
    }

    /// Whether there is room for a picture that comes unasked, after older ones made way that another device has, too.
    fn make_room(
        &mut self,
        key: Key,
        age: Stand,
        len: u32,
        stand: &dyn Fn(&Key) -> Stand,
        steps: &mut Vec<Step>,
    ) -> bool {
        let coming = self.fetching.iter().filter(|((player, _), _)| *player == key.0);
        let coming: u64 = coming.map(|(_, (picture, _))| u64::from(picture.len)).sum();
        let over = (self.kept(key.0) + coming + u64::from(len)).saturating_sub(self.limits.kept);
        if over == 0 {
            return true;
        }
        let may_go = |(other, item): (&Key, &Item)| {
            let named = item.named.filter(|n| !n.is_own && item.here.contains(&n.picture))?;
            let is_elsewhere = self.holders(other.0, &named.picture.hash) > 0;
            (is_elsewhere && !item.is_asked).then(|| (stand(other), *other, named.picture))
        };
        let mut older: Vec<(Stand, Key, PictureRef)> =
            self.of_player(key.0).filter_map(may_go).filter(|(other, ..)| *other < age).collect();
        older.sort_unstable();
        let (mut freed, mut out) = (0, Vec::new());
        for (_, other, picture) in older {
            if freed >= over {
                break;
            }
            freed += u64::from(picture.len);
            out.push((other, picture));
        }
        if freed < over {
            return false;
        }
        for (other, picture) in out {
            self.take_out(other, picture, steps);
        }
        true
    }
}

impl Item {
    fn is_wanted(&self, stand: Stand, limits: &Limits) -> bool {
        let Some(named) = self.named else { return false };
        match stand {
            Stand::Unknown => false,
            Stand::LetGo | Stand::Known => self.is_asked,
            Stand::Whole(_) => self.is_asked || named.is_own || named.picture.len <= limits.eager_len,
        }
    }

    /// Every source failed, or the disk did: later again, and not for ever.
    fn rest(&mut self, now: Instant) {
        if self.rounds >= ROUNDS {
            return;
        }
        let wait = AGAIN_MIN.saturating_mul(2u32.saturating_pow(self.rounds)).min(AGAIN_MAX);
        self.again_at = Some(now + wait);
        self.rounds += 1;
        self.tried.clear();
    }
}
