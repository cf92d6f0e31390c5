//! Reads a manifest in the format of Ludusavi: YAML, a title an entry, into an `Index`.
//!
//! Everything here came from elsewhere and is bounded before it is kept: input, depth, nodes, titles, paths. Words and
//! fields that are not known are passed over; what is malformed is an error that names its title. Does not judge paths
//! (`placeholders`), and does not keep launch commands or the text of notes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bonfire_proto::text::clean_to;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::index::{Constraint, FileRule, Index, StoreIds, Title};
use crate::report::ErrorClass;

/// Most bytes of a manifest; the public one has 18 MB.
pub const MANIFEST_LEN_MAX: usize = 64 << 20;
/// Most bytes of a manifest in a game's folder.
pub const OWN_MANIFEST_LEN_MAX: usize = 1 << 20;
/// Most titles, nicknames among them; the public manifest has some 50,000.
pub const TITLES_MAX: usize = 250_000;
/// Most bytes of a title.
pub const TITLE_LEN_MAX: usize = 512;
/// Most paths, and most registry keys, of a title.
pub const RULES_PER_TITLE_MAX: usize = 512;
/// Most bytes of a path or registry key.
pub const RULE_LEN_MAX: usize = 1_024;
/// Most of anything else that is a list: constraints and tags of a path, ids, names of folders, stores, notes.
pub const LIST_MAX: usize = 256;
/// Most bytes of a word: an id, a tag, a store.
pub const WORD_LEN_MAX: usize = 256;

/// Why a text is not taken as a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Over the bound.
    #[error("the manifest has {len} bytes; at most {max} are read")]
    TooLong {
        /// Its bytes.
        len: usize,
        /// The bound.
        max: usize,
    },
    /// No YAML, or nested or repeated beyond what is read, outside any title.
    #[error("the manifest cannot be read: {0}")]
    Yaml(String),
    /// Something is wrong with one title.
    #[error("the manifest's entry {title:?}: {message}")]
    Title {
        /// Its name.
        title: String,
        /// What is wrong.
        message: String,
    },
}

impl ManifestError {
    /// Who can do something about it: whoever chose the file.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Refused
    }

    /// Never: the same text gives the same error.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

/// Reads a manifest that a player imported.
///
/// # Errors
/// `ManifestError`; nothing is taken from a manifest of which a part cannot be read.
pub fn parse(text: &str) -> Result<Index, ManifestError> {
    parse_bounded(text, MANIFEST_LEN_MAX)
}

/// Reads the `.ludusavi.yaml` of a game's folder; `own_title` says which of its titles is meant.
///
/// # Errors
/// As `parse`, with a smaller bound.
pub fn parse_own(text: &str) -> Result<Index, ManifestError> {
    parse_bounded(text, OWN_MANIFEST_LEN_MAX)
}

fn parse_bounded(text: &str, max: usize) -> Result<Index, ManifestError> {
    if text.len() > max {
        return Err(ManifestError::TooLong { len: text.len(), max });
    }
    let mut reading = None;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |de| {
        TitlesSeed { reading: &mut reading }.deserialize(de)
    });
    // The first line says what is wrong; the rest would quote the manifest.
    let message = |e: serde_saphyr::Error| clean_to(e.to_string().lines().next().unwrap_or_default(), WORD_LEN_MAX);
    match (read, reading) {
        (Ok(titles), _) => Ok(Index::new(titles)),
        (Err(e), Some(title)) => Err(ManifestError::Title { title, message: message(e) }),
        (Err(e), None) => Err(ManifestError::Yaml(message(e))),
    }
}

/// What the YAML reader itself refuses. The bounds on nodes let 64 MiB of ordinary entries pass.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: 24,
            flow_nesting_limit: 24,
            max_nodes: 8_000_000,
            max_events: 16_000_000,
            max_total_scalar_bytes: MANIFEST_LEN_MAX,
            simple_key_max_lookahead: 2 * RULE_LEN_MAX,
            max_anchors: 1_000,
            max_aliases: 10_000,
            max_recorded_anchor_events: 100_000,
            max_recorded_anchor_bytes: 1 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        // A game may be called `<<`; entries that include others are none of the format.
        merge_keys: MergeKeyPolicy::AsOrdinary,
        // In a field that is not read, any number will do.
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

