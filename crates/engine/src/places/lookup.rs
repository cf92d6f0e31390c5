//! Finds a few games in the lines of an index without reading all of them: names are read in every line, what is known of a
//! title only where it may be the one.
//!
//! Owns which lines those are; that they give the same answer as the whole index is what its tests are about. Which title a
//! game is, `matching` decides.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::index::{ALIAS_DEPTH_MAX, Index, IndexError, Title, header};
use super::matching::simplified;

/// The titles of an index that games of these ids and names may be, and what their nicknames lead to. For these names
/// `TitleNames` of the result finds what it finds in the whole index.
///
/// # Errors
/// As `Index::from_lines`, but for titles that are not asked for and whose name can be read.
pub fn some<'a>(text: &str, asked: impl IntoIterator<Item = &'a str>) -> Result<Index, IndexError> {
    let asked: BTreeSet<&str> = asked.into_iter().collect();
    let alike: BTreeSet<String> = asked.iter().map(|name| simplified(name)).filter(|name| !name.is_empty()).collect();
    let said = header(text)?;
    let mut by_name: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for (at, line) in text.lines().enumerate().skip(1) {
        by_name.insert(name_of(line, at + 1)?, (at + 1, line));
    }
    if by_name.len() != said {
        return Err(IndexError::Cut { found: by_name.len(), said });
    }
    let mut titles = BTreeMap::new();
    let wanted = by_name.keys().filter(|name| asked.contains(name.as_str()) || alike.contains(&simplified(name)));
    for name in wanted {
        let mut next = Some(name.clone());
        for _ in 0..=ALIAS_DEPTH_MAX {
            let Some(name) = next.take().filter(|name| !titles.contains_key(name)) else { break };
            let Some((at, line)) = by_name.get(&name) else { break };
            let (name, title): (String, Title) =
                serde_json::from_str(line).map_err(|e| IndexError::Line { line: *at, message: e.to_string() })?;
            next.clone_from(&title.alias);
            titles.insert(name, title);
        }
    }
    Ok(Index::new(titles))
}

/// The first thing in a line: the title's name.
fn name_of(line: &str, at: usize) -> Result<String, IndexError> {
    let error = |message: String| IndexError::Line { line: at, message };
    let rest = line.strip_prefix('[').ok_or_else(|| error("it is no list".to_owned()))?;
    let mut reader = serde_json::Deserializer::from_str(rest);
    String::deserialize(&mut reader).map_err(|e| error(e.to_string()))
}
