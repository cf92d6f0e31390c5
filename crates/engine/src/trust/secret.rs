//! The secrets that two devices pair by: a short code for people, a long token for machines that nobody sits at.
//!
//! Owns how they are made, shown and read. They are never compared here, and `Debug` does not tell them: whether two sides
//! know the same one is proven by `bonfire-net`, without either saying it.

use std::fmt;

use bonfire_proto::message_pair::{TOKEN_NAME_LEN, TokenName};

use crate::report::ErrorClass;

/// Digits and letters that are hard to confuse, in print and by ear, and that spell no words: no vowels, and of `0 O`,
/// `1 I L`, `2 Z`, `5 S` and `8 B` at most one each.
const ALPHABET: &[u8; 20] = b"23456789CFGHJMPQRVWX";

/// Characters of a code: 20^6 is 64 million, or 25.9 bits. With three tries, a guess is right once in 21 million codes.
const CODE_LEN: usize = 6;

/// Characters of a code that are shown together.
const CODE_GROUP: usize = 3;

/// Characters of the secret part of a token: 138 bits, beyond guessing even by who may try for ever.
const TOKEN_SECRET_LEN: usize = 32;

/// Characters of a token that are shown together.
const TOKEN_GROUP: usize = 4;

/// Longest text that is read as a secret, in bytes: a token with generous separators.
const TEXT_LEN_MAX: usize = 256;

/// Why a text is no code or token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too few or too many characters, separators not counted.
    #[error("{found} characters where there should be {expected}")]
    Length {
        /// Characters that were found.
        found: usize,
        /// Characters that there should be.
        expected: usize,
    },
    /// A character that is in no code.
    #[error("{0:?} is in no code: they are made of {alphabet}", alphabet = "2-9 and C F G H J M P Q R V W X")]
    Character(char),
}

impl SecretError {
    /// Who can do something about it.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Refused
    }

    /// Whether the same may succeed later without anyone changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        false
    }
}

/// A code that one device shows and a person types on another. `Display` groups it for reading aloud: `C7H-4PX`.
#[derive(Clone)]
pub struct PairCode(String);

impl PairCode {
    /// A code out of randomness.
    #[must_use]
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(characters(&random, CODE_LEN))
    }

    /// The code that a person typed, in any case and grouping.
    ///
    /// # Errors
    /// When it cannot be a code.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        normalised(text, CODE_LEN).map(Self)
    }
}

impl fmt::Display for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&grouped(&self.0, CODE_GROUP))
    }
}

impl fmt::Debug for PairCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairCode(..)")
    }
}

/// A long secret of a machine that nobody sits at. Its first group is public and says which token is meant; `Display`
/// writes all of it.
#[derive(Clone)]
pub struct PairToken {
    name: TokenName,
    secret: String,
}

impl PairToken {
    /// A token out of randomness.
    #[must_use]
    pub fn from_random(random: [u8; 32]) -> Self {
        let text = characters(&random, TOKEN_NAME_LEN + TOKEN_SECRET_LEN);
        Self::split(&text).expect("BUG: every character of the alphabet may stand in a name")
    }

    /// The token in a configuration, in any case and grouping.
    ///
    /// # Errors
    /// When it cannot be a token.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let expected = TOKEN_NAME_LEN + TOKEN_SECRET_LEN;
        let text = normalised(text, expected)?;
        Self::split(&text).ok_or(SecretError::Length { found: text.len(), expected })
    }

    /// Its public part.
    #[must_use]
    pub const fn name(&self) -> &TokenName {
        &self.name
    }

    fn split(text: &str) -> Option<Self> {
        let (name, secret) = text.split_at_checked(TOKEN_NAME_LEN)?;
        Some(Self { name: TokenName::new(name).ok()?, secret: secret.to_owned() })
    }
}

impl fmt::Display for PairToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.name, grouped(&self.secret, TOKEN_GROUP))
    }
}

impl fmt::Debug for PairToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PairToken({}..)", self.name)
    }
}

/// What a pairing runs on.
#[derive(Debug, Clone)]
pub enum Secret {
    /// Shown to a person and typed by one.
    Code(PairCode),
    /// From a configuration.
    Token(PairToken),
}

impl Secret {
    /// The bytes that both sides prove they know. Codes and tokens never give the same.
    #[must_use]
    pub fn password(&self) -> Vec<u8> {
        match self {
            Self::Code(code) => [b"code:", code.0.as_bytes()].concat(),
            Self::Token(token) => [b"token:", token.name.as_str().as_bytes(), b":", token.secret.as_bytes()].concat(),
        }
    }

    /// The public part, of a token.
    #[must_use]
    pub const fn token_name(&self) -> Option<&TokenName> {
        match self {
            Self::Code(_) => None,
            Self::Token(token) => Some(&token.name),
        }
    }
}

/// The last `len` digits of a number in the base of the alphabet. Both kinds are given 100 bits more than they need, so
/// that no digit is likelier than another by more than one in 2^90.
fn characters(random: &[u8], len: usize) -> String {
    let base = u16::try_from(ALPHABET.len()).expect("BUG: twenty");
    let mut number = random.to_vec();
    let mut out = String::with_capacity(len);
    for _ in 0..len {
        let mut rest = 0u16;
        for byte in &mut number {
            let n = (rest << 8) | u16::from(*byte);
            *byte = u8::try_from(n / base).expect("BUG: a digit of a long division");
            rest = n % base;
        }
        out.push(char::from(ALPHABET[usize::from(rest)]));
    }
    out
}

/// The characters of a secret without case, separators, and letters that were mistaken for a digit of the alphabet.
fn normalised(text: &str, expected: usize) -> Result<String, SecretError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(SecretError::Length { found: text.len(), expected });
    }
    let mut out = String::with_capacity(expected);
    for c in text.chars() {
        let separates = c.is_whitespace() || matches!(c, '-' | '_' | '.' | '\u{2010}'..='\u{2015}' | '\u{2212}');
        if separates {
            continue;
        }
        let upper = match c.to_ascii_uppercase() {
            'Z' => '2',
            'S' => '5',
            'B' => '8',
            other => other,
        };
        if !ALPHABET.iter().any(|a| char::from(*a) == upper) {
            return Err(SecretError::Character(c));
        }
        out.push(upper);
    }
    if out.len() == expected { Ok(out) } else { Err(SecretError::Length { found: out.len(), expected }) }
}

fn grouped(text: &str, len: usize) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for (i, c) in text.chars().enumerate() {
        if i > 0 && i % len == 0 {
            out.push('-');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests;