struct TitlesSeed<'a> {
    /// The title under way, for the error.
    reading: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for TitlesSeed<'_> {
    type Value = BTreeMap<String, Title>;

    fn deserialize<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for TitlesSeed<'_> {
    type Value = BTreeMap<String, Title>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("titles of games")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }

    fn visit_some<D: Deserializer<'de>>(self, de: D) -> Result<Self::Value, D::Error> {
        de.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut titles = BTreeMap::new();
        while let Some(Word(name)) = map.next_key()? {
            let name = clean_to(&name, TITLE_LEN_MAX + 4);
            *self.reading = Some(name.clone());
            if name.len() > TITLE_LEN_MAX {
                return Err(A::Error::custom(format_args!("a title has at most {TITLE_LEN_MAX} bytes")));
            }
            if titles.len() >= TITLES_MAX {
                return Err(A::Error::custom(format_args!("a manifest has at most {TITLES_MAX} titles")));
            }
            let raw: Option<RawTitle> = map.next_value()?;
            let title = raw.unwrap_or_default().check().map_err(A::Error::custom)?;
            if titles.insert(name, title).is_some() {
                return Err(A::Error::custom("the title is there twice"));
            }
            *self.reading = None;
        }
        Ok(titles)
    }
}

/// A scalar as text: ids are written as numbers or as text, and words that look like numbers are words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Word(String);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        String::deserialize(de).map(Self)
    }
}

type Map<V> = Option<BTreeMap<Word, Option<V>>>;
type List<V> = Option<Vec<V>>;

#[derive(Default, Deserialize)]
struct RawTitle {
    #[serde(default)]
    files: Map<RawRule>,
    #[serde(default)]
    registry: Map<IgnoredAny>,
    #[serde(default, rename = "installDir")]
    install_dir: Map<IgnoredAny>,
    #[serde(default)]
    steam: Option<RawId>,
    #[serde(default)]
    gog: Option<RawId>,
    #[serde(default)]
    id: Map<Words>,
    #[serde(default)]
    alias: Option<Word>,
    #[serde(default)]
    cloud: Map<Word>,
    #[serde(default)]
    notes: List<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct RawRule {
    #[serde(default)]
    tags: List<Word>,
    #[serde(default)]
    when: List<RawConstraint>,
}

#[derive(Deserialize)]
struct RawConstraint {
    #[serde(default)]
    os: Option<Word>,
    #[serde(default)]
    store: Option<Word>,
}

#[derive(Deserialize)]
struct RawId {
    #[serde(default)]
    id: Option<Word>,
}

/// One word or a list of them; a later kind of id may be anything else, which is passed over.
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        de.deserialize_any(WordsVisitor)
    }
}

struct WordsVisitor;

