//! The path of a rule as the manifest writes it: a placeholder for a folder, then names with patterns and placeholders.
//!
//! Owns which paths are refused and why, and the form in which two spellings of one path are equal. Where the path is on a
//! machine is `mapping`'s.

use std::fmt;

use bonfire_proto::rel_path::{PathError, fold};
use bonfire_proto::text::{clean, is_deceptive};
use bonfire_proto::{RelPath, limits};

use super::manifest::RULE_LEN_MAX;
use super::pattern::{Segment, Token, segment};
use super::placeholders::Placeholder;

/// Why a path is not used on any machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathRejected {
    /// Too long or too deep.
    #[error("the path is too long")]
    TooLong,
    /// It begins with a name, `.` or `..`.
    #[error("the path is relative; it has to begin with a placeholder such as <base>")]
    Relative,
    /// It begins with `/`, a drive or `~`.
    #[error("the path does not begin with a placeholder for a folder")]
    NoPlaceholder,
    /// A placeholder that we do not know.
    #[error("the placeholder <{0}> is unknown")]
    Unknown(String),
    /// A placeholder for a folder behind the beginning, or with something beside it.
    #[error("{0} can only stand alone, at the beginning of a path")]
    Misplaced(Placeholder),
    /// It has a `..`.
    #[error("`..` could leave the folder that the path begins with")]
    Dots,
    /// A name that is not legal everywhere, so that the save could not move.
    #[error("{name:?} cannot be a name on every machine: {error}")]
    Name {
        /// The name.
        name: String,
        /// The broken rule.
        error: PathError,
    },
    /// It would take in a folder that many programs share, or the whole game.
    #[error("the path takes in a whole folder that is not the save's alone")]
    TooWide,
    /// Keys, programs that start by themselves, and the like are never part of a save.
    #[error("what is kept there is no save")]
    NoSave,
}

/// A piece of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// A placeholder for a name or a part of one.
    Variable(Placeholder),
    /// Part of a pattern.
    Wild(Token),
}

/// One name of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// `**`.
    Deep,
    /// Its pieces, one or more.
    Name(Vec<Piece>),
}

impl Part {
    /// Whether it is a pattern.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        match self {
            Self::Deep => true,
            Self::Name(pieces) => pieces.iter().any(|p| matches!(p, Piece::Wild(_))),
        }
    }

    /// The name, when it is one text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Name(pieces) => match pieces.as_slice() {
                [Piece::Text(text)] => Some(text),
                _ => None,
            },
            Self::Deep => None,
        }
    }

    /// Whether nothing in it says what it matches.
    fn is_anything(&self) -> bool {
        match self {
            Self::Deep => true,
            Self::Name(pieces) => !pieces.iter().any(|p| match p {
                Piece::Text(text) => text.chars().any(char::is_alphanumeric),
                Piece::Variable(_) => true,
                Piece::Wild(_) => false,
            }),
        }
    }

    /// Whether it matches this name. What a placeholder stands for is not known here, and matches nothing.
    fn may_be(&self, name: &str) -> bool {
        let Self::Name(pieces) = self else { return true };
        let tokens: Option<Vec<Vec<Token>>> = pieces
            .iter()
            .map(|p| match p {
                Piece::Text(text) => Some(text.chars().map(Token::Char).collect()),
                Piece::Variable(_) => None,
                Piece::Wild(token) => Some(vec![token.clone()]),
            })
            .collect();
        tokens.is_some_and(|t| Segment::Name(t.concat()).matches(name, true))
    }

    /// The form in which spellings of one name are equal: case does not count.
    fn folded(&self) -> String {
        fold(&self.to_string())
    }
}

impl From<&Segment> for Part {
    fn from(segment: &Segment) -> Self {
        match segment {
            Segment::Deep => Self::Deep,
            Segment::Name(tokens) => Self::Name(tokens.iter().cloned().map(Piece::Wild).collect()),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deep => f.write_str("**"),
            Self::Name(pieces) => pieces.iter().try_for_each(|p| match p {
                Piece::Text(text) => f.write_str(text),
                Piece::Variable(v) => v.fmt(f),
                Piece::Wild(token) => token.fmt(f),
            }),
        }
    }
}

/// A path of the manifest that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RulePath {
    /// The folder that it begins with.
    pub anchor: Placeholder,
    /// The names beneath it, one or more.
    pub parts: Vec<Part>,
}

/// Folders beneath home that have a placeholder of their own.
const HOMES: &[(&[&str], Placeholder)] = &[
    (&["appdata", "roaming"], Placeholder::WinAppData),
    (&["appdata", "locallow"], Placeholder::WinLocalAppDataLow),
    (&["appdata", "local"], Placeholder::WinLocalAppData),
    (&[".local", "share"], Placeholder::XdgData),
    (&[".config"], Placeholder::XdgConfig),
];

