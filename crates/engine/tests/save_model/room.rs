//! A room of two or three devices of one player as a Stateright model: what may happen, and what the room knows for itself
//! of each operation of the player.
//!
//! What a device says of itself may arrive at any other at any time after, by whatever way, or never; a newer word makes an
//! older one that comes later void, and one that comes twice, as it is with the state that devices own. What is named is
//! fetched from whoever has it, or the answer is lost.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use stateright::{Model, Property};

use crate::device::{Device, Input, Outcome, Reach, Rules, Said, Shown, Signs};
use crate::promises;
use crate::shelf::{COMMON, Key, OPS_EACH, Ops, Shelf, Value, bit, fresh};

/// Most devices of a room.
const MAX: usize = 3;

/// How much may happen.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub devices: usize,
    /// Edits in all.
    pub edits: u8,
    /// How many of them may write what others may write too.
    pub commons: u8,
    /// Resolutions in all.
    pub resolutions: u8,
    /// Deletions through us in all.
    pub deletions: u8,
    /// Saves that vanish in all.
    pub vanishings: u8,
    /// Answers to a fetch that are lost or come without their ancestors, in all.
    pub losses: u8,
    /// Words of one device that may be on their way to another at once. The newest is always among them; with 1 it is
    /// the only one, and what arrives is what is true then.
    pub words: usize,
}

/// What the room knows of an operation of the player.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Op {
    /// All that its player had before them.
    pub past: Ops,
    pub value: Value,
    pub is_resolution: bool,
}

/// Devices and words by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Room {
    devices: [u32; MAX],
    /// What each device last heard of each other.
    told: [[u32; MAX]; MAX],
    /// What may still arrive at each device of what each other said of itself, in order.
    coming: [[Vec<u32>; MAX]; MAX],
    pub ops: BTreeMap<u8, Op>,
    /// Operations that were taken for another one that wrote the same.
    pub same: Ops,
    left: Left,
    pub signs: Signs,
}

impl Room {
    /// Whether everybody heard everything.
    pub fn is_all_heard(&self) -> bool {
        self.coming.iter().flatten().all(Vec::is_empty)
    }
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Left {
    edits: u8,
    commons: u8,
    resolutions: u8,
    deletions: u8,
    vanishings: u8,
    losses: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The game writes what nobody else writes, or what others may write too. Nobody looks yet.
    Edit {
        at: usize,
        is_common: bool,
    },
    /// The files vanish. Nobody looks yet.
    Vanish {
        at: usize,
    },
    /// A look at the disk, and another attempt at what is to be fetched.
    Stir {
        at: usize,
    },
    /// A word of another device arrives.
    Hear {
        at: usize,
        of: usize,
        word: usize,
        reach: Reach,
    },
    Resolve {
        at: usize,
        choice: Key,
    },
    Delete {
        at: usize,
    },
    Release {
        at: usize,
    },
    Restore {
        at: usize,
    },
}

/// Values that were met, each under a number.
#[derive(Debug)]
struct Numbered<T> {
    all: Vec<Arc<T>>,
    numbers: HashMap<Arc<T>, u32>,
}

impl<T: Eq + Hash> Numbered<T> {
    fn starting_with(first: T) -> Self {
        let mut numbered = Self { all: Vec::new(), numbers: HashMap::new() };
        numbered.number(first);
        numbered
    }

    fn number(&mut self, value: T) -> u32 {
        let value = Arc::new(value);
        let next = u32::try_from(self.all.len()).unwrap();
        let number = *self.numbers.entry(value.clone()).or_insert(next);
        if number == next {
            self.all.push(value);
        }
        number
    }

