use bonfire_proto::{GameId, Hlc, SlotName};
use proptest::prelude::*;
use serde_json::json;

use super::super::model::{Slot, slot_id};
use super::*;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn life(n: u128) -> Life {
    Life { device: PeerId::from_uuid(Uuid::from_u128(n)), epoch: DeviceEpoch(Uuid::from_u128(n + 100)) }
}

fn device(n: u128) -> Device {
    Device { name: format!("device {n}"), ..Device::default() }
}

fn slot(name: &str, display: &str) -> (Uuid, Slot) {
    let (game, slot) = (GameId::new("doom").unwrap(), SlotName::new(name).unwrap());
    (slot_id(&game, &slot), Slot { game, slot, display_name: Some(display.to_owned()), retention: None })
}

/// A device of the player: its replica, its clock, and what it made durable.
#[derive(Clone)]
struct Seat {
    replica: Replica,
    clock: Clock,
    wall: UnixMillis,
    entries: Vec<SharedEntry>,
    floors: Vec<Watermark>,
    mark: ClockMark,
}

impl Seat {
    fn new(n: u128) -> Self {
        let me = life(n);
        let mut seat = Self {
            replica: Replica::new(PlayerId(Uuid::from_u128(1)), me),
            clock: Clock::restore(me.device, ClockMark::default()),
            wall: NOW,
            entries: vec![],
            floors: vec![],
            mark: ClockMark::default(),
        };
        seat.write(|r, c, w| r.introduce(&device(n), c, w));
        seat
    }

    fn me(&self) -> Life {
        self.replica.log().me()
    }

    fn write(
        &mut self,
        f: impl FnOnce(&mut Replica, &mut Clock, UnixMillis) -> Result<Written, ReplicaError>,
    ) -> SharedEntry {
        let written = f(&mut self.replica, &mut self.clock, self.wall).unwrap();
        self.mark = written.mark.unwrap_or(self.mark);
        self.entries.push(written.entry.clone());
        written.entry
    }

    fn rename(&mut self, name: &str, to: &str) -> Option<SharedEntry> {
        let (id, slot) = slot(name, to);
        let change = self.replica.records().change(id, &slot)?;
        Some(self.write(|r, c, w| r.write("slot", id, change.0, change.1, c, w)))
    }

    fn name_of(&self, name: &str) -> Option<String> {
        self.replica.records().get::<Slot>(slot(name, "").0)?.display_name
    }

    fn take(&mut self, from: Life, page: Page) -> Result<Receipt, ReplicaError> {
        let receipt = self.replica.receive(from.device, page.entries, &page.floors, &mut self.clock, self.wall)?;
        self.mark = receipt.mark.unwrap_or(self.mark);
        self.entries.extend(receipt.entries.clone());
        self.floors.extend(receipt.floors.clone());
        Ok(receipt)
    }

    /// Asks another device for all that it holds, in pages.
    fn pull(&mut self, from: &Self, limit: usize) -> Result<(), ReplicaError> {
        loop {
            let before = self.replica.watermarks();
            let page = from.replica.page(self.me().device, &before, limit)?;
            let more = page.has_more;
            let receipt = self.take(from.me(), page)?;
            assert_eq!(receipt.refused, []);
            if !more {
                return Ok(());
            }
            assert_ne!(self.replica.watermarks(), before, "a page that brings nothing on");
        }
    }

    fn restart(&mut self) {
        let log = SharedLog::restore(self.me(), self.entries.clone(), &self.floors, []).unwrap();
        self.replica = Replica::restore(self.replica.player(), log);
        self.clock = Clock::restore(self.me().device, self.mark);
    }
}

/// Two devices that paired, and know everything of each other.
fn pair() -> (Seat, Seat) {
    let (mut a, mut b) = (Seat::new(1), Seat::new(2));
    join(&mut a, &mut b);
    (a, b)
}

/// Pairs a new device with one that is a device of the player.
fn join(a: &mut Seat, new: &mut Seat) {
    let life = new.me();
    a.write(|r, c, w| r.pair(life, &device(2), c, w));
    new.replica.vouch(a.me());
    new.pull(a, 99).unwrap();
    a.pull(new, 99).unwrap();
}

fn names(seat: &Seat) -> Vec<(Life, String)> {
    seat.replica.devices().map(|(life, d)| (life, d.name)).collect()
}

