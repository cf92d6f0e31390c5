//! Names out of archives: how they become paths, and which of them cannot lie beside each other.
//!
//! The rule for a single path is `RelPath`'s. This adds what archives do around it (a leading `./`, a folder's trailing
//! `/`, other separators, old code pages) and remembers what was seen, across all archives of a game.

use std::collections::BTreeMap;

use bonfire_proto::RelPath;
use bonfire_proto::rel_path::fold;

use crate::error::Why;

/// What a name in the tree stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    File,
    /// A folder that an entry names, or one that a file needs.
    Folder,
}

/// What was seen so far, by folded path.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    seen: BTreeMap<String, (String, Node)>,
}

/// A name as it stands in an archive, made a path: the path, and whether the name itself says that it is a folder.
/// `None` is the root of the archive, which needs nothing.
///
/// # Errors
/// The rule that it breaks.
pub(crate) fn path_of(name: &str) -> Result<Option<(RelPath, bool)>, Why> {
    let mut rest = name;
    while let Some(after) = rest.strip_prefix("./") {
        rest = after;
    }
    if !name.is_empty() && (rest.is_empty() || rest == ".") {
        return Ok(None);
    }
    let (rest, is_folder) = rest.strip_suffix('/').map_or((rest, false), |cut| (cut, true));
    let path = RelPath::new(rest).map_err(|e| Why::Name(e.to_string()))?;
    Ok(Some((path, is_folder)))
}

/// A name in bytes of which nothing says that they are UTF-8: UTF-8 when it is that, else the code page of DOS, as zip
/// and old RAR have it.
pub(crate) fn decode_legacy(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) => text.to_owned(),
        Err(_) => name.iter().map(|&b| if b < 128 { char::from(b) } else { CP437[usize::from(b - 128)] }).collect(),
    }
}

const CP437: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å', 'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û',
    'ù', 'ÿ', 'Ö', 'Ü', '¢', '£', '¥', '₧', 'ƒ', 'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '⌐', '¬', '½', '¼', '¡',
    '«', '»', '░', '▒', '▓', '│', '┤', '╡', '╢', '╖', '╕', '╣', '║', '╗', '╝', '╜', '╛', '┐', '└', '┴', '┬', '├', '─',
    '┼', '╞', '╟', '╚', '╔', '╩', '╦', '╠', '═', '╬', '╧', '╨', '╤', '╥', '╙', '╘', '╒', '╓', '╫', '╪', '┘', '┌', '█',
    '▄', '▌', '▐', '▀', 'α', 'ß', 'Γ', 'π', 'Σ', 'σ', 'µ', 'τ', 'Φ', 'Θ', 'Ω', 'δ', '∞', 'φ', 'ε', '∩', '≡', '±', '≥',
    '≤', '⌠', '⌡', '÷', '≈', '°', '∙', '·', '√', 'ⁿ', '²', '■', '\u{a0}',
];

impl Tree {
    /// Takes in a folder. The same folder may be named again.
    ///
    /// # Errors
    /// `Collision` with what is there.
    pub(crate) fn folder(&mut self, path: &RelPath) -> Result<(), Why> {
        self.above(path)?;
        self.put(path.as_str(), Node::Folder)
    }

    /// Takes in a file.
    ///
    /// # Errors
    /// `Duplicate`, or `Collision` with what is there.
    pub(crate) fn file(&mut self, path: &RelPath) -> Result<(), Why> {
        self.above(path)?;
        self.put(path.as_str(), Node::File)
    }

    /// The folders above a path.
    fn above(&mut self, path: &RelPath) -> Result<(), Why> {
        // The one right above is nearly always known, and then all above it are.
        if let Some((parent, _)) = path.as_str().rsplit_once('/')
            && self.seen.get(&fold(parent)).is_some_and(|known| *known == (parent.to_owned(), Node::Folder))
        {
            return Ok(());
        }
        for (at, _) in path.as_str().match_indices('/') {
            self.put(&path.as_str()[..at], Node::Folder)?;
        }
        Ok(())
    }

    fn put(&mut self, written: &str, node: Node) -> Result<(), Why> {
        let folded = fold(written);
        match self.seen.get(&folded) {
            None => {
                self.seen.insert(folded, (written.to_owned(), node));
                Ok(())
            }
            Some((before, Node::Folder)) if before == written && node == Node::Folder => Ok(()),
            Some((before, Node::File)) if before == written && node == Node::File => Err(Why::Duplicate),
            Some((before, _)) => Err(Why::Collision(before.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;

    fn p(text: &str) -> RelPath {
        RelPath::new(text).unwrap()
    }

    #[test]
    fn a_leading_dot_and_a_trailing_slash_are_the_ways_of_archives_and_nothing_else_is_forgiven() {
        assert_eq!(path_of("./a/b").unwrap(), Some((p("a/b"), false)));
        assert_eq!(path_of("a/b/").unwrap(), Some((p("a/b"), true)));
        assert_eq!(path_of("./").unwrap(), None);
        assert_eq!(path_of(".").unwrap(), None);
        for bad in ["", "a/./b", "a//b", "a//", "/", "/a", "../a", "a/..", ".//a", "a\\b", "C:a", "a/b.", "a\0b", "NUL"]
        {
            assert!(path_of(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_that_some_file_system_cannot_tell_apart_are_refused() {
        let mut tree = Tree::default();
        tree.file(&p("Data/a")).unwrap();
        tree.folder(&p("Data")).unwrap();
        tree.folder(&p("Data")).unwrap();
        assert_eq!(tree.file(&p("Data/a")), Err(Why::Duplicate));
        assert_eq!(tree.file(&p("Data/A")), Err(Why::Collision("Data/a".into())));
        assert_eq!(tree.file(&p("data/b")), Err(Why::Collision("Data".into())));
        assert_eq!(tree.file(&p("Data/a/b")), Err(Why::Collision("Data/a".into())));
        assert_eq!(tree.file(&p("Data")), Err(Why::Collision("Data".into())));
        assert_eq!(tree.folder(&p("Data/a")), Err(Why::Collision("Data/a".into())));
        tree.file(&p("\u{e9}")).unwrap();
        assert_eq!(tree.file(&p("e\u{301}")), Err(Why::Collision("\u{e9}".into())));
    }

    #[test]
    fn an_old_name_is_read_by_the_code_page_of_dos() {
        assert_eq!(decode_legacy(b"caf\x82"), "café");
        assert_eq!(decode_legacy("café".as_bytes()), "café");
    }
}
