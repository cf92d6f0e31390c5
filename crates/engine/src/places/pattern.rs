//! Patterns over the files beneath a root: which of them belong to a save.
//!
//! `?` is one character, `*` any number of them within a name, `[abc]`, `[a-z]` and `[!a]` one of a class, `**` as a whole
//! name any number of folders. A pattern that matches a folder covers everything beneath it. Matching takes time in
//! proportion to pattern times path, whatever the pattern.

use std::fmt;
use std::str::FromStr;

use bonfire_proto::RelPath;
use bonfire_proto::rel_path::fold;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most characters of a pattern.
pub const PATTERN_LEN_MAX: usize = 2_048;

/// One step of a name's pattern.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Token {
    /// This character.
    Char(char),
    /// Any one character.
    One,
    /// Any number of characters.
    Many,
    /// One character of these ranges, or of none of them.
    Class {
        /// Whether the ranges are those that it is not in.
        negated: bool,
        /// From and to, both included.
        ranges: Vec<(char, char)>,
    },
}

/// The pattern of one name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// `**`: any number of names.
    Deep,
    /// One name.
    Name(Vec<Token>),
}

impl Segment {
    /// The segment that matches this name only.
    #[must_use]
    pub fn literal(name: &str) -> Self {
        Self::Name(name.chars().map(Token::Char).collect())
    }

    /// The name, when it can match one name only.
    #[must_use]
    pub fn as_literal(&self) -> Option<String> {
        let Self::Name(tokens) = self else { return None };
        tokens.iter().map(|t| if let Token::Char(c) = t { Some(*c) } else { None }).collect()
    }

    /// Whether it matches this name.
    #[must_use]
    pub fn matches(&self, name: &str, folded: bool) -> bool {
        match self {
            Self::Deep => true,
            Self::Name(tokens) if folded => {
                name_matches(&tokens.iter().map(folded_token).collect::<Vec<_>>(), &fold(name))
            }
            Self::Name(tokens) => name_matches(tokens, name),
        }
    }
}

/// A pattern of one or more names, relative to a root's folder. Text that ends with `/` means the same without.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(Vec<Segment>);

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing in it.
    #[error("an empty pattern")]
    Empty,
    /// Over `PATTERN_LEN_MAX`.
    #[error("a pattern of over {PATTERN_LEN_MAX} characters")]
    TooLong,
    /// A `.` or `..` in it.
    #[error("`.` or `..` in a pattern")]
    Dots,
    /// It begins with `/`, or has a name that is empty, or a `\\`, which is in no name.
    #[error(
        "not a pattern: a relative path with `/` between its names, in which `*`, `?`, `[..]` and `**` stand for names"
    )]
    NotRelative,
}

impl Pattern {
    /// A pattern of these segments.
    ///
    /// # Errors
    /// `PatternError::Empty`.
    pub fn new(segments: Vec<Segment>) -> Result<Self, PatternError> {
        if segments.is_empty() { Err(PatternError::Empty) } else { Ok(Self(segments)) }
    }

    /// The segments, one or more.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// The pattern that matches the file at this path only.
    #[must_use]
    pub fn literal(path: &RelPath) -> Self {
        Self(path.parts().map(Segment::literal).collect())
    }

    /// Whether the file at this path belongs to it: the pattern matches the path or a folder above it. With `folded`,
    /// case and normal form do not count.
    #[must_use]
    pub fn covers(&self, path: &RelPath, folded: bool) -> bool {
        self.reach(&path.parts().collect::<Vec<_>>(), folded).covers
    }

    /// How the pattern and the path of these names meet.
    #[must_use]
    pub fn reach(&self, names: &[&str], folded: bool) -> Reach {
        // reached[n]: the segments so far match the first n names.
        let mut reached = vec![false; names.len() + 1];
        reached[0] = true;
        let mut leads_through = false;
        for segment in &self.0 {
            // There is a segment left for what lies beneath.
            leads_through |= reached[names.len()];
            let mut next = vec![false; names.len() + 1];
            match segment {
                Segment::Deep => {
                    let mut any = false;
                    for (to, from) in next.iter_mut().zip(&reached) {
                        any |= from;
                        *to = any;
                    }
                    leads_through |= next[names.len()];
                }
                name @ Segment::Name(_) => {
                    for (at, written) in names.iter().enumerate() {
                        next[at + 1] = reached[at] && name.matches(written, folded);
                    }
                }
            }
            reached = next;
        }
        let covers = reached.iter().skip(1).any(|r| *r);
        Reach { covers, leads_through: leads_through || covers }
    }
}

/// How a pattern and a path meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The pattern matches the path or a folder above it.
    pub covers: bool,
    /// Something beneath the path may be covered, were it a folder.
    pub leads_through: bool,
}