impl<'de> Visitor<'de> for WordsVisitor {
    type Value = Words;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id or a list of ids")
    }

    fn visit_str<E>(self, text: &str) -> Result<Words, E> {
        Ok(Words(vec![text.to_owned()]))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Words, E> {
        Ok(Words(vec![n.to_string()]))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Words, E> {
        Ok(Words(vec![n.to_string()]))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Words, E> {
        Ok(Words(Vec::new()))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Words, E> {
        Ok(Words(Vec::new()))
    }

    fn visit_unit<E>(self) -> Result<Words, E> {
        Ok(Words(Vec::new()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Words, A::Error> {
        let mut words = Vec::new();
        while let Some(Words(some)) = seq.next_element()? {
            words.extend(some);
        }
        Ok(Words(words))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Words, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Words(Vec::new()))
    }
}

impl RawTitle {
    fn check(self) -> Result<Title, String> {
        let files = self.files.unwrap_or_default();
        bounded("paths", files.len(), RULES_PER_TITLE_MAX)?;
        let files =
            files.into_iter().map(|(path, rule)| rule.unwrap_or_default().check(path)).collect::<Result<_, _>>()?;
        let registry = self.registry.unwrap_or_default();
        bounded("registry keys", registry.len(), RULES_PER_TITLE_MAX)?;
        let registry =
            registry.into_keys().map(|key| text(key, "registry key", RULE_LEN_MAX)).collect::<Result<_, _>>()?;
        let notes = self.notes.unwrap_or_default().len();
        bounded("notes", notes, LIST_MAX)?;
        Ok(Title {
            files,
            registry,
            install_dirs: words(self.install_dir.unwrap_or_default().into_keys(), "names of folders")?,
            ids: check_ids(self.steam, self.gog, self.id.unwrap_or_default())?,
            // As the titles themselves are.
            alias: self
                .alias
                .map(|to| text(to, "alias", TITLE_LEN_MAX).map(|to| clean_to(&to, TITLE_LEN_MAX)))
                .transpose()?,
            cloud: words(
                self.cloud
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|(_, on)| is_true(on.as_ref()))
                    .map(|(store, _)| store),
                "clouds",
            )?,
            notes: u32::try_from(notes).unwrap_or(u32::MAX),
        })
    }
}

impl RawRule {
    fn check(self, path: Word) -> Result<FileRule, String> {
        let path = text(path, "path", RULE_LEN_MAX)?;
        let when = self.when.unwrap_or_default();
        bounded("constraints", when.len(), LIST_MAX)?;
        let word = |word: Option<Word>| word.map(|w| text(w, "word", WORD_LEN_MAX)).transpose();
        let when = when
            .into_iter()
            .map(|c| Ok(Constraint { os: word(c.os)?, store: word(c.store)? }))
            .collect::<Result<BTreeSet<_>, String>>()?;
        Ok(FileRule {
            path,
            tags: words(self.tags.unwrap_or_default().into_iter(), "tags")?,
            when,
            ..FileRule::default()
        })
    }
}

fn check_ids(
    steam: Option<RawId>,
    gog: Option<RawId>,
    others: BTreeMap<Word, Option<Words>>,
) -> Result<StoreIds, String> {
    let main = |id: Option<RawId>| id.and_then(|i| i.id).map(|w| text(w, "id", WORD_LEN_MAX)).transpose();
    let mut ids = StoreIds {
        steam: main(steam)?.into_iter().collect(),
        gog: main(gog)?.into_iter().collect(),
        other: BTreeMap::new(),
    };
    bounded("kinds of ids", others.len(), LIST_MAX)?;
    for (kind, of_kind) in others {
        let of_kind = of_kind.map_or_else(Vec::new, |Words(w)| w);
        bounded("ids", of_kind.len(), LIST_MAX)?;
        let checked =
            of_kind.into_iter().map(|id| text(Word(id), "id", WORD_LEN_MAX)).collect::<Result<Vec<_>, _>>()?;
        match kind.0.as_str() {
            "steamExtra" => ids.steam.extend(checked),
            "gogExtra" => ids.gog.extend(checked),
            _ if checked.is_empty() => {}
            _ => {
                ids.other.insert(text(kind, "kind of id", WORD_LEN_MAX)?, checked);
            }
        }
    }
    Ok(ids)
}

fn words(words: impl Iterator<Item = Word>, what: &str) -> Result<BTreeSet<String>, String> {
    let words: Vec<Word> = words.collect();
    bounded(what, words.len(), LIST_MAX)?;
    words.into_iter().map(|w| text(w, what, WORD_LEN_MAX)).collect()
}

fn bounded(what: &str, count: usize, max: usize) -> Result<(), String> {
    if count > max { Err(format!("{count} {what}; at most {max} are read")) } else { Ok(()) }
}

fn text(word: Word, what: &str, max: usize) -> Result<String, String> {
    if word.0.len() > max { Err(format!("a {what} of over {max} bytes")) } else { Ok(word.0) }
}

fn is_true(word: Option<&Word>) -> bool {
    word.is_some_and(|w| w.0.eq_ignore_ascii_case("true"))
}
