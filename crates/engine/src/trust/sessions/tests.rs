use bonfire_proto::message_pair::{PAKE_LEN, PakeMessage};

use super::*;

const S: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant(seconds * 1_000)
}

fn player() -> PlayerId {
    "0f0e0d0c-0b0a-4908-8706-050403020100".parse().unwrap()
}

fn invite() -> Terms {
    Terms::Invite { player: player(), role: DeviceRole::Personal }
}

fn code(n: u8) -> PairCode {
    PairCode::from_random([n; 16])
}

fn token(n: u8) -> PairToken {
    PairToken::from_random([n; 32])
}

fn start() -> PairStart {
    PairStart { version: PAIR_VERSION, part: PairPart::Joins, token: None, pake: PakeMessage([0; PAKE_LEN]) }
}

fn with_token(token: &PairToken) -> PairStart {
    PairStart { token: Some(token.name().clone()), ..start() }
}

fn refusal(sessions: &mut Sessions, now: Instant, start: &PairStart) -> Option<PairRefusal> {
    sessions.begin(now, start).map(|_| ()).err()
}

fn showing() -> Sessions {
    let mut sessions = Sessions::new(at(0));
    sessions.show(at(0), code(1), invite()).unwrap();
    sessions
}

#[test]
fn a_code_can_be_typed_for_two_minutes_and_not_a_millisecond_longer() {
    let last = Instant(120_000 - 1);
    assert!(showing().begin(last, &start()).is_ok());
    let mut sessions = showing();
    assert_eq!(refusal(&mut sessions, Instant(120_000), &start()), Some(PairRefusal::NoCode));
    assert_eq!(sessions.shown(Instant(120_000)), None);
    assert_eq!(showing().shown(last).map(|s| s.tries_left), Some(TRIES));
}

#[test]
fn a_code_typed_in_time_may_be_proven_after_its_end() {
    let mut sessions = showing();
    let begun = sessions.begin(at(119), &start()).unwrap();
    assert_eq!(sessions.proven(at(125), begun.attempt), Ok(()));
}

#[test]
fn the_third_failed_try_ends_the_code() {
    let mut sessions = showing();
    for n in 1..=3u8 {
        let begun = sessions.begin(at(u64::from(n)), &start()).unwrap();
        assert_eq!(sessions.shown(at(5)).map(|s| s.tries_left), Some(TRIES - n));
        assert_eq!(sessions.ended(at(u64::from(n)), begun.attempt), n == 3, "try {n}");
    }
    assert_eq!(refusal(&mut sessions, at(4), &start()), Some(PairRefusal::NoCode));
    assert_eq!(sessions.shown(at(4)), None);
    sessions.show(at(4), code(2), invite()).unwrap();
    assert!(sessions.begin(at(5), &start()).is_ok(), "a new code has new tries");
}

#[test]
fn a_try_is_counted_before_it_is_answered_and_none_is_given_back() {
    let mut sessions = showing();
    let first = sessions.begin(at(1), &start()).unwrap();
    assert_eq!(sessions.shown(at(1)).unwrap().tries_left, 2, "counted, and nothing was answered yet");
    sessions.ended(at(1), first.attempt);
    sessions.begin(at(2), &start()).unwrap();
    // That one vanishes without a word.
    let later = at(2) + ATTEMPT_LIMIT;
    assert_eq!(sessions.shown(later).unwrap().tries_left, 1);
    sessions.begin(later, &start()).unwrap();
    assert_eq!(refusal(&mut sessions, later + ATTEMPT_LIMIT, &start()), Some(PairRefusal::NoCode));
}

#[test]
fn a_proven_code_is_used_up_whatever_comes_of_the_invitation() {
    let mut sessions = showing();
    let begun = sessions.begin(at(1), &start()).unwrap();
    sessions.proven(at(1), begun.attempt).unwrap();
    assert_eq!(refusal(&mut sessions, at(1), &start()), Some(PairRefusal::NoCode));
    assert!(!sessions.ended(at(2), begun.attempt), "it ended by being right");
    assert_eq!(refusal(&mut sessions, at(2), &start()), Some(PairRefusal::NoCode));
}

