use proptest::prelude::*;

use super::*;

fn limits() -> BudgetLimits {
    BudgetLimits { requests_per_second: 10, burst: 3, streams_max: 2, bytes_in_flight_max: 100 }
}

#[test]
fn a_burst_is_let_through_and_then_the_rate_holds() {
    let mut bucket = TokenBucket::new(Instant(0), 10, 3);
    for _ in 0..3 {
        assert_eq!(bucket.take(Instant(0)), Ok(()));
    }
    assert_eq!(bucket.take(Instant(0)), Err(Duration::from_millis(100)));
    assert_eq!(bucket.take(Instant(99)), Err(Duration::from_millis(1)));
    assert_eq!(bucket.take(Instant(100)), Ok(()));
    assert_eq!(bucket.take(Instant(50)), Err(Duration::from_millis(100)), "time that runs backwards fills nothing");
}

#[test]
fn streams_and_bytes_are_bounded_and_paid_back() {
    let mut b = PeerBudget::new(Instant(0), limits());
    assert_eq!(b.open(Instant(0)), Ok(()));
    assert_eq!(b.open(Instant(0)), Ok(()));
    assert_eq!(b.open(Instant(0)), Err(OverBudget::Streams));
    b.close();
    assert!(matches!(b.open(Instant(0)), Err(OverBudget::Requests(_))));
    assert_eq!(b.open(Instant(100)), Ok(()));
    assert_eq!(b.promise(1_000), Ok(()), "a single request is let through whatever it promises");
    assert_eq!(b.promise(1), Err(OverBudget::Bytes));
    b.sent(950);
    assert_eq!(b.promise(50), Ok(()));
    assert_eq!(b.promise(1), Err(OverBudget::Bytes));
}

#[test]
fn a_game_of_many_small_files_never_waits() {
    let mut b = PeerBudget::new(Instant(0), BudgetLimits::default());
    for n in 0..100_000u64 {
        assert_eq!(b.open(Instant(n / 8)), Ok(()), "8,000 requests a second");
        b.close();
    }
}

proptest! {
    #[test]
    fn never_lets_more_through_than_burst_and_rate_allow(
        waits in prop::collection::vec(0u64..60, 1..300), per_second in 0u32..200, burst in 0u32..20
    ) {
        let mut bucket = TokenBucket::new(Instant(0), per_second, burst);
        let (mut now, mut taken) = (0, 0u64);
        for wait in waits {
            now += wait;
            if let Err(after) = bucket.clone().take(Instant(now)) {
                prop_assert!(after > Duration::ZERO);
                if burst > 0 && per_second > 0 {
                    prop_assert!(bucket.clone().take(Instant(now) + after).is_ok(), "the wait told is enough");
                }
            }
            taken += u64::from(bucket.take(Instant(now)).is_ok());
            prop_assert!(taken * 1_000 <= u64::from(burst) * 1_000 + now * u64::from(per_second));
        }
    }
}
