//! One device of the model: what of it survives a restart, and a run of the real [`Slot`] over it until it wants nothing
//! more. Every run begins with a restart, so that what a slot does is a function of what is kept here.
//!
//! Only this file carries steps out. A wrong rule is a step that is carried out wrongly.

use std::collections::BTreeSet;

use bonfire_engine::saves::decide::Measure;
use bonfire_engine::saves::slot::{Done, Look, Make, Slot, SlotRecord, Standing, Step, Wish};

use crate::shelf::{Key, Ops, Shelf, Value, bit, peer};

/// Most steps of one run before it counts as one that never ends.
const STEPS_MAX: usize = 40;

/// Whether the disk is looked at again immediately before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apply {
    LookAgain,
    Blindly,
}

/// Who settles a conflict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settle {
    Player,
    /// The side with the latest time wins by itself.
    Newest,
    /// What others have wins by itself.
    Theirs,
}

/// What a resolution is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolve {
    AllHeads,
    /// The side that was chosen, alone.
    OneParent,
}

/// What stands in a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    OfItsParents,
    /// Also who made it.
    Signed,
}

#[derive(Debug, Clone, Copy)]
pub struct Rules {
    pub apply: Apply,
    pub settle: Settle,
    pub resolve: Resolve,
    pub join: Join,
}

pub const OURS: Rules =
    Rules { apply: Apply::LookAgain, settle: Settle::Player, resolve: Resolve::AllHeads, join: Join::OfItsParents };

/// What people see of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    Current,
    Conflict,
    Held,
    /// Something is on its way, or others are behind.
    Other,
}

/// What a device says of itself: its base, and the newest that it holds whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Said {
    pub head: Option<Key>,
    pub have: BTreeSet<Key>,
}

/// A device at rest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    pub disk: Value,
    /// What the last look found.
    pub seen: Value,
    /// Every operation that what is on the disk was made from, the one that wrote it included.
    pub made_from: Ops,
    /// The operation that wrote the disk, while it is in no snapshot.
    pub unsaved: Option<u8>,
    pub base: Option<Key>,
    copies: BTreeSet<Key>,
    pub store: BTreeSet<Key>,
    pub shown: Shown,
    /// The sides of a conflict besides the disk.
    pub sides: BTreeSet<Key>,
    pub heads: BTreeSet<Key>,
    pub says: Said,
    pub sum: Sum,
}

/// What the snapshots that a device names say, in operations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Sum {
    /// What went into what it holds.
    pub stored: Ops,
    pub heads: Ops,
    pub base: Ops,
    /// What went into the sides of a conflict, the base among them.
    pub sides: Ops,
    /// What there is to choose from: the sides, and the disk where it is one.
    pub values: BTreeSet<Value>,
    /// Edits that survived a deletion, in what it holds.
    pub survivors: BTreeSet<Value>,
    pub has_heads: bool,
    /// Whether it holds all that its snapshots were made from.
    pub has_ancestors: bool,
}

/// How much of what is asked for comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    Everything,
    /// The answer is lost.
    Nothing,
    /// What was asked for first, without what it was made from, which nobody connected has.
    Newest,
}

/// What happens to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// Others said something; the disk was not looked at since.
    Heard(Reach),
    /// It looks at its disk.
    Stirred,
    /// The player chooses this side.
    Resolve { op: u8, choice: Key },
    /// The player deletes the save through us.
    Delete { op: u8 },
    /// The player says that a save that vanished was meant to.
    Release { op: u8 },
    /// The player wants it back.
    Restore,
}

/// What must not happen in a run, and what has to in some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Signs {
    /// Bytes were written over that this device's history does not have.
    pub lost: bool,
    /// A snapshot says that it was made from something else than what its disk was made from.
    pub crossed: bool,
    /// It did not come to rest, or did something although nothing had happened.
    pub restless: bool,
    /// Its base is one now that was not made from the one before: what moves forward alone comes to an end.
    pub moved_aside: bool,
    /// A disk had changed since the last look and was left alone.
    pub spared: bool,
}

impl Signs {
    pub fn add(&mut self, other: Self) {
        self.lost |= other.lost;
        self.crossed |= other.crossed;
        self.restless |= other.restless;
        self.moved_aside |= other.moved_aside;
        self.spared |= other.spared;
    }
}

#[derive(Debug, Clone)]
pub struct Outcome {
    pub device: Device,
    pub signs: Signs,
    /// Operations that wrote what another snapshot has as well, and were taken for it.
    pub same: Ops,
    /// What an operation turned out to be made on top of: what it wrote over was taken for this.
    pub past: Option<(u8, Ops)>,
}

impl Device {
    pub fn new() -> Self {
        Self {
            disk: 0,
            seen: 0,
            made_from: 0,
            unsaved: None,
            base: None,
            copies: BTreeSet::new(),
            store: BTreeSet::new(),
            shown: Shown::Current,
            sides: BTreeSet::new(),
            heads: BTreeSet::new(),
            says: Said { head: None, have: BTreeSet::new() },
            sum: Sum { has_heads: true, has_ancestors: true, ..Sum::default() },
        }
    }

