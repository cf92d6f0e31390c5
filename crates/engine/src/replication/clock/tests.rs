use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const NOW: u64 = 1_800_000_000_000;
const DAY: u64 = 24 * 3_600_000;

fn peer(n: u128) -> PeerId {
    PeerId::from_uuid(Uuid::from_u128(n))
}

fn clock() -> Clock {
    Clock::restore(peer(1), ClockMark::default())
}

fn remote(ms: u64, count: u32) -> Hlc {
    Hlc { ms, count, device: peer(2) }
}

fn tick(clock: &mut Clock, wall: u64) -> Hlc {
    clock.tick(UnixMillis(wall)).unwrap().hlc
}

fn cases() -> ProptestConfig {
    ProptestConfig::with_cases(std::env::var("BONFIRE_CASES").map_or(10_000, |n| n.parse().unwrap()))
}

#[test]
fn follows_the_wall_clock_and_counts_while_it_stands_or_goes_back() {
    let mut c = clock();
    let seen: Vec<_> = [NOW, NOW, NOW - DAY, NOW + 1, NOW + 1].map(|w| tick(&mut c, w)).to_vec();
    let times: Vec<_> = seen.iter().map(|t| (t.ms, t.count)).collect();
    assert_eq!(times, [(NOW, 0), (NOW, 1), (NOW, 2), (NOW + 1, 0), (NOW + 1, 1)]);
    assert!(seen.iter().all(|t| t.device == peer(1)));
}

#[test]
fn goes_beyond_what_it_takes_in() {
    let mut c = clock();
    tick(&mut c, NOW);
    c.observe(remote(NOW + DAY, 7), UnixMillis(NOW)).unwrap();
    assert_eq!((tick(&mut c, NOW).ms, tick(&mut c, NOW).count), (NOW + DAY, 9));
    assert_eq!(c.observe(remote(NOW, 99), UnixMillis(NOW)), Ok(None), "an earlier time changes nothing");
    assert_eq!(tick(&mut c, NOW).count, 10);
}

#[test]
fn a_time_beyond_the_drift_is_refused_and_moves_nothing() {
    let drift = u64::try_from(DRIFT_MAX.as_millis()).unwrap();
    let mut c = clock();
    tick(&mut c, NOW);
    let before = c.clone();
    let e = c.observe(remote(NOW + drift + 1, 0), UnixMillis(NOW)).unwrap_err();
    assert_eq!((e.class(), e.is_retryable()), (ErrorClass::Remote, true));
    assert!(e.to_string().contains("168 hours"), "{e}");
    assert_eq!(c, before);
    c.observe(remote(NOW + drift, 0), UnixMillis(NOW)).unwrap();
}

#[test]
fn taking_in_times_never_carries_the_clock_further_than_the_drift_from_its_own_wall_clock() {
    // Each of a chain of peers is as far ahead as the one before it allows.
    let drift = u64::try_from(DRIFT_MAX.as_millis()).unwrap();
    let mut c = clock();
    for _ in 0..10 {
        let furthest = c.next.0.max(NOW) + drift;
        let _ = c.observe(remote(furthest, 0), UnixMillis(NOW));
    }
    assert!(c.ahead_of(UnixMillis(NOW)) <= DRIFT_MAX);
}

#[test]
fn a_device_whose_clock_was_never_set_takes_part() {
    let mut c = clock();
    tick(&mut c, 5_000);
    c.observe(remote(NOW, 3), UnixMillis(5_000)).unwrap();
    assert!(tick(&mut c, 5_001) > remote(NOW, 3));
}

#[test]
fn a_full_count_goes_over_into_the_next_millisecond() {
    let mut c = clock();
    c.observe(remote(NOW, u32::MAX - 1), UnixMillis(NOW)).unwrap();
    let (a, b) = (tick(&mut c, NOW), tick(&mut c, NOW));
    assert_eq!(((a.ms, a.count), (b.ms, b.count)), ((NOW, u32::MAX), (NOW + 1, 0)));
    c.observe(remote(NOW + 5, u32::MAX), UnixMillis(NOW)).unwrap();
    assert_eq!(tick(&mut c, NOW).ms, NOW + 6);
}