#[test]
fn a_paired_device_comes_to_hold_everything_and_both_see_both() {
    let (mut a, b) = pair();
    assert_eq!(names(&a), names(&b));
    assert_eq!(names(&a).len(), 2);
    a.rename("main", "First run");
    let mut b = b;
    b.pull(&a, 1).unwrap();
    assert_eq!(b.name_of("main").as_deref(), Some("First run"));
    assert_eq!(a.replica.records(), b.replica.records());
    assert_eq!(b.rename("main", "First run"), None, "what is said already is not said again");
}

#[test]
fn a_third_device_gets_all_of_it_from_one_that_relays() {
    let (mut a, mut b) = pair();
    a.rename("main", "A");
    b.pull(&a, 99).unwrap();
    let mut c = Seat::new(3);
    join(&mut b, &mut c);
    assert_eq!(c.name_of("main").as_deref(), Some("A"));
    c.rename("main", "C");
    b.pull(&c, 1).unwrap();
    a.pull(&b, 1).unwrap();
    assert_eq!((a.name_of("main").as_deref(), names(&a).len()), (Some("C"), 3));
}

#[test]
fn a_change_is_later_than_all_that_was_seen_even_when_the_clock_is_three_days_behind() {
    let (mut a, mut b) = pair();
    a.wall = UnixMillis(NOW.0 + 3 * 24 * 3_600_000);
    b.wall = UnixMillis(NOW.0 - 3 * 24 * 3_600_000);
    a.rename("main", "by the one ahead");
    b.pull(&a, 99).unwrap();
    b.rename("main", "by the one behind, having seen it");
    a.pull(&b, 99).unwrap();
    assert_eq!(a.name_of("main").as_deref(), Some("by the one behind, having seen it"));
}

#[test]
fn entries_of_a_poisoned_clock_wait_and_come_in_once_ours_has_caught_up() {
    let (mut a, mut b) = pair();
    let year = 365 * 24 * 3_600_000;
    a.rename("main", "before");
    a.wall = UnixMillis(NOW.0 + year);
    a.rename("main", "from next year");
    let page = a.replica.page(b.me().device, &b.replica.watermarks(), 99).unwrap();
    let receipt = b.take(a.me(), page).unwrap();
    assert!(matches!(receipt.refused[..], [(_, 4, Refusal::Clock(ClockError::TooFarAhead { .. }))]), "{receipt:?}");
    assert_eq!(b.name_of("main").as_deref(), Some("before"));
    assert!(b.clock.ahead_of(NOW).as_secs() < 60, "our clock is not carried away");
    b.wall = UnixMillis(NOW.0 + year);
    b.pull(&a, 99).unwrap();
    assert_eq!(b.name_of("main").as_deref(), Some("from next year"));
}

#[test]
fn nothing_is_taken_from_and_nothing_given_to_who_is_no_device() {
    let (mut a, _) = pair();
    let mut stranger = Seat::new(9);
    stranger.rename("main", "mine now");
    let page = Page { entries: stranger.entries.clone(), ..Page::default() };
    let before = a.replica.clone();
    let e = a.take(stranger.me(), page).unwrap_err();
    assert_eq!((e.clone(), e.class()), (ReplicaError::NotADevice(life(9).device), ErrorClass::Refused));
    assert_eq!(a.replica.page(life(9).device, &[], 9), Err(e.clone()));
    assert_eq!(a.replica.heard_ack(life(9), a.me().at(1)), Err(e));
    assert_eq!(a.replica, before);
}

#[test]
fn an_entry_of_an_unregistered_author_is_refused_whoever_relays_it() {
    let (mut a, b) = pair();
    let mut stranger = Seat::new(9);
    let entry = stranger.rename("main", "mine now").unwrap();
    let before = a.replica.clone();
    let receipt = a.take(b.me(), Page { entries: vec![entry], ..Page::default() }).unwrap();
    assert_eq!(receipt.refused, [(life(9), 2, Refusal::Unregistered)]);
    assert_eq!(a.replica, before);
}