    /// What happens to device `d`, until it wants nothing more.
    pub fn run(&self, d: usize, told: &[(usize, &Said)], input: Input, rules: Rules, shelf: &mut Shelf) -> Outcome {
        let record = SlotRecord {
            base: self.base.map(|base| shelf.get(base).node.id),
            is_untracked: false,
            copies: shelf.ids(self.copies.iter().copied()),
        };
        let stored = self.store.iter().map(|key| (shelf.get(*key).node.clone(), true));
        let mut slot = Slot::restore(peer(d), record, stored);
        for (other, said) in told {
            let head = said.head.map(|head| shelf.get(head).node.id);
            slot.told(peer(*other), head, shelf.ids(said.have.iter().copied()));
        }
        let out = Outcome { device: self.clone(), signs: Signs::default(), same: 0, past: None };
        let mut run = Run { d, slot, shelf, rules, out, look: None, op: None };
        run.take(input);
        run.out
    }
}

struct Run<'a> {
    d: usize,
    slot: Slot,
    shelf: &'a mut Shelf,
    rules: Rules,
    out: Outcome,
    /// What the next look finds, if that is not what is there.
    look: Option<Value>,
    op: Option<u8>,
}

impl Run<'_> {
    fn take(&mut self, input: Input) {
        let base = self.out.device.base;
        self.look = (input != Input::Stirred).then_some(self.out.device.seen);
        match input {
            Input::Heard(reach) => self.rest(reach),
            Input::Stirred => self.rest(Reach::Everything),
            Input::Resolve { .. } | Input::Delete { .. } | Input::Release { .. } | Input::Restore => {
                self.rest(Reach::Nothing);
                self.out.signs.restless |= self.says() != self.out.device.says;
                match input {
                    Input::Resolve { op, choice } => {
                        self.op = Some(op);
                        self.slot.wish(Wish::Resolve(self.shelf.get(choice).node.id)).unwrap();
                    }
                    Input::Delete { op } => {
                        self.op = Some(op);
                        self.slot.wish(Wish::Delete).unwrap();
                    }
                    Input::Release { op } => {
                        self.op = Some(op);
                        self.slot.release().unwrap();
                    }
                    _ => self.slot.restore_disk().unwrap(),
                }
                self.rest(Reach::Nothing);
            }
        }
        self.show();
        self.settle();
        let made_from = |new: Key, old: Key| self.shelf.is_made_from(new, old);
        self.out.signs.moved_aside =
            base.is_some_and(|old| !self.out.device.base.is_some_and(|new| made_from(new, old)));
        self.out.device.says = self.says();
        self.out.device.sum = self.sum();
    }

    fn rest(&mut self, mut reach: Reach) {
        for _ in 0..STEPS_MAX {
            let step = self.slot.next_step();
            self.adopted();
            let Some(step) = step else { return };
            match step {
                Step::Look => self.look(),
                Step::Make(make) => self.make(&make),
                Step::Apply { from, to } => {
                    let from = from.map(|id| self.shelf.key(id));
                    let to = self.shelf.key(to);
                    let done = if self.apply(from, to) { Done::Well(()) } else { Done::Changed };
                    self.slot.applied(done);
                }
                Step::Copies { .. } => self.slot.copied(Done::Well(())),
                Step::Keep(base) => {
                    let key = self.shelf.key(base);
                    self.out.device.store.insert(key);
                    self.slot.fetched(&[base].into(), [(self.shelf.get(key).node.clone(), true)], []);
                }
                Step::Fetch(ids) => {
                    let asked = self.shelf.keys(ids.iter().copied());
                    let (brought, nobody) = self.fetch(asked, reach);
                    if reach == Reach::Newest {
                        reach = Reach::Nothing;
                    }
                    if !brought.is_empty() {
                        let nodes: Vec<_> = brought.iter().map(|k| (self.shelf.get(*k).node.clone(), true)).collect();
                        self.out.device.store.extend(&brought);
                        self.slot.fetched(&ids, nodes, self.shelf.ids(nobody));
                    }
                }
            }
            self.out.device.copies = self.shelf.keys(self.slot.record().copies.iter().copied());
        }
        self.out.signs.restless = true;
    }

    fn look(&mut self) {
        let device = &mut self.out.device;
        let value = self.look.take().unwrap_or(device.disk);
        device.seen = value;
        if let (Some(op), Some(base)) = (device.unsaved, device.base)
            && value == device.disk
            && self.shelf.get(base).value == value
        {
            // Written anew as it was.
            self.out.same |= bit(op);
            (device.unsaved, device.made_from) = (None, self.shelf.get(base).ops);
        }
        self.slot.looked(match value {
            0 => Look::Nothing,
            _ => Look::Files {
                capture: u64::from(value),
                content: self.shelf.content(value).content_hash,
                measure: Measure { files: 1, size: 100 },
            },
        });
    }

    fn make(&mut self, make: &Make) {
        let device = &mut self.out.device;
        let op = match make {
            Make::Version { .. } => device.unsaved,
            Make::Join { .. } => None,
            _ => self.op.take(),
        };
        let key = self.shelf.make(self.d, make, device.seen, op, self.rules);
        let made = self.shelf.get(key);
        if matches!(make, Make::Version { .. }) {
            self.out.signs.crossed |= made.ops != device.made_from || op.is_none() || device.seen != device.disk;
        }
        device.store.insert(key);
        self.slot.made(Done::Well(made.node.clone()));
        if self.slot.record().base == Some(made.node.id) {
            (device.base, device.made_from, device.unsaved) = (Some(key), made.ops, None);
        }
    }

    fn apply(&mut self, from: Option<Key>, to: Key) -> bool {
        let device = &mut self.out.device;
        let expected = from.map_or(0, |from| self.shelf.get(from).value);
        if self.rules.apply == Apply::LookAgain && device.disk != expected {
            self.out.signs.spared = true;
            return false;
        }
        let has = |value: Value| device.store.iter().any(|key| self.shelf.get(*key).value == value);
        self.out.signs.lost |= device.disk != 0 && !has(device.disk);
        let made = self.shelf.get(to);
        (device.disk, device.seen) = (made.value, made.value);
        (device.base, device.made_from, device.unsaved) = (Some(to), made.ops, None);
        true
    }

    fn fetch(&self, asked: BTreeSet<Key>, reach: Reach) -> (BTreeSet<Key>, BTreeSet<Key>) {
        let store = &self.out.device.store;
        let mut due: Vec<Key> = asked.into_iter().filter(|key| !store.contains(key)).collect();
        let mut brought = BTreeSet::new();
        if reach == Reach::Nothing {
            return (brought, BTreeSet::new());
        }
        while let Some(key) = due.pop() {
            if brought.insert(key) && reach == Reach::Everything {
                due.extend(self.shelf.get(key).parents.iter().filter(|key| !store.contains(key)));
            }
        }
        let parents = brought.iter().flat_map(|key| &self.shelf.get(*key).parents).copied();
        let nobody = parents.filter(|key| !store.contains(key) && !brought.contains(key)).collect();
        (brought, nobody)
    }

    /// The base is another although nothing was made or written: what is on the disk was taken for it.
    fn adopted(&mut self) {
        let device = &mut self.out.device;
        let base = self.slot.record().base.map(|id| self.shelf.key(id));
        let (Some(to), true) = (base, base != device.base) else { return };
        let made = self.shelf.get(to);
        let is_seen = device.seen == device.disk;
        device.base = base;
        device.made_from = made.ops;
        match device.unsaved {
            Some(op) if is_seen => {
                self.out.same |= bit(op);
                device.unsaved = None;
            }
            Some(op) => {
                self.out.past = Some((op, made.ops));
                device.made_from |= bit(op);
            }
            None => {}
        }
        self.out.signs.crossed |= is_seen && made.value != device.disk;
    }

    fn show(&mut self) {
        let device = &mut self.out.device;
        device.shown = match self.slot.standing() {
            Standing::Current => Shown::Current,
            Standing::Conflict => Shown::Conflict,
            Standing::Held => Shown::Held,
            _ => Shown::Other,
        };
        device.sides = self.shelf.keys(self.slot.sides());
        device.heads = self.shelf.keys(self.slot.heads());
    }

    /// What a wrong rule makes of a conflict.
    fn settle(&mut self) {
        let device = &self.out.device;
        let sides = device.sides.iter().copied().filter(|key| device.store.contains(key));
        let latest = |key: &Key| self.shelf.get(*key).node.hlc;
        let winner = match self.rules.settle {
            Settle::Player => None,
            Settle::Newest => sides.chain(device.base).max_by_key(latest),
            Settle::Theirs => sides.max_by_key(latest),
        };
        let (Some(to), true) = (winner, device.disk == device.seen) else { return };
        if device.base != Some(to) {
            self.apply(device.base, to);
        }
        let device = &mut self.out.device;
        (device.shown, device.sides, device.heads) = (Shown::Current, BTreeSet::new(), BTreeSet::from([to]));
    }

    fn sum(&self) -> Sum {
        let (device, shelf) = (&self.out.device, &self.shelf);
        let sides = || device.sides.iter().copied();
        // A disk of which a side was made is no side.
        let disk = device.base.is_none_or(|base| device.heads.contains(&base)).then_some(device.disk);
        let values = sides().map(|key| shelf.get(key).value).chain(disk);
        Sum {
            stored: shelf.ops(device.store.iter().copied()),
            heads: shelf.ops(device.heads.iter().copied()),
            base: shelf.ops(device.base),
            sides: shelf.ops(sides().chain(device.base)),
            values: values.filter(|value| *value != 0).collect(),
            survivors: device.store.iter().filter_map(|key| shelf.survivor(*key)).collect(),
            has_heads: device.heads.is_subset(&device.store),
            has_ancestors: device.store.iter().all(|key| shelf.get(*key).parents.is_subset(&device.store)),
        }
    }

    fn says(&self) -> Said {
        Said { head: self.out.device.base, have: self.shelf.keys(self.slot.have()) }
    }
}