#[test]
fn one_pairing_goes_on_at_a_time() {
    let mut sessions = showing();
    assert_eq!(sessions.show(at(1), code(2), invite()), Err(SessionError::Shown));
    assert_eq!(sessions.type_code(at(1)).map(|_| ()), Err(SessionError::Shown));
    let begun = sessions.begin(at(1), &start()).unwrap();
    assert_eq!(refusal(&mut sessions, at(1), &start()), Some(PairRefusal::Busy));
    assert_eq!(sessions.shown(at(1)).unwrap().tries_left, 2, "what is refused is not counted");
    assert_eq!(sessions.show(at(1), code(2), invite()), Err(SessionError::UnderWay));
    assert!(SessionError::UnderWay.is_retryable());
    assert_eq!(SessionError::Shown.class(), ErrorClass::Refused);
    sessions.add_token(token(1), invite()).unwrap();
    assert_eq!(refusal(&mut sessions, at(1), &with_token(&token(1))), Some(PairRefusal::Busy));
    sessions.ended(at(1), begun.attempt);
    sessions.hide();
    let typing = sessions.type_code(at(2)).unwrap();
    assert_eq!(refusal(&mut sessions, at(2), &with_token(&token(1))), Some(PairRefusal::Busy));
    sessions.ended(at(2), typing);
    assert!(sessions.begin(at(2), &with_token(&token(1))).is_ok());
}

#[test]
fn who_stalls_holds_up_nobody_for_longer_than_an_attempt_may_take() {
    let mut sessions = showing();
    let stalled = sessions.begin(at(1), &start()).unwrap();
    let later = at(1) + ATTEMPT_LIMIT;
    assert!(sessions.is_under_way(later - S) && !sessions.is_under_way(later));
    let next = sessions.begin(later, &start()).unwrap();
    assert_eq!(sessions.proven(later, stalled.attempt), Err(PairRefusal::NoCode), "too late");
    sessions.ended(later, stalled.attempt);
    assert_eq!(sessions.proven(later, next.attempt), Ok(()), "the end of the old one is not the end of the new");
}

#[test]
fn a_hidden_code_is_worth_nothing_even_when_it_was_typed_before() {
    let mut sessions = showing();
    let begun = sessions.begin(at(1), &start()).unwrap();
    sessions.hide();
    assert_eq!(sessions.proven(at(1), begun.attempt), Err(PairRefusal::NoCode));
    assert_eq!(refusal(&mut sessions, at(1), &start()), Some(PairRefusal::NoCode));
    sessions.show(at(1), code(2), invite()).unwrap();
}

#[test]
fn the_wrong_part_or_version_is_refused_without_costing_a_try() {
    let mut sessions = showing();
    let both_invite = PairStart { part: PairPart::Invites, ..start() };
    assert_eq!(refusal(&mut sessions, at(1), &both_invite), Some(PairRefusal::SamePart));
    assert_eq!(refusal(&mut sessions, at(1), &PairStart { version: 2, ..start() }), Some(PairRefusal::Version));
    assert_eq!(refusal(&mut sessions, at(1), &with_token(&token(1))), Some(PairRefusal::NoCode));
    assert_eq!(sessions.shown(at(1)).unwrap().tries_left, TRIES);
    let mut joins = Sessions::new(at(0));
    joins.show(at(0), code(1), Terms::Join { role: DeviceRole::Personal }).unwrap();
    assert!(joins.begin(at(1), &both_invite).is_ok());
}