    fn get(&self, number: u32) -> &Arc<T> {
        &self.all[usize::try_from(number).unwrap()]
    }
}

#[derive(Debug)]
struct Tables {
    shelf: Shelf,
    devices: Numbered<Device>,
    /// What devices say; the first says nothing.
    words: Numbered<Said>,
    /// What came of a run, which depends on the one device alone.
    known: HashMap<(usize, u32, [u32; MAX], Input), Known>,
}

#[derive(Debug, Clone)]
struct Known {
    device: u32,
    says: u32,
    signs: Signs,
    same: Ops,
    past: Option<(u8, Ops)>,
}

/// The model.
#[derive(Debug)]
pub struct Rooms {
    scope: Scope,
    rules: Rules,
    tables: Mutex<Tables>,
}

impl Rooms {
    pub fn new(scope: Scope, rules: Rules) -> Self {
        let (devices, words) = (Numbered::starting_with(Device::new()), Numbered::starting_with(Device::new().says));
        let tables = Tables { shelf: Shelf::new(), devices, words, known: HashMap::new() };
        Self { scope, rules, tables: Mutex::new(tables) }
    }

    /// The devices of a room.
    pub fn devices(&self, room: &Room) -> Vec<Arc<Device>> {
        let tables = self.tables.lock().unwrap();
        (0..self.scope.devices).map(|at| tables.devices.get(room.devices[at]).clone()).collect()
    }

    fn device(&self, room: &Room, at: usize) -> Arc<Device> {
        self.tables.lock().unwrap().devices.get(room.devices[at]).clone()
    }

    fn run(&self, room: &mut Room, at: usize, input: Input) {
        let mut tables = self.tables.lock().unwrap();
        let tables = &mut *tables;
        let key = (at, room.devices[at], room.told[at], input);
        let known = tables.known.entry(key).or_insert_with(|| {
            let device = tables.devices.get(room.devices[at]).clone();
            let told = room.told[at].iter().enumerate().filter(|(_, word)| **word > 0);
            let told: Vec<_> = told.map(|(of, word)| (of, &**tables.words.get(*word))).collect();
            let Outcome { device, signs, same, past } = device.run(at, &told, input, self.rules, &mut tables.shelf);
            let says = tables.words.number(device.says.clone());
            Known { device: tables.devices.number(device), says, signs, same, past }
        });
        room.same |= known.same;
        if let Some((op, past)) = known.past {
            room.ops.get_mut(&op).unwrap().past |= past;
        }
        room.signs.add(known.signs);
        if tables.devices.get(room.devices[at]).says != **tables.words.get(known.says) {
            for to in (0..self.scope.devices).filter(|to| *to != at) {
                let coming = &mut room.coming[to][at];
                coming.truncate(self.scope.words - 1);
                coming.push(known.says);
            }
        }
        room.devices[at] = known.device;
    }

    /// Something changes a device without its noticing.
    fn change(&self, room: &mut Room, at: usize, change: impl FnOnce(&mut Device)) {
        let mut tables = self.tables.lock().unwrap();
        let mut device = Device::clone(tables.devices.get(room.devices[at]));
        change(&mut device);
        room.devices[at] = tables.devices.number(device);
    }

    /// The player does something on top of all that they have before them.
    fn operate(&self, room: &mut Room, at: usize, value: Option<Value>, past: Ops, is_resolution: bool) -> u8 {
        let first = u8::try_from(at).unwrap() * OPS_EACH;
        let op = (first..first + OPS_EACH).find(|op| !room.ops.contains_key(op)).unwrap();
        room.ops.insert(op, Op { past, value: value.unwrap_or_else(|| fresh(op)), is_resolution });
        op
    }
}

impl Model for Rooms {
    type State = Room;
    type Action = Action;

    fn init_states(&self) -> Vec<Room> {
        let Scope { edits, commons, resolutions, deletions, vanishings, losses, .. } = self.scope;
        vec![Room {
            devices: [0; MAX],
            told: [[0; MAX]; MAX],
            coming: Default::default(),
            ops: BTreeMap::new(),
            same: 0,
            left: Left { edits, commons, resolutions, deletions, vanishings, losses },
            signs: Signs::default(),
        }]
    }