/// Folders beneath an anchor that many games share, and that the same game does not have on another system.
const SHARED: &[(Placeholder, &[&str])] = &[
    (Placeholder::WinDocuments, &["my games"]),
    (Placeholder::Home, &["documents", "my games"]),
    (Placeholder::Home, &["documents"]),
    (Placeholder::Home, &["saved games"]),
    (Placeholder::Home, &["library", "application support"]),
    (Placeholder::Home, &["library"]),
    (Placeholder::Home, &["appdata"]),
    (Placeholder::Home, &[".local"]),
    (Placeholder::XdgConfig, &["unity3d"]),
    (Placeholder::WinLocalAppData, &["packages"]),
    (Placeholder::WinAppData, &["microsoft"]),
    (Placeholder::WinLocalAppData, &["microsoft"]),
];

/// Where other programs' keys and start-up entries are. A game's folder comes from strangers, and names paths too.
const NO_SAVES: &[(Placeholder, &[&str])] = &[
    (Placeholder::Home, &[".ssh"]),
    (Placeholder::Home, &[".gnupg"]),
    (Placeholder::Home, &[".bashrc"]),
    (Placeholder::Home, &[".bash_profile"]),
    (Placeholder::Home, &[".profile"]),
    (Placeholder::Home, &[".zshrc"]),
    (Placeholder::Home, &[".local", "bin"]),
    (Placeholder::XdgConfig, &["autostart"]),
    (Placeholder::XdgConfig, &["systemd"]),
    (Placeholder::XdgData, &["applications"]),
    (Placeholder::XdgData, &["keyrings"]),
    (Placeholder::WinAppData, &["microsoft", "windows"]),
    (Placeholder::WinProgramData, &["microsoft", "windows"]),
    (Placeholder::WinDir, &["system32"]),
    (Placeholder::WinDir, &["syswow64"]),
];

impl RulePath {
    /// The path that the text means.
    ///
    /// # Errors
    /// `PathRejected` with the reason.
    pub fn parse(text: &str) -> Result<Self, PathRejected> {
        if text.len() > RULE_LEN_MAX {
            return Err(PathRejected::TooLong);
        }
        let text = text.replace('\\', "/");
        let mut names = text.split('/');
        let first = names.next().unwrap_or_default();
        let mut anchor = anchor(first)?;
        let mut parts = Vec::new();
        for name in names.filter(|n| !n.is_empty() && *n != ".") {
            if parts.len() >= limits::PATH_DEPTH_MAX {
                return Err(PathRejected::TooLong);
            }
            parts.push(part(name)?);
        }
        if anchor == Placeholder::Root && parts.first() == Some(&Part::Name(vec![Piece::Variable(Placeholder::Game)])) {
            anchor = Placeholder::Base;
            parts.remove(0);
        }
        let path = Self { anchor, parts };
        path.check_width()?;
        Ok(path)
    }

    /// The same path with the placeholder for the folder in which home has it, where there is one.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let found =
            HOMES.iter().filter(|_| self.anchor == Placeholder::Home).find(|(names, _)| self.begins_with(names));
        match found {
            Some((names, anchor)) => Self { anchor: *anchor, parts: self.parts[names.len()..].to_vec() },
            None => self.clone(),
        }
    }

    /// The form in which two spellings of one path are equal.
    #[must_use]
    pub fn key(&self) -> String {
        let path = self.canonical();
        path.parts.iter().fold(path.anchor.to_string(), |key, part| format!("{key}/{}", part.folded()))
    }

    /// What is left of the path when one takes away what differs between systems for every game: the folder it begins
    /// with, folders that many games share, case, and the dot of hidden names. Empty when nothing is left.
    #[must_use]
    pub fn tail(&self) -> Vec<String> {
        let path = self.canonical();
        let shared = SHARED.iter().find(|(anchor, names)| path.anchor == *anchor && path.begins_with(names));
        let own = &path.parts[shared.map_or(0, |(_, names)| names.len())..];
        own.iter().map(|p| p.folded().trim_start_matches('.').to_owned()).collect()
    }

    /// The names that a snapshot has: from the first pattern on, or else the last name.
    #[must_use]
    pub fn node(&self) -> (&[Part], &[Part]) {
        let first = self.parts.iter().position(Part::is_wild).unwrap_or(self.parts.len().saturating_sub(1));
        self.parts.split_at(first)
    }

    fn begins_with(&self, names: &[&str]) -> bool {
        names.len() <= self.parts.len() && names.iter().zip(&self.parts).all(|(name, part)| part.folded() == *name)
    }

    /// Whether the path can lead into the folder with these names, or takes it in as a whole.
    fn may_reach(&self, names: &[&str]) -> bool {
        !self.parts.is_empty() && names.iter().zip(&self.parts).all(|(name, part)| part.may_be(name))
    }

    /// Whether it could reach keys, or what other programs start by themselves. Asked again when its placeholders are filled in.
    #[must_use]
    pub fn leads_to_no_save(&self) -> bool {
        let path = self.canonical();
        NO_SAVES.iter().any(|(anchor, names)| path.anchor == *anchor && path.may_reach(names))
    }

    fn check_width(&self) -> Result<(), PathRejected> {
        let path = self.canonical();
        let shared = SHARED.iter().find(|(anchor, names)| path.anchor == *anchor && path.begins_with(names));
        let own = &path.parts[shared.map_or(0, |(_, names)| names.len())..];
        let is_wide = match (own.first(), path.anchor) {
            (None, _) => true,
            // Within the game's own folder a pattern may look for a name at any depth.
            (Some(_), Placeholder::Base) => own.iter().all(Part::is_anything),
            (Some(first), _) => first.is_anything(),
        };
        if is_wide {
            return Err(PathRejected::TooWide);
        }
        if self.leads_to_no_save() { Err(PathRejected::NoSave) } else { Ok(()) }
    }
}

