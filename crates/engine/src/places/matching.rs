//! Which title of a manifest a game of the catalog is.
//!
//! By its exact name first, then by its name without case, accents and punctuation; nicknames count as names of the title
//! that they lead to. When more than one title fits, all are named and none is chosen.

use std::collections::{BTreeMap, BTreeSet};

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::index::Index;

/// What was found for a game.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// This title and no other.
    Title {
        /// Its name in the manifest, nicknames followed.
        name: String,
        /// How it was found.
        by: By,
    },
    /// Several titles fit equally well: a person has to say which.
    Ambiguous(Vec<String>),
    /// None fits.
    Unknown,
}

/// How a title was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum By {
    /// The names are the same.
    Name,
    /// The name is a nickname in the manifest.
    Alias,
    /// The names are the same but for case, accents, punctuation and marks such as ™.
    SimilarName,
}

/// The names of an index, ready to be looked up.
#[derive(Debug, Clone, Default)]
pub struct TitleNames<'a> {
    index: Option<&'a Index>,
    /// Simplified name, and the titles that have it.
    simple: BTreeMap<String, BTreeSet<&'a str>>,
}

impl<'a> TitleNames<'a> {
    /// The names of this index. Takes time in proportion to all of its titles.
    #[must_use]
    pub fn of(index: &'a Index) -> Self {
        let mut simple: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for name in index.titles().keys() {
            // A nickname that leads nowhere names nothing.
            let Ok(Some((title, _))) = index.get(name) else { continue };
            simple.entry(simplified(name)).or_default().insert(title);
        }
        simple.remove("");
        Self { index: Some(index), simple }
    }

    /// The title of a game with this id and name in the catalog.
    #[must_use]
    pub fn find(&self, id: &str, name: &str) -> Match {
        let exact: BTreeSet<(&str, By)> = [name, id].into_iter().filter_map(|asked| self.exact(asked)).collect();
        let titles: BTreeSet<&str> = exact.iter().map(|(title, _)| *title).collect();
        if !titles.is_empty() {
            return one_of(&titles, exact.first().map_or(By::Name, |(_, by)| *by));
        }
        let similar = |asked: &str| self.simple.get(&simplified(asked)).into_iter().flatten().copied();
        one_of(&similar(name).chain(similar(id)).collect(), By::SimilarName)
    }

    fn exact(&self, asked: &str) -> Option<(&'a str, By)> {
        let (title, _) = self.index?.get(asked).ok()??;
        Some((title, if title == asked { By::Name } else { By::Alias }))
    }
}

/// The title that a manifest in the folder of a game is about: its only one, or else the one that the game's id and name
/// find in it.
#[must_use]
pub fn own_title(own: &Index, id: &str, name: &str) -> Match {
    let titles: BTreeSet<&str> =
        own.titles().iter().filter(|(_, t)| t.alias.is_none()).map(|(name, _)| name.as_str()).collect();
    if titles.len() == 1 {
        return one_of(&titles, By::Name);
    }
    match TitleNames::of(own).find(id, name) {
        Match::Unknown if !titles.is_empty() => Match::Ambiguous(titles.into_iter().map(str::to_owned).collect()),
        found => found,
    }
}

fn one_of(titles: &BTreeSet<&str>, by: By) -> Match {
    let mut names = titles.iter().map(|t| (*t).to_owned());
    match (names.next(), titles.len()) {
        (None, _) => Match::Unknown,
        (Some(name), 1) => Match::Title { name, by },
        (Some(first), _) => Match::Ambiguous(std::iter::once(first).chain(names).collect()),
    }
}

/// Letters and digits only, without accents, in lower case; `&` is `and`.
pub(crate) fn simplified(name: &str) -> String {
    let marks = |c: &char| !matches!(c, '™' | '®' | '©' | '℠');
    let plain: String = name.replace('&', " and ").chars().filter(marks).nfkd().collect();
    plain
        .chars()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .filter(|c| c.is_alphanumeric())
        .collect()
}