/// The segment that one name of a pattern's text is.
#[must_use]
pub fn segment(text: &str) -> Segment {
    if text == "**" { Segment::Deep } else { Segment::Name(tokens(text)) }
}

/// What the text of a name means. A `[` that nothing closes is itself.
fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut out, mut at) = (Vec::new(), 0);
    while let Some(c) = chars.get(at) {
        at += 1;
        match c {
            '?' => out.push(Token::One),
            '*' if out.last() == Some(&Token::Many) => {}
            '*' => out.push(Token::Many),
            '[' => match class(&chars[at..]) {
                Some((token, len)) => {
                    out.push(token);
                    at += len;
                }
                None => out.push(Token::Char('[')),
            },
            c => out.push(Token::Char(*c)),
        }
    }
    out
}

/// The class that these characters begin with, after its `[`, and how many of them it takes.
fn class(chars: &[char]) -> Option<(Token, usize)> {
    let negated = matches!(chars.first(), Some('!' | '^'));
    let begin = usize::from(negated);
    // A `]` right at the beginning is a member.
    let end = begin + 1 + chars.get(begin + 1..)?.iter().position(|c| *c == ']')?;
    let (mut ranges, mut at) = (Vec::new(), begin);
    while at < end {
        let from = chars[at];
        if at + 2 < end && chars[at + 1] == '-' {
            ranges.push((from, chars[at + 2]));
            at += 3;
        } else {
            ranges.push((from, from));
            at += 1;
        }
    }
    Some((Token::Class { negated, ranges }, end + 1))
}

fn folded_token(token: &Token) -> Token {
    let one = |c: char| fold(c.encode_utf8(&mut [0; 4])).chars().next().unwrap_or(c);
    match token {
        Token::Char(c) => Token::Char(one(*c)),
        Token::Class { negated, ranges } => {
            // Both cases of a range's ends: `[A-C]` is `[A-Ca-c]`.
            let lower = ranges.iter().map(|(from, to)| (one(*from), one(*to)));
            Token::Class { negated: *negated, ranges: ranges.iter().copied().chain(lower).collect() }
        }
        other => other.clone(),
    }
}

/// Goes back to the last `*` only, which is enough: an earlier one could not match what the last one cannot.
fn name_matches(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut t, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match tokens.get(t) {
            Some(Token::Many) => {
                star = Some((t, n));
                t += 1;
                continue;
            }
            Some(token) if one_matches(token, name[n]) => {
                t += 1;
                n += 1;
                continue;
            }
            _ => {}
        }
        let Some((at, from)) = star else { return false };
        star = Some((at, from + 1));
        t = at + 1;
        n = from + 1;
    }
    tokens[t..].iter().all(|t| *t == Token::Many)
}

fn one_matches(token: &Token, c: char) -> bool {
    match token {
        Token::Char(own) => *own == c,
        Token::One | Token::Many => true,
        Token::Class { negated, ranges } => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)) != *negated,
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char(c @ ('?' | '*' | '[')) => write!(f, "[{c}]"),
            Self::Char(c) => write!(f, "{c}"),
            Self::One => f.write_str("?"),
            Self::Many => f.write_str("*"),
            Self::Class { negated, ranges } => {
                f.write_str(if *negated { "[!" } else { "[" })?;
                for (from, to) in ranges {
                    if from == to { write!(f, "{from}")? } else { write!(f, "{from}-{to}")? }
                }
                f.write_str("]")
            }
        }
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deep => f.write_str("**"),
            Self::Name(tokens) => tokens.iter().try_for_each(|t| t.fmt(f)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("/")?;
            }
            segment.fmt(f)?;
        }
        Ok(())
    }
}

impl FromStr for Pattern {
    type Err = PatternError;
    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.len() > PATTERN_LEN_MAX {
            return Err(PatternError::TooLong);
        }
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        // Written by hand, what begins with `/` is most likely meant as a path of the machine, and would match nothing.
        let names: Vec<&str> = text.strip_suffix('/').unwrap_or(text).split('/').collect();
        if names.iter().any(|n| n.is_empty() || n.contains(['\\', '\0'])) {
            return Err(PatternError::NotRelative);
        }
        if names.iter().any(|n| matches!(*n, "." | "..")) {
            return Err(PatternError::Dots);
        }
        Self::new(names.into_iter().map(segment).map(plain).collect())
    }
}

/// With `[c]` as the character that it is: two texts of one pattern are equal.
fn plain(segment: Segment) -> Segment {
    let one = |token| match token {
        Token::Class { negated: false, ranges } if matches!(ranges.as_slice(), [(from, to)] if from == to) => {
            Token::Char(ranges[0].0)
        }
        other => other,
    };
    match segment {
        Segment::Name(tokens) => Segment::Name(tokens.into_iter().map(one).collect()),
        Segment::Deep => Segment::Deep,
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}