#[test]
fn the_end_of_time_is_an_error_and_no_time_twice() {
    let mut c = clock();
    assert_eq!(c.tick(UnixMillis(HLC_MS_MAX + 1)), Err(ClockError::Exhausted));
    let last = remote(HLC_MS_MAX, u32::MAX);
    assert_eq!(c.observe(last, UnixMillis(HLC_MS_MAX)), Err(ClockError::Exhausted));
    tick(&mut c, HLC_MS_MAX);
    let mut again = Clock::restore(peer(1), c.mark);
    let e = again.tick(UnixMillis(NOW)).unwrap_err();
    assert_eq!((e, e.class(), e.is_retryable()), (ClockError::Exhausted, ErrorClass::Environment, false));
}

#[test]
fn the_mark_is_written_seldom_and_covers_every_time_before_it() {
    let mut c = clock();
    let mut writes = 0;
    for n in 0..100_000 {
        let t = c.tick(UnixMillis(NOW + n)).unwrap();
        writes += u32::from(t.mark.is_some());
        assert!(t.hlc.ms < c.mark.0);
    }
    assert_eq!(writes, 10, "100 seconds of work, one write in ten");
}

#[test]
fn starts_in_a_row_do_not_drive_the_clock_away_from_the_wall_clock() {
    let mut mark = ClockMark::default();
    for _ in 0..10_000 {
        let mut c = Clock::restore(peer(1), mark);
        mark = c.tick(UnixMillis(NOW)).unwrap().mark.expect("the first time after a start needs a mark");
    }
    assert!(Clock::restore(peer(1), mark).ahead_of(UnixMillis(NOW)) < Duration::from_secs(21));
}

/// What may happen to a clock.
#[derive(Debug, Clone)]
enum Step {
    Tick,
    /// The wall clock steps by so many milliseconds.
    Wall(i64),
    Observe(i64, u32),
    /// The process dies; what was not durable is gone.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let three_days = 3 * i64::try_from(DAY).unwrap();
    let step = prop_oneof![
        5 => Just(Step::Tick),
        2 => (-three_days..=three_days).prop_map(Step::Wall),
        1 => (0i64..5).prop_map(Step::Wall),
        2 => (-three_days..=3 * three_days, prop_oneof![0u32..9, Just(u32::MAX), Just(u32::MAX - 1)])
            .prop_map(|(ms, count)| Step::Observe(ms, count)),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn p10_time_only_grows_under_clock_steps_of_three_days_poisoned_peers_and_restarts(steps in steps()) {
        let (mut c, mut durable, mut wall) = (clock(), ClockMark::default(), NOW);
        let mut last: Option<Hlc> = None;
        for step in steps {
            match step {
                Step::Tick => {
                    let t = c.tick(UnixMillis(wall)).unwrap();
                    durable = t.mark.unwrap_or(durable);
                    prop_assert!(last.is_none_or(|l| (l.ms, l.count) < (t.hlc.ms, t.hlc.count)), "{last:?} {t:?}");
                    prop_assert!(t.hlc.ms >= wall && t.hlc.ms < durable.0);
                    last = Some(t.hlc);
                }
                Step::Wall(by) => wall = wall.saturating_add_signed(by),
                Step::Observe(by, count) => {
                    let time = remote(wall.saturating_add_signed(by), count);
                    let before = c.clone();
                    match c.observe(time, UnixMillis(wall)) {
                        Ok(mark) => {
                            durable = mark.unwrap_or(durable);
                            last = last.max(Some(time));
                        }
                        Err(_) => {
                            prop_assert_eq!(&c, &before);
                            prop_assert!(time.ms > wall + u64::try_from(DRIFT_MAX.as_millis()).unwrap());
                        }
                    }
                }
                Step::Restart => c = Clock::restore(peer(1), durable),
            }
        }
    }
}
