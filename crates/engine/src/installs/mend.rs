//! What is wrong with an install, by its record, and where the player's version of a file goes that is put back.

use std::collections::{BTreeMap, BTreeSet};

use bonfire_proto::RelPath;

use super::Known;
use super::carry::Taken;

/// What is wrong with an installed file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It holds something else, and nothing says that anybody wrote to it: its disk lost it.
    Damaged,
    /// Somebody wrote to it: the player, or the game, which keeps settings so.
    Changed,
}

/// What is wrong with a file that was installed as `was`. `is_untouched` says that its time is still the one that it was
/// installed with.
#[must_use]
pub fn fault(was: &Known, now: Option<&Known>, is_untouched: bool) -> Option<Fault> {
    match now {
        None => Some(Fault::Missing),
        Some(now) if now == was => None,
        Some(_) if is_untouched => Some(Fault::Damaged),
        Some(_) => Some(Fault::Changed),
    }
}

/// Where changed files go when what was installed is put back in their places: names beside them that nobody has.
#[must_use]
pub fn set_aside<'a>(
    changed: impl IntoIterator<Item = &'a RelPath>,
    live: impl Iterator<Item = &'a RelPath>,
) -> BTreeMap<RelPath, RelPath> {
    let mut taken = Taken::of(live);
    let changed: BTreeSet<&RelPath> = changed.into_iter().collect();
    changed.into_iter().map(|path| (path.clone(), taken.beside(path))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use bonfire_proto::Digest;

    use super::*;

    fn known(n: u8) -> Known {
        Known { size: 1, blake3: Digest([n; 32]) }
    }

    #[test]
    fn a_file_that_nobody_wrote_to_and_that_is_another_is_damaged_and_one_that_was_written_to_is_changed() {
        assert_eq!(fault(&known(1), Some(&known(1)), false), None, "written to, with what it held before");
        assert_eq!(fault(&known(1), Some(&known(2)), true), Some(Fault::Damaged));
        assert_eq!(fault(&known(1), Some(&known(2)), false), Some(Fault::Changed));
        assert_eq!(fault(&known(1), None, false), Some(Fault::Missing));
    }

    #[test]
    fn what_is_set_aside_takes_nobodys_name() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let live = [path("a/b"), path("a/b.kept"), path("c")];
        let aside = set_aside(&[path("a/b"), path("c")], live.iter());
        assert_eq!(aside, BTreeMap::from([(path("a/b"), path("a/b.kept-2")), (path("c"), path("c.kept"))]));
    }
}