#[test]
fn a_relay_that_changes_an_entry_is_found_out_and_changes_nothing() {
    let (mut a, mut b) = pair();
    let entry = a.rename("main", "A").unwrap();
    b.pull(&a, 99).unwrap();
    let before = b.replica.clone();
    let lie = SharedEntry { data: RecordData::from_iter([("display_name".to_owned(), json!("B"))]), ..entry };
    let receipt = b.take(a.me(), Page { entries: vec![lie.clone()], ..Page::default() }).unwrap();
    let conflicting = LogError::Conflicting { life: a.me(), seq: lie.seq };
    assert_eq!(receipt.refused, [(a.me(), lie.seq, Refusal::Log(conflicting))]);
    assert_eq!(b.replica, before);
}

#[test]
fn a_removed_device_is_heard_no_more_and_what_the_remover_had_not_seen_has_no_effect_anywhere() {
    let (mut a, mut b) = pair();
    let mut c = Seat::new(3);
    join(&mut a, &mut c);
    b.pull(&a, 99).unwrap();
    b.rename("main", "seen by the remover");
    a.pull(&b, 99).unwrap();
    b.rename("main", "not seen by the remover");
    c.pull(&b, 99).unwrap();
    assert_eq!(c.name_of("main").as_deref(), Some("not seen by the remover"));
    let gone = b.me().device;
    a.write(|r, c, w| r.remove_device(gone, c, w));
    assert!(a.pull(&b, 99).is_err());
    c.pull(&a, 99).unwrap();
    assert_eq!(c.name_of("main").as_deref(), Some("seen by the remover"));
    a.pull(&c, 99).unwrap();
    assert!(a.replica.records() == c.replica.records() && a.replica.registry() == c.replica.registry());
    assert_eq!(names(&a).len(), 2);
    assert_eq!(a.replica.watermarks(), c.replica.watermarks(), "what has no effect is held and relayed all the same");
    assert!(c.pull(&b, 99).is_err(), "its trust ended at once on who heard of it");
}

#[test]
fn a_removal_is_final_for_that_life_whatever_is_written_later() {
    let (mut a, mut b) = pair();
    let mut c = Seat::new(3);
    join(&mut a, &mut c);
    let gone = b.me();
    a.write(|r, c, w| r.remove_device(gone.device, c, w));
    // Another device that has not heard of it writes to the record later, even opens the life anew.
    c.wall = UnixMillis(NOW.0 + 1_000);
    c.write(|r, k, w| r.pair(gone, &device(2), k, w));
    a.pull(&c, 99).unwrap();
    c.pull(&a, 99).unwrap();
    for seat in [&a, &c] {
        assert!(!seat.replica.registry().is_device(gone.device));
    }
    // Paired again in a new life it is a device again, and only with what it writes from then on.
    b.replica.renew(DeviceEpoch(Uuid::from_u128(777)));
    b.write(|r, c, w| r.introduce(&device(2), c, w));
    let again = b.me();
    a.write(|r, c, w| r.pair(again, &device(2), c, w));
    a.pull(&b, 99).unwrap();
    b.rename("main", "back again");
    a.pull(&b, 99).unwrap();
    assert_eq!(a.name_of("main").as_deref(), Some("back again"));
    assert_eq!(a.replica.registry().present(again.device), Some(again));
}

#[test]
fn a_removed_device_does_not_come_back_by_losing_its_database() {
    let (mut a, mut b) = pair();
    let mut c = Seat::new(3);
    join(&mut a, &mut c);
    b.replica.renew(DeviceEpoch(Uuid::from_u128(777)));
    b.write(|r, c, w| r.introduce(&device(2), c, w));
    b.pull(&a, 99).unwrap();
    // Met before the removal was heard of.
    c.pull(&b, 99).unwrap();
    assert_eq!(c.replica.registry().present(b.me().device), Some(b.me()));
    a.write(|r, c, w| r.remove_device(life(2).device, c, w));
    c.pull(&a, 99).unwrap();
    assert!(!c.replica.registry().is_device(b.me().device));
}

#[test]
fn a_device_that_lost_its_database_goes_on_in_a_new_life_and_gets_its_own_entries_back() {
    let (mut a, mut b) = pair();
    b.rename("main", "before the loss");
    a.pull(&b, 99).unwrap();
    let fresh = Life { epoch: DeviceEpoch(Uuid::from_u128(555)), ..b.me() };
    let mut again = Seat::new(2);
    again.replica = Replica::new(b.replica.player(), fresh);
    again.entries.clear();
    again.clock = Clock::restore(fresh.device, ClockMark::default());
    again.wall = UnixMillis(NOW.0 - 1_000);
    again.replica.vouch(a.me());
    again.pull(&a, 99).unwrap();
    assert_eq!(again.name_of("main").as_deref(), Some("before the loss"));
    again.write(|r, c, w| r.introduce(&device(2), c, w));
    again.rename("main", "after it");
    a.pull(&again, 99).unwrap();
    assert_eq!(a.name_of("main").as_deref(), Some("after it"), "its clock is behind, what it saw is not");
    assert_eq!(a.replica.registry().present(fresh.device), Some(fresh));
    assert_eq!(names(&a).len(), 2);
}