    fn actions(&self, room: &Room, actions: &mut Vec<Action>) {
        for (at, device) in self.devices(room).iter().enumerate() {
            // Devices are alike, so they are called by the order in which something happens to them first.
            if at > 0 && room.devices[at - 1] == 0 && room.told[at - 1] == [0; MAX] {
                continue;
            }
            let is_seen = device.seen == device.disk;
            let may_operate = room.ops.keys().filter(|op| usize::from(*op / OPS_EACH) == at).count() < OPS_EACH.into();
            if room.left.edits > 0 && is_seen && may_operate {
                actions.push(Action::Edit { at, is_common: false });
                if room.left.commons > 0 && device.disk != COMMON {
                    actions.push(Action::Edit { at, is_common: true });
                }
            }
            if room.left.vanishings > 0 && is_seen && device.disk != 0 {
                actions.push(Action::Vanish { at });
            }
            if !is_seen || !device.sum.has_heads || !device.sum.has_ancestors {
                actions.push(Action::Stir { at });
            }
            for of in 0..self.scope.devices {
                for word in 0..room.coming[at][of].len() {
                    actions.push(Action::Hear { at, of, word, reach: Reach::Everything });
                    if room.left.losses > 0 {
                        actions.push(Action::Hear { at, of, word, reach: Reach::Nothing });
                        actions.push(Action::Hear { at, of, word, reach: Reach::Newest });
                    }
                }
            }
            match device.shown {
                Shown::Conflict if room.left.resolutions > 0 && may_operate => {
                    let choices = device.sides.iter().copied().chain(device.base);
                    let choices = choices.filter(|choice| device.store.contains(choice));
                    actions.extend(choices.map(|choice| Action::Resolve { at, choice }));
                }
                Shown::Held if is_seen => {
                    actions.push(Action::Restore { at });
                    if may_operate {
                        actions.push(Action::Release { at });
                    }
                }
                Shown::Conflict | Shown::Held => {}
                Shown::Current | Shown::Other => {
                    if room.left.deletions > 0 && may_operate && device.base.is_some() {
                        actions.push(Action::Delete { at });
                    }
                }
            }
        }
    }

    fn next_state(&self, last: &Room, action: Action) -> Option<Room> {
        let mut room = last.clone();
        match action {
            Action::Edit { at, is_common } => {
                room.left.edits -= 1;
                room.left.commons -= u8::from(is_common);
                let past = self.device(&room, at).made_from;
                let op = self.operate(&mut room, at, is_common.then_some(COMMON), past, false);
                let value = room.ops[&op].value;
                self.change(&mut room, at, |device| {
                    (device.disk, device.unsaved, device.made_from) = (value, Some(op), past | bit(op));
                });
            }
            Action::Vanish { at } => {
                room.left.vanishings -= 1;
                self.change(&mut room, at, |device| device.disk = 0);
            }
            Action::Stir { at } => self.run(&mut room, at, Input::Stirred),
            Action::Hear { at, of, word, reach } => {
                room.left.losses -= u8::from(reach != Reach::Everything);
                room.told[at][of] = room.coming[at][of].drain(..=word).next_back().unwrap();
                self.run(&mut room, at, Input::Heard(reach));
            }
            Action::Resolve { at, choice } => {
                room.left.resolutions -= 1;
                let past = self.device(&room, at).sum.sides;
                let value = self.tables.lock().unwrap().shelf.get(choice).value;
                let op = self.operate(&mut room, at, Some(value), past, true);
                self.run(&mut room, at, Input::Resolve { op, choice });
            }
            Action::Delete { at } => {
                room.left.deletions -= 1;
                let past = self.device(&room, at).sum.base;
                let op = self.operate(&mut room, at, Some(0), past, false);
                self.run(&mut room, at, Input::Delete { op });
            }
            Action::Release { at } => {
                let past = self.device(&room, at).made_from;
                let op = self.operate(&mut room, at, Some(0), past, false);
                self.run(&mut room, at, Input::Release { op });
            }
            Action::Restore { at } => self.run(&mut room, at, Input::Restore),
        }
        (room != *last).then_some(room)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}