impl fmt::Display for RulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.anchor.fmt(f)?;
        self.parts.iter().try_for_each(|p| write!(f, "/{p}"))
    }
}

fn anchor(first: &str) -> Result<Placeholder, PathRejected> {
    let Some(rest) = first.strip_prefix('<') else {
        let is_drive = first.as_bytes().get(1) == Some(&b':');
        let absolute = first.is_empty() || is_drive || first.starts_with('~') || first.contains('<');
        return Err(if absolute { PathRejected::NoPlaceholder } else { PathRejected::Relative });
    };
    let (name, behind) = rest.split_once('>').ok_or(PathRejected::NoPlaceholder)?;
    match Placeholder::named(name) {
        None => Err(PathRejected::Unknown(clean(name))),
        Some(p) if !p.is_folder() => Err(PathRejected::NoPlaceholder),
        Some(p) if !behind.is_empty() => Err(PathRejected::Misplaced(p)),
        Some(p) => Ok(p),
    }
}

fn part(name: &str) -> Result<Part, PathRejected> {
    if name == ".." {
        return Err(PathRejected::Dots);
    }
    let (mut pieces, mut rest) = (Vec::new(), name);
    while let Some((before, behind)) = rest.split_once('<') {
        let (variable, after) = behind.split_once('>').ok_or_else(|| illegal(name, '<'))?;
        pieces.extend(texts(before));
        match Placeholder::named(variable) {
            None => return Err(PathRejected::Unknown(clean(variable))),
            Some(p) if p.is_folder() => return Err(PathRejected::Misplaced(p)),
            Some(p) => pieces.push(Piece::Variable(p)),
        }
        rest = after;
    }
    if pieces.is_empty() && segment(rest) == Segment::Deep {
        return Ok(Part::Deep);
    }
    pieces.extend(texts(rest));
    check(name, &pieces)?;
    Ok(Part::Name(pieces))
}

/// The text between placeholders, with its patterns.
fn texts(text: &str) -> Vec<Piece> {
    // `**` beside other text is a `*`.
    let Segment::Name(tokens) = segment(text) else { return vec![Piece::Wild(Token::Many)] };
    let mut pieces: Vec<Piece> = Vec::new();
    for token in tokens {
        match (token, pieces.last_mut()) {
            (Token::Char(c), Some(Piece::Text(text))) => text.push(c),
            (Token::Char(c), _) => pieces.push(Piece::Text(c.to_string())),
            (token, _) => pieces.push(Piece::Wild(token)),
        }
    }
    pieces
}

fn check(name: &str, pieces: &[Piece]) -> Result<(), PathRejected> {
    if let [Piece::Text(text)] = pieces {
        return RelPath::new(text.as_str()).map(drop).map_err(|error| PathRejected::Name { name: clean(name), error });
    }
    let texts = pieces.iter().filter_map(|p| if let Piece::Text(text) = p { Some(text) } else { None });
    let bad = |c: &char| c.is_control() || is_deceptive(*c) || matches!(c, ':' | '"' | '<' | '>' | '|');
    match texts.flat_map(|t| t.chars()).find(bad) {
        Some(c) => Err(illegal(name, c)),
        None => Ok(()),
    }
}

fn illegal(name: &str, c: char) -> PathRejected {
    PathRejected::Name { name: clean(name), error: PathError::Character(c) }
}