#[test]
fn a_device_whose_database_was_put_back_begins_a_new_life_and_loses_nothing() {
    let (mut a, mut b) = pair();
    let backup = b.clone();
    b.rename("main", "after the backup");
    a.pull(&b, 99).unwrap();
    let mut b = backup;
    let page = a.replica.page(b.me().device, &b.replica.watermarks(), 99).unwrap();
    let receipt = b.take(a.me(), page).unwrap();
    assert!(receipt.is_put_back(), "{receipt:?}");
    b.replica.renew(DeviceEpoch(Uuid::from_u128(555)));
    b.pull(&a, 99).unwrap();
    assert_eq!(b.name_of("main").as_deref(), Some("after the backup"));
    b.write(|r, c, w| r.introduce(&device(2), c, w));
    b.rename("main", "in the new life");
    a.pull(&b, 99).unwrap();
    assert_eq!(a.name_of("main").as_deref(), Some("in the new life"));
}

#[test]
fn nothing_can_be_written_before_the_device_has_introduced_itself() {
    let mut replica = Replica::new(PlayerId(Uuid::from_u128(1)), life(1));
    let mut clock = Clock::restore(life(1).device, ClockMark::default());
    let (id, slot) = slot("main", "A");
    let before = (replica.clone(), clock.clone());
    assert_eq!(replica.put(id, &slot, &mut clock, NOW), Err(ReplicaError::NotIntroduced));
    let too_long = RecordData::from_iter([("a".to_owned(), json!("x".repeat(20_000)))]);
    replica.introduce(&device(1), &mut clock, NOW).unwrap();
    let introduced = (replica.clone(), clock.clone());
    assert!(replica.write("slot", id, ChangeType::Insert, too_long, &mut clock, NOW).is_err());
    assert_eq!((&replica, &clock), (&introduced.0, &introduced.1));
    assert_ne!(before, introduced);
}

#[test]
fn what_is_held_by_all_could_be_dropped_and_a_removed_device_stands_in_the_way_no_longer() {
    let (mut a, mut b) = pair();
    let mut c = Seat::new(3);
    join(&mut a, &mut c);
    assert_eq!(a.replica.prunable(), []);
    b.pull(&a, 99).unwrap();
    for mark in b.replica.watermarks() {
        a.replica.heard_ack(b.me(), mark).unwrap();
    }
    assert_eq!(a.replica.prunable(), [], "one has said nothing yet");
    let gone = c.me().device;
    a.write(|r, k, w| r.remove_device(gone, k, w));
    assert!(!a.replica.prunable().is_empty());
}

#[test]
fn a_page_of_an_author_that_the_same_page_registers_is_taken_whole() {
    let (mut a, b) = pair();
    let mut c = Seat::new(3);
    join(&mut a, &mut c);
    c.rename("main", "C");
    a.pull(&c, 99).unwrap();
    let mut b = b;
    let mut page = a.replica.page(b.me().device, &b.replica.watermarks(), 99).unwrap();
    page.entries.sort_by_key(|e| (std::cmp::Reverse(e.device_id), e.seq));
    let receipt = b.take(a.me(), page).unwrap();
    assert_eq!(receipt.refused, []);
    assert_eq!(b.name_of("main").as_deref(), Some("C"));
}

