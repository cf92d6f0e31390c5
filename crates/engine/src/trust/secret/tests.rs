use std::collections::BTreeSet;

use super::*;

/// Numbers that look random: multiples of an odd constant, in every byte.
fn random<const N: usize>(seed: u64) -> [u8; N] {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::array::from_fn(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    })
}

#[test]
fn a_code_has_more_than_20_bits_and_every_character_comes_up_about_as_often() {
    assert!(20f64.powi(i32::try_from(CODE_LEN).unwrap()) >= f64::from(1u32 << 25));
    let mut counts = [0u32; 20];
    let codes: BTreeSet<String> = (0..20_000).map(|n| PairCode::from_random(random(n)).0).collect();
    assert!(codes.len() > 19_980, "{}", codes.len());
    for c in codes.iter().flat_map(|code| code.bytes()) {
        counts[ALPHABET.iter().position(|a| *a == c).unwrap()] += 1;
    }
    let expected = u32::try_from(codes.len()).unwrap() * 6 / 20;
    for (c, count) in ALPHABET.iter().zip(counts) {
        assert!(count.abs_diff(expected) < expected / 20, "{}: {count} instead of {expected}", char::from(*c));
    }
}

#[test]
fn the_same_randomness_gives_the_same_code() {
    assert_eq!(PairCode::from_random([0; 16]).to_string(), "222-222");
    assert_eq!(PairCode::from_random([0xff; 16]).to_string(), PairCode::from_random([0xff; 16]).to_string());
    // 2^128 - 1 in base 20, from the lowest digit.
    assert_eq!(PairCode::from_random([0xff; 16]).to_string(), "QJC-8H9");
}

#[test]
fn what_is_shown_is_read_back_in_any_case_and_grouping() {
    let code = PairCode::from_random(random(7));
    let shown = code.to_string();
    assert_eq!(shown.len(), CODE_LEN + 1);
    let password = |text: &str| Secret::Code(PairCode::parse(text).unwrap()).password();
    let expected = Secret::Code(code).password();
    let dotted: String = shown.chars().flat_map(|c| [c, '.', ' ']).collect();
    for typed in [
        shown.clone(),
        shown.to_lowercase(),
        shown.replace('-', ""),
        shown.replace('-', " "),
        shown.replace('-', "\u{2013}"),
        format!("\t {shown}\r\n"),
        dotted,
    ] {
        assert_eq!(password(&typed), expected, "{typed:?}");
    }
}

#[test]
fn letters_taken_for_a_digit_are_read_as_that_digit() {
    assert_eq!(PairCode::parse("zsb-ZSB").unwrap().to_string(), "258-258");
}

#[test]
fn what_cannot_be_a_code_is_refused_with_the_reason() {
    for (text, error) in [
        ("", SecretError::Length { found: 0, expected: 6 }),
        ("234-56", SecretError::Length { found: 5, expected: 6 }),
        ("234-5678", SecretError::Length { found: 7, expected: 6 }),
        ("234-56O", SecretError::Character('O')),
        ("234-561", SecretError::Character('1')),
        ("234\u{0}567", SecretError::Character('\u{0}')),
        ("２３４５６７", SecretError::Character('２')),
        ("\u{202e}234567", SecretError::Character('\u{202e}')),
    ] {
        assert_eq!(PairCode::parse(text).map(|_| ()), Err(error.clone()), "{text:?}");
        assert!(!error.is_retryable());
        assert_eq!(error.class(), ErrorClass::Refused);
    }
    let long = "2".repeat(1 << 20);
    assert!(matches!(PairCode::parse(&long), Err(SecretError::Length { .. })));
    assert!(SecretError::Character('O').to_string().contains("2-9"));
}

#[test]
fn a_token_is_named_in_public_and_its_secret_is_beyond_guessing() {
    let token = PairToken::from_random(random(3));
    let shown = token.to_string();
    assert_eq!(shown.split('-').count(), 9, "{shown}");
    assert!(shown.starts_with(token.name().as_str()));
    let read = PairToken::parse(&shown.to_lowercase().replace('-', " ")).unwrap();
    assert_eq!(Secret::Token(read).password(), Secret::Token(token.clone()).password());
    assert_eq!(Secret::Token(token.clone()).token_name(), Some(token.name()));
    assert!(20f64.powi(i32::try_from(TOKEN_SECRET_LEN).unwrap()) >= 2f64.powi(128));
    let short: String = shown.chars().take(30).collect();
    assert!(matches!(PairToken::parse(&short), Err(SecretError::Length { .. })));
    let other = PairToken::from_random(random(4));
    assert_ne!(Secret::Token(other).password(), Secret::Token(token).password());
}

#[test]
fn a_code_and_a_token_are_never_the_same_password() {
    let code = Secret::Code(PairCode::from_random([0; 16]));
    let token = Secret::Token(PairToken::from_random([0; 32]));
    assert!(code.password().starts_with(b"code:") && token.password().starts_with(b"token:"));
    assert_eq!(code.token_name(), None);
}

#[test]
fn debug_tells_no_secret() {
    let code = PairCode::from_random(random(5));
    let token = PairToken::from_random(random(6));
    let printed = format!("{code:?} {token:?} {:?}", Secret::Token(token.clone()));
    assert!(!printed.contains(&code.0) && !printed.contains(&token.secret), "{printed}");
    assert!(!printed.contains(&token.secret[..8]));
}