#[test]
fn a_token_has_no_end_but_is_revoked_at_once() {
    let mut sessions = Sessions::new(at(0));
    let join = Terms::Join { role: DeviceRole::Unattended };
    let invites = |token: &PairToken| PairStart { part: PairPart::Invites, ..with_token(token) };
    sessions.add_token(token(1), join).unwrap();
    for n in 1..=10u64 {
        let begun = sessions.begin(at(n * 86_400), &invites(&token(1))).unwrap();
        assert_eq!(begun.terms, join);
        assert_eq!(begun.secret.token_name(), Some(token(1).name()));
        assert_eq!(sessions.proven(at(n * 86_400), begun.attempt), Ok(()));
        sessions.ended(at(n * 86_400), begun.attempt);
    }
    let begun = sessions.begin(at(900_000), &invites(&token(1))).unwrap();
    assert!(sessions.revoke_token(token(1).name()));
    assert_eq!(sessions.proven(at(900_000), begun.attempt), Err(PairRefusal::NoCode), "also one under way");
    assert_eq!(refusal(&mut sessions, at(900_000), &invites(&token(1))), Some(PairRefusal::NoCode));
    assert!(!sessions.revoke_token(token(1).name()));
}

#[test]
fn attempts_at_tokens_are_slowed_down_whoever_makes_them() {
    let mut sessions = Sessions::new(at(0));
    sessions.add_token(token(1), invite()).unwrap();
    let mut tried = 0;
    for ms in 0..10_000u64 {
        if let Ok(begun) = sessions.begin(Instant(ms), &with_token(&token(1))) {
            tried += 1;
            sessions.ended(Instant(ms), begun.attempt);
        }
    }
    assert_eq!(tried, 5 + 9, "five at once, then one a second");
}

#[test]
fn a_token_does_not_use_up_a_code_nor_the_other_way_round() {
    let mut sessions = showing();
    sessions.add_token(token(1), invite()).unwrap();
    let begun = sessions.begin(at(1), &with_token(&token(1))).unwrap();
    sessions.hide();
    assert_eq!(sessions.proven(at(1), begun.attempt), Ok(()), "the code had nothing to do with it");
    sessions.ended(at(1), begun.attempt);
    sessions.show(at(2), code(2), invite()).unwrap();
    let begun = sessions.begin(at(2), &with_token(&token(1))).unwrap();
    sessions.proven(at(2), begun.attempt).unwrap();
    sessions.ended(at(2), begun.attempt);
    assert_eq!(sessions.shown(at(2)).unwrap().tries_left, TRIES);
}

#[test]
fn tokens_are_bounded_and_told_apart_by_their_public_part() {
    let mut sessions = Sessions::new(at(0));
    sessions.add_token(token(1), invite()).unwrap();
    assert_eq!(sessions.add_token(token(1), invite()), Err(SessionError::SameName));
    let all: Vec<_> = (2..=255u8).map(|n| sessions.add_token(token(n), invite())).collect();
    assert!(all.contains(&Err(SessionError::TooManyTokens)));
    assert_eq!(sessions.tokens.len(), TOKENS_MAX);
}

/// Whatever is done in whatever order, no more guesses at one code are answered than it has tries.
#[test]
fn no_order_of_events_answers_a_fourth_guess_at_one_code() {
    for seed in 0..4_000u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |n: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % n
        };
        let mut sessions = Sessions::new(at(0));
        let (mut now, mut answered, mut attempts) = (at(0), 0u8, Vec::new());
        for _ in 0..60 {
            now = now + Duration::from_millis(next(20_000));
            match next(5) {
                0 => {
                    if sessions.show(now, code(1), invite()).is_ok() {
                        answered = 0;
                    }
                }
                1 | 2 => {
                    if let Ok(begun) = sessions.begin(now, &start()) {
                        answered += 1;
                        attempts.push(begun.attempt);
                    }
                }
                3 => {
                    if let Some(attempt) = attempts.pop() {
                        sessions.ended(now, attempt);
                    }
                }
                _ => {
                    if let Some(attempt) = attempts.last() {
                        let _ = sessions.proven(now, *attempt);
                    }
                }
            }
            assert!(answered <= TRIES, "seed {seed}");
        }
    }
}