/// What may happen among the devices of a player.
#[derive(Debug, Clone)]
enum Step {
    Rename {
        who: usize,
        slot: usize,
        to: u32,
    },
    Delete {
        who: usize,
        slot: usize,
    },
    Remove {
        who: usize,
        whom: usize,
    },
    Pull {
        to: usize,
        from: usize,
        limit: usize,
    },
    /// A page of which only some entries arrive, some twice, in another order.
    Torn {
        to: usize,
        from: usize,
        keep: u32,
        turn: usize,
    },
    Wall {
        who: usize,
        by: i64,
    },
    Restart {
        who: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let three_days = 3 * 24 * 3_600_000i64;
    let (who, slot) = (0usize..4, 0usize..2);
    let step = prop_oneof![
        8 => (who.clone(), slot.clone(), 0u32..5).prop_map(|(who, slot, to)| Step::Rename { who, slot, to }),
        2 => (who.clone(), slot).prop_map(|(who, slot)| Step::Delete { who, slot }),
        1 => (who.clone(), who.clone()).prop_map(|(who, whom)| Step::Remove { who, whom }),
        6 => (who.clone(), who.clone(), 1usize..9).prop_map(|(to, from, limit)| Step::Pull { to, from, limit }),
        3 => (who.clone(), who.clone(), any::<u32>(), 0usize..9)
            .prop_map(|(to, from, keep, turn)| Step::Torn { to, from, keep, turn }),
        2 => (who.clone(), -three_days..=three_days).prop_map(|(who, by)| Step::Wall { who, by }),
        1 => who.prop_map(|who| Step::Restart { who }),
    ];
    proptest::collection::vec(step, 0..20)
}

/// Four devices that know each other.
fn room() -> Vec<Seat> {
    let mut seats: Vec<Seat> = (1..=4).map(Seat::new).collect();
    for n in 1..4 {
        let (first, rest) = seats.split_at_mut(1);
        join(&mut first[0], &mut rest[n - 1]);
    }
    heal(&mut seats);
    seats
}

/// Everyone who still may asks everyone, until nobody learns anything.
fn heal(seats: &mut [Seat]) {
    let held = |seats: &[Seat]| seats.iter().map(|s| s.replica.watermarks()).collect::<Vec<_>>();
    loop {
        let before = held(seats);
        for to in 0..seats.len() {
            for from in 0..seats.len() {
                ask(seats, to, from, 7);
            }
        }
        if held(seats) == before {
            return;
        }
    }
}

/// Pulls, if the other still answers.
fn ask(seats: &mut [Seat], to: usize, from: usize, limit: usize) {
    if let Ok([to, from]) = seats.get_disjoint_mut([to, from]) {
        let _ = to.pull(from, limit);
    }
}

fn run(seats: &mut [Seat], step: Step) {
    let slots = ["main", "second"];
    match step {
        Step::Rename { who, slot, to } => {
            seats[who].rename(slots[slot], &to.to_string());
        }
        Step::Delete { who, slot: at } => {
            let seat = &mut seats[who];
            let id = slot(slots[at], "").0;
            if let Some(w) = seat.replica.delete::<Slot>(id, &mut seat.clock, seat.wall).unwrap() {
                seat.mark = w.mark.unwrap_or(seat.mark);
                seat.entries.push(w.entry);
            }
        }
        Step::Remove { who, whom } if who != whom => {
            let gone = seats[whom].me().device;
            seats[who].write(|r, c, w| r.remove_device(gone, c, w));
        }
        Step::Pull { to, from, limit } => ask(seats, to, from, limit),
        Step::Torn { to, from, keep, turn } if to != from => {
            let (me, since) = (seats[to].me().device, seats[to].replica.watermarks());
            let Ok(page) = seats[from].replica.page(me, &since, 32) else { return };
            let mut entries: Vec<_> =
                page.entries.into_iter().enumerate().filter(|(at, _)| keep >> at & 1 == 1).map(|(_, e)| e).collect();
            let turn = turn.min(entries.len());
            entries.rotate_left(turn);
            entries.extend(entries.first().cloned());
            let source = seats[from].me();
            let _ = seats[to].take(source, Page { entries, ..Page::default() });
        }
        Step::Wall { who, by } => seats[who].wall = UnixMillis(NOW.0.saturating_add_signed(by)),
        Step::Restart { who } => seats[who].restart(),
        Step::Remove { .. } | Step::Torn { .. } => {}
    }
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()))
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p07_whatever_is_cut_lost_repeated_or_removed_the_devices_that_remain_agree(steps in steps()) {
        thread_local! { static ROOM: Vec<Seat> = room(); }
        let mut seats = ROOM.with(Clone::clone);
        let mut times = BTreeMap::<Life, Hlc>::new();
        for step in steps {
            run(&mut seats, step);
        }
        heal(&mut seats);
        for seat in &seats {
            let mut own: Vec<_> = seat.replica.log().entries_after(seat.me(), 0).collect();
            own.sort_by_key(|e| e.seq);
            for e in own {
                let last = times.insert(seat.me(), e.hlc);
                prop_assert!(last < Some(e.hlc), "P10: an author's times grow");
            }
        }
        // Who everybody that it believes in believes in as well.
        let devices = |s: &Seat| s.replica.registry().devices();
        let remaining: Vec<&Seat> = seats
            .iter()
            .filter(|s| seats.iter().all(|o| o.replica.registry().is_open(s.me())))
            .collect();
        for pair in remaining.windows(2) {
            let (a, b) = (&pair[0].replica, &pair[1].replica);
            prop_assert_eq!(a.watermarks(), b.watermarks());
            prop_assert_eq!(devices(pair[0]), devices(pair[1]));
            prop_assert!(a.records() == b.records(), "{:?}\n{:?}", a.records(), b.records());
        }
        for seat in &mut seats {
            let before = seat.replica.clone();
            seat.restart();
            prop_assert!(seat.replica.records() == before.records(), "a start adds up to the same");
            prop_assert!(seat.replica.registry() == before.registry());
        }
    }

    #[test]
    fn p19_what_strangers_write_removed_devices_send_and_relays_alter_or_repeat_changes_nothing(
        lies in proptest::collection::vec((0usize..6, any::<prop::sample::Index>()), 1..8),
        is_from_stranger in prop::bool::weighted(0.2),
    ) {
        thread_local! { static ROOM: (Seat, Life, Life, Vec<SharedEntry>) = with_somebody_removed(); }
        let (mut seat, honest, gone, strange) = ROOM.with(Clone::clone);
        let held: Vec<SharedEntry> = seat.replica.log().entries().cloned().collect();
        let entries: Vec<SharedEntry> = lies.iter().map(|(lie, at)| {
            let of_held = at.get(&held).clone();
            match lie {
                // Said again.
                0 => of_held,
                // Other words in the place of what was said.
                1 => SharedEntry { data: RecordData::from_iter([("name".to_owned(), json!("lie"))]), ..of_held },
                2 => SharedEntry { record_uuid: Uuid::from_u128(999), ..of_held },
                3 => SharedEntry { hlc: Hlc { ms: of_held.hlc.ms + 1, ..of_held.hlc }, ..of_held },
                // From somebody who was never paired, or in a life that nobody opened.
                4 => at.get(&strange).clone(),
                _ => SharedEntry { device_epoch: DeviceEpoch(Uuid::from_u128(4_242)), seq: of_held.seq + 1, ..of_held },
            }
        }).collect();
        let (before, clock) = (seat.replica.clone(), seat.clock.clone());
        for from in if is_from_stranger { vec![gone, life(9)] } else { vec![honest] } {
            let is_refused = lies.iter().filter(|(lie, _)| *lie != 0).count();
            match seat.replica.receive(from.device, entries.clone(), &[], &mut seat.clock, seat.wall) {
                Err(e) => prop_assert_eq!((is_from_stranger, e), (true, ReplicaError::NotADevice(from.device))),
                Ok(receipt) => {
                    prop_assert!(!is_from_stranger);
                    prop_assert_eq!(receipt.refused.len(), is_refused, "{:?}", &receipt);
                    prop_assert!(receipt.entries.is_empty() && receipt.changed.is_empty() && receipt.mark.is_none());
                }
            }
            prop_assert!(seat.replica == before, "something changed");
            prop_assert_eq!(&seat.clock, &clock);
        }
    }
}

/// A device that holds words of all; one that is still trusted, one that was removed, and words of a stranger.
fn with_somebody_removed() -> (Seat, Life, Life, Vec<SharedEntry>) {
    let mut seats = room();
    seats[1].rename("main", "of the one who stays");
    seats[2].rename("main", "of the one who goes");
    heal(&mut seats);
    let gone = seats[2].me();
    seats[1].write(|r, c, w| r.remove_device(gone.device, c, w));
    let honest = seats[1].clone();
    seats[0].pull(&honest, 99).unwrap();
    let mut stranger = Seat::new(9);
    stranger.rename("main", "of nobody");
    stranger.rename("second", "of nobody");
    // The first of them introduces it: it opens its own life, and is believed of nobody.
    (seats.swap_remove(0), honest.me(), gone, stranger.entries.split_off(1))
}
